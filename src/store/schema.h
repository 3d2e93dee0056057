/*
 * schema.h - all SQL of the store, in the dialects of its databases: the statements that requests are
 * made of, and the versions of the schema.
 *
 * Threads: any, it is constant.
 */
#ifndef RC_STORE_SCHEMA_H
#define RC_STORE_SCHEMA_H

enum { RC_SQL_PARAMETERS = 16, RC_SQL_COLUMNS = 9, RC_SCHEMA_VERSION = 3 };

enum rc_statement {
    RC_STMT_VERSION,      /* -> the highest version */
    RC_STMT_SET_VERSION,  /* version */
    RC_STMT_WRITER_ADD,   /* writer, batch, time */
    RC_STMT_WRITER_PURGE, /* time: those that were last seen before */
    RC_STMT_WRITER_MARK,  /* batch, time, writer */
    RC_STMT_WRITER_BATCH, /* writer -> batch */
    RC_STMT_TAKE_IDS,     /* how many; locks the counter until the transaction ends */
    RC_STMT_LAST_ID,      /* -> last id taken */
    RC_STMT_PUT,    /* id, type, sender, receiver, content, time, client id, event, format */
    RC_STMT_FIND,   /* sender, client id -> id, time */
    RC_STMT_NEWEST, /* type, receiver, above, below, limit -> rows, newest first */
    RC_STMT_OLDEST, /* the same, oldest first */
    RC_STMT_PAIR_NEWEST, /* a, b, above, below, limit, b, a, above, below, limit, limit -> rows */
    RC_STMT_PAIR_OLDEST,
    RC_STMT_CONVERSATIONS, /* user, user, user, below, limit -> rows, newest first */
    RC_STMT_ROWS,          /* ids, as many as there are parameters -> rows, oldest first */
    RC_STMT_MISSED, /* type, receiver, user, above, below, limit -> ids, but for the user's own */
    RC_STMT_MAX_ID,        /* -> id */
    RC_STMT_NEWS,          /* above, below, limit -> ids of messages to users */
    RC_STMT_MEMBERS_SINCE, /* group, limit -> user, since id */
    RC_STMT_GROUPS_OF,     /* user -> group, since id */
    RC_STMT_CURSOR_MOVE,   /* user, id */
    RC_STMT_CURSOR,        /* user -> id */
    RC_STMT_GROUP_USED,    /* group, group -> 1 */
    RC_STMT_MEMBER_ADD,    /* group, user, since id */
    RC_STMT_MEMBER_REMOVE, /* group, user */
    RC_STMT_MEMBER_IS,     /* group, user -> 1 */
    RC_STMT_MEMBER_COUNT,  /* group -> how many */
    RC_STMT_MEMBERS,       /* group, limit -> users */
    RC_STMT_PACKET_LIMIT,  /* MariaDB -> bytes */
    RC_STMT_SCHEMA_LOCK,   /* MariaDB -> 1: this connection has it */
    RC_STMT_COUNT,
};

/* Columns of the rows of messages. */
enum rc_column {
    RC_COL_ID,
    RC_COL_TYPE,
    RC_COL_SENDER,
    RC_COL_RECEIVER,
    RC_COL_CONTENT,
    RC_COL_TIME,
    RC_COL_CLIENT_ID,
    RC_COL_EVENT,
    RC_COL_FORMAT,
};

struct rc_dialect {
    const char *begin_read, *begin_write;
    const char *time_zone; /* what ends the text of a time */
    const char *statement[RC_STMT_COUNT];
    /* [version]: what makes that one out of the one before; NULL ends it. That of 0 makes the table
     * of versions. */
    const char *const *step[RC_SCHEMA_VERSION + 1];
};

extern const struct rc_dialect rc_dialect_sqlite, rc_dialect_mariadb;

#endif /* RC_STORE_SCHEMA_H */

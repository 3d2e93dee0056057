/*
 * db.h - what the store asks of a database: prepared statements of a closed set, one after the other,
 * and transactions. What requests mean is request.c's, the same for each database.
 *
 * Threads:   new: main.  The rest: main until the store's thread starts, that thread then.
 * Ownership: a database owns its handle and its statements. The configuration is borrowed.
 */
#ifndef RC_STORE_DB_H
#define RC_STORE_DB_H

#include "rc/base/conf.h"
#include "rc/base/str.h"
#include "schema.h"

#include <stdbool.h>
#include <stdint.h>

/* What became of a statement; the worse, the higher. From AGAIN on nothing of the transaction was
 * written, unless it was its COMMIT that was LOST: then nobody knows, see rc_batch_settle. */
enum rc_sql_result {
    RC_SQL_OK,
    RC_SQL_REFUSED, /* this statement alone did nothing: a constraint, too long */
    RC_SQL_SLOW,    /* the same: query_until is over */
    RC_SQL_AGAIN,   /* the transaction lost against another one, and may be tried again */
    RC_SQL_FAILED,  /* the transaction is lost: disk full, read-only */
    RC_SQL_LOST,    /* so is the connection: close, and open */
    RC_SQL_FOREIGN, /* open only: not a database that this program can use; later neither */
};

enum rc_sql_kind { RC_SQL_NULL, RC_SQL_INT, RC_SQL_TEXT };
struct rc_sql_value {
    enum rc_sql_kind kind;
    int64_t number;
    struct rc_str text; /* of a column: good until the row function returns */
};
/* One row. False: no more of them. */
typedef bool rc_sql_row_fn(const struct rc_sql_value *column, void *arg);

struct rc_sql_query {
    enum rc_statement statement;
    const struct rc_sql_value
        *parameter;     /* as many as the statement has ?, RC_SQL_PARAMETERS at most */
    rc_sql_row_fn *row; /* NULL: the statement has no rows, or nobody wants them */
    void *arg;
};

enum { RC_DB_WHY = 512, RC_DB_WRITER = 32 };

struct rc_db;
struct rc_db_ops {
    const char *name;
    const struct rc_dialect *dialect;
    /* Opens the database and brings its schema up to date. */
    enum rc_sql_result (*open)(struct rc_db *g);
    void (*close)(struct rc_db *g); /* also of one that is not open */
    void (*free)(struct rc_db *g);  /* a closed one */
    enum rc_sql_result (*run)(struct rc_db *g, const struct rc_sql_query *q);
    /* SQL that has neither parameters nor rows. */
    enum rc_sql_result (*exec)(struct rc_db *g, const char *sql);
    /* Is it still there? NULL: it always is. */
    enum rc_sql_result (*ping)(struct rc_db *g);
};

struct rc_db {
    const struct rc_db_ops *ops;
    const struct rc_conf *conf;
    size_t content_max; /* bytes of a message's content */
    uint64_t changed;   /* rows that the last statement changed */
    uint64_t next_id;   /* in a transaction that writes: of the next message; else 0 */
    bool follows;       /* others' messages are told, see follow.h: */
    uint64_t followed;  /* up to this one they have been */
    uint64_t
        query_until; /* of rc_clock_ms(), when what reads has to be done; 0: no matter. MariaDB
                           * looks at the time of each query by itself */
    uint64_t slow;   /* queries that were not */
    uint64_t batch;  /* number of the last transaction that wrote, or tried to */
    char why[RC_DB_WHY];           /* of the last result but OK, for the log */
    char writer[RC_DB_WRITER + 1]; /* names this process in store_writer */
};

/* Fills what is common. False: no random bytes for its name. */
bool rc_db_init(struct rc_db *g, const struct rc_db_ops *ops, const struct rc_conf *conf);
struct rc_db *rc_sqlite_new(const struct rc_conf *conf);
/* password: copied. */
struct rc_db *rc_mariadb_new(const struct rc_conf *conf, const char *password);

/* A statement with one number in its one row; *n stays as it is when there is no row. */
enum rc_sql_result rc_db_number(struct rc_db *g, enum rc_statement statement,
                                const struct rc_sql_value *parameter, uint64_t *n);
void rc_db_why(struct rc_db *g, const char *fmt, ...) RC_PRINTF(2, 3);

static inline struct rc_sql_value rc_sql_int(uint64_t n)
{
    return (struct rc_sql_value){.kind = RC_SQL_INT, .number = (int64_t)n};
}
static inline struct rc_sql_value rc_sql_text(struct rc_str s)
{
    return (struct rc_sql_value){.kind = RC_SQL_TEXT, .text = s};
}
/* NULL for an empty text. */
static inline struct rc_sql_value rc_sql_text_or_null(struct rc_str s)
{
    return s.len != 0 ? rc_sql_text(s) : (struct rc_sql_value){.kind = RC_SQL_NULL};
}

/* migrate.c: brings the schema of an open database up to date. Part of open. */
enum rc_sql_result rc_migrate(struct rc_db *g);

#endif /* RC_STORE_DB_H */

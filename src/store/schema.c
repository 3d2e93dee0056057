/* schema.c - the SQL. What both dialects write alike is written once. */
#include "schema.h"

#include <stddef.h>

#define COLUMNS                                                                              \
    "id, conversation_type, sender_id, receiver_id, content, created_at, client_id, event, " \
    "format"
#define ROWS(by) "SELECT " COLUMNS " FROM message" by " WHERE "
/* Of what was missed each group is asked for alone, because of MariaDB: it seeks to an id within a group
 * only when it is told both as constants, and walks through all the messages of a group in a join. */
#define PAGE " AND id > ? AND id < ? ORDER BY id "
/* One half of what two users wrote to each other. The second one leaves out what a user wrote to
 * themselves: the first has it. */
#define HALF(by, order, more)                                                           \
    "SELECT * FROM (" ROWS(by) "conversation_type = 'private' AND receiver_id = ? AND " \
                               "sender_id = ?" more PAGE order "LIMIT ?) AS half"
#define PAIR(by, order)                                                                  \
    HALF(by, order, "")                                                                  \
    " UNION ALL " HALF(by, order, " AND sender_id <> receiver_id") " ORDER BY id " order \
                                                                   "LIMIT ?"
/* of: ids of private messages, the last of each user w and perhaps others. Behind it the user, whose groups
 * those are. */
#define LAST(of)                                                                              \
    "SELECT m.id, m.conversation_type, m.sender_id, m.receiver_id, m.content, m.created_at, " \
    "m.client_id, m.event, m.format FROM (SELECT MAX(id) AS id FROM (" of                     \
    ") AS p GROUP BY w UNION ALL SELECT (SELECT n.id FROM message n WHERE "                   \
    "n.conversation_type = 'group' AND n.receiver_id = g.group_id ORDER BY n.id DESC "        \
    "LIMIT 1) FROM group_membership g WHERE g.user_id = "

#define PUT "INSERT INTO message (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
#define MEMBER_ADD \
    "INSERT INTO group_membership (group_id, user_id, since_id) VALUES (?, ?, ?) "
#define CURSOR_MOVE "INSERT INTO user_cursor (user_id, message_id) VALUES (?, ?) "
/* Messages that others put there by hand count as well. */
#define TAKE_IDS(greatest)                           \
    "UPDATE message_counter SET last_id = " greatest \
    "(last_id, (SELECT COALESCE(MAX(id), 0) FROM message)) + ?"

#define COMMON(BY)                                                                             \
    [RC_STMT_VERSION] = "SELECT MAX(version) FROM schema_version",                             \
    [RC_STMT_SET_VERSION] = "INSERT INTO schema_version (version) VALUES (?)",                 \
    [RC_STMT_WRITER_ADD] =                                                                     \
        "REPLACE INTO store_writer (writer, batch, seen_at) VALUES (?, ?, ?)",                 \
    [RC_STMT_WRITER_PURGE] = "DELETE FROM store_writer WHERE seen_at < ?",                     \
    [RC_STMT_WRITER_MARK] = "UPDATE store_writer SET batch = ?, seen_at = ? WHERE writer = ?", \
    [RC_STMT_WRITER_BATCH] = "SELECT batch FROM store_writer WHERE writer = ?",                \
    [RC_STMT_LAST_ID] = "SELECT last_id FROM message_counter",                                 \
    [RC_STMT_FIND] =                                                                           \
        "SELECT id, created_at FROM message WHERE sender_id = ? AND client_id = ?",            \
    [RC_STMT_NEWEST] =                                                                         \
        ROWS(BY("message_receiver")) "conversation_type = ? AND receiver_id = ?" PAGE          \
                                     "DESC LIMIT ?",                                           \
    [RC_STMT_OLDEST] =                                                                         \
        ROWS(BY("message_receiver")) "conversation_type = ? AND receiver_id = ?" PAGE          \
                                     "LIMIT ?",                                                \
    [RC_STMT_PAIR_NEWEST] = PAIR(BY("message_pair"), "DESC "),                                 \
    [RC_STMT_PAIR_OLDEST] = PAIR(BY("message_pair"), ""),                                      \
    [RC_STMT_ROWS] =                                                                           \
        ROWS("") "id IN (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ORDER BY id",         \
    [RC_STMT_MISSED] = "SELECT id FROM message" BY(                                            \
        "message_receiver") " WHERE conversation_type = ? AND receiver_id = ? AND sender_id "  \
                            "<> ?" PAGE "LIMIT ?",                                             \
    [RC_STMT_MAX_ID] = "SELECT MAX(id) FROM message",                                          \
    [RC_STMT_NEWS] =                                                                           \
        "SELECT id FROM message" BY("PRIMARY") " WHERE conversation_type <> 'room'" PAGE       \
                                               "LIMIT ?",                                      \
    [RC_STMT_MEMBERS_SINCE] =                                                                  \
        "SELECT user_id, since_id FROM group_membership WHERE group_id = ? "                   \
        "ORDER BY user_id LIMIT ?",                                                            \
    [RC_STMT_GROUPS_OF] = "SELECT group_id, since_id FROM group_membership WHERE user_id = ?", \
    [RC_STMT_GROUP_USED] = "SELECT 1 FROM group_membership WHERE group_id = ? UNION ALL "      \
                           "SELECT 1 FROM message WHERE conversation_type = 'group' AND "      \
                           "receiver_id = ? LIMIT 1",                                          \
    [RC_STMT_CURSOR] = "SELECT message_id FROM user_cursor WHERE user_id = ?",                 \
    [RC_STMT_MEMBER_REMOVE] =                                                                  \
        "DELETE FROM group_membership WHERE group_id = ? AND user_id = ?",                     \
    [RC_STMT_MEMBER_IS] = "SELECT 1 FROM group_membership WHERE group_id = ? AND user_id = ?", \
    [RC_STMT_MEMBER_COUNT] = "SELECT COUNT(*) FROM group_membership WHERE group_id = ?",       \
    [RC_STMT_MEMBERS] = "SELECT user_id FROM group_membership WHERE group_id = ? "             \
                        "ORDER BY user_id LIMIT ?"

/* ---- SQLite ---- */

/* NOLINTBEGIN(bugprone-suspicious-missing-comma): many of these texts have several lines */
static const char *const sqlite_versions[] = {
    "CREATE TABLE schema_version (version INTEGER PRIMARY KEY, "
    "applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)",
    NULL,
};
static const char *const sqlite_1[] = {
    "CREATE TABLE message (id INTEGER PRIMARY KEY, "
    "conversation_type TEXT NOT NULL CHECK (conversation_type IN ('private', 'group', "
    "'room')), "
    "sender_id TEXT NOT NULL, receiver_id TEXT NOT NULL, content TEXT NOT NULL, "
    "created_at TEXT NOT NULL, client_id TEXT)",
    "CREATE TABLE group_membership (group_id TEXT NOT NULL, user_id TEXT NOT NULL, "
    "PRIMARY KEY (group_id, user_id)) WITHOUT ROWID",
    "CREATE UNIQUE INDEX message_client ON message (sender_id, client_id) "
    "WHERE client_id IS NOT NULL",
    "CREATE INDEX message_receiver ON message (conversation_type, receiver_id, id)",
    NULL,
};
static const char *const sqlite_2[] = {
    "ALTER TABLE message ADD COLUMN event TEXT",
    "ALTER TABLE message ADD COLUMN format INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX message_pair ON message (receiver_id, sender_id, id) "
    "WHERE conversation_type = 'private'",
    "ALTER TABLE group_membership ADD COLUMN since_id INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX group_membership_user ON group_membership (user_id)",
    "CREATE TABLE user_cursor (user_id TEXT PRIMARY KEY, message_id INTEGER NOT NULL) "
    "WITHOUT ROWID",
    "CREATE TABLE message_counter (id INTEGER PRIMARY KEY CHECK (id = 1), "
    "last_id INTEGER NOT NULL)",
    "INSERT INTO message_counter (id, last_id) VALUES (1, 0)",
    "CREATE TABLE store_writer (writer TEXT PRIMARY KEY, batch INTEGER NOT NULL, "
    "seen_at TEXT NOT NULL) WITHOUT ROWID",
    NULL,
};
/* With whom a user has written. */
static const char *const sqlite_3[] = {
    "CREATE INDEX message_sent ON message (sender_id, receiver_id, id) "
    "WHERE conversation_type = 'private'",
    NULL,
};

/* From one name to the next by the index: SQLite would walk through all messages to group them. */
#define STEPS(name, me, who)                                                             \
    name "(w) AS (SELECT MIN(" who ") FROM message WHERE conversation_type = 'private' " \
         "AND " me " = ?1 UNION ALL SELECT (SELECT MIN(" who ") FROM message WHERE "     \
         "conversation_type = 'private' AND " me " = ?1 AND " who " > w) FROM " name     \
         " WHERE w IS NOT NULL)"
#define LAST_EACH(name, me, who)                                                          \
    "SELECT w, (SELECT id FROM message WHERE conversation_type = 'private' AND " me       \
    " = ?1 AND " who " = w ORDER BY id DESC LIMIT 1) AS id FROM " name " WHERE w IS NOT " \
    "NULL"
#define SQLITE_CONVERSATIONS                                                                  \
    "WITH RECURSIVE " STEPS("sent", "sender_id", "receiver_id") ", " STEPS(                   \
        "got", "receiver_id",                                                                 \
        "sender_id") " " LAST(LAST_EACH("sent", "sender_id",                                  \
                                        "receiver_id") " UNION ALL " LAST_EACH("got",         \
                                                                               "receiver_id", \
                                                                               "sender_id")) "?1) AS l CROSS JOIN message m ON m.id = l.id WHERE l.id < ?4 ORDER BY l.id DESC LIMIT ?5"

#define SQLITE_BY(index) ""

const struct rc_dialect rc_dialect_sqlite = {
    .begin_read = "BEGIN",
    .begin_write = "BEGIN IMMEDIATE",
    .time_zone = "Z",
    .statement =
        {
            COMMON(SQLITE_BY),
            [RC_STMT_TAKE_IDS] = TAKE_IDS("MAX"),
            [RC_STMT_PUT] =
                PUT "ON CONFLICT (sender_id, client_id) WHERE client_id IS NOT NULL DO NOTHING",
            [RC_STMT_CONVERSATIONS] = SQLITE_CONVERSATIONS,
            [RC_STMT_CURSOR_MOVE] =
                CURSOR_MOVE "ON CONFLICT (user_id) DO UPDATE SET "
                            "message_id = MAX(message_id, excluded.message_id)",
            [RC_STMT_MEMBER_ADD] = MEMBER_ADD "ON CONFLICT DO NOTHING",
        },
    .step = {sqlite_versions, sqlite_1, sqlite_2, sqlite_3},
};

/* ---- MariaDB ---- */

/* Names are compared byte for byte, blanks at their ends included. */
#define TABLE_OPTIONS " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin"

/* A definition commits by itself here: a step that was broken off is carried out again. */
static const char *const mariadb_versions[] = {
    "CREATE TABLE IF NOT EXISTS schema_version (version INT PRIMARY KEY, "
    "applied_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP)" TABLE_OPTIONS,
    NULL,
};
static const char *const mariadb_1[] = {
    "CREATE TABLE IF NOT EXISTS message (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, "
    "conversation_type ENUM('private', 'group', 'room') NOT NULL, "
    "sender_id VARCHAR(255) NOT NULL, receiver_id VARCHAR(255) NOT NULL, "
    "content LONGTEXT NOT NULL, created_at DATETIME(3) NOT NULL, client_id VARCHAR(128), "
    "UNIQUE KEY message_client (sender_id, client_id), "
    "KEY message_receiver (conversation_type, receiver_id, id))" TABLE_OPTIONS,
    "CREATE TABLE IF NOT EXISTS group_membership (group_id VARCHAR(255) NOT NULL, "
    "user_id VARCHAR(255) NOT NULL, PRIMARY KEY (group_id, user_id))" TABLE_OPTIONS,
    NULL,
};
static const char *const mariadb_2[] = {
    "ALTER TABLE message ADD COLUMN IF NOT EXISTS event VARCHAR(255), "
    "ADD COLUMN IF NOT EXISTS format TINYINT NOT NULL DEFAULT 0, "
    "ADD KEY IF NOT EXISTS message_pair (conversation_type, receiver_id, sender_id, id)",
    "ALTER TABLE group_membership "
    "ADD COLUMN IF NOT EXISTS since_id BIGINT NOT NULL DEFAULT 0, "
    "ADD KEY IF NOT EXISTS group_membership_user (user_id)",
    "CREATE TABLE IF NOT EXISTS user_cursor (user_id VARCHAR(255) PRIMARY KEY, "
    "message_id BIGINT NOT NULL)" TABLE_OPTIONS,
    "CREATE TABLE IF NOT EXISTS message_counter (id INT PRIMARY KEY CHECK (id = 1), "
    "last_id BIGINT NOT NULL)" TABLE_OPTIONS,
    "INSERT IGNORE INTO message_counter (id, last_id) VALUES (1, 0)",
    "CREATE TABLE IF NOT EXISTS store_writer (writer VARCHAR(32) PRIMARY KEY, "
    "batch BIGINT NOT NULL, seen_at DATETIME(3) NOT NULL)" TABLE_OPTIONS,
    NULL,
};
static const char *const mariadb_3[] = {
    "ALTER TABLE message "
    "ADD KEY IF NOT EXISTS message_sent (conversation_type, sender_id, receiver_id, id)",
    NULL,
};

#define LAST_EACH_BY_INDEX(me, who)                                                        \
    "SELECT " who " AS w, MAX(id) AS id FROM message WHERE conversation_type = 'private' " \
    "AND " me " = ? GROUP BY " who
#define MARIADB_CONVERSATIONS                                                             \
    LAST(LAST_EACH_BY_INDEX("sender_id", "receiver_id") " UNION ALL " LAST_EACH_BY_INDEX( \
        "receiver_id", "sender_id"))                                                      \
    "?) AS l STRAIGHT_JOIN message m ON m.id = l.id WHERE l.id < ? ORDER BY l.id DESC LIMIT ?"

/* It would rather look through all messages, in the hope of soon having a page of those that it wants. */
#define MARIADB_BY(index) " FORCE INDEX (" index ")"

const struct rc_dialect rc_dialect_mariadb = {
    .begin_read = "START TRANSACTION READ ONLY",
    .begin_write = "START TRANSACTION",
    .time_zone = "",
    .statement =
        {
            COMMON(MARIADB_BY),
            [RC_STMT_PACKET_LIMIT] = "SELECT @@max_allowed_packet",
            [RC_STMT_SCHEMA_LOCK] = "SELECT GET_LOCK('roomcast.schema', 5)",
            [RC_STMT_TAKE_IDS] = TAKE_IDS("GREATEST"),
            [RC_STMT_PUT] = PUT "ON DUPLICATE KEY UPDATE format = format",
            [RC_STMT_CONVERSATIONS] = MARIADB_CONVERSATIONS,
            [RC_STMT_CURSOR_MOVE] =
                CURSOR_MOVE "ON DUPLICATE KEY UPDATE "
                            "message_id = GREATEST(message_id, VALUES(message_id))",
            [RC_STMT_MEMBER_ADD] = MEMBER_ADD "ON DUPLICATE KEY UPDATE since_id = since_id",
        },
    .step = {mariadb_versions, mariadb_1, mariadb_2, mariadb_3},
};
/* NOLINTEND(bugprone-suspicious-missing-comma) */

/* schema.c - the SQL. What both dialects write alike is written once. */
#include "schema.h"

#include <stddef.h>

#define COLUMNS                                                                              \
    "id, conversation_type, sender_id, receiver_id, content, created_at, client_id, event, " \
    "format"
#define ROWS "SELECT " COLUMNS " FROM message WHERE "
#define PAGE " AND id > ? AND id < ? ORDER BY id "
/* One half of what two users wrote to each other. The second one leaves out what a user wrote to
 * themselves: the first has it. */
#define HALF(order, more)                                                           \
    "SELECT * FROM (" ROWS "conversation_type = 'private' AND receiver_id = ? AND " \
    "sender_id = ?" more PAGE order "LIMIT ?) AS half"
#define PAIR(order) \
    HALF(order, "") \
    " UNION ALL " HALF(order, " AND sender_id <> receiver_id") " ORDER BY id " order "LIMIT ?"
/* The ids first, from the indexes alone as far as may be; the order of the join is that written. */
#define MISSED(join)                                                                          \
    "SELECT m.id, m.conversation_type, m.sender_id, m.receiver_id, m.content, m.created_at, " \
    "m.client_id, m.event, m.format FROM (SELECT id FROM (SELECT id FROM message WHERE "      \
    "conversation_type = 'private' AND receiver_id = ? AND sender_id <> ? AND id > ? "        \
    "ORDER BY id LIMIT ?) AS p UNION ALL SELECT id FROM (SELECT n.id FROM group_membership "  \
    "g " join                                                                                 \
    " message n ON n.conversation_type = 'group' AND n.receiver_id = g.group_id AND "         \
    "n.id > g.since_id WHERE g.user_id = ? AND n.sender_id <> ? AND n.id > ? "                \
    "ORDER BY n.id LIMIT ?) AS q ORDER BY id LIMIT ?) AS i " join                             \
    " message m ON m.id = i.id ORDER BY m.id"

#define PUT "INSERT INTO message (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
#define MEMBER_ADD \
    "INSERT INTO group_membership (group_id, user_id, since_id) VALUES (?, ?, ?) "
#define CURSOR_MOVE "INSERT INTO user_cursor (user_id, message_id) VALUES (?, ?) "
/* Messages that others put there by hand count as well. */
#define TAKE_IDS(greatest)                           \
    "UPDATE message_counter SET last_id = " greatest \
    "(last_id, (SELECT COALESCE(MAX(id), 0) FROM message)) + ?"

#define COMMON                                                                                 \
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
    [RC_STMT_NEWEST] = ROWS "conversation_type = ? AND receiver_id = ?" PAGE "DESC LIMIT ?",   \
    [RC_STMT_OLDEST] = ROWS "conversation_type = ? AND receiver_id = ?" PAGE "LIMIT ?",        \
    [RC_STMT_PAIR_NEWEST] = PAIR("DESC "), [RC_STMT_PAIR_OLDEST] = PAIR(""),                   \
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

const struct rc_dialect rc_dialect_sqlite = {
    .begin_read = "BEGIN",
    .begin_write = "BEGIN IMMEDIATE",
    .time_zone = "Z",
    .statement =
        {
            COMMON,
            [RC_STMT_TAKE_IDS] = TAKE_IDS("MAX"),
            [RC_STMT_PUT] =
                PUT "ON CONFLICT (sender_id, client_id) WHERE client_id IS NOT NULL DO NOTHING",
            [RC_STMT_MISSED] = MISSED("CROSS JOIN"),
            [RC_STMT_CURSOR_MOVE] =
                CURSOR_MOVE "ON CONFLICT (user_id) DO UPDATE SET "
                            "message_id = MAX(message_id, excluded.message_id)",
            [RC_STMT_MEMBER_ADD] = MEMBER_ADD "ON CONFLICT DO NOTHING",
        },
    .step = {sqlite_versions, sqlite_1, sqlite_2},
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

const struct rc_dialect rc_dialect_mariadb = {
    .begin_read = "START TRANSACTION READ ONLY",
    .begin_write = "START TRANSACTION",
    .time_zone = "",
    .statement =
        {
            COMMON,
            [RC_STMT_PACKET_LIMIT] = "SELECT @@max_allowed_packet",
            [RC_STMT_TAKE_IDS] = TAKE_IDS("GREATEST"),
            [RC_STMT_PUT] = PUT "ON DUPLICATE KEY UPDATE format = format",
            [RC_STMT_MISSED] = MISSED("STRAIGHT_JOIN"),
            [RC_STMT_CURSOR_MOVE] =
                CURSOR_MOVE "ON DUPLICATE KEY UPDATE "
                            "message_id = GREATEST(message_id, VALUES(message_id))",
            [RC_STMT_MEMBER_ADD] = MEMBER_ADD "ON DUPLICATE KEY UPDATE since_id = since_id",
        },
    .step = {mariadb_versions, mariadb_1, mariadb_2},
};
/* NOLINTEND(bugprone-suspicious-missing-comma) */

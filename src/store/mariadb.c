/*
 * mariadb.c - the database server: one connection, prepared statements. What is committed survives a crash
 * of the server as its innodb_flush_log_at_trx_commit says.
 *
 * Several nodes may use one database. Whoever writes holds the row of message_counter from the first
 * statement on, so ids rise in the order of the commits, and deadlocks are only others' doing.
 */
#include "db.h"
#include "rc/base/buf.h"
#include "rc/base/mem.h"
#include "rc/base/thread.h"
#include "rc/broker/store_port.h"

#include <errmsg.h>
#include <mysql.h>
#include <mysqld_error.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PACKET_MARGIN = 16384,  /* of the server's max_allowed_packet, for all but the content */
    PACKET_MAX = 1 << 30,   /* of what we take */
    COLUMN_SIZE = 1024,     /* longer values are fetched by themselves */
    IDLE_MARGIN_S = 60,     /* the server drops a connection of which it has heard nothing */
    MIGRATION_S = 6 * 3600, /* that one statement may take: an index of a large table */
};

struct column {
    char text[COLUMN_SIZE];
    struct rc_buf whole; /* of a value that is longer */
    long long number;
    unsigned long length;
    my_bool null;
};

struct mariadb {
    struct rc_db engine;
    char *password;
    MYSQL *db;
    bool patient; /* the connection is for a migration */
    MYSQL_STMT *statement[RC_STMT_COUNT], *bounded[RC_STMT_COUNT]; /* by store.query_timeout */
    struct column column[RC_SQL_COLUMNS];
};

static struct mariadb *mariadb_of(struct rc_db *g)
{
    return (struct mariadb *)(void *)g;
}

/* ---- results ---- */

static enum rc_sql_result classify(unsigned code)
{
    switch (code) {
    case ER_DUP_ENTRY:
    case ER_DATA_TOO_LONG:
    case ER_TRUNCATED_WRONG_VALUE_FOR_FIELD:
    case ER_TRUNCATED_WRONG_VALUE:
    case ER_WARN_DATA_OUT_OF_RANGE:
    case ER_BAD_NULL_ERROR:
    case ER_CONSTRAINT_FAILED: return RC_SQL_REFUSED;
    case ER_STATEMENT_TIMEOUT: return RC_SQL_SLOW;
    case ER_LOCK_DEADLOCK: return RC_SQL_AGAIN;
    case ER_ERROR_DURING_COMMIT: /* the storage engine and the binary log may differ */
    case ER_CONNECTION_KILLED:
    case ER_SERVER_SHUTDOWN:
    case ER_NEW_ABORTING_CONNECTION:
    case ER_NET_PACKET_TOO_LARGE:
    case ER_NET_READ_ERROR:
    case ER_NET_READ_INTERRUPTED:
    case ER_NET_ERROR_ON_WRITE:
    case ER_NET_WRITE_INTERRUPTED:
    case ER_UNKNOWN_STMT_HANDLER: return RC_SQL_LOST;
    default: return code >= CR_MIN_ERROR && code <= CR_MAX_ERROR ? RC_SQL_LOST : RC_SQL_FAILED;
    }
}

static enum rc_sql_result result_of(struct mariadb *q, unsigned code, const char *text)
{
    enum rc_sql_result rc = classify(code);

    rc_db_why(&q->engine, "%u: %s", code,
              rc != RC_SQL_SLOW ? text : "a query took longer than store.query_timeout");
    q->engine.slow += rc == RC_SQL_SLOW;
    return rc;
}

static enum rc_sql_result result_of_db(struct mariadb *q)
{
    return result_of(q, mysql_errno(q->db), mysql_error(q->db));
}

static enum rc_sql_result result_of_statement(struct mariadb *q, MYSQL_STMT *st)
{
    /* What comes in the midst of the rows only the connection knows. */
    if (mysql_stmt_errno(st) == 0)
        return result_of_db(q);
    return result_of(q, mysql_stmt_errno(st), mysql_stmt_error(st));
}

/* ---- statements ---- */

static enum rc_sql_result exec(struct rc_db *g, const char *sql)
{
    struct mariadb *q = mariadb_of(g);

    if (mysql_real_query(q->db, sql, strlen(sql)) != 0)
        return result_of_db(q);
    if (mysql_field_count(q->db) != 0)
        mysql_free_result(mysql_store_result(q->db));
    return RC_SQL_OK;
}

/* What only reads, if it may take no longer than that: what writes may run into others' locks. */
static void put_bound(const struct mariadb *q, struct rc_buf *sql)
{
    unsigned ms = q->engine.conf->store_query_timeout;

    rc_buf_printf(sql, "SET STATEMENT max_statement_time = %u.%03u FOR ", ms / 1000, ms % 1000);
}

static enum rc_sql_result prepare(struct mariadb *q, enum rc_statement statement, bool bounded,
                                  MYSQL_STMT **prepared)
{
    struct rc_buf sql = RC_BUF_INIT;
    MYSQL_STMT *st = mysql_stmt_init(q->db);
    enum rc_sql_result rc = RC_SQL_OK;

    RC_ASSERT(st != NULL);
    if (bounded)
        put_bound(q, &sql);
    rc_buf_putz(&sql, q->engine.ops->dialect->statement[statement]);
    if (mysql_stmt_prepare(st, (const char *)sql.data, sql.len) == 0) {
        *prepared = st;
    } else {
        rc = result_of_statement(q, st);
        (void)mysql_stmt_close(st);
    }
    rc_buf_deinit(&sql);
    return rc;
}

static bool bind_parameters(MYSQL_STMT *st, const struct rc_sql_value *value,
                            MYSQL_BIND bind[RC_SQL_PARAMETERS])
{
    unsigned long n = mysql_stmt_param_count(st);

    RC_ASSERT(n <= RC_SQL_PARAMETERS && (n == 0 || value != NULL));
    memset(bind, 0, n * sizeof(*bind));
    for (unsigned long i = 0; i < n; i++, value++) {
        switch (value->kind) {
        case RC_SQL_NULL: bind[i].buffer_type = MYSQL_TYPE_NULL; break;
        case RC_SQL_INT:
            bind[i].buffer_type = MYSQL_TYPE_LONGLONG;
            bind[i].buffer = (void *)(uintptr_t)&value->number;
            break;
        case RC_SQL_TEXT:
            bind[i].buffer_type = MYSQL_TYPE_STRING;
            bind[i].buffer = (void *)(uintptr_t)value->text.p;
            bind[i].buffer_length = (unsigned long)value->text.len;
            break;
        }
    }
    return n == 0 || mysql_stmt_bind_param(st, bind) == 0;
}

static bool is_number(enum enum_field_types type)
{
    return type == MYSQL_TYPE_TINY || type == MYSQL_TYPE_SHORT || type == MYSQL_TYPE_LONG ||
           type == MYSQL_TYPE_INT24 || type == MYSQL_TYPE_LONGLONG;
}

static bool bind_columns(struct mariadb *q, MYSQL_STMT *st, MYSQL_BIND bind[RC_SQL_COLUMNS])
{
    MYSQL_RES *meta = mysql_stmt_result_metadata(st);
    unsigned n = mysql_stmt_field_count(st);

    RC_ASSERT(n <= RC_SQL_COLUMNS && meta != NULL);
    memset(bind, 0, n * sizeof(*bind));
    for (unsigned i = 0; i < n; i++) {
        struct column *c = &q->column[i];

        bind[i].is_null = &c->null;
        bind[i].length = &c->length;
        if (is_number(mysql_fetch_field_direct(meta, i)->type)) {
            bind[i].buffer_type = MYSQL_TYPE_LONGLONG;
            bind[i].buffer = &c->number;
        } else {
            bind[i].buffer_type = MYSQL_TYPE_STRING;
            bind[i].buffer = c->text;
            bind[i].buffer_length = sizeof(c->text);
        }
    }
    mysql_free_result(meta);
    return mysql_stmt_bind_result(st, bind) == 0;
}

/* A value that is longer than the bound buffer. */
static bool fetch_whole(MYSQL_STMT *st, unsigned i, struct column *c)
{
    MYSQL_BIND bind = {.buffer_type = MYSQL_TYPE_STRING,
                       .length = &c->length,
                       .is_null = &c->null,
                       .buffer_length = c->length};

    rc_buf_reset(&c->whole);
    bind.buffer = rc_buf_reserve(&c->whole, c->length);
    return bind.buffer != NULL && mysql_stmt_fetch_column(st, &bind, i, 0) == 0;
}

static bool read_row(struct mariadb *q, MYSQL_STMT *st, const MYSQL_BIND *bind,
                     struct rc_sql_value *value)
{
    unsigned n = mysql_stmt_field_count(st);

    for (unsigned i = 0; i < n; i++) {
        struct column *c = &q->column[i];

        if (c->null)
            value[i] = (struct rc_sql_value){.kind = RC_SQL_NULL};
        else if (bind[i].buffer_type == MYSQL_TYPE_LONGLONG)
            value[i] = rc_sql_int((uint64_t)c->number);
        else if (c->length <= sizeof(c->text))
            value[i] = rc_sql_text(rc_str_make(c->text, c->length));
        else if (fetch_whole(st, i, c))
            value[i] = rc_sql_text(rc_str_make(c->whole.data, c->length));
        else
            return false;
    }
    return true;
}

/* Row by row, as they come: what nobody wants any more is dropped by mysql_stmt_free_result. */
static enum rc_sql_result fetch(struct mariadb *q, MYSQL_STMT *st,
                                const struct rc_sql_query *query)
{
    struct rc_sql_value value[RC_SQL_COLUMNS] = {0};
    MYSQL_BIND bind[RC_SQL_COLUMNS];
    int rc;

    if (!bind_columns(q, st, bind))
        return result_of_statement(q, st);
    while ((rc = mysql_stmt_fetch(st)) == 0 || rc == MYSQL_DATA_TRUNCATED) {
        if (!read_row(q, st, bind, value)) {
            rc_db_why(&q->engine, "a row cannot be read: %s", mysql_stmt_error(st));
            return RC_SQL_REFUSED;
        }
        if (!query->row(value, query->arg))
            return RC_SQL_OK;
    }
    return rc == MYSQL_NO_DATA ? RC_SQL_OK : result_of_statement(q, st);
}

static enum rc_sql_result run(struct rc_db *g, const struct rc_sql_query *query)
{
    struct mariadb *q = mariadb_of(g);
    MYSQL_BIND bind[RC_SQL_PARAMETERS];
    enum rc_sql_result rc = RC_SQL_OK;
    bool bounded = g->query_until != 0;
    MYSQL_STMT **prepared = &(bounded ? q->bounded : q->statement)[query->statement], *st;

    g->changed = 0;
    if (*prepared == NULL)
        rc = prepare(q, query->statement, bounded, prepared);
    if (rc != RC_SQL_OK)
        return rc;
    st = *prepared;
    if (!bind_parameters(st, query->parameter, bind) || mysql_stmt_execute(st) != 0)
        return result_of_statement(q, st);
    if (mysql_stmt_field_count(st) == 0) {
        g->changed = (uint64_t)mysql_stmt_affected_rows(st);
        return RC_SQL_OK;
    }
    if (query->row != NULL)
        rc = fetch(q, st, query);
    if (mysql_stmt_free_result(st) != 0 && rc == RC_SQL_OK)
        rc = result_of_statement(q, st);
    for (unsigned i = 0; i < RC_SQL_COLUMNS; i++)
        rc_buf_deinit(&q->column[i].whole);
    return rc;
}

/* ---- open and close ---- */

static void close_it(struct rc_db *g)
{
    struct mariadb *q = mariadb_of(g);

    for (unsigned i = 0; i < RC_STMT_COUNT; i++) {
        if (q->statement[i] != NULL)
            (void)mysql_stmt_close(q->statement[i]);
        if (q->bounded[i] != NULL)
            (void)mysql_stmt_close(q->bounded[i]);
        q->statement[i] = q->bounded[i] = NULL;
    }
    if (q->db != NULL)
        mysql_close(q->db);
    q->db = NULL;
}

static void free_it(struct rc_db *g)
{
    struct mariadb *q = mariadb_of(g);

    OPENSSL_cleanse(q->password, strlen(q->password));
    free(q->password);
    free(q);
}

static void set_options(struct mariadb *q, bool tls)
{
    const struct rc_conf *conf = q->engine.conf;
    unsigned seconds = (conf->store_timeout + 999) / 1000, no = 0;
    unsigned reading = q->patient ? MIGRATION_S : seconds;
    unsigned long packet = PACKET_MAX;
    my_bool on = 1, verify = conf->store_tls == RC_STORETLS_REQUIRED ? 1 : 0;

    (void)mysql_options(q->db, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    (void)mysql_options(q->db, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
    (void)mysql_options(q->db, MYSQL_OPT_READ_TIMEOUT, &reading);
    (void)mysql_options(q->db, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
    (void)mysql_options(q->db, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet);
    (void)mysql_options(q->db, MYSQL_OPT_LOCAL_INFILE,
                        &no); /* the server may not ask for files */
    if (!tls)
        return;
    (void)mysql_options(q->db, MYSQL_OPT_SSL_ENFORCE, &on);
    (void)mysql_options(q->db, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
    if (conf->store_tls_ca[0] != '\0')
        (void)mysql_options(q->db, MYSQL_OPT_SSL_CA, conf->store_tls_ca);
}

static bool connect_once(struct mariadb *q, bool tls)
{
    const struct rc_conf *conf = q->engine.conf;
    bool local = conf->store_socket[0] != '\0';

    close_it(&q->engine);
    q->db = mysql_init(NULL);
    RC_ASSERT(q->db != NULL);
    set_options(q, tls);
    if (mysql_real_connect(q->db, local ? "localhost" : conf->store_host, conf->store_user,
                           q->password, conf->store_database, conf->store_port,
                           local ? conf->store_socket : NULL, 0) != NULL)
        return true;
    (void)result_of_db(q);
    return false;
}

static bool connect_it(struct mariadb *q)
{
    const struct rc_conf *conf = q->engine.conf;
    /* A Unix socket leads to nobody else, and nobody listens. */
    bool tls = conf->store_tls == RC_STORETLS_REQUIRED ||
               (conf->store_tls == RC_STORETLS_PREFER && conf->store_socket[0] == '\0');
    bool ok = connect_once(q, tls);

    if (!ok && tls && conf->store_tls == RC_STORETLS_PREFER &&
        mysql_errno(q->db) == CR_SSL_CONNECTION_ERROR)
        ok = connect_once(q, false);
    if (ok && conf->store_tls == RC_STORETLS_REQUIRED && mysql_get_ssl_cipher(q->db) == NULL) {
        rc_db_why(&q->engine, "the server has no TLS, which store.tls requires");
        ok = false;
    }
    return ok;
}

/* A longer packet would cost us the connection: the server reads no further. */
static enum rc_sql_result read_packet_limit(struct rc_db *g)
{
    uint64_t limit = PACKET_MAX;
    enum rc_sql_result rc = rc_db_number(g, RC_STMT_PACKET_LIMIT, NULL, &limit);

    if (rc == RC_SQL_OK && limit < g->content_max + PACKET_MARGIN)
        g->content_max = limit > PACKET_MARGIN ? (size_t)(limit - PACKET_MARGIN) : 0;
    return rc;
}

/* The transaction of a connection that is gone holds its locks no longer than the time-out. */
static enum rc_sql_result set_session(struct rc_db *g)
{
    unsigned seconds = (g->conf->store_timeout + 999) / 1000;
    char sql[512];

    (void)snprintf(sql, sizeof(sql),
                   "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
                   "time_zone = '+00:00', tx_isolation = 'READ-COMMITTED', autocommit = 1, "
                   "innodb_lock_wait_timeout = %u, idle_transaction_timeout = %u, "
                   "wait_timeout = %u",
                   seconds, seconds, seconds + IDLE_MARGIN_S);
    return exec(g, sql);
}

static enum rc_sql_result begin(struct rc_db *g, bool patient)
{
    struct mariadb *q = mariadb_of(g);

    q->patient = patient;
    return connect_it(q) ? set_session(g) : RC_SQL_LOST;
}

/* True, too, of a database that has no versions yet. */
static enum rc_sql_result is_outdated(struct rc_db *g, bool *outdated)
{
    uint64_t version = 0;
    enum rc_sql_result rc = rc_db_number(g, RC_STMT_VERSION, NULL, &version);

    *outdated = rc != RC_SQL_OK || version < RC_SCHEMA_VERSION;
    return rc == RC_SQL_LOST ? rc : RC_SQL_OK;
}

/* Nodes that start together take turns. The lock goes with the connection, whose read time-out cannot
 * be changed: so it is one for this alone. */
static enum rc_sql_result migrate(struct rc_db *g)
{
    uint64_t locked = 0;
    enum rc_sql_result rc = begin(g, true);

    if (rc == RC_SQL_OK)
        rc = rc_db_number(g, RC_STMT_SCHEMA_LOCK, NULL, &locked);
    if (rc == RC_SQL_OK && locked != 1) {
        rc_db_why(g, "another node is bringing its schema up to date: wait until it is done");
        return RC_SQL_FAILED;
    }
    if (rc == RC_SQL_OK)
        rc = rc_migrate(g);
    return rc == RC_SQL_OK ? begin(g, false) : rc;
}

static enum rc_sql_result open_it(struct rc_db *g)
{
    bool outdated = false;
    enum rc_sql_result rc;

    g->content_max = RC_STORE_CONTENT_MAX;
    rc = begin(g, false);
    if (rc == RC_SQL_OK)
        rc = is_outdated(g, &outdated);
    if (rc == RC_SQL_OK)
        rc = outdated ? migrate(g) : rc_migrate(g);
    return rc == RC_SQL_OK ? read_packet_limit(g) : rc;
}

static enum rc_sql_result ping(struct rc_db *g)
{
    struct mariadb *q = mariadb_of(g);

    return mysql_ping(q->db) == 0 ? RC_SQL_OK : result_of_db(q);
}

static const struct rc_db_ops ops = {
    .name = "mariadb",
    .dialect = &rc_dialect_mariadb,
    .open = open_it,
    .close = close_it,
    .free = free_it,
    .run = run,
    .exec = exec,
    .ping = ping,
};

struct rc_db *rc_mariadb_new(const struct rc_conf *conf, const char *password)
{
    struct mariadb *q;

    if (mysql_library_init(0, NULL, NULL) != 0)
        return NULL;
    q = rc_calloc(1, sizeof(*q));
    q->password = rc_strndup(password, strlen(password));
    if (rc_db_init(&q->engine, &ops, conf))
        return &q->engine;
    free_it(&q->engine);
    return NULL;
}

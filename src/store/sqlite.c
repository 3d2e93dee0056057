/*
 * sqlite.c - the embedded database: one file, in WAL mode. What is committed is on the disk
 * (synchronous=FULL): an answer promises that.
 */
#include "db.h"
#include "rc/base/mem.h"
#include "rc/base/thread.h"
#include "rc/base/timer.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CACHE_KIB = 16384,
    CHECKPOINT_PAGES = 4096,   /* of the log, then they are copied into the file */
    LOG_SIZE_LIMIT = 64 << 20, /* a log that was longer, for a time, is cut to it */
    LOOK_STEPS = 50000,        /* of a query before the next look at the clock: milliseconds */
};

struct sqlite {
    struct rc_db engine;
    sqlite3 *db;
    sqlite3_stmt *statement[RC_STMT_COUNT];
    uint64_t
        looked; /* query_until that was looked at once: what is short is never broken off */
};

static struct sqlite *sqlite_of(struct rc_db *g)
{
    return (struct sqlite *)(void *)g;
}

/* ---- results ---- */

static enum rc_sql_result result_of(struct sqlite *q, int rc)
{
    struct rc_db *g = &q->engine;

    rc_db_why(g, "%s: %s", g->conf->store_path,
              q->db != NULL ? sqlite3_errmsg(q->db) : sqlite3_errstr(rc));
    switch (rc & 0xff) {
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH: return RC_SQL_REFUSED;
    case SQLITE_INTERRUPT:
        rc_db_why(g, "a query took longer than store.query_timeout");
        g->slow++;
        return RC_SQL_SLOW;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return RC_SQL_LOST;
    default: return RC_SQL_FAILED;
    }
}

/* ---- statements ---- */

static enum rc_sql_result exec(struct rc_db *g, const char *sql)
{
    struct sqlite *q = sqlite_of(g);
    int rc = sqlite3_exec(q->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? RC_SQL_OK : result_of(q, rc);
}

static int bind(sqlite3_stmt *st, const struct rc_sql_value *value)
{
    int n = sqlite3_bind_parameter_count(st), rc = SQLITE_OK;

    for (int i = 1; rc == SQLITE_OK && i <= n; i++, value++) {
        if (value->kind == RC_SQL_INT)
            rc = sqlite3_bind_int64(st, i, value->number);
        else if (value->kind == RC_SQL_TEXT)
            rc = sqlite3_bind_text64(st, i, value->text.len != 0 ? value->text.p : "",
                                     value->text.len, SQLITE_STATIC, SQLITE_UTF8);
        else
            rc = sqlite3_bind_null(st, i);
    }
    return rc;
}

static struct rc_sql_value column_of(sqlite3_stmt *st, int i)
{
    int type = sqlite3_column_type(st, i);
    const void *text;

    if (type == SQLITE_NULL)
        return (struct rc_sql_value){.kind = RC_SQL_NULL};
    if (type == SQLITE_INTEGER)
        return rc_sql_int((uint64_t)sqlite3_column_int64(st, i));
    text = sqlite3_column_text(st, i);
    return rc_sql_text(rc_str_make(text, (size_t)sqlite3_column_bytes(st, i)));
}

static int step(sqlite3_stmt *st, const struct rc_sql_query *query)
{
    struct rc_sql_value column[RC_SQL_COLUMNS];
    int rc, n = sqlite3_column_count(st);

    RC_ASSERT(n <= RC_SQL_COLUMNS);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        if (query->row == NULL)
            continue;
        for (int i = 0; i < n; i++)
            column[i] = column_of(st, i);
        if (!query->row(column, query->arg))
            return SQLITE_OK;
    }
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static enum rc_sql_result run(struct rc_db *g, const struct rc_sql_query *query)
{
    struct sqlite *q = sqlite_of(g);
    sqlite3_stmt **st = &q->statement[query->statement];
    enum rc_sql_result result = RC_SQL_OK;
    int rc = SQLITE_OK;

    if (*st == NULL)
        rc = sqlite3_prepare_v3(q->db, g->ops->dialect->statement[query->statement], -1,
                                SQLITE_PREPARE_PERSISTENT, st, NULL);
    if (rc == SQLITE_OK)
        rc = bind(*st, query->parameter);
    if (rc == SQLITE_OK)
        rc = step(*st, query);
    if (rc != SQLITE_OK)
        result = result_of(q, rc);
    g->changed = (uint64_t)sqlite3_changes64(q->db);
    (void)sqlite3_reset(*st); /* its result is that of the step */
    return result;
}

/* ---- open and close ---- */

static void close_it(struct rc_db *g)
{
    struct sqlite *q = sqlite_of(g);

    for (unsigned i = 0; i < RC_STMT_COUNT; i++) {
        (void)sqlite3_finalize(q->statement[i]);
        q->statement[i] = NULL;
    }
    (void)sqlite3_close(q->db);
    q->db = NULL;
}

static void free_it(struct rc_db *g)
{
    free(sqlite_of(g));
}

static int take_text(void *arg, int n, char **text, char **names)
{
    (void)names;
    if (n > 0 && text[0] != NULL)
        (void)snprintf(arg, 16, "%s", text[0]);
    return 0;
}

/* Not 0: it is broken off. Only what reads gets here with a time. */
static int look_at_clock(void *arg)
{
    struct sqlite *q = arg;
    uint64_t until = q->engine.query_until;
    bool again = q->looked == until;

    q->looked = until;
    return until != 0 && again && rc_clock_ms() >= until;
}

static enum rc_sql_result set_up(struct sqlite *q)
{
    char pragmas[192], mode[16] = "";
    int rc;

    (void)sqlite3_extended_result_codes(q->db, 1);
    (void)sqlite3_busy_timeout(q->db, (int)q->engine.conf->store_timeout);
    sqlite3_progress_handler(q->db, LOOK_STEPS, look_at_clock, q);
    (void)sqlite3_db_config(q->db, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
    rc = sqlite3_exec(q->db, "PRAGMA journal_mode = WAL", take_text, mode, NULL);
    if (rc != SQLITE_OK)
        return result_of(q, rc);
    if (strcmp(mode, "wal") != 0) {
        rc_db_why(&q->engine,
                  "%s: there can be no write-ahead log beside it: put it on a local disk",
                  q->engine.conf->store_path);
        return RC_SQL_FAILED;
    }
    (void)snprintf(pragmas, sizeof(pragmas),
                   "PRAGMA synchronous = FULL; PRAGMA cache_size = -%d; "
                   "PRAGMA wal_autocheckpoint = %d; PRAGMA journal_size_limit = %d",
                   CACHE_KIB, CHECKPOINT_PAGES, LOG_SIZE_LIMIT);
    return exec(&q->engine, pragmas);
}

static enum rc_sql_result migrate(struct rc_db *g)
{
    enum rc_sql_result rc = exec(g, "BEGIN IMMEDIATE");

    if (rc == RC_SQL_OK)
        rc = rc_migrate(g);
    return rc == RC_SQL_OK ? exec(g, "COMMIT") : rc;
}

/* SQLite would make it readable for all, and does not say why it cannot. */
static bool make_file(struct rc_db *g)
{
    const char *path = g->conf->store_path;
    char why[128];
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), err = errno;

    if (fd >= 0) {
        (void)close(fd);
        return true;
    }
    rc_db_why(g, "%s: %s%s", path, strerror_r(err, why, sizeof(why)),
              err == ENOENT ? ": make its folder, or choose another with store.path"
              : err == EACCES || err == EROFS || err == EPERM
                  ? ": it must be possible to write there; store.path chooses another"
                  : "");
    return false;
}

static enum rc_sql_result open_it(struct rc_db *g)
{
    struct sqlite *q = sqlite_of(g);
    enum rc_sql_result result;
    int rc;

    if (!make_file(g))
        return RC_SQL_FAILED;
    rc = sqlite3_open_v2(g->conf->store_path, &q->db,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        return result_of(q, rc);
    result = set_up(q);
    return result == RC_SQL_OK ? migrate(g) : result;
}

static const struct rc_db_ops ops = {
    .name = "sqlite",
    .dialect = &rc_dialect_sqlite,
    .open = open_it,
    .close = close_it,
    .free = free_it,
    .run = run,
    .exec = exec,
};

struct rc_db *rc_sqlite_new(const struct rc_conf *conf)
{
    struct sqlite *q = rc_calloc(1, sizeof(*q));

    /* Its books on memory, which nobody reads, cost a lock for each allocation. Once it is in use it
     * takes no more settings, and says so: then it has this one. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    if (rc_db_init(&q->engine, &ops, conf))
        return &q->engine;
    free(q);
    return NULL;
}

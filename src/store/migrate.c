/* migrate.c - from whatever version a database has to the one that this program knows. */
#include "db.h"
#include "rc/base/log.h"
#include "rc/base/timer.h"
#include "request.h"

enum { WRITER_KEPT_MS = 7 * 86400000 }; /* what a process that has gone leaves behind */

/* Only a connection that is lost is a failure; else a table that cannot be read is none. */
static enum rc_sql_result look_for(struct rc_db *g, const char *sql, bool *there)
{
    enum rc_sql_result rc = g->ops->exec(g, sql);

    *there = rc == RC_SQL_OK;
    return rc == RC_SQL_LOST ? rc : RC_SQL_OK;
}

static enum rc_sql_result run_steps(struct rc_db *g, unsigned version)
{
    const char *const *sql = g->ops->dialect->step[version];
    enum rc_sql_result rc = RC_SQL_OK;

    for (; rc == RC_SQL_OK && *sql != NULL; sql++)
        rc = g->ops->exec(g, *sql);
    return rc;
}

/* A database without versions: an empty one, or somebody else's. */
static enum rc_sql_result make_versions(struct rc_db *g)
{
    bool there;
    enum rc_sql_result rc = look_for(g, "SELECT id FROM message WHERE 1 = 0", &there);

    if (rc != RC_SQL_OK || !there)
        return rc == RC_SQL_OK ? run_steps(g, 0) : rc;
    rc_db_why(g, "it has a table message but no schema_version, so it is not a database of "
                 "roomcast: choose another one");
    return RC_SQL_FOREIGN;
}

static enum rc_sql_result step_to(struct rc_db *g, unsigned version)
{
    struct rc_sql_value number = rc_sql_int(version);
    struct rc_sql_query q = {RC_STMT_SET_VERSION, &number, NULL, NULL};
    enum rc_sql_result rc = run_steps(g, version);

    if (rc == RC_SQL_OK)
        rc = g->ops->run(g, &q);
    if (rc == RC_SQL_OK)
        rc_log(RC_LOG_INFO, "store: the schema is at version %u now", version);
    return rc;
}

static enum rc_sql_result purge_writers(struct rc_db *g)
{
    char text[RC_TIME_TEXT];
    int64_t since = (int64_t)rc_clock_wall_ms() - WRITER_KEPT_MS;
    struct rc_sql_value before = rc_sql_text(rc_request_time(g, since, text));
    struct rc_sql_query q = {RC_STMT_WRITER_PURGE, &before, NULL, NULL};

    return g->ops->run(g, &q);
}

enum rc_sql_result rc_migrate(struct rc_db *g)
{
    uint64_t version = 0;
    bool there;
    enum rc_sql_result rc =
        look_for(g, "SELECT version FROM schema_version WHERE 1 = 0", &there);

    if (rc == RC_SQL_OK && !there)
        rc = make_versions(g);
    if (rc == RC_SQL_OK)
        rc = rc_db_number(g, RC_STMT_VERSION, NULL, &version);
    if (rc == RC_SQL_OK && version > RC_SCHEMA_VERSION) {
        rc_db_why(g,
                  "its schema has version %llu, and this program knows %d: a newer roomcast "
                  "has used it; use that one",
                  (unsigned long long)version, RC_SCHEMA_VERSION);
        return RC_SQL_FOREIGN;
    }
    while (rc == RC_SQL_OK && version < RC_SCHEMA_VERSION)
        rc = step_to(g, (unsigned)++version);
    return rc == RC_SQL_OK ? purge_writers(g) : rc;
}

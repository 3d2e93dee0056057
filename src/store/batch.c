/* batch.c - begin, the requests one after the other, commit. */
#include "batch.h"

#include "rc/base/log.h"
#include "rc/base/timer.h"
#include "request.h"

enum { ATTEMPTS = 3 };

static enum rc_sql_result run(struct rc_db *g, enum rc_statement statement,
                              const struct rc_sql_value *parameter)
{
    struct rc_sql_query q = {statement, parameter, NULL, NULL};

    return g->ops->run(g, &q);
}

/* The counter's row is the lock of all that write, on other nodes too: who has it gives ids, and the
 * next one gives higher ones only after the commit. */
static enum rc_sql_result take_ids(struct rc_db *g, unsigned n)
{
    struct rc_sql_value count = rc_sql_int(n);
    uint64_t last = 0;
    enum rc_sql_result rc = run(g, RC_STMT_TAKE_IDS, &count);

    if (rc == RC_SQL_OK)
        rc = rc_db_number(g, RC_STMT_LAST_ID, NULL, &last);
    if (rc != RC_SQL_OK)
        return rc;
    if (last < n || last >> 53 != 0) {
        rc_db_why(g, "message_counter has no row, or no ids are left");
        return RC_SQL_FAILED;
    }
    g->next_id = last - n + 1;
    return RC_SQL_OK;
}

/* So that after a broken connection it can be told whether this batch was committed. */
static enum rc_sql_result mark(struct rc_db *g)
{
    char text[RC_TIME_TEXT];
    struct rc_sql_value now =
        rc_sql_text(rc_request_time(g, (int64_t)rc_clock_wall_ms(), text));
    struct rc_sql_value batch = rc_sql_int(++g->batch),
                        writer = rc_sql_text(rc_str_of(g->writer));
    struct rc_sql_value update[] = {batch, now, writer}, add[] = {writer, batch, now};
    enum rc_sql_result rc = run(g, RC_STMT_WRITER_MARK, update);

    if (rc == RC_SQL_OK && g->changed == 0)
        rc = run(g, RC_STMT_WRITER_ADD, add);
    return rc;
}

static unsigned count_puts(const struct rc_store_batch *b)
{
    unsigned n = 0;

    for (unsigned i = 0; i < b->n; i++)
        n += b->req[i]->type == RC_STORE_PUT;
    return n;
}

bool rc_batch_writes(const struct rc_store_batch *b)
{
    for (unsigned i = 0; i < b->n; i++)
        if (rc_request_writes(b->req[i]))
            return true;
    return false;
}

static enum rc_sql_result execute(struct rc_db *g, struct rc_store_batch *b)
{
    const struct rc_dialect *dialect = g->ops->dialect;
    unsigned puts = count_puts(b);
    enum rc_sql_result rc;

    g->next_id = 0;
    rc = g->ops->exec(g, b->writes ? dialect->begin_write : dialect->begin_read);
    if (rc == RC_SQL_OK && b->writes) {
        rc = take_ids(g, puts);
        b->first_id = g->next_id;
        b->last_id = g->next_id + puts - 1;
    }
    if (rc == RC_SQL_OK && b->writes)
        rc = mark(g);
    for (unsigned i = 0; rc == RC_SQL_OK && i < b->n; i++) {
        rc_request_reset(b->req[i]);
        rc = rc_request_run(g, b->req[i]);
        if (rc == RC_SQL_REFUSED || (rc == RC_SQL_SLOW && g->slow == 1))
            rc_log(RC_LOG_WARN, "store: one request failed: %s%s", g->why,
                   rc == RC_SQL_SLOW ? "; further ones are only counted" : "");
        if (rc == RC_SQL_REFUSED || rc == RC_SQL_SLOW)
            rc = RC_SQL_OK;
    }
    return rc;
}

static void roll_back(struct rc_db *g)
{
    char why[RC_DB_WHY];

    /* What had gone wrong before is of interest, not whether something was left to roll back. */
    memcpy(why, g->why, sizeof(why));
    (void)g->ops->exec(g, "ROLLBACK");
    memcpy(g->why, why, sizeof(why));
}

static enum rc_batch_result attempt(struct rc_db *g, struct rc_store_batch *b, bool *again)
{
    enum rc_sql_result rc = execute(g, b);

    *again = false;
    if (rc == RC_SQL_LOST)
        return RC_BATCH_LOST;
    if (rc == RC_SQL_OK) {
        rc = g->ops->exec(g, "COMMIT");
        if (rc == RC_SQL_OK)
            return RC_BATCH_DONE;
        if (rc == RC_SQL_LOST)
            return RC_BATCH_UNKNOWN;
    }
    *again = rc == RC_SQL_AGAIN;
    roll_back(g);
    return RC_BATCH_FAILED;
}

enum rc_batch_result rc_batch_run(struct rc_db *g, struct rc_store_batch *b)
{
    enum rc_batch_result result = RC_BATCH_FAILED;
    bool again = true;

    b->writes = rc_batch_writes(b);
    for (unsigned i = 0; again && i < ATTEMPTS; i++)
        result = attempt(g, b, &again);
    return result;
}

enum rc_batch_result rc_batch_settle(struct rc_db *g, struct rc_store_batch *b)
{
    struct rc_sql_value writer = rc_sql_text(rc_str_of(g->writer));
    uint64_t committed = 0;
    enum rc_sql_result rc = g->ops->exec(g, g->ops->dialect->begin_write);

    /* The lock first: the broken connection's transaction may still be about to end. */
    if (rc == RC_SQL_OK)
        rc = take_ids(g, 0);
    if (rc == RC_SQL_OK)
        rc = rc_db_number(g, RC_STMT_WRITER_BATCH, &writer, &committed);
    if (rc == RC_SQL_LOST)
        return RC_BATCH_UNKNOWN;
    roll_back(g);
    if (rc != RC_SQL_OK)
        return RC_BATCH_UNKNOWN;
    return committed == g->batch ? RC_BATCH_DONE : rc_batch_run(g, b);
}

void rc_batch_refuse(struct rc_store_batch *b, enum rc_store_fault fault)
{
    for (unsigned i = 0; i < b->n; i++) {
        if (fault != RC_STORE_UNKNOWN) /* of that the users are of interest */
            rc_request_reset(b->req[i]);
        b->req[i]->fault = fault;
    }
}

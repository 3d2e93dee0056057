/* db.c - what the databases have in common. */
#include "db.h"

#include "rc/broker/store_port.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>

bool rc_db_init(struct rc_db *g, const struct rc_db_ops *ops, const struct rc_conf *conf)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char random[RC_DB_WRITER / 2];

    g->ops = ops;
    g->conf = conf;
    g->content_max = RC_STORE_CONTENT_MAX;
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return false;
    for (size_t i = 0; i < sizeof(random); i++) {
        g->writer[2 * i] = digits[random[i] >> 4];
        g->writer[2 * i + 1] = digits[random[i] & 15];
    }
    return true;
}

void rc_db_why(struct rc_db *g, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(g->why, sizeof(g->why), fmt, ap);
    va_end(ap);
}

static bool take_number(const struct rc_sql_value *column, void *arg)
{
    *(uint64_t *)arg = column[0].kind == RC_SQL_INT ? (uint64_t)column[0].number : 0;
    return false;
}

enum rc_sql_result rc_db_number(struct rc_db *g, enum rc_statement statement,
                                const struct rc_sql_value *parameter, uint64_t *n)
{
    uint64_t found = *n;
    struct rc_sql_query q = {statement, parameter, take_number, &found};
    enum rc_sql_result rc = g->ops->run(g, &q);

    *n = found;
    return rc;
}

/* shed.c - closes those for whom most waits, before memory is out. */
#include "rc/broker/shed.h"

#include "rc/base/mem.h"

#include <stdlib.h>

enum {
    LEAST = 4096,      /* bytes: who has less waiting is not slow */
    LOOK_PART = 4,     /* of an equal share: from then on the sum is looked at */
    SHED_PERCENT = 90, /* of the ceiling are left */
};

struct behind {
    uint64_t cost;
    rc_id session;
};

static int by_cost(const void *a, const void *b)
{
    uint64_t x = ((const struct behind *)a)->cost, y = ((const struct behind *)b)->cost;

    return x < y ? 1 : x > y ? -1 : 0;
}

/* Of all shards. */
static uint64_t total(const struct rc_shard *sh)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < sh->nshards; i++)
        n += rc_stat_get(&sh->peers[i]->stats.queued);
    return n;
}

/* Those that are behind, the furthest first; to be freed. */
static struct behind *list_behind(struct rc_shard *sh, uint32_t *n)
{
    struct behind *list = NULL;
    uint32_t cursor = 0, cap = 0;
    struct rc_session *s;

    *n = 0;
    while ((s = rc_pool_next(&sh->sessions, &cursor)) != NULL) {
        uint64_t cost = s->closed ? 0 : rc_outq_cost(&s->out);

        if (cost < LEAST)
            continue;
        if (*n == cap) {
            cap = cap != 0 ? cap * 2 : 64;
            list = rc_realloc(list, cap * sizeof(*list));
        }
        list[(*n)++] = (struct behind){.cost = cost, .session = rc_session_id(sh, s)};
    }
    if (*n != 0)
        qsort(list, *n, sizeof(*list), by_cost);
    return list;
}

/* Those among whose clients are the slowest may be asleep. */
RC_ON_SHARD static void wake_others(struct rc_shard *sh, uint64_t share)
{
    for (unsigned i = 0; i < sh->nshards; i++)
        if (i != sh->index && rc_stat_get(&sh->peers[i]->stats.queued) > share)
            rc_mesh_poke(sh->mesh, i);
}

void rc_shed_now(struct rc_shard *sh, uint64_t own)
{
    uint64_t ceiling = sh->app->max_queued, all = total(sh), closed = 0;
    uint64_t goal = ceiling / 100 * SHED_PERCENT, share = ceiling / sh->nshards;
    struct behind *list;
    uint32_t n;

    if (all <= ceiling)
        return;
    if (own <= share) {
        wake_others(sh, share);
        return;
    }
    all -= own;
    list = list_behind(sh, &n);
    for (uint32_t i = 0; i < n && own > share && all + own > goal; i++) {
        struct rc_session *s = rc_session_find(sh, list[i].session);

        if (s == NULL || s->closed)
            continue;
        if (s->conn != NULL)
            rc_conn_close(s->conn, RC_CLOSE_QUEUED_TOTAL);
        else
            rc_session_close(sh, s, RC_CLOSE_QUEUED_TOTAL);
        own = rc_seg_live();
        closed++;
    }
    free(list);
    atomic_store_explicit(&sh->stats.queued, own, memory_order_relaxed);
    if (closed != 0)
        rc_shard_log(sh, RC_LOG_WARN,
                     "limits.max_queued_total = %llu bytes is reached: closed the %llu slowest "
                     "clients",
                     (unsigned long long)ceiling, (unsigned long long)closed);
}

void rc_shed_init(struct rc_shard *sh)
{
    bool on = sh->app->max_queued != 0 && sh->peers != NULL;

    sh->look_above = on ? sh->app->max_queued / sh->nshards / LOOK_PART : UINT64_MAX;
}

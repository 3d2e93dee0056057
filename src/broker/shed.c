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
    rc_id id;
    bool conn; /* that is no session's */
};

struct behinds {
    struct behind *list;
    uint32_t n, cap;
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

static void add(struct behinds *b, uint64_t cost, rc_id id, bool conn)
{
    if (cost < LEAST)
        return;
    if (b->n == b->cap) {
        b->cap = b->cap != 0 ? b->cap * 2 : 64;
        b->list = rc_realloc(b->list, b->cap * sizeof(*b->list));
    }
    b->list[b->n++] = (struct behind){.cost = cost, .id = id, .conn = conn};
}

/* What a connection that is no session's keeps: HTTP answers, mostly. They are its own, so of one that is
 * half read all is still there; but files are everybody's. */
RC_ON_SHARD static uint64_t kept_by(const struct rc_conn *c)
{
    if (!rc_conn_open(c) || c->out == NULL || rc_wsconn_is(c))
        return 0;
    return rc_outq_kept(c->out);
}

/* Those that are behind, the furthest first; the list is to be freed. */
RC_ON_SHARD static struct behinds list_behind(struct rc_shard *sh)
{
    struct behinds b = {0};
    uint32_t cursor = 0;
    struct rc_session *s;
    struct rc_conn *c;

    while ((s = rc_pool_next(&sh->sessions, &cursor)) != NULL)
        add(&b, s->closed ? 0 : rc_outq_cost(&s->out), rc_session_id(sh, s), false);
    cursor = 0;
    while ((c = rc_pool_next(&sh->loop.conns, &cursor)) != NULL)
        add(&b, kept_by(c), rc_id_make(sh->index, c->hdr.slot, c->hdr.gen), true);
    if (b.n != 0)
        qsort(b.list, b.n, sizeof(*b.list), by_cost);
    return b;
}

/* False: it has gone meanwhile, or its socket takes what waits, which was only more than a turn's share. */
RC_ON_SHARD static bool close_one(struct rc_shard *sh, const struct behind *b)
{
    struct rc_session *s = b->conn ? NULL : rc_session_find(sh, b->id);
    struct rc_conn *c =
        b->conn ? rc_pool_find(&sh->loop.conns, rc_id_slot(b->id), rc_id_gen(b->id)) : NULL;

    if (s != NULL && !s->closed) {
        if (s->conn != NULL) {
            rc_conn_flush_all(s->conn);
            rc_session_set_fd(s);
        }
        if (rc_outq_empty(&s->out))
            return false;
        if (s->conn != NULL)
            rc_conn_close(s->conn, s->conn->broken ? RC_CLOSE_RESET : RC_CLOSE_QUEUED_TOTAL);
        else
            rc_session_close(sh, s, RC_CLOSE_QUEUED_TOTAL);
        return true;
    }
    if (c == NULL || kept_by(c) == 0)
        return false;
    rc_conn_flush_all(c);
    if (kept_by(c) == 0)
        return false;
    rc_conn_close(c, c->broken ? RC_CLOSE_RESET : RC_CLOSE_QUEUED_TOTAL);
    return true;
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
    struct behinds b;

    if (all <= ceiling)
        return;
    if (own <= share) {
        wake_others(sh, share);
        return;
    }
    all -= own;
    b = list_behind(sh);
    for (uint32_t i = 0; i < b.n && own > share && all + own > goal; i++) {
        closed += close_one(sh, &b.list[i]);
        own = rc_seg_live();
    }
    free(b.list);
    atomic_store_explicit(&sh->stats.queued, own, memory_order_relaxed);
    if (closed != 0 && all + own > ceiling)
        wake_others(sh, share);
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

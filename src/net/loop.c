/* loop.c - libevent drives; everything that is written leaves at the end of a turn. */
#include "rc/net/loop.h"

#include "rc/base/mem.h"
#include "rc/net/conn.h"

#include <stdlib.h>

enum { TICK_MS = 5 }; /* timers may be this late: neighbours then share one turn */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct rc_loop *l = arg;

    (void)fd;
    (void)what;
    rc_loop_enter(l);
    l->tick_at_ms = UINT64_MAX;
}

void rc_loop_enter(struct rc_loop *l)
{
    rc_assert_on_shard(l->owner);
    if (!l->now_fresh) {
        l->now_ms = rc_clock_ms();
        l->now_fresh = true;
    }
}

int rc_loop_init(struct rc_loop *l, const void *owner, uint32_t max_conns)
{
    struct event_config *cfg = event_config_new();

    *l = (struct rc_loop){.owner = owner, .tick_at_ms = UINT64_MAX};
    if (cfg == NULL)
        return RC_ENOMEM;
    (void)event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
    l->base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    if (l->base == NULL)
        return RC_ESYS;
    l->tick = event_new(l->base, -1, 0, on_tick, l);
    rc_pool_init(&l->conns, sizeof(struct rc_conn), max_conns);
    l->now_ms = rc_clock_ms();
    rc_list_init(&l->ready);
    rc_conn_init_timers(l);
    return l->tick != NULL ? RC_OK : RC_ENOMEM;
}

void rc_loop_deinit(struct rc_loop *l)
{
    if (l->tick != NULL)
        event_free(l->tick);
    if (l->base != NULL)
        event_base_free(l->base);
    rc_pool_deinit(&l->conns);
    for (unsigned i = 0; i < RC_LOOP_NESTING; i++)
        free(l->rbuf[i]);
    free(l->dead);
    free(l->timerq);
}

void rc_loop_add_timerq(struct rc_loop *l, struct rc_timerq *q)
{
    l->timerq = rc_realloc(l->timerq, (l->ntimerqs + 1) * sizeof(struct rc_timerq *));
    l->timerq[l->ntimerqs++] = q;
}

static void arm_tick(struct rc_loop *l)
{
    uint64_t next = UINT64_MAX, in;
    struct timeval tv;

    for (unsigned i = 0; i < l->ntimerqs; i++) {
        uint64_t t = rc_timerq_next(l->timerq[i]);

        if (t < next)
            next = t;
    }
    /* A tick that comes too early is cheaper than moving it at every change. */
    if (next == UINT64_MAX || (l->tick_at_ms <= next + TICK_MS && l->tick_at_ms > l->now_ms))
        return;
    in = next > l->now_ms ? next - l->now_ms : 0;
    in += TICK_MS;
    l->tick_at_ms = l->now_ms + in;
    tv = (struct timeval){.tv_sec = (time_t)(in / 1000),
                          .tv_usec = (suseconds_t)(in % 1000) * 1000};
    (void)event_add(l->tick, &tv);
}

static void bury(struct rc_loop *l)
{
    for (uint32_t i = 0; i < l->ndead; i++)
        rc_pool_put(&l->conns, l->dead[i]);
    l->ndead = 0;
}

bool rc_loop_ready(struct rc_loop *l)
{
    struct rc_list now;
    bool any = !rc_list_empty(&l->ready);

    if (!any)
        return false;
    /* Those that become ready meanwhile have to wait for the next call. */
    now = l->ready;
    now.next->prev = now.prev->next = &now;
    rc_list_init(&l->ready);
    while (!rc_list_empty(&now)) {
        struct rc_conn *c = RC_CONTAINER(now.next, struct rc_conn, ready);

        rc_list_remove(&c->ready);
        rc_conn_ready(c);
    }
    return any;
}

bool rc_loop_turn(struct rc_loop *l, bool wait, rc_turn_fn *turn, void *arg)
{
    arm_tick(l);
    l->now_fresh = false;
    if (event_base_loop(l->base, wait ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK) != 0)
        return false;
    rc_loop_enter(l);
    for (unsigned i = 0; i < l->ntimerqs; i++)
        rc_timerq_expire(l->timerq[i], l->now_ms);
    (void)rc_loop_ready(l);
    turn(arg);
    bury(l);
    return true;
}

void rc_loop_run(struct rc_loop *l, rc_turn_fn *turn, void *arg)
{
    while (!l->stop && rc_loop_turn(l, true, turn, arg))
        continue;
}

void rc_loop_stop(struct rc_loop *l)
{
    l->stop = true;
}

/* loop.c - libevent drives; everything that is written leaves at the end of a turn. */
#include "rc/net/loop.h"

#include "rc/base/mem.h"
#include "rc/net/conn.h"
#include "rc/net/tls.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
    TICK_MS = 5,     /* timers may be this late: neighbours then share one turn */
    ASIDE_SHARE = 4, /* of the time that others take in a turn: one part in four */
    SMOOTH = 8,      /* turns: a single long one is mostly the machine's */
};

/* In epoll's data: no ids of connections, which have a generation. */
#define LIBEVENT rc_id_make(0, 0, 0)
#define WAKER    rc_id_make(1, 0, 0)
#define ASIDE    rc_id_make(2, 0, 0)

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct rc_loop *l = arg;
    uint64_t times;

    (void)what;
    rc_loop_enter(l);
    if (read(fd, &times, sizeof(times)) == (ssize_t)sizeof(times))
        l->tick_at_ms = UINT64_MAX;
}

void rc_loop_enter(struct rc_loop *l)
{
    rc_assert_on_shard(l->owner);
    if (!l->now_fresh) {
        rc_turn_us = rc_clock_us();
        l->now_ms = rc_turn_us / 1000;
        l->now_fresh = true;
    }
}

int rc_loop_init(struct rc_loop *l, const void *owner, uint32_t max_conns)
{
    struct event_config *cfg = event_config_new();
    struct epoll_event aside = {.events = EPOLLIN, .data.u64 = ASIDE};

    *l = (struct rc_loop){.owner = owner,
                          .epfd = -1,
                          .aside_fd = -1,
                          .tick_fd = -1,
                          .tick_at_ms = UINT64_MAX,
                          .due_ms = UINT64_MAX};
    if (cfg == NULL)
        return RC_ENOMEM;
    (void)event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
    (void)event_config_set_flag(cfg, EVENT_BASE_FLAG_NO_CACHE_TIME);
    l->base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    if (l->base == NULL)
        return RC_ESYS;
    l->epfd = epoll_create1(EPOLL_CLOEXEC);
    l->aside_fd = epoll_create1(EPOLL_CLOEXEC);
    l->tick_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (l->epfd < 0 || l->aside_fd < 0 || l->tick_fd < 0 ||
        epoll_ctl(l->epfd, EPOLL_CTL_ADD, l->aside_fd, &aside) != 0)
        return RC_ESYS;
    l->tick = event_new(l->base, l->tick_fd, EV_READ | EV_PERSIST, on_tick, l);
    rc_pool_init(&l->conns, sizeof(struct rc_conn), max_conns);
    l->now_ms = rc_clock_ms();
    l->tls_side = rc_tls_side_new();
    rc_conn_init_timers(l);
    return l->tick != NULL ? rc_loop_add(l, l->tick) : RC_ENOMEM;
}

void rc_loop_deinit(struct rc_loop *l)
{
    if (l->tick != NULL)
        event_free(l->tick);
    if (l->epfd >= 0)
        (void)close(l->epfd);
    if (l->aside_fd >= 0)
        (void)close(l->aside_fd);
    if (l->tick_fd >= 0)
        (void)close(l->tick_fd);
    if (l->base != NULL)
        event_base_free(l->base);
    rc_pool_deinit(&l->conns);
    for (unsigned i = 0; i < RC_LOOP_NESTING; i++)
        free(l->rbuf[i]);
    rc_ids_deinit(&l->ready);
    rc_tls_side_free(l->tls_side);
    free(l->tls);
    free(l->dead);
    free(l->timerq);
}

int rc_loop_add(struct rc_loop *l, struct event *ev)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = LIBEVENT};

    if (event_add(ev, NULL) != 0)
        return RC_ESYS;
    if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, event_get_fd(ev), &e) != 0) {
        (void)event_del(ev);
        return RC_ESYS;
    }
    l->nevents++;
    return RC_OK;
}

void rc_loop_remove(struct rc_loop *l, struct event *ev)
{
    (void)epoll_ctl(l->epfd, EPOLL_CTL_DEL, event_get_fd(ev), NULL);
    (void)event_del(ev);
    l->nevents--;
}

int rc_loop_add_waker(struct rc_loop *l, int fd)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.u64 = WAKER};

    if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &e) != 0)
        return RC_ESYS;
    l->nevents++;
    return RC_OK;
}

void rc_loop_add_timerq(struct rc_loop *l, struct rc_timerq *q)
{
    l->timerq = rc_realloc(l->timerq, (l->ntimerqs + 1) * sizeof(struct rc_timerq *));
    l->timerq[l->ntimerqs++] = q;
    q->soonest = &l->due_ms;
    if (rc_timerq_next(q) < l->due_ms)
        l->due_ms = rc_timerq_next(q);
}

static void arm_tick(struct rc_loop *l)
{
    uint64_t next = l->due_ms;
    struct itimerspec at = {0};

    /* A tick that comes too early is cheaper than moving it at every change. */
    if (l->overdue || next == UINT64_MAX ||
        (l->tick_at_ms <= next + TICK_MS && l->tick_at_ms > l->now_ms))
        return;
    if (next < l->now_ms)
        next = l->now_ms;
    l->tick_at_ms = next + TICK_MS;
    at.it_value.tv_sec = (time_t)(l->tick_at_ms / 1000);
    at.it_value.tv_nsec = (long)(l->tick_at_ms % 1000) * 1000000;
    (void)timerfd_settime(l->tick_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

/* Until the time is over. The queue in which that happens comes last in the next turn. */
static void expire(struct rc_loop *l)
{
    uint64_t begun = rc_clock_us(), now = begun, until = begun + rc_loop_aside_us(l);
    uint64_t left = RC_LOOP_TIMERS * rc_loop_aside_us(l) / RC_LOOP_ASIDE_US;

    l->overdue = false;
    for (unsigned i = 0; i < l->ntimerqs && !l->overdue; i++) {
        struct rc_timerq *q = l->timerq[l->timerq_at];

        l->timerq_at = (l->timerq_at + 1) % l->ntimerqs;
        while (!l->overdue && rc_timerq_expire(q, l->now_ms)) {
            now = rc_clock_us();
            l->overdue = now >= until || --left == 0;
        }
    }
    l->aside_us += now - begun;
    l->due_ms = UINT64_MAX;
    for (unsigned i = 0; i < l->ntimerqs; i++) {
        uint64_t next = rc_timerq_next(l->timerq[i]);

        if (next < l->due_ms)
            l->due_ms = next;
    }
    l->overdue = l->overdue && l->due_ms <= l->now_ms; /* the last one is behind us otherwise */
}

static void bury(struct rc_loop *l)
{
    for (uint32_t i = 0; i < l->ndead; i++)
        rc_pool_put(&l->conns, l->dead[i]);
    l->ndead = 0;
}

/* NULL when it is closed. */
static struct rc_conn *conn_of(const struct rc_loop *l, rc_id id)
{
    struct rc_conn *c = rc_pool_find(&l->conns, rc_id_slot(id), rc_id_gen(id));

    return c != NULL && rc_conn_open(c) ? c : NULL;
}

bool rc_loop_ready(struct rc_loop *l)
{
    /* Those that become ready meanwhile have to wait for the next call. */
    struct rc_ids now;
    bool any = false;

    if (l->ready.n == 0)
        return false;
    now = l->ready;
    l->ready = (struct rc_ids){0};
    for (uint32_t i = 0; i < now.n; i++) {
        struct rc_conn *c = conn_of(l, now.id[i]);

        if (c != NULL) {
            c->later = false;
            rc_conn_ready(c);
            any = true;
        }
    }
    if (l->ready.cap == 0) { /* its memory can be used again */
        now.n = 0;
        l->ready = now;
    } else {
        rc_ids_deinit(&now);
    }
    return any;
}

uint64_t rc_loop_aside_us(const struct rc_loop *l)
{
    uint64_t share = (uint64_t)l->others_us / ASIDE_SHARE;

    return share > RC_LOOP_ASIDE_US ? share : RC_LOOP_ASIDE_US;
}

/* Until the time is over, one by one: who has been told of goes behind all who have not. */
RC_ON_SHARD static void serve_aside(struct rc_loop *l)
{
    uint64_t begun = rc_clock_us(), now = begun, until = begun + rc_loop_aside_us(l);
    struct epoll_event ev;

    while (now < until && epoll_wait(l->aside_fd, &ev, 1, 0) == 1) {
        struct rc_conn *c = conn_of(l, ev.data.u64);

        if (c != NULL)
            rc_conn_event(c, ev.events);
        now = rc_clock_us();
    }
    l->aside_us += now - begun;
}

/* What is left is ready again in the next turn, behind what had to wait in this one. */
RC_ON_SHARD static void dispatch(struct rc_loop *l, const struct epoll_event *ev, int n)
{
    bool looked = false, aside = false;

    for (int i = 0; i < n; i++) {
        rc_id id = ev[i].data.u64;
        struct rc_conn *c;

        if (rc_id_gen(id) == 0) {
            aside = aside || id == ASIDE;
            if (id == LIBEVENT && !looked) {
                looked = true;
                (void)event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
            }
            continue;
        }
        c = conn_of(l, id);
        if (c == NULL)
            continue;
        if ((ev[i].events & RC_CONN_ENDED) == 0) {
            rc_conn_event(c, ev[i].events);
        } else {
            rc_conn_step_aside(c);
            aside = true;
        }
    }
    if (aside)
        serve_aside(l);
}

bool rc_loop_turn(struct rc_loop *l, bool wait, rc_turn_fn *turn, void *arg)
{
    struct epoll_event ev[RC_LOOP_BATCH];
    int64_t others_us;
    int n;

    arm_tick(l);
    if (l->conns.used == 0 && l->nevents <= 1 && l->due_ms == UINT64_MAX)
        return false; /* there is but the tick, which is not armed */
    n = epoll_wait(l->epfd, ev, RC_LOOP_BATCH, wait && !l->overdue ? -1 : 0);
    l->now_fresh = false;
    l->aside_us = 0;
    rc_loop_enter(l);
    dispatch(l, ev, n);
    if (l->now_ms >= l->due_ms)
        expire(l);
    (void)rc_loop_ready(l);
    turn(arg);
    bury(l);
    others_us = (int64_t)(rc_clock_us() - rc_turn_us - l->aside_us);
    l->others_us += (others_us - l->others_us) / SMOOTH;
    return true;
}

void rc_loop_run(struct rc_loop *l, rc_may_wait_fn *may_wait, rc_turn_fn *turn, void *arg)
{
    while (!l->stop && rc_loop_turn(l, may_wait(arg), turn, arg))
        continue;
}

void rc_loop_stop(struct rc_loop *l)
{
    l->stop = true;
}

/* acceptor.c - accept4, hash, hand over. With one shard there is nothing to choose: then these are events of
 * that shard's loop, and a connection costs no thread's waking but the one that serves it. */
#include "rc/broker/acceptor.h"

#include "rc/base/hash.h"
#include "rc/base/log.h"
#include "rc/base/mem.h"
#include "rc/base/timer.h"
#include "rc/broker/admission.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
    ACCEPT_BATCH = 64,   /* connections of one listener per turn, if there is time */
    NICE = 10,           /* of its thread: who is here comes before who wants in */
    BACKOFF_MIN_MS = 50, /* after EMFILE and the like: accepting again at once would spin */
    BACKOFF_MAX_MS = 1000,
};

/* A listener that is watched. */
struct watched {
    struct rc_acceptor *acceptor;
    struct rc_listener *listener;
    struct event *ev; /* NULL: closed */
};

struct rc_acceptor {
    struct rc_listeners *listeners;
    struct rc_mesh *mesh;
    struct rc_shard *const *shards;
    unsigned nshards;
    struct rc_shard *only; /* the one shard, which accepts itself; NULL: there are more */
    uint32_t max_conns;
    struct watched *watched; /* [nwatched]: the first of them */
    unsigned nwatched;
    struct event_base *base; /* with one shard, that of its loop */
    struct event *stop, *resume;
    int stop_fd, resume_fd;
    _Atomic bool for_good; /* main writes it, and then to stop_fd: all listeners */
    unsigned backoff_ms;   /* 0: not backing off */
    uint64_t handed_over;
    unsigned next; /* of those that no address sends to a shard */
    pthread_t thread;
    bool started;
};

/* ---- events ---- */

/* Each callback begins with this: the thread that accepts is its own, or the only shard's. */
static void enter(const struct rc_acceptor *a) RC_TSA(assert_capability(rc_role_acceptor));
static void enter(const struct rc_acceptor *a)
{
    rc_assert_on_acceptor(a->only != NULL ? (const void *)a->only : a);
}

/* Again is no error, here and below. */
static int watch(struct rc_acceptor *a, struct event *ev)
{
    if (event_pending(ev, EV_READ, NULL))
        return RC_OK;
    if (a->only != NULL)
        return rc_loop_add(&a->only->loop, ev);
    return event_add(ev, NULL) == 0 ? RC_OK : RC_ESYS;
}

static void unwatch(struct rc_acceptor *a, struct event *ev)
{
    if (!event_pending(ev, EV_READ, NULL))
        return;
    if (a->only != NULL)
        rc_loop_remove(&a->only->loop, ev);
    else
        (void)event_del(ev);
}

/* ---- accepting ---- */

static void resume_later(const struct rc_acceptor *a)
{
    struct itimerspec at = {0};

    at.it_value.tv_sec = (time_t)(a->backoff_ms / 1000);
    at.it_value.tv_nsec = (long)(a->backoff_ms % 1000) * 1000000;
    (void)timerfd_settime(a->resume_fd, 0, &at, NULL);
}

/* No descriptors, or no memory: wait a little, longer each time, until one gets through. */
RC_ON_ACCEPTOR static void back_off(struct rc_acceptor *a, int err)
{
    char why[128];

    if (a->backoff_ms == 0)
        rc_log(RC_LOG_WARN, "accept: %s; waiting for connections to end",
               strerror_r(err, why, sizeof(why)));
    a->backoff_ms = a->backoff_ms == 0                   ? BACKOFF_MIN_MS
                    : a->backoff_ms * 2 < BACKOFF_MAX_MS ? a->backoff_ms * 2
                                                         : BACKOFF_MAX_MS;
    for (unsigned i = 0; i < a->nwatched; i++)
        if (a->watched[i].ev != NULL)
            unwatch(a, a->watched[i].ev);
    resume_later(a);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct rc_acceptor *a = arg;
    uint64_t times;

    (void)what;
    enter(a);
    if (read(fd, &times, sizeof(times)) != (ssize_t)sizeof(times))
        return;
    for (unsigned i = 0; i < a->nwatched; i++)
        if (a->watched[i].ev != NULL && watch(a, a->watched[i].ev) != RC_OK)
            resume_later(a);
}

/* Connections that shards have, or that are on their way to them. */
static bool is_full(const struct rc_acceptor *a)
{
    uint64_t taken = 0, open = 0;

    for (unsigned i = 0; i < a->nshards; i++) {
        taken += rc_stat_get(&a->shards[i]->stats.handed);
        open += rc_stat_get(&a->shards[i]->stats.conns);
    }
    return open + (a->handed_over - taken) >= a->max_conns;
}

/* All that come by a Unix socket have the same address, which is none: they go round. */
RC_ON_ACCEPTOR static unsigned choose_shard(struct rc_acceptor *a, const struct rc_addr *peer)
{
    if (peer->family == AF_UNIX)
        return a->next++ % a->nshards;
    return (unsigned)(rc_hash(peer->ip, sizeof(peer->ip), peer->port) % a->nshards);
}

/* Other nodes count the clients that they pass on; one that polls comes again and again. */
RC_ON_ACCEPTOR static enum rc_refusal may_come(struct rc_acceptor *a,
                                               const struct rc_listener *l)
{
    struct rc_admission *admission = a->shards[0]->admission;

    if (is_full(a))
        return RC_REFUSAL_CONNECTIONS;
    if (l->pipe)
        return rc_admission_is_over(admission) ? RC_REFUSAL_MEMORY : RC_ADMITTED;
    return rc_admission_total(admission, rc_clock_ms());
}

RC_ON_ACCEPTOR static void hand_over(struct watched *w, int fd,
                                     const struct sockaddr_storage *ss)
{
    struct rc_acceptor *a = w->acceptor;
    struct rc_admission *admission = a->shards[0]->admission;
    struct rc_msg msg = {.type = RC_MSG_CONN};
    enum rc_refusal why = may_come(a, w->listener);

    if (why != RC_ADMITTED) {
        rc_admission_turn_away(admission, fd, why,
                               !w->listener->proxy_protocol && !w->listener->tls);
        return;
    }
    msg.u.conn.fd = fd;
    msg.u.conn.listener = (uint8_t)(w->listener - a->listeners->at);
    rc_addr_from(ss, &msg.u.conn.peer);
    if (a->only != NULL) {
        rc_loop_enter(&a->only->loop);
        rc_front_accept(a->only, &msg.u.conn);
        return;
    }
    a->handed_over++;
    rc_mesh_post(a->mesh, rc_mesh_acceptor(a->nshards), choose_shard(a, &msg.u.conn.peer),
                 &msg);
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    struct watched *w = arg;
    struct rc_acceptor *a = w->acceptor;
    uint64_t until;

    (void)what;
    enter(a);
    until = a->only != NULL ? rc_clock_us() + rc_loop_aside_us(&a->only->loop) : UINT64_MAX;
    for (unsigned i = 0; i < ACCEPT_BATCH && (i == 0 || rc_clock_us() < until); i++) {
        struct sockaddr_storage ss = {0};
        socklen_t len = sizeof(ss);
        int conn = accept4(fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (conn >= 0) {
            a->backoff_ms = 0;
            hand_over(w, conn, &ss);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            back_off(a, errno);
            break;
        } else if (errno == EAGAIN) {
            break;
        } /* else that connection is gone already: the next */
    }
    while (a->only == NULL && !rc_mesh_wake(a->mesh, rc_mesh_acceptor(a->nshards)))
        (void)usleep(1000); /* rings full of connections: let the shards take them first */
}

/* all: that for other nodes, too. */
static void close_listeners(struct rc_acceptor *a, bool all)
{
    for (unsigned i = 0; i < a->nwatched; i++) {
        if (a->watched[i].ev == NULL || (!all && a->watched[i].listener->pipe))
            continue;
        unwatch(a, a->watched[i].ev);
        event_free(a->watched[i].ev);
        a->watched[i].ev = NULL;
    }
    for (unsigned i = 0; i < a->listeners->n; i++)
        if (all || !a->listeners->at[i].pipe)
            rc_listener_close(&a->listeners->at[i]);
}

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    struct rc_acceptor *a = arg;
    uint64_t count;
    bool all;

    (void)what;
    enter(a);
    /* What main did before its write is visible behind this. */
    RC_ASSERT(read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count));
    all = atomic_load_explicit(&a->for_good, memory_order_acquire);
    close_listeners(a, all);
    if (!all)
        return;
    unwatch(a, a->stop);
    if (a->only == NULL)
        (void)event_base_loopbreak(a->base);
}

static void *run(void *arg)
{
    struct rc_acceptor *a = arg;

    rc_thread_enter("acceptor", a);
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
    (void)event_base_dispatch(a->base);
    return NULL;
}

/* ---- life ---- */

static struct event_base *new_base(void)
{
    struct event_config *cfg = event_config_new();
    struct event_base *base;

    if (cfg == NULL)
        return NULL;
    (void)event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
    base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    return base;
}

static bool make_events(struct rc_acceptor *a)
{
    bool ok;

    a->base = a->only != NULL ? a->only->loop.base : new_base();
    a->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    a->resume_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (a->base == NULL || a->stop_fd < 0 || a->resume_fd < 0)
        return false;
    a->stop = event_new(a->base, a->stop_fd, EV_READ | EV_PERSIST, on_stop, a);
    a->resume = event_new(a->base, a->resume_fd, EV_READ | EV_PERSIST, on_resume, a);
    ok = a->stop != NULL && a->resume != NULL && watch(a, a->stop) == RC_OK &&
         watch(a, a->resume) == RC_OK;
    for (unsigned i = 0; ok && i < a->listeners->n; i++) {
        struct watched *w = &a->watched[i];

        *w = (struct watched){.acceptor = a, .listener = &a->listeners->at[i]};
        w->ev = event_new(a->base, w->listener->fd, EV_READ | EV_PERSIST, on_acceptable, w);
        a->nwatched += w->ev != NULL;
        ok = w->ev != NULL && watch(a, w->ev) == RC_OK;
    }
    return ok;
}

struct rc_acceptor *rc_acceptor_new(struct rc_listeners *listeners, struct rc_mesh *mesh,
                                    struct rc_shard *const *shards, unsigned nshards,
                                    uint32_t max_conns, struct rc_conf_errors *e)
{
    struct rc_acceptor *a = rc_calloc(1, sizeof(*a));
    unsigned faults = e->n;
    bool ok = true;

    a->listeners = listeners;
    a->mesh = mesh;
    a->shards = shards;
    a->nshards = nshards;
    a->only = nshards == 1 ? shards[0] : NULL;
    a->max_conns = max_conns;
    a->stop_fd = a->resume_fd = -1;
    a->watched = rc_calloc(listeners->n + 1, sizeof(*a->watched));
    for (unsigned i = 0; i < listeners->n; i++)
        ok = (listeners->at[i].fd >= 0 ||
              rc_listener_open(&listeners->at[i], listeners->backlog, e) == RC_OK) &&
             ok;
    if (ok && !make_events(a))
        rc_conf_error(e, NULL, 0,
                      "the acceptor cannot be set up: out of descriptors or memory");
    if (e->n != faults) {
        rc_acceptor_free(a);
        return NULL;
    }
    return a;
}

int rc_acceptor_start(struct rc_acceptor *a)
{
    char text[RC_LISTENER_TEXT];

    a->started = a->only != NULL || pthread_create(&a->thread, NULL, run, a) == 0;
    for (unsigned i = 0; a->started && i < a->listeners->n; i++)
        fprintf(stderr, "listening %s %s\n", a->listeners->at[i].pipe ? "for nodes at" : "on",
                rc_listener_text(&a->listeners->at[i], text));
    return a->started ? RC_OK : RC_ESYS;
}

static void tell(const struct rc_acceptor *a)
{
    static const uint64_t one = 1;

    RC_ASSERT(write(a->stop_fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
}

void rc_acceptor_rest(struct rc_acceptor *a)
{
    if (a->started)
        tell(a);
}

void rc_acceptor_stop(struct rc_acceptor *a)
{
    if (!a->started)
        return;
    /* release: pairs with the acquire in on_stop() */
    atomic_store_explicit(&a->for_good, true, memory_order_release);
    tell(a);
    if (a->only == NULL)
        (void)pthread_join(a->thread, NULL);
    a->started = false;
}

static void free_event(struct rc_acceptor *a, struct event *ev)
{
    if (ev == NULL)
        return;
    unwatch(a, ev);
    event_free(ev);
}

void rc_acceptor_free(struct rc_acceptor *a)
{
    if (a == NULL)
        return;
    rc_acceptor_stop(a);
    close_listeners(a, true);
    free_event(a, a->stop);
    free_event(a, a->resume);
    if (a->base != NULL && a->only == NULL)
        event_base_free(a->base);
    if (a->stop_fd >= 0)
        (void)close(a->stop_fd);
    if (a->resume_fd >= 0)
        (void)close(a->resume_fd);
    free(a->watched);
    free(a);
}

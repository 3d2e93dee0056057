/* acceptor.c - accept4, hash, hand over. With one shard there is nothing to choose: then these are events of
 * that shard's loop, and a connection costs no thread's waking but the one that serves it. */
#include "rc/broker/acceptor.h"

#include "rc/base/hash.h"
#include "rc/base/log.h"
#include "rc/base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
    ACCEPT_BATCH = 64,   /* connections of one listener per turn */
    BACKOFF_MIN_MS = 50, /* after EMFILE and the like: accepting again at once would spin */
    BACKOFF_MAX_MS = 1000,
};

struct listener {
    struct rc_acceptor *acceptor;
    struct event *ev;
    int fd;
};

struct rc_acceptor {
    const struct rc_conf *conf;
    struct rc_mesh *mesh;
    struct rc_shard *const *shards;
    unsigned nshards;
    struct rc_shard *only; /* the one shard, which accepts itself; NULL: there are more */
    uint32_t max_conns;
    struct listener *listener;
    unsigned nlisteners;
    struct event_base *base; /* with one shard, that of its loop */
    struct event *stop, *resume;
    int stop_fd, resume_fd;
    unsigned backoff_ms; /* 0: not backing off */
    bool full;           /* the limit was reached and has been logged */
    uint64_t handed_over;
    pthread_t thread;
    bool started;
};

/* ---- listening ---- */

/* Splits "host:port" or "[::1]:port"; conf has checked the form. */
static void split(const char *item, char *host, size_t len, const char **port)
{
    const char *colon = strrchr(item, ':');
    const char *from = item[0] == '[' ? item + 1 : item;
    const char *to = item[0] == '[' ? colon - 1 : colon;
    size_t n = (size_t)(to - from) < len - 1 ? (size_t)(to - from) : len - 1;

    memcpy(host, from, n);
    host[n] = '\0';
    *port = colon + 1;
}

static int bind_to(const struct addrinfo *ai, int backlog)
{
    int one = 1, saved, fd;

    fd = socket(ai->ai_family, ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, ai->ai_protocol);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* for what it accepts */
    if (ai->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, backlog) == 0)
        return fd;
    saved = errno;
    (void)close(fd);
    errno = saved;
    return -1;
}

static void listen_on(struct rc_acceptor *a, const char *item, struct rc_conf_errors *e)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *ai = NULL;
    char host[256], why[128];
    const char *port;
    int rc, fd;

    split(item, host, sizeof(host), &port);
    rc =
        getaddrinfo(host[0] != '\0' && strcmp(host, "*") != 0 ? host : NULL, port, &hints, &ai);
    if (rc != 0) {
        rc_conf_error(e, NULL, 0, "listen on %s: %s", item, gai_strerror(rc));
        return;
    }
    fd = bind_to(ai, (int)a->conf->server_backlog);
    if (fd < 0) {
        rc = errno;
        rc_conf_error(e, NULL, 0, "listen on %s: %s%s", item, strerror_r(rc, why, sizeof(why)),
                      rc == EADDRINUSE ? "; another program has it: stop that, or choose "
                                         "another address with server.listen"
                                       : "");
    } else {
        a->listener[a->nlisteners++] = (struct listener){.acceptor = a, .fd = fd};
    }
    freeaddrinfo(ai);
}

static void say_listening(const struct listener *l)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    struct rc_addr addr;
    char text[RC_ADDR_TEXT];

    if (getsockname(l->fd, (struct sockaddr *)&ss, &len) != 0)
        return;
    rc_addr_from(&ss, &addr);
    fprintf(stderr, "listening on %s\n", rc_addr_text(&addr, text));
}

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
    for (unsigned i = 0; i < a->nlisteners; i++)
        unwatch(a, a->listener[i].ev);
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
    for (unsigned i = 0; i < a->nlisteners; i++)
        if (watch(a, a->listener[i].ev) != RC_OK)
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

RC_ON_ACCEPTOR static void turn_away(struct rc_acceptor *a, int fd)
{
    static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
                               "Retry-After: 5\r\nConnection: close\r\n\r\n";

    if (!a->full)
        rc_log(RC_LOG_WARN, "limits.max_connections = %u is reached: turning clients away",
               a->max_conns);
    a->full = true;
    (void)send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)close(fd);
}

RC_ON_ACCEPTOR static void hand_over(struct rc_acceptor *a, int fd,
                                     const struct sockaddr_storage *ss)
{
    struct rc_msg msg = {.type = RC_MSG_CONN};
    uint64_t hash;

    if (is_full(a)) {
        turn_away(a, fd);
        return;
    }
    a->full = false;
    rc_addr_from(ss, &msg.u.conn.peer);
    if (a->only != NULL) {
        rc_loop_enter(&a->only->loop);
        rc_front_accept(a->only, fd, &msg.u.conn.peer, NULL);
        return;
    }
    msg.u.conn.fd = fd;
    hash = rc_hash(msg.u.conn.peer.ip, sizeof(msg.u.conn.peer.ip), msg.u.conn.peer.port);
    a->handed_over++;
    rc_mesh_post(a->mesh, rc_mesh_acceptor(a->nshards), (unsigned)(hash % a->nshards), &msg);
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    struct listener *l = arg;
    struct rc_acceptor *a = l->acceptor;

    (void)what;
    enter(a);
    for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
        struct sockaddr_storage ss = {0};
        socklen_t len = sizeof(ss);
        int conn = accept4(fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (conn >= 0) {
            a->backoff_ms = 0;
            hand_over(a, conn, &ss);
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

static void close_listeners(struct rc_acceptor *a)
{
    for (unsigned i = 0; i < a->nlisteners; i++) {
        if (a->listener[i].ev != NULL) {
            unwatch(a, a->listener[i].ev);
            event_free(a->listener[i].ev);
        }
        (void)close(a->listener[i].fd);
    }
    a->nlisteners = 0;
}

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    struct rc_acceptor *a = arg;
    uint64_t count;

    (void)what;
    enter(a);
    /* What main did before its write is visible behind this. */
    RC_ASSERT(read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count));
    unwatch(a, a->stop);
    close_listeners(a);
    if (a->only == NULL)
        (void)event_base_loopbreak(a->base);
}

static void *run(void *arg)
{
    struct rc_acceptor *a = arg;

    rc_thread_enter("acceptor", a);
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
    for (unsigned i = 0; ok && i < a->nlisteners; i++) {
        struct listener *l = &a->listener[i];

        l->ev = event_new(a->base, l->fd, EV_READ | EV_PERSIST, on_acceptable, l);
        ok = l->ev != NULL && watch(a, l->ev) == RC_OK;
    }
    return ok;
}

struct rc_acceptor *rc_acceptor_new(const struct rc_conf *conf, struct rc_mesh *mesh,
                                    struct rc_shard *const *shards, unsigned nshards,
                                    uint32_t max_conns, struct rc_conf_errors *e)
{
    struct rc_acceptor *a = rc_calloc(1, sizeof(*a));
    unsigned faults = e->n;

    a->conf = conf;
    a->mesh = mesh;
    a->shards = shards;
    a->nshards = nshards;
    a->only = nshards == 1 ? shards[0] : NULL;
    a->max_conns = max_conns;
    a->stop_fd = a->resume_fd = -1;
    a->listener = rc_calloc(conf->server_listen.n, sizeof(*a->listener));
    for (unsigned i = 0; i < conf->server_listen.n; i++)
        listen_on(a, conf->server_listen.item[i], e);
    if (e->n == faults && !make_events(a))
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
    a->started = a->only != NULL || pthread_create(&a->thread, NULL, run, a) == 0;
    for (unsigned i = 0; a->started && i < a->nlisteners; i++)
        say_listening(&a->listener[i]);
    return a->started ? RC_OK : RC_ESYS;
}

void rc_acceptor_stop(struct rc_acceptor *a)
{
    static const uint64_t one = 1;

    if (!a->started)
        return;
    RC_ASSERT(write(a->stop_fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
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
    close_listeners(a);
    free_event(a, a->stop);
    free_event(a, a->resume);
    if (a->base != NULL && a->only == NULL)
        event_base_free(a->base);
    if (a->stop_fd >= 0)
        (void)close(a->stop_fd);
    if (a->resume_fd >= 0)
        (void)close(a->resume_fd);
    free(a->listener);
    free(a);
}

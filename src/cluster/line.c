/* line.c - hiredis on the cluster's event_base. */
#include "line.h"

#include "rc/base/log.h"
#include "rc/base/thread.h"
#include "rc/base/timer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BACKOFF_MIN_MS = 50,   /* doubled each time, and less by chance */
    BACKOFF_MAX_MS = 2500, /* shorter than the default of cluster.rejoin_wait */
    OPEN_MS = 5000,        /* from connect to ready */
};

/* ---- hiredis asks for events ----
 *
 * It does so before and after everything it reads and writes. What is asked of epoll is only what has changed when
 * that is over: reading stays on, and what there is to write is written at the end of the turn, without asking
 * whether that can be done. */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct rc_line *l = arg;

    (void)fd;
    (void)what;
    redisAsyncHandleRead(l->ac);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct rc_line *l = arg;

    (void)fd;
    (void)what;
    redisAsyncHandleWrite(l->ac);
}

static void add_read(void *arg)
{
    struct rc_line *l = arg;

    if (l->rev != NULL && !l->rests && !event_pending(l->rev, EV_READ, NULL))
        (void)event_add(l->rev, NULL);
}

static void del_read(void *arg)
{
    struct rc_line *l = arg;

    if (l->rev != NULL)
        (void)event_del(l->rev);
}

static void add_write(void *arg)
{
    struct rc_line *l = arg;

    l->writes = true;
    if (l->wev != NULL && (l->ac->c.flags & REDIS_CONNECTED) == 0)
        (void)event_add(l->wev, NULL); /* which tells when it is */
}

static void del_write(void *arg)
{
    struct rc_line *l = arg;

    l->writes = false;
    if (l->wev != NULL && event_pending(l->wev, EV_WRITE, NULL))
        (void)event_del(l->wev);
}

void rc_line_flush(struct rc_line *l)
{
    if (!l->writes || l->state == RC_LINE_WAITING || (l->ac->c.flags & REDIS_CONNECTED) == 0 ||
        event_pending(l->wev, EV_WRITE, NULL))
        return;
    redisAsyncHandleWrite(l->ac);
    if (l->writes && l->wev != NULL) /* it took not all */
        (void)event_add(l->wev, NULL);
}

static void free_event(struct event **ev)
{
    if (*ev != NULL)
        event_free(*ev);
    *ev = NULL;
}

static void cleanup(void *arg)
{
    struct rc_line *l = arg;

    free_event(&l->rev);
    free_event(&l->wev);
    l->writes = false;
}

/* ---- lost ---- */

static void start_timer(struct rc_line *l, unsigned ms)
{
    const struct timeval t = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};

    (void)event_add(l->timer, &t);
}

/* The context is gone, or is about to go: later again. */
static void lose(struct rc_line *l, const char *why)
{
    unsigned ms = l->backoff_ms;

    l->ac = NULL;
    l->state = RC_LINE_WAITING;
    if (l->ending)
        return;
    if (strcmp(l->told, why) != 0) {
        rc_log(RC_LOG_WARN, "cluster: %s: no connection for %s, will be tried again: %s",
               l->url->shown, l->name, why);
        (void)snprintf(l->told, sizeof(l->told), "%s", why);
    }
    start_timer(l, ms / 2 + (unsigned)rand_r(&l->seed) % (ms / 2 + 1));
    l->backoff_ms = ms * 2 < BACKOFF_MAX_MS ? ms * 2 : BACKOFF_MAX_MS;
    l->ops->changed(l->arg);
}

void rc_line_drop(struct rc_line *l, const char *why)
{
    redisAsyncContext *ac = l->ac;

    if (ac == NULL)
        return;
    ac->data = NULL; /* on_disconnect is not to be told */
    cleanup(l);
    lose(l, why);
    redisAsyncFree(ac);
}

void rc_line_ready(struct rc_line *l)
{
    (void)event_del(l->timer);
    l->state = RC_LINE_READY;
    l->ops->changed(l->arg);
}

void rc_line_held(struct rc_line *l)
{
    l->backoff_ms = BACKOFF_MIN_MS;
    l->told[0] = '\0';
}

void rc_line_rest(struct rc_line *l, bool rests)
{
    if (l->rests == rests)
        return;
    l->rests = rests;
    if (rests)
        del_read(l);
    else
        add_read(l);
}

/* ---- opening ---- */

static void on_opened(redisAsyncContext *ac, void *reply, void *arg);

static void go_on(struct rc_line *l, bool selected)
{
    if (selected || !l->selects || l->url->db == 0)
        l->ops->opened(l->arg);
    else
        (void)redisAsyncCommand(l->ac, on_opened, &l->selects, "SELECT %u",
                                (unsigned)l->url->db);
}

/* To the first command, whose arg is the line, or to SELECT. */
static void on_opened(redisAsyncContext *ac, void *reply, void *arg)
{
    const redisReply *r = reply;
    struct rc_line *l = ac->data;
    char why[192];

    if (!rc_line_answers(ac, reply))
        return;
    if (r->type != REDIS_REPLY_ERROR) {
        go_on(l, arg == &l->selects);
        return;
    }
    (void)snprintf(why, sizeof(why), "%s", r->str);
    rc_line_drop(l, why);
}

/* The first command: AUTH, or PING, which fails where AUTH is needed. */
static void say_hello(struct rc_line *l)
{
    const struct rc_redis_url *u = l->url;

    if (u->password[0] == '\0')
        (void)redisAsyncCommand(l->ac, on_opened, l, "PING");
    else if (u->user[0] == '\0')
        (void)redisAsyncCommand(l->ac, on_opened, l, "AUTH %s", u->password);
    else
        (void)redisAsyncCommand(l->ac, on_opened, l, "AUTH %s %s", u->user, u->password);
}

static void on_connect(const redisAsyncContext *ac, int status)
{
    struct rc_line *l = ac->data;

    if (l == NULL)
        return;
    if (status != REDIS_OK)
        lose(l, ac->errstr != NULL ? ac->errstr : "it cannot be reached");
    else
        say_hello(l);
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
    struct rc_line *l = ac->data;

    (void)status;
    if (l != NULL)
        lose(l, ac->errstr != NULL && ac->errstr[0] != '\0' ? ac->errstr : "it was closed");
}

static bool attach(struct rc_line *l)
{
    redisAsyncContext *ac = l->ac;

    l->rev = event_new(l->base, ac->c.fd, EV_READ | EV_PERSIST, on_readable, l);
    l->wev = event_new(l->base, ac->c.fd, EV_WRITE, on_writable, l);
    ac->data = l;
    ac->ev.data = l;
    ac->ev.addRead = add_read;
    ac->ev.delRead = del_read;
    ac->ev.addWrite = add_write;
    ac->ev.delWrite = del_write;
    ac->ev.cleanup = cleanup;
    return l->rev != NULL && l->wev != NULL &&
           redisAsyncSetConnectCallback(ac, on_connect) == REDIS_OK &&
           redisAsyncSetDisconnectCallback(ac, on_disconnect) == REDIS_OK;
}

void rc_line_open(struct rc_line *l)
{
    const struct rc_redis_url *u = l->url;
    redisAsyncContext *ac;
    char why[192];

    l->state = RC_LINE_OPENING;
    ac = u->host != NULL ? redisAsyncConnect(u->host, u->port) : redisAsyncConnectUnix(u->path);
    RC_ASSERT(ac != NULL);
    l->ac = ac;
    if (ac->err == 0 && attach(l)) {
        start_timer(l, OPEN_MS);
        return;
    }
    (void)snprintf(why, sizeof(why), "%s", ac->err != 0 ? ac->errstr : "out of memory");
    rc_line_drop(l, why);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct rc_line *l = arg;

    (void)fd;
    (void)what;
    if (l->state == RC_LINE_WAITING)
        rc_line_open(l);
    else if (l->state == RC_LINE_OPENING)
        rc_line_drop(l, l->late != NULL ? l->late : "it does not answer in time");
}

/* ---- commands ---- */

bool rc_line_send(struct rc_line *l, redisCallbackFn *fn, void *arg, int argc,
                  const struct rc_str *argv)
{
    const char *p[RC_LINE_ARGS_MAX];
    size_t len[RC_LINE_ARGS_MAX];

    RC_ASSERT(argc <= RC_LINE_ARGS_MAX);
    for (int i = 0; i < argc; i++) {
        p[i] = argv[i].len != 0 ? argv[i].p : "";
        len[i] = argv[i].len;
    }
    /* One that is about to end takes nothing more. */
    return redisAsyncCommandArgv(l->ac, fn, arg, argc, p, len) == REDIS_OK;
}

struct rc_str rc_line_text(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS
               ? rc_str_make(r->str, (size_t)r->len)
               : RC_STR_NONE;
}

/* ---- life ---- */

bool rc_line_init(struct rc_line *l)
{
    l->backoff_ms = BACKOFF_MIN_MS;
    l->seed = (unsigned)rc_clock_wall_ms() ^ (unsigned)getpid() ^ (unsigned)(uintptr_t)l;
    l->timer = event_new(l->base, -1, 0, on_timer, l);
    return l->timer != NULL;
}

void rc_line_deinit(struct rc_line *l)
{
    l->ending = true;
    rc_line_drop(l, "");
    free_event(&l->timer);
}

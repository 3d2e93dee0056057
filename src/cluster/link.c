/* link.c - hiredis on the cluster's event_base. */
#include "link.h"

#include "rc/base/log.h"
#include "rc/base/mem.h"
#include "rc/base/thread.h"
#include "rc/base/timer.h"
#include "rc/broker/bus.h"

#include <hiredis/async.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BACKOFF_MIN_MS = 50,   /* doubled each time, and less by chance */
    BACKOFF_MAX_MS = 2500, /* shorter than the default of cluster.rejoin_wait */
    OPEN_MS = 5000,        /* from connect to ready */
    BEAT_MS = 5000,
    SILENCE_MS = 15000, /* without a beat: lost */
};

enum state { WAITING, OPENING, READY };

struct conn {
    struct rc_link *link;
    redisAsyncContext *ac; /* NULL: WAITING */
    struct event *rev, *wev, *timer;
    enum state state;
    bool subscribes;
    unsigned backoff_ms, unconfirmed;
    char told[192]; /* the last reason that was logged */
};

struct rc_link {
    struct event_base *base;
    const struct rc_redis_url *url;
    char *heartbeat;
    struct rc_link_ops ops;
    void *arg;
    struct conn pub, sub;
    struct event *beat;
    uint64_t heard_ms;
    bool was_up, rests, ending;
    unsigned seed;
};

/* ---- hiredis asks for events ---- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;

    (void)fd;
    (void)what;
    redisAsyncHandleRead(c->ac);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;

    (void)fd;
    (void)what;
    redisAsyncHandleWrite(c->ac);
}

static void add_read(void *arg)
{
    struct conn *c = arg;

    if (c->rev != NULL && !(c->subscribes && c->link->rests))
        (void)event_add(c->rev, NULL);
}

static void del_read(void *arg)
{
    struct conn *c = arg;

    if (c->rev != NULL)
        (void)event_del(c->rev);
}

static void add_write(void *arg)
{
    struct conn *c = arg;

    if (c->wev != NULL)
        (void)event_add(c->wev, NULL);
}

static void del_write(void *arg)
{
    struct conn *c = arg;

    if (c->wev != NULL)
        (void)event_del(c->wev);
}

static void free_event(struct event **ev)
{
    if (*ev != NULL)
        event_free(*ev);
    *ev = NULL;
}

static void cleanup(void *arg)
{
    struct conn *c = arg;

    free_event(&c->rev);
    free_event(&c->wev);
}

/* ---- up and down ---- */

static void start_timer(struct conn *c, unsigned ms)
{
    const struct timeval t = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};

    (void)event_add(c->timer, &t);
}

bool rc_link_is_up(const struct rc_link *l)
{
    return l->pub.state == READY && l->sub.state == READY;
}

/* Tells of a change. */
static void look(struct rc_link *l)
{
    bool up = rc_link_is_up(l);

    if (up == l->was_up)
        return;
    l->was_up = up;
    if (up)
        l->ops.up(l->arg);
    else
        l->ops.down(l->arg);
}

static const char *name_of(const struct conn *c)
{
    return c->subscribes ? "subscriptions" : "publishing";
}

/* The context is gone, or is about to go: later again. */
static void lose(struct conn *c, const char *why)
{
    struct rc_link *l = c->link;
    unsigned ms = c->backoff_ms;

    c->ac = NULL;
    c->state = WAITING;
    c->unconfirmed = 0;
    if (l->ending)
        return;
    if (strcmp(c->told, why) != 0) {
        rc_log(RC_LOG_WARN, "cluster: %s: no connection for %s, will be tried again: %s",
               l->url->shown, name_of(c), why);
        (void)snprintf(c->told, sizeof(c->told), "%s", why);
    }
    start_timer(c, ms / 2 + (unsigned)rand_r(&l->seed) % (ms / 2 + 1));
    c->backoff_ms = ms * 2 < BACKOFF_MAX_MS ? ms * 2 : BACKOFF_MAX_MS;
    look(l);
}

/* Ends it from here. Callbacks of what is under way still come, with no reply. */
static void drop(struct conn *c, const char *why)
{
    redisAsyncContext *ac = c->ac;

    if (ac == NULL)
        return;
    ac->data = NULL; /* on_disconnect is not to be told */
    cleanup(c);
    lose(c, why);
    redisAsyncFree(ac);
}

static void become_ready(struct conn *c)
{
    (void)event_del(c->timer);
    c->state = READY;
    c->link->heard_ms = rc_clock_ms();
    look(c->link);
}

/* ---- subscribed ---- */

static void on_push(redisAsyncContext *ac, void *reply, void *arg);

static void send_subscribe(struct conn *c, const char *command, struct rc_str channel)
{
    const char *argv[2] = {command, channel.p};
    const size_t len[2] = {strlen(command), channel.len};

    (void)redisAsyncCommandArgv(c->ac, on_push, c->link, 2, argv, len);
}

static void subscribe_all(struct conn *c, const char *command, struct rc_str list)
{
    struct rc_str channel;

    while (rc_bus_list_next(&list, &channel)) {
        send_subscribe(c, command, channel);
        c->unconfirmed++;
    }
}

static void subscribe(struct conn *c)
{
    struct rc_link *l = c->link;
    struct rc_buf channels = RC_BUF_INIT, patterns = RC_BUF_INIT;

    l->ops.channels(l->arg, &channels, &patterns);
    /* Others take who listens to requests for one that is there: messages come before. */
    subscribe_all(c, "PSUBSCRIBE", rc_buf_str(&patterns));
    send_subscribe(c, "SUBSCRIBE", rc_str_of(l->heartbeat));
    c->unconfirmed++;
    subscribe_all(c, "SUBSCRIBE", rc_buf_str(&channels));
    rc_buf_deinit(&channels);
    rc_buf_deinit(&patterns);
}

static struct rc_str text_of(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING ? rc_str_make(r->str, (size_t)r->len) : RC_STR_NONE;
}

static void take_message(struct rc_link *l, struct rc_str pattern, struct rc_str channel,
                         struct rc_str payload)
{
    l->heard_ms = rc_clock_ms();
    if (!rc_str_eq(channel, rc_str_of(l->heartbeat)))
        l->ops.message(l->arg, pattern, channel, payload);
}

/* [message, channel, payload], [pmessage, pattern, channel, payload], or a confirmation. */
static void on_push(redisAsyncContext *ac, void *reply, void *arg)
{
    const redisReply *r = reply;
    struct rc_link *l = arg;
    struct rc_str kind;

    if (r == NULL || ac->data == NULL || r->type != REDIS_REPLY_ARRAY || r->elements < 3)
        return;
    kind = text_of(r->element[0]);
    if (rc_str_eq(kind, RC_STR("pmessage")) && r->elements == 4)
        take_message(l, text_of(r->element[1]), text_of(r->element[2]), text_of(r->element[3]));
    else if (rc_str_eq(kind, RC_STR("message")))
        take_message(l, RC_STR_NONE, text_of(r->element[1]), text_of(r->element[2]));
    else if (l->sub.unconfirmed != 0 && --l->sub.unconfirmed == 0 && l->sub.state == OPENING)
        become_ready(&l->sub);
}

/* ---- opening ---- */

static void go_on(struct conn *c)
{
    if (c->subscribes)
        subscribe(c);
    else
        become_ready(c);
}

static void on_opened(redisAsyncContext *ac, void *reply, void *arg)
{
    const redisReply *r = reply;
    struct conn *c = arg;
    char why[192];

    if (r == NULL || ac->data == NULL)
        return;
    if (r->type != REDIS_REPLY_ERROR) {
        go_on(c);
        return;
    }
    (void)snprintf(why, sizeof(why), "%s", r->str);
    drop(c, why);
}

/* The first command: AUTH, or PING, which fails where AUTH is needed. */
static void say_hello(struct conn *c)
{
    const struct rc_redis_url *u = c->link->url;

    if (u->password[0] == '\0')
        (void)redisAsyncCommand(c->ac, on_opened, c, "PING");
    else if (u->user[0] == '\0')
        (void)redisAsyncCommand(c->ac, on_opened, c, "AUTH %s", u->password);
    else
        (void)redisAsyncCommand(c->ac, on_opened, c, "AUTH %s %s", u->user, u->password);
}

static void on_connect(const redisAsyncContext *ac, int status)
{
    struct conn *c = ac->data;

    if (c == NULL)
        return;
    if (status != REDIS_OK)
        lose(c, ac->errstr != NULL ? ac->errstr : "it cannot be reached");
    else
        say_hello(c);
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
    struct conn *c = ac->data;

    (void)status;
    if (c != NULL)
        lose(c, ac->errstr != NULL && ac->errstr[0] != '\0' ? ac->errstr : "it was closed");
}

static bool attach(struct conn *c)
{
    redisAsyncContext *ac = c->ac;

    c->rev = event_new(c->link->base, ac->c.fd, EV_READ, on_readable, c);
    c->wev = event_new(c->link->base, ac->c.fd, EV_WRITE, on_writable, c);
    ac->data = c;
    ac->ev.data = c;
    ac->ev.addRead = add_read;
    ac->ev.delRead = del_read;
    ac->ev.addWrite = add_write;
    ac->ev.delWrite = del_write;
    ac->ev.cleanup = cleanup;
    return c->rev != NULL && c->wev != NULL &&
           redisAsyncSetConnectCallback(ac, on_connect) == REDIS_OK &&
           redisAsyncSetDisconnectCallback(ac, on_disconnect) == REDIS_OK;
}

static void open_conn(struct conn *c)
{
    const struct rc_redis_url *u = c->link->url;
    redisAsyncContext *ac;
    char why[192];

    c->state = OPENING;
    ac = u->host != NULL ? redisAsyncConnect(u->host, u->port) : redisAsyncConnectUnix(u->path);
    RC_ASSERT(ac != NULL);
    c->ac = ac;
    if (ac->err == 0 && attach(c)) {
        start_timer(c, OPEN_MS);
        return;
    }
    (void)snprintf(why, sizeof(why), "%s", ac->err != 0 ? ac->errstr : "out of memory");
    drop(c, why);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;

    (void)fd;
    (void)what;
    if (c->state == WAITING)
        open_conn(c);
    else if (c->state == OPENING)
        drop(c, c->unconfirmed != 0
                    ? "it does not confirm all subscriptions in time: may this user subscribe?"
                    : "it does not answer in time");
}

/* ---- publishing ---- */

static void on_sent(redisAsyncContext *ac, void *reply, void *arg)
{
    const redisReply *r = reply;
    struct conn *c = ac->ev.data;
    size_t size = (size_t)(uintptr_t)arg;
    bool failed = r == NULL || r->type == REDIS_REPLY_ERROR;

    c->link->ops.sent(c->link->arg, size, failed);
    if (r == NULL || r->type != REDIS_REPLY_ERROR || strcmp(c->told, r->str) == 0)
        return;
    rc_log(RC_LOG_ERROR, "cluster: %s: PUBLISH is refused: %s", c->link->url->shown, r->str);
    (void)snprintf(c->told, sizeof(c->told), "%s", r->str);
}

static void publish(struct rc_link *l, struct rc_str channel, struct rc_str payload,
                    redisCallbackFn *fn)
{
    const char *argv[3] = {"PUBLISH", channel.p, payload.len != 0 ? payload.p : ""};
    const size_t len[3] = {7, channel.len, payload.len};

    /* One that is about to end takes nothing more.
     * NOLINTNEXTLINE(performance-no-int-to-ptr): only a number */
    if (redisAsyncCommandArgv(l->pub.ac, fn, (void *)(uintptr_t)payload.len, 3, argv, len) !=
            REDIS_OK &&
        fn != NULL)
        l->ops.sent(l->arg, payload.len, true);
}

void rc_link_publish(struct rc_link *l, struct rc_str channel, struct rc_str payload)
{
    RC_ASSERT(rc_link_is_up(l));
    publish(l, channel, payload, on_sent);
}

struct count {
    struct rc_link *link;
    uint64_t number;
};

static void on_counted(redisAsyncContext *ac, void *reply, void *arg)
{
    struct count *n = arg;
    const redisReply *r = reply;
    long long count = -1;

    (void)ac;
    if (r != NULL && r->type == REDIS_REPLY_ARRAY && r->elements == 2 &&
        r->element[1]->type == REDIS_REPLY_INTEGER)
        count = r->element[1]->integer;
    n->link->ops.counted(n->link->arg, n->number, count);
    free(n);
}

bool rc_link_count(struct rc_link *l, struct rc_str channel, uint64_t number)
{
    const char *argv[3] = {"PUBSUB", "NUMSUB", channel.p};
    const size_t len[3] = {6, 6, channel.len};
    struct count *n;

    if (!rc_link_is_up(l))
        return false;
    n = rc_malloc(sizeof(*n));
    *n = (struct count){.link = l, .number = number};
    if (redisAsyncCommandArgv(l->pub.ac, on_counted, n, 3, argv, len) == REDIS_OK)
        return true;
    free(n);
    return false;
}

void rc_link_subscribe(struct rc_link *l, struct rc_str channel, bool pattern, bool on)
{
    static const char *const command[2][2] = {{"UNSUBSCRIBE", "SUBSCRIBE"},
                                              {"PUNSUBSCRIBE", "PSUBSCRIBE"}};

    if (l->sub.state == WAITING || (l->sub.state == OPENING && l->sub.unconfirmed == 0))
        return;
    send_subscribe(&l->sub, command[pattern][on], channel);
    if (l->sub.state == OPENING)
        l->sub.unconfirmed++;
}

void rc_link_rest(struct rc_link *l, bool rests)
{
    if (l->rests == rests)
        return;
    l->rests = rests;
    if (rests)
        del_read(&l->sub);
    else
        add_read(&l->sub);
    l->heard_ms = rc_clock_ms();
}

/* ---- life ---- */

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    struct rc_link *l = arg;

    (void)fd;
    (void)what;
    if (!rc_link_is_up(l))
        return;
    if (!l->rests && rc_clock_ms() - l->heard_ms > SILENCE_MS) {
        drop(&l->pub, "it says nothing any more");
        drop(&l->sub, "it says nothing any more");
        return;
    }
    /* They have held: the next loss is another story. */
    l->pub.backoff_ms = l->sub.backoff_ms = BACKOFF_MIN_MS;
    l->pub.told[0] = l->sub.told[0] = '\0';
    publish(l, rc_str_of(l->heartbeat), RC_STR(""), NULL);
}

static bool init_conn(struct rc_link *l, struct conn *c, bool subscribes)
{
    c->link = l;
    c->subscribes = subscribes;
    c->backoff_ms = BACKOFF_MIN_MS;
    c->timer = event_new(l->base, -1, 0, on_timer, c);
    return c->timer != NULL;
}

struct rc_link *rc_link_new(struct event_base *base, const struct rc_redis_url *url,
                            struct rc_str heartbeat, const struct rc_link_ops *ops, void *arg)
{
    struct rc_link *l = rc_calloc(1, sizeof(*l));

    l->base = base;
    l->url = url;
    l->heartbeat = rc_strndup(heartbeat.p, heartbeat.len);
    l->ops = *ops;
    l->arg = arg;
    l->seed = (unsigned)rc_clock_wall_ms() ^ (unsigned)getpid();
    l->beat = event_new(base, -1, EV_PERSIST, on_beat, l);
    if (init_conn(l, &l->pub, false) && init_conn(l, &l->sub, true) && l->beat != NULL)
        return l;
    rc_link_free(l);
    return NULL;
}

void rc_link_start(struct rc_link *l)
{
    const struct timeval beat = {.tv_sec = BEAT_MS / 1000};

    (void)event_add(l->beat, &beat);
    open_conn(&l->pub);
    open_conn(&l->sub);
}

void rc_link_free(struct rc_link *l)
{
    if (l == NULL)
        return;
    l->ending = true;
    drop(&l->pub, "");
    drop(&l->sub, "");
    free_event(&l->pub.timer);
    free_event(&l->sub.timer);
    free_event(&l->beat);
    free(l->heartbeat);
    free(l);
}

static int probe_reply(redisContext *c, const struct rc_redis_url *u, char *why, size_t size)
{
    redisReply *r;
    int rc = RC_OK;

    if (u->password[0] == '\0')
        r = redisCommand(c, "PING");
    else if (u->user[0] == '\0')
        r = redisCommand(c, "AUTH %s", u->password);
    else
        r = redisCommand(c, "AUTH %s %s", u->user, u->password);
    if (r == NULL || r->type == REDIS_REPLY_ERROR) {
        (void)snprintf(why, size, "%s", r != NULL ? r->str : c->errstr);
        /* One that is still reading its data says LOADING. */
        rc = r != NULL && strncmp(r->str, "LOADING", 7) != 0 ? RC_EINVAL : RC_ECLOSED;
    }
    if (r != NULL)
        freeReplyObject(r);
    return rc;
}

int rc_link_probe(const struct rc_redis_url *u, uint32_t timeout_ms, char *why, size_t size)
{
    const struct timeval t = {.tv_sec = timeout_ms / 1000,
                              .tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000};
    redisContext *c = u->host != NULL ? redisConnectWithTimeout(u->host, u->port, t)
                                      : redisConnectUnixWithTimeout(u->path, t);
    int rc = RC_ECLOSED;

    if (c == NULL || c->err != 0)
        (void)snprintf(why, size, "%s", c != NULL ? c->errstr : "out of memory");
    else if (redisSetTimeout(c, t) == REDIS_OK)
        rc = probe_reply(c, u, why, size);
    if (c != NULL)
        redisFree(c);
    return rc;
}

/* link.c - the two connections of what passes through Redis and is not kept there. */
#include "link.h"

#include "line.h"
#include "rc/base/log.h"
#include "rc/base/mem.h"
#include "rc/base/timer.h"
#include "rc/broker/bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BEAT_MS = 5000,
    SILENCE_MS = 15000, /* without a beat: lost */
};

struct rc_link {
    char *heartbeat;
    struct rc_link_ops ops;
    void *arg;
    struct rc_line pub, sub;
    unsigned unconfirmed; /* subscriptions */
    struct event *beat;
    uint64_t heard_ms;
    bool was_up;
    char refused[192]; /* the last reason that was logged */
};

/* ---- up and down ---- */

bool rc_link_is_up(const struct rc_link *l)
{
    return l->pub.state == RC_LINE_READY && l->sub.state == RC_LINE_READY;
}

/* Tells of a change. */
static void on_changed(void *arg)
{
    struct rc_link *l = arg;
    bool up = rc_link_is_up(l);

    if (l->sub.state == RC_LINE_WAITING) {
        l->unconfirmed = 0;
        l->sub.late = NULL;
    }
    l->heard_ms = rc_clock_ms();
    if (up == l->was_up)
        return;
    l->was_up = up;
    if (up)
        l->ops.up(l->arg);
    else
        l->ops.down(l->arg);
}

uint64_t rc_link_silence_ms(const struct rc_link *l)
{
    return rc_clock_ms() - l->heard_ms;
}

/* ---- subscribed ---- */

static void on_push(redisAsyncContext *ac, void *reply, void *arg);

static void send_subscribe(struct rc_link *l, const char *command, struct rc_str channel)
{
    const struct rc_str argv[2] = {rc_str_of(command), channel};

    (void)rc_line_send(&l->sub, on_push, l, 2, argv);
}

static void subscribe_all(struct rc_link *l, const char *command, struct rc_str list)
{
    struct rc_str channel;

    while (rc_bus_list_next(&list, &channel)) {
        send_subscribe(l, command, channel);
        l->unconfirmed++;
    }
}

static void on_sub_opened(void *arg)
{
    struct rc_link *l = arg;
    struct rc_buf channels = RC_BUF_INIT, patterns = RC_BUF_INIT;

    l->sub.late = "it does not confirm all subscriptions in time: may this user subscribe?";
    l->ops.channels(l->arg, &channels, &patterns);
    /* Others take who listens to requests for one that is there: messages come before. */
    subscribe_all(l, "PSUBSCRIBE", rc_buf_str(&patterns));
    send_subscribe(l, "SUBSCRIBE", rc_str_of(l->heartbeat));
    l->unconfirmed++;
    subscribe_all(l, "SUBSCRIBE", rc_buf_str(&channels));
    rc_buf_deinit(&channels);
    rc_buf_deinit(&patterns);
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

    if (!rc_line_answers(ac, reply) || r->type != REDIS_REPLY_ARRAY || r->elements < 3)
        return;
    kind = rc_line_text(r->element[0]);
    if (rc_str_eq(kind, RC_STR("pmessage")) && r->elements == 4)
        take_message(l, rc_line_text(r->element[1]), rc_line_text(r->element[2]),
                     rc_line_text(r->element[3]));
    else if (rc_str_eq(kind, RC_STR("message")))
        take_message(l, RC_STR_NONE, rc_line_text(r->element[1]), rc_line_text(r->element[2]));
    else if (l->unconfirmed != 0 && --l->unconfirmed == 0 && l->sub.state == RC_LINE_OPENING)
        rc_line_ready(&l->sub);
}

/* ---- publishing ---- */

static void on_sent(redisAsyncContext *ac, void *reply, void *arg)
{
    const redisReply *r = reply;
    const struct rc_line *line = ac->ev.data;
    struct rc_link *l = line->arg;
    size_t size = (size_t)(uintptr_t)arg;
    bool failed = r == NULL || r->type == REDIS_REPLY_ERROR;

    l->ops.sent(l->arg, size, failed);
    if (r == NULL || r->type != REDIS_REPLY_ERROR || strcmp(l->refused, r->str) == 0)
        return;
    rc_log(RC_LOG_ERROR, "cluster: %s: PUBLISH is refused: %s", line->url->shown, r->str);
    (void)snprintf(l->refused, sizeof(l->refused), "%s", r->str);
}

static void publish(struct rc_link *l, struct rc_str channel, struct rc_str payload,
                    redisCallbackFn *fn)
{
    const struct rc_str argv[3] = {RC_STR("PUBLISH"), channel, payload};

    /* NOLINTNEXTLINE(performance-no-int-to-ptr): only a number */
    if (!rc_line_send(&l->pub, fn, (void *)(uintptr_t)payload.len, 3, argv) && fn != NULL)
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
    const struct rc_str argv[3] = {RC_STR("PUBSUB"), RC_STR("NUMSUB"), channel};
    struct count *n;

    if (!rc_link_is_up(l))
        return false;
    n = rc_malloc(sizeof(*n));
    *n = (struct count){.link = l, .number = number};
    if (rc_line_send(&l->pub, on_counted, n, 3, argv))
        return true;
    free(n);
    return false;
}

void rc_link_subscribe(struct rc_link *l, struct rc_str channel, bool pattern, bool on)
{
    static const char *const command[2][2] = {{"UNSUBSCRIBE", "SUBSCRIBE"},
                                              {"PUNSUBSCRIBE", "PSUBSCRIBE"}};

    if (l->sub.state == RC_LINE_WAITING ||
        (l->sub.state == RC_LINE_OPENING && l->unconfirmed == 0))
        return;
    send_subscribe(l, command[pattern][on], channel);
    if (l->sub.state == RC_LINE_OPENING)
        l->unconfirmed++;
}

void rc_link_flush(struct rc_link *l)
{
    rc_line_flush(&l->pub);
    rc_line_flush(&l->sub);
}

void rc_link_rest(struct rc_link *l, bool rests)
{
    if (l->sub.rests == rests)
        return;
    rc_line_rest(&l->sub, rests);
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
    if (!l->sub.rests && rc_link_silence_ms(l) > SILENCE_MS) {
        rc_line_drop(&l->pub, "it says nothing any more");
        rc_line_drop(&l->sub, "it says nothing any more");
        return;
    }
    rc_line_held(&l->pub);
    rc_line_held(&l->sub);
    l->refused[0] = '\0';
    publish(l, rc_str_of(l->heartbeat), RC_STR(""), NULL);
}

static void on_pub_opened(void *arg)
{
    struct rc_link *l = arg;

    rc_line_ready(&l->pub);
}

struct rc_link *rc_link_new(struct event_base *base, const struct rc_redis_url *url,
                            struct rc_str heartbeat, const struct rc_link_ops *ops, void *arg)
{
    static const struct rc_line_ops pub_ops = {.opened = on_pub_opened, .changed = on_changed};
    static const struct rc_line_ops sub_ops = {.opened = on_sub_opened, .changed = on_changed};
    struct rc_link *l = rc_calloc(1, sizeof(*l));

    l->heartbeat = rc_strndup(heartbeat.p, heartbeat.len);
    l->ops = *ops;
    l->arg = arg;
    l->beat = event_new(base, -1, EV_PERSIST, on_beat, l);
    l->pub = (struct rc_line){
        .base = base, .url = url, .name = "publishing", .ops = &pub_ops, .arg = l};
    l->sub = (struct rc_line){
        .base = base, .url = url, .name = "subscriptions", .ops = &sub_ops, .arg = l};
    if (rc_line_init(&l->pub) && rc_line_init(&l->sub) && l->beat != NULL)
        return l;
    rc_link_free(l);
    return NULL;
}

void rc_link_start(struct rc_link *l)
{
    const struct timeval beat = {.tv_sec = BEAT_MS / 1000};

    (void)event_add(l->beat, &beat);
    rc_line_open(&l->pub);
    rc_line_open(&l->sub);
}

void rc_link_free(struct rc_link *l)
{
    if (l == NULL)
        return;
    rc_line_deinit(&l->pub);
    rc_line_deinit(&l->sub);
    if (l->beat != NULL)
        event_free(l->beat);
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

/* stream_writer.c - what waits until Redis has it. */
#include "rc/base/log.h"
#include "rc/base/mem.h"
#include "rc/base/timer.h"
#include "streams_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WAITING_MAX = 1 << 20, /* bytes that are taken before Redis has any */
    BATCH_MAX = 512,       /* entries of one transaction */
};

struct rc_stream_out {
    struct rc_stream_out *next;
    uint64_t number;
    uint32_t size;
    size_t nsp_len, data_len;
    char bytes[]; /* namespace, data */
};

/* ---- what waits ---- */

bool rc_streams_has_room(const struct rc_streams *s)
{
    return s->waiting < WAITING_MAX;
}

bool rc_streams_is_empty(const struct rc_streams *s)
{
    return s->first == NULL;
}

void rc_streams_add(struct rc_streams *s, struct rc_str nsp, struct rc_str data, uint32_t size)
{
    struct rc_stream_out *o = rc_malloc(sizeof(*o) + nsp.len + data.len);

    *o = (struct rc_stream_out){
        .number = ++s->number, .size = size, .nsp_len = nsp.len, .data_len = data.len};
    memcpy(o->bytes, nsp.p, nsp.len);
    memcpy(o->bytes + nsp.len, data.p, data.len);
    s->waiting += data.len;
    *s->last = o;
    s->last = &o->next;
}

/* Redis has the first one. */
static void take_first(struct rc_streams *s)
{
    struct rc_stream_out *o = s->first;

    s->first = o->next;
    if (s->first == NULL)
        s->last = &s->first;
    s->waiting -= o->data_len;
    s->ops.sent(s->arg, o->size);
    free(o);
}

void rc_stream_writer_deinit(struct rc_streams *s)
{
    while (s->first != NULL) {
        struct rc_stream_out *o = s->first;

        s->first = o->next;
        free(o);
    }
}

/* ---- writing ---- */

static void on_written(redisAsyncContext *ac, void *reply, void *arg);

static void write_one(struct rc_streams *s, const struct rc_stream_out *o, redisCallbackFn *fn)
{
    char length[16], seq[RC_SEQ_SIZE];
    struct rc_str nsp = rc_str_make(o->bytes, o->nsp_len);
    struct rc_str data = rc_str_make(o->bytes + o->nsp_len, o->data_len);

    (void)snprintf(length, sizeof(length), "%u", (unsigned)s->setting.length);
    rc_seq_put((struct rc_seq){.run = s->run, .number = o->number}, seq);
    {
        const struct rc_str argv[] = {
            RC_STR("XADD"), s->setting.name, RC_STR("MAXLEN"), RC_STR("~"),   rc_str_of(length),
            RC_STR("*"),    RC_STR("uid"),   s->setting.uid,   RC_STR("nsp"), nsp,
            RC_STR("type"), RC_STR("3"),     RC_STR("data"),   data,          RC_STR("seq"),
            rc_str_of(seq)};

        (void)rc_line_send(&s->writer, fn, s, sizeof(argv) / sizeof(argv[0]), argv);
    }
}

void rc_streams_flush(struct rc_streams *s)
{
    const struct rc_str multi = RC_STR("MULTI"), exec = RC_STR("EXEC");
    const struct rc_stream_out *o;
    unsigned n = 0;

    if (s->first == NULL || s->writer.state != RC_LINE_READY || !s->placed ||
        s->under_way != 0 || s->unknown != 0)
        return;
    s->written_ms = rc_clock_ms();
    if (s->first->next == NULL) {
        s->under_way = 1;
        write_one(s, s->first, on_written);
        return;
    }
    (void)rc_line_send(&s->writer, NULL, NULL, 1, &multi);
    for (o = s->first; o != NULL && n < BATCH_MAX; o = o->next, n++)
        write_one(s, o, NULL);
    (void)rc_line_send(&s->writer, on_written, s, 1, &exec);
    s->under_way = n;
}

/* Why nothing of it is there; NULL: all of it is. */
static const char *fault_of(const redisReply *r, unsigned n)
{
    if (r->type == REDIS_REPLY_ERROR)
        return r->str;
    if (n == 1 && r->type == REDIS_REPLY_STRING)
        return NULL;
    if (r->type != REDIS_REPLY_ARRAY || r->elements != n)
        return "it was no stream's answer";
    for (size_t i = 0; i < r->elements; i++)
        if (r->element[i]->type != REDIS_REPLY_STRING)
            return r->element[i]->type == REDIS_REPLY_ERROR ? r->element[i]->str
                                                            : "it was no stream's answer";
    return NULL;
}

static void on_written(redisAsyncContext *ac, void *reply, void *arg)
{
    struct rc_streams *s = arg;
    const char *fault;
    char why[192];

    if (!rc_line_answers(ac, reply))
        return;
    fault = fault_of(reply, s->under_way);
    if (fault != NULL) { /* tried again, as if the connection had been lost */
        (void)snprintf(why, sizeof(why), "XADD is refused: %s", fault);
        rc_line_drop(&s->writer, why);
        return;
    }
    s->written_ms = 0;
    for (; s->under_way != 0; s->under_way--)
        take_first(s);
    rc_streams_flush(s);
}

/* ---- after a loss ---- */

/* Of the unknown ones those that the reader has found. */
static void take_found(struct rc_streams *s)
{
    for (; s->unknown != 0 && s->first->number <= s->own; s->unknown--)
        take_first(s);
}

void rc_stream_writer_look(struct rc_streams *s)
{
    take_found(s);
    if (s->unknown != 0) {
        if (s->writer.state != RC_LINE_READY || !s->knows_end ||
            !rc_stream_id_reaches(s->offset, s->end))
            return;
        s->ops.count(s->arg, RC_STREAMS_RESENT, s->unknown);
        s->unknown = 0;
    }
    rc_streams_flush(s);
}

static void on_changed(void *arg)
{
    struct rc_streams *s = arg;

    if (s->writer.state == RC_LINE_WAITING) {
        if (s->under_way != 0) {
            s->unknown = s->under_way;
            s->under_way = 0;
            s->lost_client = s->client;
            memcpy(s->lost_redis, s->redis, sizeof(s->lost_redis));
        }
        s->knows_end = false;
        s->written_ms = 0;
        s->client = 0;
        s->redis[0] = '\0';
        take_found(s);
    }
    rc_streams_look(s);
}

/* ---- opening: CLIENT ID, INFO, CLIENT KILL, where the stream ends ---- */

static void fail(struct rc_streams *s, const char *command, const char *text)
{
    char why[192];

    (void)snprintf(why, sizeof(why), "%s is refused: %s", command, text);
    rc_line_drop(&s->writer, why);
}

static void on_end(redisAsyncContext *ac, void *reply, void *arg)
{
    const redisReply *r = reply;
    struct rc_streams *s = arg;

    if (!rc_line_answers(ac, reply))
        return;
    if (r->type == REDIS_REPLY_ERROR) {
        fail(s, "XREVRANGE", r->str);
        return;
    }
    s->end = (struct rc_stream_id){.ms = 0};
    if (r->type == REDIS_REPLY_ARRAY && r->elements == 1 &&
        r->element[0]->type == REDIS_REPLY_ARRAY && r->element[0]->elements == 2)
        (void)rc_stream_id_read(rc_line_text(r->element[0]->element[0]), &s->end);
    s->knows_end = true;
    rc_line_ready(&s->writer);
    rc_stream_writer_look(s);
}

static void find_end(struct rc_streams *s)
{
    const struct rc_str argv[] = {RC_STR("XREVRANGE"), s->setting.name, RC_STR("+"),
                                  RC_STR("-"),         RC_STR("COUNT"), RC_STR("1")};

    if (s->unknown != 0) {
        (void)rc_line_send(&s->writer, on_end, s, 6, argv);
        return;
    }
    rc_line_ready(&s->writer);
    rc_streams_flush(s);
}

static void tell_kill(struct rc_streams *s, const char *why)
{
    if (!s->told_kill)
        rc_log(RC_LOG_WARN,
               "cluster: %s: what is written again after a loss may be there twice for Node "
               "servers: %s: this user needs +info +client|id +client|kill",
               s->writer.url->shown, why);
    s->told_kill = true;
}

static void on_killed(redisAsyncContext *ac, void *reply, void *arg)
{
    const redisReply *r = reply;
    struct rc_streams *s = arg;

    if (!rc_line_answers(ac, reply))
        return;
    if (r->type == REDIS_REPLY_ERROR)
        tell_kill(s, r->str);
    s->lost_client = 0;
    find_end(s);
}

/* A number names another connection after Redis has started again: then the old one is no more. */
static void kill_lost(struct rc_streams *s)
{
    char number[24];
    struct rc_str argv[] = {RC_STR("CLIENT"), RC_STR("KILL"), RC_STR("ID"), RC_STR_NONE};

    if (s->unknown == 0 || s->lost_client == 0 || s->redis[0] == '\0' ||
        strcmp(s->redis, s->lost_redis) != 0) {
        s->lost_client = 0;
        find_end(s);
        return;
    }
    (void)snprintf(number, sizeof(number), "%lld", s->lost_client);
    argv[3] = rc_str_of(number);
    (void)rc_line_send(&s->writer, on_killed, s, 4, argv);
}

static void on_info(redisAsyncContext *ac, void *reply, void *arg)
{
    static const char key[] = "run_id:";
    const redisReply *r = reply;
    struct rc_streams *s = arg;
    const char *at;
    size_t n;

    if (!rc_line_answers(ac, reply))
        return;
    at = r->type == REDIS_REPLY_STRING ? strstr(r->str, key) : NULL;
    if (at != NULL) {
        at += sizeof(key) - 1;
        n = strcspn(at, "\r\n");
        if (n < sizeof(s->redis)) {
            memcpy(s->redis, at, n);
            s->redis[n] = '\0';
        }
    } else {
        tell_kill(s, r->type == REDIS_REPLY_ERROR ? r->str : "INFO has no run_id");
    }
    kill_lost(s);
}

static void on_client(redisAsyncContext *ac, void *reply, void *arg)
{
    const struct rc_str argv[] = {RC_STR("INFO"), RC_STR("server")};
    const redisReply *r = reply;
    struct rc_streams *s = arg;

    if (!rc_line_answers(ac, reply))
        return;
    if (r->type == REDIS_REPLY_INTEGER)
        s->client = r->integer;
    else
        tell_kill(s, r->type == REDIS_REPLY_ERROR ? r->str : "CLIENT ID has no answer");
    (void)rc_line_send(&s->writer, on_info, s, 2, argv);
}

static void on_opened(void *arg)
{
    const struct rc_str argv[] = {RC_STR("CLIENT"), RC_STR("ID")};
    struct rc_streams *s = arg;

    (void)rc_line_send(&s->writer, on_client, s, 2, argv);
}

const struct rc_line_ops rc_stream_writer_ops = {.opened = on_opened, .changed = on_changed};

/* ---- is it there? ---- */

static void on_pong(redisAsyncContext *ac, void *reply, void *arg)
{
    struct rc_streams *s = arg;

    if (rc_line_answers(ac, reply) && s->under_way == 0)
        s->written_ms = 0;
}

void rc_stream_writer_beat(struct rc_streams *s, uint64_t now_ms)
{
    const struct rc_str ping = RC_STR("PING");

    if (s->writer.state != RC_LINE_READY)
        return;
    if (s->written_ms == 0) {
        s->written_ms = now_ms;
        (void)rc_line_send(&s->writer, on_pong, s, 1, &ping);
    } else if (now_ms - s->written_ms > RC_STREAMS_SILENCE_MS) {
        rc_line_drop(&s->writer, "it says nothing any more");
    }
}

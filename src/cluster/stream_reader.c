/* stream_reader.c - what is in the stream, from where it was read last. */
#include "rc/base/log.h"
#include "rc/base/timer.h"
#include "streams_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    BLOCK_MS = 5000,
    COUNT_MAX = 200,       /* entries of one answer: fewer than any stream has */
    ANSWER_SIZE = 1 << 20, /* bytes that it should have at most */
    TELL_MS = 10000,
};

static void fail(struct rc_streams *s, const char *text)
{
    char why[192];

    (void)snprintf(why, sizeof(why), "it is refused: %s", text);
    rc_line_drop(&s->reader, why);
}

/* ---- what XINFO STREAM says ---- */

struct info {
    bool there;
    struct rc_stream_id last;
    bool counts;
    uint64_t added;
};

/* False: it is none, for another reason than that there is no stream. */
static bool read_info(const redisReply *r, struct info *info)
{
    *info = (struct info){.there = false};
    if (r->type == REDIS_REPLY_ERROR)
        return strstr(r->str, "no such key") != NULL;
    if (r->type != REDIS_REPLY_ARRAY)
        return false;
    info->there = true;
    for (size_t i = 0; i + 1 < r->elements; i += 2) {
        struct rc_str key = rc_line_text(r->element[i]);
        const redisReply *value = r->element[i + 1];

        if (rc_str_eq(key, RC_STR("last-generated-id")))
            (void)rc_stream_id_read(rc_line_text(value), &info->last);
        if (rc_str_eq(key, RC_STR("entries-added")) && value->type == REDIS_REPLY_INTEGER) {
            info->counts = true;
            info->added = (uint64_t)value->integer;
        }
    }
    return true;
}

/* ---- entries ---- */

static void take_fields(const redisReply *r, struct rc_stream_entry *e)
{
    *e = (struct rc_stream_entry){.uid = RC_STR_NONE};
    for (size_t i = 0; i + 1 < r->elements; i += 2) {
        struct rc_str key = rc_line_text(r->element[i]);
        struct rc_str value = rc_line_text(r->element[i + 1]);

        if (rc_str_eq(key, RC_STR("uid")))
            e->uid = value;
        else if (rc_str_eq(key, RC_STR("nsp")))
            e->nsp = value;
        else if (rc_str_eq(key, RC_STR("type")))
            e->type = value;
        else if (rc_str_eq(key, RC_STR("data")))
            e->data = value;
        else if (rc_str_eq(key, RC_STR("seq")))
            e->seq = value;
    }
}

static void take_entry(struct rc_streams *s, const struct rc_stream_entry *e)
{
    struct rc_seq seq;
    bool has_seq = rc_seq_read(e->seq, &seq);

    if (rc_str_eq(e->uid, s->setting.uid)) {
        if (has_seq && seq.run == s->run && seq.number > s->own) {
            s->own = seq.number;
            s->own_read++;
        }
        s->ops.count(s->arg, RC_STREAMS_OWN, 1);
    } else if (has_seq && !rc_seen_new(&s->seen, e->uid, seq)) {
        s->ops.count(s->arg, RC_STREAMS_REPEATED, 1);
    } else {
        s->ops.entry(s->arg, e);
    }
}

/* [[name, [[id, [field, value, ...]], ...]]], or nothing. Returns how many. */
static unsigned take_entries(struct rc_streams *s, const redisReply *r)
{
    struct rc_stream_entry e;
    size_t bytes = 0;
    unsigned n = 0;

    if (r->type != REDIS_REPLY_ARRAY || r->elements != 1 || r->element[0]->elements != 2)
        return 0;
    r = r->element[0]->element[1];
    for (size_t i = 0; i < r->elements; i++) {
        const redisReply *entry = r->element[i];

        if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
            !rc_stream_id_read(rc_line_text(entry->element[0]), &s->offset))
            continue;
        n++;
        take_fields(entry->element[1], &e);
        bytes += e.data.len + 1;
        take_entry(s, &e);
    }
    s->added += n;
    if (n != 0)
        s->count = (unsigned)(ANSWER_SIZE / (bytes / n + 1));
    s->count = s->count < 1 ? 1 : s->count > COUNT_MAX ? COUNT_MAX : s->count;
    return n;
}

/* ---- what it has not found ---- */

static void tell_missed(struct rc_streams *s, uint64_t n)
{
    uint64_t now = rc_clock_ms();

    s->ops.count(s->arg, RC_STREAMS_MISSED, n);
    if (s->told_ms != 0 && now - s->told_ms < TELL_MS)
        return;
    s->told_ms = now;
    rc_log(RC_LOG_ERROR,
           "cluster: %s: %" PRIu64 " messages were no longer in the stream when this node came "
           "to read them: cluster.stream_length is %u",
           s->reader.url->shown, n, (unsigned)s->setting.length);
}

static void tell_gone(struct rc_streams *s)
{
    s->ops.count(s->arg, RC_STREAMS_GONE, 1);
    rc_log(
        RC_LOG_ERROR,
        "cluster: %s: the stream is gone, or is an older one: what was in it and not read yet "
        "is lost. Does this Redis keep its data?",
        s->reader.url->shown);
}

/* Of what was not read, those of this node's own that are known by those after them. */
static uint64_t take_own_missed(struct rc_streams *s, uint64_t missed)
{
    uint64_t own = s->own - s->own_read;

    s->own_read = s->own;
    return own < missed ? own : missed;
}

/* The stream, as it was when it was read to its end. */
static void settle(struct rc_streams *s, const struct info *info)
{
    uint64_t missed;

    s->behind = false;
    if (!info->counts) {
        if (!s->told_old)
            rc_log(RC_LOG_INFO,
                   "cluster: %s: is older than Redis 7: what was trimmed is not counted",
                   s->reader.url->shown);
        s->told_old = true;
        return;
    }
    missed = info->added > s->added ? info->added - s->added : 0;
    missed -= take_own_missed(s, missed);
    if (missed != 0)
        tell_missed(s, missed);
    if (info->added < s->added)
        tell_gone(s);
    s->added = info->added;
}

/* ---- reading ---- */

static void end_read(struct rc_streams *s)
{
    s->asked = 0;
    rc_stream_writer_look(s);
    rc_stream_reader_go_on(s);
}

static void on_read(redisAsyncContext *ac, void *reply, void *arg)
{
    const redisReply *r = reply;
    struct rc_streams *s = arg;

    if (!rc_line_answers(ac, reply))
        return;
    if (r->type == REDIS_REPLY_ERROR) {
        fail(s, r->str);
        return;
    }
    if (take_entries(s, r) >= s->asked)
        s->behind = true;
    end_read(s);
}

/* [what XINFO says, what XREAD says], both of the same moment. */
static void on_checked(redisAsyncContext *ac, void *reply, void *arg)
{
    const redisReply *r = reply;
    struct rc_streams *s = arg;
    struct info info;

    if (!rc_line_answers(ac, reply))
        return;
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 || !read_info(r->element[0], &info) ||
        r->element[1]->type == REDIS_REPLY_ERROR) {
        if (r->type == REDIS_REPLY_ARRAY && r->elements == 2)
            r = r->element[r->element[0]->type == REDIS_REPLY_ERROR ? 0 : 1];
        fail(s, r->type == REDIS_REPLY_ERROR ? r->str : "it was no stream's answer");
        return;
    }
    if (!info.there) {
        if (s->offset.ms != 0)
            tell_gone(s);
        s->offset = (struct rc_stream_id){.ms = 0};
        s->added = 0;
        s->behind = false;
    } else if (!rc_stream_id_reaches(info.last, s->offset)) {
        tell_gone(s);
        s->offset = info.last;
        s->added = info.added;
        s->behind = false;
    } else if (take_entries(s, r->element[1]) < s->asked) {
        settle(s, &info);
    }
    end_read(s);
}

void rc_stream_reader_go_on(struct rc_streams *s)
{
    const struct rc_str multi = RC_STR("MULTI"), exec = RC_STR("EXEC");
    const struct rc_str xinfo[] = {RC_STR("XINFO"), RC_STR("STREAM"), s->setting.name};
    char count[16], block[16], offset[48];
    struct rc_str xread[8] = {RC_STR("XREAD"), RC_STR("COUNT")};
    int n = 2;

    if (s->reader.state != RC_LINE_READY || s->asked != 0 || s->reader.rests)
        return;
    (void)snprintf(count, sizeof(count), "%u", s->count);
    (void)snprintf(block, sizeof(block), "%d", BLOCK_MS);
    (void)snprintf(offset, sizeof(offset), "%" PRIu64 "-%" PRIu64, s->offset.ms, s->offset.seq);
    xread[n++] = rc_str_of(count);
    if (!s->behind) {
        xread[n++] = RC_STR("BLOCK");
        xread[n++] = rc_str_of(block);
    }
    xread[n++] = RC_STR("STREAMS");
    xread[n++] = s->setting.name;
    xread[n++] = rc_str_of(offset);
    s->asked = s->count;
    s->asked_ms = rc_clock_ms();
    if (!s->behind) {
        (void)rc_line_send(&s->reader, on_read, s, n, xread);
        return;
    }
    (void)rc_line_send(&s->reader, NULL, NULL, 1, &multi);
    (void)rc_line_send(&s->reader, NULL, NULL, 3, xinfo);
    (void)rc_line_send(&s->reader, NULL, NULL, n, xread);
    (void)rc_line_send(&s->reader, on_checked, s, 1, &exec);
}

/* ---- opening ---- */

static void become_ready(struct rc_streams *s)
{
    rc_line_ready(&s->reader);
    rc_stream_reader_go_on(s);
    rc_streams_flush(s);
}

/* This node begins with what comes from now on. */
static void on_placed(redisAsyncContext *ac, void *reply, void *arg)
{
    const redisReply *r = reply;
    struct rc_streams *s = arg;
    struct info info;

    if (!rc_line_answers(ac, reply))
        return;
    if (!read_info(r, &info)) {
        fail(s, r->type == REDIS_REPLY_ERROR ? r->str : "it was no stream's answer");
        return;
    }
    s->placed = true;
    s->offset = info.last;
    s->added = info.added;
    become_ready(s);
}

static void on_opened(void *arg)
{
    struct rc_streams *s = arg;
    const struct rc_str xinfo[] = {RC_STR("XINFO"), RC_STR("STREAM"), s->setting.name};

    if (!s->placed) {
        (void)rc_line_send(&s->reader, on_placed, s, 3, xinfo);
        return;
    }
    s->behind = true;
    become_ready(s);
}

static void on_changed(void *arg)
{
    struct rc_streams *s = arg;

    if (s->reader.state == RC_LINE_WAITING)
        s->asked = 0;
    rc_streams_look(s);
}

const struct rc_line_ops rc_stream_reader_ops = {.opened = on_opened, .changed = on_changed};

void rc_stream_reader_beat(struct rc_streams *s, uint64_t now_ms)
{
    if (s->reader.state == RC_LINE_READY && s->asked != 0 && !s->reader.rests &&
        now_ms - s->asked_ms > RC_STREAMS_SILENCE_MS)
        rc_line_drop(&s->reader, "it says nothing any more");
}

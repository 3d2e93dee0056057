/* streams.c - the two sides of a stream together. */
#include "streams_int.h"

#include "rc/base/hash.h"
#include "rc/base/mem.h"
#include "rc/base/timer.h"

#include <stdlib.h>

enum { BEAT_MS = 5000, COUNT_FIRST = 100 };

bool rc_stream_id_read(struct rc_str text, struct rc_stream_id *id)
{
    uint64_t part[2] = {0, 0};
    unsigned n = 0, digits = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];

        if (c == '-' && n == 0 && digits != 0) {
            n = 1;
            digits = 0;
            continue;
        }
        if (c < '0' || c > '9' || part[n] > (UINT64_MAX - 9) / 10)
            return false;
        part[n] = part[n] * 10 + (uint64_t)(c - '0');
        digits++;
    }
    *id = (struct rc_stream_id){.ms = part[0], .seq = part[1]};
    return n == 1 && digits != 0;
}

bool rc_streams_is_up(const struct rc_streams *s)
{
    return s->writer.state == RC_LINE_READY && s->reader.state == RC_LINE_READY;
}

void rc_streams_look(struct rc_streams *s)
{
    bool up = rc_streams_is_up(s);

    if (up == s->was_up)
        return;
    s->was_up = up;
    s->ops.changed(s->arg);
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    struct rc_streams *s = arg;
    uint64_t now = rc_clock_ms();

    (void)fd;
    (void)what;
    rc_stream_writer_beat(s, now);
    rc_stream_reader_beat(s, now);
    if (!rc_streams_is_up(s))
        return;
    rc_line_held(&s->writer);
    rc_line_held(&s->reader);
}

struct rc_streams *rc_streams_new(struct event_base *base, const struct rc_redis_url *url,
                                  const struct rc_streams_setting *setting,
                                  const struct rc_streams_ops *ops, void *arg)
{
    struct rc_streams *s = rc_calloc(1, sizeof(*s));
    struct rc_line line = {.base = base, .url = url, .arg = s, .selects = true};

    s->setting = *setting;
    s->ops = *ops;
    s->arg = arg;
    s->last = &s->first;
    s->count = COUNT_FIRST;
    rc_random(&s->run, sizeof(s->run));
    rc_seen_init(&s->seen);
    s->beat = event_new(base, -1, EV_PERSIST, on_beat, s);
    s->writer = s->reader = line;
    s->writer.name = "writing the stream";
    s->writer.ops = &rc_stream_writer_ops;
    s->reader.name = "reading the stream";
    s->reader.ops = &rc_stream_reader_ops;
    if (rc_line_init(&s->writer) && rc_line_init(&s->reader) && s->beat != NULL)
        return s;
    rc_streams_free(s);
    return NULL;
}

void rc_streams_start(struct rc_streams *s)
{
    const struct timeval beat = {.tv_sec = BEAT_MS / 1000};

    (void)event_add(s->beat, &beat);
    rc_line_open(&s->writer);
    rc_line_open(&s->reader);
}

void rc_streams_free(struct rc_streams *s)
{
    if (s == NULL)
        return;
    rc_line_deinit(&s->writer);
    rc_line_deinit(&s->reader);
    if (s->beat != NULL)
        event_free(s->beat);
    rc_stream_writer_deinit(s);
    rc_seen_deinit(&s->seen);
    free(s);
}

void rc_streams_flush_lines(struct rc_streams *s)
{
    rc_line_flush(&s->writer);
    rc_line_flush(&s->reader);
}

void rc_streams_rest(struct rc_streams *s, bool rests)
{
    if (s->reader.rests == rests)
        return;
    rc_line_rest(&s->reader, rests);
    s->asked_ms = rc_clock_ms();
    rc_stream_reader_go_on(s);
}

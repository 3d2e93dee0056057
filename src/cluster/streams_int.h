/*
 * streams_int.h - what the two sides of a stream share.
 *
 * Threads:   the cluster's.
 * Ownership: streams.c makes and frees it.
 */
#ifndef RC_CLUSTER_STREAMS_INT_H
#define RC_CLUSTER_STREAMS_INT_H

#include "line.h"
#include "seen.h"
#include "streams.h"

/* Of an entry: "MS-SEQ". */
struct rc_stream_id {
    uint64_t ms, seq;
};
bool rc_stream_id_read(struct rc_str text, struct rc_stream_id *id);
/* a is not before b. */
static inline bool rc_stream_id_reaches(struct rc_stream_id a, struct rc_stream_id b)
{
    return a.ms > b.ms || (a.ms == b.ms && a.seq >= b.seq);
}

enum {
    RC_STREAMS_SILENCE_MS = 15000, /* without an answer: lost */
    RC_REDIS_ID = 48,              /* bytes of what a Redis calls itself in INFO, and more */
};

struct rc_stream_out;

struct rc_streams {
    struct rc_streams_setting setting;
    struct rc_streams_ops ops;
    void *arg;
    struct rc_line writer, reader;
    struct event *beat;
    bool was_up;
    uint64_t run; /* of this process, see seen.h */

    /* The writer's: stream_writer.c. */
    struct rc_stream_out *first, **last; /* in order; those under way come first */
    size_t waiting;                      /* their bytes */
    unsigned under_way;                  /* given to Redis, without an answer */
    unsigned unknown;      /* of a connection that is no more: are they in the stream? */
    uint64_t number;       /* the last one's */
    uint64_t written_ms;   /* when it was asked for the answer it waits for; 0: it does not */
    long long client;      /* this connection, to Redis; 0: it has not said */
    long long lost_client; /* the one on which the unknown were under way; 0: it has ended */
    char redis[RC_REDIS_ID], lost_redis[RC_REDIS_ID];
    bool knows_end;
    struct rc_stream_id end; /* of the stream, after lost_client was ended */
    bool told_kill;

    /* The reader's: stream_reader.c. */
    bool placed; /* it has an offset */
    struct rc_stream_id offset;
    bool told_old;     /* this Redis does not count what was added */
    uint64_t added;    /* so many there were up to the offset */
    uint64_t own;      /* the highest number of this node's that was read */
    uint64_t own_read; /* so many of them were */
    bool behind;       /* there may be much more, or there may have been */
    unsigned count;    /* of entries in one answer, as they are long */
    unsigned asked;    /* the same of the one that is under way; 0: none is */
    uint64_t asked_ms;
    uint64_t told_ms; /* when missed ones were logged */
    struct rc_seen seen;
};

/* ---- stream_writer.c ---- */

extern const struct rc_line_ops rc_stream_writer_ops;
/* The reader has come further. */
void rc_stream_writer_look(struct rc_streams *s);
void rc_stream_writer_beat(struct rc_streams *s, uint64_t now_ms);
void rc_stream_writer_deinit(struct rc_streams *s);

/* ---- stream_reader.c ---- */

extern const struct rc_line_ops rc_stream_reader_ops;
void rc_stream_reader_go_on(struct rc_streams *s);
void rc_stream_reader_beat(struct rc_streams *s, uint64_t now_ms);

/* ---- streams.c ---- */

/* A line has changed. */
void rc_streams_look(struct rc_streams *s);

#endif /* RC_CLUSTER_STREAMS_INT_H */

/*
 * streams.h - a stream of Redis that all nodes write to and read: what one of them has said is there until each
 * has read it, or until it is too long ago. Two connections of their own:
 *
 *   writer   XADD, several at once in a transaction: all of them are there, or none. The next ones are written
 *            when Redis has confirmed the last. Of those under way when the connection is lost nobody knows
 *            whether they are there: the old connection is ended for good (CLIENT KILL), and the reader has
 *            read up to where the stream ended then; what it has not found there is written again.
 *   reader   XREAD from where it was. Behind an interruption, and when much has come, the stream's counters
 *            are looked at, too: so it is known how much was trimmed before it was read.
 *
 * Threads:   the cluster's, but for new and free: main, while that does not run.
 * Ownership: owns its connections and what waits; base, url and texts are borrowed.
 */
#ifndef RC_CLUSTER_STREAMS_H
#define RC_CLUSTER_STREAMS_H

#include "rc/base/buf.h"
#include "rc/base/str.h"
#include "rc/cluster/url.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

struct rc_streams;

/* Fields of an entry; those that it has not are empty. */
struct rc_stream_entry {
    struct rc_str uid, nsp, type, data, seq;
};

enum rc_streams_event {
    RC_STREAMS_OWN,      /* entries of this node that it has read */
    RC_STREAMS_MISSED,   /* entries that were trimmed before it could read them */
    RC_STREAMS_GONE,     /* the stream was gone, or was an older one */
    RC_STREAMS_REPEATED, /* entries that were there twice */
    RC_STREAMS_RESENT,   /* entries that were written again */
};

struct rc_streams_ops {
    /* It is up, or is so no more. */
    void (*changed)(void *arg);
    /* Of another node, and new. */
    void (*entry)(void *arg, const struct rc_stream_entry *e);
    /* Redis has that one. */
    void (*sent)(void *arg, uint32_t size);
    void (*count)(void *arg, enum rc_streams_event event, uint64_t n);
};

struct rc_streams_setting {
    struct rc_str name, uid;
    uint32_t length; /* entries that are kept, or a few more */
};

struct rc_streams *rc_streams_new(struct event_base *base, const struct rc_redis_url *url,
                                  const struct rc_streams_setting *setting,
                                  const struct rc_streams_ops *ops, void *arg);
void rc_streams_start(struct rc_streams *s);
void rc_streams_free(struct rc_streams *s);

bool rc_streams_is_up(const struct rc_streams *s);
/* Is there room for one more? */
bool rc_streams_has_room(const struct rc_streams *s);
/* Is everything written? */
bool rc_streams_is_empty(const struct rc_streams *s);
/* A broadcast, copied; sent() follows, with that size. */
void rc_streams_add(struct rc_streams *s, struct rc_str nsp, struct rc_str data, uint32_t size);
/* The end of a turn: writes what was added. */
void rc_streams_flush(struct rc_streams *s);
/* After that, and all else: hands to the kernel what the connections have. */
void rc_streams_flush_lines(struct rc_streams *s);
/* Nothing is read for the time being, or it is again. */
void rc_streams_rest(struct rc_streams *s, bool rests);

#endif /* RC_CLUSTER_STREAMS_H */

/*
 * outq.h - what waits to be written to one connection: a queue of shared segments.
 *
 * A segment is bytes that many queues of one shard may refer to; its count is not atomic. It
 * either holds its bytes itself or pins something that does (a publication).
 *
 *   first ─ off ──┬── more[head] ... more[head + n - 1]     bytes = all of it, less off
 *   written before│ to be written                           first == NULL: empty
 *
 * An empty queue owns no memory; one segment needs none beyond the struct, and the array for
 * more comes from a small stock of the thread.
 *
 * Threads:   the shard that owns the connection; segments never leave their shard.
 * Ownership: push takes one reference of the caller's segment.
 */
#ifndef RC_NET_OUTQ_H
#define RC_NET_OUTQ_H

#include "rc/base/err.h"
#include "rc/base/str.h"
#include "rc/base/thread.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The share: what one connection may write in one turn, in bytes. A socket takes 2.5 MB at once, and that is a
 * millisecond in which the shard's others wait. */
enum { RC_OUTQ_TURN = 131072 };

struct rc_seg {
    const uint8_t *data;
    void *pin; /* what holds data, or NULL: the bytes follow this struct */
    void (*unpin)(void *pin);
    uint32_t len;
    uint32_t refs;
};

/* What this thread has written to clients, and read from them (conn.c). */
struct rc_net_bytes {
    uint64_t sent, received;
};
extern _Thread_local struct rc_net_bytes rc_net_bytes;

struct rc_outq_more;
struct rc_outq {
    struct rc_seg *first;
    struct rc_outq_more *more; /* NULL unless there are two or more */
    uint32_t off;              /* bytes of first that were written */
    uint32_t bytes;            /* waiting */
};

/* One reference, the caller's. data may be NULL: fill rc_seg_bytes() before the first push. */
struct rc_seg *rc_seg_new(const void *data, size_t len);
struct rc_seg *rc_seg_pin(const void *data, size_t len, void *pin, void (*unpin)(void *pin));
static inline uint8_t *rc_seg_bytes(struct rc_seg *s)
{
    return (uint8_t *)(s + 1);
}
static inline struct rc_seg *rc_seg_ref(struct rc_seg *s)
{
    s->refs++;
    return s;
}
void rc_seg_free(struct rc_seg *s);
static inline void rc_seg_unref(struct rc_seg *s)
{
    if (--s->refs == 0)
        rc_seg_free(s);
}

static inline bool rc_outq_empty(const struct rc_outq *q)
{
    return q->first == NULL;
}
void rc_outq_push_more(struct rc_outq *q, struct rc_seg *s);
static inline void rc_outq_push(struct rc_outq *q, struct rc_seg *s)
{
    q->bytes += s->len;
    if (q->first == NULL)
        q->first = s;
    else
        rc_outq_push_more(q, s);
}
/* Takes the oldest segment out (the caller's reference then), with the bytes of it that were
 * written in *off; NULL when empty. */
struct rc_seg *rc_outq_pop(struct rc_outq *q, uint32_t *off);
void rc_outq_clear(struct rc_outq *q);
/* What waits, each segment with what it takes beside its bytes: of small ones that is the most. */
uint64_t rc_outq_cost(const struct rc_outq *q);
/* What it keeps from being freed, if nobody else has its segments, also what was written of the first. */
uint64_t rc_outq_kept(const struct rc_outq *q);
/* Bytes of all segments of this thread, with what each takes beside them. */
uint64_t rc_seg_live(void);
/* Frees what this thread keeps for queues that will grow again; how many that were. When it ends. */
unsigned rc_outq_trim(void);
/* Moves everything from `tail` behind what `q` holds; `tail` is empty then. */
void rc_outq_append(struct rc_outq *q, struct rc_outq *tail);

/* The first n bytes that wait, in one piece; there are as many. */
void rc_outq_copy(const struct rc_outq *q, uint8_t *to, size_t n);
/* Drops n bytes from the front: they were written. */
void rc_outq_advance(struct rc_outq *q, size_t n);

/* Writes as much as the socket takes, but not much more than a turn's share, in one call when the queue is short.
 * RC_OK: all of it; RC_EAGAIN: the socket is full, or that was its share; RC_ESYS: errno says why. *wrote is the
 * bytes, if not NULL. */
int rc_outq_flush(struct rc_outq *q, int fd, size_t *wrote) RC_MUSTCHECK;
/* The same of `most` bytes. */
int rc_outq_flush_most(struct rc_outq *q, int fd, size_t most, size_t *wrote) RC_MUSTCHECK;

/* One segment, which is what most have. */
static inline bool rc_outq_single(const struct rc_outq *q)
{
    return q->first != NULL && q->more == NULL;
}
/* All of a single one was given to a send() elsewhere, which said n: bytes, or an errno below 0. Returns what
 * rc_outq_flush would. */
int rc_outq_sent(struct rc_outq *q, int n) RC_MUSTCHECK;

#endif /* RC_NET_OUTQ_H */

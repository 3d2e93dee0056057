/*
 * spsc.h - bounded single-producer/single-consumer ring of fixed-size elements, held by value.
 *
 * The only channel between two threads. No locks, no allocation after init. The consumer works
 * on an element in place and releases it afterwards: `tail` therefore counts the elements that
 * are done with, not just taken. The wake-up of the consumer is the mesh's (broker/mesh.h).
 *
 * Threads:   claim, commit: the one producer.  front, release: the one consumer.
 *            done: any thread.  init, deinit: before the threads start / after they ended.
 * Ownership: a committed element is the consumer's until it releases it.
 */
#ifndef RC_BASE_SPSC_H
#define RC_BASE_SPSC_H

#include "rc/base/err.h"

#include <stdatomic.h>
#include <stddef.h>

#define RC_CACHELINE 64

struct rc_spsc {
    unsigned char *slot; /* [mask + 1] elements of `size` bytes */
    size_t mask, size;

    /* Written by the producer only. */
    _Alignas(RC_CACHELINE) _Atomic size_t head;
    size_t tail_seen; /* producer's stale copy of tail */

    /* Written by the consumer only. */
    _Alignas(RC_CACHELINE) _Atomic size_t tail;
    size_t head_seen; /* consumer's stale copy of head */
};

/* cap: a power of two; RC_EINVAL or RC_ENOMEM. */
int rc_spsc_init(struct rc_spsc *q, size_t cap, size_t size) RC_MUSTCHECK;
void rc_spsc_deinit(struct rc_spsc *q);

/* The next free element to be filled, or NULL: full. Not visible before commit. */
static inline void *rc_spsc_claim(struct rc_spsc *q)
{
    size_t head = atomic_load_explicit(&q->head, memory_order_relaxed); /* own index */

    if (head - q->tail_seen > q->mask) {
        /* acquire: the consumer has finished reading what we are about to overwrite */
        q->tail_seen = atomic_load_explicit(&q->tail, memory_order_acquire);
        if (head - q->tail_seen > q->mask)
            return NULL;
    }
    return q->slot + (head & q->mask) * q->size;
}

static inline void rc_spsc_commit(struct rc_spsc *q)
{
    /* release: publishes the element's bytes along with the index */
    atomic_store_explicit(&q->head, atomic_load_explicit(&q->head, memory_order_relaxed) + 1,
                          memory_order_release);
}

/* The oldest element, or NULL: empty. */
static inline void *rc_spsc_front(struct rc_spsc *q)
{
    size_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed); /* own index */

    if (tail == q->head_seen) {
        /* acquire: pairs with commit, the element's bytes are visible */
        q->head_seen = atomic_load_explicit(&q->head, memory_order_acquire);
        if (tail == q->head_seen)
            return NULL;
    }
    return q->slot + (tail & q->mask) * q->size;
}

static inline void rc_spsc_release(struct rc_spsc *q)
{
    /* release: our reads of the element, and all that we did because of it, come before */
    atomic_store_explicit(&q->tail, atomic_load_explicit(&q->tail, memory_order_relaxed) + 1,
                          memory_order_release);
}

/* How many elements the consumer has finished, ever. acquire: and their effects are visible. */
static inline size_t rc_spsc_done(const struct rc_spsc *q)
{
    return atomic_load_explicit(&q->tail, memory_order_acquire);
}

#endif /* RC_BASE_SPSC_H */

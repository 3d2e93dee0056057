/*
 * hist.h - a histogram of whole numbers: how many were at most 1, 2, 4, 8 and so on.
 *
 * Threads:   add: one.  Reading: any; a figure of the moment, in no order with others.
 */
#ifndef RC_BASE_HIST_H
#define RC_BASE_HIST_H

#include <stdatomic.h>
#include <stdint.h>

enum { RC_HIST_BUCKETS = 28 };

struct rc_hist {
    _Atomic uint64_t bucket
        [RC_HIST_BUCKETS]; /* [i]: those of at most 2^i that are in none before; the last has
                                                 all that are greater, too */
    _Atomic uint64_t sum;
};

static inline unsigned rc_hist_bucket(uint64_t value)
{
    unsigned bits = value <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(value - 1);

    return bits < RC_HIST_BUCKETS ? bits : RC_HIST_BUCKETS - 1;
}

/* Counts `times` values that are the same. */
static inline void rc_hist_add(struct rc_hist *h, uint64_t value, uint64_t times)
{
    _Atomic uint64_t *b = &h->bucket[rc_hist_bucket(value)];

    /* relaxed: one writer, and readers want a recent figure, not an order */
    atomic_store_explicit(b, atomic_load_explicit(b, memory_order_relaxed) + times,
                          memory_order_relaxed);
    atomic_store_explicit(&h->sum,
                          atomic_load_explicit(&h->sum, memory_order_relaxed) + value * times,
                          memory_order_relaxed);
}

#endif /* RC_BASE_HIST_H */

/*
 * bucket.h - token buckets: so many a second, and a burst of so many at once.
 *
 * What is kept is the moment at which the bucket will be full again: eight bytes, and no timer. Time
 * is the caller's, in milliseconds that never go back, so tests have a clock of their own. A bucket
 * of zero bytes is full.
 *
 * Threads:   one at a time per bucket.
 * Ownership: the struct is the caller's.
 */
#ifndef RC_BASE_BUCKET_H
#define RC_BASE_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

/* per_second 0: there is no limit. burst is 1 at least; both are 2^34 at most. */
struct rc_rate {
    uint64_t per_second, burst;
};

struct rc_bucket {
    uint64_t full_ns;
};

enum { RC_BUCKET_NS_PER_MS = 1000000 };

/* How long it takes to fill n. */
static inline uint64_t rc_rate_ns(const struct rc_rate *r, uint64_t n)
{
    const uint64_t second = 1000000000;

    return n / r->per_second * second + n % r->per_second * second / r->per_second;
}

/* Takes n, whether they are there or not: what is missing has to be waited for. */
static inline void rc_bucket_charge(struct rc_bucket *b, const struct rc_rate *r, uint64_t n,
                                    uint64_t now_ms)
{
    uint64_t now = now_ms * RC_BUCKET_NS_PER_MS;

    if (r->per_second != 0)
        b->full_ns = (b->full_ns > now ? b->full_ns : now) + rc_rate_ns(r, n);
}

/* Milliseconds until n are there, rounded up; 0: they are. More than the burst is never there: then
 * until the bucket is full. */
static inline uint64_t rc_bucket_wait(const struct rc_bucket *b, const struct rc_rate *r,
                                      uint64_t n, uint64_t now_ms)
{
    uint64_t now = now_ms * RC_BUCKET_NS_PER_MS, spare;

    if (r->per_second == 0 || b->full_ns <= now)
        return 0;
    spare = n < r->burst ? rc_rate_ns(r, r->burst - n) : 0;
    if (b->full_ns - now <= spare)
        return 0;
    return (b->full_ns - now - spare + RC_BUCKET_NS_PER_MS - 1) / RC_BUCKET_NS_PER_MS;
}

/* Takes n if they are there. */
static inline bool rc_bucket_take(struct rc_bucket *b, const struct rc_rate *r, uint64_t n,
                                  uint64_t now_ms)
{
    if (rc_bucket_wait(b, r, n, now_ms) != 0)
        return false;
    rc_bucket_charge(b, r, n, now_ms);
    return true;
}

static inline bool rc_bucket_is_full(const struct rc_bucket *b, uint64_t now_ms)
{
    return b->full_ns <= now_ms * RC_BUCKET_NS_PER_MS;
}

#endif /* RC_BASE_BUCKET_H */

/*
 * hist.h - a log-linear histogram of nanoseconds: 64 steps per power of two, so 1.6 % at most.
 *
 * Threads:   one thread.
 * Ownership: a plain value, nothing to free.
 */
#ifndef LOAD_HIST_H
#define LOAD_HIST_H

#include <stdint.h>

#define LOAD_HIST_STEPS 64u
#define LOAD_HIST_SLOTS (LOAD_HIST_STEPS * 40u)

struct load_hist {
    uint64_t total;
    uint64_t max;
    uint64_t slot[LOAD_HIST_SLOTS];
};

static inline unsigned load_hist_index(uint64_t ns)
{
    unsigned shift, i;

    if (ns < LOAD_HIST_STEPS)
        return (unsigned)ns;
    shift = 63u - (unsigned)__builtin_clzll(ns) - 6u;
    i = (shift + 1u) * LOAD_HIST_STEPS + (unsigned)((ns >> shift) - LOAD_HIST_STEPS);
    return i < LOAD_HIST_SLOTS ? i : LOAD_HIST_SLOTS - 1u;
}

static inline void load_hist_add(struct load_hist *h, uint64_t ns)
{
    h->total++;
    h->slot[load_hist_index(ns)]++;
    if (ns > h->max)
        h->max = ns;
}

/* The value in ns below which the share q (0 to 1) of all samples lies; 0 when there are none. */
uint64_t load_hist_quantile(const struct load_hist *h, double q);
void load_hist_reset(struct load_hist *h);

#endif /* LOAD_HIST_H */

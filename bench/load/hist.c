/* hist.c - reading a log-linear histogram. Adding is inline, in the header. */
#include "hist.h"

#include <string.h>

/* The middle of a slot, so that rounding has no direction. */
static uint64_t slot_value(unsigned i)
{
    unsigned shift;

    if (i < LOAD_HIST_STEPS)
        return i;
    shift = i / LOAD_HIST_STEPS - 1u;
    return ((uint64_t)(LOAD_HIST_STEPS + i % LOAD_HIST_STEPS) << shift) +
           (((uint64_t)1 << shift) >> 1);
}

uint64_t load_hist_quantile(const struct load_hist *h, double q)
{
    uint64_t want, seen = 0;

    if (h->total == 0)
        return 0;
    want = (uint64_t)((double)h->total * q);
    for (unsigned i = 0; i < LOAD_HIST_SLOTS; i++) {
        seen += h->slot[i];
        if (seen > want)
            return slot_value(i) < h->max ? slot_value(i) : h->max;
    }
    return h->max;
}

void load_hist_reset(struct load_hist *h)
{
    memset(h, 0, sizeof(*h));
}

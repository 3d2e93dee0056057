/*
 * stamp.h - the head of each message text: who sent it, the how-manieth, and when it was due.
 *
 *     00000017:00000042:0000001234567890:xxxxxx...
 *     sender   number   nanoseconds since the start of the run, then padding
 *
 * The width is fixed, so that reading it costs a few nanoseconds per delivery.
 *
 * Threads:   one thread.
 * Ownership: plain values.
 */
#ifndef LOAD_STAMP_H
#define LOAD_STAMP_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define LOAD_STAMP_LEN 35u

struct load_stamp {
    uint32_t sender;
    uint32_t seq;
    uint64_t ns;
};

/* Eight ASCII digits at once: neighbours are joined to pairs, pairs to fours, fours to eight. */
static inline bool load_stamp_digits(const char *p, uint32_t *out)
{
    uint64_t x;

    memcpy(&x, p, 8);
    if ((x & 0xf0f0f0f0f0f0f0f0u) != 0x3030303030303030u)
        return false;
    x = ((x & 0x0f0f0f0f0f0f0f0fu) * 2561u) >> 8;
    x = ((x & 0x00ff00ff00ff00ffu) * 6553601u) >> 16;
    x = ((x & 0x0000ffff0000ffffu) * 42949672960001u) >> 32;
    *out = (uint32_t)x;
    return true;
}

/* Reads LOAD_STAMP_LEN bytes at p. */
static inline bool load_stamp_read(const char *p, struct load_stamp *s)
{
    uint32_t high, low;

    if (p[8] != ':' || p[17] != ':' || p[34] != ':')
        return false;
    if (!load_stamp_digits(p, &s->sender) || !load_stamp_digits(p + 9, &s->seq) ||
        !load_stamp_digits(p + 18, &high) || !load_stamp_digits(p + 26, &low))
        return false;
    s->ns = (uint64_t)high * 100000000u + low;
    return true;
}

/* Writes LOAD_STAMP_LEN bytes at p, without an end mark. */
void load_stamp_write(char *p, const struct load_stamp *s);

#endif /* LOAD_STAMP_H */

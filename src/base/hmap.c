#include "rc/base/hmap.h"

#include "rc/base/mem.h"
#include "rc/base/thread.h"

#include <stdlib.h>

enum { MIN_CAP = 16 };

void rc_hmap_deinit(struct rc_hmap *m)
{
    free(m->slot);
    *m = (struct rc_hmap){0};
}

void *rc_hmap_find(const struct rc_hmap *m, uint64_t hash, rc_hmap_eq_fn *eq, const void *key)
{
    if (m->n == 0)
        return NULL;
    for (uint32_t i = (uint32_t)hash & (m->cap - 1); m->slot[i].value != NULL;
         i = (i + 1) & (m->cap - 1)) {
        if (m->slot[i].hash == hash && eq(m->slot[i].value, key))
            return m->slot[i].value;
    }
    return NULL;
}

static void put(struct rc_hmap *m, uint64_t hash, void *value)
{
    uint32_t i = (uint32_t)hash & (m->cap - 1);

    while (m->slot[i].value != NULL)
        i = (i + 1) & (m->cap - 1);
    m->slot[i] = (struct rc_hmap_slot){.hash = hash, .value = value};
}

static void resize(struct rc_hmap *m, uint32_t cap)
{
    struct rc_hmap_slot *old = m->slot;
    uint32_t old_cap = m->cap;

    m->slot = rc_calloc(cap, sizeof(*m->slot));
    m->cap = cap;
    for (uint32_t i = 0; i < old_cap; i++)
        if (old[i].value != NULL)
            put(m, old[i].hash, old[i].value);
    free(old);
}

void rc_hmap_insert(struct rc_hmap *m, uint64_t hash, void *value)
{
    if (m->n + 1 > m->cap / 4 * 3)
        resize(m, m->cap != 0 ? m->cap * 2 : MIN_CAP);
    put(m, hash, value);
    m->n++;
}

void rc_hmap_remove(struct rc_hmap *m, uint64_t hash, const void *value)
{
    uint32_t mask = m->cap - 1, hole = (uint32_t)hash & mask;

    RC_ASSERT(m->n > 0);
    while (m->slot[hole].value != value) {
        RC_ASSERT(m->slot[hole].value != NULL);
        hole = (hole + 1) & mask;
    }
    /* Close the gap: an entry moves back when its home lies at or before the hole. */
    for (uint32_t i = (hole + 1) & mask; m->slot[i].value != NULL; i = (i + 1) & mask) {
        uint32_t home = (uint32_t)m->slot[i].hash & mask;

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slot[hole] = m->slot[i];
            hole = i;
        }
    }
    m->slot[hole].value = NULL;
    m->n--;
    if (m->cap > MIN_CAP && m->n < m->cap / 8)
        resize(m, m->cap / 2);
}

void *rc_hmap_next(const struct rc_hmap *m, uint32_t *cursor)
{
    while (*cursor < m->cap) {
        void *v = m->slot[(*cursor)++].value;

        if (v != NULL)
            return v;
    }
    return NULL;
}

static uint32_t reversed(uint32_t v)
{
    uint32_t r = 0;

    for (unsigned i = 0; i < 32; i++, v >>= 1)
        r = r << 1 | (v & 1);
    return r;
}

/* Counts from the highest bit of the mask down: a place of a table of half the size is two places of this
 * one, next to each other in that order, so that what was walked stays walked. */
uint32_t rc_hmap_scan(const struct rc_hmap *m, uint32_t cursor, rc_hmap_scan_fn *fn, void *arg)
{
    uint32_t mask = m->cap - 1, place = cursor & mask;

    if (m->n == 0)
        return 0;
    for (uint32_t i = place; m->slot[i].value != NULL; i = (i + 1) & mask)
        if (((uint32_t)m->slot[i].hash & mask) == place)
            fn(m->slot[i].value, arg);
    return reversed(reversed(cursor | ~mask) + 1);
}

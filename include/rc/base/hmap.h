/*
 * hmap.h - a table of pointers by a 64-bit hash that the caller computes (rc_hash).
 *
 * Linear probing with backward-shift deletion; grows at 3/4, shrinks below 1/8.
 *
 * Threads:   one at a time; find is safe for many readers of a table that nobody changes.
 * Ownership: the values are the caller's.
 */
#ifndef RC_BASE_HMAP_H
#define RC_BASE_HMAP_H

#include "rc/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rc_hmap_slot {
    uint64_t hash;
    void *value; /* NULL: free */
};

struct rc_hmap {
    struct rc_hmap_slot *slot;
    uint32_t cap; /* 0 or a power of two */
    uint32_t n;
};

typedef bool rc_hmap_eq_fn(const void *value, const void *key);

void rc_hmap_deinit(struct rc_hmap *m);
void *rc_hmap_find(const struct rc_hmap *m, uint64_t hash, rc_hmap_eq_fn *eq, const void *key);
/* The value must not be in the table yet. */
void rc_hmap_insert(struct rc_hmap *m, uint64_t hash, void *value);
/* Removes that very pointer; it must be in the table under that hash. */
void rc_hmap_remove(struct rc_hmap *m, uint64_t hash, const void *value);
/* Walks all values: *cursor 0 at first; NULL at the end. No changes meanwhile. */
void *rc_hmap_next(const struct rc_hmap *m, uint32_t *cursor);
/* Walks in steps between which the table may change and be resized: calls fn for the few values of one
 * place. cursor: 0 at first, then what the last step has returned; 0: that was all. What is in the table
 * all the time comes at least once; twice only if it has shrunk meanwhile. */
typedef void rc_hmap_scan_fn(void *value, void *arg);
uint32_t rc_hmap_scan(const struct rc_hmap *m, uint32_t cursor, rc_hmap_scan_fn *fn, void *arg);

#endif /* RC_BASE_HMAP_H */

/*
 * pool.h - slots of one size at stable addresses, named by {slot, generation}.
 *
 * Memory is taken in chunks and stays typed: a freed slot keeps its generation, so that a
 * stale name is a normal miss and never another object's memory.
 *
 * Threads:   one owner; ids may travel anywhere.
 * Ownership: the pool owns the memory; an object is the caller's between get and put.
 */
#ifndef RC_BASE_POOL_H
#define RC_BASE_POOL_H

#include "rc/base/err.h"

#include <stddef.h>
#include <stdint.h>

/* {shard:8, slot:24, generation:32}; 0 is no id, since live generations are odd. */
typedef uint64_t rc_id;

static inline rc_id rc_id_make(unsigned shard, uint32_t slot, uint32_t gen)
{
    return (uint64_t)shard << 56 | (uint64_t)(slot & 0xffffff) << 32 | gen;
}
static inline unsigned rc_id_shard(rc_id id)
{
    return (unsigned)(id >> 56);
}
static inline uint32_t rc_id_slot(rc_id id)
{
    return (uint32_t)(id >> 32) & 0xffffff;
}
static inline uint32_t rc_id_gen(rc_id id)
{
    return (uint32_t)id;
}

/* The first member of every pooled object. */
struct rc_pooled {
    uint32_t gen; /* odd: live */
    uint32_t slot;
};

struct rc_pool {
    unsigned char **chunk; /* [nchunks], each of per_chunk objects */
    uint32_t nchunks, per_chunk;
    uint32_t free_head; /* slot of the first free object, RC_POOL_NONE when there is none */
    uint32_t used, max;
    uint32_t size; /* bytes of an object */
};

#define RC_POOL_NONE UINT32_MAX
enum { RC_POOL_MAX = 0x1000000 };

/* max objects at most (<= RC_POOL_MAX). */
void rc_pool_init(struct rc_pool *p, size_t size, uint32_t max);
void rc_pool_deinit(struct rc_pool *p);
/* Zeroed but for its header; NULL when max are live. */
void *rc_pool_get(struct rc_pool *p) RC_MUSTCHECK;
void rc_pool_put(struct rc_pool *p, void *obj);
/* The live object of that slot and generation, or NULL. */
void *rc_pool_find(const struct rc_pool *p, uint32_t slot, uint32_t gen);
/* The live object of that slot, whatever its generation, or NULL. */
void *rc_pool_at(const struct rc_pool *p, uint32_t slot);
/* Walks live objects: *cursor 0 at first; NULL at the end. */
void *rc_pool_next(const struct rc_pool *p, uint32_t *cursor);

/* Names of objects, to be worked on later; those that have gone meanwhile are misses. */
struct rc_ids {
    rc_id *id; /* [n] */
    uint32_t n, cap;
};
void rc_ids_add(struct rc_ids *ids, rc_id id);
void rc_ids_deinit(struct rc_ids *ids);

#endif /* RC_BASE_POOL_H */

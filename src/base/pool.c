#include "rc/base/pool.h"

#include "rc/base/mem.h"
#include "rc/base/thread.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 16384, CACHELINE = 64 };

struct free_slot {
    struct rc_pooled hdr;
    uint32_t next;
};

void rc_pool_init(struct rc_pool *p, size_t size, uint32_t max)
{
    size = (size + 7) & ~(size_t)7;
    RC_ASSERT(size >= sizeof(struct free_slot) && max <= RC_POOL_MAX);
    *p = (struct rc_pool){.size = (uint32_t)size,
                          .per_chunk = (uint32_t)(size < CHUNK_BYTES ? CHUNK_BYTES / size : 1),
                          .free_head = RC_POOL_NONE,
                          .max = max};
}

void rc_pool_deinit(struct rc_pool *p)
{
    for (uint32_t i = 0; i < p->nchunks; i++)
        free(p->chunk[i]);
    free(p->chunk);
    *p = (struct rc_pool){0};
}

static void *at(const struct rc_pool *p, uint32_t slot)
{
    return p->chunk[slot / p->per_chunk] + (size_t)(slot % p->per_chunk) * p->size;
}

/* It begins on a cache line: where its objects have theirs is for their structs to say. */
static unsigned char *new_chunk(const struct rc_pool *p)
{
    size_t bytes = ((size_t)p->per_chunk * p->size + CACHELINE - 1) / CACHELINE * CACHELINE;
    unsigned char *chunk = aligned_alloc(CACHELINE, bytes);

    RC_ASSERT(chunk != NULL);
    return memset(chunk, 0, bytes);
}

static void grow(struct rc_pool *p)
{
    uint32_t first = p->nchunks * p->per_chunk;

    p->chunk = rc_realloc(p->chunk, (p->nchunks + 1) * sizeof(*p->chunk));
    p->chunk[p->nchunks++] = new_chunk(p);
    for (uint32_t i = p->per_chunk; i-- > 0;) {
        struct free_slot *f = at(p, first + i);

        f->hdr.slot = first + i;
        f->next = p->free_head;
        p->free_head = first + i;
    }
}

void *rc_pool_get(struct rc_pool *p)
{
    struct free_slot *f;
    struct rc_pooled hdr;

    if (p->used >= p->max)
        return NULL;
    if (p->free_head == RC_POOL_NONE)
        grow(p);
    f = at(p, p->free_head);
    p->free_head = f->next;
    p->used++;
    hdr = (struct rc_pooled){.gen = f->hdr.gen + 1, .slot = f->hdr.slot};
    memset(f, 0, p->size);
    f->hdr = hdr;
    return f;
}

void rc_pool_put(struct rc_pool *p, void *obj)
{
    struct free_slot *f = obj;

    RC_ASSERT((f->hdr.gen & 1) != 0);
    f->hdr.gen++;
    f->next = p->free_head;
    p->free_head = f->hdr.slot;
    p->used--;
}

void *rc_pool_find(const struct rc_pool *p, uint32_t slot, uint32_t gen)
{
    struct rc_pooled *o;

    if (slot >= p->nchunks * p->per_chunk || (gen & 1) == 0)
        return NULL;
    o = at(p, slot);
    return o->gen == gen ? o : NULL;
}

void *rc_pool_at(const struct rc_pool *p, uint32_t slot)
{
    struct rc_pooled *o;

    if (slot >= p->nchunks * p->per_chunk)
        return NULL;
    o = at(p, slot);
    return (o->gen & 1) != 0 ? o : NULL;
}

void *rc_pool_next(const struct rc_pool *p, uint32_t *cursor)
{
    while (*cursor < p->nchunks * p->per_chunk) {
        struct rc_pooled *o = at(p, (*cursor)++);

        if ((o->gen & 1) != 0)
            return o;
    }
    return NULL;
}

void rc_ids_add(struct rc_ids *ids, rc_id id)
{
    if (ids->n == ids->cap) {
        ids->cap = ids->cap != 0 ? ids->cap * 2 : 16;
        ids->id = rc_realloc(ids->id, ids->cap * sizeof(*ids->id));
    }
    ids->id[ids->n++] = id;
}

void rc_ids_deinit(struct rc_ids *ids)
{
    free(ids->id);
    *ids = (struct rc_ids){0};
}

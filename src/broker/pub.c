#include "rc/broker/pub.h"

#include "rc/base/mem.h"
#include "rc/base/timer.h"

#include <stdlib.h>
#include <string.h>

struct rc_pub *rc_pub_new(uint16_t nsp, struct rc_str room, uint64_t hash, const void *data,
                          size_t len)
{
    struct rc_pub *p = rc_block_new(sizeof(*p) + len + room.len);

    atomic_init(&p->refs, 1);
    p->len = (uint32_t)len;
    p->room_len = (uint32_t)room.len;
    p->nsp = nsp;
    p->is_page = false;
    p->shared = p->from_bus = false;
    p->order = 0;
    p->hash = hash;
    p->message = 0;
    p->ask = 0;
    p->ask_ms = 0;
    p->born_us = rc_turn_us;
    p->audience = NULL;
    if (len != 0)
        memcpy(p->data, data, len);
    if (room.len != 0)
        memcpy(p->data + len, room.p, room.len);
    return p;
}

void rc_pub_unref(struct rc_pub **pp)
{
    struct rc_pub *p = *pp;

    *pp = NULL;
    if (p == NULL)
        return;
    /* release: our reads of the bytes come before; the last one acquires everybody's. A load
     * instead of a fence, which ThreadSanitizer of gcc 12 does not understand. */
    if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_release) == 1) {
        (void)atomic_load_explicit(&p->refs, memory_order_acquire);
        free(p->audience); /* one block */
        rc_block_free(p, sizeof(*p) + p->len + p->room_len);
    }
}

/*
 * pub.h - a publication: one message to a room, immutable, shared by all shards.
 *
 * It holds the bytes that go to WebSocket clients, framed once: for Socket.IO the text frame
 * and the binary frames of its attachments, for plain endpoints the one frame. Behind them lies
 * the room's name, for the owner's lookup. Blobs are the same thing without a room.
 *
 * Threads:   any; the count is atomic, the bytes never change after rc_pub_new.
 * Ownership: counted references; rc_pub_unref nulls the caller's pointer.
 */
#ifndef RC_BROKER_PUB_H
#define RC_BROKER_PUB_H

#include "rc/base/str.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct rc_audience;

struct rc_pub {
    _Atomic uint32_t refs;
    uint32_t len;      /* bytes of data */
    uint32_t room_len; /* bytes of the room name behind data */
    uint16_t nsp;      /* index of the namespace */
    bool is_page;      /* of what a user has missed, see inbox.h */
    bool shared;       /* other nodes get it, too; see bus.h */
    bool from_bus;     /* it is another node's */
    uint8_t order;     /* nothing to be sent: to be done, enum rc_bus_order */
    uint32_t ask_ms;   /* ask: how long answers are awaited */
    uint64_t hash;     /* of (nsp, room), see rc_room_hash() */
    uint64_t message;  /* to users: id of the stored message, or the last one, in it; else 0 */
    uint64_t born_us;  /* when what it was made from came, rc_clock_us(); 0: not known */
    uint64_t ask;      /* number of the question that this puts, 0: none; see ask.h */
    /* Who gets it, when that takes more than the name of one room; else NULL. Owned. */
    struct rc_audience *audience;
    uint8_t data[];
};

/* One reference. room may be empty: all sockets of the namespace. */
struct rc_pub *rc_pub_new(uint16_t nsp, struct rc_str room, uint64_t hash, const void *data,
                          size_t len);
static inline struct rc_pub *rc_pub_ref(struct rc_pub *p)
{
    /* relaxed: whoever takes a reference already has one */
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}
void rc_pub_unref(struct rc_pub **pp);
static inline struct rc_str rc_pub_room(const struct rc_pub *p)
{
    return rc_str_make(p->data + p->len, p->room_len);
}
static inline struct rc_str rc_pub_data(const struct rc_pub *p)
{
    return rc_str_make(p->data, p->len);
}

#endif /* RC_BROKER_PUB_H */

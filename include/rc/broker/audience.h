/*
 * audience.h - who gets a publication when one room's name does not say it: a union of rooms and
 * sockets, each socket once, without the members of others; perhaps only those that can take it now.
 *
 * Who is in a room is looked up where its members are, when the publication comes there. An own-id
 * room is its socket.
 *
 * Threads:   the builder: one. An audience is immutable and belongs to a publication (pub.h).
 * Ownership: one block of memory, freed with the publication.
 */
#ifndef RC_BROKER_AUDIENCE_H
#define RC_BROKER_AUDIENCE_H

#include "rc/base/buf.h"
#include "rc/base/thread.h"
#include "rc/broker/app.h"
#include "rc/broker/pub.h"
#include "rc/broker/socket.h"

#include <stdbool.h>
#include <stdint.h>

struct rc_shard;

/* A room, or with len 0 a socket. */
struct rc_audience_part {
    uint64_t key; /* the room's hash, or the socket's address */
    bool is_session;
    uint32_t at, len; /* of the room's key */
};

struct rc_audience {
    bool all;              /* everybody in the namespace */
    bool is_volatile;      /* not for those who could not be sent it now */
    uint32_t nto, nexcept; /* part[0..nto) get it, the nexcept behind do not */
    const char *names;     /* behind the parts */
    struct rc_audience_part part[];
};

/* Of a part that is a socket. */
static inline struct rc_address rc_audience_address(const struct rc_audience_part *p)
{
    return (struct rc_address){.id = p->key, .is_session = p->is_session};
}
static inline struct rc_str rc_audience_name(const struct rc_audience *a,
                                             const struct rc_audience_part *p)
{
    return rc_str_make(a->names + p->at, p->len);
}

struct rc_audience_builder {
    const struct rc_app *app;
    uint16_t nsp;
    struct rc_str nsp_name;
    struct rc_str home; /* of a dynamic namespace, see space.h; else empty */
    bool all, is_volatile;
    struct rc_buf part[2]; /* of rc_audience_part: to, except */
    struct rc_buf names;
};

/* How many were named so far to get it, or to be left out. */
unsigned rc_audience_count(const struct rc_audience_builder *b, bool except);
void rc_audience_add_socket(struct rc_audience_builder *b, bool except,
                            struct rc_address socket);
/* A room; or a socket, if that is its id. */
void rc_audience_add_room(struct rc_audience_builder *b, bool except, struct rc_str name);
struct rc_audience *rc_audience_build(struct rc_audience_builder *b);
void rc_audience_deinit(struct rc_audience_builder *b);

/* The sockets of pub's audience that are on this shard: their ids, each once. */
void rc_audience_collect(struct rc_shard *sh, struct rc_pub *pub,
                         struct rc_ids *sockets) RC_ON_SHARD;
/* Hands pub to those of its audience who are on this shard, and tells who asks how many these are. */
void rc_audience_deliver(struct rc_shard *sh, struct rc_pub *pub) RC_ON_SHARD;

#endif /* RC_BROKER_AUDIENCE_H */

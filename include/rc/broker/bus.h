/*
 * bus.h - messages between this node's rooms and the other nodes': what leaves, and what comes.
 *
 * A message of this node is submitted to the cluster (cluster_port.h) where it gets its place in the
 * order of its rooms: by the rooms' owner, or the sequencer of unions. One of another node takes that
 * place like a message of a session does, but all of them have one order, too, because nobody knows whose
 * sessions they are: each is a union (union.h) of its rooms and of what the sequencer owns.
 *
 *   cluster ──UNION──> sequencer ──UNION_ORDER──> owners and sequencer ──UNION_PART──> every shard
 *
 * Orders are what other nodes ask of all matching sockets, or about them. They go the way of a message
 * that is for all shards, so that each carries them out behind what came before, and submits
 * RC_CLUSTER_DONE; what only asks is answered in slices, turn by turn, in several of these. Of those that move sockets each shard tells each other one when its requests are taken
 * (ORDER_PASS), and that one submits the DONE: what comes from the bus after the last of them meets the
 * rooms as they are then.
 *
 * Threads:   publish, mail: the shard.  list: any.  Others: the cluster's.
 * Ownership: lists are the caller's; a message borrows its bytes.
 */
#ifndef RC_BROKER_BUS_H
#define RC_BROKER_BUS_H

#include "rc/base/buf.h"
#include "rc/base/thread.h"
#include "rc/broker/app.h"
#include "rc/broker/cluster_port.h"
#include "rc/proto/sio.h"

#include <stdbool.h>
#include <stdint.h>

struct rc_mesh;
struct rc_shard;

/* Names of rooms, or ids of sockets. */
struct rc_bus_list {
    struct rc_buf bytes; /* {length:4, bytes} of each */
    uint32_t n;
};
void rc_bus_list_add(struct rc_bus_list *l, struct rc_str name);
/* Walks through them: rest begins as rc_buf_str(&l->bytes). False at the end. */
bool rc_bus_list_next(struct rc_str *rest, struct rc_str *name);
void rc_bus_list_reset(struct rc_bus_list *l);
void rc_bus_list_deinit(struct rc_bus_list *l);

/* Whom something is for: the members of the rooms, or of all when there are none, without those of
 * others. An own id is a room with that socket in it. */
struct rc_bus_target {
    struct rc_str nsp;
    struct rc_bus_list rooms, except;
};

struct rc_bus_message {
    struct rc_bus_target to;
    bool is_volatile;
    uint64_t ask;       /* number of the question that this puts, 0: none; see ask.h */
    struct rc_str text; /* a canonical packet, without the '4' of Engine.IO */
    struct rc_str attachment[RC_SIO_ATTACHMENTS_MAX];
    unsigned nattachments;
};

void rc_bus_message_deinit(struct rc_bus_message *m);

/* ---- a shard ---- */

/* pub has its place in the order of its rooms: other nodes get it, if it is for them, too. True: they do,
 * or it is dropped on the way; a question that it puts ends with an ASK_END. */
bool rc_bus_publish(struct rc_shard *sh, struct rc_pub *pub, rc_id except) RC_ON_SHARD;

/* An order has come to this shard, behind all that came from the bus before. */
void rc_bus_carry_out(struct rc_shard *sh, struct rc_pub *pub) RC_ON_SHARD;
/* Goes on with those that ask, if sh->job is not NULL: the next slice of an answer. */
void rc_bus_turn(struct rc_shard *sh) RC_ON_SHARD;
void rc_bus_init(struct rc_shard *sh);
void rc_bus_deinit(struct rc_shard *sh);
/* ORDER_PASS. */
void rc_bus_passed(struct rc_shard *sh, uint64_t number) RC_ON_SHARD;

/* ---- the cluster's thread ---- */

enum rc_bus_order {
    RC_BUS_NO_ORDER,
    RC_BUS_SOCKETS,    /* DONE: their ids, as JSON strings by comma */
    RC_BUS_ROOMS,      /* the same of the names of all rooms, own ids among them */
    RC_BUS_FETCH,      /* what is known of the sockets: JSON objects by comma */
    RC_BUS_JOIN,       /* they join the rooms */
    RC_BUS_LEAVE,      /* they leave them */
    RC_BUS_DISCONNECT, /* from their namespace */
    RC_BUS_CLOSE,      /* with their connections */
};
/* Gives it to all shards. Returns how many DONEs with that number will come; 0: the namespace is not
 * known here. rooms: NULL unless the order has some. */
unsigned rc_bus_order(const struct rc_app *app, struct rc_mesh *mesh, enum rc_bus_order order,
                      uint64_t number, const struct rc_bus_target *to,
                      const struct rc_bus_list *rooms);

/* What was submitted, for the bus; m is emptied first. Its slices point into pub and app. */
void rc_bus_describe(const struct rc_app *app, const struct rc_pub *pub, rc_id except,
                     struct rc_bus_message *m);

/* The namespace of that name, if clients may be in it; or NULL. */
const struct rc_nsp *rc_bus_nsp(const struct rc_app *app, struct rc_str name);
/* A room's key is put together of both, and taken apart: the name of the namespace, unless the key has none,
 * and of the room. */
void rc_bus_put_key(const struct rc_nsp *nsp, struct rc_str name, struct rc_str label,
                    struct rc_buf *key);
struct rc_str rc_bus_label(const struct rc_nsp *nsp, struct rc_str key, struct rc_str *name);
/* A message from the bus, in the order of the calls. False: its namespace is not known here. */
bool rc_bus_deliver(const struct rc_app *app, struct rc_mesh *mesh,
                    const struct rc_bus_message *m);

#endif /* RC_BROKER_BUS_H */

/*
 * peers.h - the other roomcast nodes of the cluster: which there are, and what shards of different nodes tell
 * each other. Servers of other makes know nothing of it; what is for them, too, is in bus.h.
 *
 *   shard ──RC_CLUSTER_PEER──> cluster ──> bus ──> cluster ──PEER──> shard of the other node
 *
 * The cluster's thread finds out who is there (cluster/nodes.c) and tells every shard: PEER_HERE for one that has
 * come, PEER_GONE for one that said goodbye, was not heard for cluster.lease or was started again. What a shard
 * tells arrives in its order, at most once: not at all while Redis is away. When it is back every shard gets
 * PEER_AGAIN, on whichever side it was lost, and says again what others must know.
 *
 * Threads:   the shard.
 * Ownership: each shard has a table of its own.
 */
#ifndef RC_BROKER_PEERS_H
#define RC_BROKER_PEERS_H

#include "rc/base/str.h"
#include "rc/base/thread.h"
#include "rc/broker/cluster_port.h"
#include "rc/broker/msg.h"

#include <stdbool.h>
#include <stdint.h>

struct rc_shard;

enum {
    RC_PEERS_MAX = RC_CLUSTER_NODES_MAX, /* nodes that are known at once; more are not seen */
    RC_PEER_ID = RC_CLUSTER_NODE_TEXT,
    RC_PEER_ADDRESS = RC_CLUSTER_NODE_TEXT,
    RC_PEER_TOKEN = 16,
};

struct rc_peer {
    uint32_t
        number;   /* this process's for it, from 1 on; one that is started again has another */
    uint16_t tag; /* what its sids bear; see below */
    uint8_t token[RC_PEER_TOKEN]; /* by which others show that they belong to the cluster */
    char id[RC_PEER_ID];
    char address[RC_PEER_ADDRESS]; /* host:port of its pipe listener, or "": it has none */
};

/* What shards tell each other. On the wire: numbers are never used for something else. */
enum rc_peer_kind {
    RC_PEER_PRESENCE = 1, /* presence.h */
    RC_PEER_ROOMS = 2,    /* directory.c */
    RC_PEER_INBOX = 3,    /* inbox.h */
    RC_PEER_PRESENCE_ASK = 4,
    RC_PEER_ROOMS_ASK = 5,
};

/* Tells one node, or all when to is 0. key: of a room in that namespace, whose owner there gets it; empty:
 * all shards there do. Bytes are copied. Costs next to nothing while no other node is known. */
void rc_peers_tell(struct rc_shard *sh, enum rc_peer_kind kind, uint32_t to, uint16_t nsp,
                   struct rc_str key, struct rc_str bytes) RC_ON_SHARD;

/* NULL: there is none. Until the next PEER_GONE. Nodes draw their tags; should two be the same, the first is
 * found, and one of them takes another for its next sids. So what bears a tag of nobody here may be ours. */
const struct rc_peer *rc_peers_by_tag(const struct rc_shard *sh, uint16_t tag);
const struct rc_peer *rc_peers_by_number(const struct rc_shard *sh, uint32_t number);
/* One after the other: NULL, from i = count on. */
const struct rc_peer *rc_peers_at(const struct rc_shard *sh, unsigned i);

/* PEER, PEER_HERE, PEER_GONE, PEER_AGAIN. Takes over what the message owns. */
void rc_peers_mail(struct rc_shard *sh, struct rc_msg *msg) RC_ON_SHARD;

void rc_peers_init(struct rc_shard *sh);
void rc_peers_deinit(struct rc_shard *sh);

#endif /* RC_BROKER_PEERS_H */

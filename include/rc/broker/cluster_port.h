/*
 * cluster_port.h - what the broker asks of the cluster: that other nodes hear of it too. The layer
 * `cluster` answers; the broker knows this port only.
 *
 *   owner of the room ──RC_CLUSTER_PUBLISH──> cluster ──> bus          bus.h: what comes from there
 *
 * All shards submit to one queue, whose order is that of the causes (base/mpsc.h): a room's messages
 * leave in its owner's order, and what a session sends by way of two owners in the order in which it
 * was sent.
 *
 * Threads:   submit: any shard.  stats, tag: any.  nodes: operators'.
 * Ownership: submit takes over what the item owns, whether or not there is room for it.
 */
#ifndef RC_BROKER_CLUSTER_PORT_H
#define RC_BROKER_CLUSTER_PORT_H

#include "rc/base/mpsc.h"
#include "rc/base/pool.h"
#include "rc/broker/pub.h"

#include <stdbool.h>
#include <stdint.h>

enum rc_cluster_type {
    RC_CLUSTER_PUBLISH, /* pub, except: a message of this node's */
    RC_CLUSTER_DONE, /* number, pub (or NULL): what a shard has to say to an order; count: more follows */
    RC_CLUSTER_ASK_SHARDS,  /* number, count: see ask.h; the question is another node's */
    RC_CLUSTER_ASK_SOCKETS, /* number, count */
    RC_CLUSTER_ASK_ANSWER,  /* number, socket, pub */
    RC_CLUSTER_SPACE,       /* pub: its room names a dynamic namespace; count: it is there */
    RC_CLUSTER_PEER,        /* number: the node, 0: all; count: kind, pub: see peers.h */
};

struct rc_cluster_item {
    struct rc_mpsc_node node;
    enum rc_cluster_type type;
    uint32_t count;
    uint64_t number;
    rc_id socket; /* PUBLISH: who is left out; ANSWER: whose it is */
    struct rc_pub *pub;
    /* The cluster's. */
    uint32_t size; /* bytes that count as waiting */
    struct rc_cluster_item *next;
};

/* X(name, kind of a metric, help) */
#define RC_CLUSTER_STATS_MAP(X)                                                              \
    X(up, gauge, "1 while all connections to Redis are there and subscribed, else 0")        \
    X(nodes, gauge, "other roomcast nodes that are there")                                   \
    X(connects, counter, "times that the cluster came up")                                   \
    X(published, counter, "messages and requests sent to Redis")                             \
    X(published_bytes, counter, "their bytes, without channel names")                        \
    X(received, counter, "messages and requests of other nodes")                             \
    X(received_bytes, counter, "their bytes, without channel names")                         \
    X(own, counter, "messages of this node that Redis brought back")                         \
    X(bad, counter, "messages that could not be read, or were too long")                     \
    X(unknown, counter, "messages for rooms or namespaces that nobody here is in")           \
    X(dropped, counter, "messages not sent because too much waited, or Redis was away")      \
    X(lost, counter, "messages under way when a connection to Redis was lost: sent, or not") \
    X(unsure, counter, "messages sent although not all nodes had come back to Redis yet")    \
    X(pending, gauge, "messages that wait for Redis")                                        \
    X(pending_bytes, gauge, "their bytes")                                                   \
    X(timeouts, counter, "questions that not all nodes and their clients answered in time")  \
    X(missed, counter, "messages that the stream had no more when they were to be read")     \
    X(stream_losses, counter, "times that the stream was gone, or was an older one")         \
    X(repeated, counter, "messages that the stream had twice, given to clients once")        \
    X(resent, counter, "messages written to the stream again after a connection was lost")

struct rc_cluster_stats {
#define RC_CLUSTER_STATS_FIELD(name, kind, help) uint64_t name;
    RC_CLUSTER_STATS_MAP(RC_CLUSTER_STATS_FIELD)
#undef RC_CLUSTER_STATS_FIELD
};

enum { RC_CLUSTER_NODES_MAX = 256, RC_CLUSTER_NODE_TEXT = 64 };

/* Another roomcast node. */
struct rc_cluster_node {
    char id[RC_CLUSTER_NODE_TEXT];
    char address[RC_CLUSTER_NODE_TEXT]; /* of its pipe listener; "": it has none */
    uint64_t here_ms;                   /* since it was seen first */
};

struct rc_cluster_port {
    void *cluster;
    /* Never blocks. False: it was dropped, and counted. */
    bool (*submit)(void *cluster, const struct rc_cluster_item *item);
    void (*stats)(const void *cluster, struct rc_cluster_stats *to);
    /* What sids of this node bear, so that others know whose they are; not 0. It may change. */
    uint16_t (*tag)(const void *cluster);
    /* At most RC_CLUSTER_NODES_MAX. Takes a lock that the cluster's thread holds for moments: not for shards. */
    unsigned (*nodes)(void *cluster, struct rc_cluster_node *to);
    const uint8_t *token; /* [RC_PROXY_TOKEN]: by which other nodes show that they are some */
};

#endif /* RC_BROKER_CLUSTER_PORT_H */

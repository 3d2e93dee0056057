/*
 * cluster_int.h - what the files of the cluster's thread share.
 *
 * Threads:   the cluster's, but for what is atomic.
 * Ownership: cluster.c makes and frees it.
 */
#ifndef RC_CLUSTER_CLUSTER_INT_H
#define RC_CLUSTER_CLUSTER_INT_H

#include "link.h"
#include "rc/cluster/cluster.h"
#include "rc/cluster/url.h"
#include "rc/cluster/wire.h"

#include <pthread.h>
#include <stdatomic.h>

enum { RC_UID_LEN = 6 }; /* of a random one, as others have it */

struct rc_cluster {
    struct rc_cluster_port port;
    const struct rc_conf *conf;
    const struct rc_app *app;
    struct rc_mesh *mesh;
    unsigned nshards;
    struct rc_redis_url url;
    char uid[64];
    struct rc_str *pattern; /* [app->nnsps]: by which broadcasts come; empty: it takes none */
    int efd;

    /* Shared with the shards. */
    struct rc_mpsc queue;       /* of rc_cluster_item */
    _Atomic int pending;        /* 1: a wake-up is on its way */
    _Atomic bool stopping;      /* main has set it */
    _Atomic bool told_dropping; /* since it last came up */
    _Atomic uint64_t waiting_n, waiting_size;
    struct {
        _Atomic uint64_t up, connects, published, published_bytes, received, received_bytes,
            own, bad, unknown, dropped, lost, timeouts;
    } count;
    pthread_t thread;
    bool started;

    /* The thread's own from here on. */
    struct event_base *base;
    struct event *mail, *retry;
    struct rc_link *link;
    struct rc_cluster_item *first, **last; /* messages that wait for Redis */
    size_t under_way;                      /* bytes that Redis has not taken yet */
    struct rc_wire_reader reader;
    struct rc_bus_message message;
    struct rc_buf out, channel;
    uint64_t end_at; /* when stopping */
};

static inline void rc_cluster_count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed); /* a statistic */
}

#endif /* RC_CLUSTER_CLUSTER_INT_H */

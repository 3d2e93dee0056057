/*
 * cluster_int.h - what the files of the cluster's thread share.
 *
 * Threads:   the cluster's, but for what is atomic.
 * Ownership: cluster.c makes and frees it.
 */
#ifndef RC_CLUSTER_CLUSTER_INT_H
#define RC_CLUSTER_CLUSTER_INT_H

#include "link.h"
#include "rc/base/hmap.h"
#include "rc/base/list.h"
#include "rc/broker/peers.h"
#include "rc/cluster/cluster.h"
#include "rc/cluster/entry.h"
#include "rc/cluster/url.h"
#include "rc/cluster/wire.h"

#include <pthread.h>
#include <stdatomic.h>

enum { RC_UID_LEN = 6 }; /* of a random one, as others have it */

struct rc_cluster;
struct rc_streams;

/* Another node that waits for an answer. */
struct rc_asker {
    struct rc_str nsp;
    struct rc_str uid; /* its own; empty: it has not said */
    struct rc_str id;  /* of its request */
};

/* How nodes talk: messages that pass through Redis (classic.c), or that it keeps (streams_talk.c). */
struct rc_dialect {
    bool has_patterns; /* broadcasts come by c->pattern */
    /* Appends the channel by which requests about a namespace come: others count who listens. */
    void (*put_channel)(const struct rc_cluster *c, struct rc_str nsp, struct rc_buf *to);
    /* Something has come by a subscription: rc_serve_take() gets it, if it is for us. */
    void (*on_message)(struct rc_cluster *c, struct rc_str pattern, struct rc_str channel,
                       struct rc_str payload);
    /* What rc_serve_take() was given: to c->message, to c->request. */
    int (*read_broadcast)(struct rc_cluster *c, struct rc_str nsp, struct rc_str payload);
    int (*read_request)(struct rc_cluster *c, struct rc_str nsp, struct rc_str payload);

    /* Is there room for a message? */
    bool (*can_send)(const struct rc_cluster *c);
    /* Sends c->message. False: rc_cluster_sent() will tell when Redis has it, with that size. */
    bool (*send)(struct rc_cluster *c, uint32_t size);
    /* list: JSON values by comma; key: what they are, "sockets" or "rooms". */
    void (*answer_list)(struct rc_cluster *c, const struct rc_asker *to, const char *key,
                        struct rc_str list);
    void (*answer_server)(struct rc_cluster *c, const struct rc_asker *to);
    void (*answer_count)(struct rc_cluster *c, const struct rc_asker *to, uint32_t clients);
    /* args, attachment: of a client's acknowledgement. */
    void (*answer_ack)(struct rc_cluster *c, const struct rc_asker *to, struct rc_str args,
                       const struct rc_str *attachment, unsigned nattachments);

    /* Appends the channels by which answers to this node's questions come. */
    void (*put_answer_channels)(const struct rc_cluster *c, struct rc_str nsp,
                                struct rc_bus_list *to);
    /* Appends one to c->out, for put_channel()'s. */
    int (*put_question)(struct rc_cluster *c, struct rc_str id, const struct rc_bus_message *m,
                        uint32_t timeout_ms);
    /* What rc_cluster_take_response() was given: to c->response. */
    int (*read_response)(struct rc_cluster *c, struct rc_str payload);
};
extern const struct rc_dialect rc_classic, rc_by_streams;

struct rc_cluster {
    struct rc_cluster_port port;
    const struct rc_conf *conf;
    const struct rc_app *app;
    struct rc_mesh *mesh;
    unsigned nshards;
    struct rc_redis_url url;
    char uid[64];
    const struct rc_dialect *dialect;
    struct rc_str *pattern; /* [app->nnsps]: by which broadcasts come; empty: it takes none */
    char address[RC_PEER_ADDRESS]; /* of the pipe listener, or "" */
    uint8_t token[RC_PEER_TOKEN];
    uint64_t nonce; /* of this process, to others */
    int efd;

    /* Shared with the shards. */
    struct rc_mpsc queue;       /* of rc_cluster_item */
    _Atomic int pending;        /* 1: a wake-up is on its way */
    _Atomic bool stopping;      /* main has set it */
    _Atomic bool told_dropping; /* since it last came up */
    _Atomic uint64_t waiting_n, waiting_size;
    _Atomic uint16_t tag; /* see cluster_port.h */
    struct {
        _Atomic uint64_t up, nodes, connects, published, published_bytes, received,
            received_bytes, own, bad, unknown, dropped, lost, unsure, timeouts, missed,
            stream_losses, repeated, resent;
    } count;
    pthread_t thread;
    bool started;

    /* The thread's own from here on. */
    struct event_base *base;
    struct event *mail, *retry;
    struct rc_link *link;
    struct rc_streams *streams;            /* NULL: without */
    bool is_up;                            /* all of it */
    struct rc_cluster_item *first, **last; /* messages that wait for Redis */
    size_t under_way;                      /* bytes that Redis has not taken yet */
    struct rc_wire_reader reader;
    struct rc_entry_reader entry;
    struct rc_bus_message message;
    struct rc_buf out, channel;
    uint64_t end_at; /* when stopping */

    /* See serve.c. */
    struct rc_wire_request request;
    struct rc_hmap spaces; /* of struct space: dynamic namespaces that are there */
    struct rc_list orders; /* of order: given to the shards, and not done */
    unsigned norders;
    uint64_t answers_size; /* bytes of their answers so far */
    uint64_t number;       /* of the last one */
    uint64_t barrier;      /* nothing is taken until this order is done; 0: there is none */
    struct rc_list held;   /* of held: what Redis had sent already then */
    struct question **question; /* [QUESTIONS] of other nodes that clients are to answer */
    struct event *tick;

    /* See nodes.c. */
    pthread_mutex_t nodes_lock; /* what follows changes under it, and operators read */
    struct rc_list nodes;       /* of node: the other ones */
    unsigned nnodes;
    uint32_t node_number; /* the last one given to one */
    struct rc_buf own_channel;
    struct event *beat;
    uint64_t beat_ms;       /* the last one */
    uint64_t rejoin_end_ms; /* nobody is forgotten before: Redis was away */
    bool was_up, was_deaf;  /* ever; since the last beat */
    bool told_many;

    /* See inquire.c. */
    struct rc_wire_response response;
    struct inquiry **inquiry; /* [INQUIRIES] questions of this node's clients */
    unsigned ninquiries;

    /* See rejoin.c. */
    struct event *rejoin;
    uint64_t rejoin_until; /* nothing is sent before; 0: it is */
    unsigned were[2], are; /* nodes at Redis: when it was well, in the last two looks; now */
};

/* ---- cluster.c, for the others ---- */

/* Goes over to the latest generation: before an item of a shard, which may have, and a message. */
void rc_cluster_renew(struct rc_cluster *c);
/* A connection has changed. */
void rc_cluster_look(struct rc_cluster *c);
/* Appends PREFIX KIND # NSP #. */
void rc_cluster_put_channel(const struct rc_cluster *c, const char *kind, struct rc_str nsp,
                            struct rc_buf *to);
/* The namespace in a channel that begins with the prefix and kind, or nothing. */
struct rc_str rc_cluster_nsp_of(const struct rc_cluster *c, struct rc_str channel,
                                const char *kind);
/* Publishes, or drops it when Redis is away. kind: what follows the prefix. */
void rc_cluster_send(struct rc_cluster *c, const char *kind, struct rc_str nsp,
                     struct rc_str payload);
/* While the link is up. */
void rc_cluster_publish(struct rc_cluster *c, struct rc_str channel, struct rc_str payload);
/* A message of that size waits no more. */
void rc_cluster_sent(struct rc_cluster *c, uint32_t size);
/* One of another node has come: counts it, and looks at its length. False: it is too long. */
bool rc_cluster_received(struct rc_cluster *c, struct rc_str payload);
/* An answer to this node. */
void rc_cluster_take_response(struct rc_cluster *c, struct rc_str payload);

/* ---- streams_talk.c ---- */

/* False: no memory. */
bool rc_cluster_init_streams(struct rc_cluster *c);

/* How many are subscribed to the requests of a namespace: rc_inquire_counted() follows. False: Redis is away. */
bool rc_cluster_count_nodes(struct rc_cluster *c, struct rc_str nsp, uint64_t number);

/* ---- serve.c: requests of other nodes ---- */

int rc_serve_init(struct rc_cluster *c);
void rc_serve_deinit(struct rc_cluster *c);
/* Appends the channels by which requests come. */
void rc_serve_channels(const struct rc_cluster *c, struct rc_buf *channels);
/* There are more namespaces than before, or more of them ask. */
void rc_serve_subscribe(struct rc_cluster *c, const struct rc_app *last);
/* A message or a request has come; in the order in which they do. */
void rc_serve_take(struct rc_cluster *c, bool is_request, struct rc_str nsp,
                   struct rc_str payload);
/* Is there an order that what comes must wait for? */
static inline bool rc_serve_waits(const struct rc_cluster *c)
{
    return c->barrier != 0;
}
/* What the shards have submitted, other than messages. Borrows it. */
void rc_serve_item(struct rc_cluster *c, const struct rc_cluster_item *item);

/* ---- nodes.c: roomcast nodes ---- */

int rc_nodes_init(struct rc_cluster *c);
void rc_nodes_deinit(struct rc_cluster *c);
/* The link is up, perhaps again. */
void rc_nodes_up(struct rc_cluster *c);
/* Others may have been heard and were not listened to: nobody is forgotten because of that. */
void rc_nodes_deaf(struct rc_cluster *c);
/* What came by own_channel. */
void rc_nodes_take(struct rc_cluster *c, struct rc_str rest);
/* RC_CLUSTER_PEER, while the link is up. Borrows it. */
void rc_nodes_tell(struct rc_cluster *c, const struct rc_cluster_item *item);
void rc_nodes_bye(struct rc_cluster *c);
/* The operators' thread. */
unsigned rc_nodes_list(void *cluster, struct rc_cluster_node *to);

static inline uint16_t rc_cluster_tag(const struct rc_cluster *c)
{
    return atomic_load_explicit(&c->tag, memory_order_relaxed);
}

/* ---- inquire.c: questions to other nodes ---- */

void rc_inquire_init(struct rc_cluster *c);
void rc_inquire_deinit(struct rc_cluster *c);
/* Appends the channels by which answers come, if the rules of the namespace ask. */
void rc_inquire_channels(const struct rc_cluster *c, struct rc_str name,
                         struct rc_buf *channels);
/* A question of this node, for whom m says. Redis is there. */
void rc_inquire(struct rc_cluster *c, const struct rc_pub *pub, const struct rc_bus_message *m);
/* It is not put to other nodes. */
void rc_inquire_skip(struct rc_cluster *c, const struct rc_pub *pub);
void rc_inquire_counted(struct rc_cluster *c, uint64_t id, long long count);
/* This node has heard its own request. */
void rc_inquire_heard(struct rc_cluster *c, struct rc_str id);
/* An answer to somebody's request. */
void rc_inquire_take(struct rc_cluster *c, struct rc_str payload);
/* Once a second. */
void rc_inquire_tick(struct rc_cluster *c, uint64_t now_ms);

/* ---- rejoin.c: Redis was away, and is back ---- */

int rc_rejoin_init(struct rc_cluster *c);
void rc_rejoin_deinit(struct rc_cluster *c);
/* Is what waits for Redis to wait for the other nodes, too? */
static inline bool rc_rejoin_waits(const struct rc_cluster *c)
{
    return c->rejoin_until != 0;
}
void rc_rejoin_up(struct rc_cluster *c);
void rc_rejoin_down(struct rc_cluster *c);
/* No longer than that. */
void rc_rejoin_hurry(struct rc_cluster *c, uint64_t until_ms);
/* False: that was somebody else's count. */
bool rc_rejoin_counted(struct rc_cluster *c, uint64_t number, long long count);
/* Once a second, while Redis is there. */
void rc_rejoin_tick(struct rc_cluster *c);

static inline void rc_cluster_count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed); /* a statistic */
}

#endif /* RC_CLUSTER_CLUSTER_INT_H */

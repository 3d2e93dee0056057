/* peers.c - the table of other nodes that a shard has, and what is told to them. */
#include "rc/broker/peers.h"

#include "rc/base/mem.h"
#include "rc/broker/news.h"
#include "rc/broker/pipe.h"
#include "rc/broker/presence.h"
#include "rc/broker/shard.h"
#include "rc/broker/space.h"

#include <stdlib.h>
#include <string.h>

struct rc_peers {
    unsigned n;
    struct rc_peer *peer[RC_PEERS_MAX];
};

const struct rc_peer *rc_peers_at(const struct rc_shard *sh, unsigned i)
{
    return i < sh->nodes->n ? sh->nodes->peer[i] : NULL;
}

const struct rc_peer *rc_peers_by_tag(const struct rc_shard *sh, uint16_t tag)
{
    const struct rc_peer *p;

    for (unsigned i = 0; (p = rc_peers_at(sh, i)) != NULL; i++)
        if (p->tag == tag)
            return p;
    return NULL;
}

const struct rc_peer *rc_peers_by_number(const struct rc_shard *sh, uint32_t number)
{
    const struct rc_peer *p;

    for (unsigned i = 0; (p = rc_peers_at(sh, i)) != NULL; i++)
        if (p->number == number)
            return p;
    return NULL;
}

void rc_peers_tell(struct rc_shard *sh, enum rc_peer_kind kind, uint32_t to, uint16_t nsp,
                   struct rc_str key, struct rc_str bytes)
{
    const struct rc_cluster_port *cluster = sh->app->cluster;
    struct rc_cluster_item item = {
        .type = RC_CLUSTER_PEER, .count = (uint32_t)kind, .number = to};

    if (sh->nodes->n == 0)
        return;
    item.pub = rc_pub_new(nsp, key, 0, bytes.p, bytes.len);
    (void)cluster->submit(cluster->cluster, &item);
}

/* ---- mail ---- */

static void add(struct rc_peers *peers, const struct rc_pub *pub)
{
    struct rc_peer *p;

    if (peers->n == RC_PEERS_MAX)
        return;
    RC_ASSERT(pub->len == sizeof(*p));
    p = rc_malloc(sizeof(*p));
    memcpy(p, pub->data, sizeof(*p));
    peers->peer[peers->n++] = p;
}

static void take_out(struct rc_peers *peers, uint32_t number)
{
    for (unsigned i = 0; i < peers->n; i++) {
        if (peers->peer[i]->number != number)
            continue;
        free(peers->peer[i]);
        peers->n--;
        for (; i < peers->n; i++)
            peers->peer[i] = peers->peer[i + 1];
        return;
    }
}

/* Kinds that this version does not know are nothing. */
RC_ON_SHARD static void take(struct rc_shard *sh, const struct rc_msg *msg)
{
    const struct rc_pub *pub = msg->u.peer.pub;
    uint32_t number = msg->u.peer.number;

    switch (msg->count) {
    case RC_PEER_PRESENCE:
    case RC_PEER_PRESENCE_ASK:
        rc_presence_peer(sh, (enum rc_peer_kind)msg->count, number, rc_pub_data(pub));
        return;
    case RC_PEER_ROOMS:
    case RC_PEER_ROOMS_ASK:
        rc_directory_peer(sh, (enum rc_peer_kind)msg->count, number, pub);
        return;
    case RC_PEER_INBOX: rc_news_told(sh, pub); return;
    default: return;
    }
}

void rc_peers_mail(struct rc_shard *sh, struct rc_msg *msg)
{
    switch ((int)msg->type) {
    case RC_MSG_PEER_HERE:
        add(sh->nodes, msg->u.peer.pub);
        rc_presence_peer_here(sh, msg->u.peer.number);
        rc_directory_peer_here(sh, msg->u.peer.number);
        break;
    case RC_MSG_PEER_GONE:
        take_out(sh->nodes, msg->u.peer.number);
        rc_presence_peer_gone(sh, msg->u.peer.number);
        rc_pipe_peer_gone(sh, msg->u.peer.number);
        rc_directory_peer_gone(sh, msg->u.peer.number);
        break;
    case RC_MSG_PEER_AGAIN:
        rc_presence_peers_again(sh);
        rc_directory_peers_again(sh);
        rc_news_told(sh, NULL);
        break;
    case RC_MSG_PEER: take(sh, msg); break;
    default: RC_ASSERT(false);
    }
    rc_msg_drop(msg);
}

/* ---- life ---- */

void rc_peers_init(struct rc_shard *sh)
{
    sh->nodes = rc_calloc(1, sizeof(*sh->nodes));
}

void rc_peers_deinit(struct rc_shard *sh)
{
    for (unsigned i = 0; i < sh->nodes->n; i++)
        free(sh->nodes->peer[i]);
    free(sh->nodes);
}

/* nodes.c - which other roomcast nodes there are, and what their shards and ours tell each other.
 *
 * All of it goes by one channel, P-roomcast#, which no server of another make looks at. Messages are arrays
 * of MessagePack that begin with [1, id, nonce, what]; a nonce is one process:
 *
 *   [1, id, nonce, "here", asks, tag, address, token]    a fifth of a lease after the other; asks: say so, too
 *   [1, id, nonce, "bye"]
 *   [1, id, nonce, kind, to, namespace, room, bytes]     to: the nonce of one node, or 0
 *
 * What follows is for later versions. */
#include "cluster_int.h"
#include "rc/base/hash.h"
#include "rc/base/log.h"
#include "rc/base/mem.h"
#include "rc/base/timer.h"
#include "rc/broker/peers.h"
#include "rc/broker/room.h"
#include "rc/broker/space.h"
#include "rc/cluster/item.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, BEATS = 5, HEAD_ITEMS = 4, HERE_ITEMS = 8, TELL_ITEMS = 8 };

struct node {
    struct rc_list link;
    uint64_t nonce, heard_ms, since_ms;
    struct rc_peer peer;
};

/* ---- writing ---- */

static int write_buf(void *buf, const char *p, size_t n)
{
    rc_buf_put(buf, p, n);
    return 0;
}

static void put_str(msgpack_packer *pk, struct rc_str s)
{
    (void)msgpack_pack_str_with_body(pk, s.p, s.len);
}

static void put_bin(msgpack_packer *pk, struct rc_str s)
{
    (void)msgpack_pack_bin_with_body(pk, s.p, s.len);
}

static void begin(struct rc_cluster *c, msgpack_packer *pk, unsigned items)
{
    rc_buf_reset(&c->out);
    msgpack_packer_init(pk, &c->out, write_buf);
    (void)msgpack_pack_array(pk, items);
    (void)msgpack_pack_unsigned_int(pk, VERSION);
    put_str(pk, rc_str_of(c->uid));
    (void)msgpack_pack_uint64(pk, c->nonce);
}

static void publish(struct rc_cluster *c)
{
    rc_cluster_publish(c, rc_buf_str(&c->own_channel), rc_buf_str(&c->out));
}

static void say_here(struct rc_cluster *c, bool asks)
{
    msgpack_packer pk;

    if (c->end_at != 0) /* it has said bye */
        return;
    begin(c, &pk, HERE_ITEMS);
    put_str(&pk, RC_STR("here"));
    (void)(asks ? msgpack_pack_true(&pk) : msgpack_pack_false(&pk));
    (void)msgpack_pack_unsigned_int(&pk, rc_cluster_tag(c));
    put_str(&pk, rc_str_of(c->address));
    put_bin(&pk, rc_str_make((const char *)c->token, sizeof(c->token)));
    publish(c);
}

void rc_nodes_bye(struct rc_cluster *c)
{
    msgpack_packer pk;

    if (!rc_link_is_up(c->link))
        return;
    begin(c, &pk, HEAD_ITEMS);
    put_str(&pk, RC_STR("bye"));
    publish(c);
}

static const struct node *node_of(const struct rc_cluster *c, uint32_t number)
{
    for (struct rc_list *l = c->nodes.next; l != &c->nodes; l = l->next) {
        const struct node *n = RC_CONTAINER(l, struct node, link);

        if (n->peer.number == number)
            return n;
    }
    return NULL;
}

void rc_nodes_tell(struct rc_cluster *c, const struct rc_cluster_item *item)
{
    const struct rc_nsp *nsp = &c->app->nsp[item->pub->nsp];
    struct rc_str name = nsp->name, label = rc_bus_label(nsp, rc_pub_room(item->pub), &name);
    const struct node *to = item->number != 0 ? node_of(c, (uint32_t)item->number) : NULL;
    msgpack_packer pk;

    if (item->number != 0 && to == NULL)
        return; /* it has gone meanwhile */
    begin(c, &pk, TELL_ITEMS);
    (void)msgpack_pack_unsigned_int(&pk, item->count);
    (void)msgpack_pack_uint64(&pk, to != NULL ? to->nonce : 0);
    put_str(&pk, name);
    put_str(&pk, label);
    put_bin(&pk, rc_pub_data(item->pub));
    publish(c);
}

/* ---- shards ---- */

static void post(struct rc_cluster *c, unsigned shard, const struct rc_msg *msg)
{
    struct rc_msg copy = *msg;

    if (copy.u.peer.pub != NULL)
        rc_pub_ref(copy.u.peer.pub);
    rc_mesh_post(c->mesh, rc_mesh_cluster(c->nshards), shard, &copy);
}

static void post_all(struct rc_cluster *c, const struct rc_msg *msg)
{
    for (unsigned i = 0; i < c->nshards; i++)
        post(c, i, msg);
}

static void post_node(struct rc_cluster *c, const struct node *n, enum rc_msg_type type)
{
    struct rc_msg msg = {.type = (uint8_t)type, .u.peer.number = n->peer.number};

    if (type == RC_MSG_PEER_HERE)
        msg.u.peer.pub = rc_pub_new(0, RC_STR_NONE, 0, &n->peer, sizeof(n->peer));
    post_all(c, &msg);
    rc_pub_unref(&msg.u.peer.pub);
}

/* ---- who is there ---- */

static void forget(struct rc_cluster *c, struct node *n, const char *why)
{
    rc_log(RC_LOG_INFO, "cluster: node %s %s", n->peer.id, why);
    post_node(c, n, RC_MSG_PEER_GONE);
    (void)pthread_mutex_lock(&c->nodes_lock);
    rc_list_remove(&n->link);
    (void)pthread_mutex_unlock(&c->nodes_lock);
    c->nnodes--;
    atomic_store_explicit(&c->count.nodes, c->nnodes, memory_order_relaxed);
    free(n);
}

static struct node *find(const struct rc_cluster *c, struct rc_str id)
{
    for (struct rc_list *l = c->nodes.next; l != &c->nodes; l = l->next) {
        struct node *n = RC_CONTAINER(l, struct node, link);

        if (rc_str_eq(rc_str_of(n->peer.id), id))
            return n;
    }
    return NULL;
}

static void draw_tag(struct rc_cluster *c)
{
    uint16_t tag;

    do
        rc_random(&tag, sizeof(tag));
    while (tag == 0 || tag == rc_cluster_tag(c));
    atomic_store_explicit(&c->tag, tag, memory_order_relaxed);
}

/* Of two that have drawn the same one draws again: what its sids bore so far others take for the other's. */
static void compare_tags(struct rc_cluster *c, const struct node *n)
{
    if (n->peer.tag != rc_cluster_tag(c) || n->nonce > c->nonce)
        return;
    draw_tag(c);
    rc_log(RC_LOG_WARN, "cluster: node %s had drawn the tag of this one, which has another now",
           n->peer.id);
    say_here(c, false);
}

/* False: it is none that could be. */
static bool read_here(struct rc_str rest, bool *asks, struct rc_peer *p)
{
    struct rc_item flag = rc_item_next(&rest), tag = rc_item_next(&rest),
                   address = rc_item_next(&rest), token = rc_item_next(&rest);

    if (tag.kind != RC_ITEM_UINT || tag.v.u == 0 || tag.v.u > UINT16_MAX ||
        address.kind != RC_ITEM_STR || address.bytes.len >= RC_PEER_ADDRESS ||
        token.kind != RC_ITEM_BIN || token.bytes.len != RC_PEER_TOKEN)
        return false;
    *asks = flag.kind == RC_ITEM_TRUE;
    p->tag = (uint16_t)tag.v.u;
    memcpy(p->address, address.bytes.p, address.bytes.len);
    memcpy(p->token, token.bytes.p, RC_PEER_TOKEN);
    return true;
}

static void add(struct rc_cluster *c, struct rc_str id, uint64_t nonce, struct rc_peer *p)
{
    struct node *n;

    if (c->nnodes == RC_PEERS_MAX) {
        if (!c->told_many)
            rc_log(RC_LOG_ERROR, "cluster: there are more than %d other nodes: %.*s is ignored",
                   RC_PEERS_MAX, (int)id.len, id.p);
        c->told_many = true;
        return;
    }
    n = rc_calloc(1, sizeof(*n));
    p->number = ++c->node_number;
    memcpy(p->id, id.p, id.len);
    n->peer = *p;
    n->nonce = nonce;
    n->heard_ms = n->since_ms = rc_clock_ms();
    (void)pthread_mutex_lock(&c->nodes_lock);
    rc_list_append(&c->nodes, &n->link);
    (void)pthread_mutex_unlock(&c->nodes_lock);
    c->nnodes++;
    atomic_store_explicit(&c->count.nodes, c->nnodes, memory_order_relaxed);
    rc_log(RC_LOG_INFO, "cluster: node %s is here", p->id);
    post_node(c, n, RC_MSG_PEER_HERE);
    compare_tags(c, n);
    say_here(c, false); /* it may be new, and is not to wait for the next beat */
}

static void on_here(struct rc_cluster *c, struct rc_str id, uint64_t nonce, struct rc_str rest)
{
    struct rc_peer p = {.number = 0};
    struct node *n = find(c, id);
    bool asks;

    if (!read_here(rest, &asks, &p)) {
        rc_cluster_count(&c->count.bad, 1);
        return;
    }
    if (n != NULL && (n->nonce != nonce || n->peer.tag != p.tag ||
                      strcmp(n->peer.address, p.address) != 0)) {
        forget(c, n, n->nonce != nonce ? "was started again" : "has changed");
        n = NULL;
    }
    if (n == NULL) {
        add(c, id, nonce, &p);
        return;
    }
    n->heard_ms = rc_clock_ms();
    if (asks)
        say_here(c, false);
}

static void on_tell(struct rc_cluster *c, const struct node *n, uint64_t kind,
                    struct rc_str rest)
{
    struct rc_item to = rc_item_next(&rest), name = rc_item_next(&rest),
                   label = rc_item_next(&rest), bytes = rc_item_next(&rest);
    struct rc_msg msg = {.type = RC_MSG_PEER, .count = (uint32_t)kind};
    struct rc_buf key = RC_BUF_INIT;
    const struct rc_nsp *nsp;
    uint64_t hash;

    if (to.kind != RC_ITEM_UINT || name.kind != RC_ITEM_STR || label.kind != RC_ITEM_STR ||
        bytes.kind != RC_ITEM_BIN || kind > UINT32_MAX) {
        rc_cluster_count(&c->count.bad, 1);
        return;
    }
    if (to.v.u != 0 && to.v.u != c->nonce)
        return;
    nsp = rc_bus_nsp(c->app, name.bytes);
    if (nsp == NULL) {
        rc_cluster_count(&c->count.unknown, 1);
        return;
    }
    rc_bus_put_key(nsp, name.bytes, label.bytes, &key);
    hash = rc_space_app_hash(c->app, nsp->index, rc_buf_str(&key));
    msg.u.peer.number = n->peer.number;
    msg.u.peer.pub =
        rc_pub_new(nsp->index, rc_buf_str(&key), hash, bytes.bytes.p, bytes.bytes.len);
    if (key.len != 0)
        post(c, rc_room_owner_of(c->nshards, hash), &msg);
    else
        post_all(c, &msg);
    rc_pub_unref(&msg.u.peer.pub);
    rc_buf_deinit(&key);
}

void rc_nodes_take(struct rc_cluster *c, struct rc_str rest)
{
    struct rc_item head = rc_item_next(&rest), version = rc_item_next(&rest),
                   id = rc_item_next(&rest), nonce = rc_item_next(&rest),
                   what = rc_item_next(&rest);
    struct node *n;

    if (head.kind != RC_ITEM_ARRAY || head.n < HEAD_ITEMS || version.kind != RC_ITEM_UINT ||
        version.v.u != VERSION || id.kind != RC_ITEM_STR || id.bytes.len == 0 ||
        id.bytes.len >= RC_PEER_ID || memchr(id.bytes.p, '\0', id.bytes.len) != NULL ||
        nonce.kind != RC_ITEM_UINT) {
        rc_cluster_count(&c->count.bad, 1);
        return;
    }
    if (nonce.v.u == c->nonce)
        return;
    n = find(c, id.bytes);
    if (what.kind == RC_ITEM_STR && rc_str_eq(what.bytes, RC_STR("here")))
        on_here(c, id.bytes, nonce.v.u, rest);
    else if (n == NULL || n->nonce != nonce.v.u)
        return;
    else if (what.kind == RC_ITEM_UINT)
        on_tell(c, n, what.v.u, rest);
    else if (what.kind == RC_ITEM_STR && rc_str_eq(what.bytes, RC_STR("bye")))
        forget(c, n, "has ended");
}

unsigned rc_nodes_list(void *cluster, struct rc_cluster_node *to)
{
    struct rc_cluster *c = cluster;
    uint64_t now = rc_clock_ms();
    unsigned count = 0;

    (void)pthread_mutex_lock(&c->nodes_lock);
    for (struct rc_list *l = c->nodes.next; l != &c->nodes; l = l->next) {
        const struct node *n = RC_CONTAINER(l, struct node, link);

        memcpy(to[count].id, n->peer.id, sizeof(to->id));
        memcpy(to[count].address, n->peer.address, sizeof(to->address));
        to[count++].here_ms = now - n->since_ms;
    }
    (void)pthread_mutex_unlock(&c->nodes_lock);
    return count;
}

/* ---- beats ---- */

static void hear_all(struct rc_cluster *c, uint64_t now_ms)
{
    for (struct rc_list *l = c->nodes.next; l != &c->nodes; l = l->next)
        RC_CONTAINER(l, struct node, link)->heard_ms = now_ms;
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    struct rc_cluster *c = arg;
    uint64_t now = rc_clock_ms(), lease = c->conf->cluster_lease;
    /* Or this process stood still, or Redis does: it hears itself each beat. Or the others need longer than it to
     * come back to Redis. */
    bool deaf = c->was_deaf || now - c->beat_ms > lease / 2 ||
                rc_link_silence_ms(c->link) > lease / 2 || now < c->rejoin_end_ms;

    (void)fd;
    (void)what;
    c->beat_ms = now;
    c->was_deaf = !rc_link_is_up(c->link);
    if (deaf)
        hear_all(c, now);
    if (c->was_deaf)
        return;
    say_here(c, false);
    for (struct rc_list *l = c->nodes.next, *next; l != &c->nodes; l = next) {
        struct node *n = RC_CONTAINER(l, struct node, link);

        next = l->next;
        if (now - n->heard_ms > lease)
            forget(c, n, "was not heard for cluster.lease");
    }
}

void rc_nodes_deaf(struct rc_cluster *c)
{
    c->was_deaf = true;
}

void rc_nodes_up(struct rc_cluster *c)
{
    struct rc_msg again = {.type = RC_MSG_PEER_AGAIN};
    uint64_t now = rc_clock_ms();

    hear_all(c, now);
    say_here(c, true);
    if (c->was_up) {
        c->rejoin_end_ms = now + c->conf->cluster_rejoin_wait;
        post_all(c, &again);
    }
    c->was_up = true;
}

/* ---- life ---- */

int rc_nodes_init(struct rc_cluster *c)
{
    uint32_t ms = c->conf->cluster_lease / BEATS;
    const struct timeval t = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};

    rc_list_init(&c->nodes);
    (void)pthread_mutex_init(&c->nodes_lock, NULL);
    do
        rc_random(&c->nonce, sizeof(c->nonce));
    while (c->nonce == 0);
    rc_random(c->token, sizeof(c->token));
    draw_tag(c);
    rc_buf_putz(&c->own_channel, c->conf->cluster_prefix);
    rc_buf_putz(&c->own_channel, "-roomcast#");
    c->beat_ms = rc_clock_ms();
    c->beat = event_new(c->base, -1, EV_PERSIST, on_beat, c);
    return c->beat != NULL && event_add(c->beat, &t) == 0 ? RC_OK : RC_ENOMEM;
}

void rc_nodes_deinit(struct rc_cluster *c)
{
    if (c->beat == NULL)
        return;
    for (struct rc_list *l = c->nodes.next, *next; l != &c->nodes; l = next) {
        next = l->next;
        free(RC_CONTAINER(l, struct node, link));
    }
    (void)pthread_mutex_destroy(&c->nodes_lock);
    event_free(c->beat);
    rc_buf_deinit(&c->own_channel);
}

/* union.c - publications to several rooms: through one owner, or in one order through several. */
#include "rc/broker/union.h"

#include "rc/broker/ask.h"
#include "rc/broker/audience.h"
#include "rc/broker/bus.h"
#include "rc/broker/lane.h"
#include "rc/broker/room.h"
#include "rc/broker/shard.h"

enum { SEQUENCER = RC_UNION_SEQUENCER };

_Static_assert((int)RC_MESH_MAX_SHARDS <= 64, "sets of shards are 64 bits");

static uint64_t bit(unsigned shard)
{
    return (uint64_t)1 << shard;
}

static bool is_room(const struct rc_audience_part *p)
{
    return p->len != 0;
}

static uint64_t owners_of(unsigned nshards, uint16_t nsp, const struct rc_audience *a)
{
    uint64_t owners = 0;

    if (a->all)
        return bit(rc_room_owner_of(nshards, rc_room_hash(nsp, RC_STR_NONE)));
    for (uint32_t i = 0; i < a->nto; i++)
        if (is_room(&a->part[i]))
            owners |= bit(rc_room_owner_of(nshards, a->part[i].key));
    return owners;
}

/* All that have a say in its place. */
static uint64_t orderers_of(unsigned nshards, const struct rc_pub *pub)
{
    uint64_t owners = owners_of(nshards, pub->nsp, pub->audience);

    if (pub->order != 0)
        return UINT64_MAX >> (64 - nshards);
    return pub->from_bus ? owners | bit(SEQUENCER) : owners;
}

bool rc_union_needs_order(unsigned nshards, const struct rc_pub *pub)
{
    return orderers_of(nshards, pub) != bit(SEQUENCER);
}

int rc_union_route(const struct rc_shard *sh, uint16_t nsp, const struct rc_audience *a)
{
    uint64_t owners = owners_of(sh->nshards, nsp, a);

    if (owners == 0) /* sockets alone: as any message to a socket, straight from here */
        return (int)sh->index;
    if ((owners & (owners - 1)) != 0)
        return RC_UNION_OWNERS;
    return __builtin_ctzll(owners);
}

/* ---- through one shard ---- */

/* The shards that have somebody in the audience. */
RC_ON_SHARD static uint64_t shards_of(struct rc_shard *sh, const struct rc_pub *pub)
{
    const struct rc_audience *a = pub->audience;
    uint64_t shards = 0;

    for (uint32_t i = 0; i < a->nto; i++) {
        const struct rc_audience_part *p = &a->part[i];

        if (is_room(p))
            shards |= rc_room_sequence(sh, pub->nsp, rc_audience_name(a, p), p->key);
        else if (rc_id_shard(p->key) < sh->nshards)
            shards |= bit(rc_id_shard(p->key));
    }
    if (a->all || pub->order != 0)
        shards = UINT64_MAX >> (64 - sh->nshards);
    return shards;
}

void rc_union_spread(struct rc_shard *sh, struct rc_pub *pub)
{
    uint64_t shards = shards_of(sh, pub);
    struct rc_msg msg = {.type = RC_MSG_DELIVER};
    bool nodes;

    rc_stat_add(&sh->stats.published, 1);
    nodes = rc_bus_publish(sh, pub, 0);
    for (unsigned to = 0; to < sh->nshards; to++) {
        if ((shards & bit(to)) == 0)
            continue;
        if (rc_shard_is_here(sh, to)) {
            rc_audience_deliver(sh, pub);
            continue;
        }
        msg.u.deliver.pub = rc_pub_ref(pub);
        rc_shard_post(sh, to, &msg);
    }
    if (pub->ask != 0)
        rc_ask_put(sh, pub->ask, (uint32_t)__builtin_popcountll(shards), nodes);
    rc_pub_unref(&pub);
}

/* ---- through several ---- */

/* An owner: what the sequencer says comes here in the order of its rooms. */
RC_ON_SHARD static void take_order(struct rc_shard *sh, const struct rc_msg *order)
{
    const struct rc_pub *pub = order->u.unite.pub;
    const struct rc_audience *a = pub->audience;
    struct rc_msg part = *order;

    for (uint32_t i = 0; i < a->nto; i++)
        if (is_room(&a->part[i]) && rc_room_owner(sh, a->part[i].key) == sh->index)
            (void)rc_room_sequence(sh, pub->nsp, rc_audience_name(a, &a->part[i]),
                                   a->part[i].key);
    part.type = RC_MSG_UNION_PART;
    /* To this shard itself by a ring, too: it may have to rest there. */
    for (unsigned to = 0; to < sh->nshards; to++) {
        part.u.unite.pub = rc_pub_ref(order->u.unite.pub);
        rc_shard_post(sh, to, &part);
    }
}

RC_ON_SHARD static void sequence(struct rc_shard *sh, const struct rc_msg *request)
{
    struct rc_pub *pub = request->u.unite.pub;
    uint64_t owners = orderers_of(sh->nshards, pub);
    struct rc_msg order = *request;
    bool nodes;

    RC_ASSERT(sh->index == SEQUENCER);
    rc_stat_add(&sh->stats.published, 1);
    rc_stat_add(&sh->stats.unions, 1);
    nodes = rc_bus_publish(sh, pub, 0);
    order.type = RC_MSG_UNION_ORDER;
    order.count = (uint32_t)__builtin_popcountll(owners);
    order.u.unite.number = ++sh->union_number;
    for (unsigned to = 0; to < sh->nshards; to++) {
        if ((owners & bit(to)) == 0)
            continue;
        if (to == sh->index) {
            take_order(sh, &order);
            continue;
        }
        order.u.unite.pub = rc_pub_ref(pub);
        rc_shard_post(sh, to, &order);
    }
    if (pub->ask != 0)
        rc_ask_put(sh, pub->ask, sh->nshards, nodes);
}

/* Forgets that the results of `from` rest at a part of a union. */
RC_ON_SHARD static void let_pass(struct rc_shard *sh, unsigned from)
{
    sh->union_at[from] = 0;
    rc_mesh_pass(sh->mesh, sh->index, from);
}

/* How many owners' results rest here at their part of this union. */
static uint32_t resting(const struct rc_shard *sh, uint64_t number)
{
    uint32_t n = 0;

    for (unsigned from = 0; from < sh->nshards; from++)
        n += sh->union_at[from] == number;
    return n;
}

RC_ON_SHARD static void take_part(struct rc_shard *sh, struct rc_msg *msg)
{
    struct rc_msg done = {.type = RC_MSG_FENCE_ACK, .u.fence.session = msg->u.unite.session};
    uint64_t number = msg->u.unite.number;

    if (sh->stopping) { /* nobody is here to get it, and an owner may have ended */
        rc_pub_unref(&msg->u.unite.pub);
        return;
    }
    if (resting(sh, number) + 1 < msg->count) {
        sh->union_at[msg->from] = number;
        rc_mesh_hold(sh->mesh, sh->index, msg->from);
        return;
    }
    /* The last: here, what the owners did before is done, and nothing of what they did after. */
    rc_audience_deliver(sh, msg->u.unite.pub);
    rc_pub_unref(&msg->u.unite.pub);
    for (unsigned from = 0; from < sh->nshards; from++)
        if (sh->union_at[from] == number)
            let_pass(sh, from);
    if (done.u.fence.session == 0) /* another node's */
        return;
    if (rc_id_shard(done.u.fence.session) == sh->index)
        rc_lane_fence_ack(sh, done.u.fence.session);
    else
        rc_shard_post(sh, rc_id_shard(done.u.fence.session), &done);
}

void rc_union_mail(struct rc_shard *sh, struct rc_msg *msg)
{
    switch ((int)msg->type) {
    case RC_MSG_UNION: sequence(sh, msg); break;
    case RC_MSG_UNION_ORDER: take_order(sh, msg); break;
    case RC_MSG_UNION_PART: take_part(sh, msg); return;
    default: RC_ASSERT(false);
    }
    rc_pub_unref(&msg->u.unite.pub);
}

void rc_union_stop(struct rc_shard *sh)
{
    for (unsigned from = 0; from < sh->nshards; from++)
        if (sh->union_at[from] != 0)
            let_pass(sh, from);
}

/* ---- from a rule ---- */

RC_ON_SHARD static void post(struct rc_shard *sh, unsigned to, struct rc_msg *msg)
{
    if (to == sh->index)
        rc_union_mail(sh, msg);
    else
        rc_shard_post(sh, to, msg);
}

void rc_union_publish(struct rc_shard *sh, struct rc_session *from, struct rc_pub *pub,
                      int route)
{
    struct rc_msg msg = {.type = RC_MSG_PUBLISH};

    if (route == RC_UNION_OWNERS) {
        msg.type = RC_MSG_UNION;
        msg.u.unite.session = rc_session_id(sh, from);
        msg.u.unite.pub = pub;
        rc_lane_await(sh, from);
        post(sh, SEQUENCER, &msg);
    } else if (route != (int)sh->index) {
        msg.u.deliver.pub = pub;
        rc_shard_post(sh, (unsigned)route, &msg);
        rc_lane_mark(sh, from);
        return;
    } else {
        rc_union_spread(sh, pub);
    }
    if (rc_mesh_spilling(sh->mesh, sh->index))
        rc_session_pause(sh, from, RC_PAUSE_RING);
}

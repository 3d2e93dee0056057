/* room.c - the owner of a room gives everything that happens in it one order. */
#include "rc/broker/room.h"

#include "rc/base/hash.h"
#include "rc/base/mem.h"
#include "rc/broker/ask.h"
#include "rc/broker/bus.h"
#include "rc/broker/inbox.h"
#include "rc/broker/lane.h"
#include "rc/broker/presence.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"
#include "rc/broker/space.h"
#include "rc/broker/union.h"

#include <stdlib.h>

uint64_t rc_room_hash(uint16_t nsp, struct rc_str name)
{
    return rc_hash(name.p, name.len, nsp);
}

unsigned rc_room_owner_of(unsigned nshards, uint64_t hash)
{
    /* The high bits: the low ones choose the slot in the owner's table. */
    return (unsigned)((hash >> 32) % nshards);
}

unsigned rc_room_owner(const struct rc_shard *sh, uint64_t hash)
{
    return rc_room_owner_of(sh->nshards, hash);
}

bool rc_room_eq(const void *room, const void *key)
{
    const struct rc_room *r = room;
    const struct rc_room_key *k = key;

    return r->nsp == k->nsp && rc_str_eq(rc_str_make(r->name, r->name_len), k->name);
}

struct rc_room *rc_room_find(struct rc_shard *sh, uint16_t nsp, struct rc_str name,
                             uint64_t hash)
{
    struct rc_room_key key = {.name = name, .nsp = nsp};

    return rc_hmap_find(&sh->room_by_name, hash, rc_room_eq, &key);
}

RC_ON_SHARD static struct rc_room *find(struct rc_shard *sh, const struct rc_pub *name)
{
    return rc_room_find(sh, name->nsp, rc_pub_room(name), name->hash);
}

RC_ON_SHARD static struct rc_room *find_or_new(struct rc_shard *sh, const struct rc_pub *name)
{
    struct rc_room *r = find(sh, name);
    struct rc_str text = rc_pub_room(name);

    if (r != NULL)
        return r;
    r = rc_malloc(sizeof(*r) + text.len);
    *r = (struct rc_room){.hash = name->hash, .nsp = name->nsp, .name_len = (uint32_t)text.len};
    memcpy(r->name, text.p, text.len);
    rc_hmap_insert(&sh->room_by_name, r->hash, r);
    if (sh->app->nsp[r->nsp].is_pattern)
        rc_space_add(sh, r);
    r->presence = rc_presence_begin(sh, r);
    rc_stat_add(&sh->stats.rooms, 1);
    return r;
}

void rc_room_free(struct rc_room *r)
{
    rc_inbox_free(r->inbox);
    free(r->shard);
    free(r);
}

void rc_room_drop_if_empty(struct rc_shard *sh, struct rc_room *r)
{
    if (r->members != 0 || r->changed)
        return;
    rc_hmap_remove(&sh->room_by_name, r->hash, r);
    if (r->space != NULL)
        rc_space_remove(sh, r);
    rc_stat_add(&sh->stats.rooms, -1);
    rc_presence_end(sh, r->presence);
    rc_room_free(r);
}

static struct rc_room_shard *shard_of(struct rc_room *r, unsigned shard)
{
    for (unsigned i = 0; i < r->nshards; i++)
        if (r->shard[i].shard == shard)
            return &r->shard[i];
    return NULL;
}

static struct rc_room_shard *add_shard(struct rc_room *r, unsigned shard)
{
    if (r->nshards == r->shards_cap) {
        r->shards_cap = (uint8_t)(r->shards_cap != 0 ? r->shards_cap * 2 : 1);
        r->shard = rc_realloc(r->shard, r->shards_cap * sizeof(*r->shard));
    }
    r->shard[r->nshards] = (struct rc_room_shard){.shard = (uint8_t)shard};
    return &r->shard[r->nshards++];
}

RC_ON_SHARD static void answer(struct rc_shard *sh, unsigned to, enum rc_msg_type type,
                               rc_id lroom, rc_id socket)
{
    struct rc_msg msg = {.type = (uint8_t)type};

    if (socket == 0)
        return;
    if (rc_shard_is_here(sh, to)) {
        if (type == RC_MSG_JOINED)
            rc_local_joined(sh, lroom, socket);
        else
            rc_local_left(sh, lroom, socket);
        return;
    }
    msg.u.member.lroom = lroom;
    msg.u.member.socket = socket;
    rc_shard_post(sh, to, &msg);
}

/* Tells the directory what it has to know of a room's members. */
RC_ON_SHARD static void note(struct rc_shard *sh, struct rc_room *r, rc_id joined)
{
    struct rc_str label = rc_space_label(sh, r->nsp, rc_str_make(r->name, r->name_len));

    if (label.len == 0) /* all sockets of a dynamic namespace */
        return;
    if (!rc_space_is_hidden(label))
        rc_directory_changed(sh, r);
    else if (rc_str_eq(label, RC_DIRECTORY_ROOM) && (joined != 0 || r->members == 0))
        rc_directory_watched(sh, r, joined);
}

void rc_room_join(struct rc_shard *sh, unsigned from, const struct rc_msg_member *m)
{
    struct rc_room *r = find_or_new(sh, m->room);
    struct rc_room_shard *at = shard_of(r, from);

    if (at == NULL) {
        at = add_shard(r, from);
        at->since = rc_inbox_last(r);
    }
    at->lroom = m->lroom; /* the latest: a shard may have freed and made it again */
    at->count++;
    r->members++;
    answer(sh, from, RC_MSG_JOINED, m->lroom, m->socket);
    rc_inbox_joined(sh, r);
    note(sh, r, m->socket);
    /* A reload may have come between the two shards' looks at the section. */
    if (m->user != NULL && r->presence != NULL)
        rc_presence_enter(sh, r->presence, rc_pub_data(m->user));
}

void rc_room_leave(struct rc_shard *sh, unsigned from, const struct rc_msg_member *m)
{
    struct rc_room *r = find(sh, m->room);
    struct rc_room_shard *at = r != NULL ? shard_of(r, from) : NULL;

    RC_ASSERT(at != NULL); /* a shard leaves what it joined, in order */
    r->members--;
    if (--at->count == 0)
        *at = r->shard[--r->nshards];
    answer(sh, from, RC_MSG_LEFT, m->lroom, m->socket);
    rc_inbox_left(sh, r, m->seen);
    note(sh, r, 0);
    if (m->user != NULL && r->presence != NULL)
        rc_presence_leave(sh, r->presence, rc_pub_data(m->user));
    rc_room_drop_if_empty(sh, r);
}

RC_ON_SHARD static void deliver(struct rc_shard *sh, unsigned to, rc_id lroom,
                                struct rc_pub *pub, rc_id except)
{
    struct rc_msg msg = {.type = RC_MSG_DELIVER};

    if (rc_shard_is_here(sh, to)) {
        rc_local_deliver(sh, lroom, pub, except);
        return;
    }
    msg.u.deliver.lroom = lroom;
    msg.u.deliver.except = except;
    msg.u.deliver.pub = rc_pub_ref(pub);
    rc_shard_post(sh, to, &msg);
}

void rc_room_hand_out(struct rc_shard *sh, struct rc_room *r, struct rc_pub *pub, rc_id except)
{
    r->seq++;
    for (unsigned i = 0; i < r->nshards; i++)
        deliver(sh, r->shard[i].shard, r->shard[i].lroom, pub, except);
}

void rc_room_publish(struct rc_shard *sh, struct rc_pub *pub, rc_id except)
{
    struct rc_room *r;

    uint32_t reached = 0;
    bool nodes;

    if (pub->audience != NULL) {
        rc_union_spread(sh, pub);
        return;
    }
    rc_stat_add(&sh->stats.published, 1);
    nodes = rc_bus_publish(sh, pub, except);
    if (pub->room_len == 0) { /* every shard has the list of all sockets */
        for (unsigned to = 0; to < sh->nshards; to++)
            deliver(sh, to, 0, pub, except);
        reached = sh->nshards;
    } else if ((r = find(sh, pub)) != NULL) {
        rc_room_hand_out(sh, r, pub, except);
        reached = r->nshards;
    }
    if (pub->ask != 0)
        rc_ask_put(sh, pub->ask, reached, nodes);
    rc_pub_unref(&pub);
}

uint64_t rc_room_sequence(struct rc_shard *sh, uint16_t nsp, struct rc_str name, uint64_t hash)
{
    struct rc_room *r = rc_room_find(sh, nsp, name, hash);
    uint64_t shards = 0;

    if (r == NULL)
        return 0;
    r->seq++;
    for (unsigned i = 0; i < r->nshards; i++)
        shards |= (uint64_t)1 << r->shard[i].shard;
    return shards;
}

void rc_publish(struct rc_shard *sh, struct rc_session *from, struct rc_pub *pub, rc_id except)
{
    unsigned owner = rc_room_owner(sh, pub->hash);
    struct rc_msg msg = {.type = RC_MSG_PUBLISH};

    if (owner == sh->index) {
        rc_room_publish(sh, pub, except);
        if (rc_mesh_spilling(sh->mesh, sh->index))
            rc_session_pause(sh, from, RC_PAUSE_RING);
        return;
    }
    msg.u.deliver.except = except;
    msg.u.deliver.pub = pub;
    rc_shard_post(sh, owner, &msg);
    rc_lane_mark(sh, from);
}

void rc_send_to_socket(struct rc_shard *sh, struct rc_session *from,
                       const struct rc_address *to, struct rc_pub *pub)
{
    struct rc_msg msg = {.type = to->is_session ? RC_MSG_TO_SOCKET_OF : RC_MSG_TO_SOCKET};

    if (rc_shard_is_here(sh, rc_id_shard(to->id))) {
        if (to->is_session)
            rc_socket_deliver_of(sh, to->id, pub);
        else
            rc_socket_deliver(sh, to->id, pub);
        return;
    }
    msg.u.direct.to = to->id;
    msg.u.direct.pub = pub;
    rc_shard_post(sh, rc_id_shard(to->id), &msg);
    if (rc_mesh_spilling(sh->mesh, sh->index))
        rc_session_pause(sh, from, RC_PAUSE_RING);
}

/*
 * presence_int.h - the presences of a shard: presence.c tells members, presence_peers.c other nodes.
 *
 * Threads:   the shard.
 * Ownership: presence.c makes and frees it.
 */
#ifndef RC_BROKER_PRESENCE_INT_H
#define RC_BROKER_PRESENCE_INT_H

#include "rc/base/hmap.h"
#include "rc/broker/presence.h"
#include "rc/broker/shard.h"
#include "rc/broker/told.h"

/* Of a room that somebody is in, on whatever node. */
struct rc_presence {
    struct rc_roster roster;
    struct rc_timer tell;   /* runs while there are changes */
    struct rc_timerq *held; /* of users who may come back */
    struct rc_room *room;   /* NULL: nobody here is in it */
    uint64_t hash;
    uint16_t nsp;
    uint32_t len;
    char key[]; /* of the room */
};

/* Those with one hold time. There are as many as the configuration has ever named. */
struct rc_held {
    struct rc_timerq q;
    struct rc_held *next;
};

struct rc_presences {
    struct rc_hmap by_key; /* of rc_presence */
    uint32_t nremote;      /* of them without a room here */
    struct rc_timerq q_tell;
    struct rc_held *held;
    bool kept; /* the configuration keeps some */

    /* What others are told, see presence_peers.c. */
    struct rc_roster_share share;
    struct rc_teller teller;
    struct rc_buf late; /* records of rooms that have ended since */
    struct rc_buf out;
    struct rc_timerq q_share;
    struct rc_timer share_timer; /* runs while there is something to tell */
    struct rc_roster_walk walk;
    bool walking, wanted;      /* an announcement: is under way; another one is asked for */
    uint32_t walk_to, want_to; /* number of the node, 0: all */
    struct rc_timerq q_walk;
    struct rc_timer walk_timer;

    /* What they tell. */
    struct rc_list nodes;  /* of those that have told something, or are asked to */
    struct rc_list sweeps; /* of streams with users that are out of date */
    struct rc_timerq q_sweep, q_ask;
    struct rc_timer sweep_timer, ask_timer;
};

/* NULL: nobody is known to be in the room. */
struct rc_presence *rc_presence_find(const struct rc_shard *sh, uint16_t nsp, struct rc_str key,
                                     uint64_t hash);
/* The same, made if need be; NULL when no presence is kept there. */
struct rc_presence *rc_presence_find_or_new(struct rc_shard *sh, uint16_t nsp,
                                            struct rc_str key, uint64_t hash) RC_ON_SHARD;
/* The name of the namespace that it is in, and of the room. */
struct rc_str rc_presence_space(const struct rc_shard *sh, const struct rc_presence *p);
struct rc_str rc_presence_label(const struct rc_shard *sh, const struct rc_presence *p);
/* Something of it has changed: members are told soon. */
void rc_presence_changed(struct rc_shard *sh, struct rc_presence *p) RC_ON_SHARD;
/* Frees one that nobody is in. */
void rc_presence_drop_if_empty(struct rc_shard *sh, struct rc_presence *p) RC_ON_SHARD;

/* ---- presence_peers.c ---- */

/* Users of ours have come or gone: others are told soon. */
void rc_presence_share(struct rc_shard *sh) RC_ON_SHARD;
/* The same before p is freed. */
void rc_presence_share_last(struct rc_shard *sh, struct rc_presence *p) RC_ON_SHARD;
void rc_presence_peers_init(struct rc_shard *sh);
/* When there are no presences any more. */
void rc_presence_peers_deinit(struct rc_shard *sh);

#endif /* RC_BROKER_PRESENCE_INT_H */

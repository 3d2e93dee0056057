/*
 * room.h - rooms: the owner's side (order, who has members) and each shard's members.
 *
 * A room belongs to one shard, by keyed hash of (namespace, name). That owner sees every join,
 * leave and publication in one order and answers them in that order, so all members agree on
 * it: a member's place in the order is between its JOINED and its LEFT.
 *
 *   sender's shard ──PUBLISH──> owner (room.c) ──DELIVER──> shards with members (local.c)
 *   member's shard ──JOIN─────> owner          ──JOINED───> member's shard
 *
 * Threads:   struct rc_room: the owner shard.  struct rc_lroom: the member shard.
 * Ownership: pools of the shard. Others name an rc_lroom by its id.
 */
#ifndef RC_BROKER_ROOM_H
#define RC_BROKER_ROOM_H

#include "rc/base/pool.h"
#include "rc/base/thread.h"
#include "rc/broker/peers.h"
#include "rc/broker/session.h"

#include <stdbool.h>
#include <stdint.h>

struct rc_address; /* see socket.h */
struct rc_inbox;   /* see inbox.h */
struct rc_msg_member;
struct rc_presence;
struct rc_shard;
struct rc_space;

/* ---- owner side: room.c ---- */

struct rc_room_shard {
    rc_id lroom; /* of that shard */
    uint64_t
        since; /* of a user's room: stored messages up to this are others' to get, see inbox.h */
    uint32_t count; /* its members */
    uint8_t shard;
    bool behind; /* a page of what was missed has not left its queues, see inbox.h */
};

struct rc_room {
    uint64_t hash;
    uint64_t seq; /* publications so far */
    uint32_t members;
    uint32_t told; /* members when the room list was last told */
    uint16_t nsp;
    uint8_t nshards, shards_cap;
    bool changed;                 /* in the shard's list of rooms to tell about */
    struct rc_room_shard *shard;  /* [nshards], those with members */
    struct rc_space *space;       /* the dynamic namespace; or NULL */
    struct rc_inbox *inbox;       /* of a user's room; or NULL */
    struct rc_presence *presence; /* or NULL */
    uint32_t name_len;
    char name[]; /* its key, see space.h */
};

/* In namespaces that are not dynamic; see rc_space_hash(). */
uint64_t rc_room_hash(uint16_t nsp, struct rc_str name);
unsigned rc_room_owner(const struct rc_shard *sh, uint64_t hash);
/* The same for any thread. */
unsigned rc_room_owner_of(unsigned nshards, uint64_t hash);
/* What the owner does when that shard asks for it. Borrows what m owns. */
void rc_room_join(struct rc_shard *sh, unsigned from,
                  const struct rc_msg_member *m) RC_ON_SHARD;
void rc_room_leave(struct rc_shard *sh, unsigned from,
                   const struct rc_msg_member *m) RC_ON_SHARD;
/* A room that is owned here, or NULL. */
struct rc_room *rc_room_find(struct rc_shard *sh, uint16_t nsp, struct rc_str name,
                             uint64_t hash) RC_ON_SHARD;
/* To its members, in its order. Borrows pub. */
void rc_room_hand_out(struct rc_shard *sh, struct rc_room *r, struct rc_pub *pub,
                      rc_id except) RC_ON_SHARD;
/* Takes over pub. */
void rc_room_publish(struct rc_shard *sh, struct rc_pub *pub, rc_id except) RC_ON_SHARD;
/* A publication to that room and others takes its place in the room's order. Returns the shards
 * with members, a bit each. */
uint64_t rc_room_sequence(struct rc_shard *sh, uint16_t nsp, struct rc_str name,
                          uint64_t hash) RC_ON_SHARD;
/* Frees a room that is empty, once the room list has been told so. */
void rc_room_drop_if_empty(struct rc_shard *sh, struct rc_room *r) RC_ON_SHARD;
void rc_room_free(struct rc_room *r);
bool rc_room_eq(const void *room, const void *key);
struct rc_room_key {
    struct rc_str name;
    uint16_t nsp;
};

/* ---- member side: local.c ---- */

struct rc_lmember {
    struct rc_session *session;
    struct rc_socket *socket;
};

struct rc_lroom {
    struct rc_pooled hdr;
    struct rc_lmember *member; /* [n], in no order */
    uint32_t n, cap;
    uint32_t refs;       /* rc_member records of sockets here */
    struct rc_pub *name; /* names it; NULL: all sockets of a namespace */
    unsigned owner;
    bool cursor_moved; /* since it was stored */
    bool presence;     /* its owner is told whose sockets they are */
    uint64_t seen;     /* of a user's room: last stored message that members got, see inbox.h */
};

/* What a socket asks for; rooms are named by their keys. RC_OK; RC_ELIMIT with *why the key. Requests go to the owner; the
 * caller has entered its lane. join and leave are no-ops when that is the state already. */
int rc_local_join(struct rc_shard *sh, struct rc_socket *k, struct rc_str name,
                  const char **why) RC_ON_SHARD;
void rc_local_leave(struct rc_shard *sh, struct rc_socket *k, struct rc_str name) RC_ON_SHARD;
/* Has the socket asked to be in that room, and not to leave since? */
bool rc_local_is_member(struct rc_shard *sh, const struct rc_socket *k,
                        struct rc_str name) RC_ON_SHARD;
/* Its members here, if it is known. */
const struct rc_lroom *rc_local_room(struct rc_shard *sh, uint16_t nsp, struct rc_str name,
                                     uint64_t hash) RC_ON_SHARD;
/* Makes room for the socket in the room of all sockets of a dynamic namespace, whose key that is,
 * and which it is to join before all others. RC_OK; RC_ELIMIT with *why the key. */
int rc_local_reserve(struct rc_shard *sh, struct rc_socket *k, struct rc_str home,
                     const char **why) RC_ON_SHARD;
/* Makes room for a socket that has a user in the room of that user's devices, whose key that is: it can
 * join then. RC_OK; RC_ELIMIT with *why the key. */
int rc_local_reserve_user(struct rc_shard *sh, struct rc_socket *k, struct rc_str key,
                          const char **why) RC_ON_SHARD;
/* Joins the list of all sockets of its namespace; at CONNECT. */
void rc_local_enter_all(struct rc_shard *sh, struct rc_socket *k) RC_ON_SHARD;
/* The socket is gone: leaves everything. */
void rc_local_leave_everything(struct rc_shard *sh, struct rc_socket *k) RC_ON_SHARD;
/* What owners answer. */
void rc_local_joined(struct rc_shard *sh, rc_id lroom, rc_id socket) RC_ON_SHARD;
void rc_local_left(struct rc_shard *sh, rc_id lroom, rc_id socket) RC_ON_SHARD;
/* Hands pub to the members here (lroom 0: to all sockets of pub's namespace). Borrows pub. */
void rc_local_deliver(struct rc_shard *sh, rc_id lroom, struct rc_pub *pub,
                      rc_id except) RC_ON_SHARD;

/* The batch: publications to one room that came one after the other in a turn are handed to its
 * members together. Distributes what waits; before anything else may be queued to a member. */
void rc_batch_distribute(struct rc_shard *sh) RC_ON_SHARD;
/* The same if the session has a member in the waiting batch's room. */
void rc_batch_before(struct rc_shard *sh, const struct rc_session *s) RC_ON_SHARD;

/* ---- room.c: from a sender to the owner ---- */

/* Publishes to a room (empty: all sockets of the namespace). Takes over pub. The caller has
 * entered the owner's lane. */
void rc_publish(struct rc_shard *sh, struct rc_session *from, struct rc_pub *pub,
                rc_id except) RC_ON_SHARD;
/* Sends to one socket by id, on whatever shard. Takes over pub. */
void rc_send_to_socket(struct rc_shard *sh, struct rc_session *from,
                       const struct rc_address *to, struct rc_pub *pub) RC_ON_SHARD;

/* ---- directory.c: the live list of rooms ---- */

/* Name of the room whose members watch the list; no client can name it. */
#define RC_DIRECTORY_ROOM RC_STR("\001rooms")
/* The owner of a room: its count has changed. */
void rc_directory_changed(struct rc_shard *sh, struct rc_room *r) RC_ON_SHARD;
/* The owner of the watchers' room: a watcher came (socket), or the last one went (members 0). */
void rc_directory_watched(struct rc_shard *sh, struct rc_room *r, rc_id socket) RC_ON_SHARD;
/* A shard asks for the rooms of a namespace; epoch 0: it no longer wants them. */
void rc_directory_tell(struct rc_shard *sh, unsigned to, uint16_t nsp,
                       uint32_t epoch) RC_ON_SHARD;
/* Changed rooms from a shard. */
void rc_directory_learn(struct rc_shard *sh, const struct rc_pub *rooms) RC_ON_SHARD;
/* A dynamic namespace begins, which somebody on another node may watch; or it ends. */
void rc_directory_space(struct rc_shard *sh, struct rc_space *space, uint16_t nsp) RC_ON_SHARD;
void rc_directory_forget(struct rc_shard *sh, struct rc_space *space) RC_ON_SHARD;

/* ---- directory_peers.c: the lists of other nodes ---- */

/* RC_PEER_ROOMS: what the keeper of a list there has; RC_PEER_ROOMS_ASK: it wants to know what is here. */
void rc_directory_peer(struct rc_shard *sh, enum rc_peer_kind kind, uint32_t number,
                       const struct rc_pub *told) RC_ON_SHARD;
/* A node has come, or has gone; the bus is back. */
void rc_directory_peer_here(struct rc_shard *sh, uint32_t number) RC_ON_SHARD;
void rc_directory_peer_gone(struct rc_shard *sh, uint32_t number) RC_ON_SHARD;
void rc_directory_peers_again(struct rc_shard *sh) RC_ON_SHARD;

/* ---- life ---- */

void rc_directory_init(struct rc_shard *sh);
/* There are that many namespaces now. */
void rc_directory_grow(struct rc_shard *sh, unsigned nnsps);
void rc_directory_deinit(struct rc_shard *sh);

#endif /* RC_BROKER_ROOM_H */

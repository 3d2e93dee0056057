/*
 * presence.h - telling the members of a room who is there, where the INI says so ([room] presence).
 *
 * The room's owner keeps its roster. Changes are told together, a moment after the first of them, as
 * one publication to the room, so that many that come at once cost one event, not one each. The
 * whole list is told to who asks for it, by the owner, as an answer behind all that it did before.
 *
 * Only users are known: sockets without a token are not. A room that is empty forgets all of it.
 *
 * The owner of a room tells those of other nodes which users it has, and hears which they have (told.h): so the
 * roster is the cluster's, and each node tells its own members. A room that only others have members of has a
 * presence without being a room. All that goes between two nodes is heard by every shard; each takes what
 * it owns.
 *
 * Threads:   the room's owner; is_kept and ask: the member's, or asker's, shard.
 * Ownership: a presence belongs to its shard; it ends when nobody is in the room any more.
 */
#ifndef RC_BROKER_PRESENCE_H
#define RC_BROKER_PRESENCE_H

#include "rc/base/thread.h"
#include "rc/broker/access.h"
#include "rc/broker/app.h"
#include "rc/broker/msg.h"
#include "rc/broker/peers.h"
#include "rc/broker/roster.h"
#include "rc/broker/session.h"

struct rc_presence;
struct rc_room;
struct rc_shard;

/* Does the owner of a room of that key tell who is there? */
bool rc_presence_is_kept(const struct rc_shard *sh, uint16_t nsp, struct rc_str key);

/* Of a new room; NULL when it has none. */
struct rc_presence *rc_presence_begin(struct rc_shard *sh, struct rc_room *r) RC_ON_SHARD;
/* The room is about to be freed. p may be NULL. */
void rc_presence_end(struct rc_shard *sh, struct rc_presence *p) RC_ON_SHARD;
/* A socket of that user was joined to the room, or left it. */
void rc_presence_enter(struct rc_shard *sh, struct rc_presence *p,
                       struct rc_str user) RC_ON_SHARD;
void rc_presence_leave(struct rc_shard *sh, struct rc_presence *p,
                       struct rc_str user) RC_ON_SHARD;

/* How the asker of a list wants it: as the acknowledgement with that id, or as an event. */
struct rc_presence_form {
    bool as_ack;
    uint64_t id;
};
/* Asks the owner of that room for the list, for the session. The caller has entered its lane. */
void rc_presence_ask(struct rc_shard *sh, struct rc_session *s, uint16_t nsp, struct rc_str key,
                     const struct rc_presence_form *form) RC_ON_SHARD;
/* RC_MSG_PRESENCE: answers it. Takes over what the message owns. */
void rc_presence_mail(struct rc_shard *sh, struct rc_msg *msg) RC_ON_SHARD;

/* ---- presence_peers.c ---- */

/* What a shard of another node tells, or asks: RC_PEER_PRESENCE, _ASK. */
void rc_presence_peer(struct rc_shard *sh, enum rc_peer_kind kind, uint32_t number,
                      struct rc_str bytes) RC_ON_SHARD;
/* A node has come, or has gone; the bus is back. */
void rc_presence_peer_here(struct rc_shard *sh, uint32_t number) RC_ON_SHARD;
void rc_presence_peer_gone(struct rc_shard *sh, uint32_t number) RC_ON_SHARD;
void rc_presence_peers_again(struct rc_shard *sh) RC_ON_SHARD;
/* Another configuration may keep the presence of other rooms. */
void rc_presence_renew(struct rc_shard *sh) RC_ON_SHARD;

void rc_presence_init(struct rc_shard *sh);
void rc_presence_deinit(struct rc_shard *sh);

#endif /* RC_BROKER_PRESENCE_H */

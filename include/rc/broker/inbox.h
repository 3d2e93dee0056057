/*
 * inbox.h - messages to users: handed to the rooms of their devices, in the order of the ids, and what
 * came while no device was there, when one comes.
 *
 * The owner of a user's room knows the last id that it has handed out. When the first device has joined
 * it asks the store for what was missed, page by page, and lets live messages pass by until it has the
 * last page: they are in one of these, for the store answers and posts in one order. The next page is
 * asked for when the last one has left the queues of all devices (INBOX_READY).
 *
 *   owner ──MISSED──> store ──MISSED──> owner ──DELIVER──> devices' shards ──INBOX_READY──> owner
 *
 * Devices' shards note the last id that went into a queue (rc_lroom.seen) and store it as the user's
 * cursor, once a second at most. A LEAVE tells the owner, which stores it when the last device has left,
 * before it could ask again.
 *
 * Threads:   rc_inbox_list: any. Others: the shard's; which, the comments say.
 * Ownership: an inbox belongs to its room.
 */
#ifndef RC_BROKER_INBOX_H
#define RC_BROKER_INBOX_H

#include "rc/base/buf.h"
#include "rc/base/thread.h"
#include "rc/broker/app.h"
#include "rc/broker/msg.h"
#include "rc/broker/room.h"

#include <stdbool.h>
#include <stdint.h>

struct rc_mesh;
struct rc_shard;

/* Appends the room of a user, of a namespace that is not dynamic, to a list that a publication has
 * for its room. own: who sends it. Returns its owner, a bit. */
uint64_t rc_inbox_list(const struct rc_app *app, uint16_t nsp, unsigned nshards,
                       struct rc_str user, bool own, struct rc_buf *list);

/* Appends a row of the store as the packet that devices get, framed. packet: scratch. Any thread. */
void rc_inbox_put_row(struct rc_str nsp, struct rc_str row, struct rc_buf *packet,
                      struct rc_buf *to);

/* Messages that other nodes have stored were left out: owners ask for what all users have missed. The
 * store's thread. */
void rc_inbox_doubt_all(struct rc_mesh *mesh, uint16_t nsp);

/* Whether a message to that user was stored nobody knows: its owner asks for what was missed once the
 * store is back. The store's thread. */
void rc_inbox_doubt(struct rc_mesh *mesh, const struct rc_app *app, uint16_t nsp,
                    struct rc_str user);

/* ---- the owner of users' rooms ---- */

/* Hands pub to the users of its list whose rooms are owned here. Takes over pub. */
void rc_inbox_publish(struct rc_shard *sh, struct rc_pub *pub, rc_id except) RC_ON_SHARD;
/* Somebody has joined the room: a user's device, perhaps. */
void rc_inbox_joined(struct rc_shard *sh, struct rc_room *r) RC_ON_SHARD;
/* The last message that was handed to the room: who comes now is not sent it. */
uint64_t rc_inbox_last(const struct rc_room *r);
/* A member has left; this is the last message that devices on its shard have seen. */
void rc_inbox_left(struct rc_shard *sh, struct rc_room *r, uint64_t seen) RC_ON_SHARD;
/* MISSED, INBOX_READY; takes over what the message owns. */
void rc_inbox_mail(struct rc_shard *sh, struct rc_msg *msg) RC_ON_SHARD;
void rc_inbox_free(struct rc_inbox *inbox);

/* ---- the shard of devices ---- */

/* The members here of a user's room are given that publication. */
void rc_inbox_given(struct rc_shard *sh, rc_id lroom, struct rc_pub *pub) RC_ON_SHARD;
/* Stores all cursors that have moved; the devices are about to go. */
void rc_inbox_stop(struct rc_shard *sh) RC_ON_SHARD;

void rc_inbox_init(struct rc_shard *sh);
void rc_inbox_deinit(struct rc_shard *sh);

#endif /* RC_BROKER_INBOX_H */

/*
 * stored.h - the way of a stored message: asked for on the session's shard, finished on the store's
 * thread after its commit, handed out by owners, and back to the rule that waits.
 *
 *   session's shard ──submit──> store ──STORED──> owner of the room, or of the users' rooms
 *         ^                       │                 │
 *         └───STORE_DONE: fault───┴──STORE_DONE─────┘
 *
 * The store's thread posts in the order of the ids, so owners hand out in that order. From submit on
 * the session's input stands still (RC_PAUSE_STORE), and its rule is a job, until all owners have
 * handed out: what it does next comes behind. A session that has ended is no hindrance.
 *
 * What the shard builds has holes where the message's id and time belong (template.h). They are filled
 * on the store's thread, once for all receivers.
 *
 * Threads:   as in the drawing; rc_stored_done: the store's.
 * Ownership: requests as in store_port.h; messages own their publication.
 */
#ifndef RC_BROKER_STORED_H
#define RC_BROKER_STORED_H

#include "rc/base/buf.h"
#include "rc/base/thread.h"
#include "rc/broker/msg.h"
#include "rc/broker/session.h"
#include "rc/broker/store_port.h"
#include "rc/proto/template.h"

#include <stdbool.h>
#include <stdint.h>

struct rc_mesh;
struct rc_shard;

/* What a rule gets to know of its request. */
struct rc_store_answer {
    enum rc_store_type type;
    enum rc_store_fault fault;
    uint64_t id, time_ms;
    bool yes;           /* GROUP_IS: it is; HISTORY: there is more */
    struct rc_pub *pub; /* HISTORY: rows; GROUP_LIST: users. JSON, without brackets; or NULL */
};

/* A packet that is sent once the message is stored. */
struct rc_stored_packet {
    struct rc_str key;  /* of the room; empty: the rooms of the users that the message is for */
    rc_id except;       /* socket that is left out, 0: none */
    struct rc_str text; /* without a frame's head */
    const struct rc_buf *holes; /* of rc_template_hole, in the text */
};

/* Submits a request of `type`. s waits for it; NULL: nobody does. packet: of a PUT that is to be
 * handed out; else NULL. Anything but RC_STORE_OK: it was not taken. */
enum rc_store_fault rc_stored_submit(struct rc_shard *sh, struct rc_session *s, uint16_t nsp,
                                     enum rc_store_type type, const struct rc_store_in *in,
                                     const struct rc_stored_packet *packet) RC_ON_SHARD;

/* STORED, STORE_DONE; takes over what the message owns. */
void rc_stored_mail(struct rc_shard *sh, struct rc_msg *msg) RC_ON_SHARD;

/* A message that is stored goes to those owners, a bit each. Takes over its publication. False: there are
 * none. The store's thread. */
bool rc_stored_hand_over(struct rc_mesh *mesh, uint64_t owners, const struct rc_msg *stored);

/* Appends the text with numbers in its holes. Any thread. */
void rc_stored_fill(struct rc_str text, const struct rc_template_hole *hole, size_t nholes,
                    uint64_t id, uint64_t time_ms, struct rc_buf *to);
/* Appends ISO 8601 in UTC, with milliseconds. Any thread. */
void rc_stored_put_time(uint64_t time_ms, struct rc_buf *to);
/* How many rows of an answer, from its first or its last on, fit into so many bytes: at least one, if
 * there is any. Any thread. */
uint32_t rc_stored_rows_within(const struct rc_store_req *req, bool from_last, size_t budget);

#endif /* RC_BROKER_STORED_H */

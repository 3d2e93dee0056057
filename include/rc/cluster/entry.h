/*
 * entry.h - what nodes say to each other by a stream of Redis, in the words of
 * @socket.io/redis-streams-adapter 0.3: JSON, or MessagePack in base64 where there is something binary; and
 * MessagePack for what is not kept. docs/cluster.md has the whole format.
 *
 * Threads:   any.
 * Ownership: slices of what is read point into the message and the reader's buffers.
 */
#ifndef RC_CLUSTER_ENTRY_H
#define RC_CLUSTER_ENTRY_H

#include "rc/cluster/wire.h"

enum rc_entry_type {
    RC_ENTRY_BROADCAST = 3,
    RC_ENTRY_JOIN = 4,
    RC_ENTRY_LEAVE = 5,
    RC_ENTRY_DISCONNECT = 6,
    RC_ENTRY_FETCH = 7,
    RC_ENTRY_FETCHED = 8,
    RC_ENTRY_SERVER_EMIT = 9,
    RC_ENTRY_SERVER_ANSWER = 10,
    RC_ENTRY_CLIENT_COUNT = 11,
    RC_ENTRY_ACK = 12,
    RC_ENTRY_CLOSE = 13,
};

/* What is read is put together here; zeroed, and used again for the next one. */
struct rc_entry_reader {
    struct rc_wire_reader wire;
    struct rc_buf bytes, text;
};
void rc_entry_reader_init(struct rc_entry_reader *r);
void rc_entry_reader_deinit(struct rc_entry_reader *r);

/* ---- data of a BROADCAST in the stream ---- */

/* Appends it. RC_EPROTO: m is no packet after all. */
int rc_entry_put_broadcast(struct rc_buf *to, const struct rc_bus_message *m) RC_MUSTCHECK;
/* *m is emptied first. RC_EPROTO, RC_ELIMIT: it is none, or no client could be sent it. */
int rc_entry_read_broadcast(struct rc_entry_reader *r, struct rc_str nsp, struct rc_str data,
                            struct rc_bus_message *m) RC_MUSTCHECK;

/* ---- requests ---- */

/* Moves in the stream: the digit of the type, and data behind it. Others: {uid, nsp, type, data}. *q, zeroed at
 * first, is emptied and filled. RC_EPROTO, RC_ELIMIT: it is none. */
int rc_entry_read_request(struct rc_entry_reader *r, struct rc_str nsp, struct rc_str bytes,
                          struct rc_wire_request *q) RC_MUSTCHECK;
/* Only whose it is: RC_EPROTO when it does not say. */
int rc_entry_read_uid(struct rc_str bytes, struct rc_str *uid) RC_MUSTCHECK;

/* ---- questions of this node ---- */

/* Appends {uid, nsp, type: 3, data: {packet: m without an id, requestId, opts}}. */
int rc_entry_put_question(struct rc_buf *to, struct rc_str uid, struct rc_str id,
                          const struct rc_bus_message *m, uint32_t timeout_ms) RC_MUSTCHECK;
/* The id of a question, as it comes back. RC_EPROTO: it is none. */
int rc_entry_read_question(struct rc_str bytes, struct rc_str *id) RC_MUSTCHECK;
/* As rc_wire_read_response(). */
int rc_entry_read_response(struct rc_entry_reader *r, struct rc_str bytes,
                           struct rc_wire_response *a) RC_MUSTCHECK;

/* ---- answers: {uid, nsp, type, data: {requestId, KEY: value}} ---- */

/* Appends all but the value. */
void rc_entry_begin_answer(struct rc_buf *to, enum rc_entry_type type, struct rc_str uid,
                           struct rc_str nsp, struct rc_str id, struct rc_str key);
void rc_entry_put_uint(struct rc_buf *to, uint64_t n);
/* The first of a JSON array, which may refer to the attachments; nil when it is empty. */
int rc_entry_put_value(struct rc_buf *to, struct rc_str array, const struct rc_str *attachment,
                       unsigned nattachments) RC_MUSTCHECK;

#endif /* RC_CLUSTER_ENTRY_H */

/*
 * json_client.h - clients of json endpoints: plain WebSockets that share rooms with Socket.IO clients.
 *
 * Such a client is a session with one socket in the namespace of its endpoint. What it sends is made a
 * Socket.IO packet at the door, what it is sent becomes JSON by its form (form.h): rules, rooms and
 * rings know of no difference. rc/proto/plain.h has the messages.
 *
 *   open ──> waiting for `auth` ──> connected        waits only where nobody may connect without
 *     └────────────────────────────────┘
 *
 * Threads:   the session's shard.
 * Ownership: the session and its socket are the shard's; see session.h.
 */
#ifndef RC_BROKER_JSON_CLIENT_H
#define RC_BROKER_JSON_CLIENT_H

#include "rc/base/buf.h"
#include "rc/base/thread.h"
#include "rc/broker/session.h"

#include <stdbool.h>

struct rc_shard;

/* May a client without a token in its handshake bring it in a message? */
bool rc_json_client_may_auth(const struct rc_shard *sh, const struct rc_nsp *endpoint);
/* The session's WebSocket is open, and its token known if it has one. May close it. */
void rc_json_client_open(struct rc_shard *sh, struct rc_session *s) RC_ON_SHARD;
/* A message; opcode is its frame's. Bad ones are answered with an error, up to
 * limits.max_bad_messages; bytes close it with 1003. */
void rc_json_client_message(struct rc_shard *sh, struct rc_session *s, uint8_t opcode,
                            struct rc_str data) RC_ON_SHARD;
/* `auth` did not come in time: closes it. */
void rc_json_client_overdue(struct rc_shard *sh, struct rc_session *s) RC_ON_SHARD;

/* Appends what a client is told when it is connected, as JSON. */
void rc_json_client_put_welcome(const struct rc_socket *k, struct rc_str id, struct rc_buf *to);
/* Queues an error, at once: the session is about to be closed. */
void rc_json_client_last_error(struct rc_shard *sh, struct rc_session *s, const char *code,
                               struct rc_str message) RC_ON_SHARD;
/* The same with data, as a CONNECT_ERROR has it: {"code":CODE}. */
void rc_json_client_refuse(struct rc_shard *sh, struct rc_session *s, const char *code,
                           struct rc_str message) RC_ON_SHARD;
/* Closes it with 1008; reason is a JSON string, of which the close frame has as much as fits. */
void rc_json_client_end(struct rc_shard *sh, struct rc_session *s,
                        struct rc_str reason) RC_ON_SHARD;

#endif /* RC_BROKER_JSON_CLIENT_H */

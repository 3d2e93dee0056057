/*
 * socket.h - Socket.IO: a session's messages in, its sockets, one per namespace.
 *
 * Threads:   the session's shard.
 * Ownership: sockets belong to their session; see session.h.
 */
#ifndef RC_BROKER_SOCKET_H
#define RC_BROKER_SOCKET_H

#include "rc/base/thread.h"
#include "rc/broker/session.h"

struct rc_shard;

enum { RC_SOCKET_ID_LEN = 20 };

/* The data of an Engine.IO MESSAGE: a packet's text, or an attachment. */
void rc_socket_text(struct rc_shard *sh, struct rc_session *s, struct rc_str text) RC_ON_SHARD;
void rc_socket_binary(struct rc_shard *sh, struct rc_session *s,
                      struct rc_str data) RC_ON_SHARD;

rc_id rc_socket_id(const struct rc_shard *sh, const struct rc_socket *k);
/* The public id, 20 characters and a NUL: it names shard and slot and carries a check, so that any
 * shard can tell it from an ordinary room name. */
void rc_socket_name(rc_id id, char out[RC_SOCKET_ID_LEN + 1]);
/* 0 when text is no socket id of this process. */
rc_id rc_socket_parse(struct rc_str text);

/* Queues pub to one socket of this shard; takes over pub. Unknown ids are dropped. */
void rc_socket_deliver(struct rc_shard *sh, rc_id socket, struct rc_pub *pub) RC_ON_SHARD;
/* Leaves all rooms and the session. */
void rc_socket_close(struct rc_shard *sh, struct rc_socket *k) RC_ON_SHARD;

void rc_assembly_free(struct rc_assembly *a);

/* Packet building: text frames with room for their header. `begin` empties the buffer; what is
 * put then is the text; `end` frames it; `attach` adds a binary frame behind. The result is
 * valid until the next begin. */
void rc_frames_begin(struct rc_buf *b);
void rc_frames_end(struct rc_buf *b);
void rc_frames_attach(struct rc_buf *b, struct rc_str data);
struct rc_str rc_frames(const struct rc_buf *b);

#endif /* RC_BROKER_SOCKET_H */

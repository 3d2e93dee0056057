/*
 * socket.h - Socket.IO: a session's messages in, its sockets, one per namespace.
 *
 * Threads:   the session's shard.
 * Ownership: sockets belong to their session; see session.h.
 */
#ifndef RC_BROKER_SOCKET_H
#define RC_BROKER_SOCKET_H

#include "rc/base/thread.h"
#include "rc/broker/name.h"
#include "rc/broker/session.h"

struct rc_shard;

/* The data of an Engine.IO MESSAGE: a packet's text, or an attachment. */
void rc_socket_text(struct rc_shard *sh, struct rc_session *s, struct rc_str text) RC_ON_SHARD;
void rc_socket_binary(struct rc_shard *sh, struct rc_session *s,
                      struct rc_str data) RC_ON_SHARD;

/* A client of a json endpoint connects to the namespace; auth is its auth object, or empty. If that is
 * refused, the session is closed. */
void rc_socket_connect(struct rc_shard *sh, struct rc_session *s, const struct rc_nsp *nsp,
                       struct rc_str auth) RC_ON_SHARD;
/* Into a namespace whose own code has asked who it is. NULL: it may not connect, and has been told. */
struct rc_socket *rc_socket_admit(struct rc_shard *sh, struct rc_session *s,
                                  const struct rc_nsp *nsp) RC_ON_SHARD;
/* Its auth object is another one from now on; who it is does not change. */
void rc_socket_set_auth(struct rc_shard *sh, struct rc_socket *k,
                        struct rc_str auth) RC_ON_SHARD;
/* An Engine.IO 3 client has connected: it is in the namespace / without asking. */
void rc_socket_connect_root(struct rc_shard *sh, struct rc_session *s) RC_ON_SHARD;

rc_id rc_socket_id(const struct rc_shard *sh, const struct rc_socket *k);
/* Appends the public id: a name of 20 characters, by which any shard can tell it from an ordinary
 * room's; in a namespace of an Engine.IO 3 client the namespace's name, '#' and a name. */
void rc_socket_put_name(const struct rc_shard *sh, const struct rc_socket *k,
                        struct rc_buf *out);
/* What a public id names: a socket or, since clients of Engine.IO 3 call their sockets after the
 * session, the socket that a session has in the namespace at hand. */
struct rc_address {
    rc_id id; /* 0: nothing */
    bool is_session;
};
struct rc_address rc_socket_parse(struct rc_str nsp, struct rc_str text);
/* Does it name this socket? */
bool rc_socket_is(const struct rc_shard *sh, const struct rc_socket *k, struct rc_address a);

/* The socket of this shard that it names, if it is in the namespace of pub; NULL: it is gone. */
struct rc_socket *rc_socket_find(struct rc_shard *sh, struct rc_address a,
                                 const struct rc_pub *pub) RC_ON_SHARD;

/* Queues pub to one socket of this shard, if it is in the namespace of pub; takes over pub. Unknown
 * ids are dropped. */
void rc_socket_deliver(struct rc_shard *sh, rc_id socket, struct rc_pub *pub) RC_ON_SHARD;
/* The same to a session's socket in the namespace of pub. */
void rc_socket_deliver_of(struct rc_shard *sh, rc_id session, struct rc_pub *pub) RC_ON_SHARD;
/* Leaves all rooms and the session. */
void rc_socket_close(struct rc_shard *sh, struct rc_socket *k) RC_ON_SHARD;

/* Answers a CONNECT: {"message":…,"data":…}. Both are JSON; data may be empty. */
void rc_socket_refuse(struct rc_shard *sh, struct rc_session *s, struct rc_str nsp,
                      struct rc_str message, struct rc_str data) RC_ON_SHARD;

void rc_assembly_free(struct rc_assembly *a);
/* Grows with each attachment that has come. */
size_t rc_assembly_progress(const struct rc_assembly *a);

/* Packet building: text frames with room for their header. `begin` empties the buffer; what is
 * put then is the text; `end` frames it; `attach` adds a binary frame behind. The result is
 * valid until the next begin. */
void rc_frames_begin(struct rc_buf *b);
void rc_frames_end(struct rc_buf *b);
void rc_frames_attach(struct rc_buf *b, struct rc_str data);
struct rc_str rc_frames(const struct rc_buf *b);

#endif /* RC_BROKER_SOCKET_H */

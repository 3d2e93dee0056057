/*
 * engine.h - Engine.IO sessions: handshake, long-polling, upgrade, heartbeat.
 *
 * A request may arrive on any shard. The shard of its connection parses it and asks the shard of
 * the session, by the very calls below or by a message that ends in them; the answer finds its
 * way back by the connection's id (rc_front_reply). All requests of a session are thus
 * serialised on one shard.
 *
 * Threads:   the session's shard.
 * Ownership: see session.h.
 */
#ifndef RC_BROKER_ENGINE_H
#define RC_BROKER_ENGINE_H

#include "rc/base/thread.h"
#include "rc/broker/session.h"
#include "rc/proto/eio.h"

struct rc_shard;
struct rc_peer;

/* ---- handshakes, on the connection's own shard ---- */

/* What a client asks for. */
struct rc_handshake {
    bool eio3;                  /* Engine.IO 3, else 4 */
    const struct rc_addr *peer; /* whose request it is */
    bool b64;                   /* binary data is to be text, in base64 */
    const struct rc_str *jsonp; /* polling: answers are for this callback, or NULL */
    const struct rc_deflate_params *deflate; /* WebSocket: as negotiated */
    struct rc_token *token; /* of the request, verified; or NULL. Whoever opens takes it over */
};

/* A new polling session; the open packet is the answer to `conn`. */
void rc_engine_open_polling(struct rc_shard *sh, rc_id conn,
                            const struct rc_handshake *hs) RC_ON_SHARD;
/* A new WebSocket session; the 101 is queued in c->out. */
void rc_engine_open_websocket(struct rc_shard *sh, struct rc_conn *c,
                              const struct rc_handshake *hs) RC_ON_SHARD;

/* ---- requests with a sid, on the session's shard ---- */

/* The other node whose sid it is; NULL: there is none, it can only be one of ours. */
const struct rc_peer *rc_engine_sid_peer(const struct rc_shard *sh, struct rc_str sid);
/* The shard that a sid names, or -1 when it cannot be one of ours. */
int rc_engine_sid_shard(const struct rc_shard *sh, struct rc_str sid);
/* Is it of Engine.IO 3? */
bool rc_engine_sid_is_eio3(struct rc_str sid);
/* The open session of that sid, or NULL. */
struct rc_session *rc_engine_find(struct rc_shard *sh, struct rc_str sid) RC_ON_SHARD;
void rc_engine_get(struct rc_shard *sh, struct rc_str sid, rc_id conn) RC_ON_SHARD;
/* A request that does not fit any session of this sid: by transport, or by revision. */
void rc_engine_misfit(struct rc_shard *sh, struct rc_str sid, rc_id conn) RC_ON_SHARD;
enum {
    RC_POST_BINARY = 1,  /* its content type is application/octet-stream */
    RC_POST_TOO_BIG = 2, /* no body will follow */
};
/* The head of a POST has come. An answer follows only if it is refused. */
void rc_engine_post(struct rc_shard *sh, struct rc_str sid, rc_id conn,
                    unsigned flags) RC_ON_SHARD;
/* Its body; takes over body. */
void rc_engine_body(struct rc_shard *sh, struct rc_str sid, rc_id conn,
                    struct rc_pub *body) RC_ON_SHARD;
/* A pending request of that connection came to nothing: the connection is gone, which ends the
 * session, or (gone false) the body was refused. */
void rc_engine_abort(struct rc_shard *sh, struct rc_str sid, rc_id conn, bool gone) RC_ON_SHARD;
/* May this session be upgraded to WebSocket? RC_EIO_ error, or -1: yes. */
int rc_engine_may_upgrade(struct rc_shard *sh, struct rc_str sid) RC_ON_SHARD;
/* The WebSocket of an upgrade: the 101 is queued in c->out. */
void rc_engine_probe(struct rc_shard *sh, struct rc_session *s, struct rc_conn *c,
                     const struct rc_handshake *hs) RC_ON_SHARD;

/* ---- what sessions call ---- */

/* A WebSocket message from the client: an Engine.IO packet. */
void rc_engine_text(struct rc_shard *sh, struct rc_session *s, struct rc_str msg) RC_ON_SHARD;
void rc_engine_binary(struct rc_shard *sh, struct rc_session *s, struct rc_str msg) RC_ON_SHARD;
/* A Socket.IO packet that is bad, or the like: ends the session without a close code. A polling
 * client is told, as when a rule ends it. */
void rc_engine_fail(struct rc_shard *sh, struct rc_session *s, enum rc_close why) RC_ON_SHARD;
/* The session was closed by something else than a request. */
void rc_polling_closed(struct rc_shard *sh, struct rc_session *s,
                       enum rc_close why) RC_ON_SHARD;
/* Answers a pending poll with what waits. */
void rc_polling_flush(struct rc_shard *sh, struct rc_session *s) RC_ON_SHARD;
/* Goes on with POST bodies that waited for the session's input to be resumed. */
void rc_polling_input(struct rc_shard *sh, struct rc_session *s) RC_ON_SHARD;
void rc_engine_init(struct rc_shard *sh);
/* A reload: what it tells clients. */
void rc_engine_renew(struct rc_shard *sh);

/* ---- front.c: the answer ---- */

enum rc_reply_kind {
    RC_REPLY_PAYLOAD, /* text/plain */
    RC_REPLY_BYTES,   /* a payload that is application/octet-stream */
    RC_REPLY_OK,      /* the answer to a POST */
    RC_REPLY_ERROR,   /* count is an enum rc_eio_error, JSON */
    RC_REPLY_EMPTY,   /* a status without a body */
};
/* Answers the request that the connection holds; a stale id is a miss. Takes over body. */
void rc_front_reply(struct rc_shard *sh, rc_id conn, enum rc_reply_kind kind, unsigned status,
                    struct rc_pub *body) RC_ON_SHARD;

#endif /* RC_BROKER_ENGINE_H */

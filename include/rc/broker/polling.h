/*
 * polling.h - what an Engine.IO session has while it polls, and its way to WebSocket.
 *
 * Threads:   the session's shard.
 * Ownership: the session's; freed when it goes over to WebSocket or ends.
 */
#ifndef RC_BROKER_POLLING_H
#define RC_BROKER_POLLING_H

#include "rc/base/thread.h"
#include "rc/broker/session.h"
#include "rc/proto/eio.h"

struct rc_shard;

void rc_polling_init(struct rc_shard *sh);
struct rc_handshake;
void rc_polling_new(struct rc_session *s, const struct rc_handshake *hs);
/* engine.c: a packet, whatever it came by. */
void rc_engine_packet(struct rc_shard *sh, struct rc_session *s,
                      const struct rc_eio_packet *p) RC_ON_SHARD;
/* Ends a session that was kept after its end to be told so. */
void rc_polling_forget(struct rc_shard *sh, struct rc_session *s) RC_ON_SHARD;

/* Answers the pending poll with a noop. */
void rc_polling_noop(struct rc_shard *sh, struct rc_session *s) RC_ON_SHARD;
/* Frees what polling needed; the session lives on. */
void rc_polling_free(struct rc_session *s);

/* ---- upgrade.c ---- */

void rc_upgrade_init(struct rc_shard *sh);
/* The session ends or the time is over: closes the probing connection. */
void rc_probe_cancel(struct rc_session *s, enum rc_close why) RC_ON_SHARD;

struct rc_polling {
    struct rc_session *session;
    struct rc_addr peer;     /* whose handshake it was */
    rc_id get;               /* connection of the pending poll, 0: none */
    rc_id post;              /* connection whose POST body is arriving, 0: none */
    char *jsonp;             /* the callback of a JSONP client, else NULL */
    bool b64;                /* payloads are text, whatever is in them */
    bool post_bytes;         /* the body that is arriving is no text */
    struct rc_conn *probe;   /* WebSocket of an upgrade under way, or NULL */
    bool upgrading;          /* the probe was answered: polls get a noop at once */
    bool tell;               /* the client of the end, with its next poll */
    bool in_input;           /* bodies are being worked on further up the stack */
    struct rc_timer upgrade; /* of the probe */
    struct rc_timer close;   /* a closed session waits to be told */
    struct rc_post_body *bodies, **bodies_tail; /* POST bodies not yet worked on */
};

#endif /* RC_BROKER_POLLING_H */

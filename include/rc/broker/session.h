/*
 * session.h - a client: an Engine.IO session (polling or WebSocket) or a plain WebSocket, its
 * sockets (one per namespace), and what waits to be sent to it.
 *
 * Everything for a client goes into one queue of WebSocket frames, first in, first out; a
 * polling session's frames are turned into a payload when a poll is there to take them.
 *
 *   state:  OPEN ──> CLOSED (freed at the end of the turn)
 *
 * Threads:   the shard that the session lives on; others know its id.
 * Ownership: the shard's pools own sessions and sockets; both stay readable until the end of
 *            the turn in which they ended.
 */
#ifndef RC_BROKER_SESSION_H
#define RC_BROKER_SESSION_H

#include "rc/auth/token.h"
#include "rc/base/pool.h"
#include "rc/base/timer.h"
#include "rc/broker/app.h"
#include "rc/broker/form.h"
#include "rc/broker/pub.h"
#include "rc/net/conn.h"
#include "rc/net/outq.h"
#include "rc/net/wsin.h"

#include <stdbool.h>
#include <stdint.h>

struct rc_shard;
struct rc_lroom;
struct rc_polling;
struct rc_job;
struct rc_assembly;
struct rc_identity;

enum rc_session_kind { RC_SESSION_POLLING, RC_SESSION_WEBSOCKET, RC_SESSION_ENDPOINT };

enum { RC_SID_LEN = 20, RC_SID_BYTES = 15, RC_SID_SECRET = 9 };

/* Why input stands still; a session reads while none of these is set. RC_PAUSE_END: it ends when it has been answered. */
enum {
    RC_PAUSE_FENCE = 1,
    RC_PAUSE_RING = 2,
    RC_PAUSE_STORE = 4,
    RC_PAUSE_RATE = 8,
    RC_PAUSE_END = 16
};

/* rc_session.fd: nothing may be written, or it may be, through its connection. */
enum { RC_FD_NONE = -1, RC_FD_SECURE = -2 };

/* connect_timeout of a session that has not joined a namespace yet. */
struct rc_joining {
    struct rc_timer timer;
    struct rc_session *session;
};

struct rc_session {
    struct rc_pooled hdr;
    struct rc_conn *conn; /* of a WebSocket, else NULL */
    uint8_t sid_secret[RC_SID_SECRET];
    uint8_t nsockets;
    uint8_t lane_owner; /* see lane.h */
    bool lane_open;
    uint8_t paused; /* RC_PAUSE_ bits */
    bool in_input;  /* input is being processed further up the stack */
    bool eio3 : 1;  /* speaks Engine.IO 3 and Socket.IO 2 */
    bool known : 1; /* its handshake had a token, see identity.h */
    union {
        uint8_t parser; /* enum rc_parser: what its packets are; AUTO until the first has come;
                         * of a client of a json endpoint: */
        uint8_t bad_messages;
    };

    /* All that a delivery looks at: one cache line, see session.c. */
    struct rc_outq out; /* WebSocket frames */
    int fd;       /* of conn while the queue may be written straight to it, or RC_FD_… */
    uint8_t kind; /* enum rc_session_kind */
    bool dirty;   /* in the shard's list of queues to be flushed */
    bool closed;
    uint8_t form; /* of what is queued, see form.h; while polling FRAMES or MSGPACK */

    uint16_t fences;              /* FENCE_ACKs still to come */
    uint16_t held;                /* CONNECTs whose joins are under way: nothing is written */
    uint16_t asks;                /* questions of its sockets that are open */
    uint16_t nsp;                 /* of an endpoint */
    uint64_t lane_mark;           /* see lane.h */
    struct rc_timer beat;         /* next ping, or the deadline of the pong */
    struct rc_wsin in;            /* of a WebSocket */
    struct rc_socket *sockets;    /* list by ->next */
    struct rc_joining *joining;   /* NULL once a namespace was joined */
    struct rc_assembly *assembly; /* a packet that waits for attachments, see socket.c */
    struct rc_polling *polling;   /* of a polling session, see engine.c */
    struct rc_job *job;           /* a rule that waits for a fence, see verbs.c */
};

/* A socket's place in a room on this shard. */
struct rc_member {
    struct rc_lroom *room;
    uint32_t index;   /* in the room's member array, RC_NOT_IN while not */
    uint16_t answers; /* JOINED and LEFT still to come */
    bool want;        /* the last request was to join */
};
#define RC_NOT_IN UINT32_MAX

/* What CONNECT said of who the client is. */
struct rc_caller {
    struct rc_identity *who; /* a reference; NULL: nobody's */
    char auth[];             /* raw JSON when a rule reads it, else "" */
};

struct rc_socket {
    struct rc_pooled hdr;
    struct rc_session *session;
    struct rc_socket *next; /* of the session */
    struct rc_member *room; /* [nrooms]; points to `one` while cap is 1 */
    struct rc_member one;
    uint16_t nrooms, rooms_cap;
    uint16_t nsp;
    bool closed;
    uint32_t all_index;       /* in the shard's list of all sockets of the namespace */
    uint32_t mark;            /* the shard's mark: it was dealt with, see audience.c */
    struct rc_caller *caller; /* NULL when there is nothing to be kept */
};

/* ---- session.c: life and output ---- */

struct rc_session *rc_session_new(struct rc_shard *sh, enum rc_session_kind kind) RC_ON_SHARD;
/* The client's address, behind the proxies that are trusted; NULL: its connection has ended. */
const struct rc_addr *rc_session_peer(const struct rc_session *s);
/* Is there room for one more, with a socket? */
bool rc_session_possible(const struct rc_shard *sh);
/* Ends it: its sockets leave their rooms, its connection ends. Idempotent. */
void rc_session_close(struct rc_shard *sh, struct rc_session *s, enum rc_close why) RC_ON_SHARD;
/* It has connect_timeout to join a namespace. */
void rc_session_await(struct rc_shard *sh, struct rc_session *s) RC_ON_SHARD;
/* A namespace was joined: connect_timeout is over. */
void rc_session_joined(struct rc_session *s);
rc_id rc_session_id(const struct rc_shard *sh, const struct rc_session *s);
struct rc_session *rc_session_find(struct rc_shard *sh, rc_id id) RC_ON_SHARD;
/* It speaks Engine.IO 3. */
void rc_session_set_eio3(const struct rc_shard *sh, struct rc_session *s);
/* Of one that does: the name that it shares with its sockets. */
void rc_session_put_name(const struct rc_shard *sh, const struct rc_session *s,
                         char out[RC_SID_LEN + 1]);
/* The Engine.IO session id: 20 characters, and a NUL. Others of the cluster can tell from it whose it is. */
void rc_session_sid(const struct rc_shard *sh, const struct rc_session *s,
                    char out[RC_SID_LEN + 1]);
/* Queues one reference of seg, behind everything that was handed over before. */
void rc_session_push(struct rc_shard *sh, struct rc_session *s, struct rc_seg *seg) RC_ON_SHARD;
/* Its connection, or what keeps it from being written, has changed. */
void rc_session_set_fd(struct rc_session *s);
/* Puts the session on the list of queues that are flushed at the end of the turn. */
void rc_session_touch(struct rc_shard *sh, struct rc_session *s) RC_ON_SHARD;
/* Writes what waits, or answers a poll with it. */
static inline void rc_session_flush(struct rc_shard *sh, struct rc_session *s) RC_ON_SHARD;
/* What the inline part has not done: rc is what the socket said, if it has one. */
void rc_session_flush_rest(struct rc_shard *sh, struct rc_session *s, int rc) RC_ON_SHARD;
static inline void rc_session_flush(struct rc_shard *sh, struct rc_session *s)
{
    int rc = s->fd >= 0 ? rc_outq_flush(&s->out, s->fd, NULL) : RC_EAGAIN;

    if (rc != RC_OK)
        rc_session_flush_rest(sh, s, rc);
}
/* Keeps the queue from being written until as many releases. */
void rc_session_hold(struct rc_session *s);
void rc_session_release(struct rc_shard *sh, struct rc_session *s) RC_ON_SHARD;
/* From now on its queue is in that form, and what waits in it, in frames, too. MSGPACK comes and
 * stays by itself: */
void rc_session_set_form(struct rc_shard *sh, struct rc_session *s, unsigned form) RC_ON_SHARD;
/* Before a packet is queued: those to come are for this parser. */
void rc_session_set_parser(struct rc_session *s, enum rc_parser parser);
/* Limits and revision of the packets that it sends. */
const struct rc_sio_limits *rc_session_sio(const struct rc_shard *sh,
                                           const struct rc_session *s);
/* Queues a text frame. */
void rc_session_text(struct rc_shard *sh, struct rc_session *s, struct rc_str text) RC_ON_SHARD;
/* Stops or continues its input for a reason (RC_PAUSE_ bit). */
void rc_session_pause(struct rc_shard *sh, struct rc_session *s, unsigned why) RC_ON_SHARD;
void rc_session_resume(struct rc_shard *sh, struct rc_session *s, unsigned why) RC_ON_SHARD;

/* ---- endpoint.c: plain WebSocket ---- */

/* A client of the endpoint; the 101 is queued in c->out. With a fault of its token it is closed at
 * once. Takes over token, which may be NULL. */
void rc_endpoint_open(struct rc_shard *sh, const struct rc_nsp *nsp, struct rc_conn *c,
                      const struct rc_deflate_params *deflate, enum rc_token_fault fault,
                      struct rc_token *token) RC_ON_SHARD;
/* Closes it with 1008, and the fault for a reason. */
void rc_endpoint_refuse(struct rc_shard *sh, struct rc_session *s,
                        enum rc_token_fault fault) RC_ON_SHARD;
void rc_endpoint_pong(struct rc_shard *sh, struct rc_session *s) RC_ON_SHARD;
void rc_endpoint_init(struct rc_shard *sh);
/* A reload: nhad of its namespaces and endpoints were there before. */
void rc_endpoint_renew(struct rc_shard *sh, unsigned nhad);
void rc_endpoint_deinit(struct rc_shard *sh);

/* A message of an endpoint's client; frame is its opcode, data its bytes. */
void rc_endpoint_message(struct rc_shard *sh, struct rc_session *s, uint8_t opcode,
                         struct rc_str data) RC_ON_SHARD;

/* ---- wsconn.c: a WebSocket connection of a session ---- */

/* The handshake is done and answered (its bytes wait in conn->out, which moves over): the
 * connection belongs to the session from now on. So does what `in` holds. */
void rc_wsconn_attach(struct rc_shard *sh, struct rc_session *s, struct rc_conn *c,
                      const struct rc_wsin *in) RC_ON_SHARD;
/* Starts the closing handshake: code 0 sends a frame without one. Detaches the connection. */
void rc_wsconn_end(struct rc_shard *sh, struct rc_session *s, unsigned code, struct rc_str text,
                   enum rc_close why) RC_ON_SHARD;
/* Is it an open session's own? */
bool rc_wsconn_is(const struct rc_conn *c);
void rc_wsconn_init(struct rc_shard *sh);

#endif /* RC_BROKER_SESSION_H */

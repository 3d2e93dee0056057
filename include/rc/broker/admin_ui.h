/*
 * admin_ui.h - the namespace of the Socket.IO Admin UI: who operates logs in there, sees the servers, sockets
 * and rooms, and can emit, join, leave and disconnect.
 *
 * An operator is an ordinary Socket.IO client of a namespace whose rules are C. Its shard tells it what
 * all shards tell while somebody watches; nobody watching costs a branch where sockets come and go.
 *
 *   shard of a socket ──UI_TELL──> shards with operators      what happened in this turn, one message
 *   operator's shard  ──UI_LIST──> shard ──UI_PAGE──> back    its sockets, page by page
 *   operator's shard  ──UI_COMMAND──> every shard             join, leave, disconnect, slice by slice
 *   operator's shard  ──request──> desk ──UI_LOGIN──> back    passwords: bcrypt is slow
 *   desk ──UI_TELL──> shards with operators                   server_stats
 *
 * Threads:   the shard's, but for the desk, which is a thread of its own; see there.
 * Ownership: struct rc_ui belongs to its shard; NULL when admin.ui is off.
 */
#ifndef RC_BROKER_ADMIN_UI_H
#define RC_BROKER_ADMIN_UI_H

#include "rc/base/conf.h"
#include "rc/base/thread.h"
#include "rc/broker/shard.h"
#include "rc/net/http.h"
#include "rc/proto/sio.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct rc_event;
struct rc_msg;

/* Why sockets and sessions end, in the words of the reference. X(NAME, text) */
#define RC_UI_REASON_MAP(X)                            \
    X(TRANSPORT_CLOSE, "transport close")              \
    X(TRANSPORT_ERROR, "transport error")              \
    X(PING_TIMEOUT, "ping timeout")                    \
    X(PARSE_ERROR, "parse error")                      \
    X(FORCED_CLOSE, "forced close")                    \
    X(SHUTTING_DOWN, "server shutting down")           \
    X(CLIENT_NAMESPACE, "client namespace disconnect") \
    X(SERVER_NAMESPACE, "server namespace disconnect")

enum rc_ui_reason {
#define RC_UI_REASON_ENUM(name, text) RC_UI_##name,
    RC_UI_REASON_MAP(RC_UI_REASON_ENUM)
#undef RC_UI_REASON_ENUM
        RC_UI_REASON_COUNT,
};

/* Written by the shard, read by the desk: relaxed, as struct rc_stats. */
struct rc_ui_counts {
    _Atomic uint64_t opened, packets_in, bytes_in, packets_out, bytes_out;
    _Atomic uint64_t polling; /* sessions that poll now */
    _Atomic uint64_t ended[RC_UI_REASON_COUNT];
    _Atomic uint64_t *sockets; /* connected now, by index of the namespace */
};

void rc_ui_init(struct rc_shard *sh);
void rc_ui_deinit(struct rc_shard *sh);

/* ---- what the shard tells it: only if sh->ui is there ---- */

/* A request that may become a session; the next session that is made is its. */
void rc_ui_request(struct rc_shard *sh, const struct rc_conn *c,
                   const struct rc_http_req *req) RC_ON_SHARD;
void rc_ui_opened(struct rc_shard *sh, const struct rc_session *s) RC_ON_SHARD;
/* A session is about to end, and its sockets with it. */
void rc_ui_ending(struct rc_shard *sh, const struct rc_session *s,
                  enum rc_close why) RC_ON_SHARD;
void rc_ui_ended(struct rc_shard *sh, const struct rc_session *s) RC_ON_SHARD;
/* The client left the namespace by itself: the socket that is closed next. */
void rc_ui_leaving(struct rc_shard *sh) RC_ON_SHARD;
void rc_ui_connected(struct rc_shard *sh, const struct rc_socket *k) RC_ON_SHARD;
/* The socket is about to leave its rooms and the session. */
void rc_ui_closing(struct rc_shard *sh, const struct rc_socket *k) RC_ON_SHARD;
/* The session polls no more: it has gone over to WebSocket. */
void rc_ui_upgraded(struct rc_shard *sh, const struct rc_session *s) RC_ON_SHARD;

/* ---- only if sh->ui_live: somebody watches ---- */

void rc_ui_moved(struct rc_shard *sh, const struct rc_socket *k, const struct rc_lroom *lr,
                 bool joined) RC_ON_SHARD;
void rc_ui_received(struct rc_shard *sh, const struct rc_socket *k,
                    const struct rc_sio_packet *p) RC_ON_SHARD;
/* Frames that are queued for the session; or to all members but one. */
void rc_ui_sent(struct rc_shard *sh, const struct rc_session *s,
                struct rc_str frames) RC_ON_SHARD;
void rc_ui_sent_to_room(struct rc_shard *sh, const struct rc_lroom *lr,
                        const struct rc_socket *except, struct rc_str frames) RC_ON_SHARD;

/* ---- operators ---- */

/* A CONNECT to the namespace: it is answered when the desk has looked at auth. */
void rc_ui_connect(struct rc_shard *sh, struct rc_session *s, struct rc_str name,
                   struct rc_str auth) RC_ON_SHARD;
/* An event of an operator. */
void rc_ui_event(struct rc_shard *sh, struct rc_socket *k,
                 const struct rc_event *ev) RC_ON_SHARD;
/* UI_ messages; takes over what msg owns. */
void rc_ui_mail(struct rc_shard *sh, struct rc_msg *msg) RC_ON_SHARD;
/* At the end of a turn: hands out what was gathered in it, and works on commands. */
void rc_ui_turn(struct rc_shard *sh) RC_ON_SHARD;
/* Is there more to be handed out in this turn? Is there something to be done in a next one? */
bool rc_ui_has_more(const struct rc_shard *sh);
bool rc_ui_waits(const struct rc_shard *sh);

/* Engine.IO packets with data. */
static inline void rc_ui_packets_in(struct rc_shard *sh, size_t bytes)
{
    if (sh->ui_counts == NULL)
        return;
    rc_stat_add(&sh->ui_counts->packets_in, 1);
    rc_stat_add(&sh->ui_counts->bytes_in, (int64_t)bytes);
}
static inline void rc_ui_packets_out(struct rc_shard *sh, uint64_t n, uint64_t bytes)
{
    if (sh->ui_counts == NULL)
        return;
    rc_stat_add(&sh->ui_counts->packets_out, (int64_t)n);
    rc_stat_add(&sh->ui_counts->bytes_out, (int64_t)bytes);
}

/* ---- the desk: passwords, sessions of operators, and the figures of the whole server ---- */

struct rc_ui_desk;

/* Are the keys admin.ui… of use? */
void rc_ui_check(const struct rc_conf *conf, struct rc_conf_errors *e);
/* nsp: the namespace. NULL: out of descriptors. */
struct rc_ui_desk *rc_ui_desk_new(const struct rc_app *app, struct rc_mesh *mesh);
/* Its thread. The shards must outlive it. */
int rc_ui_desk_start(struct rc_ui_desk *d, struct rc_shard *const *shards) RC_MUSTCHECK;
void rc_ui_desk_stop(struct rc_ui_desk *d);
void rc_ui_desk_free(struct rc_ui_desk *d);

/* What an operator says of itself. Strings of the caller. */
struct rc_ui_login {
    rc_id session;
    struct rc_str address; /* without a port */
    struct rc_str username, password, session_id;
};
/* Any shard, for itself. UI_LOGIN will answer. False: too many wait already. */
bool rc_ui_desk_ask(struct rc_ui_desk *d, unsigned shard, const struct rc_ui_login *login);
/* Does the shard have operators? */
void rc_ui_desk_watch(struct rc_ui_desk *d, unsigned shard, bool watches);

enum rc_ui_verdict { RC_UI_REFUSED, RC_UI_TOO_MANY, RC_UI_GRANTED };

#endif /* RC_BROKER_ADMIN_UI_H */

/*
 * identity.h - who a client is: a verified token, kept for those it was given for.
 *
 * A token of the handshake is its session's, and with it that of each socket which brings none of
 * its own in CONNECT. They share one identity, so that a refresh is good for all of them.
 * It is there only for clients with a token; others are no bigger for it.
 *
 *   valid ──exp, leeway──> expired ──auth.grace──> its sockets and sessions end
 *     ^───────────refresh──────┘
 *
 * Threads:   the session's shard.
 * Ownership: counted references, one of the session (in the shard's table `known`) and one of each
 *            socket (in its rc_caller). The count is not atomic.
 */
#ifndef RC_BROKER_IDENTITY_H
#define RC_BROKER_IDENTITY_H

#include "rc/auth/auth.h"
#include "rc/base/thread.h"
#include "rc/broker/session.h"
#include "rc/net/http.h"

struct rc_shard;

struct rc_identity {
    uint32_t refs;
    struct rc_session *session;
    struct rc_token *token;
    struct rc_timer timer;
};

/* ---- tokens ---- */

/* The token of a request, from the first of these places that has one: Authorization: Bearer,
 * the query, the cookie. Empty: none has. buf is for one that has to be decoded. */
struct rc_str rc_identity_find(const struct rc_shard *sh, const struct rc_http_req *req,
                               struct rc_buf *buf);
/* Verifies it by [auth], unless too many of peer's were bad (peer may be NULL); *token is new, or NULL. */
enum rc_token_fault rc_identity_verify(struct rc_shard *sh, const struct rc_addr *peer,
                                       struct rc_str text, struct rc_token **token) RC_ON_SHARD;

/* ---- whose they are ---- */

/* The session is whose token it is. Takes over token, which may be NULL: then it is nobody's. */
void rc_identity_session(struct rc_shard *sh, struct rc_session *s,
                         struct rc_token *token) RC_ON_SHARD;
/* The session ends. */
void rc_identity_forget(struct rc_shard *sh, struct rc_session *s) RC_ON_SHARD;
/* Whose a socket of that namespace will be: *who is a reference, or NULL; or why it may not connect.
 * auth: the auth object of CONNECT. */
enum rc_token_fault rc_identity_connect(struct rc_shard *sh, struct rc_session *s,
                                        const struct rc_nsp *nsp, struct rc_str auth,
                                        struct rc_identity **who) RC_ON_SHARD;
/* Gives up the reference in *who, which may be NULL. */
void rc_identity_drop(struct rc_identity **who);
/* The token of a socket; NULL: it is nobody's. */
const struct rc_token *rc_identity_token(const struct rc_socket *k);
/* That of the session's handshake; NULL: it had none. */
const struct rc_token *rc_identity_session_token(const struct rc_shard *sh,
                                                 const struct rc_session *s);

/* ---- refreshing ---- */

/* Is it the event that brings a new token? */
bool rc_identity_is_refresh(const struct rc_shard *sh, const struct rc_nsp *nsp,
                            struct rc_str event);
/* text: the new token. All that share the socket's identity have it from now on. */
enum rc_token_fault rc_identity_refresh(struct rc_shard *sh, struct rc_socket *k,
                                        struct rc_str text) RC_ON_SHARD;

void rc_identity_init(struct rc_shard *sh);
/* A reload: whoever is revoked now has to go. */
void rc_identity_renew(struct rc_shard *sh) RC_ON_SHARD;

#endif /* RC_BROKER_IDENTITY_H */

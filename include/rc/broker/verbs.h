/*
 * verbs.h - carries out a rule: the one table of actions that INI rules call.
 *
 * Threads:   the session's shard.
 * Ownership: borrows everything; a rule that must wait for a fence, or for the store, keeps a copy of
 *            its packet in the session's job.
 */
#ifndef RC_BROKER_VERBS_H
#define RC_BROKER_VERBS_H

#include "rc/base/thread.h"
#include "rc/broker/session.h"
#include "rc/proto/sio.h"

struct rc_msg;
struct rc_shard;

/* An event as it came: `text` is the packet that `packet` was parsed from. */
struct rc_event {
    struct rc_str text;
    const struct rc_sio_packet *packet;
    const struct rc_str *attachment; /* [nattachments] */
    unsigned nattachments;
};

void rc_verbs_event(struct rc_shard *sh, struct rc_socket *k,
                    const struct rc_event *ev) RC_ON_SHARD;
/* Does [connect] of its namespace let this socket in, which is not one of its session's yet? If
 * not, the client has been sent a CONNECT_ERROR. */
bool rc_verbs_admit(struct rc_shard *sh, struct rc_socket *k) RC_ON_SHARD;
/* Answers CONNECT and runs [connect] of the socket's namespace. The client is told that it is
 * connected when its joins are done, and before anything else. */
void rc_verbs_connect(struct rc_shard *sh, struct rc_socket *k) RC_ON_SHARD;
/* The session's fence has passed, or the store has answered: goes on with the rule that waited, if any. */
void rc_verbs_continue(struct rc_shard *sh, struct rc_session *s) RC_ON_SHARD;
/* A STORE_DONE for the session's rule; takes over what the message owns. When all that are to come
 * have come, the rule goes on. */
void rc_verbs_answer(struct rc_shard *sh, struct rc_session *s, struct rc_msg *msg) RC_ON_SHARD;
void rc_verbs_job_free(struct rc_job *job);

#endif /* RC_BROKER_VERBS_H */

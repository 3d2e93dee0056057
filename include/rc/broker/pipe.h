/*
 * pipe.h - requests for sessions of other nodes: the client's connection is passed on to the node that the sid
 * names, byte by byte, from its request on.
 *
 *   client ── rc_conn ──┐ struct rc_pipe ┌── rc_conn ── the other node's cluster.listen: proxied.c
 *                bytes, from either to the other; at most PIPE_MARK and a read wait for each
 *
 * It begins with a PROXY header that says who the client is, with the token of that node, and with the request as
 * it came. That node answers, and ends the connection behind the answer unless it is a WebSocket then: so what a
 * proxy keeps open for many clients does not stay with one node. What came by a pipe is not passed on again.
 *
 * Until the first byte of an answer the request is HTTP's: if the node cannot be reached, is gone or ends the
 * connection, it is answered like any for a session that is not known.
 *
 * Threads:   the shard of the client's connection.
 * Ownership: a pipe has both connections, and goes with the last of them.
 */
#ifndef RC_BROKER_PIPE_H
#define RC_BROKER_PIPE_H

#include "rc/base/str.h"
#include "rc/base/thread.h"
#include "rc/net/conn.h"

#include <stdbool.h>
#include <stdint.h>

struct rc_peer;
struct rc_shard;

/* The connection, which speaks HTTP, and the request whose head `head` is, go to the session's node. Or the
 * request is answered. */
void rc_pipe_open(struct rc_shard *sh, struct rc_conn *c, const struct rc_peer *peer,
                  bool upgrade, struct rc_str head) RC_ON_SHARD;
/* That node is gone: who waits for its answer gets another. What has been answered goes on: the node may be
 * there and only cut off from Redis. */
void rc_pipe_peer_gone(struct rc_shard *sh, uint32_t number) RC_ON_SHARD;
/* The server stops: ends WebSockets; hard: all. */
void rc_pipe_stop(struct rc_shard *sh, bool hard) RC_ON_SHARD;
/* Before that their ends are spread: so many of a thousand should have ended by now. */
void rc_pipe_drain(struct rc_shard *sh, unsigned per_mille) RC_ON_SHARD;

void rc_pipe_init(struct rc_shard *sh);
void rc_pipe_deinit(struct rc_shard *sh);

#endif /* RC_BROKER_PIPE_H */

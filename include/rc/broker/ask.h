/*
 * ask.h - events that ask their receivers for an acknowledgement (action ask).
 *
 * One number stands for the question in every receiver's packet. It names the asker's shard and
 * slot and has 30 random bits, so that nobody who was not asked can answer. The owner of the
 * room tells how many shards it reached, each shard how many sockets; when as many have answered, or
 * the time is over, the asker's own acknowledgement is sent with what there is. Other nodes are asked by the
 * cluster, which passes on what they answer, and says when that was all (ASK_END).
 *
 *   number, 53 bits: {bus:1, random:30, shard:6, slot:16}
 *
 * With the bit `bus` it is another node's question, to which the cluster has the rest (cluster_port.h).
 *
 * Threads:   the asker's shard keeps the question; any shard reports to it.
 * Ownership: the shard's pool owns struct rc_ask.
 */
#ifndef RC_BROKER_ASK_H
#define RC_BROKER_ASK_H

#include "rc/base/thread.h"
#include "rc/broker/msg.h"
#include "rc/broker/session.h"

#include <stdbool.h>
#include <stdint.h>

struct rc_mesh;
struct rc_shard;

#define RC_ASK_BUS (UINT64_C(1) << 52)

/* A question of socket k, whose event has the ack id `id`. one: a single socket is asked, and
 * its answer is passed on as it is. 0: too many are open (limits.max_asks). */
uint64_t rc_ask_begin(struct rc_shard *sh, struct rc_socket *k, uint64_t id, bool one,
                      uint32_t within_ms) RC_ON_SHARD;
/* The question could not be put after all. */
void rc_ask_forget(struct rc_shard *sh, uint64_t number) RC_ON_SHARD;

/* It was put to so many shards, each of which reports; and to other nodes. */
void rc_ask_put(struct rc_shard *sh, uint64_t number, uint32_t shards, bool nodes) RC_ON_SHARD;
/* What those that put the question report; type RC_MSG_ASK_SHARDS or RC_MSG_ASK_SOCKETS. */
void rc_ask_report(struct rc_shard *sh, uint64_t number, enum rc_msg_type type,
                   uint32_t count) RC_ON_SHARD;
/* A socket here answers. json: the array as it came. */
void rc_ask_answer(struct rc_shard *sh, const struct rc_socket *k, uint64_t number,
                   struct rc_str json, const struct rc_str *attachment,
                   unsigned nattachments) RC_ON_SHARD;

/* ---- the cluster's thread ---- */

/* A client of another node answers. json: an array that was validated. */
void rc_ask_pass_answer(struct rc_mesh *mesh, uint64_t number, struct rc_str json,
                        const struct rc_str *attachment, unsigned nattachments);
/* No more will come from there. */
void rc_ask_pass_end(struct rc_mesh *mesh, uint64_t number);

/* ---- a shard ---- */

/* A report or an answer from another thread; takes over what the message owns. */
void rc_ask_mail(struct rc_shard *sh, struct rc_msg *msg) RC_ON_SHARD;
void rc_ask_init(struct rc_shard *sh);
void rc_ask_deinit(struct rc_shard *sh) RC_ON_SHARD;

#endif /* RC_BROKER_ASK_H */

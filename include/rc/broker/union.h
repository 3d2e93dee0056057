/*
 * union.h - the way of a publication with an audience (audience.h) to the shards.
 *
 * When one shard owns all its rooms, it is sequenced there like any other. When the rooms have
 * different owners, it must have one place in the order of each, for all members alike:
 *
 *   session's shard ──UNION──> sequencer ──UNION_ORDER──> each owner ──UNION_PART──> every shard
 *         ^───────────────────────────FENCE_ACK──────────────────────────────────────────┘
 *
 * The sequencer, always the same shard, gives all unions one order, which the owners keep. A shard
 * that meets the UNION_PART of an owner takes nothing more from that owner until those of the
 * others have come. Then it hands out the publication, and goes on.
 *
 * Threads: the steps run on the shards that the drawing names.
 */
#ifndef RC_BROKER_UNION_H
#define RC_BROKER_UNION_H

#include "rc/base/thread.h"
#include "rc/broker/msg.h"
#include "rc/broker/pub.h"
#include "rc/broker/session.h"

struct rc_shard;

/* One for all namespaces: two sequencers could have two owners disagree about the order of two
 * unions, and each would wait for the other. */
enum { RC_UNION_SEQUENCER = 0 };

/* Of another node's publication, on any thread: is its place found by the sequencer and others
 * (UNION), or does the sequencer own all that it is for (PUBLISH)? */
bool rc_union_needs_order(unsigned nshards, const struct rc_pub *pub);

/* Where the publication has to go through: the shard whose lane is to be entered, or
 * RC_UNION_OWNERS, for which the lane is to be left. */
enum { RC_UNION_OWNERS = -1 };
int rc_union_route(const struct rc_shard *sh, uint16_t nsp,
                   const struct rc_audience *a) RC_ON_SHARD;
/* Publishes through that shard. Takes over pub. With RC_UNION_OWNERS the session's input stands still,
 * s->fences is not 0, until everybody has it. */
void rc_union_publish(struct rc_shard *sh, struct rc_session *from, struct rc_pub *pub,
                      int route) RC_ON_SHARD;

/* The shard that the publication goes through: on to the shards with somebody in its audience.
 * Takes over pub. */
void rc_union_spread(struct rc_shard *sh, struct rc_pub *pub) RC_ON_SHARD;
/* UNION, UNION_ORDER, UNION_PART; takes over what the message owns. */
void rc_union_mail(struct rc_shard *sh, struct rc_msg *msg) RC_ON_SHARD;
/* The shard stops: it waits for no owner any more. */
void rc_union_stop(struct rc_shard *sh) RC_ON_SHARD;

#endif /* RC_BROKER_UNION_H */

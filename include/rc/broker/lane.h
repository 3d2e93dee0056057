/*
 * lane.h - first in, first out per session, although its messages take different ways.
 *
 * What a session causes goes through the owner shard of a room: one ring, one order. When its
 * next step takes another way (another owner, straight to a socket), it could overtake the step
 * before. The session therefore keeps to one lane, an owner, and changes only once everything
 * of the old lane has reached the members' queues: usually seen at once from the rings'
 * counters, else asked for by a FENCE (owner → every shard → back), while its input waits.
 *
 *   session's shard ──FENCE──> lane's owner ──FENCE_PASS──> every other shard
 *         ^──────────────────────FENCE_ACK──────────────────────┘
 *
 * Threads: the session's shard, but for the two relaying steps.
 */
#ifndef RC_BROKER_LANE_H
#define RC_BROKER_LANE_H

#include "rc/base/thread.h"
#include "rc/broker/pub.h"
#include "rc/broker/session.h"

#include <stdbool.h>

struct rc_shard;

/* True: the next step may go through `owner` (a shard; the session's own for steps that go straight
 * from there). False: a fence is under way and the session is paused; take the step when
 * rc_lane_passed says so. */
bool rc_lane_enter(struct rc_shard *sh, struct rc_session *s, unsigned owner) RC_ON_SHARD;
/* The same for a step that goes neither through one owner nor straight. True: it may be taken. */
bool rc_lane_leave(struct rc_shard *sh, struct rc_session *s) RC_ON_SHARD;
/* It was taken: the session is paused until each shard has sent a FENCE_ACK. */
void rc_lane_await(struct rc_shard *sh, struct rc_session *s) RC_ON_SHARD;
/* The same for a step that goes through the store, and from there to an owner, or with RC_LANE_MANY
 * to several. While it is under way the session takes no other. */
enum { RC_LANE_MANY = -1 };
bool rc_lane_store(struct rc_shard *sh, struct rc_session *s, int owner) RC_ON_SHARD;
/* These, a bit each, have handed out. False: a fence is under way, as with rc_lane_enter. */
bool rc_lane_stored(struct rc_shard *sh, struct rc_session *s, uint64_t owners) RC_ON_SHARD;
/* A step was taken through the lane. Slows the session down when rings are full. */
void rc_lane_mark(struct rc_shard *sh, struct rc_session *s) RC_ON_SHARD;
/* Sends WebSocket frames to the session itself, behind what it caused before: straight, or
 * through the lane's owner and back. No frames at all: rc_session_release(), in that order. */
void rc_lane_reply(struct rc_shard *sh, struct rc_session *s, struct rc_str frames) RC_ON_SHARD;

/* Has all that the session caused for itself, such as acks, come to its queue? */
bool rc_lane_is_answered(const struct rc_shard *sh, const struct rc_session *s);

/* The steps of a fence, as their messages arrive. */
void rc_lane_fence(struct rc_shard *sh, rc_id session) RC_ON_SHARD;
void rc_lane_fence_pass(struct rc_shard *sh, rc_id session) RC_ON_SHARD;
void rc_lane_fence_ack(struct rc_shard *sh, rc_id session) RC_ON_SHARD;

#endif /* RC_BROKER_LANE_H */

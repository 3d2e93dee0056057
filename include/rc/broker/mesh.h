/*
 * mesh.h - the rings between all threads that talk, and the wake-up of their consumers.
 *
 * Endpoints are numbered: shards 0..n-1, then the acceptor, main, the store, the operators' thread,
 * the cluster and the desk of the Admin UI. Every ordered pair
 * (producer, consuming shard) has one ring per class. A full ring spills into a list of its producer,
 * which is emptied first, in order, at the end of each of its turns: nothing is ever dropped
 * and nobody ever blocks.
 *
 * The wake-up rule: a consumer has a word with a bit for each producer, and ASLEEP. A producer
 * pushes, then sets its bit, and writes the eventfd only if the word was ASLEEP alone. The consumer
 * exchanges it to 0 and then drains those whose bits it took; it falls asleep only from 0, by compare
 * and exchange. ("Wake when the ring was empty" loses wake-ups on a lock-free ring.)
 *
 *     turn:  wait for events if rc_mesh_sleep() ── rc_mesh_rise()? rc_mesh_drain() ── the rest
 *
 * Threads:   post, wake: the producer endpoint's thread.  sleep, rise, drain: the consumer's.
 *            posted, done, poke: any.  new, free: main, while no other thread runs.
 * Ownership: post takes over what the message owns.
 */
#ifndef RC_BROKER_MESH_H
#define RC_BROKER_MESH_H

#include "rc/base/spsc.h"
#include "rc/broker/msg.h"

#include <stdbool.h>
#include <stdint.h>

struct rc_mesh;

/* Requests make their consumer post; results do not. Each class has a ring of its own. While a
 * consumer cannot get rid of the results that it posts, it takes results only: those rings always
 * drain, so that state ends, and then request rings drain too. No cycle of full rings can lock
 * up: that requests of its own wait must not keep a consumer from taking others'. */
enum rc_mesh_class { RC_MESH_RESULTS, RC_MESH_REQUESTS };

enum { RC_MESH_MAX_SHARDS = 64 };

/* ring_slots: a power of two. NULL: out of memory or of descriptors. */
struct rc_mesh *rc_mesh_new(unsigned nshards, uint32_t ring_slots);
void rc_mesh_free(struct rc_mesh *m);
unsigned rc_mesh_shards(const struct rc_mesh *m);
static inline unsigned rc_mesh_acceptor(unsigned nshards)
{
    return nshards;
}
static inline unsigned rc_mesh_main(unsigned nshards)
{
    return nshards + 1;
}
static inline unsigned rc_mesh_store(unsigned nshards)
{
    return nshards + 2;
}
static inline unsigned rc_mesh_admin(unsigned nshards)
{
    return nshards + 3;
}
static inline unsigned rc_mesh_cluster(unsigned nshards)
{
    return nshards + 4;
}
static inline unsigned rc_mesh_ui(unsigned nshards)
{
    return nshards + 5;
}
static inline unsigned rc_mesh_producers(unsigned nshards)
{
    return nshards + 6;
}

/* The consumer's eventfd: written when mail comes while it is asleep. Nobody reads it: it is for an
 * edge-triggered poll. */
int rc_mesh_fd(const struct rc_mesh *m, unsigned to);
/* The consumer wants to wait. False: it must not, mail has come since it last drained. */
bool rc_mesh_sleep(struct rc_mesh *m, unsigned to);
/* It no longer waits, whatever woke it: mail costs its producers no system call from now on. True: there
 * is some, rc_mesh_drain is due. */
bool rc_mesh_rise(struct rc_mesh *m, unsigned to);

/* Copies *msg (its `from` is set here). The consumer is woken by rc_mesh_wake, or here once
 * enough has gathered. */
void rc_mesh_post(struct rc_mesh *m, unsigned from, unsigned to, const struct rc_msg *msg);
/* Wakes all consumers that `from` has posted to since the last wake, and retries its spills.
 * Returns false while spills remain: call again soon. */
bool rc_mesh_wake(struct rc_mesh *m, unsigned from);
/* True when messages of `from` wait because a ring is full: publish less. */
bool rc_mesh_spilling(const struct rc_mesh *m, unsigned from);
/* True when results are among them: it takes no requests. */
bool rc_mesh_blocked(const struct rc_mesh *m, unsigned from);

typedef void rc_mesh_fn(struct rc_msg *msg, void *arg);
/* Hands over waiting messages of those that have woken `to`, at most `budget` of each ring. fn takes
 * what the message owns. Returns false when mail is left over: it cannot sleep then, unless it is left because `to` is
 * blocked: rc_mesh_poke once it is not. */
bool rc_mesh_drain(struct rc_mesh *m, unsigned to, unsigned budget, rc_mesh_fn *fn, void *arg);

/* The same for what `to` has posted to itself: results, by a ring that rc_mesh_drain leaves alone. */
void rc_mesh_drain_own(struct rc_mesh *m, unsigned to, unsigned budget, rc_mesh_fn *fn,
                       void *arg);

/* Called from fn: this message of `from`, a result, is not done with. It stays where it is, and the
 * ring behind it rests, until rc_mesh_pass drops it. */
void rc_mesh_hold(struct rc_mesh *m, unsigned to, unsigned from);
void rc_mesh_pass(struct rc_mesh *m, unsigned to, unsigned from);

/* The consumer gets a turn, as if mail had come. */
void rc_mesh_poke(struct rc_mesh *m, unsigned to);

/* How many messages of a class `from` has ever posted to `to`, spilled ones included; as seen by a
 * thread that has acquired the effects of from's work. */
uint64_t rc_mesh_posted(const struct rc_mesh *m, unsigned from, unsigned to,
                        enum rc_mesh_class class);
/* How many of them `to` has finished. acquire: their effects are visible then. */
uint64_t rc_mesh_done(const struct rc_mesh *m, unsigned from, unsigned to,
                      enum rc_mesh_class class);
/* How many ever went through a spill list (for statistics). */
uint64_t rc_mesh_spilled(const struct rc_mesh *m, unsigned from, unsigned to);

/* Frees what an unread message owns. */
void rc_msg_drop(struct rc_msg *msg);

#endif /* RC_BROKER_MESH_H */

/*
 * place.h - which processor a shard runs on, and who goes first there.
 *
 * That is the kernel's to say, unless server.cpu_affinity or server.realtime are on. It likes to leave two shards on one
 * processor for a while, also while another one has little to do, and a thread that does not sleep keeps its processor until the
 * timer's next tick: 1 to 10 ms in which the other shard's clients wait. So each shard tells the others where it runs,
 * and who has had a processor for 100 us on which another one was within the last 16 ms lets that one go first
 * (sched_yield). That costs a third of a microsecond when the other has nothing to do.
 *
 * Threads:   the shard's; `seen` alone is read by the other shards.
 * Ownership: part of the shard.
 */
#ifndef RC_BROKER_PLACE_H
#define RC_BROKER_PLACE_H

#include "rc/base/thread.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct rc_shard;

struct rc_place {
    _Atomic uint64_t seen; /* where it ran last, and when; 0: not known */
    uint64_t from_us;      /* since when it has not slept, nor let others go first */
    uint64_t end_us;       /* of its last turn */
    bool share;            /* another one's turn comes before its next one */
};

/* When the thread begins: what the configuration says. What is not permitted is said once. */
void rc_place_take(struct rc_shard *sh) RC_ON_SHARD;
/* As in rc_place.seen: processor 0 and so on, at that time. */
uint64_t rc_place_seen(unsigned cpu, uint64_t now_us);
/* The end of a turn that began at rc_turn_us, when all is written. */
void rc_place_turn(struct rc_shard *sh, uint64_t now_us) RC_ON_SHARD;
/* Between two turns: lets another shard go first, if it is its turn. */
void rc_place_share(struct rc_shard *sh) RC_ON_SHARD;

#endif /* RC_BROKER_PLACE_H */

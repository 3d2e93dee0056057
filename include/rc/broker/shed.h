/*
 * shed.h - limits.max_queued_total: when too much waits for slow clients, those furthest behind are closed.
 *
 * What is counted is memory: a message that waits for a thousand clients is counted once on each shard, as
 * it is kept. At the end of a turn a shard publishes what its queues hold; if that is a quarter of an equal
 * share or more, it looks at the sum. If that is over the ceiling, each shard whose share is more than an
 * equal one closes the clients for which most waits, until a tenth is free; those that sleep are given a turn.
 * Whatever has a queue can be closed: sessions, and connections that are no session's, with their HTTP answers.
 *
 * Threads:   the shard.
 * Ownership: none.
 */
#ifndef RC_BROKER_SHED_H
#define RC_BROKER_SHED_H

#include "rc/broker/shard.h"

void rc_shed_now(struct rc_shard *sh, uint64_t own) RC_ON_SHARD;

/* At the end of a turn. */
static inline void rc_shed(struct rc_shard *sh) RC_ON_SHARD;
static inline void rc_shed(struct rc_shard *sh)
{
    uint64_t own = rc_seg_live();

    atomic_store_explicit(&sh->stats.queued, own, memory_order_relaxed);
    if (own > sh->look_above)
        rc_shed_now(sh, own);
}

/* The configuration has changed. */
void rc_shed_init(struct rc_shard *sh);

#endif /* RC_BROKER_SHED_H */

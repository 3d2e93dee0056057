/*
 * stats.h - counters of a shard: written by it alone, read by anyone, added up on demand.
 *
 * Threads: rc_stat_add, rc_stat_set: the owning shard.  rc_stat_get: any.
 */
#ifndef RC_BROKER_STATS_H
#define RC_BROKER_STATS_H

#include "rc/net/conn.h"

#include <stdatomic.h>
#include <stdint.h>

/* X(name, kind of a metric, help) */
#define RC_STATS_MAP(X)                                                                \
    X(handed, counter, "connections that came from the acceptor")                      \
    X(accepted, counter, "connections taken over")                                     \
    X(conns, gauge, "connections open now")                                            \
    X(sessions, gauge, "sessions open now")                                            \
    X(sockets, gauge, "Socket.IO sockets connected now")                               \
    X(rooms, gauge, "rooms owned now")                                                 \
    X(events_in, counter, "events and messages received")                              \
    X(refused, counter, "events refused by their rule or a limit")                     \
    X(published, counter, "publications sequenced as owner of the room")               \
    X(deliveries, counter, "publications handed to members here")                      \
    X(unions, counter, "publications to rooms of several owners, sequenced")           \
    X(queued, gauge, "bytes that wait to be written, those of a message once a shard") \
    X(rate_delays, counter, "times that a client was not read because of its rate")    \
    X(rate_dropped, counter, "messages dropped because of the client's rate")          \
    X(dropped, counter, "volatile publications that a member was not given")           \
    X(fences, counter, "fences that a session had to wait for")                        \
    X(spills, counter, "messages that found a ring full")                              \
    X(ui_dropped, counter, "events that operators in the Admin UI were not told of")

struct rc_stats {
#define RC_STATS_FIELD(name, kind, help) _Atomic uint64_t name;
    RC_STATS_MAP(RC_STATS_FIELD)
#undef RC_STATS_FIELD
    _Atomic uint64_t closed[RC_CLOSE_COUNT]; /* connections and sessions, by reason */
};

/* relaxed: one writer, and readers want a recent figure, not an order */
static inline void rc_stat_add(_Atomic uint64_t *s, int64_t n)
{
    atomic_store_explicit(s, atomic_load_explicit(s, memory_order_relaxed) + (uint64_t)n,
                          memory_order_relaxed);
}
static inline uint64_t rc_stat_get(const _Atomic uint64_t *s)
{
    return atomic_load_explicit(s, memory_order_relaxed);
}

#endif /* RC_BROKER_STATS_H */

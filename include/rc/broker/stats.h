/*
 * stats.h - counters of a shard: written by it alone, read by anyone, added up on demand.
 *
 * Threads: rc_stat_add, rc_stat_set: the owning shard.  rc_stat_get: any.
 */
#ifndef RC_BROKER_STATS_H
#define RC_BROKER_STATS_H

#include "rc/base/hist.h"
#include "rc/net/conn.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* X(name, kind of a metric, help) */
#define RC_STATS_MAP(X)                                                                \
    X(handed, counter, "connections that came from the acceptor")                      \
    X(accepted, counter, "connections taken over")                                     \
    X(conns, gauge, "connections open now")                                            \
    X(tls_handshakes, counter, "TLS handshakes completed")                             \
    X(tls_resumed, counter, "TLS handshakes that took up an earlier session")          \
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
    X(received_bytes, counter, "bytes read from clients")                              \
    X(sent_bytes, counter, "bytes written to clients")                                 \
    X(blocked, gauge, "connections whose socket is full: bytes wait for it")           \
    X(heartbeat_timeouts, counter, "sessions that did not answer in time")             \
    X(dropped, counter, "volatile publications that a member was not given")           \
    X(fences, counter, "fences that a session had to wait for")                        \
    X(peers_bad, counter, "what other nodes told that could not be read")              \
    X(peers_refused, counter, "users and rooms of other nodes that were too many")     \
    X(pipes, gauge, "connections that are passed on to other nodes now")               \
    X(pipes_made, counter, "connections that were passed on to other nodes")           \
    X(pipes_failed, counter, "those that were not, or were not answered there")        \
    X(piped, counter, "connections that other nodes have passed on to this one")       \
    X(ui_dropped, counter, "events that operators in the Admin UI were not told of")   \
    X(turns, counter, "turns of the loop")                                             \
    X(yields, counter, "times that a shard let another one on its processor go first")

/* Sessions by what they speak, as rc_session.kind. */
enum { RC_TRANSPORTS = 3 };

struct rc_stats {
#define RC_STATS_FIELD(name, kind, help) _Atomic uint64_t name;
    RC_STATS_MAP(RC_STATS_FIELD)
#undef RC_STATS_FIELD
    _Atomic uint64_t closed[RC_CLOSE_COUNT]; /* connections and sessions, by reason */
    _Atomic uint64_t transport[RC_TRANSPORTS];
    struct rc_hist fanout; /* members here that a publication was handed to */
    struct rc_hist
        latency; /* us, from a publication's born_us to when its members were written to */
    struct rc_hist turn; /* us that a turn kept what came meanwhile waiting */
};

/* Publications handed out in this turn, by when they were born; they are done when it ends. What is more than
 * fits counts with the one before. */
enum { RC_BIRTHS = 16 };
struct rc_births {
    struct {
        uint64_t us, times;
    } at[RC_BIRTHS];
    unsigned n;
};
static inline void rc_births_add(struct rc_births *b, uint64_t us)
{
    if (us == 0)
        return;
    if (b->n != 0 && (b->at[b->n - 1].us == us || b->n == RC_BIRTHS)) {
        b->at[b->n - 1].times++;
        return;
    }
    b->at[b->n].us = us;
    b->at[b->n++].times = 1;
}

/* relaxed: one writer, and readers want a recent figure, not an order */
static inline void rc_stat_add(_Atomic uint64_t *s, int64_t n)
{
    atomic_store_explicit(s, atomic_load_explicit(s, memory_order_relaxed) + (uint64_t)n,
                          memory_order_relaxed);
}
static inline void rc_stat_set(_Atomic uint64_t *s, uint64_t value)
{
    atomic_store_explicit(s, value, memory_order_relaxed);
}
static inline uint64_t rc_stat_get(const _Atomic uint64_t *s)
{
    return atomic_load_explicit(s, memory_order_relaxed);
}
/* One of RC_STATS_MAP, by its offset. */
static inline const _Atomic uint64_t *rc_stat_at(const struct rc_stats *s, size_t offset)
{
    return (const _Atomic uint64_t *)((const char *)s + offset);
}

#endif /* RC_BROKER_STATS_H */

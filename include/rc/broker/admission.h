/*
 * admission.h - who may connect: what all shards and the acceptor count together.
 *
 *   accept4 ──in total: memory, connections, rate──> shard ──its address: rate, connections──> served
 *
 * Connections are counted by address (IPv6 by /64) where the address is known: on the shard. The table
 * has 64 parts, each with a mutex of its own that is held for one look, when a connection comes and
 * when it goes, and only if there are limits per address; never on the way of a message. An address is
 * forgotten when its last connection has gone and its buckets are full again. What is remembered is bounded:
 * in a part that is full, addresses without connections are forgotten at once.
 *
 * Threads:   new, free: main.  total: the acceptor, or the only shard.  watch: main.  set: who reloads.
 *            All else: any.
 * Ownership: the configuration is borrowed.
 */
#ifndef RC_BROKER_ADMISSION_H
#define RC_BROKER_ADMISSION_H

#include "rc/base/conf.h"
#include "rc/net/conn.h"

#include <stdbool.h>
#include <stdint.h>

/* Why a connection is turned away. X(name, key of [limits], HTTP status) */
#define RC_REFUSAL_MAP(X)                                    \
    X(RC_REFUSAL_CONNECTIONS, max_connections, 503)          \
    X(RC_REFUSAL_MEMORY, max_memory, 503)                    \
    X(RC_REFUSAL_RATE, accept_rate, 503)                     \
    X(RC_REFUSAL_ADDRESS_RATE, accept_rate_per_address, 429) \
    X(RC_REFUSAL_ADDRESS, max_connections_per_address, 429)

enum rc_refusal {
#define RC_REFUSAL_ENUM(name, key, status) name,
    RC_REFUSAL_MAP(RC_REFUSAL_ENUM)
#undef RC_REFUSAL_ENUM
        RC_REFUSAL_COUNT,
    RC_ADMITTED = RC_REFUSAL_COUNT
};
/* The key that is the reason. */
const char *rc_refusal_key(enum rc_refusal why);

struct rc_admission;

struct rc_admission *rc_admission_new(const struct rc_conf *conf, uint32_t max_conns);
/* ad may be NULL, here and below: then there are no limits. */
void rc_admission_free(struct rc_admission *ad);
/* Another configuration is in effect. Who is connected stays counted, or not, as when it came. */
void rc_admission_set(struct rc_admission *ad, const struct rc_conf *conf);

/* A connection has been accepted, and there is room for it: may it stay, whoever it is? */
enum rc_refusal rc_admission_total(struct rc_admission *ad, uint64_t now_ms);
/* May one of that address? RC_ADMITTED: *ticket is to be given back when the connection ends; 0: it
 * is not counted. */
enum rc_refusal rc_admission_enter(struct rc_admission *ad, const struct rc_addr *peer,
                                   uint64_t now_ms, uint32_t *ticket);
void rc_admission_leave(struct rc_admission *ad, uint32_t ticket, uint64_t now_ms);
/* Counts what it returns, and logs the first of each kind, and then one a minute. Sends fd what HTTP has
 * to say of it, if plain, and closes it. */
void rc_admission_turn_away(struct rc_admission *ad, int fd, enum rc_refusal why, bool plain);

/* Tokens: may another one of that address be verified? Milliseconds until then, or 0. */
uint64_t rc_admission_token_wait(struct rc_admission *ad, const struct rc_addr *peer,
                                 uint64_t now_ms);
/* One was bad. */
void rc_admission_token_bad(struct rc_admission *ad, const struct rc_addr *peer,
                            uint64_t now_ms);

/* Looks at what memory the process has; to be called about once a second. */
void rc_admission_watch(struct rc_admission *ad);
/* Is the ceiling reached? */
bool rc_admission_is_over(const struct rc_admission *ad);

/* What limits.max_memory and limits.max_queued_total come to, in bytes; 0: off. */
uint64_t rc_admission_ceiling(const struct rc_conf *conf);
uint64_t rc_admission_queue_ceiling(const struct rc_conf *conf);

/* X(name, kind of a metric, help) */
#define RC_ADMISSION_STATS_MAP(X)                                               \
    X(memory_bytes, gauge, "resident bytes of the process, about a second ago") \
    X(memory_ceiling_bytes, gauge, "limits.max_memory in bytes, 0: off")        \
    X(memory_over, gauge, "1 while the ceiling refuses new connections")        \
    X(memory_over_times, counter, "times that the ceiling was reached")         \
    X(addresses, gauge, "addresses that limits per address remember")           \
    X(tokens_unlooked, counter, "tokens refused unverified: too many bad ones of that address")

struct rc_admission_stats {
#define RC_ADMISSION_FIELD(name, kind, help) uint64_t name;
    RC_ADMISSION_STATS_MAP(RC_ADMISSION_FIELD)
#undef RC_ADMISSION_FIELD
    uint64_t refused[RC_REFUSAL_COUNT]; /* connections turned away */
};
void rc_admission_stats(const struct rc_admission *ad, struct rc_admission_stats *out);

#endif /* RC_BROKER_ADMISSION_H */

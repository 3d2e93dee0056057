/*
 * link.h - the connections to Redis: one that publishes, one that is subscribed. Each comes back by itself,
 * later each time until it has held, and by chance earlier, so that nodes do not come all at once.
 *
 *   connect ── AUTH ── (SUBSCRIBE …, confirmed) ── ready ── lost ── wait ── connect …
 *
 * The link is up while both are ready. What it publishes to itself shows that messages come through: a
 * connection that says nothing for too long is lost, too.
 *
 * Threads:   the cluster's, but for new, probe, free: main, while that does not run.
 * Ownership: owns its connections and events; base and url are borrowed.
 */
#ifndef RC_CLUSTER_LINK_H
#define RC_CLUSTER_LINK_H

#include "rc/base/buf.h"
#include "rc/base/err.h"
#include "rc/base/str.h"
#include "rc/cluster/url.h"

#include <event2/event.h>
#include <stdbool.h>

struct rc_link;

/* What it tells. */
struct rc_link_ops {
    void (*up)(void *arg);
    void (*down)(void *arg);
    /* Appends the channels to subscribe to, when the connection is new: {length:4, bytes} of each, as
     * in bus.h; patterns is for those with a *. */
    void (*channels)(void *arg, struct rc_buf *channels, struct rc_buf *patterns);
    /* pattern: by which of these it has come; or empty. */
    void (*message)(void *arg, struct rc_str pattern, struct rc_str channel,
                    struct rc_str payload);
    /* Redis has taken a message, of that size, or it was lost. Not the time to publish. */
    void (*sent)(void *arg, size_t size, bool lost);
    /* The answer to rc_link_count(); -1: there is none. */
    void (*counted)(void *arg, uint64_t number, long long count);
};

struct rc_link *rc_link_new(struct event_base *base, const struct rc_redis_url *url,
                            struct rc_str heartbeat, const struct rc_link_ops *ops, void *arg);
/* Can Redis be reached, and does it let us in? Waits for timeout_ms at most. RC_OK; RC_ECLOSED: it
 * cannot be reached; RC_EINVAL: it refuses. why: the reason. */
int rc_link_probe(const struct rc_redis_url *url, uint32_t timeout_ms, char *why,
                  size_t size) RC_MUSTCHECK;
void rc_link_start(struct rc_link *l);
void rc_link_free(struct rc_link *l);

bool rc_link_is_up(const struct rc_link *l);
/* Only while it is up. The payload is copied; sent() follows. */
void rc_link_publish(struct rc_link *l, struct rc_str channel, struct rc_str payload);
/* For how long nothing has come, while it is up. What a node publishes to itself comes, too. */
uint64_t rc_link_silence_ms(const struct rc_link *l);
/* How many are subscribed to that very channel; counted() follows. False: it is not up. */
bool rc_link_count(struct rc_link *l, struct rc_str channel, uint64_t number);
/* Another channel, or one less, while it is up; else channels() will tell. */
void rc_link_subscribe(struct rc_link *l, struct rc_str channel, bool pattern, bool on);
/* Writes what there is: at the end of each turn of the loop. */
void rc_link_flush(struct rc_link *l);
/* Nothing is read for the time being, or it is again. */
void rc_link_rest(struct rc_link *l, bool rests);

#endif /* RC_CLUSTER_LINK_H */

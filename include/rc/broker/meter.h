/*
 * meter.h - how fast a session may send: messages and bytes a second, each with a burst.
 *
 *   delay   who sends faster is not read until the bucket has filled up again, so that TCP, or the
 *           answer to a POST, holds the client back. Nothing is lost. The default.
 *   drop    events, messages of echo and relay endpoints, and CONNECTs above the rate are refused with
 *           the error `rate_limited`; bytes are delayed.
 *   close   the session ends.
 *
 * A session's buckets lie in an array of the shard, which is there only if there is such a limit: 16
 * bytes for each session. Without one a message costs a look at a flag.
 *
 * Threads:   the session's shard.
 * Ownership: the shard's.
 */
#ifndef RC_BROKER_METER_H
#define RC_BROKER_METER_H

#include "rc/base/bucket.h"
#include "rc/broker/shard.h"

#include <stdbool.h>

/* What a client is told whose message was dropped. */
#define RC_RATE_CODE "rate_limited"
#define RC_RATE_TEXT "too many messages a second"

struct rc_meter {
    struct rc_bucket messages, bytes;
};

bool rc_meter_count(struct rc_shard *sh, struct rc_session *s) RC_ON_SHARD;
void rc_meter_charge(struct rc_shard *sh, struct rc_session *s, size_t bytes) RC_ON_SHARD;
void rc_meter_reset(struct rc_shard *sh, const struct rc_session *s) RC_ON_SHARD;

/* A session begins. */
static inline void rc_meter_open(struct rc_shard *sh, const struct rc_session *s) RC_ON_SHARD;
static inline void rc_meter_open(struct rc_shard *sh, const struct rc_session *s)
{
    if (sh->app->metered)
        rc_meter_reset(sh, s);
}
/* A message has come, and is about to be worked on; sh->over_rate says that it is to be dropped. False:
 * the session was closed. */
static inline bool rc_meter_message(struct rc_shard *sh, struct rc_session *s) RC_ON_SHARD;
static inline bool rc_meter_message(struct rc_shard *sh, struct rc_session *s)
{
    sh->over_rate = false;
    return !sh->app->metered || rc_meter_count(sh, s);
}
/* So many bytes were read. May pause or close the session. */
static inline void rc_meter_bytes(struct rc_shard *sh, struct rc_session *s,
                                  size_t bytes) RC_ON_SHARD;
static inline void rc_meter_bytes(struct rc_shard *sh, struct rc_session *s, size_t bytes)
{
    if (sh->app->metered)
        rc_meter_charge(sh, s, bytes);
}

void rc_meter_init(struct rc_shard *sh);
void rc_meter_deinit(struct rc_shard *sh);

#endif /* RC_BROKER_METER_H */

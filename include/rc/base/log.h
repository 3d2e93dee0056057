/*
 * log.h - one line per event on stderr, written by a thread of its own so that a slow or full
 * log never stalls a shard.
 *
 *   2026-11-21T21:24:08.123Z info  shard=0 conn=0.17.3 peer=127.0.0.1:5123 closed reason=ping_timeout
 *
 * Each thread that logs owns a bounded lock-free byte ring; when it is full, lines are dropped
 * and counted, and the next line that fits says how many.
 *
 * Threads:   start, stop: main.  rc_log: any thread; the first call on a thread registers it.
 *            Before start and after stop lines go straight to stderr.
 */
#ifndef RC_BASE_LOG_H
#define RC_BASE_LOG_H

#include "rc/base/conf.h"
#include "rc/base/err.h"

#include <stdatomic.h>
#include <stdbool.h>

extern _Atomic int rc_log_threshold; /* enum rc_loglevel; relaxed */

static inline bool rc_log_on(enum rc_loglevel level)
{
    return (int)level <= atomic_load_explicit(&rc_log_threshold, memory_order_relaxed);
}

int rc_log_start(enum rc_loglevel level) RC_MUSTCHECK;
void rc_log_stop(void); /* writes what is left, then joins */
/* Control characters in the text are written as \xNN, so a peer cannot forge lines. */
void rc_log_write(enum rc_loglevel level, const char *fmt, ...) RC_PRINTF(2, 3);

#define rc_log(level, ...) (rc_log_on(level) ? rc_log_write(level, __VA_ARGS__) : (void)0)

#endif /* RC_BASE_LOG_H */

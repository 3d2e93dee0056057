/*
 * timer.h - deadline-ordered queues: one per kind of timeout, each of one duration, so that
 * starting, stopping and expiring one are O(1).
 *
 * Threads:   one at a time.
 * Ownership: a timer is part of the object that it times.
 */
#ifndef RC_BASE_TIMER_H
#define RC_BASE_TIMER_H

#include "rc/base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct rc_timer {
    struct rc_list link;
    uint64_t due_ms; /* rc_clock_ms() */
};

typedef void rc_timer_fn(struct rc_timer *t, void *arg);

struct rc_timerq {
    struct rc_list due; /* of rc_timer, soonest first */
    uint64_t duration_ms;
    rc_timer_fn *fn;
    void *arg;
    uint64_t *soonest; /* lowered when a timer is due before it; may be NULL */
};

void rc_timerq_init(struct rc_timerq *q, uint64_t duration_ms, rc_timer_fn *fn, void *arg);
/* (Re)starts: due duration_ms after now. The timer may run in any queue, or in none. */
void rc_timer_start(struct rc_timerq *q, struct rc_timer *t, uint64_t now_ms);
/* The same with another delay; costs O(timers that are due later). */
void rc_timer_start_in(struct rc_timerq *q, struct rc_timer *t, uint64_t now_ms,
                       uint64_t in_ms);
/* Another duration, for those that run as well: none of them has longer left from now on. Costs O(timers
 * that had). */
void rc_timerq_set(struct rc_timerq *q, uint64_t duration_ms, uint64_t now_ms);
void rc_timer_stop(struct rc_timer *t);
static inline bool rc_timer_running(const struct rc_timer *t)
{
    return rc_list_linked(&t->link);
}
/* Stops the first timer and calls fn for it, if it is due; fn may start and stop any timer. False: none is. */
bool rc_timerq_expire(struct rc_timerq *q, uint64_t now_ms);
/* When the first is due, UINT64_MAX for never. */
uint64_t rc_timerq_next(const struct rc_timerq *q);

/* Monotonic, milliseconds; and wall clock, milliseconds since 1970. Any thread. */
uint64_t rc_clock_ms(void);
uint64_t rc_clock_us(void); /* monotonic, microseconds */
/* When what this thread works on came: the start of a shard's turn, rc_clock_us(). 0: no shard's thread. */
extern _Thread_local uint64_t rc_turn_us;
uint64_t rc_clock_wall_ms(void);

#endif /* RC_BASE_TIMER_H */

#include "rc/base/timer.h"

#include <time.h>

void rc_timerq_init(struct rc_timerq *q, uint64_t duration_ms, rc_timer_fn *fn, void *arg)
{
    *q = (struct rc_timerq){.duration_ms = duration_ms, .fn = fn, .arg = arg};
    rc_list_init(&q->due);
}

void rc_timer_start(struct rc_timerq *q, struct rc_timer *t, uint64_t now_ms)
{
    rc_timer_start_in(q, t, now_ms, q->duration_ms);
}

void rc_timer_start_in(struct rc_timerq *q, struct rc_timer *t, uint64_t now_ms, uint64_t in_ms)
{
    struct rc_list *at = q->due.prev;

    rc_timer_stop(t);
    if (at == &t->link)
        at = q->due.prev;
    t->due_ms = now_ms + in_ms;
    if (q->soonest != NULL && t->due_ms < *q->soonest)
        *q->soonest = t->due_ms;
    /* From the end: with one duration per queue the first look already fits. */
    while (at != &q->due && RC_CONTAINER(at, struct rc_timer, link)->due_ms > t->due_ms)
        at = at->prev;
    rc_list_append(at->next, &t->link);
}

void rc_timerq_set(struct rc_timerq *q, uint64_t duration_ms, uint64_t now_ms)
{
    uint64_t latest = now_ms + duration_ms;

    q->duration_ms = duration_ms;
    for (struct rc_list *at = q->due.prev; at != &q->due; at = at->prev) {
        struct rc_timer *t = RC_CONTAINER(at, struct rc_timer, link);

        if (t->due_ms <= latest)
            break;
        t->due_ms = latest;
    }
    if (q->soonest != NULL && rc_timerq_next(q) < *q->soonest)
        *q->soonest = rc_timerq_next(q);
}

void rc_timer_stop(struct rc_timer *t)
{
    if (rc_list_linked(&t->link))
        rc_list_remove(&t->link);
}

bool rc_timerq_expire(struct rc_timerq *q, uint64_t now_ms)
{
    struct rc_timer *t = RC_CONTAINER(q->due.next, struct rc_timer, link);

    if (rc_list_empty(&q->due) || t->due_ms > now_ms)
        return false;
    rc_list_remove(&t->link);
    q->fn(t, q->arg);
    return true;
}

uint64_t rc_timerq_next(const struct rc_timerq *q)
{
    return rc_list_empty(&q->due) ? UINT64_MAX
                                  : RC_CONTAINER(q->due.next, struct rc_timer, link)->due_ms;
}

static uint64_t read_clock(clockid_t id)
{
    struct timespec ts;

    (void)clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

_Thread_local uint64_t rc_turn_us;

uint64_t rc_clock_us(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t rc_clock_ms(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t rc_clock_wall_ms(void)
{
    return read_clock(CLOCK_REALTIME);
}

#include "rc/base/timer.h"

#include <criterion/criterion.h>
#include <time.h>

struct watch {
    struct rc_timer timer;
    int id;
};

struct log {
    int fired[4096];
    unsigned n;
    struct rc_timerq *restart_in; /* the callback starts the timer there */
    struct rc_timer *stop;        /* and stops that one */
    uint64_t now;
};

static void on_due(struct rc_timer *t, void *arg)
{
    struct log *l = arg;

    cr_assert_not(rc_timer_running(t));
    cr_assert_lt(l->n, sizeof(l->fired) / sizeof(l->fired[0]));
    l->fired[l->n++] = RC_CONTAINER(t, struct watch, timer)->id;
    if (l->restart_in != NULL)
        rc_timer_start(l->restart_in, t, l->now);
    if (l->stop != NULL)
        rc_timer_stop(l->stop);
}

static void expire(struct rc_timerq *q, uint64_t now)
{
    while (rc_timerq_expire(q, now))
        continue;
}

Test(timer, fires_in_order_and_not_early)
{
    struct log l = {.n = 0};
    struct rc_timerq q;
    struct watch w[3] = {{.id = 0}, {.id = 1}, {.id = 2}};

    rc_timerq_init(&q, 100, on_due, &l);
    cr_assert_eq(rc_timerq_next(&q), UINT64_MAX);
    expire(&q, UINT64_MAX);
    for (uint64_t i = 0; i < 3; i++) {
        cr_assert_not(rc_timer_running(&w[i].timer));
        rc_timer_start(&q, &w[i].timer, 1000 + i * 10);
        cr_assert(rc_timer_running(&w[i].timer));
    }
    cr_assert_eq(rc_timerq_next(&q), 1100u);
    expire(&q, 1099);
    cr_assert_eq(l.n, 0u);
    expire(&q, 1100);
    cr_assert_eq(l.n, 1u);
    cr_assert_eq(rc_timerq_next(&q), 1110u);
    expire(&q, 5000);
    cr_assert_eq(l.n, 3u);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(l.fired[i], i);
    cr_assert_eq(rc_timerq_next(&q), UINT64_MAX);
}

Test(timer, equal_deadlines_fire_as_started)
{
    struct log l = {.n = 0};
    struct rc_timerq q;
    struct watch w[5] = {{.id = 0}, {.id = 1}, {.id = 2}, {.id = 3}, {.id = 4}};

    rc_timerq_init(&q, 100, on_due, &l);
    for (int i = 0; i < 5; i++)
        rc_timer_start(&q, &w[i].timer, 1000);
    rc_timer_start(&q, &w[1].timer, 1000); /* anew: behind the others */
    expire(&q, 1100);
    cr_assert_arr_eq(l.fired, ((int[]){0, 2, 3, 4, 1}), 5 * sizeof(int));
}

Test(timer, restarting_moves_the_deadline)
{
    struct log l = {.n = 0};
    struct rc_timerq q;
    struct watch w[2] = {{.id = 0}, {.id = 1}};

    rc_timerq_init(&q, 100, on_due, &l);
    rc_timer_start(&q, &w[0].timer, 1000);
    rc_timer_start(&q, &w[0].timer, 1050); /* the only one: it is its own neighbour */
    cr_assert_eq(rc_timerq_next(&q), 1150u);
    rc_timer_start(&q, &w[1].timer, 1060);
    rc_timer_start(&q, &w[0].timer, 1070);
    expire(&q, 1160);
    cr_assert_eq(l.n, 1u);
    cr_assert_eq(l.fired[0], 1);
    expire(&q, 1170);
    cr_assert_eq(l.n, 2u);
}

Test(timer, moves_to_another_queue)
{
    struct log la = {.n = 0}, lb = {.n = 0};
    struct rc_timerq a, b;
    struct watch w = {.id = 1};

    rc_timerq_init(&a, 10, on_due, &la);
    rc_timerq_init(&b, 20, on_due, &lb);
    rc_timer_start(&a, &w.timer, 0);
    rc_timer_start(&b, &w.timer, 0);
    cr_assert_eq(rc_timerq_next(&a), UINT64_MAX);
    cr_assert_eq(rc_timerq_next(&b), 20u);
    expire(&a, 1000);
    expire(&b, 1000);
    cr_assert_eq(la.n, 0u);
    cr_assert_eq(lb.n, 1u);
}

Test(timer, ping_and_pong)
{
    struct log l = {.n = 0};
    struct rc_timerq ping, pong;
    struct watch w = {.id = 1};

    rc_timerq_init(&ping, 25, on_due, &l);
    rc_timerq_init(&pong, 20, on_due, &l);
    rc_timer_start(&ping, &w.timer, 0);
    l.restart_in = &pong;
    l.now = 25;
    expire(&ping, 25);
    cr_assert_eq(l.n, 1u);
    cr_assert_eq(rc_timerq_next(&ping), UINT64_MAX);
    cr_assert_eq(rc_timerq_next(&pong), 45u);
    rc_timer_stop(&w.timer);
    rc_timer_stop(&w.timer); /* one that does not run is left alone */
    expire(&pong, 1000);
    cr_assert_eq(l.n, 1u);
}

/* The callback stops the one that would be next. */
Test(timer, stop_in_callback)
{
    struct log l = {.n = 0};
    struct rc_timerq q;
    struct watch w[3] = {{.id = 0}, {.id = 1}, {.id = 2}};

    rc_timerq_init(&q, 10, on_due, &l);
    for (int i = 0; i < 3; i++)
        rc_timer_start(&q, &w[i].timer, 0);
    l.stop = &w[1].timer;
    expire(&q, 10);
    cr_assert_eq(l.n, 2u);
    cr_assert_eq(l.fired[0], 0);
    cr_assert_eq(l.fired[1], 2);
}

/* Started anew in its own callback it is due a whole duration later, not in this sweep. */
Test(timer, restart_in_callback)
{
    struct log l = {.n = 0, .now = 10};
    struct rc_timerq q;
    struct watch w[2] = {{.id = 0}, {.id = 1}};

    rc_timerq_init(&q, 10, on_due, &l);
    l.restart_in = &q;
    rc_timer_start(&q, &w[0].timer, 0);
    rc_timer_start(&q, &w[1].timer, 0);
    expire(&q, 10);
    cr_assert_eq(l.n, 2u);
    cr_assert_eq(rc_timerq_next(&q), 20u);
    l.now = 20;
    expire(&q, 20);
    cr_assert_eq(l.n, 4u);
    cr_assert_arr_eq(l.fired, ((int[]){0, 1, 0, 1}), 4 * sizeof(int));
}

Test(timer, mixed_durations)
{
    struct log l = {.n = 0};
    struct rc_timerq q;
    struct watch w[5] = {{.id = 0}, {.id = 1}, {.id = 2}, {.id = 3}, {.id = 4}};

    rc_timerq_init(&q, 0, on_due, &l);
    rc_timer_start_in(&q, &w[3].timer, 0, 300);
    rc_timer_start_in(&q, &w[1].timer, 0, 100); /* before all */
    rc_timer_start_in(&q, &w[2].timer, 0, 200); /* in between */
    rc_timer_start_in(&q, &w[4].timer, 0, 400); /* behind all */
    rc_timer_start_in(&q, &w[0].timer, 0, 0);   /* due at once */
    rc_timer_start_in(&q, &w[3].timer, 0, 300); /* where it is already */
    expire(&q, 1000);
    cr_assert_arr_eq(l.fired, ((int[]){0, 1, 2, 3, 4}), 5 * sizeof(int));
}

/* Random starts and stops against the plain definition: all that is due, soonest first, equal
 * ones as they were started. */
Test(timer, model)
{
    enum { N = 50 };
    static struct log l;
    static struct watch w[N];
    static uint64_t due[N], started[N];
    struct rc_timerq q;
    uint32_t r = 1;
    uint64_t now = 0, count = 0;

    l = (struct log){.n = 0};
    memset(w, 0, sizeof(w));
    memset(started, 0, sizeof(started));
    rc_timerq_init(&q, 0, on_due, &l);
    for (unsigned step = 0; step < 30000; step++) {
        unsigned i = (r = r * 1664525 + 1013904223) >> 16, what = i >> 8 & 7;

        i %= N;
        w[i].id = (int)i;
        if (what < 4) {
            uint64_t in = (r >> 8) % 40;

            rc_timer_start_in(&q, &w[i].timer, now, in);
            due[i] = now + in;
            started[i] = ++count;
        } else if (what < 6) {
            rc_timer_stop(&w[i].timer);
            started[i] = 0;
        } else {
            l.n = 0;
            now += r % 7;
            expire(&q, now);
            for (unsigned k = 0; k < l.n; k++) {
                int best = -1;

                for (int j = 0; j < N; j++)
                    if (started[j] != 0 && due[j] <= now &&
                        (best < 0 || due[j] < due[best] ||
                         (due[j] == due[best] && started[j] < started[best])))
                        best = j;
                cr_assert_eq(l.fired[k], best);
                started[best] = 0;
            }
            for (int j = 0; j < N; j++)
                cr_assert(started[j] == 0 || due[j] > now);
        }
        for (int j = 0; j < N; j++)
            cr_assert_eq(rc_timer_running(&w[j].timer), started[j] != 0);
    }
}

static void count_up(struct rc_timer *t, void *arg)
{
    (void)t;
    ++*(unsigned *)arg;
}

/* Another duration: those that run have no longer left, and stay in order. */
Test(timer, duration)
{
    unsigned fired = 0;
    uint64_t soonest = UINT64_MAX;
    struct rc_timerq q;
    struct rc_timer t[4] = {{.due_ms = 0}};

    rc_timerq_init(&q, 100, count_up, &fired);
    q.soonest = &soonest;
    for (unsigned i = 0; i < 3; i++)
        rc_timer_start(&q, &t[i], 1000 + 40 * i); /* due at 1100, 1140, 1180 */
    rc_timerq_set(&q, 50, 1080);
    cr_assert_eq(t[0].due_ms, 1100u);
    cr_assert_eq(t[1].due_ms, 1130u);
    cr_assert_eq(t[2].due_ms, 1130u);
    rc_timer_start(&q, &t[3], 1081);
    cr_assert_eq(t[3].due_ms, 1131u);
    rc_timerq_set(&q, 10, 1081);
    cr_assert_eq(soonest, 1091u);
    expire(&q, 1091);
    cr_assert_eq(fired, 4u);
    rc_timerq_set(&q, 1000, 1091);
    rc_timer_start(&q, &t[0], 1091);
    cr_assert_eq(t[0].due_ms, 2091u);
}

Test(timer, clocks)
{
    uint64_t a = rc_clock_ms(), wall = rc_clock_wall_ms(), b;
    struct timespec ms5 = {.tv_nsec = 5000000};

    (void)nanosleep(&ms5, NULL);
    b = rc_clock_ms();
    cr_assert_geq(b, a + 4);
    cr_assert_lt(b, a + 60000);
    cr_assert_geq(wall / 1000, (uint64_t)time(NULL) - 2);
    cr_assert_leq(wall / 1000, (uint64_t)time(NULL) + 2);
}

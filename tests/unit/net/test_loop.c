#include "rc/net/loop.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct bench {
    struct rc_loop loop;
    unsigned turns, turns_max, stop_after;
    struct rc_timerq q, q2;
    uint64_t fired_at[16];
    unsigned fired;
    int waker;
};

static void on_turn(void *arg)
{
    struct bench *b = arg;

    rc_assert_on_shard(b);
    b->turns++;
    if (b->turns == b->turns_max)
        rc_loop_stop(&b->loop);
}

static bool may_wait(void *arg)
{
    (void)arg;
    return true;
}

static void on_due(struct rc_timer *t, void *arg)
{
    struct bench *b = arg;

    (void)t;
    rc_assert_on_shard(b);
    b->fired_at[b->fired++ % 16] = rc_clock_ms();
    if (b->fired == b->stop_after)
        rc_loop_stop(&b->loop);
}

static void open_bench(struct bench *b)
{
    *b = (struct bench){.turns = 0};
    rc_thread_enter("test", b);
    rc_assert_on_shard(b);
    cr_assert_eq(rc_loop_init(&b->loop, b, 10), RC_OK);
    rc_timerq_init(&b->q, 30, on_due, b);
    rc_timerq_init(&b->q2, 60, on_due, b);
    rc_loop_add_timerq(&b->loop, &b->q);
    rc_loop_add_timerq(&b->loop, &b->q2);
}

/* As many queues as somebody wants, each of its own duration. */
Test(loop, many_timer_queues)
{
    enum { N = 40 };
    struct bench b;
    static struct rc_timerq q[N];
    static struct rc_timer t[N];
    uint64_t start;

    open_bench(&b);
    rc_assert_on_shard(&b);
    memset(t, 0, sizeof(t));
    b.loop.now_ms = start = rc_clock_ms();
    for (unsigned i = 0; i < N; i++) {
        rc_timerq_init(&q[i], (i * 7) % 20, on_due, &b);
        rc_loop_add_timerq(&b.loop, &q[i]);
        rc_timer_start(&q[i], &t[i], start);
    }
    b.stop_after = N;
    rc_loop_run(&b.loop, may_wait, on_turn, &b);
    cr_assert_geq(b.fired, (unsigned)N);
    for (unsigned i = 0; i < N; i++)
        cr_assert_not(rc_timer_running(&t[i]));
    cr_assert_geq(rc_clock_ms(), start + 19);
    rc_loop_deinit(&b.loop);
}

static void readable(evutil_socket_t fd, short what, void *arg)
{
    struct bench *b = arg;
    char c;

    (void)what;
    rc_loop_enter(&b->loop);
    cr_assert_eq(read(fd, &c, 1), 1);
    b->fired++;
}

Test(loop, a_turn_ends_in_the_hook)
{
    struct bench b;
    struct event *ev;
    int fd[2];

    open_bench(&b);
    rc_assert_on_shard(&b);
    cr_assert_eq(pipe(fd), 0);
    ev = event_new(b.loop.base, fd[0], EV_READ | EV_PERSIST, readable, &b);
    cr_assert_eq(rc_loop_add(&b.loop, ev), RC_OK);
    cr_assert(rc_loop_turn(&b.loop, false, on_turn, &b)); /* nothing is ready */
    cr_assert_eq(b.turns, 1u);
    cr_assert_eq(b.fired, 0u);
    cr_assert_eq(write(fd[1], "xy", 2), 2);
    cr_assert(rc_loop_turn(&b.loop, true, on_turn, &b));
    cr_assert_eq(b.turns, 2u);
    cr_assert_eq(b.fired, 1u);
    b.turns_max = 3; /* in the very hook of the turn that reads the second byte */
    rc_loop_run(&b.loop, may_wait, on_turn, &b);
    cr_assert_eq(b.turns, 3u);
    cr_assert_eq(b.fired, 2u);
    rc_loop_remove(&b.loop, ev);
    event_free(ev);
    (void)close(fd[0]);
    (void)close(fd[1]);
    rc_loop_deinit(&b.loop);
}

static bool work_is_left(void *arg)
{
    struct bench *b = arg;

    if (b->turns == 2) /* the next wait has to be ended by another thread, or not to be begun */
        cr_assert_eq(write(b->waker, &(uint64_t){1}, 8), 8);
    return b->turns >= 2;
}

/* Each write to a waker ends one wait, though nobody reads it; and there is none where there is work. */
Test(loop, a_waker_ends_the_wait)
{
    struct bench b;

    open_bench(&b);
    rc_assert_on_shard(&b);
    b.waker = eventfd(0, EFD_NONBLOCK);
    cr_assert_geq(b.waker, 0);
    cr_assert_eq(rc_loop_add_waker(&b.loop, -1), RC_ESYS);
    cr_assert_eq(rc_loop_add_waker(&b.loop, b.waker), RC_OK);
    b.turns_max = 3;
    rc_loop_run(&b.loop, work_is_left, on_turn, &b);
    cr_assert_eq(b.turns, 3u);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(write(b.waker, &(uint64_t){1}, 8), 8);
        cr_assert(rc_loop_turn(&b.loop, true, on_turn, &b));
    }
    cr_assert_eq(b.turns, 6u);
    (void)close(b.waker);
    rc_loop_deinit(&b.loop);
}

Test(loop, without_anything_to_wait_for)
{
    struct bench b;

    open_bench(&b);
    rc_assert_on_shard(&b);
    cr_assert_not(rc_loop_turn(&b.loop, true, on_turn, &b));
    rc_loop_run(&b.loop, may_wait, on_turn, &b); /* ends instead of hanging */
    cr_assert_eq(b.turns, 0u);
    rc_loop_deinit(&b.loop);
}

/* Never early; not so late that a second passes even on a busy machine. */
Test(loop, timers_are_not_early)
{
    struct bench b;
    struct rc_timer t[3] = {{.due_ms = 0}};
    uint64_t start;

    open_bench(&b);
    rc_assert_on_shard(&b);
    b.loop.now_ms = start = rc_clock_ms();
    rc_timer_start(&b.q2, &t[1], start);
    rc_timer_start(&b.q, &t[0], start);
    rc_timer_start_in(&b.q2, &t[2], start, 0);
    b.stop_after = 3;
    rc_loop_run(&b.loop, may_wait, on_turn, &b);
    cr_assert_eq(b.fired, 3u);
    cr_assert_geq(b.fired_at[0], start);
    cr_assert_geq(b.fired_at[1], start + 30);
    cr_assert_geq(b.fired_at[2], start + 60);
    cr_assert_lt(b.fired_at[2], start + 1060);
    rc_loop_deinit(&b.loop);
}

struct restart {
    struct bench *b;
    struct rc_timer *soon;
};

static void on_restart(struct rc_timer *t, void *arg)
{
    struct restart *r = arg;

    (void)t;
    rc_timer_start(&r->b->q, r->soon, r->b->loop.now_ms);
}

/* A deadline that comes up while the loop already waits for a later one. */
Test(loop, an_earlier_timer_is_not_missed)
{
    struct bench b;
    struct rc_timer late = {.due_ms = 0}, soon = {.due_ms = 0}, first = {.due_ms = 0};
    struct restart r = {.b = &b, .soon = &soon};
    struct rc_timerq q;
    uint64_t start;

    open_bench(&b);
    rc_assert_on_shard(&b);
    rc_timerq_init(&q, 5, on_restart, &r);
    rc_loop_add_timerq(&b.loop, &q);
    b.loop.now_ms = start = rc_clock_ms();
    rc_timer_start_in(&b.q2, &late, start, 3600000);
    rc_timer_start(&q, &first, start);
    b.stop_after = 1; /* `soon` fires */
    rc_loop_run(&b.loop, may_wait, on_turn, &b);
    cr_assert(rc_timer_running(&late));
    cr_assert_lt(rc_clock_ms(), start + 5000);
    rc_loop_deinit(&b.loop);
}

/* The clock is read once in a turn, and anew in the next. */
Test(loop, clock_of_the_turn)
{
    struct bench b;
    struct rc_timer t = {.due_ms = 0};
    struct timespec ms5 = {.tv_nsec = 5000000};
    uint64_t now;

    open_bench(&b);
    rc_assert_on_shard(&b);
    rc_timer_start_in(&b.q, &t, b.loop.now_ms, 3600000); /* something to wait for */
    cr_assert(rc_loop_turn(&b.loop, false, on_turn, &b));
    now = b.loop.now_ms;
    (void)nanosleep(&ms5, NULL);
    rc_loop_enter(&b.loop);
    cr_assert_eq(b.loop.now_ms, now);
    cr_assert(rc_loop_turn(&b.loop, false, on_turn, &b));
    cr_assert_geq(b.loop.now_ms, now + 4);
    rc_loop_deinit(&b.loop);
}

static bool aborts(void (*fn)(struct bench *b), struct bench *b)
{
    int status;
    pid_t pid = fork();

    cr_assert(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        fn(b);
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void enter_as_owner(struct bench *b)
{
    rc_loop_enter(&b->loop);
}

static void enter_as_another(struct bench *b)
{
    rc_thread_enter("other", &b->q);
    rc_loop_enter(&b->loop);
}

Test(loop, misuse_aborts)
{
    struct bench b;

    open_bench(&b);
    cr_assert_not(aborts(enter_as_owner, &b));
    cr_assert(aborts(enter_as_another, &b));
    rc_loop_deinit(&b.loop);
}

/* Who comes first: those who have been here for a while, before newcomers and those that have ended. */
#include "rc/net/conn.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MANY = 40 };

struct side {
    struct rc_conn *c;
    int peer;
    unsigned order; /* of its last bytes or its end among all, from 1 on */
    size_t bytes;
    bool closed;
    unsigned slow_us; /* what its input takes */
};

static struct rc_loop loop;
static unsigned events;

static void spend(unsigned us)
{
    uint64_t until = rc_clock_us() + us;

    while (us != 0 && rc_clock_us() < until)
        continue;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type of rc_conn_ops.on_data */
static size_t on_data(struct rc_conn *c, uint8_t *data, size_t len)
{
    struct side *s = c->user;

    (void)data;
    rc_assert_on_shard(&loop);
    s->order = ++events;
    s->bytes += len;
    spend(s->slow_us);
    rc_conn_settle(c);
    return len;
}

static void on_eof(struct rc_conn *c)
{
    rc_assert_on_shard(&loop);
    rc_conn_close(c, RC_CLOSE_PEER);
}

static void on_close(struct rc_conn *c, enum rc_close reason)
{
    struct side *s = c->user;

    (void)reason;
    s->closed = true;
    s->order = ++events;
}

static const struct rc_conn_ops ops = {.on_data = on_data,
                                       .on_eof = on_eof,
                                       .on_close = on_close};

static unsigned others_us; /* what the rest of a turn takes */

static void at_end(void *arg)
{
    (void)arg;
    spend(others_us);
}

RC_ON_SHARD static void turn(void)
{
    (void)rc_loop_turn(&loop, false, at_end, NULL);
}

RC_ON_SHARD static void open_side(struct side *s)
{
    static const struct rc_addr nobody;
    int fd[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    *s = (struct side){.peer = fd[1]};
    s->c = rc_conn_new(&loop, fd[0], &nobody, &ops, s);
    cr_assert_not_null(s->c);
}

/* One that came long ago, and has been heard since. */
RC_ON_SHARD static void open_settled(struct side *s)
{
    open_side(s);
    s->c->since_s = (uint16_t)(s->c->since_s - RC_SETTLED_S);
    cr_assert_eq(write(s->peer, "x", 1), 1);
    turn();
    cr_assert_eq(s->bytes, 1u);
    cr_assert(!s->c->aside);
}

static void say(const struct side *s)
{
    cr_assert_eq(write(s->peer, "x", 1), 1);
}

static void set_up(void)
{
    rc_thread_enter("test", &loop);
    rc_assert_on_shard(&loop);
    cr_assert_eq(rc_loop_init(&loop, &loop, 2 * MANY), RC_OK);
}

RC_ON_SHARD static void close_sides(struct side *s, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        rc_conn_close(s[i].c, RC_CLOSE_DONE);
        if (s[i].peer >= 0)
            (void)close(s[i].peer);
    }
}

static unsigned count_served(const struct side many[MANY])
{
    unsigned n = 0;

    for (unsigned i = 0; i < MANY; i++)
        n += many[i].bytes != 0;
    return n;
}

Test(aside, newcomers_are_served_for_a_time)
{
    struct side many[MANY], old;
    unsigned served, turns = 1;

    set_up();
    rc_assert_on_shard(&loop);
    open_settled(&old);
    for (unsigned i = 0; i < MANY; i++) {
        open_side(&many[i]);
        many[i].slow_us = RC_LOOP_ASIDE_US / 4;
        say(&many[i]); /* before old */
    }
    say(&old);
    events = 0;
    turn();
    cr_assert_eq(old.order, 1u, "behind %u newcomers", old.order - 1);
    served = count_served(many);
    cr_assert(served >= 1 && served <= 8, "%u newcomers in one turn", served);

    /* All get their turn in the end, and the old one goes before in each. */
    for (; served < MANY && turns < 10 * MANY; turns++) {
        unsigned before = events;

        say(&old);
        turn();
        cr_assert_eq(old.order, before + 1);
        served = count_served(many);
    }
    cr_assert_eq(served, (unsigned)MANY);
    close_sides(many, MANY);
    close_sides(&old, 1);
    rc_loop_deinit(&loop);
}

Test(aside, only_those_that_have_been_here_settle)
{
    struct side s;

    set_up();
    rc_assert_on_shard(&loop);
    open_side(&s);
    say(&s);
    turn();
    cr_assert_eq(s.bytes, 1u);
    cr_assert(s.c->aside);
    s.c->since_s = (uint16_t)(s.c->since_s - RC_SETTLED_S);
    turn();
    cr_assert(s.c->aside, "it has said nothing since");
    say(&s);
    turn();
    cr_assert(!s.c->aside);
    say(&s);
    turn();
    cr_assert_eq(s.bytes, 3u);
    close_sides(&s, 1);
    rc_loop_deinit(&loop);
}

/* Thousands that end at once are closed one after the other; what they said last is read before. */
Test(aside, those_that_have_ended_come_last)
{
    struct side many[MANY], old;
    unsigned closed = 0;

    set_up();
    rc_assert_on_shard(&loop);
    for (unsigned i = 0; i < MANY; i++)
        open_settled(&many[i]);
    open_settled(&old);
    for (unsigned i = 0; i < MANY; i++) {
        many[i].slow_us = RC_LOOP_ASIDE_US / 4;
        say(&many[i]);
        (void)close(many[i].peer);
        many[i].peer = -1;
    }
    say(&old);
    events = 0;
    turn();
    cr_assert_eq(old.order, 1u, "behind %u that have ended", old.order - 1);
    for (unsigned i = 0; i < 10 * MANY && closed < MANY; i++) {
        turn();
        closed = 0;
        for (unsigned k = 0; k < MANY; k++)
            closed += many[k].closed;
    }
    cr_assert_eq(closed, (unsigned)MANY);
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(many[i].bytes, 2u);
    close_sides(&old, 1);
    rc_loop_deinit(&loop);
}

/* What is not watched, since nobody wants to read or write, may go from one side to the other as well. */
Test(aside, a_paused_one_moves)
{
    struct side s;

    set_up();
    rc_assert_on_shard(&loop);
    open_side(&s);
    rc_conn_pause(s.c);
    say(&s);
    rc_conn_step_in(s.c);
    turn();
    cr_assert_eq(s.bytes, 0u);
    rc_conn_resume(s.c);
    turn();
    cr_assert_eq(s.bytes, 1u);
    close_sides(&s, 1);
    rc_loop_deinit(&loop);
}

/* Some that always have something to say leave their turn to others that have, too. */
Test(aside, nobody_is_passed_over)
{
    enum { FEW = 8, TURNS = 50 };
    struct side few[FEW];

    set_up();
    rc_assert_on_shard(&loop);
    for (unsigned i = 0; i < FEW; i++) {
        open_side(&few[i]);
        few[i].slow_us = RC_LOOP_ASIDE_US / 3;
    }
    for (unsigned k = 0; k < TURNS; k++) {
        for (unsigned i = 0; i < FEW; i++)
            say(&few[i]);
        turn();
    }
    for (unsigned i = 0; i < FEW; i++)
        cr_assert_geq(few[i].bytes, TURNS / 2u, "%u: %zu", i, few[i].bytes);
    close_sides(few, FEW);
    rc_loop_deinit(&loop);
}

/* However long the others take, newcomers have their share. */
Test(aside, newcomers_have_a_share_of_long_turns)
{
    struct side many[MANY], one;

    set_up();
    rc_assert_on_shard(&loop);
    open_side(&one);
    others_us = 200 * RC_LOOP_ASIDE_US;
    for (unsigned i = 0; i < 32; i++) {
        say(&one);
        turn();
    }
    cr_assert_geq(rc_loop_aside_us(&loop), 45u * RC_LOOP_ASIDE_US);
    others_us = 0;
    for (unsigned i = 0; i < MANY; i++) {
        open_side(&many[i]);
        many[i].slow_us = RC_LOOP_ASIDE_US / 2;
        say(&many[i]);
    }
    turn();
    cr_assert_geq(count_served(many), 10u);
    for (unsigned i = 0; i < 64; i++)
        turn();
    cr_assert_lt(rc_loop_aside_us(&loop), 5u * RC_LOOP_ASIDE_US, "turns are short again");
    close_sides(many, MANY);
    close_sides(&one, 1);
    rc_loop_deinit(&loop);
}

static struct rc_timer clocks[2 * MANY];
static unsigned fired[2]; /* of either queue */

static void on_due(struct rc_timer *t, void *arg)
{
    unsigned *n = arg;

    (void)t;
    ++*n;
    ++events;
    spend(RC_LOOP_ASIDE_US / 4);
}

/* Many that are due together: a few in each turn, of both kinds, and messages go before. */
Test(aside, timers_that_are_due_together_leave_time)
{
    struct rc_timerq q[2];
    struct side old;
    unsigned turns = 0;
    uint64_t tick_at_ms = 0;

    set_up();
    rc_assert_on_shard(&loop);
    open_settled(&old);
    for (unsigned k = 0; k < 2; k++) {
        rc_timerq_init(&q[k], 0, on_due, &fired[k]);
        rc_loop_add_timerq(&loop, &q[k]);
        for (unsigned i = 0; i < MANY; i++)
            rc_timer_start(&q[k], &clocks[k * MANY + i], loop.now_ms);
    }
    events = 0;
    while (fired[0] + fired[1] < 2 * MANY) {
        /* Each takes a quarter of RC_LOOP_ASIDE_US. */
        unsigned before = events,
                 most = 4 * (unsigned)rc_loop_aside_us(&loop) / RC_LOOP_ASIDE_US + 1;

        say(&old);
        (void)rc_loop_turn(&loop, true, at_end, NULL);
        cr_assert_eq(old.order, before + 1);
        cr_assert_leq(events - old.order, most);
        cr_assert_lt(++turns, 10u * MANY);
        /* They take turns, and do not wait for the tick. */
        cr_assert(turns != 2 || (fired[0] != 0 && fired[1] != 0));
        tick_at_ms = turns == 1 ? loop.tick_at_ms : tick_at_ms;
        cr_assert(loop.tick_at_ms == tick_at_ms || loop.tick_at_ms == UINT64_MAX);
    }
    cr_assert(!loop.overdue);
    close_sides(&old, 1);
    rc_loop_deinit(&loop);
}

/* The last one may take all of the time, or be the last that a turn has: there is nothing left to do, and the loop waits. */
Test(aside, nothing_is_left_to_expire)
{
    struct rc_timer late[RC_LOOP_TIMERS] = {{.due_ms = 0}}, tomorrow = {.due_ms = 0};
    struct rc_timerq q, day;
    unsigned n = 0;

    set_up();
    rc_assert_on_shard(&loop);
    rc_timerq_init(&q, 0, on_due, &n);
    rc_timerq_init(&day, 86400000, on_due, &n);
    rc_loop_add_timerq(&loop, &q);
    rc_loop_add_timerq(&loop, &day);
    rc_timer_start(&day, &tomorrow, loop.now_ms);
    for (unsigned k = 1; k <= RC_LOOP_TIMERS; k++) {
        for (unsigned i = 0; i < k; i++)
            rc_timer_start(&q, &late[i], loop.now_ms);
        n = 0;
        while (n < k)
            turn();
        cr_assert(!loop.overdue, "after %u", k);
    }
    rc_timer_stop(&tomorrow);
    rc_loop_deinit(&loop);
}

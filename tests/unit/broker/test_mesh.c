#include "rc/broker/mesh.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { SLOTS = 64 };

/* What came, by producer: RC_MSG_FENCE (a request) and RC_MSG_FENCE_ACK (a result) own nothing
 * and carry a number. */
struct inbox {
    uint64_t next[2][8]; /* [class][from]: the number that must come */
    unsigned n, max;     /* in this drain, and at most ever */
    struct rc_mesh *mesh;
    unsigned me;
    int answer_to; /* answers each request with as many results, -1: no */
    unsigned answers;
    uint64_t sent[8];
};

static void post(struct rc_mesh *m, unsigned from, unsigned to, enum rc_mesh_class class,
                 uint64_t number)
{
    struct rc_msg msg = {.type = class == RC_MESH_REQUESTS ? RC_MSG_FENCE : RC_MSG_FENCE_ACK};

    msg.u.fence.session = number;
    rc_mesh_post(m, from, to, &msg);
}

static void receive(struct rc_msg *msg, void *arg)
{
    struct inbox *in = arg;
    unsigned class = msg->type == RC_MSG_FENCE ? RC_MESH_REQUESTS : RC_MESH_RESULTS;

    cr_assert(msg->type == RC_MSG_FENCE || msg->type == RC_MSG_FENCE_ACK);
    cr_assert_eq(msg->u.fence.session, in->next[class][msg->from]);
    in->next[class][msg->from]++;
    in->n++;
    for (unsigned i = 0; class == RC_MESH_REQUESTS && i < in->answers; i++)
        post(in->mesh, in->me, (unsigned)in->answer_to, RC_MESH_RESULTS,
             in->sent[in->answer_to]++);
}

/* Has its eventfd been written since the last call? */
static bool written(const struct rc_mesh *m, unsigned to)
{
    uint64_t times;

    return read(rc_mesh_fd(m, to), &times, sizeof(times)) == (ssize_t)sizeof(times);
}

static bool drain(struct rc_mesh *m, unsigned to, struct inbox *in, unsigned budget)
{
    bool all;

    in->n = 0;
    in->mesh = m;
    in->me = to;
    all = rc_mesh_drain(m, to, budget, receive, in);
    in->max = in->n > in->max ? in->n : in->max;
    return all;
}

Test(mesh, numbers)
{
    struct rc_mesh *m = rc_mesh_new(3, SLOTS);

    cr_assert_not_null(m);
    cr_assert_eq(rc_mesh_shards(m), 3u);
    cr_assert_eq(rc_mesh_acceptor(3), 3u);
    cr_assert_eq(rc_mesh_main(3), 4u);
    cr_assert_eq(rc_mesh_store(3), 5u);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_geq(rc_mesh_fd(m, i), 0);
        cr_assert_neq(fcntl(rc_mesh_fd(m, i), F_GETFL) & O_NONBLOCK, 0);
        cr_assert_not(written(m, i));
    }
    rc_mesh_free(m);
    rc_mesh_free(NULL);
}

Test(mesh, one_shard)
{
    struct rc_mesh *m = rc_mesh_new(1, SLOTS);
    struct inbox in = {.n = 0};

    post(m, rc_mesh_acceptor(1), 0, RC_MESH_REQUESTS, 0);
    post(m, rc_mesh_main(1), 0, RC_MESH_RESULTS, 0);
    cr_assert(rc_mesh_wake(m, rc_mesh_acceptor(1)));
    cr_assert(rc_mesh_wake(m, rc_mesh_main(1)));
    cr_assert_not(rc_mesh_sleep(m, 0));
    cr_assert(drain(m, 0, &in, 10));
    cr_assert_eq(in.n, 2u);
    cr_assert(rc_mesh_sleep(m, 0));
    rc_mesh_free(m);
}

/* Holds the first result of producer 1 that it is given. */
static void receive_or_hold(struct rc_msg *msg, void *arg)
{
    struct inbox *in = arg;

    if (msg->from == 1 && msg->u.fence.session == 1) {
        rc_mesh_hold(in->mesh, in->me, 1);
        return;
    }
    receive(msg, arg);
}

/* A held message stays, and is not done with; what is behind it waits; the others do not. */
Test(mesh, held_results)
{
    struct rc_mesh *m = rc_mesh_new(3, SLOTS);
    struct inbox in = {.mesh = m, .me = 0};

    for (unsigned from = 1; from < 3; from++) {
        for (uint64_t n = 0; n < 3; n++)
            post(m, from, 0, RC_MESH_RESULTS, n);
        post(m, from, 0, RC_MESH_REQUESTS, 0);
        (void)rc_mesh_wake(m, from);
    }
    for (int round = 0; round < 2; round++) {
        cr_assert(rc_mesh_drain(m, 0, 10, receive_or_hold, &in));
        cr_assert(rc_mesh_sleep(m, 0), "it does not turn in vain");
        cr_assert_eq(in.n, 6u);
        cr_assert_eq(in.next[RC_MESH_RESULTS][1], 1u);
        cr_assert_eq(in.next[RC_MESH_RESULTS][2], 3u);
        cr_assert_eq(in.next[RC_MESH_REQUESTS][1], 1u);
        cr_assert_eq(rc_mesh_done(m, 1, 0, RC_MESH_RESULTS), 1u);
        cr_assert_eq(rc_mesh_done(m, 2, 0, RC_MESH_RESULTS), 3u);
    }
    rc_mesh_pass(m, 0, 1);
    cr_assert_eq(rc_mesh_done(m, 1, 0, RC_MESH_RESULTS), 2u);
    cr_assert_not(rc_mesh_sleep(m, 0));
    in.next[RC_MESH_RESULTS][1] = 2;
    cr_assert(rc_mesh_drain(m, 0, 10, receive_or_hold, &in));
    cr_assert_eq(in.n, 7u);
    cr_assert_eq(rc_mesh_done(m, 1, 0, RC_MESH_RESULTS), 3u);
    rc_mesh_free(m);
}

/* A shard's results to itself: in order, more than a ring takes, some at a time, held or not. */
Test(mesh, own_results)
{
    struct rc_mesh *m = rc_mesh_new(3, SLOTS);
    struct inbox in = {.mesh = m, .me = 1};

    for (uint64_t n = 0; n < 2 * SLOTS; n++)
        post(m, 1, 1, RC_MESH_RESULTS, n);
    cr_assert(rc_mesh_blocked(m, 1));
    cr_assert_not(rc_mesh_wake(m, 1));
    cr_assert_not(rc_mesh_sleep(m, 1));
    cr_assert(rc_mesh_drain(m, 1, 10, receive_or_hold, &in));
    cr_assert_eq(in.n, 0u);
    cr_assert(rc_mesh_sleep(m, 1));
    rc_mesh_drain_own(m, 1, 10, receive_or_hold, &in);
    cr_assert_eq(in.n, 1u);
    rc_mesh_drain_own(m, 1, 10, receive_or_hold, &in);
    cr_assert_eq(in.n, 1u);
    rc_mesh_pass(m, 1, 1);
    in.next[RC_MESH_RESULTS][1] = 2;
    cr_assert_not(rc_mesh_sleep(m, 1));
    cr_assert(rc_mesh_drain(m, 1, 10, receive_or_hold, &in));
    cr_assert(rc_mesh_sleep(m, 1));
    for (unsigned n = 11; n < 2 * SLOTS; n += 10) {
        (void)rc_mesh_wake(m, 1); /* what was spilled */
        rc_mesh_drain_own(m, 1, 10, receive_or_hold, &in);
        cr_assert_eq(in.n, n);
        cr_assert_not(rc_mesh_sleep(m, 1), "more is there");
    }
    (void)rc_mesh_wake(m, 1);
    rc_mesh_drain_own(m, 1, 2 * SLOTS, receive_or_hold, &in);
    cr_assert_eq(in.n, 2u * SLOTS - 1);
    cr_assert_not(rc_mesh_blocked(m, 1));
    cr_assert_eq(rc_mesh_done(m, 1, 1, RC_MESH_RESULTS),
                 rc_mesh_posted(m, 1, 1, RC_MESH_RESULTS));
    rc_mesh_free(m);
}

Test(mesh, out_of_descriptors)
{
    struct rlimit before, few;
    int hold[64], n = 0;

    cr_assert_null(rc_mesh_new(2, 3)); /* no ring has three slots */
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 64;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    while (n < 64 && (hold[n] = dup(STDERR_FILENO)) >= 0)
        n++;
    cr_assert_gt(n, 0);
    (void)close(hold[--n]); /* one is left: the second eventfd cannot be had */
    cr_assert_null(rc_mesh_new(2, SLOTS));
    hold[n] = dup(STDERR_FILENO);
    cr_assert_geq(hold[n], 0); /* and the first one is closed again */
    n++;
    while (n > 0)
        (void)close(hold[--n]);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* In order per producer and class, from all producers, and only to whom it was sent. */
Test(mesh, order)
{
    enum { SHARDS = 4, PRODUCERS = SHARDS + 2, N = 1000 };
    struct rc_mesh *m = rc_mesh_new(SHARDS, SLOTS);
    struct inbox in[SHARDS] = {{.n = 0}};

    for (uint64_t i = 0; i < N; i++) {
        for (unsigned from = 0; from < PRODUCERS; from++) {
            for (unsigned to = 0; to < SHARDS; to++) {
                if (from == to)
                    continue;
                post(m, from, to, RC_MESH_REQUESTS, i);
                if (i % 3 == 0)
                    post(m, from, to, RC_MESH_RESULTS, i / 3);
            }
            (void)rc_mesh_wake(m, from);
        }
        if (i % 40 == 0) /* late: the rings overflow meanwhile */
            for (unsigned to = 0; to < SHARDS; to++)
                (void)drain(m, to, &in[to], 1000);
    }
    for (unsigned round = 0; round < 200; round++) {
        for (unsigned to = 0; to < SHARDS; to++)
            (void)drain(m, to, &in[to], 1000);
        for (unsigned from = 0; from < PRODUCERS; from++)
            (void)rc_mesh_wake(m, from);
    }
    for (unsigned to = 0; to < SHARDS; to++) {
        for (unsigned from = 0; from < PRODUCERS; from++) {
            cr_assert_eq(in[to].next[RC_MESH_REQUESTS][from], from != to ? N : 0u);
            cr_assert_eq(in[to].next[RC_MESH_RESULTS][from], from != to ? (N + 2) / 3 : 0u);
        }
    }
    rc_mesh_free(m);
}

Test(mesh, wake_up)
{
    struct rc_mesh *m = rc_mesh_new(2, 1024);
    struct inbox in = {.n = 0};
    uint64_t i = 0;

    post(m, 0, 1, RC_MESH_REQUESTS, i++);
    cr_assert(rc_mesh_sleep(m, 1)); /* not before the turn's end */
    cr_assert(rc_mesh_wake(m, 0));
    cr_assert_not(rc_mesh_sleep(m, 1));
    cr_assert(rc_mesh_sleep(m, 0));
    cr_assert(drain(m, 1, &in, 100));
    cr_assert_eq(in.n, 1u);
    cr_assert(rc_mesh_sleep(m, 1));
    cr_assert(rc_mesh_wake(m, 0)); /* nothing new: nobody is woken */
    cr_assert(rc_mesh_sleep(m, 1));
    while (rc_mesh_sleep(m, 1) && i < 1000) /* a long turn wakes earlier */
        post(m, 0, 1, RC_MESH_REQUESTS, i++);
    cr_assert_lt(i, 200u);
    cr_assert(drain(m, 1, &in, 1000));
    cr_assert_eq(in.next[RC_MESH_REQUESTS][0], i);
    rc_mesh_poke(m, 0);
    cr_assert_not(rc_mesh_sleep(m, 0));
    cr_assert(drain(m, 0, &in, 1000));
    cr_assert_eq(in.n, 0u);
    cr_assert(rc_mesh_sleep(m, 0));
    rc_mesh_free(m);
}

/* A system call for the first mail of a sleeper alone, and none for a consumer that is awake. */
Test(mesh, who_is_written_to)
{
    struct rc_mesh *m = rc_mesh_new(2, SLOTS);
    struct inbox in = {.n = 0};
    uint64_t i = 0;

    post(m, 0, 1, RC_MESH_REQUESTS, i++);
    (void)rc_mesh_wake(m, 0);
    cr_assert_not(written(m, 1)); /* it has not slept yet */
    cr_assert_not(rc_mesh_sleep(m, 1));
    cr_assert(rc_mesh_rise(m, 1));
    cr_assert(drain(m, 1, &in, 10));
    cr_assert_not(rc_mesh_rise(m, 1));
    for (unsigned round = 0; round < 3; round++) {
        cr_assert(rc_mesh_sleep(m, 1));
        cr_assert(rc_mesh_sleep(m, 1)); /* it may say so again */
        for (unsigned k = 0; k < 2; k++) {
            post(m, 0, 1, RC_MESH_REQUESTS, i++);
            (void)rc_mesh_wake(m, 0);
            cr_assert_eq(written(m, 1), k == 0);
        }
        cr_assert(rc_mesh_rise(m, 1));
        cr_assert(drain(m, 1, &in, 10));
    }
    cr_assert(rc_mesh_sleep(m, 1));
    cr_assert_not(rc_mesh_rise(m, 1)); /* woken by something else */
    post(m, 0, 1, RC_MESH_REQUESTS, i++);
    (void)rc_mesh_wake(m, 0);
    cr_assert_not(written(m, 1));
    cr_assert_not(rc_mesh_sleep(m, 1));
    cr_assert(drain(m, 1, &in, 10));
    cr_assert_eq(in.next[RC_MESH_REQUESTS][0], i);
    cr_assert(rc_mesh_sleep(m, 1));
    rc_mesh_free(m);
}

static void check_copy(struct rc_msg *msg, void *arg)
{
    cr_assert_eq(msg->type, RC_MSG_DIR_WATCH);
    cr_assert_eq(msg->nsp, 0x1234);
    cr_assert_eq(msg->count, 56789u);
    *(unsigned *)arg = msg->from;
}

static void count_one(struct rc_msg *msg, void *arg)
{
    (void)msg;
    ++*(unsigned *)arg;
}

/* Who has not woken the consumer is not looked at, but loses nothing by that. */
Test(mesh, looks_at_whom_it_was_woken_by)
{
    struct rc_mesh *m = rc_mesh_new(3, SLOTS);
    struct inbox in = {.n = 0};

    post(m, 0, 2, RC_MESH_REQUESTS, 0);
    post(m, 1, 2, RC_MESH_REQUESTS, 0);
    (void)rc_mesh_wake(m, 1);
    cr_assert(rc_mesh_rise(m, 2));
    cr_assert(drain(m, 2, &in, 10));
    cr_assert_eq(in.next[RC_MESH_REQUESTS][0], 0u);
    cr_assert_eq(in.next[RC_MESH_REQUESTS][1], 1u);
    cr_assert(rc_mesh_sleep(m, 2));
    (void)rc_mesh_wake(m, 0);
    cr_assert_not(rc_mesh_sleep(m, 2));
    cr_assert(drain(m, 2, &in, 10));
    cr_assert_eq(in.next[RC_MESH_REQUESTS][0], 1u);
    rc_mesh_poke(m, 2); /* and nobody after a poke */
    post(m, 0, 2, RC_MESH_REQUESTS, 1);
    cr_assert(drain(m, 2, &in, 10));
    cr_assert_eq(in.n, 0u);
    rc_mesh_free(m);
}

/* As many shards as there may be: each producer alone, the first and the last ones too. */
Test(mesh, most_shards)
{
    enum { N = RC_MESH_MAX_SHARDS };
    struct rc_mesh *m = rc_mesh_new(N, SLOTS);
    unsigned to = 3, count = 0;

    for (unsigned from = 0; from < rc_mesh_producers(N); from++) {
        struct rc_msg msg = {.type = RC_MSG_DIR_WATCH, .nsp = 0x1234, .count = 56789};
        unsigned got = N + 99;

        if (from == to)
            continue;
        cr_assert(rc_mesh_sleep(m, to));
        rc_mesh_post(m, from, to, &msg);
        cr_assert(rc_mesh_wake(m, from));
        cr_assert(written(m, to));
        cr_assert(rc_mesh_rise(m, to));
        cr_assert(rc_mesh_drain(m, to, 10, check_copy, &got));
        cr_assert_eq(got, from);
        count++;
    }
    cr_assert_eq(count, (unsigned)N + 5);
    for (unsigned from = 0; from < rc_mesh_producers(N); from++)
        for (unsigned k = 0; k < 2 && from != to; k++)
            post(m, from, to, RC_MESH_REQUESTS, k);
    for (unsigned from = 0; from < rc_mesh_producers(N); from++)
        (void)rc_mesh_wake(m, from);
    cr_assert_not(rc_mesh_drain(m, to, 1, count_one, &count), "one of two is left in each");
    cr_assert_eq(count, 2u * (N + 5));
    cr_assert_not(rc_mesh_sleep(m, to));
    cr_assert_not(rc_mesh_drain(m, to, 1, count_one, &count));
    cr_assert_eq(count, 3u * (N + 5));
    cr_assert(rc_mesh_drain(m, to, 1, count_one, &count));
    cr_assert(rc_mesh_sleep(m, to));
    rc_mesh_free(m);
}

/* The budget is per ring; with what is left over nobody falls asleep. */
Test(mesh, budget)
{
    struct rc_mesh *m = rc_mesh_new(2, SLOTS);
    struct inbox in = {.n = 0};

    for (uint64_t i = 0; i < 25; i++) {
        post(m, 0, 1, RC_MESH_REQUESTS, i);
        post(m, rc_mesh_main(2), 1, RC_MESH_RESULTS, i);
    }
    (void)rc_mesh_wake(m, 0);
    (void)rc_mesh_wake(m, rc_mesh_main(2));
    cr_assert_not(drain(m, 1, &in, 10));
    cr_assert_eq(in.n, 20u);
    cr_assert_not(rc_mesh_sleep(m, 1));
    cr_assert_not(drain(m, 1, &in, 10));
    cr_assert_eq(in.n, 20u);
    cr_assert_not(rc_mesh_sleep(m, 1));
    cr_assert(drain(m, 1, &in, 10));
    cr_assert_eq(in.n, 10u);
    cr_assert(rc_mesh_sleep(m, 1));
    rc_mesh_free(m);
}

/* A message is done when its consumer has worked on it, not when it was taken. */
struct counting {
    const struct rc_mesh *m;
    unsigned calls;
};

static void check_counters(struct rc_msg *msg, void *arg)
{
    struct counting *c = arg;

    (void)msg;
    cr_assert_eq(rc_mesh_done(c->m, 0, 1, RC_MESH_REQUESTS), c->calls);
    cr_assert_eq(rc_mesh_posted(c->m, 0, 1, RC_MESH_REQUESTS), 100u);
    c->calls++;
}

Test(mesh, counters)
{
    struct rc_mesh *m = rc_mesh_new(2, SLOTS);
    struct counting c = {.m = m};

    cr_assert_eq(rc_mesh_posted(m, 0, 1, RC_MESH_REQUESTS), 0u);
    for (uint64_t i = 0; i < 100; i++) /* those that spill count as posted */
        post(m, 0, 1, RC_MESH_REQUESTS, i);
    cr_assert_eq(rc_mesh_posted(m, 0, 1, RC_MESH_REQUESTS), 100u);
    cr_assert_eq(rc_mesh_posted(m, 0, 1, RC_MESH_RESULTS), 0u);
    cr_assert_eq(rc_mesh_posted(m, 1, 0, RC_MESH_REQUESTS), 0u);
    cr_assert_eq(rc_mesh_spilled(m, 0, 1), 100u - SLOTS);
    (void)rc_mesh_wake(m, 0);
    (void)rc_mesh_drain(m, 1, 1000, check_counters, &c);
    cr_assert_eq(c.calls, (unsigned)SLOTS);
    cr_assert_eq(rc_mesh_done(m, 0, 1, RC_MESH_REQUESTS), (uint64_t)SLOTS);
    (void)rc_mesh_wake(m, 0);
    (void)rc_mesh_drain(m, 1, 1000, check_counters, &c);
    cr_assert_eq(rc_mesh_done(m, 0, 1, RC_MESH_REQUESTS), 100u);
    cr_assert_eq(rc_mesh_spilled(m, 0, 1), 100u - SLOTS); /* a total */
    rc_mesh_free(m);
}

/* ---- spilling ---- */

Test(mesh, spill_keeps_the_order)
{
    struct rc_mesh *m = rc_mesh_new(2, SLOTS);
    struct inbox in = {.n = 0};
    uint64_t sent = 0;

    cr_assert_not(rc_mesh_spilling(m, 0));
    while (sent < SLOTS)
        post(m, 0, 1, RC_MESH_REQUESTS, sent++);
    cr_assert_not(rc_mesh_spilling(m, 0));
    while (sent < 1000)
        post(m, 0, 1, RC_MESH_REQUESTS, sent++);
    cr_assert(rc_mesh_spilling(m, 0));
    cr_assert_not(rc_mesh_spilling(m, 1));
    cr_assert_not(rc_mesh_wake(m, 0));
    (void)drain(m, 1, &in, 10); /* there is room, but others were before */
    post(m, 0, 1, RC_MESH_REQUESTS, sent++);
    for (unsigned round = 0; rc_mesh_spilling(m, 0) && round < 100; round++) {
        if (rc_mesh_wake(m, 0))
            break;
        if (round % 3 == 0)
            post(m, 0, 1, RC_MESH_REQUESTS, sent++);
        (void)drain(m, 1, &in, SLOTS);
    }
    cr_assert(rc_mesh_wake(m, 0));
    cr_assert_not(rc_mesh_spilling(m, 0));
    (void)drain(m, 1, &in, 1000);
    cr_assert_eq(in.next[RC_MESH_REQUESTS][0], sent);
    rc_mesh_free(m);
}

/* A full ring of one class or consumer is no reason to keep others waiting. */
Test(mesh, spill_of_one_ring)
{
    struct rc_mesh *m = rc_mesh_new(3, SLOTS);
    struct inbox in[3] = {{.n = 0}};

    for (uint64_t i = 0; i < 200; i++)
        post(m, 0, 1, RC_MESH_REQUESTS, i);
    post(m, 0, 1, RC_MESH_RESULTS, 0);
    post(m, 0, 2, RC_MESH_REQUESTS, 0);
    cr_assert_not(rc_mesh_wake(m, 0));
    cr_assert(drain(m, 2, &in[2], 1000));
    cr_assert_eq(in[2].n, 1u);
    (void)drain(m, 1, &in[1], 1000);
    cr_assert_eq(in[1].next[RC_MESH_RESULTS][0], 1u);
    cr_assert_eq(in[1].next[RC_MESH_REQUESTS][0], (uint64_t)SLOTS);
    rc_mesh_free(m);
}

/* Turns of all shards until nothing is on its way, or the rounds are up. */
static unsigned run(struct rc_mesh *m, unsigned nshards, struct inbox *in, unsigned rounds)
{
    unsigned round = 0;
    bool busy = true;

    for (; busy && round < rounds; round++) {
        busy = false;
        for (unsigned i = 0; i < nshards; i++) {
            if (!drain(m, i, &in[i], 16) || in[i].n != 0)
                busy = true;
            if (!rc_mesh_wake(m, i))
                busy = true;
        }
    }
    return round;
}

/* Two shards that have sent each other more requests than their rings hold: neither may wait
 * for the other to take some first. */
Test(mesh, requests_spill_both_ways)
{
    enum { N = 500 };
    struct rc_mesh *m = rc_mesh_new(2, SLOTS);
    struct inbox in[2] = {{.n = 0}, {.n = 0}};

    for (uint64_t i = 0; i < N; i++) {
        post(m, 0, 1, RC_MESH_REQUESTS, i);
        post(m, 1, 0, RC_MESH_REQUESTS, i);
    }
    cr_assert_lt(run(m, 2, in, 1000), 1000u);
    cr_assert_eq(in[1].next[RC_MESH_REQUESTS][0], (uint64_t)N);
    cr_assert_eq(in[0].next[RC_MESH_REQUESTS][1], (uint64_t)N);
    rc_mesh_free(m);
}

/* The same in a ring of shards, each request answered by five results to the next shard. */
Test(mesh, cycle_of_full_rings)
{
    enum { SHARDS = 4, N = 500, ANSWERS = 5 };
    struct rc_mesh *m = rc_mesh_new(SHARDS, SLOTS);
    struct inbox in[SHARDS] = {{.n = 0}};

    for (unsigned i = 0; i < SHARDS; i++) {
        in[i].answer_to = (int)((i + 1) % SHARDS);
        in[i].answers = ANSWERS;
        for (uint64_t k = 0; k < N; k++) {
            post(m, i, (i + 1) % SHARDS, RC_MESH_REQUESTS, k);
            post(m, i, (i + 3) % SHARDS, RC_MESH_REQUESTS, k);
        }
    }
    cr_assert_lt(run(m, SHARDS, in, 5000), 5000u);
    for (unsigned i = 0; i < SHARDS; i++) {
        unsigned before = (i + SHARDS - 1) % SHARDS;

        cr_assert_eq(in[i].next[RC_MESH_REQUESTS][before], (uint64_t)N);
        cr_assert_eq(in[i].next[RC_MESH_REQUESTS][(i + 1) % SHARDS], (uint64_t)N);
        cr_assert_eq(in[i].next[RC_MESH_RESULTS][before], 2u * N * ANSWERS);
    }
    rc_mesh_free(m);
}

/* A shard whose results do not fit takes no more requests, but results: what it holds back
 * stays bounded, and comes to an end. */
Test(mesh, overloaded_shard_takes_results_only)
{
    struct rc_mesh *m = rc_mesh_new(3, SLOTS);
    struct inbox in = {.answer_to = 2, .answers = 10};

    for (uint64_t i = 0; i < SLOTS; i++) {
        post(m, 0, 1, RC_MESH_REQUESTS, i);
        post(m, 0, 1, RC_MESH_RESULTS, i);
    }
    (void)rc_mesh_wake(m, 0);
    for (unsigned round = 0; round < 10; round++) {
        cr_assert_not(drain(m, 1, &in, 1000));
        cr_assert_not(rc_mesh_wake(m, 1));
    }
    cr_assert_eq(in.next[RC_MESH_RESULTS][0], (uint64_t)SLOTS);
    cr_assert_eq(in.next[RC_MESH_REQUESTS][0], 7u); /* the seventh was one too many */
    cr_assert_eq(in.sent[2], 70u);
    rc_mesh_free(m);
}

/* ---- what messages own ---- */

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* Unread messages are dropped with what they own, those in the ring and those that spilled. */
Test(mesh, free_drops_what_is_unread)
{
    static const enum rc_msg_type with_pub[] = {
        RC_MSG_JOIN,     RC_MSG_LEAVE,     RC_MSG_PUBLISH,   RC_MSG_DELIVER, RC_MSG_TO_SOCKET,
        RC_MSG_RELAY,    RC_MSG_DIRECT,    RC_MSG_DIR_ROOMS, RC_MSG_EIO_GET, RC_MSG_EIO_POST,
        RC_MSG_EIO_BODY, RC_MSG_EIO_ABORT, RC_MSG_EIO_REPLY};
    enum { N = sizeof(with_pub) / sizeof(with_pub[0]), CONNS = 100 };
    struct rc_mesh *m = rc_mesh_new(2, SLOTS);
    struct rc_pub *pub = rc_pub_new(0, RC_STR("room"), 0, "x", 1), *name = rc_pub_ref(pub);
    int fd[CONNS];

    for (unsigned i = 0; i < N; i++) {
        struct rc_msg msg = {.type = (uint8_t)with_pub[i]};
        struct rc_pub *held = rc_pub_ref(pub);

        switch ((int)with_pub[i]) {
        case RC_MSG_JOIN:
        case RC_MSG_LEAVE: msg.u.member.room = held; break;
        case RC_MSG_PUBLISH:
        case RC_MSG_DELIVER: msg.u.deliver.pub = held; break;
        case RC_MSG_EIO_GET:
        case RC_MSG_EIO_POST:
        case RC_MSG_EIO_BODY:
        case RC_MSG_EIO_ABORT: msg.u.eio.body = held; break;
        case RC_MSG_EIO_REPLY: msg.u.reply.body = held; break;
        default: msg.u.direct.pub = held; break;
        }
        rc_mesh_post(m, 0, 1, &msg);
    }
    for (unsigned i = 0; i < CONNS; i++) {
        struct rc_msg msg = {.type = RC_MSG_CONN};

        fd[i] = dup(STDERR_FILENO);
        cr_assert_geq(fd[i], 0);
        msg.u.conn.fd = fd[i];
        msg.u.conn.bytes = i % 2 != 0 ? rc_pub_ref(pub) : NULL;
        rc_mesh_post(m, rc_mesh_acceptor(2), 0, &msg);
    }
    cr_assert(rc_mesh_spilling(m, rc_mesh_acceptor(2)));
    cr_assert_eq(atomic_load(&pub->refs), 2u + N + CONNS / 2);
    rc_mesh_free(m);
    for (unsigned i = 0; i < CONNS; i++)
        cr_assert_not(is_open(fd[i]));
    cr_assert_eq(atomic_load(&pub->refs), 2u);
    rc_pub_unref(&name);
    rc_pub_unref(&pub);
    cr_assert_null(pub);
}

Test(mesh, messages_that_own_nothing)
{
    static const enum rc_msg_type types[] = {
        RC_MSG_STOP,       RC_MSG_JOINED,    RC_MSG_LEFT,     RC_MSG_FENCE,
        RC_MSG_FENCE_PASS, RC_MSG_FENCE_ACK, RC_MSG_DIR_WATCH};

    for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct rc_msg msg;

        memset(&msg, 0x55, sizeof(msg)); /* every pointer in it is wild */
        msg.type = (uint8_t)types[i];
        rc_msg_drop(&msg);
        cr_assert_eq(msg.type, types[i]);
    }
}

/* A message arrives as it was posted, but for `from`, which the mesh fills in. */
Test(mesh, copies_the_message)
{
    struct rc_mesh *m = rc_mesh_new(2, SLOTS);
    struct rc_msg msg = {.type = RC_MSG_DIR_WATCH, .from = 77, .nsp = 0x1234, .count = 56789};
    unsigned from = 99;

    rc_mesh_post(m, 0, 1, &msg);
    cr_assert_eq(msg.from, 77);
    memset(&msg, 0, sizeof(msg));
    cr_assert(rc_mesh_wake(m, 0));
    cr_assert(rc_mesh_drain(m, 1, 10, check_copy, &from));
    cr_assert_eq(from, 0u);
    rc_mesh_free(m);
}

/* Shards on one processor take turns (src/broker/place.c). */
#include "rig.h"

#include <criterion/criterion.h>
#include <sched.h>

static struct rig r;
static cpu_set_t cpus; /* that the tests may run on */

static void set_up(void)
{
    int cpu = sched_getcpu();
    cpu_set_t one;

    cr_assert_geq(cpu, 0);
    cr_assert_eq(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
    rig_open(&r, 2, "");
    r.shard[0]->peers = r.shard;
    rc_turn_us = 1000000;
    atomic_store(&r.shard[1]->place.seen, rc_place_seen((unsigned)cpu, rc_turn_us));
}

static void tear_down(void)
{
    rig_close(&r);
    cr_assert_eq(sched_setaffinity(0, sizeof(cpus), &cpus), 0);
}

/* A turn that begins `slept` us after the one before it ended, and takes `us`; did another one go first then? */
static bool turn(struct rc_shard *sh, uint64_t slept, uint64_t us)
{
    uint64_t before = rc_stat_get(&sh->stats.yields);

    rc_assert_on_shard(sh);
    rc_turn_us += slept;
    rc_place_turn(sh, rc_turn_us + us);
    rc_turn_us += us;
    rc_place_share(sh);
    return rc_stat_get(&sh->stats.yields) != before;
}

Test(place, who_does_not_sleep_lets_the_other_one_go_first)
{
    struct rc_shard *sh;

    set_up();
    sh = rig_enter(&r, 0);
    cr_assert_not(turn(sh, 1000, 60));
    cr_assert(turn(sh, 1, 60), "100 us are over");
    cr_assert_not(turn(sh, 1, 60), "they begin anew");
    cr_assert(turn(sh, 1, 60));
    cr_assert(turn(sh, 1, 500));
    tear_down();
}

Test(place, who_sleeps_does_that_anyway)
{
    struct rc_shard *sh;

    set_up();
    sh = rig_enter(&r, 0);
    for (unsigned i = 0; i < 10; i++)
        cr_assert_not(turn(sh, 50, 90));
    tear_down();
}

Test(place, nobody_else_is_there)
{
    struct rc_shard *sh;
    _Atomic uint64_t *other;
    unsigned cpu;

    set_up();
    sh = rig_enter(&r, 0);
    other = &r.shard[1]->place.seen;
    cpu = (unsigned)sched_getcpu();
    cr_assert(turn(sh, 1000, 200));
    cr_assert_eq(atomic_load(&sh->place.seen), rc_place_seen(cpu, rc_turn_us));
    atomic_store(other, rc_place_seen(cpu + 1, rc_turn_us));
    cr_assert_not(turn(sh, 1, 200));
    atomic_store(other, 0); /* it has not begun */
    cr_assert_not(turn(sh, 1, 200));
    atomic_store(other, rc_place_seen(cpu, rc_turn_us));
    sh->peers = NULL;
    cr_assert_not(turn(sh, 1, 200));
    tear_down();
}

/* It may have been the last one there, long ago. */
Test(place, the_other_one_sleeps)
{
    struct rc_shard *sh;

    set_up();
    sh = rig_enter(&r, 0);
    cr_assert(turn(sh, 15000, 200), "it may be waiting for a tick");
    cr_assert_not(turn(sh, 15000, 200));
    cr_assert_not(turn(sh, 1, 200));
    tear_down();
}

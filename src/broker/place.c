/* place.c - which processor a shard runs on, and who goes first there. */
#include "rc/broker/place.h"

#include "rc/base/machine.h"
#include "rc/broker/shard.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

enum {
    STRETCH_US = 100, /* that a shard keeps a processor that is another's as well */
    SLEPT_US = 20,    /* between two turns: it has waited, and others could run */
    AGE_SHIFT = 13,   /* of us: steps of 8 ms */
    AGE_MAX = 2,      /* steps; a shard that waits for a tick of the kernel had a turn since */
    CPU_BITS = 16,
};

void rc_place_take(struct rc_shard *sh)
{
    static atomic_flag not_kept = ATOMIC_FLAG_INIT, not_first = ATOMIC_FLAG_INIT;
    const struct rc_conf *conf = sh->app->conf;
    char why[128];

    if (conf->server_cpu_affinity && !rc_machine_keep_on(sh->index) &&
        !atomic_flag_test_and_set(&not_kept))
        rc_shard_log(sh, RC_LOG_WARN,
                     "server.cpu_affinity: it cannot be kept on one core: %s; it needs to be "
                     "permitted sched_setaffinity (SystemCallFilter in a unit of systemd)",
                     strerror_r(errno, why, sizeof(why)));
    if (conf->server_realtime && !rc_machine_realtime() &&
        !atomic_flag_test_and_set(&not_first))
        rc_shard_log(
            sh, RC_LOG_WARN,
            "server.realtime: it cannot go before others: %s; it needs CAP_SYS_NICE or "
            "a limit of 1 (ulimit -r, LimitRTPRIO), and no RestrictRealtime",
            strerror_r(errno, why, sizeof(why)));
}

uint64_t rc_place_seen(unsigned cpu, uint64_t now_us)
{
    return (now_us >> AGE_SHIFT) << CPU_BITS | (cpu + 1);
}

/* Was another one on the processor of `seen`, not long before? */
static bool is_shared(const struct rc_shard *sh, uint64_t seen)
{
    for (unsigned i = 0; sh->peers != NULL && i < sh->nshards; i++) {
        /* relaxed: a hint, where it was some turns ago would do */
        uint64_t other = atomic_load_explicit(&sh->peers[i]->place.seen, memory_order_relaxed);

        if (i != sh->index && (uint16_t)other == (uint16_t)seen &&
            (other >> CPU_BITS) + AGE_MAX >= seen >> CPU_BITS)
            return true;
    }
    return false;
}

void rc_place_turn(struct rc_shard *sh, uint64_t now_us)
{
    struct rc_place *p = &sh->place;
    int cpu = sched_getcpu();
    uint64_t seen = cpu >= 0 ? rc_place_seen((unsigned)cpu, now_us) : 0;

    /* Seldom: others read that cache line. */
    if (atomic_load_explicit(&p->seen, memory_order_relaxed) != seen)
        atomic_store_explicit(&p->seen, seen, memory_order_relaxed);
    if (rc_turn_us - p->end_us > SLEPT_US)
        p->from_us = rc_turn_us;
    p->end_us = now_us;
    if (now_us - p->from_us < STRETCH_US)
        return;
    p->from_us = now_us;
    p->share = seen != 0 && is_shared(sh, seen);
}

void rc_place_share(struct rc_shard *sh)
{
    if (!sh->place.share)
        return;
    sh->place.share = false;
    rc_stat_add(&sh->stats.yields, 1);
    (void)sched_yield();
}

/* watch.c - what main does while others work: looks after them, and spreads the end. */
#include "notify.h"
#include "rc/base/log.h"
#include "rc/base/timer.h"
#include "rc/broker/admission.h"
#include "server_int.h"

#include <time.h>

enum {
    SECOND_MS = 1000,
    DRAIN_LOOK_MS = 5,
    ANSWERS_MS =
        2000, /* for what is under way when all end at once: managers are less patient then */
};

/* ---- while it runs ---- */

/* Has each shard had a turn since the last look? */
static bool shards_live(const struct rc_server *s)
{
    bool all = true;

    for (unsigned i = 0; i < s->nstarted; i++) {
        if (rc_stat_get(&s->shard[i]->stats.turns) != s->watch.turns[i])
            continue;
        rc_log(RC_LOG_WARN, "shard %u has had no turn for %u ms: the watchdog is not told", i,
               rc_notify_watchdog_ms());
        all = false;
    }
    return all;
}

/* To compare with, at the next look; until then each is given a turn. */
static void note_turns(struct rc_server *s)
{
    for (unsigned i = 0; i < s->nstarted; i++) {
        s->watch.turns[i] = rc_stat_get(&s->shard[i]->stats.turns);
        rc_mesh_poke(s->mesh, i);
    }
}

static void look_after_shards(struct rc_server *s, uint64_t now)
{
    uint32_t interval = rc_notify_watchdog_ms();

    if (interval == 0 || now < s->watch.shards_at)
        return;
    if (s->watch.shards_at == 0 || shards_live(s))
        rc_notify("WATCHDOG=1");
    note_turns(s);
    s->watch.shards_at = now + interval;
}

uint32_t rc_watch(struct rc_server *s)
{
    uint64_t now = rc_clock_ms(), next;

    look_after_shards(s, now);
    if (now >= s->watch.rest_at) {
        rc_admission_watch(s->admission);
        rc_reload_reap(s);
        s->watch.rest_at = now + SECOND_MS;
    }
    next = s->watch.rest_at;
    if (s->watch.shards_at != 0 && s->watch.shards_at < next)
        next = s->watch.shards_at;
    return next > now ? (uint32_t)(next - now) : 1;
}

/* ---- before it ends ---- */

/* And those of other nodes that come by this one. */
static uint64_t count_sessions(const struct rc_server *s)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < s->nstarted; i++)
        n += rc_stat_get(&s->shard[i]->stats.sessions) + rc_stat_get(&s->shard[i]->stats.pipes);
    return n;
}

/* Nobody is left; or, when they do not end one after the other, nobody who waits for an answer. */
static bool is_drained(const struct rc_server *s)
{
    for (unsigned i = 0; i < s->nstarted; i++)
        /* relaxed: a hint; what it promises comes through the shard's rings */
        if (!atomic_load_explicit(&s->shard[i]->drained, memory_order_relaxed))
            return false;
    return true;
}

static void wait_until(struct rc_server *s, uint64_t until,
                       bool (*is_over)(const struct rc_server *))
{
    const struct timespec look = {.tv_nsec = DRAIN_LOOK_MS * 1000000L};

    while (rc_clock_ms() < until && (is_over == NULL || !is_over(s))) {
        (void)rc_watch(s);
        (void)nanosleep(&look, NULL);
    }
}

void rc_drain_delay(struct rc_server *s)
{
    uint32_t delay = rc_server_latest(s)->server_drain_delay;

    if (delay == 0)
        return;
    rc_log(RC_LOG_INFO, "not ready any more; listening for another %u ms", delay);
    wait_until(s, rc_clock_ms() + delay, NULL);
}

void rc_drain(struct rc_server *s)
{
    const struct rc_conf *conf = rc_server_latest(s);
    unsigned main_endpoint = rc_mesh_main(s->nshards);
    uint64_t now = rc_clock_ms(), sessions = count_sessions(s);
    uint32_t patience = conf->server_shutdown_timeout;

    if (sessions == 0)
        return;
    if (conf->server_drain_time != 0)
        rc_log(RC_LOG_INFO, "ending %llu session%s over %u ms", (unsigned long long)sessions,
               sessions == 1 ? "" : "s", conf->server_drain_time);
    else if (patience > ANSWERS_MS)
        patience = ANSWERS_MS;
    for (unsigned i = 0; i < s->nstarted; i++) {
        struct rc_msg msg = {.type = RC_MSG_DRAIN, .count = conf->server_drain_time};

        rc_mesh_post(s->mesh, main_endpoint, i, &msg);
    }
    while (!rc_mesh_wake(s->mesh, main_endpoint))
        wait_until(s, rc_clock_ms() + 1, NULL);
    wait_until(s, now + conf->server_drain_time + patience, is_drained);
}

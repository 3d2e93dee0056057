/* drain.c - before the server stops, its sessions end when what they have asked for is done, and one after the other, so that
 * their clients do not all come to the next server at once. */
#include "rc/broker/lane.h"
#include "rc/broker/pipe.h"
#include "rc/broker/polling.h"
#include "rc/broker/session.h"
#include "rc/broker/shard.h"

enum { STEP_MS = 20 };

/* How many should have been told by now. */
static uint32_t due(const struct rc_shard *sh)
{
    uint64_t elapsed = sh->loop.now_ms - sh->drain_from_ms;
    uint64_t n = sh->drain_ms != 0 ? sh->drain_total * elapsed / sh->drain_ms + 1 : UINT32_MAX;

    return n < sh->drain_total ? (uint32_t)n : sh->drain_total;
}

/* What it has asked for is under way, and it will be told: rules that wait for the store or for other shards,
 * acks that come from there. */
static bool is_busy(const struct rc_shard *sh, const struct rc_session *s)
{
    return s->job != NULL || (s->paused & (RC_PAUSE_FENCE | RC_PAUSE_STORE)) != 0 ||
           !rc_lane_is_answered(sh, s);
}

/* A client that has paused polling for its upgrade would not notice its end. */
static bool is_upgrading(const struct rc_session *s)
{
    return s->polling != NULL && s->polling->upgrading;
}

/* Those that are busy ask for nothing more, and have their turn in the next round. False: there are such. */
RC_ON_SHARD static bool tell(struct rc_shard *sh, uint32_t until)
{
    bool all = true;

    while (sh->drain_told < until) {
        struct rc_session *s = rc_pool_next(&sh->sessions, &sh->drain_cursor);

        if (s == NULL) {
            sh->drain_cursor = 0;
            break;
        }
        if (s->closed)
            continue;
        if (is_busy(sh, s)) {
            all = false;
            rc_session_pause(sh, s, RC_PAUSE_END);
        } else if (!is_upgrading(s)) {
            rc_session_close(sh, s, RC_CLOSE_SHUTDOWN);
            sh->drain_told++;
        }
    }
    return all;
}

void rc_drain_turn(struct rc_shard *sh)
{
    bool drained = tell(sh, due(sh));

    sh->drain_due = false;
    if (sh->drain_ms != 0) {
        uint64_t part = (sh->loop.now_ms - sh->drain_from_ms) * 1000 / sh->drain_ms + 1;

        rc_pipe_drain(sh, part < 1000 ? (unsigned)part : 1000);
        drained = rc_stat_get(&sh->stats.sessions) == 0 && rc_stat_get(&sh->stats.pipes) == 0;
    }
    /* relaxed: main looks again and again */
    atomic_store_explicit(&sh->drained, drained, memory_order_relaxed);
    if (!drained)
        rc_timer_start(&sh->q_drain, &sh->drain_timer, sh->loop.now_ms);
}

/* Once this turn's mail was taken: it may have what they wait for. */
static void on_step(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;

    (void)t;
    rc_assert_on_shard(sh);
    sh->drain_due = !sh->stopping;
}

void rc_drain_begin(struct rc_shard *sh, uint32_t over_ms)
{
    sh->draining = true;
    sh->drain_from_ms = sh->loop.now_ms;
    sh->drain_ms = over_ms;
    sh->drain_total = (uint32_t)rc_stat_get(&sh->stats.sessions);
    sh->drain_due = true;
}

void rc_drain_init(struct rc_shard *sh)
{
    rc_timerq_init(&sh->q_drain, STEP_MS, on_step, sh);
    rc_loop_add_timerq(&sh->loop, &sh->q_drain);
}

/* drain.c - before the server stops, its sessions end when what they have asked for is done, and one after the other, so that
 * their clients do not all come to the next server at once. */
#include "rc/broker/inbox.h"
#include "rc/broker/lane.h"
#include "rc/broker/pipe.h"
#include "rc/broker/polling.h"
#include "rc/broker/session.h"
#include "rc/broker/shard.h"

enum {
    STEP_MS = 20,
    UNREAD_MS = 2000, /* that an answer waits for a poll when its session's time has come */
};

RC_ON_SHARD static uint64_t elapsed_ms(const struct rc_shard *sh)
{
    return sh->loop.now_ms - sh->drain_from_ms;
}

/* The time of all has come. */
RC_ON_SHARD static bool is_over(const struct rc_shard *sh)
{
    return elapsed_ms(sh) >= sh->drain_ms;
}

/* How many should have been told by now. */
RC_ON_SHARD static uint32_t due(const struct rc_shard *sh)
{
    return is_over(sh) ? UINT32_MAX
                       : (uint32_t)(sh->drain_total * elapsed_ms(sh) / sh->drain_ms + 1);
}

/* What it has asked for is under way, and it will be told: rules that wait for the store or for other shards,
 * acks that come from there. */
RC_ON_SHARD static bool is_busy(const struct rc_shard *sh, const struct rc_session *s)
{
    return s->job != NULL || (s->paused & (RC_PAUSE_FENCE | RC_PAUSE_STORE)) != 0 ||
           !rc_lane_is_answered(sh, s);
}

/* A client that has paused polling for its upgrade would not notice its end; one between two polls would not get what waits
 * for the next, but that may never come. */
RC_ON_SHARD static bool is_absent(const struct rc_shard *sh, const struct rc_session *s)
{
    return s->polling != NULL &&
           (s->polling->upgrading ||
            (!rc_outq_empty(&s->out) && elapsed_ms(sh) < sh->drain_ms + UNREAD_MS));
}

/* Those that are busy have their turn in the next round, and ask for nothing more if the time is over. False: there are some
 * that have to wait. */
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
        if (!is_absent(sh, s) && !is_busy(sh, s)) {
            rc_session_close(sh, s, RC_CLOSE_SHUTDOWN);
            sh->drain_told++;
            continue;
        }
        all = false;
        /* An upgrade needs what comes. */
        if (is_over(sh) && !is_absent(sh, s))
            rc_session_pause(sh, s, RC_PAUSE_END);
    }
    return all;
}

void rc_drain_turn(struct rc_shard *sh)
{
    bool drained = tell(sh, due(sh));

    sh->drain_due = false;
    if (sh->drain_ms != 0) {
        uint64_t part = elapsed_ms(sh) * 1000 / sh->drain_ms + 1;

        rc_pipe_drain(sh, part < 1000 ? (unsigned)part : 1000);
        drained = rc_stat_get(&sh->stats.sessions) == 0 && rc_stat_get(&sh->stats.pipes) == 0;
    }
    /* relaxed: main looks again and again */
    atomic_store_explicit(&sh->drained, drained, memory_order_relaxed);
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
    if (over_ms == 0)
        rc_inbox_stop(sh); /* while the sessions are still there */
}

void rc_drain_init(struct rc_shard *sh)
{
    rc_timerq_init(&sh->q_drain, STEP_MS, on_step, sh);
    rc_loop_add_timerq(&sh->loop, &sh->q_drain);
}

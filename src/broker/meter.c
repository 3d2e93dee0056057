/* meter.c - sessions that send faster than they may. */
#include "rc/broker/meter.h"

#include "rc/base/mem.h"
#include "rc/broker/engine.h"
#include "rc/broker/json_client.h"

#include <stdlib.h>
#include <string.h>

/* How long a session is not read differs, but a queue of timers has one duration: so it waits in the
 * one with the longest that is not too long, and then in the next, as identities do. */
static const uint32_t steps_ms[RC_METER_STEPS] = {2, 16, 128, 1024};

struct rc_meter_wait {
    struct rc_timer timer;
    rc_id session;
};

/* ---- buckets ---- */

static struct rc_meter *meter_of(struct rc_shard *sh, const struct rc_session *s)
{
    uint32_t slot = s->hdr.slot, cap = sh->meter_cap != 0 ? sh->meter_cap : 64;

    if (slot >= sh->meter_cap) {
        while (cap <= slot)
            cap *= 2;
        sh->meter = rc_realloc(sh->meter, cap * sizeof(*sh->meter));
        memset(sh->meter + sh->meter_cap, 0, (cap - sh->meter_cap) * sizeof(*sh->meter));
        sh->meter_cap = cap;
    }
    return &sh->meter[slot];
}

void rc_meter_reset(struct rc_shard *sh, const struct rc_session *s)
{
    *meter_of(sh, s) = (struct rc_meter){0};
}

/* ---- what happens above the rate ---- */

RC_ON_SHARD static void close_session(struct rc_shard *sh, struct rc_session *s)
{
    struct rc_str text = RC_STR(RC_RATE_TEXT);

    if (s->conn == NULL) {
        rc_engine_fail(sh, s, RC_CLOSE_RATE);
        return;
    }
    if (s->kind == RC_SESSION_ENDPOINT && sh->app->nsp[s->nsp].endpoint == RC_ENDPOINT_JSON)
        rc_json_client_last_error(sh, s, RC_RATE_CODE, text);
    rc_wsconn_end(sh, s, RC_WS_POLICY, text, RC_CLOSE_RATE);
    rc_session_close(sh, s, RC_CLOSE_RATE);
}

/* Milliseconds until it may be read again. */
static uint64_t wait_of(struct rc_shard *sh, const struct rc_session *s)
{
    const struct rc_meter *m = meter_of(sh, s);
    uint64_t now = sh->loop.now_ms,
             bytes = rc_bucket_wait(&m->bytes, &sh->app->byte_rate, 1, now);
    uint64_t messages = sh->app->conf->limits_rate_policy == RC_RATEPOLICY_DELAY
                            ? rc_bucket_wait(&m->messages, &sh->app->message_rate, 1, now)
                            : 0;

    return bytes > messages ? bytes : messages;
}

static void wait_on(struct rc_shard *sh, struct rc_meter_wait *w, uint64_t ms)
{
    unsigned step = RC_METER_STEPS - 1;

    while (step != 0 && steps_ms[step] > ms)
        step--;
    rc_timer_start(&sh->q_meter[step], &w->timer, sh->loop.now_ms);
}

/* Is not read until there is something in its buckets. */
RC_ON_SHARD static void delay(struct rc_shard *sh, struct rc_session *s)
{
    uint64_t ms = wait_of(sh, s);
    struct rc_meter_wait *w;

    if (ms == 0 || (s->paused & RC_PAUSE_RATE) != 0)
        return;
    w = rc_calloc(1, sizeof(*w));
    w->session = rc_session_id(sh, s);
    wait_on(sh, w, ms);
    rc_stat_add(&sh->stats.rate_delays, 1);
    rc_session_pause(sh, s, RC_PAUSE_RATE);
}

static void on_step(struct rc_timer *t, void *arg)
{
    struct rc_meter_wait *w = RC_CONTAINER(t, struct rc_meter_wait, timer);
    struct rc_shard *sh = arg;
    struct rc_session *s;
    uint64_t ms;

    rc_assert_on_shard(sh);
    s = rc_session_find(sh, w->session);
    ms = s != NULL && !s->closed ? wait_of(sh, s) : 0;
    if (ms != 0) {
        wait_on(sh, w, ms);
        return;
    }
    free(w);
    if (s != NULL)
        rc_session_resume(sh, s, RC_PAUSE_RATE);
}

/* ---- what has come ---- */

bool rc_meter_count(struct rc_shard *sh, struct rc_session *s)
{
    const struct rc_rate *rate = &sh->app->message_rate;
    struct rc_bucket *b = &meter_of(sh, s)->messages;
    uint64_t now = sh->loop.now_ms;

    if (rate->per_second == 0 || s->assembly != NULL) /* attachments are of the packet before */
        return true;
    if (sh->app->conf->limits_rate_policy == RC_RATEPOLICY_DELAY) {
        rc_bucket_charge(b, rate, 1, now);
        delay(sh, s); /* this one is here already; the next has to wait */
        return true;
    }
    if (rc_bucket_take(b, rate, 1, now))
        return true;
    if (sh->app->conf->limits_rate_policy == RC_RATEPOLICY_CLOSE) {
        close_session(sh, s);
        return false;
    }
    sh->over_rate = true;
    return true;
}

void rc_meter_charge(struct rc_shard *sh, struct rc_session *s, size_t bytes)
{
    struct rc_bucket *b = &meter_of(sh, s)->bytes;
    const struct rc_rate *rate = &sh->app->byte_rate;

    if (rate->per_second == 0 || s->closed)
        return;
    rc_bucket_charge(b, rate, bytes, sh->loop.now_ms);
    if (sh->app->conf->limits_rate_policy != RC_RATEPOLICY_CLOSE)
        delay(sh, s);
    else if (rc_bucket_wait(b, rate, 0, sh->loop.now_ms) != 0)
        close_session(sh, s);
}

/* ---- life ---- */

void rc_meter_init(struct rc_shard *sh)
{
    for (unsigned i = 0; i < RC_METER_STEPS; i++) {
        rc_timerq_init(&sh->q_meter[i], steps_ms[i], on_step, sh);
        rc_loop_add_timerq(&sh->loop, &sh->q_meter[i]);
    }
}

void rc_meter_deinit(struct rc_shard *sh)
{
    for (unsigned i = 0; i < RC_METER_STEPS; i++) {
        struct rc_list *due = &sh->q_meter[i].due, *next;

        for (struct rc_list *at = due->next; at != due; at = next) {
            next = at->next;
            free(RC_CONTAINER(at, struct rc_meter_wait, timer.link));
        }
        rc_list_init(due);
    }
    free(sh->meter);
}

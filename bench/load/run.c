/*
 * run.c - the phases of a run: set up, settle, warm up, measure, drain.
 *
 * Each has a time limit. Open loop: message i is due at start + i / rate, whatever happens; its
 * latency counts from there.
 */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define MAX_EVENTS     512
#define MAX_CONNECTING 128u
#define SEND_BURST     256u
#define SECOND         1000000000ull

struct clockwork {
    const char *phase;
    uint64_t progress_ns; /* next progress line */
    uint64_t delivered, sent, churned;
    struct load_usage usage;
    /* open loop */
    uint64_t first_due_ns, due_count;
    double step_ns;
    uint64_t next_due_ns; /* UINT64_MAX: nothing is due */
};

static uint64_t seconds(double s)
{
    return (uint64_t)(s * 1e9);
}

static void progress(struct load *l, struct clockwork *w, uint64_t now)
{
    struct load_usage u;
    double dt;

    if (now < w->progress_ns)
        return;
    load_usage_read(&u, &l->o->pids);
    dt = (double)(now - w->usage.at_ns) / 1e9;
    if (!l->o->quiet && dt > 0.5)
        fprintf(stderr,
                "%-7s %6.1f s  %5u ready  %8.0f sent/s  %9.0f %s/s  p50 %.3f ms  p99 %.3f ms"
                "  server %3.0f %%  client %3.0f %%\n",
                w->phase, (double)(now - l->start_ns) / 1e9, l->ready - l->closed,
                (double)(l->count.sent - w->sent) / dt,
                (double)(l->count.delivered + l->count.churned - w->delivered - w->churned) /
                    dt,
                l->o->churn > 0 ? "joins" : "delivered",
                (double)load_hist_quantile(&l->recent, 0.5) / 1e6,
                (double)load_hist_quantile(&l->recent, 0.99) / 1e6,
                (double)(u.server_ns - w->usage.server_ns) / dt / 1e7,
                (double)(u.client_ns - w->usage.client_ns) / dt / 1e7);
    load_hist_reset(&l->recent);
    w->sent = l->count.sent;
    w->delivered = l->count.delivered;
    w->churned = l->count.churned;
    w->usage = u;
    w->progress_ns = now + SECOND;
}

/* Waits for events until the given time and handles them. */
static void turn(struct load *l, uint64_t until_ns)
{
    struct epoll_event ev[MAX_EVENTS];
    uint64_t now = load_now_ns(), wait = until_ns > now ? until_ns - now : 0;
    struct timespec ts;
    int n;

    if (l->o->wait == LOAD_NAP) {
        uint64_t nap = l->o->nap_us * 1000ull;

        nap = nap < wait ? nap : wait;
        ts = (struct timespec){.tv_sec = 0, .tv_nsec = (long)nap};
        if (nap > 0)
            nanosleep(&ts, NULL);
    }
    if (l->o->wait != LOAD_BLOCK)
        wait = 0;
    ts = (struct timespec){.tv_sec = (time_t)(wait / SECOND), .tv_nsec = (long)(wait % SECOND)};
    n = epoll_pwait2(l->epoll, ev, MAX_EVENTS, &ts, NULL);
    for (int i = 0; i < n; i++)
        load_conn_event(l, ev[i].data.ptr, ev[i].events);
}

/* All connections have ended: the server is gone. */
static bool deserted(const struct load *l)
{
    return l->o->churn <= 0 && l->ready > 0 && l->closed >= l->ready;
}

/* Runs until a time, or until done() says so. */
static void run_until(struct load *l, struct clockwork *w, uint64_t end_ns,
                      bool (*work)(struct load *, struct clockwork *, uint64_t))
{
    uint64_t now;

    while ((now = load_now_ns()) < end_ns && !l->stop && !deserted(l)) {
        uint64_t until = end_ns < w->progress_ns ? end_ns : w->progress_ns;

        progress(l, w, now);
        if (work != NULL && work(l, w, now))
            return;
        turn(l, w->next_due_ns < until ? w->next_due_ns : until);
    }
}

static bool connect_some(struct load *l, struct clockwork *w, uint64_t now)
{
    (void)w;
    (void)now;
    while (l->started < l->nconns && l->started - l->ready < MAX_CONNECTING && l->failed == 0)
        load_conn_open(l, &l->conns[l->started]);
    return l->ready >= l->nconns || l->failed > 0;
}

static void set_rate(struct clockwork *w, double rate)
{
    w->first_due_ns = w->next_due_ns = load_now_ns();
    w->due_count = 0;
    w->step_ns = 1e9 / rate;
}

static void advance_due(struct clockwork *w)
{
    w->due_count++;
    w->next_due_ns = w->first_due_ns + (uint64_t)((double)w->due_count * w->step_ns);
}

static bool send_due(struct load *l, struct clockwork *w, uint64_t now)
{
    uint32_t k, room, rooms = l->o->rooms;

    for (unsigned i = 0; i < SEND_BURST && w->next_due_ns <= now; i++) {
        k = (uint32_t)(w->due_count % l->nsenders);
        room = k % rooms;
        load_traffic_send(l, &l->senders[room * l->o->senders + k / rooms], 1, w->next_due_ns);
        advance_due(w);
    }
    return false;
}

/* Each start takes the next free place; when none is free, it waits and its time runs. */
static bool churn_due(struct load *l, struct clockwork *w, uint64_t now)
{
    static uint32_t place;

    while (w->next_due_ns <= now) {
        struct load_conn *c = NULL;

        for (uint32_t i = 0; i < l->nconns && c == NULL; i++) {
            place = place + 1 < l->nconns ? place + 1 : 0;
            if (l->conns[place].state == LOAD_CLOSED)
                c = &l->conns[place];
        }
        if (c == NULL)
            return false;
        c->due_ns = w->next_due_ns;
        load_conn_open(l, c);
        l->count.sent++;
        advance_due(w);
    }
    return false;
}

static bool all_arrived(struct load *l, struct clockwork *w, uint64_t now)
{
    (void)w;
    (void)now;
    if (l->o->churn > 0)
        return l->ready + l->failed >= l->started;
    return l->count.delivered >= l->count.expected &&
           (!l->o->ack || l->count.acked + l->count.refused >= l->count.sent);
}

/* Lets the stalled members read on, for as long as something comes: who is closed then? */
static void wake_stalled(struct load *l, struct clockwork *w)
{
    for (unsigned round = 0; l->o->stalled > 0 && round < 10; round++) {
        for (uint32_t i = 0; i < l->nconns; i++)
            if (l->conns[i].stalled)
                load_conn_discard(l, &l->conns[i]);
        run_until(l, w, load_now_ns() + SECOND / 50, NULL);
    }
}

static void read_usage(const struct load *l, struct load_usage *servers,
                       struct load_usage *beside)
{
    for (uint32_t i = 0; i < l->o->nbeside; i++)
        load_usage_read(&beside[i], &l->o->beside[i]);
    load_usage_read(servers, &l->o->pids);
}

static void traffic(struct load *l, struct clockwork *w, struct load_result *r)
{
    bool (*work)(struct load *, struct clockwork *, uint64_t) = NULL;
    struct load_counters counters;
    struct load_counts from;

    if (l->o->churn > 0) {
        set_rate(w, l->o->churn);
        work = churn_due;
    } else if (!l->o->idle && l->o->rate > 0) {
        set_rate(w, l->o->rate);
        work = send_due;
    }
    l->sending = true;
    if (work == NULL)
        for (uint32_t i = 0; i < l->nsenders; i++)
            load_traffic_send(l, &l->senders[i], l->o->outstanding, load_now_ns());
    w->phase = "warm-up";
    run_until(l, w, load_now_ns() + seconds(l->o->warmup_s), work);

    w->phase = "measure";
    if (l->o->churn > 0)
        load_hist_reset(&l->all);
    l->window_to_ns = UINT64_MAX;
    l->window_from_ns = load_now_ns();
    from = l->count;
    read_usage(l, &r->before, r->beside_before);
    load_counters_open(&counters, &l->o->pids);
    run_until(l, w, l->window_from_ns + seconds(l->o->duration_s), work);
    load_counters_read(&counters, &r->counted);
    read_usage(l, &r->after, r->beside_after);
    load_counters_close(&counters);
    l->window_to_ns = load_now_ns();
    r->window_delivered = l->count.delivered - from.delivered;
    r->window_crossed = l->count.crossed - from.crossed;
    r->window_acked = l->count.acked - from.acked;
    r->window_sent = l->count.sent - from.sent;
    r->window_churned = l->count.churned - from.churned;
    r->window_reads = l->count.reads - from.reads;
    r->window_bytes = l->count.bytes - from.bytes;

    w->phase = "drain";
    l->sending = false;
    w->next_due_ns = UINT64_MAX;
    run_until(l, w, load_now_ns() + seconds(l->o->drain_s), all_arrived);
    wake_stalled(l, w);
}

static bool setup(struct load *l, struct clockwork *w, struct load_result *r)
{
    uint64_t from = load_now_ns();
    struct load_counters counters;

    r->rss_before = load_rss_read(&l->o->pids);
    load_usage_read(&r->before_setup, &l->o->pids);
    load_counters_open(&counters, &l->o->pids);
    w->usage = r->before_setup;
    w->phase = "connect";
    if (l->o->churn <= 0)
        run_until(l, w, from + seconds(l->o->setup_s), connect_some);
    load_counters_read(&counters, &r->counted_setup);
    load_counters_close(&counters);
    load_usage_read(&r->after_setup, &l->o->pids);
    r->setup_s = (double)(load_now_ns() - from) / 1e9;
    if (l->o->churn <= 0 && l->ready < l->nconns) {
        fprintf(stderr, "load: only %u of %u connections are ready: %s%s%s\n", l->ready,
                l->nconns, l->why != NULL ? l->why : "time is up",
                l->why != NULL && l->why_errno != 0 ? ": " : "",
                l->why != NULL && l->why_errno != 0 ? strerror(l->why_errno) : "");
        return false;
    }
    w->phase = "settle";
    run_until(l, w, load_now_ns() + seconds(l->o->settle_s), NULL);
    r->rss_ready = load_rss_read(&l->o->pids);
    return true;
}

bool load_run(struct load *l, struct load_result *r)
{
    struct clockwork w = {.next_due_ns = UINT64_MAX};

    memset(r, 0, sizeof(*r));
    l->start_ns = load_now_ns();
    w.progress_ns = l->start_ns + SECOND;
    l->window_from_ns = UINT64_MAX;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0) {
        perror("load: epoll_create1");
        return false;
    }
    if (!setup(l, &w, r))
        return false;
    traffic(l, &w, r);
    if (l->o->churn > 0) {
        w.phase = "settle";
        run_until(l, &w, load_now_ns() + seconds(l->o->settle_s), NULL);
    }
    r->rss_end = load_rss_read(&l->o->pids);
    r->rss_peak = load_rss_peak(&l->o->pids);
    return true;
}

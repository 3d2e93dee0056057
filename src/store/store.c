/* store.c - the store's thread: gathers what the shards ask for, has it carried out, hands it back. */
#include "rc/store/store.h"

#include "batch.h"
#include "check.h"
#include "db.h"
#include "follow.h"
#include "rc/base/log.h"
#include "rc/base/mem.h"
#include "rc/base/spsc.h"
#include "rc/base/thread.h"
#include "rc/base/timer.h"
#include "request.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    TURN = 64,            /* requests of one shard before the next one's turn, in one batch */
    BACKOFF_MIN_MS = 100, /* between attempts to open; doubled each time, and less by chance */
    BACKOFF_MAX_MS = 5000,
    PING_MS = 15000, /* a connection that was idle that long is tried */
    FLUSH_MS = 1,    /* what waits for room in a ring is tried again */
    LOOK_MS = 1000,  /* for what others have stored, when nobody says that there is any */
};

/* What a shard has submitted. */
struct producer {
    struct rc_spsc ring; /* of struct rc_store_req * */
    /* Written by the shard. */
    _Atomic uint64_t taken, taken_size, busy, down;
    /* Written by the store's thread. */
    _Alignas(RC_CACHELINE) _Atomic uint64_t finished, finished_size;
};

/* Written by the store's thread, read by any. */
struct counters {
    _Atomic uint64_t stored, repeated, failed, slow, batches, lost, connects, up, busy_us;
    _Atomic uint64_t followed, skipped;
};

struct rc_store {
    struct rc_store_port port;
    const struct rc_conf *conf;
    struct rc_db *engine;
    struct producer *producer;
    unsigned nproducers;
    rc_store_flush_fn *flush;
    void *flush_arg;
    int efd;
    _Alignas(RC_CACHELINE) _Atomic int pending; /* 1: a wake-up is on its way */
    _Atomic bool down;                          /* nothing is taken */
    _Atomic bool stopping;
    struct counters counters;
    pthread_t thread;
    bool started;

    /* The thread's own from here on. */
    struct rc_store_batch batch;
    struct rc_store_batch held; /* its commit was not answered; n = 0: there is none */
    uint64_t held_until;
    uint64_t open_at; /* while down: when the next attempt is due */
    uint64_t ping_at;
    struct rc_follow follow;
    uint64_t look_at;
    bool blind; /* the last look has failed */
    unsigned backoff_ms;
    unsigned next;        /* producer whose turn it is */
    bool unflushed;       /* something waits for room in a ring */
    bool failing;         /* the last transaction that wrote has failed, and that was logged */
    char told[RC_DB_WHY]; /* what was logged of the last attempt to open */
};

/* relaxed: one writer, and readers want a recent figure, not an order */
static void add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* ---- the port: shards ---- */

static void wake(struct rc_store *s)
{
    static const uint64_t one = 1;

    /* acq_rel: what was pushed is visible before the flag; see broker/mesh.c */
    if (atomic_exchange_explicit(&s->pending, 1, memory_order_acq_rel) != 0)
        return;
    while (write(s->efd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}

/* May this one wait, too? Alone it may be of any size. */
static bool has_room(const struct rc_store *s, const struct producer *p, size_t size)
{
    uint64_t waiting = get(&p->taken) - get(&p->finished);
    uint64_t bytes = get(&p->taken_size) - get(&p->finished_size);

    return waiting == 0 || (waiting < s->conf->store_max_pending &&
                            bytes + size <= s->conf->store_max_pending_size);
}

static int submit(void *store, unsigned producer, struct rc_store_req *req)
{
    struct rc_store *s = store;
    struct producer *p = &s->producer[producer];
    struct rc_store_req **slot;

    RC_ASSERT(producer < s->nproducers && req->done != NULL);
    /* relaxed: one that is taken a moment too late is refused by the thread */
    if (atomic_load_explicit(&s->down, memory_order_relaxed)) {
        req->fault = RC_STORE_DOWN;
        add(&p->down, 1);
        return RC_ECLOSED;
    }
    slot = has_room(s, p, req->size) ? rc_spsc_claim(&p->ring) : NULL;
    if (slot == NULL) {
        req->fault = RC_STORE_BUSY;
        add(&p->busy, 1);
        return RC_EFULL;
    }
    req->producer = producer;
    add(&p->taken, 1);
    add(&p->taken_size, req->size);
    *slot = req;
    rc_spsc_commit(&p->ring);
    wake(s);
    return RC_OK;
}

static void read_stats(const void *store, struct rc_store_stats *to)
{
    const struct rc_store *s = store;

    *to = (struct rc_store_stats){
        .stored = get(&s->counters.stored),
        .repeated = get(&s->counters.repeated),
        .failed = get(&s->counters.failed),
        .slow = get(&s->counters.slow),
        .followed = get(&s->counters.followed),
        .skipped = get(&s->counters.skipped),
        .batches = get(&s->counters.batches),
        .lost = get(&s->counters.lost),
        .connects = get(&s->counters.connects),
        .up = get(&s->counters.up),
        .busy_us = get(&s->counters.busy_us),
    };
    for (unsigned i = 0; i < s->nproducers; i++) {
        to->finished += get(&s->producer[i].finished);
        to->taken += get(&s->producer[i].taken);
        to->busy += get(&s->producer[i].busy);
        to->down += get(&s->producer[i].down);
    }
}

/* ---- the thread: batches ---- */

/* Up to TURN requests of one shard. False: the batch is full. */
static bool gather_from(struct rc_store_batch *b, struct producer *p)
{
    struct rc_store_req **slot;

    for (unsigned i = 0; i < TURN; i++) {
        if (b->n == RC_STORE_BATCH_MAX || b->size >= RC_STORE_BATCH_SIZE ||
            b->rows >= RC_STORE_BATCH_ROWS)
            return false;
        slot = rc_spsc_front(&p->ring);
        if (slot == NULL)
            return true;
        b->size += (*slot)->size;
        b->rows += rc_request_rows_size(*slot);
        b->req[b->n++] = *slot;
        rc_spsc_release(&p->ring);
    }
    return true;
}

/* What waits, in turns, as far as it goes. False: nothing does. */
static bool gather(struct rc_store *s)
{
    struct rc_store_batch *b = &s->batch;
    unsigned before = 0, idle = 0;

    b->n = 0;
    b->size = b->rows = 0;
    while (idle < s->nproducers && gather_from(b, &s->producer[s->next])) {
        idle = b->n == before ? idle + 1 : 0;
        before = b->n;
        s->next = (s->next + 1) % s->nproducers;
    }
    return b->n != 0;
}

static void count_answer(struct rc_store *s, const struct rc_store_req *req)
{
    if (req->fault == RC_STORE_OK && req->type == RC_STORE_PUT)
        add(req->repeated ? &s->counters.repeated : &s->counters.stored, 1);
    if (req->fault == RC_STORE_FAILED || req->fault == RC_STORE_SLOW ||
        req->fault == RC_STORE_UNKNOWN)
        add(&s->counters.failed, 1);
    if (req->fault == RC_STORE_SLOW)
        add(&s->counters.slow, 1);
    if (req->fault == RC_STORE_DOWN)
        add(&s->producer[req->producer].down, 1);
}

static void flush(struct rc_store *s)
{
    s->unflushed = s->flush != NULL && !s->flush(s->flush_arg);
}

/* Gives the requests back, in their order. */
static void hand_back(struct rc_store *s, struct rc_store_batch *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        struct rc_store_req *req = b->req[i];
        struct producer *p = &s->producer[req->producer];

        count_answer(s, req);
        add(&p->finished, 1);
        add(&p->finished_size, req->size);
        req->done(req);
    }
    b->n = 0;
    flush(s);
}

/* ---- the thread: up and down ---- */

static uint64_t deadline(const struct rc_store *s)
{
    return rc_clock_ms() + s->conf->store_timeout;
}

/* Between half of it and all of it, so that nodes do not come back all at once. */
static uint64_t jitter(unsigned ms)
{
    static _Thread_local unsigned seed;

    if (seed == 0)
        seed = (unsigned)rc_clock_wall_ms() ^ (unsigned)getpid();
    return ms / 2 + (unsigned)rand_r(&seed) % (ms / 2 + 1);
}

/* Ever later, until something was written again: one that can be opened may still be broken. */
static void open_later(struct rc_store *s)
{
    s->open_at = rc_clock_ms() + jitter(s->backoff_ms);
    s->backoff_ms = s->backoff_ms * 2 < BACKOFF_MAX_MS ? s->backoff_ms * 2 : BACKOFF_MAX_MS;
}

static void go_down(struct rc_store *s)
{
    s->engine->ops->close(s->engine);
    /* relaxed: see submit */
    atomic_store_explicit(&s->down, true, memory_order_relaxed);
    atomic_store_explicit(&s->counters.up, 0, memory_order_relaxed);
    open_later(s);
    s->told[0] = '\0';
}

static void lose(struct rc_store *s)
{
    rc_log(RC_LOG_ERROR, "store: %s: lost, requests are refused until it is back: %s",
           s->engine->ops->name, s->engine->why);
    go_down(s);
}

static void come_up(struct rc_store *s)
{
    add(&s->counters.connects, 1);
    s->failing = false;
    s->ping_at = rc_clock_ms() + PING_MS;
    atomic_store_explicit(&s->counters.up, 1, memory_order_relaxed);
    atomic_store_explicit(&s->down, false, memory_order_relaxed);
}

static void tell_failing(struct rc_store *s, bool failing)
{
    if (failing != s->failing && failing)
        rc_log(RC_LOG_ERROR, "store: %s: requests fail until it works again: %s",
               s->engine->ops->name, s->engine->why);
    else if (failing != s->failing)
        rc_log(RC_LOG_INFO, "store: %s: works again", s->engine->ops->name);
    s->failing = failing;
    atomic_store_explicit(&s->counters.up, !failing, memory_order_relaxed);
}

/* ---- the thread: what others have stored ---- */

static void count_news(struct rc_store *s)
{
    atomic_store_explicit(&s->counters.followed, s->follow.told, memory_order_relaxed);
    atomic_store_explicit(&s->counters.skipped, s->follow.skipped, memory_order_relaxed);
}

/* All there is. False: the engine is gone; what was not told is told when it is back. */
static bool look(struct rc_store *s)
{
    enum rc_sql_result rc = rc_follow_run(&s->follow, s->engine, 0);

    s->look_at = rc_clock_ms() + LOOK_MS;
    count_news(s);
    flush(s);
    if (rc == RC_SQL_LOST)
        lose(s);
    else if (rc != RC_SQL_OK && !s->blind)
        rc_log(RC_LOG_ERROR, "store: %s: others' messages cannot be looked for: %s",
               s->engine->ops->name, s->engine->why);
    s->blind = rc != RC_SQL_OK;
    return rc != RC_SQL_LOST;
}

/* Is there a request that is about what others have stored? */
static bool wants_news(const struct rc_store *s, const struct rc_store_batch *b)
{
    if (s->follow.fn == NULL || rc_batch_writes(b)) /* it looks when it is committed */
        return false;
    for (unsigned i = 0; i < b->n; i++) {
        const struct rc_store_req *req = b->req[i];

        if (req->type == RC_STORE_MISSED ||
            (req->type == RC_STORE_FOLLOW &&
             (req->in.id == 0 || req->in.id > s->engine->followed)))
            return true;
    }
    return false;
}

/* A batch that wrote is committed, so what is below its ids can be seen; and nothing of it has been told. */
static void tell_before(struct rc_store *s, const struct rc_store_batch *b)
{
    struct rc_db *g = s->engine;
    enum rc_sql_result rc = RC_SQL_OK;

    if (s->follow.fn == NULL)
        return;
    if (b->first_id > g->followed + 1)
        rc = rc_follow_run(&s->follow, g, b->first_id - 1);
    if (rc != RC_SQL_OK)
        rc_follow_skip(&s->follow, g, b->first_id - 1);
    if (b->last_id > g->followed)
        g->followed = b->last_id;
    count_news(s);
    if (rc == RC_SQL_LOST)
        lose(s);
}

/* What has become of a batch: hands it back, or keeps it while nobody knows. */
static void finish(struct rc_store *s, struct rc_store_batch *b, enum rc_batch_result result)
{
    switch (result) {
    case RC_BATCH_DONE:
        add(&s->counters.batches, 1);
        if (b->writes) { /* to read proves nothing */
            tell_failing(s, false);
            s->backoff_ms = BACKOFF_MIN_MS;
            tell_before(s, b);
        }
        break;
    case RC_BATCH_FAILED:
        add(&s->counters.lost, 1);
        tell_failing(s, true);
        rc_batch_refuse(b, RC_STORE_FAILED);
        break;
    case RC_BATCH_LOST:
    case RC_BATCH_UNKNOWN:
        add(&s->counters.lost, 1);
        lose(s);
        if (result == RC_BATCH_LOST)
            rc_batch_refuse(b, RC_STORE_DOWN);
        break;
    }
    if (result != RC_BATCH_UNKNOWN) {
        hand_back(s, b);
    } else if (b != &s->held) {
        s->held = *b;
        s->held_until = deadline(s);
        b->n = 0;
    }
}

static uint64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void try_open(struct rc_store *s)
{
    struct rc_db *g = s->engine;

    if (g->ops->open(g) == RC_SQL_OK && rc_follow_begin(&s->follow, g) == RC_SQL_OK) {
        rc_log(RC_LOG_INFO, "store: %s: there again", g->ops->name);
        come_up(s);
        if (s->held.n != 0)
            finish(s, &s->held, rc_batch_settle(g, &s->held));
        return;
    }
    g->ops->close(g);
    if (strcmp(s->told, g->why) != 0) {
        rc_log(RC_LOG_WARN, "store: %s: cannot be opened, will be tried again: %s",
               g->ops->name, g->why);
        (void)snprintf(s->told, sizeof(s->told), "%s", g->why);
    }
    open_later(s);
}

static bool is_down(const struct rc_store *s)
{
    return atomic_load_explicit(&s->down, memory_order_relaxed);
}

/* While the engine is down. */
static void serve_down(struct rc_store *s, bool stopping)
{
    while (gather(s)) {
        rc_batch_refuse(&s->batch, RC_STORE_DOWN);
        hand_back(s, &s->batch);
    }
    if (stopping ? s->held.n != 0 : rc_clock_ms() >= s->open_at)
        try_open(s);
    if (s->held.n != 0 && (stopping || rc_clock_ms() >= s->held_until)) {
        rc_batch_refuse(&s->held, RC_STORE_UNKNOWN);
        s->follow.doubted_from = s->held.first_id;
        s->follow.doubted_to = s->held.last_id;
        hand_back(s, &s->held);
    }
}

static void ping(struct rc_store *s)
{
    struct rc_db *g = s->engine;

    if (g->ops->ping == NULL || rc_clock_ms() < s->ping_at)
        return;
    s->ping_at = rc_clock_ms() + PING_MS;
    if (g->ops->ping(g) == RC_SQL_OK)
        return;
    lose(s);
}

static void serve_up(struct rc_store *s)
{
    while (!is_down(s) && gather(s)) {
        uint64_t began = now_us();
        enum rc_batch_result result;

        if (wants_news(s, &s->batch) && !look(s)) {
            rc_batch_refuse(&s->batch, RC_STORE_DOWN);
            hand_back(s, &s->batch);
            return;
        }
        result = rc_batch_run(s->engine, &s->batch);
        add(&s->counters.busy_us, now_us() - began);
        s->ping_at = rc_clock_ms() + PING_MS;
        finish(s, &s->batch, result);
    }
}

/* ---- the thread ---- */

static int sleep_ms(const struct rc_store *s)
{
    uint64_t now = rc_clock_ms(), until = UINT64_MAX;

    if (s->unflushed)
        return FLUSH_MS;
    if (is_down(s))
        until = s->held.n != 0 && s->held_until < s->open_at ? s->held_until : s->open_at;
    else if (s->engine->ops->ping != NULL)
        until = s->ping_at;
    if (!is_down(s) && s->follow.fn != NULL && s->look_at < until)
        until = s->look_at;
    if (until == UINT64_MAX)
        return -1;
    return until > now ? (int)(until - now) : 0;
}

static void await_mail(struct rc_store *s)
{
    struct pollfd mail = {.fd = s->efd, .events = POLLIN};
    uint64_t count;

    (void)poll(&mail, 1, sleep_ms(s));
    while (read(s->efd, &count, sizeof(count)) < 0 && errno == EINTR)
        continue;
    /* Clear before popping: a push that misses this drain sees 0 and wakes us again. */
    (void)atomic_exchange_explicit(&s->pending, 0, memory_order_acq_rel);
}

static void *run(void *arg)
{
    struct rc_store *s = arg;
    bool stopping;

    rc_thread_enter("store", s);
    do {
        await_mail(s);
        /* acquire: before it was set the shards ended, so all that they have submitted is seen. */
        stopping = atomic_load_explicit(&s->stopping, memory_order_acquire);
        if (s->unflushed)
            flush(s);
        if (!is_down(s))
            serve_up(s);
        if (!is_down(s) && s->follow.fn != NULL && rc_clock_ms() >= s->look_at && !stopping) {
            s->follow.fn(s->follow.arg, NULL);
            (void)look(s);
        }
        if (is_down(s))
            serve_down(s, stopping);
        else
            ping(s);
    } while (!stopping);
    s->engine->ops->close(s->engine);
    return NULL;
}

/* ---- main ---- */

static bool init_rings(struct rc_store *s)
{
    size_t slots = 2;

    while (slots < s->conf->store_max_pending)
        slots *= 2;
    for (unsigned i = 0; i < s->nproducers; i++)
        if (rc_spsc_init(&s->producer[i].ring, slots, sizeof(struct rc_store_req *)) != RC_OK)
            return false;
    return true;
}

static struct rc_db *engine_of(const struct rc_conf *conf)
{
    struct rc_buf password = RC_BUF_INIT;
    struct rc_db *g = NULL;

    if (conf->store_engine == RC_STOREENGINE_SQLITE)
        return rc_sqlite_new(conf);
    if (rc_store_password(conf, &password) == 0 && !password.failed)
        g = rc_mariadb_new(conf, (const char *)password.data);
    rc_store_password_wipe(&password);
    return g;
}

struct rc_store *rc_store_new(const struct rc_conf *conf, unsigned nproducers,
                              rc_store_flush_fn *flush_fn, void *arg)
{
    size_t size = (sizeof(struct rc_store) + RC_CACHELINE - 1) / RC_CACHELINE * RC_CACHELINE;
    struct rc_store *s = aligned_alloc(RC_CACHELINE, size);
    struct producer *producer = aligned_alloc(RC_CACHELINE, nproducers * sizeof(*producer));

    RC_ASSERT(s != NULL && producer != NULL && nproducers != 0);
    memset(s, 0, size);
    memset(producer, 0, nproducers * sizeof(*producer));
    s->port = (struct rc_store_port){.store = s, .submit = submit, .stats = read_stats};
    s->conf = conf;
    s->producer = producer;
    s->nproducers = nproducers;
    s->flush = flush_fn;
    s->flush_arg = arg;
    s->backoff_ms = BACKOFF_MIN_MS;
    s->efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    s->engine = engine_of(conf);
    if (s->efd < 0 || s->engine == NULL || !init_rings(s)) {
        rc_store_free(s);
        return NULL;
    }
    return s;
}

void rc_store_follow(struct rc_store *s, rc_store_news_fn *fn, void *arg)
{
    s->follow.fn = fn;
    s->follow.arg = arg;
}

int rc_store_open(struct rc_store *s, struct rc_conf_errors *e)
{
    struct rc_db *g = s->engine;
    enum rc_sql_result rc = g->ops->open(g);

    if (rc == RC_SQL_OK)
        rc = rc_follow_begin(&s->follow, g);
    if (rc == RC_SQL_OK) {
        come_up(s);
        return RC_OK;
    }
    g->ops->close(g);
    if (rc == RC_SQL_FOREIGN || s->conf->store_engine == RC_STOREENGINE_SQLITE) {
        rc_conf_error(e, NULL, 0, "the store cannot be opened: %s", g->why);
        return RC_EINVAL;
    }
    rc_log(RC_LOG_WARN, "store: %s: cannot be reached, will be tried again: %s", g->ops->name,
           g->why);
    (void)snprintf(s->told, sizeof(s->told), "%s", g->why);
    atomic_store_explicit(&s->down, true, memory_order_relaxed);
    open_later(s);
    return RC_OK;
}

const struct rc_store_port *rc_store_port(struct rc_store *s)
{
    return &s->port;
}

int rc_store_start(struct rc_store *s)
{
    int err = pthread_create(&s->thread, NULL, run, s);

    s->started = err == 0;
    errno = err;
    return err == 0 ? RC_OK : RC_ESYS;
}

void rc_store_stop(struct rc_store *s)
{
    if (!s->started)
        return;
    /* release: pairs with the thread's acquire */
    atomic_store_explicit(&s->stopping, true, memory_order_release);
    wake(s);
    (void)pthread_join(s->thread, NULL);
    s->started = false;
}

/* What was submitted when the thread had ended: by shards that free what they still have. */
static void drop_rest(struct rc_spsc *ring)
{
    struct rc_store_req **slot;

    while (ring->slot != NULL && (slot = rc_spsc_front(ring)) != NULL) {
        rc_store_req_free(*slot);
        rc_spsc_release(ring);
    }
}

void rc_store_free(struct rc_store *s)
{
    if (s == NULL)
        return;
    for (unsigned i = 0; i < s->nproducers; i++) {
        drop_rest(&s->producer[i].ring);
        rc_spsc_deinit(&s->producer[i].ring);
    }
    if (s->engine != NULL) {
        s->engine->ops->close(s->engine);
        s->engine->ops->free(s->engine);
    }
    if (s->efd >= 0)
        (void)close(s->efd);
    rc_follow_deinit(&s->follow);
    free(s->producer);
    free(s);
}

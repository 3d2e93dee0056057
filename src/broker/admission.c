/* admission.c - who may connect: by memory, by rates, by address. */
#include "rc/broker/admission.h"

#include "rc/base/bucket.h"
#include "rc/base/cidr.h"
#include "rc/base/hash.h"
#include "rc/base/log.h"
#include "rc/base/machine.h"
#include "rc/base/mem.h"
#include "rc/base/timer.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PARTS = 64,       /* a power of two */
    PART_MIN = 16,    /* places of a part at first */
    PART_SPARE = 256, /* places of a part beside those for connections, at most */
    LOG_EVERY_MS = 60000,
    RETRY_AFTER_S = 5,
    AUTO_PERCENT = 80,  /* of the memory there is */
    AGAIN_PERCENT = 95, /* of the ceiling */
    QUEUED_PART = 4,    /* of it may wait to be written */
};

#define NOWHERE UINT32_MAX

/* An address that is remembered. */
struct place {
    uint64_t key; /* 0: free */
    struct rc_bucket accepts, bad_tokens;
    uint32_t conns;
    uint32_t next; /* of the same bucket, or free */
};

struct part {
    pthread_mutex_t lock;
    struct place *place; /* [cap] */
    uint32_t *bucket;    /* [cap], first places */
    uint32_t cap, n, free;
};

/* A limit that a reload may change, while others look: a moment of two halves does no harm. */
struct rate {
    _Atomic uint64_t per_second, burst;
};

struct rc_admission {
    struct rate total, per_address, bad_tokens;
    _Atomic uint64_t max_per_address;
    pthread_rwlock_t exempt_lock;
    struct rc_cidr *exempt; /* under exempt_lock: a reload may change it */
    unsigned nexempt;
    uint32_t part_max;
    struct part part[PARTS];
    struct rc_bucket accepts; /* in total */
    _Atomic uint64_t ceiling; /* bytes, 0: none */
    _Atomic bool over;
    _Atomic uint64_t resident, over_times, addresses, unlooked;
    _Atomic uint64_t refused[RC_REFUSAL_COUNT];
    _Atomic uint64_t log_at[RC_REFUSAL_COUNT]; /* not before */
};

static const struct {
    const char *key;
    int status;
} refusals[] = {
#define REFUSAL(name, key, status) {#key, status},
    RC_REFUSAL_MAP(REFUSAL)
#undef REFUSAL
};

const char *rc_refusal_key(enum rc_refusal why)
{
    return refusals[why].key;
}

/* A figure, of no order. */
static void count(_Atomic uint64_t *n, int64_t by)
{
    (void)atomic_fetch_add_explicit(n, (uint64_t)by, memory_order_relaxed);
}

static uint64_t figure(const _Atomic uint64_t *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
}

static void set_rate(struct rate *r, uint64_t per_second, uint64_t burst)
{
    atomic_store_explicit(&r->burst, burst, memory_order_relaxed);
    atomic_store_explicit(&r->per_second, per_second, memory_order_relaxed);
}

static struct rc_rate rate_of(const struct rate *r)
{
    return (struct rc_rate){figure(&r->per_second), figure(&r->burst)};
}

/* ---- life ---- */

uint64_t rc_admission_ceiling(const struct rc_conf *conf)
{
    if (conf->limits_max_memory != RC_CONF_CEILING_AUTO)
        return conf->limits_max_memory;
    return rc_machine_memory() / 100 * AUTO_PERCENT;
}

uint64_t rc_admission_queue_ceiling(const struct rc_conf *conf)
{
    uint64_t memory = rc_admission_ceiling(conf);

    if (conf->limits_max_queued_total != RC_CONF_CEILING_AUTO)
        return conf->limits_max_queued_total;
    return (memory != 0 ? memory : rc_machine_memory() / 100 * AUTO_PERCENT) / QUEUED_PART;
}

static void set_exempt(struct rc_admission *ad, const struct rc_conf_list *list)
{
    struct rc_cidr *had, *exempt = rc_calloc(list->n + 1, sizeof(*exempt));

    for (unsigned i = 0; i < list->n; i++)
        RC_ASSERT(
            rc_cidr_parse(rc_str_of(list->item[i]), &exempt[i])); /* conf has checked it */
    (void)pthread_rwlock_wrlock(&ad->exempt_lock);
    had = ad->exempt;
    ad->exempt = exempt;
    ad->nexempt = list->n;
    (void)pthread_rwlock_unlock(&ad->exempt_lock);
    free(had);
}

void rc_admission_set(struct rc_admission *ad, const struct rc_conf *conf)
{
    set_exempt(ad, &conf->limits_exempt_networks);
    set_rate(&ad->total, conf->limits_accept_rate, conf->limits_accept_burst);
    set_rate(&ad->per_address, conf->limits_accept_rate_per_address,
             conf->limits_accept_burst_per_address);
    set_rate(&ad->bad_tokens, conf->limits_auth_failure_rate, conf->limits_auth_failure_burst);
    atomic_store_explicit(&ad->max_per_address, conf->limits_max_connections_per_address,
                          memory_order_relaxed);
    atomic_store_explicit(&ad->ceiling, rc_admission_ceiling(conf), memory_order_relaxed);
}

struct rc_admission *rc_admission_new(const struct rc_conf *conf, uint32_t max_conns)
{
    struct rc_admission *ad = rc_calloc(1, sizeof(*ad));

    RC_ASSERT(pthread_rwlock_init(&ad->exempt_lock, NULL) == 0);
    rc_admission_set(ad, conf);
    /* Four times the average: the hash is keyed, so nobody fills one part. */
    ad->part_max = max_conns / PARTS * 4 + PART_SPARE;
    for (unsigned i = 0; i < PARTS; i++)
        RC_ASSERT(pthread_mutex_init(&ad->part[i].lock, NULL) == 0);
    return ad;
}

void rc_admission_free(struct rc_admission *ad)
{
    if (ad == NULL)
        return;
    for (unsigned i = 0; i < PARTS; i++) {
        (void)pthread_mutex_destroy(&ad->part[i].lock);
        free(ad->part[i].place);
        free(ad->part[i].bucket);
    }
    (void)pthread_rwlock_destroy(&ad->exempt_lock);
    free(ad->exempt);
    free(ad);
}

/* ---- addresses ---- */

static bool is_exempt(struct rc_admission *ad, const struct rc_addr *a)
{
    bool found = false;

    (void)pthread_rwlock_rdlock(&ad->exempt_lock);
    for (unsigned i = 0; i < ad->nexempt && !found; i++)
        found = rc_cidr_has(&ad->exempt[i], a->family, a->ip);
    (void)pthread_rwlock_unlock(&ad->exempt_lock);
    return found;
}

/* 0: not to be counted. */
static uint64_t key_of(struct rc_admission *ad, const struct rc_addr *a)
{
    return is_exempt(ad, a) ? 0 : rc_cidr_key(a->family, a->ip);
}

static uint32_t part_of(uint64_t hash)
{
    return (uint32_t)hash & (PARTS - 1);
}

static uint32_t *bucket_of(const struct part *p, uint64_t key)
{
    uint64_t hash = rc_hash(&key, sizeof(key), 0);

    return &p->bucket[(uint32_t)(hash / PARTS) & (p->cap - 1)];
}

/* Nothing more is to be known of the address. */
static bool is_forgettable(const struct place *at, uint64_t now_ms, bool at_once)
{
    return at->conns == 0 && (at_once || (rc_bucket_is_full(&at->accepts, now_ms) &&
                                          rc_bucket_is_full(&at->bad_tokens, now_ms)));
}

static void forget(struct rc_admission *ad, struct part *p, uint32_t slot)
{
    uint32_t *at = bucket_of(p, p->place[slot].key);

    while (*at != slot)
        at = &p->place[*at].next;
    *at = p->place[slot].next;
    p->place[slot] = (struct place){.next = p->free};
    p->free = slot;
    p->n--;
    count(&ad->addresses, -1);
}

static void sweep(struct rc_admission *ad, struct part *p, uint64_t now_ms, bool at_once)
{
    for (uint32_t i = 0; i < p->cap; i++)
        if (p->place[i].key != 0 && is_forgettable(&p->place[i], now_ms, at_once))
            forget(ad, p, i);
}

static void grow(struct part *p)
{
    uint32_t old = p->cap;

    p->cap = old != 0 ? old * 2 : PART_MIN;
    p->place = rc_realloc(p->place, p->cap * sizeof(*p->place));
    p->bucket = rc_realloc(p->bucket, p->cap * sizeof(*p->bucket));
    for (uint32_t i = 0; i < p->cap; i++)
        p->bucket[i] = NOWHERE;
    p->free = NOWHERE;
    for (uint32_t i = p->cap; i-- != 0;) {
        struct place *at = &p->place[i];
        uint32_t *first = i < old ? bucket_of(p, at->key) : &p->free; /* it was full */

        if (i >= old)
            *at = (struct place){0};
        at->next = *first;
        *first = i;
    }
}

/* A free place, or NOWHERE. */
static uint32_t make_room(struct rc_admission *ad, struct part *p, uint64_t now_ms)
{
    if (p->cap == 0)
        grow(p);
    if (p->n == p->cap) {
        bool full = p->cap >= ad->part_max;

        sweep(ad, p, now_ms, full);
        if (!full && p->n > p->cap / 4 * 3) {
            sweep(ad, p, now_ms, false);
            while (p->n == p->cap && p->cap < ad->part_max)
                grow(p);
        }
    }
    return p->n < p->cap ? p->free : NOWHERE;
}

/* The place of an address; NULL: it is not remembered, and cannot be. */
static struct place *find(struct rc_admission *ad, struct part *p, uint64_t key, bool make,
                          uint64_t now_ms)
{
    uint32_t slot = p->cap != 0 ? *bucket_of(p, key) : NOWHERE, *first;

    while (slot != NOWHERE && p->place[slot].key != key)
        slot = p->place[slot].next;
    if (slot != NOWHERE)
        return &p->place[slot];
    slot = make ? make_room(ad, p, now_ms) : NOWHERE;
    if (slot == NOWHERE)
        return NULL;
    first = bucket_of(p, key);
    p->free = p->place[slot].next;
    p->place[slot] = (struct place){.key = key, .next = *first};
    *first = slot;
    p->n++;
    count(&ad->addresses, 1);
    return &p->place[slot];
}

/* ---- connections ---- */

enum rc_refusal rc_admission_total(struct rc_admission *ad, uint64_t now_ms)
{
    struct rc_rate rate;

    if (ad == NULL)
        return RC_ADMITTED;
    if (rc_admission_is_over(ad))
        return RC_REFUSAL_MEMORY;
    rate = rate_of(&ad->total);
    return rc_bucket_take(&ad->accepts, &rate, 1, now_ms) ? RC_ADMITTED : RC_REFUSAL_RATE;
}

enum rc_refusal rc_admission_enter(struct rc_admission *ad, const struct rc_addr *peer,
                                   uint64_t now_ms, uint32_t *ticket)
{
    enum rc_refusal rc = RC_ADMITTED;
    struct rc_rate rate;
    uint64_t key, max;
    struct place *at;
    uint32_t index;
    struct part *p;

    *ticket = 0;
    if (ad == NULL)
        return rc;
    rate = rate_of(&ad->per_address);
    max = figure(&ad->max_per_address);
    key = rate.per_second != 0 || max != 0 ? key_of(ad, peer) : 0;
    if (key == 0)
        return rc;
    index = part_of(rc_hash(&key, sizeof(key), 0));
    p = &ad->part[index];
    (void)pthread_mutex_lock(&p->lock);
    at = find(ad, p, key, true, now_ms);
    if (at != NULL && !rc_bucket_take(&at->accepts, &rate, 1, now_ms)) {
        rc = RC_REFUSAL_ADDRESS_RATE;
    } else if (at != NULL && max != 0 && at->conns >= max) {
        rc = RC_REFUSAL_ADDRESS;
    } else if (at != NULL) {
        at->conns++;
        *ticket = ((uint32_t)(at - p->place) * PARTS | index) + 1;
    }
    (void)pthread_mutex_unlock(&p->lock);
    return rc;
}

void rc_admission_leave(struct rc_admission *ad, uint32_t ticket, uint64_t now_ms)
{
    uint32_t slot = (ticket - 1) / PARTS;
    struct part *p;

    if (ticket == 0)
        return;
    p = &ad->part[(ticket - 1) % PARTS];
    (void)pthread_mutex_lock(&p->lock);
    RC_ASSERT(slot < p->cap && p->place[slot].conns != 0);
    p->place[slot].conns--;
    if (is_forgettable(&p->place[slot], now_ms, false))
        forget(ad, p, slot);
    (void)pthread_mutex_unlock(&p->lock);
}

/* One line a minute: a flood is no reason to fill the log. */
static void log_refusal(struct rc_admission *ad, enum rc_refusal why)
{
    uint64_t now = rc_clock_ms(), at = figure(&ad->log_at[why]);

    if (now >= at &&
        atomic_compare_exchange_strong_explicit(&ad->log_at[why], &at, now + LOG_EVERY_MS,
                                                memory_order_relaxed, memory_order_relaxed))
        rc_log(RC_LOG_WARN,
               "limits.%s is reached: turning clients away (%llu by now; said once a minute)",
               refusals[why].key, (unsigned long long)figure(&ad->refused[why]));
}

void rc_admission_turn_away(struct rc_admission *ad, int fd, enum rc_refusal why, bool plain)
{
    char text[160];
    int n = snprintf(text, sizeof(text),
                     "HTTP/1.1 %s\r\nContent-Length: 0\r\nRetry-After: %d\r\n"
                     "Connection: close\r\n\r\n",
                     refusals[why].status == 429 ? "429 Too Many Requests"
                                                 : "503 Service Unavailable",
                     RETRY_AFTER_S);

    if (ad != NULL) {
        count(&ad->refused[why], 1);
        log_refusal(ad, why);
    }
    if (plain)
        (void)send(fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)close(fd);
}

/* ---- tokens ---- */

uint64_t rc_admission_token_wait(struct rc_admission *ad, const struct rc_addr *peer,
                                 uint64_t now_ms)
{
    uint64_t key, ms = 0;
    const struct place *at;
    struct rc_rate rate;
    struct part *p;

    if (ad == NULL)
        return 0;
    rate = rate_of(&ad->bad_tokens);
    key = rate.per_second != 0 ? key_of(ad, peer) : 0;
    if (key == 0)
        return 0;
    p = &ad->part[part_of(rc_hash(&key, sizeof(key), 0))];
    (void)pthread_mutex_lock(&p->lock);
    at = find(ad, p, key, false, now_ms);
    if (at != NULL)
        ms = rc_bucket_wait(&at->bad_tokens, &rate, 1, now_ms);
    (void)pthread_mutex_unlock(&p->lock);
    if (ms != 0)
        count(&ad->unlooked, 1);
    return ms;
}

void rc_admission_token_bad(struct rc_admission *ad, const struct rc_addr *peer,
                            uint64_t now_ms)
{
    struct rc_rate rate;
    struct place *at;
    struct part *p;
    uint64_t key;

    if (ad == NULL)
        return;
    rate = rate_of(&ad->bad_tokens);
    key = rate.per_second != 0 ? key_of(ad, peer) : 0;
    if (key == 0)
        return;
    p = &ad->part[part_of(rc_hash(&key, sizeof(key), 0))];
    (void)pthread_mutex_lock(&p->lock);
    at = find(ad, p, key, true, now_ms);
    if (at != NULL)
        rc_bucket_charge(&at->bad_tokens, &rate, 1, now_ms);
    (void)pthread_mutex_unlock(&p->lock);
}

/* ---- memory ---- */

void rc_admission_watch(struct rc_admission *ad)
{
    const unsigned long long mib = 1 << 20;
    bool over = rc_admission_is_over(ad);
    uint64_t now, ceiling;

    if (ad == NULL)
        return;
    if (over)
        (void)malloc_trim(0); /* what has been freed is not gone yet */
    now = rc_resident_bytes();
    atomic_store_explicit(&ad->resident, now, memory_order_relaxed);
    ceiling = figure(&ad->ceiling);
    if (over ? ceiling != 0 && now >= ceiling / 100 * AGAIN_PERCENT
             : ceiling == 0 || now < ceiling)
        return;
    atomic_store_explicit(&ad->over, !over, memory_order_relaxed);
    if (over) {
        rc_log(RC_LOG_WARN, "memory: %llu MiB; new connections are accepted again", now / mib);
        return;
    }
    count(&ad->over_times, 1);
    rc_log(RC_LOG_WARN,
           "limits.max_memory = %llu MiB is reached (%llu MiB): new connections are refused "
           "until it is below %d %%",
           ceiling / mib, now / mib, AGAIN_PERCENT);
}

bool rc_admission_is_over(const struct rc_admission *ad)
{
    return ad != NULL && atomic_load_explicit(&ad->over, memory_order_relaxed);
}

void rc_admission_stats(const struct rc_admission *ad, struct rc_admission_stats *out)
{
    *out = (struct rc_admission_stats){.memory_bytes = figure(&ad->resident),
                                       .memory_ceiling_bytes = figure(&ad->ceiling),
                                       .memory_over = rc_admission_is_over(ad),
                                       .memory_over_times = figure(&ad->over_times),
                                       .addresses = figure(&ad->addresses),
                                       .tokens_unlooked = figure(&ad->unlooked)};
    for (unsigned i = 0; i < RC_REFUSAL_COUNT; i++)
        out->refused[i] = figure(&ad->refused[i]);
}

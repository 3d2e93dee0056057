/*
 * Ten million elements through a small ring, each as long as a cache line: all of them, in
 * order, whole. A third thread watches the count of what is done, which may only grow and never
 * run ahead of what was produced.
 *
 * ROOMCAST_STRESS sets another number of elements.
 */
#include "rc/base/spsc.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { SLOTS = 64, WORDS = 8 };

static struct rc_spsc ring;
static uint64_t total = 10000000;
static _Atomic uint64_t produced; /* before it is committed, so never behind */
static _Atomic bool ended;

static void fail(const char *what, uint64_t a, uint64_t b)
{
    printf("%s: %llu, %llu\n", what, (unsigned long long)a, (unsigned long long)b);
    exit(1);
}

static void *produce(void *arg)
{
    (void)arg;
    for (uint64_t i = 0; i < total; i++) {
        uint64_t *slot;

        while ((slot = rc_spsc_claim(&ring)) == NULL)
            (void)sched_yield();
        for (uint64_t w = 0; w < WORDS; w++)
            slot[w] = i * (2 * w + 1);
        atomic_store_explicit(&produced, i + 1, memory_order_release);
        rc_spsc_commit(&ring);
    }
    return NULL;
}

static void *watch(void *arg)
{
    uint64_t last = 0;

    (void)arg;
    while (!atomic_load_explicit(&ended, memory_order_acquire)) {
        uint64_t done = rc_spsc_done(&ring);
        uint64_t most = atomic_load_explicit(&produced, memory_order_acquire);

        if (done < last || done > most)
            fail("done went from, to", last, done);
        last = done;
        (void)sched_yield();
    }
    return NULL;
}

int main(void)
{
    const char *set = getenv("ROOMCAST_STRESS");
    pthread_t producer, watcher;

    if (set != NULL)
        total = strtoull(set, NULL, 10);
    if (rc_spsc_init(&ring, SLOTS, WORDS * sizeof(uint64_t)) != RC_OK ||
        pthread_create(&producer, NULL, produce, NULL) != 0 ||
        pthread_create(&watcher, NULL, watch, NULL) != 0)
        fail("cannot start", 0, 0);
    for (uint64_t i = 0; i < total; i++) {
        const uint64_t *slot;

        while ((slot = rc_spsc_front(&ring)) == NULL)
            (void)sched_yield();
        for (uint64_t w = 0; w < WORDS; w++)
            if (slot[w] != i * (2 * w + 1))
                fail("expected, got", i * (2 * w + 1), slot[w]);
        rc_spsc_release(&ring);
    }
    (void)pthread_join(producer, NULL);
    atomic_store_explicit(&ended, true, memory_order_release);
    (void)pthread_join(watcher, NULL);
    if (rc_spsc_front(&ring) != NULL || rc_spsc_done(&ring) != total || total == 0)
        fail("elements too many: done, total", rc_spsc_done(&ring), total);
    rc_spsc_deinit(&ring);
    printf("%llu elements in order\n", (unsigned long long)total);
    return 0;
}

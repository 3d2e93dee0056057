#include "rc/base/spsc.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>

Test(spsc, refuses_bad_sizes)
{
    struct rc_spsc q;

    cr_assert_eq(rc_spsc_init(&q, 0, 8), RC_EINVAL);
    cr_assert_eq(rc_spsc_init(&q, 1, 8), RC_EINVAL);
    cr_assert_eq(rc_spsc_init(&q, 3, 8), RC_EINVAL);
    cr_assert_eq(rc_spsc_init(&q, 12, 8), RC_EINVAL);
    cr_assert_eq(rc_spsc_init(&q, 8, 0), RC_EINVAL);
    cr_assert_eq(rc_spsc_init(&q, 2, 1), RC_OK);
    rc_spsc_deinit(&q);
    cr_assert_null(q.slot);
    rc_spsc_deinit(&q);
}

static void put(struct rc_spsc *q, size_t size, unsigned value)
{
    unsigned char *slot = rc_spsc_claim(q);

    cr_assert_not_null(slot);
    for (size_t i = 0; i < size; i++)
        slot[i] = (unsigned char)(value + i);
    rc_spsc_commit(q);
}

static void take(struct rc_spsc *q, size_t size, unsigned value)
{
    const unsigned char *slot = rc_spsc_front(q);

    cr_assert_not_null(slot);
    for (size_t i = 0; i < size; i++)
        cr_assert_eq(slot[i], (unsigned char)(value + i));
    rc_spsc_release(q);
}

/* Every fill level at every position of the ring, for elements of several sizes. */
Test(spsc, order_full_and_empty)
{
    static const size_t sizes[] = {1, 3, 8, 24, 64, 100};
    enum { CAP = 8 };

    for (unsigned s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        struct rc_spsc q;
        unsigned in = 0, out = 0;

        cr_assert_eq(rc_spsc_init(&q, CAP, sizes[s]), RC_OK);
        for (unsigned level = 1; level <= CAP; level++) {
            for (unsigned round = 0; round < CAP + 1; round++) {
                cr_assert_null(rc_spsc_front(&q));
                for (unsigned i = 0; i < level; i++)
                    put(&q, sizes[s], in++);
                cr_assert_eq(rc_spsc_claim(&q) == NULL, level == CAP);
                for (unsigned i = 0; i < level; i++)
                    take(&q, sizes[s], out++);
                cr_assert_eq(rc_spsc_done(&q), out);
            }
        }
        rc_spsc_deinit(&q);
    }
}

/* The oldest value; there must be one. */
static int front(struct rc_spsc *q)
{
    const int *slot = rc_spsc_front(q);

    cr_assert_not_null(slot);
    return slot != NULL ? *slot : -1;
}

/* What is claimed is seen only when it is committed, and is claimed again until then. */
Test(spsc, claim_without_commit)
{
    struct rc_spsc q;
    int *a, *b;

    cr_assert_eq(rc_spsc_init(&q, 2, sizeof(int)), RC_OK);
    a = rc_spsc_claim(&q);
    b = rc_spsc_claim(&q);
    cr_assert_not_null(a);
    cr_assert_eq(a, b);
    if (a != NULL)
        *a = 1;
    cr_assert_null(rc_spsc_front(&q));
    rc_spsc_commit(&q);
    cr_assert_eq(front(&q), 1);
    rc_spsc_deinit(&q);
}

/* An element that is being worked on is neither done nor free. */
Test(spsc, front_without_release)
{
    struct rc_spsc q;
    int *first;

    cr_assert_eq(rc_spsc_init(&q, 2, sizeof(int)), RC_OK);
    for (int i = 0; i < 2; i++) {
        int *slot = rc_spsc_claim(&q);

        cr_assert_not_null(slot);
        if (slot != NULL)
            *slot = i;
        rc_spsc_commit(&q);
    }
    first = rc_spsc_front(&q);
    cr_assert_eq(rc_spsc_front(&q), first);
    cr_assert_eq(rc_spsc_done(&q), 0u);
    cr_assert_null(rc_spsc_claim(&q));
    cr_assert_eq(*first, 0);
    rc_spsc_release(&q);
    cr_assert_eq(rc_spsc_done(&q), 1u);
    cr_assert_not_null(rc_spsc_claim(&q));
    cr_assert_eq(front(&q), 1);
    rc_spsc_deinit(&q);
}

Test(spsc, indexes_may_wrap)
{
    struct rc_spsc q;

    cr_assert_eq(rc_spsc_init(&q, 4, 1), RC_OK);
    atomic_store(&q.head, SIZE_MAX - 5);
    atomic_store(&q.tail, SIZE_MAX - 5);
    q.tail_seen = q.head_seen = SIZE_MAX - 5;
    for (unsigned i = 0; i < 20; i++) {
        for (unsigned k = 0; k < 4; k++)
            put(&q, 1, i + k);
        cr_assert_null(rc_spsc_claim(&q));
        for (unsigned k = 0; k < 4; k++)
            take(&q, 1, i + k);
        cr_assert_null(rc_spsc_front(&q));
    }
    rc_spsc_deinit(&q);
}

enum { MESSAGES = 200000 };

static void *produce(void *arg)
{
    struct rc_spsc *q = arg;

    for (uint64_t i = 0; i < MESSAGES; i++) {
        uint64_t *slot;

        while ((slot = rc_spsc_claim(q)) == NULL)
            (void)sched_yield();
        slot[0] = i;
        slot[1] = ~i;
        rc_spsc_commit(q);
    }
    return NULL;
}

Test(spsc, two_threads)
{
    struct rc_spsc q;
    pthread_t t;

    cr_assert_eq(rc_spsc_init(&q, 64, 16), RC_OK);
    cr_assert_eq(pthread_create(&t, NULL, produce, &q), 0);
    for (uint64_t i = 0; i < MESSAGES; i++) {
        const uint64_t *slot;

        while ((slot = rc_spsc_front(&q)) == NULL)
            (void)sched_yield();
        cr_assert_eq(slot[0], i);
        cr_assert_eq(slot[1], ~i);
        rc_spsc_release(&q);
    }
    cr_assert_null(rc_spsc_front(&q));
    cr_assert_eq(rc_spsc_done(&q), (size_t)MESSAGES);
    cr_assert_eq(pthread_join(t, NULL), 0);
    rc_spsc_deinit(&q);
}

#include "rc/base/mpsc.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>

struct item {
    struct rc_mpsc_node node;
    unsigned producer, number;
};

static struct item *pop(struct rc_mpsc *q)
{
    return (struct item *)rc_mpsc_pop(q); /* its first field */
}

Test(mpsc, first_in_first_out)
{
    struct rc_mpsc q;
    struct item item[5];

    rc_mpsc_init(&q);
    cr_assert_null(pop(&q));
    for (unsigned n = 1; n <= 5; n++) {
        for (unsigned i = 0; i < n; i++)
            rc_mpsc_push(&q, &item[i].node);
        for (unsigned i = 0; i < n; i++)
            cr_assert_eq(pop(&q), &item[i]);
        cr_assert_null(pop(&q));
        cr_assert_null(pop(&q));
    }
}

/* Pushed again as soon as it was popped: the stub moves through the queue. */
Test(mpsc, one_node_again_and_again)
{
    struct rc_mpsc q;
    struct item item;

    rc_mpsc_init(&q);
    for (unsigned i = 0; i < 100; i++) {
        rc_mpsc_push(&q, &item.node);
        cr_assert_eq(pop(&q), &item);
        if (i % 3 == 0)
            cr_assert_null(pop(&q));
    }
}

enum { PRODUCERS = 4, EACH = 20000 };

struct producer {
    struct rc_mpsc *q;
    unsigned index;
    pthread_t thread;
};

static void *produce(void *arg)
{
    struct producer *p = arg;

    for (unsigned i = 0; i < EACH; i++) {
        struct item *item = malloc(sizeof(*item));

        item->producer = p->index;
        item->number = i;
        rc_mpsc_push(p->q, &item->node);
    }
    return NULL;
}

Test(mpsc, all_of_many_producers_in_the_order_of_each)
{
    struct rc_mpsc q;
    struct producer p[PRODUCERS];
    unsigned next[PRODUCERS] = {0}, n = 0;

    rc_mpsc_init(&q);
    for (unsigned i = 0; i < PRODUCERS; i++) {
        p[i] = (struct producer){.q = &q, .index = i};
        cr_assert_eq(pthread_create(&p[i].thread, NULL, produce, &p[i]), 0);
    }
    while (n < PRODUCERS * EACH) {
        struct item *item = pop(&q);

        if (item == NULL) {
            (void)sched_yield();
            continue;
        }
        cr_assert_eq(item->number, next[item->producer]);
        next[item->producer]++;
        n++;
        free(item);
    }
    for (unsigned i = 0; i < PRODUCERS; i++)
        (void)pthread_join(p[i].thread, NULL);
    cr_assert_null(pop(&q));
}

/* Two that hand a token to and fro: what one pushes because of the other's comes behind it. */
struct chain {
    struct rc_mpsc *q;
    _Atomic unsigned turn;
};

static void *follow(void *arg)
{
    struct chain *c = arg;

    for (unsigned i = 1; i < EACH; i += 2) {
        struct item *item = malloc(sizeof(*item));

        item->number = i;
        while (atomic_load_explicit(&c->turn, memory_order_acquire) != i)
            (void)sched_yield();
        rc_mpsc_push(c->q, &item->node);
        atomic_store_explicit(&c->turn, i + 1, memory_order_release);
    }
    return NULL;
}

Test(mpsc, order_of_causes)
{
    struct rc_mpsc q;
    struct chain c = {.q = &q};
    pthread_t thread;
    unsigned next = 0;

    rc_mpsc_init(&q);
    cr_assert_eq(pthread_create(&thread, NULL, follow, &c), 0);
    for (unsigned i = 0; i < EACH; i += 2) {
        struct item *item = malloc(sizeof(*item));

        item->number = i;
        while (atomic_load_explicit(&c.turn, memory_order_acquire) != i)
            (void)sched_yield();
        rc_mpsc_push(&q, &item->node);
        atomic_store_explicit(&c.turn, i + 1, memory_order_release);
        while ((item = pop(&q)) != NULL) {
            cr_assert_eq(item->number, next++);
            free(item);
        }
    }
    (void)pthread_join(thread, NULL);
    for (struct item *item; (item = pop(&q)) != NULL; free(item))
        cr_assert_eq(item->number, next++);
    cr_assert_eq(next, EACH);
}

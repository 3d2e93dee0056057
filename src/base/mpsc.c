/* mpsc.c - the well-known queue by Dmitry Vyukov: a producer takes its place by one exchange, then links
 * its predecessor to itself. The stub is in it whenever it would be empty. */
#include "rc/base/mpsc.h"

#include <stddef.h>

void rc_mpsc_init(struct rc_mpsc *q)
{
    atomic_init(&q->stub.next, NULL);
    atomic_init(&q->head, &q->stub);
    q->tail = &q->stub;
}

void rc_mpsc_push(struct rc_mpsc *q, struct rc_mpsc_node *n)
{
    struct rc_mpsc_node *before;

    atomic_store_explicit(&n->next, NULL, memory_order_relaxed);
    /* acq_rel: the node's content goes with the place; the predecessor's, to whoever links it */
    before = atomic_exchange_explicit(&q->head, n, memory_order_acq_rel);
    atomic_store_explicit(&before->next, n, memory_order_release);
}

struct rc_mpsc_node *rc_mpsc_pop(struct rc_mpsc *q)
{
    struct rc_mpsc_node *n = q->tail;
    struct rc_mpsc_node *next = atomic_load_explicit(&n->next, memory_order_acquire);

    if (n == &q->stub) {
        if (next == NULL)
            return NULL;
        q->tail = n = next;
        next = atomic_load_explicit(&n->next, memory_order_acquire);
    }
    if (next != NULL) {
        q->tail = next;
        return n;
    }
    if (atomic_load_explicit(&q->head, memory_order_acquire) != n)
        return NULL; /* its successor has a place, and is not linked yet */
    rc_mpsc_push(q, &q->stub);
    next = atomic_load_explicit(&n->next, memory_order_acquire);
    if (next == NULL)
        return NULL;
    q->tail = next;
    return n;
}

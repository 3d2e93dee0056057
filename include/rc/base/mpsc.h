/*
 * mpsc.h - a queue of many producers and one consumer, without locks and without a size: links are
 * embedded in what is queued, like those of list.h.
 *
 * What one thread pushes after it has learnt of another's push comes behind it, whatever way it has
 * learnt of it: the queue has one order. That is what rings of their own for each producer cannot say.
 *
 * Threads:   push: any.  pop, init: the consumer.
 * Ownership: pushed nodes are the queue's until they are popped.
 */
#ifndef RC_BASE_MPSC_H
#define RC_BASE_MPSC_H

#include <stdatomic.h>

struct rc_mpsc_node {
    _Atomic(struct rc_mpsc_node *) next;
};

struct rc_mpsc {
    _Alignas(64) _Atomic(struct rc_mpsc_node *) head; /* the last that was pushed */
    _Alignas(64) struct rc_mpsc_node *tail; /* the consumer's: the next to be popped */
    struct rc_mpsc_node stub;
};

void rc_mpsc_init(struct rc_mpsc *q);
void rc_mpsc_push(struct rc_mpsc *q, struct rc_mpsc_node *n);
/* NULL: empty, or the next one is being pushed at this moment; who pushes wakes the consumer after
 * that. */
struct rc_mpsc_node *rc_mpsc_pop(struct rc_mpsc *q);

#endif /* RC_BASE_MPSC_H */

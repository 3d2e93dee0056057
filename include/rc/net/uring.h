/*
 * uring.h - many queues written by one system call: io_uring, with the bare interface of the kernel.
 *
 * What it saves is the way in and out of the kernel for each queue. The sends themselves are done, in
 * order, before the call returns: nothing is under way between two calls.
 *
 * Threads:   the one that made it.
 * Ownership: queues and descriptors stay the caller's.
 */
#ifndef RC_NET_URING_H
#define RC_NET_URING_H

#include "rc/net/outq.h"

enum { RC_URING_MAX = 256 };

struct rc_uring;

/* NULL: there is none in this kernel, or not for this process; errno says why. */
struct rc_uring *rc_uring_new(void);
void rc_uring_free(struct rc_uring *u);

struct rc_uring_job {
    struct rc_outq *q; /* with one segment: rc_outq_single(), of at most RC_OUTQ_TURN bytes */
    int fd;
    int rc; /* out: as rc_outq_flush() returns it */
};
/* At most RC_URING_MAX jobs, each with a queue of its own. */
void rc_uring_flush(struct rc_uring *u, struct rc_uring_job *job, unsigned n);

#endif /* RC_NET_URING_H */

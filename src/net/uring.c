/* uring.c - a ring of sends. None of them waits, so all are done when the call that submits them returns. */
#include "rc/net/uring.h"

#include "rc/base/mem.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Memory that is shared with the kernel. */
struct shared {
    void *at;
    size_t len;
};

struct rc_uring {
    int fd;
    struct shared sq, cq, entries;
    _Atomic uint32_t *sq_head, *sq_tail, *cq_head, *cq_tail;
    uint32_t sq_mask, cq_mask;
    struct io_uring_sqe *sqe;
    const struct io_uring_cqe *cqe;
};

static bool map(const struct rc_uring *u, struct shared *s, size_t len, uint64_t offset)
{
    s->at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, u->fd,
                 (off_t)offset);
    s->len = s->at != MAP_FAILED ? len : 0;
    return s->at != MAP_FAILED;
}

static void *in(const struct shared *s, uint32_t offset)
{
    return (char *)s->at + offset;
}

static bool map_all(struct rc_uring *u, const struct io_uring_params *p)
{
    uint32_t *array;

    if (!map(u, &u->sq, p->sq_off.array + p->sq_entries * sizeof(uint32_t),
             IORING_OFF_SQ_RING) ||
        !map(u, &u->cq, p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe),
             IORING_OFF_CQ_RING) ||
        !map(u, &u->entries, p->sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES))
        return false;
    u->sq_head = in(&u->sq, p->sq_off.head);
    u->sq_tail = in(&u->sq, p->sq_off.tail);
    u->sq_mask = *(uint32_t *)in(&u->sq, p->sq_off.ring_mask);
    u->cq_head = in(&u->cq, p->cq_off.head);
    u->cq_tail = in(&u->cq, p->cq_off.tail);
    u->cq_mask = *(uint32_t *)in(&u->cq, p->cq_off.ring_mask);
    u->sqe = u->entries.at;
    u->cqe = in(&u->cq, p->cq_off.cqes);
    array = in(&u->sq, p->sq_off.array);
    for (uint32_t i = 0; i <= u->sq_mask; i++)
        array[i] = i;
    return true;
}

struct rc_uring *rc_uring_new(void)
{
    /* This thread alone submits; nothing of the ring is done behind its back. */
    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                         IORING_SETUP_COOP_TASKRUN |
                                         IORING_SETUP_DEFER_TASKRUN};
    struct rc_uring *u = rc_calloc(1, sizeof(*u));

    u->fd = (int)syscall(SYS_io_uring_setup, RC_URING_MAX, &p);
    if (u->fd < 0 || !map_all(u, &p)) {
        int err = errno;

        rc_uring_free(u);
        errno = err;
        return NULL;
    }
    return u;
}

static void unmap(const struct shared *s)
{
    if (s->len != 0)
        (void)munmap(s->at, s->len);
}

void rc_uring_free(struct rc_uring *u)
{
    if (u == NULL)
        return;
    unmap(&u->entries);
    unmap(&u->cq);
    unmap(&u->sq);
    if (u->fd >= 0)
        (void)close(u->fd);
    free(u);
}

static void prepare(struct io_uring_sqe *e, const struct rc_uring_job *job, uint64_t number)
{
    *e = (struct io_uring_sqe){.opcode = IORING_OP_SEND,
                               .fd = job->fd,
                               .addr = (uintptr_t)(job->q->first->data + job->q->off),
                               .len = job->q->bytes,
                               .msg_flags = MSG_NOSIGNAL | MSG_DONTWAIT,
                               .user_data = number};
}

/* Takes the results that are there; how many. */
static unsigned reap(struct rc_uring *u, struct rc_uring_job *job)
{
    uint32_t head = atomic_load_explicit(u->cq_head, memory_order_relaxed); /* own index */
    /* acquire: the results were written before */
    uint32_t tail = atomic_load_explicit(u->cq_tail, memory_order_acquire);
    unsigned n = tail - head;

    for (; head != tail; head++) {
        const struct io_uring_cqe *e = &u->cqe[head & u->cq_mask];
        struct rc_uring_job *j = &job[e->user_data];

        j->rc = rc_outq_sent(j->q, e->res);
        j->fd = -1;
    }
    /* release: we have read them */
    atomic_store_explicit(u->cq_head, head, memory_order_release);
    return n;
}

void rc_uring_flush(struct rc_uring *u, struct rc_uring_job *job, unsigned n)
{
    uint32_t tail = atomic_load_explicit(u->sq_tail, memory_order_relaxed); /* own index */
    unsigned done = 0, submitted = 0;

    RC_ASSERT(n <= RC_URING_MAX);
    for (unsigned i = 0; i < n; i++)
        prepare(&u->sqe[(tail + i) & u->sq_mask], &job[i], i);
    /* release: the kernel sees the entries before the index */
    atomic_store_explicit(u->sq_tail, tail + n, memory_order_release);
    while (done < n) {
        long took = syscall(SYS_io_uring_enter, u->fd, n - submitted, n - done,
                            IORING_ENTER_GETEVENTS, NULL, 0);

        if (took < 0 && errno != EINTR && submitted == done)
            break; /* no memory: these can be sent the other way */
        submitted += took > 0 ? (unsigned)took : 0;
        done += reap(u, job);
    }
    if (done == n)
        return;
    atomic_store_explicit(u->sq_tail, tail + submitted, memory_order_release);
    for (unsigned i = 0; i < n; i++)
        if (job[i].fd >= 0)
            job[i].rc = rc_outq_flush(job[i].q, job[i].fd, NULL);
}

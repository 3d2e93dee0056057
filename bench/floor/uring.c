/*
 * uring.c - a batch of sends through io_uring, with bare system calls.
 *
 * All sends of a batch are submitted by one io_uring_enter that also waits for their results, so
 * the buffer may be reused when it returns.
 */
#include "floor.h"

#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRIES 256u

static struct {
    int fd;
    uint32_t *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
} ring;

static void *map(size_t len, uint64_t offset)
{
    return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd,
                (off_t)offset);
}

bool floor_uring_init(void)
{
    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                         IORING_SETUP_COOP_TASKRUN |
                                         IORING_SETUP_DEFER_TASKRUN};
    char *sq, *cq;

    ring.fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &p);
    if (ring.fd < 0)
        return false;
    sq = map(p.sq_off.array + p.sq_entries * sizeof(uint32_t), IORING_OFF_SQ_RING);
    cq = map(p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);
    ring.sqes = map(p.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
    if (sq == MAP_FAILED || cq == MAP_FAILED || (void *)ring.sqes == MAP_FAILED)
        return false;
    ring.sq_tail = (uint32_t *)(void *)(sq + p.sq_off.tail);
    ring.sq_mask = (uint32_t *)(void *)(sq + p.sq_off.ring_mask);
    ring.sq_array = (uint32_t *)(void *)(sq + p.sq_off.array);
    ring.cq_head = (uint32_t *)(void *)(cq + p.cq_off.head);
    ring.cq_tail = (uint32_t *)(void *)(cq + p.cq_off.tail);
    ring.cq_mask = (uint32_t *)(void *)(cq + p.cq_off.ring_mask);
    ring.cqes = (struct io_uring_cqe *)(void *)(cq + p.cq_off.cqes);
    return true;
}

bool floor_uring_send(const int *fds, int *res, uint32_t count, const char *p, size_t len)
{
    uint32_t tail = *ring.sq_tail, head, got = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (tail + i) & *ring.sq_mask;
        struct io_uring_sqe *e = &ring.sqes[at];

        memset(e, 0, sizeof(*e));
        e->opcode = IORING_OP_SEND;
        e->fd = fds[i];
        e->addr = (uint64_t)(uintptr_t)p;
        e->len = (uint32_t)len;
        e->msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL;
        e->user_data = i;
        ring.sq_array[at] = at;
    }
    /* Release: the kernel must see the entries before the new tail. */
    __atomic_store_n(ring.sq_tail, tail + count, __ATOMIC_RELEASE);
    if (syscall(SYS_io_uring_enter, ring.fd, count, count, IORING_ENTER_GETEVENTS, NULL, 0) !=
        (long)count)
        return false;
    head = *ring.cq_head;
    /* Acquire: the results were written before the tail moved. */
    while (got < count && head != __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE)) {
        const struct io_uring_cqe *e = &ring.cqes[head & *ring.cq_mask];

        res[e->user_data] = e->res;
        head++;
        got++;
    }
    __atomic_store_n(ring.cq_head, head, __ATOMIC_RELEASE);
    return got == count;
}

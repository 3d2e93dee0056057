/* outq.c - the last stop of a message in user space: one send() or sendmsg() per flush. */
#include "rc/net/outq.h"

#include "rc/base/mem.h"
#include "rc/net/site.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct rc_outq_more {
    uint32_t head, n, cap; /* cap: a power of two */
    struct rc_seg *seg[];
};

_Thread_local struct rc_net_bytes rc_net_bytes;

enum { MORE_MIN = 16, IOV_MAX_USED = 64, SPARE_MAX = 1024 };

/* Of queues that are short again: when every member of a room gets a second segment in each
 * turn, none of them allocates. */
static _Thread_local struct {
    struct rc_outq_more *more[SPARE_MAX];
    unsigned n;
} spare;

/* Of the thread's segments. */
static _Thread_local uint64_t live;

/* What a segment keeps from being freed: not a file's bytes, which all its readers share and which stay anyway. */
static uint64_t weight(const struct rc_seg *s)
{
    bool own = s->data == (const uint8_t *)(s + 1);

    return sizeof(*s) + (own || (s->pin != NULL && s->unpin != rc_site_let_go) ? s->len : 0);
}

uint64_t rc_seg_live(void)
{
    return live;
}

static struct rc_outq_more *more_new(uint32_t cap)
{
    struct rc_outq_more *m;

    if (cap == MORE_MIN && spare.n != 0)
        return spare.more[--spare.n];
    m = rc_malloc(sizeof(*m) + cap * sizeof(struct rc_seg *));
    m->cap = cap;
    return m;
}

static void more_free(struct rc_outq_more *m)
{
    if (m != NULL && m->cap == MORE_MIN && spare.n != SPARE_MAX)
        spare.more[spare.n++] = m;
    else
        free(m);
}

unsigned rc_outq_trim(void)
{
    unsigned n = spare.n;

    while (spare.n != 0)
        free(spare.more[--spare.n]);
    return n;
}

struct rc_seg *rc_seg_new(const void *data, size_t len)
{
    struct rc_seg *s = rc_block_new(sizeof(*s) + len);

    *s = (struct rc_seg){.data = (uint8_t *)(s + 1), .len = (uint32_t)len, .refs = 1};
    if (data != NULL && len != 0)
        memcpy(s + 1, data, len);
    live += sizeof(*s) + len;
    return s;
}

struct rc_seg *rc_seg_pin(const void *data, size_t len, void *pin, void (*unpin)(void *pin))
{
    struct rc_seg *s = rc_block_new(sizeof(*s));

    *s = (struct rc_seg){
        .data = data, .pin = pin, .unpin = unpin, .len = (uint32_t)len, .refs = 1};
    live += weight(s);
    return s;
}

void rc_seg_free(struct rc_seg *s)
{
    bool own = s->data == (const uint8_t *)(s + 1);

    live -= weight(s);
    if (s->pin != NULL)
        s->unpin(s->pin);
    rc_block_free(s, sizeof(*s) + (own ? s->len : 0));
}

void rc_outq_push_more(struct rc_outq *q, struct rc_seg *s)
{
    struct rc_outq_more *m = q->more;

    if (m == NULL || m->n == m->cap) {
        uint32_t cap = m != NULL ? m->cap * 2 : MORE_MIN, n = m != NULL ? m->n : 0;
        struct rc_outq_more *bigger = more_new(cap);

        bigger->head = 0;
        bigger->n = n;
        for (uint32_t i = 0; i < n; i++)
            bigger->seg[i] = m->seg[(m->head + i) & (m->cap - 1)];
        more_free(m);
        q->more = m = bigger;
    }
    m->seg[(m->head + m->n++) & (m->cap - 1)] = s;
}

struct rc_seg *rc_outq_pop(struct rc_outq *q, uint32_t *off)
{
    struct rc_seg *s = q->first;
    struct rc_outq_more *m = q->more;

    if (s == NULL)
        return NULL;
    *off = q->off;
    q->bytes -= s->len - q->off;
    q->off = 0;
    q->first = NULL;
    if (m != NULL) {
        q->first = m->seg[m->head];
        m->head = (m->head + 1) & (m->cap - 1);
        if (--m->n == 0) {
            more_free(m);
            q->more = NULL;
        }
    }
    return s;
}

uint64_t rc_outq_cost(const struct rc_outq *q)
{
    uint64_t n = (q->first != NULL) + (q->more != NULL ? q->more->n : 0);

    return q->bytes + n * (sizeof(struct rc_seg) + sizeof(struct rc_seg *));
}

uint64_t rc_outq_kept(const struct rc_outq *q)
{
    const struct rc_outq_more *m = q->more;
    uint64_t kept = q->first != NULL ? weight(q->first) : 0;

    for (uint32_t i = 0; m != NULL && i < m->n; i++)
        kept += weight(m->seg[(m->head + i) & (m->cap - 1)]) + sizeof(struct rc_seg *);
    return kept;
}

void rc_outq_clear(struct rc_outq *q)
{
    struct rc_seg *s;
    uint32_t off;

    while ((s = rc_outq_pop(q, &off)) != NULL)
        rc_seg_unref(s);
}

void rc_outq_append(struct rc_outq *q, struct rc_outq *tail)
{
    struct rc_seg *s;
    uint32_t off;

    if (q->first == NULL) {
        *q = *tail;
        *tail = (struct rc_outq){0};
        return;
    }
    while ((s = rc_outq_pop(tail, &off)) != NULL) {
        if (off != 0) { /* only a queue that was being written can begin in mid-segment */
            struct rc_seg *rest = rc_seg_new(s->data + off, s->len - off);

            rc_seg_unref(s);
            s = rest;
        }
        rc_outq_push(q, s);
    }
}

void rc_outq_copy(const struct rc_outq *q, uint8_t *to, size_t n)
{
    const struct rc_seg *s = q->first;
    const struct rc_outq_more *m = q->more;
    uint32_t off = q->off;

    for (uint32_t i = 0; n != 0; i++) {
        size_t part = s->len - off < n ? s->len - off : n;

        memcpy(to, s->data + off, part);
        to += part;
        n -= part;
        off = 0;
        if (n != 0)
            s = m->seg[(m->head + i) & (m->cap - 1)];
    }
}

void rc_outq_advance(struct rc_outq *q, size_t n)
{
    while (q->first != NULL) {
        uint32_t rest = q->first->len - q->off, off;

        if (n < rest) {
            q->off += (uint32_t)n;
            q->bytes -= (uint32_t)n;
            return;
        }
        n -= rest;
        rc_seg_unref(rc_outq_pop(q, &off));
    }
}

/* Not inlined: the members of a room mostly get one segment, and need no vector on the stack. */
__attribute__((noinline)) static ssize_t send_many(const struct rc_outq *q, int fd, size_t most)
{
    const struct rc_outq_more *m = q->more;
    size_t rest = q->first->len - q->off;
    struct iovec iov[IOV_MAX_USED];
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 1};

    /* sendmsg() does not write through iov_base; the cast is the interface's. */
    iov[0].iov_base = (void *)(uintptr_t)(q->first->data + q->off);
    iov[0].iov_len = rest < most ? rest : most;
    most -= iov[0].iov_len;
    for (uint32_t i = 0; m != NULL && i < m->n && most != 0 && msg.msg_iovlen < IOV_MAX_USED;
         i++) {
        const struct rc_seg *s = m->seg[(m->head + i) & (m->cap - 1)];
        size_t len = s->len < most ? s->len : most;

        iov[msg.msg_iovlen].iov_base = (void *)(uintptr_t)s->data;
        iov[msg.msg_iovlen++].iov_len = len;
        most -= len;
    }
    return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* A send() of `want` bytes wrote n. True: that is as far as it goes. */
static bool is_full(ssize_t n, size_t want, int *rc)
{
    if (n < 0 && errno != EINTR)
        *rc = errno == EAGAIN ? RC_EAGAIN : RC_ESYS;
    else if (n >= 0 && (size_t)n < want) /* a short write: the next would say EAGAIN */
        *rc = RC_EAGAIN;
    else
        return false;
    return true;
}

/* The first call is done, and wrote n of `want` bytes; n == 0 == want: it is not. */
__attribute__((noinline)) static int flush_rest(struct rc_outq *q, int fd, ssize_t n,
                                                size_t want, size_t most, size_t *wrote)
{
    size_t total = 0;
    int rc = RC_OK;

    for (;;) {
        bool full = is_full(n, want, &rc);

        if (n > 0) {
            total += (size_t)n;
            rc_outq_advance(q, (size_t)n);
        }
        if (full || q->first == NULL)
            break;
        if (total >= most) {
            rc = RC_EAGAIN;
            break;
        }
        want = q->bytes < most - total ? q->bytes : most - total;
        if (q->more != NULL && q->more->n >= IOV_MAX_USED)
            want = 0; /* more than one call takes is no short write */
        n = send_many(q, fd, most - total);
    }
    rc_net_bytes.sent += total;
    if (wrote != NULL)
        *wrote = total;
    return rc;
}

/* A segment that was all of its queue has been written. */
static inline void done_with(struct rc_outq *q)
{
    struct rc_seg *only = q->first;

    rc_net_bytes.sent += q->bytes;
    *q = (struct rc_outq){0};
    rc_seg_unref(only);
}

int rc_outq_flush(struct rc_outq *q, int fd, size_t *wrote)
{
    size_t want = q->bytes;
    ssize_t n;

    if (!rc_outq_single(q) || want > RC_OUTQ_TURN)
        return flush_rest(q, fd, 0, 0, RC_OUTQ_TURN, wrote);
    n = send(fd, q->first->data + q->off, want, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n != (ssize_t)want)
        return flush_rest(q, fd, n, want, RC_OUTQ_TURN, wrote);
    done_with(q);
    if (wrote != NULL)
        *wrote = want;
    return RC_OK;
}

int rc_outq_flush_most(struct rc_outq *q, int fd, size_t most, size_t *wrote)
{
    return flush_rest(q, fd, 0, 0, most, wrote);
}

int rc_outq_sent(struct rc_outq *q, int n)
{
    if (n == (int)q->bytes) {
        done_with(q);
        return RC_OK;
    }
    if (n < 0)
        return n == -EAGAIN || n == -EINTR ? RC_EAGAIN : RC_ESYS;
    rc_net_bytes.sent += (uint32_t)n;
    rc_outq_advance(q, (size_t)n);
    return RC_EAGAIN;
}

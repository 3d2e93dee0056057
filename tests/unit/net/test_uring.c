#include "rc/net/uring.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MANY = RC_URING_MAX };

static struct {
    int fd[MANY], peer[MANY];
    struct rc_outq q[MANY];
    struct rc_uring_job job[MANY];
} w;

/* False: this kernel has none, which is no fault. */
static bool begin(struct rc_uring **u, unsigned n)
{
    struct rlimit files = {.rlim_cur = 2 * MANY + 64, .rlim_max = 2 * MANY + 64};

    (void)setrlimit(RLIMIT_NOFILE, &files);
    *u = rc_uring_new();
    if (*u == NULL)
        return false;
    memset(&w, 0, sizeof(w));
    for (unsigned i = 0; i < n; i++) {
        int pair[2];

        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        w.fd[i] = pair[0];
        w.peer[i] = pair[1];
    }
    return true;
}

static void end(struct rc_uring *u, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        rc_outq_clear(&w.q[i]);
        (void)close(w.fd[i]);
        if (w.peer[i] >= 0)
            (void)close(w.peer[i]);
    }
    rc_uring_free(u);
}

static void flush(struct rc_uring *u, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        w.job[i] = (struct rc_uring_job){.q = &w.q[i], .fd = w.fd[i], .rc = 99};
    rc_uring_flush(u, w.job, n);
}

/* Each gets its own bytes, once, in the order of the calls; as often as the ring goes round. */
Test(uring, writes_all)
{
    struct rc_uring *u;

    if (!begin(&u, MANY))
        return;
    for (unsigned round = 0; round < 5; round++) {
        unsigned n = round == 3 ? MANY - 7 : MANY;
        uint64_t sent = rc_net_bytes.sent;

        for (unsigned i = 0; i < n; i++) {
            unsigned text[2] = {i, round};

            rc_outq_push(&w.q[i], rc_seg_new(text, sizeof(text)));
        }
        flush(u, n);
        cr_assert_eq(rc_net_bytes.sent - sent, n * 2 * sizeof(unsigned));
        for (unsigned i = 0; i < n; i++) {
            unsigned got[4];

            cr_assert_eq(w.job[i].rc, RC_OK);
            cr_assert(rc_outq_empty(&w.q[i]));
            cr_assert_eq(w.q[i].bytes, 0u);
            cr_assert_eq(recv(w.peer[i], got, sizeof(got), 0), (ssize_t)(2 * sizeof(unsigned)));
            cr_assert_eq(got[0], i);
            cr_assert_eq(got[1], round);
        }
    }
    end(u, MANY);
}

/* A segment that all of them share is given up by each. */
Test(uring, shared_segment)
{
    enum { N = 10 };
    struct rc_seg *seg = rc_seg_new("shared", 6);
    struct rc_uring *u;

    if (begin(&u, N)) {
        for (unsigned i = 0; i < N; i++)
            rc_outq_push(&w.q[i], rc_seg_ref(seg));
        cr_assert_eq(seg->refs, N + 1u);
        flush(u, N);
        cr_assert_eq(seg->refs, 1u);
        end(u, N);
    }
    rc_seg_unref(seg);
}

/* Some are full, one is half written before, one has nobody at the other end: no other suffers. */
Test(uring, each_has_its_own_result)
{
    enum { N = 6, BIG = 1 << 20 };
    static char big[BIG];
    struct rc_uring *u;
    char got[16];

    if (!begin(&u, N))
        return;
    memset(big, 'b', sizeof(big));
    (void)close(w.peer[1]);
    w.peer[1] = -1;
    for (unsigned i = 0; i < N; i++)
        rc_outq_push(&w.q[i], i == 3 ? rc_seg_new(big, sizeof(big)) : rc_seg_new("abcdef", 6));
    rc_outq_advance(&w.q[2], 4);
    flush(u, N);
    for (unsigned i = 0; i < N; i++)
        cr_assert_eq(w.job[i].rc, i == 1 ? RC_ESYS : i == 3 ? RC_EAGAIN : RC_OK);
    cr_assert_eq(recv(w.peer[2], got, sizeof(got), 0), 2);
    cr_assert_arr_eq(got, "ef", 2);
    cr_assert_eq(recv(w.peer[5], got, sizeof(got), 0), 6);
    cr_assert_gt(w.q[3].off, 0u);
    cr_assert_eq(w.q[3].bytes, BIG - w.q[3].off);
    end(u, N);
}

/* Nothing is lost on the way through a full socket. */
Test(uring, full_socket_goes_on)
{
    enum { BIG = 1 << 20 };
    struct rc_seg *seg = rc_seg_new(NULL, BIG);
    uint32_t *word = (uint32_t *)(void *)rc_seg_bytes(seg), expected = 0;
    static uint32_t got[1 << 14];
    struct rc_uring *u;
    size_t have = 0;

    for (uint32_t i = 0; i < BIG / 4; i++)
        word[i] = i;
    if (!begin(&u, 1)) {
        rc_seg_unref(seg);
        return;
    }
    rc_outq_push(&w.q[0], seg);
    while (expected < BIG / 4) {
        ssize_t n;

        if (!rc_outq_empty(&w.q[0])) {
            flush(u, 1);
            cr_assert(w.job[0].rc == RC_OK || w.job[0].rc == RC_EAGAIN);
            cr_assert_eq(w.job[0].rc == RC_OK, rc_outq_empty(&w.q[0]));
        }
        n = recv(w.peer[0], (char *)got + have, sizeof(got) - have, 0);
        cr_assert_gt(n, 0);
        have += (size_t)n;
        for (size_t i = 0; i < have / 4; i++)
            cr_assert_eq(got[i], expected++);
        memmove(got, got + have / 4, have % 4);
        have %= 4;
    }
    end(u, 1);
}

Test(uring, not_to_be_had)
{
    struct rlimit before, none;

    rc_uring_free(NULL);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    cr_assert_null(rc_uring_new());
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
}

#include "rc/net/outq.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct pair {
    int ours, peer;
};

static void pair_open(struct pair *p, int sndbuf)
{
    int fd[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    *p = (struct pair){.ours = fd[0], .peer = fd[1]};
    if (sndbuf != 0)
        cr_assert_eq(setsockopt(p->ours, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf)), 0);
}

static void pair_close(struct pair *p)
{
    (void)close(p->ours);
    (void)close(p->peer);
}

/* The n-th byte of an endless pattern without short repetitions. */
static uint8_t pattern(uint64_t n)
{
    return (uint8_t)((n * 0x9e3779b97f4a7c15u) >> 56);
}

/* A segment with the pattern from *at on. */
static struct rc_seg *piece(uint64_t *at, size_t len)
{
    struct rc_seg *s = rc_seg_new(NULL, len);

    for (size_t i = 0; i < len; i++)
        rc_seg_bytes(s)[i] = pattern((*at)++);
    return s;
}

/* Reads all that is there, which must continue the pattern. */
static void drain(const struct pair *p, uint64_t *at)
{
    uint8_t bytes[4096];
    ssize_t n;

    while ((n = read(p->peer, bytes, sizeof(bytes))) > 0)
        for (ssize_t i = 0; i < n; i++)
            cr_assert_eq(bytes[i], pattern((*at)++));
    cr_assert(n < 0 && errno == EAGAIN);
}

static int unpinned;

static void unpin(void *pin)
{
    cr_assert_eq(pin, &unpinned);
    unpinned++;
}

Test(outq, empty)
{
    struct rc_outq q = {0}, tail = {0};
    struct pair p;
    size_t wrote = 99;
    uint32_t off;

    pair_open(&p, 0);
    cr_assert(rc_outq_empty(&q));
    cr_assert_null(rc_outq_pop(&q, &off));
    cr_assert_eq(rc_outq_flush(&q, p.ours, &wrote), RC_OK);
    cr_assert_eq(wrote, 0u);
    rc_outq_append(&q, &tail);
    rc_outq_clear(&q);
    cr_assert(rc_outq_empty(&q));
    pair_close(&p);
}

Test(outq, segments)
{
    struct rc_seg *own = rc_seg_new("hello", 5), *pinned;

    cr_assert_arr_eq(own->data, "hello", 5);
    cr_assert_eq(own->data, rc_seg_bytes(own));
    cr_assert_eq(own->refs, 1u);
    cr_assert_eq(rc_seg_ref(own), own);
    cr_assert_eq(own->refs, 2u);
    rc_seg_unref(own);
    rc_seg_unref(own);

    unpinned = 0;
    pinned = rc_seg_pin("abc", 3, &unpinned, unpin);
    cr_assert_eq(pinned->len, 3u);
    (void)rc_seg_ref(pinned);
    rc_seg_unref(pinned);
    cr_assert_eq(unpinned, 0);
    rc_seg_unref(pinned);
    cr_assert_eq(unpinned, 1);
}

/* One segment in three queues: each gives back one reference, and it is unpinned once. */
Test(outq, cost)
{
    const uint64_t each = rc_outq_cost(&(struct rc_outq){.first = (struct rc_seg[1]){{0}}});
    struct rc_outq q = {0};
    uint64_t at = 0;
    uint32_t off;

    cr_assert_eq(rc_outq_cost(&q), 0u);
    cr_assert_geq(each, sizeof(struct rc_seg) + sizeof(void *));
    for (unsigned i = 1; i <= 40; i++) {
        rc_outq_push(&q, piece(&at, 2));
        cr_assert_eq(rc_outq_cost(&q), i * (each + 2));
    }
    rc_seg_unref(rc_outq_pop(&q, &off));
    cr_assert_eq(rc_outq_cost(&q), 39 * (each + 2));
    rc_outq_clear(&q);
    cr_assert_eq(rc_outq_cost(&q), 0u);
}

Test(outq, shared_segment)
{
    struct rc_seg *s;
    struct rc_outq q[3] = {{0}};
    struct pair p;
    uint32_t off;
    char got[8];

    unpinned = 0;
    s = rc_seg_pin("shared", 6, &unpinned, unpin);
    pair_open(&p, 0);
    for (int i = 0; i < 3; i++)
        rc_outq_push(&q[i], rc_seg_ref(s));
    rc_seg_unref(s);
    cr_assert_eq(s->refs, 3u);
    cr_assert_eq(rc_outq_flush(&q[0], p.ours, NULL), RC_OK); /* written */
    cr_assert_eq(read(p.peer, got, sizeof(got)), 6);
    cr_assert_arr_eq(got, "shared", 6);
    cr_assert_eq(s->refs, 2u);
    rc_outq_clear(&q[1]); /* thrown away */
    cr_assert_eq(s->refs, 1u);
    cr_assert_eq(rc_outq_pop(&q[2], &off), s); /* taken over */
    cr_assert_eq(s->refs, 1u);
    cr_assert_eq(unpinned, 0);
    rc_seg_unref(s);
    cr_assert_eq(unpinned, 1);
    for (int i = 0; i < 3; i++)
        cr_assert(rc_outq_empty(&q[i]));
    pair_close(&p);
}

Test(outq, pops_in_order)
{
    struct rc_outq q = {0};
    uint32_t off = 99;

    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 100; i++) {
            char text[8];
            int n = snprintf(text, sizeof(text), "%u", i);

            rc_outq_push(&q, rc_seg_new(text, (size_t)n));
        }
        cr_assert_eq(q.bytes, 10u + 180u);
        for (uint32_t i = 0; i < 100; i++) {
            struct rc_seg *s = rc_outq_pop(&q, &off);
            char text[8] = "";

            cr_assert_not_null(s);
            memcpy(text, s->data, s->len);
            cr_assert_eq((uint32_t)atoi(text), i);
            cr_assert_eq(off, 0u);
            rc_seg_unref(s);
        }
        cr_assert(rc_outq_empty(&q));
        cr_assert_eq(q.bytes, 0u);
        cr_assert_null(q.more); /* an empty queue owns no memory */
    }
}

/* Pushes and pops in turn, so that the ring of segments wraps while it grows. */
Test(outq, ring_wraps_and_grows)
{
    struct rc_outq q = {0};
    uint32_t in = 0, out = 0, off;

    for (uint32_t round = 0; round < 60; round++) {
        for (uint32_t i = 0; i < round % 17 + 3; i++, in++)
            rc_outq_push(&q, rc_seg_new(&in, sizeof(in)));
        for (uint32_t i = 0; i < round % 13 && out < in; i++, out++) {
            struct rc_seg *s = rc_outq_pop(&q, &off);

            cr_assert_not_null(s);
            cr_assert_arr_eq(s->data, &out, sizeof(out));
            rc_seg_unref(s);
        }
        cr_assert_eq(q.bytes, (in - out) * sizeof(in));
    }
    for (; out < in; out++) {
        struct rc_seg *s = rc_outq_pop(&q, &off);

        cr_assert_not_null(s);
        cr_assert_arr_eq(s->data, &out, sizeof(out));
        rc_seg_unref(s);
    }
    cr_assert(rc_outq_empty(&q));
}

/* More segments than one system call takes, all into a socket that has room. */
Test(outq, more_segments_than_one_call)
{
    static const unsigned counts[] = {1, 2, 63, 64, 65, 66, 127, 128, 129, 130, 500};

    for (unsigned c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        struct rc_outq q = {0};
        struct pair p;
        uint64_t in = 0, out = 0;
        size_t wrote;

        pair_open(&p, 0);
        for (unsigned i = 0; i < counts[c]; i++)
            rc_outq_push(&q, piece(&in, i % 7 + 1));
        cr_assert_eq(rc_outq_flush(&q, p.ours, &wrote), RC_OK);
        cr_assert_eq(wrote, in);
        cr_assert(rc_outq_empty(&q));
        cr_assert_eq(q.bytes, 0u);
        drain(&p, &out);
        cr_assert_eq(out, in);
        pair_close(&p);
    }
}

/* A socket that takes a little at a time: nothing is lost, doubled or reordered. */
static void through_a_small_socket(size_t len, unsigned count)
{
    struct rc_outq q = {0};
    struct pair p;
    uint64_t in = 0, out = 0, total = 0;
    unsigned again = 0;
    int rc;

    pair_open(&p, 4096);
    for (unsigned i = 0; i < count; i++)
        rc_outq_push(&q, piece(&in, len + i % 5));
    while ((rc = rc_outq_flush(&q, p.ours, NULL)) == RC_EAGAIN) {
        again++;
        total = q.bytes;
        cr_assert_gt(total, 0u);
        cr_assert_not(rc_outq_empty(&q));
        drain(&p, &out);
        cr_assert_eq(out + total, in); /* bytes is what has not been written */
    }
    cr_assert_eq(rc, RC_OK);
    drain(&p, &out);
    cr_assert_eq(out, in);
    cr_assert_gt(again, 3u);
    cr_assert_null(q.more);
    pair_close(&p);
}

Test(outq, partial_writes_of_one_segment)
{
    through_a_small_socket(300000, 1);
}

Test(outq, partial_writes_of_large_segments)
{
    through_a_small_socket(20000, 20);
}

Test(outq, partial_writes_of_small_segments)
{
    through_a_small_socket(1, 60000);
}

/* The socket would take all of it at once. */
static void in_shares(size_t len, unsigned count)
{
    struct rc_outq q = {0};
    struct pair p;
    uint64_t in = 0, out = 0;
    size_t wrote;

    pair_open(&p, 4 << 20);
    for (unsigned i = 0; i < count; i++)
        rc_outq_push(&q, piece(&in, len));
    while (q.bytes > RC_OUTQ_TURN) {
        uint64_t before = out;

        cr_assert_eq(rc_outq_flush(&q, p.ours, &wrote), RC_EAGAIN);
        cr_assert_eq(wrote, (size_t)RC_OUTQ_TURN);
        drain(&p, &out);
        cr_assert_eq(out - before, wrote);
        cr_assert_eq(out + q.bytes, in);
    }
    cr_assert_eq(rc_outq_flush(&q, p.ours, &wrote), RC_OK);
    drain(&p, &out);
    cr_assert_eq(out, in);
    cr_assert(rc_outq_empty(&q));
    pair_close(&p);
}

Test(outq, a_share_of_one_segment)
{
    in_shares(5 * RC_OUTQ_TURN + 12345, 1);
}

Test(outq, a_share_of_large_segments)
{
    in_shares(70000, 9);
}

Test(outq, a_share_of_small_segments)
{
    in_shares(700, 800); /* more than one call takes, and a share ends within one */
}

Test(outq, a_share_is_all_there_is)
{
    in_shares(RC_OUTQ_TURN, 1);
    in_shares(RC_OUTQ_TURN / 2, 4);
}

Test(outq, more_than_a_share)
{
    struct rc_outq q = {0};
    struct pair p;
    uint64_t in = 0, out = 0;
    size_t wrote;

    pair_open(&p, 4 << 20);
    rc_outq_push(&q, piece(&in, RC_OUTQ_TURN + 5));
    rc_outq_push(&q, piece(&in, 12345));
    cr_assert_eq(rc_outq_flush_most(&q, p.ours, SIZE_MAX, &wrote), RC_OK);
    cr_assert_eq(wrote, in);
    drain(&p, &out);
    cr_assert_eq(out, in);
    pair_close(&p);
}

Test(outq, says_what_it_wrote)
{
    struct rc_outq q = {0};
    struct pair p;
    uint64_t in = 0, out = 0;
    size_t wrote = 0;

    pair_open(&p, 4096);
    rc_outq_push(&q, piece(&in, 100000));
    cr_assert_eq(rc_outq_flush(&q, p.ours, &wrote), RC_EAGAIN);
    cr_assert_gt(wrote, 0u);
    cr_assert_eq(wrote + q.bytes, in);
    cr_assert_eq(q.off, wrote);
    drain(&p, &out);
    cr_assert_eq(out, wrote);
    rc_outq_clear(&q);
    cr_assert_eq(q.bytes, 0u);
    cr_assert_eq(q.off, 0u);
    pair_close(&p);
}

/* Popped in mid-segment: the offset says what was written already. */
Test(outq, pop_of_a_begun_segment)
{
    struct rc_outq q = {0};
    struct rc_seg *s;
    struct pair p;
    uint64_t in = 0;
    size_t wrote = 0;
    uint32_t off = 0;

    pair_open(&p, 4096);
    rc_outq_push(&q, piece(&in, 100000));
    rc_outq_push(&q, piece(&in, 10));
    cr_assert_eq(rc_outq_flush(&q, p.ours, &wrote), RC_EAGAIN);
    s = rc_outq_pop(&q, &off);
    cr_assert_not_null(s);
    cr_assert_eq(off, wrote);
    cr_assert_eq(q.bytes, 10u);
    rc_seg_unref(s);
    rc_outq_clear(&q);
    pair_close(&p);
}

Test(outq, append)
{
    struct rc_outq q = {0}, tail = {0};
    struct pair p;
    uint64_t in = 0, out = 0;

    pair_open(&p, 0);
    for (int i = 0; i < 40; i++)
        rc_outq_push(&tail, piece(&in, 3));
    rc_outq_append(&q, &tail); /* to an empty one: taken over as it is */
    cr_assert(rc_outq_empty(&tail));
    cr_assert_eq(tail.bytes, 0u);
    cr_assert_eq(q.bytes, 120u);
    for (int i = 0; i < 40; i++)
        rc_outq_push(&tail, piece(&in, 5));
    rc_outq_append(&q, &tail);
    cr_assert(rc_outq_empty(&tail));
    cr_assert_eq(tail.bytes, 0u);
    cr_assert_eq(q.bytes, 320u);
    rc_outq_append(&q, &tail); /* nothing */
    cr_assert_eq(rc_outq_flush(&q, p.ours, NULL), RC_OK);
    drain(&p, &out);
    cr_assert_eq(out, in);
    pair_close(&p);
}

/* The tail was being written when it is appended: what of it is out is not sent again. */
Test(outq, append_of_a_begun_queue)
{
    struct rc_outq q = {0}, tail = {0};
    struct pair p, p2;
    uint64_t in = 0, out = 0;
    size_t wrote = 0;
    int rc;

    pair_open(&p, 4096);
    pair_open(&p2, 0);
    rc_outq_push(&tail, piece(&in, 100000));
    rc_outq_push(&tail, piece(&in, 77));
    cr_assert_eq(rc_outq_flush(&tail, p.ours, &wrote), RC_EAGAIN);
    drain(&p, &out);
    cr_assert_eq(out, wrote);
    rc_outq_push(&q, rc_seg_new("head", 4));
    rc_outq_append(&q, &tail);
    cr_assert_eq(q.bytes, 4 + in - wrote);
    while ((rc = rc_outq_flush(&q, p2.ours, NULL)) == RC_EAGAIN || !rc_outq_empty(&q)) {
        char head[4];

        if (out == wrote) {
            cr_assert_eq(read(p2.peer, head, 4), 4);
            cr_assert_arr_eq(head, "head", 4);
        }
        drain(&p2, &out);
    }
    cr_assert_eq(rc, RC_OK);
    if (out == wrote) {
        char head[4];

        cr_assert_eq(read(p2.peer, head, 4), 4);
    }
    drain(&p2, &out);
    cr_assert_eq(out, in);
    pair_close(&p);
    pair_close(&p2);
}

/* An empty segment is nothing to write, wherever it stands. */
Test(outq, empty_segments)
{
    struct rc_outq q = {0};
    struct pair p;
    char got[16];

    pair_open(&p, 0);
    rc_outq_push(&q, rc_seg_new("", 0));
    cr_assert_eq(rc_outq_flush(&q, p.ours, NULL), RC_OK);
    cr_assert(rc_outq_empty(&q));
    rc_outq_push(&q, rc_seg_new("", 0));
    rc_outq_push(&q, rc_seg_new("ab", 2));
    rc_outq_push(&q, rc_seg_new("", 0));
    rc_outq_push(&q, rc_seg_new("c", 1));
    rc_outq_push(&q, rc_seg_new("", 0));
    cr_assert_eq(rc_outq_flush(&q, p.ours, NULL), RC_OK);
    cr_assert(rc_outq_empty(&q));
    cr_assert_eq(read(p.peer, got, sizeof(got)), 3);
    cr_assert_arr_eq(got, "abc", 3);
    pair_close(&p);
}

/* A peer that is gone: the error, no signal, and the queue as it was. */
Test(outq, peer_is_gone)
{
    struct rc_outq q = {0};
    struct pair p;

    for (unsigned n = 1; n <= 3; n += 2) {
        pair_open(&p, 0);
        (void)close(p.peer);
        for (unsigned i = 0; i < n; i++)
            rc_outq_push(&q, rc_seg_new("x", 1));
        cr_assert_eq(rc_outq_flush(&q, p.ours, NULL), RC_ESYS);
        cr_assert_eq(errno, EPIPE);
        cr_assert_eq(q.bytes, n);
        rc_outq_clear(&q);
        (void)close(p.ours);
    }
}

/* A second segment in every turn: the array is taken from the stock and goes back there. */
Test(outq, short_queues_do_not_allocate_again)
{
    enum { QUEUES = 3, TURNS = 5 };
    struct rc_outq q[QUEUES] = {{0}};
    struct rc_seg *s = rc_seg_new("x", 1);
    uint32_t off;

    (void)rc_outq_trim();
    for (int turn = 0; turn < TURNS; turn++) {
        for (int i = 0; i < QUEUES; i++)
            for (int k = 0; k < 2; k++)
                rc_outq_push(&q[i], rc_seg_ref(s));
        for (int i = 0; i < QUEUES; i++)
            for (int k = 0; k < 2; k++)
                rc_seg_unref(rc_outq_pop(&q[i], &off));
    }
    cr_assert_eq(rc_outq_trim(), (unsigned)QUEUES); /* no more than were in use at once */
    cr_assert_eq(rc_outq_trim(), 0u);
    for (int k = 0; k < 40;
         k++) /* a long one gives back what it outgrew, but is not kept itself */
        rc_outq_push(&q[0], rc_seg_ref(s));
    rc_outq_clear(&q[0]);
    cr_assert_eq(rc_outq_trim(), 1u);
    cr_assert_eq(s->refs, 1u);
    rc_seg_unref(s);
}

Test(outq, live_bytes)
{
    static const char file[] = "stays";
    uint64_t before = rc_seg_live();
    struct rc_seg *own = rc_seg_new(NULL, 1000), *stays = rc_seg_pin(file, 5, NULL, NULL);
    struct rc_outq a = {0}, b = {0};

    cr_assert_eq(rc_seg_live() - before, 1000 + 2 * sizeof(struct rc_seg));
    rc_outq_push(&a, rc_seg_ref(own));
    rc_outq_push(&b, own);
    rc_outq_push(&b, stays);
    cr_assert_eq(rc_seg_live() - before, 1000 + 2 * sizeof(struct rc_seg),
                 "once, however many have it");
    rc_outq_clear(&a);
    cr_assert_geq(rc_seg_live() - before, 1000);
    rc_outq_clear(&b);
    cr_assert_eq(rc_seg_live(), before);
}

Test(outq, what_a_queue_keeps)
{
    struct rc_seg *all[20];
    struct rc_outq q = {0};
    int before = unpinned;

    cr_assert_eq(rc_outq_kept(&q), 0u);
    for (unsigned i = 0; i < 20; i++) {
        all[i] = i % 2 == 0 ? rc_seg_new(NULL, 100) : rc_seg_pin("pinned", 6, &unpinned, unpin);
        rc_outq_push(&q, all[i]);
    }
    cr_assert_eq(rc_outq_kept(&q), 20 * sizeof(struct rc_seg) + 10 * 106 + 19 * sizeof(void *));
    rc_outq_advance(&q, 99);
    cr_assert_eq(rc_outq_kept(&q), 20 * sizeof(struct rc_seg) + 10 * 106 + 19 * sizeof(void *),
                 "the first is there until its last byte");
    rc_outq_advance(&q, 1);
    cr_assert_eq(rc_outq_kept(&q),
                 19 * sizeof(struct rc_seg) + 9 * 100 + 10 * 6 + 18 * sizeof(void *));
    rc_outq_clear(&q);
    cr_assert_eq(unpinned, before + 10);
    (void)rc_outq_trim();
}

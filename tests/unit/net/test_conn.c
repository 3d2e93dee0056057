#include "rc/net/conn.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool no_watches; /* fs.epoll.max_user_watches is reached */

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
    if (no_watches && op == EPOLL_CTL_ADD) {
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_epoll_ctl, epfd, op, fd, ev);
}

/* What happened to one connection, and what its on_data is to do. */
struct side {
    struct rc_conn *c;
    int peer; /* the other end */
    struct rc_outq out;
    char seen[65536]; /* what on_data used up, a '|' after each call */
    size_t nseen, take_max;
    unsigned calls, eofs, drains, closes;
    enum rc_close reason;
    int fd_in_close;
    bool lines; /* uses up whole lines only */
    bool pause_after_line;
    bool close_in_data, finish_in_data;
    struct side *read_too; /* reads that connection in its on_data */
};

static struct rc_loop loop;

static size_t wanted(const struct side *s, const uint8_t *data, size_t len)
{
    const uint8_t *end;

    if (s->lines) {
        end = memchr(data, '\n', len);
        return end != NULL ? (size_t)(end - data) + 1 : 0;
    }
    return len < s->take_max ? len : s->take_max;
}

static size_t on_data(struct rc_conn *c, uint8_t *data, size_t len)
{
    struct side *s = c->user;
    size_t used = 0, n;

    rc_assert_on_shard(&loop);
    cr_assert_eq(s->c, c);
    cr_assert_gt(len, 0u);
    s->calls++;
    if (s->read_too != NULL)
        rc_conn_poll(s->read_too->c);
    while (used < len && c->reading && (n = wanted(s, data + used, len - used)) != 0) {
        cr_assert_lt(s->nseen + n + 1, sizeof(s->seen));
        memcpy(s->seen + s->nseen, data + used, n);
        s->nseen += n;
        used += n;
        if (!s->lines)
            break;
        if (s->pause_after_line)
            rc_conn_pause(c);
    }
    memset(data, 0xee, used); /* what was used up is ours to spoil */
    if (s->close_in_data) {
        rc_conn_close(c, RC_CLOSE_RULE);
        return 0;
    }
    if (s->finish_in_data)
        rc_conn_finish(c, RC_CLOSE_DONE);
    return used;
}

static void on_eof(struct rc_conn *c)
{
    struct side *s = c->user;

    cr_assert(c->eof);
    s->eofs++;
}

static void on_drain(struct rc_conn *c)
{
    struct side *s = c->user;

    cr_assert(rc_outq_empty(&s->out));
    s->drains++;
}

static void on_close(struct rc_conn *c, enum rc_close reason)
{
    struct side *s = c->user;

    s->closes++;
    s->reason = reason;
    s->fd_in_close = c->fd;
    rc_outq_clear(&s->out);
}

static const struct rc_conn_ops ops = {.on_data = on_data,
                                       .on_eof = on_eof,
                                       .on_drain = on_drain,
                                       .on_close = on_close};

static void no_hook(void *arg)
{
    (void)arg;
}

/* Turns with what is ready. The loop always has something to wait for: the pipe. */
RC_ON_SHARD static void turns(unsigned n)
{
    while (n-- > 0)
        cr_assert(rc_loop_turn(&loop, false, no_hook, NULL));
}

static int idle_pipe[2];
static struct event *idle;

static void on_idle(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

static void set_up(uint32_t max_conns) RC_TSA(assert_capability(rc_role_shard))
{
    rc_thread_enter("test", &loop);
    rc_assert_on_shard(&loop);
    cr_assert_eq(rc_loop_init(&loop, &loop, max_conns), RC_OK);
    cr_assert_eq(pipe(idle_pipe), 0);
    idle = event_new(loop.base, idle_pipe[0], EV_READ | EV_PERSIST, on_idle, NULL);
    cr_assert_eq(rc_loop_add(&loop, idle), RC_OK);
}

static void tear_down(void)
{
    rc_loop_remove(&loop, idle);
    event_free(idle);
    (void)close(idle_pipe[0]);
    (void)close(idle_pipe[1]);
    rc_loop_deinit(&loop);
}

RC_ON_SHARD static void open_side(struct side *s)
{
    static const struct rc_addr nobody;
    int fd[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    *s = (struct side){.peer = fd[1], .take_max = SIZE_MAX};
    s->c = rc_conn_new(&loop, fd[0], &nobody, &ops, s);
    cr_assert_not_null(s->c);
    s->c->out = &s->out;
}

RC_ON_SHARD static void close_side(struct side *s)
{
    rc_conn_close(s->c, RC_CLOSE_DONE);
    (void)close(s->peer);
    turns(1);
}

static void say(const struct side *s, const char *text)
{
    cr_assert_eq(write(s->peer, text, strlen(text)), (ssize_t)strlen(text));
}

static void check_seen(const struct side *s, const char *text)
{
    cr_assert_eq(s->nseen, strlen(text), "seen: %.*s", (int)s->nseen, s->seen);
    cr_assert_arr_eq(s->seen, text, s->nseen);
}

static int waiting_bytes(const struct rc_conn *c)
{
    int n = -1;

    cr_assert_eq(ioctl(c->fd, FIONREAD, &n), 0);
    return n;
}

/* One that the kernel refuses to watch ends, whatever is wanted of it until then. */
Test(conn, no_watches)
{
    struct side s;

    set_up(4);
    rc_assert_on_shard(&loop);
    no_watches = true;
    open_side(&s);
    rc_conn_want_write(s.c);
    rc_conn_pause(s.c);
    rc_conn_resume(s.c);
    no_watches = false;
    rc_conn_pause(s.c);
    rc_conn_resume(s.c);
    cr_assert_eq(s.closes, 0u);
    turns(1);
    cr_assert_eq(s.closes, 1u);
    cr_assert_eq(s.reason, RC_CLOSE_RESET);
    (void)close(s.peer);
    open_side(&s); /* the next has better luck at first */
    no_watches = true;
    rc_conn_pause(s.c);
    rc_conn_resume(s.c);
    no_watches = false;
    rc_conn_want_write(s.c);
    turns(1);
    cr_assert_eq(s.closes, 1u);
    (void)close(s.peer);
    tear_down();
}

/* ---- reading ---- */

Test(conn, reads)
{
    struct side s;

    set_up(4);
    rc_assert_on_shard(&loop);
    open_side(&s);
    turns(1);
    cr_assert_eq(s.calls, 0u);
    say(&s, "hello");
    turns(1);
    say(&s, " world");
    turns(1);
    check_seen(&s, "hello world");
    cr_assert_eq(s.calls, 2u);
    cr_assert_null(s.c->left); /* nothing is kept without need */
    close_side(&s);
    tear_down();
}

/* What is not used up comes again, in front of what follows: however it was cut. */
Test(conn, left_overs_byte_by_byte)
{
    static const char text[] = "first line\n\nthird\nthe fourth is longer\nx\n";
    struct side s;

    set_up(4);
    rc_assert_on_shard(&loop);
    for (size_t piece = 1; piece <= sizeof(text) - 1; piece++) {
        open_side(&s);
        s.lines = true;
        for (size_t at = 0; at < sizeof(text) - 1; at += piece) {
            size_t n = sizeof(text) - 1 - at < piece ? sizeof(text) - 1 - at : piece;

            cr_assert_eq(write(s.peer, text + at, n), (ssize_t)n);
            turns(1);
            cr_assert_eq(s.nseen + s.c->left_len, at + n);
        }
        check_seen(&s, text);
        cr_assert_eq(s.c->left_len, 0u);
        cr_assert_null(s.c->left);
        close_side(&s);
    }
    tear_down();
}

Test(conn, takes_a_little_each_time)
{
    struct side s;

    set_up(4);
    rc_assert_on_shard(&loop);
    open_side(&s);
    s.take_max = 3;
    say(&s, "abcdefgh");
    turns(1);
    check_seen(&s, "abc");
    say(&s, "ij");
    turns(1);
    check_seen(&s, "abcdef");
    rc_conn_feed(s.c, NULL, 0); /* what is left, without anything new */
    check_seen(&s, "abcdefghi");
    rc_conn_feed(s.c, (const uint8_t *)"kl", 2);
    check_seen(&s, "abcdefghijkl");
    close_side(&s);
    tear_down();
}

/* As many bytes used up as have come: what is left has the same length, and other bytes. */
Test(conn, left_over_of_the_same_length)
{
    struct side s;

    set_up(4);
    rc_assert_on_shard(&loop);
    open_side(&s);
    s.take_max = 2;
    say(&s, "abcd");
    turns(1);
    for (const char *more = "efghij"; *more != '\0'; more += 2) {
        cr_assert_eq(write(s.peer, more, 2), 2);
        turns(1);
        cr_assert_eq(s.c->left_len, 2u);
    }
    rc_conn_feed(s.c, NULL, 0);
    check_seen(&s, "abcdefghij");
    close_side(&s);
    tear_down();
}

Test(conn, too_much_is_left)
{
    static char junk[65536];
    struct side s;
    size_t sent = 0;

    set_up(4);
    rc_assert_on_shard(&loop);
    open_side(&s);
    s.lines = true; /* and no line ever ends */
    memset(junk, 'j', sizeof(junk));
    while (s.closes == 0 && sent < 3 * (size_t)RC_READ_BUFFER) {
        ssize_t n = write(s.peer, junk, sizeof(junk));

        if (n > 0)
            sent += (size_t)n;
        turns(1);
    }
    cr_assert_eq(s.closes, 1u);
    cr_assert_eq(s.reason, RC_CLOSE_LIMIT);
    cr_assert_gt(sent, (size_t)1 << 20); /* a message of 1 MiB would still fit */
    cr_assert_leq(sent, (size_t)RC_READ_BUFFER + 2 * sizeof(junk));
    (void)close(s.peer);
    tear_down();
}

Test(conn, feed_has_the_same_limit)
{
    static uint8_t junk[RC_READ_BUFFER];
    struct side s;

    set_up(4);
    rc_assert_on_shard(&loop);
    open_side(&s);
    s.take_max = 1;
    rc_conn_feed(s.c, junk, sizeof(junk));
    cr_assert(rc_conn_open(s.c));
    cr_assert_eq(s.c->left_len, sizeof(junk) - 1);
    rc_conn_feed(s.c, junk, 2);
    cr_assert_eq(s.closes, 1u);
    cr_assert_eq(s.reason, RC_CLOSE_LIMIT);
    (void)close(s.peer);
    tear_down();
}

/* ---- pause and resume ---- */

Test(conn, pause_leaves_bytes_in_the_kernel)
{
    struct side s;

    set_up(4);
    rc_assert_on_shard(&loop);
    open_side(&s);
    rc_conn_pause(s.c);
    rc_conn_pause(s.c);
    say(&s, "wait");
    turns(3);
    cr_assert_eq(s.calls, 0u);
    cr_assert_eq(waiting_bytes(s.c), 4);
    rc_conn_poll(s.c); /* a paused connection is not read */
    cr_assert_eq(s.calls, 0u);
    rc_conn_resume(s.c);
    cr_assert_eq(s.calls, 0u); /* nothing was left over: the loop reads */
    turns(1);
    check_seen(&s, "wait");
    rc_conn_resume(s.c); /* that reads already */
    say(&s, "!");
    turns(1);
    check_seen(&s, "wait!");
    close_side(&s);
    tear_down();
}

/* Paused in the midst of what came: the rest comes at resume, at once and once. */
Test(conn, pause_within_data)
{
    struct side s;

    set_up(4);
    rc_assert_on_shard(&loop);
    open_side(&s);
    s.lines = s.pause_after_line = true;
    say(&s, "1\n2\n3\n4");
    turns(2);
    check_seen(&s, "1\n");
    say(&s, "\n5\n");
    turns(2);
    check_seen(&s, "1\n");
    rc_conn_resume(s.c);
    check_seen(&s, "1\n2\n");
    rc_conn_resume(s.c);
    check_seen(&s, "1\n2\n3\n");
    rc_conn_resume(s.c);
    check_seen(&s, "1\n2\n3\n"); /* no line is left: the kernel has the rest */
    cr_assert(s.c->reading);
    turns(1);
    check_seen(&s, "1\n2\n3\n4\n");
    rc_conn_resume(s.c);
    check_seen(&s, "1\n2\n3\n4\n5\n");
    cr_assert_eq(s.c->left_len, 0u);
    close_side(&s);
    tear_down();
}

/* ---- later ---- */

Test(conn, later_is_from_the_loop)
{
    struct side s;

    set_up(4);
    rc_assert_on_shard(&loop);
    open_side(&s);
    s.take_max = 2;
    say(&s, "abcdef");
    turns(1);
    check_seen(&s, "ab");
    rc_conn_pause(s.c);
    rc_conn_later(s.c);
    rc_conn_later(s.c); /* twice is once */
    check_seen(&s, "ab");
    cr_assert(rc_loop_ready(&loop));
    check_seen(&s, "abcd");
    cr_assert(s.c->reading); /* it goes on in every respect */
    cr_assert_not(rc_loop_ready(&loop));
    rc_conn_later(s.c);
    turns(1);
    check_seen(&s, "abcdef");
    rc_conn_later(s.c);
    rc_conn_close(s.c, RC_CLOSE_DONE); /* and takes itself off */
    cr_assert_not(rc_loop_ready(&loop));
    (void)close(s.peer);
    tear_down();
}

/* ---- the end of the peer's side ---- */

Test(conn, eof_is_told_once)
{
    struct side s;

    set_up(4);
    rc_assert_on_shard(&loop);
    open_side(&s);
    s.lines = true;
    say(&s, "line\nrest");
    cr_assert_eq(shutdown(s.peer, SHUT_WR), 0);
    turns(5);
    check_seen(&s, "line\n");
    cr_assert_eq(s.eofs, 1u);
    cr_assert(rc_conn_open(s.c));
    cr_assert_not(s.c->reading); /* else the loop would spin on it */
    rc_conn_resume(s.c);
    cr_assert_not(s.c->reading);
    rc_outq_push(&s.out, rc_seg_new("bye", 3)); /* our side is still open */
    rc_conn_finish(s.c, RC_CLOSE_DONE);
    cr_assert_eq(s.closes, 0u); /* never in the midst of the caller's work */
    turns(1);
    cr_assert_eq(s.closes, 1u);
    cr_assert_eq(s.reason, RC_CLOSE_DONE);
    {
        char got[8];

        cr_assert_eq(read(s.peer, got, sizeof(got)), 3);
        cr_assert_arr_eq(got, "bye", 3);
        cr_assert_eq(read(s.peer, got, sizeof(got)), 0);
    }
    (void)close(s.peer);
    tear_down();
}

Test(conn, reset_by_the_peer)
{
    struct side s;

    set_up(4);
    rc_assert_on_shard(&loop);
    open_side(&s);
    rc_outq_push(&s.out, rc_seg_new("unread", 6));
    rc_conn_flush(s.c);
    (void)close(s.peer); /* with bytes that it has not read: a reset */
    turns(1);
    cr_assert_eq(s.closes, 1u);
    cr_assert_eq(s.reason, RC_CLOSE_RESET);
    cr_assert_eq(s.eofs, 0u);
    tear_down();
}

/* A write that fails does not close under the caller's feet. */
Test(conn, write_after_the_peer_has_gone)
{
    struct side s;

    set_up(4);
    rc_assert_on_shard(&loop);
    open_side(&s);
    (void)close(s.peer);
    rc_outq_push(&s.out, rc_seg_new("x", 1));
    rc_conn_flush(s.c);
    cr_assert(rc_conn_open(s.c));
    cr_assert_eq(s.closes, 0u);
    rc_conn_flush(s.c);
    cr_assert(rc_loop_ready(&loop));
    cr_assert_eq(s.closes, 1u);
    cr_assert_eq(s.reason, RC_CLOSE_RESET);
    turns(1);
    cr_assert_eq(s.closes, 1u);
    tear_down();
}

/* ---- writing ---- */

static void push_pattern(struct side *s, size_t len)
{
    struct rc_seg *seg = rc_seg_new(NULL, len);

    for (size_t i = 0; i < len; i++)
        rc_seg_bytes(seg)[i] = (uint8_t)(i % 251);
    rc_outq_push(&s->out, seg);
}

/* Reads what has come of the pattern; false at its end. */
static bool read_pattern(const struct side *s, size_t *at)
{
    uint8_t got[8192];
    ssize_t n;

    while ((n = read(s->peer, got, sizeof(got))) > 0)
        for (ssize_t i = 0; i < n; i++)
            cr_assert_eq(got[i], (*at)++ % 251);
    cr_assert(n == 0 || errno == EAGAIN);
    return n != 0;
}

Test(conn, flush_waits_for_room)
{
    struct side s;
    size_t at = 0;
    int small = 4096;

    set_up(4);
    rc_assert_on_shard(&loop);
    open_side(&s);
    cr_assert_eq(setsockopt(s.c->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    push_pattern(&s, 200000);
    rc_conn_flush(s.c);
    cr_assert(s.c->writing);
    cr_assert_eq(s.drains, 0u);
    say(&s, "both ways");
    while (s.c->writing) {
        (void)read_pattern(&s, &at);
        turns(1);
    }
    (void)read_pattern(&s, &at);
    cr_assert_eq(at, 200000u);
    check_seen(&s, "both ways");
    cr_assert_eq(s.drains, 1u);
    push_pattern(&s, 5); /* that need not wait: no drain is told */
    rc_conn_flush(s.c);
    cr_assert_eq(s.drains, 1u);
    cr_assert_not(s.c->writing);
    close_side(&s);
    tear_down();
}

/* The caller has flushed by itself and met a full socket. */
Test(conn, want_write)
{
    struct side s;
    size_t at = 0;
    int small = 4096, rc;

    set_up(4);
    rc_assert_on_shard(&loop);
    open_side(&s);
    cr_assert_eq(setsockopt(s.c->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    push_pattern(&s, 100000);
    rc = rc_outq_flush(&s.out, s.c->fd, NULL);
    cr_assert_eq(rc, RC_EAGAIN);
    rc_conn_pause(s.c); /* writing does not depend on reading */
    rc_conn_want_write(s.c);
    while (s.c->writing) {
        (void)read_pattern(&s, &at);
        turns(1);
    }
    (void)read_pattern(&s, &at);
    cr_assert_eq(at, 100000u);
    cr_assert_not(s.c->reading);
    close_side(&s);
    tear_down();
}

/* ---- the end of ours ---- */

/* Everything is written, then FIN; what the peer still says is read and dropped; its FIN ends
 * the connection with the reason of finish. */
Test(conn, finish_lingers)
{
    struct side s;
    size_t at = 0;
    int small = 4096;

    set_up(4);
    rc_assert_on_shard(&loop);
    open_side(&s);
    s.take_max = 1;
    say(&s, "xx");
    turns(1);
    cr_assert_eq(s.c->left_len, 1u);
    cr_assert_eq(setsockopt(s.c->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    push_pattern(&s, 100000);
    rc_conn_finish(s.c, RC_CLOSE_BAD_REQUEST);
    rc_conn_finish(s.c, RC_CLOSE_DONE); /* the first one counts */
    cr_assert_eq(s.c->left_len, 0u);
    say(&s, "too late");
    while (read_pattern(&s, &at))
        turns(1);
    cr_assert_eq(at, 100000u);
    cr_assert_eq(s.closes, 0u);
    cr_assert(s.c->lingering);
    say(&s, "much too late");
    turns(2);
    cr_assert_eq(waiting_bytes(s.c), 0);
    cr_assert_eq(s.calls, 1u);
    cr_assert_eq(s.drains, 0u);
    rc_conn_pause(s.c); /* no way back */
    rc_conn_resume(s.c);
    cr_assert_eq(shutdown(s.peer, SHUT_WR), 0);
    turns(1);
    cr_assert_eq(s.closes, 1u);
    cr_assert_eq(s.eofs, 0u);
    cr_assert_eq(s.reason, RC_CLOSE_BAD_REQUEST);
    (void)close(s.peer);
    tear_down();
}

Test(conn, finish_within_data)
{
    struct side s;

    set_up(4);
    rc_assert_on_shard(&loop);
    open_side(&s);
    s.take_max = 1;
    s.finish_in_data = true;
    say(&s, "abc");
    turns(2);
    check_seen(&s, "a");
    cr_assert_eq(s.c->left_len, 0u);
    cr_assert(s.c->lingering);
    (void)close(s.peer);
    turns(1);
    cr_assert_eq(s.closes, 1u);
    tear_down();
}

RC_ON_SHARD static void turns_for_ms(const struct side *s, uint64_t ms)
{
    uint64_t start = rc_clock_ms();

    while (s->closes == 0 && rc_clock_ms() < start + ms) {
        turns(1);
        (void)usleep(1000);
    }
}

/* A peer that never closes is waited for RC_LINGER_MS after the last byte. */
Test(conn, linger_ends)
{
    struct side s;
    uint64_t start;

    set_up(4);
    rc_assert_on_shard(&loop);
    open_side(&s);
    turns(1);
    start = loop.now_ms;
    rc_conn_finish(s.c, RC_CLOSE_RULE);
    cr_assert_eq(s.c->timer.due_ms, start + RC_LINGER_MS);
    rc_timer_start_in(&loop.q_linger, &s.c->timer, start, 20); /* this test has no 2 s */
    turns_for_ms(&s, 5000);
    cr_assert_eq(s.closes, 1u);
    cr_assert_eq(s.reason, RC_CLOSE_RULE);
    (void)close(s.peer);
    tear_down();
}

/* A peer that takes nothing is waited for RC_STALL_MS; each byte that it takes buys as much. */
Test(conn, stall_ends)
{
    struct side s;
    size_t at = 0;
    uint64_t start, due;
    int small = 4096;

    set_up(4);
    rc_assert_on_shard(&loop);
    open_side(&s);
    cr_assert_eq(setsockopt(s.c->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    push_pattern(&s, 300000);
    turns(1);
    start = loop.now_ms;
    rc_conn_finish(s.c, RC_CLOSE_DONE);
    due = s.c->timer.due_ms;
    cr_assert_eq(due, start + RC_STALL_MS);
    (void)usleep(3000);
    (void)read_pattern(&s, &at);
    turns(1);
    cr_assert_gt(s.c->timer.due_ms, due);
    rc_timer_start_in(&loop.q_stall, &s.c->timer, loop.now_ms, 20);
    turns_for_ms(&s, 5000);
    cr_assert_eq(s.closes, 1u);
    cr_assert_eq(s.reason, RC_CLOSE_LINGER_TIMEOUT);
    (void)close(s.peer);
    tear_down();
}

Test(conn, close_within_data)
{
    struct side s;

    set_up(4);
    rc_assert_on_shard(&loop);
    open_side(&s);
    s.close_in_data = true;
    say(&s, "abc");
    turns(1);
    cr_assert_eq(s.closes, 1u);
    cr_assert_eq(s.reason, RC_CLOSE_RULE);
    cr_assert_eq(s.fd_in_close, -1);
    (void)close(s.peer);
    tear_down();
}

/* Closed, the struct can be read until the end of the turn, and is not given out before. */
Test(conn, buried_at_the_end_of_the_turn)
{
    static const struct rc_addr nobody;
    struct side s, s2;
    int fd[2];

    set_up(1);
    rc_assert_on_shard(&loop);
    open_side(&s);
    rc_timer_start_in(&loop.q_linger, &s.c->timer, loop.now_ms, 3600000);
    rc_conn_close(s.c, RC_CLOSE_IDLE);
    rc_conn_close(s.c, RC_CLOSE_DONE);
    cr_assert_eq(s.closes, 1u);
    cr_assert_eq(s.reason, RC_CLOSE_IDLE);
    cr_assert_not(rc_conn_open(s.c));
    cr_assert_eq(s.c->user, &s);
    cr_assert_not(rc_timer_running(&s.c->timer));
    rc_conn_flush(s.c); /* all of these do nothing any more */
    rc_conn_pause(s.c);
    rc_conn_resume(s.c);
    rc_conn_poll(s.c);
    rc_conn_later(s.c);
    rc_conn_finish(s.c, RC_CLOSE_DONE);
    cr_assert_eq(s.closes, 1u);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    cr_assert_null(rc_conn_new(&loop, fd[0], &nobody, &ops, &s)); /* full: fd is closed */
    cr_assert(fcntl(fd[0], F_GETFD) < 0 && errno == EBADF);
    (void)close(fd[1]);
    turns(1);
    open_side(&s2);
    cr_assert_eq(s2.c->left_len, 0u);
    cr_assert_not(s2.c->finishing || s2.c->eof || s2.c->lingering || s2.c->broken);
    close_side(&s2);
    (void)close(s.peer);
    tear_down();
}

/* The fd lives on elsewhere. */
Test(conn, release)
{
    struct side s;
    char got[4];
    int fd;

    set_up(4);
    rc_assert_on_shard(&loop);
    open_side(&s);
    s.take_max = 1;
    say(&s, "ab");
    turns(1);
    fd = rc_conn_release(s.c, RC_CLOSE_MOVED);
    cr_assert_eq(s.closes, 1u);
    cr_assert_eq(s.reason, RC_CLOSE_MOVED);
    cr_assert_eq(s.fd_in_close, -1);
    cr_assert_not(rc_conn_open(s.c));
    say(&s, "c");
    turns(2);
    cr_assert_eq(s.calls, 1u);
    cr_assert_eq(read(fd, got, sizeof(got)), 1);
    cr_assert_eq(got[0], 'c');
    cr_assert_eq(write(fd, "d", 1), 1);
    cr_assert_eq(read(s.peer, got, sizeof(got)), 1);
    (void)close(fd);
    (void)close(s.peer);
    tear_down();
}

/* ---- several ---- */

/* One connection is read within the on_data of another, three deep: each sees its own bytes. */
Test(conn, read_within_data_of_another)
{
    static struct side s[3];

    set_up(4);
    rc_assert_on_shard(&loop);
    for (int i = 0; i < 3; i++) {
        open_side(&s[i]);
        s[i].lines = true;
    }
    s[0].read_too = &s[1];
    s[1].read_too = &s[2];
    say(&s[1], "begun "); /* it has a left-over of its own */
    turns(1);
    say(&s[0], "outer\nouter rest");
    say(&s[1], "middle\nmiddle rest");
    say(&s[2], "inner\ninner rest");
    rc_conn_poll(s[0].c);
    check_seen(&s[0], "outer\n");
    check_seen(&s[1], "begun middle\n");
    check_seen(&s[2], "inner\n");
    cr_assert_eq(loop.nesting, 0u);
    turns(2);
    s[0].read_too = s[1].read_too = NULL;
    for (int i = 0; i < 3; i++) {
        say(&s[i], "\n");
        turns(1);
    }
    check_seen(&s[0], "outer\nouter rest\n");
    check_seen(&s[1], "begun middle\nmiddle rest\n");
    check_seen(&s[2], "inner\ninner rest\n");
    for (int i = 0; i < 3; i++)
        close_side(&s[i]);
    tear_down();
}

/* A connection that an earlier callback of the turn has closed gets no event any more. */
Test(conn, closed_by_another_in_the_same_turn)
{
    static struct side s[2];

    set_up(4);
    rc_assert_on_shard(&loop);
    for (int i = 0; i < 2; i++) {
        open_side(&s[i]);
        say(&s[i], "x");
    }
    s[0].read_too = &s[1];
    s[1].read_too = &s[0];
    s[0].close_in_data = s[1].close_in_data = true;
    turns(1);
    cr_assert_eq(s[0].closes, 1u);
    cr_assert_eq(s[1].closes, 1u);
    cr_assert_eq(s[0].calls + s[1].calls, 2u);
    turns(1);
    (void)close(s[0].peer);
    (void)close(s[1].peer);
    tear_down();
}

/* ---- texts ---- */

Test(conn, reasons_have_names)
{
    for (int i = 0; i < RC_CLOSE_COUNT; i++) {
        cr_assert_gt(strlen(rc_close_text((enum rc_close)i)), 2u);
        for (int k = 0; k < i; k++)
            cr_assert(strcmp(rc_close_text((enum rc_close)i), rc_close_text((enum rc_close)k)));
    }
    cr_assert_str_eq(rc_close_text(RC_CLOSE_COUNT), "unknown");
    cr_assert_str_eq(rc_close_text(RC_CLOSE_PING_TIMEOUT), "ping_timeout");
}

Test(conn, addresses)
{
    char buf[RC_ADDR_TEXT];
    struct rc_addr v4 = {.ip = {127, 0, 0, 1}, .port = 5123, .family = AF_INET};
    struct rc_addr v6 = {.ip = {[15] = 1}, .port = 65535, .family = AF_INET6}, local = {0};

    cr_assert_str_eq(rc_addr_text(&v4, buf), "127.0.0.1:5123");
    cr_assert_str_eq(rc_addr_text(&v6, buf), "[::1]:65535");
    memset(v6.ip, 0xfe, 16);
    cr_assert_str_eq(rc_addr_text(&v6, buf), "[fefe:fefe:fefe:fefe:fefe:fefe:fefe:fefe]:65535");
    cr_assert_str_eq(rc_addr_text(&local, buf), "unix");
}

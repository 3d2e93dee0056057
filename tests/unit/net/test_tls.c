#include "rc/net/tls.h"
#include "tls_files.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROUNDS = 100000 }; /* turns of both sides until something must have happened */

/* ---- both sides ---- */

struct side {
    struct rc_conn *c;
    int peer; /* the client's descriptor */
    int why;  /* ERR_GET_REASON() of the client's handshake */
    SSL *ssl; /* the client */
    SSL_CTX *ctx;
    struct rc_outq out;
    uint8_t *seen; /* what on_data got */
    size_t nseen;
    unsigned eofs, closes, secured, drains;
    enum rc_close reason;
    bool resumed;
    bool pause; /* after the first data */
    bool move;  /* in on_data: gives its TLS and descriptor to another connection */
    struct side *to;
};

static struct rc_loop loop;
static int idle_pipe[2];
static struct event *idle;
static const struct rc_addr nobody;

static void adopt(struct side *s, int fd, struct rc_tls *t) RC_ON_SHARD;

static size_t on_data(struct rc_conn *c, uint8_t *data, size_t len)
{
    struct side *s = c->user;

    rc_assert_on_shard(&loop);
    cr_assert_eq(s->c, c);
    if (s->move) {
        struct rc_tls *t = rc_conn_take_tls(c);

        cr_assert_not_null(t);
        rc_tls_keep(t, data, len);
        adopt(s->to, rc_conn_release(c, RC_CLOSE_MOVED), t);
        return 0;
    }
    if (s->pause && c->reading) {
        rc_conn_pause(c);
        return 0;
    }
    s->seen = realloc(s->seen, s->nseen + len);
    memcpy(s->seen + s->nseen, data, len);
    s->nseen += len;
    return len;
}

static void on_eof(struct rc_conn *c)
{
    ((struct side *)c->user)->eofs++;
}

static void on_secure(struct rc_conn *c, const struct rc_tls *t)
{
    struct side *s = c->user;

    s->secured++;
    s->resumed = rc_tls_resumed(t);
}

static void on_drain(struct rc_conn *c)
{
    ((struct side *)c->user)->drains++;
}

static void on_close(struct rc_conn *c, enum rc_close reason)
{
    struct side *s = c->user;

    s->closes++;
    s->reason = reason;
    rc_outq_clear(&s->out);
}

static const struct rc_conn_ops ops = {.on_data = on_data,
                                       .on_eof = on_eof,
                                       .on_secure = on_secure,
                                       .on_drain = on_drain,
                                       .on_close = on_close};

static void no_hook(void *arg)
{
    (void)arg;
}

RC_ON_SHARD static void turn(void)
{
    cr_assert(rc_loop_turn(&loop, false, no_hook, NULL));
}

static void on_idle(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

static void set_up(void) RC_TSA(assert_capability(rc_role_shard))
{
    rc_thread_enter("test", &loop);
    rc_assert_on_shard(&loop);
    tls_files_begin();
    cr_assert_eq(rc_loop_init(&loop, &loop, 16), RC_OK);
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
    tls_files_end();
}

RC_ON_SHARD static void adopt(struct side *s, int fd, struct rc_tls *t)
{
    size_t len;
    uint8_t *kept = rc_tls_take_kept(t, &len);

    s->c = rc_conn_new(&loop, fd, &nobody, &ops, s);
    cr_assert_not_null(s->c);
    s->c->out = &s->out;
    rc_conn_secure(s->c, t);
    if (kept != NULL)
        rc_conn_feed(s->c, kept, len);
    free(kept);
}

RC_ON_SHARD static void open_side(struct side *s, struct rc_tls_set *set)
{
    int fd[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    *s = (struct side){.peer = fd[1]};
    adopt(s, fd[0], rc_tls_new(set));
    s->ctx = SSL_CTX_new(TLS_client_method());
    s->ssl = SSL_new(s->ctx);
    cr_assert_eq(SSL_set_fd(s->ssl, fd[1]), 1);
    SSL_set_connect_state(s->ssl);
}

RC_ON_SHARD static void close_side(struct side *s)
{
    rc_conn_close(s->c, RC_CLOSE_DONE);
    SSL_free(s->ssl);
    SSL_CTX_free(s->ctx);
    (void)close(s->peer);
    free(s->seen);
    turn();
}

/* Until the client is through, or has failed: what SSL_get_error() says. */
RC_ON_SHARD static int shake_hands(struct side *s)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        int rc, err;

        ERR_clear_error();
        rc = SSL_do_handshake(s->ssl);
        err = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(s->ssl, rc);
        s->why = ERR_GET_REASON(ERR_peek_error());
        turn();
        if (rc == 1 && s->secured == 0 && s->closes == 0)
            continue;
        if (err != SSL_ERROR_WANT_READ && err != SSL_ERROR_WANT_WRITE)
            return err;
    }
    return -1;
}

/* Reads n bytes, or until the end. *records: how many reads that took, which are records. */
RC_ON_SHARD static size_t client_read(struct side *s, uint8_t *to, size_t n, unsigned *records)
{
    size_t got = 0;

    for (unsigned i = 0; got < n && i < ROUNDS; i++) {
        int rc = SSL_read(s->ssl, to + got, (int)(n - got));

        if (rc > 0) {
            got += (size_t)rc;
            *records += 1;
        } else if (SSL_get_error(s->ssl, rc) != SSL_ERROR_WANT_READ) {
            break;
        }
        turn();
    }
    return got;
}

RC_ON_SHARD static void client_write(struct side *s, const void *data, size_t len)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        int rc = SSL_write(s->ssl, data, (int)len);

        turn();
        if (rc > 0)
            return;
    }
    cr_assert_fail("the client cannot write");
}

RC_ON_SHARD static void wait_seen(struct side *s, size_t n)
{
    for (unsigned i = 0; i < ROUNDS && s->nseen < n; i++)
        turn();
    cr_assert_eq(s->nseen, n);
}

/* The client ends its side, and so does the connection. */
RC_ON_SHARD static void hang_up(struct side *s)
{
    (void)shutdown(s->peer, SHUT_WR);
    for (unsigned i = 0; i < ROUNDS && s->closes == 0; i++)
        turn();
    cr_assert_eq(s->closes, 1u);
}

static struct rc_seg *pattern(size_t from, size_t len)
{
    struct rc_seg *seg = rc_seg_new(NULL, len);

    for (size_t i = 0; i < len; i++)
        rc_seg_bytes(seg)[i] = (uint8_t)((from + i) * 31 >> 3);
    return seg;
}

static void check_pattern(const uint8_t *data, size_t from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (data[i] != (uint8_t)((from + i) * 31 >> 3))
            cr_assert_fail("byte %zu is wrong", from + i);
}

/* ---- connections ---- */

Test(tls, both_ways)
{
    static const int version[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    uint8_t data[64];
    char text[RC_TLS_TEXT];
    unsigned records = 0;
    struct rc_tls_set *set;
    struct side s;

    set_up();
    rc_assert_on_shard(&loop);
    set = tls_good_set();
    for (unsigned i = 0; i < 2; i++) {
        open_side(&s, set);
        (void)SSL_set_max_proto_version(s.ssl, version[i]);
        cr_assert_eq(shake_hands(&s), SSL_ERROR_NONE);
        cr_assert_eq(s.secured, 1u);
        cr_assert_not(s.resumed);
        cr_assert_eq(SSL_version(s.ssl), version[i]);
        rc_tls_text(loop.tls[s.c->hdr.slot], text);
        cr_assert_not_null(strstr(text, version[i] == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2"));
        client_write(&s, "hello", 5);
        wait_seen(&s, 5);
        cr_assert_arr_eq(s.seen, "hello", 5);
        rc_outq_push(&s.out, rc_seg_new("world", 5));
        rc_conn_flush(s.c);
        cr_assert(rc_outq_empty(&s.out));
        cr_assert_eq(client_read(&s, data, 5, &records), 5u);
        cr_assert_arr_eq(data, "world", 5);
        close_side(&s);
    }
    rc_tls_set_unref(set);
    tear_down();
}

static void settle(struct rc_conn *c)
{
    rc_assert_on_shard(&loop);
    c->since_s = (uint16_t)(c->since_s - RC_SETTLED_S);
    rc_conn_settle(c);
    cr_assert(!c->aside);
}

/* What comes on one connection is for another, whose peer has gone, and whose own event is behind in that turn. */
static size_t pass_on(struct rc_conn *c, uint8_t *data, size_t len)
{
    struct side *to = c->user;

    rc_assert_on_shard(&loop);
    rc_outq_push(&to->out, rc_seg_new(data, len));
    rc_conn_flush(to->c);
    return len;
}

static void on_source_close(struct rc_conn *c, enum rc_close reason)
{
    (void)c;
    (void)reason;
}

Test(tls, a_failed_write_before_its_own_event)
{
    static const struct rc_conn_ops source_ops = {.on_data = pass_on,
                                                  .on_close = on_source_close};
    struct rc_tls_set *set;
    struct rc_conn *source;
    struct side s;
    int fd[2];

    set_up();
    rc_assert_on_shard(&loop);
    set = tls_good_set();
    open_side(&s, set);
    cr_assert_eq(shake_hands(&s), SSL_ERROR_NONE);
    client_write(&s, "hello", 5);
    wait_seen(&s, 5);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    source = rc_conn_new(&loop, fd[0], &nobody, &source_ops, &s);
    cr_assert_not_null(source);
    settle(s.c);
    settle(source);
    turn();
    cr_assert_eq(write(fd[1], "world", 5), 5);
    (void)close(s.peer);
    turn();
    turn();
    cr_assert_eq(s.closes, 1u);
    s.peer = -1;
    close_side(&s);
    rc_conn_close(source, RC_CLOSE_DONE);
    (void)close(fd[1]);
    rc_tls_set_unref(set);
    tear_down();
}

/* The client's bytes come one at a time, those of the handshake, too. */
Test(tls, byte_by_byte)
{
    struct rc_tls_set *set;
    struct side s;
    BIO *in, *out;
    char c;

    set_up();
    rc_assert_on_shard(&loop);
    set = tls_good_set();
    open_side(&s, set);
    in = BIO_new(BIO_s_mem());
    out = BIO_new(BIO_s_mem());
    SSL_set_bio(s.ssl, in, out);
    for (unsigned i = 0; i < ROUNDS && s.nseen == 0; i++) {
        char from[512];
        ssize_t n;

        if (SSL_is_init_finished(s.ssl) && SSL_get_app_data(s.ssl) == NULL) {
            cr_assert_eq(SSL_write(s.ssl, "a", 1), 1);
            (void)SSL_set_app_data(s.ssl, &s);
        } else {
            (void)SSL_do_handshake(s.ssl);
        }
        while (BIO_read(out, &c, 1) == 1) {
            cr_assert_eq(write(s.peer, &c, 1), 1);
            turn();
        }
        n = read(s.peer, from, sizeof(from));
        if (n > 0)
            cr_assert_eq(BIO_write(in, from, (int)n), (int)n);
    }
    cr_assert_eq(s.nseen, 1u);
    cr_assert_eq(s.seen[0], 'a');
    close_side(&s);
    rc_tls_set_unref(set);
    tear_down();
}

/* Bytes behind the handshake's last ones, in the same packet: no event tells of them. */
Test(tls, early_words)
{
    struct rc_tls_set *set;
    struct side s;

    set_up();
    rc_assert_on_shard(&loop);
    set = tls_good_set();
    open_side(&s, set);
    while (!SSL_is_init_finished(s.ssl)) {
        (void)SSL_do_handshake(s.ssl);
        if (!SSL_is_init_finished(s.ssl))
            turn();
    }
    cr_assert_eq(s.secured, 0u); /* it has not read the client's last words */
    cr_assert_eq(SSL_write(s.ssl, "at once", 7), 7);
    wait_seen(&s, 7);
    cr_assert_eq(s.secured, 1u);
    close_side(&s);
    rc_tls_set_unref(set);
    tear_down();
}

Test(tls, small_segments_share_records)
{
    static uint8_t data[65536];
    unsigned records = 0;
    struct rc_tls_set *set;
    struct side s;

    set_up();
    rc_assert_on_shard(&loop);
    set = tls_good_set();
    open_side(&s, set);
    cr_assert_eq(shake_hands(&s), SSL_ERROR_NONE);
    for (size_t i = 0; i < 200; i++)
        rc_outq_push(&s.out, pattern(i * 10, 10));
    rc_conn_flush(s.c);
    cr_assert_eq(client_read(&s, data, 2000, &records), 2000u);
    check_pattern(data, 0, 2000);
    cr_assert_eq(records, 1u);
    /* 16384 + 16384 + 7332: the long one goes from where it is, its end with what follows. */
    records = 0;
    rc_outq_push(&s.out, pattern(0, 100));
    rc_outq_push(&s.out, pattern(100, 30000));
    rc_outq_push(&s.out, pattern(30100, 10000));
    rc_conn_flush(s.c);
    cr_assert_eq(client_read(&s, data, 40100, &records), 40100u);
    check_pattern(data, 0, 40100);
    cr_assert_eq(records, 3u);
    close_side(&s);
    rc_tls_set_unref(set);
    tear_down();
}

/* The socket is full in the middle of a record; more is queued meanwhile, in front of nothing. */
Test(tls, full_socket)
{
    static uint8_t data[1 << 20];
    size_t pushed = 0, got = 0;
    struct rc_tls_set *set;
    unsigned records = 0;
    struct side s;

    set_up();
    rc_assert_on_shard(&loop);
    set = tls_good_set();
    open_side(&s, set);
    cr_assert_eq(shake_hands(&s), SSL_ERROR_NONE);
    while (!s.c->writing) {
        rc_outq_push(&s.out, pattern(pushed, 3001));
        pushed += 3001;
        rc_conn_flush(s.c);
    }
    cr_assert_not(rc_outq_empty(&s.out));
    for (size_t i = 0; i < 400; i++, pushed += i % 7 * 100 + 1)
        rc_outq_push(&s.out, pattern(pushed, (i + 1) % 7 * 100 + 1));
    cr_assert_lt(pushed, sizeof(data));
    rc_conn_flush(s.c); /* as if somebody did not know that it has to wait */
    while (got < pushed) {
        size_t n = client_read(&s, data, pushed - got < 1000 ? pushed - got : 1000, &records);

        cr_assert_neq(n, 0u);
        check_pattern(data, got, n);
        got += n;
    }
    cr_assert(rc_outq_empty(&s.out));
    cr_assert_eq(s.drains, 1u);
    cr_assert_not(s.c->writing);
    close_side(&s);
    rc_tls_set_unref(set);
    tear_down();
}

/* The client asks for new keys while the answer to that cannot be sent: reading waits for writing. */
Test(tls, read_waits_for_write)
{
    static uint8_t data[1 << 20];
    size_t pushed = 0, got;
    struct rc_tls_set *set;
    unsigned records = 0;
    struct side s;

    set_up();
    rc_assert_on_shard(&loop);
    set = tls_good_set();
    open_side(&s, set);
    cr_assert_eq(shake_hands(&s), SSL_ERROR_NONE);
    while (!s.c->writing) {
        rc_outq_push(&s.out, pattern(pushed, 5000));
        pushed += 5000;
        rc_conn_flush(s.c);
    }
    cr_assert_eq(SSL_key_update(s.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    cr_assert_eq(SSL_write(s.ssl, "and", 3), 3);
    for (unsigned i = 0; i < 10; i++)
        turn();
    got = client_read(&s, data, pushed, &records);
    cr_assert_eq(got, pushed);
    check_pattern(data, 0, pushed);
    wait_seen(&s, 3);
    cr_assert_eq(s.closes, 0u);
    rc_outq_push(&s.out, rc_seg_new("on", 2));
    rc_conn_flush(s.c);
    cr_assert_eq(client_read(&s, data, 2, &records), 2u);
    cr_assert_arr_eq(data, "on", 2);
    close_side(&s);
    rc_tls_set_unref(set);
    tear_down();
}

Test(tls, much_at_once)
{
    enum { LEN = 300000 };
    static uint8_t data[LEN];
    struct rc_tls_set *set;
    size_t sent = 0;
    struct side s;

    set_up();
    rc_assert_on_shard(&loop);
    set = tls_good_set();
    open_side(&s, set);
    SSL_set_mode(s.ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    cr_assert_eq(shake_hands(&s), SSL_ERROR_NONE);
    for (size_t i = 0; i < LEN; i++)
        data[i] = (uint8_t)(i * 31 >> 3);
    for (unsigned i = 0; i < ROUNDS && s.nseen < LEN; i++) {
        int rc = sent < LEN ? SSL_write(s.ssl, data + sent, (int)(LEN - sent)) : 0;

        if (rc > 0)
            sent += (size_t)rc;
        else
            turn();
    }
    cr_assert_eq(s.nseen, (size_t)LEN);
    check_pattern(s.seen, 0, LEN);
    close_side(&s);
    rc_tls_set_unref(set);
    tear_down();
}

Test(tls, ends)
{
    struct rc_tls_set *set;
    struct side s;
    char c;

    set_up();
    rc_assert_on_shard(&loop);
    set = tls_good_set();
    /* Ours, in order: close_notify comes behind the last bytes. */
    open_side(&s, set);
    cr_assert_eq(shake_hands(&s), SSL_ERROR_NONE);
    rc_outq_push(&s.out, rc_seg_new("!", 1));
    rc_conn_finish(s.c, RC_CLOSE_DONE);
    cr_assert_eq(SSL_read(s.ssl, &c, 1), 1);
    cr_assert_eq(SSL_get_error(s.ssl, SSL_read(s.ssl, &c, 1)), SSL_ERROR_ZERO_RETURN);
    (void)SSL_shutdown(s.ssl);
    hang_up(&s);
    cr_assert_eq(s.reason, RC_CLOSE_DONE);
    close_side(&s);
    /* Ours, at once. */
    open_side(&s, set);
    cr_assert_eq(shake_hands(&s), SSL_ERROR_NONE);
    rc_conn_close(s.c, RC_CLOSE_RULE);
    cr_assert_eq(SSL_get_error(s.ssl, SSL_read(s.ssl, &c, 1)), SSL_ERROR_ZERO_RETURN);
    close_side(&s);
    /* The client's, behind bytes that are not used up yet. */
    open_side(&s, set);
    cr_assert_eq(shake_hands(&s), SSL_ERROR_NONE);
    s.pause = true;
    cr_assert_eq(SSL_write(s.ssl, "bye", 3), 3);
    (void)SSL_shutdown(s.ssl);
    turn();
    cr_assert_eq(s.c->left_len, 3u);
    turn();
    cr_assert_eq(s.eofs, 0u);
    s.pause = false;
    rc_conn_resume(s.c);
    cr_assert_eq(s.nseen, 3u);
    for (unsigned i = 0; i < 10 && s.eofs == 0; i++)
        turn();
    cr_assert_eq(s.eofs, 1u);
    close_side(&s);
    /* The client's, without a word. */
    open_side(&s, set);
    cr_assert_eq(shake_hands(&s), SSL_ERROR_NONE);
    (void)shutdown(s.peer, SHUT_WR);
    turn();
    cr_assert_eq(s.eofs, 1u);
    close_side(&s);
    /* In the middle of the handshake. */
    open_side(&s, set);
    (void)SSL_do_handshake(s.ssl);
    turn();
    (void)shutdown(s.peer, SHUT_RDWR);
    turn();
    cr_assert_eq(s.closes, 1u);
    cr_assert_eq(s.reason, RC_CLOSE_PEER);
    close_side(&s);
    rc_tls_set_unref(set);
    tear_down();
}

Test(tls, broken_records)
{
    struct rc_tls_set *set;
    struct side s;

    set_up();
    rc_assert_on_shard(&loop);
    set = tls_good_set();
    open_side(&s, set);
    cr_assert_eq(shake_hands(&s), SSL_ERROR_NONE);
    cr_assert_eq(write(s.peer, "\x17\x03\x03\x00\x14 twenty bytes of lies", 25), 25);
    turn();
    cr_assert_eq(s.closes, 1u);
    cr_assert_eq(s.reason, RC_CLOSE_TLS_PROTOCOL);
    cr_assert_eq(s.nseen, 0u);
    close_side(&s);
    rc_tls_set_unref(set);
    tear_down();
}

Test(tls, no_renegotiation)
{
    struct rc_tls_set *set;
    struct side s;

    set_up();
    rc_assert_on_shard(&loop);
    set = tls_good_set();
    open_side(&s, set);
    (void)SSL_set_max_proto_version(s.ssl, TLS1_2_VERSION);
    cr_assert_eq(shake_hands(&s), SSL_ERROR_NONE);
    cr_assert_eq(SSL_renegotiate(s.ssl), 1);
    cr_assert_eq(shake_hands(&s), SSL_ERROR_SSL);
    cr_assert_eq(s.why, SSL_R_NO_RENEGOTIATION);
    cr_assert_eq(s.secured, 1u);
    close_side(&s);
    rc_tls_set_unref(set);
    tear_down();
}

Test(tls, plain_http)
{
    static const char ask[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    struct rc_tls_set *set;
    char answer[512];
    struct side s;
    ssize_t n;

    set_up();
    rc_assert_on_shard(&loop);
    set = tls_good_set();
    open_side(&s, set);
    cr_assert_eq(write(s.peer, ask, sizeof(ask) - 1), (ssize_t)sizeof(ask) - 1);
    turn();
    n = read(s.peer, answer, sizeof(answer) - 1);
    cr_assert_gt(n, 0);
    answer[n] = '\0';
    cr_assert_eq(strncmp(answer, "HTTP/1.1 400 ", 13), 0);
    cr_assert_not_null(strstr(answer, "\r\n\r\nThis port speaks TLS: use https://"));
    hang_up(&s);
    cr_assert_eq(s.reason, RC_CLOSE_TLS_PLAIN);
    close_side(&s);
    rc_tls_set_unref(set);
    tear_down();
}

/* Why a handshake failed has names of its own. */
Test(tls, failed_handshakes)
{
    struct rc_tls_conf conf = {.min = RC_TLSMIN_13};
    struct rc_tls_set *set, *strict, *narrow;
    struct tls_said said;
    struct side s;

    set_up();
    rc_assert_on_shard(&loop);
    set = tls_good_set();
    conf.client_ca = tls_path("good", ".pem");
    conf.client_auth = RC_CLIENTAUTH_REQUIRED;
    strict = tls_load(conf, "good", "good", &said);
    cr_assert_not_null(strict, "%s", said.text);
    conf = (struct rc_tls_conf){.ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384"};
    narrow = tls_load(conf, "good", "good", &said);
    cr_assert_not_null(narrow, "%s", said.text);

#define FAILS(with, client, why)                                    \
    do {                                                            \
        open_side(&s, with);                                        \
        cr_assert((client) == 1);                                   \
        (void)shake_hands(&s);                                      \
        hang_up(&s);                                                \
        cr_assert_eq(s.reason, why, "%s", rc_close_text(s.reason)); \
        cr_assert_eq(s.secured, 0u);                                \
        close_side(&s);                                             \
    } while (0)
    FAILS(strict, SSL_set_max_proto_version(s.ssl, TLS1_2_VERSION), RC_CLOSE_TLS_VERSION);
    FAILS(narrow,
          SSL_set_max_proto_version(s.ssl, TLS1_2_VERSION) == 1 &&
              SSL_set_cipher_list(s.ssl, "ECDHE-ECDSA-AES128-GCM-SHA256") == 1,
          RC_CLOSE_TLS_CIPHER);
    FAILS(set, SSL_set_alpn_protos(s.ssl, (const unsigned char *)"\x02h2", 3) == 0,
          RC_CLOSE_TLS_ALPN);
    FAILS(strict, 1, RC_CLOSE_TLS_CLIENT);
    FAILS(set, (SSL_set_verify(s.ssl, SSL_VERIFY_PEER, NULL), 1), RC_CLOSE_TLS_REFUSED);
    FAILS(set, write(s.peer, "\x16\x03\x01\x00\x02hm", 7) == 7, RC_CLOSE_TLS_PROTOCOL);
#undef FAILS
    rc_tls_set_unref(set);
    rc_tls_set_unref(strict);
    rc_tls_set_unref(narrow);
    tear_down();
}

Test(tls, client_certificates)
{
    struct rc_tls_conf conf = {.client_auth = RC_CLIENTAUTH_OPTIONAL};
    struct rc_tls_set *set;
    struct tls_said said;
    struct side s;

    set_up();
    rc_assert_on_shard(&loop);
    tls_make_pair("good", NULL, 30, NULL);
    tls_make_pair("client", NULL, 30, NULL);
    tls_make_pair("other", NULL, 30, NULL);
    conf.client_ca = tls_path("client", ".pem");
    set = tls_load(conf, "good", "good", &said);
    cr_assert_not_null(set, "%s", said.text);
    for (unsigned i = 0; i < 3; i++) {
        const char *const who[] = {NULL, "client", "other"};

        open_side(&s, set);
        if (who[i] != NULL) {
            cr_assert_eq(
                SSL_use_certificate_file(s.ssl, tls_path(who[i], ".pem"), SSL_FILETYPE_PEM), 1);
            cr_assert_eq(
                SSL_use_PrivateKey_file(s.ssl, tls_path(who[i], ".key"), SSL_FILETYPE_PEM), 1);
        }
        (void)shake_hands(&s);
        (void)shutdown(s.peer, SHUT_WR);
        turn();
        cr_assert_eq(s.secured, i < 2 ? 1u : 0u);
        if (i == 2)
            cr_assert_eq(s.reason, RC_CLOSE_TLS_CLIENT, "%s", rc_close_text(s.reason));
        close_side(&s);
    }
    rc_tls_set_unref(set);
    tear_down();
}

/* To another connection, with bytes that were read and half a record that was not. */
Test(tls, moves)
{
    struct rc_tls_set *set;
    struct side a, b = {.peer = -1};
    unsigned records = 0;
    uint8_t data[8];
    BIO *out;
    uint8_t raw[256];
    int n;

    set_up();
    rc_assert_on_shard(&loop);
    set = tls_good_set();
    open_side(&a, set);
    cr_assert_eq(shake_hands(&a), SSL_ERROR_NONE);
    a.move = true;
    a.to = &b;
    out = BIO_new(BIO_s_mem());
    SSL_set0_wbio(a.ssl, out);
    cr_assert_eq(SSL_write(a.ssl, "first", 5), 5);
    cr_assert_eq(SSL_write(a.ssl, "second", 6), 6);
    n = BIO_read(out, raw, sizeof(raw));
    cr_assert_gt(n, 20);
    cr_assert_eq(write(a.peer, raw, (size_t)n - 10), n - 10);
    turn();
    cr_assert_eq(a.closes, 1u);
    cr_assert_eq(a.reason, RC_CLOSE_MOVED);
    cr_assert_eq(b.nseen, 5u);
    cr_assert_eq(write(a.peer, raw + n - 10, 10), 10);
    wait_seen(&b, 11);
    cr_assert_arr_eq(b.seen, "firstsecond", 11);
    rc_outq_push(&b.out, rc_seg_new("third", 5));
    rc_conn_flush(b.c);
    cr_assert_eq(client_read(&a, data, 5, &records), 5u);
    cr_assert_arr_eq(data, "third", 5);
    cr_assert_eq(b.closes, 0u);
    rc_conn_close(b.c, RC_CLOSE_DONE);
    free(b.seen);
    SSL_free(a.ssl);
    SSL_CTX_free(a.ctx);
    (void)close(a.peer);
    free(a.seen);
    turn();
    rc_tls_set_unref(set);
    tear_down();
}

/* ---- sessions ---- */

static SSL_SESSION *ticket; /* the last one that came */

static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(ticket);
    ticket = session;
    return 1;
}

/* A connection that offers the last ticket, if there is one. Was it taken up? */
RC_ON_SHARD static bool resumes(struct rc_tls_set *set, int version)
{
    unsigned records = 0;
    uint8_t byte;
    struct side s;
    bool resumed;

    open_side(&s, set);
    (void)SSL_set_max_proto_version(s.ssl, version);
    SSL_CTX_set_session_cache_mode(s.ctx,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(s.ctx, on_ticket);
    if (ticket != NULL)
        cr_assert_eq(SSL_set_session(s.ssl, ticket), 1);
    cr_assert_eq(shake_hands(&s), SSL_ERROR_NONE);
    rc_outq_push(&s.out, rc_seg_new("!", 1));
    rc_conn_flush(s.c);
    cr_assert_eq(client_read(&s, &byte, 1, &records), 1u);
    cr_assert_eq(SSL_session_reused(s.ssl), s.resumed);
    resumed = s.resumed;
    (void)SSL_shutdown(s.ssl);
    close_side(&s);
    return resumed;
}

Test(tls, sessions)
{
    static const int version[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct rc_tls_conf conf = {.client_auth = RC_CLIENTAUTH_OPTIONAL};
    struct rc_tls_set *set, *same, *other;
    struct rc_tls_side *old;
    struct tls_said said;

    set_up();
    rc_assert_on_shard(&loop);
    set = tls_good_set();
    rc_tls_side_free(loop.tls_side); /* now that there is a seed */
    loop.tls_side = rc_tls_side_new();
    conf.client_ca = tls_path("good", ".pem");
    other = tls_load(conf, "good", "good", &said);
    conf.client_auth = RC_CLIENTAUTH_OFF;
    same = tls_load(conf, "good", "good", &said);
    cr_assert(same != NULL && other != NULL);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t now = rc_clock_ms();

        cr_assert_not(resumes(set, version[i]));
        cr_assert_not_null(ticket);
        cr_assert(resumes(set, version[i]));
        cr_assert(resumes(same, version[i])); /* another listener, or after a reload */
        cr_assert_not(resumes(other, version[i]), "it asks for certificates of clients");
        SSL_SESSION_free(ticket);
        ticket = NULL;
        cr_assert_not(resumes(set, version[i]));
        /* Another shard, whose keys were made of the same seed. */
        old = loop.tls_side;
        loop.tls_side = rc_tls_side_new();
        cr_assert(resumes(set, version[i]));
        /* The keys of the period before are good, those before that are forgotten. */
        rc_tls_side_step(loop.tls_side, now + RC_TLS_KEY_PERIOD_MS);
        cr_assert(resumes(set, version[i]));
        rc_tls_side_step(loop.tls_side, now + 3ull * RC_TLS_KEY_PERIOD_MS);
        cr_assert_not(resumes(set, version[i]));
        rc_tls_side_free(loop.tls_side);
        loop.tls_side = old;
        SSL_SESSION_free(ticket);
        ticket = NULL;
    }
    rc_tls_set_unref(set);
    rc_tls_set_unref(same);
    rc_tls_set_unref(other);
    tear_down();
}

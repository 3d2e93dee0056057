#include "rc/broker/form.h"

#include "rc/base/hash.h"
#include "rc/base/log.h"
#include "rc/broker/room.h"
#include "rc/broker/shard.h"
#include "rc/net/ws.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct rc_seg *make(struct rc_deflater *d, struct rc_seg *frames, unsigned form)
{
    return rc_form_make(&(struct rc_former){.deflater = d}, frames, form);
}

/* ---- one form ---- */

static void put_frame(struct rc_buf *b, enum rc_ws_opcode op, struct rc_str payload)
{
    uint8_t head[RC_WS_HEADER_MAX];

    rc_buf_put(b, head, rc_ws_header(head, op, false, payload.len));
    rc_buf_puts(b, payload);
}

static struct rc_str repeated(char *to, size_t n, const char *pattern)
{
    for (size_t i = 0; i < n; i++)
        to[i] = pattern[i % strlen(pattern)];
    return rc_str_make(to, n);
}

static struct rc_seg *seg_of(struct rc_buf *b)
{
    struct rc_seg *s = rc_seg_new(b->data, b->len);

    rc_buf_deinit(b);
    return s;
}

/* The next frame at *at: its payload as a receiver gets it, in *out. */
static struct rc_ws_frame take_frame(const struct rc_seg *s, size_t *at, struct rc_buf *out)
{
    struct rc_ws_frame f = rc_ws_own_frame(s->data + *at);
    bool rsv1 = (s->data[*at] & 0x40) != 0;
    struct rc_inflater *z = rc_inflater_new(15);

    cr_assert_eq(s->data[*at] & 0xb0, 0x80);
    rc_buf_reset(out);
    out->max = 1 << 20;
    if (rsv1) {
        cr_assert_eq(rc_inflater_feed(z, f.payload.p, f.payload.len, out), RC_OK);
        cr_assert_eq(rc_inflater_end(z, out), RC_OK);
    } else {
        rc_buf_puts(out, f.payload);
    }
    rc_inflater_free(z);
    *at += f.size;
    return f;
}

/* What a json client gets of a packet with an attachment, a packet without, and a ping. */
Test(form, json)
{
    static const struct rc_str event = {"u", 1};
    static const struct rc_plain_untyped untyped = {.nsp = {"/", 1}, .event = &event, .n = 1};
    static const char *const typed[] = {"{\"type\":\"a\",\"x\":{\"_base64\":\"aGVsbG8=\"}}",
                                        "{\"type\":\"u\",\"y\":1}"};
    static const char *const bare[] = {"{\"type\":\"a\",\"x\":{\"_base64\":\"aGVsbG8=\"}}",
                                       "{\"y\":1}"};
    struct rc_deflater *d = rc_deflater_new(6, 10);
    const struct rc_former former = {.deflater = d, .untyped = &untyped, .nuntyped = 1};
    static const unsigned windows[] = {0, RC_DEFLATE_FULL};
    struct rc_buf b = RC_BUF_INIT, out = RC_BUF_INIT;
    struct rc_seg *s, *t;

    put_frame(&b, RC_WS_TEXT, RC_STR("451-[\"a\",{\"x\":{\"_placeholder\":true,\"num\":0}}]"));
    put_frame(&b, RC_WS_BINARY, RC_STR("hello"));
    put_frame(&b, RC_WS_PING, RC_STR(""));
    put_frame(&b, RC_WS_TEXT, RC_STR("42[\"u\",{\"y\":1}]"));
    s = seg_of(&b);
    for (unsigned i = 0; i < 4; i++) {
        const char *const *expected = i < 2 ? typed : bare;
        size_t at = 0;

        t = rc_form_make(&former, s,
                         (i < 2 ? RC_FORM_JSON : RC_FORM_UNTYPED) +
                             RC_FORM_DEFLATE(windows[i % 2]));
        cr_assert_eq(take_frame(t, &at, &out).opcode, RC_WS_TEXT);
        cr_assert(rc_str_eq(rc_buf_str(&out), rc_str_of(expected[0])));
        cr_assert_eq(take_frame(t, &at, &out).opcode, RC_WS_PING);
        cr_assert_eq(take_frame(t, &at, &out).opcode, RC_WS_TEXT);
        cr_assert(rc_str_eq(rc_buf_str(&out), rc_str_of(expected[1])));
        cr_assert_eq(at, t->len);
        rc_seg_unref(t);
    }
    rc_seg_unref(s);
    rc_buf_deinit(&out);
    rc_deflater_free(d);
}

Test(form, frames_as_they_are)
{
    struct rc_deflater *d = rc_deflater_new(6, 100);
    struct rc_buf b = RC_BUF_INIT;
    char text[2000];
    struct rc_seg *s, *t;

    put_frame(&b, RC_WS_TEXT, repeated(text, sizeof(text), "abcde"));
    s = seg_of(&b);
    t = make(d, s, RC_FORM_FRAMES);
    cr_assert_eq(s, t);
    cr_assert_eq(s->refs, 2u);
    rc_seg_unref(t);
    rc_seg_unref(s);
    rc_deflater_free(d);
}

/* Text above and below the threshold, bytes, what cannot be made shorter, control frames. */
Test(form, deflate)
{
    static const enum rc_ws_opcode ops[] = {RC_WS_TEXT, RC_WS_TEXT, RC_WS_BINARY, RC_WS_BINARY,
                                            RC_WS_PING};
    static const bool compressed[] = {true, false, true, false, false};
    struct rc_deflater *d = rc_deflater_new(6, 100);
    char big[5000], small[99], bytes[70000], noise[256], ping[125];
    struct rc_str payload[5] = {
        repeated(big, sizeof(big), "to be or not to be "), repeated(small, sizeof(small), "x"),
        repeated(bytes, sizeof(bytes), "\x01\x02\x03\xff"), rc_str_make(noise, sizeof(noise)),
        repeated(ping, sizeof(ping), "p")};

    rc_random(noise, sizeof(noise));
    for (unsigned w = RC_DEFLATE_SMALL; w < RC_DEFLATE_WINDOWS; w++) {
        struct rc_buf b = RC_BUF_INIT, out = RC_BUF_INIT;
        struct rc_seg *s, *t;
        size_t at = 0;

        for (unsigned i = 0; i < 5; i++)
            put_frame(&b, ops[i], payload[i]);
        s = seg_of(&b);
        t = make(d, s, RC_FORM_DEFLATE(w));
        cr_assert_neq(s, t);
        cr_assert_eq(s->refs, 1u);
        cr_assert_lt(t->len, s->len / 10);
        for (unsigned i = 0; i < 5; i++) {
            cr_assert_eq((t->data[at] & 0x40) != 0, compressed[i]);
            cr_assert_eq(take_frame(t, &at, &out).opcode, ops[i]);
            cr_assert(rc_str_eq(rc_buf_str(&out), payload[i]));
        }
        cr_assert_eq(at, t->len);
        rc_seg_unref(s);
        rc_seg_unref(t);
        rc_buf_deinit(&out);
    }
    rc_deflater_free(d);
}

/* Nothing in it is worth it: no copy is made. */
Test(form, deflate_of_small_frames)
{
    struct rc_deflater *d = rc_deflater_new(6, 100);
    struct rc_buf b = RC_BUF_INIT;
    struct rc_seg *s, *t;
    char text[99];

    for (unsigned i = 0; i < 10; i++)
        put_frame(&b, RC_WS_TEXT, repeated(text, sizeof(text), "x"));
    s = seg_of(&b);
    t = make(d, s, RC_FORM_DEFLATE(RC_DEFLATE_FULL));
    cr_assert_eq(s, t);
    rc_seg_unref(t);
    rc_seg_unref(s);
    rc_deflater_free(d);
}

Test(form, deflate_of_base64)
{
    struct rc_deflater *d = rc_deflater_new(6, 100);
    struct rc_buf b = RC_BUF_INIT, out = RC_BUF_INIT;
    struct rc_seg *s, *t;
    char bytes[300];
    size_t at = 0;

    put_frame(&b, RC_WS_TEXT, RC_STR("451-[\"e\",{\"_placeholder\":true,\"num\":0}]"));
    put_frame(&b, RC_WS_BINARY, repeated(bytes, sizeof(bytes), "ab"));
    s = seg_of(&b);
    t = make(d, s, RC_FORM_B64 + RC_FORM_DEFLATE(RC_DEFLATE_FULL));
    cr_assert_eq(take_frame(t, &at, &out).opcode, RC_WS_TEXT);
    cr_assert(rc_str_starts(rc_buf_str(&out), RC_STR("451-")));
    cr_assert_eq(t->data[at], 0xc0 | RC_WS_TEXT);
    cr_assert_eq(take_frame(t, &at, &out).opcode, RC_WS_TEXT);
    cr_assert_eq(out.len, 1u + 400u);
    cr_assert(rc_str_starts(rc_buf_str(&out), RC_STR("bYWJhYmFi")));
    cr_assert_eq(at, t->len);
    rc_seg_unref(s);
    rc_seg_unref(t);
    rc_buf_deinit(&out);
    rc_deflater_free(d);
}

/* ---- msgpack ---- */

static void gives(struct rc_buf *frames, unsigned form, struct rc_buf *expected)
{
    struct rc_deflater *d = rc_deflater_new(6, 1000);
    struct rc_seg *s = seg_of(frames), *t = make(d, s, form);

    cr_assert_eq(t->len, expected->len);
    cr_assert_arr_eq(t->data, expected->data, expected->len);
    rc_seg_unref(t);
    rc_seg_unref(s);
    rc_buf_deinit(expected);
    rc_deflater_free(d);
}

/* Packets with attachments and without, and what is none, as a batch has them. */
static void put_batch(struct rc_buf *b)
{
    put_frame(b, RC_WS_TEXT, RC_STR("2"));
    put_frame(b, RC_WS_TEXT,
              RC_STR("452-[\"e\",{\"_placeholder\":true,\"num\":1},"
                     "{\"_placeholder\":true,\"num\":0}]"));
    put_frame(b, RC_WS_BINARY, RC_STR("one"));
    put_frame(b, RC_WS_BINARY, RC_STR_NONE);
    put_frame(b, RC_WS_TEXT, RC_STR("42/chat,7[\"e\"]"));
    put_frame(b, RC_WS_TEXT, RC_STR("461-3[{\"_placeholder\":true,\"num\":0}]"));
    put_frame(b, RC_WS_BINARY, RC_STR("two"));
    put_frame(b, RC_WS_TEXT, RC_STR("41"));
    put_frame(b, RC_WS_PONG, RC_STR("4hi"));
    put_frame(b, RC_WS_CLOSE, RC_STR_NONE);
}

Test(form, msgpack)
{
    struct rc_buf frames = RC_BUF_INIT, expected = RC_BUF_INIT;

    put_batch(&frames);
    put_frame(&expected, RC_WS_TEXT, RC_STR("2"));
    put_frame(&expected, RC_WS_BINARY,
              RC_STR("\x83\xa4type\x02\xa4"
                     "data\x93\xa1"
                     "e\xc4\x00\xc4\x03one\xa3nsp\xa1/"));
    put_frame(&expected, RC_WS_BINARY,
              RC_STR("\x84\xa4type\x02\xa4"
                     "data\x91\xa1"
                     "e\xa2id\x07\xa3nsp\xa5/chat"));
    put_frame(&expected, RC_WS_BINARY,
              RC_STR("\x84\xa2id\x03\xa4type\x03\xa4"
                     "data\x91\xc4\x03two\xa3nsp\xa1/"));
    put_frame(&expected, RC_WS_BINARY, RC_STR("\x82\xa4type\x01\xa3nsp\xa1/"));
    put_frame(&expected, RC_WS_PONG, RC_STR("4hi"));
    put_frame(&expected, RC_WS_CLOSE, RC_STR_NONE);
    gives(&frames, RC_FORM_MSGPACK, &expected);
}

Test(form, msgpack_as_text)
{
    struct rc_buf frames = RC_BUF_INIT, expected = RC_BUF_INIT;

    put_frame(&frames, RC_WS_TEXT, RC_STR("3probe"));
    put_frame(&frames, RC_WS_TEXT, RC_STR("41"));
    put_frame(&expected, RC_WS_TEXT, RC_STR("3probe"));
    put_frame(&expected, RC_WS_TEXT, RC_STR("bgqR0eXBlAaNuc3ChLw=="));
    gives(&frames, RC_FORM_MSGPACK | RC_FORM_B64, &expected);
}

Test(form, msgpack_deflated)
{
    struct rc_deflater *d = rc_deflater_new(6, 100);
    struct rc_buf b = RC_BUF_INIT, out = RC_BUF_INIT;
    struct rc_seg *s, *t;
    char text[70000];
    size_t at = 0;

    rc_buf_putz(&b, "42[\"");
    rc_buf_puts(&b, repeated(text, sizeof(text), "ab"));
    rc_buf_putz(&b, "\"]");
    put_frame(&out, RC_WS_TEXT, rc_buf_str(&b));
    rc_buf_deinit(&b);
    s = seg_of(&out);
    t = make(d, s, RC_FORM_MSGPACK + RC_FORM_DEFLATE(RC_DEFLATE_FULL));
    cr_assert_eq(t->data[0], 0xc0 | RC_WS_BINARY);
    cr_assert_eq(take_frame(t, &at, &out).opcode, RC_WS_BINARY);
    cr_assert_eq(at, t->len);
    cr_assert_eq(out.len, 1u + 5 + 1 + 5 + 1 + 5 + sizeof(text) + 4 + 2);
    cr_assert(rc_str_starts(rc_buf_str(&out), RC_STR("\x83\xa4type\x02\xa4"
                                                     "data\x91\xdb\x00\x01\x11\x70"
                                                     "abab")));
    rc_buf_deinit(&out);
    rc_seg_unref(t);
    rc_seg_unref(s);
    rc_deflater_free(d);
}

/* ---- one form for all: a shard with clients of an endpoint ---- */

struct fixture {
    struct rc_conf conf;
    struct rc_conf_errors e;
    struct rc_app *app;
    struct rc_mesh *mesh;
    struct rc_shard *sh;
    int fd[8];
    unsigned n;
};

static const char ini[] = "[endpoint /r]\nprotocol = relay\nper_message_deflate = yes\n";

static void set_up(struct fixture *f)
{
    *f = (struct fixture){.n = 0};
    cr_assert_eq(rc_hash_init(), RC_OK);
    atomic_store(&rc_log_threshold, (int)RC_LOG_ERROR);
    cr_assert_eq(rc_conf_load_text(&f->conf, NULL, rc_str_of(ini), NULL, 0, &f->e), RC_OK);
    f->app = rc_app_new(&f->conf, "/nowhere", &f->e);
    f->mesh = rc_mesh_new(1, 64);
    f->sh = rc_shard_new(0, f->app, f->mesh, 16);
    cr_assert(f->app != NULL && f->mesh != NULL && f->sh != NULL);
    rc_thread_enter("shard-0", f->sh);
}

static void tear_down(struct fixture *f)
{
    rc_shard_free(f->sh);
    rc_mesh_free(f->mesh);
    rc_app_free(f->app);
    rc_conf_free(&f->conf);
    rc_buf_deinit(&f->e.text);
    for (unsigned i = 0; i < f->n; i++)
        (void)close(f->fd[i]);
}

static void join(struct fixture *f, const char *offer)
{
    struct rc_msg_conn conn = {.peer = {.family = 0}};
    struct rc_buf head = RC_BUF_INIT;
    char answer[500];
    int fd[2];

    rc_assert_on_shard(f->sh);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    rc_buf_printf(&head,
                  "GET /r HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                  "Sec-WebSocket-Extensions: %s\r\n\r\n",
                  offer);
    conn.fd = fd[0];
    conn.bytes = rc_pub_new(0, RC_STR_NONE, 0, head.data, head.len);
    rc_front_accept(f->sh, &conn);
    rc_pub_unref(&conn.bytes);
    rc_buf_deinit(&head);
    rc_shard_turn(f->sh);
    cr_assert_gt(read(fd[1], answer, sizeof(answer)), 12);
    cr_assert_arr_eq(answer, "HTTP/1.1 101", 12);
    f->fd[f->n++] = fd[1];
}

Test(form, made_once_for_all_members)
{
    static const char *const offers[] = {
        "x",
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "x",
        "permessage-deflate; server_max_window_bits=9",
        "permessage-deflate; server_max_window_bits=11",
        "permessage-deflate; server_max_window_bits=12",
    };
    static const unsigned same_as[] = {0, 1, 1, 0, 4, 4, 6}; /* who shares with whom */
    enum { N = sizeof(offers) / sizeof(offers[0]) };
    const struct rc_seg *seg[N];
    struct rc_session *s;
    struct rc_buf b = RC_BUF_INIT;
    struct rc_pub *pub;
    struct fixture f;
    char text[5000];
    uint32_t cursor = 0, n = 0;

    set_up(&f);
    rc_assert_on_shard(f.sh);
    for (unsigned i = 0; i < N; i++)
        join(&f, offers[i]);
    put_frame(&b, RC_WS_TEXT, repeated(text, sizeof(text), "hello, everybody! "));
    pub = rc_pub_new(1, RC_STR_NONE, 0, b.data, b.len);
    rc_local_deliver(f.sh, 0, pub, 0);
    rc_pub_unref(&pub);
    rc_batch_distribute(f.sh);
    while ((s = rc_pool_next(&f.sh->sessions, &cursor)) != NULL && n < N)
        seg[n++] = s->out.first; /* slots are given in order */
    cr_assert_eq(n, (uint32_t)N);
    for (unsigned i = 0; i < N; i++) {
        cr_assert_not_null(seg[i]);
        cr_assert_eq((seg[i]->data[0] & 0x40) != 0, i != 0 && i != 3);
        for (unsigned j = 0; j < N; j++)
            cr_assert_eq(seg[i] == seg[j], same_as[i] == same_as[j]);
    }
    cr_assert_eq(seg[1]->refs, 2u);
    rc_shard_turn(f.sh);
    for (unsigned i = 0; i < N; i++)
        cr_assert_gt(read(f.fd[i], text, sizeof(text)), 2);
    rc_buf_deinit(&b);
    tear_down(&f);
}

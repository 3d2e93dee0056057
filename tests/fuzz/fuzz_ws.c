/*
 * The WebSocket decoder: byte 0 picks the options, byte 1 how the stream is cut, the rest is
 * the stream. The same messages, control frames and error must come out whether the stream is
 * decoded whole or in pieces.
 */
#include "rc/base/buf.h"
#include "rc/base/utf8.h"
#include "rc/net/ws.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(c) ((c) ? (void)0 : abort())

struct run {
    struct rc_ws_decoder d;
    struct rc_buf log, message;
    bool open, text, failed;
};

static void see_data(struct run *r, const struct rc_ws_event *ev)
{
    CHECK(ev->first == !r->open);
    CHECK(ev->opcode == RC_WS_TEXT || ev->opcode == RC_WS_BINARY);
    CHECK(!ev->compressed || r->d.allow_rsv1);
    if (ev->first) {
        rc_buf_reset(&r->message);
        r->text = ev->opcode == RC_WS_TEXT && !ev->compressed;
    }
    r->open = !ev->last;
    rc_buf_puts(&r->message, ev->data);
    CHECK(r->d.max_message == 0 || r->message.len <= r->d.max_message);
    if (!ev->last)
        return;
    CHECK(!r->text || rc_utf8_valid(rc_buf_str(&r->message)));
    rc_buf_printf(&r->log, "%d %d %zu:", ev->opcode, ev->compressed, r->message.len);
    rc_buf_puts(&r->log, rc_buf_str(&r->message));
}

static void see_event(struct run *r, const struct rc_ws_event *ev)
{
    if (ev->type == RC_WS_EV_DATA) {
        see_data(r, ev);
        return;
    }
    CHECK(ev->data.len <= 125);
    if (ev->type == RC_WS_EV_CLOSE) {
        CHECK(ev->code == RC_WS_NO_STATUS || rc_ws_close_code_valid(ev->code));
        CHECK(rc_utf8_valid(ev->data));
    }
    rc_buf_printf(&r->log, "control %d %d %zu:", (int)ev->type, ev->code, ev->data.len);
    rc_buf_puts(&r->log, ev->data);
}

/* Decodes from a copy that ends where the bytes end; returns how many were used. */
static size_t decode(struct run *r, const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n != 0 ? n : 1);
    struct rc_ws_decoder before;
    struct rc_ws_event ev;
    int64_t k = 1;
    size_t at = 0;

    CHECK(copy != NULL);
    if (n != 0)
        memcpy(copy, p, n);
    while (at < n && k > 0) {
        before = r->d;
        k = rc_ws_decode(&r->d, copy + at, n - at, &ev);
        if (k > 0) {
            CHECK((size_t)k <= n - at);
            CHECK(ev.data.p >= (char *)copy && ev.data.p + ev.data.len <= (char *)copy + n);
            see_event(r, &ev);
            at += (size_t)k;
        }
    }
    if (k == RC_EAGAIN) {
        CHECK(n - at <= RC_WS_PENDING_MAX);
        CHECK(memcmp(copy + at, p + at, n - at) == 0);
        CHECK(memcmp(&before, &r->d, sizeof(before)) == 0);
    } else if (k == RC_EPROTO) {
        CHECK(ev.code == 1002 || ev.code == 1007 || ev.code == 1009);
        rc_buf_printf(&r->log, "error %d", ev.code);
        r->failed = true;
    } else {
        CHECK(k > 0);
    }
    free(copy);
    return at;
}

static void run_cut(struct run *r, const uint8_t *p, size_t n, unsigned cut)
{
    size_t at = 0, end = 0;

    while (end < n && !r->failed) {
        end += cut != 0 ? 1 + cut % 17 : n;
        cut = cut * 5 + 1;
        end = end < n ? end : n;
        at += decode(r, p + at, end - at);
    }
}

static void free_run(struct run *r)
{
    rc_buf_deinit(&r->log);
    rc_buf_deinit(&r->message);
}

/* The server's own frames and keys, made of the same bytes. */
static void check_writers(const uint8_t *p, size_t n)
{
    uint8_t frame[2 + 125];
    char accept[29] = "";
    struct rc_str s = rc_str_make(p, n);
    size_t len = rc_ws_close_frame(frame, RC_WS_NORMAL, s);

    CHECK(len >= 4 && len <= sizeof(frame) && frame[1] == len - 2);
    if (rc_utf8_valid(s))
        CHECK(rc_utf8_valid(rc_str_make(frame + 4, len - 4)));
    s.len = n < 24 ? n : 24;
    if (rc_ws_accept(s, accept) == RC_OK)
        CHECK(strlen(accept) == 28);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rc_ws_decoder d = {0};
    struct run whole = {0}, pieces = {0};

    if (size < 2)
        return 0;
    d.allow_rsv1 = (data[0] & 1) != 0;
    d.max_message = (data[0] & 2) != 0 ? data[0] : 0;
    whole.d = pieces.d = d;
    run_cut(&whole, data + 2, size - 2, 0);
    run_cut(&pieces, data + 2, size - 2, data[1] + 1u);
    CHECK(rc_str_eq(rc_buf_str(&whole.log), rc_buf_str(&pieces.log)));
    CHECK(whole.failed == pieces.failed);
    CHECK(whole.failed || whole.open == pieces.open);
    free_run(&whole);
    free_run(&pieces);
    check_writers(data + 2, size - 2);
    return 0;
}

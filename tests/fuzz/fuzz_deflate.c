/*
 * permessage-deflate: byte 0 picks what the rest is.
 *   0  a Sec-WebSocket-Extensions header: what is agreed must be something that the same code
 *      accepts as an offer, to the same result.
 *   1  a compressed message: whole and in pieces it must give the same bytes or the same error,
 *      within the limit.
 *   2  a message: compressed for any window, it must come back.
 */
#include "rc/net/deflate.h"
#include "rc/net/wsin.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(c) ((c) ? (void)0 : abort())

static void fuzz_offer(unsigned how, const uint8_t *p, size_t n)
{
    struct rc_deflate_policy policy = {.client_bits = (uint8_t)(8 + how % 8),
                                       .client_takeover = (how & 8) != 0};
    struct rc_deflate_params a, b;
    struct rc_buf answer = RC_BUF_INIT;
    int rc = rc_deflate_offer(rc_str_make(p, n), &policy, &a);

    CHECK(a.on == (rc == RC_OK));
    CHECK(rc == RC_OK || rc == RC_ENOENT || rc == RC_EPROTO);
    if (rc != RC_OK)
        return;
    CHECK(a.server_bits == 0 || (a.server_bits >= 8 && a.server_bits <= 15));
    CHECK(a.client_bits == 0 || (a.client_bits >= 8 && a.client_bits <= 15));
    CHECK(a.client_bits <= policy.client_bits);
    CHECK(!a.client_takeover || policy.client_takeover);
    rc_deflate_answer(&a, &answer);
    CHECK(rc_deflate_offer(rc_buf_str(&answer), &policy, &b) == RC_OK);
    CHECK(memcmp(&a, &b, sizeof(a)) == 0);
    rc_buf_deinit(&answer);
}

/* Three times the same message, so that with a context the later ones meet another state. */
static int inflate_cut(const struct rc_deflate_params *params, uint32_t max, uint8_t opcode,
                       struct rc_str packed, size_t step, struct rc_buf *log)
{
    struct rc_wsin in;
    int rc = RC_OK;

    rc_wsin_init(&in, max, params);
    for (unsigned i = 0; i < 3 && rc == RC_OK; i++) {
        struct rc_ws_event ev = {
            .type = RC_WS_EV_DATA, .opcode = opcode, .first = true, .compressed = true};
        size_t at = 0;

        do {
            size_t n = step < packed.len - at ? step : packed.len - at;
            struct rc_buf hold = RC_BUF_INIT;
            struct rc_str whole;

            ev.data = rc_str_make(packed.p + at, n);
            at += n;
            ev.last = at == packed.len;
            rc = rc_wsin_piece(&in, &ev, &hold, &whole);
            ev.first = false;
            if (rc == RC_OK) {
                CHECK(whole.len <= max && hold.cap <= max);
                rc_buf_puts(log, whole);
                rc_buf_putc(log, '|');
            }
            rc_buf_deinit(&hold);
        } while (rc == RC_EAGAIN);
        CHECK(params->client_takeover || rc != RC_OK || in.partial == NULL);
    }
    rc_wsin_deinit(&in);
    return rc;
}

static void fuzz_inflate(unsigned how, const uint8_t *p, size_t n)
{
    struct rc_deflate_params params = {.on = true, .client_takeover = (how & 1) != 0};
    struct rc_buf whole = RC_BUF_INIT, cut = RC_BUF_INIT;
    uint8_t opcode = (how & 2) != 0 ? RC_WS_TEXT : RC_WS_BINARY;
    uint32_t max = (how & 4) != 0 ? 1000 : 1u << 16;
    int a, b;

    a = inflate_cut(&params, max, opcode, rc_str_make(p, n), n, &whole);
    b = inflate_cut(&params, max, opcode, rc_str_make(p, n), 1 + how / 8, &cut);
    CHECK(a == b || (opcode == RC_WS_TEXT && a != RC_OK && b != RC_OK));
    CHECK(rc_str_eq(rc_buf_str(&whole), rc_buf_str(&cut)));
    rc_buf_deinit(&whole);
    rc_buf_deinit(&cut);
}

static void fuzz_round_trip(unsigned how, const uint8_t *p, size_t n)
{
    struct rc_deflate_params params = {.on = true};
    struct rc_deflater *d = rc_deflater_new(1 + (int)(how % 9), 0);
    struct rc_buf twice = RC_BUF_INIT;

    rc_buf_put(&twice, p, n);
    rc_buf_put(&twice, p, n);
    for (unsigned w = RC_DEFLATE_SMALL; w < RC_DEFLATE_WINDOWS; w++) {
        struct rc_str packed =
            rc_deflater_run(d, (enum rc_deflate_window)w, rc_buf_str(&twice));
        struct rc_buf back = RC_BUF_INIT;

        if (packed.p == NULL)
            continue;
        CHECK(packed.len < twice.len);
        CHECK(inflate_cut(&params, (uint32_t)twice.len, RC_WS_BINARY, packed, packed.len,
                          &back) == RC_OK);
        CHECK(back.len == 3 * (twice.len + 1));
        CHECK(memcmp(back.data, twice.data, twice.len) == 0);
        rc_buf_deinit(&back);
    }
    rc_deflater_free(d);
    rc_buf_deinit(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    if (data[0] % 3 == 0)
        fuzz_offer(data[1], data + 2, size - 2);
    else if (data[0] % 3 == 1)
        fuzz_inflate(data[1], data + 2, size - 2);
    else
        fuzz_round_trip(data[1], data + 2, size - 2);
    return 0;
}

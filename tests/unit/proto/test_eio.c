#include "rc/base/mem.h"
#include "rc/proto/eio.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* A writable copy of exactly this size, so that a sanitizer sees a step beyond its end. */
static char *exact(struct rc_str s)
{
    char *p = rc_malloc(s.len != 0 ? s.len : 1);

    if (s.len != 0)
        memcpy(p, s.p, s.len);
    return p;
}

static bool is(struct rc_str s, const char *z)
{
    return rc_str_eq(s, rc_str_of(z));
}

Test(eio, error_texts)
{
    cr_assert_str_eq(rc_eio_error_text(RC_EIO_UNKNOWN_TRANSPORT), "Transport unknown");
    cr_assert_str_eq(rc_eio_error_text(RC_EIO_UNKNOWN_SID), "Session ID unknown");
    cr_assert_str_eq(rc_eio_error_text(RC_EIO_BAD_HANDSHAKE_METHOD), "Bad handshake method");
    cr_assert_str_eq(rc_eio_error_text(RC_EIO_BAD_REQUEST), "Bad request");
    cr_assert_str_eq(rc_eio_error_text(RC_EIO_FORBIDDEN), "Forbidden");
    cr_assert_str_eq(rc_eio_error_text(RC_EIO_UNSUPPORTED_VERSION),
                     "Unsupported protocol version");
}

Test(eio, text_packets)
{
    struct rc_eio_packet p;

    cr_assert_eq(rc_eio_parse_text(RC_STR("2"), &p), RC_OK);
    cr_assert_eq(p.type, RC_EIO_PING);
    cr_assert_not(p.binary);
    cr_assert_eq(p.data.len, 0);
    cr_assert_eq(rc_eio_parse_text(RC_STR("2probe"), &p), RC_OK);
    cr_assert_eq(p.type, RC_EIO_PING);
    cr_assert(is(p.data, "probe"));
    cr_assert_eq(rc_eio_parse_text(RC_STR("42[\"a\"]"), &p), RC_OK);
    cr_assert_eq(p.type, RC_EIO_MESSAGE);
    cr_assert(is(p.data, "2[\"a\"]"));
    cr_assert_eq(rc_eio_parse_text(RC_STR("4a\x1e"
                                          "4b"),
                                   &p),
                 RC_OK);
    cr_assert(is(p.data, "a\x1e"
                         "4b"));
}

Test(eio, each_first_byte)
{
    struct rc_eio_packet p;
    unsigned c;
    char text[2] = {0, '-'};

    for (c = 0; c < 256; c++) {
        text[0] = (char)c;
        if (c >= '0' && c <= '6') {
            cr_assert_eq(rc_eio_parse_text(rc_str_make(text, 2), &p), RC_OK, "%u", c);
            cr_assert_eq((unsigned)p.type, c - '0');
        } else {
            cr_assert_eq(rc_eio_parse_text(rc_str_make(text, 2), &p), RC_EPROTO, "%u", c);
        }
    }
    cr_assert_eq(rc_eio_parse_text(RC_STR_NONE, &p), RC_EPROTO);
}

Test(eio, base64_in_a_text_message)
{
    struct rc_eio_packet p;
    char *msg = exact(RC_STR("bAQID"));

    cr_assert_eq(rc_eio_parse_text(rc_str_make(msg, 5), &p), RC_OK);
    cr_assert(p.binary);
    cr_assert_eq(p.type, RC_EIO_MESSAGE);
    cr_assert(rc_str_eq(p.data, RC_STR("\x01\x02\x03")));
    free(msg);
}

/* Walks a whole body and writes what it saw as one line: type, text or <bytes>, then | */
static const char *walk(const char *body, size_t len)
{
    static char seen[256];
    char *copy = exact(rc_str_make(body, len));
    struct rc_str rest = rc_str_make(copy, len);
    struct rc_eio_packet p;
    size_t n = 0;
    int rc;

    while ((rc = rc_eio_payload_next(&rest, &p)) == 1) {
        seen[n++] = (char)('0' + p.type);
        if (p.binary)
            seen[n++] = '<';
        if (p.data.len != 0)
            memcpy(seen + n, p.data.p, p.data.len);
        n += p.data.len;
        if (p.binary)
            seen[n++] = '>';
        seen[n++] = '|';
    }
    seen[n++] = rc == 0 ? '.' : rc == RC_EPROTO ? '!' : '?';
    seen[n] = '\0';
    free(copy);
    return seen;
}

#define WALK(literal) walk(literal, sizeof(literal) - 1)

Test(eio, payloads)
{
    cr_assert_str_eq(WALK("2"), "2|.");
    cr_assert_str_eq(WALK("4hello"), "4hello|.");
    cr_assert_str_eq(WALK("4hello\x1e"
                          "2\x1e"
                          "4world"),
                     "4hello|2|4world|.");
    cr_assert_str_eq(WALK("bYWJj"), "4<abc>|.");
    cr_assert_str_eq(WALK("b"), "4<>|.");
    cr_assert_str_eq(WALK("4a\x1e"
                          "bYWI=\x1e"
                          "bYQ==\x1e"
                          "4b"),
                     "4a|4<ab>|4<a>|4b|.");
    cr_assert_str_eq(WALK("4\xe2\x82\xac\x1e"
                          "4b"),
                     "4\xe2\x82\xac|4b|.");
    cr_assert_str_eq(WALK("451-[\"x\",{\"_placeholder\":true,\"num\":0}]\x1e"
                          "bYWJj"),
                     "451-[\"x\",{\"_placeholder\":true,\"num\":0}]|4<abc>|.");
}

Test(eio, bad_payloads)
{
    cr_assert_str_eq(WALK(""), "!");
    cr_assert_str_eq(WALK("\x1e"), "!");
    cr_assert_str_eq(WALK("4a\x1e"), "4a|!");
    cr_assert_str_eq(WALK("\x1e"
                          "4a"),
                     "!");
    cr_assert_str_eq(WALK("4a\x1e\x1e"
                          "4b"),
                     "4a|!");
    cr_assert_str_eq(WALK("4a\x1e"
                          "7"),
                     "4a|!");
    cr_assert_str_eq(WALK("abc"), "!");
    cr_assert_str_eq(WALK("bYW"), "!");
    cr_assert_str_eq(WALK("bYWJjA"), "!");
    cr_assert_str_eq(WALK("b===="), "!");
    cr_assert_str_eq(WALK("bYW J"), "!");
    cr_assert_str_eq(WALK("bYWJj\x1e"
                          "bY-_j"),
                     "4<abc>|!");
    /* Payloads of revision 3 are not ours. */
    cr_assert_str_eq(WALK("6:4hello"), "6:4hello|.");
    cr_assert_str_eq(WALK("10:4hello"), "10:4hello|.");
}

Test(eio, an_empty_body_without_bytes)
{
    struct rc_str rest = RC_STR_NONE;
    struct rc_eio_packet p;

    cr_assert_eq(rc_eio_payload_next(&rest, &p), RC_EPROTO);
}

Test(eio, the_end_stays_the_end)
{
    struct rc_str rest = RC_STR("4a");
    struct rc_eio_packet p;

    cr_assert_eq(rc_eio_payload_next(&rest, &p), 1);
    cr_assert_eq(rc_eio_payload_next(&rest, &p), 0);
    cr_assert_eq(rc_eio_payload_next(&rest, &p), 0);
    cr_assert_eq(rest.len, 0);
}

Test(eio, each_truncation)
{
    const char body[] = "4a\x1e"
                        "bYWJj\x1e"
                        "2";
    const char *const expect[] = {"!",           "4|.",         "4a|.",         "4a|!",
                                  "4a|4<>|.",    "4a|!",        "4a|!",         "4a|!",
                                  "4a|4<abc>|.", "4a|4<abc>|!", "4a|4<abc>|2|."};
    size_t n;

    for (n = 0; n < sizeof(body); n++)
        cr_assert_str_eq(walk(body, n), expect[n], "%zu bytes", n);
}

Test(eio, put_then_walk)
{
    const struct rc_eio_packet packets[] = {
        {RC_EIO_MESSAGE, false, RC_STR("2[\"a\"]")}, {RC_EIO_MESSAGE, true, RC_STR("abcd")},
        {RC_EIO_MESSAGE, true, RC_STR_NONE},         {RC_EIO_PING, false, RC_STR_NONE},
        {RC_EIO_NOOP, false, RC_STR_NONE},           {RC_EIO_CLOSE, false, RC_STR_NONE},
    };
    struct rc_buf b = RC_BUF_INIT;
    size_t i;

    for (i = 0; i < sizeof(packets) / sizeof(packets[0]); i++)
        rc_eio_payload_put(&b, &packets[i]);
    cr_assert(is(rc_buf_str(&b), "42[\"a\"]\x1e"
                                 "bYWJjZA==\x1e"
                                 "b\x1e"
                                 "2\x1e"
                                 "6\x1e"
                                 "1"));
    cr_assert_str_eq(walk((const char *)b.data, b.len), "42[\"a\"]|4<abcd>|4<>|2|6|1|.");
    rc_buf_deinit(&b);
}

Test(eio, open_packet)
{
    struct rc_eio_open o = {.sid = RC_STR("lv_VI97HAXpY6yYWAAAB"),
                            .upgrade_websocket = true,
                            .ping_interval_ms = 25000,
                            .ping_timeout_ms = 20000,
                            .max_payload = 1000000};
    struct rc_buf b = RC_BUF_INIT;

    rc_eio_put_open(&b, &o);
    cr_assert(is(rc_buf_str(&b),
                 "0{\"sid\":\"lv_VI97HAXpY6yYWAAAB\",\"upgrades\":[\"websocket\"],"
                 "\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}"));
    rc_buf_reset(&b);
    o.upgrade_websocket = false;
    rc_eio_put_open(&b, &o);
    cr_assert(is(rc_buf_str(&b),
                 "0{\"sid\":\"lv_VI97HAXpY6yYWAAAB\",\"upgrades\":[],"
                 "\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}"));
    rc_buf_deinit(&b);
}

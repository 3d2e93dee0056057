#include "rc/base/mem.h"
#include "rc/proto/eio3.h"

#include <criterion/criterion.h>
#include <stdio.h>
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

typedef int (*next_fn)(struct rc_str *rest, struct rc_eio_packet *out);

/* Each packet as "<type>=<data>;", binary data in hexadecimal behind "b"; "!" for an error. */
static char *walked(next_fn next, struct rc_str payload)
{
    char *copy = exact(payload);
    struct rc_str rest = rc_str_make(copy, payload.len);
    struct rc_buf out = RC_BUF_INIT;
    struct rc_eio_packet p;
    size_t len;
    int rc;

    while ((rc = next(&rest, &p)) == 1) {
        rc_buf_printf(&out, "%d=", (int)p.type);
        if (p.binary)
            rc_buf_putc(&out, 'b');
        for (size_t i = 0; p.binary && i < p.data.len; i++)
            rc_buf_printf(&out, "%02x", (unsigned char)p.data.p[i]);
        if (!p.binary)
            rc_buf_puts(&out, p.data);
        rc_buf_putc(&out, ';');
    }
    if (rc < 0) {
        cr_assert_eq(rc, RC_EPROTO);
        rc_buf_putc(&out, '!');
    }
    rc_buf_putc(&out, '\0');
    free(copy);
    return (char *)rc_buf_take(&out, &len);
}

static void check(next_fn next, struct rc_str payload, const char *expected)
{
    char *got = walked(next, payload);

    if (strcmp(got, expected) != 0)
        cr_assert_fail("%.*s: got %s, expected %s", RC_STR_ARG(payload), got, expected);
    free(got);
}

static void text(const char *payload, const char *expected)
{
    check(rc_eio3_text_next, rc_str_of(payload), expected);
}

#define BYTES(literal, expected) check(rc_eio3_binary_next, RC_STR(literal), expected)

/* ---- packets ---- */

Test(eio3, text_packets)
{
    struct rc_eio_packet p;

    cr_assert_eq(rc_eio3_parse_text(RC_STR("2"), &p), RC_OK);
    cr_assert_eq(p.type, RC_EIO_PING);
    cr_assert_not(p.binary);
    cr_assert_eq(p.data.len, 0u);
    cr_assert_eq(rc_eio3_parse_text(RC_STR("2probe"), &p), RC_OK);
    cr_assert(is(p.data, "probe"));
    cr_assert_eq(rc_eio3_parse_text(RC_STR("42[\"a\"]"), &p), RC_OK);
    cr_assert_eq(p.type, RC_EIO_MESSAGE);
    cr_assert(is(p.data, "2[\"a\"]"));
}

Test(eio3, each_first_byte)
{
    struct rc_eio_packet p;
    char msg[2] = {0, '-'};

    for (unsigned c = 0; c < 256; c++) {
        msg[0] = (char)c;
        if (c == 'b')
            continue;
        cr_assert_eq(rc_eio3_parse_text(rc_str_make(msg, 2), &p),
                     c >= '0' && c <= '6' ? RC_OK : RC_EPROTO);
    }
    cr_assert_eq(rc_eio3_parse_text(RC_STR_NONE, &p), RC_EPROTO);
}

static int base64(const char *msg, struct rc_eio_packet *p, char **copy)
{
    *copy = exact(rc_str_of(msg));
    return rc_eio3_parse_text(rc_str_make(*copy, strlen(msg)), p);
}

Test(eio3, base64_packets)
{
    static const char *const bad[] = {"b4A", "b4AQI", "b4AQI-", "b4AQID=", "b4 AQID", "b4AR=="};
    struct rc_eio_packet p;
    char *copy;

    cr_assert_eq(base64("b4AQID", &p, &copy), RC_OK);
    cr_assert(p.binary);
    cr_assert_eq(p.type, RC_EIO_MESSAGE);
    cr_assert(is(p.data, "\x01\x02\x03"));
    free(copy);
    cr_assert_eq(base64("b4", &p, &copy), RC_OK);
    cr_assert(p.binary);
    cr_assert_eq(p.data.len, 0u);
    free(copy);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_eq(base64(bad[i], &p, &copy), RC_EPROTO);
        free(copy);
    }
}

/* The reference server takes any type, and ignores those that it does not know. */
Test(eio3, binary_packets_that_are_no_message)
{
    struct rc_eio_packet p;
    char *copy;

    cr_assert_eq(base64("b2cHJvYmU=", &p, &copy), RC_OK);
    cr_assert_eq(p.type, RC_EIO_PING);
    cr_assert_not(p.binary);
    cr_assert_eq(p.data.len, 0u);
    free(copy);
    cr_assert_eq(base64("b7AQID", &p, &copy), RC_OK);
    cr_assert_eq(p.type, RC_EIO_NOOP);
    free(copy);
    cr_assert_eq(base64("b", &p, &copy), RC_OK);
    cr_assert_eq(p.type, RC_EIO_NOOP);
    cr_assert_not(p.binary);
    free(copy);
}

Test(eio3, binary_messages)
{
    struct rc_eio_packet p;
    char msg[3] = {0, 'x', 'y'};

    for (unsigned c = 0; c < 256; c++) {
        msg[0] = (char)c;
        rc_eio3_parse_binary(rc_str_make(msg, 3), &p);
        cr_assert_eq(p.type, c <= 6 ? (enum rc_eio_type)c : RC_EIO_NOOP);
        cr_assert_eq(p.binary, c == 4);
        cr_assert(is(p.data, c == 4 ? "xy" : ""));
    }
    rc_eio3_parse_binary(RC_STR_NONE, &p);
    cr_assert_eq(p.type, RC_EIO_NOOP);
    rc_eio3_parse_binary(RC_STR("\x04"), &p);
    cr_assert(p.binary);
    cr_assert_eq(p.data.len, 0u);
}

/* ---- text payloads ---- */

Test(eio3, text_payloads)
{
    text("1:2", "2=;");
    text("2:40", "4=0;");
    text("6:4hello2:4€", "4=hello;4=€;");
    text("10:b4AQID/w==2:41", "4=b010203ff;4=1;");
    text("3:4:12:4:", "4=:1;4=:;");
    text("0007:4second", "4=second;");
}

Test(eio3, lengths_are_utf16_code_units)
{
    text("3:4ü€2:4x", "4=ü€;4=x;");
    text("3:4👍2:4x", "4=👍;4=x;");
    text("5:4👍👍2:4é", "4=👍👍;4=é;");
    text("2:4👍", "!"); /* the border is in the midst of the thumb */
    text("4:4👍", "!"); /* one too many */
    text("5:4👍", "!"); /* a length in bytes */
    text("7:4€€", "!");
}

Test(eio3, text_payload_faults)
{
    text("", "!");
    text(":", "!");
    text("1", "!");
    text("1:", "!");
    text("2:4", "!");
    text("x:4", "!");
    text("-1:4", "!");
    text("+1:4", "!");
    text(" 1:4", "!");
    text("1 :4", "!");
    text("1e0:4", "!");
    text("0x1:4", "!");
    text("1.0:4", "!");
    text("1:4x", "4=;!");
    text("1:41", "4=;!");
    text("1:9", "!");
    text("2:4a1:", "4=a;!");
    text("2:4a3:b4A", "4=a;!");
    text("18446744073709551617:4", "!");
    text("99999999999999999999999999999999999999999:4", "!");
}

Test(eio3, empty_packets_of_a_text_payload_are_skipped)
{
    text("0:", "");
    text("0:0:", "");
    text("0:2:4a0:", "4=a;");
    text("2:4a0:1:2", "4=a;2=;");
    text("0:1", "!");
}

/* ---- binary payloads ---- */

Test(eio3, binary_payloads)
{
    BYTES("", "");
    BYTES("\0\1\xff"
          "2",
          "2=;");
    BYTES("\0\6\xff"
          "4hello\1\4\xff\4\1\2\3",
          "4=hello;4=b010203;");
    BYTES("\1\1\xff\4", "4=b;");
    BYTES("\0\0\0\1\xff"
          "2",
          "2=;");
    BYTES("\0\1\0\xff"
          "4123456789",
          "4=123456789;");
    BYTES("\7\3\xff\4\xff\0", "4=bff00;"); /* any first byte but 0 says binary */
    BYTES("\1\1\xff\2\1\1\xff\x2a", "2=;6=;");
    BYTES("\1\0\xff", "6=;");
    BYTES("\0\6\xff"
          "b4AQID",
          "4=b010203;");
}

Test(eio3, lengths_in_binary_payloads_are_bytes)
{
    BYTES("\0\4\xff"
          "4€",
          "4=€;");
    BYTES("\0\5\xff"
          "4👍",
          "4=👍;");
    BYTES("\0\3\xff"
          "4👍",
          "!");
}

Test(eio3, binary_payload_faults)
{
    BYTES("\0", "!");
    BYTES("\0\xff", "!");
    BYTES("\0\1", "!");
    BYTES("\0\1\xff", "!");
    BYTES("\0\2\xff"
          "4",
          "!");
    BYTES("\0\0\xff", "!"); /* an empty text is no packet */
    BYTES("\0\x0a\xff"
          "4123456789",
          "!");
    BYTES("\0"
          "1\xff"
          "4",
          "!");
    BYTES("\0\1\xff"
          "9",
          "!");
    BYTES("\0\2\xff"
          "4\xff",
          "!");
    BYTES("\0\4\xff"
          "4\xed\xa0\x80",
          "!");
    BYTES("\0\1\xff"
          "4\1\2\xff\4",
          "4=;!");
    BYTES("\1\1\x08\x04\x04\x06\x07\x04\x04\x00\x07\x03\x07\x00\x09\x05\x05\x01\x06\x01\x07\xff"
          "\4",
          "!");
}

/* ---- out ---- */

static void put(bool bytes, struct rc_str expected, const struct rc_eio_packet *p, unsigned n)
{
    struct rc_buf out = RC_BUF_INIT;

    for (unsigned i = 0; i < n; i++) {
        if (bytes)
            rc_eio3_binary_put(&out, &p[i]);
        else
            rc_eio3_text_put(&out, &p[i]);
    }
    cr_assert_eq(out.len, expected.len);
    cr_assert_arr_eq(out.data, expected.p, expected.len);
    rc_buf_deinit(&out);
}

Test(eio3, put)
{
    const struct rc_eio_packet p[] = {
        {.type = RC_EIO_PONG},
        {.type = RC_EIO_MESSAGE, .data = RC_STR("2[\"ü👍\"]")},
        {.type = RC_EIO_MESSAGE, .binary = true, .data = RC_STR("\1\2\3\xff")},
        {.type = RC_EIO_MESSAGE, .binary = true},
    };

    put(false, RC_STR("1:39:42[\"ü👍\"]10:b4AQID/w==2:b4"), p, 4);
    put(true,
        RC_STR("\0\1\xff"
               "3\0\1\2\xff"
               "42[\"ü👍\"]\1\5\xff\4\1\2\3\xff\1\1\xff\4"),
        p, 4);
}

/* Any number of digits, and what was put comes back. */
Test(eio3, long_packets)
{
    for (size_t n = 1; n <= 100000; n *= 10) {
        for (size_t len = n - 1; len <= n + 1; len++) {
            struct rc_buf data = RC_BUF_INIT, out = RC_BUF_INIT;
            struct rc_eio_packet p = {.type = RC_EIO_MESSAGE}, back;
            struct rc_str rest;

            for (size_t i = 0; i < len; i++)
                rc_buf_putc(&data, (char)('a' + i % 26));
            p.data = rc_buf_str(&data);
            rc_eio3_text_put(&out, &p);
            rest = rc_buf_str(&out);
            cr_assert_eq(rc_eio3_text_next(&rest, &back), 1);
            cr_assert(rc_str_eq(back.data, p.data));
            cr_assert_eq(rc_eio3_text_next(&rest, &back), 0);
            for (unsigned binary = 0; binary < 2; binary++) {
                p.binary = binary != 0;
                rc_buf_reset(&out);
                rc_eio3_binary_put(&out, &p);
                rest = rc_buf_str(&out);
                cr_assert_eq(rc_eio3_binary_next(&rest, &back), 1);
                cr_assert_eq(back.binary, p.binary);
                cr_assert(rc_str_eq(back.data, p.data));
                cr_assert_eq(rc_eio3_binary_next(&rest, &back), 0);
            }
            rc_buf_deinit(&data);
            rc_buf_deinit(&out);
        }
    }
}

/* A payload cut anywhere is an error, or the packets before the cut and then an error, or ends
 * exactly behind a packet; never anything else. */
Test(eio3, cut_payloads)
{
    static const char whole[] = "6:4hello10:b4AQID/w==3:4👍0:1:2";
    static const char bytes[] = "\0\6\xff"
                                "4hello\1\1\0\xff\4"
                                "\1\2\3\4\5\6\7\x08\x09\0\5\xff"
                                "4👍";
    char *all = walked(rc_eio3_text_next, RC_STR(whole));
    char *all_bytes = walked(rc_eio3_binary_next, RC_STR(bytes));

    cr_assert_str_eq(all, "4=hello;4=b010203ff;4=👍;2=;");
    cr_assert_str_eq(all_bytes, "4=hello;4=b010203040506070809;4=👍;");
    for (size_t n = 0; n < sizeof(whole) - 1; n++) {
        char *some = walked(rc_eio3_text_next, rc_str_make(whole, n));
        size_t len = strlen(some);

        len -= len != 0 && some[len - 1] == '!';
        cr_assert_eq(strncmp(some, all, len), 0);
        cr_assert(some[len] == '!' || n == 8 || n == 21 || n == 28 || n == 30);
        free(some);
    }
    for (size_t n = 0; n < sizeof(bytes) - 1; n++) {
        char *some = walked(rc_eio3_binary_next, rc_str_make(bytes, n));
        size_t len = strlen(some);

        len -= len != 0 && some[len - 1] == '!';
        cr_assert_eq(strncmp(some, all_bytes, len), 0);
        cr_assert(some[len] == '!' || n == 0 || n == 9 || n == 23);
        free(some);
    }
    free(all);
    free(all_bytes);
}

#include "rc/base/mem.h"
#include "rc/proto/msgpack.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* Bytes as a literal: B("\xa1" "a"). */
#define B(literal) RC_STR(literal)

#define TYPE "\xa4type"
#define DATA \
    "\xa4"   \
    "data"
#define NSP "\xa3nsp\xa1/"

static struct rc_sio_limits limits = {.max_depth = 16,
                                      .max_attachments = 10,
                                      .max_args = 8,
                                      .max_nsp = 12,
                                      .max_event = 16,
                                      .max_text = 300000};

/* What was decoded last: the text lies in `text`, the attachments in `kept`, an exact-size copy. */
static struct rc_buf text;
static char *kept;
static struct rc_msgpack_packet packet;
static const char *why;

static int decode(struct rc_str message)
{
    char *old = kept;

    kept = rc_malloc(message.len != 0 ? message.len : 1);
    if (message.len != 0)
        memcpy(kept, message.p, message.len);
    free(old);
    why = "unset";
    return rc_msgpack_decode(rc_str_make(kept, message.len), &limits, &text, &packet, &why);
}

static const char *hex(struct rc_str s)
{
    static char out[400];
    size_t n = 0;

    out[0] = '\0';
    for (size_t i = 0; i < s.len && n + 3 < sizeof(out); i++)
        n += (size_t)snprintf(out + n, sizeof(out) - n, "%02x ", (uint8_t)s.p[i]);
    return out;
}

static void gives(struct rc_str message, const char *canonical)
{
    cr_assert_eq(decode(message), RC_OK, "%s", hex(message));
    cr_assert_null(why);
    cr_assert(rc_str_eq(packet.text, rc_str_of(canonical)), "%.*s, not %s",
              RC_STR_ARG(packet.text), canonical);
}

static void refuses(struct rc_str message)
{
    cr_assert_eq(decode(message), RC_EPROTO, "%s", hex(message));
    cr_assert_null(why);
}

static void limited(struct rc_str message, const char *key)
{
    cr_assert_eq(decode(message), RC_ELIMIT, "%s", hex(message));
    cr_assert_not_null(why);
    cr_assert_str_eq(why, key);
}

/* An event named e whose one argument has these bytes. */
static struct rc_str event(struct rc_str arg)
{
    static struct rc_buf b;

    rc_buf_reset(&b);
    rc_buf_puts(&b, B("\x83" TYPE "\x02" DATA "\x92\xa1"
                      "e"));
    rc_buf_puts(&b, arg);
    rc_buf_puts(&b, B(NSP));
    return rc_buf_str(&b);
}

static void value(struct rc_str bytes, const char *json)
{
    char canonical[4096];

    (void)snprintf(canonical, sizeof(canonical), "2[\"e\",%s]", json);
    gives(event(bytes), canonical);
}

static void bytes_are(struct rc_str s, struct rc_str expected)
{
    cr_assert(rc_str_eq(s, expected), "%s", hex(s));
}

static void done(void)
{
    rc_buf_deinit(&text);
    free(kept);
    kept = NULL;
}

/* ---- packets ---- */

Test(msgpack, packets, .fini = done)
{
    gives(B("\x82" TYPE "\x00" NSP), "0");
    gives(B("\x83" TYPE "\x00" DATA "\x81\xa5token\xa1x" NSP), "0{\"token\":\"x\"}");
    gives(B("\x82" TYPE "\x00\xa3nsp\xa5/chat"), "0/chat,");
    gives(B("\x82" TYPE "\x01" NSP), "1");
    gives(B("\x83" TYPE "\x02" DATA "\x91\xa2hi" NSP), "2[\"hi\"]");
    gives(B("\x84" TYPE "\x02" DATA "\x91\xa2hi\xa2id\x0c\xa3nsp\xa5/chat"),
          "2/chat,12[\"hi\"]");
    gives(B("\x84\xa2id\x00" TYPE "\x03" DATA "\x90" NSP), "30[]");
    gives(B("\x83" TYPE "\x04" DATA "\xa3"
            "bad" NSP),
          "4\"bad\"");
}

/* The stock client sends these bytes: options, and data that is undefined. */
Test(msgpack, client, .fini = done)
{
    gives(B("\x83" TYPE "\x00" DATA "\xd4\x00\x00" NSP), "0");
    gives(B("\x84" TYPE "\x02" DATA "\x91\xa2hi\xa7options\x81\xa8"
            "compress\xc3" NSP),
          "2[\"hi\"]");
    gives(B("\x84" TYPE "\x02" DATA "\x91\xa2hi\xa2id\xd4\x00\x00" NSP), "2[\"hi\"]");
}

Test(msgpack, order_of_keys, .fini = done)
{
    gives(B("\x83" NSP DATA "\x91\xa2hi" TYPE "\x02"), "2[\"hi\"]");
    gives(B("\x85" NSP DATA "\x91\xa2hi"
            "\xa1x\xc4\x01z" TYPE "\x02"
            "\xa1y\x92\x01\x80"),
          "2[\"hi\"]");
    cr_assert_eq(packet.nattachments, 0, "what is read over leaves nothing");
}

/* In JavaScript the last one wins. */
Test(msgpack, keys_that_come_twice, .fini = done)
{
    gives(B("\x84" TYPE "\x02" DATA "\x92\xa1"
            "a\xc4\x01x" DATA "\x92\xa1"
            "b\xc4\x01y" NSP),
          "51-[\"b\",{\"_placeholder\":true,\"num\":0}]");
    bytes_are(packet.attachment[0], B("y"));
    gives(B("\x84" TYPE "\x02" DATA "\x91\xa1"
            "a" DATA "\xd4\x00\x00" NSP),
          "2");
    gives(B("\x84" TYPE "\x02" TYPE "\x01\xa3nsp\xa2/x" NSP), "1");
    gives(B("\x85" TYPE "\x01\xa2id\x05\xa2id\xd4\x00\x00" NSP "\x07\x07"), "1");
}

Test(msgpack, other_integers, .fini = done)
{
    gives(B("\x83" TYPE "\xcf\x00\x00\x00\x00\x00\x00\x00\x02" DATA "\x91\x07" NSP), "2[7]");
    gives(B("\x83" TYPE "\xcb\x40\x00\x00\x00\x00\x00\x00\x00" DATA "\x91\x07" NSP), "2[7]");
    gives(B("\x84" TYPE "\x02" DATA "\x91\x07\xa2id\xcf\x00\x1f\xff\xff\xff\xff\xff\xff" NSP),
          "29007199254740991[7]");
}

Test(msgpack, no_packets, .fini = done)
{
    refuses(B(""));
    refuses(B("\xc1"));
    refuses(B("\x80"));
    refuses(B("\x90"));
    refuses(B("\x92\x01\x02"));
    refuses(B("\x07"));
    refuses(B("\xc0"));
    refuses(B("\xa2hi"));
    refuses(B("\xc4\x02hi"));
    refuses(B("\xd4\x00\x00"));
    refuses(B("\x82" TYPE "\x00" NSP "\x00")); /* something behind it */
    refuses(B("\x82" TYPE "\x00" NSP "\x82" TYPE "\x00" NSP));
    refuses(B("\x83" TYPE "\x00" NSP)); /* cut off */
}

Test(msgpack, bad_heads, .fini = done)
{
    refuses(B("\x81" NSP));
    refuses(B("\x81" TYPE "\x00"));
    refuses(B("\x82" TYPE "\x05" NSP)); /* BINARY_EVENT is of the other parser */
    refuses(B("\x82" TYPE "\xff" NSP));
    refuses(B("\x82" TYPE "\xa1"
              "1" NSP));
    refuses(B("\x82" TYPE "\xc0" NSP));
    refuses(B("\x82" TYPE "\xcb\x3f\xe0\x00\x00\x00\x00\x00\x00" NSP));
    refuses(B("\x82" TYPE "\x91\x01" NSP));
    refuses(B("\x82" TYPE "\xd4\x00\x00" NSP));
    refuses(B("\x82" TYPE "\x00\xa3nsp\x01"));
    refuses(B("\x82" TYPE "\x00\xa3nsp\xa0"));
    refuses(B("\x82" TYPE "\x00\xa3nsp\xc4\x01/"));
    refuses(B("\x82" TYPE "\x00\xa3nsp\xa4"
              "chat"));
    refuses(B("\x82" TYPE "\x00\xa3nsp\xa4/a,b"));
    refuses(B("\x82" TYPE "\x00\xa3nsp\x91\xa1/"));
    refuses(B("\x82" TYPE "\x00\xa3nsp\xd4\x00\x00"));
    refuses(B("\x82" TYPE "\x00\xa3nsp\xd7\x00\x00\x00\x00\x00\x00\x00\x00\x00")); /* a Date */
    refuses(B("\x83" TYPE "\x01\xa2id\xff" NSP));
    refuses(B("\x83" TYPE "\x01\xa2id\xc0" NSP));
    refuses(B("\x83" TYPE "\x01\xa2id\xa1"
              "1" NSP));
    refuses(B("\x83" TYPE "\x01\xa2id\xcf\x00\x20\x00\x00\x00\x00\x00\x00" NSP));
}

/* In text nothing but these could be told from an ack id. */
Test(msgpack, data_is_no_scalar, .fini = done)
{
    refuses(B("\x83" TYPE "\x00" DATA "\x05" NSP));
    refuses(B("\x83" TYPE "\x01" DATA "\x05" NSP));
    refuses(B("\x83" TYPE "\x02" DATA "\x05" NSP));
    refuses(B("\x83" TYPE "\x00" DATA "\xc0" NSP));
    refuses(B("\x83" TYPE "\x00" DATA "\xc3" NSP));
    refuses(B("\x83" TYPE "\x00" DATA "\xc4\x01x" NSP));
    refuses(B("\x83" TYPE "\x00" DATA "\x81\xa1"
              "a\xc4\x01x" NSP));
    refuses(B("\x83" TYPE "\x04" DATA "\x81\xa1"
              "a\xc4\x01x" NSP));
}

/* ---- values ---- */

Test(msgpack, scalars, .fini = done)
{
    value(B("\xc0"), "null");
    value(B("\xc2"), "false");
    value(B("\xc3"), "true");
    value(B("\x00"), "0");
    value(B("\x7f"), "127");
    value(B("\xcc\xff"), "255");
    value(B("\xcd\xff\xff"), "65535");
    value(B("\xce\xff\xff\xff\xff"), "4294967295");
    value(B("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), "18446744073709551615");
    value(B("\xff"), "-1");
    value(B("\xe0"), "-32");
    value(B("\xd0\x80"), "-128");
    value(B("\xd0\x05"), "5");
    value(B("\xd1\x80\x00"), "-32768");
    value(B("\xd2\x80\x00\x00\x00"), "-2147483648");
    value(B("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), "-9223372036854775808");
    value(B("\xca\x3f\xc0\x00\x00"), "1.5");
    value(B("\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a"), "0.1");
    value(B("\xcb\x44\x4b\x1a\xe4\xd6\xe2\xef\x50"), "1e+21");
    value(B("\xcb\x80\x00\x00\x00\x00\x00\x00\x00"), "0");
}

Test(msgpack, what_json_has_not, .fini = done)
{
    value(B("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"), "null"); /* NaN */
    value(B("\xca\x7f\x80\x00\x00"), "null");                 /* Infinity */
    value(B("\xcb\xff\xf0\x00\x00\x00\x00\x00\x00"), "null");
    value(B("\xd4\x00\x00"), "null"); /* undefined in an array */
    value(B("\x93\xd4\x00\x00\x01\xd4\x00\x07"), "[null,1,null]");
    value(B("\x81\xa1"
            "a\xd4\x00\x00"),
          "{}");
    value(B("\x82\xa1"
            "a\xd4\x00\x00\xa1"
            "b\x01"),
          "{\"b\":1}");
    value(B("\x82\xa1"
            "b\x01\xa1"
            "a\xd4\x00\x00"),
          "{\"b\":1}");
    value(B("\x83\xa1"
            "b\x01\xa1"
            "a\xd4\x00\x00\xa1"
            "c\x81\xa1"
            "d\xd4\x00\x00"),
          "{\"b\":1,\"c\":{}}");
}

Test(msgpack, dates, .fini = done)
{
    value(B("\xd7\x00\x00\x00\x00\x00\x00\x00\x00\x00"), "\"1970-01-01T00:00:00.000Z\"");
    value(B("\xd7\x00\xff\xff\xff\xff\xff\xff\xff\xff"), "\"1969-12-31T23:59:59.999Z\"");
    value(B("\xd7\x00\x00\x00\x01\x8d\x2f\xa8\xd4\x01"), "\"2024-01-22T05:33:29.985Z\"");
    /* 8.64e15 ms, the last one, and one more */
    value(B("\xd7\x00\x00\x1e\xb2\x08\xc2\xdc\x00\x00"), "\"+275760-09-13T00:00:00.000Z\"");
    value(B("\xd7\x00\x00\x1e\xb2\x08\xc2\xdc\x00\x01"), "null");
    value(B("\xd7\x00\xff\xe1\x4d\xf7\x3d\x24\x00\x00"), "\"-271821-04-20T00:00:00.000Z\"");
    value(B("\xd7\x00\xff\xe1\x4d\xf7\x3d\x23\xff\xff"), "null");
    value(B("\xd7\x00\x80\x00\x00\x00\x00\x00\x00\x00"), "null");
    value(B("\xd7\x00\x7f\xff\xff\xff\xff\xff\xff\xff"), "null");
}

Test(msgpack, strings, .fini = done)
{
    value(B("\xa0"), "\"\"");
    value(B("\xd9\x02hi"), "\"hi\"");
    value(B("\xda\x00\x02hi"), "\"hi\"");
    value(B("\xdb\x00\x00\x00\x02hi"), "\"hi\"");
    value(B("\xa6\"\\\n\x00\x1f/"), "\"\\\"\\\\\\n\\u0000\\u001f/\"");
    value(B("\xa4\xf0\x9f\x91\xa9"), "\"\xf0\x9f\x91\xa9\"");
    refuses(event(B("\xa1\xff")));
    refuses(event(B("\xa2\xc0\x80")));
    refuses(event(B("\xa3\xed\xa0\x80"))); /* half of a surrogate pair */
    refuses(event(B("\x81\xa1\xff\x01")));
    refuses(B("\x83\xa1\xff\x01" TYPE "\x00" NSP));
    refuses(B("\x83\xa1x\xa1\xff" TYPE "\x00" NSP));
}

Test(msgpack, containers, .fini = done)
{
    value(B("\x90"), "[]");
    value(B("\x80"), "{}");
    value(B("\x93\x90\x80\x91\x90"), "[[],{},[[]]]");
    value(B("\x82\xa1"
            "a\x01\xa1"
            "b\x81\xa1"
            "c\x92\x02\x03"),
          "{\"a\":1,\"b\":{\"c\":[2,3]}}");
    value(B("\xdc\x00\x02\x01\x02"), "[1,2]");
    value(B("\xdd\x00\x00\x00\x02\x01\x02"), "[1,2]");
    value(B("\xde\x00\x01\xa1"
            "a\x01"),
          "{\"a\":1}");
    value(B("\xdf\x00\x00\x00\x01\xa1"
            "a\x01"),
          "{\"a\":1}");
    value(B("\x82\xa1"
            "a\x01\xa1"
            "a\x02"),
          "{\"a\":1,\"a\":2}"); /* as in JSON text */
}

Test(msgpack, keys, .fini = done)
{
    value(B("\x84\x07\x01\xff\x02\xc0\x03\xc3\x04"),
          "{\"7\":1,\"-1\":2,\"null\":3,\"true\":4}");
    value(B("\x81\xa1\"\x01"), "{\"\\\"\":1}");
    refuses(event(B("\x81\xcb\x3f\xe0\x00\x00\x00\x00\x00\x00\x01")));
    refuses(event(B("\x81\xc4\x01"
                    "a\x01")));
    refuses(event(B("\x81\x90\x01")));
    refuses(event(B("\x81\x80\x01")));
    refuses(event(B("\x81\xd4\x00\x00\x01")));
    refuses(B("\x83\x90\x01" TYPE "\x00" NSP));
}

Test(msgpack, binary, .fini = done)
{
    gives(event(B("\xc4\x03"
                  "abc")),
          "51-[\"e\",{\"_placeholder\":true,\"num\":0}]");
    cr_assert_eq(packet.nattachments, 1);
    bytes_are(packet.attachment[0], B("abc"));
    gives(event(B("\x94\xc4\x00\xc5\x00\x01x\x81\xa1k\xc6\x00\x00\x00\x01y\xc7\x01\x00z")),
          "54-[\"e\",[{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1},"
          "{\"k\":{\"_placeholder\":true,\"num\":2}},{\"_placeholder\":true,\"num\":3}]]");
    bytes_are(packet.attachment[0], RC_STR_NONE);
    bytes_are(packet.attachment[1], B("x"));
    bytes_are(packet.attachment[2], B("y"));
    bytes_are(packet.attachment[3], B("z")); /* an ArrayBuffer of Node.js */
    gives(B("\x84" TYPE "\x03" DATA "\x91\xc4\x01x\xa2id\x07" NSP),
          "61-7[{\"_placeholder\":true,\"num\":0}]");
}

/* By length and head: undefined, Date, ArrayBuffer; all else a pair of type and bytes. */
Test(msgpack, extensions, .fini = done)
{
    const char *buffer = "51-[\"e\",{\"_placeholder\":true,\"num\":0}]";

    gives(event(B("\xc7\x01\x00z")), buffer);
    gives(event(B("\xc7\x08\x00zzzzzzzz")), buffer);
    gives(event(B("\xc8\x00\x01\x00z")), buffer);
    gives(event(B("\xc9\x00\x00\x00\x00\x00")), buffer);
    gives(event(B("\xd5\x00xy")), "51-[\"e\",[0,{\"_placeholder\":true,\"num\":0}]]");
    bytes_are(packet.attachment[0], B("xy"));
    gives(event(B("\xd8\x00xyxyxyxyxyxyxyxy")),
          "51-[\"e\",[0,{\"_placeholder\":true,\"num\":0}]]");
    /* a timestamp, of others than the stock client */
    gives(event(B("\xd6\xfftime")), "51-[\"e\",[-1,{\"_placeholder\":true,\"num\":0}]]");
    bytes_are(packet.attachment[0], B("time"));
    gives(event(B("\xd4\x05x")), "51-[\"e\",[5,{\"_placeholder\":true,\"num\":0}]]");
    gives(event(B("\xc7\x00\x05")), "51-[\"e\",[5,{\"_placeholder\":true,\"num\":0}]]");
    bytes_are(packet.attachment[0], RC_STR_NONE);
}

/* A map that looks like a placeholder means one, as it does in JSON. */
Test(msgpack, placeholders_by_hand, .fini = done)
{
    struct rc_sio_packet p;
    const char *limit;

    value(B("\x82\xac_placeholder\xc3\xa3num\x00"), "{\"_placeholder\":true,\"num\":0}");
    gives(event(B("\x92\xc4\x01x\x82\xac_placeholder\xc3\xa3num\x05")),
          "51-[\"e\",[{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":5}]]");
    cr_assert_eq(rc_sio_parse(packet.text, &limits, &p, &limit), RC_EPROTO);
}

/* ---- limits and hostile input ---- */

Test(msgpack, depth, .fini = done)
{
    char deep[40];

    memset(deep, '\x91', sizeof(deep));
    deep[15] = '\x01';
    cr_assert_eq(decode(event(rc_str_make(deep, 16))), RC_OK); /* data is a level itself */
    deep[15] = '\x91';
    deep[16] = '\x01';
    limited(event(rc_str_make(deep, 17)), "json_depth");
    deep[15] = '\x90';
    limited(event(rc_str_make(deep, 16)), "json_depth");
}

Test(msgpack, depth_of_what_is_read_over, .fini = done)
{
    struct rc_buf b = RC_BUF_INIT;

    rc_buf_puts(&b, B("\x83" TYPE "\x00" NSP "\xa1x"));
    for (unsigned i = 0; i < 100000; i++)
        rc_buf_putc(&b, '\x91');
    rc_buf_putc(&b, '\x00');
    limited(rc_buf_str(&b), "json_depth");
    rc_buf_deinit(&b);
}

/* The deepest that a configuration allows, through and back. */
Test(msgpack, deepest, .fini = done)
{
    struct rc_sio_limits deep = limits;
    struct rc_buf b = RC_BUF_INIT, back = RC_BUF_INIT;
    struct rc_msgpack_packet p;
    const char *limit;

    deep.max_depth = 1000;
    rc_buf_puts(&b, B("\x83" TYPE "\x02" DATA "\x92\xa1"
                      "e"));
    for (unsigned i = 1; i < 1000; i++)
        rc_buf_putc(&b, '\x91');
    rc_buf_puts(&b, B("\x01" NSP));
    cr_assert_eq(rc_msgpack_decode(rc_buf_str(&b), &deep, &text, &p, &limit), RC_OK);
    cr_assert_eq(rc_msgpack_encode(p.text, NULL, 0, &back), RC_OK);
    bytes_are(rc_buf_str(&back), rc_buf_str(&b));
    deep.max_depth = 5000; /* is cut to what JSON can do */
    b.len -= sizeof("\x01" NSP) - 1;
    for (unsigned i = 0; i < 3000; i++)
        rc_buf_putc(&b, '\x91');
    rc_buf_puts(&b, B("\x01" NSP));
    cr_assert_eq(rc_msgpack_decode(rc_buf_str(&b), &deep, &text, &p, &limit), RC_ELIMIT);
    cr_assert_str_eq(limit, "json_depth");
    rc_buf_deinit(&b);
    rc_buf_deinit(&back);
}

Test(msgpack, attachments, .fini = done)
{
    struct rc_buf b = RC_BUF_INIT;

    rc_buf_putc(&b, '\x9a');
    for (unsigned i = 0; i < 10; i++)
        rc_buf_puts(&b, B("\xc4\x00"));
    cr_assert_eq(decode(event(rc_buf_str(&b))), RC_OK);
    cr_assert_eq(packet.nattachments, 10);
    b.data[0] = (uint8_t)'\x9b';
    rc_buf_puts(&b, B("\xc4\x00"));
    limited(event(rc_buf_str(&b)), "max_attachments");
    limits.max_attachments = 1000; /* more than a packet has room for */
    rc_buf_reset(&b);
    rc_buf_puts(&b, B("\xdc\x00\x21"));
    for (unsigned i = 0; i < 33; i++)
        rc_buf_puts(&b, B("\xc4\x00"));
    limited(event(rc_buf_str(&b)), "max_attachments");
    limits.max_attachments = 10;
    rc_buf_deinit(&b);
}

Test(msgpack, namespace_length, .fini = done)
{
    gives(B("\x82" TYPE "\x01\xa3nsp\xac/bcdefghijkl"), "1/bcdefghijkl,");
    limited(B("\x82" TYPE "\x01\xa3nsp\xad/bcdefghijklm"), "max_namespace_length");
    gives(B("\x84" TYPE "\x02\xa2id\xcf\x00\x1f\xff\xff\xff\xff\xff\xff" DATA "\x92\xa1"
            "e\xc4\x00\xa3nsp\xac/bcdefghijkl"),
          "51-/bcdefghijkl,9007199254740991[\"e\",{\"_placeholder\":true,\"num\":0}]");
}

/* Sizes that nothing follows: they are not believed, so that no memory is asked for. */
Test(msgpack, hostile_sizes, .fini = done)
{
    static const char heads[][6] = {
        "\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff", "\xdb\xff\xff\xff\xff",
        "\xc6\xff\xff\xff\xff", "\xc9\xff\xff\xff\xff", "\xc9\xff\xff\xff\xfe",
        "\xdd\x7f\xff\xff\xff", "\xdf\x80\x00\x00\x00",
    };

    for (unsigned i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        struct rc_buf b = RC_BUF_INIT;

        refuses(rc_str_make(heads[i], 5));
        rc_buf_puts(&b, B("\x82" TYPE "\x02" DATA));
        rc_buf_put(&b, heads[i], 5);
        refuses(rc_buf_str(&b));
        refuses(event(rc_str_make(heads[i], 5)));
        cr_assert_lt(text.cap, 1024, "%zu bytes for %u", text.cap, i);
        rc_buf_deinit(&b);
    }
    /* many of them, one in the other */
    for (unsigned n = 1; n < 16; n++) {
        struct rc_buf b = RC_BUF_INIT;

        rc_buf_puts(&b, B("\x82" TYPE "\x02" DATA));
        for (unsigned i = 0; i < n; i++)
            rc_buf_puts(&b, B("\xdd\xff\xff\xff\xff"));
        refuses(rc_buf_str(&b));
        cr_assert_lt(text.cap, 1024);
        rc_buf_deinit(&b);
    }
}

/* Text may be six times as long as what it came from. */
Test(msgpack, text_length, .fini = done)
{
    struct rc_buf b = RC_BUF_INIT;

    limits.max_text = 2000;
    rc_buf_puts(&b, B("\xdc\x01\x8d")); /* 2["e",[null,null,...]] */
    for (unsigned i = 0; i < 397; i++)
        rc_buf_putc(&b, '\xc0');
    cr_assert_eq(decode(event(rc_buf_str(&b))), RC_OK);
    cr_assert_eq(packet.text.len, 8 + 5 * 397);
    limits.max_text = packet.text.len;
    cr_assert_eq(decode(event(rc_buf_str(&b))), RC_OK);
    limits.max_text--;
    limited(event(rc_buf_str(&b)), "max_payload");
    rc_buf_reset(&b);
    rc_buf_puts(&b, B("\xdd\x00\x01\x00\x00"));
    for (unsigned i = 0; i < 65536; i++)
        rc_buf_putc(&b, '\xc2');
    limited(event(rc_buf_str(&b)), "max_payload");
    cr_assert_lt(text.cap, 4096);
    rc_buf_reset(&b); /* what is read over is not exempt */
    rc_buf_puts(&b, B("\x83" TYPE "\x00" NSP "\xa1x\xda\x08\x00"));
    for (unsigned i = 0; i < 2048; i++)
        rc_buf_putc(&b, '\x01');
    limited(rc_buf_str(&b), "max_payload");
    rc_buf_reset(&b); /* and what comes then is not looked at */
    rc_buf_puts(&b, B("\xdd\x00\x01\x00\x00"));
    for (unsigned i = 0; i < 2048; i++)
        rc_buf_putc(&b, '\xc2');
    rc_buf_putc(&b, '\xc1');
    limited(event(rc_buf_str(&b)), "max_payload");
    limits.max_text = 300000;
    rc_buf_deinit(&b);
}

/* Each shorter one is refused, and read no further than it goes; so is a longer one. */
Test(msgpack, every_truncation, .fini = done)
{
    struct rc_str whole =
        B("\x85" TYPE "\x02" DATA "\xdc\x00\x0f\xa1"
          "e\xd9\x02hi\xda\x00\x01x\xdb\x00\x00\x00\x01y\xcc\xff"
          "\xd1\x01\x00\xca\x3f\xc0\x00\x00\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a\x82\xa1"
          "a\xd4\x00\x00\x07"
          "\xde\x00\x01\xa0\xdd\x00\x00\x00\x01\xc0\xc4\x02qq\xc5\x00\x01r\xc6\x00\x00\x00\x01s"
          "\xd7\x00\x00\x00\x00\x00\x00\x00\x00\x01\xc7\x02\x00uu\xc8\x00\x01\x07v"
          "\xa7options\x81\xa8"
          "compress\xc3\xa2id\xcd\x01\x00" NSP);
    struct rc_buf longer = RC_BUF_INIT;

    gives(whole, "55-256[\"e\",\"hi\",\"x\",\"y\",255,256,1.5,0.1,{\"7\":{\"\":[null]}},"
                 "{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1},"
                 "{\"_placeholder\":true,\"num\":2},\"1970-01-01T00:00:00.001Z\","
                 "{\"_placeholder\":true,\"num\":3},[7,{\"_placeholder\":true,\"num\":4}]]");
    for (size_t len = 0; len < whole.len; len++)
        refuses(rc_str_make(whole.p, len));
    rc_buf_puts(&longer, whole);
    rc_buf_putc(&longer, '\xc0');
    refuses(rc_buf_str(&longer));
    rc_buf_deinit(&longer);
}

/* Every first byte as an argument, with and without bytes behind it: no crash, and no surprise. */
Test(msgpack, every_byte, .fini = done)
{
    struct rc_sio_packet p;
    const char *limit;

    for (unsigned c = 0; c < 256; c++) {
        char bytes[24] = {(char)c};

        for (size_t len = 1; len <= sizeof(bytes); len++) {
            int rc = decode(event(rc_str_make(bytes, len)));

            cr_assert(rc == RC_OK || rc == RC_EPROTO, "%02x: %d", c, rc);
            if (rc == RC_OK)
                cr_assert_eq(rc_sio_parse(packet.text, &limits, &p, &limit), RC_OK, "%02x", c);
        }
    }
}

/* ---- encoding ---- */

static void encodes(const char *canonical, const struct rc_str *attachment, unsigned n,
                    struct rc_str expected)
{
    struct rc_buf b = RC_BUF_INIT;

    cr_assert_eq(rc_msgpack_encode(rc_str_of(canonical), attachment, n, &b), RC_OK, "%s",
                 canonical);
    cr_assert(rc_str_eq(rc_buf_str(&b), expected), "%s: %s", canonical, hex(rc_buf_str(&b)));
    rc_buf_deinit(&b);
}

static void encodes_value(const char *json, struct rc_str bytes)
{
    struct rc_buf canonical = RC_BUF_INIT;
    struct rc_str whole = event(bytes);

    rc_buf_printf(&canonical, "2[\"e\",%s]", json);
    rc_buf_putc(&canonical, '\0');
    encodes((const char *)canonical.data, NULL, 0, whole);
    rc_buf_deinit(&canonical);
}

Test(msgpack, encode_packets)
{
    encodes("0{\"sid\":\"x\"}", NULL, 0, B("\x83" TYPE "\x00" DATA "\x81\xa3sid\xa1x" NSP));
    encodes("1", NULL, 0, B("\x82" TYPE "\x01" NSP));
    encodes("1/chat,", NULL, 0, B("\x82" TYPE "\x01\xa3nsp\xa5/chat"));
    encodes("2/chat,12[\"hi\"]", NULL, 0,
            B("\x84" TYPE "\x02" DATA "\x91\xa2hi\xa2id\x0c\xa3nsp\xa5/chat"));
    encodes("30[] ", NULL, 0, B("\x84\xa2id\x00" TYPE "\x03" DATA "\x90" NSP));
    encodes("4{\"message\":\"no\"}", NULL, 0,
            B("\x83" TYPE "\x04" DATA "\x81\xa7message\xa2no" NSP));
    encodes("4\"no\"", NULL, 0, B("\x83" TYPE "\x04" DATA "\xa2no" NSP));
}

Test(msgpack, encode_numbers)
{
    encodes_value("0", B("\x00"));
    encodes_value("127", B("\x7f"));
    encodes_value("128", B("\xcc\x80"));
    encodes_value("256", B("\xcd\x01\x00"));
    encodes_value("65536", B("\xce\x00\x01\x00\x00"));
    encodes_value("4294967296", B("\xcf\x00\x00\x00\x01\x00\x00\x00\x00"));
    encodes_value("18446744073709551615", B("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"));
    encodes_value("18446744073709551616", B("\xcb\x43\xf0\x00\x00\x00\x00\x00\x00"));
    encodes_value("-32", B("\xe0"));
    encodes_value("-33", B("\xd0\xdf"));
    encodes_value("-129", B("\xd1\xff\x7f"));
    encodes_value("-32769", B("\xd2\xff\xff\x7f\xff"));
    encodes_value("-9223372036854775808", B("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"));
    encodes_value("1.5", B("\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"));
    encodes_value("1.0", B("\x01"));
    encodes_value("1e2", B("\x64"));
    encodes_value("-0", B("\x00"));
    encodes_value("1e999", B("\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"));
}

Test(msgpack, encode_values)
{
    encodes_value("null", B("\xc0"));
    encodes_value(" true ", B("\xc3"));
    encodes_value("false", B("\xc2"));
    encodes_value("\"\"", B("\xa0"));
    encodes_value("\"\\u00e4\\n\\\"\\ud83d\\udc69\"", B("\xa8\xc3\xa4\n\"\xf0\x9f\x91\xa9"));
    encodes_value("\"\\ud83d\"", B("\xa3\xef\xbf\xbd"));
    encodes_value("[ 1 , [ ] , { } ]", B("\x93\x01\x90\x80"));
    encodes_value("{\"b\":1,\"a\":{\"c\":[2,\"x\"]},\"\\u0061\":null}", B("\x83\xa1"
                                                                          "b\x01\xa1"
                                                                          "a\x81\xa1"
                                                                          "c\x92\x02\xa1x\xa1"
                                                                          "a\xc0"));
    encodes_value("{\"_placeholder\":true,\"num\":0}",
                  B("\x82\xac_placeholder\xc3\xa3num\x00"));
}

/* The borders of the forms of length. */
Test(msgpack, encode_lengths)
{
    const struct {
        size_t n;
        struct rc_str str, array, map;
    } row[] = {
        {15, B("\xaf"), B("\x9f"), B("\x8f")},
        {16, B("\xb0"), B("\xdc\x00\x10"), B("\xde\x00\x10")},
        {31, B("\xbf"), B("\xdc\x00\x1f"), B("\xde\x00\x1f")},
        {32, B("\xd9\x20"), B("\xdc\x00\x20"), B("\xde\x00\x20")},
        {255, B("\xd9\xff"), B("\xdc\x00\xff"), B("\xde\x00\xff")},
        {256, B("\xda\x01\x00"), B("\xdc\x01\x00"), B("\xde\x01\x00")},
        {65535, B("\xda\xff\xff"), B("\xdc\xff\xff"), B("\xde\xff\xff")},
        {65536, B("\xdb\x00\x01\x00\x00"), B("\xdd\x00\x01\x00\x00"),
         B("\xdf\x00\x01\x00\x00")},
    };

    for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct rc_buf json[3] = {RC_BUF_INIT}, bytes[3] = {RC_BUF_INIT};

        rc_buf_putc(&json[0], '"');
        rc_buf_putc(&json[1], '[');
        rc_buf_putc(&json[2], '{');
        rc_buf_puts(&bytes[0], row[i].str);
        rc_buf_puts(&bytes[1], row[i].array);
        rc_buf_puts(&bytes[2], row[i].map);
        for (size_t n = 0; n < row[i].n; n++) {
            rc_buf_putz(&json[0], "x");
            rc_buf_putz(&json[1], n != 0 ? ",7" : "7");
            rc_buf_putz(&json[2], n != 0 ? ",\"\":7" : "\"\":7");
            rc_buf_putc(&bytes[0], 'x');
            rc_buf_putc(&bytes[1], '\x07');
            rc_buf_puts(&bytes[2], B("\xa0\x07"));
        }
        rc_buf_puts(&json[0], RC_STR("\"\0"));
        rc_buf_puts(&json[1], RC_STR("]\0"));
        rc_buf_puts(&json[2], RC_STR("}\0"));
        for (unsigned k = 0; k < 3; k++) {
            encodes_value((const char *)json[k].data, rc_buf_str(&bytes[k]));
            rc_buf_deinit(&json[k]);
            rc_buf_deinit(&bytes[k]);
        }
    }
}

Test(msgpack, encode_binary)
{
    struct rc_str a[2] = {B("one"), RC_STR_NONE};

    encodes("51-[\"e\",{\"_placeholder\":true,\"num\":0}]", a, 1, event(B("\xc4\x03one")));
    encodes("61-7[{\"_placeholder\":true,\"num\":0}]", a, 1,
            B("\x84\xa2id\x07" TYPE "\x03" DATA "\x91\xc4\x03one" NSP));
    /* out of order, in depth, twice, and with what the reference would throw away */
    encodes("52-[\"e\",[{\"num\":1,\"_placeholder\":true},{\"x\":{\"_placeholder\":true,"
            "\"num\":0}},"
            "{\"_placeholder\":true,\"num\":0,\"x\":{\"y\":[{}]}},{\"z\":1}]]",
            a, 2, event(B("\x94\xc4\x00\x81\xa1x\xc4\x03one\xc4\x03one\x81\xa1z\x01")));
    encodes("51-[\"e\",[{\"_placeholder\":true,\"num\":1},{\"_placeholder\":false,\"num\":0},"
            "{\"_placeholder\":[],\"num\":0},{\"_placeholder\":true,\"num\":{}}]]",
            a, 1,
            event(B("\x94\x82\xac_placeholder\xc3\xa3num\x01\x82\xac_placeholder\xc2\xa3num\x00"
                    "\x82\xac_placeholder\x90\xa3num\x00\x82\xac_placeholder\xc3\xa3num\x80")));
}

Test(msgpack, encode_refuses)
{
    static const char *const bad[] = {"",    "9",   "51-[{}]", "2[",    "2]",
                                      "2[}", "2[1", "2[\"x]",  "2[nul]"};
    struct rc_buf b = RC_BUF_INIT;

    rc_buf_putz(&b, "kept");
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_eq(rc_msgpack_encode(rc_str_of(bad[i]), NULL, 0, &b), RC_EPROTO, "%s",
                     bad[i]);
        bytes_are(rc_buf_str(&b), RC_STR("kept"));
    }
    rc_buf_deinit(&b);
}

/* More containers than the counts that have room on the stack. */
Test(msgpack, round_trip_of_many, .fini = done)
{
    struct rc_buf json = RC_BUF_INIT, b = RC_BUF_INIT;

    rc_buf_putz(&json, "2[\"e\"");
    for (unsigned i = 0; i < 1000; i++)
        rc_buf_printf(&json, ",[{\"k%u\":[[],%u]},\"%u\"]", i, i * i, i);
    rc_buf_putc(&json, ']');
    cr_assert_eq(rc_msgpack_encode(rc_buf_str(&json), NULL, 0, &b), RC_OK);
    cr_assert_eq(decode(rc_buf_str(&b)), RC_OK);
    cr_assert(rc_str_eq(packet.text, rc_buf_str(&json)));
    rc_buf_deinit(&json);
    rc_buf_deinit(&b);
}

/* ---- as the npm packages have it ---- */

static const struct {
    const char *sent, *text, *attachments, *back;
} vectors[] = {
#include "msgpack_vectors.inc"
};

/* The bytes of the hex digits up to a blank; *z moves behind it. */
static struct rc_str unhex(const char **z)
{
    static char bytes[2][1024];
    static unsigned turn;
    char *out = bytes[++turn % 2];
    size_t n = 0;
    unsigned c;

    while (**z != '\0' && **z != ' ' && sscanf(*z, "%2x", &c) == 1) {
        cr_assert_lt(n, sizeof(bytes[0]));
        out[n++] = (char)c;
        *z += 2;
    }
    *z += **z == ' ';
    return rc_str_make(out, n);
}

Test(msgpack, vectors, .fini = done)
{
    struct rc_buf b = RC_BUF_INIT;

    limits.max_args = 32;
    for (unsigned i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const char *at = vectors[i].sent, *rest = vectors[i].attachments;
        struct rc_str sent = unhex(&at);

        gives(sent, vectors[i].text);
        for (unsigned k = 0; k < packet.nattachments; k++)
            bytes_are(packet.attachment[k], unhex(&rest));
        cr_assert_eq(*rest, '\0', "%s", vectors[i].text);
        rc_buf_reset(&b);
        cr_assert_eq(rc_msgpack_encode(packet.text, packet.attachment, packet.nattachments, &b),
                     RC_OK);
        at = vectors[i].back;
        cr_assert(rc_str_eq(rc_buf_str(&b), unhex(&at)), "%s: %s", vectors[i].text,
                  hex(rc_buf_str(&b)));
    }
    rc_buf_deinit(&b);
}

Test(msgpack, every_truncation_of_vectors, .fini = done)
{
    for (unsigned i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const char *at = vectors[i].sent;
        struct rc_str sent = unhex(&at);

        for (size_t len = 0; len < sent.len; len++)
            refuses(rc_str_make(sent.p, len));
    }
}

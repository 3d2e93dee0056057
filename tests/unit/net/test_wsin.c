#include "rc/net/wsin.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <zlib.h>

enum { MAX = 1000 };

static const struct rc_deflate_params off = {.on = false};
static const struct rc_deflate_params alone = {.on = true};
static const struct rc_deflate_params takeover = {.on = true, .client_takeover = true};

/* Feeds one piece, which begins and ends as told; returns the result, and a whole message in
 * *out. */
struct piece {
    uint8_t opcode;
    bool first, last, compressed;
};

static int feed(struct rc_wsin *in, struct piece p, struct rc_str data, struct rc_buf *out)
{
    struct rc_ws_event ev = {.type = RC_WS_EV_DATA,
                             .opcode = p.opcode,
                             .first = p.first,
                             .last = p.last,
                             .compressed = p.compressed};
    struct rc_buf hold = RC_BUF_INIT;
    char *copy = malloc(data.len != 0 ? data.len : 1);
    struct rc_str whole;
    int rc;

    cr_assert_not_null(copy);
    if (data.len != 0)
        memcpy(copy, data.p, data.len);
    ev.data = rc_str_make(copy, data.len);
    rc = rc_wsin_piece(in, &ev, &hold, &whole);
    rc_buf_reset(out);
    if (rc == RC_OK)
        rc_buf_puts(out, whole);
    else
        cr_assert_null(hold.data);
    rc_buf_deinit(&hold);
    free(copy);
    return rc;
}

/* A message in pieces of `step` bytes: the result of the last one, or of the first bad one. */
static int feed_all(struct rc_wsin *in, uint8_t opcode, bool compressed, struct rc_str data,
                    size_t step, struct rc_buf *out)
{
    struct piece p = {.opcode = opcode, .first = true, .compressed = compressed};
    size_t at = 0;
    int rc;

    do {
        size_t n = step < data.len - at ? step : data.len - at;

        p.last = at + n == data.len;
        rc = feed(in, p, rc_str_make(data.p + at, n), out);
        p.first = false;
        at += n;
    } while (rc == RC_EAGAIN && at < data.len);
    return rc;
}

static void pack(struct rc_str message, struct rc_buf *out)
{
    struct rc_deflater *d = rc_deflater_new(9, 0);
    struct rc_str packed = rc_deflater_run(d, RC_DEFLATE_FULL, message);

    cr_assert_not_null(packed.p);
    rc_buf_reset(out);
    rc_buf_puts(out, packed);
    rc_deflater_free(d);
}

Test(wsin, plain)
{
    const struct rc_str messages[] = {RC_STR(""), RC_STR("x"), RC_STR("hello, world")};
    struct rc_buf out = RC_BUF_INIT;
    struct rc_wsin in;

    rc_wsin_init(&in, MAX, &off);
    cr_assert_not(in.deflate.on);
    cr_assert_eq(in.max, (uint32_t)MAX);
    for (unsigned i = 0; i < 3; i++) {
        for (size_t step = 1; step < 20; step++) {
            cr_assert_eq(feed_all(&in, RC_WS_BINARY, false, messages[i], step, &out), RC_OK);
            cr_assert(rc_str_eq(rc_buf_str(&out), messages[i]));
            cr_assert_null(in.partial);
        }
    }
    rc_wsin_deinit(&in);
    rc_buf_deinit(&out);
}

/* What lies in one piece is not copied. */
Test(wsin, plain_in_place)
{
    struct rc_ws_event ev = {
        .opcode = RC_WS_TEXT, .first = true, .last = true, .data = RC_STR("in place")};
    struct rc_buf hold = RC_BUF_INIT;
    struct rc_str whole;
    struct rc_wsin in;

    rc_wsin_init(&in, MAX, &takeover);
    cr_assert_eq(rc_wsin_piece(&in, &ev, &hold, &whole), RC_OK);
    cr_assert_eq(whole.p, ev.data.p);
    cr_assert_null(hold.data);
    cr_assert_null(in.partial);
    rc_wsin_deinit(&in);
}

static void check_compressed(const struct rc_deflate_params *deflate)
{
    struct rc_str hello = RC_STR("hello hello hello hello hello hello hello h\xc3\xa9llo");
    struct rc_buf packed = RC_BUF_INIT, out = RC_BUF_INIT;
    struct rc_wsin in;

    pack(hello, &packed);
    rc_wsin_init(&in, MAX, deflate);
    cr_assert(in.deflate.on);
    for (size_t step = 1; step <= packed.len; step++) {
        uint8_t opcode = step % 2 != 0 ? RC_WS_TEXT : RC_WS_BINARY;

        cr_assert_eq(feed_all(&in, opcode, true, rc_buf_str(&packed), step, &out), RC_OK);
        cr_assert(rc_str_eq(rc_buf_str(&out), hello));
        /* Memory stays with the connection only where it must. */
        cr_assert_eq(in.partial != NULL, deflate->client_takeover);
        cr_assert_eq(feed_all(&in, opcode, false, hello, step, &out), RC_OK);
        cr_assert(rc_str_eq(rc_buf_str(&out), hello));
        cr_assert_eq(in.partial != NULL, deflate->client_takeover);
    }
    rc_wsin_deinit(&in);
    cr_assert_null(in.partial);
    rc_buf_deinit(&packed);
    rc_buf_deinit(&out);
}

Test(wsin, compressed)
{
    check_compressed(&alone);
}

Test(wsin, compressed_with_takeover)
{
    check_compressed(&takeover);
}

/* RFC 7692 section 7.2.3.2: the second message refers to the first. */
Test(wsin, context)
{
    struct rc_str first = RC_STR("\xf2\x48\xcd\xc9\xc9\x07\x00"),
                  again = RC_STR("\xf2\x00\x11\x00\x00");
    struct rc_buf out = RC_BUF_INIT;
    struct rc_wsin in;

    rc_wsin_init(&in, MAX, &takeover);
    cr_assert_eq(feed_all(&in, RC_WS_TEXT, true, first, 3, &out), RC_OK);
    cr_assert_eq(feed_all(&in, RC_WS_TEXT, false, RC_STR("between"), 3, &out), RC_OK);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(feed_all(&in, RC_WS_TEXT, true, again, 2, &out), RC_OK);
        cr_assert(rc_str_eq(rc_buf_str(&out), RC_STR("Hello")));
    }
    rc_wsin_deinit(&in);
    rc_wsin_init(&in, MAX, &alone);
    cr_assert_eq(feed_all(&in, RC_WS_TEXT, true, first, 3, &out), RC_OK);
    cr_assert_eq(feed_all(&in, RC_WS_TEXT, true, again, 2, &out), RC_EPROTO);
    rc_wsin_deinit(&in);
    rc_buf_deinit(&out);
}

/* The window that was agreed on is all that is kept. */
Test(wsin, window_bits)
{
    struct rc_deflate_params p = {.on = true, .client_takeover = true, .client_bits = 8};
    struct rc_buf packed = RC_BUF_INIT, next = RC_BUF_INIT, out = RC_BUF_INIT;
    char message[MAX];
    struct rc_wsin in;

    for (unsigned i = 0, x = 1; i < MAX; i++) {
        x = x * 1664525 + 1013904223;
        message[i] = i < 600 ? (char)('0' + (x >> 16) % 64) : message[i - 600];
    }
    pack(rc_str_make(message, MAX), &packed);
    rc_wsin_init(&in, MAX, &p);
    /* Within a message zlib does not mind distances; between messages they are gone. */
    (void)feed_all(&in, RC_WS_BINARY, true, rc_buf_str(&packed), packed.len, &out);
    rc_wsin_deinit(&in);
    p.client_bits = 15;
    rc_wsin_init(&in, MAX, &p);
    cr_assert_eq(feed_all(&in, RC_WS_BINARY, true, rc_buf_str(&packed), 1, &out), RC_OK);
    cr_assert(rc_str_eq(rc_buf_str(&out), rc_str_make(message, MAX)));
    rc_wsin_deinit(&in);
    p.client_bits = 8;
    rc_wsin_init(&in, MAX, &p);
    cr_assert_eq(feed_all(&in, RC_WS_BINARY, true, rc_buf_str(&packed), 1, &out), RC_EPROTO);
    rc_wsin_deinit(&in);
    rc_buf_deinit(&packed);
    rc_buf_deinit(&next);
    rc_buf_deinit(&out);
}

/* Bad text is refused by the piece that makes it bad, at the latest by the last. */
Test(wsin, utf8)
{
    struct rc_buf packed = RC_BUF_INIT, out = RC_BUF_INIT;
    struct piece first = {.opcode = RC_WS_TEXT, .first = true, .compressed = true};
    char text[200];
    struct rc_wsin in;

    memset(text, 'a', sizeof(text));
    text[100] = '\xff';
    pack(rc_str_make(text, sizeof(text)), &packed);
    for (size_t step = 1; step <= packed.len; step++) {
        rc_wsin_init(&in, MAX, &alone);
        cr_assert_eq(feed_all(&in, RC_WS_TEXT, true, rc_buf_str(&packed), step, &out),
                     RC_EPROTO);
        rc_wsin_deinit(&in);
        rc_wsin_init(&in, MAX, &alone);
        cr_assert_eq(feed_all(&in, RC_WS_BINARY, true, rc_buf_str(&packed), step, &out), RC_OK);
        rc_wsin_deinit(&in);
    }
    rc_wsin_init(&in, MAX, &alone);
    cr_assert_eq(feed(&in, first, rc_str_make(packed.data, packed.len - 1), &out), RC_EPROTO);
    rc_wsin_deinit(&in);

    text[100] = 'a';
    text[199] = '\xc3'; /* half a character at the end */
    pack(rc_str_make(text, sizeof(text)), &packed);
    rc_wsin_init(&in, MAX, &alone);
    cr_assert_eq(feed(&in, first, rc_str_make(packed.data, packed.len - 1), &out), RC_EAGAIN);
    cr_assert_eq(feed(&in, (struct piece){RC_WS_TEXT, false, true, true},
                      rc_str_make(packed.data + packed.len - 1, 1), &out),
                 RC_EPROTO);
    rc_wsin_deinit(&in);
    rc_buf_deinit(&packed);
    rc_buf_deinit(&out);
}

Test(wsin, limit)
{
    struct rc_buf packed = RC_BUF_INIT, out = RC_BUF_INIT;
    char text[MAX + 1];
    struct rc_wsin in;

    memset(text, 'a', sizeof(text));
    for (size_t step = 1; step < 20; step++) {
        rc_wsin_init(&in, MAX, &alone);
        pack(rc_str_make(text, MAX), &packed);
        cr_assert_eq(feed_all(&in, RC_WS_TEXT, true, rc_buf_str(&packed), step, &out), RC_OK);
        cr_assert_eq(out.len, (size_t)MAX);
        pack(rc_str_make(text, MAX + 1), &packed);
        cr_assert_eq(feed_all(&in, RC_WS_TEXT, true, rc_buf_str(&packed), step, &out),
                     RC_ELIMIT);
        rc_wsin_deinit(&in);
    }
    rc_buf_deinit(&packed);
    rc_buf_deinit(&out);
}

/* An empty frame with RSV1 set, and empty fragments, are an empty message as with ws. */
Test(wsin, empty)
{
    struct rc_buf out = RC_BUF_INIT;
    struct rc_wsin in;

    rc_wsin_init(&in, MAX, &takeover);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(feed_all(&in, RC_WS_TEXT, true, RC_STR(""), 1, &out), RC_OK);
        cr_assert_eq(out.len, 0u);
        cr_assert_eq(feed(&in, (struct piece){RC_WS_TEXT, true, false, true}, RC_STR(""), &out),
                     RC_EAGAIN);
        cr_assert_eq(feed(&in, (struct piece){RC_WS_TEXT, false, true, true}, RC_STR(""), &out),
                     RC_OK);
        cr_assert_eq(out.len, 0u);
    }
    rc_wsin_deinit(&in);
    rc_buf_deinit(&out);
}

Test(wsin, codes)
{
    cr_assert_eq(rc_wsin_code(RC_EPROTO), 1007u);
    cr_assert_eq(rc_wsin_code(RC_ELIMIT), 1009u);
    cr_assert_eq(rc_wsin_code(RC_ENOMEM), 1011u);
}

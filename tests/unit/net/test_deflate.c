#include "rc/net/deflate.h"

#include "rc/net/http.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

/* ---- negotiation ---- */

static const struct rc_deflate_policy strict = {.client_bits = 15};
static const struct rc_deflate_policy takeover = {.client_bits = 15, .client_takeover = true};
static const struct rc_deflate_policy small = {.client_bits = 10};

static const char declined[] = "declined", malformed[] = "malformed";

static void check_offer(const struct rc_deflate_policy *policy, const char *header,
                        const char *expected)
{
    struct rc_deflate_params p;
    struct rc_buf out = RC_BUF_INIT;
    char *copy = strdup(header); /* without the NUL: an overread shows */
    int rc;

    cr_assert_not_null(copy);
    copy = realloc(copy, strlen(header) + (strlen(header) == 0));
    rc = rc_deflate_offer(rc_str_make(copy, strlen(header)), policy, &p);
    free(copy);
    cr_assert_eq(p.on, rc == RC_OK);
    if (rc == RC_OK)
        rc_deflate_answer(&p, &out);
    else
        rc_buf_putz(&out, rc == RC_ENOENT ? declined : malformed);
    rc_buf_putc(&out, '\0');
    if (strcmp((const char *)out.data, expected) != 0)
        cr_assert_fail("%s: %s, expected %s", header, (const char *)out.data, expected);
    rc_buf_deinit(&out);
}

#define PMD    "permessage-deflate"
#define SERVER "; server_no_context_takeover"
#define CLIENT "; client_no_context_takeover"
#define ALONE  PMD SERVER CLIENT

Test(deflate_offer, accepted)
{
    static const struct {
        const char *header, *answer;
    } rows[] = {
        {PMD, ALONE},
        {"  " PMD "\t", ALONE},
        {PMD "; client_max_window_bits", ALONE}, /* what browsers send */
        {PMD ";client_max_window_bits;server_no_context_takeover", ALONE},
        {PMD " ; client_no_context_takeover", ALONE},
        {PMD SERVER CLIENT, ALONE},
        {PMD "; server_max_window_bits=8", ALONE "; server_max_window_bits=8"},
        {PMD "; server_max_window_bits=9", ALONE "; server_max_window_bits=9"},
        {PMD "; server_max_window_bits=10", ALONE "; server_max_window_bits=10"},
        {PMD "; server_max_window_bits=15", ALONE "; server_max_window_bits=15"},
        {PMD "; client_max_window_bits=8", ALONE "; client_max_window_bits=8"},
        {PMD "; client_max_window_bits=15", ALONE "; client_max_window_bits=15"},
        {PMD "; client_max_window_bits=\"12\"", ALONE "; client_max_window_bits=12"},
        {PMD "; server_max_window_bits=\"1\\1\"", ALONE "; server_max_window_bits=11"},
        {PMD "; client_max_window_bits=9; server_max_window_bits=14",
         ALONE "; server_max_window_bits=14; client_max_window_bits=9"},
    };

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_offer(&strict, rows[i].header, rows[i].answer);
}

Test(deflate_offer, policies)
{
    check_offer(&takeover, PMD, PMD SERVER);
    check_offer(&takeover, PMD CLIENT, PMD SERVER CLIENT);
    check_offer(&takeover, PMD "; client_max_window_bits=11; server_max_window_bits=13",
                PMD SERVER "; server_max_window_bits=13; client_max_window_bits=11");
    /* A client that does not offer it cannot be told. */
    check_offer(&small, PMD, ALONE);
    check_offer(&small, PMD "; client_max_window_bits", ALONE "; client_max_window_bits=10");
    check_offer(&small, PMD "; client_max_window_bits=15", ALONE "; client_max_window_bits=10");
    check_offer(&small, PMD "; client_max_window_bits=9", ALONE "; client_max_window_bits=9");
}

Test(deflate_offer, several)
{
    check_offer(&strict, "x, " PMD ", y", ALONE);
    check_offer(&strict, "x; a=1; b=\"2\"; c, " PMD, ALONE);
    check_offer(&strict, ", ," PMD " ,,", ALONE);
    check_offer(&strict, PMD "; server_max_window_bits=9, " PMD,
                ALONE "; server_max_window_bits=9");
    check_offer(&strict, PMD "; server_max_window_bits=7, " PMD, ALONE);
    check_offer(&strict, PMD "; unknown, " PMD "; server_max_window_bits=16, " PMD CLIENT,
                ALONE);
}

Test(deflate_offer, declined)
{
    static const char *const rows[] = {
        "",
        "  \t ",
        ",",
        "x-webkit-deflate-frame",
        "permessage-deflat",
        "permessage-deflate2",
        "Permessage-Deflate",
        PMD "; unknown",
        PMD "; unknown=1",
        PMD "; server_no_context_takeover=1",
        PMD "; client_no_context_takeover=\"x\"",
        PMD "; server_max_window_bits",
        PMD "; server_max_window_bits=7",
        PMD "; server_max_window_bits=16",
        PMD "; server_max_window_bits=08",
        PMD "; server_max_window_bits=1",
        PMD "; server_max_window_bits=100",
        PMD "; server_max_window_bits=10000000000000000000010",
        PMD "; server_max_window_bits=-9",
        PMD "; server_max_window_bits=+9",
        PMD "; server_max_window_bits=0x9",
        PMD "; server_max_window_bits=9.0",
        PMD "; client_max_window_bits=0",
        PMD "; client_max_window_bits=7",
        PMD "; client_max_window_bits=16",
        PMD "; client_max_window_bits=abc",
        PMD SERVER SERVER,
        PMD CLIENT CLIENT,
        PMD "; client_max_window_bits; client_max_window_bits",
        PMD "; client_max_window_bits=9; client_max_window_bits=9",
        PMD "; server_max_window_bits=9; server_max_window_bits=10",
    };

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_offer(&strict, rows[i], declined);
}

Test(deflate_offer, malformed)
{
    static const char *const rows[] = {
        ";",
        PMD ";",
        PMD "; ,",
        PMD "; =9",
        PMD "; server_max_window_bits=",
        PMD "; server_max_window_bits=\"\"",
        PMD "; server_max_window_bits=\"9",
        PMD "; server_max_window_bits=\"9 \"",
        PMD "; server_max_window_bits=\"9\\\"",
        PMD "; server_max_window_bits=\"9\\\"\"",
        PMD "; server_max_window_bits= 9",
        PMD "; server_max_window_bits=9 9",
        PMD "; server_max_window_bits=9=9",
        PMD "; server_max_window_bits=\"9\"9",
        PMD " client_max_window_bits",
        PMD "/1",
        "(" PMD ")",
        PMD ", x y", /* what is right in it does not count either */
        PMD ", \x80",
        "\"" PMD "\"",
    };

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_offer(&strict, rows[i], malformed);
}

static void check_headers(const char *lines, bool on, unsigned client_bits)
{
    const struct rc_http_limits limits = {
        .max_head = 4096, .max_target = 64, .max_headers = 16};
    struct rc_buf head = RC_BUF_INIT;
    struct rc_deflate_params p;
    struct rc_http_req req;
    size_t scanned = 0;
    int status;

    rc_buf_printf(&head, "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", lines);
    cr_assert_gt(
        rc_http_parse_head(&req, (const char *)head.data, head.len, &scanned, &limits, &status),
        0);
    rc_deflate_negotiate(&req, &strict, &p);
    cr_assert_eq(p.on, on);
    cr_assert_eq(p.client_bits, client_bits);
    rc_buf_deinit(&head);
}

#define EXT "Sec-WebSocket-Extensions: "

Test(deflate_offer, headers)
{
    check_headers("", false, 0);
    check_headers(EXT PMD "; client_max_window_bits=9\r\n", true, 9);
    check_headers("sec-websocket-EXTENSIONS: " PMD "\r\n", true, 0);
    check_headers(EXT "x\r\n" EXT PMD "; client_max_window_bits=9\r\n", true, 9);
    check_headers(EXT PMD "; client_max_window_bits=9\r\n" EXT PMD "\r\n", true, 9);
    check_headers(EXT "\r\n" EXT PMD "\r\n", true, 0);
    check_headers(EXT PMD "\r\n" EXT "=\r\n", false, 0);
    check_headers(EXT "=\r\n" EXT PMD "\r\n", false, 0);
    check_headers("Sec-WebSocket-Protocol: " PMD "\r\n", false, 0);
}

/* ---- helpers: messages, and zlib as the other side ---- */

/* Of any length: kind 0 is all the same, 1 like text with repetitions from far away, 2 random. */
static void put_message(struct rc_buf *b, unsigned kind, size_t len)
{
    uint32_t x = 12345;

    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        if (kind == 0)
            rc_buf_putc(b, 'a');
        else if (kind == 2)
            rc_buf_putc(b, (char)(x >> 24));
        else if (i >= 20000 && i % 7000 < 5000)
            rc_buf_putc(b, (char)b->data[i - (i % 7000 < 2500 ? 20000 : 2000)]);
        else
            rc_buf_putc(b, "etaoin shrdlu,{}\"0123"[(x >> 16) % 21]);
    }
    cr_assert_not(b->failed);
}

static struct rc_str text_of(const struct rc_buf *b)
{
    return rc_buf_str(b);
}

/* A client's message, without the tail. */
static void client_deflate(z_stream *z, struct rc_str message, struct rc_buf *out)
{
    uint8_t chunk[4096];

    z->next_in = (Bytef *)(uintptr_t)message.p;
    z->avail_in = (uInt)message.len;
    do {
        z->next_out = chunk;
        z->avail_out = sizeof(chunk);
        cr_assert_neq(deflate(z, Z_SYNC_FLUSH), Z_STREAM_ERROR);
        rc_buf_put(out, chunk, sizeof(chunk) - z->avail_out);
    } while (z->avail_out == 0);
    cr_assert_geq(out->len, 4u);
    cr_assert_arr_eq(out->data + out->len - 4, "\0\0\xff\xff", 4);
    out->len -= 4;
}

static void client_deflate_once(struct rc_str message, struct rc_buf *out)
{
    z_stream z = {.zalloc = NULL};

    cr_assert_eq(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    client_deflate(&z, message, out);
    (void)deflateEnd(&z);
}

/* Feeds a compressed message in pieces of `step` bytes. */
static int inflate_in(struct rc_inflater *f, struct rc_str packed, size_t step,
                      struct rc_buf *out)
{
    int rc = RC_OK;

    rc_buf_reset(out);
    for (size_t at = 0; at < packed.len && rc == RC_OK; at += step) {
        size_t n = step < packed.len - at ? step : packed.len - at;

        rc = rc_inflater_feed(f, packed.p + at, n, out);
        cr_assert_leq(out->len, out->max);
        cr_assert_leq(out->cap, out->max);
    }
    return rc == RC_OK ? rc_inflater_end(f, out) : rc;
}

static int inflate_once(unsigned bits, struct rc_str packed, size_t step, size_t max,
                        struct rc_buf *out)
{
    struct rc_inflater *f = rc_inflater_new(bits);
    int rc;

    cr_assert_not_null(f);
    out->max = max;
    rc = inflate_in(f, packed, step, out);
    rc_inflater_free(f);
    return rc;
}

static void check_inflates(const void *packed, size_t n, const char *expected)
{
    for (size_t step = 1; step <= n; step++) {
        struct rc_buf out = RC_BUF_INIT;

        cr_assert_eq(inflate_once(15, rc_str_make(packed, n), step, 1000, &out), RC_OK);
        cr_assert(rc_str_eq(rc_buf_str(&out), rc_str_of(expected)));
        rc_buf_deinit(&out);
    }
}

/* ---- compression ---- */

/* Decompresses with a window of 2^bits bytes, one byte at a time: zlib then sees whenever a
 * distance goes beyond the window. */
static bool fits_window(struct rc_str packed, int bits, struct rc_str expected)
{
    static const uint8_t tail[] = {0, 0, 0xff, 0xff};
    z_stream z = {.zalloc = NULL};
    struct rc_buf all = RC_BUF_INIT;
    size_t n = 0;
    int rc = Z_OK;
    uint8_t c;

    rc_buf_puts(&all, packed);
    rc_buf_put(&all, tail, sizeof(tail));
    cr_assert_eq(inflateInit2(&z, -bits), Z_OK);
    z.next_in = all.data;
    z.avail_in = (uInt)all.len;
    for (;;) {
        z.next_out = &c;
        z.avail_out = 1;
        rc = inflate(&z, Z_SYNC_FLUSH);
        if (rc != Z_OK || z.avail_out != 0)
            break;
        if (n >= expected.len || expected.p[n] != (char)c)
            cr_assert_fail("byte %zu of %zu is wrong", n, expected.len);
        n++;
    }
    (void)inflateEnd(&z);
    rc_buf_deinit(&all);
    return rc != Z_DATA_ERROR && n == expected.len;
}

Test(deflater, windows)
{
    static const unsigned bits_of[] = {0, 8, 12, 15};
    struct rc_buf message = RC_BUF_INIT;

    put_message(&message, 1, 100000);
    for (int level = 1; level <= 9; level++) {
        struct rc_deflater *d = rc_deflater_new(level, 0);
        size_t before = SIZE_MAX;

        for (int w = RC_DEFLATE_SMALL; w <= RC_DEFLATE_FULL; w++) {
            struct rc_str packed =
                rc_deflater_run(d, (enum rc_deflate_window)w, text_of(&message));

            cr_assert_not_null(packed.p);
            cr_assert(fits_window(packed, (int)bits_of[w], text_of(&message)));
            cr_assert_lt(packed.len, before); /* a larger window finds more */
            before = packed.len;
            if (w > RC_DEFLATE_SMALL) /* the check can fail */
                cr_assert_not(fits_window(packed, (int)bits_of[w - 1], text_of(&message)));
        }
        rc_deflater_free(d);
    }
    rc_buf_deinit(&message);
}

Test(deflater, window_of_params)
{
    static const enum rc_deflate_window expected[16] = {
        [0] = RC_DEFLATE_FULL,    [8] = RC_DEFLATE_SMALL,   [9] = RC_DEFLATE_SMALL,
        [10] = RC_DEFLATE_SMALL,  [11] = RC_DEFLATE_SMALL,  [12] = RC_DEFLATE_MIDDLE,
        [13] = RC_DEFLATE_MIDDLE, [14] = RC_DEFLATE_MIDDLE, [15] = RC_DEFLATE_FULL};
    struct rc_deflate_params p = {.on = true};

    for (unsigned bits = 0; bits < 16; bits++) {
        if (expected[bits] == 0)
            continue;
        p.server_bits = (uint8_t)bits;
        cr_assert_eq(rc_deflate_window(&p), expected[bits]);
    }
}

Test(deflater, round_trips)
{
    static const size_t sizes[] = {1, 2, 10, 125, 126, 1000, 1024, 65535, 65536, 300000};
    struct rc_deflater *d = rc_deflater_new(6, 0);

    for (unsigned kind = 0; kind < 3; kind++) {
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct rc_buf message = RC_BUF_INIT, out = RC_BUF_INIT;
            struct rc_str packed;

            put_message(&message, kind, sizes[i]);
            for (unsigned w = RC_DEFLATE_SMALL; w < RC_DEFLATE_WINDOWS; w++) {
                packed = rc_deflater_run(d, (enum rc_deflate_window)w, text_of(&message));
                if (kind == 2)
                    cr_assert_null(packed.p);
                else if (sizes[i] >= (kind == 0 ? 10 : 1000))
                    cr_assert_not_null(packed.p);
                if (packed.p == NULL)
                    continue;
                cr_assert_lt(packed.len, message.len);
                for (size_t step = 1; step < 100000; step *= 37) {
                    cr_assert_eq(inflate_once(15, packed, step, sizes[i], &out), RC_OK);
                    cr_assert(rc_str_eq(rc_buf_str(&out), text_of(&message)));
                }
            }
            rc_buf_deinit(&message);
            rc_buf_deinit(&out);
        }
    }
    rc_deflater_free(d);
}

Test(deflater, each_message_by_itself)
{
    struct rc_deflater *d = rc_deflater_new(6, 100);
    struct rc_buf message = RC_BUF_INIT, first = RC_BUF_INIT;
    struct rc_str packed;

    put_message(&message, 1, 5000);
    packed = rc_deflater_run(d, RC_DEFLATE_FULL, text_of(&message));
    rc_buf_puts(&first, packed);
    (void)rc_deflater_run(d, RC_DEFLATE_SMALL,
                          RC_STR("something else in between, of any kind"));
    rc_deflater_trim(d);
    packed = rc_deflater_run(d, RC_DEFLATE_FULL, text_of(&message));
    cr_assert(rc_str_eq(packed, rc_buf_str(&first)));
    packed = rc_deflater_run(d, RC_DEFLATE_FULL, RC_STR(""));
    cr_assert_null(packed.p);
    cr_assert_not(rc_deflater_wants(d, 99));
    cr_assert(rc_deflater_wants(d, 100));
    rc_buf_deinit(&message);
    rc_buf_deinit(&first);
    rc_deflater_free(d);
    rc_deflater_free(NULL);
}

/* ---- decompression ---- */

/* The examples of RFC 7692 section 7.2.3. */
Test(inflater, examples)
{
    static const uint8_t block[] = {0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00};
    static const uint8_t stored[] = {0x00, 0x05, 0x00, 0xfa, 0xff, 0x48,
                                     0x65, 0x6c, 0x6c, 0x6f, 0x00};
    static const uint8_t final[] = {0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00};
    static const uint8_t two[] = {0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff,
                                  0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00};

    check_inflates(block, sizeof(block), "Hello");
    check_inflates(stored, sizeof(stored), "Hello");
    check_inflates(final, sizeof(final), "Hello");
    check_inflates(final, sizeof(final) - 1, "Hello"); /* not quite right, but clear */
    check_inflates(two, sizeof(two), "Hello");
    check_inflates("\0", 1, "");
    check_inflates("\2\0", 2, "");
    check_inflates("\1", 1, ""); /* an empty final block whose last four bytes were taken off */
    check_inflates("", 0, "");
}

Test(inflater, shared_window)
{
    static const uint8_t first[] = {0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00};
    static const uint8_t again[] = {0xf2, 0x00, 0x11, 0x00, 0x00};
    struct rc_inflater *f = rc_inflater_new(15);
    struct rc_buf out = {.max = 5};

    cr_assert_eq(inflate_in(f, rc_str_make(again, sizeof(again)), 1, &out), RC_EPROTO);
    rc_inflater_free(f);
    f = rc_inflater_new(15);
    cr_assert_eq(inflate_in(f, rc_str_make(first, sizeof(first)), 2, &out), RC_OK);
    cr_assert_eq(inflate_in(f, RC_STR(""), 1, &out), RC_OK); /* changes nothing */
    cr_assert_eq(out.len, 0u);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(inflate_in(f, rc_str_make(again, sizeof(again)), 1, &out), RC_OK);
        cr_assert(rc_str_eq(rc_buf_str(&out), RC_STR("Hello")));
    }
    rc_inflater_free(f);
    rc_inflater_free(NULL);
    rc_buf_deinit(&out);
}

Test(inflater, takeover_with_all_window_bits)
{
    for (int bits = 8; bits <= 15; bits++) {
        struct rc_inflater *f = rc_inflater_new((unsigned)bits);
        struct rc_buf message = RC_BUF_INIT, out = RC_BUF_INIT;
        z_stream z = {.zalloc = NULL};

        cr_assert_eq(
            deflateInit2(&z, 6, Z_DEFLATED, bits == 8 ? -9 : -bits, 8, Z_DEFAULT_STRATEGY),
            Z_OK);
        put_message(&message, 1, 50000);
        for (size_t at = 0; at < message.len; at += 5000) {
            struct rc_buf packed = RC_BUF_INIT;
            struct rc_str part = rc_str_make(message.data + at, 5000);

            out.max = 5000;
            client_deflate(&z, part, &packed);
            cr_assert_eq(inflate_in(f, rc_buf_str(&packed), 1 + at / 1000, &out), RC_OK);
            cr_assert(rc_str_eq(rc_buf_str(&out), part));
            rc_buf_deinit(&packed);
        }
        (void)deflateEnd(&z);
        rc_inflater_free(f);
        rc_buf_deinit(&message);
        rc_buf_deinit(&out);
    }
}

/* A final block ends what later ones may refer to; more of them may follow in one message. */
Test(inflater, final_blocks)
{
    static const uint8_t final[] = {0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00};
    struct rc_inflater *f = rc_inflater_new(15);
    struct rc_buf packed = RC_BUF_INIT, out = {.max = 5000};

    for (int i = 0; i < 1000; i++)
        rc_buf_put(&packed, final, sizeof(final));
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(inflate_in(f, rc_buf_str(&packed), 100, &out), RC_OK);
        cr_assert_eq(out.len, 5000u);
    }
    rc_buf_put(&packed, final, sizeof(final));
    cr_assert_eq(inflate_in(f, rc_buf_str(&packed), 100, &out), RC_ELIMIT);
    rc_inflater_free(f);
    rc_buf_deinit(&packed);
    rc_buf_deinit(&out);
}

Test(inflater, limit)
{
    static const size_t limits[] = {1, 2, 511, 512, 513, 1000, 4096, 100000};

    for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct rc_buf message = RC_BUF_INIT, packed = RC_BUF_INIT;

        put_message(&message, i % 3, limits[i]);
        client_deflate_once(text_of(&message), &packed);
        for (size_t step = 1; step < 200000; step *= 11) {
            struct rc_buf out = RC_BUF_INIT;

            cr_assert_eq(inflate_once(15, rc_buf_str(&packed), step, limits[i], &out), RC_OK);
            cr_assert(rc_str_eq(rc_buf_str(&out), text_of(&message)));
            rc_buf_deinit(&out);
            if (limits[i] == 1)
                continue;
            cr_assert_eq(inflate_once(15, rc_buf_str(&packed), step, limits[i] - 1, &out),
                         RC_ELIMIT);
            cr_assert_leq(out.cap, limits[i] - 1);
            rc_buf_deinit(&out);
        }
        rc_buf_deinit(&message);
        rc_buf_deinit(&packed);
    }
}

Test(inflater, bomb)
{
    const size_t size = 50 * 1000 * 1000, limit = 1000000;
    struct rc_buf message = RC_BUF_INIT, packed = RC_BUF_INIT, out = RC_BUF_INIT;
    uint8_t *to = rc_buf_reserve(&message, size);

    cr_assert_not_null(to);
    memset(to, 0, size);
    message.len = size;
    client_deflate_once(text_of(&message), &packed);
    rc_buf_deinit(&message);
    cr_assert_lt(packed.len, size / 900);
    cr_assert_eq(inflate_once(15, rc_buf_str(&packed), packed.len, limit, &out), RC_ELIMIT);
    cr_assert_leq(out.cap, limit);
    rc_buf_deinit(&out);
    cr_assert_eq(inflate_once(15, rc_buf_str(&packed), 10, limit, &out), RC_ELIMIT);
    cr_assert_leq(out.cap, limit);
    rc_buf_deinit(&out);
    rc_buf_deinit(&packed);
}

/* No beginning of a message is a message. */
Test(inflater, truncated)
{
    struct rc_buf message = RC_BUF_INIT, packed = RC_BUF_INIT, out = RC_BUF_INIT;

    put_message(&message, 1, 3000);
    client_deflate_once(text_of(&message), &packed);
    for (size_t n = 1; n < packed.len; n++) {
        cr_assert_eq(inflate_once(15, rc_str_make(packed.data, n), 64, 4000, &out), RC_EPROTO);
        rc_buf_deinit(&out);
        cr_assert_eq(inflate_once(15, rc_str_make(packed.data, n), n, message.len, &out),
                     RC_EPROTO);
        rc_buf_deinit(&out);
    }
    rc_buf_deinit(&message);
    rc_buf_deinit(&packed);
    message = RC_BUF_INIT;
    put_message(&message, 2, 300); /* stored */
    client_deflate_once(text_of(&message), &packed);
    for (size_t n = 2; /* the first byte alone is an empty message */ n < packed.len; n++)
        if (inflate_once(15, rc_str_make(packed.data, n), 7, 300, &out) != RC_EPROTO)
            cr_assert_fail("%zu of %zu bytes are taken", n, packed.len);
    rc_buf_deinit(&message);
    rc_buf_deinit(&packed);
    rc_buf_deinit(&out);
}

Test(inflater, no_deflate)
{
    static const struct {
        const char *bytes;
        size_t n;
    } rows[] = {
        {"\xff\xff\xff\xff", 4},           /* a block of no known type */
        {"\x06", 1},                       /* the same */
        {"\x00\x05\x00\x05\x00xxxxx", 10}, /* lengths that do not agree */
        {"\x02\x11", 2},                   /* a distance from before the beginning */
        {"\x00\x00\x00\xff\xff", 5},       /* the tail was not taken off */
        {"\x03\x00\x07", 3},               /* behind a final block */
        {"x\x9cKL\x02\x00", 6},            /* a zlib header */
        {"\x1f\x8b\x08\x00", 4},           /* gzip */
    };

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t step = 1; step <= rows[i].n; step++) {
            struct rc_buf out = RC_BUF_INIT;

            if (inflate_once(15, rc_str_make(rows[i].bytes, rows[i].n), step, 1000, &out) !=
                RC_EPROTO)
                cr_assert_fail("row %u is taken", i);
            rc_buf_deinit(&out);
        }
    }
}

#include "rc/net/compress.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

/* ---- which coding ---- */

static enum rc_coding choose(const char *headers, bool with_deflate)
{
    const struct rc_http_limits lim = {.max_head = 4096, .max_target = 100, .max_headers = 20};
    struct rc_http_req req;
    size_t scanned = 0;
    int status;
    char head[2000];

    (void)snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", headers);
    cr_assert_gt(rc_http_parse_head(&req, head, strlen(head), &scanned, &lim, &status), 0);
    return rc_coding_choose(&req, with_deflate);
}

static enum rc_coding of(const char *value)
{
    char header[1000];

    (void)snprintf(header, sizeof(header), "Accept-Encoding: %s\r\n", value);
    return choose(header, true);
}

Test(coding, names)
{
    cr_assert_str_eq(rc_coding_name(RC_CODING_GZIP), "gzip");
    cr_assert_str_eq(rc_coding_name(RC_CODING_DEFLATE), "deflate");
    cr_assert_str_eq(rc_coding_name(RC_CODING_NONE), "");
}

Test(coding, none)
{
    cr_assert_eq(choose("", true), RC_CODING_NONE);
    cr_assert_eq(of(""), RC_CODING_NONE);
    cr_assert_eq(of("identity"), RC_CODING_NONE);
    cr_assert_eq(of("br, zstd"), RC_CODING_NONE);
    cr_assert_eq(of("x-gzip, gzippp, gzi"), RC_CODING_NONE);
    cr_assert_eq(of("gzip;q=0"), RC_CODING_NONE);
    cr_assert_eq(of("gzip;q=0.000, deflate;q=0, *;q=1"), RC_CODING_NONE);
    cr_assert_eq(of("*;q=0"), RC_CODING_NONE);
    cr_assert_eq(of("gzip;q, deflate;q="), RC_CODING_NONE);
    cr_assert_eq(of("gzip deflate"), RC_CODING_NONE);
    cr_assert_eq(of(",,;,;;q=1"), RC_CODING_NONE);
}

Test(coding, by_preference)
{
    cr_assert_eq(of("gzip"), RC_CODING_GZIP);
    cr_assert_eq(of("deflate"), RC_CODING_DEFLATE);
    cr_assert_eq(of("GZip"), RC_CODING_GZIP);
    cr_assert_eq(of("gzip, deflate"), RC_CODING_GZIP);
    cr_assert_eq(of("deflate, gzip"), RC_CODING_DEFLATE);
    cr_assert_eq(of("deflate;q=0.9, gzip"), RC_CODING_GZIP);
    cr_assert_eq(of("gzip;q=0.123456, deflate;q=0.123457"), RC_CODING_DEFLATE);
    cr_assert_eq(of("gzip;q=999999999999999999999, deflate;q=1"), RC_CODING_GZIP);
    cr_assert_eq(of("gzip;q=0.00000000000000000001, deflate;q=0.1"), RC_CODING_DEFLATE);
    cr_assert_eq(of("*"), RC_CODING_GZIP);
    cr_assert_eq(of("gzip;q=0, *"), RC_CODING_DEFLATE);
    cr_assert_eq(of("*;q=1, gzip;q=0.5"), RC_CODING_DEFLATE);
    cr_assert_eq(of("gzip;a=b ; q=0.1\t, deflate ;q=0.2"), RC_CODING_DEFLATE);
    cr_assert_eq(choose("Accept-Encoding: br\r\nX: y\r\naccept-encoding: deflate\r\n", true),
                 RC_CODING_DEFLATE);
}

Test(coding, without_deflate)
{
    cr_assert_eq(choose("Accept-Encoding: deflate, gzip;q=0.1\r\n", false), RC_CODING_GZIP);
    cr_assert_eq(choose("Accept-Encoding: deflate\r\n", false), RC_CODING_NONE);
}

/* ---- zlib ---- */

static void check_inflates(enum rc_coding coding, struct rc_str zipped, struct rc_str want)
{
    uint8_t *plain = malloc(want.len + 1);
    z_stream z = {.next_in = (Bytef *)(uintptr_t)zipped.p, .avail_in = (uInt)zipped.len};

    cr_assert_not_null(plain);
    z.next_out = plain;
    z.avail_out = (uInt)want.len + 1;
    cr_assert_eq(inflateInit2(&z, MAX_WBITS + (coding == RC_CODING_GZIP ? 16 : 0)), Z_OK);
    cr_assert_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
    cr_assert_eq(z.avail_in, 0u);
    cr_assert_eq(z.total_out, want.len);
    if (want.len != 0)
        cr_assert_arr_eq(plain, want.p, want.len);
    (void)inflateEnd(&z);
    free(plain);
}

Test(compress, streams_are_reused)
{
    struct rc_compressor *z = rc_compressor_new();
    struct rc_buf body = RC_BUF_INIT, out = RC_BUF_INIT;

    for (unsigned i = 0; i < 60; i++) {
        enum rc_coding coding = i % 3 == 0 ? RC_CODING_DEFLATE : RC_CODING_GZIP;

        rc_buf_reset(&out);
        rc_buf_putz(&out, "before");
        cr_assert_eq(rc_compress(z, coding, i % 20 < 10 ? 1 : 6, rc_buf_str(&body), &out),
                     RC_OK);
        cr_assert_eq(memcmp(out.data, "before", 6), 0);
        check_inflates(coding, rc_str_skip(rc_buf_str(&out), 6), rc_buf_str(&body));
        rc_buf_printf(&body, "%u and %u, ", i, i * i * 2654435761u);
        if (i == 40) /* what does not compress */
            for (uint32_t x = 1, j = 0; j < 100000; j++)
                rc_buf_putc(&body, (char)((x = x * 1664525 + 1013904223) >> 24));
    }
    rc_buf_deinit(&body);
    rc_buf_deinit(&out);
    rc_compressor_free(z);
    rc_compressor_free(NULL);
}

Test(compress, no_memory_is_told)
{
    struct rc_compressor *z = rc_compressor_new();
    struct rc_buf out = {.max = 10};

    cr_assert_eq(rc_compress(z, RC_CODING_GZIP, 1, RC_STR("some text"), &out), RC_ENOMEM);
    rc_buf_deinit(&out);
    cr_assert_eq(rc_compress(z, RC_CODING_GZIP, 1, RC_STR("some text"), &out), RC_OK);
    check_inflates(RC_CODING_GZIP, rc_buf_str(&out), RC_STR("some text"));
    rc_buf_deinit(&out);
    rc_compressor_free(z);
}

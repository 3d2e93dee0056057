#include "rc/base/mem.h"
#include "rc/broker/form.h"
#include "rc/net/ws.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct rc_seg *make(struct rc_deflater *d, struct rc_seg *frames, unsigned form)
{
    return rc_form_make(&(struct rc_former){.deflater = d}, frames, form);
}

/* An event with two attachments, the second empty. */
#define EVENT  \
    "\x81\x05" \
    "452-x"
#define FRAMES           \
    EVENT "\x82\x03"     \
          "\x01\x02\xff" \
          "\x82\x00"

static void check_form(enum rc_form form, struct rc_str expected)
{
    struct rc_seg *frames = rc_seg_new(FRAMES, sizeof(FRAMES) - 1), *made;

    made = make(NULL, frames, form);
    cr_assert_eq(made->len, expected.len);
    cr_assert_arr_eq(made->data, expected.p, expected.len);
    rc_seg_unref(made);
    rc_seg_unref(frames);
}

Test(payload, of_websocket_clients)
{
    check_form(RC_FORM_B64, RC_STR(EVENT "\x81\x05"
                                         "bAQL/"
                                         "\x81\x01"
                                         "b"));
    check_form(RC_FORM_V3, RC_STR(EVENT "\x82\x04"
                                        "\x04\x01\x02\xff"
                                        "\x82\x01"
                                        "\x04"));
    check_form(RC_FORM_V3_B64, RC_STR(EVENT "\x81\x06"
                                            "b4AQL/"
                                            "\x81\x02"
                                            "b4"));
}

Test(payload, form_wanted_by)
{
    cr_assert_eq(rc_form_of(false, false), RC_FORM_FRAMES);
    cr_assert_eq(rc_form_of(false, true), RC_FORM_B64);
    cr_assert_eq(rc_form_of(true, false), RC_FORM_V3);
    cr_assert_eq(rc_form_of(true, true), RC_FORM_V3_B64);
}

/* The header's length changes where one byte more needs another kind of it. */
Test(payload, sizes_of_type_bytes)
{
    static const size_t sizes[] = {124, 125, 126, 65534, 65535, 65536};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t head[RC_WS_HEADER_MAX];
        size_t n = rc_ws_header(head, RC_WS_BINARY, false, sizes[i]);
        struct rc_seg *frames = rc_seg_new(NULL, n + sizes[i]), *made;
        struct rc_ws_frame f;

        memcpy(rc_seg_bytes(frames), head, n);
        memset(rc_seg_bytes(frames) + n, 'x', sizes[i]);
        made = make(NULL, frames, RC_FORM_V3);
        f = rc_ws_own_frame(made->data);
        cr_assert_eq(f.size, made->len);
        cr_assert_eq(f.payload.len, sizes[i] + 1);
        cr_assert_eq(f.payload.p[0], 4);
        cr_assert_arr_eq(f.payload.p + 1, frames->data + n, sizes[i]);
        rc_seg_unref(made);
        rc_seg_unref(frames);
    }
}

/* What clients of Engine.IO 3 want is compressed once for all of them, too. */
Test(payload, compressed)
{
    static const unsigned plain[] = {RC_FORM_V3, RC_FORM_V3_B64};
    struct rc_deflater *d = rc_deflater_new(6, 100);
    uint8_t head[RC_WS_HEADER_MAX];
    struct rc_buf b = RC_BUF_INIT;
    struct rc_seg *frames;

    rc_buf_put(&b, head, rc_ws_header(head, RC_WS_BINARY, false, 3000));
    for (unsigned i = 0; i < 3000; i++)
        rc_buf_putc(&b, (char)(i % 3));
    frames = rc_seg_new(b.data, b.len);
    rc_buf_deinit(&b);
    for (unsigned i = 0; i < 2; i++) {
        struct rc_seg *made = make(d, frames, plain[i]);
        struct rc_seg *small = make(d, frames, plain[i] + RC_FORM_DEFLATE(RC_DEFLATE_FULL));
        struct rc_str all = rc_ws_own_frame(made->data).payload;
        struct rc_str packed = rc_ws_own_frame(small->data).payload;
        struct rc_inflater *z = rc_inflater_new(15);
        struct rc_buf out = {.max = 1 << 20};

        cr_assert_eq(small->data[0], 0xc0 | (i == 0 ? RC_WS_BINARY : RC_WS_TEXT));
        cr_assert_lt(small->len, made->len / 10);
        cr_assert_eq(rc_inflater_feed(z, packed.p, packed.len, &out), RC_OK);
        cr_assert_eq(rc_inflater_end(z, &out), RC_OK);
        cr_assert(rc_str_eq(rc_buf_str(&out), all));
        rc_inflater_free(z);
        rc_buf_deinit(&out);
        rc_seg_unref(made);
        rc_seg_unref(small);
    }
    rc_seg_unref(frames);
    rc_deflater_free(d);
}

/* Segments as they would be queued; NULL ends them. */
static void check_payload(const char *const *seg, bool eio3, bool b64, bool bytes,
                          struct rc_str expected)
{
    struct rc_outq q = {0};
    struct rc_buf out = RC_BUF_INIT;

    for (; *seg != NULL; seg++) /* the length of the only or last frame says where it ends */
        rc_outq_push(&q, rc_seg_new(*seg, strcmp(*seg, FRAMES) == 0 ? sizeof(FRAMES) - 1
                                                                    : (size_t)(2 + (*seg)[1])));
    cr_assert_eq(rc_form_payload(&q, eio3, b64, &out), bytes);
    cr_assert(rc_outq_empty(&q));
    cr_assert_eq(q.bytes, 0u);
    cr_assert_eq(out.len, expected.len);
    cr_assert_arr_eq(out.data, expected.p, expected.len);
    rc_buf_deinit(&out);
}

Test(payload, of_polls)
{
    static const char *const text[] = {"\x81\x01"
                                       "3",
                                       "\x81\x07"
                                       "42[\"€",
                                       NULL};
    static const char *const late[] = {"\x81\x01"
                                       "3",
                                       "\x81\x02"
                                       "4x",
                                       FRAMES, NULL};
    static const char *const early[] = {FRAMES,
                                        "\x81\x01"
                                        "3",
                                        NULL};

    check_payload(text, false, false, false,
                  RC_STR("3\x1e"
                         "42[\"€"));
    check_payload(text, true, false, false, RC_STR("1:35:42[\"€"));
    check_payload(text, true, true, false, RC_STR("1:35:42[\"€"));
    check_payload(late, false, true, false,
                  RC_STR("3\x1e"
                         "4x\x1e"
                         "452-x\x1e"
                         "bAQL/\x1e"
                         "b"));
    check_payload(late, true, true, false, RC_STR("1:32:4x5:452-x6:b4AQL/2:b4"));
    check_payload(late, true, false, true,
                  RC_STR("\0\1\xff"
                         "3"
                         "\0\2\xff"
                         "4x"
                         "\0\5\xff"
                         "452-x"
                         "\1\4\xff\4\1\2\xff"
                         "\1\1\xff\4"));
    check_payload(early, true, false, true,
                  RC_STR("\0\5\xff"
                         "452-x"
                         "\1\4\xff\4\1\2\xff"
                         "\1\1\xff\4"
                         "\0\1\xff"
                         "3"));
}

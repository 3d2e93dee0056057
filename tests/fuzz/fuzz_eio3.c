/* The packets of a payload, put into a payload of either kind, are the same packets again. A
 * packet that was taken for a no-op because its binary type is unknown stays one. */
#include "rc/base/mem.h"
#include "rc/base/utf8.h"
#include "rc/proto/eio3.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(c)     \
    do {             \
        if (!(c))    \
            abort(); \
    } while (0)

typedef int (*next_fn)(struct rc_str *rest, struct rc_eio_packet *out);
typedef void (*put_fn)(struct rc_buf *payload, const struct rc_eio_packet *p);

static bool same(const struct rc_eio_packet *a, const struct rc_eio_packet *b)
{
    return a->type == b->type && a->binary == b->binary && rc_str_eq(a->data, b->data);
}

/* Walks `payload` beside the packets of `copy`, of which there are n. */
static void check_same(next_fn next, struct rc_str payload, next_fn other, struct rc_str copy,
                       size_t n)
{
    struct rc_eio_packet p, q;

    while (n-- != 0) {
        CHECK(next(&payload, &p) == 1);
        CHECK(other(&copy, &q) == 1);
        CHECK(same(&p, &q));
    }
    CHECK(copy.len == 0 || other(&copy, &q) == 0);
}

/* Puts the packets of data together again by put, and reads them by back. */
static void round_trip(next_fn next, const uint8_t *data, size_t size, put_fn put, next_fn back)
{
    char *one = rc_malloc(size + 1), *two = rc_malloc(size + 1);
    struct rc_str rest = rc_str_make(one, size);
    struct rc_buf out = RC_BUF_INIT;
    struct rc_eio_packet p;
    size_t n = 0, left = size + 1;

    if (size != 0) {
        memcpy(one, data, size);
        memcpy(two, data, size);
    }
    while (next(&rest, &p) == 1) {
        n++;
        CHECK(p.type <= RC_EIO_NOOP);
        CHECK(!p.binary || p.type == RC_EIO_MESSAGE);
        CHECK(p.data.len == 0 || (p.data.p >= one && p.data.p + p.data.len <= one + size));
        CHECK(p.binary || rc_utf8_valid(p.data));
        CHECK(rest.len < left); /* it comes to an end */
        left = rest.len;
        put(&out, &p);
    }
    check_same(next, rc_str_make(two, size), back, rc_buf_str(&out), n);
    rc_buf_deinit(&out);
    free(one);
    free(two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (rc_utf8_valid(rc_str_make(data, size))) {
        round_trip(rc_eio3_text_next, data, size, rc_eio3_text_put, rc_eio3_text_next);
        round_trip(rc_eio3_text_next, data, size, rc_eio3_binary_put, rc_eio3_binary_next);
    }
    round_trip(rc_eio3_binary_next, data, size, rc_eio3_binary_put, rc_eio3_binary_next);
    round_trip(rc_eio3_binary_next, data, size, rc_eio3_text_put, rc_eio3_text_next);
    return 0;
}

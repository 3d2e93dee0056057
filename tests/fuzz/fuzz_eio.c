/* A payload that was walked to its end is, put together again, the same bytes: base64 has one
 * form only. */
#include "rc/base/mem.h"
#include "rc/proto/eio.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(c)     \
    do {             \
        if (!(c))    \
            abort(); \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = rc_malloc(size != 0 ? size : 1);
    struct rc_buf out = RC_BUF_INIT;
    struct rc_eio_packet p, whole;
    struct rc_str rest;
    size_t n = 0;
    int rc, text;

    if (size != 0)
        memcpy(copy, data, size);
    rest = rc_str_make(copy, size);
    while ((rc = rc_eio_payload_next(&rest, &p)) == 1) {
        n++;
        CHECK(p.type <= RC_EIO_NOOP);
        CHECK(!p.binary || p.type == RC_EIO_MESSAGE);
        CHECK(p.data.len == 0 || ((const uint8_t *)p.data.p >= copy &&
                                  (const uint8_t *)p.data.p + p.data.len <= copy + size));
        rc_eio_payload_put(&out, &p);
    }
    CHECK(rc == 0 || rc == RC_EPROTO);
    CHECK(rc != 0 || n != 0);
    if (rc == 0)
        CHECK(rc_str_eq(rc_buf_str(&out), rc_str_make(data, size)));

    /* A payload of one packet is that packet. */
    if (size != 0)
        memcpy(copy, data, size);
    text = rc_eio_parse_text(rc_str_make(copy, size), &whole);
    if (size == 0 || memchr(data, 0x1e, size) == NULL)
        CHECK((text == RC_OK) == (rc == 0));
    if (text == RC_OK) {
        rc_buf_reset(&out);
        rc_eio_payload_put(&out, &whole);
        CHECK(rc_str_eq(rc_buf_str(&out), rc_str_make(data, size)));
    }
    rc_buf_deinit(&out);
    free(copy);
    return 0;
}

/*
 * buf.h - growable bytes with a sticky failure: put, put, put, then test once.
 *
 *   data ... len ... cap        0 <= len <= cap; after a failed put `failed` is set,
 *   |  used   | free |          later puts do nothing and the content is to be thrown away.
 *
 * Threads:   one at a time.
 * Ownership: the struct is the caller's, the bytes are the buffer's until rc_buf_take().
 */
#ifndef RC_BASE_BUF_H
#define RC_BASE_BUF_H

#include "rc/base/err.h"
#include "rc/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rc_buf {
    uint8_t *data;
    size_t len, cap;
    size_t max;  /* 0: unlimited; a put beyond it fails */
    bool failed; /* sticky */
};

#define RC_BUF_INIT ((struct rc_buf){0})

void rc_buf_free(struct rc_buf *b); /* what it has */
static inline void rc_buf_deinit(struct rc_buf *b)
{
    if (b->data != NULL)
        rc_buf_free(b);
    *b = RC_BUF_INIT;
}
static inline void rc_buf_reset(struct rc_buf *b)
{
    b->len = 0;
    b->failed = false;
}
/* Room for n more bytes at data + len, or NULL and failed. The caller then adds to len. */
uint8_t *rc_buf_reserve(struct rc_buf *b, size_t n);
void rc_buf_put_slow(struct rc_buf *b, const void *p, size_t n);
static inline void rc_buf_put(struct rc_buf *b, const void *p, size_t n)
{
    if (n == 0 || n > b->cap - b->len || b->failed) {
        rc_buf_put_slow(b, p, n);
        return;
    }
    memcpy(b->data + b->len, p, n);
    b->len += n;
}
static inline void rc_buf_putc(struct rc_buf *b, char c)
{
    rc_buf_put(b, &c, 1);
}
static inline void rc_buf_puts(struct rc_buf *b, struct rc_str s)
{
    rc_buf_put(b, s.p, s.len);
}
void rc_buf_putz(struct rc_buf *b, const char *z);
void rc_buf_put_u64(struct rc_buf *b, uint64_t v); /* decimal digits */
void rc_buf_printf(struct rc_buf *b, const char *fmt, ...) RC_PRINTF(2, 3);
/* Drops the first n bytes. */
void rc_buf_consume(struct rc_buf *b, size_t n);
/* The bytes (may be NULL when len was 0) become the caller's, to be freed with free(). */
uint8_t *rc_buf_take(struct rc_buf *b, size_t *len);
static inline struct rc_str rc_buf_str(const struct rc_buf *b)
{
    return (struct rc_str){.p = (const char *)b->data, .len = b->len};
}

#endif /* RC_BASE_BUF_H */

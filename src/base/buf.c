#include "rc/base/buf.h"

#include "rc/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void rc_buf_free(struct rc_buf *b)
{
    free(b->data);
}

uint8_t *rc_buf_reserve(struct rc_buf *b, size_t n)
{
    size_t want = b->len + n, cap = b->cap != 0 ? b->cap : 128;
    uint8_t *p;

    if (b->failed || want < n || want > SIZE_MAX / 2 || (b->max != 0 && want > b->max)) {
        b->failed = true;
        return NULL;
    }
    if (want <= b->cap && b->data != NULL)
        return b->data + b->len;
    while (cap < want)
        cap *= 2;
    if (b->max != 0 && cap > b->max)
        cap = b->max;
    p = rc_try_realloc(b->data, cap);
    if (p == NULL) {
        b->failed = true;
        return NULL;
    }
    b->data = p;
    b->cap = cap;
    return p + b->len;
}

void rc_buf_put_slow(struct rc_buf *b, const void *p, size_t n)
{
    uint8_t *to = rc_buf_reserve(b, n);

    if (to == NULL || n == 0)
        return;
    memcpy(to, p, n);
    b->len += n;
}

void rc_buf_putz(struct rc_buf *b, const char *z)
{
    rc_buf_put(b, z, strlen(z));
}

void rc_buf_put_u64(struct rc_buf *b, uint64_t v)
{
    char digits[20];
    size_t i = sizeof(digits);

    do
        digits[--i] = (char)('0' + v % 10);
    while ((v /= 10) != 0);
    rc_buf_put(b, digits + i, sizeof(digits) - i);
}

void rc_buf_printf(struct rc_buf *b, const char *fmt, ...)
{
    va_list ap;
    uint8_t *to;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || (to = rc_buf_reserve(b, (size_t)n + 1)) == NULL) {
        b->failed = true;
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf((char *)to, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
}

void rc_buf_consume(struct rc_buf *b, size_t n)
{
    if (n >= b->len) {
        b->len = 0;
        return;
    }
    memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
}

uint8_t *rc_buf_take(struct rc_buf *b, size_t *len)
{
    uint8_t *p = b->data;

    *len = b->len;
    *b = (struct rc_buf){.max = b->max};
    return p;
}

#include "rc/base/b64.h"

static const char alphabets[2][65] = {
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

/* Value + 1 of each character; 0: not in the alphabet. */
/* clang-format off */
static const uint8_t values[2][256] = {{
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 63, 0, 0, 0, 64,
    53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 0, 0, 0, 0, 0, 0,
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 0, 0, 0, 0, 0,
    0, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41,
    42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 0, 0, 0, 0, 0,
}, {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 63, 0, 0,
    53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 0, 0, 0, 0, 0, 0,
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 0, 0, 0, 0, 64,
    0, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41,
    42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 0, 0, 0, 0, 0,
}};
/* clang-format on */

static size_t encoded_len(enum rc_b64_alphabet abc, size_t n)
{
    size_t tail = n % 3;

    return n / 3 * 4 + (tail == 0 ? 0 : abc == RC_B64_STD ? 4 : tail + 1);
}

static void encode(enum rc_b64_alphabet abc, const uint8_t *s, size_t n, char *o)
{
    const char *a = alphabets[abc];
    uint32_t v;

    for (; n >= 3; n -= 3, s += 3) {
        v = (uint32_t)s[0] << 16 | (uint32_t)s[1] << 8 | s[2];
        *o++ = a[v >> 18];
        *o++ = a[v >> 12 & 63];
        *o++ = a[v >> 6 & 63];
        *o++ = a[v & 63];
    }
    if (n == 0)
        return;
    v = (uint32_t)s[0] << 16 | (n == 2 ? (uint32_t)s[1] << 8 : 0);
    *o++ = a[v >> 18];
    *o++ = a[v >> 12 & 63];
    if (n == 2)
        *o++ = a[v >> 6 & 63];
    if (abc == RC_B64_STD)
        memcpy(o, "==", 3 - n);
}

size_t rc_b64_encode(enum rc_b64_alphabet abc, const void *p, size_t n, char *out)
{
    size_t len = encoded_len(abc, n);

    encode(abc, p, n, out);
    out[len] = '\0';
    return len;
}

void rc_b64_put(struct rc_buf *b, enum rc_b64_alphabet abc, const void *p, size_t n)
{
    size_t len = encoded_len(abc, n);
    uint8_t *to;

    if (n > SIZE_MAX / 2) {
        b->failed = true;
        return;
    }
    to = rc_buf_reserve(b, len);
    if (to == NULL)
        return;
    encode(abc, p, n, (char *)to);
    b->len += len;
}

/* The 2 or 3 characters that are left after whole groups of four. */
static bool decode_tail(const uint8_t *val, const uint8_t *in, size_t n, uint8_t *out)
{
    uint8_t a = val[in[0]], b = val[in[1]], c = n == 3 ? val[in[2]] : 1;
    uint32_t v;

    if (a == 0 || b == 0 || c == 0)
        return false;
    v = (uint32_t)(a - 1) << 18 | (uint32_t)(b - 1) << 12 | (uint32_t)(c - 1) << 6;
    if ((v & (n == 3 ? 0xFF : 0xFFFF)) != 0)
        return false;
    out[0] = (uint8_t)(v >> 16);
    if (n == 3)
        out[1] = (uint8_t)(v >> 8);
    return true;
}

int64_t rc_b64_decode(enum rc_b64_alphabet abc, struct rc_str in, uint8_t *out)
{
    const uint8_t *val = values[abc], *s = (const uint8_t *)in.p, *end;
    uint8_t *o = out, a, b, c, d;
    size_t n = in.len;
    uint32_t v;

    if (abc == RC_B64_STD) {
        if (n % 4 != 0)
            return RC_EPROTO;
        if (n != 0 && s[n - 1] == '=')
            n -= s[n - 2] == '=' ? 2 : 1;
    }
    if (n % 4 == 1)
        return RC_EPROTO;
    if (n == 0)
        return 0;
    /* Each group is read before it is written, so out may be in.p. */
    for (end = s + n / 4 * 4; s != end; s += 4) {
        a = val[s[0]];
        b = val[s[1]];
        c = val[s[2]];
        d = val[s[3]];
        if (a == 0 || b == 0 || c == 0 || d == 0)
            return RC_EPROTO;
        v = (uint32_t)(a - 1) << 18 | (uint32_t)(b - 1) << 12 | (uint32_t)(c - 1) << 6 |
            (uint32_t)(d - 1);
        *o++ = (uint8_t)(v >> 16);
        *o++ = (uint8_t)(v >> 8);
        *o++ = (uint8_t)v;
    }
    if (n % 4 != 0) {
        if (!decode_tail(val, s, n % 4, o))
            return RC_EPROTO;
        o += n % 4 - 1;
    }
    return o - out;
}

int rc_b64_decode_put(struct rc_buf *b, enum rc_b64_alphabet abc, struct rc_str in)
{
    uint8_t *to = rc_buf_reserve(b, in.len / 4 * 3 + 2);
    int64_t n;

    if (to == NULL)
        return RC_ENOMEM;
    n = rc_b64_decode(abc, in, to);
    if (n < 0)
        return (int)n;
    b->len += (size_t)n;
    return RC_OK;
}

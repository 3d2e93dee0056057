/*
 * http_int.h - character classes shared by the HTTP parsers (RFC 9110 section 5).
 *
 * Threads: any.
 */
#ifndef RC_NET_HTTP_INT_H
#define RC_NET_HTTP_INT_H

#include "rc/base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* What a byte may be part of: a token; an authority; a target. */
enum { RC_HTTP_TCHAR = 1, RC_HTTP_AUTHORITY = 2, RC_HTTP_TARGET = 4 };
extern const uint8_t rc_http_class[256];

static inline bool rc_http_is(char c, unsigned classes)
{
    return (rc_http_class[(uint8_t)c] & classes) != 0;
}

/* How many bytes at the start of s are of the class, which is one. */
static inline size_t rc_http_span(struct rc_str s, unsigned one)
{
    const uint8_t *p = (const uint8_t *)s.p, *of = rc_http_class;
    size_t n = 0;

    while (s.len - n >= 4 && (of[p[n]] & of[p[n + 1]] & of[p[n + 2]] & of[p[n + 3]] & one) != 0)
        n += 4;
    while (n < s.len && (of[p[n]] & one) != 0)
        n++;
    return n;
}

/* Field values: no controls but the tab. CR and LF are controls, so a bare CR never passes. */
static inline bool rc_http_is_vchar(uint8_t c)
{
    return (c >= ' ' && c != 0x7F) || c == '\t';
}

/* Eight bytes of which none is below a blank or DEL. The borrow of a low byte can only make a word
 * look worse than it is. */
static inline bool rc_http_plain_word(const char *p)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    uint64_t w, del;

    memcpy(&w, p, sizeof(w));
    del = w ^ 0x7F * ones;
    return ((((w - ' ' * ones) & ~w) | ((del - ones) & ~del)) & high) == 0;
}

static inline bool rc_http_all_vchars(struct rc_str s)
{
    size_t i = 0;

    while (s.len - i >= 8 && rc_http_plain_word(s.p + i))
        i += 8;
    if (i != 0 && s.len - i < 8 && rc_http_plain_word(s.p + s.len - 8))
        return true; /* some of these were looked at twice */
    for (; i < s.len; i++)
        if (!rc_http_is_vchar((uint8_t)s.p[i]))
            return false;
    return true;
}

static inline int rc_http_hex(uint8_t c)
{
    if ((uint8_t)(c - '0') < 10)
        return c - '0';
    c |= 0x20;
    return (uint8_t)(c - 'a') < 6 ? c - 'a' + 10 : -1;
}

/* Without the white space (space, tab) around it. */
static inline struct rc_str rc_http_trim(struct rc_str s)
{
    while (s.len != 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.len--;
    }
    while (s.len != 0 && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Cuts the part before the next `sep` off *rest. False when *rest was used up, which
 * rest->p == NULL stands for: "a," has two parts. */
static inline bool rc_http_split(struct rc_str *rest, char sep, struct rc_str *part)
{
    const char *end;

    *part = *rest;
    if (rest->p == NULL)
        return false;
    end = memchr(rest->p, sep, rest->len);
    if (end == NULL) {
        *rest = RC_STR_NONE;
        return true;
    }
    part->len = (size_t)(end - rest->p);
    *rest = rc_str_skip(*rest, part->len + 1);
    return true;
}

#endif /* RC_NET_HTTP_INT_H */

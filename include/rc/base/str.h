/*
 * str.h - a borrowed slice of bytes: pointer and length, not terminated, not owned.
 *
 * Threads:   any; a slice is as safe to read as the bytes behind it.
 * Ownership: none. A slice dies with the buffer that it points into.
 */
#ifndef RC_BASE_STR_H
#define RC_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct rc_str {
    const char *p; /* may be NULL only when len is 0 */
    size_t len;    /* bytes */
};

#define RC_STR(literal) ((struct rc_str){.p = (literal), .len = sizeof(literal) - 1})
#define RC_STR_NONE     ((struct rc_str){.p = NULL, .len = 0})
/* For printf: printf("%.*s", RC_STR_ARG(s)). */
#define RC_STR_ARG(s) ((int)(s).len), ((s).p != NULL ? (s).p : "")

static inline struct rc_str rc_str_of(const char *z)
{
    return (struct rc_str){.p = z, .len = z != NULL ? strlen(z) : 0};
}

static inline struct rc_str rc_str_make(const void *p, size_t len)
{
    return (struct rc_str){.p = p, .len = len};
}

static inline bool rc_str_eq(struct rc_str a, struct rc_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/* ASCII case-insensitive, as HTTP header names and tokens are compared. */
static inline bool rc_str_ieq(struct rc_str a, struct rc_str b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.p, b.p, a.len) == 0);
}

static inline bool rc_str_starts(struct rc_str s, struct rc_str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.p, prefix.p, prefix.len) == 0);
}

static inline struct rc_str rc_str_skip(struct rc_str s, size_t n)
{
    n = n < s.len ? n : s.len;
    return n == 0 ? s
                  : (struct rc_str){.p = s.p + n, .len = s.len - n}; /* NULL + 0 is undefined */
}

/* The same for secrets: the time tells the lengths, but not how much is equal. */
static inline bool rc_str_eq_secret(struct rc_str a, struct rc_str b)
{
    volatile unsigned char diff = 0;

    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        diff |= (unsigned char)(a.p[i] ^ b.p[i]);
    return diff == 0;
}

#endif /* RC_BASE_STR_H */

#include "rc/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL = 512 };

static void *or_die(void *p, size_t n)
{
    if (p == NULL) {
        fprintf(stderr, "roomcast: out of memory: %zu bytes were not to be had\n", n);
        abort();
    }
    return p;
}

void *rc_malloc(size_t n)
{
    return or_die(malloc(n != 0 ? n : 1), n);
}

void *rc_calloc(size_t n, size_t size)
{
    if (n <= SMALL && size <= SMALL &&
        n * size <= SMALL) { /* glibc's calloc has no fast path */
        void *p = rc_malloc(n * size);

        return memset(p, 0, n * size);
    }
    return or_die(calloc(n != 0 ? n : 1, size != 0 ? size : 1), n * size);
}

void *rc_realloc(void *p, size_t n)
{
    return or_die(realloc(p, n != 0 ? n : 1), n);
}

char *rc_strndup(const char *p, size_t n)
{
    char *s = rc_malloc(n + 1);

    if (n != 0)
        memcpy(s, p, n);
    s[n] = '\0';
    return s;
}

void *rc_try_malloc(size_t n)
{
    return malloc(n != 0 ? n : 1);
}

void *rc_try_realloc(void *p, size_t n)
{
    return realloc(p, n != 0 ? n : 1);
}

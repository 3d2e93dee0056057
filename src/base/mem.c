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

/* malloc's own lists of each thread are seven blocks long: with more messages in a turn it sorts and merges
 * what is free. A sanitizer had better see each block come and go. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { KEPT_MAX = 0 };
#else
enum { KEPT_MAX = 256 };
#endif
enum { STEP = 64, CLASSES = 8 };

struct kept {
    struct kept *next;
};

static _Thread_local struct {
    struct kept *first[CLASSES]; /* of (i + 1) * STEP bytes */
    unsigned room[CLASSES];      /* how many more it takes */
} kept;

void *rc_block_new(size_t size)
{
    size_t class = (size - 1) / STEP;
    struct kept *k;

    if (class >= CLASSES)
        return rc_malloc(size);
    k = kept.first[class];
    if (k == NULL)
        return rc_malloc((class + 1) * STEP);
    kept.first[class] = k->next;
    kept.room[class]++;
    return k;
}

void rc_block_free(void *p, size_t size)
{
    size_t class = (size - 1) / STEP;
    struct kept *k = p;

    if (class >= CLASSES || kept.room[class] == 0) {
        free(p);
        return;
    }
    k->next = kept.first[class];
    kept.first[class] = k;
    kept.room[class]--;
}

void rc_blocks_keep(bool yes)
{
    for (size_t i = 0; i < CLASSES; i++) {
        while (kept.first[i] != NULL)
            free(rc_block_new((i + 1) * STEP));
        kept.room[i] = yes * (unsigned)KEPT_MAX;
    }
}

void *rc_try_malloc(size_t n)
{
    return malloc(n != 0 ? n : 1);
}

void *rc_try_realloc(void *p, size_t n)
{
    return realloc(p, n != 0 ? n : 1);
}

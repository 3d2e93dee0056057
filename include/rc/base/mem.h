/*
 * mem.h - allocation: alloc-or-die for small fixed sizes, _try_ for sizes that a peer chooses.
 *
 * Threads:   any (malloc's own locking; nothing here is shared).
 * Ownership: the caller frees with free().
 */
#ifndef RC_BASE_MEM_H
#define RC_BASE_MEM_H

#include "rc/base/err.h"

#include <stddef.h>

/* Never NULL: writes one line to stderr and aborts when the memory is not to be had. */
void *rc_malloc(size_t n) __attribute__((malloc, returns_nonnull));
void *rc_calloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *rc_realloc(void *p, size_t n) __attribute__((returns_nonnull));
char *rc_strndup(const char *p, size_t n) __attribute__((malloc, returns_nonnull));

/* For sizes that a peer can choose: NULL on failure, check the limit before. */
void *rc_try_malloc(size_t n) __attribute__((malloc)) RC_MUSTCHECK;
void *rc_try_realloc(void *p, size_t n) RC_MUSTCHECK;

#endif /* RC_BASE_MEM_H */

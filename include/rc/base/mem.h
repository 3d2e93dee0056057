/*
 * mem.h - allocation: alloc-or-die for small fixed sizes, _try_ for sizes that a peer chooses.
 *
 * Threads:   any (malloc's own locking; nothing here is shared).
 * Ownership: the caller frees with free().
 */
#ifndef RC_BASE_MEM_H
#define RC_BASE_MEM_H

#include "rc/base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* Never NULL: writes one line to stderr and aborts when the memory is not to be had. */
void *rc_malloc(size_t n) __attribute__((malloc, returns_nonnull));
void *rc_calloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *rc_realloc(void *p, size_t n) __attribute__((returns_nonnull));
char *rc_strndup(const char *p, size_t n) __attribute__((malloc, returns_nonnull));

/* For what comes and goes with each message: small ones are kept by the thread that frees them, if it
 * has said so, and given out again, last in, first out. size: as it was asked for. */
void *rc_block_new(size_t size) __attribute__((malloc, returns_nonnull));
void rc_block_free(void *p, size_t size);
/* From now on, or to the end: then what is kept is freed. */
void rc_blocks_keep(bool yes);

/* For sizes that a peer can choose: NULL on failure, check the limit before. */
void *rc_try_malloc(size_t n) __attribute__((malloc)) RC_MUSTCHECK;
void *rc_try_realloc(void *p, size_t n) RC_MUSTCHECK;

#endif /* RC_BASE_MEM_H */

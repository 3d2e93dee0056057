/*
 * hash.h - keyed hashing (SipHash-1-3) of what peers choose, and random bytes.
 *
 * The key is drawn once per process, so that nobody can choose names that collide.
 *
 * Threads: rc_hash_init: main, before the threads start.  Everything else: any.
 */
#ifndef RC_BASE_HASH_H
#define RC_BASE_HASH_H

#include "rc/base/err.h"

#include <stddef.h>
#include <stdint.h>

int rc_hash_init(void) RC_MUSTCHECK;
/* `tweak` separates uses and name spaces: it enters the hash like one more word of input. */
uint64_t rc_hash(const void *p, size_t n, uint64_t tweak);
/* Quicker, and not keyed: for tables of what the configuration names, which peers only look up. */
uint64_t rc_hash_quick(const void *p, size_t n);
/* From the kernel's generator; aborts when it fails. */
void rc_random(void *p, size_t n);

#endif /* RC_BASE_HASH_H */

/*
 * thread.h - which thread may run a function: roles for clang's -Wthread-safety, and run-time
 * checks of the very thread.
 *
 * A role says what kind of thread (checked at compile time, see docs/threads.md); the owner
 * says which one (checked at run time). Each callback that libevent or a function pointer
 * enters begins with an rc_assert_on_*(); functions that are called directly carry RC_ON_*.
 *
 * Threads: any.
 */
#ifndef RC_BASE_THREAD_H
#define RC_BASE_THREAD_H

#include "rc/base/err.h"

#if defined(__clang__)
#define RC_TSA(x) __attribute__((x))
#else
#define RC_TSA(x)
#endif

struct RC_TSA(capability("role")) rc_role {
    char unused;
};
extern struct rc_role rc_role_shard, rc_role_acceptor;

#define RC_ON_SHARD      RC_TSA(requires_capability(rc_role_shard))
#define RC_ON_ACCEPTOR   RC_TSA(requires_capability(rc_role_acceptor))
#define RC_GUARDED_BY(m) RC_TSA(guarded_by(m))

/* Names the calling thread (15 bytes at most) and makes it the owner of `owner`'s objects. */
void rc_thread_enter(const char *name, const void *owner);
/* Aborts unless the calling thread entered with this owner. */
void rc_assert_on_shard(const void *owner) RC_TSA(assert_capability(rc_role_shard));
void rc_assert_on_acceptor(const void *owner) RC_TSA(assert_capability(rc_role_acceptor));

/* An invariant of ours is broken: says where, and aborts. Stays on in release builds. */
void rc_panic(const char *file, int line, const char *what) RC_NORETURN;
#define RC_ASSERT(cond) ((cond) ? (void)0 : rc_panic(__FILE__, __LINE__, #cond))

#endif /* RC_BASE_THREAD_H */

#include "rc/base/thread.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct rc_role rc_role_shard, rc_role_acceptor;

static _Thread_local const void *self;

void rc_thread_enter(const char *name, const void *owner)
{
    self = owner;
    (void)pthread_setname_np(pthread_self(), name);
}

void rc_assert_on_shard(const void *owner)
{
    RC_ASSERT(self == owner);
}

void rc_assert_on_acceptor(const void *owner)
{
    RC_ASSERT(self == owner);
}

void rc_panic(const char *file, int line, const char *what)
{
    fprintf(stderr, "roomcast: %s:%d: broken invariant: %s\n", file, line, what);
    abort();
}

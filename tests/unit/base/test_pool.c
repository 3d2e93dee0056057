#include "rc/base/pool.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

struct object {
    struct rc_pooled hdr;
    uint64_t value;
    char pad[40];
};

Test(pool, ids)
{
    rc_id id = rc_id_make(63, 0xabcdef, 0xdeadbeef);

    cr_assert_eq(rc_id_shard(id), 63u);
    cr_assert_eq(rc_id_slot(id), 0xabcdefu);
    cr_assert_eq(rc_id_gen(id), 0xdeadbeefu);
    cr_assert_eq(rc_id_shard(rc_id_make(255, RC_POOL_MAX - 1, UINT32_MAX)), 255u);
    cr_assert_eq(rc_id_slot(rc_id_make(255, RC_POOL_MAX - 1, UINT32_MAX)), 0xffffffu);
    cr_assert_neq(rc_id_make(0, 0, 1), 0u); /* the least live one */
}

Test(pool, empty)
{
    struct rc_pool p;
    uint32_t cursor = 0;

    rc_pool_init(&p, sizeof(struct object), 100);
    cr_assert_null(rc_pool_find(&p, 0, 1));
    cr_assert_null(rc_pool_at(&p, 0));
    cr_assert_null(rc_pool_next(&p, &cursor));
    rc_pool_deinit(&p);
    rc_pool_init(&p, sizeof(struct object), 0);
    cr_assert_null(rc_pool_get(&p));
    rc_pool_deinit(&p);
}

Test(pool, objects_are_zeroed)
{
    struct rc_pool p;
    struct object *o;
    static const char zero[40];

    rc_pool_init(&p, sizeof(*o), 1);
    for (int i = 0; i < 3; i++) {
        o = rc_pool_get(&p);
        cr_assert_not_null(o);
        cr_assert_eq(o->value, 0u);
        cr_assert_arr_eq(o->pad, zero, sizeof(zero));
        o->value = UINT64_MAX;
        memset(o->pad, 0xff, sizeof(o->pad));
        rc_pool_put(&p, o);
    }
    rc_pool_deinit(&p);
}

Test(pool, stale_names_miss)
{
    struct rc_pool p;
    struct object *a, *b;
    uint32_t slot, gen;

    rc_pool_init(&p, sizeof(*a), 10);
    a = rc_pool_get(&p);
    slot = a->hdr.slot;
    gen = a->hdr.gen;
    cr_assert_eq(gen & 1, 1u);
    cr_assert_eq(rc_pool_find(&p, slot, gen), a);
    cr_assert_eq(rc_pool_at(&p, slot), a);
    cr_assert_null(rc_pool_find(&p, slot, gen + 1)); /* what a free slot holds */
    cr_assert_null(rc_pool_find(&p, slot, gen + 2));
    cr_assert_null(rc_pool_find(&p, slot, gen - 1));
    rc_pool_put(&p, a);
    cr_assert_null(rc_pool_find(&p, slot, gen));
    cr_assert_null(rc_pool_find(&p, slot, gen + 1));
    cr_assert_null(rc_pool_at(&p, slot));
    b = rc_pool_get(&p);
    cr_assert_eq(b, a); /* the slot is used again, under another name */
    cr_assert_eq(b->hdr.slot, slot);
    cr_assert_eq(b->hdr.gen, gen + 2);
    cr_assert_null(rc_pool_find(&p, slot, gen));
    cr_assert_eq(rc_pool_find(&p, slot, gen + 2), b);
    rc_pool_deinit(&p);
}

Test(pool, names_of_nothing)
{
    struct rc_pool p;

    rc_pool_init(&p, sizeof(struct object), 1000000);
    cr_assert_not_null(rc_pool_get(&p));
    for (uint64_t slot = 0; slot <= UINT32_MAX; slot = slot * 3 + 1) {
        cr_assert_null(rc_pool_find(&p, (uint32_t)slot, 0));
        if (slot != 0) {
            cr_assert_null(rc_pool_find(&p, (uint32_t)slot, 1));
            cr_assert_null(rc_pool_at(&p, (uint32_t)slot));
        }
    }
    cr_assert_null(rc_pool_at(&p, UINT32_MAX));
    cr_assert_null(rc_pool_find(&p, RC_POOL_NONE, 1));
    rc_pool_deinit(&p);
}

/* Addresses do not change while it grows, slots are distinct, max is a limit. */
Test(pool, grows_up_to_max)
{
    enum { MAX = 2500 };
    struct rc_pool p;
    struct object *o[MAX];

    rc_pool_init(&p, sizeof(struct object), MAX);
    for (unsigned i = 0; i < MAX; i++) {
        o[i] = rc_pool_get(&p);
        cr_assert_not_null(o[i]);
        cr_assert_eq(o[i]->hdr.slot, i); /* from the low end: the chunks stay few */
        o[i]->value = i;
        cr_assert_eq(p.used, i + 1);
    }
    cr_assert_null(rc_pool_get(&p));
    for (unsigned i = 0; i < MAX; i++) {
        cr_assert_eq(o[i]->value, i);
        cr_assert_eq(rc_pool_at(&p, i), o[i]);
    }
    rc_pool_put(&p, o[1234]);
    cr_assert_eq(p.used, MAX - 1u);
    cr_assert_eq(rc_pool_get(&p), o[1234]);
    cr_assert_null(rc_pool_get(&p));
    rc_pool_deinit(&p);
}

Test(pool, objects_larger_than_a_chunk)
{
    struct rc_pool p;
    char *a, *b;

    rc_pool_init(&p, 100001, 2);
    a = rc_pool_get(&p);
    b = rc_pool_get(&p);
    cr_assert(a != NULL && b != NULL && a != b);
    memset(a + sizeof(struct rc_pooled), 1, 100001 - sizeof(struct rc_pooled));
    memset(b + sizeof(struct rc_pooled), 2, 100001 - sizeof(struct rc_pooled));
    cr_assert_eq(a[100000], 1);
    cr_assert_eq(rc_pool_at(&p, 1), b);
    rc_pool_deinit(&p);
}

/* Every live object once, whatever came and went. */
Test(pool, walk)
{
    enum { MAX = 700 };
    struct rc_pool p;
    struct object *o[MAX] = {NULL}, *found;
    uint32_t state = 12345, live = 0;

    rc_pool_init(&p, sizeof(struct object), MAX);
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (state = state * 1103515245 + 12345) >> 8;

        i %= MAX;
        if (o[i] != NULL) {
            rc_pool_put(&p, o[i]);
            o[i] = NULL;
            live--;
        } else {
            o[i] = rc_pool_get(&p);
            cr_assert_not_null(o[i]);
            o[i]->value = i + 1;
            live++;
        }
        cr_assert_eq(p.used, live);
        if (step % 1000 == 0) {
            uint32_t cursor = 0, seen = 0;

            while ((found = rc_pool_next(&p, &cursor)) != NULL) {
                cr_assert_eq(o[found->value - 1], found);
                seen++;
            }
            cr_assert_eq(seen, live);
        }
    }
    rc_pool_deinit(&p);
}

/* An object may be put back while the pool is walked: that is how shards close all they have. */
Test(pool, walk_that_puts_back)
{
    struct rc_pool p;
    uint32_t cursor = 0, seen = 0;
    struct object *o;

    rc_pool_init(&p, sizeof(*o), 1000);
    for (int i = 0; i < 1000; i++)
        cr_assert_not_null(rc_pool_get(&p));
    while ((o = rc_pool_next(&p, &cursor)) != NULL) {
        rc_pool_put(&p, o);
        seen++;
    }
    cr_assert_eq(seen, 1000u);
    cr_assert_eq(p.used, 0u);
    rc_pool_deinit(&p);
}

Test(pool, putting_back_twice_aborts)
{
    struct rc_pool p;
    struct object *o;
    int status;
    pid_t pid;

    rc_pool_init(&p, sizeof(*o), 10);
    o = rc_pool_get(&p);
    rc_pool_put(&p, o);
    pid = fork();
    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        rc_pool_put(&p, o);
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    rc_pool_deinit(&p);
}

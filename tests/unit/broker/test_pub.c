#include "rc/broker/pub.h"

#include <criterion/criterion.h>
#include <pthread.h>

Test(pub, holds_bytes_and_room)
{
    struct rc_pub *p = rc_pub_new(7, RC_STR("lobby"), 0x123456789abcdef0, "frame\0bytes", 11);

    cr_assert_eq(p->nsp, 7);
    cr_assert_eq(p->hash, 0x123456789abcdef0u);
    cr_assert(rc_str_eq(rc_pub_data(p), RC_STR("frame\0bytes")));
    cr_assert(rc_str_eq(rc_pub_room(p), RC_STR("lobby")));
    rc_pub_unref(&p);
    cr_assert_null(p);
    rc_pub_unref(&p); /* nothing */
}

Test(pub, empty_parts)
{
    struct rc_pub *name = rc_pub_new(0, RC_STR("r"), 1, NULL, 0);
    struct rc_pub *blob = rc_pub_new(0, RC_STR_NONE, 0, "x", 1);
    struct rc_pub *nothing = rc_pub_new(0, RC_STR_NONE, 0, NULL, 0);

    cr_assert_eq(rc_pub_data(name).len, 0u);
    cr_assert(rc_str_eq(rc_pub_room(name), RC_STR("r")));
    cr_assert_eq(rc_pub_room(blob).len, 0u);
    cr_assert_eq(rc_pub_data(nothing).len, 0u);
    cr_assert_eq(rc_pub_room(nothing).len, 0u);
    rc_pub_unref(&name);
    rc_pub_unref(&blob);
    rc_pub_unref(&nothing);
}

enum { THREADS = 4, ROUNDS = 20000 };

/* Takes and gives back references, and reads the bytes: the last one frees. */
static void *hold(void *arg)
{
    struct rc_pub *mine = arg, *more[4];

    for (int i = 0; i < ROUNDS; i++) {
        for (int k = 0; k < 4; k++)
            more[k] = rc_pub_ref(mine);
        cr_assert_eq(rc_pub_data(mine).p[i % 5], "hello"[i % 5]);
        for (int k = 0; k < 4; k++)
            rc_pub_unref(&more[k]);
    }
    rc_pub_unref(&mine);
    return NULL;
}

Test(pub, references_of_many_threads)
{
    struct rc_pub *p = rc_pub_new(0, RC_STR_NONE, 0, "hello", 5);
    pthread_t t[THREADS];

    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&t[i], NULL, hold, rc_pub_ref(p)), 0);
    rc_pub_unref(&p);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_join(t[i], NULL), 0);
}

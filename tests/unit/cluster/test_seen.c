#include "../../../src/cluster/seen.h"

#include "rc/base/err.h"
#include "rc/base/hash.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static bool comes(struct rc_seen *s, const char *uid, uint64_t run, uint64_t number)
{
    return rc_seen_new(s, rc_str_of(uid), (struct rc_seq){.run = run, .number = number});
}

Test(seen, numbers_are_written_and_read)
{
    static const struct rc_seq some[] = {
        {0, 0}, {1, 2}, {UINT64_MAX, 1}, {0x0123456789abcdef, 1000000000000000000}};
    static const char *const none[] = {"",
                                       "1-1",
                                       "0123456789abcde-1",
                                       "0123456789abcdef-",
                                       "0123456789abcdef1",
                                       "0123456789ABCDEF-1",
                                       "0123456789abcdef-a",
                                       "0123456789abcdef--1",
                                       "0123456789abcdef-10000000000000000000",
                                       "0123456789abcdeg-1",
                                       " 123456789abcdef-1"};
    char text[RC_SEQ_SIZE];
    struct rc_seq got;

    for (unsigned i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
        rc_seq_put(some[i], text);
        cr_assert(rc_seq_read(rc_str_of(text), &got), "%s", text);
        cr_assert_eq(got.run, some[i].run);
        cr_assert_eq(got.number, some[i].number);
    }
    for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        cr_assert_not(rc_seq_read(rc_str_of(none[i]), &got), "%s", none[i]);
}

Test(seen, each_number_is_new_once)
{
    struct rc_seen s;

    cr_assert_eq(rc_hash_init(), RC_OK);
    rc_seen_init(&s);
    cr_assert(comes(&s, "a", 1, 1));
    cr_assert(comes(&s, "a", 1, 2));
    cr_assert_not(comes(&s, "a", 1, 1));
    cr_assert_not(comes(&s, "a", 1, 2));
    cr_assert(comes(&s, "a", 1, 5));
    cr_assert_not(comes(&s, "a", 1, 4));
    cr_assert(comes(&s, "b", 1, 1));
    cr_assert(comes(&s, "a", 2, 1)); /* it has started again */
    cr_assert_not(comes(&s, "a", 2, 1));
    cr_assert(comes(&s, "", 2, 1));
    rc_seen_deinit(&s);
}

/* The table is bounded: those longest not heard of are forgotten. */
Test(seen, keeps_no_names_of_any_length)
{
    char uid[RC_SEEN_UID_MAX + 2];
    struct rc_seen s;

    cr_assert_eq(rc_hash_init(), RC_OK);
    rc_seen_init(&s);
    memset(uid, 'u', sizeof(uid));
    uid[RC_SEEN_UID_MAX + 1] = '\0';
    cr_assert(comes(&s, uid, 1, 1));
    cr_assert_eq(s.senders.n, 0u);
    uid[RC_SEEN_UID_MAX] = '\0';
    cr_assert(comes(&s, uid, 1, 1));
    cr_assert_not(comes(&s, uid, 1, 1));
    cr_assert_eq(s.senders.n, 1u);
    rc_seen_deinit(&s);
}

Test(seen, forgets_who_is_gone)
{
    struct rc_seen s;
    char uid[16];

    cr_assert_eq(rc_hash_init(), RC_OK);
    rc_seen_init(&s);
    cr_assert(comes(&s, "still here", 1, 1));
    cr_assert(comes(&s, "gone", 1, 1));
    for (unsigned i = 0; i < RC_SEEN_MAX - 1; i++) {
        (void)snprintf(uid, sizeof(uid), "%u", i);
        cr_assert(comes(&s, uid, 1, 1));
        cr_assert_not(comes(&s, "still here", 1, 1));
    }
    cr_assert_eq(s.senders.n, RC_SEEN_MAX);
    cr_assert(comes(&s, "gone", 1, 1)); /* as if it were new */
    cr_assert_not(comes(&s, "still here", 1, 1));
    rc_seen_deinit(&s);
}

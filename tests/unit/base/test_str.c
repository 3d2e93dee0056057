#include "rc/base/str.h"

#include <criterion/criterion.h>
#include <stdio.h>

Test(str, makes)
{
    const char *z = "abc";
    struct rc_str s = rc_str_of(z), none = rc_str_of(NULL), part = rc_str_make(z + 1, 1);

    cr_assert_eq(s.p, z);
    cr_assert_eq(s.len, 3u);
    cr_assert_null(none.p);
    cr_assert_eq(none.len, 0u);
    cr_assert(rc_str_eq(part, RC_STR("b")));
    cr_assert_eq(RC_STR("a\0b").len, 3u);
    cr_assert_eq(RC_STR_NONE.len, 0u);
}

Test(str, equality)
{
    cr_assert(rc_str_eq(RC_STR("abc"), RC_STR("abc")));
    cr_assert(rc_str_eq(RC_STR_NONE, RC_STR("")));
    cr_assert(rc_str_eq(RC_STR("a\0b"), rc_str_make("a\0bc", 3)));
    cr_assert_not(rc_str_eq(RC_STR("a\0b"), RC_STR("a\0c")));
    cr_assert_not(rc_str_eq(RC_STR("abc"), RC_STR("abcd")));
    cr_assert_not(rc_str_eq(RC_STR("abc"), RC_STR("abC")));
    cr_assert_not(rc_str_eq(RC_STR_NONE, RC_STR("a")));
}

Test(str, equality_ignoring_case)
{
    cr_assert(rc_str_ieq(RC_STR("Keep-ALIVE"), RC_STR("keep-alive")));
    cr_assert(rc_str_ieq(RC_STR_NONE, RC_STR("")));
    cr_assert_not(rc_str_ieq(RC_STR("close"), RC_STR("close ")));
    cr_assert_not(rc_str_ieq(RC_STR("a@"), RC_STR("a`"))); /* only letters have cases */
    cr_assert_not(rc_str_ieq(RC_STR("\xc3\x84"), RC_STR("\xc3\xa4")));
}

Test(str, prefixes)
{
    cr_assert(rc_str_starts(RC_STR("/chat"), RC_STR("/")));
    cr_assert(rc_str_starts(RC_STR("/chat"), RC_STR("/chat")));
    cr_assert(rc_str_starts(RC_STR("/chat"), RC_STR_NONE));
    cr_assert(rc_str_starts(RC_STR_NONE, RC_STR_NONE));
    cr_assert_not(rc_str_starts(RC_STR("/chat"), RC_STR("/chats")));
    cr_assert_not(rc_str_starts(RC_STR("/chat"), RC_STR("chat")));
    cr_assert_not(rc_str_starts(RC_STR_NONE, RC_STR("/")));
}

Test(str, equal_secrets)
{
    cr_assert(rc_str_eq_secret(RC_STR("secret"), RC_STR("secret")));
    cr_assert(rc_str_eq_secret(RC_STR_NONE, RC_STR("")));
    cr_assert_not(rc_str_eq_secret(RC_STR("secret"), RC_STR("secreT")));
    cr_assert_not(rc_str_eq_secret(RC_STR("secret"), RC_STR("Secret")));
    cr_assert_not(rc_str_eq_secret(RC_STR("secret"), RC_STR("secrets")));
    cr_assert_not(rc_str_eq_secret(RC_STR("secret"), RC_STR_NONE));
    cr_assert_not(rc_str_eq_secret(RC_STR("\x80"), RC_STR("\x00")));
}

Test(str, skips)
{
    struct rc_str s = RC_STR("abcdef"), rest = rc_str_skip(s, 2), end = rc_str_skip(s, 6);

    cr_assert(rc_str_eq(rest, RC_STR("cdef")));
    cr_assert(rc_str_eq(rc_str_skip(s, 0), s));
    cr_assert_eq(end.len, 0u);
    cr_assert_eq(end.p, s.p + 6);
    cr_assert_eq(rc_str_skip(s, 99).p, s.p + 6); /* never beyond the end */
    cr_assert_eq(rc_str_skip(s, 99).len, 0u);
}

Test(str, prints)
{
    char out[32];

    (void)snprintf(out, sizeof(out), "<%.*s><%.*s>", RC_STR_ARG(rc_str_make("abcdef", 3)),
                   RC_STR_ARG(RC_STR_NONE));
    cr_assert_str_eq(out, "<abc><>");
}

#include "rc/base/wild.h"

#include <criterion/criterion.h>
#include <string.h>

static bool no_slash(char ch)
{
    return ch != '/';
}

static void check(const char *pattern, const char *text, bool any, bool barred)
{
    cr_assert_eq(rc_wild_fits(rc_str_of(pattern), rc_str_of(text), NULL), any, "%s %s", pattern,
                 text);
    cr_assert_eq(rc_wild_fits(rc_str_of(pattern), rc_str_of(text), no_slash), barred, "%s %s",
                 pattern, text);
}

Test(wild, fits)
{
    check("", "", true, true);
    check("", "a", false, false);
    check("a", "", false, false);
    check("vip", "vip", true, true);
    check("vip", "vips", false, false);
    check("vip", "Vip", false, false);
    check("*", "", false, false);
    check("*", "a", true, true);
    check("*", "a/b", true, false);
    check("a-*", "a-", false, false);
    check("a-*", "a-1", true, true);
    check("a-*", "a-1/2", true, false);
    check("*-a", "1-a", true, true);
    check("*-a", "a-a-a", true, true);
    check("*-a", "1-a-b", false, false);
    check("a*b*c", "abc", false, false);
    check("a*b*c", "axbxc", true, true);
    check("a*b*c", "abbbc", true, true);
    check("a*b*c", "abcbcbc", true, true);
    check("a*b*c", "abcb", false, false);
    check("*/*", "a/b", true, true);
    check("*/*", "a/b/c", true, false);
    check("**", "a", false, false);
    check("**", "ab", true, true);
}

/* By all texts of a few letters: as a matcher that tries everything says. */
static bool slow_fits(const char *p, const char *t)
{
    if (*p == '\0')
        return *t == '\0';
    if (*p != '*')
        return *t == *p && slow_fits(p + 1, t + 1);
    return *t != '\0' && (slow_fits(p + 1, t + 1) || slow_fits(p, t + 1));
}

Test(wild, as_one_that_tries_everything)
{
    static const char in_pattern[] = "ab*", in_text[] = "ab";
    char pattern[6] = "", text[7] = "";

    for (unsigned i = 0; i < 3 * 3 * 3 * 3 * 3; i++) {
        for (unsigned j = 0, n = i; j < 5; j++, n /= 3)
            pattern[j] = in_pattern[n % 3];
        for (unsigned k = 0; k < 1 << 7; k++) {
            unsigned len = 0;

            for (unsigned n = k; n > 1; n /= 2) /* the leading one says how long */
                text[len++] = in_text[n % 2];
            text[len] = '\0';
            cr_assert_eq(rc_wild_fits(rc_str_of(pattern), rc_str_of(text), NULL),
                         slow_fits(pattern, text), "%s %s", pattern, text);
        }
    }
}

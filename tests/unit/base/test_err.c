#include "rc/base/err.h"

#include <criterion/criterion.h>
#include <limits.h>

Test(err, each_code_has_its_own_text)
{
#define VALUE(name, value, text) name,
    static const int codes[] = {RC_OK, RC_ERR_MAP(VALUE)};
#undef VALUE
    const size_t n = sizeof(codes) / sizeof(codes[0]);

    for (size_t i = 0; i < n; i++) {
        cr_assert(i == 0 || codes[i] < 0);
        cr_assert_neq(strcmp(rc_strerror(codes[i]), "unknown error"), 0);
        for (size_t k = 0; k < i; k++) {
            cr_assert_neq(codes[i], codes[k]);
            cr_assert_neq(strcmp(rc_strerror(codes[i]), rc_strerror(codes[k])), 0);
        }
    }
}

Test(err, texts)
{
    cr_assert_str_eq(rc_strerror(RC_OK), "success");
    cr_assert_str_eq(rc_strerror(RC_EAGAIN), "more input is needed");
    cr_assert_str_eq(rc_strerror(RC_ECLOSED), "closed");
    cr_assert_str_eq(rc_strerror(1), "unknown error");
    cr_assert_str_eq(rc_strerror(INT_MIN), "unknown error");
}

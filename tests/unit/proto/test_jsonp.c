#include "rc/proto/jsonp.h"

#include <criterion/criterion.h>

static void check_put(const char *j, struct rc_str payload, const char *want)
{
    struct rc_buf out = RC_BUF_INIT;

    rc_jsonp_put(&out, rc_str_of(j), payload);
    cr_assert(rc_str_eq(rc_buf_str(&out), rc_str_of(want)), "%.*s",
              RC_STR_ARG(rc_buf_str(&out)));
    rc_buf_deinit(&out);
}

Test(jsonp, scripts)
{
    check_put("0", RC_STR("6"), "___eio[0](\"6\");");
    check_put("", RC_STR(""), "___eio[](\"\");");
    check_put("12", RC_STR_NONE, "___eio[12](\"\");");
    check_put("](alert(1));//3x4", RC_STR("1"), "___eio[134](\"1\");");
    check_put("1", RC_STR("42[\"a\",\"\\\"\"]"),
              "___eio[1](\"42[\\\"a\\\",\\\"\\\\\\\"\\\"]\");");
}

Test(jsonp, what_a_script_must_not_have)
{
    check_put("1", RC_STR("\b\f\n\r\t\x1e\x01\x1f"),
              "___eio[1](\"\\b\\f\\n\\r\\t\\u001e\\u0001\\u001f\");");
    check_put("1", rc_str_make("\0a", 2), "___eio[1](\"\\u0000a\");");
    check_put("1", RC_STR("a\xe2\x80\xa8z\xe2\x80\xa9"), "___eio[1](\"a\\u2028z\\u2029\");");
    /* their neighbours, and what is cut off */
    check_put("1", RC_STR("\xe2\x80\xa7\xe2\x80\xaa\xe2\x81\xa8\xe2\x80"),
              "___eio[1](\"\xe2\x80\xa7\xe2\x80\xaa\xe2\x81\xa8\xe2\x80\");");
    check_put("1", RC_STR("/<\x7f\xc3\xbc\xf0\x9f\x91\x8d'"),
              "___eio[1](\"/<\x7f\xc3\xbc\xf0\x9f\x91\x8d'\");");
}

static void check_take(const char *form, const char *want)
{
    struct rc_buf out = RC_BUF_INIT;
    int err;

    rc_buf_putz(&out, "left over");
    err = rc_jsonp_take(rc_str_of(form), &out);
    if (want == NULL) {
        cr_assert_eq(err, RC_ENOENT, "%s", form);
    } else {
        cr_assert_eq(err, RC_OK, "%s", form);
        cr_assert(rc_str_eq(rc_buf_str(&out), rc_str_of(want)), "%s: %.*s", form,
                  RC_STR_ARG(rc_buf_str(&out)));
    }
    rc_buf_deinit(&out);
}

Test(jsonp, forms)
{
    check_take("d=4", "4");
    check_take("d=", "");
    check_take("d", "");
    check_take("x=1&d=42%5B%22a%22%5D%1E3&y=2", "42[\"a\"]\x1e"
                                                "3");
    check_take("%64=a+b%2Bc", "a b+c");
    check_take("d=100%", "100%");
    check_take("", NULL);
    check_take("x=1", NULL);
    check_take("D=1", NULL);
    check_take("dd=1", NULL);
    check_take("d=1&d=2", NULL);
}

Test(jsonp, line_feeds)
{
    check_take("d=n", "n");
    check_take("d=\\", "\\");
    check_take("d=\\n", "\n");
    check_take("d=\\\\n", "\\n");
    check_take("d=\\\\\\n", "\\\\n");
    check_take("d=\\\\\\\\n", "\\\\\\n");
    check_take("d=a\\nb\\n\\nnn\\N", "a\nb\n\nnn\\N");
    check_take("d=\\x\\n", "\\x\n");
    check_take("d=%5Cn%5c%5cn", "\n\\n");
    check_take("d=\\%6E", "\n"); /* first decoded, then undone */
}

Test(jsonp, no_memory_is_told)
{
    struct rc_buf out = {.max = 2};

    cr_assert_eq(rc_jsonp_take(RC_STR("d=12345"), &out), RC_ENOMEM);
    rc_buf_deinit(&out);
}

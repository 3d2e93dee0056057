/* Faults in the order of the file's lines (src/base/conf_sort.c). */
#include "rc/base/conf.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void check(const char *file, const char *faults, const char *expected)
{
    struct rc_conf_errors e = {.n = 7};

    rc_buf_putz(&e.text, faults);
    rc_conf_sort(&e, file);
    rc_buf_putc(&e.text, '\0');
    cr_assert_str_eq((const char *)e.text.data, expected);
    cr_assert_eq(e.n, 7u);
    rc_buf_deinit(&e.text);
}

Test(conf_sort, by_line_and_otherwise_as_they_came)
{
    check("/a.ini", "/a.ini:10: x\n/a.ini:9: y\n/a.ini:10: a\n/a.ini:2: z\n",
          "/a.ini:2: z\n/a.ini:9: y\n/a.ini:10: x\n/a.ini:10: a\n");
    check("/a.ini",
          "command line: q\n/a.ini: p\n/a.ini:3: x\n/a.ini.bak:1: b\nrest\n/a.ini:1: y\n",
          "/a.ini:1: y\n/a.ini:3: x\ncommand line: q\n/a.ini: p\n/a.ini.bak:1: b\nrest\n");
    check("/a.ini", "/a.ini:0: x\n/a.ini:4x: y\n/a.ini:4: z",
          "/a.ini:4: z/a.ini:0: x\n/a.ini:4x: y\n");
    check("/a.ini", "", "");
    check(NULL, "b:2: x\nb:1: y\n", "b:2: x\nb:1: y\n");
}

Test(conf_sort, a_wrong_value_is_known_to_be_one)
{
    struct rc_conf_errors e = {0};
    struct rc_conf conf;

    cr_assert_eq(rc_conf_load_text(&conf, "t.ini", rc_str_of("[auth]\nmode = x\nleeway = 1s\n"),
                                   NULL, 0, &e),
                 RC_EINVAL);
    cr_assert(rc_conf_where(&conf, "auth", "mode")->bad);
    cr_assert_eq(rc_conf_where(&conf, "auth", "mode")->line, 2u);
    cr_assert_not(rc_conf_where(&conf, "auth", "leeway")->bad);
    cr_assert_eq(rc_conf_where(&conf, "auth", "leeway")->line, 3u);
    cr_assert_null(rc_conf_where(&conf, "auth", "issuer")->file);
    cr_assert_null(rc_conf_where(&conf, "auth", "nothing")->file);
    rc_conf_free(&conf);
    rc_buf_deinit(&e.text);
}

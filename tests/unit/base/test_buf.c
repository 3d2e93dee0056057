#include "rc/base/buf.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>

static bool holds(const struct rc_buf *b, const char *want)
{
    cr_assert_leq(b->len, b->cap);
    return rc_str_eq(rc_buf_str(b), rc_str_of(want));
}

Test(buf, puts)
{
    struct rc_buf b = RC_BUF_INIT;

    cr_assert(holds(&b, ""));
    rc_buf_put(&b, "abc", 2);
    rc_buf_putc(&b, 'c');
    rc_buf_puts(&b, RC_STR("de"));
    rc_buf_puts(&b, RC_STR_NONE);
    rc_buf_putz(&b, "f");
    rc_buf_put(&b, NULL, 0);
    cr_assert_not(b.failed);
    cr_assert(holds(&b, "abcdef"));
    rc_buf_reset(&b);
    cr_assert(holds(&b, ""));
    cr_assert_not_null(b.data);
    rc_buf_deinit(&b);
    cr_assert_null(b.data);
    cr_assert_eq(b.cap, 0);
}

Test(buf, numbers)
{
    static const struct {
        uint64_t v;
        const char *text;
    } cases[] = {{0, "0"},
                 {7, "7"},
                 {10, "10"},
                 {1234567890, "1234567890"},
                 {UINT64_MAX, "18446744073709551615"}};
    struct rc_buf b = RC_BUF_INIT;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rc_buf_reset(&b);
        rc_buf_put_u64(&b, cases[i].v);
        cr_assert(holds(&b, cases[i].text), "%s", cases[i].text);
    }
    rc_buf_deinit(&b);
}

Test(buf, printf_appends)
{
    struct rc_buf b = RC_BUF_INIT;

    rc_buf_printf(&b, "%d-%s", 42, "x");
    rc_buf_printf(&b, "%s", "");
    rc_buf_printf(&b, "%0200d", 1);
    cr_assert_eq(b.len, 4 + 200);
    cr_assert_arr_eq(b.data, "42-x000", 7);
    cr_assert_eq(b.data[203], '1');
    rc_buf_deinit(&b);
}

Test(buf, grows_and_keeps_its_bytes)
{
    struct rc_buf b = RC_BUF_INIT;

    for (unsigned i = 0; i < 100000; i++)
        rc_buf_putc(&b, (char)(i * 7));
    cr_assert_eq(b.len, 100000);
    for (unsigned i = 0; i < 100000; i++)
        if (b.data[i] != (uint8_t)(i * 7))
            cr_assert_fail("byte %u", i);
    rc_buf_deinit(&b);
}

Test(buf, reserve_then_add)
{
    struct rc_buf b = RC_BUF_INIT;
    uint8_t *p;

    rc_buf_putz(&b, "ab");
    p = rc_buf_reserve(&b, 1000);
    cr_assert_not_null(p);
    cr_assert(p == b.data + 2);
    cr_assert_geq(b.cap, 1002);
    memset(p, 'x', 1000);
    cr_assert_eq(b.len, 2);
    b.len += 1;
    cr_assert(holds(&b, "abx"));
    rc_buf_deinit(&b);
}

Test(buf, the_limit_is_exact_and_failure_sticks)
{
    struct rc_buf b = {.max = 4};

    rc_buf_putz(&b, "abcd");
    cr_assert_not(b.failed);
    rc_buf_putc(&b, 'e');
    cr_assert(b.failed);
    cr_assert_eq(b.len, 4);
    cr_assert_null(rc_buf_reserve(&b, 0));
    b.len = 0;
    rc_buf_putc(&b, 'x');
    rc_buf_printf(&b, "%d", 1);
    cr_assert_eq(b.len, 0);
    rc_buf_reset(&b);
    cr_assert_not(b.failed);
    rc_buf_putz(&b, "ok");
    cr_assert(holds(&b, "ok"));
    rc_buf_deinit(&b);
}

Test(buf, a_size_that_wraps_around_fails)
{
    struct rc_buf b = RC_BUF_INIT;

    rc_buf_putz(&b, "abc");
    cr_assert_null(rc_buf_reserve(&b, SIZE_MAX));
    cr_assert(b.failed);
    cr_assert(holds(&b, "abc"));
    rc_buf_deinit(&b);
}

Test(buf, consume)
{
    struct rc_buf b = RC_BUF_INIT;

    rc_buf_consume(&b, 1);
    rc_buf_putz(&b, "abcdef");
    rc_buf_consume(&b, 0);
    cr_assert(holds(&b, "abcdef"));
    rc_buf_consume(&b, 2);
    cr_assert(holds(&b, "cdef"));
    rc_buf_consume(&b, 4);
    cr_assert(holds(&b, ""));
    rc_buf_putz(&b, "gh");
    rc_buf_consume(&b, 100);
    cr_assert(holds(&b, ""));
    rc_buf_deinit(&b);
}

Test(buf, take_leaves_an_empty_buffer_with_its_limit)
{
    struct rc_buf b = {.max = 8};
    uint8_t *p;
    size_t len;

    cr_assert_null(rc_buf_take(&b, &len));
    cr_assert_eq(len, 0);
    rc_buf_putz(&b, "abc");
    p = rc_buf_take(&b, &len);
    cr_assert_eq(len, 3);
    cr_assert_arr_eq(p, "abc", 3);
    free(p);
    cr_assert_null(b.data);
    cr_assert_eq(b.max, 8);
    rc_buf_putz(&b, "12345678");
    cr_assert_not(b.failed);
    rc_buf_putc(&b, '9');
    cr_assert(b.failed);
    rc_buf_deinit(&b);
}

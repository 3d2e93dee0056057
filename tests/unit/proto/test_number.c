#include "rc/proto/number.h"

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

static void puts_as(double v, const char *text)
{
    struct rc_buf b = RC_BUF_INIT;

    rc_number_put(&b, v);
    cr_assert(rc_str_eq(rc_buf_str(&b), rc_str_of(text)), "%.17g is %.*s, not %s", v,
              RC_STR_ARG(rc_buf_str(&b)), text);
    rc_buf_deinit(&b);
}

/* What JSON.stringify made of each. */
Test(number, put)
{
    puts_as(0, "0");
    puts_as(1, "1");
    puts_as(-1.5, "-1.5");
    puts_as(0.1, "0.1");
    puts_as(0.1 + 0.2, "0.30000000000000004");
    puts_as(4.35, "4.35");
    puts_as(100, "100");
    puts_as(123456789012345, "123456789012345");
    puts_as(9007199254740992.0, "9007199254740992");
    puts_as(1e20, "100000000000000000000");
    puts_as(123456789012345680000.0, "123456789012345680000");
    puts_as(1e21, "1e+21");
    puts_as(1.5e300, "1.5e+300");
    puts_as(-123.456e-3, "-0.123456");
    puts_as(1e-6, "0.000001");
    puts_as(1.25e-6, "0.00000125");
    puts_as(1e-7, "1e-7");
    puts_as(-1.5e-7, "-1.5e-7");
    puts_as(5e-324, "5e-324");
    puts_as(DBL_MIN, "2.2250738585072014e-308");
    puts_as(DBL_MAX, "1.7976931348623157e+308");
    puts_as((double)0.1f, "0.10000000149011612");
}

Test(number, put_smallest)
{
    puts_as(1e-323, "1e-323");
    puts_as(1.234e-320, "1.234e-320");
    puts_as(1.2345678901e-313, "1.2345678901e-313");
    puts_as(2.2e-308, "2.2e-308");
    puts_as(2.225073858507201e-308, "2.225073858507201e-308");
}

/* The nearest decimal of 16 digits is another double, the next one is not. */
Test(number, put_powers_of_two)
{
    puts_as(ldexp(1, -44), "5.684341886080802e-14");
    puts_as(-ldexp(1, -24), "-5.960464477539063e-8");
    puts_as(ldexp(1, 60), "1152921504606847000");
    puts_as(ldexp(1, 1023), "8.98846567431158e+307");
}

Test(number, put_what_json_has_not)
{
    puts_as((double)NAN, "null");
    puts_as((double)INFINITY, "null");
    puts_as((double)-INFINITY, "null");
    puts_as(-0.0, "0");
}

static void reads_uint(const char *text, uint64_t u)
{
    struct rc_number n = rc_number_read(rc_str_of(text));

    cr_assert_eq(n.kind, RC_NUMBER_UINT, "%s", text);
    cr_assert_eq(n.v.u, u, "%s", text);
}

static void reads_int(const char *text, int64_t i)
{
    struct rc_number n = rc_number_read(rc_str_of(text));

    cr_assert_eq(n.kind, RC_NUMBER_INT, "%s", text);
    cr_assert_eq(n.v.i, i, "%s", text);
}

static void reads_double(const char *text, double d)
{
    struct rc_number n = rc_number_read(rc_str_of(text));

    cr_assert_eq(n.kind, RC_NUMBER_DOUBLE, "%s", text);
    cr_assert_eq(n.v.d, d, "%s", text);
}

Test(number, integers)
{
    reads_uint("0", 0);
    reads_uint("127", 127);
    reads_uint("9007199254740993", UINT64_C(9007199254740993));
    reads_uint("18446744073709551615", UINT64_MAX);
    reads_int("-1", -1);
    reads_int("-9223372036854775808", INT64_MIN);
}

Test(number, integers_in_other_words)
{
    reads_uint("1.0", 1);
    reads_uint("-0", 0);
    reads_uint("-0.0", 0);
    reads_uint("0e0", 0);
    reads_uint("1e3", 1000);
    reads_uint("12.5e1", 125);
    reads_uint("1.8446744073709550e19", UINT64_C(18446744073709549568));
    reads_int("-2.0", -2);
    reads_int("-1e2", -100);
    reads_int("-9.223372036854775808e18", INT64_MIN);
}

Test(number, doubles)
{
    reads_double("0.5", 0.5);
    reads_double("-0.25", -0.25);
    reads_double("18446744073709551616", 18446744073709551616.0);
    reads_double("-9223372036854775809e3", -9223372036854775809e3);
    reads_double("1e300", 1e300);
    reads_double("1e400", (double)INFINITY);
    reads_double("-1e400", (double)-INFINITY);
}

/* Longer than what is converted in place; not terminated. */
Test(number, long_text)
{
    struct rc_number n;
    char *text = malloc(1002);

    memset(text, '0', 1002);
    text[1] = '.';
    text[1001] = '1';
    n = rc_number_read(rc_str_make(text, 1001));
    cr_assert_eq(n.kind, RC_NUMBER_UINT);
    cr_assert_eq(n.v.u, 0);
    memset(text + 2, '3', 999);
    n = rc_number_read(rc_str_make(text, 1001));
    cr_assert_eq(n.kind, RC_NUMBER_DOUBLE);
    cr_assert_eq(n.v.d, 1.0 / 3.0);
    free(text);
}

/* Any double comes back as it was, through text. */
Test(number, round_trip)
{
    uint64_t x = UINT64_C(0x9e3779b97f4a7c15);

    for (unsigned i = 0; i < 20000; i++) {
        struct rc_buf b = RC_BUF_INIT;
        struct rc_number n;
        double d, back;

        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(&d, &x, sizeof(d));
        if (!isfinite(d))
            continue;
        rc_number_put(&b, d);
        n = rc_number_read(rc_buf_str(&b));
        back = n.kind == RC_NUMBER_UINT  ? (double)n.v.u
               : n.kind == RC_NUMBER_INT ? (double)n.v.i
                                         : n.v.d;
        cr_assert_eq(back, d, "%.17g: %.*s", d, RC_STR_ARG(rc_buf_str(&b)));
        rc_buf_deinit(&b);
    }
}

#include "rc/proto/number.h"

#include "rc/base/mem.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    DIGITS_SURE = 15, /* a decimal of so many digits survives the way through a double */
    DIGITS_MAX = 17,  /* so many tell any two doubles apart */
    TEXT_MAX = 64,
};

/* Of v's neighbours in n digits the nearest one need not read back as v where v is a power of two:
 * the doubles below it lie closer than those above. Then the next one up may. */
static bool next_up(char *text, double v)
{
    char *e = strchr(text, 'e'), *last = e - 1;

    if (*last == '9')
        return false;
    ++*last;
    return strtod(text, NULL) == v;
}

/* v in n digits, as 1.2e+3; false: they do not read back as it. */
static bool print(char text[TEXT_MAX], double v, int n)
{
    int exponent;

    (void)snprintf(text, TEXT_MAX, "%.*e", n - 1, v);
    if (n == DIGITS_MAX || strtod(text, NULL) == v)
        return true;
    return v > DBL_MIN && frexp(v, &exponent) == 0.5 && next_up(text, v);
}

/* The shortest digits of v > 0 that read back as it: 0.d1d2d3... times ten to the result. */
static int shortest(double v, char digits[DIGITS_MAX + 1])
{
    int n = DIGITS_SURE, least = 1, len = 0, exponent;
    char text[TEXT_MAX], *e;

    if (v < DBL_MIN) { /* they have fewer digits than the others: any number of them */
        for (n = DIGITS_MAX; least < n;) {
            int middle = (least + n) / 2;

            if (print(text, v, middle))
                n = middle;
            else
                least = middle + 1;
        }
    }
    while (!print(text, v, n))
        n++;
    e = strchr(text, 'e');
    exponent = (int)strtol(e + 1, NULL, 10) + 1;
    for (const char *p = text; p < e; p++)
        if (*p != '.')
            digits[len++] = *p;
    while (len > 1 && digits[len - 1] == '0')
        len--;
    digits[len] = '\0';
    return exponent;
}

static void put_zeros(struct rc_buf *out, int n)
{
    while (n-- > 0)
        rc_buf_putc(out, '0');
}

void rc_number_put(struct rc_buf *out, double v)
{
    char digits[DIGITS_MAX + 1];
    int point, len;

    if (!isfinite(v)) {
        rc_buf_putz(out, "null");
        return;
    }
    if (v == 0) {
        rc_buf_putc(out, '0');
        return;
    }
    if (v < 0)
        rc_buf_putc(out, '-');
    point = shortest(fabs(v), digits);
    len = (int)strlen(digits);
    if (len <= point && point <= 21) {
        rc_buf_putz(out, digits);
        put_zeros(out, point - len);
    } else if (0 < point && point < len) {
        rc_buf_put(out, digits, (size_t)point);
        rc_buf_putc(out, '.');
        rc_buf_putz(out, digits + point);
    } else if (-6 < point && point <= 0) {
        rc_buf_putz(out, "0.");
        put_zeros(out, -point);
        rc_buf_putz(out, digits);
    } else {
        rc_buf_putc(out, digits[0]);
        if (len > 1)
            rc_buf_putc(out, '.');
        rc_buf_putz(out, digits + 1);
        rc_buf_printf(out, "e%+d", point - 1);
    }
}

/* Digits, and no more of them than 64 bits hold. */
static bool read_digits(struct rc_str s, uint64_t *u)
{
    *u = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned d = (unsigned)(uint8_t)s.p[i] - '0';

        if (d > 9 || *u > (UINT64_MAX - d) / 10)
            return false;
        *u = *u * 10 + d;
    }
    return s.len != 0;
}

static double read_double(struct rc_str text)
{
    char small[TEXT_MAX], *z;
    double d;

    if (text.len < sizeof(small)) {
        memcpy(small, text.p, text.len);
        small[text.len] = '\0';
        return strtod(small, NULL);
    }
    z = rc_strndup(text.p, text.len);
    d = strtod(z, NULL);
    free(z);
    return d;
}

static struct rc_number from_double(double d)
{
    const double two63 = 9223372036854775808.0;

    if (d >= 0 && d < 2 * two63 && (double)(uint64_t)d == d)
        return (struct rc_number){.kind = RC_NUMBER_UINT, .v.u = (uint64_t)d};
    if (d < 0 && d >= -two63 && (double)(int64_t)d == d)
        return (struct rc_number){.kind = RC_NUMBER_INT, .v.i = (int64_t)d};
    return (struct rc_number){.kind = RC_NUMBER_DOUBLE, .v.d = d};
}

struct rc_number rc_number_read(struct rc_str text)
{
    bool minus = text.len != 0 && text.p[0] == '-';
    uint64_t u;

    if (read_digits(rc_str_skip(text, minus), &u)) {
        if (!minus || u == 0)
            return (struct rc_number){.kind = RC_NUMBER_UINT, .v.u = u};
        if (u <= (uint64_t)INT64_MAX + 1)
            return (struct rc_number){.kind = RC_NUMBER_INT, .v.i = (int64_t)(0 - u)};
    }
    return from_double(read_double(text));
}

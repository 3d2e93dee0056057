/*
 * criterion.h - the part of Criterion that our tests use, on a plain in-process runner.
 *
 * Only sanitizer builds see this file (make asan, make tsan): under ThreadSanitizer Criterion
 * cannot map the arena that its workers share (Snaipe/Criterion#274), and under AddressSanitizer
 * a leak in a worker is printed but the run still exits 0. Here everything runs in one process,
 * so a race or a leak fails the run. The first failed assertion ends it.
 */
#ifndef RC_TESTS_SHIM_CRITERION_H
#define RC_TESTS_SHIM_CRITERION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __clang__ /* -Wpedantic: Test(a, b) leaves the options out, most assertions the message */
#pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments"
#endif

/* The options of Test() that the tests may name; the run as a whole has the time limit. */
struct shim_test {
    const char *suite, *name;
    void (*fn)(void);
    struct shim_test *next;
    void (*init)(void), (*fini)(void);
    double timeout;
    bool disabled;
    const char *description;
};

void shim_register(struct shim_test *t);
void shim_fail(const char *file, int line, const char *what, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 4, 5)));

#define Test(S, N, ...)                                                  \
    static void S##_##N##_impl(void);                                    \
    __attribute__((constructor)) static void S##_##N##_reg(void)         \
    {                                                                    \
        static struct shim_test t = {                                    \
            .suite = #S, .name = #N, .fn = S##_##N##_impl, __VA_ARGS__}; \
        shim_register(&t);                                               \
    }                                                                    \
    static void S##_##N##_impl(void)

/* The message is optional: a format literal and its arguments, glued to the blank. */
#define SHIM_CHECK(ok, what, ...) \
    ((ok) ? (void)0 : shim_fail(__FILE__, __LINE__, what, " " __VA_ARGS__))

#define cr_assert(c, ...)            SHIM_CHECK(c, #c, __VA_ARGS__)
#define cr_assert_not(c, ...)        SHIM_CHECK(!(c), "not " #c, __VA_ARGS__)
#define cr_assert_eq(a, b, ...)      SHIM_CHECK((a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...)     SHIM_CHECK((a) != (b), #a " != " #b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...)      SHIM_CHECK((a) < (b), #a " < " #b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...)     SHIM_CHECK((a) <= (b), #a " <= " #b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...)      SHIM_CHECK((a) > (b), #a " > " #b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...)     SHIM_CHECK((a) >= (b), #a " >= " #b, __VA_ARGS__)
#define cr_assert_null(p, ...)       SHIM_CHECK((p) == NULL, #p " == NULL", __VA_ARGS__)
#define cr_assert_not_null(p, ...)   SHIM_CHECK((p) != NULL, #p " != NULL", __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...)  SHIM_CHECK(!strcmp((a), (b)), #a " is " #b, __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...) SHIM_CHECK(strcmp((a), (b)), #a " is not " #b, __VA_ARGS__)
#define cr_assert_arr_eq(a, b, n, ...) \
    SHIM_CHECK(!memcmp((a), (b), (n)), #a " has the bytes of " #b, __VA_ARGS__)
#define cr_assert_fail(...) SHIM_CHECK(false, "reached", __VA_ARGS__)

#endif /* RC_TESTS_SHIM_CRITERION_H */

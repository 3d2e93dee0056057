#include "rc/base/bucket.h"

#include <criterion/criterion.h>

Test(bucket, a_burst_then_the_rate)
{
    const struct rc_rate r = {.per_second = 10, .burst = 3};
    struct rc_bucket b = {0};
    uint64_t now = 1000;
    unsigned taken = 0;

    for (unsigned i = 0; i < 3; i++)
        cr_assert(rc_bucket_take(&b, &r, 1, now));
    cr_assert_not(rc_bucket_take(&b, &r, 1, now));
    cr_assert_eq(rc_bucket_wait(&b, &r, 1, now), 100);
    cr_assert_not(rc_bucket_take(&b, &r, 1, now + 99));
    cr_assert(rc_bucket_take(&b, &r, 1, now + 100));
    cr_assert_not(rc_bucket_take(&b, &r, 1, now + 100));
    /* For a whole second, asked each millisecond: exactly the rate. */
    for (now = 1101; now <= 2100; now++)
        taken += rc_bucket_take(&b, &r, 1, now);
    cr_assert_eq(taken, 10);
}

Test(bucket, it_is_full_after_a_rest_and_never_fuller)
{
    const struct rc_rate r = {.per_second = 100, .burst = 5};
    struct rc_bucket b = {0};
    unsigned taken = 0;

    cr_assert(rc_bucket_take(&b, &r, 5, 10));
    cr_assert_not(rc_bucket_is_full(&b, 59));
    cr_assert(rc_bucket_is_full(&b, 60));
    while (rc_bucket_take(&b, &r, 1, 1000000))
        taken++;
    cr_assert_eq(taken, 5);
}

Test(bucket, a_debt_is_paid_first)
{
    const struct rc_rate r = {.per_second = 1000, .burst = 100};
    struct rc_bucket b = {0};

    rc_bucket_charge(&b, &r, 350, 0);
    cr_assert_eq(rc_bucket_wait(&b, &r, 1, 0), 251);
    cr_assert_not(rc_bucket_take(&b, &r, 1, 250));
    cr_assert(rc_bucket_take(&b, &r, 1, 251));
}

Test(bucket, more_than_the_burst_waits_until_it_is_full)
{
    const struct rc_rate r = {.per_second = 10, .burst = 2};
    struct rc_bucket b = {0};

    cr_assert_eq(rc_bucket_wait(&b, &r, 100, 0), 0);
    rc_bucket_charge(&b, &r, 1, 0);
    cr_assert_eq(rc_bucket_wait(&b, &r, 100, 0), 100);
    cr_assert_eq(rc_bucket_wait(&b, &r, 100, 100), 0);
}

Test(bucket, no_rate_is_no_limit)
{
    const struct rc_rate r = {.per_second = 0, .burst = 1};
    struct rc_bucket b = {0};

    for (unsigned i = 0; i < 1000; i++)
        cr_assert(rc_bucket_take(&b, &r, 1u << 30, 1));
    cr_assert(rc_bucket_is_full(&b, 1));
}

/* Bytes: the largest rate, burst and piece that the configuration allows. */
Test(bucket, large_numbers_do_not_overflow)
{
    const uint64_t max = (uint64_t)1 << 34;
    struct rc_rate r = {.per_second = max, .burst = max};
    struct rc_bucket b = {0};

    cr_assert(rc_bucket_take(&b, &r, max, 5000));
    cr_assert_eq(rc_bucket_wait(&b, &r, max, 5000), 1000);
    cr_assert(rc_bucket_take(&b, &r, max, 6000));
    r.per_second = 1;
    b.full_ns = 0;
    rc_bucket_charge(&b, &r, (uint64_t)1 << 30, 7000);
    cr_assert_eq(b.full_ns, 7000000000u + ((uint64_t)1 << 30) * 1000000000u);
}

/* Rates that do not divide a second do not drift by more than one. */
Test(bucket, odd_rates)
{
    const struct rc_rate r = {.per_second = 7, .burst = 1};
    struct rc_bucket b = {0};
    unsigned taken = 0;

    for (uint64_t now = 1; now <= 100000; now++)
        taken += rc_bucket_take(&b, &r, 1, now);
    cr_assert_geq(taken, 690);
    cr_assert_leq(taken, 701);
}

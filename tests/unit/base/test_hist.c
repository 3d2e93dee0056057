#include "rc/base/hist.h"

#include <criterion/criterion.h>

static uint64_t at(const struct rc_hist *h, unsigned i)
{
    return atomic_load(&h->bucket[i]);
}

Test(hist, bounds)
{
    cr_assert_eq(rc_hist_bucket(0), 0u);
    cr_assert_eq(rc_hist_bucket(1), 0u);
    cr_assert_eq(rc_hist_bucket(2), 1u);
    cr_assert_eq(rc_hist_bucket(3), 2u);
    cr_assert_eq(rc_hist_bucket(4), 2u);
    cr_assert_eq(rc_hist_bucket(5), 3u);
    for (unsigned i = 1; i < RC_HIST_BUCKETS - 1; i++) {
        cr_assert_eq(rc_hist_bucket((uint64_t)1 << i), i);
        cr_assert_eq(rc_hist_bucket(((uint64_t)1 << i) + 1), i + 1);
    }
    cr_assert_eq(rc_hist_bucket(UINT64_MAX), RC_HIST_BUCKETS - 1u);
}

Test(hist, adds_up)
{
    static struct rc_hist h;
    uint64_t n = 0;

    rc_hist_add(&h, 0, 1);
    rc_hist_add(&h, 1, 2);
    rc_hist_add(&h, 1000, 3);
    rc_hist_add(&h, UINT32_MAX, 1);
    cr_assert_eq(at(&h, 0), 3u);
    cr_assert_eq(at(&h, 10), 3u);
    cr_assert_eq(at(&h, RC_HIST_BUCKETS - 1), 1u);
    for (unsigned i = 0; i < RC_HIST_BUCKETS; i++)
        n += at(&h, i);
    cr_assert_eq(n, 7u);
    cr_assert_eq(atomic_load(&h.sum), (uint64_t)UINT32_MAX + 3002);
}

#include "rc/broker/stats.h"

#include <criterion/criterion.h>

Test(stats, births_of_a_turn)
{
    static struct rc_births b;
    uint64_t times = 0;

    rc_births_add(&b, 0); /* not known */
    cr_assert_eq(b.n, 0u);
    rc_births_add(&b, 7);
    rc_births_add(&b, 7);
    rc_births_add(&b, 9);
    rc_births_add(&b, 7);
    cr_assert_eq(b.n, 3u);
    cr_assert_eq(b.at[0].us, 7u);
    cr_assert_eq(b.at[0].times, 2u);
    for (uint64_t i = 0; i < 100; i++)
        rc_births_add(&b, 100 + i);
    cr_assert_eq(b.n, (unsigned)RC_BIRTHS);
    for (unsigned i = 0; i < b.n; i++)
        times += b.at[i].times;
    cr_assert_eq(times, 104u); /* all are counted */
}

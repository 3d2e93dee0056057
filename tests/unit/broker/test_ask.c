#include "rig.h"

#include <criterion/criterion.h>
#include <unistd.h>

/* A question whose asker has left its namespace counts until it is over, and no longer. */
Test(ask, asker_leaves)
{
    struct rig r;
    struct rig_client c;

    rig_open(&r, 1,
             "[limits]\nmax_asks = 1\n"
             "[event /a join]\njoin = x\n"
             "[event /a ask]\nask = room x within 10ms: q\n");
    rig_socketio(&r, &c, 0);
    for (unsigned i = 0; i < 3; i++) {
        rig_say(&c, "40/a,");
        rig_say(&c, "42/a,1[\"join\"]");
        rig_say(&c, "42/a,2[\"ask\"]");
        rig_settle(&r);
        cr_assert(rig_hear(&c));
        rig_expect(&c, "43/a,1[{\"ok\":true}]");
        cr_assert(rig_hear(&c));
        cr_assert_eq(strncmp((char *)c.message.data, "42/a,", 5), 0, "%s",
                     (char *)c.message.data);
        rig_say(&c, "41/a,");
        rig_settle(&r);
        for (unsigned ms = 0; r.shard[0]->asks.used != 0; ms++) {
            cr_assert_lt(ms, 5000);
            (void)usleep(1000);
            rig_turn(&r, 0);
        }
    }
    rig_expect_silence(&c);
    rig_hang_up(&c);
    rig_settle(&r);
    rig_close(&r);
}

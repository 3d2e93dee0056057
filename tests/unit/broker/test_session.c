#include "rig.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { BIG = 200000, MESSAGES = 10 };

/* While the joins of a CONNECT are under way nothing is written, not even to a client that was slow
 * and can take more now. */
Test(session, held_while_slow)
{
    char *big = malloc(BIG);
    struct rig r;
    struct rig_client c;
    unsigned heard = 0;

    cr_assert_not_null(big);
    memset(big, 'a', BIG);
    memcpy(big, "42[\"big\",\"", 10);
    memcpy(big + BIG - 2, "\"]", 2);
    rig_open(&r, 2,
             "[limits]\nmax_queue = 64MiB\n"
             "[event big]\nemit = sender: big {1}\n"
             "[connect /a]\njoin = A\njoin = B\njoin = C\njoin = D\njoin = E\njoin = F\n");
    rig_socketio(&r, &c, 0);
    for (unsigned i = 0; i < MESSAGES; i++) {
        rig_frame(&c, 1, big, BIG);
        for (unsigned turn = 0; turn < 6; turn++)
            rig_turn(&r, 0);
    }
    rig_say(&c, "40/a,");
    for (unsigned turn = 0; turn < 200; turn++) { /* while the other shard sleeps */
        rig_turn(&r, 0);
        while (rig_hear(&c)) {
            heard++;
            cr_assert_neq(strncmp((char *)c.message.data, "40/a", 4), 0);
        }
    }
    cr_assert_lt(heard, (unsigned)MESSAGES); /* it had been slow */
    for (unsigned turn = 0; turn < 200; turn++) {
        rig_settle(&r);
        while (rig_hear(&c))
            heard++;
    }
    cr_assert_eq(heard, MESSAGES + 1u);
    cr_assert_eq(strncmp((char *)c.message.data, "40/a", 4), 0);
    rig_hang_up(&c);
    rig_settle(&r);
    rig_close(&r);
    free(big);
}

/* Many small answers that nobody reads are not less than few long ones. */
Test(session, small_answers_count)
{
    static const uint8_t ping[] = {0x89, 0x80, 1, 2, 3, 4};
    struct rc_buf pings = RC_BUF_INIT;
    struct rig r;
    struct rig_client c;
    uint64_t sent = 0;

    rig_open(&r, 1, "[limits]\nmax_queue = 64KiB\n");
    rig_socketio(&r, &c, 0);
    for (unsigned i = 0; i < 1000; i++)
        rc_buf_put(&pings, ping, sizeof(ping));
    while (rc_stat_get(&r.shard[0]->stats.closed[RC_CLOSE_SLOW]) == 0) {
        const struct rc_session *s = rc_pool_at(&r.shard[0]->sessions, 0);

        cr_assert_not_null(s);
        cr_assert_lt(s->out.bytes, 8192u); /* not to speak of 64 KiB in pieces of 2 */
        cr_assert_eq(send(c.fd, pings.data, pings.len, MSG_NOSIGNAL), (ssize_t)pings.len);
        rig_turn(&r, 0);
        cr_assert_lt(sent += 1000, 2000000u);
    }
    rc_buf_deinit(&pings);
    rig_hang_up(&c);
    rig_settle(&r);
    rig_close(&r);
}

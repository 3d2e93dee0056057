#include "rc/broker/socket.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { BIG = 200000, MESSAGES = 10 };

/* Of so many rooms one at least has another owner than one at least of the others. */
#define JOINS                                                 \
    "join = rooms [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]\n" \
    "join = rooms [17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32]\n"

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
             "[connect /a]\n" JOINS);
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

/* What a turn leaves over, although the socket would take it, does not make a client slow. */
Test(session, a_turns_share_is_not_too_much)
{
    enum { LEN = RC_OUTQ_TURN + 50000 };
    static char big[LEN];
    struct rig r;
    struct rig_client c;

    memset(big, 'a', LEN);
    memcpy(big, "42[\"big\",\"", 10);
    memcpy(big + LEN - 2, "\"]", 2);
    rig_open(&r, 1, "[limits]\nmax_queue = 32KiB\n[event big]\nemit = sender: big {1}\n");
    rig_socketio(&r, &c, 0);
    for (unsigned i = 0; i < 5; i++) {
        rig_frame(&c, 1, big, LEN);
        rig_settle(&r);
        cr_assert(rig_hear(&c));
        cr_assert_eq(c.message.len, (size_t)LEN);
    }
    cr_assert_eq(rc_stat_get(&r.shard[0]->stats.closed[RC_CLOSE_SLOW]), 0u);
    rig_hang_up(&c);
    rig_settle(&r);
    rig_close(&r);
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

/* A socket that is ended by the server while its joins are under way lets the queue go. */
Test(session, socket_ends_while_held)
{
    struct rig r;
    struct rig_client c;
    struct rc_shard *sh;
    struct rc_session *s;

    rig_open(&r, 2, "[event hi]\nack = auto\n[connect /a]\n" JOINS);
    rig_socketio(&r, &c, 0);
    rig_say(&c, "40/a,");
    rig_turn(&r, 0);
    rig_turn(&r, 0);
    sh = rig_enter(&r, 0);
    rc_assert_on_shard(sh);
    s = rc_pool_at(&sh->sessions, 0);
    cr_assert(s != NULL && s->held == 1 && s->nsockets == 2 && s->job != NULL);
    rc_socket_close(sh, s->sockets);
    rig_settle(&r);
    cr_assert_eq(s->held, 0u);
    cr_assert(rig_hear(&c));
    rig_say(&c, "421[\"hi\"]");
    rig_settle(&r);
    rig_expect(&c, "431[{\"ok\":true}]");
    rig_hang_up(&c);
    rig_settle(&r);
    rig_close(&r);
}

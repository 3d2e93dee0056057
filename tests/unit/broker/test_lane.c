#include "rc/broker/lane.h"
#include "rig.h"

#include <criterion/criterion.h>

static const char ini[] = "[event join]\njoin = {1}\n"
                          "[event leave]\nleave = {1}\n"
                          "[event say]\nemit = room {1}: msg {2}\n"
                          "[event two]\nemit = room {1}: msg {3}\nemit = room {2}: msg {4}\n"
                          "[event to]\nemit = socket {1}: msg {2}\n"
                          "[event me]\nemit = sender: msg {1}\n"
                          "[event move]\nleave = {1}\njoin = {2}\nemit = room {2}: msg {3}\n"
                          "[event bye]\nemit = room {1}: msg {2}\ndisconnect = connection\n";

#define OK "[{\"ok\":true}]"

/* A sender on shard 0 and a member of rooms of every shard on each shard. */
struct stage {
    struct rig r;
    struct rig_client sender, member[3];
    const char *room[3]; /* by owner */
    uint64_t before;     /* fences of shard 0 until now */
};

static void open_stage(struct stage *s)
{
    rig_open(&s->r, 3, ini);
    rig_socketio(&s->r, &s->sender, 0);
    for (unsigned owner = 0; owner < 3; owner++)
        s->room[owner] = rig_room(&s->r, owner, 0);
    for (unsigned i = 0; i < 3; i++) {
        rig_socketio(&s->r, &s->member[i], i);
        for (unsigned owner = 0; owner < 3; owner++)
            rig_say(&s->member[i], "42[\"join\",\"%s\"]", s->room[owner]);
    }
    rig_settle(&s->r);
    s->before = rc_stat_get(&s->r.shard[0]->stats.fences);
}

/* Fences that sessions of shard 0 had to wait for. */
static uint64_t fences(const struct stage *s)
{
    return rc_stat_get(&s->r.shard[0]->stats.fences) - s->before;
}

static void close_stage(struct stage *s)
{
    rig_hang_up(&s->sender);
    for (unsigned i = 0; i < 3; i++)
        rig_hang_up(&s->member[i]);
    rig_close(&s->r);
}

static void expect_all(struct stage *s, unsigned from, unsigned to)
{
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned n = from; n <= to; n++)
            rig_expect(&s->member[i], "42[\"msg\",%u]", n);
        rig_expect_silence(&s->member[i]);
    }
}

/* Another owner next: nothing overtakes, whichever shard is slow. */
Test(lane, changes_of_owner)
{
    for (unsigned asleep = 0; asleep < 3; asleep++) {
        for (unsigned first = 0; first < 3; first++) {
            for (unsigned second = 0; second < 3; second++) {
                struct stage s;

                open_stage(&s);
                rig_say(&s.sender, "42[\"say\",\"%s\",1]", s.room[first]);
                rig_say(&s.sender, "42[\"say\",\"%s\",2]", s.room[second]);
                rig_turn(&s.r, 0);
                for (unsigned round = 0; round < 6; round++)
                    for (unsigned i = 0; i < 3; i++)
                        if (i != asleep)
                            rig_turn(&s.r, i);
                rig_settle(&s.r);
                expect_all(&s, 1, 2);
                close_stage(&s);
            }
        }
    }
}

/* The old owner has not even seen the first message: the second waits for a fence. */
Test(lane, waits_for_a_fence)
{
    struct stage s;

    open_stage(&s);
    rig_say(&s.sender, "421[\"say\",\"%s\",1]", s.room[1]);
    rig_say(&s.sender, "422[\"say\",\"%s\",2]", s.room[2]);
    rig_say(&s.sender, "423[\"say\",\"%s\",3]", s.room[0]);
    for (unsigned round = 0; round < 5; round++) {
        rig_turn(&s.r, 0);
        rig_turn(&s.r, 2);
    }
    cr_assert_eq(fences(&s), 1u);
    for (unsigned i = 0; i < 3; i++)
        rig_expect_silence(&s.member[i]);
    rig_expect_silence(&s.sender);
    rig_settle(&s.r);
    expect_all(&s, 1, 3);
    for (unsigned id = 1; id <= 3; id++)
        rig_expect(&s.sender, "43%u" OK, id);
    close_stage(&s);
}

/* When everything of the old lane has arrived, its counters say so: no fence. */
Test(lane, needs_no_fence_when_quiet)
{
    struct stage s;

    open_stage(&s);
    for (unsigned n = 1; n <= 9; n++) {
        rig_say(&s.sender, "42[\"say\",\"%s\",%u]", s.room[n % 3], n);
        rig_settle(&s.r);
    }
    expect_all(&s, 1, 9);
    cr_assert_eq(fences(&s), 0u);
    close_stage(&s);
}

Test(lane, two_owners_in_one_rule)
{
    struct stage s;

    open_stage(&s);
    rig_say(&s.sender, "421[\"two\",\"%s\",\"%s\",1,2]", s.room[1], s.room[2]);
    rig_say(&s.sender, "42[\"two\",\"%s\",\"%s\",3,4]", s.room[2], s.room[0]);
    rig_turn(&s.r, 0);
    rig_turn(&s.r, 0);
    rig_turn(&s.r, 2);
    for (unsigned i = 0; i < 3; i++)
        rig_expect_silence(&s.member[i]);
    rig_settle(&s.r);
    expect_all(&s, 1, 4);
    rig_expect(&s.sender, "431" OK);
    close_stage(&s);
}

/* A step that is refused forgets nothing of what is in flight. */
Test(lane, refused_step)
{
    struct stage s;

    open_stage(&s);
    rig_say(&s.sender, "42[\"join\",\"%s\"]", s.room[1]);
    rig_settle(&s.r);
    rig_say(&s.sender, "421[\"say\",\"%s\",1]", s.room[1]);
    rig_say(&s.sender, "422[\"say\",\"%s\"]", s.room[1]); /* the text is missing */
    rig_say(&s.sender, "423[\"say\",\"%s\",2]", s.room[0]);
    rig_turn(&s.r, 0);
    rig_turn(&s.r, 0);
    rig_expect_silence(&s.sender);
    rig_expect_silence(&s.member[0]);
    rig_settle(&s.r);
    expect_all(&s, 1, 2);
    rig_expect(&s.sender, "42[\"msg\",1]"); /* its own, and then the answers */
    rig_expect(&s.sender, "431" OK);
    cr_assert(rig_hear(&s.sender));
    cr_assert_eq(strncmp((const char *)s.sender.message.data, "432[{\"ok\":false,", 16), 0);
    rig_expect(&s.sender, "433" OK);
    close_stage(&s);
}

/* Straight to a socket, and answers to the sender itself, behind what went through an owner. */
Test(lane, direct_messages)
{
    struct stage s;

    open_stage(&s);
    rig_say(&s.sender, "42[\"join\",\"%s\"]", s.room[1]);
    rig_settle(&s.r);
    rig_say(&s.sender, "421[\"say\",\"%s\",1]", s.room[1]);
    rig_say(&s.sender, "42[\"me\",\"mine\"]");
    rig_say(&s.sender, "42[\"to\",\"%s\",2]", s.member[2].id);
    rig_say(&s.sender, "42[\"to\",\"%s\",3]", s.member[0].id);
    rig_say(&s.sender, "42[\"say\",\"%s\",4]", s.room[1]);
    for (unsigned round = 0; round < 4; round++) {
        rig_turn(&s.r, 0);
        rig_turn(&s.r, 2);
    }
    rig_expect_silence(&s.sender);
    rig_expect_silence(&s.member[2]);
    rig_settle(&s.r);
    rig_expect(&s.sender, "42[\"msg\",1]");
    rig_expect(&s.sender, "431" OK);
    rig_expect(&s.sender, "42[\"msg\",\"mine\"]");
    rig_expect(&s.sender, "42[\"msg\",4]");
    rig_expect(&s.member[2], "42[\"msg\",1]");
    rig_expect(&s.member[2], "42[\"msg\",2]");
    rig_expect(&s.member[2], "42[\"msg\",4]");
    rig_expect(&s.member[0], "42[\"msg\",1]");
    rig_expect(&s.member[0], "42[\"msg\",3]");
    rig_expect(&s.member[0], "42[\"msg\",4]");
    close_stage(&s);
}

/* Leave, join and publish in one rule, over three owners. */
Test(lane, membership_and_messages)
{
    struct stage s;

    open_stage(&s);
    rig_say(&s.sender, "421[\"move\",\"nowhere\",\"%s\",1]", s.room[1]);
    rig_say(&s.sender, "422[\"move\",\"%s\",\"%s\",2]", s.room[1], s.room[2]);
    rig_say(&s.sender, "423[\"move\",\"%s\",\"%s\",3]", s.room[2], s.room[0]);
    rig_say(&s.sender, "42[\"say\",\"%s\",4]", s.room[1]); /* which it has left */
    rig_turn(&s.r, 0);
    rig_settle(&s.r);
    expect_all(&s, 1, 4);
    for (unsigned n = 1; n <= 3; n++) {
        rig_expect(&s.sender, "42[\"msg\",%u]", n);
        rig_expect(&s.sender, "43%u" OK, n);
    }
    rig_expect_silence(&s.sender);
    close_stage(&s);
}

/* The connection ends after what its rule has sent. */
Test(lane, disconnect_comes_last)
{
    struct stage s;

    open_stage(&s);
    rig_say(&s.sender, "42[\"join\",\"%s\"]", s.room[1]);
    rig_settle(&s.r);
    rig_say(&s.sender, "421[\"bye\",\"%s\",1]", s.room[1]);
    rig_say(&s.sender, "42[\"say\",\"%s\",2]", s.room[1]); /* too late */
    rig_turn(&s.r, 0);
    rig_turn(&s.r, 0);
    cr_assert_not(rig_gone(&s.sender));
    rig_expect_silence(&s.sender);
    rig_settle(&s.r);
    rig_expect(&s.sender, "42[\"msg\",1]");
    rig_expect(&s.sender, "431" OK);
    rig_expect(&s.sender, "41");
    cr_assert(rig_hear(&s.sender));
    cr_assert_eq(s.sender.opcode, 8);
    expect_all(&s, 1, 1);
    close_stage(&s);
}

/* The client is gone while its next step waits for a fence: the answers find nobody. */
Test(lane, gone_while_waiting)
{
    for (unsigned turns = 0; turns < 6; turns++) {
        struct stage s;
        uint32_t sessions;

        open_stage(&s);
        sessions = s.r.shard[0]->sessions.used;
        rig_say(&s.sender, "42[\"two\",\"%s\",\"%s\",1,2]", s.room[1], s.room[2]);
        rig_say(&s.sender, "42[\"say\",\"%s\",3]", s.room[0]);
        rig_turn(&s.r, 0);
        cr_assert_eq(fences(&s), 1u);
        for (unsigned i = 0; i < turns; i++)
            rig_turn(&s.r, 2 - i % 2);
        rig_hang_up(&s.sender);
        rig_turn(&s.r, 0);
        rig_settle(&s.r);
        cr_assert_eq(s.r.shard[0]->sessions.used, sessions - 1);
        rig_expect(&s.member[0], "42[\"msg\",1]");
        rig_socketio(&s.r, &s.sender, 0); /* another in its slot is not concerned */
        rig_say(&s.sender, "421[\"say\",\"%s\",9]", s.room[1]);
        rig_settle(&s.r);
        rig_expect(&s.sender, "431" OK);
        close_stage(&s);
    }
}

/* One shard: everything is in order by itself, and nothing is ever paused. */
Test(lane, one_shard)
{
    struct rig r;
    struct rig_client a;

    rig_open(&r, 1, ini);
    rig_socketio(&r, &a, 0);
    rig_say(&a, "421[\"join\",\"x\"]");
    rig_say(&a, "422[\"join\",\"y\"]");
    rig_say(&a, "423[\"two\",\"x\",\"y\",1,2]");
    rig_say(&a, "424[\"to\",\"%s\",3]", a.id);
    rig_turn(&r, 0);
    rig_settle(&r);
    rig_expect(&a, "431" OK);
    rig_expect(&a, "432" OK);
    rig_expect(&a, "42[\"msg\",1]");
    rig_expect(&a, "42[\"msg\",2]");
    rig_expect(&a, "433" OK);
    rig_expect(&a, "42[\"msg\",3]");
    rig_expect(&a, "434" OK);
    cr_assert_eq(rc_stat_get(&r.shard[0]->stats.fences), 0u);
    rig_hang_up(&a);
    rig_close(&r);
}

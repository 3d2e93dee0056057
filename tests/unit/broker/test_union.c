#include "rc/broker/union.h"
#include "rig.h"

#include <criterion/criterion.h>

static const char ini[] =
    "[server]\nring_slots = 64\n"
    "[event join]\njoin = {1}\n"
    "[event say]\nemit = room {1}: msg {2}\n"
    "[event union]\nemit = rooms {1}: msg {2}\n"
    "[event both]\nemit = rooms {1}: msg {2}\nemit = room {3}: msg {4} {room}\n"
    "[event but]\nemit = room {1} except room {2}: msg {3}\n"
    "[event flash]\nemit = volatile room {1}: flash {2}\n"
    "[event me]\nemit = sender: msg {1}\n"
    "[event bye]\nemit = rooms {1}: msg {2}\ndisconnect = connection\n";

#define OK "[{\"ok\":true}]"

/* A sender on each shard and a member of two rooms, of owners 1 and 2, on each. */
struct stage {
    struct rig r;
    struct rig_client sender[3], member[3];
    const char *room[3]; /* by owner */
};

static void open_stage(struct stage *s)
{
    rig_open(&s->r, 3, ini);
    for (unsigned owner = 0; owner < 3; owner++)
        s->room[owner] = rig_room(&s->r, owner, 0);
    for (unsigned i = 0; i < 3; i++) {
        rig_socketio(&s->r, &s->sender[i], i);
        rig_socketio(&s->r, &s->member[i], i);
        for (unsigned owner = 1; owner < 3; owner++)
            rig_say(&s->member[i], "42[\"join\",\"%s\"]", s->room[owner]);
    }
    rig_settle(&s->r);
}

static void close_stage(struct stage *s)
{
    for (unsigned i = 0; i < 3; i++) {
        rig_hang_up(&s->sender[i]);
        rig_hang_up(&s->member[i]);
    }
    rig_settle(&s->r);
    rig_close(&s->r);
}

static void turns(struct stage *s, unsigned rounds, unsigned asleep)
{
    for (unsigned i = 0; i < rounds * 3; i++)
        if (i % 3 != asleep)
            rig_turn(&s->r, i % 3);
}

static uint64_t unions(const struct stage *s)
{
    return rc_stat_get(&s->r.shard[0]->stats.unions);
}

/* One owner has not heard of it yet: nobody gets it, and nothing of the other owner's that came
 * after it; what is not of these owners goes on. */
Test(union_, waits_for_all_owners)
{
    for (unsigned from = 0; from < 2; from++) {
        struct stage s;

        open_stage(&s);
        rig_say(&s.sender[from], "421[\"union\",[\"%s\",\"%s\"],1]", s.room[1], s.room[2]);
        rig_say(&s.sender[from], "422[\"me\",2]");
        turns(&s, 4, 2);
        rig_say(&s.sender[1 - from], "421[\"say\",\"%s\",3]", s.room[1]);
        turns(&s, 4, 2);
        for (unsigned i = 0; i < 2; i++) {
            rig_expect_silence(&s.member[i]);
            rig_expect_silence(&s.sender[i]);
        }
        rig_say(&s.sender[1 - from], "42[\"me\",4]");
        rig_settle(&s.r);
        for (unsigned i = 0; i < 3; i++) {
            rig_expect(&s.member[i], "42[\"msg\",1]");
            rig_expect(&s.member[i], "42[\"msg\",3]");
            rig_expect_silence(&s.member[i]);
        }
        rig_expect(&s.sender[from], "431" OK);
        rig_expect(&s.sender[from], "42[\"msg\",2]");
        rig_expect(&s.sender[from], "432" OK);
        rig_expect(&s.sender[1 - from], "431" OK);
        rig_expect(&s.sender[1 - from], "42[\"msg\",4]");
        cr_assert_eq(unions(&s), 1u);
        close_stage(&s);
    }
}

/* The sender goes on when the last shard has it, not before. */
Test(union_, is_acknowledged_when_all_have_it)
{
    struct stage s;

    open_stage(&s);
    rig_say(&s.sender[0], "421[\"both\",[\"%s\",\"%s\"],1,\"%s\",2]", s.room[0], s.room[1],
            s.room[1]);
    turns(&s, 6, 2); /* owns neither room */
    rig_expect(&s.member[0], "42[\"msg\",1]");
    rig_expect(&s.member[1], "42[\"msg\",1]");
    rig_expect_silence(&s.member[1]);
    rig_expect_silence(&s.sender[0]);
    rig_settle(&s.r);
    rig_expect(&s.member[2], "42[\"msg\",1]");
    for (unsigned i = 0; i < 3; i++)
        rig_expect(&s.member[i], "42[\"msg\",2,\"%s\"]", s.room[1]);
    rig_expect(&s.sender[0], "431" OK);
    close_stage(&s);
}

/* Rooms of one owner, and sockets alone, need no sequencer. */
Test(union_, goes_through_one_owner_where_it_can)
{
    struct stage s;
    const char *other;

    open_stage(&s);
    other = rig_room(&s.r, 1, 1);
    rig_say(&s.member[0], "42[\"join\",\"%s\"]", other);
    rig_settle(&s.r);
    rig_say(&s.sender[2], "42[\"union\",[\"%s\",\"%s\"],1]", s.room[1], other);
    rig_say(&s.sender[2], "42[\"union\",[\"%s\",\"%s\",\"%s\"],2]", s.member[0].id,
            s.member[1].id, s.member[0].id);
    rig_say(&s.sender[2], "42[\"union\",[\"%s\",\"%s\"],3]", s.room[1], s.sender[0].id);
    rig_say(&s.sender[2], "42[\"but\",\"%s\",\"%s\",4]", s.room[2], other);
    rig_settle(&s.r);
    rig_expect(&s.member[0], "42[\"msg\",1]");
    rig_expect(&s.member[0], "42[\"msg\",2]");
    rig_expect(&s.member[0], "42[\"msg\",3]");
    rig_expect_silence(&s.member[0]);
    rig_expect(&s.member[2], "42[\"msg\",1]");
    rig_expect(&s.member[2], "42[\"msg\",3]");
    rig_expect(&s.member[2], "42[\"msg\",4]");
    rig_expect(&s.sender[0], "42[\"msg\",3]");
    cr_assert_eq(unions(&s), 0u);
    close_stage(&s);
}

/* The rule ends the connection: its client has got everything before. */
Test(union_, comes_before_a_disconnect)
{
    for (unsigned asleep = 0; asleep < 3; asleep++) {
        struct stage s;

        open_stage(&s);
        rig_say(&s.member[0], "42[\"bye\",[\"%s\",\"%s\"],1]", s.room[1], s.room[2]);
        turns(&s, 3, asleep);
        rig_settle(&s.r);
        for (unsigned i = 0; i < 3; i++)
            rig_expect(&s.member[i], "42[\"msg\",1]");
        rig_expect(&s.member[0], "41");
        close_stage(&s);
    }
}

/* The sender is gone before the union has come anywhere. */
Test(union_, of_a_sender_that_is_gone)
{
    struct stage s;

    open_stage(&s);
    rig_say(&s.sender[1], "42[\"union\",[\"%s\",\"%s\"],1]", s.room[1], s.room[2]);
    rig_turn(&s.r, 1);
    rig_hang_up(&s.sender[1]);
    turns(&s, 3, 2);
    rig_settle(&s.r);
    for (unsigned i = 0; i < 3; i++)
        rig_expect(&s.member[i], "42[\"msg\",1]");
    close_stage(&s);
}

/* A shard that stops waits for no owner, and drops what waited. */
Test(union_, at_a_shard_that_stops)
{
    struct rc_msg stop = {.type = RC_MSG_STOP};
    struct stage s;

    open_stage(&s);
    rig_say(&s.sender[0], "42[\"union\",[\"%s\",\"%s\"],1]", s.room[1], s.room[2]);
    turns(&s, 3, 2);
    cr_assert_neq(s.r.shard[0]->union_at[1], 0u);
    cr_assert_neq(s.r.shard[1]->union_at[1], 0u);
    cr_assert(s.r.shard[1]->own_mail);
    for (unsigned i = 0; i < 2; i++)
        rc_mesh_post(s.r.mesh, rc_mesh_main(3), i, &stop);
    (void)rc_mesh_wake(s.r.mesh, rc_mesh_main(3));
    turns(&s, 3, 2);
    cr_assert_eq(s.r.shard[0]->union_at[1], 0u);
    cr_assert_eq(s.r.shard[1]->union_at[1], 0u);
    cr_assert_not(s.r.shard[1]->own_mail);
    turns(&s, 3, 3); /* the last part, where nobody waits */
    cr_assert_eq(s.r.shard[0]->union_at[2], 0u);
    cr_assert_eq(s.r.shard[0]->sessions.used, 0u);
    for (unsigned i = 0; i < 3; i++) {
        rig_hang_up(&s.sender[i]);
        rig_hang_up(&s.member[i]);
    }
    rig_close(&s.r);
}

/* Shards are freed with parts in their rings. */
Test(union_, left_in_rings)
{
    struct stage s;

    open_stage(&s);
    rig_say(&s.sender[0], "42[\"union\",[\"%s\",\"%s\"],1]", s.room[1], s.room[2]);
    rig_say(&s.sender[1], "42[\"union\",[\"%s\",\"%s\"],1]", s.room[0], s.room[1]);
    rig_say(&s.sender[1], "42[\"say\",\"%s\",2]", s.room[1]);
    turns(&s, 3, 2);
    for (unsigned i = 0; i < 3; i++) {
        rig_hang_up(&s.sender[i]);
        rig_hang_up(&s.member[i]);
    }
    rig_close(&s.r);
}

/* Marks of long ago are no marks. */
Test(union_, marks_wrap_around)
{
    struct rig r;
    struct rig_client c[2];

    rig_open(&r, 1, ini);
    for (unsigned i = 0; i < 2; i++)
        rig_socketio(&r, &c[i], 0);
    rig_say(&c[0], "42[\"join\",\"a\"]");
    rig_say(&c[1], "42[\"join\",\"b\"]");
    rig_settle(&r);
    for (unsigned n = 0; n < 4; n++) {
        rig_say(&c[0], "42[\"union\",[\"a\",\"b\",\"a\"],%u]", n);
        rig_settle(&r);
        for (unsigned i = 0; i < 2; i++) {
            rig_expect(&c[i], "42[\"msg\",%u]", n);
            rig_expect_silence(&c[i]);
        }
        if (n == 0) {
            cr_assert_eq(r.shard[0]->mark, 1u);
            r.shard[0]->mark = UINT32_MAX;
        }
    }
    cr_assert_eq(r.shard[0]->mark, 3u);
    for (unsigned i = 0; i < 2; i++)
        rig_hang_up(&c[i]);
    rig_settle(&r);
    rig_close(&r);
}

/* ---- volatile ---- */

static uint64_t dropped(const struct rig *r)
{
    return rc_stat_get(&r->shard[0]->stats.dropped);
}

/* Fills the member's connection until it takes no more. */
static unsigned stall(struct rig *r, struct rig_client *from, const struct rig_client *to)
{
    char big[3000];
    unsigned n = 0;

    (void)to;
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    for (bool full = false; !full; n++) {
        const struct rc_conn *c;
        uint32_t cursor = 0;

        cr_assert_lt(n, 10000u);
        rig_say(from, "42[\"say\",\"a\",\"%s\"]", big);
        rig_turn(r, 0);
        rig_turn(r, 0);
        while ((c = rc_pool_next(&r->shard[0]->loop.conns, &cursor)) != NULL)
            full = full || c->writing;
    }
    return n;
}

Test(union_, volatile_to_who_does_not_read)
{
    struct rig r;
    struct rig_client from, to, other;
    unsigned n;

    rig_open(&r, 1, ini);
    rig_socketio(&r, &from, 0);
    rig_socketio(&r, &to, 0);
    rig_socketio(&r, &other, 0);
    rig_say(&to, "42[\"join\",\"a\"]");
    rig_say(&to, "42[\"join\",\"b\"]");
    rig_say(&other, "42[\"join\",\"b\"]");
    rig_settle(&r);
    rig_say(&from, "421[\"flash\",\"a\",0]");
    rig_settle(&r);
    rig_expect(&to, "42[\"flash\",0]");
    n = stall(&r, &from, &to);
    cr_assert_eq(dropped(&r), 0u);
    rig_say(&from, "422[\"flash\",\"b\",1]");
    rig_settle(&r);
    cr_assert_eq(dropped(&r), 1u);
    rig_expect(&other, "42[\"flash\",1]");
    for (unsigned i = 0; i < n; i++) {
        cr_assert(rig_hear(&to));
        cr_assert_eq(memcmp(to.message.data, "42[\"msg\",\"xxx", 13), 0);
    }
    rig_settle(&r);
    rig_say(&from, "423[\"flash\",\"b\",2]");
    rig_settle(&r);
    rig_expect(&to, "42[\"flash\",2]");
    rig_expect(&other, "42[\"flash\",2]");
    cr_assert_eq(dropped(&r), 1u);
    rig_hang_up(&from);
    rig_hang_up(&to);
    rig_hang_up(&other);
    rig_settle(&r);
    rig_close(&r);
}

/* What would be too much for its queue is dropped; it is not why a client is closed. */
Test(union_, volatile_never_ends_a_connection)
{
    static const char small[] = "[limits]\nmax_queue = 4KiB\n[event join]\njoin = {1}\n"
                                "[event flash]\nemit = volatile room {1}: flash {2} {2}\n";
    char big[2500];
    struct rig r;
    struct rig_client c;

    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    rig_open(&r, 1, small);
    rig_socketio(&r, &c, 0);
    rig_say(&c, "42[\"join\",\"a\"]");
    rig_say(&c, "421[\"flash\",\"a\",\"%s\"]", big);
    rig_settle(&r);
    rig_expect(&c, "431" OK);
    cr_assert_eq(dropped(&r), 1u);
    big[2000] = '\0';
    rig_say(&c, "422[\"flash\",\"a\",\"%s\"]", big);
    rig_settle(&r);
    rig_expect(&c, "42[\"flash\",\"%s\",\"%s\"]", big, big);
    rig_expect(&c, "432" OK);
    rig_hang_up(&c);
    rig_settle(&r);
    rig_close(&r);
}

/* Rooms: their owners (src/broker/room.c) and the members on each shard (src/broker/local.c). */
#include "rc/base/mem.h"
#include "rc/broker/room.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static const char ini[] = "[event join]\njoin = {1}\n"
                          "[event leave]\nleave = {1}\n"
                          "[event say]\nemit = room {1}: msg {2}\n"
                          "[event others]\nemit = room {1} except sender: msg {2}\n"
                          "[event all]\nemit = all: msg {1}\n"
                          "[event allbut]\nemit = all except sender: msg {1}\n"
                          "[event to]\nemit = socket {1}: msg {2}\n"
                          "[event me]\nemit = sender: msg {1}\n"
                          "[event in]\nrequire = member {1}\nemit = sender: msg {2}\n"
                          "[event /b join]\njoin = {1}\n"
                          "[event /b say]\nemit = room {1}: msg {2}\n";

#define OK "[{\"ok\":true}]"

/* The shard's room of that name in "/", as its owner has it, or NULL. */
static const struct rc_room *owned(const struct rig *r, unsigned shard, const char *name)
{
    struct rc_room_key key = {.name = rc_str_of(name)};

    return rc_hmap_find(&r->shard[shard]->room_by_name, rc_room_hash(0, key.name), rc_room_eq,
                        &key);
}

static uint64_t deliveries(const struct rig *r)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < r->n; i++)
        n += rc_stat_get(&r->shard[i]->stats.deliveries);
    return n;
}

/* No shard knows of any room. */
static void check_no_rooms(const struct rig *r)
{
    for (unsigned i = 0; i < r->n; i++) {
        cr_assert_eq(r->shard[i]->room_by_name.n, 0u);
        cr_assert_eq(r->shard[i]->lroom_by_name.n, 0u);
        cr_assert_eq(r->shard[i]->lrooms.used, 0u);
        cr_assert_eq(rc_stat_get(&r->shard[i]->stats.rooms), 0u);
    }
}

static void join(struct rig *r, struct rig_client *c, const char *room)
{
    rig_say(c, "427[\"join\",\"%s\"]", room);
    rig_settle(r);
    rig_expect(c, "437" OK);
}

/* Two members on each of two shards and a stranger, in rooms that either shard owns. */
Test(room, reaches_its_members)
{
    struct rig r;
    struct rig_client c[5];

    rig_open(&r, 2, ini);
    for (unsigned i = 0; i < 5; i++)
        rig_socketio(&r, &c[i], i % 2);
    for (unsigned owner = 0; owner < 2; owner++) {
        const char *room = rig_room(&r, owner, 0);

        for (unsigned i = 0; i < 4; i++)
            join(&r, &c[i], room);
        cr_assert_eq(owned(&r, owner, room)->members, 4u);
        cr_assert_null(owned(&r, !owner, room));
        for (unsigned from = 0; from < 5; from++) { /* the stranger may send, too */
            rig_say(&c[from], "42[\"say\",\"%s\",%u]", room, from);
            rig_settle(&r);
            for (unsigned i = 0; i < 4; i++)
                rig_expect(&c[i], "42[\"msg\",%u]", from);
            rig_expect_silence(&c[4]);
        }
        for (unsigned from = 0; from < 5; from++) {
            rig_say(&c[from], "42[\"others\",\"%s\",%u]", room, from);
            rig_settle(&r);
            for (unsigned i = 0; i < 4; i++) {
                if (i != from)
                    rig_expect(&c[i], "42[\"msg\",%u]", from);
                rig_expect_silence(&c[i]);
            }
            rig_expect_silence(&c[4]);
        }
        cr_assert_eq(owned(&r, owner, room)->seq, 10u);
    }
    for (unsigned i = 0; i < 5; i++)
        rig_hang_up(&c[i]);
    rig_settle(&r);
    check_no_rooms(&r);
    rig_close(&r);
}

Test(room, all_of_a_namespace)
{
    struct rig r;
    struct rig_client c[4];

    rig_open(&r, 3, ini);
    for (unsigned i = 0; i < 4; i++)
        rig_socketio(&r, &c[i], i % 3);
    rig_say(&c[3], "40/b,"); /* in another namespace as well: it gets what is for "/" once */
    rig_settle(&r);
    cr_assert(rig_hear(&c[3]));
    for (unsigned from = 0; from < 4; from++) {
        rig_say(&c[from], "42[\"all\",%u]", from);
        rig_say(&c[from], "42[\"allbut\",\"but %u\"]", from);
        rig_settle(&r);
        for (unsigned i = 0; i < 4; i++) {
            rig_expect(&c[i], "42[\"msg\",%u]", from);
            if (i != from)
                rig_expect(&c[i], "42[\"msg\",\"but %u\"]", from);
            rig_expect_silence(&c[i]);
        }
    }
    for (unsigned i = 0; i < 4; i++)
        rig_hang_up(&c[i]);
    rig_close(&r);
}

Test(room, of_the_own_id)
{
    struct rig r;
    struct rig_client a, b;

    rig_open(&r, 2, ini);
    rig_socketio(&r, &a, 0);
    rig_socketio(&r, &b, 1);
    rig_say(&a, "42[\"say\",\"%s\",1]", b.id); /* as a room */
    rig_say(&a, "42[\"to\",\"%s\",2]", b.id);  /* as a socket */
    rig_say(&a, "42[\"say\",\"%s\",3]", a.id);
    rig_say(&a, "42[\"others\",\"%s\",4]", a.id); /* nobody is left */
    rig_say(&a, "42[\"in\",\"%s\",5]", a.id);     /* it is a member of its own */
    rig_settle(&r);
    rig_expect(&b, "42[\"msg\",1]");
    rig_expect(&b, "42[\"msg\",2]");
    rig_expect(&a, "42[\"msg\",3]");
    rig_expect(&a, "42[\"msg\",5]");
    rig_say(&a, "421[\"join\",\"%s\"]", a.id);
    rig_say(&a, "422[\"leave\",\"%s\"]", a.id); /* no more than the join does it anything */
    rig_say(&a, "42[\"say\",\"%s\",6]", a.id);
    rig_settle(&r);
    rig_expect(&a, "431" OK);
    rig_expect(&a, "432" OK);
    rig_expect(&a, "42[\"msg\",6]");
    rig_say(&a, "423[\"join\",\"%s\"]", b.id); /* nobody listens in on others */
    rig_settle(&r);
    cr_assert(rig_hear(&a));
    cr_assert_not_null(strstr((const char *)a.message.data, "\"bad_room\""));
    rig_say(&b, "42[\"say\",\"%s\",7]", b.id);
    rig_settle(&r);
    rig_expect(&b, "42[\"msg\",7]");
    rig_expect_silence(&a);
    check_no_rooms(&r); /* these rooms are none that anybody keeps */
    rig_hang_up(&b);
    rig_settle(&r);
    rig_say(&a, "42[\"say\",\"%s\",8]", b.id);
    rig_settle(&r);
    rig_expect_silence(&a);
    rig_hang_up(&a);
    rig_close(&r);
}

Test(room, joining_twice_is_once)
{
    struct rig r;
    struct rig_client a;

    rig_open(&r, 2, ini);
    rig_socketio(&r, &a, 0);
    for (unsigned owner = 0; owner < 2; owner++) {
        const char *room = rig_room(&r, owner, 0);

        for (int i = 0; i < 3; i++)
            rig_say(&a, "42[\"join\",\"%s\"]", room);
        rig_say(&a, "42[\"say\",\"%s\",1]", room);
        rig_settle(&r);
        rig_expect(&a, "42[\"msg\",1]");
        rig_expect_silence(&a);
        cr_assert_eq(owned(&r, owner, room)->members, 1u);
        for (int i = 0; i < 3; i++)
            rig_say(&a, "42[\"leave\",\"%s\"]", room);
        rig_say(&a, "42[\"say\",\"%s\",2]", room);
        rig_settle(&r);
        rig_expect_silence(&a);
        check_no_rooms(&r);
    }
    rig_hang_up(&a);
    rig_close(&r);
}

/* Joins and leaves that the owner has not even seen yet: the last one counts. */
Test(room, change_of_mind_before_the_answer)
{
    struct rig r;
    struct rig_client a;
    const char *room;

    rig_open(&r, 2, ini);
    room = rig_room(&r, 1, 0);
    rig_socketio(&r, &a, 0);
    for (unsigned changes = 1; changes <= 6; changes++) {
        for (unsigned i = 0; i < changes; i++)
            rig_say(&a, "42[\"%s\",\"%s\"]", i % 2 == 0 ? "join" : "leave", room);
        rig_turn(&r, 0); /* shard 1 sleeps */
        rig_settle(&r);
        rig_say(&a, "42[\"say\",\"%s\",%u]", room, changes);
        rig_settle(&r);
        if (changes % 2 != 0)
            rig_expect(&a, "42[\"msg\",%u]", changes);
        rig_expect_silence(&a);
        cr_assert_eq(owned(&r, 1, room) != NULL, changes % 2 != 0);
        rig_say(&a, "42[\"leave\",\"%s\"]", room);
        rig_settle(&r);
        check_no_rooms(&r);
    }
    rig_hang_up(&a);
    rig_close(&r);
}

/* The socket is gone before the owner's answer comes, and its slot has another tenant. */
Test(room, gone_before_the_answer)
{
    struct rig r;
    struct rig_client a, b;
    const char *room;

    rig_open(&r, 2, ini);
    room = rig_room(&r, 1, 0);
    for (int i = 0; i < 3; i++) {
        rig_socketio(&r, &a, 0);
        rig_say(&a, "42[\"join\",\"%s\"]", room);
        rig_turn(&r, 0); /* JOIN is on its way */
        rig_hang_up(&a);
        rig_turn(&r, 0); /* LEAVE follows it */
        cr_assert_eq(r.shard[0]->sockets.used, 0u);
        rig_socketio(&r, &b, 0);
        rig_say(&b, "42[\"say\",\"%s\",1]", room);
        rig_settle(&r);
        rig_expect_silence(&b);
        check_no_rooms(&r);
        rig_hang_up(&b);
        rig_settle(&r);
    }
    rig_close(&r);
}

/* One leaves and another joins on the same shard, all before the owner hears of it: the shard
 * has the room under a new id, and publications for the old one are for nobody. */
Test(room, made_again_meanwhile)
{
    struct rig r;
    struct rig_client a, b, sender;
    const char *room;

    rig_open(&r, 2, ini);
    room = rig_room(&r, 1, 0);
    rig_socketio(&r, &a, 0);
    rig_socketio(&r, &b, 0);
    rig_socketio(&r, &sender, 1);
    join(&r, &a, room);
    rig_hang_up(&a);
    rig_turn(&r, 0); /* the room is freed here */
    cr_assert_eq(r.shard[0]->lrooms.used, 0u);
    rig_say(&sender, "42[\"say\",\"%s\",1]", room);
    rig_turn(&r, 1); /* takes LEAVE or the event first: nobody or a stale id */
    rig_say(&b, "425[\"join\",\"%s\"]", room);
    rig_turn(&r, 0);
    rig_settle(&r);
    rig_expect(&b, "435" OK);
    rig_say(&sender, "42[\"say\",\"%s\",2]", room);
    rig_settle(&r);
    rig_expect(&b, "42[\"msg\",2]");
    rig_hang_up(&b);
    rig_hang_up(&sender);
    rig_settle(&r);
    check_no_rooms(&r);
    rig_close(&r);
}

Test(room, namespaces_are_apart)
{
    struct rig r;
    struct rig_client a, b;

    rig_open(&r, 2, ini);
    rig_socketio(&r, &a, 0);
    rig_socketio(&r, &b, 1);
    rig_say(&b, "40/b,");
    rig_settle(&r);
    cr_assert(rig_hear(&b));
    join(&r, &a, "same");
    rig_say(&b, "42/b,1[\"join\",\"same\"]");
    rig_settle(&r);
    rig_expect(&b, "43/b,1" OK);
    rig_say(&a, "42[\"say\",\"same\",1]");
    rig_say(&b, "42/b,[\"say\",\"same\",2]");
    rig_settle(&r);
    rig_expect(&a, "42[\"msg\",1]");
    rig_expect_silence(&a);
    rig_expect(&b, "42/b,[\"msg\",2]");
    rig_expect_silence(&b);
    rig_say(&b, "41/b,"); /* leaves that namespace, and its rooms */
    rig_settle(&r);
    cr_assert_not_null(
        owned(&r, rc_room_owner(r.shard[0], rc_room_hash(0, RC_STR("same"))), "same"));
    rig_say(&b, "42[\"say\",\"same\",3]"); /* "/" is still there */
    rig_settle(&r);
    rig_expect(&a, "42[\"msg\",3]");
    rig_expect_silence(&b);
    rig_hang_up(&a);
    rig_hang_up(&b);
    rig_settle(&r);
    check_no_rooms(&r);
    rig_close(&r);
}

/* ---- limits ---- */

Test(room, rooms_per_socket)
{
    struct rig r;
    struct rig_client a;
    const char *room[4];

    rig_open(&r, 2,
             "[limits]\nmax_rooms_per_socket = 3\n[event join]\njoin = {1}\n"
             "[event leave]\nleave = {1}\n");
    rig_socketio(&r, &a, 0);
    for (unsigned i = 0; i < 4; i++)
        room[i] = rig_room(&r, 1, i);
    for (unsigned i = 0; i < 3; i++)
        join(&r, &a, room[i]);
    rig_say(&a, "421[\"join\",\"%s\"]", room[3]);
    rig_say(&a, "422[\"join\",\"%s\"]", room[0]); /* where it is already */
    rig_settle(&r);
    cr_assert(rig_hear(&a));
    cr_assert_not_null(strstr((const char *)a.message.data, "\"too_many_rooms\""));
    cr_assert_not_null(strstr((const char *)a.message.data, "limits.max_rooms_per_socket"));
    rig_expect(&a, "432" OK);
    for (unsigned i = 0; i < 8; i++) { /* one out and one in, before the owner has answered */
        rig_say(&a, "421[\"leave\",\"%s\"]", room[i % 4]);
        rig_say(&a, "422[\"join\",\"%s\"]", room[(i + 3) % 4]);
        rig_turn(&r, 0);
        rig_settle(&r);
        rig_expect(&a, "431" OK);
        rig_expect(&a, "432" OK);
    }
    rig_hang_up(&a);
    rig_settle(&r);
    check_no_rooms(&r);
    rig_close(&r);
}

Test(room, rooms_per_shard)
{
    struct rig r;
    struct rig_client a, b;

    rig_open(&r, 1,
             "[limits]\nmax_rooms = 2\n[event join]\njoin = {1}\n[event leave]\nleave = {1}\n");
    rig_socketio(&r, &a, 0);
    rig_socketio(&r, &b, 0);
    join(&r, &a, "x");
    join(&r, &a, "y");
    join(&r, &b, "x"); /* one that is there already */
    rig_say(&b, "421[\"join\",\"z\"]");
    rig_settle(&r);
    cr_assert(rig_hear(&b));
    cr_assert_not_null(strstr((const char *)b.message.data, "limits.max_rooms "));
    rig_say(&a, "421[\"leave\",\"y\"]");
    rig_settle(&r);
    rig_expect(&a, "431" OK);
    join(&r, &b, "z");
    rig_hang_up(&a);
    rig_hang_up(&b);
    rig_settle(&r);
    check_no_rooms(&r);
    rig_close(&r);
}

/* As many rooms as the configuration allows, and each of them is left again. */
Test(room, one_socket_in_a_great_many_rooms)
{
    enum { MANY = 33000 }; /* past 32,768, where an array's 16-bit size is doubled */
    struct rig r;
    struct rig_client a;
    struct rc_shard *sh;
    struct rc_socket *k;
    uint32_t cursor = 0;
    const char *why = "";

    rig_open(&r, 1, "[limits]\nmax_rooms_per_socket = 65535\n");
    rig_socketio(&r, &a, 0);
    sh = rig_enter(&r, 0);
    rc_assert_on_shard(sh);
    k = rc_pool_next(&sh->sockets, &cursor);
    cr_assert_not_null(k);
    for (unsigned i = 0; i < MANY; i++) {
        char name[16];
        int n = snprintf(name, sizeof(name), "%u", i);

        cr_assert_eq(rc_local_join(sh, k, rc_str_make(name, (size_t)n), &why), RC_OK);
    }
    cr_assert_eq(k->nrooms, (unsigned)MANY);
    cr_assert_eq(sh->lrooms.used, (uint32_t)MANY);
    cr_assert(rc_local_is_member(sh, k, RC_STR("0")));
    cr_assert(rc_local_is_member(sh, k, RC_STR("32999")));
    cr_assert_not(rc_local_is_member(sh, k, RC_STR("33000")));
    rig_hang_up(&a);
    rig_settle(&r);
    check_no_rooms(&r);
    rig_close(&r);
}

/* ---- the batch ---- */

/* All in one turn, by every way that a message can take: as they were sent. */
Test(room, order_within_a_turn)
{
    struct rig r;
    struct rig_client a, b;
    unsigned n = 0;

    rig_open(&r, 1, ini);
    rig_socketio(&r, &a, 0);
    rig_socketio(&r, &b, 0);
    join(&r, &a, "x");
    join(&r, &a, "y");
    join(&r, &b, "x");
    for (unsigned round = 0; round < 20; round++) {
        rig_say(&b, "42[\"say\",\"x\",%u]", n++);
        rig_say(&b, "42[\"say\",\"x\",%u]", n++); /* these two make a batch */
        rig_say(&b, "42[\"say\",\"y\",%u]", n++);
        rig_say(&b, "42[\"to\",\"%s\",%u]", a.id, n++);
        rig_say(&b, "42[\"others\",\"x\",%u]", n++);
        rig_say(&b, "42[\"say\",\"x\",%u]", n++);
        rig_say(&b, "42[\"all\",%u]", n++);
        rig_say(&b, "42[\"me\",%u]", n++);
        rig_say(&b, "42[\"allbut\",%u]", n++);
    }
    rig_turn(&r, 0);
    rig_settle(&r);
    for (unsigned i = 0; i < n; i++) {
        if (i % 9 != 7) /* for b alone */
            rig_expect(&a, "42[\"msg\",%u]", i);
        if (i % 9 == 0 || i % 9 == 1 || (i % 9 >= 5 && i % 9 != 8))
            rig_expect(&b, "42[\"msg\",%u]", i);
    }
    rig_expect_silence(&a);
    rig_expect_silence(&b);
    rig_hang_up(&a);
    rig_hang_up(&b);
    rig_close(&r);
}

/* Who gets a publication is settled when the room's owner takes it, in one turn or in many. */
Test(room, members_change_within_a_turn)
{
    struct rig r;
    struct rig_client a, b;

    rig_open(&r, 1, ini);
    rig_socketio(&r, &a, 0);
    rig_socketio(&r, &b, 0);
    join(&r, &a, "x");
    rig_say(&b, "42[\"say\",\"x\",1]");
    rig_say(&b, "42[\"join\",\"x\"]");
    rig_say(&b, "42[\"say\",\"x\",2]");
    rig_say(&b, "42[\"leave\",\"x\"]");
    rig_say(&b, "42[\"say\",\"x\",3]");
    rig_say(&b, "42[\"join\",\"x\"]");
    rig_say(&b, "42[\"say\",\"x\",4]");
    rig_say(&b, "41"); /* leaves with a batch pending */
    rig_turn(&r, 0);
    rig_settle(&r);
    for (int i = 1; i <= 4; i++)
        rig_expect(&a, "42[\"msg\",%d]", i);
    rig_expect(&b, "42[\"msg\",2]");
    rig_expect(&b, "42[\"msg\",4]");
    rig_expect_silence(&a);
    rig_expect_silence(&b);
    rig_hang_up(&a);
    rig_hang_up(&b);
    rig_close(&r);
}

/* More publications in a turn than a batch takes, and more bytes. */
Test(room, long_batches)
{
    static char big[3000];
    struct rig r;
    struct rig_client a, b, c;
    uint64_t before;

    rig_open(&r, 1, ini);
    rig_socketio(&r, &a, 0);
    rig_socketio(&r, &b, 0);
    rig_socketio(&r, &c, 0);
    join(&r, &a, "x");
    join(&r, &b, "x");
    join(&r, &c, "x");
    memset(big, 'b', sizeof(big) - 1);
    before = deliveries(&r);
    for (unsigned i = 0; i < 500; i++)
        rig_say(&c, "42[\"say\",\"x\",%u]", i);
    for (unsigned i = 0; i < 500; i++)
        rig_say(&c, "42[\"say\",\"x\",\"%u%s\"]", i, big);
    for (unsigned i = 0; i < 100; i++)
        rig_say(&c, "42[\"others\",\"x\",%u]", i);
    rig_settle(&r);
    for (unsigned i = 0; i < 500; i++) {
        rig_expect(&a, "42[\"msg\",%u]", i);
        rig_expect(&c, "42[\"msg\",%u]", i);
    }
    for (unsigned i = 0; i < 500; i++) {
        rig_expect(&a, "42[\"msg\",\"%u%s\"]", i, big);
        rig_expect(&c, "42[\"msg\",\"%u%s\"]", i, big);
    }
    for (unsigned i = 0; i < 100; i++)
        rig_expect(&a, "42[\"msg\",%u]", i);
    rig_expect_silence(&a);
    rig_expect_silence(&c);
    cr_assert_eq(deliveries(&r) - before, 1000u * 3 + 100 * 2);
    rig_hang_up(&a);
    rig_hang_up(&b);
    rig_hang_up(&c);
    rig_close(&r);
}

/* Members come and go until the array of members has grown and shrunk. */
Test(room, many_members)
{
    enum { N = 60 };
    static struct rig_client c[N];
    struct rig r;
    uint32_t random = 7;

    rig_open(&r, 2, ini);
    for (unsigned i = 0; i < N; i++) {
        rig_socketio(&r, &c[i], i % 2);
        join(&r, &c[i], "crowd");
    }
    for (unsigned left = N, said = 0; left > 1; left--, said++) {
        unsigned i = (random = random * 1103515245 + 12345) >> 16;

        for (i %= N; c[i].fd < 0;)
            i = (i + 1) % N;
        if (left % 2 == 0)
            rig_say(&c[i], "42[\"leave\",\"crowd\"]");
        rig_settle(&r);
        rig_hang_up(&c[i]);
        rig_settle(&r);
        for (i = 0; c[i].fd < 0;)
            i++;
        rig_say(&c[i], "42[\"say\",\"crowd\",%u]", said);
        rig_settle(&r);
        for (i = 0; i < N; i++) {
            if (c[i].fd < 0)
                continue;
            rig_expect(&c[i], "42[\"msg\",%u]", said);
            rig_expect_silence(&c[i]);
        }
    }
    for (unsigned i = 0; i < N; i++)
        rig_hang_up(&c[i]);
    rig_settle(&r);
    check_no_rooms(&r);
    rig_close(&r);
}

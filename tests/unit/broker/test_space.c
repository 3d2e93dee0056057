/* Dynamic namespaces (src/broker/space.c): apart from each other, and gone with their last socket. */
#include "rc/broker/room.h"
#include "rc/broker/space.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

static const char ini[] = "[event /d-* join]\njoin = {1}\n"
                          "[event /d-* leave]\nleave = {1}\n"
                          "[event /d-* say]\nemit = room {1}: msg {nsp} {2}\n"
                          "[event /d-* all]\nemit = all: msg {nsp} {1}\n"
                          "[event /d-* allbut]\nemit = all except sender: msg {nsp} {1}\n"
                          "[event /d-* watch]\nwatch = rooms\n"
                          "[event /d-* unwatch]\nunwatch = rooms\n"
                          "[event join]\njoin = {1}\n"
                          "[connect /d-no*]\nrequire = auth key else no\n"
                          "[connect /e-*]\nrequire = auth key else no\njoin = lobby\n"
                          "emit = room lobby: here {nsp}\n"
                          "[limits]\nmax_namespaces = 20000\n";

/* The index of a pattern. */
static uint16_t pattern_of(const struct rig *r, const char *name)
{
    const struct rc_nsp *nsp = rc_app_pattern(r->app, rc_str_of(name));

    cr_assert_not_null(nsp);
    return nsp->index;
}

static unsigned owner_of(const struct rig *r, const char *name)
{
    struct rc_str home = rc_str_make(name, strlen(name) + 1); /* with its NUL */

    return rc_room_owner(r->shard[0], rc_space_hash(r->shard[0], pattern_of(r, name), home));
}

/* The n-th of the names /d-0, /d-1 … that this shard owns. */
static const char *owned_by(const struct rig *r, unsigned owner, unsigned n)
{
    static char names[16][16];
    static unsigned next;
    char *name = names[next++ % 16];

    for (unsigned i = 0;; i++) {
        (void)snprintf(name, sizeof(names[0]), "/d-%u", i);
        if (owner_of(r, name) == owner && n-- == 0)
            return name;
    }
}

static void expect_connected(struct rig_client *c, const char *name)
{
    char head[64];

    (void)snprintf(head, sizeof(head), "40%s,{\"sid\":\"", name);
    cr_assert(rig_hear(c), "no answer to CONNECT");
    cr_assert_eq(strncmp((const char *)c->message.data, head, strlen(head)), 0, "%s",
                 (const char *)c->message.data);
}

static void enter(struct rig *r, struct rig_client *c, const char *name)
{
    rig_say(c, "40%s,", name);
    rig_settle(r);
    expect_connected(c, name);
}

/* No shard knows of any dynamic namespace, nor of any room. */
static void check_none(const struct rig *r)
{
    for (unsigned i = 0; i < r->n; i++) {
        cr_assert_eq(r->shard[i]->nspaces, 0u);
        cr_assert_eq(r->shard[i]->space_by_name.n, 0u);
        cr_assert_eq(r->shard[i]->room_by_name.n, 0u);
        cr_assert_eq(r->shard[i]->lroom_by_name.n, 0u);
        cr_assert_eq(r->shard[i]->lrooms.used, 0u);
    }
}

static unsigned spaces(const struct rig *r)
{
    unsigned n = 0;

    for (unsigned i = 0; i < r->n; i++)
        n += r->shard[i]->space_by_name.n;
    return n;
}

Test(space, keys)
{
    static const char key[] = "/d-1\0room", other[] = "/d-1\0other";
    const struct rc_str home = {key, 5}, room = {key, 9}, room2 = {other, 10};
    struct rc_shard *sh;
    unsigned same = 0;
    struct rig r;
    uint16_t d;

    rig_open(&r, 4, ini);
    sh = r.shard[0];
    d = pattern_of(&r, "/d-1");
    cr_assert(rc_str_eq(rc_space_label(sh, d, room), RC_STR("room")));
    cr_assert_eq(rc_space_label(sh, d, home).len, 0u);
    cr_assert(rc_str_eq(rc_space_label(sh, 0, room), room), "only a name in others");
    cr_assert_eq(rc_space_hash(sh, 0, room), rc_room_hash(0, room));
    cr_assert_neq(rc_space_hash(sh, d, room), rc_space_hash(sh, d, room2));
    cr_assert_neq(rc_space_hash(sh, d, room), rc_space_hash(sh, d, home));
    cr_assert_eq(rc_room_owner(sh, rc_space_hash(sh, d, room)),
                 rc_room_owner(sh, rc_space_hash(sh, d, room2)));
    cr_assert_eq(rc_room_owner(sh, rc_space_hash(sh, d, room)), owner_of(&r, "/d-1"));
    for (unsigned i = 0; i < 64; i++) { /* names differ in their owners */
        char name[16];

        (void)snprintf(name, sizeof(name), "/d-%u", i);
        same += owner_of(&r, name) == owner_of(&r, "/d-1");
    }
    cr_assert_lt(same, 64u);
    rig_close(&r);
}

/* Clients on each shard in namespaces of either owner. */
Test(space, names_are_apart)
{
    struct rig r;
    struct rig_client c[8];

    rig_open(&r, 2, ini);
    for (unsigned i = 0; i < 8; i++)
        rig_socketio(&r, &c[i], i % 2);
    for (unsigned owner = 0; owner < 2; owner++) {
        const char *a = owned_by(&r, owner, 0), *b = owned_by(&r, !owner, 1);

        for (unsigned i = 0; i < 8; i++) {
            const char *name = i < 4 ? a : b;

            enter(&r, &c[i], name);
            rig_say(&c[i], "42%s,1[\"join\",\"den\"]", name);
            rig_settle(&r);
            rig_expect(&c[i], "43%s,1[{\"ok\":true}]", name);
        }
        cr_assert_eq(r.shard[owner]->space_by_name.n, 1u);
        cr_assert_eq(r.shard[0]->nspaces, 2u);
        rig_say(&c[0], "42%s,[\"say\",\"den\",1]", a);
        rig_say(&c[0], "42%s,[\"all\",2]", a);
        rig_say(&c[0], "42%s,[\"allbut\",3]", a);
        rig_say(&c[5], "42%s,[\"all\",4]", b);
        rig_settle(&r);
        for (unsigned i = 0; i < 4; i++) {
            rig_expect(&c[i], "42%s,[\"msg\",\"%s\",1]", a, a);
            rig_expect(&c[i], "42%s,[\"msg\",\"%s\",2]", a, a);
            if (i != 0)
                rig_expect(&c[i], "42%s,[\"msg\",\"%s\",3]", a, a);
        }
        for (unsigned i = 4; i < 8; i++)
            rig_expect(&c[i], "42%s,[\"msg\",\"%s\",4]", b, b);
        for (unsigned i = 0; i < 8; i++) {
            rig_expect_silence(&c[i]);
            rig_say(&c[i], "41%s,", i < 4 ? a : b);
        }
        rig_settle(&r);
        check_none(&r);
    }
    for (unsigned i = 0; i < 8; i++)
        rig_hang_up(&c[i]);
    rig_close(&r);
}

/* One connection in several at once, whose owners differ from those of the rooms of "/": its input waits
 * for fences, and everything comes in the order of the packets. */
Test(space, of_one_connection)
{
    struct rig r;
    struct rig_client c;
    const char *a, *b;

    rig_open(&r, 4, ini);
    rig_socketio(&r, &c, 0);
    a = owned_by(&r, 2, 0);
    b = owned_by(&r, 3, 0);
    rig_say(&c, "42[\"join\",\"%s\"]", rig_room(&r, 1, 0));
    rig_say(&c, "40%s,", a);
    rig_say(&c, "40%s,", b);
    rig_say(&c, "42%s,[\"all\",1]", a);
    rig_say(&c, "42%s,[\"all\",2]", b);
    rig_settle(&r);
    expect_connected(&c, a);
    expect_connected(&c, b);
    rig_expect(&c, "42%s,[\"msg\",\"%s\",1]", a, a);
    rig_expect(&c, "42%s,[\"msg\",\"%s\",2]", b, b);
    rig_expect_silence(&c);
    rig_hang_up(&c);
    rig_settle(&r);
    check_none(&r);
    rig_close(&r);
}

/* The connection ends at every stage of a CONNECT. */
Test(space, gone_before_the_answer)
{
    struct rig r;
    struct rig_client c;

    for (unsigned turns = 0; turns < 6; turns++) {
        rig_open(&r, 3, ini);
        rig_socketio(&r, &c, 0);
        rig_say(&c, "42[\"join\",\"%s\"]", rig_room(&r, 2, 0));
        rig_say(&c, "40%s,", owned_by(&r, 1, 0));
        rig_say(&c, "42%s,[\"join\",\"den\"]", owned_by(&r, 1, 0));
        rig_say(&c, "42%s,[\"watch\"]", owned_by(&r, 1, 0));
        for (unsigned i = 0; i < turns; i++)
            rig_turn(&r, i % 3);
        rig_hang_up(&c);
        rig_settle(&r);
        (void)usleep(250000); /* what changed is told, and then forgotten */
        rig_settle(&r);
        check_none(&r);
        rig_close(&r);
    }
}

Test(space, refused_leaves_nothing)
{
    struct rig r;
    struct rig_client c;

    rig_open(&r, 2, ini);
    rig_socketio(&r, &c, 0);
    for (unsigned i = 0; i < 100; i++) {
        rig_say(&c, "40/e-%u,{}", i);
        rig_settle(&r);
        rig_expect(&c, "44/e-%u,{\"message\":\"no\"}", i);
    }
    check_none(&r);
    cr_assert_eq(r.shard[0]->sockets.used, 1u);
    rig_say(&c, "40/e-1,{\"key\":1}");
    rig_settle(&r);
    expect_connected(&c, "/e-1");
    rig_expect(&c, "42/e-1,[\"here\",\"/e-1\"]");
    rig_hang_up(&c);
    rig_settle(&r);
    check_none(&r);
    rig_close(&r);
}

Test(space, limits)
{
    static const char *const limited[] = {"[limits]\nmax_namespaces = 2\n",
                                          "[limits]\nmax_rooms = 2\n"};
    static const char *const keys[] = {"max_namespaces", "max_rooms"};
    struct rig r;
    struct rig_client c;

    for (unsigned i = 0; i < 2; i++) {
        char text[256];

        (void)snprintf(text, sizeof(text), "[namespace /d-*]\n%s", limited[i]);
        rig_open(&r, 1, text);
        rig_socketio(&r, &c, 0);
        enter(&r, &c, "/d-1");
        enter(&r, &c, "/d-2");
        rig_say(&c, "40/d-3,");
        rig_settle(&r);
        rig_expect(&c,
                   "44/d-3,{\"message\":\"too many namespaces\",\"data\":{\"code\":\"limit\","
                   "\"key\":\"limits.%s\"}}",
                   keys[i]);
        rig_say(&c, "41/d-1,");
        enter(&r, &c, "/d-3");
        rig_hang_up(&c);
        rig_settle(&r);
        check_none(&r);
        rig_close(&r);
    }
}

static void come_and_go(struct rig *r, struct rig_client *c, unsigned from, unsigned n)
{
    for (unsigned i = from; i < from + n; i++) {
        rig_say(c, "40/d-%u,", i);
        rig_say(c, "42/d-%u,[\"join\",\"den\"]", i);
        rig_say(c, "42/d-%u,[\"all\",1]", i);
        if (i % 50 == 0)
            rig_settle(r);
    }
    rig_settle(r);
    for (unsigned i = from; i < from + n; i++)
        rig_say(c, "41/d-%u,", i);
    rig_settle(r);
    while (rig_hear(c))
        ;
}

/* 10,000 names at a time, spread over connections because of their limit, and again: the second time all
 * memory is there that is needed, and afterwards all of it is free again. */
Test(space, come_and_gone)
{
    enum { CLIENTS = 50, EACH = 200 };
    struct rig_client c[CLIENTS];
    struct rig r;
    size_t before[3] = {0};
    char text[1024];

    (void)snprintf(text, sizeof(text), "%smax_sockets = 255\n", ini);
    rig_open(&r, 2, text);
    for (unsigned i = 0; i < CLIENTS; i++)
        rig_socketio(&r, &c[i], i % 2);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < CLIENTS; i++) {
            for (unsigned j = 0; j < EACH; j++)
                rig_say(&c[i], "40/d-%u,", i * EACH + j);
            rig_settle(&r);
        }
        cr_assert_eq(spaces(&r), (unsigned)(CLIENTS * EACH));
        cr_assert_eq(r.shard[0]->nspaces + r.shard[1]->nspaces, (unsigned)(CLIENTS * EACH));
        for (unsigned i = 0; i < CLIENTS; i++) {
            for (unsigned j = 0; j < EACH; j++)
                rig_say(&c[i], "41/d-%u,", i * EACH + j);
            rig_settle(&r);
            while (rig_hear(&c[i]))
                ;
            come_and_go(&r, &c[i], i * EACH, 10); /* with rooms and messages */
        }
        check_none(&r);
        for (unsigned i = 0; i < 2; i++) {
            cr_assert_leq(r.shard[i]->space_by_name.cap, 16u);
            cr_assert_leq(r.shard[i]->room_by_name.cap, 16u);
            cr_assert_leq(r.shard[i]->lroom_by_name.cap, 16u);
        }
        before[round] = mallinfo2().uordblks;
    }
    /* The allocator may round differently; one byte left of each name would be 10,000. */
    cr_assert_lt(before[2], before[1] + 1000, "%zu bytes, then %zu", before[1], before[2]);
    for (unsigned i = 0; i < CLIENTS; i++)
        rig_hang_up(&c[i]);
    rig_close(&r);
}

/* Two lists, of which one has no watcher any more. */
Test(space, lists_of_rooms)
{
    struct rig r;
    struct rig_client c[2];
    const char *a, *b;

    rig_open(&r, 2, ini);
    a = owned_by(&r, 1, 0);
    b = owned_by(&r, 1, 1);
    for (unsigned i = 0; i < 2; i++) {
        rig_socketio(&r, &c[i], i);
        enter(&r, &c[i], i ? b : a);
        rig_say(&c[i], "42%s,1[\"join\",\"r%u\"]", i ? b : a, i);
        rig_settle(&r);
        rig_expect(&c[i], "43%s,1[{\"ok\":true}]", i ? b : a);
        rig_say(&c[i], "42%s,2[\"watch\"]", i ? b : a);
        rig_settle(&r);
        rig_expect(&c[i], "42%s,[\"rooms\",{\"full\":true,\"rooms\":[]}]", i ? b : a);
        rig_expect(&c[i], "43%s,2[{\"ok\":true}]", i ? b : a);
    }
    (void)usleep(250000);
    rig_settle(&r);
    rig_expect(&c[0],
               "42%s,[\"rooms\",{\"full\":false,\"rooms\":[{\"room\":\"r0\",\"members\":1}]}]",
               a);
    rig_expect(&c[1],
               "42%s,[\"rooms\",{\"full\":false,\"rooms\":[{\"room\":\"r1\",\"members\":1}]}]",
               b);
    rig_say(&c[0], "42%s,3[\"unwatch\"]", a);
    rig_say(&c[0], "42%s,4[\"join\",\"unseen\"]", a);
    rig_say(&c[1], "42%s,5[\"leave\",\"r1\"]", b);
    rig_settle(&r);
    (void)usleep(250000);
    rig_settle(&r);
    rig_expect(&c[0], "43%s,3[{\"ok\":true}]", a);
    rig_expect(&c[0], "43%s,4[{\"ok\":true}]", a);
    rig_expect(&c[1], "43%s,5[{\"ok\":true}]", b);
    rig_expect(&c[1],
               "42%s,[\"rooms\",{\"full\":false,\"rooms\":[{\"room\":\"r1\",\"members\":0}]}]",
               b);
    rig_say(&c[0], "42%s,6[\"watch\"]", a); /* soon enough to find the list as it is */
    rig_settle(&r);
    cr_assert(rig_hear(&c[0]));
    cr_assert_not_null(strstr((const char *)c[0].message.data, "\"full\":true"));
    cr_assert_not_null(
        strstr((const char *)c[0].message.data, "{\"room\":\"r0\",\"members\":1}"));
    cr_assert_not_null(
        strstr((const char *)c[0].message.data, "{\"room\":\"unseen\",\"members\":1}"));
    for (unsigned i = 0; i < 2; i++)
        rig_hang_up(&c[i]);
    rig_settle(&r);
    (void)usleep(250000);
    rig_settle(&r);
    check_none(&r); /* nor of its lists */
    rig_close(&r);
}

/* Presence and the list of rooms over three nodes (src/broker/presence_peers.c, directory_peers.c), which are rigs at a
 * bus of the test's own: it may lose what they tell, and nodes may go and come again. */
#include "../../../src/broker/directory_int.h"
#include "../../../src/broker/presence_int.h"
#include "rc/base/mem.h"
#include "rc/base/timer.h"
#include "rc/broker/peers.h"
#include "rc/broker/space.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { NODES = 3, ROOMS = 7, USERS = 5, WAIT_MS = 20000 };

static const char ini[] =
    "[auth]\nmode = optional\nsecret = 0123456789abcdef0123456789abcdef\n"
    "[room *]\npresence = yes\npresence_hold = 0ms\n[event join]\njoin = {1}\n";

struct said {
    struct rc_cluster_item item;
    unsigned from;
    struct said *next;
};

static struct {
    struct rig rig[NODES];
    struct rc_cluster_port port[NODES];
    uint32_t number[NODES]; /* what the others call it; 0: it is not there */
    uint32_t last_number;
    bool in[NODES][ROOMS][USERS];
    struct said *first, **last;
    unsigned nlost;
    unsigned lose;  /* of 100 */
    unsigned loser; /* only what it says, or hears; NODES: all */
    uint64_t seed;
} net;

static unsigned chance(unsigned n)
{
    net.seed = net.seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(net.seed >> 33) % n;
}

/* ---- the bus ---- */

static bool submit(void *cluster, const struct rc_cluster_item *item)
{
    struct said *s = rc_malloc(sizeof(*s));

    cr_assert_eq(item->type, RC_CLUSTER_PEER);
    *s = (struct said){.item = *item,
                       .from = (unsigned)((struct rc_cluster_port *)cluster - net.port)};
    *net.last = s;
    net.last = &s->next;
    return true;
}

static void post(unsigned to, const struct rc_msg *msg, unsigned shard)
{
    struct rig *r = &net.rig[to];
    struct rc_msg copy = *msg;

    if (copy.u.peer.pub != NULL)
        rc_pub_ref(copy.u.peer.pub);
    rc_mesh_post(r->mesh, rc_mesh_cluster(r->n), shard, &copy);
}

static void post_all(unsigned to, const struct rc_msg *msg)
{
    for (unsigned i = 0; i < net.rig[to].n; i++)
        post(to, msg, i);
}

static void hand_over(const struct said *s, unsigned to)
{
    struct rc_msg msg = {.type = RC_MSG_PEER, .count = s->item.count};
    struct rc_pub *pub = s->item.pub;
    struct rig *r = &net.rig[to];
    uint64_t hash = rc_space_app_hash(r->app, pub->nsp, rc_pub_room(pub));

    msg.u.peer.number = net.number[s->from];
    msg.u.peer.pub = pub;
    if (pub->room_len == 0)
        post_all(to, &msg);
    else
        post(to, &msg, rc_room_owner_of(r->n, hash));
}

static void carry(void)
{
    while (net.first != NULL) {
        struct said *s = net.first;

        net.first = s->next;
        if (net.first == NULL)
            net.last = &net.first;
        for (unsigned to = 0; to < NODES && net.number[s->from] != 0; to++) {
            if (to == s->from || net.number[to] == 0 ||
                (s->item.number != 0 && s->item.number != net.number[to]))
                continue;
            if ((net.loser == NODES || net.loser == to || net.loser == s->from) &&
                chance(100) < net.lose)
                net.nlost++;
            else
                hand_over(s, to);
        }
        rc_pub_unref(&s->item.pub);
        free(s);
    }
    for (unsigned i = 0; i < NODES; i++)
        (void)rc_mesh_wake(net.rig[i].mesh, rc_mesh_cluster(net.rig[i].n));
}

static void turn(void)
{
    for (unsigned i = 0; i < NODES; i++)
        for (unsigned k = 0; k < net.rig[i].n; k++)
            rig_turn(&net.rig[i], k);
    carry();
}

static void tell_here(unsigned to, unsigned who)
{
    struct rc_peer p = {.number = net.number[who]};
    struct rc_msg msg = {.type = RC_MSG_PEER_HERE};

    msg.u.peer.number = p.number;
    msg.u.peer.pub = rc_pub_new(0, RC_STR_NONE, 0, &p, sizeof(p));
    post_all(to, &msg);
    rc_pub_unref(&msg.u.peer.pub);
}

/* A node goes out of sight of the others, and they of its; or comes again. */
static void set_there(unsigned who, bool there)
{
    struct rc_msg gone = {.type = RC_MSG_PEER_GONE};

    carry();
    for (unsigned i = 0; i < NODES; i++) {
        if (i == who || there || net.number[i] == 0)
            continue;
        gone.u.peer.number = net.number[who];
        post_all(i, &gone);
        gone.u.peer.number = net.number[i];
        post_all(who, &gone);
    }
    net.number[who] = there ? ++net.last_number : 0;
    for (unsigned i = 0; i < NODES; i++) {
        if (i == who || !there || net.number[i] == 0)
            continue;
        tell_here(i, who);
        tell_here(who, i);
    }
}

static void set_up(void)
{
    net.last = &net.first;
    net.seed = 5;
    net.loser = NODES;
    for (unsigned i = 0; i < NODES; i++) {
        rig_open(&net.rig[i], 1 + i % 2, ini);
        net.port[i] = (struct rc_cluster_port){.cluster = &net.port[i], .submit = submit};
        net.rig[i].app->cluster = &net.port[i];
    }
    for (unsigned i = 0; i < NODES; i++)
        set_there(i, true);
}

static void tear_down(void)
{
    struct said *next;

    for (unsigned i = 0; i < NODES; i++)
        rig_close(&net.rig[i]);
    for (struct said *s = net.first; s != NULL; s = next) {
        next = s->next;
        rc_pub_unref(&s->item.pub);
        free(s);
    }
    memset(&net, 0, sizeof(net)); /* where all tests are in one process */
}

/* ---- rooms ---- */

static struct rc_shard *owner_of(unsigned node, struct rc_str key)
{
    struct rig *r = &net.rig[node];
    struct rc_shard *sh =
        rig_enter(r, rc_room_owner_of(r->n, rc_space_app_hash(r->app, 0, key)));

    return sh;
}

static struct rc_str name_of(unsigned room)
{
    static char name[16];

    return rc_str_make(name, (size_t)snprintf(name, sizeof(name), "room%u", room));
}

static void step(unsigned node, struct rc_str key, const char *user, bool join)
{
    struct rc_shard *sh = owner_of(node, key);
    struct rc_msg_member m = {.room = rc_pub_new(0, key, rc_space_hash(sh, 0, key), NULL, 0)};

    rc_assert_on_shard(sh);
    if (user != NULL)
        m.user = rc_pub_new(0, RC_STR_NONE, 0, user, strlen(user));
    if (join)
        rc_room_join(sh, sh->index, &m);
    else
        rc_room_leave(sh, sh->index, &m);
    rc_pub_unref(&m.room);
    rc_pub_unref(&m.user);
}

static void toggle(unsigned node, unsigned room, unsigned user)
{
    bool *in = &net.in[node][room][user];
    char name[16];

    (void)snprintf(name, sizeof(name), "user%u", user);
    *in = !*in;
    step(node, name_of(room), name, *in);
}

static void toggle_some(unsigned n)
{
    while (n-- != 0) {
        toggle(chance(NODES), chance(ROOMS), chance(USERS));
        if (chance(3) == 0)
            turn();
    }
}

/* Does the node hear of that one, or is it itself? */
static bool sees(unsigned node, unsigned other)
{
    return node == other || (net.number[node] != 0 && net.number[other] != 0);
}

static bool is_right(unsigned node, unsigned room)
{
    struct rc_shard *sh = owner_of(node, name_of(room));
    struct rc_str key = name_of(room);
    const struct rc_presence *p = rc_presence_find(sh, 0, key, rc_space_hash(sh, 0, key));
    struct rc_roster_list users = {.n = 0};
    unsigned count = 0, found = 0;
    char name[16];

    if (p != NULL)
        rc_roster_put(&p->roster, 100, &users);
    for (unsigned u = 0; u < USERS; u++) {
        bool there = false;

        for (unsigned i = 0; i < NODES; i++)
            there = there || (sees(node, i) && net.in[i][room][u]);
        (void)snprintf(name, sizeof(name), "\"user%u\"", u);
        count += there;
        found += there && users.json.len != 0 &&
                 memmem(users.json.data, users.json.len, name, strlen(name)) != NULL;
    }
    rc_buf_deinit(&users.json);
    return count == found && users.n == count && (p == NULL || p->roster.count == count);
}

static unsigned wrong(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < NODES; i++)
        for (unsigned room = 0; room < ROOMS; room++)
            n += !is_right(i, room);
    return n;
}

static void settle(unsigned (*left)(void), const char *what)
{
    uint64_t limit = rc_clock_ms() + WAIT_MS;

    do {
        turn();
        (void)usleep(1000);
        if (rc_clock_ms() > limit)
            cr_assert_fail("%s: %u are wrong", what, left());
    } while (left() != 0);
}

static void leave_all(void)
{
    for (unsigned i = 0; i < NODES; i++)
        for (unsigned room = 0; room < ROOMS; room++)
            for (unsigned u = 0; u < USERS; u++)
                if (net.in[i][room][u])
                    toggle(i, room, u);
}

static unsigned presences(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < NODES; i++)
        for (unsigned k = 0; k < net.rig[i].n; k++)
            n += net.rig[i].shard[k]->presences->by_key.n;
    return n;
}

Test(presence, nodes_that_hear_all_agree)
{
    set_up();
    settle(wrong, "at first");
    for (unsigned i = 0; i < 10; i++) {
        toggle_some(200);
        settle(wrong, "after a while");
    }
    leave_all();
    settle(wrong, "in the end");
    cr_assert_eq(presences(), 0u);
    tear_down();
}

Test(presence, what_was_lost_shows_with_the_next_change)
{
    set_up();
    toggle_some(100);
    settle(wrong, "at first");
    for (unsigned i = 0; i < 4; i++) {
        net.lose = 50;
        net.nlost = 0;
        do {
            toggle_some(60);
            for (unsigned k = 0; k < 20; k++) {
                turn();
                (void)usleep(4000);
            }
        } while (net.nlost == 0);
        net.lose = 0;
        /* Each shard tells something: rooms of both owners, in each node. */
        for (unsigned node = 0; node < NODES; node++)
            for (unsigned room = 0; room < ROOMS; room++)
                toggle(node, room, chance(USERS));
        settle(wrong, "after losses");
    }
    tear_down();
}

Test(presence, the_bus_was_away)
{
    const struct rc_msg again = {.type = RC_MSG_PEER_AGAIN};

    set_up();
    toggle_some(100);
    settle(wrong, "at first");
    net.lose = 100;
    net.loser = 1;
    toggle_some(100);
    for (unsigned k = 0; k < 40; k++) {
        turn();
        (void)usleep(4000);
    }
    cr_assert_gt(wrong(), 0u);
    net.lose = 0;
    post_all(1, &again);
    settle(wrong, "one was away");
    tear_down();
}

Test(presence, nodes_go_and_come)
{
    set_up();
    toggle_some(150);
    settle(wrong, "at first");
    for (unsigned i = 0; i < 6; i++) {
        set_there(i % NODES, false);
        toggle_some(40);
        settle(wrong, "without it");
        set_there(i % NODES, true);
        if (i % 2 != 0)
            toggle_some(40);
        settle(wrong, "with it again");
    }
    leave_all();
    settle(wrong, "in the end");
    tear_down();
}

/* ---- the list of rooms ---- */

static void watch(unsigned node, bool yes)
{
    struct rc_shard *sh = owner_of(node, RC_DIRECTORY_ROOM);
    struct rc_str key = RC_DIRECTORY_ROOM;
    struct rc_room *r;

    rc_assert_on_shard(sh);
    step(node, key, NULL, yes);
    r = rc_room_find(sh, 0, key, rc_space_hash(sh, 0, key));
    cr_assert_eq(r != NULL, yes);
    if (yes)
        rc_directory_watched(sh, r, 0);
}

static unsigned members_of(unsigned node, unsigned room)
{
    unsigned n = 0;

    for (unsigned u = 0; u < USERS; u++)
        n += net.in[node][room][u];
    return n;
}

/* On the first two nodes, which watch. */
static unsigned lists_wrong(void)
{
    unsigned n = 0;

    for (unsigned node = 0; node < 2; node++) {
        struct rc_shard *sh = owner_of(node, RC_DIRECTORY_ROOM);
        const struct rc_watched *w = sh->directory->nsp[0];
        unsigned listed = 0;

        for (unsigned room = 0; room < ROOMS; room++) {
            const struct rc_listed *e = rc_listed_find(w, name_of(room));
            unsigned members = 0;

            for (unsigned i = 0; i < NODES; i++)
                members += sees(node, i) ? members_of(i, room) : 0;
            n += (e != NULL ? e->members : 0) != members;
            listed += members != 0;
        }
        n += w->list.n != listed;
    }
    return n;
}

Test(presence, lists_of_rooms_are_sums)
{
    const struct rc_msg again = {.type = RC_MSG_PEER_AGAIN};

    set_up();
    toggle_some(60);
    watch(0, true);
    watch(1, true);
    settle(lists_wrong, "at first");
    for (unsigned i = 0; i < 3; i++) {
        toggle_some(60);
        settle(lists_wrong, "after a while");
        set_there(2, false);
        toggle_some(20);
        settle(lists_wrong, "without it");
        set_there(2, true);
        settle(lists_wrong, "with it again");
        net.lose = 100;
        toggle_some(60);
        for (unsigned k = 0; k < 100; k++) {
            turn();
            (void)usleep(4000);
        }
        cr_assert_gt(lists_wrong(), 0u);
        net.lose = 0;
        for (unsigned node = 0; node < NODES; node++)
            post_all(node, &again);
        settle(lists_wrong, "the bus was away");
    }
    watch(0, false);
    watch(1, false);
    leave_all();
    settle(lists_wrong, "in the end");
    tear_down();
}

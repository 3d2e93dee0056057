/* Messages to users that other nodes have stored; and what nodes tell each other of them. */
#include "stored_scene.h"

#include "rc/broker/inbox.h"
#include "rc/broker/news.h"
#include "rc/broker/peers.h"
#include "rc/broker/pub.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- a cluster that keeps what is told ---- */

static struct {
    uint64_t id[64];
    unsigned n;
} told;

static bool on_submit(void *cluster, const struct rc_cluster_item *item)
{
    struct rc_pub *pub = item->pub;

    (void)cluster;
    if (item->type == RC_CLUSTER_PEER && item->count == RC_PEER_INBOX) {
        cr_assert_eq(pub->len, 8u);
        cr_assert_eq(pub->room_len, 0u);
        cr_assert_eq(item->number, 0u);
        cr_assert_lt(told.n, 64u);
        told.id[told.n++] = pub->data[0] | (uint64_t)pub->data[1] << 8;
    }
    rc_pub_unref(&pub);
    return true;
}

static uint16_t tag(const void *cluster)
{
    (void)cluster;
    return 1;
}

static const struct rc_cluster_port port = {.submit = on_submit, .tag = tag};

static void mail(struct scene *s, unsigned shard, struct rc_msg *msg)
{
    struct rc_shard *sh = rig_enter(&s->r, shard);

    rc_assert_on_shard(sh);
    rc_peers_mail(sh, msg);
}

/* Nodes with one store, of which one other is there. */
static void open_nodes(struct scene *s, unsigned nshards)
{
    struct rc_peer peer = {.number = 1, .id = "other"};

    told.n = 0;
    scene_open(s, nshards);
    s->r.conf.store_engine = RC_STOREENGINE_MARIADB;
    s->r.app->cluster = &port;
    for (unsigned i = 0; i < nshards; i++) {
        struct rc_msg here = {.type = RC_MSG_PEER_HERE, .u.peer.number = 1};

        here.u.peer.pub = rc_pub_new(0, RC_STR_NONE, 0, &peer, sizeof(peer));
        mail(s, i, &here);
    }
}

static void leave_message(struct fake_store *f, const char *from, const char *to)
{
    fake_leave(f, &(struct rc_store_in){.user = rc_str_of(from),
                                        .receiver = rc_str_of(to),
                                        .content = RC_STR("x")});
}

/* The store has found that one. */
static void find_news(struct scene *s, struct rc_news *news, const char *from, const char *to,
                      bool doubted)
{
    struct rc_store_news found = {
        .sender = rc_str_of(from), .receiver = rc_str_of(to), .doubted = doubted};
    char row[64];

    leave_message(s->f, from, to);
    found.id = s->f->nrows;
    (void)snprintf(row, sizeof(row), "{\"id\":%u}", s->f->nrows);
    found.row = rc_str_of(row);
    rc_news_take(news, &found);
    (void)rc_mesh_wake(s->r.mesh, rc_mesh_store(s->r.n));
}

/* ---- what is found ---- */

Test(news, other_nodes_messages_reach_all_devices_once)
{
    for (unsigned n = 1; n < 4; n++) {
        struct scene s;
        struct rig_client a[2], b[2], c;
        struct rc_news *news;

        open_nodes(&s, n);
        news = rc_news_new(s.r.app, s.r.mesh);
        for (unsigned i = 0; i < 2; i++) {
            scene_connect_as(&s, &a[i], i % n, "ann");
            scene_connect_as(&s, &b[i], (i + 1) % n, "bob");
        }
        scene_connect_as(&s, &c, 0, "eve");
        fake_settle(s.f, &s.r);
        rc_news_take(news, NULL);
        find_news(&s, news, "ann", "bob", false); /* 1 */
        find_news(&s, news, "ann", "ann", false);
        find_news(&s, news, "eve", "bob", false);
        find_news(&s, news, "ann", "bob", true); /* 4: ann knows that nobody knows */
        find_news(&s, news, "", "bob", false);   /* another program's */
        fake_settle(s.f, &s.r);
        for (unsigned i = 0; i < 2; i++) {
            rig_expect(&a[i], "42[\"message\",{\"id\":1}]");
            rig_expect(&a[i], "42[\"message\",{\"id\":2}]");
            rig_expect_silence(&a[i]);
            rig_expect(&b[i], "42[\"message\",{\"id\":1}]");
            for (unsigned id = 3; id < 6; id++)
                cr_assert_eq(scene_hear_id(&b[i]), id);
            rig_expect_silence(&b[i]);
        }
        cr_assert_eq(scene_hear_id(&c), 3u);
        rig_expect_silence(&c);
        cr_assert_eq(told.n, 0u); /* who has stored them has said so */
        for (unsigned i = 0; i < 2; i++) {
            rig_hang_up(&a[i]);
            rig_hang_up(&b[i]);
        }
        rig_hang_up(&c);
        fake_settle(s.f, &s.r);
        cr_assert_eq(s.f->cursor[1].id, 5u); /* of bob */
        rc_news_free(news);
        scene_end(&s);
    }
}

Test(news, groups)
{
    struct rc_store_news found = {.id = 7,
                                  .conversation = RC_STORE_GROUP,
                                  .sender = RC_STR("ann"),
                                  .receiver = RC_STR("g"),
                                  .users = RC_STR("\3\0ann\3\0bob"),
                                  .row = RC_STR("{\"id\":7}")};
    struct rig_client a, b, c;
    struct rc_news *news;
    struct scene s;

    open_nodes(&s, 3);
    news = rc_news_new(s.r.app, s.r.mesh);
    scene_connect_as(&s, &a, 0, "ann");
    scene_connect_as(&s, &b, 1, "bob");
    scene_connect_as(&s, &c, 2, "g");
    fake_settle(s.f, &s.r);
    rc_news_take(news, &found);
    found.id = 8;
    found.row = RC_STR("{\"id\":8}");
    found.doubted = true;
    rc_news_take(news, &found);
    (void)rc_mesh_wake(s.r.mesh, rc_mesh_store(s.r.n));
    fake_settle(s.f, &s.r);
    cr_assert_eq(scene_hear_id(&a), 7u);
    rig_expect_silence(&a);
    cr_assert_eq(scene_hear_id(&b), 7u);
    cr_assert_eq(scene_hear_id(&b), 8u);
    rig_expect_silence(&b);
    rig_expect_silence(&c);
    rig_hang_up(&a);
    rig_hang_up(&b);
    rig_hang_up(&c);
    rc_news_free(news);
    scene_end(&s);
}

/* ---- what was left out ---- */

/* A device that is there gets them all, also what devices of other nodes were given, and moved the cursor past. */
Test(news, what_was_left_out_is_asked_for)
{
    struct rc_store_news all = {.id = 0};
    struct rig_client b;
    struct rc_news *news;
    struct scene s;

    open_nodes(&s, 2);
    news = rc_news_new(s.r.app, s.r.mesh);
    scene_connect_as(&s, &b, 0, "bob");
    fake_settle(s.f, &s.r);
    find_news(&s, news, "ann", "bob", false);
    fake_settle(s.f, &s.r);
    cr_assert_eq(scene_hear_id(&b), 1u);
    for (unsigned i = 0; i < 4; i++)
        leave_message(s.f, "ann", "bob");
    scene_wait(&s, 1100);
    s.f->cursor[0].id = 4;
    rc_news_take(news, &all);
    find_news(&s, news, "ann", "bob", false); /* 6: passes by */
    scene_wait(&s, 50);
    for (unsigned id = 2; id <= 6; id++)
        cr_assert_eq(scene_hear_id(&b), id);
    rig_expect_silence(&b);
    find_news(&s, news, "ann", "bob", false);
    fake_settle(s.f, &s.r);
    cr_assert_eq(scene_hear_id(&b), 7u);
    rig_expect_silence(&b);
    rig_hang_up(&b);
    rc_news_free(news);
    scene_end(&s);
}

Test(news, not_all_ask_at_once)
{
    enum { USERS = 50, AT_ONCE = 32 };
    struct rc_store_news all = {.id = 0};
    static struct rig_client b[USERS];
    struct rc_news *news;
    struct scene s;
    char user[16];

    open_nodes(&s, 1);
    news = rc_news_new(s.r.app, s.r.mesh);
    for (unsigned i = 0; i < USERS; i++) {
        (void)snprintf(user, sizeof(user), "user%u", i);
        scene_connect_as(&s, &b[i], 0, user);
    }
    fake_settle(s.f, &s.r);
    for (unsigned i = 0; i < USERS; i++) {
        (void)snprintf(user, sizeof(user), "user%u", i);
        leave_message(s.f, "ann", user);
    }
    rc_news_take(news, &all);
    (void)rc_mesh_wake(s.r.mesh, rc_mesh_store(s.r.n));
    for (unsigned i = 0; i < 30; i++) {
        rig_settle(&s.r);
        (void)usleep(2000);
    }
    cr_assert_eq(s.f->n, (unsigned)AT_ONCE);
    scene_wait(&s, 60);
    for (unsigned i = 0; i < USERS; i++) {
        cr_assert_eq(scene_hear_id(&b[i]), i + 1);
        rig_hang_up(&b[i]);
    }
    rc_news_free(news);
    scene_end(&s);
}

/* ---- what nodes tell ---- */

Test(news, what_is_stored_is_told_but_not_each)
{
    struct rig_client a;
    struct scene s;

    open_nodes(&s, 1);
    scene_connect_as(&s, &a, 0, "ann");
    for (unsigned i = 0; i < 40; i++)
        rig_say(&a, "42[\"message\",{\"conversationType\":\"private\",\"receiverId\":\"bob\","
                    "\"content\":1}]");
    rig_say(&a, "42[\"keep\",\"room\",1]"); /* 41: nobody needs to look for it */
    scene_wait(&s, 20);
    cr_assert_eq(s.f->nrows, 41u);
    cr_assert_eq(told.id[0], 1u);
    cr_assert_eq(told.id[told.n - 1], 40u);
    cr_assert_lt(told.n, 20u);
    s.r.conf.store_engine = RC_STOREENGINE_SQLITE; /* which nodes do not share */
    told.n = 0;
    rig_say(&a, "42[\"message\",{\"conversationType\":\"private\",\"receiverId\":\"bob\","
                "\"content\":1}]");
    scene_wait(&s, 5);
    cr_assert_eq(s.f->nrows, 42u);
    cr_assert_eq(told.n, 0u);
    rig_hang_up(&a);
    scene_end(&s);
}

static void hear_of(struct scene *s, unsigned shard, uint64_t id)
{
    struct rc_msg msg = {.type = RC_MSG_PEER, .count = RC_PEER_INBOX, .u.peer.number = 1};
    uint8_t bytes[8] = {(uint8_t)id, (uint8_t)(id >> 8)};

    msg.u.peer.pub = rc_pub_new(0, RC_STR_NONE, 0, bytes, sizeof(bytes));
    mail(s, shard, &msg);
}

/* Ids of the looks that the store is asked for. */
static unsigned looks(const struct scene *s, uint64_t id[8])
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->f->n && n < 8; i++)
        if (s->f->waiting[i]->type == RC_STORE_FOLLOW)
            id[n++] = s->f->waiting[i]->in.id;
    return n;
}

Test(news, the_first_shard_has_the_store_look)
{
    struct rc_msg again = {.type = RC_MSG_PEER_AGAIN};
    uint64_t id[8];
    struct scene s;

    open_nodes(&s, 2);
    hear_of(&s, 1, 700);
    cr_assert_eq(looks(&s, id), 0u);
    hear_of(&s, 0, 700);
    cr_assert_eq(looks(&s, id), 1u);
    cr_assert_eq(id[0], 700u);
    hear_of(&s, 0, 702);
    hear_of(&s, 0, 701);
    cr_assert_eq(looks(&s, id), 1u); /* it has just looked */
    (void)usleep(5000);
    rig_settle(&s.r);
    cr_assert_eq(looks(&s, id), 2u);
    cr_assert_eq(id[1], 702u);
    mail(&s, 0, &again);
    hear_of(&s, 0, 703);
    (void)usleep(5000);
    rig_settle(&s.r);
    cr_assert_eq(looks(&s, id), 3u);
    cr_assert_eq(id[2], 0u); /* in any case */
    mail(&s, 1, &again);
    (void)usleep(5000);
    rig_settle(&s.r);
    cr_assert_eq(looks(&s, id), 3u);
    scene_end(&s);
}

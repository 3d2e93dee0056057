/* Stored messages: their way through a store to rooms, history, and what the store's thread does. */
#include "stored_scene.h"

#include "rc/broker/room.h"
#include "rc/broker/stored.h"
#include "rc/net/ws.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

Test(stored, is_sent_and_acked_after_the_commit)
{
    for (unsigned owner = 0; owner < 3; owner++) {
        struct scene s;
        struct rig_client a, b;
        const char *room;

        scene_open(&s, 3);
        room = rig_room(&s.r, owner, 0);
        rig_socketio(&s.r, &a, 0);
        rig_socketio(&s.r, &b, 1);
        scene_join(&s, &a, room);
        scene_join(&s, &b, room);
        rig_say(&a, "427[\"keep\",\"%s\",{\"x\":1}]", room);
        rig_settle(&s.r);
        rig_expect_silence(&a);
        rig_expect_silence(&b);
        cr_assert_eq(fake_run(s.f, 9), 1u);
        rig_settle(&s.r);
        rig_expect(&a, "42[\"kept\",1,\"at 1700000000000\",{\"x\":1}]");
        rig_expect(&a, "437[{\"ok\":true,\"id\":1,\"time\":1700000000000}]");
        rig_expect(&b, "42[\"kept\",1,\"at 1700000000000\",{\"x\":1}]");
        cr_assert(rc_str_eq(s.f->row[0]->in.content, RC_STR("[null,\"at \",{\"x\":1}]")));
        cr_assert(rc_str_eq(s.f->row[0]->in.event, RC_STR("kept")));
        cr_assert(rc_str_eq(s.f->row[0]->in.receiver, rc_str_of(room)));
        rig_hang_up(&a);
        rig_hang_up(&b);
        scene_end(&s);
    }
}

Test(stored, a_string_alone_is_kept_as_text)
{
    struct scene s;
    struct rig_client a;

    scene_open(&s, 1);
    rig_socketio(&s.r, &a, 0);
    rig_say(&a, "42[\"one\",\"/x\",\"h\\u00e9 \\\"\"]");
    fake_settle(s.f, &s.r);
    cr_assert_eq(s.f->row[0]->in.format, RC_STORE_TEXT);
    cr_assert(rc_str_eq(s.f->row[0]->in.content, RC_STR("h\xc3\xa9 \"")));
    cr_assert(rc_str_eq(s.f->row[0]->in.receiver, RC_STR("/,/x")), "apart from /x,y");
    rig_hang_up(&a);
    scene_end(&s);
}

/* Whatever the owners, what a sender does comes to a member in the order in which it was done. */
Test(stored, nothing_of_the_sender_overtakes)
{
    for (unsigned i = 0; i < 27; i++) {
        unsigned o1 = i % 3, o2 = i / 3 % 3, sender = i / 9;
        const char *first, *second;
        struct scene s;
        struct rig_client a, b;

        scene_open(&s, 3);
        first = rig_room(&s.r, o1, 0);
        second = rig_room(&s.r, o2, 1);
        rig_socketio(&s.r, &a, sender);
        rig_socketio(&s.r, &b, 2);
        scene_join(&s, &b, first);
        scene_join(&s, &b, second);
        rig_say(&a, "42[\"say\",\"%s\",1]", second);
        rig_say(&a, "42[\"one\",\"%s\",2]", first);
        rig_say(&a, "42[\"say\",\"%s\",3]", second);
        rig_say(&a, "42[\"one\",\"%s\",4]", second);
        rig_say(&a, "421[\"both\",\"%s\",\"%s\",5]", first, second);
        rig_say(&a, "42[\"say\",\"%s\",6]", second);
        for (unsigned n = 0; n < 12; n++) { /* one shard is always slow */
            for (unsigned sh = 0; sh < 3; sh++)
                if (sh != n % 3)
                    rig_turn(&s.r, sh);
            (void)fake_run(s.f, 1);
        }
        fake_settle(s.f, &s.r);
        rig_expect(&b, "42[\"say\",1]");
        rig_expect(&b, "42[\"kept\",2]");
        rig_expect(&b, "42[\"say\",3]");
        rig_expect(&b, "42[\"kept\",4]");
        rig_expect(&b, "42[\"kept\",5]");
        rig_expect(&b, "42[\"said\",3]");
        rig_expect(&b, "42[\"say\",6]");
        rig_expect(&a, "431[3,\"%s\"]", second);
        rig_expect_silence(&b);
        rig_hang_up(&a);
        rig_hang_up(&b);
        scene_end(&s);
    }
}

Test(stored, ids_are_in_the_order_of_delivery)
{
    struct scene s;
    struct rig_client c[3];
    const char *room;
    unsigned last = 0;

    scene_open(&s, 3);
    room = rig_room(&s.r, 1, 0);
    for (unsigned i = 0; i < 3; i++) {
        rig_socketio(&s.r, &c[i], i);
        scene_join(&s, &c[i], room);
    }
    for (unsigned n = 0; n < 20; n++)
        for (unsigned i = 0; i < 3; i++)
            rig_say(&c[i], "42[\"keep\",\"%s\",%u]", room, n);
    for (unsigned n = 0; n < 60; n++) {
        rig_turn(&s.r, n * 7 % 3);
        (void)fake_run(s.f, n % 3);
    }
    fake_settle(s.f, &s.r);
    for (unsigned n = 0; n < 60; n++) {
        unsigned id = 0;

        cr_assert(rig_hear(&c[2]));
        cr_assert_eq(sscanf((const char *)c[2].message.data, "42[\"kept\",%u,", &id), 1);
        cr_assert_eq(id, last + 1);
        last = id;
    }
    for (unsigned i = 0; i < 3; i++)
        rig_hang_up(&c[i]);
    scene_end(&s);
}

Test(stored, a_sender_that_has_gone_is_no_hindrance)
{
    struct scene s;
    struct rig_client a, b;
    const char *room;

    scene_open(&s, 2);
    room = rig_room(&s.r, 1, 0);
    rig_socketio(&s.r, &a, 0);
    rig_socketio(&s.r, &b, 1);
    scene_join(&s, &b, room);
    rig_say(&a, "421[\"one\",\"%s\",1]", room);
    rig_turn(&s.r, 0);
    rig_hang_up(&a);
    rig_settle(&s.r);
    fake_settle(s.f, &s.r);
    rig_expect(&b, "42[\"kept\",1]");
    rig_hang_up(&b);
    scene_end(&s);
}

Test(stored, later_does_not_wait)
{
    struct scene s;
    struct rig_client a;

    scene_open(&s, 2);
    rig_socketio(&s.r, &a, 0);
    scene_join(&s, &a, "r");
    rig_say(&a, "421[\"later\",\"r\",\"x\"]");
    rig_settle(&s.r);
    rig_expect(&a, "42[\"kept\",\"x\"]");
    rig_expect(&a, "431[{\"ok\":true}]");
    cr_assert_eq(s.f->n, 1u);
    fake_settle(s.f, &s.r);
    cr_assert_eq(s.f->nrows, 1u);
    rig_expect_silence(&a);
    s.f->refuse = RC_STORE_BUSY; /* what is sent is stored */
    rig_say(&a, "422[\"later\",\"r\",\"y\"]");
    fake_settle(s.f, &s.r);
    rig_expect(&a, "432[{\"ok\":false,\"error\":\"store_busy\",\"message\":\"%s\"}]",
               rc_store_fault_text(RC_STORE_BUSY));
    rig_expect_silence(&a);
    rig_hang_up(&a);
    scene_end(&s);
}

Test(stored, refusals)
{
    struct scene s;
    struct rig_client a;

    scene_open(&s, 2);
    rig_socketio(&s.r, &a, 0);
    scene_join(&s, &a, "r");
    s.f->refuse = RC_STORE_BUSY;
    rig_say(&a, "421[\"one\",\"r\",1]");
    fake_settle(s.f, &s.r);
    scene_expect_refusal(&a, 1, "store_busy");
    s.f->refuse = RC_STORE_DOWN;
    rig_say(&a, "422[\"history\",\"r\"]");
    fake_settle(s.f, &s.r);
    scene_expect_refusal(&a, 2, "store_down");
    s.f->refuse = RC_STORE_OK;
    s.f->fail = RC_STORE_FAILED;
    rig_say(&a, "423[\"both\",\"r\",\"r\",1]");
    rig_say(&a, "424[\"history\",\"r\"]");
    fake_settle(s.f, &s.r);
    scene_expect_refusal(&a, 3, "store_failed");
    scene_expect_refusal(&a, 4, "store_failed");
    s.f->fail = RC_STORE_OK;
    rig_say(&a, "425[\"once\",\"r\",1,\"c1\"]");
    rig_say(&a, "426[\"message\",{\"conversationType\":\"private\"}]");
    rig_say(&a, "427[\"group\",\"g\"]");
    fake_settle(s.f, &s.r);
    scene_expect_refusal(&a, 5, "no_user");
    scene_expect_refusal(&a, 6, "no_user");
    scene_expect_refusal(&a, 7, "no_user");
    rig_say(&a, "451-8[\"one\",\"r\",{\"_placeholder\":true,\"num\":0}]");
    rig_frame(&a, RC_WS_BINARY, "x", 1);
    fake_settle(s.f, &s.r);
    scene_expect_refusal(&a, 8, "bad_argument");
    rig_say(&a, "429[\"one\",\"%s\",1]", a.id);
    fake_settle(s.f, &s.r);
    scene_expect_refusal(&a, 9, "bad_room");
    s.r.app->store = NULL;
    rig_say(&a, "4210[\"one\",\"r\",1]");
    rig_settle(&s.r);
    scene_expect_refusal(&a, 10, "no_store");
    rig_expect_silence(&a);
    cr_assert_eq(s.f->nrows, 0u);
    rig_hang_up(&a);
    rig_close(&s.r);
    fake_close(&scene_fake);
}

Test(stored, the_same_client_id_is_sent_once_and_acked_again)
{
    struct scene s;
    struct rig_client a;

    scene_open(&s, 2);
    scene_connect_as(&s, &a, 0, "ann");
    fake_settle(s.f, &s.r);
    scene_join(&s, &a, "r");
    for (unsigned i = 1; i < 4; i++)
        rig_say(&a, "42%u[\"once\",\"r\",%u,\"c1\"]", i, i);
    fake_settle(s.f, &s.r);
    rig_expect(&a, "42[\"kept\",1]");
    for (unsigned i = 1; i < 4; i++)
        rig_expect(&a, "43%u[{\"ok\":true,\"id\":1,\"time\":1700000000000}]", i);
    rig_expect_silence(&a);
    rig_hang_up(&a);
    scene_end(&s);
}

/* ---- history ---- */

Test(stored, history_in_pages_both_ways)
{
    struct scene s;
    struct rig_client a;

    scene_open(&s, 2);
    rig_socketio(&s.r, &a, 0);
    for (unsigned i = 1; i <= 5; i++)
        rig_say(&a, "42[\"one\",\"r\",%u]", i);
    rig_say(&a, "421[\"history\",\"r\",{\"limit\":2}]");
    rig_say(&a, "422[\"history\",\"r\",{\"before\":4,\"limit\":2}]");
    rig_say(&a, "423[\"history\",\"r\",{\"after\":0,\"limit\":1}]");
    rig_say(&a, "424[\"history\",\"other\"]");
    rig_say(&a, "425[\"history\",\"r\",{\"after\":-1}]");
    rig_say(&a, "426[\"history\",\"r\",7]");
    rig_say(&a, "42[\"history\",\"r\"]");
    fake_settle(s.f, &s.r);
#define ROW(n) "{\"id\":" #n ",\"sender_id\":\"\",\"content\":" #n "}"
    rig_expect(&a, "431[{\"ok\":true,\"messages\":[" ROW(4) "," ROW(5) "],\"more\":true}]");
    rig_expect(&a, "432[{\"ok\":true,\"messages\":[" ROW(2) "," ROW(3) "],\"more\":true}]");
    rig_expect(&a, "433[{\"ok\":true,\"messages\":[" ROW(1) "],\"more\":true}]");
    rig_expect(&a, "434[{\"ok\":true,\"messages\":[],\"more\":false}]");
    scene_expect_refusal(&a, 5, "bad_argument");
    scene_expect_refusal(&a, 6, "bad_argument");
    rig_expect_silence(&a);
    rig_hang_up(&a);
    scene_end(&s);
}

/* ---- what is done on the store's thread ---- */

Test(stored, holes_are_filled)
{
    struct rc_template_hole hole[] = {{.at = 1, .kind = RC_HOLE_ID},
                                      {.at = 3, .kind = RC_HOLE_TIME},
                                      {.at = 5, .kind = RC_HOLE_TIME_TEXT}};
    struct rc_buf out = RC_BUF_INIT;

    rc_stored_fill(RC_STR("a0b0c0"), hole, 3, 9007199254740991, 951782400007, &out);
    cr_assert(rc_str_eq(rc_buf_str(&out),
                        RC_STR("a9007199254740991b951782400007c2000-02-29T00:00:00.007Z")));
    rc_buf_reset(&out);
    rc_stored_fill(RC_STR("abc"), NULL, 0, 1, 1, &out);
    cr_assert(rc_str_eq(rc_buf_str(&out), RC_STR("abc")));
    rc_buf_deinit(&out);
}

Test(stored, rows_within_a_budget)
{
    struct rc_store_row row[] = {{1, 0, 9}, {2, 10, 9}, {3, 20, 99}};
    struct rc_store_req req = {.row = row, .nrows = 3};

    cr_assert_eq(rc_stored_rows_within(&req, false, 1), 1u);
    cr_assert_eq(rc_stored_rows_within(&req, false, 20), 2u);
    cr_assert_eq(rc_stored_rows_within(&req, false, 120), 3u);
    cr_assert_eq(rc_stored_rows_within(&req, true, 20), 1u);
    cr_assert_eq(rc_stored_rows_within(&req, true, 110), 2u);
    req.nrows = 0;
    cr_assert_eq(rc_stored_rows_within(&req, true, 110), 0u);
}

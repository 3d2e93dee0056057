/* Messages to users: to all their devices, to groups, and later to those who were away. */
#include "stored_scene.h"

#include "rc/broker/inbox.h"
#include "rc/broker/room.h"
#include "rc/broker/stored.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BODY                                                                                \
    "{\"id\":%u,\"conversation_type\":\"%s\",\"sender_id\":\"ann\",\"receiver_id\":\"%s\"," \
    "\"content\":%s,\"created_at\":\"2023-11-14T22:13:20.%03uZ\",\"client_id\":%s}"

Test(inbox, a_private_message_reaches_all_devices)
{
    for (unsigned n = 1; n < 4; n++) {
        struct scene s;
        struct rig_client a, a2, b[3], c;

        scene_open(&s, n);
        scene_connect_as(&s, &a, 0, "ann");
        scene_connect_as(&s, &a2, n - 1, "ann");
        for (unsigned i = 0; i < 3; i++)
            scene_connect_as(&s, &b[i], i % n, "bob");
        scene_connect_as(&s, &c, 0, "eve");
        fake_settle(s.f, &s.r);
        rig_say(&a, "421[\"message\",{\"conversationType\":\"private\",\"senderId\":\"eve\","
                    "\"receiverId\":\"bob\",\"content\":{\"n\":[1]},\"clientId\":\"c\"}]");
        fake_settle(s.f, &s.r);
        rig_expect(&a, "431[{\"ok\":true,\"id\":1,\"time\":1700000000000}]");
        rig_expect(&a2, "42[\"message\"," BODY "]", 1, "private", "bob", "{\"n\":[1]}", 0,
                   "\"c\"");
        for (unsigned i = 0; i < 3; i++) {
            rig_expect(&b[i], "42[\"message\"," BODY "]", 1, "private", "bob", "{\"n\":[1]}", 0,
                       "\"c\"");
            rig_expect_silence(&b[i]);
        }
        rig_expect_silence(&a);
        rig_expect_silence(&a2);
        rig_expect_silence(&c);
        rig_say(&a, "42[\"message\",{\"conversationType\":\"private\",\"receiverId\":\"ann\","
                    "\"content\":\"me\"}]");
        fake_settle(s.f, &s.r);
        rig_expect(&a2, "42[\"message\"," BODY "]", 2, "private", "ann", "\"me\"", 1, "null");
        rig_expect_silence(&a);
        rig_hang_up(&a);
        rig_hang_up(&a2);
        rig_hang_up(&c);
        for (unsigned i = 0; i < 3; i++)
            rig_hang_up(&b[i]);
        scene_end(&s);
    }
}

Test(inbox, groups)
{
    struct scene s;
    struct rig_client a, b, c;

    scene_open(&s, 3);
    fake_join_group(s.f, "g", "ann");
    fake_join_group(s.f, "g", "bob");
    scene_connect_as(&s, &a, 0, "ann");
    scene_connect_as(&s, &b, 1, "bob");
    scene_connect_as(&s, &c, 2, "eve");
    fake_settle(s.f, &s.r);
    rig_say(&a, "421[\"message\",{\"conversationType\":\"group\",\"receiverId\":\"g\","
                "\"content\":\"hi\"}]");
    rig_say(&a, "422[\"group\",\"g\"]");
    rig_say(&a, "423[\"members\",\"g\"]");
    fake_settle(s.f, &s.r);
    rig_expect(&a, "431[{\"ok\":true,\"id\":1,\"time\":1700000000000}]");
    rig_expect(&a, "432[\"yes\"]");
    rig_expect(&a, "433[{\"ok\":true,\"users\":[\"ann\",\"bob\"]}]");
    rig_expect(&b, "42[\"message\"," BODY "]", 1, "group", "g", "\"hi\"", 0, "null");
    rig_expect_silence(&c);
    rig_say(&c, "421[\"message\",{\"conversationType\":\"group\",\"receiverId\":\"g\","
                "\"content\":\"hi\"}]");
    rig_say(&c, "422[\"group\",\"g\"]");
    rig_say(&c, "423[\"add\",\"h\",\"\"]");
    fake_settle(s.f, &s.r);
    scene_expect_refusal(&c, 1, "not_in_group");
    scene_expect_refusal(&c, 2, "not_in_group");
    scene_expect_refusal(&c, 3, "bad_argument");
    rig_expect_silence(&a);
    rig_hang_up(&a);
    rig_hang_up(&b);
    rig_hang_up(&c);
    scene_end(&s);
}

Test(inbox, messages_that_are_none)
{
    static const struct {
        const char *json, *code;
    } bad[] = {
        {"1", "bad_argument"},
        {"{}", "missing_argument"},
        {"{\"conversationType\":\"other\",\"receiverId\":\"b\",\"content\":1}", "bad_argument"},
        {"{\"conversationType\":\"private\",\"content\":1}", "missing_argument"},
        {"{\"conversationType\":\"private\",\"receiverId\":\"\",\"content\":1}",
         "bad_argument"},
        {"{\"conversationType\":\"private\",\"receiverId\":[1],\"content\":1}", "bad_argument"},
        {"{\"conversationType\":\"private\",\"receiverId\":1}", "missing_argument"},
    };
    struct scene s;
    struct rig_client a;

    scene_open(&s, 1);
    scene_connect_as(&s, &a, 0, "ann");
    fake_settle(s.f, &s.r);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        rig_say(&a, "42%u[\"message\",%s]", i, bad[i].json);
        fake_settle(s.f, &s.r);
        scene_expect_refusal(&a, i, bad[i].code);
    }
    cr_assert_eq(s.f->nrows, 0u);
    rig_hang_up(&a);
    scene_end(&s);
}

/* ---- missed ---- */

static void leave_messages(struct fake_store *f, const char *to, unsigned n)
{
    char text[200]; /* more of them than a socket's buffers take */
    struct rc_store_in in = {.user = RC_STR("ann"),
                             .receiver = rc_str_of(to),
                             .content = rc_str_make(text, sizeof(text)),
                             .format = RC_STORE_TEXT};

    memset(text, 'x', sizeof(text));
    for (unsigned i = 0; i < n; i++)
        fake_leave(f, &in);
}

/* Turns until the pages that are looked at by a timer are through. */
static void settle_pages(struct scene *s)
{
    scene_wait(s, 40);
}

static void say_to_bob(struct rig_client *c)
{
    rig_say(c, "42[\"message\",{\"conversationType\":\"private\",\"receiverId\":\"bob\","
               "\"content\":\"live\"}]");
}

Test(inbox, what_was_missed_comes_once_in_order_before_live_messages)
{
    for (unsigned n = 1; n < 4; n++) {
        struct scene s;
        struct rig_client a, b;
        unsigned id;

        scene_open(&s, n);
        leave_messages(s.f, "bob", 350);
        scene_connect_as(&s, &a, 0, "ann");
        fake_settle(s.f, &s.r);
        scene_connect_as(&s, &b, n - 1, "bob");
        for (unsigned i = 0; i < 40; i++) { /* meanwhile */
            if (i % 8 == 0)
                say_to_bob(&a);
            rig_settle(&s.r);
            (void)fake_run(s.f, 1);
            (void)usleep(2000);
        }
        settle_pages(&s);
        for (id = 1; id <= 355; id++)
            cr_assert_eq(scene_hear_id(&b), id);
        rig_expect_silence(&b);
        rig_hang_up(&b);
        fake_settle(s.f, &s.r);
        scene_connect_as(&s, &b, 0, "bob"); /* the cursor has moved */
        fake_settle(s.f, &s.r);
        rig_expect_silence(&b);
        rig_hang_up(&a);
        rig_hang_up(&b);
        scene_end(&s);
    }
}

Test(inbox, two_devices_that_come_together_get_each_message_once)
{
    struct scene s;
    struct rig_client b[2];

    scene_open(&s, 3);
    leave_messages(s.f, "bob", 30);
    scene_connect_as(&s, &b[0], 1, "bob");
    scene_connect_as(&s, &b[1], 2, "bob");
    settle_pages(&s);
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned id = 1; id <= 30; id++)
            cr_assert_eq(scene_hear_id(&b[i]), id);
        rig_expect_silence(&b[i]);
    }
    rig_hang_up(&b[0]);
    rig_hang_up(&b[1]);
    scene_end(&s);
}

/* A user whose room that shard owns, into name. */
static void find_user(const struct scene *s, unsigned owner, char prefix, char name[16])
{
    struct rc_buf list = RC_BUF_INIT;
    uint64_t owners = 0;

    for (unsigned i = 0; owners != (uint64_t)1 << owner; i++) {
        (void)snprintf(name, 16, "%c%u", prefix, i);
        rc_buf_reset(&list);
        owners = rc_inbox_list(s->r.app, 0, s->r.n, rc_str_of(name), false, &list);
    }
    rc_buf_deinit(&list);
}

/* Up to the owner, shard 1, which has handed it out. */
static void send_to(struct scene *s, struct rig_client *from, const char *user)
{
    rig_say(from,
            "42[\"message\",{\"conversationType\":\"private\",\"receiverId\":\"%s\","
            "\"content\":\"live\"}]",
            user);
    rig_turn(&s->r, 0);
    cr_assert_eq(fake_run(s->f, 1), 1u);
    rig_turn(&s->r, 1);
    rig_turn(&s->r, 0); /* the sender may go on */
}

/* A device ends; the owner has handed it messages that it does not get, and learns that only when
 * another device has joined, which has got some of them. */
Test(inbox, what_a_device_that_was_gone_did_not_get_comes_to_the_next)
{
    for (unsigned got = 0; got < 3; got++) {
        struct scene s;
        struct rig_client a, b, b2;
        char user[16], sender[16];
        bool heard[5] = {false};

        scene_open(&s, 3);
        find_user(&s, 1, 'u', user);
        find_user(&s, 1, 's', sender); /* no other owner has to be waited for */
        scene_connect_as(&s, &a, 0, sender);
        scene_connect_as(&s, &b, 2, user);
        fake_settle(s.f, &s.r);
        send_to(&s, &a, user);
        fake_settle(s.f, &s.r);
        cr_assert_eq(scene_hear_id(&b), 1u);
        scene_come_as(&s, &b2, 0, user);
        send_to(&s, &a, user); /* 2: on its way to b */
        rig_say(&b2, "40");
        rig_turn(&s.r, 0);
        rig_turn(&s.r, 1); /* b2 has joined */
        for (unsigned i = 0; i < got; i++)
            send_to(&s, &a, user);
        rig_hang_up(&b);
        rig_turn(&s.r, 2);
        fake_settle(s.f, &s.r);
        scene_expect_connected(&b2);
        for (unsigned i = 2; i < 3 + got; i++) {
            unsigned id = scene_hear_id(&b2);

            cr_assert(id >= 2 && id < 3 + got && !heard[id], "%u", id);
            heard[id] = true;
        }
        rig_expect_silence(&b2);
        send_to(&s, &a, user);
        fake_settle(s.f, &s.r);
        cr_assert_eq(scene_hear_id(&b2), 3 + got);
        rig_hang_up(&a);
        rig_hang_up(&b2);
        scene_close(&s);
        cr_assert_eq(s.f->cursor[s.f->ncursors - 1].id, 3 + got);
        fake_close(&scene_fake);
    }
}

/* A device that does not read gets no more pages than its queue takes. */
Test(inbox, pages_wait_for_a_slow_device)
{
    struct scene s;
    struct rig_client b;

    scene_open(&s, 2);
    leave_messages(s.f, "bob", 1900);
    scene_connect_as(&s, &b, 0, "bob");
    settle_pages(&s);
    for (unsigned id = 1; id <= 1900; id++) {
        unsigned got = scene_hear_id(&b), tries = 0;

        while (got == 0 && tries++ < 200) {
            settle_pages(&s);
            got = scene_hear_id(&b);
        }
        cr_assert_eq(got, id);
    }
    rig_expect_silence(&b);
    rig_hang_up(&b);
    scene_end(&s);
}

/* Own messages are in no page. They are held back for a while; when they are too many to wait, they must
 * not move the cursor past what is still to come. */
Test(inbox, own_messages_meanwhile_lose_nothing)
{
    for (unsigned n = 1; n < 3; n++) {
        struct scene s;
        struct rig_client b, other;
        unsigned missed = 0, own = 0;

        scene_open(&s, n);
        leave_messages(s.f, "bob", 1900);
        scene_connect_as(&s, &b, 0, "bob");
        scene_connect_as(&s, &other, n - 1, "bob");
        settle_pages(&s); /* as far as both take without reading */
        for (unsigned i = 0; i < 40; i++) {
            rig_say(&b,
                    "42[\"message\",{\"conversationType\":\"private\",\"receiverId\":"
                    "\"ann\",\"content\":%u}]",
                    i);
            fake_settle(s.f, &s.r);
        }
        (void)usleep(1100000); /* the cursor is stored */
        for (unsigned tries = 0; tries < 200 && (missed != 1900 || own != 40); tries++) {
            unsigned id;

            settle_pages(&s);
            while (scene_hear_id(&b) != 0)
                continue;
            while ((id = scene_hear_id(&other)) != 0)
                cr_assert_eq(id, id > 1900 ? 1900 + ++own : ++missed);
        }
        cr_assert_eq(missed, 1900u);
        cr_assert_eq(own, 40u);
        rig_hang_up(&b);
        rig_hang_up(&other);
        scene_end(&s);
    }
}

Test(inbox, a_message_to_oneself_meanwhile_reaches_the_other_devices)
{
    struct scene s;
    struct rig_client b, other;

    scene_open(&s, 2);
    leave_messages(s.f, "bob", 150);
    scene_connect_as(&s, &b, 0, "bob");
    scene_connect_as(&s, &other, 1, "bob");
    cr_assert_eq(fake_run(s.f, 1), 1u); /* the first page */
    rig_settle(&s.r);
    say_to_bob(&b);
    rig_settle(&s.r);
    cr_assert_eq(fake_run(s.f, 1), 1u);
    settle_pages(&s);
    for (unsigned id = 1; id <= 151; id++)
        cr_assert_eq(scene_hear_id(&other), id);
    rig_expect_silence(&other);
    rig_hang_up(&b);
    rig_hang_up(&other);
    scene_end(&s);
}

Test(inbox, what_the_cursor_was_not_told_comes_again)
{
    struct scene s;
    struct rig_client b;

    scene_open(&s, 2);
    leave_messages(s.f, "bob", 5);
    scene_connect_as(&s, &b, 0, "bob");
    fake_settle(s.f, &s.r);
    for (unsigned id = 1; id <= 5; id++)
        cr_assert_eq(scene_hear_id(&b), id);
    s.f->refuse = RC_STORE_DOWN; /* as if the process had been killed */
    rig_hang_up(&b);
    rig_settle(&s.r);
    rig_close(&s.r);
    s.f->refuse = RC_STORE_OK;
    scene_open(&s, 2);
    scene_connect_as(&s, &b, 1, "bob");
    fake_settle(s.f, &s.r);
    for (unsigned id = 1; id <= 5; id++)
        cr_assert_eq(scene_hear_id(&b), id);
    rig_hang_up(&b);
    scene_end(&s);
}

Test(inbox, the_cursor_is_stored_once_a_second_at_most)
{
    struct scene s;
    struct rig_client a, b;

    scene_open(&s, 2);
    scene_connect_as(&s, &a, 0, "ann");
    scene_connect_as(&s, &b, 1, "bob");
    fake_settle(s.f, &s.r);
    for (unsigned i = 0; i < 50; i++) {
        say_to_bob(&a);
        fake_settle(s.f, &s.r);
    }
    cr_assert_leq(s.f->cursors,
                  4u); /* of two users, at the first moment and perhaps one later */
    rig_hang_up(&a);
    rig_hang_up(&b);
    fake_settle(s.f, &s.r);
    cr_assert_eq(s.f->cursor[0].id, 50u);
    cr_assert_eq(s.f->cursor[1].id, 50u);
    scene_end(&s);
}

Test(inbox, a_store_that_was_down_is_asked_again)
{
    struct scene s;
    struct rig_client b;

    scene_open(&s, 2);
    leave_messages(s.f, "bob", 3);
    s.f->refuse = RC_STORE_DOWN;
    scene_connect_as(&s, &b, 0, "bob");
    fake_settle(s.f, &s.r);
    rig_expect_silence(&b);
    s.f->refuse = RC_STORE_OK;
    s.f->fail = RC_STORE_FAILED;
    for (unsigned i = 0; i < 30; i++) {
        (void)usleep(40000);
        fake_settle(s.f, &s.r);
    }
    rig_expect_silence(&b);
    s.f->fail = RC_STORE_OK;
    for (unsigned i = 0; i < 30; i++) {
        (void)usleep(40000);
        fake_settle(s.f, &s.r);
    }
    for (unsigned id = 1; id <= 3; id++)
        cr_assert_eq(scene_hear_id(&b), id);
    rig_hang_up(&b);
    scene_end(&s);
}

/* Nobody was told of a message, and yet it is stored: its receivers get it, once, and who repeats it is
 * told that it is there. */
Test(inbox, what_was_stored_unknown_comes_later)
{
    static const char to_bob[] = "42%u[\"message\",{\"conversationType\":\"private\","
                                 "\"receiverId\":\"bob\",\"content\":1,\"clientId\":\"c1\"}]";
    static const char to_group[] = "42%u[\"message\",{\"conversationType\":\"group\","
                                   "\"receiverId\":\"g\",\"content\":1,\"clientId\":\"c2\"}]";

    for (unsigned n = 1; n < 4; n++) {
        struct scene s;
        struct rig_client a, b[2], c;

        scene_open(&s, n);
        fake_join_group(s.f, "g", "ann");
        fake_join_group(s.f, "g", "bob");
        fake_join_group(s.f, "g", "cid");
        scene_connect_as(&s, &a, 0, "ann");
        scene_connect_as(&s, &b[0], 0, "bob");
        scene_connect_as(&s, &b[1], n - 1, "bob");
        scene_connect_as(&s, &c, n - 1, "cid");
        fake_settle(s.f, &s.r);
        s.f->fail = RC_STORE_UNKNOWN;
        rig_say(&a, to_bob, 1u);
        fake_settle(s.f, &s.r);
        rig_say(&a, to_group, 2u);
        fake_settle(s.f, &s.r);
        for (unsigned i = 0; i < 2; i++) {
            cr_assert(rig_hear(&a));
            cr_assert_not_null(strstr((const char *)a.message.data, "store_unknown"));
        }
        rig_expect_silence(&b[0]);
        s.f->fail = RC_STORE_OK;
        rig_say(&a, to_bob, 3u);
        rig_say(&a, to_group, 4u);
        (void)usleep(1100000);
        settle_pages(&s);
        rig_expect(&a, "433[{\"ok\":true,\"id\":1,\"time\":1700000000000}]");
        rig_expect(&a, "434[{\"ok\":true,\"id\":2,\"time\":1700000000001}]");
        rig_expect_silence(&a);
        say_to_bob(&a);
        settle_pages(&s);
        for (unsigned i = 0; i < 2; i++) {
            for (unsigned id = 1; id <= 3; id++)
                cr_assert_eq(scene_hear_id(&b[i]), id);
            rig_expect_silence(&b[i]);
        }
        cr_assert_eq(scene_hear_id(&c), 2u);
        rig_expect_silence(&c);
        rig_hang_up(&a);
        rig_hang_up(&b[0]);
        rig_hang_up(&b[1]);
        rig_hang_up(&c);
        scene_end(&s);
    }
}

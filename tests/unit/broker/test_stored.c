/* Stored messages: their way through a store to rooms and users, with a store that answers when the
 * test says so. */
#include "fake_store.h"

#include "rc/auth/sign.h"
#include "rc/broker/inbox.h"
#include "rc/broker/room.h"
#include "rc/broker/stored.h"
#include "rc/net/ws.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char ini[] =
    "[auth]\nmode = optional\nsecret = 0123456789abcdef0123456789abcdef\n"
    "[store]\nengine = sqlite\npath = /nowhere/x.db\n"
    "[limits]\nmax_queue = 64KB\n"
    "[socketio]\nmax_payload = 8KB\n"
    "[event join]\njoin = {1}\n"
    "[event say]\nemit = room {1}: say {2}\n"
    "[event keep]\nstore = room {1}: kept {message.id} \"at {message.time}\" {2}\n"
    "[event one]\nstore = room {1}: kept {2}\n"
    "[event once]\nstore = room {1} once {3}: kept {2}\n"
    "[event others]\nstore = room {1} except sender: kept {2}\n"
    "[event later]\nstore = later room {1}: kept {2}\n"
    "[event both]\nstore = room {1}: kept {3}\nemit = room {2}: said {message.id}\n"
    "ack = {message.id} {room}\n"
    "[event message]\nmessage = {1}\n"
    "[event history]\nhistory = room {1} {2?}\n"
    "[event group]\nrequire = group {1}\nack = \"yes\"\n"
    "[event members]\ngroup = list {1}\n"
    "[event add]\ngroup = add {1} {2}\n";

struct scene {
    struct rig r;
    struct fake_store *f;
};

static struct fake_store fake;

static void open_scene(struct scene *s, unsigned nshards)
{
    rig_open(&s->r, nshards, ini);
    s->f = &fake;
    fake_open(s->f, &s->r);
}

/* The clients have hung up, or are about to be cut off. */
static void close_scene(struct scene *s)
{
    fake_settle(s->f, &s->r);
    rig_close(&s->r);
}

/* A handshake with a token, without a CONNECT. */
static void come_as(struct scene *s, struct rig_client *c, unsigned shard, const char *user)
{
    struct rc_signer signer = {0};
    struct rc_buf target = RC_BUF_INIT, claims = RC_BUF_INIT;
    char why[RC_KEY_WHY];

    cr_assert_eq(rc_signer_secret(&signer, RC_STR("0123456789abcdef0123456789abcdef"), why),
                 RC_OK);
    rc_buf_printf(&claims, "{\"sub\":\"%s\"}", user);
    rc_buf_putz(&target, "/socket.io/?EIO=4&transport=websocket&token=");
    cr_assert_eq(rc_sign(&signer, RC_ALG_HS256, RC_STR("{\"alg\":\"HS256\"}"),
                         rc_buf_str(&claims), &target),
                 RC_OK);
    rc_buf_putc(&target, '\0');
    rig_websocket(&s->r, c, shard, (const char *)target.data);
    cr_assert(rig_hear(c));
    rc_buf_deinit(&target);
    rc_buf_deinit(&claims);
    rc_signer_deinit(&signer);
}

static void expect_connected(struct rig_client *c)
{
    cr_assert(rig_hear(c));
    cr_assert_eq(strncmp((const char *)c->message.data, "40{", 3), 0);
}

static void connect_as(struct scene *s, struct rig_client *c, unsigned shard, const char *user)
{
    come_as(s, c, shard, user);
    rig_say(c, "40");
    rig_settle(&s->r);
    expect_connected(c);
}

static void join(struct scene *s, struct rig_client *c, const char *room)
{
    rig_say(c, "42[\"join\",\"%s\"]", room);
    rig_settle(&s->r);
}

Test(stored, is_sent_and_acked_after_the_commit)
{
    for (unsigned owner = 0; owner < 3; owner++) {
        struct scene s;
        struct rig_client a, b;
        const char *room;

        open_scene(&s, 3);
        room = rig_room(&s.r, owner, 0);
        rig_socketio(&s.r, &a, 0);
        rig_socketio(&s.r, &b, 1);
        join(&s, &a, room);
        join(&s, &b, room);
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
        close_scene(&s);
        fake_close(&fake);
    }
}

Test(stored, a_string_alone_is_kept_as_text)
{
    struct scene s;
    struct rig_client a;

    open_scene(&s, 1);
    rig_socketio(&s.r, &a, 0);
    rig_say(&a, "42[\"one\",\"/x\",\"h\\u00e9 \\\"\"]");
    fake_settle(s.f, &s.r);
    cr_assert_eq(s.f->row[0]->in.format, RC_STORE_TEXT);
    cr_assert(rc_str_eq(s.f->row[0]->in.content, RC_STR("h\xc3\xa9 \"")));
    cr_assert(rc_str_eq(s.f->row[0]->in.receiver, RC_STR("/,/x")), "apart from /x,y");
    rig_hang_up(&a);
    close_scene(&s);
    fake_close(&fake);
}

/* Whatever the owners, what a sender does comes to a member in the order in which it was done. */
Test(stored, nothing_of_the_sender_overtakes)
{
    for (unsigned i = 0; i < 27; i++) {
        unsigned o1 = i % 3, o2 = i / 3 % 3, sender = i / 9;
        const char *first, *second;
        struct scene s;
        struct rig_client a, b;

        open_scene(&s, 3);
        first = rig_room(&s.r, o1, 0);
        second = rig_room(&s.r, o2, 1);
        rig_socketio(&s.r, &a, sender);
        rig_socketio(&s.r, &b, 2);
        join(&s, &b, first);
        join(&s, &b, second);
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
        close_scene(&s);
        fake_close(&fake);
    }
}

Test(stored, ids_are_in_the_order_of_delivery)
{
    struct scene s;
    struct rig_client c[3];
    const char *room;
    unsigned last = 0;

    open_scene(&s, 3);
    room = rig_room(&s.r, 1, 0);
    for (unsigned i = 0; i < 3; i++) {
        rig_socketio(&s.r, &c[i], i);
        join(&s, &c[i], room);
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
    close_scene(&s);
    fake_close(&fake);
}

Test(stored, a_sender_that_has_gone_is_no_hindrance)
{
    struct scene s;
    struct rig_client a, b;
    const char *room;

    open_scene(&s, 2);
    room = rig_room(&s.r, 1, 0);
    rig_socketio(&s.r, &a, 0);
    rig_socketio(&s.r, &b, 1);
    join(&s, &b, room);
    rig_say(&a, "421[\"one\",\"%s\",1]", room);
    rig_turn(&s.r, 0);
    rig_hang_up(&a);
    rig_settle(&s.r);
    fake_settle(s.f, &s.r);
    rig_expect(&b, "42[\"kept\",1]");
    rig_hang_up(&b);
    close_scene(&s);
    fake_close(&fake);
}

Test(stored, later_does_not_wait)
{
    struct scene s;
    struct rig_client a;

    open_scene(&s, 2);
    rig_socketio(&s.r, &a, 0);
    join(&s, &a, "r");
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
    close_scene(&s);
    fake_close(&fake);
}

static void expect_refusal(struct rig_client *c, unsigned ack, const char *code)
{
    char start[64];

    cr_assert(rig_hear(c));
    (void)snprintf(start, sizeof(start), "43%u[{\"ok\":false,\"error\":\"%s\",", ack, code);
    cr_assert_eq(strncmp((const char *)c->message.data, start, strlen(start)), 0, "%s",
                 (const char *)c->message.data);
}

Test(stored, refusals)
{
    struct scene s;
    struct rig_client a;

    open_scene(&s, 2);
    rig_socketio(&s.r, &a, 0);
    join(&s, &a, "r");
    s.f->refuse = RC_STORE_BUSY;
    rig_say(&a, "421[\"one\",\"r\",1]");
    fake_settle(s.f, &s.r);
    expect_refusal(&a, 1, "store_busy");
    s.f->refuse = RC_STORE_DOWN;
    rig_say(&a, "422[\"history\",\"r\"]");
    fake_settle(s.f, &s.r);
    expect_refusal(&a, 2, "store_down");
    s.f->refuse = RC_STORE_OK;
    s.f->fail = RC_STORE_FAILED;
    rig_say(&a, "423[\"both\",\"r\",\"r\",1]");
    rig_say(&a, "424[\"history\",\"r\"]");
    fake_settle(s.f, &s.r);
    expect_refusal(&a, 3, "store_failed");
    expect_refusal(&a, 4, "store_failed");
    s.f->fail = RC_STORE_OK;
    rig_say(&a, "425[\"once\",\"r\",1,\"c1\"]");
    rig_say(&a, "426[\"message\",{\"conversationType\":\"private\"}]");
    rig_say(&a, "427[\"group\",\"g\"]");
    fake_settle(s.f, &s.r);
    expect_refusal(&a, 5, "no_user");
    expect_refusal(&a, 6, "no_user");
    expect_refusal(&a, 7, "no_user");
    rig_say(&a, "451-8[\"one\",\"r\",{\"_placeholder\":true,\"num\":0}]");
    rig_frame(&a, RC_WS_BINARY, "x", 1);
    fake_settle(s.f, &s.r);
    expect_refusal(&a, 8, "bad_argument");
    rig_say(&a, "429[\"one\",\"%s\",1]", a.id);
    fake_settle(s.f, &s.r);
    expect_refusal(&a, 9, "bad_room");
    s.r.app->store = NULL;
    rig_say(&a, "4210[\"one\",\"r\",1]");
    rig_settle(&s.r);
    expect_refusal(&a, 10, "no_store");
    rig_expect_silence(&a);
    cr_assert_eq(s.f->nrows, 0u);
    rig_hang_up(&a);
    rig_close(&s.r);
    fake_close(&fake);
}

Test(stored, the_same_client_id_is_sent_once_and_acked_again)
{
    struct scene s;
    struct rig_client a;

    open_scene(&s, 2);
    connect_as(&s, &a, 0, "ann");
    fake_settle(s.f, &s.r);
    join(&s, &a, "r");
    for (unsigned i = 1; i < 4; i++)
        rig_say(&a, "42%u[\"once\",\"r\",%u,\"c1\"]", i, i);
    fake_settle(s.f, &s.r);
    rig_expect(&a, "42[\"kept\",1]");
    for (unsigned i = 1; i < 4; i++)
        rig_expect(&a, "43%u[{\"ok\":true,\"id\":1,\"time\":1700000000000}]", i);
    rig_expect_silence(&a);
    rig_hang_up(&a);
    close_scene(&s);
    fake_close(&fake);
}

/* ---- messages to users ---- */

#define BODY                                                                                \
    "{\"id\":%u,\"conversation_type\":\"%s\",\"sender_id\":\"ann\",\"receiver_id\":\"%s\"," \
    "\"content\":%s,\"created_at\":\"2023-11-14T22:13:20.%03uZ\",\"client_id\":%s}"

Test(stored, a_private_message_reaches_all_devices)
{
    for (unsigned n = 1; n < 4; n++) {
        struct scene s;
        struct rig_client a, a2, b[3], c;

        open_scene(&s, n);
        connect_as(&s, &a, 0, "ann");
        connect_as(&s, &a2, n - 1, "ann");
        for (unsigned i = 0; i < 3; i++)
            connect_as(&s, &b[i], i % n, "bob");
        connect_as(&s, &c, 0, "eve");
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
        close_scene(&s);
        fake_close(&fake);
    }
}

Test(stored, groups)
{
    struct scene s;
    struct rig_client a, b, c;

    open_scene(&s, 3);
    fake_join_group(s.f, "g", "ann");
    fake_join_group(s.f, "g", "bob");
    connect_as(&s, &a, 0, "ann");
    connect_as(&s, &b, 1, "bob");
    connect_as(&s, &c, 2, "eve");
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
    expect_refusal(&c, 1, "not_in_group");
    expect_refusal(&c, 2, "not_in_group");
    expect_refusal(&c, 3, "bad_argument");
    rig_expect_silence(&a);
    rig_hang_up(&a);
    rig_hang_up(&b);
    rig_hang_up(&c);
    close_scene(&s);
    fake_close(&fake);
}

Test(stored, messages_that_are_none)
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

    open_scene(&s, 1);
    connect_as(&s, &a, 0, "ann");
    fake_settle(s.f, &s.r);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        rig_say(&a, "42%u[\"message\",%s]", i, bad[i].json);
        fake_settle(s.f, &s.r);
        expect_refusal(&a, i, bad[i].code);
    }
    cr_assert_eq(s.f->nrows, 0u);
    rig_hang_up(&a);
    close_scene(&s);
    fake_close(&fake);
}

/* ---- missed ---- */

/* Puts messages to a user into the store, past the broker. */
static void leave_messages(struct fake_store *f, const char *to, unsigned n)
{
    char text[200]; /* more of them than a socket's buffers take */

    memset(text, 'x', sizeof(text));
    for (unsigned i = 0; i < n; i++) {
        struct rc_store_in in = {.user = RC_STR("ann"),
                                 .receiver = rc_str_of(to),

                                 .content = rc_str_make(text, sizeof(text)),
                                 .format = RC_STORE_TEXT};
        struct rc_store_req *row = rc_store_req_new(RC_STORE_PUT, &in, 0);

        cr_assert_lt(f->nrows, (unsigned)FAKE_MAX);
        row->id = f->nrows + 1;
        f->row[f->nrows++] = row;
    }
}

/* The next message's id, 0: silence. */
static unsigned hear_id(struct rig_client *c)
{
    unsigned id = 0;

    if (!rig_hear(c))
        return 0;
    cr_assert_eq(sscanf((const char *)c->message.data, "42[\"message\",{\"id\":%u,", &id), 1,
                 "%s", (const char *)c->message.data);
    return id;
}

/* Turns until the pages that are looked at by a timer are through. */
static void settle_pages(struct scene *s)
{
    for (unsigned i = 0; i < 40; i++) {
        fake_settle(s->f, &s->r);
        (void)usleep(1000);
    }
}

static void say_to_bob(struct rig_client *c)
{
    rig_say(c, "42[\"message\",{\"conversationType\":\"private\",\"receiverId\":\"bob\","
               "\"content\":\"live\"}]");
}

Test(stored, what_was_missed_comes_once_in_order_before_live_messages)
{
    for (unsigned n = 1; n < 4; n++) {
        struct scene s;
        struct rig_client a, b;
        unsigned id;

        open_scene(&s, n);
        leave_messages(s.f, "bob", 350);
        connect_as(&s, &a, 0, "ann");
        fake_settle(s.f, &s.r);
        connect_as(&s, &b, n - 1, "bob");
        for (unsigned i = 0; i < 40; i++) { /* meanwhile */
            if (i % 8 == 0)
                say_to_bob(&a);
            rig_settle(&s.r);
            (void)fake_run(s.f, 1);
            (void)usleep(2000);
        }
        settle_pages(&s);
        for (id = 1; id <= 355; id++)
            cr_assert_eq(hear_id(&b), id);
        rig_expect_silence(&b);
        rig_hang_up(&b);
        fake_settle(s.f, &s.r);
        connect_as(&s, &b, 0, "bob"); /* the cursor has moved */
        fake_settle(s.f, &s.r);
        rig_expect_silence(&b);
        rig_hang_up(&a);
        rig_hang_up(&b);
        close_scene(&s);
        fake_close(&fake);
    }
}

Test(stored, two_devices_that_come_together_get_each_message_once)
{
    struct scene s;
    struct rig_client b[2];

    open_scene(&s, 3);
    leave_messages(s.f, "bob", 30);
    connect_as(&s, &b[0], 1, "bob");
    connect_as(&s, &b[1], 2, "bob");
    settle_pages(&s);
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned id = 1; id <= 30; id++)
            cr_assert_eq(hear_id(&b[i]), id);
        rig_expect_silence(&b[i]);
    }
    rig_hang_up(&b[0]);
    rig_hang_up(&b[1]);
    close_scene(&s);
    fake_close(&fake);
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
Test(stored, what_a_device_that_was_gone_did_not_get_comes_to_the_next)
{
    for (unsigned got = 0; got < 3; got++) {
        struct scene s;
        struct rig_client a, b, b2;
        char user[16], sender[16];
        bool heard[5] = {false};

        open_scene(&s, 3);
        find_user(&s, 1, 'u', user);
        find_user(&s, 1, 's', sender); /* no other owner has to be waited for */
        connect_as(&s, &a, 0, sender);
        connect_as(&s, &b, 2, user);
        fake_settle(s.f, &s.r);
        send_to(&s, &a, user);
        fake_settle(s.f, &s.r);
        cr_assert_eq(hear_id(&b), 1u);
        come_as(&s, &b2, 0, user);
        send_to(&s, &a, user); /* 2: on its way to b */
        rig_say(&b2, "40");
        rig_turn(&s.r, 0);
        rig_turn(&s.r, 1); /* b2 has joined */
        for (unsigned i = 0; i < got; i++)
            send_to(&s, &a, user);
        rig_hang_up(&b);
        rig_turn(&s.r, 2);
        fake_settle(s.f, &s.r);
        expect_connected(&b2);
        for (unsigned i = 2; i < 3 + got; i++) {
            unsigned id = hear_id(&b2);

            cr_assert(id >= 2 && id < 3 + got && !heard[id], "%u", id);
            heard[id] = true;
        }
        rig_expect_silence(&b2);
        send_to(&s, &a, user);
        fake_settle(s.f, &s.r);
        cr_assert_eq(hear_id(&b2), 3 + got);
        rig_hang_up(&a);
        rig_hang_up(&b2);
        close_scene(&s);
        cr_assert_eq(s.f->cursor[s.f->ncursors - 1].id, 3 + got);
        fake_close(&fake);
    }
}

/* A device that does not read gets no more pages than its queue takes. */
Test(stored, pages_wait_for_a_slow_device)
{
    struct scene s;
    struct rig_client b;

    open_scene(&s, 2);
    leave_messages(s.f, "bob", 1900);
    connect_as(&s, &b, 0, "bob");
    settle_pages(&s);
    for (unsigned id = 1; id <= 1900; id++) {
        unsigned got = hear_id(&b), tries = 0;

        while (got == 0 && tries++ < 200) {
            settle_pages(&s);
            got = hear_id(&b);
        }
        cr_assert_eq(got, id);
    }
    rig_expect_silence(&b);
    rig_hang_up(&b);
    close_scene(&s);
    fake_close(&fake);
}

/* Own messages are in no page. They are held back for a while; when they are too many to wait, they must
 * not move the cursor past what is still to come. */
Test(stored, own_messages_meanwhile_lose_nothing)
{
    for (unsigned n = 1; n < 3; n++) {
        struct scene s;
        struct rig_client b, other;
        unsigned missed = 0, own = 0;

        open_scene(&s, n);
        leave_messages(s.f, "bob", 1900);
        connect_as(&s, &b, 0, "bob");
        connect_as(&s, &other, n - 1, "bob");
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
            while (hear_id(&b) != 0)
                continue;
            while ((id = hear_id(&other)) != 0)
                cr_assert_eq(id, id > 1900 ? 1900 + ++own : ++missed);
        }
        cr_assert_eq(missed, 1900u);
        cr_assert_eq(own, 40u);
        rig_hang_up(&b);
        rig_hang_up(&other);
        close_scene(&s);
        fake_close(&fake);
    }
}

Test(stored, a_message_to_oneself_meanwhile_reaches_the_other_devices)
{
    struct scene s;
    struct rig_client b, other;

    open_scene(&s, 2);
    leave_messages(s.f, "bob", 150);
    connect_as(&s, &b, 0, "bob");
    connect_as(&s, &other, 1, "bob");
    cr_assert_eq(fake_run(s.f, 1), 1u); /* the first page */
    rig_settle(&s.r);
    say_to_bob(&b);
    rig_settle(&s.r);
    cr_assert_eq(fake_run(s.f, 1), 1u);
    settle_pages(&s);
    for (unsigned id = 1; id <= 151; id++)
        cr_assert_eq(hear_id(&other), id);
    rig_expect_silence(&other);
    rig_hang_up(&b);
    rig_hang_up(&other);
    close_scene(&s);
    fake_close(&fake);
}

Test(stored, what_the_cursor_was_not_told_comes_again)
{
    struct scene s;
    struct rig_client b;

    open_scene(&s, 2);
    leave_messages(s.f, "bob", 5);
    connect_as(&s, &b, 0, "bob");
    fake_settle(s.f, &s.r);
    for (unsigned id = 1; id <= 5; id++)
        cr_assert_eq(hear_id(&b), id);
    s.f->refuse = RC_STORE_DOWN; /* as if the process had been killed */
    rig_hang_up(&b);
    rig_settle(&s.r);
    rig_close(&s.r);
    s.f->refuse = RC_STORE_OK;
    open_scene(&s, 2);
    connect_as(&s, &b, 1, "bob");
    fake_settle(s.f, &s.r);
    for (unsigned id = 1; id <= 5; id++)
        cr_assert_eq(hear_id(&b), id);
    rig_hang_up(&b);
    close_scene(&s);
    fake_close(&fake);
}

Test(stored, the_cursor_is_stored_once_a_second_at_most)
{
    struct scene s;
    struct rig_client a, b;

    open_scene(&s, 2);
    connect_as(&s, &a, 0, "ann");
    connect_as(&s, &b, 1, "bob");
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
    close_scene(&s);
    fake_close(&fake);
}

Test(stored, a_store_that_was_down_is_asked_again)
{
    struct scene s;
    struct rig_client b;

    open_scene(&s, 2);
    leave_messages(s.f, "bob", 3);
    s.f->refuse = RC_STORE_DOWN;
    connect_as(&s, &b, 0, "bob");
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
        cr_assert_eq(hear_id(&b), id);
    rig_hang_up(&b);
    close_scene(&s);
    fake_close(&fake);
}

/* Nobody was told of a message, and yet it is stored: its receivers get it, once, and who repeats it is
 * told that it is there. */
Test(stored, what_was_stored_unknown_comes_later)
{
    static const char to_bob[] = "42%u[\"message\",{\"conversationType\":\"private\","
                                 "\"receiverId\":\"bob\",\"content\":1,\"clientId\":\"c1\"}]";
    static const char to_group[] = "42%u[\"message\",{\"conversationType\":\"group\","
                                   "\"receiverId\":\"g\",\"content\":1,\"clientId\":\"c2\"}]";

    for (unsigned n = 1; n < 4; n++) {
        struct scene s;
        struct rig_client a, b[2], c;

        open_scene(&s, n);
        fake_join_group(s.f, "g", "ann");
        fake_join_group(s.f, "g", "bob");
        fake_join_group(s.f, "g", "cid");
        connect_as(&s, &a, 0, "ann");
        connect_as(&s, &b[0], 0, "bob");
        connect_as(&s, &b[1], n - 1, "bob");
        connect_as(&s, &c, n - 1, "cid");
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
                cr_assert_eq(hear_id(&b[i]), id);
            rig_expect_silence(&b[i]);
        }
        cr_assert_eq(hear_id(&c), 2u);
        rig_expect_silence(&c);
        rig_hang_up(&a);
        rig_hang_up(&b[0]);
        rig_hang_up(&b[1]);
        rig_hang_up(&c);
        close_scene(&s);
        fake_close(&fake);
    }
}

/* ---- history ---- */

Test(stored, history_in_pages_both_ways)
{
    struct scene s;
    struct rig_client a;

    open_scene(&s, 2);
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
    expect_refusal(&a, 5, "bad_argument");
    expect_refusal(&a, 6, "bad_argument");
    rig_expect_silence(&a);
    rig_hang_up(&a);
    close_scene(&s);
    fake_close(&fake);
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

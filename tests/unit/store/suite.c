/* suite.c - what holds for each engine. */
#include "bed.h"
#include "rc/base/mem.h"
#include "rc/base/timer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define S RC_STR

/* A message into a room. */
static struct rc_store_in into(const char *room, const char *content)
{
    return (struct rc_store_in){
        .conversation = RC_STORE_ROOM,
        .user = S("ann"),
        .receiver = rc_str_of(room),
        .content = rc_str_of(content),
        .time_ms = 1700000000123,
    };
}

/* ---- ids, order, repeats ---- */

/* What waits is one batch, and comes back in the order of the ids. */
static void group_commit(const struct bed_engine *e)
{
    struct bed k;
    struct rc_store_req *req[300];
    uint64_t batches;

    bed_make(&k, e, NULL);
    for (unsigned i = 0; i < 300; i++) {
        struct rc_store_in in = into("lobby", "hi");

        req[i] = bed_new(&k, RC_STORE_PUT, &in);
        cr_assert_eq(rc_store_submit(k.port, i % BED_PRODUCERS, req[i]), RC_OK);
    }
    batches = bed_stats(&k).batches;
    bed_start(&k);
    bed_await(&k, 300);
    cr_assert_eq(bed_stats(&k).batches, batches + 1);
    cr_assert_eq(bed_stats(&k).stored, 300u);
    for (unsigned i = 0; i < 300; i++) {
        cr_assert_eq(k.done[i]->fault, RC_STORE_OK);
        cr_assert_not(k.done[i]->repeated);
        cr_assert_eq(k.done[i]->time_ms, 1700000000123);
        cr_assert_eq(k.done[i]->id, i + 1);
    }
    /* Each shard's in its own order. */
    for (unsigned i = BED_PRODUCERS; i < 300; i++)
        cr_assert_lt(req[i - BED_PRODUCERS]->id, req[i]->id);
    bed_close(&k);
}

static void repeats(const struct bed_engine *e)
{
    struct bed k;
    struct rc_store_in in = into("lobby", "once"), other = into("lobby", "another");
    const struct rc_store_req *a, *b, *c, *d, *nameless;
    struct rc_store_req *history;

    in.client_id = other.client_id = S("c-1");
    other.user = S("bob");
    bed_make(&k, e, NULL);
    a = bed_submit(&k, RC_STORE_PUT, in);
    in.time_ms += 5000;
    b = bed_submit(&k, RC_STORE_PUT, in); /* of the same batch */
    d = bed_submit(&k, RC_STORE_PUT, other);
    bed_start(&k);
    bed_await(&k, 3);
    cr_assert_not(a->repeated);
    cr_assert(b->repeated);
    cr_assert_eq(b->id, a->id);
    cr_assert_eq(b->time_ms, 1700000000123);
    cr_assert_not(d->repeated); /* another sender's name is another name */
    cr_assert_gt(d->id, a->id);
    in.receiver = S("elsewhere");
    c = bed_ask(&k, RC_STORE_PUT, in);
    cr_assert(c->repeated);
    cr_assert_eq(c->id, a->id);
    in.user = RC_STR_NONE; /* the nameless have no names for messages either */
    nameless = bed_ask(&k, RC_STORE_PUT, in);
    cr_assert_not(nameless->repeated);
    nameless = bed_ask(&k, RC_STORE_PUT, in);
    cr_assert_not(nameless->repeated);
    cr_assert_gt(nameless->id, d->id);
    history = bed_ask(&k, RC_STORE_HISTORY, into("lobby", ""));
    cr_assert_eq(history->nrows, 2u);
    cr_assert_eq(bed_stats(&k).repeated, 2u);
    bed_close(&k);
}

/* Also when the store was closed in between. */
static void ids_go_on(const struct bed_engine *e)
{
    struct bed k;
    uint64_t first, second;

    bed_open(&k, e);
    first = bed_put(&k, RC_STORE_ROOM, "ann", "lobby", "a", "x");
    bed_close(&k);
    bed_open(&k, e);
    cr_assert_eq(bed_put(&k, RC_STORE_ROOM, "ann", "lobby", "a", "x"), first);
    second = bed_put(&k, RC_STORE_ROOM, "ann", "lobby", "b", "");
    cr_assert_gt(second, first);
    bed_close(&k);
}

/* As nodes that share a server do. */
static void two_stores(const struct bed_engine *e)
{
    struct bed k[2];
    uint64_t last = 0;

    bed_open(&k[0], e);
    bed_open(&k[1], e);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t id = bed_put(&k[i % 2], RC_STORE_ROOM, "ann", "lobby", "x", "");

        cr_assert_gt(id, last);
        last = id;
    }
    cr_assert_eq(bed_put(&k[0], RC_STORE_ROOM, "ann", "lobby", "x", "same"), last + 1);
    cr_assert_eq(bed_put(&k[1], RC_STORE_ROOM, "ann", "lobby", "x", "same"), last + 1);
    cr_assert_eq(bed_stats(&k[1]).repeated, 1u);
    bed_close(&k[0]);
    bed_close(&k[1]);
}

/* ---- contents ---- */

static struct rc_store_req *last_of(struct bed *k, const char *room)
{
    struct rc_store_in in = into(room, "");
    struct rc_store_req *req;

    in.limit = 1;
    req = bed_ask(k, RC_STORE_HISTORY, in);
    cr_assert_eq(req->nrows, 1u);
    return req;
}

static void row_is(struct bed *k, const char *room, const char *expected)
{
    struct rc_str row = rc_buf_str(&last_of(k, room)->rows);

    if (!rc_str_eq(row, rc_str_of(expected)))
        (void)fprintf(stderr, "row: %.*s\nexpected: %s\n", RC_STR_ARG(row), expected);
    cr_assert(rc_str_eq(row, rc_str_of(expected)));
}

static void rows(const struct bed_engine *e)
{
    struct bed k;
    struct rc_store_in in = into("lobby", "hi");

    bed_open(&k, e);
    (void)bed_ask(&k, RC_STORE_PUT, in);
    row_is(&k, "lobby",
           "{\"id\":1,\"conversation_type\":\"room\",\"sender_id\":\"ann\",\"receiver_id\":"
           "\"lobby\",\"content\":\"hi\",\"created_at\":\"2023-11-14T22:13:20.123Z\","
           "\"client_id\":null}");
    in.user = RC_STR_NONE;
    in.event = S("talk \"x\"");
    in.client_id = S("never kept");
    in.format = RC_STORE_JSON;
    in.content = S("[1, {\"a\":\"\\u0000\"}]");
    in.time_ms = 0;
    (void)bed_ask(&k, RC_STORE_PUT, in);
    row_is(&k, "lobby",
           "{\"id\":2,\"conversation_type\":\"room\",\"sender_id\":null,\"receiver_id\":"
           "\"lobby\",\"content\":[1, {\"a\":\"\\u0000\"}],\"created_at\":"
           "\"1970-01-01T00:00:00.000Z\",\"client_id\":null,\"event\":\"talk \\\"x\\\"\"}");
    in = into("lobby", "named");
    in.client_id = S("c");
    (void)bed_ask(&k, RC_STORE_PUT, in);
    in.shown_as = S("the \"lobby\"");
    in.limit = 1;
    cr_assert(rc_str_eq(
        rc_buf_str(&bed_ask(&k, RC_STORE_HISTORY, in)->rows),
        S("{\"id\":3,\"conversation_type\":\"room\",\"sender_id\":\"ann\",\"receiver_id\":"
          "\"the \\\"lobby\\\"\",\"content\":\"named\",\"created_at\":"
          "\"2023-11-14T22:13:20.123Z\",\"client_id\":\"c\"}")));
    bed_close(&k);
}

static bool has(struct rc_str text, struct rc_str part)
{
    return memmem(text.p, text.len, part.p, part.len) != NULL;
}

/* Names and contents of any characters come back as they were, and are no others'. */
static void any_text(const struct bed_engine *e)
{
    static const char *const text[] = {
        "'; DROP TABLE message; --",
        "\\' OR 1=1 #",
        "a%_b",
        "? :x @y $z {1}",
        "\xf0\x9f\xa6\x8a",
        "e\xcc\x81",
        "\xc3\xa9",
        "x",
        "X",
        "x ",
        " x",
        "",
    };
    struct bed k;

    bed_open(&k, e);
    for (unsigned i = 0; i < sizeof(text) / sizeof(text[0]); i++) {
        struct rc_store_in in = into(text[i], text[i]);
        struct rc_store_req *req;
        struct rc_buf content = RC_BUF_INIT;

        in.client_id = rc_str_of(text[i]);
        in.event = rc_str_of(text[i]);
        req = bed_ask(&k, RC_STORE_PUT, in);
        cr_assert_eq(req->fault, RC_STORE_OK);
        cr_assert_not(req->repeated);
        req = bed_ask(&k, RC_STORE_HISTORY, in);
        cr_assert_eq(req->nrows, 1u);
        rc_buf_putz(&content, "\"content\":\"");
        rc_buf_putz(&content, i == 1 ? "\\\\' OR 1=1 #" : text[i]);
        rc_buf_putz(&content, "\",");
        cr_assert(has(rc_buf_str(&req->rows), rc_buf_str(&content)));
        rc_buf_deinit(&content);
    }
    bed_close(&k);
}

static void zero_in_text(const struct bed_engine *e)
{
    struct bed k;
    struct rc_store_in in = into("lobby", "");

    in.content = S("a\0b");
    in.user = S("u\0v");
    bed_open(&k, e);
    cr_assert_eq(bed_ask(&k, RC_STORE_PUT, in)->fault, RC_STORE_OK);
    cr_assert(has(rc_buf_str(&last_of(&k, "lobby")->rows), S("\"content\":\"a\\u0000b\"")));
    cr_assert(has(rc_buf_str(&last_of(&k, "lobby")->rows), S("\"sender_id\":\"u\\u0000v\"")));
    bed_close(&k);
}

static void megabytes(const struct bed_engine *e)
{
    static const size_t size = 1000000;
    struct bed k;
    struct rc_store_in in = into("lobby", "");
    char *content = rc_malloc(size);
    const struct rc_store_req *req;

    for (size_t i = 0; i < size; i++)
        content[i] = (char)('a' + i % 26);
    in.content = rc_str_make(content, size);
    bed_open(&k, e);
    for (unsigned i = 0; i < 12; i++)
        cr_assert_eq(bed_ask(&k, RC_STORE_PUT, in)->fault, RC_STORE_OK);
    req = last_of(&k, "lobby");
    cr_assert(has(rc_buf_str(&req->rows), in.content));
    in.limit = 100; /* an answer is bounded in bytes, too */
    req = bed_ask(&k, RC_STORE_HISTORY, in);
    cr_assert_str_eq(bed_ids(req), "4 5 6 7 8 9 10 11 12 +");
    in.forward = true;
    req = bed_ask(&k, RC_STORE_HISTORY, in);
    cr_assert_str_eq(bed_ids(req), "1 2 3 4 5 6 7 8 9 +");
    free(content);
    bed_close(&k);
}

/* ---- failures of one ---- */

static void too_long(const struct bed_engine *e)
{
    static char text[RC_STORE_CONTENT_MAX + 1];
    struct bed k;
    struct rc_store_in good = into("lobby", "good"), in;
    const struct rc_store_req *req[6];

    memset(text, 'x', sizeof(text));
    bed_make(&k, e, NULL);
    in = good;
    in.receiver = rc_str_make(text, RC_STORE_NAME_MAX + 1);
    req[0] = bed_submit(&k, RC_STORE_PUT, in);
    in = good;
    in.user = rc_str_make(text, RC_STORE_NAME_MAX + 1);
    req[1] = bed_submit(&k, RC_STORE_PUT, in);
    in = good;
    in.client_id = rc_str_make(text, RC_STORE_CLIENT_ID_MAX + 1);
    req[2] = bed_submit(&k, RC_STORE_PUT, in);
    in = good;
    in.content = rc_str_make(text, sizeof(text));
    req[3] = bed_submit(&k, RC_STORE_PUT, in);
    req[4] = bed_submit(&k, RC_STORE_PUT, good);
    in = good;
    in.receiver = in.user = in.event = rc_str_make(text, RC_STORE_NAME_MAX);
    in.client_id = rc_str_make(text, RC_STORE_CLIENT_ID_MAX);
    req[5] = bed_submit(&k, RC_STORE_PUT, in);
    bed_start(&k);
    bed_await(&k, 6);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(req[i]->fault, RC_STORE_TOO_LONG);
    for (unsigned i = 4; i < 6; i++)
        cr_assert_eq(req[i]->fault, RC_STORE_OK);
    cr_assert_str_eq(rc_store_fault_code(req[0]->fault), "too_long");
    bed_close(&k);
}

/* What the database itself refuses fails alone. */
static void refused_alone(const struct bed_engine *e)
{
    struct bed k;
    const struct rc_store_req *req[3];

    bed_open(&k, e);
    bed_close(&k);
    if (strcmp(e->option[0], "store.engine=sqlite") == 0)
        e->sql(e, "CREATE TRIGGER no_boom BEFORE INSERT ON message WHEN NEW.content = 'boom' "
                  "BEGIN SELECT RAISE(ABORT, 'no boom'); END");
    else
        e->sql(e, "ALTER TABLE message ADD CONSTRAINT no_boom CHECK (content <> 'boom')");
    bed_make(&k, e, NULL);
    req[0] = bed_submit(&k, RC_STORE_PUT, into("lobby", "a"));
    req[1] = bed_submit(&k, RC_STORE_PUT, into("lobby", "boom"));
    req[2] = bed_submit(&k, RC_STORE_PUT, into("lobby", "b"));
    bed_start(&k);
    bed_await(&k, 3);
    cr_assert_eq(req[0]->fault, RC_STORE_OK);
    cr_assert_eq(req[1]->fault, RC_STORE_FAILED);
    cr_assert_eq(req[2]->fault, RC_STORE_OK);
    cr_assert_lt(req[0]->id, req[2]->id);
    cr_assert_eq(bed_ask(&k, RC_STORE_HISTORY, into("lobby", ""))->nrows, 2u);
    cr_assert_eq(bed_stats(&k).failed, 1u);
    bed_close(&k);
}

/* ---- history ---- */

static const char *page(struct bed *k, bool forward, uint64_t after, uint64_t before,
                        uint32_t limit)
{
    struct rc_store_in in = into("lobby", "");

    in.forward = forward;
    in.after = after;
    in.before = before;
    in.limit = limit;
    return bed_ids(bed_ask(k, RC_STORE_HISTORY, in));
}

static void pages(const struct bed_engine *e)
{
    static const char *const more[] = {"store.history_limit=5", NULL};
    struct bed k;

    bed_make(&k, e, more);
    bed_start(&k);
    cr_assert_str_eq(page(&k, false, 0, 0, 0), "");
    cr_assert_str_eq(page(&k, true, 0, 0, 0), "");
    for (unsigned i = 0; i < 7; i++)
        cr_assert_eq(bed_put(&k, RC_STORE_ROOM, "ann", "lobby", "x", ""), i + 1);
    (void)bed_put(&k, RC_STORE_ROOM, "ann", "lobby2", "x", "");
    (void)bed_put(&k, RC_STORE_GROUP, "ann", "lobby", "x", "");
    cr_assert_str_eq(page(&k, false, 0, 0, 3), "5 6 7 +");
    cr_assert_str_eq(page(&k, false, 0, 5, 3), "2 3 4 +");
    cr_assert_str_eq(page(&k, false, 0, 2, 3), "1");
    cr_assert_str_eq(page(&k, false, 0, 1, 3), "");
    cr_assert_str_eq(page(&k, false, 0, 4, 3), "1 2 3");
    cr_assert_str_eq(page(&k, true, 0, 0, 3), "1 2 3 +");
    cr_assert_str_eq(page(&k, true, 3, 0, 3), "4 5 6 +");
    cr_assert_str_eq(page(&k, true, 6, 0, 3), "7");
    cr_assert_str_eq(page(&k, true, 7, 0, 3), "");
    cr_assert_str_eq(page(&k, true, 4, 0, 3), "5 6 7");
    cr_assert_str_eq(page(&k, true, 2, 5, 9), "3 4");
    cr_assert_str_eq(page(&k, false, 2, 7, 3), "4 5 6 +");
    cr_assert_str_eq(page(&k, false, 0, 0, 0), "3 4 5 6 7 +"); /* history_limit */
    cr_assert_str_eq(page(&k, false, 0, 0, 1000), "3 4 5 6 7 +");
    cr_assert_str_eq(page(&k, true, UINT64_MAX, 0, 1), "");
    cr_assert_str_eq(page(&k, false, 0, UINT64_MAX, 1), "7 +");
    bed_close(&k);
}

/* Rows that are many bytes: no more than were asked for, and few such answers in one transaction. */
static void big_pages(const struct bed_engine *e)
{
    enum { ASKED = 40, EACH_TIME = 8 };
    static char text[10001];
    struct rc_store_in in = into("lobby", "");
    uint64_t before;
    struct bed k;

    memset(text, 'x', sizeof(text) - 1);
    bed_make(&k, e, NULL);
    before = bed_stats(&k).batches;
    for (unsigned i = 0; i < 20; i++)
        (void)bed_submit(&k, RC_STORE_PUT, into("lobby", text));
    for (unsigned i = 0; i < ASKED; i++)
        (void)bed_submit(&k, RC_STORE_HISTORY, in);
    bed_start(&k);
    bed_await(&k, 20 + ASKED);
    cr_assert_eq(bed_stats(&k).batches, before + ASKED / EACH_TIME);
    cr_assert_eq(k.done[20]->nrows, 20u);
    in.rows_size = 50000;
    cr_assert_str_eq(bed_ids(bed_ask(&k, RC_STORE_HISTORY, in)), "16 17 18 19 20 +");
    in.forward = true;
    cr_assert_str_eq(bed_ids(bed_ask(&k, RC_STORE_HISTORY, in)), "1 2 3 4 5 +");
    bed_close(&k);
}

static const char *pair(struct bed *k, const char *a, const char *b, bool forward,
                        uint64_t after, uint64_t before)
{
    struct rc_store_in in = {
        .conversation = RC_STORE_PRIVATE,
        .user = rc_str_of(a),
        .receiver = rc_str_of(b),
        .forward = forward,
        .after = after,
        .before = before,
        .limit = 3,
    };

    return bed_ids(bed_ask(k, RC_STORE_HISTORY, in));
}

static void conversations(const struct bed_engine *e)
{
    struct bed k;

    bed_open(&k, e);
    for (unsigned i = 0; i < 3; i++) {
        (void)bed_put(&k, RC_STORE_PRIVATE, "ann", "bob", "x", "");  /* 1 4 7 */
        (void)bed_put(&k, RC_STORE_PRIVATE, "bob", "ann", "x", "");  /* 2 5 8 */
        (void)bed_put(&k, RC_STORE_PRIVATE, "ann", "carl", "x", ""); /* 3 6 9 */
    }
    cr_assert_str_eq(pair(&k, "ann", "bob", false, 0, 0), "5 7 8 +");
    cr_assert_str_eq(pair(&k, "bob", "ann", false, 0, 5), "1 2 4");
    cr_assert_str_eq(pair(&k, "bob", "ann", true, 0, 0), "1 2 4 +");
    cr_assert_str_eq(pair(&k, "ann", "bob", true, 4, 0), "5 7 8");
    cr_assert_str_eq(pair(&k, "bob", "carl", false, 0, 0), "");
    cr_assert_str_eq(pair(&k, "carl", "ann", true, 3, 9), "6");
    (void)bed_put(&k, RC_STORE_PRIVATE, "ann", "ann", "note", "");
    cr_assert_str_eq(pair(&k, "ann", "ann", false, 0, 0), "10");
    bed_close(&k);
}

/* ---- groups, cursors, what was missed ---- */

static struct rc_store_req *group(struct bed *k, enum rc_store_type type, const char *name,
                                  const char *user)
{
    struct rc_store_in in = {.user = rc_str_of(user), .receiver = rc_str_of(name)};

    return bed_ask(k, type, in);
}

static void groups(const struct bed_engine *e)
{
    static const char *const more[] = {"store.group_limit=2", NULL};
    struct bed k;
    struct rc_store_in in = {.conversation = RC_STORE_GROUP,
                             .user = S("carl"),
                             .receiver = S("g"),
                             .content = S("x"),
                             .of_member = true};
    const struct rc_store_req *req;

    bed_make(&k, e, more);
    bed_start(&k);
    cr_assert_str_eq(bed_users(group(&k, RC_STORE_GROUP_LIST, "g", "")), "");
    cr_assert(group(&k, RC_STORE_GROUP_ADD, "g", "bob")->changed);
    cr_assert(group(&k, RC_STORE_GROUP_ADD, "g", "ann")->changed);
    cr_assert_not(group(&k, RC_STORE_GROUP_ADD, "g", "ann")->changed);
    cr_assert_eq(group(&k, RC_STORE_GROUP_ADD, "g", "carl")->fault, RC_STORE_GROUP_FULL);
    cr_assert_eq(group(&k, RC_STORE_GROUP_ADD, "g", "ann")->fault, RC_STORE_OK);
    cr_assert(group(&k, RC_STORE_GROUP_ADD, "h", "carl")->changed);
    cr_assert_str_eq(bed_users(group(&k, RC_STORE_GROUP_LIST, "g", "")), "ann bob");
    cr_assert(group(&k, RC_STORE_GROUP_IS, "g", "ann")->member);
    cr_assert_not(group(&k, RC_STORE_GROUP_IS, "g", "carl")->member);
    cr_assert_not(group(&k, RC_STORE_GROUP_IS, "g", "Ann")->member);
    cr_assert_not(group(&k, RC_STORE_GROUP_IS, "g", "ann ")->member);
    cr_assert_eq(bed_ask(&k, RC_STORE_PUT, in)->fault, RC_STORE_NOT_A_MEMBER);
    in.of_member = false;
    req = bed_ask(&k, RC_STORE_PUT, in);
    cr_assert_str_eq(bed_users(req), "ann bob");
    in.user = S("ann");
    in.of_member = true;
    in.client_id = S("c");
    cr_assert_str_eq(bed_users(bed_ask(&k, RC_STORE_PUT, in)), "ann bob");
    cr_assert_str_eq(bed_users(bed_ask(&k, RC_STORE_PUT, in)), ""); /* repeated */
    cr_assert(group(&k, RC_STORE_GROUP_REMOVE, "g", "ann")->changed);
    cr_assert_not(group(&k, RC_STORE_GROUP_REMOVE, "g", "ann")->changed);
    cr_assert_str_eq(bed_users(group(&k, RC_STORE_GROUP_LIST, "g", "")), "bob");
    bed_close(&k);
}

static uint64_t cursor(struct bed *k, const char *user, uint64_t id)
{
    struct rc_store_in in = {.user = rc_str_of(user), .id = id};
    const struct rc_store_req *req = bed_ask(k, RC_STORE_CURSOR, in);

    cr_assert_eq(req->fault, RC_STORE_OK);
    return req->id;
}

static void cursors(const struct bed_engine *e)
{
    struct bed k;

    bed_open(&k, e);
    cr_assert_eq(cursor(&k, "ann", 0), 0u);
    cr_assert_eq(cursor(&k, "ann", 7), 7u);
    cr_assert_eq(cursor(&k, "ann", 5), 7u);
    cr_assert_eq(cursor(&k, "ann", 8), 8u);
    cr_assert_eq(cursor(&k, "bob", 3), 3u);
    cr_assert_eq(cursor(&k, "bob", UINT64_MAX), (UINT64_C(1) << 53) - 1);
    bed_close(&k);
}

static const char *missed(struct bed *k, const char *user, uint64_t after, uint32_t limit)
{
    struct rc_store_in in = {.user = rc_str_of(user), .after = after, .limit = limit};

    return bed_ids(bed_ask(k, RC_STORE_MISSED, in));
}

static void what_was_missed(const struct bed_engine *e)
{
    struct bed k;

    bed_open(&k, e);
    cr_assert_str_eq(missed(&k, "bob", 0, 0), "");
    (void)bed_put(&k, RC_STORE_GROUP, "ann", "g", "before bob", ""); /* 1 */
    (void)group(&k, RC_STORE_GROUP_ADD, "g", "bob");
    (void)group(&k, RC_STORE_GROUP_ADD, "g", "ann");
    (void)bed_put(&k, RC_STORE_PRIVATE, "ann", "bob", "x", "");  /* 2 */
    (void)bed_put(&k, RC_STORE_GROUP, "ann", "g", "x", "");      /* 3 */
    (void)bed_put(&k, RC_STORE_PRIVATE, "bob", "ann", "x", "");  /* 4 */
    (void)bed_put(&k, RC_STORE_GROUP, "bob", "g", "own", "");    /* 5 */
    (void)bed_put(&k, RC_STORE_PRIVATE, "carl", "bob", "x", ""); /* 6 */
    (void)bed_put(&k, RC_STORE_GROUP, "ann", "other", "x", "");  /* 7 */
    (void)bed_put(&k, RC_STORE_ROOM, "ann", "bob", "x", "");     /* 8 */
    (void)bed_put(&k, RC_STORE_GROUP, "carl", "g", "x", "");     /* 9 */
    cr_assert_str_eq(missed(&k, "bob", 0, 0), "2 3 6 9");
    cr_assert_str_eq(missed(&k, "ann", 0, 0), "4 5 9");
    cr_assert_str_eq(missed(&k, "bob", 0, 2), "2 3 +");
    cr_assert_str_eq(missed(&k, "bob", 3, 2), "6 9");
    cr_assert_eq(cursor(&k, "bob", 3), 3u);
    cr_assert_str_eq(missed(&k, "bob", 0, 0), "6 9");
    cr_assert_str_eq(missed(&k, "bob", 6, 0), "9");
    cr_assert_str_eq(missed(&k, "bob", 9, 0), "");
    (void)group(&k, RC_STORE_GROUP_REMOVE, "g", "bob");
    cr_assert_str_eq(missed(&k, "bob", 0, 0), "6");
    bed_close(&k);
}

/* Pages over many groups: in order, each once. */
static void missed_in_many_groups(const struct bed_engine *e)
{
    struct bed k;
    char name[8], want[8];
    uint64_t last = 0;

    bed_open(&k, e);
    for (unsigned g = 0; g < 7; g++) {
        (void)snprintf(name, sizeof(name), "g%u", g);
        (void)group(&k, RC_STORE_GROUP_ADD, name, "bob");
    }
    for (unsigned i = 0; i < 60; i++) {
        bool own = i % 10 == 9;

        (void)snprintf(name, sizeof(name), "g%u", i * i % 7);
        (void)bed_put(&k, i % 4 == 0 && !own ? RC_STORE_PRIVATE : RC_STORE_GROUP,
                      own ? "bob" : "ann", i % 4 == 0 && !own ? "bob" : name, "x", "");
    }
    for (unsigned i = 1; i <= 60; i++) {
        if (i % 10 == 0)
            continue; /* bob's own */
        (void)snprintf(want, sizeof(want), "%u%s", i, i < 59 ? " +" : "");
        cr_assert_str_eq(missed(&k, "bob", last, 1), want);
        last = i;
    }
    cr_assert_str_eq(missed(&k, "bob", 8, 9), "9 11 12 13 14 15 16 17 18 +");
    cr_assert_str_eq(missed(&k, "bob", 20, 17),
                     "21 22 23 24 25 26 27 28 29 31 32 33 34 35 36 37 38 +");
    cr_assert_str_eq(missed(&k, "bob", 57, 0), "58 59");
    cr_assert_str_eq(missed(&k, "bob", 60, 0), "");
    bed_close(&k);
}

/* Ids of the last messages, in the order in which they come. */
static const char *last_of_each(struct bed *k, const char *user, uint64_t before,
                                uint32_t limit)
{
    struct rc_store_in in = {.user = rc_str_of(user), .before = before, .limit = limit};

    return bed_ids(bed_ask(k, RC_STORE_CONVERSATIONS, in));
}

static void list_of_conversations(const struct bed_engine *e)
{
    struct bed k;
    struct rc_store_in in = {.user = S("bob"), .limit = 2, .before = 11};
    const struct rc_store_req *req;

    bed_open(&k, e);
    cr_assert_str_eq(last_of_each(&k, "bob", 0, 0), "");
    (void)group(&k, RC_STORE_GROUP_ADD, "g", "bob");
    (void)group(&k, RC_STORE_GROUP_ADD, "quiet", "bob");
    (void)bed_put(&k, RC_STORE_PRIVATE, "ann", "bob", "1", "");  /* 1 */
    (void)bed_put(&k, RC_STORE_PRIVATE, "bob", "carl", "2", ""); /* 2 */
    (void)bed_put(&k, RC_STORE_GROUP, "ann", "g", "3", "");      /* 3 */
    (void)bed_put(&k, RC_STORE_PRIVATE, "bob", "ann", "4", "");  /* 4 */
    (void)bed_put(&k, RC_STORE_GROUP, "ann", "other", "5", "");  /* 5 */
    (void)bed_put(&k, RC_STORE_PRIVATE, "ann", "carl", "6", ""); /* 6 */
    (void)bed_put(&k, RC_STORE_PRIVATE, "bob", "bob", "7", "");  /* 7 */
    (void)bed_put(&k, RC_STORE_ROOM, "bob", "ann", "8", "");     /* 8 */
    (void)bed_put(&k, RC_STORE_PRIVATE, "Bob", "dora", "9", ""); /* 9 */
    (void)bed_put(&k, RC_STORE_PRIVATE, "eve", "bob", "10", ""); /* 10 */
    (void)bed_put(&k, RC_STORE_PRIVATE, "g", "bob", "11", "");   /* 11: a user, not the group */
    cr_assert_str_eq(last_of_each(&k, "bob", 0, 0), "11 10 7 4 3 2");
    cr_assert_str_eq(last_of_each(&k, "bob", 0, 2), "11 10 +");
    cr_assert_str_eq(last_of_each(&k, "bob", 10, 3), "7 4 3 +");
    cr_assert_str_eq(last_of_each(&k, "bob", 3, 3), "2");
    cr_assert_str_eq(last_of_each(&k, "bob", 2, 3), "");
    cr_assert_str_eq(last_of_each(&k, "ann", 0, 0), "6 4");
    cr_assert_str_eq(last_of_each(&k, "carl", 0, 0), "6 2");
    cr_assert_str_eq(last_of_each(&k, "nobody", 0, 0), "");
    req = bed_ask(&k, RC_STORE_CONVERSATIONS, in);
    cr_assert_eq(req->nrows, 2u);
    cr_assert(req->more);
    cr_assert(has(rc_buf_str(&req->rows),
                  rc_str_of("{\"type\":\"private\",\"with\":\"eve\",\"message\":{\"id\":10,")));
    cr_assert(has(rc_buf_str(&req->rows), rc_str_of("}},{\"type\":\"private\",\"with\":\"bob\","
                                                    "\"message\":{\"id\":7,")));
    in.before = 5;
    req = bed_ask(&k, RC_STORE_CONVERSATIONS, in);
    cr_assert(
        has(rc_buf_str(&req->rows), rc_str_of("{\"type\":\"private\",\"with\":\"ann\",")));
    cr_assert(has(rc_buf_str(&req->rows), rc_str_of("{\"type\":\"group\",\"with\":\"g\",")));
    (void)group(&k, RC_STORE_GROUP_REMOVE, "g", "bob");
    cr_assert_str_eq(last_of_each(&k, "bob", 5, 0), "4 2");
    bed_close(&k);
}

/* By one only, and not where something was said before. */
static void groups_are_created(const struct bed_engine *e)
{
    struct bed k;

    bed_open(&k, e);
    cr_assert(group(&k, RC_STORE_GROUP_CREATE, "g", "ann")->changed);
    cr_assert_eq(group(&k, RC_STORE_GROUP_CREATE, "g", "bob")->fault, RC_STORE_GROUP_EXISTS);
    cr_assert_eq(group(&k, RC_STORE_GROUP_CREATE, "g", "ann")->fault, RC_STORE_GROUP_EXISTS);
    cr_assert_str_eq(bed_users(group(&k, RC_STORE_GROUP_LIST, "g", "")), "ann");
    (void)group(&k, RC_STORE_GROUP_REMOVE, "g", "ann");
    cr_assert(group(&k, RC_STORE_GROUP_CREATE, "g", "bob")->changed); /* nothing was said */
    (void)bed_put(&k, RC_STORE_GROUP, "bob", "g", "x", "");
    (void)group(&k, RC_STORE_GROUP_REMOVE, "g", "bob");
    cr_assert_eq(group(&k, RC_STORE_GROUP_CREATE, "g", "eve")->fault, RC_STORE_GROUP_EXISTS);
    cr_assert_str_eq(bed_users(group(&k, RC_STORE_GROUP_LIST, "g", "")), "");
    cr_assert_str_eq(rc_store_fault_code(RC_STORE_GROUP_EXISTS), "group_exists");
    bed_close(&k);
}

/* Members see what comes after them in their very batch. */
static void added_in_a_batch(const struct bed_engine *e)
{
    struct bed k;
    struct rc_store_in member = {.user = S("bob"), .receiver = S("g")};
    struct rc_store_in in = into("g", "x");

    in.conversation = RC_STORE_GROUP;
    bed_make(&k, e, NULL);
    (void)bed_submit(&k, RC_STORE_PUT, in);
    (void)bed_submit(&k, RC_STORE_GROUP_ADD, member);
    (void)bed_submit(&k, RC_STORE_PUT, in);
    (void)bed_submit(&k, RC_STORE_MISSED, member);
    bed_start(&k);
    bed_await(&k, 4);
    cr_assert_str_eq(bed_ids(k.done[3]), "2");
    cr_assert_str_eq(bed_users(k.done[0]), "");
    cr_assert_str_eq(bed_users(k.done[2]), "bob");
    bed_close(&k);
}

/* ---- limits ---- */

static void backpressure(const struct bed_engine *e)
{
    static const char *const more[] = {"store.max_pending=4", "store.max_pending_size=1MiB",
                                       NULL};
    static char big[700000];
    struct bed k;
    struct rc_store_in in = into("lobby", "x");
    struct rc_store_req *req;

    memset(big, 'x', sizeof(big));
    bed_make(&k, e, more);
    for (unsigned i = 0; i < 4; i++)
        (void)bed_submit(&k, RC_STORE_PUT, in);
    req = bed_new(&k, RC_STORE_PUT, &in);
    cr_assert_eq(rc_store_submit(k.port, 0, req), RC_EFULL);
    cr_assert_eq(req->fault, RC_STORE_BUSY);
    cr_assert_str_eq(rc_store_fault_code(req->fault), "store_busy");
    /* Another shard has room of its own; in bytes, too. */
    in.content = rc_str_make(big, sizeof(big));
    rc_store_req_free(req);
    req = bed_new(&k, RC_STORE_PUT, &in);
    cr_assert_eq(rc_store_submit(k.port, 1, req), RC_OK);
    req = bed_new(&k, RC_STORE_PUT, &in);
    cr_assert_eq(rc_store_submit(k.port, 1, req), RC_EFULL);
    cr_assert_eq(req->fault, RC_STORE_BUSY);
    cr_assert_eq(bed_stats(&k).busy, 2u);
    cr_assert_eq(bed_stats(&k).taken, 5u);
    cr_assert_eq(bed_stats(&k).finished, 0u);
    bed_start(&k);
    bed_await(&k, 5);
    cr_assert_eq(rc_store_submit(k.port, 1, req), RC_OK);
    bed_await(&k, 6);
    cr_assert_eq(bed_stats(&k).finished, 6u);
    bed_close(&k);
}

/* What was taken is finished, though the store is stopped at once. */
static void stop_finishes(const struct bed_engine *e)
{
    struct bed k;

    bed_make(&k, e, NULL);
    for (unsigned i = 0; i < 3000; i++)
        (void)bed_submit(&k, RC_STORE_PUT, into("lobby", "x"));
    bed_start(&k);
    rc_store_stop(k.store);
    cr_assert_eq(k.ndone, 3000u);
    for (unsigned i = 0; i < 3000; i++) {
        cr_assert_eq(k.done[i]->fault, RC_STORE_OK);
        cr_assert_eq(k.done[i]->id, i + 1);
    }
    (void)bed_submit(&k, RC_STORE_PUT, into("lobby", "x")); /* too late: it is freed */
    bed_close(&k);
    cr_assert_eq(k.ndone, 3000u);
}

/* ---- threads ---- */

enum { EACH = 500 };

struct shard {
    struct bed *k;
    unsigned number;
    pthread_t thread;
    struct rc_store_req *req[EACH];
};

static void *submit_all(void *arg)
{
    struct shard *shard = arg;
    struct rc_store_in in = into("lobby", "x");

    for (unsigned i = 0; i < EACH; i++) {
        int rc;

        shard->req[i] = bed_new(shard->k, RC_STORE_PUT, &in);
        while ((rc = rc_store_submit(shard->k->port, shard->number, shard->req[i])) == RC_EFULL)
            (void)sched_yield();
        cr_assert_eq(rc, RC_OK);
    }
    return NULL;
}

static void shards(const struct bed_engine *e)
{
    static const char *const more[] = {"store.max_pending=32", NULL};
    struct shard shard[BED_PRODUCERS];
    struct bed k;

    bed_make(&k, e, more);
    bed_start(&k);
    for (unsigned i = 0; i < BED_PRODUCERS; i++) {
        shard[i].k = &k;
        shard[i].number = i;
        cr_assert_eq(pthread_create(&shard[i].thread, NULL, submit_all, &shard[i]), 0);
    }
    for (unsigned i = 0; i < BED_PRODUCERS; i++)
        (void)pthread_join(shard[i].thread, NULL);
    bed_await(&k, BED_PRODUCERS * EACH);
    for (unsigned i = 1; i < k.ndone; i++)
        cr_assert_lt(k.done[i - 1]->id, k.done[i]->id);
    for (unsigned i = 0; i < BED_PRODUCERS; i++)
        for (unsigned j = 1; j < EACH; j++)
            cr_assert_lt(shard[i].req[j - 1]->id, shard[i].req[j]->id);
    bed_close(&k);
}

const struct bed_case bed_cases[] = {
    {"group_commit", group_commit},
    {"repeats", repeats},
    {"ids_go_on", ids_go_on},
    {"two_stores", two_stores},
    {"rows", rows},
    {"any_text", any_text},
    {"zero_in_text", zero_in_text},
    {"megabytes", megabytes},
    {"too_long", too_long},
    {"refused_alone", refused_alone},
    {"pages", pages},
    {"big_pages", big_pages},
    {"conversations", conversations},
    {"groups", groups},
    {"cursors", cursors},
    {"what_was_missed", what_was_missed},
    {"missed_in_many_groups", missed_in_many_groups},
    {"list_of_conversations", list_of_conversations},
    {"groups_are_created", groups_are_created},
    {"added_in_a_batch", added_in_a_batch},
    {"backpressure", backpressure},
    {"stop_finishes", stop_finishes},
    {"shards", shards},
};
const unsigned bed_ncases = sizeof(bed_cases) / sizeof(bed_cases[0]);

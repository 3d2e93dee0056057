/* suite_follow.c - what a store tells of messages that others put into its database, with each engine. */
#include "bed.h"
#include "rc/base/timer.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define S RC_STR

static const struct rc_store_in look = {.id = 0};

static void put(struct bed *k, const char *user, const char *receiver)
{
    cr_assert_gt(bed_put(k, RC_STORE_PRIVATE, user, receiver, "x", ""), 0u);
}

static void add(struct bed *k, const char *group, const char *user)
{
    struct rc_store_in in = {.user = rc_str_of(user), .receiver = rc_str_of(group)};

    cr_assert(bed_ask(k, RC_STORE_GROUP_ADD, in)->changed);
}

/* Each message of others once, before what has a higher id, and nothing of its own. */
static void others_are_told(const struct bed_engine *e)
{
    struct bed k, other;

    bed_open(&other, e);
    put(&other, "ann", "bob"); /* 1: before */
    bed_make_following(&k, e, NULL);
    bed_start(&k);
    put(&other, "ann", "bob"); /* 2 */
    put(&other, "bob", "ann");
    (void)bed_ask(&k, RC_STORE_FOLLOW, look);
    cr_assert_str_eq(bed_log(&k), "2:ann>bob 3:bob>ann ");
    put(&k, "ann", "carl"); /* 4 */
    put(&k, "ann", "carl");
    put(&other, "ann", "bob"); /* 6 */
    cr_assert_gt(bed_put(&other, RC_STORE_ROOM, "ann", "bob", "x", ""), 0u);
    put(&k, "ann", "carl"); /* 8 */
    (void)bed_ask(&k, RC_STORE_FOLLOW, look);
    cr_assert_str_eq(bed_log(&k), "=4 =5 6:ann>bob =8 ");
    cr_assert_eq(bed_stats(&k).followed, 3u);
    cr_assert_eq(bed_stats(&k).skipped, 0u);
    bed_close(&k);
    bed_close(&other);
}

static void without_being_asked(const struct bed_engine *e)
{
    struct bed k, other;

    bed_make_following(&k, e, NULL);
    bed_start(&k);
    bed_open(&other, e);
    put(&other, "ann", "bob");
    for (unsigned i = 0; bed_stats(&k).followed == 0; i++) {
        cr_assert_lt(i, 6000u);
        (void)usleep(10000);
    }
    cr_assert_str_eq(bed_log(&k), "1:ann>bob ");
    bed_close(&k);
    bed_close(&other);
}

/* Who knows that they have been told asks for nothing. */
static void known_ids(const struct bed_engine *e)
{
    struct rc_store_in known = {.id = 1};
    struct bed k, other;

    bed_make_following(&k, e, NULL);
    bed_open(&other, e);
    put(&other, "ann", "bob");
    bed_start(&k);
    (void)bed_ask(&k, RC_STORE_FOLLOW, known);
    cr_assert_str_eq(bed_log(&k), "1:ann>bob ");
    put(&other, "ann", "bob");
    (void)bed_ask(&k, RC_STORE_FOLLOW, known);
    known.id = 2;
    (void)bed_ask(&k, RC_STORE_FOLLOW, known);
    cr_assert_str_eq(bed_log(&k), "2:ann>bob ");
    bed_close(&k);
    bed_close(&other);
}

/* A page knows of what was told before it, and of nothing else. */
static void pages_know_what_was_told(const struct bed_engine *e)
{
    struct rc_store_in of_bob = {.user = S("bob")},
                       from_ann = {.conversation = RC_STORE_PRIVATE,
                                   .user = S("ann"),
                                   .receiver = S("bob"),
                                   .content = S("x")};
    const struct rc_store_req *page[3];
    struct bed k, other;

    bed_make_following(&k, e, NULL);
    bed_open(&other, e);
    put(&other, "carl", "bob"); /* 1 */
    page[0] = bed_submit(&k, RC_STORE_MISSED, of_bob);
    bed_start(&k);
    bed_await(&k, 1);
    cr_assert_str_eq(bed_log(&k), "1:carl>bob ? ");
    cr_assert_str_eq(bed_ids(page[0]), "1");
    bed_close(&k);

    /* The same with messages of its own in the batch. */
    bed_make_following(&k, e, NULL);
    put(&other, "carl", "bob"); /* 2 */
    page[0] = bed_submit(&k, RC_STORE_MISSED, of_bob);
    (void)bed_submit(&k, RC_STORE_PUT, from_ann); /* 3 */
    page[1] = bed_submit(&k, RC_STORE_MISSED, of_bob);
    (void)bed_submit(&k, RC_STORE_PUT, from_ann); /* 4 */
    page[2] = bed_submit(&k, RC_STORE_MISSED, of_bob);
    bed_start(&k);
    bed_await(&k, 5);
    cr_assert_str_eq(bed_log(&k), "2:carl>bob ? =3 ? =4 ? ");
    cr_assert_str_eq(bed_ids(page[0]), "1 2");
    cr_assert_str_eq(bed_ids(page[1]), "1 2 3");
    cr_assert_str_eq(bed_ids(page[2]), "1 2 3 4");
    of_bob.id = 3;
    (void)bed_ask(&k, RC_STORE_CURSOR, of_bob);
    cr_assert_str_eq(bed_ids(bed_ask(&k, RC_STORE_MISSED, of_bob)), "4");
    of_bob.after = 1;
    of_bob.whole = true; /* whatever the cursor says */
    cr_assert_str_eq(bed_ids(bed_ask(&k, RC_STORE_MISSED, of_bob)), "2 3 4");
    bed_close(&k);
    bed_close(&other);
}

/* To those who were in the group before the message, and still are. */
static void members_are_told(const struct bed_engine *e)
{
    struct rc_store_in leave = {.user = S("carl"), .receiver = S("g")};
    struct bed k, other;

    bed_make_following(&k, e, NULL);
    bed_open(&other, e);
    add(&other, "g", "ann");
    add(&other, "g", "bob");
    add(&other, "g", "carl");
    add(&other, "h", "dora");
    (void)bed_put(&other, RC_STORE_GROUP, "ann", "g", "x", ""); /* 1 */
    (void)bed_put(&other, RC_STORE_GROUP, "ann", "g", "x", "");
    (void)bed_put(&other, RC_STORE_GROUP, "dora", "h", "x", "");
    add(&other, "g", "late");
    (void)bed_put(&other, RC_STORE_GROUP, "ann", "g", "x", ""); /* 4 */
    cr_assert(bed_ask(&other, RC_STORE_GROUP_REMOVE, leave)->changed);
    bed_start(&k);
    (void)bed_ask(&k, RC_STORE_FOLLOW, look);
    cr_assert_str_eq(bed_log(&k), "1:ann>g(ann,bob) 2:ann>g(ann,bob) 3:dora>h(dora) "
                                  "4:ann>g(ann,bob,late) ");
    add(&other, "g", "more");
    (void)bed_put(&other, RC_STORE_GROUP, "ann", "g", "x", ""); /* 5 */
    (void)bed_ask(&k, RC_STORE_FOLLOW, look);
    cr_assert_str_eq(bed_log(&k), "5:ann>g(ann,bob,late,more) ");
    bed_close(&k);
    bed_close(&other);
}

/* More than are read at once; and so many that nobody reads them. */
static void many(const struct bed_engine *e)
{
    struct rc_store_in in = {.conversation = RC_STORE_PRIVATE,
                             .user = S("ann"),
                             .receiver = S("bob"),
                             .content = S("x")};
    struct bed k, other;
    const char *log;

    bed_make_following(&k, e, NULL);
    bed_make(&other, e, NULL);
    for (unsigned i = 0; i < 1300; i++)
        (void)bed_submit(&other, RC_STORE_PUT, in);
    bed_start(&other);
    bed_await(&other, 1300);
    bed_start(&k);
    (void)bed_ask(&k, RC_STORE_FOLLOW, look);
    log = bed_log(&k);
    for (unsigned i = 1; i <= 1300; i++) {
        char word[32];

        (void)snprintf(word, sizeof(word), "%u:ann>bob ", i);
        cr_assert_eq(strncmp(log, word, strlen(word)), 0, "%u", i);
        log += strlen(word);
    }
    cr_assert_eq(*log, '\0');
    e->sql(e,
           "INSERT INTO message (id, conversation_type, sender_id, receiver_id, content, "
           "created_at) VALUES (60000, 'private', 'ann', 'bob', 'x', '2023-11-14 22:13:20')");
    (void)bed_ask(&k, RC_STORE_FOLLOW, look);
    cr_assert_str_eq(bed_log(&k), "skip ");
    cr_assert_eq(bed_stats(&k).skipped, 1u);
    put(&other, "ann", "bob");
    put(&k, "ann", "bob");
    cr_assert_str_eq(bed_log(&k), "60001:ann>bob =60002 ");
    bed_close(&k);
    bed_close(&other);
}

/* ---- both at once ---- */

enum { EACH = 300 };

static void *put_many(void *arg)
{
    struct rc_store_in in = {.conversation = RC_STORE_PRIVATE,
                             .user = S("ann"),
                             .receiver = S("bob"),
                             .content = S("x")};

    for (unsigned i = 0; i < EACH; i++) {
        (void)bed_submit(arg, RC_STORE_PUT, in);
        (void)usleep(i % 4 * 300);
    }
    return NULL;
}

/* All ids of both, each once, and each higher than the one before. */
static void expect_all(struct bed *k)
{
    const char *p = bed_log(k);
    unsigned long long id, last = 0;
    unsigned n = 0;
    int len;

    for (; *p != '\0'; p += len, n++, last = id) {
        cr_assert(sscanf(p, "=%llu %n", &id, &len) == 1 ||
                      sscanf(p, "%llu:ann>bob %n", &id, &len) == 1,
                  "%.20s", p);
        cr_assert_gt(id, last);
    }
    cr_assert_eq(n, 2u * EACH);
}

static void both_at_once(const struct bed_engine *e)
{
    struct bed k[2];
    pthread_t thread[2];

    for (unsigned i = 0; i < 2; i++)
        bed_make_following(&k[i], e, NULL);
    for (unsigned i = 0; i < 2; i++) {
        bed_start(&k[i]);
        cr_assert_eq(pthread_create(&thread[i], NULL, put_many, &k[i]), 0);
    }
    for (unsigned i = 0; i < 2; i++)
        (void)pthread_join(thread[i], NULL);
    for (unsigned i = 0; i < 2; i++)
        bed_await(&k[i], EACH);
    for (unsigned i = 0; i < 2; i++) {
        struct rc_store_req *req = bed_submit(&k[i], RC_STORE_FOLLOW, look);

        bed_await(&k[i], EACH + 1);
        cr_assert_eq(req->fault, RC_STORE_OK);
        expect_all(&k[i]);
    }
    bed_close(&k[0]);
    bed_close(&k[1]);
}

const struct bed_case bed_follow_cases[] = {
    {"others_are_told", others_are_told},
    {"without_being_asked", without_being_asked},
    {"known_ids", known_ids},
    {"pages_know_what_was_told", pages_know_what_was_told},
    {"members_are_told", members_are_told},
    {"many", many},
    {"both_at_once", both_at_once},
};
const unsigned bed_nfollow_cases = sizeof(bed_follow_cases) / sizeof(bed_follow_cases[0]);

/* What nodes tell each other of users and rooms: messages, one after the other, each behind its length. What is read
 * is written again as it was; a listener is in step only behind a whole announcement. */
#include "rc/broker/told.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                             \
    do {                                                     \
        if (!(x)) {                                          \
            (void)fprintf(stderr, "%d: %s\n", __LINE__, #x); \
            abort();                                         \
        }                                                    \
    } while (0)

/* Each cut of the records is the end, and what is before it the same. */
static void check_cut(struct rc_str items)
{
    struct rc_str rest = items, cut = rc_str_make(items.p, items.len / 2);
    struct rc_told_item a, b;

    while (rc_told_next(&cut, &b)) {
        CHECK(rc_told_next(&rest, &a));
        CHECK(a.op == b.op && a.n == b.n && rc_str_eq(a.text, b.text));
    }
}

static void check_message(struct rc_str bytes, struct rc_listener_step *l)
{
    struct rc_buf again = RC_BUF_INIT;
    enum rc_step before = l->step;
    struct rc_told told;
    struct rc_told_item item;
    struct rc_str rest;
    bool begins, ends;

    if (!rc_told_read(bytes, &told))
        return;
    check_cut(told.items);
    rc_told_begin(&again, &told);
    for (rest = told.items; rc_told_next(&rest, &item);)
        rc_told_put(&again, item.op, item.n, item.text);
    CHECK(rest.len == 0);
    CHECK(rc_str_eq(rc_buf_str(&again), bytes));
    rc_buf_deinit(&again);
    rc_told_follow(l, &told, 1, &begins, &ends);
    CHECK(!begins || told.first);
    CHECK(!ends || (told.last && l->step == RC_IN_STEP));
    CHECK(l->step == RC_OUT_OF_STEP || begins || before != RC_OUT_OF_STEP);
    CHECK(l->changes == told.changes);
}

static void check_wish(struct rc_str bytes)
{
    struct rc_buf again = RC_BUF_INIT;
    enum rc_told_wish wish;
    uint64_t shards;

    if (!rc_told_read_wish(bytes, &wish, &shards))
        return;
    rc_told_put_wish(&again, wish, shards);
    CHECK(rc_str_starts(bytes, rc_buf_str(&again)));
    rc_buf_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rc_str rest = rc_str_make(data, size);
    struct rc_listener_step l = {.step = RC_OUT_OF_STEP};

    check_wish(rest);
    while (rest.len > 1) {
        size_t len = (uint8_t)rest.p[0];
        /* Its own memory, so that reading behind its end shows. */
        char *copy;

        rest = rc_str_skip(rest, 1);
        len = len < rest.len ? len : rest.len;
        copy = malloc(len + 1);
        CHECK(copy != NULL);
        memcpy(copy + 1, rest.p, len);
        check_message(rc_str_make(copy + 1, len), &l);
        free(copy);
        rest = rc_str_skip(rest, len);
    }
    return 0;
}

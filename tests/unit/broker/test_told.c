/* What nodes tell each other of users and rooms, as bytes; and how a listener follows. */
#include "rc/broker/told.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static const struct rc_told head = {.first = true,
                                    .shard = 3,
                                    .shards = 4,
                                    .announcement = 7,
                                    .part = 0,
                                    .changes = 1ull << 40};

static void put_all(struct rc_buf *b)
{
    rc_told_begin(b, &head);
    rc_told_put(b, RC_TOLD_SPACE, 0, RC_STR("/"));
    rc_told_put(b, RC_TOLD_ROOM, 0, RC_STR("lobby"));
    rc_told_put(b, RC_TOLD_HERE, 0, RC_STR("ann"));
    rc_told_put(b, RC_TOLD_GONE, 0, RC_STR_NONE);
    rc_told_put(b, RC_TOLD_MEMBERS, 4000000000u, RC_STR("r"));
}

Test(told, what_is_put_is_read)
{
    struct rc_buf b = RC_BUF_INIT;
    struct rc_told_item item;
    struct rc_told t;

    put_all(&b);
    rc_teller_last(&b);
    cr_assert(rc_told_read(rc_buf_str(&b), &t));
    cr_assert(t.first && t.last);
    cr_assert_eq(t.shard, 3u);
    cr_assert_eq(t.shards, 4u);
    cr_assert_eq(t.announcement, 7u);
    cr_assert_eq(t.changes, 1ull << 40);
    cr_assert(rc_told_next(&t.items, &item));
    cr_assert(item.op == RC_TOLD_SPACE && rc_str_eq(item.text, RC_STR("/")));
    cr_assert(rc_told_next(&t.items, &item));
    cr_assert(item.op == RC_TOLD_ROOM && rc_str_eq(item.text, RC_STR("lobby")));
    cr_assert(rc_told_next(&t.items, &item));
    cr_assert(item.op == RC_TOLD_HERE && rc_str_eq(item.text, RC_STR("ann")));
    cr_assert(rc_told_next(&t.items, &item));
    cr_assert(item.op == RC_TOLD_GONE && item.text.len == 0);
    cr_assert(rc_told_next(&t.items, &item));
    cr_assert(item.op == RC_TOLD_MEMBERS && item.n == 4000000000u && item.text.len == 1);
    cr_assert_not(rc_told_next(&t.items, &item));
    rc_buf_deinit(&b);
}

/* Each cut, at the end of its memory, is read or refused; only between records can it be read. */
Test(told, what_is_cut_is_refused)
{
    struct rc_buf b = RC_BUF_INIT;
    struct rc_told t;
    unsigned fine = 0;

    put_all(&b);
    for (size_t n = 0; n < b.len; n++) {
        char *copy = malloc(n + 1);

        memcpy(copy + 1, b.data, n);
        fine += rc_told_read(rc_str_make(copy + 1, n), &t);
        free(copy);
    }
    cr_assert_eq(fine, 5u);
    rc_buf_deinit(&b);
}

Test(told, what_is_not_known_is_refused)
{
    static const struct {
        unsigned at;
        uint8_t value;
    } bad[] = {{0, 2}, {1, 4}, {2, 4}, {3, 65}, {3, 3}, {RC_TOLD_HEAD, 'x'}};
    struct rc_buf b = RC_BUF_INIT;
    struct rc_told t;

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        put_all(&b);
        cr_assert(rc_told_read(rc_buf_str(&b), &t));
        b.data[bad[i].at] = bad[i].value;
        cr_assert_not(rc_told_read(rc_buf_str(&b), &t));
    }
    rc_buf_deinit(&b);
}

/* Clients get these names as text. */
Test(told, what_is_not_utf8_is_refused)
{
    struct rc_buf b = RC_BUF_INIT;
    struct rc_told t;

    put_all(&b);
    rc_told_put(&b, RC_TOLD_HERE, 0, RC_STR("J\xc3\xb6rg"));
    cr_assert(rc_told_read(rc_buf_str(&b), &t));
    rc_told_put(&b, RC_TOLD_HERE, 0, RC_STR("J\xc3"));
    cr_assert_not(rc_told_read(rc_buf_str(&b), &t));
    rc_buf_deinit(&b);
}

Test(told, wishes)
{
    struct rc_buf b = RC_BUF_INIT;
    enum rc_told_wish wish;
    uint64_t shards;

    rc_told_put_wish(&b, RC_TOLD_CHANGES, 1ull << 63 | 5);
    cr_assert(rc_told_read_wish(rc_buf_str(&b), &wish, &shards));
    cr_assert_eq(wish, RC_TOLD_CHANGES);
    cr_assert_eq(shards, 1ull << 63 | 5);
    for (size_t n = 0; n < b.len; n++)
        cr_assert_not(rc_told_read_wish(rc_str_make(b.data, n), &wish, &shards));
    b.data[1] = 4;
    cr_assert_not(rc_told_read_wish(rc_buf_str(&b), &wish, &shards));
    b.data[1] = 0;
    cr_assert_not(rc_told_read_wish(rc_buf_str(&b), &wish, &shards));
    rc_buf_deinit(&b);
}

/* ---- teller and listener ---- */

static struct {
    struct rc_teller t;
    struct rc_listener_step l;
    bool begins, ends;
} line;

static void hear(const struct rc_buf *b)
{
    struct rc_told t;

    cr_assert(rc_told_read(rc_buf_str(b), &t));
    rc_told_follow(&line.l, &t, 5, &line.begins, &line.ends);
}

static void change(bool lost)
{
    struct rc_buf b = RC_BUF_INIT;

    rc_teller_change(&line.t, 0, 1, &b);
    if (!lost)
        hear(&b);
    rc_buf_deinit(&b);
}

static void part(bool first, bool last, bool lost)
{
    struct rc_buf b = RC_BUF_INIT;

    rc_teller_part(&line.t, 0, 1, first, &b);
    if (last)
        rc_teller_last(&b);
    if (!lost)
        hear(&b);
    rc_buf_deinit(&b);
}

Test(told, an_announcement_brings_into_step)
{
    change(false);
    cr_assert_eq(line.l.step, RC_OUT_OF_STEP); /* what came before is not known */
    part(true, false, false);
    cr_assert(line.begins && !line.ends);
    cr_assert_eq(line.l.step, RC_LISTENING);
    change(false);
    part(false, false, false);
    change(false);
    part(false, true, false);
    cr_assert(!line.begins && line.ends);
    cr_assert_eq(line.l.step, RC_IN_STEP);
    change(false);
    cr_assert_eq(line.l.step, RC_IN_STEP);
    part(true, true, false);
    cr_assert(line.begins && line.ends);
    cr_assert_eq(line.l.step, RC_IN_STEP);
}

Test(told, each_gap_is_seen)
{
    for (unsigned what = 0; what < 5; what++) {
        part(true, what != 1 && what != 2, false);
        switch (what) {
        case 0: change(true); break;
        case 1: part(false, false, true); break;
        case 2: change(true); break;
        case 3: part(true, false, true); break;
        default: part(true, false, false); part(false, false, true);
        }
        if (what == 0)
            change(false);
        else
            part(false, true, false);
        cr_assert_eq(line.l.step, RC_OUT_OF_STEP);
        cr_assert_not(line.ends);
    }
}

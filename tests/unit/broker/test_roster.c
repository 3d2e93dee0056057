/* Who is in a room (src/broker/roster.c), by a clock of the test's own. */
#include "rc/base/hash.h"
#include "rc/broker/roster.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct fixture {
    struct rc_roster r;
    struct rc_timerq held, at_once;
    uint64_t now;
};

static void on_held(struct rc_timer *t, void *arg)
{
    cr_assert_eq(rc_roster_lapse(t), arg);
}

static void set_up(struct fixture *f)
{
    cr_assert_eq(rc_hash_init(), RC_OK);
    *f = (struct fixture){.now = 1000};
    rc_roster_init(&f->r);
    rc_timerq_init(&f->held, 5000, on_held, &f->r);
    rc_timerq_init(&f->at_once, 0, on_held, &f->r);
}

static void tear_down(struct fixture *f)
{
    rc_roster_deinit(&f->r);
    cr_assert_eq(rc_timerq_next(&f->held), UINT64_MAX);
    cr_assert_eq(rc_timerq_next(&f->at_once), UINT64_MAX);
}

static void pass(struct fixture *f, uint64_t ms)
{
    f->now += ms;
    rc_timerq_expire(&f->held, f->now);
    rc_timerq_expire(&f->at_once, f->now);
}

static void enter(struct fixture *f, const char *user)
{
    rc_roster_enter(&f->r, rc_str_of(user));
}

static void leave(struct fixture *f, const char *user)
{
    rc_roster_leave(&f->r, rc_str_of(user), &f->held, f->now);
}

/* Takes what is to be told: "+ann,bob -carl", with three dots where a list is cut. */
static const char *take(struct fixture *f, unsigned max)
{
    static char text[256];
    struct rc_roster_list joined = {.n = 0}, left = {.n = 0};

    rc_roster_take(&f->r, max, &joined, &left);
    (void)snprintf(text, sizeof(text), "+%.*s%s -%.*s%s", RC_STR_ARG(rc_buf_str(&joined.json)),
                   joined.more ? "..." : "", RC_STR_ARG(rc_buf_str(&left.json)),
                   left.more ? "..." : "");
    rc_buf_deinit(&joined.json);
    rc_buf_deinit(&left.json);
    cr_assert_not(rc_roster_has_changes(&f->r));
    return text;
}

#define NOTHING "+ -"

static unsigned listed(const struct fixture *f, unsigned max, bool more)
{
    struct rc_roster_list users = {.n = 0};

    rc_roster_put(&f->r, max, &users);
    cr_assert_eq(users.more, more);
    rc_buf_deinit(&users.json);
    return users.n;
}

Test(roster, the_first_socket_comes_and_the_last_one_goes)
{
    struct fixture f;

    set_up(&f);
    cr_assert_not(rc_roster_has_changes(&f.r));
    enter(&f, "ann");
    cr_assert(rc_roster_has_changes(&f.r));
    cr_assert_str_eq(take(&f, 9), "+\"ann\" -");
    enter(&f, "ann");
    enter(&f, "bob");
    cr_assert_eq(f.r.count, 2u);
    cr_assert_str_eq(take(&f, 9), "+\"bob\" -");
    leave(&f, "ann");
    pass(&f, 10000);
    cr_assert_not(rc_roster_has_changes(&f.r));
    leave(&f, "ann");
    cr_assert_not(rc_roster_has_changes(&f.r));
    pass(&f, 4999);
    cr_assert_eq(f.r.count, 2u);
    cr_assert_eq(listed(&f, 9, false), 2u);
    cr_assert_str_eq(take(&f, 9), NOTHING);
    pass(&f, 1);
    cr_assert(rc_roster_has_changes(&f.r));
    cr_assert_eq(f.r.count, 1u);
    cr_assert_eq(listed(&f, 9, false), 1u);
    cr_assert_str_eq(take(&f, 9), "+ -\"ann\"");
    cr_assert_eq(f.r.users.n, 1u);
    tear_down(&f);
}

Test(roster, who_comes_back_in_time_makes_no_noise)
{
    struct fixture f;

    set_up(&f);
    enter(&f, "ann");
    (void)take(&f, 9);
    for (unsigned i = 0; i < 5; i++) {
        leave(&f, "ann");
        pass(&f, 4999);
        enter(&f, "ann");
        pass(&f, 5000);
        cr_assert_not(rc_roster_has_changes(&f.r));
        cr_assert_eq(f.r.count, 1u);
    }
    leave(&f, "ann");
    pass(&f, 5001);
    cr_assert_str_eq(take(&f, 9), "+ -\"ann\"");
    enter(&f, "ann");
    cr_assert_str_eq(take(&f, 9), "+\"ann\" -");
    tear_down(&f);
}

/* What was not told need not be taken back. */
Test(roster, changes_that_cancel_each_other)
{
    struct fixture f;

    set_up(&f);
    enter(&f, "ann");
    rc_roster_leave(&f.r, RC_STR("ann"), &f.at_once, f.now);
    cr_assert_eq(f.r.count, 0u);
    cr_assert_eq(listed(&f, 9, false), 0u);
    cr_assert_str_eq(take(&f, 9), NOTHING);
    cr_assert_eq(f.r.users.n, 0u);
    enter(&f, "ann");
    (void)take(&f, 9);
    rc_roster_leave(&f.r, RC_STR("ann"), &f.at_once, f.now);
    cr_assert(rc_roster_has_changes(&f.r));
    enter(&f, "ann");
    cr_assert_eq(f.r.count, 1u);
    cr_assert_str_eq(take(&f, 9), NOTHING);
    rc_roster_leave(&f.r, RC_STR("ann"), &f.at_once, f.now);
    enter(&f, "ann");
    rc_roster_leave(&f.r, RC_STR("ann"), &f.at_once, f.now);
    cr_assert_str_eq(take(&f, 9), "+ -\"ann\"");
    enter(&f, "ann");
    leave(&f, "ann");
    pass(&f, 6000);
    enter(&f, "ann");
    leave(&f, "ann");
    cr_assert_str_eq(take(&f, 9), "+\"ann\" -"); /* held */
    tear_down(&f);
}

Test(roster, many_at_once)
{
    struct fixture f;
    char name[16];

    set_up(&f);
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof(name), "u%u", i);
        enter(&f, name);
    }
    cr_assert_str_eq(take(&f, 3), "+\"u0\",\"u1\",\"u2\"... -");
    cr_assert_str_eq(take(&f, 3), NOTHING);
    cr_assert_eq(f.r.count, 1000u);
    cr_assert_eq(listed(&f, 1000, false), 1000u);
    cr_assert_eq(listed(&f, 999, true), 999u);
    cr_assert_eq(listed(&f, 7, true), 7u);
    for (unsigned i = 0; i < 998; i++) {
        (void)snprintf(name, sizeof(name), "u%u", i);
        leave(&f, name);
        pass(&f, 1);
    }
    cr_assert_eq(f.r.count, 1000u);
    pass(&f, 5000);
    enter(&f, "\"x\n");
    cr_assert_eq(f.r.count, 3u);
    cr_assert_str_eq(take(&f, 1), "+\"\\\"x\\n\" -\"u0\"...");
    cr_assert_eq(f.r.users.n, 3u);
    tear_down(&f);
}

/* Freed with users that are held, and told of, or neither. */
Test(roster, ends_at_any_time)
{
    struct fixture f;

    set_up(&f);
    enter(&f, "ann");
    enter(&f, "bob");
    (void)take(&f, 9);
    leave(&f, "ann");
    enter(&f, "carl");
    leave(&f, "carl");
    rc_roster_leave(&f.r, RC_STR("bob"), &f.at_once, f.now);
    tear_down(&f);
}

/* Against a plain count, at random. */
Test(roster, random_steps)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    unsigned sockets[5] = {0};
    uint64_t gone_at[5] = {0}, seed = 7;
    bool there[5] = {false};
    struct fixture f;

    set_up(&f);
    for (unsigned step = 0; step < 20000; step++) {
        unsigned u, what, count = 0;

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        u = (unsigned)(seed >> 33) % 5;
        what = (unsigned)(seed >> 45) % 4;
        if (what == 0) {
            enter(&f, names[u]);
            sockets[u]++;
        } else if (what == 1 && sockets[u] != 0) {
            leave(&f, names[u]);
            gone_at[u] = --sockets[u] == 0 ? f.now + 5000 : 0;
        } else if (what == 2) {
            pass(&f, (seed >> 50) % 3000);
        }
        for (unsigned i = 0; i < 5; i++) {
            there[i] = sockets[i] != 0 || gone_at[i] > f.now;
            count += there[i];
        }
        cr_assert_eq(f.r.count, count);
        if (what == 3)
            (void)take(&f, 2);
    }
    tear_down(&f);
}

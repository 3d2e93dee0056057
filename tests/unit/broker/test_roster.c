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
    rc_roster_init(&f->r, NULL);
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
    while (rc_timerq_expire(&f->held, f->now))
        continue;
    while (rc_timerq_expire(&f->at_once, f->now))
        continue;
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

/* ---- other nodes ---- */

static void arrive(struct fixture *f, const char *user, struct rc_roster_source *s)
{
    cr_assert(rc_roster_arrive(&f->r, rc_str_of(user), s));
}

static void depart(struct fixture *f, const char *user, struct rc_roster_source *s)
{
    rc_roster_depart(&f->r, rc_str_of(user), s, &f->held, f->now);
}

/* Ends what is out of date. Returns how many. */
static unsigned sweep(struct fixture *f, struct rc_roster_source *s)
{
    unsigned n = 0;

    for (; rc_roster_stale(s) != NULL; n++) {
        cr_assert_eq(rc_roster_stale(s), &f->r);
        rc_roster_expel(s, &f->held, f->now);
    }
    return n;
}

Test(roster, a_user_is_there_while_any_node_says_so)
{
    struct rc_roster_source a, b;
    struct fixture f;

    set_up(&f);
    rc_roster_source_init(&a, 100);
    rc_roster_source_init(&b, 100);
    arrive(&f, "ann", &a);
    cr_assert_str_eq(take(&f, 9), "+\"ann\" -");
    arrive(&f, "ann", &b);
    arrive(&f, "ann", &b); /* said again */
    enter(&f, "ann");
    cr_assert_eq(f.r.count, 1u);
    cr_assert_eq(f.r.nstays, 2u);
    depart(&f, "ann", &a);
    depart(&f, "ann", &a);
    leave(&f, "ann");
    pass(&f, 10000);
    cr_assert_not(rc_roster_has_changes(&f.r));
    depart(&f, "bob", &b); /* who never came */
    depart(&f, "ann", &b);
    cr_assert_eq(f.r.nstays, 0u);
    pass(&f, 4999);
    cr_assert_eq(f.r.count, 1u);
    arrive(&f, "ann", &a); /* moved, in time */
    pass(&f, 5000);
    cr_assert_not(rc_roster_has_changes(&f.r));
    depart(&f, "ann", &a);
    pass(&f, 5000);
    cr_assert_str_eq(take(&f, 9), "+ -\"ann\"");
    cr_assert_eq(f.r.users.n, 0u);
    cr_assert_eq(a.n + b.n, 0u);
    tear_down(&f);
}

Test(roster, what_a_node_does_not_say_again_is_stale)
{
    struct rc_roster_source a, b;
    struct fixture f;

    set_up(&f);
    rc_roster_source_init(&a, 100);
    rc_roster_source_init(&b, 100);
    arrive(&f, "ann", &a);
    arrive(&f, "bob", &a);
    arrive(&f, "carl", &a);
    arrive(&f, "bob", &b);
    (void)take(&f, 9);
    cr_assert_null(rc_roster_stale(&a));
    a.round++;
    arrive(&f, "carl", &a);
    arrive(&f, "dora", &a);
    cr_assert_eq(sweep(&f, &a), 2u);
    cr_assert_eq(a.n, 2u);
    pass(&f, 5000);
    cr_assert_str_eq(take(&f, 9), "+\"dora\" -\"ann\""); /* bob is there by the other one */
    cr_assert_eq(f.r.count, 3u);
    a.round++; /* its node is gone */
    cr_assert_eq(sweep(&f, &a), 2u);
    pass(&f, 5000);
    cr_assert_str_eq(take(&f, 9), "+ -\"carl\",\"dora\"");
    cr_assert_eq(f.r.count, 1u);
    tear_down(&f); /* with one of b's */
    cr_assert_eq(b.n, 0u);
}

/* What is there already may be said again. */
Test(roster, a_source_may_say_so_much)
{
    struct rc_roster_source a;
    struct fixture f;

    set_up(&f);
    rc_roster_source_init(&a, 2);
    arrive(&f, "ann", &a);
    enter(&f, "carl");
    arrive(&f, "bob", &a);
    cr_assert_not(rc_roster_arrive(&f.r, RC_STR("carl"), &a));
    cr_assert_not(rc_roster_arrive(&f.r, RC_STR("dora"), &a));
    cr_assert_eq(f.r.count, 3u);
    cr_assert_eq(f.r.users.n, 3u);
    a.round++;
    arrive(&f, "ann", &a);
    arrive(&f, "bob", &a);
    cr_assert_eq(sweep(&f, &a), 0u);
    depart(&f, "bob", &a);
    arrive(&f, "dora", &a);
    tear_down(&f);
}

/* ---- told to others ---- */

static struct {
    char text[256];
    unsigned max;
} news;

static bool note(struct rc_roster *r, struct rc_str user, bool here, void *arg)
{
    size_t n = strlen(news.text);

    cr_assert_eq(r, arg);
    (void)snprintf(news.text + n, sizeof(news.text) - n, "%c%.*s ", here ? '+' : '-',
                   RC_STR_ARG(user));
    return --news.max != 0;
}

static const char *heard(struct fixture *f, unsigned max)
{
    news.text[0] = '\0';
    news.max = max;
    rc_roster_tell(f->r.share, note, &f->r);
    return news.text;
}

static void set_up_share(struct fixture *f, struct rc_roster_share *share)
{
    set_up(f);
    rc_roster_share_init(share);
    f->r.share = share;
}

Test(roster, others_are_told_of_sockets_here_and_of_nobody_else)
{
    struct rc_roster_share share;
    struct rc_roster_source a;
    struct fixture f;

    set_up_share(&f, &share);
    rc_roster_source_init(&a, 100);
    arrive(&f, "zoe", &a);
    cr_assert_not(rc_roster_share_has_news(&share));
    enter(&f, "ann");
    enter(&f, "ann");
    enter(&f, "zoe");
    enter(&f, "bob");
    leave(&f, "bob"); /* nobody has heard of him */
    cr_assert_str_eq(heard(&f, 1), "+ann ");
    cr_assert(rc_roster_share_has_news(&share));
    cr_assert_str_eq(heard(&f, 9), "+zoe ");
    leave(&f, "ann");
    cr_assert_str_eq(heard(&f, 9), "");
    leave(&f, "ann"); /* held here, and told at once: others hold for themselves */
    enter(&f, "zoe");
    cr_assert_str_eq(heard(&f, 9), "-ann ");
    leave(&f, "zoe");
    leave(&f, "zoe");
    depart(&f, "zoe", &a);
    (void)take(&f, 9);
    pass(&f, 5000);
    (void)take(&f, 9);
    cr_assert_eq(f.r.users.n, 1u); /* others do not know yet */
    cr_assert_str_eq(heard(&f, 9), "-zoe ");
    cr_assert_eq(f.r.users.n, 0u);
    enter(&f, "ann");
    enter(&f, "bob");
    news.text[0] = '\0';
    news.max = 9;
    rc_roster_tell_of(&f.r, note, &f.r);
    cr_assert_eq(strlen(news.text), 10u);
    cr_assert_not(rc_roster_share_has_news(&share));
    tear_down(&f);
    cr_assert(rc_list_empty(&share.own) && rc_list_empty(&share.untold));
}

Test(roster, a_walk_through_those_who_are_here)
{
    struct rc_roster_share share;
    struct rc_roster_walk w;
    struct fixture f;

    set_up_share(&f, &share);
    news.text[0] = '\0';
    rc_roster_walk_begin(&share, &w);
    cr_assert_not(rc_roster_walk_step(&w, note, &f.r));
    enter(&f, "a");
    enter(&f, "b");
    enter(&f, "c");
    enter(&f, "d");
    rc_roster_walk_begin(&share, &w);
    news.max = 2;
    cr_assert(rc_roster_walk_step(&w, note, &f.r));
    cr_assert_str_eq(news.text, "+a +b ");
    leave(&f, "b"); /* beside the place, on both sides of it */
    leave(&f, "c");
    enter(&f, "e"); /* came later: others are told anyway */
    enter(&f, "c");
    news.max = 1;
    cr_assert_not(rc_roster_walk_step(&w, note, &f.r));
    cr_assert_str_eq(news.text, "+a +b +d ");
    rc_roster_walk_begin(&share, &w);
    news.max = 1;
    cr_assert(rc_roster_walk_step(&w, note, &f.r));
    rc_roster_walk_stop(&w);
    tear_down(&f);
    cr_assert(rc_list_empty(&share.own));
}

/* Three nodes of five users, said and unsaid, forgotten and announced at random, against a table. */
Test(roster, random_steps_of_nodes)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    bool said[3][5] = {{false}};
    uint64_t gone_at[5] = {0}, seed = 11;
    struct rc_roster_source source[3];
    struct fixture f;

    set_up(&f);
    for (unsigned i = 0; i < 3; i++)
        rc_roster_source_init(&source[i], 5);
    for (unsigned step = 0; step < 30000; step++) {
        bool before[5];
        unsigned s, u, what, count = 0;

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        s = (unsigned)(seed >> 33) % 3;
        u = (unsigned)(seed >> 40) % 5;
        what = (unsigned)(seed >> 50) % 16;
        for (unsigned i = 0; i < 5; i++)
            before[i] = said[0][i] || said[1][i] || said[2][i];
        if (what < 6) {
            arrive(&f, names[u], &source[s]);
            said[s][u] = true;
        } else if (what < 11) {
            depart(&f, names[u], &source[s]);
            said[s][u] = false;
        } else if (what == 11) { /* announced anew: half of them */
            source[s].round++;
            for (unsigned i = 0; i < 5; i++) {
                said[s][i] = (seed >> (20 + i) & 1) != 0;
                if (said[s][i])
                    arrive(&f, names[i], &source[s]);
            }
            (void)sweep(&f, &source[s]);
        } else if (what == 12) {
            source[s].round++;
            (void)sweep(&f, &source[s]);
            memset(said[s], 0, sizeof(said[s]));
        } else if (what < 15) {
            pass(&f, (seed >> 50) % 3000);
        }
        for (unsigned i = 0; i < 5; i++) {
            bool now = said[0][i] || said[1][i] || said[2][i];

            if (before[i] && !now)
                gone_at[i] = f.now + 5000;
            count += now || gone_at[i] > f.now;
        }
        cr_assert_eq(f.r.count, count);
        cr_assert_eq(listed(&f, 9, false), count);
        if (what == 15) {
            (void)take(&f, 9);
            cr_assert_eq(f.r.users.n, count);
        }
        for (unsigned i = 0; i < 3; i++) {
            unsigned n = 0;

            for (unsigned j = 0; j < 5; j++)
                n += said[i][j];
            cr_assert_eq(source[i].n, n);
        }
    }
    tear_down(&f);
}

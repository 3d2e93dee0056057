/* The [room] sections (src/broker/access.c): what they mean, and what they cannot say. Who is let
 * in by them: tests/e2e/people. */
#include "rc/base/hash.h"
#include "rc/broker/access.h"

#include <criterion/criterion.h>

struct fixture {
    struct rc_conf conf;
    struct rc_conf_errors e;
    struct rc_room_rules set;
};

/* Compiles all [room] sections of the text. all: there are tokens and a store. */
static void compile(struct fixture *f, const char *text, bool all)
{
    *f = (struct fixture){.e = {.n = 0}};
    cr_assert_eq(rc_hash_init(), RC_OK);
    if (rc_conf_load_text(&f->conf, "t.ini", rc_str_of(text), NULL, 0, &f->e) != RC_OK)
        cr_assert_fail("%s%.*s", text, RC_STR_ARG(rc_buf_str(&f->e.text)));
    for (unsigned i = 0; i < f->conf.nsections; i++) {
        cr_assert_eq(f->conf.section[i].kind, RC_CONF_ROOM);
        rc_room_rules_add(&f->set, &f->conf.section[i], (struct rc_room_setting){all, all},
                          &f->e);
    }
}

static void tear_down(struct fixture *f)
{
    rc_room_rules_deinit(&f->set);
    cr_assert_eq(f->set.n, 0u);
    rc_conf_free(&f->conf);
    rc_buf_deinit(&f->e.text);
}

static void check_fault(const char *text, bool all, const char *expected)
{
    struct fixture f;

    compile(&f, text, all);
    rc_buf_putc(&f.e.text, '\0');
    cr_assert_str_eq((const char *)f.e.text.data, expected);
    tear_down(&f);
}

static void check_grant(const struct rc_room_rule *r, enum rc_access access, enum rc_grantee to,
                        const char *text)
{
    const struct rc_grant *g = &r->grant[access];

    cr_assert_eq(g->to, to);
    if (text == NULL)
        cr_assert_null(g->text);
    else
        cr_assert_str_eq(g->text, text);
}

Test(access, grants)
{
    struct fixture f;

    compile(&f,
            "[room vip-*]\njoin = claim my rooms\npublish = member\nhistory = authenticated\n"
            "[room user-*]\njoin = user\npublish=anyone\n[room /chat a b]\n[room / /x]\n"
            "join = authenticated\n[room /chat /x]\nhistory = user\n",
            true);
    cr_assert_eq(f.e.n, 1u); /* the last has no star */
    cr_assert_eq(f.set.n, 5u);
    check_grant(&f.set.rule[0], RC_ACCESS_JOIN, RC_GRANT_CLAIM,
                "[room vip-*] join = claim my rooms");
    cr_assert(rc_str_eq(f.set.rule[0].grant[RC_ACCESS_JOIN].claim, RC_STR("my rooms")));
    check_grant(&f.set.rule[0], RC_ACCESS_PUBLISH, RC_GRANT_MEMBER,
                "[room vip-*] publish = member");
    check_grant(&f.set.rule[0], RC_ACCESS_HISTORY, RC_GRANT_AUTHENTICATED,
                "[room vip-*] history = authenticated");
    check_grant(&f.set.rule[1], RC_ACCESS_JOIN, RC_GRANT_USER, "[room user-*] join = user");
    check_grant(&f.set.rule[1], RC_ACCESS_PUBLISH, RC_GRANT_ANYONE,
                "[room user-*] publish = anyone");
    check_grant(&f.set.rule[1], RC_ACCESS_HISTORY, RC_GRANT_ANYONE, NULL);
    check_grant(&f.set.rule[2], RC_ACCESS_JOIN, RC_GRANT_ANYONE, NULL);
    cr_assert(rc_str_eq(f.set.rule[2].pattern, RC_STR("a b")));
    check_grant(&f.set.rule[3], RC_ACCESS_JOIN, RC_GRANT_AUTHENTICATED,
                "[room / /x] join = authenticated");
    check_grant(&f.set.rule[4], RC_ACCESS_HISTORY, RC_GRANT_USER,
                "[room /chat /x] history = user");
    tear_down(&f);
}

static const char *pattern_of(const struct fixture *f, const char *name)
{
    const struct rc_room_rule *rule = rc_room_rules_find(&f->set, rc_str_of(name));

    return rule != NULL ? rule->pattern.p : "";
}

/* The first that fits decides; a * takes what it does not in namespaces. */
Test(access, the_first_section_decides)
{
    struct fixture f;

    compile(&f, "[room vip-1]\n[room vip-*]\n[room *-1]\n[room vip-*-*]\n[room a*b]\n", false);
    cr_assert_str_eq(pattern_of(&f, "vip-1"), "vip-1");
    cr_assert_str_eq(pattern_of(&f, "vip-2"), "vip-*");
    cr_assert_str_eq(pattern_of(&f, "vip-2-1"), "vip-*");
    cr_assert_str_eq(pattern_of(&f, "vip-a/b,c?d\n"), "vip-*");
    cr_assert_str_eq(pattern_of(&f, "x-1"), "*-1");
    cr_assert_str_eq(pattern_of(&f, "vip-"), "");
    cr_assert_str_eq(pattern_of(&f, "a/b"), "a*b");
    cr_assert_str_eq(pattern_of(&f, "ab"), "");
    cr_assert_str_eq(pattern_of(&f, ""), "");
    tear_down(&f);
    compile(&f, "", false);
    cr_assert_str_eq(pattern_of(&f, "vip-1"), "");
    tear_down(&f);
}

static void check_star(const char *pattern, const char *name, const char *expected)
{
    const struct rc_room_rule rule = {.pattern = rc_str_of(pattern)};

    cr_assert(rc_str_eq(rc_room_rule_star(&rule, rc_str_of(name)), rc_str_of(expected)));
}

Test(access, what_the_star_stands_for)
{
    check_star("user-*", "user-ann", "ann");
    check_star("*", "ann", "ann");
    check_star("*'s room", "ann's room", "ann");
    check_star("<*>", "<<>>", "<>");
    check_star("lobby", "lobby", "lobby");
}

Test(access, presence)
{
    struct fixture f;

    compile(&f,
            "[room a]\npresence = yes\n[room b]\npresence = no\n[room c]\npresence = yes\n"
            "presence_hold = 250ms\n[room d]\npresence_hold = 0ms\npresence = yes\n",
            true);
    cr_assert_eq(f.e.n, 0u);
    cr_assert(f.set.rule[0].presence);
    cr_assert_eq(f.set.rule[0].hold_ms, 5000u);
    cr_assert_not(f.set.rule[1].presence);
    cr_assert(f.set.rule[2].presence);
    cr_assert_eq(f.set.rule[2].hold_ms, 250u);
    cr_assert(f.set.rule[3].presence);
    cr_assert_eq(f.set.rule[3].hold_ms, 0u);
    tear_down(&f);
}

#define WHO    "expected anyone, authenticated, member, group, claim NAME or user\n"
#define TOKENS "expected a namespace that looks at tokens"

Test(access, faults)
{
    check_fault("[room vip-*]\njoin = friends\n", true,
                "t.ini:2: [room vip-*] join = friends: " WHO);
    check_fault("[room vip-*]\npublish =\n", true, "t.ini:2: [room vip-*] publish = : " WHO);
    check_fault("[room vip-*]\npublish = claim\n", true,
                "t.ini:2: [room vip-*] publish = claim: " WHO);
    check_fault("[room vip-*]\nhistory = Anyone\n", true,
                "t.ini:2: [room vip-*] history = Anyone: " WHO);
    check_fault("[room /chat vip]\njoin = member\n", true,
                "t.ini:2: [room /chat vip] join = member: expected something else than member: "
                "nobody is one before they have joined\n");
    check_fault("[room *-*]\n\njoin = user\n", true,
                "t.ini:3: [room *-*] join = user: expected a pattern with one *, which stands "
                "for the user's id\n");
    check_fault("[room x]\njoin = user\n", true,
                "t.ini:2: [room x] join = user: expected a pattern with one *, which stands "
                "for the user's id\n");
    check_fault("[room x]\njoin = authenticated\npublish = member\n", false,
                "t.ini:2: [room x] join = authenticated: " TOKENS
                ": auth = optional or required\n");
    check_fault("[room x]\nhistory = claim y\n", false,
                "t.ini:2: [room x] history = claim y: " TOKENS
                ": auth = optional or required\n");
    check_fault("[room x]\nhistory = group\n", false,
                "t.ini:2: [room x] history = group: expected a store, which knows who is in a "
                "group: store.engine\n"
                "t.ini:2: [room x] history = group: " TOKENS ": auth = optional or required\n");
    check_fault("[room *.*]\nhistory = group\n", true,
                "t.ini:2: [room *.*] history = group: expected a pattern with no more than one "
                "*, which stands for the group\n");
    check_fault("[room x]\npresence = yes\n", false,
                "t.ini:2: [room x] presence = yes: " TOKENS ": only users are told of\n");
    check_fault("[room x]\npresence = maybe\n", true,
                "t.ini:2: [room x] presence = maybe: expected yes or no\n");
    check_fault("[room x]\npresence_hold = 5s\n", true,
                "t.ini:2: [room x] presence_hold = 5s: expected presence = yes in the same "
                "section\n");
    check_fault(
        "[room x]\npresence = yes\npresence_hold = 11m\n", true,
        "t.ini:3: [room x] presence_hold = 11m: expected a duration from 0ms to 10m with "
        "its unit ms, s, m or h, such as 25s or 300ms\n");
}

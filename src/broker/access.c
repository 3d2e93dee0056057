/* access.c - compiles the [room] sections. That no key comes twice is conf's care. */
#include "rc/broker/access.h"

#include "rc/base/buf.h"
#include "rc/base/err.h"
#include "rc/base/mem.h"
#include "rc/base/thread.h"
#include "rc/base/wild.h"

#include <stdlib.h>

enum {
    HOLD_MS = 5000, /* unless it is said */
    HOLD_MAX_MS = 600000,
};

static const char *const access_keys[] = {
#define ACCESS_KEY(name, key) key,
    RC_ACCESS_MAP(ACCESS_KEY)
#undef ACCESS_KEY
};

struct compiler {
    const struct rc_conf_section *section;
    const struct rc_conf_entry *entry;
    struct rc_conf_errors *e;
    struct rc_room_rule *rule;
    struct rc_room_setting setting;
    const struct rc_conf_entry *hold; /* presence_hold, if it is there */
};

/* "[room vip-*] join = claim rooms" */
static void put_entry(const struct compiler *c, struct rc_buf *to)
{
    rc_conf_header_put(c->section, to);
    rc_buf_printf(to, " %s = %s", c->entry->key, c->entry->value);
}

static void fault(const struct compiler *c, const char *expected)
{
    struct rc_buf text = RC_BUF_INIT;

    put_entry(c, &text);
    rc_conf_error(c->e, c->entry->file, c->entry->line, "%.*s: expected %s",
                  RC_STR_ARG(rc_buf_str(&text)), expected);
    rc_buf_deinit(&text);
}

/* ---- who may ---- */

static unsigned count_stars(struct rc_str pattern)
{
    unsigned n = 0;

    for (size_t i = 0; i < pattern.len; i++)
        n += pattern.p[i] == '*';
    return n;
}

/* What the value alone does not show. */
static void check_grant(const struct compiler *c, enum rc_access access, enum rc_grantee to)
{
    unsigned stars = count_stars(c->rule->pattern);

    if (to == RC_GRANT_MEMBER && access == RC_ACCESS_JOIN)
        fault(c, "something else than member: nobody is one before they have joined");
    if (to == RC_GRANT_USER && stars != 1)
        fault(c, "a pattern with one *, which stands for the user's id");
    if (to == RC_GRANT_GROUP && stars > 1)
        fault(c, "a pattern with no more than one *, which stands for the group");
    if (to == RC_GRANT_GROUP && !c->setting.store)
        fault(c, "a store, which knows who is in a group: store.engine");
    if (!c->setting.tokens && to != RC_GRANT_ANYONE && to != RC_GRANT_MEMBER)
        fault(c, "a namespace that looks at tokens: auth = optional or required");
}

static void read_grant(const struct compiler *c, enum rc_access access)
{
    static const struct {
        const char *word;
        enum rc_grantee to;
    } words[] = {{"anyone", RC_GRANT_ANYONE},
                 {"authenticated", RC_GRANT_AUTHENTICATED},
                 {"member", RC_GRANT_MEMBER},
                 {"group", RC_GRANT_GROUP},
                 {"user", RC_GRANT_USER}};
    enum { NWORDS = sizeof(words) / sizeof(words[0]) };
    struct rc_grant *g = &c->rule->grant[access];
    struct rc_str value = rc_str_of(c->entry->value), claim = RC_STR("claim ");
    struct rc_buf text = RC_BUF_INIT;
    size_t len;
    unsigned i = 0;

    while (i < NWORDS && !rc_str_eq(value, rc_str_of(words[i].word)))
        i++;
    if (i < NWORDS)
        g->to = words[i].to;
    else if (rc_str_starts(value, claim) && value.len > claim.len)
        *g = (struct rc_grant){.to = RC_GRANT_CLAIM, .claim = rc_str_skip(value, claim.len)};
    else
        fault(c, "anyone, authenticated, member, group, claim NAME or user");
    check_grant(c, access, g->to);
    put_entry(c, &text);
    g->text = (char *)rc_buf_take(&text, &len);
    g->text = rc_realloc(g->text, len + 1);
    g->text[len] = '\0';
}

/* ---- presence ---- */

static void read_presence(const struct compiler *c)
{
    struct rc_buf expected = RC_BUF_INIT;

    if (!rc_conf_bool(rc_str_of(c->entry->value), &c->rule->presence, &expected)) {
        rc_buf_putc(&expected, '\0');
        fault(c, (const char *)expected.data);
    }
    if (c->rule->presence && !c->setting.tokens)
        fault(c, "a namespace that looks at tokens: only users are told of");
    rc_buf_deinit(&expected);
}

static void read_hold(struct compiler *c)
{
    struct rc_buf expected = RC_BUF_INIT;

    c->hold = c->entry;
    if (!rc_conf_duration(rc_str_of(c->entry->value), 0, HOLD_MAX_MS, &c->rule->hold_ms,
                          &expected)) {
        rc_buf_putc(&expected, '\0');
        fault(c, (const char *)expected.data);
    }
    rc_buf_deinit(&expected);
}

/* ---- the set ---- */

static void read_entry(struct compiler *c)
{
    for (unsigned i = 0; i < RC_ACCESS_COUNT; i++) {
        if (strcmp(c->entry->key, access_keys[i]) == 0) {
            read_grant(c, (enum rc_access)i);
            return;
        }
    }
    if (strcmp(c->entry->key, "presence") == 0)
        read_presence(c);
    else
        read_hold(c);
}

void rc_room_rules_add(struct rc_room_rules *set, const struct rc_conf_section *section,
                       struct rc_room_setting setting, struct rc_conf_errors *e)
{
    struct compiler c = {.section = section, .e = e, .setting = setting};
    struct rc_room_rule *rule;

    set->rule = rc_realloc(set->rule, (set->n + 1) * sizeof(*set->rule));
    rule = c.rule = &set->rule[set->n++];
    *rule = (struct rc_room_rule){.pattern = rc_str_of(section->name), .hold_ms = HOLD_MS};
    for (unsigned i = 0; i < section->nentries; i++) {
        c.entry = &section->entry[i];
        read_entry(&c);
    }
    c.entry = c.hold;
    if (c.hold != NULL && !rule->presence)
        fault(&c, "presence = yes in the same section");
}

void rc_room_rules_deinit(struct rc_room_rules *set)
{
    for (unsigned i = 0; i < set->n; i++)
        for (unsigned j = 0; j < RC_ACCESS_COUNT; j++)
            free(set->rule[i].grant[j].text);
    free(set->rule);
    *set = (struct rc_room_rules){0};
}

const struct rc_room_rule *rc_room_rules_find(const struct rc_room_rules *set,
                                              struct rc_str name)
{
    for (unsigned i = 0; i < set->n; i++)
        if (rc_wild_fits(set->rule[i].pattern, name, NULL))
            return &set->rule[i];
    return NULL;
}

struct rc_str rc_room_rule_star(const struct rc_room_rule *rule, struct rc_str name)
{
    struct rc_str pattern = rule->pattern;
    const char *star = memchr(pattern.p, '*', pattern.len);
    size_t before = star != NULL ? (size_t)(star - pattern.p) : 0;

    if (star == NULL)
        return name;
    RC_ASSERT(name.len >= pattern.len); /* it fits */
    return rc_str_make(name.p + before, name.len - (pattern.len - 1));
}

/* rules.c - compiles the [event] and [connect] sections: each entry becomes one action, whose
 * texts and arguments are templates. That no section and no `ack` comes twice is conf's care. */
#include "rc/broker/rules.h"

#include "rules_int.h"

#include "rc/base/hash.h"
#include "rc/base/mem.h"
#include "rc/base/thread.h"
#include "rc/proto/json.h"
#include "rc/proto/sio.h"

#include <stdlib.h>

enum {
    ASK_WITHIN_MS = 10000, /* unless it is said */
    ASK_WITHIN_MAX_MS = 600000,
};

static const struct {
    const char *key, *form;
} verbs[] = {
#define VERB_ROW(name, key, form) {key, form},
    RC_VERB_MAP(VERB_ROW)
#undef VERB_ROW
};
enum { NVERBS = sizeof(verbs) / sizeof(verbs[0]) };

/* ---- emit ---- */

static bool fault_reserved(struct rc_compiler *c, struct rc_str json)
{
    struct rc_buf name = RC_BUF_INIT;

    if (rc_json_string_decode(json, &name) == RC_OK)
        (void)rc_rules_fault(c, "Socket.IO reserves the event %.*s",
                             RC_STR_ARG(rc_buf_str(&name)));
    rc_buf_deinit(&name);
    return false;
}

/* Clients close the connection when they are sent an event of their own. */
static bool check_event(struct rc_compiler *c, const struct rc_template *event)
{
    const struct rc_template_env env = {0};
    struct rc_buf name = RC_BUF_INIT;
    unsigned arg;
    bool ok = true;

    if (!rc_template_is_constant(event))
        return true;
    if (rc_template_fill_args(event, &env, &name, &arg) != RC_OK ||
        rc_str_eq(rc_buf_str(&name), RC_STR("\"\"")))
        ok = rc_rules_fault(c, "the name of the event is missing");
    else if (rc_sio_event_reserved(rc_buf_str(&name)))
        ok = fault_reserved(c, rc_buf_str(&name));
    rc_buf_deinit(&name);
    return ok;
}

bool rc_rules_compile_event(struct rc_compiler *c, struct rc_str src, struct rc_action *a)
{
    if (!rc_rules_compile_string(c, &src, "event", &a->event) || !check_event(c, a->event))
        return false;
    src = rc_rules_skip_blanks(src);
    return src.len == 0 || rc_rules_compile_args(c, src, &a->args);
}

static bool compile_emit(struct rc_compiler *c, struct rc_str src, struct rc_action *a)
{
    struct rc_target_words t = {.n = 0};

    return rc_rules_read_target(c, &src, &t) && rc_rules_compile_target(c, &t, a) &&
           rc_rules_compile_event(c, src, a);
}

/* As emit, with a time for the answers behind the target. */
static bool compile_ask(struct rc_compiler *c, struct rc_str src, struct rc_action *a)
{
    struct rc_target_words t = {.n = 0};
    struct rc_buf why = RC_BUF_INIT;
    bool ok;

    c->last = c->entry;
    a->within_ms = ASK_WITHIN_MS;
    c->set->uses_ask = true;
    if (c->section->kind == RC_CONF_CONNECT)
        return rc_rules_fault(c, "[connect] has nobody to answer to");
    if (!rc_rules_read_target(c, &src, &t))
        return false;
    if (t.n >= 2 && rc_str_eq(t.word[t.n - 2], RC_STR("within"))) {
        ok = rc_conf_duration(t.word[t.n - 1], 10, ASK_WITHIN_MAX_MS, &a->within_ms, &why) ||
             rc_rules_fault(c, "within must be followed by %.*s", (int)why.len,
                            (const char *)why.data);
        rc_buf_deinit(&why);
        if (!ok)
            return false;
        t.n -= 2;
    }
    if (!rc_rules_compile_target(c, &t, a))
        return false;
    if (a->list == NULL ? a->target == RC_TARGET_SENDER
                        : a->list->nto == 1 && a->list->item[0].target == RC_TARGET_SENDER)
        return rc_rules_fault(c, "the sender is who asks");
    return rc_rules_compile_event(c, src, a);
}

/* ---- the other verbs ---- */

/* MESSAGE [DATA]: what who is refused gets to know. */
static bool compile_refusal(struct rc_compiler *c, struct rc_str src, struct rc_action *a)
{
    if (!rc_rules_compile_string(c, &src, "message", &a->message))
        return false;
    src = rc_rules_skip_blanks(src);
    if (src.len == 0)
        return true;
    if (!rc_rules_compile_args(c, src, &a->data))
        return false;
    return rc_template_is_value(a->data) ||
           rc_rules_fault(
               c, "the data is more than one value; a message needs \" around it if it has "
                  "blanks");
}

static bool compile_refuse(struct rc_compiler *c, struct rc_str src, struct rc_action *a)
{
    c->last = c->entry;
    return compile_refusal(c, src, a);
}

/* The value of a key of auth, as JSON. */
static bool compile_auth_key(struct rc_compiler *c, struct rc_str key, struct rc_template **to)
{
    struct rc_buf text = RC_BUF_INIT;
    bool ok;

    if (key.len == 0)
        return rc_rules_fault(c, "the key is missing");
    if (memchr(key.p, '{', key.len) != NULL || memchr(key.p, '"', key.len) != NULL)
        return rc_rules_fault(c, "the key is a name as in {auth.KEY}");
    rc_buf_printf(&text, "{auth.%.*s}", RC_STR_ARG(key));
    ok = rc_rules_compile_args(c, rc_buf_str(&text), to);
    rc_buf_deinit(&text);
    return ok;
}

static bool compile_condition(struct rc_compiler *c, struct rc_str *src, struct rc_action *a)
{
    struct rc_str kind, word[2];
    bool same;

    if (!rc_rules_next_word(c, src, &kind) || !rc_rules_next_word(c, src, &word[0]))
        return false;
    if (rc_str_eq(kind, RC_STR("member"))) {
        a->require = RC_REQUIRE_MEMBER;
        if (c->section->kind == RC_CONF_CONNECT)
            return rc_rules_fault(c, "a client that is about to connect is in no room");
        if (!rc_rules_compile_name(c, word[0], "room", &a->name))
            return false;
        rc_rules_name_room(c);
        return true;
    }
    if (rc_str_eq(kind, RC_STR("auth"))) {
        a->require = RC_REQUIRE_AUTH;
        return compile_auth_key(c, word[0], &a->text[0]);
    }
    if (rc_str_eq(kind, RC_STR("group")))
        return rc_rules_compile_in_group(c, word[0], a);
    same = rc_str_eq(kind, RC_STR("same"));
    if (!same)
        return rc_rules_fault(c, "%.*s cannot be required", RC_STR_ARG(rc_rules_shown(kind)));
    a->require = RC_REQUIRE_SAME;
    return rc_rules_next_word(c, src, &word[1]) &&
           rc_rules_compile_name(c, word[0], "first text", &a->text[0]) &&
           rc_rules_compile_name(c, word[1], "second text", &a->text[1]);
}

static bool compile_join(struct rc_compiler *c, struct rc_str src, struct rc_action *a)
{
    size_t n = rc_rules_word_len(src);
    struct rc_str rest = rc_rules_skip_blanks(rc_str_skip(src, n));

    if (src.p == NULL || rest.len == 0 || !rc_str_eq(rc_str_make(src.p, n), RC_STR("rooms")))
        return rc_rules_compile_room(c, src, &a->name);
    a->list = rc_calloc(1, sizeof(*a->list) + sizeof(struct rc_target_item));
    a->list->nto = 1;
    a->list->item[0].target = RC_TARGET_ROOMS;
    if (!rc_rules_compile_list(c, rest, &a->list->item[0].name))
        return false;
    rc_rules_name_room(c);
    return true;
}

static bool compile_require(struct rc_compiler *c, struct rc_str src, struct rc_action *a)
{
    struct rc_str word = RC_STR_NONE;

    if (src.len == 0)
        return rc_rules_fault(c, "it does not say what");
    if (!compile_condition(c, &src, a) || !rc_rules_next_word(c, &src, &word))
        return false;
    if (word.len == 0)
        return true;
    if (!rc_str_eq(word, RC_STR("else")))
        return rc_rules_fault(
            c, "%.*s is not else; a room or a text needs \" around it if it has blanks",
            RC_STR_ARG(rc_rules_shown(word)));
    return compile_refusal(c, src, a);
}

static bool compile_ack(struct rc_compiler *c, struct rc_str src, struct rc_action *a)
{
    if (c->section->kind == RC_CONF_CONNECT)
        return rc_rules_fault(c, "[connect] has nothing to acknowledge");
    if (src.len == 0)
        return rc_rules_fault(c, "the arguments are missing");
    if (rc_str_eq(src, RC_STR("none"))) {
        c->rule->ack = RC_ACK_NONE;
        return true;
    }
    if (rc_str_eq(src, RC_STR("auto"))) {
        c->rule->ack = RC_ACK_AUTO;
        return true;
    }
    c->rule->ack = RC_ACK_OWN;
    return rc_rules_compile_args(c, src, &a->args);
}

static bool compile_watch(struct rc_compiler *c, struct rc_str src)
{
    return rc_str_eq(src, RC_STR("rooms")) ||
           rc_rules_fault(c, "only the list of rooms can be watched");
}

static bool compile_presence(struct rc_compiler *c, struct rc_str src, struct rc_action *a)
{
    size_t n = rc_rules_word_len(src);

    if (c->section->kind == RC_CONF_CONNECT)
        return rc_rules_fault(c, "[connect] has nobody to answer");
    if (!rc_str_eq(rc_str_make(src.p, n), RC_STR("room")))
        return rc_rules_fault(c, "only rooms have a presence");
    return rc_rules_compile_room(c, rc_rules_skip_blanks(rc_str_skip(src, n)), &a->name);
}

static bool compile_disconnect(struct rc_compiler *c, struct rc_str src, struct rc_action *a)
{
    c->last = c->entry;
    a->whole_connection = rc_str_eq(src, RC_STR("connection"));
    return a->whole_connection || rc_str_eq(src, RC_STR("namespace")) ||
           rc_rules_fault(c, "it does not say from what");
}

static bool compile_action(struct rc_compiler *c, struct rc_action *a)
{
    struct rc_str src = rc_str_of(c->entry->value);

    a->verb = c->verb;
    switch (c->verb) {
    case RC_VERB_REQUIRE: return compile_require(c, src, a);
    case RC_VERB_REFUSE: return compile_refuse(c, src, a);
    case RC_VERB_JOIN:
    case RC_VERB_LEAVE: return compile_join(c, src, a);
    case RC_VERB_EMIT: return compile_emit(c, src, a);
    case RC_VERB_ASK: return compile_ask(c, src, a);
    case RC_VERB_ACK: return compile_ack(c, src, a);
    case RC_VERB_WATCH:
    case RC_VERB_UNWATCH: return compile_watch(c, src);
    case RC_VERB_PRESENCE: return compile_presence(c, src, a);
    case RC_VERB_DISCONNECT: return compile_disconnect(c, src, a);
    case RC_VERB_STORE: return rc_rules_compile_store(c, src, a);
    case RC_VERB_MESSAGE: return rc_rules_compile_message(c, src, a);
    case RC_VERB_HISTORY: return rc_rules_compile_history(c, src, a);
    case RC_VERB_GROUP: return rc_rules_compile_group(c, src, a);
    }
    return false;
}

/* ---- rules ---- */

static void free_action(struct rc_action *a)
{
    rc_rules_free_list(a->list);
    rc_template_free(a->name);
    rc_template_free(a->event);
    rc_template_free(a->args);
    rc_template_free(a->text[0]);
    rc_template_free(a->text[1]);
    rc_template_free(a->message);
    rc_template_free(a->data);
}

/* Who connects is refused before anything else is done: so it is also written. */
static void check_order(struct rc_compiler *c, enum rc_verb verb)
{
    const struct rc_rule *rule = c->rule;
    enum rc_verb before;

    if (c->section->kind != RC_CONF_CONNECT || rule->nactions == 0 ||
        (verb != RC_VERB_REQUIRE && verb != RC_VERB_REFUSE))
        return;
    before = rule->action[rule->nactions - 1].verb;
    if (before != RC_VERB_REQUIRE)
        (void)rc_rules_fault(
            c, "[connect] refuses before it does anything: it cannot come after %s",
            verbs[before].key);
}

static void compile_entry(struct rc_compiler *c)
{
    const struct rc_conf_entry *before = c->last;
    struct rc_action a = {.verb = RC_VERB_EMIT};
    unsigned i = 0;

    while (i < NVERBS && strcmp(c->entry->key, verbs[i].key) != 0)
        i++;
    RC_ASSERT(i < NVERBS); /* conf knows the same keys */
    c->verb = (enum rc_verb)i;
    c->form = verbs[i].form;
    if (!compile_action(c, &a) || !rc_rules_check_message(c, &a)) {
        free_action(&a);
        return;
    }
    if (a.verb == RC_VERB_ACK && a.args == NULL)
        return; /* none, auto: a property of the rule, not a step */
    if (before != NULL)
        (void)rc_rules_fault(c, "nothing can follow %s (line %u)", before->key, before->line);
    else
        check_order(c, a.verb);
    c->rule->action[c->rule->nactions++] = a;
}

static struct rc_rule *add_rule(struct rc_ruleset *set, const struct rc_conf_section *s)
{
    unsigned n = set->nrules;

    if (s->kind == RC_CONF_CONNECT) {
        RC_ASSERT(set->connect == NULL);
        set->connect = rc_calloc(1, sizeof(*set->connect));
        return set->connect;
    }
    if ((n & (n - 1)) == 0)
        set->rule = rc_realloc(set->rule, (n != 0 ? 2 * (size_t)n : 1) * sizeof(*set->rule));
    set->rule[n] = (struct rc_rule){0};
    set->nrules++;
    return &set->rule[n];
}

void rc_ruleset_add(struct rc_ruleset *set, const struct rc_conf_section *section,
                    struct rc_conf_errors *e)
{
    struct rc_rule *rule = add_rule(set, section);
    struct rc_compiler c = {.section = section, .e = e, .set = set, .rule = rule};

    rule->event = rc_strndup(section->name, strlen(section->name));
    rule->action =
        section->nentries != 0 ? rc_calloc(section->nentries, sizeof(*rule->action)) : NULL;
    for (unsigned i = 0; i < section->nentries; i++) {
        c.entry = &section->entry[i];
        compile_entry(&c);
    }
}

/* ---- the set ---- */

static uint64_t hash_of(struct rc_str event)
{
    return rc_hash_quick(event.p, event.len);
}

static bool same_event(const void *value, const void *key)
{
    const struct rc_rule *rule = value;
    const struct rc_str *event = key;

    return rc_str_eq(rc_str_of(rule->event), *event);
}

void rc_ruleset_seal(struct rc_ruleset *set)
{
    for (unsigned i = 0; i < set->nrules; i++) {
        struct rc_rule *rule = &set->rule[i];

        rc_hmap_insert(&set->by_event, hash_of(rc_str_of(rule->event)), rule);
        if (strcmp(rule->event, "*") == 0)
            set->fallback = rule;
    }
}

static void deinit_rule(struct rc_rule *rule)
{
    for (unsigned i = 0; i < rule->nactions; i++)
        free_action(&rule->action[i]);
    free(rule->action);
    free(rule->event);
}

void rc_ruleset_free(struct rc_ruleset *set)
{
    for (unsigned i = 0; i < set->nrules; i++)
        deinit_rule(&set->rule[i]);
    free(set->rule);
    if (set->connect != NULL)
        deinit_rule(set->connect);
    free(set->connect);
    rc_hmap_deinit(&set->by_event);
    *set = (struct rc_ruleset){0};
}

const struct rc_rule *rc_ruleset_find(const struct rc_ruleset *set, struct rc_str event)
{
    const struct rc_rule *rule =
        rc_hmap_find(&set->by_event, hash_of(event), same_event, &event);

    return rule != NULL ? rule : set->fallback;
}

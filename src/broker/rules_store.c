/* rules_store.c - the verbs that ask the store: store, message, history, group, and require group. */
#include "rules_int.h"

#include "rc/base/mem.h"

#include <string.h>

static bool needs_store(struct rc_compiler *c)
{
    return c->set->has_store ||
           rc_rules_fault(c, "there is no store: set engine in the section [store]");
}

/* For what is answered by an acknowledgement, or asks before it goes on. */
static bool needs_event(struct rc_compiler *c)
{
    return c->section->kind != RC_CONF_CONNECT ||
           rc_rules_fault(c, "it belongs to an event, not to [connect]");
}

/* Users have one cursor: it belongs to one namespace. */
static bool check_namespace(struct rc_compiler *c)
{
    if (strchr(c->section->nsp, '*') != NULL)
        return rc_rules_fault(c, "users have no messages in a namespace with a pattern");
    c->set->uses_messages = true;
    return true;
}

/* The words behind [later] room ROOM. */
static bool compile_store_words(struct rc_compiler *c, const struct rc_target_words *t,
                                unsigned i, struct rc_action *a)
{
    if (i + 1 < t->n && rc_str_eq(t->word[i], RC_STR("except")) &&
        rc_str_eq(t->word[i + 1], RC_STR("sender"))) {
        a->except_sender = true;
        i += 2;
    }
    if (i + 1 < t->n && rc_str_eq(t->word[i], RC_STR("once"))) {
        if (!rc_rules_compile_name(c, t->word[i + 1], "client's id", &a->text[0]))
            return false;
        i += 2;
    }
    return i == t->n || rc_rules_fault(c, "%.*s is not what can follow",
                                       RC_STR_ARG(rc_rules_shown(t->word[i])));
}

bool rc_rules_compile_store(struct rc_compiler *c, struct rc_str src, struct rc_action *a)
{
    struct rc_target_words t = {.n = 0};
    unsigned i;

    if (!needs_store(c) || !rc_rules_read_target(c, &src, &t))
        return false;
    a->later = t.n > 0 && rc_str_eq(t.word[0], RC_STR("later"));
    i = a->later;
    if (i + 1 >= t.n || !rc_str_eq(t.word[i], RC_STR("room")))
        return rc_rules_fault(c, "it does not say into what room");
    for (unsigned j = 0; j < t.n; j++)
        if (t.comma[j])
            return rc_rules_fault(c, "it is stored in one room");
    a->target = RC_TARGET_ROOM;
    if (!rc_rules_compile_name(c, t.word[i + 1], "room", &a->name))
        return false;
    rc_rules_name_room(c);
    return compile_store_words(c, &t, i + 2, a) && rc_rules_compile_event(c, src, a);
}

/* All that is left, as one value; to is NULL when nothing is. */
static bool compile_value(struct rc_compiler *c, struct rc_str src, const char *what,
                          struct rc_template **to)
{
    src = rc_rules_skip_blanks(src);
    if (src.len == 0)
        return true;
    return rc_rules_compile_args(c, src, to) &&
           (rc_template_is_value(*to) || rc_rules_fault(c, "the %s is not one value", what));
}

bool rc_rules_compile_message(struct rc_compiler *c, struct rc_str src, struct rc_action *a)
{
    if (!needs_store(c) || !needs_event(c) || !check_namespace(c) ||
        !compile_value(c, src, "message", &a->args))
        return false;
    return a->args != NULL || rc_rules_fault(c, "the message is missing");
}

bool rc_rules_compile_history(struct rc_compiler *c, struct rc_str src, struct rc_action *a)
{
    static const char *const kinds[] = {[RC_HISTORY_ROOM] = "room",
                                        [RC_HISTORY_CONVERSATION] = "conversation",
                                        [RC_HISTORY_CONVERSATIONS] = "conversations"};
    struct rc_str kind, name;
    unsigned i = 0;
    bool is_room;

    if (!needs_store(c) || !needs_event(c) || !rc_rules_next_word(c, &src, &kind))
        return false;
    while (i <= RC_HISTORY_CONVERSATIONS && !rc_str_eq(kind, rc_str_of(kinds[i])))
        i++;
    if (i > RC_HISTORY_CONVERSATIONS)
        return rc_rules_fault(c, "it does not say of what");
    a->history = (enum rc_history)i;
    is_room = a->history == RC_HISTORY_ROOM;
    if (is_room && (!rc_rules_next_word(c, &src, &name) ||
                    !rc_rules_compile_name(c, name, "room", &a->name)))
        return false;
    if (is_room)
        rc_rules_name_room(c);
    if (!compile_value(c, src, "options", &a->data))
        return false;
    return a->history != RC_HISTORY_CONVERSATION || a->data != NULL ||
           rc_rules_fault(c, "it does not say with whom");
}

bool rc_rules_compile_group(struct rc_compiler *c, struct rc_str src, struct rc_action *a)
{
    static const char *const kinds[] = {[RC_GROUP_CREATE] = "create",
                                        [RC_GROUP_ADD] = "add",
                                        [RC_GROUP_REMOVE] = "remove",
                                        [RC_GROUP_LIST] = "list"};
    struct rc_str kind, group, user, rest;
    bool needs_user;
    unsigned i = 0;

    if (!needs_store(c) || !needs_event(c) || !rc_rules_next_word(c, &src, &kind) ||
        !rc_rules_next_word(c, &src, &group) || !rc_rules_next_word(c, &src, &user) ||
        !rc_rules_next_word(c, &src, &rest))
        return false;
    while (i < RC_GROUP_LIST + 1 && !rc_str_eq(kind, rc_str_of(kinds[i])))
        i++;
    if (i > RC_GROUP_LIST)
        return rc_rules_fault(c, "it does not say what is to be done");
    a->group = (enum rc_group)i;
    needs_user = a->group == RC_GROUP_ADD || a->group == RC_GROUP_REMOVE;
    if ((!needs_user && user.len != 0) || rest.len != 0)
        return rc_rules_fault(c,
                              "nothing can follow; a name needs \" around it if it has blanks");
    return rc_rules_compile_name(c, group, "group", &a->text[0]) &&
           (!needs_user || rc_rules_compile_name(c, user, "user's id", &a->text[1]));
}

bool rc_rules_compile_in_group(struct rc_compiler *c, struct rc_str group, struct rc_action *a)
{
    a->require = RC_REQUIRE_GROUP;
    return needs_store(c) && needs_event(c) &&
           rc_rules_compile_name(c, group, "group", &a->text[0]);
}

static bool reads_message(const struct rc_template *t)
{
    return t != NULL && rc_template_uses_message(t);
}

static bool stores(const struct rc_action *a)
{
    return (a->verb == RC_VERB_STORE && !a->later) || a->verb == RC_VERB_MESSAGE;
}

bool rc_rules_check_message(struct rc_compiler *c, const struct rc_action *a)
{
    bool in_args = reads_message(a->args),
         elsewhere = reads_message(a->name) || reads_message(a->event) ||
                     reads_message(a->text[0]) || reads_message(a->text[1]) ||
                     reads_message(a->message) || reads_message(a->data);

    for (unsigned i = 0; a->list != NULL && i < a->list->nto + a->list->nexcept; i++)
        elsewhere |= reads_message(a->list->item[i].name);
    if ((!in_args && !elsewhere) || (!elsewhere && a->verb == RC_VERB_STORE && !a->later))
        return true;
    for (unsigned i = 0; i < c->rule->nactions; i++)
        if (stores(&c->rule->action[i]))
            return true;
    return rc_rules_fault(c, "{message.id} and {message.time} are known once something is "
                             "stored, and no store that waits, nor a message, comes before");
}

/* The verbs that ask the store: what they compile to, and their faults. */
#include "rc/base/log.h"
#include "rc/broker/app.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct compiled {
    struct rc_conf conf;
    struct rc_app *app;
    struct rc_conf_errors e;
};

static void compile(struct compiled *c, const char *engine, const char *rules)
{
    char ini[2048];

    *c = (struct compiled){.app = NULL};
    atomic_store(&rc_log_threshold, -1);
    (void)snprintf(ini, sizeof(ini), "[store]\nengine = %s\npath = x\n%s", engine, rules);
    if (rc_conf_load_text(&c->conf, "/t.ini", rc_str_of(ini), NULL, 0, &c->e) == RC_OK)
        c->app = rc_app_new(&c->conf, "/nowhere", &c->e);
}

static void clear(struct compiled *c)
{
    rc_buf_deinit(&c->e.text);
    rc_app_free(c->app);
    rc_conf_free(&c->conf);
}

static const struct rc_action *action(struct compiled *c, const char *entry)
{
    char rules[512];

    (void)snprintf(rules, sizeof(rules), "[event x]\n%s\n", entry);
    compile(c, "sqlite", rules);
    if (c->app == NULL)
        cr_assert_fail("%.*s", RC_STR_ARG(rc_buf_str(&c->e.text)));
    return &rc_ruleset_find(&c->app->nsp[0].rules, RC_STR("x"))->action[0];
}

/* One fault, which contains that. */
static void check_fault(const char *engine, const char *rules, const char *part)
{
    struct compiled c;

    compile(&c, engine, rules);
    rc_buf_putc(&c.e.text, '\0');
    if (c.e.n != 1 || strstr((const char *)c.e.text.data, part) == NULL)
        cr_assert_fail("%s\n got: %s\n expected: %s", rules, (const char *)c.e.text.data, part);
    clear(&c);
}

Test(rules_store, store)
{
    struct compiled c;
    const struct rc_action *a = action(&c, "store = room {1}: kept {message.id}");

    cr_assert_eq(a->verb, RC_VERB_STORE);
    cr_assert(!a->later && !a->except_sender && a->text[0] == NULL);
    cr_assert(rc_template_uses_message(a->args));
    clear(&c);
    a = action(&c, "store = room \"a b\" except sender once {1.id?}: kept");
    cr_assert(!a->later && a->except_sender && a->text[0] != NULL && a->args == NULL);
    clear(&c);
    a = action(&c, "store = later room {1} once {2}: kept {args}");
    cr_assert(a->later && !a->except_sender && a->text[0] != NULL);
    clear(&c);
}

Test(rules_store, the_others)
{
    struct compiled c;
    const struct rc_action *a = action(&c, "message = {1}");

    cr_assert(a->verb == RC_VERB_MESSAGE && a->args != NULL);
    cr_assert(c.app->nsp[0].rules.uses_messages);
    clear(&c);
    a = action(&c, "history = room {1}");
    cr_assert(a->verb == RC_VERB_HISTORY && a->name != NULL && a->data == NULL);
    cr_assert_not(c.app->nsp[0].rules.uses_messages);
    clear(&c);
    a = action(&c, "history = conversation {\"type\":\"private\",\"with\":{1}}");
    cr_assert(a->name == NULL && a->data != NULL);
    clear(&c);
    a = action(&c, "group = remove {1} \"b c\"");
    cr_assert(a->group == RC_GROUP_REMOVE && a->text[0] != NULL && a->text[1] != NULL);
    clear(&c);
    a = action(&c, "group = list {1}");
    cr_assert(a->group == RC_GROUP_LIST && a->text[1] == NULL);
    clear(&c);
    a = action(&c, "require = group {1} else \"no\" {\"a\":1}");
    cr_assert(a->require == RC_REQUIRE_GROUP && a->message != NULL && a->data != NULL);
    clear(&c);
}

Test(rules_store, without_a_store_the_line_is_named)
{
    static const char *const entries[] = {"store = room a: b",   "message = {1}",
                                          "history = room a",    "group = list a",
                                          "require = group {1}", "store = later room a: b"};

    for (unsigned i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        char rules[128];

        (void)snprintf(rules, sizeof(rules), "[event x]\n%s\n", entries[i]);
        check_fault("none", rules, ":5: [event x] ");
        check_fault("none", rules, ": there is no store: set engine in the section [store]; ");
    }
}

Test(rules_store, faults)
{
    static const struct {
        const char *entry, *part;
    } faults[] = {
        {"store = ", "no : with a blank behind it"},
        {"store = all: b", "it does not say into what room"},
        {"store = later: b", "it does not say into what room"},
        {"store = room: b", "it does not say into what room"},
        {"store = room a, room b: c", "it is stored in one room"},
        {"store = room a once: b", "once is not what can follow"},
        {"store = room a except all: b", "except is not what can follow"},
        {"store = room a: ", "the event is missing"},
        {"store = room a: disconnect", "reserves"},
        {"store = room a once {message.id}: b", "nor a message, comes before"},
        {"store = room {message.id}: b", "nor a message, comes before"},
        {"store = later room a: b {message.time}", "nor a message, comes before"},
        {"emit = all: b {message.id}", "nor a message, comes before"},
        {"message = ", "the message is missing"},
        {"message = {1} {2}", "the message is not one value"},
        {"history = ", "it does not say of what"},
        {"history = room", "the room is missing"},
        {"history = conversation", "it does not say with whom"},
        {"history = room a {1} {2}", "the options is not one value"},
        {"group = ", "it does not say what is to be done"},
        {"group = make a b", "it does not say what is to be done"},
        {"group = add a", "the user's id is missing"},
        {"group = list", "the group is missing"},
        {"group = create", "the group is missing"},
        {"group = create a b", "nothing can follow"},
        {"history = conversations {1} {2}", "the options is not one value"},
        {"group = list a b", "nothing can follow"},
        {"group = add a b c", "nothing can follow"},
        {"require = group", "the group is missing"},
    };

    for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        char rules[256];

        (void)snprintf(rules, sizeof(rules), "[event x]\n%s\n", faults[i].entry);
        check_fault("sqlite", rules, faults[i].part);
    }
}

Test(rules_store, what_waits_is_of_no_use_before_a_client_is_connected)
{
    check_fault("sqlite", "[connect]\nrequire = group a\n", "belongs to an event");
    check_fault("sqlite", "[connect]\nhistory = room a\n", "belongs to an event");
    check_fault("sqlite", "[connect]\nmessage = {}\n", "belongs to an event");
    check_fault("sqlite", "[connect]\ngroup = add a b\n", "belongs to an event");
}

Test(rules_store, messages_are_of_one_namespace)
{
    check_fault("sqlite", "[event a]\nmessage = {1}\n[event /chat a]\nmessage = {1}\n",
                ":6: [event /chat a]: message is used in the namespace /: ");
    check_fault("sqlite", "[event /t-* a]\nmessage = {1}\n", "a namespace with a pattern");
}

Test(rules_store, a_message_that_was_stored_can_be_named)
{
    struct compiled c;

    compile(&c, "sqlite",
            "[event x]\nstore = room a: b\nemit = room {message.id}: c {message.time}\n"
            "ack = {message.id}\n[event y]\nmessage = {1}\nack = \"{message.id}\"\n");
    cr_assert_eq(c.e.n, 0u);
    clear(&c);
}

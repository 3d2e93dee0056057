#include "rc/base/hash.h"
#include "rc/broker/rules.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

struct fixture {
    struct rc_conf conf;
    struct rc_ruleset set;
    struct rc_conf_errors e;
};

/* Compiles all sections of a text that conf itself has nothing to say against. */
static void compile(struct fixture *f, const char *text)
{
    *f = (struct fixture){.e = {.n = 0}};
    cr_assert_eq(rc_hash_init(), RC_OK);
    if (rc_conf_load_text(&f->conf, "t.ini", rc_str_of(text), NULL, 0, &f->e) != RC_OK)
        cr_assert_fail("%s%.*s", text, RC_STR_ARG(rc_buf_str(&f->e.text)));
    for (unsigned i = 0; i < f->conf.nsections; i++)
        rc_ruleset_add(&f->set, &f->conf.section[i], &f->e);
    rc_ruleset_seal(&f->set);
}

static void clear(struct fixture *f)
{
    rc_ruleset_free(&f->set);
    rc_conf_free(&f->conf);
    rc_buf_deinit(&f->e.text);
}

/* ---- what an action does, as a text ---- */

static const char raw[] = "\"lobby\",5,{\"a\":1}";
static const struct rc_str args[] = {{raw, 7}, {raw + 8, 1}, {raw + 10, 7}};

static struct rc_template_env environment(void)
{
    return (struct rc_template_env){
        .args = args,
        .nargs = 3,
        .args_raw = {raw, sizeof(raw) - 1},
        .room = RC_STR("R"),
        .id = RC_STR("ID"),
        .user = RC_STR("U"),
        .event = RC_STR("ev"),
        .nsp = RC_STR("/"),
        .auth = RC_STR("{\"full name\":\"Ann\"}"),
        .time_ms = 7,
    };
}

static void put_text(const struct rc_template *t, struct rc_buf *to)
{
    const struct rc_template_env env = environment();
    unsigned arg;

    if (t == NULL)
        return;
    rc_buf_putz(to, " <");
    cr_assert_eq(rc_template_fill_text(t, &env, to, &arg), RC_OK);
    rc_buf_putc(to, '>');
}

static void put_args(const struct rc_template *t, struct rc_buf *to)
{
    const struct rc_template_env env = environment();
    unsigned arg;

    if (t == NULL)
        return;
    rc_buf_putz(to, " (");
    cr_assert_eq(rc_template_fill_args(t, &env, to, &arg), RC_OK);
    rc_buf_putc(to, ')');
}

static const char *const targets[] = {" room", " all", " sender", " socket", " user", " rooms"};

static void put_list(const struct rc_target_list *l, struct rc_buf *to)
{
    rc_buf_putz(to, l->is_volatile ? " volatile" : "");
    for (unsigned i = 0; i < l->nto + l->nexcept; i++) {
        rc_buf_putz(to, i < l->nto ? "" : " -");
        rc_buf_putz(to, targets[l->item[i].target] + (i >= l->nto));
        if (l->item[i].target == RC_TARGET_ROOMS)
            put_args(l->item[i].name, to);
        else
            put_text(l->item[i].name, to);
    }
}

static void put_action(const struct rc_action *a, struct rc_buf *to)
{
    static const char *const verbs[] = {
#define VERB_KEY(name, key, form) key,
        RC_VERB_MAP(VERB_KEY)
#undef VERB_KEY
    };

    rc_buf_putz(to, verbs[a->verb]);
    if (a->list != NULL)
        put_list(a->list, to);
    else if (a->verb == RC_VERB_EMIT || a->verb == RC_VERB_ASK)
        rc_buf_putz(to, targets[a->target]);
    put_text(a->name, to);
    if (a->verb == RC_VERB_REQUIRE && a->require == RC_REQUIRE_AUTH)
        put_args(a->text[0], to);
    else
        put_text(a->text[0], to);
    put_text(a->text[1], to);
    rc_buf_putz(to, a->except_sender ? " -sender" : "");
    rc_buf_putz(to, a->whole_connection ? " connection" : "");
    if (a->verb == RC_VERB_ASK)
        rc_buf_printf(to, " %ums", a->within_ms);
    put_args(a->event, to);
    put_args(a->args, to);
    put_args(a->message, to);
    put_args(a->data, to);
}

/* All actions of a rule, separated by "; ", and its ack mode if that is not the default. */
static void check_rule(const struct rc_rule *rule, const char *src, const char *expected)
{
    static const char *const acks[] = {"", "; ack none", "; ack auto", "; ack own"};
    struct rc_buf got = RC_BUF_INIT;

    cr_assert_not_null(rule);
    for (unsigned i = 0; i < rule->nactions; i++) {
        rc_buf_putz(&got, i == 0 ? "" : "; ");
        put_action(&rule->action[i], &got);
    }
    rc_buf_putz(&got, acks[rule->ack]);
    rc_buf_putc(&got, '\0');
    if (strcmp((const char *)got.data, expected) != 0)
        fprintf(stderr, "source: %s\n", src);
    cr_assert_str_eq((const char *)got.data, expected);
    rc_buf_deinit(&got);
}

static void check_event(const char *entries, const char *expected)
{
    struct fixture f;
    char text[1024];

    (void)snprintf(text, sizeof(text), "[event x]\n%s\n", entries);
    compile(&f, text);
    if (f.e.n != 0)
        cr_assert_fail("%s: %.*s", entries, RC_STR_ARG(rc_buf_str(&f.e.text)));
    check_rule(rc_ruleset_find(&f.set, RC_STR("x")), entries, expected);
    clear(&f);
}

Test(rules, rooms)
{
    check_event("join = {1}", "join <lobby>");
    check_event("leave = {1}", "leave <lobby>");
    check_event("join = KPL", "join <KPL>");
    check_event("join = a:b:", "join <a:b:>");
    check_event("join = {auth.full name}:{2}", "join <Ann:5>");
    check_event("join = \"my room: \\\"{1}\\\" \\\\ \\x\"", "join <my room: \"lobby\" \\ \\x>");
    check_event("join = {{x", "join <{x>");
    check_event("join = a\"b", "join <a\"b>");
    check_event("require = member {1}", "require <lobby>");
    check_event("require = member\t \"a b\"", "require <a b>");
    check_event("require = member a\nleave = {room}x", "require <a>; leave <Rx>");
    check_event("emit = sender: x {room}\njoin = b", "emit sender (\"x\") (\"R\"); join <b>");
    check_event("join = {1}\nleave = {2}\njoin = {room}", "join <lobby>; leave <5>; join <R>");
}

Test(rules, emit_targets)
{
    check_event("emit = room {1}: ev", "emit room <lobby> (\"ev\")");
    check_event("emit = room {1} except sender: ev", "emit room <lobby> -sender (\"ev\")");
    check_event("emit = room  \"my room: x\"\texcept  sender : ev",
                "emit room <my room: x> -sender (\"ev\")");
    check_event("emit = room \"my room: x\": ev", "emit room <my room: x> (\"ev\")");
    check_event("emit = room a:b:c: ev", "emit room <a:b:c> (\"ev\")");
    check_event("emit = room {auth.full name}-{1}: ev", "emit room <Ann-lobby> (\"ev\")");
    check_event("emit = room {{a: ev", "emit room <{a> (\"ev\")");
    check_event("emit = room room: ev", "emit room <room> (\"ev\")");
    check_event("emit = room except: ev", "emit room <except> (\"ev\")");
    check_event("emit = all: ev", "emit all (\"ev\")");
    check_event("emit = all : ev", "emit all (\"ev\")");
    check_event("emit = all except sender: ev", "emit all -sender (\"ev\")");
    check_event("emit = sender: ev", "emit sender (\"ev\")");
    check_event("emit = socket {1}: ev", "emit socket <lobby> (\"ev\")");
    check_event("emit = user {1}: ev", "emit user <lobby> (\"ev\")");
    check_event("emit = user \"a b\" except sender: ev", "emit user <a b> -sender (\"ev\")");
}

Test(rules, lists_of_targets)
{
    check_event(
        "emit = room {1}, room news, socket {2} except sender, room muted, socket {2}: ev",
        "emit room <lobby> room <news> socket <5> -sender -room <muted> -socket <5> "
        "(\"ev\")");
    check_event("emit = room \"a b\",room c , sender: ev",
                "emit room <a b> room <c> sender (\"ev\")");
    check_event("emit = room a,b: ev", "emit room <a,b> (\"ev\")");
    check_event("emit = room a,: ev", "emit room <a,> (\"ev\")");
    check_event("emit = room \"a,\", room b,c: ev", "emit room <a,> room <b,c> (\"ev\")");
    check_event("emit = rooms {1}: ev", "emit rooms (\"lobby\") (\"ev\")");
    check_event("emit = rooms {9?}, room x except rooms [\"a:\",\"{1}\"]: ev",
                "emit rooms (null) room <x> -rooms ([\"a:\",\"lobby\"]) (\"ev\")");
    check_event("emit = rooms {auth.full name}: ev", "emit rooms (\"Ann\") (\"ev\")");
    check_event("emit = rooms []: ev", "emit rooms ([]) (\"ev\")");
    check_event("emit = user {1}, user {2}, room x except user y: ev",
                "emit user <lobby> user <5> room <x> -user <y> (\"ev\")");
    check_event("emit = all except room x: ev", "emit all -room <x> (\"ev\")");
    check_event("emit = all except socket {1}: ev", "emit all -socket <lobby> (\"ev\")");
    check_event("emit = socket {1} except room x: ev",
                "emit socket <lobby> -room <x> (\"ev\")");
    check_event("emit = volatile room {1}: ev", "emit volatile room <lobby> (\"ev\")");
    check_event("emit = volatile all except sender: ev", "emit volatile all -sender (\"ev\")");
    check_event("emit = room volatile: ev", "emit room <volatile> (\"ev\")");
    check_event("emit = volatile sender: ev", "emit volatile sender (\"ev\")");
    check_event("ask = room a, room within within 5s: ev",
                "ask room <a> room <within> 5000ms (\"ev\")");
    check_event("ask = volatile all: ev", "ask volatile all 10000ms (\"ev\")");
    check_event("join = rooms {1}\nleave = rooms [\"a\", \"b\"]\njoin = rooms",
                "join rooms (\"lobby\"); leave rooms ([\"a\",\"b\"]); join <rooms>");
}

Test(rules, emit_events)
{
    check_event("emit = all: \"my: event\"", "emit all (\"my: event\")");
    check_event("emit = all: \"a\\\"b\\u0041\" 1", "emit all (\"a\\\"b\\u0041\") (1)");
    check_event("emit = all: a\"b\\c", "emit all (\"a\\\"b\\\\c\")");
    check_event("emit = all: {event}-{2} 1", "emit all (\"ev-5\") (1)");
    check_event("emit = all: {auth.full name}: 1", "emit all (\"Ann:\") (1)");
    check_event("emit = all: {{x}é", "emit all (\"{x}é\")");
    check_event("emit = all: \"{event} {1}\"", "emit all (\"ev lobby\")");
    check_event("emit = all: connected", "emit all (\"connected\")");
    check_event("emit = all: {event}connect", "emit all (\"evconnect\")");
}

Test(rules, emit_arguments)
{
    check_event("emit = all: ev {args}", "emit all (\"ev\") (\"lobby\",5,{\"a\":1})");
    check_event("emit = all: ev {2..}", "emit all (\"ev\") (5,{\"a\":1})");
    check_event("emit = all: ev   \"x: {1}\", {\"id\":{id}} {time} ",
                "emit all (\"ev\") (\"x: lobby\",{\"id\":\"ID\"},7)");
    check_event("emit = room {1}: roomMessage \"New: {1}\" \\\n    {\"room\":{room}}",
                "emit room <lobby> (\"roomMessage\") (\"New: lobby\",{\"room\":\"R\"})");
}

Test(rules, other_verbs)
{
    check_event("presence = room {1}", "presence <lobby>");
    check_event("presence = room \"a b\"", "presence <a b>");
    check_event("", "");
    check_event("ack = none", "; ack none");
    check_event("ack = auto", "; ack auto");
    check_event("ack = {\"ok\":true,\"room\":{1}} 2",
                "ack ({\"ok\":true,\"room\":\"lobby\"},2); ack own");
    check_event("join = a\nack = \"none\"\nleave = a",
                "join <a>; ack (\"none\"); leave <a>; ack own");
    check_event("watch = rooms", "watch");
    check_event("unwatch = rooms", "unwatch");
    check_event("disconnect = namespace", "disconnect");
    check_event("join = a\ndisconnect = connection", "join <a>; disconnect connection");
    check_event("disconnect = connection\nack = none", "disconnect connection; ack none");
}

Test(rules, require_and_refuse)
{
    check_event("require = auth name", "require (null)");
    check_event("require = auth \t name  else  \"who are you?\"",
                "require (null) (\"who are you?\")");
    check_event("require = same {auth.full name} Ann", "require <Ann> <Ann>");
    check_event("require = same \"a \\\"b\\\"\" {1} else {1}-no {\"code\":{2}}",
                "require <a \"b\"> <lobby> (\"lobby-no\") ({\"code\":5})");
    check_event("require = member {1} else \"not in {room}\" [1,{3}]",
                "require <lobby> (\"not in R\") ([1,{\"a\":1}])");
    check_event("require = member else", "require <else>");
    check_event("require = member else else else", "require <else> (\"else\")");
    check_event("refuse = closed", "refuse (\"closed\")");
    check_event("refuse = \"closed \\u00e9 {2}\" null", "refuse (\"closed \\u00e9 5\") (null)");
    check_event("join = a\nrefuse = x {3}", "join <a>; refuse (\"x\") ({\"a\":1})");
}

Test(rules, ask)
{
    check_event("ask = socket {1}: ev", "ask socket <lobby> 10000ms (\"ev\")");
    check_event("ask = socket {1} within 300ms: ev {2..}",
                "ask socket <lobby> 300ms (\"ev\") (5,{\"a\":1})");
    check_event("ask = room \"a within 5s\" except sender within 2m: ev 1",
                "ask room <a within 5s> -sender 120000ms (\"ev\") (1)");
    check_event("join = a\nask = all: ev", "join <a>; ask all 10000ms (\"ev\")");
}

Test(rules, lookup)
{
    struct fixture f;

    compile(&f, "[event a]\njoin = A\n[event b c]\njoin = BC\n[connect]\njoin = K\n"
                "[event *]\njoin = F\n[event d]\n");
    cr_assert_eq(f.e.n, 0u);
    cr_assert_eq(f.set.nrules, 4u);
    check_rule(rc_ruleset_find(&f.set, RC_STR("a")), "a", "join <A>");
    check_rule(rc_ruleset_find(&f.set, RC_STR("b c")), "b c", "join <BC>");
    check_rule(rc_ruleset_find(&f.set, RC_STR("d")), "d", "");
    check_rule(rc_ruleset_find(&f.set, RC_STR("e")), "e", "join <F>");
    check_rule(rc_ruleset_find(&f.set, RC_STR_NONE), "", "join <F>");
    check_rule(f.set.fallback, "*", "join <F>");
    check_rule(f.set.connect, "[connect]", "join <K>");
    cr_assert_str_eq(rc_ruleset_find(&f.set, RC_STR("a"))->event, "a");
    cr_assert_str_eq(f.set.connect->event, "");
    cr_assert_not(f.set.uses_auth);
    clear(&f);

    compile(&f, "[event a]\nemit = all: x {auth.name}\n");
    cr_assert_null(rc_ruleset_find(&f.set, RC_STR("b")));
    cr_assert_null(rc_ruleset_find(&f.set, RC_STR("A")));
    cr_assert_null(f.set.fallback);
    cr_assert_null(f.set.connect);
    cr_assert(f.set.uses_auth);
    clear(&f);

    compile(&f, "");
    cr_assert_null(rc_ruleset_find(&f.set, RC_STR("a")));
    clear(&f);
}

Test(rules, many)
{
    enum { N = 1000 };
    struct rc_buf text = RC_BUF_INIT;
    struct fixture f;
    char name[16];

    for (int i = 0; i < N; i++)
        rc_buf_printf(&text, "[event e%d]\njoin = r%d\n", i, i);
    rc_buf_putc(&text, '\0');
    compile(&f, (const char *)text.data);
    rc_buf_deinit(&text);
    cr_assert_eq(f.set.nrules, (unsigned)N);
    for (int i = 0; i < N; i++) {
        (void)snprintf(name, sizeof(name), "e%d", i);
        cr_assert_str_eq(rc_ruleset_find(&f.set, rc_str_of(name))->event, name);
    }
    cr_assert_null(rc_ruleset_find(&f.set, RC_STR("e1000")));
    clear(&f);
}

Test(rules, connect)
{
    struct fixture f;

    compile(&f, "[connect]\njoin = user-{auth.full name}\nemit = all except sender: in {id}\n"
                "watch = rooms\ndisconnect = namespace\n");
    cr_assert_eq(f.e.n, 0u);
    check_rule(f.set.connect, "[connect]",
               "join <user-Ann>; emit all -sender (\"in\") (\"ID\"); watch; disconnect");
    cr_assert(f.set.uses_auth);
    clear(&f);

    compile(&f, "[connect]\nrequire = auth name else \"no {nsp}\"\nrequire = same a b\n"
                "join = a\n");
    cr_assert_eq(f.e.n, 0u);
    check_rule(f.set.connect, "[connect]",
               "require (null) (\"no /\"); require <a> <b>; join <a>");
    clear(&f);
}

/* ---- faults ---- */

#define JOIN_FORM "; expected ROOM | rooms LIST\n"
#define REQUIRE_FORM \
    "; expected member ROOM | auth KEY | same TEXT TEXT | group GROUP [else MESSAGE [DATA]]\n"
#define REFUSE_FORM "; expected MESSAGE [DATA]\n"
#define EMIT_FORM \
    "; expected [volatile] TARGET, ... [except TARGET, ...]: EVENT ARGS" RC_TARGET_FORM "\n"
#define BEHIND                                                                         \
    " behind the target is neither \"except\" nor is there a comma before it (a name " \
    "needs \" around it if it has blanks)" EMIT_FORM
#define NO_LIST                                                                           \
    "rooms is not followed by an argument that is an array, such as {1}, or by an array " \
    "without blanks"
#define NO_COLON "no : with a blank behind it ends the target" EMIT_FORM

/* The one fault of an entry, behind "t.ini:2: SECTION ENTRY: "; NULL: whatever it is. */
static void check_fault_in(const char *section, const char *entry, const char *expected)
{
    char text[2048], prefix[1024];
    struct rc_str got;
    struct fixture f;

    (void)snprintf(text, sizeof(text), "%s\n%s\n", section, entry);
    (void)snprintf(prefix, sizeof(prefix), "t.ini:2: %s %s: ", section, entry);
    compile(&f, text);
    got = rc_buf_str(&f.e.text);
    if (f.e.n != 1 || !rc_str_starts(got, rc_str_of(prefix)) ||
        (expected != NULL && !rc_str_eq(rc_str_skip(got, strlen(prefix)), rc_str_of(expected))))
        cr_assert_fail("%s %s\n got: %.*s\n expected: %s", section, entry, RC_STR_ARG(got),
                       expected != NULL ? expected : "a fault");
    clear(&f);
}

static void check_fault(const char *entry, const char *expected)
{
    check_fault_in("[event x]", entry, expected);
}

Test(rules, room_faults)
{
    check_fault("join = ", "the room is missing" JOIN_FORM);
    check_fault("join = \"\"", "the room is missing" JOIN_FORM);
    check_fault("join = \"a", "the second \" is missing" JOIN_FORM);
    check_fault("join = \"a\\\"", "the second \" is missing" JOIN_FORM);
    check_fault("join = room {1}",
                "there is more behind the room, whose name needs \" around it if it has "
                "blanks" JOIN_FORM);
    check_fault("leave = \"a\"b",
                "there is more behind the room, whose name needs \" around it if it has "
                "blanks" JOIN_FORM);
    check_fault("join = {x}",
                "unknown placeholder {x}: allowed are {1} to {16}, {1.KEY}, {1?} "
                "and {1.KEY?} (may be "
                "missing), {room}, {id}, {user}, {time}, {event}, {nsp}, "
                "{auth.KEY}, {claim.KEY}, {message.id}, {message.time}; a literal { is "
                "written {{" JOIN_FORM);
    check_fault("join = {room}", "there is no {room}: no line before it names one" JOIN_FORM);
    check_fault("leave = x-{room}",
                "there is no {room}: no line before it names one" JOIN_FORM);
    check_fault_in("[connect]", "join = {room}",
                   "there is no {room}: no join before it names one" JOIN_FORM);
    check_fault("join = {1", "{1 is not closed by }; a literal { is written {{" JOIN_FORM);
}

Test(rules, refusal_faults)
{
    check_fault("require = ", "it does not say what" REQUIRE_FORM);
    check_fault("require = {1}", "{1} cannot be required" REQUIRE_FORM);
    check_fault("require = member", "the room is missing" REQUIRE_FORM);
    check_fault("require = member a b", "b is not else; a room or a text needs \" around it if "
                                        "it has blanks" REQUIRE_FORM);
    check_fault("require = member \"a\"b", "no blank follows the second \"" REQUIRE_FORM);
    check_fault("require = auth", "the key is missing" REQUIRE_FORM);
    check_fault("require = auth {auth.name}",
                "the key is a name as in {auth.KEY}" REQUIRE_FORM);
    check_fault("require = auth }", NULL);
    check_fault("require = auth a\\b", NULL);
    check_fault("require = auth name elsewhere", NULL);
    check_fault("require = same a", "the second text is missing" REQUIRE_FORM);
    check_fault("require = same", "the first text is missing" REQUIRE_FORM);
    check_fault("require = auth a else", "the message is missing" REQUIRE_FORM);
    check_fault("require = auth a else \"no", "the second \" is missing" REQUIRE_FORM);
    check_fault("refuse = ", "the message is missing" REFUSE_FORM);
    check_fault("refuse = go away",
                "argument 1 is no JSON value: away (texts are in double quotes, arguments are "
                "separated by a space or a comma)" REFUSE_FORM);
    check_fault("refuse = go 1 2", "the data is more than one value; a message needs \" around "
                                   "it if it has blanks" REFUSE_FORM);
    check_fault("refuse = go {2..}", NULL);
    check_fault("refuse = go {args}", NULL);
}

Test(rules, target_faults)
{
    check_fault("emit = rom {1}: ev", "there is no target rom" EMIT_FORM);
    check_fault("emit = \"room\" {1}: ev", "there is no target \"room\"" EMIT_FORM);
    check_fault("emit = : ev", "the target is missing" EMIT_FORM);
    check_fault("emit = room: ev", "the room is missing" EMIT_FORM);
    check_fault("emit = room \"\": ev", "the room is missing" EMIT_FORM);
    check_fault("emit = socket: ev", "the socket's id is missing" EMIT_FORM);
    check_fault("emit = user: ev", "the user's id is missing" EMIT_FORM);
    check_fault("emit = room {x}: ev", NULL);
    check_fault("emit = room {1: ev {\"a\":1}",
                "{1 is not closed by }; a literal { is written {{" EMIT_FORM);
    check_fault("emit = all", NO_COLON);
    check_fault("emit = all:ev", NO_COLON);
    check_fault("emit = room \"a\":ev x", NO_COLON);
    check_fault("emit = room {1:} ev", NULL);
    check_fault("emit = room \"a\"b: ev", "no blank follows the second \"" EMIT_FORM);
    check_fault("emit = room \"a: ev", "the second \" is missing" EMIT_FORM);
    check_fault("emit = room a b: ev", "b" BEHIND);
    check_fault("emit = room a except: ev", NULL);
    check_fault("emit = room a except me: ev", NULL);
    check_fault("emit = room my room except sender: ev", "room" BEHIND);
    check_fault("emit = room a ev {1} {2} x", NO_COLON);
    check_fault("emit = all a: ev", NULL);
    check_fault("emit = sender except sender: ev",
                "the sender cannot get it and be excepted" EMIT_FORM);
    check_fault("emit = socket {1} except sender: ev",
                "one socket alone cannot be without the sender" EMIT_FORM);
}

Test(rules, list_faults)
{
    struct rc_buf many = RC_BUF_INIT;
    struct fixture f;

    check_fault("emit = room a, rom b: ev", "there is no target rom" EMIT_FORM);
    check_fault("emit = room a, : ev", "the target is missing" EMIT_FORM);
    check_fault("emit = , room a: ev", "there is no target before the comma" EMIT_FORM);
    check_fault("emit = room a, , room b: ev", "there is no target before the comma" EMIT_FORM);
    check_fault("emit = room, b: ev", "the room is missing" EMIT_FORM);
    check_fault("emit = room a, socket: ev", "the socket's id is missing" EMIT_FORM);
    check_fault("emit = volatile: ev", "there is no target volatile" EMIT_FORM);
    check_fault("emit = volatile, room a: ev", "there is no target volatile" EMIT_FORM);
    check_fault("emit = room a, volatile room b: ev", "there is no target volatile" EMIT_FORM);
    check_fault("emit = all, room a: ev", "all and something else is all" EMIT_FORM);
    check_fault("emit = room a except all: ev",
                "nobody is left when all are excepted" EMIT_FORM);
    check_fault("emit = room a, sender except sender: ev",
                "the sender cannot get it and be excepted" EMIT_FORM);
    check_fault("emit = room a except: ev", "the target is missing" EMIT_FORM);
    check_fault("emit = room a except me: ev", "there is no target me" EMIT_FORM);
    check_fault("emit = room a except room b c: ev", "there is no comma before c" EMIT_FORM);
    check_fault("emit = room a except room b except room c: ev",
                "there is no comma before except" EMIT_FORM);
    check_fault("emit = rooms: ev", "the list of rooms is missing" EMIT_FORM);
    check_fault("emit = rooms a: ev", NO_LIST EMIT_FORM);
    check_fault("emit = rooms [\"a\", \"b\"]: ev",
                "the list of rooms has blanks; write [\"a\",\"b\"]" EMIT_FORM);
    check_fault("emit = room a except rooms [\"a\" , \"b\"]: ev",
                "the list of rooms has blanks; write [\"a\",\"b\"]" EMIT_FORM);
    check_fault("emit = user {room}: ev",
                "there is no {room}: no line before it names one" EMIT_FORM);
    check_fault("emit = rooms {args}: ev", NO_LIST EMIT_FORM);
    check_fault("emit = rooms {2..}: ev", NO_LIST EMIT_FORM);
    check_fault("emit = rooms {1}{2}: ev", NO_LIST EMIT_FORM);
    check_fault("emit = rooms [\"a\",]: ev", NULL);
    check_fault("emit = rooms [],[]: ev", "[],[] is no JSON array" EMIT_FORM);
    check_fault("emit = rooms {x}: ev", NULL);
    check_fault("emit = rooms {1?: ev", NULL);
    check_fault("join = rooms a", NO_LIST JOIN_FORM);
    check_fault("join = rooms {1} {2}", NO_LIST JOIN_FORM);
    check_fault("ask = volatile sender: ev", NULL);
    check_fault_in("[connect]", "join = rooms {1}", NULL);
    rc_buf_putz(&many, "[event x]\nemit = ");
    for (int i = 0; i < 65; i++)
        rc_buf_printf(&many, "%sroom r", i == 0 ? "" : ", ");
    rc_buf_putz(&many, ": ev");
    rc_buf_putc(&many, '\0');
    compile(&f, (const char *)many.data);
    cr_assert_eq(f.e.n, 1u);
    rc_buf_putc(&f.e.text, '\0');
    cr_assert_not_null(strstr((const char *)f.e.text.data, ": there are more than 64 targets"));
    clear(&f);
    rc_buf_deinit(&many);
}

Test(rules, event_faults)
{
    static const char *const reserved[] = {"connect",       "connect_error", "disconnect",
                                           "disconnecting", "newListener",   "removeListener"};
    char entry[80], why[256];

    for (unsigned i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        (void)snprintf(entry, sizeof(entry), "emit = all: %s 1", reserved[i]);
        (void)snprintf(why, sizeof(why), "Socket.IO reserves the event %s" EMIT_FORM,
                       reserved[i]);
        check_fault(entry, why);
    }
    check_fault("emit = all: \"c\\u006fnnect\"",
                "Socket.IO reserves the event connect" EMIT_FORM);
    check_fault("emit = all:", "the event is missing" EMIT_FORM);
    check_fault("emit = all: \"\"", "the name of the event is missing" EMIT_FORM);
    check_fault("emit = all: \"ev", "the second \" is missing" EMIT_FORM);
    check_fault("emit = all: \"ev\", 1", "no blank follows the second \"" EMIT_FORM);
    check_fault("emit = all: {args}", "{args} may only stand for whole arguments, not inside "
                                      "of one: use {1}" EMIT_FORM);
    check_fault("emit = all: \"\\x\"", NULL);
    check_fault("emit = all: ev hello",
                "argument 1 is no JSON value: hello (texts are in double quotes, arguments are "
                "separated by a space or a comma)" EMIT_FORM);
    check_fault("emit = all: ev {\"a\":}", NULL);
    check_fault("emit = all: ev {17}", "{17}: arguments are numbered from 1 to 16" EMIT_FORM);
}

Test(rules, other_faults)
{
    check_fault("presence = lobby", "only rooms have a presence; expected room ROOM\n");
    check_fault("presence = ", "only rooms have a presence; expected room ROOM\n");
    check_fault("presence = room", "the room is missing; expected room ROOM\n");
    check_fault_in("[connect]", "presence = room a",
                   "[connect] has nobody to answer; expected room ROOM\n");
    struct fixture f;

    check_fault("ack = ", "the arguments are missing; expected none | auto | ARGS\n");
    check_fault("ack = ok",
                "argument 1 is no JSON value: ok (texts are in double quotes, arguments are "
                "separated by a space or a comma); expected none | auto | ARGS\n");
    check_fault("watch = room", "only the list of rooms can be watched; expected rooms\n");
    check_fault("unwatch = x", "only the list of rooms can be watched; expected rooms\n");
    check_fault("disconnect = socket",
                "it does not say from what; expected namespace | connection\n");
    compile(&f, "[event x]\nask = all: ev\njoin = a\n");
    cr_assert_eq(f.e.n, 1u);
    rc_buf_putc(&f.e.text, '\0');
    cr_assert_str_eq((const char *)f.e.text.data,
                     "t.ini:3: [event x] join = a: nothing can follow ask (line 2)"
                     "; expected ROOM | rooms LIST\n");
    clear(&f);
    compile(&f, "[event x]\ndisconnect = namespace\njoin = a\nack = 1\n");
    cr_assert_eq(f.e.n, 2u);
    rc_buf_putc(&f.e.text, '\0');
    cr_assert_str_eq((const char *)f.e.text.data,
                     "t.ini:3: [event x] join = a: nothing can follow disconnect (line 2)"
                     "; expected ROOM | rooms LIST\n"
                     "t.ini:4: [event x] ack = 1: nothing can follow disconnect (line 2)"
                     "; expected none | auto | ARGS\n");
    clear(&f);
}

Test(rules, ask_faults)
{
    static const char expected[] = "; expected [volatile] TARGET, ... [except TARGET, ...] "
                                   "[within TIME]: EVENT ARGS" RC_TARGET_FORM "\n";
    char text[512];

    (void)snprintf(text, sizeof(text), "the sender is who asks%s", expected);
    check_fault("ask = sender: ev", text);
    (void)snprintf(text, sizeof(text), "the target is missing%s", expected);
    check_fault("ask = within 5s: ev", text);
    check_fault("ask = all within 5 parsecs: ev", NULL);
    check_fault("ask = all within 5parsecs: ev", NULL);
    check_fault("ask = all within 1ms: ev", NULL);
    check_fault("ask = all within 11m: ev", NULL);
    check_fault("ask = all: connect", NULL);
    check_fault_in("[connect]", "ask = all: ev", NULL);
}

Test(rules, connect_faults)
{
    static const char no_args[] =
        "[connect] comes with no arguments, so there is no {1} and no "
        "{args}; expected ROOM | rooms LIST\n";

    check_fault_in("[connect]", "join = {1}", no_args);
    check_fault_in("[connect /chat]", "leave = {1?}", no_args);
    check_fault_in("[connect]", "emit = all: {1}", NULL);
    check_fault_in("[connect]", "emit = all: ev {args}", NULL);
    check_fault_in("[connect]", "emit = all: ev {2..}", NULL);
    check_fault_in("[connect]", "require = member a",
                   "a client that is about to connect is in no room" REQUIRE_FORM);
    check_fault_in("[connect]", "refuse = no {1}", NULL);
    check_fault_in("[connect]", "require = auth a else no {args}", NULL);
}

Test(rules, connect_refuses_first)
{
    static const char *const texts[] = {
        "[connect]\njoin = a\nrequire = auth b\n", "[connect]\nwatch = rooms\nrefuse = x\n",
        "[connect]\nrequire = auth a\nemit = all: x\nrequire = auth b\n",
        "[connect]\nrefuse = x\njoin = a\n", "[event x]\nrefuse = x\njoin = a\n"};
    static const char *const faults[] = {
        "t.ini:3: [connect] require = auth b: [connect] refuses before it does anything: it "
        "cannot come after join" REQUIRE_FORM,
        "t.ini:3: [connect] refuse = x: [connect] refuses before it does anything: it cannot "
        "come after watch" REFUSE_FORM,
        "t.ini:4: [connect] require = auth b: [connect] refuses before it does anything: it "
        "cannot come after emit" REQUIRE_FORM,
        "t.ini:3: [connect] join = a: nothing can follow refuse (line 2)" JOIN_FORM,
        "t.ini:3: [event x] join = a: nothing can follow refuse (line 2)" JOIN_FORM};
    struct fixture f;

    for (unsigned i = 0; i < 5; i++) {
        compile(&f, texts[i]);
        rc_buf_putc(&f.e.text, '\0');
        cr_assert_str_eq((const char *)f.e.text.data, faults[i]);
        clear(&f);
    }
}

Test(rules, headers_and_long_values)
{
    char entry[400], long_room[201], text[500];
    struct fixture f;

    check_fault_in("[event /chat talk]", "watch = x", NULL);
    check_fault_in("[event / /talk]", "watch = x", NULL);
    check_fault_in("[event a b]", "watch = x", NULL);
    memset(long_room, 'r', sizeof(long_room) - 1);
    long_room[200] = '\0';
    (void)snprintf(entry, sizeof(entry), "[event x]\nwatch = %s\n", long_room);
    (void)snprintf(text, sizeof(text),
                   "t.ini:2: [event x] watch = %.80s...: only the list of rooms can be watched"
                   "; expected rooms\n",
                   long_room);
    compile(&f, entry);
    rc_buf_putc(&f.e.text, '\0');
    cr_assert_str_eq((const char *)f.e.text.data, text);
    clear(&f);
}

/* All faults of a section are told, each with its line; good entries are kept. */
Test(rules, all_faults)
{
    struct fixture f;

    compile(&f, "[event x]\njoin = a b\nleave = c\nemit = al: x\n[event y]\n\nwatch = z\n");
    cr_assert_eq(f.e.n, 3u);
    rc_buf_putc(&f.e.text, '\0');
    cr_assert_not_null(strstr((const char *)f.e.text.data, "t.ini:2: [event x] join"));
    cr_assert_not_null(strstr((const char *)f.e.text.data, "\nt.ini:4: [event x] emit"));
    cr_assert_not_null(strstr((const char *)f.e.text.data, "\nt.ini:7: [event y] watch"));
    check_rule(rc_ruleset_find(&f.set, RC_STR("x")), "x", "leave <c>");
    clear(&f);
}

/* Rules given on the command line have no line. */
Test(rules, command_line)
{
    char option[] = "event x.join=a b", *options[] = {option};
    struct rc_conf_errors e = {0};
    struct rc_ruleset set = {0};
    struct rc_conf conf;

    cr_assert_eq(rc_conf_load_text(&conf, NULL, RC_STR_NONE, options, 1, &e), RC_OK);
    rc_ruleset_add(&set, &conf.section[0], &e);
    cr_assert_eq(e.n, 1u);
    rc_buf_putc(&e.text, '\0');
    cr_assert_not_null(
        strstr((const char *)e.text.data, "command line: [event x] join = a b: "));
    rc_ruleset_free(&set);
    rc_conf_free(&conf);
    rc_buf_deinit(&e.text);
}

/* What conf refuses before the rules see it: here for the words that rules count on. */
Test(rules, twice)
{
    static const char *const texts[] = {"[event x]\nack = none\nack = auto\n",
                                        "[event x]\n[event y]\n[event / x]\n",
                                        "[connect]\n[connect /]\n"};
    static const char *const faults[] = {
        "t.ini:3: [event x] ack = auto: expected the key once, but line 2 has it too\n",
        "t.ini:3: [event / x]: expected the section once, but line 1 has it too\n",
        "t.ini:2: [connect /]: expected the section once, but line 1 has it too\n"};

    for (unsigned i = 0; i < 3; i++) {
        struct rc_conf_errors e = {0};
        struct rc_conf conf;

        cr_assert_eq(rc_conf_load_text(&conf, "t.ini", rc_str_of(texts[i]), NULL, 0, &e),
                     RC_EINVAL);
        rc_buf_putc(&e.text, '\0');
        cr_assert_str_eq((const char *)e.text.data, faults[i]);
        rc_conf_free(&conf);
        rc_buf_deinit(&e.text);
    }
}

/* rules.c - compiles the [event] and [connect] sections: each entry becomes one action, whose
 * texts and arguments are templates. That no section and no `ack` comes twice is conf's care. */
#include "rc/broker/rules.h"

#include "rc/base/hash.h"
#include "rc/base/mem.h"
#include "rc/base/thread.h"
#include "rc/proto/json.h"
#include "rc/proto/sio.h"

#include <stdarg.h>
#include <stdlib.h>

enum {
    WHY_SIZE = 512,
    VALUE_SHOWN = 80,      /* bytes of a value that a fault repeats */
    ASK_WITHIN_MS = 10000, /* unless it is said */
    ASK_WITHIN_MAX_MS = 600000,
    TARGETS_MAX = 64,                   /* in a list, except or not */
    TARGET_WORDS = 2 * TARGETS_MAX + 4, /* volatile … except … within 5s */
};

struct compiler {
    const struct rc_conf_section *section;
    const struct rc_conf_entry *entry;
    const struct rc_conf_entry *last; /* a disconnect or so, behind which nothing may come */
    struct rc_conf_errors *e;
    struct rc_ruleset *set;
    struct rc_rule *rule;
    enum rc_verb verb;
};

static const struct {
    const char *key, *form;
} verbs[] = {
#define VERB_ROW(name, key, form) {key, form},
    RC_VERB_MAP(VERB_ROW)
#undef VERB_ROW
};
enum { NVERBS = sizeof(verbs) / sizeof(verbs[0]) };

/* ---- faults ---- */

static void put_header(const struct rc_conf_section *s, struct rc_buf *to)
{
    rc_buf_printf(to, "[%s", s->kind == RC_CONF_CONNECT ? "connect" : "event");
    if (strcmp(s->nsp, "/") != 0 || s->name[0] == '/')
        rc_buf_printf(to, " %s", s->nsp);
    if (s->name[0] != '\0')
        rc_buf_printf(to, " %s", s->name);
    rc_buf_putc(to, ']');
}

/* Cut between characters. */
static struct rc_str shown(struct rc_str value)
{
    if (value.len <= VALUE_SHOWN)
        return value;
    value.len = VALUE_SHOWN;
    while (value.len != 0 && ((unsigned char)value.p[value.len] & 0xc0) == 0x80)
        value.len--;
    return value;
}

/* Says what is wrong with the entry, and what its value looks like. Returns false. */
RC_PRINTF(2, 3)
static bool fault(struct compiler *c, const char *fmt, ...)
{
    struct rc_str value = rc_str_of(c->entry->value), part = shown(value);
    struct rc_buf header = RC_BUF_INIT;
    char why[WHY_SIZE + 128];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    put_header(c->section, &header);
    rc_conf_error(c->e, c->entry->file, c->entry->line, "%.*s %s = %.*s%s: %s; expected %s",
                  RC_STR_ARG(rc_buf_str(&header)), c->entry->key, RC_STR_ARG(part),
                  part.len < value.len ? "..." : "", why, verbs[c->verb].form);
    rc_buf_deinit(&header);
    return false;
}

/* ---- words ---- */

static bool is_blank(char ch)
{
    return ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n';
}

static struct rc_str skip_blanks(struct rc_str s)
{
    while (s.len != 0 && is_blank(s.p[0]))
        s = rc_str_skip(s, 1);
    return s;
}

/* At a {: the length of the placeholder or of {{; 1 when it is neither. */
static size_t brace_len(struct rc_str s)
{
    size_t n = 1;

    if (s.len > 1 && s.p[1] == '{')
        return 2;
    while (n < s.len && memchr("{}\"\\", s.p[n], 4) == NULL)
        n++;
    return n < s.len && s.p[n] == '}' ? n + 1 : 1;
}

/* At a ": the length with both quotes; 0 when the second is missing. */
static size_t quoted_len(struct rc_str s)
{
    for (size_t n = 1; n < s.len; n++) {
        if (s.p[n] == '"')
            return n + 1;
        if (s.p[n] == '\\')
            n++;
    }
    return 0;
}

/* Up to white space outside of placeholders. */
static size_t word_len(struct rc_str s)
{
    size_t n = 0;

    while (n < s.len && !is_blank(s.p[n]))
        n += s.p[n] == '{' ? brace_len(rc_str_skip(s, n)) : 1;
    return n;
}

/* Cuts off the next word, or text in quotes; empty at the end. False: there is a fault. */
static bool next_word(struct compiler *c, struct rc_str *src, struct rc_str *word)
{
    struct rc_str s = skip_blanks(*src);
    bool quoted = s.len != 0 && s.p[0] == '"';
    size_t n = quoted ? quoted_len(s) : word_len(s);

    if (quoted && n == 0)
        return fault(c, "the second \" is missing");
    *word = rc_str_make(s.p, n);
    *src = rc_str_skip(s, n);
    if (quoted && src->len != 0 && !is_blank(src->p[0]))
        return fault(c, "no blank follows the second \"");
    return true;
}

/* ---- templates ---- */

/* Takes over t, or tells why there is none. */
static bool keep(struct compiler *c, struct rc_template *t, const char *why,
                 struct rc_template **to)
{
    if (t == NULL)
        return fault(c, "%s", why);
    *to = t;
    if (rc_template_uses_auth(t))
        c->set->uses_auth = true;
    if (c->section->kind == RC_CONF_CONNECT &&
        (rc_template_highest_arg(t) != 0 || rc_template_passes_args(t)))
        return fault(c, "[connect] comes with no arguments, so there is no {1} and no {args}");
    return true;
}

static bool compile_args(struct compiler *c, struct rc_str src, struct rc_template **to)
{
    char why[WHY_SIZE] = "";

    return keep(c, rc_template_args(src, why, sizeof(why)), why, to);
}

/* The name of a room, or a socket's id: a word, or a text in quotes, in which \" is a quote. */
static bool compile_name(struct compiler *c, struct rc_str src, const char *what,
                         struct rc_template **to)
{
    bool quoted = src.len != 0 && src.p[0] == '"';
    struct rc_buf text = RC_BUF_INIT;
    char why[WHY_SIZE] = "";
    struct rc_template *t;

    for (size_t i = quoted; i + quoted < src.len; i++) {
        if (quoted && src.p[i] == '\\' && (src.p[i + 1] == '"' || src.p[i + 1] == '\\'))
            i++;
        rc_buf_putc(&text, src.p[i]);
    }
    if (text.len == 0) {
        rc_buf_deinit(&text);
        return fault(c, "the %s is missing", what);
    }
    t = rc_template_text(rc_buf_str(&text), why, sizeof(why));
    rc_buf_deinit(&text);
    return keep(c, t, why, to);
}

static bool is_array(const struct rc_template *constant)
{
    const struct rc_template_env env = {0};
    struct rc_json_walk w = {.max_depth = 2};
    struct rc_buf json = RC_BUF_INIT;
    unsigned arg;
    bool yes = rc_template_fill_args(constant, &env, &json, &arg) == RC_OK &&
               rc_json_array(rc_buf_str(&json), NULL, 0, &w) >= 0;

    rc_buf_deinit(&json);
    return yes;
}

/* A list of names: one argument, or what is written as a JSON array without blanks. */
static bool compile_list(struct compiler *c, struct rc_str src, struct rc_template **to)
{
    bool array = src.len > 1 && src.p[0] == '[' && src.p[src.len - 1] == ']';
    bool one = src.len > 2 && src.p[0] == '{' && brace_len(src) == src.len &&
               !rc_str_eq(src, RC_STR("{args}")) && memcmp(src.p + src.len - 3, "..}", 3) != 0;

    if (!array && !one)
        return fault(
            c, "rooms is not followed by an argument that is an array, such as {1}, or by "
               "an array without blanks");
    if (!compile_args(c, src, to))
        return false;
    return !rc_template_is_constant(*to) || is_array(*to) ||
           fault(c, "%.*s is no JSON array", RC_STR_ARG(shown(src)));
}

/* The same, where nothing may follow. */
static bool compile_room(struct compiler *c, struct rc_str src, struct rc_template **to)
{
    bool quoted = src.len != 0 && src.p[0] == '"';
    size_t n = quoted ? quoted_len(src) : word_len(src);

    if (quoted && n == 0)
        return fault(c, "the second \" is missing");
    if (n != src.len)
        return fault(c, "there is more behind the room, whose name needs \" around it if it "
                        "has blanks");
    return compile_name(c, src, "room", to);
}

/* ---- emit ---- */

struct target {
    struct rc_str word[TARGET_WORDS];
    bool comma[TARGET_WORDS]; /* one follows the word */
    unsigned n;
};

/* Cuts off one word. *ends: a colon follows it. */
static bool read_word(struct compiler *c, struct rc_str *src, struct target *t, bool *ends)
{
    struct rc_str s = *src;
    bool quoted = s.p[0] == '"', comma = false;
    size_t n = quoted ? quoted_len(s) : word_len(s);
    char last = ' ';

    if (n == 0)
        return fault(c, "the second \" is missing");
    if (!quoted)
        last = s.p[n - 1];
    else if (n < s.len)
        last = s.p[n];
    *ends = last == ':';
    comma = last == ',';
    n -= !quoted && (*ends || comma);
    if (n != 0 && t->n == TARGET_WORDS)
        return fault(c, "there are more than %d targets", (int)TARGETS_MAX);
    if (n != 0) {
        t->word[t->n] = rc_str_make(s.p, n);
        t->comma[t->n++] = false;
    }
    if (comma && (t->n == 0 || t->comma[t->n - 1]))
        return fault(c, "there is no target before the comma");
    if (comma)
        t->comma[t->n - 1] = true;
    *src = rc_str_skip(s, n + (*ends || comma));
    if (quoted && !*ends && !comma && src->len != 0 && !is_blank(src->p[0]))
        return fault(c, "no blank follows the second \"");
    return true;
}

/* Cuts the words before the colon. *src is what comes behind it. */
static bool read_target(struct compiler *c, struct rc_str *src, struct target *t)
{
    static const char no_colon[] = "no : with a blank behind it ends the target";
    bool ends = false;

    while (!ends) {
        *src = skip_blanks(*src);
        if (src->len == 0)
            return fault(c, no_colon);
        if (!read_word(c, src, t, &ends))
            return false;
        if (ends && src->len != 0 && !is_blank(src->p[0]))
            return fault(c, no_colon);
    }
    *src = skip_blanks(*src);
    return true;
}

static const struct {
    const char *word, *name; /* name: what the next word is */
    enum rc_target target;
} targets[] = {{"room", "room", RC_TARGET_ROOM},
               {"rooms", "list of rooms", RC_TARGET_ROOMS},
               {"all", NULL, RC_TARGET_ALL},
               {"sender", NULL, RC_TARGET_SENDER},
               {"socket", "socket's id", RC_TARGET_SOCKET}};
enum { NTARGETS = sizeof(targets) / sizeof(targets[0]) };

/* One item of a list; *i is its word, and is moved behind it. */
static bool compile_item(struct compiler *c, const struct target *t, unsigned *i,
                         struct rc_target_item *item)
{
    unsigned k = 0;

    while (k < NTARGETS && !rc_str_eq(t->word[*i], rc_str_of(targets[k].word)))
        k++;
    if (k == NTARGETS)
        return fault(c, "there is no target %.*s", RC_STR_ARG(shown(t->word[*i])));
    item->target = targets[k].target;
    if (targets[k].name == NULL) {
        ++*i;
        return true;
    }
    if (*i + 1 == t->n || t->comma[*i])
        return fault(c, "the %s is missing", targets[k].name);
    *i += 2;
    if (item->target == RC_TARGET_ROOMS)
        return compile_list(c, t->word[*i - 1], &item->name);
    return compile_name(c, t->word[*i - 1], targets[k].name, &item->name);
}

/* Items with commas between them, into item[*n] and up. */
static bool compile_items(struct compiler *c, const struct target *t, unsigned *i,
                          struct rc_target_item *item, unsigned *n)
{
    bool more = true;

    while (more) {
        if (*i == t->n)
            return fault(c, "the target is missing");
        if (*n == TARGETS_MAX)
            return fault(c, "there are more than %d targets", (int)TARGETS_MAX);
        ++*n; /* with its name, should there be a fault */
        if (!compile_item(c, t, i, &item[*n - 1]))
            return false;
        more = t->comma[*i - 1];
    }
    return true;
}

static bool has_target(const struct rc_target_item *item, unsigned n, enum rc_target target)
{
    for (unsigned i = 0; i < n; i++)
        if (item[i].target == target)
            return true;
    return false;
}

/* What makes no sense. */
static bool check_list(struct compiler *c, const struct rc_target_list *l)
{
    const struct rc_target_item *item = l->item;
    bool except_sender = has_target(item + l->nto, l->nexcept, RC_TARGET_SENDER);

    if (l->nto > 1 && has_target(item, l->nto, RC_TARGET_ALL))
        return fault(c, "all and something else is all");
    if (has_target(item + l->nto, l->nexcept, RC_TARGET_ALL))
        return fault(c, "nobody is left when all are excepted");
    if (except_sender && has_target(item, l->nto, RC_TARGET_SENDER))
        return fault(c, "the sender cannot get it and be excepted");
    if (except_sender && l->nto == 1 && item[0].target == RC_TARGET_SOCKET)
        return fault(c, "one socket alone cannot be without the sender");
    return true;
}

static bool compile_words(struct compiler *c, const struct target *t, struct rc_target_list *l)
{
    unsigned i = 0, n = 0;

    l->is_volatile = t->n > 1 && rc_str_eq(t->word[0], RC_STR("volatile")) && !t->comma[0];
    i += l->is_volatile;
    if (!compile_items(c, t, &i, l->item, &l->nto))
        return false;
    if (i == t->n)
        return check_list(c, l);
    if (!rc_str_eq(t->word[i], RC_STR("except")))
        return fault(
            c,
            "%.*s behind the target is neither \"except\" nor is there a comma before it "
            "(a name needs \" around it if it has blanks)",
            RC_STR_ARG(shown(t->word[i])));
    i++;
    n = l->nto;
    if (!compile_items(c, t, &i, l->item, &n)) {
        l->nexcept = n - l->nto;
        return false;
    }
    l->nexcept = n - l->nto;
    if (i != t->n)
        return fault(c, "there is no comma before %.*s", RC_STR_ARG(shown(t->word[i])));
    return check_list(c, l);
}

static void free_list(struct rc_target_list *l)
{
    for (unsigned i = 0; l != NULL && i < l->nto + l->nexcept; i++)
        rc_template_free(l->item[i].name);
    free(l);
}

static bool is_simple(const struct rc_target_list *l)
{
    if (l->is_volatile || l->nto != 1 || l->item[0].target == RC_TARGET_ROOMS)
        return false;
    return l->nexcept == 0 || (l->nexcept == 1 && l->item[1].target == RC_TARGET_SENDER);
}

static bool compile_target(struct compiler *c, const struct target *t, struct rc_action *a)
{
    struct rc_target_list *l =
        rc_calloc(1, sizeof(*l) + TARGETS_MAX * sizeof(struct rc_target_item));

    if (!compile_words(c, t, l)) {
        free_list(l);
        return false;
    }
    if (!is_simple(l)) {
        a->list = l;
        return true;
    }
    a->target = l->item[0].target;
    a->name = l->item[0].name;
    a->except_sender = l->nexcept != 0;
    free(l);
    return true;
}

/* A word as the JSON string that it would be in quotes. */
static void put_json_word(struct rc_str word, struct rc_buf *to)
{
    size_t n;

    rc_buf_putc(to, '"');
    for (; word.len != 0; word = rc_str_skip(word, n)) {
        n = word.p[0] == '{' ? brace_len(word) : 1;
        if (n == 1)
            rc_json_string_escape(rc_str_make(word.p, 1), to);
        else
            rc_buf_put(to, word.p, n);
    }
    rc_buf_putc(to, '"');
}

static bool fault_reserved(struct compiler *c, struct rc_str json)
{
    struct rc_buf name = RC_BUF_INIT;

    if (rc_json_string_decode(json, &name) == RC_OK)
        (void)fault(c, "Socket.IO reserves the event %.*s", RC_STR_ARG(rc_buf_str(&name)));
    rc_buf_deinit(&name);
    return false;
}

/* Clients close the connection when they are sent an event of their own. */
static bool check_event(struct compiler *c, const struct rc_template *event)
{
    const struct rc_template_env env = {0};
    struct rc_buf name = RC_BUF_INIT;
    unsigned arg;
    bool ok = true;

    if (!rc_template_is_constant(event))
        return true;
    if (rc_template_fill_args(event, &env, &name, &arg) != RC_OK ||
        rc_str_eq(rc_buf_str(&name), RC_STR("\"\"")))
        ok = fault(c, "the name of the event is missing");
    else if (rc_sio_event_reserved(rc_buf_str(&name)))
        ok = fault_reserved(c, rc_buf_str(&name));
    rc_buf_deinit(&name);
    return ok;
}

/* A word, or a text in quotes, as a JSON string. */
static bool compile_string(struct compiler *c, struct rc_str *src, const char *what,
                           struct rc_template **to)
{
    struct rc_buf json = RC_BUF_INIT;
    struct rc_str word = RC_STR_NONE;
    bool ok;

    if (!next_word(c, src, &word))
        return false;
    if (word.len == 0)
        return fault(c, "the %s is missing", what);
    if (word.p[0] == '"')
        rc_buf_puts(&json, word);
    else
        put_json_word(word, &json);
    ok = compile_args(c, rc_buf_str(&json), to);
    rc_buf_deinit(&json);
    return ok;
}

static bool compile_event(struct compiler *c, struct rc_str *src, struct rc_template **to)
{
    return compile_string(c, src, "event", to) && check_event(c, *to);
}

static bool compile_emit(struct compiler *c, struct rc_str src, struct rc_action *a)
{
    struct target t = {.n = 0};

    if (!read_target(c, &src, &t) || !compile_target(c, &t, a) ||
        !compile_event(c, &src, &a->event))
        return false;
    src = skip_blanks(src);
    return src.len == 0 || compile_args(c, src, &a->args);
}

/* As emit, with a time for the answers behind the target. */
static bool compile_ask(struct compiler *c, struct rc_str src, struct rc_action *a)
{
    struct target t = {.n = 0};
    struct rc_buf why = RC_BUF_INIT;
    bool ok;

    c->last = c->entry;
    a->within_ms = ASK_WITHIN_MS;
    if (c->section->kind == RC_CONF_CONNECT)
        return fault(c, "[connect] has nobody to answer to");
    if (!read_target(c, &src, &t))
        return false;
    if (t.n >= 2 && rc_str_eq(t.word[t.n - 2], RC_STR("within"))) {
        ok = rc_conf_duration(t.word[t.n - 1], 10, ASK_WITHIN_MAX_MS, &a->within_ms, &why) ||
             fault(c, "within must be followed by %.*s", (int)why.len, (const char *)why.data);
        rc_buf_deinit(&why);
        if (!ok)
            return false;
        t.n -= 2;
    }
    if (!compile_target(c, &t, a))
        return false;
    if (a->list == NULL ? a->target == RC_TARGET_SENDER
                        : a->list->nto == 1 && a->list->item[0].target == RC_TARGET_SENDER)
        return fault(c, "the sender is who asks");
    if (!compile_event(c, &src, &a->event))
        return false;
    src = skip_blanks(src);
    return src.len == 0 || compile_args(c, src, &a->args);
}

/* ---- the other verbs ---- */

/* MESSAGE [DATA]: what who is refused gets to know. */
static bool compile_refusal(struct compiler *c, struct rc_str src, struct rc_action *a)
{
    if (!compile_string(c, &src, "message", &a->message))
        return false;
    src = skip_blanks(src);
    if (src.len == 0)
        return true;
    if (!compile_args(c, src, &a->data))
        return false;
    return rc_template_is_value(a->data) ||
           fault(c, "the data is more than one value; a message needs \" around it if it has "
                    "blanks");
}

static bool compile_refuse(struct compiler *c, struct rc_str src, struct rc_action *a)
{
    c->last = c->entry;
    return compile_refusal(c, src, a);
}

/* The value of a key of auth, as JSON. */
static bool compile_auth_key(struct compiler *c, struct rc_str key, struct rc_template **to)
{
    struct rc_buf text = RC_BUF_INIT;
    bool ok;

    if (key.len == 0)
        return fault(c, "the key is missing");
    if (memchr(key.p, '{', key.len) != NULL || memchr(key.p, '"', key.len) != NULL)
        return fault(c, "the key is a name as in {auth.KEY}");
    rc_buf_printf(&text, "{auth.%.*s}", RC_STR_ARG(key));
    ok = compile_args(c, rc_buf_str(&text), to);
    rc_buf_deinit(&text);
    return ok;
}

static bool compile_condition(struct compiler *c, struct rc_str *src, struct rc_action *a)
{
    struct rc_str kind, word[2];
    bool same;

    if (!next_word(c, src, &kind) || !next_word(c, src, &word[0]))
        return false;
    if (rc_str_eq(kind, RC_STR("member"))) {
        a->require = RC_REQUIRE_MEMBER;
        if (c->section->kind == RC_CONF_CONNECT)
            return fault(c, "a client that is about to connect is in no room");
        return compile_name(c, word[0], "room", &a->name);
    }
    if (rc_str_eq(kind, RC_STR("auth"))) {
        a->require = RC_REQUIRE_AUTH;
        return compile_auth_key(c, word[0], &a->text[0]);
    }
    same = rc_str_eq(kind, RC_STR("same"));
    if (!same)
        return fault(c, "%.*s cannot be required", RC_STR_ARG(shown(kind)));
    a->require = RC_REQUIRE_SAME;
    return next_word(c, src, &word[1]) && compile_name(c, word[0], "first text", &a->text[0]) &&
           compile_name(c, word[1], "second text", &a->text[1]);
}

static bool compile_join(struct compiler *c, struct rc_str src, struct rc_action *a)
{
    size_t n = word_len(src);
    struct rc_str rest = skip_blanks(rc_str_skip(src, n));

    if (src.p == NULL || rest.len == 0 || !rc_str_eq(rc_str_make(src.p, n), RC_STR("rooms")))
        return compile_room(c, src, &a->name);
    a->list = rc_calloc(1, sizeof(*a->list) + sizeof(struct rc_target_item));
    a->list->nto = 1;
    a->list->item[0].target = RC_TARGET_ROOMS;
    return compile_list(c, rest, &a->list->item[0].name);
}

static bool compile_require(struct compiler *c, struct rc_str src, struct rc_action *a)
{
    struct rc_str word = RC_STR_NONE;

    if (src.len == 0)
        return fault(c, "it does not say what");
    if (!compile_condition(c, &src, a) || !next_word(c, &src, &word))
        return false;
    if (word.len == 0)
        return true;
    if (!rc_str_eq(word, RC_STR("else")))
        return fault(c,
                     "%.*s is not else; a room or a text needs \" around it if it has blanks",
                     RC_STR_ARG(shown(word)));
    return compile_refusal(c, src, a);
}

static bool compile_ack(struct compiler *c, struct rc_str src, struct rc_action *a)
{
    if (c->section->kind == RC_CONF_CONNECT)
        return fault(c, "[connect] has nothing to acknowledge");
    if (src.len == 0)
        return fault(c, "the arguments are missing");
    if (rc_str_eq(src, RC_STR("none"))) {
        c->rule->ack = RC_ACK_NONE;
        return true;
    }
    if (rc_str_eq(src, RC_STR("auto"))) {
        c->rule->ack = RC_ACK_AUTO;
        return true;
    }
    c->rule->ack = RC_ACK_OWN;
    return compile_args(c, src, &a->args);
}

static bool compile_watch(struct compiler *c, struct rc_str src)
{
    return rc_str_eq(src, RC_STR("rooms")) || fault(c, "only the list of rooms can be watched");
}

static bool compile_disconnect(struct compiler *c, struct rc_str src, struct rc_action *a)
{
    c->last = c->entry;
    a->whole_connection = rc_str_eq(src, RC_STR("connection"));
    return a->whole_connection || rc_str_eq(src, RC_STR("namespace")) ||
           fault(c, "it does not say from what");
}

static bool compile_action(struct compiler *c, struct rc_action *a)
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
    case RC_VERB_DISCONNECT: return compile_disconnect(c, src, a);
    }
    return false;
}

/* ---- rules ---- */

static void free_action(struct rc_action *a)
{
    free_list(a->list);
    rc_template_free(a->name);
    rc_template_free(a->event);
    rc_template_free(a->args);
    rc_template_free(a->text[0]);
    rc_template_free(a->text[1]);
    rc_template_free(a->message);
    rc_template_free(a->data);
}

/* Who connects is refused before anything else is done: so it is also written. */
static void check_order(struct compiler *c, enum rc_verb verb)
{
    const struct rc_rule *rule = c->rule;
    enum rc_verb before;

    if (c->section->kind != RC_CONF_CONNECT || rule->nactions == 0 ||
        (verb != RC_VERB_REQUIRE && verb != RC_VERB_REFUSE))
        return;
    before = rule->action[rule->nactions - 1].verb;
    if (before != RC_VERB_REQUIRE)
        (void)fault(c, "[connect] refuses before it does anything: it cannot come after %s",
                    verbs[before].key);
}

static void compile_entry(struct compiler *c)
{
    const struct rc_conf_entry *before = c->last;
    struct rc_action a = {.verb = RC_VERB_EMIT};
    unsigned i = 0;

    while (i < NVERBS && strcmp(c->entry->key, verbs[i].key) != 0)
        i++;
    RC_ASSERT(i < NVERBS); /* conf knows the same keys */
    c->verb = (enum rc_verb)i;
    if (!compile_action(c, &a)) {
        free_action(&a);
        return;
    }
    if (a.verb == RC_VERB_ACK && a.args == NULL)
        return; /* none, auto: a property of the rule, not a step */
    if (before != NULL)
        (void)fault(c, "nothing can follow %s (line %u)", before->key, before->line);
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
    struct compiler c = {.section = section, .e = e, .set = set, .rule = rule};

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
    return rc_hash(event.p, event.len, 0);
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

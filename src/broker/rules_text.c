/* rules_text.c - the words of a rule's value, and the names, texts and arguments that they become:
 * templates. Tells faults. */
#include "rules_int.h"

#include "rc/base/buf.h"
#include "rc/proto/json.h"

#include <stdarg.h>

enum {
    WHY_SIZE = 512,
    VALUE_SHOWN = 80, /* bytes of a value that a fault repeats */
};

/* ---- faults ---- */

struct rc_str rc_rules_shown(struct rc_str value)
{
    if (value.len <= VALUE_SHOWN)
        return value;
    value.len = VALUE_SHOWN;
    while (value.len != 0 && ((unsigned char)value.p[value.len] & 0xc0) == 0x80)
        value.len--;
    return value;
}

bool rc_rules_fault(struct rc_compiler *c, const char *fmt, ...)
{
    struct rc_str value = rc_str_of(c->entry->value), part = rc_rules_shown(value);
    struct rc_buf header = RC_BUF_INIT;
    char why[WHY_SIZE + 128];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    rc_conf_header_put(c->section, &header);
    rc_conf_error(c->e, c->entry->file, c->entry->line, "%.*s %s = %.*s%s: %s; expected %s",
                  RC_STR_ARG(rc_buf_str(&header)), c->entry->key, RC_STR_ARG(part),
                  part.len < value.len ? "..." : "", why, c->form);
    rc_buf_deinit(&header);
    return false;
}

/* ---- words ---- */

bool rc_rules_is_blank(char ch)
{
    return ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n';
}

struct rc_str rc_rules_skip_blanks(struct rc_str s)
{
    while (s.len != 0 && rc_rules_is_blank(s.p[0]))
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

size_t rc_rules_quoted_len(struct rc_str s)
{
    for (size_t n = 1; n < s.len; n++) {
        if (s.p[n] == '"')
            return n + 1;
        if (s.p[n] == '\\')
            n++;
    }
    return 0;
}

size_t rc_rules_word_len(struct rc_str s)
{
    size_t n = 0;

    while (n < s.len && !rc_rules_is_blank(s.p[n]))
        n += s.p[n] == '{' ? brace_len(rc_str_skip(s, n)) : 1;
    return n;
}

bool rc_rules_next_word(struct rc_compiler *c, struct rc_str *src, struct rc_str *word)
{
    struct rc_str s = rc_rules_skip_blanks(*src);
    bool quoted = s.len != 0 && s.p[0] == '"';
    size_t n = quoted ? rc_rules_quoted_len(s) : rc_rules_word_len(s);

    if (quoted && n == 0)
        return rc_rules_fault(c, "the second \" is missing");
    *word = rc_str_make(s.p, n);
    *src = rc_str_skip(s, n);
    if (quoted && src->len != 0 && !rc_rules_is_blank(src->p[0]))
        return rc_rules_fault(c, "no blank follows the second \"");
    return true;
}

/* ---- templates ---- */

/* Takes over t, or tells why there is none. */
static bool keep(struct rc_compiler *c, struct rc_template *t, const char *why,
                 struct rc_template **to)
{
    if (t == NULL)
        return rc_rules_fault(c, "%s", why);
    *to = t;
    if (rc_template_uses_auth(t))
        c->set->uses_auth = true;
    if (rc_template_uses_auth(t) && c->section->kind == RC_CONF_CONNECT)
        c->set->connect_uses_auth = true;
    if (c->section->kind == RC_CONF_CONNECT &&
        (rc_template_highest_arg(t) != 0 || rc_template_passes_args(t)))
        return rc_rules_fault(
            c, "[connect] comes with no arguments, so there is no {1} and no {args}");
    return true;
}

bool rc_rules_compile_args(struct rc_compiler *c, struct rc_str src, struct rc_template **to)
{
    char why[WHY_SIZE] = "";

    return keep(c, rc_template_args(src, why, sizeof(why)), why, to);
}

/* A name with {room} needs one. */
static bool check_room(struct rc_compiler *c, const struct rc_template *name)
{
    bool joins_first = c->section->kind == RC_CONF_CONNECT && c->verb == RC_VERB_JOIN;

    return (joins_first ? c->joined : c->named) || !rc_template_uses_room(name) ||
           rc_rules_fault(c, "there is no {room}: no %s before it names one",
                          joins_first ? "join" : "line");
}

bool rc_rules_compile_name(struct rc_compiler *c, struct rc_str src, const char *what,
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
        return rc_rules_fault(c, "the %s is missing", what);
    }
    t = rc_template_text(rc_buf_str(&text), why, sizeof(why));
    rc_buf_deinit(&text);
    return keep(c, t, why, to) && check_room(c, t);
}

void rc_rules_name_room(struct rc_compiler *c)
{
    c->named = true;
    c->joined = c->joined || c->verb == RC_VERB_JOIN;
}

bool rc_rules_compile_room(struct rc_compiler *c, struct rc_str src, struct rc_template **to)
{
    bool quoted = src.len != 0 && src.p[0] == '"';
    size_t n = quoted ? rc_rules_quoted_len(src) : rc_rules_word_len(src);

    if (quoted && n == 0)
        return rc_rules_fault(c, "the second \" is missing");
    if (n != src.len)
        return rc_rules_fault(
            c, "there is more behind the room, whose name needs \" around it if it "
               "has blanks");
    if (!rc_rules_compile_name(c, src, "room", to))
        return false;
    rc_rules_name_room(c);
    return true;
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

bool rc_rules_compile_list(struct rc_compiler *c, struct rc_str src, struct rc_template **to)
{
    bool array = src.len > 1 && src.p[0] == '[' && src.p[src.len - 1] == ']';
    bool one = src.len > 2 && src.p[0] == '{' && brace_len(src) == src.len &&
               !rc_str_eq(src, RC_STR("{args}")) && memcmp(src.p + src.len - 3, "..}", 3) != 0;

    if (!array && !one)
        return rc_rules_fault(
            c, "rooms is not followed by an argument that is an array, such as {1}, or by "
               "an array without blanks");
    if (!rc_rules_compile_args(c, src, to))
        return false;
    return !rc_template_is_constant(*to) || is_array(*to) ||
           rc_rules_fault(c, "%.*s is no JSON array", RC_STR_ARG(rc_rules_shown(src)));
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

bool rc_rules_compile_string(struct rc_compiler *c, struct rc_str *src, const char *what,
                             struct rc_template **to)
{
    struct rc_buf json = RC_BUF_INIT;
    struct rc_str word = RC_STR_NONE;
    bool ok;

    if (!rc_rules_next_word(c, src, &word))
        return false;
    if (word.len == 0)
        return rc_rules_fault(c, "the %s is missing", what);
    if (word.p[0] == '"')
        rc_buf_puts(&json, word);
    else
        put_json_word(word, &json);
    ok = rc_rules_compile_args(c, rc_buf_str(&json), to);
    rc_buf_deinit(&json);
    return ok;
}

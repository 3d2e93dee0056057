#include "rc/proto/template.h"

#include "rc/base/mem.h"
#include "rc/base/utf8.h"
#include "rc/proto/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ARG_MAX_N = 16, DEPTH_MAX = 64 };

/* What a placeholder stands in decides how it is filled. */
enum where { IN_TEXT, IN_STRING, AS_VALUE };

enum kind {
    PART_LITERAL,
    PART_SEPARATOR, /* a comma, unless what is before it turned out to be nothing */
    PART_ARG,
    PART_KEY,    /* {N.KEY} */
    PART_SPREAD, /* {N..}, and {args} as {1..}: nothing, or its comma and the arguments */
    PART_AUTH,
    PART_CLAIM,
    PART_TIME,
    PART_MESSAGE_ID,
    PART_MESSAGE_TIME,
    PART_ROOM,
    PART_ID,
    PART_USER,
    PART_EVENT,
    PART_NSP,
};

struct part {
    enum kind kind;
    enum where where;
    unsigned n;     /* ARG, KEY, SPREAD: which argument, from 1 */
    bool optional;  /* ARG, KEY: may be missing */
    size_t at, len; /* LITERAL: its bytes; KEY, AUTH, CLAIM: the key; in the template's bytes */
};

struct rc_template {
    struct part *part;
    size_t nparts;
    struct rc_buf bytes;
    unsigned highest, required;
    bool uses_auth, uses_message, passes_args;
    unsigned nvalues; /* arguments of a list */
    bool spreads;     /* some of them stand for any number */
};

struct compiler {
    struct rc_str src; /* what is left of the source */
    struct rc_template *t;
    struct rc_buf check; /* the argument being read, its placeholders filled with dummies */
    char *why;
    size_t why_len;
};

#define ALLOWED_ANYWHERE                                                                       \
    "{1} to {16}, {1.KEY}, {1?} and {1.KEY?} (may be missing), {room}, {id}, {user}, {time}, " \
    "{event}, {nsp}, "                                                                         \
    "{auth.KEY}, {claim.KEY}, {message.id}, {message.time}"
#define ALLOWED_IN_LISTS ", and as a whole argument {args}, {2..} (the second and the rest)"
#define LITERAL_BRACE    "a literal { is written {{"

/* ---- compiling ---- */

/* Returns false, so that the reader which found the fault can end with it. */
static bool fault(struct compiler *c, const char *fmt, ...) RC_PRINTF(2, 3);
static bool fault(struct compiler *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (c->why_len != 0)
        (void)vsnprintf(c->why, c->why_len, fmt, ap);
    va_end(ap);
    return false;
}

static bool is_space(char ch)
{
    return ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n';
}

static struct part *add_part(struct compiler *c, enum kind kind, enum where where)
{
    struct rc_template *t = c->t;

    t->part = rc_realloc(t->part, (t->nparts + 1) * sizeof(*t->part));
    t->part[t->nparts] = (struct part){.kind = kind, .where = where, .at = t->bytes.len};
    return &t->part[t->nparts++];
}

static void add_literal(struct compiler *c, const char *p, size_t n)
{
    struct rc_template *t = c->t;
    struct part *last = t->nparts != 0 ? &t->part[t->nparts - 1] : NULL;

    if (last == NULL || last->kind != PART_LITERAL)
        last = add_part(c, PART_LITERAL, IN_TEXT);
    rc_buf_put(&t->bytes, p, n);
    last->len += n;
}

/* Bytes that are the same in the result and in the check. */
static void take(struct compiler *c, size_t n)
{
    add_literal(c, c->src.p, n);
    rc_buf_put(&c->check, c->src.p, n);
    c->src = rc_str_skip(c->src, n);
}

static bool unknown(struct compiler *c, struct rc_str name, enum where where)
{
    return fault(c, "unknown placeholder {%.*s}: allowed are %s%s; %s", RC_STR_ARG(name),
                 ALLOWED_ANYWHERE, where == IN_TEXT ? "" : ALLOWED_IN_LISTS, LITERAL_BRACE);
}

static bool add_spread(struct compiler *c, struct rc_str name, unsigned n, enum where where)
{
    bool ends = c->src.len == 0 || c->src.p[0] == ',' || is_space(c->src.p[0]);

    if (where != AS_VALUE || c->check.len != 0 || !ends)
        return fault(c, "{%.*s} may only stand for whole arguments, not inside of one: use {1}",
                     RC_STR_ARG(name));
    add_part(c, PART_SPREAD, where)->n = n;
    c->t->passes_args = true;
    c->t->spreads = true;
    if (n > c->t->highest && !rc_str_eq(name, RC_STR("args")))
        c->t->highest = n;
    return true;
}

static struct part *add_key(struct compiler *c, enum kind kind, struct rc_str key,
                            enum where where)
{
    struct part *part = add_part(c, kind, where);

    part->len = key.len;
    rc_buf_puts(&c->t->bytes, key);
    return part;
}

/* Behind the number n of {1}, {1?}, {1.KEY}, {1.KEY?}: what is left of the name. */
static bool add_argument(struct compiler *c, unsigned n, struct rc_str rest, enum where where)
{
    bool optional = rest.len != 0 && rest.p[rest.len - 1] == '?';
    struct rc_template *t = c->t;
    struct part *part;

    rest.len -= optional;
    if (rest.len == 1)
        return fault(c, "{%u.}: the key is missing, as in {%u.name}", n, n);
    if (rest.len == 0)
        part = add_part(c, PART_ARG, where);
    else
        part = add_key(c, PART_KEY, rc_str_skip(rest, 1), where);
    part->n = n;
    part->optional = optional;
    if (n > t->highest)
        t->highest = n;
    if (!optional && n > t->required)
        t->required = n;
    if (where == AS_VALUE)
        t->passes_args = true;
    return true;
}

/* {1}, {1?}, {1.KEY}, {1.KEY?}, {2..} */
static bool add_numbered(struct compiler *c, struct rc_str name, enum where where)
{
    struct rc_str rest = name;
    unsigned n = 0;
    bool spread;

    for (; rest.len != 0 && rest.p[0] >= '0' && rest.p[0] <= '9'; rest = rc_str_skip(rest, 1)) {
        if (n <= ARG_MAX_N)
            n = n * 10 + (unsigned)(rest.p[0] - '0');
    }
    spread = rc_str_eq(rest, RC_STR(".."));
    if (!spread && rest.len != 0 && !rc_str_eq(rest, RC_STR("?")) &&
        (rest.p[0] != '.' || rc_str_starts(rest, RC_STR(".."))))
        return unknown(c, name, where);
    if (n == 0 || n > ARG_MAX_N)
        return fault(c, "{%.*s}: arguments are numbered from 1 to %d", RC_STR_ARG(name),
                     (int)ARG_MAX_N);
    return spread ? add_spread(c, name, n, where) : add_argument(c, n, rest, where);
}

static bool add_auth(struct compiler *c, struct rc_str key, enum where where)
{
    if (key.len == 0)
        return fault(c, "{auth.}: the key is missing, as in {auth.name}");
    (void)add_key(c, PART_AUTH, key, where);
    c->t->uses_auth = true;
    return true;
}

static bool add_claim(struct compiler *c, struct rc_str key, enum where where)
{
    if (key.len == 0)
        return fault(c, "{claim.}: the key is missing, as in {claim.name}");
    (void)add_key(c, PART_CLAIM, key, where);
    return true;
}

static bool add_named(struct compiler *c, struct rc_str name, enum where where)
{
    static const struct {
        const char *name;
        enum kind kind;
    } table[] = {{"room", PART_ROOM},
                 {"id", PART_ID},
                 {"user", PART_USER},
                 {"time", PART_TIME},
                 {"event", PART_EVENT},
                 {"nsp", PART_NSP},
                 {"message.id", PART_MESSAGE_ID},
                 {"message.time", PART_MESSAGE_TIME}};
    size_t i;

    if (rc_str_eq(name, RC_STR("args")))
        return add_spread(c, name, 1, where);
    if (rc_str_starts(name, RC_STR("auth.")))
        return add_auth(c, rc_str_skip(name, 5), where);
    if (rc_str_starts(name, RC_STR("claim.")))
        return add_claim(c, rc_str_skip(name, 6), where);
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (rc_str_eq(name, rc_str_of(table[i].name))) {
            (void)add_part(c, table[i].kind, where);
            c->t->uses_message |=
                table[i].kind == PART_MESSAGE_ID || table[i].kind == PART_MESSAGE_TIME;
            return true;
        }
    }
    return unknown(c, name, where);
}

/* A value that is valid wherever the real one will be, and only there. The spaces keep it from
 * growing together with a neighbour; '-' in a string completes no escape. */
static struct rc_str dummy_of(const struct part *part)
{
    bool plain = part->kind >= PART_ROOM;

    if (part->where != AS_VALUE)
        return RC_STR("-");
    return plain ? RC_STR(" \"\" ") : RC_STR(" 0 ");
}

static bool ends_name(char ch)
{
    return ch == '}' || ch == '{' || ch == '"' || ch == '\\';
}

/* The source is at a brace that is not doubled. */
static bool read_placeholder(struct compiler *c, enum where where)
{
    struct rc_str name = rc_str_skip(c->src, 1);
    size_t n = 0;

    while (n < name.len && !ends_name(name.p[n]))
        n++;
    if (n == name.len || name.p[n] != '}')
        return fault(c, "{%.*s is not closed by }; %s", (int)(n < 40 ? n : 40), name.p,
                     LITERAL_BRACE);
    name.len = n;
    c->src = rc_str_skip(c->src, n + 2);
    if (name.len != 0 && name.p[0] >= '0' && name.p[0] <= '9' ? !add_numbered(c, name, where)
                                                              : !add_named(c, name, where))
        return false;
    rc_buf_puts(&c->check, dummy_of(&c->t->part[c->t->nparts - 1]));
    return true;
}

/* At a brace in a text or a string: a doubled one is literal. */
static bool read_brace(struct compiler *c, enum where where)
{
    if (c->src.len < 2 || c->src.p[1] != '{')
        return read_placeholder(c, where);
    c->src = rc_str_skip(c->src, 1);
    take(c, 1);
    return true;
}

static bool read_text(struct compiler *c)
{
    while (c->src.len != 0) {
        if (c->src.p[0] != '{')
            take(c, 1);
        else if (!read_brace(c, IN_TEXT))
            return false;
    }
    return true;
}

/* At the opening quote; ends behind the closing one, or at the end of the source. */
static bool read_string(struct compiler *c)
{
    take(c, 1);
    while (c->src.len != 0 && c->src.p[0] != '"') {
        if (c->src.p[0] == '\\')
            take(c, c->src.len > 1 ? 2 : 1);
        else if (c->src.p[0] != '{')
            take(c, 1);
        else if (!read_brace(c, IN_STRING))
            return false;
    }
    if (c->src.len != 0)
        take(c, 1);
    return true;
}

/* Outside of strings an object's brace is followed by a quote, a brace or white space. */
static bool at_placeholder(struct rc_str s)
{
    return s.len >= 2 && s.p[0] == '{' &&
           ((s.p[1] >= '0' && s.p[1] <= '9') || (s.p[1] >= 'a' && s.p[1] <= 'z') ||
            (s.p[1] >= 'A' && s.p[1] <= 'Z') || s.p[1] == '_');
}

/* One argument, up to white space or a comma outside of all brackets. */
static bool read_argument(struct compiler *c)
{
    unsigned depth = 0;
    char ch;

    while (c->src.len != 0) {
        ch = c->src.p[0];
        if (depth == 0 && (ch == ',' || is_space(ch)))
            break;
        if (ch == '"' || at_placeholder(c->src)) {
            if (ch == '"' ? !read_string(c) : !read_placeholder(c, AS_VALUE))
                return false;
            continue;
        }
        if (ch == '{' || ch == '[')
            depth++;
        else if ((ch == '}' || ch == ']') && depth != 0)
            depth--;
        if (is_space(ch)) {
            rc_buf_putc(&c->check, ch);
            c->src = rc_str_skip(c->src, 1);
        } else {
            take(c, 1);
        }
    }
    return true;
}

static bool check_argument(struct compiler *c, struct rc_str src, unsigned number)
{
    struct rc_json_walk w = {.max_depth = DEPTH_MAX};
    int rc = rc_json_validate(rc_buf_str(&c->check), &w);

    src.len -= c->src.len;
    if (rc == RC_ELIMIT)
        return fault(c, "argument %u is nested deeper than %d", number, (int)DEPTH_MAX);
    if (rc != RC_OK)
        return fault(
            c,
            "argument %u is no JSON value: %.*s (texts are in double quotes, arguments "
            "are separated by a space or a comma)",
            number, (int)(src.len < 80 ? src.len : 80), src.p);
    return true;
}

static void skip_spaces(struct compiler *c)
{
    while (c->src.len != 0 && is_space(c->src.p[0]))
        c->src = rc_str_skip(c->src, 1);
}

/* {args} or {N..}: an argument that may turn out to be nothing, and puts its own comma. */
static bool at_spread(struct rc_str s)
{
    size_t n = 1;

    while (n < s.len && s.p[n] >= '0' && s.p[n] <= '9')
        n++;
    return rc_str_starts(s, RC_STR("{args}")) ||
           (at_placeholder(s) && n > 1 && rc_str_starts(rc_str_skip(s, n), RC_STR("..}")));
}

static bool read_list(struct compiler *c)
{
    struct rc_str start;
    unsigned number = 0;
    bool comma = false, filled = false;

    for (skip_spaces(c); c->src.len != 0; skip_spaces(c)) {
        number++;
        start = c->src;
        if (!at_spread(start)) {
            if (filled)
                add_literal(c, ",", 1);
            else if (number > 1)
                (void)add_part(c, PART_SEPARATOR, AS_VALUE);
            filled = true;
        }
        c->check.len = 0;
        if (!read_argument(c))
            return false;
        if (c->check.len == 0)
            return fault(c, "argument %u is missing before a comma", number);
        if (!check_argument(c, start, number))
            return false;
        skip_spaces(c);
        comma = c->src.len != 0 && c->src.p[0] == ',';
        c->src = rc_str_skip(c->src, comma);
    }
    c->t->nvalues = number;
    return !comma || fault(c, "an argument is missing after the last comma");
}

static struct rc_template *compile(struct rc_str src, bool (*read)(struct compiler *),
                                   char *why, size_t why_len)
{
    struct compiler c = {.src = src, .why_len = why_len};
    struct rc_template *t = rc_calloc(1, sizeof(*t));
    bool ok;

    c.t = t;
    c.why = why;
    ok = rc_utf8_valid(src) ? read(&c) : fault(&c, "not valid UTF-8");
    if (ok && (t->bytes.failed || c.check.failed))
        ok = fault(&c, "out of memory");
    rc_buf_deinit(&c.check);
    if (ok)
        return t;
    rc_template_free(t);
    return NULL;
}

struct rc_template *rc_template_text(struct rc_str src, char *why, size_t why_len)
{
    return compile(src, read_text, why, why_len);
}

struct rc_template *rc_template_args(struct rc_str src, char *why, size_t why_len)
{
    return compile(src, read_list, why, why_len);
}

void rc_template_free(struct rc_template *t)
{
    if (t == NULL)
        return;
    free(t->part);
    rc_buf_deinit(&t->bytes);
    free(t);
}

bool rc_template_uses_auth(const struct rc_template *t)
{
    return t->uses_auth;
}

bool rc_template_uses_message(const struct rc_template *t)
{
    return t->uses_message;
}

bool rc_template_passes_args(const struct rc_template *t)
{
    return t->passes_args;
}

bool rc_template_uses_room(const struct rc_template *t)
{
    for (size_t i = 0; i < t->nparts; i++)
        if (t->part[i].kind == PART_ROOM)
            return true;
    return false;
}

bool rc_template_is_value(const struct rc_template *t)
{
    return t->nvalues == 1 && !t->spreads;
}

bool rc_template_is_constant(const struct rc_template *t)
{
    return t->nparts == 0 || (t->nparts == 1 && t->part[0].kind == PART_LITERAL);
}

unsigned rc_template_highest_arg(const struct rc_template *t)
{
    return t->highest;
}

unsigned rc_template_required_args(const struct rc_template *t)
{
    return t->required;
}

/* ---- filling ---- */

/* A plain text: encoded as the place asks for it. */
static void put_plain(struct rc_buf *out, enum where where, struct rc_str text)
{
    switch (where) {
    case IN_TEXT: rc_buf_puts(out, text); break;
    case IN_STRING: rc_json_string_escape(text, out); break;
    case AS_VALUE: rc_json_string_encode(text, out); break;
    }
}

/* A JSON value; only a scalar has a text. */
static int put_json(struct rc_buf *out, enum where where, struct rc_str value)
{
    enum rc_json_type type = rc_json_type(value);

    if (where == AS_VALUE) {
        rc_buf_puts(out, value);
        return RC_OK;
    }
    if (type == RC_JSON_OBJECT || type == RC_JSON_ARRAY)
        return RC_EINVAL;
    if (type != RC_JSON_STRING)
        rc_buf_puts(out, value);
    else if (where == IN_STRING)
        rc_buf_put(out, value.p + 1, value.len - 2);
    else if (rc_json_string_decode(value, out) != RC_OK)
        return RC_EINVAL;
    return RC_OK;
}

/* What fails is told to *arg and env->key. */
static int put_arg(struct rc_buf *out, const struct part *part, struct rc_str key,
                   const struct rc_template_env *env, unsigned *arg)
{
    struct rc_str value = part->n <= env->nargs ? env->args[part->n - 1] : RC_STR_NONE;
    bool given = value.len != 0;
    int rc = RC_OK;

    if (given && part->kind == PART_KEY)
        value = rc_json_type(value) == RC_JSON_OBJECT ? rc_json_get(value, key) : RC_STR_NONE;
    if (value.len != 0)
        rc = put_json(out, part->where, value);
    else if (!part->optional)
        rc = RC_ENOENT;
    else if (part->where == AS_VALUE)
        rc_buf_puts(out, RC_STR("null"));
    if (rc != RC_OK)
        *arg = part->n;
    if (rc != RC_OK && env->key != NULL && given && part->kind == PART_KEY)
        *env->key = key;
    return rc;
}

static int put_auth(struct rc_buf *out, const struct part *part, struct rc_str key,
                    struct rc_str auth, unsigned *arg)
{
    struct rc_str value = rc_json_get(auth, key);
    int rc;

    if (value.len == 0) {
        if (part->where == AS_VALUE)
            rc_buf_puts(out, RC_STR("null"));
        return RC_OK;
    }
    rc = put_json(out, part->where, value);
    if (rc != RC_OK)
        *arg = 0;
    return rc;
}

static void put_spread(struct rc_buf *out, const struct part *part,
                       const struct rc_template_env *env, bool first)
{
    const struct rc_str *from;

    if (part->n > env->nargs)
        return;
    from = &env->args[part->n - 1];
    if (!first)
        rc_buf_putc(out, ',');
    rc_buf_puts(out, rc_str_skip(env->args_raw, (size_t)(from->p - env->args_raw.p)));
}

static struct rc_str own_bytes(const struct rc_template *t, const struct part *part)
{
    return part->len != 0 ? rc_str_make(t->bytes.data + part->at, part->len) : RC_STR_NONE;
}

static struct rc_str id_of(const struct rc_template_env *env)
{
    return env->id.p == NULL && env->id_of != NULL ? env->id_of(env->id_arg) : env->id;
}

/* A number that is known, or will be: a digit holds its place. */
static void put_message(struct rc_buf *out, const struct part *part,
                        const struct rc_template_env *env)
{
    bool is_time = part->kind == PART_MESSAGE_TIME;
    struct rc_template_hole hole = {.at = out->len,
                                    .kind = is_time ? RC_HOLE_TIME : RC_HOLE_ID};

    if (env->holes != NULL) {
        rc_buf_put(env->holes, &hole, sizeof(hole));
        rc_buf_putc(out, '0');
    } else if (env->message_id != 0) {
        rc_buf_put_u64(out, is_time ? env->message_time_ms : env->message_id);
    } else if (part->where == AS_VALUE) {
        rc_buf_putz(out, "null");
    }
}

static int fill(const struct rc_template *t, const struct rc_template_env *env,
                struct rc_buf *out, unsigned *arg)
{
    const size_t start = out->len;
    const struct part *part;
    size_t i;
    int rc = RC_OK;

    if (env->key != NULL)
        *env->key = RC_STR_NONE;
    for (i = 0; rc == RC_OK && i < t->nparts; i++) {
        part = &t->part[i];
        switch (part->kind) {
        case PART_LITERAL: rc_buf_puts(out, own_bytes(t, part)); break;
        case PART_SEPARATOR:
            if (out->len != start)
                rc_buf_putc(out, ',');
            break;
        case PART_ARG:
        case PART_KEY: rc = put_arg(out, part, own_bytes(t, part), env, arg); break;
        case PART_SPREAD: put_spread(out, part, env, out->len == start); break;
        case PART_AUTH: rc = put_auth(out, part, own_bytes(t, part), env->auth, arg); break;
        case PART_CLAIM: rc = put_auth(out, part, own_bytes(t, part), env->claims, arg); break;
        case PART_TIME: rc_buf_put_u64(out, env->time_ms); break;
        case PART_MESSAGE_ID:
        case PART_MESSAGE_TIME: put_message(out, part, env); break;
        case PART_ROOM: put_plain(out, part->where, env->room); break;
        case PART_ID: put_plain(out, part->where, id_of(env)); break;
        case PART_USER: put_plain(out, part->where, env->user); break;
        case PART_EVENT: put_plain(out, part->where, env->event); break;
        case PART_NSP: put_plain(out, part->where, env->nsp); break;
        }
    }
    if (rc != RC_OK)
        out->len = start;
    return rc;
}

int rc_template_fill_text(const struct rc_template *t, const struct rc_template_env *env,
                          struct rc_buf *out, unsigned *arg)
{
    return fill(t, env, out, arg);
}

int rc_template_fill_args(const struct rc_template *t, const struct rc_template_env *env,
                          struct rc_buf *out, unsigned *arg)
{
    return fill(t, env, out, arg);
}

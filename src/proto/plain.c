#include "rc/proto/plain.h"

#include "rc/base/b64.h"
#include "rc/proto/json.h"
#include "rc/proto/sio.h"

/* ---- faults ---- */

const char *rc_plain_fault_code(enum rc_plain_fault fault)
{
    static const char *const codes[] = {
#define RC_PLAIN_FAULT_CODE(id, code, text) code,
        RC_PLAIN_FAULT_MAP(RC_PLAIN_FAULT_CODE)
#undef RC_PLAIN_FAULT_CODE
    };

    return codes[fault];
}

const char *rc_plain_fault_text(enum rc_plain_fault fault)
{
    static const char *const texts[] = {
#define RC_PLAIN_FAULT_TEXT(id, code, text) text,
        RC_PLAIN_FAULT_MAP(RC_PLAIN_FAULT_TEXT)
#undef RC_PLAIN_FAULT_TEXT
    };

    return texts[fault];
}

/* ---- from the client ---- */

static bool is_number(struct rc_str json, uint64_t *n)
{
    uint64_t v = 0;

    if (json.len == 0)
        return false;
    for (size_t i = 0; i < json.len; i++) {
        if (json.p[i] < '0' || json.p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(json.p[i] - '0');
        if (v > RC_SIO_ID_MAX)
            return false;
    }
    *n = v;
    return true;
}

static bool is_one_of(struct rc_str string, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (rc_json_string_eq(string, rc_str_of(names[i])))
            return true;
    return false;
}

static bool is_reserved(struct rc_str type)
{
    static const char *const names[] = {"ack", "connected", "disconnected", "error", "pong"};

    return is_one_of(type, names, sizeof(names) / sizeof(names[0]));
}

/* A member that is for the server, not for rules. */
static bool is_ours(const struct rc_plain *m, struct rc_str key)
{
    static const char *const names[] = {"type", "ack", "ask"};

    return is_one_of(key, names, m->kind == RC_PLAIN_ANSWER ? 3 : 2);
}

static enum rc_plain_kind kind_of(struct rc_str type)
{
    if (rc_json_string_eq(type, RC_STR("auth")))
        return RC_PLAIN_AUTH;
    if (rc_json_string_eq(type, RC_STR("ping")))
        return RC_PLAIN_PING;
    return rc_json_string_eq(type, RC_STR("answer")) ? RC_PLAIN_ANSWER : RC_PLAIN_EVENT;
}

/* The array of arguments, if the object has nothing else for rules. */
static struct rc_str find_args(const struct rc_plain *m)
{
    struct rc_str rest = m->whole, key, value, args = RC_STR_NONE;

    while (rc_json_member(&rest, &key, &value)) {
        if (is_ours(m, key))
            continue;
        if (!rc_json_string_eq(key, RC_STR("args")) || rc_json_type(value) != RC_JSON_ARRAY)
            return RC_STR_NONE;
        args = value;
    }
    return args;
}

enum rc_plain_fault rc_plain_parse(struct rc_str text, unsigned max_depth, struct rc_plain *out)
{
    struct rc_json_walk w = {.max_depth = max_depth};
    int rc = rc_json_validate(text, &w);
    struct rc_str ack;

    *out = (struct rc_plain){.whole = text};
    if (rc == RC_ELIMIT)
        return RC_PLAIN_DEPTH;
    if (rc != RC_OK)
        return RC_PLAIN_JSON;
    ack = rc_json_get(text, RC_STR("ack"));
    out->has_ack = is_number(ack, &out->ack);
    out->type = rc_json_get(text, RC_STR("type"));
    if (rc_json_type(out->type) != RC_JSON_STRING) {
        struct rc_str token = RC_STR_NONE;

        return rc_json_token(&text, &token) == '{' ? RC_PLAIN_NO_TYPE : RC_PLAIN_JSON;
    }
    if (is_reserved(out->type))
        return RC_PLAIN_RESERVED;
    if (ack.len != 0 && !out->has_ack)
        return RC_PLAIN_ACK;
    out->kind = kind_of(out->type);
    if (out->kind == RC_PLAIN_ANSWER &&
        !is_number(rc_json_get(out->whole, RC_STR("ask")), &out->ask))
        return RC_PLAIN_ASK;
    out->args = find_args(out);
    return RC_PLAIN_NONE;
}

void rc_plain_put_object(const struct rc_plain *m, struct rc_buf *out)
{
    struct rc_str rest = m->whole, key, value;
    bool first = true;

    rc_buf_putc(out, '{');
    while (rc_json_member(&rest, &key, &value)) {
        if (is_ours(m, key))
            continue;
        if (!first)
            rc_buf_putc(out, ',');
        first = false;
        rc_buf_puts(out, key);
        rc_buf_putc(out, ':');
        rc_buf_puts(out, value);
    }
    rc_buf_putc(out, '}');
}

void rc_plain_put_args(const struct rc_plain *m, struct rc_buf *out)
{
    struct rc_str inner;

    if (m->args.len == 0) {
        rc_plain_put_object(m, out);
        return;
    }
    inner = rc_str_make(m->args.p + 1, m->args.len - 2);
    while (inner.len != 0 && strchr(" \t\r\n", inner.p[0]) != NULL)
        inner = rc_str_skip(inner, 1);
    rc_buf_puts(out, inner);
}

/* ---- to the client ---- */

struct encoder {
    struct rc_buf *out;
    const struct rc_str *attachment;
    unsigned n;
};

/* An event's or an acknowledgement's array: its arguments. */
struct arguments {
    unsigned n;
    struct rc_str first, all; /* raw; all without the brackets */
};

/* Which attachment an object stands for, or -1. object may go on behind its end. */
static int attachment_of(const struct encoder *e, struct rc_str object)
{
    uint64_t num;

    if (e->n == 0 || !rc_str_eq(rc_json_get(object, RC_STR("_placeholder")), RC_STR("true")) ||
        !is_number(rc_json_get(object, RC_STR("num")), &num) || num >= e->n)
        return -1;
    return (int)num;
}

/* At a {: moves behind the } that belongs to it. */
static void skip_object(struct rc_str *rest)
{
    struct rc_str token;
    unsigned depth = 0;
    char kind;

    do {
        kind = rc_json_token(rest, &token);
        if (kind == '{')
            depth++;
        else if (kind == '}')
            depth--;
    } while (kind != '\0' && depth != 0);
}

static void put_attachment(const struct encoder *e, struct rc_str data)
{
    rc_buf_putz(e->out, "{\"_base64\":\"");
    rc_b64_put(e->out, RC_B64_STD, data.p, data.len);
    rc_buf_putz(e->out, "\"}");
}

/* JSON, or a part of it, with the attachments in their places. */
static void put_json(const struct encoder *e, struct rc_str json)
{
    struct rc_str here = json, token;
    char kind;
    int num;

    if (e->n == 0) {
        rc_buf_puts(e->out, json);
        return;
    }
    while ((kind = rc_json_token(&json, &token)) != '\0') {
        here = rc_str_skip(here, (size_t)(token.p - here.p));
        num = kind == '{' ? attachment_of(e, here) : -1;
        if (num >= 0) {
            put_attachment(e, e->attachment[num]);
            json = here;
            skip_object(&json);
        } else {
            rc_buf_puts(e->out, token);
        }
    }
}

static bool has(struct rc_str object, const char *key)
{
    return rc_json_get(object, rc_str_of(key)).len != 0;
}

/* Without what follows its last such character. */
static struct rc_str up_to(struct rc_str s, char last)
{
    while (s.len != 0 && s.p[s.len - 1] != last)
        s.len--;
    return s;
}

/* A comma and the members of an object, if it has any. */
static void put_members(const struct encoder *e, struct rc_str object)
{
    struct rc_str rest = object, key, value;

    if (!rc_json_member(&rest, &key, &value))
        return;
    object = up_to(object, '}');
    rc_buf_putc(e->out, ',');
    put_json(e, rc_str_make(object.p + 1, object.len - 2));
}

static bool is_object(const struct encoder *e, const struct arguments *a)
{
    return a->n == 1 && rc_json_type(a->first) == RC_JSON_OBJECT &&
           attachment_of(e, a->first) < 0;
}

/* Behind the type: key is that of the number before it, or NULL. */
static void put_arguments(const struct encoder *e, const struct arguments *a, const char *key)
{
    if (is_object(e, a)) {
        if (!has(a->first, "type") && !has(a->first, "args") &&
            (key == NULL || !has(a->first, key))) {
            put_members(e, a->first);
            return;
        }
        rc_buf_putz(e->out, ",\"data\":");
        put_json(e, a->first);
    } else if (a->n != 0) {
        rc_buf_putz(e->out, ",\"args\":[");
        put_json(e, a->all);
        rc_buf_putc(e->out, ']');
    }
}

/* Cuts off the first element, which is the name, if there is one. data is a valid array. */
static struct arguments cut(struct rc_str data, bool named, struct rc_str *name)
{
    struct rc_json_walk w = {.max_depth = UINT32_MAX};
    struct rc_str elem[2] = {RC_STR_NONE, RC_STR_NONE};
    int n = rc_json_array(data, elem, 2, &w);
    struct arguments a = {0};

    if (named)
        *name = elem[0];
    if (n <= (int)named)
        return a;
    a.n = (unsigned)n - named;
    a.first = elem[named];
    data = up_to(data, ']');
    a.all = rc_str_skip(data, (size_t)(a.first.p - data.p));
    a.all.len--;
    return a;
}

static bool is_untyped(struct rc_str nsp, struct rc_str name,
                       const struct rc_plain_untyped *untyped, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (!rc_str_eq(untyped[i].nsp, nsp))
            continue;
        for (unsigned j = 0; j < untyped[i].n; j++)
            if (rc_json_string_eq(name, untyped[i].event[j]))
                return true;
    }
    return false;
}

/* A name may be a number, a type is a string. */
static void put_type(struct rc_buf *out, struct rc_str name)
{
    bool quoted = rc_json_type(name) == RC_JSON_STRING;

    rc_buf_putz(out, quoted ? "{\"type\":" : "{\"type\":\"");
    rc_buf_puts(out, name);
    if (!quoted)
        rc_buf_putc(out, '"');
}

static void put_number(struct rc_buf *out, const char *key, uint64_t number)
{
    rc_buf_printf(out, ",\"%s\":", key);
    rc_buf_put_u64(out, number);
}

static void put_event(const struct encoder *e, const struct rc_sio_head *p,
                      const struct rc_plain_untyped *untyped, unsigned nuntyped)
{
    struct rc_str name = RC_STR_NONE;
    struct arguments a = cut(p->data, true, &name);

    if (!p->has_id && is_object(e, &a) &&
        (rc_str_eq(rc_json_get(a.first, RC_STR("type")), name) ||
         is_untyped(p->nsp, name, untyped, nuntyped))) {
        put_json(e, a.first);
        return;
    }
    put_type(e->out, name);
    if (p->has_id)
        put_number(e->out, "ask", p->id);
    put_arguments(e, &a, p->has_id ? "ask" : NULL);
    rc_buf_putc(e->out, '}');
}

static void put_ack(const struct encoder *e, const struct rc_sio_head *p)
{
    struct arguments a = cut(p->data, false, NULL);

    put_type(e->out, RC_STR("\"ack\""));
    put_number(e->out, "ack", p->id);
    put_arguments(e, &a, "ack");
    rc_buf_putc(e->out, '}');
}

/* The code is that of the data, if it has one. */
static void put_refusal(const struct encoder *e, struct rc_str refusal)
{
    struct rc_str code = rc_json_get(rc_json_get(refusal, RC_STR("data")), RC_STR("code"));

    if (rc_json_type(code) != RC_JSON_STRING)
        code = RC_STR("\"refused\"");
    rc_buf_putz(e->out, "{\"type\":\"error\",\"code\":");
    rc_buf_puts(e->out, code);
    put_members(e, refusal);
    rc_buf_putc(e->out, '}');
}

void rc_plain_encode(struct rc_str packet, const struct rc_str *attachment,
                     const struct rc_plain_untyped *untyped, unsigned nuntyped,
                     struct rc_buf *out)
{
    struct rc_sio_head p;
    int rc = rc_sio_split(packet, &p);
    const struct encoder e = {
        .out = out, .attachment = attachment, .n = rc == RC_OK ? p.attachments : 0};

    if (rc != RC_OK)
        return;
    switch (p.type) {
    case RC_SIO_CONNECT:
        rc_buf_putz(out, "{\"type\":\"connected\"");
        put_members(&e, p.data);
        rc_buf_putc(out, '}');
        break;
    case RC_SIO_DISCONNECT: rc_buf_putz(out, "{\"type\":\"disconnected\"}"); break;
    case RC_SIO_CONNECT_ERROR: put_refusal(&e, p.data); break;
    case RC_SIO_EVENT:
    case RC_SIO_BINARY_EVENT: put_event(&e, &p, untyped, nuntyped); break;
    case RC_SIO_ACK:
    case RC_SIO_BINARY_ACK: put_ack(&e, &p); break;
    }
}

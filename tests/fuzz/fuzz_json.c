/* The scanner agrees with a plain recursive one, its slices are values themselves, and strings
 * survive decoding and encoding. */
#include "rc/proto/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEPTH = 32, ELEMS = 8 };

#define CHECK(c)     \
    do {             \
        if (!(c))    \
            abort(); \
    } while (0)

struct oracle {
    const char *p, *end;
    int rc;
};

static bool value(struct oracle *o, unsigned depth);

static int peek(const struct oracle *o)
{
    return o->p < o->end ? (uint8_t)*o->p : -1;
}

static bool eat(struct oracle *o, int c)
{
    if (peek(o) != c)
        return false;
    o->p++;
    return true;
}

static void space(struct oracle *o)
{
    while (eat(o, ' ') || eat(o, '\t') || eat(o, '\r') || eat(o, '\n'))
        ;
}

static bool hex(struct oracle *o)
{
    int c = peek(o);

    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')))
        return false;
    o->p++;
    return true;
}

static bool string(struct oracle *o)
{
    int c;

    if (!eat(o, '"'))
        return false;
    while ((c = peek(o)) >= 0x20) {
        o->p++;
        if (c == '"')
            return true;
        if (c != '\\')
            continue;
        if (eat(o, 'u')) {
            if (!hex(o) || !hex(o) || !hex(o) || !hex(o))
                return false;
        } else if (peek(o) <= 0 || strchr("\"\\/bfnrt", peek(o)) == NULL) {
            return false;
        } else {
            o->p++;
        }
    }
    return false;
}

static bool digits(struct oracle *o)
{
    const char *start = o->p;

    while (peek(o) >= '0' && peek(o) <= '9')
        o->p++;
    return o->p != start;
}

static bool number(struct oracle *o)
{
    (void)eat(o, '-');
    if (!eat(o, '0') && !digits(o))
        return false;
    if (eat(o, '.') && !digits(o))
        return false;
    if (eat(o, 'e') || eat(o, 'E')) {
        if (!eat(o, '+'))
            (void)eat(o, '-');
        return digits(o);
    }
    return true;
}

static bool word(struct oracle *o, const char *w)
{
    for (; *w != '\0'; w++) {
        if (!eat(o, *w))
            return false;
    }
    return true;
}

static bool members(struct oracle *o, int close, unsigned depth)
{
    if (depth == DEPTH) {
        o->rc = RC_ELIMIT;
        return false;
    }
    o->p++;
    space(o);
    if (eat(o, close))
        return true;
    for (;;) {
        space(o);
        if (close == '}') {
            if (!string(o))
                return false;
            space(o);
            if (!eat(o, ':'))
                return false;
        }
        if (!value(o, depth + 1))
            return false;
        if (eat(o, close))
            return true;
        if (!eat(o, ','))
            return false;
    }
}

static bool value(struct oracle *o, unsigned depth)
{
    bool ok;

    space(o);
    switch (peek(o)) {
    case '{': ok = members(o, '}', depth); break;
    case '[': ok = members(o, ']', depth); break;
    case '"': ok = string(o); break;
    case 't': ok = word(o, "true"); break;
    case 'f': ok = word(o, "false"); break;
    case 'n': ok = word(o, "null"); break;
    default: ok = number(o); break;
    }
    space(o);
    return ok;
}

static int expected(struct rc_str text)
{
    struct oracle o = {.p = text.p, .end = text.p + text.len, .rc = RC_EPROTO};

    return value(&o, 0) && o.p == o.end ? RC_OK : o.rc;
}

static void check_string(struct rc_str s)
{
    struct rc_buf plain = RC_BUF_INIT, again = RC_BUF_INIT, back = RC_BUF_INIT;
    struct rc_json_walk w = {.max_depth = 0};

    CHECK(rc_json_string_decode(s, &plain) == RC_OK);
    CHECK(rc_json_string_len(s) == plain.len);
    rc_json_string_encode(rc_buf_str(&plain), &again);
    CHECK(rc_json_validate(rc_buf_str(&again), &w) == RC_OK);
    CHECK(rc_json_string_decode(rc_buf_str(&again), &back) == RC_OK);
    CHECK(rc_str_eq(rc_buf_str(&plain), rc_buf_str(&back)));
    CHECK(rc_json_string_eq(rc_buf_str(&again), rc_buf_str(&plain)));
    rc_buf_deinit(&plain);
    rc_buf_deinit(&again);
    rc_buf_deinit(&back);
}

static void check_array(struct rc_str text)
{
    struct rc_json_walk w = {.max_depth = DEPTH, .placeholders = true, .attachments = 3};
    struct rc_str elem[ELEMS];
    const char *at = text.p;
    int n = rc_json_array(text, elem, ELEMS, &w), i;

    CHECK(n >= 0);
    CHECK(w.placeholder_seen < 8);
    for (i = 0; i < n && i < ELEMS; i++) {
        CHECK(elem[i].p > at && elem[i].p + elem[i].len < text.p + text.len);
        at = elem[i].p + elem[i].len;
        CHECK(expected(elem[i]) == RC_OK);
        CHECK(rc_json_type(elem[i]) != RC_JSON_INVALID);
        if (rc_json_type(elem[i]) == RC_JSON_STRING)
            check_string(elem[i]);
    }
}

/* As the last element of an array, and as the last member of an object, it comes back. */
static void check_wrapped(struct rc_str text)
{
    struct rc_json_walk w = {.max_depth = DEPTH + 1};
    struct rc_buf a = RC_BUF_INIT, b = RC_BUF_INIT;
    struct rc_str elem[2], got;

    rc_buf_putz(&a, "[0,");
    rc_buf_puts(&a, text);
    rc_buf_putc(&a, ']');
    CHECK(rc_json_array(rc_buf_str(&a), elem, 2, &w) == 2);
    CHECK(expected(elem[1]) == RC_OK);
    rc_buf_putz(&b, "{\"k\":[1],\"k\":");
    rc_buf_puts(&b, text);
    rc_buf_putc(&b, '}');
    CHECK(rc_json_get(rc_buf_str(&b), RC_STR("no")).len == 0);
    got = rc_json_get(rc_buf_str(&b), RC_STR("k"));
    CHECK(rc_str_eq(got, elem[1]));
    rc_buf_deinit(&a);
    rc_buf_deinit(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rc_json_walk w = {.max_depth = DEPTH, .placeholders = true, .attachments = 3};
    struct rc_str text = rc_str_make(data, size);
    struct rc_buf b = RC_BUF_INIT;
    int rc = rc_json_validate(text, &w);

    CHECK(rc == expected(text));
    /* These are told to survive anything. */
    (void)rc_json_get(text, RC_STR("k"));
    (void)rc_json_string_len(text);
    (void)rc_json_string_eq(text, RC_STR("k"));
    (void)(rc_json_string_decode(text, &b) == RC_OK);
    rc_buf_deinit(&b);
    if (rc != RC_OK)
        return 0;
    if (rc_json_type(text) == RC_JSON_ARRAY)
        check_array(text);
    check_wrapped(text);
    return 0;
}

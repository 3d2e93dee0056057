#include "rc/proto/json.h"

#ifdef __SSE2__ /* every x86-64 has it */
#include <emmintrin.h>
#endif

/* The walk keeps its open containers in an array, so that hostile nesting costs no stack. */
enum { DEPTH_CAP = 1024 };

/* Classes of bytes. STOP ends a run of plain bytes in a string: quote, backslash, control. */
enum { SPACE = 1, STOP = 2, DIGIT = 4, HEX = 8, ESCAPE = 16 };

#define S STOP
#define W (STOP | SPACE)
#define B SPACE
#define Q (STOP | ESCAPE)
#define E ESCAPE
#define D (DIGIT | HEX)
#define H HEX
#define X (HEX | ESCAPE)
static const uint8_t class_of[256] = {
    S, S, S, S, S, S, S, S, S, W, W, S, S, W, S, S, /* 00 */
    S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, /* 10 */
    B, 0, Q, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, E, /* 20, '"' and '/' */
    D, D, D, D, D, D, D, D, D, D, 0, 0, 0, 0, 0, 0, /* 30, digits */
    0, H, H, H, H, H, H, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* 40, A to F */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, Q, 0, 0, 0, /* 50, the backslash */
    0, H, X, H, H, H, X, 0, 0, 0, 0, 0, 0, 0, E, 0, /* 60, a to f, n */
    0, 0, E, 0, E, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* 70, r and t */
};
#undef S
#undef W
#undef B
#undef Q
#undef E
#undef D
#undef H
#undef X

static inline bool is(char c, unsigned classes)
{
    return (class_of[(uint8_t)c] & classes) != 0;
}

/* What the key of the member being read means to the search for placeholders. */
enum key { KEY_OTHER, KEY_PLACEHOLDER, KEY_NUM };

struct level {
    char close;       /* the byte that ends it: ] or } */
    uint8_t key;      /* enum key */
    bool placeholder; /* "_placeholder" is true, so far */
    int8_t num;       /* "num", or -1 when it is none of 0 ... 99 */
};

struct walk {
    const char *end;
    struct rc_json_walk *report;
    unsigned depth, max_depth;
    struct rc_str *elem;    /* where the elements of the outermost array go, NULL: nowhere */
    unsigned max, n;        /* how many fit, how many there were */
    bool slicing;           /* the outermost value must be an array, count its elements */
    const char *elem_start; /* of the element that is being read */
    int rc;
    struct level level[DEPTH_CAP];
};

static inline const char *skip_space(const char *p, const char *end)
{
    while (p < end && is(*p, SPACE))
        p++;
    return p;
}

/* The top bit of each of the eight bytes that is a quote, a backslash or below 0x20. A borrow may
 * set others above the first, so only the first is to be trusted. */
static inline uint64_t stops(uint64_t x)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones * 0x80;
    uint64_t quote = x ^ (ones * '"'), slash = x ^ (ones * '\\');

    return (((x - ones * 0x20) & ~x) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)) &
           tops;
}

#ifdef __SSE2__
/* A bit for each of the sixteen bytes that is a quote, a backslash or below 0x20. */
static inline unsigned stops16(const char *p)
{
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i quote = _mm_cmpeq_epi8(x, _mm_set1_epi8('"'));
    __m128i slash = _mm_cmpeq_epi8(x, _mm_set1_epi8('\\'));
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(0x1f)), x);

    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), control));
}
#endif

static inline const char *skip_plain(const char *p, const char *end)
{
    uint64_t x, hit;

#ifdef __SSE2__
    while (end - p >= 16) {
        unsigned bits = stops16(p);

        if (bits != 0)
            return p + __builtin_ctz(bits);
        p += 16;
    }
#endif
    while (end - p >= (ptrdiff_t)sizeof(x)) {
        memcpy(&x, p, sizeof(x));
        hit = stops(x);
        if (hit != 0) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            return p + __builtin_ctzll(hit) / 8;
#else
            break;
#endif
        }
        p += sizeof(x);
    }
    while (p < end && !is(*p, STOP))
        p++;
    return p;
}

/* p is behind the backslash; returns what follows the escape, or NULL. */
static const char *skip_escape(const char *p, const char *end)
{
    if (p == end)
        return NULL;
    if (*p != 'u')
        return is(*p, ESCAPE) ? p + 1 : NULL;
    if (end - p < 5 || !is(p[1], HEX) || !is(p[2], HEX) || !is(p[3], HEX) || !is(p[4], HEX))
        return NULL;
    return p + 5;
}

/* p is behind the opening quote; returns what follows the closing one, or NULL. */
static inline const char *skip_string(const char *p, const char *end)
{
    for (;;) {
        p = skip_plain(p, end);
        if (p == end)
            return NULL;
        if (*p == '"')
            return p + 1;
        if (*p != '\\' || (p = skip_escape(p + 1, end)) == NULL)
            return NULL;
    }
}

static inline const char *skip_digits(const char *p, const char *end)
{
    if (p == end || !is(*p, DIGIT))
        return NULL;
    while (p < end && is(*p, DIGIT))
        p++;
    return p;
}

static const char *skip_number(const char *p, const char *end)
{
    if (*p == '-' && ++p == end)
        return NULL;
    if (*p == '0')
        p++;
    else if ((p = skip_digits(p, end)) == NULL)
        return NULL;
    if (p < end && *p == '.' && (p = skip_digits(p + 1, end)) == NULL)
        return NULL;
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        p = skip_digits(p, end);
    }
    return p;
}

static const char *skip_literal(const char *p, const char *end, struct rc_str literal)
{
    return rc_str_starts(rc_str_make(p, (size_t)(end - p)), literal) ? p + literal.len : NULL;
}

static inline const char *skip_scalar(const char *p, const char *end)
{
    switch (*p) {
    case '"': return skip_string(p + 1, end);
    case 't': return skip_literal(p, end, RC_STR("true"));
    case 'f': return skip_literal(p, end, RC_STR("false"));
    case 'n': return skip_literal(p, end, RC_STR("null"));
    default: return skip_number(p, end);
    }
}

static enum key key_of(struct rc_str string)
{
    if (rc_json_string_eq(string, RC_STR("num")))
        return KEY_NUM;
    return rc_json_string_eq(string, RC_STR("_placeholder")) ? KEY_PLACEHOLDER : KEY_OTHER;
}

/* The member "_placeholder" or "num" of the object lv has this value (empty: a container). */
static void note_member(struct level *lv, struct rc_str value)
{
    if (lv->key == KEY_PLACEHOLDER)
        lv->placeholder = rc_str_eq(value, RC_STR("true"));
    if (lv->key != KEY_NUM)
        return;
    lv->num = -1;
    if (value.len == 1 && is(value.p[0], DIGIT))
        lv->num = (int8_t)(value.p[0] - '0');
    else if (value.len == 2 && is(value.p[0], DIGIT) && is(value.p[1], DIGIT))
        lv->num = (int8_t)((value.p[0] - '0') * 10 + value.p[1] - '0');
}

/* Reads a key and its colon. */
static const char *read_key(struct walk *s, const char *p)
{
    struct level *lv = &s->level[s->depth - 1];
    const char *start = skip_space(p, s->end);

    if (start == s->end || *start != '"' || (p = skip_string(start + 1, s->end)) == NULL)
        return NULL;
    if (s->report->placeholders)
        lv->key = (uint8_t)key_of(rc_str_make(start, (size_t)(p - start)));
    p = skip_space(p, s->end);
    return p < s->end && *p == ':' ? p + 1 : NULL;
}

static void close_level(struct walk *s)
{
    const struct level *lv = &s->level[--s->depth];
    struct rc_json_walk *report = s->report;

    if (!lv->placeholder)
        return;
    if (lv->num < 0 || (unsigned)lv->num >= report->attachments || lv->num > 31)
        report->placeholder_bad = true;
    else
        report->placeholder_seen |= UINT32_C(1) << lv->num;
}

static inline void end_element(struct walk *s, const char *p)
{
    if (s->n < s->max)
        s->elem[s->n] = rc_str_make(s->elem_start, (size_t)(p - s->elem_start));
    s->n++;
}

/* A value ended at p. Closes what ends here and returns where the next value is to begin, or
 * NULL: at the end of the text, or where it is faulty. */
static const char *after_value(struct walk *s, const char *p)
{
    for (;; p++) {
        if (s->depth == 1 && s->slicing)
            end_element(s, p);
        p = skip_space(p, s->end);
        if (s->depth == 0)
            break;
        if (p == s->end)
            return NULL;
        if (*p == ',')
            return s->level[s->depth - 1].close == '}' ? read_key(s, p + 1) : p + 1;
        if (*p != s->level[s->depth - 1].close)
            return NULL;
        close_level(s);
    }
    if (p == s->end)
        s->rc = RC_OK;
    return NULL;
}

/* p is at { or [. Returns where the next value is to begin, as after_value does. */
static const char *open_level(struct walk *s, const char *p)
{
    struct level *lv = &s->level[s->depth];

    if (s->depth > 0 && lv[-1].key != KEY_OTHER)
        note_member(&lv[-1], RC_STR_NONE);
    if (s->depth == s->max_depth) {
        s->rc = RC_ELIMIT;
        return NULL;
    }
    *lv = (struct level){.close = *p == '{' ? '}' : ']', .key = KEY_OTHER, .num = -1};
    s->depth++;
    p = skip_space(p + 1, s->end);
    if (p == s->end)
        return NULL;
    if (*p == lv->close) {
        s->depth--;
        return after_value(s, p + 1);
    }
    return lv->close == '}' ? read_key(s, p) : p;
}

static int walk(struct walk *s, struct rc_str text)
{
    const char *p = text.p, *start;
    struct level *lv;

    while (p != NULL) {
        p = skip_space(p, s->end);
        if (p == s->end || (s->slicing && s->depth == 0 && *p != '['))
            break;
        if (s->depth == 1)
            s->elem_start = p;
        if (*p == '{' || *p == '[') {
            p = open_level(s, p);
            continue;
        }
        start = p;
        p = skip_scalar(start, s->end);
        if (p == NULL)
            break;
        lv = s->depth > 0 ? &s->level[s->depth - 1] : NULL;
        if (lv != NULL && lv->key != KEY_OTHER)
            note_member(lv, rc_str_make(start, (size_t)(p - start)));
        p = after_value(s, p);
    }
    return s->rc;
}

/* Not an initializer: it would clear all the levels. */
static void walk_init(struct walk *s, struct rc_str text, struct rc_json_walk *w)
{
    s->end = text.p + text.len;
    s->report = w;
    s->depth = 0;
    s->max_depth = w->max_depth < DEPTH_CAP ? w->max_depth : DEPTH_CAP;
    s->elem = NULL;
    s->max = s->n = 0;
    s->slicing = false;
    s->elem_start = NULL;
    s->rc = RC_EPROTO;
}

int rc_json_validate(struct rc_str text, struct rc_json_walk *w)
{
    struct walk s;

    if (text.len == 0)
        return RC_EPROTO;
    walk_init(&s, text, w);
    return walk(&s, text);
}

/* What most events are: an array of strings without white space between them. How many there are; 0: it is
 * something else, or faulty. */
static unsigned array_of_strings(struct rc_str text, struct rc_str *elem, unsigned max)
{
    const char *p = text.p, *end = p + text.len;

    for (unsigned n = 0; n < max && end - p > 2 && p[1] == '"'; n++) {
        const char *start = p + 1;

        p = skip_string(start + 1, end);
        if (p == NULL || p == end)
            return 0;
        elem[n] = rc_str_make(start, (size_t)(p - start));
        if (*p == ']')
            return p + 1 == end ? n + 1 : 0;
        if (*p != ',')
            return 0;
    }
    return 0;
}

int rc_json_array(struct rc_str text, struct rc_str *elem, unsigned max, struct rc_json_walk *w)
{
    unsigned strings;
    struct walk s;
    int rc;

    if (text.len == 0)
        return RC_EPROTO;
    strings = text.p[0] == '[' && w->max_depth != 0 ? array_of_strings(text, elem, max) : 0;
    if (strings != 0)
        return (int)strings;
    walk_init(&s, text, w);
    s.slicing = true;
    s.elem = elem;
    s.max = max;
    rc = walk(&s, text);
    return rc == RC_OK ? (int)s.n : rc;
}

enum rc_json_type rc_json_type(struct rc_str value)
{
    switch (value.len != 0 ? value.p[0] : '\0') {
    case '"': return RC_JSON_STRING;
    case '{': return RC_JSON_OBJECT;
    case '[': return RC_JSON_ARRAY;
    case 't': return RC_JSON_TRUE;
    case 'f': return RC_JSON_FALSE;
    case 'n': return RC_JSON_NULL;
    case '-': return RC_JSON_NUMBER;
    default: break;
    }
    return value.len != 0 && is(value.p[0], DIGIT) ? RC_JSON_NUMBER : RC_JSON_INVALID;
}

/* The end of a value that was validated before; NULL when it was not. */
static const char *skip_value(const char *p, const char *end)
{
    unsigned depth = 0;

    for (; p < end; p++) {
        if (*p == '"') {
            if ((p = skip_string(p + 1, end)) == NULL)
                return NULL;
            if (depth == 0)
                return p;
            p--;
        } else if (*p == '{' || *p == '[') {
            depth++;
        } else if (*p == '}' || *p == ']') {
            if (depth == 0)
                return p; /* a scalar ended before it */
            if (--depth == 0)
                return p + 1;
        } else if (depth == 0 && (*p == ',' || is(*p, SPACE))) {
            return p;
        }
    }
    return depth == 0 ? p : NULL;
}

bool rc_json_member(struct rc_str *rest, struct rc_str *key, struct rc_str *value)
{
    const char *p = rest->p, *end = p != NULL ? p + rest->len : NULL, *start;

    p = skip_space(p, end);
    if (p == end || (*p != '{' && *p != ','))
        return false;
    start = skip_space(p + 1, end);
    if (start == end || *start != '"' || (p = skip_string(start + 1, end)) == NULL)
        return false;
    *key = rc_str_make(start, (size_t)(p - start));
    p = skip_space(p, end);
    if (p == end || *p != ':')
        return false;
    start = skip_space(p + 1, end);
    if ((p = skip_value(start, end)) == NULL)
        return false;
    *value = rc_str_make(start, (size_t)(p - start));
    *rest = rc_str_make(p, (size_t)(end - p));
    return true;
}

struct rc_str rc_json_get(struct rc_str object, struct rc_str key)
{
    struct rc_str name, value, found = RC_STR_NONE;

    while (rc_json_member(&object, &name, &value))
        if (rc_json_string_eq(name, key))
            found = value;
    return found;
}

char rc_json_token(struct rc_str *rest, struct rc_str *token)
{
    const char *start, *p, *end;
    char c;

    if (rest->len == 0)
        return '\0';
    end = rest->p + rest->len;
    start = skip_space(rest->p, end);
    if (start == end) {
        *rest = RC_STR_NONE;
        return '\0';
    }
    c = *start;
    if (memchr("{}[],:", c, 6) != NULL)
        p = start + 1;
    else if ((p = skip_scalar(start, end)) == NULL)
        return '\0';
    *token = rc_str_make(start, (size_t)(p - start));
    *rest = rc_str_make(p, (size_t)(end - p));
    if (c == '-' || is(c, DIGIT))
        return '0';
    return c;
}

static unsigned hex4(const char *p)
{
    unsigned v = 0, i;

    for (i = 0; i < 4; i++)
        v = v * 16 + (unsigned)(is(p[i], DIGIT) ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
    return v;
}

static unsigned put_utf8(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* p is behind a backslash. Decodes the escape, and its other half when it is the first of a
 * surrogate pair, as UTF-8; returns what follows, or NULL when it is no escape. */
static const char *decode_escape(const char *p, const char *end, char out[4], unsigned *n)
{
    static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
    const char *next = skip_escape(p, end), *name;
    uint32_t c, low;

    if (next == NULL)
        return NULL;
    if (*p != 'u') {
        name = strchr(names, *p);
        *n = put_utf8((uint8_t)(name != NULL ? values[name - names] : *p), out);
        return next;
    }
    c = hex4(p + 1);
    if (c >= 0xd800 && c < 0xdc00 && end - next >= 6 && next[0] == '\\' && next[1] == 'u' &&
        skip_escape(next + 1, end) != NULL && (low = hex4(next + 2)) >= 0xdc00 &&
        low < 0xe000) {
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        next += 6;
    }
    *n = put_utf8(c >= 0xd800 && c < 0xe000 ? 0xfffd : c, out);
    return next;
}

/* The next run of a string's content: plain bytes as they are, or one escape, decoded into
 * escape. *p moves behind it. RC_STR_NONE at the end, and *p NULL where it is faulty. */
static struct rc_str next_run(const char **p, const char *end, char escape[4])
{
    const char *start = *p;
    unsigned n = 0;

    if (start == end)
        return RC_STR_NONE;
    if (*start == '\\') {
        *p = decode_escape(start + 1, end, escape, &n);
        return rc_str_make(*p != NULL ? escape : NULL, n);
    }
    *p = skip_plain(start, end);
    if (*p == start)
        *p = NULL;
    return rc_str_make(start, *p != NULL ? (size_t)(*p - start) : 0);
}

static bool is_quoted(struct rc_str s)
{
    return s.len >= 2 && s.p[0] == '"' && s.p[s.len - 1] == '"';
}

bool rc_json_string_eq(struct rc_str string, struct rc_str text)
{
    const char *p, *end;
    struct rc_str run;
    char escape[4];

    if (!is_quoted(string))
        return false;
    p = string.p + 1;
    end = string.p + string.len - 1;
    while ((run = next_run(&p, end, escape)).len != 0) {
        if (!rc_str_starts(text, run))
            return false;
        text = rc_str_skip(text, run.len);
    }
    return p != NULL && text.len == 0;
}

size_t rc_json_string_len(struct rc_str string)
{
    const char *p, *end;
    size_t len = 0, n;
    char escape[4];

    if (!is_quoted(string))
        return 0;
    p = string.p + 1;
    end = string.p + string.len - 1;
    while ((n = next_run(&p, end, escape).len) != 0)
        len += n;
    return len;
}

int rc_json_string_decode(struct rc_str string, struct rc_buf *out)
{
    const char *p, *end;
    struct rc_str run;
    size_t mark = out->len;
    char escape[4];

    if (!is_quoted(string))
        return RC_EPROTO;
    p = string.p + 1;
    end = string.p + string.len - 1;
    while ((run = next_run(&p, end, escape)).len != 0)
        rc_buf_puts(out, run);
    if (p != NULL)
        return RC_OK;
    out->len = mark;
    return RC_EPROTO;
}

void rc_json_string_escape(struct rc_str text, struct rc_buf *out)
{
    static const char hex[] = "0123456789abcdef", names[] = "btn_fr";
    const char *p = text.p, *end, *start;
    char escape[6] = {'\\', 'u', '0', '0'};

    if (text.len == 0)
        return;
    end = p + text.len;
    while (p < end) {
        start = p;
        p = skip_plain(p, end);
        rc_buf_put(out, start, (size_t)(p - start));
        if (p == end)
            break;
        if (*p == '"' || *p == '\\') {
            rc_buf_putc(out, '\\');
            rc_buf_putc(out, *p);
        } else if (*p >= '\b' && *p <= '\r' && *p != '\v') {
            rc_buf_putc(out, '\\');
            rc_buf_putc(out, names[*p - '\b']);
        } else {
            escape[4] = hex[*p >> 4];
            escape[5] = hex[*p & 15];
            rc_buf_put(out, escape, sizeof(escape));
        }
        p++;
    }
}

void rc_json_string_encode(struct rc_str text, struct rc_buf *out)
{
    rc_buf_putc(out, '"');
    rc_json_string_escape(text, out);
    rc_buf_putc(out, '"');
}

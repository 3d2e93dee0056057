#include "rc/proto/sio.h"

#include "rc/base/utf8.h"
#include "rc/proto/json.h"
#include "rc/proto/number.h"

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int exceeded(const char **why, const char *key)
{
    *why = key;
    return RC_ELIMIT;
}

/* The readers below take the rest of the text and move it behind what they read. */

/* "2-": the number may have leading zeros, as in the reference, but it must be there. */
static int read_attachments(struct rc_str *rest, unsigned max, struct rc_sio_packet *out,
                            const char **why)
{
    unsigned n = 0;
    size_t i;

    for (i = 0; i < rest->len && is_digit(rest->p[i]); i++) {
        if (n <= RC_SIO_ATTACHMENTS_MAX)
            n = n * 10 + (unsigned)(rest->p[i] - '0');
    }
    if (i == 0 || i == rest->len || rest->p[i] != '-')
        return RC_EPROTO;
    if (n > max || n > RC_SIO_ATTACHMENTS_MAX)
        return exceeded(why, "max_attachments");
    out->attachments = n;
    *rest = rc_str_skip(*rest, i + 1);
    return RC_OK;
}

/* Cuts s at the first c and returns what was behind it, or nothing. */
static struct rc_str cut(struct rc_str *s, char c)
{
    const char *at = memchr(s->p, c, s->len);
    struct rc_str behind = RC_STR_NONE;

    if (at != NULL) {
        behind = rc_str_skip(*s, (size_t)(at - s->p) + 1);
        s->len = (size_t)(at - s->p);
    }
    return behind;
}

/* "/chat,", or "/chat" when nothing follows. */
static int read_nsp(struct rc_str *rest, const struct rc_sio_limits *lim,
                    struct rc_sio_packet *out, const char **why)
{
    const char *comma;

    if (rest->len == 0 || rest->p[0] != '/')
        return RC_OK;
    comma = memchr(rest->p, ',', rest->len);
    out->nsp = rc_str_make(rest->p, comma != NULL ? (size_t)(comma - rest->p) : rest->len);
    *rest = rc_str_skip(*rest, out->nsp.len + (comma != NULL));
    if (lim->nsp_query) { /* it is a URL to the reference: path, query and fragment */
        (void)cut(&out->nsp, '#');
        out->query = cut(&out->nsp, '?');
    }
    return out->nsp.len > lim->max_nsp ? exceeded(why, "max_namespace_length") : RC_OK;
}

static int read_id(struct rc_str *rest, struct rc_sio_packet *out)
{
    size_t i;

    for (i = 0; i < rest->len && is_digit(rest->p[i]); i++) {
        out->id = out->id * 10 + (uint64_t)(rest->p[i] - '0');
        if (out->id > RC_SIO_ID_MAX)
            return RC_EPROTO;
    }
    out->has_id = i != 0;
    *rest = rc_str_skip(*rest, i);
    return RC_OK;
}

bool rc_sio_event_reserved(struct rc_str event)
{
    static const struct rc_str names[] = {
        {"connect", 7},        {"connect_error", 13}, {"disconnect", 10},
        {"disconnecting", 13}, {"newListener", 11},   {"removeListener", 14},
    };
    size_t i;

    if (event.len < 2 || event.p[0] != '"' || strchr("cdnr\\", event.p[1]) == NULL)
        return false;
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((event.p[1] == names[i].p[0] || event.p[1] == '\\') &&
            rc_json_string_eq(event, names[i]))
            return true;
    }
    return false;
}

static int check_event(struct rc_str event, size_t max, const char **why)
{
    switch (rc_json_type(event)) {
    case RC_JSON_NUMBER: return event.len > max ? exceeded(why, "max_event_length") : RC_OK;
    case RC_JSON_STRING: break;
    case RC_JSON_INVALID:
    case RC_JSON_NULL:
    case RC_JSON_TRUE:
    case RC_JSON_FALSE:
    case RC_JSON_ARRAY:
    case RC_JSON_OBJECT:
    default: return RC_EPROTO;
    }
    if (rc_sio_event_reserved(event))
        return RC_EPROTO;
    /* Decoding never lengthens it, so most names need not be looked at. */
    if (event.len - 2 > max && rc_json_string_len(event) > max)
        return exceeded(why, "max_event_length");
    return RC_OK;
}

/* EVENT and ACK, binary or not: an array, of which an event's first element is the name. */
static int read_array(struct rc_str text, bool is_event, const struct rc_sio_limits *lim,
                      struct rc_sio_packet *out, const char **why)
{
    struct rc_json_walk w = {.max_depth = lim->max_depth, .attachments = out->attachments};
    struct rc_str elem[RC_SIO_ARGS_MAX + 1], *arg = elem;
    unsigned max = lim->max_args < RC_SIO_ARGS_MAX ? lim->max_args : RC_SIO_ARGS_MAX;
    int n, rc;

    /* Without attachments there is nothing to refer to: the reference leaves the object alone. */
    w.placeholders = out->attachments != 0;
    n = rc_json_array(text, elem, RC_SIO_ARGS_MAX + 1, &w);
    if (n < 0)
        return n == RC_ELIMIT ? exceeded(why, "json_depth") : n;
    if (w.placeholder_bad || (is_event && n == 0))
        return RC_EPROTO;
    if (is_event) {
        rc = check_event(elem[0], lim->max_event, why);
        if (rc != RC_OK)
            return rc;
        out->event = elem[0];
        arg++;
        n--;
    }
    if ((unsigned)n > max)
        return exceeded(why, "max_args");
    out->nargs = (unsigned)n;
    out->placeholder_seen = w.placeholder_seen;
    if (n != 0) {
        memcpy(out->args, arg, (size_t)n * sizeof(*arg));
        out->args_raw = rc_str_make(arg->p, (size_t)(arg[n - 1].p + arg[n - 1].len - arg->p));
    }
    return RC_OK;
}

/* CONNECT and CONNECT_ERROR: an object, or what else is allowed. */
static int read_value(struct rc_str text, bool string_too, const struct rc_sio_limits *lim,
                      const char **why)
{
    struct rc_json_walk w = {.max_depth = lim->max_depth};
    enum rc_json_type type = rc_json_type(text);
    int rc;

    if (type != RC_JSON_OBJECT && !(string_too && type == RC_JSON_STRING))
        return RC_EPROTO;
    rc = rc_json_validate(text, &w);
    return rc == RC_ELIMIT ? exceeded(why, "json_depth") : rc;
}

static struct rc_str trim_end(struct rc_str s)
{
    while (s.len != 0 && is_space(s.p[s.len - 1]))
        s.len--;
    return s;
}

static int read_data(struct rc_str text, const struct rc_sio_limits *lim,
                     struct rc_sio_packet *out, const char **why)
{
    int rc = RC_EPROTO;

    /* White space here is an ack id of 0 to the reference, to nobody's benefit. */
    if (text.len != 0 && is_space(text.p[0]))
        return RC_EPROTO;
    switch (out->type) {
    case RC_SIO_CONNECT: rc = text.len == 0 ? RC_OK : read_value(text, false, lim, why); break;
    case RC_SIO_DISCONNECT: rc = text.len == 0 ? RC_OK : RC_EPROTO; break;
    case RC_SIO_CONNECT_ERROR: rc = read_value(text, true, lim, why); break;
    case RC_SIO_EVENT:
    case RC_SIO_BINARY_EVENT: rc = read_array(text, true, lim, out, why); break;
    case RC_SIO_ACK:
    case RC_SIO_BINARY_ACK: rc = read_array(text, false, lim, out, why); break;
    }
    out->data = trim_end(text);
    return rc;
}

int rc_sio_parse(struct rc_str text, const struct rc_sio_limits *lim, struct rc_sio_packet *out,
                 const char **why)
{
    struct rc_str rest;
    int rc = RC_OK;

    *why = NULL;
    if (text.len == 0 || text.p[0] < '0' || text.p[0] > '6')
        return RC_EPROTO;
    out->type = (enum rc_sio_type)(text.p[0] - '0');
    out->attachments = 0;
    out->nsp = RC_STR("/");
    out->query = RC_STR_NONE;
    out->has_id = false;
    out->id = 0;
    out->event = out->args_raw = RC_STR_NONE;
    out->nargs = 0;
    out->placeholder_seen = 0;
    rest = rc_str_skip(text, 1);
    if (out->type == RC_SIO_BINARY_EVENT || out->type == RC_SIO_BINARY_ACK)
        rc = read_attachments(&rest, lim->max_attachments, out, why);
    if (rc == RC_OK)
        rc = read_nsp(&rest, lim, out, why);
    if (rc == RC_OK)
        rc = read_id(&rest, out);
    if (rc == RC_OK && out->type != RC_SIO_ACK && out->type != RC_SIO_BINARY_ACK &&
        lim->max_id != 0 && out->id > lim->max_id)
        return exceeded(why, "max_ack_id");
    return rc == RC_OK ? read_data(rest, lim, out, why) : rc;
}

/* Digits; false: there is none. */
static bool take_number(struct rc_str *rest, uint64_t *n)
{
    size_t i;

    *n = 0;
    for (i = 0; i < rest->len && is_digit(rest->p[i]); i++)
        *n = *n * 10 + (uint64_t)(rest->p[i] - '0');
    *rest = rc_str_skip(*rest, i);
    return i != 0;
}

int rc_sio_split(struct rc_str text, struct rc_sio_head *out)
{
    struct rc_str rest = rc_str_skip(text, 1);
    const char *comma;
    uint64_t n = 0;

    if (text.len == 0 || text.p[0] < '0' || text.p[0] > '6')
        return RC_EPROTO;
    *out =
        (struct rc_sio_head){.type = (enum rc_sio_type)(text.p[0] - '0'), .nsp = RC_STR("/")};
    if (out->type >= RC_SIO_BINARY_EVENT) {
        if (!take_number(&rest, &n) || n > RC_SIO_ATTACHMENTS_MAX || rest.len == 0 ||
            rest.p[0] != '-')
            return RC_EPROTO;
        out->attachments = (unsigned)n;
        rest = rc_str_skip(rest, 1);
    }
    if (rest.len != 0 && rest.p[0] == '/') {
        comma = memchr(rest.p, ',', rest.len);
        out->nsp.p = rest.p;
        out->nsp.len = comma != NULL ? (size_t)(comma - rest.p) : rest.len;
        rest = rc_str_skip(rest, out->nsp.len + 1);
    }
    out->has_id = take_number(&rest, &out->id);
    out->data = rest;
    return RC_OK;
}

void rc_sio_put_head(struct rc_buf *out, enum rc_sio_type type, unsigned attachments,
                     struct rc_str nsp, bool has_id, uint64_t id)
{
    rc_buf_putc(out, '4');
    rc_buf_putc(out, (char)('0' + type));
    if (type == RC_SIO_BINARY_EVENT || type == RC_SIO_BINARY_ACK) {
        rc_buf_put_u64(out, attachments);
        rc_buf_putc(out, '-');
    }
    if (nsp.len > 1) {
        rc_buf_puts(out, nsp);
        rc_buf_putc(out, ',');
    }
    if (has_id)
        rc_buf_put_u64(out, id);
}

/* ---- the query of a namespace ---- */

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent- and plus-decoded; a bad escape stands for itself. */
static void put_decoded(struct rc_buf *out, struct rc_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        int hi = s.p[i] == '%' && s.len - i > 2 ? hex_of(s.p[i + 1]) : -1;
        int lo = hi >= 0 ? hex_of(s.p[i + 2]) : -1;

        if (lo >= 0) {
            rc_buf_putc(out, (char)(hi << 4 | lo));
            i += 2;
        } else if (s.p[i] == '+') {
            rc_buf_putc(out, ' ');
        } else {
            rc_buf_putc(out, s.p[i]);
        }
    }
}

/* Each ill-formed sequence, up to where it goes wrong, is a U+FFFD (as the WHATWG decodes). */
static void put_well_formed(struct rc_buf *out, struct rc_str s)
{
    uint32_t state = RC_UTF8_ACCEPT;
    size_t start = 0, i = 0;

    while (i < s.len) {
        if (rc_utf8_feed(&state, (const uint8_t *)s.p + i, 1)) {
            i++;
            if (state == RC_UTF8_ACCEPT) {
                rc_buf_put(out, s.p + start, i - start);
                start = i;
            }
            continue;
        }
        rc_buf_putz(out, "\xEF\xBF\xBD");
        i += start == i; /* else this byte may begin a sequence of its own */
        start = i;
        state = RC_UTF8_ACCEPT;
    }
    if (start != s.len)
        rc_buf_putz(out, "\xEF\xBF\xBD");
}

static void put_query_string(struct rc_buf *out, struct rc_str raw)
{
    struct rc_buf bytes = RC_BUF_INIT, text = RC_BUF_INIT;

    put_decoded(&bytes, raw);
    put_well_formed(&text, rc_buf_str(&bytes));
    rc_json_string_encode(rc_buf_str(&text), out);
    out->failed = out->failed || bytes.failed || text.failed;
    rc_buf_deinit(&bytes);
    rc_buf_deinit(&text);
}

void rc_sio_put_query(struct rc_buf *out, struct rc_str query)
{
    bool first = true;

    rc_buf_putc(out, '{');
    while (query.len != 0) {
        struct rc_str pair = query, value;

        query = cut(&pair, '&');
        if (pair.len == 0)
            continue;
        value = cut(&pair, '=');
        if (!first)
            rc_buf_putc(out, ',');
        first = false;
        put_query_string(out, pair);
        rc_buf_putc(out, ':');
        put_query_string(out, value);
    }
    rc_buf_putc(out, '}');
}

/* ---- attachments ---- */

/* Does the object refer to one? It may go on behind its end. */
static bool refers(struct rc_str object, unsigned nattachments, unsigned *num)
{
    struct rc_str text;
    struct rc_number n;

    if (!rc_str_eq(rc_json_get(object, RC_STR("_placeholder")), RC_STR("true")))
        return false;
    text = rc_json_get(object, RC_STR("num"));
    if (rc_json_type(text) != RC_JSON_NUMBER)
        return false;
    n = rc_number_read(text);
    *num = (unsigned)n.v.u;
    return n.kind == RC_NUMBER_UINT && n.v.u < nattachments;
}

/* At a {: moves behind the } that belongs to it. */
static void skip_object(struct rc_str *rest)
{
    struct rc_str token;
    unsigned depth = 0;
    char kind;

    do {
        kind = rc_json_token(rest, &token);
        depth += kind == '{';
        depth -= kind == '}';
    } while (kind != '\0' && depth != 0);
}

void rc_sio_put_moved(struct rc_buf *out, struct rc_str json, unsigned nattachments,
                      unsigned first)
{
    struct rc_str rest = json, token;
    unsigned num;
    char kind;

    if (nattachments == 0 || first == 0) {
        rc_buf_puts(out, json);
        return;
    }
    while ((kind = rc_json_token(&rest, &token)) != '\0') {
        json = rc_str_skip(json, (size_t)(token.p - json.p));
        if (kind != '{' || !refers(json, nattachments, &num)) {
            rc_buf_puts(out, token);
            continue;
        }
        rc_buf_printf(out, "{\"_placeholder\":true,\"num\":%u}", first + num);
        rest = json;
        skip_object(&rest);
    }
}

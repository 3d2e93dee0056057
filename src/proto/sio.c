#include "rc/proto/sio.h"

#include "rc/proto/json.h"

#define ID_MAX ((UINT64_C(1) << 53) - 1)

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

/* "/chat,", or "/chat" when nothing follows. */
static int read_nsp(struct rc_str *rest, size_t max, struct rc_sio_packet *out,
                    const char **why)
{
    const char *comma;

    if (rest->len == 0 || rest->p[0] != '/')
        return RC_OK;
    comma = memchr(rest->p, ',', rest->len);
    out->nsp = rc_str_make(rest->p, comma != NULL ? (size_t)(comma - rest->p) : rest->len);
    if (out->nsp.len > max)
        return exceeded(why, "max_namespace_length");
    *rest = rc_str_skip(*rest, out->nsp.len + (comma != NULL));
    return RC_OK;
}

static int read_id(struct rc_str *rest, struct rc_sio_packet *out)
{
    size_t i;

    for (i = 0; i < rest->len && is_digit(rest->p[i]); i++) {
        out->id = out->id * 10 + (uint64_t)(rest->p[i] - '0');
        if (out->id > ID_MAX)
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

    if (event.len < 2 || event.p[0] != '"')
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
    out->has_id = false;
    out->id = 0;
    out->event = out->args_raw = RC_STR_NONE;
    out->nargs = 0;
    out->placeholder_seen = 0;
    rest = rc_str_skip(text, 1);
    if (out->type == RC_SIO_BINARY_EVENT || out->type == RC_SIO_BINARY_ACK)
        rc = read_attachments(&rest, lim->max_attachments, out, why);
    if (rc == RC_OK)
        rc = read_nsp(&rest, lim->max_nsp, out, why);
    if (rc == RC_OK)
        rc = read_id(&rest, out);
    if (rc == RC_OK && out->type != RC_SIO_ACK && out->type != RC_SIO_BINARY_ACK &&
        lim->max_id != 0 && out->id > lim->max_id)
        return exceeded(why, "max_ack_id");
    return rc == RC_OK ? read_data(rest, lim, out, why) : rc;
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

/* Responses, and the small grammars inside header values and targets. */
#include "rc/net/http.h"

#include "http_int.h"

const char *rc_http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } known[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (known[i].status == status)
            return known[i].reason;
    return "Unknown";
}

void rc_http_respond(struct rc_buf *out, const struct rc_http_resp *r)
{
    bool bodiless = r->status < 200 || r->status == 204 || r->status == 304;

    rc_buf_puts(out, RC_STR("HTTP/1.1 "));
    rc_buf_put_u64(out, (uint64_t)r->status);
    rc_buf_putc(out, ' ');
    rc_buf_putz(out, rc_http_reason(r->status));
    rc_buf_puts(out, RC_STR("\r\n"));
    if (!bodiless) {
        rc_buf_puts(out, RC_STR("Content-Length: "));
        rc_buf_put_u64(out, r->body.len);
        rc_buf_puts(out, RC_STR("\r\n"));
    }
    if (r->content_type.len != 0) {
        rc_buf_puts(out, RC_STR("Content-Type: "));
        rc_buf_puts(out, r->content_type);
        rc_buf_puts(out, RC_STR("\r\n"));
    }
    if (!r->keep_alive)
        rc_buf_puts(out, RC_STR("Connection: close\r\n"));
    rc_buf_puts(out, r->extra);
    rc_buf_puts(out, RC_STR("\r\n"));
    if (!bodiless && !r->head_only)
        rc_buf_puts(out, r->body);
}

/* Decodes the character at s->p and drops it from s; -1 for a bad escape, of which the '%' is
 * dropped. s is not empty. */
static int next_char(struct rc_str *s, bool plus)
{
    int c = (uint8_t)s->p[0], high, low;

    if (c == '%' && s->len >= 3) {
        high = rc_http_hex((uint8_t)s->p[1]);
        low = rc_http_hex((uint8_t)s->p[2]);
        if (high >= 0 && low >= 0) {
            *s = rc_str_skip(*s, 3);
            return high << 4 | low;
        }
    }
    *s = rc_str_skip(*s, 1);
    if (c == '%')
        return -1;
    return plus && c == '+' ? ' ' : c;
}

/* The same in a query, where a bad escape stands for itself. */
static int next_query_char(struct rc_str *s)
{
    int c = next_char(s, true);

    return c < 0 ? '%' : c;
}

static bool has_escapes(struct rc_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] == '%' || s.p[i] == '+')
            return true;
    return false;
}

static bool decodes_to(struct rc_str s, struct rc_str name)
{
    while (s.len != 0 && name.len != 0) {
        if (next_query_char(&s) != (uint8_t)name.p[0])
            return false;
        name = rc_str_skip(name, 1);
    }
    return s.len == 0 && name.len == 0;
}

/* Finds the values; they are not decoded yet. */
static void find_params(struct rc_str query, struct rc_http_param *param, unsigned nparams)
{
    struct rc_str part, key;

    for (unsigned i = 0; i < nparams; i++) {
        param[i].value = RC_STR_NONE;
        param[i].n = 0;
    }
    while (rc_http_split(&query, '&', &part)) {
        bool escapes;

        (void)rc_http_split(&part, '=', &key);
        escapes = has_escapes(key);
        for (unsigned i = 0; i < nparams; i++) {
            if (escapes ? !decodes_to(key, param[i].name) : !rc_str_eq(key, param[i].name))
                continue;
            param[i].value = part;
            param[i].n++;
        }
    }
}

/* Appends to out; false: there is no memory for it. */
static bool decode_value(struct rc_str *value, struct rc_buf *out)
{
    uint8_t *to = rc_buf_reserve(out, value->len), *start = to;

    if (to == NULL)
        return false;
    while (value->len != 0)
        *to++ = (uint8_t)next_query_char(value);
    out->len += (size_t)(to - start);
    *value = rc_str_make(start, (size_t)(to - start));
    return true;
}

void rc_http_query_read(struct rc_str query, struct rc_http_param *param, unsigned nparams,
                        struct rc_buf *buf)
{
    rc_buf_reset(buf);
    find_params(query, param, nparams);
    for (unsigned i = 0; i < nparams; i++) {
        if (!has_escapes(param[i].value))
            continue;
        /* Room for all of them at once, or the first ones would move. */
        if (rc_buf_reserve(buf, query.len - buf->len) == NULL ||
            !decode_value(&param[i].value, buf)) {
            param[i].value = RC_STR_NONE;
            param[i].n = 0;
        }
    }
}

unsigned rc_http_query_get(struct rc_str query, const char *name, struct rc_buf *out)
{
    struct rc_http_param param = {.name = rc_str_of(name)};

    rc_buf_reset(out);
    find_params(query, &param, 1);
    return decode_value(&param.value, out) ? param.n : 0;
}

struct rc_str rc_http_cookie_get(struct rc_str cookie, const char *name)
{
    struct rc_str part, key;

    while (rc_http_split(&cookie, ';', &part)) {
        (void)rc_http_split(&part, '=', &key);
        if (part.p != NULL && rc_str_eq(rc_http_trim(key), rc_str_of(name)))
            return rc_http_trim(part);
    }
    return RC_STR_NONE;
}

int rc_http_decode_path(struct rc_str path, struct rc_buf *out)
{
    uint8_t *to;
    int c;

    rc_buf_reset(out);
    to = rc_buf_reserve(out, path.len);
    if (to == NULL)
        return RC_ENOMEM;
    while (path.len != 0) {
        c = next_char(&path, false);
        if (c <= '\0') {
            rc_buf_reset(out);
            return RC_EPROTO;
        }
        *to++ = (uint8_t)c;
        out->len++;
    }
    return RC_OK;
}

bool rc_http_has_token(struct rc_str value, const char *token)
{
    struct rc_str want = rc_str_of(token), part;

    while (rc_http_split(&value, ',', &part))
        if (rc_str_ieq(rc_http_trim(part), want))
            return true;
    return false;
}

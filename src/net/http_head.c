/* Request heads. Functions that return `int status` give 0 or the HTTP status to refuse with. */
#include "rc/net/http.h"

#include "http_int.h"

enum { OK = 0, BAD = 400 };

#define B (RC_HTTP_TCHAR | RC_HTTP_AUTHORITY | RC_HTTP_TARGET)
#define N (RC_HTTP_TCHAR | RC_HTTP_TARGET)
#define T RC_HTTP_TCHAR
#define A (RC_HTTP_AUTHORITY | RC_HTTP_TARGET)
#define G RC_HTTP_TARGET
const uint8_t rc_http_class[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* 00 */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* 10 */
    0, B, G, T, B, B, B, B, A, A, B, B, A, B, B, G, /* 20, '#' is of tokens only */
    B, B, B, B, B, B, B, B, B, B, A, A, G, A, G, G, /* 30, digits */
    G, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, /* 40, A to O */
    B, B, B, B, B, B, B, B, B, B, B, A, G, A, N, B, /* 50, P to Z */
    N, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, /* 60, a to o */
    B, B, B, B, B, B, B, B, B, B, B, G, N, G, B, 0, /* 70, p to z */
};
#undef B
#undef N
#undef T
#undef A
#undef G

/* What only the checks at the end of the head need. */
struct seen {
    struct rc_str length;
    bool encoding;     /* a Transfer-Encoding header */
    bool chunked;      /* "chunked" was named, so it must have been the last coding */
    bool bad_encoding; /* an empty element, or one after "chunked" */
    bool unknown_encoding;
    bool close, keep_alive, upgrade, upgrade_header, upgrade_websocket;
};

/* Finds the end of the head within the first `len` bytes, from *scanned on: 0 when it is not
 * there yet, or RC_EPROTO. An empty line ends the head unless the line before it is empty
 * too or there is none: those are the leading empty lines. */
static int64_t find_end(const char *data, size_t len, size_t *scanned)
{
    const char *nl;
    size_t i;

    while (*scanned < len && (nl = memchr(data + *scanned, '\n', len - *scanned)) != NULL) {
        i = (size_t)(nl - data);
        if (i == 0 || data[i - 1] != '\r')
            return RC_EPROTO;
        *scanned = i + 1;
        if (i > 3 && data[i - 2] == '\n' && data[i - 4] != '\n')
            return (int64_t)(i + 1);
    }
    *scanned = len;
    return 0;
}

static size_t skip_empty_lines(const char *data, size_t len)
{
    size_t i = 0;

    while (len - i >= 2 && data[i] == '\r' && data[i + 1] == '\n')
        i += 2;
    return i;
}

/* The head does not end within max_head: is it the target's fault? */
static int too_big(const char *data, size_t len, const struct rc_http_limits *lim)
{
    size_t start = skip_empty_lines(data, len);
    struct rc_str rest = rc_str_make(data + start, len - start), part;

    (void)rc_http_split(&rest, '\r', &part);
    rest = part;
    (void)rc_http_split(&rest, ' ', &part);
    if (!rc_http_split(&rest, ' ', &part))
        return 431;
    return rest.p == NULL || part.len > lim->max_target ? 414 : 431;
}

static bool is_authority(struct rc_str s)
{
    return rc_http_span(s, RC_HTTP_AUTHORITY) == s.len;
}

static void split_query(struct rc_http_req *req, struct rc_str target)
{
    (void)rc_http_split(&target, '?', &req->path);
    req->query = target;
}

static int parse_absolute(struct rc_http_req *req, size_t scheme)
{
    struct rc_str rest = rc_str_skip(req->target, scheme);
    size_t n = 0;

    while (n < rest.len && rest.p[n] != '/' && rest.p[n] != '?')
        n++;
    req->host = rc_str_make(rest.p, n);
    if (n == 0 || !is_authority(req->host))
        return BAD;
    split_query(req, rc_str_skip(rest, n));
    if (req->path.len == 0)
        req->path = RC_STR("/");
    return OK;
}

static int parse_target(struct rc_http_req *req)
{
    struct rc_str t = req->target;

    if (t.len == 0 || rc_http_span(t, RC_HTTP_TARGET) != t.len)
        return BAD;
    if (t.p[0] == '/') {
        split_query(req, t);
        return OK;
    }
    if (t.len > 7 && strncasecmp(t.p, "http://", 7) == 0)
        return parse_absolute(req, 7);
    if (t.len > 8 && strncasecmp(t.p, "https://", 8) == 0)
        return parse_absolute(req, 8);
    if (rc_str_eq(t, RC_STR("*")) && req->method == RC_HTTP_OPTIONS) {
        req->path = t;
        return OK;
    }
    return rc_str_eq(req->method_name, RC_STR("CONNECT")) && is_authority(t) ? OK : BAD;
}

static enum rc_http_method method_of(struct rc_str name)
{
    if (rc_str_eq(name, RC_STR("GET")))
        return RC_HTTP_GET;
    if (rc_str_eq(name, RC_STR("POST")))
        return RC_HTTP_POST;
    if (rc_str_eq(name, RC_STR("HEAD")))
        return RC_HTTP_HEAD;
    if (rc_str_eq(name, RC_STR("OPTIONS")))
        return RC_HTTP_OPTIONS;
    return RC_HTTP_OTHER;
}

static int parse_version(struct rc_http_req *req, struct rc_str v)
{
    if (v.len != 8 || !rc_str_starts(v, RC_STR("HTTP/")) || v.p[6] != '.' ||
        (uint8_t)(v.p[5] - '0') >= 10 || (uint8_t)(v.p[7] - '0') >= 10)
        return BAD;
    if (v.p[5] != '1')
        return 505;
    req->minor = v.p[7] == '0' ? 0 : 1;
    return OK;
}

static int parse_request_line(struct rc_http_req *req, struct rc_str line,
                              const struct rc_http_limits *lim)
{
    int status;

    (void)rc_http_split(&line, ' ', &req->method_name);
    if (req->method_name.len == 0 ||
        rc_http_span(req->method_name, RC_HTTP_TCHAR) != req->method_name.len)
        return BAD;
    req->method = method_of(req->method_name);
    if (!rc_http_split(&line, ' ', &req->target) || line.p == NULL)
        return BAD;
    if (req->target.len > lim->max_target)
        return 414;
    status = parse_version(req, line);
    return status != OK ? status : parse_target(req);
}

static void see_connection(struct seen *seen, struct rc_str value)
{
    struct rc_str part;

    while (rc_http_split(&value, ',', &part)) {
        part = rc_http_trim(part);
        seen->close |= rc_str_ieq(part, RC_STR("close"));
        seen->keep_alive |= rc_str_ieq(part, RC_STR("keep-alive"));
        seen->upgrade |= rc_str_ieq(part, RC_STR("upgrade"));
    }
}

static void see_encoding(struct seen *seen, struct rc_str value)
{
    struct rc_str part;

    seen->encoding = true;
    while (rc_http_split(&value, ',', &part)) {
        part = rc_http_trim(part);
        if (part.len == 0 || seen->chunked)
            seen->bad_encoding = true;
        else if (rc_str_ieq(part, RC_STR("chunked")))
            seen->chunked = true;
        else
            seen->unknown_encoding = true;
    }
}

static int see_length(struct rc_http_req *req, struct seen *seen, struct rc_str value)
{
    uint64_t n = 0;
    unsigned digit;

    if (req->has_length)
        return rc_str_eq(value, seen->length) ? OK : BAD;
    if (value.len == 0)
        return BAD;
    for (size_t i = 0; i < value.len; i++) {
        digit = (uint8_t)(value.p[i] - '0');
        if (digit > 9 || n > ((uint64_t)INT64_MAX - digit) / 10)
            return BAD;
        n = n * 10 + digit;
    }
    req->content_length = n;
    req->has_length = true;
    seen->length = value;
    return OK;
}

/* What is done with a header: kept, and then which of several counts, or looked at now since it
 * decides about framing and the connection. */
enum use { FIRST, LAST, ONCE, CONNECTION, LENGTH, ENCODING, UPGRADE, EXPECT };

struct field {
    const char *name; /* in lower case */
    uint8_t len;
    uint8_t use;
    uint16_t offset; /* of what is kept, in struct rc_http_req */
};

/* Length and first letter tell the headers apart that anything is done with. */
enum { SLOTS = 64 };
#define SLOT(len, letter) (((len)*21 + (letter)) % SLOTS)
#define FIELD(letter, text, use, offset) \
    [SLOT(sizeof(text) - 1, letter)] = {text, sizeof(text) - 1, use, offset}
#define LOOKED_AT(letter, text, use) FIELD(letter, text, use, 0)
#define KEPT(letter, text, use, member) \
    FIELD(letter, text, use, offsetof(struct rc_http_req, member))
static const struct field fields[SLOTS] = {
    LOOKED_AT('c', "connection", CONNECTION),
    LOOKED_AT('c', "content-length", LENGTH),
    LOOKED_AT('t', "transfer-encoding", ENCODING),
    LOOKED_AT('u', "upgrade", UPGRADE),
    LOOKED_AT('e', "expect", EXPECT),
    KEPT('h', "host", ONCE, host),
    KEPT('o', "origin", ONCE, origin),
    KEPT('c', "cookie", FIRST, cookie),
    KEPT('u', "user-agent", FIRST, user_agent),
    KEPT('c', "content-type", FIRST, content_type),
    KEPT('a', "authorization", ONCE, authorization),
    KEPT('i', "if-none-match", FIRST, if_none_match),
    KEPT('a', "accept-encoding", FIRST, accept_encoding),
    /* The nearest proxy, the only one that can be trusted, adds its own last. */
    KEPT('x', "x-forwarded-for", LAST, forwarded_for),
    KEPT('x', "x-forwarded-proto", LAST, forwarded_proto),
    KEPT('s', "sec-websocket-key", ONCE, ws_key),
    KEPT('s', "sec-websocket-version", ONCE, ws_version),
    KEPT('s', "sec-websocket-protocol", FIRST, ws_protocol),
    KEPT('s', "sec-websocket-extensions", FIRST, ws_extensions),
    KEPT('a', "access-control-request-headers", FIRST, acrh),
};

/* NULL: nothing is done with it. The name is a token, not empty. */
static const struct field *field_of(struct rc_str name)
{
    const struct field *f = &fields[SLOT(name.len, name.p[0] | 0x20) % SLOTS];

    return f->len == name.len && strncasecmp(f->name, name.p, name.len) == 0 ? f : NULL;
}

static int keep_field(struct rc_http_req *req, const struct field *f, struct rc_str value)
{
    struct rc_str *to = (struct rc_str *)(void *)((char *)req + f->offset);

    if (to->p != NULL && f->use == ONCE)
        return BAD;
    if (to->p == NULL || f->use == LAST)
        *to = value;
    return OK;
}

static int see_header(struct rc_http_req *req, struct seen *seen, struct rc_str name,
                      struct rc_str value)
{
    const struct field *f = field_of(name);

    if (f == NULL)
        return OK;
    switch ((enum use)f->use) {
    case FIRST:
    case LAST:
    case ONCE: return keep_field(req, f, value);
    case CONNECTION: see_connection(seen, value); break;
    case LENGTH: return see_length(req, seen, value);
    case ENCODING: see_encoding(seen, value); break;
    case UPGRADE:
        seen->upgrade_header = true;
        seen->upgrade_websocket |= rc_http_has_token(value, "websocket");
        break;
    case EXPECT: req->expect_continue |= rc_http_has_token(value, "100-continue"); break;
    }
    return OK;
}

static int parse_header(struct rc_http_req *req, struct seen *seen, struct rc_str line)
{
    struct rc_str name, value;
    size_t n = rc_http_span(line, RC_HTTP_TCHAR);

    if (n == 0 || n == line.len || line.p[n] != ':')
        return BAD;
    name = rc_str_make(line.p, n);
    value = rc_http_trim(rc_str_skip(line, n + 1));
    if (!rc_http_all_vchars(value))
        return BAD;
    req->headers[req->nheaders].name = name;
    req->headers[req->nheaders].value = value;
    req->nheaders++;
    return see_header(req, seen, name, value);
}

static int check_framing(struct rc_http_req *req, const struct seen *seen)
{
    if (!seen->encoding)
        return OK;
    if (req->minor == 0 || req->has_length || seen->bad_encoding)
        return BAD;
    if (seen->unknown_encoding)
        return 501;
    req->chunked = seen->chunked;
    return OK;
}

static int finish(struct rc_http_req *req, const struct seen *seen, struct rc_str absolute_host)
{
    int status = check_framing(req, seen);

    if (status != OK)
        return status;
    if (req->minor >= 1 && req->host.p == NULL)
        return BAD;
    if (!is_authority(req->host))
        return BAD;
    /* RFC 9112 section 3.2.2: the target's authority beats the Host header. */
    if (absolute_host.p != NULL)
        req->host = absolute_host;
    req->keep_alive = !seen->close && (req->minor >= 1 || seen->keep_alive);
    if (req->minor >= 1 && seen->upgrade) {
        req->upgrade_websocket = seen->upgrade_websocket;
        req->upgrade_other = seen->upgrade_header && !seen->upgrade_websocket;
    }
    req->expect_continue = req->expect_continue && req->minor >= 1;
    return OK;
}

/* `head` is complete: each line ends in CRLF and the last one is empty. */
static int parse(struct rc_http_req *req, struct rc_str head, const struct rc_http_limits *lim)
{
    unsigned max = lim->max_headers < RC_HTTP_HEADERS_MAX ? lim->max_headers
                                                          : (unsigned)RC_HTTP_HEADERS_MAX;
    struct rc_str line, absolute_host;
    struct seen seen = {0};
    int status;

    (void)rc_http_split(&head, '\n', &line);
    line.len--;
    status = parse_request_line(req, line, lim);
    absolute_host = req->host;
    req->host = RC_STR_NONE;
    while (status == OK && rc_http_split(&head, '\n', &line) && line.len > 1) {
        line.len--;
        status = req->nheaders < max ? parse_header(req, &seen, line) : 431;
    }
    return status != OK ? status : finish(req, &seen, absolute_host);
}

int rc_http_parse_head(struct rc_http_req *req, const char *data, size_t len, size_t *scanned,
                       const struct rc_http_limits *lim, int *status)
{
    size_t visible = len < lim->max_head ? len : lim->max_head, start;
    int64_t end;

    *status = BAD;
    /* A TLS client on the plain port is told at once, not after a timeout. */
    if (len != 0 && data[0] != '\r' && !rc_http_is(data[0], RC_HTTP_TCHAR))
        return RC_EPROTO;
    /* Nothing beyond max_head is looked at, so that the outcome does not depend on how the
     * bytes were cut. */
    end = find_end(data, visible, scanned);
    if (end < 0)
        return RC_EPROTO;
    if (end == 0) {
        if (visible < lim->max_head)
            return RC_EAGAIN;
        *status = too_big(data, visible, lim);
        return RC_EPROTO;
    }
    memset(req, 0, offsetof(struct rc_http_req, headers));
    start = skip_empty_lines(data, (size_t)end);
    *status = parse(req, rc_str_make(data + start, (size_t)end - start), lim);
    return *status == OK ? (int)end : RC_EPROTO;
}

/* Request heads. Functions that return `int status` give 0 or the HTTP status to refuse with. */
#include "rc/net/http.h"

#include "http_int.h"

enum { OK = 0, BAD = 400 };

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
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.p[i];

        if ((uint8_t)((c | 0x20) - 'a') >= 26 && (uint8_t)(c - '0') >= 10 && c != '.' &&
            c != ':' && (c == '\0' || strchr("-_~%!$&'()*+;=[]", c) == NULL))
            return false;
    }
    return true;
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

    for (size_t i = 0; i < t.len; i++)
        if (t.p[i] <= ' ' || t.p[i] >= 0x7F || t.p[i] == '#')
            return BAD;
    if (t.len == 0)
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
    if (req->method_name.len == 0)
        return BAD;
    for (size_t i = 0; i < req->method_name.len; i++)
        if (!rc_http_is_tchar((uint8_t)req->method_name.p[i]))
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
    seen->close |= rc_http_has_token(value, "close");
    seen->keep_alive |= rc_http_has_token(value, "keep-alive");
    seen->upgrade |= rc_http_has_token(value, "upgrade");
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

enum repeat { FIRST, LAST, ONCE }; /* which one counts when a header comes several times */

#define FIELD(text, member, repeat)                                          \
    {                                                                        \
        text, sizeof(text) - 1, offsetof(struct rc_http_req, member), repeat \
    }
static const struct {
    const char *name;
    size_t len, offset;
    enum repeat repeat;
} fields[] = {
    FIELD("Host", host, ONCE),
    FIELD("Origin", origin, ONCE),
    FIELD("Cookie", cookie, FIRST),
    FIELD("User-Agent", user_agent, FIRST),
    FIELD("Content-Type", content_type, FIRST),
    FIELD("Authorization", authorization, ONCE),
    FIELD("If-None-Match", if_none_match, FIRST),
    FIELD("Accept-Encoding", accept_encoding, FIRST),
    /* The nearest proxy, the only one that can be trusted, adds its own last. */
    FIELD("X-Forwarded-For", forwarded_for, LAST),
    FIELD("X-Forwarded-Proto", forwarded_proto, LAST),
    FIELD("Sec-WebSocket-Key", ws_key, ONCE),
    FIELD("Sec-WebSocket-Version", ws_version, ONCE),
    FIELD("Sec-WebSocket-Protocol", ws_protocol, FIRST),
    FIELD("Sec-WebSocket-Extensions", ws_extensions, FIRST),
    FIELD("Access-Control-Request-Headers", acrh, FIRST),
};

static int keep_field(struct rc_http_req *req, struct rc_str name, struct rc_str value)
{
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        struct rc_str *to;

        if (name.len != fields[i].len || strncasecmp(name.p, fields[i].name, name.len) != 0)
            continue;
        to = (struct rc_str *)(void *)((char *)req + fields[i].offset);
        if (to->p != NULL && fields[i].repeat == ONCE)
            return BAD;
        if (to->p == NULL || fields[i].repeat == LAST)
            *to = value;
        break;
    }
    return OK;
}

/* The headers that decide about framing and the connection; the others are only kept. */
static int see_header(struct rc_http_req *req, struct seen *seen, struct rc_str name,
                      struct rc_str value)
{
    if (rc_str_ieq(name, RC_STR("Connection"))) {
        see_connection(seen, value);
    } else if (rc_str_ieq(name, RC_STR("Content-Length"))) {
        return see_length(req, seen, value);
    } else if (rc_str_ieq(name, RC_STR("Transfer-Encoding"))) {
        see_encoding(seen, value);
    } else if (rc_str_ieq(name, RC_STR("Upgrade"))) {
        seen->upgrade_header = true;
        seen->upgrade_websocket |= rc_http_has_token(value, "websocket");
    } else if (rc_str_ieq(name, RC_STR("Expect"))) {
        req->expect_continue |= rc_http_has_token(value, "100-continue");
    } else {
        return keep_field(req, name, value);
    }
    return OK;
}

static int parse_header(struct rc_http_req *req, struct seen *seen, struct rc_str line)
{
    struct rc_str name, value;
    size_t n = 0;

    while (n < line.len && line.p[n] != ':' && rc_http_is_tchar((uint8_t)line.p[n]))
        n++;
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
    if (len != 0 && data[0] != '\r' && !rc_http_is_tchar((uint8_t)data[0]))
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

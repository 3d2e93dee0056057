#include "rc/net/http.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static const struct rc_http_limits limits = {.max_head = 8192,
                                             .max_target = 2048,
                                             .max_headers = 64};

#define GET  "GET / HTTP/1.1\r\nHost: h\r\n"
#define POST "POST / HTTP/1.1\r\nHost: h\r\n"

static bool is(struct rc_str s, const char *z)
{
    return rc_str_eq(s, rc_str_of(z));
}

/* Parses a copy that ends where the text ends, so that a sanitizer sees any read beyond.
 * The copy is leaked into *copy when the slices are wanted. */
static int parse_at(struct rc_http_req *req, const char *text, size_t len, size_t *scanned,
                    int *status)
{
    char *copy = malloc(len != 0 ? len : 1);
    int n;

    cr_assert_not_null(copy);
    memcpy(copy, text, len);
    n = rc_http_parse_head(req, copy, len, scanned, &limits, status);
    free(copy);
    return n;
}

/* Whole, one byte at a time, and in two pieces at every split: always the same outcome. */
static int parse_all_ways(const char *text, size_t len, int *status)
{
    struct rc_http_req req;
    size_t scanned = 0;
    int whole = parse_at(&req, text, len, &scanned, status);
    int n = RC_EAGAIN, st = 0;

    scanned = 0;
    for (size_t i = 0; i <= len && n == RC_EAGAIN; i++)
        n = parse_at(&req, text, i, &scanned, &st);
    cr_assert_eq(n, whole, "%s: %d one byte at a time, %d whole", text, n, whole);
    cr_assert(n != RC_EPROTO || st == *status, "%s: %d, %d whole", text, st, *status);
    for (size_t i = 0; i < len; i++) {
        scanned = 0;
        n = parse_at(&req, text, i, &scanned, &st);
        if (n == RC_EAGAIN)
            n = parse_at(&req, text, len, &scanned, &st);
        cr_assert_eq(n, whole, "%s: %d split at %zu, %d whole", text, n, i, whole);
        cr_assert(n != RC_EPROTO || st == *status, "%s: %d at %zu", text, st, i);
    }
    return whole;
}

static int outcome(const char *text, size_t len)
{
    int status = 0, n = parse_all_ways(text, len, &status);

    return n == RC_EPROTO ? status : n;
}

/* The request is parsed into *req; the text must outlive it. */
static void parse_ok(struct rc_http_req *req, const char *text)
{
    size_t scanned = 0;
    int status = 0, n = rc_http_parse_head(req, text, strlen(text), &scanned, &limits, &status);

    cr_assert_eq(n, (int)strlen(text), "%s: %d, status %d", text, n, status);
    cr_assert_eq(parse_all_ways(text, strlen(text), &status), n);
}

Test(http, simple_get)
{
    struct rc_http_req r;

    parse_ok(&r, "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n"
                 "Host: example.com:3000\r\n"
                 "ACCEPT-encoding:\t gzip, br \t\r\n"
                 "X-Empty:\r\n"
                 "X-Latin: caf\xe9\r\n\r\n");
    cr_assert_eq(r.method, RC_HTTP_GET);
    cr_assert(is(r.method_name, "GET"));
    cr_assert(is(r.target, "/socket.io/?EIO=4&transport=polling"));
    cr_assert(is(r.path, "/socket.io/"));
    cr_assert(is(r.query, "EIO=4&transport=polling"));
    cr_assert_eq(r.minor, 1);
    cr_assert(r.keep_alive);
    cr_assert_not(r.chunked || r.has_length || r.upgrade_websocket || r.upgrade_other ||
                  r.expect_continue);
    cr_assert(is(r.host, "example.com:3000"));
    cr_assert(is(r.accept_encoding, "gzip, br"));
    cr_assert_null(r.origin.p);
    cr_assert_eq(r.nheaders, 4);
    cr_assert(is(r.headers[1].name, "ACCEPT-encoding"));
    cr_assert(is(r.headers[2].name, "X-Empty"));
    cr_assert(is(r.headers[2].value, ""));
    cr_assert_not_null(r.headers[2].value.p);
    cr_assert(is(r.headers[3].value, "caf\xe9"));
}

Test(http, all_kept_headers)
{
    struct rc_http_req r;

    parse_ok(&r, "OPTIONS * HTTP/1.1\r\nhost: a\r\norigin: b\r\ncookie: c\r\n"
                 "authorization: d\r\nif-none-match: e\r\naccept-encoding: f\r\n"
                 "content-type: g\r\nuser-agent: h\r\nx-forwarded-for: i\r\n"
                 "x-forwarded-proto: j\r\naccess-control-request-headers: k\r\n"
                 "sec-websocket-key: l\r\nsec-websocket-version: m\r\n"
                 "sec-websocket-protocol: n\r\nsec-websocket-extensions: o\r\n\r\n");
    cr_assert_eq(r.method, RC_HTTP_OPTIONS);
    cr_assert(is(r.path, "*"));
    cr_assert(is(r.host, "a") && is(r.origin, "b") && is(r.cookie, "c"));
    cr_assert(is(r.authorization, "d") && is(r.if_none_match, "e"));
    cr_assert(is(r.accept_encoding, "f") && is(r.content_type, "g"));
    cr_assert(is(r.user_agent, "h") && is(r.forwarded_for, "i"));
    cr_assert(is(r.forwarded_proto, "j") && is(r.acrh, "k"));
    cr_assert(is(r.ws_key, "l") && is(r.ws_version, "m"));
    cr_assert(is(r.ws_protocol, "n") && is(r.ws_extensions, "o"));
}

Test(http, methods)
{
    struct rc_http_req r;

    parse_ok(&r, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert_eq(r.method, RC_HTTP_HEAD);
    parse_ok(&r, "POST / HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert_eq(r.method, RC_HTTP_POST);
    parse_ok(&r, "get / HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert_eq(r.method, RC_HTTP_OTHER);
    parse_ok(&r, "M-SEARCH!# / HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert_eq(r.method, RC_HTTP_OTHER);
    cr_assert(is(r.method_name, "M-SEARCH!#"));
    parse_ok(&r, "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert_eq(r.method, RC_HTTP_OTHER);
    cr_assert_eq(r.path.len, 0);
}

Test(http, targets)
{
    struct rc_http_req r;

    parse_ok(&r, "GET /a?b?c HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert(is(r.path, "/a") && is(r.query, "b?c"));
    parse_ok(&r, "GET /a? HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert(is(r.path, "/a") && r.query.p != NULL && r.query.len == 0);
    parse_ok(&r, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert_null(r.query.p);
    parse_ok(&r, "GET HTTP://o.example:81/x?y HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert(is(r.host, "o.example:81") && is(r.path, "/x") && is(r.query, "y"));
    parse_ok(&r, "GET https://[::1]?y HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert(is(r.host, "[::1]") && is(r.path, "/") && is(r.query, "y"));
    parse_ok(&r, "GET http://o HTTP/1.1\r\nHost:\r\n\r\n");
    cr_assert(is(r.host, "o") && is(r.path, "/") && r.query.p == NULL);
}

Test(http, versions_and_keep_alive)
{
    struct rc_http_req r;

    parse_ok(&r, "GET / HTTP/1.0\r\n\r\n");
    cr_assert_eq(r.minor, 0);
    cr_assert_not(r.keep_alive);
    cr_assert_null(r.host.p);
    parse_ok(&r, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    cr_assert(r.keep_alive);
    parse_ok(&r, "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n");
    cr_assert_not(r.keep_alive);
    parse_ok(&r, "GET / HTTP/1.9\r\nHost: h\r\n\r\n");
    cr_assert(r.minor == 1 && r.keep_alive);
    parse_ok(&r, GET "Connection: foo , CLOSE\r\n\r\n");
    cr_assert_not(r.keep_alive);
    parse_ok(&r, GET "Connection: closed\r\n\r\n");
    cr_assert(r.keep_alive);
}

Test(http, upgrades)
{
    struct rc_http_req r;

    parse_ok(&r, GET "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\r\n");
    cr_assert(r.upgrade_websocket && !r.upgrade_other);
    parse_ok(&r, GET "Connection: x\r\nUpgrade: h2c\r\nConnection: upgrade\r\n"
                     "Upgrade: websocket\r\n\r\n");
    cr_assert(r.upgrade_websocket && !r.upgrade_other);
    parse_ok(&r, GET "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n");
    cr_assert(!r.upgrade_websocket && r.upgrade_other);
    parse_ok(&r, GET "Upgrade: websocket\r\n\r\n");
    cr_assert(!r.upgrade_websocket && !r.upgrade_other);
    parse_ok(&r, GET "Connection: upgrade\r\n\r\n");
    cr_assert(!r.upgrade_websocket && !r.upgrade_other);
    parse_ok(&r, "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    cr_assert(!r.upgrade_websocket && !r.upgrade_other);
}

Test(http, framing)
{
    struct rc_http_req r;

    parse_ok(&r, POST "Content-Length: 0042\r\n\r\n");
    cr_assert(r.has_length && !r.chunked);
    cr_assert_eq(r.content_length, 42);
    parse_ok(&r, POST "Content-Length: 5\r\ncontent-length: 5\r\n\r\n");
    cr_assert_eq(r.content_length, 5);
    parse_ok(&r, POST "Content-Length: 9223372036854775807\r\n\r\n");
    cr_assert_eq(r.content_length, (uint64_t)INT64_MAX);
    parse_ok(&r, POST "Transfer-Encoding: Chunked\r\nExpect: 100-Continue\r\n\r\n");
    cr_assert(r.chunked && !r.has_length && r.expect_continue);
    parse_ok(&r, "POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n");
    cr_assert_not(r.expect_continue);
}

Test(http, several_headers_of_one_name)
{
    struct rc_http_req r;

    parse_ok(&r, GET "Cookie: a=1\r\nCookie: b=2\r\nX-Forwarded-For: 6.6.6.6\r\n"
                     "X-Forwarded-For: 10.0.0.1\r\n\r\n");
    cr_assert(is(r.cookie, "a=1"));
    cr_assert(is(r.forwarded_for, "10.0.0.1"));
}

Test(http, leading_empty_lines_and_pipelining)
{
    static const char text[] = "\r\n\r\nGET /1 HTTP/1.1\r\nHost: h\r\n\r\n"
                               "\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HT";
    struct rc_http_req r;
    const char *p = text;
    size_t left = strlen(text), scanned = 0;
    int status, n;

    n = rc_http_parse_head(&r, p, left, &scanned, &limits, &status);
    cr_assert_eq(n, 4 + 28);
    cr_assert(is(r.path, "/1"));
    p += n;
    left -= (size_t)n;
    scanned = 0;
    n = rc_http_parse_head(&r, p, left, &scanned, &limits, &status);
    cr_assert_eq(n, 2 + 28);
    cr_assert(is(r.path, "/2"));
    p += n;
    left -= (size_t)n;
    scanned = 0;
    cr_assert_eq(rc_http_parse_head(&r, p, left, &scanned, &limits, &status), RC_EAGAIN);
    cr_assert_eq(outcome("\r\n\r\n\r\n" GET "\r\n", 6 + strlen(GET "\r\n")),
                 (int)(6 + strlen(GET "\r\n")));
}

Test(http, bad_requests)
{
#define CASE(status, text)             \
    {                                  \
        status, text, sizeof(text) - 1 \
    }
    static const struct {
        int status;
        const char *text;
        size_t len;
    } cases[] = {
        /* request line */
        CASE(400, " GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        CASE(400, "\x16\x03\x01\x02"), /* TLS */
        CASE(400, "\r\n / HTTP/1.1\r\nHost: h\r\n\r\n"),
        CASE(400, "G(T / HTTP/1.1\r\nHost: h\r\n\r\n"),
        CASE(400, "GET\r\n\r\n"),
        CASE(400, "GET /\r\n\r\n"),
        CASE(400, "GET / \r\n\r\n"),
        CASE(400, "GET  / HTTP/1.1\r\nHost: h\r\n\r\n"),
        CASE(400, "GET /  HTTP/1.1\r\nHost: h\r\n\r\n"),
        CASE(400, "GET /\tHTTP/1.1\r\nHost: h\r\n\r\n"),
        CASE(400, "GET / HTTP/1.1 \r\nHost: h\r\n\r\n"),
        CASE(400, "GET / http/1.1\r\nHost: h\r\n\r\n"),
        CASE(400, "GET / HTTP/1\r\nHost: h\r\n\r\n"),
        CASE(400, "GET / HTTP/11\r\nHost: h\r\n\r\n"),
        CASE(400, "GET / HTTP/1.10\r\nHost: h\r\n\r\n"),
        CASE(400, "GET / HTTP/a.1\r\nHost: h\r\n\r\n"),
        CASE(400, "GET / HTTP/1.x\r\nHost: h\r\n\r\n"),
        CASE(505, "GET / HTTP/0.9\r\nHost: h\r\n\r\n"),
        CASE(505, "GET / HTTP/2.0\r\nHost: h\r\n\r\n"),
        CASE(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        /* target */
        CASE(400, "GET index.html HTTP/1.1\r\nHost: h\r\n\r\n"),
        CASE(400, "GET * HTTP/1.1\r\nHost: h\r\n\r\n"),
        CASE(400, "GET ?a HTTP/1.1\r\nHost: h\r\n\r\n"),
        CASE(400, "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n"),
        CASE(400, "GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n"),
        CASE(400, "GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n"),
        CASE(400, "GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n"),
        CASE(400, "GET /\xc3\xa4 HTTP/1.1\r\nHost: h\r\n\r\n"),
        CASE(400, "GET http:// HTTP/1.1\r\nHost: h\r\n\r\n"),
        CASE(400, "GET http:///a HTTP/1.1\r\nHost: h\r\n\r\n"),
        CASE(400, "GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n"),
        CASE(400, "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n"),
        CASE(400, "CONNECT h/ HTTP/1.1\r\nHost: h\r\n\r\n"),
        /* line ends */
        CASE(400, "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        CASE(400, "GET / HTTP/1.1\nHost: h\n\n"),
        CASE(400, "GET / HTTP/1.1\r\nHost: h\n\r\n"),
        CASE(400, "GET / HTTP/1.1\r\nHost: h\r\n\n"),
        CASE(400, "GET / HTTP/1.1\rHost: h\r\n\r\n"),
        CASE(400, "GET / HTTP/1.1\r\r\nHost: h\r\n\r\n"),
        CASE(400, "GET / HTTP/1.1\r\nHost: h\r\r\n\r\n"),
        CASE(400, "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n"),
        CASE(400, GET "\r\r\n\r\n"),
        /* header lines */
        CASE(400, GET "X-A: b\r\n c\r\n\r\n"),
        CASE(400, GET "X-A: b\r\n\tc: d\r\n\r\n"),
        CASE(400, "GET / HTTP/1.1\r\n Host: h\r\nHost: h\r\n\r\n"),
        CASE(400, GET "X-A : b\r\n\r\n"),
        CASE(400, GET "X-A\t: b\r\n\r\n"),
        CASE(400, GET "X A: b\r\n\r\n"),
        CASE(400, GET "X-A\r\n\r\n"),
        CASE(400, GET ": b\r\n\r\n"),
        CASE(400, GET "X(A: b\r\n\r\n"),
        CASE(400, GET "X\xe4: b\r\n\r\n"),
        CASE(400, GET "X\0A: b\r\n\r\n"),
        CASE(400, GET "X-A: b\0c\r\n\r\n"),
        CASE(400, GET "X-A: b\x01\r\n\r\n"),
        CASE(400, GET "X-A: b\x7f\r\n\r\n"),
        CASE(400, GET "Origin: http://a\x0b\r\n\r\n"),
        /* Host and other headers that must be one */
        CASE(400, "GET / HTTP/1.1\r\n\r\n"),
        CASE(400, "GET http://h/ HTTP/1.1\r\n\r\n"),
        CASE(400, GET "Host: h\r\n\r\n"),
        CASE(400, "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
        CASE(400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
        CASE(400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        CASE(400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
        CASE(400, GET "Origin: a\r\nOrigin: b\r\n\r\n"),
        CASE(400, GET "Authorization: a\r\nAuthorization: a\r\n\r\n"),
        CASE(400, GET "Sec-WebSocket-Key: a\r\nSec-WebSocket-Key: a\r\n\r\n"),
        CASE(400, GET "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\n\r\n"),
        /* lengths */
        CASE(400, POST "Content-Length:\r\n\r\n"),
        CASE(400, POST "Content-Length: -1\r\n\r\n"),
        CASE(400, POST "Content-Length: +1\r\n\r\n"),
        CASE(400, POST "Content-Length: 1 2\r\n\r\n"),
        CASE(400, POST "Content-Length: 0x10\r\n\r\n"),
        CASE(400, POST "Content-Length: 1a\r\n\r\n"),
        CASE(400, POST "Content-Length: 5, 5\r\n\r\n"),
        CASE(400, POST "Content-Length: 9223372036854775808\r\n\r\n"),
        CASE(400, POST "Content-Length: 18446744073709551617\r\n\r\n"),
        CASE(400, POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"),
        CASE(400, POST "Content-Length: 5\r\nContent-Length: 05\r\n\r\n"),
        /* transfer codings */
        CASE(400, POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
        CASE(400, POST "Content-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding: chunked, gzip\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding: chunked, chunked\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding: chunked,\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding:\r\n\r\n"),
        CASE(400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        CASE(501, POST "Transfer-Encoding: gzip\r\n\r\n"),
        CASE(501, POST "Transfer-Encoding: gzip, chunked\r\n\r\n"),
        CASE(501, POST "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"),
        CASE(501, POST "Transfer-Encoding: xchunked\r\n\r\n"),
        CASE(501, POST "Transfer-Encoding: chunked;q=1\r\n\r\n"),
        CASE(501, POST "Transfer-Encoding: identity\r\n\r\n"),
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int got = outcome(cases[i].text, cases[i].len);

        cr_assert_eq(got, cases[i].status, "case %zu (%s): %d", i, cases[i].text, got);
    }
}

Test(http, incomplete_heads)
{
    static const char text[] = "\r\n" GET "Accept: */*\r\n\r\n";

    for (size_t i = 0; i < strlen(text); i++)
        cr_assert_eq(outcome(text, i), RC_EAGAIN);
    cr_assert_eq(outcome(text, strlen(text)), (int)strlen(text));
}

static int limited(const char *text, const struct rc_http_limits *lim)
{
    struct rc_http_req r;
    size_t scanned = 0, len = strlen(text);
    int status = 0, st = 0, n = rc_http_parse_head(&r, text, len, &scanned, lim, &status);
    int m = RC_EAGAIN;

    scanned = 0;
    for (size_t i = 1; i <= len && m == RC_EAGAIN; i++)
        m = rc_http_parse_head(&r, text, i, &scanned, lim, &st);
    cr_assert_eq(m, n, "%s: %d whole, %d one byte at a time", text, n, m);
    cr_assert(n != RC_EPROTO || st == status);
    return n == RC_EPROTO ? status : n;
}

Test(http, limits)
{
    struct rc_http_limits l = limits;
    const char *text = GET "A: b\r\nC: d\r\n\r\n";
    int len = (int)strlen(text);

    l.max_head = (size_t)len;
    cr_assert_eq(limited(text, &l), len);
    l.max_head--;
    cr_assert_eq(limited(text, &l), 431);
    l = limits;
    l.max_headers = 3;
    cr_assert_eq(limited(text, &l), len);
    l.max_headers = 2;
    cr_assert_eq(limited(text, &l), 431);
    text = "GET /123456789 HTTP/1.1\r\nHost: h\r\n\r\n";
    l = limits;
    l.max_target = 10;
    cr_assert_eq(limited(text, &l), (int)strlen(text));
    l.max_target = 9;
    cr_assert_eq(limited(text, &l), 414);
    /* the head does not end within its limit because of the target */
    l.max_head = 24;
    cr_assert_eq(limited(text, &l), 414);
    l.max_head = 8;
    cr_assert_eq(limited(text, &l), 414);
    l.max_target = 10;
    l.max_head = 24;
    cr_assert_eq(limited(text, &l), 431);
    l.max_head = 3;
    cr_assert_eq(limited(text, &l), 431);
    /* empty lines for ever */
    cr_assert_eq(limited("\r\n\r\n\r\n\r\n", &l), 431);
    /* a bad line beyond the limit does not matter */
    cr_assert_eq(limited("GET / HTTP/1.1\r\nX: yyyyyyyyyyyyyyyy\n\n", &l), 431);
}

Test(http, max_headers_is_capped)
{
    struct rc_http_limits l = {.max_head = 65536, .max_target = 100, .max_headers = 1000};
    struct rc_buf b = RC_BUF_INIT;

    rc_buf_putz(&b, GET);
    for (unsigned i = 1; i < RC_HTTP_HEADERS_MAX; i++)
        rc_buf_printf(&b, "X-%u: %u\r\n", i, i);
    rc_buf_putz(&b, "\r\n");
    rc_buf_putc(&b, '\0');
    cr_assert_eq(limited((char *)b.data, &l), (int)b.len - 1);
    b.len -= 3;
    rc_buf_putz(&b, "One: more\r\n\r\n");
    rc_buf_putc(&b, '\0');
    cr_assert_eq(limited((char *)b.data, &l), 431);
    rc_buf_deinit(&b);
}

/* ---- bodies ---- */

/* Feeds `step` bytes at a time (after a first piece of `first`). Returns the bytes consumed,
 * or the status; the content goes to out. *done says whether the body is complete. */
static int64_t feed_steps(struct rc_http_body *b, const char *text, size_t len,
                          const size_t cut[2], struct rc_buf *out)
{
    size_t at = 0, end, piece = cut[0];
    struct rc_str s;
    int64_t n;
    int status = 0;
    char *copy;

    rc_buf_reset(out);
    while (at < len && !b->done) {
        end = len - at < piece ? len : at + piece;
        piece = cut[1];
        while (at < end && !b->done) {
            copy = malloc(end - at);
            cr_assert_not_null(copy);
            memcpy(copy, text + at, end - at);
            n = rc_http_body_feed(b, copy, end - at, &s, &status);
            if (n >= 0)
                rc_buf_puts(out, s);
            free(copy);
            if (n == RC_EPROTO)
                return status;
            cr_assert_gt(n, 0);
            at += (size_t)n;
        }
    }
    cr_assert_eq(b->total, out->len);
    return (int64_t)at;
}

/* In all ways of cutting. 0 when more is needed, else the status or the bytes consumed. */
static int64_t feed(const struct rc_http_req *req, uint64_t max, const char *text, size_t len,
                    const char *content)
{
    struct rc_buf out = RC_BUF_INIT;
    struct rc_http_body b;
    int64_t first = 0, n;
    int status = 0;

    for (size_t i = 0; i <= len; i++) {
        size_t cut[2] = {i != 0 ? i : 1, i != 0 ? len : 1};

        cr_assert_eq(rc_http_body_init(&b, req, max, &status), RC_OK);
        n = feed_steps(&b, text, len, cut, &out);
        if (n == (int64_t)len && !b.done)
            n = 0;
        if (i == 0)
            first = n;
        cr_assert_eq(n, first, "%s cut at %zu: %ld, not %ld", text, i, (long)n, (long)first);
        if (content != NULL)
            cr_assert(is(rc_buf_str(&out), content), "%s cut at %zu", text, i);
    }
    rc_buf_deinit(&out);
    return first;
}

static int64_t feed_chunked(const char *text, const char *content)
{
    struct rc_http_req req = {.chunked = true};

    return feed(&req, 1000, text, strlen(text), content);
}

Test(http_body, by_length)
{
    struct rc_http_req req = {.has_length = true, .content_length = 5};
    struct rc_http_body b;
    struct rc_str s;
    int status = 0;

    cr_assert_eq(feed(&req, 5, "helloGET /", 10, "hello"), 5);
    cr_assert_eq(feed(&req, 5, "hell", 4, "hell"), 0);
    cr_assert_eq(rc_http_body_init(&b, &req, 4, &status), RC_EPROTO);
    cr_assert_eq(status, 413);
    req.content_length = 0;
    cr_assert_eq(rc_http_body_init(&b, &req, 0, &status), RC_OK);
    cr_assert(b.done);
    cr_assert_eq(rc_http_body_feed(&b, "x", 1, &s, &status), 0);
    cr_assert_eq(s.len, 0);
    req = (struct rc_http_req){0};
    cr_assert_eq(rc_http_body_init(&b, &req, 0, &status), RC_OK);
    cr_assert(b.done);
}

Test(http_body, chunked)
{
    cr_assert_eq(feed_chunked("5\r\nhello\r\n0\r\n\r\nGET", "hello"), 15);
    cr_assert_eq(feed_chunked("0\r\n\r\n", ""), 5);
    cr_assert_eq(feed_chunked("0000000000000003\r\nabc\r\nA\r\n0123456789\r\n00\r\n\r\n",
                              "abc0123456789"),
                 44);
    cr_assert_eq(feed_chunked("1;a=b;c=\"d e\"\r\nx\r\n0;x\r\n\r\n", "x"), 25);
    cr_assert_eq(feed_chunked("1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\n", "x"), 21);
    cr_assert_eq(feed_chunked("1\r\nx\r\n0\r\nA: b\r\n", "x"), 0);
    cr_assert_eq(feed_chunked("1\r\nx\r\n", "x"), 0);
}

Test(http_body, bad_chunks)
{
    static const char *const bad[] = {
        "\r\n",
        "x\r\n",
        ";a\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\n",
        " 1\r\n",
        "1 \r\nx",
        "1\nx\r\n",
        "1\r1x",
        "1;a\nx",
        "1;a\rx",
        "1;\x01\r\n",
        "00000000000000001\r\nx",
        "1\r\nxy\r\n",
        "1\r\nx\n0\r\n\r\n",
        "1\r\nx\r0",
        "0\r\n\n",
        "0\r\n\rx",
        "0\r\nA\r\n\r\n",
        "0\r\n: b\r\n\r\n",
        "0\r\n A: b\r\n\r\n",
        "0\r\nA : b\r\n\r\n",
        "0\r\nA: b\n\r\n",
        "0\r\nA: b\rx",
        "0\r\nA: b\x01\r\n\r\n",
        "0\r\nA: b\r\n c\r\n\r\n",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(feed_chunked(bad[i], NULL), 400, "case %zu: %s", i, bad[i]);
}

Test(http_body, chunked_limits)
{
    struct rc_http_req req = {.chunked = true};
    static const char ten[] = "5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n";

    cr_assert_eq(feed(&req, 10, ten, strlen(ten), "helloworld"), (int)strlen(ten));
    cr_assert_eq(feed(&req, 9, ten, strlen(ten), "hello"), 413);
    cr_assert_eq(feed(&req, 4, ten, strlen(ten), ""), 413);
    cr_assert_eq(feed(&req, UINT64_MAX, "FFFFFFFFFFFFFFFF\r\nab", 20, "ab"), 0);
    cr_assert_eq(feed(&req, 9, "FFFFFFFFFFFFFFFF\r\nab", 20, ""), 413);
    /* The sum of two sizes does not wrap around. */
    cr_assert_eq(feed(&req, 9, "1\r\nx\r\nFFFFFFFFFFFFFFFF\r\n", 24, "x"), 413);
}

/* Extensions and trailers are bounded over the whole body. */
static int64_t feed_repeated(const char *head, const char *unit, int times, const char *tail)
{
    struct rc_http_req req = {.chunked = true};
    struct rc_buf b = RC_BUF_INIT, out = RC_BUF_INIT;
    struct rc_http_body body;
    const size_t cut[2] = {1000, 1000};
    int status = 0;
    int64_t n;

    rc_buf_putz(&b, head);
    for (int i = 0; i < times; i++)
        rc_buf_putz(&b, unit);
    rc_buf_putz(&b, tail);
    cr_assert_eq(rc_http_body_init(&body, &req, 100000, &status), RC_OK);
    n = feed_steps(&body, (char *)b.data, b.len, cut, &out);
    if (n == (int64_t)b.len)
        n = body.done ? 0 : 1;
    rc_buf_deinit(&b);
    rc_buf_deinit(&out);
    return n;
}

Test(http_body, ignored_bytes_are_bounded)
{
    cr_assert_eq(feed_repeated("1;", "a", 4096, "\r\nx\r\n0\r\n\r\n"), 0);
    cr_assert_eq(feed_repeated("1;", "a", 4097, "\r\nx\r\n0\r\n\r\n"), 400);
    cr_assert_eq(feed_repeated("", "1;a\r\nx\r\n", 4096, "0\r\n\r\n"), 0);
    cr_assert_eq(feed_repeated("", "1;a\r\nx\r\n", 4097, "0\r\n\r\n"), 400);
    cr_assert_eq(feed_repeated("0\r\n", "A: b\r\n", 1024, "\r\n"), 0);
    cr_assert_eq(feed_repeated("0\r\n", "A: b\r\n", 1025, "\r\n"), 400);
    cr_assert_eq(feed_repeated("0;", "a", 4092, "\r\nA: b\r\n\r\n"), 0);
    cr_assert_eq(feed_repeated("0;", "a", 4093, "\r\nA: b\r\n\r\n"), 400);
}

/* ---- responses and small grammars ---- */

static void check_response(const struct rc_http_resp *r, const char *want)
{
    struct rc_buf b = RC_BUF_INIT;

    rc_http_respond(&b, r);
    rc_buf_putc(&b, '\0');
    cr_assert_not(b.failed);
    cr_assert_str_eq((char *)b.data, want);
    rc_buf_deinit(&b);
}

Test(http, responses)
{
    struct rc_http_resp r = {.status = 200,
                             .keep_alive = true,
                             .content_type = RC_STR("text/plain"),
                             .extra = RC_STR("X: y\r\n"),
                             .body = RC_STR("ok")};

    check_response(&r, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n"
                       "X: y\r\n\r\nok");
    r.head_only = true;
    r.keep_alive = false;
    r.extra = RC_STR_NONE;
    check_response(&r, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n"
                       "Connection: close\r\n\r\n");
    check_response(&(struct rc_http_resp){.status = 404},
                   "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    check_response(&(struct rc_http_resp){.status = 299, .keep_alive = true},
                   "HTTP/1.1 299 Unknown\r\nContent-Length: 0\r\n\r\n");
}

Test(http, responses_without_a_body)
{
    struct rc_http_resp r = {.status = 304,
                             .keep_alive = true,
                             .extra = RC_STR("ETag: \"x\"\r\n"),
                             .body = RC_STR("left out")};

    check_response(&r, "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n");
    r.status = 204;
    check_response(&r, "HTTP/1.1 204 No Content\r\nETag: \"x\"\r\n\r\n");
    r.status = 100;
    check_response(&r, "HTTP/1.1 100 Continue\r\nETag: \"x\"\r\n\r\n");
}

Test(http, reasons)
{
    cr_assert_str_eq(rc_http_reason(101), "Switching Protocols");
    cr_assert_str_eq(rc_http_reason(431), "Request Header Fields Too Large");
    cr_assert_str_eq(rc_http_reason(505), "HTTP Version Not Supported");
    cr_assert_str_eq(rc_http_reason(299), "Unknown");
    cr_assert_str_eq(rc_http_reason(-1), "Unknown");
}

static unsigned query(const char *q, const char *name, const char *want)
{
    struct rc_buf b = RC_BUF_INIT;
    unsigned n;

    rc_buf_putz(&b, "left over");
    n = rc_http_query_get(rc_str_of(q), name, &b);
    if (want != NULL)
        cr_assert(is(rc_buf_str(&b), want), "%s of %s", name, q);
    else
        cr_assert_eq(b.len, 0);
    rc_buf_deinit(&b);
    return n;
}

Test(http, query_values)
{
    cr_assert_eq(query("EIO=4&transport=polling&sid=", "EIO", "4"), 1u);
    cr_assert_eq(query("EIO=4&transport=polling&sid=", "transport", "polling"), 1u);
    cr_assert_eq(query("EIO=4&transport=polling&sid=", "sid", ""), 1u);
    cr_assert_eq(query("EIO=4&transport=polling&sid=", "si", NULL), 0u);
    cr_assert_eq(query("EIO=4&transport=polling&sid=", "sidx", NULL), 0u);
    cr_assert_eq(query("&&a&b", "a", ""), 1u);
    cr_assert_eq(query("a=b=c", "a", "b=c"), 1u);
    cr_assert_eq(query("a=%48+i%2B%c3%A4", "a", "H i+\xc3\xa4"), 1u);
    cr_assert_eq(query("%61%62=x", "ab", "x"), 1u);
    cr_assert_eq(query("", "a", NULL), 0u);
    cr_assert_eq(query(NULL, "a", NULL), 0u);
}

Test(http, the_last_of_several_query_values_counts)
{
    cr_assert_eq(query("a=1&a=2", "a", "2"), 2u);
    cr_assert_eq(query("a=1&b=2&%61=3&a", "a", ""), 3u);
    cr_assert_eq(query("a=1&b=2&aa=3&A=4", "a", "1"), 1u);
}

Test(http, a_bad_escape_in_a_query_stands_for_itself)
{
    cr_assert_eq(query("%6=1&a=x", "a", "x"), 1u);
    cr_assert_eq(query("%6=1&a=x", "%6", "1"), 1u);
    cr_assert_eq(query("a=%4", "a", "%4"), 1u);
    cr_assert_eq(query("a=%", "a", "%"), 1u);
    cr_assert_eq(query("a=x%4g", "a", "x%4g"), 1u);
    cr_assert_eq(query("a=%%41%zz+", "a", "%A%zz "), 1u);
}

Test(http, several_query_values_are_read_at_once)
{
    struct rc_http_param p[] = {
        {.name = RC_STR("a")}, {.name = RC_STR("b c")}, {.name = RC_STR("none")}};
    struct rc_str plain = RC_STR("a=1&b=2&a=x&none2=3");
    struct rc_str escaped = RC_STR("a=%31%32&b+c=3+4&%61=%35%36%37&b%20c=8+9&none%zz=0");
    struct rc_buf b = RC_BUF_INIT;

    rc_buf_putz(&b, "left over");
    rc_http_query_read(plain, p, 3, &b);
    cr_assert(p[0].n == 2 && is(p[0].value, "x") && p[0].value.p == plain.p + 10);
    cr_assert(p[1].n == 0 && p[1].value.len == 0 && p[2].n == 0 && b.len == 0);
    rc_http_query_read(escaped, p, 3, &b);
    cr_assert(p[0].n == 2 && is(p[0].value, "567"));
    cr_assert(p[1].n == 2 && is(p[1].value, "8 9"));
    cr_assert(p[2].n == 0 && p[2].value.len == 0);
    rc_http_query_read(RC_STR_NONE, p, 3, &b);
    cr_assert(p[0].n == 0 && p[0].value.len == 0 && p[1].n == 0);
    rc_buf_deinit(&b);
}

Test(http, query_values_without_memory_are_none)
{
    struct rc_http_param p[] = {{.name = RC_STR("a")}, {.name = RC_STR("b")}};
    struct rc_buf b = {.max = 4};

    rc_http_query_read(RC_STR("a=%41%41&b=2"), p, 2, &b);
    cr_assert(b.failed && p[0].n == 0 && p[0].value.len == 0);
    cr_assert(p[1].n == 1 && is(p[1].value, "2"));
    rc_buf_deinit(&b);
}

Test(http, an_escape_is_not_read_beyond_its_end)
{
    struct rc_buf b = RC_BUF_INIT;

    cr_assert_eq(rc_http_query_get(rc_str_make("a=%41", 4), "a", &b), 1u);
    cr_assert(is(rc_buf_str(&b), "%4"));
    cr_assert_eq(rc_http_query_get(rc_str_make("a=%41", 3), "a", &b), 1u);
    cr_assert(is(rc_buf_str(&b), "%"));
    cr_assert_eq(rc_http_query_get(rc_str_make("%61=x", 2), "a", &b), 0u);
    cr_assert_eq(rc_http_decode_path(rc_str_make("/%41", 3), &b), RC_EPROTO);
    rc_buf_deinit(&b);
}

Test(http, cookies)
{
    struct rc_str c = RC_STR("io=abc; token=a.b=c; flag;x= y ;empty=");

    cr_assert(is(rc_http_cookie_get(c, "io"), "abc"));
    cr_assert(is(rc_http_cookie_get(c, "token"), "a.b=c"));
    cr_assert(is(rc_http_cookie_get(c, "x"), "y"));
    cr_assert_not_null(rc_http_cookie_get(c, "empty").p);
    cr_assert_eq(rc_http_cookie_get(c, "empty").len, 0);
    cr_assert_null(rc_http_cookie_get(c, "flag").p);
    cr_assert_null(rc_http_cookie_get(c, "IO").p);
    cr_assert_null(rc_http_cookie_get(c, "tok").p);
    cr_assert_null(rc_http_cookie_get(RC_STR_NONE, "io").p);
}

Test(http, paths)
{
    struct rc_buf b = RC_BUF_INIT;

    cr_assert_eq(rc_http_decode_path(RC_STR("/a%20b+c%2fd/..%2F"), &b), RC_OK);
    cr_assert(is(rc_buf_str(&b), "/a b+c/d/../"));
    cr_assert_eq(rc_http_decode_path(RC_STR(""), &b), RC_OK);
    cr_assert_eq(b.len, 0);
    cr_assert_eq(rc_http_decode_path(RC_STR("/%00"), &b), RC_EPROTO);
    cr_assert_eq(rc_http_decode_path(RC_STR("/%zz"), &b), RC_EPROTO);
    cr_assert_eq(rc_http_decode_path(RC_STR("/%1"), &b), RC_EPROTO);
    rc_buf_deinit(&b);
    b.max = 2;
    cr_assert_eq(rc_http_decode_path(RC_STR("/abc"), &b), RC_ENOMEM);
    rc_buf_deinit(&b);
}

Test(http, tokens)
{
    cr_assert(rc_http_has_token(RC_STR("keep-alive, Upgrade"), "upgrade"));
    cr_assert(rc_http_has_token(RC_STR("upgrade"), "upgrade"));
    cr_assert(rc_http_has_token(RC_STR(",\t upgrade\t,"), "upgrade"));
    cr_assert_not(rc_http_has_token(RC_STR("upgraded"), "upgrade"));
    cr_assert_not(rc_http_has_token(RC_STR("up grade"), "upgrade"));
    cr_assert_not(rc_http_has_token(RC_STR(""), "upgrade"));
    cr_assert_not(rc_http_has_token(RC_STR_NONE, "upgrade"));
}

/* Values are checked by words: each byte at each place of a word, and behind a worst neighbour. */
Test(http, every_byte_in_a_value)
{
    static const char start[] = GET "X: ";
    static const char fillers[] = {' ' + 1, '~', '\x80', '\xff'};
    char text[sizeof(start) + 32];
    size_t from = sizeof(start) - 1, len = from + 24 + 4, scanned;
    struct rc_http_req r;
    int status, n;

    memcpy(text, start, from);
    memcpy(text + from + 24, "\r\n\r\n", 4);
    for (size_t f = 0; f < sizeof(fillers); f++)
        for (size_t at = 1; at < 23; at++)
            for (int c = 0; c < 256; c++) {
                bool good = (c >= ' ' && c != 0x7F) || c == '\t';

                memset(text + from, fillers[f], 24);
                text[from + at] = (char)c;
                scanned = 0;
                n = rc_http_parse_head(&r, text, len, &scanned, &limits, &status);
                if (n != (good ? (int)len : RC_EPROTO))
                    cr_assert_fail("byte %d at %zu: %d", c, at, n);
            }
}

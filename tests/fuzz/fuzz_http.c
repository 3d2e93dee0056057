/*
 * HTTP requests: byte 0 picks the limits, byte 1 how the stream is cut, the rest is a stream
 * of pipelined requests. The same requests, contents and error must come out whether the
 * stream is parsed whole or in pieces.
 */
#include "rc/base/buf.h"
#include "rc/net/compress.h"
#include "rc/net/http.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(c) ((c) ? (void)0 : abort())

struct run {
    struct rc_http_limits lim;
    uint64_t max_body;
    struct rc_http_req req;
    struct rc_http_body body;
    struct rc_buf log, content;
    size_t scanned;
    bool in_body, failed;
};

static void check_slice(struct rc_str s, const char *p, size_t n)
{
    if (s.p == NULL)
        CHECK(s.len == 0);
    else if (!rc_str_eq(s, RC_STR("/"))) /* an absolute target without a path */
        CHECK(s.p >= p && s.p + s.len <= p + n);
}

static void check_value(struct rc_str s)
{
    CHECK(s.len == 0 || memchr(s.p, '\n', s.len) == NULL);
    CHECK(s.len == 0 || memchr(s.p, '\r', s.len) == NULL);
    CHECK(s.len == 0 || memchr(s.p, '\0', s.len) == NULL);
}

/* Several at once are what each one is by itself. */
static void check_query(struct rc_str query)
{
    struct rc_http_param p[] = {{.name = RC_STR("a")}, {.name = RC_STR("bc")}};
    struct rc_buf all = RC_BUF_INIT, one = RC_BUF_INIT;

    rc_http_query_read(query, p, 2, &all);
    for (unsigned i = 0; i < 2; i++) {
        unsigned n = rc_http_query_get(query, p[i].name.p, &one);

        CHECK(n == p[i].n && n <= query.len);
        CHECK(rc_str_eq(rc_buf_str(&one), p[i].value) && one.len <= query.len);
        CHECK(n != 0 || one.len == 0);
    }
    rc_buf_deinit(&all);
    rc_buf_deinit(&one);
}

static void check_small_grammars(const struct rc_http_req *r)
{
    struct rc_buf b = RC_BUF_INIT;
    enum rc_coding coding;
    struct rc_str s;
    int err = rc_http_decode_path(r->path, &b);

    CHECK(err == RC_OK || err == RC_EPROTO);
    CHECK(b.len <= r->path.len && (b.len == 0 || memchr(b.data, '\0', b.len) == NULL));
    check_query(r->query);
    coding = rc_coding_choose(r, true);
    CHECK(coding <= RC_CODING_DEFLATE);
    CHECK(rc_coding_choose(r, false) == RC_CODING_NONE || coding != RC_CODING_NONE);
    CHECK(rc_coding_choose(r, false) == RC_CODING_GZIP || coding != RC_CODING_GZIP);
    s = rc_http_cookie_get(r->cookie, "a");
    CHECK(s.p == NULL || (s.p >= r->cookie.p && s.p + s.len <= r->cookie.p + r->cookie.len));
    rc_buf_deinit(&b);
}

static void see_head(struct run *r, const char *p, size_t n)
{
    struct rc_http_req *q = &r->req;
    const struct rc_str known[] = {
        q->method_name,     q->target,     q->path,        q->query,           q->host,
        q->origin,          q->cookie,     q->ws_key,      q->authorization,   q->if_none_match,
        q->content_type,    q->user_agent, q->ws_version,  q->accept_encoding, q->forwarded_for,
        q->forwarded_proto, q->acrh,       q->ws_protocol, q->ws_extensions};

    CHECK(n <= r->lim.max_head && q->nheaders <= r->lim.max_headers);
    CHECK(q->target.len <= r->lim.max_target && q->minor <= 1);
    CHECK(!(q->chunked && q->has_length) && !(q->chunked && q->minor == 0));
    CHECK(q->minor == 0 || q->host.p != NULL);
    CHECK(!(q->upgrade_websocket && q->upgrade_other));
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        check_slice(known[i], p, n);
        check_value(known[i]);
        rc_buf_printf(&r->log, "<%zu:%.*s>", known[i].len, RC_STR_ARG(known[i]));
    }
    for (unsigned i = 0; i < q->nheaders; i++) {
        check_slice(q->headers[i].name, p, n);
        check_slice(q->headers[i].value, p, n);
        check_value(q->headers[i].value);
        CHECK(q->headers[i].name.len != 0);
    }
    rc_buf_printf(&r->log, "%d %d%d%d%d%d%d%d %llu %u\n", q->method, q->minor, q->keep_alive,
                  q->chunked, q->has_length, q->upgrade_websocket, q->upgrade_other,
                  q->expect_continue, (unsigned long long)q->content_length, q->nheaders);
    check_small_grammars(q);
}

static void fail(struct run *r, int status)
{
    CHECK(status == 400 || status == 413 || status == 414 || status == 431 || status == 501 ||
          status == 505);
    rc_buf_printf(&r->log, "refused %d after %zu", status, r->content.len);
    r->failed = true;
}

static size_t take_head(struct run *r, const char *p, size_t n)
{
    int status = 0;
    int k = rc_http_parse_head(&r->req, p, n, &r->scanned, &r->lim, &status);

    if (k == RC_EAGAIN)
        return 0;
    if (k < 0) {
        fail(r, status);
        return 0;
    }
    CHECK(k > 0 && (size_t)k <= n);
    r->scanned = 0;
    see_head(r, p, (size_t)k);
    if (rc_http_body_init(&r->body, &r->req, r->max_body, &status) != RC_OK) {
        CHECK(status == 413);
        fail(r, status);
        return 0;
    }
    rc_buf_reset(&r->content);
    r->in_body = !r->body.done;
    return (size_t)k;
}

static size_t take_body(struct run *r, const char *p, size_t n)
{
    struct rc_str out;
    int status = 0;
    int64_t k = rc_http_body_feed(&r->body, p, n, &out, &status);

    if (k < 0) {
        fail(r, status);
        return 0;
    }
    CHECK(k > 0 && (size_t)k <= n);
    check_slice(out, p, n);
    rc_buf_puts(&r->content, out);
    CHECK(r->body.total == r->content.len && r->body.total <= r->max_body);
    if (r->body.done) {
        r->in_body = false;
        rc_buf_puts(&r->log, rc_buf_str(&r->content));
    }
    return (size_t)k;
}

/* Parses from a copy that ends where the bytes end; returns how many were used. */
static size_t take(struct run *r, const uint8_t *p, size_t n)
{
    char *copy = malloc(n != 0 ? n : 1);
    size_t at = 0, k = 1;

    CHECK(copy != NULL);
    if (n != 0)
        memcpy(copy, p, n);
    while (at < n && k != 0) {
        k = r->in_body ? take_body(r, copy + at, n - at) : take_head(r, copy + at, n - at);
        at += k;
    }
    free(copy);
    return at;
}

static void run_cut(struct run *r, const uint8_t *p, size_t n, unsigned cut)
{
    size_t at = 0, end = 0;

    while (end < n && !r->failed) {
        end += cut != 0 ? 1 + cut % 17 : n;
        cut = cut * 5 + 1;
        end = end < n ? end : n;
        at += take(r, p + at, end - at);
    }
    if (!r->failed)
        rc_buf_printf(&r->log, "%zu left", n - at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct run whole, pieces; /* large */
    struct rc_http_limits lim = {.max_head = 4096, .max_target = 1024, .max_headers = 20};

    if (size < 2)
        return 0;
    if ((data[0] & 1) != 0)
        lim = (struct rc_http_limits){.max_head = data[0], .max_target = 20, .max_headers = 3};
    whole = (struct run){.lim = lim, .max_body = data[0] >> 1};
    pieces = (struct run){.lim = lim, .max_body = data[0] >> 1};
    run_cut(&whole, data + 2, size - 2, 0);
    run_cut(&pieces, data + 2, size - 2, data[1] + 1u);
    CHECK(rc_str_eq(rc_buf_str(&whole.log), rc_buf_str(&pieces.log)));
    rc_buf_deinit(&whole.log);
    rc_buf_deinit(&whole.content);
    rc_buf_deinit(&pieces.log);
    rc_buf_deinit(&pieces.content);
    return 0;
}

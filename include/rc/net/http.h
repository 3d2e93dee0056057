/*
 * http.h - HTTP/1.1 request heads and bodies, sans-I/O (RFC 9110, RFC 9112).
 *
 * The caller owns the bytes and calls again with more of them; nothing here reads a socket
 * or allocates. Ambiguous requests (RFC 9112 section 6.3: both lengths, several differing
 * lengths, obs-fold, white space before the colon, a bare CR, a transfer coding other than
 * chunked) are refused.
 *
 * Threads:   any, one at a time per object.
 * Ownership: every slice in rc_http_req points into the bytes that were parsed.
 */
#ifndef RC_NET_HTTP_H
#define RC_NET_HTTP_H

#include "rc/base/buf.h"
#include "rc/base/err.h"
#include "rc/base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum rc_http_method {
    RC_HTTP_GET,
    RC_HTTP_HEAD,
    RC_HTTP_POST,
    RC_HTTP_OPTIONS,
    RC_HTTP_OTHER, /* a valid token that we know no use for: 405 */
};

enum { RC_HTTP_HEADERS_MAX = 128 };

struct rc_http_limits {
    size_t max_head;      /* bytes of request line and headers together: beyond it 431 */
    size_t max_target;    /* bytes of the request target: beyond it 414 */
    unsigned max_headers; /* <= RC_HTTP_HEADERS_MAX: beyond it 431 */
};

struct rc_http_req {
    enum rc_http_method method;
    struct rc_str method_name;
    struct rc_str target;      /* as sent; origin-form, absolute-form or "*" */
    struct rc_str path, query; /* of the target, not decoded; query without '?' */
    uint8_t minor;             /* HTTP/1.minor: 0 or 1 */
    bool keep_alive;           /* what the client asks for: version and Connection */
    bool chunked;              /* body is chunked */
    bool has_length;           /* Content-Length was present */
    bool upgrade_websocket;    /* Connection has "upgrade" and Upgrade has "websocket" */
    bool upgrade_other;        /* Connection has "upgrade", Upgrade names something else */
    bool expect_continue;
    uint64_t content_length;

    struct rc_str host, origin, cookie, authorization, if_none_match, accept_encoding;
    struct rc_str content_type, user_agent, forwarded_for, forwarded_proto, acrh;
    struct rc_str ws_key, ws_version, ws_protocol, ws_extensions;
    /* acrh: Access-Control-Request-Headers; absent headers are RC_STR_NONE (p == NULL). host:
     * the target's authority when that is in absolute-form. Of several headers with one name
     * the first counts; for forwarded_* the last, which is the nearest proxy's; a second Host,
     * Origin, Authorization, Sec-WebSocket-Key or -Version is refused. */

    unsigned nheaders;
    struct {
        struct rc_str name, value; /* value without surrounding white space */
    } headers[RC_HTTP_HEADERS_MAX];
};

/* Parses one request head that starts at data. *scanned remembers between calls on the same
 * head how far the search for its end has come (0 at first), so that bytes that trickle in
 * cost O(n) together. Leading empty lines are skipped (RFC 9112 section 2.2).
 * Returns the bytes consumed (> 0); RC_EAGAIN: more is needed; RC_EPROTO: *status holds the
 * answer (400, 414, 431, 501 or 505) and the connection must close after it. */
int rc_http_parse_head(struct rc_http_req *req, const char *data, size_t len, size_t *scanned,
                       const struct rc_http_limits *lim, int *status) RC_MUSTCHECK;

/* A request body as it arrives: Content-Length or chunked (trailers are skipped). */
struct rc_http_body {
    uint64_t left;    /* of the body, or of the current chunk */
    uint64_t total;   /* content bytes so far */
    uint64_t max;     /* more content than this: 413 */
    uint32_t state;   /* private */
    uint32_t scratch; /* private: bytes of the chunk line or trailers so far */
    bool chunked;
    bool done;
};

/* RC_OK, or RC_EPROTO with *status = 413 when the announced length is over max. */
int rc_http_body_init(struct rc_http_body *b, const struct rc_http_req *req, uint64_t max,
                      int *status) RC_MUSTCHECK;
/* Takes bytes from data. *out is the next piece of content inside data (may be empty).
 * Returns the bytes consumed (0 only when len is 0 or the body is done), or RC_EPROTO with
 * *status 400 (bad chunk) or 413. Call until b->done or the input is used up. */
int64_t rc_http_body_feed(struct rc_http_body *b, const char *data, size_t len,
                          struct rc_str *out, int *status) RC_MUSTCHECK;

/* "200" -> "OK" and so on; "Unknown" for what it does not know. */
const char *rc_http_reason(int status);

/* Appends status line, Content-Length (unless status is 1xx, 204 or 304), Content-Type when
 * given, Connection: close when !keep_alive (keep-alive for a 1.0 client that asked for it is
 * the caller's extra header), then `extra` (complete header lines, each ended by CRLF, may be
 * empty), the empty line and, unless head_only, the body. */
struct rc_http_resp {
    int status;
    bool keep_alive;
    bool head_only; /* answer to HEAD: the length is stated, the body left out */
    struct rc_str content_type;
    struct rc_str extra;
    struct rc_str body;
};
void rc_http_respond(struct rc_buf *out, const struct rc_http_resp *r);

/* Values of a query string or form ("a=1&b=2") as browsers read them: percent- and plus-decoded, a
 * bad escape stands for itself, and the last of several counts. */
struct rc_http_param {
    struct rc_str name;
    struct rc_str value; /* a slice of the query, or where it has escapes of buf */
    unsigned n;          /* how many there are; 0 also when there is no memory for it */
};
/* Sets value and n of all params, whose names differ. buf is reset first and stays unused without escapes. */
void rc_http_query_read(struct rc_str query, struct rc_http_param *param, unsigned nparams,
                        struct rc_buf *buf);
/* The same for one, decoded into out in any case. Returns how many there are. */
unsigned rc_http_query_get(struct rc_str query, const char *name, struct rc_buf *out);
/* One cookie of a Cookie header, not decoded; RC_STR_NONE when absent. */
struct rc_str rc_http_cookie_get(struct rc_str cookie, const char *name);
/* Percent-decodes a path into out; RC_EPROTO for a bad escape or a NUL. */
int rc_http_decode_path(struct rc_str path, struct rc_buf *out) RC_MUSTCHECK;
/* True when a comma-separated header value holds the token (ASCII case-insensitive). */
bool rc_http_has_token(struct rc_str value, const char *token);

#endif /* RC_NET_HTTP_H */

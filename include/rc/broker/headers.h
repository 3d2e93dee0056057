/*
 * headers.h - what the configuration wants of the headers of Socket.IO requests: the check of
 * Origin, CORS (as npm's cors does it) and the cookie of the handshake.
 *
 * Threads:   init, deinit: main, before the threads start and after they ended.  Others: any.
 * Ownership: struct rc_headers owns its texts and borrows the configuration.
 */
#ifndef RC_BROKER_HEADERS_H
#define RC_BROKER_HEADERS_H

#include "rc/base/buf.h"
#include "rc/base/conf.h"
#include "rc/net/http.h"

#include <stdbool.h>

struct rc_headers {
    const struct rc_conf *conf;
    bool cors;       /* cors_origin has something */
    bool any_origin; /* cors_origin is * */
    struct rc_buf cors_lines, preflight_lines;
    struct rc_buf cookie_head, cookie_tail; /* around the session id; empty without cookie */
};

void rc_headers_init(struct rc_headers *h, const struct rc_conf *conf);
void rc_headers_deinit(struct rc_headers *h);

/* Does an item of the list match? A * inside of an item stands for one or more letters, digits,
 * dots, hyphens and underscores. */
bool rc_origin_listed(const struct rc_conf_list *list, struct rc_str origin);
/* allow_origin. Who is no browser sends none, and could send any. */
bool rc_origin_allowed(const struct rc_headers *h, struct rc_str origin);

/* Is this request the browser's question whether it may send another? */
bool rc_cors_is_preflight(const struct rc_headers *h, const struct rc_http_req *req);
/* The header lines for the answer, whatever it is. */
void rc_cors_put(const struct rc_headers *h, const struct rc_http_req *req,
                 struct rc_buf *lines);
void rc_cookie_put(const struct rc_headers *h, struct rc_str sid, struct rc_buf *lines);

#endif /* RC_BROKER_HEADERS_H */

/* headers.c - Origin, CORS and the session cookie. What does not depend on the request is put
 * together once. */
#include "rc/broker/headers.h"

#include "rc/base/log.h"

/* ---- Origin ---- */

/* No name is as long; a pattern is not tried on what could take it long. */
enum { ORIGIN_MAX = 512 };

static bool is_wild(char c)
{
    return (uint8_t)((c | 0x20) - 'a') < 26 || (uint8_t)(c - '0') < 10 || c == '.' ||
           c == '-' || c == '_';
}

/* It is enough to go back to the last *: what a * cannot stand for has only one place. */
static bool matches(const char *pattern, struct rc_str origin)
{
    const char *after = NULL; /* the rest of the pattern behind the last * */
    size_t i = 0, end = 0;    /* where that which it stands for ends */

    while (*pattern != '\0' || i < origin.len) {
        if (*pattern == '*' && i < origin.len && is_wild(origin.p[i])) {
            after = ++pattern;
            end = ++i;
        } else if (*pattern != '\0' && *pattern != '*' && i < origin.len &&
                   *pattern == origin.p[i]) {
            pattern++;
            i++;
        } else if (after != NULL && end < origin.len && is_wild(origin.p[end])) {
            pattern = after;
            i = ++end;
        } else {
            return false;
        }
    }
    return true;
}

bool rc_origin_listed(const struct rc_conf_list *list, struct rc_str origin)
{
    for (unsigned i = 0; i < list->n; i++)
        if (strcmp(list->item[i], "*") == 0 ||
            (origin.len <= ORIGIN_MAX && matches(list->item[i], origin)))
            return true;
    return false;
}

bool rc_origin_allowed(const struct rc_headers *h, struct rc_str origin)
{
    const struct rc_conf_list *allowed = &h->conf->socketio_allow_origin;

    return allowed->n == 0 || origin.p == NULL || rc_origin_listed(allowed, origin);
}

/* ---- CORS ---- */

static void put_list(struct rc_buf *to, const char *name, const struct rc_conf_list *list)
{
    if (list->n == 0)
        return;
    rc_buf_putz(to, name);
    for (unsigned i = 0; i < list->n; i++)
        rc_buf_printf(to, "%s%s", i == 0 ? ": " : ",", list->item[i]);
    rc_buf_putz(to, "\r\n");
}

static void init_cors(struct rc_headers *h)
{
    const struct rc_conf *conf = h->conf;

    h->cors = conf->socketio_cors_origin.n != 0;
    h->any_origin = h->cors && strcmp(conf->socketio_cors_origin.item[0], "*") == 0;
    if (conf->socketio_cors_credentials)
        rc_buf_putz(&h->cors_lines, "Access-Control-Allow-Credentials: true\r\n");
    put_list(&h->cors_lines, "Access-Control-Expose-Headers",
             &conf->socketio_cors_exposed_headers);
    put_list(&h->preflight_lines, "Access-Control-Allow-Methods", &conf->socketio_cors_methods);
    put_list(&h->preflight_lines, "Access-Control-Allow-Headers",
             &conf->socketio_cors_allowed_headers);
    if (conf->socketio_cors_max_age != 0)
        rc_buf_printf(&h->preflight_lines, "Access-Control-Max-Age: %u\r\n",
                      conf->socketio_cors_max_age / 1000);
    rc_buf_putz(&h->preflight_lines, "Content-Length: 0\r\n");
    if (h->any_origin && conf->socketio_cors_credentials)
        rc_log(RC_LOG_WARN, "%s",
               "socketio.cors_credentials = yes is of no use with cors_origin = *: browsers "
               "want the origins named");
}

bool rc_cors_is_preflight(const struct rc_headers *h, const struct rc_http_req *req)
{
    return h->cors && req->method == RC_HTTP_OPTIONS;
}

void rc_cors_put(const struct rc_headers *h, const struct rc_http_req *req,
                 struct rc_buf *lines)
{
    bool preflight = rc_cors_is_preflight(h, req);
    bool echo = preflight && h->conf->socketio_cors_allowed_headers.n == 0;

    if (!h->cors)
        return;
    if (h->any_origin) {
        rc_buf_putz(lines, "Access-Control-Allow-Origin: *\r\n");
    } else if (req->origin.len != 0 &&
               rc_origin_listed(&h->conf->socketio_cors_origin, req->origin)) {
        rc_buf_putz(lines, "Access-Control-Allow-Origin: ");
        rc_buf_puts(lines, req->origin);
        rc_buf_putz(lines, "\r\n");
    }
    if (echo)
        rc_buf_putz(lines, h->any_origin ? "Vary: Access-Control-Request-Headers\r\n"
                                         : "Vary: Origin, Access-Control-Request-Headers\r\n");
    else if (!h->any_origin)
        rc_buf_putz(lines, "Vary: Origin\r\n");
    rc_buf_puts(lines, rc_buf_str(&h->cors_lines));
    if (echo && req->acrh.len != 0) {
        rc_buf_putz(lines, "Access-Control-Allow-Headers: ");
        rc_buf_puts(lines, req->acrh);
        rc_buf_putz(lines, "\r\n");
    }
    if (preflight)
        rc_buf_puts(lines, rc_buf_str(&h->preflight_lines));
}

/* ---- the cookie ---- */

static void init_cookie(struct rc_headers *h)
{
    static const char *const same_site[] = {
        [RC_SAMESITE_LAX] = "; SameSite=Lax",
        [RC_SAMESITE_STRICT] = "; SameSite=Strict",
        [RC_SAMESITE_NONE] = "; SameSite=None",
        [RC_SAMESITE_OFF] = "",
    };
    const struct rc_conf *conf = h->conf;
    struct rc_buf *tail = &h->cookie_tail;

    if (conf->socketio_cookie[0] == '\0')
        return;
    rc_buf_printf(&h->cookie_head, "Set-Cookie: %s=", conf->socketio_cookie);
    if (conf->socketio_cookie_path[0] != '\0')
        rc_buf_printf(tail, "; Path=%s", conf->socketio_cookie_path);
    rc_buf_putz(tail, conf->socketio_cookie_http_only ? "; HttpOnly" : "");
    rc_buf_putz(tail, conf->socketio_cookie_secure ? "; Secure" : "");
    rc_buf_putz(tail, same_site[conf->socketio_cookie_same_site]);
    rc_buf_putz(tail, "\r\n");
}

void rc_cookie_put(const struct rc_headers *h, struct rc_str sid, struct rc_buf *lines)
{
    if (h->cookie_head.len == 0)
        return;
    rc_buf_puts(lines, rc_buf_str(&h->cookie_head));
    rc_buf_puts(lines, sid);
    rc_buf_puts(lines, rc_buf_str(&h->cookie_tail));
}

/* ---- all of it ---- */

void rc_headers_init(struct rc_headers *h, const struct rc_conf *conf)
{
    *h = (struct rc_headers){.conf = conf};
    init_cors(h);
    init_cookie(h);
}

void rc_headers_deinit(struct rc_headers *h)
{
    rc_buf_deinit(&h->cors_lines);
    rc_buf_deinit(&h->preflight_lines);
    rc_buf_deinit(&h->cookie_head);
    rc_buf_deinit(&h->cookie_tail);
}

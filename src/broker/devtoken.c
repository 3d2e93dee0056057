/* devtoken.c - POST auth.dev_tokens_path: a token for whoever asks, in development.
 *
 * Pages of other sites cannot use it. Browsers ask before they let them send JSON, and the answer
 * to that never allows it; and they say whose page it is, which has to be ours. */
#include "rc/base/log.h"
#include "rc/broker/front_int.h"
#include "rc/broker/shard.h"

enum { BODY_MAX = 1024 };

#define HEADERS "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"

RC_ON_SHARD static void answer(struct rc_shard *sh, struct rc_conn *c, int status,
                               struct rc_str extra, struct rc_str body)
{
    struct rc_http_answer a = {.status = status,
                               .content_type = RC_STR("application/json"),
                               .extra = extra,
                               .body = body};

    rc_http_answer(sh, c, &a);
}

RC_ON_SHARD static void refuse(struct rc_shard *sh, struct rc_conn *c, int status,
                               const char *code, const char *text)
{
    struct rc_str extra = status == 405 ? RC_STR(HEADERS "Allow: POST\r\n") : RC_STR(HEADERS);
    char body[160];
    int n = snprintf(body, sizeof(body), "{\"ok\":false,\"error\":\"%s\",\"message\":\"%s\"}",
                     code, text);

    answer(sh, c, status, extra, rc_str_make(body, (size_t)n));
}

/* Who is no browser sends no Origin. The scheme may be another behind a proxy. */
static bool is_own_page(const struct rc_http_req *req)
{
    const char *host =
        req->origin.len != 0 ? memmem(req->origin.p, req->origin.len, "://", 3) : NULL;

    if (req->origin.p == NULL)
        return true;
    return host != NULL &&
           rc_str_ieq(rc_str_skip(req->origin, (size_t)(host + 3 - req->origin.p)), req->host);
}

static bool is_json(struct rc_str type)
{
    struct rc_str json = RC_STR("application/json");

    return type.len >= json.len && rc_str_ieq(rc_str_make(type.p, json.len), json) &&
           (type.len == json.len || strchr("; \t", type.p[json.len]) != NULL);
}

bool rc_devtoken_route(struct rc_shard *sh, struct rc_conn *c, const struct rc_http_req *req)
{
    const char *path = sh->app->conf->auth_dev_tokens_path;
    struct rc_http *h = c->user;

    if (path[0] == '\0' || !rc_str_eq(req->path, rc_str_of(path)))
        return false;
    if (req->method != RC_HTTP_POST) {
        refuse(sh, c, 405, "method", "only POST is for this path");
    } else if (!is_own_page(req)) {
        refuse(sh, c, 403, "origin", "only for pages of this server");
    } else if (!is_json(req->content_type)) {
        refuse(sh, c, 415, "content_type", "expected application/json");
    } else if (h->too_big || (!req->chunked && req->content_length > BODY_MAX)) {
        refuse(sh, c, 413, "too_big", "the body is too long");
    } else {
        h->dev_token = true;
        h->body.max = BODY_MAX;
        if (h->state == RC_HTTP_AT_WAIT) /* no body at all */
            rc_devtoken_body(sh, c);
    }
    return true;
}

void rc_devtoken_body(struct rc_shard *sh, struct rc_conn *c)
{
    const struct rc_http *h = c->user;
    struct rc_buf token = RC_BUF_INIT;

    switch (
        rc_auth_dev_token(sh->app->auth, rc_buf_str(&h->content), rc_clock_wall_ms(), &token)) {
    case RC_OK: answer(sh, c, 200, RC_STR(HEADERS), rc_buf_str(&token)); break;
    case RC_EPROTO: refuse(sh, c, 400, "bad_body", "expected {\\\"name\\\":TEXT}"); break;
    case RC_EINVAL:
        refuse(sh, c, 400, "bad_name",
               "expected a name of 1 to 64 characters, 128 bytes, without control characters");
        break;
    default: refuse(sh, c, 500, "failed", "the token cannot be signed"); break;
    }
    rc_buf_deinit(&token);
}

void rc_devtoken_check(const struct rc_app *app, struct rc_conf_errors *e)
{
    const struct rc_conf *conf = app->conf;
    struct rc_str path = rc_str_of(conf->auth_dev_tokens_path);
    const char *why = NULL;

    if (path.len == 0)
        return;
    if (rc_str_eq(path, rc_str_of(conf->server_health_path)) ||
        rc_app_nsp(app, path, true) != NULL)
        why = "expected a path that nothing else has";
    else if (app->auth == NULL && e->n == 0)
        why = "nobody looks at tokens: expected auth.mode = optional or required";
    if (why != NULL)
        rc_conf_fault(e, conf, "auth", "dev_tokens_path", "[auth] dev_tokens_path = %s: %s",
                      path.p, why);
    else
        rc_log(RC_LOG_WARN,
               "auth.dev_tokens_path = %s: anybody can be anybody; for development only",
               path.p);
}

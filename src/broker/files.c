/* files.c - the files of static_root and the client bundles, from memory. */
#include "rc/broker/front_int.h"
#include "rc/broker/shard.h"
#include "rc/net/compress.h"

static const struct rc_site_file *find_file(const struct rc_site *site, struct rc_str path)
{
    const struct rc_site_file *f = NULL;
    struct rc_buf decoded = RC_BUF_INIT;

    if (site != NULL && rc_http_decode_path(path, &decoded) == RC_OK)
        f = rc_site_find(site, rc_buf_str(&decoded));
    rc_buf_deinit(&decoded);
    return f;
}

/* Answers with the file's plain or compressed body, or that the client has it. */
RC_ON_SHARD static void send_file(struct rc_shard *sh, struct rc_conn *c,
                                  const struct rc_http_req *req, struct rc_site *site,
                                  const struct rc_site_file *f, const char *more)
{
    bool gzip = f->gzip.len != 0 && rc_coding_choose(req, false) == RC_CODING_GZIP;
    struct rc_str etag = gzip ? f->gzip_etag : f->etag;
    struct rc_http_answer a = {.status = 200,
                               .content_type = f->content_type,
                               .body = gzip ? f->gzip : f->body,
                               .site = site};
    struct rc_buf extra = RC_BUF_INIT;

    rc_buf_putz(&extra, "ETag: ");
    rc_buf_puts(&extra, etag);
    rc_buf_putz(&extra, "\r\nCache-Control: public, max-age=0\r\n");
    if (f->gzip.len != 0)
        rc_buf_putz(&extra, "Vary: Accept-Encoding\r\n");
    if (rc_site_not_modified(etag, req->if_none_match)) {
        a.status = 304;
        a.body = RC_STR_NONE;
        a.content_type = RC_STR_NONE;
    } else if (gzip) {
        rc_buf_putz(&extra, "Content-Encoding: gzip\r\n");
    }
    rc_buf_putz(&extra, more);
    a.extra = rc_buf_str(&extra);
    rc_http_answer(sh, c, &a);
    rc_buf_deinit(&extra);
}

RC_ON_SHARD static void redirect_to_folder(struct rc_shard *sh, struct rc_conn *c,
                                           const struct rc_http_req *req)
{
    struct rc_buf extra = RC_BUF_INIT;
    struct rc_http_answer a = {.status = 301};

    rc_buf_putz(&extra, "Location: ");
    rc_buf_puts(&extra, req->path);
    rc_buf_putz(&extra, "/\r\n");
    a.extra = rc_buf_str(&extra);
    rc_http_answer(sh, c, &a);
    rc_buf_deinit(&extra);
}

void rc_files_not_allowed(struct rc_shard *sh, struct rc_conn *c, const struct rc_http_req *req)
{
    struct rc_http *h = c->user;
    struct rc_http_answer a = {.status = req->method == RC_HTTP_OPTIONS ? 204 : 405,
                               .extra = RC_STR("Allow: GET, HEAD, OPTIONS\r\n")};

    a.close = h->state == RC_HTTP_AT_BODY;
    if (a.status == 405) {
        a.content_type = RC_STR("text/plain; charset=utf-8");
        a.body = RC_STR("405 Method Not Allowed\n");
    }
    rc_http_answer(sh, c, &a);
}

static bool takes(const struct rc_http_req *req)
{
    return req->method == RC_HTTP_GET || req->method == RC_HTTP_HEAD;
}

bool rc_files_site(struct rc_shard *sh, struct rc_conn *c, const struct rc_http_req *req)
{
    const struct rc_site_file *f = find_file(sh->app->site, req->path);

    if (f == NULL)
        return false;
    if (!takes(req))
        rc_files_not_allowed(sh, c, req);
    else if (f->redirect)
        redirect_to_folder(sh, c, req);
    else
        send_file(sh, c, req, sh->app->site, f, "X-Content-Type-Options: nosniff\r\n");
    return true;
}

bool rc_files_bundle(struct rc_shard *sh, struct rc_conn *c, const struct rc_http_req *req)
{
    const struct rc_app *app = sh->app;
    struct rc_str path = rc_str_skip(req->path, strlen(app->conf->socketio_path));
    const struct rc_site_file *f;
    struct rc_site_file as;

    if (!app->conf->socketio_serve_client || !rc_str_starts(path, RC_STR("/socket.io.")) ||
        !takes(req))
        return false;
    f = find_file(app->client, path);
    if (f == NULL)
        return false;
    as = *f;
    /* What the reference calls them: one tag, the version, whatever the coding. */
    as.etag = as.gzip_etag = rc_str_of(app->client_etag);
    as.content_type = rc_str_eq(f->content_type, RC_STR("application/json"))
                          ? RC_STR("application/json; charset=utf-8")
                          : RC_STR("application/javascript; charset=utf-8");
    send_file(sh, c, req, app->client, &as, "");
    return true;
}

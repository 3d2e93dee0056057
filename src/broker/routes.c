/* routes.c - what a request is: Engine.IO, a client bundle, an endpoint, a file, or an error. */
#include "rc/base/b64.h"
#include "rc/base/mem.h"
#include "rc/broker/engine.h"
#include "rc/broker/front_int.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"

#include <stdlib.h>

/* ---- WebSocket handshakes ---- */

/* permessage-deflate, if it is enabled and offered. */
static void negotiate(const struct rc_shard *sh, const struct rc_http_req *req, bool enabled,
                      struct rc_deflate_params *deflate)
{
    *deflate = (struct rc_deflate_params){.on = false};
    if (enabled)
        rc_deflate_negotiate(req, &sh->app->deflate, deflate);
}

/* Queues the 101 in the connection's queue and frees what HTTP needed; the queue is handed over
 * in *out for the protocol that follows. */
RC_ON_SHARD static void switch_protocols(struct rc_conn *c, const struct rc_http_req *req,
                                         const char accept[29],
                                         const struct rc_deflate_params *deflate,
                                         struct rc_outq *out)
{
    struct rc_http *h = c->user;
    struct rc_buf b = RC_BUF_INIT;
    const char *comma =
        memchr(req->ws_protocol.p != NULL ? req->ws_protocol.p : "", ',', req->ws_protocol.len);
    /* A browser that offers subprotocols fails unless one is chosen: the first, as ws does. */
    struct rc_str protocol =
        rc_str_make(req->ws_protocol.p, comma != NULL ? (size_t)(comma - req->ws_protocol.p)
                                                      : req->ws_protocol.len);

    rc_buf_putz(&b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Accept: ");
    rc_buf_putz(&b, accept);
    if (protocol.len != 0) {
        rc_buf_putz(&b, "\r\nSec-WebSocket-Protocol: ");
        rc_buf_puts(&b, protocol);
    }
    if (deflate->on) {
        rc_buf_putz(&b, "\r\nSec-WebSocket-Extensions: ");
        rc_deflate_answer(deflate, &b);
    }
    rc_buf_putz(&b, "\r\n\r\n");
    rc_outq_push(&h->out, rc_seg_new(b.data, b.len));
    rc_buf_deinit(&b);
    *out = h->out;
    h->out = (struct rc_outq){0};
    c->out = out;
    c->user = NULL;
    rc_timer_stop(&c->timer);
    rc_http_free(h);
}

/* False: it was answered with what is wrong. */
RC_ON_SHARD static bool handshake_ok(struct rc_shard *sh, struct rc_conn *c,
                                     const struct rc_http_req *req, char accept[29])
{
    struct rc_http_answer old = {.status = 426,
                                 .extra = RC_STR("Sec-WebSocket-Version: 13\r\n"),
                                 .content_type = RC_STR("text/plain; charset=utf-8"),
                                 .body = RC_STR("WebSocket version 13 is spoken here\n"),
                                 .close = true};

    if (req->method != RC_HTTP_GET || req->minor == 0) {
        rc_http_page(sh, c, 400, "a WebSocket handshake is a GET of HTTP/1.1", true);
        return false;
    }
    if (!rc_session_possible(sh)) {
        rc_http_page(sh, c, 503, "the server is full", true);
        return false;
    }
    if (!rc_str_eq(req->ws_version, RC_STR("13"))) {
        rc_http_answer(sh, c, &old);
        return false;
    }
    if (rc_ws_accept(req->ws_key, accept) != RC_OK) {
        rc_http_page(sh, c, 400, "Sec-WebSocket-Key must be base64 of 16 bytes", true);
        return false;
    }
    return true;
}

/* ---- Engine.IO ---- */

/* A value of the query; "" when it is absent. */
static struct rc_str query(const struct rc_http_req *req, const char *name, struct rc_buf *buf)
{
    (void)rc_http_query_get(req->query, name, buf);
    return rc_buf_str(buf);
}

/* What to say to an Upgrade request that is refused: the socket is not HTTP's any more. */
RC_ON_SHARD static void refuse_upgrade(struct rc_shard *sh, struct rc_conn *c,
                                       enum rc_eio_error error)
{
    struct rc_http_answer a = {.status = 400,
                               .content_type = RC_STR("text/html"),
                               .body = rc_str_of(rc_eio_error_text(error)),
                               .close = true};

    rc_http_answer(sh, c, &a);
}

RC_ON_SHARD static void refuse(struct rc_shard *sh, struct rc_conn *c, bool upgrade,
                               enum rc_eio_error error)
{
    struct rc_http *h = c->user;

    if (upgrade) {
        refuse_upgrade(sh, c, error);
        return;
    }
    h->asked = true;
    rc_front_reply(sh, rc_http_request_id(sh, c), RC_REPLY_ERROR, (unsigned)error, NULL);
}

RC_ON_SHARD static void ask_session(struct rc_shard *sh, const char *sid, unsigned shard,
                                    struct rc_msg *msg)
{
    uint8_t raw[RC_SID_LEN];

    RC_ASSERT(rc_b64_decode(RC_B64_URL, rc_str_of(sid), raw) > 0); /* it named a shard */
    memcpy(msg->u.eio.sid, raw, RC_SID_BYTES);
    rc_shard_post(sh, shard, msg);
}

/* A request for a session that may live on another shard. */
RC_ON_SHARD static void forward(struct rc_shard *sh, struct rc_conn *c, enum rc_msg_type type,
                                unsigned flags, struct rc_pub *body)
{
    struct rc_http *h = c->user;
    struct rc_str sid = rc_str_make(h->sid, RC_SID_LEN);
    rc_id conn = rc_http_request_id(sh, c);
    int shard = rc_engine_sid_shard(sh, sid);
    struct rc_msg msg = {.type = (uint8_t)type};

    if (shard == (int)sh->index) {
        msg.u.eio.body = body;
        rc_route_eio(sh, sid, conn, type, flags, body);
        return;
    }
    msg.u.eio.conn = conn;
    msg.u.eio.body = body;
    msg.u.eio.flags = (uint8_t)flags;
    ask_session(sh, h->sid, (unsigned)shard, &msg);
}

void rc_route_eio(struct rc_shard *sh, struct rc_str sid, rc_id conn, enum rc_msg_type type,
                  unsigned flags, struct rc_pub *body)
{
    if (type == RC_MSG_EIO_GET)
        rc_engine_get(sh, sid, conn);
    else if (type == RC_MSG_EIO_POST)
        rc_engine_post(sh, sid, conn, flags != 0);
    else if (type == RC_MSG_EIO_BODY)
        rc_engine_body(sh, sid, conn, body);
    else
        rc_engine_abort(sh, sid, conn, flags != 0);
}

/* The whole connection goes to the session's shard, with what was read of it. */
RC_ON_SHARD static void move(struct rc_shard *sh, struct rc_conn *c, unsigned shard,
                             struct rc_str head)
{
    struct rc_msg msg = {.type = RC_MSG_CONN};

    if (!rc_outq_empty(c->out)) { /* answers to what was pipelined before are still here */
        rc_http_page(sh, c, 400, "read the answers before asking for an upgrade", true);
        return;
    }
    msg.u.conn.peer = c->peer;
    msg.u.conn.bytes = rc_pub_new(0, RC_STR_NONE, 0, head.p, head.len);
    msg.u.conn.fd = rc_conn_release(c, RC_CLOSE_MOVED);
    rc_shard_post(sh, shard, &msg);
}

RC_ON_SHARD static void upgrade_session(struct rc_shard *sh, struct rc_conn *c,
                                        const struct rc_http_req *req, struct rc_str sid,
                                        struct rc_str head)
{
    int shard = rc_engine_sid_shard(sh, sid), error;
    struct rc_deflate_params deflate;
    struct rc_outq out = {0};
    char accept[29];

    if (shard >= 0 && shard != (int)sh->index) {
        move(sh, c, (unsigned)shard, head);
        return;
    }
    error = shard < 0 ? (int)RC_EIO_UNKNOWN_SID : rc_engine_may_upgrade(sh, sid);
    if (error >= 0) {
        refuse_upgrade(sh, c, (enum rc_eio_error)error);
        return;
    }
    if (!handshake_ok(sh, c, req, accept))
        return;
    negotiate(sh, req, sh->app->conf->socketio_per_message_deflate, &deflate);
    switch_protocols(c, req, accept, &deflate, &out);
    rc_engine_probe(sh, rc_engine_find(sh, sid), c, &deflate);
}

RC_ON_SHARD static void request_session(struct rc_shard *sh, struct rc_conn *c,
                                        const struct rc_http_req *req, struct rc_str sid,
                                        bool mismatch)
{
    struct rc_http *h = c->user;

    if (rc_engine_sid_shard(sh, sid) < 0) {
        refuse(sh, c, false, RC_EIO_UNKNOWN_SID);
        return;
    }
    if (mismatch) {
        refuse(sh, c, false, RC_EIO_BAD_REQUEST);
        return;
    }
    memcpy(h->sid, sid.p, RC_SID_LEN);
    h->asked = true;
    if (req->method == RC_HTTP_GET) {
        h->state = RC_HTTP_AT_WAIT;
        forward(sh, c, RC_MSG_EIO_GET, 0, NULL);
    } else if (req->method == RC_HTTP_POST) {
        bool octets = rc_str_eq(req->content_type, RC_STR("application/octet-stream"));

        forward(sh, c, RC_MSG_EIO_POST, octets, NULL);
        if (h == c->user && h->state == RC_HTTP_AT_WAIT && h->sid[0] != '\0')
            rc_route_body(sh, c); /* no body at all */
    } else {
        struct rc_http_answer a = {.status = 500};

        h->sid[0] = '\0'; /* the session is not concerned */
        rc_http_answer(sh, c, &a);
    }
}

RC_ON_SHARD static void open_session(struct rc_shard *sh, struct rc_conn *c,
                                     const struct rc_http_req *req, bool websocket, bool v4)
{
    struct rc_http *h = c->user;
    struct rc_outq out = {0};
    struct rc_buf b64 = RC_BUF_INIT;
    struct rc_deflate_params deflate;
    char accept[29];

    if (req->method != RC_HTTP_GET) {
        refuse(sh, c, req->upgrade_websocket, RC_EIO_BAD_HANDSHAKE_METHOD);
    } else if (websocket != req->upgrade_websocket) {
        refuse(sh, c, req->upgrade_websocket, RC_EIO_BAD_REQUEST);
    } else if (!v4) {
        refuse(sh, c, req->upgrade_websocket, RC_EIO_UNSUPPORTED_VERSION);
    } else if (!websocket) {
        h->asked = true;
        h->state = RC_HTTP_AT_WAIT;
        rc_engine_open_polling(sh, rc_http_request_id(sh, c));
    } else if (handshake_ok(sh, c, req, accept)) {
        negotiate(sh, req, sh->app->conf->socketio_per_message_deflate, &deflate);
        switch_protocols(c, req, accept, &deflate, &out);
        (void)query(req, "b64", &b64);
        rc_engine_open_websocket(sh, c, b64.len != 0, &deflate);
        rc_buf_deinit(&b64);
    }
}

static bool origin_allowed(const struct rc_conf *conf, struct rc_str origin)
{
    for (unsigned i = 0; i < conf->socketio_cors_origin.n; i++)
        if (rc_str_eq(rc_str_of(conf->socketio_cors_origin.item[i]), origin))
            return true;
    return false;
}

/* The header lines of CORS for every answer to this request (npm cors semantics). */
static void put_cors(const struct rc_app *app, const struct rc_http_req *req,
                     struct rc_buf *extra)
{
    const struct rc_conf *conf = app->conf;

    if (conf->socketio_cors_origin.n == 0)
        return;
    if (app->cors_any) {
        rc_buf_putz(extra, "Access-Control-Allow-Origin: *\r\n");
    } else {
        if (req->origin.len != 0 && origin_allowed(conf, req->origin)) {
            rc_buf_putz(extra, "Access-Control-Allow-Origin: ");
            rc_buf_puts(extra, req->origin);
            rc_buf_putz(extra, "\r\n");
        }
        rc_buf_putz(extra, "Vary: Origin\r\n");
    }
    if (conf->socketio_cors_credentials)
        rc_buf_putz(extra, "Access-Control-Allow-Credentials: true\r\n");
}

RC_ON_SHARD static void preflight(struct rc_shard *sh, struct rc_conn *c,
                                  const struct rc_http_req *req)
{
    struct rc_buf extra = RC_BUF_INIT;
    struct rc_http_answer a = {.status = 204};

    rc_buf_putz(&extra, "Access-Control-Allow-Methods: GET,HEAD,PUT,PATCH,POST,DELETE\r\n"
                        "Vary: Access-Control-Request-Headers\r\n");
    if (req->acrh.len != 0) {
        rc_buf_putz(&extra, "Access-Control-Allow-Headers: ");
        rc_buf_puts(&extra, req->acrh);
        rc_buf_putz(&extra, "\r\n");
    }
    rc_buf_putz(&extra, "Content-Length: 0\r\n");
    a.extra = rc_buf_str(&extra);
    rc_http_answer(sh, c, &a);
    rc_buf_deinit(&extra);
}

RC_ON_SHARD static void engine_io(struct rc_shard *sh, struct rc_conn *c,
                                  const struct rc_http_req *req, struct rc_str head)
{
    struct rc_http *h = c->user;
    struct rc_buf transport = RC_BUF_INIT, sid = RC_BUF_INIT, version = RC_BUF_INIT;
    struct rc_str name = query(req, "transport", &transport);
    bool websocket = rc_str_eq(name, RC_STR("websocket"));
    bool polling = rc_str_eq(name, RC_STR("polling")), v4;

    put_cors(sh->app, req, &h->extra);
    (void)query(req, "sid", &sid);
    v4 = rc_str_eq(query(req, "EIO", &version), RC_STR("4"));
    if (req->method == RC_HTTP_OPTIONS && sh->app->conf->socketio_cors_origin.n != 0)
        preflight(sh, c, req);
    else if (!(websocket && sh->app->websocket) && !(polling && sh->app->polling))
        refuse(sh, c, req->upgrade_websocket, RC_EIO_UNKNOWN_TRANSPORT);
    else if (sid.len == 0)
        open_session(sh, c, req, websocket, v4);
    else if (!req->upgrade_websocket)
        request_session(sh, c, req, rc_buf_str(&sid), websocket || !v4);
    else if (!websocket || !v4)
        refuse(sh, c, true, RC_EIO_BAD_REQUEST);
    else
        upgrade_session(sh, c, req, rc_buf_str(&sid), head);
    rc_buf_deinit(&transport);
    rc_buf_deinit(&sid);
    rc_buf_deinit(&version);
}

void rc_route_body(struct rc_shard *sh, struct rc_conn *c)
{
    struct rc_http *h = c->user;

    if (h->sid[0] != '\0')
        forward(sh, c, RC_MSG_EIO_BODY, 0,
                rc_pub_new(0, RC_STR_NONE, 0, h->content.data, h->content.len));
    else /* the answer was kept back until the body had passed */
        rc_http_page(sh, c, 405, "nothing here takes a body", false);
}

void rc_route_cancel(struct rc_shard *sh, struct rc_conn *c, bool gone)
{
    struct rc_http *h = c->user;

    if (h->sid[0] != '\0')
        forward(sh, c, RC_MSG_EIO_ABORT, gone, NULL);
    h->sid[0] = '\0';
}

/* ---- files ---- */

RC_ON_SHARD static void send_file(struct rc_shard *sh, struct rc_conn *c,
                                  const struct rc_http_req *req, const struct rc_site_file *f,
                                  struct rc_str etag)
{
    struct rc_buf extra = RC_BUF_INIT;
    struct rc_site_file as = *f;
    struct rc_http_answer a = {
        .status = 200, .content_type = f->content_type, .body = f->body, .stays = true};

    as.etag = etag;
    rc_buf_putz(&extra, "ETag: ");
    rc_buf_puts(&extra, etag);
    rc_buf_putz(&extra, "\r\nCache-Control: public, max-age=0\r\n"
                        "X-Content-Type-Options: nosniff\r\n");
    if (rc_site_not_modified(&as, req->if_none_match)) {
        a.status = 304;
        a.body = RC_STR_NONE;
        a.content_type = RC_STR_NONE;
    }
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

/* A method that files do not take. */
RC_ON_SHARD static void not_allowed(struct rc_shard *sh, struct rc_conn *c,
                                    const struct rc_http_req *req)
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

static const struct rc_site_file *find_file(const struct rc_site *site, struct rc_str path)
{
    const struct rc_site_file *f = NULL;
    struct rc_buf decoded = RC_BUF_INIT;

    if (site != NULL && rc_http_decode_path(path, &decoded) == RC_OK)
        f = rc_site_find(site, rc_buf_str(&decoded));
    rc_buf_deinit(&decoded);
    return f;
}

RC_ON_SHARD static void serve(struct rc_shard *sh, struct rc_conn *c,
                              const struct rc_http_req *req, const struct rc_site_file *f)
{
    if (req->method != RC_HTTP_GET && req->method != RC_HTTP_HEAD)
        not_allowed(sh, c, req);
    else if (f == NULL)
        rc_http_page(sh, c, 404, "", false);
    else if (f->redirect)
        redirect_to_folder(sh, c, req);
    else
        send_file(sh, c, req, f, f->etag);
}

/* The bundle that the path below the Engine.IO path names, or NULL. */
static const struct rc_site_file *find_bundle(const struct rc_app *app, struct rc_str rest)
{
    if (!app->conf->socketio_serve_client || !rc_str_starts(rest, RC_STR("/socket.io.")))
        return NULL;
    return find_file(app->client, rest);
}

/* ---- endpoints ---- */

RC_ON_SHARD static void endpoint(struct rc_shard *sh, struct rc_conn *c,
                                 const struct rc_http_req *req, const struct rc_nsp *nsp)
{
    struct rc_http_answer a = {.status = 426,
                               .extra = RC_STR("Upgrade: websocket\r\nConnection: Upgrade\r\n"),
                               .content_type = RC_STR("text/plain; charset=utf-8"),
                               .body = RC_STR("426 Upgrade Required: this is a WebSocket "
                                              "endpoint\n")};
    const struct rc_site_file *f;
    struct rc_deflate_params deflate;
    struct rc_outq out = {0};
    char accept[29];

    if (req->upgrade_websocket) {
        if (handshake_ok(sh, c, req, accept)) {
            negotiate(sh, req, nsp->deflate, &deflate);
            switch_protocols(c, req, accept, &deflate, &out);
            rc_endpoint_open(sh, nsp, c, &deflate);
        }
        return;
    }
    f = find_file(sh->app->site, req->path);
    if (f != NULL)
        serve(sh, c, req, f);
    else if (req->method != RC_HTTP_GET && req->method != RC_HTTP_HEAD)
        not_allowed(sh, c, req);
    else
        rc_http_answer(sh, c, &a);
}

/* ---- the choice ---- */

void rc_route(struct rc_shard *sh, struct rc_conn *c, const struct rc_http_req *req,
              struct rc_str head)
{
    const struct rc_conf *conf = sh->app->conf;
    struct rc_str eio = rc_str_of(conf->socketio_path), rest = rc_str_skip(req->path, eio.len);
    const struct rc_nsp *nsp = rc_app_nsp(sh->app, req->path, true);
    const struct rc_site_file *f;

    if (eio.len != 0 && rc_str_starts(req->path, eio) && rest.len != 0 && rest.p[0] == '/') {
        f = find_bundle(sh->app, rest);
        if (f != NULL && (req->method == RC_HTTP_GET || req->method == RC_HTTP_HEAD))
            send_file(sh, c, req, f, rc_str_of(sh->app->client_etag));
        else
            engine_io(sh, c, req, head);
    } else if (nsp != NULL) {
        endpoint(sh, c, req, nsp);
    } else if (req->upgrade_websocket) {
        rc_http_page(sh, c, 404, "no WebSocket endpoint has this path", true);
    } else if (conf->server_health_path[0] != '\0' &&
               rc_str_eq(req->path, rc_str_of(conf->server_health_path))) {
        struct rc_http_answer ok = {.status = 200,
                                    .content_type = RC_STR("text/plain; charset=utf-8"),
                                    .extra = RC_STR("Cache-Control: no-store\r\n"),
                                    .body = RC_STR("ok\n")};

        rc_http_answer(sh, c, &ok);
    } else {
        serve(sh, c, req, find_file(sh->app->site, req->path));
    }
}

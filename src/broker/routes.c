/* routes.c - what a request is: Engine.IO, an endpoint, a file, or an error. */
#include "rc/base/b64.h"
#include "rc/broker/admin_ui.h"
#include "rc/broker/engine.h"
#include "rc/broker/front_int.h"
#include "rc/broker/identity.h"
#include "rc/broker/json_client.h"
#include "rc/broker/peers.h"
#include "rc/broker/pipe.h"
#include "rc/broker/shard.h"
#include "rc/net/compress.h"
#include "rc/net/tls.h"

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
RC_ON_SHARD static void switch_protocols(struct rc_shard *sh, struct rc_conn *c,
                                         const struct rc_http_req *req,
                                         const char accept[RC_WS_ACCEPT_LEN + 1],
                                         const struct rc_deflate_params *deflate,
                                         struct rc_outq *out)
{
    struct rc_http *h = c->user;
    struct rc_buf *b = &sh->scratch;
    const char *comma =
        memchr(req->ws_protocol.p != NULL ? req->ws_protocol.p : "", ',', req->ws_protocol.len);
    /* A browser that offers subprotocols fails unless one is chosen: the first, as ws does. */
    struct rc_str protocol =
        rc_str_make(req->ws_protocol.p, comma != NULL ? (size_t)(comma - req->ws_protocol.p)
                                                      : req->ws_protocol.len);

    rc_buf_reset(b);
    rc_buf_puts(b, RC_STR("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Accept: "));
    rc_buf_put(b, accept, RC_WS_ACCEPT_LEN);
    if (protocol.p != NULL && protocol.len != 0) {
        rc_buf_puts(b, RC_STR("\r\nSec-WebSocket-Protocol: "));
        rc_buf_puts(b, protocol);
    }
    if (deflate->on) {
        rc_buf_puts(b, RC_STR("\r\nSec-WebSocket-Extensions: "));
        rc_deflate_answer(deflate, b);
    }
    rc_buf_puts(b, RC_STR("\r\n"));
    rc_buf_puts(b, rc_buf_str(&h->extra));
    rc_buf_puts(b, RC_STR("\r\n"));
    rc_outq_push(&h->out, rc_seg_new(b->data, b->len));
    *out = h->out;
    h->out = (struct rc_outq){0};
    c->out = out;
    c->user = NULL;
    rc_timer_stop(&c->timer);
    rc_http_free(h);
}

/* False: it was answered with what is wrong. */
RC_ON_SHARD static bool handshake_ok(struct rc_shard *sh, struct rc_conn *c,
                                     const struct rc_http_req *req,
                                     char accept[RC_WS_ACCEPT_LEN + 1])
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

/* What the query of a request may say. b64: is binary data to be text? Any value says so. j:
 * the callback of JSONP. */
enum { Q_TRANSPORT, Q_SID, Q_EIO, Q_B64, Q_J, Q_COUNT };

/* Without the transport an Upgrade header means nothing, as in the reference. */
static bool is_upgrade(const struct rc_shard *sh, const struct rc_http_req *req)
{
    return req->upgrade_websocket && sh->app->websocket;
}

/* What to say to an Upgrade request that is refused: the socket is not HTTP's any more. */
RC_ON_SHARD static void refuse_upgrade(struct rc_shard *sh, struct rc_conn *c,
                                       enum rc_eio_error error)
{
    struct rc_http_answer a = {.status = 400,
                               .content_type = RC_STR("text/html"),
                               .body = rc_str_of(rc_eio_error_text(error)),
                               .close = true};
    struct rc_http *h = c->user;

    rc_buf_reset(&h->extra); /* CORS is for HTTP */
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

void rc_route_unknown(struct rc_shard *sh, struct rc_conn *c, bool upgrade)
{
    refuse(sh, c, upgrade, RC_EIO_UNKNOWN_SID);
}

/* The session lives on another node. What that has passed on to us is not passed back. */
RC_ON_SHARD static void request_peer(struct rc_shard *sh, struct rc_conn *c,
                                     const struct rc_peer *peer, bool upgrade,
                                     struct rc_str head)
{
    const struct rc_http *h = c->user;

    if (h->piped)
        rc_route_unknown(sh, c, upgrade);
    else
        rc_pipe_open(sh, c, peer, upgrade, rc_str_make(head.p, h->head_len));
}

RC_ON_SHARD static void ask_session(struct rc_shard *sh, const char *sid, unsigned shard,
                                    struct rc_msg *msg)
{
    uint8_t raw[RC_SID_LEN];

    RC_ASSERT(rc_b64_decode(RC_B64_URL, rc_str_of(sid), raw) > 0); /* it named a shard */
    memcpy(msg->u.eio.sid, raw, RC_SID_BYTES);
    rc_shard_post(sh, shard, msg);
}

enum { MISFIT = 0x80 }; /* among the flags of a request */

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
    if ((flags & MISFIT) != 0)
        rc_engine_misfit(sh, sid, conn);
    else if (type == RC_MSG_EIO_GET)
        rc_engine_get(sh, sid, conn);
    else if (type == RC_MSG_EIO_POST)
        rc_engine_post(sh, sid, conn, flags);
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
    struct rc_tls *tls;

    rc_conn_flush_all(c);
    if (!rc_outq_empty(c->out)) { /* answers to what was pipelined before are still here */
        rc_http_page(sh, c, 400, "read the answers before asking for an upgrade", true);
        return;
    }
    msg.u.conn.peer = ((struct rc_http *)c->user)->from;
    msg.u.conn.listener = c->listener;
    msg.u.conn.ticket = c->ticket; /* stays counted */
    msg.u.conn.admitted = true;
    c->ticket = 0;
    tls = rc_conn_take_tls(c);
    if (tls != NULL) {
        rc_tls_keep(tls, head.p, head.len);
        msg.u.conn.tls = tls;
        msg.u.conn.secure = true;
    } else {
        msg.u.conn.bytes = rc_pub_new(0, RC_STR_NONE, 0, head.p, head.len);
    }
    msg.u.conn.fd = rc_conn_release(c, RC_CLOSE_MOVED);
    rc_shard_post(sh, shard, &msg);
}

RC_ON_SHARD static void upgrade_session(struct rc_shard *sh, struct rc_conn *c,
                                        const struct rc_http_req *req,
                                        const struct rc_http_param q[Q_COUNT], bool misfit,
                                        struct rc_str head)
{
    struct rc_str sid = q[Q_SID].value;
    int shard = rc_engine_sid_shard(sh, sid), error;
    struct rc_deflate_params deflate;
    struct rc_handshake hs = {.b64 = q[Q_B64].value.len != 0, .deflate = &deflate};
    struct rc_outq out = {0};
    char accept[RC_WS_ACCEPT_LEN + 1];

    if (shard >= 0 && shard != (int)sh->index) {
        move(sh, c, (unsigned)shard, head);
        return;
    }
    error = shard < 0 ? (int)RC_EIO_UNKNOWN_SID : rc_engine_may_upgrade(sh, sid);
    if (error < 0 && misfit)
        error = RC_EIO_BAD_REQUEST;
    if (error >= 0) {
        refuse_upgrade(sh, c, (enum rc_eio_error)error);
        return;
    }
    if (!handshake_ok(sh, c, req, accept))
        return;
    negotiate(sh, req, sh->app->conf->socketio_per_message_deflate, &deflate);
    switch_protocols(sh, c, req, accept, &deflate, &out);
    rc_engine_probe(sh, rc_engine_find(sh, sid), c, &hs);
}

RC_ON_SHARD static void request_session(struct rc_shard *sh, struct rc_conn *c,
                                        const struct rc_http_req *req, struct rc_str sid,
                                        bool misfit)
{
    struct rc_http *h = c->user;

    if (rc_engine_sid_shard(sh, sid) < 0) {
        refuse(sh, c, false, RC_EIO_UNKNOWN_SID);
        return;
    }
    memcpy(h->sid, sid.p, RC_SID_LEN);
    h->asked = true;
    if (misfit) {
        forward(sh, c, RC_MSG_EIO_GET, MISFIT, NULL);
    } else if (req->method == RC_HTTP_GET) {
        h->state = RC_HTTP_AT_WAIT;
        forward(sh, c, RC_MSG_EIO_GET, 0, NULL);
    } else if (req->method == RC_HTTP_POST) {
        unsigned flags = h->too_big ? RC_POST_TOO_BIG : 0;

        if (rc_str_eq(req->content_type, RC_STR("application/octet-stream")))
            flags |= RC_POST_BINARY;
        forward(sh, c, RC_MSG_EIO_POST, flags, NULL);
        if (h == c->user && h->state == RC_HTTP_AT_WAIT && h->sid[0] != '\0' && !h->too_big)
            rc_route_body(sh, c); /* no body at all */
    } else {
        struct rc_http_answer a = {.status = 500};

        h->sid[0] = '\0'; /* the session is not concerned */
        rc_http_answer(sh, c, &a);
    }
}

RC_ON_SHARD static void open_polling(struct rc_shard *sh, struct rc_conn *c,
                                     const struct rc_http_param *callback,
                                     struct rc_handshake hs)
{
    struct rc_http *h = c->user;

    hs.jsonp = callback->n != 0 ? &callback->value : NULL;
    h->asked = true;
    h->state = RC_HTTP_AT_WAIT;
    rc_engine_open_polling(sh, rc_http_request_id(sh, c), &hs);
}

/* Sets *token if the request has a good one; a namespace may still ask for another. */
RC_ON_SHARD static enum rc_token_fault identify(struct rc_shard *sh, const struct rc_conn *c,
                                                const struct rc_http_req *req,
                                                struct rc_token **token)
{
    enum rc_token_fault fault = RC_TOKEN_NONE;
    struct rc_buf buf = RC_BUF_INIT;
    struct rc_str text = RC_STR_NONE;

    if (sh->app->auth_socketio)
        text = rc_identity_find(sh, req, &buf);
    if (text.len != 0)
        fault = rc_identity_verify(sh, &c->peer, text, token);
    rc_buf_deinit(&buf);
    return fault;
}

/* 429: too many tokens of this address were bad; this one was not even looked at. */
RC_ON_SHARD static void refuse_token(struct rc_shard *sh, struct rc_conn *c, bool upgrade,
                                     enum rc_token_fault fault)
{
    struct rc_http_answer a = {.status = 429,
                               .extra = RC_STR("Retry-After: 5\r\n"),
                               .content_type = RC_STR("text/plain; charset=utf-8"),
                               .body = rc_str_of(rc_token_fault_text(fault)),
                               .close = true};

    if (fault == RC_TOKEN_RATE)
        rc_http_answer(sh, c, &a);
    else
        refuse(sh, c, upgrade, RC_EIO_FORBIDDEN);
}

/* What speaks against a handshake: an RC_EIO_ error, or -1. */
static int handshake_error(const struct rc_shard *sh, const struct rc_http_req *req,
                           bool websocket, bool v4)
{
    if (req->method != RC_HTTP_GET)
        return RC_EIO_BAD_HANDSHAKE_METHOD;
    if (websocket != is_upgrade(sh, req))
        return RC_EIO_BAD_REQUEST;
    if (!rc_origin_allowed(&sh->app->headers, req->origin))
        return RC_EIO_FORBIDDEN;
    return v4 || sh->app->conf->socketio_allow_eio3 ? -1 : (int)RC_EIO_UNSUPPORTED_VERSION;
}

RC_ON_SHARD static void open_session(struct rc_shard *sh, struct rc_conn *c,
                                     const struct rc_http_req *req,
                                     const struct rc_http_param q[Q_COUNT], bool websocket,
                                     bool v4)
{
    bool upgrade = is_upgrade(sh, req);
    struct rc_outq out = {0};
    struct rc_deflate_params deflate;
    struct rc_handshake hs = {
        .eio3 = !v4, .peer = &c->peer, .b64 = q[Q_B64].value.len != 0, .deflate = &deflate};
    int error = handshake_error(sh, req, websocket, v4);
    enum rc_token_fault fault;
    char accept[RC_WS_ACCEPT_LEN + 1];

    if (error < 0 && sh->ui != NULL)
        rc_ui_request(sh, c, req);
    if (error >= 0) {
        refuse(sh, c, upgrade, (enum rc_eio_error)error);
    } else if (websocket && !handshake_ok(sh, c, req, accept)) {
        return;
    } else if ((fault = identify(sh, c, req, &hs.token)) != RC_TOKEN_NONE) {
        refuse_token(sh, c, upgrade, fault);
    } else if (!websocket) {
        open_polling(sh, c, &q[Q_J], hs);
    } else {
        negotiate(sh, req, sh->app->conf->socketio_per_message_deflate, &deflate);
        switch_protocols(sh, c, req, accept, &deflate, &out);
        rc_engine_open_websocket(sh, c, &hs);
    }
}

RC_ON_SHARD static void preflight(struct rc_shard *sh, struct rc_conn *c)
{
    struct rc_http_answer a = {.status = 204}; /* its header lines are in extra already */

    rc_http_answer(sh, c, &a);
}

static bool has_text(struct rc_str s, const char *text)
{
    return s.len != 0 && memmem(s.p, s.len, text, strlen(text)) != NULL;
}

RC_ON_SHARD static void engine_io(struct rc_shard *sh, struct rc_conn *c,
                                  const struct rc_http_req *req, struct rc_str head)
{
    struct rc_http_param q[Q_COUNT] = {[Q_TRANSPORT] = {.name = RC_STR("transport")},
                                       [Q_SID] = {.name = RC_STR("sid")},
                                       [Q_EIO] = {.name = RC_STR("EIO")},
                                       [Q_B64] = {.name = RC_STR("b64")},
                                       [Q_J] = {.name = RC_STR("j")}};
    struct rc_http *h = c->user;
    struct rc_buf decoded = RC_BUF_INIT;
    const struct rc_peer *peer;
    bool websocket, polling, upgrade = is_upgrade(sh, req), v4, misfit;

    rc_http_query_read(req->query, q, Q_COUNT, &decoded);
    websocket = rc_str_eq(q[Q_TRANSPORT].value, RC_STR("websocket"));
    polling = rc_str_eq(q[Q_TRANSPORT].value, RC_STR("polling"));
    v4 = rc_str_eq(q[Q_EIO].value, RC_STR("4"));
    misfit = v4 == rc_engine_sid_is_eio3(q[Q_SID].value);
    if (!upgrade) {
        h->coding = (uint8_t)rc_coding_choose(req, true);
        h->old_ie = has_text(req->user_agent, ";MSIE") || has_text(req->user_agent, "Trident/");
    }
    if (!(websocket && sh->app->websocket) && !(polling && sh->app->polling))
        refuse(sh, c, upgrade, RC_EIO_UNKNOWN_TRANSPORT);
    else if (q[Q_SID].value.len == 0)
        open_session(sh, c, req, q, websocket, v4);
    else if ((peer = rc_engine_sid_peer(sh, q[Q_SID].value)) != NULL)
        request_peer(sh, c, peer, upgrade, head);
    else if (!upgrade)
        request_session(sh, c, req, q[Q_SID].value, websocket || misfit);
    else if (!websocket)
        refuse(sh, c, true, RC_EIO_BAD_REQUEST);
    else
        upgrade_session(sh, c, req, q, misfit, head);
    rc_buf_deinit(&decoded);
}

void rc_route_body(struct rc_shard *sh, struct rc_conn *c)
{
    struct rc_http *h = c->user;

    if (h->sid[0] != '\0')
        forward(sh, c, RC_MSG_EIO_BODY, 0,
                rc_pub_new(0, RC_STR_NONE, 0, h->content.data, h->content.len));
    else if (h->dev_token)
        rc_devtoken_body(sh, c);
    else /* the answer was kept back until the body had passed */
        rc_http_page(sh, c, 405, "nothing here takes a body", false);
}

bool rc_route_cancel(struct rc_shard *sh, struct rc_conn *c, bool gone)
{
    struct rc_http *h = c->user;
    bool elsewhere;

    if (h->sid[0] == '\0')
        return false;
    elsewhere = rc_engine_sid_shard(sh, rc_str_make(h->sid, RC_SID_LEN)) != (int)sh->index;
    forward(sh, c, RC_MSG_EIO_ABORT, gone, NULL);
    h->sid[0] = '\0';
    return elsewhere;
}

/* ---- endpoints ---- */

RC_ON_SHARD static enum rc_token_fault identify_endpoint(struct rc_shard *sh,
                                                         const struct rc_conn *c,
                                                         const struct rc_http_req *req,
                                                         const struct rc_nsp *nsp,
                                                         struct rc_token **token)
{
    struct rc_buf buf = RC_BUF_INIT;
    enum rc_token_fault fault = RC_TOKEN_NONE;
    struct rc_str text;

    if (nsp->auth == RC_AUTHMODE_OFF)
        return fault;
    text = rc_identity_find(sh, req, &buf);
    if (text.len != 0)
        fault = rc_identity_verify(sh, &c->peer, text, token);
    else if (nsp->auth == RC_AUTHMODE_REQUIRED && !rc_json_client_may_auth(sh, nsp))
        fault = RC_TOKEN_MISSING;
    rc_buf_deinit(&buf);
    return fault;
}

RC_ON_SHARD static void endpoint(struct rc_shard *sh, struct rc_conn *c,
                                 const struct rc_http_req *req, const struct rc_nsp *nsp)
{
    struct rc_http_answer a = {.status = 426,
                               .extra = RC_STR("Upgrade: websocket\r\nConnection: Upgrade\r\n"),
                               .content_type = RC_STR("text/plain; charset=utf-8"),
                               .body = RC_STR("426 Upgrade Required: this is a WebSocket "
                                              "endpoint\n")};
    struct rc_deflate_params deflate;
    struct rc_token *token = NULL;
    enum rc_token_fault fault;
    struct rc_outq out = {0};
    char accept[RC_WS_ACCEPT_LEN + 1];

    if (req->upgrade_websocket) {
        if (!rc_origin_allowed(&sh->app->headers, req->origin)) {
            rc_http_page(sh, c, 403, "pages of this origin may not connect", true);
        } else if (handshake_ok(sh, c, req, accept)) {
            negotiate(sh, req, nsp->deflate, &deflate);
            fault = identify_endpoint(sh, c, req, nsp, &token);
            if (sh->ui != NULL)
                rc_ui_request(sh, c, req);
            switch_protocols(sh, c, req, accept, &deflate, &out);
            rc_endpoint_open(sh, nsp, c, &deflate, fault, token);
        }
    } else if (!rc_files_site(sh, c, req)) {
        if (req->method == RC_HTTP_GET || req->method == RC_HTTP_HEAD)
            rc_http_answer(sh, c, &a);
        else
            rc_files_not_allowed(sh, c, req);
    }
}

/* ---- the choice ---- */

/* Below the path; or, without the trailing slash, all that begins with it. */
static bool is_engine_io(const struct rc_conf *conf, struct rc_str path)
{
    struct rc_str own = rc_str_of(conf->socketio_path);

    return own.len != 0 && rc_str_starts(path, own) &&
           (!conf->socketio_add_trailing_slash ||
            (path.len > own.len && path.p[own.len] == '/'));
}

void rc_route(struct rc_shard *sh, struct rc_conn *c, const struct rc_http_req *req,
              struct rc_str head)
{
    const struct rc_conf *conf = sh->app->conf;
    const struct rc_nsp *nsp;

    if (is_engine_io(conf, req->path)) {
        rc_cors_put(&sh->app->headers, req, &((struct rc_http *)c->user)->extra);
        if (rc_cors_is_preflight(&sh->app->headers, req))
            preflight(sh, c);
        else if (!rc_files_bundle(sh, c, req))
            engine_io(sh, c, req, head);
    } else if ((nsp = rc_app_nsp(sh->app, req->path, true)) != NULL) {
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
    } else if (rc_devtoken_route(sh, c, req)) {
        return;
    } else if (req->method != RC_HTTP_GET && req->method != RC_HTTP_HEAD) {
        rc_files_not_allowed(sh, c, req);
    } else if (!rc_files_site(sh, c, req)) {
        rc_http_page(sh, c, 404, "", false);
    }
}

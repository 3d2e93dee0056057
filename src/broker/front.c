/* front.c - the client-facing port: HTTP requests in, answers out, and the way to WebSocket.
 *
 * One request at a time per connection: while an answer is awaited, what the client sent after
 * it stays unread or unused. routes.c decides what a request is; this file is its machinery. */
#include "rc/base/mem.h"
#include "rc/broker/admission.h"
#include "rc/broker/engine.h"
#include "rc/broker/front_int.h"
#include "rc/broker/pipe.h"
#include "rc/broker/shard.h"
#include "rc/net/compress.h"
#include "rc/net/tls.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    OUT_MARK = 65536,  /* bytes of answers that may wait before further requests do */
    BODY_STEP = 65536, /* bytes of a body that buy it another limits.head_timeout */
    ENDS_LOGGED = 20,  /* of connections in a second, each by a line */
    SHARE_MIN = 4096,  /* bytes of a file that are not copied: less goes with the head */
    EOF_WAIT_MS = 100, /* for an answer that another shard may be about to give */
};

static const struct rc_conn_ops http_ops;

/* ---- answers ---- */

/* "Date: …" for this second; the loop's wall clock is read once a second. */
static const char *date_line(struct rc_shard *sh)
{
    time_t now = time(NULL);
    struct tm tm;

    if (now != sh->date_at) {
        sh->date_at = now;
        (void)gmtime_r(&now, &tm);
        (void)strftime(sh->date, sizeof(sh->date), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
    }
    return sh->date;
}

/* The exchange is over: ready for the next request, or for the end. */
RC_ON_SHARD static void next_request(struct rc_shard *sh, struct rc_conn *c, struct rc_http *h,
                                     bool keep_alive)
{
    h->state = RC_HTTP_AT_HEAD;
    h->scanned = 0;
    h->sid[0] = '\0';
    h->asked = false;
    h->dev_token = false;
    rc_buf_deinit(&h->content);
    rc_buf_deinit(&h->extra);
    if (!keep_alive || c->eof) {
        rc_conn_finish(c, h->overdue ? RC_CLOSE_HEAD_TIMEOUT
                          : h->bad   ? RC_CLOSE_BAD_REQUEST
                                     : RC_CLOSE_DONE);
        return;
    }
    rc_conn_settle(c);
    rc_timer_start(&sh->q_idle, &c->timer, sh->loop.now_ms);
    rc_conn_flush(c);
    /* A pipelined request may have come while this one was being answered. Not from here: it
     * may be the answer to yet another connection's request that brought us here. */
    if (!h->in_data && (!c->reading || c->left_len != 0))
        rc_conn_later(c);
}

static void unpin_pub(void *pub)
{
    struct rc_pub *p = pub;

    rc_pub_unref(&p);
}

/* The body as a segment of its own, uncopied; NULL when it goes with the head. */
static struct rc_seg *body_segment(const struct rc_http *h, const struct rc_http_answer *a)
{
    if (h->head_only || a->body.len == 0)
        return NULL;
    if (a->pub != NULL)
        return rc_seg_pin(a->body.p, a->body.len, rc_pub_ref(a->pub), unpin_pub);
    if (a->site != NULL && a->body.len >= SHARE_MIN)
        return rc_seg_pin(a->body.p, a->body.len, rc_site_hold(a->site), rc_site_let_go);
    return NULL;
}

void rc_http_answer(struct rc_shard *sh, struct rc_conn *c, const struct rc_http_answer *a)
{
    struct rc_http *h = c->user;
    struct rc_buf out = RC_BUF_INIT, extra = RC_BUF_INIT;
    struct rc_seg *body = body_segment(h, a);
    /* A request whose body has not come whole cannot be followed by another. */
    bool keep =
        h->keep_alive && !h->piped && !sh->stopping && h->state != RC_HTTP_AT_BODY && !a->close;
    struct rc_http_resp r = {.status = a->status,
                             .keep_alive = keep,
                             .head_only = h->head_only || body != NULL,
                             .content_type = a->content_type,
                             .body = a->body};

    if (a->status >= 400 && a->close)
        h->bad = true;
    rc_buf_putz(&extra, date_line(sh));
    if (keep && h->http10)
        rc_buf_putz(&extra, "Connection: keep-alive\r\n");
    rc_buf_puts(&extra, rc_buf_str(&h->extra));
    rc_buf_puts(&extra, a->extra);
    if (a->coding != NULL) {
        rc_buf_putz(&extra, "Content-Encoding: ");
        rc_buf_putz(&extra, a->coding);
        rc_buf_putz(&extra, "\r\n");
    }
    r.extra = rc_buf_str(&extra);
    rc_http_respond(&out, &r);
    rc_outq_push(&h->out, rc_seg_new(out.data, out.len));
    if (body != NULL)
        rc_outq_push(&h->out, body);
    rc_buf_deinit(&out);
    rc_buf_deinit(&extra);
    next_request(sh, c, h, keep);
}

void rc_http_page(struct rc_shard *sh, struct rc_conn *c, int status, const char *text,
                  bool close)
{
    char body[256];
    int n = snprintf(body, sizeof(body), "%d %s%s%s\n", status, rc_http_reason(status),
                     text[0] != '\0' ? ": " : "", text);
    struct rc_http_answer a = {.status = status,
                               .content_type = RC_STR("text/plain; charset=utf-8"),
                               .body = rc_str_make(body, (size_t)n),
                               .close = close};

    rc_http_answer(sh, c, &a);
}

rc_id rc_http_request_id(const struct rc_shard *sh, const struct rc_conn *c)
{
    const struct rc_http *h = c->user;

    return rc_id_make(sh->index, c->hdr.slot, c->hdr.gen << 8 | h->tag);
}

/* The connection of a request that still waits for its answer. */
RC_ON_SHARD static struct rc_conn *waiting(struct rc_shard *sh, rc_id id)
{
    struct rc_conn *c = rc_pool_at(&sh->loop.conns, rc_id_slot(id));
    const struct rc_http *h;

    if (c == NULL || !rc_conn_open(c) || c->ops != &http_ops || c->finishing)
        return NULL;
    h = c->user;
    return h->asked && rc_http_request_id(sh, c) == id ? c : NULL;
}

void rc_http_set_cookie(struct rc_shard *sh, rc_id conn, struct rc_str sid)
{
    struct rc_conn *c = waiting(sh, conn);
    struct rc_http *h = c != NULL ? c->user : NULL;

    if (h != NULL)
        rc_cookie_put(&sh->app->headers, sid, &h->extra);
}

enum {
    /* Compressing what is longer would keep the shard's other clients waiting. */
    COMPRESS_MAX = 256 << 10,
    /* Level 6 takes twice the time and saves a tenth more. */
    COMPRESS_LEVEL = 1,
};

/* Compresses the body of the answer into zip if that is wanted. */
RC_ON_SHARD static void compress(struct rc_shard *sh, const struct rc_http *h,
                                 struct rc_http_answer *a, struct rc_buf *zip)
{
    const struct rc_conf *conf = sh->app->conf;
    enum rc_coding coding = (enum rc_coding)h->coding;

    if (!conf->socketio_http_compression || coding == RC_CODING_NONE ||
        a->body.len < conf->socketio_http_compression_threshold || a->body.len > COMPRESS_MAX)
        return;
    if (sh->compressor == NULL)
        sh->compressor = rc_compressor_new();
    if (rc_compress(sh->compressor, coding, COMPRESS_LEVEL, a->body, zip) != RC_OK)
        return;
    a->body = rc_buf_str(zip);
    a->pub = NULL;
    a->coding = rc_coding_name(coding);
}

static const char *reply_headers(const struct rc_http *h)
{
    return h->old_ie ? "Cache-Control: no-store\r\nX-XSS-Protection: 0\r\n"
                     : "Cache-Control: no-store\r\n";
}

RC_ON_SHARD static void answer_reply(struct rc_shard *sh, struct rc_conn *c,
                                     enum rc_reply_kind kind, unsigned status,
                                     struct rc_pub *body)
{
    struct rc_http_answer a = {.status = (int)status};
    struct rc_buf zip = RC_BUF_INIT;
    struct rc_http *h = c->user;
    char json[96];

    switch (kind) {
    case RC_REPLY_PAYLOAD:
    case RC_REPLY_BYTES:
        a.content_type = kind == RC_REPLY_BYTES ? RC_STR("application/octet-stream")
                                                : RC_STR("text/plain; charset=UTF-8");
        a.extra = rc_str_of(reply_headers(h));
        a.body = rc_pub_data(body);
        a.pub = body;
        compress(sh, h, &a, &zip);
        break;
    case RC_REPLY_OK:
        a.content_type = RC_STR("text/html");
        a.extra = rc_str_of(reply_headers(h));
        a.body = RC_STR("ok");
        break;
    case RC_REPLY_ERROR:
        a.status = status == RC_EIO_FORBIDDEN ? 403 : 400;
        a.content_type = RC_STR("application/json");
        (void)snprintf(json, sizeof(json), "{\"code\":%u,\"message\":\"%s\"}", status,
                       rc_eio_error_text((enum rc_eio_error)status));
        a.body = rc_str_of(json);
        break;
    case RC_REPLY_EMPTY: break;
    }
    rc_http_answer(sh, c, &a);
    rc_buf_deinit(&zip);
}

void rc_front_reply(struct rc_shard *sh, rc_id conn, enum rc_reply_kind kind, unsigned status,
                    struct rc_pub *body)
{
    struct rc_conn *c;

    if (rc_id_shard(conn) != sh->index) {
        struct rc_msg msg = {.type = RC_MSG_EIO_REPLY};

        msg.u.reply.conn = conn;
        msg.u.reply.kind = (uint8_t)kind;
        msg.u.reply.status = (uint16_t)status;
        msg.u.reply.body = body;
        rc_shard_post(sh, rc_id_shard(conn), &msg);
        return;
    }
    c = waiting(sh, conn);
    if (c != NULL)
        answer_reply(sh, c, kind, status, body);
    rc_pub_unref(&body);
}

/* ---- requests ---- */

/* Refuses what the parser refused. */
RC_ON_SHARD static void refuse(struct rc_shard *sh, struct rc_conn *c, int status)
{
    struct rc_http *h = c->user;

    h->keep_alive = false;
    rc_http_page(sh, c, status, "", true);
}

/* Finds out whose request it is, where a proxy speaks for its clients. What becomes a client's own
 * connection is counted by that address. False: it was turned away. */
RC_ON_SHARD static bool know_client(struct rc_shard *sh, struct rc_conn *c,
                                    const struct rc_http_req *req)
{
    const struct rc_trust *trust = &sh->app->trust;
    struct rc_http *h = c->user;

    if (h->piped) /* the other node knew, and has counted it */
        return true;
    c->peer = rc_forwarded_client(trust, &h->from, req);
    if (!req->upgrade_websocket || h->admitted || !rc_trust_has(trust, &h->from) ||
        rc_trust_has(trust, &c->peer))
        return true;
    h->admitted = true;
    return rc_front_admit(sh, c);
}

/* A request whose head is complete. Returns false when the connection is no longer HTTP. */
RC_ON_SHARD static bool on_head(struct rc_shard *sh, struct rc_conn *c,
                                const struct rc_http_req *req, struct rc_str head)
{
    struct rc_http *h = c->user;
    int status = 0;

    if (!know_client(sh, c, req))
        return false;
    h->keep_alive = req->keep_alive;
    h->head_only = req->method == RC_HTTP_HEAD;
    h->http10 = req->minor == 0;
    h->tag++;
    h->state = RC_HTTP_AT_BODY;
    /* What else may be wrong with the request is told first. Its body is not read. */
    h->too_big =
        rc_http_body_init(&h->body, req, sh->app->conf->socketio_max_payload, &status) != RC_OK;
    if (!h->body.done && req->upgrade_websocket) {
        refuse(sh, c, 400);
        return true;
    }
    /* A body that nobody reads must not be taken for the next request. */
    if (!h->body.done && (h->too_big || req->method != RC_HTTP_POST))
        h->keep_alive = false;
    if (!h->body.done && !h->too_big && req->expect_continue && !h->piped) {
        rc_outq_push(&h->out, rc_seg_new("HTTP/1.1 100 Continue\r\n\r\n", 25));
        rc_conn_flush(c);
    }
    if (h->body.done || h->too_big)
        h->state = RC_HTTP_AT_WAIT;
    rc_route(sh, c, req, head);
    return rc_conn_open(c) && c->ops == &http_ops;
}

/* Bytes of a body. Returns how many were taken. */
RC_ON_SHARD static size_t on_body(struct rc_shard *sh, struct rc_conn *c, const uint8_t *data,
                                  size_t len)
{
    struct rc_http *h = c->user;
    struct rc_str piece;
    int status = 0;
    int64_t n = rc_http_body_feed(&h->body, (const char *)data, len, &piece, &status);

    if (n < 0) {
        struct rc_http_answer too_big = {.status = 413, .close = true};

        (void)rc_route_cancel(sh, c, false);
        if (status == 413)
            rc_http_answer(sh, c, &too_big);
        else
            refuse(sh, c, status);
        return 0;
    }
    rc_buf_puts(&h->content, piece);
    if (h->content.failed) {
        (void)rc_route_cancel(sh, c, false);
        refuse(sh, c, 503);
        return 0;
    }
    if (h->body.total / BODY_STEP != (h->body.total - piece.len) / BODY_STEP)
        rc_timer_start(&sh->q_head, &c->timer, sh->loop.now_ms); /* it gets on */
    if (h->body.done) {
        h->state = RC_HTTP_AT_WAIT;
        rc_route_body(sh, c);
    }
    return (size_t)n;
}

static size_t on_data(struct rc_conn *c, uint8_t *data, size_t len)
{
    struct rc_shard *sh = rc_shard_of(c);
    struct rc_http *h = c->user;
    struct rc_http_req req;
    size_t used = 0;
    int n, status = 0;

    rc_assert_on_shard(sh);
    h->in_data = true;
    while (used < len && rc_conn_open(c) && !c->finishing && h->state != RC_HTTP_AT_WAIT &&
           h->out.bytes < OUT_MARK) {
        if (h->state == RC_HTTP_AT_BODY) {
            used += on_body(sh, c, data + used, len - used);
            continue;
        }
        n = rc_http_parse_head(&req, (const char *)data + used, len - used, &h->scanned,
                               &sh->app->http, &status);
        if (n == RC_EAGAIN) {
            if (h->scanned != 0 && !h->head_timer) {
                h->head_timer = true;
                rc_timer_start(&sh->q_head, &c->timer, sh->loop.now_ms);
            }
            break;
        }
        if (n < 0) {
            refuse(sh, c, status);
            break;
        }
        h->head_timer = false;
        h->head_len = (uint32_t)n;
        rc_timer_start(&sh->q_head, &c->timer, sh->loop.now_ms); /* for the body */
        if (!on_head(sh, c, &req, rc_str_make(data + used, len - used))) {
            /* WebSocket or a pipe now (the rest of the bytes is its), or moved (they went along). */
            used += (size_t)n;
            return rc_conn_open(c) && used < len
                       ? used + c->ops->on_data(c, data + used, len - used)
                       : used;
        }
        used += (size_t)n;
    }
    if (!rc_conn_open(c))
        return 0;
    h->in_data = false;
    if (h->state == RC_HTTP_AT_WAIT) {
        rc_timer_stop(&c->timer);
        if (len - used > sh->app->conf->limits_max_head_size)
            rc_conn_pause(c); /* pipelined requests wait in the kernel */
    } else if (h->out.bytes >= OUT_MARK) {
        rc_conn_pause(c); /* they do not read what they ask for: on_drain goes on */
    }
    return used;
}

/* What was answered before is the peer's, as far as its socket takes it. */
RC_ON_SHARD static void close_ended(struct rc_conn *c)
{
    rc_conn_flush_all(c);
    rc_conn_close(c, RC_CLOSE_PEER);
}

static void on_eof(struct rc_conn *c)
{
    struct rc_shard *sh = rc_shard_of(c);
    const struct rc_http *h = c->user;

    rc_assert_on_shard(sh);
    if (h->state == RC_HTTP_AT_HEAD && !rc_outq_empty(&h->out)) {
        rc_conn_finish(c, RC_CLOSE_DONE); /* what was answered may still be on its way out */
    } else if (h->state == RC_HTTP_AT_WAIT) {
        /* A pending poll is not wanted any more, but what another shard has answered already the peer may still read. A
         * POST has come whole, and is answered. */
        if (h->content.len != 0)
            rc_timer_start(&sh->q_idle, &c->timer, sh->loop.now_ms);
        else if (rc_route_cancel(sh, c, true))
            rc_timer_start(&sh->q_eof, &c->timer, sh->loop.now_ms);
        else
            close_ended(c);
    } else {
        close_ended(c);
    }
}

static void on_eof_overdue(struct rc_timer *t, void *arg)
{
    const struct rc_shard *sh = arg;

    rc_assert_on_shard(sh);
    close_ended(RC_CONTAINER(t, struct rc_conn, timer));
}

static void on_drain(struct rc_conn *c)
{
    const struct rc_http *h = c->user;

    rc_assert_on_shard(c->loop->owner);
    if (h->state != RC_HTTP_AT_WAIT)
        rc_conn_later(c);
}

/* The everyday ends: a line for each request of a browser or a probe would bury the others. */
static enum rc_loglevel level_of(enum rc_close reason)
{
    bool everyday = reason == RC_CLOSE_DONE || reason == RC_CLOSE_PEER ||
                    reason == RC_CLOSE_IDLE || reason == RC_CLOSE_MOVED ||
                    reason == RC_CLOSE_UPGRADED;

    return everyday ? RC_LOG_DEBUG : RC_LOG_INFO;
}

/* Anybody can send what is no HTTP, as often as he likes: the log is not his to fill. */
bool rc_front_may_log(struct rc_shard *sh)
{
    if (atomic_load_explicit(&rc_log_threshold, memory_order_relaxed) >= RC_LOG_DEBUG)
        return true;
    if (sh->loop.now_ms - sh->ends_from_ms >= 1000) {
        if (sh->ends_unlogged != 0)
            rc_shard_log(sh, RC_LOG_INFO, "http closed: %u more, which closed_total counts",
                         sh->ends_unlogged);
        sh->ends_from_ms = sh->loop.now_ms;
        sh->ends_logged = sh->ends_unlogged = 0;
    }
    if (sh->ends_logged++ < ENDS_LOGGED)
        return true;
    sh->ends_unlogged++;
    return false;
}

RC_ON_SHARD static void log_end(struct rc_shard *sh, const struct rc_conn *c,
                                enum rc_close reason)
{
    enum rc_loglevel level = level_of(reason);
    char peer[RC_ADDR_TEXT];

    if (level == RC_LOG_DEBUG || rc_front_may_log(sh))
        rc_shard_log(sh, level, "conn=%u.%u peer=%s http closed reason=%s", sh->index,
                     c->hdr.slot, rc_addr_text(&c->peer, peer), rc_close_text(reason));
}

static void on_close(struct rc_conn *c, enum rc_close reason)
{
    struct rc_shard *sh = rc_shard_of(c);
    struct rc_http *h = c->user;

    rc_assert_on_shard(sh);
    (void)rc_route_cancel(sh, c, true);
    rc_stat_add(&sh->stats.closed[reason], 1);
    rc_front_gone(sh, c);
    log_end(sh, c, reason);
    rc_http_free(h);
    c->user = NULL;
}

static void on_secure(struct rc_conn *c, const struct rc_tls *t)
{
    struct rc_shard *sh = rc_shard_of(c);
    struct rc_http *h = c->user;
    char peer[RC_ADDR_TEXT], text[RC_TLS_TEXT];

    rc_assert_on_shard(sh);
    rc_stat_add(&sh->stats.tls_handshakes, 1);
    rc_stat_add(&sh->stats.tls_resumed, rc_tls_resumed(t));
    rc_shard_log(sh, RC_LOG_DEBUG, "conn=%u.%u peer=%s tls %s%s", sh->index, c->hdr.slot,
                 rc_addr_text(&c->peer, peer), rc_tls_text(t, text),
                 rc_tls_resumed(t) ? " resumed" : "");
    rc_timer_start(&sh->q_head, &c->timer, sh->loop.now_ms);
    h->head_timer = true;
}

static const struct rc_conn_ops http_ops = {.on_data = on_data,
                                            .on_secure = on_secure,
                                            .on_eof = on_eof,
                                            .on_drain = on_drain,
                                            .on_close = on_close};

void rc_http_free(struct rc_http *h)
{
    rc_outq_clear(&h->out);
    rc_buf_deinit(&h->content);
    rc_buf_deinit(&h->extra);
    free(h);
}

void rc_front_gone(struct rc_shard *sh, struct rc_conn *c)
{
    rc_stat_add(&sh->stats.conns, -1);
    rc_admission_leave(sh->admission, c->ticket, sh->loop.now_ms);
    c->ticket = 0;
}

/* What a listener shows; NULL: it is plain. */
RC_ON_SHARD static struct rc_tls_set *set_of(const struct rc_shard *sh, unsigned listener)
{
    return listener < sh->app->ntls ? sh->app->tls[listener] : NULL;
}

/* Is there a place for its address? Whom a proxy speaks for is not known yet. */
RC_ON_SHARD static bool admit(struct rc_shard *sh, const struct rc_msg_conn *conn,
                              uint32_t *ticket)
{
    enum rc_refusal why;

    if (rc_trust_has(&sh->app->trust, &conn->peer) ||
        rc_listener_at(sh->app->listeners, conn->listener)->pipe)
        return true;
    why = rc_admission_enter(sh->admission, &conn->peer, sh->loop.now_ms, ticket);
    if (why != RC_ADMITTED)
        rc_admission_turn_away(sh->admission, conn->fd, why,
                               set_of(sh, conn->listener) == NULL);
    return why == RC_ADMITTED;
}

bool rc_front_admit(struct rc_shard *sh, struct rc_conn *c)
{
    enum rc_refusal why;
    uint32_t ticket;

    rc_admission_leave(sh->admission, c->ticket, sh->loop.now_ms);
    why = rc_admission_enter(sh->admission, &c->peer, sh->loop.now_ms, &ticket);
    c->ticket = ticket;
    if (why != RC_ADMITTED) {
        bool plain = !c->secure && set_of(sh, c->listener) == NULL;

        rc_conn_flush_all(c); /* answers to what was pipelined before */
        rc_tls_free(rc_conn_take_tls(c));
        rc_admission_turn_away(sh->admission, rc_conn_release(c, RC_CLOSE_LIMIT), why, plain);
    }
    return why == RC_ADMITTED;
}

/* What another shard had read of it. The end, if that has seen it, is seen again: without a FIN no event
 * tells of it. */
RC_ON_SHARD static void feed_kept(struct rc_conn *c, struct rc_tls *tls)
{
    bool ended = tls->ended;
    size_t len;
    uint8_t *kept = rc_tls_take_kept(tls, &len);

    if (kept != NULL)
        rc_conn_feed(c, kept, len);
    free(kept);
    if (ended)
        rc_conn_poll(c);
}

/* A handshake comes first, on a listener with certificates. */
RC_ON_SHARD static void begin_tls(struct rc_shard *sh, struct rc_conn *c,
                                  struct rc_tls_set *set)
{
    struct rc_tls *tls = rc_tls_new(set);

    if (tls == NULL) {
        rc_conn_close(c, RC_CLOSE_MEMORY);
        return;
    }
    rc_conn_secure(c, tls);
    rc_timer_start(&sh->q_tls, &c->timer, sh->loop.now_ms);
}

void rc_front_begin(struct rc_shard *sh, struct rc_conn *c, bool admitted)
{
    struct rc_http *h = rc_calloc(1, sizeof(*h));
    struct rc_tls_set *set = set_of(sh, c->listener);

    h->from = c->peer;
    h->admitted = admitted;
    h->piped = rc_listener_at(sh->app->listeners, c->listener)->pipe;
    h->head_timer = true;
    c->ops = &http_ops;
    c->user = h;
    c->out = &h->out;
    if (set != NULL && !c->secure)
        begin_tls(sh, c, set);
    else
        rc_timer_start(&sh->q_head, &c->timer, sh->loop.now_ms);
}

void rc_front_take_back(struct rc_shard *sh, struct rc_conn *c, struct rc_http *h)
{
    rc_timer_start(&sh->q_idle, &c->timer, sh->loop.now_ms);
    h->keep_alive = false; /* some of its body may have gone elsewhere */
    h->in_data = false;
    h->state = RC_HTTP_AT_WAIT;
    c->ops = &http_ops;
    c->user = h;
}

/* Who has to begin with a PROXY header must be somebody who may. Nodes show it by that. */
RC_ON_SHARD static bool may_speak(struct rc_shard *sh, const struct rc_listener *l,
                                  const struct rc_msg_conn *conn)
{
    char peer[RC_ADDR_TEXT];

    if (!l->proxy_protocol || l->pipe || rc_trust_has(&sh->app->trust, &conn->peer))
        return true;
    rc_shard_log(
        sh, RC_LOG_WARN,
        "peer=%s refused by [listen %s]: it is not of server.trusted_proxies, and others may "
        "not send PROXY headers",
        rc_addr_text(&conn->peer, peer), l->name);
    rc_stat_add(&sh->stats.closed[RC_CLOSE_PROXY_PEER], 1);
    (void)close(conn->fd);
    return false;
}

void rc_front_accept(struct rc_shard *sh, const struct rc_msg_conn *conn)
{
    const struct rc_listener *l = rc_listener_at(sh->app->listeners, conn->listener);
    struct rc_tls *tls = conn->secure ? conn->tls : NULL; /* of one that has moved here */
    uint32_t ticket = conn->ticket;
    struct rc_conn *c;

    if (!conn->admitted && (!may_speak(sh, l, conn) || !admit(sh, conn, &ticket)))
        return;
    if (sh->stopping) {
        rc_admission_leave(sh->admission, ticket, sh->loop.now_ms);
        rc_tls_free(tls);
        (void)close(conn->fd);
        return;
    }
    c = l->proxy_protocol && !conn->admitted
            ? rc_proxied_new(sh, conn)
            : rc_conn_new(&sh->loop, conn->fd, &conn->peer, &http_ops, NULL);
    if (c == NULL) {
        rc_admission_leave(sh->admission, ticket, sh->loop.now_ms);
        rc_tls_free(tls);
        rc_stat_add(&sh->stats.closed[RC_CLOSE_LIMIT], 1);
        return;
    }
    c->ticket = ticket;
    c->listener = conn->listener;
    rc_stat_add(&sh->stats.accepted, 1);
    rc_stat_add(&sh->stats.conns, 1);
    if (rc_proxied_is(c))
        return;
    if (tls != NULL)
        rc_conn_secure(c, tls);
    rc_front_begin(sh, c, conn->admitted);
    if (tls != NULL)
        feed_kept(c, tls);
    else if (conn->bytes != NULL)
        rc_conn_feed(c, conn->bytes->data, conn->bytes->len);
}

void rc_front_stop(struct rc_shard *sh, bool waiting_too)
{
    uint32_t cursor = 0;
    struct rc_conn *c;

    rc_pipe_stop(sh, waiting_too);
    while ((c = rc_pool_next(&sh->loop.conns, &cursor)) != NULL) {
        struct rc_http *h = c->user;

        if (!rc_conn_open(c) || c->finishing)
            continue;
        if (rc_proxied_is(c))
            rc_conn_close(c, RC_CLOSE_SHUTDOWN);
        if (c->ops != &http_ops)
            continue;
        if (h->state == RC_HTTP_AT_WAIT && !waiting_too)
            h->keep_alive = false; /* its answer comes, and then the end */
        else
            rc_conn_finish(c, RC_CLOSE_SHUTDOWN);
    }
}

/* ---- timeouts ---- */

static void on_head_overdue(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_conn *c = RC_CONTAINER(t, struct rc_conn, timer);
    struct rc_http *h = c->user;

    rc_assert_on_shard(sh);
    if (h->state == RC_HTTP_AT_HEAD && h->scanned == 0) { /* it never said a word */
        rc_conn_close(c, RC_CLOSE_HEAD_TIMEOUT);
        return;
    }
    (void)rc_route_cancel(sh, c, false);
    h->keep_alive = false;
    h->overdue = true;
    h->state = RC_HTTP_AT_WAIT;
    rc_http_page(sh, c, 408, "the request did not arrive in time", true);
}

static void on_tls_overdue(struct rc_timer *t, void *arg)
{
    const struct rc_shard *sh = arg;

    rc_assert_on_shard(sh);
    rc_conn_close(RC_CONTAINER(t, struct rc_conn, timer), RC_CLOSE_TLS_TIMEOUT);
}

static void on_idle(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_conn *c = RC_CONTAINER(t, struct rc_conn, timer);
    struct rc_http *h = c->user;

    rc_assert_on_shard(sh);
    if (h->out.bytes != h->idle_bytes) { /* a long answer that is being read */
        h->idle_bytes = h->out.bytes;
        rc_timer_start(&sh->q_idle, t, sh->loop.now_ms);
        return;
    }
    rc_conn_close(c, RC_CLOSE_IDLE);
}

void rc_front_init(struct rc_shard *sh)
{
    const struct rc_conf *conf = sh->app->conf;

    rc_timerq_init(&sh->q_head, conf->limits_head_timeout, on_head_overdue, sh);
    rc_proxied_init(sh);
    rc_pipe_init(sh);
    rc_timerq_init(&sh->q_idle, conf->limits_idle_timeout, on_idle, sh);
    rc_timerq_init(&sh->q_tls, conf->limits_tls_timeout, on_tls_overdue, sh);
    rc_timerq_init(&sh->q_eof, EOF_WAIT_MS, on_eof_overdue, sh);
    rc_loop_add_timerq(&sh->loop, &sh->q_eof);
    rc_loop_add_timerq(&sh->loop, &sh->q_tls);
    rc_loop_add_timerq(&sh->loop, &sh->q_head);
    rc_loop_add_timerq(&sh->loop, &sh->q_idle);
}

/* wsconn.c - a session's WebSocket connection: bytes to messages, and the closing handshake. */
#include "rc/base/mem.h"
#include "rc/broker/engine.h"
#include "rc/broker/meter.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"

#include <stdlib.h>

/* ---- a connection that is ending: what is queued goes out, what comes in is ignored ---- */

/* NOLINTNEXTLINE(readability-non-const-parameter): the type of rc_conn_ops.on_data */
static size_t tail_data(struct rc_conn *c, uint8_t *data, size_t len)
{
    (void)c;
    (void)data;
    return len;
}

static void tail_eof(struct rc_conn *c)
{
    rc_assert_on_shard(c->loop->owner);
    rc_conn_close(c, (enum rc_close)c->finish_reason);
}

static void tail_close(struct rc_conn *c, enum rc_close reason)
{
    struct rc_shard *sh = rc_shard_of(c);
    char peer[RC_ADDR_TEXT];

    rc_assert_on_shard(sh);
    (void)reason; /* of the TCP end; why the session ended was counted before */
    rc_shard_log(sh, RC_LOG_DEBUG, "conn=%u.%u peer=%s gone", sh->index, c->hdr.slot,
                 rc_addr_text(&c->peer, peer));
    rc_outq_clear(c->out);
    free(c->out);
    rc_front_gone(sh, c);
}

static const struct rc_conn_ops tail_ops = {.on_data = tail_data,
                                            .on_eof = tail_eof,
                                            .on_close = tail_close};

static void log_end(struct rc_shard *sh, const struct rc_session *s, const struct rc_conn *c,
                    enum rc_close why)
{
    char peer[RC_ADDR_TEXT];

    rc_stat_add(&sh->stats.closed[why], 1);
    rc_shard_log(sh, RC_LOG_INFO, "conn=%u.%u session=%u peer=%s websocket closed reason=%s",
                 sh->index, c->hdr.slot, s->hdr.slot, rc_addr_text(&c->peer, peer),
                 rc_close_text(why));
}

void rc_wsconn_end(struct rc_shard *sh, struct rc_session *s, unsigned code, struct rc_str text,
                   enum rc_close why)
{
    struct rc_conn *c = s->conn;
    uint8_t frame[2 + 125];
    size_t n = rc_ws_close_frame(frame, (uint16_t)code, text);

    rc_session_push(sh, s, rc_seg_new(frame, n));
    log_end(sh, s, c, why);
    c->out = rc_malloc(sizeof(*c->out));
    *c->out = s->out;
    s->out = (struct rc_outq){0};
    c->ops = &tail_ops;
    c->user = NULL;
    s->conn = NULL;
    s->fd = RC_FD_NONE;
    rc_conn_finish(c, why);
}

/* ---- an open one ---- */

/* Ends session and connection after a breach of the WebSocket protocol, or at its close. */
RC_ON_SHARD static void end_both(struct rc_shard *sh, struct rc_session *s, unsigned code,
                                 enum rc_close why)
{
    rc_wsconn_end(sh, s, code, RC_STR_NONE, why);
    rc_session_close(sh, s, why);
}

RC_ON_SHARD static void dispatch(struct rc_shard *sh, struct rc_session *s, uint8_t opcode,
                                 struct rc_str data)
{
    if (s->kind == RC_SESSION_ENDPOINT)
        rc_endpoint_message(sh, s, opcode, data);
    else if (opcode == RC_WS_TEXT)
        rc_engine_text(sh, s, data);
    else
        rc_engine_binary(sh, s, data);
}

RC_ON_SHARD static void on_piece(struct rc_shard *sh, struct rc_session *s,
                                 const struct rc_ws_event *ev)
{
    struct rc_buf hold = RC_BUF_INIT;
    struct rc_str message;
    int rc = rc_wsin_piece(&s->in, ev, &hold, &message);

    if (rc == RC_OK) {
        if (rc_meter_message(sh, s))
            dispatch(sh, s, ev->opcode, message);
    } else if (rc != RC_EAGAIN) {
        end_both(sh, s, rc_wsin_code(rc),
                 rc == RC_EPROTO   ? RC_CLOSE_WS_PROTOCOL
                 : rc == RC_ELIMIT ? RC_CLOSE_TOO_BIG
                                   : RC_CLOSE_MEMORY);
    }
    rc_buf_deinit(&hold);
}

RC_ON_SHARD static void on_ws_event(struct rc_shard *sh, struct rc_session *s,
                                    const struct rc_ws_event *ev)
{
    struct rc_seg *seg;
    size_t n;

    switch (ev->type) {
    case RC_WS_EV_DATA: on_piece(sh, s, ev); return;
    case RC_WS_EV_PING:
        if (!rc_meter_message(sh, s))
            return;
        seg = rc_seg_new(NULL, 2 + ev->data.len);
        n = rc_ws_header(rc_seg_bytes(seg), RC_WS_PONG, false, ev->data.len);
        if (ev->data.len != 0)
            memcpy(rc_seg_bytes(seg) + n, ev->data.p, ev->data.len);
        rc_session_push(sh, s, seg);
        return;
    case RC_WS_EV_PONG:
        if (s->kind == RC_SESSION_ENDPOINT)
            rc_endpoint_pong(sh, s);
        return;
    case RC_WS_EV_CLOSE: end_both(sh, s, ev->code, RC_CLOSE_WS_CLOSED); return;
    }
}

/* ---- a message that does not come to its end ---- */

enum { STEP = 65536 }; /* bytes of a message that buy it another limits.message_timeout */

/* Grows with each step, and with each attachment of a packet. Not inlined, nor what follows: on_data() has
 * whole messages, mostly. */
__attribute__((noinline)) static size_t progress_of(const struct rc_session *s)
{
    return rc_wsin_gathered(&s->in) / STEP + rc_assembly_progress(s->assembly);
}

/* rest: there are bytes that are no whole frame yet. */
__attribute__((noinline)) RC_ON_SHARD static void watch_message(struct rc_shard *sh,
                                                                struct rc_session *s, bool rest,
                                                                size_t before)
{
    struct rc_timer *t = &s->conn->timer;

    if (!rest && s->assembly == NULL && !rc_wsin_is_open(&s->in)) {
        if (rc_timer_running(t))
            rc_timer_stop(t);
    } else if (!rc_timer_running(t) || progress_of(s) != before) {
        rc_timer_start(&sh->q_message, t, sh->loop.now_ms);
    }
}

static void on_message_overdue(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_session *s = RC_CONTAINER(t, struct rc_conn, timer)->user;

    rc_assert_on_shard(sh);
    if (s->paused != 0) { /* its end may wait for us to read it */
        rc_timer_start(&sh->q_message, t, sh->loop.now_ms);
        return;
    }
    rc_wsconn_end(sh, s, RC_WS_POLICY, RC_STR("a message did not arrive in time"),
                  RC_CLOSE_MESSAGE_TIMEOUT);
    rc_session_close(sh, s, RC_CLOSE_MESSAGE_TIMEOUT);
}

void rc_wsconn_init(struct rc_shard *sh)
{
    rc_timerq_init(&sh->q_message, sh->app->conf->limits_message_timeout, on_message_overdue,
                   sh);
    rc_loop_add_timerq(&sh->loop, &sh->q_message);
}

static size_t on_data(struct rc_conn *c, uint8_t *data, size_t len)
{
    struct rc_shard *sh = rc_shard_of(c);
    struct rc_session *s = c->user;
    struct rc_ws_event ev;
    size_t used = 0, progress = 0;

    rc_assert_on_shard(sh);
    rc_conn_settle(c);
    s->in_input = true;
    if (s->in.partial != NULL || s->assembly != NULL)
        progress = progress_of(s);
    while (used < len && s->paused == 0 && s->conn == c) {
        int64_t n = rc_wsin_decode(&s->in, data + used, len - used, &ev);

        if (n == RC_EAGAIN)
            break;
        if (n < 0) {
            end_both(sh, s, ev.code,
                     ev.code == RC_WS_TOO_BIG ? RC_CLOSE_TOO_BIG : RC_CLOSE_WS_PROTOCOL);
            break;
        }
        used += (size_t)n;
        on_ws_event(sh, s, &ev);
    }
    if (s->conn == c)
        rc_meter_bytes(sh, s, used);
    s->in_input = false;
    if (s->conn != c)
        return 0;
    if (s->paused != 0)
        rc_conn_pause(c);
    else if (used != len || s->in.partial != NULL || s->assembly != NULL ||
             rc_timer_running(&c->timer))
        watch_message(sh, s, used != len, progress);
    return used;
}

static void on_eof(struct rc_conn *c)
{
    rc_assert_on_shard(c->loop->owner);
    rc_conn_close(c, RC_CLOSE_PEER);
}

static void on_drain(struct rc_conn *c)
{
    rc_assert_on_shard(c->loop->owner);
    rc_session_set_fd(c->user);
}

static void on_close(struct rc_conn *c, enum rc_close reason)
{
    struct rc_shard *sh = rc_shard_of(c);
    struct rc_session *s = c->user;

    rc_assert_on_shard(sh);
    log_end(sh, s, c, reason);
    rc_front_gone(sh, c);
    s->conn = NULL;
    s->fd = RC_FD_NONE;
    rc_session_close(sh, s, reason);
}

static const struct rc_conn_ops ws_ops = {.on_data = on_data,
                                          .on_eof = on_eof,
                                          .on_drain = on_drain,
                                          .on_close = on_close};

bool rc_wsconn_is(const struct rc_conn *c)
{
    return c->ops == &ws_ops;
}

void rc_wsconn_attach(struct rc_shard *sh, struct rc_session *s, struct rc_conn *c,
                      const struct rc_wsin *in)
{
    struct rc_outq before = {0};

    if (c->out != NULL)
        rc_outq_append(&before, c->out);
    rc_outq_append(&before, &s->out);
    s->out = before;
    s->conn = c;
    rc_session_set_fd(s);
    c->ops = &ws_ops;
    c->user = s;
    c->out = s->held == 0 ? &s->out : NULL;
    rc_timer_stop(&c->timer);
    s->in = *in;
    if (in->deflate.on)
        s->form += (uint8_t)RC_FORM_DEFLATE(rc_deflate_window(&in->deflate));
    if (!rc_outq_empty(&s->out))
        rc_session_touch(sh, s);
}

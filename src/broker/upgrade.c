/* upgrade.c - a polling session goes over to WebSocket.
 *
 *   client                     server
 *   WebSocket with sid   ──>   101                 polls go on as before
 *   2probe               ──>   3probe, upgrading   every poll is answered at once: noop
 *   5                    ──>   the queue goes out by WebSocket; polls get 400 */
#include "rc/base/mem.h"
#include "rc/broker/admin_ui.h"
#include "rc/broker/engine.h"
#include "rc/broker/polling.h"
#include "rc/broker/shard.h"

#include <stdlib.h>

enum { PROBE_MAX = 125 };

struct rc_probe {
    struct rc_outq out;
    struct rc_wsin in;
    struct rc_session *session; /* NULL: given up, the connection only ends */
    bool b64;                   /* binary data is to be text */
};

int rc_engine_may_upgrade(struct rc_shard *sh, struct rc_str sid)
{
    struct rc_session *s = rc_engine_find(sh, sid);

    if (s == NULL || s->closed)
        return RC_EIO_UNKNOWN_SID;
    if (s->polling == NULL || s->polling->probe != NULL ||
        !sh->app->conf->socketio_allow_upgrades)
        return RC_EIO_BAD_REQUEST;
    return -1;
}

/* A short frame: payload has 125 bytes at most. */
RC_ON_SHARD static void send_frame(struct rc_conn *c, enum rc_ws_opcode op,
                                   struct rc_str payload)
{
    struct rc_probe *pr = c->user;
    uint8_t frame[2 + 125];
    size_t n = rc_ws_header(frame, op, false, payload.len);

    if (payload.len != 0)
        memcpy(frame + n, payload.p, payload.len);
    rc_outq_push(&pr->out, rc_seg_new(frame, n + payload.len));
    rc_conn_flush(c);
}

/* The probe is over without an upgrade: the polling session lives on. */
RC_ON_SHARD static void give_up(struct rc_conn *c, unsigned code, enum rc_close why)
{
    struct rc_probe *pr = c->user;
    uint8_t frame[2 + 125];

    if (pr->session != NULL) {
        struct rc_polling *p = pr->session->polling;

        p->probe = NULL;
        p->upgrading = false;
        rc_timer_stop(&p->upgrade);
        pr->session = NULL;
    }
    if (!rc_conn_open(c))
        return;
    rc_outq_push(&pr->out,
                 rc_seg_new(frame, rc_ws_close_frame(frame, (uint16_t)code, RC_STR_NONE)));
    rc_conn_finish(c, why);
}

void rc_probe_cancel(struct rc_session *s, enum rc_close why)
{
    if (s->polling->probe != NULL)
        give_up(s->polling->probe, 0, why);
}

/* The client has gone over: the connection becomes the session's. */
RC_ON_SHARD static void complete(struct rc_shard *sh, struct rc_conn *c)
{
    struct rc_probe *pr = c->user;
    struct rc_session *s = pr->session;

    s->polling->probe = NULL;
    if (s->polling->get != 0)
        rc_polling_noop(sh, s);
    rc_polling_free(s);
    rc_stat_add(&sh->stats.transport[s->kind], -1);
    s->kind = RC_SESSION_WEBSOCKET;
    if (sh->ui != NULL)
        rc_ui_upgraded(sh, s);
    rc_stat_add(&sh->stats.transport[s->kind], 1);
    rc_session_set_form(sh, s, rc_form_of(s->eio3, pr->b64));
    pr->in.max = (uint32_t)sh->app->conf->socketio_max_payload;
    rc_wsconn_attach(sh, s, c, &pr->in);
    free(pr);
    rc_shard_log(sh, RC_LOG_DEBUG, "conn=%u.%u session=%u upgraded to websocket", sh->index,
                 c->hdr.slot, s->hdr.slot);
    if (sh->stopping) /* on_stop() let the upgrade come to its end */
        rc_session_close(sh, s, RC_CLOSE_SHUTDOWN);
}

/* A whole message. True when the connection now is the session's own. */
RC_ON_SHARD static bool on_text(struct rc_shard *sh, struct rc_conn *c, struct rc_str text)
{
    struct rc_probe *pr = c->user;
    struct rc_polling *p = pr->session->polling;

    if (rc_str_eq(text, RC_STR("5"))) { /* the reference asks for no probe before */
        complete(sh, c);
        return true;
    }
    if (!rc_str_eq(text, RC_STR("2probe")) || p->upgrading) {
        give_up(c, 0, RC_CLOSE_UPGRADE_FAILED);
        return false;
    }
    p->upgrading = true;
    if (p->get != 0)
        rc_polling_noop(sh, pr->session);
    send_frame(c, RC_WS_TEXT, RC_STR("3probe"));
    return false;
}

/* True when the connection now is the session's own. */
RC_ON_SHARD static bool on_piece(struct rc_shard *sh, struct rc_conn *c,
                                 const struct rc_ws_event *ev)
{
    struct rc_probe *pr = c->user;
    struct rc_buf hold = RC_BUF_INIT;
    struct rc_str text;
    int rc = rc_wsin_piece(&pr->in, ev, &hold, &text);
    bool over = false;

    if (rc == RC_OK && ev->opcode == RC_WS_TEXT)
        over = on_text(sh, c, text);
    else if (rc == RC_OK || ev->opcode != RC_WS_TEXT)
        give_up(c, 0, RC_CLOSE_UPGRADE_FAILED);
    else if (rc != RC_EAGAIN)
        give_up(c, rc_wsin_code(rc), RC_CLOSE_WS_PROTOCOL);
    rc_buf_deinit(&hold);
    return over;
}

RC_ON_SHARD static bool on_ws_event(struct rc_shard *sh, struct rc_conn *c,
                                    const struct rc_ws_event *ev)
{
    if (ev->type == RC_WS_EV_DATA)
        return on_piece(sh, c, ev);
    if (ev->type == RC_WS_EV_CLOSE) {
        give_up(c, ev->code, RC_CLOSE_WS_CLOSED);
    } else if (ev->type == RC_WS_EV_PING) {
        send_frame(c, RC_WS_PONG, ev->data);
        if (c->out != NULL && rc_outq_cost(c->out) > sh->app->conf->limits_max_queue)
            give_up(c, 0, RC_CLOSE_SLOW);
    }
    return false;
}

static size_t on_data(struct rc_conn *c, uint8_t *data, size_t len)
{
    struct rc_shard *sh = rc_shard_of(c);
    struct rc_probe *pr = c->user;
    struct rc_ws_event ev;
    size_t used = 0;

    rc_assert_on_shard(sh);
    while (used < len && rc_conn_open(c) && pr->session != NULL) {
        int64_t n;

        if (pr->session->paused != 0) { /* its POSTs come first */
            rc_conn_pause(c);
            break;
        }
        n = rc_wsin_decode(&pr->in, data + used, len - used, &ev);
        if (n == RC_EAGAIN)
            break;
        if (n < 0) {
            give_up(c, ev.code, RC_CLOSE_WS_PROTOCOL);
            break;
        }
        used += (size_t)n;
        if (on_ws_event(sh, c, &ev))
            return used + (used < len ? c->ops->on_data(c, data + used, len - used) : 0);
    }
    return rc_conn_open(c) ? used : 0;
}

static void on_eof(struct rc_conn *c)
{
    rc_assert_on_shard(c->loop->owner);
    rc_conn_close(c, RC_CLOSE_PEER);
}

static void on_close(struct rc_conn *c, enum rc_close reason)
{
    struct rc_shard *sh = rc_shard_of(c);
    struct rc_probe *pr = c->user;
    char peer[RC_ADDR_TEXT];

    rc_assert_on_shard(sh);
    give_up(c, 0, reason);
    rc_stat_add(&sh->stats.closed[reason], 1);
    rc_front_gone(sh, c);
    rc_shard_log(sh, RC_LOG_INFO, "conn=%u.%u peer=%s probe closed reason=%s", sh->index,
                 c->hdr.slot, rc_addr_text(&c->peer, peer), rc_close_text(reason));
    rc_outq_clear(&pr->out);
    rc_wsin_deinit(&pr->in);
    free(pr);
    c->user = NULL;
}

static const struct rc_conn_ops probe_ops = {.on_data = on_data,
                                             .on_eof = on_eof,
                                             .on_close = on_close};

void rc_engine_probe(struct rc_shard *sh, struct rc_session *s, struct rc_conn *c,
                     const struct rc_handshake *hs)
{
    struct rc_probe *pr = rc_calloc(1, sizeof(*pr));

    if (c->out != NULL)
        rc_outq_append(&pr->out, c->out);
    pr->session = s;
    pr->b64 = hs->b64;
    rc_wsin_init(&pr->in, PROBE_MAX, hs->deflate);
    s->polling->probe = c;
    c->ops = &probe_ops;
    c->user = pr;
    c->out = &pr->out;
    rc_timer_stop(&c->timer);
    rc_timer_start(&sh->q_upgrade, &s->polling->upgrade, sh->loop.now_ms);
    rc_conn_flush(c);
}

static void on_upgrade_overdue(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_polling *p = RC_CONTAINER(t, struct rc_polling, upgrade);

    rc_assert_on_shard(sh);
    give_up(p->probe, 0, RC_CLOSE_UPGRADE_FAILED);
}

void rc_upgrade_init(struct rc_shard *sh)
{
    rc_timerq_init(&sh->q_upgrade, sh->app->conf->socketio_upgrade_timeout, on_upgrade_overdue,
                   sh);
    rc_loop_add_timerq(&sh->loop, &sh->q_upgrade);
}

/* engine.c - Engine.IO sessions on their shard: packets, heartbeat, handshake, upgrade.
 * Long-polling itself is in polling.c. */
#include "rc/broker/engine.h"

#include "rc/broker/admin_ui.h"
#include "rc/broker/front_int.h"
#include "rc/broker/identity.h"
#include "rc/broker/json_client.h"
#include "rc/broker/polling.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"
#include "rc/proto/eio3.h"

#include <stdlib.h>

/* ---- packets ---- */

void rc_engine_fail(struct rc_shard *sh, struct rc_session *s, enum rc_close why)
{
    if (s->polling != NULL)
        s->polling->tell = true;
    rc_session_close(sh, s, why);
}

/* In Engine.IO 4 the server pings, in 3 the client does: a packet the other way is an error. */
RC_ON_SHARD static void on_ping(struct rc_shard *sh, struct rc_session *s)
{
    if (!s->eio3) {
        rc_session_close(sh, s, RC_CLOSE_PARSE);
        return;
    }
    rc_timer_start(&sh->q_client_ping, &s->beat, sh->loop.now_ms);
    rc_session_text(sh, s, RC_STR("3"));
}

RC_ON_SHARD static void on_pong(struct rc_shard *sh, struct rc_session *s)
{
    if (s->eio3)
        rc_session_close(sh, s, RC_CLOSE_PARSE);
    else
        rc_timer_start(&sh->q_ping, &s->beat, sh->loop.now_ms);
}

void rc_engine_packet(struct rc_shard *sh, struct rc_session *s, const struct rc_eio_packet *p)
{
    if (p->data.len != 0)
        rc_ui_packets_in(sh, p->data.len);
    if (p->binary) {
        rc_socket_binary(sh, s, p->data);
        return;
    }
    switch (p->type) {
    case RC_EIO_MESSAGE: rc_socket_text(sh, s, p->data); return;
    case RC_EIO_PING: on_ping(sh, s); return;
    case RC_EIO_PONG: on_pong(sh, s); return;
    case RC_EIO_CLOSE: rc_session_close(sh, s, RC_CLOSE_CLIENT); return;
    case RC_EIO_OPEN:
    case RC_EIO_UPGRADE:
    case RC_EIO_NOOP: return;
    }
}

void rc_engine_text(struct rc_shard *sh, struct rc_session *s, struct rc_str msg)
{
    struct rc_eio_packet p;

    if ((s->eio3 ? rc_eio3_parse_text(msg, &p) : rc_eio_parse_text(msg, &p)) != RC_OK) {
        rc_session_close(sh, s, RC_CLOSE_PARSE);
        return;
    }
    rc_engine_packet(sh, s, &p);
}

void rc_engine_binary(struct rc_shard *sh, struct rc_session *s, struct rc_str msg)
{
    struct rc_eio_packet p = {.type = RC_EIO_MESSAGE, .binary = true, .data = msg};

    if (s->eio3)
        rc_eio3_parse_binary(msg, &p);
    rc_engine_packet(sh, s, &p);
}

/* ---- heartbeat: the sweeper is the loop, which walks the queues of what is due ---- */

static void on_ping_due(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_session *s = RC_CONTAINER(t, struct rc_session, beat);

    rc_assert_on_shard(sh);
    rc_session_push(sh, s, rc_seg_ref(sh->ping));
    rc_timer_start(&sh->q_pong, &s->beat, sh->loop.now_ms);
}

/* The pong, or of a client of Engine.IO 3 the ping. */
static void on_pong_overdue(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_session *s = RC_CONTAINER(t, struct rc_session, beat);

    rc_assert_on_shard(sh);
    if (s->paused != 0) { /* it may be waiting for us to read it */
        rc_timer_start(&sh->q_pong, t, sh->loop.now_ms);
        return;
    }
    rc_stat_add(&sh->stats.heartbeat_timeouts, 1);
    rc_session_close(sh, s, RC_CLOSE_PING_TIMEOUT);
}

static void on_join_overdue(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    const struct rc_joining *j = RC_CONTAINER(t, struct rc_joining, timer);

    rc_assert_on_shard(sh);
    if (j->session->kind == RC_SESSION_ENDPOINT)
        rc_json_client_overdue(sh, j->session);
    else
        rc_session_close(sh, j->session, RC_CLOSE_CONNECT_TIMEOUT);
}

/* ---- handshakes ---- */

/* sid: to be filled in. */
RC_ON_SHARD static void send_open(struct rc_shard *sh, struct rc_session *s,
                                  char sid[RC_SID_LEN + 1])
{
    bool upgrades = s->kind == RC_SESSION_POLLING && sh->app->websocket &&
                    sh->app->conf->socketio_allow_upgrades;
    struct rc_seg *frame = rc_seg_new(sh->open[upgrades]->data, sh->open[upgrades]->len);

    rc_session_sid(sh, s, sid);
    memcpy(rc_seg_bytes(frame) + sh->open_sid[upgrades], sid, RC_SID_LEN);
    rc_session_push(sh, s, frame);
}

/* The frame of the open packet, but for the sid: that has its place, but is none. */
static void make_open(struct rc_shard *sh, bool upgrades)
{
    static const char blank[RC_SID_LEN + 1] = "....................";
    const struct rc_conf *conf = sh->app->conf;
    const struct rc_eio_open open = {.sid = rc_str_of(blank),
                                     .upgrade_websocket = upgrades,
                                     .ping_interval_ms = conf->socketio_ping_interval,
                                     .ping_timeout_ms = conf->socketio_ping_timeout,
                                     .max_payload = (uint32_t)conf->socketio_max_payload};
    struct rc_str frame;

    rc_frames_begin(&sh->scratch);
    rc_eio_put_open(&sh->scratch, &open);
    rc_frames_end(&sh->scratch);
    frame = rc_frames(&sh->scratch);
    sh->open[upgrades] = rc_seg_new(frame.p, frame.len);
    sh->open_sid[upgrades] =
        (uint8_t)((const char *)memmem(frame.p, frame.len, blank, RC_SID_LEN) - frame.p);
}

RC_ON_SHARD static void start_timers(struct rc_shard *sh, struct rc_session *s)
{
    rc_timer_start(s->eio3 ? &sh->q_client_ping : &sh->q_ping, &s->beat, sh->loop.now_ms);
    rc_session_await(sh, s);
}

RC_ON_SHARD static struct rc_session *new_session(struct rc_shard *sh,
                                                  enum rc_session_kind kind,
                                                  const struct rc_handshake *hs)
{
    struct rc_session *s = rc_session_new(sh, kind);

    if (s == NULL)
        return NULL;
    if (hs->eio3)
        rc_session_set_eio3(sh, s);
    rc_session_set_parser(s, s->eio3 ? RC_PARSER_JSON : sh->app->conf->socketio_parser);
    return s;
}

void rc_engine_open_polling(struct rc_shard *sh, rc_id conn, const struct rc_handshake *hs)
{
    struct rc_session *s = sh->draining ? NULL : new_session(sh, RC_SESSION_POLLING, hs);
    char sid[RC_SID_LEN + 1], peer[RC_ADDR_TEXT];

    if (s == NULL) {
        free(hs->token);
        rc_front_reply(sh, conn, RC_REPLY_EMPTY, 503, NULL);
        return;
    }
    rc_identity_session(sh, s, hs->token);
    rc_polling_new(s, hs);
    send_open(sh, s, sid);
    rc_http_set_cookie(sh, conn, rc_str_of(sid));
    s->polling->get = conn;
    rc_polling_flush(sh, s);
    start_timers(sh, s);
    rc_shard_log(sh, RC_LOG_DEBUG, "session=%u peer=%s opened transport=polling eio=%d",
                 s->hdr.slot, rc_addr_text(hs->peer, peer), s->eio3 ? 3 : 4);
    if (s->eio3)
        rc_socket_connect_root(sh, s);
}

void rc_engine_open_websocket(struct rc_shard *sh, struct rc_conn *c,
                              const struct rc_handshake *hs)
{
    struct rc_session *s = new_session(sh, RC_SESSION_WEBSOCKET, hs);
    char sid[RC_SID_LEN + 1];
    struct rc_wsin in;

    RC_ASSERT(s != NULL); /* rc_session_possible() was asked */
    rc_identity_session(sh, s, hs->token);
    rc_session_set_form(sh, s, rc_form_of(hs->eio3, hs->b64));
    rc_wsin_init(&in, (uint32_t)sh->app->conf->socketio_max_payload, hs->deflate);
    rc_wsconn_attach(sh, s, c, &in);
    send_open(sh, s, sid);
    start_timers(sh, s);
    rc_shard_log(sh, RC_LOG_DEBUG, "conn=%u.%u session=%u opened transport=websocket eio=%d",
                 sh->index, c->hdr.slot, s->hdr.slot, s->eio3 ? 3 : 4);
    if (s->eio3)
        rc_socket_connect_root(sh, s);
}

void rc_engine_renew(struct rc_shard *sh)
{
    for (unsigned upgrades = 0; upgrades < 2; upgrades++) {
        rc_seg_unref(sh->open[upgrades]);
        make_open(sh, upgrades != 0);
    }
}

void rc_engine_init(struct rc_shard *sh)
{
    static const uint8_t ping[] = {0x80 | RC_WS_TEXT, 1, '2'};
    const struct rc_conf *conf = sh->app->conf;

    rc_timerq_init(&sh->q_ping, conf->socketio_ping_interval, on_ping_due, sh);
    rc_timerq_init(&sh->q_pong, conf->socketio_ping_timeout, on_pong_overdue, sh);
    rc_timerq_init(&sh->q_client_ping,
                   conf->socketio_ping_interval + conf->socketio_ping_timeout, on_pong_overdue,
                   sh);
    rc_timerq_init(&sh->q_join, conf->socketio_connect_timeout, on_join_overdue, sh);
    rc_loop_add_timerq(&sh->loop, &sh->q_ping);
    rc_loop_add_timerq(&sh->loop, &sh->q_pong);
    rc_loop_add_timerq(&sh->loop, &sh->q_client_ping);
    rc_loop_add_timerq(&sh->loop, &sh->q_join);
    rc_polling_init(sh);
    sh->ping = rc_seg_new(ping, sizeof(ping));
    make_open(sh, false);
    make_open(sh, true);
}

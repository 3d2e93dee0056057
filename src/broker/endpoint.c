/* endpoint.c - plain WebSocket endpoints: what the INI's [endpoint /PATH] says. */
#include "rc/base/mem.h"
#include "rc/broker/admin_ui.h"
#include "rc/broker/identity.h"
#include "rc/broker/json_client.h"
#include "rc/broker/lane.h"
#include "rc/broker/room.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"

#include <stdlib.h>

RC_ON_SHARD static void echo(struct rc_shard *sh, struct rc_session *s,
                             const struct rc_nsp *nsp, uint8_t opcode, struct rc_str data)
{
    struct rc_str prefix = opcode == RC_WS_TEXT ? nsp->prefix : RC_STR_NONE;
    uint8_t head[RC_WS_HEADER_MAX];
    size_t n = rc_ws_header(head, (enum rc_ws_opcode)opcode, false, prefix.len + data.len);
    struct rc_seg *seg = rc_seg_new(NULL, n + prefix.len + data.len);
    uint8_t *to = rc_seg_bytes(seg);

    memcpy(to, head, n);
    if (prefix.len != 0)
        memcpy(to + n, prefix.p, prefix.len);
    if (data.len != 0)
        memcpy(to + n + prefix.len, data.p, data.len);
    rc_session_push(sh, s, seg);
}

/* To everybody on the endpoint but the sender. */
RC_ON_SHARD static void relay(struct rc_shard *sh, struct rc_session *s,
                              const struct rc_nsp *nsp, uint8_t opcode, struct rc_str data)
{
    struct rc_buf *b = &sh->scratch;
    uint64_t hash = rc_room_hash(nsp->index, RC_STR_NONE);

    /* One room, one owner: the lane never has to change. */
    (void)rc_lane_enter(sh, s, rc_room_owner(sh, hash));
    rc_buf_reset(b);
    rc_ws_put_header(b, (enum rc_ws_opcode)opcode, false, data.len);
    rc_buf_puts(b, data);
    RC_ASSERT(!b->failed);
    rc_publish(sh, s, rc_pub_new(nsp->index, RC_STR_NONE, hash, b->data, b->len),
               rc_socket_id(sh, s->sockets));
}

void rc_endpoint_message(struct rc_shard *sh, struct rc_session *s, uint8_t opcode,
                         struct rc_str data)
{
    const struct rc_nsp *nsp = &sh->app->nsp[s->nsp];

    if (sh->over_rate && nsp->endpoint != RC_ENDPOINT_JSON) {
        rc_stat_add(&sh->stats.rate_dropped, 1);
        return;
    }
    switch (nsp->endpoint) {
    case RC_ENDPOINT_ECHO: echo(sh, s, nsp, opcode, data); break;
    case RC_ENDPOINT_RELAY: relay(sh, s, nsp, opcode, data); break;
    case RC_ENDPOINT_JSON: rc_json_client_message(sh, s, opcode, data); return;
    case RC_ENDPOINT_NONE: return;
    }
    rc_stat_add(&sh->stats.events_in, 1);
}

/* RFC 6455 section 7.4.1: 1008 is for what violates a policy. */
void rc_endpoint_refuse(struct rc_shard *sh, struct rc_session *s, enum rc_token_fault fault)
{
    struct rc_str text = rc_str_of(rc_token_fault_text(fault));

    if (sh->app->nsp[s->nsp].endpoint == RC_ENDPOINT_JSON)
        rc_json_client_refuse(sh, s, rc_token_fault_code(fault), text);
    rc_wsconn_end(sh, s, RC_WS_POLICY, text, RC_CLOSE_TOKEN);
    rc_session_close(sh, s, RC_CLOSE_TOKEN);
}

/* The client is the only socket of its session, in the endpoint's own name space. */
RC_ON_SHARD static void enter(struct rc_shard *sh, struct rc_session *s)
{
    struct rc_socket *k = rc_pool_get(&sh->sockets);

    RC_ASSERT(k != NULL); /* rc_session_possible() was asked */
    k->nsp = s->nsp;
    s->sockets = k;
    s->nsockets = 1;
    k->session = s;
    rc_stat_add(&sh->stats.sockets, 1);
    if (sh->ui != NULL)
        rc_ui_connected(sh, k);
    rc_local_enter_all(sh, k);
}

void rc_endpoint_open(struct rc_shard *sh, const struct rc_nsp *nsp, struct rc_conn *c,
                      const struct rc_deflate_params *deflate, enum rc_token_fault fault,
                      struct rc_token *token)
{
    struct rc_session *s = rc_session_new(sh, RC_SESSION_ENDPOINT);
    struct rc_wsin in;

    RC_ASSERT(s != NULL);
    s->nsp = nsp->index;
    if (nsp->endpoint == RC_ENDPOINT_JSON)
        s->form = nsp->untyped ? RC_FORM_UNTYPED : RC_FORM_JSON;
    rc_wsin_init(&in, nsp->max_payload, deflate);
    rc_wsconn_attach(sh, s, c, &in);
    if (fault != RC_TOKEN_NONE) {
        rc_endpoint_refuse(sh, s, fault);
        return;
    }
    rc_identity_session(sh, s, token);
    rc_timer_start(&sh->q_endpoint[nsp->index]->ping, &s->beat, sh->loop.now_ms);
    if (nsp->endpoint == RC_ENDPOINT_JSON)
        rc_json_client_open(sh, s);
    else
        enter(sh, s);
}

void rc_endpoint_pong(struct rc_shard *sh, struct rc_session *s)
{
    rc_timer_start(&sh->q_endpoint[s->nsp]->ping, &s->beat, sh->loop.now_ms);
}

/* A WebSocket ping (RFC 6455 section 5.5.2) is due, or its pong overdue. */
static void on_ping_due(struct rc_timer *t, void *arg)
{
    static const uint8_t ping[] = {0x80 | RC_WS_PING, 0};
    struct rc_shard *sh = arg;
    struct rc_session *s = RC_CONTAINER(t, struct rc_session, beat);

    rc_assert_on_shard(sh);
    rc_session_push(sh, s, rc_seg_new(ping, sizeof(ping)));
    rc_timer_start(&sh->q_endpoint[s->nsp]->pong, &s->beat, sh->loop.now_ms);
}

static void on_pong_overdue(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_session *s = RC_CONTAINER(t, struct rc_session, beat);

    rc_assert_on_shard(sh);
    if (s->paused != 0) { /* its pong may be waiting for us to read it */
        rc_timer_start(&sh->q_endpoint[s->nsp]->pong, t, sh->loop.now_ms);
        return;
    }
    rc_stat_add(&sh->stats.heartbeat_timeouts, 1);
    rc_conn_close(s->conn, RC_CLOSE_PING_TIMEOUT);
}

void rc_endpoint_renew(struct rc_shard *sh, unsigned nhad)
{
    const struct rc_app *app = sh->app;

    for (unsigned i = 0; i < nhad; i++) {
        if (sh->q_endpoint[i] == NULL)
            continue;
        rc_timerq_set(&sh->q_endpoint[i]->ping, app->nsp[i].ping_ms, sh->loop.now_ms);
        rc_timerq_set(&sh->q_endpoint[i]->pong, app->nsp[i].ping_ms, sh->loop.now_ms);
    }
    sh->q_endpoint =
        rc_realloc(sh->q_endpoint, app->nnsps * sizeof(struct rc_endpoint_timers *));
    for (unsigned i = nhad; i < app->nnsps; i++) {
        struct rc_endpoint_timers *q = NULL;

        if (app->nsp[i].endpoint != RC_ENDPOINT_NONE) {
            q = rc_calloc(1, sizeof(*q));
            rc_timerq_init(&q->ping, app->nsp[i].ping_ms, on_ping_due, sh);
            rc_timerq_init(&q->pong, app->nsp[i].ping_ms, on_pong_overdue, sh);
            rc_loop_add_timerq(&sh->loop, &q->ping);
            rc_loop_add_timerq(&sh->loop, &q->pong);
        }
        sh->q_endpoint[i] = q;
    }
}

void rc_endpoint_init(struct rc_shard *sh)
{
    rc_endpoint_renew(sh, 0);
}

void rc_endpoint_deinit(struct rc_shard *sh)
{
    for (unsigned i = 0; i < sh->app->nnsps; i++)
        free(sh->q_endpoint[i]);
    free(sh->q_endpoint);
}

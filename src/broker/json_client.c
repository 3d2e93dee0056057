/* json_client.c - clients of json endpoints: their messages in, and what only they are told. */
#include "rc/broker/json_client.h"

#include "rc/broker/ask.h"
#include "rc/broker/identity.h"
#include "rc/broker/lane.h"
#include "rc/broker/meter.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"
#include "rc/broker/verbs.h"
#include "rc/proto/json.h"
#include "rc/proto/plain.h"

#include <stdio.h>

enum { REASON_MAX = 123 }; /* bytes of a close frame's reason */

static const struct rc_nsp *endpoint_of(const struct rc_shard *sh, const struct rc_session *s)
{
    return &sh->app->nsp[s->nsp];
}

static const struct rc_nsp *namespace_of(const struct rc_shard *sh, const struct rc_session *s)
{
    return &sh->app->nsp[endpoint_of(sh, s)->door_to];
}

/* ---- what they are told ---- */

/* An event of the server's own, in the scratch buffer: put the argument, then end. */
static void begin_event(struct rc_shard *sh, const struct rc_session *s, const char *event)
{
    rc_frames_begin(&sh->scratch);
    rc_sio_put_head(&sh->scratch, RC_SIO_EVENT, 0, namespace_of(sh, s)->name, false, 0);
    rc_buf_printf(&sh->scratch, "[\"%s\"", event);
}

static struct rc_str end_event(struct rc_shard *sh)
{
    rc_buf_putc(&sh->scratch, ']');
    rc_frames_end(&sh->scratch);
    return rc_frames(&sh->scratch);
}

/* m: what it answers to, or NULL. */
static void build_error(struct rc_shard *sh, const struct rc_session *s, const char *code,
                        struct rc_str message, const struct rc_plain *m)
{
    begin_event(sh, s, "error");
    rc_buf_printf(&sh->scratch, ",{\"code\":\"%s\",\"message\":", code);
    rc_json_string_encode(message, &sh->scratch);
    if (m != NULL && m->has_ack) {
        rc_buf_putz(&sh->scratch, ",\"ack\":");
        rc_buf_put_u64(&sh->scratch, m->ack);
    }
    rc_buf_putc(&sh->scratch, '}');
}

RC_ON_SHARD static void push_event(struct rc_shard *sh, struct rc_session *s)
{
    struct rc_str frames = end_event(sh);

    rc_session_push(sh, s, rc_seg_new(frames.p, frames.len));
}

void rc_json_client_last_error(struct rc_shard *sh, struct rc_session *s, const char *code,
                               struct rc_str message)
{
    build_error(sh, s, code, message, NULL);
    push_event(sh, s);
}

void rc_json_client_refuse(struct rc_shard *sh, struct rc_session *s, const char *code,
                           struct rc_str message)
{
    build_error(sh, s, code, message, NULL);
    sh->scratch.len--; /* the object goes on */
    rc_buf_printf(&sh->scratch, ",\"data\":{\"code\":\"%s\"}}", code);
    push_event(sh, s);
}

RC_ON_SHARD static void tell_error(struct rc_shard *sh, struct rc_session *s, const char *code,
                                   struct rc_str message, const struct rc_plain *m)
{
    build_error(sh, s, code, message, m);
    rc_lane_reply(sh, s, end_event(sh));
}

RC_ON_SHARD static void tell_ok(struct rc_shard *sh, struct rc_session *s,
                                const struct rc_plain *m)
{
    if (!m->has_ack)
        return;
    rc_frames_begin(&sh->scratch);
    rc_sio_put_head(&sh->scratch, RC_SIO_ACK, 0, namespace_of(sh, s)->name, true, m->ack);
    rc_buf_putz(&sh->scratch, "[{\"ok\":true}]");
    rc_frames_end(&sh->scratch);
    rc_lane_reply(sh, s, rc_frames(&sh->scratch));
}

void rc_json_client_put_welcome(const struct rc_socket *k, struct rc_str id, struct rc_buf *to)
{
    const struct rc_token *token = rc_identity_token(k);

    rc_buf_putz(to, "{\"id\":");
    rc_json_string_encode(id, to);
    if (token != NULL) {
        rc_buf_putz(to, ",\"userId\":");
        rc_json_string_encode(token->user, to);
    }
    rc_buf_putc(to, '}');
}

/* ---- the end ---- */

RC_ON_SHARD static void end(struct rc_shard *sh, struct rc_session *s, unsigned code,
                            struct rc_str reason, enum rc_close why)
{
    if (reason.len > REASON_MAX) {
        reason.len = REASON_MAX;
        while (reason.len != 0 && ((unsigned char)reason.p[reason.len] & 0xc0) == 0x80)
            reason.len--;
    }
    rc_wsconn_end(sh, s, code, reason, why);
    rc_session_close(sh, s, why);
}

void rc_json_client_end(struct rc_shard *sh, struct rc_session *s, struct rc_str reason)
{
    struct rc_buf text = RC_BUF_INIT;

    if (rc_json_string_decode(reason, &text) != RC_OK)
        rc_buf_reset(&text);
    end(sh, s, RC_WS_POLICY, rc_buf_str(&text), RC_CLOSE_REFUSED);
    rc_buf_deinit(&text);
}

void rc_json_client_overdue(struct rc_shard *sh, struct rc_session *s)
{
    struct rc_str text = RC_STR("auth did not come in time");

    rc_json_client_last_error(sh, s, "auth_timeout", text);
    end(sh, s, RC_WS_POLICY, text, RC_CLOSE_CONNECT_TIMEOUT);
}

/* A message that is none. Whoever sends many of them is no client of ours. */
RC_ON_SHARD static void on_bad(struct rc_shard *sh, struct rc_session *s, const char *code,
                               struct rc_str message, const struct rc_plain *m)
{
    rc_shard_log(sh, RC_LOG_DEBUG, "session=%u bad message error=%s", s->hdr.slot, code);
    if (s->bad_messages >= sh->app->conf->limits_max_bad_messages) {
        rc_json_client_last_error(sh, s, code, message);
        end(sh, s, RC_WS_POLICY, RC_STR("too many bad messages"), RC_CLOSE_PARSE);
        return;
    }
    s->bad_messages++;
    tell_error(sh, s, code, message, m);
}

/* ---- auth ---- */

bool rc_json_client_may_auth(const struct rc_shard *sh, const struct rc_nsp *endpoint)
{
    return endpoint->endpoint == RC_ENDPOINT_JSON && sh->app->conf->auth_token_key[0] != '\0';
}

void rc_json_client_open(struct rc_shard *sh, struct rc_session *s)
{
    const struct rc_nsp *nsp = namespace_of(sh, s);

    if (!s->known &&
        (endpoint_of(sh, s)->auth == RC_AUTHMODE_REQUIRED || nsp->rules.connect_uses_auth))
        rc_session_await(sh, s);
    else
        rc_socket_connect(sh, s, nsp, RC_STR_NONE);
}

/* What the auth object has for a token; it may be none. Empty: it has nothing, or nobody looks. */
static struct rc_str token_in(const struct rc_shard *sh, const struct rc_session *s,
                              struct rc_str auth)
{
    const char *key = sh->app->conf->auth_token_key;
    struct rc_str value = RC_STR_NONE;

    if (endpoint_of(sh, s)->auth != RC_AUTHMODE_OFF && key[0] != '\0')
        value = rc_json_get(auth, rc_str_of(key));
    return rc_json_type(value) == RC_JSON_NULL ? RC_STR_NONE : value;
}

RC_ON_SHARD static enum rc_token_fault refresh(struct rc_shard *sh, struct rc_socket *k,
                                               struct rc_str json)
{
    enum rc_token_fault fault = RC_TOKEN_MALFORMED;
    struct rc_buf text = RC_BUF_INIT;

    if (rc_json_string_decode(json, &text) == RC_OK)
        fault = rc_identity_refresh(sh, k, rc_buf_str(&text));
    rc_buf_deinit(&text);
    return fault;
}

/* Of a client that is connected. A token makes somebody else of one that was nobody: it starts anew. */
RC_ON_SHARD static void change_auth(struct rc_shard *sh, struct rc_session *s,
                                    const struct rc_plain *m, struct rc_str auth)
{
    struct rc_str token = token_in(sh, s, auth);
    enum rc_token_fault fault = RC_TOKEN_NONE;
    struct rc_socket *k = s->sockets;

    if (auth.len > sh->app->conf->limits_max_auth_size) {
        tell_error(sh, s, "limit", RC_STR("limit limits.max_auth_size is reached"), m);
        return;
    }
    if (token.len == 0) {
        rc_socket_set_auth(sh, k, auth);
    } else if (rc_identity_token(k) != NULL) {
        fault = refresh(sh, k, token);
    } else {
        rc_socket_close(sh, k);
        rc_socket_connect(sh, s, namespace_of(sh, s), auth);
    }
    if (fault != RC_TOKEN_NONE)
        tell_error(sh, s, rc_token_fault_code(fault), rc_str_of(rc_token_fault_text(fault)), m);
    else if (!s->closed)
        tell_ok(sh, s, m);
}

RC_ON_SHARD static void on_auth(struct rc_shard *sh, struct rc_session *s,
                                const struct rc_plain *m)
{
    struct rc_buf auth = RC_BUF_INIT;

    if (sh->over_rate) {
        rc_stat_add(&sh->stats.rate_dropped, 1);
        tell_error(sh, s, RC_RATE_CODE, RC_STR(RC_RATE_TEXT), m);
        return;
    }
    rc_plain_put_object(m, &auth);
    if (auth.failed) {
        rc_session_close(sh, s, RC_CLOSE_MEMORY);
    } else if (s->sockets != NULL) {
        change_auth(sh, s, m, rc_buf_str(&auth));
    } else {
        rc_socket_connect(sh, s, namespace_of(sh, s), rc_buf_str(&auth));
        if (!s->closed)
            tell_ok(sh, s, m);
    }
    rc_buf_deinit(&auth);
}

/* ---- packets ---- */

/* The packet that a message is. */
static void put_packet(const struct rc_plain *m, struct rc_str nsp, struct rc_buf *to)
{
    bool answer = m->kind == RC_PLAIN_ANSWER;

    rc_sio_put_head(to, answer ? RC_SIO_ACK : RC_SIO_EVENT, 0, nsp, answer || m->has_ack,
                    answer ? m->ask : m->ack);
    rc_buf_putc(to, '[');
    if (!answer) {
        size_t mark;

        rc_buf_puts(to, m->type);
        rc_buf_putc(to, ',');
        mark = to->len;
        rc_plain_put_args(m, to);
        if (to->len == mark) /* "args":[] */
            to->len--;
    } else {
        rc_plain_put_args(m, to);
    }
    rc_buf_putc(to, ']');
}

RC_ON_SHARD static void on_packet(struct rc_shard *sh, struct rc_session *s,
                                  const struct rc_plain *m, struct rc_str text)
{
    struct rc_sio_packet p;
    const struct rc_event ev = {.text = text, .packet = &p};
    const char *why;
    char limit[64];
    int rc = rc_sio_parse(text, &sh->app->sio, &p, &why);

    if (rc == RC_ELIMIT) {
        (void)snprintf(limit, sizeof(limit), "limit limits.%s is reached", why);
        on_bad(sh, s, "limit", rc_str_of(limit), m);
    } else if (rc != RC_OK) { /* all but the names of events was seen to */
        on_bad(sh, s, rc_plain_fault_code(RC_PLAIN_RESERVED),
               rc_str_of(rc_plain_fault_text(RC_PLAIN_RESERVED)), m);
    } else if (m->kind == RC_PLAIN_ANSWER) {
        rc_ask_answer(sh, s->sockets, p.id, p.data, NULL, 0);
    } else {
        rc_verbs_event(sh, s->sockets, &ev);
    }
}

/* An event, or the answer to a question. */
RC_ON_SHARD static void on_event(struct rc_shard *sh, struct rc_session *s,
                                 const struct rc_plain *m)
{
    struct rc_buf packet = RC_BUF_INIT;

    if (s->sockets == NULL) {
        on_bad(sh, s, "auth_first",
               namespace_of(sh, s)->rules.connect_uses_auth
                   ? RC_STR("the first message must be auth, since [connect] reads {auth...}")
                   : RC_STR("the first message must be auth, since auth is required"),
               m);
        return;
    }
    put_packet(m, namespace_of(sh, s)->name, &packet);
    if (packet.failed)
        rc_session_close(sh, s, RC_CLOSE_MEMORY);
    else
        on_packet(sh, s, m, rc_str_skip(rc_buf_str(&packet), 1)); /* Engine.IO's '4' */
    rc_buf_deinit(&packet);
}

void rc_json_client_message(struct rc_shard *sh, struct rc_session *s, uint8_t opcode,
                            struct rc_str data)
{
    struct rc_plain m;
    enum rc_plain_fault fault;

    if (opcode != RC_WS_TEXT) {
        rc_json_client_last_error(sh, s, "binary", RC_STR("messages must be text"));
        end(sh, s, RC_WS_UNSUPPORTED, RC_STR("messages must be text"), RC_CLOSE_PARSE);
        return;
    }
    fault = rc_plain_parse(data, sh->app->conf->limits_json_depth, &m);
    if (fault != RC_PLAIN_NONE) {
        on_bad(sh, s, rc_plain_fault_code(fault), rc_str_of(rc_plain_fault_text(fault)), &m);
        return;
    }
    switch (m.kind) {
    case RC_PLAIN_AUTH: on_auth(sh, s, &m); break;
    case RC_PLAIN_PING:
        begin_event(sh, s, "pong");
        rc_lane_reply(sh, s, end_event(sh));
        break;
    case RC_PLAIN_EVENT:
    case RC_PLAIN_ANSWER: on_event(sh, s, &m); break;
    }
}

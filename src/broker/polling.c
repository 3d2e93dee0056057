/* polling.c - HTTP long-polling: GET takes what waits, POST brings packets (engine.io-protocol,
 * and the reference server where the protocol is silent). */
#include "rc/broker/polling.h"

#include "rc/base/mem.h"
#include "rc/base/utf8.h"
#include "rc/broker/engine.h"
#include "rc/broker/meter.h"
#include "rc/broker/shard.h"
#include "rc/proto/eio3.h"
#include "rc/proto/jsonp.h"

#include <stdlib.h>

typedef int (*reader_fn)(struct rc_str *rest, struct rc_eio_packet *out);

struct rc_post_body {
    struct rc_post_body *next;
    struct rc_str rest; /* of bytes, not yet worked on */
    rc_id conn;         /* to be told ok */
    reader_fn read;
    bool done;
    char bytes[];
};

void rc_polling_new(struct rc_session *s, const struct rc_handshake *hs)
{
    struct rc_polling *p = rc_calloc(1, sizeof(*p));

    p->session = s;
    p->peer = *hs->peer;
    if (hs->jsonp != NULL)
        p->jsonp = rc_strndup(hs->jsonp->p, hs->jsonp->len);
    p->b64 = hs->b64 || p->jsonp != NULL; /* a script is text */
    p->bodies_tail = &p->bodies;
    s->polling = p;
}

RC_ON_SHARD static void reply_error(struct rc_shard *sh, rc_id conn, enum rc_eio_error error)
{
    rc_front_reply(sh, conn, RC_REPLY_ERROR, (unsigned)error, NULL);
}

/* ---- out ---- */

/* Answers the pending poll, also of a session that has ended, with what is in a queue. */
RC_ON_SHARD static void answer_with(struct rc_shard *sh, struct rc_session *s,
                                    struct rc_outq *frames)
{
    struct rc_buf payload = RC_BUF_INIT, script = RC_BUF_INIT;
    struct rc_polling *p = s->polling;
    rc_id conn = p->get;
    bool bytes = rc_form_payload(frames, s->eio3, p->b64, &payload);
    const struct rc_buf *body = &payload;

    if (p->jsonp != NULL) {
        rc_jsonp_put(&script, rc_str_of(p->jsonp), rc_buf_str(&payload));
        body = &script;
    }
    RC_ASSERT(!body->failed);
    p->get = 0;
    rc_front_reply(sh, conn, bytes ? RC_REPLY_BYTES : RC_REPLY_PAYLOAD, 200,
                   rc_pub_new(0, RC_STR_NONE, 0, body->data, body->len));
    rc_buf_deinit(&payload);
    rc_buf_deinit(&script);
}

/* With everything that waits. */
RC_ON_SHARD static void answer_poll(struct rc_shard *sh, struct rc_session *s)
{
    answer_with(sh, s, &s->out);
}

/* With packets that are nothing but a type. */
RC_ON_SHARD static void answer_types(struct rc_shard *sh, struct rc_session *s,
                                     const char *types)
{
    struct rc_outq frames = {0};

    for (; *types != '\0'; types++) {
        const uint8_t frame[] = {0x80 | RC_WS_TEXT, 1, (uint8_t)*types};

        rc_outq_push(&frames, rc_seg_new(frame, sizeof(frame)));
    }
    answer_with(sh, s, &frames);
}

void rc_polling_noop(struct rc_shard *sh, struct rc_session *s)
{
    answer_types(sh, s, "6");
}

void rc_polling_flush(struct rc_shard *sh, struct rc_session *s)
{
    if (s->polling != NULL && s->polling->get != 0 && !rc_outq_empty(&s->out) && s->held == 0)
        answer_poll(sh, s);
}

/* ---- end ---- */

/* Bodies that nobody will work on any more; what was received is acknowledged all the same. */
RC_ON_SHARD static void drop_bodies(struct rc_shard *sh, struct rc_polling *p)
{
    while (p->bodies != NULL) {
        struct rc_post_body *in = p->bodies;

        p->bodies = in->next;
        rc_front_reply(sh, in->conn, RC_REPLY_OK, 200, NULL);
        free(in);
    }
    p->bodies_tail = &p->bodies;
}

void rc_polling_free(struct rc_session *s)
{
    struct rc_polling *p = s->polling;

    rc_timer_stop(&p->upgrade);
    rc_timer_stop(&p->close);
    RC_ASSERT(p->bodies == NULL);
    free(p->jsonp);
    free(p);
    s->polling = NULL;
}

void rc_polling_forget(struct rc_shard *sh, struct rc_session *s)
{
    rc_polling_free(s);
    rc_outq_clear(&s->out);
    rc_shard_bury(sh, &s->hdr);
}

static bool server_wants_it(const struct rc_polling *p, enum rc_close why)
{
    return p->tell || why == RC_CLOSE_RULE || why == RC_CLOSE_SHUTDOWN ||
           why == RC_CLOSE_CONNECT_TIMEOUT || why == RC_CLOSE_TOKEN;
}

void rc_polling_closed(struct rc_shard *sh, struct rc_session *s, enum rc_close why)
{
    struct rc_polling *p = s->polling;
    rc_id get = p->get;
    char peer[RC_ADDR_TEXT];

    rc_stat_add(&sh->stats.closed[why], 1);
    rc_shard_log(sh, RC_LOG_INFO, "session=%u peer=%s polling closed reason=%s", s->hdr.slot,
                 rc_addr_text(&p->peer, peer), rc_close_text(why));
    rc_probe_cancel(s, why);
    drop_bodies(sh, p);
    if (server_wants_it(p, why)) {
        if (get != 0 && rc_outq_empty(&s->out)) {
            answer_types(sh, s, "1");
        } else { /* told at a later poll, once it has taken what waits */
            rc_timer_start(&sh->q_poll_close, &p->close, sh->loop.now_ms);
            if (get != 0)
                answer_poll(sh, s);
            return;
        }
    } else if (get != 0) {
        answer_types(sh, s, why == RC_CLOSE_CLIENT ? "6" : "1");
    }
    rc_polling_free(s);
}

/* A poll of a session that the server has closed. */
RC_ON_SHARD static void poll_closed(struct rc_shard *sh, struct rc_session *s, rc_id conn)
{
    s->polling->get = conn;
    if (!rc_outq_empty(&s->out)) {
        answer_poll(sh, s);
        return;
    }
    answer_types(sh, s, "61");
    rc_polling_forget(sh, s);
}

static void on_close_overdue(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;

    rc_assert_on_shard(sh);
    rc_polling_forget(sh, RC_CONTAINER(t, struct rc_polling, close)->session);
}

/* ---- requests ---- */

/* The session of a request, once what its probing WebSocket has sent is taken into account: a
 * client may send the upgrade packet and a poll at the same time. NULL: it was answered. */
RC_ON_SHARD static struct rc_session *session_for(struct rc_shard *sh, struct rc_str sid,
                                                  rc_id conn)
{
    struct rc_session *s = rc_engine_find(sh, sid);

    if (s != NULL && s->polling != NULL && s->polling->probe != NULL) {
        rc_conn_poll(s->polling->probe);
        s = rc_engine_find(sh, sid);
    }
    if (s == NULL || (s->closed && s->polling == NULL)) {
        reply_error(sh, conn, RC_EIO_UNKNOWN_SID);
        return NULL;
    }
    if (s->polling == NULL) {
        reply_error(sh, conn, RC_EIO_BAD_REQUEST);
        return NULL;
    }
    return s;
}

void rc_engine_get(struct rc_shard *sh, struct rc_str sid, rc_id conn)
{
    struct rc_session *s = session_for(sh, sid, conn);

    if (s == NULL)
        return;
    if (s->polling->get != 0) {
        rc_front_reply(sh, conn, RC_REPLY_EMPTY, 400, NULL);
        rc_session_close(sh, s, RC_CLOSE_POLL_OVERLAP);
        return;
    }
    if (s->closed) {
        poll_closed(sh, s, conn);
        return;
    }
    s->polling->get = conn;
    rc_batch_before(sh, s);
    if (!rc_outq_empty(&s->out) && s->held == 0) {
        answer_poll(sh, s);
    } else if (s->polling->upgrading) {
        rc_polling_noop(sh, s);
    }
}

void rc_engine_misfit(struct rc_shard *sh, struct rc_str sid, rc_id conn)
{
    const struct rc_session *s = rc_engine_find(sh, sid);
    bool unknown = s == NULL || (s->closed && s->polling == NULL);

    reply_error(sh, conn, unknown ? RC_EIO_UNKNOWN_SID : RC_EIO_BAD_REQUEST);
}

void rc_engine_post(struct rc_shard *sh, struct rc_str sid, rc_id conn, unsigned flags)
{
    struct rc_session *s = session_for(sh, sid, conn);
    struct rc_polling *p = s != NULL ? s->polling : NULL;
    bool bytes = (flags & RC_POST_BINARY) != 0, binary = bytes && s != NULL && !s->eio3;

    if (p == NULL)
        return;
    if (binary || p->post != 0 || p->bodies != NULL || p->in_input) {
        rc_front_reply(sh, conn, RC_REPLY_EMPTY, 400, NULL);
        rc_session_close(sh, s, binary ? RC_CLOSE_PARSE : RC_CLOSE_POLL_OVERLAP);
    } else if ((flags & RC_POST_TOO_BIG) != 0) {
        rc_front_reply(sh, conn, RC_REPLY_EMPTY, 413, NULL);
    } else {
        p->post = conn;
        p->post_bytes = bytes;
    }
}

/* Works on a body until it is used up, or the session stops taking input. */
RC_ON_SHARD static void work_on(struct rc_shard *sh, struct rc_session *s,
                                struct rc_post_body *in)
{
    struct rc_eio_packet packet;

    while (!s->closed && s->paused == 0 && !in->done) {
        int rc = in->read(&in->rest, &packet);

        in->done = rc <= 0;
        if (rc == 1 && rc_meter_message(sh, s))
            rc_engine_packet(sh, s, &packet);
        else if (rc < 0)
            rc_session_close(sh, s, RC_CLOSE_PARSE);
    }
}

void rc_polling_input(struct rc_shard *sh, struct rc_session *s)
{
    struct rc_polling *p = s->polling;

    if (p->in_input)
        return;
    p->in_input = true;
    while (!s->closed && s->paused == 0 && p->bodies != NULL) {
        struct rc_post_body *in = p->bodies;

        /* Out of the list while it is worked on: the session may end, and its list with it. */
        p->bodies = in->next;
        if (p->bodies == NULL)
            p->bodies_tail = &p->bodies;
        work_on(sh, s, in);
        if (!s->closed && !in->done) {
            in->next = p->bodies;
            p->bodies = in;
            if (in->next == NULL)
                p->bodies_tail = &in->next;
            break;
        }
        rc_front_reply(sh, in->conn, RC_REPLY_OK, 200, NULL);
        free(in);
    }
    if (s->closed)
        return; /* p may be gone */
    p->in_input = false;
    if (s->paused == 0 && p->probe != NULL)
        rc_conn_resume(p->probe);
}

/* A copy of the payload that packets may be decoded in; NULL: the form has none, or is none. */
static struct rc_post_body *new_body(const struct rc_polling *p, rc_id conn, struct rc_str body)
{
    struct rc_buf form = RC_BUF_INIT;
    struct rc_post_body *in = NULL;

    if (p->jsonp == NULL || (!p->post_bytes && rc_jsonp_take(body, &form) == RC_OK)) {
        struct rc_str data = p->jsonp == NULL ? body : rc_buf_str(&form);

        in = rc_malloc(sizeof(*in) + data.len);
        *in = (struct rc_post_body){.rest = rc_str_make(in->bytes, data.len), .conn = conn};
        if (data.len != 0)
            memcpy(in->bytes, data.p, data.len);
    }
    rc_buf_deinit(&form);
    return in;
}

/* What reads the body that has come, or NULL: it is not the text that it should be. */
static reader_fn reader_of(const struct rc_session *s, struct rc_str body)
{
    if (s->polling->post_bytes)
        return rc_eio3_binary_next;
    if (!rc_utf8_valid(body))
        return NULL;
    return s->eio3 ? rc_eio3_text_next : rc_eio_payload_next;
}

void rc_engine_body(struct rc_shard *sh, struct rc_str sid, rc_id conn, struct rc_pub *body)
{
    struct rc_session *s = rc_engine_find(sh, sid);
    struct rc_post_body *in;

    if (s == NULL || s->polling == NULL || s->polling->post != conn) {
        bool over = s == NULL || (s->closed && s->polling == NULL);

        rc_pub_unref(&body);
        reply_error(sh, conn, over ? RC_EIO_UNKNOWN_SID : RC_EIO_BAD_REQUEST);
        return;
    }
    s->polling->post = 0;
    if (s->closed) { /* it waits to be told so */
        rc_pub_unref(&body);
        rc_front_reply(sh, conn, RC_REPLY_OK, 200, NULL);
        return;
    }
    in = new_body(s->polling, conn, rc_pub_data(body));
    rc_pub_unref(&body);
    if (in == NULL) { /* a form without a payload: as good as none */
        rc_front_reply(sh, conn, RC_REPLY_OK, 200, NULL);
        return;
    }
    *s->polling->bodies_tail = in;
    s->polling->bodies_tail = &in->next;
    in->read = reader_of(s, in->rest);
    rc_meter_bytes(sh, s, in->rest.len);
    if (s->closed)
        return; /* and the body with it */
    if (in->read != NULL)
        rc_polling_input(sh, s);
    else
        rc_session_close(sh, s, RC_CLOSE_PARSE);
}

void rc_engine_abort(struct rc_shard *sh, struct rc_str sid, rc_id conn, bool gone)
{
    struct rc_session *s = rc_engine_find(sh, sid);
    struct rc_polling *p = s != NULL ? s->polling : NULL;

    if (p == NULL || (p->get != conn && p->post != conn))
        return;
    if (p->get == conn)
        p->get = 0;
    else
        p->post = 0;
    if (gone && !s->closed)
        rc_session_close(sh, s, RC_CLOSE_POLL_ABORTED);
}

void rc_polling_init(struct rc_shard *sh)
{
    rc_timerq_init(&sh->q_poll_close, sh->app->conf->socketio_close_timeout, on_close_overdue,
                   sh);
    rc_loop_add_timerq(&sh->loop, &sh->q_poll_close);
    rc_upgrade_init(sh);
}

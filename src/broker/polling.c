/* polling.c - HTTP long-polling: GET takes what waits, POST brings packets (engine.io-protocol,
 * and the reference server where the protocol is silent). */
#include "rc/broker/polling.h"

#include "rc/base/b64.h"
#include "rc/base/mem.h"
#include "rc/base/utf8.h"
#include "rc/broker/engine.h"
#include "rc/broker/shard.h"
#include "rc/proto/jsonp.h"

#include <stdlib.h>

struct rc_inbox {
    struct rc_inbox *next;
    struct rc_str rest; /* of bytes, not yet worked on */
    rc_id conn;         /* to be told ok */
    bool done;
    char bytes[];
};

static const char payload_close[] = "1", payload_noop[] = "6",
                  payload_told[] = "6\x1e"
                                   "1";

void rc_polling_new(struct rc_session *s, const struct rc_str *jsonp)
{
    struct rc_polling *p = rc_calloc(1, sizeof(*p));

    p->session = s;
    if (jsonp != NULL)
        p->jsonp = rc_strndup(jsonp->p, jsonp->len);
    p->inbox_tail = &p->inbox;
    s->polling = p;
}

void rc_polling_reply(struct rc_shard *sh, const struct rc_session *s, rc_id conn,
                      struct rc_str payload)
{
    struct rc_buf script = RC_BUF_INIT;

    if (s->polling->jsonp != NULL) {
        rc_jsonp_put(&script, rc_str_of(s->polling->jsonp), payload);
        RC_ASSERT(!script.failed);
        payload = rc_buf_str(&script);
    }
    rc_front_reply(sh, conn, RC_REPLY_PAYLOAD, 200,
                   rc_pub_new(0, RC_STR_NONE, 0, payload.p, payload.len));
    rc_buf_deinit(&script);
}

RC_ON_SHARD static void reply_text(struct rc_shard *sh, const struct rc_session *s, rc_id conn,
                                   const char *text)
{
    rc_polling_reply(sh, s, conn, rc_str_of(text));
}

RC_ON_SHARD static void reply_error(struct rc_shard *sh, rc_id conn, enum rc_eio_error error)
{
    rc_front_reply(sh, conn, RC_REPLY_ERROR, (unsigned)error, NULL);
}

/* ---- out ---- */

/* Appends the frames of a segment to a payload: text as it is, binary as 'b' and base64. */
static void put_frames(struct rc_buf *payload, const uint8_t *p, size_t len)
{
    const uint8_t *end = p + len;

    while (p < end) {
        struct rc_ws_frame f = rc_ws_own_frame(p);

        if (payload->len != 0)
            rc_buf_putc(payload, 0x1e);
        if (f.opcode == RC_WS_BINARY) {
            rc_buf_putc(payload, 'b');
            rc_b64_put(payload, RC_B64_STD, f.payload.p, f.payload.len);
        } else {
            rc_buf_puts(payload, f.payload);
        }
        p += f.size;
    }
}

/* Answers the pending poll with everything that waits. */
RC_ON_SHARD static void answer_poll(struct rc_shard *sh, struct rc_session *s)
{
    struct rc_buf payload = RC_BUF_INIT;
    rc_id conn = s->polling->get;
    struct rc_seg *seg;
    uint32_t off;

    while ((seg = rc_outq_pop(&s->out, &off)) != NULL) {
        put_frames(&payload, seg->data, seg->len);
        rc_seg_unref(seg);
    }
    s->polling->get = 0;
    rc_polling_reply(sh, s, conn, rc_buf_str(&payload));
    rc_buf_deinit(&payload);
}

void rc_polling_noop(struct rc_shard *sh, struct rc_session *s)
{
    rc_id conn = s->polling->get;

    s->polling->get = 0;
    reply_text(sh, s, conn, payload_noop);
}

void rc_polling_flush(struct rc_shard *sh, struct rc_session *s)
{
    if (s->polling != NULL && s->polling->get != 0 && !rc_outq_empty(&s->out) && s->held == 0)
        answer_poll(sh, s);
}

/* ---- end ---- */

/* Bodies that nobody will work on any more; what was received is acknowledged all the same. */
RC_ON_SHARD static void drop_inbox(struct rc_shard *sh, struct rc_polling *p)
{
    while (p->inbox != NULL) {
        struct rc_inbox *in = p->inbox;

        p->inbox = in->next;
        rc_front_reply(sh, in->conn, RC_REPLY_OK, 200, NULL);
        free(in);
    }
    p->inbox_tail = &p->inbox;
}

void rc_polling_free(struct rc_session *s)
{
    struct rc_polling *p = s->polling;

    rc_timer_stop(&p->upgrade);
    rc_timer_stop(&p->close);
    RC_ASSERT(p->inbox == NULL);
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

static bool server_wants_it(enum rc_close why)
{
    return why == RC_CLOSE_RULE || why == RC_CLOSE_SHUTDOWN || why == RC_CLOSE_CONNECT_TIMEOUT;
}

void rc_polling_closed(struct rc_shard *sh, struct rc_session *s, enum rc_close why)
{
    struct rc_polling *p = s->polling;
    rc_id get = p->get;

    rc_stat_add(&sh->stats.closed[why], 1);
    rc_shard_log(sh, RC_LOG_INFO, "session=%u polling closed reason=%s", s->hdr.slot,
                 rc_close_text(why));
    rc_probe_cancel(s, why);
    drop_inbox(sh, p);
    if (server_wants_it(why)) {
        if (get != 0 && rc_outq_empty(&s->out)) {
            p->get = 0;
            reply_text(sh, s, get, payload_close);
        } else { /* told at a later poll, once it has taken what waits */
            rc_timer_start(&sh->q_poll_close, &p->close, sh->loop.now_ms);
            if (get != 0)
                answer_poll(sh, s);
            return;
        }
    } else if (get != 0) {
        p->get = 0;
        reply_text(sh, s, get, why == RC_CLOSE_CLIENT ? payload_noop : payload_close);
    }
    rc_polling_free(s);
}

/* A poll of a session that the server has closed. */
RC_ON_SHARD static void poll_closed(struct rc_shard *sh, struct rc_session *s, rc_id conn)
{
    if (!rc_outq_empty(&s->out)) {
        s->polling->get = conn;
        answer_poll(sh, s);
        return;
    }
    reply_text(sh, s, conn, payload_told);
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

void rc_engine_post(struct rc_shard *sh, struct rc_str sid, rc_id conn, unsigned flags)
{
    struct rc_session *s = session_for(sh, sid, conn);
    struct rc_polling *p = s != NULL ? s->polling : NULL;
    bool binary = (flags & RC_POST_BINARY) != 0;

    if (p == NULL)
        return;
    if (binary || p->post != 0 || p->inbox != NULL || p->in_input) {
        rc_front_reply(sh, conn, RC_REPLY_EMPTY, 400, NULL);
        rc_session_close(sh, s, binary ? RC_CLOSE_PARSE : RC_CLOSE_POLL_OVERLAP);
    } else if ((flags & RC_POST_TOO_BIG) != 0) {
        rc_front_reply(sh, conn, RC_REPLY_EMPTY, 413, NULL);
    } else {
        p->post = conn;
    }
}

/* Works on a body until it is used up, or the session stops taking input. */
RC_ON_SHARD static void work_on(struct rc_shard *sh, struct rc_session *s, struct rc_inbox *in)
{
    struct rc_eio_packet packet;

    while (!s->closed && s->paused == 0 && !in->done) {
        int rc = rc_eio_payload_next(&in->rest, &packet);

        in->done = rc <= 0;
        if (rc == 1)
            rc_engine_packet(sh, s, &packet);
        else if (rc < 0)
            rc_engine_fail(sh, s, RC_CLOSE_PARSE);
    }
}

void rc_polling_input(struct rc_shard *sh, struct rc_session *s)
{
    struct rc_polling *p = s->polling;

    if (p->in_input)
        return;
    p->in_input = true;
    while (!s->closed && s->paused == 0 && p->inbox != NULL) {
        struct rc_inbox *in = p->inbox;

        /* Out of the list while it is worked on: the session may end, and its list with it. */
        p->inbox = in->next;
        if (p->inbox == NULL)
            p->inbox_tail = &p->inbox;
        work_on(sh, s, in);
        if (!s->closed && !in->done) {
            in->next = p->inbox;
            p->inbox = in;
            if (in->next == NULL)
                p->inbox_tail = &in->next;
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

/* A copy of the payload that packets may be decoded in; NULL: the form has none. */
static struct rc_inbox *new_inbox(const struct rc_polling *p, rc_id conn, struct rc_str body)
{
    struct rc_buf form = RC_BUF_INIT;
    struct rc_inbox *in = NULL;

    if (p->jsonp == NULL || rc_jsonp_take(body, &form) == RC_OK) {
        struct rc_str data = p->jsonp == NULL ? body : rc_buf_str(&form);

        in = rc_malloc(sizeof(*in) + data.len);
        *in = (struct rc_inbox){.rest = rc_str_make(in->bytes, data.len), .conn = conn};
        if (data.len != 0)
            memcpy(in->bytes, data.p, data.len);
    }
    rc_buf_deinit(&form);
    return in;
}

void rc_engine_body(struct rc_shard *sh, struct rc_str sid, rc_id conn, struct rc_pub *body)
{
    struct rc_session *s = rc_engine_find(sh, sid);
    struct rc_inbox *in;

    if (s == NULL || s->polling == NULL || s->polling->post != conn) {
        rc_pub_unref(&body);
        reply_error(sh, conn, s == NULL ? RC_EIO_UNKNOWN_SID : RC_EIO_BAD_REQUEST);
        return;
    }
    s->polling->post = 0;
    if (s->closed) { /* it waits to be told so */
        rc_pub_unref(&body);
        rc_front_reply(sh, conn, RC_REPLY_OK, 200, NULL);
        return;
    }
    in = new_inbox(s->polling, conn, rc_pub_data(body));
    rc_pub_unref(&body);
    if (in == NULL) { /* a form without a payload: as good as none */
        rc_front_reply(sh, conn, RC_REPLY_OK, 200, NULL);
        return;
    }
    *s->polling->inbox_tail = in;
    s->polling->inbox_tail = &in->next;
    if (rc_utf8_valid(in->rest))
        rc_polling_input(sh, s);
    else
        rc_engine_fail(sh, s, RC_CLOSE_PARSE);
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

/* streams_talk.c - how nodes talk by a stream, and beside it: as @socket.io/redis-streams-adapter does. */
#include "cluster_int.h"
#include "rc/cluster/entry.h"
#include "streams.h"

#include <string.h>

static struct rc_str own_uid(const struct rc_cluster *c)
{
    return rc_str_of(c->uid);
}

static void put_channel(const struct rc_cluster *c, struct rc_str nsp, struct rc_buf *to)
{
    rc_cluster_put_channel(c, "", nsp, to);
}

/* ---- what comes ---- */

/* This node has heard itself: it counts as one of those that were asked. */
static void on_own(struct rc_cluster *c, struct rc_str payload)
{
    struct rc_str id;

    rc_cluster_count(&c->count.own, 1);
    if (rc_entry_read_question(payload, &id) == RC_OK)
        rc_inquire_heard(c, id);
}

/* What is not kept: PREFIX#NSP# is for all, PREFIX#NSP#UID# for one. */
static void on_message(struct rc_cluster *c, struct rc_str pattern, struct rc_str channel,
                       struct rc_str payload)
{
    struct rc_str name = rc_cluster_nsp_of(c, channel, ""), uid;

    (void)pattern;
    if (name.len == 0 || rc_bus_nsp(c->app, name) == NULL)
        return;
    if (channel.len != strlen(c->conf->cluster_prefix) + name.len + 2) {
        rc_cluster_take_response(c, payload);
        return;
    }
    if (rc_entry_read_uid(payload, &uid) == RC_OK && rc_str_eq(uid, own_uid(c)))
        on_own(c, payload);
    else if (rc_cluster_received(c, payload))
        rc_serve_take(c, true, name, payload);
}

/* 1, 2 and 13 are what adapters before 0.3 say of themselves. */
static bool is_idle_talk(struct rc_str type)
{
    return rc_str_eq(type, RC_STR("1")) || rc_str_eq(type, RC_STR("2")) ||
           rc_str_eq(type, RC_STR("13"));
}

static void on_entry(void *arg, const struct rc_stream_entry *e)
{
    struct rc_cluster *c = arg;
    bool is_move = e->type.len == 1 && e->type.p[0] >= '4' && e->type.p[0] <= '6';

    rc_cluster_renew(c);
    if (e->nsp.len == 0 || is_idle_talk(e->type) || rc_bus_nsp(c->app, e->nsp) == NULL ||
        !rc_cluster_received(c, e->data))
        return;
    if (rc_str_eq(e->type, RC_STR("3"))) {
        rc_serve_take(c, false, e->nsp, e->data);
    } else if (is_move) {
        rc_buf_reset(&c->out);
        rc_buf_puts(&c->out, e->type);
        rc_buf_puts(&c->out, e->data);
        if (!c->out.failed)
            rc_serve_take(c, true, e->nsp, rc_buf_str(&c->out));
    } else {
        rc_cluster_count(&c->count.bad, 1);
    }
}

static int read_broadcast(struct rc_cluster *c, struct rc_str nsp, struct rc_str payload)
{
    return rc_entry_read_broadcast(&c->entry, nsp, payload, &c->message);
}

static int read_request(struct rc_cluster *c, struct rc_str nsp, struct rc_str payload)
{
    return rc_entry_read_request(&c->entry, nsp, payload, &c->request);
}

/* ---- what leaves ---- */

static bool can_send(const struct rc_cluster *c)
{
    return rc_streams_has_room(c->streams);
}

static bool send_message(struct rc_cluster *c, uint32_t size)
{
    const struct rc_bus_message *m = &c->message;

    rc_buf_reset(&c->out);
    if (rc_entry_put_broadcast(&c->out, m) != RC_OK) {
        rc_cluster_count(&c->count.dropped, 1);
        return true;
    }
    rc_cluster_count(&c->count.published, 1);
    rc_cluster_count(&c->count.published_bytes, c->out.len);
    rc_streams_add(c->streams, m->to.nsp, rc_buf_str(&c->out), size);
    return false;
}

static void put_own_channel(const struct rc_cluster *c, struct rc_str nsp, struct rc_str uid,
                            struct rc_buf *to)
{
    rc_cluster_put_channel(c, "", nsp, to);
    rc_buf_puts(to, uid);
    rc_buf_putc(to, '#');
}

static void begin_answer(struct rc_cluster *c, const struct rc_asker *to,
                         enum rc_entry_type type, struct rc_str key)
{
    rc_buf_reset(&c->out);
    rc_entry_begin_answer(&c->out, type, own_uid(c), to->nsp, to->id, key);
}

static void end_answer(struct rc_cluster *c, const struct rc_asker *to)
{
    if (!rc_link_is_up(c->link) || c->out.failed) {
        rc_cluster_count(&c->count.dropped, 1);
        return;
    }
    rc_buf_reset(&c->channel);
    put_own_channel(c, to->nsp, to->uid, &c->channel);
    rc_cluster_publish(c, rc_buf_str(&c->channel), rc_buf_str(&c->out));
}

static void answer_list(struct rc_cluster *c, const struct rc_asker *to, const char *key,
                        struct rc_str list)
{
    struct rc_buf array = RC_BUF_INIT;

    begin_answer(c, to, RC_ENTRY_FETCHED, rc_str_of(key));
    rc_buf_putz(&array, "[[");
    rc_buf_puts(&array, list);
    rc_buf_putz(&array, "]]");
    if (!array.failed && rc_entry_put_value(&c->out, rc_buf_str(&array), NULL, 0) == RC_OK)
        end_answer(c, to);
    rc_buf_deinit(&array);
}

static void answer_server(struct rc_cluster *c, const struct rc_asker *to)
{
    begin_answer(c, to, RC_ENTRY_SERVER_ANSWER, RC_STR("packet"));
    if (rc_entry_put_value(&c->out, RC_STR("[]"), NULL, 0) == RC_OK)
        end_answer(c, to);
}

static void answer_count(struct rc_cluster *c, const struct rc_asker *to, uint32_t clients)
{
    begin_answer(c, to, RC_ENTRY_CLIENT_COUNT, RC_STR("clientCount"));
    rc_entry_put_uint(&c->out, clients);
    end_answer(c, to);
}

static void answer_ack(struct rc_cluster *c, const struct rc_asker *to, struct rc_str args,
                       const struct rc_str *attachment, unsigned nattachments)
{
    begin_answer(c, to, RC_ENTRY_ACK, RC_STR("packet"));
    if (rc_entry_put_value(&c->out, args, attachment, nattachments) == RC_OK)
        end_answer(c, to);
}

/* ---- questions ---- */

static void put_answer_channels(const struct rc_cluster *c, struct rc_str nsp,
                                struct rc_bus_list *to)
{
    struct rc_buf one = RC_BUF_INIT;

    put_own_channel(c, nsp, own_uid(c), &one);
    rc_bus_list_add(to, rc_buf_str(&one));
    rc_buf_deinit(&one);
}

static int put_question(struct rc_cluster *c, struct rc_str id, const struct rc_bus_message *m,
                        uint32_t timeout_ms)
{
    return rc_entry_put_question(&c->out, own_uid(c), id, m, timeout_ms);
}

static int read_response(struct rc_cluster *c, struct rc_str payload)
{
    return rc_entry_read_response(&c->entry, payload, &c->response);
}

const struct rc_dialect rc_by_streams = {
    .put_channel = put_channel,
    .on_message = on_message,
    .read_broadcast = read_broadcast,
    .read_request = read_request,
    .can_send = can_send,
    .send = send_message,
    .answer_list = answer_list,
    .answer_server = answer_server,
    .answer_count = answer_count,
    .answer_ack = answer_ack,
    .put_answer_channels = put_answer_channels,
    .put_question = put_question,
    .read_response = read_response,
};

/* ---- the stream ---- */

static void on_changed(void *arg)
{
    rc_cluster_look(arg);
}

static void on_sent(void *arg, uint32_t size)
{
    rc_cluster_sent(arg, size);
}

static void on_count(void *arg, enum rc_streams_event event, uint64_t n)
{
    struct rc_cluster *c = arg;

    switch (event) {
    case RC_STREAMS_OWN: rc_cluster_count(&c->count.own, n); break;
    case RC_STREAMS_MISSED: rc_cluster_count(&c->count.missed, n); break;
    case RC_STREAMS_GONE: rc_cluster_count(&c->count.stream_losses, n); break;
    case RC_STREAMS_REPEATED: rc_cluster_count(&c->count.repeated, n); break;
    case RC_STREAMS_RESENT: rc_cluster_count(&c->count.resent, n); break;
    }
}

bool rc_cluster_init_streams(struct rc_cluster *c)
{
    static const struct rc_streams_ops ops = {
        .changed = on_changed, .entry = on_entry, .sent = on_sent, .count = on_count};
    const char *name = c->conf->cluster_stream;
    struct rc_streams_setting setting = {
        .name = rc_str_of(name[0] != '\0' ? name : c->conf->cluster_prefix),
        .uid = own_uid(c),
        .length = (uint32_t)c->conf->cluster_stream_length,
    };

    c->streams = rc_streams_new(c->base, &c->url, &setting, &ops, c);
    return c->streams != NULL;
}

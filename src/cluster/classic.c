/* classic.c - how nodes talk by publications alone: the channels of @socket.io/redis-adapter. */
#include "cluster_int.h"
#include "rc/proto/json.h"

#include <stdio.h>

enum { UNDER_WAY_MAX = 1 << 20 }; /* bytes that are given to Redis before it has taken any */

static void put_channel(const struct rc_cluster *c, struct rc_str nsp, struct rc_buf *to)
{
    rc_cluster_put_channel(c, "-request", nsp, to);
}

/* ---- what comes ---- */

static bool is_own(const struct rc_cluster *c, struct rc_str payload)
{
    struct rc_str uid;

    return rc_wire_read_uid(payload, &uid) == RC_OK && rc_str_eq(uid, rc_str_of(c->uid));
}

static void on_message(struct rc_cluster *c, struct rc_str pattern, struct rc_str channel,
                       struct rc_str payload)
{
    bool is_request = pattern.len == 0;
    struct rc_str name = rc_cluster_nsp_of(c, channel, is_request ? "-request" : "");
    const struct rc_nsp *nsp = name.len != 0 ? rc_bus_nsp(c->app, name) : NULL;

    /* Answers are not put in order with what else comes: the asker's shard counts them. */
    if (is_request && name.len == 0 && rc_cluster_nsp_of(c, channel, "-response").len != 0) {
        rc_cluster_take_response(c, payload);
        return;
    }
    /* Patterns may overlap: then the same message comes by each. */
    if (nsp == NULL || (!is_request && !rc_str_eq(pattern, c->pattern[nsp->index])))
        return;
    if (!is_request && is_own(c, payload))
        rc_cluster_count(&c->count.own, 1);
    else if (rc_cluster_received(c, payload))
        rc_serve_take(c, is_request, name, payload);
}

static int read_broadcast(struct rc_cluster *c, struct rc_str nsp, struct rc_str payload)
{
    struct rc_str uid;

    (void)nsp;
    return rc_wire_read_broadcast(&c->reader, payload, &uid, &c->message);
}

static int read_request(struct rc_cluster *c, struct rc_str nsp, struct rc_str payload)
{
    (void)nsp;
    return rc_wire_read_request(&c->reader, payload, &c->request);
}

/* ---- what leaves ---- */

static bool can_send(const struct rc_cluster *c)
{
    return rc_link_is_up(c->link) && !rc_rejoin_waits(c) && c->under_way < UNDER_WAY_MAX;
}

static bool send_message(struct rc_cluster *c, uint32_t size)
{
    const struct rc_bus_message *m = &c->message;
    struct rc_str rest, room;

    (void)size;
    rc_buf_reset(&c->out);
    if (rc_wire_put_broadcast(&c->out, rc_str_of(c->uid), m) != RC_OK) {
        rc_cluster_count(&c->count.dropped, 1);
        return true;
    }
    rc_buf_reset(&c->channel);
    rc_cluster_put_channel(c, "", m->to.nsp, &c->channel);
    if (m->to.rooms.n == 1) {
        rest = rc_buf_str(&m->to.rooms.bytes);
        (void)rc_bus_list_next(&rest, &room);
        rc_buf_puts(&c->channel, room);
        rc_buf_putc(&c->channel, '#');
    }
    rc_cluster_publish(c, rc_buf_str(&c->channel), rc_buf_str(&c->out));
    return true;
}

static void respond(struct rc_cluster *c, const struct rc_asker *to, struct rc_str payload)
{
    rc_cluster_send(c, "-response", to->nsp, payload);
}

/* {"requestId":"…","KEY":[…]} */
static void answer_list(struct rc_cluster *c, const struct rc_asker *to, const char *key,
                        struct rc_str list)
{
    struct rc_buf *json = &c->out;

    rc_buf_reset(json);
    rc_buf_putz(json, "{\"requestId\":");
    rc_json_string_encode(to->id, json);
    rc_buf_printf(json, ",\"%s\":[", key);
    rc_buf_puts(json, list);
    rc_buf_putz(json, "]}");
    if (!json->failed)
        respond(c, to, rc_buf_str(json));
}

/* {"type":N,"requestId":"…",REST} */
static void answer_typed(struct rc_cluster *c, const struct rc_asker *to,
                         enum rc_wire_type type, const char *rest)
{
    struct rc_buf *json = &c->out;

    rc_buf_reset(json);
    rc_buf_printf(json, "{\"type\":%d,\"requestId\":", (int)type);
    rc_json_string_encode(to->id, json);
    rc_buf_printf(json, ",%s}", rest);
    respond(c, to, rc_buf_str(json));
}

static void answer_server(struct rc_cluster *c, const struct rc_asker *to)
{
    answer_typed(c, to, RC_WIRE_SERVER_SIDE_EMIT, "\"data\":null");
}

static void answer_count(struct rc_cluster *c, const struct rc_asker *to, uint32_t clients)
{
    char rest[40];

    (void)snprintf(rest, sizeof(rest), "\"clientCount\":%u", (unsigned)clients);
    answer_typed(c, to, RC_WIRE_CLIENT_COUNT, rest);
}

static void answer_ack(struct rc_cluster *c, const struct rc_asker *to, struct rc_str args,
                       const struct rc_str *attachment, unsigned nattachments)
{
    rc_buf_reset(&c->out);
    if (rc_wire_put_ack(&c->out, to->id, args, attachment, nattachments) == RC_OK)
        respond(c, to, rc_buf_str(&c->out));
}

/* ---- questions ---- */

/* Some servers answer by a channel of the asker's own. */
static void put_answer_channels(const struct rc_cluster *c, struct rc_str nsp,
                                struct rc_bus_list *to)
{
    struct rc_buf one = RC_BUF_INIT;

    rc_cluster_put_channel(c, "-response", nsp, &one);
    rc_bus_list_add(to, rc_buf_str(&one));
    rc_buf_printf(&one, "%s#", c->uid);
    rc_bus_list_add(to, rc_buf_str(&one));
    rc_buf_deinit(&one);
}

static int put_question(struct rc_cluster *c, struct rc_str id, const struct rc_bus_message *m,
                        uint32_t timeout_ms)
{
    return rc_wire_put_question(&c->out, rc_str_of(c->uid), id, m, timeout_ms);
}

static int read_response(struct rc_cluster *c, struct rc_str payload)
{
    return rc_wire_read_response(&c->reader, payload, &c->response);
}

const struct rc_dialect rc_classic = {
    .has_patterns = true,
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

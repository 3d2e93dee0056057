/* exec.c - what the actions of a rule share: packets, refusals, names and lists of targets. */
#include "exec.h"

#include "rc/broker/audience.h"
#include "rc/broker/lane.h"
#include "rc/broker/room.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"
#include "rc/proto/json.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    BUILT_MAX = 1 << 30,    /* bytes of a publication: lengths are 32 bits */
    TARGET_ROOMS_MAX = 256, /* limits.max_target_rooms goes no further */
};

/* The sender's id; most events do not ask for it. */
struct rc_str rc_exec_own_id(void *arg)
{
    struct rc_exec *x = arg;

    if (x->env.id.p != NULL)
        return x->env.id;
    if (x->session->eio3) {
        rc_socket_put_name(x->sh, x->socket, &x->longer_id);
        x->env.id = rc_buf_str(&x->longer_id);
    } else {
        rc_name_put(RC_NAME_SOCKET, 0, rc_socket_id(x->sh, x->socket), x->id);
        x->env.id = rc_str_of(x->id);
    }
    return x->env.id;
}

/* Takes the last character off when it may have been cut in its midst. */
static void end_at_character(char *text, size_t len)
{
    bool is_lead = false;

    while (len != 0 && !is_lead && (text[len - 1] & 0x80) != 0)
        is_lead = (text[--len] & 0x40) != 0;
    text[len] = '\0';
}

int rc_exec_refuse(struct rc_exec *x, const char *code, const char *fmt, ...)
{
    va_list ap;
    int len;

    x->code = code;
    va_start(ap, fmt);
    len = vsnprintf(x->text, sizeof(x->text), fmt, ap);
    va_end(ap);
    if (len >= (int)sizeof(x->text))
        end_at_character(x->text, sizeof(x->text) - 1);
    return RC_EINVAL;
}

int rc_exec_refuse_arg(struct rc_exec *x, int rc, unsigned arg)
{
    struct rc_str key = x->at_fault;

    if (rc == RC_ENOENT && key.len != 0)
        return rc_exec_refuse(x, "missing_argument", "argument %u lacks the key %.*s", arg,
                              RC_STR_ARG(key));
    if (rc == RC_ENOENT)
        return rc_exec_refuse(x, "missing_argument", "argument %u is missing", arg);
    if (arg == 0)
        return rc_exec_refuse(
            x, "bad_argument",
            "a value of auth or a claim must be a string, a number or a boolean");
    if (key.len != 0)
        return rc_exec_refuse(x, "bad_argument",
                              "%.*s of argument %u must be a string, a number or a boolean",
                              RC_STR_ARG(key), arg);
    return rc_exec_refuse(x, "bad_argument",
                          "argument %u must be a string, a number or a boolean", arg);
}

/* ---- packets ---- */

/* Builds one packet into the shard's scratch buffer. event may be NULL (an ack). */
int rc_exec_build(struct rc_exec *x, enum rc_sio_type type, const struct rc_template *event,
                  const struct rc_template *args)
{
    struct rc_buf *b = &x->sh->scratch;
    bool is_ack = type == RC_SIO_ACK;
    unsigned n = x->ev != NULL && args != NULL && rc_template_passes_args(args)
                     ? x->ev->nattachments
                     : 0;
    unsigned arg = 0;
    size_t start, bytes = 0;
    int rc = RC_OK;

    RC_ASSERT(!is_ack || x->ev != NULL);
    if (n != 0)
        type = is_ack ? RC_SIO_BINARY_ACK : RC_SIO_BINARY_EVENT;
    rc_frames_begin(b);
    rc_sio_put_head(b, type, n, x->env.nsp, is_ack || x->ask != 0,
                    is_ack ? x->ev->packet->id : x->ask);
    rc_buf_putc(b, '[');
    start = b->len;
    if (event != NULL)
        rc = rc_template_fill_args(event, &x->env, b, &arg);
    if (rc == RC_OK && event != NULL && !rc_template_is_constant(event) &&
        rc_sio_event_reserved(rc_str_skip(rc_buf_str(b), start)))
        return rc_exec_refuse(x, "bad_argument", "this event name is reserved");
    if (rc == RC_OK && args != NULL) {
        size_t comma = b->len;

        if (event != NULL)
            rc_buf_putc(b, ',');
        start = b->len;
        rc = rc_template_fill_args(args, &x->env, b, &arg);
        if (b->len == start) /* {args} of an event without any */
            b->len = comma;
    }
    if (rc != RC_OK)
        return rc_exec_refuse_arg(x, rc, arg);
    rc_buf_putc(b, ']');
    for (unsigned i = 0; i < n; i++)
        bytes += x->ev->attachment[i].len;
    if (b->failed || b->len + bytes > BUILT_MAX)
        return rc_exec_refuse(x, "too_big", "what the rule makes of this event is too big");
    rc_frames_end(b);
    for (unsigned i = 0; i < n; i++)
        rc_frames_attach(b, x->ev->attachment[i]);
    return RC_OK;
}

/* ---- acks and refusals ---- */

bool rc_exec_wants_ack(const struct rc_exec *x)
{
    return x->ev != NULL && x->ev->packet->has_id && !x->acked;
}

/* Sends to the sender: its ack, or an event. attached: with the event's attachments. */
RC_ON_SHARD static void send_json(struct rc_exec *x, const char *event, struct rc_str json,
                                  bool attached)
{
    unsigned n = attached ? x->ev->nattachments : 0;
    struct rc_buf *b = &x->sh->scratch;
    bool is_ack = event == NULL;

    rc_frames_begin(b);
    if (is_ack)
        rc_sio_put_head(b, n != 0 ? RC_SIO_BINARY_ACK : RC_SIO_ACK, n, x->env.nsp, true,
                        x->ev->packet->id);
    else
        rc_sio_put_head(b, n != 0 ? RC_SIO_BINARY_EVENT : RC_SIO_EVENT, n, x->env.nsp, false,
                        0);
    rc_buf_putc(b, '[');
    if (!is_ack) {
        rc_json_string_encode(rc_str_of(event), b);
        rc_buf_putc(b, ',');
    }
    rc_buf_puts(b, json);
    rc_buf_putc(b, ']');
    rc_frames_end(b);
    for (unsigned i = 0; i < n; i++)
        rc_frames_attach(b, x->ev->attachment[i]);
    rc_lane_reply(x->sh, x->session, rc_frames(b));
}

void rc_exec_send_ack_json(struct rc_exec *x, struct rc_str json)
{
    x->acked = true;
    send_json(x, NULL, json, false);
}

enum rc_ack_mode rc_exec_ack_mode(const struct rc_exec *x)
{
    if (x->rule != NULL && x->rule->ack != RC_ACK_DEFAULT)
        return x->rule->ack;
    return x->sh->app->conf->socketio_ack_policy == RC_ACKPOLICY_AUTO ? RC_ACK_AUTO
                                                                      : RC_ACK_NONE;
}

void rc_exec_put_message(const struct rc_exec *x, struct rc_buf *to)
{
    if (x->message.len != 0)
        rc_buf_puts(to, rc_buf_str(&x->message));
    else
        rc_json_string_encode(rc_str_of(x->text), to);
}

static void put_event_name(const struct rc_exec *x, struct rc_buf *json)
{
    rc_buf_puts(json, x->ev != NULL ? x->ev->packet->event : RC_STR("\"connect\""));
}

/* A client of a json endpoint has one form for all errors. */
RC_ON_SHARD static void tell_json_client(struct rc_exec *x)
{
    struct rc_buf json = RC_BUF_INIT;

    rc_buf_printf(&json, "{\"code\":\"%s\",\"message\":", x->code);
    rc_exec_put_message(x, &json);
    rc_buf_putz(&json, ",\"event\":");
    put_event_name(x, &json);
    if (rc_exec_wants_ack(x)) {
        rc_buf_putz(&json, ",\"ack\":");
        rc_buf_put_u64(&json, x->ev->packet->id);
        x->acked = true;
    }
    if (x->data.len != 0)
        rc_buf_putz(&json, ",\"data\":");
    rc_buf_puts(&json, rc_buf_str(&x->data));
    rc_buf_putc(&json, '}');
    send_json(x, "error", rc_buf_str(&json), x->data_attached);
    rc_buf_deinit(&json);
}

/* By the ack, or by the error event when it asked for none. */
RC_ON_SHARD static void tell_socketio_client(struct rc_exec *x)
{
    const char *event = x->sh->app->conf->socketio_error_event;
    struct rc_buf json = RC_BUF_INIT;
    bool ack = rc_exec_wants_ack(x) && rc_exec_ack_mode(x) != RC_ACK_NONE;

    if (ack) {
        rc_buf_putz(&json, "{\"ok\":false,");
    } else {
        rc_buf_putz(&json, "{\"event\":");
        put_event_name(x, &json);
        rc_buf_putc(&json, ',');
    }
    rc_buf_printf(&json, "\"error\":\"%s\",\"message\":", x->code);
    rc_exec_put_message(x, &json);
    if (x->data.len != 0)
        rc_buf_putz(&json, ",\"data\":");
    rc_buf_puts(&json, rc_buf_str(&x->data));
    rc_buf_putc(&json, '}');
    x->acked = x->acked || ack;
    if (ack)
        send_json(x, NULL, rc_buf_str(&json), x->data_attached);
    else if (event[0] != '\0' && !x->connect)
        send_json(x, event, rc_buf_str(&json), x->data_attached);
    rc_buf_deinit(&json);
}

void rc_exec_tell_refusal(struct rc_exec *x)
{
    rc_stat_add(&x->sh->stats.refused, 1);
    if (x->session->kind != RC_SESSION_ENDPOINT)
        tell_socketio_client(x);
    else if (!x->connect)
        tell_json_client(x);
    /* What [connect] cannot do is worth a look, but not who is denied something there. */
    rc_shard_log(
        x->sh, x->connect && strcmp(x->code, "denied") != 0 ? RC_LOG_WARN : RC_LOG_DEBUG,
        "socket=%.*s refused event=%.*s error=%s: %s", RC_STR_ARG(rc_exec_own_id(x)),
        RC_STR_ARG(x->ev != NULL ? x->ev->packet->event : RC_STR("connect")), x->code, x->text);
}

/* ---- names ---- */

/* Where the next name is put: {room} may be part of it. Behind x->home it becomes a room's key. */
static struct rc_buf *new_name(struct rc_exec *x)
{
    struct rc_buf *name = &x->name[x->named ^ 1];

    rc_buf_reset(name);
    rc_buf_puts(name, x->home);
    return name;
}

/* The name that was put there. */
static struct rc_str put_name(const struct rc_exec *x)
{
    return rc_str_skip(rc_buf_str(&x->name[x->named ^ 1]), x->home.len);
}

/* The name that was put there becomes {room}, if it is `named`. */
static int check_name(struct rc_exec *x, bool named)
{
    struct rc_str name = put_name(x);
    size_t max = x->sh->app->conf->limits_max_room_length;

    if (name.len == 0 || name.len > max)
        return rc_exec_refuse(x, "bad_room",
                              "a room name has 1 to %zu bytes (limits.max_room_length)", max);
    if (rc_space_is_hidden(name))
        return rc_exec_refuse(x, "bad_room",
                              "a room name does not begin with a control character");
    if (named) {
        x->env.room = name;
        x->key = rc_buf_str(&x->name[x->named ^ 1]);
        x->named ^= 1;
    }
    return RC_OK;
}

static int fill_text(struct rc_exec *x, const struct rc_template *t)
{
    unsigned arg = 0;
    int rc = rc_template_fill_text(t, &x->env, new_name(x), &arg);

    return rc == RC_OK ? RC_OK : rc_exec_refuse_arg(x, rc, arg);
}

/* Fills in a room's name, or a socket's id, and remembers it as {room}. */
int rc_exec_fill_name(struct rc_exec *x, const struct rc_action *a)
{
    int rc = fill_text(x, a->name);

    return rc == RC_OK ? check_name(x, true) : rc;
}

struct rc_str rc_exec_user_key(struct rc_exec *x, struct rc_str user)
{
    struct rc_buf *key = &x->name[x->named ^ 1];

    rc_buf_reset(key);
    rc_space_put_user_key(x->home, user, key);
    return rc_buf_str(key);
}

int rc_exec_fill_user(struct rc_exec *x, const struct rc_template *user, struct rc_str *key)
{
    size_t before = rc_exec_user_key(x, RC_STR_NONE).len;
    struct rc_buf *to = &x->name[x->named ^ 1];
    unsigned arg = 0;
    int rc = rc_template_fill_text(user, &x->env, to, &arg);

    *key = rc_buf_str(to);
    if (rc != RC_OK)
        return rc_exec_refuse_arg(x, rc, arg);
    if (key->len == before || key->len > before + RC_USER_MAX)
        return rc_exec_refuse(x, "bad_target", "the id of a user has 1 to %d bytes",
                              (int)RC_USER_MAX);
    return RC_OK;
}

/* Ids are 20 characters there, too; those of Socket.IO 2 have the namespace in front. */
bool rc_exec_is_elsewhere(const struct rc_exec *x, struct rc_str id)
{
    if (x->sh->app->cluster == NULL || id.len < RC_NAME_LEN)
        return false;
    if (id.len > RC_NAME_LEN &&
        (!rc_str_starts(id, x->env.nsp) || id.len != x->env.nsp.len + 1 + RC_NAME_LEN ||
         id.p[x->env.nsp.len] != '#'))
        return false;
    id = rc_str_skip(id, id.len - RC_NAME_LEN);
    for (size_t i = 0; i < id.len; i++)
        if (!isalnum((unsigned char)id.p[i]) && id.p[i] != '-' && id.p[i] != '_')
            return false;
    return true;
}

/* ---- lists of targets ---- */

static int refuse_many(struct rc_exec *x)
{
    return rc_exec_refuse(x, "too_many_targets", "limit limits.max_target_rooms is reached");
}

/* An element of a list of rooms, as a text. */
static int add_element(struct rc_exec *x, struct rc_str json, bool except,
                       struct rc_audience_builder *b)
{
    enum rc_json_type type = rc_json_type(json);
    struct rc_buf *name = new_name(x);
    struct rc_str text;
    int rc;

    if (type == RC_JSON_NUMBER || type == RC_JSON_TRUE || type == RC_JSON_FALSE)
        rc_buf_puts(name, json);
    else if (type != RC_JSON_STRING || rc_json_string_decode(json, name) != RC_OK)
        return rc_exec_refuse(x, "bad_argument", "a list of rooms has their names");
    text = put_name(x);
    rc = check_name(x, !except);
    if (rc == RC_OK)
        rc_audience_add_room(b, except, text);
    return rc;
}

static int add_elements(struct rc_exec *x, struct rc_str json, bool except,
                        struct rc_audience_builder *b)
{
    struct rc_str elem[TARGET_ROOMS_MAX];
    struct rc_json_walk w = {.max_depth = x->sh->app->conf->limits_json_depth};
    unsigned max = x->sh->app->conf->limits_max_target_rooms;
    int n = rc_json_array(json, elem, TARGET_ROOMS_MAX, &w), rc = RC_OK;

    if (rc_str_eq(json, RC_STR("null"))) /* an argument that may be missing, and is */
        return RC_OK;
    if (n < 0)
        return rc_exec_refuse(x, "bad_argument", "a list of rooms must be an array");
    if ((unsigned)n > max)
        return refuse_many(x);
    for (int i = 0; i < n && rc == RC_OK; i++)
        rc = add_element(x, elem[i], except, b);
    return rc;
}

static int add_item(struct rc_exec *x, const struct rc_target_item *item, bool except,
                    struct rc_audience_builder *b)
{
    struct rc_buf json = RC_BUF_INIT;
    struct rc_str name;
    unsigned arg = 0;
    int rc;

    switch (item->target) {
    case RC_TARGET_ALL: b->all = true; return RC_OK;
    case RC_TARGET_SENDER:
        rc_audience_add_socket(b, except,
                               (struct rc_address){.id = rc_socket_id(x->sh, x->socket)});
        return RC_OK;
    case RC_TARGET_ROOMS:
        rc = rc_template_fill_args(item->name, &x->env, &json, &arg);
        rc = rc == RC_OK ? add_elements(x, rc_buf_str(&json), except, b)
                         : rc_exec_refuse_arg(x, rc, arg);
        rc_buf_deinit(&json);
        return rc;
    case RC_TARGET_USER:
        rc = rc_exec_fill_user(x, item->name, &name);
        if (rc == RC_OK)
            rc_audience_add_room(b, except, rc_str_skip(name, x->home.len));
        return rc;
    case RC_TARGET_ROOM:
    case RC_TARGET_SOCKET: break;
    }
    rc = fill_text(x, item->name);
    name = put_name(x);
    if (rc == RC_OK)
        rc = check_name(x, !except);
    if (rc == RC_OK && item->target == RC_TARGET_SOCKET &&
        rc_socket_parse(x->env.nsp, name).id == 0 && !rc_exec_is_elsewhere(x, name))
        return rc_exec_refuse(x, "bad_target", "no such socket");
    if (rc == RC_OK)
        rc_audience_add_room(b, except, name);
    return rc;
}

/* Fills in all names of a list. *to is the caller's. */
int rc_exec_fill_list(struct rc_exec *x, const struct rc_target_list *l,
                      struct rc_audience **to)
{
    struct rc_audience_builder b = {.app = x->sh->app,
                                    .nsp = x->nsp->index,
                                    .nsp_name = x->env.nsp,
                                    .home = x->home,
                                    .is_volatile = l->is_volatile};
    unsigned max = x->sh->app->conf->limits_max_target_rooms;
    int rc = RC_OK;

    for (unsigned i = 0; i < l->nto + l->nexcept && rc == RC_OK; i++) {
        rc = add_item(x, &l->item[i], i >= l->nto, &b);
        if (rc == RC_OK && rc_audience_count(&b, i >= l->nto) > max)
            rc = refuse_many(x);
    }
    if (rc == RC_OK)
        *to = rc_audience_build(&b);
    rc_audience_deinit(&b);
    return rc;
}

/* Of the room that watches the list of rooms; good until the next one is named. */
struct rc_str rc_exec_directory_key(struct rc_exec *x)
{
    if (x->home.len == 0)
        return RC_DIRECTORY_ROOM;
    rc_buf_puts(new_name(x), RC_DIRECTORY_ROOM);
    return rc_buf_str(&x->name[x->named ^ 1]);
}

/* Refuses with the message and the data of the rule, where it has them. */
int rc_exec_refuse_by_rule(struct rc_exec *x, const struct rc_action *a, const char *code,
                           const char *text)
{
    unsigned arg = 0;
    int rc = RC_OK;

    if (a->message != NULL)
        rc = rc_template_fill_args(a->message, &x->env, &x->message, &arg);
    if (rc == RC_OK && a->data != NULL)
        rc = rc_template_fill_args(a->data, &x->env, &x->data, &arg);
    x->data_attached = rc == RC_OK && a->data != NULL && rc_template_passes_args(a->data) &&
                       x->ev != NULL && x->ev->nattachments != 0;
    if (rc == RC_OK && !x->message.failed && !x->data.failed &&
        x->message.len + x->data.len <= BUILT_MAX / 2)
        return rc_exec_refuse(x, code, "%s", text);
    rc_buf_reset(&x->message);
    rc_buf_reset(&x->data);
    x->data_attached = false;
    if (rc != RC_OK)
        return rc_exec_refuse_arg(x, rc, arg);
    return rc_exec_refuse(x, "too_big", "what the rule makes of this event is too big");
}

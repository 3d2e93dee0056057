/* verbs.c - what each action of a rule does. A verb that must wait for a fence says RC_EAGAIN
 * and is called again; a verb that refuses names a code and a text for the sender. */
#include "rc/broker/verbs.h"

#include "rc/base/mem.h"
#include "rc/broker/ask.h"
#include "rc/broker/audience.h"
#include "rc/broker/identity.h"
#include "rc/broker/lane.h"
#include "rc/broker/room.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"
#include "rc/broker/space.h"
#include "rc/broker/union.h"
#include "rc/proto/json.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    BUILT_MAX = 1 << 30,    /* bytes of a publication: lengths are 32 bits */
    TARGET_ROOMS_MAX = 256, /* limits.max_target_rooms goes no further */
};

/* [connect] goes through all of them. */
enum phase { PHASE_ENTER, PHASE_JOINS, PHASE_CONNECT, PHASE_ALL };

struct exec {
    struct rc_shard *sh;
    struct rc_session *session;
    struct rc_socket *socket;
    const struct rc_nsp *nsp;
    const struct rc_rule *rule;
    const struct rc_event *ev; /* NULL for [connect] */
    enum phase phase;
    unsigned next; /* action */
    bool acked;
    bool connect;
    uint64_t ask; /* number of the question that is being built, 0: none */
    struct rc_template_env env;
    char id[RC_NAME_LEN + 1]; /* the socket's, unless it is longer */
    struct rc_buf longer_id;
    struct rc_buf name[2];       /* the last room named, and the one before it */
    unsigned named;              /* which is the last */
    struct rc_str home;          /* of a dynamic namespace, see space.h; else empty */
    struct rc_str key;           /* of the room that env.room is */
    const char *code;            /* of a refusal */
    char text[160];              /* its message, unless the rule has one: */
    struct rc_buf message, data; /* JSON; data may be empty */
    bool data_attached;          /* the event's attachments belong to data */
};

struct rc_job {
    rc_id socket;
    const struct rc_rule *rule;
    enum phase phase;
    unsigned next;
    bool acked, connect;
    struct rc_str text;
    struct rc_str attachment[RC_SIO_ATTACHMENTS_MAX];
    unsigned nattachments;
    char bytes[];
};

#define REFUSED RC_EINVAL

/* The sender's id; most events do not ask for it. */
static struct rc_str own_id(void *arg)
{
    struct exec *x = arg;

    if (x->env.id.p != NULL)
        return x->env.id;
    if (x->session->eio3) {
        rc_socket_put_name(x->sh, x->socket, &x->longer_id);
        x->env.id = rc_buf_str(&x->longer_id);
    } else {
        rc_name_put(RC_NAME_SOCKET, rc_socket_id(x->sh, x->socket), x->id);
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

RC_PRINTF(3, 4)
static int refuse(struct exec *x, const char *code, const char *fmt, ...)
{
    va_list ap;
    int len;

    x->code = code;
    va_start(ap, fmt);
    len = vsnprintf(x->text, sizeof(x->text), fmt, ap);
    va_end(ap);
    if (len >= (int)sizeof(x->text))
        end_at_character(x->text, sizeof(x->text) - 1);
    return REFUSED;
}

static int refuse_arg(struct exec *x, int rc, unsigned arg)
{
    if (rc == RC_ENOENT)
        return refuse(x, "missing_argument", "argument %u is missing", arg);
    if (arg == 0)
        return refuse(x, "bad_argument",
                      "a value of auth or a claim must be a string, a number or a boolean");
    return refuse(x, "bad_argument", "argument %u must be a string, a number or a boolean",
                  arg);
}

/* ---- packets ---- */

/* Builds one packet into the shard's scratch buffer. event may be NULL (an ack). */
static int build(struct exec *x, enum rc_sio_type type, const struct rc_template *event,
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
        return refuse(x, "bad_argument", "this event name is reserved");
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
        return refuse_arg(x, rc, arg);
    rc_buf_putc(b, ']');
    for (unsigned i = 0; i < n; i++)
        bytes += x->ev->attachment[i].len;
    if (b->failed || b->len + bytes > BUILT_MAX)
        return refuse(x, "too_big", "what the rule makes of this event is too big");
    rc_frames_end(b);
    for (unsigned i = 0; i < n; i++)
        rc_frames_attach(b, x->ev->attachment[i]);
    return RC_OK;
}

/* ---- acks and refusals ---- */

static bool wants_ack(const struct exec *x)
{
    return x->ev != NULL && x->ev->packet->has_id && !x->acked;
}

/* Sends to the sender: its ack, or an event. attached: with the event's attachments. */
RC_ON_SHARD static void send_json(struct exec *x, const char *event, struct rc_str json,
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

RC_ON_SHARD static void send_ack_json(struct exec *x, struct rc_str json)
{
    x->acked = true;
    send_json(x, NULL, json, false);
}

static enum rc_ack_mode ack_mode(const struct exec *x)
{
    if (x->rule != NULL && x->rule->ack != RC_ACK_DEFAULT)
        return x->rule->ack;
    return x->sh->app->conf->socketio_ack_policy == RC_ACKPOLICY_AUTO ? RC_ACK_AUTO
                                                                      : RC_ACK_NONE;
}

static void put_message(const struct exec *x, struct rc_buf *to)
{
    if (x->message.len != 0)
        rc_buf_puts(to, rc_buf_str(&x->message));
    else
        rc_json_string_encode(rc_str_of(x->text), to);
}

/* Tells the sender by the ack, or by the error event when it asked for none. */
RC_ON_SHARD static void tell_refusal(struct exec *x)
{
    const char *event = x->sh->app->conf->socketio_error_event;
    struct rc_buf json = RC_BUF_INIT;
    bool ack = wants_ack(x) && ack_mode(x) != RC_ACK_NONE;

    rc_stat_add(&x->sh->stats.refused, 1);
    if (ack) {
        rc_buf_putz(&json, "{\"ok\":false,");
    } else {
        rc_buf_putz(&json, "{\"event\":");
        rc_buf_puts(&json, x->ev != NULL ? x->ev->packet->event : RC_STR("\"connect\""));
        rc_buf_putc(&json, ',');
    }
    rc_buf_printf(&json, "\"error\":\"%s\",\"message\":", x->code);
    put_message(x, &json);
    if (x->data.len != 0)
        rc_buf_putz(&json, ",\"data\":");
    rc_buf_puts(&json, rc_buf_str(&x->data));
    rc_buf_putc(&json, '}');
    x->acked = x->acked || ack;
    if (ack)
        send_json(x, NULL, rc_buf_str(&json), x->data_attached);
    else if (event[0] != '\0' && !x->connect)
        send_json(x, event, rc_buf_str(&json), x->data_attached);
    rc_shard_log(x->sh, x->connect ? RC_LOG_WARN : RC_LOG_DEBUG,
                 "socket=%.*s refused event=%.*s error=%s: %s", RC_STR_ARG(own_id(x)),
                 RC_STR_ARG(x->ev != NULL ? x->ev->packet->event : RC_STR("connect")), x->code,
                 x->text);
    rc_buf_deinit(&json);
}

/* ---- verbs ---- */

/* Where the next name is put: {room} may be part of it. Behind x->home it becomes a room's key. */
static struct rc_buf *new_name(struct exec *x)
{
    struct rc_buf *name = &x->name[x->named ^ 1];

    rc_buf_reset(name);
    rc_buf_puts(name, x->home);
    return name;
}

/* The name that was put there. */
static struct rc_str put_name(const struct exec *x)
{
    return rc_str_skip(rc_buf_str(&x->name[x->named ^ 1]), x->home.len);
}

/* The name that was put there becomes {room}, if it is `named`. */
static int check_name(struct exec *x, bool named)
{
    struct rc_str name = put_name(x);
    size_t max = x->sh->app->conf->limits_max_room_length;

    if (name.len == 0 || name.len > max || name.p[0] == '\001')
        return refuse(x, "bad_room", "a room name has 1 to %zu bytes (limits.max_room_length)",
                      max);
    if (named) {
        x->env.room = name;
        x->key = rc_buf_str(&x->name[x->named ^ 1]);
        x->named ^= 1;
    }
    return RC_OK;
}

static int fill_text(struct exec *x, const struct rc_template *t)
{
    unsigned arg = 0;
    int rc = rc_template_fill_text(t, &x->env, new_name(x), &arg);

    return rc == RC_OK ? RC_OK : refuse_arg(x, rc, arg);
}

/* Fills in a room's name, or a socket's id, and remembers it as {room}. */
static int fill_name(struct exec *x, const struct rc_action *a)
{
    int rc = fill_text(x, a->name);

    return rc == RC_OK ? check_name(x, true) : rc;
}

/* ---- lists of targets ---- */

static int refuse_many(struct exec *x)
{
    return refuse(x, "too_many_targets", "limit limits.max_target_rooms is reached");
}

/* An element of a list of rooms, as a text. */
static int add_element(struct exec *x, struct rc_str json, bool except,
                       struct rc_audience_builder *b)
{
    enum rc_json_type type = rc_json_type(json);
    struct rc_buf *name = new_name(x);
    struct rc_str text;
    int rc;

    if (type == RC_JSON_NUMBER || type == RC_JSON_TRUE || type == RC_JSON_FALSE)
        rc_buf_puts(name, json);
    else if (type != RC_JSON_STRING || rc_json_string_decode(json, name) != RC_OK)
        return refuse(x, "bad_argument", "a list of rooms has their names");
    text = put_name(x);
    rc = check_name(x, !except);
    if (rc == RC_OK)
        rc_audience_add_room(b, except, text);
    return rc;
}

static int add_elements(struct exec *x, struct rc_str json, bool except,
                        struct rc_audience_builder *b)
{
    struct rc_str elem[TARGET_ROOMS_MAX];
    struct rc_json_walk w = {.max_depth = x->sh->app->conf->limits_json_depth};
    unsigned max = x->sh->app->conf->limits_max_target_rooms;
    int n = rc_json_array(json, elem, TARGET_ROOMS_MAX, &w), rc = RC_OK;

    if (rc_str_eq(json, RC_STR("null"))) /* an argument that may be missing, and is */
        return RC_OK;
    if (n < 0)
        return refuse(x, "bad_argument", "a list of rooms must be an array");
    if ((unsigned)n > max)
        return refuse_many(x);
    for (int i = 0; i < n && rc == RC_OK; i++)
        rc = add_element(x, elem[i], except, b);
    return rc;
}

static int add_item(struct exec *x, const struct rc_target_item *item, bool except,
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
                         : refuse_arg(x, rc, arg);
        rc_buf_deinit(&json);
        return rc;
    case RC_TARGET_ROOM:
    case RC_TARGET_SOCKET: break;
    }
    rc = fill_text(x, item->name);
    name = put_name(x);
    if (rc == RC_OK)
        rc = check_name(x, !except);
    if (rc == RC_OK && item->target == RC_TARGET_SOCKET &&
        rc_socket_parse(x->env.nsp, name).id == 0)
        return refuse(x, "bad_target", "no such socket");
    if (rc == RC_OK)
        rc_audience_add_room(b, except, name);
    return rc;
}

/* Fills in all names of a list. *to is the caller's. */
static int fill_list(struct exec *x, const struct rc_target_list *l, struct rc_audience **to)
{
    struct rc_audience_builder b = {.sh = x->sh,
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
static struct rc_str directory_key(struct exec *x)
{
    if (x->home.len == 0)
        return RC_DIRECTORY_ROOM;
    rc_buf_puts(new_name(x), RC_DIRECTORY_ROOM);
    return rc_buf_str(&x->name[x->named ^ 1]);
}

static uint64_t hash_of(const struct exec *x, struct rc_str key)
{
    return rc_space_hash(x->sh, x->nsp->index, key);
}

/* Rooms are meant by their keys from here on. */
RC_ON_SHARD static int enter_room_lane(struct exec *x, struct rc_str room)
{
    unsigned owner = rc_room_owner(x->sh, hash_of(x, room));

    return rc_lane_enter(x->sh, x->session, owner) ? RC_OK : RC_EAGAIN;
}

/* Refuses with the message and the data of the rule, where it has them. */
static int refuse_by_rule(struct exec *x, const struct rc_action *a, const char *code,
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
        return refuse(x, code, "%s", text);
    rc_buf_reset(&x->message);
    rc_buf_reset(&x->data);
    x->data_attached = false;
    if (rc != RC_OK)
        return refuse_arg(x, rc, arg);
    return refuse(x, "too_big", "what the rule makes of this event is too big");
}

RC_ON_SHARD static int require_member(struct exec *x, const struct rc_action *a)
{
    int rc = fill_name(x, a);

    if (rc != RC_OK)
        return rc;
    if (!rc_local_is_member(x->sh, x->socket, x->key) &&
        !rc_socket_is(x->sh, x->socket, rc_socket_parse(x->env.nsp, x->env.room)))
        return refuse_by_rule(x, a, "not_a_member", "join the room first");
    return RC_OK;
}

/* The key is there, and neither null nor an empty text. */
static int require_auth(struct exec *x, const struct rc_action *a)
{
    struct rc_buf value = RC_BUF_INIT;
    unsigned arg = 0;
    int rc = rc_template_fill_args(a->text[0], &x->env, &value, &arg);
    bool given = rc == RC_OK && !value.failed &&
                 !rc_str_eq(rc_buf_str(&value), RC_STR("null")) &&
                 !rc_str_eq(rc_buf_str(&value), RC_STR("\"\""));

    rc_buf_deinit(&value);
    return given ? RC_OK : refuse_by_rule(x, a, "no_auth", "auth lacks what is needed here");
}

static int require_same(struct exec *x, const struct rc_action *a)
{
    struct rc_buf text[2] = {RC_BUF_INIT, RC_BUF_INIT};
    unsigned arg = 0;
    bool same;
    int rc = rc_template_fill_text(a->text[0], &x->env, &text[0], &arg);

    if (rc == RC_OK)
        rc = rc_template_fill_text(a->text[1], &x->env, &text[1], &arg);
    same = rc == RC_OK && !text[0].failed && !text[1].failed &&
           rc_str_eq_secret(rc_buf_str(&text[0]), rc_buf_str(&text[1]));
    rc_buf_deinit(&text[0]);
    rc_buf_deinit(&text[1]);
    if (rc != RC_OK)
        return refuse_arg(x, rc, arg);
    return same ? RC_OK : refuse_by_rule(x, a, "not_same", "not what is needed here");
}

RC_ON_SHARD static int verb_require(struct exec *x, const struct rc_action *a)
{
    switch (a->require) {
    case RC_REQUIRE_MEMBER: return require_member(x, a);
    case RC_REQUIRE_AUTH: return require_auth(x, a);
    case RC_REQUIRE_SAME: return require_same(x, a);
    }
    return RC_OK;
}

RC_ON_SHARD static int join_room(struct exec *x, struct rc_str room)
{
    const char *why = "";
    int rc = enter_room_lane(x, room);

    if (rc != RC_OK)
        return rc;
    rc = rc_local_join(x->sh, x->socket, room, &why);
    if (rc != RC_OK)
        return refuse(x, "too_many_rooms", "limit limits.%s is reached", why);
    rc_lane_mark(x->sh, x->session);
    return RC_OK;
}

/* All or, but for the limits of rooms, none. May be called again: what is joined stays so. */
RC_ON_SHARD static int join_list(struct exec *x, const struct rc_audience *list)
{
    int rc = RC_OK;

    for (uint32_t i = 0; i < list->nto; i++)
        if (list->part[i].len == 0 &&
            !rc_socket_is(x->sh, x->socket, rc_audience_address(&list->part[i])))
            return refuse(x, "bad_room", "the room of another socket's id cannot be joined");
    for (uint32_t i = 0; i < list->nto && rc == RC_OK; i++) {
        struct rc_str room = rc_audience_name(list, &list->part[i]);

        if (room.len != 0 && !rc_local_is_member(x->sh, x->socket, room))
            rc = join_room(x, room);
    }
    return rc;
}

RC_ON_SHARD static int leave_room(struct exec *x, struct rc_str room)
{
    int rc = enter_room_lane(x, room);

    if (rc != RC_OK)
        return rc;
    rc_local_leave(x->sh, x->socket, room);
    rc_lane_mark(x->sh, x->session);
    return RC_OK;
}

RC_ON_SHARD static int leave_list(struct exec *x, const struct rc_audience *list)
{
    int rc = RC_OK;

    for (uint32_t i = 0; i < list->nto && rc == RC_OK; i++) {
        struct rc_str room = rc_audience_name(list, &list->part[i]);

        if (room.len != 0 && rc_local_is_member(x->sh, x->socket, room))
            rc = leave_room(x, room);
    }
    return rc;
}

/* join or leave of a list of rooms. */
RC_ON_SHARD static int verb_move(struct exec *x, const struct rc_action *a)
{
    struct rc_audience *list = NULL;
    int rc = fill_list(x, a->list, &list);

    if (rc == RC_OK)
        rc = a->verb == RC_VERB_JOIN ? join_list(x, list) : leave_list(x, list);
    free(list);
    return rc;
}

RC_ON_SHARD static int verb_join(struct exec *x, const struct rc_action *a)
{
    int rc;
    struct rc_address of;

    if (a->list != NULL)
        return verb_move(x, a);
    rc = fill_name(x, a);
    if (rc != RC_OK)
        return rc;
    of = rc_socket_parse(x->env.nsp, x->env.room);
    if (rc_socket_is(x->sh, x->socket, of))
        return RC_OK; /* a socket is always in the room of its own id */
    if (of.id != 0)
        return refuse(x, "bad_room", "the room of another socket's id cannot be joined");
    return join_room(x, x->key);
}

RC_ON_SHARD static int verb_leave(struct exec *x, const struct rc_action *a)
{
    int rc;

    if (a->list != NULL)
        return verb_move(x, a);
    rc = fill_name(x, a);
    return rc == RC_OK ? leave_room(x, x->key) : rc;
}

/* What build() has made, as a publication. */
static struct rc_pub *built(struct exec *x, struct rc_str room, uint64_t hash)
{
    struct rc_str frames = rc_frames(&x->sh->scratch);
    struct rc_pub *pub = rc_pub_new(x->nsp->index, room, hash, frames.p, frames.len);

    pub->ask = x->ask;
    return pub;
}

RC_ON_SHARD static int emit_to_socket(struct exec *x, struct rc_address to,
                                      const struct rc_action *a)
{
    int rc;

    if (to.id == 0)
        return refuse(x, "bad_target", "no such socket");
    if (!rc_lane_enter(x->sh, x->session, x->sh->index))
        return RC_EAGAIN;
    rc = build(x, RC_SIO_EVENT, a->event, a->args);
    if (rc != RC_OK)
        return rc;
    rc_send_to_socket(x->sh, x->session, &to, built(x, x->home, 0));
    return RC_OK;
}

RC_ON_SHARD static int emit_to_room(struct exec *x, struct rc_str room, uint64_t hash,
                                    const struct rc_action *a)
{
    rc_id except = a->except_sender ? rc_socket_id(x->sh, x->socket) : 0;
    int rc = rc_lane_enter(x->sh, x->session, rc_room_owner(x->sh, hash)) ? RC_OK : RC_EAGAIN;

    if (rc == RC_OK)
        rc = build(x, RC_SIO_EVENT, a->event, a->args);
    if (rc != RC_OK)
        return rc;
    rc_publish(x->sh, x->session, built(x, room, hash), except);
    return RC_OK;
}

/* Takes over the audience. */
RC_ON_SHARD static int emit_to_audience(struct exec *x, struct rc_audience *to,
                                        const struct rc_action *a)
{
    int route = rc_union_route(x->sh, x->nsp->index, to), rc = RC_OK;
    bool nobody = !to->all && to->nto == 0;
    struct rc_pub *pub;

    if (!nobody)
        rc = (route == RC_UNION_OWNERS ? rc_lane_leave(x->sh, x->session)
                                       : rc_lane_enter(x->sh, x->session, (unsigned)route))
                 ? RC_OK
                 : RC_EAGAIN;
    if (rc == RC_OK)
        rc = build(x, RC_SIO_EVENT, a->event, a->args);
    if (rc != RC_OK || nobody) {
        free(to);
        if (rc == RC_OK && x->ask != 0)
            rc_ask_report(x->sh, x->ask, RC_MSG_ASK_SHARDS, 0);
        return rc;
    }
    pub = built(x, x->home, 0);
    pub->audience = to;
    rc_union_publish(x->sh, x->session, pub, route);
    return RC_OK;
}

RC_ON_SHARD static int emit_to_list(struct exec *x, const struct rc_action *a)
{
    struct rc_audience *to = NULL;
    int rc = fill_list(x, a->list, &to);
    bool one_room;

    if (rc != RC_OK)
        return rc;
    one_room = !to->is_volatile && to->nto == 1 && to->nexcept == 0 && to->part[0].len != 0;
    if (!one_room)
        return emit_to_audience(x, to, a);
    rc = emit_to_room(x, rc_audience_name(to, &to->part[0]), to->part[0].key, a);
    free(to);
    return rc;
}

/* The target's name is filled in. */
RC_ON_SHARD static int emit(struct exec *x, const struct rc_action *a)
{
    struct rc_address to;
    int rc;

    if (a->list != NULL)
        return emit_to_list(x, a);
    switch (a->target) {
    case RC_TARGET_SENDER:
        rc = build(x, RC_SIO_EVENT, a->event, a->args);
        if (rc == RC_OK)
            rc_lane_reply(x->sh, x->session, rc_frames(&x->sh->scratch));
        return rc;
    case RC_TARGET_SOCKET:
        return emit_to_socket(x, rc_socket_parse(x->env.nsp, x->env.room), a);
    case RC_TARGET_ALL: return emit_to_room(x, x->home, hash_of(x, x->home), a);
    case RC_TARGET_ROOMS:
    case RC_TARGET_ROOM: break;
    }
    to = rc_socket_parse(x->env.nsp, x->env.room);
    if (to.id == 0)
        return emit_to_room(x, x->key, hash_of(x, x->key), a);
    if (a->except_sender && rc_socket_is(x->sh, x->socket, to))
        return RC_OK;
    return emit_to_socket(x, to, a);
}

RC_ON_SHARD static int verb_emit(struct exec *x, const struct rc_action *a)
{
    int rc = a->name != NULL ? fill_name(x, a) : RC_OK;

    return rc == RC_OK ? emit(x, a) : rc;
}

/* Emits with a number to answer to; the answers become the sender's acknowledgement. Without
 * one wanted it is an emit. */
RC_ON_SHARD static int verb_ask(struct exec *x, const struct rc_action *a)
{
    int rc = a->name != NULL ? fill_name(x, a) : RC_OK;
    bool one;

    if (rc != RC_OK)
        return rc;
    if (!wants_ack(x))
        return emit(x, a);
    if (a->list != NULL)
        one = a->list->nto == 1 && a->list->item[0].target == RC_TARGET_SOCKET;
    else
        one = a->target == RC_TARGET_SOCKET ||
              (a->target == RC_TARGET_ROOM && rc_socket_parse(x->env.nsp, x->env.room).id != 0);
    x->ask = rc_ask_begin(x->sh, x->socket, x->ev->packet->id, one, a->within_ms);
    if (x->ask == 0)
        return refuse(x, "too_many_asks", "limit limits.max_asks is reached");
    rc = emit(x, a);
    if (rc == RC_OK)
        x->acked = true; /* by the answers */
    else
        rc_ask_forget(x->sh, x->ask);
    x->ask = 0;
    return rc;
}

RC_ON_SHARD static int verb_ack(struct exec *x, const struct rc_action *a)
{
    int rc;

    if (!wants_ack(x) || a->args == NULL)
        return RC_OK;
    rc = build(x, RC_SIO_ACK, NULL, a->args);
    if (rc != RC_OK)
        return rc;
    x->acked = true;
    rc_lane_reply(x->sh, x->session, rc_frames(&x->sh->scratch));
    return RC_OK;
}

RC_ON_SHARD static int verb_watch(struct exec *x, const struct rc_action *a)
{
    (void)a;
    return join_room(x, directory_key(x));
}

RC_ON_SHARD static int verb_unwatch(struct exec *x, const struct rc_action *a)
{
    (void)a;
    return leave_room(x, directory_key(x));
}

RC_ON_SHARD static int verb_disconnect(struct exec *x, const struct rc_action *a)
{
    struct rc_buf *b = &x->sh->scratch;

    /* Whatever the rule caused before must have come to its own client first. */
    if (x->sh->own_mail ? !rc_lane_leave(x->sh, x->session)
                        : !rc_lane_enter(x->sh, x->session, x->sh->index))
        return RC_EAGAIN;
    if (wants_ack(x) && ack_mode(x) == RC_ACK_AUTO)
        send_ack_json(x, RC_STR("{\"ok\":true}"));
    rc_frames_begin(b);
    rc_sio_put_head(b, RC_SIO_DISCONNECT, 0, x->env.nsp, false, 0);
    rc_frames_end(b);
    rc_lane_reply(x->sh, x->session, rc_frames(b));
    if (a->whole_connection)
        rc_session_close(x->sh, x->session, RC_CLOSE_RULE);
    else
        rc_socket_close(x->sh, x->socket);
    return RC_OK;
}

RC_ON_SHARD static int call(struct exec *x, const struct rc_action *a)
{
    switch (a->verb) {
    case RC_VERB_REQUIRE: return verb_require(x, a);
    case RC_VERB_REFUSE: return refuse_by_rule(x, a, "refused", "");
    case RC_VERB_JOIN: return verb_join(x, a);
    case RC_VERB_LEAVE: return verb_leave(x, a);
    case RC_VERB_EMIT: return verb_emit(x, a);
    case RC_VERB_ASK: return verb_ask(x, a);
    case RC_VERB_ACK: return verb_ack(x, a);
    case RC_VERB_WATCH: return verb_watch(x, a);
    case RC_VERB_UNWATCH: return verb_unwatch(x, a);
    case RC_VERB_DISCONNECT: return verb_disconnect(x, a);
    }
    return RC_OK;
}

/* ---- running ---- */

static struct rc_str copy_to(char **at, struct rc_str s)
{
    struct rc_str copy = rc_str_make(*at, s.len);

    if (s.len != 0)
        memcpy(*at, s.p, s.len);
    *at += s.len;
    return copy;
}

/* Keeps what is needed to go on with the action x->next later. */
static void suspend(struct exec *x)
{
    size_t bytes = 0;
    struct rc_job *j;
    char *at;

    if (x->ev != NULL) {
        bytes = x->ev->text.len;
        for (unsigned i = 0; i < x->ev->nattachments; i++)
            bytes += x->ev->attachment[i].len;
    }
    j = rc_malloc(sizeof(*j) + bytes);
    *j = (struct rc_job){.socket = rc_socket_id(x->sh, x->socket),
                         .rule = x->rule,
                         .phase = x->phase,
                         .next = x->next,
                         .acked = x->acked,
                         .connect = x->connect};
    at = j->bytes;
    if (x->ev != NULL) {
        j->text = copy_to(&at, x->ev->text);
        for (unsigned i = 0; i < x->ev->nattachments; i++)
            j->attachment[i] = copy_to(&at, x->ev->attachment[i]);
        j->nattachments = x->ev->nattachments;
    }
    RC_ASSERT(x->session->job == NULL);
    x->session->job = j;
}

void rc_verbs_job_free(struct rc_job *job)
{
    free(job);
}

/* Queues the CONNECT packet, but holds the session's queue until the joins are done: what the
 * rooms send meanwhile comes after it, and once it is there the socket is in its rooms. */
RC_ON_SHARD static void queue_connect(struct exec *x)
{
    struct rc_buf *b = &x->sh->scratch;

    rc_frames_begin(b);
    rc_sio_put_head(b, RC_SIO_CONNECT, 0, x->env.nsp, false, 0);
    if (!x->session->eio3) /* of Engine.IO 3 the client knows its ids */
    {
        rc_buf_putz(b, "{\"sid\":\"");
        rc_buf_puts(b, own_id(x));
        rc_buf_putz(b, "\"}");
    }
    rc_frames_end(b);
    rc_session_push(x->sh, x->session, rc_seg_new(rc_frames(b).p, rc_frames(b).len));
    rc_session_hold(x->session);
}

static bool may_refuse(const struct rc_action *a)
{
    return a->verb == RC_VERB_REQUIRE || a->verb == RC_VERB_REFUSE;
}

/* Runs the actions of one phase. False: it has to wait. */
RC_ON_SHARD static bool run_actions(struct exec *x)
{
    for (; x->rule != NULL && x->next < x->rule->nactions; x->next++) {
        const struct rc_action *a = &x->rule->action[x->next];
        int rc;

        if (x->connect &&
            ((a->verb == RC_VERB_JOIN) != (x->phase == PHASE_JOINS) || may_refuse(a)))
            continue; /* those that may refuse were before all others: rc_verbs_admit */
        rc = call(x, a);
        if (rc == RC_EAGAIN) {
            suspend(x);
            return false;
        }
        if (rc != RC_OK) {
            tell_refusal(x);
            if (!x->connect)
                x->next = x->rule->nactions; /* the rest of an event's rule is off */
        }
        if (x->socket->closed)
            return true;
        if (x->session->fences != 0) { /* a union: the rest when everybody has it */
            x->next++;
            suspend(x);
            return false;
        }
    }
    return true;
}

/* The room of all sockets of a dynamic namespace comes first; there is a place for the socket. */
RC_ON_SHARD static bool enter(struct exec *x)
{
    if (x->home.len != 0 && join_room(x, x->home) != RC_OK) {
        suspend(x);
        return false;
    }
    x->phase = PHASE_JOINS;
    return true;
}

RC_ON_SHARD static void run(struct exec *x)
{
    if (x->phase == PHASE_ENTER && !enter(x))
        return;
    if (x->phase == PHASE_JOINS) {
        if (!run_actions(x))
            return;
        x->phase = PHASE_CONNECT;
    }
    if (x->phase == PHASE_CONNECT) {
        rc_lane_reply(x->sh, x->session, RC_STR_NONE); /* lets the queue go */
        x->phase = PHASE_ALL;
        x->next = 0;
    }
    x->code = NULL;
    if (!run_actions(x) || x->socket->closed)
        return;
    if (wants_ack(x) && x->code == NULL && ack_mode(x) == RC_ACK_AUTO)
        send_ack_json(x, RC_STR("{\"ok\":true}"));
}

RC_ON_SHARD static void begin(struct exec *x, struct rc_shard *sh, struct rc_socket *k,
                              const struct rc_event *ev)
{
    const struct rc_token *token = rc_identity_token(k);

    *x = (struct exec){.sh = sh,
                       .session = k->session,
                       .socket = k,
                       .nsp = &sh->app->nsp[k->nsp],
                       .phase = PHASE_ALL,
                       .ev = ev};
    x->env.id_of = own_id;
    x->env.id_arg = x;
    x->env.nsp = rc_space_name(sh, k);
    x->home = rc_space_home(sh, k);
    if (k->caller != NULL)
        x->env.auth = rc_str_of(k->caller->auth);
    if (token != NULL) {
        x->env.user = token->user;
        x->env.claims = token->claims;
    }
    x->env.time_ms = rc_clock_wall_ms();
    if (ev != NULL) {
        x->env.args = ev->packet->args;
        x->env.nargs = ev->packet->nargs;
        x->env.args_raw = ev->packet->args_raw;
    }
}

static void end(struct exec *x)
{
    rc_buf_deinit(&x->name[0]);
    rc_buf_deinit(&x->name[1]);
    rc_buf_deinit(&x->longer_id);
    rc_buf_deinit(&x->message);
    rc_buf_deinit(&x->data);
}

/* The event's name without its JSON: decoded into buf when it has escapes. */
static struct rc_str event_name(const struct rc_sio_packet *p, struct rc_buf *buf)
{
    if (rc_json_type(p->event) != RC_JSON_STRING)
        return p->event;
    if (memchr(p->event.p, '\\', p->event.len) == NULL)
        return rc_str_make(p->event.p + 1, p->event.len - 2);
    return rc_json_string_decode(p->event, buf) == RC_OK ? rc_buf_str(buf) : RC_STR_NONE;
}

RC_ON_SHARD static void unknown_event(struct exec *x)
{
    if (x->sh->app->conf->socketio_unknown_event == RC_UNKNOWNEVENT_DISCONNECT) {
        rc_session_close(x->sh, x->session, RC_CLOSE_RULE);
        return;
    }
    (void)refuse(x, "unknown_event", "no rule for this event: add [event %s%s%.*s] to the INI",
                 x->nsp->index != 0 ? x->nsp->name.p : "", x->nsp->index != 0 ? " " : "",
                 RC_STR_ARG(x->env.event));
    if (wants_ack(x))
        tell_refusal(x);
}

/* The first argument is a new token. */
RC_ON_SHARD static void refresh_token(struct exec *x)
{
    const struct rc_token *token;
    struct rc_buf text = RC_BUF_INIT;
    enum rc_token_fault fault = RC_TOKEN_MISSING;

    if (x->env.nargs != 0 && rc_json_string_decode(x->env.args[0], &text) == RC_OK)
        fault = rc_identity_refresh(x->sh, x->socket, rc_buf_str(&text));
    rc_buf_reset(&text);
    token = rc_identity_token(x->socket);
    if (fault != RC_TOKEN_NONE) {
        (void)refuse(x, rc_token_fault_code(fault), "%s", rc_token_fault_text(fault));
        tell_refusal(x);
    } else if (wants_ack(x) && token != NULL) {
        rc_buf_putz(&text, "{\"ok\":true,\"user\":");
        rc_json_string_encode(token->user, &text);
        rc_buf_putz(&text, ",\"expires\":");
        if (token->expires_ms != 0)
            rc_buf_put_u64(&text, token->expires_ms);
        else
            rc_buf_putz(&text, "null");
        rc_buf_putc(&text, '}');
        send_ack_json(x, rc_buf_str(&text));
    }
    rc_buf_deinit(&text);
}

void rc_verbs_event(struct rc_shard *sh, struct rc_socket *k, const struct rc_event *ev)
{
    struct exec x;
    struct rc_buf name = RC_BUF_INIT;

    rc_stat_add(&sh->stats.events_in, 1);
    begin(&x, sh, k, ev);
    x.env.event = event_name(ev->packet, &name);
    x.rule = rc_ruleset_find(&x.nsp->rules, x.env.event);
    if (rc_identity_is_refresh(sh, x.nsp, x.env.event))
        refresh_token(&x);
    else if (x.rule == NULL)
        unknown_event(&x);
    else
        run(&x);
    end(&x);
    rc_buf_deinit(&name);
}

/* Actions that may refuse are the first of their rule; they wait for nothing. */
bool rc_verbs_admit(struct rc_shard *sh, struct rc_socket *k)
{
    struct rc_buf message = RC_BUF_INIT;
    struct exec x;
    int rc = RC_OK;

    begin(&x, sh, k, NULL);
    x.connect = true;
    x.rule = x.nsp->rules.connect;
    for (; rc == RC_OK && x.rule != NULL && x.next < x.rule->nactions; x.next++) {
        const struct rc_action *a = &x.rule->action[x.next];

        if (!may_refuse(a))
            break;
        rc = call(&x, a);
    }
    if (rc != RC_OK) {
        rc_stat_add(&sh->stats.refused, 1);
        put_message(&x, &message);
        rc_socket_refuse(sh, x.session, x.env.nsp, rc_buf_str(&message), rc_buf_str(&x.data));
        rc_shard_log(sh, RC_LOG_DEBUG, "connect to %.*s refused: %s", RC_STR_ARG(x.env.nsp),
                     x.code);
    }
    rc_buf_deinit(&message);
    end(&x);
    return rc == RC_OK;
}

void rc_verbs_connect(struct rc_shard *sh, struct rc_socket *k)
{
    struct exec x;

    begin(&x, sh, k, NULL);
    x.connect = true;
    x.phase = PHASE_ENTER;
    x.rule = x.nsp->rules.connect;
    queue_connect(&x);
    if (x.home.len == 0)
        rc_local_enter_all(sh, k);
    run(&x);
    end(&x);
}

/* {room} is the last room that was named before the action that waited. */
static void restore_room(struct exec *x)
{
    for (unsigned i = 0; x->rule != NULL && i < x->next; i++) {
        const struct rc_action *a = &x->rule->action[i];
        struct rc_audience *list = NULL;

        if (a->name != NULL)
            (void)fill_name(x, a);
        if (a->list != NULL && fill_list(x, a->list, &list) == RC_OK)
            free(list);
    }
}

void rc_verbs_continue(struct rc_shard *sh, struct rc_session *s)
{
    struct rc_job *j = s->job;
    struct rc_sio_packet packet;
    struct rc_event ev;
    struct rc_buf name = RC_BUF_INIT;
    struct rc_socket *k;
    const char *why;
    struct exec x;

    if (j == NULL)
        return;
    s->job = NULL;
    k = rc_pool_find(&sh->sockets, rc_id_slot(j->socket), rc_id_gen(j->socket));
    ev = (struct rc_event){.text = j->text,
                           .packet = &packet,
                           .attachment = j->attachment,
                           .nattachments = j->nattachments};
    if (k != NULL && !k->closed &&
        (j->connect || rc_sio_parse(j->text, rc_session_sio(sh, s), &packet, &why) == RC_OK)) {
        begin(&x, sh, k, j->connect ? NULL : &ev);
        if (!j->connect)
            x.env.event = event_name(&packet, &name);
        x.rule = j->rule;
        x.phase = j->phase;
        x.next = j->next;
        x.acked = j->acked;
        x.connect = j->connect;
        restore_room(&x);
        run(&x);
        end(&x);
        rc_buf_deinit(&name);
    } else if (j->connect && j->phase < PHASE_CONNECT) {
        rc_lane_reply(sh, s, RC_STR_NONE); /* the server has ended it: lets the queue go */
    }
    rc_verbs_job_free(j);
}

/* durable.c - the actions that ask the store: store, message, history, group, and require group. Each
 * is called twice: it submits its request, and again when that has been answered. */
#include "exec.h"

#include "rc/broker/inbox.h"
#include "rc/broker/lane.h"
#include "rc/broker/room.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"
#include "rc/broker/stored.h"
#include "rc/net/ws.h"
#include "rc/proto/json.h"
#include "rc/proto/number.h"

#include <string.h>

enum { DEPTH_MAX = 1024 };

#define ID_MAX ((UINT64_C(1) << 53) - 1) /* what JavaScript can count to */

/* ---- what they share ---- */

static int refuse_fault(struct rc_exec *x, enum rc_store_fault fault)
{
    return rc_exec_refuse(x, rc_store_fault_code(fault), "%s", rc_store_fault_text(fault));
}

static int refuse_stranger(struct rc_exec *x)
{
    return rc_exec_refuse(x, "no_user", "only for users who have signed in");
}

static int refuse_group(struct rc_exec *x)
{
    return rc_exec_refuse(x, "not_in_group", "there is no such group, or you are not in it");
}

/* RC_EAGAIN: it is under way. */
RC_ON_SHARD static int submit(struct rc_exec *x, enum rc_store_type type,
                              const struct rc_store_in *in,
                              const struct rc_stored_packet *packet)
{
    enum rc_store_fault fault;

    if (x->sh->app->store == NULL)
        return rc_exec_refuse(x, "no_store", "there is no store (store.engine)");
    fault = rc_stored_submit(x->sh, x->session, x->nsp->index, type, in, packet);
    return fault == RC_STORE_OK ? RC_EAGAIN : refuse_fault(x, fault);
}

/* A message was to be stored. */
static int take_stored(struct rc_exec *x)
{
    if (x->answer->fault == RC_STORE_NOT_A_MEMBER)
        return refuse_group(x);
    if (x->answer->fault != RC_STORE_OK)
        return refuse_fault(x, x->answer->fault);
    x->env.message_id = x->answer->id;
    x->env.message_time_ms = x->answer->time_ms;
    return RC_OK;
}

static int fill_text(struct rc_exec *x, const struct rc_template *t, struct rc_buf *to)
{
    unsigned arg = 0;
    int rc = rc_template_fill_text(t, &x->env, to, &arg);

    return rc == RC_OK ? RC_OK : rc_exec_refuse_arg(x, rc, arg);
}

/* The value of a template that is one. */
static int fill_value(struct rc_exec *x, const struct rc_template *t, struct rc_buf *to)
{
    unsigned arg = 0;
    int rc = rc_template_fill_args(t, &x->env, to, &arg);

    return rc == RC_OK ? RC_OK : rc_exec_refuse_arg(x, rc, arg);
}

static bool has_attachments(const struct rc_exec *x, const struct rc_template *t)
{
    return x->ev != NULL && x->ev->nattachments != 0 && rc_template_passes_args(t);
}

static int refuse_attachments(struct rc_exec *x)
{
    return rc_exec_refuse(x, "bad_argument",
                          "binary attachments cannot be stored: send them as base64 text");
}

/* What the store calls a room: its name in the namespace "/", elsewhere behind that of the namespace
 * and a comma, which no namespace's name has. */
static void put_receiver(const struct rc_exec *x, struct rc_buf *to)
{
    bool is_root = x->nsp->index == 0;

    if (!is_root || x->env.room.p[0] == '/') {
        rc_buf_puts(to, x->env.nsp);
        rc_buf_putc(to, ',');
    }
    rc_buf_puts(to, x->env.room);
}

/* A value as what the store keeps: a string as its text. *in: buf holds the content. */
static int put_content(struct rc_exec *x, struct rc_str json, struct rc_store_in *in,
                       struct rc_buf *buf)
{
    if (rc_json_type(json) != RC_JSON_STRING) {
        in->format = RC_STORE_JSON;
        in->content = json;
        return RC_OK;
    }
    if (rc_json_string_decode(json, buf) != RC_OK)
        return rc_exec_refuse(x, "bad_argument", "the content is no valid text");
    in->format = RC_STORE_TEXT;
    in->content = rc_buf_str(buf);
    return RC_OK;
}

/* ---- store ---- */

struct parts {
    struct rc_buf receiver, client_id, event, args, text, name, holes;
};

static void free_parts(struct parts *p)
{
    rc_buf_deinit(&p->receiver);
    rc_buf_deinit(&p->client_id);
    rc_buf_deinit(&p->event);
    rc_buf_deinit(&p->args);
    rc_buf_deinit(&p->text);
    rc_buf_deinit(&p->name);
    rc_buf_deinit(&p->holes);
}

/* One argument is kept as it is, others as an array. */
static int fill_content(struct rc_exec *x, const struct rc_action *a, struct parts *p,
                        struct rc_store_in *in)
{
    struct rc_json_walk w = {.max_depth = DEPTH_MAX};
    struct rc_str one = RC_STR_NONE;
    int rc = RC_OK, n;

    rc_buf_putc(&p->args, '[');
    if (a->args != NULL)
        rc = fill_value(x, a->args, &p->args);
    rc_buf_putc(&p->args, ']');
    if (rc != RC_OK)
        return rc;
    n = rc_json_array(rc_buf_str(&p->args), &one, 1, &w);
    return put_content(x, n == 1 ? one : rc_buf_str(&p->args), in, &p->text);
}

static int fill_put(struct rc_exec *x, const struct rc_action *a, struct parts *p,
                    struct rc_store_in *in)
{
    int rc = a->text[0] != NULL ? fill_text(x, a->text[0], &p->client_id) : RC_OK;

    if (rc == RC_OK && p->client_id.len != 0 && x->env.user.len == 0)
        /* Whose it is cannot be told from another's of the same id. */
        rc = rc_exec_refuse(
            x, "no_user",
            "only users who have signed in may give a message an id of their own");
    if (rc == RC_OK)
        rc = fill_value(x, a->event, &p->event);
    if (rc == RC_OK && rc_json_string_decode(rc_buf_str(&p->event), &p->name) != RC_OK)
        rc = rc_exec_refuse(x, "bad_argument", "the name of the event is no text");
    if (rc == RC_OK)
        rc = fill_content(x, a, p, in);
    if (rc != RC_OK)
        return rc;
    put_receiver(x, &p->receiver);
    in->conversation = RC_STORE_ROOM;
    in->user = x->env.user;
    in->receiver = rc_buf_str(&p->receiver);
    in->client_id = rc_buf_str(&p->client_id);
    in->event = rc_buf_str(&p->name);
    in->time_ms = (int64_t)x->env.time_ms;
    return RC_OK;
}

/* Sent when it is stored: with holes for the id and the time. */
RC_ON_SHARD static int store_first(struct rc_exec *x, const struct rc_action *a,
                                   struct parts *p, const struct rc_store_in *in)
{
    struct rc_stored_packet packet = {.key = x->key, .holes = &p->holes};
    struct rc_template_hole hole;
    int rc;

    x->env.holes = &p->holes;
    rc = rc_exec_build(x, RC_SIO_EVENT, a->event, a->args);
    x->env.holes = NULL;
    if (rc != RC_OK)
        return rc;
    for (size_t at = 0; at < p->holes.len; at += sizeof(hole)) {
        memcpy(&hole, p->holes.data + at, sizeof(hole));
        hole.at -= RC_WS_HEADER_MAX;
        memcpy(p->holes.data + at, &hole, sizeof(hole));
    }
    packet.text = rc_str_skip(rc_buf_str(&x->sh->scratch), RC_WS_HEADER_MAX);
    packet.except = a->except_sender ? rc_socket_id(x->sh, x->socket) : 0;
    return submit(x, RC_STORE_PUT, in, &packet);
}

/* Sent at once, if the store takes it. */
RC_ON_SHARD static int store_later(struct rc_exec *x, const struct rc_action *a,
                                   const struct rc_store_in *in)
{
    enum rc_store_fault fault;

    if (x->sh->app->store == NULL)
        return rc_exec_refuse(x, "no_store", "there is no store (store.engine)");
    fault = rc_stored_submit(x->sh, NULL, x->nsp->index, RC_STORE_PUT, in, NULL);
    if (fault != RC_STORE_OK)
        return refuse_fault(x, fault);
    return rc_action_emit_to_room(x, x->key, rc_exec_hash(x, x->key), a);
}

int rc_action_store(struct rc_exec *x, const struct rc_action *a)
{
    struct parts p = {.receiver = RC_BUF_INIT};
    struct rc_store_in in = {.conversation = RC_STORE_ROOM};
    int rc = rc_exec_fill_name(x, a);
    unsigned owner;

    if (rc != RC_OK)
        return rc;
    if (x->answer != NULL)
        return take_stored(x);
    if (rc_socket_parse(x->env.nsp, x->env.room).id != 0)
        return rc_exec_refuse(x, "bad_room", "what is sent to one socket is not stored");
    if (a->args != NULL && has_attachments(x, a->args))
        return refuse_attachments(x);
    rc = rc_action_may_publish(x, a);
    if (rc != RC_OK)
        return rc;
    owner = rc_room_owner(x->sh, rc_exec_hash(x, x->key));
    if (a->later ? !rc_lane_enter(x->sh, x->session, owner)
                 : !rc_lane_store(x->sh, x->session, (int)owner))
        return RC_EAGAIN;
    rc = fill_put(x, a, &p, &in);
    if (rc == RC_OK)
        rc = a->later ? store_later(x, a, &in) : store_first(x, a, &p, &in);
    free_parts(&p);
    return rc;
}

/* ---- message ---- */

/* The text of a key; empty where it is null, or absent and may be. lacks: what lacks it, to be told; NULL:
 * it may be absent. */
static int get_text(struct rc_exec *x, struct rc_str object, const char *key, const char *lacks,
                    struct rc_buf *to)
{
    struct rc_str value = rc_json_get(object, rc_str_of(key));
    enum rc_json_type type = value.len != 0 ? rc_json_type(value) : RC_JSON_NULL;

    if (type == RC_JSON_NUMBER)
        rc_buf_puts(to, value);
    else if (type == RC_JSON_STRING && rc_json_string_decode(value, to) != RC_OK)
        return rc_exec_refuse(x, "bad_argument", "%s is no valid text", key);
    else if (type != RC_JSON_STRING && type != RC_JSON_NULL)
        return rc_exec_refuse(x, "bad_argument", "%s must be a string or a number", key);
    if (lacks != NULL && value.len == 0)
        return rc_exec_refuse(x, "missing_argument", "%s the key %s", lacks, key);
    if (lacks != NULL && to->len == 0)
        return rc_exec_refuse(x, "bad_argument", "%s is empty", key);
    return RC_OK;
}

static void put_hole(struct rc_buf *text, struct rc_buf *holes, enum rc_hole_kind kind)
{
    struct rc_template_hole hole = {.at = text->len, .kind = kind};

    rc_buf_put(holes, &hole, sizeof(hole));
    rc_buf_putc(text, '0');
}

static void put_member(struct rc_buf *text, const char *key, struct rc_str value)
{
    rc_buf_printf(text, ",\"%s\":", key);
    if (value.len != 0)
        rc_json_string_encode(value, text);
    else
        rc_buf_putz(text, "null");
}

/* What receivers get: as a row of the history. */
static void build_message(const struct rc_exec *x, const struct rc_store_in *in,
                          struct rc_str content, struct rc_buf *text, struct rc_buf *holes)
{
    bool is_group = in->conversation == RC_STORE_GROUP;

    rc_sio_put_head(text, RC_SIO_EVENT, 0, x->env.nsp, false, 0);
    rc_buf_putz(text, "[\"message\",{\"id\":");
    put_hole(text, holes, RC_HOLE_ID);
    put_member(text, "conversation_type", is_group ? RC_STR("group") : RC_STR("private"));
    put_member(text, "sender_id", in->user);
    put_member(text, "receiver_id", in->receiver);
    rc_buf_putz(text, ",\"content\":");
    rc_buf_puts(text, content);
    rc_buf_putz(text, ",\"created_at\":\"");
    put_hole(text, holes, RC_HOLE_TIME_TEXT);
    rc_buf_putc(text, '"');
    put_member(text, "client_id", in->client_id);
    rc_buf_putz(text, "}]");
}

/* Reads the message. *content: as JSON. */
static int read_message(struct rc_exec *x, struct rc_str object, struct parts *p,
                        struct rc_store_in *in, struct rc_str *content)
{
    int rc;

    if (rc_json_type(object) != RC_JSON_OBJECT)
        return rc_exec_refuse(x, "bad_argument", "a message is an object");
    rc = get_text(x, object, "conversationType", "the message lacks", &p->name);
    if (rc == RC_OK)
        rc = get_text(x, object, "receiverId", "the message lacks", &p->receiver);
    if (rc == RC_OK)
        rc = get_text(x, object, "clientId", NULL, &p->client_id);
    if (rc != RC_OK)
        return rc;
    in->conversation =
        rc_str_eq(rc_buf_str(&p->name), RC_STR("group")) ? RC_STORE_GROUP : RC_STORE_PRIVATE;
    if (in->conversation == RC_STORE_PRIVATE &&
        !rc_str_eq(rc_buf_str(&p->name), RC_STR("private")))
        return rc_exec_refuse(x, "bad_argument", "conversationType is private or group");
    if (p->receiver.len > RC_USER_MAX)
        return rc_exec_refuse(x, "bad_argument", "receiverId has 1 to %d bytes",
                              (int)RC_USER_MAX);
    *content = rc_json_get(object, RC_STR("content"));
    if (content->len == 0)
        return rc_exec_refuse(x, "missing_argument", "the message lacks the key content");
    return put_content(x, *content, in, &p->text);
}

/* The owner of the rooms that a message goes to, or RC_LANE_MANY. */
RC_ON_SHARD static int owner_of(struct rc_exec *x, const struct rc_store_in *in)
{
    unsigned owner[2];

    if (in->conversation == RC_STORE_GROUP)
        return RC_LANE_MANY;
    owner[0] = rc_room_owner(x->sh, rc_exec_hash(x, rc_exec_user_key(x, in->user)));
    owner[1] = rc_room_owner(x->sh, rc_exec_hash(x, rc_exec_user_key(x, in->receiver)));
    return owner[0] == owner[1] ? (int)owner[0] : RC_LANE_MANY;
}

RC_ON_SHARD static int send_message(struct rc_exec *x, struct rc_str object, struct parts *p)
{
    struct rc_store_in in = {
        .user = x->env.user, .of_member = true, .time_ms = (int64_t)x->env.time_ms};
    struct rc_stored_packet packet = {.except = rc_socket_id(x->sh, x->socket)};
    struct rc_str content = RC_STR_NONE;
    int rc = read_message(x, object, p, &in, &content);

    if (rc != RC_OK)
        return rc;
    in.receiver = rc_buf_str(&p->receiver);
    in.client_id = rc_buf_str(&p->client_id);
    if (!rc_lane_store(x->sh, x->session, owner_of(x, &in)))
        return RC_EAGAIN;
    rc_buf_reset(&x->sh->scratch);
    build_message(x, &in, content, &x->sh->scratch, &p->holes);
    packet.text = rc_buf_str(&x->sh->scratch);
    packet.holes = &p->holes;
    return submit(x, RC_STORE_PUT, &in, &packet);
}

int rc_action_message(struct rc_exec *x, const struct rc_action *a)
{
    struct parts p = {.receiver = RC_BUF_INIT};
    int rc;

    if (x->answer != NULL)
        return take_stored(x);
    if (x->env.user.len == 0)
        return refuse_stranger(x);
    if (has_attachments(x, a->args))
        return refuse_attachments(x);
    rc = fill_value(x, a->args, &p.args);
    if (rc == RC_OK)
        rc = send_message(x, rc_buf_str(&p.args), &p);
    free_parts(&p);
    return rc;
}

/* ---- history ---- */

static bool is_given(struct rc_str options, const char *key)
{
    struct rc_str value = rc_json_get(options, rc_str_of(key));

    return value.len != 0 && rc_json_type(value) != RC_JSON_NULL;
}

static int get_bound(struct rc_exec *x, struct rc_str options, const char *key, uint64_t min,
                     uint64_t *to)
{
    struct rc_str value = rc_json_get(options, rc_str_of(key));
    struct rc_number n = {.kind = RC_NUMBER_DOUBLE};

    if (!is_given(options, key))
        return RC_OK;
    if (rc_json_type(value) == RC_JSON_NUMBER)
        n = rc_number_read(value);
    if (n.kind != RC_NUMBER_UINT || n.v.u < min || n.v.u > ID_MAX)
        return rc_exec_refuse(x, "bad_argument",
                              "%s must be a whole number from %u to 2^53 - 1", key,
                              (unsigned)min);
    *to = n.v.u;
    return RC_OK;
}

/* before, after and limit. */
static int get_page(struct rc_exec *x, struct rc_str options, struct rc_store_in *in)
{
    uint64_t limit = 0;
    int rc;

    if (options.len == 0 || rc_json_type(options) == RC_JSON_NULL)
        return RC_OK;
    if (rc_json_type(options) != RC_JSON_OBJECT)
        return rc_exec_refuse(x, "bad_argument", "the options are an object");
    rc = get_bound(x, options, "before", 1, &in->before);
    if (rc == RC_OK)
        rc = get_bound(x, options, "after", 0, &in->after);
    if (rc == RC_OK)
        rc = get_bound(x, options, "limit", 1, &limit);
    in->limit = limit < RC_STORE_ROWS_MAX ? (uint32_t)limit : RC_STORE_ROWS_MAX;
    in->forward = is_given(options, "after") && in->before == 0;
    return rc;
}

/* With whom. */
static int get_conversation(struct rc_exec *x, struct rc_str options, struct parts *p,
                            struct rc_store_in *in)
{
    int rc = x->env.user.len != 0 ? RC_OK : refuse_stranger(x);

    if (rc == RC_OK && rc_json_type(options) != RC_JSON_OBJECT)
        rc = rc_exec_refuse(
            x, "bad_argument",
            "the options are an object: {\"type\":\"private\",\"with\":USER}, or "
            "{\"type\":\"group\",\"with\":GROUP}");
    if (rc == RC_OK)
        rc = get_text(x, options, "type", "the options lack", &p->name);
    if (rc == RC_OK)
        rc = get_text(x, options, "with", "the options lack", &p->receiver);
    if (rc != RC_OK)
        return rc;
    in->conversation =
        rc_str_eq(rc_buf_str(&p->name), RC_STR("group")) ? RC_STORE_GROUP : RC_STORE_PRIVATE;
    in->user = x->env.user;
    in->receiver = rc_buf_str(&p->receiver);
    if (in->conversation == RC_STORE_PRIVATE &&
        !rc_str_eq(rc_buf_str(&p->name), RC_STR("private")))
        return rc_exec_refuse(x, "bad_argument", "type is private or group");
    return RC_OK;
}

/* A page of rows, or whatever else, as the rule's acknowledgement. */
RC_ON_SHARD static int send_list(struct rc_exec *x, const char *key, bool paged)
{
    const struct rc_pub *list = x->answer->pub;
    struct rc_buf json = RC_BUF_INIT;

    rc_buf_printf(&json, "{\"ok\":true,\"%s\":[", key);
    if (list != NULL)
        rc_buf_puts(&json, rc_pub_data(list));
    rc_buf_putc(&json, ']');
    if (paged)
        rc_buf_putz(&json, x->answer->yes ? ",\"more\":true" : ",\"more\":false");
    rc_buf_putc(&json, '}');
    rc_exec_send_ack_json(x, rc_buf_str(&json));
    rc_buf_deinit(&json);
    return RC_OK;
}

/* The newest come first. */
RC_ON_SHARD static int ask_conversations(struct rc_exec *x, struct rc_store_in *in)
{
    if (x->env.user.len == 0)
        return refuse_stranger(x);
    if (in->after != 0)
        return rc_exec_refuse(x, "bad_argument",
                              "conversations come newest first: ask for those before an id");
    in->user = x->env.user;
    in->forward = true; /* what does not fit is left out at the end */
    return submit(x, RC_STORE_CONVERSATIONS, in, NULL);
}

/* A group's is for those who are in it: it is asked first. */
RC_ON_SHARD static int ask_history(struct rc_exec *x, const struct rc_action *a,
                                   struct parts *p)
{
    struct rc_store_in in = {.conversation = RC_STORE_ROOM,
                             .rows_size = x->sh->app->conf->limits_max_queue / 4};
    bool is_room = a->history == RC_HISTORY_ROOM, checked = x->answer != NULL;
    int rc = a->data != NULL ? fill_value(x, a->data, &p->args) : RC_OK;
    struct rc_str options = rc_buf_str(&p->args);

    if (rc == RC_OK && a->history == RC_HISTORY_CONVERSATION)
        rc = get_conversation(x, options, p, &in);
    if (rc == RC_OK)
        rc = get_page(x, options, &in);
    if (rc == RC_OK && a->history == RC_HISTORY_CONVERSATIONS)
        return ask_conversations(x, &in);
    if (rc != RC_OK)
        return rc;
    if (in.conversation == RC_STORE_GROUP && !checked)
        return submit(x, RC_STORE_GROUP_IS, &in, NULL);
    if (is_room) {
        put_receiver(x, &p->receiver);
        in.receiver = rc_buf_str(&p->receiver);
        in.shown_as = x->env.room;
    }
    return submit(x, RC_STORE_HISTORY, &in, NULL);
}

int rc_action_history(struct rc_exec *x, const struct rc_action *a)
{
    struct parts p = {.receiver = RC_BUF_INIT};
    int rc = a->name != NULL ? rc_exec_fill_name(x, a) : RC_OK;

    if (rc != RC_OK)
        return rc;
    if (!rc_exec_wants_ack(x))
        return RC_OK; /* nobody to be told */
    if (x->answer != NULL && x->answer->fault != RC_STORE_OK)
        return refuse_fault(x, x->answer->fault);
    if (x->answer != NULL && x->answer->type == RC_STORE_HISTORY)
        return send_list(x, "messages", true);
    if (x->answer != NULL && x->answer->type == RC_STORE_CONVERSATIONS)
        return send_list(x, "conversations", true);
    if (x->answer != NULL && !x->answer->yes)
        return refuse_group(x);
    if (a->name != NULL && (rc = rc_access_check(x, RC_ACCESS_HISTORY, x->key)) != RC_OK)
        return rc;
    rc = ask_history(x, a, &p);
    free_parts(&p);
    return rc;
}

/* ---- groups ---- */

int rc_action_group(struct rc_exec *x, const struct rc_action *a)
{
    static const enum rc_store_type types[] = {[RC_GROUP_CREATE] = RC_STORE_GROUP_CREATE,
                                               [RC_GROUP_ADD] = RC_STORE_GROUP_ADD,
                                               [RC_GROUP_REMOVE] = RC_STORE_GROUP_REMOVE,
                                               [RC_GROUP_LIST] = RC_STORE_GROUP_LIST};
    struct rc_buf group = RC_BUF_INIT, user = RC_BUF_INIT;
    struct rc_store_in in = {.conversation = RC_STORE_GROUP};
    int rc;

    if (a->group == RC_GROUP_LIST && !rc_exec_wants_ack(x))
        return RC_OK; /* nobody to be told */
    if (x->answer != NULL && x->answer->fault != RC_STORE_OK)
        return refuse_fault(x, x->answer->fault);
    if (x->answer != NULL)
        return a->group == RC_GROUP_LIST ? send_list(x, "users", false) : RC_OK;
    if (a->group == RC_GROUP_CREATE && x->env.user.len == 0)
        return refuse_stranger(x);
    rc = fill_text(x, a->text[0], &group);
    if (rc == RC_OK && a->text[1] != NULL)
        rc = fill_text(x, a->text[1], &user);
    if (rc == RC_OK && (group.len == 0 || (a->text[1] != NULL && user.len == 0)))
        rc = rc_exec_refuse(x, "bad_argument", "the name of a group or a user is empty");
    in.receiver = rc_buf_str(&group);
    in.user = a->group == RC_GROUP_CREATE ? x->env.user : rc_buf_str(&user);
    if (rc == RC_OK)
        rc = submit(x, types[a->group], &in, NULL);
    rc_buf_deinit(&group);
    rc_buf_deinit(&user);
    return rc;
}

int rc_action_ask_group(struct rc_exec *x, struct rc_str group)
{
    const struct rc_store_in in = {.user = x->env.user, .receiver = group};

    return submit(x, RC_STORE_GROUP_IS, &in, NULL);
}

int rc_action_require_group(struct rc_exec *x, const struct rc_action *a)
{
    struct rc_buf group = RC_BUF_INIT;
    int rc;

    if (x->answer != NULL && x->answer->fault != RC_STORE_OK)
        return refuse_fault(x, x->answer->fault);
    if (x->answer != NULL)
        return x->answer->yes
                   ? RC_OK
                   : rc_exec_refuse_by_rule(x, a, "not_in_group", "you are not in the group");
    if (x->env.user.len == 0)
        return refuse_stranger(x);
    rc = fill_text(x, a->text[0], &group);
    if (rc == RC_OK)
        rc = rc_action_ask_group(x, rc_buf_str(&group));
    rc_buf_deinit(&group);
    return rc;
}

/* actions.c - what each action of a rule does, but for those that send events (emit.c). */
#include "exec.h"

#include "rc/broker/audience.h"
#include "rc/broker/lane.h"
#include "rc/broker/presence.h"
#include "rc/broker/room.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"

#include <stdlib.h>

/* Rooms are meant by their keys from here on. */
RC_ON_SHARD static int enter_room_lane(struct rc_exec *x, struct rc_str room)
{
    unsigned owner = rc_room_owner(x->sh, rc_exec_hash(x, room));

    return rc_lane_enter(x->sh, x->session, owner) ? RC_OK : RC_EAGAIN;
}

RC_ON_SHARD static int require_member(struct rc_exec *x, const struct rc_action *a)
{
    int rc = rc_exec_fill_name(x, a);

    if (rc != RC_OK)
        return rc;
    if (!rc_local_is_member(x->sh, x->socket, x->key) &&
        !rc_socket_is(x->sh, x->socket, rc_socket_parse(x->env.nsp, x->env.room)))
        return rc_exec_refuse_by_rule(x, a, "not_a_member", "join the room first");
    return RC_OK;
}

/* The key is there, and neither null nor an empty text. */
static int require_auth(struct rc_exec *x, const struct rc_action *a)
{
    struct rc_buf value = RC_BUF_INIT;
    unsigned arg = 0;
    int rc = rc_template_fill_args(a->text[0], &x->env, &value, &arg);
    bool given = rc == RC_OK && !value.failed &&
                 !rc_str_eq(rc_buf_str(&value), RC_STR("null")) &&
                 !rc_str_eq(rc_buf_str(&value), RC_STR("\"\""));

    rc_buf_deinit(&value);
    return given ? RC_OK
                 : rc_exec_refuse_by_rule(x, a, "no_auth", "auth lacks what is needed here");
}

static int require_same(struct rc_exec *x, const struct rc_action *a)
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
        return rc_exec_refuse_arg(x, rc, arg);
    return same ? RC_OK : rc_exec_refuse_by_rule(x, a, "not_same", "not what is needed here");
}

int rc_action_require(struct rc_exec *x, const struct rc_action *a)
{
    switch (a->require) {
    case RC_REQUIRE_MEMBER: return require_member(x, a);
    case RC_REQUIRE_AUTH: return require_auth(x, a);
    case RC_REQUIRE_SAME: return require_same(x, a);
    case RC_REQUIRE_GROUP: return rc_action_require_group(x, a);
    }
    return RC_OK;
}

int rc_action_join_room(struct rc_exec *x, struct rc_str room)
{
    const char *why = "";
    int rc = enter_room_lane(x, room);

    if (rc != RC_OK)
        return rc;
    rc = rc_local_join(x->sh, x->socket, room, &why);
    if (rc != RC_OK)
        return rc_exec_refuse(x, "too_many_rooms", "limit limits.%s is reached", why);
    rc_lane_mark(x->sh, x->session);
    return RC_OK;
}

/* May it join? Who is in the room already may. */
RC_ON_SHARD static int may_join(struct rc_exec *x, struct rc_str room)
{
    if (x->nsp->rooms.n == 0 || rc_local_is_member(x->sh, x->socket, room))
        return RC_OK;
    return rc_access_check(x, RC_ACCESS_JOIN, room);
}

/* All or, but for the limits of rooms, none. May be called again: what is joined stays so. */
RC_ON_SHARD static int join_list(struct rc_exec *x, const struct rc_audience *list)
{
    int rc = RC_OK;

    for (uint32_t i = 0; i < list->nto; i++)
        if (list->part[i].len == 0 &&
            !rc_socket_is(x->sh, x->socket, rc_audience_address(&list->part[i])))
            return rc_exec_refuse(x, "bad_room",
                                  "the room of another socket's id cannot be joined");
    for (uint32_t i = 0; i < list->nto && rc == RC_OK; i++)
        if (list->part[i].len != 0)
            rc = may_join(x, rc_audience_name(list, &list->part[i]));
    for (uint32_t i = 0; i < list->nto && rc == RC_OK; i++) {
        struct rc_str room = rc_audience_name(list, &list->part[i]);

        if (room.len != 0 && !rc_local_is_member(x->sh, x->socket, room))
            rc = rc_action_join_room(x, room);
    }
    return rc;
}

RC_ON_SHARD static int leave_room(struct rc_exec *x, struct rc_str room)
{
    int rc = enter_room_lane(x, room);

    if (rc != RC_OK)
        return rc;
    rc_local_leave(x->sh, x->socket, room);
    rc_lane_mark(x->sh, x->session);
    return RC_OK;
}

RC_ON_SHARD static int leave_list(struct rc_exec *x, const struct rc_audience *list)
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
RC_ON_SHARD static int verb_move(struct rc_exec *x, const struct rc_action *a)
{
    struct rc_audience *list = NULL;
    int rc = rc_exec_fill_list(x, a->list, &list);

    if (rc == RC_OK)
        rc = a->verb == RC_VERB_JOIN ? join_list(x, list) : leave_list(x, list);
    free(list);
    return rc;
}

int rc_action_join(struct rc_exec *x, const struct rc_action *a)
{
    int rc;
    struct rc_address of;

    if (a->list != NULL)
        return verb_move(x, a);
    rc = rc_exec_fill_name(x, a);
    if (rc != RC_OK)
        return rc;
    of = rc_socket_parse(x->env.nsp, x->env.room);
    if (rc_socket_is(x->sh, x->socket, of))
        return RC_OK; /* a socket is always in the room of its own id */
    if (of.id != 0)
        return rc_exec_refuse(x, "bad_room",
                              "the room of another socket's id cannot be joined");
    rc = may_join(x, x->key);
    return rc == RC_OK ? rc_action_join_room(x, x->key) : rc;
}

int rc_action_leave(struct rc_exec *x, const struct rc_action *a)
{
    int rc;

    if (a->list != NULL)
        return verb_move(x, a);
    rc = rc_exec_fill_name(x, a);
    return rc == RC_OK ? leave_room(x, x->key) : rc;
}

int rc_action_ack(struct rc_exec *x, const struct rc_action *a)
{
    int rc;

    if (!rc_exec_wants_ack(x) || a->args == NULL)
        return RC_OK;
    rc = rc_exec_build(x, RC_SIO_ACK, NULL, a->args);
    if (rc != RC_OK)
        return rc;
    x->acked = true;
    rc_lane_reply(x->sh, x->session, rc_frames(&x->sh->scratch));
    return RC_OK;
}

int rc_action_watch(struct rc_exec *x, const struct rc_action *a)
{
    (void)a;
    return rc_action_join_room(x, rc_exec_directory_key(x));
}

int rc_action_unwatch(struct rc_exec *x, const struct rc_action *a)
{
    (void)a;
    return leave_room(x, rc_exec_directory_key(x));
}

/* Who may join may also ask who is there. */
int rc_action_presence(struct rc_exec *x, const struct rc_action *a)
{
    struct rc_presence_form form = {.as_ack = rc_exec_wants_ack(x)};
    int rc = rc_exec_fill_name(x, a);

    if (rc != RC_OK)
        return rc;
    if (!rc_presence_is_kept(x->sh, x->nsp->index, x->key))
        return rc_exec_refuse(x, "bad_room",
                              "no [room] section keeps the presence of this room");
    rc = may_join(x, x->key);
    if (rc == RC_OK)
        rc = enter_room_lane(x, x->key);
    if (rc != RC_OK)
        return rc;
    if (form.as_ack)
        form.id = x->ev->packet->id;
    else if (x->sh->app->conf->socketio_presence_event[0] == '\0')
        return RC_OK;
    x->acked = x->acked || form.as_ack;
    rc_presence_ask(x->sh, x->session, x->nsp->index, x->key, &form);
    return RC_OK;
}

int rc_action_disconnect(struct rc_exec *x, const struct rc_action *a)
{
    struct rc_buf *b = &x->sh->scratch;

    /* Whatever the rule caused before must have come to its own client first. */
    if (x->sh->own_mail ? !rc_lane_leave(x->sh, x->session)
                        : !rc_lane_enter(x->sh, x->session, x->sh->index))
        return RC_EAGAIN;
    if (rc_exec_wants_ack(x) && rc_exec_ack_mode(x) == RC_ACK_AUTO)
        rc_exec_send_ack_json(x, RC_STR("{\"ok\":true}"));
    rc_frames_begin(b);
    rc_sio_put_head(b, RC_SIO_DISCONNECT, 0, x->env.nsp, false, 0);
    rc_frames_end(b);
    rc_lane_reply(x->sh, x->session, rc_frames(b));
    if (a->whole_connection || x->session->kind == RC_SESSION_ENDPOINT)
        rc_session_close(x->sh, x->session, RC_CLOSE_RULE);
    else
        rc_socket_close(x->sh, x->socket);
    return RC_OK;
}

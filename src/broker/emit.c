/* emit.c - the actions that send events: emit and ask. */
#include "exec.h"

#include "rc/broker/ask.h"
#include "rc/broker/audience.h"
#include "rc/broker/bus.h"
#include "rc/broker/lane.h"
#include "rc/broker/room.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"
#include "rc/broker/union.h"

#include <stdlib.h>

/* What rc_exec_build() has made, as a publication. */
static struct rc_pub *built(struct rc_exec *x, struct rc_str room, uint64_t hash)
{
    struct rc_str frames = rc_frames(&x->sh->scratch);
    struct rc_pub *pub = rc_pub_new(x->nsp->index, room, hash, frames.p, frames.len);

    pub->ask = x->ask;
    pub->ask_ms = x->ask_ms;
    pub->shared = true;
    return pub;
}

/* To what may be a socket of another node. */
RC_ON_SHARD static int emit_elsewhere(struct rc_exec *x, const struct rc_action *a)
{
    int rc = rc_lane_enter(x->sh, x->session, x->sh->index) ? RC_OK : RC_EAGAIN;
    struct rc_pub *pub;
    bool nodes;

    if (rc == RC_OK)
        rc = rc_exec_build(x, RC_SIO_EVENT, a->event, a->args);
    if (rc != RC_OK)
        return rc;
    pub = built(x, x->key, 0);
    nodes = rc_bus_publish(x->sh, pub, 0);
    if (x->ask != 0)
        rc_ask_put(x->sh, x->ask, 0, nodes);
    rc_pub_unref(&pub);
    return RC_OK;
}

RC_ON_SHARD static int emit_to_socket(struct rc_exec *x, struct rc_address to,
                                      const struct rc_action *a)
{
    int rc;

    if (to.id == 0 && rc_exec_is_elsewhere(x, x->env.room))
        return emit_elsewhere(x, a);
    if (to.id == 0)
        return rc_exec_refuse(x, "bad_target", "no such socket");
    if (!rc_lane_enter(x->sh, x->session, x->sh->index))
        return RC_EAGAIN;
    rc = rc_exec_build(x, RC_SIO_EVENT, a->event, a->args);
    if (rc != RC_OK)
        return rc;
    rc_send_to_socket(x->sh, x->session, &to, built(x, x->home, 0));
    return RC_OK;
}

int rc_action_emit_to_room(struct rc_exec *x, struct rc_str room, uint64_t hash,
                           const struct rc_action *a)
{
    rc_id except = a->except_sender ? rc_socket_id(x->sh, x->socket) : 0;
    int rc = rc_lane_enter(x->sh, x->session, rc_room_owner(x->sh, hash)) ? RC_OK : RC_EAGAIN;

    if (rc == RC_OK)
        rc = rc_exec_build(x, RC_SIO_EVENT, a->event, a->args);
    if (rc != RC_OK)
        return rc;
    rc_publish(x->sh, x->session, built(x, room, hash), except);
    return RC_OK;
}

/* Takes over the audience. */
RC_ON_SHARD static int emit_to_audience(struct rc_exec *x, struct rc_audience *to,
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
        rc = rc_exec_build(x, RC_SIO_EVENT, a->event, a->args);
    if (rc != RC_OK || nobody) {
        free(to);
        if (rc == RC_OK && x->ask != 0)
            rc_ask_put(x->sh, x->ask, 0, false);
        return rc;
    }
    pub = built(x, x->home, 0);
    pub->audience = to;
    rc_union_publish(x->sh, x->session, pub, route);
    return RC_OK;
}

/* Does the rule itself name all its rooms, whatever the event says? */
static bool is_fixed(const struct rc_action *a)
{
    const struct rc_target_list *l = a->list;

    if (l == NULL)
        return a->name == NULL || rc_template_is_constant(a->name);
    for (unsigned i = 0; i < l->nto; i++)
        if (l->item[i].name != NULL && !rc_template_is_constant(l->item[i].name))
            return false;
    return true;
}

/* Where somebody may publish is said of those who send events. What [connect] sends to a room that it
 * names is the server's own word. */
static bool is_free(const struct rc_exec *x, const struct rc_action *a)
{
    return x->nsp->rooms.n == 0 || (x->connect && is_fixed(a));
}

int rc_action_may_publish(struct rc_exec *x, const struct rc_action *a)
{
    return is_free(x, a) ? RC_OK : rc_access_check(x, RC_ACCESS_PUBLISH, x->key);
}

RC_ON_SHARD static int may_publish_to(struct rc_exec *x, const struct rc_audience *to)
{
    int rc = RC_OK;

    for (uint32_t i = 0; i < to->nto && rc == RC_OK; i++) {
        struct rc_str room = rc_audience_name(to, &to->part[i]);

        if (room.len > x->home.len && !rc_space_is_hidden(rc_str_skip(room, x->home.len)))
            rc = rc_access_check(x, RC_ACCESS_PUBLISH, room);
    }
    return rc;
}

RC_ON_SHARD static int emit_to_list(struct rc_exec *x, const struct rc_action *a)
{
    struct rc_audience *to = NULL;
    int rc = rc_exec_fill_list(x, a->list, &to);
    bool one_room;

    if (rc == RC_OK && !is_free(x, a) && (rc = may_publish_to(x, to)) != RC_OK)
        free(to);
    if (rc != RC_OK)
        return rc;
    one_room = !to->is_volatile && to->nto == 1 && to->nexcept == 0 && to->part[0].len != 0;
    if (!one_room)
        return emit_to_audience(x, to, a);
    rc = rc_action_emit_to_room(x, rc_audience_name(to, &to->part[0]), to->part[0].key, a);
    free(to);
    return rc;
}

RC_ON_SHARD static int emit_to_user(struct rc_exec *x, const struct rc_action *a)
{
    struct rc_str key;
    int rc = rc_exec_fill_user(x, a->name, &key);

    return rc == RC_OK ? rc_action_emit_to_room(x, key, rc_exec_hash(x, key), a) : rc;
}

/* The target's name is filled in, unless it is a user's. */
RC_ON_SHARD static int emit(struct rc_exec *x, const struct rc_action *a)
{
    struct rc_address to;
    int rc;

    if (a->list != NULL)
        return emit_to_list(x, a);
    switch (a->target) {
    case RC_TARGET_SENDER:
        rc = rc_exec_build(x, RC_SIO_EVENT, a->event, a->args);
        if (rc == RC_OK)
            rc_lane_reply(x->sh, x->session, rc_frames(&x->sh->scratch));
        return rc;
    case RC_TARGET_SOCKET:
        return emit_to_socket(x, rc_socket_parse(x->env.nsp, x->env.room), a);
    case RC_TARGET_ALL: return rc_action_emit_to_room(x, x->home, rc_exec_hash(x, x->home), a);
    case RC_TARGET_USER: return emit_to_user(x, a);
    case RC_TARGET_ROOMS:
    case RC_TARGET_ROOM: break;
    }
    to = rc_socket_parse(x->env.nsp, x->env.room);
    if (to.id == 0) {
        rc = rc_action_may_publish(x, a);
        return rc == RC_OK ? rc_action_emit_to_room(x, x->key, rc_exec_hash(x, x->key), a) : rc;
    }
    if (a->except_sender && rc_socket_is(x->sh, x->socket, to))
        return RC_OK;
    return emit_to_socket(x, to, a);
}

/* What becomes {room}. */
static int fill_target(struct rc_exec *x, const struct rc_action *a)
{
    return a->name != NULL && a->target != RC_TARGET_USER ? rc_exec_fill_name(x, a) : RC_OK;
}

int rc_action_emit(struct rc_exec *x, const struct rc_action *a)
{
    int rc = fill_target(x, a);

    return rc == RC_OK ? emit(x, a) : rc;
}

/* Emits with a number to answer to; the answers become the sender's acknowledgement. Without
 * one wanted it is an emit. */
int rc_action_ask(struct rc_exec *x, const struct rc_action *a)
{
    int rc = fill_target(x, a);
    bool one;

    if (rc != RC_OK)
        return rc;
    if (!rc_exec_wants_ack(x))
        return emit(x, a);
    if (a->list != NULL)
        one = a->list->nto == 1 && a->list->item[0].target == RC_TARGET_SOCKET;
    else
        one = a->target == RC_TARGET_SOCKET ||
              (a->target == RC_TARGET_ROOM && rc_socket_parse(x->env.nsp, x->env.room).id != 0);
    x->ask = rc_ask_begin(x->sh, x->socket, x->ev->packet->id, one, a->within_ms);
    x->ask_ms = a->within_ms;
    if (x->ask == 0)
        return rc_exec_refuse(x, "too_many_asks", "limit limits.max_asks is reached");
    rc = emit(x, a);
    if (rc == RC_OK)
        x->acked = true; /* by the answers */
    else
        rc_ask_forget(x->sh, x->ask);
    x->ask = 0;
    return rc;
}

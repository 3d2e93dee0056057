/* lane.c - keeps what one session causes in order across owners; see the header's drawing. */
#include "rc/broker/lane.h"

#include "rc/broker/shard.h"
#include "rc/broker/verbs.h"

/* Has what `owner` made of it come to the queues of shard `to`? */
static bool delivered(const struct rc_shard *sh, unsigned owner, unsigned to)
{
    return rc_mesh_done(sh->mesh, owner, to, RC_MESH_RESULTS) >=
           rc_mesh_posted(sh->mesh, owner, to, RC_MESH_RESULTS);
}

/* Has the owner taken all that the session sent through its lane? */
static bool taken(const struct rc_shard *sh, const struct rc_session *s)
{
    return s->lane_owner == sh->index ||
           rc_mesh_done(sh->mesh, sh->index, s->lane_owner, RC_MESH_REQUESTS) >= s->lane_mark;
}

/* Has it come to the queues of all? */
static bool delivered_all(const struct rc_shard *sh, unsigned owner)
{
    for (unsigned to = 0; to < sh->nshards; to++)
        if (!delivered(sh, owner, to))
            return false;
    return true;
}

static bool quiet(const struct rc_shard *sh, const struct rc_session *s)
{
    return taken(sh, s) && delivered_all(sh, s->lane_owner);
}

/* The same for this shard's queues alone. */
static bool quiet_here(const struct rc_shard *sh, const struct rc_session *s)
{
    return taken(sh, s) && delivered(sh, s->lane_owner, sh->index);
}

bool rc_lane_is_answered(const struct rc_shard *sh, const struct rc_session *s)
{
    return !s->lane_open || quiet_here(sh, s);
}

/* One more fence that the session waits for. */
RC_ON_SHARD static void begin_fence(struct rc_shard *sh, struct rc_session *s, unsigned owner)
{
    struct rc_msg msg = {.u.fence.session = rc_session_id(sh, s)};

    rc_stat_add(&sh->stats.fences, 1);
    s->fences += (uint16_t)(sh->nshards - 1);
    rc_session_pause(sh, s, RC_PAUSE_FENCE);
    if (owner != sh->index) {
        msg.type = RC_MSG_FENCE;
        rc_shard_post(sh, owner, &msg);
        return;
    }
    msg.type = RC_MSG_FENCE_PASS;
    s->fences += sh->own_mail;
    for (unsigned to = 0; to < sh->nshards; to++)
        if (!rc_shard_is_here(sh, to))
            rc_shard_post(sh, to, &msg);
}

bool rc_lane_enter(struct rc_shard *sh, struct rc_session *s, unsigned owner)
{
    if (sh->nshards > 1 && s->lane_open && s->lane_owner != owner && !quiet(sh, s)) {
        begin_fence(sh, s, s->lane_owner);
        return false;
    }
    if (!s->lane_open || s->lane_owner != owner) {
        s->lane_open = true;
        s->lane_owner = (uint8_t)owner;
        s->lane_mark = 0;
    }
    return true;
}

bool rc_lane_leave(struct rc_shard *sh, struct rc_session *s)
{
    if (s->lane_open && !quiet(sh, s)) {
        begin_fence(sh, s, s->lane_owner);
        return false;
    }
    s->lane_open = false;
    return true;
}

void rc_lane_await(struct rc_shard *sh, struct rc_session *s)
{
    s->fences = (uint16_t)sh->nshards;
    rc_session_pause(sh, s, RC_PAUSE_FENCE);
}

bool rc_lane_store(struct rc_shard *sh, struct rc_session *s, int owner)
{
    /* What this owner has taken comes before whatever the store will send it. */
    if (s->lane_open && owner == s->lane_owner && taken(sh, s))
        return true;
    return rc_lane_leave(sh, s);
}

bool rc_lane_stored(struct rc_shard *sh, struct rc_session *s, uint64_t owners)
{
    if ((owners & (owners - 1)) == 0) { /* its lane goes on from here */
        s->lane_open = true;
        s->lane_owner = (uint8_t)__builtin_ctzll(owners);
        s->lane_mark = 0;
        return true;
    }
    s->lane_open = false;
    for (unsigned owner = 0; owner < sh->nshards; owner++)
        if ((owners >> owner & 1) != 0 && !delivered_all(sh, owner))
            begin_fence(sh, s, owner);
    return s->fences == 0;
}

void rc_lane_mark(struct rc_shard *sh, struct rc_session *s)
{
    if (s->lane_owner == sh->index)
        return;
    s->lane_mark = rc_mesh_posted(sh->mesh, sh->index, s->lane_owner, RC_MESH_REQUESTS);
    /* Whoever fills a ring is slowed before it overflows any further. */
    if (rc_mesh_spilling(sh->mesh, sh->index))
        rc_session_pause(sh, s, RC_PAUSE_RING);
}

void rc_lane_reply(struct rc_shard *sh, struct rc_session *s, struct rc_str frames)
{
    struct rc_msg msg = {.type = RC_MSG_RELAY};

    if (!s->lane_open || quiet_here(sh, s)) {
        if (frames.len != 0)
            rc_session_push(sh, s, rc_seg_new(frames.p, frames.len));
        else
            rc_session_release(sh, s);
        return;
    }
    msg.u.direct.to = rc_session_id(sh, s);
    msg.u.direct.pub = rc_pub_new(0, RC_STR_NONE, 0, frames.p, frames.len);
    if (s->lane_owner == sh->index)
        msg.type = RC_MSG_DIRECT;
    rc_shard_post(sh, s->lane_owner, &msg);
    rc_lane_mark(sh, s);
}

void rc_lane_fence(struct rc_shard *sh, rc_id session)
{
    struct rc_msg msg = {.u.fence.session = session};

    for (unsigned to = 0; to < sh->nshards; to++) {
        /* One answer goes from here to the session's shard: if something waits here, then behind it. */
        if (rc_shard_is_here(sh, to) || (sh->own_mail && to == rc_id_shard(session)))
            continue;
        msg.type = to == rc_id_shard(session) ? RC_MSG_FENCE_ACK : RC_MSG_FENCE_PASS;
        rc_shard_post(sh, to, &msg);
    }
}

void rc_lane_fence_pass(struct rc_shard *sh, rc_id session)
{
    struct rc_msg msg = {.type = RC_MSG_FENCE_ACK, .u.fence.session = session};

    if (rc_id_shard(session) == sh->index)
        rc_lane_fence_ack(sh, session);
    else
        rc_shard_post(sh, rc_id_shard(session), &msg);
}

void rc_lane_fence_ack(struct rc_shard *sh, rc_id session)
{
    struct rc_session *s = rc_session_find(sh, session);

    if (s == NULL || s->closed || s->fences == 0 || --s->fences != 0)
        return;
    s->lane_open = false;
    rc_verbs_continue(sh, s);
    if (s->fences == 0 && !s->closed)
        rc_session_resume(sh, s, RC_PAUSE_FENCE);
}

/* stored.c - stored messages on their way: to the store, from there to the owners, and back. */
#include "rc/broker/stored.h"

#include "rc/base/mem.h"
#include "rc/broker/app.h"
#include "rc/broker/inbox.h"
#include "rc/broker/mesh.h"
#include "rc/broker/room.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"
#include "rc/broker/space.h"
#include "rc/broker/verbs.h"
#include "rc/proto/json.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* What is needed again when the store has answered. Behind it: the holes, the key, the text. */
struct context {
    const struct rc_app *app; /* held */
    rc_id session, except;
    uint64_t born_us;
    uint32_t nholes, key_len, text_len;
    uint16_t nsp;
    bool has_packet;
    struct rc_template_hole hole[];
};

/* ---- on the store's thread ---- */

void rc_stored_put_time(uint64_t time_ms, struct rc_buf *to)
{
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm tm;

    (void)gmtime_r(&seconds, &tm);
    rc_buf_printf(to, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm.tm_year + 1900, tm.tm_mon + 1,
                  tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(time_ms % 1000));
}

void rc_stored_fill(struct rc_str text, const struct rc_template_hole *hole, size_t nholes,
                    uint64_t id, uint64_t time_ms, struct rc_buf *to)
{
    size_t at = 0;

    for (size_t i = 0; i < nholes; i++) {
        rc_buf_put(to, text.p + at, hole[i].at - at);
        at = hole[i].at + 1;
        switch (hole[i].kind) {
        case RC_HOLE_ID: rc_buf_put_u64(to, id); break;
        case RC_HOLE_TIME: rc_buf_put_u64(to, time_ms); break;
        case RC_HOLE_TIME_TEXT: rc_stored_put_time(time_ms, to); break;
        }
    }
    rc_buf_puts(to, rc_str_skip(text, at));
}

uint32_t rc_stored_rows_within(const struct rc_store_req *req, bool from_last, size_t budget)
{
    size_t bytes = 0;
    uint32_t n = 0;

    while (n < req->nrows) {
        bytes += req->row[from_last ? req->nrows - 1 - n : n].len + 1;
        if (n != 0 && bytes > budget)
            break;
        n++;
    }
    return n;
}

/* The rooms that a message to users goes to, and their owners, a bit each. */
static uint64_t list_users(const struct rc_store_req *req, struct rc_buf *list)
{
    const struct context *c = req->context;
    unsigned nshards = rc_mesh_shards(req->arg);
    struct rc_str rest = rc_buf_str(&req->users), user;
    uint64_t owners = 0;

    if (req->in.conversation == RC_STORE_PRIVATE) {
        /* What users send themselves is their own: it is never missed. */
        bool to_self = rc_str_eq(req->in.receiver, req->in.user);

        owners = rc_inbox_list(c->app, c->nsp, nshards, req->in.receiver, to_self, list);
        if (!to_self)
            owners |= rc_inbox_list(c->app, c->nsp, nshards, req->in.user, true, list);
        return owners;
    }
    while (rc_store_next_user(&rest, &user))
        owners |=
            rc_inbox_list(c->app, c->nsp, nshards, user, rc_str_eq(user, req->in.user), list);
    return owners;
}

static struct rc_pub *publication(const struct rc_store_req *req, struct rc_str room,
                                  uint64_t hash)
{
    const struct context *c = req->context;
    const char *key = (const char *)&c->hole[c->nholes];
    struct rc_buf frames = RC_BUF_INIT;
    struct rc_pub *pub;

    rc_frames_begin(&frames);
    rc_stored_fill(rc_str_make(key + c->key_len, c->text_len), c->hole, c->nholes, req->id,
                   (uint64_t)req->time_ms, &frames);
    rc_frames_end(&frames);
    pub = rc_pub_new(c->nsp, room, hash, rc_frames(&frames).p, rc_frames(&frames).len);
    pub->shared = hash != 0; /* a room's */
    pub->born_us = c->born_us;
    rc_buf_deinit(&frames);
    return pub;
}

bool rc_stored_hand_over(struct rc_mesh *mesh, uint64_t owners, const struct rc_msg *stored)
{
    unsigned nshards = rc_mesh_shards(mesh);
    struct rc_msg msg = *stored;

    msg.count = (uint32_t)__builtin_popcountll(owners);
    for (unsigned to = 0; to < nshards; to++) {
        if ((owners >> to & 1) == 0)
            continue;
        msg.u.stored.pub = rc_pub_ref(stored->u.stored.pub);
        rc_mesh_post(mesh, rc_mesh_store(nshards), to, &msg);
    }
    rc_pub_unref(&msg.u.stored.pub);
    return owners != 0;
}

/* A message that is new. False: nobody gets it. */
static bool deliver(const struct rc_store_req *req, struct rc_msg *msg)
{
    const struct context *c = req->context;
    struct rc_str key = rc_str_make(&c->hole[c->nholes], c->key_len);
    struct rc_buf list = RC_BUF_INIT;
    uint64_t hash = 0, owners;
    struct rc_pub *pub;

    if (!c->has_packet)
        return false;
    if (key.len != 0) {
        hash = rc_space_app_hash(c->app, c->nsp, key);
        owners = (uint64_t)1 << rc_room_owner_of(rc_mesh_shards(req->arg), hash);
        pub = publication(req, key, hash);
    } else {
        owners = list_users(req, &list);
        pub = publication(req, rc_buf_str(&list), 0);
        pub->message = req->id;
        rc_buf_deinit(&list);
    }
    msg->u.stored.u.except = c->except;
    msg->u.stored.pub = pub;
    return rc_stored_hand_over(req->arg, owners, msg);
}

static struct rc_pub *rows_of(const struct rc_store_req *req, bool *more)
{
    const struct context *c = req->context;
    bool from_last = !req->in.forward;
    uint32_t n = rc_stored_rows_within(req, from_last, c->app->conf->limits_max_queue / 4);
    const struct rc_store_row *first, *last;

    *more = req->more || n != req->nrows;
    if (n == 0)
        return NULL;
    first = &req->row[from_last ? req->nrows - n : 0];
    last = first + n - 1;
    return rc_pub_new(0, RC_STR_NONE, 0, req->rows.data + first->at,
                      last->at + last->len - first->at);
}

static struct rc_pub *users_of(const struct rc_store_req *req)
{
    struct rc_str rest = rc_buf_str(&req->users), user;
    struct rc_buf json = RC_BUF_INIT;
    struct rc_pub *pub;

    while (rc_store_next_user(&rest, &user)) {
        if (json.len != 0)
            rc_buf_putc(&json, ',');
        rc_json_string_encode(user, &json);
    }
    pub = rc_pub_new(0, RC_STR_NONE, 0, json.data, json.len);
    rc_buf_deinit(&json);
    return pub;
}

/* A message to users that is stored, or is not. Who repeats it is told that it is, and nobody else: so
 * those whom it is for have to look. */
static void doubt(const struct rc_store_req *req)
{
    const struct context *c = req->context;
    struct rc_str rest = rc_buf_str(&req->users), user;

    if (req->in.conversation == RC_STORE_PRIVATE)
        rc_inbox_doubt(req->arg, c->app, c->nsp, req->in.receiver);
    while (rc_store_next_user(&rest, &user))
        rc_inbox_doubt(req->arg, c->app, c->nsp, user);
}

static void drop(struct rc_store_req *req)
{
    const struct context *c = req->context;

    rc_app_let_go(c->app);
    rc_store_req_free(req);
}

/* In the order of the ids. */
static void on_done(struct rc_store_req *req)
{
    const struct context *c = req->context;
    unsigned nshards = rc_mesh_shards(req->arg);
    bool ok = req->fault == RC_STORE_OK;
    struct rc_msg msg = {.type = RC_MSG_STORED};

    msg.u.stored.session = c->session;
    msg.u.stored.id = req->id;
    msg.u.stored.time_ms = (uint64_t)req->time_ms;
    if (ok && req->type == RC_STORE_PUT && !req->repeated && deliver(req, &msg)) {
        drop(req);
        return; /* the owners answer */
    }
    if (req->type == RC_STORE_PUT && req->fault == RC_STORE_UNKNOWN && c->has_packet &&
        c->key_len == 0)
        doubt(req);
    msg.type = RC_MSG_STORE_DONE;
    msg.count = 1;
    msg.u.stored.pub = NULL;
    msg.u.stored.u.answer.type = (uint8_t)req->type;
    msg.u.stored.u.answer.fault = (uint8_t)req->fault;
    msg.u.stored.u.answer.yes = req->member;
    if (ok && (req->type == RC_STORE_HISTORY || req->type == RC_STORE_CONVERSATIONS))
        msg.u.stored.pub = rows_of(req, &msg.u.stored.u.answer.yes);
    else if (ok && req->type == RC_STORE_GROUP_LIST)
        msg.u.stored.pub = users_of(req);
    if (c->session != 0)
        rc_mesh_post(req->arg, rc_mesh_store(nshards), rc_id_shard(c->session), &msg);
    drop(req);
}

/* ---- on the session's shard ---- */

static void fill_context(struct context *c, const struct rc_stored_packet *p)
{
    char *at;

    c->has_packet = true;
    c->except = p->except;
    c->nholes = (uint32_t)(p->holes->len / sizeof(*c->hole));
    c->key_len = (uint32_t)p->key.len;
    c->text_len = (uint32_t)p->text.len;
    if (c->nholes != 0)
        memcpy(c->hole, p->holes->data, p->holes->len);
    at = (char *)&c->hole[c->nholes];
    if (p->key.len != 0)
        memcpy(at, p->key.p, p->key.len);
    memcpy(at + p->key.len, p->text.p, p->text.len);
}

enum rc_store_fault rc_stored_submit(struct rc_shard *sh, struct rc_session *s, uint16_t nsp,
                                     enum rc_store_type type, const struct rc_store_in *in,
                                     const struct rc_stored_packet *packet)
{
    size_t size = sizeof(struct context);
    enum rc_store_fault fault = RC_STORE_BUSY;
    struct rc_store_req *req;
    struct context *c;

    if (packet != NULL)
        size += packet->holes->len + packet->key.len + packet->text.len;
    req = rc_store_req_new(type, in, size);
    if (req == NULL)
        return fault;
    req->done = on_done;
    req->arg = sh->mesh;
    c = req->context;
    c->app = sh->app;
    rc_app_hold(c->app);
    c->born_us = rc_turn_us;
    c->nsp = nsp;
    c->session = s != NULL ? rc_session_id(sh, s) : 0;
    if (packet != NULL)
        fill_context(c, packet);
    if (rc_store_submit(sh->app->store, sh->index, req) != RC_OK) {
        fault = req->fault;
        drop(req);
        return fault;
    }
    if (s != NULL)
        rc_session_pause(sh, s, RC_PAUSE_STORE);
    return RC_STORE_OK;
}

/* Takes over pub. */
RC_ON_SHARD static void take_answer(struct rc_shard *sh, struct rc_msg *msg)
{
    struct rc_session *s = rc_session_find(sh, msg->u.stored.session);

    if (s == NULL || s->closed)
        rc_pub_unref(&msg->u.stored.pub);
    else
        rc_verbs_answer(sh, s, msg);
}

/* ---- on an owner ---- */

RC_ON_SHARD static void hand_out(struct rc_shard *sh, struct rc_msg *msg)
{
    struct rc_msg done = *msg;
    unsigned to = rc_id_shard(msg->u.stored.session);

    if (msg->u.stored.pub->message != 0)
        rc_inbox_publish(sh, msg->u.stored.pub, msg->u.stored.u.except);
    else
        rc_room_publish(sh, msg->u.stored.pub, msg->u.stored.u.except);
    if (msg->u.stored.session == 0)
        return;
    done.type = RC_MSG_STORE_DONE;
    done.from = (uint8_t)sh->index;
    done.u.stored.pub = NULL;
    done.u.stored.u.answer.type = RC_STORE_PUT;
    done.u.stored.u.answer.fault = RC_STORE_OK;
    done.u.stored.u.answer.yes = false;
    if (rc_shard_is_here(sh, to))
        take_answer(sh, &done);
    else
        rc_shard_post(sh, to, &done);
}

void rc_stored_mail(struct rc_shard *sh, struct rc_msg *msg)
{
    if (msg->type == RC_MSG_STORED)
        hand_out(sh, msg);
    else
        take_answer(sh, msg);
}

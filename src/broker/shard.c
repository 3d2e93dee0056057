/* shard.c - a worker's thread: mail in, callbacks, and the end of each turn. */
#include "rc/broker/shard.h"

#include "rc/base/b64.h"
#include "rc/base/mem.h"
#include "rc/broker/admin_ui.h"
#include "rc/broker/ask.h"
#include "rc/broker/bus.h"
#include "rc/broker/engine.h"
#include "rc/broker/front_int.h"
#include "rc/broker/identity.h"
#include "rc/broker/inbox.h"
#include "rc/broker/lane.h"
#include "rc/broker/meter.h"
#include "rc/broker/news.h"
#include "rc/broker/peers.h"
#include "rc/broker/pipe.h"
#include "rc/broker/place.h"
#include "rc/broker/polling.h"
#include "rc/broker/presence.h"
#include "rc/broker/room.h"
#include "rc/broker/shed.h"
#include "rc/broker/socket.h"
#include "rc/broker/space.h"
#include "rc/broker/stored.h"
#include "rc/broker/survey.h"
#include "rc/broker/union.h"
#include "rc/net/compress.h"
#include "rc/net/uring.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    DRAIN_BUDGET = 256, /* messages of each producer in one turn */
    SPILL_RETRY_MS = 1,
    STOP_WAIT_MS = 1000,   /* for answers of other shards */
    SESSIONS_PER_CONN = 2, /* polling sessions have no connection while they wait */
};

void rc_shard_post(struct rc_shard *sh, unsigned to, const struct rc_msg *msg)
{
    RC_ASSERT(to < sh->nshards);
    if (to == sh->index)
        sh->own_mail = true;
    rc_mesh_post(sh->mesh, sh->index, to, msg);
}

void rc_shard_more_dirty(struct rc_shard *sh)
{
    sh->dirty_cap = sh->dirty_cap != 0 ? sh->dirty_cap * 2 : 256;
    sh->dirty = rc_realloc(sh->dirty, sh->dirty_cap * sizeof(struct rc_session *));
}

void rc_shard_bury(struct rc_shard *sh, struct rc_pooled *obj)
{
    for (uint32_t i = 0; i < sh->ndead && i < 4; i++)
        RC_ASSERT(sh->dead[sh->ndead - 1 - i] != obj);
    if (sh->ndead == sh->dead_cap) {
        sh->dead_cap = sh->dead_cap != 0 ? sh->dead_cap * 2 : 64;
        sh->dead = rc_realloc(sh->dead, sh->dead_cap * sizeof(struct rc_pooled *));
    }
    sh->dead[sh->ndead++] = obj;
}

/* ---- mail ---- */

RC_ON_SHARD static void on_eio(struct rc_shard *sh, struct rc_msg *msg)
{
    char sid[RC_B64_SIZE(RC_SID_BYTES)];

    (void)rc_b64_encode(RC_B64_URL, msg->u.eio.sid, RC_SID_BYTES, sid);
    rc_route_eio(sh, rc_str_make(sid, RC_SID_LEN), msg->u.eio.conn, (enum rc_msg_type)msg->type,
                 msg->u.eio.flags, msg->u.eio.body);
}

RC_ON_SHARD static void on_direct(struct rc_shard *sh, struct rc_msg *msg)
{
    struct rc_session *s = rc_session_find(sh, msg->u.direct.to);
    const struct rc_pub *pub = msg->u.direct.pub;

    if (s != NULL && !s->closed && pub->len == 0)
        rc_session_release(sh, s);
    else if (s != NULL && !s->closed)
        rc_session_push(sh, s, rc_seg_new(pub->data, pub->len));
    rc_pub_unref(&msg->u.direct.pub);
}

RC_ON_SHARD static void on_stop(struct rc_shard *sh)
{
    uint32_t cursor = 0;
    struct rc_session *s;

    sh->stopping = true;
    rc_inbox_stop(sh);
    while ((s = rc_pool_next(&sh->sessions, &cursor)) != NULL) {
        /* A client that has paused polling for its upgrade would not notice: after it. */
        if (s->polling == NULL || !s->polling->upgrading)
            rc_session_close(sh, s, RC_CLOSE_SHUTDOWN);
    }
    rc_front_stop(sh, false);
    rc_union_stop(sh);
    rc_timer_start_in(&sh->q_stop, &sh->stop_timer, sh->loop.now_ms, STOP_WAIT_MS);
}

/* Messages about rooms, as owner or as shard of members. */
RC_ON_SHARD static void on_room_mail(struct rc_shard *sh, struct rc_msg *msg)
{
    switch ((int)msg->type) {
    case RC_MSG_JOIN:
        rc_room_join(sh, msg->from, &msg->u.member);
        rc_msg_drop(msg);
        return;
    case RC_MSG_LEAVE:
        rc_room_leave(sh, msg->from, &msg->u.member);
        rc_msg_drop(msg);
        return;
    case RC_MSG_PUBLISH: rc_room_publish(sh, msg->u.deliver.pub, msg->u.deliver.except); return;
    case RC_MSG_JOINED: rc_local_joined(sh, msg->u.member.lroom, msg->u.member.socket); return;
    case RC_MSG_LEFT: rc_local_left(sh, msg->u.member.lroom, msg->u.member.socket); return;
    case RC_MSG_DELIVER:
        rc_local_deliver(sh, msg->u.deliver.lroom, msg->u.deliver.pub, msg->u.deliver.except);
        rc_pub_unref(&msg->u.deliver.pub);
        return;
    default: RC_ASSERT(false);
    }
}

static void on_mail(struct rc_msg *msg, void *arg)
{
    struct rc_shard *sh = arg;

    rc_assert_on_shard(sh);
    rc_renew(sh); /* who has sent it may have, and name what only the new one has */
    switch ((enum rc_msg_type)msg->type) {
    case RC_MSG_CONN:
        rc_stat_add(&sh->stats.handed, msg->from == rc_mesh_acceptor(sh->nshards));
        rc_front_accept(sh, &msg->u.conn);
        if (!msg->u.conn.secure)
            rc_pub_unref(&msg->u.conn.bytes);
        return;
    case RC_MSG_STOP: on_stop(sh); return;
    case RC_MSG_DRAIN: rc_drain_begin(sh, msg->count); return;
    case RC_MSG_JOIN:
    case RC_MSG_LEAVE:
    case RC_MSG_PUBLISH:
    case RC_MSG_JOINED:
    case RC_MSG_LEFT:
    case RC_MSG_DELIVER: on_room_mail(sh, msg); return;
    case RC_MSG_UNION:
    case RC_MSG_UNION_ORDER:
    case RC_MSG_UNION_PART: rc_union_mail(sh, msg); return;
    case RC_MSG_TO_SOCKET: rc_socket_deliver(sh, msg->u.direct.to, msg->u.direct.pub); return;
    case RC_MSG_TO_SOCKET_OF:
        rc_socket_deliver_of(sh, msg->u.direct.to, msg->u.direct.pub);
        return;
    case RC_MSG_RELAY: {
        struct rc_msg back = *msg;

        back.type = RC_MSG_DIRECT;
        rc_shard_post(sh, msg->from, &back);
        return;
    }
    case RC_MSG_DIRECT: on_direct(sh, msg); return;
    case RC_MSG_FENCE: rc_lane_fence(sh, msg->u.fence.session); return;
    case RC_MSG_FENCE_PASS: rc_lane_fence_pass(sh, msg->u.fence.session); return;
    case RC_MSG_FENCE_ACK: rc_lane_fence_ack(sh, msg->u.fence.session); return;
    case RC_MSG_EIO_GET:
    case RC_MSG_EIO_POST:
    case RC_MSG_EIO_BODY:
    case RC_MSG_EIO_ABORT: on_eio(sh, msg); return;
    case RC_MSG_EIO_REPLY:
        rc_front_reply(sh, msg->u.reply.conn, (enum rc_reply_kind)msg->u.reply.kind,
                       msg->u.reply.status, msg->u.reply.body);
        return;
    case RC_MSG_DIR_WATCH: rc_directory_tell(sh, msg->from, msg->nsp, msg->count); return;
    case RC_MSG_DIR_ROOMS:
        rc_directory_learn(sh, msg->u.direct.pub);
        rc_pub_unref(&msg->u.direct.pub);
        return;
    case RC_MSG_ASK_SHARDS:
    case RC_MSG_ASK_SOCKETS:
    case RC_MSG_ASK_END:
    case RC_MSG_ASK_ANSWER: rc_ask_mail(sh, msg); return;
    case RC_MSG_STORED:
    case RC_MSG_STORE_DONE: rc_stored_mail(sh, msg); return;
    case RC_MSG_MISSED:
    case RC_MSG_INBOX_READY: rc_inbox_mail(sh, msg); return;
    case RC_MSG_PRESENCE: rc_presence_mail(sh, msg); return;
    case RC_MSG_ORDER_PASS: rc_bus_passed(sh, msg->u.ask.number); return;
    case RC_MSG_PEER_HERE:
    case RC_MSG_PEER_GONE:
    case RC_MSG_PEER_AGAIN:
    case RC_MSG_PEER: rc_peers_mail(sh, msg); return;
    case RC_MSG_SURVEY:
    case RC_MSG_SURVEYED: rc_survey_mail(sh, msg); return;
    case RC_MSG_UI_LOGIN:
    case RC_MSG_UI_WATCH:
    case RC_MSG_UI_LIST:
    case RC_MSG_UI_PAGE:
    case RC_MSG_UI_TELL:
    case RC_MSG_UI_COMMAND: rc_ui_mail(sh, msg); return;
    case RC_MSG_TYPE_COUNT: break;
    }
    RC_ASSERT(false);
}

RC_ON_SHARD static void take_mail(struct rc_shard *sh)
{
    if (!rc_mesh_rise(sh->mesh, sh->index))
        return;
    rc_renew(sh);
    sh->mail_waits = !rc_mesh_drain(sh->mesh, sh->index, DRAIN_BUDGET, on_mail, sh);
    if (sh->own_mail) {
        rc_mesh_drain_own(sh->mesh, sh->index, DRAIN_BUDGET, on_mail, sh);
        sh->own_mail = rc_mesh_posted(sh->mesh, sh->index, sh->index, RC_MESH_RESULTS) !=
                       rc_mesh_done(sh->mesh, sh->index, sh->index, RC_MESH_RESULTS);
    }
}

/* ---- the end of a turn ---- */

/* Publishers that were held back because a ring was full go on once there is room. */
RC_ON_SHARD static void resume_publishers(struct rc_shard *sh)
{
    struct rc_ids waiting = sh->ring_paused;

    if (waiting.n == 0 || rc_mesh_spilling(sh->mesh, sh->index))
        return;
    sh->ring_paused = (struct rc_ids){0}; /* for those that fill it again */
    for (uint32_t i = 0; i < waiting.n; i++) {
        struct rc_session *s = rc_session_find(sh, waiting.id[i]);

        if (s != NULL)
            rc_session_resume(sh, s, RC_PAUSE_RING);
    }
    rc_ids_deinit(&waiting);
}

static void put_back_dead(struct rc_shard *sh)
{
    for (uint32_t i = 0; i < sh->ndead; i++) {
        struct rc_pooled *o = sh->dead[i];
        /* Which pool an object is from shows in where it lies. */
        struct rc_pool *p =
            rc_pool_find(&sh->sessions, o->slot, o->gen) == o ? &sh->sessions : &sh->sockets;

        rc_pool_put(p, o);
    }
    sh->ndead = 0;
}

/* What there is to say of a turn when all is written. */
static void measure(struct rc_shard *sh, uint64_t now)
{
    rc_hist_add(&sh->stats.turn, now - rc_turn_us, 1);
    for (unsigned i = 0; i < sh->births.n; i++)
        rc_hist_add(&sh->stats.latency, now - sh->births.at[i].us, sh->births.at[i].times);
    sh->births.n = 0;
    rc_stat_set(&sh->stats.received_bytes, rc_net_bytes.received);
    rc_stat_set(&sh->stats.sent_bytes, rc_net_bytes.sent);
    rc_stat_set(&sh->stats.blocked, sh->loop.nblocked);
}

/* Mail comes last, so that all that came meanwhile is in this turn; others are woken before this shard's
 * own writes, which may take long. */
static void on_turn_end(void *arg)
{
    struct rc_shard *sh = arg;
    uint64_t now;
    bool clear;

    rc_assert_on_shard(sh);
    rc_stat_add(&sh->stats.turns, 1);
    take_mail(sh);
    if (sh->drain_due)
        rc_drain_turn(sh);
    if (sh->survey != NULL)
        rc_survey_turn(sh);
    if (sh->job != NULL)
        rc_bus_turn(sh);
    resume_publishers(sh);
    do {
        (void)rc_loop_ready(&sh->loop);
        clear = rc_mesh_wake(sh->mesh, sh->index);
        rc_batch_distribute(sh);
        if (sh->ui != NULL)
            rc_ui_turn(sh);
        rc_shard_flush(sh);
        rc_shed(sh);
    } while (sh->ndirty != 0 || sh->batch.n != 0 || sh->loop.ready.n != 0 ||
             (sh->ui_live && rc_ui_has_more(sh)));
    clear = rc_mesh_wake(sh->mesh, sh->index) && clear;
    if (sh->mail_waits && !rc_mesh_blocked(sh->mesh, sh->index))
        rc_mesh_poke(sh->mesh, sh->index);
    if ((!clear || sh->ring_paused.n != 0 || (sh->ui != NULL && rc_ui_waits(sh))) &&
        !rc_timer_running(&sh->spill_timer))
        rc_timer_start(&sh->q_spill, &sh->spill_timer, sh->loop.now_ms);
    now = rc_clock_us();
    measure(sh, now);
    rc_place_turn(sh, now);
    put_back_dead(sh);
    if (sh->stopping && sh->loop.conns.used == sh->loop.ndead)
        rc_loop_stop(&sh->loop);
}

static void on_spill_retry(struct rc_timer *t, void *arg)
{
    (void)t;
    (void)arg; /* that there is a turn is enough: its end retries */
}

/* The time for an orderly end is over, first for HTTP, then for all. */
static void on_stop_overdue(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    uint32_t timeout = sh->app->conf->server_shutdown_timeout, cursor = 0;
    struct rc_session *s;
    struct rc_conn *c;

    rc_assert_on_shard(sh);
    if (!sh->stop_hard) {
        sh->stop_hard = true;
        while ((s = rc_pool_next(&sh->sessions, &cursor)) != NULL)
            rc_session_close(sh, s, RC_CLOSE_SHUTDOWN);
        rc_front_stop(sh, true);
        rc_timer_start_in(&sh->q_stop, t, sh->loop.now_ms,
                          timeout > STOP_WAIT_MS ? timeout - STOP_WAIT_MS : 0);
        return;
    }
    cursor = 0;
    while ((c = rc_pool_next(&sh->loop.conns, &cursor)) != NULL)
        rc_conn_close(c, RC_CLOSE_SHUTDOWN);
}

/* ---- life ---- */

static void init_timers(struct rc_shard *sh)
{
    rc_timerq_init(&sh->q_spill, SPILL_RETRY_MS, on_spill_retry, sh);
    rc_timerq_init(&sh->q_stop, STOP_WAIT_MS, on_stop_overdue, sh);
    rc_loop_add_timerq(&sh->loop, &sh->q_spill);
    rc_loop_add_timerq(&sh->loop, &sh->q_stop);
    rc_front_init(sh);
    rc_engine_init(sh);
    rc_endpoint_init(sh);
    rc_peers_init(sh);
    rc_directory_init(sh);
    rc_ask_init(sh);
    rc_inbox_init(sh);
    rc_news_init(sh);
    rc_identity_init(sh);
    rc_presence_init(sh);
    rc_meter_init(sh);
    rc_shed_init(sh);
    rc_wsconn_init(sh);
    rc_drain_init(sh);
    rc_survey_init(sh);
    rc_bus_init(sh);
    rc_ui_init(sh);
}

struct rc_shard *rc_shard_new(unsigned index, const struct rc_app *app, struct rc_mesh *mesh,
                              uint32_t max_conns)
{
    struct rc_shard *sh = rc_calloc(1, sizeof(*sh));
    uint64_t sessions = (uint64_t)max_conns * SESSIONS_PER_CONN;
    uint64_t sockets = sessions * app->conf->limits_max_sockets;

    sh->index = index;
    sh->nshards = rc_mesh_shards(mesh);
    sh->app = app;
    sh->mesh = mesh;
    if (rc_loop_init(&sh->loop, sh, max_conns) != RC_OK) {
        rc_loop_deinit(&sh->loop);
        free(sh);
        return NULL;
    }
    rc_pool_init(&sh->sessions, sizeof(struct rc_session),
                 (uint32_t)(sessions < RC_POOL_MAX ? sessions : RC_POOL_MAX));
    rc_pool_init(&sh->sockets, sizeof(struct rc_socket),
                 (uint32_t)(sockets < RC_POOL_MAX ? sockets : RC_POOL_MAX));
    rc_pool_init(&sh->lrooms, sizeof(struct rc_lroom), app->conf->limits_max_rooms);
    sh->former.deflater = rc_deflater_new((int)app->conf->socketio_deflate_level,
                                          app->conf->socketio_deflate_threshold);
    sh->union_at = rc_calloc(sh->nshards, sizeof(*sh->union_at));
    init_timers(sh);
    rc_renew_init(sh);
    RC_ASSERT(rc_loop_add_waker(&sh->loop, rc_mesh_fd(mesh, index)) == RC_OK);
    return sh;
}

static bool may_wait(void *arg)
{
    struct rc_shard *sh = arg;

    rc_assert_on_shard(sh);
    rc_place_share(sh); /* while others still need not wake it */
    return rc_mesh_sleep(sh->mesh, sh->index);
}

RC_ON_SHARD static void make_ring(struct rc_shard *sh)
{
    char why[128];

    if (!sh->app->conf->server_io_uring)
        return;
    sh->uring = rc_uring_new();
    if (sh->uring == NULL && sh->index == 0)
        rc_shard_log(sh, RC_LOG_INFO, "no io_uring: %s; each connection is written by itself",
                     strerror_r(errno, why, sizeof(why)));
}

static void *run(void *arg)
{
    struct rc_shard *sh = arg;
    char name[16];

    (void)snprintf(name, sizeof(name), "shard-%u", sh->index);
    rc_thread_enter(name, sh);
    rc_assert_on_shard(sh);
    /* Nobody cancels it. glibc then has nothing to switch around each system call that could be
     * cancelled: two locked instructions for every send(). */
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    /* NOLINTNEXTLINE(cert-pos47-c,concurrency-thread-canceltype-asynchronous): it is disabled */
    (void)pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    rc_blocks_keep(true);
    rc_place_take(sh);
    make_ring(sh);
    (void)sem_post(&sh->at_work);
    rc_loop_run(&sh->loop, may_wait, on_turn_end, sh);
    (void)rc_outq_trim();
    rc_blocks_keep(false);
    rc_uring_free(sh->uring);
    sh->uring = NULL;
    return NULL;
}

void rc_shard_turn(struct rc_shard *sh)
{
    (void)rc_loop_turn(&sh->loop, false, on_turn_end, sh);
}

int rc_shard_start(struct rc_shard *sh)
{
    if (sem_init(&sh->at_work, 0, 0) != 0)
        return RC_ESYS;
    sh->started = pthread_create(&sh->thread, NULL, run, sh) == 0;
    while (sh->started && sem_wait(&sh->at_work) != 0)
        continue; /* a signal */
    (void)sem_destroy(&sh->at_work);
    return sh->started ? RC_OK : RC_ESYS;
}

void rc_shard_join(struct rc_shard *sh)
{
    if (sh->started)
        (void)pthread_join(sh->thread, NULL);
    sh->started = false;
}

/* What is still open when the thread has ended: polling sessions that nobody asked about. */
RC_ON_SHARD static void close_rest(struct rc_shard *sh)
{
    uint32_t cursor = 0;
    struct rc_session *s;
    struct rc_conn *c;
    struct rc_room *r;

    while ((c = rc_pool_next(&sh->loop.conns, &cursor)) != NULL)
        rc_conn_close(c, RC_CLOSE_SHUTDOWN);
    cursor = 0;
    while ((s = rc_pool_next(&sh->sessions, &cursor)) != NULL) {
        rc_session_close(sh, s, RC_CLOSE_SHUTDOWN);
        if (s->polling != NULL)
            rc_polling_forget(sh, s);
    }
    rc_batch_distribute(sh);
    cursor = 0;
    while ((r = rc_hmap_next(&sh->room_by_name, &cursor)) != NULL)
        rc_room_free(r);
}

void rc_shard_free(struct rc_shard *sh)
{
    rc_thread_enter("main", sh); /* its thread has ended: main is it now */
    rc_assert_on_shard(sh);
    close_rest(sh);
    rc_survey_deinit(sh);
    rc_bus_deinit(sh);
    rc_ui_deinit(sh);
    put_back_dead(sh);
    rc_space_deinit(sh);
    rc_pipe_deinit(sh);
    rc_directory_deinit(sh);
    rc_peers_deinit(sh);
    rc_ask_deinit(sh);
    rc_inbox_deinit(sh);
    rc_presence_deinit(sh);
    rc_meter_deinit(sh);
    rc_hmap_deinit(&sh->known);
    rc_endpoint_deinit(sh);
    rc_renew_deinit(sh);
    free(sh->union_at);
    rc_seg_unref(sh->ping);
    rc_seg_unref(sh->open[0]);
    rc_seg_unref(sh->open[1]);
    rc_hmap_deinit(&sh->lroom_by_name);
    rc_hmap_deinit(&sh->room_by_name);
    rc_pool_deinit(&sh->sessions);
    rc_pool_deinit(&sh->sockets);
    rc_pool_deinit(&sh->lrooms);
    rc_buf_deinit(&sh->scratch);
    rc_buf_deinit(&sh->name[0]);
    rc_buf_deinit(&sh->name[1]);
    rc_deflater_free(sh->former.deflater);
    rc_compressor_free(sh->compressor);
    rc_loop_deinit(&sh->loop);
    (void)rc_outq_trim();
    rc_ids_deinit(&sh->ring_paused);
    free(sh->dirty);
    free(sh->dead);
    free(sh);
}

/* renew.c - a shard goes over to the next generation of the configuration, and what it has goes along.
 *
 * Nobody tells a shard to: it looks, at mail. Main publishes the new rc_app and gives each shard a turn.
 * A shard that has gone over may name a namespace that only the new one has; whoever takes that message
 * sees the new one too, for the ring's release and acquire lie between. */
#include "rc/base/mem.h"
#include "rc/broker/engine.h"
#include "rc/broker/identity.h"
#include "rc/broker/inbox.h"
#include "rc/broker/presence.h"
#include "rc/broker/room.h"
#include "rc/broker/shard.h"
#include "rc/broker/shed.h"

#include <stdlib.h>

/* ---- generations ---- */

static struct rc_generation *new_generation(const struct rc_app *app)
{
    struct rc_generation *g = rc_calloc(1, sizeof(*g));

    g->app = app;
    rc_app_hold(app);
    return g;
}

static void free_if_done(struct rc_generation *g)
{
    if (!g->left || g->jobs != 0)
        return;
    rc_app_let_go(g->app);
    free(g);
}

static void leave(struct rc_generation *g)
{
    g->left = true;
    free_if_done(g);
}

void rc_generation_drop(struct rc_generation *g)
{
    g->jobs--;
    free_if_done(g);
}

/* ---- what depends on it ---- */

static void grow(struct rc_shard *sh, unsigned nhad)
{
    sh->all = rc_realloc(sh->all, sh->app->nnsps * sizeof(struct rc_lroom *));
    for (unsigned i = nhad; i < sh->app->nnsps; i++)
        sh->all[i] = rc_calloc(1, sizeof(**sh->all));
}

static void set_forms(struct rc_shard *sh)
{
    sh->former.untyped = sh->app->untyped;
    sh->former.nuntyped = sh->app->nuntyped;
}

static void set_limits(struct rc_shard *sh)
{
    const struct rc_conf *conf = sh->app->conf;
    uint64_t now = sh->loop.now_ms;

    uint64_t sockets = (uint64_t)sh->sessions.max * conf->limits_max_sockets;

    sh->sockets.max = (uint32_t)(sockets < RC_POOL_MAX ? sockets : RC_POOL_MAX);
    sh->lrooms.max = conf->limits_max_rooms;
    rc_timerq_set(&sh->q_head, conf->limits_head_timeout, now);
    rc_timerq_set(&sh->q_proxied, conf->limits_head_timeout, now);
    rc_timerq_set(&sh->q_tls, conf->limits_tls_timeout, now);
    rc_timerq_set(&sh->q_idle, conf->limits_idle_timeout, now);
    rc_timerq_set(&sh->q_message, conf->limits_message_timeout, now);
    rc_shed_init(sh);
    rc_timerq_set(&sh->q_join, conf->socketio_connect_timeout, now);
    rc_timerq_set(&sh->q_upgrade, conf->socketio_upgrade_timeout, now);
    rc_timerq_set(&sh->q_poll_close, conf->socketio_close_timeout, now);
}

/* Devices that are there already get messages from now on, too. */
RC_ON_SHARD static void begin_messages(struct rc_shard *sh, const struct rc_app *last)
{
    uint32_t cursor = 0;
    struct rc_room *r;
    bool any = false;

    for (unsigned i = 0; i < last->nnsps; i++)
        any = any || (sh->app->nsp[i].rules.uses_messages && !last->nsp[i].rules.uses_messages);
    while (any && (r = rc_hmap_next(&sh->room_by_name, &cursor)) != NULL)
        rc_inbox_joined(sh, r);
}

void rc_renew(struct rc_shard *sh)
{
    const struct rc_app *last = sh->app;
    struct rc_generation *g = sh->generation;

    if (!rc_app_is_old(last))
        return;
    sh->app = rc_app_latest(last);
    sh->generation = new_generation(sh->app);
    grow(sh, last->nnsps);
    rc_directory_grow(sh, sh->app->nnsps);
    rc_endpoint_renew(sh, last->nnsps);
    set_forms(sh);
    set_limits(sh);
    rc_engine_renew(sh);
    begin_messages(sh, last);
    rc_identity_renew(sh);
    rc_presence_renew(sh);
    leave(g);
    rc_app_arrive(sh->app);
}

/* ---- life ---- */

void rc_renew_init(struct rc_shard *sh)
{
    sh->generation = new_generation(sh->app);
    grow(sh, 0);
    set_forms(sh);
}

void rc_renew_deinit(struct rc_shard *sh)
{
    for (unsigned i = 0; i < sh->app->nnsps; i++) {
        free(sh->all[i]->member);
        free(sh->all[i]);
    }
    free(sh->all);
    leave(sh->generation);
}

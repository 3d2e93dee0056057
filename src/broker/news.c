/* news.c - what other nodes have stored for users, handed to the devices that are here. */
#include "rc/broker/news.h"

#include "rc/base/mem.h"
#include "rc/broker/inbox.h"
#include "rc/broker/peers.h"
#include "rc/broker/room.h"
#include "rc/broker/shard.h"
#include "rc/broker/stored.h"

#include <stdlib.h>

enum {
    ID_SIZE = 8,
    TELL_MS = 3, /* from one time that others are told to the next */
    LOOK_MS = 2, /* from one look of the store to the next, however many tell */
};

struct rc_news {
    const struct rc_app *app; /* held */
    struct rc_mesh *mesh;
    struct rc_buf list, packet, frames;
};

/* ---- the store's thread ---- */

/* Goes over to the latest generation. */
static void renew(struct rc_news *n)
{
    const struct rc_app *last = n->app;

    if (!rc_app_is_old(last))
        return;
    n->app = rc_app_latest(last);
    rc_app_hold(n->app);
    rc_app_let_go(last);
}

/* The one namespace with messages to users, or NULL. */
static const struct rc_nsp *namespace_of(const struct rc_app *app)
{
    for (unsigned i = 0; i < app->nnsps; i++)
        if (app->nsp[i].rules.uses_messages && !app->nsp[i].gone)
            return &app->nsp[i];
    return NULL;
}

/* As list_users() in stored.c. Who was told that it may be stored, or may not, does not hear of it. */
static uint64_t list_users(struct rc_news *n, const struct rc_nsp *nsp,
                           const struct rc_store_news *news)
{
    unsigned nshards = rc_mesh_shards(n->mesh);
    struct rc_str rest = news->users, user;
    uint64_t owners = 0;
    bool own;

    rc_buf_reset(&n->list);
    if (news->conversation == RC_STORE_PRIVATE) {
        own = rc_str_eq(news->receiver, news->sender);
        if (!own || !news->doubted)
            owners |= rc_inbox_list(n->app, nsp->index, nshards, news->receiver, own, &n->list);
        if (!own && !news->doubted && news->sender.len != 0)
            owners |= rc_inbox_list(n->app, nsp->index, nshards, news->sender, true, &n->list);
        return owners;
    }
    while (rc_store_next_user(&rest, &user)) {
        own = rc_str_eq(user, news->sender);
        if (!own || !news->doubted)
            owners |= rc_inbox_list(n->app, nsp->index, nshards, user, own, &n->list);
    }
    return owners;
}

static void deliver(struct rc_news *n, const struct rc_nsp *nsp,
                    const struct rc_store_news *news)
{
    struct rc_msg msg = {.type = RC_MSG_STORED};
    uint64_t owners = list_users(n, nsp, news);
    struct rc_pub *pub;

    if (owners == 0)
        return;
    rc_buf_reset(&n->frames);
    rc_inbox_put_row(nsp->name, news->row, &n->packet, &n->frames);
    pub = rc_pub_new(nsp->index, rc_buf_str(&n->list), 0, n->frames.data, n->frames.len);
    pub->message = news->id;
    pub->from_bus = true;
    msg.u.stored.id = news->id;
    msg.u.stored.pub = pub;
    (void)rc_stored_hand_over(n->mesh, owners, &msg);
}

void rc_news_take(void *arg, const struct rc_store_news *news)
{
    struct rc_news *n = arg;
    const struct rc_nsp *nsp;

    renew(n);
    nsp = news != NULL ? namespace_of(n->app) : NULL;
    if (nsp == NULL)
        return;
    if (news->id == 0)
        rc_inbox_doubt_all(n->mesh, nsp->index);
    else
        deliver(n, nsp, news);
}

/* ---- shards ---- */

/* Do nodes share a store? */
static bool is_shared(const struct rc_shard *sh)
{
    return sh->app->cluster != NULL && sh->app->store != NULL &&
           sh->app->conf->store_engine == RC_STOREENGINE_MARIADB;
}

/* On the wire: the id, eight bytes, the lowest first. */
RC_ON_SHARD static void tell(struct rc_shard *sh)
{
    uint8_t bytes[ID_SIZE];

    for (unsigned i = 0; i < ID_SIZE; i++)
        bytes[i] = (uint8_t)(sh->news.stored >> 8 * i);
    rc_peers_tell(sh, RC_PEER_INBOX, 0, sh->news.nsp, RC_STR_NONE,
                  rc_str_make(bytes, sizeof(bytes)));
    sh->news.told = sh->news.stored;
    rc_timer_start(&sh->q_news_tell, &sh->news.tell_timer, sh->loop.now_ms);
}

void rc_news_stored(struct rc_shard *sh, const struct rc_pub *pub)
{
    if (!is_shared(sh))
        return;
    sh->news.stored = pub->message;
    sh->news.nsp = pub->nsp;
    if (!rc_timer_running(&sh->news.tell_timer))
        tell(sh);
}

static void on_tell(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;

    (void)t;
    rc_assert_on_shard(sh);
    if (sh->news.stored > sh->news.told)
        tell(sh);
}

/* When the store cannot take it, it looks soon by itself. */
RC_ON_SHARD static void look(struct rc_shard *sh)
{
    const struct rc_store_in in = {.id = sh->news.wanted};

    sh->news.waits = false;
    sh->news.wanted = 0;
    (void)rc_stored_submit(sh, NULL, 0, RC_STORE_FOLLOW, &in, NULL);
    rc_timer_start(&sh->q_news_look, &sh->news.look_timer, sh->loop.now_ms);
}

static void on_look(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;

    (void)t;
    rc_assert_on_shard(sh);
    if (sh->news.waits)
        look(sh);
}

void rc_news_told(struct rc_shard *sh, const struct rc_pub *pub)
{
    uint64_t id = 0;

    if (sh->index != 0 || !is_shared(sh) || (pub != NULL && pub->len != ID_SIZE))
        return;
    for (unsigned i = 0; pub != NULL && i < ID_SIZE; i++)
        id |= (uint64_t)pub->data[i] << 8 * i;
    if (sh->news.waits && (id == 0 || sh->news.wanted == 0))
        id = 0; /* in any case */
    else if (id < sh->news.wanted)
        id = sh->news.wanted;
    sh->news.wanted = id;
    sh->news.waits = true;
    if (!rc_timer_running(&sh->news.look_timer))
        look(sh);
}

void rc_news_init(struct rc_shard *sh)
{
    rc_timerq_init(&sh->q_news_tell, TELL_MS, on_tell, sh);
    rc_timerq_init(&sh->q_news_look, LOOK_MS, on_look, sh);
    rc_loop_add_timerq(&sh->loop, &sh->q_news_tell);
    rc_loop_add_timerq(&sh->loop, &sh->q_news_look);
}

/* ---- life ---- */

struct rc_news *rc_news_new(const struct rc_app *app, struct rc_mesh *mesh)
{
    struct rc_news *n = rc_calloc(1, sizeof(*n));

    n->app = app;
    rc_app_hold(app);
    n->mesh = mesh;
    return n;
}

void rc_news_free(struct rc_news *n)
{
    if (n == NULL)
        return;
    rc_app_let_go(n->app);
    rc_buf_deinit(&n->list);
    rc_buf_deinit(&n->packet);
    rc_buf_deinit(&n->frames);
    free(n);
}

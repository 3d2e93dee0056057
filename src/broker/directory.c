/* directory.c - the live list of rooms with member counts.
 *
 * Watchers of a namespace are members of one reserved room. That room's owner keeps the list: while
 * somebody watches, all shards tell it, a few times a second, which of their rooms changed, and it
 * publishes that to the watchers. Nobody watching costs nothing. Of a dynamic namespace it owns
 * all rooms, so that there is nobody else to ask.
 *
 * Other nodes watch, too: then the same owner tells those there what this node has, and the list is the sum;
 * see directory_peers.c. */
#include "directory_int.h"

#include "rc/base/hash.h"
#include "rc/base/mem.h"
#include "rc/broker/socket.h"
#include "rc/broker/space.h"
#include "rc/proto/json.h"

#include <stdlib.h>

enum {
    TELL_MS = 200,
    TELL_MAX = 2000,      /* changes in one message: a long list comes in several */
    UNWATCHED_MS = 30000, /* the list is kept so long after the last watcher has gone */
    TOLD_NOBODY = -1,
};

/* NULL: a dynamic namespace that nobody watches. */
static struct rc_watched *watched_of(const struct rc_shard *sh, const struct rc_room *r)
{
    return r->space != NULL ? r->space->watched : sh->directory->nsp[r->nsp];
}

static struct rc_str label_of(const struct rc_room *r)
{
    return rc_str_skip(rc_str_make(r->name, r->name_len),
                       r->space != NULL ? r->space->home_len : 0);
}

/* ---- as owner of rooms ---- */

void rc_directory_changed(struct rc_shard *sh, struct rc_room *r)
{
    struct rc_directory *d = sh->directory;
    const struct rc_watched *w = watched_of(sh, r);

    if (r->changed || w == NULL || w->tell == TOLD_NOBODY)
        return;
    if (d->nchanged == d->cap) {
        d->cap = d->cap != 0 ? d->cap * 2 : 64;
        d->changed = rc_realloc(d->changed, d->cap * sizeof(struct rc_room *));
    }
    r->changed = true;
    d->changed[d->nchanged++] = r;
    if (!rc_timer_running(&d->timer))
        rc_timer_start(&sh->q_directory, &d->timer, sh->loop.now_ms);
}

/* {count:4, length:4, name} in the machine's own order, for another shard. */
static void put_change(struct rc_buf *b, const struct rc_room *r)
{
    struct rc_str label = label_of(r);
    uint32_t len = (uint32_t)label.len;

    rc_buf_put(b, &r->members, sizeof(r->members));
    rc_buf_put(b, &len, sizeof(len));
    rc_buf_puts(b, label);
}

RC_ON_SHARD static void learn(struct rc_shard *sh, struct rc_watched *w, uint64_t epoch,
                              struct rc_str changes);

/* What is pending. */
RC_ON_SHARD static void send_changes(struct rc_shard *sh, struct rc_watched *w)
{
    struct rc_msg msg = {.type = RC_MSG_DIR_ROOMS};

    if (w->tell == (int)sh->index) {
        learn(sh, w, w->tell_epoch, rc_buf_str(&w->pending));
        return;
    }
    msg.u.direct.pub =
        rc_pub_new(w->nsp, RC_STR_NONE, w->tell_epoch, w->pending.data, w->pending.len);
    rc_shard_post(sh, (unsigned)w->tell, &msg);
}

/* Tells about the first n changed rooms, each list in one message. */
RC_ON_SHARD static void tell_some(struct rc_shard *sh, uint32_t n)
{
    struct rc_watched *first = NULL, *w;

    for (uint32_t i = 0; i < n; i++) {
        struct rc_room *r = sh->directory->changed[i];

        w = watched_of(sh, r);
        if (r->members != r->told && w != NULL && w->tell != TOLD_NOBODY) {
            if (w->pending.len == 0) {
                w->next = first;
                first = w;
            }
            put_change(&w->pending, r);
        }
        r->told = r->members;
    }
    for (; first != NULL; first = w) {
        w = first->next;
        send_changes(sh, first);
        rc_buf_deinit(&first->pending);
    }
}

static void on_tell(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_directory *d = sh->directory;
    uint32_t n = d->nchanged < TELL_MAX ? d->nchanged : TELL_MAX;

    rc_assert_on_shard(sh);
    tell_some(sh, n);
    for (uint32_t i = 0; i < n; i++) {
        d->changed[i]->changed = false;
        rc_room_drop_if_empty(sh, d->changed[i]);
    }
    d->nchanged -= n;
    memmove(d->changed, d->changed + n, d->nchanged * sizeof(struct rc_room *));
    if (d->nchanged != 0)
        rc_timer_start(&sh->q_directory, t, sh->loop.now_ms);
}

RC_ON_SHARD static void tell(struct rc_shard *sh, struct rc_watched *w, unsigned to,
                             uint32_t epoch)
{
    const struct rc_hmap *rooms = w->space != NULL ? &w->space->rooms : &sh->room_by_name;
    uint32_t cursor = 0;
    struct rc_room *r;

    w->tell = epoch != 0 ? (int)to : TOLD_NOBODY;
    w->tell_epoch = epoch;
    if (epoch == 0 || (w->home_len != 0 && w->space == NULL))
        return;
    while ((r = rc_hmap_next(rooms, &cursor)) != NULL) {
        if (watched_of(sh, r) == w && !rc_space_is_hidden(label_of(r))) {
            r->told = 0;
            rc_directory_changed(sh, r);
        }
    }
}

void rc_directory_tell(struct rc_shard *sh, unsigned to, uint16_t nsp, uint32_t epoch)
{
    tell(sh, sh->directory->nsp[nsp], to, epoch);
}

/* ---- as keeper of the list ---- */

static bool entry_eq(const void *value, const void *key)
{
    const struct rc_listed *e = value;
    const struct rc_str *name = key;

    return rc_str_eq(rc_str_make(e->name, e->len), *name);
}

struct rc_listed *rc_listed_find(const struct rc_watched *w, struct rc_str name)
{
    return rc_hmap_find(&w->list, rc_hash(name.p, name.len, 0), entry_eq, &name);
}

struct rc_listed *rc_listed_find_or_new(struct rc_watched *w, struct rc_str name)
{
    struct rc_listed *e = rc_listed_find(w, name);

    if (e != NULL)
        return e;
    e = rc_malloc(sizeof(*e) + name.len);
    *e = (struct rc_listed){.hash = rc_hash(name.p, name.len, 0), .len = (uint32_t)name.len};
    memcpy(e->name, name.p, name.len);
    rc_hmap_insert(&w->list, e->hash, e);
    return e;
}

void rc_listed_drop_if_empty(struct rc_watched *w, struct rc_listed *e)
{
    if (e->own != 0 || e->parts != NULL)
        return;
    rc_hmap_remove(&w->list, e->hash, e);
    free(e);
}

/* When no other node lists anything any more. */
static void forget(struct rc_watched *w)
{
    uint32_t cursor = 0;
    struct rc_listed *e;

    while ((e = rc_hmap_next(&w->list, &cursor)) != NULL)
        free(e);
    rc_hmap_deinit(&w->list);
}

/* The key of the room of all sockets, and the name: see space.h. */
static struct rc_str home_of(const struct rc_watched *w)
{
    return rc_str_make(w->home, w->home_len);
}

static void begin_event(struct rc_shard *sh, const struct rc_watched *w, bool full)
{
    struct rc_str home = home_of(w);
    struct rc_buf *b = &sh->scratch;

    rc_frames_begin(b);
    rc_sio_put_head(b, RC_SIO_EVENT, 0,
                    home.len != 0 ? rc_str_make(home.p, home.len - 1)
                                  : sh->app->nsp[w->nsp].name,
                    false, 0);
    rc_buf_printf(b, "[\"rooms\",{\"full\":%s,\"rooms\":[", full ? "true" : "false");
}

static void put_room(struct rc_buf *b, struct rc_str name, uint32_t members, bool first)
{
    rc_buf_putz(b, first ? "{\"room\":" : ",{\"room\":");
    rc_json_string_encode(name, b);
    rc_buf_printf(b, ",\"members\":%u}", members);
}

static struct rc_str end_event(struct rc_shard *sh)
{
    rc_buf_putz(&sh->scratch, "]}]");
    rc_frames_end(&sh->scratch);
    return rc_frames(&sh->scratch);
}

void rc_watched_put_key(const struct rc_watched *w, struct rc_buf *key)
{
    rc_buf_puts(key, home_of(w));
    rc_buf_puts(key, RC_DIRECTORY_ROOM);
}

/* Publishes to the watchers what has been put since begin_event. */
RC_ON_SHARD static void publish_event(struct rc_shard *sh, const struct rc_watched *w)
{
    struct rc_str frames = end_event(sh), room;
    struct rc_buf key = RC_BUF_INIT;

    rc_watched_put_key(w, &key);
    room = rc_buf_str(&key);
    rc_room_publish(
        sh, rc_pub_new(w->nsp, room, rc_space_hash(sh, w->nsp, room), frames.p, frames.len), 0);
    rc_buf_deinit(&key);
}

void rc_watched_tell(struct rc_shard *sh, const struct rc_watched *w, struct rc_dir_news *news,
                     struct rc_str name, uint32_t members)
{
    if (!w->keeping)
        return;
    if (news->n == 0)
        begin_event(sh, w, false);
    put_room(&sh->scratch, name, members, news->n++ == 0);
    if (news->n == sh->app->conf->limits_rooms_listed)
        rc_watched_told(sh, w, news);
}

void rc_watched_told(struct rc_shard *sh, const struct rc_watched *w, struct rc_dir_news *news)
{
    if (news->n != 0)
        publish_event(sh, w);
    news->n = 0;
}

/* The next room of what put_change() wrote. */
static struct rc_str next_change(struct rc_str *rest, uint32_t *members)
{
    uint32_t len;
    struct rc_str name;

    memcpy(members, rest->p, sizeof(*members));
    memcpy(&len, rest->p + sizeof(*members), sizeof(len));
    name = rc_str_make(rest->p + sizeof(*members) + sizeof(len), len);
    *rest = rc_str_skip(*rest, sizeof(*members) + sizeof(len) + len);
    return name;
}

static void learn(struct rc_shard *sh, struct rc_watched *w, uint64_t epoch, struct rc_str rest)
{
    struct rc_dir_news news = {.n = 0};

    if (!w->active || epoch != w->epoch)
        return;
    while (rest.len != 0) { /* in several events when there is much: no change gets lost */
        uint32_t members, before;
        struct rc_str name = next_change(&rest, &members);
        struct rc_listed *e = rc_listed_find_or_new(w, name);

        before = e->own;
        e->own = members;
        e->members += members - before;
        if (members != before)
            rc_watched_tell(sh, w, &news, name, e->members);
        rc_watched_share(sh, w, name, members);
        rc_listed_drop_if_empty(w, e);
    }
    rc_watched_told(sh, w, &news);
    rc_watched_shared(sh, w);
}

void rc_directory_learn(struct rc_shard *sh, const struct rc_pub *rooms)
{
    learn(sh, sh->directory->nsp[rooms->nsp], rooms->hash, rc_pub_data(rooms));
}

/* The whole list, to a new watcher. */
RC_ON_SHARD static void send_list(struct rc_shard *sh, const struct rc_watched *w, rc_id socket)
{
    unsigned n = 0, max = sh->app->conf->limits_rooms_listed;
    struct rc_msg msg = {.type = RC_MSG_TO_SOCKET};
    uint32_t cursor = 0;
    struct rc_str frames;
    struct rc_pub *pub;
    struct rc_listed *e;

    begin_event(sh, w, true);
    for (; n < max && (e = rc_hmap_next(&w->list, &cursor)) != NULL; n++)
        put_room(&sh->scratch, rc_str_make(e->name, e->len), e->members, n == 0);
    frames = end_event(sh);
    pub = rc_pub_new(w->nsp, home_of(w), 0, frames.p, frames.len);
    if (rc_id_shard(socket) == sh->index) {
        rc_socket_deliver(sh, socket, pub);
        return;
    }
    msg.u.direct.to = socket;
    msg.u.direct.pub = pub;
    rc_shard_post(sh, rc_id_shard(socket), &msg);
}

/* epoch 0: no more, please. */
RC_ON_SHARD static void ask_all(struct rc_shard *sh, struct rc_watched *w, uint32_t epoch)
{
    struct rc_msg msg = {.type = RC_MSG_DIR_WATCH, .nsp = w->nsp, .count = epoch};

    for (unsigned to = 0; to < sh->nshards; to++) {
        if (to == sh->index)
            tell(sh, w, sh->index, epoch);
        else if (w->home_len == 0)
            rc_shard_post(sh, to, &msg);
    }
}

void rc_watched_begin(struct rc_shard *sh, struct rc_watched *w)
{
    if (w->active)
        return;
    w->active = true;
    rc_list_append(&sh->directory->active, &w->link);
    if (++w->epoch == 0)
        w->epoch = 1;
    ask_all(sh, w, w->epoch);
}

static void free_watched(struct rc_watched *w)
{
    rc_timer_stop(&w->unwatched);
    rc_watched_leave_peers(w);
    forget(w);
    rc_buf_deinit(&w->pending);
    rc_buf_deinit(&w->out);
    free(w);
}

void rc_watched_end_if_unused(struct rc_shard *sh, struct rc_watched *w)
{
    if (w->keeping || !rc_list_empty(&w->wishes))
        return;
    if (w->active) {
        w->active = false;
        rc_list_remove(&w->link);
        ask_all(sh, w, 0);
        forget(w);
    }
    if (w->home_len == 0)
        return;
    if (w->space != NULL)
        w->space->watched = NULL;
    rc_hmap_remove(&sh->directory->by_home, w->hash, w);
    free_watched(w);
}

/* Nobody here watches any more. */
RC_ON_SHARD static void end_keeping(struct rc_shard *sh, struct rc_watched *w)
{
    if (w->keeping)
        rc_watched_unwish(sh, w);
    w->keeping = false;
    rc_watched_end_if_unused(sh, w);
}

static void on_unwatched(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;

    rc_assert_on_shard(sh);
    end_keeping(sh, RC_CONTAINER(t, struct rc_watched, unwatched));
}

static struct rc_watched *new_watched(uint16_t nsp, struct rc_str home)
{
    struct rc_watched *w = rc_malloc(sizeof(*w) + home.len);

    *w = (struct rc_watched){.nsp = nsp, .tell = TOLD_NOBODY, .home_len = (uint32_t)home.len};
    if (home.len != 0)
        memcpy(w->home, home.p, home.len);
    rc_list_init(&w->sources);
    rc_list_init(&w->wishes);
    return w;
}

struct home {
    struct rc_str name;
    uint16_t nsp;
};

static bool home_eq(const void *value, const void *key)
{
    const struct rc_watched *w = value;
    const struct home *h = key;

    return w->nsp == h->nsp && rc_str_eq(home_of(w), h->name);
}

struct rc_watched *rc_watched_find(const struct rc_shard *sh, uint16_t nsp, struct rc_str home)
{
    const struct home key = {.name = home, .nsp = nsp};

    if (home.len == 0)
        return sh->directory->nsp[nsp];
    return rc_hmap_find(&sh->directory->by_home, rc_hash(home.p, home.len, nsp), home_eq, &key);
}

struct rc_watched *rc_watched_new(struct rc_shard *sh, uint16_t nsp, struct rc_str home)
{
    struct rc_watched *w = new_watched(nsp, home);

    w->hash = rc_hash(home.p, home.len, nsp);
    rc_hmap_insert(&sh->directory->by_home, w->hash, w);
    w->space = rc_space_find(sh, nsp, home);
    if (w->space != NULL)
        w->space->watched = w;
    return w;
}

void rc_directory_space(struct rc_shard *sh, struct rc_space *space, uint16_t nsp)
{
    struct rc_watched *w = rc_watched_find(sh, nsp, rc_str_make(space->home, space->home_len));

    space->watched = w;
    if (w != NULL)
        w->space = space;
}

void rc_directory_forget(struct rc_shard *sh, struct rc_space *space)
{
    struct rc_watched *w = space->watched;

    if (w == NULL)
        return;
    space->watched = NULL;
    w->space = NULL;
    rc_timer_stop(&w->unwatched);
    end_keeping(sh, w);
}

void rc_directory_watched(struct rc_shard *sh, struct rc_room *r, rc_id socket)
{
    struct rc_watched *w = watched_of(sh, r);

    if (w == NULL)
        w = rc_watched_new(sh, r->nsp, rc_str_make(r->space->home, r->space->home_len));
    if (r->members == 0) { /* who comes back soon finds the list as it is */
        rc_timer_start(&sh->q_unwatched, &w->unwatched, sh->loop.now_ms);
        return;
    }
    rc_timer_stop(&w->unwatched);
    if (!w->keeping) {
        w->keeping = true;
        rc_watched_begin(sh, w);
        rc_watched_wish(sh, w);
    }
    send_list(sh, w, socket);
}

/* ---- life ---- */

void rc_directory_grow(struct rc_shard *sh, unsigned nnsps)
{
    struct rc_directory *d = sh->directory;

    d->nsp = rc_realloc(d->nsp, nnsps * sizeof(struct rc_watched *));
    for (; d->nnsps < nnsps; d->nnsps++)
        d->nsp[d->nnsps] = new_watched((uint16_t)d->nnsps, RC_STR_NONE);
}

void rc_directory_init(struct rc_shard *sh)
{
    struct rc_directory *d = rc_calloc(1, sizeof(*d));

    sh->directory = d;
    rc_list_init(&d->active);
    rc_directory_grow(sh, sh->app->nnsps);
    rc_timerq_init(&sh->q_directory, TELL_MS, on_tell, sh);
    rc_timerq_init(&sh->q_unwatched, UNWATCHED_MS, on_unwatched, sh);
    rc_loop_add_timerq(&sh->loop, &sh->q_directory);
    rc_loop_add_timerq(&sh->loop, &sh->q_unwatched);
    rc_directory_peers_init(sh);
}

void rc_directory_deinit(struct rc_shard *sh)
{
    struct rc_directory *d = sh->directory;
    uint32_t cursor = 0;
    struct rc_watched *w;

    for (unsigned i = 0; i < d->nnsps; i++)
        free_watched(d->nsp[i]);
    while ((w = rc_hmap_next(&d->by_home, &cursor)) != NULL)
        free_watched(w);
    rc_hmap_deinit(&d->by_home);
    free(d->changed);
    free(d->nsp);
    free(d);
}

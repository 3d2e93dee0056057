/* directory.c - the live list of rooms with member counts.
 *
 * Watchers of a namespace are members of one reserved room. That room's owner keeps the list: while
 * somebody watches, all shards tell it, a few times a second, which of their rooms changed, and it
 * publishes that to the watchers. Nobody watching costs nothing. */
#include "rc/base/hash.h"
#include "rc/base/mem.h"
#include "rc/broker/room.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"
#include "rc/proto/json.h"

#include <stdlib.h>

enum {
    TELL_MS = 200,
    TELL_MAX = 2000,      /* changes in one message: a long list comes in several */
    UNWATCHED_MS = 30000, /* the list is kept so long after the last watcher has gone */
    TOLD_NOBODY = -1,
};

/* A room as the list has it. */
struct entry {
    uint64_t hash;
    uint32_t members;
    uint32_t len;
    char name[];
};

struct watched {
    int tell;            /* as owner of rooms: the shard that keeps the list, or TOLD_NOBODY */
    uint32_t tell_epoch; /* of its asking */
    uint32_t epoch;      /* as keeper: of ours; answers to earlier ones are old news */
    struct rc_timer unwatched; /* as keeper: nobody watches any more */
    bool keeping;              /* as keeper of the list: somebody watches */
    struct rc_hmap list;       /* of entry, as keeper */
};

struct rc_directory {
    struct watched *nsp;      /* [nnsps] */
    struct rc_room **changed; /* rooms of ours to tell about */
    uint32_t nchanged, cap;
    struct rc_timer timer;
};

/* ---- as owner of rooms ---- */

void rc_directory_changed(struct rc_shard *sh, struct rc_room *r)
{
    struct rc_directory *d = sh->directory;

    if (r->changed || d->nsp[r->nsp].tell == TOLD_NOBODY)
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
    rc_buf_put(b, &r->members, sizeof(r->members));
    rc_buf_put(b, &r->name_len, sizeof(r->name_len));
    rc_buf_put(b, r->name, r->name_len);
}

RC_ON_SHARD static void send_changes(struct rc_shard *sh, uint16_t nsp, const struct rc_buf *b)
{
    int to = sh->directory->nsp[nsp].tell;
    uint32_t epoch = sh->directory->nsp[nsp].tell_epoch;
    struct rc_pub *pub = rc_pub_new(nsp, RC_STR_NONE, epoch, b->data, b->len);
    struct rc_msg msg = {.type = RC_MSG_DIR_ROOMS};

    if (to == (int)sh->index) {
        rc_directory_learn(sh, pub);
        rc_pub_unref(&pub);
        return;
    }
    msg.u.direct.pub = pub;
    rc_shard_post(sh, (unsigned)to, &msg);
}

/* Tells about up to n changed rooms of one namespace: those at the front of the list. */
RC_ON_SHARD static void tell_some(struct rc_shard *sh, uint16_t nsp, uint32_t n)
{
    struct rc_directory *d = sh->directory;
    struct rc_buf b = RC_BUF_INIT;

    for (uint32_t i = 0; i < n; i++) {
        struct rc_room *r = d->changed[i];

        if (r->nsp == nsp && r->members != r->told)
            put_change(&b, r);
        if (r->nsp == nsp)
            r->told = r->members;
    }
    if (b.len != 0 && d->nsp[nsp].tell != TOLD_NOBODY)
        send_changes(sh, nsp, &b);
    rc_buf_deinit(&b);
}

static void on_tell(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_directory *d = sh->directory;
    uint32_t n = d->nchanged < TELL_MAX ? d->nchanged : TELL_MAX;

    rc_assert_on_shard(sh);
    for (uint16_t nsp = 0; nsp < sh->app->nnsps; nsp++)
        tell_some(sh, nsp, n);
    for (uint32_t i = 0; i < n; i++) {
        d->changed[i]->changed = false;
        rc_room_drop_if_empty(sh, d->changed[i]);
    }
    d->nchanged -= n;
    memmove(d->changed, d->changed + n, d->nchanged * sizeof(struct rc_room *));
    if (d->nchanged != 0)
        rc_timer_start(&sh->q_directory, t, sh->loop.now_ms);
}

void rc_directory_tell(struct rc_shard *sh, unsigned to, uint16_t nsp, uint32_t epoch)
{
    struct rc_directory *d = sh->directory;
    uint32_t cursor = 0;
    struct rc_room *r;

    d->nsp[nsp].tell = epoch != 0 ? (int)to : TOLD_NOBODY;
    d->nsp[nsp].tell_epoch = epoch;
    if (epoch == 0)
        return;
    while ((r = rc_hmap_next(&sh->room_by_name, &cursor)) != NULL) {
        if (r->nsp == nsp && !rc_str_eq(rc_str_make(r->name, r->name_len), RC_DIRECTORY_ROOM)) {
            r->told = 0;
            rc_directory_changed(sh, r);
        }
    }
}

/* ---- as keeper of the list ---- */

static bool entry_eq(const void *value, const void *key)
{
    const struct entry *e = value;
    const struct rc_str *name = key;

    return rc_str_eq(rc_str_make(e->name, e->len), *name);
}

static void forget(struct watched *w)
{
    uint32_t cursor = 0;
    struct entry *e;

    while ((e = rc_hmap_next(&w->list, &cursor)) != NULL)
        free(e);
    rc_hmap_deinit(&w->list);
}

static void set_entry(struct watched *w, struct rc_str name, uint32_t members)
{
    uint64_t hash = rc_hash(name.p, name.len, 0);
    struct entry *e = rc_hmap_find(&w->list, hash, entry_eq, &name);

    if (e != NULL && members == 0) {
        rc_hmap_remove(&w->list, hash, e);
        free(e);
    } else if (e != NULL) {
        e->members = members;
    } else if (members != 0) {
        e = rc_malloc(sizeof(*e) + name.len);
        *e = (struct entry){.hash = hash, .members = members, .len = (uint32_t)name.len};
        memcpy(e->name, name.p, name.len);
        rc_hmap_insert(&w->list, hash, e);
    }
}

static void begin_event(struct rc_shard *sh, uint16_t nsp, bool full)
{
    struct rc_buf *b = &sh->scratch;

    rc_frames_begin(b);
    rc_sio_put_head(b, RC_SIO_EVENT, 0, sh->app->nsp[nsp].name, false, 0);
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

/* Publishes to the watchers what has been put since begin_event. */
RC_ON_SHARD static void publish_event(struct rc_shard *sh, uint16_t nsp)
{
    uint64_t hash = rc_room_hash(nsp, RC_DIRECTORY_ROOM);
    struct rc_str frames = end_event(sh);

    rc_room_publish(sh, rc_pub_new(nsp, RC_DIRECTORY_ROOM, hash, frames.p, frames.len), 0);
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

void rc_directory_learn(struct rc_shard *sh, const struct rc_pub *rooms)
{
    struct watched *w = &sh->directory->nsp[rooms->nsp];
    unsigned max = sh->app->conf->limits_rooms_listed;
    struct rc_str rest = rc_pub_data(rooms);

    if (!w->keeping || rooms->hash != w->epoch)
        return;
    while (rest.len != 0) { /* in several events when there is much: no change gets lost */
        begin_event(sh, rooms->nsp, false);
        for (unsigned n = 0; n < max && rest.len != 0; n++) {
            uint32_t members;
            struct rc_str name = next_change(&rest, &members);

            set_entry(w, name, members);
            put_room(&sh->scratch, name, members, n == 0);
        }
        publish_event(sh, rooms->nsp);
    }
}

/* The whole list, to a new watcher. */
RC_ON_SHARD static void send_list(struct rc_shard *sh, uint16_t nsp, rc_id socket)
{
    struct watched *w = &sh->directory->nsp[nsp];
    unsigned n = 0, max = sh->app->conf->limits_rooms_listed;
    struct rc_msg msg = {.type = RC_MSG_TO_SOCKET};
    uint32_t cursor = 0;
    struct rc_str frames;
    struct rc_pub *pub;
    struct entry *e;

    begin_event(sh, nsp, true);
    for (; n < max && (e = rc_hmap_next(&w->list, &cursor)) != NULL; n++)
        put_room(&sh->scratch, rc_str_make(e->name, e->len), e->members, n == 0);
    frames = end_event(sh);
    pub = rc_pub_new(nsp, RC_STR_NONE, 0, frames.p, frames.len);
    if (rc_id_shard(socket) == sh->index) {
        rc_socket_deliver(sh, socket, pub);
        return;
    }
    msg.u.direct.to = socket;
    msg.u.direct.pub = pub;
    rc_shard_post(sh, rc_id_shard(socket), &msg);
}

/* epoch 0: no more, please. */
RC_ON_SHARD static void ask_all(struct rc_shard *sh, uint16_t nsp, uint32_t epoch)
{
    struct rc_msg msg = {.type = RC_MSG_DIR_WATCH, .nsp = nsp, .count = epoch};

    for (unsigned to = 0; to < sh->nshards; to++) {
        if (to == sh->index)
            rc_directory_tell(sh, sh->index, nsp, epoch);
        else
            rc_shard_post(sh, to, &msg);
    }
}

static void on_unwatched(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct watched *w = RC_CONTAINER(t, struct watched, unwatched);

    rc_assert_on_shard(sh);
    w->keeping = false;
    ask_all(sh, (uint16_t)(w - sh->directory->nsp), 0);
    forget(w);
}

void rc_directory_watched(struct rc_shard *sh, struct rc_room *r, rc_id socket)
{
    struct watched *w = &sh->directory->nsp[r->nsp];

    if (r->members == 0) { /* who comes back soon finds the list as it is */
        rc_timer_start(&sh->q_unwatched, &w->unwatched, sh->loop.now_ms);
        return;
    }
    rc_timer_stop(&w->unwatched);
    if (!w->keeping) {
        w->keeping = true;
        if (++w->epoch == 0)
            w->epoch = 1;
        ask_all(sh, r->nsp, w->epoch);
    }
    send_list(sh, r->nsp, socket);
}

/* ---- life ---- */

void rc_directory_init(struct rc_shard *sh)
{
    struct rc_directory *d = rc_calloc(1, sizeof(*d));

    d->nsp = rc_calloc(sh->app->nnsps, sizeof(*d->nsp));
    for (unsigned i = 0; i < sh->app->nnsps; i++)
        d->nsp[i].tell = TOLD_NOBODY;
    sh->directory = d;
    rc_timerq_init(&sh->q_directory, TELL_MS, on_tell, sh);
    rc_timerq_init(&sh->q_unwatched, UNWATCHED_MS, on_unwatched, sh);
    rc_loop_add_timerq(&sh->loop, &sh->q_directory);
    rc_loop_add_timerq(&sh->loop, &sh->q_unwatched);
}

void rc_directory_deinit(struct rc_shard *sh)
{
    struct rc_directory *d = sh->directory;

    for (unsigned i = 0; i < sh->app->nnsps; i++)
        forget(&d->nsp[i]);
    free(d->changed);
    free(d->nsp);
    free(d);
}

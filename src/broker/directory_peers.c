/* directory_peers.c - lists of rooms of all nodes.
 *
 * The keeper of a namespace's list on a node where somebody watches asks the owners of the same reserved room on
 * the other nodes. Those keep the list of their node's rooms meanwhile, as if somebody there watched, and
 * tell it and its changes (told.h). So nothing is told that nobody wants, and a node is told sums, not what its
 * shards have. A wish is said again from time to time, and forgotten when it is not: no loss makes it last. */
#include "directory_int.h"

#include "rc/base/mem.h"
#include "rc/broker/peers.h"
#include "rc/broker/space.h"

#include <stdlib.h>

enum {
    WALK_MS = 5,    /* between the parts of an announcement */
    GATHER_MS = 50, /* those who want one at about the same time get the same */
    SWEEP_MS = 5,
    SWEEP_MAX = 2000,
    TICK_MS = 1000,
    ASK_MAX_MS = 30000, /* after 1, 2, 4... seconds it is asked again */
    LISTEN_MS = 2000,   /* for the next part */
    WISH_MS = 10000,    /* a wish is said again */
    FORGET_MS = 35000,  /* one that is not is forgotten */
};

/* What a node says of a room. */
struct rc_dir_part {
    struct rc_list link; /* in the source's */
    struct rc_listed *room;
    struct source *source;
    struct rc_dir_part *next; /* of the room's */
    uint32_t members, round;
};

/* A node that tells. */
struct source {
    struct rc_list link; /* in the list's */
    struct rc_list sweep;
    struct rc_watched *watched;
    uint32_t number;
    uint32_t round, n;
    struct rc_list parts; /* those of the oldest round first */
    struct rc_listener_step at;
    uint64_t ask_at_ms;
    uint32_t ask_in_ms;
    bool gone;
};

/* A node that wants to be told. */
struct wish {
    struct rc_list link;
    uint32_t number;
    uint64_t heard_ms;
};

/* ---- what is told ---- */

RC_ON_SHARD static void tell_nodes(struct rc_shard *sh, const struct rc_watched *w,
                                   enum rc_peer_kind kind, uint32_t to, const struct rc_buf *b)
{
    struct rc_buf key = RC_BUF_INIT;

    rc_watched_put_key(w, &key);
    rc_peers_tell(sh, kind, to, w->nsp, rc_buf_str(&key), rc_buf_str(b));
    rc_buf_deinit(&key);
}

void rc_watched_share(struct rc_shard *sh, struct rc_watched *w, struct rc_str name,
                      uint32_t members)
{
    if (rc_list_empty(&w->wishes))
        return;
    if (w->out.len == 0)
        rc_teller_change(&w->teller, 0, 1, &w->out);
    rc_told_put(&w->out, RC_TOLD_MEMBERS, members, name);
    if (w->out.len >= RC_TOLD_SLICE)
        rc_watched_shared(sh, w);
}

void rc_watched_shared(struct rc_shard *sh, struct rc_watched *w)
{
    if (w->out.len != 0)
        tell_nodes(sh, w, RC_PEER_ROOMS, 0, &w->out);
    rc_buf_deinit(&w->out);
}

static void put_own(void *value, void *arg)
{
    const struct rc_listed *e = value;

    if (e->own != 0)
        rc_told_put(arg, RC_TOLD_MEMBERS, e->own, rc_str_make(e->name, e->len));
}

static void on_walk(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_watched *w = RC_CONTAINER(t, struct rc_watched, walk);
    struct rc_timerq *q = &sh->directory->q_walk;
    struct rc_buf b = RC_BUF_INIT;

    rc_assert_on_shard(sh);
    if (!w->walking) {
        w->walk_to = w->want_to;
        w->wanted = false;
        w->cursor = 0;
    }
    rc_teller_part(&w->teller, 0, 1, !w->walking, &b);
    do
        w->cursor = rc_hmap_scan(&w->list, w->cursor, put_own, &b);
    while (w->cursor != 0 && b.len < RC_TOLD_SLICE);
    w->walking = w->cursor != 0;
    if (!w->walking)
        rc_teller_last(&b);
    tell_nodes(sh, w, RC_PEER_ROOMS, w->walk_to, &b);
    rc_buf_deinit(&b);
    if (w->walking)
        rc_timer_start(q, t, sh->loop.now_ms);
    else if (w->wanted)
        rc_timer_start_in(q, t, sh->loop.now_ms, GATHER_MS);
}

RC_ON_SHARD static void announce(struct rc_shard *sh, struct rc_watched *w, uint32_t to)
{
    w->want_to = !w->wanted || w->want_to == to ? to : 0;
    w->wanted = true;
    if (!rc_timer_running(&w->walk))
        rc_timer_start_in(&sh->directory->q_walk, &w->walk, sh->loop.now_ms, GATHER_MS);
}

static struct wish *find_wish(const struct rc_watched *w, uint32_t number)
{
    for (struct rc_list *l = w->wishes.next; l != &w->wishes; l = l->next) {
        struct wish *wish = RC_CONTAINER(l, struct wish, link);

        if (wish->number == number)
            return wish;
    }
    return NULL;
}

static void free_wish(struct wish *wish)
{
    if (wish == NULL)
        return;
    rc_list_remove(&wish->link);
    free(wish);
}

/* ---- what others tell ---- */

static struct source *find_source(const struct rc_watched *w, uint32_t number)
{
    for (struct rc_list *l = w->sources.next; l != &w->sources; l = l->next) {
        struct source *s = RC_CONTAINER(l, struct source, link);

        if (s->number == number)
            return s;
    }
    return NULL;
}

static struct rc_dir_part **find_part(struct rc_listed *e, const struct source *s)
{
    struct rc_dir_part **at = &e->parts;

    while (*at != NULL && (*at)->source != s)
        at = &(*at)->next;
    return at;
}

/* The room may be empty then. */
static void free_part(struct rc_dir_part **at)
{
    struct rc_dir_part *part = *at;

    if (part == NULL)
        return;
    *at = part->next;
    part->room->members -= part->members;
    rc_list_remove(&part->link);
    part->source->n--;
    free(part);
}

/* The source says it, in its present round. */
static void set_part(struct rc_listed *e, struct source *s, uint32_t members)
{
    struct rc_dir_part **at = find_part(e, s), *part = *at;

    if (members == 0) {
        free_part(at);
        return;
    }
    if (part == NULL) {
        part = rc_calloc(1, sizeof(*part));
        part->room = e;
        part->source = s;
        part->next = e->parts;
        e->parts = part;
        s->n++;
    } else {
        rc_list_remove(&part->link);
        e->members -= part->members;
    }
    rc_list_append(&s->parts, &part->link);
    part->round = s->round;
    part->members = members;
    e->members += members;
}

static bool is_stale(const struct source *s)
{
    return s->n != 0 &&
           RC_CONTAINER(s->parts.next, struct rc_dir_part, link)->round != s->round;
}

static void free_source(struct source *s)
{
    struct rc_list *next;

    for (struct rc_list *l = s->parts.next; l != &s->parts; l = next) {
        struct rc_listed *e = RC_CONTAINER(l, struct rc_dir_part, link)->room;

        next = l->next;
        free_part(find_part(e, s));
        rc_listed_drop_if_empty(s->watched, e);
    }
    if (rc_list_linked(&s->sweep))
        rc_list_remove(&s->sweep);
    rc_list_remove(&s->link);
    free(s);
}

RC_ON_SHARD static void sweep_later(struct rc_shard *sh, struct source *s)
{
    struct rc_directory *d = sh->directory;

    if (!rc_list_linked(&s->sweep))
        rc_list_append(&d->sweeps, &s->sweep);
    if (!rc_timer_running(&d->sweep_timer))
        rc_timer_start_in(&d->q_sweep, &d->sweep_timer, sh->loop.now_ms, 0);
}

/* False: there may be more. */
RC_ON_SHARD static bool sweep(struct rc_shard *sh, struct source *s, unsigned *budget)
{
    struct rc_watched *w = s->watched;
    struct rc_dir_news news = {.n = 0};

    for (; is_stale(s) && *budget != 0; --*budget) {
        struct rc_listed *e = RC_CONTAINER(s->parts.next, struct rc_dir_part, link)->room;

        free_part(find_part(e, s));
        rc_watched_tell(sh, w, &news, rc_str_make(e->name, e->len), e->members);
        rc_listed_drop_if_empty(w, e);
    }
    rc_watched_told(sh, w, &news);
    if (is_stale(s))
        return false;
    rc_list_remove(&s->sweep);
    if (s->gone)
        free_source(s);
    return true;
}

static void on_sweep(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_directory *d = sh->directory;
    unsigned budget = SWEEP_MAX;
    struct rc_list *next;

    rc_assert_on_shard(sh);
    for (struct rc_list *l = d->sweeps.next; l != &d->sweeps; l = next) {
        next = l->next;
        if (!sweep(sh, RC_CONTAINER(l, struct source, sweep), &budget))
            break;
    }
    if (!rc_list_empty(&d->sweeps))
        rc_timer_start(&d->q_sweep, t, sh->loop.now_ms);
}

RC_ON_SHARD static void take_items(struct rc_shard *sh, struct source *s, struct rc_str rest)
{
    struct rc_watched *w = s->watched;
    struct rc_dir_news news = {.n = 0};
    struct rc_told_item item;

    while (rc_told_next(&rest, &item)) {
        struct rc_listed *e;
        uint32_t before;

        if (item.op != RC_TOLD_MEMBERS || item.text.len == 0 || rc_space_is_hidden(item.text))
            continue;
        e = item.n != 0 && s->n < sh->app->conf->limits_max_rooms
                ? rc_listed_find_or_new(w, item.text)
                : rc_listed_find(w, item.text);
        if (e == NULL) {
            rc_stat_add(&sh->stats.peers_refused, item.n != 0);
            continue;
        }
        before = e->members;
        set_part(e, s, item.n);
        if (e->members != before)
            rc_watched_tell(sh, w, &news, item.text, e->members);
        rc_listed_drop_if_empty(w, e);
    }
    rc_watched_told(sh, w, &news);
}

RC_ON_SHARD static void take(struct rc_shard *sh, struct source *s, struct rc_str bytes)
{
    struct rc_told told;
    bool begins, ends;

    if (!rc_told_read(bytes, &told)) {
        rc_stat_add(&sh->stats.peers_bad, 1);
        return;
    }
    rc_told_follow(&s->at, &told, sh->loop.now_ms, &begins, &ends);
    if (begins) {
        s->round++;
        s->ask_in_ms = TICK_MS;
        if (rc_list_linked(&s->sweep)) /* what is stale still may be said again */
            rc_list_remove(&s->sweep);
    }
    take_items(sh, s, told.items);
    if (ends)
        sweep_later(sh, s);
}

/* ---- wishes ---- */

RC_ON_SHARD static void say(struct rc_shard *sh, const struct rc_watched *w,
                            enum rc_told_wish wish, uint32_t to)
{
    struct rc_buf b = RC_BUF_INIT;

    rc_told_put_wish(&b, wish, 1);
    tell_nodes(sh, w, RC_PEER_ROOMS_ASK, to, &b);
    rc_buf_deinit(&b);
}

RC_ON_SHARD static void tick_later(struct rc_shard *sh)
{
    struct rc_directory *d = sh->directory;

    if (!rc_timer_running(&d->tick_timer))
        rc_timer_start(&d->q_tick, &d->tick_timer, sh->loop.now_ms);
}

static void add_source(struct rc_watched *w, uint32_t number, uint64_t now_ms)
{
    struct source *s = rc_calloc(1, sizeof(*s));

    s->watched = w;
    s->number = number;
    rc_list_init(&s->parts);
    s->ask_at_ms = now_ms + TICK_MS;
    s->ask_in_ms = TICK_MS;
    rc_list_append(&w->sources, &s->link);
}

void rc_watched_wish(struct rc_shard *sh, struct rc_watched *w)
{
    uint64_t now = sh->loop.now_ms;
    const struct rc_peer *p;

    for (unsigned i = 0; (p = rc_peers_at(sh, i)) != NULL; i++)
        if (find_source(w, p->number) == NULL)
            add_source(w, p->number, now);
    w->wish_at_ms = now + WISH_MS;
    say(sh, w, RC_TOLD_ALL, 0);
    tick_later(sh);
}

static void free_sources(struct rc_watched *w)
{
    struct rc_list *next;

    for (struct rc_list *l = w->sources.next; l != &w->sources; l = next) {
        next = l->next;
        free_source(RC_CONTAINER(l, struct source, link));
    }
}

void rc_watched_unwish(struct rc_shard *sh, struct rc_watched *w)
{
    say(sh, w, RC_TOLD_NOTHING, 0);
    free_sources(w);
}

void rc_watched_leave_peers(struct rc_watched *w)
{
    struct rc_list *next;

    rc_timer_stop(&w->walk);
    free_sources(w);
    for (struct rc_list *l = w->wishes.next; l != &w->wishes; l = next) {
        next = l->next;
        free_wish(RC_CONTAINER(l, struct wish, link));
    }
}

/* What the list lacks is asked for again. */
RC_ON_SHARD static void ask(struct rc_shard *sh, const struct rc_watched *w, struct source *s)
{
    uint64_t now = sh->loop.now_ms;

    if (s->gone || s->at.step == RC_IN_STEP || now < s->ask_at_ms ||
        (s->at.step == RC_LISTENING && now - s->at.heard_ms < LISTEN_MS))
        return;
    s->ask_at_ms = now + s->ask_in_ms;
    s->ask_in_ms = s->ask_in_ms < ASK_MAX_MS / 2 ? s->ask_in_ms * 2 : ASK_MAX_MS;
    say(sh, w, RC_TOLD_ALL, s->number);
}

/* May free it. */
RC_ON_SHARD static void tick(struct rc_shard *sh, struct rc_watched *w)
{
    uint64_t now = sh->loop.now_ms;
    struct rc_list *next;

    for (struct rc_list *l = w->sources.next; l != &w->sources; l = l->next)
        ask(sh, w, RC_CONTAINER(l, struct source, link));
    if (w->keeping && now >= w->wish_at_ms) {
        w->wish_at_ms = now + WISH_MS;
        say(sh, w, RC_TOLD_CHANGES, 0);
    }
    for (struct rc_list *l = w->wishes.next; l != &w->wishes; l = next) {
        struct wish *wish = RC_CONTAINER(l, struct wish, link);

        next = l->next;
        if (now - wish->heard_ms > FORGET_MS)
            free_wish(wish);
    }
    rc_watched_end_if_unused(sh, w);
}

static void on_tick(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_directory *d = sh->directory;
    struct rc_list *next;

    rc_assert_on_shard(sh);
    for (struct rc_list *l = d->active.next; l != &d->active; l = next) {
        next = l->next;
        tick(sh, RC_CONTAINER(l, struct rc_watched, link));
    }
    if (!rc_list_empty(&d->active))
        rc_timer_start(&d->q_tick, t, sh->loop.now_ms);
}

/* Somebody there watches, or no longer does. */
RC_ON_SHARD static void take_wish(struct rc_shard *sh, struct rc_watched *w, uint32_t number,
                                  enum rc_told_wish what)
{
    struct wish *wish = find_wish(w, number);

    if (what == RC_TOLD_NOTHING) {
        free_wish(wish);
        rc_watched_end_if_unused(sh, w);
        return;
    }
    if (wish == NULL) {
        wish = rc_calloc(1, sizeof(*wish));
        wish->number = number;
        rc_list_append(&w->wishes, &wish->link);
        what = RC_TOLD_ALL;
        rc_watched_begin(sh, w);
        tick_later(sh);
    }
    wish->heard_ms = sh->loop.now_ms;
    if (what == RC_TOLD_ALL)
        announce(sh, w, number);
}

/* The list that the key of its watchers' room names; made for others to watch. */
RC_ON_SHARD static struct rc_watched *watched_of(struct rc_shard *sh, const struct rc_pub *told,
                                                 bool make)
{
    struct rc_str key = rc_pub_room(told), home = key;
    struct rc_watched *w;

    if (!rc_str_eq(rc_space_label(sh, told->nsp, key), RC_DIRECTORY_ROOM))
        return NULL;
    home.len -= RC_DIRECTORY_ROOM.len;
    w = rc_watched_find(sh, told->nsp, home);
    if (w != NULL || !make)
        return w;
    if (sh->directory->by_home.n >= sh->app->conf->limits_max_namespaces) {
        rc_stat_add(&sh->stats.peers_refused, 1);
        return NULL;
    }
    return rc_watched_new(sh, told->nsp, home);
}

void rc_directory_peer(struct rc_shard *sh, enum rc_peer_kind kind, uint32_t number,
                       const struct rc_pub *told)
{
    enum rc_told_wish wish = RC_TOLD_NOTHING;
    bool asks = kind == RC_PEER_ROOMS_ASK;
    struct rc_watched *w;
    struct source *s;
    uint64_t shards;

    if (asks && !rc_told_read_wish(rc_pub_data(told), &wish, &shards)) {
        rc_stat_add(&sh->stats.peers_bad, 1);
        return;
    }
    w = watched_of(sh, told, asks && wish != RC_TOLD_NOTHING);
    if (w == NULL)
        return;
    if (asks)
        take_wish(sh, w, number, wish);
    else if (w->keeping && (s = find_source(w, number)) != NULL)
        take(sh, s, rc_pub_data(told));
}

/* ---- nodes ---- */

void rc_directory_peer_here(struct rc_shard *sh, uint32_t number)
{
    struct rc_directory *d = sh->directory;

    for (struct rc_list *l = d->active.next; l != &d->active; l = l->next) {
        struct rc_watched *w = RC_CONTAINER(l, struct rc_watched, link);

        if (!w->keeping)
            continue;
        add_source(w, number, sh->loop.now_ms);
        say(sh, w, RC_TOLD_ALL, number);
    }
}

void rc_directory_peer_gone(struct rc_shard *sh, uint32_t number)
{
    struct rc_directory *d = sh->directory;
    struct rc_list *next;

    for (struct rc_list *l = d->active.next; l != &d->active; l = next) {
        struct rc_watched *w = RC_CONTAINER(l, struct rc_watched, link);
        struct source *s = find_source(w, number);

        next = l->next;
        if (s != NULL) {
            s->gone = true;
            s->round++;
            sweep_later(sh, s);
        }
        free_wish(find_wish(w, number));
        rc_watched_end_if_unused(sh, w);
    }
}

void rc_directory_peers_again(struct rc_shard *sh)
{
    struct rc_directory *d = sh->directory;

    for (struct rc_list *l = d->active.next; l != &d->active; l = l->next) {
        struct rc_watched *w = RC_CONTAINER(l, struct rc_watched, link);

        for (struct rc_list *k = w->sources.next; k != &w->sources; k = k->next) {
            struct source *s = RC_CONTAINER(k, struct source, link);

            s->at.step = RC_OUT_OF_STEP;
            s->ask_at_ms = sh->loop.now_ms + TICK_MS;
            s->ask_in_ms = TICK_MS;
        }
        if (w->keeping)
            say(sh, w, RC_TOLD_ALL, 0);
        if (rc_list_empty(&w->wishes))
            continue;
        rc_teller_change(&w->teller, 0, 1, &w->out); /* its number shows what was lost */
        rc_watched_shared(sh, w);
    }
}

/* ---- life ---- */

void rc_directory_peers_init(struct rc_shard *sh)
{
    struct rc_directory *d = sh->directory;

    rc_list_init(&d->sweeps);
    rc_timerq_init(&d->q_walk, WALK_MS, on_walk, sh);
    rc_timerq_init(&d->q_sweep, SWEEP_MS, on_sweep, sh);
    rc_timerq_init(&d->q_tick, TICK_MS, on_tick, sh);
    rc_loop_add_timerq(&sh->loop, &d->q_walk);
    rc_loop_add_timerq(&sh->loop, &d->q_sweep);
    rc_loop_add_timerq(&sh->loop, &d->q_tick);
}

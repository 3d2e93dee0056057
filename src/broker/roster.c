#include "rc/broker/roster.h"

#include "rc/base/hash.h"
#include "rc/base/mem.h"
#include "rc/base/thread.h"
#include "rc/proto/json.h"

#include <stdlib.h>

/* That a source says a user is there. */
struct stay {
    struct rc_list link; /* in the source's */
    struct rc_roster_user *user;
    struct rc_roster_source *source;
    struct stay *next; /* of the user's */
    uint32_t round;
};

struct rc_roster_user {
    struct rc_timer held;  /* runs while the user is */
    struct rc_list link;   /* in the roster's changes, or in none */
    struct rc_list own;    /* in the share's, while there are sockets; or in none */
    struct rc_list untold; /* the same of what others do not know */
    struct rc_roster *roster;
    struct stay *stays;
    uint64_t hash;
    uint32_t sockets; /* here */
    uint32_t len;
    bool told;   /* that the user is there, to members */
    bool shared; /* that the user is here, to other nodes */
    char id[];
};

static struct rc_str id_of(const struct rc_roster_user *u)
{
    return rc_str_make(u->id, u->len);
}

static bool is_user(const void *value, const void *key)
{
    const struct rc_str *id = key;

    return rc_str_eq(id_of(value), *id);
}

static struct rc_roster_user *find(const struct rc_roster *r, struct rc_str user, uint64_t hash)
{
    return rc_hmap_find(&r->users, hash, is_user, &user);
}

static bool is_there(const struct rc_roster_user *u)
{
    return u->sockets != 0 || u->stays != NULL || rc_timer_running(&u->held);
}

static void note_change(struct rc_roster_user *u)
{
    if (!rc_list_linked(&u->link))
        rc_list_append(&u->roster->changes, &u->link);
}

static struct rc_roster_user *find_or_add(struct rc_roster *r, struct rc_str user)
{
    uint64_t hash = rc_hash(user.p, user.len, 0);
    struct rc_roster_user *u = find(r, user, hash);

    if (u != NULL)
        return u;
    u = rc_malloc(sizeof(*u) + user.len);
    *u = (struct rc_roster_user){.roster = r, .hash = hash, .len = (uint32_t)user.len};
    memcpy(u->id, user.p, user.len);
    rc_hmap_insert(&r->users, hash, u);
    return u;
}

/* Absent, and everybody knows. */
static void free_if_done(struct rc_roster_user *u)
{
    if (is_there(u) || rc_list_linked(&u->link) || rc_list_linked(&u->untold))
        return;
    rc_hmap_remove(&u->roster->users, u->hash, u);
    free(u);
}

/* Somebody says that the user is there: before it counts. */
static void come(struct rc_roster_user *u)
{
    if (!is_there(u)) {
        u->roster->count++;
        note_change(u);
    }
    rc_timer_stop(&u->held);
}

static void end(struct rc_roster_user *u)
{
    u->roster->count--;
    note_change(u);
}

/* Somebody no longer says so. */
static void go(struct rc_roster_user *u, struct rc_timerq *held, uint64_t now_ms)
{
    if (is_there(u))
        return;
    if (held->duration_ms != 0)
        rc_timer_start(held, &u->held, now_ms);
    else
        end(u);
}

/* The first socket here has come, or the last one has gone. */
static void note_news(struct rc_roster_user *u)
{
    struct rc_roster_share *share = u->roster->share;

    if (share == NULL)
        return;
    if (u->sockets != 0)
        rc_list_append(&share->own, &u->own);
    else
        rc_list_remove(&u->own);
    if (!rc_list_linked(&u->untold))
        rc_list_append(&share->untold, &u->untold);
}

void rc_roster_enter(struct rc_roster *r, struct rc_str user)
{
    struct rc_roster_user *u = find_or_add(r, user);

    come(u);
    if (u->sockets++ == 0)
        note_news(u);
}

void rc_roster_leave(struct rc_roster *r, struct rc_str user, struct rc_timerq *held,
                     uint64_t now_ms)
{
    struct rc_roster_user *u = find(r, user, rc_hash(user.p, user.len, 0));

    RC_ASSERT(u != NULL && u->sockets != 0); /* who leaves has come */
    if (--u->sockets != 0)
        return;
    note_news(u);
    go(u, held, now_ms);
}

struct rc_roster *rc_roster_lapse(struct rc_timer *t)
{
    struct rc_roster_user *u = RC_CONTAINER(t, struct rc_roster_user, held);

    end(u);
    return u->roster;
}

static void put(struct rc_roster_list *list, unsigned max, const struct rc_roster_user *u)
{
    if (list->n == max) {
        list->more = true;
        return;
    }
    if (list->n++ != 0)
        rc_buf_putc(&list->json, ',');
    rc_json_string_encode(id_of(u), &list->json);
}

void rc_roster_take(struct rc_roster *r, unsigned max, struct rc_roster_list *joined,
                    struct rc_roster_list *left)
{
    struct rc_list *link = r->changes.next, *next;

    for (; link != &r->changes; link = next) {
        struct rc_roster_user *u = RC_CONTAINER(link, struct rc_roster_user, link);
        bool there = is_there(u);

        next = link->next;
        rc_list_remove(link);
        if (there != u->told)
            put(there ? joined : left, max, u);
        u->told = there;
        free_if_done(u);
    }
}

void rc_roster_put(const struct rc_roster *r, unsigned max, struct rc_roster_list *list)
{
    uint32_t cursor = 0;
    const struct rc_roster_user *u;

    while (!list->more && (u = rc_hmap_next(&r->users, &cursor)) != NULL)
        if (is_there(u))
            put(list, max, u);
}

/* ---- other nodes ---- */

void rc_roster_source_init(struct rc_roster_source *s, uint32_t max)
{
    *s = (struct rc_roster_source){.max = max};
    rc_list_init(&s->stays);
}

static struct stay **find_stay(struct rc_roster_user *u, const struct rc_roster_source *s)
{
    struct stay **at = &u->stays;

    while (*at != NULL && (*at)->source != s)
        at = &(*at)->next;
    return at;
}

bool rc_roster_arrive(struct rc_roster *r, struct rc_str user, struct rc_roster_source *s)
{
    struct rc_roster_user *u = find(r, user, rc_hash(user.p, user.len, 0));
    struct stay *stay = u != NULL ? *find_stay(u, s) : NULL;

    if (stay != NULL && stay->round == s->round)
        return true;
    if (stay != NULL) {
        rc_list_remove(&stay->link);
    } else if (s->n >= s->max) {
        return false;
    } else {
        u = find_or_add(r, user);
        come(u);
        stay = rc_malloc(sizeof(*stay));
        *stay = (struct stay){.user = u, .source = s, .next = u->stays};
        u->stays = stay;
        r->nstays++;
        s->n++;
    }
    stay->round = s->round;
    rc_list_append(&s->stays, &stay->link);
    return true;
}

static void free_stay(struct stay **at)
{
    struct stay *stay = *at;

    if (stay == NULL)
        return;
    *at = stay->next;
    rc_list_remove(&stay->link);
    stay->user->roster->nstays--;
    stay->source->n--;
    free(stay);
}

void rc_roster_depart(struct rc_roster *r, struct rc_str user, struct rc_roster_source *s,
                      struct rc_timerq *held, uint64_t now_ms)
{
    struct rc_roster_user *u = find(r, user, rc_hash(user.p, user.len, 0));
    struct stay **at = u != NULL ? find_stay(u, s) : NULL;

    if (at == NULL || *at == NULL)
        return;
    free_stay(at);
    go(u, held, now_ms);
}

/* The oldest, if it is out of date. */
static struct stay *stale(const struct rc_roster_source *s)
{
    struct stay *oldest = RC_CONTAINER(s->stays.next, struct stay, link);

    return s->n != 0 && oldest->round != s->round ? oldest : NULL;
}

struct rc_roster *rc_roster_stale(const struct rc_roster_source *s)
{
    const struct stay *oldest = stale(s);

    return oldest != NULL ? oldest->user->roster : NULL;
}

void rc_roster_expel(struct rc_roster_source *s, struct rc_timerq *held, uint64_t now_ms)
{
    struct stay *oldest = stale(s);
    struct rc_roster_user *u;

    if (oldest == NULL)
        return;
    u = oldest->user;
    free_stay(find_stay(u, s));
    go(u, held, now_ms);
}

/* ---- this node ---- */

void rc_roster_share_init(struct rc_roster_share *share)
{
    rc_list_init(&share->own);
    rc_list_init(&share->untold);
}

/* False: fn wants no more. */
static bool tell(struct rc_roster_user *u, rc_roster_news_fn *fn, void *arg)
{
    bool here = u->sockets != 0, more = true;

    rc_list_remove(&u->untold);
    if (here != u->shared)
        more = fn(u->roster, id_of(u), here, arg);
    u->shared = here;
    free_if_done(u);
    return more;
}

void rc_roster_tell(struct rc_roster_share *share, rc_roster_news_fn *fn, void *arg)
{
    struct rc_list *link = share->untold.next, *next;
    bool more = true;

    for (; more && link != &share->untold; link = next) {
        next = link->next;
        more = tell(RC_CONTAINER(link, struct rc_roster_user, untold), fn, arg);
    }
}

void rc_roster_tell_of(struct rc_roster *r, rc_roster_news_fn *fn, void *arg)
{
    uint32_t cursor = 0;
    struct rc_roster_user *u;

    while ((u = rc_hmap_next(&r->users, &cursor)) != NULL) {
        bool here = u->sockets != 0;

        if (!rc_list_linked(&u->untold))
            continue;
        rc_list_remove(&u->untold);
        if (here != u->shared)
            (void)fn(r, id_of(u), here, arg);
        u->shared = here;
    }
}

void rc_roster_walk_begin(struct rc_roster_share *share, struct rc_roster_walk *w)
{
    struct rc_list *first = share->own.next;

    /* In front of the first one. */
    w->at.prev = &share->own;
    w->at.next = first;
    share->own.next = first->prev = &w->at;
    rc_list_append(&share->own, &w->end);
}

bool rc_roster_walk_step(struct rc_roster_walk *w, rc_roster_news_fn *fn, void *arg)
{
    struct rc_list *link = w->at.next, *list;
    bool more = true;

    while (more && link != &w->end) {
        struct rc_roster_user *u = RC_CONTAINER(link, struct rc_roster_user, own);

        link = link->next;
        more = fn(u->roster, id_of(u), true, arg);
    }
    if (link == &w->end) {
        rc_roster_walk_stop(w);
        return false;
    }
    rc_list_remove(&w->at);
    list = link->prev; /* behind the last one */
    w->at.prev = list;
    w->at.next = link;
    list->next = link->prev = &w->at;
    return true;
}

void rc_roster_walk_stop(struct rc_roster_walk *w)
{
    rc_list_remove(&w->at);
    rc_list_remove(&w->end);
}

/* ---- life ---- */

void rc_roster_init(struct rc_roster *r, struct rc_roster_share *share)
{
    *r = (struct rc_roster){.share = share};
    rc_list_init(&r->changes);
}

void rc_roster_deinit(struct rc_roster *r)
{
    uint32_t cursor = 0;
    struct rc_roster_user *u;

    while ((u = rc_hmap_next(&r->users, &cursor)) != NULL) {
        rc_timer_stop(&u->held);
        while (u->stays != NULL)
            free_stay(&u->stays);
        if (rc_list_linked(&u->own))
            rc_list_remove(&u->own);
        if (rc_list_linked(&u->untold))
            rc_list_remove(&u->untold);
        free(u);
    }
    rc_hmap_deinit(&r->users);
}

#include "rc/broker/roster.h"

#include "rc/base/hash.h"
#include "rc/base/mem.h"
#include "rc/base/thread.h"
#include "rc/proto/json.h"

#include <stdlib.h>

struct rc_roster_user {
    struct rc_timer held; /* runs while the user is */
    struct rc_list link;  /* in the roster's changes, or in none */
    struct rc_roster *roster;
    uint64_t hash;
    uint32_t sockets;
    bool told; /* that the user is there */
    uint32_t len;
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
    return u->sockets != 0 || rc_timer_running(&u->held);
}

static void note_change(struct rc_roster_user *u)
{
    if (!rc_list_linked(&u->link))
        rc_list_append(&u->roster->changes, &u->link);
}

static struct rc_roster_user *add(struct rc_roster *r, struct rc_str user, uint64_t hash)
{
    struct rc_roster_user *u = rc_malloc(sizeof(*u) + user.len);

    *u = (struct rc_roster_user){.roster = r, .hash = hash, .len = (uint32_t)user.len};
    memcpy(u->id, user.p, user.len);
    rc_hmap_insert(&r->users, hash, u);
    return u;
}

void rc_roster_enter(struct rc_roster *r, struct rc_str user)
{
    uint64_t hash = rc_hash(user.p, user.len, 0);
    struct rc_roster_user *u = find(r, user, hash);

    if (u == NULL)
        u = add(r, user, hash);
    if (!is_there(u)) {
        r->count++;
        note_change(u);
    }
    rc_timer_stop(&u->held);
    u->sockets++;
}

static void end(struct rc_roster_user *u)
{
    u->roster->count--;
    note_change(u);
}

void rc_roster_leave(struct rc_roster *r, struct rc_str user, struct rc_timerq *held,
                     uint64_t now_ms)
{
    struct rc_roster_user *u = find(r, user, rc_hash(user.p, user.len, 0));

    RC_ASSERT(u != NULL && u->sockets != 0); /* who leaves has come */
    if (--u->sockets != 0)
        return;
    if (held->duration_ms != 0)
        rc_timer_start(held, &u->held, now_ms);
    else
        end(u);
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
        if (there)
            continue;
        rc_hmap_remove(&r->users, u->hash, u);
        free(u);
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

void rc_roster_init(struct rc_roster *r)
{
    *r = (struct rc_roster){.count = 0};
    rc_list_init(&r->changes);
}

void rc_roster_deinit(struct rc_roster *r)
{
    uint32_t cursor = 0;
    struct rc_roster_user *u;

    while ((u = rc_hmap_next(&r->users, &cursor)) != NULL) {
        rc_timer_stop(&u->held);
        free(u);
    }
    rc_hmap_deinit(&r->users);
}

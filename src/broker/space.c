/* space.c - keys of rooms in dynamic namespaces, and these namespaces as the owner has them. */
#include "rc/broker/space.h"

#include "rc/base/hash.h"
#include "rc/base/mem.h"
#include "rc/broker/shard.h"

#include <stdlib.h>

#define USER_PREFIX "\002user:"

/* ---- keys ---- */

static bool is_dynamic(const struct rc_shard *sh, uint16_t nsp)
{
    return sh->app->nsp[nsp].is_pattern;
}

void rc_space_put_user_key(struct rc_str home, struct rc_str user, struct rc_buf *to)
{
    rc_buf_puts(to, home);
    rc_buf_putz(to, USER_PREFIX);
    rc_buf_puts(to, user);
}

struct rc_str rc_space_user(struct rc_str key)
{
    struct rc_str prefix = RC_STR(USER_PREFIX);

    return rc_str_starts(key, prefix) ? rc_str_skip(key, prefix.len) : RC_STR_NONE;
}

/* The length of "/name\0"; no name has a NUL. */
static size_t home_len(struct rc_str key)
{
    const char *end = memchr(key.p, '\0', key.len);

    RC_ASSERT(end != NULL);
    return (size_t)(end - key.p) + 1;
}

static uint64_t hash_of_home(uint16_t nsp, struct rc_str home)
{
    return rc_hash(home.p, home.len, nsp);
}

struct rc_str rc_space_home(const struct rc_shard *sh, const struct rc_socket *k)
{
    return is_dynamic(sh, k->nsp) ? rc_pub_room(k->room[0].room->name) : RC_STR_NONE;
}

struct rc_str rc_space_name(const struct rc_shard *sh, const struct rc_socket *k)
{
    struct rc_str home = rc_space_home(sh, k);

    return home.len != 0 ? rc_str_make(home.p, home.len - 1) : sh->app->nsp[k->nsp].name;
}

bool rc_space_has(const struct rc_shard *sh, const struct rc_socket *k,
                  const struct rc_pub *pub)
{
    return k->nsp == pub->nsp &&
           (!is_dynamic(sh, k->nsp) || rc_str_starts(rc_pub_room(pub), rc_space_home(sh, k)));
}

struct rc_str rc_space_label(const struct rc_shard *sh, uint16_t nsp, struct rc_str key)
{
    return is_dynamic(sh, nsp) ? rc_str_skip(key, home_len(key)) : key;
}

uint64_t rc_space_app_hash(const struct rc_app *app, uint16_t nsp, struct rc_str key)
{
    uint64_t hash = rc_room_hash(nsp, key);

    if (!app->nsp[nsp].is_pattern)
        return hash;
    /* The owner by the name, the slot in its table by name and room. */
    return (hash_of_home(nsp, rc_str_make(key.p, home_len(key))) & ~(uint64_t)UINT32_MAX) |
           (hash & UINT32_MAX);
}

uint64_t rc_space_hash(const struct rc_shard *sh, uint16_t nsp, struct rc_str key)
{
    return rc_space_app_hash(sh->app, nsp, key);
}

/* ---- as owner ---- */

struct space_key {
    struct rc_str home;
};

static bool same_space(const void *value, const void *key)
{
    const struct rc_space *space = value;
    const struct space_key *k = key;

    return rc_str_eq(rc_str_make(space->home, space->home_len), k->home);
}

/* The cluster listens for it, or no longer does. */
RC_ON_SHARD static void tell_cluster(const struct rc_shard *sh, const struct rc_space *space,
                                     bool is_there)
{
    const struct rc_cluster_port *cluster = sh->app->cluster;
    struct rc_cluster_item item = {.type = RC_CLUSTER_SPACE, .count = is_there};

    if (cluster == NULL)
        return;
    item.pub = rc_pub_new(0, rc_str_make(space->home, space->home_len - 1), 0, NULL, 0);
    (void)cluster->submit(cluster->cluster, &item);
}

struct rc_space *rc_space_find(const struct rc_shard *sh, uint16_t nsp, struct rc_str home)
{
    const struct space_key key = {home};

    return rc_hmap_find(&sh->space_by_name, hash_of_home(nsp, home), same_space, &key);
}

RC_ON_SHARD static struct rc_space *find_or_new(struct rc_shard *sh, uint16_t nsp,
                                                struct rc_str home)
{
    uint64_t hash = hash_of_home(nsp, home);
    struct rc_space *space = rc_space_find(sh, nsp, home);

    if (space != NULL)
        return space;
    space = rc_malloc(sizeof(*space) + home.len);
    *space = (struct rc_space){.hash = hash, .home_len = (uint32_t)home.len};
    memcpy(space->home, home.p, home.len);
    rc_hmap_insert(&sh->space_by_name, hash, space);
    tell_cluster(sh, space, true);
    rc_directory_space(sh, space, nsp);
    return space;
}

RC_ON_SHARD static void free_space(struct rc_space *space)
{
    rc_hmap_deinit(&space->rooms);
    free(space);
}

/* Does the list of rooms show it? */
static bool is_listed(const struct rc_room *r, size_t home)
{
    struct rc_str label = rc_str_skip(rc_str_make(r->name, r->name_len), home);

    return label.len != 0 && !rc_space_is_hidden(label);
}

void rc_space_add(struct rc_shard *sh, struct rc_room *r)
{
    size_t n = home_len(rc_str_make(r->name, r->name_len));

    r->space = find_or_new(sh, r->nsp, rc_str_make(r->name, n));
    r->space->nrooms++;
    if (is_listed(r, n))
        rc_hmap_insert(&r->space->rooms, r->hash, r);
}

void rc_space_remove(struct rc_shard *sh, struct rc_room *r)
{
    struct rc_space *space = r->space;

    if (is_listed(r, space->home_len))
        rc_hmap_remove(&space->rooms, r->hash, r);
    r->space = NULL;
    if (--space->nrooms != 0)
        return;
    rc_hmap_remove(&sh->space_by_name, space->hash, space);
    tell_cluster(sh, space, false);
    rc_directory_forget(sh, space);
    free_space(space);
}

void rc_space_deinit(struct rc_shard *sh)
{
    uint32_t cursor = 0;
    struct rc_space *space;

    while ((space = rc_hmap_next(&sh->space_by_name, &cursor)) != NULL)
        free_space(space);
    rc_hmap_deinit(&sh->space_by_name);
}

/*
 * directory_int.h - lists of rooms: directory.c keeps them and tells watchers, directory_peers.c other nodes.
 *
 * Threads:   the shard.
 * Ownership: directory.c makes and frees lists and their entries, directory_peers.c sources, parts and wishes.
 */
#ifndef RC_BROKER_DIRECTORY_INT_H
#define RC_BROKER_DIRECTORY_INT_H

#include "rc/base/hmap.h"
#include "rc/broker/room.h"
#include "rc/broker/shard.h"
#include "rc/broker/told.h"

struct rc_dir_part;

/* A room as the list has it. */
struct rc_listed {
    uint64_t hash;
    struct rc_dir_part *parts; /* what other nodes say */
    uint32_t own, members;     /* here, and in all */
    uint32_t len;
    char name[];
};

/* The rooms of a namespace. */
struct rc_watched {
    uint16_t nsp;
    bool keeping;           /* as keeper of the list: somebody here watches */
    bool active;            /* the same, or somebody elsewhere */
    struct rc_space *space; /* the dynamic namespace, while it has rooms here; or NULL */
    int tell;            /* as owner of rooms: the shard that keeps the list, or TOLD_NOBODY */
    uint32_t tell_epoch; /* of its asking */
    uint32_t epoch;      /* as keeper: of ours; answers to earlier ones are old news */
    struct rc_timer unwatched; /* as keeper: nobody here watches any more */
    struct rc_hmap list;       /* of rc_listed, as keeper */
    struct rc_buf pending;     /* changes that are about to be told */
    struct rc_watched *next;   /* that has some, too */

    /* As keeper, of other nodes: see directory_peers.c. */
    struct rc_list link;    /* in the shard's active ones */
    struct rc_list sources; /* what they tell */
    struct rc_list wishes;  /* who wants to be told */
    uint64_t wish_at_ms;    /* they are told again that somebody here watches */
    struct rc_teller teller;
    struct rc_buf out; /* changes that are about to be told */
    struct rc_timer walk;
    uint32_t cursor;           /* of the announcement */
    bool walking, wanted;      /* an announcement: is under way; another one is asked for */
    uint32_t walk_to, want_to; /* number of the node, 0: all */

    uint64_t hash;
    uint32_t home_len; /* 0: it is no dynamic one */
    char home[];       /* "/name\0": see space.h */
};

struct rc_directory {
    struct rc_watched **nsp; /* [nnsps], of those that are not dynamic */
    unsigned nnsps;
    struct rc_hmap by_home;   /* of rc_watched: the dynamic ones that somebody watches */
    struct rc_room **changed; /* rooms of ours to tell about */
    uint32_t nchanged, cap;
    struct rc_timer timer;

    struct rc_list active; /* of rc_watched */
    struct rc_list sweeps; /* of sources with rooms that are out of date */
    struct rc_timerq q_walk, q_sweep, q_tick;
    struct rc_timer sweep_timer, tick_timer;
};

/* ---- directory.c ---- */

struct rc_listed *rc_listed_find(const struct rc_watched *w, struct rc_str name);
struct rc_listed *rc_listed_find_or_new(struct rc_watched *w, struct rc_str name);
void rc_listed_drop_if_empty(struct rc_watched *w, struct rc_listed *e);

/* home: empty when it is no dynamic one. NULL: nobody watches a dynamic one of that name. */
struct rc_watched *rc_watched_find(const struct rc_shard *sh, uint16_t nsp, struct rc_str home);
/* A dynamic one. */
struct rc_watched *rc_watched_new(struct rc_shard *sh, uint16_t nsp,
                                  struct rc_str home) RC_ON_SHARD;
/* Appends the key of its watchers' room. */
void rc_watched_put_key(const struct rc_watched *w, struct rc_buf *key);
/* From now on the list is kept, if it is not yet. */
void rc_watched_begin(struct rc_shard *sh, struct rc_watched *w) RC_ON_SHARD;
/* No more, unless somebody watches or wants to be told. May free it. */
void rc_watched_end_if_unused(struct rc_shard *sh, struct rc_watched *w) RC_ON_SHARD;

/* Events to the watchers here, put together. Nothing else may use the scratch buffer meanwhile. */
struct rc_dir_news {
    unsigned n; /* rooms in the event */
};
void rc_watched_tell(struct rc_shard *sh, const struct rc_watched *w, struct rc_dir_news *news,
                     struct rc_str name, uint32_t members) RC_ON_SHARD;
void rc_watched_told(struct rc_shard *sh, const struct rc_watched *w,
                     struct rc_dir_news *news) RC_ON_SHARD;

/* ---- directory_peers.c ---- */

/* A room here has another count: those who want to know are told with the next rc_watched_shared. */
void rc_watched_share(struct rc_shard *sh, struct rc_watched *w, struct rc_str name,
                      uint32_t members) RC_ON_SHARD;
void rc_watched_shared(struct rc_shard *sh, struct rc_watched *w) RC_ON_SHARD;
/* Somebody here watches: the others are asked. No more: they are told so, and what they said is forgotten. */
void rc_watched_wish(struct rc_shard *sh, struct rc_watched *w) RC_ON_SHARD;
void rc_watched_unwish(struct rc_shard *sh, struct rc_watched *w) RC_ON_SHARD;
/* Frees what it has of others, silently. */
void rc_watched_leave_peers(struct rc_watched *w);
void rc_directory_peers_init(struct rc_shard *sh);

#endif /* RC_BROKER_DIRECTORY_INT_H */

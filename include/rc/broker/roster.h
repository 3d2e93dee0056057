/*
 * roster.h - who is in a room: users, each with the number of their sockets here and the other nodes that say
 * they are there, and what of it has not been told yet.
 *
 *   absent ──first of these──> present ──last of these──> held ──its time──> absent
 *                                 ^──────first of these────┘
 *
 * Who is held counts as present: a user who reconnects in time, to whatever node, makes no change. Changes that
 * cancel each other before they are taken are none.
 *
 * What a shard of another node says comes by a *source*. It says things again, and some too often: a user is
 * there by a source, or not. In a new round all that it has said is stale unless it says it again.
 *
 * What this node says itself is in a *share*: users with sockets here, and those of them that others do not know.
 *
 * Threads:   one at a time; the room's owner.
 * Ownership: users belong to the roster, and are freed once they are absent and that was taken and shared.
 *            A source and a share are the caller's and outlive what is in them: rosters.
 */
#ifndef RC_BROKER_ROSTER_H
#define RC_BROKER_ROSTER_H

#include "rc/base/buf.h"
#include "rc/base/hmap.h"
#include "rc/base/list.h"
#include "rc/base/str.h"
#include "rc/base/timer.h"

#include <stdbool.h>
#include <stdint.h>

struct rc_roster_share;

struct rc_roster {
    struct rc_hmap users;          /* of rc_roster_user */
    struct rc_list changes;        /* of those that may have to be told, oldest first */
    uint32_t count;                /* users that are present or held */
    uint32_t nstays;               /* by sources */
    struct rc_roster_share *share; /* or NULL: others are not told */
};

/* A list of users as JSON, without its brackets. */
struct rc_roster_list {
    struct rc_buf json;
    unsigned n;
    bool more; /* than it may have */
};

void rc_roster_init(struct rc_roster *r, struct rc_roster_share *share);
void rc_roster_deinit(struct rc_roster *r);

/* A socket of that user comes. */
void rc_roster_enter(struct rc_roster *r, struct rc_str user);
/* One that came goes. The last one's user is held in that queue; in one of no duration not at all. */
void rc_roster_leave(struct rc_roster *r, struct rc_str user, struct rc_timerq *held,
                     uint64_t now_ms);
/* What such a queue calls: the time is over. Returns whose user it was. */
struct rc_roster *rc_roster_lapse(struct rc_timer *t);

/* May there be something to tell? */
static inline bool rc_roster_has_changes(const struct rc_roster *r)
{
    return !rc_list_empty(&r->changes);
}
/* Who has come and gone since the last call: at most max in each list. */
void rc_roster_take(struct rc_roster *r, unsigned max, struct rc_roster_list *joined,
                    struct rc_roster_list *left);
/* At most max of those that are counted, in no order. */
void rc_roster_put(const struct rc_roster *r, unsigned max, struct rc_roster_list *list);

/* ---- other nodes ---- */

struct rc_roster_source {
    struct rc_list stays; /* those of the oldest round first */
    uint32_t n;           /* of them */
    uint32_t round, max;  /* set by its owner: the present one; as many users */
};

void rc_roster_source_init(struct rc_roster_source *s, uint32_t max);
/* The source says that the user is there, or no more. False: it has said too much, and is not believed. */
bool rc_roster_arrive(struct rc_roster *r, struct rc_str user, struct rc_roster_source *s);
void rc_roster_depart(struct rc_roster *r, struct rc_str user, struct rc_roster_source *s,
                      struct rc_timerq *held, uint64_t now_ms);
/* A roster with a user of an earlier round of the source, or NULL; and that user departs. */
struct rc_roster *rc_roster_stale(const struct rc_roster_source *s);
void rc_roster_expel(struct rc_roster_source *s, struct rc_timerq *held, uint64_t now_ms);

/* ---- this node ---- */

struct rc_roster_share {
    struct rc_list own;    /* users with sockets here, of all rosters */
    struct rc_list untold; /* others may have to be told of them, oldest first */
};

void rc_roster_share_init(struct rc_roster_share *share);
static inline bool rc_roster_share_has_news(const struct rc_roster_share *share)
{
    return !rc_list_empty(&share->untold);
}

/* here: the user has sockets here. False: it wants no more now. */
typedef bool rc_roster_news_fn(struct rc_roster *r, struct rc_str user, bool here, void *arg);
/* What others do not know yet; it counts as told. */
void rc_roster_tell(struct rc_roster_share *share, rc_roster_news_fn *fn, void *arg);
/* All of that of one roster. */
void rc_roster_tell_of(struct rc_roster *r, rc_roster_news_fn *fn, void *arg);

/* A walk through `own`, which may change between its steps: who is there all the time comes once. One at a time. */
struct rc_roster_walk {
    struct rc_list at, end;
};
void rc_roster_walk_begin(struct rc_roster_share *share, struct rc_roster_walk *w);
/* Goes on until fn wants no more. False: that was all, and the walk has ended. */
bool rc_roster_walk_step(struct rc_roster_walk *w, rc_roster_news_fn *fn, void *arg);
void rc_roster_walk_stop(struct rc_roster_walk *w);

#endif /* RC_BROKER_ROSTER_H */

/*
 * roster.h - who is in a room: users, each with the number of their sockets, and what of it has not
 * been told yet.
 *
 *   absent ──first socket──> present ──last socket──> held ──its time──> absent
 *                               ^──────first socket─────┘
 *
 * Who is held counts as present: a user who reconnects in time makes no change. Changes that cancel
 * each other before they are taken are none.
 *
 * Threads:   one at a time; the room's owner.
 * Ownership: users belong to the roster, and are freed once they are absent and that was taken.
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

struct rc_roster {
    struct rc_hmap users;   /* of rc_roster_user */
    struct rc_list changes; /* of those that may have to be told, oldest first */
    uint32_t count;         /* users that are present or held */
};

/* A list of users as JSON, without its brackets. */
struct rc_roster_list {
    struct rc_buf json;
    unsigned n;
    bool more; /* than it may have */
};

void rc_roster_init(struct rc_roster *r);
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

#endif /* RC_BROKER_ROSTER_H */

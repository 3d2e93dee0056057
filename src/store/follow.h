/*
 * follow.h - messages to users that others put into the same database, in the order of their ids.
 *
 * Ids rise in the order of the commits (batch.c), so when one is there, all that are lower and will ever
 * be are there, too: to follow is to read on from the last one. What this process has put itself is
 * not read again: the store moves `g->followed` past it.
 *
 * Threads:   the store's; before it starts, main.
 * Ownership: of what it reads; news borrow from it.
 */
#ifndef RC_STORE_FOLLOW_H
#define RC_STORE_FOLLOW_H

#include "db.h"
#include "rc/base/buf.h"
#include "rc/broker/store_port.h"

enum { RC_FOLLOW_AT_ONCE = 16 };

/* A row that was read: places in the text. */
struct rc_follow_row {
    uint64_t id;
    enum rc_store_conversation conversation;
    size_t sender, receiver, row, end;
};

struct rc_follow {
    rc_store_news_fn *fn; /* NULL: nobody wants to know */
    void *arg;
    bool begun;                        /* g->followed is set */
    uint64_t doubted_from, doubted_to; /* put here, and nobody knows whether they are there */
    uint64_t told, skipped;            /* messages; how often it was too much */
    struct rc_buf text, ids, group, members, users;
    struct rc_follow_row row[RC_FOLLOW_AT_ONCE];
    unsigned nrows;
};

/* From now on: what is there was there before anybody came. */
enum rc_sql_result rc_follow_begin(struct rc_follow *f, struct rc_db *g);
/* Tells all up to that id, 0: all there are. */
enum rc_sql_result rc_follow_run(struct rc_follow *f, struct rc_db *g, uint64_t upto);
/* The same without looking: users have to. */
void rc_follow_skip(struct rc_follow *f, struct rc_db *g, uint64_t upto);
void rc_follow_deinit(struct rc_follow *f);

#endif /* RC_STORE_FOLLOW_H */

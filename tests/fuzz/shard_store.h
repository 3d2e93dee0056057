/*
 * shard_store.h - a store for fuzz_shard.c: what the input says, it refuses, keeps waiting, answers in any
 * order of the shards, or loses. What it has taken it answers once, and each shard's in its order.
 *
 * Threads: one.
 */
#ifndef RC_TESTS_SHARD_STORE_H
#define RC_TESTS_SHARD_STORE_H

#include "rc/broker/store_port.h"

#include <stdlib.h>
#include <string.h>

enum { STORE_WAITING = 512, STORE_ROWS = 256, STORE_SHARDS = 8, STORE_PAGE = 3 };

struct store_row {
    uint64_t id;
    enum rc_store_conversation conversation;
    char user[16], receiver[16], client_id[16];
};

static struct {
    struct rc_store_port port;
    struct rc_store_req *waiting[STORE_WAITING];
    unsigned nwaiting;
    enum rc_store_fault refuse; /* requests, instead of taking them */
    enum rc_store_fault fail;   /* those that were taken */
    struct store_row row[STORE_ROWS];
    unsigned nrows;
    uint64_t last, cursor[2]; /* of ann and bob */
} store;

static int store_take(void *self, unsigned producer, struct rc_store_req *req)
{
    (void)self;
    req->fault = store.refuse;
    if (store.refuse == RC_STORE_OK && store.nwaiting == STORE_WAITING)
        req->fault = RC_STORE_BUSY;
    if (req->fault != RC_STORE_OK)
        return req->fault == RC_STORE_BUSY ? RC_EFULL : RC_ECLOSED;
    req->producer = producer;
    store.waiting[store.nwaiting++] = req;
    return RC_OK;
}

static void store_stats(const void *self, struct rc_store_stats *to)
{
    (void)self;
    memset(to, 0, sizeof(*to));
}

static void store_open(void)
{
    memset(&store, 0, sizeof(store));
    store.port = (struct rc_store_port){&store, store_take, store_stats};
}

/* ---- answers ---- */

static bool store_is(const char *have, struct rc_str want)
{
    return rc_str_eq(rc_str_of(have), want);
}

static void store_copy(char to[16], struct rc_str text)
{
    size_t n = text.len < 15 ? text.len : 15;

    memcpy(to, text.p, n);
    to[n] = '\0';
}

/* Everybody is in all groups but those whose names begin with x. */
static bool store_in_group(struct rc_str group)
{
    return group.len != 0 && group.p[0] != 'x';
}

static void store_list(struct rc_store_req *req)
{
    rc_store_put_user(req, RC_STR("ann"));
    rc_store_put_user(req, RC_STR("bob"));
}

static void store_put(struct rc_store_req *req)
{
    const struct rc_store_in *in = &req->in;
    bool group = in->conversation == RC_STORE_GROUP;
    struct store_row *row;

    if (group && in->of_member && !store_in_group(in->receiver)) {
        req->fault = RC_STORE_NOT_A_MEMBER;
        return;
    }
    for (unsigned i = 0; i < store.nrows && in->client_id.len != 0; i++)
        if (store_is(store.row[i].client_id, in->client_id) &&
            store_is(store.row[i].user, in->user)) {
            req->id = store.row[i].id;
            req->repeated = true;
            return;
        }
    req->id = ++store.last;
    req->time_ms = 1700000000000;
    if (group)
        store_list(req);
    if (store.nrows == STORE_ROWS)
        return; /* as if somebody had deleted it */
    row = &store.row[store.nrows++];
    row->id = req->id;
    row->conversation = in->conversation;
    store_copy(row->user, in->user);
    store_copy(row->receiver, in->receiver);
    store_copy(row->client_id, in->client_id);
}

static uint64_t *store_cursor(struct rc_str user)
{
    return &store.cursor[rc_str_eq(user, RC_STR("bob"))];
}

static bool store_wants(const struct rc_store_req *req, const struct store_row *row)
{
    const struct rc_store_in *in = &req->in;

    if (req->type == RC_STORE_MISSED)
        return row->id > in->after && (in->whole || row->id > req->id) &&
               !store_is(row->user, in->user) &&
               (row->conversation == RC_STORE_PRIVATE ? store_is(row->receiver, in->user)
                                                      : row->conversation == RC_STORE_GROUP);
    if (req->type == RC_STORE_CONVERSATIONS)
        return row->conversation != RC_STORE_ROOM;
    return row->conversation == in->conversation && store_is(row->receiver, in->receiver);
}

/* Pages are short, so that there are many. */
static void store_rows(struct rc_store_req *req)
{
    req->row = calloc(STORE_PAGE, sizeof(*req->row));
    for (unsigned i = 0; i < store.nrows && !req->more; i++) {
        if (!store_wants(req, &store.row[i]))
            continue;
        if (req->nrows == STORE_PAGE) {
            req->more = true;
            break;
        }
        if (req->nrows != 0)
            rc_buf_putc(&req->rows, ',');
        req->row[req->nrows] =
            (struct rc_store_row){.id = store.row[i].id, .at = req->rows.len};
        rc_buf_printf(&req->rows, "{\"id\":%llu}", (unsigned long long)store.row[i].id);
        req->row[req->nrows].len = req->rows.len - req->row[req->nrows].at;
        req->nrows++;
    }
}

static void store_answer(struct rc_store_req *req)
{
    uint64_t *cursor = store_cursor(req->in.user);

    switch (req->type) {
    case RC_STORE_PUT: store_put(req); break;
    case RC_STORE_MISSED:
        req->id = *cursor;
        store_rows(req);
        break;
    case RC_STORE_HISTORY:
    case RC_STORE_CONVERSATIONS: store_rows(req); break;
    case RC_STORE_CURSOR:
        if (req->in.id > *cursor)
            *cursor = req->in.id;
        req->id = *cursor;
        break;
    case RC_STORE_GROUP_CREATE: req->fault = RC_STORE_GROUP_EXISTS; break;
    case RC_STORE_GROUP_ADD:
    case RC_STORE_GROUP_REMOVE: req->changed = true; break;
    case RC_STORE_GROUP_IS: req->member = store_in_group(req->in.receiver); break;
    case RC_STORE_GROUP_LIST: store_list(req); break;
    case RC_STORE_FOLLOW: break;
    }
}

/* The first one of that shard, or of any. False: there is none. */
static bool store_run_one(unsigned producer)
{
    struct rc_store_req *req;
    unsigned i = 0;

    while (i < store.nwaiting && store.waiting[i]->producer != producer)
        i++;
    if (i == store.nwaiting)
        i = 0;
    if (store.nwaiting == 0)
        return false;
    req = store.waiting[i];
    store.nwaiting--;
    memmove(store.waiting + i, store.waiting + i + 1,
            (store.nwaiting - i) * sizeof(store.waiting[0]));
    req->fault = RC_STORE_OK;
    if (store.fail == RC_STORE_OK || store.fail == RC_STORE_UNKNOWN)
        store_answer(req); /* what nobody knows of is there all the same */
    if (store.fail != RC_STORE_OK)
        req->fault = store.fail;
    req->done(req);
    return true;
}

#endif /* RC_TESTS_SHARD_STORE_H */

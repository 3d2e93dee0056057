#include "fake_store.h"

#include "rc/base/mem.h"
#include "rc/proto/json.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static int on_submit(void *store, unsigned producer, struct rc_store_req *req)
{
    struct fake_store *f = store;

    req->producer = producer;
    if (f->refuse != RC_STORE_OK) {
        req->fault = f->refuse;
        return f->refuse == RC_STORE_BUSY ? RC_EFULL : RC_ECLOSED;
    }
    cr_assert_lt(f->n, (unsigned)FAKE_MAX);
    f->waiting[f->n++] = req;
    return RC_OK;
}

static void on_stats(const void *store, struct rc_store_stats *to)
{
    (void)store;
    *to = (struct rc_store_stats){0};
}

void fake_open(struct fake_store *f, struct rig *r)
{
    if (f->port.store == NULL)
        *f = (struct fake_store){.port = {.store = f, .submit = on_submit, .stats = on_stats},
                                 .time_ms = 1700000000000};
    f->mesh = r->mesh;
    f->nshards = r->n;
    r->app->store = &f->port;
}

void fake_close(struct fake_store *f)
{
    for (unsigned i = 0; i < f->nrows; i++)
        rc_store_req_free(f->row[i]);
    for (unsigned i = 0; i < f->n; i++)
        rc_store_req_free(f->waiting[i]);
    *f = (struct fake_store){.n = 0};
}

void fake_join_group(struct fake_store *f, const char *group, const char *user)
{
    cr_assert_lt(f->nmembers, (unsigned)FAKE_MEMBERS);
    f->member[f->nmembers++] = (struct fake_member){rc_str_of(group), rc_str_of(user)};
}

void fake_leave(struct fake_store *f, const struct rc_store_in *in)
{
    struct rc_store_req *row = rc_store_req_new(RC_STORE_PUT, in, 0);

    cr_assert_lt(f->nrows, (unsigned)FAKE_MAX);
    row->id = f->nrows + 1;
    f->row[f->nrows++] = row;
}

static bool in_group(const struct fake_store *f, struct rc_str group, struct rc_str user)
{
    for (unsigned i = 0; i < f->nmembers; i++)
        if (rc_str_eq(f->member[i].group, group) && rc_str_eq(f->member[i].user, user))
            return true;
    return false;
}

static void list_group(const struct fake_store *f, struct rc_store_req *req)
{
    for (unsigned i = 0; i < f->nmembers; i++)
        if (rc_str_eq(f->member[i].group, req->in.receiver))
            rc_store_put_user(req, f->member[i].user);
}

/* A copy that lasts, as the table's row. */
static void keep(struct fake_store *f, struct rc_store_req *req)
{
    struct rc_store_req *row = rc_store_req_new(RC_STORE_PUT, &req->in, 0);

    cr_assert_lt(f->nrows, (unsigned)FAKE_MAX);
    row->id = req->id = f->nrows + 1;
    row->time_ms = req->time_ms = (int64_t)(f->time_ms + f->nrows);
    f->row[f->nrows++] = row;
}

static void put(struct fake_store *f, struct rc_store_req *req)
{
    const struct rc_store_in *in = &req->in;

    for (unsigned i = 0; i < f->nrows; i++) {
        if (in->client_id.len == 0 || !rc_str_eq(f->row[i]->in.user, in->user) ||
            !rc_str_eq(f->row[i]->in.client_id, in->client_id))
            continue;
        req->id = f->row[i]->id;
        req->time_ms = f->row[i]->time_ms;
        req->repeated = true;
        return;
    }
    if (in->conversation == RC_STORE_GROUP && in->of_member &&
        !in_group(f, in->receiver, in->user)) {
        req->fault = RC_STORE_NOT_A_MEMBER;
        return;
    }
    keep(f, req);
    if (in->conversation == RC_STORE_GROUP)
        list_group(f, req);
}

static uint64_t *cursor_of(struct fake_store *f, struct rc_str user)
{
    for (unsigned i = 0; i < f->ncursors; i++)
        if (rc_str_eq(rc_str_of(f->cursor[i].user), user))
            return &f->cursor[i].id;
    cr_assert_lt(f->ncursors, (unsigned)FAKE_MEMBERS);
    memcpy(f->cursor[f->ncursors].user, user.p, user.len);
    return &f->cursor[f->ncursors++].id;
}

static bool is_missed(const struct fake_store *f, const struct rc_store_in *row,
                      struct rc_str user)
{
    if (rc_str_eq(row->user, user))
        return false;
    return (row->conversation == RC_STORE_PRIVATE && rc_str_eq(row->receiver, user)) ||
           (row->conversation == RC_STORE_GROUP && in_group(f, row->receiver, user));
}

static void put_row(struct rc_store_req *req, const struct rc_store_req *row)
{
    struct rc_buf *b = &req->rows;
    size_t at;

    if (req->nrows != 0)
        rc_buf_putc(b, ',');
    at = b->len;
    rc_buf_printf(b, "{\"id\":%u,\"sender_id\":\"%.*s\",\"content\":", (unsigned)row->id,
                  RC_STR_ARG(row->in.user));
    if (row->in.format == RC_STORE_TEXT)
        rc_json_string_encode(row->in.content, b);
    else
        rc_buf_puts(b, row->in.content);
    rc_buf_putc(b, '}');
    req->row = rc_realloc(req->row, (req->nrows + 1) * sizeof(*req->row));
    req->row[req->nrows++] = (struct rc_store_row){.id = row->id, .at = at, .len = b->len - at};
}

static void missed(struct fake_store *f, struct rc_store_req *req)
{
    uint64_t cursor = *cursor_of(f, req->in.user);
    uint64_t after = cursor > req->in.after && !req->in.whole ? cursor : req->in.after;

    req->id = cursor;
    for (unsigned i = 0; i < f->nrows && !req->more; i++) {
        if (f->row[i]->id <= after || !is_missed(f, &f->row[i]->in, req->in.user))
            continue;
        req->more = req->nrows == req->in.limit;
        if (!req->more)
            put_row(req, f->row[i]);
    }
}

/* Rooms only. */
static void history(struct fake_store *f, struct rc_store_req *req)
{
    const struct rc_store_in *in = &req->in;
    uint32_t limit = in->limit != 0 ? in->limit : 100, n = 0;
    const struct rc_store_req *pick[FAKE_MAX];

    for (unsigned i = 0; i < f->nrows; i++) {
        const struct rc_store_req *row = f->row[in->forward ? i : f->nrows - 1 - i];

        if (row->in.conversation != in->conversation ||
            !rc_str_eq(row->in.receiver, in->receiver) || row->id <= in->after ||
            (in->before != 0 && row->id >= in->before))
            continue;
        if (n == limit) {
            req->more = true;
            break;
        }
        pick[n++] = row;
    }
    for (uint32_t i = 0; i < n; i++)
        put_row(req, pick[in->forward ? i : n - 1 - i]);
}

static void carry_out(struct fake_store *f, struct rc_store_req *req)
{
    uint64_t *cursor;

    req->fault = f->fail;
    if (f->fail == RC_STORE_UNKNOWN && req->type == RC_STORE_PUT) {
        put(f, req);
        req->fault = f->fail; /* and it was stored */
    }
    if (f->fail != RC_STORE_OK)
        return;
    switch (req->type) {
    case RC_STORE_PUT: put(f, req); break;
    case RC_STORE_HISTORY: history(f, req); break;
    case RC_STORE_MISSED: missed(f, req); break;
    case RC_STORE_CURSOR:
        cursor = cursor_of(f, req->in.user);
        if (req->in.id > *cursor)
            *cursor = req->in.id;
        f->cursors++;
        break;
    case RC_STORE_GROUP_IS: req->member = in_group(f, req->in.receiver, req->in.user); break;
    case RC_STORE_GROUP_LIST: list_group(f, req); break;
    case RC_STORE_CONVERSATIONS:
    case RC_STORE_FOLLOW: break;
    case RC_STORE_GROUP_CREATE:
    case RC_STORE_GROUP_ADD:
    case RC_STORE_GROUP_REMOVE: req->changed = true; break;
    }
}

unsigned fake_run(struct fake_store *f, unsigned n)
{
    unsigned done = 0;

    for (; done < n && done < f->n; done++) {
        carry_out(f, f->waiting[done]);
        f->waiting[done]->done(f->waiting[done]);
    }
    f->n -= done;
    memmove(f->waiting, f->waiting + done, f->n * sizeof(f->waiting[0]));
    (void)rc_mesh_wake(f->mesh, rc_mesh_store(f->nshards));
    return done;
}

void fake_settle(struct fake_store *f, struct rig *r)
{
    do
        rig_settle(r);
    while (fake_run(f, FAKE_MAX) != 0 || !rc_mesh_wake(f->mesh, rc_mesh_store(f->nshards)));
}

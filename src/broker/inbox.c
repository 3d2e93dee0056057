/* inbox.c - messages to users, live and missed: what their rooms' owners and their devices' shards do. */
#include "rc/broker/inbox.h"

#include "rc/base/mem.h"
#include "rc/broker/mesh.h"
#include "rc/broker/news.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"
#include "rc/broker/space.h"
#include "rc/broker/stored.h"
#include "rc/proto/sio.h"

#include <stdlib.h>
#include <string.h>

enum {
    PAGE_ROWS = 100,
    HELD_MAX = 16,
    RETRY_MS = 1000,   /* after the store could not answer */
    CURSOR_MS = 1000,  /* from one cursor of a user to the next */
    CURSORS_MAX = 256, /* at once: clients' requests need room, too */
    CURSORS_MS = 50,   /* until the next ones */
    ASKED_MAX = 32,    /* questions of those who wait under way at once */
    ASKED_MS = 10,     /* until the next of them */
    READY_MS = 10,     /* from one look at the devices' queues to the next */
};

/* A room in the list of a publication; behind it its name. */
struct entry {
    uint64_t hash;
    uint32_t len;
    bool own; /* of who sent it */
};

/* A user with devices, to the owner of their room. */
struct rc_inbox {
    struct rc_room *room;
    uint64_t last;   /* all up to this message was handed out, or needs not be */
    uint64_t seen;   /* by devices that have left */
    uint64_t cursor; /* as it was stored when the store was asked last */
    uint64_t asked;  /* number of the question under way, 0: none */
    bool catching;   /* live messages pass by */
    bool
        begun; /* it has had an answer: what is above `last` is wanted, whatever the cursor says,
                      * which devices on other nodes may have moved */
    /* What pages leave out, above the first of these and up to the second: the devices have got it. */
    uint64_t skip_above, skip_to;
    struct rc_list retry;
    unsigned nheld;
    struct {
        struct rc_pub *pub;
        rc_id except;
    } held[HELD_MAX]; /* the user's own, which nobody has missed: until the pages are done */
};

/* A page that devices here were given. */
struct rc_inbox_page {
    rc_id lroom;
    struct rc_pub *pub;
};

/* What is needed again when the store has answered. */
struct question {
    const struct rc_app *app; /* held */
    uint64_t hash, asked;
    uint64_t skip_above, skip_to;
    uint32_t len;
    uint16_t nsp;
    char key[];
};

/* ---- lists of users ---- */

uint64_t rc_inbox_list(const struct rc_app *app, uint16_t nsp, unsigned nshards,
                       struct rc_str user, bool own, struct rc_buf *list)
{
    struct rc_buf key = RC_BUF_INIT;
    struct entry e = {.own = own};

    rc_space_put_user_key(RC_STR_NONE, user, &key);
    e.hash = rc_space_app_hash(app, nsp, rc_buf_str(&key));
    e.len = (uint32_t)key.len;
    rc_buf_put(list, &e, sizeof(e));
    rc_buf_puts(list, rc_buf_str(&key));
    rc_buf_deinit(&key);
    return (uint64_t)1 << rc_room_owner_of(nshards, e.hash);
}

static bool next_entry(struct rc_str *rest, struct entry *e, struct rc_str *key)
{
    if (rest->len < sizeof(*e))
        return false;
    memcpy(e, rest->p, sizeof(*e));
    *key = rc_str_make(rest->p + sizeof(*e), e->len);
    *rest = rc_str_skip(*rest, sizeof(*e) + e->len);
    return true;
}

/* ---- what was missed: on the store's thread ---- */

void rc_inbox_put_row(struct rc_str nsp, struct rc_str row, struct rc_buf *packet,
                      struct rc_buf *to)
{
    rc_frames_begin(packet);
    rc_sio_put_head(packet, RC_SIO_EVENT, 0, nsp, false, 0);
    rc_buf_putz(packet, "[\"message\",");
    rc_buf_puts(packet, row);
    rc_buf_putc(packet, ']');
    rc_frames_end(packet);
    rc_buf_puts(to, rc_frames(packet));
}

static void on_missed(struct rc_store_req *req)
{
    const struct question *q = req->context;
    unsigned nshards = rc_mesh_shards(req->arg);
    struct rc_buf packet = RC_BUF_INIT, page = RC_BUF_INIT;
    struct rc_msg msg = {.type = RC_MSG_MISSED};
    uint32_t n = 0;

    msg.u.missed.asked = q->asked;
    msg.u.missed.fault = (uint8_t)req->fault;
    if (req->fault == RC_STORE_OK) {
        n = rc_stored_rows_within(req, false, q->app->conf->limits_max_queue / 4);
        msg.u.missed.more = req->more || n != req->nrows;
        msg.u.missed.cursor = req->id;
    }
    for (uint32_t i = 0; i < n; i++)
        if (req->row[i].id <= q->skip_above || req->row[i].id > q->skip_to)
            rc_inbox_put_row(q->app->nsp[q->nsp].name,
                             rc_str_make(req->rows.data + req->row[i].at, req->row[i].len),
                             &packet, &page);
    msg.u.missed.first = n != 0 ? req->row[0].id : 0;
    msg.u.missed.pub =
        rc_pub_new(q->nsp, rc_str_make(q->key, q->len), q->hash, page.data, page.len);
    msg.u.missed.pub->message = n != 0 ? req->row[n - 1].id : 0;
    msg.u.missed.pub->is_page = msg.u.missed.more;
    rc_mesh_post(req->arg, rc_mesh_store(nshards), rc_room_owner_of(nshards, q->hash), &msg);
    rc_buf_deinit(&packet);
    rc_buf_deinit(&page);
    rc_app_let_go(q->app);
    rc_store_req_free(req);
}

void rc_inbox_doubt(struct rc_mesh *mesh, const struct rc_app *app, uint16_t nsp,
                    struct rc_str user)
{
    unsigned nshards = rc_mesh_shards(mesh);
    struct rc_msg msg = {.type = RC_MSG_INBOX_READY};
    struct rc_buf key = RC_BUF_INIT;
    uint64_t hash;

    rc_space_put_user_key(RC_STR_NONE, user, &key);
    hash = rc_space_app_hash(app, nsp, rc_buf_str(&key));
    msg.u.deliver.pub = rc_pub_new(nsp, rc_buf_str(&key), hash, NULL, 0);
    rc_mesh_post(mesh, rc_mesh_store(nshards), rc_room_owner_of(nshards, hash), &msg);
    rc_buf_deinit(&key);
}

void rc_inbox_doubt_all(struct rc_mesh *mesh, uint16_t nsp)
{
    unsigned nshards = rc_mesh_shards(mesh);
    struct rc_msg msg = {.type = RC_MSG_INBOX_READY};

    for (unsigned to = 0; to < nshards; to++) {
        msg.u.deliver.pub = rc_pub_new(nsp, RC_STR_NONE, 0, NULL, 0);
        rc_mesh_post(mesh, rc_mesh_store(nshards), to, &msg);
    }
}

/* ---- the owner ---- */

static struct rc_str key_of(const struct rc_room *r)
{
    return rc_str_make(r->name, r->name_len);
}

/* It asks later. */
RC_ON_SHARD static void ask_later(struct rc_shard *sh, struct rc_inbox *in, uint64_t in_ms)
{
    rc_list_append(&sh->inbox_retry, &in->retry);
    if (!rc_timer_running(&sh->inbox_retry_timer))
        rc_timer_start_in(&sh->q_inbox_retry, &sh->inbox_retry_timer, sh->loop.now_ms, in_ms);
}

/* Asks for the next page; later, if the store takes nothing now. */
RC_ON_SHARD static void ask(struct rc_shard *sh, struct rc_inbox *in)
{
    const struct rc_room *r = in->room;
    struct rc_store_in what = {.user = rc_space_user(key_of(r)),
                               .after = in->last,
                               .whole = in->begun,
                               .limit = PAGE_ROWS,
                               .rows_size = sh->app->conf->limits_max_queue / 4};
    struct rc_store_req *req =
        rc_store_req_new(RC_STORE_MISSED, &what, sizeof(struct question) + r->name_len);
    struct question *q = req != NULL ? req->context : NULL;

    if (q != NULL) {
        q->app = sh->app;
        rc_app_hold(q->app);
        q->hash = r->hash;
        q->nsp = r->nsp;
        q->asked = ++sh->inbox_asked;
        q->skip_above = in->skip_above;
        q->skip_to = in->skip_to;
        q->len = r->name_len;
        memcpy(q->key, r->name, r->name_len);
        req->done = on_missed;
        req->arg = sh->mesh;
        in->asked = q->asked;
        if (rc_store_submit(sh->app->store, sh->index, req) == RC_OK) {
            sh->inbox_under_way++;
            return;
        }
        rc_app_let_go(sh->app);
        rc_store_req_free(req);
    }
    in->asked = 0;
    ask_later(sh, in, RETRY_MS);
}

static bool is_behind(const struct rc_room *r)
{
    for (unsigned i = 0; i < r->nshards; i++)
        if (r->shard[i].behind)
            return true;
    return false;
}

/* The next page, once the last one is out of the way. */
RC_ON_SHARD static void go_on(struct rc_shard *sh, struct rc_inbox *in)
{
    if (in->catching && in->asked == 0 && !rc_list_linked(&in->retry) && !is_behind(in->room))
        ask(sh, in);
}

/* Hands out what was held and comes before that id. */
RC_ON_SHARD static void let_go(struct rc_shard *sh, struct rc_inbox *in, uint64_t before)
{
    unsigned n = 0;

    while (n < in->nheld && in->held[n].pub->message < before) {
        if (in->held[n].pub->message > in->last)
            in->last = in->held[n].pub->message;
        rc_room_hand_out(sh, in->room, in->held[n].pub, in->held[n].except);
        rc_pub_unref(&in->held[n++].pub);
    }
    in->nheld -= n;
    memmove(in->held, in->held + n, in->nheld * sizeof(in->held[0]));
}

/* Hands out what was held before the pages are done: it tells nobody how far the user has got, for what
 * was missed has lower ids. */
RC_ON_SHARD static void hurry(struct rc_shard *sh, struct rc_inbox *in)
{
    struct rc_room *r = in->room;

    for (unsigned i = 0; i < in->nheld; i++) {
        struct rc_str frames = rc_pub_data(in->held[i].pub);
        struct rc_pub *copy = rc_pub_new(r->nsp, key_of(r), r->hash, frames.p, frames.len);

        rc_room_hand_out(sh, r, copy, in->held[i].except);
        rc_pub_unref(&copy);
        rc_pub_unref(&in->held[i].pub);
    }
    in->nheld = 0;
}

/* A live message. Borrows pub. */
RC_ON_SHARD static void give(struct rc_shard *sh, struct rc_inbox *in, struct rc_pub *pub,
                             rc_id except, bool own)
{
    if (in->catching && own) {
        if (in->nheld == HELD_MAX)
            hurry(sh, in);
        in->held[in->nheld].pub = rc_pub_ref(pub);
        in->held[in->nheld++].except = except;
    } else if (!in->catching && pub->message > in->last) {
        in->last = pub->message;
        rc_room_hand_out(sh, in->room, pub, except);
    }
}

void rc_inbox_publish(struct rc_shard *sh, struct rc_pub *pub, rc_id except)
{
    struct rc_str rest = rc_pub_room(pub), key;
    struct entry e;

    rc_stat_add(&sh->stats.published, 1);
    if (!pub->from_bus)
        rc_news_stored(sh, pub);
    while (next_entry(&rest, &e, &key)) {
        struct rc_room *r = rc_room_owner(sh, e.hash) == sh->index
                                ? rc_room_find(sh, pub->nsp, key, e.hash)
                                : NULL;

        if (r != NULL && r->inbox != NULL)
            give(sh, r->inbox, pub, except, e.own);
    }
    rc_pub_unref(&pub);
}

void rc_inbox_joined(struct rc_shard *sh, struct rc_room *r)
{
    if (r->inbox != NULL || !sh->app->nsp[r->nsp].rules.uses_messages ||
        sh->app->store == NULL || rc_space_user(key_of(r)).len == 0)
        return;
    r->inbox = rc_calloc(1, sizeof(*r->inbox));
    r->inbox->room = r;
    r->inbox->catching = true;
    ask(sh, r->inbox);
}

void rc_inbox_free(struct rc_inbox *in)
{
    if (in == NULL)
        return;
    if (rc_list_linked(&in->retry))
        rc_list_remove(&in->retry);
    for (unsigned i = 0; i < in->nheld; i++)
        rc_pub_unref(&in->held[i].pub);
    free(in);
}

/* Whether it is stored or not: at worst messages come again. */
RC_ON_SHARD static bool store_cursor(struct rc_shard *sh, struct rc_str key, uint64_t id)
{
    const struct rc_store_in in = {.user = rc_space_user(key), .id = id};

    return rc_stored_submit(sh, NULL, 0, RC_STORE_CURSOR, &in, NULL) == RC_STORE_OK;
}

/* Devices that came while others were there take it that these got what had been handed out before.
 * Now those have left, and did not: they were gone already. */
RC_ON_SHARD static void close_gap(struct rc_shard *sh, struct rc_inbox *in)
{
    struct rc_room *r = in->room;
    uint64_t got = in->seen > in->cursor ? in->seen : in->cursor, since = UINT64_MAX;

    for (unsigned i = 0; i < r->nshards; i++)
        if (r->shard[i].since < since)
            since = r->shard[i].since;
    if (since > got) {
        for (unsigned i = 0; i < r->nshards; i++)
            r->shard[i].since = got;
        in->skip_above = since;
        in->skip_to = in->last;
        in->last = got;
        in->catching = true;
        in->asked = 0; /* an answer that is under way is no longer wanted */
    }
    go_on(sh, in);
}

uint64_t rc_inbox_last(const struct rc_room *r)
{
    return r->inbox != NULL ? r->inbox->last : 0;
}

void rc_inbox_left(struct rc_shard *sh, struct rc_room *r, uint64_t seen)
{
    struct rc_inbox *in = r->inbox;

    if (in == NULL)
        return;
    if (seen > in->seen)
        in->seen = seen;
    if (r->members != 0) {
        close_gap(sh, in);
        return;
    }
    if (in->seen > in->cursor)
        (void)store_cursor(sh, key_of(r), in->seen);
    rc_inbox_free(in);
    r->inbox = NULL;
}

/* Takes over pub. */
RC_ON_SHARD static void take_page(struct rc_shard *sh, struct rc_inbox *in,
                                  const struct rc_msg *msg)
{
    struct rc_room *r = in->room;
    struct rc_pub *page = msg->u.missed.pub;

    in->asked = 0;
    if (msg->u.missed.fault != RC_STORE_OK) {
        ask_later(sh, in, RETRY_MS);
        rc_pub_unref(&page);
        return;
    }
    in->cursor = msg->u.missed.cursor;
    if (!in->begun && in->last < in->cursor)
        in->last = in->cursor;
    in->begun = true;
    if (page->message != 0) {
        let_go(sh, in, msg->u.missed.first);
        in->last = page->message;
    }
    if (page->len != 0) {
        for (unsigned i = 0; i < r->nshards; i++)
            r->shard[i].behind = page->is_page;
        rc_room_hand_out(sh, r, page, 0);
    }
    if (msg->u.missed.more) {
        go_on(sh, in);
    } else {
        in->catching = false;
        let_go(sh, in, UINT64_MAX);
    }
    rc_pub_unref(&page);
}

/* Of a shard: its devices have taken the page. Of the store: there may be messages that were not handed
 * out. */
RC_ON_SHARD static void take_ready(struct rc_shard *sh, struct rc_room *r, unsigned from)
{
    if (from >= sh->nshards)
        r->inbox->catching = true;
    for (unsigned i = 0; i < r->nshards; i++)
        if (r->shard[i].shard == from)
            r->shard[i].behind = false;
    go_on(sh, r->inbox);
}

/* Of the store: there may be messages to anybody that were not handed out. */
RC_ON_SHARD static void doubt_all(struct rc_shard *sh)
{
    const struct rc_room *r;
    uint32_t cursor = 0;

    while ((r = rc_hmap_next(&sh->room_by_name, &cursor)) != NULL) {
        if (r->inbox == NULL)
            continue;
        r->inbox->catching = true; /* the answer to a question under way knows of them */
        if (r->inbox->asked == 0 && !rc_list_linked(&r->inbox->retry))
            ask_later(sh, r->inbox, ASKED_MS);
    }
}

void rc_inbox_mail(struct rc_shard *sh, struct rc_msg *msg)
{
    bool is_page = msg->type == RC_MSG_MISSED;
    struct rc_pub *pub = is_page ? msg->u.missed.pub : msg->u.deliver.pub;
    struct rc_room *r = rc_room_find(sh, pub->nsp, rc_pub_room(pub), pub->hash);
    struct rc_inbox *in = r != NULL ? r->inbox : NULL;

    if (is_page && sh->inbox_under_way != 0)
        sh->inbox_under_way--;
    if (!is_page && pub->room_len == 0)
        doubt_all(sh);
    if (is_page && in != NULL && in->asked == msg->u.missed.asked) {
        take_page(sh, in, msg);
        return;
    }
    if (!is_page && in != NULL)
        take_ready(sh, r, msg->from);
    rc_pub_unref(&pub);
}

/* Not all at once: others have questions, too. */
static void on_retry(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_list turn;

    rc_assert_on_shard(sh);
    rc_list_init(&turn);
    for (uint32_t n = sh->inbox_under_way; n < ASKED_MAX && !rc_list_empty(&sh->inbox_retry);
         n++) {
        struct rc_list *link = sh->inbox_retry.next;

        rc_list_remove(link);
        rc_list_append(&turn, link);
    }
    while (!rc_list_empty(&turn)) {
        struct rc_inbox *in = RC_CONTAINER(turn.next, struct rc_inbox, retry);

        rc_list_remove(&in->retry);
        go_on(sh, in);
    }
    if (!rc_list_empty(&sh->inbox_retry) && !rc_timer_running(t))
        rc_timer_start_in(&sh->q_inbox_retry, t, sh->loop.now_ms, ASKED_MS);
}

/* ---- the shard of devices ---- */

static struct rc_lroom *lroom_of(const struct rc_shard *sh, rc_id id)
{
    return rc_pool_find(&sh->lrooms, rc_id_slot(id), rc_id_gen(id));
}

static void note_cursor(struct rc_shard *sh, struct rc_lroom *lr)
{
    if (lr->cursor_moved)
        return;
    lr->cursor_moved = true;
    rc_ids_add(&sh->inbox_cursors, rc_id_make(sh->index, lr->hdr.slot, lr->hdr.gen));
    if (!rc_timer_running(&sh->inbox_cursor_timer))
        rc_timer_start(&sh->q_inbox_cursor, &sh->inbox_cursor_timer, sh->loop.now_ms);
}

void rc_inbox_given(struct rc_shard *sh, rc_id lroom, struct rc_pub *pub)
{
    struct rc_lroom *lr = lroom_of(sh, lroom);
    struct rc_inbox_page page = {.lroom = lroom};

    if (lr != NULL && lr->n != 0 && pub->message > lr->seen) {
        lr->seen = pub->message;
        note_cursor(sh, lr);
    }
    if (!pub->is_page)
        return;
    page.pub = rc_pub_ref(pub);
    rc_buf_put(&sh->inbox_pages, &page, sizeof(page));
    if (!rc_timer_running(&sh->inbox_page_timer))
        rc_timer_start(&sh->q_inbox_page, &sh->inbox_page_timer, sh->loop.now_ms);
}

static void store_cursors(struct rc_shard *sh, uint32_t max)
{
    struct rc_ids moved = sh->inbox_cursors;

    rc_assert_on_shard(sh);
    sh->inbox_cursors = (struct rc_ids){0};
    for (uint32_t i = max; i < moved.n; i++)
        rc_ids_add(&sh->inbox_cursors, moved.id[i]);
    for (uint32_t i = 0; i < moved.n && i < max; i++) {
        struct rc_lroom *lr = lroom_of(sh, moved.id[i]);

        if (lr == NULL) /* its LEAVE has told the owner */
            continue;
        lr->cursor_moved = false;
        if (!store_cursor(sh, rc_pub_room(lr->name), lr->seen))
            note_cursor(sh, lr);
    }
    if (moved.n > max)
        rc_timer_start_in(&sh->q_inbox_cursor, &sh->inbox_cursor_timer, sh->loop.now_ms,
                          CURSORS_MS);
    rc_ids_deinit(&moved);
}

static void on_cursors(struct rc_timer *t, void *arg)
{
    (void)t;
    store_cursors(arg, CURSORS_MAX);
}

void rc_inbox_stop(struct rc_shard *sh)
{
    store_cursors(sh, UINT32_MAX);
}

/* Can the devices take another page? */
static bool is_ready(const struct rc_shard *sh, const struct rc_lroom *lr)
{
    for (uint32_t i = 0; lr != NULL && i < lr->n; i++)
        if (rc_outq_cost(&lr->member[i].session->out) > sh->app->conf->limits_max_queue / 4)
            return false;
    return true;
}

static void on_pages(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_buf pages = sh->inbox_pages;
    struct rc_inbox_page page;

    (void)t;
    rc_assert_on_shard(sh);
    sh->inbox_pages = (struct rc_buf){0};
    for (size_t at = 0; at < pages.len; at += sizeof(page)) {
        struct rc_msg msg = {.type = RC_MSG_INBOX_READY, .from = (uint8_t)sh->index};
        unsigned owner;

        memcpy(&page, pages.data + at, sizeof(page));
        if (!is_ready(sh, lroom_of(sh, page.lroom))) {
            rc_buf_put(&sh->inbox_pages, &page, sizeof(page));
            continue;
        }
        owner = rc_room_owner(sh, page.pub->hash);
        msg.u.deliver.pub = page.pub;
        if (owner == sh->index)
            rc_inbox_mail(sh, &msg);
        else
            rc_shard_post(sh, owner, &msg);
    }
    rc_buf_deinit(&pages);
    if (sh->inbox_pages.len != 0 && !rc_timer_running(&sh->inbox_page_timer))
        rc_timer_start(&sh->q_inbox_page, &sh->inbox_page_timer, sh->loop.now_ms);
}

/* ---- life ---- */

void rc_inbox_init(struct rc_shard *sh)
{
    rc_list_init(&sh->inbox_retry);
    rc_timerq_init(&sh->q_inbox_retry, RETRY_MS, on_retry, sh);
    rc_timerq_init(&sh->q_inbox_cursor, CURSOR_MS, on_cursors, sh);
    rc_timerq_init(&sh->q_inbox_page, READY_MS, on_pages, sh);
    rc_loop_add_timerq(&sh->loop, &sh->q_inbox_retry);
    rc_loop_add_timerq(&sh->loop, &sh->q_inbox_cursor);
    rc_loop_add_timerq(&sh->loop, &sh->q_inbox_page);
}

void rc_inbox_deinit(struct rc_shard *sh)
{
    struct rc_inbox_page page;

    for (size_t at = 0; at < sh->inbox_pages.len; at += sizeof(page)) {
        memcpy(&page, sh->inbox_pages.data + at, sizeof(page));
        rc_pub_unref(&page.pub);
    }
    rc_buf_deinit(&sh->inbox_pages);
    rc_ids_deinit(&sh->inbox_cursors);
}

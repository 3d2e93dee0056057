/* follow.c - reads on in the table of messages, and tells what others have put there. */
#include "follow.h"

#include "request.h"

#include <string.h>

enum {
    IDS_AT_ONCE = 512,
    TEXT_KEPT = 1 << 20,
    BEHIND_MAX = 50000, /* ids; then the users ask for theirs */
};

enum rc_sql_result rc_follow_begin(struct rc_follow *f, struct rc_db *g)
{
    uint64_t last = 0;
    enum rc_sql_result rc = RC_SQL_OK;

    if (f->fn != NULL && !f->begun)
        rc = rc_db_number(g, RC_STMT_MAX_ID, NULL, &last);
    if (rc == RC_SQL_OK && f->fn != NULL && !f->begun) {
        g->follows = f->begun = true;
        g->followed = last;
    }
    return rc;
}

void rc_follow_skip(struct rc_follow *f, struct rc_db *g, uint64_t upto)
{
    const struct rc_store_news all = {.id = 0};

    if (upto <= g->followed)
        return;
    g->followed = upto;
    f->skipped++;
    f->fn(f->arg, &all);
}

/* ---- reading ---- */

static bool add_id(const struct rc_sql_value *column, void *arg)
{
    struct rc_follow *f = arg;
    uint64_t id = (uint64_t)column[0].number;

    rc_buf_put(&f->ids, &id, sizeof(id));
    return true;
}

static bool add_row(const struct rc_sql_value *column, void *arg)
{
    struct rc_follow *f = arg;
    struct rc_follow_row *r = &f->row[f->nrows];
    struct rc_str sender = column[RC_COL_SENDER].text, receiver = column[RC_COL_RECEIVER].text;

    r->id = (uint64_t)column[RC_COL_ID].number;
    /* Names that are too long to be ours: another program's. */
    if (!rc_request_conversation(column, &r->conversation) || sender.len > RC_STORE_NAME_MAX ||
        receiver.len > RC_STORE_NAME_MAX)
        return true;
    r->sender = f->text.len;
    rc_buf_puts(&f->text, sender);
    r->receiver = f->text.len;
    rc_buf_puts(&f->text, receiver);
    r->row = f->text.len;
    rc_request_put_row(RC_STR_NONE, column, &f->text);
    r->end = f->text.len;
    return ++f->nrows < RC_FOLLOW_AT_ONCE;
}

static enum rc_sql_result read_rows(struct rc_follow *f, struct rc_db *g, const uint64_t *id,
                                    unsigned n)
{
    struct rc_sql_value p[RC_SQL_PARAMETERS];
    struct rc_sql_query q = {RC_STMT_ROWS, p, add_row, f};
    enum rc_sql_result rc;

    _Static_assert((int)RC_FOLLOW_AT_ONCE == (int)RC_SQL_PARAMETERS, "all of them");
    for (unsigned i = 0; i < RC_SQL_PARAMETERS; i++)
        p[i] = rc_sql_int(i < n ? id[i] : 0);
    rc_buf_reset(&f->text);
    f->nrows = 0;
    rc = g->ops->run(g, &q);
    return rc == RC_SQL_OK && f->text.failed ? RC_SQL_REFUSED : rc;
}

/* ---- groups ---- */

static void put_name(struct rc_buf *to, struct rc_str name)
{
    uint16_t len = (uint16_t)name.len;

    rc_buf_put(to, &len, sizeof(len));
    rc_buf_puts(to, name);
}

static bool add_member(const struct rc_sql_value *column, void *arg)
{
    struct rc_follow *f = arg;
    uint64_t since = (uint64_t)column[1].number;

    if (column[0].text.len > RC_STORE_NAME_MAX)
        return true;
    put_name(&f->members, column[0].text);
    rc_buf_put(&f->members, &since, sizeof(since));
    return true;
}

/* The members of a group: those of the last one are still known. */
static enum rc_sql_result read_members(struct rc_follow *f, struct rc_db *g,
                                       struct rc_str group)
{
    struct rc_sql_value p[] = {rc_sql_text(group), rc_sql_int(g->conf->store_group_limit)};
    struct rc_sql_query q = {RC_STMT_MEMBERS_SINCE, p, add_member, f};

    if (f->group.len != 0 && rc_str_eq(rc_buf_str(&f->group), group))
        return RC_SQL_OK;
    rc_buf_reset(&f->group);
    rc_buf_puts(&f->group, group);
    rc_buf_reset(&f->members);
    return g->ops->run(g, &q);
}

/* Those who were in it before that message. */
static void choose_members(struct rc_follow *f, uint64_t id)
{
    struct rc_str rest = rc_buf_str(&f->members), user;
    uint64_t since;

    rc_buf_reset(&f->users);
    while (rc_store_next_user(&rest, &user)) {
        memcpy(&since, rest.p, sizeof(since));
        rest = rc_str_skip(rest, sizeof(since));
        if (since < id)
            put_name(&f->users, user);
    }
}

/* ---- telling ---- */

static struct rc_str part(const struct rc_follow *f, size_t from, size_t to)
{
    return rc_str_make(f->text.data + from, to - from);
}

static enum rc_sql_result tell(struct rc_follow *f, struct rc_db *g,
                               const struct rc_follow_row *r)
{
    struct rc_store_news news = {.id = r->id,
                                 .conversation = r->conversation,
                                 .sender = part(f, r->sender, r->receiver),
                                 .receiver = part(f, r->receiver, r->row),
                                 .row = part(f, r->row, r->end)};
    enum rc_sql_result rc = RC_SQL_OK;

    news.doubted = r->id >= f->doubted_from && r->id <= f->doubted_to;
    if (r->conversation == RC_STORE_GROUP) {
        rc = read_members(f, g, news.receiver);
        choose_members(f, r->id);
        news.users = rc_buf_str(&f->users);
    }
    if (rc != RC_SQL_OK || f->members.failed || f->users.failed)
        return rc == RC_SQL_OK ? RC_SQL_REFUSED : rc;
    f->fn(f->arg, &news);
    f->told++;
    g->followed = r->id;
    return RC_SQL_OK;
}

/* Some of what is there. */
static enum rc_sql_result read_on(struct rc_follow *f, struct rc_db *g, uint64_t upto)
{
    struct rc_sql_value p[] = {rc_sql_int(g->followed), rc_sql_int(upto + 1),
                               rc_sql_int(IDS_AT_ONCE)};
    struct rc_sql_query q = {RC_STMT_NEWS, p, add_id, f};
    enum rc_sql_result rc;
    unsigned n;

    rc_buf_reset(&f->ids);
    rc_buf_reset(&f->group); /* its members may be others now */
    rc = g->ops->run(g, &q);
    n = (unsigned)(f->ids.len / sizeof(uint64_t));
    for (unsigned i = 0; rc == RC_SQL_OK && i < n; i += RC_FOLLOW_AT_ONCE) {
        uint64_t id[RC_FOLLOW_AT_ONCE];
        unsigned some = n - i < RC_FOLLOW_AT_ONCE ? n - i : RC_FOLLOW_AT_ONCE;

        memcpy(id, f->ids.data + i * sizeof(*id), some * sizeof(*id));
        rc = read_rows(f, g, id, some);
        for (unsigned k = 0; rc == RC_SQL_OK && k < f->nrows; k++)
            rc = tell(f, g, &f->row[k]);
        if (rc == RC_SQL_OK)
            memcpy(&g->followed, f->ids.data + (i + some - 1) * sizeof(*id), sizeof(*id));
    }
    if (rc == RC_SQL_OK && n < IDS_AT_ONCE)
        g->followed = upto;
    return rc;
}

enum rc_sql_result rc_follow_run(struct rc_follow *f, struct rc_db *g, uint64_t upto)
{
    enum rc_sql_result rc = RC_SQL_OK;

    if (f->fn == NULL)
        return RC_SQL_OK;
    /* A look of its own: what comes to be seen while the rows are read may have gaps before it. */
    if (upto == 0)
        rc = rc_db_number(g, RC_STMT_MAX_ID, NULL, &upto);
    if (rc == RC_SQL_OK && upto > g->followed + BEHIND_MAX)
        rc_follow_skip(f, g, upto);
    while (rc == RC_SQL_OK && g->followed < upto)
        rc = read_on(f, g, upto);
    if (rc == RC_SQL_REFUSED) { /* it would be the same ever again */
        rc_follow_skip(f, g, upto);
        rc = RC_SQL_OK;
    }
    if (f->text.cap > TEXT_KEPT)
        rc_buf_deinit(&f->text);
    return rc;
}

void rc_follow_deinit(struct rc_follow *f)
{
    rc_buf_deinit(&f->text);
    rc_buf_deinit(&f->ids);
    rc_buf_deinit(&f->group);
    rc_buf_deinit(&f->members);
    rc_buf_deinit(&f->users);
}

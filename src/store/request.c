/* request.c - messages, history, cursors and groups, in statements of any engine. */
#include "request.h"

#include "rc/base/mem.h"
#include "rc/base/timer.h"
#include "rc/proto/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { JSON_DEPTH_MAX = 1024 };

#define ID_END (UINT64_C(1) << 53) /* above all ids: what JavaScript can count to */

static const char *const words[] = {
    [RC_STORE_PRIVATE] = "private",
    [RC_STORE_GROUP] = "group",
    [RC_STORE_ROOM] = "room",
};

bool rc_request_writes(const struct rc_store_req *req)
{
    switch (req->type) {
    case RC_STORE_PUT:
    case RC_STORE_CURSOR:
    case RC_STORE_GROUP_CREATE:
    case RC_STORE_GROUP_ADD:
    case RC_STORE_GROUP_REMOVE: return true;
    case RC_STORE_HISTORY:
    case RC_STORE_CONVERSATIONS:
    case RC_STORE_MISSED:
    case RC_STORE_GROUP_IS:
    case RC_STORE_GROUP_LIST:
    case RC_STORE_FOLLOW: break;
    }
    return false;
}

size_t rc_request_rows_size(const struct rc_store_req *req)
{
    size_t size = req->in.rows_size;

    if (req->type != RC_STORE_HISTORY && req->type != RC_STORE_MISSED &&
        req->type != RC_STORE_CONVERSATIONS)
        return 0;
    return size == 0 || size > RC_STORE_ROWS_SIZE ? RC_STORE_ROWS_SIZE : size;
}

void rc_request_reset(struct rc_store_req *req)
{
    req->fault = RC_STORE_OK;
    req->id = 0;
    req->time_ms = 0;
    req->repeated = req->changed = req->member = req->more = false;
    rc_buf_reset(&req->rows);
    rc_buf_reset(&req->users);
    req->nrows = req->nusers = 0;
}

/* ---- times ---- */

struct rc_str rc_request_time(const struct rc_db *g, int64_t ms, char text[RC_TIME_TEXT])
{
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    int n;

    if (gmtime_r(&s, &tm) == NULL)
        return RC_STR_NONE;
    n = snprintf(text, RC_TIME_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d.%03d%s", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms % 1000),
                 g->ops->dialect->time_zone);
    return rc_str_make(text, n > 0 && n < RC_TIME_TEXT ? (size_t)n : 0);
}

/* 0 for what is no time. */
static int64_t parse_time(struct rc_str text)
{
    char z[RC_TIME_TEXT];
    struct tm tm = {0};
    int ms = 0;

    if (text.len >= sizeof(z) || text.len == 0)
        return 0;
    memcpy(z, text.p, text.len);
    z[text.len] = '\0';
    /* NOLINTNEXTLINE(cert-err34-c): the fields are bounded, and how many there are is checked */
    if (sscanf(z, "%4d-%2d-%2d%*1[T ]%2d:%2d:%2d.%3d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
               &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &ms) < 6)
        return 0;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    return (int64_t)timegm(&tm) * 1000 + ms;
}

/* ---- rows ---- */

static void put_text_or_null(struct rc_buf *to, const char *key, struct rc_str text)
{
    rc_buf_putz(to, key);
    if (text.len != 0)
        rc_json_string_encode(text, to);
    else
        rc_buf_putz(to, "null");
}

/* Whatever the form of the database's text: 2026-11-22T04:05:06.789Z. */
static void put_time(struct rc_buf *to, struct rc_str text)
{
    char iso[] = "0000-00-00T00:00:00.000Z";

    memcpy(iso, text.p, text.len < sizeof(iso) - 2 ? text.len : sizeof(iso) - 2);
    iso[10] = 'T';
    rc_buf_putz(to, ",\"created_at\":");
    rc_json_string_encode(rc_str_of(iso), to);
}

/* Another program may have written what is none. */
static bool is_json(struct rc_str text)
{
    struct rc_json_walk w = {.max_depth = JSON_DEPTH_MAX};

    return rc_json_validate(text, &w) == RC_OK;
}

bool rc_request_conversation(const struct rc_sql_value *column,
                             enum rc_store_conversation *conversation)
{
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        *conversation = (enum rc_store_conversation)i;
        if (rc_str_eq(column[RC_COL_TYPE].text, rc_str_of(words[i])))
            return true;
    }
    return false;
}

void rc_request_put_row(struct rc_str shown_as, const struct rc_sql_value *column,
                        struct rc_buf *to)
{
    struct rc_str receiver = shown_as.len != 0 ? shown_as : column[RC_COL_RECEIVER].text;

    rc_buf_putz(to, "{\"id\":");
    rc_buf_put_u64(to, (uint64_t)column[RC_COL_ID].number);
    put_text_or_null(to, ",\"conversation_type\":", column[RC_COL_TYPE].text);
    put_text_or_null(to, ",\"sender_id\":", column[RC_COL_SENDER].text);
    put_text_or_null(to, ",\"receiver_id\":", receiver);
    rc_buf_putz(to, ",\"content\":");
    if (column[RC_COL_FORMAT].number == RC_STORE_JSON && is_json(column[RC_COL_CONTENT].text))
        rc_buf_puts(to, column[RC_COL_CONTENT].text);
    else
        rc_json_string_encode(column[RC_COL_CONTENT].text, to);
    put_time(to, column[RC_COL_TIME].text);
    put_text_or_null(to, ",\"client_id\":", column[RC_COL_CLIENT_ID].text);
    if (column[RC_COL_EVENT].kind != RC_SQL_NULL)
        put_text_or_null(to, ",\"event\":", column[RC_COL_EVENT].text);
    rc_buf_putc(to, '}');
}

/* With whom it is, and its last message. */
static void put_conversation(const struct rc_store_req *req, const struct rc_sql_value *column,
                             struct rc_buf *to)
{
    struct rc_str type = column[RC_COL_TYPE].text, with = column[RC_COL_RECEIVER].text;

    if (rc_str_eq(type, rc_str_of(words[RC_STORE_PRIVATE])) && rc_str_eq(with, req->in.user))
        with = column[RC_COL_SENDER].text;
    put_text_or_null(to, "{\"type\":", type);
    put_text_or_null(to, ",\"with\":", with);
    rc_buf_putz(to, ",\"message\":");
    rc_request_put_row(req->in.shown_as, column, to);
    rc_buf_putc(to, '}');
}

/* The last row is there to tell that there are more. */
static bool add_row(const struct rc_sql_value *column, void *arg)
{
    struct rc_store_req *req = arg;
    struct rc_buf *to = &req->rows;

    if (req->nrows == req->in.limit || to->len >= req->in.rows_size) {
        req->more = true;
        return false;
    }
    if (req->nrows != 0)
        rc_buf_putc(to, ',');
    req->row[req->nrows] =
        (struct rc_store_row){.id = (uint64_t)column[RC_COL_ID].number, .at = to->len};
    if (req->type == RC_STORE_CONVERSATIONS)
        put_conversation(req, column, to);
    else
        rc_request_put_row(req->in.shown_as, column, to);
    req->row[req->nrows].len = to->len - req->row[req->nrows].at;
    req->nrows++;
    return true;
}

/* Rows that came newest first. */
static void turn_rows(struct rc_store_req *req)
{
    struct rc_buf turned = RC_BUF_INIT;

    for (uint32_t i = req->nrows; i-- != 0;) {
        if (turned.len != 0)
            rc_buf_putc(&turned, ',');
        rc_buf_put(&turned, req->rows.data + req->row[i].at, req->row[i].len);
    }
    for (uint32_t i = 0, j = req->nrows; i < j--; i++) {
        struct rc_store_row swap = req->row[i];

        req->row[i] = req->row[j];
        req->row[j] = swap;
    }
    for (size_t i = 0, at = 0; i < req->nrows; at += req->row[i++].len + 1)
        req->row[i].at = at;
    rc_buf_deinit(&req->rows);
    req->rows = turned;
}

/* A statement whose rows are messages. */
static enum rc_sql_result run_rows(struct rc_db *g, struct rc_store_req *req,
                                   enum rc_statement statement,
                                   const struct rc_sql_value *parameter, bool newest_first)
{
    struct rc_sql_query q = {statement, parameter, add_row, req};
    enum rc_sql_result rc = g->ops->run(g, &q);

    if (rc == RC_SQL_OK && newest_first)
        turn_rows(req);
    if (rc == RC_SQL_OK && req->rows.failed)
        rc = RC_SQL_REFUSED;
    return rc;
}

static void bound_limit(struct rc_db *g, struct rc_store_req *req)
{
    uint32_t most = g->conf->store_history_limit;

    if (req->in.limit == 0 || req->in.limit > most)
        req->in.limit = most;
    req->in.rows_size = rc_request_rows_size(req);
    if (req->row == NULL)
        req->row = rc_calloc(req->in.limit, sizeof(*req->row));
}

static enum rc_sql_result run_history(struct rc_db *g, struct rc_store_req *req)
{
    const struct rc_store_in *in = &req->in;
    struct rc_sql_value above, below, limit;
    bool pair = in->conversation == RC_STORE_PRIVATE;

    bound_limit(g, req);
    below = rc_sql_int(in->before != 0 && in->before < ID_END ? in->before : ID_END);
    above = rc_sql_int(in->after < ID_END ? in->after : ID_END);
    limit = rc_sql_int(in->limit + 1);
    if (pair) {
        struct rc_sql_value a = rc_sql_text(in->receiver), b = rc_sql_text(in->user);
        struct rc_sql_value p[] = {a, b, above, below, limit, b, a, above, below, limit, limit};

        return run_rows(g, req, in->forward ? RC_STMT_PAIR_OLDEST : RC_STMT_PAIR_NEWEST, p,
                        !in->forward);
    } else {
        struct rc_sql_value p[] = {rc_sql_text(rc_str_of(words[in->conversation])),
                                   rc_sql_text(in->receiver), above, below, limit};

        return run_rows(g, req, in->forward ? RC_STMT_OLDEST : RC_STMT_NEWEST, p, !in->forward);
    }
}

static enum rc_sql_result run_conversations(struct rc_db *g, struct rc_store_req *req)
{
    struct rc_sql_value user = rc_sql_text(req->in.user);
    uint64_t before = req->in.before;

    bound_limit(g, req);
    {
        struct rc_sql_value below =
            rc_sql_int(before != 0 && before < ID_END ? before : ID_END);
        struct rc_sql_value p[] = {user, user, user, below, rc_sql_int(req->in.limit + 1)};

        return run_rows(g, req, RC_STMT_CONVERSATIONS, p, false);
    }
}

/* ---- single values ---- */

static enum rc_sql_result run_simple(struct rc_db *g, enum rc_statement statement,
                                     const struct rc_sql_value *parameter)
{
    struct rc_sql_query q = {statement, parameter, NULL, NULL};

    return g->ops->run(g, &q);
}

/* ---- cursors ---- */

static enum rc_sql_result read_cursor(struct rc_db *g, struct rc_store_req *req)
{
    struct rc_sql_value user = rc_sql_text(req->in.user);

    return rc_db_number(g, RC_STMT_CURSOR, &user, &req->id);
}

static enum rc_sql_result run_cursor(struct rc_db *g, struct rc_store_req *req)
{
    struct rc_sql_value p[] = {rc_sql_text(req->in.user),
                               rc_sql_int(req->in.id < ID_END ? req->in.id : ID_END - 1)};
    enum rc_sql_result rc = run_simple(g, RC_STMT_CURSOR_MOVE, p);

    return rc == RC_SQL_OK ? read_cursor(g, req) : rc;
}

/* ---- what was missed ---- */

struct missed {
    struct rc_str user;
    uint64_t after, below; /* only ids between them */
    uint64_t *id;          /* the smallest so far, one more than are asked for */
    uint32_t n, max;
};

static int compare_ids(const void *a, const void *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

static bool add_id(const struct rc_sql_value *column, void *arg)
{
    struct missed *m = arg;

    m->id[m->n++] = (uint64_t)column[0].number;
    return true;
}

static enum rc_sql_result find_missed(struct rc_db *g, struct missed *m,
                                      enum rc_store_conversation type, struct rc_str receiver,
                                      uint64_t since)
{
    uint64_t after = since > m->after ? since : m->after;
    uint64_t below = m->n == m->max ? m->id[m->n - 1] : m->below;
    struct rc_sql_value p[] = {rc_sql_text(rc_str_of(words[type])),
                               rc_sql_text(receiver),
                               rc_sql_text(m->user),
                               rc_sql_int(after),
                               rc_sql_int(below),
                               rc_sql_int(m->max)};
    struct rc_sql_query q = {RC_STMT_MISSED, p, add_id, m};
    enum rc_sql_result rc = g->ops->run(g, &q); /* id has room for as many again */

    qsort(m->id, m->n, sizeof(*m->id), compare_ids);
    if (m->n > m->max)
        m->n = m->max;
    return rc;
}

/* A name that is too long to be one of ours. */
static bool is_foreign(struct rc_str name)
{
    return name.len > RC_STORE_NAME_MAX;
}

/* The groups of a user, and since when. */
static bool add_group(const struct rc_sql_value *column, void *arg)
{
    uint64_t since = (uint64_t)column[1].number;
    struct rc_store_req *req = arg;

    if (is_foreign(column[0].text))
        return true;
    rc_store_put_user(req, column[0].text);
    rc_buf_put(&req->users, &since, sizeof(since));
    return true;
}

static enum rc_sql_result find_in_groups(struct rc_db *g, struct rc_store_req *req,
                                         struct missed *m)
{
    struct rc_sql_value user = rc_sql_text(m->user);
    struct rc_sql_query q = {RC_STMT_GROUPS_OF, &user, add_group, req};
    enum rc_sql_result rc = g->ops->run(g, &q);
    struct rc_str rest = rc_buf_str(&req->users), group;
    uint64_t since;

    if (rc == RC_SQL_OK && req->users.failed)
        rc = RC_SQL_REFUSED;
    while (rc == RC_SQL_OK && rc_store_next_user(&rest, &group)) {
        memcpy(&since, rest.p, sizeof(since));
        rest = rc_str_skip(rest, sizeof(since));
        rc = find_missed(g, m, RC_STORE_GROUP, group, since);
    }
    rc_buf_reset(&req->users);
    req->nusers = 0;
    return rc;
}

/* The messages of these ids, some at a time. */
static enum rc_sql_result read_missed(struct rc_db *g, struct rc_store_req *req,
                                      const struct missed *m)
{
    enum rc_sql_result rc = RC_SQL_OK;

    for (uint32_t i = 0; rc == RC_SQL_OK && i < m->n && !req->more; i += RC_SQL_PARAMETERS) {
        struct rc_sql_value p[RC_SQL_PARAMETERS];

        for (uint32_t k = 0; k < RC_SQL_PARAMETERS; k++)
            p[k] = rc_sql_int(i + k < m->n ? m->id[i + k] : 0);
        rc = run_rows(g, req, RC_STMT_ROWS, p, false);
    }
    return rc;
}

/* What is stored meanwhile, and what is not told yet, has higher ids: it comes later. */
static enum rc_sql_result end_of_missed(struct rc_db *g, uint64_t *below)
{
    enum rc_sql_result rc;

    *below = g->next_id != 0 ? g->next_id : g->followed + 1;
    if (g->follows)
        return RC_SQL_OK;
    *below = 0;
    rc = rc_db_number(g, RC_STMT_MAX_ID, NULL, below);
    ++*below;
    return rc;
}

static enum rc_sql_result run_missed(struct rc_db *g, struct rc_store_req *req)
{
    struct missed m = {.user = req->in.user, .after = req->in.after};
    enum rc_sql_result rc = read_cursor(g, req);

    if (rc == RC_SQL_OK)
        rc = end_of_missed(g, &m.below);
    if (rc != RC_SQL_OK)
        return rc;
    bound_limit(g, req);
    if (!req->in.whole && m.after < req->id)
        m.after = req->id;
    m.after = m.after < ID_END ? m.after : ID_END;
    m.max = req->in.limit + 1;
    m.id = rc_calloc(m.max, 2 * sizeof(*m.id));
    rc = find_missed(g, &m, RC_STORE_PRIVATE, m.user, 0);
    if (rc == RC_SQL_OK)
        rc = find_in_groups(g, req, &m);
    if (rc == RC_SQL_OK)
        rc = read_missed(g, req, &m);
    free(m.id);
    return rc;
}

/* ---- groups ---- */

static bool add_user(const struct rc_sql_value *column, void *arg)
{
    if (!is_foreign(column[0].text))
        rc_store_put_user(arg, column[0].text);
    return true;
}

static enum rc_sql_result read_members(struct rc_db *g, struct rc_store_req *req)
{
    struct rc_sql_value p[] = {rc_sql_text(req->in.receiver),
                               rc_sql_int(g->conf->store_group_limit)};
    struct rc_sql_query q = {RC_STMT_MEMBERS, p, add_user, req};
    enum rc_sql_result rc = g->ops->run(g, &q);

    return rc == RC_SQL_OK && req->users.failed ? RC_SQL_REFUSED : rc;
}

static enum rc_sql_result is_member(struct rc_db *g, const struct rc_store_req *req, bool *is)
{
    struct rc_sql_value p[] = {rc_sql_text(req->in.receiver), rc_sql_text(req->in.user)};
    uint64_t found = 0;
    enum rc_sql_result rc = rc_db_number(g, RC_STMT_MEMBER_IS, p, &found);

    *is = found != 0;
    return rc;
}

static enum rc_sql_result add_member(struct rc_db *g, struct rc_store_req *req)
{
    struct rc_sql_value p[] = {rc_sql_text(req->in.receiver), rc_sql_text(req->in.user),
                               rc_sql_int(g->next_id - 1)};
    uint64_t members = 0;
    enum rc_sql_result rc = rc_db_number(g, RC_STMT_MEMBER_COUNT, p, &members);

    if (rc != RC_SQL_OK)
        return rc;
    if (members >= g->conf->store_group_limit) {
        req->fault = RC_STORE_GROUP_FULL;
        return RC_SQL_OK;
    }
    rc = run_simple(g, RC_STMT_MEMBER_ADD, p);
    req->changed = rc == RC_SQL_OK && g->changed != 0;
    return rc;
}

static enum rc_sql_result run_group_add(struct rc_db *g, struct rc_store_req *req)
{
    bool is = false;
    enum rc_sql_result rc = is_member(g, req, &is);

    return rc != RC_SQL_OK || is ? rc : add_member(g, req);
}

/* What was said in a group that all have left is not for whoever takes its name. */
static enum rc_sql_result run_group_create(struct rc_db *g, struct rc_store_req *req)
{
    struct rc_sql_value name = rc_sql_text(req->in.receiver), p[] = {name, name};
    uint64_t used = 0;
    enum rc_sql_result rc = rc_db_number(g, RC_STMT_GROUP_USED, p, &used);

    if (rc != RC_SQL_OK)
        return rc;
    if (used == 0)
        return add_member(g, req);
    req->fault = RC_STORE_GROUP_EXISTS;
    return RC_SQL_OK;
}

static enum rc_sql_result run_group_remove(struct rc_db *g, struct rc_store_req *req)
{
    struct rc_sql_value p[] = {rc_sql_text(req->in.receiver), rc_sql_text(req->in.user)};
    enum rc_sql_result rc = run_simple(g, RC_STMT_MEMBER_REMOVE, p);

    req->changed = rc == RC_SQL_OK && g->changed != 0;
    return rc;
}

/* ---- messages ---- */

static bool take_found(const struct rc_sql_value *column, void *arg)
{
    struct rc_store_req *req = arg;

    req->id = (uint64_t)column[0].number;
    req->time_ms = parse_time(column[1].text);
    req->repeated = true;
    return false;
}

/* The message was not taken in, since there is one of that name. */
static enum rc_sql_result find_stored(struct rc_db *g, struct rc_store_req *req)
{
    struct rc_sql_value p[] = {rc_sql_text(req->in.user), rc_sql_text(req->in.client_id)};
    struct rc_sql_query q = {RC_STMT_FIND, p, take_found, req};
    enum rc_sql_result rc = g->ops->run(g, &q);

    if (rc == RC_SQL_OK && !req->repeated) {
        rc_db_why(g, "the message was not stored, and is not there either");
        rc = RC_SQL_REFUSED;
    }
    return rc;
}

static enum rc_sql_result insert(struct rc_db *g, struct rc_store_req *req)
{
    const struct rc_store_in *in = &req->in;
    char time[RC_TIME_TEXT];
    struct rc_sql_value p[] = {
        rc_sql_int(g->next_id),
        rc_sql_text(rc_str_of(words[in->conversation])),
        rc_sql_text(in->user),
        rc_sql_text(in->receiver),
        rc_sql_text(in->content),
        rc_sql_text(rc_request_time(g, in->time_ms, time)),
        rc_sql_text_or_null(in->user.len != 0 ? in->client_id : RC_STR_NONE),
        rc_sql_text_or_null(in->event),
        rc_sql_int(in->format),
    };
    enum rc_sql_result rc = run_simple(g, RC_STMT_PUT, p);

    if (rc != RC_SQL_OK)
        return rc;
    if (g->changed == 0)
        return find_stored(g, req);
    req->id = g->next_id++;
    req->time_ms = in->time_ms;
    return RC_SQL_OK;
}

static enum rc_sql_result run_put(struct rc_db *g, struct rc_store_req *req)
{
    bool group = req->in.conversation == RC_STORE_GROUP, is = true;
    enum rc_sql_result rc = RC_SQL_OK;

    if (group && req->in.of_member)
        rc = is_member(g, req, &is);
    if (rc != RC_SQL_OK)
        return rc;
    if (!is) {
        req->fault = RC_STORE_NOT_A_MEMBER;
        return RC_SQL_OK;
    }
    rc = insert(g, req);
    return rc == RC_SQL_OK && group && !req->repeated ? read_members(g, req) : rc;
}

/* ---- all of them ---- */

static bool is_too_long(const struct rc_db *g, const struct rc_store_in *in)
{
    return in->user.len > RC_STORE_NAME_MAX || in->receiver.len > RC_STORE_NAME_MAX ||
           in->event.len > RC_STORE_NAME_MAX || in->client_id.len > RC_STORE_CLIENT_ID_MAX ||
           in->content.len > g->content_max;
}

static enum rc_sql_result run_typed(struct rc_db *g, struct rc_store_req *req)
{
    switch (req->type) {
    case RC_STORE_PUT: return run_put(g, req);
    case RC_STORE_HISTORY: return run_history(g, req);
    case RC_STORE_MISSED: return run_missed(g, req);
    case RC_STORE_CURSOR: return run_cursor(g, req);
    case RC_STORE_CONVERSATIONS: return run_conversations(g, req);
    case RC_STORE_GROUP_CREATE: return run_group_create(g, req);
    case RC_STORE_GROUP_ADD: return run_group_add(g, req);
    case RC_STORE_GROUP_REMOVE: return run_group_remove(g, req);
    case RC_STORE_GROUP_IS: return is_member(g, req, &req->member);
    case RC_STORE_GROUP_LIST: return read_members(g, req);
    case RC_STORE_FOLLOW: return RC_SQL_OK; /* it was done before */
    }
    return RC_SQL_REFUSED;
}

enum rc_sql_result rc_request_run(struct rc_db *g, struct rc_store_req *req)
{
    enum rc_sql_result rc;

    if (is_too_long(g, &req->in)) {
        req->fault = RC_STORE_TOO_LONG;
        return RC_SQL_OK;
    }
    if (!rc_request_writes(req))
        g->query_until = rc_clock_ms() + g->conf->store_query_timeout;
    rc = run_typed(g, req);
    g->query_until = 0;
    if (rc == RC_SQL_REFUSED || rc == RC_SQL_SLOW)
        req->fault = rc == RC_SQL_SLOW ? RC_STORE_SLOW : RC_STORE_FAILED;
    return rc;
}

#include "bed.h"

#include "rc/base/mem.h"
#include "rc/base/timer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_S = 60 };

static bool on_flush(void *arg)
{
    struct bed *k = arg;

    (void)pthread_mutex_lock(&k->lock);
    k->flushed = k->ndone;
    (void)pthread_cond_signal(&k->came);
    (void)pthread_mutex_unlock(&k->lock);
    return true;
}

static void on_done(struct rc_store_req *req)
{
    struct bed *k = req->arg;

    (void)pthread_mutex_lock(&k->lock);
    k->done[k->ndone++ % BED_DONE] = req;
    if (k->follows && req->type == RC_STORE_PUT && req->fault == RC_STORE_OK && !req->repeated)
        rc_buf_printf(&k->log, "=%llu ", (unsigned long long)req->id);
    else if (k->follows && req->type == RC_STORE_MISSED && req->fault == RC_STORE_OK)
        rc_buf_putz(&k->log, "? ");
    (void)pthread_mutex_unlock(&k->lock);
}

static void on_news(void *arg, const struct rc_store_news *news)
{
    struct bed *k = arg;
    struct rc_str rest, user;
    char before = '(';

    if (news == NULL)
        return;
    rest = news->users;
    (void)pthread_mutex_lock(&k->lock);
    if (news->id == 0)
        rc_buf_putz(&k->log, "skip");
    else
        rc_buf_printf(&k->log, "%llu:%.*s>%.*s%s", (unsigned long long)news->id,
                      RC_STR_ARG(news->sender), RC_STR_ARG(news->receiver),
                      news->doubted ? "?" : "");
    while (rc_store_next_user(&rest, &user)) {
        rc_buf_printf(&k->log, "%c%.*s", before, RC_STR_ARG(user));
        before = ',';
    }
    rc_buf_putz(&k->log, before == ',' ? ") " : " ");
    (void)pthread_mutex_unlock(&k->lock);
}

const char *bed_log(struct bed *k)
{
    static char text[65536];

    (void)pthread_mutex_lock(&k->lock);
    cr_assert_lt(k->log.len, sizeof(text));
    if (k->log.len != 0)
        memcpy(text, k->log.data, k->log.len);
    text[k->log.len] = '\0';
    rc_buf_reset(&k->log);
    (void)pthread_mutex_unlock(&k->lock);
    return text;
}

static void make(struct bed *k, const struct bed_engine *e, const char *const *more,
                 bool follows)
{
    struct rc_conf_errors errors = {0};
    char *option[2 * BED_OPTIONS];
    unsigned n = 0;

    *k = (struct bed){0};
    (void)pthread_mutex_init(&k->lock, NULL);
    (void)pthread_cond_init(&k->came, NULL);
    for (unsigned i = 0; e->option[i] != NULL; i++)
        option[n++] = rc_strndup(e->option[i], strlen(e->option[i]));
    for (unsigned i = 0; more != NULL && more[i] != NULL; i++)
        option[n++] = rc_strndup(more[i], strlen(more[i]));
    cr_assert_eq(rc_conf_load(&k->conf, NULL, option, n, &errors), RC_OK);
    rc_store_check(&k->conf, &errors);
    cr_assert_eq(errors.n, 0u);
    while (n != 0)
        free(option[--n]);
    k->store = rc_store_new(&k->conf, BED_PRODUCERS, on_flush, k);
    cr_assert_not_null(k->store);
    k->follows = follows;
    if (follows)
        rc_store_follow(k->store, on_news, k);
    k->port = rc_store_port(k->store);
    cr_assert_eq(rc_store_open(k->store, &errors), RC_OK);
}

void bed_make(struct bed *k, const struct bed_engine *e, const char *const *more)
{
    make(k, e, more, false);
}

void bed_make_following(struct bed *k, const struct bed_engine *e, const char *const *more)
{
    make(k, e, more, true);
}

void bed_start(struct bed *k)
{
    cr_assert_eq(rc_store_start(k->store), RC_OK);
}

void bed_open(struct bed *k, const struct bed_engine *e)
{
    bed_make(k, e, NULL);
    bed_start(k);
}

void bed_close(struct bed *k)
{
    rc_store_stop(k->store);
    rc_store_free(k->store);
    for (unsigned i = 0; i < k->ndone; i++)
        rc_store_req_free(k->done[i]);
    rc_buf_deinit(&k->log);
    rc_conf_free(&k->conf);
    (void)pthread_cond_destroy(&k->came);
    (void)pthread_mutex_destroy(&k->lock);
}

struct rc_store_req *bed_new(struct bed *k, enum rc_store_type type,
                             const struct rc_store_in *in)
{
    struct rc_store_req *req = rc_store_req_new(type, in, 0);

    cr_assert_not_null(req);
    req->done = on_done;
    req->arg = k;
    return req;
}

struct rc_store_req *bed_submit(struct bed *k, enum rc_store_type type, struct rc_store_in in)
{
    struct rc_store_req *req = bed_new(k, type, &in);

    cr_assert_eq(rc_store_submit(k->port, 0, req), RC_OK);
    return req;
}

void bed_await(struct bed *k, unsigned ndone)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    (void)pthread_mutex_lock(&k->lock);
    while (k->flushed < ndone)
        cr_assert_eq(pthread_cond_timedwait(&k->came, &k->lock, &until), 0);
    (void)pthread_mutex_unlock(&k->lock);
}

struct rc_store_req *bed_ask(struct bed *k, enum rc_store_type type, struct rc_store_in in)
{
    unsigned before = k->ndone; /* of a test that waits for each of its answers */
    struct rc_store_req *req = bed_submit(k, type, in);

    bed_await(k, before + 1);
    return req;
}

uint64_t bed_put(struct bed *k, enum rc_store_conversation conversation, const char *user,
                 const char *receiver, const char *content, const char *client_id)
{
    struct rc_store_in in = {
        .conversation = conversation,
        .user = rc_str_of(user),
        .receiver = rc_str_of(receiver),
        .content = rc_str_of(content),
        .client_id = rc_str_of(client_id),
        .time_ms = (int64_t)rc_clock_wall_ms(),
    };
    const struct rc_store_req *req = bed_ask(k, RC_STORE_PUT, in);

    return req->fault == RC_STORE_OK ? req->id : 0;
}

const char *bed_ids(const struct rc_store_req *req)
{
    static char text[1024];
    size_t n = 0;

    cr_assert_eq(req->fault, RC_STORE_OK);
    text[0] = '\0';
    for (uint32_t i = 0; i < req->nrows && n < sizeof(text) - 32; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%llu", i != 0 ? " " : "",
                              (unsigned long long)req->row[i].id);
    (void)snprintf(text + n, sizeof(text) - n, "%s", req->more ? " +" : "");
    return text;
}

const char *bed_users(const struct rc_store_req *req)
{
    static char text[1024];
    struct rc_str rest = rc_buf_str(&req->users), user;
    uint32_t count = 0;
    size_t n = 0;

    cr_assert_eq(req->fault, RC_STORE_OK);
    text[0] = '\0';
    for (; rc_store_next_user(&rest, &user); count++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s", n != 0 ? " " : "",
                              RC_STR_ARG(user));
    cr_assert_eq(count, req->nusers);
    return text;
}

struct rc_store_stats bed_stats(const struct bed *k)
{
    struct rc_store_stats stats;

    k->port->stats(k->port->store, &stats);
    return stats;
}

void bed_await_up(const struct bed *k, bool up)
{
    for (unsigned i = 0; (bed_stats(k).up != 0) != up; i++) {
        cr_assert_lt(i, PATIENCE_S * 100u);
        (void)usleep(10000);
    }
}

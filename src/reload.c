/* reload.c - the configuration is read again, while the server runs.
 *
 * All of the new one is made before any of it is in effect: the keys are read, the rules compiled, and each
 * subsystem prepares. One fault, and nothing changes. Then the shards go over to it, each by itself
 * (broker/renew.c), and the subsystems commit, which cannot fail. */
#include "notify.h"
#include "rc/base/log.h"
#include "rc/base/mem.h"
#include "rc/broker/admission.h"
#include "server_int.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ARRIVAL_MS = 1000 }; /* how long the report waits for the shards */

/* ---- subsystems: what is not the shards' ---- */

/* prepare makes what conf asks for, without any effect, or puts its faults into e. What it returns, NULL
 * for nothing, is handed to either of the others, once. Any of them may be NULL. */
struct subsystem {
    const char *name;
    void *(*prepare)(struct rc_server *s, const struct rc_conf *conf, struct rc_conf_errors *e);
    void (*commit)(struct rc_server *s, const struct rc_conf *conf, void *prepared);
    void (*cancel)(void *prepared);
};

static void commit_log(struct rc_server *s, const struct rc_conf *conf, void *prepared)
{
    (void)s;
    (void)prepared;
    atomic_store_explicit(&rc_log_threshold, (int)conf->log_level, memory_order_relaxed);
}

static void commit_cluster(struct rc_server *s, const struct rc_conf *conf, void *prepared)
{
    (void)conf;
    (void)prepared;
    if (s->cluster != NULL)
        rc_cluster_poke(s->cluster);
}

static void commit_admission(struct rc_server *s, const struct rc_conf *conf, void *prepared)
{
    (void)prepared;
    rc_admission_set(s->admission, conf);
}

static const struct subsystem subsystems[] = {
    {"log", NULL, commit_log, NULL},
    {"admission", NULL, commit_admission, NULL},
    {"cluster", NULL, commit_cluster, NULL}, /* it looks for namespaces that are new */
};
enum { NSUBSYSTEMS = sizeof(subsystems) / sizeof(subsystems[0]) };

static void prepare_all(struct rc_server *s, const struct rc_conf *conf, void **prepared,
                        struct rc_conf_errors *e)
{
    for (unsigned i = 0; i < NSUBSYSTEMS; i++)
        prepared[i] = subsystems[i].prepare != NULL ? subsystems[i].prepare(s, conf, e) : NULL;
}

static void commit_all(struct rc_server *s, const struct rc_conf *conf, void **prepared)
{
    for (unsigned i = 0; i < NSUBSYSTEMS; i++)
        if (subsystems[i].commit != NULL)
            subsystems[i].commit(s, conf, prepared[i]);
}

static void cancel_all(void **prepared)
{
    for (unsigned i = 0; i < NSUBSYSTEMS; i++)
        if (subsystems[i].cancel != NULL && prepared[i] != NULL)
            subsystems[i].cancel(prepared[i]);
}

/* ---- generations ---- */

static void free_made(const struct rc_server *s, struct rc_made *m)
{
    rc_app_free(m->app);
    if (m->conf != &s->conf) {
        rc_conf_free(m->conf);
        free(m->conf);
    }
    free(m);
}

static struct rc_made *new_made(struct rc_conf *conf, struct rc_app *app)
{
    struct rc_made *m = rc_calloc(1, sizeof(*m));

    m->conf = conf;
    m->app = app;
    return m;
}

const struct rc_conf *rc_server_latest(const struct rc_server *s)
{
    return s->latest != NULL ? s->latest->conf : &s->conf;
}

/* Behind the latest, or behind that of the start. */
static void append(struct rc_server *s, struct rc_made *m)
{
    if (s->latest == NULL)
        s->oldest = s->latest = new_made(&s->conf, s->app);
    rc_app_publish(s->latest->app, m->app);
    s->latest->next = m;
    s->latest = m;
}

/* Oldest first: a shard that is late finds its way from each to the next. */
static void reap(struct rc_server *s)
{
    while (s->oldest != s->latest && !rc_app_is_held(s->oldest->app)) {
        struct rc_made *m = s->oldest;

        s->oldest = m->next;
        free_made(s, m);
    }
}

void rc_reload_reap(struct rc_server *s)
{
    (void)pthread_mutex_lock(&s->reloading);
    reap(s);
    (void)pthread_mutex_unlock(&s->reloading);
}

void rc_reload_with_conf(void *server, void (*fn)(const struct rc_conf *conf, void *arg),
                         void *arg)
{
    struct rc_server *s = server;

    (void)pthread_mutex_lock(&s->reloading);
    fn(rc_server_latest(s), arg);
    (void)pthread_mutex_unlock(&s->reloading);
}

void rc_reload_end(struct rc_server *s)
{
    (void)pthread_mutex_lock(&s->reloading);
    s->ending = true;
    (void)pthread_mutex_unlock(&s->reloading);
}

void rc_reload_free(struct rc_server *s)
{
    struct rc_made *next;

    if (s->oldest == NULL) {
        rc_app_free(s->app);
        return;
    }
    for (struct rc_made *m = s->oldest; m != NULL; m = next) {
        next = m->next;
        free_made(s, m);
    }
}

/* ---- the reload ---- */

static struct rc_app *build(struct rc_server *s, struct rc_conf *conf, struct rc_buf *said,
                            struct rc_conf_errors *e)
{
    const struct rc_app *last = s->latest != NULL ? s->latest->app : s->app;
    struct rc_app *app;
    char path[PATH_MAX];

    if (rc_conf_load(conf, s->setup.file, s->setup.option, s->setup.noptions, e) == RC_ENOENT)
        return NULL;
    (void)rc_conf_keep(conf, rc_server_latest(s), said);
    app = rc_app_renew(last, conf, rc_server_exe_dir(path, sizeof(path)), e);
    if (app != NULL)
        rc_listeners_load(s->listeners, conf, app, e); /* their files may be other ones now */
    return app;
}

/* They look when they get a turn; one that is busy will. */
static void wait_for_shards(const struct rc_server *s, const struct rc_app *app)
{
    for (unsigned i = 0; i < s->nshards; i++)
        rc_mesh_poke(s->mesh, i);
    for (unsigned ms = 0; ms < ARRIVAL_MS && rc_app_arrived(app) < s->nstarted; ms++)
        (void)usleep(1000);
    if (rc_app_arrived(app) < s->nstarted)
        rc_log(
            RC_LOG_WARN,
            "reload: %u of %u shards had no turn for %u ms: they go over to it when they have",
            s->nstarted - rc_app_arrived(app), s->nstarted, (unsigned)ARRIVAL_MS);
}

static void log_lines(enum rc_loglevel level, const char *before, struct rc_str text)
{
    while (text.len != 0) {
        const char *end = memchr(text.p, '\n', text.len);
        size_t n = end != NULL ? (size_t)(end - text.p) : text.len;

        rc_log(level, "%s%.*s", before, (int)n, text.p);
        text = rc_str_skip(text, n + 1);
    }
}

/* Takes over conf and app, which is NULL when there were faults. */
static bool finish(struct rc_server *s, struct rc_conf *conf, struct rc_app *app,
                   struct rc_conf_errors *e)
{
    void *prepared[NSUBSYSTEMS] = {NULL};
    struct rc_made *m;

    if (app != NULL)
        prepare_all(s, conf, prepared, e);
    if (e->n != 0 || app == NULL) {
        cancel_all(prepared);
        rc_app_free(app);
        rc_conf_free(conf);
        free(conf);
        return false;
    }
    m = new_made(conf, app);
    append(s, m);
    commit_all(s, conf, prepared);
    wait_for_shards(s, app);
    reap(s);
    return true;
}

static bool reload(struct rc_server *s, struct rc_buf *said)
{
    struct rc_conf_errors e = {0};
    struct rc_conf *conf = rc_calloc(1, sizeof(*conf));
    struct rc_app *app = build(s, conf, said, &e);
    bool ok = finish(s, conf, app, &e);

    if (!ok) {
        rc_conf_sort(&e, s->setup.file);
        rc_buf_reset(said);
        rc_buf_puts(said, rc_buf_str(&e.text));
    }
    rc_buf_deinit(&e.text);
    return ok;
}

bool rc_server_reload(struct rc_server *s, struct rc_buf *said)
{
    static const char failed[] = "reload failed, the configuration stays as it was";
    struct rc_buf text = RC_BUF_INIT;
    bool ok;

    (void)pthread_mutex_lock(&s->reloading);
    if (!s->ending)
        rc_notify("RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reloading",
                  (unsigned long long)rc_notify_now_us());
    if (s->ending) {
        rc_buf_putz(&text, "the server is ending\n");
        ok = false;
    } else {
        ok = reload(s, &text);
    }
    log_lines(ok ? RC_LOG_WARN : RC_LOG_ERROR, "reload: ", rc_buf_str(&text));
    if (ok)
        rc_log(RC_LOG_INFO, "reloaded");
    else
        rc_log(RC_LOG_ERROR, "%s", failed);
    if (!s->ending)
        rc_notify("READY=1\nSTATUS=serving, %u shards%s", s->nshards,
                  ok ? "" : "; the last reload failed: see the log");
    (void)pthread_mutex_unlock(&s->reloading);
    if (said != NULL) {
        rc_buf_puts(said, rc_buf_str(&text));
        rc_buf_printf(said, "%s\n", ok ? "reloaded" : failed);
    }
    rc_buf_deinit(&text);
    return ok;
}

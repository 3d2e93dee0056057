/* server.c - the daemon's threads: made, started and ended in order; and the signals. */
#include "notify.h"
#include "rc/base/log.h"
#include "rc/base/machine.h"
#include "rc/base/mem.h"
#include "rc/base/timer.h"
#include "rc/broker/admin_ui.h"
#include "rc/broker/admission.h"
#include "rc/broker/news.h"
#include "rc/broker/shed.h"
#include "rc/cluster/cluster.h"
#include "rc/net/tls.h"
#include "rc/net/ws.h"
#include "server_int.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    SHARD_CONNS_MAX = RC_POOL_MAX - 1,
    STOP_SPARE_MS = 10000, /* for the store and the log */
    ECHO_MS = 10, /* the same signal twice: some pass it on to a process and to its group */
};

enum rc_exit rc_fail(const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    (void)fprintf(stderr, "roomcast: %s\n", text);
    return RC_EXIT_RUN;
}

const char *rc_reason(void)
{
    static char text[128];

    return strerror_r(errno, text, sizeof(text));
}

/* ---- configuration ---- */

/* Each line of the faults, with a prefix. */
static void print_faults(struct rc_conf_errors *e, const char *prefix)
{
    struct rc_str rest = rc_buf_str(&e->text);

    while (rest.len != 0) {
        const char *end = memchr(rest.p, '\n', rest.len);
        size_t n = end != NULL ? (size_t)(end - rest.p) : rest.len;

        (void)fprintf(stderr, "%s%.*s\n", prefix, (int)n, rest.p);
        rest = rc_str_skip(rest, n + 1);
    }
    rc_buf_deinit(&e->text);
}

const char *rc_server_exe_dir(char *path, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", path, size - 1);

    while (n > 0 && path[n - 1] != '/')
        n--;
    if (n <= 1)
        return n == 1 ? "/" : ".";
    path[n - 1] = '\0';
    return path;
}

struct rc_server *rc_server_new(const struct rc_server_setup *setup)
{
    struct rc_server *s = rc_calloc(1, sizeof(*s));

    s->setup = *setup;
    (void)pthread_mutex_init(&s->reloading, NULL);
    return s;
}

enum rc_exit rc_server_configure(struct rc_server *s, enum rc_extent extent)
{
    struct rc_conf_errors e = {0}, maybe = {0};
    bool only_keys = extent == RC_EXTENT_KEYS;
    char path[PATH_MAX];
    int rc = rc_conf_load(&s->conf, s->setup.file, s->setup.option, s->setup.noptions, &e);
    bool is_bad;

    atomic_store_explicit(&rc_log_threshold, (int)s->conf.log_level, memory_order_relaxed);
    if (rc != RC_ENOENT && !only_keys)
        s->app = rc_app_new(&s->conf, rc_server_exe_dir(path, sizeof(path)), &e);
    if (rc != RC_ENOENT)
        rc_store_check(&s->conf, &e);
    if (rc != RC_ENOENT)
        rc_cluster_check(&s->conf, &e);
    if (rc != RC_ENOENT)
        s->listeners = rc_listeners_new(&s->conf, &e);
    if (s->listeners != NULL && !only_keys)
        rc_listeners_load(s->listeners, &s->conf, s->app, &e);
    if (s->app != NULL)
        s->app->listeners = s->listeners;
    if (extent == RC_EXTENT_TRY && rc != RC_ENOENT)
        rc_server_try(s, &e, &maybe);
    is_bad = e.n != 0;
    rc_conf_sort(&e, s->setup.file);
    rc_conf_sort(&maybe, s->setup.file);
    print_faults(&e, "");
    print_faults(&maybe, "warning: ");
    return is_bad ? RC_EXIT_CONF : RC_EXIT_OK;
}

const struct rc_conf *rc_server_conf(const struct rc_server *s)
{
    return &s->conf;
}

static unsigned count_shards(const struct rc_conf *conf)
{
    unsigned n = rc_machine_processors();

    if (conf->server_shards != 0)
        return conf->server_shards;
    return n > RC_MESH_MAX_SHARDS ? RC_MESH_MAX_SHARDS : n;
}

/* What the limit of open files leaves for connections; it is raised as far as it goes. */
static uint32_t count_connections(const struct rc_conf *conf, unsigned nshards)
{
    uint64_t reserved = 64 + 8 * (uint64_t)nshards, max = (uint64_t)SHARD_CONNS_MAX * nshards;
    struct rlimit files = {0};

    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        rlim_t soft = files.rlim_cur;

        files.rlim_cur = files.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &files) != 0)
            files.rlim_cur = soft;
    }
    if (files.rlim_cur < max + reserved)
        max = files.rlim_cur > reserved ? files.rlim_cur - reserved : 1;
    if (conf->limits_max_connections > max)
        rc_log(RC_LOG_WARN,
               "limits.max_connections = %u is more than the limit of open files allows: raise "
               "that to %llu (ulimit -n, LimitNOFILE)",
               conf->limits_max_connections,
               (unsigned long long)(conf->limits_max_connections + reserved));
    else if (conf->limits_max_connections != 0)
        max = conf->limits_max_connections;
    return (uint32_t)max;
}

/* ---- threads ---- */

/* Wakes the shards that the store's thread has posted to. */
static bool flush_store(void *mesh)
{
    return rc_mesh_wake(mesh, rc_mesh_store(rc_mesh_shards(mesh)));
}

static enum rc_exit create_store(struct rc_server *s)
{
    struct rc_conf_errors e = {0};
    int rc;

    if (s->conf.store_engine == RC_STOREENGINE_NONE)
        return RC_EXIT_OK;
    s->store = rc_store_new(&s->conf, s->nshards, flush_store, s->mesh);
    if (s->store == NULL)
        return rc_fail("the store cannot be set up: %s", rc_reason());
    if (s->conf.cluster_redis[0] != '\0' && s->conf.store_engine == RC_STOREENGINE_MARIADB) {
        s->news = rc_news_new(s->app, s->mesh);
        rc_store_follow(s->store, rc_news_take, s->news);
    }
    rc = rc_store_open(s->store, &e);
    print_faults(&e, "roomcast: ");
    s->app->store = rc_store_port(s->store);
    return rc == RC_OK ? RC_EXIT_OK : RC_EXIT_RUN;
}

static enum rc_exit create_cluster(struct rc_server *s)
{
    struct rc_conf_errors e = {0};
    char address[RC_LISTENER_TEXT];
    int rc;

    if (s->conf.cluster_redis[0] == '\0')
        return RC_EXIT_OK;
    if (rc_listeners_advertise(s->listeners, &s->conf, address, &e) != RC_OK) {
        print_faults(&e, "roomcast: ");
        return RC_EXIT_RUN;
    }
    s->cluster = rc_cluster_new(&s->conf, s->app, s->mesh);
    if (s->cluster == NULL)
        return rc_fail("the cluster's thread cannot be set up: %s", rc_reason());
    rc_cluster_advertise(s->cluster, address);
    rc = rc_cluster_open(s->cluster, &e);
    print_faults(&e, "roomcast: ");
    s->app->cluster = rc_cluster_port(s->cluster);
    return rc == RC_OK ? RC_EXIT_OK : RC_EXIT_RUN;
}

static bool reload(void *server, struct rc_buf *said)
{
    return rc_server_reload(server, said);
}

static enum rc_exit create_admin(struct rc_server *s)
{
    const struct rc_admin_sources from = {
        .shards = s->shard,
        .nshards = s->nshards,
        .admission = s->admission,
        .store = s->app->store,
        .cluster = s->app->cluster,
        .cluster_required = s->conf.cluster_required,
        .mesh = s->mesh,
        .version = RC_VERSION,
        .started_ms = rc_clock_ms(),
        .reload = reload,
        .with_conf = rc_reload_with_conf,
        .server = s,
    };
    struct rc_conf_errors e = {0};

    if (s->conf.admin_listen.n == 0 && s->conf.admin_socket[0] == '\0')
        return RC_EXIT_OK;
    s->admin = rc_admin_new(&s->conf, &from, &e);
    print_faults(&e, "roomcast: ");
    return s->admin != NULL ? RC_EXIT_OK : RC_EXIT_RUN;
}

static enum rc_exit create(struct rc_server *s)
{
    struct rc_conf_errors e = {0};
    uint32_t per_shard = s->max_conns < SHARD_CONNS_MAX ? s->max_conns : SHARD_CONNS_MAX;

    if (rc_ws_init() != RC_OK)
        return rc_fail("OpenSSL's configuration has no SHA-1, which WebSockets need");
    s->mesh = rc_mesh_new(s->nshards, s->conf.server_ring_slots);
    if (s->mesh == NULL)
        return rc_fail("no memory or no file descriptors for %u shards: use fewer "
                       "(server.shards), or smaller rings (server.ring_slots)",
                       s->nshards);
    if (create_store(s) != RC_EXIT_OK || create_cluster(s) != RC_EXIT_OK)
        return RC_EXIT_RUN;
    s->admission = rc_admission_new(&s->conf, s->max_conns);
    if (s->app->ui != NULL && (s->ui = rc_ui_desk_new(s->app, s->mesh)) == NULL)
        return rc_fail("the Admin UI (admin.ui) cannot be set up: %s", rc_reason());
    s->app->ui_desk = s->ui;
    for (unsigned i = 0; i < s->nshards; i++) {
        s->shard[i] = rc_shard_new(i, s->app, s->mesh, per_shard);
        if (s->shard[i] == NULL)
            return rc_fail("shard %u cannot be set up: %s", i, rc_reason());
        s->shard[i]->admission = s->admission;
        s->shard[i]->peers = s->shard;
        rc_shed_init(s->shard[i]);
    }
    rc_tls_forget_seed(); /* what the shards' keys have begun with */
    s->acceptor =
        rc_acceptor_new(s->listeners, s->mesh, s->shard, s->nshards, s->max_conns, &e);
    print_faults(&e, "roomcast: ");
    return s->acceptor != NULL ? create_admin(s) : RC_EXIT_RUN;
}

static enum rc_exit start(struct rc_server *s)
{
    if (s->store != NULL && rc_store_start(s->store) != RC_OK)
        return rc_fail("the store's thread cannot be started: %s", rc_reason());
    if (s->cluster != NULL && rc_cluster_start(s->cluster) != RC_OK)
        return rc_fail("the cluster's thread cannot be started: %s", rc_reason());
    for (; s->nstarted < s->nshards; s->nstarted++)
        if (rc_shard_start(s->shard[s->nstarted]) != RC_OK)
            return rc_fail("the thread of shard %u cannot be started: %s", s->nstarted,
                           rc_reason());
    if (s->ui != NULL && rc_ui_desk_start(s->ui, s->shard) != RC_OK)
        return rc_fail("the thread of the Admin UI cannot be started: %s", rc_reason());
    if (rc_acceptor_start(s->acceptor) != RC_OK)
        return rc_fail("the acceptor's thread cannot be started: %s", rc_reason());
    s->accepting = true;
    if (s->admin != NULL && rc_admin_start(s->admin) != RC_OK)
        return rc_fail("the thread of [admin] cannot be started: %s", rc_reason());
    return RC_EXIT_OK;
}

static uint64_t ending_from_ms; /* written before the handler is set */

static void end_at_once(int sig)
{
    static const char text[] = "roomcast: ended at once by a second signal\n";

    (void)sig;
    if (rc_clock_ms() - ending_from_ms < ECHO_MS)
        return;
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(RC_EXIT_RUN);
}

/* The manager's own patience may be shorter than what was configured. */
static void say_stopping(const struct rc_server *s)
{
    const struct rc_conf *conf = rc_server_latest(s);
    uint64_t ms = (uint64_t)conf->server_drain_delay + conf->server_drain_time +
                  2 * (uint64_t)conf->server_shutdown_timeout + STOP_SPARE_MS;

    rc_notify("STOPPING=1\nSTATUS=ending\nEXTEND_TIMEOUT_USEC=%llu",
              (unsigned long long)ms * 1000);
}

static void stop(struct rc_server *s)
{
    unsigned main_endpoint = rc_mesh_main(s->nshards);

    rc_reload_end(s);
    say_stopping(s);
    if (s->admin != NULL)
        rc_admin_drain(s->admin);
    if (s->accepting) {
        rc_drain_delay(s);
        rc_acceptor_rest(s->acceptor);
        rc_drain(s);
        rc_acceptor_stop(s->acceptor);
    }
    if (s->ui != NULL)
        rc_ui_desk_stop(s->ui);
    for (unsigned i = 0; i < s->nstarted; i++) {
        struct rc_msg msg = {.type = RC_MSG_STOP};

        rc_mesh_post(s->mesh, main_endpoint, i, &msg);
    }
    while (s->nstarted != 0 && !rc_mesh_wake(s->mesh, main_endpoint))
        (void)usleep(1000);
    for (unsigned i = 0; i < s->nstarted; i++)
        rc_shard_join(s->shard[i]);
    if (s->store != NULL)
        rc_store_stop(s->store);
    if (s->cluster != NULL)
        rc_cluster_stop(s->cluster);
    if (s->admin != NULL)
        rc_admin_stop(s->admin);
}

/* Returns with the name of the signal that ends the server. */
static const char *wait_for_end(struct rc_server *s, const sigset_t *awaited)
{
    for (;;) {
        uint32_t ms = rc_watch(s);
        const struct timespec next = {.tv_sec = (time_t)(ms / 1000),
                                      .tv_nsec = (long)(ms % 1000) * 1000000};
        int sig = sigtimedwait(awaited, NULL, &next);

        if (sig == SIGTERM)
            return "SIGTERM";
        if (sig == SIGINT)
            return "SIGINT";
        if (sig == SIGHUP)
            (void)rc_server_reload(s, NULL);
    }
}

static void end_at_next_signal(void)
{
    struct sigaction action = {.sa_handler = end_at_once};
    sigset_t ending;

    ending_from_ms = rc_clock_ms();
    (void)sigemptyset(&ending);
    (void)sigaddset(&ending, SIGTERM);
    (void)sigaddset(&ending, SIGINT);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)pthread_sigmask(SIG_UNBLOCK, &ending, NULL);
}

enum rc_exit rc_server_run(struct rc_server *s)
{
    sigset_t awaited;
    enum rc_exit rc;

    rc_notify_init();
    (void)signal(SIGPIPE, SIG_IGN);
    /* A file that may not grow any more is an error of the store's, not the end. */
    (void)signal(SIGXFSZ, SIG_IGN);
    (void)sigemptyset(&awaited);
    (void)sigaddset(&awaited, SIGTERM);
    (void)sigaddset(&awaited, SIGINT);
    (void)sigaddset(&awaited, SIGHUP);
    /* Inherited by every thread: no signal ever interrupts a shard. */
    (void)pthread_sigmask(SIG_BLOCK, &awaited, NULL);
    if (rc_log_start(s->conf.log_level) != RC_OK)
        return rc_fail("the log's thread cannot be started: %s", rc_reason());
    s->nshards = count_shards(&s->conf);
    s->max_conns = count_connections(&s->conf, s->nshards);
    rc_log(RC_LOG_INFO, "roomcast " RC_VERSION " configuration=%s shards=%u max_connections=%u",
           s->conf.file != NULL ? s->conf.file : "defaults (there is no " RC_DEFAULT_FILE ")",
           s->nshards, s->max_conns);
    rc = create(s);
    if (rc == RC_EXIT_OK)
        rc = start(s);
    if (rc == RC_EXIT_OK) {
        const char *signal_name; /* not in rc_log: it may be off */

        rc_notify("READY=1\nSTATUS=serving, %u shards", s->nshards);
        signal_name = wait_for_end(s, &awaited);

        rc_log(RC_LOG_INFO, "%s: ending", signal_name);
    }
    end_at_next_signal();
    stop(s);
    if (rc == RC_EXIT_OK)
        rc_log(RC_LOG_INFO, "ended");
    rc_log_stop();
    return rc;
}

void rc_server_free(struct rc_server *s)
{
    if (s == NULL)
        return;
    rc_admin_free(s->admin);
    if (s->acceptor != NULL)
        rc_acceptor_free(s->acceptor);
    rc_listeners_free(s->listeners);
    for (unsigned i = 0; i < s->nshards && s->shard[i] != NULL; i++)
        rc_shard_free(s->shard[i]);
    rc_admission_free(s->admission);
    rc_store_free(s->store);
    rc_news_free(s->news);
    rc_cluster_free(s->cluster);
    rc_ui_desk_free(s->ui);
    if (s->mesh != NULL)
        rc_mesh_free(s->mesh);
    rc_reload_free(s);
    rc_conf_free(&s->conf);
    (void)pthread_mutex_destroy(&s->reloading);
    free(s);
}

/* metrics.c - the text of /metrics: what shards, store and process say of themselves. */
#include "rc/api/admin.h"

#include "rc/base/timer.h"

#include <dirent.h>
#include <event2/event.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Names end with _total if they count, and with their unit before that. */
static void put_head(struct rc_buf *to, const char *name, const char *kind, const char *help)
{
    bool is_counter = strcmp(kind, "counter") == 0;

    rc_buf_printf(to, "# HELP roomcast_%s%s %s\n# TYPE roomcast_%s%s %s\n", name,
                  is_counter ? "_total" : "", help, name, is_counter ? "_total" : "", kind);
}

static void put_value(struct rc_buf *to, const char *name, const char *kind, uint64_t value)
{
    rc_buf_printf(to, "roomcast_%s%s %llu\n", name,
                  strcmp(kind, "counter") == 0 ? "_total" : "", (unsigned long long)value);
}

static void put_of_shard(struct rc_buf *to, const char *name, const char *kind, unsigned shard,
                         uint64_t value)
{
    rc_buf_printf(to, "roomcast_%s%s{shard=\"%u\"} %llu\n", name,
                  strcmp(kind, "counter") == 0 ? "_total" : "", shard,
                  (unsigned long long)value);
}

/* ---- shards ---- */

static void put_closed(const struct rc_admin_sources *from, struct rc_buf *to)
{
    put_head(to, "closed", "counter", "connections and sessions that ended, by reason");
    for (unsigned i = 0; i < from->nshards; i++)
        for (unsigned r = 0; r < RC_CLOSE_COUNT; r++)
            rc_buf_printf(to, "roomcast_closed_total{shard=\"%u\",reason=\"%s\"} %llu\n", i,
                          rc_close_text((enum rc_close)r),
                          (unsigned long long)rc_stat_get(&from->shards[i]->stats.closed[r]));
}

static void put_transports(const struct rc_admin_sources *from, struct rc_buf *to)
{
    static const char *const transport[RC_TRANSPORTS] = {
        [RC_SESSION_POLLING] = "polling",
        [RC_SESSION_WEBSOCKET] = "websocket",
        [RC_SESSION_ENDPOINT] = "plain",
    };

    put_head(to, "clients", "gauge",
             "sessions open now, by transport; plain: of endpoints, without Socket.IO");
    for (unsigned i = 0; i < from->nshards; i++)
        for (unsigned t = 0; t < RC_TRANSPORTS; t++)
            rc_buf_printf(
                to, "roomcast_clients{shard=\"%u\",transport=\"%s\"} %llu\n", i, transport[t],
                (unsigned long long)rc_stat_get(&from->shards[i]->stats.transport[t]));
}

static void put_rings(const struct rc_admin_sources *from, struct rc_buf *to)
{
    put_head(to, "mail_waiting", "gauge", "messages of other threads that wait for the shard");
    for (unsigned i = 0; i < from->nshards; i++)
        put_of_shard(to, "mail_waiting", "gauge", i, rc_mail_waiting(from->mesh, i));
    put_head(to, "spills", "counter", "messages of the shard that found a ring full");
    for (unsigned i = 0; i < from->nshards; i++)
        put_of_shard(to, "spills", "counter", i, rc_mail_spilled(from->mesh, i));
}

/* Of which rc_stats has one. */
struct hist_kind {
    const char *name, *help;
    size_t offset;
    double unit;          /* of a value */
    unsigned first, last; /* buckets that are told apart; before the first is in it */
};

static void put_hist(const struct hist_kind *kind, const struct rc_hist *h, unsigned shard,
                     struct rc_buf *to)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < RC_HIST_BUCKETS; i++) {
        n += rc_stat_get(&h->bucket[i]);
        if (i >= kind->first && i <= kind->last)
            rc_buf_printf(to, "roomcast_%s_bucket{shard=\"%u\",le=\"%.10g\"} %llu\n",
                          kind->name, shard, (double)(1ull << i) * kind->unit,
                          (unsigned long long)n);
    }
    rc_buf_printf(to,
                  "roomcast_%s_bucket{shard=\"%u\",le=\"+Inf\"} %llu\n"
                  "roomcast_%s_sum{shard=\"%u\"} %.15g\nroomcast_%s_count{shard=\"%u\"} %llu\n",
                  kind->name, shard, (unsigned long long)n, kind->name, shard,
                  (double)rc_stat_get(&h->sum) * kind->unit, kind->name, shard,
                  (unsigned long long)n);
}

static void put_hists(const struct rc_admin_sources *from, struct rc_buf *to)
{
    static const struct hist_kind kinds[] = {
        {"fanout_members", "members on the shard that a publication was handed to",
         offsetof(struct rc_stats, fanout), 1, 0, 17},
        {"delivery_latency_seconds",
         "from the start of the turn in which a message came to the end of that in which "
         "its receivers on the shard were written to",
         offsetof(struct rc_stats, latency), 1e-6, 5, 23},
        {"loop_lag_seconds", "duration of a turn: what comes meanwhile waits for so long",
         offsetof(struct rc_stats, turn), 1e-6, 5, 23},
    };

    for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        put_head(to, kinds[k].name, "histogram", kinds[k].help);
        for (unsigned i = 0; i < from->nshards; i++)
            put_hist(&kinds[k],
                     (const struct rc_hist *)((const char *)&from->shards[i]->stats +
                                              kinds[k].offset),
                     i, to);
    }
}

static void put_each(const struct rc_admin_sources *from, const char *name, const char *kind,
                     const char *help, size_t offset, struct rc_buf *to)
{
    put_head(to, name, kind, help);
    for (unsigned i = 0; i < from->nshards; i++)
        put_of_shard(to, name, kind, i,
                     rc_stat_get(rc_stat_at(&from->shards[i]->stats, offset)));
}

static void put_shards(const struct rc_admin_sources *from, struct rc_buf *to)
{
#define PUT(name, kind, help) \
    put_each(from, #name, #kind, help, offsetof(struct rc_stats, name), to);
    RC_STATS_MAP(PUT)
#undef PUT
    put_transports(from, to);
    put_closed(from, to);
    put_rings(from, to);
    put_hists(from, to);
}

/* ---- others ---- */

static void put_store(const struct rc_store_port *store, struct rc_buf *to)
{
    struct rc_store_stats stats;

    store->stats(store->store, &stats);
#define PUT(name, kind, help)                             \
    if (strcmp(#name, "busy_us") != 0) { /* in seconds */ \
        put_head(to, "store_" #name, #kind, help);        \
        put_value(to, "store_" #name, #kind, stats.name); \
    }
    RC_STORE_STATS_MAP(PUT)
#undef PUT
    put_head(to, "store_busy_seconds", "counter", "time in transactions");
    rc_buf_printf(to, "roomcast_store_busy_seconds_total %.6f\n", (double)stats.busy_us / 1e6);
}

static void put_admission(const struct rc_admission *admission, struct rc_buf *to)
{
    struct rc_admission_stats stats;

    rc_admission_stats(admission, &stats);
#define PUT(name, kind, help)         \
    put_head(to, #name, #kind, help); \
    put_value(to, #name, #kind, stats.name);
    RC_ADMISSION_STATS_MAP(PUT)
#undef PUT
    put_head(to, "turned_away", "counter",
             "connections that were not let in, by key of [limits]");
    for (unsigned i = 0; i < RC_REFUSAL_COUNT; i++)
        rc_buf_printf(to, "roomcast_turned_away_total{limit=\"%s\"} %llu\n",
                      rc_refusal_key((enum rc_refusal)i), (unsigned long long)stats.refused[i]);
}

static void put_cluster(const struct rc_cluster_port *cluster, struct rc_buf *to)
{
    struct rc_cluster_stats stats;

    cluster->stats(cluster->cluster, &stats);
#define PUT(name, kind, help)                    \
    put_head(to, "cluster_" #name, #kind, help); \
    put_value(to, "cluster_" #name, #kind, stats.name);
    RC_CLUSTER_STATS_MAP(PUT)
#undef PUT
}

/* ---- the process ---- */

/* Those that the client libraries of Prometheus give have their names, too. */
RC_PRINTF(5, 6)
static void put_plain(struct rc_buf *to, const char *name, const char *kind, const char *help,
                      const char *fmt, ...)
{
    char value[48];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(value, sizeof(value), fmt, ap);
    va_end(ap);
    rc_buf_printf(to, "# HELP %s %s\n# TYPE %s %s\n%s %s\n", name, help, name, kind, name,
                  value);
}

/* Newer kernels say how many as the size of the folder. */
static unsigned long count_open_files(void)
{
    unsigned long n = 0;
    struct stat st;
    DIR *dir;

    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
        return (unsigned long)st.st_size;
    dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return 0;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): it is this thread's folder */
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
        n += e->d_name[0] != '.';
    (void)closedir(dir);
    return n - 1; /* the folder itself */
}

static void put_process(const struct rc_admin_sources *from, struct rc_buf *to)
{
    double now = (double)rc_clock_wall_ms() / 1000;
    double up = (double)(rc_clock_ms() - from->started_ms) / 1000;
    unsigned long pages = 0, resident = 0;
    struct rlimit files = {0};
    struct rusage used = {0};
    FILE *f = fopen("/proc/self/statm", "re");

    if (f != NULL) {
        /* NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers */
        if (fscanf(f, "%lu %lu", &pages, &resident) != 2)
            pages = resident = 0;
        (void)fclose(f);
    }
    (void)getrusage(RUSAGE_SELF, &used);
    (void)getrlimit(RLIMIT_NOFILE, &files);
    put_plain(to, "process_resident_memory_bytes", "gauge", "resident memory", "%llu",
              (unsigned long long)resident * (unsigned long long)sysconf(_SC_PAGESIZE));
    put_plain(to, "process_virtual_memory_bytes", "gauge", "virtual memory", "%llu",
              (unsigned long long)pages * (unsigned long long)sysconf(_SC_PAGESIZE));
    put_plain(to, "process_cpu_seconds_total", "counter",
              "CPU time of the process and the kernel for it", "%.6f",
              (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                  (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    put_plain(to, "process_open_fds", "gauge", "open file descriptors", "%lu",
              count_open_files());
    put_plain(to, "process_max_fds", "gauge", "limit of open file descriptors", "%llu",
              (unsigned long long)files.rlim_cur);
    put_plain(to, "process_start_time_seconds", "gauge", "when the server started, since 1970",
              "%.3f", now - up);
    put_plain(to, "roomcast_uptime_seconds", "gauge", "since the server started", "%.3f", up);
}

static void put_build(const struct rc_admin_sources *from, struct rc_buf *to)
{
    put_head(to, "build_info", "gauge", "1; the labels say what runs");
    rc_buf_printf(to, "roomcast_build_info{version=\"%s\",libevent=\"%s\",openssl=\"%s\"} 1\n",
                  from->version, event_get_version(), OpenSSL_version(OPENSSL_VERSION_STRING));
}

void rc_metrics(const struct rc_admin_sources *from, struct rc_buf *to)
{
    put_shards(from, to);
    put_admission(from->admission, to);
    if (from->store != NULL)
        put_store(from->store, to);
    if (from->cluster != NULL)
        put_cluster(from->cluster, to);
    put_build(from, to);
    put_process(from, to);
}

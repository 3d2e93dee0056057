/* ctl_show.c - the console's answers that are made from counters and the configuration. */
#include "rc/api/ctl.h"

#include "rc/base/mem.h"
#include "rc/base/utf8.h"
#include "rc/base/wild.h"
#include "rc/proto/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What the INI says may be no UTF-8. */
static void put_text(struct rc_str text, struct rc_buf *to)
{
    rc_json_string_encode(rc_utf8_valid(text) ? text : RC_STR("(not UTF-8)"), to);
}

static void put_number(const char *name, uint64_t value, struct rc_buf *to)
{
    rc_buf_printf(to, ",\"%s\":", name);
    rc_buf_put_u64(to, value);
}

static uint64_t waiting(const struct rc_mesh *m, unsigned from, unsigned shard, unsigned class)
{
    uint64_t done, posted;

    if (from == shard && class == RC_MESH_REQUESTS)
        return 0; /* there is no such ring */
    /* In this order, for what was posted meanwhile. Yet the ring says it before the counter does. */
    done = rc_mesh_done(m, from, shard, (enum rc_mesh_class) class);
    posted = rc_mesh_posted(m, from, shard, (enum rc_mesh_class) class);
    return posted > done ? posted - done : 0;
}

uint64_t rc_mail_waiting(const struct rc_mesh *m, unsigned shard)
{
    uint64_t n = 0;

    for (unsigned p = 0; p < rc_mesh_producers(rc_mesh_shards(m)); p++)
        n += waiting(m, p, shard, RC_MESH_RESULTS) + waiting(m, p, shard, RC_MESH_REQUESTS);
    return n;
}

uint64_t rc_mail_spilled(const struct rc_mesh *m, unsigned shard)
{
    uint64_t n = 0;

    for (unsigned to = 0; to < rc_mesh_shards(m); to++)
        n += rc_mesh_spilled(m, shard, to);
    return n;
}

void rc_ctl_show_shards(const struct rc_admin_sources *from, struct rc_buf *to)
{
    rc_buf_putz(to, "{\"ok\":true,\"shards\":[");
    for (unsigned i = 0; i < from->nshards; i++) {
        const struct rc_stats *stats = &from->shards[i]->stats;

        rc_buf_printf(to, "%s{\"shard\":%u", i != 0 ? "," : "", i);
#define PUT(name, kind, help) put_number(#name, rc_stat_get(&stats->name), to);
        RC_STATS_MAP(PUT)
#undef PUT
        put_number("mail_waiting", rc_mail_waiting(from->mesh, i), to);
        put_number("spills", rc_mail_spilled(from->mesh, i), to);
        rc_buf_putc(to, '}');
    }
    rc_buf_putz(to, "]}");
}

static void put_endpoint(unsigned nshards, unsigned at, struct rc_buf *to)
{
    static const char *const other[] = {"acceptor", "main",    "store",
                                        "admin",    "cluster", "admin-ui"};

    if (at < nshards)
        rc_buf_printf(to, "\"shard-%u\"", at);
    else
        rc_buf_printf(to, "\"%s\"",
                      at - nshards < sizeof(other) / sizeof(other[0]) ? other[at - nshards]
                                                                      : "other");
}

void rc_ctl_show_rings(const struct rc_admin_sources *from, uint32_t limit, struct rc_buf *to)
{
    static const char *const class_name[] = {
        [RC_MESH_RESULTS] = "results", [RC_MESH_REQUESTS] = "requests"};
    unsigned n = from->nshards, producers = rc_mesh_producers(n);
    uint32_t shown = 0, matched = 0;

    rc_buf_putz(to, "{\"ok\":true,\"rings\":[");
    for (unsigned i = 0; i < producers * n * 2; i++) {
        unsigned producer = i / (n * 2), shard = i / 2 % n, class = i % 2;
        uint64_t wait = waiting(from->mesh, producer, shard, class);
        uint64_t posted =
            rc_mesh_posted(from->mesh, producer, shard, (enum rc_mesh_class) class);

        if (posted == 0)
            continue;
        matched++;
        if (shown == limit)
            continue;
        rc_buf_putz(to, shown++ != 0 ? ",{\"from\":" : "{\"from\":");
        put_endpoint(n, producer, to);
        rc_buf_putz(to, ",\"to\":");
        put_endpoint(n, shard, to);
        rc_buf_printf(to, ",\"class\":\"%s\"", class_name[class]);
        put_number("posted", posted, to);
        put_number("waiting", wait, to);
        put_number("spilled", rc_mesh_spilled(from->mesh, producer, shard), to);
        rc_buf_putc(to, '}');
    }
    rc_buf_printf(to, "],\"shown\":%u,\"matched\":%u}", shown, matched);
}

void rc_ctl_show_nodes(const struct rc_admin_sources *from, uint32_t limit, struct rc_buf *to)
{
    struct rc_cluster_node *node = rc_malloc(RC_CLUSTER_NODES_MAX * sizeof(*node));
    unsigned n = 0, shown = 0;

    if (from->cluster != NULL)
        n = from->cluster->nodes(from->cluster->cluster, node);
    rc_buf_putz(to, "{\"ok\":true,\"nodes\":[");
    for (; shown < n && shown < limit; shown++) {
        rc_buf_putz(to, shown != 0 ? ",{\"id\":" : "{\"id\":");
        rc_json_string_encode(rc_str_of(node[shown].id), to);
        rc_buf_putz(to, ",\"address\":");
        rc_json_string_encode(rc_str_of(node[shown].address), to);
        put_number("seconds", node[shown].here_ms / 1000, to);
        rc_buf_putc(to, '}');
    }
    rc_buf_printf(to, "],\"shown\":%u,\"matched\":%u}", shown, n);
    free(node);
}

static void put_closed(const struct rc_admin_sources *from, struct rc_buf *to)
{
    bool any = false;

    rc_buf_putz(to, ",\"closed\":{");
    for (unsigned r = 0; r < RC_CLOSE_COUNT; r++) {
        uint64_t sum = 0;

        for (unsigned i = 0; i < from->nshards; i++)
            sum += rc_stat_get(&from->shards[i]->stats.closed[r]);
        if (sum == 0)
            continue;
        rc_buf_printf(to, "%s\"%s\":%llu", any ? "," : "", rc_close_text((enum rc_close)r),
                      (unsigned long long)sum);
        any = true;
    }
    rc_buf_putc(to, '}');
}

static void put_store(const struct rc_admin_sources *from, struct rc_buf *to)
{
    struct rc_store_stats stats;
    bool any = false;

    rc_buf_putz(to, ",\"store\":");
    if (from->store == NULL) {
        rc_buf_putz(to, "null");
        return;
    }
    from->store->stats(from->store->store, &stats);
#define PUT(name, kind, help)                                  \
    rc_buf_printf(to, "%s\"" #name "\":%llu", any ? "," : "{", \
                  (unsigned long long)stats.name);             \
    any = true;
    RC_STORE_STATS_MAP(PUT)
#undef PUT
    rc_buf_putc(to, '}');
}

static void put_cluster(const struct rc_admin_sources *from, struct rc_buf *to)
{
    struct rc_cluster_stats stats;
    bool any = false;

    rc_buf_putz(to, ",\"cluster\":");
    if (from->cluster == NULL) {
        rc_buf_putz(to, "null");
        return;
    }
    from->cluster->stats(from->cluster->cluster, &stats);
#define PUT(name, kind, help)                                  \
    rc_buf_printf(to, "%s\"" #name "\":%llu", any ? "," : "{", \
                  (unsigned long long)stats.name);             \
    any = true;
    RC_CLUSTER_STATS_MAP(PUT)
#undef PUT
    rc_buf_putc(to, '}');
}

static void put_version(const struct rc_admin_sources *from, struct rc_buf *to)
{
    rc_buf_printf(to, "\"version\":\"%s\",\"pid\":%d,\"shards\":%u,\"uptime_seconds\":%llu",
                  from->version, (int)getpid(), from->nshards,
                  (unsigned long long)(rc_clock_ms() - from->started_ms) / 1000);
}

void rc_ctl_version(const struct rc_admin_sources *from, struct rc_buf *to)
{
    rc_buf_putz(to, "{\"ok\":true,");
    put_version(from, to);
    rc_buf_putc(to, '}');
}

static uint64_t sum_of(const struct rc_admin_sources *from, size_t offset)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < from->nshards; i++)
        sum += rc_stat_get(rc_stat_at(&from->shards[i]->stats, offset));
    return sum;
}

/* The counters of all shards. */
static void put_sums(const struct rc_admin_sources *from, struct rc_buf *to)
{
#define PUT(name, kind, help) \
    put_number(#name, sum_of(from, offsetof(struct rc_stats, name)), to);
    RC_STATS_MAP(PUT)
#undef PUT
}

void rc_ctl_show_stats(const struct rc_admin_sources *from, struct rc_buf *to)
{
    uint64_t sum = 0;

    rc_buf_putz(to, "{\"ok\":true,\"stats\":{");
    put_version(from, to);
    put_sums(from, to);
    for (unsigned i = 0; i < from->nshards; i++)
        sum += rc_mail_spilled(from->mesh, i);
    put_number("spills", sum, to);
    put_closed(from, to);
    put_store(from, to);
    put_cluster(from, to);
    rc_buf_putz(to, "}}");
}

/* ---- configuration ---- */

struct config {
    struct rc_str key;
    struct rc_buf *to;
    unsigned n;
};

static void on_value(const char *section, const char *key, struct rc_str value, const char *def,
                     void *arg)
{
    struct config *c = arg;
    char name[512];
    int n = snprintf(name, sizeof(name), "%s.%s", section, key);

    if (n < 0 || (size_t)n >= sizeof(name))
        n = (int)sizeof(name) - 1;
    if (c->key.len != 0 && !rc_wild_fits(c->key, rc_str_make(name, (size_t)n), NULL))
        return;
    rc_buf_putz(c->to, c->n++ != 0 ? ",{\"section\":" : "{\"section\":");
    put_text(rc_str_of(section), c->to);
    rc_buf_putz(c->to, ",\"key\":");
    put_text(rc_str_of(key), c->to);
    rc_buf_putz(c->to, ",\"value\":");
    put_text(value, c->to);
    rc_buf_putz(c->to, ",\"default\":");
    if (def != NULL)
        put_text(rc_str_of(def), c->to);
    else
        rc_buf_putz(c->to, "null");
    rc_buf_putc(c->to, '}');
}

unsigned rc_ctl_show_config(const struct rc_conf *conf, struct rc_str key, struct rc_buf *to)
{
    struct config c = {key, to, 0};

    rc_buf_putz(to, "{\"ok\":true,\"file\":");
    if (conf->file != NULL)
        put_text(rc_str_of(conf->file), to);
    else
        rc_buf_putz(to, "null");
    rc_buf_putz(to, ",\"config\":[");
    rc_conf_each(conf, on_value, &c);
    rc_buf_printf(to, "],\"shown\":%u,\"matched\":%u}", c.n, c.n);
    return c.n;
}

/* cluster.c - the cluster's thread: takes from the shards' queue, hands to Redis; and the other way. */
#include "cluster_int.h"

#include "rc/base/hash.h"
#include "rc/base/log.h"
#include "rc/base/mem.h"
#include "rc/base/thread.h"
#include "rc/base/timer.h"
#include "secret.h"
#include "streams.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    RETRY_MS = 1,    /* what waits for room in a ring is tried again */
    STOP_MS = 2000,  /* for what waits when the server ends */
    ITEM_SIZE = 128, /* bytes that each counts more than its publication has */
};

static uint64_t get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* ---- the port: shards ---- */

static void wake(struct rc_cluster *c)
{
    static const uint64_t one = 1;

    /* acq_rel: what was pushed is visible before the flag; see broker/mesh.c */
    if (atomic_exchange_explicit(&c->pending, 1, memory_order_acq_rel) != 0)
        return;
    while (write(c->efd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}

static bool refuse(struct rc_cluster *c, struct rc_pub *pub)
{
    rc_cluster_count(&c->count.dropped, 1);
    if (!atomic_exchange_explicit(&c->told_dropping, true, memory_order_relaxed))
        rc_log(RC_LOG_ERROR,
               "cluster: more waits for Redis than cluster.max_pending_size allows: "
               "messages to other nodes are dropped until it takes them");
    rc_pub_unref(&pub);
    return false;
}

static bool submit(void *cluster, const struct rc_cluster_item *item)
{
    struct rc_cluster *c = cluster;
    uint32_t size = ITEM_SIZE + (item->pub != NULL ? item->pub->len : 0);
    struct rc_cluster_item *copy;

    /* Several may look at once: then it is a few too many. */
    if (item->type == RC_CLUSTER_PUBLISH || item->type == RC_CLUSTER_PEER) {
        if (get(&c->waiting_size) + size > c->conf->cluster_max_pending_size)
            return refuse(c, item->pub);
        atomic_fetch_add_explicit(&c->waiting_size, size, memory_order_relaxed);
        atomic_fetch_add_explicit(&c->waiting_n, 1, memory_order_relaxed);
    }
    copy = rc_malloc(sizeof(*copy));
    *copy = *item;
    copy->size = size;
    rc_mpsc_push(&c->queue, &copy->node);
    wake(c);
    return true;
}

static void read_stats(const void *cluster, struct rc_cluster_stats *to)
{
    const struct rc_cluster *c = cluster;

    *to = (struct rc_cluster_stats){
        .up = get(&c->count.up),
        .nodes = get(&c->count.nodes),
        .connects = get(&c->count.connects),
        .published = get(&c->count.published),
        .published_bytes = get(&c->count.published_bytes),
        .received = get(&c->count.received),
        .received_bytes = get(&c->count.received_bytes),
        .own = get(&c->count.own),
        .bad = get(&c->count.bad),
        .unknown = get(&c->count.unknown),
        .dropped = get(&c->count.dropped),
        .lost = get(&c->count.lost),
        .unsure = get(&c->count.unsure),
        .pending = get(&c->waiting_n),
        .pending_bytes = get(&c->waiting_size),
        .timeouts = get(&c->count.timeouts),
        .missed = get(&c->count.missed),
        .stream_losses = get(&c->count.stream_losses),
        .repeated = get(&c->count.repeated),
        .resent = get(&c->count.resent),
    };
}

static uint16_t read_tag(const void *cluster)
{
    return rc_cluster_tag(cluster);
}

/* ---- reloads ---- */

/* "socket.io#/chat#*"; the * of a namespace's own pattern is one of Redis's, too. */
static struct rc_str pattern_of(const struct rc_conf *conf, const struct rc_nsp *nsp);

static void add_patterns(struct rc_cluster *c, unsigned nhad)
{
    c->pattern = rc_realloc(c->pattern, c->app->nnsps * sizeof(*c->pattern));
    for (unsigned i = nhad; i < c->app->nnsps; i++)
        c->pattern[i] = c->dialect->has_patterns && c->app->nsp[i].endpoint == RC_ENDPOINT_NONE
                            ? pattern_of(c->conf, &c->app->nsp[i])
                            : RC_STR_NONE;
}

void rc_cluster_renew(struct rc_cluster *c)
{
    const struct rc_app *last = c->app;

    if (!rc_app_is_old(last))
        return;
    c->app = rc_app_latest(last);
    rc_app_hold(c->app);
    add_patterns(c, last->nnsps);
    for (unsigned i = last->nnsps; i < c->app->nnsps;
         i++) /* the link says whether now or later */
        if (c->pattern[i].len != 0)
            rc_link_subscribe(c->link, c->pattern[i], true, true);
    rc_serve_subscribe(c, last);
    rc_app_let_go(last);
}

/* ---- what leaves ---- */

static void free_item(struct rc_cluster_item *item)
{
    rc_pub_unref(&item->pub);
    free(item);
}

void rc_cluster_put_channel(const struct rc_cluster *c, const char *kind, struct rc_str nsp,
                            struct rc_buf *to)
{
    rc_buf_putz(to, c->conf->cluster_prefix);
    rc_buf_putz(to, kind);
    rc_buf_putc(to, '#');
    rc_buf_puts(to, nsp);
    rc_buf_putc(to, '#');
}

void rc_cluster_publish(struct rc_cluster *c, struct rc_str channel, struct rc_str payload)
{
    if (!rc_link_is_up(c->link))
        return;
    c->under_way += payload.len;
    rc_cluster_count(&c->count.published, 1);
    rc_cluster_count(&c->count.published_bytes, payload.len);
    rc_link_publish(c->link, channel, payload);
}

void rc_cluster_send(struct rc_cluster *c, const char *kind, struct rc_str nsp,
                     struct rc_str payload)
{
    if (!rc_link_is_up(c->link)) {
        rc_cluster_count(&c->count.dropped, 1);
        return;
    }
    rc_buf_reset(&c->channel);
    rc_cluster_put_channel(c, kind, nsp, &c->channel);
    rc_cluster_publish(c, rc_buf_str(&c->channel), payload);
}

bool rc_cluster_count_nodes(struct rc_cluster *c, struct rc_str nsp, uint64_t number)
{
    rc_buf_reset(&c->channel);
    c->dialect->put_channel(c, nsp, &c->channel);
    return rc_link_count(c->link, rc_buf_str(&c->channel), number);
}

void rc_cluster_sent(struct rc_cluster *c, uint32_t size)
{
    atomic_fetch_sub_explicit(&c->waiting_size, size, memory_order_relaxed);
    atomic_fetch_sub_explicit(&c->waiting_n, 1, memory_order_relaxed);
}

/* False: it waits for Redis. */
static bool send_item(struct rc_cluster *c, const struct rc_cluster_item *item)
{
    if (item->type == RC_CLUSTER_PEER) {
        rc_nodes_tell(c, item);
        return true;
    }
    rc_bus_describe(c->app, item->pub, item->socket, &c->message);
    if (item->pub->ask == 0)
        return c->dialect->send(c, item->size);
    rc_inquire(c, item->pub, &c->message);
    return true;
}

static void send_waiting(struct rc_cluster *c)
{
    while (c->first != NULL && c->dialect->can_send(c)) {
        struct rc_cluster_item *item = c->first;

        c->first = item->next;
        if (c->first == NULL)
            c->last = &c->first;
        rc_cluster_renew(c);
        if (send_item(c, item))
            rc_cluster_sent(c, item->size);
        free_item(item);
    }
    if (c->streams != NULL)
        rc_streams_flush(c->streams);
}

static bool is_question(const struct rc_cluster_item *item)
{
    return item->type == RC_CLUSTER_PUBLISH && item->pub->ask != 0;
}

/* Nobody waits for Redis to have an answer. */
static void skip_question(struct rc_cluster *c, struct rc_cluster_item *item)
{
    rc_inquire_skip(c, item->pub);
    rc_cluster_sent(c, item->size);
    free_item(item);
}

static void skip_waiting_questions(struct rc_cluster *c)
{
    struct rc_cluster_item *item = c->first, *next;

    c->first = NULL;
    c->last = &c->first;
    for (; item != NULL; item = next) {
        next = item->next;
        if (is_question(item)) {
            skip_question(c, item);
            continue;
        }
        item->next = NULL;
        *c->last = item;
        c->last = &item->next;
    }
}

static void take_item(struct rc_cluster *c, struct rc_cluster_item *item)
{
    switch (item->type) {
    case RC_CLUSTER_PEER:
    case RC_CLUSTER_PUBLISH:
        if (is_question(item) && !rc_link_is_up(c->link)) {
            skip_question(c, item);
            return;
        }
        item->next = NULL;
        *c->last = item;
        c->last = &item->next;
        return;
    case RC_CLUSTER_DONE:
    case RC_CLUSTER_ASK_SHARDS:
    case RC_CLUSTER_ASK_SOCKETS:
    case RC_CLUSTER_ASK_ANSWER:
    case RC_CLUSTER_SPACE: rc_serve_item(c, item); break;
    }
    free_item(item);
}

static void take_items(struct rc_cluster *c)
{
    struct rc_mpsc_node *n;

    while ((n = rc_mpsc_pop(&c->queue)) != NULL)
        take_item(c, (struct rc_cluster_item *)n); /* its first field */
}

/* ---- what comes ---- */

struct rc_str rc_cluster_nsp_of(const struct rc_cluster *c, struct rc_str channel,
                                const char *kind)
{
    size_t prefix = strlen(c->conf->cluster_prefix), n = prefix + strlen(kind) + 1;
    struct rc_str name = rc_str_skip(channel, n);
    const char *end = name.len != 0 ? memchr(name.p, '#', name.len) : NULL;

    if (end == NULL || channel.p[n - 1] != '#' ||
        !rc_str_starts(rc_str_skip(channel, prefix), rc_str_of(kind)))
        return RC_STR_NONE;
    name.len = (size_t)(end - name.p);
    return name;
}

bool rc_cluster_received(struct rc_cluster *c, struct rc_str payload)
{
    rc_cluster_count(&c->count.received, 1);
    rc_cluster_count(&c->count.received_bytes, payload.len);
    if (payload.len <= c->conf->cluster_max_message_size)
        return true;
    rc_cluster_count(&c->count.bad, 1);
    return false;
}

void rc_cluster_take_response(struct rc_cluster *c, struct rc_str payload)
{
    rc_cluster_count(&c->count.received_bytes, payload.len);
    if (payload.len > c->conf->cluster_max_message_size)
        rc_cluster_count(&c->count.bad, 1);
    else
        rc_inquire_take(c, payload);
}

static void on_message(void *arg, struct rc_str pattern, struct rc_str channel,
                       struct rc_str payload)
{
    struct rc_cluster *c = arg;

    rc_cluster_renew(c);
    if (pattern.len == 0 && rc_str_eq(channel, rc_buf_str(&c->own_channel)))
        rc_nodes_take(c, payload);
    else
        c->dialect->on_message(c, pattern, channel, payload);
}

/* ---- what the link tells ---- */

static void come_up(struct rc_cluster *c)
{
    rc_log(RC_LOG_INFO, "cluster: %s: joined as %s", c->url.shown, c->uid);
    rc_cluster_count(&c->count.connects, 1);
    atomic_store_explicit(&c->count.up, 1, memory_order_relaxed);
    atomic_store_explicit(&c->told_dropping, false, memory_order_relaxed);
}

static void go_down(struct rc_cluster *c)
{
    rc_log(RC_LOG_ERROR, "cluster: %s: lost, this node is alone until it is back",
           c->url.shown);
    atomic_store_explicit(&c->count.up, 0, memory_order_relaxed);
    rc_rejoin_down(c);
    skip_waiting_questions(c);
}

void rc_cluster_look(struct rc_cluster *c)
{
    bool up = rc_link_is_up(c->link) && (c->streams == NULL || rc_streams_is_up(c->streams));

    if (up == c->is_up)
        return;
    c->is_up = up;
    if (up)
        come_up(c);
    else
        go_down(c);
}

static void on_link_up(void *arg)
{
    struct rc_cluster *c = arg;

    rc_cluster_look(c);
    if (c->streams == NULL) /* it keeps what the others have not read yet */
        rc_rejoin_up(c);
    rc_nodes_up(c);
}

static void on_link_down(void *arg)
{
    rc_cluster_look(arg);
}

static void put_entry(struct rc_buf *list, struct rc_str text)
{
    uint32_t len = (uint32_t)text.len;

    rc_buf_put(list, &len, sizeof(len));
    rc_buf_puts(list, text);
}

static void on_channels(void *arg, struct rc_buf *channels, struct rc_buf *patterns)
{
    struct rc_cluster *c = arg;

    rc_cluster_renew(c);
    rc_serve_channels(c, channels);
    put_entry(channels, rc_buf_str(&c->own_channel));
    for (unsigned i = 0; i < c->app->nnsps; i++)
        if (c->pattern[i].len != 0)
            put_entry(patterns, c->pattern[i]);
}

static void on_sent(void *arg, size_t size, bool lost)
{
    struct rc_cluster *c = arg;

    c->under_way -= size;
    if (lost)
        rc_cluster_count(&c->count.lost, 1);
}

static void on_counted(void *arg, uint64_t number, long long count)
{
    if (!rc_rejoin_counted(arg, number, count))
        rc_inquire_counted(arg, number, count);
}

static const struct rc_link_ops link_ops = {
    .up = on_link_up,
    .down = on_link_down,
    .channels = on_channels,
    .message = on_message,
    .sent = on_sent,
    .counted = on_counted,
};

/* ---- the thread ---- */

static void on_mail(evutil_socket_t fd, short what, void *arg)
{
    struct rc_cluster *c = arg;
    uint64_t count;

    (void)what;
    while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
        continue;
    /* Clear before popping: a push that misses this drain sees 0 and wakes us again. */
    (void)atomic_exchange_explicit(&c->pending, 0, memory_order_acq_rel);
    take_items(c);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg; /* that there is a turn is enough: its end retries */
}

/* It may show that Redis is gone, of which shards are told. */
static void flush_lines(struct rc_cluster *c)
{
    static const struct timeval soon = {.tv_usec = (suseconds_t)RETRY_MS * 1000};

    rc_link_flush(c->link);
    if (c->streams != NULL)
        rc_streams_flush_lines(c->streams);
    if (!rc_mesh_wake(c->mesh, rc_mesh_cluster(c->nshards)))
        (void)event_add(c->retry, &soon);
}

/* While rings are full nothing more is read: Redis keeps it for us, as far as it does. */
static void end_turn(struct rc_cluster *c)
{
    bool clear;

    send_waiting(c);
    clear = rc_mesh_wake(c->mesh, rc_mesh_cluster(c->nshards));
    rc_link_rest(c->link, !clear || rc_serve_waits(c));
    if (c->streams != NULL)
        rc_streams_rest(c->streams, !clear || rc_serve_waits(c));
    if (!clear || rc_serve_waits(c))
        rc_nodes_deaf(c);
    flush_lines(c);
}

/* Is there something that Redis has not got yet, and may still get? */
static bool has_work(const struct rc_cluster *c)
{
    if (c->streams != NULL && (c->first != NULL || !rc_streams_is_empty(c->streams)))
        return true; /* it may be back in time */
    return rc_link_is_up(c->link) && (c->first != NULL || c->under_way != 0);
}

/* Is there nothing more to do, or no time for it? */
static bool has_ended(struct rc_cluster *c)
{
    static const struct timeval look = {.tv_usec = 20000};

    /* acquire: before it was set the shards ended, so all that they have submitted is seen. */
    if (!atomic_load_explicit(&c->stopping, memory_order_acquire))
        return false;
    take_items(c);
    send_waiting(c);
    if (c->end_at == 0) {
        c->end_at = rc_clock_ms() + STOP_MS;
        rc_rejoin_hurry(c, c->end_at - STOP_MS / 2);
        rc_nodes_bye(c);
    }
    flush_lines(c);
    if (!has_work(c) || rc_clock_ms() >= c->end_at)
        return true;
    (void)event_add(c->retry, &look);
    return false;
}

static void *run(void *arg)
{
    struct rc_cluster *c = arg;

    rc_thread_enter("cluster", c);
    rc_link_start(c->link);
    if (c->streams != NULL)
        rc_streams_start(c->streams);
    do {
        (void)event_base_loop(c->base, EVLOOP_ONCE);
        rc_cluster_renew(c);
        end_turn(c);
    } while (!has_ended(c));
    if (get(&c->waiting_n) != 0)
        rc_log(RC_LOG_WARN, "cluster: %llu messages to other nodes are dropped at the end",
               (unsigned long long)get(&c->waiting_n));
    return NULL;
}

/* ---- life ---- */

static void choose_uid(struct rc_cluster *c)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t random[RC_UID_LEN];

    (void)snprintf(c->uid, sizeof(c->uid), "%s", c->conf->cluster_node);
    if (c->uid[0] != '\0')
        return;
    rc_random(random, sizeof(random));
    for (unsigned i = 0; i < RC_UID_LEN; i++)
        c->uid[i] = letters[random[i] & 63];
    c->uid[RC_UID_LEN] = '\0';
}

static struct rc_str pattern_of(const struct rc_conf *conf, const struct rc_nsp *nsp)
{
    struct rc_buf b = RC_BUF_INIT;
    size_t len;

    rc_buf_putz(&b, conf->cluster_prefix);
    rc_buf_putc(&b, '#');
    for (size_t i = 0; i < nsp->name.len; i++) {
        if (strchr("?[]\\", nsp->name.p[i]) != NULL ||
            (nsp->name.p[i] == '*' && !nsp->is_pattern))
            rc_buf_putc(&b, '\\');
        rc_buf_putc(&b, nsp->name.p[i]);
    }
    rc_buf_putz(&b, "#*");
    len = b.len;
    return rc_str_make(rc_buf_take(&b, &len), len);
}

static bool init_url(struct rc_cluster *c)
{
    struct rc_buf password = RC_BUF_INIT;
    const char *expected;
    bool ok =
        rc_redis_url_parse(rc_str_of(c->conf->cluster_redis), &c->url, &expected) == RC_OK;

    if (ok && c->conf->cluster_password_file[0] != '\0') {
        ok = rc_cluster_password(c->conf, &password) == 0;
        free(c->url.password);
        c->url.password = rc_strndup((const char *)password.data, password.len - 1);
        OPENSSL_cleanse(password.data, password.cap);
        rc_buf_deinit(&password);
    }
    return ok;
}

static bool init_events(struct rc_cluster *c)
{
    struct event_config *config = event_config_new();
    struct rc_buf heartbeat = RC_BUF_INIT;

    RC_ASSERT(config != NULL);
    (void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    c->base = event_base_new_with_config(config);
    event_config_free(config);
    c->efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (c->base == NULL || c->efd < 0)
        return false;
    rc_buf_printf(&heartbeat, "%s-node#%s#", c->conf->cluster_prefix, c->uid);
    c->link = rc_link_new(c->base, &c->url, rc_buf_str(&heartbeat), &link_ops, c);
    rc_buf_deinit(&heartbeat);
    c->mail = event_new(c->base, c->efd, EV_READ | EV_PERSIST, on_mail, c);
    c->retry = event_new(c->base, -1, 0, on_retry, c);
    return c->link != NULL && c->mail != NULL && c->retry != NULL &&
           event_add(c->mail, NULL) == 0;
}

struct rc_cluster *rc_cluster_new(const struct rc_conf *conf, const struct rc_app *app,
                                  struct rc_mesh *mesh)
{
    size_t size = (sizeof(struct rc_cluster) + RC_CACHELINE - 1) / RC_CACHELINE * RC_CACHELINE;
    struct rc_cluster *c = aligned_alloc(RC_CACHELINE, size);

    RC_ASSERT(c != NULL);
    memset(c, 0, size);
    c->port = (struct rc_cluster_port){.cluster = c,
                                       .submit = submit,
                                       .stats = read_stats,
                                       .tag = read_tag,
                                       .nodes = rc_nodes_list,
                                       .token = c->token};
    c->conf = conf;
    c->dialect = conf->cluster_mode == RC_CLUSTERMODE_STREAMS ? &rc_by_streams : &rc_classic;
    c->app = app;
    c->mesh = mesh;
    c->nshards = rc_mesh_shards(mesh);
    c->efd = -1;
    c->last = &c->first;
    rc_mpsc_init(&c->queue);
    rc_wire_reader_init(&c->reader);
    rc_inquire_init(c);
    rc_entry_reader_init(&c->entry);
    choose_uid(c);
    rc_app_hold(app);
    add_patterns(c, 0);
    if (init_url(c) && init_events(c) && rc_serve_init(c) == RC_OK &&
        rc_nodes_init(c) == RC_OK && rc_rejoin_init(c) == RC_OK &&
        (c->dialect != &rc_by_streams || rc_cluster_init_streams(c)))
        return c;
    rc_cluster_free(c);
    return NULL;
}

void rc_cluster_advertise(struct rc_cluster *c, const char *address)
{
    RC_ASSERT(!c->started && strlen(address) < sizeof(c->address));
    memcpy(c->address, address, strlen(address) + 1);
}

int rc_cluster_open(struct rc_cluster *c, struct rc_conf_errors *e)
{
    char why[192] = "";
    int rc = rc_link_probe(&c->url, c->conf->cluster_request_timeout, why, sizeof(why));

    if (rc == RC_EINVAL) {
        rc_conf_error(e, NULL, 0,
                      "cluster: %s lets us not in: %s: look at cluster.redis and "
                      "cluster.password_file",
                      c->url.shown, why);
        return RC_EINVAL;
    }
    if (rc != RC_OK && c->conf->cluster_required) {
        rc_conf_error(
            e, NULL, 0,
            "cluster: %s cannot be reached: %s: start it, or set cluster.required = no",
            c->url.shown, why);
        return RC_EINVAL;
    }
    if (rc != RC_OK)
        rc_log(RC_LOG_WARN, "cluster: %s cannot be reached, will be tried again: %s",
               c->url.shown, why);
    return RC_OK;
}

const struct rc_cluster_port *rc_cluster_port(struct rc_cluster *c)
{
    return &c->port;
}

int rc_cluster_start(struct rc_cluster *c)
{
    int err = pthread_create(&c->thread, NULL, run, c);

    c->started = err == 0;
    errno = err;
    return err == 0 ? RC_OK : RC_ESYS;
}

void rc_cluster_poke(struct rc_cluster *c)
{
    wake(c);
}

void rc_cluster_stop(struct rc_cluster *c)
{
    if (!c->started)
        return;
    /* release: pairs with the thread's acquire */
    atomic_store_explicit(&c->stopping, true, memory_order_release);
    wake(c);
    (void)pthread_join(c->thread, NULL);
    c->started = false;
}

void rc_cluster_free(struct rc_cluster *c)
{
    if (c == NULL)
        return;
    take_items(c); /* of shards that free what they still have */
    while (c->first != NULL) {
        struct rc_cluster_item *item = c->first;

        c->first = item->next;
        free_item(item);
    }
    rc_serve_deinit(c);
    rc_nodes_deinit(c);
    rc_rejoin_deinit(c);
    rc_link_free(c->link);
    rc_inquire_deinit(c); /* what the link has counted for it is told till then */
    rc_streams_free(c->streams);
    if (c->mail != NULL)
        event_free(c->mail);
    if (c->retry != NULL)
        event_free(c->retry);
    if (c->base != NULL)
        event_base_free(c->base);
    if (c->efd >= 0)
        (void)close(c->efd);
    for (unsigned i = 0; i < c->app->nnsps; i++)
        free((void *)(uintptr_t)c->pattern[i].p);
    free(c->pattern);
    rc_app_let_go(c->app);
    rc_wire_reader_deinit(&c->reader);
    rc_entry_reader_deinit(&c->entry);
    rc_bus_message_deinit(&c->message);
    rc_buf_deinit(&c->out);
    rc_buf_deinit(&c->channel);
    rc_redis_url_deinit(&c->url);
    free(c);
}

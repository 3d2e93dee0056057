/* admin_ui_desk.c - the thread that looks at operators' passwords, and tells them the figures of the server.
 *
 * bcrypt takes tens of milliseconds, which no shard has. Requests come by a ring of each shard, answers
 * go by the mesh. */
#include "rc/base/cidr.h"
#include "rc/base/hash.h"
#include "rc/base/mem.h"
#include "rc/base/spsc.h"
#include "rc/base/timer.h"
#include "rc/broker/admin_ui.h"
#include "rc/net/ws.h"
#include "rc/proto/json.h"

#include <crypt.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    REQUESTS = 64,     /* of a shard, that may wait */
    SAMPLE_MS = 1000,  /* between two looks at the counters */
    STATS_SAMPLES = 2, /* looks in a server_stats */
    RETRY_MS = 1,      /* a ring of the mesh is full */
    ID_BYTES = 8,      /* of an operator's session */
    ID_LEN = 2 * ID_BYTES,
    SESSIONS_MAX = 256,
    SESSION_MS = 24 * 3600 * 1000,
    FAILURES_MAX = 10, /* of an address, before it has to wait */
    FORGIVE_MS = 6000, /* one of them is forgotten */
    ADDRESSES = 256,
    PLACES = 8, /* of them, that an address may have */
    COST_MIN = 4,
    COST_MAX = 14, /* of bcrypt: about 1 s */
    HASH_LEN = 60,
};

struct request {
    rc_id session;
    char *username, *password, *session_id; /* NULL: it said none */
    char address[RC_ADDR_TEXT];
};

struct session {
    char id[ID_LEN + 1];
    uint64_t until; /* 0: free */
};

/* Wrong passwords from an address. */
struct failures {
    uint64_t key;   /* see rc_cidr_key: of IPv6 a /64 has one */
    uint64_t since; /* when the oldest that is not forgotten yet was, so to speak */
    unsigned n;
};

/* What was counted, of all shards. */
struct sums {
    uint64_t opened, packets_in, bytes_in, packets_out, bytes_out;
    uint64_t ended[RC_UI_REASON_COUNT];
};

struct rc_ui_desk {
    const struct rc_app *app; /* held */
    struct rc_mesh *mesh;
    struct rc_shard *const *shards;
    unsigned nshards, me;
    struct rc_spsc *ring; /* [nshards], of struct request * */
    int wake;             /* eventfd */
    _Atomic bool stopping;
    _Atomic uint64_t watchers; /* shards with operators, a bit each */
    struct session session[SESSIONS_MAX];
    struct failures failures[ADDRESSES];
    struct crypt_data *crypt;
    char hostname[256];
    uint64_t started_at;
    struct sums last;
    struct rc_buf events; /* aggregated, since the last server_stats */
    unsigned samples;
    uint64_t next_sample; /* 0: nobody watches */
    pthread_t thread;
    bool started;
};

/* ---- the configuration ---- */

static bool is_bcrypt(const char *hash)
{
    static const char alphabet[] =
        "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    unsigned cost;

    if (strlen(hash) != HASH_LEN || hash[0] != '$' || hash[1] != '2' ||
        strchr("aby", hash[2]) == NULL || hash[3] != '$' || hash[6] != '$' ||
        strspn(hash + 4, "0123456789") != 2 || strspn(hash + 7, alphabet) != HASH_LEN - 7)
        return false;
    cost = (unsigned)(hash[4] - '0') * 10 + (unsigned)(hash[5] - '0');
    return cost >= COST_MIN && cost <= COST_MAX;
}

void rc_ui_check(const struct rc_conf *conf, struct rc_conf_errors *e)
{
    if (!conf->admin_ui)
        return;
    if (conf->admin_ui_namespace[0] == '\0' || strpbrk(conf->admin_ui_namespace, "*?,") != NULL)
        rc_conf_fault(
            e, conf, "admin", "ui_namespace",
            "[admin] ui_namespace = %s: expected a namespace such as /admin, which is "
            "no pattern",
            conf->admin_ui_namespace);
    if (conf->admin_ui_username[0] == '\0')
        rc_conf_fault(e, conf, "admin", "ui",
                      "[admin] ui_username: expected a name, since ui = yes");
    if (!is_bcrypt(conf->admin_ui_password_hash))
        rc_conf_fault(
            e, conf, "admin",
            conf->admin_ui_password_hash[0] != '\0' ? "ui_password_hash" : "ui",
            "[admin] ui_password_hash: expected a bcrypt hash ($2b$10$ and 53 "
            "characters, cost %d to %d), since ui = yes; htpasswd -nbBC 10 '' PASSWORD "
            "makes one",
            (int)COST_MIN, (int)COST_MAX);
}

/* ---- requests, on the shard ---- */

static char *copy(struct rc_str s)
{
    return s.len != 0 ? rc_strndup(s.p, s.len) : NULL;
}

static void free_request(struct request *r)
{
    if (r->password != NULL)
        explicit_bzero(r->password, strlen(r->password));
    free(r->username);
    free(r->password);
    free(r->session_id);
    free(r);
}

static void wake(const struct rc_ui_desk *d)
{
    static const uint64_t one = 1;

    RC_ASSERT(write(d->wake, &one, sizeof(one)) == (ssize_t)sizeof(one));
}

bool rc_ui_desk_ask(struct rc_ui_desk *d, unsigned shard, const struct rc_ui_login *login)
{
    struct request **slot = rc_spsc_claim(&d->ring[shard]);
    struct request *r;

    if (slot == NULL)
        return false;
    r = rc_calloc(1, sizeof(*r));
    r->session = login->session;
    r->username = copy(login->username);
    r->password = copy(login->password);
    r->session_id = copy(login->session_id);
    (void)snprintf(r->address, sizeof(r->address), "%.*s", RC_STR_ARG(login->address));
    *slot = r;
    rc_spsc_commit(&d->ring[shard]);
    wake(d);
    return true;
}

void rc_ui_desk_watch(struct rc_ui_desk *d, unsigned shard, bool watches)
{
    uint64_t bit = (uint64_t)1 << shard;

    /* relaxed: nothing else is read because of it */
    if (watches)
        atomic_fetch_or_explicit(&d->watchers, bit, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(&d->watchers, ~bit, memory_order_relaxed);
    wake(d);
}

/* ---- sessions of operators ---- */

static bool session_exists(const struct rc_ui_desk *d, const char *id, uint64_t now)
{
    bool found = false;

    /* All of them, in constant time: the answer must not tell how much of a guess was right. */
    for (unsigned i = 0; i < SESSIONS_MAX; i++) {
        const struct session *s = &d->session[i];

        if (rc_str_eq_secret(rc_str_make(s->id, ID_LEN), rc_str_of(id)) && s->until > now)
            found = true;
    }
    return found;
}

/* The one that ends next makes room. */
static const char *new_session(struct rc_ui_desk *d, uint64_t now)
{
    struct session *s = &d->session[0];
    uint8_t raw[ID_BYTES];

    for (unsigned i = 1; i < SESSIONS_MAX; i++)
        if (d->session[i].until < s->until)
            s = &d->session[i];
    rc_random(raw, sizeof(raw));
    for (unsigned i = 0; i < ID_BYTES; i++)
        (void)snprintf(s->id + (size_t)2 * i, 3, "%02x", raw[i]);
    s->until = now + SESSION_MS;
    return s->id;
}

/* ---- passwords ---- */

static uint64_t key_of(const char *address)
{
    struct rc_cidr one;

    return rc_cidr_parse(rc_str_of(address), &one) ? rc_cidr_key(one.family, one.ip) : 0;
}

static void forgive(struct failures *f, uint64_t now)
{
    while (f->n != 0 && now - f->since >= FORGIVE_MS) {
        f->n--;
        f->since += FORGIVE_MS;
    }
    if (f->n == 0)
        f->since = now;
}

/* Those that are counted keep their place: one for whom there is none shares one. */
static struct failures *failures_of(struct rc_ui_desk *d, const char *address, uint64_t now)
{
    uint64_t key = key_of(address), hash = rc_hash(&key, sizeof(key), 0);
    struct failures *unused = NULL;

    for (unsigned i = 0; i < PLACES; i++) {
        struct failures *f = &d->failures[(hash + i) % ADDRESSES];

        forgive(f, now);
        if (f->n != 0 && f->key == key)
            return f;
        if (f->n == 0 && unused == NULL)
            unused = f;
    }
    if (unused == NULL)
        return &d->failures[hash % ADDRESSES];
    *unused = (struct failures){.key = key, .since = now};
    return unused;
}

static bool password_fits(struct rc_ui_desk *d, const char *password)
{
    const char *hash = d->app->conf->admin_ui_password_hash;
    const char *made = crypt_rn(password, hash, d->crypt, (int)sizeof(*d->crypt));
    bool fits = made != NULL && rc_str_eq_secret(rc_str_of(made), rc_str_of(hash));

    explicit_bzero(d->crypt, sizeof(*d->crypt));
    return fits;
}

/* *id: a new session's. The password is looked at with a wrong name, too: the time does not tell. */
static enum rc_ui_verdict judge(struct rc_ui_desk *d, const struct request *r, const char **id)
{
    uint64_t now = rc_clock_ms();
    struct failures *f = failures_of(d, r->address, now);
    bool is_name, is_password;

    if (r->session_id != NULL && session_exists(d, r->session_id, now))
        return RC_UI_GRANTED;
    if (r->username == NULL || r->password == NULL)
        return RC_UI_REFUSED; /* there was nothing to guess: a session that has ended */
    if (f->n >= FAILURES_MAX)
        return RC_UI_TOO_MANY;
    is_name =
        rc_str_eq_secret(rc_str_of(r->username), rc_str_of(d->app->conf->admin_ui_username));
    is_password = password_fits(d, r->password);
    if (!is_name || !is_password) {
        f->n++;
        return RC_UI_REFUSED;
    }
    *id = new_session(d, now);
    return RC_UI_GRANTED;
}

static void answer(struct rc_ui_desk *d, const struct request *r)
{
    struct rc_msg msg = {.type = RC_MSG_UI_LOGIN};
    const char *id = NULL;

    msg.count = judge(d, r, &id);
    msg.u.ui.to = r->session;
    if (id != NULL)
        msg.u.ui.pub = rc_pub_new(d->app->ui->index, RC_STR_NONE, 0, id, ID_LEN);
    rc_mesh_post(d->mesh, d->me, rc_id_shard(r->session), &msg);
}

/* One of each shard at a time: one that has many waits for the others. */
static bool take_requests(struct rc_ui_desk *d)
{
    bool any = false;

    for (unsigned i = 0; i < d->nshards; i++) {
        struct request **slot = rc_spsc_front(&d->ring[i]), *r;

        if (slot == NULL)
            continue;
        r = *slot;
        rc_spsc_release(&d->ring[i]);
        answer(d, r);
        free_request(r);
        any = true;
    }
    return any;
}

/* ---- figures ---- */

static uint64_t get(const _Atomic uint64_t *s)
{
    return rc_stat_get(s);
}

static void add_up(const struct rc_ui_desk *d, struct sums *all)
{
    *all = (struct sums){0};
    for (unsigned i = 0; i < d->nshards; i++) {
        const struct rc_ui_counts *c = d->shards[i]->ui_counts;

        all->opened += get(&c->opened);
        all->packets_in += get(&c->packets_in);
        all->bytes_in += get(&c->bytes_in);
        all->packets_out += get(&c->packets_out);
        all->bytes_out += get(&c->bytes_out);
        for (unsigned r = 0; r < RC_UI_REASON_COUNT; r++)
            all->ended[r] += get(&c->ended[r]);
    }
}

static void put_count(struct rc_ui_desk *d, const char *type, const char *sub_type,
                      uint64_t count)
{
    uint64_t now = rc_clock_wall_ms();

    if (count == 0)
        return;
    if (d->events.len != 0)
        rc_buf_putc(&d->events, ',');
    rc_buf_putz(&d->events, "{\"timestamp\":");
    rc_buf_put_u64(&d->events, now - now % 1000);
    rc_buf_printf(&d->events, ",\"type\":\"%s\"", type);
    if (sub_type != NULL)
        rc_buf_printf(&d->events, ",\"subType\":\"%s\"", sub_type);
    rc_buf_putz(&d->events, ",\"count\":");
    rc_buf_put_u64(&d->events, count);
    rc_buf_putc(&d->events, '}');
}

/* What has been counted since the last time. */
static void sample(struct rc_ui_desk *d)
{
    static const char *const reason[] = {
#define RC_UI_REASON_TEXT(name, text) text,
        RC_UI_REASON_MAP(RC_UI_REASON_TEXT)
#undef RC_UI_REASON_TEXT
    };
    struct sums now;

    add_up(d, &now);
    put_count(d, "rawConnection", NULL, now.opened - d->last.opened);
    put_count(d, "packetsIn", NULL, now.packets_in - d->last.packets_in);
    put_count(d, "bytesIn", NULL, now.bytes_in - d->last.bytes_in);
    put_count(d, "packetsOut", NULL, now.packets_out - d->last.packets_out);
    put_count(d, "bytesOut", NULL, now.bytes_out - d->last.bytes_out);
    for (unsigned r = 0; r < RC_UI_REASON_COUNT; r++)
        put_count(d, "rawDisconnection", reason[r], now.ended[r] - d->last.ended[r]);
    d->last = now;
}

static void put_namespaces(const struct rc_ui_desk *d, struct rc_buf *to)
{
    bool first = true;

    rc_buf_putz(to, "\"namespaces\":[");
    for (unsigned n = 0; n < d->app->nnsps; n++) {
        const struct rc_nsp *nsp = &d->app->nsp[n];
        uint64_t sockets = 0;

        if (nsp->endpoint != RC_ENDPOINT_NONE)
            continue;
        for (unsigned i = 0; i < d->nshards; i++)
            sockets += get(&d->shards[i]->ui_counts->sockets[n]);
        if (nsp->gone && sockets == 0)
            continue;
        rc_buf_putz(to, first ? "{\"name\":" : ",{\"name\":");
        rc_json_string_encode(nsp->name, to);
        rc_buf_putz(to, ",\"socketsCount\":");
        rc_buf_put_u64(to, sockets);
        rc_buf_putc(to, '}');
        first = false;
    }
    rc_buf_putc(to, ']');
}

static void put_stats(const struct rc_ui_desk *d, struct rc_buf *to)
{
    const char *id = d->app->conf->admin_ui_server_id;
    uint64_t up = rc_clock_ms() - d->started_at, clients = 0, polling = 0;

    for (unsigned i = 0; i < d->nshards; i++) {
        clients += get(&d->shards[i]->stats.sessions);
        polling += get(&d->shards[i]->ui_counts->polling);
    }
    rc_buf_putz(to, "{\"serverId\":");
    rc_json_string_encode(rc_str_of(id[0] != '\0' ? id : d->hostname), to);
    rc_buf_putz(to, ",\"hostname\":");
    rc_json_string_encode(rc_str_of(d->hostname), to);
    rc_buf_printf(to, ",\"pid\":%d,\"uptime\":%u.%03u,\"clientsCount\":", (int)getpid(),
                  (unsigned)(up / 1000), (unsigned)(up % 1000));
    rc_buf_put_u64(to, clients);
    rc_buf_putz(to, ",\"pollingClientsCount\":");
    rc_buf_put_u64(to, polling);
    rc_buf_putz(to, ",\"aggregatedEvents\":[");
    rc_buf_puts(to, rc_buf_str(&d->events));
    rc_buf_putz(to, "],");
    put_namespaces(d, to);
    rc_buf_putc(to, '}');
}

static void tell_stats(struct rc_ui_desk *d, uint64_t watchers)
{
    struct rc_buf text = RC_BUF_INIT, frame = RC_BUF_INIT;
    struct rc_pub *pub;

    rc_sio_put_head(&text, RC_SIO_EVENT, 0, d->app->ui->name, false, 0);
    rc_buf_putz(&text, "[\"server_stats\",");
    put_stats(d, &text);
    rc_buf_putc(&text, ']');
    rc_ws_put_header(&frame, RC_WS_TEXT, false, text.len);
    rc_buf_puts(&frame, rc_buf_str(&text));
    RC_ASSERT(!text.failed && !frame.failed);
    pub = rc_pub_new(d->app->ui->index, RC_STR_NONE, 0, frame.data, frame.len);
    for (unsigned to = 0; to < d->nshards; to++) {
        struct rc_msg msg = {.type = RC_MSG_UI_TELL};

        if ((watchers >> to & 1) == 0)
            continue;
        msg.u.ui.pub = rc_pub_ref(pub);
        rc_mesh_post(d->mesh, d->me, to, &msg);
    }
    rc_pub_unref(&pub);
    rc_buf_reset(&d->events);
    rc_buf_deinit(&text);
    rc_buf_deinit(&frame);
}

/* Whoever comes first gets its figures at once. */
static void look(struct rc_ui_desk *d)
{
    uint64_t now = rc_clock_ms();
    uint64_t watchers = atomic_load_explicit(&d->watchers, memory_order_relaxed);

    if (watchers == 0) {
        d->next_sample = 0;
        return;
    }
    if (d->next_sample == 0) {
        add_up(d, &d->last);
        rc_buf_reset(&d->events);
        d->samples = STATS_SAMPLES - 1;
        d->next_sample = now;
    }
    if (now < d->next_sample)
        return;
    sample(d);
    d->next_sample = now + SAMPLE_MS;
    if (++d->samples < STATS_SAMPLES)
        return;
    d->samples = 0;
    tell_stats(d, watchers);
}

/* ---- the thread ---- */

/* Goes over to the latest generation. */
static void renew(struct rc_ui_desk *d)
{
    const struct rc_app *last = d->app;

    if (!rc_app_is_old(last))
        return;
    d->app = rc_app_latest(last);
    rc_app_hold(d->app);
    rc_app_let_go(last);
}

static int time_to_wait(const struct rc_ui_desk *d)
{
    uint64_t now = rc_clock_ms();

    if (d->next_sample == 0)
        return -1;
    return d->next_sample > now ? (int)(d->next_sample - now) : 0;
}

static void *run(void *arg)
{
    struct rc_ui_desk *d = arg;
    struct pollfd fd = {.fd = d->wake, .events = POLLIN};
    bool busy = false, sent = true;

    rc_thread_enter("admin-ui", d);
    while (!atomic_load_explicit(&d->stopping, memory_order_acquire)) {
        uint64_t n;

        if (!busy)
            (void)poll(&fd, 1, sent ? time_to_wait(d) : RETRY_MS);
        (void)!read(d->wake, &n, sizeof(n));
        renew(d);
        busy = take_requests(d);
        look(d);
        sent = rc_mesh_wake(d->mesh, d->me);
    }
    return NULL;
}

struct rc_ui_desk *rc_ui_desk_new(const struct rc_app *app, struct rc_mesh *mesh)
{
    struct rc_ui_desk *d = rc_calloc(1, sizeof(*d));
    bool ok;

    d->app = app;
    rc_app_hold(app);
    d->mesh = mesh;
    d->nshards = rc_mesh_shards(mesh);
    d->me = rc_mesh_ui(d->nshards);
    d->started_at = rc_clock_ms();
    d->crypt = rc_calloc(1, sizeof(*d->crypt));
    d->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    d->ring = aligned_alloc(RC_CACHELINE, d->nshards * sizeof(*d->ring));
    ok = d->wake >= 0 && d->ring != NULL;
    for (unsigned i = 0; d->ring != NULL && i < d->nshards; i++) {
        memset(&d->ring[i], 0, sizeof(d->ring[i]));
        ok = rc_spsc_init(&d->ring[i], REQUESTS, sizeof(struct request *)) == RC_OK && ok;
    }
    if (gethostname(d->hostname, sizeof(d->hostname) - 1) != 0)
        (void)snprintf(d->hostname, sizeof(d->hostname), "localhost");
    if (ok)
        return d;
    rc_ui_desk_free(d);
    return NULL;
}

int rc_ui_desk_start(struct rc_ui_desk *d, struct rc_shard *const *shards)
{
    d->shards = shards;
    d->started = pthread_create(&d->thread, NULL, run, d) == 0;
    return d->started ? RC_OK : RC_ESYS;
}

void rc_ui_desk_stop(struct rc_ui_desk *d)
{
    if (!d->started)
        return;
    atomic_store_explicit(&d->stopping, true, memory_order_release);
    wake(d);
    (void)pthread_join(d->thread, NULL);
    d->started = false;
}

void rc_ui_desk_free(struct rc_ui_desk *d)
{
    if (d == NULL)
        return;
    rc_ui_desk_stop(d);
    for (unsigned i = 0; d->ring != NULL && i < d->nshards; i++) {
        struct request **slot;

        while ((slot = rc_spsc_front(&d->ring[i])) != NULL) {
            struct request *r = *slot;

            rc_spsc_release(&d->ring[i]);
            free_request(r);
        }
        rc_spsc_deinit(&d->ring[i]);
    }
    free(d->ring);
    rc_app_let_go(d->app);
    rc_buf_deinit(&d->events);
    free(d->crypt);
    if (d->wake >= 0)
        (void)close(d->wake);
    free(d);
}

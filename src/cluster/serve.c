/* serve.c - what other nodes ask: about this node's sockets and rooms, to move them, and of its clients. */
#include "cluster_int.h"
#include "rc/base/hash.h"
#include "rc/base/hmap.h"
#include "rc/base/log.h"
#include "rc/base/mem.h"
#include "rc/base/timer.h"
#include "rc/broker/ask.h"

#include <stdlib.h>
#include <string.h>

enum {
    ORDERS_MAX = 1024, /* given to the shards at once; more are not answered */
    QUESTIONS = 4096,  /* open ones of other nodes, a power of two */
    PATIENCE = 10,     /* times cluster.request_timeout: what another node may ask for */
    TICK_MS = 1000,
    ASKER_MAX = 256, /* bytes of what a node calls itself, and of its request's id */
};

/* Given to the shards. */
struct order {
    struct rc_list link;
    uint64_t number;
    unsigned left;        /* DONEs still to come */
    const char *key;      /* what is asked for; NULL: nobody waits for an answer */
    struct rc_buf answer; /* so far: JSON values by comma */
    size_t size;          /* of its parts */
    struct rc_asker to;   /* behind it */
    char bytes[];
};

/* What came behind a barrier. */
struct held {
    struct rc_list link;
    bool is_request;
    size_t nsp_len, len;
    char bytes[]; /* namespace, payload */
};

/* A broadcast of another node that waits for acknowledgements. */
struct question {
    uint64_t number, until_ms;
    int64_t shards, reported; /* -1: the owner has not told how many */
    uint32_t asked, answered;
    bool told;          /* how many were asked */
    struct rc_hmap who; /* sockets that have answered, their ids as pointers */
    struct rc_asker to; /* behind it */
    char bytes[];
};

/* A dynamic namespace with sockets here. */
struct space {
    uint64_t hash;
    size_t len;
    char name[];
};

/* ---- dynamic namespaces ---- */

static bool same_space(const void *value, const void *key)
{
    const struct space *s = value;

    return rc_str_eq(rc_str_make(s->name, s->len), *(const struct rc_str *)key);
}

static void add_channels(const struct rc_cluster *c, struct rc_str nsp, struct rc_buf *channels)
{
    struct rc_buf one = RC_BUF_INIT;
    uint32_t len;

    c->dialect->put_channel(c, nsp, &one);
    len = (uint32_t)one.len;
    rc_buf_put(channels, &len, sizeof(len));
    rc_buf_puts(channels, rc_buf_str(&one));
    rc_buf_deinit(&one);
    rc_inquire_channels(c, nsp, channels);
}

static bool is_served(const struct rc_nsp *nsp)
{
    return nsp->endpoint == RC_ENDPOINT_NONE && !nsp->is_pattern;
}

void rc_serve_channels(const struct rc_cluster *c, struct rc_buf *channels)
{
    uint32_t cursor = 0;
    const struct space *s;

    for (unsigned i = 0; i < c->app->nnsps; i++)
        if (is_served(&c->app->nsp[i]))
            add_channels(c, c->app->nsp[i].name, channels);
    while ((s = rc_hmap_next(&c->spaces, &cursor)) != NULL)
        add_channels(c, rc_str_make(s->name, s->len), channels);
}

static void subscribe(struct rc_cluster *c, struct rc_str nsp, bool on)
{
    struct rc_buf list = RC_BUF_INIT;
    struct rc_str rest, channel;

    add_channels(c, nsp, &list);
    for (rest = rc_buf_str(&list); rc_bus_list_next(&rest, &channel);)
        rc_link_subscribe(c->link, channel, false, on);
    rc_buf_deinit(&list);
}

void rc_serve_subscribe(struct rc_cluster *c, const struct rc_app *last)
{
    const struct rc_nsp *nsp = c->app->nsp;
    uint32_t cursor = 0;
    const struct space *s;

    for (unsigned i = 0; i < c->app->nnsps; i++)
        if (is_served(&nsp[i]) &&
            (i >= last->nnsps || (nsp[i].rules.uses_ask && !last->nsp[i].rules.uses_ask)))
            subscribe(c, nsp[i].name, true);
    while ((s = rc_hmap_next(&c->spaces, &cursor)) != NULL)
        subscribe(c, rc_str_make(s->name, s->len), true);
}

/* Other nodes count who listens to a namespace's requests, so none may without sockets in it. */
static void on_space(struct rc_cluster *c, struct rc_str name, bool is_there)
{
    uint64_t hash = rc_hash(name.p, name.len, 0);
    struct space *s = rc_hmap_find(&c->spaces, hash, same_space, &name);

    if (is_there == (s != NULL))
        return;
    if (is_there) {
        s = rc_malloc(sizeof(*s) + name.len);
        s->hash = hash;
        s->len = name.len;
        memcpy(s->name, name.p, name.len);
        rc_hmap_insert(&c->spaces, hash, s);
    } else {
        rc_hmap_remove(&c->spaces, hash, s);
        free(s);
    }
    subscribe(c, name, is_there);
}

/* ---- who asks ---- */

static size_t size_of(const struct rc_asker *a)
{
    return a->nsp.len + a->uid.len + a->id.len;
}

static struct rc_str copy(struct rc_str s, char **to)
{
    char *p = *to;

    if (s.len != 0)
        memcpy(p, s.p, s.len);
    *to += s.len;
    return rc_str_make(p, s.len);
}

static struct rc_asker copy_asker(const struct rc_asker *a, char *to)
{
    struct rc_asker mine;

    mine.nsp = copy(a->nsp, &to);
    mine.uid = copy(a->uid, &to);
    mine.id = copy(a->id, &to);
    return mine;
}

/* Of the request that has come. */
static struct rc_asker asker_of(const struct rc_cluster *c, struct rc_str nsp)
{
    const struct rc_wire_request *q = &c->request;

    return (struct rc_asker){.nsp = nsp, .uid = rc_buf_str(&q->uid), .id = rc_buf_str(&q->id)};
}

/* ---- orders ---- */

static void free_content(struct order *o)
{
    rc_buf_deinit(&o->answer);
    free(o);
}

static void free_order(struct rc_cluster *c, struct order *o)
{
    rc_list_remove(&o->link);
    c->norders--;
    c->answers_size -= o->size;
    free_content(o);
}

static struct order *new_order(struct rc_cluster *c, struct rc_str nsp)
{
    struct rc_asker to = asker_of(c, nsp);
    struct order *o = rc_malloc(sizeof(*o) + size_of(&to));

    *o = (struct order){.number = ++c->number};
    o->to = copy_asker(&to, o->bytes);
    rc_list_append(&c->orders, &o->link);
    c->norders++;
    return o;
}

static void give(struct rc_cluster *c, struct rc_str nsp, enum rc_bus_order order,
                 struct order *o)
{
    struct rc_wire_request *q = &c->request;
    bool moves = order >= RC_BUS_JOIN;

    q->m.to.nsp = nsp;
    o->left =
        rc_bus_order(c->app, c->mesh, order, o->number, &q->m.to, moves ? &q->rooms : NULL);
    if (o->left == 0)
        free_order(c, o);
    else if (moves)
        c->barrier = o->number;
}

static void ask_shards(struct rc_cluster *c, struct rc_str nsp, enum rc_bus_order order,
                       const char *key)
{
    struct order *o;

    if (c->request.id.len == 0 || c->norders >= ORDERS_MAX) {
        rc_cluster_count(&c->count.bad, 1);
        return;
    }
    o = new_order(c, nsp);
    o->key = key;
    give(c, nsp, order, o);
}

static void move(struct rc_cluster *c, struct rc_str nsp, enum rc_bus_order order)
{
    give(c, nsp, order, new_order(c, nsp));
}

/* A part of an answer. False: more is kept of all answers than may wait for Redis, and this one is given up. */
static bool add_answer(struct rc_cluster *c, struct order *o, struct rc_str part)
{
    bool alone = c->answers_size == o->size;

    if (!alone && c->answers_size + part.len > c->conf->cluster_max_pending_size) {
        rc_cluster_count(&c->count.dropped, 1);
        return false;
    }
    if (o->answer.len != 0)
        rc_buf_putc(&o->answer, ',');
    rc_buf_puts(&o->answer, part);
    c->answers_size += part.len;
    o->size += part.len;
    return !o->answer.failed;
}

static void on_done(struct rc_cluster *c, const struct rc_cluster_item *item)
{
    struct order *o = NULL;

    for (struct rc_list *l = c->orders.next; l != &c->orders && o == NULL; l = l->next)
        if (RC_CONTAINER(l, struct order, link)->number == item->number)
            o = RC_CONTAINER(l, struct order, link);
    if (o == NULL)
        return;
    if (item->pub != NULL && item->pub->len != 0 && !add_answer(c, o, rc_pub_data(item->pub))) {
        free_order(c, o);
        return;
    }
    if (item->count != 0 || --o->left != 0)
        return;
    if (o->key != NULL && !o->answer.failed)
        c->dialect->answer_list(c, &o->to, o->key, rc_buf_str(&o->answer));
    if (c->barrier == o->number)
        c->barrier = 0;
    free_order(c, o);
}

/* ---- questions ---- */

static uint64_t number_of(unsigned slot)
{
    uint64_t random;

    rc_random(&random, sizeof(random));
    return RC_ASK_BUS | (random & 0x7fffffff) << 16 | slot;
}

static struct question *find(const struct rc_cluster *c, uint64_t number)
{
    struct question *q = c->question[number & (QUESTIONS - 1)];

    return q != NULL && q->number == number ? q : NULL;
}

static void drop(struct rc_cluster *c, struct question *q)
{
    c->question[q->number & (QUESTIONS - 1)] = NULL;
    rc_hmap_deinit(&q->who);
    free(q);
}

/* A place for so long, and no longer than PATIENCE times what we would wait ourselves. */
static uint32_t time_for(const struct rc_cluster *c, uint32_t asked)
{
    uint32_t own = c->conf->cluster_request_timeout, most = own * PATIENCE;

    return asked == 0 ? own : asked < most ? asked : most;
}

/* Puts what a node asks of its and our clients to ours. */
static void put_question(struct rc_cluster *c, struct rc_str nsp)
{
    struct rc_wire_request *r = &c->request;
    uint32_t within = time_for(c, r->timeout_ms);
    struct rc_asker to = asker_of(c, nsp);
    unsigned slot = 0;
    struct question *q;

    while (slot < QUESTIONS && c->question[slot] != NULL)
        slot++;
    if (slot == QUESTIONS || !rc_str_eq(r->m.to.nsp, nsp)) {
        rc_cluster_count(slot == QUESTIONS ? &c->count.bad : &c->count.unknown, 1);
        return;
    }
    q = rc_malloc(sizeof(*q) + size_of(&to));
    *q = (struct question){
        .number = number_of(slot), .until_ms = rc_clock_ms() + within, .shards = -1};
    q->to = copy_asker(&to, q->bytes);
    c->question[slot] = q;
    r->m.ask = q->number;
    if (!rc_bus_deliver(c->app, c->mesh, &r->m))
        drop(c, q);
}

static void tell_count(struct rc_cluster *c, struct question *q)
{
    if (q->told || q->shards < 0 || q->reported < q->shards)
        return;
    q->told = true;
    c->dialect->answer_count(c, &q->to, q->asked);
    if (q->asked == 0)
        drop(c, q);
}

static bool same_id(const void *value, const void *key)
{
    return value == key;
}

/* {json length:4, json, {length:4, bytes} of each attachment}, as ask.c has it. A socket has one. */
static void on_answer(struct rc_cluster *c, struct question *q, rc_id socket,
                      struct rc_str answer)
{
    struct rc_str attachment[RC_SIO_ATTACHMENTS_MAX], json;
    uint64_t hash = rc_hash(&socket, sizeof(socket), 0);
    void *who = (void *)(uintptr_t)socket; /* NOLINT(performance-no-int-to-ptr): only a key */
    unsigned n = 0;

    if (rc_hmap_find(&q->who, hash, same_id, who) != NULL)
        return;
    rc_hmap_insert(&q->who, hash, who);
    (void)rc_bus_list_next(&answer, &json);
    while (n < RC_SIO_ATTACHMENTS_MAX && rc_bus_list_next(&answer, &attachment[n]))
        n++;
    c->dialect->answer_ack(c, &q->to, json, attachment, n);
    q->answered++;
    if (q->told && q->answered >= q->asked)
        drop(c, q);
}

static void on_report(struct rc_cluster *c, const struct rc_cluster_item *item)
{
    struct question *q = find(c, item->number);

    if (q == NULL)
        return;
    if (item->type == RC_CLUSTER_ASK_ANSWER) {
        on_answer(c, q, item->socket, rc_pub_data(item->pub));
        return;
    }
    if (item->type == RC_CLUSTER_ASK_SHARDS) {
        q->shards = item->count;
    } else {
        q->reported++;
        q->asked += item->count;
    }
    tell_count(c, q);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct rc_cluster *c = arg;
    uint64_t now = rc_clock_ms();

    (void)fd;
    (void)what;
    for (unsigned i = 0; i < QUESTIONS; i++)
        if (c->question[i] != NULL && c->question[i]->until_ms <= now)
            drop(c, c->question[i]);
    rc_inquire_tick(c, now);
    if (rc_link_is_up(c->link))
        rc_rejoin_tick(c);
}

/* ---- requests ---- */

/* There is no program here for what servers tell each other. Who waits for an answer gets null. */
static void answer_server(struct rc_cluster *c, struct rc_str nsp)
{
    struct rc_asker to = asker_of(c, nsp);

    if (to.id.len != 0)
        c->dialect->answer_server(c, &to);
}

static void on_request(struct rc_cluster *c, struct rc_str nsp, struct rc_str payload)
{
    struct rc_wire_request *q = &c->request;

    if (c->dialect->read_request(c, nsp, payload) != RC_OK || q->id.len > ASKER_MAX ||
        q->uid.len > ASKER_MAX) {
        rc_cluster_count(&c->count.bad, 1);
        return;
    }
    switch (q->type) {
    case RC_WIRE_SOCKETS: ask_shards(c, nsp, RC_BUS_SOCKETS, "sockets"); break;
    case RC_WIRE_ALL_ROOMS: ask_shards(c, nsp, RC_BUS_ROOMS, "rooms"); break;
    case RC_WIRE_REMOTE_FETCH: ask_shards(c, nsp, RC_BUS_FETCH, "sockets"); break;
    case RC_WIRE_REMOTE_JOIN: move(c, nsp, RC_BUS_JOIN); break;
    case RC_WIRE_REMOTE_LEAVE: move(c, nsp, RC_BUS_LEAVE); break;
    case RC_WIRE_REMOTE_DISCONNECT:
        move(c, nsp, q->close ? RC_BUS_CLOSE : RC_BUS_DISCONNECT);
        break;
    case RC_WIRE_SERVER_SIDE_EMIT: answer_server(c, nsp); break;
    case RC_WIRE_BROADCAST:
        if (rc_str_eq(rc_buf_str(&q->uid), rc_str_of(c->uid)))
            rc_inquire_heard(c, rc_buf_str(&q->id));
        else
            put_question(c, nsp);
        break;
    case RC_WIRE_CLIENT_COUNT:
    case RC_WIRE_BROADCAST_ACK:
    case RC_WIRE_NO_TYPE: break;
    }
}

static void on_broadcast(struct rc_cluster *c, struct rc_str nsp, struct rc_str payload)
{
    const struct rc_bus_message *m = &c->message;

    if (c->dialect->read_broadcast(c, nsp, payload) != RC_OK)
        rc_cluster_count(&c->count.bad, 1);
    else if (!rc_str_eq(m->to.nsp, nsp) || !rc_bus_deliver(c->app, c->mesh, m))
        rc_cluster_count(&c->count.unknown, 1);
}

static void take(struct rc_cluster *c, bool is_request, struct rc_str nsp,
                 struct rc_str payload)
{
    if (is_request)
        on_request(c, nsp, payload);
    else
        on_broadcast(c, nsp, payload);
}

void rc_serve_take(struct rc_cluster *c, bool is_request, struct rc_str nsp,
                   struct rc_str payload)
{
    struct held *h;

    if (c->barrier == 0 && rc_list_empty(&c->held)) {
        take(c, is_request, nsp, payload);
        return;
    }
    /* Redis is not read any more: this is the rest of what was. */
    h = rc_malloc(sizeof(*h) + nsp.len + payload.len);
    h->is_request = is_request;
    h->nsp_len = nsp.len;
    h->len = payload.len;
    memcpy(h->bytes, nsp.p, nsp.len);
    if (payload.len != 0)
        memcpy(h->bytes + nsp.len, payload.p, payload.len);
    rc_list_append(&c->held, &h->link);
}

static void take_held(struct rc_cluster *c)
{
    while (c->barrier == 0 && !rc_list_empty(&c->held)) {
        struct held *h = RC_CONTAINER(c->held.next, struct held, link);

        rc_list_remove(&h->link);
        take(c, h->is_request, rc_str_make(h->bytes, h->nsp_len),
             rc_str_make(h->bytes + h->nsp_len, h->len));
        free(h);
    }
}

void rc_serve_item(struct rc_cluster *c, const struct rc_cluster_item *item)
{
    switch (item->type) {
    case RC_CLUSTER_DONE:
        on_done(c, item);
        take_held(c);
        break;
    case RC_CLUSTER_ASK_SHARDS:
    case RC_CLUSTER_ASK_SOCKETS:
    case RC_CLUSTER_ASK_ANSWER: on_report(c, item); break;
    case RC_CLUSTER_SPACE: on_space(c, rc_pub_room(item->pub), item->count != 0); break;
    case RC_CLUSTER_PEER:
    case RC_CLUSTER_PUBLISH: break;
    }
}

/* ---- life ---- */

int rc_serve_init(struct rc_cluster *c)
{
    const struct timeval t = {.tv_sec = TICK_MS / 1000};

    rc_list_init(&c->orders);
    rc_list_init(&c->held);
    c->question = rc_calloc(QUESTIONS, sizeof(struct question *));
    c->tick = event_new(c->base, -1, EV_PERSIST, on_tick, c);
    return c->tick != NULL && event_add(c->tick, &t) == 0 ? RC_OK : RC_ENOMEM;
}

void rc_serve_deinit(struct rc_cluster *c)
{
    uint32_t cursor = 0;
    struct space *s;

    if (c->question == NULL)
        return;
    for (struct rc_list *l = c->orders.next, *next; l != &c->orders; l = next) {
        next = l->next;
        free_content(RC_CONTAINER(l, struct order, link));
    }
    for (struct rc_list *l = c->held.next, *next; l != &c->held; l = next) {
        next = l->next;
        free(RC_CONTAINER(l, struct held, link));
    }
    for (unsigned i = 0; i < QUESTIONS; i++)
        if (c->question[i] != NULL)
            drop(c, c->question[i]);
    free(c->question);
    while ((s = rc_hmap_next(&c->spaces, &cursor)) != NULL)
        free(s);
    rc_hmap_deinit(&c->spaces);
    rc_wire_request_deinit(&c->request);
    if (c->tick != NULL)
        event_free(c->tick);
}

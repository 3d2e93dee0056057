/* survey.c - what operators ask: answered in slices, one in a turn. */
#include "rc/broker/survey.h"

#include "rc/base/mem.h"
#include "rc/base/wild.h"
#include "rc/broker/engine.h"
#include "rc/broker/identity.h"
#include "rc/broker/polling.h"
#include "rc/broker/room.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"
#include "rc/broker/space.h"
#include "rc/proto/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- questions ---- */

struct rc_survey *rc_survey_new(enum rc_survey_what what, unsigned shard,
                                const struct rc_survey_filter *filter)
{
    struct rc_survey *q = rc_calloc(1, sizeof(*q));
    struct rc_str *name[] = {&q->filter.client, &q->filter.user, &q->filter.address,
                             &q->filter.room, &q->filter.nsp};
    size_t size = 0, n = sizeof(name) / sizeof(name[0]);
    char *to;

    q->what = (uint8_t)what;
    q->shard = shard;
    q->filter = *filter;
    q->limit = RC_SURVEY_GIVE;
    for (size_t i = 0; i < n; i++)
        size += name[i]->len;
    to = q->names = rc_malloc(size + 1);
    for (size_t i = 0; i < n; i++) {
        if (name[i]->len != 0)
            memcpy(to, name[i]->p, name[i]->len);
        name[i]->p = to;
        to += name[i]->len;
    }
    return q;
}

void rc_survey_free(struct rc_survey *q)
{
    if (q == NULL)
        return;
    rc_buf_deinit(&q->text);
    free(q->names);
    free(q);
}

void rc_survey_restart(struct rc_survey *q, unsigned shard)
{
    q->shard = shard;
    q->cursor = 0;
    q->more = false;
}

bool rc_survey_send(struct rc_mesh *mesh, struct rc_survey *q)
{
    unsigned from = rc_mesh_admin(rc_mesh_shards(mesh));
    struct rc_msg msg = {.type = RC_MSG_SURVEY};

    msg.u.survey = q;
    rc_mesh_post(mesh, from, q->shard, &msg);
    return rc_mesh_wake(mesh, from);
}

struct rc_survey *rc_survey_take(struct rc_survey_desk *desk)
{
    /* acquire: pairs with put_down, the answers are visible */
    return atomic_exchange_explicit(&desk->answered, NULL, memory_order_acquire);
}

/* Whoever makes the list longer than empty wakes the asker, who takes all of it after that: both by the
 * one variable, so that no wake-up is lost. */
static void put_down(struct rc_survey_desk *desk, struct rc_survey *q)
{
    static const uint64_t one = 1;
    struct rc_survey *first = atomic_load_explicit(&desk->answered, memory_order_relaxed);
    ssize_t n;

    do
        q->next = first;
    while (!atomic_compare_exchange_weak_explicit(&desk->answered, &first, q,
                                                  memory_order_release, memory_order_relaxed));
    if (first != NULL)
        return;
    do
        n = write(desk->fd, &one, sizeof(one));
    while (n < 0 && errno == EINTR);
}

/* ---- walks ---- */

bool rc_survey_clients(struct rc_shard *sh, uint64_t *cursor, uint32_t look,
                       rc_survey_client_fn *fn, void *arg)
{
    const struct rc_pool *p = &sh->sessions;
    uint64_t end = (uint64_t)p->nchunks * p->per_chunk, stop = *cursor + look;

    if (stop > end)
        stop = end;
    for (; *cursor < stop; (*cursor)++) {
        struct rc_session *s = rc_pool_at(p, (uint32_t)*cursor);

        if (s != NULL && !s->closed)
            fn(sh, s, arg);
    }
    return *cursor < end;
}

struct rc_str rc_survey_nsp_of(const struct rc_shard *sh, uint16_t nsp, struct rc_str key)
{
    size_t label = rc_space_label(sh, nsp, key).len;

    return sh->app->nsp[nsp].is_pattern ? rc_str_make(key.p, key.len - label - 1)
                                        : sh->app->nsp[nsp].name;
}

struct rooms_walk {
    struct rc_shard *sh;
    rc_survey_room_fn *fn;
    void *arg;
};

static void on_room(void *value, void *arg)
{
    const struct rooms_walk *w = arg;
    const struct rc_room *r = value;
    struct rc_str label = rc_space_label(w->sh, r->nsp, rc_str_make(r->name, r->name_len));

    if (label.len != 0 && !rc_space_is_hidden(label))
        w->fn(w->sh, r, label, w->arg);
}

bool rc_survey_rooms(struct rc_shard *sh, uint64_t *cursor, uint32_t look,
                     rc_survey_room_fn *fn, void *arg)
{
    struct rooms_walk w = {sh, fn, arg};
    uint32_t at = (uint32_t)*cursor;

    do
        at = rc_hmap_scan(&sh->room_by_name, at, on_room, &w);
    while (at != 0 && --look != 0);
    *cursor = at;
    return at != 0;
}

/* ---- clients ---- */

struct rc_session *rc_survey_find(struct rc_shard *sh, struct rc_str client)
{
    rc_id socket = rc_name_parse(RC_NAME_SOCKET, client);
    struct rc_session *s = NULL;
    const struct rc_socket *k;
    unsigned shard, slot, gen;
    char text[40], end;

    if (socket != 0) {
        k = rc_id_shard(socket) == sh->index
                ? rc_pool_find(&sh->sockets, rc_id_slot(socket), rc_id_gen(socket))
                : NULL;
        s = k != NULL && !k->closed ? k->session : NULL;
    } else if (client.len != 0 && client.len < sizeof(text)) {
        (void)snprintf(text, sizeof(text), "%.*s", RC_STR_ARG(client));
        /* NOLINTNEXTLINE(cert-err34-c): what is too big names nobody */
        if (sscanf(text, "%u.%u.%u%c", &shard, &slot, &gen, &end) == 3)
            s = shard == sh->index ? rc_pool_find(&sh->sessions, slot, gen) : NULL;
        else
            s = rc_engine_find(sh, client);
    }
    return s != NULL && !s->closed ? s : NULL;
}

struct rc_addr rc_survey_peer(const struct rc_session *s)
{
    if (s->conn != NULL)
        return s->conn->peer;
    return s->polling != NULL ? s->polling->peer : (struct rc_addr){.family = 0};
}

static bool fits(struct rc_str pattern, struct rc_str text)
{
    return pattern.len == 0 || rc_wild_fits(pattern, text, NULL);
}

static bool fits_user(const struct rc_token *token, struct rc_str user)
{
    return token != NULL && rc_wild_fits(user, token->user, NULL);
}

static bool has_user(const struct rc_shard *sh, const struct rc_session *s, struct rc_str user)
{
    if (user.len == 0 || fits_user(rc_identity_session_token(sh, s), user))
        return true;
    for (const struct rc_socket *k = s->sockets; k != NULL; k = k->next)
        if (fits_user(rc_identity_token(k), user))
            return true;
    return false;
}

/* "1.2.3.4:5" of "1.2.3.4:5", also without the port. */
static bool has_address(const struct rc_session *s, struct rc_str address)
{
    struct rc_addr peer;
    char text[RC_ADDR_TEXT];
    const char *port;

    if (address.len == 0)
        return true;
    peer = rc_survey_peer(s);
    (void)rc_addr_text(&peer, text);
    port = strrchr(text, ':');
    return rc_wild_fits(address, rc_str_of(text), NULL) ||
           (port != NULL &&
            rc_wild_fits(address, rc_str_make(text, (size_t)(port - text)), NULL));
}

/* What the client calls the room; nothing: it is none of those it has named. */
static struct rc_str label_of(const struct rc_shard *sh, const struct rc_member *m)
{
    struct rc_str label = rc_space_label(sh, m->room->name->nsp, rc_pub_room(m->room->name));

    return !m->want || rc_space_is_hidden(label) ? RC_STR_NONE : label;
}

static bool is_in(const struct rc_shard *sh, const struct rc_socket *k, struct rc_str room)
{
    for (unsigned i = 0; i < k->nrooms; i++) {
        struct rc_str label = label_of(sh, &k->room[i]);

        if (label.len != 0 && rc_wild_fits(room, label, NULL))
            return true;
    }
    return false;
}

/* One socket must fit both. */
static bool has_socket(const struct rc_shard *sh, const struct rc_session *s,
                       const struct rc_survey_filter *f)
{
    if (f->nsp.len == 0 && f->room.len == 0)
        return true;
    for (const struct rc_socket *k = s->sockets; k != NULL; k = k->next)
        if (fits(f->nsp, rc_space_name(sh, k)) && (f->room.len == 0 || is_in(sh, k, f->room)))
            return true;
    return false;
}

static enum rc_survey_transport transport_of(const struct rc_session *s)
{
    return s->kind == RC_SESSION_POLLING     ? RC_SURVEY_POLLING
           : s->kind == RC_SESSION_WEBSOCKET ? RC_SURVEY_WEBSOCKET
                                             : RC_SURVEY_PLAIN;
}

static unsigned count_rooms(const struct rc_shard *sh, const struct rc_socket *k)
{
    unsigned n = 0;

    for (unsigned i = 0; i < k->nrooms; i++)
        n += label_of(sh, &k->room[i]).len != 0;
    return n;
}

static uint64_t client_key(const struct rc_shard *sh, const struct rc_session *s, unsigned key)
{
    uint64_t n = 0;

    if (key == RC_SURVEY_QUEUE)
        return s->out.bytes;
    if (key != RC_SURVEY_JOINED)
        return s->nsockets;
    for (const struct rc_socket *k = s->sockets; k != NULL; k = k->next)
        n += count_rooms(sh, k);
    return n;
}

static bool client_fits(const struct rc_shard *sh, const struct rc_session *s,
                        const struct rc_survey_filter *f)
{
    return (f->transport == RC_SURVEY_ANY || f->transport == transport_of(s)) &&
           has_address(s, f->address) && has_user(sh, s, f->user) && has_socket(sh, s, f);
}

/* The next entry, whose text begins here; NULL: it is only counted. */
static struct rc_survey_entry *add_entry(struct rc_survey *q, uint64_t key)
{
    struct rc_survey_entry *e;

    q->matched++;
    if (q->n >= q->limit || q->n == RC_SURVEY_GIVE || key < q->filter.least)
        return NULL;
    e = &q->entry[q->n++];
    *e = (struct rc_survey_entry){.key = key, .at = (uint32_t)q->text.len, .nsp = -1};
    return e;
}

static void end_entry(const struct rc_survey *q, struct rc_survey_entry *e)
{
    RC_ASSERT(!q->text.failed);
    e->len = (uint32_t)q->text.len - e->at;
}

static void put_socket(const struct rc_shard *sh, const struct rc_socket *k, struct rc_buf *b)
{
    unsigned named = 0, n = count_rooms(sh, k);

    rc_buf_putz(b, "{\"id\":\"");
    rc_socket_put_name(sh, k, b);
    rc_buf_putz(b, "\",\"namespace\":");
    rc_json_string_encode(rc_space_name(sh, k), b);
    rc_buf_printf(b, ",\"room_count\":%u,\"rooms\":[", n);
    for (unsigned i = 0; i < k->nrooms && named < RC_SURVEY_NAMED; i++) {
        struct rc_str label = label_of(sh, &k->room[i]);

        if (label.len == 0)
            continue;
        rc_buf_putz(b, named++ != 0 ? "," : "");
        rc_json_string_encode(label, b);
    }
    rc_buf_putz(b, "]}");
}

static void put_user(const struct rc_shard *sh, const struct rc_session *s, struct rc_buf *b)
{
    const struct rc_token *token = rc_identity_session_token(sh, s);

    for (const struct rc_socket *k = s->sockets; token == NULL && k != NULL; k = k->next)
        token = rc_identity_token(k);
    if (token != NULL)
        rc_json_string_encode(token->user, b);
    else
        rc_buf_putz(b, "null");
}

static void put_client(const struct rc_shard *sh, const struct rc_session *s, struct rc_buf *b)
{
    static const char *const transport[] = {
        [RC_SURVEY_ANY] = "",
        [RC_SURVEY_POLLING] = "polling",
        [RC_SURVEY_WEBSOCKET] = "websocket",
        [RC_SURVEY_PLAIN] = "plain",
    };
    struct rc_addr peer = rc_survey_peer(s);
    char address[RC_ADDR_TEXT];

    rc_buf_printf(b, "\"id\":\"%u.%u.%u\",\"shard\":%u,\"transport\":\"%s\",\"revision\":%s",
                  sh->index, s->hdr.slot, s->hdr.gen, sh->index, transport[transport_of(s)],
                  s->kind == RC_SESSION_ENDPOINT ? "null"
                  : s->eio3                      ? "3"
                                                 : "4");
    rc_buf_printf(b, ",\"address\":\"%s\",\"user\":",
                  peer.family != 0 ? rc_addr_text(&peer, address) : "");
    put_user(sh, s, b);
    rc_buf_printf(b, ",\"queue_bytes\":%u,\"sockets\":[", s->out.bytes);
    for (const struct rc_socket *k = s->sockets; k != NULL; k = k->next) {
        put_socket(sh, k, b);
        rc_buf_putz(b, k->next != NULL ? "," : "");
    }
    rc_buf_putc(b, ']');
}

void rc_survey_end(struct rc_shard *sh, struct rc_session *s)
{
    if (s->kind == RC_SESSION_ENDPOINT) {
        rc_wsconn_end(sh, s, RC_WS_POLICY, RC_STR("kicked"), RC_CLOSE_KICKED);
        rc_session_close(sh, s, RC_CLOSE_KICKED);
        return;
    }
    for (const struct rc_socket *k = s->sockets; k != NULL; k = k->next) {
        struct rc_str frames;

        rc_frames_begin(&sh->scratch);
        rc_sio_put_head(&sh->scratch, RC_SIO_DISCONNECT, 0, rc_space_name(sh, k), false, 0);
        rc_frames_end(&sh->scratch);
        frames = rc_frames(&sh->scratch);
        rc_session_push(sh, s, rc_seg_new(frames.p, frames.len));
    }
    rc_engine_fail(sh, s, RC_CLOSE_KICKED);
}

static void on_client(struct rc_shard *sh, struct rc_session *s, void *arg)
{
    struct rc_survey *q = arg;
    struct rc_survey_entry *e;

    rc_assert_on_shard(sh);
    if (!client_fits(sh, s, &q->filter))
        return;
    e = add_entry(q, client_key(sh, s, q->filter.key));
    if (e != NULL) {
        put_client(sh, s, &q->text);
        end_entry(q, e);
    }
    if (q->end_them)
        rc_survey_end(sh, s);
}

/* Whether the slice has given enough. */
static bool is_full(const struct rc_survey *q)
{
    return (q->end_them && q->matched >= RC_SURVEY_END) ||
           (q->limit != 0 && q->n >= (q->limit < RC_SURVEY_GIVE ? q->limit : RC_SURVEY_GIVE)) ||
           q->text.len >= RC_SURVEY_TEXT;
}

RC_ON_SHARD static void look_at_clients(struct rc_shard *sh, struct rc_survey *q)
{
    if (q->filter.client.len != 0) {
        struct rc_session *s = rc_survey_find(sh, q->filter.client);

        if (s != NULL)
            on_client(sh, s, q);
        return;
    }
    /* In small steps: the slice may be full before it has looked at all that it may. */
    for (unsigned left = RC_SURVEY_LOOK; left != 0 && !is_full(q); left--) {
        q->more = rc_survey_clients(sh, &q->cursor, 1, on_client, q);
        if (!q->more)
            return;
    }
}

/* ---- rooms ---- */

static void on_fitting_room(struct rc_shard *sh, const struct rc_room *r, struct rc_str label,
                            void *arg)
{
    struct rc_survey *q = arg;
    struct rc_str nsp = rc_survey_nsp_of(sh, r->nsp, rc_str_make(r->name, r->name_len));
    uint64_t key = q->filter.key == RC_SURVEY_SENT ? r->seq : r->members;
    struct rc_survey_entry *e;

    if (r->members == 0 || !fits(q->filter.room, label) || !fits(q->filter.nsp, nsp) ||
        (e = add_entry(q, key)) == NULL)
        return;
    e->count = r->members;
    rc_buf_putz(&q->text, "\"room\":");
    rc_json_string_encode(label, &q->text);
    rc_buf_putz(&q->text, ",\"namespace\":");
    rc_json_string_encode(nsp, &q->text);
    rc_buf_printf(&q->text, ",\"members\":%u,\"published\":%llu,\"owner\":%u,\"shards\":%u",
                  r->members, (unsigned long long)r->seq, sh->index, r->nshards);
    end_entry(q, e);
}

RC_ON_SHARD static void look_at_rooms(struct rc_shard *sh, struct rc_survey *q)
{
    for (unsigned left = RC_SURVEY_LOOK; left != 0 && !is_full(q); left--) {
        q->more = rc_survey_rooms(sh, &q->cursor, 1, on_fitting_room, q);
        if (!q->more)
            return;
    }
}

/* ---- namespaces ---- */

struct spaces_walk {
    struct rc_shard *sh;
    struct rc_survey *q;
};

static void put_nsp(struct rc_survey *q, struct rc_str name, const char *kind, uint64_t sockets,
                    int32_t index)
{
    struct rc_survey_entry *e;

    if (!fits(q->filter.nsp, name) || (e = add_entry(q, sockets)) == NULL)
        return;
    e->count = sockets;
    e->nsp = index;
    rc_buf_putz(&q->text, "\"namespace\":");
    rc_json_string_encode(name, &q->text);
    rc_buf_printf(&q->text, ",\"kind\":\"%s\"", kind);
    end_entry(q, e);
}

static void on_space(void *value, void *arg)
{
    const struct spaces_walk *w = arg;
    const struct rc_space *space = value;
    struct rc_str home = rc_str_make(space->home, space->home_len);
    const struct rc_room *r = NULL;

    rc_assert_on_shard(w->sh);
    /* The room of all its sockets: of whichever pattern its name fits. */
    for (unsigned i = 0; i < w->sh->app->nnsps && r == NULL; i++)
        if (w->sh->app->nsp[i].is_pattern)
            r = rc_room_find(w->sh, (uint16_t)i, home, rc_space_hash(w->sh, (uint16_t)i, home));
    if (r != NULL && r->members != 0)
        put_nsp(w->q, rc_str_make(home.p, home.len - 1), "dynamic", r->members, -1);
}

/* First those of the INI, whose index is the cursor's upper half, then dynamic ones. */
RC_ON_SHARD static void look_at_namespaces(struct rc_shard *sh, struct rc_survey *q)
{
    struct spaces_walk w = {sh, q};
    uint32_t at = (uint32_t)q->cursor;
    unsigned i = (unsigned)(q->cursor >> 32), left = RC_SURVEY_LOOK;

    for (; i < sh->app->nnsps && !is_full(q); i++) {
        const struct rc_nsp *nsp = &sh->app->nsp[i];

        if (!nsp->is_pattern)
            put_nsp(q, nsp->name, nsp->endpoint != RC_ENDPOINT_NONE ? "endpoint" : "static",
                    sh->all[i]->n, (int32_t)i);
    }
    q->more = true;
    while (i == sh->app->nnsps && q->more && left-- != 0 && !is_full(q)) {
        at = rc_hmap_scan(&sh->space_by_name, at, on_space, &w);
        q->more = at != 0;
    }
    q->cursor = (uint64_t)i << 32 | at;
}

/* ---- the shard's part ---- */

static void append(struct rc_shard *sh, struct rc_survey *q)
{
    q->next = NULL;
    *sh->survey_tail = q;
    sh->survey_tail = &q->next;
}

void rc_survey_ask(struct rc_shard *sh, struct rc_survey *q)
{
    struct rc_msg msg = {.type = RC_MSG_SURVEY};

    q->desk = NULL;
    if (q->shard == sh->index) {
        q->from = (uint8_t)sh->index;
        append(sh, q);
        rc_mesh_poke(sh->mesh, sh->index);
        return;
    }
    msg.u.survey = q;
    rc_shard_post(sh, q->shard, &msg);
}

void rc_survey_mail(struct rc_shard *sh, struct rc_msg *msg)
{
    struct rc_survey *q = msg->u.survey;

    if (msg->type == RC_MSG_SURVEYED) {
        q->on_answer(sh, q);
        return;
    }
    q->from = msg->from;
    append(sh, q);
}

RC_ON_SHARD static void hand_back(struct rc_shard *sh, struct rc_survey *q)
{
    struct rc_msg msg = {.type = RC_MSG_SURVEYED};

    if (q->desk != NULL) {
        put_down(q->desk, q);
    } else if (q->from == sh->index) {
        q->on_answer(sh, q);
    } else {
        msg.u.survey = q;
        rc_shard_post(sh, q->from, &msg);
    }
}

void rc_survey_turn(struct rc_shard *sh)
{
    struct rc_survey *q = sh->survey;

    sh->survey = q->next;
    if (sh->survey == NULL)
        sh->survey_tail = &sh->survey;
    else
        rc_mesh_poke(sh->mesh, sh->index); /* the next one, in the next turn */
    q->next = NULL;
    q->n = q->matched = 0;
    q->more = false;
    rc_buf_reset(&q->text);
    switch ((enum rc_survey_what)q->what) {
    case RC_SURVEY_CLIENTS: look_at_clients(sh, q); break;
    case RC_SURVEY_ROOMS: look_at_rooms(sh, q); break;
    case RC_SURVEY_NAMESPACES: look_at_namespaces(sh, q); break;
    }
    hand_back(sh, q);
}

void rc_survey_init(struct rc_shard *sh)
{
    sh->survey_tail = &sh->survey;
}

void rc_survey_deinit(struct rc_shard *sh)
{
    while (sh->survey != NULL) {
        struct rc_survey *q = sh->survey;

        sh->survey = q->next;
        rc_survey_free(q);
    }
}

/* admin_ui_list.c - operators' lists of sockets: pages of all shards, and what is told behind them. */
#include "admin_ui_int.h"
#include "rc/base/b64.h"
#include "rc/base/hash.h"
#include "rc/base/mem.h"
#include "rc/broker/identity.h"
#include "rc/broker/room.h"
#include "rc/broker/socket.h"
#include "rc/broker/space.h"
#include "rc/net/ws.h"
#include "rc/proto/json.h"
#include "rc/proto/sio.h"

#include <stdlib.h>
#include <time.h>

enum {
    PAGE_SOCKETS = 256,    /* sockets of a page, */
    PAGE_SLOTS = 4096,     /* places that are looked at for it, */
    PAGE_BYTES = 1 << 18,  /* and bytes after which it ends */
    AGAIN_MS = 2000,       /* between two lists for a client that cannot keep up */
    HEADERS_MAX = 1 << 14, /* bytes of a request's headers that are remembered */
    CLIENT_ID_LEN = 12,
    HASH_CLIENT = 0x5549,
};

/* ---- what is remembered of a request ---- */

static bool peer_eq(const void *value, const void *key)
{
    const struct rc_ui_peer *peer = value;
    const rc_id *id = key;

    return peer->session == *id;
}

const struct rc_ui_peer *rc_ui_peer_of(const struct rc_shard *sh, const struct rc_session *s)
{
    rc_id id = rc_session_id(sh, s);

    return rc_hmap_find(&sh->ui->peers, rc_hash(&id, sizeof(id), 0), peer_eq, &id);
}

void rc_ui_forget_peer(struct rc_shard *sh, const struct rc_session *s)
{
    rc_id id = rc_session_id(sh, s);
    uint64_t hash = rc_hash(&id, sizeof(id), 0);
    struct rc_ui_peer *peer = rc_hmap_find(&sh->ui->peers, hash, peer_eq, &id);

    if (peer == NULL)
        return;
    rc_hmap_remove(&sh->ui->peers, hash, peer);
    free(peer);
}

/* "127.0.0.1" of "127.0.0.1:5123", "::1" of "[::1]:5123". */
static void cut_port(char *address)
{
    char *colon = strrchr(address, ':');
    size_t len;

    if (colon == NULL)
        return;
    *colon = '\0';
    len = strlen(address);
    if (address[0] == '[' && len > 1 && address[len - 1] == ']') {
        address[len - 1] = '\0';
        memmove(address, address + 1, len - 1);
    }
}

static bool is_secret(const char *name)
{
    return strcasecmp(name, "authorization") == 0 || strcasecmp(name, "cookie") == 0 ||
           strcasecmp(name, "proxy-authorization") == 0;
}

static bool was_before(const struct rc_http_req *req, unsigned i)
{
    for (unsigned j = 0; j < i; j++)
        if (rc_str_ieq(req->headers[j].name, req->headers[i].name))
            return true;
    return false;
}

/* All values of the headers with the name of the i-th, as one. */
static void put_header(const struct rc_http_req *req, unsigned i, struct rc_buf *to)
{
    struct rc_buf name = RC_BUF_INIT, value = RC_BUF_INIT;

    rc_buf_puts(&name, req->headers[i].name);
    for (size_t n = 0; n < name.len; n++)
        if (name.data[n] >= 'A' && name.data[n] <= 'Z')
            name.data[n] += 'a' - 'A';
    rc_buf_putc(&name, '\0');
    for (unsigned j = i; j < req->nheaders; j++) {
        if (!rc_str_ieq(req->headers[j].name, req->headers[i].name))
            continue;
        if (j != i)
            rc_buf_putz(&value, ", ");
        rc_buf_puts(&value, req->headers[j].value);
    }
    rc_ui_put_latin1(rc_str_make(name.data, name.len - 1), to);
    rc_buf_putc(to, ':');
    if (is_secret((const char *)name.data))
        rc_buf_putz(to, "\"(hidden)\"");
    else
        rc_ui_put_latin1(rc_buf_str(&value), to);
    rc_buf_deinit(&name);
    rc_buf_deinit(&value);
}

/* A token in the query is nobody else's business: then neither is the query. */
static bool has_token(const struct rc_shard *sh, const struct rc_http_req *req)
{
    const char *name = sh->app->conf->auth_query;
    struct rc_buf value = RC_BUF_INIT;
    bool has = name[0] != '\0' && rc_http_query_get(req->query, name, &value) != 0;

    rc_buf_deinit(&value);
    return has;
}

static void put_time(uint64_t ms, struct rc_buf *to)
{
    time_t s = (time_t)(ms / 1000);
    char text[80];
    struct tm tm;

    (void)gmtime_r(&s, &tm);
    (void)strftime(text, sizeof(text),
                   "\"%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)\"", &tm);
    rc_buf_putz(to, text);
}

/* The members of `handshake` but for the address. */
static void put_handshake(const struct rc_shard *sh, const struct rc_http_req *req, bool secure,
                          struct rc_buf *to)
{
    uint64_t now = rc_clock_wall_ms();
    bool hide = has_token(sh, req);
    struct rc_buf query = RC_BUF_INIT;

    rc_buf_putz(to, "\"headers\":{");
    for (unsigned i = 0; i < req->nheaders && to->len < HEADERS_MAX; i++) {
        if (was_before(req, i))
            continue;
        if (i != 0)
            rc_buf_putc(to, ',');
        put_header(req, i, to);
    }
    rc_sio_put_query(&query, hide ? RC_STR_NONE : req->query);
    rc_buf_putz(to, "},\"query\":");
    rc_buf_puts(to, query.len != 0 ? rc_buf_str(&query) : RC_STR("{}"));
    rc_buf_putz(to, ",\"issued\":");
    rc_buf_put_u64(to, now);
    rc_buf_printf(to, ",\"secure\":%s,\"time\":", secure ? "true" : "false");
    put_time(now, to);
    rc_buf_putz(to, ",\"url\":");
    rc_ui_put_latin1(hide ? req->path : req->target, to);
    rc_buf_printf(to, ",\"xdomain\":%s", req->origin.len != 0 ? "true" : "false");
    rc_buf_deinit(&query);
}

void rc_ui_request(struct rc_shard *sh, const struct rc_conn *c, const struct rc_http_req *req)
{
    struct rc_ui *ui = sh->ui;
    struct rc_buf text = RC_BUF_INIT;

    free(ui->next_peer);
    if (ui->all_events)
        put_handshake(sh, req, c->secure, &text);
    rc_buf_putc(&text, '\0');
    ui->next_peer = rc_malloc(sizeof(*ui->next_peer) + text.len);
    (void)rc_addr_text(&c->peer, ui->next_peer->address);
    cut_port(ui->next_peer->address);
    memcpy(ui->next_peer->handshake, text.data, text.len);
    rc_buf_deinit(&text);
}

/* ---- a socket ---- */

static void put_text(struct rc_buf *to, const char *key, struct rc_str text)
{
    rc_buf_printf(to, "\"%s\":", key);
    rc_json_string_encode(text, to);
    rc_buf_putc(to, ',');
}

/* Tells the sockets of one connection from those of others, and is no secret as the sid is. */
static void put_client_id(const struct rc_shard *sh, const struct rc_session *s,
                          struct rc_buf *to)
{
    rc_id id = rc_session_id(sh, s);
    uint64_t hash[2] = {rc_hash(&id, sizeof(id), HASH_CLIENT),
                        rc_hash(&id, sizeof(id), HASH_CLIENT + 1)};
    char text[RC_B64_SIZE(sizeof(hash))];

    (void)rc_b64_encode(RC_B64_URL, (const uint8_t *)hash, sizeof(hash), text);
    put_text(to, "clientId", rc_str_make(text, CLIENT_ID_LEN));
}

static void put_rooms(struct rc_shard *sh, const struct rc_socket *k, struct rc_str id,
                      struct rc_buf *to)
{
    rc_buf_putz(to, "\"rooms\":[");
    rc_json_string_encode(id, to);
    for (unsigned i = 0; i < k->nrooms; i++) {
        const struct rc_lroom *lr = k->room[i].room;
        struct rc_str room = rc_space_label(sh, k->nsp, rc_pub_room(lr->name));

        if (k->room[i].index == RC_NOT_IN || room.len == 0 || rc_space_is_hidden(room))
            continue;
        rc_buf_putc(to, ',');
        rc_json_string_encode(room, to);
    }
    rc_buf_putc(to, ']');
}

void rc_ui_put_socket(struct rc_shard *sh, const struct rc_socket *k, struct rc_buf *to)
{
    const struct rc_session *s = k->session;
    const struct rc_ui_peer *peer = rc_ui_peer_of(sh, s);
    const struct rc_token *token = rc_identity_token(k);
    struct rc_buf id = RC_BUF_INIT;

    rc_socket_put_name(sh, k, &id);
    rc_buf_putc(to, '{');
    put_text(to, "id", rc_buf_str(&id));
    put_client_id(sh, s, to);
    put_text(to, "transport",
             s->kind == RC_SESSION_POLLING ? RC_STR("polling") : RC_STR("websocket"));
    put_text(to, "nsp", rc_space_name(sh, k));
    rc_buf_putz(to, "\"data\":{");
    if (token != NULL) {
        rc_buf_putz(to, "\"user\":");
        rc_json_string_encode(token->user, to);
    }
    rc_buf_putz(to, "},\"handshake\":{");
    if (peer != NULL) {
        rc_buf_printf(to, "\"address\":\"%s\"%s", peer->address,
                      peer->handshake[0] != '\0' ? "," : "");
        rc_buf_putz(to, peer->handshake);
    }
    rc_buf_putz(to, "},");
    put_rooms(sh, k, rc_buf_str(&id), to);
    rc_buf_putc(to, '}');
    rc_buf_deinit(&id);
}

/* ---- pages, on the shard of the sockets ---- */

/* What may wait for a client before it counts as one that cannot keep up. */
static uint64_t high_mark(const struct rc_shard *sh)
{
    return sh->app->conf->limits_max_queue / 4;
}

/* The first pages of all shards are one message. */
static uint64_t page_bytes(const struct rc_shard *sh)
{
    uint64_t share = high_mark(sh) / sh->nshards;

    return share < PAGE_BYTES ? share : PAGE_BYTES;
}

/* Appends {length:4, JSON} of each socket. Returns where the next page begins, 0: there is none. */
static uint32_t put_page(struct rc_shard *sh, uint32_t cursor, struct rc_buf *to)
{
    struct rc_buf json = RC_BUF_INIT;
    uint32_t slots = sh->sockets.nchunks * sh->sockets.per_chunk, n = 0, from = cursor;

    for (; cursor < slots && cursor - from < PAGE_SLOTS; cursor++) {
        const struct rc_socket *k = rc_pool_at(&sh->sockets, cursor);
        uint32_t len;

        if (k == NULL || k->closed || sh->app->nsp[k->nsp].endpoint != RC_ENDPOINT_NONE)
            continue;
        if (n == PAGE_SOCKETS || to->len >= page_bytes(sh))
            break;
        rc_buf_reset(&json);
        rc_ui_put_socket(sh, k, &json);
        if (json.failed)
            continue;
        len = (uint32_t)json.len;
        rc_buf_put(to, &len, sizeof(len));
        rc_buf_puts(to, rc_buf_str(&json));
        n++;
    }
    rc_buf_deinit(&json);
    return cursor < slots ? cursor : 0;
}

void rc_ui_on_list(struct rc_shard *sh, const struct rc_msg *msg)
{
    struct rc_msg page = {.type = RC_MSG_UI_PAGE, .count = msg->count};
    struct rc_buf sockets = RC_BUF_INIT;

    page.u.ui.to = msg->u.ui.to;
    page.u.ui.cursor = put_page(sh, msg->u.ui.cursor, &sockets);
    page.u.ui.pub = rc_pub_new(sh->ui->nsp, RC_STR_NONE, 0, sockets.data, sockets.len);
    rc_buf_deinit(&sockets);
    if (rc_id_shard(msg->u.ui.to) != sh->index) {
        rc_shard_post(sh, rc_id_shard(msg->u.ui.to), &page);
        return;
    }
    page.from = (uint8_t)sh->index;
    rc_ui_on_page(sh, &page);
    rc_pub_unref(&page.u.ui.pub);
}

/* ---- the list, on the operator's shard ---- */

RC_ON_SHARD static void ask_page(struct rc_shard *sh, struct rc_ui_client *c, unsigned of)
{
    struct rc_msg msg = {.type = RC_MSG_UI_LIST, .count = c->epoch};

    c->asked |= (uint64_t)1 << of;
    msg.u.ui.to = c->socket;
    msg.u.ui.cursor = c->cursor[of];
    if (of == sh->index)
        rc_ui_on_list(sh, &msg);
    else
        rc_shard_post(sh, of, &msg);
}

static uint64_t all_shards(const struct rc_shard *sh)
{
    return sh->nshards == 64 ? UINT64_MAX : ((uint64_t)1 << sh->nshards) - 1;
}

RC_ON_SHARD static void tick_soon(struct rc_shard *sh)
{
    if (!rc_timer_running(&sh->ui->tick))
        rc_timer_start(&sh->ui->q_tick, &sh->ui->tick, sh->loop.now_ms);
}

void rc_ui_list(struct rc_shard *sh, struct rc_ui_client *c)
{
    c->epoch++;
    c->again = c->told = false;
    c->come = c->asked = c->done = 0;
    c->listed = 0;
    c->since = sh->loop.now_ms;
    rc_buf_reset(&c->list);
    rc_buf_reset(&c->later);
    memset(c->cursor, 0, sh->nshards * sizeof(*c->cursor));
    /* Itself last: the others work meanwhile. */
    for (unsigned i = 1; i <= sh->nshards; i++)
        ask_page(sh, c, (sh->index + i) % sh->nshards);
    tick_soon(sh);
}

RC_ON_SHARD static void push_text(struct rc_shard *sh, struct rc_ui_client *c)
{
    rc_session_text(sh, c->session, rc_buf_str(&sh->ui->text));
}

/* The first page of each shard is there. */
RC_ON_SHARD static void tell_all(struct rc_shard *sh, struct rc_ui_client *c)
{
    struct rc_ui *ui = sh->ui;

    rc_ui_begin(sh, "all_sockets");
    rc_buf_putz(&ui->text, ",[");
    rc_buf_puts(&ui->text, rc_buf_str(&c->list));
    rc_buf_putz(&ui->text, "]]");
    RC_ASSERT(!ui->text.failed);
    push_text(sh, c);
    if (c->later.len != 0)
        rc_session_push(sh, c->session, rc_seg_new(c->later.data, c->later.len));
    c->told = true;
    rc_buf_deinit(&c->list);
    rc_buf_deinit(&c->later);
}

/* One socket of a page. */
RC_ON_SHARD static void list_socket(struct rc_shard *sh, struct rc_ui_client *c,
                                    struct rc_str json)
{
    struct rc_ui *ui = sh->ui;

    if (c->listed >= sh->app->conf->admin_ui_max_sockets)
        return;
    c->listed++;
    if (!c->told) {
        if (c->list.len != 0)
            rc_buf_putc(&c->list, ',');
        rc_buf_puts(&c->list, json);
        return;
    }
    rc_ui_begin(sh, "socket_connected");
    rc_buf_putc(&ui->text, ',');
    rc_buf_puts(&ui->text, json);
    rc_ui_put_now(&ui->text);
    rc_buf_putc(&ui->text, ']');
    push_text(sh, c);
}

static struct rc_ui_client *find_client(struct rc_shard *sh, rc_id socket)
{
    struct rc_ui *ui = sh->ui;

    for (struct rc_list *l = ui->clients.next; l != &ui->clients; l = l->next) {
        struct rc_ui_client *c = RC_CONTAINER(l, struct rc_ui_client, link);

        if (c->socket == socket)
            return c;
    }
    return NULL;
}

void rc_ui_on_page(struct rc_shard *sh, const struct rc_msg *msg)
{
    struct rc_ui_client *c = find_client(sh, msg->u.ui.to);
    struct rc_str rest = rc_pub_data(msg->u.ui.pub);
    uint64_t from = (uint64_t)1 << msg->from;
    uint32_t len;

    if (c == NULL || c->epoch != msg->count)
        return;
    while (rest.len >= sizeof(len)) {
        memcpy(&len, rest.p, sizeof(len));
        rest = rc_str_skip(rest, sizeof(len));
        list_socket(sh, c, rc_str_make(rest.p, len));
        rest = rc_str_skip(rest, len);
    }
    c->asked &= ~from;
    c->come |= from;
    c->cursor[msg->from] = msg->u.ui.cursor;
    if (msg->u.ui.cursor == 0 || c->listed >= sh->app->conf->admin_ui_max_sockets)
        c->done |= from;
    if (!c->told && c->come == all_shards(sh))
        tell_all(sh, c);
}

/* ---- what is told ---- */

static bool is_behind(const struct rc_shard *sh, const struct rc_ui_client *c)
{
    return rc_outq_cost(&c->session->out) > high_mark(sh);
}

static void unpin_pub(void *pub)
{
    struct rc_pub *p = pub;

    rc_pub_unref(&p);
}

/* pub may be NULL. */
RC_ON_SHARD static void give(struct rc_shard *sh, struct rc_ui_client *c, unsigned from,
                             struct rc_pub *pub, unsigned flags)
{
    bool of_shard = from < sh->nshards;

    if (of_shard && (c->come >> from & 1) == 0)
        return; /* its page will have it */
    if ((flags & RC_UI_LOST) != 0)
        c->again = true;
    if (pub == NULL)
        return;
    if (is_behind(sh, c) || pub->len > high_mark(sh) || c->later.len > high_mark(sh)) {
        c->again = c->again || (flags & RC_UI_MATTERS) != 0;
        rc_stat_add(&sh->stats.ui_dropped, 1);
    } else if (of_shard && !c->told) {
        rc_buf_puts(&c->later, rc_pub_data(pub));
    } else {
        rc_session_push(sh, c->session,
                        rc_seg_pin(pub->data, pub->len, rc_pub_ref(pub), unpin_pub));
    }
}

void rc_ui_take(struct rc_shard *sh, unsigned from, struct rc_pub *pub, unsigned flags)
{
    struct rc_ui *ui = sh->ui;

    for (struct rc_list *l = ui->clients.next; l != &ui->clients; l = l->next) {
        struct rc_ui_client *c = RC_CONTAINER(l, struct rc_ui_client, link);

        give(sh, c, from, pub, flags);
        if (c->again)
            tick_soon(sh);
    }
}

void rc_ui_client_free(struct rc_ui_client *c)
{
    rc_list_remove(&c->link);
    rc_buf_deinit(&c->list);
    rc_buf_deinit(&c->later);
    free(c->cursor);
    free(c);
}

/* True: there is more to be done. */
RC_ON_SHARD static bool go_on(struct rc_shard *sh, struct rc_ui_client *c)
{
    if (is_behind(sh, c))
        return true;
    if (c->again && c->told) {
        if (sh->loop.now_ms < c->since + AGAIN_MS)
            return true;
        rc_ui_list(sh, c);
        return true;
    }
    for (unsigned i = 0; c->told && i < sh->nshards && !is_behind(sh, c); i++)
        if (((c->done | c->asked) >> i & 1) == 0)
            ask_page(sh, c, i);
    return c->done != all_shards(sh) || c->again;
}

void rc_ui_on_tick(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_ui *ui = sh->ui;
    bool more = false;

    rc_assert_on_shard(sh);
    for (struct rc_list *l = ui->clients.next; l != &ui->clients; l = l->next) {
        struct rc_ui_client *c = RC_CONTAINER(l, struct rc_ui_client, link);

        if (ui->all_events)
            more = go_on(sh, c) || more;
    }
    if (more)
        rc_timer_start(&ui->q_tick, t, sh->loop.now_ms);
}

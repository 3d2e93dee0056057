/* socket.c - Socket.IO packets of a session, of either parser: namespaces, events, attachments. */
#include "rc/broker/socket.h"

#include "rc/base/mem.h"
#include "rc/broker/admin_ui.h"
#include "rc/broker/ask.h"
#include "rc/broker/engine.h"
#include "rc/broker/identity.h"
#include "rc/broker/json_client.h"
#include "rc/broker/lane.h"
#include "rc/broker/meter.h"
#include "rc/broker/room.h"
#include "rc/broker/shard.h"
#include "rc/broker/space.h"
#include "rc/broker/verbs.h"
#include "rc/proto/json.h"
#include "rc/proto/msgpack.h"

#include <stdio.h>
#include <stdlib.h>

/* A packet whose attachments are still coming. */
struct rc_assembly {
    unsigned want, have;
    bool over_rate; /* it is to be dropped */
    uint64_t total; /* bytes of the attachments so far */
    struct rc_str text;
    struct rc_str attachment[RC_SIO_ATTACHMENTS_MAX]; /* each malloc'd */
    char bytes[];
};

/* ---- ids ---- */

rc_id rc_socket_id(const struct rc_shard *sh, const struct rc_socket *k)
{
    return rc_id_make(sh->index, k->hdr.slot, k->hdr.gen);
}

void rc_socket_put_name(const struct rc_shard *sh, const struct rc_socket *k,
                        struct rc_buf *out)
{
    char name[RC_NAME_LEN + 1];

    if (!k->session->eio3) {
        rc_name_put(RC_NAME_SOCKET, 0, rc_socket_id(sh, k), name);
    } else {
        rc_session_put_name(sh, k->session, name);
        if (k->nsp != 0) {
            rc_buf_puts(out, rc_space_name(sh, k));
            rc_buf_putc(out, '#');
        }
    }
    rc_buf_put(out, name, RC_NAME_LEN);
}

struct rc_address rc_socket_parse(struct rc_str nsp, struct rc_str text)
{
    struct rc_address a = {.id = rc_name_parse(RC_NAME_SOCKET, text)};

    if (a.id != 0)
        return a;
    if (nsp.len > 1) { /* not "/" */
        if (!rc_str_starts(text, nsp) || text.len == nsp.len || text.p[nsp.len] != '#')
            return a;
        text = rc_str_skip(text, nsp.len + 1);
    }
    a.id = rc_name_parse(RC_NAME_SESSION, text);
    a.is_session = a.id != 0;
    return a;
}

bool rc_socket_is(const struct rc_shard *sh, const struct rc_socket *k, struct rc_address a)
{
    if (a.is_session)
        return k->session->eio3 && a.id == rc_session_id(sh, k->session);
    return a.id == rc_socket_id(sh, k);
}

/* ---- frames ---- */

void rc_frames_begin(struct rc_buf *b)
{
    rc_buf_reset(b);
    if (rc_buf_reserve(b, RC_WS_HEADER_MAX) != NULL)
        b->len = RC_WS_HEADER_MAX;
}

void rc_frames_end(struct rc_buf *b)
{
    uint8_t head[RC_WS_HEADER_MAX];
    size_t n;

    RC_ASSERT(!b->failed); /* sizes were limited before; this is memory that is not to be had */
    n = rc_ws_header(head, RC_WS_TEXT, false, b->len - RC_WS_HEADER_MAX);
    /* The header ends where the text begins; what is before it is not sent. */
    memcpy(b->data + RC_WS_HEADER_MAX - n, head, n);
    b->data[0] = n == RC_WS_HEADER_MAX ? b->data[0] : (uint8_t)n;
}

void rc_frames_attach(struct rc_buf *b, struct rc_str data)
{
    rc_ws_put_header(b, RC_WS_BINARY, false, data.len);
    rc_buf_puts(b, data);
    RC_ASSERT(!b->failed);
}

struct rc_str rc_frames(const struct rc_buf *b)
{
    /* A full-length header begins with FIN set, a length of ours never does. */
    size_t n = (b->data[0] & 0x80) != 0 ? RC_WS_HEADER_MAX : b->data[0];

    return rc_str_make(b->data + RC_WS_HEADER_MAX - n, b->len - RC_WS_HEADER_MAX + n);
}

/* ---- life ---- */

/* The session's socket in the namespace of that name. */
static struct rc_socket *socket_in(const struct rc_shard *sh, const struct rc_session *s,
                                   struct rc_str name)
{
    const struct rc_nsp *nsp = rc_app_nsp(sh->app, name, false);
    struct rc_socket *k = s->sockets;

    if (nsp == NULL) {
        while (k != NULL && !rc_str_eq(rc_space_name(sh, k), name))
            k = k->next;
        return k;
    }
    while (k != NULL && k->nsp != nsp->index)
        k = k->next;
    return k;
}

static void free_caller(struct rc_caller **caller)
{
    if (*caller != NULL)
        rc_identity_drop(&(*caller)->who);
    free(*caller);
    *caller = NULL;
}

void rc_socket_close(struct rc_shard *sh, struct rc_socket *k)
{
    struct rc_socket **at = &k->session->sockets;

    if (k->closed)
        return;
    k->closed = true;
    if (sh->ui != NULL)
        rc_ui_closing(sh, k);
    rc_local_leave_everything(sh, k);
    while (*at != k)
        at = &(*at)->next;
    *at = k->next;
    k->session->nsockets--;
    free_caller(&k->caller);
    rc_stat_add(&sh->stats.sockets, -1);
    rc_shard_bury(sh, &k->hdr);
}

struct rc_socket *rc_socket_find(struct rc_shard *sh, struct rc_address a,
                                 const struct rc_pub *pub)
{
    const struct rc_session *s;
    struct rc_socket *k;

    if (!a.is_session) {
        k = rc_pool_find(&sh->sockets, rc_id_slot(a.id), rc_id_gen(a.id));
        return k != NULL && !k->closed && rc_space_has(sh, k, pub) ? k : NULL;
    }
    s = rc_session_find(sh, a.id);
    k = s != NULL ? s->sockets : NULL;
    while (k != NULL && !rc_space_has(sh, k, pub))
        k = k->next;
    return k;
}

static void unpin_pub(void *pub)
{
    struct rc_pub *p = pub;

    rc_pub_unref(&p);
}

RC_ON_SHARD static void deliver(struct rc_shard *sh, const struct rc_socket *k,
                                struct rc_pub *pub)
{
    if (pub->ask != 0)
        rc_ask_report(sh, pub->ask, RC_MSG_ASK_SOCKETS, k != NULL);
    if (k == NULL) {
        rc_pub_unref(&pub);
        return;
    }
    rc_births_add(&sh->births, pub->born_us);
    rc_session_push(sh, k->session, rc_seg_pin(pub->data, pub->len, pub, unpin_pub));
    rc_stat_add(&sh->stats.deliveries, 1);
}

void rc_socket_deliver(struct rc_shard *sh, rc_id socket, struct rc_pub *pub)
{
    deliver(sh, rc_socket_find(sh, (struct rc_address){.id = socket}, pub), pub);
}

void rc_socket_deliver_of(struct rc_shard *sh, rc_id session, struct rc_pub *pub)
{
    const struct rc_address a = {.id = session, .is_session = true};

    deliver(sh, rc_socket_find(sh, a, pub), pub);
}

/* ---- CONNECT ---- */

RC_ON_SHARD static void connect_error(struct rc_shard *sh, struct rc_session *s,
                                      struct rc_str nsp, struct rc_str json)
{
    rc_frames_begin(&sh->scratch);
    rc_sio_put_head(&sh->scratch, RC_SIO_CONNECT_ERROR, 0, nsp, false, 0);
    rc_buf_puts(&sh->scratch, json);
    rc_frames_end(&sh->scratch);
    if (s->kind == RC_SESSION_ENDPOINT) /* its last message */
        rc_session_push(sh, s,
                        rc_seg_new(rc_frames(&sh->scratch).p, rc_frames(&sh->scratch).len));
    else
        rc_lane_reply(sh, s, rc_frames(&sh->scratch));
}

/* What JavaScript takes for a false value, as JSON. */
static bool is_falsy(struct rc_str json)
{
    return json.len == 0 || rc_str_eq(json, RC_STR("null")) || rc_str_eq(json, RC_STR("0")) ||
           rc_str_eq(json, RC_STR("\"\"")) || rc_str_eq(json, RC_STR("false"));
}

/* A client of Engine.IO 3 gets the data alone, or else the message. */
void rc_socket_refuse(struct rc_shard *sh, struct rc_session *s, struct rc_str nsp,
                      struct rc_str message, struct rc_str data)
{
    struct rc_buf json = RC_BUF_INIT;

    if (s->eio3) {
        connect_error(sh, s, nsp, is_falsy(data) ? message : data);
        return;
    }
    rc_buf_putz(&json, "{\"message\":");
    rc_buf_puts(&json, message);
    if (data.len != 0)
        rc_buf_putz(&json, ",\"data\":");
    rc_buf_puts(&json, data);
    rc_buf_putc(&json, '}');
    connect_error(sh, s, nsp, rc_buf_str(&json));
    rc_buf_deinit(&json);
    if (s->kind == RC_SESSION_ENDPOINT)
        rc_json_client_end(sh, s, message);
}

RC_ON_SHARD static void refuse_parser(struct rc_shard *sh, struct rc_session *s,
                                      struct rc_str name, enum rc_parser parser)
{
    bool msgpack = parser == RC_PARSER_MSGPACK;

    rc_socket_refuse(sh, s, name,
                     msgpack ? RC_STR("\"only for clients with the msgpack parser\"")
                             : RC_STR("\"only for clients with the JSON parser\""),
                     msgpack ? RC_STR("{\"code\":\"parser\",\"parser\":\"msgpack\"}")
                             : RC_STR("{\"code\":\"parser\",\"parser\":\"json\"}"));
}

/* A limit of the INI stands against it. */
RC_ON_SHARD static void over_limit(struct rc_shard *sh, struct rc_session *s, struct rc_str nsp,
                                   const char *message, const char *key)
{
    struct rc_buf data = RC_BUF_INIT, json = RC_BUF_INIT;

    rc_json_string_encode(rc_str_of(message), &json);
    rc_buf_printf(&data, "{\"code\":\"limit\",\"key\":\"limits.%s\"}", key);
    rc_socket_refuse(sh, s, nsp, rc_buf_str(&json), rc_buf_str(&data));
    rc_buf_deinit(&json);
    rc_buf_deinit(&data);
}

/* Of a dynamic namespace: the key of the room of all its sockets. */
RC_ON_SHARD static int reserve_home(struct rc_shard *sh, struct rc_socket *k,
                                    struct rc_str name, const char **why)
{
    struct rc_buf home = RC_BUF_INIT;
    int rc;

    rc_buf_puts(&home, name);
    rc_buf_putc(&home, '\0');
    rc = rc_local_reserve(sh, k, rc_buf_str(&home), why);
    rc_buf_deinit(&home);
    return rc;
}

/* Places in the rooms that it joins before it is told that it is connected. False: there are none, and
 * its client has been told. */
RC_ON_SHARD static bool reserve(struct rc_shard *sh, struct rc_socket *k, struct rc_str name)
{
    const struct rc_token *token = rc_identity_token(k);
    struct rc_buf user = RC_BUF_INIT;
    const char *why = "";
    int rc;

    if (sh->app->nsp[k->nsp].is_pattern && reserve_home(sh, k, name, &why) != RC_OK) {
        over_limit(sh, k->session, name, "too many namespaces", why);
        return false;
    }
    if (token == NULL)
        return true;
    rc_space_put_user_key(rc_space_home(sh, k), token->user, &user);
    rc = rc_local_reserve_user(sh, k, rc_buf_str(&user), &why);
    rc_buf_deinit(&user);
    if (rc != RC_OK)
        over_limit(sh, k->session, name, "too many rooms", why);
    return rc == RC_OK;
}

RC_ON_SHARD static void refuse_token(struct rc_shard *sh, struct rc_session *s,
                                     struct rc_str nsp, enum rc_token_fault fault)
{
    char message[128], data[64];

    (void)snprintf(message, sizeof(message), "\"%s\"", rc_token_fault_text(fault));
    (void)snprintf(data, sizeof(data), "{\"code\":\"%s\"}", rc_token_fault_code(fault));
    rc_socket_refuse(sh, s, nsp, rc_str_of(message), rc_str_of(data));
}

/* NULL when nobody will ask. Takes over the reference who. */
static struct rc_caller *new_caller(struct rc_identity *who, struct rc_str auth)
{
    struct rc_caller *caller;

    if (who == NULL && auth.len == 0)
        return NULL;
    caller = rc_malloc(sizeof(*caller) + auth.len + 1);
    caller->who = who;
    if (auth.len != 0)
        memcpy(caller->auth, auth.p, auth.len);
    caller->auth[auth.len] = '\0';
    return caller;
}

/* Who is it? False: it may not connect, and has been told. */
RC_ON_SHARD static bool identify(struct rc_shard *sh, struct rc_socket *k,
                                 const struct rc_nsp *nsp, struct rc_str name,
                                 struct rc_str auth)
{
    struct rc_identity *who = NULL;
    const struct rc_session *s = k->session;
    const struct rc_nsp *door = s->kind == RC_SESSION_ENDPOINT ? &sh->app->nsp[s->nsp] : nsp;
    enum rc_token_fault fault = rc_identity_connect(sh, k->session, door, auth, &who);

    if (fault != RC_TOKEN_NONE) {
        refuse_token(sh, k->session, name, fault);
        return false;
    }
    k->caller = new_caller(who, nsp->rules.uses_auth ? auth : RC_STR_NONE);
    return true;
}

/* NULL: it may not connect, and has been told. */
RC_ON_SHARD static struct rc_socket *add_socket(struct rc_shard *sh, struct rc_session *s,
                                                const struct rc_nsp *nsp, struct rc_str name,
                                                struct rc_str auth)
{
    struct rc_socket *k = rc_pool_get(&sh->sockets);

    if (k == NULL) {
        rc_engine_fail(sh, s, RC_CLOSE_LIMIT);
        return NULL;
    }
    k->session = s;
    k->nsp = nsp->index;
    k->all_index = RC_NOT_IN;
    if (!identify(sh, k, nsp, name, auth)) {
        rc_pool_put(&sh->sockets, k);
        return NULL;
    }
    if (!reserve(sh, k, name) || !rc_verbs_admit(sh, k)) {
        rc_local_leave_everything(sh, k);
        free_caller(&k->caller);
        rc_pool_put(&sh->sockets, k);
        return NULL;
    }
    k->next = s->sockets;
    s->sockets = k;
    s->nsockets++;
    rc_session_joined(s);
    rc_stat_add(&sh->stats.sockets, 1);
    if (sh->ui != NULL)
        rc_ui_connected(sh, k);
    rc_verbs_connect(sh, k);
    return k;
}

struct rc_socket *rc_socket_admit(struct rc_shard *sh, struct rc_session *s,
                                  const struct rc_nsp *nsp)
{
    return add_socket(sh, s, nsp, nsp->name, RC_STR_NONE);
}

void rc_socket_connect(struct rc_shard *sh, struct rc_session *s, const struct rc_nsp *nsp,
                       struct rc_str auth)
{
    if (auth.len > sh->app->conf->limits_max_auth_size)
        over_limit(sh, s, nsp->name, "auth is too big", "max_auth_size");
    else
        (void)add_socket(sh, s, nsp, nsp->name, auth);
}

void rc_socket_set_auth(struct rc_shard *sh, struct rc_socket *k, struct rc_str auth)
{
    struct rc_identity *who = NULL;

    if (!sh->app->nsp[k->nsp].rules.uses_auth)
        return;
    if (k->caller != NULL) {
        who = k->caller->who;
        free(k->caller);
    }
    k->caller = new_caller(who, auth);
}

RC_ON_SHARD static void refuse_rate(struct rc_shard *sh, struct rc_session *s,
                                    struct rc_str name)
{
    rc_stat_add(&sh->stats.rate_dropped, 1);
    rc_socket_refuse(sh, s, name, RC_STR("\"" RC_RATE_TEXT "\""),
                     RC_STR("{\"code\":\"" RC_RATE_CODE "\"}"));
}

RC_ON_SHARD static void connect_to(struct rc_shard *sh, struct rc_session *s,
                                   struct rc_str name, struct rc_str auth)
{
    const struct rc_nsp *nsp = rc_app_nsp(sh->app, name, false);
    const struct rc_conf *conf = sh->app->conf;

    if (nsp == NULL)
        nsp = rc_app_pattern(sh->app, name);
    if (sh->over_rate)
        refuse_rate(sh, s, name);
    else if (nsp == NULL)
        connect_error(sh, s, name, RC_STR("{\"message\":\"Invalid namespace\"}"));
    else if (socket_in(sh, s, name) != NULL)
        rc_engine_fail(sh, s, RC_CLOSE_PARSE);
    else if (nsp->parser != RC_PARSER_AUTO && nsp->parser != s->parser)
        refuse_parser(sh, s, name, nsp->parser);
    else if (s->nsockets >= conf->limits_max_sockets)
        over_limit(sh, s, name, "too many namespaces", "max_sockets");
    else if (auth.len > conf->limits_max_auth_size)
        over_limit(sh, s, name, "auth is too big", "max_auth_size");
    else if (nsp == sh->app->ui)
        rc_ui_connect(sh, s, name, auth);
    else
        (void)add_socket(sh, s, nsp, name, auth);
}

RC_ON_SHARD static void on_connect(struct rc_shard *sh, struct rc_session *s,
                                   const struct rc_sio_packet *p)
{
    struct rc_buf auth = RC_BUF_INIT;

    if (!s->eio3) {
        connect_to(sh, s, p->nsp, p->data);
        return;
    }
    rc_sio_put_query(&auth, p->query);
    connect_to(sh, s, p->nsp, rc_buf_str(&auth));
    rc_buf_deinit(&auth);
}

void rc_socket_connect_root(struct rc_shard *sh, struct rc_session *s)
{
    connect_to(sh, s, RC_STR("/"), RC_STR_NONE);
}

/* ---- packets ---- */

void rc_assembly_free(struct rc_assembly *a)
{
    if (a == NULL)
        return;
    for (unsigned i = 0; i < a->have; i++)
        free((void *)(uintptr_t)a->attachment[i].p);
    free(a);
}

/* No step of a single message is as large. */
size_t rc_assembly_progress(const struct rc_assembly *a)
{
    return a != NULL ? ((size_t)a->have + 1) << 20 : 0;
}

static void begin_assembly(struct rc_shard *sh, struct rc_session *s, struct rc_str text,
                           unsigned want)
{
    struct rc_assembly *a = rc_malloc(sizeof(*a) + text.len);

    *a = (struct rc_assembly){.want = want, .over_rate = sh->over_rate};
    memcpy(a->bytes, text.p, text.len);
    a->text = rc_str_make(a->bytes, text.len);
    s->assembly = a;
}

/* A packet with all of its attachments. */
RC_ON_SHARD static void on_whole(struct rc_shard *sh, struct rc_socket *k,
                                 const struct rc_event *ev)
{
    const struct rc_sio_packet *p = ev->packet;

    switch (p->type) {
    case RC_SIO_EVENT:
    case RC_SIO_BINARY_EVENT:
        if (&sh->app->nsp[k->nsp] == sh->app->ui)
            rc_ui_event(sh, k, ev);
        else
            rc_verbs_event(sh, k, ev);
        break;
    case RC_SIO_DISCONNECT:
        if (sh->ui != NULL)
            rc_ui_leaving(sh);
        rc_socket_close(sh, k);
        break;
    case RC_SIO_CONNECT_ERROR: rc_engine_fail(sh, k->session, RC_CLOSE_PARSE); break;
    case RC_SIO_ACK:
    case RC_SIO_BINARY_ACK:
        if (p->has_id)
            rc_ask_answer(sh, k, p->id, p->data, ev->attachment, ev->nattachments);
        break;
    case RC_SIO_CONNECT: break;
    }
}

/* A valid packet; of the JSON parser its attachments are still to come. */
RC_ON_SHARD static void on_packet(struct rc_shard *sh, struct rc_session *s,
                                  const struct rc_event *ev)
{
    const struct rc_sio_packet *p = ev->packet;
    bool binary = p->type == RC_SIO_BINARY_EVENT || p->type == RC_SIO_BINARY_ACK;
    struct rc_socket *k;

    if (p->type == RC_SIO_CONNECT) {
        on_connect(sh, s, p);
        return;
    }
    k = socket_in(sh, s, p->nsp);
    if (k == NULL || (binary && p->attachments == 0))
        rc_engine_fail(sh, s, RC_CLOSE_PARSE);
    else if (p->attachments != ev->nattachments)
        begin_assembly(sh, s, ev->text, p->attachments);
    else
        on_whole(sh, k, ev);
}

RC_ON_SHARD static void on_bad_packet(struct rc_shard *sh, struct rc_session *s, int rc,
                                      const char *why)
{
    rc_shard_log(sh, RC_LOG_DEBUG, "session=%u bad packet %s%s", s->hdr.slot,
                 rc == RC_ELIMIT ? "over limits." : "", why != NULL ? why : "");
    rc_engine_fail(sh, s, rc == RC_ELIMIT ? RC_CLOSE_LIMIT : RC_CLOSE_PARSE);
}

/* Where both parsers are welcome the first packet shows which one the client has. */
static bool speaks(struct rc_session *s, enum rc_parser parser)
{
    if (s->parser == RC_PARSER_AUTO)
        rc_session_set_parser(s, parser);
    return s->parser == parser;
}

void rc_socket_text(struct rc_shard *sh, struct rc_session *s, struct rc_str text)
{
    struct rc_sio_packet p;
    const struct rc_event ev = {.text = text, .packet = &p};
    const char *why = NULL;
    int rc = RC_EPROTO;

    if (s->assembly == NULL && speaks(s, RC_PARSER_JSON))
        rc = rc_sio_parse(text, rc_session_sio(sh, s), &p, &why);
    if (rc == RC_OK)
        on_packet(sh, s, &ev);
    else
        on_bad_packet(sh, s, rc, why);
}

RC_ON_SHARD static void on_msgpack(struct rc_shard *sh, struct rc_session *s,
                                   struct rc_str message)
{
    const struct rc_sio_limits *lim = rc_session_sio(sh, s);
    struct rc_msgpack_packet m;
    struct rc_sio_packet p;
    struct rc_buf text = RC_BUF_INIT;
    const char *why;
    int rc = rc_msgpack_decode(message, lim, &text, &m, &why);

    if (rc == RC_OK)
        rc = rc_sio_parse(m.text, lim, &p, &why);
    if (rc == RC_OK) {
        const struct rc_event ev = {.text = m.text,
                                    .packet = &p,
                                    .attachment = m.attachment,
                                    .nattachments = m.nattachments};

        on_packet(sh, s, &ev);
    } else {
        on_bad_packet(sh, s, rc, why);
    }
    rc_buf_deinit(&text);
}

/* Another attachment of the packet that waits for them. */
RC_ON_SHARD static void on_attachment(struct rc_shard *sh, struct rc_session *s,
                                      struct rc_str data)
{
    struct rc_assembly *a = s->assembly;
    struct rc_sio_packet p;
    struct rc_socket *k;
    const char *why;
    char *copy;

    a->total += data.len;
    copy = a->total <= sh->app->conf->socketio_max_payload ? rc_try_malloc(data.len) : NULL;
    if (copy == NULL) {
        rc_engine_fail(sh, s, RC_CLOSE_TOO_BIG);
        return;
    }
    if (data.len != 0)
        memcpy(copy, data.p, data.len);
    a->attachment[a->have++] = rc_str_make(copy, data.len);
    if (a->have < a->want)
        return;
    s->assembly = NULL;
    if (rc_sio_parse(a->text, rc_session_sio(sh, s), &p, &why) == RC_OK &&
        (k = socket_in(sh, s, p.nsp)) != NULL) {
        const struct rc_event ev = {.text = a->text,
                                    .packet = &p,
                                    .attachment = a->attachment,
                                    .nattachments = a->have};

        sh->over_rate = a->over_rate;
        on_whole(sh, k, &ev);
    }
    rc_assembly_free(a);
}

void rc_socket_binary(struct rc_shard *sh, struct rc_session *s, struct rc_str data)
{
    if (s->assembly != NULL)
        on_attachment(sh, s, data);
    else if (speaks(s, RC_PARSER_MSGPACK))
        on_msgpack(sh, s, data);
    else
        on_bad_packet(sh, s, RC_EPROTO, NULL);
}

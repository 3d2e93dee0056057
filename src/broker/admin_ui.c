/* admin_ui.c - operators: they log in, are told what they may do, and go. */
#include "rc/broker/admin_ui.h"

#include "admin_ui_int.h"
#include "rc/base/mem.h"
#include "rc/broker/engine.h"
#include "rc/broker/socket.h"
#include "rc/proto/json.h"

#include <stdlib.h>

enum {
    TICK_MS = 20,
    LOGINS_MAX = 64, /* of a shard, under way */
};

/* ---- life ---- */

void rc_ui_init(struct rc_shard *sh)
{
    const struct rc_conf *conf = sh->app->conf;
    struct rc_ui *ui;

    if (sh->app->ui == NULL)
        return;
    ui = rc_calloc(1, sizeof(*ui));
    ui->nsp = sh->app->ui->index;
    ui->desk = sh->app->ui_desk;
    ui->all_events = conf->admin_ui_mode == RC_UIMODE_DEVELOPMENT;
    ui->reason = RC_UI_SERVER_NAMESPACE;
    /* Of all that there may ever be: the desk reads it while the shard goes over to others. */
    ui->counts.sockets = rc_calloc(UINT16_MAX + 1, sizeof(*ui->counts.sockets));
    rc_list_init(&ui->clients);
    rc_list_init(&ui->jobs);
    rc_timerq_init(&ui->q_tick, TICK_MS, rc_ui_on_tick, sh);
    rc_loop_add_timerq(&sh->loop, &ui->q_tick);
    sh->ui = ui;
    sh->ui_counts = &ui->counts;
}

void rc_ui_deinit(struct rc_shard *sh)
{
    struct rc_ui *ui = sh->ui;
    struct rc_ui_peer *peer;
    uint32_t cursor = 0;

    if (ui == NULL)
        return;
    while (!rc_list_empty(&ui->clients))
        rc_ui_client_free(RC_CONTAINER(ui->clients.next, struct rc_ui_client, link));
    rc_ui_jobs_free(ui);
    while ((peer = rc_hmap_next(&ui->peers, &cursor)) != NULL)
        free(peer);
    rc_hmap_deinit(&ui->peers);
    free(ui->next_peer);
    rc_ids_deinit(&ui->logins);
    rc_buf_deinit(&ui->out);
    rc_buf_deinit(&ui->text);
    free(ui->counts.sockets);
    free(ui);
    sh->ui = NULL;
    sh->ui_counts = NULL;
    sh->ui_live = false;
}

/* ---- who watches ---- */

static void set_watcher(struct rc_shard *sh, unsigned shard, bool watches)
{
    struct rc_ui *ui = sh->ui;
    uint64_t bit = (uint64_t)1 << shard;

    ui->watchers = watches ? ui->watchers | bit : ui->watchers & ~bit;
    sh->ui_live = ui->watchers != 0;
    if (!sh->ui_live) {
        rc_buf_deinit(&ui->out);
        ui->lost = ui->matters = false;
    }
}

void rc_ui_watch(struct rc_shard *sh)
{
    struct rc_ui *ui = sh->ui;
    bool watches = !rc_list_empty(&ui->clients);

    rc_ui_desk_watch(ui->desk, sh->index, watches);
    if (!ui->all_events || watches == (ui->watchers >> sh->index & 1))
        return;
    set_watcher(sh, sh->index, watches);
    for (unsigned to = 0; to < sh->nshards; to++) {
        struct rc_msg msg = {.type = RC_MSG_UI_WATCH, .count = watches};

        if (to != sh->index)
            rc_shard_post(sh, to, &msg);
    }
}

/* ---- logging in ---- */

static bool is_logging_in(const struct rc_ui *ui, rc_id session)
{
    for (uint32_t i = 0; i < ui->logins.n; i++)
        if (ui->logins.id[i] == session)
            return true;
    return false;
}

/* A string of the auth object; nothing when it is none, or has a NUL. */
static struct rc_str get_text(struct rc_str auth, const char *key, struct rc_buf *to)
{
    struct rc_str value = rc_json_get(auth, rc_str_of(key));

    if (value.len == 0 || rc_json_string_decode(value, to) != RC_OK || to->len == 0 ||
        memchr(to->data, '\0', to->len) != NULL)
        return RC_STR_NONE;
    return rc_buf_str(to);
}

static struct rc_str address_of(const struct rc_shard *sh, const struct rc_session *s)
{
    const struct rc_ui_peer *peer = rc_ui_peer_of(sh, s);

    return peer != NULL ? rc_str_of(peer->address) : RC_STR_NONE;
}

void rc_ui_connect(struct rc_shard *sh, struct rc_session *s, struct rc_str name,
                   struct rc_str auth)
{
    struct rc_ui *ui = sh->ui;
    struct rc_buf user = RC_BUF_INIT, password = RC_BUF_INIT, id = RC_BUF_INIT;
    struct rc_ui_login login = {.session = rc_session_id(sh, s), .address = address_of(sh, s)};

    if (is_logging_in(ui, login.session)) {
        rc_engine_fail(sh, s, RC_CLOSE_PARSE);
        return;
    }
    login.username = get_text(auth, "username", &user);
    login.password = get_text(auth, "password", &password);
    login.session_id = get_text(auth, "sessionId", &id);
    if (ui->logins.n < LOGINS_MAX && rc_ui_desk_ask(ui->desk, sh->index, &login))
        rc_ids_add(&ui->logins, login.session);
    else
        rc_socket_refuse(sh, s, name, RC_STR("\"too many attempts, try again later\""),
                         RC_STR_NONE);
    rc_buf_deinit(&user);
    if (password.data != NULL)
        explicit_bzero(password.data, password.cap);
    rc_buf_deinit(&password);
    rc_buf_deinit(&id);
}

static void forget_login(struct rc_ui *ui, rc_id session)
{
    for (uint32_t i = 0; i < ui->logins.n; i++) {
        if (ui->logins.id[i] == session) {
            ui->logins.id[i] = ui->logins.id[--ui->logins.n];
            return;
        }
    }
}

static void put_features(const struct rc_shard *sh, struct rc_buf *to)
{
    const struct rc_conf *conf = sh->app->conf;

    rc_buf_putz(to, ",{\"supportedFeatures\":[");
    if (!conf->admin_ui_read_only)
        rc_buf_putz(to, "\"EMIT\",\"JOIN\",\"LEAVE\",\"DISCONNECT\",\"MJOIN\",\"MLEAVE\","
                        "\"MDISCONNECT\",");
    rc_buf_putz(to, "\"AGGREGATED_EVENTS\"");
    if (sh->ui->all_events)
        rc_buf_putz(to, ",\"ALL_EVENTS\"");
    rc_buf_putz(to, "]}]");
}

/* The operator is connected: what it may do, and what there is. */
RC_ON_SHARD static void welcome(struct rc_shard *sh, struct rc_socket *k, struct rc_str id)
{
    struct rc_ui *ui = sh->ui;
    struct rc_ui_client *c = rc_calloc(1, sizeof(*c));

    if (id.len != 0) {
        rc_ui_begin(sh, "session");
        rc_buf_putc(&ui->text, ',');
        rc_json_string_encode(id, &ui->text);
        rc_buf_putc(&ui->text, ']');
        rc_session_text(sh, k->session, rc_buf_str(&ui->text));
    }
    rc_ui_begin(sh, "config");
    put_features(sh, &ui->text);
    rc_session_text(sh, k->session, rc_buf_str(&ui->text));
    c->session = k->session;
    c->socket = rc_socket_id(sh, k);
    c->cursor = rc_calloc(sh->nshards, sizeof(*c->cursor));
    rc_list_append(&ui->clients, &c->link);
    rc_ui_watch(sh);
    if (ui->all_events)
        rc_ui_list(sh, c);
}

/* u.ui.pub: the id by which the operator can come back without its password, if it is new. */
RC_ON_SHARD static void on_login(struct rc_shard *sh, const struct rc_msg *msg)
{
    struct rc_ui *ui = sh->ui;
    struct rc_session *s = rc_session_find(sh, msg->u.ui.to);
    const struct rc_pub *id = msg->u.ui.pub;
    struct rc_socket *k;
    char told[RC_ADDR_TEXT];

    forget_login(ui, msg->u.ui.to);
    if (s == NULL || s->closed)
        return;
    (void)snprintf(told, sizeof(told), "%.*s", RC_STR_ARG(address_of(sh, s)));
    if (msg->count != RC_UI_GRANTED) {
        rc_shard_log(
            sh, RC_LOG_WARN, "session=%u peer=%s admin ui login refused: %s", s->hdr.slot, told,
            msg->count == RC_UI_TOO_MANY ? "too many attempts" : "invalid credentials");
        rc_socket_refuse(sh, s, sh->app->ui->name,
                         msg->count == RC_UI_TOO_MANY
                             ? RC_STR("\"too many attempts, try again later\"")
                             : RC_STR("\"invalid credentials\""),
                         RC_STR_NONE);
        return;
    }
    k = rc_socket_admit(sh, s, sh->app->ui);
    if (k == NULL)
        return;
    rc_shard_log(sh, RC_LOG_INFO, "session=%u peer=%s admin ui login", s->hdr.slot, told);
    welcome(sh, k, id != NULL ? rc_pub_data(id) : RC_STR_NONE);
}

void rc_ui_mail(struct rc_shard *sh, struct rc_msg *msg)
{
    RC_ASSERT(sh->ui != NULL);
    switch ((int)msg->type) {
    case RC_MSG_UI_LOGIN: on_login(sh, msg); break;
    case RC_MSG_UI_WATCH: set_watcher(sh, msg->from, msg->count != 0); break;
    case RC_MSG_UI_LIST: rc_ui_on_list(sh, msg); break;
    case RC_MSG_UI_PAGE: rc_ui_on_page(sh, msg); break;
    case RC_MSG_UI_TELL: rc_ui_take(sh, msg->from, msg->u.ui.pub, msg->count); break;
    case RC_MSG_UI_COMMAND: rc_ui_on_command(sh, msg); break;
    default: RC_ASSERT(false);
    }
    rc_msg_drop(msg);
}

/* admin_ui_tell.c - what a shard tells operators: sockets, rooms and events, one message a turn. */
#include "admin_ui_int.h"
#include "rc/base/hash.h"
#include "rc/broker/room.h"
#include "rc/broker/socket.h"
#include "rc/broker/space.h"
#include "rc/net/ws.h"
#include "rc/proto/json.h"

#include <time.h>

enum {
    OUT_MAX = 1 << 20,    /* bytes of a turn: beyond it operators list the sockets anew */
    EVENTS_MAX = 1 << 17, /* beyond it events of sockets are left out */
};

/* ---- building ---- */

void rc_ui_put_now(struct rc_buf *to)
{
    uint64_t ms = rc_clock_wall_ms();
    time_t s = (time_t)(ms / 1000);
    char text[40];
    struct tm tm;

    (void)gmtime_r(&s, &tm);
    (void)strftime(text, sizeof(text), ",\"%Y-%m-%dT%H:%M:%S", &tm);
    rc_buf_putz(to, text);
    rc_buf_printf(to, ".%03uZ\"", (unsigned)(ms % 1000));
}

void rc_ui_put_latin1(struct rc_str text, struct rc_buf *to)
{
    struct rc_buf utf8 = RC_BUF_INIT;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char ch = (unsigned char)text.p[i];

        if (ch >= 0x80) {
            rc_buf_putc(&utf8, (char)(0xc0 | ch >> 6));
            ch = 0x80 | (ch & 0x3f);
        }
        rc_buf_putc(&utf8, (char)ch);
    }
    rc_json_string_encode(rc_buf_str(&utf8), to);
    rc_buf_deinit(&utf8);
}

void rc_ui_begin(struct rc_shard *sh, const char *event)
{
    struct rc_ui *ui = sh->ui;

    rc_buf_reset(&ui->text);
    rc_sio_put_head(&ui->text, RC_SIO_EVENT, 0, sh->app->ui->name, false, 0);
    rc_buf_printf(&ui->text, "[\"%s\"", event);
}

void rc_ui_end(struct rc_ui *ui)
{
    rc_buf_putc(&ui->text, ']');
    if (ui->text.failed || ui->out.failed || ui->out.len + ui->text.len > OUT_MAX) {
        ui->lost = true;
        return;
    }
    rc_ws_put_header(&ui->out, RC_WS_TEXT, false, ui->text.len);
    rc_buf_puts(&ui->out, rc_buf_str(&ui->text));
}

static void put_comma(struct rc_ui *ui)
{
    rc_buf_putc(&ui->text, ',');
}

static void put_id(struct rc_shard *sh, const struct rc_socket *k)
{
    struct rc_buf id = RC_BUF_INIT;

    rc_socket_put_name(sh, k, &id);
    put_comma(sh->ui);
    rc_json_string_encode(rc_buf_str(&id), &sh->ui->text);
    rc_buf_deinit(&id);
}

static void put_nsp(struct rc_shard *sh, const struct rc_socket *k)
{
    put_comma(sh->ui);
    rc_json_string_encode(rc_space_name(sh, k), &sh->ui->text);
}

/* Members of plain endpoints are not Socket.IO's. */
static bool is_shown(const struct rc_shard *sh, const struct rc_socket *k)
{
    return sh->app->nsp[k->nsp].endpoint == RC_ENDPOINT_NONE;
}

/* ---- sockets and rooms ---- */

static void tell_room(struct rc_shard *sh, const struct rc_socket *k, const char *event,
                      struct rc_str room)
{
    rc_ui_begin(sh, event);
    put_nsp(sh, k);
    put_comma(sh->ui);
    rc_json_string_encode(room, &sh->ui->text);
    put_id(sh, k);
    rc_ui_put_now(&sh->ui->text);
    rc_ui_end(sh->ui);
    sh->ui->matters = true;
}

/* The room of its own, which is only a way of naming the socket. */
static void tell_own_room(struct rc_shard *sh, const struct rc_socket *k, const char *event)
{
    struct rc_buf id = RC_BUF_INIT;

    rc_socket_put_name(sh, k, &id);
    tell_room(sh, k, event, rc_buf_str(&id));
    rc_buf_deinit(&id);
}

void rc_ui_moved(struct rc_shard *sh, const struct rc_socket *k, const struct rc_lroom *lr,
                 bool joined)
{
    struct rc_str room = rc_space_label(sh, k->nsp, rc_pub_room(lr->name));

    if (!is_shown(sh, k) || room.len == 0 || rc_space_is_hidden(room))
        return;
    tell_room(sh, k, joined ? "room_joined" : "room_left", room);
}

static void tell_connected(struct rc_shard *sh, const struct rc_socket *k)
{
    struct rc_ui *ui = sh->ui;

    tell_own_room(sh, k, "room_joined");
    rc_ui_begin(sh, "socket_connected");
    put_comma(ui);
    rc_ui_put_socket(sh, k, &ui->text);
    rc_ui_put_now(&ui->text);
    rc_ui_end(ui);
}

static const char *reason_text(enum rc_ui_reason reason)
{
    static const char *const text[] = {
#define RC_UI_REASON_TEXT(name, text) text,
        RC_UI_REASON_MAP(RC_UI_REASON_TEXT)
#undef RC_UI_REASON_TEXT
    };

    return text[reason];
}

RC_ON_SHARD static void tell_gone(struct rc_shard *sh, const struct rc_socket *k,
                                  enum rc_ui_reason reason)
{
    struct rc_ui *ui = sh->ui;

    rc_ui_begin(sh, "socket_disconnected");
    put_nsp(sh, k);
    put_id(sh, k);
    rc_buf_printf(&ui->text, ",\"%s\"", reason_text(reason));
    rc_ui_put_now(&ui->text);
    rc_ui_end(ui);
    ui->matters = true;
    tell_own_room(sh, k, "room_left");
    for (unsigned i = 0; i < k->nrooms; i++)
        if (k->room[i].index != RC_NOT_IN)
            rc_ui_moved(sh, k, k->room[i].room, false);
}

/* ---- what happens to sessions and sockets ---- */

static enum rc_ui_reason reason_of(enum rc_close why)
{
    switch ((int)why) {
    case RC_CLOSE_PEER:
    case RC_CLOSE_WS_CLOSED:
    case RC_CLOSE_POLL_ABORTED:
    case RC_CLOSE_CLIENT: return RC_UI_TRANSPORT_CLOSE;
    case RC_CLOSE_RESET:
    case RC_CLOSE_WS_PROTOCOL:
    case RC_CLOSE_TOO_BIG:
    case RC_CLOSE_POLL_OVERLAP: return RC_UI_TRANSPORT_ERROR;
    case RC_CLOSE_PING_TIMEOUT: return RC_UI_PING_TIMEOUT;
    case RC_CLOSE_PARSE:
    case RC_CLOSE_LIMIT: return RC_UI_PARSE_ERROR;
    case RC_CLOSE_SHUTDOWN: return RC_UI_SHUTTING_DOWN;
    default: return RC_UI_FORCED_CLOSE;
    }
}

void rc_ui_opened(struct rc_shard *sh, const struct rc_session *s)
{
    struct rc_ui *ui = sh->ui;
    struct rc_ui_peer *peer = ui->next_peer;
    rc_id id = rc_session_id(sh, s);

    rc_stat_add(&ui->counts.opened, 1);
    if (s->kind == RC_SESSION_POLLING)
        rc_stat_add(&ui->counts.polling, 1);
    ui->next_peer = NULL;
    if (peer == NULL)
        return;
    peer->session = id;
    rc_hmap_insert(&ui->peers, rc_hash(&id, sizeof(id), 0), peer);
}

void rc_ui_ending(struct rc_shard *sh, const struct rc_session *s, enum rc_close why)
{
    struct rc_ui *ui = sh->ui;
    enum rc_ui_reason reason = reason_of(why);

    if (s->polling != NULL)
        rc_stat_add(&ui->counts.polling, -1);
    rc_stat_add(&ui->counts.ended[reason], 1);
    /* The reference takes the sockets out one by one and then closes the transport. */
    ui->reason = why == RC_CLOSE_RULE || why == RC_CLOSE_TOKEN || why == RC_CLOSE_KICKED
                     ? RC_UI_SERVER_NAMESPACE
                     : reason;
}

void rc_ui_ended(struct rc_shard *sh, const struct rc_session *s)
{
    sh->ui->reason = RC_UI_SERVER_NAMESPACE;
    rc_ui_forget_peer(sh, s);
}

void rc_ui_leaving(struct rc_shard *sh)
{
    sh->ui->reason = RC_UI_CLIENT_NAMESPACE;
}

void rc_ui_connected(struct rc_shard *sh, const struct rc_socket *k)
{
    rc_stat_add(&sh->ui->counts.sockets[k->nsp], 1);
    if (sh->ui_live && is_shown(sh, k))
        tell_connected(sh, k);
}

void rc_ui_upgraded(struct rc_shard *sh, const struct rc_session *s)
{
    struct rc_ui *ui = sh->ui;

    rc_stat_add(&ui->counts.polling, -1);
    if (!sh->ui_live)
        return;
    for (const struct rc_socket *k = s->sockets; k != NULL; k = k->next) {
        struct rc_buf id = RC_BUF_INIT;

        rc_socket_put_name(sh, k, &id);
        rc_ui_begin(sh, "socket_updated");
        rc_buf_putz(&ui->text, ",{\"id\":");
        rc_json_string_encode(rc_buf_str(&id), &ui->text);
        rc_buf_putz(&ui->text, ",\"nsp\":");
        rc_json_string_encode(rc_space_name(sh, k), &ui->text);
        rc_buf_putz(&ui->text, ",\"transport\":\"websocket\"}");
        rc_ui_end(ui);
        ui->matters = true;
        rc_buf_deinit(&id);
    }
}

/* An operator has gone. */
RC_ON_SHARD static void forget_client(struct rc_shard *sh, const struct rc_socket *k)
{
    struct rc_ui *ui = sh->ui;

    for (struct rc_list *l = ui->clients.next; l != &ui->clients; l = l->next) {
        struct rc_ui_client *c = RC_CONTAINER(l, struct rc_ui_client, link);

        if (c->socket == rc_socket_id(sh, k)) {
            rc_ui_client_free(c);
            rc_ui_watch(sh);
            return;
        }
    }
}

void rc_ui_closing(struct rc_shard *sh, const struct rc_socket *k)
{
    struct rc_ui *ui = sh->ui;
    enum rc_ui_reason reason = ui->reason;

    if (reason == RC_UI_CLIENT_NAMESPACE)
        ui->reason = RC_UI_SERVER_NAMESPACE;
    rc_stat_add(&ui->counts.sockets[k->nsp], -1);
    if (k->nsp == ui->nsp)
        forget_client(sh, k);
    if (sh->ui_live && is_shown(sh, k))
        tell_gone(sh, k, reason);
}

/* ---- events of sockets ---- */

/* True: this one is left out. */
static bool too_much(struct rc_shard *sh)
{
    if (sh->ui->out.len <= EVENTS_MAX && !rc_mesh_spilling(sh->mesh, sh->index))
        return false;
    rc_stat_add(&sh->stats.ui_dropped, 1);
    return true;
}

static void tell_event(struct rc_shard *sh, const struct rc_socket *k, const char *direction,
                       struct rc_str args)
{
    rc_ui_begin(sh, direction);
    put_nsp(sh, k);
    put_id(sh, k);
    put_comma(sh->ui);
    rc_buf_puts(&sh->ui->text, args);
    rc_ui_put_now(&sh->ui->text);
    rc_ui_end(sh->ui);
}

void rc_ui_received(struct rc_shard *sh, const struct rc_socket *k,
                    const struct rc_sio_packet *p)
{
    if (k->nsp != sh->ui->nsp && !too_much(sh))
        tell_event(sh, k, "event_received", p->data);
}

/* Takes the next frame off; false: there is none. */
static bool next_frame(struct rc_str *frames, unsigned *opcode, struct rc_str *payload)
{
    const unsigned char *p = (const unsigned char *)frames->p;
    size_t head = 2, len;

    if (frames->len < 2)
        return false;
    *opcode = p[0] & 0x0f;
    len = p[1] & 0x7f; /* a server's frames have no mask */
    if (len >= 126) {
        unsigned n = len == 126 ? 2 : 8;

        head += n;
        if (frames->len < head)
            return false;
        len = 0;
        for (unsigned i = 0; i < n; i++)
            len = len << 8 | p[2 + i];
    }
    if (frames->len - head < len)
        return false;
    *payload = rc_str_make(frames->p + head, len);
    *frames = rc_str_skip(*frames, head + len);
    return true;
}

/* The event that is in a frame; false: it is something else. */
static bool event_in(struct rc_str payload, struct rc_sio_head *head)
{
    return payload.len > 2 && payload.p[0] == '4' &&
           rc_sio_split(rc_str_skip(payload, 1), head) == RC_OK &&
           (head->type == RC_SIO_EVENT || head->type == RC_SIO_BINARY_EVENT);
}

void rc_ui_sent(struct rc_shard *sh, const struct rc_session *s, struct rc_str frames)
{
    struct rc_sio_head head;
    struct rc_str payload;
    unsigned opcode;

    while (next_frame(&frames, &opcode, &payload)) {
        const struct rc_socket *k = s->sockets;

        if (opcode != RC_WS_TEXT || !event_in(payload, &head))
            continue;
        while (k != NULL && !rc_str_eq(rc_space_name(sh, k), head.nsp))
            k = k->next;
        if (k != NULL && is_shown(sh, k) && k->nsp != sh->ui->nsp && !too_much(sh))
            tell_event(sh, k, "event_sent", head.data);
    }
}

void rc_ui_sent_to_room(struct rc_shard *sh, const struct rc_lroom *lr,
                        const struct rc_socket *except, struct rc_str frames)
{
    struct rc_sio_head head;
    struct rc_str payload;
    unsigned opcode;

    while (next_frame(&frames, &opcode, &payload)) {
        if (opcode != RC_WS_TEXT || !event_in(payload, &head))
            continue;
        for (uint32_t i = 0; i < lr->n; i++) {
            const struct rc_socket *k = lr->member[i].socket;

            if (k == except)
                continue;
            if (!is_shown(sh, k) || k->nsp == sh->ui->nsp)
                return;
            if (too_much(sh)) {
                rc_stat_add(&sh->stats.ui_dropped, (int64_t)lr->n - i - 1);
                return;
            }
            tell_event(sh, k, "event_sent", head.data);
        }
    }
}

/* ---- the end of a turn ---- */

RC_ON_SHARD static void hand_out(struct rc_shard *sh, struct rc_pub *pub, unsigned flags)
{
    for (unsigned to = 0; to < sh->nshards; to++) {
        struct rc_msg msg = {.type = RC_MSG_UI_TELL, .count = flags};

        if ((sh->ui->watchers >> to & 1) == 0)
            continue;
        if (to == sh->index) {
            rc_ui_take(sh, to, pub, flags);
            continue;
        }
        msg.u.ui.pub = pub != NULL ? rc_pub_ref(pub) : NULL;
        rc_shard_post(sh, to, &msg);
    }
}

/* Rings that are full are no place for more: operators list anew, once there is room. */
RC_ON_SHARD static void flush(struct rc_shard *sh)
{
    struct rc_ui *ui = sh->ui;
    struct rc_pub *pub = NULL;
    unsigned flags;

    ui->lost = ui->lost || ui->out.failed;
    if (rc_mesh_spilling(sh->mesh, sh->index)) {
        ui->lost = ui->lost || ui->matters;
        rc_buf_reset(&ui->out);
        ui->matters = false;
        return;
    }
    flags = (ui->matters ? RC_UI_MATTERS : 0) | (ui->lost ? RC_UI_LOST : 0);
    if (!ui->out.failed && ui->out.len != 0)
        pub = rc_pub_new(ui->nsp, RC_STR_NONE, 0, ui->out.data, ui->out.len);
    rc_buf_reset(&ui->out);
    ui->matters = ui->lost = false;
    if (pub != NULL || flags != 0)
        hand_out(sh, pub, flags);
    rc_pub_unref(&pub);
}

bool rc_ui_has_more(const struct rc_shard *sh)
{
    return sh->ui->out.len != 0;
}

bool rc_ui_waits(const struct rc_shard *sh)
{
    return sh->ui->njobs != 0 || sh->ui->lost;
}

void rc_ui_turn(struct rc_shard *sh)
{
    if (sh->ui->njobs != 0)
        rc_ui_work(sh);
    if (sh->ui->out.len != 0 || sh->ui->lost)
        flush(sh);
}

/* session.c - a client's life and its one queue. */
#include "rc/broker/session.h"

#include "rc/base/b64.h"
#include "rc/base/hash.h"
#include "rc/base/mem.h"
#include "rc/broker/admin_ui.h"
#include "rc/broker/engine.h"
#include "rc/broker/identity.h"
#include "rc/broker/meter.h"
#include "rc/broker/name.h"
#include "rc/broker/peers.h"
#include "rc/broker/polling.h"
#include "rc/broker/room.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"
#include "rc/broker/verbs.h"

#include <stdlib.h>

/* There may be a million: what only a few need does not belong in here. */
_Static_assert(sizeof(struct rc_session) <= 160, "an idle session has grown");
_Static_assert(sizeof(struct rc_socket) <= 72, "an idle socket has grown");
/* Sessions begin at multiples of 32, so these 32 bytes never lie in two lines. */
_Static_assert(sizeof(struct rc_session) % 32 == 0 && offsetof(struct rc_session, out) == 32 &&
                   offsetof(struct rc_session, form) == 63,
               "a delivery costs one cache line of a session");

struct rc_session *rc_session_new(struct rc_shard *sh, enum rc_session_kind kind)
{
    struct rc_session *s = rc_pool_get(&sh->sessions);

    if (s == NULL)
        return NULL;
    s->kind = (uint8_t)kind;
    s->fd = RC_FD_NONE;
    rc_random(s->sid_secret, sizeof(s->sid_secret));
    rc_meter_open(sh, s);
    rc_stat_add(&sh->stats.sessions, 1);
    if (sh->ui != NULL)
        rc_ui_opened(sh, s);
    rc_stat_add(&sh->stats.transport[kind], 1);
    return s;
}

const struct rc_addr *rc_session_peer(const struct rc_session *s)
{
    if (s->conn != NULL)
        return &s->conn->peer;
    return s->polling != NULL ? &s->polling->peer : NULL;
}

bool rc_session_possible(const struct rc_shard *sh)
{
    return !sh->draining && sh->sessions.used < sh->sessions.max &&
           sh->sockets.used < sh->sockets.max;
}

rc_id rc_session_id(const struct rc_shard *sh, const struct rc_session *s)
{
    return rc_id_make(sh->index, s->hdr.slot, s->hdr.gen);
}

struct rc_session *rc_session_find(struct rc_shard *sh, rc_id id)
{
    return rc_pool_find(&sh->sessions, rc_id_slot(id), rc_id_gen(id));
}

void rc_session_await(struct rc_shard *sh, struct rc_session *s)
{
    s->joining = rc_calloc(1, sizeof(*s->joining));
    s->joining->session = s;
    rc_timer_start(&sh->q_join, &s->joining->timer, sh->loop.now_ms);
}

void rc_session_joined(struct rc_session *s)
{
    if (s->joining == NULL)
        return;
    rc_timer_stop(&s->joining->timer);
    free(s->joining);
    s->joining = NULL;
}

void rc_session_close(struct rc_shard *sh, struct rc_session *s, enum rc_close why)
{
    if (s->closed)
        return;
    if (sh->ui != NULL)
        rc_ui_ending(sh, s, why);
    while (s->sockets != NULL)
        rc_socket_close(sh, s->sockets);
    if (sh->ui != NULL)
        rc_ui_ended(sh, s);
    s->closed = true;
    rc_identity_forget(sh, s);
    rc_timer_stop(&s->beat);
    rc_session_joined(s);
    if (s->conn != NULL) {
        bool quit = why == RC_CLOSE_SHUTDOWN;

        rc_wsconn_end(sh, s, quit ? RC_WS_GOING_AWAY : 0, RC_STR_NONE, why);
    }
    if (s->polling != NULL)
        rc_polling_closed(sh, s, why);
    rc_wsin_deinit(&s->in);
    rc_assembly_free(s->assembly);
    s->assembly = NULL;
    rc_verbs_job_free(s->job);
    s->job = NULL;
    rc_stat_add(&sh->stats.sessions, -1);
    rc_stat_add(&sh->stats.transport[s->kind], -1);
    if (s->polling == NULL) { /* else engine.c keeps it until the client has been told */
        rc_outq_clear(&s->out);
        rc_shard_bury(sh, &s->hdr);
    }
}

void rc_session_touch(struct rc_shard *sh, struct rc_session *s)
{
    rc_shard_add_dirty(sh, s);
}

void rc_session_push(struct rc_shard *sh, struct rc_session *s, struct rc_seg *seg)
{
    rc_batch_before(sh, s);
    if (sh->ui_counts != NULL && seg != sh->ping)
        rc_ui_packets_out(sh, 1, seg->len);
    if (sh->ui_live)
        rc_ui_sent(sh, s, rc_str_make(seg->data, seg->len));
    if (s->form != RC_FORM_FRAMES) {
        struct rc_seg *frames = seg;

        seg = rc_form_make(&sh->former, frames, s->form);
        rc_seg_unref(frames);
    }
    rc_outq_push(&s->out, seg);
    rc_session_touch(sh, s);
}

void rc_session_set_form(struct rc_shard *sh, struct rc_session *s, unsigned form)
{
    struct rc_outq out = {0};
    struct rc_seg *seg;
    uint32_t off;

    RC_ASSERT((s->form & ~(unsigned)RC_FORM_MSGPACK) == RC_FORM_FRAMES);
    s->form |= (uint8_t)form;
    if (form == RC_FORM_FRAMES)
        return;
    while ((seg = rc_outq_pop(&s->out, &off)) != NULL) {
        rc_outq_push(&out, rc_form_make(&sh->former, seg, form));
        rc_seg_unref(seg);
    }
    s->out = out;
}

void rc_session_set_parser(struct rc_session *s, enum rc_parser parser)
{
    s->parser = (uint8_t)parser;
    if (parser == RC_PARSER_MSGPACK)
        s->form |= RC_FORM_MSGPACK;
}

const struct rc_sio_limits *rc_session_sio(const struct rc_shard *sh,
                                           const struct rc_session *s)
{
    return s->eio3 ? &sh->app->sio_eio3 : &sh->app->sio;
}

void rc_session_text(struct rc_shard *sh, struct rc_session *s, struct rc_str text)
{
    uint8_t head[RC_WS_HEADER_MAX];
    size_t n = rc_ws_header(head, RC_WS_TEXT, false, text.len);
    struct rc_seg *seg = rc_seg_new(NULL, n + text.len);

    memcpy(rc_seg_bytes(seg), head, n);
    if (text.len != 0)
        memcpy(rc_seg_bytes(seg) + n, text.p, text.len);
    rc_session_push(sh, s, seg);
}

void rc_session_set_fd(struct rc_session *s)
{
    if (s->conn == NULL || s->held != 0 || s->conn->writing)
        s->fd = RC_FD_NONE;
    else
        s->fd = s->conn->secure ? RC_FD_SECURE : s->conn->fd;
}

void rc_session_hold(struct rc_session *s)
{
    s->held++;
    if (s->conn != NULL)
        s->conn->out = NULL; /* nor when its socket can be written again */
    rc_session_set_fd(s);
}

void rc_session_release(struct rc_shard *sh, struct rc_session *s)
{
    if (s->held == 0 || --s->held != 0)
        return;
    if (s->conn != NULL)
        s->conn->out = &s->out;
    rc_session_set_fd(s);
    rc_session_touch(sh, s);
}

RC_ON_SHARD static bool has_too_much(const struct rc_shard *sh, const struct rc_session *s)
{
    return !s->closed && !rc_outq_empty(&s->out) &&
           rc_outq_cost(&s->out) > sh->app->conf->limits_max_queue;
}

void rc_session_flush_rest(struct rc_shard *sh, struct rc_session *s, int rc)
{
    if (s->fd >= 0 && rc == RC_EAGAIN) {
        rc_conn_want_write(s->conn);
        rc_session_set_fd(s);
    } else if (s->fd >= 0) {
        rc_conn_close(s->conn, RC_CLOSE_RESET);
    } else if (s->fd == RC_FD_SECURE) {
        rc_conn_flush(s->conn);
        rc_session_set_fd(s);
    } else if (s->held != 0) {
        return;
    } else if (s->kind == RC_SESSION_POLLING) {
        rc_polling_flush(sh, s);
    }
    if (has_too_much(sh, s) && s->conn != NULL) {
        /* The turn's share is not what the client has to answer for. */
        rc_conn_flush_all(s->conn);
        rc_session_set_fd(s);
    }
    if (has_too_much(sh, s)) {
        if (s->conn != NULL)
            rc_conn_close(s->conn, s->conn->broken ? RC_CLOSE_RESET : RC_CLOSE_SLOW);
        else
            rc_session_close(sh, s, RC_CLOSE_SLOW);
    }
}

void rc_session_pause(struct rc_shard *sh, struct rc_session *s, unsigned why)
{
    if (why == RC_PAUSE_RING && (s->paused & RC_PAUSE_RING) == 0)
        rc_ids_add(&sh->ring_paused, rc_session_id(sh, s));
    s->paused |= (uint8_t)why;
    if (s->conn != NULL && !s->in_input)
        rc_conn_pause(s->conn);
}

void rc_session_resume(struct rc_shard *sh, struct rc_session *s, unsigned why)
{
    s->paused &= (uint8_t)~why;
    if (s->paused != 0 || s->closed)
        return;
    if (s->conn != NULL)
        rc_conn_resume(s->conn);
    else if (s->polling != NULL)
        rc_polling_input(sh, s);
}

/* ---- the sid ---- */

enum { SID_NAME = 4, HASH_SID = 0x5344494f };

_Static_assert((int)SID_NAME + (int)RC_SID_SECRET + (int)RC_TAG_BYTES == (int)RC_SID_BYTES &&
                   (int)RC_SID_BYTES == (int)RC_NAME_BYTES,
               "all bytes of a sid are used");

/* The mask of {shard:8, slot:24}: it follows from the secret and the tag. */
static uint32_t sid_mask(const uint8_t *raw)
{
    return (uint32_t)rc_hash(raw + SID_NAME, RC_SID_BYTES - SID_NAME, HASH_SID);
}

/* What the sids of this node bear. */
static uint16_t own_tag(const struct rc_shard *sh)
{
    const struct rc_cluster_port *cluster = sh->app->cluster;

    return cluster != NULL ? cluster->tag(cluster->cluster) : 0;
}

/* The sid of Engine.IO 3 is told again and again, as its sockets' id: it keeps its tag where it needs no
 * secret. */
void rc_session_set_eio3(const struct rc_shard *sh, struct rc_session *s)
{
    uint16_t tag = own_tag(sh);

    s->eio3 = true;
    memcpy(s->sid_secret, &tag, sizeof(tag));
}

void rc_session_put_name(const struct rc_shard *sh, const struct rc_session *s,
                         char out[RC_SID_LEN + 1])
{
    uint16_t tag;

    memcpy(&tag, s->sid_secret, sizeof(tag));
    rc_name_put(RC_NAME_SESSION, tag, rc_session_id(sh, s), out);
}

/* Engine.IO 4: {shard:8, slot:24} under a mask, the secret, the tag. */
void rc_session_sid(const struct rc_shard *sh, const struct rc_session *s,
                    char out[RC_SID_LEN + 1])
{
    uint32_t name = sh->index | s->hdr.slot << 8;
    uint8_t raw[RC_SID_BYTES];

    if (s->eio3) {
        rc_session_put_name(sh, s, out);
        return;
    }
    memcpy(raw + SID_NAME, s->sid_secret, RC_SID_SECRET);
    rc_name_put_tag(raw, own_tag(sh));
    name ^= sid_mask(raw);
    for (unsigned i = 0; i < SID_NAME; i++)
        raw[i] = (uint8_t)(name >> (8 * i));
    (void)rc_b64_encode(RC_B64_URL, raw, sizeof(raw), out);
}

/* RC_OK with shard, slot and secret (RC_SID_SECRET bytes), if it is one of this node's; else anything. */
static int parse_sid(struct rc_str sid, unsigned *shard, uint32_t *slot, uint8_t *secret)
{
    uint8_t raw[RC_SID_BYTES + 2];
    uint32_t name = 0;

    if (sid.len != RC_SID_LEN || rc_b64_decode(RC_B64_URL, sid, raw) != RC_SID_BYTES)
        return RC_EPROTO;
    for (unsigned i = 0; i < SID_NAME; i++)
        name |= (uint32_t)raw[i] << (8 * i);
    name ^= sid_mask(raw);
    memcpy(secret, raw + SID_NAME, RC_SID_SECRET);
    *shard = name & 0xff;
    *slot = name >> 8;
    return RC_OK;
}

const struct rc_peer *rc_engine_sid_peer(const struct rc_shard *sh, struct rc_str sid)
{
    int tag = sh->app->cluster != NULL ? rc_name_tag(sid) : -1;

    return tag > 0 && tag != own_tag(sh) ? rc_peers_by_tag(sh, (uint16_t)tag) : NULL;
}

int rc_engine_sid_shard(const struct rc_shard *sh, struct rc_str sid)
{
    uint8_t secret[RC_SID_SECRET];
    rc_id eio3 = rc_name_parse(RC_NAME_SESSION, sid);
    unsigned shard;
    uint32_t slot;

    if (eio3 != 0)
        return (int)rc_id_shard(eio3);
    if (parse_sid(sid, &shard, &slot, secret) != RC_OK || shard >= sh->nshards)
        return -1;
    return (int)shard;
}

bool rc_engine_sid_is_eio3(struct rc_str sid)
{
    return rc_name_parse(RC_NAME_SESSION, sid) != 0;
}

struct rc_session *rc_engine_find(struct rc_shard *sh, struct rc_str sid)
{
    uint8_t secret[RC_SID_SECRET];
    struct rc_session *s;
    rc_id eio3 = rc_name_parse(RC_NAME_SESSION, sid);
    unsigned shard, diff = 0;
    uint32_t slot;

    if (eio3 != 0)
        return rc_id_shard(eio3) == sh->index ? rc_session_find(sh, eio3) : NULL;
    if (parse_sid(sid, &shard, &slot, secret) != RC_OK || shard != sh->index)
        return NULL;
    s = rc_pool_at(&sh->sessions, slot);
    if (s == NULL || s->kind == RC_SESSION_ENDPOINT || s->eio3)
        return NULL;
    /* In constant time: the answer must not tell how much of a guess was right. */
    for (unsigned i = 0; i < RC_SID_SECRET; i++)
        diff |= (unsigned)(secret[i] ^ s->sid_secret[i]);
    return diff == 0 ? s : NULL;
}

/* bus_order.c - orders of other nodes, carried out by each shard for its own sockets and rooms. What only asks is
 * answered in slices, one in a turn: a shard's clients do not wait for the list of all of them. */
#include "rc/base/mem.h"
#include "rc/broker/audience.h"
#include "rc/broker/bus.h"
#include "rc/broker/identity.h"
#include "rc/broker/mesh.h"
#include "rc/broker/room.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"
#include "rc/broker/space.h"
#include "rc/broker/survey.h"
#include "rc/proto/json.h"

#include <stdlib.h>

enum { SLICE = 256 }; /* sockets, or places in the table of rooms, told in one turn */

/* An order that asks. */
struct rc_bus_job {
    struct rc_bus_job *next;
    struct rc_pub *pub;
    struct rc_ids ids; /* its sockets, found when it is its turn */
    uint32_t at, room; /* how many of them were told; where in room_by_name it goes on */
    bool begun;
};

/* Takes over pub. more: another part follows. */
RC_ON_SHARD static void done(const struct rc_shard *sh, uint64_t number, struct rc_pub *pub,
                             bool more)
{
    const struct rc_cluster_port *cluster = sh->app->cluster;
    const struct rc_cluster_item item = {
        .type = RC_CLUSTER_DONE, .count = more, .number = number, .pub = pub};

    RC_ASSERT(cluster != NULL); /* whose order it is */
    (void)cluster->submit(cluster->cluster, &item);
}

static void put_comma(struct rc_buf *json)
{
    if (json->len != 0)
        rc_buf_putc(json, ',');
}

RC_ON_SHARD static void put_id(const struct rc_shard *sh, const struct rc_socket *k,
                               struct rc_buf *json)
{
    struct rc_buf id = RC_BUF_INIT;

    rc_socket_put_name(sh, k, &id);
    rc_json_string_encode(rc_buf_str(&id), json);
    rc_buf_deinit(&id);
}

/* ---- what is told ---- */

/* Its own id, and those that clients can name. */
RC_ON_SHARD static void put_rooms(const struct rc_shard *sh, const struct rc_socket *k,
                                  struct rc_buf *json)
{
    put_id(sh, k, json);
    for (unsigned i = 0; i < k->nrooms; i++) {
        struct rc_str label = rc_space_label(sh, k->nsp, rc_pub_room(k->room[i].room->name));

        if (!k->room[i].want || label.len == 0 || rc_space_is_hidden(label))
            continue;
        rc_buf_putc(json, ',');
        rc_json_string_encode(label, json);
    }
}

RC_ON_SHARD static void put_socket(const struct rc_shard *sh, const struct rc_socket *k,
                                   struct rc_buf *json)
{
    const struct rc_token *token = rc_identity_token(k);
    struct rc_addr peer = rc_survey_peer(k->session);
    const char *auth = k->caller != NULL ? k->caller->auth : "";
    char address[RC_ADDR_TEXT];

    rc_buf_putz(json, "{\"id\":");
    put_id(sh, k, json);
    rc_buf_printf(
        json, ",\"handshake\":{\"headers\":{},\"query\":{},\"address\":\"%s\",\"auth\":%s}",
        peer.family != 0 ? rc_addr_text(&peer, address) : "", auth[0] == '{' ? auth : "{}");
    rc_buf_putz(json, ",\"rooms\":[");
    put_rooms(sh, k, json);
    rc_buf_putz(json, "],\"data\":{");
    if (token != NULL) {
        rc_buf_putz(json, "\"user\":");
        rc_json_string_encode(token->user, json);
    }
    rc_buf_putz(json, "}}");
}

RC_ON_SHARD static struct rc_socket *find(struct rc_shard *sh, const struct rc_pub *pub,
                                          rc_id id)
{
    return rc_socket_find(sh, (struct rc_address){.id = id}, pub);
}

RC_ON_SHARD static void tell_sockets(struct rc_shard *sh, struct rc_bus_job *j,
                                     struct rc_buf *json)
{
    for (unsigned left = SLICE; left != 0 && j->at < j->ids.n; left--) {
        const struct rc_socket *k = find(sh, j->pub, j->ids.id[j->at++]);

        if (k == NULL) /* it has gone meanwhile */
            continue;
        put_comma(json);
        if (j->pub->order == RC_BUS_FETCH)
            put_socket(sh, k, json);
        else
            put_id(sh, k, json);
    }
}

struct rooms {
    const struct rc_pub *pub;
    struct rc_buf *json;
};

static void on_room(void *value, void *arg)
{
    const struct rooms *w = arg;
    const struct rc_room *r = value;
    struct rc_str key = rc_str_make(r->name, r->name_len), home = rc_pub_room(w->pub), label;

    if (r->nsp != w->pub->nsp || r->members == 0 || !rc_str_starts(key, home))
        return;
    label = rc_str_skip(key, home.len);
    if (label.len == 0 || rc_space_is_hidden(label))
        return;
    put_comma(w->json);
    rc_json_string_encode(label, w->json);
}

/* Those that this shard owns, of the namespace. True: there are more. */
RC_ON_SHARD static bool tell_rooms(struct rc_shard *sh, struct rc_bus_job *j,
                                   struct rc_buf *json)
{
    struct rooms w = {j->pub, json};
    unsigned left = SLICE;

    do
        j->room = rc_hmap_scan(&sh->room_by_name, j->room, on_room, &w);
    while (j->room != 0 && --left != 0);
    return j->room != 0;
}

/* ---- slices ---- */

static uint64_t number_of(const struct rc_pub *pub)
{
    uint64_t number;

    memcpy(&number, pub->data, sizeof(number));
    return number;
}

static void free_job(struct rc_bus_job *j)
{
    rc_ids_deinit(&j->ids);
    rc_pub_unref(&j->pub);
    free(j);
}

/* The next slice of the first. */
RC_ON_SHARD static void go_on(struct rc_shard *sh)
{
    struct rc_bus_job *j = sh->job;
    struct rc_buf json = RC_BUF_INIT;
    bool more;

    RC_ASSERT(j != NULL);
    if (!j->begun)
        rc_audience_collect(sh, j->pub, &j->ids);
    j->begun = true;
    tell_sockets(sh, j, &json);
    more = j->at < j->ids.n;
    if (!more && j->pub->order == RC_BUS_ROOMS)
        more = tell_rooms(sh, j, &json);
    done(sh, number_of(j->pub), rc_pub_new(0, RC_STR_NONE, 0, json.data, json.len), more);
    rc_buf_deinit(&json);
    if (more)
        return;
    sh->job = j->next;
    if (sh->job == NULL)
        sh->job_tail = &sh->job;
    free_job(j);
}

void rc_bus_turn(struct rc_shard *sh)
{
    go_on(sh);
    if (sh->job != NULL)
        rc_mesh_poke(sh->mesh, sh->index);
}

/* Behind those that came before. Few sockets are told at once. */
RC_ON_SHARD static void add_job(struct rc_shard *sh, struct rc_pub *pub)
{
    struct rc_bus_job *j = rc_calloc(1, sizeof(*j));
    bool first = sh->job == NULL;

    j->pub = rc_pub_ref(pub);
    *sh->job_tail = j;
    sh->job_tail = &j->next;
    if (first)
        rc_bus_turn(sh);
}

void rc_bus_init(struct rc_shard *sh)
{
    sh->job_tail = &sh->job;
}

void rc_bus_deinit(struct rc_shard *sh)
{
    while (sh->job != NULL) {
        struct rc_bus_job *j = sh->job;

        sh->job = j->next;
        free_job(j);
    }
}

/* ---- what is done ---- */

/* Names as clients could have them; an own id is not to be joined or left. */
RC_ON_SHARD static bool is_movable(const struct rc_shard *sh, const struct rc_socket *k,
                                   struct rc_str room)
{
    return room.len != 0 && room.len <= sh->app->conf->limits_max_room_length &&
           !rc_space_is_hidden(room) && rc_socket_parse(rc_space_name(sh, k), room).id == 0;
}

RC_ON_SHARD static void move(struct rc_shard *sh, struct rc_socket *k, struct rc_str room,
                             bool join)
{
    struct rc_buf key = RC_BUF_INIT;
    const char *why;

    if (!is_movable(sh, k, room))
        return;
    rc_buf_puts(&key, rc_space_home(sh, k));
    rc_buf_puts(&key, room);
    if (!join)
        rc_local_leave(sh, k, rc_buf_str(&key));
    else if (rc_local_join(sh, k, rc_buf_str(&key), &why) != RC_OK)
        rc_shard_log(sh, RC_LOG_WARN,
                     "another node lets a socket join %.*s: limit limits.%s is reached",
                     RC_STR_ARG(room), why);
    rc_buf_deinit(&key);
}

/* Like the action disconnect; with its connection it ends in all namespaces. */
RC_ON_SHARD static void tell_end(struct rc_shard *sh, const struct rc_socket *k)
{
    struct rc_str frames;

    rc_frames_begin(&sh->scratch);
    rc_sio_put_head(&sh->scratch, RC_SIO_DISCONNECT, 0, rc_space_name(sh, k), false, 0);
    rc_frames_end(&sh->scratch);
    frames = rc_frames(&sh->scratch);
    rc_session_push(sh, k->session, rc_seg_new(frames.p, frames.len));
}

RC_ON_SHARD static void disconnect(struct rc_shard *sh, struct rc_socket *k, bool whole)
{
    struct rc_session *s = k->session;

    if (!whole && s->kind != RC_SESSION_ENDPOINT) {
        tell_end(sh, k);
        rc_socket_close(sh, k);
        return;
    }
    for (k = s->sockets; k != NULL; k = k->next)
        tell_end(sh, k);
    rc_session_close(sh, s, RC_CLOSE_RULE);
}

RC_ON_SHARD static void move_all(struct rc_shard *sh, struct rc_pub *pub,
                                 enum rc_bus_order order, struct rc_str rooms)
{
    struct rc_ids ids = {0};

    rc_audience_collect(sh, pub, &ids);
    for (uint32_t i = 0; i < ids.n; i++) {
        struct rc_str rest = rooms, room;
        struct rc_socket *k = find(sh, pub, ids.id[i]);

        if (k == NULL) /* another one of its connection had it closed */
            continue;
        if (order == RC_BUS_DISCONNECT || order == RC_BUS_CLOSE)
            disconnect(sh, k, order == RC_BUS_CLOSE);
        else
            while (rc_bus_list_next(&rest, &room))
                move(sh, k, room, order == RC_BUS_JOIN);
    }
    rc_ids_deinit(&ids);
}

/* ---- orders ---- */

RC_ON_SHARD static void pass(struct rc_shard *sh, uint64_t number)
{
    struct rc_msg msg = {.type = RC_MSG_ORDER_PASS, .u.ask.number = number};

    for (unsigned to = 0; to < sh->nshards; to++)
        if (to != sh->index)
            rc_shard_post(sh, to, &msg);
    done(sh, number, NULL, false); /* what it asked of itself is done */
}

void rc_bus_carry_out(struct rc_shard *sh, struct rc_pub *pub)
{
    enum rc_bus_order order = (enum rc_bus_order)pub->order;
    uint64_t number = number_of(pub);

    switch (order) {
    case RC_BUS_SOCKETS:
    case RC_BUS_FETCH:
    case RC_BUS_ROOMS: add_job(sh, pub); return;
    case RC_BUS_JOIN:
    case RC_BUS_LEAVE:
    case RC_BUS_DISCONNECT:
    case RC_BUS_CLOSE:
        while (sh->job != NULL) /* what was asked before must not tell of it */
            go_on(sh);
        move_all(sh, pub, order, rc_str_skip(rc_pub_data(pub), sizeof(number)));
        pass(sh, number);
        return;
    case RC_BUS_NO_ORDER: RC_ASSERT(false); return;
    }
}

void rc_bus_passed(struct rc_shard *sh, uint64_t number)
{
    done(sh, number, NULL, false);
}

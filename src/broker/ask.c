/* ask.c - questions to sockets and rooms: who was asked, who has answered, what the asker gets. */
#include "rc/broker/ask.h"

#include "rc/base/hash.h"
#include "rc/broker/lane.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"
#include "rc/broker/space.h"

#include <stdlib.h>

enum { ASKS_MAX = 0x10000, UNKNOWN = -1 };

#define NODES UINT32_C(0x80000000) /* in a count of shards: other nodes, too */

struct rc_ask {
    struct rc_pooled hdr;
    uint64_t number;
    rc_id socket, session; /* that ask; the session may outlive the socket */
    uint64_t id;           /* of its event's ack */
    bool one;
    int64_t shards;           /* that were reached, UNKNOWN until the owner has told */
    int64_t shards_reported;  /* that have told how many sockets they asked */
    uint64_t asked, answered; /* sockets of this node */
    bool nodes, nodes_ended;  /* other nodes are asked; have told all they will */
    struct rc_hmap who;       /* sockets that have answered, their ids as pointers */
    struct rc_buf answers;    /* "[1],[2]" */
    struct rc_buf attached;   /* {length:4, bytes} of what these refer to */
    unsigned nattached;
    struct rc_timer timer;
};

/* ---- numbers ---- */

static unsigned shard_of(uint64_t number)
{
    return (unsigned)(number >> 16) & 0x3f;
}

static struct rc_ask *find(struct rc_shard *sh, uint64_t number)
{
    struct rc_ask *a = rc_pool_at(&sh->asks, (uint32_t)number & 0xffff);

    return a != NULL && a->number == number ? a : NULL;
}

static struct rc_socket *asker(struct rc_shard *sh, const struct rc_ask *a)
{
    struct rc_socket *k =
        rc_pool_find(&sh->sockets, rc_id_slot(a->socket), rc_id_gen(a->socket));

    return k != NULL && !k->closed ? k : NULL;
}

uint64_t rc_ask_begin(struct rc_shard *sh, struct rc_socket *k, uint64_t id, bool one,
                      uint32_t within_ms)
{
    struct rc_ask *a = NULL;
    uint64_t random;

    if (k->session->asks < sh->app->conf->limits_max_asks)
        a = rc_pool_get(&sh->asks);
    if (a == NULL)
        return 0;
    rc_random(&random, sizeof(random));
    a->number = (random & 0x3fffffff) << 22 | (uint64_t)sh->index << 16 | a->hdr.slot;
    if (a->number == 0) /* the first slot of the first shard, and all zeroes drawn */
        a->number = (uint64_t)1 << 22;
    a->socket = rc_socket_id(sh, k);
    a->session = rc_session_id(sh, k->session);
    a->id = id;
    a->one = one;
    a->shards = one ? 1 : UNKNOWN;
    k->session->asks++;
    rc_timer_start_in(&sh->q_ask, &a->timer, sh->loop.now_ms, within_ms);
    return a->number;
}

RC_ON_SHARD static void drop(struct rc_shard *sh, struct rc_ask *a)
{
    struct rc_session *s = rc_session_find(sh, a->session);

    if (s != NULL)
        s->asks--;
    rc_timer_stop(&a->timer);
    rc_hmap_deinit(&a->who);
    rc_buf_deinit(&a->answers);
    rc_buf_deinit(&a->attached);
    rc_pool_put(&sh->asks, a);
}

void rc_ask_forget(struct rc_shard *sh, uint64_t number)
{
    struct rc_ask *a = find(sh, number);

    if (a != NULL)
        drop(sh, a);
}

/* ---- lists: {length:4, bytes} of each; of an answer its JSON and its attachments ---- */

static struct rc_str take(struct rc_str *rest)
{
    struct rc_str piece;
    uint32_t len;

    memcpy(&len, rest->p, sizeof(len));
    piece = rc_str_make(rest->p + sizeof(len), len);
    *rest = rc_str_skip(*rest, sizeof(len) + len);
    return piece;
}

static void put(struct rc_buf *b, struct rc_str piece)
{
    uint32_t len = (uint32_t)piece.len;

    rc_buf_put(b, &len, sizeof(len));
    rc_buf_puts(b, piece);
}

/* ---- the asker's acknowledgement ---- */

static void begin_ack(struct rc_shard *sh, const struct rc_ask *a, const struct rc_socket *k,
                      unsigned nattachments)
{
    rc_frames_begin(&sh->scratch);
    rc_sio_put_head(&sh->scratch, nattachments != 0 ? RC_SIO_BINARY_ACK : RC_SIO_ACK,
                    nattachments, rc_space_name(sh, k), true, a->id);
}

/* list: of attachments. */
RC_ON_SHARD static void end_ack(struct rc_shard *sh, const struct rc_socket *k,
                                struct rc_str list)
{
    rc_frames_end(&sh->scratch);
    while (list.len != 0)
        rc_frames_attach(&sh->scratch, take(&list));
    rc_lane_reply(sh, k->session, rc_frames(&sh->scratch));
}

RC_ON_SHARD static void finish(struct rc_shard *sh, struct rc_ask *a, const char *error,
                               const char *message)
{
    struct rc_socket *k = asker(sh, a);
    struct rc_buf *b = &sh->scratch;

    if (k != NULL) {
        begin_ack(sh, a, k, a->nattached);
        rc_buf_printf(b, "[{\"ok\":%s", error != NULL ? "false" : "true");
        if (error != NULL)
            rc_buf_printf(b, ",\"error\":\"%s\",\"message\":\"%s\"", error, message);
        if (!a->one) {
            rc_buf_putz(b, ",\"answers\":[");
            rc_buf_puts(b, rc_buf_str(&a->answers));
            rc_buf_putc(b, ']');
        }
        rc_buf_putz(b, "}]");
        end_ack(sh, k, rc_buf_str(&a->attached));
    }
    drop(sh, a);
}

static void on_overdue(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;

    rc_assert_on_shard(sh);
    finish(sh, RC_CONTAINER(t, struct rc_ask, timer), "timeout", "operation has timed out");
}

RC_ON_SHARD static void finish_if_complete(struct rc_shard *sh, struct rc_ask *a)
{
    if (a->shards == UNKNOWN || a->shards_reported < a->shards || a->answered < a->asked ||
        (a->nodes && !a->nodes_ended))
        return;
    if (a->one) /* one that answers never comes here */
        finish(sh, a, "bad_target", "no such socket");
    else
        finish(sh, a, NULL, "");
}

/* ---- reports ---- */

RC_ON_SHARD static void on_report(struct rc_shard *sh, uint64_t number, enum rc_msg_type type,
                                  uint32_t count)
{
    struct rc_ask *a = find(sh, number);

    if (a == NULL)
        return;
    if (type == RC_MSG_ASK_SHARDS) {
        a->shards = count & ~NODES;
        a->nodes = (count & NODES) != 0;
    } else if (type == RC_MSG_ASK_END) {
        a->nodes_ended = true;
    } else {
        a->shards_reported++;
        a->asked += count;
    }
    finish_if_complete(sh, a);
}

/* To the cluster. Takes over what it owns. */
static void submit(const struct rc_shard *sh, const struct rc_cluster_item *item)
{
    const struct rc_cluster_port *cluster = sh->app->cluster;
    struct rc_pub *pub = item->pub;

    if (cluster != NULL)
        (void)cluster->submit(cluster->cluster, item);
    else /* nobody has asked */
        rc_pub_unref(&pub);
}

void rc_ask_report(struct rc_shard *sh, uint64_t number, enum rc_msg_type type, uint32_t count)
{
    struct rc_msg msg = {.type = (uint8_t)type, .count = count, .u.ask.number = number};

    if ((number & RC_ASK_BUS) != 0) {
        const struct rc_cluster_item item = {
            .type = type == RC_MSG_ASK_SHARDS ? RC_CLUSTER_ASK_SHARDS : RC_CLUSTER_ASK_SOCKETS,
            .number = number,
            .count = count};

        submit(sh, &item);
        return;
    }
    if (shard_of(number) == sh->index)
        on_report(sh, number, type, count);
    else
        rc_shard_post(sh, shard_of(number), &msg);
}

void rc_ask_put(struct rc_shard *sh, uint64_t number, uint32_t shards, bool nodes)
{
    rc_ask_report(sh, number, RC_MSG_ASK_SHARDS, nodes ? shards | NODES : shards);
}

/* ---- answers ---- */

/* The answer of the one socket that was asked is the asker's own acknowledgement. */
RC_ON_SHARD static void pass_on(struct rc_shard *sh, struct rc_ask *a, struct rc_str json,
                                struct rc_str attachments)
{
    struct rc_socket *k = asker(sh, a);
    unsigned n = 0;

    for (struct rc_str rest = attachments; rest.len != 0; n++)
        (void)take(&rest);
    if (n > sh->app->sio.max_attachments) {
        finish(sh, a, "too_big", "the answer has more attachments than limits.max_attachments");
        return;
    }
    if (k != NULL) {
        begin_ack(sh, a, k, n);
        rc_buf_puts(&sh->scratch, json);
        end_ack(sh, k, attachments);
    }
    drop(sh, a);
}

/* Adds an answer to the others; those of all of them may be too many for a client. */
static void add(struct rc_ask *a, struct rc_str json, struct rc_str attachments, unsigned max)
{
    unsigned n = 0;

    for (struct rc_str rest = attachments; rest.len != 0; n++)
        (void)take(&rest);
    if (a->answers.len != 0)
        rc_buf_putc(&a->answers, ',');
    if (a->nattached + n > max) {
        rc_buf_putz(&a->answers, "null");
        return;
    }
    rc_sio_put_moved(&a->answers, json, n, a->nattached);
    rc_buf_puts(&a->attached, attachments);
    a->nattached += n;
}

static bool same_id(const void *value, const void *key)
{
    return value == key;
}

/* Has it not answered before? */
static bool is_first(struct rc_ask *a, rc_id socket)
{
    uint64_t hash = rc_hash(&socket, sizeof(socket), 0);
    void *who = (void *)(uintptr_t)socket; /* NOLINT(performance-no-int-to-ptr): only a key */

    if (rc_hmap_find(&a->who, hash, same_id, who) != NULL)
        return false;
    if (!a->one)
        rc_hmap_insert(&a->who, hash, who);
    return true;
}

/* socket: 0: it is another node's, which counts them. */
RC_ON_SHARD static void on_answer(struct rc_shard *sh, uint64_t number, rc_id socket,
                                  const struct rc_pub *pub)
{
    struct rc_ask *a = find(sh, number);
    struct rc_str rest = rc_pub_data(pub), json;

    if (a == NULL || (socket != 0 && !is_first(a, socket)))
        return;
    json = take(&rest);
    /* One of a client here has met the limits. */
    if (!(a->one && socket != 0) && a->answers.len + a->attached.len + json.len + rest.len >
                                        sh->app->conf->socketio_max_payload) {
        finish(sh, a, "too_big", "the answers are longer than socketio.max_payload");
        return;
    }
    if (a->one) {
        pass_on(sh, a, json, rest);
        return;
    }
    a->answered += socket != 0;
    add(a, json, rest, sh->app->sio.max_attachments);
    finish_if_complete(sh, a);
}

static struct rc_pub *pack(uint16_t nsp, struct rc_str json, const struct rc_str *attachment,
                           unsigned nattachments)
{
    struct rc_buf b = RC_BUF_INIT;
    struct rc_pub *pub;

    put(&b, json);
    for (unsigned i = 0; i < nattachments; i++)
        put(&b, attachment[i]);
    pub = rc_pub_new(nsp, RC_STR_NONE, 0, b.data, b.len);
    rc_buf_deinit(&b);
    return pub;
}

void rc_ask_answer(struct rc_shard *sh, const struct rc_socket *k, uint64_t number,
                   struct rc_str json, const struct rc_str *attachment, unsigned nattachments)
{
    struct rc_msg msg = {.type = RC_MSG_ASK_ANSWER, .u.ask.number = number};

    if (number >> 53 != 0 || ((number & RC_ASK_BUS) == 0 && shard_of(number) >= sh->nshards))
        return;
    msg.u.ask.socket = rc_socket_id(sh, k);
    msg.u.ask.pub = pack(k->nsp, json, attachment, nattachments);
    if ((number & RC_ASK_BUS) != 0) {
        const struct rc_cluster_item item = {.type = RC_CLUSTER_ASK_ANSWER,
                                             .number = number,
                                             .socket = msg.u.ask.socket,
                                             .pub = msg.u.ask.pub};

        submit(sh, &item);
        return;
    }
    if (shard_of(number) == sh->index)
        rc_ask_mail(sh, &msg);
    else
        rc_shard_post(sh, shard_of(number), &msg);
}

/* ---- of other nodes ---- */

static void pass(struct rc_mesh *mesh, const struct rc_msg *msg)
{
    rc_mesh_post(mesh, rc_mesh_cluster(rc_mesh_shards(mesh)), shard_of(msg->u.ask.number), msg);
}

void rc_ask_pass_answer(struct rc_mesh *mesh, uint64_t number, struct rc_str json,
                        const struct rc_str *attachment, unsigned nattachments)
{
    const struct rc_msg msg = {
        .type = RC_MSG_ASK_ANSWER,
        .u.ask = {.number = number, .pub = pack(0, json, attachment, nattachments)}};

    pass(mesh, &msg);
}

void rc_ask_pass_end(struct rc_mesh *mesh, uint64_t number)
{
    const struct rc_msg msg = {.type = RC_MSG_ASK_END, .u.ask.number = number};

    pass(mesh, &msg);
}

void rc_ask_mail(struct rc_shard *sh, struct rc_msg *msg)
{
    if (msg->type != RC_MSG_ASK_ANSWER) {
        on_report(sh, msg->u.ask.number, (enum rc_msg_type)msg->type, msg->count);
        return;
    }
    on_answer(sh, msg->u.ask.number, msg->u.ask.socket, msg->u.ask.pub);
    rc_pub_unref(&msg->u.ask.pub);
}

/* ---- life ---- */

void rc_ask_init(struct rc_shard *sh)
{
    rc_pool_init(&sh->asks, sizeof(struct rc_ask), ASKS_MAX);
    rc_timerq_init(&sh->q_ask, 0, on_overdue, sh);
    rc_loop_add_timerq(&sh->loop, &sh->q_ask);
}

void rc_ask_deinit(struct rc_shard *sh)
{
    uint32_t cursor = 0;
    struct rc_ask *a;

    while ((a = rc_pool_next(&sh->asks, &cursor)) != NULL)
        drop(sh, a);
    rc_pool_deinit(&sh->asks);
}

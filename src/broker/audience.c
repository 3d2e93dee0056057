/* audience.c - an audience put together, and its members on a shard found. */
#include "rc/broker/audience.h"

#include "rc/base/mem.h"
#include "rc/broker/admin_ui.h"
#include "rc/broker/ask.h"
#include "rc/broker/bus.h"
#include "rc/broker/form.h"
#include "rc/broker/polling.h"
#include "rc/broker/room.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"
#include "rc/broker/space.h"

/* ---- building ---- */

unsigned rc_audience_count(const struct rc_audience_builder *b, bool except)
{
    return (unsigned)(b->part[except].len / sizeof(struct rc_audience_part));
}

void rc_audience_add_socket(struct rc_audience_builder *b, bool except,
                            struct rc_address socket)
{
    struct rc_audience_part part = {.key = socket.id, .is_session = socket.is_session};

    rc_buf_put(&b->part[except], &part, sizeof(part));
}

static void add_key(struct rc_audience_builder *b, bool except, struct rc_str name)
{
    struct rc_audience_part part = {.at = (uint32_t)b->names.len,
                                    .len = (uint32_t)(b->home.len + name.len)};

    rc_buf_puts(&b->names, b->home);
    rc_buf_puts(&b->names, name);
    part.key = rc_space_app_hash(b->app, b->nsp, rc_str_skip(rc_buf_str(&b->names), part.at));
    rc_buf_put(&b->part[except], &part, sizeof(part));
}

void rc_audience_add_room(struct rc_audience_builder *b, bool except, struct rc_str name)
{
    struct rc_address socket = rc_socket_parse(b->nsp_name, name);

    if (socket.id != 0)
        rc_audience_add_socket(b, except, socket);
    else
        add_key(b, except, name);
}

struct rc_audience *rc_audience_build(struct rc_audience_builder *b)
{
    size_t to, except;
    struct rc_audience *a;
    char *p;

    if (b->all && b->home.len != 0) { /* a room like others */
        b->all = false;
        add_key(b, false, RC_STR_NONE);
    }
    to = b->part[false].len;
    except = b->part[true].len;
    a = rc_malloc(sizeof(*a) + to + except + b->names.len);
    p = (char *)a->part;
    *a = (struct rc_audience){.all = b->all,
                              .is_volatile = b->is_volatile,
                              .nto = rc_audience_count(b, false),
                              .nexcept = rc_audience_count(b, true),
                              .names = p + to + except};
    if (to != 0)
        memcpy(p, b->part[false].data, to);
    if (except != 0)
        memcpy(p + to, b->part[true].data, except);
    if (b->names.len != 0)
        memcpy(p + to + except, b->names.data, b->names.len);
    return a;
}

void rc_audience_deinit(struct rc_audience_builder *b)
{
    rc_buf_deinit(&b->part[false]);
    rc_buf_deinit(&b->part[true]);
    rc_buf_deinit(&b->names);
}

/* ---- handing out ---- */

struct handing {
    struct rc_shard *sh;
    const struct rc_pub *pub;
    struct rc_seg *form[RC_FORM_COUNT];
    uint32_t given;
    struct rc_ids *collected; /* nothing is given then */
};

/* A mark that no socket has: to be set on those that are excepted, or served. */
RC_ON_SHARD static void new_mark(struct rc_shard *sh)
{
    uint32_t cursor = 0;
    struct rc_socket *k;

    if (++sh->mark != 0)
        return;
    while ((k = rc_pool_next(&sh->sockets, &cursor)) !=
           NULL) /* it has gone all the way round */
        k->mark = 0;
    sh->mark = 1;
}

/* Could the session's client be sent something right now? */
static bool is_writable(const struct rc_shard *sh, const struct rc_session *s, uint32_t len)
{
    if (s->out.bytes + (uint64_t)len > sh->app->conf->limits_max_queue)
        return false;
    if (s->kind == RC_SESSION_POLLING)
        return s->held == 0 && s->polling != NULL && s->polling->get != 0;
    return s->fd != RC_FD_NONE;
}

RC_ON_SHARD static void give(struct handing *h, struct rc_socket *k)
{
    struct rc_shard *sh = h->sh;
    struct rc_session *s = k->session;

    if (k->mark == sh->mark)
        return;
    k->mark = sh->mark;
    if (h->collected != NULL) {
        rc_ids_add(h->collected, rc_socket_id(sh, k));
        return;
    }
    if (h->pub->audience->is_volatile && !is_writable(sh, s, h->pub->len)) {
        rc_stat_add(&sh->stats.dropped, 1);
        return;
    }
    if (h->form[s->form] == NULL)
        h->form[s->form] = rc_form_make(&sh->former, h->form[RC_FORM_FRAMES], s->form);
    rc_outq_push(&s->out, rc_seg_ref(h->form[s->form]));
    if (sh->ui_live)
        rc_ui_sent(sh, s, rc_pub_data(h->pub));
    rc_session_touch(sh, s);
    h->given++;
}

/* The socket, if it is here and in the publication's namespace. */
RC_ON_SHARD static struct rc_socket *socket_here(struct rc_shard *sh, const struct rc_pub *pub,
                                                 const struct rc_audience_part *p)
{
    if (rc_id_shard(p->key) != sh->index)
        return NULL;
    return rc_socket_find(sh, rc_audience_address(p), pub);
}

RC_ON_SHARD static const struct rc_lroom *room_here(struct rc_shard *sh,
                                                    const struct rc_pub *pub,
                                                    const struct rc_audience_part *p)
{
    return rc_local_room(sh, pub->nsp, rc_audience_name(pub->audience, p), p->key);
}

RC_ON_SHARD static void leave_out(struct rc_shard *sh, const struct rc_pub *pub,
                                  const struct rc_audience_part *p)
{
    const struct rc_lroom *lr;
    struct rc_socket *k;

    if (p->len == 0) {
        if ((k = socket_here(sh, pub, p)) != NULL)
            k->mark = sh->mark;
        return;
    }
    lr = room_here(sh, pub, p);
    for (uint32_t i = 0; lr != NULL && i < lr->n; i++)
        lr->member[i].socket->mark = sh->mark;
}

RC_ON_SHARD static void give_to_room(struct handing *h, const struct rc_lroom *lr)
{
    for (uint32_t i = 0; lr != NULL && i < lr->n; i++)
        give(h, lr->member[i].socket);
}

RC_ON_SHARD static void give_to_part(struct handing *h, const struct rc_audience_part *p)
{
    struct rc_socket *k;

    if (p->len != 0)
        give_to_room(h, room_here(h->sh, h->pub, p));
    else if ((k = socket_here(h->sh, h->pub, p)) != NULL)
        give(h, k);
}

static void unpin_pub(void *pub)
{
    struct rc_pub *p = pub;

    rc_pub_unref(&p);
}

RC_ON_SHARD static void give_to_all(struct handing *h)
{
    const struct rc_audience *a = h->pub->audience;

    new_mark(h->sh);
    for (uint32_t i = 0; i < a->nexcept; i++)
        leave_out(h->sh, h->pub, &a->part[a->nto + i]);
    if (a->all)
        give_to_room(h, h->sh->all[h->pub->nsp]);
    for (uint32_t i = 0; i < a->nto; i++)
        give_to_part(h, &a->part[i]);
}

void rc_audience_collect(struct rc_shard *sh, struct rc_pub *pub, struct rc_ids *sockets)
{
    struct handing h = {.sh = sh, .pub = pub, .collected = sockets};

    give_to_all(&h);
}

void rc_audience_deliver(struct rc_shard *sh, struct rc_pub *pub)
{
    struct handing h = {.sh = sh, .pub = pub};

    rc_batch_distribute(sh); /* what came before */
    if (pub->order != 0) {
        rc_bus_carry_out(sh, pub);
        return;
    }
    h.form[RC_FORM_FRAMES] = rc_seg_pin(pub->data, pub->len, rc_pub_ref(pub), unpin_pub);
    give_to_all(&h);
    for (unsigned i = 0; i < RC_FORM_COUNT; i++)
        if (h.form[i] != NULL)
            rc_seg_unref(h.form[i]);
    rc_stat_add(&sh->stats.deliveries, h.given);
    rc_ui_packets_out(sh, h.given, (uint64_t)h.given * pub->len);
    if (h.given != 0) {
        rc_hist_add(&sh->stats.fanout, h.given, 1);
        rc_births_add(&sh->births, pub->born_us);
    }
    if (pub->ask != 0)
        rc_ask_report(sh, pub->ask, RC_MSG_ASK_SOCKETS, h.given);
}

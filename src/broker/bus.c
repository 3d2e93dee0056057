/* bus.c - publications as the bus between nodes has them, and back. */
#include "rc/broker/bus.h"

#include "rc/broker/audience.h"
#include "rc/broker/mesh.h"
#include "rc/broker/room.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"
#include "rc/broker/space.h"
#include "rc/broker/union.h"
#include "rc/net/ws.h"

#include <string.h>

/* ---- lists ---- */

void rc_bus_list_add(struct rc_bus_list *l, struct rc_str name)
{
    uint32_t len = (uint32_t)name.len;

    rc_buf_put(&l->bytes, &len, sizeof(len));
    rc_buf_puts(&l->bytes, name);
    l->n++;
}

bool rc_bus_list_next(struct rc_str *rest, struct rc_str *name)
{
    uint32_t len;

    if (rest->len < sizeof(len))
        return false;
    memcpy(&len, rest->p, sizeof(len));
    *name = rc_str_make(rest->p + sizeof(len), len);
    *rest = rc_str_skip(*rest, sizeof(len) + len);
    return true;
}

void rc_bus_list_reset(struct rc_bus_list *l)
{
    rc_buf_reset(&l->bytes);
    l->n = 0;
}

void rc_bus_list_deinit(struct rc_bus_list *l)
{
    rc_buf_deinit(&l->bytes);
    l->n = 0;
}

void rc_bus_message_deinit(struct rc_bus_message *m)
{
    rc_bus_list_deinit(&m->to.rooms);
    rc_bus_list_deinit(&m->to.except);
}

/* ---- what leaves ---- */

/* Sockets alone are sockets of this node. */
static bool has_rooms(const struct rc_audience *a)
{
    bool yes = a->all;

    for (uint32_t i = 0; i < a->nto; i++)
        yes = yes || a->part[i].len != 0;
    return yes;
}

bool rc_bus_publish(struct rc_shard *sh, struct rc_pub *pub, rc_id except)
{
    const struct rc_cluster_port *cluster = sh->app->cluster;
    struct rc_cluster_item item = {.type = RC_CLUSTER_PUBLISH, .socket = except};

    if (cluster == NULL || !pub->shared || (pub->audience != NULL && !has_rooms(pub->audience)))
        return false;
    item.pub = rc_pub_ref(pub);
    return cluster->submit(cluster->cluster, &item);
}

struct rc_str rc_bus_label(const struct rc_nsp *nsp, struct rc_str key, struct rc_str *name)
{
    const char *end = nsp->is_pattern ? memchr(key.p, '\0', key.len) : NULL;

    if (end == NULL)
        return key;
    *name = rc_str_make(key.p, (size_t)(end - key.p));
    return rc_str_skip(key, name->len + 1);
}

static uint16_t tag_of(const struct rc_app *app)
{
    return app->cluster != NULL ? app->cluster->tag(app->cluster->cluster) : 0;
}

static void add_socket(const struct rc_app *app, struct rc_bus_list *l, struct rc_str nsp,
                       struct rc_address a)
{
    char name[RC_NAME_LEN + 1];
    struct rc_buf id = RC_BUF_INIT;

    rc_name_put(a.is_session ? RC_NAME_SESSION : RC_NAME_SOCKET, tag_of(app), a.id, name);
    if (a.is_session && nsp.len > 1) { /* as rc_socket_put_name() has it */
        rc_buf_puts(&id, nsp);
        rc_buf_putc(&id, '#');
    }
    rc_buf_put(&id, name, RC_NAME_LEN);
    rc_bus_list_add(l, rc_buf_str(&id));
    rc_buf_deinit(&id);
}

static void describe_audience(const struct rc_app *app, const struct rc_nsp *nsp,
                              const struct rc_audience *a, struct rc_bus_message *m)
{
    bool all = a->all;

    for (uint32_t i = 0; i < a->nto + a->nexcept; i++) {
        const struct rc_audience_part *p = &a->part[i];
        struct rc_bus_list *l = i < a->nto ? &m->to.rooms : &m->to.except;
        struct rc_str label;

        if (p->len == 0) {
            add_socket(app, l, m->to.nsp, rc_audience_address(p));
            continue;
        }
        label = rc_bus_label(nsp, rc_audience_name(a, p), &m->to.nsp);
        if (label.len != 0)
            rc_bus_list_add(l, label);
        else if (i < a->nto)
            all = true;
    }
    if (all)
        rc_bus_list_reset(&m->to.rooms);
    m->is_volatile = a->is_volatile;
}

void rc_bus_describe(const struct rc_app *app, const struct rc_pub *pub, rc_id except,
                     struct rc_bus_message *m)
{
    const struct rc_nsp *nsp = &app->nsp[pub->nsp];
    struct rc_ws_frame f = rc_ws_own_frame(pub->data);
    const uint8_t *p = pub->data + f.size, *end = pub->data + pub->len;
    struct rc_str label;

    rc_bus_list_reset(&m->to.rooms);
    rc_bus_list_reset(&m->to.except);
    m->to.nsp = nsp->name;
    m->is_volatile = false;
    m->ask = 0;
    label = rc_bus_label(nsp, rc_pub_room(pub), &m->to.nsp);
    if (pub->audience != NULL)
        describe_audience(app, nsp, pub->audience, m);
    else if (label.len != 0)
        rc_bus_list_add(&m->to.rooms, label);
    if (except != 0)
        add_socket(app, &m->to.except, m->to.nsp, (struct rc_address){.id = except});
    m->text = rc_str_skip(f.payload, 1);
    for (m->nattachments = 0; p < end && m->nattachments < RC_SIO_ATTACHMENTS_MAX;
         p += f.size) {
        f = rc_ws_own_frame(p);
        m->attachment[m->nattachments++] = f.payload;
    }
}

/* ---- what comes ---- */

const struct rc_nsp *rc_bus_nsp(const struct rc_app *app, struct rc_str name)
{
    const struct rc_nsp *nsp = rc_app_nsp(app, name, false);

    return nsp != NULL && !nsp->is_pattern ? nsp : rc_app_pattern(app, name);
}

/* Users' rooms are the only hidden ones that nodes share. */
static bool is_shared(struct rc_str label)
{
    return !rc_space_is_hidden(label) || rc_space_user(label).len != 0;
}

static void add_rooms(struct rc_audience_builder *b, bool except, const struct rc_bus_list *l)
{
    struct rc_str rest = rc_buf_str(&l->bytes), name;

    while (rc_bus_list_next(&rest, &name))
        if (name.len != 0 && is_shared(name))
            rc_audience_add_room(b, except, name);
}

static struct rc_audience *audience_of(const struct rc_app *app, const struct rc_nsp *nsp,
                                       struct rc_str home, const struct rc_bus_target *to,
                                       bool is_volatile)
{
    struct rc_audience_builder b = {.app = app,
                                    .nsp = nsp->index,
                                    .nsp_name = to->nsp,
                                    .home = home,
                                    .all = to->rooms.n == 0,
                                    .is_volatile = is_volatile};
    struct rc_audience *a;

    add_rooms(&b, false, &to->rooms);
    add_rooms(&b, true, &to->except);
    a = rc_audience_build(&b);
    rc_audience_deinit(&b);
    return a;
}

static void build_frames(const struct rc_bus_message *m, struct rc_buf *to)
{
    struct rc_sio_head head;

    rc_frames_begin(to);
    if (m->ask != 0 && rc_sio_split(m->text, &head) == RC_OK) {
        rc_sio_put_head(to, head.type, head.attachments, head.nsp, true, m->ask);
        rc_buf_puts(to, head.data);
    } else {
        rc_buf_putc(to, '4');
        rc_buf_puts(to, m->text);
    }
    rc_frames_end(to);
    for (unsigned i = 0; i < m->nattachments; i++)
        rc_frames_attach(to, m->attachment[i]);
}

static void put_home(const struct rc_nsp *nsp, const struct rc_bus_target *to,
                     struct rc_buf *home)
{
    if (!nsp->is_pattern)
        return;
    rc_buf_puts(home, to->nsp);
    rc_buf_putc(home, '\0');
}

void rc_bus_put_key(const struct rc_nsp *nsp, struct rc_str name, struct rc_str label,
                    struct rc_buf *key)
{
    const struct rc_bus_target to = {.nsp = name};

    if (!rc_str_eq(name, nsp->name)) /* else it is no dynamic one, or all of a pattern */
        put_home(nsp, &to, key);
    rc_buf_puts(key, label);
}

/* Takes over pub. */
static void post(struct rc_mesh *mesh, struct rc_pub *pub)
{
    unsigned nshards = rc_mesh_shards(mesh);
    struct rc_msg msg = {.type = RC_MSG_PUBLISH};

    if (rc_union_needs_order(nshards, pub)) {
        msg.type = RC_MSG_UNION;
        msg.u.unite.pub = pub;
    } else {
        msg.u.deliver.pub = pub;
    }
    rc_mesh_post(mesh, rc_mesh_cluster(nshards), RC_UNION_SEQUENCER, &msg);
}

bool rc_bus_deliver(const struct rc_app *app, struct rc_mesh *mesh,
                    const struct rc_bus_message *m)
{
    const struct rc_nsp *nsp = rc_bus_nsp(app, m->to.nsp);
    struct rc_buf home = RC_BUF_INIT, frames = RC_BUF_INIT;
    struct rc_pub *pub;
    struct rc_str f;

    if (nsp == NULL)
        return false;
    put_home(nsp, &m->to, &home);
    build_frames(m, &frames);
    f = rc_frames(&frames);
    pub = rc_pub_new(nsp->index, rc_buf_str(&home), 0, f.p, f.len);
    pub->from_bus = true;
    pub->audience = audience_of(app, nsp, rc_buf_str(&home), &m->to, m->is_volatile);
    pub->ask = m->ask;
    post(mesh, pub);
    rc_buf_deinit(&home);
    rc_buf_deinit(&frames);
    return true;
}

unsigned rc_bus_order(const struct rc_app *app, struct rc_mesh *mesh, enum rc_bus_order order,
                      uint64_t number, const struct rc_bus_target *to,
                      const struct rc_bus_list *rooms)
{
    const struct rc_nsp *nsp = rc_bus_nsp(app, to->nsp);
    unsigned nshards = rc_mesh_shards(mesh);
    struct rc_buf home = RC_BUF_INIT, data = RC_BUF_INIT;
    struct rc_pub *pub;

    if (nsp == NULL)
        return 0;
    put_home(nsp, to, &home);
    rc_buf_put(&data, &number, sizeof(number));
    if (rooms != NULL)
        rc_buf_puts(&data, rc_buf_str(&rooms->bytes));
    pub = rc_pub_new(nsp->index, rc_buf_str(&home), 0, data.data, data.len);
    pub->from_bus = true;
    pub->order = (uint8_t)order;
    pub->audience = audience_of(app, nsp, rc_buf_str(&home), to, false);
    post(mesh, pub);
    rc_buf_deinit(&home);
    rc_buf_deinit(&data);
    return order >= RC_BUS_JOIN ? nshards * nshards : nshards;
}

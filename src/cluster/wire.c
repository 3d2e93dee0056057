/* wire.c - broadcasts as the classic Redis adapter has them. */
#include "rc/cluster/wire.h"

#include "rc/base/utf8.h"
#include "rc/cluster/item.h"
#include "rc/proto/json.h"
#include "rc/proto/msgpack.h"

#include <msgpack.h>

enum {
    DEPTH_MAX = 1000,     /* of payloads: other nodes have their own limits */
    NAMESPACE_MAX = 4096, /* bytes */
    TEXT_MAX = 256 << 20, /* bytes of a packet as text */
    BROADCAST_ITEMS = 3,  /* uid, packet, opts */
};

void rc_wire_reader_init(struct rc_wire_reader *r)
{
    *r = (struct rc_wire_reader){.limits = {.max_depth = DEPTH_MAX,
                                            .max_attachments = RC_SIO_ATTACHMENTS_MAX,
                                            .max_nsp = NAMESPACE_MAX,
                                            .max_text = TEXT_MAX}};
}

void rc_wire_reader_deinit(struct rc_wire_reader *r)
{
    rc_buf_deinit(&r->text);
    rc_buf_deinit(&r->whole);
}

/* ---- writing ---- */

static int write_buf(void *buf, const char *p, size_t n)
{
    rc_buf_put(buf, p, n);
    return 0;
}

/* The calls cannot fail: write_buf() does not, and a buffer's failure stays with it. */
static void put_str(msgpack_packer *pk, struct rc_str s)
{
    (void)msgpack_pack_str_with_body(pk, s.p, s.len);
}

static void put_list(msgpack_packer *pk, struct rc_str key, const struct rc_bus_list *l)
{
    struct rc_str rest = rc_buf_str(&l->bytes), name;

    put_str(pk, key);
    (void)msgpack_pack_array(pk, l->n);
    while (rc_bus_list_next(&rest, &name))
        put_str(pk, name);
}

/* In the order of keys that the adapter has. */
void rc_wire_put_opts(struct rc_buf *to, const struct rc_bus_message *m, uint32_t timeout_ms)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, to, write_buf);
    (void)msgpack_pack_map(&pk, 3);
    put_list(&pk, RC_STR("rooms"), &m->to.rooms);
    put_list(&pk, RC_STR("except"), &m->to.except);
    put_str(&pk, RC_STR("flags"));
    (void)msgpack_pack_map(&pk, (size_t)m->is_volatile + (timeout_ms != 0));
    if (m->is_volatile) {
        put_str(&pk, RC_STR("volatile"));
        (void)msgpack_pack_true(&pk);
    }
    if (timeout_ms != 0) {
        put_str(&pk, RC_STR("timeout"));
        (void)msgpack_pack_uint32(&pk, timeout_ms);
    }
}

int rc_wire_put_broadcast(struct rc_buf *to, struct rc_str uid, const struct rc_bus_message *m)
{
    size_t mark = to->len;
    msgpack_packer pk;
    int rc;

    msgpack_packer_init(&pk, to, write_buf);
    (void)msgpack_pack_array(&pk, BROADCAST_ITEMS);
    put_str(&pk, uid);
    rc = rc_msgpack_encode(m->text, m->attachment, m->nattachments, to);
    rc_wire_put_opts(to, m, 0);
    if (rc == RC_OK && to->failed)
        rc = RC_ENOMEM;
    if (rc != RC_OK)
        to->len = mark;
    return rc;
}

/* ---- reading ---- */

int rc_wire_read_list(struct rc_str whole, struct rc_bus_list *l)
{
    struct rc_item head = rc_item_next(&whole);

    if (head.kind == RC_ITEM_NIL || head.kind == RC_ITEM_NONE)
        return RC_OK;
    if (head.kind != RC_ITEM_ARRAY)
        return RC_EPROTO;
    for (uint32_t i = 0; i < head.n; i++) {
        struct rc_item item = rc_item_next(&whole);
        struct rc_str name;
        char digits[24];

        if (!rc_item_text(&item, digits, &name))
            return RC_EPROTO;
        rc_bus_list_add(l, name);
    }
    return l->bytes.failed ? RC_ENOMEM : RC_OK;
}

static bool flag_of(struct rc_str flags, struct rc_str key)
{
    struct rc_item head = rc_item_next(&flags);
    struct rc_str value = RC_STR_NONE;

    if (head.kind == RC_ITEM_MAP)
        value = rc_item_get(flags, head.n, key);
    return rc_item_next(&value).kind == RC_ITEM_TRUE;
}

int rc_wire_read_opts(struct rc_str opts, struct rc_bus_message *m)
{
    struct rc_item head = rc_item_next(&opts);
    int rc;

    if (head.kind != RC_ITEM_MAP)
        return RC_EPROTO;
    rc = rc_wire_read_list(rc_item_get(opts, head.n, RC_STR("rooms")), &m->to.rooms);
    if (rc == RC_OK)
        rc = rc_wire_read_list(rc_item_get(opts, head.n, RC_STR("except")), &m->to.except);
    m->is_volatile = flag_of(rc_item_get(opts, head.n, RC_STR("flags")), RC_STR("volatile"));
    return rc;
}

/* Would a client take it for an event? */
static bool is_event(const struct rc_sio_head *head)
{
    struct rc_json_walk walk = {.max_depth = DEPTH_MAX};
    struct rc_str first;

    if (head->type != RC_SIO_EVENT && head->type != RC_SIO_BINARY_EVENT)
        return false;
    if (rc_json_array(head->data, &first, 1, &walk) < 1)
        return false;
    if (rc_json_type(first) == RC_JSON_NUMBER)
        return true;
    return rc_json_type(first) == RC_JSON_STRING && !rc_sio_event_reserved(first);
}

int rc_wire_take_packet(struct rc_str text, const struct rc_str *attachment,
                        unsigned nattachments, struct rc_bus_message *m)
{
    struct rc_sio_head head;
    int rc = rc_sio_split(text, &head);

    if (rc != RC_OK)
        return rc;
    if (!is_event(&head) || head.has_id)
        return RC_EPROTO;
    m->to.nsp = head.nsp;
    m->ask = 0;
    m->text = text;
    m->nattachments = nattachments;
    for (unsigned i = 0; i < nattachments; i++)
        m->attachment[i] = attachment[i];
    return RC_OK;
}

int rc_wire_read_packet(struct rc_wire_reader *r, struct rc_str bytes, struct rc_bus_message *m)
{
    struct rc_msgpack_packet p;
    const char *why;
    int rc = rc_msgpack_decode_bus(bytes, &r->limits, &r->text, &p, &why);

    return rc == RC_OK ? rc_wire_take_packet(p.text, p.attachment, p.nattachments, m) : rc;
}

static int open_broadcast(struct rc_str *rest, struct rc_str *uid)
{
    struct rc_item head = rc_item_next(rest), name = rc_item_next(rest);

    if (head.kind != RC_ITEM_ARRAY || head.n < BROADCAST_ITEMS || name.kind != RC_ITEM_STR)
        return RC_EPROTO;
    *uid = name.bytes;
    return RC_OK;
}

int rc_wire_read_uid(struct rc_str bytes, struct rc_str *uid)
{
    return open_broadcast(&bytes, uid);
}

int rc_wire_read_broadcast(struct rc_wire_reader *r, struct rc_str bytes, struct rc_str *uid,
                           struct rc_bus_message *m)
{
    struct rc_str packet, opts;
    int rc = open_broadcast(&bytes, uid);

    rc_bus_list_reset(&m->to.rooms);
    rc_bus_list_reset(&m->to.except);
    if (rc != RC_OK)
        return rc;
    packet = rc_item_whole(&bytes);
    opts = rc_item_whole(&bytes);
    rc = rc_wire_read_packet(r, packet, m);
    return rc == RC_OK ? rc_wire_read_opts(opts, m) : rc;
}

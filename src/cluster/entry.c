/* entry.c - what the streams adapter puts into a stream, and what it publishes beside it. */
#include "rc/cluster/entry.h"

#include "rc/base/b64.h"
#include "rc/base/utf8.h"
#include "rc/cluster/item.h"
#include "rc/proto/json.h"
#include "rc/proto/msgpack.h"

#include <msgpack.h>
#include <string.h>

enum { DEPTH_MAX = 1000, TIMEOUT_MAX = 86400000 };

void rc_entry_reader_init(struct rc_entry_reader *r)
{
    *r = (struct rc_entry_reader){.bytes = RC_BUF_INIT};
    rc_wire_reader_init(&r->wire);
}

void rc_entry_reader_deinit(struct rc_entry_reader *r)
{
    rc_wire_reader_deinit(&r->wire);
    rc_buf_deinit(&r->bytes);
    rc_buf_deinit(&r->text);
}

/* ---- writing ---- */

static void put_names(struct rc_buf *to, const char *key, const struct rc_bus_list *l)
{
    struct rc_str rest = rc_buf_str(&l->bytes), name;
    bool more = false;

    rc_buf_printf(to, "\"%s\":[", key);
    while (rc_bus_list_next(&rest, &name)) {
        if (more)
            rc_buf_putc(to, ',');
        rc_json_string_encode(name, to);
        more = true;
    }
    rc_buf_putz(to, "],");
}

/* In the order of keys that the adapter has. */
static int put_json(struct rc_buf *to, const struct rc_bus_message *m)
{
    struct rc_sio_head head;
    int rc = rc_sio_split(m->text, &head);

    if (rc != RC_OK)
        return rc;
    rc_buf_putz(to, "{\"packet\":{\"type\":2,\"data\":");
    rc_buf_puts(to, head.data);
    rc_buf_putz(to, "},\"opts\":{");
    put_names(to, "rooms", &m->to.rooms);
    put_names(to, "except", &m->to.except);
    rc_buf_putz(to, m->is_volatile ? "\"flags\":{\"volatile\":true}}}" : "\"flags\":{}}}");
    return RC_OK;
}

static int write_buf(void *buf, const char *p, size_t n)
{
    rc_buf_put(buf, p, n);
    return 0;
}

static void put_str(msgpack_packer *pk, struct rc_str s)
{
    (void)msgpack_pack_str_with_body(pk, s.p, s.len);
}

static int put_base64(struct rc_buf *to, const struct rc_bus_message *m)
{
    struct rc_buf bytes = RC_BUF_INIT;
    msgpack_packer pk;
    int rc;

    msgpack_packer_init(&pk, &bytes, write_buf);
    (void)msgpack_pack_map(&pk, 2);
    put_str(&pk, RC_STR("packet"));
    rc = rc_msgpack_encode(m->text, m->attachment, m->nattachments, &bytes);
    put_str(&pk, RC_STR("opts"));
    rc_wire_put_opts(&bytes, m, 0);
    if (rc == RC_OK && bytes.failed)
        rc = RC_ENOMEM;
    if (rc == RC_OK)
        rc_b64_put(to, RC_B64_STD, bytes.data, bytes.len);
    rc_buf_deinit(&bytes);
    return rc;
}

int rc_entry_put_broadcast(struct rc_buf *to, const struct rc_bus_message *m)
{
    size_t mark = to->len;
    int rc = m->nattachments != 0 ? put_base64(to, m) : put_json(to, m);

    if (rc == RC_OK && to->failed)
        rc = RC_ENOMEM;
    if (rc != RC_OK)
        to->len = mark;
    return rc;
}

static void put_head_of(msgpack_packer *pk, enum rc_entry_type type, struct rc_str uid,
                        struct rc_str nsp)
{
    (void)msgpack_pack_map(pk, 4);
    put_str(pk, RC_STR("uid"));
    put_str(pk, uid);
    put_str(pk, RC_STR("nsp"));
    put_str(pk, nsp);
    put_str(pk, RC_STR("type"));
    (void)msgpack_pack_unsigned_int(pk, type);
    put_str(pk, RC_STR("data"));
}

void rc_entry_begin_answer(struct rc_buf *to, enum rc_entry_type type, struct rc_str uid,
                           struct rc_str nsp, struct rc_str id, struct rc_str key)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, to, write_buf);
    put_head_of(&pk, type, uid, nsp);
    (void)msgpack_pack_map(&pk, 2);
    put_str(&pk, RC_STR("requestId"));
    put_str(&pk, id);
    put_str(&pk, key);
}

void rc_entry_put_uint(struct rc_buf *to, uint64_t n)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, to, write_buf);
    (void)msgpack_pack_uint64(&pk, n);
}

int rc_entry_put_value(struct rc_buf *to, struct rc_str array, const struct rc_str *attachment,
                       unsigned nattachments)
{
    int rc = rc_wire_put_first(to, array, attachment, nattachments);

    return rc == RC_OK && to->failed ? RC_ENOMEM : rc;
}

/* ---- reading: broadcasts ---- */

static struct rc_str member(struct rc_str map, struct rc_str key)
{
    struct rc_item head = rc_item_next(&map);

    return head.kind == RC_ITEM_MAP ? rc_item_get(map, head.n, key) : RC_STR_NONE;
}

static bool is_whole(struct rc_str bytes)
{
    struct rc_str rest = bytes;

    return bytes.len != 0 && rc_item_whole(&rest).len == bytes.len;
}

static void reset(struct rc_bus_message *m)
{
    rc_bus_list_reset(&m->to.rooms);
    rc_bus_list_reset(&m->to.except);
    m->is_volatile = false;
}

static void put_head(struct rc_entry_reader *r, enum rc_sio_type type, unsigned attachments,
                     struct rc_str nsp)
{
    rc_buf_reset(&r->text);
    rc_sio_put_head(&r->text, type, attachments, nsp, false, 0);
}

static struct rc_str text_of(const struct rc_entry_reader *r)
{
    return rc_str_skip(rc_buf_str(&r->text), 1); /* the '4' of Engine.IO */
}

/* {type: 2, data: [...]}: its namespace is the entry's. */
static int read_json_packet(struct rc_entry_reader *r, struct rc_str nsp, struct rc_str packet,
                            struct rc_bus_message *m)
{
    struct rc_str data;

    if (rc_json_type(packet) != RC_JSON_OBJECT ||
        !rc_str_eq(rc_json_get(packet, RC_STR("type")), RC_STR("2")) ||
        rc_json_get(packet, RC_STR("id")).len != 0)
        return RC_EPROTO;
    data = rc_json_get(packet, RC_STR("data"));
    if (rc_json_type(data) != RC_JSON_ARRAY)
        return RC_EPROTO;
    put_head(r, RC_SIO_EVENT, 0, nsp);
    rc_buf_puts(&r->text, data);
    if (r->text.failed)
        return RC_ENOMEM;
    return rc_wire_take_packet(text_of(r), NULL, 0, m);
}

static int read_json_opts(struct rc_str opts, struct rc_bus_message *m)
{
    struct rc_str flags;
    int rc;

    if (rc_json_type(opts) != RC_JSON_OBJECT)
        return RC_EPROTO;
    rc = rc_wire_read_names(rc_json_get(opts, RC_STR("rooms")), &m->to.rooms);
    if (rc == RC_OK)
        rc = rc_wire_read_names(rc_json_get(opts, RC_STR("except")), &m->to.except);
    flags = rc_json_get(opts, RC_STR("flags"));
    if (rc_json_type(flags) == RC_JSON_OBJECT)
        m->is_volatile = rc_json_type(rc_json_get(flags, RC_STR("volatile"))) == RC_JSON_TRUE;
    return rc;
}

static int check_json(struct rc_str json)
{
    struct rc_json_walk walk = {.max_depth = DEPTH_MAX};

    if (!rc_utf8_valid(json))
        return RC_EPROTO;
    return rc_json_validate(json, &walk);
}

static int read_json(struct rc_entry_reader *r, struct rc_str nsp, struct rc_str json,
                     struct rc_bus_message *m)
{
    int rc = check_json(json);

    if (rc == RC_OK)
        rc = read_json_packet(r, nsp, rc_json_get(json, RC_STR("packet")), m);
    return rc == RC_OK ? read_json_opts(rc_json_get(json, RC_STR("opts")), m) : rc;
}

/* The same of MessagePack; without nsp it was read as one of "/". */
static int read_packet(struct rc_entry_reader *r, struct rc_str nsp, struct rc_str packet,
                       struct rc_bus_message *m)
{
    struct rc_sio_head head;
    int rc = rc_wire_read_packet(&r->wire, packet, m);

    if (rc != RC_OK || rc_str_eq(m->to.nsp, nsp))
        return rc;
    rc = rc_sio_split(m->text, &head);
    if (rc != RC_OK)
        return rc;
    put_head(r, head.type, head.attachments, nsp);
    rc_buf_puts(&r->text, head.data);
    if (r->text.failed)
        return RC_ENOMEM;
    m->text = text_of(r);
    rc = rc_sio_split(m->text, &head);
    m->to.nsp = head.nsp;
    return rc;
}

int rc_entry_read_broadcast(struct rc_entry_reader *r, struct rc_str nsp, struct rc_str data,
                            struct rc_bus_message *m)
{
    struct rc_str bytes;
    int rc;

    reset(m);
    if (data.len == 0 || nsp.len == 0 || nsp.p[0] != '/' || !rc_utf8_valid(nsp) ||
        memchr(nsp.p, ',', nsp.len) != NULL)
        return RC_EPROTO;
    if (data.p[0] == '{')
        return read_json(r, nsp, data, m);
    rc_buf_reset(&r->bytes);
    rc = rc_b64_decode_put(&r->bytes, RC_B64_STD, data);
    if (rc != RC_OK)
        return rc;
    bytes = rc_buf_str(&r->bytes);
    if (!is_whole(bytes))
        return RC_EPROTO;
    rc = read_packet(r, nsp, member(bytes, RC_STR("packet")), m);
    return rc == RC_OK ? rc_wire_read_opts(member(bytes, RC_STR("opts")), m) : rc;
}

/* ---- reading: requests ---- */

/* {opts, rooms} or {opts, close} */
static int read_move(enum rc_wire_type type, struct rc_str json, struct rc_wire_request *q)
{
    int rc = check_json(json);

    q->type = type;
    if (rc == RC_OK)
        rc = read_json_opts(rc_json_get(json, RC_STR("opts")), &q->m);
    if (rc == RC_OK && type != RC_WIRE_REMOTE_DISCONNECT)
        rc = rc_wire_read_names(rc_json_get(json, RC_STR("rooms")), &q->rooms);
    q->close = rc_json_type(rc_json_get(json, RC_STR("close"))) == RC_JSON_TRUE;
    return rc;
}

static int read_text(struct rc_str map, struct rc_str key, struct rc_buf *to)
{
    struct rc_str value = member(map, key);
    struct rc_item item = rc_item_next(&value);

    if (item.kind != RC_ITEM_STR || !rc_utf8_valid(item.bytes))
        return RC_EPROTO;
    rc_buf_puts(to, item.bytes);
    return RC_OK;
}

static uint32_t read_timeout(struct rc_str opts)
{
    struct rc_str value = member(member(opts, RC_STR("flags")), RC_STR("timeout"));
    struct rc_item n = rc_item_next(&value);

    return n.kind == RC_ITEM_UINT && n.v.u <= TIMEOUT_MAX ? (uint32_t)n.v.u : 0;
}

static int read_asked(struct rc_entry_reader *r, struct rc_str nsp, struct rc_str data,
                      struct rc_wire_request *q)
{
    struct rc_str opts = member(data, RC_STR("opts"));
    int rc = RC_OK;

    if (q->type == RC_WIRE_SERVER_SIDE_EMIT)
        return RC_OK;
    if (q->type == RC_WIRE_BROADCAST)
        rc = read_packet(r, nsp, member(data, RC_STR("packet")), &q->m);
    if (rc == RC_OK)
        rc = rc_wire_read_opts(opts, &q->m);
    q->timeout_ms = read_timeout(opts);
    return rc;
}

static enum rc_wire_type type_of(struct rc_item n)
{
    if (n.kind != RC_ITEM_UINT)
        return RC_WIRE_NO_TYPE;
    switch (n.v.u) {
    case RC_ENTRY_BROADCAST: return RC_WIRE_BROADCAST;
    case RC_ENTRY_FETCH: return RC_WIRE_REMOTE_FETCH;
    case RC_ENTRY_SERVER_EMIT: return RC_WIRE_SERVER_SIDE_EMIT;
    default: return RC_WIRE_NO_TYPE;
    }
}

/* Those that nobody is to hear later. A request without an id is one that nobody answers. */
static int read_passing(struct rc_entry_reader *r, struct rc_str nsp, struct rc_str bytes,
                        struct rc_wire_request *q)
{
    struct rc_str type = member(bytes, RC_STR("type")), data = member(bytes, RC_STR("data"));
    int rc = is_whole(bytes) ? RC_OK : RC_EPROTO;

    q->type = type_of(rc_item_next(&type));
    if (q->type == RC_WIRE_NO_TYPE)
        rc = RC_EPROTO;
    if (rc == RC_OK)
        rc = read_text(bytes, RC_STR("uid"), &q->uid);
    if (rc == RC_OK &&
        (q->type != RC_WIRE_SERVER_SIDE_EMIT || member(data, RC_STR("requestId")).len != 0))
        rc = read_text(data, RC_STR("requestId"), &q->id);
    return rc == RC_OK ? read_asked(r, nsp, data, q) : rc;
}

int rc_entry_read_request(struct rc_entry_reader *r, struct rc_str nsp, struct rc_str bytes,
                          struct rc_wire_request *q)
{
    static const enum rc_wire_type moves[] = {RC_WIRE_REMOTE_JOIN, RC_WIRE_REMOTE_LEAVE,
                                              RC_WIRE_REMOTE_DISCONNECT};

    rc_wire_request_reset(q);
    if (bytes.len == 0)
        return RC_EPROTO;
    if (bytes.p[0] >= '4' && bytes.p[0] <= '6')
        return read_move(moves[bytes.p[0] - '4'], rc_str_skip(bytes, 1), q);
    return read_passing(r, nsp, bytes, q);
}

int rc_entry_read_uid(struct rc_str bytes, struct rc_str *uid)
{
    struct rc_str value = member(bytes, RC_STR("uid"));
    struct rc_item item = rc_item_next(&value);

    *uid = item.bytes;
    return item.kind == RC_ITEM_STR ? RC_OK : RC_EPROTO;
}

/* ---- questions of this node ---- */

int rc_entry_put_question(struct rc_buf *to, struct rc_str uid, struct rc_str id,
                          const struct rc_bus_message *m, uint32_t timeout_ms)
{
    size_t mark = to->len;
    msgpack_packer pk;
    int rc;

    msgpack_packer_init(&pk, to, write_buf);
    put_head_of(&pk, RC_ENTRY_BROADCAST, uid, m->to.nsp);
    (void)msgpack_pack_map(&pk, 3);
    put_str(&pk, RC_STR("packet"));
    rc = rc_wire_put_packet(to, m);
    put_str(&pk, RC_STR("requestId"));
    put_str(&pk, id);
    put_str(&pk, RC_STR("opts"));
    rc_wire_put_opts(to, m, timeout_ms);
    if (rc == RC_OK && to->failed)
        rc = RC_ENOMEM;
    if (rc != RC_OK)
        to->len = mark;
    return rc;
}

int rc_entry_read_question(struct rc_str bytes, struct rc_str *id)
{
    struct rc_str type = member(bytes, RC_STR("type"));
    struct rc_str value = member(member(bytes, RC_STR("data")), RC_STR("requestId"));
    struct rc_item item = rc_item_next(&value);

    *id = item.bytes;
    return type_of(rc_item_next(&type)) == RC_WIRE_BROADCAST && item.kind == RC_ITEM_STR
               ? RC_OK
               : RC_EPROTO;
}

int rc_entry_read_response(struct rc_entry_reader *r, struct rc_str bytes,
                           struct rc_wire_response *a)
{
    struct rc_str type = member(bytes, RC_STR("type")), data = member(bytes, RC_STR("data"));
    struct rc_str value;
    struct rc_item n = rc_item_next(&type);

    rc_buf_reset(&a->id);
    a->type = RC_WIRE_NO_TYPE;
    a->nattachments = 0;
    if (!is_whole(bytes) || n.kind != RC_ITEM_UINT)
        return RC_EPROTO;
    if (n.v.u != RC_ENTRY_CLIENT_COUNT && n.v.u != RC_ENTRY_ACK)
        return RC_OK;
    if (read_text(data, RC_STR("requestId"), &a->id) != RC_OK)
        return RC_EPROTO;
    if (n.v.u == RC_ENTRY_ACK)
        return rc_wire_read_answer(&r->wire, member(data, RC_STR("packet")), a);
    value = member(data, RC_STR("clientCount"));
    n = rc_item_next(&value);
    if (n.kind != RC_ITEM_UINT || n.v.u > UINT32_MAX)
        return RC_EPROTO;
    a->count = (uint32_t)n.v.u;
    a->type = RC_WIRE_CLIENT_COUNT;
    return RC_OK;
}

/* request.c - requests of other nodes, read; and what answers them. */
#include "rc/base/utf8.h"
#include "rc/cluster/item.h"
#include "rc/cluster/wire.h"
#include "rc/proto/json.h"
#include "rc/proto/msgpack.h"
#include "rc/proto/number.h"

#include <msgpack.h>

enum { DEPTH_MAX = 1000, TIMEOUT_MAX = 86400000 };

void rc_wire_request_reset(struct rc_wire_request *q)
{
    rc_buf_reset(&q->uid);
    rc_buf_reset(&q->id);
    rc_bus_list_reset(&q->m.to.rooms);
    rc_bus_list_reset(&q->m.to.except);
    rc_bus_list_reset(&q->rooms);
    q->m.to.nsp = q->m.text = RC_STR_NONE;
    q->m.nattachments = 0;
    q->m.is_volatile = q->close = false;
    q->m.ask = 0;
    q->timeout_ms = 0;
    q->type = RC_WIRE_NO_TYPE;
}

void rc_wire_request_deinit(struct rc_wire_request *q)
{
    rc_buf_deinit(&q->uid);
    rc_buf_deinit(&q->id);
    rc_bus_message_deinit(&q->m);
    rc_bus_list_deinit(&q->rooms);
}

static int set_type(struct rc_wire_request *q, uint64_t type)
{
    if (type >= RC_WIRE_NO_TYPE)
        return RC_EPROTO;
    q->type = (enum rc_wire_type)type;
    return RC_OK;
}

/* ---- JSON ---- */

/* A string's content; of anything else the text. */
static int put_text(struct rc_str json, struct rc_buf *to)
{
    if (rc_json_type(json) == RC_JSON_STRING)
        return rc_json_string_decode(json, to);
    if (rc_json_type(json) != RC_JSON_NUMBER)
        return RC_EPROTO;
    rc_buf_puts(to, json);
    return RC_OK;
}

int rc_wire_read_names(struct rc_str array, struct rc_bus_list *l)
{
    struct rc_buf name = RC_BUF_INIT;
    struct rc_str token;
    int rc = RC_OK;
    char c;

    if (array.len == 0 || rc_json_type(array) == RC_JSON_NULL)
        return RC_OK;
    if (rc_json_type(array) != RC_JSON_ARRAY)
        return RC_EPROTO;
    (void)rc_json_token(&array, &token); /* the bracket */
    while (rc == RC_OK && (c = rc_json_token(&array, &token)) != ']' && c != '\0') {
        if (c == ',')
            continue;
        rc_buf_reset(&name);
        rc = c == '"' || c == '0' ? put_text(token, &name) : RC_EPROTO;
        if (rc == RC_OK)
            rc_bus_list_add(l, rc_buf_str(&name));
    }
    rc_buf_deinit(&name);
    return rc;
}

/* Moves about sockets by their ids: as adapters before version 7 put it. */
static int read_one(struct rc_str json, struct rc_wire_request *q)
{
    struct rc_str sid = rc_json_get(json, RC_STR("sid")),
                  room = rc_json_get(json, RC_STR("room"));
    struct rc_buf text = RC_BUF_INIT;
    int rc = put_text(sid, &text);

    if (rc == RC_OK)
        rc_bus_list_add(&q->m.to.rooms, rc_buf_str(&text));
    rc_buf_reset(&text);
    if (rc == RC_OK && room.len != 0 && (rc = put_text(room, &text)) == RC_OK)
        rc_bus_list_add(&q->rooms, rc_buf_str(&text));
    rc_buf_deinit(&text);
    return rc;
}

static int read_target(struct rc_str json, struct rc_wire_request *q)
{
    struct rc_str opts = rc_json_get(json, RC_STR("opts"));
    int rc;

    if (q->type == RC_WIRE_SOCKETS)
        return rc_wire_read_names(rc_json_get(json, RC_STR("rooms")), &q->m.to.rooms);
    if (q->type == RC_WIRE_ALL_ROOMS || q->type == RC_WIRE_SERVER_SIDE_EMIT)
        return RC_OK;
    if (opts.len == 0 && q->type != RC_WIRE_REMOTE_FETCH)
        return read_one(json, q);
    if (rc_json_type(opts) != RC_JSON_OBJECT)
        return RC_EPROTO;
    rc = rc_wire_read_names(rc_json_get(opts, RC_STR("rooms")), &q->m.to.rooms);
    if (rc == RC_OK)
        rc = rc_wire_read_names(rc_json_get(opts, RC_STR("except")), &q->m.to.except);
    if (rc == RC_OK && (q->type == RC_WIRE_REMOTE_JOIN || q->type == RC_WIRE_REMOTE_LEAVE))
        rc = rc_wire_read_names(rc_json_get(json, RC_STR("rooms")), &q->rooms);
    return rc;
}

static int read_json(struct rc_str json, struct rc_wire_request *q)
{
    struct rc_json_walk walk = {.max_depth = DEPTH_MAX};
    struct rc_str type, uid, id;
    struct rc_number n;
    int rc;

    if (!rc_utf8_valid(json) || rc_json_validate(json, &walk) != RC_OK)
        return RC_EPROTO;
    type = rc_json_get(json, RC_STR("type"));
    uid = rc_json_get(json, RC_STR("uid"));
    id = rc_json_get(json, RC_STR("requestId"));
    if (rc_json_type(type) != RC_JSON_NUMBER)
        return RC_EPROTO;
    n = rc_number_read(type);
    rc = n.kind == RC_NUMBER_UINT ? set_type(q, n.v.u) : RC_EPROTO;
    if (rc == RC_OK && q->type >= RC_WIRE_BROADCAST) /* have packets, and are no JSON */
        rc = RC_EPROTO;
    if (rc == RC_OK && uid.len != 0)
        rc = put_text(uid, &q->uid);
    if (rc == RC_OK && id.len != 0)
        rc = put_text(id, &q->id);
    q->close = rc_json_type(rc_json_get(json, RC_STR("close"))) == RC_JSON_TRUE;
    return rc == RC_OK ? read_target(json, q) : rc;
}

/* ---- MessagePack ---- */

static int read_name(struct rc_str item, struct rc_buf *to)
{
    struct rc_item name = rc_item_next(&item);
    struct rc_str text;
    char digits[24];

    if (!rc_item_text(&name, digits, &text) || !rc_utf8_valid(text))
        return RC_EPROTO;
    rc_buf_puts(to, text);
    return RC_OK;
}

static struct rc_str member(struct rc_str map, struct rc_str key)
{
    struct rc_item head = rc_item_next(&map);

    return head.kind == RC_ITEM_MAP ? rc_item_get(map, head.n, key) : RC_STR_NONE;
}

static uint32_t read_timeout(struct rc_str flags)
{
    struct rc_str value = member(flags, RC_STR("timeout"));
    struct rc_item n = rc_item_next(&value);

    return n.kind == RC_ITEM_UINT && n.v.u <= TIMEOUT_MAX ? (uint32_t)n.v.u : 0;
}

static int read_msgpack(struct rc_wire_reader *r, struct rc_str bytes,
                        struct rc_wire_request *q)
{
    struct rc_str type = member(bytes, RC_STR("type")), opts = member(bytes, RC_STR("opts"));
    struct rc_str flags = member(opts, RC_STR("flags")), value, rest = bytes;
    struct rc_item n = rc_item_next(&type);
    int rc = n.kind == RC_ITEM_UINT ? set_type(q, n.v.u) : RC_EPROTO;

    if (rc_item_whole(&rest).len != bytes.len || rc_item_next(&opts).kind != RC_ITEM_MAP)
        return RC_EPROTO;
    opts = member(bytes, RC_STR("opts"));
    if (rc == RC_OK && q->type != RC_WIRE_BROADCAST) /* the others are JSON */
        rc = RC_EPROTO;
    if (rc == RC_OK)
        rc = read_name(member(bytes, RC_STR("requestId")), &q->id);
    if (rc == RC_OK && (value = member(bytes, RC_STR("uid"))).len != 0)
        rc = read_name(value, &q->uid);
    if (rc == RC_OK)
        rc = rc_wire_read_list(member(opts, RC_STR("rooms")), &q->m.to.rooms);
    if (rc == RC_OK)
        rc = rc_wire_read_list(member(opts, RC_STR("except")), &q->m.to.except);
    if (rc == RC_OK)
        rc = rc_wire_read_packet(r, member(bytes, RC_STR("packet")), &q->m);
    q->timeout_ms = read_timeout(flags);
    return rc;
}

int rc_wire_read_request(struct rc_wire_reader *r, struct rc_str bytes,
                         struct rc_wire_request *q)
{
    rc_wire_request_reset(q);
    if (bytes.len == 0)
        return RC_EPROTO;
    return bytes.p[0] == '{' ? read_json(bytes, q) : read_msgpack(r, bytes, q);
}

/* ---- answers ---- */

static int write_buf(void *buf, const char *p, size_t n)
{
    rc_buf_put(buf, p, n);
    return 0;
}

static void put_str(msgpack_packer *pk, struct rc_str s)
{
    (void)msgpack_pack_str_with_body(pk, s.p, s.len);
}

/* The bytes of the first argument, out of a packet that has all of them. */
int rc_wire_put_first(struct rc_buf *to, struct rc_str args, const struct rc_str *attachment,
                      unsigned nattachments)
{
    struct rc_buf text = RC_BUF_INIT, packet = RC_BUF_INIT;
    struct rc_str data;
    struct rc_item head;
    int rc;

    rc_sio_put_head(&text, nattachments != 0 ? RC_SIO_BINARY_ACK : RC_SIO_ACK, nattachments,
                    RC_STR("/"), true, 0);
    rc_buf_puts(&text, args);
    rc =
        rc_msgpack_encode(rc_str_skip(rc_buf_str(&text), 1), attachment, nattachments, &packet);
    if (rc == RC_OK) {
        data = member(rc_buf_str(&packet), RC_STR("data"));
        head = rc_item_next(&data);
        if (head.n == 0)
            rc_buf_putc(to, '\xc0');
        else
            rc_buf_puts(to, rc_item_whole(&data));
    }
    rc_buf_deinit(&text);
    rc_buf_deinit(&packet);
    return rc;
}

int rc_wire_put_ack(struct rc_buf *to, struct rc_str id, struct rc_str args,
                    const struct rc_str *attachment, unsigned nattachments)
{
    size_t mark = to->len;
    msgpack_packer pk;
    int rc;

    msgpack_packer_init(&pk, to, write_buf);
    (void)msgpack_pack_map(&pk, 3);
    put_str(&pk, RC_STR("type"));
    (void)msgpack_pack_unsigned_int(&pk, RC_WIRE_BROADCAST_ACK);
    put_str(&pk, RC_STR("requestId"));
    put_str(&pk, id);
    put_str(&pk, RC_STR("packet"));
    rc = rc_wire_put_first(to, args, attachment, nattachments);
    if (rc != RC_OK)
        to->len = mark;
    return rc;
}

/* ---- questions ---- */

int rc_wire_put_packet(struct rc_buf *to, const struct rc_bus_message *m)
{
    struct rc_buf text = RC_BUF_INIT;
    struct rc_sio_head head;
    int rc = rc_sio_split(m->text, &head);

    if (rc == RC_OK) {
        rc_sio_put_head(&text, head.type, head.attachments, head.nsp, false, 0);
        rc_buf_puts(&text, head.data);
        rc = text.failed ? RC_ENOMEM
                         : rc_msgpack_encode(rc_str_skip(rc_buf_str(&text), 1), m->attachment,
                                             m->nattachments, to);
    }
    rc_buf_deinit(&text);
    return rc;
}

int rc_wire_put_question(struct rc_buf *to, struct rc_str uid, struct rc_str id,
                         const struct rc_bus_message *m, uint32_t timeout_ms)
{
    size_t mark = to->len;
    msgpack_packer pk;
    int rc;

    msgpack_packer_init(&pk, to, write_buf);
    (void)msgpack_pack_map(&pk, 5);
    put_str(&pk, RC_STR("uid"));
    put_str(&pk, uid);
    put_str(&pk, RC_STR("requestId"));
    put_str(&pk, id);
    put_str(&pk, RC_STR("type"));
    (void)msgpack_pack_unsigned_int(&pk, RC_WIRE_BROADCAST);
    put_str(&pk, RC_STR("packet"));
    rc = rc_wire_put_packet(to, m);
    put_str(&pk, RC_STR("opts"));
    rc_wire_put_opts(to, m, timeout_ms);
    if (rc == RC_OK && to->failed)
        rc = RC_ENOMEM;
    if (rc != RC_OK)
        to->len = mark;
    return rc;
}

static int read_count(struct rc_str json, struct rc_wire_response *a)
{
    struct rc_json_walk walk = {.max_depth = DEPTH_MAX};
    struct rc_str type, id, count;
    struct rc_number n;

    if (!rc_utf8_valid(json) || rc_json_validate(json, &walk) != RC_OK)
        return RC_EPROTO;
    type = rc_json_get(json, RC_STR("type"));
    id = rc_json_get(json, RC_STR("requestId"));
    count = rc_json_get(json, RC_STR("clientCount"));
    if (!rc_str_eq(type, RC_STR("8"))) /* fetchSockets and its like have none */
        return RC_OK;
    if (rc_json_type(count) != RC_JSON_NUMBER)
        return RC_EPROTO;
    n = rc_number_read(count);
    if (n.kind != RC_NUMBER_UINT || n.v.u > UINT32_MAX)
        return RC_EPROTO;
    a->count = (uint32_t)n.v.u;
    a->type = RC_WIRE_CLIENT_COUNT;
    return put_text(id, &a->id);
}

/* {type: 3, data: [packet]} is an acknowledgement; one without a packet is of nothing. */
int rc_wire_read_answer(struct rc_wire_reader *r, struct rc_str packet,
                        struct rc_wire_response *a)
{
    static const char head[] = "\x82\xa4type\x03\xa4"
                               "data\x91";
    struct rc_json_walk walk = {.max_depth = DEPTH_MAX, .placeholders = true};
    struct rc_msgpack_packet p;
    struct rc_sio_head sio;
    const char *why;
    int rc;

    rc_buf_reset(&r->whole);
    rc_buf_put(&r->whole, head, sizeof(head) - 1);
    rc_buf_puts(&r->whole, packet.len != 0 ? packet : RC_STR("\xc0"));
    rc = r->whole.failed
             ? RC_ENOMEM
             : rc_msgpack_decode_bus(rc_buf_str(&r->whole), &r->limits, &r->text, &p, &why);
    if (rc == RC_OK)
        rc = rc_sio_split(p.text, &sio);
    if (rc != RC_OK)
        return rc;
    /* What only looks like an attachment would stand for another client's. */
    walk.attachments = p.nattachments;
    if (rc_json_validate(sio.data, &walk) != RC_OK || walk.placeholder_bad)
        return RC_EPROTO;
    a->args = sio.data;
    a->nattachments = p.nattachments;
    for (unsigned i = 0; i < p.nattachments; i++)
        a->attachment[i] = p.attachment[i];
    a->type = RC_WIRE_BROADCAST_ACK;
    return RC_OK;
}

int rc_wire_read_response(struct rc_wire_reader *r, struct rc_str bytes,
                          struct rc_wire_response *a)
{
    struct rc_str type, rest = bytes;
    struct rc_item n;
    int rc;

    rc_buf_reset(&a->id);
    a->type = RC_WIRE_NO_TYPE;
    a->nattachments = 0;
    if (bytes.len == 0)
        return RC_EPROTO;
    if (bytes.p[0] == '{')
        return read_count(bytes, a);
    if (rc_item_whole(&rest).len != bytes.len)
        return RC_EPROTO;
    type = member(bytes, RC_STR("type"));
    n = rc_item_next(&type);
    if (n.kind != RC_ITEM_UINT)
        return RC_EPROTO;
    if (n.v.u != RC_WIRE_BROADCAST_ACK)
        return RC_OK;
    rc = read_name(member(bytes, RC_STR("requestId")), &a->id);
    return rc == RC_OK ? rc_wire_read_answer(r, member(bytes, RC_STR("packet")), a) : rc;
}

void rc_wire_response_deinit(struct rc_wire_response *a)
{
    rc_buf_deinit(&a->id);
}

/* msgpack_encode.c - a canonical packet into a message of socket.io-msgpack-parser. MessagePack
 * wants to know how long a container is before its items come, so that the JSON is walked twice:
 * to count, then to write by msgpack-c. */
#include "rc/base/mem.h"
#include "rc/proto/json.h"
#include "rc/proto/msgpack.h"
#include "rc/proto/number.h"

#include <msgpack.h>
#include <stdlib.h>

enum { SLOTS_INLINE = 32 };
#define NO_SLOT UINT32_MAX

/* What the first walk learns of a container; in the order of their opening brackets. */
struct slot {
    uint32_t count;  /* items; members, of a map */
    uint32_t parent; /* the one around it, or NO_SLOT */
    uint32_t next;   /* the first slot behind its end */
    uint32_t end;    /* offset in the JSON of what follows it */
    bool map;
    bool placeholder; /* "_placeholder" is true, so far */
    int8_t num;       /* "num", or -1; in the end: the attachment it stands for, or -1 */
};

struct slots {
    struct slot *at;
    uint32_t n, cap;
    unsigned nattachments;
    struct slot some[SLOTS_INLINE];
};

/* ---- counting ---- */

static int grow(struct slots *s)
{
    size_t bytes = (size_t)s->cap * 2 * sizeof(*s->at);
    bool first = s->at == s->some;
    struct slot *more = first ? rc_try_malloc(bytes) : rc_try_realloc(s->at, bytes);

    if (more == NULL)
        return RC_ENOMEM;
    if (first)
        memcpy(more, s->some, sizeof(s->some));
    s->at = more;
    s->cap *= 2;
    return RC_OK;
}

/* The value of a member that may make its map a placeholder; empty: a container. */
static void note_member(struct slot *map, struct rc_str key, struct rc_str value)
{
    if (rc_json_string_eq(key, RC_STR("_placeholder"))) {
        map->placeholder = rc_str_eq(value, RC_STR("true"));
    } else if (rc_json_string_eq(key, RC_STR("num"))) {
        struct rc_number n = {.kind = RC_NUMBER_DOUBLE};

        if (rc_json_type(value) == RC_JSON_NUMBER)
            n = rc_number_read(value);
        map->num = -1;
        if (n.kind == RC_NUMBER_UINT && n.v.u <= INT8_MAX)
            map->num = (int8_t)n.v.u;
    }
}

/* An item begins in the container cur: counts it, and tells what it means there. Of a map the
 * members are counted, by their values. */
static void note_item(struct slots *s, uint32_t cur, struct rc_str *key, bool colon,
                      struct rc_str token)
{
    struct slot *slot = cur != NO_SLOT ? &s->at[cur] : NULL;

    if (slot == NULL)
        return;
    if (!slot->map) {
        slot->count++;
    } else if (colon) {
        slot->count++;
        if (s->nattachments != 0)
            note_member(slot, *key, token);
    } else {
        *key = token;
    }
}

static int open_slot(struct slots *s, uint32_t *cur, bool map)
{
    if (s->n == s->cap && grow(s) != RC_OK)
        return RC_ENOMEM;
    s->at[s->n] = (struct slot){.parent = *cur, .map = map, .num = -1};
    *cur = s->n++;
    return RC_OK;
}

static int count(struct slots *s, struct rc_str json)
{
    struct rc_str rest = json, token = RC_STR_NONE, key = RC_STR_NONE;
    uint32_t cur = NO_SLOT;
    bool colon = false;
    char c;

    while ((c = rc_json_token(&rest, &token)) != '\0') {
        if (c == '{' || c == '[') {
            note_item(s, cur, &key, colon, RC_STR_NONE);
            if (open_slot(s, &cur, c == '{') != RC_OK)
                return RC_ENOMEM;
        } else if (c == '}' || c == ']') {
            struct slot *slot = cur != NO_SLOT ? &s->at[cur] : NULL;

            if (slot == NULL || slot->map != (c == '}'))
                return RC_EPROTO;
            if (!slot->placeholder || slot->num >= (int)s->nattachments)
                slot->num = -1;
            slot->next = s->n;
            slot->end = (uint32_t)(json.len - rest.len);
            cur = slot->parent;
        } else if (c != ':' && c != ',') {
            note_item(s, cur, &key, colon, token);
        }
        colon = c == ':';
    }
    return cur == NO_SLOT && rest.len == 0 ? RC_OK : RC_EPROTO;
}

/* ---- writing ---- */

static int write_buf(void *buf, const char *p, size_t n)
{
    rc_buf_put(buf, p, n);
    return 0;
}

/* The calls cannot fail: write_buf() does not, and a buffer's failure stays with it. */
static void put_string(msgpack_packer *pk, struct rc_str token)
{
    struct rc_str s = rc_str_make(token.p + 1, token.len - 2);
    struct rc_buf *out = pk->data;

    if (memchr(token.p, '\\', token.len) == NULL) {
        (void)msgpack_pack_str_with_body(pk, s.p, s.len);
        return;
    }
    (void)msgpack_pack_str(pk, rc_json_string_len(token));
    if (rc_json_string_decode(token, out) != RC_OK)
        out->failed = true;
}

static void put_number(msgpack_packer *pk, struct rc_str token)
{
    struct rc_number n = rc_number_read(token);

    switch (n.kind) {
    case RC_NUMBER_UINT: (void)msgpack_pack_uint64(pk, n.v.u); break;
    case RC_NUMBER_INT: (void)msgpack_pack_int64(pk, n.v.i); break;
    case RC_NUMBER_DOUBLE: (void)msgpack_pack_double(pk, n.v.d); break;
    }
}

static void put_bin(msgpack_packer *pk, struct rc_str bytes)
{
    (void)msgpack_pack_bin(pk, bytes.len);
    rc_buf_puts(pk->data, bytes);
}

static void put_json(msgpack_packer *pk, struct rc_str json, const struct slots *s,
                     const struct rc_str *attachment)
{
    const struct slot *slot = s->at;
    struct rc_str rest = json, token = RC_STR_NONE;
    char c;

    while ((c = rc_json_token(&rest, &token)) != '\0') {
        switch (c) {
        case '{':
            if (slot->num >= 0) {
                put_bin(pk, attachment[slot->num]);
                rest = rc_str_skip(json, slot->end);
                slot = &s->at[slot->next];
                break;
            }
            (void)msgpack_pack_map(pk, slot->count);
            slot++;
            break;
        case '[':
            (void)msgpack_pack_array(pk, slot->count);
            slot++;
            break;
        case '"': put_string(pk, token); break;
        case '0': put_number(pk, token); break;
        case 't': (void)msgpack_pack_true(pk); break;
        case 'f': (void)msgpack_pack_false(pk); break;
        case 'n': (void)msgpack_pack_nil(pk); break;
        default: break; /* , : } ] */
        }
    }
}

static void put_key(msgpack_packer *pk, struct rc_str key)
{
    (void)msgpack_pack_str_with_body(pk, key.p, key.len);
}

static void put_id(msgpack_packer *pk, uint64_t id)
{
    put_key(pk, RC_STR("id"));
    (void)msgpack_pack_uint64(pk, id);
}

/* In the reference's order of keys. */
static void put_packet(msgpack_packer *pk, const struct rc_sio_head *p, const struct slots *s,
                       const struct rc_str *attachment)
{
    bool is_ack = p->type == RC_SIO_ACK || p->type == RC_SIO_BINARY_ACK;
    unsigned type = p->type == RC_SIO_BINARY_EVENT ? RC_SIO_EVENT : p->type;

    (void)msgpack_pack_map(pk, 2u + (p->data.len != 0) + p->has_id);
    if (is_ack && p->has_id)
        put_id(pk, p->id);
    put_key(pk, RC_STR("type"));
    (void)msgpack_pack_unsigned_int(pk, is_ack ? RC_SIO_ACK : type);
    if (p->data.len != 0) {
        put_key(pk, RC_STR("data"));
        put_json(pk, p->data, s, attachment);
    }
    if (!is_ack && p->has_id)
        put_id(pk, p->id);
    put_key(pk, RC_STR("nsp"));
    put_key(pk, p->nsp);
}

int rc_msgpack_encode(struct rc_str text, const struct rc_str *attachment,
                      unsigned nattachments, struct rc_buf *out)
{
    size_t mark = out->len;
    struct rc_sio_head p;
    struct slots s;
    msgpack_packer pk;
    int rc = rc_sio_split(text, &p);

    if (rc != RC_OK || p.attachments != nattachments || p.data.len > UINT32_MAX / 2)
        return RC_EPROTO;
    s.at = s.some;
    s.n = 0;
    s.cap = SLOTS_INLINE;
    s.nattachments = nattachments;
    rc = p.data.len != 0 ? count(&s, p.data) : RC_OK;
    if (rc == RC_OK) {
        msgpack_packer_init(&pk, out, write_buf);
        put_packet(&pk, &p, &s, attachment);
        rc = out->failed ? RC_ENOMEM : RC_OK;
    }
    if (s.at != s.some)
        free(s.at);
    if (rc != RC_OK)
        out->len = mark;
    return rc;
}

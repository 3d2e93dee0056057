/* item.c - heads of MessagePack items. Nothing is believed before its bytes are there. */
#include "rc/cluster/item.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static uint64_t big_endian(const char *p, unsigned n)
{
    uint64_t u = 0;

    for (unsigned i = 0; i < n; i++)
        u = u << 8 | (uint8_t)p[i];
    return u;
}

static struct rc_item signed_item(int64_t i)
{
    struct rc_item item = {.kind = i < 0 ? RC_ITEM_INT : RC_ITEM_UINT};

    item.v.i = i; /* the same bits, when it is not below 0 */
    return item;
}

/* The low 1 << log2 bytes of u are a number of its own sign. */
static int64_t with_sign(uint64_t u, unsigned log2)
{
    switch (log2) {
    case 0: return (int8_t)u;
    case 1: return (int16_t)u;
    case 2: return (int32_t)u;
    default: return (int64_t)u;
    }
}

/* rest is behind the head; skip bytes come before those that count. */
static struct rc_item bytes_item(struct rc_str *rest, enum rc_item_kind kind, uint64_t len,
                                 unsigned skip)
{
    struct rc_item item = {.kind = kind};

    if (rest->len < skip || rest->len - skip < len)
        return (struct rc_item){.kind = RC_ITEM_NONE};
    *rest = rc_str_skip(*rest, skip);
    item.bytes = rc_str_make(rest->p, (size_t)len);
    *rest = rc_str_skip(*rest, (size_t)len);
    return item;
}

static struct rc_item float_item(struct rc_str bytes)
{
    struct rc_item item = {.kind = RC_ITEM_FLOAT};
    uint64_t u = big_endian(bytes.p, (unsigned)bytes.len);
    uint32_t half = (uint32_t)u;
    float f;

    if (bytes.len == sizeof(f)) {
        memcpy(&f, &half, sizeof(f));
        item.v.d = (double)f;
    } else {
        memcpy(&item.v.d, &u, sizeof(u));
    }
    return item;
}

/* An item whose head says how long its number or its length is: 1 << log2 bytes. */
static struct rc_item long_item(struct rc_str *rest, enum rc_item_kind kind, unsigned log2)
{
    unsigned size = 1u << log2;
    struct rc_item number = bytes_item(rest, RC_ITEM_UINT, size, 0);
    uint64_t u;

    if (number.kind == RC_ITEM_NONE)
        return number;
    u = big_endian(number.bytes.p, size);
    switch (kind) {
    case RC_ITEM_INT: return signed_item(with_sign(u, log2));
    case RC_ITEM_FLOAT: return float_item(number.bytes);
    case RC_ITEM_STR:
    case RC_ITEM_BIN: return bytes_item(rest, kind, u, 0);
    case RC_ITEM_EXT: return bytes_item(rest, kind, u, 1);
    case RC_ITEM_ARRAY:
    case RC_ITEM_MAP: number.n = (uint32_t)u; break;
    case RC_ITEM_UINT:
    case RC_ITEM_NONE:
    case RC_ITEM_NIL:
    case RC_ITEM_FALSE:
    case RC_ITEM_TRUE: number.v.u = u; break;
    }
    number.kind = kind;
    return number;
}

struct rc_item rc_item_next(struct rc_str *rest)
{
    /* From 0xc0 to 0xdf. */
    static const struct {
        uint8_t kind, log2;
    } head[32] = {
        {RC_ITEM_NIL, 0},   {RC_ITEM_NONE, 0},  {RC_ITEM_FALSE, 0}, {RC_ITEM_TRUE, 0},
        {RC_ITEM_BIN, 0},   {RC_ITEM_BIN, 1},   {RC_ITEM_BIN, 2},   {RC_ITEM_EXT, 0},
        {RC_ITEM_EXT, 1},   {RC_ITEM_EXT, 2},   {RC_ITEM_FLOAT, 2}, {RC_ITEM_FLOAT, 3},
        {RC_ITEM_UINT, 0},  {RC_ITEM_UINT, 1},  {RC_ITEM_UINT, 2},  {RC_ITEM_UINT, 3},
        {RC_ITEM_INT, 0},   {RC_ITEM_INT, 1},   {RC_ITEM_INT, 2},   {RC_ITEM_INT, 3},
        {RC_ITEM_EXT, 0},   {RC_ITEM_EXT, 1},   {RC_ITEM_EXT, 2},   {RC_ITEM_EXT, 3},
        {RC_ITEM_EXT, 4},   {RC_ITEM_STR, 0},   {RC_ITEM_STR, 1},   {RC_ITEM_STR, 2},
        {RC_ITEM_ARRAY, 1}, {RC_ITEM_ARRAY, 2}, {RC_ITEM_MAP, 1},   {RC_ITEM_MAP, 2},
    };
    struct rc_item item = {.kind = RC_ITEM_NONE};
    uint8_t c;

    if (rest->len == 0)
        return item;
    c = (uint8_t)rest->p[0];
    *rest = rc_str_skip(*rest, 1);
    if (c < 0x80 || c >= 0xe0)
        return signed_item((int8_t)c);
    if (c < 0xa0) {
        item.kind = c < 0x90 ? RC_ITEM_MAP : RC_ITEM_ARRAY;
        item.n = c & 0x0f;
        return item;
    }
    if (c < 0xc0)
        return bytes_item(rest, RC_ITEM_STR, c & 0x1f, 0);
    item.kind = (enum rc_item_kind)head[c - 0xc0].kind;
    if (c >= 0xd4 && c <= 0xd8) /* an extension of a fixed length */
        return bytes_item(rest, item.kind, UINT64_C(1) << head[c - 0xc0].log2, 1);
    if (item.kind <= RC_ITEM_TRUE)
        return item;
    return long_item(rest, item.kind, head[c - 0xc0].log2);
}

struct rc_str rc_item_whole(struct rc_str *rest)
{
    struct rc_str from = *rest;
    uint64_t left = 1;

    while (left != 0) {
        struct rc_item item = rc_item_next(rest);

        if (item.kind == RC_ITEM_NONE)
            return RC_STR_NONE;
        left--;
        if (item.kind == RC_ITEM_ARRAY)
            left += item.n;
        else if (item.kind == RC_ITEM_MAP)
            left += (uint64_t)item.n * 2;
        if (left > rest->len) /* each has a byte at least */
            return RC_STR_NONE;
    }
    return rc_str_make(from.p, from.len - rest->len);
}

bool rc_item_text(const struct rc_item *item, char buf[24], struct rc_str *text)
{
    if (item->kind == RC_ITEM_STR) {
        *text = item->bytes;
        return true;
    }
    if (item->kind == RC_ITEM_UINT)
        (void)snprintf(buf, 24, "%" PRIu64, item->v.u);
    else if (item->kind == RC_ITEM_INT)
        (void)snprintf(buf, 24, "%" PRId64, item->v.i);
    else
        return false;
    *text = rc_str_of(buf);
    return true;
}

struct rc_str rc_item_get(struct rc_str rest, uint32_t n, struct rc_str key)
{
    for (uint32_t i = 0; i < n; i++) {
        struct rc_str name = rc_item_whole(&rest), value = rc_item_whole(&rest);
        struct rc_item item = rc_item_next(&name);

        if (value.len == 0)
            break;
        if (item.kind == RC_ITEM_STR && rc_str_eq(item.bytes, key))
            return value;
    }
    return RC_STR_NONE;
}

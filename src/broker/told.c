/* told.c - the bytes of what nodes tell each other of users and rooms, and the order of it. */
#include "rc/broker/told.h"

#include "rc/base/utf8.h"

#include <string.h>

enum { VERSION = 1, FIRST = 1, LAST = 2, WISH_LEN = 10, FLAGS_AT = 1 };

/* ---- numbers ---- */

static void put_number(struct rc_buf *b, uint64_t v, unsigned bytes)
{
    uint8_t p[8];

    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> (8 * i));
    rc_buf_put(b, p, bytes);
}

/* There are so many. */
static uint64_t take_number(struct rc_str *rest, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes; i++)
        v |= (uint64_t)(uint8_t)rest->p[i] << (8 * i);
    *rest = rc_str_skip(*rest, bytes);
    return v;
}

/* ---- messages ---- */

void rc_told_begin(struct rc_buf *b, const struct rc_told *head)
{
    rc_buf_reset(b);
    put_number(b, VERSION, 1);
    put_number(b, (head->first ? FIRST : 0) | (head->last ? LAST : 0), 1);
    put_number(b, head->shard, 1);
    put_number(b, head->shards, 1);
    put_number(b, head->announcement, 4);
    put_number(b, head->part, 4);
    put_number(b, head->changes, 8);
}

void rc_told_put(struct rc_buf *b, enum rc_told_op op, uint32_t n, struct rc_str text)
{
    size_t len = text.len <= UINT16_MAX ? text.len : UINT16_MAX;

    rc_buf_putc(b, (char)op);
    if (op == RC_TOLD_MEMBERS)
        put_number(b, n, 4);
    put_number(b, len, 2);
    rc_buf_puts(b, rc_str_make(text.p, len));
}

static bool is_op(char op)
{
    return op == RC_TOLD_SPACE || op == RC_TOLD_ROOM || op == RC_TOLD_HERE ||
           op == RC_TOLD_GONE || op == RC_TOLD_MEMBERS;
}

bool rc_told_next(struct rc_str *rest, struct rc_told_item *item)
{
    bool counts = rest->len != 0 && rest->p[0] == RC_TOLD_MEMBERS;
    struct rc_str r = rc_str_skip(*rest, 1);
    size_t len;

    if (rest->len < (counts ? 7 : 3) || !is_op(rest->p[0]))
        return false;
    item->op = (enum rc_told_op)rest->p[0];
    item->n = counts ? (uint32_t)take_number(&r, 4) : 0;
    len = (size_t)take_number(&r, 2);
    if (len > r.len)
        return false;
    item->text = rc_str_make(r.p, len);
    *rest = rc_str_skip(r, len);
    return true;
}

bool rc_told_read(struct rc_str bytes, struct rc_told *told)
{
    struct rc_told_item item;
    struct rc_str rest;
    uint64_t flags;

    if (bytes.len < RC_TOLD_HEAD || take_number(&bytes, 1) != VERSION)
        return false;
    flags = take_number(&bytes, 1);
    told->first = (flags & FIRST) != 0;
    told->last = (flags & LAST) != 0;
    told->shard = (uint8_t)take_number(&bytes, 1);
    told->shards = (uint8_t)take_number(&bytes, 1);
    told->announcement = (uint32_t)take_number(&bytes, 4);
    told->part = (uint32_t)take_number(&bytes, 4);
    told->changes = take_number(&bytes, 8);
    told->items = rest = bytes;
    if (flags > (FIRST | LAST) || told->shard >= told->shards || told->shards > 64 ||
        (told->announcement == 0 && flags != 0))
        return false;
    while (rc_told_next(&rest, &item))
        if (!rc_utf8_valid(item.text))
            return false;
    return rest.len == 0;
}

/* ---- asking ---- */

void rc_told_put_wish(struct rc_buf *b, enum rc_told_wish wish, uint64_t shards)
{
    rc_buf_reset(b);
    put_number(b, VERSION, 1);
    put_number(b, wish, 1);
    put_number(b, shards, 8);
}

bool rc_told_read_wish(struct rc_str bytes, enum rc_told_wish *wish, uint64_t *shards)
{
    uint64_t w;

    if (bytes.len < WISH_LEN || take_number(&bytes, 1) != VERSION)
        return false;
    w = take_number(&bytes, 1);
    if (w < RC_TOLD_ALL || w > RC_TOLD_NOTHING)
        return false;
    *wish = (enum rc_told_wish)w;
    *shards = take_number(&bytes, 8);
    return true;
}

/* ---- the teller ---- */

void rc_teller_change(struct rc_teller *t, unsigned shard, unsigned shards, struct rc_buf *b)
{
    const struct rc_told head = {
        .shard = (uint8_t)shard, .shards = (uint8_t)shards, .changes = ++t->changes};

    rc_told_begin(b, &head);
}

void rc_teller_part(struct rc_teller *t, unsigned shard, unsigned shards, bool first,
                    struct rc_buf *b)
{
    struct rc_told head = {.first = first,
                           .shard = (uint8_t)shard,
                           .shards = (uint8_t)shards,
                           .changes = t->changes};

    if (first && ++t->announcement == 0)
        t->announcement = 1;
    t->part = first ? 0 : t->part + 1;
    head.announcement = t->announcement;
    head.part = t->part;
    rc_told_begin(b, &head);
}

void rc_teller_last(struct rc_buf *b)
{
    b->data[FLAGS_AT] |= LAST;
}

/* ---- the listener ---- */

/* Is a part what comes next? */
static bool fits(const struct rc_listener_step *l, const struct rc_told *told)
{
    return l->step == RC_LISTENING && told->announcement == l->announcement &&
           told->part == l->part + 1 && told->changes == l->changes;
}

void rc_told_follow(struct rc_listener_step *l, const struct rc_told *told, uint64_t now_ms,
                    bool *begins, bool *ends)
{
    *begins = *ends = false;
    if (told->announcement == 0) {
        if (told->changes != l->changes + 1)
            l->step = RC_OUT_OF_STEP;
        l->changes = told->changes;
        return;
    }
    if (told->first) {
        *begins = true;
        l->step = RC_LISTENING;
        l->announcement = told->announcement;
    } else if (!fits(l, told)) {
        l->step = RC_OUT_OF_STEP;
    }
    l->part = told->part;
    l->changes = told->changes;
    l->heard_ms = now_ms;
    if (told->last && l->step == RC_LISTENING) {
        *ends = true;
        l->step = RC_IN_STEP;
    }
}

/* seen.c - a table of senders. */
#include "seen.h"

#include "rc/base/hash.h"
#include "rc/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sender {
    struct rc_list link;
    uint64_t hash;
    struct rc_seq last;
    size_t len;
    char uid[];
};

/* ---- numbers ---- */

void rc_seq_put(struct rc_seq seq, char to[RC_SEQ_SIZE])
{
    (void)snprintf(to, RC_SEQ_SIZE, "%016" PRIx64 "-%" PRIu64, seq.run, seq.number);
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

bool rc_seq_read(struct rc_str text, struct rc_seq *seq)
{
    enum { HEX = 16, DECIMAL_MAX = 19 }; /* digits: what 64 bits hold in any case */

    *seq = (struct rc_seq){.run = 0};
    if (text.len < HEX + 2 || text.len > HEX + 1 + DECIMAL_MAX || text.p[HEX] != '-')
        return false;
    for (size_t i = 0; i < text.len; i++) {
        int digit = digit_of(text.p[i]);

        if (i == HEX)
            continue;
        if (digit >= (i < HEX ? 16 : 10))
            return false;
        if (i < HEX)
            seq->run = seq->run << 4 | (uint64_t)digit;
        else
            seq->number = seq->number * 10 + (uint64_t)digit;
    }
    return true;
}

/* ---- senders ---- */

void rc_seen_init(struct rc_seen *s)
{
    *s = (struct rc_seen){.senders = {.slot = NULL}};
    rc_list_init(&s->order);
}

static void forget(struct rc_seen *s, struct sender *one)
{
    rc_list_remove(&one->link);
    rc_hmap_remove(&s->senders, one->hash, one);
    free(one);
}

void rc_seen_deinit(struct rc_seen *s)
{
    while (!rc_list_empty(&s->order))
        forget(s, RC_CONTAINER(s->order.next, struct sender, link));
    rc_hmap_deinit(&s->senders);
}

static bool is_it(const void *value, const void *key)
{
    const struct sender *one = value;

    return rc_str_eq(rc_str_make(one->uid, one->len), *(const struct rc_str *)key);
}

static void add(struct rc_seen *s, uint64_t hash, struct rc_str uid, struct rc_seq seq)
{
    struct sender *one = rc_malloc(sizeof(*one) + uid.len);

    if (s->senders.n >= RC_SEEN_MAX)
        forget(s, RC_CONTAINER(s->order.next, struct sender, link));
    one->hash = hash;
    one->last = seq;
    one->len = uid.len;
    if (uid.len != 0)
        memcpy(one->uid, uid.p, uid.len);
    rc_hmap_insert(&s->senders, hash, one);
    rc_list_append(&s->order, &one->link);
}

bool rc_seen_new(struct rc_seen *s, struct rc_str uid, struct rc_seq seq)
{
    uint64_t hash = rc_hash(uid.p, uid.len, 0);
    struct sender *one = rc_hmap_find(&s->senders, hash, is_it, &uid);

    if (uid.len > RC_SEEN_UID_MAX)
        return true;
    if (one == NULL) {
        add(s, hash, uid, seq);
        return true;
    }
    rc_list_remove(&one->link);
    rc_list_append(&s->order, &one->link);
    if (one->last.run == seq.run && one->last.number >= seq.number)
        return false;
    one->last = seq;
    return true;
}

/*
 * told.h - what shards of different nodes tell each other of users and rooms: as bytes, and whether some of it
 * is missing.
 *
 * A teller tells all nodes each *change*, and numbers them. To a node that asks it makes an *announcement*, in
 * parts: all that there is. Between the parts come changes, and both are in one order, so what the parts and
 * the changes since the first one have named is all that is true when the last one has come; what they have not
 * is out of date. So nothing has to be taken back before.
 *
 *     OUT_OF_STEP ──first part──> LISTENING ──last part──> IN_STEP       a gap: OUT_OF_STEP, ask again
 *
 * Bytes: {version, flags, shard, shards, announcement:4, part:4, changes:8}, then records {op, length:2, text},
 * with a number:4 before the length in those of members; little-endian. A later version may tell something
 * else: what is not known is not read at all.
 *
 * Threads:   any.
 * Ownership: slices of what is read point into the message.
 */
#ifndef RC_BROKER_TOLD_H
#define RC_BROKER_TOLD_H

#include "rc/base/buf.h"
#include "rc/base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    RC_TOLD_HEAD = 20,
    RC_TOLD_SLICE = 32768
}; /* bytes; from so many on a message is full */

enum rc_told_op {
    RC_TOLD_SPACE = 'N',   /* the namespace of what follows */
    RC_TOLD_ROOM = 'R',    /* the room of what follows */
    RC_TOLD_HERE = '+',    /* a user is in it */
    RC_TOLD_GONE = '-',    /* no more */
    RC_TOLD_MEMBERS = 'M', /* a room has so many, 0: it is gone */
};

struct rc_told_item {
    enum rc_told_op op;
    uint32_t n; /* of MEMBERS */
    struct rc_str text;
};

struct rc_told {
    bool first, last;      /* of an announcement */
    uint8_t shard, shards; /* the teller, and how many its node has */
    uint32_t announcement; /* its number; 0: it is a change */
    uint32_t part;
    uint64_t changes; /* told so far, this one as well */
    struct rc_str items;
};

/* The bytes are emptied, and begun. */
void rc_told_begin(struct rc_buf *b, const struct rc_told *head);
/* text: cut to what fits; no name is that long. */
void rc_told_put(struct rc_buf *b, enum rc_told_op op, uint32_t n, struct rc_str text);
/* False: it is none, not whole, or has what is not UTF-8: clients get it as text. */
bool rc_told_read(struct rc_str bytes, struct rc_told *told);
/* Walks through told.items. False at the end, or where it is cut off: the rest is left then. */
bool rc_told_next(struct rc_str *rest, struct rc_told_item *item);

/* ---- asking ---- */

enum rc_told_wish {
    RC_TOLD_ALL = 1,     /* an announcement */
    RC_TOLD_CHANGES = 2, /* changes, as until now */
    RC_TOLD_NOTHING = 3, /* no more */
};

/* shards: a bit for each that is asked. */
void rc_told_put_wish(struct rc_buf *b, enum rc_told_wish wish, uint64_t shards);
bool rc_told_read_wish(struct rc_str bytes, enum rc_told_wish *wish, uint64_t *shards);

/* ---- the teller ---- */

struct rc_teller {
    uint64_t changes;
    uint32_t announcement, part; /* of the one under way */
};

/* Begin a message, whose records follow. */
void rc_teller_change(struct rc_teller *t, unsigned shard, unsigned shards, struct rc_buf *b);
void rc_teller_part(struct rc_teller *t, unsigned shard, unsigned shards, bool first,
                    struct rc_buf *b);
/* It is the last part. */
void rc_teller_last(struct rc_buf *b);

/* ---- the listener ---- */

enum rc_step { RC_OUT_OF_STEP, RC_LISTENING, RC_IN_STEP };

struct rc_listener_step {
    enum rc_step step;
    uint32_t announcement, part;
    uint64_t changes;
    uint64_t heard_ms; /* the last part of an announcement */
};

/* A message has come, its records are to be taken in any case. *begins: what was known before is out of date
 * unless it is named until *ends, one of this message or of another. */
void rc_told_follow(struct rc_listener_step *l, const struct rc_told *told, uint64_t now_ms,
                    bool *begins, bool *ends);

#endif /* RC_BROKER_TOLD_H */

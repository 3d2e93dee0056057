/*
 * item.h - MessagePack read item by item, as slices: for what is small or only passed on.
 *
 * Threads:   any.
 * Ownership: slices point into the caller's bytes.
 */
#ifndef RC_CLUSTER_ITEM_H
#define RC_CLUSTER_ITEM_H

#include "rc/base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum rc_item_kind {
    RC_ITEM_NONE, /* there is none, or it is cut off */
    RC_ITEM_NIL,
    RC_ITEM_FALSE,
    RC_ITEM_TRUE,
    RC_ITEM_UINT,  /* u */
    RC_ITEM_INT,   /* i, below 0 */
    RC_ITEM_FLOAT, /* d */
    RC_ITEM_STR,   /* bytes */
    RC_ITEM_BIN,   /* bytes */
    RC_ITEM_EXT,   /* bytes, behind the type */
    RC_ITEM_ARRAY, /* n items follow */
    RC_ITEM_MAP,   /* n pairs follow */
};

struct rc_item {
    enum rc_item_kind kind;
    uint32_t n;
    union {
        uint64_t u;
        int64_t i;
        double d;
    } v;
    struct rc_str bytes;
};

/* The item at the beginning of *rest, which moves behind it; of a container that is its head. */
struct rc_item rc_item_next(struct rc_str *rest);
/* A whole item, with all that is in it, as it stands there. An empty slice: there is none. */
struct rc_str rc_item_whole(struct rc_str *rest);
/* Of a name: the text of a string, or of an integer in buf. False: it is neither. */
bool rc_item_text(const struct rc_item *item, char buf[24], struct rc_str *text);
/* A key of a map of n pairs that begins at rest: the whole item of its value, or an empty slice. */
struct rc_str rc_item_get(struct rc_str rest, uint32_t n, struct rc_str key);

#endif /* RC_CLUSTER_ITEM_H */

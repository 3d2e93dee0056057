/*
 * name.h - ids as text for clients: 20 characters that look random and can be undone.
 *
 * A name is the id under a mask and a check of it, both keyed for this process: any shard can
 * tell it from other text, and nobody can make one up. Kinds do not pass for each other.
 *
 * All sids, also those that are no such names (session.c), end with the tag of their node, under a mask that
 * other nodes can undo: it follows from the bytes before.
 *
 * Threads:   any.
 * Ownership: none.
 */
#ifndef RC_BROKER_NAME_H
#define RC_BROKER_NAME_H

#include "rc/base/pool.h"
#include "rc/base/str.h"

enum { RC_NAME_LEN = 20, RC_NAME_BYTES = 15, RC_TAG_BYTES = 2 };

enum rc_name_kind {
    RC_NAME_SOCKET,
    RC_NAME_SESSION, /* sid of an Engine.IO 3 session, which is its sockets' id as well */
};

/* With a NUL at the end. tag: of the session's node; means nothing for sockets. */
void rc_name_put(enum rc_name_kind kind, uint16_t tag, rc_id id, char out[RC_NAME_LEN + 1]);
/* 0 when text is no such name of this process. */
rc_id rc_name_parse(enum rc_name_kind kind, struct rc_str text);

/* The tag of whose sid it is, or -1: it is none. */
int rc_name_tag(struct rc_str sid);
/* Puts it into the last bytes. */
void rc_name_put_tag(uint8_t raw[RC_NAME_BYTES], uint16_t tag);

#endif /* RC_BROKER_NAME_H */

/*
 * name.h - ids as text for clients: 20 characters that look random and can be undone.
 *
 * A name is the id under a mask and a check of it, both keyed for this process: any shard can
 * tell it from other text, and nobody can make one up. Kinds do not pass for each other.
 *
 * Threads:   any.
 * Ownership: none.
 */
#ifndef RC_BROKER_NAME_H
#define RC_BROKER_NAME_H

#include "rc/base/pool.h"
#include "rc/base/str.h"

enum { RC_NAME_LEN = 20 };

enum rc_name_kind {
    RC_NAME_SOCKET,
    RC_NAME_SESSION, /* sid of an Engine.IO 3 session, which is its sockets' id as well */
};

/* With a NUL at the end. */
void rc_name_put(enum rc_name_kind kind, rc_id id, char out[RC_NAME_LEN + 1]);
/* 0 when text is no such name of this process. */
rc_id rc_name_parse(enum rc_name_kind kind, struct rc_str text);

#endif /* RC_BROKER_NAME_H */

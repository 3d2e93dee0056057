/*
 * space.h - dynamic namespaces: the concrete names that fit a pattern of the INI.
 *
 * A pattern is one struct rc_nsp; what belongs to which concrete name shows in the names of rooms.
 * The key of a room is "/name\0room" there, and "/name\0" that of the room of all its sockets,
 * which each joins before it is told that it is connected. The upper half of a key's hash comes
 * from the name alone, so that one shard owns all rooms of a namespace. A namespace exists as
 * long as one of its rooms does. Elsewhere the key of a room is its name.
 *
 * Threads:   the shard's; struct rc_space: the owner of its rooms.
 * Ownership: a socket's first room record pins the name, see rc_local_reserve().
 */
#ifndef RC_BROKER_SPACE_H
#define RC_BROKER_SPACE_H

#include "rc/base/buf.h"
#include "rc/base/hmap.h"
#include "rc/base/thread.h"
#include "rc/broker/room.h"
#include "rc/broker/session.h"

#include <stdbool.h>
#include <stdint.h>

struct rc_watched;

/* A dynamic namespace, to the owner of its rooms. */
struct rc_space {
    uint64_t hash;
    uint32_t nrooms;            /* all; it ends with the last */
    struct rc_hmap rooms;       /* those that clients have named: of rc_room */
    struct rc_watched *watched; /* see directory.c; or NULL */
    uint32_t home_len;
    char home[]; /* "/name\0": the key of the room of all */
};

/* The name of the socket's namespace. */
struct rc_str rc_space_name(const struct rc_shard *sh, const struct rc_socket *k);
/* The key of the room of all sockets of its namespace; nothing when that is not dynamic. */
struct rc_str rc_space_home(const struct rc_shard *sh, const struct rc_socket *k);
/* Is the socket in the namespace of pub? Its room must be set if it is a dynamic one. */
bool rc_space_has(const struct rc_shard *sh, const struct rc_socket *k,
                  const struct rc_pub *pub);
/* What clients call the room of that key; nothing: that of all sockets. */
struct rc_str rc_space_label(const struct rc_shard *sh, uint16_t nsp, struct rc_str key);
/* As rc_room_hash(), of any key. */
uint64_t rc_space_hash(const struct rc_shard *sh, uint16_t nsp, struct rc_str key);
/* The same for any thread. */
uint64_t rc_space_app_hash(const struct rc_app *app, uint16_t nsp, struct rc_str key);

/* Names that begin with a control character are the server's: no client can name such a room, and
 * the list of rooms does not show it. */
static inline bool rc_space_is_hidden(struct rc_str label)
{
    return label.len != 0 && ((unsigned char)label.p[0] < 0x20 || label.p[0] == 0x7f);
}
/* Appends the key of the room of all devices of a user: of the sockets, of one namespace, whose
 * tokens are that user's. home: of a dynamic namespace, else empty. Any thread. */
void rc_space_put_user_key(struct rc_str home, struct rc_str user, struct rc_buf *to);

/* The user that it belongs to, if that is the room of a user's devices in a namespace that is not
 * dynamic; else nothing. */
struct rc_str rc_space_user(struct rc_str key);

/* That of this home, if it has rooms here; or NULL. */
struct rc_space *rc_space_find(const struct rc_shard *sh, uint16_t nsp, struct rc_str home);
/* The owner has made the room, or is about to free it. */
void rc_space_add(struct rc_shard *sh, struct rc_room *r) RC_ON_SHARD;
void rc_space_remove(struct rc_shard *sh, struct rc_room *r) RC_ON_SHARD;
void rc_space_deinit(struct rc_shard *sh) RC_ON_SHARD;

#endif /* RC_BROKER_SPACE_H */

/*
 * acceptor.h - accepts connections and hands them to shards: on a thread of its own, which never
 * parses; or, where there is but one shard, as events of that shard's loop.
 *
 * Threads:   new, start, rest, stop, free: main, new before the shards start and free after they ended.
 *            Accepting: its own thread, or the only shard's.
 * Ownership: the listening sockets are its listeners', which it closes; an accepted fd belongs to the
 *            message that carries it.
 */
#ifndef RC_BROKER_ACCEPTOR_H
#define RC_BROKER_ACCEPTOR_H

#include "rc/base/err.h"
#include "rc/broker/listener.h"
#include "rc/broker/mesh.h"
#include "rc/broker/shard.h"

#include <stdint.h>

struct rc_acceptor;

/* Opens all listeners, which are borrowed. NULL, and one line per fault in e. */
struct rc_acceptor *rc_acceptor_new(struct rc_listeners *listeners, struct rc_mesh *mesh,
                                    struct rc_shard *const *shards, unsigned nshards,
                                    uint32_t max_conns, struct rc_conf_errors *e);
/* Starts its thread if it has one, and says "listening on ADDRESS" for each listener on stderr. */
int rc_acceptor_start(struct rc_acceptor *a) RC_MUSTCHECK;
/* Closes the listeners, but for cluster.listen: while sessions end, requests for them may come to other nodes. */
void rc_acceptor_rest(struct rc_acceptor *a);
/* Stops accepting, closes the listeners, joins the thread. The only shard does the first two in its
 * next turn, unless that is its last: then rc_acceptor_free() does. */
void rc_acceptor_stop(struct rc_acceptor *a);
void rc_acceptor_free(struct rc_acceptor *a);

#endif /* RC_BROKER_ACCEPTOR_H */

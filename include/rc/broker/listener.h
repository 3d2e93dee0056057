/*
 * listener.h - where clients connect: the items of server.listen and the [listen NAME] sections, each with a
 * socket of its own and with what holds for the connections that come by it; and where other nodes do,
 * cluster.listen.
 *
 * A connection knows its listener by the index, which travels in RC_MSG_CONN.
 *
 * Threads:   new, free, open: main, before the threads start and after they ended.  close: the acceptor, or
 *            main.  What the configuration says of a listener is immutable: any reads.
 * Ownership: rc_listeners owns the listeners and the descriptors that are open; the texts are the
 *            configuration's, which must outlive it.
 */
#ifndef RC_BROKER_LISTENER_H
#define RC_BROKER_LISTENER_H

#include "rc/base/conf.h"
#include "rc/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { RC_LISTENERS_MAX = 255, RC_LISTENER_MODE = 0660, RC_LISTENER_TEXT = 128 };

struct rc_app;

struct rc_listener {
    const char *name;    /* of its section; "": an item of server.listen, or of key */
    const char *key;     /* NULL, or "[admin] listen": what faults call it */
    const char *address; /* "127.0.0.1:3000", "unix:/run/roomcast/http.sock" */
    bool is_unix;
    bool proxy_protocol; /* connections must begin with a PROXY header */
    bool pipe;     /* cluster.listen: for other nodes, which pass clients on; see pipe.h */
    unsigned mode; /* of the socket's file */
    bool tls;      /* a handshake comes first: rc_app.tls */
    struct rc_conf_place at; /* where the address stands; file NULL: nowhere */

    int fd; /* -1: closed */
    /* The socket's file, as it was made: another one at that path is not ours. */
    dev_t dev;
    ino_t ino;
};

struct rc_listeners {
    struct rc_listener *at;
    unsigned n;
    int backlog;
};

/* What the configuration says, in its order, first server.listen, last cluster.listen. NULL, and the faults in e. */
struct rc_listeners *rc_listeners_new(const struct rc_conf *conf, struct rc_conf_errors *e);
/* Loads the certificates of those with tls = yes, as conf says now, into app (NULL: only to check
 * them). Faults go to e, warnings to the log. */
void rc_listeners_load(const struct rc_listeners *all, const struct rc_conf *conf,
                       struct rc_app *app, struct rc_conf_errors *e);
void rc_listeners_free(struct rc_listeners *all); /* closes what is open; NULL is fine */
/* The listener of a connection; with NULL, as in tests, one that asks for nothing. */
const struct rc_listener *rc_listener_at(const struct rc_listeners *all, unsigned index);

/* Binds and listens. A file that a socket has left behind goes, unless somebody listens there. On a
 * fault one line in e. */
int rc_listener_open(struct rc_listener *l, int backlog, struct rc_conf_errors *e) RC_MUSTCHECK;
/* Could it be bound, as far as that can be found out without listening? What stands against it for good
 * goes to e; what may be otherwise for the server, or later, goes to maybe. */
void rc_listener_try(const struct rc_listener *l, struct rc_conf_errors *e,
                     struct rc_conf_errors *maybe);
/* Opens the one of cluster.listen, if there is one, and says in buf under which address other nodes reach it:
 * cluster.advertise, looked up, or where it listens. "": there is none. On a fault one line in e. */
int rc_listeners_advertise(struct rc_listeners *all, const struct rc_conf *conf,
                           char buf[RC_LISTENER_TEXT], struct rc_conf_errors *e) RC_MUSTCHECK;
/* Also removes the socket's file, if it is still ours. Idempotent. */
void rc_listener_close(struct rc_listener *l);
/* Where it listens, with the port that it got; returns buf. */
const char *rc_listener_text(const struct rc_listener *l, char buf[RC_LISTENER_TEXT]);

#endif /* RC_BROKER_LISTENER_H */

/*
 * app.h - what all shards read and nobody changes: namespaces, rules, files, protocol options.
 *
 * A reload makes another one, the next *generation*. Each shard goes over to it by itself, between two
 * messages (renew.c), so for a moment some have the old one and some the new. What they tell each
 * other stays true: a namespace keeps its index from one generation to the next, also when the INI
 * no longer has it, and before a shard looks at a message of one that is ahead it goes over, too.
 *
 *     old ──next──> new       who holds an old one: shards that have not gone over, rules that wait,
 *                             questions to the store. Freed when nobody does, and not before those
 *                             that are older.
 *
 * Threads:   new, renew, publish, free: main, or who reloads; one at a time.  hold, let_go, reads: any.
 * Ownership: owns all below it; the configuration is borrowed and must outlive it.
 */
#ifndef RC_BROKER_APP_H
#define RC_BROKER_APP_H

#include "rc/auth/auth.h"
#include "rc/base/bucket.h"
#include "rc/base/conf.h"
#include "rc/broker/access.h"
#include "rc/broker/cluster_port.h"
#include "rc/broker/headers.h"
#include "rc/broker/listener.h"
#include "rc/broker/rules.h"
#include "rc/broker/store_port.h"
#include "rc/net/deflate.h"
#include "rc/net/forwarded.h"
#include "rc/net/http.h"
#include "rc/net/site.h"
#include "rc/proto/plain.h"
#include "rc/proto/sio.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum rc_endpoint_protocol {
    RC_ENDPOINT_NONE,
    RC_ENDPOINT_ECHO,
    RC_ENDPOINT_RELAY,
    RC_ENDPOINT_JSON,
};

/* A Socket.IO namespace, or a plain WebSocket endpoint: a name space of rooms of its own, or with
 * protocol = json a door to a namespace. */
struct rc_nsp {
    struct rc_str name; /* "/", "/chat"; of an endpoint its path */
    uint16_t index;
    bool is_pattern;                    /* its name has a *: see space.h */
    bool gone;                          /* the INI has it no longer; no client comes to it */
    enum rc_endpoint_protocol endpoint; /* NONE: a Socket.IO namespace */
    enum rc_authmode auth;
    enum rc_parser parser; /* that its clients must have; AUTO: either */
    struct rc_str prefix;  /* ECHO */
    uint32_t ping_ms;      /* of an endpoint: from a pong to the next ping */
    uint32_t max_payload;  /* of an endpoint: bytes of a message */
    bool deflate;          /* of an endpoint: permessage-deflate is on */
    uint16_t door_to;      /* JSON: index of the namespace that its clients are in */
    bool untyped;          /* JSON: it has events without a type */
    struct rc_ruleset rules;
    struct rc_room_rules rooms;
};

struct rc_app;

/* The part of an rc_app that changes. */
struct rc_app_life {
    _Atomic(const struct rc_app *) next; /* NULL: it is the latest */
    _Atomic uint32_t holders;
    _Atomic uint32_t arrived; /* shards */
};
struct rc_ui_desk;

struct rc_app {
    struct rc_app_life *life;
    const struct rc_conf *conf;
    struct rc_nsp *nsp; /* [0] is "/" */
    unsigned nnsps, npatterns;
    uint16_t *pattern; /* [npatterns]: their indexes, in the order of the INI */
    char **kept;       /* [nkept]: texts of namespaces that are gone */
    unsigned nkept;
    struct rc_hmap by_name;           /* of rc_nsp, but for those that are gone */
    struct rc_plain_untyped *untyped; /* what json endpoints say, by namespace */
    unsigned nuntyped;
    struct rc_auth *auth;                   /* NULL: nobody is asked for a token */
    bool auth_socketio;                     /* some namespace looks at tokens */
    struct rc_site *site;                   /* static_root, or NULL */
    struct rc_site *client;                 /* socket.io bundles, or NULL */
    char client_etag[40];                   /* of the bundles: their version, quoted */
    bool polling, websocket;                /* enabled transports */
    struct rc_trust trust;                  /* server.trusted_proxies */
    bool metered;                           /* one of these limits something: */
    struct rc_rate message_rate, byte_rate; /* of a session */
    uint64_t max_queued;                    /* bytes, 0: no limit */
    struct rc_headers headers;
    struct rc_deflate_policy deflate;
    struct rc_http_limits http;
    struct rc_sio_limits sio, sio_eio3;   /* of clients of Engine.IO 4, and 3 */
    const struct rc_listeners *listeners; /* borrowed, set by main; NULL: there are none */
    struct rc_tls_set **tls; /* [ntls] by listener: what it shows; NULL: it is plain */
    unsigned ntls;
    const struct rc_store_port *store;     /* borrowed, set by main; NULL: there is no store */
    const struct rc_cluster_port *cluster; /* the same of other nodes */
    const struct rc_nsp *ui;               /* the namespace of the Admin UI, or NULL */
    struct rc_ui_desk *ui_desk;            /* borrowed, set by main; there if ui is */
};

/* Compiles the configuration. Returns NULL with the reasons in e. exe_dir: folder of the executable, where
 * the client bundles are looked for. */
struct rc_app *rc_app_new(const struct rc_conf *conf, const char *exe_dir,
                          struct rc_conf_errors *e);
/* The next generation: the same for another configuration. */
struct rc_app *rc_app_renew(const struct rc_app *last, const struct rc_conf *conf,
                            const char *exe_dir, struct rc_conf_errors *e);
void rc_app_free(struct rc_app *app);

/* ---- generations ---- */

/* From now on shards go over from one to the other: wake them. */
void rc_app_publish(const struct rc_app *last, const struct rc_app *next);
/* Is there a later one? Who has seen what a thread that has gone over did sees that there is. */
static inline bool rc_app_is_old(const struct rc_app *app)
{
    return atomic_load_explicit(&app->life->next, memory_order_relaxed) != NULL;
}
/* The latest, from one that is held. */
const struct rc_app *rc_app_latest(const struct rc_app *app);
void rc_app_hold(const struct rc_app *app);
void rc_app_let_go(const struct rc_app *app);
/* False: what the holders did with it is over. */
bool rc_app_is_held(const struct rc_app *app);
/* A shard has gone over to it; how many have. */
void rc_app_arrive(const struct rc_app *app);
uint32_t rc_app_arrived(const struct rc_app *app);

/* ---- look-ups ---- */

/* The namespace (endpoint false) or endpoint of that very name, or NULL. */
const struct rc_nsp *rc_app_nsp(const struct rc_app *app, struct rc_str name, bool endpoint);
/* The first pattern that the name fits, in the order of the INI; or NULL. */
const struct rc_nsp *rc_app_pattern(const struct rc_app *app, struct rc_str name);

/* ---- devtoken.c ---- */

/* Is auth.dev_tokens_path of use? Warns of what it means. */
void rc_devtoken_check(const struct rc_app *app, struct rc_conf_errors *e);

#endif /* RC_BROKER_APP_H */

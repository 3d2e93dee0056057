/*
 * app.h - what all shards read and nobody changes: namespaces, rules, files, protocol options.
 *
 * Threads:   new, free: main, before the threads start and after they ended.  Reads: any.
 * Ownership: owns all below it; the configuration is borrowed and must outlive it.
 */
#ifndef RC_BROKER_APP_H
#define RC_BROKER_APP_H

#include "rc/auth/auth.h"
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

struct rc_app {
    const struct rc_conf *conf;
    struct rc_nsp *nsp; /* [0] is "/"; endpoints come last */
    unsigned nnsps, npatterns;
    unsigned npresence;               /* [room] sections with presence */
    struct rc_hmap by_name;           /* of rc_nsp */
    struct rc_plain_untyped *untyped; /* what json endpoints say, by namespace */
    unsigned nuntyped;
    struct rc_auth *auth;    /* NULL: nobody is asked for a token */
    bool auth_socketio;      /* some namespace looks at tokens */
    struct rc_site *site;    /* static_root, or NULL */
    struct rc_site *client;  /* socket.io bundles, or NULL */
    char client_etag[40];    /* of the bundles: their version, quoted */
    bool polling, websocket; /* enabled transports */
    struct rc_trust trust;   /* server.trusted_proxies */
    struct rc_headers headers;
    struct rc_deflate_policy deflate;
    struct rc_http_limits http;
    struct rc_sio_limits sio, sio_eio3;    /* of clients of Engine.IO 4, and 3 */
    const struct rc_listeners *listeners;  /* borrowed, set by main; NULL: there are none */
    const struct rc_store_port *store;     /* borrowed, set by main; NULL: there is no store */
    const struct rc_cluster_port *cluster; /* the same of other nodes */
};

/* Compiles the configuration. Returns NULL with the reasons in e. exe_dir: folder of the executable, where
 * the client bundles are looked for. */
struct rc_app *rc_app_new(const struct rc_conf *conf, const char *exe_dir,
                          struct rc_conf_errors *e);
void rc_app_free(struct rc_app *app);

/* The namespace (endpoint false) or endpoint of that very name, or NULL. */
const struct rc_nsp *rc_app_nsp(const struct rc_app *app, struct rc_str name, bool endpoint);
/* The first pattern that the name fits, in the order of the INI; or NULL. */
const struct rc_nsp *rc_app_pattern(const struct rc_app *app, struct rc_str name);

/* ---- devtoken.c ---- */

/* Is auth.dev_tokens_path of use? Warns of what it means. */
void rc_devtoken_check(const struct rc_app *app, struct rc_conf_errors *e);

#endif /* RC_BROKER_APP_H */

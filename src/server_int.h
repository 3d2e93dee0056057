/*
 * server_int.h - what server.c (life) and reload.c (another configuration) share.
 *
 * Threads:   main's; what `reloading` guards also that of who reloads.
 */
#ifndef RC_SERVER_INT_H
#define RC_SERVER_INT_H

#include "rc/api/admin.h"
#include "rc/broker/acceptor.h"
#include "rc/broker/app.h"
#include "rc/broker/listener.h"
#include "rc/broker/mesh.h"
#include "rc/broker/shard.h"
#include "rc/cluster/cluster.h"
#include "rc/store/store.h"
#include "server.h"

#include <pthread.h>

struct rc_ui_desk;

/* A configuration and what was made of it. */
struct rc_made {
    struct rc_conf *conf;
    struct rc_app *app;
    struct rc_made *next; /* the one after it */
};

struct rc_server {
    struct rc_server_setup setup;
    struct rc_conf conf; /* of the start: those who cannot be told of another one have it */
    struct rc_app *app;  /* of the start */
    struct rc_mesh *mesh;
    struct rc_shard *shard[RC_MESH_MAX_SHARDS];
    unsigned nshards, nstarted;
    uint32_t max_conns;
    struct rc_listeners *listeners;
    struct rc_admission *admission;
    struct rc_acceptor *acceptor;
    bool accepting;
    struct rc_store *store;     /* NULL: none */
    struct rc_news *news;       /* of other nodes' messages; NULL: no store, or no cluster */
    struct rc_cluster *cluster; /* NULL: none */
    struct rc_admin *admin;     /* NULL: none */
    struct rc_ui_desk *ui;      /* NULL: none */

    struct {
        uint64_t turns[RC_MESH_MAX_SHARDS]; /* of the shards, at the last look */
        uint64_t shards_at, rest_at;        /* rc_clock_ms() of the next; 0: the first */
    } watch;

    pthread_mutex_t reloading;       /* who reloads; guards what follows */
    struct rc_made *oldest, *latest; /* NULL: nothing was reloaded yet */
    bool ending;                     /* too late for that */
};

/* ---- check.c ---- */

/* Tries what the configuration names: faults, and what may be right when the server starts. */
void rc_server_try(const struct rc_server *s, struct rc_conf_errors *e,
                   struct rc_conf_errors *maybe);

/* ---- watch.c ---- */

/* What main does now and then, while others work. Returns in how many ms it is due again. */
uint32_t rc_watch(struct rc_server *s);
/* Still listens, for load balancers that have to find out. */
void rc_drain_delay(struct rc_server *s);
/* Ends the sessions over server.drain_time; returns when there are none, or it has taken too long. */
void rc_drain(struct rc_server *s);

/* ---- reload.c ---- */

/* The configuration that is in effect. */
const struct rc_conf *rc_server_latest(const struct rc_server *s);
/* The folder of the executable, "." when it cannot be told. */
const char *rc_server_exe_dir(char *path, size_t size);
/* Frees the generations that nobody holds. */
void rc_reload_reap(struct rc_server *s);
/* Shows fn the configuration in effect. Any thread but a shard's. */
void rc_reload_with_conf(void *server, void (*fn)(const struct rc_conf *conf, void *arg),
                         void *arg);
/* From now on a reload is refused; one that is under way ends first. */
void rc_reload_end(struct rc_server *s);
void rc_reload_free(struct rc_server *s);

#endif /* RC_SERVER_INT_H */

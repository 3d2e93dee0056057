/*
 * admin.h - the thread for operators: counters for Prometheus, health and readiness by evhttp, and the
 * console (ctl.h).
 *
 *   GET /metrics   every counter (text format 0.0.4), by shard; 200
 *   GET /healthz   200 while the process answers
 *   GET /readyz    200, or 503 with the reason: it is ending, the store is down, limits.max_memory is
 *                  reached, or the cluster's Redis is away and required; else 200 says that it is degraded
 *
 * Nobody is asked who they are: bind it to loopback, or to a network of operators.
 *
 * Threads:   new, start, drain, stop, free: main.  Requests: its own thread, which only reads
 *            counters that anybody may read (stats.h, store_port.h, cluster_port.h), and asks shards by
 *            survey.h.
 * Ownership: the shards, the store and the cluster are borrowed; stop it before they are freed.
 */
#ifndef RC_API_ADMIN_H
#define RC_API_ADMIN_H

#include "rc/base/conf.h"
#include "rc/base/err.h"
#include "rc/broker/admission.h"
#include "rc/broker/shard.h"

struct rc_admin;

/* What its answers are made from. */
struct rc_admin_sources {
    struct rc_shard *const *shards;
    unsigned nshards;
    const struct rc_admission *admission;
    const struct rc_store_port *store; /* NULL: none */
    struct rc_mesh *mesh;
    const char *version;
    uint64_t started_ms; /* rc_clock_ms() */
    /* Reads the configuration again: whether it is in effect, and what there is to say. NULL: it cannot be. */
    bool (*reload)(void *server, struct rc_buf *said);
    /* Shows fn the configuration in effect, which stays as it is meanwhile. NULL: that of the start is. */
    void (*with_conf)(void *server, void (*fn)(const struct rc_conf *conf, void *arg),
                      void *arg);
    void *server;
    const struct rc_cluster_port *cluster; /* NULL: none */
    bool cluster_required;
};

/* All metrics in the exposition format of Prometheus, version 0.0.4. Any thread. */
void rc_metrics(const struct rc_admin_sources *from, struct rc_buf *to);
/* Messages that wait in rings for a shard, and those of a shard that found a ring full so far. */
uint64_t rc_mail_waiting(const struct rc_mesh *m, unsigned shard);
uint64_t rc_mail_spilled(const struct rc_mesh *m, unsigned shard);

/* Binds every address of admin.listen, and admin.socket. NULL, and one line per fault in e. */
struct rc_admin *rc_admin_new(const struct rc_conf *conf, const struct rc_admin_sources *from,
                              struct rc_conf_errors *e);
/* Starts the thread, and says "metrics on http://ADDRESS/metrics" for each address, and "console on PATH", on
 * stderr. */
int rc_admin_start(struct rc_admin *a) RC_MUSTCHECK;
/* The server is ending: it is no longer ready. */
void rc_admin_drain(struct rc_admin *a);
/* Ends the thread, if it runs. */
void rc_admin_stop(struct rc_admin *a);
/* a may be NULL. */
void rc_admin_free(struct rc_admin *a);

#endif /* RC_API_ADMIN_H */

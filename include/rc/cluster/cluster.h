/*
 * cluster.h - joins nodes through Redis: one thread, two connections, the channels of the classic Socket.IO
 * Redis adapter. Servers of other makes that speak it are nodes like this one.
 *
 * The port (broker/cluster_port.h) is how shards ask; here is how main makes and ends it.
 *
 * Threads:   all of it: main.  The port: see there.
 * Ownership: owns its thread, its event_base and its connections. The configuration, the app and the mesh
 *            are borrowed and must outlive it.
 */
#ifndef RC_CLUSTER_CLUSTER_H
#define RC_CLUSTER_CLUSTER_H

#include "rc/base/conf.h"
#include "rc/base/err.h"
#include "rc/broker/app.h"
#include "rc/broker/cluster_port.h"
#include "rc/broker/mesh.h"

struct rc_cluster;

/* Are the keys of [cluster] such that it can be made? Reads its files, connects to nothing. */
void rc_cluster_check(const struct rc_conf *conf, struct rc_conf_errors *e);

/* For a configuration with cluster.redis that was checked. NULL: errno says why. */
struct rc_cluster *rc_cluster_new(const struct rc_conf *conf, const struct rc_app *app,
                                  struct rc_mesh *mesh);
/* Where other nodes reach this one's pipe listener, "" for nowhere. Before it is opened. */
void rc_cluster_advertise(struct rc_cluster *c, const char *address);
/* RC_EINVAL, with the reason in e: Redis refuses us, or cannot be reached and is required. One that
 * cannot be reached is else no fault: nodes are alone until it can. */
int rc_cluster_open(struct rc_cluster *c, struct rc_conf_errors *e) RC_MUSTCHECK;
const struct rc_cluster_port *rc_cluster_port(struct rc_cluster *c);
/* There is a later generation of the configuration. Any thread, while it runs. */
void rc_cluster_poke(struct rc_cluster *c);
int rc_cluster_start(struct rc_cluster *c) RC_MUSTCHECK;
/* After the shards have ended: sends what waits, if Redis takes it, then joins. */
void rc_cluster_stop(struct rc_cluster *c);
void rc_cluster_free(struct rc_cluster *c);

#endif /* RC_CLUSTER_CLUSTER_H */

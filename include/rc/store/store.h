/*
 * store.h - keeps messages, cursors and groups in a database: one thread, which takes what all shards
 * ask for, carries it out in transactions of many requests, and answers after the commit.
 *
 * The port (broker/store_port.h) is how shards ask; here is how main makes and ends it.
 *
 * Threads:   all of it: main.  The port: see there.
 * Ownership: owns its thread, its engine and the requests that it has taken. The configuration is
 *            borrowed and must outlive it.
 */
#ifndef RC_STORE_STORE_H
#define RC_STORE_STORE_H

#include "rc/base/conf.h"
#include "rc/base/err.h"
#include "rc/broker/store_port.h"

struct rc_store;

/* Are the keys of [store] such that an engine can be made? Reads its files, opens no database. */
void rc_store_check(const struct rc_conf *conf, struct rc_conf_errors *e);

/* For a configuration with an engine that was checked. flush may be NULL. NULL: errno says why. */
struct rc_store *rc_store_new(const struct rc_conf *conf, unsigned nproducers,
                              rc_store_flush_fn *flush, void *arg);
/* Before open: looks for messages that others put into the database, and tells them. */
void rc_store_follow(struct rc_store *s, rc_store_news_fn *fn, void *arg);
/* Opens the database and brings its schema up to date. RC_EINVAL, with the reason in e: it can never
 * work. A server that cannot be reached is none: the store is down until it can. */
int rc_store_open(struct rc_store *s, struct rc_conf_errors *e) RC_MUSTCHECK;
const struct rc_store_port *rc_store_port(struct rc_store *s);
int rc_store_start(struct rc_store *s) RC_MUSTCHECK;
/* After the producers have ended: finishes what was taken, then joins. */
void rc_store_stop(struct rc_store *s);
void rc_store_free(struct rc_store *s);

#endif /* RC_STORE_STORE_H */

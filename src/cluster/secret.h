/*
 * secret.h - the password of Redis out of its file.
 *
 * Threads:   main.
 * Ownership: the buffer is the caller's, to be wiped.
 */
#ifndef RC_CLUSTER_SECRET_H
#define RC_CLUSTER_SECRET_H

#include "rc/base/buf.h"
#include "rc/base/conf.h"

/* With a NUL behind it. 0, or the errno. */
int rc_cluster_password(const struct rc_conf *conf, struct rc_buf *password);

#endif /* RC_CLUSTER_SECRET_H */

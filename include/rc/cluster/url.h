/*
 * url.h - where Redis is: redis://[user[:password]@]host[:port][/db], or unix:/path[?db=N].
 *
 * Threads:   any.
 * Ownership: rc_redis_url_deinit frees what is inside, and wipes the password.
 */
#ifndef RC_CLUSTER_URL_H
#define RC_CLUSTER_URL_H

#include "rc/base/conf.h"
#include "rc/base/err.h"
#include "rc/base/str.h"

#include <stdint.h>

struct rc_redis_url {
    char *host; /* NULL: it is a Unix socket */
    char *path;
    char *user, *password; /* "" for none */
    uint16_t port;
    uint32_t db;
    char shown[256]; /* for logs: without user and password */
};

/* RC_EINVAL: expected says what was, in words. */
int rc_redis_url_parse(struct rc_str text, struct rc_redis_url *url,
                       const char **expected) RC_MUSTCHECK;
void rc_redis_url_deinit(struct rc_redis_url *url);

#endif /* RC_CLUSTER_URL_H */

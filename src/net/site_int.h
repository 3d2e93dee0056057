/*
 * site_int.h - what the loader builds and the look-ups read.
 *
 * Threads:   see rc/net/site.h.
 * Ownership: an entry owns the pointers that are not NULL; an alias ("/a/") borrows the bodies
 *            and etags of its "/a/index.html".
 */
#ifndef RC_NET_SITE_INT_H
#define RC_NET_SITE_INT_H

#include "rc/net/site.h"

#include <stdatomic.h>
#include <stdint.h>

struct site_entry {
    struct rc_site_file file;
    char *path, *etag, *gzip_etag;
    uint8_t *body, *gzip;
};

struct rc_site {
    _Atomic uint32_t refs;      /* the owner's, and one of each queue that sends its bytes */
    struct site_entry *entries; /* sorted by path once loaded */
    size_t len, cap;
    struct rc_site_totals totals;
};

int rc_site_compare_paths(struct rc_str a, struct rc_str b);

#endif /* RC_NET_SITE_INT_H */

/*
 * batch.h - a transaction of many requests.
 *
 * Threads:   the store's.
 * Ownership: the requests in it are the store's until they are handed back.
 */
#ifndef RC_STORE_BATCH_H
#define RC_STORE_BATCH_H

#include "db.h"
#include "rc/broker/store_port.h"

#include <stddef.h>

enum {
    RC_STORE_BATCH_MAX = 1024,      /* requests */
    RC_STORE_BATCH_SIZE = 16 << 20, /* bytes of them after which no more are taken */
    RC_STORE_BATCH_ROWS = 64 << 20, /* the same of the rows that they may answer with */
};

struct rc_store_batch {
    struct rc_store_req *req[RC_STORE_BATCH_MAX];
    unsigned n;
    size_t size, rows;
    /* Filled by rc_batch_run. */
    bool writes;                /* some of them do */
    uint64_t first_id, last_id; /* if so: what it took for its messages */
};

enum rc_batch_result {
    RC_BATCH_DONE,    /* committed; each request has its answer or its fault */
    RC_BATCH_FAILED,  /* nothing was written; the engine is still there */
    RC_BATCH_LOST,    /* nothing was written; the connection is gone */
    RC_BATCH_UNKNOWN, /* the connection broke while it was committed */
};

bool rc_batch_writes(const struct rc_store_batch *b);
enum rc_batch_result rc_batch_run(struct rc_db *g, struct rc_store_batch *b);
/* After UNKNOWN, and a successful open: finds out whether it was written, and writes it if not. */
enum rc_batch_result rc_batch_settle(struct rc_db *g, struct rc_store_batch *b);
/* All of them get this fault. */
void rc_batch_refuse(struct rc_store_batch *b, enum rc_store_fault fault);

#endif /* RC_STORE_BATCH_H */

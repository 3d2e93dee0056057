/*
 * compress.h - content codings of HTTP bodies: which one a client prefers, and zlib.
 *
 * Threads:   rc_coding_*: any.  A compressor: one at a time.
 * Ownership: a compressor owns its streams, which it keeps for the next body.
 */
#ifndef RC_NET_COMPRESS_H
#define RC_NET_COMPRESS_H

#include "rc/base/buf.h"
#include "rc/base/err.h"
#include "rc/net/http.h"

enum rc_coding { RC_CODING_NONE, RC_CODING_GZIP, RC_CODING_DEFLATE };

/* "gzip", "deflate"; "" for NONE. */
const char *rc_coding_name(enum rc_coding coding);
/* The coding that Accept-Encoding prefers among GZIP and, if with_deflate, DEFLATE; GZIP when
 * it likes both the same. NONE when it names neither, nor *, or has no such header. */
enum rc_coding rc_coding_choose(const struct rc_http_req *req, bool with_deflate);

struct rc_compressor;

struct rc_compressor *rc_compressor_new(void);
void rc_compressor_free(struct rc_compressor *z); /* NULL is fine */
/* Appends the compressed body to out. level is zlib's, 1 to 9. RC_ENOMEM: out is spoilt. */
int rc_compress(struct rc_compressor *z, enum rc_coding coding, int level, struct rc_str body,
                struct rc_buf *out) RC_MUSTCHECK;

#endif /* RC_NET_COMPRESS_H */

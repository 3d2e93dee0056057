/*
 * deflate.h - permessage-deflate (RFC 7692), sans-I/O: what is agreed, and the bytes.
 *
 * The server compresses each message by itself and always says so (server_no_context_takeover):
 * a compressed frame depends on nothing before it, so that one frame serves all receivers, and
 * one compressor all connections of a thread. A client may be let refer to its earlier messages
 * (context takeover); that costs memory per connection, and is off unless the configuration
 * says otherwise.
 *
 * Threads:   any, one at a time per object.
 * Ownership: whoever made a compressor or decompressor frees it.
 */
#ifndef RC_NET_DEFLATE_H
#define RC_NET_DEFLATE_H

#include "rc/base/buf.h"
#include "rc/base/err.h"
#include "rc/base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct rc_http_req;

/* ---- negotiation ---- */

enum { RC_DEFLATE_BITS_MIN = 8, RC_DEFLATE_BITS_MAX = 15 };

/* What the server insists on. */
struct rc_deflate_policy {
    uint8_t client_bits; /* 8 to 15: largest window of a client that lets us choose */
    bool client_takeover;
};

/* What was agreed, which is what the answer says. */
struct rc_deflate_params {
    bool on;
    bool client_takeover;
    uint8_t server_bits; /* 8 to 15; 0: nothing was said, which means 15 */
    uint8_t client_bits;
};

/* Reads one Sec-WebSocket-Extensions header. RC_OK: the first offer in it that can be accepted is
 * in *p; RC_ENOENT: there is none (declined, the connection goes on without); RC_EPROTO: the
 * header breaks the grammar (nothing in it is to be accepted). */
int rc_deflate_offer(struct rc_str header, const struct rc_deflate_policy *policy,
                     struct rc_deflate_params *p) RC_MUSTCHECK;
/* The same with all such headers of a request: the first acceptable offer, if none of them breaks
 * the grammar, or else p->on is false. */
void rc_deflate_negotiate(const struct rc_http_req *req, const struct rc_deflate_policy *policy,
                          struct rc_deflate_params *p);
/* Appends the value of the answering header. */
void rc_deflate_answer(const struct rc_deflate_params *p, struct rc_buf *out);

/* ---- out ---- */

/* Windows that are compressed for: as many forms of a message there can be. Each client gets the
 * largest that it can take. */
enum rc_deflate_window {
    RC_DEFLATE_SMALL = 1, /* 256 bytes */
    RC_DEFLATE_MIDDLE,    /* 4 KiB */
    RC_DEFLATE_FULL,      /* 32 KiB */
    RC_DEFLATE_WINDOWS,
};
enum rc_deflate_window rc_deflate_window(const struct rc_deflate_params *p);

/* level: 1 to 9. Messages shorter than threshold are not worth it. */
struct rc_deflater *rc_deflater_new(int level, uint64_t threshold);
void rc_deflater_free(struct rc_deflater *d);
bool rc_deflater_wants(const struct rc_deflater *d, size_t len);
/* The payload of a message's only frame, to be sent with RSV1; valid until the next call. NULL
 * when it would not be shorter than the message. */
struct rc_str rc_deflater_run(struct rc_deflater *d, enum rc_deflate_window window,
                              struct rc_str message);
/* Gives back what a long message has made grow. */
void rc_deflater_trim(struct rc_deflater *d);

/* ---- in ---- */

/* A decompressor, for a client's window of 2^bits bytes. It takes about 7 KB, and the window from
 * the first message on. NULL: out of memory. */
struct rc_inflater *rc_inflater_new(unsigned bits);
void rc_inflater_free(struct rc_inflater *f);
/* Decompresses a piece of a message and appends to out, which has a max: it never gets longer,
 * nor allocates more. RC_OK; RC_EPROTO: this is no compressed message; RC_ELIMIT: it is longer
 * than out->max; RC_ENOMEM. After an error only rc_inflater_free may follow. */
int rc_inflater_feed(struct rc_inflater *f, const void *data, size_t len,
                     struct rc_buf *out) RC_MUSTCHECK;
/* The message is complete. RC_EPROTO: it was cut off. The next message may refer to this one. */
int rc_inflater_end(struct rc_inflater *f, struct rc_buf *out) RC_MUSTCHECK;

#endif /* RC_NET_DEFLATE_H */

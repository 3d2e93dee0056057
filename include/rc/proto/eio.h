/*
 * eio.h - Engine.IO v4 packets and polling payloads (engine.io-protocol, revision 4).
 *
 * A packet is one digit and its data; binary data has no digit: over WebSocket it is a binary
 * frame, in a polling payload it is 'b' and base64. A payload is packets joined by 0x1E.
 *
 * Threads:   any.
 * Ownership: slices point into the caller's bytes.
 */
#ifndef RC_PROTO_EIO_H
#define RC_PROTO_EIO_H

#include "rc/base/buf.h"
#include "rc/base/err.h"
#include "rc/base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum rc_eio_type {
    RC_EIO_OPEN = 0,
    RC_EIO_CLOSE = 1,
    RC_EIO_PING = 2,
    RC_EIO_PONG = 3,
    RC_EIO_MESSAGE = 4,
    RC_EIO_UPGRADE = 5,
    RC_EIO_NOOP = 6,
};

/* Handshake and request errors: the code and message of the JSON body. X(name, code, text) */
#define RC_EIO_ERROR_MAP(X)                                   \
    X(RC_EIO_UNKNOWN_TRANSPORT, 0, "Transport unknown")       \
    X(RC_EIO_UNKNOWN_SID, 1, "Session ID unknown")            \
    X(RC_EIO_BAD_HANDSHAKE_METHOD, 2, "Bad handshake method") \
    X(RC_EIO_BAD_REQUEST, 3, "Bad request")                   \
    X(RC_EIO_FORBIDDEN, 4, "Forbidden")                       \
    X(RC_EIO_UNSUPPORTED_VERSION, 5, "Unsupported protocol version")
enum rc_eio_error {
#define RC_EIO_ERROR_ENUM(name, code, text) name = code,
    RC_EIO_ERROR_MAP(RC_EIO_ERROR_ENUM)
#undef RC_EIO_ERROR_ENUM
};
const char *rc_eio_error_text(enum rc_eio_error e);

struct rc_eio_packet {
    enum rc_eio_type type;
    bool binary;        /* always a MESSAGE */
    struct rc_str data; /* text: after the digit; binary: the bytes */
};

/* One packet from a text WebSocket message. RC_EPROTO when empty, of unknown type or in bad
 * base64: a client that asked for b64=1 sends binary data as 'b' and base64 here too, which is
 * decoded in place (the message must be writable). */
int rc_eio_parse_text(struct rc_str msg, struct rc_eio_packet *out) RC_MUSTCHECK;
/* The same without base64: a digit and text, which versions 3 and 4 write alike. */
int rc_eio_parse_plain(struct rc_str msg, struct rc_eio_packet *out) RC_MUSTCHECK;

/* Walks a polling payload: *rest starts as the whole body and shrinks; base64 packets are
 * decoded in place (the body must be writable, and UTF-8 is to be checked before). Returns 1
 * with *out set, 0 at the end, or RC_EPROTO (unknown type, bad base64, an empty packet, an empty
 * body); after 0 or an error *rest is of no more use. */
int rc_eio_payload_next(struct rc_str *rest, struct rc_eio_packet *out) RC_MUSTCHECK;

/* Appends a packet to a polling payload, with the separator when the payload is not empty. */
void rc_eio_payload_put(struct rc_buf *payload, const struct rc_eio_packet *p);

/* Appends the open packet 0{"sid":…} with exactly the five keys of the reference, in its order.
 * Times in ms, max_payload in bytes. */
struct rc_eio_open {
    struct rc_str sid;
    bool upgrade_websocket; /* upgrades is ["websocket"], else [] */
    uint32_t ping_interval_ms, ping_timeout_ms;
    uint32_t max_payload;
};
void rc_eio_put_open(struct rc_buf *out, const struct rc_eio_open *o);

#endif /* RC_PROTO_EIO_H */

/*
 * eio3.h - Engine.IO v3 packets and polling payloads (engine.io-protocol, revision 3).
 *
 *   text packet      <type digit><data>; binary data: b<type digit><base64>
 *   binary packet    <type byte><data>, a WebSocket message of its own
 *   text payload     <length>:<text packet>...        length in UTF-16 code units
 *   binary payload   <0: text, else: binary><length, a byte for each digit><255><packet>...
 *                    length in bytes
 *
 * In a packet only MESSAGE may be binary: of other types the binary data is left out, and one of
 * no known type is a NOOP, as the reference server ignores it.
 *
 * Threads:   any.
 * Ownership: slices point into the caller's bytes.
 */
#ifndef RC_PROTO_EIO3_H
#define RC_PROTO_EIO3_H

#include "rc/proto/eio.h"

/* One packet from a text or a binary WebSocket message. RC_EPROTO: empty or of unknown type (a
 * text), or in bad base64, which is decoded in place: the message must be writable. */
int rc_eio3_parse_text(struct rc_str msg, struct rc_eio_packet *out) RC_MUSTCHECK;
void rc_eio3_parse_binary(struct rc_str msg, struct rc_eio_packet *out);

/* Walks a text payload, which must be writable, and valid UTF-8: *rest starts as the whole body and
 * shrinks. Returns 1 with *out set, 0 at the end, or RC_EPROTO (a bad packet, a length that is
 * not plain digits or not that of a packet, an empty body); after 0 or an error *rest is of no
 * more use. A packet of length 0 is skipped. */
int rc_eio3_text_next(struct rc_str *rest, struct rc_eio_packet *out) RC_MUSTCHECK;
/* The same for a binary payload: its bytes may be any, texts in it are checked. An empty body
 * has no packets. */
int rc_eio3_binary_next(struct rc_str *rest, struct rc_eio_packet *out) RC_MUSTCHECK;

/* Append a packet to a payload. */
void rc_eio3_text_put(struct rc_buf *payload, const struct rc_eio_packet *p);
void rc_eio3_binary_put(struct rc_buf *payload, const struct rc_eio_packet *p);

#endif /* RC_PROTO_EIO3_H */

/*
 * msgpack.h - Socket.IO packets as socket.io-msgpack-parser writes them, to and from canonical text.
 *
 *   {"type":2,"data":["name",1,<bin>],"options":{},"nsp":"/","id":7}      one binary message
 *   51-7["name",1,{"_placeholder":true,"num":0}], and <bin> behind it     the canonical packet
 *
 * Behind this door everything is canonical: rules, rooms and clients of the other parser see no
 * difference. What JSON cannot say becomes what JSON.stringify makes of it: undefined is left out
 * of a map and null in an array, NaN and the infinities are null, a Date is its ISO text. Only the
 * digits of 64-bit integers all stay. The bytes themselves are read and written by msgpack-c.
 *
 * Threads:   any.
 * Ownership: slices point into the caller's bytes and buffer.
 */
#ifndef RC_PROTO_MSGPACK_H
#define RC_PROTO_MSGPACK_H

#include "rc/base/buf.h"
#include "rc/base/err.h"
#include "rc/base/str.h"
#include "rc/proto/sio.h"

struct rc_msgpack_packet {
    struct rc_str text; /* for rc_sio_parse(), which checks all that is not said below */
    unsigned nattachments;
    struct rc_str attachment[RC_SIO_ATTACHMENTS_MAX]; /* slices of the message */
};

/* Reads one message, which is exactly one map with an integer type from 0 to 4, a string nsp that
 * begins with a slash and has no comma, and perhaps an integer id and data; other keys are read
 * over. All strings must be UTF-8; keys are strings, or integers, booleans or nil, as text. buf is
 * emptied; the text lies in it. RC_OK; RC_EPROTO; RC_ELIMIT with *why the name of the limit's INI
 * key, else NULL: "json_depth", "max_attachments", "max_namespace_length", or "max_payload" for a
 * text over lim->max_text (of one byte come up to six) or that there is no memory for. */
int rc_msgpack_decode(struct rc_str message, const struct rc_sio_limits *lim,
                      struct rc_buf *buf, struct rc_msgpack_packet *out,
                      const char **why) RC_MUSTCHECK;

/* The same of a packet as nodes pass it on (docs/cluster.md), which notepack.io 3 writes: a Date is an
 * extension of type -1. Without nsp it is of "/", and types 5 and 6 stand for 2 and 3. */
int rc_msgpack_decode_bus(struct rc_str message, const struct rc_sio_limits *lim,
                          struct rc_buf *buf, struct rc_msgpack_packet *out,
                          const char **why) RC_MUSTCHECK;

/* Appends a canonical packet that was validated before as one message, its keys in
 * the reference's order.
 * Integers are integers when 64 bits hold them, other numbers float 64; the order of keys is kept.
 * RC_EPROTO: the text is no packet, or refers to an attachment that is not there. */
int rc_msgpack_encode(struct rc_str text, const struct rc_str *attachment,
                      unsigned nattachments, struct rc_buf *out) RC_MUSTCHECK;

#endif /* RC_PROTO_MSGPACK_H */

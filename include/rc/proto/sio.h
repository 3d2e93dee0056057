/*
 * sio.h - Socket.IO v5 packets (socket.io-protocol, revision 5): text head plus JSON.
 *
 *   <type>[<attachments>-][<namespace>,][<ack id>][JSON]
 *
 * Threads:   any.
 * Ownership: slices point into the caller's bytes.
 */
#ifndef RC_PROTO_SIO_H
#define RC_PROTO_SIO_H

#include "rc/base/buf.h"
#include "rc/base/err.h"
#include "rc/base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum rc_sio_type {
    RC_SIO_CONNECT = 0,
    RC_SIO_DISCONNECT = 1,
    RC_SIO_EVENT = 2,
    RC_SIO_ACK = 3,
    RC_SIO_CONNECT_ERROR = 4,
    RC_SIO_BINARY_EVENT = 5,
    RC_SIO_BINARY_ACK = 6,
};

#define RC_SIO_ID_MAX ((UINT64_C(1) << 53) - 1)

enum { RC_SIO_ARGS_MAX = 32, RC_SIO_ATTACHMENTS_MAX = 32 };

struct rc_sio_limits {
    unsigned max_depth;       /* JSON nesting */
    unsigned max_attachments; /* the reference allows 10; <= RC_SIO_ATTACHMENTS_MAX */
    unsigned max_args;        /* after the event name; <= RC_SIO_ARGS_MAX */
    uint64_t max_id;          /* of an ack, at most 2^53 - 1; 0 means that too */
    size_t max_nsp;           /* bytes of the namespace name */
    size_t max_event;         /* bytes of the event name */
    size_t max_text;          /* bytes of the packet, when it was MessagePack: see msgpack.h */
    bool nsp_query; /* revision 4: a ?query may follow the namespace's name, of which it is no
                     * part; in revision 5 it is */
};

struct rc_sio_packet {
    enum rc_sio_type type;
    unsigned attachments; /* that follow as binary messages; BINARY_* only */
    struct rc_str nsp;    /* "/" when omitted */
    struct rc_str query;  /* behind the '?', with nsp_query */
    bool has_id;
    uint64_t id;        /* at most RC_SIO_ID_MAX, a larger one is RC_EPROTO; 0 without has_id */
    struct rc_str data; /* the JSON, empty when absent */
    /* EVENT and BINARY_EVENT: event[0] as raw JSON (a string or a number), arg[] the rest.
     * ACK and BINARY_ACK: arg[] all elements. Raw slices, byte for byte. */
    struct rc_str event;
    unsigned nargs; /* <= RC_SIO_ARGS_MAX */
    struct rc_str args[RC_SIO_ARGS_MAX];
    struct rc_str args_raw;    /* from the first argument to the last, with what is between */
    uint32_t placeholder_seen; /* bit n: attachment n is referred to */
};

/* Parses and validates the data of one Engine.IO MESSAGE (without its '4'). Validity is that of
 * the reference decoder: CONNECT data absent or an object; DISCONNECT none; EVENT a non-empty
 * array that starts with a number or a string that is no reserved name (connect, connect_error,
 * disconnect, disconnecting, newListener, removeListener); ACK an array; CONNECT_ERROR a string
 * or an object. Stricter than the reference: an event, an ack and an error must have their data,
 * numbers in the head are plain digits, no white space follows the head, and the num of a
 * placeholder is one too. *why is NULL unless a limit is exceeded, and *out is valid only after
 * RC_OK. Returns RC_OK; RC_EPROTO; RC_ELIMIT with *why the name of the limit's INI key
 * ("json_depth", "max_attachments", "max_args", "max_namespace_length", "max_event_length", "max_ack_id"). */
int rc_sio_parse(struct rc_str text, const struct rc_sio_limits *lim, struct rc_sio_packet *out,
                 const char **why) RC_MUSTCHECK;

/* Appends a query as a JSON object of strings, decoded as URLSearchParams does it. A key that
 * occurs twice is there twice: the last one counts. */
void rc_sio_put_query(struct rc_buf *out, struct rc_str query);

/* The head of a packet of our own, and what follows it, neither cut nor checked. */
struct rc_sio_head {
    enum rc_sio_type type;
    unsigned attachments; /* <= RC_SIO_ATTACHMENTS_MAX */
    struct rc_str nsp;
    bool has_id;
    uint64_t id;
    struct rc_str data;
};
int rc_sio_split(struct rc_str text, struct rc_sio_head *out) RC_MUSTCHECK;

/* Is this event name, as raw JSON, one that the protocol keeps for itself? */
bool rc_sio_event_reserved(struct rc_str event);

/* Appends the head of a packet, beginning with the Engine.IO '4': "451-/nsp,17". The JSON is
 * appended by the caller. has_id false leaves the id out. */
void rc_sio_put_head(struct rc_buf *out, enum rc_sio_type type, unsigned attachments,
                     struct rc_str nsp, bool has_id, uint64_t id);

/* Appends JSON that was validated, and that refers to the first nattachments attachments, as one that refers
 * to as many from `first` on. */
void rc_sio_put_moved(struct rc_buf *out, struct rc_str json, unsigned nattachments,
                      unsigned first);

#endif /* RC_PROTO_SIO_H */

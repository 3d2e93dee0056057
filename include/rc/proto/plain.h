/*
 * plain.h - the messages of json endpoints: JSON objects with a "type", to and from Socket.IO.
 *
 *   client:  {"type":"chat","ack":7,"room":"a"}       chat with one argument, {"room":"a"}
 *            {"type":"chat","args":["a",1]}           chat with these arguments
 *   server:  {"type":"chat","room":"a"}               the same events, the other way
 *            {"type":"ack","ack":7,"ok":true}         the acknowledgement with one argument
 *
 * docs/protocol.md has all of it.
 *
 * Threads:   any.
 * Ownership: slices point into the caller's bytes.
 */
#ifndef RC_PROTO_PLAIN_H
#define RC_PROTO_PLAIN_H

#include "rc/base/buf.h"
#include "rc/base/err.h"
#include "rc/base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- from the client ---- */

/* X(id, code told to clients, text) */
#define RC_PLAIN_FAULT_MAP(X)                                                  \
    X(NONE, "", "")                                                            \
    X(JSON, "bad_json", "a message must be a JSON object")                     \
    X(DEPTH, "too_deep", "limit limits.json_depth is reached")                 \
    X(NO_TYPE, "no_type", "a message needs a type, which is a string")         \
    X(RESERVED, "bad_type", "this type is reserved")                           \
    X(ACK, "bad_ack", "ack must be a whole number from 0 to 9007199254740991") \
    X(ASK, "bad_ask", "an answer needs ask, the number of the question")

enum rc_plain_fault {
#define RC_PLAIN_FAULT_ENUM(id, code, text) RC_PLAIN_##id,
    RC_PLAIN_FAULT_MAP(RC_PLAIN_FAULT_ENUM)
#undef RC_PLAIN_FAULT_ENUM
};

const char *rc_plain_fault_code(enum rc_plain_fault fault);
const char *rc_plain_fault_text(enum rc_plain_fault fault);

enum rc_plain_kind {
    RC_PLAIN_EVENT,
    RC_PLAIN_AUTH,
    RC_PLAIN_PING,
    RC_PLAIN_ANSWER, /* to a question, that is an event with "ask" */
};

struct rc_plain {
    enum rc_plain_kind kind;
    struct rc_str type; /* raw JSON, a string */
    bool has_ack;
    uint64_t ack, ask;   /* at most RC_SIO_ID_MAX */
    struct rc_str args;  /* the array, when there is nothing else; or empty */
    struct rc_str whole; /* the object */
};

/* text must be UTF-8. After a fault only has_ack and ack are good. */
enum rc_plain_fault rc_plain_parse(struct rc_str text, unsigned max_depth,
                                   struct rc_plain *out) RC_MUSTCHECK;
/* Appends what the object says: without type, ack, and the ask of an answer. */
void rc_plain_put_object(const struct rc_plain *m, struct rc_buf *out);
/* Appends the arguments, separated by commas: args, or else the object as the only one. */
void rc_plain_put_args(const struct rc_plain *m, struct rc_buf *out);

/* ---- to the client ---- */

/* Events of one namespace whose only argument is sent as it is, when it is an object. */
struct rc_plain_untyped {
    struct rc_str nsp;
    const struct rc_str *event;
    unsigned n;
};

/* Appends the message that a packet is: one of our own, valid, without the '4' of Engine.IO, with
 * as many attachments as its head says. */
void rc_plain_encode(struct rc_str packet, const struct rc_str *attachment,
                     const struct rc_plain_untyped *untyped, unsigned nuntyped,
                     struct rc_buf *out);

#endif /* RC_PROTO_PLAIN_H */

/*
 * wire.h - what nodes say to each other by Redis, in the words of @socket.io/redis-adapter 8: bytes of
 * MessagePack and texts of JSON, to and from what bus.h has. docs/cluster.md has the whole format.
 *
 * Threads:   any.
 * Ownership: slices of what is read point into the message and the reader's buffers.
 */
#ifndef RC_CLUSTER_WIRE_H
#define RC_CLUSTER_WIRE_H

#include "rc/base/buf.h"
#include "rc/base/err.h"
#include "rc/base/str.h"
#include "rc/broker/bus.h"

#include <stdbool.h>
#include <stdint.h>

enum rc_wire_type {
    RC_WIRE_SOCKETS,
    RC_WIRE_ALL_ROOMS,
    RC_WIRE_REMOTE_JOIN,
    RC_WIRE_REMOTE_LEAVE,
    RC_WIRE_REMOTE_DISCONNECT,
    RC_WIRE_REMOTE_FETCH,
    RC_WIRE_SERVER_SIDE_EMIT,
    RC_WIRE_BROADCAST,
    RC_WIRE_CLIENT_COUNT,
    RC_WIRE_BROADCAST_ACK,
    RC_WIRE_NO_TYPE,
};

/* ---- broadcasts: [uid, packet, {rooms, except, flags}] ---- */

/* What is read is put together here; zeroed, and used again for the next one. */
struct rc_wire_reader {
    struct rc_buf text, whole;
    struct rc_sio_limits limits; /* set by rc_wire_reader_init */
};
void rc_wire_reader_init(struct rc_wire_reader *r);
void rc_wire_reader_deinit(struct rc_wire_reader *r);

/* Appends one. RC_EPROTO: m is no packet after all. */
int rc_wire_put_broadcast(struct rc_buf *to, struct rc_str uid,
                          const struct rc_bus_message *m) RC_MUSTCHECK;
/* Only whose it is: RC_EPROTO when it is no broadcast. */
int rc_wire_read_uid(struct rc_str bytes, struct rc_str *uid) RC_MUSTCHECK;
/* *m is emptied first. RC_EPROTO, RC_ELIMIT: it is none, or no client could be sent it. */
int rc_wire_read_broadcast(struct rc_wire_reader *r, struct rc_str bytes, struct rc_str *uid,
                           struct rc_bus_message *m) RC_MUSTCHECK;

/* ---- requests: objects of JSON or maps of MessagePack ---- */

struct rc_wire_request {
    enum rc_wire_type type;
    struct rc_buf uid; /* who asks; empty: it does not say */
    struct rc_buf id;  /* what answers name; empty: none is awaited */
    struct rc_bus_message
        m; /* BROADCAST: the packet. Whom it is about: m.to, without a namespace */
    struct rc_bus_list rooms; /* REMOTE_JOIN, REMOTE_LEAVE: where to and from */
    bool close;               /* REMOTE_DISCONNECT: the connections, too */
    uint32_t timeout_ms;      /* BROADCAST: 0: it does not say */
};

/* *q, zeroed at first, is emptied and filled. RC_EPROTO, RC_ELIMIT: it is none. */
int rc_wire_read_request(struct rc_wire_reader *r, struct rc_str bytes,
                         struct rc_wire_request *q) RC_MUSTCHECK;
void rc_wire_request_reset(struct rc_wire_request *q);
void rc_wire_request_deinit(struct rc_wire_request *q);

/* Appends {type: 9, requestId, packet: the first argument of an acknowledgement}. args: a JSON array that
 * was validated, which may refer to the attachments. RC_EPROTO: it refers to others. */
int rc_wire_put_ack(struct rc_buf *to, struct rc_str id, struct rc_str args,
                    const struct rc_str *attachment, unsigned nattachments) RC_MUSTCHECK;

/* Appends {uid, requestId, type: 7, packet: m without an id, opts}. */
int rc_wire_put_question(struct rc_buf *to, struct rc_str uid, struct rc_str id,
                         const struct rc_bus_message *m, uint32_t timeout_ms) RC_MUSTCHECK;

/* What answers a request of this node. */
struct rc_wire_response {
    enum rc_wire_type type; /* CLIENT_COUNT or BROADCAST_ACK; NO_TYPE: another one */
    struct rc_buf id;
    uint32_t count;     /* CLIENT_COUNT */
    struct rc_str args; /* BROADCAST_ACK: an array of JSON with one element */
    struct rc_str attachment[RC_SIO_ATTACHMENTS_MAX];
    unsigned nattachments;
};

/* *a, zeroed at first, is emptied and filled. RC_EPROTO, RC_ELIMIT: it is none. */
int rc_wire_read_response(struct rc_wire_reader *r, struct rc_str bytes,
                          struct rc_wire_response *a) RC_MUSTCHECK;
void rc_wire_response_deinit(struct rc_wire_response *a);

/* ---- of wire.c and request.c, for each other and for entry.c ---- */

int rc_wire_read_list(struct rc_str whole, struct rc_bus_list *l) RC_MUSTCHECK;
int rc_wire_read_packet(struct rc_wire_reader *r, struct rc_str bytes,
                        struct rc_bus_message *m) RC_MUSTCHECK;
/* A packet as text, with its attachments, which are borrowed: RC_EPROTO when it is no event. */
int rc_wire_take_packet(struct rc_str text, const struct rc_str *attachment,
                        unsigned nattachments, struct rc_bus_message *m) RC_MUSTCHECK;
/* {rooms, except, flags}, whose names are added to those of m. */
int rc_wire_read_opts(struct rc_str opts, struct rc_bus_message *m) RC_MUSTCHECK;
void rc_wire_put_opts(struct rc_buf *to, const struct rc_bus_message *m, uint32_t timeout_ms);
/* An array of strings or numbers, validated; or nothing. */
int rc_wire_read_names(struct rc_str array, struct rc_bus_list *l) RC_MUSTCHECK;
/* Appends the packet of m without the id that it has here, which is for its receivers alone. */
int rc_wire_put_packet(struct rc_buf *to, const struct rc_bus_message *m) RC_MUSTCHECK;
/* What a client has answered: to args and attachment. */
int rc_wire_read_answer(struct rc_wire_reader *r, struct rc_str packet,
                        struct rc_wire_response *a) RC_MUSTCHECK;
/* Appends the first item of a JSON array, which may refer to the attachments, or nil. */
int rc_wire_put_first(struct rc_buf *to, struct rc_str args, const struct rc_str *attachment,
                      unsigned nattachments) RC_MUSTCHECK;

#endif /* RC_CLUSTER_WIRE_H */

/*
 * ws.h - the server side of the WebSocket frame protocol, sans-I/O (RFC 6455).
 *
 * The decoder works on whatever bytes have arrived, unmasks them in place and hands out data
 * messages in pieces: a small message that arrived whole is one piece that is first and last,
 * so the common case needs no buffer. Text is checked as it arrives (fail fast).
 *
 * Threads:   any, one at a time per object.
 * Ownership: event slices point into the caller's bytes.
 */
#ifndef RC_NET_WS_H
#define RC_NET_WS_H

#include "rc/base/buf.h"
#include "rc/base/err.h"
#include "rc/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rc_ws_opcode {
    RC_WS_CONT = 0,
    RC_WS_TEXT = 1,
    RC_WS_BINARY = 2,
    RC_WS_CLOSE = 8,
    RC_WS_PING = 9,
    RC_WS_PONG = 10,
};

/* RFC 6455 section 7.4.1 */
enum {
    RC_WS_NORMAL = 1000,
    RC_WS_GOING_AWAY = 1001,
    RC_WS_PROTOCOL_ERROR = 1002,
    RC_WS_UNSUPPORTED = 1003,
    RC_WS_NO_STATUS = 1005,
    RC_WS_BAD_DATA = 1007,
    RC_WS_POLICY = 1008,
    RC_WS_TOO_BIG = 1009,
    RC_WS_INTERNAL = 1011,
};

/* What must be remembered between reads. Zeroed, then max_message set, is a fresh decoder. */
struct rc_ws_decoder {
    uint64_t left;        /* payload bytes of the current data frame still to come */
    uint64_t message_len; /* bytes of the current message so far, all fragments */
    uint32_t max_message; /* a longer message ends in 1009; 0 is unlimited */
    uint32_t utf8;        /* decoder state between pieces, see base/utf8.h */
    uint8_t mask[4];      /* of the current frame, rotated to the next byte */
    uint8_t opcode;       /* TEXT or BINARY while a message is open, else 0 */
    bool in_frame;        /* inside a data frame's payload */
    bool fin;             /* current frame is the message's last */
    bool started;         /* a piece of the current message was handed out */
    bool compressed;      /* RSV1 on the first frame (only when allow_rsv1) */
    bool allow_rsv1;      /* permessage-deflate was negotiated */
};

/* Between messages: no different from a fresh one. */
static inline bool rc_ws_at_rest(const struct rc_ws_decoder *d)
{
    return d->opcode == 0 && !d->in_frame;
}

enum rc_ws_event_type {
    RC_WS_EV_DATA, /* a piece of a message: opcode, first, last, data */
    RC_WS_EV_PING, /* data: payload to be sent back */
    RC_WS_EV_PONG,
    RC_WS_EV_CLOSE, /* code (1005 when none was sent), data: reason, valid UTF-8 */
};

struct rc_ws_event {
    enum rc_ws_event_type type;
    uint8_t opcode; /* RC_WS_TEXT or RC_WS_BINARY */
    bool first, last;
    bool compressed;
    uint16_t code;
    struct rc_str data;
};

/* Decodes one event from data (unmasked in place). Returns the bytes consumed (> 0; ev->data
 * may be empty), RC_EAGAIN when the bytes do not make an event yet (nothing was consumed or
 * changed; at most RC_WS_PENDING_MAX bytes can be left over like this), or RC_EPROTO with
 * ev->code the close code to answer with (1002, 1007, 1009). */
int64_t rc_ws_decode(struct rc_ws_decoder *d, uint8_t *data, size_t len,
                     struct rc_ws_event *ev) RC_MUSTCHECK;
enum { RC_WS_PENDING_MAX = 14 + 125 };

/* Writes a server frame's header (unmasked, FIN set) for len payload bytes; 2, 4 or 10 bytes.
 * out must have room for RC_WS_HEADER_MAX. rsv1 marks a compressed message. */
enum { RC_WS_HEADER_MAX = 10 };
size_t rc_ws_header(uint8_t *out, enum rc_ws_opcode op, bool rsv1, uint64_t len);
/* Appends one. */
void rc_ws_put_header(struct rc_buf *to, enum rc_ws_opcode op, bool rsv1, uint64_t len);

/* Writes a whole close frame; code 0 (or 1005) writes one without a body. The reason is cut at
 * 123 bytes on a character border. out must have room for 2 + 125. Returns its length. */
size_t rc_ws_close_frame(uint8_t *out, uint16_t code, struct rc_str reason);

/* A frame that rc_ws_header began, read back: ours, whole and unmasked. */
struct rc_ws_frame {
    uint8_t opcode;
    struct rc_str payload;
    size_t size; /* header and payload */
};
struct rc_ws_frame rc_ws_own_frame(const uint8_t *p);

/* Is this a close code that a peer may send (RFC 6455 section 7.4, IANA registry)? */
bool rc_ws_close_code_valid(unsigned code);

/* Makes ready what rc_ws_accept() needs, or else its first call does. RC_ESYS: there is no SHA-1. */
int rc_ws_init(void) RC_MUSTCHECK;
/* Sec-WebSocket-Accept for a key: 28 characters and a NUL. RC_EPROTO when the key is not
 * base64 of 16 bytes. */
enum { RC_WS_ACCEPT_LEN = 28 };
int rc_ws_accept(struct rc_str key, char out[RC_WS_ACCEPT_LEN + 1]) RC_MUSTCHECK;

#endif /* RC_NET_WS_H */

/*
 * wsin.h - whole WebSocket messages out of the decoder's pieces: gathered, decompressed, checked.
 *
 * A message that came in one piece, uncompressed, is handed out where it lies. Memory for more
 * than that exists from a message's first piece to its last, and longer only for a client that
 * compresses with context takeover.
 *
 * Threads:   any, one at a time per object.
 * Ownership: the struct is the caller's, what it points to its own.
 */
#ifndef RC_NET_WSIN_H
#define RC_NET_WSIN_H

#include "rc/base/buf.h"
#include "rc/net/deflate.h"
#include "rc/net/ws.h"

struct rc_wsin_partial;

struct rc_wsin {
    struct rc_wsin_partial *partial; /* NULL between messages, mostly */
    uint32_t max;
    struct rc_deflate_params deflate;
};

/* For messages of max bytes, also when they were compressed (0: unlimited, not with deflate). */
void rc_wsin_init(struct rc_wsin *in, uint32_t max, const struct rc_deflate_params *deflate);
void rc_wsin_deinit(struct rc_wsin *in);

/* rc_ws_decode(), with a decoder that is remembered only within a message. */
int64_t rc_wsin_decode(struct rc_wsin *in, uint8_t *data, size_t len,
                       struct rc_ws_event *ev) RC_MUSTCHECK;
/* Takes a piece of a message (an RC_WS_EV_DATA). RC_OK: the message is complete, *whole its bytes,
 * which lie in the event or in *hold; the caller frees that after use, whatever has become of
 * `in`. RC_EAGAIN: more is to come. RC_EPROTO, RC_ELIMIT, RC_ENOMEM: it is bad. *hold: empty. */
int rc_wsin_piece(struct rc_wsin *in, const struct rc_ws_event *ev, struct rc_buf *hold,
                  struct rc_str *whole) RC_MUSTCHECK;
/* A message has begun and is not complete; the bytes of it so far. A frame whose head has not come
 * is not known here. */
bool rc_wsin_is_open(const struct rc_wsin *in);
size_t rc_wsin_gathered(const struct rc_wsin *in);
/* The close code for an error of rc_wsin_piece(). */
unsigned rc_wsin_code(int error);

#endif /* RC_NET_WSIN_H */

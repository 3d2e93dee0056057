/*
 * form.h - the wire forms of what a session is sent.
 *
 * Everything is built once as canonical frames: the WebSocket text frame of a Socket.IO v5
 * packet and the binary frames of its attachments. What a client wants otherwise is a pure
 * function of those frames, made once per publication and form on each shard, and shared by all
 * members that want it. Polling payloads are put together from the frames of a session's form.
 *
 * A form is an enum rc_form and, for clients that agreed to permessage-deflate, the window to
 * compress for: RC_FORM_DEFLATE() of it is added. RC_FORM_MSGPACK is a bit, for clients of
 * socket.io-msgpack-parser: a packet and its attachments become one binary frame, to which the rest
 * of the form then applies. RC_FORM_JSON is for clients of json endpoints (rc/proto/plain.h): a packet
 * and its attachments become one text frame.
 *
 * Threads:   that of the deflater.
 * Ownership: rc_form_make returns a reference of the caller's; the frames are borrowed.
 */
#ifndef RC_BROKER_FORM_H
#define RC_BROKER_FORM_H

#include "rc/base/buf.h"
#include "rc/net/deflate.h"
#include "rc/net/outq.h"
#include "rc/proto/plain.h"

#include <stdbool.h>

enum rc_form {
    RC_FORM_FRAMES,      /* as they are */
    RC_FORM_B64,         /* binary frames as text: 'b' and base64 (b64=1 in the handshake) */
    RC_FORM_V3,          /* Engine.IO 3: binary frames begin with the byte of their type */
    RC_FORM_V3_B64,      /* Engine.IO 3: binary frames as text: "b4" and base64 */
    RC_FORM_MSGPACK = 4, /* with FRAMES or B64 */
    RC_FORM_JSON = 6,    /* of a json endpoint */
    RC_FORM_UNTYPED = 7, /* the same, for one that has events without a type */
    RC_FORM_PLAIN = 8,   /* all forms that are not compressed are below this */
    RC_FORM_COUNT = RC_FORM_PLAIN * RC_DEFLATE_WINDOWS,
};
#define RC_FORM_DEFLATE(window) (RC_FORM_PLAIN * (unsigned)(window))

/* What a WebSocket client wants. */
static inline enum rc_form rc_form_of(bool eio3, bool b64)
{
    if (eio3)
        return b64 ? RC_FORM_V3_B64 : RC_FORM_V3;
    return b64 ? RC_FORM_B64 : RC_FORM_FRAMES;
}

/* What forms are made with. */
struct rc_former {
    struct rc_deflater *deflater;
    const struct rc_plain_untyped *untyped; /* of RC_FORM_UNTYPED, by namespace */
    unsigned nuntyped;
};

/* May be the frames themselves. */
struct rc_seg *rc_form_make(const struct rc_former *f, struct rc_seg *frames, unsigned form);

/* Empties a queue of frames into the payload that answers a poll. Without b64 a payload of
 * Engine.IO 3 is bytes when anything in it is: true, it is no text. */
bool rc_form_payload(struct rc_outq *frames, bool eio3, bool b64, struct rc_buf *payload);

#endif /* RC_BROKER_FORM_H */

/*
 * form.h - the wire forms of what a session is sent.
 *
 * Everything is built once as canonical frames: the WebSocket text frame of a Socket.IO v5
 * packet and the binary frames of its attachments. What a client wants otherwise is a pure
 * function of those frames, made once per publication and form on each shard, and shared by all
 * members that want it. Polling payloads are put together from the frames of a session's form.
 *
 * Threads:   any.
 * Ownership: rc_form_make returns a new segment; the frames are borrowed.
 */
#ifndef RC_BROKER_FORM_H
#define RC_BROKER_FORM_H

#include "rc/net/outq.h"

enum rc_form {
    RC_FORM_FRAMES, /* as they are */
    RC_FORM_B64,    /* binary frames as text: 'b' and base64 (b64=1 in the handshake) */
    RC_FORM_COUNT,
};

/* form is not RC_FORM_FRAMES. */
struct rc_seg *rc_form_make(const struct rc_seg *frames, enum rc_form form);

#endif /* RC_BROKER_FORM_H */

/*
 * b64.h - base64 (RFC 4648): the standard alphabet with padding, and the URL-safe one without.
 *
 * Decoding is strict: no white space, no foreign characters, padding exactly as the alphabet
 * asks for it, and the unused bits of the last character zero (so each value has one text).
 *
 * Threads:   any.
 * Ownership: none; output goes to the caller's bytes or buffer.
 */
#ifndef RC_BASE_B64_H
#define RC_BASE_B64_H

#include "rc/base/buf.h"
#include "rc/base/err.h"
#include "rc/base/str.h"

#include <stddef.h>
#include <stdint.h>

enum rc_b64_alphabet {
    RC_B64_STD, /* A-Z a-z 0-9 + /, padded with = */
    RC_B64_URL, /* A-Z a-z 0-9 - _, never padded */
};

/* Room that encoding n bytes takes, with a NUL; an upper bound for RC_B64_URL. */
#define RC_B64_SIZE(n) (((n) + 2) / 3 * 4 + 1)

/* Writes the text and a NUL; returns the length without the NUL. */
size_t rc_b64_encode(enum rc_b64_alphabet abc, const void *p, size_t n, char *out);
void rc_b64_put(struct rc_buf *b, enum rc_b64_alphabet abc, const void *p, size_t n);

/* out must have room for in.len / 4 * 3 + 2 bytes and may be in.p itself. Returns the bytes
 * written, or RC_EPROTO (out is then partly overwritten). */
int64_t rc_b64_decode(enum rc_b64_alphabet abc, struct rc_str in, uint8_t *out) RC_MUSTCHECK;
/* Nothing is appended unless the whole text is valid; RC_ENOMEM when the buffer fails. */
int rc_b64_decode_put(struct rc_buf *b, enum rc_b64_alphabet abc,
                      struct rc_str in) RC_MUSTCHECK;

#endif /* RC_BASE_B64_H */

/*
 * utf8.h - UTF-8 validated in one go or piece by piece (RFC 3629: no surrogates, no overlong
 * forms, nothing above U+10FFFF).
 *
 * Threads: any.
 */
#ifndef RC_BASE_UTF8_H
#define RC_BASE_UTF8_H

#include "rc/base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { RC_UTF8_ACCEPT = 0, RC_UTF8_REJECT = 1 }; /* other states: inside a character */

/* Continues from *state (0 at first). False, and *state RC_UTF8_REJECT, at the first byte that
 * no continuation can make valid. At the end of the text *state must be RC_UTF8_ACCEPT. */
bool rc_utf8_feed(uint32_t *state, const uint8_t *p, size_t n);
bool rc_utf8_valid(struct rc_str s);
/* UTF-16 code units that a valid text takes: JavaScript's length of it. */
size_t rc_utf16_len(struct rc_str s);

#endif /* RC_BASE_UTF8_H */

/*
 * jsonp.h - polling by script tags and forms, for clients of the years before CORS.
 *
 * Threads:   any.
 * Ownership: slices point into the caller's bytes; results are appended to the caller's buffer.
 */
#ifndef RC_PROTO_JSONP_H
#define RC_PROTO_JSONP_H

#include "rc/base/buf.h"
#include "rc/base/err.h"
#include "rc/base/str.h"

#include <stdbool.h>

/* Appends a payload (valid UTF-8) as the script that hands it to callback j, of which only the
 * digits count. */
void rc_jsonp_put(struct rc_buf *out, struct rc_str j, struct rc_str payload);
/* Fills out (reset first) with the payload that a form has posted in its field d. RC_ENOENT:
 * there is no such field, or more than one; RC_ENOMEM. */
int rc_jsonp_take(struct rc_str form, struct rc_buf *out) RC_MUSTCHECK;

#endif /* RC_PROTO_JSONP_H */

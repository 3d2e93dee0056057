/*
 * json.h - JSON text validated and cut into slices without building a tree (RFC 8259).
 *
 * Message payloads are never parsed and printed again: they are checked once and then
 * forwarded byte for byte. Configuration-sized JSON uses jansson instead.
 *
 * Input must be valid UTF-8 already (the WebSocket decoder and rc_utf8_valid see to that);
 * control characters, bad escapes, lone surrogate escapes are as JSON.parse has them: the
 * first two are errors, a lone \uD800 is accepted as JSON.parse accepts it.
 *
 * Threads:   any.
 * Ownership: slices point into the caller's bytes.
 */
#ifndef RC_PROTO_JSON_H
#define RC_PROTO_JSON_H

#include "rc/base/buf.h"
#include "rc/base/err.h"
#include "rc/base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum rc_json_type {
    RC_JSON_INVALID,
    RC_JSON_NULL,
    RC_JSON_TRUE,
    RC_JSON_FALSE,
    RC_JSON_NUMBER,
    RC_JSON_STRING,
    RC_JSON_ARRAY,
    RC_JSON_OBJECT,
};

/* Type by the first byte of a slice that was validated before. */
enum rc_json_type rc_json_type(struct rc_str value);

/* What the walk reports beside validity; zero it, set the limits, pass it by pointer. */
struct rc_json_walk {
    unsigned max_depth;        /* nesting allowed, at most 1024; deeper is RC_ELIMIT */
    unsigned attachments;      /* how many binary attachments the packet announced */
    bool placeholders;         /* look for {"_placeholder":true,"num":N} objects */
    uint32_t placeholder_seen; /* out: bit N set when num N occurred */
    bool placeholder_bad;      /* out: a num not in [0, attachments), or not in plain digits */
};

/* Validates that text is exactly one JSON value with optional white space around it.
 * RC_OK, RC_EPROTO or RC_ELIMIT (depth). */
int rc_json_validate(struct rc_str text, struct rc_json_walk *w) RC_MUSTCHECK;

/* Validates text as one array and cuts it into its top-level elements (without surrounding
 * white space). Returns their number; elements beyond max are validated, counted, and not
 * stored. RC_EPROTO or RC_ELIMIT (depth) on error. */
int rc_json_array(struct rc_str text, struct rc_str *elem, unsigned max,
                  struct rc_json_walk *w) RC_MUSTCHECK;

/* The value of a top-level key of an object that was validated before (the last one wins, as in
 * JSON.parse; keys with escapes are compared decoded). RC_STR_NONE when it is absent. */
struct rc_str rc_json_get(struct rc_str object, struct rc_str key);

/* The next member of an object that was validated before: *rest is the object, and moves behind the
 * value. false: there is none, or *rest was no object. Bytes behind the object do not matter. */
bool rc_json_member(struct rc_str *rest, struct rc_str *key, struct rc_str *value);

/* The next token of a text that was validated before: { } [ ] , : as themselves, '"' for a string
 * (with its quotes), '0' for a number, 't', 'f' and 'n' for the literals; '\0' at the end, *rest
 * being empty then, or where the text is no JSON after all. *rest moves behind the token. */
char rc_json_token(struct rc_str *rest, struct rc_str *token);

/* Appends the content of a JSON string slice (with its quotes) as UTF-8. RC_EPROTO when it is
 * not a string; a lone surrogate becomes U+FFFD. */
int rc_json_string_decode(struct rc_str string, struct rc_buf *out) RC_MUSTCHECK;

/* Compares the content of a JSON string slice (with its quotes), decoded, with a text; false
 * when it is not a string. The length in bytes of the decoded content, 0 when it is not one. */
bool rc_json_string_eq(struct rc_str string, struct rc_str text);
size_t rc_json_string_len(struct rc_str string);

/* Appends text as a JSON string with its quotes; escapes only what must be escaped. */
void rc_json_string_encode(struct rc_str text, struct rc_buf *out);
/* The same without the quotes. */
void rc_json_string_escape(struct rc_str text, struct rc_buf *out);

#endif /* RC_PROTO_JSON_H */

/*
 * template.h - texts and JSON argument lists with {placeholders}, compiled once, filled often.
 *
 *   {1} ... {16}   the event's arguments, counted from 1     {1?}: nothing / null when missing
 *   {1.KEY}        a top-level key of an argument that is an object; {1.KEY?}: nothing / null
 *                  when there is none, no object or no argument
 *   {args}         all arguments (only as a whole argument)  {2..}: the second and all after it
 *   {room} {id} {user} {time} {event} {nsp} {auth.KEY} {claim.KEY}    {{ is a literal brace
 *   {message.id} {message.time}   of the message that was stored last: numbers
 *
 * In a JSON argument list a placeholder that stands for a whole value is filled with the raw
 * bytes of the argument, byte for byte; inside a JSON string, or in a text, it is filled with
 * its text: a string's content, or the digits of a number, true, false, null. {id}, {room},
 * {user}, {event}, {nsp} as a whole value are JSON strings, {time} is a number: milliseconds
 * since 1970. {1.KEY} is filled as an argument is. {auth.KEY} is the value of a top-level key of env.auth, {claim.KEY} one of
 * env.claims; when that is absent, null as a value and nothing in a text. {args} and {2..} with no argument to
 * stand for leave no comma behind. White space between the tokens of a JSON literal is dropped.
 *
 * Threads:   compile: main, before the threads start. fill: any; a template is immutable.
 * Ownership: compile returns a new template, freed with rc_template_free.
 */
#ifndef RC_PROTO_TEMPLATE_H
#define RC_PROTO_TEMPLATE_H

#include "rc/base/buf.h"
#include "rc/base/err.h"
#include "rc/base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct rc_template;

/* What the placeholders are filled from. */
struct rc_template_env {
    const struct rc_str *args; /* raw JSON slices */
    unsigned nargs;
    struct rc_str args_raw; /* first to last argument, commas included: args point into it */
    struct rc_str room, id, user, event, nsp; /* plain text, UTF-8 */
    struct rc_str auth, claims;               /* raw JSON objects, or empty */
    uint64_t time_ms;
    uint64_t message_id,
        message_time_ms; /* of what was stored; id 0: nothing was, they are null */
    /* May be NULL. Of rc_template_hole: they are not known yet, and each place of one is noted here,
     * a digit in the output that is to be replaced. */
    struct rc_buf *holes;
    /* Called for an id that is needed while it is NULL. */
    struct rc_str (*id_of)(void *arg);
    void *id_arg;
    /* Out, may be NULL: after a fault of an argument the key that {N.KEY} names, of the template's
     * bytes; empty when the argument itself is at fault. */
    struct rc_str *key;
};

enum rc_hole_kind { RC_HOLE_ID, RC_HOLE_TIME, RC_HOLE_TIME_TEXT };

/* The byte of an output that stands for what will be known later. */
struct rc_template_hole {
    size_t at; /* in the output's buffer */
    enum rc_hole_kind kind;
};

/* A text (room name, plain message). On a fault returns NULL and writes what is wrong, and what
 * is allowed, into why (512 bytes hold it). */
struct rc_template *rc_template_text(struct rc_str src, char *why, size_t why_len);
/* A list of JSON arguments separated by white space or commas:  "hi {1}" {2} {"at":{time}} */
struct rc_template *rc_template_args(struct rc_str src, char *why, size_t why_len);
void rc_template_free(struct rc_template *t);

bool rc_template_uses_auth(const struct rc_template *t);
bool rc_template_uses_room(const struct rc_template *t);
/* True when it reads {message.id} or {message.time}. */
bool rc_template_uses_message(const struct rc_template *t);
/* True when the result may contain raw arguments, and so placeholders of attachments. */
bool rc_template_passes_args(const struct rc_template *t);
/* True when an argument list is one value, whatever it is filled with. */
bool rc_template_is_value(const struct rc_template *t);
/* True when nothing has to be filled in. */
bool rc_template_is_constant(const struct rc_template *t);
/* The highest argument that {N}, {N?}, {N.KEY} or {N..} names, 0: none; and the highest {N} or
 * {N.KEY}, that is how many arguments an event must have for the filling not to end in RC_ENOENT. */
unsigned rc_template_highest_arg(const struct rc_template *t);
unsigned rc_template_required_args(const struct rc_template *t);

/* Appends the filled text. RC_OK; RC_ENOENT: argument *arg (from 1), or the key that is asked of
 * it, is missing; RC_EINVAL: it is an object or an array where a text is needed (0: an {auth.KEY}
 * or a {claim.KEY} is one). After an error nothing is appended. */
int rc_template_fill_text(const struct rc_template *t, const struct rc_template_env *env,
                          struct rc_buf *out, unsigned *arg) RC_MUSTCHECK;
/* Appends the filled arguments, separated by commas and without brackets. */
int rc_template_fill_args(const struct rc_template *t, const struct rc_template_env *env,
                          struct rc_buf *out, unsigned *arg) RC_MUSTCHECK;

#endif /* RC_PROTO_TEMPLATE_H */

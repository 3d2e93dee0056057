/*
 * number.h - JSON numbers as text, and as values.
 *
 * Threads: any.
 */
#ifndef RC_PROTO_NUMBER_H
#define RC_PROTO_NUMBER_H

#include "rc/base/buf.h"
#include "rc/base/str.h"

#include <stdint.h>

/* Appends v as JSON.stringify writes it: in the fewest digits that read back as v, with an exponent
 * from 1e21 on and below 1e-6; -0 is 0, and null stands for what JSON has no number for. */
void rc_number_put(struct rc_buf *out, double v);

enum rc_number_kind {
    RC_NUMBER_UINT,   /* u: an integer from 0 on */
    RC_NUMBER_INT,    /* i: a negative one */
    RC_NUMBER_DOUBLE, /* d: everything else; infinite when the text is too big for a double */
};
struct rc_number {
    enum rc_number_kind kind;
    union {
        uint64_t u;
        int64_t i;
        double d;
    } v;
};

/* The value of a JSON number that was validated before. It is an integer when 64 bits hold it
 * exactly, however it is written: 1.0, 1e3 and -0 are. */
struct rc_number rc_number_read(struct rc_str text);

#endif /* RC_PROTO_NUMBER_H */

/*
 * micro.h - what is measured: an operation that can be repeated, with what it needs beforehand.
 *
 * Threads:   one.
 * Ownership: the tables are static; an operation frees in `end` what `begin` has made.
 */
#ifndef MICRO_MICRO_H
#define MICRO_MICRO_H

#include <stdint.h>

struct micro_op {
    const char *name;
    const char *unit;    /* what one of them is: "frame", "delivery" */
    unsigned units;      /* of those in one repetition */
    unsigned counted;    /* repetitions under callgrind */
    unsigned timed;      /* repetitions when time is taken */
    void (*begin)(void); /* or NULL */
    void (*run)(unsigned n);
    void (*end)(void); /* or NULL */
};

extern const struct micro_op micro_codec[], micro_rings[], micro_shard[]; /* name NULL ends */

/* Called around what counts; callgrind is told to look at nothing else. */
void micro_measured(const struct micro_op *op, unsigned n);

/* Keeps a result from being optimized away. */
extern volatile uint64_t micro_sink;

/* n simulated connections in one process: bytes for each, ns for each delivery. */
int micro_million(uint32_t n);

#endif /* MICRO_MICRO_H */

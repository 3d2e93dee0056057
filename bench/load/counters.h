/*
 * counters.h - instructions and cycles of the servers, from the processor's own counters.
 *
 * On a noisy machine CPU time varies with what the neighbours do to caches and clocks;
 * instructions hardly do. Where the counters can't be had everything stays 0.
 *
 * Threads:   one thread.
 * Ownership: open takes descriptors, close gives them back.
 */
#ifndef LOAD_COUNTERS_H
#define LOAD_COUNTERS_H

#include "proc.h"

#define LOAD_MAX_COUNTED 128 /* threads of all servers */

/* Instructions lead, cycles follow: read together. -1 where there is none. */
struct load_group {
    int leader, member;
};

struct load_counters {
    struct load_group user[LOAD_MAX_COUNTED], kernel[LOAD_MAX_COUNTED];
    unsigned count;
};

struct load_counts_read {
    uint64_t user_instructions, user_cycles, kernel_instructions, kernel_cycles;
};

/* Starts counting on all threads that the servers have now. */
void load_counters_open(struct load_counters *c, const struct load_pids *pids);
void load_counters_close(struct load_counters *c);
/* Sums since open. */
void load_counters_read(const struct load_counters *c, struct load_counts_read *sum);

#endif /* LOAD_COUNTERS_H */

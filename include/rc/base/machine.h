/*
 * machine.h - what the kernel says of memory: how much there is, and how much of it the process has; and of
 * processors.
 *
 * Threads: any.
 */
#ifndef RC_BASE_MACHINE_H
#define RC_BASE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

/* What the process may have: the least of the machine's memory and of the limits of its control groups
 * (version 2 or 1). 0: unknown. */
uint64_t rc_machine_memory(void);
/* Resident bytes; 0: unknown. */
uint64_t rc_resident_bytes(void);

/* For tests: the same, with folders in place of /proc/self and /sys/fs/cgroup. */
uint64_t rc_cgroup_memory(const char *proc_self, const char *cgroups);

/* How many processors the calling thread may use, 1 or more. */
unsigned rc_machine_processors(void);
/* The calling thread, and threads that it makes, run on that one of them only: nth modulo their number. False:
 * not permitted, or the machine may have more than 1,024; errno is set. */
bool rc_machine_keep_on(unsigned nth);
/* The calling thread runs before all those that have no such right (SCHED_RR, priority 1). False: not permitted,
 * errno is set. */
bool rc_machine_realtime(void);

#endif /* RC_BASE_MACHINE_H */

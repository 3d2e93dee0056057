/*
 * machine.h - what the kernel says of memory: how much there is, and how much of it the process has.
 *
 * Threads: any.
 */
#ifndef RC_BASE_MACHINE_H
#define RC_BASE_MACHINE_H

#include <stdint.h>

/* What the process may have: the least of the machine's memory and of the limits of its control groups
 * (version 2 or 1). 0: unknown. */
uint64_t rc_machine_memory(void);
/* Resident bytes; 0: unknown. */
uint64_t rc_resident_bytes(void);

/* For tests: the same, with folders in place of /proc/self and /sys/fs/cgroup. */
uint64_t rc_cgroup_memory(const char *proc_self, const char *cgroups);

#endif /* RC_BASE_MACHINE_H */

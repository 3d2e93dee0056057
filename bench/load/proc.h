/*
 * proc.h - what the servers under test have used: CPU time of all their threads and memory.
 *
 * Threads:   one thread.
 * Ownership: plain values.
 */
#ifndef LOAD_PROC_H
#define LOAD_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LOAD_MAX_PIDS 16

struct load_pids {
    pid_t pid[LOAD_MAX_PIDS];
    unsigned count;
};

/* One reading; the difference of two is the use in between. */
struct load_usage {
    uint64_t at_ns;
    uint64_t server_ns;  /* all threads, from the scheduler's clock */
    uint64_t user_ticks; /* the split is sampled by the kernel's tick: only a share */
    uint64_t system_ticks;
    uint64_t client_ns;
    uint64_t machine_ns; /* busy time of all processors, 10 ms steps */
    uint64_t switches;   /* context switches of the servers, both kinds */
};

/* Reads "12,34"; false when it is no list of live processes. */
bool load_pids_parse(struct load_pids *pids, const char *text);
void load_usage_read(struct load_usage *u, const struct load_pids *pids);
/* Resident bytes of all processes; 0 when there are none or it can't be read. */
uint64_t load_rss_read(const struct load_pids *pids);
/* The most that they ever had, summed over the processes. */
uint64_t load_rss_peak(const struct load_pids *pids);
uint64_t load_now_ns(void);

#endif /* LOAD_PROC_H */

/*
 * sim.h - a kernel that does nothing: sockets that are numbers, whose input is put there by the
 * caller and whose output goes nowhere.
 *
 * The program's own epoll_ctl, epoll_wait, recv, send, sendmsg, write, writev, shutdown, setsockopt and
 * close come before the C library's, for the broker and for libevent. Numbers below SIM_FIRST go on
 * to the real kernel. The monotonic clock stands still, a day ahead, but for sim_pass(). malloc and its like are counted
 * on their way.
 *
 * Threads:   one.
 * Ownership: input is borrowed until it has been read.
 */
#ifndef MICRO_SIM_H
#define MICRO_SIM_H

#include <stddef.h>
#include <stdint.h>

enum { SIM_FIRST = 1000 };

struct sim_counts {
    uint64_t writes, bytes, reads;
    uint64_t payloads; /* how often a write's first bytes lay elsewhere than the last one's */
    uint64_t allocations; /* malloc, calloc, realloc, aligned_alloc */
    uint64_t closed;
};
extern struct sim_counts sim;

/* Room for n sockets, SIM_FIRST and up; its memory is touched at once, so that it does not grow
 * what is measured later. */
void sim_open(uint32_t n);
void sim_close(void);
void sim_pass(unsigned seconds);
/* These bytes wait on the socket; NULL: the peer has ended its side. At most SIM_WAITING at a time. */
enum { SIM_WAITING = 4096 };
void sim_input(int fd, const void *p, size_t len);
/* How many sockets have input that was not read. */
uint32_t sim_waiting(void);

#endif /* MICRO_SIM_H */

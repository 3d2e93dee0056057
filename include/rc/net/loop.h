/*
 * loop.h - one shard's event loop: libevent, the clock of the turn, timers, the read buffer.
 *
 * A turn is one wait and the callbacks of what was ready; at its end the turn hook runs, where
 * everything that was produced in the turn is written.
 *
 * The loop waits in an epoll instance of its own. Connections are in it directly, named by slot
 * and generation: an event for one that has ended meanwhile is a miss. So is the eventfd by which
 * other threads end the wait. All else (the tick of the timers) are events of libevent, which gets its
 * turn when one of their descriptors is ready. So a connection costs no more than its own struct, and a
 * turn one epoll_wait.
 *
 * Who has been here for a while comes first. Newcomers, and those that have ended, are aside: in a second epoll
 * instance, itself in the first, which gets 100 us of a turn, or a quarter of the time that the others take if that
 * is more. So thousands that come or go at once take longer, and nobody else does; and whatever the
 * others do, a fifth of the time is for who wants in. Timers that are due together (2,000 requests that took too
 * long, 10,000 pings) have as much, 16 of them for each 100 us, and the others go on in the next turn.
 *
 * Threads:   one, the shard's; the event_base has no locks. rc_loop_init may run before.
 * Ownership: owns its event_base and buffers.
 */
#ifndef RC_NET_LOOP_H
#define RC_NET_LOOP_H

#include "rc/base/pool.h"
#include "rc/base/thread.h"
#include "rc/base/timer.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RC_READ_SIZE = 65536,                         /* bytes asked of one recv() */
    RC_READ_BUFFER = RC_READ_SIZE * 2 + (1 << 20) /* left-overs of a connection come first */
};
enum { RC_LOOP_NESTING = 4 };
enum { RC_LOOP_BATCH = 256 }; /* connections with events that get their turn in one turn */
enum {
    RC_LOOP_ASIDE_US = 100
}; /* of a turn, at least, for those that are aside, and for timers */
enum { RC_LOOP_TIMERS = 16 }; /* for each such time, since what they write takes time as well */

typedef void rc_turn_fn(void *arg);
/* Asked before each wait. False: there is work that no descriptor tells of. */
typedef bool rc_may_wait_fn(void *arg);

struct rc_loop {
    struct event_base *base;
    int epfd;          /* what the loop waits for */
    int aside_fd;      /* in it: connections that are aside */
    unsigned nevents;  /* by rc_loop_add(), of libevent, and rc_loop_add_waker() */
    const void *owner; /* what rc_assert_on_shard() compares */
    uint64_t now_ms;   /* monotonic, as of the start of this turn's callbacks */
    bool now_fresh;    /* now_ms was read in this turn */
    uint64_t aside_us; /* what those that are aside, and timers, took of this turn */
    int64_t others_us; /* what others take of one, of late */
    uint8_t *rbuf[RC_LOOP_NESTING]; /* [RC_READ_BUFFER] each, shared by all connections: one
                                       for each level of reading inside on_data */
    unsigned nblocked;              /* connections whose socket took less than there was */
    unsigned nesting;               /* read buffers in use */
    struct rc_pool conns;           /* of struct rc_conn */
    void **dead;                    /* pooled conns to be put back at the end of the turn */
    uint32_t ndead, dead_cap;
    struct rc_timerq **timerq;
    unsigned ntimerqs, timerq_at; /* timerq_at: the first to be looked at */
    bool overdue;                 /* timers are, that the last turn had no time for */
    struct rc_ids ready; /* connections with work that waits for nobody, see rc_conn_later */
    struct rc_timerq q_stall, q_linger; /* of connections that are finishing */
    struct rc_tls **tls; /* [tls_cap] by slot of the connection; NULL: not one is TLS */
    uint32_t tls_cap;
    struct rc_tls_side *tls_side;
    struct rc_timerq q_ticket_keys;
    struct rc_timer ticket_keys;
    struct event *tick; /* wakes the loop for the earliest timer, by tick_fd */
    int tick_fd;
    uint64_t tick_at_ms; /* when tick fires, UINT64_MAX: not armed */
    uint64_t due_ms;     /* no timer is due before */
    bool stop;
};

int rc_loop_init(struct rc_loop *l, const void *owner, uint32_t max_conns) RC_MUSTCHECK;
void rc_loop_deinit(struct rc_loop *l);
/* Adds an event of l->base for reading a descriptor. Before its event_free(): rc_loop_remove(). */
int rc_loop_add(struct rc_loop *l, struct event *ev) RC_MUSTCHECK;
void rc_loop_remove(struct rc_loop *l, struct event *ev);
/* Each write to fd, an eventfd that nobody has to read, ends the loop's wait. */
int rc_loop_add_waker(struct rc_loop *l, int fd) RC_MUSTCHECK;
/* The time that those who are aside have in this turn; and as much timers. */
uint64_t rc_loop_aside_us(const struct rc_loop *l);
/* Registers a queue that the loop expires from now on. */
void rc_loop_add_timerq(struct rc_loop *l, struct rc_timerq *q);
/* Turns until rc_loop_stop(); `turn` runs at the end of each. */
void rc_loop_run(struct rc_loop *l, rc_may_wait_fn *may_wait, rc_turn_fn *turn,
                 void *arg) RC_ON_SHARD;
/* One turn; wait false: only with what is ready already. False: nothing can ever be ready. */
bool rc_loop_turn(struct rc_loop *l, bool wait, rc_turn_fn *turn, void *arg) RC_ON_SHARD;
void rc_loop_stop(struct rc_loop *l) RC_ON_SHARD;
/* Works on the connections that rc_conn_later() named; the loop does so before each turn hook. True: there
 * were some. */
bool rc_loop_ready(struct rc_loop *l) RC_ON_SHARD;
/* Each libevent callback begins with this: checks the thread and reads the clock once a turn. */
void rc_loop_enter(struct rc_loop *l) RC_TSA(assert_capability(rc_role_shard));

#endif /* RC_NET_LOOP_H */

/*
 * load.h - one run of the load generator: its connections, its senders and what it has counted.
 *
 * A connection goes through the states of enum load_state in their order; session.c speaks
 * WebSocket, poll.c speaks HTTP long-polling, conn.c moves the bytes, traffic.c counts.
 *
 * Threads:   one thread does everything.
 * Ownership: struct load owns all connections and senders; they refer to each other by pointer
 *            and live as long as the run.
 */
#ifndef LOAD_LOAD_H
#define LOAD_LOAD_H

#include "counters.h"
#include "hist.h"
#include "options.h"
#include "proc.h"
#include "stamp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* As much of a message as has to be seen at once; the rest of a long one is passed by. */
#define LOAD_HEAD_MAX 256u
#define LOAD_BUF_SIZE (1u << 20)
/* Of one sender: messages whose acks are awaited at most, and the digits of an ack's id. */
#define LOAD_ACKS_MAX 8192u
#define LOAD_ACK_LEN  8u

enum load_state {
    LOAD_CLOSED,
    LOAD_CONNECTING, /* TCP, and TLS */
    LOAD_UPGRADING,  /* the answer to the WebSocket handshake is awaited */
    LOAD_OPENING,    /* Engine.IO open packet */
    LOAD_ENTERING,   /* Socket.IO CONNECT */
    LOAD_JOINING,    /* the ack of joinRoom */
    LOAD_READY,
};

/* What a receiver has had of one sender: the highest number and a bit for each of the last 32. */
struct load_seen {
    uint32_t last;
    uint32_t mask;
};

struct load_sender;

struct load_conn {
    int fd;
    struct ssl_st *tls; /* --tls, from the handshake on */
    enum load_state state;
    uint32_t room;
    uint32_t body;    /* where the message text starts in a payload */
    uint64_t skip;    /* bytes of the current frame that are still to pass by */
    bool has_pending; /* a stamp read from a frame that is not complete yet */
    bool aux;         /* second connection of a polling sender, for its POSTs */
    bool busy;        /* poll: a POST is on the way */
    bool stalled;     /* reads nothing once it is ready */
    uint8_t node;     /* whose port it has; not that of its room's sender: messages cross */
    uint32_t owed;    /* closed loop: messages of `back` that came during this read */
    struct load_stamp pending;
    struct load_seen *seen;   /* one for each sender of the room */
    struct load_sender *tx;   /* NULL when it does not send */
    struct load_sender *back; /* closed loop: whose messages are done when they come here */
    uint64_t due_ns;          /* churn: when it was to start */
    char *part;               /* start of something incomplete */
    size_t part_len, part_cap;
    char *out; /* not yet accepted by the kernel */
    size_t out_len, out_cap;
    char *posts; /* poll: packets for the next POST */
    size_t posts_len, posts_cap;
    char sid[40];
};

struct load_sender {
    struct load_conn *conn; /* where the messages come back */
    struct load_conn *via;  /* where they are sent */
    uint32_t index;
    uint32_t seq;
    char *frame; /* ready to send but for the stamp */
    uint32_t len;
    uint32_t head;  /* bytes before the payload, 0 for polling */
    uint32_t stamp; /* offset of the stamp in the frame */
    /* --ack */
    uint32_t ack;      /* offset of the id */
    uint32_t answered; /* number of the last message that was */
    uint64_t *due;     /* of message i at i % LOAD_ACKS_MAX; 0: it was answered */
};

struct load_counts {
    uint64_t sent;
    uint64_t expected;
    uint64_t delivered; /* each message of each receiver once */
    uint64_t duplicated, disordered, misrouted;
    uint64_t crossed;        /* of the delivered: from one node to another */
    uint64_t acked, refused; /* --ack */
    uint64_t bytes, reads;
    uint64_t churned;
};

struct load {
    const struct load_options *o;
    int epoll;
    struct ssl_ctx_st *tls; /* --tls */
    uint64_t start_ns;
    char *buf;
    struct load_conn *conns;
    struct load_seen *seen;
    struct load_sender *senders;
    uint32_t nconns; /* rooms * members */
    uint32_t nsocks; /* with the second connections of polling senders */
    uint32_t nsenders;
    uint32_t started, ready, failed, closed;
    uint32_t stalled_closed; /* stalled members that the server has closed */
    const char *why;         /* of the first failure */
    int why_errno;
    bool sending;
    volatile bool stop;
    uint64_t window_from_ns, window_to_ns; /* stamps in between count for the latency */
    struct load_counts count;
    char refusal[120]; /* the first ack that said no */
    struct load_hist all, acks, recent;
    struct load_hist near, far; /* several nodes: of one node, from one to another */
};

/* conn.c */
bool load_conn_open(struct load *l, struct load_conn *c);
void load_conn_event(struct load *l, struct load_conn *c, uint32_t events);
void load_conn_send(struct load *l, struct load_conn *c, const void *p, size_t len);
void load_conn_close(struct load *l, struct load_conn *c);
/* Reads what a stalled member has not read, and so whether the server has closed it. */
void load_conn_discard(struct load *l, struct load_conn *c);
/* Counts the failure and closes; why is a constant text. */
void load_conn_fail(struct load *l, struct load_conn *c, const char *why);
void load_conn_ready(struct load *l, struct load_conn *c);
void load_append(char **p, size_t *len, size_t *cap, const void *src, size_t n);

/* tls.c */
/* True once it is done; else it goes on with the next event, or has failed. */
bool load_tls_handshake(struct load *l, struct load_conn *c);
ssize_t load_tls_read(struct load_conn *c, void *to, size_t len);
ssize_t load_tls_write(struct load_conn *c, const void *p, size_t len);
void load_tls_end(struct load_conn *c);
void load_tls_deinit(struct load *l);

/* session.c: WebSocket. Input returns how many bytes it has used. */
void load_session_connected(struct load *l, struct load_conn *c);
size_t load_session_input(struct load *l, struct load_conn *c, const char *p, size_t len);
/* Writes the head of a masked text frame of len bytes; its length. */
size_t load_session_head(uint8_t *dst, size_t len);
/* Writes n bytes of a payload, masked as those from the offset `at` of it are. */
void load_session_mask(char *dst, const char *src, size_t n, size_t at);

/* poll.c: HTTP long-polling. */
void load_poll_connected(struct load *l, struct load_conn *c);
size_t load_poll_input(struct load *l, struct load_conn *c, const char *p, size_t len);
void load_poll_post(struct load *l, struct load_conn *c, const char *packet, size_t len);

/* traffic.c */
bool load_traffic_init(struct load *l);
void load_traffic_deinit(struct load *l);
/* Sends count messages of one sender in one write. */
void load_traffic_send(struct load *l, struct load_sender *s, uint32_t count, uint64_t due_ns);
void load_traffic_received(struct load *l, struct load_conn *c, const struct load_stamp *s,
                           uint64_t now_ns);

/* acks.c */
bool load_acks_init(struct load *l);
/* Puts the id of message s->seq into the frame. False: too many acks are awaited. */
bool load_acks_ask(struct load_sender *s, uint64_t due_ns);
/* p: the n bytes from the id on. */
void load_acks_received(struct load *l, struct load_conn *c, const char *p, size_t n,
                        uint64_t now_ns);

/* report.c */
struct load_result {
    struct load_usage before_setup, after_setup, before, after;
    struct load_usage beside_before[LOAD_MAX_BESIDE], beside_after[LOAD_MAX_BESIDE];
    struct load_counts_read counted_setup, counted;
    uint64_t rss_before, rss_ready, rss_end, rss_peak;
    uint64_t window_delivered, window_crossed, window_acked, window_sent, window_churned,
        window_bytes, window_reads;
    double setup_s;
};
/* Writes both forms; true when nothing was lost, repeated or out of order. */
bool load_report(const struct load *l, const struct load_result *r);

/* run.c: the whole run; false when it could not be set up. */
bool load_run(struct load *l, struct load_result *r);

#endif /* LOAD_LOAD_H */

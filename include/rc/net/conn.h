/*
 * conn.h - one TCP connection on its shard: reading, writing, timing out, ending.
 *
 * Bytes are read into the loop's buffer and handed to the owner's on_data; what it does not
 * consume is kept (a buffer exists only then) and put before the next bytes. A connection ends
 * in one function, rc_conn_close(), with a named reason that is counted.
 *
 * Threads:   the shard that owns the loop.
 * Ownership: the loop's pool owns the struct; it stays readable, with fd -1, until the end of
 *            the turn in which it was closed.
 */
#ifndef RC_NET_CONN_H
#define RC_NET_CONN_H

#include "rc/base/err.h"
#include "rc/net/loop.h"
#include "rc/net/outq.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* Why a connection ended. X(name, text) */
#define RC_CLOSE_MAP(X)                                                                        \
    X(RC_CLOSE_PEER, "peer_closed")                /* the peer closed it */                    \
    X(RC_CLOSE_RESET, "reset")                     /* reset, or another socket error */        \
    X(RC_CLOSE_DONE, "done")                       /* an HTTP exchange ended as agreed */      \
    X(RC_CLOSE_BAD_REQUEST, "bad_request")         /* HTTP that was refused */                 \
    X(RC_CLOSE_HEAD_TIMEOUT, "head_timeout")       /* a request did not arrive in time */      \
    X(RC_CLOSE_IDLE, "idle")                       /* keep-alive without a next request */     \
    X(RC_CLOSE_LINGER_TIMEOUT, "linger_timeout")   /* the peer never closed its side */        \
    X(RC_CLOSE_SLOW, "slow_consumer")              /* over limits.max_queue */                 \
    X(RC_CLOSE_QUEUED_TOTAL, "queued_total")       /* limits.max_queued_total was reached */   \
    X(RC_CLOSE_RATE, "rate")                       /* limits.rate_policy = close */            \
    X(RC_CLOSE_MESSAGE_TIMEOUT, "message_timeout") /* a message did not arrive in time */      \
    X(RC_CLOSE_WS_PROTOCOL, "websocket_protocol") /* a WebSocket frame that breaks RFC 6455 */ \
    X(RC_CLOSE_WS_CLOSED, "websocket_closed")     /* the closing handshake ended it */         \
    X(RC_CLOSE_TOO_BIG, "too_big")                /* a message over max_payload */             \
    X(RC_CLOSE_PARSE, "parse_error")              /* a bad Engine.IO or Socket.IO packet */    \
    X(RC_CLOSE_LIMIT, "limit")                    /* a limit of [limits] */                    \
    X(RC_CLOSE_PING_TIMEOUT, "ping_timeout")      /* no pong */                                \
    X(RC_CLOSE_CONNECT_TIMEOUT, "connect_timeout") /* no namespace was joined */               \
    X(RC_CLOSE_POLL_ABORTED, "poll_aborted")     /* the peer dropped a pending poll or POST */ \
    X(RC_CLOSE_POLL_OVERLAP, "poll_overlap")     /* two polls or two POSTs at once */          \
    X(RC_CLOSE_CLIENT, "client_closed")          /* Engine.IO close packet */                  \
    X(RC_CLOSE_RULE, "disconnected_by_rule")     /* action disconnect = connection */          \
    X(RC_CLOSE_KICKED, "kicked")                 /* an operator ended it */                    \
    X(RC_CLOSE_TOKEN, "token")                   /* none, a wrong one, or it has expired */    \
    X(RC_CLOSE_REFUSED, "refused")               /* a json client may not connect */           \
    X(RC_CLOSE_UPGRADED, "upgraded")             /* polling went over to WebSocket */          \
    X(RC_CLOSE_UPGRADE_FAILED, "upgrade_failed") /* the probe was given up */                  \
    X(RC_CLOSE_MOVED, "moved")                   /* handed to another shard */                 \
    X(RC_CLOSE_SHUTDOWN, "shutdown")             /* the server is stopping */                  \
    X(RC_CLOSE_PROXY, "proxy_header")            /* no PROXY header, or a bad one */           \
    X(RC_CLOSE_PROXY_PEER, "proxy_untrusted")    /* not of server.trusted_proxies */           \
    X(RC_CLOSE_PIPE, "pipe")                     /* the node that it was passed on to did */   \
    X(RC_CLOSE_PIPE_TIMEOUT, "pipe_timeout")     /* that node did not accept it in time */     \
    X(RC_CLOSE_PIPE_TOKEN, "pipe_token")         /* at cluster.listen, but of no node */       \
    X(RC_CLOSE_MEMORY, "out_of_memory")                                                        \
    X(RC_CLOSE_TLS_TIMEOUT, "tls_timeout")    /* a handshake took too long */                  \
    X(RC_CLOSE_TLS_PLAIN, "tls_plain_http")   /* HTTP where TLS was expected */                \
    X(RC_CLOSE_TLS_VERSION, "tls_version")    /* no version that both have */                  \
    X(RC_CLOSE_TLS_CIPHER, "tls_no_cipher")   /* no cipher, group or signature, likewise */    \
    X(RC_CLOSE_TLS_ALPN, "tls_no_http1")      /* the client does not offer http/1.1 */         \
    X(RC_CLOSE_TLS_CLIENT, "tls_client_cert") /* no certificate of its own, or a bad one */    \
    X(RC_CLOSE_TLS_REFUSED, "tls_refused")   /* the client refused, such as our certificate */ \
    X(RC_CLOSE_TLS_PROTOCOL, "tls_protocol") /* what is no TLS, or breaks it */

enum rc_close {
#define RC_CLOSE_ENUM(name, text) name,
    RC_CLOSE_MAP(RC_CLOSE_ENUM)
#undef RC_CLOSE_ENUM
        RC_CLOSE_COUNT,
};
const char *rc_close_text(enum rc_close reason);

struct rc_conn;
struct rc_tls;

struct rc_conn_ops {
    /* Bytes have arrived (data may be written to). Returns how many were used up; the rest comes
     * again, first, with what follows. Must not return a count after closing: return 0 then. */
    size_t (*on_data)(struct rc_conn *c, uint8_t *data, size_t len);
    /* In the place of reading and on_data: it can be read, or has ended. NULL: read it. */
    void (*on_readable)(struct rc_conn *c);
    /* The peer ended its side. */
    void (*on_eof)(struct rc_conn *c);
    /* The TLS handshake is done; may be NULL. */
    void (*on_secure)(struct rc_conn *c, const struct rc_tls *t);
    /* All of *out is written after it had to wait; may be NULL. */
    void (*on_drain)(struct rc_conn *c);
    /* Called once, from rc_conn_close: give up all that refers to the connection. */
    void (*on_close)(struct rc_conn *c, enum rc_close reason);
};

struct rc_addr {
    uint8_t ip[16]; /* IPv4 in the first four */
    uint16_t port;  /* host order */
    uint8_t family; /* AF_INET, AF_INET6, AF_UNIX or 0 */
};

struct rc_conn {
    struct rc_pooled hdr;
    struct rc_loop *loop;
    const struct rc_conn_ops *ops;
    void *user;          /* of the ops */
    struct rc_outq *out; /* the owner's; NULL: nothing to write */
    uint8_t *left;       /* bytes that on_data did not use up yet, malloc'd */
    uint32_t left_len;
    int fd;                /* -1: closed */
    struct rc_timer timer; /* of one of the owner's queues, of the loop's while finishing */
    struct rc_addr peer;
    uint8_t listener;      /* index of the one that it came by: its owner's */
    uint8_t finish_reason; /* enum rc_close */
    bool reading;          /* read interest is on */
    bool writing;          /* write interest is on */
    bool finishing : 1;    /* close when everything is written */
    bool lingering : 1;    /* our side is shut down; reading until the peer's end */
    bool eof : 1;
    bool later : 1;   /* in the loop's list: rc_conn_later() */
    bool secure : 1;  /* TLS: its state is in loop->tls */
    bool broken : 1;  /* a write failed, or nothing is left to do: closed by the loop */
    bool aside : 1;   /* others come first, see loop.h: a newcomer, or it has ended */
    uint16_t since_s; /* since when: low bits of the loop's clock */
    uint32_t ticket;  /* its owner's: what counts it, see broker/admission.h */
};

/* Takes over fd (closed on failure): NULL when the pool is full. Reading is on. It is a newcomer, see loop.h. */
struct rc_conn *rc_conn_new(struct rc_loop *l, int fd, const struct rc_addr *peer,
                            const struct rc_conn_ops *ops, void *user) RC_ON_SHARD;
/* It has said what only a client says: others do not come first any more, if they have for RC_SETTLED_S. */
static inline void rc_conn_settle(struct rc_conn *c) RC_ON_SHARD;
/* It speaks TLS from now on, by t, which it takes over. */
void rc_conn_secure(struct rc_conn *c, struct rc_tls *t) RC_ON_SHARD;
/* Gives the TLS state away, before rc_conn_release(): NULL when there is none. */
struct rc_tls *rc_conn_take_tls(struct rc_conn *c) RC_ON_SHARD;
/* Feeds bytes that were read elsewhere, as if they had just arrived. */
void rc_conn_feed(struct rc_conn *c, const uint8_t *data, size_t len) RC_ON_SHARD;
/* Stops and starts reading. Starting hands left-over bytes to on_data at once. */
void rc_conn_pause(struct rc_conn *c) RC_ON_SHARD;
void rc_conn_resume(struct rc_conn *c) RC_ON_SHARD;
/* Reads now what is there, without waiting for the loop. */
void rc_conn_poll(struct rc_conn *c) RC_ON_SHARD;
/* Hands left-over bytes to on_data again, from the loop and not from here. */
void rc_conn_later(struct rc_conn *c) RC_ON_SHARD;
/* Writes what *out holds, a turn's share of it (RC_OUTQ_TURN); asks for write readiness when that was not all. Never
 * closes the connection before the caller returns to the loop. */
void rc_conn_flush(struct rc_conn *c) RC_ON_SHARD;
/* The same, as much as the socket takes: before it is said of a client that too much waits for it. */
void rc_conn_flush_all(struct rc_conn *c) RC_ON_SHARD;
/* The caller's flush got RC_EAGAIN: continue when the socket takes more. */
void rc_conn_want_write(struct rc_conn *c) RC_ON_SHARD;
/* Closes after everything is written and the peer has closed too; a peer that takes nothing for
 * RC_STALL_MS, or does not close within RC_LINGER_MS, is not waited for. */
void rc_conn_finish(struct rc_conn *c, enum rc_close reason) RC_ON_SHARD;
void rc_conn_close(struct rc_conn *c, enum rc_close reason) RC_ON_SHARD;
/* Gives the fd away (the caller owns it then) and ends the struct like rc_conn_close. */
int rc_conn_release(struct rc_conn *c, enum rc_close reason) RC_ON_SHARD;
static inline bool rc_conn_open(const struct rc_conn *c)
{
    return c->fd >= 0;
}

enum { RC_STALL_MS = 10000, RC_LINGER_MS = 2000, RC_SETTLED_S = 2 /* 1 s at least */ };
void rc_conn_init_timers(struct rc_loop *l);
/* The loop's part of rc_conn_later(). */
void rc_conn_ready(struct rc_conn *c) RC_ON_SHARD;
/* What epoll said of it. */
void rc_conn_event(struct rc_conn *c, uint32_t events) RC_ON_SHARD;
/* In it, when the peer has ended, or the connection has failed. */
#define RC_CONN_ENDED (EPOLLRDHUP | EPOLLHUP | EPOLLERR)
/* Between the loop's two sets; what was said of it is said again. */
void rc_conn_step_aside(struct rc_conn *c) RC_ON_SHARD;
void rc_conn_step_in(struct rc_conn *c) RC_ON_SHARD;
static inline void rc_conn_settle(struct rc_conn *c)
{
    if (c->aside && (uint16_t)(c->loop->now_ms / 1000 - c->since_s) >= RC_SETTLED_S)
        rc_conn_step_in(c);
}

enum { RC_ADDR_TEXT = 56 };
void rc_addr_from(const struct sockaddr_storage *ss, struct rc_addr *out);
/* "127.0.0.1:5123", "[::1]:5123", without a port "::1", or "unix"; returns buf. */
const char *rc_addr_text(const struct rc_addr *a, char buf[RC_ADDR_TEXT]);

#endif /* RC_NET_CONN_H */

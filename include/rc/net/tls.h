/*
 * tls.h - TLS on a connection by OpenSSL: what a listener shows, and the state of one connection.
 *
 * conn.c alone reads and writes by it. A connection's SSL object lies on its non-blocking socket; buffers
 * are there only while a record is incomplete, or on its way out.
 *
 *   struct rc_tls_set   certificates of a listener, chosen by the name that the client asks for;
 *                       a reload makes a new one, and connections that are open keep what they have
 *   struct rc_tls       one connection; when that moves to another shard, it moves along
 *   struct rc_tls_side  of a loop: keys of session tickets, a buffer for records
 *
 * A ticket holds the whole session, so nothing is kept of it here. All loops have the same keys without
 * sharing any: each takes every KEY_PERIOD the next step of a chain of hashes that began with one random
 * seed, and forgets what was before the last one. So what is stolen today does not open what was recorded
 * before.
 *
 * Threads:   sets: made by main, counted by any. rc_tls, rc_tls_side: the connection's shard.
 * Ownership: rc_tls_set by count; an rc_tls belongs to its connection, or to the message that carries it.
 */
#ifndef RC_NET_TLS_H
#define RC_NET_TLS_H

#include "rc/base/conf.h"
#include "rc/net/conn.h"

#include <stdbool.h>
#include <stdint.h>

struct rc_tls_set;
struct rc_tls_side;

enum rc_clientauth { RC_CLIENTAUTH_OFF, RC_CLIENTAUTH_OPTIONAL, RC_CLIENTAUTH_REQUIRED };
enum rc_tlsmin { RC_TLSMIN_12, RC_TLSMIN_13 };

struct rc_tls_conf {
    const struct rc_conf_list
        *certificate;               /* PEM files, each a chain; the first is the default */
    const struct rc_conf_list *key; /* PEM files, one for each of them */
    const char *client_ca;          /* PEM file of who signs for clients; or "" */
    enum rc_clientauth client_auth;
    enum rc_tlsmin min;
    const char *ciphers; /* of OpenSSL, "" takes ours */
};

enum { RC_TLS_WHY = 512 };
/* A fault, or a warning, about the value of a key of tls_conf. */
typedef void rc_tls_say_fn(void *arg, bool warning, const char *key, const char *value,
                           const char *why);
/* NULL after a fault. */
struct rc_tls_set *rc_tls_set_new(const struct rc_tls_conf *conf, rc_tls_say_fn *say,
                                  void *arg);
struct rc_tls_set *rc_tls_set_ref(struct rc_tls_set *set);
void rc_tls_set_unref(struct rc_tls_set *set);
/* Which of the pairs is for that name: 0 when none is. */
unsigned rc_tls_set_find(const struct rc_tls_set *set, const char *name);

struct rc_tls {
    struct ssl_st *ssl;
    struct rc_tls_set *set; /* while shaking hands */
    struct rc_tls_side *side;
    int fd;
    uint32_t events; /* what is registered with epoll */
    uint32_t retry;  /* bytes of a write that has begun, to be repeated; 0: none */
    uint32_t budget; /* bytes that may be received in this call */
    bool handshaking;
    bool read_blocked;  /* reading waits until the socket can be written */
    bool write_blocked; /* writing waits until the socket can be read */
    bool eof;           /* the peer has ended its side */
    bool ended;         /* and all that it has said was read */
    bool reset;         /* the socket failed */
    bool dead;          /* nothing can be said any more, nor heard */
    bool bye;           /* close_notify is sent */
    uint8_t why;        /* enum rc_close: the handshake failed */
    uint32_t kept_len;
    uint8_t *kept; /* bytes that were read before it moved to another shard; or NULL */
};

/* For a connection that was just accepted. NULL: no memory. */
struct rc_tls *rc_tls_new(struct rc_tls_set *set);
void rc_tls_free(struct rc_tls *t);
/* It is on that socket, and of that loop, from now on. */
void rc_tls_attach(struct rc_tls *t, struct rc_tls_side *side, int fd);

/* Bytes that go along to another shard; taken, they are the caller's to free. */
void rc_tls_keep(struct rc_tls *t, const void *bytes, size_t len);
uint8_t *rc_tls_take_kept(struct rc_tls *t, size_t *len);

/* RC_OK: done. RC_EAGAIN: waits for the socket, see read_blocked. RC_EPROTO: it failed, see why; text
 * says more. */
int rc_tls_handshake(struct rc_tls *t, char text[RC_TLS_WHY]) RC_MUSTCHECK;
/* The handshake took up an earlier session. */
bool rc_tls_resumed(const struct rc_tls *t);
/* Reads what has come, at most len bytes, which must not be less than RC_TLS_READ_MIN. RC_EAGAIN: that was
 * all for now (*got may be 0). RC_ECLOSED: the peer has ended its side. RC_ESYS, RC_EPROTO: it is broken. */
enum { RC_TLS_READ_MIN = 65536 };
int rc_tls_read(struct rc_tls *t, uint8_t *to, size_t len, size_t *got) RC_MUSTCHECK;
/* As rc_outq_flush_most(): small segments share a record, one that fills a record is not copied. */
int rc_tls_flush(struct rc_tls *t, struct rc_outq *q, size_t most, size_t *wrote) RC_MUSTCHECK;
/* Sends close_notify, if that can be. RC_EAGAIN: the socket takes nothing now. */
int rc_tls_bye(struct rc_tls *t);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384"; returns buf. */
enum { RC_TLS_TEXT = 96 };
const char *rc_tls_text(const struct rc_tls *t, char buf[RC_TLS_TEXT]);

/* All that are made before rc_tls_forget_seed() take the same steps. Main. */
struct rc_tls_side *rc_tls_side_new(void);
void rc_tls_forget_seed(void);
void rc_tls_side_free(struct rc_tls_side *side);
/* Takes the keys of tickets to what they are at that time (rc_clock_ms()). */
void rc_tls_side_step(struct rc_tls_side *side, uint64_t now_ms);
enum { RC_TLS_KEY_PERIOD_MS = 6 * 3600 * 1000 };

#endif /* RC_NET_TLS_H */

/*
 * tls_int.h - what tls.c (connections), tls_set.c (certificates) and tls_ticket.c (keys of
 * session tickets) share.
 *
 * Threads:   as in tls.h.
 * Ownership: a set owns its contexts.
 */
#ifndef RC_NET_TLS_INT_H
#define RC_NET_TLS_INT_H

#include "rc/net/tls.h"

#include <openssl/ssl.h>

enum {
    RC_TICKET_NAME = 16,
    RC_TICKET_SECRET = 32,
};

/* Seals the tickets of one period. */
struct rc_ticket_key {
    uint8_t name[RC_TICKET_NAME]; /* tells it from others: goes in clear */
    uint8_t aes[RC_TICKET_SECRET], mac[RC_TICKET_SECRET];
};

struct rc_tls_side {
    struct rc_ticket_key now, before;
    uint8_t next[RC_TICKET_SECRET]; /* the chain: what the keys of the next period come of */
    uint64_t period;
    uint8_t *record; /* small segments are gathered here; NULL until there are any */
};

/* The first random bytes of the chain, the same for all sides that are made afterwards. Main. */
int rc_tls_seed(void);
/* Of SSL_CTX_set_tlsext_ticket_key_evp_cb(): the keys of the connection's side. */
int rc_tls_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                      EVP_MAC_CTX *mac, int enc);

SSL_CTX *rc_tls_set_ctx(const struct rc_tls_set *set, unsigned i);
/* The BIO through which OpenSSL reads and writes; NULL: no memory. */
BIO_METHOD *rc_tls_bio_method(void);

#endif /* RC_NET_TLS_INT_H */

/*
 * proxy_head.h - the PROXY header, versions 1 and 2, sans-I/O: with it a proxy that passes bytes on says
 * whose they are (haproxy's specification, doc/proxy-protocol.txt).
 *
 * In one of version 2 something may follow the addresses. Of that a token is read, by which one node of a
 * cluster shows another that it may speak for clients.
 *
 * Threads: any.
 */
#ifndef RC_NET_PROXY_HEAD_H
#define RC_NET_PROXY_HEAD_H

#include "rc/base/err.h"
#include "rc/net/conn.h"

#include <stddef.h>
#include <stdint.h>

enum {
    RC_PROXY_V1_MAX = 107,       /* bytes of a line, with its end */
    RC_PROXY_V2_FIXED = 16,      /* bytes before the addresses */
    RC_PROXY_V2_MAX = 16 + 2048, /* with addresses and all that is said besides */
    RC_PROXY_MAX = RC_PROXY_V2_MAX,
    RC_PROXY_TOKEN = 16,        /* bytes of a token */
    RC_PROXY_TOKEN_TYPE = 0xe0, /* of those that are for everybody's own use */
    RC_PROXY_WRITTEN = 16 + 216 + 3 + RC_PROXY_TOKEN /* the longest that is written here */
};

struct rc_proxy_head {
    uint8_t version; /* 1 or 2 */
    bool told;       /* it says who the client is; else it is the proxy itself, or unknown */
    struct rc_addr from; /* family 0: a client without an address */
    bool has_token;      /* one of that length is there; of several, the first */
    uint8_t token[RC_PROXY_TOKEN];
};

/* Reads the header that the bytes begin with. Returns its length; RC_EAGAIN: it is not complete, all bytes
 * so far are part of it; RC_EPROTO: it is none, or a bad one, and *why says what is wrong: what does
 * not even begin like one is refused at once. */
int rc_proxy_head_parse(struct rc_proxy_head *p, const uint8_t *data, size_t len,
                        const char **why) RC_MUSTCHECK;

/* Writes one of version 2, and returns its length. A client without an address is one of a Unix socket. */
size_t rc_proxy_head_put(uint8_t out[RC_PROXY_WRITTEN], const struct rc_addr *from,
                         const uint8_t token[RC_PROXY_TOKEN]);

#endif /* RC_NET_PROXY_HEAD_H */

/*
 * forwarded.h - who a client is when proxies stand between: what X-Forwarded-For says, as far as they are
 * trusted.
 *
 * Threads:   any.
 * Ownership: struct rc_trust owns its networks.
 */
#ifndef RC_NET_FORWARDED_H
#define RC_NET_FORWARDED_H

#include "rc/base/cidr.h"
#include "rc/base/str.h"
#include "rc/net/conn.h"
#include "rc/net/http.h"

#include <stdbool.h>

/* Proxies whose word is taken: those in these networks, and who comes by a Unix socket. */
struct rc_trust {
    struct rc_cidr *net;
    unsigned n;
};

/* False, and nothing added: the text is no network. */
bool rc_trust_add(struct rc_trust *t, struct rc_str network) RC_MUSTCHECK;
void rc_trust_deinit(struct rc_trust *t);
bool rc_trust_has(const struct rc_trust *t, const struct rc_addr *a);

/* 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1], [2001:db8::1]:80. An IPv4 address in IPv6's form
 * is one of IPv4. */
bool rc_addr_parse(struct rc_str text, struct rc_addr *out) RC_MUSTCHECK;

/* Whose request came from peer: if that is trusted, the right-most address of X-Forwarded-For that is
 * not, or the left-most of all. Behind what is no address nothing counts. */
struct rc_addr rc_forwarded_client(const struct rc_trust *t, const struct rc_addr *peer,
                                   const struct rc_http_req *req);

#endif /* RC_NET_FORWARDED_H */

/*
 * cidr.h - networks of IP addresses: 10.0.0.0/8, 2001:db8::/32, 127.0.0.1.
 *
 * Threads: any.
 */
#ifndef RC_BASE_CIDR_H
#define RC_BASE_CIDR_H

#include "rc/base/err.h"
#include "rc/base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct rc_cidr {
    uint8_t ip[16]; /* IPv4 in the first four */
    uint8_t family; /* AF_INET or AF_INET6 */
    uint8_t bits;
};

/* An address alone is a network of one. False: it is none, or has bits set behind its prefix. */
bool rc_cidr_parse(struct rc_str text, struct rc_cidr *out) RC_MUSTCHECK;
/* ip: 4 or 16 bytes, by family. An IPv4 address inside of IPv6 (::ffff:0:0/96) is in IPv4 networks too. */
bool rc_cidr_has(const struct rc_cidr *net, unsigned family, const uint8_t *ip);
/* A number for whoever has this address: IPv4 as it is, IPv6 by /64, all of which one client may have. 0: of
 * another family. */
uint64_t rc_cidr_key(unsigned family, const uint8_t *ip);

#endif /* RC_BASE_CIDR_H */

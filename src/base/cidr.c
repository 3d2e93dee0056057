/* cidr.c - see the header. */
#include "rc/base/cidr.h"

#include <arpa/inet.h>
#include <string.h>

static unsigned width(unsigned family)
{
    return family == AF_INET ? 32 : 128;
}

/* At most three digits. */
static bool parse_bits(struct rc_str s, unsigned max, uint8_t *bits)
{
    unsigned v = 0;

    if (s.len == 0 || s.len > 3 || (s.len > 1 && s.p[0] == '0'))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        v = v * 10 + (unsigned)(s.p[i] - '0');
    }
    *bits = (uint8_t)v;
    return v <= max;
}

static bool prefix_eq(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || ((unsigned)(a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

/* Are all bits behind the prefix 0? */
static bool is_network(const struct rc_cidr *c)
{
    unsigned n = width(c->family);

    for (unsigned i = c->bits; i < n; i++)
        if ((c->ip[i / 8] & 0x80u >> i % 8) != 0)
            return false;
    return true;
}

bool rc_cidr_parse(struct rc_str text, struct rc_cidr *out)
{
    const char *slash = text.len != 0 ? memchr(text.p, '/', text.len) : NULL;
    size_t n = slash != NULL ? (size_t)(slash - text.p) : text.len;
    char z[INET6_ADDRSTRLEN];

    *out = (struct rc_cidr){.family = AF_INET};
    if (n == 0 || n >= sizeof(z) || memchr(text.p, '\0', n) != NULL)
        return false;
    memcpy(z, text.p, n);
    z[n] = '\0';
    if (inet_pton(AF_INET, z, out->ip) != 1) {
        out->family = AF_INET6;
        if (inet_pton(AF_INET6, z, out->ip) != 1)
            return false;
    }
    out->bits = (uint8_t)width(out->family);
    if (slash != NULL && !parse_bits(rc_str_skip(text, n + 1), width(out->family), &out->bits))
        return false;
    return is_network(out);
}

bool rc_cidr_has(const struct rc_cidr *net, unsigned family, const uint8_t *ip)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (net->family == AF_INET && family == AF_INET6 && memcmp(ip, mapped, sizeof(mapped)) == 0)
        return prefix_eq(net->ip, ip + sizeof(mapped), net->bits);
    return net->family == family && prefix_eq(net->ip, ip, net->bits);
}

/* The first 2^33 networks of IPv6 are nobody's. */
uint64_t rc_cidr_key(unsigned family, const uint8_t *ip)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    unsigned n = family == AF_INET ? 4 : 8;
    uint64_t key = 0;

    if (family != AF_INET && family != AF_INET6)
        return 0;
    if (n == 8 && memcmp(ip, mapped, sizeof(mapped)) == 0) {
        ip += sizeof(mapped);
        n = 4;
    }
    for (unsigned i = 0; i < n; i++)
        key = key << 8 | ip[i];
    return n == 4 ? key | (uint64_t)1 << 32 : key != 0 ? key : (uint64_t)1 << 33;
}

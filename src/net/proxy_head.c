/* proxy_head.c - see the header. */
#include "rc/net/proxy_head.h"

#include "rc/base/str.h"

#include <arpa/inet.h>
#include <string.h>

static int refuse(const char **why, const char *text)
{
    *why = text;
    return RC_EPROTO;
}

/* An IPv4 address in IPv6's form is one of IPv4. */
static void set_ip(struct rc_addr *a, int family, const uint8_t *ip)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (family == AF_INET6 && memcmp(ip, mapped, sizeof(mapped)) == 0) {
        family = AF_INET;
        ip += sizeof(mapped);
    }
    a->family = (uint8_t)family;
    memcpy(a->ip, ip, family == AF_INET ? 4 : 16);
}

/* ---- version 1: a line of text ---- */

static const char v1_start[] = "PROXY ";

/* What stands before the next blank, or the end. */
static struct rc_str next_word(struct rc_str *rest)
{
    const char *blank = rest->len != 0 ? memchr(rest->p, ' ', rest->len) : NULL;
    size_t n = blank != NULL ? (size_t)(blank - rest->p) : rest->len;
    struct rc_str word = rc_str_make(rest->p, n);

    *rest = rc_str_skip(*rest, n + (blank != NULL));
    return word;
}

static bool parse_ip(struct rc_str s, int family, struct rc_addr *a)
{
    char z[INET6_ADDRSTRLEN];
    uint8_t ip[16];

    if (s.len == 0 || s.len >= sizeof(z) || memchr(s.p, '\0', s.len) != NULL)
        return false;
    memcpy(z, s.p, s.len);
    z[s.len] = '\0';
    if (inet_pton(family, z, ip) != 1)
        return false;
    set_ip(a, family, ip);
    return true;
}

/* As the specification wants it: no zeros before it. */
static bool parse_port(struct rc_str s, uint16_t *port)
{
    unsigned v = 0;

    if (s.len == 0 || s.len > 5 || (s.p[0] == '0' && s.len != 1))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        v = v * 10 + (unsigned)(s.p[i] - '0');
    }
    *port = (uint16_t)v;
    return v <= 65535;
}

/* "TCP4 192.0.2.1 192.0.2.2 56324 443" */
static bool parse_words(struct rc_str line, struct rc_proxy_head *p)
{
    struct rc_str protocol = next_word(&line), from, to, from_port, to_port;
    int family = rc_str_eq(protocol, RC_STR("TCP4"))   ? AF_INET
                 : rc_str_eq(protocol, RC_STR("TCP6")) ? AF_INET6
                                                       : 0;
    struct rc_addr ignored;
    uint16_t port;

    if (rc_str_eq(protocol, RC_STR("UNKNOWN")))
        return true; /* and what follows means nothing */
    from = next_word(&line);
    to = next_word(&line);
    from_port = next_word(&line);
    to_port = line; /* with whatever stands behind it */
    p->told = true;
    return family != 0 && parse_ip(from, family, &p->from) && parse_ip(to, family, &ignored) &&
           parse_port(from_port, &p->from.port) && parse_port(to_port, &port);
}

static int parse_v1(struct rc_proxy_head *p, const uint8_t *data, size_t len, const char **why)
{
    static const char long_line[] = "its line is longer than 107 bytes";
    const size_t start = sizeof(v1_start) - 1;
    const uint8_t *cr;
    size_t n, most;

    p->version = 1;
    cr = len > start ? memchr(data + start, '\r', len - start) : NULL;
    n = cr != NULL ? (size_t)(cr - data) : len; /* of what is before the end of the line */
    most = n < RC_PROXY_V1_MAX - 1 ? n : RC_PROXY_V1_MAX - 1;
    if (most > start && memchr(data + start, '\n', most - start) != NULL)
        return refuse(why, "its line does not end with CR LF");
    if (n + 2 > RC_PROXY_V1_MAX)
        return refuse(why, long_line);
    if (cr == NULL || len == n + 1)
        return RC_EAGAIN;
    if (cr[1] != '\n')
        return refuse(why, "its line does not end with CR LF");
    if (!parse_words(rc_str_make(data + start, n - start), p))
        return refuse(why, "its line is none of \"PROXY TCP4 ADDRESS ADDRESS PORT PORT\", TCP6 "
                           "and UNKNOWN");
    return (int)(n + 2);
}

/* ---- version 2: bytes ---- */

static const uint8_t v2_start[12] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                     '\n', 'Q',  'U',  'I',  'T', '\n'};

enum { LOCAL = 0, PROXY = 1 };
enum { UNSPEC = 0x00, TCP4 = 0x11, TCP6 = 0x21, UNIX = 0x31 };

/* Bytes of the addresses; -1: we serve no such clients. */
static int addresses_size(uint8_t family)
{
    switch (family) {
    case UNSPEC: return 0;
    case TCP4: return 2 * 4 + 2 * 2;
    case TCP6: return 2 * 16 + 2 * 2;
    case UNIX: return 2 * 108;
    default: return -1;
    }
}

static void read_addresses(struct rc_proxy_head *p, uint8_t family, const uint8_t *at)
{
    const size_t size = family == TCP4 ? 4 : 16;

    p->told = family != UNSPEC;
    if (family != TCP4 && family != TCP6)
        return;
    set_ip(&p->from, family == TCP4 ? AF_INET : AF_INET6, at);
    p->from.port = (uint16_t)(at[2 * size] << 8 | at[2 * size + 1]);
}

/* What follows the addresses: type, length, value, again and again. What is no such thing is nobody's. */
static void read_rest(struct rc_proxy_head *p, const uint8_t *at, size_t len)
{
    while (len >= 3) {
        size_t n = (size_t)at[1] << 8 | at[2];

        if (n > len - 3)
            return;
        if (at[0] == RC_PROXY_TOKEN_TYPE && n == RC_PROXY_TOKEN && !p->has_token) {
            p->has_token = true;
            memcpy(p->token, at + 3, RC_PROXY_TOKEN);
        }
        at += 3 + n;
        len -= 3 + n;
    }
}

static int parse_v2(struct rc_proxy_head *p, const uint8_t *data, size_t len, const char **why)
{
    size_t size, command = len > 12 ? data[12] & 0x0f : PROXY;
    int addresses;

    p->version = 2;
    if (len > 12 && data[12] >> 4 != 2)
        return refuse(why, "its version is neither 1 nor 2");
    if (command > PROXY)
        return refuse(why, "its command is neither LOCAL nor PROXY");
    if (len > 13 && command == PROXY && addresses_size(data[13]) < 0)
        return refuse(why, "it is not of TCP by IPv4 or IPv6, nor of a Unix socket");
    if (len < RC_PROXY_V2_FIXED)
        return RC_EAGAIN;
    size = RC_PROXY_V2_FIXED + ((size_t)data[14] << 8 | data[15]);
    addresses = command == PROXY ? addresses_size(data[13]) : 0;
    if (size > RC_PROXY_V2_MAX)
        return refuse(why, "it is longer than 2064 bytes");
    if (size < RC_PROXY_V2_FIXED + (size_t)addresses)
        return refuse(why, "it is too short for its addresses");
    if (len < size)
        return RC_EAGAIN;
    if (command == PROXY) {
        size_t rest = RC_PROXY_V2_FIXED + (size_t)addresses;

        read_addresses(p, data[13], data + RC_PROXY_V2_FIXED);
        read_rest(p, data + rest, size - rest);
    }
    return (int)size;
}

/* Do the bytes begin as the start does, as far as there are any? */
static bool begins(const uint8_t *data, size_t len, const void *start, size_t size)
{
    return len == 0 || memcmp(data, start, len < size ? len : size) == 0;
}

int rc_proxy_head_parse(struct rc_proxy_head *p, const uint8_t *data, size_t len,
                        const char **why)
{
    *p = (struct rc_proxy_head){.version = 0};
    if (begins(data, len, v1_start, sizeof(v1_start) - 1))
        return parse_v1(p, data, len, why);
    if (begins(data, len, v2_start, sizeof(v2_start)))
        return parse_v2(p, data, len, why);
    return refuse(why, "there is none");
}

/* ---- writing ---- */

size_t rc_proxy_head_put(uint8_t out[RC_PROXY_WRITTEN], const struct rc_addr *from,
                         const uint8_t token[RC_PROXY_TOKEN])
{
    uint8_t family = from->family == AF_INET ? TCP4 : from->family == AF_INET6 ? TCP6 : UNIX;
    size_t addresses = (size_t)addresses_size(family), ip = family == TCP4 ? 4 : 16;
    size_t n = RC_PROXY_V2_FIXED + addresses, rest = addresses + 3 + RC_PROXY_TOKEN;

    memset(out, 0, RC_PROXY_WRITTEN);
    memcpy(out, v2_start, sizeof(v2_start));
    out[12] = 2 << 4 | PROXY;
    out[13] = family;
    out[14] = (uint8_t)(rest >> 8);
    out[15] = (uint8_t)rest;
    if (family != UNIX) {
        memcpy(out + RC_PROXY_V2_FIXED, from->ip, ip);
        out[RC_PROXY_V2_FIXED + 2 * ip] = (uint8_t)(from->port >> 8);
        out[RC_PROXY_V2_FIXED + 2 * ip + 1] = (uint8_t)from->port;
    }
    out[n++] = RC_PROXY_TOKEN_TYPE;
    out[n++] = 0;
    out[n++] = RC_PROXY_TOKEN;
    memcpy(out + n, token, RC_PROXY_TOKEN);
    return n + RC_PROXY_TOKEN;
}

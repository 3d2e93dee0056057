/* forwarded.c - see the header. */
#include "rc/net/forwarded.h"

#include "rc/base/mem.h"

#include <arpa/inet.h>
#include <stdlib.h>

/* ---- trust ---- */

bool rc_trust_add(struct rc_trust *t, struct rc_str network)
{
    struct rc_cidr net;

    if (!rc_cidr_parse(network, &net))
        return false;
    t->net = rc_realloc(t->net, (t->n + 1) * sizeof(*t->net));
    t->net[t->n++] = net;
    return true;
}

void rc_trust_deinit(struct rc_trust *t)
{
    free(t->net);
    *t = (struct rc_trust){.n = 0};
}

bool rc_trust_has(const struct rc_trust *t, const struct rc_addr *a)
{
    if (a->family == AF_UNIX)
        return true;
    for (unsigned i = 0; i < t->n; i++)
        if (rc_cidr_has(&t->net[i], a->family, a->ip))
            return true;
    return false;
}

/* ---- addresses ---- */

static bool parse_ip(struct rc_str s, int family, uint8_t ip[16])
{
    char z[INET6_ADDRSTRLEN];

    if (s.len == 0 || s.len >= sizeof(z) || memchr(s.p, '\0', s.len) != NULL)
        return false;
    memcpy(z, s.p, s.len);
    z[s.len] = '\0';
    return inet_pton(family, z, ip) == 1;
}

static bool parse_port(struct rc_str s, uint16_t *port)
{
    unsigned v = 0;

    if (s.len == 0 || s.len > 5)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        v = v * 10 + (unsigned)(s.p[i] - '0');
    }
    *port = (uint16_t)v;
    return v <= 65535;
}

/* The number of colons tells them apart: none or one with IPv4, more with IPv6. */
static bool split(struct rc_str text, struct rc_str *ip, struct rc_str *port)
{
    const char *end = NULL;

    if (text.len != 0 && text.p[0] == '[')
        end = memchr(text.p, ']', text.len);
    *ip = text;
    *port = RC_STR_NONE;
    if (end != NULL) {
        *ip = rc_str_make(text.p + 1, (size_t)(end - text.p) - 1);
        *port = rc_str_skip(text, (size_t)(end - text.p) + 1);
        return port->len == 0 || port->p[0] == ':';
    }
    end = text.len != 0 ? memchr(text.p, ':', text.len) : NULL;
    if (end == NULL || memrchr(text.p, ':', text.len) != end)
        return true;
    ip->len = (size_t)(end - text.p);
    *port = rc_str_skip(text, ip->len);
    return true;
}

bool rc_addr_parse(struct rc_str text, struct rc_addr *out)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct rc_str ip, port;

    *out = (struct rc_addr){.family = AF_INET};
    if (!split(text, &ip, &port))
        return false;
    if (!parse_ip(ip, AF_INET, out->ip) || text.p[0] == '[') {
        out->family = AF_INET6;
        if (!parse_ip(ip, AF_INET6, out->ip))
            return false;
    }
    if (out->family == AF_INET6 && memcmp(out->ip, mapped, sizeof(mapped)) == 0) {
        memmove(out->ip, out->ip + sizeof(mapped), 4);
        memset(out->ip + 4, 0, 12);
        out->family = AF_INET;
    }
    return port.len == 0 || parse_port(rc_str_skip(port, 1), &out->port);
}

/* ---- the chain ---- */

static struct rc_str trim(struct rc_str s)
{
    while (s.len != 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = rc_str_skip(s, 1);
    while (s.len != 0 && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Cuts the last item off a list by comma. */
static struct rc_str last_item(struct rc_str *list)
{
    const char *comma = memrchr(list->p, ',', list->len);
    size_t n = comma != NULL ? (size_t)(comma - list->p) : 0;
    struct rc_str item = comma != NULL ? rc_str_skip(*list, n + 1) : *list;

    list->len = n;
    return trim(item);
}

/* Goes on to the left from *at, who is trusted. False: that ends it. */
static bool walk(const struct rc_trust *t, struct rc_str list, struct rc_addr *at)
{
    struct rc_addr next;

    while (list.len != 0) {
        struct rc_str item = last_item(&list);

        if (item.len == 0)
            continue; /* an empty item is none (RFC 9110 section 5.6.1) */
        if (!rc_addr_parse(item, &next))
            return false;
        *at = next;
        if (!rc_trust_has(t, at))
            return false;
    }
    return true;
}

struct rc_addr rc_forwarded_client(const struct rc_trust *t, const struct rc_addr *peer,
                                   const struct rc_http_req *req)
{
    struct rc_addr at = *peer;

    if (req->forwarded_for.p == NULL || !rc_trust_has(t, peer))
        return at;
    /* Several headers of one name are one list, in their order. */
    for (unsigned i = req->nheaders; i-- != 0;)
        if (rc_str_ieq(req->headers[i].name, RC_STR("X-Forwarded-For")) &&
            !walk(t, req->headers[i].value, &at))
            break;
    return at;
}

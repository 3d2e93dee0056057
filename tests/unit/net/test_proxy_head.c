/* The PROXY header (src/net/proxy_head.c): all its forms, byte by byte, and what is none. */
#include "rc/net/proxy_head.h"

#include "rc/base/mem.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct result {
    struct rc_proxy_head p;
    char why[128];
    int rc;
};

/* On a copy of exactly that size, for sanitizers. */
static struct result parse(const void *data, size_t len)
{
    uint8_t *copy = rc_malloc(len != 0 ? len : 1);
    struct result r = {.why = ""};
    const char *why = "";

    if (len != 0)
        memcpy(copy, data, len);
    r.rc = rc_proxy_head_parse(&r.p, copy, len, &why);
    (void)snprintf(r.why, sizeof(r.why), "%s", why);
    free(copy);
    return r;
}

/* Good, of n bytes: not before they are all there, and the same with more behind it. */
static struct rc_proxy_head check_good(const void *data, size_t n)
{
    uint8_t longer[RC_PROXY_MAX + 16];
    struct result r, more;

    for (size_t i = 0; i < n; i++)
        cr_assert_eq(parse(data, i).rc, RC_EAGAIN, "after %zu bytes", i);
    r = parse(data, n);
    cr_assert_eq(r.rc, (int)n, "%d: %s", r.rc, r.why);
    memcpy(longer, data, n);
    memcpy(longer + n, "GET / HTTP/1.1\r\n", 16);
    more = parse(longer, n + 16);
    cr_assert_eq(more.rc, (int)n);
    cr_assert_arr_eq(&more.p.from, &r.p.from, sizeof(r.p.from));
    return r.p;
}

/* Bad from byte number `at` on (1: the first), and whatever follows. */
static void check_bad(const void *data, size_t n, size_t at, const char *why)
{
    for (size_t i = 0; i <= n; i++) {
        struct result r = parse(data, i);

        if (i < at) {
            cr_assert_eq(r.rc, RC_EAGAIN, "after %zu bytes: %d %s", i, r.rc, r.why);
        } else {
            cr_assert_eq(r.rc, RC_EPROTO, "after %zu bytes: %d", i, r.rc);
            cr_assert_str_eq(r.why, why);
        }
    }
}

static void check_address(const struct rc_proxy_head *p, unsigned version, const char *expected)
{
    char text[RC_ADDR_TEXT];

    cr_assert_eq(p->version, version);
    cr_assert(p->told);
    cr_assert_str_eq(rc_addr_text(&p->from, text), expected);
}

/* ---- version 1 ---- */

static void check_line(const char *line, const char *expected)
{
    struct rc_proxy_head p = check_good(line, strlen(line));

    check_address(&p, 1, expected);
}

Test(proxy_head, v1_addresses)
{
    check_line("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", "192.0.2.1:56324");
    check_line("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", "255.255.255.255:65535");
    check_line("PROXY TCP4 1.2.3.4 1.2.3.4 0 0\r\n", "1.2.3.4");
    check_line("PROXY TCP6 2001:db8::1 ::1 4124 443\r\n", "[2001:db8::1]:4124");
    check_line("PROXY TCP6 ::1 ::1 1 1\r\n", "[::1]:1");
    check_line("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
               "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
               "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
    check_line("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n", "192.0.2.1:1");
}

/* With its end it has 107 bytes. */
#define LONGEST                                              \
    "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff " \
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535"

Test(proxy_head, v1_unknown)
{
    static const char *const lines[] = {
        "PROXY UNKNOWN\r\n",
        "PROXY UNKNOWN \r\n",
        LONGEST "\r\n",
        "PROXY UNKNOWN what ever\r\n",
    };

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct rc_proxy_head p = check_good(lines[i], strlen(lines[i]));

        cr_assert_eq(p.version, 1u);
        cr_assert_not(p.told);
        cr_assert_eq(p.from.family, 0u);
    }
}

#define WORDS "its line is none of \"PROXY TCP4 ADDRESS ADDRESS PORT PORT\", TCP6 and UNKNOWN"
#define ENDS  "its line does not end with CR LF"
#define LONG  "its line is longer than 107 bytes"

Test(proxy_head, v1_bad_words)
{
    static const char *const lines[] = {
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY tcp4 1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY TCP 1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY TCP4  1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 00\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 100000\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 +1 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n",
        "PROXY TCP4 1.2.3 1.2.3.4 1 1\r\n",
        "PROXY TCP4 01.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY TCP4 1.2.3.256 1.2.3.4 1 1\r\n",
        "PROXY TCP4 1.2.3.4 localhost 1 1\r\n",
        "PROXY TCP4 ::1 ::1 1 1\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY TCP6 ::1 ::g 1 1\r\n",
        "PROXY TCP6 [::1] ::1 1 1\r\n",
        "PROXY TCP6 fe80::1%lo ::1 1 1\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY TCP4\t1.2.3.4 1.2.3.4 1 1\r\n",
    };

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        check_bad(lines[i], strlen(lines[i]), strlen(lines[i]), WORDS);
    check_bad("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 1\r\n", 33, 33, WORDS);
}

Test(proxy_head, v1_bad_lines)
{
    char line[200];

    check_bad("PROXY UNKNOWN\n", 14, 14, ENDS);
    check_bad("PROXY UNKNOWN\rx\n", 16, 15, ENDS);
    check_bad("PROXY UNKNOWN\r\r\n", 16, 15, ENDS);
    check_bad("PROXY \nUNKNOWN\r\n", 16, 7, ENDS);
    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    check_bad(line, sizeof(line), 106, LONG);
    memcpy(line + 106, "\r\n", 2);
    check_bad(line, 108, 106, LONG);
}

Test(proxy_head, none_at_all)
{
    static const struct {
        const char *bytes;
        size_t n, at;
    } no[] = {
        {"GET / HTTP/1.1\r\n", 16, 1},
        {"\x16\x03\x01", 3, 1},
        {"proxy UNKNOWN\r\n", 15, 1},
        {"POST / HTTP/1.1\r\n", 17, 2},
        {"PROXYX", 6, 6},
        {"PROXY\r\n", 7, 6},
        {"\r\nPROXY UNKNOWN", 15, 3},
        {"\r\n\r\n\0\r\nQUIT\r", 12, 12},
        {"\r\n\r\n\0\r\nQUIX\n", 12, 11},
        {" PROXY", 6, 1},
    };

    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        check_bad(no[i].bytes, no[i].n, no[i].at, "there is none");
}

/* ---- version 2 ---- */

/* Returns the length: 16, addresses and filler. */
static size_t put_v2(uint8_t *to, unsigned command, unsigned family, size_t rest)
{
    memcpy(to, "\r\n\r\n\0\r\nQUIT\n", 12);
    to[12] = (uint8_t)command;
    to[13] = (uint8_t)family;
    to[14] = (uint8_t)(rest >> 8);
    to[15] = (uint8_t)rest;
    for (size_t i = 0; i < rest; i++)
        to[16 + i] = (uint8_t)(i * 7 + 1);
    return 16 + rest;
}

Test(proxy_head, v2_addresses)
{
    static const uint8_t v4[] = {192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 1, 0xbb};
    static const uint8_t v6[36] = {0x20, 1, 0xd, 0xb8, [15] = 1, [31] = 2, 0x10, 0x1c, 0, 80};
    static const uint8_t mapped[36] = {[10] = 0xff, 0xff, 10, 0, 0, 9, [32] = 0, 7};
    static const size_t more[] = {0, 1, 3, 500, 2048 - 36}; /* of TLVs */
    uint8_t head[RC_PROXY_MAX];
    struct rc_proxy_head p;
    size_t n;

    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
        n = put_v2(head, 0x21, 0x11, sizeof(v4) + more[i]);
        memcpy(head + 16, v4, sizeof(v4));
        p = check_good(head, n);
        check_address(&p, 2, "192.0.2.1:56324");
        n = put_v2(head, 0x21, 0x21, sizeof(v6) + more[i]);
        memcpy(head + 16, v6, sizeof(v6));
        p = check_good(head, n);
        check_address(&p, 2, "[2001:db8::1]:4124");
        memcpy(head + 16, mapped, sizeof(mapped));
        p = check_good(head, n);
        check_address(&p, 2, "10.0.0.9:7");
    }
    n = put_v2(head, 0x21, 0x31, 216);
    p = check_good(head, n);
    check_address(&p, 2, "unix");
    cr_assert_eq(p.from.family, 0u);
}

Test(proxy_head, v2_that_tells_nothing)
{
    /* LOCAL means the proxy itself, whatever the rest is; UNSPEC a client that it cannot name. */
    static const struct {
        unsigned command, family;
        size_t rest;
    } some[] = {
        {0x20, 0x00, 0},  {0x20, 0x11, 12}, {0x20, 0x11, 0},   {0x20, 0xff, 5},
        {0x20, 0x00, 99}, {0x21, 0x00, 0},  {0x21, 0x00, 100}, {0x20, 0x00, 2048},
    };
    uint8_t head[RC_PROXY_MAX];

    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
        size_t n = put_v2(head, some[i].command, some[i].family, some[i].rest);
        struct rc_proxy_head p = check_good(head, n);

        cr_assert_eq(p.version, 2u);
        cr_assert_not(p.told);
    }
}

Test(proxy_head, v2_bad)
{
    static const unsigned families[] = {0x01, 0x10, 0x12, 0x13, 0x20, 0x22,
                                        0x30, 0x32, 0x41, 0xf1, 0xff};
    uint8_t head[16 + 0xffff];

    for (unsigned version = 0; version < 16; version++)
        if (version != 2)
            check_bad(head, put_v2(head, version << 4 | 1, 0x11, 12), 13,
                      "its version is neither 1 nor 2");
    for (unsigned command = 2; command < 16; command++)
        check_bad(head, put_v2(head, 0x20 | command, 0x11, 12), 13,
                  "its command is neither LOCAL nor PROXY");
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        check_bad(head, put_v2(head, 0x21, families[i], 12), 14,
                  "it is not of TCP by IPv4 or IPv6, nor of a Unix socket");
    check_bad(head, put_v2(head, 0x21, 0x11, 11), 16, "it is too short for its addresses");
    check_bad(head, put_v2(head, 0x21, 0x11, 0), 16, "it is too short for its addresses");
    check_bad(head, put_v2(head, 0x21, 0x21, 35), 16, "it is too short for its addresses");
    check_bad(head, put_v2(head, 0x21, 0x31, 215), 16, "it is too short for its addresses");
    (void)put_v2(head, 0x21, 0x11, 2049);
    check_bad(head, 100, 16, "it is longer than 2064 bytes");
    (void)put_v2(head, 0x20, 0x00, 0xffff);
    check_bad(head, 100, 16, "it is longer than 2064 bytes");
}

/* ---- tokens ---- */

static const uint8_t token[RC_PROXY_TOKEN] = {1, 0, 255, 7, 42, 0, 0, 9,
                                              8, 7, 6,   5, 4,  3, 2, 224};

static struct rc_addr client_of(int family)
{
    struct rc_addr a = {.family = (uint8_t)family};

    if (family == AF_INET || family == AF_INET6) {
        a.port = 4660;
        for (size_t i = 0; i < (family == AF_INET ? 4u : 16u); i++)
            a.ip[i] = (uint8_t)(200 + i);
    }
    return a;
}

/* What is written is read as it was. */
Test(proxy_head, written)
{
    static const int families[] = {AF_INET, AF_INET6, AF_UNIX, 0};

    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        struct rc_addr from = client_of(families[i]);
        uint8_t head[RC_PROXY_WRITTEN];
        struct rc_proxy_head p;
        size_t n;

        memset(head, 0xaa, sizeof(head));
        n = rc_proxy_head_put(head, &from, token);
        cr_assert_leq(n, sizeof(head));
        p = check_good(head, n);
        cr_assert_eq(p.version, 2u);
        cr_assert(p.told);
        cr_assert(p.has_token);
        cr_assert_arr_eq(p.token, token, sizeof(token));
        from.family = i < 2 ? from.family : 0;
        cr_assert_arr_eq(&p.from, &from, sizeof(from));
    }
}

/* Appends a TLV to a header for TCP by IPv4; returns the length. */
static size_t put_tlv(uint8_t *head, size_t n, unsigned type, size_t len, const uint8_t *value)
{
    head[n++] = (uint8_t)type;
    head[n++] = (uint8_t)(len >> 8);
    head[n++] = (uint8_t)len;
    memcpy(head + n, value, len);
    n += len;
    head[14] = (uint8_t)((n - 16) >> 8);
    head[15] = (uint8_t)(n - 16);
    return n;
}

Test(proxy_head, token_among_others)
{
    static const uint8_t other[300] = {RC_PROXY_TOKEN_TYPE, 0, RC_PROXY_TOKEN, 1, 2, 3};
    uint8_t head[RC_PROXY_MAX];
    struct rc_proxy_head p;
    size_t n = put_v2(head, 0x21, 0x11, 12);

    n = put_tlv(head, n, 0x04, sizeof(other), other); /* no token, though it has one inside */
    cr_assert_not(check_good(head, n).has_token);
    n = put_tlv(head, n, RC_PROXY_TOKEN_TYPE, RC_PROXY_TOKEN - 1, other);
    n = put_tlv(head, n, RC_PROXY_TOKEN_TYPE, RC_PROXY_TOKEN + 1, other);
    n = put_tlv(head, n, RC_PROXY_TOKEN_TYPE, 0, other);
    cr_assert_not(check_good(head, n).has_token);
    n = put_tlv(head, n, RC_PROXY_TOKEN_TYPE, RC_PROXY_TOKEN, token);
    p = check_good(head, n);
    cr_assert(p.has_token);
    cr_assert_arr_eq(p.token, token, sizeof(token));
    n = put_tlv(head, n, RC_PROXY_TOKEN_TYPE, RC_PROXY_TOKEN, other);
    p = check_good(head, n);
    cr_assert_arr_eq(p.token, token, sizeof(token));
}

/* A TLV that is longer than what there is ends the list, and is none. */
Test(proxy_head, token_cut_off)
{
    uint8_t head[RC_PROXY_MAX];

    for (size_t left = 0; left < 3 + RC_PROXY_TOKEN; left++) {
        size_t n = put_v2(head, 0x21, 0x11, 12);

        (void)put_tlv(head, n, RC_PROXY_TOKEN_TYPE, RC_PROXY_TOKEN, token);
        head[15] = (uint8_t)(12 + left);
        cr_assert_not(check_good(head, n + left).has_token);
    }
}

/* Who says nothing of a client has no token either. */
Test(proxy_head, token_of_nobody)
{
    uint8_t head[RC_PROXY_MAX];
    size_t n = put_v2(head, 0x20, 0x11, 12);

    n = put_tlv(head, n, RC_PROXY_TOKEN_TYPE, RC_PROXY_TOKEN, token);
    cr_assert_not(check_good(head, n).has_token);
}

/* Who a client is behind proxies (src/net/forwarded.c): addresses as they are written, and chains. */
#include "rc/net/forwarded.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void check_address(const char *text, const char *expected)
{
    char out[RC_ADDR_TEXT];
    struct rc_addr a;

    cr_assert(rc_addr_parse(rc_str_of(text), &a), "%s", text);
    cr_assert_str_eq(rc_addr_text(&a, out), expected);
}

Test(forwarded, addresses)
{
    check_address("192.0.2.1", "192.0.2.1");
    check_address("192.0.2.1:80", "192.0.2.1:80");
    check_address("2001:db8::1", "2001:db8::1");
    check_address("::", "::");
    check_address("[2001:db8::1]", "2001:db8::1");
    check_address("[2001:db8::1]:65535", "[2001:db8::1]:65535");
    check_address("::ffff:192.0.2.1", "192.0.2.1");
    check_address("[::ffff:192.0.2.1]:1", "192.0.2.1:1");
}

Test(forwarded, what_is_no_address)
{
    static const char *const no[] = {
        "",
        "unknown",
        "_hidden",
        "localhost",
        "192.0.2",
        "192.0.2.1:",
        "192.0.2.1:x",
        "192.0.2.1:65536",
        "192.0.2.1:100000",
        "[192.0.2.1]",
        "[::1",
        "[::1]x",
        "[::1]:",
        "::1]",
        ":::",
        "192.0.2.1 ",
        "1:2",
        "[]",
        ":80",
        "fe80::1%lo",
    };
    struct rc_addr a;

    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        cr_assert_not(rc_addr_parse(rc_str_of(no[i]), &a), "%s", no[i]);
    cr_assert_not(rc_addr_parse(rc_str_make("1.2.3.4\0", 8), &a));
}

/* ---- chains ---- */

static struct rc_addr client_of(const char *peer, const char *headers)
{
    static const struct rc_http_limits limits = {
        .max_head = 8192, .max_target = 100, .max_headers = 100};
    struct rc_trust trust = {.n = 0};
    struct rc_addr from = {.family = AF_UNIX}, to;
    struct rc_http_req req;
    size_t scanned = 0;
    char head[4096];
    int status, n;

    cr_assert(rc_trust_add(&trust, RC_STR("10.0.0.0/8")));
    cr_assert(rc_trust_add(&trust, RC_STR("2001:db8::/32")));
    cr_assert_not(rc_trust_add(&trust, RC_STR("10.0.0.0/33")));
    if (strcmp(peer, "unix") != 0)
        cr_assert(rc_addr_parse(rc_str_of(peer), &from));
    n = snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", headers);
    cr_assert_eq(rc_http_parse_head(&req, head, (size_t)n, &scanned, &limits, &status), n);
    to = rc_forwarded_client(&trust, &from, &req);
    rc_trust_deinit(&trust);
    return to;
}

static void check_chain(const char *peer, const char *headers, const char *expected)
{
    struct rc_addr a = client_of(peer, headers);
    char text[RC_ADDR_TEXT];

    cr_assert_str_eq(rc_addr_text(&a, text), expected, "%s: %s", peer, headers);
}

#define FOR "X-Forwarded-For: "

Test(forwarded, chains)
{
    check_chain("10.0.0.1:5", "", "10.0.0.1:5");
    check_chain("10.0.0.1:5", FOR "192.0.2.7\r\n", "192.0.2.7");
    check_chain("10.0.0.1:5", "x-forwarded-FOR:192.0.2.7:99\r\n", "192.0.2.7:99");
    check_chain("2001:db8::5", FOR "[2001:dead::1]:7\r\n", "[2001:dead::1]:7");
    check_chain("unix", FOR "192.0.2.7\r\n", "192.0.2.7");
    check_chain("unix", "", "unix");
    /* What the client itself wrote is left of what the proxy knows. */
    check_chain("10.0.0.1:5", FOR "127.0.0.1, 192.0.2.7\r\n", "192.0.2.7");
    check_chain("10.0.0.1:5", FOR "1.1.1.1, 192.0.2.7 ,10.1.1.1,\t10.2.2.2\r\n", "192.0.2.7");
    check_chain("10.0.0.1:5", FOR "1.1.1.1\r\n" FOR "192.0.2.7\r\n", "192.0.2.7");
    check_chain("10.0.0.1:5", FOR "1.1.1.1, 192.0.2.7\r\nA: b\r\n" FOR "10.2.2.2\r\n",
                "192.0.2.7");
    check_chain("10.0.0.1:5", FOR "10.3.3.3, 10.2.2.2\r\n", "10.3.3.3");
    check_chain("10.0.0.1:5", FOR "::ffff:10.3.3.3\r\n", "10.3.3.3");
    check_chain("10.0.0.1:5", FOR ", ,192.0.2.7,,\r\n" FOR "\r\n", "192.0.2.7");
}

Test(forwarded, nothing_counts_behind_what_is_no_address)
{
    check_chain("10.0.0.1:5", FOR "192.0.2.7, unknown\r\n", "10.0.0.1:5");
    check_chain("10.0.0.1:5", FOR "192.0.2.7, unknown, 10.2.2.2\r\n", "10.2.2.2");
    check_chain("10.0.0.1:5", FOR "192.0.2.7\r\n" FOR "unknown\r\n", "10.0.0.1:5");
}

Test(forwarded, others_are_not_believed)
{
    check_chain("192.0.2.9:5", FOR "10.0.0.1\r\n", "192.0.2.9:5");
    check_chain("11.0.0.1:5", FOR "192.0.2.7\r\n", "11.0.0.1:5");
    check_chain("2001:db9::1", FOR "192.0.2.7\r\n", "2001:db9::1");
}

Test(forwarded, an_unknown_client_is_not_trusted)
{
    const struct rc_addr nobody = {.family = 0}, local = {.family = AF_UNIX};
    struct rc_trust trust = {.n = 0};

    cr_assert_not(rc_trust_has(&trust, &nobody));
    cr_assert(rc_trust_has(&trust, &local));
    cr_assert(rc_trust_add(&trust, RC_STR("0.0.0.0/0")));
    cr_assert_not(rc_trust_has(&trust, &nobody));
    rc_trust_deinit(&trust);
}

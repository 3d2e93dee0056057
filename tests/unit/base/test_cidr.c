#include "rc/base/cidr.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>

static bool is_in(const char *net, const char *ip)
{
    unsigned family = strchr(ip, ':') != NULL ? AF_INET6 : AF_INET;
    uint8_t bytes[16];
    struct rc_cidr c;

    cr_assert(rc_cidr_parse(rc_str_of(net), &c));
    cr_assert_eq(inet_pton((int)family, ip, bytes), 1);
    return rc_cidr_has(&c, family, bytes);
}

Test(cidr, addresses_in_networks)
{
    cr_assert(is_in("10.0.0.0/8", "10.255.0.1"));
    cr_assert_not(is_in("10.0.0.0/8", "11.0.0.1"));
    cr_assert(is_in("192.168.4.0/23", "192.168.5.255"));
    cr_assert_not(is_in("192.168.4.0/23", "192.168.6.0"));
    cr_assert(is_in("127.0.0.1", "127.0.0.1"));
    cr_assert_not(is_in("127.0.0.1", "127.0.0.2"));
    cr_assert(is_in("0.0.0.0/0", "203.0.113.9"));
    cr_assert(is_in("2001:db8::/33", "2001:db8:7fff::1"));
    cr_assert_not(is_in("2001:db8::/33", "2001:db8:8000::1"));
    cr_assert(is_in("::1", "::1"));
    cr_assert_not(is_in("::/0", "1.2.3.4"));
    cr_assert_not(is_in("0.0.0.0/0", "::1"));
    cr_assert(is_in("10.0.0.0/8", "::ffff:10.1.2.3"));
    cr_assert_not(is_in("10.0.0.0/8", "::ffff:11.1.2.3"));
}

Test(cidr, what_is_no_network)
{
    static const char *const bad[] = {
        "",          "10.0.0.0/",   "10.0.0.0/33", "10.0.0.1/8",   "10.0.0/8",      "/8",
        "::1/129",   "::1/64",      "10.0.0.0/08", "10.0.0.0/8 ",  "10.0.0.0/0008", "localhost",
        "[::1]/128", "10.0.0.0/-1", "fe80::1%lo",  "2001:db8::/28"};
    struct rc_cidr c;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(rc_cidr_parse(rc_str_of(bad[i]), &c), "%s", bad[i]);
    cr_assert_not(rc_cidr_parse(rc_str_make("10.0.0.1\0/32", 12), &c));
}

static uint64_t key_of(const char *ip)
{
    unsigned family = strchr(ip, ':') != NULL ? AF_INET6 : AF_INET;
    uint8_t bytes[16];

    cr_assert_eq(inet_pton((int)family, ip, bytes), 1);
    return rc_cidr_key(family, bytes);
}

Test(cidr, key_of_an_address)
{
    static const uint8_t none[16];

    cr_assert_neq(key_of("10.0.0.1"), key_of("10.0.0.2"));
    cr_assert_eq(key_of("10.0.0.1"), key_of("::ffff:10.0.0.1"));
    cr_assert_eq(key_of("2001:db8::1"), key_of("2001:db8::ffff:0:0:2"));
    cr_assert_neq(key_of("2001:db8::1"), key_of("2001:db8:0:1::1"));
    cr_assert_neq(key_of("0.0.0.0"), 0);
    cr_assert_neq(key_of("::1"), 0);
    cr_assert_neq(key_of("::1"), key_of("0.0.0.1"));
    cr_assert_eq(rc_cidr_key(AF_UNIX, none), 0);
}

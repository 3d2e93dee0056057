#include "rc/broker/admission.h"

#include "rc/base/hash.h"
#include "rc/base/thread.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of options "limits.key=value", as many as the last NULL says. */
static struct rc_admission *made(struct rc_conf *conf, const char *const *options,
                                 uint32_t max_conns)
{
    struct rc_conf_errors e = {0};
    char *copy[8];
    unsigned n = 0;

    cr_assert_eq(rc_hash_init(), RC_OK);
    for (; options[n] != NULL; n++)
        copy[n] = (char *)(uintptr_t)options[n];
    cr_assert_eq(rc_conf_load(conf, NULL, copy, n, &e), RC_OK);
    return rc_admission_new(conf, max_conns);
}

static struct rc_addr addr(const char *ip)
{
    struct rc_addr a = {.port = 1};

    a.family = strchr(ip, ':') != NULL ? AF_INET6 : AF_INET;
    cr_assert_eq(inet_pton(a.family, ip, a.ip), 1);
    return a;
}

static enum rc_refusal enter(struct rc_admission *ad, const char *ip, uint64_t now,
                             uint32_t *ticket)
{
    struct rc_addr a = addr(ip);

    return rc_admission_enter(ad, &a, now, ticket);
}

static uint64_t addresses(const struct rc_admission *ad)
{
    struct rc_admission_stats s;

    rc_admission_stats(ad, &s);
    return s.addresses;
}

Test(admission, connections_of_an_address)
{
    static const char *const options[] = {"limits.max_connections_per_address=2", NULL};
    struct rc_conf conf;
    struct rc_admission *ad = made(&conf, options, 100);
    uint32_t t[4];

    cr_assert_eq(enter(ad, "10.0.0.1", 1, &t[0]), RC_ADMITTED);
    cr_assert_eq(enter(ad, "10.0.0.1", 1, &t[1]), RC_ADMITTED);
    cr_assert_eq(enter(ad, "10.0.0.1", 1, &t[2]), RC_REFUSAL_ADDRESS);
    cr_assert_eq(t[2], 0);
    cr_assert_eq(enter(ad, "::ffff:10.0.0.1", 1, &t[2]), RC_REFUSAL_ADDRESS);
    cr_assert_eq(enter(ad, "10.0.0.2", 1, &t[3]), RC_ADMITTED);
    cr_assert_eq(addresses(ad), 2);
    rc_admission_leave(ad, t[0], 2);
    cr_assert_eq(enter(ad, "10.0.0.1", 2, &t[0]), RC_ADMITTED);
    for (unsigned i = 0; i < 4; i++)
        rc_admission_leave(ad, t[i], 3);
    cr_assert_eq(addresses(ad), 0, "an address without connections is forgotten");
    rc_admission_free(ad);
    rc_conf_free(&conf);
}

Test(admission, ipv6_by_64)
{
    static const char *const options[] = {"limits.max_connections_per_address=1", NULL};
    struct rc_conf conf;
    struct rc_admission *ad = made(&conf, options, 100);
    uint32_t t[3];

    cr_assert_eq(enter(ad, "2001:db8:0:1::1", 1, &t[0]), RC_ADMITTED);
    cr_assert_eq(enter(ad, "2001:db8:0:1:ffff::2", 1, &t[1]), RC_REFUSAL_ADDRESS);
    cr_assert_eq(enter(ad, "2001:db8:0:2::1", 1, &t[1]), RC_ADMITTED);
    cr_assert_eq(enter(ad, "::2", 1, &t[2]), RC_ADMITTED, "the network of zeros is one, too");
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_neq(t[i], 0);
        rc_admission_leave(ad, t[i], 1);
    }
    rc_admission_free(ad);
    rc_conf_free(&conf);
}

Test(admission, exempt_networks_and_peers_without_an_address)
{
    static const char *const options[] = {"limits.max_connections_per_address=1",
                                          "limits.exempt_networks=10.1.0.0/16", NULL};
    const struct rc_addr local = {.family = AF_UNIX};
    struct rc_conf conf;
    struct rc_admission *ad = made(&conf, options, 100);
    uint32_t t;

    for (unsigned i = 0; i < 10; i++) {
        cr_assert_eq(enter(ad, "10.1.2.3", 1, &t), RC_ADMITTED);
        cr_assert_eq(t, 0);
        cr_assert_eq(rc_admission_enter(ad, &local, 1, &t), RC_ADMITTED);
        cr_assert_eq(t, 0);
        rc_admission_leave(ad, t, 1);
    }
    cr_assert_eq(enter(ad, "127.0.0.1", 1, &t), RC_ADMITTED);
    cr_assert_neq(t, 0, "not exempt any more");
    cr_assert_eq(addresses(ad), 1);
    rc_admission_free(ad);
    rc_conf_free(&conf);
}

Test(admission, a_reload_changes_what_is_exempt)
{
    static const char *const before[] = {"limits.max_connections_per_address=1",
                                         "limits.exempt_networks=10.1.0.0/16", NULL};
    static const char *const after[] = {"limits.max_connections_per_address=1",
                                        "limits.exempt_networks=10.2.0.0/16, ::1", NULL};
    struct rc_conf conf, next;
    struct rc_admission *ad = made(&conf, before, 100), *other = made(&next, after, 100);
    uint32_t was_exempt, t, counted;

    cr_assert_eq(enter(ad, "10.1.0.1", 1, &was_exempt), RC_ADMITTED);
    cr_assert_eq(enter(ad, "10.2.0.1", 1, &counted), RC_ADMITTED);
    cr_assert_eq(enter(ad, "10.2.0.1", 1, &t), RC_REFUSAL_ADDRESS);
    rc_admission_set(ad, &next);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(enter(ad, "10.2.0.1", 1, &t), RC_ADMITTED);
    cr_assert_eq(t, 0);
    cr_assert_eq(enter(ad, "10.1.0.1", 1, &t), RC_ADMITTED, "the first that counts");
    cr_assert_neq(t, 0);
    rc_admission_leave(ad, was_exempt, 2);
    cr_assert_eq(enter(ad, "10.1.0.1", 1, &was_exempt), RC_REFUSAL_ADDRESS);
    rc_admission_leave(ad, t, 2);
    rc_admission_leave(ad, counted, 2);
    cr_assert_eq(addresses(ad), 0);
    rc_admission_free(other);
    rc_admission_free(ad);
    rc_conf_free(&next);
    rc_conf_free(&conf);
}

Test(admission, rate_of_an_address_outlives_its_connections)
{
    static const char *const options[] = {"limits.accept_rate_per_address=1",
                                          "limits.accept_burst_per_address=3", NULL};
    struct rc_conf conf;
    struct rc_admission *ad = made(&conf, options, 100);
    uint32_t t;

    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(enter(ad, "10.0.0.1", 1000, &t), RC_ADMITTED);
        rc_admission_leave(ad, t, 1000);
    }
    cr_assert_eq(enter(ad, "10.0.0.1", 1999, &t), RC_REFUSAL_ADDRESS_RATE);
    cr_assert_eq(enter(ad, "10.0.0.2", 1999, &t), RC_ADMITTED);
    rc_admission_leave(ad, t, 1999);
    cr_assert_eq(enter(ad, "10.0.0.1", 2000, &t), RC_ADMITTED);
    rc_admission_leave(ad, t, 10000);
    rc_admission_free(ad);
    rc_conf_free(&conf);
}

Test(admission, rate_in_total)
{
    static const char *const options[] = {"limits.accept_rate=10", "limits.accept_burst=2",
                                          NULL};
    struct rc_conf conf;
    struct rc_admission *ad = made(&conf, options, 100);

    cr_assert_eq(rc_admission_total(ad, 500), RC_ADMITTED);
    cr_assert_eq(rc_admission_total(ad, 500), RC_ADMITTED);
    cr_assert_eq(rc_admission_total(ad, 500), RC_REFUSAL_RATE);
    cr_assert_eq(rc_admission_total(ad, 600), RC_ADMITTED);
    rc_admission_free(ad);
    rc_conf_free(&conf);
}

Test(admission, bad_tokens)
{
    static const char *const options[] = {"limits.auth_failure_rate=2",
                                          "limits.auth_failure_burst=2", NULL};
    const struct rc_addr a = addr("192.0.2.1"), b = addr("192.0.2.2"), lo = addr("127.0.0.1");
    struct rc_admission_stats s;
    struct rc_conf conf;
    struct rc_admission *ad = made(&conf, options, 100);

    cr_assert_eq(rc_admission_token_wait(ad, &a, 1000), 0);
    cr_assert_eq(addresses(ad), 0, "good ones are not remembered");
    rc_admission_token_bad(ad, &a, 1000);
    cr_assert_eq(rc_admission_token_wait(ad, &a, 1000), 0);
    rc_admission_token_bad(ad, &a, 1000);
    cr_assert_eq(rc_admission_token_wait(ad, &a, 1000), 500);
    cr_assert_eq(rc_admission_token_wait(ad, &b, 1000), 0);
    cr_assert_eq(rc_admission_token_wait(ad, &a, 1500), 0);
    for (unsigned i = 0; i < 100; i++)
        rc_admission_token_bad(ad, &lo, 1000);
    cr_assert_eq(rc_admission_token_wait(ad, &lo, 1000), 0);
    rc_admission_stats(ad, &s);
    cr_assert_eq(s.tokens_unlooked, 1);
    rc_admission_free(ad);
    rc_conf_free(&conf);
}

/* What is remembered is bounded, and those who are connected are never forgotten for it. */
Test(admission, many_addresses)
{
    static const char *const options[] = {"limits.max_connections_per_address=1",
                                          "limits.accept_rate_per_address=1",
                                          "limits.accept_burst_per_address=2", NULL};
    struct rc_conf conf;
    struct rc_admission *ad = made(&conf, options, 640);
    uint32_t kept[100], t;

    for (unsigned i = 0; i < 100000; i++) {
        struct rc_addr a = {.family = AF_INET,
                            .ip = {1, (uint8_t)(i >> 16), (uint8_t)(i >> 8)}};

        a.ip[3] = (uint8_t)i;
        cr_assert_eq(rc_admission_enter(ad, &a, 5, i < 100 ? &kept[i] : &t), RC_ADMITTED);
        if (i >= 100)
            rc_admission_leave(ad, t, 5);
    }
    cr_assert_leq(addresses(ad), 64 * 512);
    for (unsigned i = 0; i < 100; i++) {
        struct rc_addr a = {.family = AF_INET, .ip = {1, 0, 0, (uint8_t)i}};

        cr_assert_eq(rc_admission_enter(ad, &a, 5000, &t), RC_REFUSAL_ADDRESS);
        rc_admission_leave(ad, kept[i], 5000);
    }
    /* A sweep takes the rest along, once there is no room. */
    for (unsigned i = 0; i < 100000; i++) {
        struct rc_addr a = {.family = AF_INET,
                            .ip = {2, (uint8_t)(i >> 16), (uint8_t)(i >> 8)}};

        a.ip[3] = (uint8_t)i;
        cr_assert_eq(rc_admission_enter(ad, &a, 10000 + i * 10, &t), RC_ADMITTED);
        rc_admission_leave(ad, t, 10000 + i * 10);
    }
    cr_assert_leq(addresses(ad), 64 * 512);
    rc_admission_free(ad);
    rc_conf_free(&conf);
}

static void *come_and_go(void *arg)
{
    struct rc_admission *ad = arg;
    uint32_t t[20];

    for (unsigned n = 0; n < 500; n++) {
        for (unsigned i = 0; i < 20; i++) {
            struct rc_addr a = {.family = AF_INET, .ip = {9, 9, 9, (uint8_t)i}};
            enum rc_refusal rc = rc_admission_enter(ad, &a, n, &t[i]);

            cr_assert(rc == RC_ADMITTED || rc == RC_REFUSAL_ADDRESS);
            cr_assert_eq(rc == RC_ADMITTED, t[i] != 0);
        }
        for (unsigned i = 0; i < 20; i++)
            rc_admission_leave(ad, t[i], n);
    }
    return NULL;
}

Test(admission, exact_from_several_threads)
{
    static const char *const options[] = {"limits.max_connections_per_address=2", NULL};
    struct rc_conf conf;
    struct rc_admission *ad = made(&conf, options, 100);
    pthread_t thread[4];
    uint32_t t[2];

    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&thread[i], NULL, come_and_go, ad), 0);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(pthread_join(thread[i], NULL), 0);
    cr_assert_eq(addresses(ad), 0);
    cr_assert_eq(enter(ad, "9.9.9.0", 1, &t[0]), RC_ADMITTED);
    cr_assert_eq(enter(ad, "9.9.9.0", 1, &t[1]), RC_ADMITTED);
    rc_admission_leave(ad, t[0], 1);
    rc_admission_leave(ad, t[1], 1);
    rc_admission_free(ad);
    rc_conf_free(&conf);
}

Test(admission, what_is_said)
{
    static const char *const options[] = {NULL};
    static const char want[] = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n"
                               "Retry-After: 5\r\nConnection: close\r\n\r\n";
    struct rc_admission_stats s;
    struct rc_conf conf;
    struct rc_admission *ad = made(&conf, options, 100);
    char text[256];
    int pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    rc_admission_turn_away(ad, pair[0], RC_REFUSAL_ADDRESS, true);
    cr_assert_eq(read(pair[1], text, sizeof(text)), (ssize_t)sizeof(want) - 1);
    cr_assert_arr_eq(text, want, sizeof(want) - 1);
    cr_assert_eq(read(pair[1], text, sizeof(text)), 0);
    (void)close(pair[1]);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    rc_admission_turn_away(ad, pair[0], RC_REFUSAL_MEMORY, false);
    cr_assert_eq(read(pair[1], text, sizeof(text)), 0, "TLS is not told in plain text");
    (void)close(pair[1]);
    rc_admission_stats(ad, &s);
    cr_assert_eq(s.refused[RC_REFUSAL_ADDRESS], 1);
    cr_assert_eq(s.refused[RC_REFUSAL_MEMORY], 1);
    cr_assert_str_eq(rc_refusal_key(RC_REFUSAL_ADDRESS), "max_connections_per_address");
    rc_admission_free(ad);
    rc_conf_free(&conf);
}

/* The least that may be set is less than what a process with some buffers has. */
Test(admission, memory)
{
    static const char *const options[] = {"limits.max_memory=64MiB", NULL};
    const size_t size = (size_t)96 << 20;
    struct rc_admission_stats s;
    struct rc_conf conf;
    struct rc_admission *ad = made(&conf, options, 100);
    char *p;

    rc_admission_watch(ad);
    rc_admission_stats(ad, &s);
    cr_assert_gt(s.memory_bytes, 0);
    cr_assert_eq(s.memory_ceiling_bytes, (uint64_t)64 << 20);
    p = malloc(size);
    cr_assert_not_null(p);
    for (size_t i = 0; i < size; i += 1024)
        ((volatile char *)p)[i] = 1;
    rc_admission_watch(ad);
    cr_assert(rc_admission_is_over(ad));
    cr_assert_eq(rc_admission_total(ad, 1), RC_REFUSAL_MEMORY);
    rc_admission_watch(ad);
    rc_admission_stats(ad, &s);
    cr_assert_eq(s.memory_over, 1);
    cr_assert_eq(s.memory_over_times, 1);
    free(p);
    rc_admission_free(ad);
    rc_conf_free(&conf);
}

Test(admission, none)
{
    const struct rc_addr a = {.family = AF_INET};
    uint32_t t = 7;

    cr_assert_eq(rc_admission_total(NULL, 1), RC_ADMITTED);
    cr_assert_eq(rc_admission_enter(NULL, &a, 1, &t), RC_ADMITTED);
    cr_assert_eq(t, 0);
    rc_admission_leave(NULL, t, 1);
    cr_assert_eq(rc_admission_token_wait(NULL, &a, 1), 0);
    rc_admission_token_bad(NULL, &a, 1);
    rc_admission_watch(NULL);
    cr_assert_not(rc_admission_is_over(NULL));
    rc_admission_free(NULL);
}

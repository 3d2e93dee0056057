#include "rc/cluster/url.h"

#include <criterion/criterion.h>

static bool parses(const char *text)
{
    struct rc_redis_url u;
    const char *expected;
    bool ok = rc_redis_url_parse(rc_str_of(text), &u, &expected) == RC_OK;

    rc_redis_url_deinit(&u);
    return ok;
}

static void check_tcp(const char *text, const char *user, const char *password,
                      const char *host, unsigned port, unsigned db)
{
    struct rc_redis_url u;
    const char *expected;

    cr_assert_eq(rc_redis_url_parse(rc_str_of(text), &u, &expected), RC_OK);
    cr_assert_str_eq(u.user, user);
    cr_assert_str_eq(u.password, password);
    cr_assert_str_eq(u.host, host);
    cr_assert_eq(u.port, port);
    cr_assert_eq(u.db, db);
    cr_assert_null(u.path);
    rc_redis_url_deinit(&u);
}

Test(url, hosts)
{
    check_tcp("redis://localhost", "", "", "localhost", 6379, 0);
    check_tcp("redis://localhost:7000/", "", "", "localhost", 7000, 0);
    check_tcp("redis://:secret@10.0.0.1/5", "", "secret", "10.0.0.1", 6379, 5);
    check_tcp("redis://ann:p%40ss%3aw%2Frd@[::1]:65535", "ann", "p@ss:w/rd", "::1", 65535, 0);
    check_tcp("redis://ann:a@b@host", "ann", "a@b", "host", 6379, 0);
}

Test(url, sockets)
{
    struct rc_redis_url u;
    const char *expected;

    cr_assert_eq(rc_redis_url_parse(RC_STR("unix:/run/redis.sock?db=3"), &u, &expected), RC_OK);
    cr_assert_str_eq(u.path, "/run/redis.sock");
    cr_assert_str_eq(u.shown, "unix:/run/redis.sock");
    cr_assert_eq(u.db, 3);
    cr_assert_null(u.host);
    rc_redis_url_deinit(&u);
    cr_assert(parses("unix:///run/redis.sock"));
}

Test(url, faults)
{
    static const char *const bad[] = {
        "",
        "redis:",
        "redis://",
        "redis:///1",
        "redis://h:",
        "redis://h:0",
        "redis://h:65536",
        "redis://h/x",
        "redis://h/65536",
        "redis://h h",
        "redis://[::1",
        "redis://[::1]x",
        "redis://%zz@h",
        "redis://:%0@h",
        "redis://:%00@h",
        "unix:",
        "unix:rel",
        "unix:/a?x=1",
        "unix:/a?db=",
        "rediss://h",
        "http://h",
        "redis://h:1:2",
    };

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(parses(bad[i]), "%s", bad[i]);
}

/* What is logged has no password in it. */
Test(url, shows_no_password)
{
    struct rc_redis_url u;
    const char *expected;

    cr_assert_eq(rc_redis_url_parse(RC_STR("redis://ann:secret@h:1"), &u, &expected), RC_OK);
    cr_assert_str_eq(u.shown, "redis://h:1");
    rc_redis_url_deinit(&u);
}

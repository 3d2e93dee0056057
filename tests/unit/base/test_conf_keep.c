/* What a reload must not change (src/base/conf_keep.c). */
#include "rc/base/conf.h"

#include <criterion/criterion.h>

/* Keeps `running` where it must, and compares what is told. */
static void check(const char *running, const char *wanted, const char *said,
                  struct rc_conf *conf)
{
    struct rc_conf_errors e = {.n = 0};
    struct rc_buf text = RC_BUF_INIT;
    struct rc_conf had;

    cr_assert_eq(rc_conf_load_text(&had, "t.ini", rc_str_of(running), NULL, 0, &e), RC_OK);
    cr_assert_eq(rc_conf_load_text(conf, "t.ini", rc_str_of(wanted), NULL, 0, &e), RC_OK);
    (void)rc_conf_keep(conf, &had, &text);
    rc_buf_putc(&text, '\0');
    cr_assert_str_eq((const char *)text.data, said);
    /* What it says now is what is in effect: there is nothing left to be told. */
    rc_buf_reset(&text);
    cr_assert_eq(rc_conf_keep(conf, &had, &text), 0u);
    rc_buf_deinit(&text);
    rc_conf_free(&had);
}

Test(conf_keep, nothing)
{
    struct rc_conf conf;

    check("[server]\nshards = 2\ntitle = a\n", "[server]\ntitle = b\nshards = 2\n", "", &conf);
    cr_assert_str_eq(conf.server_title, "b");
    rc_conf_free(&conf);
}

Test(conf_keep, keys)
{
    struct rc_conf conf;

    check(
        "[server]\nlisten = 127.0.0.1:0, [::1]:3\n[store]\nuser = \" a \\\"\"\npassword = x\n",
        "[server]\nlisten = :1\nbacklog = 7\n[store]\nuser = b\n[limits]\nmax_rooms = 5\n",
        "[server] listen: the change needs a restart; it stays 127.0.0.1:0, [::1]:3\n"
        "[server] backlog: the change needs a restart; it stays 1024\n"
        "[store] user: the change needs a restart; it stays \" a \\\"\"\n"
        "[store] password: the change needs a restart; it stays ********\n",
        &conf);
    cr_assert_eq(conf.server_listen.n, 2u);
    cr_assert_str_eq(conf.server_listen.item[1], "[::1]:3");
    cr_assert_eq(conf.server_backlog, 1024u);
    cr_assert_str_eq(conf.store_user, " a \"");
    cr_assert_str_eq(conf.store_password, "x");
    cr_assert_eq(conf.limits_max_rooms, 5u);
    rc_conf_free(&conf);
}

Test(conf_keep, listeners)
{
    struct rc_conf conf;

    check("[listen a]\naddress = :1\n[listen b]\naddress = :2\n[listen c]\naddress = :3\n",
          "[listen b]\naddress = :2\n[listen d]\naddress = :4\n[listen a]\naddress = :5\n",
          "[listen d]: a new one needs a restart\n"
          "[listen a]: the change needs a restart; it stays as it is\n"
          "[listen c]: the change needs a restart; it stays as it is\n",
          &conf);
    cr_assert_eq(conf.nsections, 3u);
    rc_conf_free(&conf);
}

Test(conf_keep, endpoints)
{
    struct rc_conf conf;

    check("[endpoint /a]\nprotocol = echo\nprefix = x\n[endpoint /b]\nprotocol = relay\n"
          "[endpoint /gone]\nprotocol = echo\n",
          "[endpoint /a]\nprotocol = echo\nprefix = y\n[endpoint /b]\nprotocol = json\n"
          "[endpoint /new]\nprotocol = echo\n",
          "[endpoint /b]: the change needs a restart; it stays as it is\n", &conf);
    cr_assert_eq(conf.nsections, 3u);
    for (unsigned i = 0; i < conf.nsections; i++) {
        const struct rc_conf_section *s = &conf.section[i];

        if (strcmp(s->nsp, "/a") == 0)
            cr_assert_str_eq(s->entry[1].value, "y");
        if (strcmp(s->nsp, "/b") == 0)
            cr_assert_str_eq(s->entry[0].value, "relay");
    }
    rc_conf_free(&conf);
}

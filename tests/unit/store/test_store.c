/* What needs no database. */
#include "rc/store/store.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The faults of these options, one line each. Static memory. */
static const char *faults(const char *const *option)
{
    static char text[2048];
    struct rc_conf_errors e = {0};
    struct rc_conf conf;
    char copy[8][160], *options[8];
    unsigned n = 0;

    for (; option[n] != NULL; n++) {
        (void)snprintf(copy[n], sizeof(copy[n]), "%s", option[n]);
        options[n] = copy[n];
    }
    if (rc_conf_load(&conf, NULL, options, n, &e) == RC_OK)
        rc_store_check(&conf, &e);
    (void)snprintf(text, sizeof(text), "%.*s", RC_STR_ARG(rc_buf_str(&e.text)));
    rc_buf_deinit(&e.text);
    rc_conf_free(&conf);
    return text;
}

#define FAULTS(...) faults((const char *const[]){__VA_ARGS__, NULL})

Test(store, checks_its_keys)
{
    cr_assert_str_eq(FAULTS("store.engine=none"), "");
    cr_assert_str_eq(FAULTS("store.engine=sqlite"),
                     "command line: [store] path = : expected a file with engine = sqlite\n");
    cr_assert_str_eq(FAULTS("store.engine=sqlite", "store.path=/tmp/x"), "");
    cr_assert_str_eq(FAULTS("store.engine=mariadb"), "");
    cr_assert_str_eq(FAULTS("store.engine=mariadb", "store.host=", "store.socket=/tmp/x"), "");
    cr_assert_str_eq(
        FAULTS("store.engine=mariadb", "store.host=", "store.database="),
        "command line: [store] host = : expected a host or a socket with engine = mariadb\n"
        "command line: [store] database = : expected a name with engine = mariadb\n");
    cr_assert_str_eq(FAULTS("store.engine=mariadb", "store.password_file=/nowhere"),
                     "command line: [store] password_file = /nowhere: No such file or "
                     "directory: create it, or correct the path\n");
    cr_assert_str_eq(
        FAULTS("store.engine=mariadb", "store.tls_ca=/nowhere"),
        "command line: [store] tls_ca = /nowhere: expected a file that can be read\n");
    cr_assert_str_eq(FAULTS("store.engine=oracle"), "command line: [store] engine = oracle: "
                                                    "expected none, sqlite or mariadb\n");
    cr_assert_str_eq(FAULTS("store.engine=mariadb", "store.tls=maybe"),
                     "command line: [store] tls = maybe: expected off, prefer or required\n");
}

Test(store, one_password)
{
    char path[] = "/tmp/roomcast-password-XXXXXX", option[64], fault[192];
    int fd = mkstemp(path);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, "secret\n", 7), 7);
    (void)close(fd);
    (void)snprintf(option, sizeof(option), "store.password_file=%s", path);
    (void)snprintf(fault, sizeof(fault),
                   "command line: [store] password_file = %s: expected either password or "
                   "password_file\n",
                   path);
    cr_assert_str_eq(FAULTS("store.engine=mariadb", option), "");
    cr_assert_str_eq(FAULTS("store.engine=mariadb", option, "store.password=x"), fault);
    cr_assert_eq(unlink(path), 0);
}

#include "tls_files.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

Test(tls_set, names)
{
    struct rc_tls_conf conf = {.certificate = NULL};
    struct rc_tls_set *set;
    struct tls_said said;

    tls_files_begin();
    tls_make_pair("a", "DNS:a.test, DNS:www.a.test", 30, NULL);
    tls_make_pair("b", "DNS:*.b.test, IP:127.0.0.1", 30, NULL);
    tls_make_pair("c", "DNS:one.b.test, DNS:*.c.test", 30, NULL);
    tls_make_pair("d", NULL, 30, NULL);
    set = tls_load(conf, "a, b, c, d", "a, b, c, d", &said);
    cr_assert_not_null(set, "%s", said.text);
    cr_assert_eq(rc_tls_set_find(set, "a.test"), 0u);
    cr_assert_eq(rc_tls_set_find(set, "x.b.test"), 1u);
    cr_assert_eq(rc_tls_set_find(set, "X.B.Test"), 1u);
    cr_assert_eq(rc_tls_set_find(set, "one.b.test"), 2u); /* the whole name wins */
    cr_assert_eq(rc_tls_set_find(set, "x.c.test"), 2u);
    cr_assert_eq(rc_tls_set_find(set, "cn.test"), 3u);
    cr_assert_eq(rc_tls_set_find(set, "b.test"), 0u);
    cr_assert_eq(rc_tls_set_find(set, "x.y.b.test"), 0u);
    cr_assert_eq(rc_tls_set_find(set, ".b.test"), 0u);
    cr_assert_eq(rc_tls_set_find(set, "nobody.test"), 0u);
    cr_assert_eq(rc_tls_set_find(set, ""), 0u);
    rc_tls_set_unref(set);
    tls_files_end();
}

static void check_fault(struct rc_tls_conf conf, const char *certificates, const char *keys,
                        const char *text)
{
    struct tls_said said;

    cr_assert_null(tls_load(conf, certificates, keys, &said), "%s", text);
    cr_assert_gt(said.faults, 0u);
    cr_assert_not_null(strstr(said.text, text), "%s", said.text);
}

Test(tls_set, bad_files)
{
    struct rc_tls_conf conf = {.certificate = NULL};
    struct rc_tls_set *set;
    struct tls_said said;
    FILE *f;

    tls_files_begin();
    tls_make_pair("a", "DNS:a.test", 30, NULL);
    tls_make_pair("b", "DNS:b.test", 30, NULL);
    tls_make_pair("sealed", "DNS:c.test", 30, "secret");
    tls_make_pair("old", "DNS:old.test", -1, NULL);
    f = tls_create("empty", ".pem");
    (void)fclose(f);
    f = tls_create("empty", ".key");
    (void)fputs("no key\n", f);
    (void)fclose(f);
    check_fault(conf, "", "", "tls = yes needs a certificate and its key");
    check_fault(conf, "a, b", "a",
                "expected as many files as certificate has, in the same order: 2");
    check_fault(conf, "missing", "a",
                "missing.pem: No such file or directory; create it, or correct the path");
    check_fault(conf, "a", "missing", "missing.key: No such file or directory");
    check_fault(conf, "empty", "a", "empty.pem: there is no certificate in it");
    check_fault(conf, "a", "empty", "empty.key: there is no private key in it");
    check_fault(conf, "a, b", "b, a", "it is not the key of the certificate");
    check_fault(conf, "sealed", "sealed", "sealed.key: it is encrypted");
    conf.ciphers = "NO-SUCH-CIPHER";
    check_fault(conf, "a", "a", "ciphers = NO-SUCH-CIPHER: expected names");
    conf.ciphers = "TLS_NO_SUCH";
    check_fault(conf, "a", "a", "ciphers = TLS_NO_SUCH: expected names");
    conf.ciphers = "TLS_AES_128_GCM_SHA256, ECDHE-ECDSA-AES128-GCM-SHA256";
    conf.client_auth = RC_CLIENTAUTH_OPTIONAL;
    check_fault(conf, "a", "a", "client_auth needs it");
    conf.client_ca = tls_path("empty", ".pem");
    check_fault(conf, "a", "a", "client_ca = ");
    conf.client_auth = RC_CLIENTAUTH_OFF;
    set = tls_load(conf, "old", "old", &said);
    cr_assert_not_null(set);
    cr_assert_eq(said.warnings, 1u);
    cr_assert_not_null(strstr(said.text, "old.pem: it has expired on 20"));
    rc_tls_set_unref(set);
    tls_files_end();
}

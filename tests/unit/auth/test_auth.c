/* test_auth.c - [auth] of the INI: its files, its faults, and who is revoked. */
#include "kit.h"

#include "rc/auth/auth.h"
#include "rc/base/hash.h"
#include "rc/base/mem.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define SECRET "auth.secret=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char dir[] = "/tmp/roomcast-auth-XXXXXX";
static struct rc_conf conf;
static struct rc_conf_errors faults;
static struct rc_auth *auth;

static char *option(const char *key, const char *name)
{
    char text[256];

    (void)snprintf(text, sizeof(text), "%s=%s/%s", key, dir, name);
    return rc_strndup(text, strlen(text));
}

static void put_file(const char *name, struct rc_str text)
{
    char path[256];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text.p, text.len), (ssize_t)text.len);
    (void)close(fd);
}

static void set_up(void)
{
    cr_assert_eq(rc_hash_init(), RC_OK);
    /* Several tests may run in one process, as they do under the sanitizers. */
    memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
    cr_assert_not_null(mkdtemp(dir));
}

static void load(char *a, char *b, char *c)
{
    char *options[3] = {a, b, c};
    unsigned n = 0;

    while (n < 3 && options[n] != NULL)
        n++;
    faults = (struct rc_conf_errors){.n = 0};
    cr_assert_eq(rc_conf_load(&conf, NULL, options, n, &faults), RC_OK);
    auth = rc_auth_new(&conf, &faults);
    cr_assert((auth != NULL) == (faults.n == 0));
}

static bool told(const char *text)
{
    rc_buf_putc(&faults.text, '\0');
    return strstr((const char *)faults.text.data, text) != NULL;
}

static void unload(void)
{
    rc_auth_free(auth);
    rc_conf_free(&conf);
    rc_buf_deinit(&faults.text);
}

static void tear_down(void)
{
    static const char *const names[] = {"secret", "rsa.pem", "both.pem", "jwks", "revoked"};
    char path[256];

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(dir);
}

static enum rc_token_fault verify(struct kit *k, const char *payload)
{
    struct rc_token *t = NULL;
    enum rc_token_fault fault =
        rc_auth_verify(auth, kit_token(k, RC_ALG_HS256, NULL, payload), KIT_NOW, &t);

    cr_assert((fault == RC_TOKEN_NONE) == (t != NULL));
    free(t);
    return fault;
}

Test(auth_conf, the_secret_of_the_file_ends_before_its_line_break)
{
    static const char *const ends[] = {"", "\n", "\r\n"};
    char text[128], *file;
    struct kit k;

    set_up();
    kit_make(&k);
    file = option("auth.secret_file", "secret");
    for (unsigned i = 0; i < 3; i++) {
        (void)snprintf(text, sizeof(text), "%s%s", kit_secret, ends[i]);
        put_file("secret", rc_str_of(text));
        load(file, NULL, NULL);
        cr_assert_not_null(auth);
        cr_assert_eq(verify(&k, "{\"sub\":\"a\"}"), RC_TOKEN_NONE);
        unload();
    }
    (void)snprintf(text, sizeof(text), "%s\n\n", kit_secret);
    put_file("secret", rc_str_of(text));
    load(file, NULL, NULL);
    cr_assert_eq(verify(&k, "{\"sub\":\"a\"}"), RC_TOKEN_SIGNATURE);
    unload();
    free(file);
    kit_free(&k);
    tear_down();
}

Test(auth_conf, policy)
{
    static char secret[] = SECRET, audience[] = "auth.audience=chat, rooms",
                user[] = "auth.user_claim=login";
    struct kit k;

    set_up();
    kit_make(&k);
    load(secret, audience, user);
    cr_assert_not_null(auth);
    cr_assert_eq(auth->policy.algs, RC_ALGS_ALL);
    cr_assert_eq(auth->policy.leeway_ms, 10000);
    cr_assert_eq(verify(&k, "{\"sub\":\"a\",\"aud\":\"rooms\"}"), RC_TOKEN_NO_USER);
    cr_assert_eq(verify(&k, "{\"login\":\"a\",\"aud\":\"rooms\"}"), RC_TOKEN_NONE);
    cr_assert_eq(verify(&k, "{\"login\":\"a\"}"), RC_TOKEN_AUDIENCE);
    unload();
    kit_free(&k);
    tear_down();
}

Test(auth_conf, several_files)
{
    char *pem, *jwks, list[512];
    struct rc_buf two = RC_BUF_INIT;
    struct kit k;

    set_up();
    kit_make(&k);
    put_file("rsa.pem", rc_buf_str(&k.pem[KIT_RSA]));
    rc_buf_puts(&two, rc_buf_str(&k.pem[KIT_P256]));
    rc_buf_puts(&two, rc_buf_str(&k.pem[KIT_ED25519]));
    put_file("both.pem", rc_buf_str(&two));
    put_file("jwks", RC_STR("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"use\":\"enc\"},"
                            "{\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlh"
                            "YmNkZWYwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg\"}]}"));
    (void)snprintf(list, sizeof(list), "auth.public_key=%s/rsa.pem, %s/both.pem", dir, dir);
    pem = list;
    jwks = option("auth.jwks", "jwks");
    load(pem, jwks, NULL);
    cr_assert_not_null(auth);
    cr_assert_eq(auth->keys.n, 4);
    cr_assert_eq(verify(&k, "{\"sub\":\"a\"}"), RC_TOKEN_NONE);
    unload();
    rc_buf_deinit(&two);
    free(jwks);
    kit_free(&k);
    tear_down();
}

Test(auth_conf, revoked)
{
    static char secret[] = SECRET;
    struct kit k;
    char *file;

    set_up();
    kit_make(&k);
    file = option("auth.revoked", "revoked");
    put_file("revoked", RC_STR("# users\n  user  ann lee \r\nuser\tbob\njti j1\n;x\n\njti j1"));
    load(secret, file, NULL);
    cr_assert_not_null(auth);
    cr_assert_eq(auth->revoked.n, 3);
    cr_assert_eq(verify(&k, "{\"sub\":\"ann lee\"}"), RC_TOKEN_REVOKED);
    cr_assert_eq(verify(&k, "{\"sub\":\"b\\u006fb\"}"), RC_TOKEN_REVOKED);
    cr_assert_eq(verify(&k, "{\"sub\":\"x\",\"jti\":\"j1\"}"), RC_TOKEN_REVOKED);
    cr_assert_eq(verify(&k, "{\"sub\":\"j1\",\"jti\":\"bob\"}"), RC_TOKEN_NONE);
    cr_assert_eq(verify(&k, "{\"sub\":\"ann\"}"), RC_TOKEN_NONE);
    unload();
    put_file("revoked", RC_STR("user a\nusers b\n"));
    load(secret, file, NULL);
    cr_assert_null(auth);
    cr_assert(told("revoked:2: expected user ID, jti ID"));
    unload();
    put_file("revoked", RC_STR("user \xff\n"));
    load(secret, file, NULL);
    cr_assert_null(auth);
    cr_assert(told("UTF-8"));
    unload();
    free(file);
    kit_free(&k);
    tear_down();
}

Test(auth_conf, faults)
{
    static char secret[] = SECRET, none[] = "auth.algorithms=none",
                rs[] = "auth.algorithms=RS256", nowhere[] = "auth.jwks=/nowhere/jwks";

    set_up();
    load(NULL, NULL, NULL);
    cr_assert(told("expected a key"));
    unload();
    load(secret, none, NULL);
    cr_assert(told("algorithms = none"));
    unload();
    load(secret, rs, NULL);
    cr_assert(told("there is no key for it"));
    cr_assert(told("none of them is listed"));
    unload();
    load(secret, nowhere, NULL);
    cr_assert(told("No such file"));
    cr_assert_not(told("0123456789abcdef"));
    unload();
    tear_down();
}

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

/* ---- tokens for development ---- */

static char dev_path[] = "auth.dev_tokens_path=/t";
static char secret[] = SECRET;

/* The answer to that body; good until the next call. */
static const char *ask(const char *body, int expected)
{
    static struct rc_buf answer;

    rc_buf_reset(&answer);
    cr_assert_eq(rc_auth_dev_token(auth, rc_str_of(body), KIT_NOW, &answer), expected, "%s",
                 body);
    rc_buf_putc(&answer, '\0');
    return (const char *)answer.data;
}

/* The user of the token in an answer. */
static void check_user(const char *answer, const char *user)
{
    struct rc_str text = rc_str_of(answer + strlen("{\"token\":\""));
    struct rc_token *token;

    text.len = strcspn(text.p, "\"");
    cr_assert_eq(rc_auth_verify(auth, text, KIT_NOW, &token), RC_TOKEN_NONE);
    cr_assert(rc_str_eq(token->user, rc_str_of(user)));
    cr_assert_eq(token->expires_ms, KIT_NOW + 90000);
    cr_assert_neq(token->id.len, 0u);
    free(token);
    cr_assert_eq(rc_auth_verify(auth, text, KIT_NOW + 90000 + 10001, &token), RC_TOKEN_EXPIRED);
}

Test(auth, dev_tokens_are_accepted_until_they_expire)
{
    char ttl[] = "auth.dev_tokens_ttl=90s";
    char name[160] = "{\"name\":\"", *end = name + strlen(name);
    const char *answer;

    load(secret, dev_path, ttl);
    answer = ask("{\"name\":\" \\tAnn Lee\\n\"}", RC_OK);
    check_user(answer, "Ann Lee");
    cr_assert_not_null(strstr(answer, "\"user\":\"Ann Lee\",\"expires\":1700000090000}"));
    check_user(ask("{\"name\":\"\\u540d\\ud83d\\ude00\",\"more\":1}", RC_OK),
               "\u540d\U0001f600");
    memset(end, 'x', 64);
    memcpy(end + 64, "\"}", 3);
    (void)ask(name, RC_OK);
    memcpy(end + 64, "x\"}", 4);
    (void)ask(name, RC_EINVAL);
    unload();
}

Test(auth, dev_tokens_only_for_what_can_be_a_user)
{
    static const char *const bodies[] = {"",
                                         "x",
                                         "[]",
                                         "\"Ann\"",
                                         "{}",
                                         "{\"name\":1}",
                                         "{\"name\":null}",
                                         "{\"name\":\"a\",\"name\":\"b\"}",
                                         "{\"name\":\"a\"} x",
                                         "{\"name\":\"\xff\"}",
                                         "{\"name\":\"a\\u0000\"}"};
    static const char *const names[] = {"",      " \\t",     "a\\u0002b",
                                        "a\\nb", "a\\u007f", "\\u0085b"};
    char body[300];

    load(secret, dev_path, NULL);
    for (unsigned i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        (void)ask(bodies[i], RC_EPROTO);
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(body, sizeof(body), "{\"name\":\"%s\"}", names[i]);
        (void)ask(body, RC_EINVAL);
    }
    memcpy(body, "{\"name\":\"", 9); /* 43 characters of three bytes */
    for (unsigned i = 0; i < 43; i++)
        memcpy(body + 9 + 3 * (size_t)i, "\u540d", 3);
    memcpy(body + 9 + 129, "\"}", 3);
    (void)ask(body, RC_EINVAL);
    memcpy(body + 9 + 126, "\"}", 3);
    (void)ask(body, RC_OK);
    unload();
}

Test(auth, a_secret_of_its_own)
{
    char automatic[] = "auth.secret=auto";
    struct rc_buf text = RC_BUF_INIT;
    struct rc_token *token;
    char mine[1024];
    const char *answer;

    load(automatic, dev_path, NULL);
    cr_assert_eq(auth->keys.key[0].algs, RC_ALGS_HMAC);
    answer = ask("{\"name\":\"Ann\"}", RC_OK);
    (void)snprintf(mine, sizeof(mine), "%s", answer + strlen("{\"token\":\""));
    mine[strcspn(mine, "\"")] = '\0';
    cr_assert_eq(rc_auth_verify(auth, rc_str_of(mine), KIT_NOW, &token), RC_TOKEN_NONE);
    free(token);
    cr_assert_eq(rc_auth_read_secret(&conf, &text, &faults), RC_EINVAL);
    cr_assert(told("only the running server knows it"));
    unload();
    load(automatic, NULL, NULL); /* another process has another */
    cr_assert_eq(rc_auth_verify(auth, rc_str_of(mine), KIT_NOW, &token), RC_TOKEN_SIGNATURE);
    cr_assert_eq(auth->dev.algs, 0u);
    unload();
}

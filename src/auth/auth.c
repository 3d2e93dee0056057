/* auth.c - loads what [auth] names, and checks tokens by it. */
#include "rc/auth/auth.h"

#include "rc/base/b64.h"
#include "rc/base/hash.h"
#include "rc/base/log.h"
#include "rc/base/mem.h"
#include "rc/base/utf8.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>

enum {
    REVOKED_FILE_MAX = 64 << 20,
    WHY_SIZE = 160,
};

/* A line of the file of revocations. */
enum revoked_kind { REVOKED_USER, REVOKED_ID };
struct revoked {
    enum revoked_kind kind;
    struct rc_str name;
    char bytes[];
};

static void fault(struct rc_conf_errors *e, const struct rc_conf *conf, const char *key,
                  const char *value, const char *why)
{
    rc_conf_fault(e, conf, "auth", key, "[auth] %s = %s: %s", key, value, why);
}

/* False: it cannot be read, and that was told. */
static bool read_file(const struct rc_conf *conf, const char *key, const char *file, size_t max,
                      struct rc_buf *text, struct rc_conf_errors *e)
{
    char why[WHY_SIZE];
    int err = rc_conf_read_file(file, max, text);

    if (err == 0)
        return true;
    fault(e, conf, key, file, rc_conf_reason(err, why, sizeof(why)));
    return false;
}

/* ---- keys ---- */

int rc_auth_read_secret(const struct rc_conf *conf, struct rc_buf *secret,
                        struct rc_conf_errors *e)
{
    const char *file = conf->auth_secret_file;

    if (file[0] == '\0' && conf->auth_secret[0] == '\0')
        return RC_ENOENT;
    if (file[0] != '\0' && conf->auth_secret[0] != '\0') {
        fault(e, conf, "secret_file", file, "expected either secret or secret_file");
        return RC_EINVAL;
    }
    if (strcmp(conf->auth_secret, "auto") == 0) {
        fault(
            e, conf, "secret", "auto",
            "only the running server knows it: give both, the server and this, one that lasts, "
            "with -o auth.secret= -o auth.secret_file=FILE (openssl rand -hex 32 >FILE)");
        return RC_EINVAL;
    }
    if (file[0] == '\0') {
        rc_buf_putz(secret, conf->auth_secret);
        return RC_OK;
    }
    if (!read_file(conf, "secret_file", file, RC_SECRET_MAX + 2, secret, e))
        return RC_EINVAL;
    if (secret->len != 0 && secret->data[secret->len - 1] == '\n')
        secret->len--;
    if (secret->len != 0 && secret->data[secret->len - 1] == '\r')
        secret->len--;
    return RC_OK;
}

static void wipe(struct rc_buf *secret)
{
    if (secret->data != NULL)
        OPENSSL_cleanse(secret->data, secret->cap);
    rc_buf_deinit(secret);
}

/* A secret that nobody else knows, and that ends with this process. */
static int make_secret(struct rc_auth *a, struct rc_buf *secret)
{
    if (!a->has_made && RAND_bytes(a->made, sizeof(a->made)) != 1)
        return RC_ESYS;
    a->has_made = true;
    rc_b64_put(secret, RC_B64_URL, a->made, sizeof(a->made));
    return RC_OK;
}

static int find_secret(struct rc_auth *a, struct rc_buf *secret, struct rc_conf_errors *e)
{
    if (strcmp(a->conf->auth_secret, "auto") != 0 || a->conf->auth_secret_file[0] != '\0')
        return rc_auth_read_secret(a->conf, secret, e);
    if (make_secret(a, secret) == RC_OK)
        return RC_OK;
    fault(e, a->conf, "secret", "auto", "there is no randomness to make one of");
    return RC_ESYS;
}

static void load_secret(struct rc_auth *a, struct rc_conf_errors *e)
{
    const struct rc_conf *conf = a->conf;
    struct rc_buf secret = RC_BUF_INIT;
    char why[RC_KEY_WHY] = "";
    bool from_file = conf->auth_secret_file[0] != '\0';

    if (find_secret(a, &secret, e) == RC_OK &&
        (rc_keys_add_secret(&a->keys, rc_buf_str(&secret), why) != RC_OK ||
         (conf->auth_dev_tokens_path[0] != '\0' &&
          rc_signer_secret(&a->dev, rc_buf_str(&secret), why) != RC_OK)))
        fault(e, conf, from_file ? "secret_file" : "secret",
              from_file ? conf->auth_secret_file : "...", why);
    wipe(&secret);
}

static void load_files(struct rc_auth *a, struct rc_conf_errors *e)
{
    const struct rc_conf *conf = a->conf;
    struct rc_buf text = RC_BUF_INIT;
    char why[RC_KEY_WHY] = "";
    unsigned skipped = 0;

    for (unsigned i = 0; i < conf->auth_public_key.n; i++) {
        const char *file = conf->auth_public_key.item[i];

        rc_buf_reset(&text);
        if (read_file(conf, "public_key", file, RC_KEY_FILE_MAX, &text, e) &&
            rc_keys_add_pem(&a->keys, rc_buf_str(&text), why) != RC_OK)
            fault(e, conf, "public_key", file, why);
    }
    rc_buf_reset(&text);
    if (conf->auth_jwks[0] != '\0' &&
        read_file(conf, "jwks", conf->auth_jwks, RC_KEY_FILE_MAX, &text, e)) {
        if (rc_keys_add_jwks(&a->keys, rc_buf_str(&text), &skipped, why) != RC_OK)
            fault(e, conf, "jwks", conf->auth_jwks, why);
        else if (skipped != 0)
            rc_log(RC_LOG_INFO,
                   "auth.jwks: left out %u that are not for signatures of a known type",
                   skipped);
    }
    wipe(&text);
}

uint32_t rc_auth_algorithms(const struct rc_conf *conf, struct rc_conf_errors *e)
{
    uint32_t bits = 0;

    for (unsigned i = 0; i < conf->auth_algorithms.n; i++) {
        const char *name = conf->auth_algorithms.item[i];
        int alg = rc_alg_find(rc_str_of(name));

        if (alg >= 0)
            bits |= RC_ALG_BIT(alg);
        else
            fault(e, conf, "algorithms", name,
                  "expected HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, "
                  "ES256, ES384, ES512 or EdDSA");
    }
    return conf->auth_algorithms.n != 0 ? bits : RC_ALGS_ALL;
}

/* Each algorithm needs a key, and each key an algorithm: else somebody expects what is not. */
static void check_keys(const struct rc_auth *a, struct rc_conf_errors *e)
{
    uint32_t have = rc_keys_algs(&a->keys);

    if (a->keys.n == 0) {
        rc_conf_fault(e, a->conf, "auth", "mode",
                      "[auth]: expected a key to verify tokens with: secret, secret_file, "
                      "public_key or jwks");
        return;
    }
    for (unsigned i = 0; i < a->conf->auth_algorithms.n; i++) {
        int alg = rc_alg_find(rc_str_of(a->conf->auth_algorithms.item[i]));

        if (alg >= 0 && (have & RC_ALG_BIT(alg)) == 0)
            fault(e, a->conf, "algorithms", a->conf->auth_algorithms.item[i],
                  "there is no key for it, or the secret is too short (as many bits as the "
                  "hash has)");
    }
    for (unsigned i = 0; i < a->keys.n; i++)
        if ((a->keys.key[i].algs & a->policy.algs) == 0)
            rc_conf_fault(e, a->conf, "auth", "algorithms",
                          "[auth] algorithms: there is a key for %s and the like, but none of "
                          "them is listed",
                          rc_alg_name((enum rc_alg)__builtin_ctz(a->keys.key[i].algs)));
}

/* Who wants tokens for everybody should not believe to have them. */
static void check_dev_tokens(const struct rc_auth *a, struct rc_conf_errors *e)
{
    const char *path = a->conf->auth_dev_tokens_path;

    if (path[0] == '\0')
        return;
    if (a->dev.algs == 0)
        fault(e, a->conf, "dev_tokens_path", path,
              "expected secret or secret_file to sign with");
    else if ((a->policy.algs & RC_ALG_BIT(RC_ALG_HS256)) == 0)
        fault(e, a->conf, "dev_tokens_path", path, "expected HS256 among algorithms");
}

/* ---- revocations ---- */

static uint64_t hash_of(enum revoked_kind kind, struct rc_str name)
{
    return rc_hash(name.p, name.len, (uint64_t)kind);
}

static bool same(const void *value, const void *key)
{
    const struct revoked *r = value, *k = key;

    return r->kind == k->kind && rc_str_eq(r->name, k->name);
}

static bool is_revoked(const struct rc_auth *a, enum revoked_kind kind, struct rc_str name)
{
    const struct revoked key = {.kind = kind, .name = name};

    return rc_hmap_find(&a->revoked, hash_of(kind, name), same, &key) != NULL;
}

static void revoke(struct rc_auth *a, enum revoked_kind kind, struct rc_str name)
{
    struct revoked *r;

    if (is_revoked(a, kind, name))
        return;
    r = rc_malloc(sizeof(*r) + name.len);
    r->kind = kind;
    memcpy(r->bytes, name.p, name.len);
    r->name = rc_str_make(r->bytes, name.len);
    rc_hmap_insert(&a->revoked, hash_of(kind, name), r);
}

static struct rc_str trim(struct rc_str s)
{
    while (s.len != 0 && memchr(" \t\r", s.p[0], 3) != NULL)
        s = rc_str_skip(s, 1);
    while (s.len != 0 && memchr(" \t\r", s.p[s.len - 1], 3) != NULL)
        s.len--;
    return s;
}

/* "user ID" or "jti ID"; false: it is neither. */
static bool read_line(struct rc_auth *a, struct rc_str line)
{
    struct rc_str s = trim(line), name;

    if (s.len == 0 || s.p[0] == '#' || s.p[0] == ';')
        return true;
    if (rc_str_starts(s, RC_STR("user ")) || rc_str_starts(s, RC_STR("user\t"))) {
        name = trim(rc_str_skip(s, 5));
        revoke(a, REVOKED_USER, name);
        return true;
    }
    if (rc_str_starts(s, RC_STR("jti ")) || rc_str_starts(s, RC_STR("jti\t"))) {
        name = trim(rc_str_skip(s, 4));
        revoke(a, REVOKED_ID, name);
        return true;
    }
    return false;
}

static void load_revoked(struct rc_auth *a, struct rc_conf_errors *e)
{
    const char *file = a->conf->auth_revoked;
    struct rc_buf text = RC_BUF_INIT;
    struct rc_str rest;

    if (file[0] == '\0' || !read_file(a->conf, "revoked", file, REVOKED_FILE_MAX, &text, e)) {
        rc_buf_deinit(&text);
        return;
    }
    rest = rc_buf_str(&text);
    if (!rc_utf8_valid(rest))
        rc_conf_error(e, file, 0, "not valid UTF-8");
    for (unsigned line = 1; rest.len != 0; line++) {
        const char *end = memchr(rest.p, '\n', rest.len);
        size_t n = end != NULL ? (size_t)(end - rest.p) : rest.len;

        if (!read_line(a, rc_str_make(rest.p, n)))
            rc_conf_error(e, file, line, "expected user ID, jti ID, or a comment behind #");
        rest = rc_str_skip(rest, n + 1);
    }
    rc_buf_deinit(&text);
}

/* ---- all of it ---- */

struct rc_auth *rc_auth_new(const struct rc_conf *conf, struct rc_conf_errors *e)
{
    return rc_auth_renew(NULL, conf, e);
}

struct rc_auth *rc_auth_renew(const struct rc_auth *last, const struct rc_conf *conf,
                              struct rc_conf_errors *e)
{
    struct rc_auth *a = rc_calloc(1, sizeof(*a));
    unsigned before = e->n;

    a->conf = conf;
    a->has_made = last != NULL && last->has_made;
    if (a->has_made)
        memcpy(a->made, last->made, sizeof(a->made));
    a->policy = (struct rc_token_policy){
        .algs = rc_auth_algorithms(conf, e),
        .max_size = conf->auth_max_token_size,
        .leeway_ms = conf->auth_leeway,
        .require_expiry = conf->auth_require_expiry,
        .issuer = conf->auth_issuer.item,
        .nissuers = conf->auth_issuer.n,
        .audience = conf->auth_audience.item,
        .naudiences = conf->auth_audience.n,
        .user_claim = conf->auth_user_claim.item,
        .nuser_claims = conf->auth_user_claim.n,
    };
    load_secret(a, e);
    load_files(a, e);
    if (e->n == before) {
        check_keys(a, e);
        check_dev_tokens(a, e);
    }
    load_revoked(a, e);
    if (e->n == before)
        return a;
    rc_auth_free(a);
    return NULL;
}

void rc_auth_free(struct rc_auth *a)
{
    struct revoked *r;
    uint32_t cursor = 0;

    if (a == NULL)
        return;
    while ((r = rc_hmap_next(&a->revoked, &cursor)) != NULL)
        free(r);
    rc_hmap_deinit(&a->revoked);
    OPENSSL_cleanse(a->made, sizeof(a->made));
    rc_keys_deinit(&a->keys);
    rc_signer_deinit(&a->dev);
    free(a);
}

bool rc_auth_has_revoked(const struct rc_auth *a)
{
    return a->revoked.n != 0;
}

bool rc_auth_is_revoked(const struct rc_auth *a, const struct rc_token *token)
{
    return is_revoked(a, REVOKED_USER, token->user) ||
           (token->id.len != 0 && is_revoked(a, REVOKED_ID, token->id));
}

enum rc_token_fault rc_auth_verify(const struct rc_auth *a, struct rc_str text, uint64_t now_ms,
                                   struct rc_token **out)
{
    enum rc_token_fault fault = rc_token_verify(&a->keys, &a->policy, text, now_ms, out);

    if (fault != RC_TOKEN_NONE || !rc_auth_is_revoked(a, *out))
        return fault;
    free(*out);
    *out = NULL;
    return RC_TOKEN_REVOKED;
}

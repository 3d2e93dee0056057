/* keys.c - loads the keys that tokens are verified with, and says which algorithms each may. */
#include "rc/auth/keys.h"

#include "keys_int.h"
#include "rc/base/b64.h"
#include "rc/base/mem.h"

#include <jansson.h>
#include <jose/jwk.h>
#include <jose/openssl.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { RSA_MAX_EXPONENT_BITS = 64, RAW_MAX = 64 };

static const struct {
    const char *name;
    unsigned hash_bits;
} algs[RC_ALG_COUNT] = {
#define ALG_ROW(id, name, hash, sig) {name, hash},
    RC_ALG_MAP(ALG_ROW)
#undef ALG_ROW
};

const char *rc_alg_name(enum rc_alg alg)
{
    return algs[alg].name;
}

int rc_alg_find(struct rc_str name)
{
    for (int i = 0; i < RC_ALG_COUNT; i++)
        if (rc_str_eq(name, rc_str_of(algs[i].name)))
            return i;
    return -1;
}

RC_PRINTF(2, 3)
static int because(char *why, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(why, RC_KEY_WHY, fmt, ap);
    va_end(ap);
    ERR_clear_error();
    return RC_EINVAL;
}

/* ---- what a key of OpenSSL may verify ---- */

static uint32_t curve_alg(const char *group)
{
    if (strcmp(group, SN_X9_62_prime256v1) == 0)
        return RC_ALG_BIT(RC_ALG_ES256);
    if (strcmp(group, SN_secp384r1) == 0)
        return RC_ALG_BIT(RC_ALG_ES384);
    return strcmp(group, SN_secp521r1) == 0 ? RC_ALG_BIT(RC_ALG_ES512) : 0;
}

static int classify_rsa(const EVP_PKEY *pkey, struct rc_key *key, char *why)
{
    int bits = EVP_PKEY_get_bits(pkey);
    BIGNUM *e = NULL;
    bool ok = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_is_odd(e) &&
              !BN_is_one(e) && BN_num_bits(e) <= RSA_MAX_EXPONENT_BITS;

    BN_free(e);
    if (bits < RC_RSA_MIN_BITS || bits > RC_RSA_MAX_BITS)
        return because(why, "an RSA key of %d bits; expected %d to %d", bits, RC_RSA_MIN_BITS,
                       RC_RSA_MAX_BITS);
    if (!ok)
        return because(why, "an RSA key with an unusable exponent");
    key->algs = RC_ALGS_RSA;
    key->sig_len = (uint32_t)EVP_PKEY_get_size(pkey);
    return RC_OK;
}

int rc_key_classify(EVP_PKEY *pkey, struct rc_key *key, char *why)
{
    char group[64] = "";

    switch (EVP_PKEY_get_base_id(pkey)) {
    case EVP_PKEY_RSA: return classify_rsa(pkey, key, why);
    case EVP_PKEY_EC:
        if (EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) == 1)
            key->algs = curve_alg(group);
        if (key->algs == 0)
            return because(why, "an elliptic curve that no algorithm is for; expected P-256, "
                                "P-384 or P-521");
        return RC_OK;
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448:
        key->algs = RC_ALG_BIT(RC_ALG_EDDSA);
        key->sig_len = (uint32_t)EVP_PKEY_get_size(pkey);
        return RC_OK;
    default: return because(why, "expected a key of RSA, of an elliptic curve, or of EdDSA");
    }
}

/* ---- adding ---- */

static void free_key(struct rc_key *key)
{
    json_decref(key->jwk);
    EVP_PKEY_free(key->pkey);
    free(key->kid);
}

/* Takes over what key has, also when there is a fault. */
static int add(struct rc_keys *k, struct rc_key *key, char *why)
{
    for (unsigned i = 0; i < k->n; i++) {
        const struct rc_key *old = &k->key[i];

        if (key->kid != NULL && old->kid != NULL && strcmp(old->kid, key->kid) == 0 &&
            (old->algs & key->algs) != 0) {
            (void)because(why, "two keys with the kid \"%.64s\"", key->kid);
            free_key(key);
            return RC_EINVAL;
        }
    }
    if (k->n == RC_KEYS_MAX) {
        free_key(key);
        return because(why, "more than %d keys", RC_KEYS_MAX);
    }
    k->key = rc_realloc(k->key, (k->n + 1) * sizeof(*k->key));
    k->key[k->n++] = *key;
    return RC_OK;
}

/* The public members alone, so that no private part is ever kept. */
static json_t *public_jwk(EVP_PKEY *pkey)
{
    static const char *const members[] = {"kty", "n", "e", "crv", "x", "y"};
    jose_cfg_t *cfg = rc_jose_quiet();
    json_t *all = jose_openssl_jwk_from_EVP_PKEY(cfg, pkey), *jwk = NULL;

    jose_cfg_decref(cfg);
    if (all == NULL)
        return NULL;
    jwk = json_object();
    for (unsigned i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        json_t *value = json_object_get(all, members[i]);

        if (value != NULL && json_object_set(jwk, members[i], value) != 0) {
            json_decref(jwk);
            jwk = NULL;
            break;
        }
    }
    json_decref(all);
    return jwk;
}

/* kid and alg as a JWK says them: NULL and 0 when it does not. Takes over nothing. */
static int add_pkey(struct rc_keys *k, EVP_PKEY *pkey, const char *kid, uint32_t only,
                    char *why)
{
    EVP_PKEY_CTX *check = EVP_PKEY_CTX_new(pkey, NULL);
    struct rc_key key = {.kid = NULL};
    int rc = rc_key_classify(pkey, &key, why);
    bool sound = check != NULL && EVP_PKEY_public_check(check) == 1;

    EVP_PKEY_CTX_free(check);
    if (rc != RC_OK)
        return rc;
    if (!sound)
        return because(why, "a public key that cannot be one");
    if (only != 0 && (key.algs & only) == 0)
        return because(why, "a key whose alg does not fit its type");
    key.algs &= only != 0 ? only : RC_ALGS_ALL;
    if (key.algs == RC_ALG_BIT(RC_ALG_EDDSA)) {
        (void)EVP_PKEY_up_ref(pkey);
        key.pkey = pkey;
    } else if ((key.jwk = public_jwk(pkey)) == NULL) {
        return because(why, "a key that cannot be used");
    }
    if (kid != NULL)
        key.kid = rc_strndup(kid, strlen(kid));
    return add(k, &key, why);
}

json_t *rc_key_secret_jwk(struct rc_str secret)
{
    char *text = rc_malloc(RC_B64_SIZE(secret.len));
    size_t n = rc_b64_encode(RC_B64_URL, secret.p, secret.len, text);
    json_t *jwk = json_pack("{s:s,s:s}", "kty", "oct", "k", text);

    OPENSSL_cleanse(text, n);
    free(text);
    return jwk;
}

static int add_secret(struct rc_keys *k, struct rc_str secret, const char *kid, uint32_t only,
                      char *why)
{
    struct rc_key key = {.algs = rc_key_secret_algs(secret.len)};
    int rc = rc_key_check_secret(secret, why);

    if (rc != RC_OK)
        return rc;
    if (only != 0 && (key.algs & only) == 0)
        return because(why,
                       "a secret that does not fit its alg: it must be as long as the hash "
                       "(RFC 7518 section 3.2)");
    key.algs &= only != 0 ? only : RC_ALGS_ALL;
    key.jwk = rc_key_secret_jwk(secret);
    if (key.jwk == NULL)
        return because(why, "out of memory");
    if (kid != NULL)
        key.kid = rc_strndup(kid, strlen(kid));
    return add(k, &key, why);
}

uint32_t rc_key_secret_algs(size_t len)
{
    uint32_t bits = 0;

    for (unsigned i = RC_ALG_HS256; i <= RC_ALG_HS512; i++)
        if (len * 8 >= algs[i].hash_bits)
            bits |= RC_ALG_BIT(i);
    return bits;
}

int rc_key_check_secret(struct rc_str secret, char *why)
{
    if (secret.len < RC_SECRET_MIN || secret.len > RC_SECRET_MAX)
        return because(why, "a secret of %zu bytes; expected %d to %d (RFC 7518 section 3.2)",
                       secret.len, RC_SECRET_MIN, RC_SECRET_MAX);
    /* Whoever has the public key could sign with it. */
    if (memmem(secret.p, secret.len, "-----BEGIN ", 11) != NULL)
        return because(why, "a PEM file is no secret");
    return RC_OK;
}

int rc_keys_add_secret(struct rc_keys *k, struct rc_str secret, char *why)
{
    return add_secret(k, secret, NULL, 0, why);
}

/* ---- PEM ---- */

/* The public key in a block, or NULL. */
static EVP_PKEY *read_block(const char *name, const unsigned char *data, long len)
{
    const unsigned char *p = data;
    EVP_PKEY *pkey = NULL;

    if (strcmp(name, PEM_STRING_PUBLIC) == 0)
        return d2i_PUBKEY(NULL, &p, len);
    if (strcmp(name, PEM_STRING_RSA_PUBLIC) == 0)
        return d2i_PublicKey(EVP_PKEY_RSA, NULL, &p, len);
    if (strcmp(name, PEM_STRING_X509) == 0) {
        X509 *cert = d2i_X509(NULL, &p, len);

        pkey = cert != NULL ? X509_get_pubkey(cert) : NULL;
        X509_free(cert);
    }
    return pkey;
}

static int add_block(struct rc_keys *k, const char *name, const unsigned char *data, long len,
                     char *why)
{
    EVP_PKEY *pkey;
    int rc;

    if (strstr(name, "PRIVATE KEY") != NULL)
        return because(why, "a private key; only public ones are needed here "
                            "(openssl pkey -pubout)");
    pkey = read_block(name, data, len);
    if (pkey == NULL)
        return because(
            why, "expected PEM of a public key or of a certificate, not of \"%.64s\"", name);
    rc = add_pkey(k, pkey, NULL, 0, why);
    EVP_PKEY_free(pkey);
    return rc;
}

int rc_keys_add_pem(struct rc_keys *k, struct rc_str text, char *why)
{
    BIO *bio = text.len <= RC_KEY_FILE_MAX ? BIO_new_mem_buf(text.p, (int)text.len) : NULL;
    char *name = NULL, *header = NULL;
    unsigned char *data = NULL;
    bool chain = false;
    unsigned n = 0;
    int rc = RC_OK;
    long len = 0;

    while (rc == RC_OK && bio != NULL && !chain &&
           PEM_read_bio(bio, &name, &header, &data, &len) == 1) {
        rc = add_block(k, name, data, len, why);
        chain = strcmp(name, PEM_STRING_X509) == 0;
        n++;
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(data);
    }
    BIO_free(bio);
    ERR_clear_error(); /* the end of the file is one */
    if (rc == RC_OK && n == 0)
        return because(why, "there is no PEM of a public key in it");
    return rc;
}

/* ---- JWK ---- */

/* The member of that name; NULL when it is absent or no text. */
static const char *text_of(const json_t *jwk, const char *name)
{
    return json_string_value(json_object_get(jwk, name));
}

/* Is it a key for signatures? */
static bool is_for_signatures(const json_t *jwk)
{
    const json_t *use = json_object_get(jwk, "use"), *ops = json_object_get(jwk, "key_ops"),
                 *op;
    bool verifies = ops == NULL;
    size_t i;

    json_array_foreach(ops, i, op) verifies =
        verifies || (json_is_string(op) && strcmp(json_string_value(op), "verify") == 0);
    return verifies &&
           (use == NULL || (json_is_string(use) && strcmp(json_string_value(use), "sig") == 0));
}

static int add_oct(struct rc_keys *k, const json_t *jwk, const char *kid, uint32_t only,
                   char *why)
{
    struct rc_str text = rc_str_of(text_of(jwk, "k"));
    uint8_t raw[RC_SECRET_MAX + 4];
    int64_t n = text.len <= RC_B64_SIZE(RC_SECRET_MAX) - 1 && text.p != NULL
                    ? rc_b64_decode(RC_B64_URL, text, raw)
                    : -1;
    int rc;

    if (n < 0)
        return because(why, "a secret whose k is not base64url, or too long");
    rc = add_secret(k, rc_str_make(raw, (size_t)n), kid, only, why);
    OPENSSL_cleanse(raw, sizeof(raw));
    return rc;
}

static int add_okp(struct rc_keys *k, const json_t *jwk, const char *kid, uint32_t only,
                   char *why)
{
    struct rc_str x = rc_str_of(text_of(jwk, "x"));
    bool ed448 = strcmp(text_of(jwk, "crv"), "Ed448") == 0;
    uint8_t raw[RAW_MAX + 4];
    int64_t n = x.p != NULL && x.len <= RAW_MAX ? rc_b64_decode(RC_B64_URL, x, raw) : -1;
    EVP_PKEY *pkey =
        n > 0 ? EVP_PKEY_new_raw_public_key(ed448 ? EVP_PKEY_ED448 : EVP_PKEY_ED25519, NULL,
                                            raw, (size_t)n)
              : NULL;
    int rc;

    if (pkey == NULL)
        return because(why, "a key of EdDSA whose x is wrong");
    rc = add_pkey(k, pkey, kid, only, why);
    EVP_PKEY_free(pkey);
    return rc;
}

static int add_public(struct rc_keys *k, const json_t *jwk, const char *kid, uint32_t only,
                      char *why)
{
    jose_cfg_t *cfg = rc_jose_quiet();
    EVP_PKEY *pkey = jose_openssl_jwk_to_EVP_PKEY(cfg, jwk);
    int rc;

    jose_cfg_decref(cfg);
    if (pkey == NULL)
        return because(why, "a key of RSA or of an elliptic curve whose numbers are wrong");
    rc = add_pkey(k, pkey, kid, only, why);
    EVP_PKEY_free(pkey);
    return rc;
}

/* Is it of a type, and a curve, that could be used at all? */
static bool is_known(const char *kty, const char *crv)
{
    if (strcmp(kty, "RSA") == 0 || strcmp(kty, "oct") == 0)
        return true;
    if (crv == NULL)
        return false;
    if (strcmp(kty, "OKP") == 0)
        return strcmp(crv, "Ed25519") == 0 || strcmp(crv, "Ed448") == 0;
    return strcmp(kty, "EC") == 0 && (strcmp(crv, "P-256") == 0 || strcmp(crv, "P-384") == 0 ||
                                      strcmp(crv, "P-521") == 0);
}

static int add_jwk(struct rc_keys *k, const json_t *jwk, unsigned *skipped, char *why)
{
    const char *kty = text_of(jwk, "kty"), *kid = text_of(jwk, "kid"),
               *alg = text_of(jwk, "alg");
    int only = alg != NULL ? rc_alg_find(rc_str_of(alg)) : 0;
    uint32_t bits = alg != NULL && only >= 0 ? RC_ALG_BIT(only) : 0;

    if (!json_is_object(jwk) || kty == NULL)
        return because(why, "a key without kty");
    if (json_object_get(jwk, "kid") != NULL && (kid == NULL || strlen(kid) > RC_KID_MAX))
        return because(why, "a kid that is no text of at most %d bytes", RC_KID_MAX);
    if (json_object_get(jwk, "alg") != NULL && alg == NULL)
        return because(why, "an alg that is no text");
    if (!is_known(kty, text_of(jwk, "crv")) || !is_for_signatures(jwk) || only < 0) {
        ++*skipped;
        return RC_OK;
    }
    if (strcmp(kty, "oct") == 0)
        return add_oct(k, jwk, kid, bits, why);
    if (strcmp(kty, "OKP") == 0)
        return add_okp(k, jwk, kid, bits, why);
    return add_public(k, jwk, kid, bits, why);
}

int rc_keys_add_jwks(struct rc_keys *k, struct rc_str text, unsigned *skipped, char *why)
{
    json_error_t error;
    json_t *set = json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES, &error), *keys, *jwk;
    unsigned before = k->n;
    int rc = RC_OK;
    size_t i;

    *skipped = 0;
    if (set == NULL)
        return because(why, "line %d: %s", error.line, error.text);
    keys = json_object_get(set, "keys");
    if (json_is_array(keys)) {
        json_array_foreach(keys, i, jwk) if (rc == RC_OK) rc = add_jwk(k, jwk, skipped, why);
    } else if (json_object_get(set, "kty") != NULL) {
        rc = add_jwk(k, set, skipped, why);
    } else {
        rc = because(why, "expected {\"keys\":[...]}");
    }
    json_decref(set);
    if (rc == RC_OK && k->n == before)
        rc = because(why, "none of its keys is for signatures of a known type");
    return rc;
}

/* ---- all of them ---- */

uint32_t rc_keys_algs(const struct rc_keys *k)
{
    uint32_t bits = 0;

    for (unsigned i = 0; i < k->n; i++)
        bits |= k->key[i].algs;
    return bits;
}

void rc_keys_deinit(struct rc_keys *k)
{
    for (unsigned i = 0; i < k->n; i++)
        free_key(&k->key[i]);
    free(k->key);
    *k = (struct rc_keys){0};
}

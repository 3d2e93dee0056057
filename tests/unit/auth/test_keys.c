/* test_keys.c - secrets, PEM and JWK files, and what is refused in them. */
#include "kit.h"

#include "rc/base/b64.h"
#include "rc/base/mem.h"

#include <criterion/criterion.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>

static char why[RC_KEY_WHY];

static bool says(const char *text)
{
    return strstr(why, text) != NULL;
}

Test(auth_keys, algorithm_names)
{
    for (int i = 0; i < RC_ALG_COUNT; i++)
        cr_assert_eq(rc_alg_find(rc_str_of(rc_alg_name((enum rc_alg)i))), i);
    cr_assert_eq(rc_alg_find(RC_STR("none")), -1);
    cr_assert_eq(rc_alg_find(RC_STR("hs256")), -1);
    cr_assert_eq(rc_alg_find(RC_STR("HS256 ")), -1);
    cr_assert_eq(rc_alg_find(RC_STR("")), -1);
}

Test(auth_keys, secrets_are_as_long_as_the_hash)
{
    struct rc_keys k = {0};
    char big[RC_SECRET_MAX + 1];

    memset(big, 's', sizeof(big));
    cr_assert_eq(rc_keys_add_secret(&k, rc_str_make(big, 31), why), RC_EINVAL);
    cr_assert(says("31 bytes"));
    cr_assert_eq(rc_keys_add_secret(&k, rc_str_make(big, RC_SECRET_MAX + 1), why), RC_EINVAL);
    cr_assert_eq(k.n, 0);
    cr_assert_eq(rc_keys_add_secret(&k, rc_str_make(big, 32), why), RC_OK);
    cr_assert_eq(rc_keys_algs(&k), RC_ALG_BIT(RC_ALG_HS256));
    cr_assert_eq(rc_keys_add_secret(&k, rc_str_make(big, 63), why), RC_OK);
    cr_assert_eq(rc_keys_algs(&k), RC_ALG_BIT(RC_ALG_HS256) | RC_ALG_BIT(RC_ALG_HS384));
    cr_assert_eq(rc_keys_add_secret(&k, rc_str_make(big, RC_SECRET_MAX), why), RC_OK);
    cr_assert_eq(rc_keys_algs(&k), RC_ALGS_HMAC);
    rc_keys_deinit(&k);
}

Test(auth_keys, a_pem_file_is_no_secret)
{
    struct rc_keys k = {0};
    struct kit kit;

    kit_make(&kit);
    cr_assert_eq(rc_keys_add_secret(&k, rc_buf_str(&kit.pem[KIT_RSA]), why), RC_EINVAL);
    cr_assert(says("PEM"));
    kit_free(&kit);
}

Test(auth_keys, each_type_has_its_own_algorithms)
{
    static const uint32_t algs[KIT_COUNT] = {
        RC_ALGS_HMAC,
        RC_ALGS_RSA,
        RC_ALG_BIT(RC_ALG_ES256),
        RC_ALG_BIT(RC_ALG_ES384),
        RC_ALG_BIT(RC_ALG_ES512),
        RC_ALG_BIT(RC_ALG_EDDSA),
        RC_ALG_BIT(RC_ALG_EDDSA),
    };
    struct kit kit;

    kit_make(&kit);
    cr_assert_eq(kit.keys.n, KIT_COUNT);
    for (unsigned i = 0; i < KIT_COUNT; i++) {
        cr_assert_eq(kit.keys.key[i].algs, algs[i]);
        cr_assert_eq(kit.signer[i].algs, algs[i]);
        cr_assert_null(kit.keys.key[i].kid);
    }
    cr_assert_eq(rc_keys_algs(&kit.keys), RC_ALGS_ALL);
    kit_free(&kit);
}

Test(auth_keys, pem_with_several_keys)
{
    struct rc_keys k = {0};
    struct kit kit;

    kit_make(&kit);
    rc_buf_puts(&kit.pem[KIT_RSA], rc_buf_str(&kit.pem[KIT_P256]));
    cr_assert_eq(rc_keys_add_pem(&k, rc_buf_str(&kit.pem[KIT_RSA]), why), RC_OK);
    cr_assert_eq(k.n, 2);
    rc_keys_deinit(&k);
    kit_free(&kit);
}

Test(auth_keys, private_keys_do_not_belong_here)
{
    struct rc_keys k = {0};
    struct kit kit;

    kit_make(&kit);
    for (unsigned i = 1; i < KIT_COUNT; i++) {
        cr_assert_eq(rc_keys_add_pem(&k, rc_buf_str(&kit.private_pem[i]), why), RC_EINVAL);
        cr_assert(says("private"));
    }
    cr_assert_eq(k.n, 0);
    rc_keys_deinit(&k);
    kit_free(&kit);
}

Test(auth_keys, text_that_is_no_pem)
{
    static const char *const texts[] = {
        "", "hello", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\n",
        "-----BEGIN DH PARAMETERS-----\nMAYCAQUCAQI=\n-----END DH PARAMETERS-----\n"};
    struct rc_keys k = {0};

    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        why[0] = '\0';
        cr_assert_eq(rc_keys_add_pem(&k, rc_str_of(texts[i]), why), RC_EINVAL);
        cr_assert_neq(why[0], '\0');
    }
    cr_assert_eq(k.n, 0);
}

static int add_public(struct rc_keys *k, EVP_PKEY *pkey)
{
    struct rc_buf pub = RC_BUF_INIT, priv = RC_BUF_INIT;
    int rc;

    kit_pem(pkey, &pub, &priv);
    rc = rc_keys_add_pem(k, rc_buf_str(&pub), why);
    rc_buf_deinit(&pub);
    rc_buf_deinit(&priv);
    EVP_PKEY_free(pkey);
    return rc;
}

Test(auth_keys, weak_and_foreign_keys)
{
    struct rc_keys k = {0};

    cr_assert_eq(add_public(&k, EVP_RSA_gen(1024)), RC_EINVAL);
    cr_assert(says("1024 bits"));
    cr_assert_eq(add_public(&k, EVP_EC_gen("secp256k1")), RC_EINVAL);
    cr_assert(says("P-256"));
    cr_assert_eq(add_public(&k, EVP_PKEY_Q_keygen(NULL, NULL, "X25519")), RC_EINVAL);
    cr_assert_eq(k.n, 0);
}

/* A chain: the keys behind the first are those of whoever signed it. */
Test(auth_keys, of_a_chain_of_certificates_only_the_first)
{
    struct rc_keys k = {0};
    struct kit kit;
    BIO *bio = BIO_new(BIO_s_mem());
    char *p = NULL;
    long n;

    kit_make(&kit);
    for (unsigned i = 0; i < 2; i++) {
        EVP_PKEY *pkey = kit.pkey[i == 0 ? KIT_P256 : KIT_RSA];
        X509 *cert = X509_new();

        cr_assert_eq(X509_set_pubkey(cert, pkey), 1);
        (void)X509_gmtime_adj(X509_getm_notBefore(cert), 0);
        (void)X509_gmtime_adj(X509_getm_notAfter(cert), 60);
        cr_assert_gt(X509_sign(cert, pkey, EVP_sha256()), 0);
        cr_assert_eq(PEM_write_bio_X509(bio, cert), 1);
        X509_free(cert);
    }
    n = BIO_get_mem_data(bio, &p);
    cr_assert_eq(rc_keys_add_pem(&k, rc_str_make(p, (size_t)n), why), RC_OK);
    cr_assert_eq(k.n, 1);
    cr_assert_eq(rc_keys_algs(&k), RC_ALG_BIT(RC_ALG_ES256));
    rc_keys_deinit(&k);
    BIO_free(bio);
    kit_free(&kit);
}

/* ---- JWK ---- */

#define OCT                  \
    "\"kty\":\"oct\",\"k\":" \
    "\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVm\""
#define P256                                                                                  \
    "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"," \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""
#define ED                                                       \
    "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_" \
    "7TyWQHOg7hcvPapiMlrwIaaPcHURo\""

static int add_jwks(struct rc_keys *k, const char *text, unsigned *skipped)
{
    why[0] = '\0';
    return rc_keys_add_jwks(k, rc_str_of(text), skipped, why);
}

Test(auth_keys, jwk_set)
{
    struct rc_keys k = {0};
    unsigned skipped;

    cr_assert_eq(add_jwks(&k,
                          "{\"keys\":[{\"kid\":\"a\"," OCT ",\"alg\":\"HS256\"},"
                          "{\"kid\":\"b\",\"use\":\"sig\"," P256 "},"
                          "{\"key_ops\":[\"verify\"]," ED "},"
                          "{\"kid\":\"enc\",\"use\":\"enc\"," P256 "},"
                          "{\"kid\":\"sign\",\"key_ops\":[\"sign\"]," P256 "},"
                          "{\"kid\":\"new\",\"kty\":\"AKP\"},"
                          "{\"kid\":\"k1\",\"kty\":\"EC\",\"crv\":\"secp256k1\"},"
                          "{\"kid\":\"oaep\",\"alg\":\"ECDH-ES\"," P256 "}]}",
                          &skipped),
                 RC_OK);
    cr_assert_eq(k.n, 3);
    cr_assert_eq(skipped, 5);
    cr_assert_str_eq(k.key[0].kid, "a");
    cr_assert_eq(k.key[0].algs, RC_ALG_BIT(RC_ALG_HS256));
    cr_assert_eq(k.key[1].algs, RC_ALG_BIT(RC_ALG_ES256));
    cr_assert_eq(k.key[2].algs, RC_ALG_BIT(RC_ALG_EDDSA));
    rc_keys_deinit(&k);
    cr_assert_eq(add_jwks(&k, "{" ED "}", &skipped), RC_OK);
    cr_assert_eq(k.n, 1);
    rc_keys_deinit(&k);
}

Test(auth_keys, jwk_faults)
{
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "nothing",
        "{\"keys\":{}}",
        "{\"keys\":[]}",
        "{\"keys\":[1]}",
        "{\"keys\":[{\"kid\":\"a\"}]}",
        "{\"keys\":[{\"kid\":7," OCT "}]}",
        "{\"keys\":[{\"alg\":7," OCT "}]}",
        "{\"keys\":[{\"alg\":\"RS256\"," OCT "}]}",
        "{\"keys\":[{\"alg\":\"HS256\"," P256 "}]}",
        "{\"keys\":[{\"alg\":\"HS512\"," OCT "}]}", /* 48 bytes */
        "{\"keys\":[{\"alg\":\"none\"," OCT "}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2hvcnQ\"}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"****\"}]}",
        "{\"keys\":[{\"kty\":\"oct\"}]}",
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}]}",
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\"}]}",
        "{\"keys\":[{\"kid\":\"a\"," OCT "},{\"kid\":\"a\"," OCT "}]}",
        "{\"keys\":[{\"kid\":\"a\",\"kid\":\"b\"," OCT "}]}",
        "{\"keys\":[{" OCT "}]} more",
    };

    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct rc_keys k = {0};
        unsigned skipped;

        cr_assert_eq(add_jwks(&k, texts[i], &skipped), RC_EINVAL, "%s", texts[i]);
        cr_assert_neq(why[0], '\0');
        rc_keys_deinit(&k);
    }
}

/* The point is not on the curve: one bit of y is another. */
Test(auth_keys, a_point_that_is_not_on_its_curve)
{
    struct rc_keys k = {0};
    unsigned skipped;

    cr_assert_eq(add_jwks(&k,
                          "{\"kty\":\"EC\",\"crv\":\"P-256\","
                          "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                          "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a4\"}",
                          &skipped),
                 RC_EINVAL);
    cr_assert_eq(k.n, 0);
}

/* A set with a private key in it serves, and only its public part is kept. */
Test(auth_keys, private_part_of_a_jwk_is_dropped)
{
    struct rc_keys k = {0};
    unsigned skipped;
    struct rc_signer s = {0};

    /* The example key of RFC 7515, appendix A.3. */
    cr_assert_eq(add_jwks(&k,
                          "{" P256 ",\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI\"}",
                          &skipped),
                 RC_OK);
    s = (struct rc_signer){.algs = k.key[0].algs, .jwk = k.key[0].jwk};
    struct rc_buf out = RC_BUF_INIT;
    cr_assert_eq(rc_sign(&s, RC_ALG_ES256, RC_STR("{\"alg\":\"ES256\"}"), RC_STR("{}"), &out),
                 RC_EINVAL);
    rc_buf_deinit(&out);
    rc_keys_deinit(&k);
}

Test(auth_keys, signers)
{
    struct rc_signer s;
    struct kit kit;
    struct rc_buf out = RC_BUF_INIT;

    kit_make(&kit);
    cr_assert_eq(rc_signer_secret(&s, RC_STR("short"), why), RC_EINVAL);
    rc_signer_deinit(&s);
    cr_assert_eq(rc_signer_pem(&s, rc_buf_str(&kit.pem[KIT_RSA]), why), RC_EINVAL);
    cr_assert(says("private"));
    rc_signer_deinit(&s);
    cr_assert_eq(rc_sign(&kit.signer[KIT_RSA], RC_ALG_HS256, RC_STR("{\"alg\":\"HS256\"}"),
                         RC_STR("{}"), &out),
                 RC_EINVAL);
    rc_buf_deinit(&out);
    kit_free(&kit);
}

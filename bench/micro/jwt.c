/*
 * jwt.c - what verifying a token costs: microseconds per token, of each algorithm, and of one whose
 * signature is wrong.
 *
 * usage: jwt [MILLISECONDS per measurement]
 */
#include "rc/auth/sign.h"
#include "rc/auth/token.h"
#include "rc/base/b64.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct rc_keys keys;
static struct rc_token_policy policy;

static uint64_t now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "jwt: %s failed\n", what);
    exit(1);
}

static double measure(struct rc_str token, bool good, uint64_t ns)
{
    uint64_t start = now_ns(), end = start, n = 0;

    while (end - start < ns) {
        for (unsigned i = 0; i < 16; i++, n++) {
            struct rc_token *t = NULL;

            must((rc_token_verify(&keys, &policy, token, 1700000000000, &t) == RC_TOKEN_NONE) ==
                     good,
                 "verifying");
            free(t);
        }
        end = now_ns();
    }
    return (double)(end - start) / 1000 / (double)n;
}

static void report(const char *label, struct rc_signer *signer, enum rc_alg alg, uint64_t ns)
{
    struct rc_buf token = RC_BUF_INIT;
    char header[64];
    double good, bad;

    (void)snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"typ\":\"JWT\"}",
                   rc_alg_name(alg));
    must(rc_sign(signer, alg, rc_str_of(header),
                 RC_STR("{\"sub\":\"user-1234\",\"name\":\"Ann\",\"iat\":1699999000,"
                        "\"exp\":1700003600}"),
                 &token) == RC_OK,
         "signing");
    good = measure(rc_buf_str(&token), true, ns);
    token.data[token.len - 6] = token.data[token.len - 6] == 'A' ? 'B' : 'A';
    bad = measure(rc_buf_str(&token), false, ns);
    (void)printf("bench=jwt alg=%s key=%s us_good=%.1f us_bad=%.1f\n", rc_alg_name(alg), label,
                 good, bad);
    rc_buf_deinit(&token);
}

static void with_key(const char *label, EVP_PKEY *pkey, uint64_t ns)
{
    BIO *pub = BIO_new(BIO_s_mem()), *priv = BIO_new(BIO_s_mem());
    struct rc_signer signer = {.algs = 0};
    char why[RC_KEY_WHY], *p = NULL;
    long n;

    must(pkey != NULL && PEM_write_bio_PUBKEY(pub, pkey) == 1 &&
             PEM_write_bio_PrivateKey(priv, pkey, NULL, NULL, 0, NULL, NULL) == 1,
         "making a key");
    n = BIO_get_mem_data(pub, &p);
    must(rc_keys_add_pem(&keys, rc_str_make(p, (size_t)n), why) == RC_OK, "loading a key");
    n = BIO_get_mem_data(priv, &p);
    must(rc_signer_pem(&signer, rc_str_make(p, (size_t)n), why) == RC_OK, "loading a key");
    for (unsigned alg = 0; alg < RC_ALG_COUNT; alg++)
        if ((signer.algs & RC_ALG_BIT(alg)) != 0)
            report(label, &signer, (enum rc_alg)alg, ns);
    rc_signer_deinit(&signer);
    rc_keys_deinit(&keys);
    BIO_free(pub);
    BIO_free(priv);
    EVP_PKEY_free(pkey);
}

int main(int argc, char **argv)
{
    static char sub[] = "sub";
    static char *const claims[] = {sub};
    static const char secret[] =
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    uint64_t ns = (argc > 1 ? strtoull(argv[1], NULL, 10) : 100) * 1000000;
    struct rc_signer signer;
    char why[RC_KEY_WHY];

    policy = (struct rc_token_policy){
        .algs = RC_ALGS_ALL, .max_size = 8192, .user_claim = claims, .nuser_claims = 1};
    must(rc_keys_add_secret(&keys, rc_str_of(secret), why) == RC_OK &&
             rc_signer_secret(&signer, rc_str_of(secret), why) == RC_OK,
         "loading a secret");
    for (unsigned alg = RC_ALG_HS256; alg <= RC_ALG_HS512; alg++)
        report("secret", &signer, (enum rc_alg)alg, ns);
    rc_signer_deinit(&signer);
    rc_keys_deinit(&keys);
    with_key("rsa2048", EVP_RSA_gen(2048), ns);
    with_key("rsa4096", EVP_RSA_gen(4096), ns);
    with_key("p256", EVP_EC_gen("P-256"), ns);
    with_key("p384", EVP_EC_gen("P-384"), ns);
    with_key("p521", EVP_EC_gen("P-521"), ns);
    with_key("ed25519", EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), ns);
    with_key("ed448", EVP_PKEY_Q_keygen(NULL, NULL, "ED448"), ns);
    return 0;
}

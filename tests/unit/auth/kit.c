/* kit.c - keys and tokens for the tests of auth. */
#include "kit.h"

#include "rc/base/b64.h"
#include "rc/base/mem.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>

const char kit_secret[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static char sub[] = "sub", id[] = "id";
static char *const user_claims[] = {sub, id};

static void to_buf(BIO *bio, struct rc_buf *out)
{
    char *p = NULL;
    long n = BIO_get_mem_data(bio, &p);

    rc_buf_put(out, p, (size_t)n);
    BIO_free(bio);
}

void kit_pem(EVP_PKEY *pkey, struct rc_buf *public_pem, struct rc_buf *private_pem)
{
    BIO *pub = BIO_new(BIO_s_mem()), *priv = BIO_new(BIO_s_mem());

    if (PEM_write_bio_PUBKEY(pub, pkey) != 1 ||
        PEM_write_bio_PrivateKey(priv, pkey, NULL, NULL, 0, NULL, NULL) != 1)
        abort();
    to_buf(pub, public_pem);
    to_buf(priv, private_pem);
}

void kit_make(struct kit *k)
{
    char why[RC_KEY_WHY] = "";

    *k = (struct kit){.policy = {.algs = RC_ALGS_ALL,
                                 .max_size = 8192,
                                 .user_claim = user_claims,
                                 .nuser_claims = 2}};
    k->pkey[KIT_RSA] = EVP_RSA_gen(2048);
    k->pkey[KIT_P256] = EVP_EC_gen("P-256");
    k->pkey[KIT_P384] = EVP_EC_gen("P-384");
    k->pkey[KIT_P521] = EVP_EC_gen("P-521");
    k->pkey[KIT_ED25519] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    k->pkey[KIT_ED448] = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
    if (rc_signer_secret(&k->signer[0], rc_str_of(kit_secret), why) != RC_OK ||
        rc_keys_add_secret(&k->keys, rc_str_of(kit_secret), why) != RC_OK)
        abort();
    for (unsigned i = 1; i < KIT_COUNT; i++) {
        kit_pem(k->pkey[i], &k->pem[i], &k->private_pem[i]);
        if (rc_signer_pem(&k->signer[i], rc_buf_str(&k->private_pem[i]), why) != RC_OK ||
            rc_keys_add_pem(&k->keys, rc_buf_str(&k->pem[i]), why) != RC_OK)
            abort();
    }
}

void kit_free(struct kit *k)
{
    for (unsigned i = 0; i < KIT_COUNT; i++) {
        EVP_PKEY_free(k->pkey[i]);
        rc_buf_deinit(&k->pem[i]);
        rc_buf_deinit(&k->private_pem[i]);
        rc_signer_deinit(&k->signer[i]);
    }
    rc_keys_deinit(&k->keys);
}

enum kit_key kit_key_of(enum rc_alg alg)
{
    uint32_t bit = RC_ALG_BIT(alg);

    if ((bit & RC_ALGS_HMAC) != 0)
        return KIT_SECRET;
    if ((bit & RC_ALGS_RSA) != 0)
        return KIT_RSA;
    return alg == RC_ALG_ES256   ? KIT_P256
           : alg == RC_ALG_ES384 ? KIT_P384
           : alg == RC_ALG_ES512 ? KIT_P521
                                 : KIT_ED25519;
}

static struct rc_buf made;

struct rc_str kit_forge(const char *header, const char *payload, const void *sig, size_t n)
{
    rc_buf_deinit(&made);
    made = RC_BUF_INIT;
    rc_b64_put(&made, RC_B64_URL, header, strlen(header));
    rc_buf_putc(&made, '.');
    rc_b64_put(&made, RC_B64_URL, payload, strlen(payload));
    rc_buf_putc(&made, '.');
    rc_b64_put(&made, RC_B64_URL, sig, n);
    return rc_buf_str(&made);
}

/* With a right HMAC of SHA-256, whatever the header says. */
static struct rc_str authenticate(const char *header, const char *payload)
{
    struct rc_str input = kit_forge(header, payload, "", 0);
    uint8_t mac[32];
    unsigned n = sizeof(mac);

    if (HMAC(EVP_sha256(), kit_secret, (int)strlen(kit_secret), (const uint8_t *)input.p,
             input.len - 1, mac, &n) == NULL)
        abort();
    return kit_forge(header, payload, mac, n);
}

struct rc_str kit_token(struct kit *k, enum rc_alg alg, const char *header, const char *payload)
{
    char own[64];

    if (header != NULL)
        return authenticate(header, payload);
    (void)snprintf(own, sizeof(own), "{\"alg\":\"%s\"}", rc_alg_name(alg));
    rc_buf_deinit(&made);
    made = RC_BUF_INIT;
    if (rc_sign(&k->signer[kit_key_of(alg)], alg, rc_str_of(own), rc_str_of(payload), &made) !=
        RC_OK)
        abort();
    return rc_buf_str(&made);
}

enum rc_token_fault kit_verify_by(const struct rc_keys *keys, struct kit *k,
                                  struct rc_str token)
{
    struct rc_token *t = NULL;
    enum rc_token_fault fault = rc_token_verify(keys, &k->policy, token, KIT_NOW, &t);

    if ((fault == RC_TOKEN_NONE) != (t != NULL))
        abort();
    free(t);
    return fault;
}

enum rc_token_fault kit_verify(struct kit *k, struct rc_str token)
{
    return kit_verify_by(&k->keys, k, token);
}

/* sign.c - signs tokens with a secret or a private key. */
#include "rc/auth/sign.h"

#include "keys_int.h"
#include "rc/base/b64.h"

#include <jose/jws.h>
#include <jose/openssl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>

enum { EDDSA_MAX = 128 };

int rc_signer_secret(struct rc_signer *s, struct rc_str secret, char *why)
{
    int rc = rc_key_check_secret(secret, why);

    *s = (struct rc_signer){.algs = rc_key_secret_algs(secret.len)};
    if (rc == RC_OK && (s->jwk = rc_key_secret_jwk(secret)) == NULL)
        rc = RC_EINVAL;
    return rc;
}

/* Without a terminal to ask for it there is no passphrase. */
/* NOLINTNEXTLINE(readability-non-const-parameter): its type is OpenSSL's */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf, (void)size, (void)writing, (void)arg;
    return 0;
}

int rc_signer_pem(struct rc_signer *s, struct rc_str text, char *why)
{
    BIO *bio = text.len <= RC_KEY_FILE_MAX ? BIO_new_mem_buf(text.p, (int)text.len) : NULL;
    EVP_PKEY *pkey =
        bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    struct rc_key key = {.kid = NULL};
    jose_cfg_t *cfg = rc_jose_quiet();
    int rc = RC_EINVAL;

    *s = (struct rc_signer){.algs = 0};
    if (pkey == NULL)
        (void)snprintf(why, RC_KEY_WHY,
                       "there is no PEM of a private key without a passphrase "
                       "in it");
    else
        rc = rc_key_classify(pkey, &key, why);
    if (rc == RC_OK) {
        s->algs = key.algs;
        if (key.algs == RC_ALG_BIT(RC_ALG_EDDSA)) {
            s->pkey = pkey;
            pkey = NULL;
        } else if ((s->jwk = jose_openssl_jwk_from_EVP_PKEY(cfg, pkey)) == NULL) {
            (void)snprintf(why, RC_KEY_WHY, "a key that cannot be used");
            rc = RC_EINVAL;
        }
    }
    EVP_PKEY_free(pkey);
    BIO_free(bio);
    jose_cfg_decref(cfg);
    ERR_clear_error();
    return rc;
}

void rc_signer_deinit(struct rc_signer *s)
{
    json_decref(s->jwk);
    EVP_PKEY_free(s->pkey);
    *s = (struct rc_signer){.algs = 0};
}

static int sign_eddsa(const struct rc_signer *s, struct rc_buf *out, size_t from)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t sig[EDDSA_MAX];
    size_t n = sizeof(sig);
    bool ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, s->pkey) == 1 &&
              EVP_DigestSign(ctx, sig, &n, out->data + from, out->len - from) == 1;

    EVP_MD_CTX_free(ctx);
    if (!ok)
        return RC_EINVAL;
    rc_buf_putc(out, '.');
    rc_b64_put(out, RC_B64_URL, sig, n);
    return RC_OK;
}

static int sign_jose(const struct rc_signer *s, struct rc_str header, struct rc_str payload,
                     struct rc_buf *out)
{
    jose_cfg_t *cfg = rc_jose_quiet();
    json_t *jws = json_pack("{s:s%}", "payload", payload.p, payload.len);
    json_t *sig = json_pack("{s:s%}", "protected", header.p, header.len);
    const char *text = NULL;
    int rc = RC_EINVAL;

    if (cfg != NULL && jws != NULL && sig != NULL && jose_jws_sig(cfg, jws, sig, s->jwk))
        text = json_string_value(json_object_get(jws, "signature"));
    if (text != NULL) {
        rc_buf_putc(out, '.');
        rc_buf_putz(out, text);
        rc = RC_OK;
    }
    json_decref(jws);
    json_decref(sig);
    jose_cfg_decref(cfg);
    return rc;
}

int rc_sign(const struct rc_signer *s, enum rc_alg alg, struct rc_str header,
            struct rc_str payload, struct rc_buf *out)
{
    size_t from = out->len, header_len;
    int rc = RC_EINVAL;

    if ((s->algs & RC_ALG_BIT(alg)) == 0)
        return RC_EINVAL;
    rc_b64_put(out, RC_B64_URL, header.p, header.len);
    header_len = out->len - from;
    rc_buf_putc(out, '.');
    rc_b64_put(out, RC_B64_URL, payload.p, payload.len);
    if (!out->failed && alg == RC_ALG_EDDSA) {
        rc = sign_eddsa(s, out, from);
    } else if (!out->failed) {
        const char *text = (const char *)out->data + from;

        rc = sign_jose(s, rc_str_make(text, header_len),
                       rc_str_make(text + header_len + 1, out->len - from - header_len - 1),
                       out);
    }
    ERR_clear_error();
    return rc == RC_OK && out->failed ? RC_ENOMEM : rc;
}

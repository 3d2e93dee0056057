/*
 * sign.h - signs tokens: for `roomcast token`, for auth.dev_tokens_path and for tests.
 *
 * Threads:   a signer is immutable once it is made: any signs.
 * Ownership: rc_signer_deinit frees what is inside.
 */
#ifndef RC_AUTH_SIGN_H
#define RC_AUTH_SIGN_H

#include "rc/auth/keys.h"
#include "rc/base/buf.h"
#include "rc/base/conf.h"
#include "rc/base/err.h"

struct rc_signer {
    uint32_t algs;            /* RC_ALG_BIT()s that it signs */
    struct json_t *jwk;       /* with the private part; NULL for EdDSA */
    struct evp_pkey_st *pkey; /* of EdDSA */
};

/* RC_OK, or RC_EINVAL with the reason in why (RC_KEY_WHY bytes). */
int rc_signer_secret(struct rc_signer *s, struct rc_str secret, char *why) RC_MUSTCHECK;
/* A private key, not encrypted. */
int rc_signer_pem(struct rc_signer *s, struct rc_str text, char *why) RC_MUSTCHECK;
void rc_signer_deinit(struct rc_signer *s);

/* Appends the compact form of a token: header is a JSON object with its alg, payload any bytes.
 * RC_EINVAL: the key does not sign that algorithm, or signing fails. */
int rc_sign(const struct rc_signer *s, enum rc_alg alg, struct rc_str header,
            struct rc_str payload, struct rc_buf *out) RC_MUSTCHECK;

/* ---- mint.c ---- */

/* The claims that a server of this configuration asks for, with a random jti; ttl_ms 0: it never
 * expires. A new reference, or NULL: user is not UTF-8. */
struct json_t *rc_mint_claims(const struct rc_conf *conf, struct rc_str user, uint64_t now_ms,
                              uint32_t ttl_ms);
/* Appends the token of these claims. kid may be NULL. RC_EINVAL as above. */
int rc_mint(const struct rc_signer *s, enum rc_alg alg, const char *kid,
            const struct json_t *claims, struct rc_buf *out) RC_MUSTCHECK;

#endif /* RC_AUTH_SIGN_H */

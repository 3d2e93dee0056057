/*
 * keys_int.h - what verifying and signing share.
 *
 * Threads:   any.
 * Ownership: a JWK that is returned is the caller's reference.
 */
#ifndef RC_AUTH_KEYS_INT_H
#define RC_AUTH_KEYS_INT_H

#include "rc/auth/keys.h"

#include <jansson.h>
#include <jose/cfg.h>
#include <openssl/evp.h>

/* Sets algs and sig_len of key by what pkey is. why: RC_KEY_WHY bytes. */
int rc_key_classify(EVP_PKEY *pkey, struct rc_key *key, char *why) RC_MUSTCHECK;
int rc_key_check_secret(struct rc_str secret, char *why) RC_MUSTCHECK;
uint32_t rc_key_secret_algs(size_t len);
json_t *rc_key_secret_jwk(struct rc_str secret);
/* A context of jose that writes nothing to stderr, for one call: its count is not atomic. */
jose_cfg_t *rc_jose_quiet(void);

#endif /* RC_AUTH_KEYS_INT_H */

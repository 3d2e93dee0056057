/*
 * keys.h - the keys that tokens are verified with: secrets, PEM files, JWK sets.
 *
 * A key verifies only the algorithms of its own type (RFC 8725 section 3.1): a public key never
 * serves as an HMAC secret, whatever a token's header says, and an elliptic curve goes with its
 * own algorithm alone.
 *
 * Threads:   add, deinit: main.  A key is immutable afterwards: any reads.
 * Ownership: struct rc_keys owns its keys; it is freed with rc_keys_deinit.
 */
#ifndef RC_AUTH_KEYS_H
#define RC_AUTH_KEYS_H

#include "rc/base/err.h"
#include "rc/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t;
struct evp_pkey_st;

/* X(id, name in the header, digits of its hash, bytes of a signature: 0 is up to the key).
 * `none` is not here, and so never accepted. */
#define RC_ALG_MAP(X)           \
    X(HS256, "HS256", 256, 32)  \
    X(HS384, "HS384", 384, 48)  \
    X(HS512, "HS512", 512, 64)  \
    X(RS256, "RS256", 256, 0)   \
    X(RS384, "RS384", 384, 0)   \
    X(RS512, "RS512", 512, 0)   \
    X(PS256, "PS256", 256, 0)   \
    X(PS384, "PS384", 384, 0)   \
    X(PS512, "PS512", 512, 0)   \
    X(ES256, "ES256", 256, 64)  \
    X(ES384, "ES384", 384, 96)  \
    X(ES512, "ES512", 512, 132) \
    X(EDDSA, "EdDSA", 0, 0)

enum rc_alg {
#define RC_ALG_ENUM(id, name, hash, sig) RC_ALG_##id,
    RC_ALG_MAP(RC_ALG_ENUM)
#undef RC_ALG_ENUM
        RC_ALG_COUNT
};

#define RC_ALG_BIT(alg) (1u << (alg))
#define RC_ALGS_ALL     (RC_ALG_BIT(RC_ALG_COUNT) - 1)
#define RC_ALGS_HMAC \
    (RC_ALG_BIT(RC_ALG_HS256) | RC_ALG_BIT(RC_ALG_HS384) | RC_ALG_BIT(RC_ALG_HS512))
#define RC_ALGS_RSA                                                                   \
    (RC_ALG_BIT(RC_ALG_RS256) | RC_ALG_BIT(RC_ALG_RS384) | RC_ALG_BIT(RC_ALG_RS512) | \
     RC_ALG_BIT(RC_ALG_PS256) | RC_ALG_BIT(RC_ALG_PS384) | RC_ALG_BIT(RC_ALG_PS512))

/* "HS256". The algorithm of exactly that name, or -1. */
const char *rc_alg_name(enum rc_alg alg);
int rc_alg_find(struct rc_str name);

enum {
    RC_SECRET_MIN = 32, /* bytes; RFC 7518 section 3.2: as long as the hash */
    RC_SECRET_MAX = 1024,
    RC_RSA_MIN_BITS = 2048, /* RFC 7518 section 3.3 */
    RC_RSA_MAX_BITS = 8192, /* bounds the time of a verification */
    RC_KEYS_MAX = 256,
    RC_KID_MAX = 256,
    RC_KEY_FILE_MAX = 1 << 20,
    RC_KEY_WHY = 256, /* room for a reason */
};

struct rc_key {
    char *kid;                /* NULL: it has none, and fits tokens of any */
    uint32_t algs;            /* RC_ALG_BIT()s that it verifies */
    uint32_t sig_len;         /* bytes of a signature of RSA and EdDSA, else 0 */
    struct json_t *jwk;       /* public part, or the secret; NULL for EdDSA */
    struct evp_pkey_st *pkey; /* of EdDSA, which jose lacks */
};

struct rc_keys {
    struct rc_key *key;
    unsigned n;
};

/* Each adds what a source has and returns RC_OK, or RC_EINVAL with the reason in why
 * (RC_KEY_WHY bytes); keys added before stay. Private keys are refused where public ones are
 * meant: what a server does not have, nobody can take from it. */
int rc_keys_add_secret(struct rc_keys *k, struct rc_str secret, char *why) RC_MUSTCHECK;
/* Public keys, or a certificate: of a file with several the first, the rest is its chain. */
int rc_keys_add_pem(struct rc_keys *k, struct rc_str text, char *why) RC_MUSTCHECK;
/* A JWK set, or one JWK (RFC 7517). Keys for encryption and of unknown types are left out;
 * *skipped counts them. */
int rc_keys_add_jwks(struct rc_keys *k, struct rc_str text, unsigned *skipped,
                     char *why) RC_MUSTCHECK;
/* Algorithms that at least one key verifies. */
uint32_t rc_keys_algs(const struct rc_keys *k);
void rc_keys_deinit(struct rc_keys *k);

#endif /* RC_AUTH_KEYS_H */

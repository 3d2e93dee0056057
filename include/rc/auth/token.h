/*
 * token.h - verifies a JSON Web Token (RFC 7519, JWS compact form) by keys and a policy.
 *
 * All of it is checked, in this order: size, form, header, signature, claims. Nothing a token
 * says of itself chooses how it is verified: `alg` must be allowed and fit the type of a key that is
 * configured, `kid` is only compared, and jwk, jku, x5u and the like are never looked at.
 *
 * Threads:   any; keys and policy are read only, and each call has its own state.
 * Ownership: rc_token_verify returns a new token, freed with free().
 */
#ifndef RC_AUTH_TOKEN_H
#define RC_AUTH_TOKEN_H

#include "rc/auth/keys.h"
#include "rc/base/err.h"
#include "rc/base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* X(id, code told to clients, text). Order: that of the checks. */
#define RC_TOKEN_FAULT_MAP(X)                                                \
    X(NONE, "", "")                                                          \
    X(MISSING, "token_missing", "a token is required")                       \
    X(TOO_BIG, "token_too_big", "the token is too big")                      \
    X(MALFORMED, "token_malformed", "this is not a signed JSON Web Token")   \
    X(ALGORITHM, "token_algorithm", "the token's algorithm is not accepted") \
    X(UNKNOWN_KEY, "token_unknown_key", "no key fits the token")             \
    X(SIGNATURE, "token_signature", "the token's signature is wrong")        \
    X(EXPIRED, "token_expired", "the token has expired")                     \
    X(NOT_YET, "token_not_yet_valid", "the token is not valid yet")          \
    X(ISSUER, "token_issuer", "the token's issuer is not accepted")          \
    X(AUDIENCE, "token_audience", "the token is meant for somebody else")    \
    X(NO_USER, "token_no_user", "the token does not say whose it is")        \
    X(REVOKED, "token_revoked", "the token has been revoked")                \
    X(OTHER_USER, "token_other_user", "the token is another user's")         \
    X(RATE, "rate_limited", "too many bad tokens; try again later")

enum rc_token_fault {
#define RC_TOKEN_FAULT_ENUM(id, code, text) RC_TOKEN_##id,
    RC_TOKEN_FAULT_MAP(RC_TOKEN_FAULT_ENUM)
#undef RC_TOKEN_FAULT_ENUM
};

const char *rc_token_fault_code(enum rc_token_fault fault);
const char *rc_token_fault_text(enum rc_token_fault fault);

enum {
    RC_USER_MAX = 128,    /* bytes of a user's id */
    RC_TOKEN_TRIES = 4,   /* keys that are tried for a token, at most */
    RC_CLAIMS_DEPTH = 32, /* nesting of the claims */
};

struct rc_token_policy {
    uint32_t algs;   /* RC_ALG_BIT()s */
    size_t max_size; /* bytes of a token */
    uint64_t leeway_ms;
    bool require_expiry;
    /* Lists of texts. No issuer: any. No audience: tokens for nobody in particular. */
    char *const *issuer, *const *audience, *const *user_claim;
    unsigned nissuers, naudiences, nuser_claims;
};

struct rc_token {
    uint64_t expires_ms;  /* since 1970, without the leeway; 0: never */
    struct rc_str user;   /* a string, or the digits of an integer */
    struct rc_str id;     /* jti; empty: none */
    struct rc_str claims; /* the JSON object as it was signed */
    char bytes[];
};

/* RC_TOKEN_NONE and a new token in *out, or what is wrong with it. now_ms: since 1970. */
enum rc_token_fault rc_token_verify(const struct rc_keys *keys,
                                    const struct rc_token_policy *policy, struct rc_str text,
                                    uint64_t now_ms, struct rc_token **out) RC_MUSTCHECK;

#endif /* RC_AUTH_TOKEN_H */

/*
 * kit.h - keys made at test time, and tokens signed with them.
 *
 * Threads:   one at a time.
 * Ownership: kit_make fills the caller's struct; kit_free frees what is inside.
 */
#ifndef RC_TEST_AUTH_KIT_H
#define RC_TEST_AUTH_KIT_H

#include "rc/auth/keys.h"
#include "rc/auth/sign.h"
#include "rc/auth/token.h"
#include "rc/base/buf.h"

#include <openssl/evp.h>

enum kit_key {
    KIT_SECRET,
    KIT_RSA,
    KIT_P256,
    KIT_P384,
    KIT_P521,
    KIT_ED25519,
    KIT_ED448,
    KIT_COUNT
};

#define KIT_NOW 1700000000000ull /* ms */
extern const char kit_secret[];

struct kit {
    EVP_PKEY *pkey[KIT_COUNT]; /* NULL for the secret */
    struct rc_buf pem[KIT_COUNT], private_pem[KIT_COUNT];
    struct rc_signer signer[KIT_COUNT];
    struct rc_keys keys; /* all of them, without names */
    struct rc_token_policy policy;
};

void kit_make(struct kit *k);
void kit_free(struct kit *k);
/* Which key signs an algorithm. */
enum kit_key kit_key_of(enum rc_alg alg);
/* A token with that header and payload, good until the next call. header NULL: {"alg":...};
 * otherwise it is authenticated by HS256, whatever it says. */
struct rc_str kit_token(struct kit *k, enum rc_alg alg, const char *header,
                        const char *payload);
/* The same in three parts that need not belong together; sig as raw bytes. */
struct rc_str kit_forge(const char *header, const char *payload, const void *sig, size_t n);
/* Verifies by the kit's keys and policy; forgets the token. */
enum rc_token_fault kit_verify(struct kit *k, struct rc_str token);
enum rc_token_fault kit_verify_by(const struct rc_keys *keys, struct kit *k,
                                  struct rc_str token);
void kit_pem(EVP_PKEY *pkey, struct rc_buf *public_pem, struct rc_buf *private_pem);

#endif /* RC_TEST_AUTH_KIT_H */

/*
 * auth.h - what [auth] of the INI says: keys, the policy for tokens, and who is revoked.
 *
 * Threads:   new, free: main.  Everything else: any; it is immutable.
 * Ownership: rc_auth_new returns a new object; the configuration is borrowed and must outlive it.
 */
#ifndef RC_AUTH_AUTH_H
#define RC_AUTH_AUTH_H

#include "rc/auth/keys.h"
#include "rc/auth/sign.h"
#include "rc/auth/token.h"
#include "rc/base/conf.h"
#include "rc/base/hmap.h"

#include <stdbool.h>
#include <stdint.h>

enum { RC_AUTH_MADE = 48 }; /* bytes of randomness in a secret for all three algorithms */

struct rc_auth {
    const struct rc_conf *conf;
    bool has_made;
    uint8_t made[RC_AUTH_MADE]; /* of auth.secret = auto */
    struct rc_keys keys;
    struct rc_token_policy policy;
    struct rc_signer dev; /* signs tokens for whoever asks; algs 0: dev_tokens_path is empty */
    struct rc_hmap revoked; /* of struct revoked, see auth.c */
};

/* Reads the key files and the list of revocations. NULL with the reasons in e. */
struct rc_auth *rc_auth_new(const struct rc_conf *conf, struct rc_conf_errors *e);
/* The same on a reload: a secret that the last one has made stays. last may be NULL. */
struct rc_auth *rc_auth_renew(const struct rc_auth *last, const struct rc_conf *conf,
                              struct rc_conf_errors *e);
void rc_auth_free(struct rc_auth *a);

/* rc_token_verify() by these keys and this policy; then neither its user nor its id may have been
 * revoked. now_ms: since 1970. */
enum rc_token_fault rc_auth_verify(const struct rc_auth *a, struct rc_str text, uint64_t now_ms,
                                   struct rc_token **out) RC_MUSTCHECK;

/* Whether it was verified with these keys or with others: is its user revoked, or its id? */
bool rc_auth_is_revoked(const struct rc_auth *a, const struct rc_token *token);
bool rc_auth_has_revoked(const struct rc_auth *a); /* anybody */

/* ---- development ---- */

enum { RC_DEV_NAME_MAX = 64 }; /* characters; RC_USER_MAX bytes */

/* Appends {"token":…,"user":…,"expires":…} for a body {"name":…}: the name, without the white
 * space around it, is the user, and expires are milliseconds since 1970. RC_EPROTO: the body is
 * something else; RC_EINVAL: no name for a user; RC_ESYS: the token cannot be signed. Only with
 * auth.dev_tokens_path. */
int rc_auth_dev_token(const struct rc_auth *a, struct rc_str body, uint64_t now_ms,
                      struct rc_buf *answer) RC_MUSTCHECK;

/* ---- shared with cli.c ---- */

/* The secret that is configured, in the text or in the file, without the line break at its end:
 * RC_OK; RC_ENOENT: there is none; RC_EINVAL: told in e. */
int rc_auth_read_secret(const struct rc_conf *conf, struct rc_buf *secret,
                        struct rc_conf_errors *e) RC_MUSTCHECK;
/* RC_ALG_BIT()s of auth.algorithms; all when it is empty. */
uint32_t rc_auth_algorithms(const struct rc_conf *conf, struct rc_conf_errors *e);

/* ---- cli.c: roomcast token ---- */

/* Mints a token with the key that is configured, and prints it. default_file: the configuration
 * when the command line names none, or NULL. Returns the exit code: 0, 2 usage or configuration. */
int rc_auth_cli(int argc, char **argv, const char *default_file);

#endif /* RC_AUTH_AUTH_H */

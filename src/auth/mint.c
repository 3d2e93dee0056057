/* mint.c - tokens as a server of the same configuration accepts them. */
#include "rc/auth/sign.h"

#include <jansson.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

static void put_id(json_t *claims)
{
    unsigned char raw[8];
    char text[2 * sizeof(raw) + 1];

    if (RAND_bytes(raw, sizeof(raw)) != 1)
        return;
    for (unsigned i = 0; i < sizeof(raw); i++)
        (void)snprintf(text + 2 * (size_t)i, 3, "%02x", raw[i]);
    (void)json_object_set_new(claims, "jti", json_string(text));
}

json_t *rc_mint_claims(const struct rc_conf *conf, struct rc_str user, uint64_t now_ms,
                       uint32_t ttl_ms)
{
    json_t *claims, *name = json_stringn(user.p, user.len);

    if (name == NULL)
        return NULL;
    claims = json_object();
    (void)json_object_set_new(claims, conf->auth_user_claim.item[0], name);
    if (conf->auth_issuer.n != 0)
        (void)json_object_set_new(claims, "iss", json_string(conf->auth_issuer.item[0]));
    if (conf->auth_audience.n != 0)
        (void)json_object_set_new(claims, "aud", json_string(conf->auth_audience.item[0]));
    (void)json_object_set_new(claims, "iat", json_integer((json_int_t)(now_ms / 1000)));
    put_id(claims);
    if (ttl_ms != 0)
        (void)json_object_set_new(claims, "exp",
                                  json_integer((json_int_t)(now_ms + ttl_ms) / 1000));
    return claims;
}

int rc_mint(const struct rc_signer *s, enum rc_alg alg, const char *kid, const json_t *claims,
            struct rc_buf *out)
{
    json_t *header =
        json_pack("{s:s,s:s,s:s*}", "alg", rc_alg_name(alg), "typ", "JWT", "kid", kid);
    char *head = header != NULL ? json_dumps(header, JSON_COMPACT) : NULL;
    char *body = json_dumps(claims, JSON_COMPACT);
    int rc = RC_EINVAL;

    if (head != NULL && body != NULL)
        rc = rc_sign(s, alg, rc_str_of(head), rc_str_of(body), out);
    free(head);
    free(body);
    json_decref(header);
    return rc;
}

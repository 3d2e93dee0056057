/* token.c - verifies tokens: form, header, signature, claims, in this order. */
#include "rc/auth/token.h"

#include "keys_int.h"
#include "rc/base/b64.h"
#include "rc/base/mem.h"
#include "rc/proto/json.h"

#include <jose/jws.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIG_MAX = RC_RSA_MAX_BITS / 8 };

static const struct {
    const char *code, *text;
} faults[] = {
#define FAULT_ROW(id, code, text) {code, text},
    RC_TOKEN_FAULT_MAP(FAULT_ROW)
#undef FAULT_ROW
};

static const uint32_t sig_lens[RC_ALG_COUNT] = {
#define SIG_ROW(id, name, hash, sig) sig,
    RC_ALG_MAP(SIG_ROW)
#undef SIG_ROW
};

const char *rc_token_fault_code(enum rc_token_fault fault)
{
    return faults[fault].code;
}

const char *rc_token_fault_text(enum rc_token_fault fault)
{
    return faults[fault].text;
}

/* A token taken apart; the slices are of the text, but for what is decoded. */
struct parts {
    struct rc_str header, payload, signature; /* base64url */
    struct rc_str signing_input;              /* header.payload */
    struct rc_buf claims;                     /* the payload, decoded */
    uint8_t sig[SIG_MAX + 4];
    size_t sig_len;
    enum rc_alg alg;
    char *kid; /* or NULL */
};

/* ---- form ---- */

static enum rc_token_fault split(struct rc_str text, struct parts *p)
{
    const char *a = text.len != 0 ? memchr(text.p, '.', text.len) : NULL, *b;

    if (a == NULL)
        return RC_TOKEN_MALFORMED;
    p->header = rc_str_make(text.p, (size_t)(a - text.p));
    text = rc_str_skip(text, p->header.len + 1);
    b = text.len != 0 ? memchr(text.p, '.', text.len) : NULL;
    if (b == NULL)
        return RC_TOKEN_MALFORMED;
    p->payload = rc_str_make(text.p, (size_t)(b - text.p));
    p->signature = rc_str_skip(text, p->payload.len + 1);
    p->signing_input = rc_str_make(p->header.p, (size_t)(b - p->header.p));
    if (memchr(p->signature.p, '.', p->signature.len) != NULL) /* five parts are a JWE */
        return RC_TOKEN_MALFORMED;
    return RC_TOKEN_NONE;
}

/* The bytes of a part; they end in a NUL that does not count. */
static bool decode(struct rc_str text, struct rc_buf *out)
{
    return rc_b64_decode_put(out, RC_B64_URL, text) == RC_OK && out->len != 0;
}

/* ---- header ---- */

/* typ is there to tell kinds of tokens apart (RFC 8725 section 3.11). */
static bool is_jwt(const char *typ)
{
    if (strncasecmp(typ, "application/", 12) == 0)
        typ += 12;
    return strcasecmp(typ, "JWT") == 0 || strcasecmp(typ, "at+jwt") == 0;
}

/* What changes the meaning of the rest, and is not done here, is refused. */
static bool has_extension(const json_t *header)
{
    static const char *const names[] = {"crit", "b64", "zip", "enc"};

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (json_object_get(header, names[i]) != NULL)
            return true;
    return false;
}

static enum rc_token_fault read_header(const json_t *header, uint32_t allowed, struct parts *p)
{
    const json_t *alg = json_object_get(header, "alg"), *kid = json_object_get(header, "kid");
    const json_t *typ = json_object_get(header, "typ"), *cty = json_object_get(header, "cty");
    int found;

    if (!json_is_object(header) || !json_is_string(alg) || has_extension(header) ||
        (kid != NULL && (!json_is_string(kid) || json_string_length(kid) > RC_KID_MAX)) ||
        (typ != NULL && (!json_is_string(typ) || !is_jwt(json_string_value(typ)))) ||
        (cty != NULL && (!json_is_string(cty) || is_jwt(json_string_value(cty)))))
        return RC_TOKEN_MALFORMED;
    found = rc_alg_find(rc_str_make(json_string_value(alg), json_string_length(alg)));
    if (found < 0 || (allowed & RC_ALG_BIT(found)) == 0)
        return RC_TOKEN_ALGORITHM;
    p->alg = (enum rc_alg)found;
    if (kid != NULL)
        p->kid = rc_strndup(json_string_value(kid), json_string_length(kid));
    return RC_TOKEN_NONE;
}

static enum rc_token_fault parse(struct rc_str text, const struct rc_token_policy *policy,
                                 struct parts *p)
{
    struct rc_buf header = RC_BUF_INIT;
    enum rc_token_fault fault = split(text, p);
    json_t *json = NULL;
    int64_t n;

    if (fault == RC_TOKEN_NONE &&
        (!decode(p->header, &header) || !decode(p->payload, &p->claims)))
        fault = RC_TOKEN_MALFORMED;
    if (fault == RC_TOKEN_NONE)
        json = json_loadb((const char *)header.data, header.len, JSON_REJECT_DUPLICATES, NULL);
    rc_buf_deinit(&header);
    if (fault != RC_TOKEN_NONE)
        return fault;
    fault = json != NULL ? read_header(json, policy->algs, p) : RC_TOKEN_MALFORMED;
    json_decref(json);
    if (fault != RC_TOKEN_NONE)
        return fault;
    if (p->signature.len > RC_B64_SIZE(SIG_MAX) - 1)
        return RC_TOKEN_MALFORMED;
    n = rc_b64_decode(RC_B64_URL, p->signature, p->sig);
    p->sig_len = n > 0 ? (size_t)n : 0;
    return n >= 0 ? RC_TOKEN_NONE : RC_TOKEN_MALFORMED;
}

/* ---- signature ---- */

static void no_message(void *misc, const char *file, int line, uint64_t err, const char *fmt,
                       va_list ap)
{
    (void)misc, (void)file, (void)line, (void)err, (void)fmt, (void)ap;
}

jose_cfg_t *rc_jose_quiet(void)
{
    jose_cfg_t *cfg = jose_cfg();

    if (cfg != NULL)
        jose_cfg_set_err_func(cfg, no_message, NULL);
    return cfg;
}

static bool verify_eddsa(const struct rc_key *key, const struct parts *p)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key->pkey) == 1 &&
              EVP_DigestVerify(ctx, p->sig, p->sig_len, (const uint8_t *)p->signing_input.p,
                               p->signing_input.len) == 1;

    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool verify_jose(const struct rc_key *key, const struct parts *p)
{
    jose_cfg_t *cfg = rc_jose_quiet();
    json_t *jws =
        json_pack("{s:s%,s:s%,s:s%}", "protected", p->header.p, p->header.len, "payload",
                  p->payload.p, p->payload.len, "signature", p->signature.p, p->signature.len);
    bool ok = cfg != NULL && jws != NULL && jose_jws_ver(cfg, jws, NULL, key->jwk, false);

    json_decref(jws);
    jose_cfg_decref(cfg);
    return ok;
}

static bool all_zero(const uint8_t *p, size_t n)
{
    uint8_t any = 0;

    for (size_t i = 0; i < n; i++)
        any |= p[i];
    return any == 0;
}

/* A signature has one length and one form, so DER, truncations and the r = 0 or s = 0 of
 * CVE-2022-21449 end here, whatever the libraries think of them. */
static bool verify(const struct rc_key *key, const struct parts *p)
{
    size_t len = sig_lens[p->alg] != 0 ? sig_lens[p->alg] : key->sig_len, half = len / 2;
    bool ok;

    if (p->sig_len != len)
        return false;
    if (p->alg >= RC_ALG_ES256 && p->alg <= RC_ALG_ES512 &&
        (all_zero(p->sig, half) || all_zero(p->sig + half, half)))
        return false;
    ok = p->alg == RC_ALG_EDDSA ? verify_eddsa(key, p) : verify_jose(key, p);
    ERR_clear_error();
    return ok;
}

static bool fits(const struct rc_key *key, const struct parts *p, bool by_name)
{
    bool named = key->kid != NULL && p->kid != NULL && strcmp(key->kid, p->kid) == 0;

    if ((key->algs & RC_ALG_BIT(p->alg)) == 0)
        return false;
    /* A key without a name fits any token, a token without one any key. */
    return by_name ? named : !named && (key->kid == NULL || p->kid == NULL);
}

/* The key that the token names first, then those that nothing speaks against. */
static enum rc_token_fault check_signature(const struct rc_keys *keys, const struct parts *p)
{
    unsigned tries = 0;

    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < keys->n && tries < RC_TOKEN_TRIES; i++) {
            if (!fits(&keys->key[i], p, pass == 0))
                continue;
            tries++;
            if (verify(&keys->key[i], p))
                return RC_TOKEN_NONE;
        }
    return tries != 0 ? RC_TOKEN_SIGNATURE : RC_TOKEN_UNKNOWN_KEY;
}

/* ---- claims ---- */

/* A NumericDate in ms, or UINT64_MAX when it is no date. */
static uint64_t date_of(const json_t *value)
{
    const double max = 9007199254740992.0; /* 2^53 s */
    double seconds;

    if (!json_is_number(value))
        return UINT64_MAX;
    seconds = json_number_value(value);
    return seconds >= 0 && seconds < max ? (uint64_t)(seconds * 1000) : UINT64_MAX;
}

static enum rc_token_fault check_time(const json_t *claims,
                                      const struct rc_token_policy *policy, uint64_t now_ms,
                                      uint64_t *expires_ms)
{
    static const char *const starts[] = {"nbf", "iat"};
    const json_t *exp = json_object_get(claims, "exp");
    uint64_t at = exp != NULL ? date_of(exp) : 0;

    if (at == UINT64_MAX || (exp == NULL && policy->require_expiry))
        return RC_TOKEN_MALFORMED;
    *expires_ms = exp == NULL ? 0 : at != 0 ? at : 1;
    if (exp != NULL && now_ms >= at + policy->leeway_ms)
        return RC_TOKEN_EXPIRED;
    for (unsigned i = 0; i < 2; i++) {
        const json_t *start = json_object_get(claims, starts[i]);

        at = start != NULL ? date_of(start) : 0;
        if (at == UINT64_MAX)
            return RC_TOKEN_MALFORMED;
        if (at > now_ms + policy->leeway_ms)
            return RC_TOKEN_NOT_YET;
    }
    return RC_TOKEN_NONE;
}

static bool listed(const json_t *value, char *const *list, unsigned n)
{
    struct rc_str text = rc_str_make(json_string_value(value), json_string_length(value));

    for (unsigned i = 0; i < n; i++)
        if (rc_str_eq(text, rc_str_of(list[i])))
            return true;
    return false;
}

static enum rc_token_fault check_issuer(const json_t *claims,
                                        const struct rc_token_policy *policy)
{
    const json_t *iss = json_object_get(claims, "iss");

    if (iss != NULL && !json_is_string(iss))
        return RC_TOKEN_MALFORMED;
    if (policy->nissuers != 0 &&
        (iss == NULL || !listed(iss, policy->issuer, policy->nissuers)))
        return RC_TOKEN_ISSUER;
    return RC_TOKEN_NONE;
}

/* A token that names audiences is for these alone (RFC 7519 section 4.1.3): it is refused, too,
 * when we have not been told who we are. */
static enum rc_token_fault check_audience(const json_t *claims,
                                          const struct rc_token_policy *policy)
{
    const json_t *aud = json_object_get(claims, "aud"), *one;
    bool ours = aud == NULL && policy->naudiences == 0;
    size_t i;

    if (json_is_string(aud)) {
        ours = listed(aud, policy->audience, policy->naudiences);
    } else if (aud != NULL && !json_is_array(aud)) {
        return RC_TOKEN_MALFORMED;
    }
    json_array_foreach(aud, i, one)
    {
        if (!json_is_string(one))
            return RC_TOKEN_MALFORMED;
        ours = ours || listed(one, policy->audience, policy->naudiences);
    }
    return ours ? RC_TOKEN_NONE : RC_TOKEN_AUDIENCE;
}

static bool is_user(const char *s, size_t n)
{
    if (n == 0 || n > RC_USER_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
            return false;
    return true;
}

/* The first of the claims that is there decides. */
static enum rc_token_fault find_user(const json_t *claims, const struct rc_token_policy *policy,
                                     char user[RC_USER_MAX + 1])
{
    const json_t *value = NULL;

    for (unsigned i = 0; i < policy->nuser_claims && value == NULL; i++)
        value = json_object_get(claims, policy->user_claim[i]);
    if (json_is_integer(value)) {
        (void)snprintf(user, RC_USER_MAX + 1, "%" JSON_INTEGER_FORMAT,
                       json_integer_value(value));
        return RC_TOKEN_NONE;
    }
    if (!json_is_string(value) || !is_user(json_string_value(value), json_string_length(value)))
        return RC_TOKEN_NO_USER;
    memcpy(user, json_string_value(value), json_string_length(value) + 1);
    return RC_TOKEN_NONE;
}

static struct rc_token *new_token(const char *user, struct rc_str id, struct rc_str claims,
                                  uint64_t expires_ms)
{
    size_t n = strlen(user);
    struct rc_token *t = rc_malloc(sizeof(*t) + n + id.len + claims.len);

    *t = (struct rc_token){.expires_ms = expires_ms};
    memcpy(t->bytes, user, n);
    if (id.len != 0)
        memcpy(t->bytes + n, id.p, id.len);
    memcpy(t->bytes + n + id.len, claims.p, claims.len);
    t->user = rc_str_make(t->bytes, n);
    t->id = rc_str_make(t->bytes + n, id.len);
    t->claims = rc_str_make(t->bytes + n + id.len, claims.len);
    return t;
}

static enum rc_token_fault read_claims(const json_t *claims, struct rc_str raw,
                                       const struct rc_token_policy *policy, uint64_t now_ms,
                                       struct rc_token **out)
{
    const json_t *jti = json_object_get(claims, "jti");
    char user[RC_USER_MAX + 1] = "";
    uint64_t expires_ms = 0;
    enum rc_token_fault fault;

    if (!json_is_object(claims) || (jti != NULL && !json_is_string(jti)))
        return RC_TOKEN_MALFORMED;
    fault = check_time(claims, policy, now_ms, &expires_ms);
    if (fault == RC_TOKEN_NONE)
        fault = check_issuer(claims, policy);
    if (fault == RC_TOKEN_NONE)
        fault = check_audience(claims, policy);
    if (fault == RC_TOKEN_NONE)
        fault = find_user(claims, policy, user);
    if (fault == RC_TOKEN_NONE)
        *out = new_token(user, rc_str_make(json_string_value(jti), json_string_length(jti)),
                         raw, expires_ms);
    return fault;
}

static struct rc_str trim(struct rc_str s)
{
    while (s.len != 0 && memchr(" \t\r\n", s.p[0], 4) != NULL)
        s = rc_str_skip(s, 1);
    while (s.len != 0 && memchr(" \t\r\n", s.p[s.len - 1], 4) != NULL)
        s.len--;
    return s;
}

static enum rc_token_fault check_claims(const struct parts *p,
                                        const struct rc_token_policy *policy, uint64_t now_ms,
                                        struct rc_token **out)
{
    struct rc_str raw = trim(rc_buf_str(&p->claims));
    struct rc_json_walk walk = {.max_depth = RC_CLAIMS_DEPTH};
    enum rc_token_fault fault;
    json_t *claims =
        json_loadb(raw.p != NULL ? raw.p : "", raw.len, JSON_REJECT_DUPLICATES, NULL);

    /* Templates read the text: both readers must take it for JSON. */
    if (claims == NULL || rc_json_validate(raw, &walk) != RC_OK)
        fault = RC_TOKEN_MALFORMED;
    else
        fault = read_claims(claims, raw, policy, now_ms, out);
    json_decref(claims);
    return fault;
}

enum rc_token_fault rc_token_verify(const struct rc_keys *keys,
                                    const struct rc_token_policy *policy, struct rc_str text,
                                    uint64_t now_ms, struct rc_token **out)
{
    struct parts p = {.kid = NULL};
    enum rc_token_fault fault;

    *out = NULL;
    if (text.len == 0)
        return RC_TOKEN_MISSING;
    if (text.len > policy->max_size)
        return RC_TOKEN_TOO_BIG;
    fault = parse(text, policy, &p);
    if (fault == RC_TOKEN_NONE)
        fault = check_signature(keys, &p);
    if (fault == RC_TOKEN_NONE)
        fault = check_claims(&p, policy, now_ms, out);
    rc_buf_deinit(&p.claims);
    free(p.kid);
    return fault;
}

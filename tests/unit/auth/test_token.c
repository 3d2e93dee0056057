/* test_token.c - tokens of every kind: those that are good, and all the ways to forge one. */
#include "kit.h"

#include "rc/base/b64.h"
#include "rc/base/mem.h"

#include <criterion/criterion.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdlib.h>

#define GOOD "{\"sub\":\"ann\",\"exp\":1700000100}"

static struct kit kit;

/* One try of a token that must not be taken. */
#define REFUSED(fault, token) cr_assert_eq(kit_verify(&kit, (token)), RC_TOKEN_##fault)
#define ACCEPTED(token)       cr_assert_eq(kit_verify(&kit, (token)), RC_TOKEN_NONE)

static enum rc_token_fault claims(const char *payload)
{
    return kit_verify(&kit, kit_token(&kit, RC_ALG_HS256, NULL, payload));
}

static enum rc_token_fault header(const char *text)
{
    return kit_verify(&kit, kit_token(&kit, RC_ALG_HS256, text, GOOD));
}

static struct rc_token *token_of(const char *payload)
{
    struct rc_token *t = NULL;

    cr_assert_eq(rc_token_verify(&kit.keys, &kit.policy,
                                 kit_token(&kit, RC_ALG_HS256, NULL, payload), KIT_NOW, &t),
                 RC_TOKEN_NONE);
    return t;
}

/* ---- what is good ---- */

Test(auth_token, every_algorithm)
{
    kit_make(&kit);
    for (int i = 0; i < RC_ALG_COUNT; i++)
        ACCEPTED(kit_token(&kit, (enum rc_alg)i, NULL, GOOD));
    kit_free(&kit);
}

Test(auth_token, ed448)
{
    struct rc_buf out = RC_BUF_INIT;

    kit_make(&kit);
    cr_assert_eq(rc_sign(&kit.signer[KIT_ED448], RC_ALG_EDDSA, RC_STR("{\"alg\":\"EdDSA\"}"),
                         RC_STR(GOOD), &out),
                 RC_OK);
    ACCEPTED(rc_buf_str(&out));
    rc_buf_deinit(&out);
    kit_free(&kit);
}

Test(auth_token, what_it_says)
{
    struct rc_token *t;

    kit_make(&kit);
    t = token_of(" {\"sub\":\"ann \\u00e9\",\"exp\":1700000000.5,\"jti\":\"j1\",\"n\":[1]} \n");
    cr_assert(rc_str_eq(t->user, RC_STR("ann \xc3\xa9")));
    cr_assert(rc_str_eq(t->id, RC_STR("j1")));
    cr_assert_eq(t->expires_ms, 1700000000500ull);
    cr_assert(rc_str_eq(t->claims, RC_STR("{\"sub\":\"ann \\u00e9\",\"exp\":1700000000.5,"
                                          "\"jti\":\"j1\",\"n\":[1]}")));
    free(t);
    t = token_of("{\"id\":-17}");
    cr_assert(rc_str_eq(t->user, RC_STR("-17")));
    cr_assert_eq(t->id.len, 0);
    cr_assert_eq(t->expires_ms, 0);
    free(t);
    kit_free(&kit);
}

/* ---- form ---- */

Test(auth_token, not_a_token)
{
    static const char *const texts[] = {
        ".",
        "..",
        "...",
        "a",
        "a.b",
        "a.b.c",
        "a.b.c.d.e",
        "e30.e30.",
        "e30.e30.AA",
        "bnVsbA.e30.AA",
        "W10.e30.AA",
        "eyJhbGciOiJIUzI1NiJ9..AA",
        "eyJhbGciOiJIUzI1NiJ9.e30.AA==",
        "eyJhbGciOiJIUzI1NiJ9 .e30.AA",
        "Bearer eyJhbGciOiJIUzI1NiJ9.e30.AA",
        "\"eyJhbGciOiJIUzI1NiJ9.e30.AA\"",
    };

    kit_make(&kit);
    REFUSED(MISSING, RC_STR(""));
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        cr_assert_eq(kit_verify(&kit, rc_str_of(texts[i])), RC_TOKEN_MALFORMED, "%s", texts[i]);
    kit_free(&kit);
}

Test(auth_token, too_big)
{
    struct rc_str good;

    kit_make(&kit);
    good = kit_token(&kit, RC_ALG_HS256, NULL, GOOD);
    kit.policy.max_size = good.len;
    ACCEPTED(good);
    kit.policy.max_size = good.len - 1;
    REFUSED(TOO_BIG, good);
    kit_free(&kit);
}

/* Any change of one character, anywhere: each text means one token, and no two the same. */
Test(auth_token, no_character_may_change)
{
    static const enum rc_alg algs[] = {RC_ALG_HS256, RC_ALG_ES256, RC_ALG_EDDSA};
    static const char others[] = "A_-=.+/ \n\"B\x80";

    kit_make(&kit);
    for (unsigned a = 0; a < sizeof(algs) / sizeof(algs[0]); a++) {
        struct rc_str good = kit_token(&kit, algs[a], NULL, GOOD);
        char *copy = rc_strndup(good.p, good.len);

        for (size_t i = 0; i < good.len; i++)
            for (const char *c = others; *c != '\0'; c++) {
                copy[i] = *c;
                cr_assert(*c == good.p[i] ||
                          kit_verify(&kit, rc_str_make(copy, good.len)) != RC_TOKEN_NONE);
                copy[i] = good.p[i];
            }
        free(copy);
    }
    kit_free(&kit);
}

Test(auth_token, truncated_anywhere)
{
    kit_make(&kit);
    for (int a = 0; a < RC_ALG_COUNT; a++) {
        struct rc_str good = kit_token(&kit, (enum rc_alg)a, NULL, GOOD);

        for (size_t n = 0; n < good.len; n++)
            cr_assert_neq(kit_verify(&kit, rc_str_make(good.p, n)), RC_TOKEN_NONE);
    }
    kit_free(&kit);
}

/* The last character of 32 bytes has two bits to spare: set, they must not be overlooked. */
Test(auth_token, loose_base64)
{
    struct rc_str good;
    struct rc_buf b = RC_BUF_INIT;
    char *last;

    kit_make(&kit);
    good = kit_token(&kit, RC_ALG_HS256, NULL, GOOD);
    rc_buf_puts(&b, good);
    last = (char *)b.data + b.len - 1;
    cr_assert_eq(b.len, good.len);
    *last = (char)(*last + 1); /* the letters used are multiples of four in the alphabet */
    REFUSED(MALFORMED, rc_buf_str(&b));
    rc_buf_deinit(&b);
    kit_free(&kit);
}

/* ---- alg ---- */

Test(auth_token, alg_none_in_any_case)
{
    static const char *const names[] = {"none",  "None", "NONE",   "nOnE",   "none ",
                                        " none", "null", "",       "HS",     "hs256",
                                        "Hs256", "HS1",  "HS2560", "RS256 ", "A128KW"};
    char text[64];

    kit_make(&kit);
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(text, sizeof(text), "{\"alg\":\"%s\"}", names[i]);
        REFUSED(ALGORITHM, kit_forge(text, GOOD, "", 0));
        REFUSED(ALGORITHM, kit_forge(text, GOOD, "x", 1));
        cr_assert_eq(header(text), RC_TOKEN_ALGORITHM); /* with a right HMAC */
    }
    cr_assert_eq(header("{\"alg\":\"no\\u0000ne\"}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(header("{\"alg\":null}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(header("{\"alg\":[\"HS256\"]}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(header("{\"alg\":0}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(header("{\"typ\":\"JWT\"}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(header("{\"alg\":\"HS256\",\"alg\":\"none\"}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(header("{\"alg\":\"none\",\"alg\":\"HS256\"}"), RC_TOKEN_MALFORMED);
    kit_free(&kit);
}

Test(auth_token, no_signature)
{
    char text[64];

    kit_make(&kit);
    for (int a = 0; a < RC_ALG_COUNT; a++) {
        (void)snprintf(text, sizeof(text), "{\"alg\":\"%s\"}", rc_alg_name((enum rc_alg)a));
        REFUSED(SIGNATURE, kit_forge(text, GOOD, "", 0));
    }
    kit_free(&kit);
}

/* The public key as an HMAC secret, in every form in which somebody could have it. */
Test(auth_token, hmac_with_the_public_key)
{
    struct rc_keys only = {0};
    char why[RC_KEY_WHY];

    kit_make(&kit);
    for (unsigned i = 1; i < KIT_COUNT; i++) {
        struct rc_str pem = rc_buf_str(&kit.pem[i]);

        cr_assert_eq(rc_keys_add_pem(&only, pem, why), RC_OK);
        for (unsigned cut = 0; cut < 2; cut++) { /* with the last line break, and without */
            struct rc_str input = kit_forge("{\"alg\":\"HS256\"}", GOOD, "", 0), token;
            uint8_t mac[32];
            unsigned n = sizeof(mac);

            cr_assert_not_null(HMAC(EVP_sha256(), pem.p, (int)(pem.len - cut),
                                    (const uint8_t *)input.p, input.len - 1, mac, &n));
            token = kit_forge("{\"alg\":\"HS256\"}", GOOD, mac, n);
            cr_assert_eq(kit_verify_by(&only, &kit, token), RC_TOKEN_UNKNOWN_KEY);
            REFUSED(SIGNATURE, token);
        }
    }
    rc_keys_deinit(&only);
    kit_free(&kit);
}

Test(auth_token, algorithms_that_are_not_allowed)
{
    kit_make(&kit);
    for (int a = 0; a < RC_ALG_COUNT; a++) {
        kit.policy.algs = RC_ALGS_ALL & ~RC_ALG_BIT(a);
        REFUSED(ALGORITHM, kit_token(&kit, (enum rc_alg)a, NULL, GOOD));
        kit.policy.algs = RC_ALG_BIT(a);
        ACCEPTED(kit_token(&kit, (enum rc_alg)a, NULL, GOOD));
    }
    kit_free(&kit);
}

/* One algorithm in the header, signed by another. */
Test(auth_token, the_wrong_algorithm)
{
    kit_make(&kit);
    for (int a = 0; a < RC_ALG_COUNT; a++)
        for (int b = 0; b < RC_ALG_COUNT; b++) {
            struct rc_str good = kit_token(&kit, (enum rc_alg)a, NULL, GOOD), token;
            const char *dot = memrchr(good.p, '.', good.len);
            char text[64];
            uint8_t sig[1024];
            int64_t n;

            if (a == b)
                continue;
            n = rc_b64_decode(RC_B64_URL, rc_str_skip(good, (size_t)(dot + 1 - good.p)), sig);
            cr_assert_gt(n, 0);
            (void)snprintf(text, sizeof(text), "{\"alg\":\"%s\"}", rc_alg_name((enum rc_alg)b));
            token = kit_forge(text, GOOD, sig, (size_t)n);
            REFUSED(SIGNATURE, token);
        }
    kit_free(&kit);
}

/* ---- header ---- */

Test(auth_token, headers)
{
    kit_make(&kit);
    cr_assert_eq(header("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"), RC_TOKEN_NONE);
    cr_assert_eq(header("{\"alg\":\"HS256\",\"typ\":\"at+JWT\"}"), RC_TOKEN_NONE);
    cr_assert_eq(header("{\"alg\":\"HS256\",\"typ\":\"application/jwt\"}"), RC_TOKEN_NONE);
    cr_assert_eq(header("{\"alg\":\"HS256\",\"jku\":\"http://127.0.0.1/\",\"x5u\":1}"),
                 RC_TOKEN_NONE); /* never looked at */
    cr_assert_eq(header("{\"alg\":\"HS256\",\"typ\":\"logout+jwt\"}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(header("{\"alg\":\"HS256\",\"typ\":1}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(header("{\"alg\":\"HS256\",\"cty\":\"JWT\"}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(header("{\"alg\":\"HS256\",\"cty\":\"jwt\"}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(header("{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}"),
                 RC_TOKEN_MALFORMED);
    cr_assert_eq(header("{\"alg\":\"HS256\",\"crit\":[]}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(header("{\"alg\":\"HS256\",\"b64\":false}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(header("{\"alg\":\"HS256\",\"zip\":\"DEF\"}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(header("{\"alg\":\"HS256\",\"enc\":\"A128GCM\"}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(header("{\"alg\":\"HS256\"} "), RC_TOKEN_NONE);
    cr_assert_eq(header("{\"alg\":\"HS256\"}x"), RC_TOKEN_MALFORMED);
    cr_assert_eq(header("{\"alg\":\"HS256\",\"x\":\"\xff\"}"), RC_TOKEN_MALFORMED);
    kit_free(&kit);
}

/* The attacker's own key in the header. */
Test(auth_token, a_key_in_the_header)
{
    struct rc_keys none = {0};

    kit_make(&kit);
    cr_assert_eq(kit_verify_by(&none, &kit,
                               kit_token(&kit, RC_ALG_HS256,
                                         "{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":"
                                         "\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}}",
                                         GOOD)),
                 RC_TOKEN_UNKNOWN_KEY);
    kit_free(&kit);
}

#define JWK(kid, k) "{\"kid\":\"" kid "\",\"kty\":\"oct\",\"k\":\"" k "\"}"
#define SECRET_64                                                                       \
    "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY" \
    "2RlZg"
#define OTHER_32 "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE"

Test(auth_token, kid)
{
    static const char *const tricks[] = {
        "../../../../../../dev/null",
        "/dev/null",
        "' UNION SELECT 'key';--",
        "| sleep 9",
        "",
        "good ",
        "Good",
        "goo",
        "good\\u0000",
    };
    struct rc_keys k = {0};
    char why[RC_KEY_WHY], text[128];
    unsigned skipped;

    kit_make(&kit);
    cr_assert_eq(
        rc_keys_add_jwks(
            &k, RC_STR("{\"keys\":[" JWK("other", OTHER_32) "," JWK("good", SECRET_64) "]}"),
            &skipped, why),
        RC_OK);
    cr_assert_eq(kit_verify_by(&k, &kit,
                               kit_token(&kit, RC_ALG_HS256,
                                         "{\"alg\":\"HS256\",\"kid\":\"good\"}", GOOD)),
                 RC_TOKEN_NONE);
    /* That key exists, and is the wrong one. */
    cr_assert_eq(kit_verify_by(&k, &kit,
                               kit_token(&kit, RC_ALG_HS256,
                                         "{\"alg\":\"HS256\",\"kid\":\"other\"}", GOOD)),
                 RC_TOKEN_SIGNATURE);
    /* No kid: any key may be meant. */
    cr_assert_eq(kit_verify_by(&k, &kit, kit_token(&kit, RC_ALG_HS256, NULL, GOOD)),
                 RC_TOKEN_NONE);
    for (unsigned i = 0; i < sizeof(tricks) / sizeof(tricks[0]); i++) {
        enum rc_token_fault fault;

        (void)snprintf(text, sizeof(text), "{\"alg\":\"HS256\",\"kid\":\"%s\"}", tricks[i]);
        fault = kit_verify_by(&k, &kit, kit_token(&kit, RC_ALG_HS256, text, GOOD));
        cr_assert(fault == RC_TOKEN_UNKNOWN_KEY || fault == RC_TOKEN_MALFORMED, "%s", text);
    }
    cr_assert_eq(header("{\"alg\":\"HS256\",\"kid\":7}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(header("{\"alg\":\"HS256\",\"kid\":null}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(header("{\"alg\":\"HS256\",\"kid\":[\"good\"]}"), RC_TOKEN_MALFORMED);
    rc_keys_deinit(&k);
    kit_free(&kit);
}

Test(auth_token, kid_of_more_than_256_bytes)
{
    char text[400];

    kit_make(&kit);
    (void)snprintf(text, sizeof(text), "{\"alg\":\"HS256\",\"kid\":\"%0256d\"}", 0);
    cr_assert_eq(header(text), RC_TOKEN_NONE); /* the kit's keys have no names */
    (void)snprintf(text, sizeof(text), "{\"alg\":\"HS256\",\"kid\":\"%0257d\"}", 0);
    cr_assert_eq(header(text), RC_TOKEN_MALFORMED);
    kit_free(&kit);
}

/* Secrets that are wrong, and behind them the right one. */
static enum rc_token_fault behind(unsigned n)
{
    struct rc_keys k = {0};
    char why[RC_KEY_WHY], secret[RC_SECRET_MIN];
    enum rc_token_fault fault;

    for (unsigned i = 0; i < n; i++) {
        memset(secret, 'a' + (int)i, sizeof(secret));
        cr_assert_eq(rc_keys_add_secret(&k, rc_str_make(secret, sizeof(secret)), why), RC_OK);
    }
    cr_assert_eq(rc_keys_add_secret(&k, rc_str_of(kit_secret), why), RC_OK);
    fault = kit_verify_by(&k, &kit, kit_token(&kit, RC_ALG_HS256, NULL, GOOD));
    rc_keys_deinit(&k);
    return fault;
}

/* A token costs a bounded time. */
Test(auth_token, a_token_tries_a_few_keys_only)
{
    kit_make(&kit);
    cr_assert_eq(behind(RC_TOKEN_TRIES - 1), RC_TOKEN_NONE);
    cr_assert_eq(behind(RC_TOKEN_TRIES), RC_TOKEN_SIGNATURE);
    kit_free(&kit);
}

/* ---- signatures ---- */

Test(auth_token, elliptic_curves)
{
    static const struct {
        enum rc_alg alg;
        size_t half;
    } curves[] = {{RC_ALG_ES256, 32}, {RC_ALG_ES384, 48}, {RC_ALG_ES512, 66}};

    kit_make(&kit);
    for (unsigned i = 0; i < 3; i++) {
        const char *name = rc_alg_name(curves[i].alg);
        struct rc_str good = kit_token(&kit, curves[i].alg, NULL, GOOD);
        const char *dot = memrchr(good.p, '.', good.len);
        size_t half = curves[i].half, len;
        uint8_t sig[2 * 66 + 4], zero[2 * 66] = {0}, one[2 * 66] = {0}, *der = NULL;
        ECDSA_SIG *ec = ECDSA_SIG_new();
        char text[64];
        int64_t n =
            rc_b64_decode(RC_B64_URL, rc_str_skip(good, (size_t)(dot + 1 - good.p)), sig);

        (void)snprintf(text, sizeof(text), "{\"alg\":\"%s\"}", name);
        cr_assert_eq(n, (int64_t)(2 * half));
        ACCEPTED(kit_forge(text, GOOD, sig, 2 * half));
        /* The same numbers in DER, as OpenSSL writes them. */
        cr_assert_eq(ECDSA_SIG_set0(ec, BN_bin2bn(sig, (int)half, NULL),
                                    BN_bin2bn(sig + half, (int)half, NULL)),
                     1);
        len = (size_t)i2d_ECDSA_SIG(ec, &der);
        REFUSED(SIGNATURE, kit_forge(text, GOOD, der, len));
        OPENSSL_free(der);
        ECDSA_SIG_free(ec);
        /* CVE-2022-21449: zero in both, in r, in s; and all ones. */
        REFUSED(SIGNATURE, kit_forge(text, GOOD, zero, 2 * half));
        memcpy(zero, sig, half);
        REFUSED(SIGNATURE, kit_forge(text, GOOD, zero, 2 * half));
        memset(zero, 0, half);
        memcpy(zero + half, sig + half, half);
        REFUSED(SIGNATURE, kit_forge(text, GOOD, zero, 2 * half));
        one[half - 1] = one[2 * half - 1] = 1;
        REFUSED(SIGNATURE, kit_forge(text, GOOD, one, 2 * half));
        memset(one, 0xff, sizeof(one));
        REFUSED(SIGNATURE, kit_forge(text, GOOD, one, 2 * half));
        /* A byte more, a byte less. */
        sig[2 * half] = 0;
        REFUSED(SIGNATURE, kit_forge(text, GOOD, sig, 2 * half + 1));
        REFUSED(SIGNATURE, kit_forge(text, GOOD, sig, 2 * half - 1));
    }
    kit_free(&kit);
}

Test(auth_token, rsa_signatures_have_one_length)
{
    struct rc_str good;
    uint8_t sig[260] = {0};

    kit_make(&kit);
    good = kit_token(&kit, RC_ALG_RS256, NULL, GOOD);
    cr_assert_eq(
        rc_b64_decode(RC_B64_URL,
                      rc_str_skip(good, (size_t)((const char *)memrchr(good.p, '.', good.len) +
                                                 1 - good.p)),
                      sig),
        256);
    ACCEPTED(kit_forge("{\"alg\":\"RS256\"}", GOOD, sig, 256));
    REFUSED(SIGNATURE, kit_forge("{\"alg\":\"RS256\"}", GOOD, sig, 255));
    REFUSED(SIGNATURE, kit_forge("{\"alg\":\"RS256\"}", GOOD, sig, 257));
    memset(sig, 0, sizeof(sig));
    REFUSED(SIGNATURE, kit_forge("{\"alg\":\"RS256\"}", GOOD, sig, 256));
    REFUSED(SIGNATURE, kit_forge("{\"alg\":\"PS256\"}", GOOD, sig, 256));
    kit_free(&kit);
}

Test(auth_token, a_signature_longer_than_any_key_makes)
{
    uint8_t sig[RC_RSA_MAX_BITS / 8 + 8] = {1};

    kit_make(&kit);
    REFUSED(MALFORMED, kit_forge("{\"alg\":\"RS256\"}", GOOD, sig, sizeof(sig)));
    REFUSED(SIGNATURE, kit_forge("{\"alg\":\"RS256\"}", GOOD, sig, RC_RSA_MAX_BITS / 8));
    kit_free(&kit);
}

/* ---- claims ---- */

Test(auth_token, times)
{
    kit_make(&kit); /* it is 1700000000 */
    cr_assert_eq(claims("{\"sub\":\"a\",\"exp\":1700000001}"), RC_TOKEN_NONE);
    cr_assert_eq(claims("{\"sub\":\"a\",\"exp\":1700000000.001}"), RC_TOKEN_NONE);
    cr_assert_eq(claims("{\"sub\":\"a\",\"exp\":1700000000}"), RC_TOKEN_EXPIRED);
    cr_assert_eq(claims("{\"sub\":\"a\",\"exp\":0}"), RC_TOKEN_EXPIRED);
    cr_assert_eq(claims("{\"sub\":\"a\",\"nbf\":1700000000}"), RC_TOKEN_NONE);
    cr_assert_eq(claims("{\"sub\":\"a\",\"nbf\":1700000001}"), RC_TOKEN_NOT_YET);
    cr_assert_eq(claims("{\"sub\":\"a\",\"iat\":1700000001}"), RC_TOKEN_NOT_YET);
    cr_assert_eq(claims("{\"sub\":\"a\",\"iat\":1}"), RC_TOKEN_NONE);
    kit.policy.leeway_ms = 10000;
    cr_assert_eq(claims("{\"sub\":\"a\",\"exp\":1699999991}"), RC_TOKEN_NONE);
    cr_assert_eq(claims("{\"sub\":\"a\",\"exp\":1699999990}"), RC_TOKEN_EXPIRED);
    cr_assert_eq(claims("{\"sub\":\"a\",\"nbf\":1700000010}"), RC_TOKEN_NONE);
    cr_assert_eq(claims("{\"sub\":\"a\",\"nbf\":1700000011}"), RC_TOKEN_NOT_YET);
    cr_assert_eq(claims("{\"sub\":\"a\"}"), RC_TOKEN_NONE);
    kit.policy.require_expiry = true;
    cr_assert_eq(claims("{\"sub\":\"a\"}"), RC_TOKEN_MALFORMED);
    kit_free(&kit);
}

Test(auth_token, times_that_are_none)
{
    static const char *const values[] = {
        "\"1700000100\"",   "null", "true", "[]", "{}", "-1", "1e300", "1e16",
        "99999999999999999"};
    static const char *const names[] = {"exp", "nbf", "iat"};
    char text[128];

    kit_make(&kit);
    for (unsigned n = 0; n < 3; n++)
        for (unsigned v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
            (void)snprintf(text, sizeof(text), "{\"sub\":\"a\",\"%s\":%s}", names[n],
                           values[v]);
            cr_assert_eq(claims(text), RC_TOKEN_MALFORMED, "%s", text);
        }
    kit_free(&kit);
}

Test(auth_token, issuers)
{
    static char a[] = "https://a", b[] = "https://b";
    static char *const issuers[] = {a, b};

    kit_make(&kit);
    cr_assert_eq(claims("{\"sub\":\"a\",\"iss\":\"any\"}"), RC_TOKEN_NONE);
    cr_assert_eq(claims("{\"sub\":\"a\",\"iss\":[\"https://a\"]}"), RC_TOKEN_MALFORMED);
    kit.policy.issuer = issuers;
    kit.policy.nissuers = 2;
    cr_assert_eq(claims("{\"sub\":\"a\",\"iss\":\"https://b\"}"), RC_TOKEN_NONE);
    cr_assert_eq(claims("{\"sub\":\"a\",\"iss\":\"https://b/\"}"), RC_TOKEN_ISSUER);
    cr_assert_eq(claims("{\"sub\":\"a\"}"), RC_TOKEN_ISSUER);
    kit_free(&kit);
}

Test(auth_token, audiences)
{
    static char a[] = "chat", b[] = "rooms";
    static char *const audiences[] = {a, b};

    kit_make(&kit);
    cr_assert_eq(claims("{\"sub\":\"a\"}"), RC_TOKEN_NONE);
    cr_assert_eq(claims("{\"sub\":\"a\",\"aud\":\"chat\"}"), RC_TOKEN_AUDIENCE);
    kit.policy.audience = audiences;
    kit.policy.naudiences = 2;
    cr_assert_eq(claims("{\"sub\":\"a\"}"), RC_TOKEN_AUDIENCE);
    cr_assert_eq(claims("{\"sub\":\"a\",\"aud\":\"rooms\"}"), RC_TOKEN_NONE);
    cr_assert_eq(claims("{\"sub\":\"a\",\"aud\":[\"x\",\"chat\"]}"), RC_TOKEN_NONE);
    cr_assert_eq(claims("{\"sub\":\"a\",\"aud\":[\"x\"]}"), RC_TOKEN_AUDIENCE);
    cr_assert_eq(claims("{\"sub\":\"a\",\"aud\":[]}"), RC_TOKEN_AUDIENCE);
    cr_assert_eq(claims("{\"sub\":\"a\",\"aud\":\"Chat\"}"), RC_TOKEN_AUDIENCE);
    cr_assert_eq(claims("{\"sub\":\"a\",\"aud\":\"cha\"}"), RC_TOKEN_AUDIENCE);
    cr_assert_eq(claims("{\"sub\":\"a\",\"aud\":[\"chat\",1]}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(claims("{\"sub\":\"a\",\"aud\":null}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(claims("{\"sub\":\"a\",\"aud\":{\"chat\":1}}"), RC_TOKEN_MALFORMED);
    kit_free(&kit);
}

Test(auth_token, users)
{
    char text[256];

    kit_make(&kit);
    cr_assert_eq(claims("{\"sub\":7}"), RC_TOKEN_NONE);
    cr_assert_eq(claims("{}"), RC_TOKEN_NO_USER);
    cr_assert_eq(claims("{\"sub\":\"\"}"), RC_TOKEN_NO_USER);
    cr_assert_eq(claims("{\"sub\":null,\"id\":\"b\"}"), RC_TOKEN_NO_USER);
    cr_assert_eq(claims("{\"sub\":1.0}"), RC_TOKEN_NO_USER);
    cr_assert_eq(claims("{\"sub\":true}"), RC_TOKEN_NO_USER);
    cr_assert_eq(claims("{\"sub\":[\"a\"]}"), RC_TOKEN_NO_USER);
    cr_assert_eq(claims("{\"sub\":{\"a\":1}}"), RC_TOKEN_NO_USER);
    cr_assert_eq(claims("{\"sub\":\"a\\nb\"}"), RC_TOKEN_NO_USER);
    cr_assert_eq(claims("{\"sub\":\"a\\u007f\"}"), RC_TOKEN_NO_USER);
    cr_assert_eq(claims("{\"sub\":\"a\\u0000\"}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(claims("{\"sub\":123456789012345678901234567890}"), RC_TOKEN_MALFORMED);
    (void)snprintf(text, sizeof(text), "{\"sub\":\"%0*d\"}", RC_USER_MAX, 0);
    cr_assert_eq(claims(text), RC_TOKEN_NONE);
    (void)snprintf(text, sizeof(text), "{\"sub\":\"%0*d\"}", RC_USER_MAX + 1, 0);
    cr_assert_eq(claims(text), RC_TOKEN_NO_USER);
    kit_free(&kit);
}

Test(auth_token, claims_that_are_no_object)
{
    char deep[200] = "{\"sub\":\"a\",\"x\":";

    kit_make(&kit);
    cr_assert_eq(claims("[]"), RC_TOKEN_MALFORMED);
    cr_assert_eq(claims("null"), RC_TOKEN_MALFORMED);
    cr_assert_eq(claims("\"sub\""), RC_TOKEN_MALFORMED);
    cr_assert_eq(claims(" "), RC_TOKEN_MALFORMED);
    cr_assert_eq(claims("{\"sub\":\"a\"}{}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(claims("{\"sub\":\"a\",}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(claims("{\"sub\":\"\xc3\"}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(claims("{\"sub\":\"a\",\"sub\":\"b\"}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(claims("{\"sub\":\"a\",\"s\\u0075b\":\"b\"}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(claims("{\"sub\":\"a\",\"x\":{\"y\":1,\"y\":2}}"), RC_TOKEN_MALFORMED);
    cr_assert_eq(claims("{\"sub\":\"a\",\"jti\":1}"), RC_TOKEN_MALFORMED);
    for (unsigned i = 0; i < RC_CLAIMS_DEPTH; i++)
        strcat(deep, "[");
    for (unsigned i = 0; i < RC_CLAIMS_DEPTH; i++)
        strcat(deep, "]");
    strcat(deep, "}");
    cr_assert_eq(claims(deep), RC_TOKEN_MALFORMED);
    kit_free(&kit);
}

/* A token within a token is not opened (RFC 7519 section 5.2). */
Test(auth_token, nested)
{
    struct rc_buf inner = RC_BUF_INIT;

    kit_make(&kit);
    rc_buf_puts(&inner, kit_token(&kit, RC_ALG_HS256, NULL, GOOD));
    rc_buf_putc(&inner, '\0');
    cr_assert_eq(kit_verify(&kit, kit_token(&kit, RC_ALG_HS256, NULL, (char *)inner.data)),
                 RC_TOKEN_MALFORMED);
    rc_buf_deinit(&inner);
    kit_free(&kit);
}

/* What is wrong with the claims is told only to those who could sign them. */
Test(auth_token, claims_are_looked_at_after_the_signature)
{
    kit_make(&kit);
    REFUSED(SIGNATURE, kit_forge("{\"alg\":\"HS256\"}", "{\"exp\":1}",
                                 "0123456789abcdef0123456789abcdef", 32));
    kit_free(&kit);
}

/* ---- the RFCs' own examples ---- */

#define CLAIMS_7515                                                                          \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ij" \
    "p0cnVlfQ"

static enum rc_token_fault example(const char *jwk, const char *token)
{
    static char iss[] = "iss";
    static char *const user[] = {iss};
    struct rc_token_policy policy = {
        .algs = RC_ALGS_ALL, .max_size = 8192, .user_claim = user, .nuser_claims = 1};
    struct rc_keys k = {0};
    struct rc_token *t = NULL;
    char why[RC_KEY_WHY] = "";
    unsigned skipped;
    enum rc_token_fault fault;

    cr_assert_eq(rc_keys_add_jwks(&k, rc_str_of(jwk), &skipped, why), RC_OK, "%s", why);
    fault = rc_token_verify(&k, &policy, rc_str_of(token), 1300819379000ull, &t);
    if (t != NULL)
        cr_assert(rc_str_eq(t->user, RC_STR("joe")));
    free(t);
    rc_keys_deinit(&k);
    return fault;
}

Test(auth_token, rfc7515_hs256)
{
    cr_assert_eq(example("{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-"
                         "EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}",
                         "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." CLAIMS_7515
                         ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
                 RC_TOKEN_NONE);
}

Test(auth_token, rfc7515_rs256)
{
    cr_assert_eq(
        example(
            "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":"
            "\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-"
            "4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZ"
            "o9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg66"
            "5xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_"
            "h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"}",
            "eyJhbGciOiJSUzI1NiJ9." CLAIMS_7515
            ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_"
            "lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_"
            "nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--"
            "xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98r"
            "qVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"),
        RC_TOKEN_NONE);
}

Test(auth_token, rfc7515_es256)
{
    cr_assert_eq(
        example("{\"kty\":\"EC\",\"crv\":\"P-256\","
                "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
                "eyJhbGciOiJFUzI1NiJ9." CLAIMS_7515
                ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxf"
                "KTUJqPP3-Kg6NU1Q"),
        RC_TOKEN_NONE);
}

/* The payloads of these two are plain texts: signed well, and then no claims. */
#define ES512_KEY                                                         \
    "{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":"                            \
    "\"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBp"                   \
    "Xp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk\",\"y\":\"ADSmRA43Z1DSNx_" \
    "RvcLI87cdL07l6jQyyBXMo"                                              \
    "xVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2\"}"
#define ES512_SIG                                                                              \
    "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7Xdt" \
    "AG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"

Test(auth_token, rfc7515_es512)
{
    cr_assert_eq(example(ES512_KEY, "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA." ES512_SIG),
                 RC_TOKEN_MALFORMED);
    cr_assert_eq(example(ES512_KEY, "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZB." ES512_SIG),
                 RC_TOKEN_MALFORMED); /* not base64url in its shortest form */
    cr_assert_eq(example(ES512_KEY, "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZQ." ES512_SIG),
                 RC_TOKEN_SIGNATURE);
}

#define ED25519_KEY                               \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":" \
    "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"
#define ED25519_SIG \
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

Test(auth_token, rfc8037_ed25519)
{
    cr_assert_eq(example(ED25519_KEY, "eyJhbGciOiJFZERTQSJ9."
                                      "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc." ED25519_SIG),
                 RC_TOKEN_MALFORMED);
    cr_assert_eq(example(ED25519_KEY, "eyJhbGciOiJFZERTQSJ9."
                                      "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmd." ED25519_SIG),
                 RC_TOKEN_MALFORMED);
    cr_assert_eq(example(ED25519_KEY, "eyJhbGciOiJFZERTQSJ9."
                                      "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmZ." ED25519_SIG),
                 RC_TOKEN_MALFORMED);
    cr_assert_eq(example(ED25519_KEY, "eyJhbGciOiJFZERTQSJ9."
                                      "RXhhbXBsZSBvZiBFZDI1NTE4IHNpZ25pbmc." ED25519_SIG),
                 RC_TOKEN_SIGNATURE);
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 8 };
static char *signed_by[RC_ALG_COUNT];

/* Shards share the keys, and verify at the same time. */
static void *verify_all(void *arg)
{
    uintptr_t wrong = 0;

    (void)arg;
    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned a = 0; a < RC_ALG_COUNT; a++) {
            char *text = rc_strndup(signed_by[a], strlen(signed_by[a]));

            wrong += kit_verify(&kit, rc_str_of(text)) != RC_TOKEN_NONE;
            text[strlen(text) - 3] ^= 1; /* another letter, and still base64url, or not */
            wrong += kit_verify(&kit, rc_str_of(text)) == RC_TOKEN_NONE;
            free(text);
        }
    return (void *)wrong;
}

Test(auth_token, several_threads)
{
    pthread_t thread[THREADS];

    kit_make(&kit);
    for (int a = 0; a < RC_ALG_COUNT; a++) {
        struct rc_str t = kit_token(&kit, (enum rc_alg)a, NULL, GOOD);

        signed_by[a] = rc_strndup(t.p, t.len);
    }
    for (unsigned i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&thread[i], NULL, verify_all, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        void *wrong = NULL;

        cr_assert_eq(pthread_join(thread[i], &wrong), 0);
        cr_assert_null(wrong);
    }
    for (int a = 0; a < RC_ALG_COUNT; a++)
        free(signed_by[a]);
    kit_free(&kit);
}

/* Tokens. The first byte says what the rest is: a token as it is; edits of a good one; or a header
 * and claims, which are then signed as they are. Nothing is accepted but what was signed, byte for byte,
 * and what is accepted says what its claims say. */
#include "rc/auth/sign.h"
#include "rc/auth/token.h"
#include "rc/base/b64.h"
#include "rc/base/utf8.h"
#include "rc/proto/json.h"

#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(c)     \
    do {             \
        if (!(c))    \
            abort(); \
    } while (0)

enum { GOOD = 3 };
#define NOW_MS 1700000000000ull

static const char secret[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static struct rc_keys keys;
static struct rc_buf good[GOOD];
static struct rc_token_policy policy;

static void add(EVP_PKEY *pkey, enum rc_alg alg, const char *header, struct rc_buf *token)
{
    BIO *pub = BIO_new(BIO_s_mem()), *priv = BIO_new(BIO_s_mem());
    struct rc_signer signer = {.algs = 0};
    char why[RC_KEY_WHY], *p = NULL;
    long n;

    CHECK(PEM_write_bio_PUBKEY(pub, pkey) == 1);
    CHECK(PEM_write_bio_PrivateKey(priv, pkey, NULL, NULL, 0, NULL, NULL) == 1);
    n = BIO_get_mem_data(pub, &p);
    CHECK(rc_keys_add_pem(&keys, rc_str_make(p, (size_t)n), why) == RC_OK);
    n = BIO_get_mem_data(priv, &p);
    CHECK(rc_signer_pem(&signer, rc_str_make(p, (size_t)n), why) == RC_OK);
    CHECK(rc_sign(&signer, alg, rc_str_of(header),
                  RC_STR("{\"sub\":\"ann\",\"exp\":1700000001}"), token) == RC_OK);
    rc_signer_deinit(&signer);
    BIO_free(pub);
    BIO_free(priv);
    EVP_PKEY_free(pkey);
}

/* An HMAC that is right, whatever it is of. */
static void authenticate(struct rc_buf *token)
{
    uint8_t mac[32];
    unsigned n = sizeof(mac);

    CHECK(HMAC(EVP_sha256(), secret, (int)strlen(secret), token->data, token->len, mac, &n));
    rc_buf_putc(token, '.');
    rc_b64_put(token, RC_B64_URL, mac, n);
}

static void set_up(void)
{
    static char sub[] = "sub", id[] = "id";
    static char *const claims[] = {sub, id};
    char why[RC_KEY_WHY];

    policy = (struct rc_token_policy){
        .algs = RC_ALGS_ALL, .max_size = 4096, .user_claim = claims, .nuser_claims = 2};
    CHECK(rc_keys_add_secret(&keys, rc_str_of(secret), why) == RC_OK);
    rc_b64_put(&good[0], RC_B64_URL, "{\"alg\":\"HS256\"}", 15);
    rc_buf_putc(&good[0], '.');
    rc_b64_put(&good[0], RC_B64_URL, "{\"sub\":\"ann\",\"exp\":1700000001}", 30);
    authenticate(&good[0]);
    add(EVP_EC_gen("P-256"), RC_ALG_ES256, "{\"alg\":\"ES256\"}", &good[1]);
    add(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), RC_ALG_EDDSA, "{\"alg\":\"EdDSA\"}",
        &good[2]);
}

static bool is_good(struct rc_str text)
{
    for (unsigned i = 0; i < GOOD; i++)
        if (rc_str_eq(text, rc_buf_str(&good[i])))
            return true;
    return false;
}

static void check_token(const struct rc_token *t)
{
    struct rc_json_walk w = {.max_depth = RC_CLAIMS_DEPTH};
    struct rc_str exp = rc_json_get(t->claims, RC_STR("exp"));

    CHECK(t->user.len != 0 && t->user.len <= RC_USER_MAX && rc_utf8_valid(t->user));
    CHECK(rc_utf8_valid(t->claims) && rc_json_validate(t->claims, &w) == RC_OK);
    CHECK(rc_json_type(t->claims) == RC_JSON_OBJECT);
    CHECK((exp.p != NULL) == (t->expires_ms != 0));
    CHECK(t->expires_ms == 0 || t->expires_ms > NOW_MS);
    if (t->id.len != 0)
        CHECK(rc_json_string_eq(rc_json_get(t->claims, RC_STR("jti")), t->id));
}

/* Only the very tokens of the set-up may be accepted. */
static void verify(struct rc_str text)
{
    struct rc_token *t = NULL;
    enum rc_token_fault fault = rc_token_verify(&keys, &policy, text, NOW_MS, &t);

    CHECK((fault == RC_TOKEN_NONE) == (t != NULL));
    CHECK((fault == RC_TOKEN_MISSING) == (text.len == 0));
    CHECK((fault == RC_TOKEN_NONE) == is_good(text));
    if (t != NULL)
        check_token(t);
    free(t);
}

/* Pairs of bytes: where to change the token, and by what; 0 deletes the character. */
static void edit(const struct rc_buf *from, const uint8_t *data, size_t size)
{
    struct rc_buf b = RC_BUF_INIT;

    rc_buf_puts(&b, rc_buf_str(from));
    for (; size >= 2 && b.len != 0; data += 2, size -= 2) {
        size_t at = data[0] % b.len;

        if (data[1] == 0) {
            memmove(b.data + at, b.data + at + 1, b.len - at - 1);
            b.len--;
        } else {
            b.data[at] ^= data[1] & 0x7f;
        }
    }
    verify(rc_buf_str(&b));
    rc_buf_deinit(&b);
}

/* Header, a line break, claims. A header that names another algorithm than HS256 finds keys for
 * which the HMAC is no signature. */
static void sign(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, '\n', size);
    size_t n = end != NULL ? (size_t)(end - data) : size;
    struct rc_str rest = rc_str_skip(rc_str_make(data, size), n + 1);
    struct rc_buf b = RC_BUF_INIT;
    struct rc_token *t = NULL;
    enum rc_token_fault fault;

    rc_b64_put(&b, RC_B64_URL, data, n);
    rc_buf_putc(&b, '.');
    rc_b64_put(&b, RC_B64_URL, rest.p, rest.len);
    authenticate(&b);
    fault = rc_token_verify(&keys, &policy, rc_buf_str(&b), NOW_MS, &t);
    CHECK((fault == RC_TOKEN_NONE) == (t != NULL));
    if (t != NULL) {
        struct rc_str header = rc_str_make(data, n);
        struct rc_json_walk w = {.max_depth = 1000};

        check_token(t);
        CHECK(memmem(rest.p, rest.len, t->claims.p, t->claims.len) != NULL);
        if (rc_json_validate(header, &w) == RC_OK && header.p[0] == '{')
            CHECK(rc_json_string_eq(rc_json_get(header, RC_STR("alg")), RC_STR("HS256")));
    }
    free(t);
    rc_buf_deinit(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (keys.n == 0)
        set_up();
    if (size == 0)
        return 0;
    if (data[0] == 's' && size > 1)
        sign(data + 1, size - 1);
    else if (data[0] >= '0' && data[0] < '0' + GOOD)
        edit(&good[data[0] - '0'], data + 1, size - 1);
    else
        verify(rc_str_make(data + 1, size - 1));
    return 0;
}

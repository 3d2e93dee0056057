/* tls_ticket.c - the keys that seal session tickets: a chain of hashes that each loop steps for itself. */
#include "rc/base/mem.h"
#include "rc/base/timer.h"

#include "tls_int.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

/* Main writes it before there are shards; sides are made by main, too. */
static struct {
    uint8_t bytes[RC_TICKET_SECRET];
    uint64_t period;
    bool made;
} seed;

int rc_tls_seed(void)
{
    if (seed.made)
        return RC_OK;
    if (RAND_bytes(seed.bytes, sizeof(seed.bytes)) != 1)
        return RC_ESYS;
    seed.period = rc_clock_ms() / RC_TLS_KEY_PERIOD_MS;
    seed.made = true;
    return RC_OK;
}

void rc_tls_forget_seed(void)
{
    OPENSSL_cleanse(&seed, sizeof(seed));
}

static void derive(const uint8_t from[RC_TICKET_SECRET], const char *what, uint8_t *to,
                   size_t len)
{
    uint8_t full[EVP_MAX_MD_SIZE];

    RC_ASSERT(HMAC(EVP_sha256(), from, RC_TICKET_SECRET, (const uint8_t *)what, strlen(what),
                   full, NULL) != NULL);
    memcpy(to, full, len);
    OPENSSL_cleanse(full, sizeof(full));
}

/* The keys of the period that begins, and what the ones after it come of. */
static void step(struct rc_tls_side *side)
{
    uint8_t at[RC_TICKET_SECRET];

    memcpy(at, side->next, sizeof(at));
    side->before = side->now;
    derive(at, "name", side->now.name, sizeof(side->now.name));
    derive(at, "aes", side->now.aes, sizeof(side->now.aes));
    derive(at, "mac", side->now.mac, sizeof(side->now.mac));
    derive(at, "next", side->next, sizeof(side->next));
    OPENSSL_cleanse(at, sizeof(at));
}

struct rc_tls_side *rc_tls_side_new(void)
{
    struct rc_tls_side *side = rc_calloc(1, sizeof(*side));

    side->period = seed.made ? seed.period : rc_clock_ms() / RC_TLS_KEY_PERIOD_MS;
    memcpy(side->next, seed.bytes, sizeof(side->next));
    if (!seed.made) /* nobody shares its tickets */
        RC_ASSERT(RAND_bytes(side->next, sizeof(side->next)) == 1);
    step(side);
    side->before = side->now;
    return side;
}

void rc_tls_side_free(struct rc_tls_side *side)
{
    if (side == NULL)
        return;
    free(side->record);
    OPENSSL_cleanse(side, sizeof(*side));
    free(side);
}

void rc_tls_side_step(struct rc_tls_side *side, uint64_t now_ms)
{
    for (uint64_t period = now_ms / RC_TLS_KEY_PERIOD_MS; side->period < period; side->period++)
        step(side);
}

int rc_tls_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                      EVP_MAC_CTX *mac, int enc)
{
    const struct rc_tls *t = SSL_get_app_data(ssl);
    const struct rc_ticket_key *key = &t->side->now;
    OSSL_PARAM params[3];
    char digest[] = "SHA256";
    /* With 2 the client gets a new one: those of TLS 1.3 are used once. */
    int ok = 1, result = SSL_version(ssl) == TLS1_3_VERSION ? 2 : 1;

    if (enc != 0) {
        memcpy(name, key->name, RC_TICKET_NAME);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
            return -1;
    } else if (memcmp(name, key->name, RC_TICKET_NAME) != 0) {
        key = &t->side->before;
        if (memcmp(name, key->name, RC_TICKET_NAME) != 0)
            return 0; /* too old, or of another server: a full handshake */
        result = 2;
    }
    params[0] = OSSL_PARAM_construct_octet_string(
        OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac, sizeof(key->mac));
    params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
    params[2] = OSSL_PARAM_construct_end();
    ok = EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv, enc) == 1 &&
         EVP_MAC_CTX_set_params(mac, params) == 1;
    return ok ? result : -1;
}

#include "rc/base/hash.h"

#include "rc/base/thread.h"

#include <string.h>
#include <sys/random.h>

static uint64_t key[2];

int rc_hash_init(void)
{
    return getrandom(key, sizeof(key), 0) == (ssize_t)sizeof(key) ? RC_OK : RC_ESYS;
}

struct sip {
    uint64_t a, b, c, d;
};

static inline uint64_t rotl(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static inline void sip_round(struct sip *v)
{
    v->a += v->b;
    v->b = rotl(v->b, 13) ^ v->a;
    v->a = rotl(v->a, 32);
    v->c += v->d;
    v->d = rotl(v->d, 16) ^ v->c;
    v->a += v->d;
    v->d = rotl(v->d, 21) ^ v->a;
    v->c += v->b;
    v->b = rotl(v->b, 17) ^ v->c;
    v->c = rotl(v->c, 32);
}

static inline void sip_word(struct sip *v, uint64_t m)
{
    v->d ^= m;
    sip_round(v);
    v->a ^= m;
}

uint64_t rc_hash(const void *p, size_t n, uint64_t tweak)
{
    const unsigned char *s = p;
    struct sip v = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
                    key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573};
    uint64_t last = (uint64_t)n << 56, word;
    size_t left = n;

    sip_word(&v, tweak);
    for (; left >= 8; left -= 8, s += 8) {
        memcpy(&word, s, 8);
        sip_word(&v, word);
    }
    if (n >= 8 && left != 0) { /* the last eight bytes, without those that were taken */
        memcpy(&word, s + left - 8, 8);
        last |= word >> (8 * (8 - left));
    } else {
        for (size_t i = 0; i < left; i++)
            last |= (uint64_t)s[i] << (8 * i);
    }
    sip_word(&v, last);
    v.c ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(&v);
    return v.a ^ v.b ^ v.c ^ v.d;
}

uint64_t rc_hash_quick(const void *p, size_t n)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    const unsigned char *s = p;
    uint64_t h = n * odd, word;
    size_t left = n;

    for (; left >= 8; left -= 8, s += 8) {
        memcpy(&word, s, 8);
        h = (h ^ word) * odd;
        h ^= h >> 32;
    }
    word = 0;
    if (n >= 8 && left != 0) /* the last eight bytes, some of them again */
        memcpy(&word, s + left - 8, 8);
    else
        for (size_t i = 0; i < left; i++)
            word = word << 8 | s[i];
    h = (h ^ word) * odd;
    return h ^ h >> 32;
}

/* What the kernel gave and nobody has taken yet: the last `left` bytes. */
static _Thread_local struct {
    uint8_t bytes[256];
    size_t left;
} stock;

void rc_random(void *p, size_t n)
{
    uint8_t *from;

    RC_ASSERT(n <= sizeof(stock.bytes));
    if (stock.left < n) {
        ssize_t got = getrandom(stock.bytes, sizeof(stock.bytes), 0);

        RC_ASSERT(got == (ssize_t)sizeof(stock.bytes));
        stock.left = sizeof(stock.bytes);
    }
    from = stock.bytes + sizeof(stock.bytes) - stock.left;
    memcpy(p, from, n);
    explicit_bzero(from, n); /* what was given away is a secret of its owner */
    stock.left -= n;
}

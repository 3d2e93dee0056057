#include "rc/base/hash.h"

#include <criterion/criterion.h>
#include <stdio.h>

static unsigned bits(uint64_t v)
{
    return (unsigned)__builtin_popcountll(v);
}

/* The same bytes hash the same wherever they lie; any other bytes or length hash differently. */
Test(hash, every_length_and_byte)
{
    uint8_t a[72], b[80];

    cr_assert_eq(rc_hash_init(), RC_OK);
    for (unsigned i = 0; i < sizeof(a); i++)
        a[i] = (uint8_t)(i * 37 + 11);
    for (size_t n = 0; n <= sizeof(a); n++) {
        uint64_t h = rc_hash(a, n, 0);

        for (unsigned shift = 1; shift < 8; shift++) {
            memcpy(b + shift, a, n);
            cr_assert_eq(rc_hash(b + shift, n, 0), h);
        }
        for (size_t i = 0; i < n; i++) {
            memcpy(b, a, n);
            b[i] ^= 0x80;
            cr_assert_neq(rc_hash(b, n, 0), h);
        }
        if (n != 0)
            cr_assert_neq(rc_hash(a, n - 1, 0), h);
    }
}

/* A length is told from zeros behind a shorter text. */
Test(hash, zeros)
{
    const uint8_t zero[64] = {0};
    uint64_t seen[65];

    cr_assert_eq(rc_hash_init(), RC_OK);
    for (size_t n = 0; n <= 64; n++) {
        seen[n] = rc_hash(n != 0 ? zero : NULL, n, 0);
        for (size_t i = 0; i < n; i++)
            cr_assert_neq(seen[i], seen[n]);
    }
}

Test(hash, tweak_separates)
{
    uint64_t h[64];

    cr_assert_eq(rc_hash_init(), RC_OK);
    for (uint64_t t = 0; t < 64; t++) {
        h[t] = rc_hash("lobby", 5, t);
        cr_assert_eq(rc_hash("lobby", 5, t), h[t]);
        for (uint64_t i = 0; i < t; i++)
            cr_assert_neq(h[i], h[t]);
    }
    /* The tweak is no prefix of the text. */
    cr_assert_neq(rc_hash("\1\0\0\0\0\0\0\0x", 9, 0), rc_hash("x", 1, 1));
}

Test(hash, key_is_drawn_anew)
{
    uint64_t before[4], same = 0;

    cr_assert_eq(rc_hash_init(), RC_OK);
    for (uint64_t i = 0; i < 4; i++)
        before[i] = rc_hash("lobby", 5, i);
    cr_assert_eq(rc_hash_init(), RC_OK);
    for (uint64_t i = 0; i < 4; i++)
        same += before[i] == rc_hash("lobby", 5, i);
    cr_assert_eq(same, 0u);
}

/* 64 K names that differ little fall evenly into 256 buckets of any byte of the hash: chi square
 * with 255 degrees of freedom is 255 +- 23; 430 is more than seven standard deviations up. */
Test(hash, spreads)
{
    static unsigned bucket[8][256];
    enum { NAMES = 65536 };

    cr_assert_eq(rc_hash_init(), RC_OK);
    memset(bucket, 0, sizeof(bucket));
    for (unsigned i = 0; i < NAMES; i++) {
        char name[16];
        int n = snprintf(name, sizeof(name), "room-%u", i);
        uint64_t h = rc_hash(name, (size_t)n, 0);

        for (unsigned byte = 0; byte < 8; byte++)
            bucket[byte][h >> (8 * byte) & 0xff]++;
    }
    for (unsigned byte = 0; byte < 8; byte++) {
        double chi = 0, mean = NAMES / 256.0;

        for (unsigned i = 0; i < 256; i++)
            chi += (bucket[byte][i] - mean) * (bucket[byte][i] - mean) / mean;
        cr_assert_lt(chi, 430.0);
        cr_assert_gt(chi, 120.0); /* too even is no hash either */
    }
}

/* One changed bit of the input changes half of the output's. */
Test(hash, avalanche)
{
    uint8_t text[24] = "abcdefghijklmnopqrstuvw";
    unsigned flips = 0, min = 64;
    uint64_t h;

    cr_assert_eq(rc_hash_init(), RC_OK);
    h = rc_hash(text, sizeof(text), 0);
    for (unsigned bit = 0; bit < sizeof(text) * 8; bit++) {
        unsigned n;

        text[bit / 8] ^= (uint8_t)(1 << bit % 8);
        n = bits(rc_hash(text, sizeof(text), 0) ^ h);
        text[bit / 8] ^= (uint8_t)(1 << bit % 8);
        flips += n;
        min = n < min ? n : min;
    }
    cr_assert_gt(flips, 192u * 30);
    cr_assert_lt(flips, 192u * 34);
    cr_assert_gt(min, 8u);
}

Test(hash, random_bytes)
{
    uint8_t a[256], b[256], guard[258];
    unsigned ones = 0;

    rc_random(a, sizeof(a));
    rc_random(b, sizeof(b));
    cr_assert_neq(memcmp(a, b, sizeof(a)), 0);
    for (unsigned i = 0; i < sizeof(a); i++)
        ones += bits(a[i]);
    cr_assert_gt(ones, 800u); /* of 2048 bits; 1024 +- 23 are expected */
    cr_assert_lt(ones, 1248u);
    memset(guard, 0xaa, sizeof(guard));
    rc_random(guard + 1, 0);
    rc_random(guard + 1, 1);
    cr_assert_eq(guard[0], 0xaa);
    for (unsigned i = 2; i < sizeof(guard); i++)
        cr_assert_eq(guard[i], 0xaa);
}

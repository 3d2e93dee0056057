#include "rc/base/utf8.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* The definition, written the slow way: decodes and compares with the shortest form. Returns
 * the length of the character at p, or 0. */
static size_t reference_char(const uint8_t *p, size_t n)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = p[0] < 0x80             ? 1
                 : (p[0] & 0xE0) == 0xC0 ? 2
                 : (p[0] & 0xF0) == 0xE0 ? 3
                 : (p[0] & 0xF8) == 0xF0 ? 4
                                         : 0;
    uint32_t c = len == 1 ? p[0] : len != 0 ? p[0] & (0x7Fu >> len) : 0;

    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3F);
    }
    return c < least[len] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF) ? 0 : len;
}

static bool reference(const uint8_t *p, size_t n)
{
    size_t k;

    for (; n != 0; p += k, n -= k)
        if ((k = reference_char(p, n)) == 0)
            return false;
    return true;
}

/* Whole, one byte at a time and split anywhere: one answer. */
static bool valid(const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    bool whole = rc_utf8_valid(rc_str_make(p, n)), ok = true;
    uint32_t state = RC_UTF8_ACCEPT;

    for (size_t i = 0; i < n && ok; i++)
        ok = rc_utf8_feed(&state, p + i, 1);
    cr_assert_eq(ok && state == RC_UTF8_ACCEPT, whole);
    for (size_t i = 0; i <= n; i++) {
        state = RC_UTF8_ACCEPT;
        ok = rc_utf8_feed(&state, p, i) && rc_utf8_feed(&state, p + i, n - i);
        cr_assert_eq(ok && state == RC_UTF8_ACCEPT, whole);
        cr_assert_eq(ok, state != RC_UTF8_REJECT);
    }
    cr_assert_eq(whole, reference(p, n));
    return whole;
}

static bool valid_z(const char *z)
{
    return valid(z, strlen(z));
}

Test(utf8, texts)
{
    cr_assert(valid_z(""));
    cr_assert(rc_utf8_valid(RC_STR_NONE));
    cr_assert(valid_z("plain text that is longer than sixteen bytes"));
    cr_assert(valid_z("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"));
    cr_assert(valid_z("\xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf \xed\x9f\xbf \xee\x80\x80"));
    cr_assert(valid("a\0b", 3));
    cr_assert_not(valid_z("cut \xe2\x82"));
    cr_assert_not(valid_z("\x80"));
    cr_assert_not(valid_z("\xc0\xaf"));
    cr_assert_not(valid_z("\xe0\x80\xaf"));
    cr_assert_not(valid_z("\xf0\x80\x80\xaf"));
    cr_assert_not(valid_z("\xed\xa0\xbd\xed\xb8\x80"));
    cr_assert_not(valid_z("\xf4\x90\x80\x80"));
    cr_assert_not(valid_z("\xf8\x88\x80\x80\x80"));
    cr_assert_not(valid_z("\xff"));
}

Test(utf8, every_code_point)
{
    uint8_t p[4];
    size_t n;

    for (uint32_t c = 0; c < 0x110000; c++) {
        if (c < 0x80) {
            n = 1;
            p[0] = (uint8_t)c;
        } else if (c < 0x800) {
            n = 2;
            p[0] = (uint8_t)(0xC0 | c >> 6);
        } else if (c < 0x10000) {
            n = 3;
            p[0] = (uint8_t)(0xE0 | c >> 12);
        } else {
            n = 4;
            p[0] = (uint8_t)(0xF0 | c >> 18);
        }
        for (size_t i = 1; i < n; i++)
            p[i] = (uint8_t)(0x80 | (c >> 6 * (n - 1 - i) & 0x3F));
        if (rc_utf8_valid(rc_str_make(p, n)) != (c < 0xD800 || c > 0xDFFF))
            cr_assert_fail("U+%04X", c);
    }
}

/* All pairs and triples of bytes that start a character, against the definition. */
Test(utf8, all_short_sequences)
{
    static const uint8_t edges[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
    uint8_t p[4];

    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++)
            for (size_t c = 0; c < sizeof(edges); c++)
                for (size_t n = 1; n <= 4; n++) {
                    p[0] = (uint8_t)a;
                    p[1] = (uint8_t)b;
                    p[2] = edges[c];
                    p[3] = edges[(c + a + b) % sizeof(edges)];
                    if (rc_utf8_valid(rc_str_make(p, n)) != reference(p, n))
                        cr_assert_fail("%02x %02x %02x %02x, %zu", p[0], p[1], p[2], p[3], n);
                }
}

/* A character at every place relative to the words that the fast path reads. */
Test(utf8, every_offset)
{
    static const char *const inserts[] = {
        "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xe2\x82",
        "\x80",     "\xff",         "\xf0\x8f\xbf\xbf", "\xed\xa0\x80"};
    uint8_t text[64];

    for (size_t k = 0; k < sizeof(inserts) / sizeof(inserts[0]); k++)
        for (size_t at = 0; at < 40; at++) {
            size_t n = strlen(inserts[k]);

            memset(text, 'a', sizeof(text));
            memcpy(text + at, inserts[k], n);
            cr_assert_eq(valid(text, sizeof(text)), k < 3);
            (void)valid(text, at + n);
        }
}

Test(utf8, a_rejected_state_stays_rejected)
{
    uint32_t state = RC_UTF8_ACCEPT;

    cr_assert_not(rc_utf8_feed(&state, (const uint8_t *)"a\xff", 2));
    cr_assert_eq(state, RC_UTF8_REJECT);
    cr_assert_not(rc_utf8_feed(&state, (const uint8_t *)"fine", 4));
    cr_assert_not(rc_utf8_feed(&state, NULL, 0));
}

Test(utf8, utf16_lengths)
{
    cr_assert_eq(rc_utf16_len(RC_STR_NONE), 0u);
    cr_assert_eq(rc_utf16_len(RC_STR("plain")), 5u);
    cr_assert_eq(rc_utf16_len(RC_STR("ü€")), 2u);
    cr_assert_eq(rc_utf16_len(RC_STR("👍")), 2u);
    cr_assert_eq(rc_utf16_len(RC_STR("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf")), 5u);
    cr_assert_eq(rc_utf16_len(RC_STR("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")), 4u);
}

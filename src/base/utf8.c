#include "rc/base/utf8.h"

/* A state inside a character is need << 16 | lo << 8 | hi: `need` continuation bytes are still
 * to come and the next one must be in lo..hi. Overlong forms, surrogates and what lies above
 * U+10FFFF are exactly what the range of the second byte excludes. */
#define INSIDE(need, lo, hi) ((uint32_t)(need) << 16 | (uint32_t)(lo) << 8 | (uint32_t)(hi))

static uint32_t lead_state(uint8_t c)
{
    if (c < 0x80)
        return RC_UTF8_ACCEPT;
    if (c < 0xC2)
        return RC_UTF8_REJECT;
    if (c < 0xE0)
        return INSIDE(1, 0x80, 0xBF);
    if (c < 0xF0)
        return INSIDE(2, c == 0xE0 ? 0xA0 : 0x80, c == 0xED ? 0x9F : 0xBF);
    if (c < 0xF5)
        return INSIDE(3, c == 0xF0 ? 0x90 : 0x80, c == 0xF4 ? 0x8F : 0xBF);
    return RC_UTF8_REJECT;
}

static uint32_t step(uint32_t state, uint8_t c)
{
    uint32_t need = state >> 16;

    if (state == RC_UTF8_ACCEPT)
        return lead_state(c);
    if (c < (state >> 8 & 0xFF) || c > (state & 0xFF))
        return RC_UTF8_REJECT;
    return need == 1 ? RC_UTF8_ACCEPT : INSIDE(need - 1, 0x80, 0xBF);
}

/* Length of the ASCII run at p, in whole words. */
static size_t skip_ascii(const uint8_t *p, size_t n)
{
    const uint64_t high = UINT64_C(0x8080808080808080);
    size_t i = 0;
    uint64_t a, b;

    for (; n - i >= 16; i += 16) {
        memcpy(&a, p + i, 8);
        memcpy(&b, p + i + 8, 8);
        if (((a | b) & high) != 0)
            break;
    }
    if (n - i >= 8) {
        memcpy(&a, p + i, 8);
        if ((a & high) == 0)
            i += 8;
    }
    return i;
}

/* The bits of a whole character, first byte highest, that say which form it has; then those
 * that are zero in an overlong form; then the ranges that its form could express but Unicode
 * does not have. */
static size_t valid2(const uint8_t *p)
{
    uint32_t w = (uint32_t)p[0] << 8 | p[1];

    return (w & 0xE0C0) == 0xC080 && (w & 0x1E00) != 0 ? 2 : 0;
}

static size_t valid3(const uint8_t *p)
{
    uint32_t w = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];

    return (w & 0xF0C0C0) == 0xE08080 && (w & 0x0F2000) != 0 && (w & 0x0F2000) != 0x0D2000 ? 3
                                                                                           : 0;
}

static size_t valid4(const uint8_t *p)
{
    uint32_t w = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];

    return (w & 0xF8C0C0C0) == 0xF0808080 && (w & 0x07300000) != 0 && w <= 0xF48FBFBF ? 4 : 0;
}

/* Length of the run of whole valid characters at p. What is left (cut off or invalid, or simply
 * near the end) is for the step-by-step machine. */
static size_t skip_valid(const uint8_t *p, size_t n)
{
    size_t i = 0, k;

    while (n - i >= 4) {
        if (p[i] < 0x80) {
            k = skip_ascii(p + i, n - i);
            i += k != 0 ? k : 1;
            continue;
        }
        while (n - i >= 4 && (k = valid3(p + i)) != 0)
            i += k;
        if (n - i < 4 || p[i] < 0x80)
            continue;
        k = p[i] < 0xE0 ? valid2(p + i) : valid4(p + i);
        if (k == 0)
            break;
        i += k;
    }
    return i;
}

bool rc_utf8_feed(uint32_t *state, const uint8_t *p, size_t n)
{
    uint32_t s = *state;
    size_t i = 0;

    while (i < n && s != RC_UTF8_REJECT) {
        if (s == RC_UTF8_ACCEPT && n - i >= 4)
            i += skip_valid(p + i, n - i);
        if (i < n)
            s = step(s, p[i++]);
    }
    *state = s;
    return s != RC_UTF8_REJECT;
}

bool rc_utf8_valid(struct rc_str s)
{
    uint32_t state = RC_UTF8_ACCEPT;

    return rc_utf8_feed(&state, (const uint8_t *)s.p, s.len) && state == RC_UTF8_ACCEPT;
}

size_t rc_utf16_len(struct rc_str s)
{
    size_t n = 0;

    /* Each character counts by its first byte, and once more when it takes a surrogate pair. */
    for (size_t i = 0; i < s.len; i++)
        n += (size_t)(((uint8_t)s.p[i] & 0xC0) != 0x80) + (size_t)((uint8_t)s.p[i] >= 0xF0);
    return n;
}

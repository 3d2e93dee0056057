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

static bool is_cont(uint8_t c)
{
    return (c & 0xC0) == 0x80;
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

/* Length of the valid character at p, all of it within n bytes, or 0 when the step-by-step
 * machine has to look (cut off, invalid, or simply unusual). */
static size_t whole_char(const uint8_t *p, size_t n)
{
    uint8_t c = p[0];

    if (c < 0x80)
        return 1;
    if (c >= 0xC2 && c < 0xE0)
        return n >= 2 && is_cont(p[1]) ? 2 : 0;
    if (c > 0xE0 && c < 0xF0 && c != 0xED)
        return n >= 3 && is_cont(p[1]) && is_cont(p[2]) ? 3 : 0;
    if (c == 0xF0)
        return n >= 4 && is_cont(p[1]) && p[1] >= 0x90 && is_cont(p[2]) && is_cont(p[3]) ? 4
                                                                                         : 0;
    return 0;
}

bool rc_utf8_feed(uint32_t *state, const uint8_t *p, size_t n)
{
    uint32_t s = *state;
    size_t i = 0, k;

    while (i < n && s != RC_UTF8_REJECT) {
        if (s == RC_UTF8_ACCEPT) {
            if (p[i] < 0x80 && (k = skip_ascii(p + i, n - i)) != 0) {
                i += k;
                continue;
            }
            if ((k = whole_char(p + i, n - i)) != 0) {
                i += k;
                continue;
            }
        }
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

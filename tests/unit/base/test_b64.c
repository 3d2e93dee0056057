#include "rc/base/b64.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static void check_encode(enum rc_b64_alphabet abc, const char *bytes, size_t n,
                         const char *want)
{
    char out[64];
    struct rc_buf b = RC_BUF_INIT;

    memset(out, '#', sizeof(out));
    cr_assert_eq(rc_b64_encode(abc, bytes, n, out), strlen(want));
    cr_assert_str_eq(out, want);
    cr_assert_eq(out[strlen(want) + 1], '#');
    rc_buf_putz(&b, "x");
    rc_b64_put(&b, abc, bytes, n);
    cr_assert_eq(b.len, 1 + strlen(want));
    cr_assert_arr_eq(b.data + 1, want, strlen(want));
    rc_buf_deinit(&b);
}

/* Into other bytes of exactly the documented size, in place, and into a buffer. Returns the
 * length, with the bytes in out. */
static int64_t decode(enum rc_b64_alphabet abc, const char *text, uint8_t out[64])
{
    size_t len = strlen(text);
    uint8_t *copy = malloc(len + 1), *room = malloc(len / 4 * 3 + 2);
    struct rc_buf b = RC_BUF_INIT;
    int64_t n, in_place;
    int err;

    cr_assert(copy != NULL && room != NULL);
    memcpy(copy, text, len);
    n = rc_b64_decode(abc, rc_str_of(text), room);
    in_place = rc_b64_decode(abc, rc_str_make(copy, len), copy);
    cr_assert_eq(in_place, n);
    rc_buf_putz(&b, "x");
    err = rc_b64_decode_put(&b, abc, rc_str_of(text));
    cr_assert_eq(err, n < 0 ? (int)n : RC_OK);
    cr_assert_eq(b.len, 1 + (n > 0 ? (size_t)n : 0));
    if (n > 0) {
        cr_assert_arr_eq(copy, room, (size_t)n);
        cr_assert_arr_eq(b.data + 1, room, (size_t)n);
        memcpy(out, room, (size_t)n);
    }
    free(copy);
    free(room);
    rc_buf_deinit(&b);
    return n;
}

static void check_both(enum rc_b64_alphabet abc, const char *bytes, size_t n, const char *text)
{
    uint8_t out[64];

    check_encode(abc, bytes, n, text);
    cr_assert_eq(decode(abc, text, out), (int64_t)n, "%s", text);
    cr_assert(n == 0 || memcmp(out, bytes, n) == 0, "%s", text);
}

Test(b64, rfc_4648_examples)
{
    static const char *const texts[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                        "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    static const char *const bare[] = {"",       "Zg",      "Zm8",     "Zm9v",
                                       "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"};

    for (size_t n = 0; n <= 6; n++) {
        check_both(RC_B64_STD, "foobar", n, texts[n]);
        check_both(RC_B64_URL, "foobar", n, bare[n]);
    }
}

Test(b64, alphabets)
{
    check_both(RC_B64_STD, "\xfb\xff\xbf\0\x10\x83", 6, "+/+/ABCD");
    check_both(RC_B64_URL, "\xfb\xff\xbf\0\x10\x83", 6, "-_-_ABCD");
    check_both(RC_B64_STD, "\xff\xfe", 2, "//4=");
    check_both(RC_B64_URL, "\xff\xfe", 2, "__4");
}

Test(b64, every_byte_and_length_comes_back)
{
    uint8_t bytes[256 + 3], out[sizeof(bytes) + 3];
    char text[RC_B64_SIZE(sizeof(bytes))];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 37 + 11);
    for (size_t n = 0; n <= sizeof(bytes); n++)
        for (int abc = RC_B64_STD; abc <= RC_B64_URL; abc++) {
            size_t len = rc_b64_encode((enum rc_b64_alphabet)abc, bytes, n, text);

            cr_assert_leq(len + 1, RC_B64_SIZE(n));
            cr_assert_eq(rc_b64_decode((enum rc_b64_alphabet)abc, rc_str_make(text, len), out),
                         (int64_t)n);
            cr_assert_arr_eq(out, bytes, n);
        }
}

Test(b64, bad_texts)
{
    static const char *const bad_std[] = {
        "Z",       "Zg",       "Zm8",     "Zg=",       "Zg===",     "=",
        "==",      "====",     "Z===",    "Zg==Zg==",  "Zg=a",      "Z=g=",
        "Zm9v=",   "Zm9v====", "Zm9vZg=", "Zm9v\n",    " Zm9v",     "Zm 9v",
        "Zm9\x7f", "Zm9\xff",  "-_-_",    "Zm9*",      "Zh==",      "Zm9=",
        "Z-==",    "Zm-=",     "Zm9vZ",   "Zm9vYmFyZ", "Zm9vYg==\n"};
    static const char *const bad_url[] = {"Z",  "Zg==", "Zm8=",  "Zm9vY", "+/+/",
                                          "Zh", "Zm9",  "Zm9v=", "Z ",    "Zm9v\n",
                                          "Z+", "====", "Zm/"};
    uint8_t out[64];

    for (size_t i = 0; i < sizeof(bad_std) / sizeof(bad_std[0]); i++)
        cr_assert_eq(decode(RC_B64_STD, bad_std[i], out), RC_EPROTO, "%s", bad_std[i]);
    for (size_t i = 0; i < sizeof(bad_url) / sizeof(bad_url[0]); i++)
        cr_assert_eq(decode(RC_B64_URL, bad_url[i], out), RC_EPROTO, "%s", bad_url[i]);
}

/* Exactly the 64 characters are taken, at each of the four places. */
Test(b64, foreign_characters)
{
    uint8_t out[8];
    char text[4];

    for (int abc = RC_B64_STD; abc <= RC_B64_URL; abc++)
        for (size_t at = 0; at < 4; at++) {
            unsigned taken = 0;

            for (unsigned c = 0; c < 256; c++) {
                memset(text, 'A', sizeof(text));
                text[at] = (char)c;
                /* padding is the only other thing that may end a text */
                if (rc_b64_decode((enum rc_b64_alphabet)abc, rc_str_make(text, 4), out) == 3)
                    taken++;
            }
            cr_assert_eq(taken, 64);
        }
}

Test(b64, nothing_at_all)
{
    uint8_t out[2];
    char text[1];

    cr_assert_eq(rc_b64_decode(RC_B64_STD, RC_STR_NONE, out), 0);
    cr_assert_eq(rc_b64_decode(RC_B64_URL, RC_STR_NONE, out), 0);
    cr_assert_eq(rc_b64_encode(RC_B64_STD, NULL, 0, text), 0);
    cr_assert_eq(text[0], '\0');
}

Test(b64, buffers_with_a_limit)
{
    struct rc_buf b = {.max = 4};

    rc_b64_put(&b, RC_B64_STD, "foo", 3);
    cr_assert(!b.failed && b.len == 4);
    rc_buf_reset(&b);
    rc_b64_put(&b, RC_B64_STD, "foob", 4);
    cr_assert(b.failed);
    rc_buf_reset(&b);
    cr_assert_eq(rc_b64_decode_put(&b, RC_B64_STD, RC_STR("Zm9vYmFy")), RC_ENOMEM);
    rc_buf_deinit(&b);
}

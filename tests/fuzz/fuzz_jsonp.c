/*
 * JSONP. The input is a form: what is taken from it must come out again when it is posted as a
 * client would. And it is a payload: the script must be the same text as a JavaScript string,
 * and have nothing that ends a line or the string.
 */
#include "rc/proto/jsonp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(c) ((c) ? (void)0 : abort())

static void put_percent(struct rc_buf *out, char c)
{
    rc_buf_printf(out, "%%%02X", (uint8_t)c);
}

/* As the client does it: \n is escaped by a backslash, and then a line feed is \n. */
static void post(struct rc_buf *form, struct rc_str s)
{
    rc_buf_putz(form, "x=1&d=");
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '\n' || (s.p[i] == '\\' && i + 1 < s.len && s.p[i + 1] == 'n'))
            put_percent(form, '\\');
        put_percent(form, s.p[i] == '\n' ? 'n' : s.p[i]);
    }
}

static void check_form(struct rc_str form)
{
    struct rc_buf taken = RC_BUF_INIT, posted = RC_BUF_INIT, again = RC_BUF_INIT;
    int err = rc_jsonp_take(form, &taken);

    CHECK(err == RC_OK || err == RC_ENOENT);
    CHECK(taken.len <= form.len);
    /* A backslash before a line feed cannot be told from an escaped \n. */
    if (err == RC_OK && (taken.len == 0 || memmem(taken.data, taken.len, "\\\n", 2) == NULL)) {
        post(&posted, rc_buf_str(&taken));
        CHECK(rc_jsonp_take(rc_buf_str(&posted), &again) == RC_OK);
        CHECK(rc_str_eq(rc_buf_str(&again), rc_buf_str(&taken)));
    }
    rc_buf_deinit(&taken);
    rc_buf_deinit(&posted);
    rc_buf_deinit(&again);
}

/* The character that an escape stands for, in UTF-8; returns the escape's length. */
static size_t unescape(const char *p, struct rc_buf *to)
{
    static const char named[] = "bfnrt\"\\", letters[] = "\b\f\n\r\t\"\\";
    const char *at = strchr(named, p[1]);
    char hex[5] = {0};
    unsigned c;

    if (at != NULL) {
        rc_buf_putc(to, letters[at - named]);
        return 2;
    }
    CHECK(p[1] == 'u');
    memcpy(hex, p + 2, 4);
    c = (unsigned)strtoul(hex, NULL, 16);
    if (c < 0x80) {
        rc_buf_putc(to, (char)c);
    } else {
        CHECK(c == 0x2028 || c == 0x2029);
        rc_buf_put(to, c == 0x2028 ? "\xe2\x80\xa8" : "\xe2\x80\xa9", 3);
    }
    return 6;
}

static void check_script(struct rc_str payload)
{
    struct rc_str head = RC_STR("___eio[42]("), tail = RC_STR(");"), s;
    struct rc_buf script = RC_BUF_INIT, back = RC_BUF_INIT;

    rc_jsonp_put(&script, RC_STR("4x2"), payload);
    s = rc_buf_str(&script);
    CHECK(rc_str_starts(s, head));
    s = rc_str_skip(s, head.len);
    CHECK(s.len >= 4 && rc_str_eq(rc_str_skip(s, s.len - tail.len), tail));
    s.len -= tail.len;
    CHECK(s.p[0] == '"' && s.p[s.len - 1] == '"');
    for (size_t i = 1; i < s.len - 1;) {
        CHECK((uint8_t)s.p[i] >= ' ' && s.p[i] != '"');
        CHECK(s.len - i < 3 || (memcmp(s.p + i, "\xe2\x80\xa8", 3) != 0 &&
                                memcmp(s.p + i, "\xe2\x80\xa9", 3) != 0));
        if (s.p[i] == '\\')
            i += unescape(s.p + i, &back);
        else
            rc_buf_putc(&back, s.p[i++]);
    }
    CHECK(rc_str_eq(rc_buf_str(&back), payload));
    rc_buf_deinit(&script);
    rc_buf_deinit(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_form(rc_str_make(data, size));
    check_script(rc_str_make(data, size));
    return 0;
}

/* jsonp.c - see the header. Clients send line feeds as \n, because forms change those, and \n as
 * \\n. */
#include "rc/proto/jsonp.h"

#include "rc/net/http.h"

/* The length of U+2028 and U+2029 in UTF-8, which end a line in the scripts of old browsers. */
enum { SEPARATOR_LEN = 3 };

static bool is_separator(struct rc_str rest)
{
    return rest.len >= SEPARATOR_LEN && (uint8_t)rest.p[0] == 0xE2 &&
           (uint8_t)rest.p[1] == 0x80 && ((uint8_t)rest.p[2] & 0xFE) == 0xA8;
}

static void put_escape(struct rc_buf *out, uint8_t c)
{
    static const char digits[] = "0123456789abcdef";
    static const char letters[] = "\b\f\n\r\t\"\\", named[] = "bfnrt\"\\";
    const char *at = c != '\0' ? strchr(letters, c) : NULL;
    char text[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};

    if (at != NULL) {
        text[1] = named[at - letters];
        rc_buf_put(out, text, 2);
    } else {
        rc_buf_put(out, text, sizeof(text));
    }
}

/* As JSON.stringify writes a string. */
static void put_string(struct rc_buf *out, struct rc_str s)
{
    size_t from = 0, i = 0;

    rc_buf_putc(out, '"');
    while (i < s.len) {
        uint8_t c = (uint8_t)s.p[i];
        bool separator = is_separator(rc_str_skip(s, i));

        if (c >= ' ' && c != '"' && c != '\\' && !separator) {
            i++;
            continue;
        }
        rc_buf_put(out, s.p + from, i - from);
        if (separator)
            rc_buf_putz(out, s.p[i + 2] & 1 ? "\\u2029" : "\\u2028");
        else
            put_escape(out, c);
        i += separator ? SEPARATOR_LEN : 1;
        from = i;
    }
    if (s.len != 0)
        rc_buf_put(out, s.p + from, s.len - from);
    rc_buf_putc(out, '"');
}

void rc_jsonp_put(struct rc_buf *out, struct rc_str j, struct rc_str payload)
{
    rc_buf_putz(out, "___eio[");
    for (size_t i = 0; i < j.len; i++)
        if ((uint8_t)(j.p[i] - '0') < 10)
            rc_buf_putc(out, j.p[i]);
    rc_buf_putz(out, "](");
    put_string(out, payload);
    rc_buf_putz(out, ");");
}

/* Undoes the escapes in place: of the backslashes before an n the last one goes, and if it was
 * the only one, it and the n were a line feed. */
static void unescape(struct rc_buf *b)
{
    size_t to = 0, slashes = 0;

    for (size_t i = 0; i < b->len; i++) {
        uint8_t c = b->data[i];

        if (c == 'n' && slashes != 0) {
            to--;
            if (slashes == 1)
                c = '\n';
        }
        slashes = c == '\\' ? slashes + 1 : 0;
        b->data[to++] = c;
    }
    b->len = to;
}

int rc_jsonp_take(struct rc_str form, struct rc_buf *out)
{
    unsigned n = rc_http_query_get(form, "d", out);

    if (out->failed)
        return RC_ENOMEM;
    if (n != 1)
        return RC_ENOENT;
    unescape(out);
    return RC_OK;
}

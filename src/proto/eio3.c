#include "rc/proto/eio3.h"

#include "rc/base/b64.h"
#include "rc/base/utf8.h"

enum { LENGTH_END = 255 };

/* Where *rest points when nothing follows: an empty rest elsewhere is an empty body. */
static const char payload_end[1];

/* ---- packets ---- */

/* What a binary packet of that type (a number) is. True: a message, whose data counts. */
static bool set_binary_type(unsigned type, struct rc_eio_packet *out)
{
    out->type = type <= RC_EIO_NOOP ? (enum rc_eio_type)type : RC_EIO_NOOP;
    out->binary = out->type == RC_EIO_MESSAGE;
    out->data = RC_STR_NONE;
    return out->binary;
}

/* "4AQID": what follows the 'b'. */
static int parse_base64(struct rc_str text, struct rc_eio_packet *out)
{
    struct rc_str data = rc_str_skip(text, 1);
    unsigned type = text.len != 0 ? (unsigned char)text.p[0] - (unsigned)'0' : RC_EIO_NOOP;
    union {
        const char *in;
        uint8_t *out;
    } p = {.in = data.p};
    int64_t n;

    if (!set_binary_type(type, out))
        return RC_OK;
    n = rc_b64_decode(RC_B64_STD, data, p.out);
    if (n < 0)
        return RC_EPROTO;
    out->data = rc_str_make(data.p, (size_t)n);
    return RC_OK;
}

int rc_eio3_parse_text(struct rc_str msg, struct rc_eio_packet *out)
{
    if (msg.len != 0 && msg.p[0] == 'b')
        return parse_base64(rc_str_skip(msg, 1), out);
    return rc_eio_parse_plain(msg, out);
}

void rc_eio3_parse_binary(struct rc_str msg, struct rc_eio_packet *out)
{
    if (set_binary_type(msg.len != 0 ? (unsigned char)msg.p[0] : RC_EIO_NOOP, out))
        out->data = rc_str_skip(msg, 1);
}

/* ---- payloads in ---- */

/* The length that s begins with; *used: its digits. At most max, or RC_EPROTO. */
static int64_t read_length(struct rc_str s, char zero, size_t max, size_t *used)
{
    size_t n = 0, i;

    for (i = 0; i < s.len; i++) {
        unsigned digit = (unsigned char)(s.p[i] - zero);

        if (digit > 9)
            break;
        n = n * 10 + digit;
        if (n > max)
            return RC_EPROTO;
    }
    *used = i;
    return i != 0 ? (int64_t)n : RC_EPROTO;
}

/* Bytes of the first `units` UTF-16 code units, or RC_EPROTO: there are fewer, or the border
 * would be in the midst of a character. */
static int64_t bytes_of_units(struct rc_str s, size_t units)
{
    size_t i = 0, n = 0;

    while (n < units && i < s.len) {
        unsigned char c = (unsigned char)s.p[i];

        n += c < 0xF0 ? 1 : 2;
        i += c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    }
    return n == units && i <= s.len ? (int64_t)i : RC_EPROTO;
}

int rc_eio3_text_next(struct rc_str *rest, struct rc_eio_packet *out)
{
    struct rc_str s = *rest, packet;
    int64_t units, bytes;
    size_t used;
    int rc;

    if (s.p == payload_end)
        return 0;
    do {
        units = read_length(s, '0', s.len, &used);
        if (units < 0 || used == s.len || s.p[used] != ':')
            return RC_EPROTO;
        s = rc_str_skip(s, used + 1);
        bytes = bytes_of_units(s, (size_t)units);
        if (bytes < 0)
            return RC_EPROTO;
        packet = rc_str_make(s.p, (size_t)bytes);
        s = rc_str_skip(s, packet.len);
        *rest = s.len != 0 ? s : rc_str_make(payload_end, 0);
    } while (units == 0 && s.len != 0);
    if (units == 0)
        return 0;
    rc = rc_eio3_parse_text(packet, out);
    return rc == RC_OK ? 1 : rc;
}

int rc_eio3_binary_next(struct rc_str *rest, struct rc_eio_packet *out)
{
    struct rc_str s = rc_str_skip(*rest, 1), packet;
    int64_t len;
    size_t used;

    if (rest->len == 0)
        return 0;
    len = read_length(s, 0, s.len, &used);
    if (len < 0 || used == s.len || (unsigned char)s.p[used] != LENGTH_END)
        return RC_EPROTO;
    s = rc_str_skip(s, used + 1);
    if ((size_t)len > s.len)
        return RC_EPROTO;
    packet = rc_str_make(s.p, (size_t)len);
    if (rest->p[0] != '\0')
        rc_eio3_parse_binary(packet, out);
    else if (!rc_utf8_valid(packet) || rc_eio3_parse_text(packet, out) != RC_OK)
        return RC_EPROTO;
    *rest = rc_str_skip(s, packet.len);
    return 1;
}

/* ---- payloads out ---- */

void rc_eio3_text_put(struct rc_buf *payload, const struct rc_eio_packet *p)
{
    if (p->binary) {
        rc_buf_put_u64(payload, 2 + (p->data.len + 2) / 3 * 4);
        rc_buf_putz(payload, ":b");
        rc_buf_putc(payload, (char)('0' + p->type));
        rc_b64_put(payload, RC_B64_STD, p->data.p, p->data.len);
        return;
    }
    rc_buf_put_u64(payload, 1 + rc_utf16_len(p->data));
    rc_buf_putc(payload, ':');
    rc_buf_putc(payload, (char)('0' + p->type));
    rc_buf_puts(payload, p->data);
}

void rc_eio3_binary_put(struct rc_buf *payload, const struct rc_eio_packet *p)
{
    uint8_t digits[20];
    size_t len = 1 + p->data.len;
    unsigned n = 0;

    for (; len != 0; len /= 10)
        digits[n++] = (uint8_t)(len % 10);
    rc_buf_putc(payload, p->binary ? 1 : 0);
    while (n != 0)
        rc_buf_putc(payload, (char)digits[--n]);
    rc_buf_putc(payload, (char)LENGTH_END);
    rc_buf_putc(payload, (char)(p->binary ? p->type : '0' + p->type));
    rc_buf_puts(payload, p->data);
}

/* Request bodies: by length, or chunked (RFC 9112 section 7.1). */
#include "rc/net/http.h"

#include "http_int.h"

enum state {
    BY_LENGTH,
    SIZE_START, /* the first digit of a chunk size must follow */
    SIZE,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_START,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
};

enum {
    SIZE_DIGITS_MAX = 16,
    /* Bytes of all chunk extensions and trailers of a body together: nobody uses either, but a
     * peer could make us read for ever without any content. */
    IGNORED_MAX = 4096,
};

int rc_http_body_init(struct rc_http_body *b, const struct rc_http_req *req, uint64_t max,
                      int *status)
{
    *b = (struct rc_http_body){.max = max, .chunked = req->chunked};
    if (req->chunked) {
        b->state = SIZE_START;
        return RC_OK;
    }
    b->left = req->has_length ? req->content_length : 0;
    b->done = b->left == 0;
    if (b->left <= max)
        return RC_OK;
    *status = 413;
    return RC_EPROTO;
}

static struct rc_str take(struct rc_http_body *b, const char *p, size_t len)
{
    size_t n = b->left < len ? (size_t)b->left : len;

    b->left -= n;
    b->total += n;
    return rc_str_make(p, n);
}

static int ignore(struct rc_http_body *b, uint8_t c)
{
    return rc_http_is_vchar(c) && ++b->scratch <= IGNORED_MAX ? 0 : 400;
}

/* b->scratch counts the digits here, above what the extensions so far have used. */
static int size_digit(struct rc_http_body *b, uint8_t c)
{
    enum { ONE_DIGIT = 1 << 16 };
    int digit = rc_http_hex(c);

    if (digit >= 0) {
        b->scratch += ONE_DIGIT;
        if (b->scratch / ONE_DIGIT > SIZE_DIGITS_MAX)
            return 400;
        b->left = b->left << 4 | (unsigned)digit;
        b->state = SIZE;
        return 0;
    }
    if (b->state == SIZE_START || (c != '\r' && c != ';'))
        return 400;
    b->scratch %= ONE_DIGIT;
    if (b->left > b->max - b->total)
        return 413;
    b->state = c == '\r' ? SIZE_LF : EXTENSION;
    return 0;
}

/* The byte must be `want`; then on to `next`. */
static int expect(struct rc_http_body *b, uint8_t c, char want, enum state next)
{
    b->state = next;
    return c == (uint8_t)want ? 0 : 400;
}

static int trailer_byte(struct rc_http_body *b, uint8_t c)
{
    if (b->state == TRAILER_START && c == '\r') {
        b->state = END_LF;
        return 0;
    }
    if (b->state == TRAILER_VALUE && c == '\r') {
        b->state = TRAILER_LF;
        return 0;
    }
    if (b->state == TRAILER_NAME && c == ':') {
        b->state = TRAILER_VALUE;
    } else if (b->state != TRAILER_VALUE) {
        if (!rc_http_is((char)c, RC_HTTP_TCHAR))
            return 400;
        b->state = TRAILER_NAME;
    }
    return ignore(b, c);
}

/* One byte of everything that is not content; 0 or the status to refuse with. */
static int chunk_byte(struct rc_http_body *b, uint8_t c)
{
    switch ((enum state)b->state) {
    case SIZE_START:
    case SIZE: return size_digit(b, c);
    case EXTENSION:
        if (c != '\r')
            return ignore(b, c);
        b->state = SIZE_LF;
        return 0;
    case SIZE_LF: return expect(b, c, '\n', b->left != 0 ? DATA : TRAILER_START);
    case DATA_CR: return expect(b, c, '\r', DATA_LF);
    case DATA_LF: return expect(b, c, '\n', SIZE_START);
    case TRAILER_START:
    case TRAILER_NAME:
    case TRAILER_VALUE: return trailer_byte(b, c);
    case TRAILER_LF: return expect(b, c, '\n', TRAILER_START);
    case END_LF: b->done = true; return expect(b, c, '\n', END_LF);
    case BY_LENGTH:
    case DATA:
    default: return 400;
    }
}

int64_t rc_http_body_feed(struct rc_http_body *b, const char *data, size_t len,
                          struct rc_str *out, int *status)
{
    size_t i = 0;

    *out = rc_str_make(data, 0);
    while (i < len && !b->done) {
        if (b->state == BY_LENGTH || b->state == DATA) {
            *out = take(b, data + i, len - i);
            if (b->left == 0 && b->state == DATA)
                b->state = DATA_CR;
            else
                b->done = b->left == 0;
            return (int64_t)(i + out->len);
        }
        *status = chunk_byte(b, (uint8_t)data[i++]);
        if (*status != 0)
            return RC_EPROTO;
    }
    return (int64_t)i;
}

#include "rc/net/ws.h"

#include "rc/base/b64.h"
#include "rc/base/utf8.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <pthread.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

enum {
    B0_FIN = 0x80,
    B0_RSV1 = 0x40,
    B0_RSV23 = 0x30,
    B1_MASK = 0x80,
    MASK_SIZE = 4,
    CONTROL_MAX = 125,
};

/* Applies the mask in place and returns the OR of all bytes in some word order, so that a text
 * without any high bit is known to be ASCII without a second pass. */
static uint64_t unmask(uint8_t *p, size_t n, const uint8_t mask[MASK_SIZE])
{
    uint64_t m, w[4], seen = 0;
    uint32_t m4, w4;

    memcpy(&m4, mask, sizeof(m4));
    m = (uint64_t)m4 << 32 | m4;
    for (; n >= sizeof(w); n -= sizeof(w), p += sizeof(w)) {
        memcpy(w, p, sizeof(w));
        w[0] ^= m;
        w[1] ^= m;
        w[2] ^= m;
        w[3] ^= m;
        seen |= (w[0] | w[1]) | (w[2] | w[3]);
        memcpy(p, w, sizeof(w));
    }
    for (; n >= sizeof(m); n -= sizeof(m), p += sizeof(m)) {
        memcpy(w, p, sizeof(m));
        w[0] ^= m;
        seen |= w[0];
        memcpy(p, w, sizeof(m));
    }
    if (n >= sizeof(m4)) {
        memcpy(&w4, p, sizeof(w4));
        w4 ^= m4;
        seen |= w4;
        memcpy(p, &w4, sizeof(w4));
        n -= sizeof(m4);
        p += sizeof(m4);
    }
    for (size_t i = 0; i < n; i++)
        seen |= p[i] ^= mask[i];
    return seen;
}

/* After n bytes the next one takes mask[n % 4]. */
static void rotate_mask(uint8_t mask[MASK_SIZE], size_t n)
{
    uint8_t old[MASK_SIZE];

    memcpy(old, mask, sizeof(old));
    for (size_t i = 0; i < MASK_SIZE; i++)
        mask[i] = old[(i + n) % MASK_SIZE];
}

static int refuse(struct rc_ws_event *ev, uint16_t code)
{
    ev->code = code;
    ev->data = RC_STR_NONE;
    return RC_EPROTO;
}

/* A text or binary message that is one whole frame of at most 125 bytes. Everything that is
 * not exactly this is left to the general path, with nothing changed. */
static bool is_small_message(const struct rc_ws_decoder *d, const uint8_t *data, size_t len)
{
    size_t n;

    if (len < 2 + MASK_SIZE ||
        (data[0] != (B0_FIN | RC_WS_TEXT) && data[0] != (B0_FIN | RC_WS_BINARY)))
        return false;
    n = data[1] ^ B1_MASK;
    return n <= CONTROL_MAX && len - (2 + MASK_SIZE) >= n && d->opcode == 0 &&
           (d->max_message == 0 || n <= d->max_message);
}

static int64_t take_small_message(uint8_t *data, struct rc_ws_event *ev)
{
    uint8_t *p = data + 2 + MASK_SIZE;
    size_t n = data[1] ^ B1_MASK;
    uint64_t seen = unmask(p, n, data + 2);

    *ev = (struct rc_ws_event){
        .type = RC_WS_EV_DATA,
        .opcode = data[0] & 0x0F,
        .first = true,
        .last = true,
        .data = {.p = (const char *)p, .len = n},
    };
    if ((seen & HIGH_BITS) != 0 && ev->opcode == RC_WS_TEXT && !rc_utf8_valid(ev->data))
        return refuse(ev, RC_WS_BAD_DATA);
    return (int64_t)(2 + MASK_SIZE + n);
}

struct header {
    uint64_t len; /* payload */
    size_t size;  /* of the header */
    uint8_t opcode;
    bool fin, rsv1, control;
};

static int check_first_byte(const struct rc_ws_decoder *d, uint8_t b, struct header *h)
{
    h->fin = (b & B0_FIN) != 0;
    h->rsv1 = (b & B0_RSV1) != 0;
    h->opcode = b & 0x0F;
    h->control = (h->opcode & 0x08) != 0;
    if ((b & B0_RSV23) != 0)
        return RC_EPROTO;
    if (h->opcode > RC_WS_PONG || (h->opcode > RC_WS_BINARY && h->opcode < RC_WS_CLOSE))
        return RC_EPROTO;
    if (h->control)
        return h->fin && !h->rsv1 ? RC_OK : RC_EPROTO;
    if (h->opcode == RC_WS_CONT)
        return d->opcode != 0 && !h->rsv1 ? RC_OK : RC_EPROTO;
    return d->opcode == 0 && (!h->rsv1 || d->allow_rsv1) ? RC_OK : RC_EPROTO;
}

/* The 7, 7+16 or 7+64 bit length, which must be in its shortest form. */
static int parse_length(const uint8_t *data, size_t len, struct header *h)
{
    size_t ext = data[1] == (B1_MASK | 126) ? 2 : data[1] == (B1_MASK | 127) ? 8 : 0;

    h->size = 2 + ext + MASK_SIZE;
    h->len = 0;
    if (ext == 0) {
        h->len = data[1] ^ B1_MASK;
        return RC_OK;
    }
    if (h->control)
        return RC_EPROTO;
    if (ext == 8 && len > 2 && (data[2] & 0x80) != 0)
        return RC_EPROTO;
    if (len < 2 + ext)
        return RC_EAGAIN;
    for (size_t i = 0; i < ext; i++)
        h->len = h->len << 8 | data[2 + i];
    return h->len > (ext == 2 ? 125 : 0xFFFF) ? RC_OK : RC_EPROTO;
}

/* RC_OK when the whole header is there; RC_EPROTO with *code as soon as it is known bad. */
static int parse_header(const struct rc_ws_decoder *d, const uint8_t *data, size_t len,
                        struct header *h, uint16_t *code)
{
    int err;

    *code = RC_WS_PROTOCOL_ERROR;
    if (len == 0)
        return RC_EAGAIN;
    if ((err = check_first_byte(d, data[0], h)) != RC_OK)
        return err;
    if (len == 1)
        return RC_EAGAIN;
    if ((data[1] & B1_MASK) == 0)
        return RC_EPROTO;
    if ((err = parse_length(data, len, h)) != RC_OK)
        return err;
    if (!h->control && d->max_message != 0 &&
        (h->len > d->max_message || d->message_len > d->max_message - h->len)) {
        *code = RC_WS_TOO_BIG;
        return RC_EPROTO;
    }
    return len >= h->size ? RC_OK : RC_EAGAIN;
}

static int take_close(struct rc_ws_event *ev)
{
    const uint8_t *p = (const uint8_t *)ev->data.p;

    ev->code = RC_WS_NO_STATUS;
    if (ev->data.len == 0)
        return RC_OK;
    if (ev->data.len == 1)
        return refuse(ev, RC_WS_PROTOCOL_ERROR);
    ev->code = (uint16_t)(p[0] << 8 | p[1]);
    ev->data = rc_str_skip(ev->data, 2);
    if (!rc_ws_close_code_valid(ev->code))
        return refuse(ev, RC_WS_PROTOCOL_ERROR);
    if (!rc_utf8_valid(ev->data))
        return refuse(ev, RC_WS_BAD_DATA);
    return RC_OK;
}

static int64_t take_control(const struct header *h, uint8_t *data, size_t len,
                            struct rc_ws_event *ev)
{
    uint8_t *p = data + h->size;
    size_t n = (size_t)h->len;

    if (len - h->size < n)
        return RC_EAGAIN;
    (void)unmask(p, n, p - MASK_SIZE);
    *ev = (struct rc_ws_event){.data = {.p = (const char *)p, .len = n}};
    if (h->opcode == RC_WS_CLOSE) {
        ev->type = RC_WS_EV_CLOSE;
        if (take_close(ev) != RC_OK)
            return RC_EPROTO;
    } else {
        ev->type = h->opcode == RC_WS_PING ? RC_WS_EV_PING : RC_WS_EV_PONG;
    }
    return (int64_t)(h->size + n);
}

static void open_frame(struct rc_ws_decoder *d, const struct header *h, const uint8_t *data)
{
    if (h->opcode != RC_WS_CONT) {
        d->opcode = h->opcode;
        d->compressed = h->rsv1;
    }
    memcpy(d->mask, data + h->size - MASK_SIZE, MASK_SIZE);
    d->left = h->len;
    d->fin = h->fin;
    d->in_frame = true;
}

/* Back to what a fresh decoder is: utf8 is RC_UTF8_ACCEPT here. */
static void end_message(struct rc_ws_decoder *d)
{
    d->opcode = 0;
    d->message_len = 0;
    d->started = false;
    d->compressed = false;
    d->fin = false;
}

/* Hands out what has arrived of the current data frame. */
static int64_t take_payload(struct rc_ws_decoder *d, uint8_t *p, size_t len,
                            struct rc_ws_event *ev)
{
    size_t n = d->left < len ? (size_t)d->left : len;
    uint64_t seen = unmask(p, n, d->mask);
    bool text = d->opcode == RC_WS_TEXT && !d->compressed;

    d->left -= n;
    d->message_len += n;
    if (d->left != 0)
        rotate_mask(d->mask, n);
    *ev = (struct rc_ws_event){
        .type = RC_WS_EV_DATA,
        .opcode = d->opcode,
        .first = !d->started,
        .last = d->fin && d->left == 0,
        .compressed = d->compressed,
        .data = {.p = (const char *)p, .len = n},
    };
    if (text && ((seen & HIGH_BITS) != 0 || d->utf8 != RC_UTF8_ACCEPT) &&
        !rc_utf8_feed(&d->utf8, p, n))
        return refuse(ev, RC_WS_BAD_DATA);
    if (text && ev->last && d->utf8 != RC_UTF8_ACCEPT)
        return refuse(ev, RC_WS_BAD_DATA);
    d->started = true;
    d->in_frame = d->left != 0;
    if (ev->last)
        end_message(d);
    return (int64_t)n;
}

int64_t rc_ws_decode(struct rc_ws_decoder *d, uint8_t *data, size_t len, struct rc_ws_event *ev)
{
    struct header h;
    uint16_t code;
    int64_t n;
    int err;

    if (d->in_frame)
        return len != 0 ? take_payload(d, data, len, ev) : RC_EAGAIN;
    if (is_small_message(d, data, len))
        return take_small_message(data, ev);
    err = parse_header(d, data, len, &h, &code);
    if (err == RC_EPROTO)
        return refuse(ev, code);
    if (err != RC_OK)
        return err;
    if (h.control)
        return take_control(&h, data, len, ev);
    /* A header alone is not worth an event, unless it is all there is. */
    if (h.len != 0 && len == h.size)
        return RC_EAGAIN;
    open_frame(d, &h, data);
    n = take_payload(d, data + h.size, len - h.size, ev);
    return n < 0 ? n : n + (int64_t)h.size;
}

size_t rc_ws_header(uint8_t *out, enum rc_ws_opcode op, bool rsv1, uint64_t len)
{
    size_t ext = len <= CONTROL_MAX ? 0 : len <= 0xFFFF ? 2 : 8;

    out[0] = (uint8_t)(B0_FIN | (rsv1 ? B0_RSV1 : 0) | (int)op);
    out[1] = (uint8_t)(ext == 0 ? len : ext == 2 ? 126 : 127);
    for (size_t i = 0; i < ext; i++)
        out[2 + i] = (uint8_t)(len >> 8 * (ext - 1 - i));
    return 2 + ext;
}

void rc_ws_put_header(struct rc_buf *to, enum rc_ws_opcode op, bool rsv1, uint64_t len)
{
    uint8_t head[RC_WS_HEADER_MAX];
    size_t n = rc_ws_header(head, op, rsv1, len);

    rc_buf_put(to, head, n);
}

size_t rc_ws_close_frame(uint8_t *out, uint16_t code, struct rc_str reason)
{
    const size_t max = CONTROL_MAX - 2;
    size_t n = reason.len < max ? reason.len : max;

    if (code == 0 || code == RC_WS_NO_STATUS)
        return rc_ws_header(out, RC_WS_CLOSE, false, 0);
    while (n != 0 && n < reason.len && ((uint8_t)reason.p[n] & 0xC0) == 0x80)
        n--;
    (void)rc_ws_header(out, RC_WS_CLOSE, false, n + 2);
    out[2] = (uint8_t)(code >> 8);
    out[3] = (uint8_t)code;
    if (n != 0)
        memcpy(out + 4, reason.p, n);
    return n + 4;
}

bool rc_ws_close_code_valid(unsigned code)
{
    if (code >= 3000)
        return code <= 4999;
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

/* Base64 of 16 bytes, but the unused bits of the last character may be set: clients that draw
 * 22 random characters exist, and other servers let them in. */
static bool key_valid(struct rc_str key)
{
    char text[24];
    uint8_t bytes[sizeof(text) / 4 * 3 + 2];

    if (key.len != sizeof(text) || key.p[22] != '=' || key.p[23] != '=')
        return false;
    memcpy(text, key.p, sizeof(text));
    text[22] = text[23] = 'A';
    return rc_b64_decode(RC_B64_STD, rc_str_make(text, sizeof(text)), bytes) > 0;
}

/* SHA1() looks the algorithm up each time, which costs more than the hash. */
static EVP_MD *sha1;
static pthread_once_t sha1_once = PTHREAD_ONCE_INIT;

static void fetch_sha1(void)
{
    sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
}

int rc_ws_init(void)
{
    (void)pthread_once(&sha1_once, fetch_sha1);
    return sha1 != NULL ? RC_OK : RC_ESYS;
}

int rc_ws_accept(struct rc_str key, char out[RC_WS_ACCEPT_LEN + 1])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t text[24 + sizeof(guid) - 1], digest[SHA_DIGEST_LENGTH];

    if (!key_valid(key))
        return RC_EPROTO;
    memcpy(text, key.p, 24);
    memcpy(text + 24, guid, sizeof(guid) - 1);
    if (rc_ws_init() != RC_OK || EVP_Digest(text, sizeof(text), digest, NULL, sha1, NULL) != 1)
        return RC_EPROTO;
    (void)rc_b64_encode(RC_B64_STD, digest, sizeof(digest), out);
    return RC_OK;
}

struct rc_ws_frame rc_ws_own_frame(const uint8_t *p)
{
    size_t head = p[1] < 126 ? 2 : p[1] == 126 ? 4 : 10, len = p[1];

    if (head > 2) {
        len = 0;
        for (size_t i = 2; i < head; i++)
            len = len << 8 | p[i];
    }
    return (struct rc_ws_frame){
        .opcode = p[0] & 0x0f, .payload = rc_str_make(p + head, len), .size = head + len};
}

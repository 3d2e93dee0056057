#include "rc/proto/eio.h"

#include "rc/base/b64.h"

#define SEPARATOR '\x1e'

/* Where *rest points when nothing follows: an empty rest elsewhere is an empty packet. */
static const char payload_end[1];

const char *rc_eio_error_text(enum rc_eio_error e)
{
    switch (e) {
#define RC_EIO_ERROR_CASE(name, code, text) \
    case name: return text;
        RC_EIO_ERROR_MAP(RC_EIO_ERROR_CASE)
#undef RC_EIO_ERROR_CASE
    }
    return "Bad request";
}

static int parse_base64(struct rc_str text, struct rc_eio_packet *out)
{
    union {
        const char *in;
        uint8_t *out;
    } p = {.in = text.p};
    int64_t n = rc_b64_decode(RC_B64_STD, text, p.out);

    if (n < 0)
        return RC_EPROTO;
    out->type = RC_EIO_MESSAGE;
    out->binary = true;
    out->data = rc_str_make(text.p, (size_t)n);
    return RC_OK;
}

int rc_eio_parse_plain(struct rc_str msg, struct rc_eio_packet *out)
{
    if (msg.len == 0 || msg.p[0] < '0' || msg.p[0] > '6')
        return RC_EPROTO;
    out->type = (enum rc_eio_type)(msg.p[0] - '0');
    out->binary = false;
    out->data = rc_str_skip(msg, 1);
    return RC_OK;
}

int rc_eio_parse_text(struct rc_str msg, struct rc_eio_packet *out)
{
    if (msg.len != 0 && msg.p[0] == 'b')
        return parse_base64(rc_str_skip(msg, 1), out);
    return rc_eio_parse_plain(msg, out);
}

int rc_eio_payload_next(struct rc_str *rest, struct rc_eio_packet *out)
{
    struct rc_str packet = *rest;
    const char *sep;
    int rc;

    if (rest->p == payload_end)
        return 0;
    if (rest->len == 0)
        return RC_EPROTO;
    sep = memchr(rest->p, SEPARATOR, rest->len);
    if (sep != NULL) {
        packet.len = (size_t)(sep - rest->p);
        *rest = rc_str_skip(*rest, packet.len + 1);
    } else {
        *rest = rc_str_make(payload_end, 0);
    }
    rc = rc_eio_parse_text(packet, out);
    return rc == RC_OK ? 1 : rc;
}

void rc_eio_payload_put(struct rc_buf *payload, const struct rc_eio_packet *p)
{
    if (payload->len != 0)
        rc_buf_putc(payload, SEPARATOR);
    if (p->binary) {
        rc_buf_putc(payload, 'b');
        rc_b64_put(payload, RC_B64_STD, p->data.p, p->data.len);
    } else {
        rc_buf_putc(payload, (char)('0' + p->type));
        rc_buf_puts(payload, p->data);
    }
}

void rc_eio_put_open(struct rc_buf *out, const struct rc_eio_open *o)
{
    rc_buf_putz(out, "0{\"sid\":\"");
    rc_buf_puts(out, o->sid);
    rc_buf_putz(out, o->upgrade_websocket ? "\",\"upgrades\":[\"websocket\"]"
                                          : "\",\"upgrades\":[]");
    rc_buf_putz(out, ",\"pingInterval\":");
    rc_buf_put_u64(out, o->ping_interval_ms);
    rc_buf_putz(out, ",\"pingTimeout\":");
    rc_buf_put_u64(out, o->ping_timeout_ms);
    rc_buf_putz(out, ",\"maxPayload\":");
    rc_buf_put_u64(out, o->max_payload);
    rc_buf_putc(out, '}');
}

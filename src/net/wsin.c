/* wsin.c - see the header. */
#include "rc/net/wsin.h"

#include "rc/base/mem.h"
#include "rc/base/utf8.h"

#include <stdlib.h>

struct rc_wsin_partial {
    struct rc_ws_decoder ws;
    struct rc_buf buf;            /* of the message so far */
    struct rc_inflater *inflater; /* NULL until something compressed comes */
    uint32_t utf8;                /* of decompressed text; the decoder checks the rest */
};

void rc_wsin_init(struct rc_wsin *in, uint32_t max, const struct rc_deflate_params *deflate)
{
    *in = (struct rc_wsin){.max = max, .deflate = *deflate};
}

static struct rc_wsin_partial *need_partial(struct rc_wsin *in)
{
    if (in->partial == NULL)
        in->partial = rc_calloc(1, sizeof(*in->partial));
    return in->partial;
}

static void drop(struct rc_wsin *in)
{
    rc_inflater_free(in->partial->inflater);
    rc_buf_deinit(&in->partial->buf);
    free(in->partial);
    in->partial = NULL;
}

void rc_wsin_deinit(struct rc_wsin *in)
{
    if (in->partial != NULL)
        drop(in);
}

/* Text is refused as soon as it cannot be UTF-8 any more. */
static bool text_ok(struct rc_wsin_partial *p, size_t from, bool last)
{
    if (p->buf.len != from && !rc_utf8_feed(&p->utf8, p->buf.data + from, p->buf.len - from))
        return false;
    return !last || p->utf8 == RC_UTF8_ACCEPT;
}

static int decompress(struct rc_wsin *in, const struct rc_ws_event *ev)
{
    struct rc_wsin_partial *p = in->partial;
    unsigned bits = in->deflate.client_bits;
    size_t before = p->buf.len;
    int rc;

    if (p->inflater == NULL) {
        p->inflater = rc_inflater_new(bits != 0 ? bits : RC_DEFLATE_BITS_MAX);
        if (p->inflater == NULL)
            return RC_ENOMEM;
    }
    p->buf.max = in->max;
    rc = rc_inflater_feed(p->inflater, ev->data.p, ev->data.len, &p->buf);
    if (rc == RC_OK && ev->last)
        rc = rc_inflater_end(p->inflater, &p->buf);
    if (rc == RC_OK && ev->opcode == RC_WS_TEXT && !text_ok(p, before, ev->last))
        rc = RC_EPROTO;
    return rc;
}

int64_t rc_wsin_decode(struct rc_wsin *in, uint8_t *data, size_t len, struct rc_ws_event *ev)
{
    struct rc_ws_decoder fresh = {.max_message = in->max, .allow_rsv1 = in->deflate.on};
    struct rc_wsin_partial *p = in->partial;
    int64_t n;

    if (p != NULL && !rc_ws_at_rest(&p->ws)) {
        p->ws.max_message = in->max; /* an upgrade's probe may have less */
        return rc_ws_decode(&p->ws, data, len, ev);
    }
    n = rc_ws_decode(&fresh, data, len, ev);
    if (n > 0 && !rc_ws_at_rest(&fresh))
        need_partial(in)->ws = fresh;
    return n;
}

int rc_wsin_piece(struct rc_wsin *in, const struct rc_ws_event *ev, struct rc_buf *hold,
                  struct rc_str *whole)
{
    int rc = RC_OK;

    if (ev->first && ev->last && !ev->compressed) {
        *whole = ev->data;
        return RC_OK;
    }
    (void)need_partial(in);
    if (ev->compressed) {
        rc = decompress(in, ev);
    } else {
        rc_buf_puts(&in->partial->buf, ev->data);
        rc = in->partial->buf.failed ? RC_ENOMEM : RC_OK;
    }
    if (rc != RC_OK || !ev->last)
        return rc != RC_OK ? rc : RC_EAGAIN;
    *hold = in->partial->buf;
    *whole = rc_buf_str(hold);
    in->partial->buf = RC_BUF_INIT;
    if (in->partial->inflater == NULL || !in->deflate.client_takeover)
        drop(in);
    return RC_OK;
}

bool rc_wsin_is_open(const struct rc_wsin *in)
{
    return in->partial != NULL && !rc_ws_at_rest(&in->partial->ws);
}

size_t rc_wsin_gathered(const struct rc_wsin *in)
{
    return in->partial != NULL ? in->partial->buf.len : 0;
}

unsigned rc_wsin_code(int error)
{
    switch (error) {
    case RC_EPROTO: return RC_WS_BAD_DATA;
    case RC_ELIMIT: return RC_WS_TOO_BIG;
    default: return RC_WS_INTERNAL;
    }
}

/* form.c - canonical frames into what a client wants instead. */
#include "rc/broker/form.h"

#include "rc/base/b64.h"
#include "rc/base/thread.h"
#include "rc/net/ws.h"

/* A binary frame as the text that stands for it where binary is not to be had. */
static void put_b64(struct rc_buf *out, const struct rc_ws_frame *f)
{
    size_t len = 1 + (f->payload.len + 2) / 3 * 4;
    uint8_t head[RC_WS_HEADER_MAX];

    rc_buf_put(out, head, rc_ws_header(head, RC_WS_TEXT, false, len));
    rc_buf_putc(out, 'b');
    rc_b64_put(out, RC_B64_STD, f->payload.p, f->payload.len);
}

struct rc_seg *rc_form_make(const struct rc_seg *frames, enum rc_form form)
{
    const uint8_t *p = frames->data, *end = p + frames->len;
    struct rc_buf out = RC_BUF_INIT;
    struct rc_seg *seg;

    RC_ASSERT(form == RC_FORM_B64);
    while (p < end) {
        struct rc_ws_frame f = rc_ws_own_frame(p);

        if (f.opcode == RC_WS_BINARY)
            put_b64(&out, &f);
        else
            rc_buf_put(&out, p, f.size);
        p += f.size;
    }
    RC_ASSERT(!out.failed);
    seg = rc_seg_new(out.data, out.len);
    rc_buf_deinit(&out);
    return seg;
}

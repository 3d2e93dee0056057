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

static struct rc_seg *seal(struct rc_buf *out)
{
    struct rc_seg *seg;

    RC_ASSERT(!out->failed);
    seg = rc_seg_new(out->data, out->len);
    rc_buf_deinit(out);
    return seg;
}

static struct rc_seg *make_b64(const struct rc_seg *frames)
{
    const uint8_t *p = frames->data, *end = p + frames->len;
    struct rc_buf out = RC_BUF_INIT;

    while (p < end) {
        struct rc_ws_frame f = rc_ws_own_frame(p);

        if (f.opcode == RC_WS_BINARY)
            put_b64(&out, &f);
        else
            rc_buf_put(&out, p, f.size);
        p += f.size;
    }
    return seal(&out);
}

/* ---- permessage-deflate ---- */

static bool is_worth_it(const struct rc_deflater *d, const struct rc_ws_frame *f)
{
    return f->opcode < RC_WS_CLOSE && rc_deflater_wants(d, f->payload.len);
}

static bool any_is_worth_it(const struct rc_deflater *d, const struct rc_seg *frames)
{
    const uint8_t *p = frames->data, *end = p + frames->len;

    if (!rc_deflater_wants(d, frames->len)) /* then none inside is */
        return false;
    while (p < end) {
        struct rc_ws_frame f = rc_ws_own_frame(p);

        if (is_worth_it(d, &f))
            return true;
        p += f.size;
    }
    return false;
}

static struct rc_seg *make_deflated(struct rc_deflater *d, const struct rc_seg *frames,
                                    enum rc_deflate_window window)
{
    const uint8_t *p = frames->data, *end = p + frames->len;
    struct rc_buf out = RC_BUF_INIT;
    uint8_t head[RC_WS_HEADER_MAX];

    while (p < end) {
        struct rc_ws_frame f = rc_ws_own_frame(p);
        struct rc_str small =
            is_worth_it(d, &f) ? rc_deflater_run(d, window, f.payload) : RC_STR_NONE;

        if (small.p != NULL) {
            rc_buf_put(&out, head,
                       rc_ws_header(head, (enum rc_ws_opcode)f.opcode, true, small.len));
            rc_buf_puts(&out, small);
        } else {
            rc_buf_put(&out, p, f.size);
        }
        p += f.size;
    }
    rc_deflater_trim(d);
    return seal(&out);
}

struct rc_seg *rc_form_make(struct rc_deflater *d, struct rc_seg *frames, unsigned form)
{
    unsigned plain = form % RC_FORM_PLAIN, window = form / RC_FORM_PLAIN;
    struct rc_seg *seg = plain == RC_FORM_B64 ? make_b64(frames) : rc_seg_ref(frames), *packed;

    RC_ASSERT(form < RC_FORM_COUNT && plain <= RC_FORM_B64);
    if (window == 0 || !any_is_worth_it(d, seg))
        return seg;
    packed = make_deflated(d, seg, (enum rc_deflate_window)window);
    rc_seg_unref(seg);
    return packed;
}

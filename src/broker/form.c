/* form.c - canonical frames into what a client wants instead. */
#include "rc/broker/form.h"

#include "rc/base/b64.h"
#include "rc/base/thread.h"
#include "rc/net/ws.h"
#include "rc/proto/eio3.h"
#include "rc/proto/msgpack.h"

static void put_frame(struct rc_buf *out, enum rc_ws_opcode opcode, const char *before,
                      struct rc_str payload)
{
    size_t len = strlen(before);

    rc_ws_put_header(out, opcode, false, len + payload.len);
    rc_buf_put(out, before, len);
    rc_buf_puts(out, payload);
}

/* A binary frame as the text that stands for it where binary is not to be had. */
static void put_b64(struct rc_buf *out, const char *before, struct rc_str payload)
{
    size_t len = strlen(before) + (payload.len + 2) / 3 * 4;

    rc_ws_put_header(out, RC_WS_TEXT, false, len);
    rc_buf_putz(out, before);
    rc_b64_put(out, RC_B64_STD, payload.p, payload.len);
}

static void put_binary(struct rc_buf *out, unsigned form, struct rc_str payload)
{
    if (form == RC_FORM_V3)
        put_frame(out, RC_WS_BINARY, "\x04", payload);
    else
        put_b64(out, form == RC_FORM_V3_B64 ? "b4" : "b", payload);
}

static struct rc_seg *seal(struct rc_buf *out)
{
    struct rc_seg *seg;

    RC_ASSERT(!out->failed);
    seg = rc_seg_new(out->data, out->len);
    rc_buf_deinit(out);
    return seg;
}

static struct rc_seg *make_text(const struct rc_seg *frames, unsigned form)
{
    const uint8_t *p = frames->data, *end = p + frames->len;
    struct rc_buf out = RC_BUF_INIT;

    while (p < end) {
        struct rc_ws_frame f = rc_ws_own_frame(p);

        if (f.opcode == RC_WS_BINARY)
            put_binary(&out, form, f.payload);
        else
            rc_buf_put(&out, p, f.size);
        p += f.size;
    }
    return seal(&out);
}

/* A packet, without the '4' of Engine.IO, and its attachments. */
struct packet {
    struct rc_str text, attachment[RC_SIO_ATTACHMENTS_MAX];
    unsigned nattachments;
};

/* p is at the frame of a packet, and behind it are those of its attachments. Returns their end. */
static const uint8_t *take_packet(const uint8_t *p, struct packet *to)
{
    struct rc_ws_frame f = rc_ws_own_frame(p);
    struct rc_sio_head head;
    int rc;

    to->text = rc_str_skip(f.payload, 1);
    rc = rc_sio_split(to->text, &head);
    RC_ASSERT(rc == RC_OK);
    to->nattachments = head.attachments;
    for (unsigned i = 0; i < head.attachments; i++) {
        p += f.size;
        f = rc_ws_own_frame(p);
        to->attachment[i] = f.payload;
    }
    return p + f.size;
}

/* Makes one frame of a packet. */
typedef void put_packet(struct rc_buf *out, const struct rc_former *f, const struct packet *p);

static void put_msgpack(struct rc_buf *out, const struct rc_former *f, const struct packet *p)
{
    struct rc_buf message = RC_BUF_INIT;
    int rc = rc_msgpack_encode(p->text, p->attachment, p->nattachments, &message);

    (void)f;
    RC_ASSERT(rc == RC_OK); /* the text was valid when it was made a packet */
    put_frame(out, RC_WS_BINARY, "", rc_buf_str(&message));
    rc_buf_deinit(&message);
}

static void put_untyped(struct rc_buf *out, const struct rc_former *f, const struct packet *p)
{
    struct rc_buf message = RC_BUF_INIT;

    rc_plain_encode(p->text, p->attachment, f->untyped, f->nuntyped, &message);
    RC_ASSERT(!message.failed);
    put_frame(out, RC_WS_TEXT, "", rc_buf_str(&message));
    rc_buf_deinit(&message);
}

static void put_typed(struct rc_buf *out, const struct rc_former *f, const struct packet *p)
{
    (void)f;
    put_untyped(out, &(const struct rc_former){0}, p);
}

static struct rc_seg *make_packets(const struct rc_former *former, const struct rc_seg *frames,
                                   put_packet *put)
{
    const uint8_t *p = frames->data, *end = p + frames->len;
    struct rc_buf out = RC_BUF_INIT;

    while (p < end) {
        struct rc_ws_frame f = rc_ws_own_frame(p);

        if (f.opcode == RC_WS_TEXT && f.payload.len != 0 && f.payload.p[0] == '4') {
            struct packet packet;

            p = take_packet(p, &packet);
            put(&out, former, &packet);
        } else { /* Engine.IO's or WebSocket's own */
            rc_buf_put(&out, p, f.size);
            p += f.size;
        }
    }
    return seal(&out);
}

static struct rc_seg *make_plain(const struct rc_former *f, struct rc_seg *frames,
                                 unsigned form)
{
    unsigned rest = form & ~(unsigned)RC_FORM_MSGPACK;
    struct rc_seg *seg, *text;

    if (form == RC_FORM_JSON || form == RC_FORM_UNTYPED)
        return make_packets(f, frames, form == RC_FORM_JSON ? put_typed : put_untyped);
    seg = form != rest ? make_packets(f, frames, put_msgpack) : rc_seg_ref(frames);
    if (rest == RC_FORM_FRAMES)
        return seg;
    text = make_text(seg, rest);
    rc_seg_unref(seg);
    return text;
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

    while (p < end) {
        struct rc_ws_frame f = rc_ws_own_frame(p);
        struct rc_str small =
            is_worth_it(d, &f) ? rc_deflater_run(d, window, f.payload) : RC_STR_NONE;

        if (small.p != NULL) {
            rc_ws_put_header(&out, (enum rc_ws_opcode)f.opcode, true, small.len);
            rc_buf_puts(&out, small);
        } else {
            rc_buf_put(&out, p, f.size);
        }
        p += f.size;
    }
    rc_deflater_trim(d);
    return seal(&out);
}

struct rc_seg *rc_form_make(const struct rc_former *f, struct rc_seg *frames, unsigned form)
{
    unsigned plain = form % RC_FORM_PLAIN, window = form / RC_FORM_PLAIN;
    struct rc_seg *seg = make_plain(f, frames, plain), *packed;

    RC_ASSERT(form < RC_FORM_COUNT);
    if (window == 0 || !any_is_worth_it(f->deflater, seg))
        return seg;
    packed = make_deflated(f->deflater, seg, (enum rc_deflate_window)window);
    rc_seg_unref(seg);
    return packed;
}

/* ---- payloads ---- */

/* Engine.IO 4: packets, binary as 'b' and base64, separated by 0x1E. */
static void put_v4(struct rc_buf *payload, const struct rc_ws_frame *f)
{
    if (payload->len != 0)
        rc_buf_putc(payload, 0x1e);
    if (f->opcode == RC_WS_BINARY) {
        rc_buf_putc(payload, 'b');
        rc_b64_put(payload, RC_B64_STD, f->payload.p, f->payload.len);
    } else {
        rc_buf_puts(payload, f->payload);
    }
}

static struct rc_eio_packet packet_of(const struct rc_ws_frame *f)
{
    struct rc_eio_packet p = {.type = RC_EIO_MESSAGE, .binary = true, .data = f->payload};

    if (f->opcode == RC_WS_TEXT) {
        p.type = (enum rc_eio_type)(f->payload.p[0] - '0');
        p.binary = false;
        p.data = rc_str_skip(f->payload, 1);
    }
    return p;
}

static bool has_binary(const struct rc_seg *seg)
{
    const uint8_t *p = seg->data, *end = p + seg->len;

    while (p < end) {
        struct rc_ws_frame f = rc_ws_own_frame(p);

        if (f.opcode == RC_WS_BINARY)
            return true;
        p += f.size;
    }
    return false;
}

enum payload { PAYLOAD_V4, PAYLOAD_V3_TEXT, PAYLOAD_V3_BINARY };

/* Takes over the reference. */
static void put_segment(struct rc_buf *payload, struct rc_seg *seg, enum payload as)
{
    const uint8_t *p = seg->data, *end = p + seg->len;

    while (p < end) {
        struct rc_ws_frame f = rc_ws_own_frame(p);
        struct rc_eio_packet packet;

        if (as == PAYLOAD_V4) {
            put_v4(payload, &f);
        } else {
            packet = packet_of(&f);
            if (as == PAYLOAD_V3_TEXT)
                rc_eio3_text_put(payload, &packet);
            else
                rc_eio3_binary_put(payload, &packet);
        }
        p += f.size;
    }
    rc_seg_unref(seg);
}

bool rc_form_payload(struct rc_outq *frames, bool eio3, bool b64, struct rc_buf *payload)
{
    enum payload as = eio3 ? PAYLOAD_V3_TEXT : PAYLOAD_V4;
    struct rc_outq rest = {0};
    struct rc_seg *seg;
    uint32_t off;

    /* One binary packet makes the whole payload binary: all must be seen before the first. */
    while (eio3 && !b64 && as == PAYLOAD_V3_TEXT && (seg = rc_outq_pop(frames, &off)) != NULL) {
        if (has_binary(seg))
            as = PAYLOAD_V3_BINARY;
        rc_outq_push(&rest, seg);
    }
    rc_outq_append(&rest, frames);
    while ((seg = rc_outq_pop(&rest, &off)) != NULL)
        put_segment(payload, seg, as);
    return as == PAYLOAD_V3_BINARY;
}

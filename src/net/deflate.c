/* deflate.c - the bytes of permessage-deflate: one message compressed, messages decompressed. */
#include "rc/net/deflate.h"

#include "rc/base/mem.h"

#include <stdlib.h>
#include <zlib.h>

enum {
    MEM_LEVEL = 8,
    TAIL = 4,                 /* of a flush, which messages are sent without: section 7.2.1 */
    SCRATCH_KEPT = 64 * 1024, /* bytes */
    GROW_MIN = 512,
};

/* ---- out ---- */

struct rc_deflater {
    z_stream z[RC_DEFLATE_WINDOWS]; /* those that were needed so far */
    bool ready[RC_DEFLATE_WINDOWS];
    int level;
    uint64_t threshold;
    struct rc_buf scratch;
};

enum rc_deflate_window rc_deflate_window(const struct rc_deflate_params *p)
{
    if (p->server_bits == 0 || p->server_bits == RC_DEFLATE_BITS_MAX)
        return RC_DEFLATE_FULL;
    return p->server_bits >= 12 ? RC_DEFLATE_MIDDLE : RC_DEFLATE_SMALL;
}

/* zlib makes no window of 8 bits. With 9 it looks back 2^9 - 262 = 250 bytes at most, since it
 * always keeps room for a longest match: that fits a window of 8. */
static const int8_t zlib_bits[RC_DEFLATE_WINDOWS] =
    {[RC_DEFLATE_SMALL] = 9, [RC_DEFLATE_MIDDLE] = 12, [RC_DEFLATE_FULL] = 15};

struct rc_deflater *rc_deflater_new(int level, uint64_t threshold)
{
    struct rc_deflater *d = rc_calloc(1, sizeof(*d));

    d->level = level;
    d->threshold = threshold;
    return d;
}

void rc_deflater_free(struct rc_deflater *d)
{
    if (d == NULL)
        return;
    for (unsigned i = 0; i < RC_DEFLATE_WINDOWS; i++)
        if (d->ready[i])
            (void)deflateEnd(&d->z[i]);
    rc_buf_deinit(&d->scratch);
    free(d);
}

bool rc_deflater_wants(const struct rc_deflater *d, size_t len)
{
    return len >= d->threshold;
}

static z_stream *compressor(struct rc_deflater *d, enum rc_deflate_window window)
{
    z_stream *z = &d->z[window];

    if (d->ready[window])
        return deflateReset(z) == Z_OK ? z : NULL;
    d->ready[window] = deflateInit2(z, d->level, Z_DEFLATED, -zlib_bits[window], MEM_LEVEL,
                                    Z_DEFAULT_STRATEGY) == Z_OK;
    return d->ready[window] ? z : NULL;
}

struct rc_str rc_deflater_run(struct rc_deflater *d, enum rc_deflate_window window,
                              struct rc_str message)
{
    z_stream *z = compressor(d, window);
    size_t room = message.len + TAIL;
    uint8_t *to;

    rc_buf_reset(&d->scratch);
    to = rc_buf_reserve(&d->scratch, room);
    if (z == NULL || to == NULL) /* out of memory is no reason not to send it */
        return RC_STR_NONE;
    z->next_in = (z_const Bytef *)(uintptr_t)message.p;
    z->avail_in = (uInt)message.len;
    z->next_out = to;
    z->avail_out = (uInt)room;
    /* A full buffer: there would be more, and it is too long already. */
    if (deflate(z, Z_SYNC_FLUSH) != Z_OK || z->avail_out == 0)
        return RC_STR_NONE;
    return rc_str_make(to, room - z->avail_out - TAIL);
}

void rc_deflater_trim(struct rc_deflater *d)
{
    if (d->scratch.cap > SCRATCH_KEPT)
        rc_buf_deinit(&d->scratch);
}

/* ---- in ---- */

struct rc_inflater {
    z_stream z;
    bool ended; /* the last block so far was marked as final */
    bool fed;   /* something of the current message has come */
};

struct rc_inflater *rc_inflater_new(unsigned bits)
{
    struct rc_inflater *f = rc_calloc(1, sizeof(*f));

    if (inflateInit2(&f->z, -(int)bits) == Z_OK)
        return f;
    free(f);
    return NULL;
}

void rc_inflater_free(struct rc_inflater *f)
{
    if (f == NULL)
        return;
    (void)inflateEnd(&f->z);
    free(f);
}

/* Room for what comes next: as much again as there is, up to out->max. RC_ELIMIT: out is full. */
static int make_room(struct rc_inflater *f, struct rc_buf *out)
{
    size_t left = out->max - out->len, want = out->len > GROW_MIN ? out->len : GROW_MIN;

    if (left == 0)
        return RC_ELIMIT;
    if (out->cap == out->len && rc_buf_reserve(out, want < left ? want : left) == NULL)
        return RC_ENOMEM;
    f->z.next_out = out->data + out->len;
    f->z.avail_out = (uInt)((out->cap < out->max ? out->cap : out->max) - out->len);
    return RC_OK;
}

/* One call of inflate() with all the room there is. When there is none, a byte beside it shows
 * whether the message would go on. */
static int step(struct rc_inflater *f, int flush, struct rc_buf *out)
{
    uint8_t beyond;
    int full = make_room(f, out), rc;
    uInt room;

    if (full == RC_ENOMEM)
        return full;
    if (full == RC_ELIMIT) {
        f->z.next_out = &beyond;
        f->z.avail_out = sizeof(beyond);
    }
    room = f->z.avail_out;
    rc = inflate(&f->z, flush);
    if (full != RC_OK && f->z.avail_out == 0)
        return RC_ELIMIT;
    if (full == RC_OK)
        out->len += room - f->z.avail_out;
    if (rc == Z_STREAM_END)
        f->ended = true;
    else if (rc == Z_MEM_ERROR)
        return RC_ENOMEM;
    else if (rc != Z_OK && (rc != Z_BUF_ERROR || f->z.avail_in != 0))
        return RC_EPROTO;
    return RC_OK;
}

static int run(struct rc_inflater *f, const void *data, size_t len, int flush,
               struct rc_buf *out)
{
    bool at_border;
    int rc;

    f->z.next_in = (z_const Bytef *)(uintptr_t)data;
    f->z.avail_in = (uInt)len;
    do {
        /* DEFLATE ends with a final block; what follows begins anew (section 7.2.3.4). */
        if (f->ended && inflateReset(&f->z) != Z_OK)
            return RC_EPROTO;
        f->ended = false;
        rc = step(f, flush, out);
        at_border = flush == Z_BLOCK && (f->z.data_type & 128) != 0;
    } while (rc == RC_OK &&
             (f->z.avail_in != 0 || (f->z.avail_out == 0 && !f->ended && !at_border)));
    return rc;
}

int rc_inflater_feed(struct rc_inflater *f, const void *data, size_t len, struct rc_buf *out)
{
    if (len == 0)
        return RC_OK;
    f->fed = true;
    return run(f, data, len, Z_SYNC_FLUSH, out);
}

/* What the sender took off is put back. A complete message is at a border of blocks then, and
 * has got no longer by it. */
int rc_inflater_end(struct rc_inflater *f, struct rc_buf *out)
{
    static const uint8_t tail[TAIL] = {0x00, 0x00, 0xff, 0xff};
    size_t before = out->len;
    bool fed = f->fed;
    int rc;

    f->fed = false;
    if (!fed || f->ended) /* nothing at all is an empty message: ws takes it, too */
        return RC_OK;
    rc = run(f, tail, sizeof(tail), Z_BLOCK, out);
    if (rc == RC_ENOMEM)
        return rc;
    if (rc != RC_OK || out->len != before)
        return RC_EPROTO;
    return f->ended || (f->z.data_type & 128) != 0 ? RC_OK : RC_EPROTO;
}

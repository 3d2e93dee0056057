/* msgpack_decode.c - a message of socket.io-msgpack-parser into canonical text. The bytes are read
 * by msgpack-c's unpacking template, which calls the functions unpack_*() below for each item in
 * the order of the bytes, allocates nothing, and believes no count before the items are there. */
#include "rc/base/utf8.h"
#include "rc/proto/json.h"
#include "rc/proto/msgpack.h"
#include "rc/proto/number.h"

#include <inttypes.h>
#include <msgpack.h>
#include <stdio.h>
#include <time.h>

enum {
    DEPTH_CAP = 1024,          /* as that of JSON */
    LEVELS = 1 + DEPTH_CAP,    /* the packet itself is a map */
    HEAD_MAX = 24,             /* "4532-", a comma and an id: the head but for the namespace */
    NUL = 1,                   /* that rc_buf_printf needs behind what it puts */
    UNPACK_ERROR = -1,         /* what unpack_*() return; the reason is in the reader */
    DATE_MAX_DAYS = 100000000, /* JavaScript's dates end so far from 1970 */
};

enum field { FIELD_OTHER, FIELD_TYPE, FIELD_DATA, FIELD_NSP, FIELD_ID };

/* An open map or array. */
struct level {
    uint32_t left; /* items still to come; members, of a map */
    bool map;
    bool value;  /* the next item is the value of a member, not its key */
    bool any;    /* something was put and stays: a comma comes before the next */
    size_t mark; /* where the text of the member begins */
};

struct reader {
    const struct rc_sio_limits *lim;
    struct rc_buf *out; /* room for the head, then the data, then what is not to stay */
    struct rc_msgpack_packet *packet;
    bool bus; /* as nodes write it */
    int rc;   /* why unpacking was ended */
    const char *why;
    unsigned depth, max_depth; /* max_depth: of the data, with the map of the packet */
    struct rc_str string;      /* the string that was read last */
    enum field field;          /* of the packet, whose value is being read */
    unsigned kept;             /* attachments before that value */
    size_t start, end;         /* the data in out; end is 0 while there is none */
    int type;
    struct rc_str nsp;
    bool has_id;
    uint64_t id;
    struct level level[LEVELS];
};

static int fail(struct reader *r, int rc, const char *why)
{
    r->rc = rc;
    r->why = why;
    return UNPACK_ERROR;
}

static int broken(struct reader *r)
{
    return fail(r, RC_EPROTO, NULL);
}

/* ---- members of the packet ---- */

static void begin_field(struct reader *r, struct rc_str key)
{
    static const struct {
        struct rc_str name;
        enum field field;
    } fields[] = {
        {{"type", 4}, FIELD_TYPE},
        {{"data", 4}, FIELD_DATA},
        {{"nsp", 3}, FIELD_NSP},
        {{"id", 2}, FIELD_ID},
    };

    r->field = FIELD_OTHER;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (rc_str_eq(key, fields[i].name))
            r->field = fields[i].field;
    if (r->field == FIELD_DATA) { /* the last one counts, as in JavaScript */
        r->out->len = r->start;
        r->end = 0;
        r->packet->nattachments = 0;
    }
    r->level[0].mark = r->out->len;
    r->kept = r->packet->nattachments;
}

static bool read_integer(struct rc_str text, uint64_t max, uint64_t *value)
{
    struct rc_number n;

    if (rc_json_type(text) != RC_JSON_NUMBER)
        return false;
    n = rc_number_read(text);
    *value = n.v.u;
    return n.kind == RC_NUMBER_UINT && n.v.u <= max;
}

/* The value of a member has been put behind the mark; only that of data stays. */
static int end_field(struct reader *r, bool undefined)
{
    size_t mark = r->level[0].mark;
    struct rc_str text = rc_str_skip(rc_buf_str(r->out), mark);
    uint64_t value = 0;

    if (r->out->failed)
        return fail(r, RC_ELIMIT, "max_payload");
    switch (r->field) {
    case FIELD_DATA: r->end = undefined ? 0 : r->out->len; return 0;
    case FIELD_TYPE:
        if (!read_integer(text, r->bus ? RC_SIO_BINARY_ACK : RC_SIO_CONNECT_ERROR, &value))
            return broken(r);
        r->type = (int)(value > RC_SIO_CONNECT_ERROR ? value - 3 : value);
        break;
    case FIELD_NSP:
        if (rc_json_type(text) != RC_JSON_STRING || r->string.p == NULL) /* or a Date */
            return broken(r);
        r->nsp = r->string;
        break;
    case FIELD_ID:
        if (!undefined && !read_integer(text, RC_SIO_ID_MAX, &r->id))
            return broken(r);
        r->has_id = !undefined;
        break;
    case FIELD_OTHER: break;
    }
    r->out->len = mark;
    r->packet->nattachments = r->kept;
    return 0;
}

/* ---- what stands before an item ---- */

enum kind { KIND_STRING, KIND_NAME, KIND_OTHER }; /* NAME: may stand for a string, as a key */

/* 1: the item is a key; 0: a value. */
static int before(struct reader *r, enum kind kind, bool *undefined)
{
    struct level *lv;

    *undefined = false;
    if (r->depth == 0)
        return broken(r); /* a packet is a map */
    if (r->out->failed)
        return fail(r, RC_ELIMIT, "max_payload");
    lv = &r->level[r->depth - 1];
    r->string = RC_STR_NONE;
    if (lv->map && lv->value) {
        if (r->depth > 1)
            rc_buf_putc(r->out, ':');
        return 0;
    }
    if (lv->map && kind == KIND_OTHER)
        return broken(r);
    if (r->depth > 1) {
        lv->mark = r->out->len;
        if (lv->any)
            rc_buf_putc(r->out, ',');
    }
    if (!lv->map)
        lv->any = true;
    lv->value = lv->map;
    return lv->map;
}

/* A scalar whose text needs no escapes. */
static int put_name(struct reader *r, struct rc_str text, bool *undefined)
{
    int key = before(r, KIND_NAME, undefined);

    if (key < 0)
        return key;
    if (key && r->depth == 1) {
        begin_field(r, text);
        return 0;
    }
    if (key)
        rc_buf_putc(r->out, '"');
    rc_buf_puts(r->out, text);
    if (key)
        rc_buf_putc(r->out, '"');
    return 0;
}

static int put_attachment(struct reader *r, const char *p, size_t len)
{
    struct rc_msgpack_packet *packet = r->packet;
    unsigned max = r->lim->max_attachments;

    if (packet->nattachments >= RC_SIO_ATTACHMENTS_MAX || packet->nattachments >= max)
        return fail(r, RC_ELIMIT, "max_attachments");
    packet->attachment[packet->nattachments] = rc_str_make(p, len);
    rc_buf_printf(r->out, "{\"_placeholder\":true,\"num\":%u}", packet->nattachments);
    packet->nattachments++;
    return 0;
}

/* ---- what msgpack-c calls; the result that it keeps of an item: is it undefined? ---- */

static int unpack_uint64(struct reader *r, uint64_t u, bool *undefined)
{
    char text[20];
    char *end = text + sizeof(text), *p = end;

    do {
        *--p = (char)('0' + u % 10);
        u /= 10;
    } while (u != 0);
    return put_name(r, rc_str_make(p, (size_t)(end - p)), undefined);
}

static int unpack_int64(struct reader *r, int64_t i, bool *undefined)
{
    char text[24];
    int n;

    if (i >= 0)
        return unpack_uint64(r, (uint64_t)i, undefined);
    n = snprintf(text, sizeof(text), "%" PRId64, i);
    return put_name(r, rc_str_make(text, (size_t)n), undefined);
}

static int unpack_double(struct reader *r, double d, bool *undefined)
{
    int rc = before(r, KIND_OTHER, undefined);

    if (rc == 0)
        rc_number_put(r->out, d);
    return rc;
}

static int unpack_nil(struct reader *r, bool *undefined)
{
    return put_name(r, RC_STR("null"), undefined);
}

static int unpack_true(struct reader *r, bool *undefined)
{
    return put_name(r, RC_STR("true"), undefined);
}

static int unpack_false(struct reader *r, bool *undefined)
{
    return put_name(r, RC_STR("false"), undefined);
}

static int unpack_str(struct reader *r, const char *base, const char *p, uint32_t len,
                      bool *undefined)
{
    struct rc_str s = len != 0 ? rc_str_make(p, len) : RC_STR("");
    int key;

    (void)base;
    if (!rc_utf8_valid(s))
        return broken(r);
    key = before(r, KIND_STRING, undefined);
    if (key < 0)
        return key;
    r->string = s;
    if (key && r->depth == 1)
        begin_field(r, s);
    else
        rc_json_string_encode(s, r->out);
    return 0;
}

static int unpack_bin(struct reader *r, const char *base, const char *p, uint32_t len,
                      bool *undefined)
{
    int rc = before(r, KIND_OTHER, undefined);

    (void)base;
    return rc == 0 ? put_attachment(r, len != 0 ? p : NULL, len) : rc;
}

/* As Date.toJSON writes it. */
static void put_date(struct rc_buf *out, int64_t ms)
{
    const int64_t day = 86400000;
    time_t seconds = ms / 1000 - (ms % 1000 < 0); /* rounded down */
    struct tm t;
    int year;

    if (ms < -DATE_MAX_DAYS * day || ms > DATE_MAX_DAYS * day ||
        gmtime_r(&seconds, &t) == NULL) {
        rc_buf_putz(out, "null");
        return;
    }
    year = t.tm_year + 1900;
    if (year < 0 || year > 9999)
        rc_buf_printf(out, "\"%c%06d", year < 0 ? '-' : '+', year < 0 ? -year : year);
    else
        rc_buf_printf(out, "\"%04d", year);
    rc_buf_printf(out, "-%02d-%02dT%02d:%02d:%02d.%03dZ\"", t.tm_mon + 1, t.tm_mday, t.tm_hour,
                  t.tm_min, t.tm_sec, (int)(ms - (int64_t)seconds * 1000));
}

static uint64_t big_endian(const char *p, unsigned n)
{
    uint64_t u = 0;

    for (unsigned i = 0; i < n; i++)
        u = u << 8 | (uint8_t)p[i];
    return u;
}

/* A timestamp as MessagePack defines it, in its three lengths. */
static bool put_timestamp(struct rc_buf *out, const char *p, uint32_t len)
{
    const int64_t far = INT64_C(1) << 42; /* seconds; dates end before */
    uint64_t seconds, ns = 0;

    switch (len) {
    case 4: seconds = big_endian(p, 4); break;
    case 8:
        seconds = big_endian(p, 8) & ((UINT64_C(1) << 34) - 1);
        ns = big_endian(p, 8) >> 34;
        break;
    case 12:
        ns = big_endian(p, 4);
        seconds = big_endian(p + 4, 8);
        break;
    default: return false;
    }
    if ((int64_t)seconds > far || (int64_t)seconds < -far)
        rc_buf_putz(out, "null");
    else
        put_date(out, (int64_t)seconds * 1000 + (int64_t)(ns / 1000000));
    return true;
}

/* p is at the type, which len counts. The parser gives type 0 three meanings, by the length and by
 * how that is written; any other type is a pair of the type and bytes to it. */
static int unpack_ext(struct reader *r, const char *base, const char *p, uint32_t len,
                      bool *undefined)
{
    unsigned head, type;
    bool fixed;
    int rc;

    (void)base;
    if (len == 0) /* msgpack-c wraps the length 2^32 - 1 */
        return broken(r);
    rc = before(r, KIND_OTHER, undefined);
    if (rc != 0)
        return rc;
    type = (uint8_t)*p++;
    len--;
    head = (uint8_t)p[-2];
    fixed = head >= 0xd4 && head <= 0xd8 && len == 1u << (head - 0xd4);
    if (type == 0 && fixed && len == 1) {
        *undefined = r->level[r->depth - 1].map;
        if (!*undefined)
            rc_buf_putz(r->out, "null");
        return 0;
    }
    if (type == 0 && fixed && len == 8) {
        put_date(r->out, (int64_t)big_endian(p, 8));
        return 0;
    }
    if (type == 0xff && r->bus && put_timestamp(r->out, p, len))
        return 0;
    if (type == 0 && !fixed) /* ArrayBuffer */
        return put_attachment(r, len != 0 ? p : NULL, len);
    rc_buf_printf(r->out, "[%d,", (int8_t)type);
    rc = put_attachment(r, len != 0 ? p : NULL, len);
    rc_buf_putc(r->out, ']');
    return rc;
}

static int open_level(struct reader *r, uint32_t n, bool map, bool *undefined)
{
    *undefined = false;
    if (r->depth != 0 || !map) {
        int rc = before(r, KIND_OTHER, undefined);

        if (rc != 0)
            return rc;
        if (r->depth >= r->max_depth)
            return fail(r, RC_ELIMIT, "json_depth");
        rc_buf_putc(r->out, map ? '{' : '[');
        if (n == 0)
            rc_buf_putc(r->out, map ? '}' : ']');
    }
    if (n != 0)
        r->level[r->depth++] = (struct level){.left = n, .map = map};
    return 0;
}

static int unpack_array(struct reader *r, uint32_t n, bool *undefined)
{
    return open_level(r, n, false, undefined);
}

static int unpack_map(struct reader *r, uint32_t n, bool *undefined)
{
    return open_level(r, n, true, undefined);
}

/* An item of the innermost level is complete. */
static int unpack_array_item(struct reader *r, const bool *array, bool item)
{
    (void)array;
    (void)item;
    if (--r->level[r->depth - 1].left == 0) {
        rc_buf_putc(r->out, ']');
        r->depth--;
    }
    return 0;
}

static int unpack_map_item(struct reader *r, const bool *map, bool key, bool undefined)
{
    struct level *lv = &r->level[r->depth - 1];

    (void)map;
    (void)key;
    if (r->depth == 1) {
        if (end_field(r, undefined) != 0)
            return UNPACK_ERROR;
    } else if (undefined) {
        r->out->len = lv->mark;
    } else {
        lv->any = true;
    }
    lv->value = false;
    if (--lv->left == 0) {
        if (r->depth > 1)
            rc_buf_putc(r->out, '}');
        r->depth--;
    }
    return 0;
}

static bool unpack_root(const struct reader *r)
{
    (void)r;
    return false;
}

#define unpack_uint8  unpack_uint64
#define unpack_uint16 unpack_uint64
#define unpack_uint32 unpack_uint64
#define unpack_int8   unpack_int64
#define unpack_int16  unpack_int64
#define unpack_int32  unpack_int64
#define unpack_float  unpack_double

#undef MSGPACK_EMBED_STACK_SIZE
#define MSGPACK_EMBED_STACK_SIZE       (LEVELS + 1) /* one more: the limit is ours to tell */
#define msgpack_unpack_struct(name)    struct unpack##name
#define msgpack_unpack_func(ret, name) static inline ret unpack##name
#define msgpack_unpack_callback(name)  unpack##name
#define msgpack_unpack_object          bool /* is it undefined? */
#define msgpack_unpack_user            struct reader
#include <msgpack/unpack_define.h>
#include <msgpack/unpack_template.h>

/* ---- the text ---- */

/* Writes the head before the data, where room was left for it. */
static int finish(struct reader *r)
{
    struct rc_msgpack_packet *packet = r->packet;
    size_t data = r->end != 0 ? r->end - r->start : 0, mark = r->out->len;
    enum rc_sio_type type = (enum rc_sio_type)r->type;
    struct rc_str head;

    if (r->bus && r->nsp.p == NULL)
        r->nsp = RC_STR("/");
    if (r->type < 0 || r->nsp.len == 0 || r->nsp.p[0] != '/' ||
        memchr(r->nsp.p, ',', r->nsp.len) != NULL)
        return broken(r);
    if (r->nsp.len > r->lim->max_nsp)
        return fail(r, RC_ELIMIT, "max_namespace_length");
    /* Text has no other border between the head and the data. */
    if (data != 0 && memchr("[{\"", r->out->data[r->start], 3) == NULL)
        return broken(r);
    if (packet->nattachments != 0) {
        if (type != RC_SIO_EVENT && type != RC_SIO_ACK)
            return broken(r);
        type = type == RC_SIO_EVENT ? RC_SIO_BINARY_EVENT : RC_SIO_BINARY_ACK;
    }
    rc_sio_put_head(r->out, type, packet->nattachments, r->nsp, r->has_id, r->id);
    if (r->out->failed || r->out->len - mark - 1 + data > r->lim->max_text)
        return fail(r, RC_ELIMIT, "max_payload");
    head = rc_str_skip(rc_buf_str(r->out), mark + 1); /* without the '4' of Engine.IO */
    memcpy(r->out->data + r->start - head.len, head.p, head.len);
    packet->text = rc_str_make(r->out->data + r->start - head.len, head.len + data);
    return 0;
}

static int decode(struct rc_str message, const struct rc_sio_limits *lim, struct rc_buf *buf,
                  bool bus, struct rc_msgpack_packet *out, const char **why)
{
    struct unpack_context ctx;
    struct reader *r = &ctx.user;
    size_t used = 0;

    /* Not an initializer: it would clear all the levels. */
    r->lim = lim;
    r->out = buf;
    r->packet = out;
    r->bus = bus;
    r->rc = RC_EPROTO; /* unless a callback says otherwise: no MessagePack, or cut off */
    r->why = NULL;
    r->depth = 0;
    r->max_depth = 1 + (lim->max_depth < DEPTH_CAP ? lim->max_depth : DEPTH_CAP);
    r->string = r->nsp = RC_STR_NONE;
    r->field = FIELD_OTHER;
    r->kept = 0;
    r->start = lim->max_nsp + HEAD_MAX;
    r->end = 0;
    r->type = -1;
    r->has_id = false;
    r->id = 0;
    *why = NULL;
    out->nattachments = 0;
    rc_buf_reset(buf);
    buf->max = 2 * r->start + lim->max_text + NUL;
    unpack_init(&ctx);
    if (message.len == 0)
        return RC_EPROTO;
    if (rc_buf_reserve(buf, r->start) == NULL) {
        *why = "max_payload";
        return RC_ELIMIT;
    }
    buf->len = r->start;
    if (unpack_execute(&ctx, message.p, message.len, &used) == 1 && used == message.len &&
        finish(r) == 0)
        return RC_OK;
    *why = r->why;
    return r->rc;
}

int rc_msgpack_decode(struct rc_str message, const struct rc_sio_limits *lim,
                      struct rc_buf *buf, struct rc_msgpack_packet *out, const char **why)
{
    return decode(message, lim, buf, false, out, why);
}

int rc_msgpack_decode_bus(struct rc_str message, const struct rc_sio_limits *lim,
                          struct rc_buf *buf, struct rc_msgpack_packet *out, const char **why)
{
    return decode(message, lim, buf, true, out, why);
}

/* compress.c - Accept-Encoding (RFC 9110 section 12.5.3), and zlib's streams kept for reuse:
 * setting one up costs more than compressing a short body. */
#include "rc/net/compress.h"

#include "rc/base/mem.h"
#include "rc/base/thread.h"

#include "http_int.h"

#include <stdlib.h>

#define ZLIB_CONST
#include <zlib.h>

enum { CODINGS = 3 };

static const char *const names[CODINGS] = {"", "gzip", "deflate"};

const char *rc_coding_name(enum rc_coding coding)
{
    return names[coding];
}

/* ---- Accept-Encoding ---- */

enum { Q_ONE = 1000000 };

/* A weight in millionths, as a number with or without a fraction; what follows is not looked
 * at. 0 also when it is no number. */
static unsigned parse_q(struct rc_str s)
{
    unsigned q = 0, unit = Q_ONE;
    size_t i = 0;

    for (; i < s.len && (uint8_t)(s.p[i] - '0') < 10; i++)
        q = q < 100 ? q * 10 + (unsigned)(s.p[i] - '0') : q;
    q *= Q_ONE;
    if (i < s.len && s.p[i] == '.')
        for (i++; i < s.len && (uint8_t)(s.p[i] - '0') < 10; i++) {
            unit /= 10;
            q += unit * (unsigned)(s.p[i] - '0');
        }
    return q;
}

/* How well an element of the header fits a coding. */
struct fit {
    bool exact; /* by name, not by * */
    unsigned q;
    unsigned at; /* place in the header, from 1 on; 0: it does not fit */
};

/* The parameters of an element, after its first semicolon. */
static unsigned weight(struct rc_str params)
{
    struct rc_str param, name;

    while (rc_http_split(&params, ';', &param)) {
        param = rc_http_trim(param);
        (void)rc_http_split(&param, '=', &name);
        if (rc_str_eq(name, RC_STR("q")))
            return parse_q(rc_http_trim(param));
    }
    return Q_ONE;
}

static bool fit_of(struct rc_str element, enum rc_coding coding, struct fit *fit)
{
    struct rc_str params = element, name;

    (void)rc_http_split(&params, ';', &name);
    name = rc_http_trim(name);
    if (name.len == 0 || memchr(name.p, ' ', name.len) != NULL ||
        memchr(name.p, '\t', name.len) != NULL)
        return false;
    fit->exact = rc_str_ieq(name, rc_str_of(names[coding]));
    fit->q = weight(params);
    return fit->exact || rc_str_eq(name, RC_STR("*"));
}

/* The element that decides: by name before *, then the greater weight, then the last. */
static struct fit best_fit(const struct rc_http_req *req, enum rc_coding coding)
{
    struct fit best = {.at = 0}, fit;
    struct rc_str list, element;
    unsigned at = 0;

    for (unsigned i = 0; i < req->nheaders; i++) {
        if (!rc_str_ieq(req->headers[i].name, RC_STR("Accept-Encoding")))
            continue;
        list = req->headers[i].value;
        while (rc_http_split(&list, ',', &element)) {
            fit.at = ++at;
            if (!fit_of(element, coding, &fit))
                continue;
            if (best.at == 0 || fit.exact > best.exact ||
                (fit.exact == best.exact && fit.q >= best.q))
                best = fit;
        }
    }
    return best;
}

static bool better(const struct fit *a, const struct fit *b)
{
    if (a->q != b->q)
        return a->q > b->q;
    if (a->exact != b->exact)
        return a->exact;
    return a->at < b->at;
}

enum rc_coding rc_coding_choose(const struct rc_http_req *req, bool with_deflate)
{
    enum rc_coding last = with_deflate ? RC_CODING_DEFLATE : RC_CODING_GZIP;
    enum rc_coding chosen = RC_CODING_NONE;
    struct fit best = {.at = 0};

    if (req->accept_encoding.p == NULL)
        return RC_CODING_NONE;
    for (enum rc_coding c = RC_CODING_GZIP; c <= last; c++) {
        struct fit fit = best_fit(req, c);

        if (fit.at != 0 && fit.q != 0 && (chosen == RC_CODING_NONE || better(&fit, &best))) {
            best = fit;
            chosen = c;
        }
    }
    return chosen;
}

/* ---- zlib ---- */

struct rc_compressor {
    struct {
        z_stream z;
        int level; /* 0: not set up */
    } stream[CODINGS];
};

struct rc_compressor *rc_compressor_new(void)
{
    return rc_calloc(1, sizeof(struct rc_compressor));
}

void rc_compressor_free(struct rc_compressor *z)
{
    if (z == NULL)
        return;
    for (unsigned i = 0; i < CODINGS; i++)
        if (z->stream[i].level != 0)
            (void)deflateEnd(&z->stream[i].z);
    free(z);
}

static int set_up(struct rc_compressor *z, enum rc_coding coding, int level)
{
    int bits = coding == RC_CODING_GZIP ? MAX_WBITS + 16 : MAX_WBITS;
    z_stream *s = &z->stream[coding].z;

    if (z->stream[coding].level == level)
        return deflateReset(s);
    if (z->stream[coding].level != 0)
        (void)deflateEnd(s);
    z->stream[coding].level = 0;
    memset(s, 0, sizeof(*s));
    if (deflateInit2(s, level, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return Z_MEM_ERROR;
    z->stream[coding].level = level;
    return Z_OK;
}

int rc_compress(struct rc_compressor *z, enum rc_coding coding, int level, struct rc_str body,
                struct rc_buf *out)
{
    z_stream *s = &z->stream[coding].z;
    uLong bound;

    RC_ASSERT(coding != RC_CODING_NONE && body.len <= UINT32_MAX / 2);
    if (set_up(z, coding, level) != Z_OK)
        return RC_ENOMEM;
    bound = deflateBound(s, (uLong)body.len);
    s->next_out = rc_buf_reserve(out, bound);
    if (s->next_out == NULL)
        return RC_ENOMEM;
    s->avail_out = (uInt)bound;
    s->next_in = (const Bytef *)body.p;
    s->avail_in = (uInt)body.len;
    if (deflate(s, Z_FINISH) != Z_STREAM_END) /* there is room for all of it: never */
        return RC_ENOMEM;
    out->len += bound - s->avail_out;
    return RC_OK;
}

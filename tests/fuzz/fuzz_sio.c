/* What was parsed is put together again and parses to the same; slices lie in the text and are
 * JSON; a packet that lost its last byte is none. */
#include "rc/base/utf8.h"
#include "rc/proto/json.h"
#include "rc/proto/sio.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(c)     \
    do {             \
        if (!(c))    \
            abort(); \
    } while (0)

static const struct rc_sio_limits limits = {.max_depth = 16,
                                            .max_attachments = 10,
                                            .max_args = 6,
                                            .max_nsp = 24,
                                            .max_event = 24};

static void check_inside(struct rc_str part, struct rc_str text)
{
    CHECK(part.len == 0 || (part.p >= text.p && part.p + part.len <= text.p + text.len));
}

static void check_value(struct rc_str s)
{
    struct rc_json_walk w = {.max_depth = 16};

    CHECK(s.len != 0 && rc_json_validate(s, &w) == RC_OK);
    CHECK(rc_json_type(s) != RC_JSON_INVALID);
}

static void check_slices(const struct rc_sio_packet *p, struct rc_str text)
{
    struct rc_buf b = RC_BUF_INIT;
    struct rc_json_walk w = {.max_depth = 17};
    unsigned i;

    check_inside(p->data, text);
    check_inside(p->event, p->data);
    check_inside(p->args_raw, p->data);
    CHECK(p->nargs <= limits.max_args);
    for (i = 0; i < p->nargs; i++) {
        check_inside(p->args[i], p->args_raw);
        check_value(p->args[i]);
    }
    rc_buf_putc(&b, '[');
    rc_buf_puts(&b, p->args_raw);
    rc_buf_putc(&b, ']');
    CHECK(rc_json_array(rc_buf_str(&b), NULL, 0, &w) == (int)p->nargs);
    rc_buf_deinit(&b);
    if (p->type == RC_SIO_EVENT || p->type == RC_SIO_BINARY_EVENT) {
        check_value(p->event);
        CHECK(!rc_json_string_eq(p->event, RC_STR("disconnect")));
    } else {
        CHECK(p->event.len == 0);
    }
}

static void check_same(const struct rc_sio_packet *a, const struct rc_sio_packet *b)
{
    unsigned i;

    CHECK(a->type == b->type && a->attachments == b->attachments && a->nargs == b->nargs);
    CHECK(a->has_id == b->has_id && a->id == b->id);
    CHECK(a->placeholder_seen == b->placeholder_seen);
    CHECK(rc_str_eq(a->nsp, b->nsp) && rc_str_eq(a->data, b->data));
    CHECK(rc_str_eq(a->event, b->event) && rc_str_eq(a->args_raw, b->args_raw));
    for (i = 0; i < a->nargs; i++)
        CHECK(rc_str_eq(a->args[i], b->args[i]));
}

/* With a query behind the name the packet is the same but for the name, and the query is a JSON
 * object whatever it is made of. */
static void check_query(struct rc_str text, const struct rc_sio_packet *p, int rc)
{
    struct rc_sio_limits old = limits;
    struct rc_json_walk w = {.max_depth = 1};
    struct rc_buf json = RC_BUF_INIT;
    struct rc_sio_packet q;
    const char *why;

    old.nsp_query = true;
    if (rc_sio_parse(text, &old, &q, &why) != RC_OK) {
        CHECK(rc != RC_OK);
        return;
    }
    check_inside(q.query, text);
    CHECK(memchr(q.nsp.p, '?', q.nsp.len) == NULL && memchr(q.nsp.p, '#', q.nsp.len) == NULL);
    if (rc == RC_OK) {
        CHECK(rc_str_starts(p->nsp, q.nsp));
        q.nsp = p->nsp;
        check_same(p, &q);
    }
    rc_sio_put_query(&json, q.query);
    CHECK(rc_utf8_valid(rc_buf_str(&json)));
    CHECK(rc_json_type(rc_buf_str(&json)) == RC_JSON_OBJECT);
    CHECK(rc_json_validate(rc_buf_str(&json), &w) == RC_OK);
    rc_buf_deinit(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rc_str text = rc_str_make(data, size);
    struct rc_sio_packet p, q;
    struct rc_buf b = RC_BUF_INIT;
    const char *why = "unset";
    int rc = rc_sio_parse(text, &limits, &p, &why);

    CHECK(rc == RC_OK || rc == RC_EPROTO || rc == RC_ELIMIT);
    CHECK((rc == RC_ELIMIT) == (why != NULL));
    check_query(text, &p, rc);
    if (rc != RC_OK)
        return 0;
    CHECK(p.nsp.len != 0 && p.nsp.p[0] == '/' && p.nsp.len <= limits.max_nsp);
    CHECK(p.attachments == 0 || p.type >= RC_SIO_BINARY_EVENT);
    CHECK((p.placeholder_seen >> p.attachments) == 0);
    check_slices(&p, text);

    rc_sio_put_head(&b, p.type, p.attachments, p.nsp, p.has_id, p.id);
    rc_buf_puts(&b, p.data);
    CHECK(rc_sio_parse(rc_str_skip(rc_buf_str(&b), 1), &limits, &q, &why) == RC_OK);
    check_same(&p, &q);
    if (p.data.len != 0) {
        CHECK(rc_sio_parse(rc_str_make(b.data + 1, b.len - 2), &limits, &q, &why) != RC_OK);
        rc_buf_putc(&b, '0');
        CHECK(rc_sio_parse(rc_str_skip(rc_buf_str(&b), 1), &limits, &q, &why) != RC_OK);
    }
    rc_buf_deinit(&b);
    return 0;
}

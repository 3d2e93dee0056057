/* A message of a json client: whatever is taken for an event becomes a packet that Socket.IO takes,
 * and that packet a message which says the same. */
#include "rc/base/utf8.h"
#include "rc/proto/json.h"
#include "rc/proto/plain.h"
#include "rc/proto/sio.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(c)     \
    do {             \
        if (!(c))    \
            abort(); \
    } while (0)

enum { DEPTH = 16 };

static const struct rc_sio_limits limits = {.max_depth = DEPTH + 8,
                                            .max_args = RC_SIO_ARGS_MAX,
                                            .max_nsp = 100,
                                            .max_event = 1 << 20};

static void put_packet(const struct rc_plain *m, struct rc_buf *to)
{
    struct rc_buf args = RC_BUF_INIT;

    rc_plain_put_args(m, &args);
    rc_sio_put_head(to, RC_SIO_EVENT, 0, RC_STR("/n"), m->has_ack, m->ack);
    rc_buf_putc(to, '[');
    rc_buf_puts(to, m->type);
    if (args.len != 0)
        rc_buf_putc(to, ',');
    rc_buf_puts(to, rc_buf_str(&args));
    rc_buf_putc(to, ']');
    rc_buf_deinit(&args);
}

/* The packet as a message is a JSON object: unless it is a question, one that says the same. */
static void check_back(const struct rc_plain *m, struct rc_str packet, bool untyped)
{
    static const struct rc_str name = {"a", 1};
    static const struct rc_plain_untyped list = {.nsp = {"/n", 2}, .event = &name, .n = 1};
    struct rc_json_walk w = {.max_depth = DEPTH + 8};
    struct rc_buf text = RC_BUF_INIT, a = RC_BUF_INIT, b = RC_BUF_INIT;
    struct rc_plain back;

    rc_plain_encode(packet, NULL, &list, untyped, &text);
    CHECK(rc_json_validate(rc_buf_str(&text), &w) == RC_OK);
    CHECK(rc_json_type(rc_buf_str(&text)) == RC_JSON_OBJECT);
    if (!untyped && !m->has_ack && m->args.len == 0 &&
        rc_json_get(m->whole, RC_STR("args")).len == 0) {
        CHECK(rc_plain_parse(rc_buf_str(&text), DEPTH + 8, &back) == RC_PLAIN_NONE);
        CHECK(rc_str_eq(back.type, m->type) && !back.has_ack && back.kind == m->kind);
        rc_plain_put_args(m, &a);
        rc_plain_put_args(&back, &b);
        CHECK(rc_str_eq(rc_buf_str(&a), rc_buf_str(&b)));
    }
    rc_buf_deinit(&text);
    rc_buf_deinit(&a);
    rc_buf_deinit(&b);
}

static void check_message(struct rc_str text)
{
    enum rc_plain_fault fault;
    struct rc_json_walk w = {.max_depth = DEPTH};
    struct rc_buf packet = RC_BUF_INIT;
    struct rc_sio_packet p;
    struct rc_plain m;
    const char *why;
    int rc;

    fault = rc_plain_parse(text, DEPTH, &m);
    rc = rc_json_validate(text, &w);
    CHECK((fault == RC_PLAIN_DEPTH) == (rc == RC_ELIMIT));
    CHECK(rc == RC_OK || fault != RC_PLAIN_NONE);
    CHECK(fault == RC_PLAIN_NONE || rc_plain_fault_code(fault)[0] != '\0');
    if (fault != RC_PLAIN_NONE || m.kind != RC_PLAIN_EVENT)
        return;
    put_packet(&m, &packet);
    rc = rc_sio_parse(rc_str_skip(rc_buf_str(&packet), 1), &limits, &p, &why);
    CHECK(rc != RC_EPROTO || rc_sio_event_reserved(m.type));
    if (rc == RC_OK) {
        CHECK(rc_str_eq(p.event, m.type) && p.has_id == m.has_ack && p.id == m.ack);
        CHECK(m.args.len != 0 || p.nargs == 1);
        check_back(&m, rc_str_skip(rc_buf_str(&packet), 1), false);
        check_back(&m, rc_str_skip(rc_buf_str(&packet), 1), true);
    }
    rc_buf_deinit(&packet);
}

/* A packet of the server's with attachments. */
static void check_packet(struct rc_str text)
{
    static const struct rc_str attachment[RC_SIO_ATTACHMENTS_MAX] = {{"x", 1}, {"yz", 2}};
    const struct rc_sio_limits lim = {.max_depth = DEPTH,
                                      .max_attachments = RC_SIO_ATTACHMENTS_MAX,
                                      .max_args = RC_SIO_ARGS_MAX,
                                      .max_nsp = 100,
                                      .max_event = 1 << 20};
    struct rc_json_walk w = {.max_depth = DEPTH + 8};
    struct rc_buf out = RC_BUF_INIT;
    struct rc_sio_packet p;
    const char *why;

    if (rc_sio_parse(text, &lim, &p, &why) != RC_OK || p.data.len == 0)
        return;
    if (p.type == RC_SIO_CONNECT_ERROR && rc_json_type(p.data) != RC_JSON_OBJECT)
        return; /* ours have an object */
    rc_plain_encode(text, attachment, NULL, 0, &out);
    CHECK(rc_json_validate(rc_buf_str(&out), &w) == RC_OK);
    CHECK(rc_utf8_valid(rc_buf_str(&out)));
    CHECK(rc_json_type(rc_buf_str(&out)) == RC_JSON_OBJECT);
    rc_buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rc_str text = rc_str_make(data, size);

    if (!rc_utf8_valid(text))
        return 0;
    check_message(text);
    check_packet(text);
    return 0;
}

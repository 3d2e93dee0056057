/* Both ways. A message that was read is a packet, or the text's own rules refuse it; as text it is
 * the same after another round; what is shorter is no message. A packet of text becomes a message
 * that reads as the same packet. */
#include "rc/base/utf8.h"
#include "rc/proto/json.h"
#include "rc/proto/msgpack.h"

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
                                            .max_event = 24,
                                            .max_text = 4096};

static int decode(struct rc_str message, struct rc_buf *buf, struct rc_msgpack_packet *m)
{
    const char *why = "unset";
    int rc = rc_msgpack_decode(message, &limits, buf, m, &why);

    CHECK(rc == RC_OK || rc == RC_EPROTO || rc == RC_ELIMIT);
    CHECK((rc == RC_ELIMIT) == (why != NULL));
    return rc;
}

static void check_slices(const struct rc_msgpack_packet *m, struct rc_str message)
{
    CHECK(m->text.len != 0 && m->text.len <= limits.max_text);
    CHECK(rc_utf8_valid(m->text));
    CHECK(m->nattachments <= limits.max_attachments);
    for (unsigned i = 0; i < m->nattachments; i++) {
        struct rc_str a = m->attachment[i];

        CHECK(a.len == 0 || (a.p >= message.p && a.p + a.len <= message.p + message.len));
    }
}

/* Forth and back does not change what has been there once: not the text, unless it has maps that
 * only look like placeholders, and not the attachments. */
static void check_round(const struct rc_msgpack_packet *m)
{
    struct rc_buf bytes = RC_BUF_INIT, again = RC_BUF_INIT, text = RC_BUF_INIT;
    struct rc_msgpack_packet n;

    CHECK(rc_msgpack_encode(m->text, m->attachment, m->nattachments, &bytes) == RC_OK);
    if (decode(rc_buf_str(&bytes), &text, &n) == RC_OK) {
        check_slices(&n, rc_buf_str(&bytes));
        CHECK(rc_msgpack_encode(n.text, n.attachment, n.nattachments, &again) == RC_OK);
        CHECK(rc_str_eq(rc_buf_str(&bytes), rc_buf_str(&again)));
        if (m->nattachments == 0)
            CHECK(rc_str_eq(m->text, n.text));
    }
    rc_buf_deinit(&bytes);
    rc_buf_deinit(&again);
    rc_buf_deinit(&text);
}

static void check_message(struct rc_str message)
{
    struct rc_buf text = RC_BUF_INIT, shorter = RC_BUF_INIT;
    struct rc_msgpack_packet m, n;
    struct rc_sio_packet p;
    const char *why;

    if (decode(message, &text, &m) == RC_OK) {
        check_slices(&m, message);
        CHECK(decode(rc_str_make(message.p, message.len - 1), &shorter, &n) == RC_EPROTO);
        CHECK(decode(rc_str_make(message.p, message.len / 2), &shorter, &n) == RC_EPROTO);
        if (rc_sio_parse(m.text, &limits, &p, &why) == RC_OK) {
            CHECK(p.attachments == m.nattachments);
            check_round(&m);
        }
    }
    rc_buf_deinit(&text);
    rc_buf_deinit(&shorter);
}

static void check_text(struct rc_str text)
{
    static const struct rc_str attachment[RC_SIO_ATTACHMENTS_MAX] = {{"one", 3}, {"two", 3}};
    struct rc_buf bytes = RC_BUF_INIT, buf = RC_BUF_INIT;
    struct rc_msgpack_packet m;
    struct rc_sio_packet p, q;
    const char *why;
    int rc;

    if (!rc_utf8_valid(text) || rc_sio_parse(text, &limits, &p, &why) != RC_OK)
        return;
    CHECK(rc_msgpack_encode(text, attachment, p.attachments, &bytes) == RC_OK);
    rc = decode(rc_buf_str(&bytes), &buf, &m);
    /* One attachment may have had many placeholders, and escapes are longer than some bytes. */
    if (rc == RC_OK && rc_json_type(p.event) != RC_JSON_NUMBER) {
        if (rc_sio_parse(m.text, &limits, &q, &why) == RC_OK) {
            CHECK(q.type % 3 == p.type % 3 && q.nargs == p.nargs);
            CHECK(q.has_id == p.has_id && q.id == p.id && rc_str_eq(q.nsp, p.nsp));
        } else {
            CHECK(why != NULL || p.placeholder_seen != 0); /* decoded names may be longer */
        }
    }
    CHECK(rc != RC_EPROTO);
    rc_buf_deinit(&bytes);
    rc_buf_deinit(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_message(rc_str_make(data, size));
    check_text(rc_str_make(data, size));
    return 0;
}

/* Messages and requests of other nodes. A broadcast that was read is a packet of text that clients can be sent, and what
 * we write of it reads as the same; what is shorter is none. */
#include "rc/base/utf8.h"
#include "rc/cluster/entry.h"
#include "rc/cluster/item.h"
#include "rc/cluster/wire.h"
#include "rc/proto/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(c)     \
    do {             \
        if (!(c))    \
            abort(); \
    } while (0)

static void check_same(const struct rc_bus_message *a, const struct rc_bus_message *b)
{
    CHECK(rc_str_eq(rc_buf_str(&a->to.rooms.bytes), rc_buf_str(&b->to.rooms.bytes)));
    CHECK(rc_str_eq(rc_buf_str(&a->to.except.bytes), rc_buf_str(&b->to.except.bytes)));
    CHECK(a->to.rooms.n == b->to.rooms.n && a->to.except.n == b->to.except.n);
    CHECK(a->is_volatile == b->is_volatile);
    CHECK(rc_str_eq(a->to.nsp, b->to.nsp));
}

static void check_message(const struct rc_bus_message *m)
{
    struct rc_str rest = rc_buf_str(&m->to.rooms.bytes), name;
    uint32_t n = 0;

    while (rc_bus_list_next(&rest, &name))
        n++;
    CHECK(n == m->to.rooms.n && rest.len == 0);
    CHECK(rc_utf8_valid(m->text));
    CHECK(m->nattachments <= RC_SIO_ATTACHMENTS_MAX);
    CHECK(m->to.nsp.len != 0 && m->to.nsp.p[0] == '/');
}

static void check_broadcast(struct rc_str bytes)
{
    struct rc_wire_reader r, r2;
    struct rc_bus_message m = {.nattachments = 0}, m2 = {.nattachments = 0};
    struct rc_buf out = RC_BUF_INIT, again = RC_BUF_INIT;
    struct rc_str uid, uid2;

    rc_wire_reader_init(&r);
    rc_wire_reader_init(&r2);
    if (rc_wire_read_broadcast(&r, bytes, &uid, &m) == RC_OK) {
        check_message(&m);
        CHECK(rc_wire_put_broadcast(&out, uid, &m) == RC_OK);
        /* It may be another text: maps that only look like placeholders; reserved numbers. */
        CHECK(rc_wire_read_broadcast(&r2, rc_buf_str(&out), &uid2, &m2) == RC_OK);
        CHECK(rc_str_eq(uid, uid2));
        check_same(&m, &m2);
        CHECK(rc_wire_put_broadcast(&again, uid2, &m2) == RC_OK);
        CHECK(rc_str_eq(rc_buf_str(&out), rc_buf_str(&again)));
    }
    rc_bus_message_deinit(&m);
    rc_bus_message_deinit(&m2);
    rc_wire_reader_deinit(&r);
    rc_wire_reader_deinit(&r2);
    rc_buf_deinit(&out);
    rc_buf_deinit(&again);
}

/* Half of it is none; but JSON may be followed by spaces. */
static bool is_padded(struct rc_str bytes)
{
    return bytes.len >= 2 && (bytes.p[0] == '{' && bytes.p[bytes.len - 1] != '}');
}

/* A request is one that is known, has what it is about, and is none when it is shorter. */
static void check_request(struct rc_str bytes)
{
    struct rc_wire_request q = {.close = false};
    struct rc_wire_reader r;

    rc_wire_reader_init(&r);
    if (rc_wire_read_request(&r, bytes, &q) == RC_OK) {
        CHECK(q.type <= RC_WIRE_BROADCAST);
        CHECK(rc_utf8_valid(rc_buf_str(&q.id)));
        if (q.type == RC_WIRE_BROADCAST)
            check_message(&q.m);
        CHECK(is_padded(bytes) ||
              rc_wire_read_request(&r, rc_str_make(bytes.p, bytes.len / 2), &q) != RC_OK);
    }
    rc_wire_request_deinit(&q);
    rc_wire_reader_deinit(&r);
}

/* An answer is JSON that refers to no more than it has; it is none when it is shorter. */
static void check_response(struct rc_str bytes)
{
    struct rc_wire_response a = {.count = 0};
    struct rc_wire_reader r;

    rc_wire_reader_init(&r);
    if (rc_wire_read_response(&r, bytes, &a) == RC_OK) {
        CHECK(a.type == RC_WIRE_CLIENT_COUNT || a.type == RC_WIRE_BROADCAST_ACK ||
              a.type == RC_WIRE_NO_TYPE);
        if (a.type == RC_WIRE_BROADCAST_ACK) {
            struct rc_json_walk walk = {
                .max_depth = 1024, .placeholders = true, .attachments = a.nattachments};
            struct rc_str one;

            CHECK(rc_json_array(a.args, &one, 1, &walk) == 1);
            CHECK(!walk.placeholder_bad &&
                  walk.placeholder_seen == (uint32_t)((UINT64_C(1) << a.nattachments) - 1));
        }
        CHECK(is_padded(bytes) ||
              rc_wire_read_response(&r, rc_str_make(bytes.p, bytes.len / 2), &a) != RC_OK);
    }
    rc_wire_response_deinit(&a);
    rc_wire_reader_deinit(&r);
}

/* An item is what its head says, and all of it is there; one that is cut off is none. */
static void check_items(struct rc_str rest)
{
    while (rest.len != 0) {
        struct rc_str before = rest, whole = rc_item_whole(&rest), cut;

        if (whole.len == 0)
            break;
        CHECK(whole.p == before.p && whole.len + rest.len == before.len);
        cut = rc_str_make(whole.p, whole.len - 1);
        CHECK(rc_item_whole(&cut).len == 0);
    }
}

/* What was read of a stream is what clients can be sent, and what we write of it reads as the same. */
static void check_entry(struct rc_str bytes)
{
    const struct rc_str nsp = RC_STR("/chat");
    struct rc_entry_reader r, r2;
    struct rc_bus_message m = {.nattachments = 0}, m2 = {.nattachments = 0};
    struct rc_wire_request q = {.close = false};
    struct rc_wire_response a = {.count = 0};
    struct rc_buf out = RC_BUF_INIT;

    rc_entry_reader_init(&r);
    rc_entry_reader_init(&r2);
    if (rc_entry_read_broadcast(&r, nsp, bytes, &m) == RC_OK) {
        check_message(&m);
        CHECK(rc_str_eq(m.to.nsp, nsp));
        CHECK(rc_entry_put_broadcast(&out, &m) == RC_OK);
        CHECK(rc_entry_read_broadcast(&r2, nsp, rc_buf_str(&out), &m2) == RC_OK);
        check_same(&m, &m2);
    }
    if (rc_entry_read_request(&r, nsp, bytes, &q) == RC_OK) {
        CHECK(q.type >= RC_WIRE_REMOTE_JOIN && q.type <= RC_WIRE_BROADCAST);
        CHECK(rc_utf8_valid(rc_buf_str(&q.id)));
        if (q.type == RC_WIRE_BROADCAST)
            check_message(&q.m);
        if ((uint8_t)bytes.p[0] >= 0x80) /* behind JSON there may be spaces */
            CHECK(rc_entry_read_request(&r, nsp, rc_str_make(bytes.p, bytes.len - 1), &q) !=
                  RC_OK);
    }
    if (rc_entry_read_response(&r, bytes, &a) == RC_OK && a.type == RC_WIRE_BROADCAST_ACK)
        CHECK(rc_utf8_valid(a.args) && a.nattachments <= RC_SIO_ATTACHMENTS_MAX);
    rc_wire_response_deinit(&a);
    rc_wire_request_deinit(&q);
    rc_bus_message_deinit(&m);
    rc_bus_message_deinit(&m2);
    rc_entry_reader_deinit(&r);
    rc_entry_reader_deinit(&r2);
    rc_buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rc_str bytes = rc_str_make(data, size);

    check_items(bytes);
    check_broadcast(bytes);
    check_request(bytes);
    check_response(bytes);
    check_entry(bytes);
    return 0;
}

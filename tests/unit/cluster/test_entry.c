#include "vectors.h"

#include "rc/base/b64.h"
#include "rc/cluster/entry.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct vector {
    int kind; /* 3: data of a broadcast; 4 to 6: a move; 7, 9, 30: hex of what is published */
    const char *nsp, *bytes, *text, *attachments, *id, *rooms, *except, *moved;
    bool flag, exact;
};
static const struct vector vectors[] = {
#include "entry_vectors.inc"
};
enum { VECTORS = sizeof(vectors) / sizeof(vectors[0]) };

static void check_packet(const struct rc_bus_message *m, const struct vector *v)
{
    cr_assert(rc_str_eq(m->text, rc_str_of(v->text)), "%.*s", RC_STR_ARG(m->text));
    cr_assert(rc_str_eq(m->to.nsp, rc_str_of(v->nsp)));
    vectors_check_attachments(m, v->attachments);
}

static void check_target(const struct rc_bus_message *m, const struct vector *v)
{
    vectors_check_list(&m->to.rooms, v->rooms);
    vectors_check_list(&m->to.except, v->except);
}

static void check_broadcast(struct rc_entry_reader *r, const struct vector *v)
{
    struct rc_bus_message m = {.nattachments = 0}, again = {.nattachments = 0};
    struct rc_str nsp = rc_str_of(v->nsp), data = rc_str_of(v->bytes);
    struct rc_entry_reader r2;
    struct rc_buf back = RC_BUF_INIT;

    cr_assert_eq(rc_entry_read_broadcast(r, nsp, data, &m), RC_OK, "%s", v->bytes);
    check_packet(&m, v);
    check_target(&m, v);
    cr_assert_eq(m.is_volatile, v->flag);
    cr_assert_eq(rc_entry_put_broadcast(&back, &m), RC_OK);
    if (v->exact)
        cr_assert(rc_str_eq(rc_buf_str(&back), data), "%.*s", RC_STR_ARG(rc_buf_str(&back)));
    rc_entry_reader_init(&r2);
    cr_assert_eq(rc_entry_read_broadcast(&r2, nsp, rc_buf_str(&back), &again), RC_OK);
    check_packet(&again, v);
    check_target(&again, v);
    for (size_t n = 0; n < data.len && data.len < 2000; n++)
        cr_assert_neq(rc_entry_read_broadcast(&r2, nsp, rc_str_make(data.p, n), &again), RC_OK);
    rc_entry_reader_deinit(&r2);
    rc_bus_message_deinit(&m);
    rc_bus_message_deinit(&again);
    rc_buf_deinit(&back);
}

static void check_request(struct rc_entry_reader *r, const struct vector *v)
{
    static const enum rc_wire_type types[] = {
        [4] = RC_WIRE_REMOTE_JOIN,       [5] = RC_WIRE_REMOTE_LEAVE,
        [6] = RC_WIRE_REMOTE_DISCONNECT, [7] = RC_WIRE_REMOTE_FETCH,
        [9] = RC_WIRE_SERVER_SIDE_EMIT,  [30] = RC_WIRE_BROADCAST,
    };
    struct rc_wire_request q = {.close = false};
    struct rc_buf bytes = RC_BUF_INIT;
    struct rc_str uid, id, nsp = rc_str_of(v->nsp);

    if (v->kind < 7)
        rc_buf_putz(&bytes, v->bytes);
    else
        vectors_put_hex(v->bytes, &bytes);
    cr_assert_eq(rc_entry_read_request(r, nsp, rc_buf_str(&bytes), &q), RC_OK);
    cr_assert_eq(q.type, types[v->kind]);
    cr_assert(rc_str_eq(rc_buf_str(&q.id), rc_str_of(v->id)));
    check_target(&q.m, v);
    vectors_check_list(&q.rooms, v->moved);
    if (v->kind == 6)
        cr_assert_eq(q.close, v->flag);
    if (v->kind >= 7) {
        cr_assert(rc_str_eq(rc_buf_str(&q.uid), RC_STR("aB3-_9")));
        cr_assert_eq(rc_entry_read_uid(rc_buf_str(&bytes), &uid), RC_OK);
        cr_assert(rc_str_eq(uid, RC_STR("aB3-_9")));
    }
    cr_assert_eq(rc_entry_read_question(rc_buf_str(&bytes), &id) == RC_OK, v->kind == 30);
    if (v->kind == 30) {
        cr_assert(rc_str_eq(id, rc_str_of(v->id)));
        cr_assert_eq(q.timeout_ms, 1);
        check_packet(&q.m, v);
    }
    for (size_t n = 0; n < bytes.len; n++)
        cr_assert_neq(rc_entry_read_request(r, nsp, rc_str_make(bytes.data, n), &q), RC_OK);
    rc_wire_request_deinit(&q);
    rc_buf_deinit(&bytes);
}

Test(entry, reads_and_writes_what_the_adapter_does)
{
    struct rc_entry_reader r;

    rc_entry_reader_init(&r);
    for (unsigned i = 0; i < VECTORS; i++)
        if (vectors[i].kind == 3)
            check_broadcast(&r, &vectors[i]);
        else
            check_request(&r, &vectors[i]);
    rc_entry_reader_deinit(&r);
}

static int read_data(const char *nsp, const char *data)
{
    struct rc_bus_message m = {.nattachments = 0};
    struct rc_entry_reader r;
    int rc;

    rc_entry_reader_init(&r);
    rc = rc_entry_read_broadcast(&r, rc_str_of(nsp), rc_str_of(data), &m);
    rc_entry_reader_deinit(&r);
    rc_bus_message_deinit(&m);
    return rc;
}

#define OPTS "\"opts\":{\"rooms\":[]}"

Test(entry, reads_only_what_clients_can_be_sent)
{
    cr_assert_eq(read_data("/", "{\"packet\":{\"type\":2,\"data\":[\"e\"]}," OPTS "}"), RC_OK);
    cr_assert_eq(
        read_data("/", "{\"packet\":{\"type\":2,\"data\":[\"e\"],\"nsp\":\"/x\"}," OPTS "}"),
        RC_OK); /* the entry's namespace counts */
    cr_assert_eq(read_data("", "{\"packet\":{\"type\":2,\"data\":[\"e\"]}," OPTS "}"),
                 RC_EPROTO);
    cr_assert_eq(read_data("x", "{\"packet\":{\"type\":2,\"data\":[\"e\"]}," OPTS "}"),
                 RC_EPROTO);
    cr_assert_eq(read_data("/a,b", "{\"packet\":{\"type\":2,\"data\":[\"e\"]}," OPTS "}"),
                 RC_EPROTO);
    cr_assert_eq(read_data("/", "{\"packet\":{\"type\":3,\"data\":[\"e\"]}," OPTS "}"),
                 RC_EPROTO);
    cr_assert_eq(read_data("/", "{\"packet\":{\"data\":[\"e\"]}," OPTS "}"), RC_EPROTO);
    cr_assert_eq(read_data("/", "{\"packet\":{\"type\":2,\"data\":\"e\"}," OPTS "}"),
                 RC_EPROTO);
    cr_assert_eq(read_data("/", "{\"packet\":{\"type\":2,\"data\":[]}," OPTS "}"), RC_EPROTO);
    cr_assert_eq(read_data("/", "{\"packet\":{\"type\":2,\"data\":[\"connect\"]}," OPTS "}"),
                 RC_EPROTO);
    cr_assert_eq(read_data("/", "{\"packet\":{\"type\":2,\"data\":[\"e\"],\"id\":1}," OPTS "}"),
                 RC_EPROTO);
    cr_assert_eq(read_data("/", "{\"packet\":{\"type\":2,\"data\":[\"e\"]}}"), RC_EPROTO);
    cr_assert_eq(
        read_data("/", "{\"packet\":{\"type\":2,\"data\":[\"e\"]},\"opts\":{\"rooms\":7}}"),
        RC_EPROTO);
    cr_assert_eq(
        read_data("/", "{\"packet\":{\"type\":2,\"data\":[\"e\"]},\"opts\":{\"rooms\":[{}]}}"),
        RC_EPROTO);
    cr_assert_eq(read_data("/", "{\"packet\":{\"type\":2,\"data\":[\"\xff\"]}," OPTS "}"),
                 RC_EPROTO);
    cr_assert_eq(read_data("/", "{}"), RC_EPROTO);
    cr_assert_eq(read_data("/", ""), RC_EPROTO);
    cr_assert_eq(read_data("/", "gA=="), RC_EPROTO); /* an empty map */
    cr_assert_eq(read_data("/", "wA=="), RC_EPROTO); /* nil */
    cr_assert_eq(read_data("/", "gICA"), RC_EPROTO); /* more behind it */
    cr_assert_eq(read_data("/", "no base"), RC_EPROTO);
}

static void check_hex(const struct rc_buf *b, const char *hex)
{
    struct rc_buf expected = RC_BUF_INIT;

    vectors_put_hex(hex, &expected);
    cr_assert(rc_str_eq(rc_buf_str(b), rc_buf_str(&expected)));
    rc_buf_deinit(&expected);
}

#define HEAD(type) \
    "84a3756964a175a36e7370a12fa474797065" type "a46461746182a9726571756573744964a169"

Test(entry, writes_answers)
{
    const struct rc_str uid = RC_STR("u"), nsp = RC_STR("/"), id = RC_STR("i");
    const struct rc_str attachment = RC_STR("\x01\x02");
    struct rc_buf b = RC_BUF_INIT;

    rc_entry_begin_answer(&b, RC_ENTRY_CLIENT_COUNT, uid, nsp, id, RC_STR("clientCount"));
    rc_entry_put_uint(&b, 300);
    check_hex(&b, HEAD("0b") "ab636c69656e74436f756e74cd012c");
    rc_buf_reset(&b);
    rc_entry_begin_answer(&b, RC_ENTRY_ACK, uid, nsp, id, RC_STR("packet"));
    cr_assert_eq(
        rc_entry_put_value(&b, RC_STR("[{\"_placeholder\":true,\"num\":0},2]"), &attachment, 1),
        RC_OK);
    check_hex(&b, HEAD("0c") "a67061636b6574c4020102");
    rc_buf_reset(&b);
    rc_entry_begin_answer(&b, RC_ENTRY_SERVER_ANSWER, uid, nsp, id, RC_STR("packet"));
    cr_assert_eq(rc_entry_put_value(&b, RC_STR("[]"), NULL, 0), RC_OK);
    check_hex(&b, HEAD("0a") "a67061636b6574c0");
    rc_buf_reset(&b);
    rc_entry_begin_answer(&b, RC_ENTRY_FETCHED, uid, nsp, id, RC_STR("sockets"));
    cr_assert_eq(rc_entry_put_value(&b, RC_STR("[[{\"id\":\"a\"},1]]"), NULL, 0), RC_OK);
    check_hex(&b, HEAD("08") "a7736f636b6574739281a26964a16101");
    rc_buf_deinit(&b);
}

/* What this node asks reads as what others ask; what they answer is read. */
Test(entry, asks_and_reads_answers)
{
    struct rc_bus_message m = {.to.nsp = RC_STR("/chat"), .text = RC_STR("2/chat,7[\"q\",1]")};
    struct rc_wire_request q = {.close = false};
    struct rc_wire_response a = {.count = 0};
    struct rc_entry_reader r;
    struct rc_buf b = RC_BUF_INIT;
    struct rc_str id;

    rc_entry_reader_init(&r);
    rc_bus_list_add(&m.to.rooms, RC_STR("lobby"));
    cr_assert_eq(rc_entry_put_question(&b, RC_STR("me"), RC_STR("id"), &m, 250), RC_OK);
    cr_assert_eq(rc_entry_read_question(rc_buf_str(&b), &id), RC_OK);
    cr_assert(rc_str_eq(id, RC_STR("id")));
    cr_assert_eq(rc_entry_read_request(&r, RC_STR("/chat"), rc_buf_str(&b), &q), RC_OK);
    cr_assert_eq(q.type, RC_WIRE_BROADCAST);
    cr_assert_eq(q.timeout_ms, 250);
    cr_assert(rc_str_eq(q.m.text, RC_STR("2/chat,[\"q\",1]")), "%.*s", RC_STR_ARG(q.m.text));
    vectors_check_list(&q.m.to.rooms, "lobby\n");

    rc_buf_reset(&b);
    vectors_put_hex(HEAD("0b") "ab636c69656e74436f756e7403", &b);
    cr_assert_eq(rc_entry_read_response(&r, rc_buf_str(&b), &a), RC_OK);
    cr_assert_eq(a.type, RC_WIRE_CLIENT_COUNT);
    cr_assert_eq(a.count, 3);
    cr_assert(rc_str_eq(rc_buf_str(&a.id), RC_STR("i")));
    for (size_t n = 0; n < b.len; n++)
        cr_assert_neq(rc_entry_read_response(&r, rc_str_make(b.data, n), &a), RC_OK);
    rc_buf_reset(&b);
    vectors_put_hex(HEAD("0c") "a67061636b6574c4020102", &b);
    cr_assert_eq(rc_entry_read_response(&r, rc_buf_str(&b), &a), RC_OK);
    cr_assert_eq(a.type, RC_WIRE_BROADCAST_ACK);
    cr_assert_eq(a.nattachments, 1);
    cr_assert(rc_str_eq(a.args, RC_STR("[{\"_placeholder\":true,\"num\":0}]")));
    rc_buf_reset(&b);
    vectors_put_hex(HEAD("08") "a7736f636b65747390", &b);
    cr_assert_eq(rc_entry_read_response(&r, rc_buf_str(&b), &a), RC_OK);
    cr_assert_eq(a.type, RC_WIRE_NO_TYPE);
    rc_wire_response_deinit(&a);
    rc_wire_request_deinit(&q);
    rc_bus_message_deinit(&m);
    rc_entry_reader_deinit(&r);
    rc_buf_deinit(&b);
}

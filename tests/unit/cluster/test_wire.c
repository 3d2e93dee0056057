#include "vectors.h"

#include "rc/cluster/wire.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

struct vector {
    const char *channel, *payload, *text, *attachments, *rooms, *except;
    bool is_volatile, exact;
};
static const struct vector vectors[] = {
#include "wire_vectors.inc"
};
enum { VECTORS = sizeof(vectors) / sizeof(vectors[0]) };

static void check_vector(struct rc_wire_reader *r, const struct vector *v)
{
    struct rc_buf bytes = RC_BUF_INIT, back = RC_BUF_INIT;
    struct rc_bus_message m = {.nattachments = 0};
    struct rc_str uid, only;

    vectors_put_hex(v->payload, &bytes);
    cr_assert_eq(rc_wire_read_uid(rc_buf_str(&bytes), &only), RC_OK);
    cr_assert_eq(rc_wire_read_broadcast(r, rc_buf_str(&bytes), &uid, &m), RC_OK);
    cr_assert(rc_str_eq(uid, only));
    cr_assert(rc_str_eq(m.text, rc_str_of(v->text)), "%.*s", RC_STR_ARG(m.text));
    vectors_check_attachments(&m, v->attachments);
    vectors_check_list(&m.to.rooms, v->rooms);
    vectors_check_list(&m.to.except, v->except);
    cr_assert_eq(m.is_volatile, v->is_volatile);
    if (v->exact) {
        cr_assert_eq(rc_wire_put_broadcast(&back, uid, &m), RC_OK);
        cr_assert(rc_str_eq(rc_buf_str(&back), rc_buf_str(&bytes)));
    }
    /* Whatever is cut off is none. */
    for (size_t n = 0; n < bytes.len && bytes.len < 2000; n++)
        cr_assert_neq(rc_wire_read_broadcast(r, rc_str_make(bytes.data, n), &uid, &m), RC_OK);
    rc_bus_message_deinit(&m);
    rc_buf_deinit(&bytes);
    rc_buf_deinit(&back);
}

Test(wire, reads_and_writes_what_the_adapter_does)
{
    struct rc_wire_reader r;

    rc_wire_reader_init(&r);
    for (unsigned i = 0; i < VECTORS; i++)
        check_vector(&r, &vectors[i]);
    rc_wire_reader_deinit(&r);
}

static int read_hex(const char *hex)
{
    struct rc_wire_reader r;
    struct rc_buf bytes = RC_BUF_INIT;
    struct rc_bus_message m = {.nattachments = 0};
    struct rc_str uid;
    int rc;

    rc_wire_reader_init(&r);
    vectors_put_hex(hex, &bytes);
    rc = rc_wire_read_broadcast(&r, rc_buf_str(&bytes), &uid, &m);
    rc_bus_message_deinit(&m);
    rc_wire_reader_deinit(&r);
    rc_buf_deinit(&bytes);
    return rc;
}

#define UID   "93a161"                         /* ["a", */
#define OPTS  "81a5726f6f6d7390"               /* {"rooms":[]}] */
#define EVENT "82a47479706502a46461746191a165" /* {"type":2,"data":["e"]}, */

Test(wire, reads_only_what_clients_can_be_sent)
{
    cr_assert_eq(read_hex(UID EVENT OPTS), RC_OK);
    cr_assert_eq(read_hex(UID EVENT "80"), RC_OK);                            /* {} */
    cr_assert_eq(read_hex(UID EVENT "81a5726f6f6d73c0"), RC_OK);              /* rooms: null */
    cr_assert_eq(read_hex(UID EVENT "81a5726f6f6d7301"), RC_EPROTO);          /* rooms: 1 */
    cr_assert_eq(read_hex(UID EVENT "81a5726f6f6d7391c3"), RC_EPROTO);        /* [true] */
    cr_assert_eq(read_hex(UID EVENT "90"), RC_EPROTO);                        /* [] */
    cr_assert_eq(read_hex("9301" EVENT OPTS), RC_EPROTO);                     /* uid 1 */
    cr_assert_eq(read_hex("92a161" EVENT), RC_EPROTO);                        /* no opts */
    cr_assert_eq(read_hex(UID "82a47479706502a46461746190" OPTS), RC_EPROTO); /* [] */
    cr_assert_eq(read_hex(UID "82a47479706502a464617461a165" OPTS), RC_EPROTO);   /* "e" */
    cr_assert_eq(read_hex(UID "82a47479706502a46461746191c0" OPTS), RC_EPROTO);   /* [null] */
    cr_assert_eq(read_hex(UID "82a47479706503a46461746191a165" OPTS), RC_EPROTO); /* an ack */
    cr_assert_eq(read_hex(UID "82a47479706505a46461746191a165" OPTS), RC_OK);     /* type 5 */
    cr_assert_eq(read_hex(UID "82a47479706500a46461746180" OPTS), RC_EPROTO);     /* connect */
    cr_assert_eq(read_hex(UID "83a47479706502a46461746191a165a2696407" OPTS), RC_EPROTO);
    cr_assert_eq(read_hex(UID "82a47479706502a46461746191aa646973636f6e6e656374" OPTS),
                 RC_EPROTO); /* disconnect */
    cr_assert_eq(read_hex(UID "82a47479706502a46461746191a1ff" OPTS), RC_EPROTO); /* no UTF-8 */
    cr_assert_eq(read_hex(""), RC_EPROTO);
    cr_assert_eq(read_hex("c1"), RC_EPROTO);
}

/* Counts that are not believed. */
Test(wire, huge_counts_are_cut_off)
{
    cr_assert_eq(read_hex(UID EVENT "81a5726f6f6d73ddffffffff"), RC_EPROTO);
    cr_assert_eq(read_hex(UID EVENT "dfffffffff"), RC_EPROTO);
    cr_assert_eq(read_hex(UID "dfffffffff"), RC_EPROTO);
    cr_assert_eq(read_hex(UID EVENT "81a5726f6f6d7391dbffffffff"), RC_EPROTO);
    cr_assert_eq(read_hex(UID EVENT "81a5726f6f6d7391c9ffffffff00"), RC_EPROTO);
}

/* ---- requests ---- */

static int read_request(const char *json, struct rc_wire_request *q)
{
    struct rc_wire_reader r;
    int rc;

    rc_wire_reader_init(&r);
    rc = rc_wire_read_request(&r, rc_str_of(json), q);
    rc_wire_reader_deinit(&r);
    return rc;
}

Test(wire, requests_of_json)
{
    struct rc_wire_request q = {.close = false};

    cr_assert_eq(
        read_request("{\"uid\":\"u\",\"requestId\":\"q\\u0031\",\"type\":5,\"opts\":{\"rooms\":"
                     "[\"a\",7],\"except\":[\"c\"]}}",
                     &q),
        RC_OK);
    cr_assert_eq(q.type, RC_WIRE_REMOTE_FETCH);
    cr_assert(rc_str_eq(rc_buf_str(&q.uid), RC_STR("u")));
    cr_assert(rc_str_eq(rc_buf_str(&q.id), RC_STR("q1")));
    vectors_check_list(&q.m.to.rooms, "a\n7\n");
    vectors_check_list(&q.m.to.except, "c\n");
    cr_assert_eq(read_request("{\"type\":2,\"opts\":{},\"rooms\":[\"r\"]}", &q), RC_OK);
    vectors_check_list(&q.m.to.rooms, "");
    vectors_check_list(&q.rooms, "r\n");
    cr_assert_eq(q.uid.len + q.id.len, 0);
    cr_assert_eq(read_request("{\"type\":4,\"opts\":{\"rooms\":[\"a\"]},\"close\":true}", &q),
                 RC_OK);
    cr_assert(q.close);
    vectors_check_list(&q.rooms, "");
    cr_assert_eq(read_request("{\"type\":2,\"sid\":\"s\",\"room\":\"r\"}", &q), RC_OK);
    vectors_check_list(&q.m.to.rooms, "s\n");
    vectors_check_list(&q.rooms, "r\n");
    cr_assert_not(q.close);
    cr_assert_eq(read_request("{\"type\":7,\"requestId\":\"q\"}", &q), RC_EPROTO);
    cr_assert_eq(read_request("{\"type\":-1}", &q), RC_EPROTO);
    cr_assert_eq(read_request("{\"type\":5,\"requestId\":\"q\"}", &q), RC_EPROTO);
    cr_assert_eq(read_request("{\"type\":3}", &q), RC_EPROTO);
    cr_assert_eq(read_request("{\"type\":1} ", &q), RC_OK);
    cr_assert_eq(read_request("{\"type\":1}}", &q), RC_EPROTO);
    rc_wire_request_deinit(&q);
}

Test(wire, requests_of_messagepack)
{
    /* {uid, requestId, type: 7, packet, opts: {rooms: ["a"], except: [], flags: {timeout: 1000}}} */
    static const char hex[] = "85a3756964a66142332d5f39a9726571756573744964a27131a47479706507a6"
                              "7061636b657483a47479706502"
                              "a46461746192a165c40109a36e7370a12fa46f70747383a5726f6f6d7391a161"
                              "a665786365707490a5666c6167"
                              "7381a774696d656f7574cd03e8";
    struct rc_wire_request q = {.close = false};
    struct rc_buf bytes = RC_BUF_INIT;
    struct rc_wire_reader r;

    rc_wire_reader_init(&r);
    vectors_put_hex(hex, &bytes);
    cr_assert_eq(rc_wire_read_request(&r, rc_buf_str(&bytes), &q), RC_OK);
    cr_assert_eq(q.type, RC_WIRE_BROADCAST);
    cr_assert(rc_str_eq(rc_buf_str(&q.id), RC_STR("q1")));
    cr_assert_eq(q.timeout_ms, 1000);
    cr_assert(rc_str_eq(q.m.to.nsp, RC_STR("/")));
    vectors_check_list(&q.m.to.rooms, "a\n");
    vectors_check_attachments(&q.m, "09,");
    for (size_t n = 0; n < bytes.len; n++)
        cr_assert_neq(rc_wire_read_request(&r, rc_str_make(bytes.data, n), &q), RC_OK);
    rc_wire_request_deinit(&q);
    rc_wire_reader_deinit(&r);
    rc_buf_deinit(&bytes);
}

static void check_ack(const char *args, struct rc_str attachment, unsigned n, const char *hex)
{
    struct rc_buf got = RC_BUF_INIT, expected = RC_BUF_INIT;

    vectors_put_hex("83a47479706509a9726571756573744964a171a67061636b6574", &expected);
    vectors_put_hex(hex, &expected);
    cr_assert_eq(rc_wire_put_ack(&got, RC_STR("q"), rc_str_of(args), &attachment, n), RC_OK);
    cr_assert(rc_str_eq(rc_buf_str(&got), rc_buf_str(&expected)));
    rc_buf_deinit(&got);
    rc_buf_deinit(&expected);
}

/* The first argument alone, as the adapter sends it. */
Test(wire, acknowledgements)
{
    check_ack("[]", RC_STR_NONE, 0, "c0");
    check_ack("[7,8]", RC_STR_NONE, 0, "07");
    check_ack("[{\"a\":[1]}]", RC_STR_NONE, 0, "81a1619101");
    check_ack("[{\"_placeholder\":true,\"num\":0}]", RC_STR("xy"), 1, "c4027879");
}

static void check_question(const char *text, struct rc_str attachment, unsigned n,
                           const char *hex)
{
    struct rc_buf got = RC_BUF_INIT, expected = RC_BUF_INIT;
    struct rc_bus_message m = {
        .text = rc_str_of(text), .attachment = {attachment}, .nattachments = n};
    struct rc_wire_request q = {.close = false};
    struct rc_wire_reader r;

    rc_bus_list_add(&m.to.rooms, RC_STR("a"));
    vectors_put_hex(hex, &expected);
    cr_assert_eq(rc_wire_put_question(&got, RC_STR("aB3-_9"), RC_STR("q1"), &m, 1000), RC_OK);
    cr_assert(rc_str_eq(rc_buf_str(&got), rc_buf_str(&expected)));
    rc_wire_reader_init(&r);
    cr_assert_eq(rc_wire_read_request(&r, rc_buf_str(&got), &q), RC_OK);
    cr_assert(rc_str_eq(rc_buf_str(&q.uid), RC_STR("aB3-_9")));
    cr_assert_eq(q.timeout_ms, 1000);
    vectors_check_list(&q.m.to.rooms, "a\n");
    rc_wire_request_deinit(&q);
    rc_wire_reader_deinit(&r);
    rc_bus_message_deinit(&m);
    rc_buf_deinit(&got);
    rc_buf_deinit(&expected);
}

/* As the adapter writes it: {uid, requestId, type, packet, opts}. The id of the packet stays here. */
Test(wire, questions)
{
    check_question(
        "27[\"e\",1]", RC_STR_NONE, 0,
        "85a3756964a66142332d5f39a9726571756573744964a27131a47479706507a67061636b6574"
        "83a47479706502a46461746192a16501a36e7370a12fa46f70747383a5726f6f6d7391a161a6"
        "65786365707490a5666c61677381a774696d656f7574cd03e8");
    check_question(
        "51-/chat,7[\"e\",{\"_placeholder\":true,\"num\":0}]", RC_STR("\x09"), 1,
        "85a3756964a66142332d5f39a9726571756573744964a27131a47479706507a67061636b6574"
        "83a47479706502a46461746192a165c40109a36e7370a52f63686174a46f70747383a5726f6f"
        "6d7391a161a665786365707490a5666c61677381a774696d656f7574cd03e8");
}

/* The answer's attachments point into it, until the next one is read. */
static struct rc_wire_reader response_reader;

static int read_response(struct rc_str bytes, struct rc_wire_response *a, struct rc_buf *args)
{
    int rc;

    rc_wire_reader_deinit(&response_reader);
    rc_wire_reader_init(&response_reader);
    rc = rc_wire_read_response(&response_reader, bytes, a);
    rc_buf_reset(args);
    if (rc == RC_OK && a->type == RC_WIRE_BROADCAST_ACK)
        rc_buf_puts(args, a->args);
    return rc;
}

static int read_count(const char *json, struct rc_wire_response *a)
{
    struct rc_buf none = RC_BUF_INIT;
    int rc = read_response(rc_str_of(json), a, &none);

    rc_buf_deinit(&none);
    return rc;
}

Test(wire, counts_of_clients)
{
    struct rc_wire_response a = {.count = 0};

    cr_assert_eq(read_count("{\"type\":8,\"requestId\":\"q\",\"clientCount\":3}", &a), RC_OK);
    cr_assert_eq(a.type, RC_WIRE_CLIENT_COUNT);
    cr_assert(rc_str_eq(rc_buf_str(&a.id), RC_STR("q")));
    cr_assert_eq(a.count, 3);
    cr_assert_eq(read_count("{\"requestId\":\"q\",\"sockets\":[]}", &a), RC_OK);
    cr_assert_eq(a.type, RC_WIRE_NO_TYPE);
    cr_assert_eq(read_count("{\"type\":6,\"requestId\":\"q\",\"data\":null}", &a), RC_OK);
    cr_assert_eq(a.type, RC_WIRE_NO_TYPE);
    cr_assert_eq(read_count("{\"type\":8,\"requestId\":\"q\",\"clientCount\":-1}", &a),
                 RC_EPROTO);
    cr_assert_eq(read_count("{\"type\":8,\"requestId\":\"q\",\"clientCount\":4294967296}", &a),
                 RC_EPROTO);
    cr_assert_eq(read_count("{\"type\":8,\"requestId\":\"q\"}", &a), RC_EPROTO);
    cr_assert_eq(read_count("{\"type\":8,\"clientCount\":3}", &a), RC_EPROTO);
    cr_assert_eq(read_count("{\"type\":8", &a), RC_EPROTO);
    cr_assert_eq(read_count("", &a), RC_EPROTO);
    rc_wire_response_deinit(&a);
}

static void check_answer(const char *hex, const char *args, const char *attachment)
{
    struct rc_wire_response a = {.count = 0};
    struct rc_buf bytes = RC_BUF_INIT, got = RC_BUF_INIT;

    vectors_put_hex("83a47479706509a9726571756573744964a171a67061636b6574", &bytes);
    vectors_put_hex(hex, &bytes);
    cr_assert_eq(read_response(rc_buf_str(&bytes), &a, &got), RC_OK);
    cr_assert_eq(a.type, RC_WIRE_BROADCAST_ACK);
    cr_assert(rc_str_eq(rc_buf_str(&a.id), RC_STR("q")));
    cr_assert(rc_str_eq(rc_buf_str(&got), rc_str_of(args)));
    cr_assert_eq(a.nattachments, attachment[0] != '\0');
    if (a.nattachments != 0)
        cr_assert(rc_str_eq(a.attachment[0], rc_str_of(attachment)));
    for (size_t n = 0; n < bytes.len; n++)
        cr_assert_neq(read_response(rc_str_make(bytes.data, n), &a, &got), RC_OK);
    rc_wire_response_deinit(&a);
    rc_buf_deinit(&bytes);
    rc_buf_deinit(&got);
}

Test(wire, answers_of_clients)
{
    struct rc_wire_response a = {.count = 0};
    struct rc_buf bytes = RC_BUF_INIT, got = RC_BUF_INIT;

    check_answer("c0", "[null]", "");
    check_answer("07", "[7]", "");
    check_answer("81a1619101", "[{\"a\":[1]}]", "");
    check_answer("91c4027879", "[[{\"_placeholder\":true,\"num\":0}]]", "xy");
    vectors_put_hex("82a47479706509a9726571756573744964a171",
                    &bytes); /* undefined: notepack leaves it out */
    cr_assert_eq(read_response(rc_buf_str(&bytes), &a, &got), RC_OK);
    cr_assert(rc_str_eq(rc_buf_str(&got), RC_STR("[null]")));
    rc_buf_reset(&bytes);
    vectors_put_hex("83a47479706509a9726571756573744964a171a67061636b6574a1ff",
                    &bytes); /* no UTF-8 */
    cr_assert_eq(read_response(rc_buf_str(&bytes), &a, &got), RC_EPROTO);
    rc_wire_response_deinit(&a);
    rc_buf_deinit(&bytes);
    rc_buf_deinit(&got);
}

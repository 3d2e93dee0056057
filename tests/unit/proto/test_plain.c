#include "rc/proto/plain.h"
#include "rc/proto/sio.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* ---- from the client ---- */

static const char *text_of(struct rc_buf *b)
{
    static char text[1024];

    (void)snprintf(text, sizeof(text), "%.*s", (int)b->len,
                   b->data != NULL ? (const char *)b->data : "");
    rc_buf_deinit(b);
    return text;
}

/* "kind type ack:N ask:N args", or "!code". */
static const char *parse(const char *text)
{
    static const char *const kinds[] = {"event", "auth", "ping", "answer"};
    enum rc_plain_fault fault;
    struct rc_buf out = RC_BUF_INIT;
    struct rc_plain m;

    fault = rc_plain_parse(rc_str_of(text), 8, &m);
    if (fault != RC_PLAIN_NONE) {
        rc_buf_printf(&out, "!%s", rc_plain_fault_code(fault));
        cr_assert_neq(rc_plain_fault_text(fault)[0], '\0');
    } else {
        rc_buf_printf(&out, "%s %.*s ", kinds[m.kind], RC_STR_ARG(m.type));
    }
    if (m.has_ack)
        rc_buf_printf(&out, "ack:%llu ", (unsigned long long)m.ack);
    if (m.ask != 0)
        rc_buf_printf(&out, "ask:%llu ", (unsigned long long)m.ask);
    if (fault == RC_PLAIN_NONE)
        rc_plain_put_args(&m, &out);
    return text_of(&out);
}

Test(plain, events)
{
    cr_assert_str_eq(parse("{\"type\":\"a\"}"), "event \"a\" {}");
    cr_assert_str_eq(parse(" { \"type\" : \"a\" , \"x\" : [ 1 ] , \"y\" : {} } "),
                     "event \"a\" {\"x\":[ 1 ],\"y\":{}}");
    cr_assert_str_eq(parse("{\"x\":1,\"ack\":0,\"type\":\"a\\\"b\",\"y\":\"}\"}"),
                     "event \"a\\\"b\" ack:0 {\"x\":1,\"y\":\"}\"}");
    cr_assert_str_eq(parse("{\"type\":\"a\",\"ack\":9007199254740991}"),
                     "event \"a\" ack:9007199254740991 {}");
    cr_assert_str_eq(parse("{\"type\":\"a\",\"ask\":1}"), "event \"a\" {\"ask\":1}");
    /* The last one counts, as in JSON.parse; and a key is what it says, however it is written. */
    cr_assert_str_eq(parse("{\"type\":\"ack\",\"\\u0074ype\":\"b\",\"ack\":1,\"ack\":2}"),
                     "event \"b\" ack:2 {}");
}

Test(plain, arguments)
{
    cr_assert_str_eq(parse("{\"type\":\"a\",\"args\":[1, {\"type\":2}]}"),
                     "event \"a\" 1, {\"type\":2}");
    cr_assert_str_eq(parse("{\"args\":[],\"ack\":1,\"type\":\"a\"}"), "event \"a\" ack:1 ");
    cr_assert_str_eq(parse("{\"args\":[ \n],\"type\":\"a\"}"), "event \"a\" ");
    cr_assert_str_eq(parse("{\"type\":\"a\",\"args\":{}}"), "event \"a\" {\"args\":{}}");
    cr_assert_str_eq(parse("{\"type\":\"a\",\"args\":[1],\"b\":2}"),
                     "event \"a\" {\"args\":[1],\"b\":2}");
    cr_assert_str_eq(parse("{\"type\":\"a\",\"ask\":1,\"args\":[1]}"),
                     "event \"a\" {\"ask\":1,\"args\":[1]}");
}

Test(plain, what_is_no_event)
{
    cr_assert_str_eq(parse("{\"type\":\"auth\",\"token\":\"t\",\"ack\":3}"),
                     "auth \"auth\" ack:3 {\"token\":\"t\"}");
    cr_assert_str_eq(parse("{\"type\":\"\\u0061uth\"}"), "auth \"\\u0061uth\" {}");
    cr_assert_str_eq(parse("{\"type\":\"ping\"}"), "ping \"ping\" {}");
    cr_assert_str_eq(parse("{\"type\":\"answer\",\"ask\":7,\"args\":[1,2]}"),
                     "answer \"answer\" ask:7 1,2");
    cr_assert_str_eq(parse("{\"type\":\"answer\",\"ask\":7,\"a\":1}"),
                     "answer \"answer\" ask:7 {\"a\":1}");
}

Test(plain, bad_messages)
{
    static const char *const no_json[] = {"",
                                          " ",
                                          "x",
                                          "[]",
                                          "1",
                                          "\"type\"",
                                          "null",
                                          "{",
                                          "{\"type\":\"a\"",
                                          "{\"type\":\"a\"}}",
                                          "{type:1}",
                                          "[{\"type\":\"a\"}]",
                                          "{\"type\":\"a\",}"};
    static const char *const no_type[] = {"{}",
                                          " {}",
                                          "{\"Type\":\"a\"}",
                                          "{\"type\":null}",
                                          "{\"type\":5}",
                                          "{\"type\":[\"a\"]}",
                                          "{\"x\":{\"type\":\"a\"}}"};
    static const char *const reserved[] = {"ack", "connected", "disconnected", "error", "pong"};
    static const char *const bad_ack[] = {"-1",
                                          "1.0",
                                          "1e1",
                                          "\"1\"",
                                          "null",
                                          "{}",
                                          "true",
                                          "9007199254740992",
                                          "99999999999999999999"};
    char text[128];

    for (size_t i = 0; i < sizeof(no_json) / sizeof(no_json[0]); i++)
        cr_assert_str_eq(parse(no_json[i]), "!bad_json", "%s", no_json[i]);
    for (size_t i = 0; i < sizeof(no_type) / sizeof(no_type[0]); i++)
        cr_assert_str_eq(parse(no_type[i]), "!no_type", "%s", no_type[i]);
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        (void)snprintf(text, sizeof(text), "{\"type\":\"%s\",\"ack\":1}", reserved[i]);
        cr_assert_str_eq(parse(text), "!bad_typeack:1 ");
    }
    for (size_t i = 0; i < sizeof(bad_ack) / sizeof(bad_ack[0]); i++) {
        (void)snprintf(text, sizeof(text), "{\"type\":\"a\",\"ack\":%s}", bad_ack[i]);
        cr_assert_str_eq(parse(text), "!bad_ack", "%s", text);
        (void)snprintf(text, sizeof(text), "{\"type\":\"answer\",\"ask\":%s}", bad_ack[i]);
        cr_assert_str_eq(parse(text), "!bad_ask", "%s", text);
    }
    cr_assert_str_eq(parse("{\"type\":\"answer\"}"), "!bad_ask");
    cr_assert_str_eq(parse("{\"type\":\"a\",\"x\":[[[[[[[]]]]]]]}"),
                     "event \"a\" {\"x\":[[[[[[[]]]]]]]}");
    cr_assert_str_eq(parse("{\"type\":\"a\",\"x\":[[[[[[[[]]]]]]]]}"), "!too_deep");
}

Test(plain, the_object)
{
    struct rc_buf out = RC_BUF_INIT;
    struct rc_plain m;

    cr_assert_eq(rc_plain_parse(RC_STR("{\"args\":[1],\"type\":\"auth\"}"), 8, &m),
                 RC_PLAIN_NONE);
    rc_plain_put_object(&m, &out);
    cr_assert_str_eq(text_of(&out), "{\"args\":[1]}");
}

/* ---- to the client ---- */

static const char *encode(const char *packet)
{
    static const struct rc_str events[] = {{"u", 1}, {"v\"", 2}};
    static const struct rc_str others[] = {{"w", 1}};
    static const struct rc_plain_untyped untyped[] = {
        {.nsp = {"/n", 2}, .event = others, .n = 1},
        {.nsp = {"/", 1}, .event = events, .n = 2}};
    static const struct rc_str attachment[] = {{"hello", 5}, {"", 0}, {"\xff\xfe", 2}};
    struct rc_buf out = RC_BUF_INIT;

    rc_plain_encode(rc_str_of(packet), attachment, untyped, 2, &out);
    return text_of(&out);
}

Test(plain, one_object)
{
    cr_assert_str_eq(encode("2[\"a\",{\"x\":1}]"), "{\"type\":\"a\",\"x\":1}");
    cr_assert_str_eq(encode("2/n,[\"a\", { \"x\" : 1 , \"y\":[{}]} ]"),
                     "{\"type\":\"a\", \"x\" : 1 , \"y\":[{}]}");
    cr_assert_str_eq(encode("2[\"a\",{}]"), "{\"type\":\"a\"}");
    cr_assert_str_eq(encode("2[\"a\",{ }]"), "{\"type\":\"a\"}");
    cr_assert_str_eq(encode("2[\"a\\\"b\",{\"x\":\"}\"}]"),
                     "{\"type\":\"a\\\"b\",\"x\":\"}\"}");
}

Test(plain, an_object_with_keys_of_ours)
{
    cr_assert_str_eq(encode("2[\"a\",{\"type\":\"b\"}]"),
                     "{\"type\":\"a\",\"data\":{\"type\":\"b\"}}");
    cr_assert_str_eq(encode("2[\"a\",{\"x\":1,\"\\u0074ype\":1}]"),
                     "{\"type\":\"a\",\"data\":{\"x\":1,\"\\u0074ype\":1}}");
    cr_assert_str_eq(encode("2[\"a\",{\"args\":1}]"), "{\"type\":\"a\",\"data\":{\"args\":1}}");
    cr_assert_str_eq(encode("2[\"a\",{\"x\":1,\"type\":\"a\"}]"), "{\"x\":1,\"type\":\"a\"}");
    cr_assert_str_eq(encode("2[\"a\",{\"ack\":1,\"ask\":2}]"),
                     "{\"type\":\"a\",\"ack\":1,\"ask\":2}");
}

Test(plain, other_arguments)
{
    cr_assert_str_eq(encode("2[\"a\"]"), "{\"type\":\"a\"}");
    cr_assert_str_eq(encode("2[ \"a\" ]"), "{\"type\":\"a\"}");
    cr_assert_str_eq(encode("2[\"a\",null]"), "{\"type\":\"a\",\"args\":[null]}");
    cr_assert_str_eq(encode("2[\"a\",[1]]"), "{\"type\":\"a\",\"args\":[[1]]}");
    cr_assert_str_eq(encode("2[\"a\",{\"x\":1}, \"b\"]"),
                     "{\"type\":\"a\",\"args\":[{\"x\":1}, \"b\"]}");
    cr_assert_str_eq(encode("2[5,1]"), "{\"type\":\"5\",\"args\":[1]}");
}

Test(plain, questions)
{
    cr_assert_str_eq(encode("217[\"a\",{\"x\":1}]"), "{\"type\":\"a\",\"ask\":17,\"x\":1}");
    cr_assert_str_eq(encode("2/n,17[\"a\"]"), "{\"type\":\"a\",\"ask\":17}");
    cr_assert_str_eq(encode("217[\"a\",\"b\"]"),
                     "{\"type\":\"a\",\"ask\":17,\"args\":[\"b\"]}");
    cr_assert_str_eq(encode("217[\"a\",{\"ask\":1}]"),
                     "{\"type\":\"a\",\"ask\":17,\"data\":{\"ask\":1}}");
    cr_assert_str_eq(encode("217[\"a\",{\"type\":\"a\"}]"),
                     "{\"type\":\"a\",\"ask\":17,\"data\":{\"type\":\"a\"}}");
    cr_assert_str_eq(encode("217[\"u\",{\"x\":1}]"), "{\"type\":\"u\",\"ask\":17,\"x\":1}");
}

Test(plain, acknowledgements)
{
    cr_assert_str_eq(encode("37[{\"ok\":true}]"), "{\"type\":\"ack\",\"ack\":7,\"ok\":true}");
    cr_assert_str_eq(encode("3/n,0[]"), "{\"type\":\"ack\",\"ack\":0}");
    cr_assert_str_eq(encode("37[1,2]"), "{\"type\":\"ack\",\"ack\":7,\"args\":[1,2]}");
    cr_assert_str_eq(encode("37[{\"ack\":1}]"),
                     "{\"type\":\"ack\",\"ack\":7,\"data\":{\"ack\":1}}");
    cr_assert_str_eq(encode("37[{\"type\":\"ack\"}]"),
                     "{\"type\":\"ack\",\"ack\":7,\"data\":{\"type\":\"ack\"}}");
}

Test(plain, untyped_events)
{
    cr_assert_str_eq(encode("2[\"u\",{\"from\":\"me\"}]"), "{\"from\":\"me\"}");
    cr_assert_str_eq(encode("2[\"v\\\"\",{ }]"), "{ }");
    cr_assert_str_eq(encode("2[\"u\",{\"type\":\"other\"}]"), "{\"type\":\"other\"}");
    cr_assert_str_eq(encode("2[\"u\",1]"), "{\"type\":\"u\",\"args\":[1]}");
    cr_assert_str_eq(encode("2[\"u\",{},{}]"), "{\"type\":\"u\",\"args\":[{},{}]}");
    cr_assert_str_eq(encode("2[\"w\",{}]"), "{\"type\":\"w\"}");
    cr_assert_str_eq(encode("2/n,[\"w\",{}]"), "{}");
    cr_assert_str_eq(encode("2/n,[\"u\",{}]"), "{\"type\":\"u\"}");
}

#define P0 "{\"_placeholder\":true,\"num\":0}"

Test(plain, attachments)
{
    cr_assert_str_eq(encode("51-[\"a\"," P0 "]"),
                     "{\"type\":\"a\",\"args\":[{\"_base64\":\"aGVsbG8=\"}]}");
    cr_assert_str_eq(encode("51-[\"a\",{\"x\":" P0 ",\"y\":\"}\"}]"),
                     "{\"type\":\"a\",\"x\":{\"_base64\":\"aGVsbG8=\"},\"y\":\"}\"}");
    cr_assert_str_eq(encode("53-/n,[\"a\",[" P0 ", {\"num\":2,\"_placeholder\":true},1],"
                            "{\"_placeholder\":true,\"num\":1,\"z\":[{}]}]"),
                     "{\"type\":\"a\",\"args\":[[{\"_base64\":\"aGVsbG8=\"},"
                     "{\"_base64\":\"//4=\"},1],{\"_base64\":\"\"}]}");
    cr_assert_str_eq(encode("61-7[" P0 "]"),
                     "{\"type\":\"ack\",\"ack\":7,\"args\":[{\"_base64\":\"aGVsbG8=\"}]}");
    cr_assert_str_eq(encode("51-[\"u\",{\"x\":" P0 "}]"), "{\"x\":{\"_base64\":\"aGVsbG8=\"}}");
    /* Without attachments, and beyond them, it is an object like others. */
    cr_assert_str_eq(encode("2[\"a\"," P0 "]"),
                     "{\"type\":\"a\",\"_placeholder\":true,\"num\":0}");
    cr_assert_str_eq(encode("51-[\"a\",{\"_placeholder\":true,\"num\":3}]"),
                     "{\"type\":\"a\",\"_placeholder\":true,\"num\":3}");
}

Test(plain, other_packets)
{
    cr_assert_str_eq(encode("0{\"id\":\"x\",\"userId\":\"u\"}"),
                     "{\"type\":\"connected\",\"id\":\"x\",\"userId\":\"u\"}");
    cr_assert_str_eq(encode("0/n,{\"id\":\"x\"}"), "{\"type\":\"connected\",\"id\":\"x\"}");
    cr_assert_str_eq(encode("1/n,"), "{\"type\":\"disconnected\"}");
    cr_assert_str_eq(encode("4{\"message\":\"no\"}"),
                     "{\"type\":\"error\",\"code\":\"refused\",\"message\":\"no\"}");
    cr_assert_str_eq(encode("4/n,{\"message\":\"no\",\"data\":{\"code\":\"limit\"}}"),
                     "{\"type\":\"error\",\"code\":\"limit\",\"message\":\"no\",\"data\":{"
                     "\"code\":\"limit\"}}");
}

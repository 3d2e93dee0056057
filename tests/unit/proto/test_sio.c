#include "rc/base/mem.h"
#include "rc/proto/sio.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static const struct rc_sio_limits limits = {.max_depth = 16,
                                            .max_attachments = 10,
                                            .max_args = 4,
                                            .max_nsp = 12,
                                            .max_event = 16};

/* The parsed text, kept because the slices point into it: an exact-size copy on the heap. */
static char *kept;

static int parse(struct rc_str text, struct rc_sio_packet *p, const char **why)
{
    free(kept);
    kept = rc_malloc(text.len != 0 ? text.len : 1);
    if (text.len != 0)
        memcpy(kept, text.p, text.len);
    return rc_sio_parse(rc_str_make(kept, text.len), &limits, p, why);
}

static struct rc_sio_packet parse_ok(const char *text)
{
    struct rc_sio_packet p;
    const char *why = "unset";
    int rc = parse(rc_str_of(text), &p, &why);

    cr_assert_eq(rc, RC_OK, "%s", text);
    cr_assert_null(why, "%s", text);
    return p;
}

static void refuses(const char *text)
{
    struct rc_sio_packet p;
    const char *why = "unset";
    int rc = parse(rc_str_of(text), &p, &why);

    cr_assert_eq(rc, RC_EPROTO, "%s", text);
    cr_assert_null(why, "%s", text);
}

static void limited(const char *text, const char *key)
{
    struct rc_sio_packet p;
    const char *why = NULL;
    int rc = parse(rc_str_of(text), &p, &why);

    cr_assert_eq(rc, RC_ELIMIT, "%s", text);
    cr_assert_not_null(why, "%s", text);
    cr_assert_str_eq(why, key, "%s", text);
}

static bool is(struct rc_str s, const char *z)
{
    return rc_str_eq(s, rc_str_of(z));
}

Test(sio, connect)
{
    struct rc_sio_packet p = parse_ok("0");

    cr_assert_eq(p.type, RC_SIO_CONNECT);
    cr_assert(is(p.nsp, "/"));
    cr_assert_not(p.has_id);
    cr_assert_eq(p.data.len, 0);
    cr_assert_eq(p.attachments, 0);
    p = parse_ok("0{\"token\":\"x\"}");
    cr_assert(is(p.data, "{\"token\":\"x\"}"));
    p = parse_ok("0/chat");
    cr_assert(is(p.nsp, "/chat"));
    p = parse_ok("0/chat,");
    cr_assert(is(p.nsp, "/chat"));
    p = parse_ok("0/chat,{}");
    cr_assert(is(p.nsp, "/chat"));
    cr_assert(is(p.data, "{}"));
    p = parse_ok("0/,{}");
    cr_assert(is(p.nsp, "/"));
    p = parse_ok("0/chat?a=b,{} ");
    cr_assert(is(p.nsp, "/chat?a=b"));
    cr_assert(is(p.data, "{}"));
    p = parse_ok("07{}");
    cr_assert_eq(p.id, 7);
}

Test(sio, connect_takes_an_object_or_nothing)
{
    refuses("0null");
    refuses("0[]");
    refuses("0\"a\"");
    refuses("0true");
    refuses("0{");
    refuses("0{}{}");
    refuses("0{}x");
    refuses("0/chat,[]");
    refuses("0,");
    refuses("0/a,,");
    refuses("0/a,/b");
    refuses("0 ");
    refuses("0 {}");
}

Test(sio, disconnect)
{
    struct rc_sio_packet p = parse_ok("1");

    cr_assert_eq(p.type, RC_SIO_DISCONNECT);
    p = parse_ok("1/custom");
    cr_assert(is(p.nsp, "/custom"));
    p = parse_ok("1/custom,");
    cr_assert(is(p.nsp, "/custom"));
    refuses("1null");
    refuses("1{}");
    refuses("1[]");
    refuses("1 ");
    refuses("1/custom,{}");
}

Test(sio, event)
{
    struct rc_sio_packet p = parse_ok("2[\"talk\"]");

    cr_assert_eq(p.type, RC_SIO_EVENT);
    cr_assert(is(p.event, "\"talk\""));
    cr_assert_eq(p.nargs, 0);
    cr_assert_eq(p.args_raw.len, 0);
    cr_assert_not(p.has_id);
    p = parse_ok("2/chat,17[ \"talk\" , {\"a\" : [1]} , \"b\" ]");
    cr_assert(is(p.nsp, "/chat"));
    cr_assert(p.has_id);
    cr_assert_eq(p.id, 17);
    cr_assert(is(p.event, "\"talk\""));
    cr_assert_eq(p.nargs, 2);
    cr_assert(is(p.args[0], "{\"a\" : [1]}"));
    cr_assert(is(p.args[1], "\"b\""));
    cr_assert(is(p.args_raw, "{\"a\" : [1]} , \"b\""));
    cr_assert(is(p.data, "[ \"talk\" , {\"a\" : [1]} , \"b\" ]"));
    p = parse_ok("2[\"a\",{\"_placeholder\":true,\"num\":5}]");
    cr_assert_eq(p.placeholder_seen, 0);
    p = parse_ok("2[\"a\"] \r\n\t");
    cr_assert(is(p.data, "[\"a\"]"));
    p = parse_ok("2[12.5,1]");
    cr_assert(is(p.event, "12.5"));
    p = parse_ok("2[\"\"]");
    cr_assert(is(p.event, "\"\""));
}

Test(sio, event_is_an_array_with_a_name)
{
    refuses("2");
    refuses("2/nsp");
    refuses("2/nsp,");
    refuses("21");
    refuses("2[]");
    refuses("2[ ]");
    refuses("2{}");
    refuses("2null");
    refuses("2\"a\"");
    refuses("2[null]");
    refuses("2[true]");
    refuses("2[false,\"a\"]");
    refuses("2[[\"a\"]]");
    refuses("2[{}]");
    refuses("2[\"a\"");
    refuses("2[\"a\",]");
    refuses("2[\"a\"]]");
    refuses("2[\"a\"]x");
    refuses("2 [\"a\"]");
    refuses("2\n[\"a\"]");
    refuses("2abc[\"a\"]");
    refuses("2-1[\"a\"]");
    refuses("2+1[\"a\"]");
    refuses("21.5[\"a\"]");
    refuses("21,[\"a\"]");
    refuses("2,[\"a\"]");
    refuses("20-[\"a\"]");
}

Test(sio, reserved_names)
{
    static const char *const names[] = {"connect",       "connect_error", "disconnect",
                                        "disconnecting", "newListener",   "removeListener"};
    char text[80];
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(text, sizeof(text), "2[\"%s\",1]", names[i]);
        refuses(text);
        (void)snprintf(text, sizeof(text), "51-[\"%s\"]", names[i]);
        refuses(text);
        (void)snprintf(text, sizeof(text), "2[\"\\u00%02x%s\"]", names[i][0], names[i] + 1);
        refuses(text);
        (void)snprintf(text, sizeof(text), "3[\"%s\"]", names[i]);
        cr_assert_eq(parse_ok(text).nargs, 1);
        (void)snprintf(text, sizeof(text), "2[\"%sx\"]", names[i]);
        (void)parse_ok(text);
        (void)snprintf(text, sizeof(text), "2[\"%.*s\"]", (int)strlen(names[i]) - 1, names[i]);
        (void)parse_ok(text);
        (void)snprintf(text, sizeof(text), "2[\"a\",\"%s\"]", names[i]);
        (void)parse_ok(text);
    }
    refuses("2[\"disconn\\u0065ct\"]");
    (void)parse_ok("2[\"Connect\"]");
    (void)parse_ok("2[\"disconnect\\u0000\"]");
    (void)parse_ok("2[\"error\"]");
}

Test(sio, ack_ids)
{
    struct rc_sio_packet p = parse_ok("20[\"x\"]");

    cr_assert(p.has_id);
    cr_assert_eq(p.id, 0);
    p = parse_ok("2007[\"x\"]");
    cr_assert_eq(p.id, 7);
    p = parse_ok("200000000000000000000000000000000000000001[\"x\"]");
    cr_assert_eq(p.id, 1);
    p = parse_ok("29007199254740991[\"x\"]");
    cr_assert_eq(p.id, UINT64_C(9007199254740991));
    refuses("29007199254740992[\"x\"]");
    refuses("218446744073709551616[\"x\"]");
    refuses("2184467440737095516160000000000000000000000000000000000000000000[\"x\"]");
}

Test(sio, ack)
{
    struct rc_sio_packet p = parse_ok("312[]");

    cr_assert_eq(p.type, RC_SIO_ACK);
    cr_assert_eq(p.id, 12);
    cr_assert_eq(p.nargs, 0);
    cr_assert_eq(p.args_raw.len, 0);
    cr_assert_eq(p.event.len, 0);
    p = parse_ok("3/a,0[null,1]");
    cr_assert_eq(p.nargs, 2);
    cr_assert(is(p.args[0], "null"));
    cr_assert(is(p.args[1], "1"));
    cr_assert(is(p.args_raw, "null,1"));
    p = parse_ok("3[]");
    cr_assert_not(p.has_id);
    refuses("3");
    refuses("31");
    refuses("31{}");
    refuses("31null");
    refuses("31\"a\"");
}

Test(sio, connect_error)
{
    struct rc_sio_packet p = parse_ok("4{\"message\":\"no\"}");

    cr_assert_eq(p.type, RC_SIO_CONNECT_ERROR);
    cr_assert(is(p.data, "{\"message\":\"no\"}"));
    p = parse_ok("4\"no\"");
    cr_assert(is(p.data, "\"no\""));
    p = parse_ok("4/a,\"no\"");
    cr_assert(is(p.nsp, "/a"));
    refuses("4");
    refuses("4[]");
    refuses("4null");
    refuses("4true");
    refuses("4\"no");
    refuses("4\"a\"\"b\"");
}

Test(sio, binary)
{
    struct rc_sio_packet p = parse_ok("52-/b,3[\"x\",{\"_placeholder\":true,\"num\":0},"
                                      "{\"a\":[{\"_placeholder\":true,\"num\":1}]}]");

    cr_assert_eq(p.type, RC_SIO_BINARY_EVENT);
    cr_assert_eq(p.attachments, 2);
    cr_assert(is(p.nsp, "/b"));
    cr_assert_eq(p.id, 3);
    cr_assert(is(p.event, "\"x\""));
    cr_assert_eq(p.nargs, 2);
    cr_assert_eq(p.placeholder_seen, 3);
    p = parse_ok("61-9[{\"_placeholder\":true,\"num\":0}]");
    cr_assert_eq(p.type, RC_SIO_BINARY_ACK);
    cr_assert_eq(p.attachments, 1);
    cr_assert_eq(p.nargs, 1);
    cr_assert_eq(p.placeholder_seen, 1);
    p = parse_ok("51-[\"unreferred\"]");
    cr_assert_eq(p.attachments, 1);
    cr_assert_eq(p.placeholder_seen, 0);
    p = parse_ok("5001-[\"a\"]");
    cr_assert_eq(p.attachments, 1);
    p = parse_ok("510-[\"a\"]");
    cr_assert_eq(p.attachments, 10);
}

Test(sio, binary_without_attachments)
{
    struct rc_sio_packet p = parse_ok("50-[\"a\",{\"_placeholder\":true,\"num\":0}]");

    cr_assert_eq(p.type, RC_SIO_BINARY_EVENT);
    cr_assert_eq(p.attachments, 0);
    cr_assert_eq(p.placeholder_seen, 0);
    p = parse_ok("60-1[]");
    cr_assert_eq(p.attachments, 0);
}

Test(sio, illegal_attachments)
{
    refuses("5");
    refuses("5[\"a\"]");
    refuses("51[\"a\"]");
    refuses("51");
    refuses("5-[\"a\"]");
    refuses("5-1-[\"a\"]");
    refuses("51.0-[\"a\"]");
    refuses("51e0-[\"a\"]");
    refuses("5 1-[\"a\"]");
    refuses("5/a,1-[\"a\"]");
    refuses("51-");
    refuses("51-[]");
    refuses("61-{}");
    refuses("51-[\"a\",{\"_placeholder\":true,\"num\":1}]");
    refuses("51-[\"a\",{\"_placeholder\":true,\"num\":-1}]");
    refuses("51-[\"a\",{\"_placeholder\":true,\"num\":0.5}]");
    refuses("51-[\"a\",{\"_placeholder\":true,\"num\":\"0\"}]");
    refuses("51-[\"a\",{\"_placeholder\":true}]");
    refuses("61-[{\"_placeholder\":true,\"num\":\"splice\"}]");
}

Test(sio, unknown_types)
{
    char text[4] = "x[]";
    unsigned c;
    struct rc_sio_packet p;
    const char *why;

    for (c = 0; c < 256; c++) {
        text[0] = (char)c;
        if (c != '3')
            cr_assert_eq(parse(rc_str_make(text, 3), &p, &why), RC_EPROTO, "%u", c);
    }
    cr_assert_eq(parse(RC_STR_NONE, &p, &why), RC_EPROTO);
}

Test(sio, limits_are_named)
{
    (void)parse_ok("2[\"a\",1,2,3,4]");
    limited("2[\"a\",1,2,3,4,5]", "max_args");
    (void)parse_ok("31[1,2,3,4]");
    limited("31[1,2,3,4,5]", "max_args");
    limited("2[\"a\",1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9]",
            "max_args");
    (void)parse_ok("2/12345678901,[\"a\"]");
    limited("2/123456789012,[\"a\"]", "max_namespace_length");
    limited("0/123456789012", "max_namespace_length");
    (void)parse_ok("2[\"1234567890123456\"]");
    limited("2[\"12345678901234567\"]", "max_event_length");
    (void)parse_ok("2[\"\\u0061\\u0061\\u0061\\u0061\\u0061\\u0061\\u0061\\u0061\"]");
    limited("2[\"\\u20ac\\u20ac\\u20ac\\u20ac\\u20ac\\u20ac\"]", "max_event_length");
    (void)parse_ok("2[1234567890123456]");
    limited("2[12345678901234567]", "max_event_length");
    limited("511-[\"a\"]", "max_attachments");
    limited("54294967297-[\"a\"]", "max_attachments");
    limited("599999999999999999999999999-[\"a\"]", "max_attachments");
    limited("2[\"a\",[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", "json_depth");
    limited("0{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}", "json_depth");
    (void)parse_ok("2[\"a\",[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]");
}

Test(sio, limits_beyond_the_arrays)
{
    struct rc_sio_limits lim = {.max_depth = 4, .max_attachments = 99, .max_args = 99};
    struct rc_sio_packet p;
    const char *why;
    char text[200] = "3[0";
    unsigned i;

    for (i = 1; i < RC_SIO_ARGS_MAX; i++)
        (void)strcat(text, ",1");
    (void)strcat(text, "]");
    cr_assert_eq(rc_sio_parse(rc_str_of(text), &lim, &p, &why), RC_OK);
    cr_assert_eq(p.nargs, RC_SIO_ARGS_MAX);
    text[strlen(text) - 1] = '\0';
    (void)strcat(text, ",1]");
    cr_assert_eq(rc_sio_parse(rc_str_of(text), &lim, &p, &why), RC_ELIMIT);
    cr_assert_str_eq(why, "max_args");
    cr_assert_eq(rc_sio_parse(RC_STR("632-[]"), &lim, &p, &why), RC_OK);
    cr_assert_eq(rc_sio_parse(RC_STR("633-[]"), &lim, &p, &why), RC_ELIMIT);
    cr_assert_str_eq(why, "max_attachments");
}

Test(sio, each_truncation)
{
    static const char *const texts[] = {
        "0/chat,{\"token\":\"abc\"}",
        "2/chat,17[\"talk\",{\"a\":[1,true]},\"b\\n\"]",
        "31[\"a\",null]",
        "4{\"message\":\"no\"}",
        "52-/b,3[\"x\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]",
        "61-9[{\"_placeholder\":true,\"num\":0}]",
    };
    size_t i, n;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        for (n = 0; n < strlen(texts[i]); n++) {
            struct rc_sio_packet p;
            const char *why;
            int rc = parse(rc_str_make(texts[i], n), &p, &why);
            /* "0", "0/c", "0/chat," need nothing behind them. */
            bool whole = texts[i][0] == '0' && n >= 1 && n <= 7;

            cr_assert_eq(rc, whole ? RC_OK : RC_EPROTO, "%zu bytes of %s", n, texts[i]);
        }
    }
}

static void check_head(const char *expect, enum rc_sio_type type, unsigned attachments,
                       const char *nsp, int64_t id)
{
    struct rc_buf b = RC_BUF_INIT;

    rc_sio_put_head(&b, type, attachments, rc_str_of(nsp), id >= 0, (uint64_t)id);
    cr_assert(rc_str_eq(rc_buf_str(&b), rc_str_of(expect)), "%s", expect);
    rc_buf_deinit(&b);
}

Test(sio, heads)
{
    check_head("40", RC_SIO_CONNECT, 0, "/", -1);
    check_head("40/chat,", RC_SIO_CONNECT, 0, "/chat", -1);
    check_head("41/chat,", RC_SIO_DISCONNECT, 0, "/chat", -1);
    check_head("42", RC_SIO_EVENT, 0, "/", -1);
    check_head("420", RC_SIO_EVENT, 0, "/", 0);
    check_head("43/a,12", RC_SIO_ACK, 0, "/a", 12);
    check_head("43/a,9007199254740991", RC_SIO_ACK, 0, "/a", INT64_C(9007199254740991));
    check_head("44/a,", RC_SIO_CONNECT_ERROR, 0, "/a", -1);
    check_head("451-", RC_SIO_BINARY_EVENT, 1, "/", -1);
    check_head("451-/nsp,17", RC_SIO_BINARY_EVENT, 1, "/nsp", 17);
    check_head("4610-3", RC_SIO_BINARY_ACK, 10, "/", 3);
}

Test(sio, a_head_parses_to_what_was_put)
{
    struct rc_buf b = RC_BUF_INIT;
    struct rc_sio_packet p;
    const char *why;

    rc_sio_put_head(&b, RC_SIO_BINARY_EVENT, 3, RC_STR("/nsp"), true, 42);
    rc_buf_putz(&b, "[\"a\"]");
    cr_assert_eq(rc_sio_parse(rc_str_skip(rc_buf_str(&b), 1), &limits, &p, &why), RC_OK);
    cr_assert_eq(p.type, RC_SIO_BINARY_EVENT);
    cr_assert_eq(p.attachments, 3);
    cr_assert(is(p.nsp, "/nsp"));
    cr_assert_eq(p.id, 42);
    rc_buf_deinit(&b);
}

/* ---- revision 4: a query behind the namespace ---- */

static struct rc_sio_packet parse_old(const char *text)
{
    struct rc_sio_limits old = limits;
    struct rc_sio_packet p;
    const char *why;

    old.nsp_query = true;
    cr_assert_eq(rc_sio_parse(rc_str_of(text), &old, &p, &why), RC_OK, "%s", text);
    return p;
}

Test(sio, a_query_is_no_part_of_an_old_namespace)
{
    struct rc_sio_packet p = parse_old("0/chat?k=v&x=/a?b,");
    struct rc_sio_limits old = limits;
    const char *why;

    cr_assert(is(p.nsp, "/chat"));
    cr_assert(is(p.query, "k=v&x=/a?b"));
    p = parse_old("2/chat?k=v,17[\"a\"]");
    cr_assert(is(p.nsp, "/chat"));
    cr_assert(is(p.query, "k=v"));
    cr_assert_eq(p.id, 17u);
    p = parse_old("0/chat#?x");
    cr_assert(is(p.nsp, "/chat"));
    cr_assert_eq(p.query.len, 0u);
    p = parse_old("0/chat?a#b?c,");
    cr_assert(is(p.query, "a"));
    p = parse_old("0/?a=1,");
    cr_assert(is(p.nsp, "/"));
    cr_assert(is(p.query, "a=1"));
    p = parse_old("0");
    cr_assert(is(p.nsp, "/"));
    cr_assert_eq(p.query.len, 0u);
    /* the limit is the name's */
    cr_assert(
        is(parse_old("0/twelve-char?0123456789012345678901234567890").nsp, "/twelve-char"));
    old.nsp_query = true;
    cr_assert_eq(rc_sio_parse(RC_STR("0/thirteen-chr?a"), &old, &p, &why), RC_ELIMIT);
    cr_assert_str_eq(why, "max_namespace_length");
    /* and today it belongs to the name */
    p = parse_ok("0/c?k=v,");
    cr_assert(is(p.nsp, "/c?k=v"));
    cr_assert_eq(p.query.len, 0u);
}

static void query(const char *text, const char *json)
{
    struct rc_buf b = RC_BUF_INIT;

    rc_sio_put_query(&b, rc_str_of(text));
    cr_assert(is(rc_buf_str(&b), json), "%s: %.*s", text, RC_STR_ARG(rc_buf_str(&b)));
    rc_buf_deinit(&b);
}

Test(sio, queries_as_json)
{
    query("", "{}");
    query("&&", "{}");
    query("a=1", "{\"a\":\"1\"}");
    query("a=1&b=x%20y+z&c", "{\"a\":\"1\",\"b\":\"x y z\",\"c\":\"\"}");
    query("=v&a==b=&", "{\"\":\"v\",\"a\":\"=b=\"}");
    query("%61=%C3%BC%f0%9f%91%8d", "{\"a\":\"ü👍\"}");
    query("a=\"\\%0a%00", "{\"a\":\"\\\"\\\\\\n\\u0000\"}");
    query("a=%&b=%4&c=%zz&d=%4g", "{\"a\":\"%\",\"b\":\"%4\",\"c\":\"%zz\",\"d\":\"%4g\"}");
    query("a=1&a=2", "{\"a\":\"1\",\"a\":\"2\"}");
}

Test(sio, queries_that_are_no_utf8)
{
#define FFFD "\xEF\xBF\xBD"
    query("a=%ff", "{\"a\":\"" FFFD "\"}");
    query("a=x%c3", "{\"a\":\"x" FFFD "\"}");
    query("a=%c3%28", "{\"a\":\"" FFFD "(\"}");
    query("a=%f0%9f%91y", "{\"a\":\"" FFFD "y\"}");
    query("a=%f0%9f%f0%9f%91%8d", "{\"a\":\"" FFFD "👍\"}");
    query("a=%ed%a0%80", "{\"a\":\"" FFFD FFFD FFFD "\"}");
    query("a=%c0%af", "{\"a\":\"" FFFD FFFD "\"}");
}

/* A head of our own may be longer than what clients are allowed. */
Test(sio, split)
{
    struct rc_sio_head p;

    cr_assert_eq(rc_sio_split(RC_STR("2/a-long-namespace,17[1]"), &p), RC_OK);
    cr_assert_eq(p.type, RC_SIO_EVENT);
    cr_assert(is(p.nsp, "/a-long-namespace"));
    cr_assert(p.has_id);
    cr_assert_eq(p.id, 17);
    cr_assert(is(p.data, "[1]"));
    cr_assert_eq(rc_sio_split(RC_STR("632-[not looked at"), &p), RC_OK);
    cr_assert_eq(p.attachments, 32);
    cr_assert_not(p.has_id);
    cr_assert(is(p.data, "[not looked at"));
    cr_assert_eq(rc_sio_split(RC_STR("1"), &p), RC_OK);
    cr_assert_eq(p.data.len, 0);
    cr_assert_eq(rc_sio_split(RC_STR("533-[]"), &p), RC_EPROTO);
    cr_assert_eq(rc_sio_split(RC_STR("5-[]"), &p), RC_EPROTO);
    cr_assert_eq(rc_sio_split(RC_STR("51[]"), &p), RC_EPROTO);
    cr_assert_eq(rc_sio_split(RC_STR("51"), &p), RC_EPROTO);
    cr_assert_eq(rc_sio_split(RC_STR("4/x"), &p), RC_OK);
    cr_assert(is(p.nsp, "/x"));
    cr_assert_eq(rc_sio_split(RC_STR("7"), &p), RC_EPROTO);
    cr_assert_eq(rc_sio_split(RC_STR_NONE, &p), RC_EPROTO);
}

static void moved(const char *json, unsigned n, unsigned first, const char *expected)
{
    struct rc_buf got = RC_BUF_INIT;

    rc_sio_put_moved(&got, rc_str_of(json), n, first);
    cr_assert(is(rc_buf_str(&got), expected), "%.*s", (int)got.len, (const char *)got.data);
    rc_buf_deinit(&got);
}

Test(sio, attachments_are_moved)
{
#define AT(n) "{\"_placeholder\":true,\"num\":" n "}"
    moved("[" AT("0") ",1]", 1, 0, "[" AT("0") ",1]");
    moved("[" AT("0") "]", 0, 3, "[" AT("0") "]"); /* it is none */
    moved("[" AT("0") "," AT("1") "," AT("0") "]", 2, 9,
          "[" AT("9") "," AT("10") "," AT("9") "]");
    moved("[{\"a\":[" AT("1") "]},\"_placeholder\",{}]", 2, 1,
          "[{\"a\":[" AT("2") "]},\"_placeholder\",{}]");
    moved("[ {\"num\" : 0, \"x\":{\"y\":[]},\"_placeholder\":true} , 7 ]", 1, 4,
          "[" AT("4") ",7]");
    moved("[{\"_placeholder\":false,\"num\":0},{\"_placeholder\":true,\"num\":5}]", 1, 4,
          "[{\"_placeholder\":false,\"num\":0},{\"_placeholder\":true,\"num\":5}]");
}

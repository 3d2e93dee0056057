#include "rc/base/mem.h"
#include "rc/proto/json.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* A copy of exactly this size, so that a sanitizer sees a read beyond the end. */
static struct rc_str exact(struct rc_str s)
{
    char *p = rc_malloc(s.len != 0 ? s.len : 1);

    memcpy(p, s.p, s.len);
    return rc_str_make(p, s.len);
}

static void drop(struct rc_str s)
{
    union {
        const char *c;
        void *v;
    } u = {.c = s.p};

    free(u.v);
}

static int validate(const char *text, unsigned max_depth)
{
    struct rc_json_walk w = {.max_depth = max_depth};
    struct rc_str s = exact(rc_str_of(text));
    int rc = rc_json_validate(s, &w);

    drop(s);
    return rc;
}

static const char *const good[] = {
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-1",
    "10",
    "1234567890123456789012345678901234567890",
    "0.5",
    "-0.0",
    "1e5",
    "1E+5",
    "1.25e-7",
    "0e0",
    "\"\"",
    "\"a\"",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uABCD\\uabcd\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\"\\ude00\\ud83d\"",
    "\"\x7f\"",
    "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
    "\"a string that is longer than one machine word, and then some\"",
    "\"1234567\"",
    "\"12345678\"",
    "\"123456789\"",
    "[]",
    "{}",
    "[[]]",
    "[{}]",
    "{\"\":{}}",
    "{\"a\":[]}",
    "[1,2,3]",
    "[[],[],{}]",
    "{\"a\":1,\"a\":2}",
    " \t\r\n[ \t\r\n1 \t\r\n, \t\r\n2 \t\r\n] \t\r\n",
    "\n{\n\"a\"\n:\n[\n]\n,\n\"b\"\n:\nnull\n}\n",
    "{\"a\":{\"b\":[{\"c\":\"d\"},[true,false,null,-1.5e3]]},\"e\":\"\"}",
};

static const char *const bad[] = {
    "",
    " ",
    "nul",
    "nulll",
    "True",
    "tru",
    "falsee",
    "NaN",
    "Infinity",
    "undefined",
    "00",
    "01",
    "-",
    "-01",
    "+1",
    ".5",
    "1.",
    "1.e5",
    "1e",
    "1e+",
    "1e5.5",
    "0x10",
    "1 2",
    "--1",
    "1-",
    "1_000",
    "\"",
    "\"a",
    "'a'",
    "\"\\\"",
    "\"\\",
    "\"\\x\"",
    "\"\\a\"",
    "\"\\v\"",
    "\"\\0\"",
    "\"\\U0041\"",
    "\"\\u\"",
    "\"\\u12\"",
    "\"\\u123\"",
    "\"\\u123g\"",
    "\"\\u 123\"",
    "\"\n\"",
    "\"\t\"",
    "\"12345678\n\"",
    "\"\x1f\"",
    "\"\x01\"",
    "\"a\"b",
    "[",
    "]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[,]",
    "[1,,2]",
    "[1 2]",
    "[1}",
    "[1:2]",
    "[1]]",
    "[[1]",
    "[1],",
    "[]]",
    "[}",
    "{",
    "}",
    "{]",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{,}",
    "{\"a\"}",
    "{\"a\",1}",
    "{\"a\" 1}",
    "{\"a\"::1}",
    "{a:1}",
    "{1:1}",
    "{\"a\":1 \"b\":2}",
    "{\"a\":1]",
    "{\"a\":1}}",
    "{null:1}",
    "{[]:1}",
    "\v1",
    "\f1",
    "1\v",
    "\xc2\xa0"
    "1",
    "\xef\xbb\xbf"
    "1",
    "// x\n1",
    "/**/1",
    "[1]#",
    "\"\x80",
};

Test(json, accepts_what_json_parse_accepts)
{
    size_t i;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_assert_eq(validate(good[i], 16), RC_OK, "%s", good[i]);
}

Test(json, refuses_what_json_parse_refuses)
{
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(validate(bad[i], 16), RC_EPROTO, "%s", bad[i]);
}

Test(json, a_nul_byte_is_no_json)
{
    struct rc_json_walk w = {.max_depth = 4};

    cr_assert_eq(rc_json_validate(rc_str_make("1\0", 2), &w), RC_EPROTO);
    cr_assert_eq(rc_json_validate(rc_str_make("\"\0\"", 3), &w), RC_EPROTO);
    cr_assert_eq(rc_json_validate(rc_str_make("[\0]", 3), &w), RC_EPROTO);
    cr_assert_eq(rc_json_validate(RC_STR_NONE, &w), RC_EPROTO);
}

/* No container and no string stays valid when its end is cut off. */
Test(json, each_truncation_is_refused)
{
    size_t i, n;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct rc_str all = rc_str_of(good[i]);
        size_t len = all.len;

        while (len != 0 && strchr(" \t\r\n", all.p[len - 1]) != NULL)
            len--;
        for (n = 0; n < len; n++) {
            struct rc_json_walk w = {.max_depth = 16};
            struct rc_str cut = exact(rc_str_make(all.p, n));
            int rc = rc_json_validate(cut, &w);

            drop(cut);
            if (strchr("\"[{", all.p[0]) != NULL || all.p[0] == ' ' || all.p[0] == '\n')
                cr_assert_eq(rc, RC_EPROTO, "%zu bytes of %s", n, good[i]);
            else
                cr_assert(rc == RC_OK || rc == RC_EPROTO);
        }
    }
}

/* The scanner of strings looks at eight bytes at once: each byte value at each offset. */
Test(json, each_byte_in_a_string_at_each_offset)
{
    char text[40];
    unsigned c, at;

    for (c = 0; c < 256; c++) {
        for (at = 0; at < 24; at++) {
            struct rc_json_walk w = {.max_depth = 1};
            struct rc_str s;
            int rc;

            memset(text, 'x', sizeof(text));
            text[0] = '"';
            text[25] = '"';
            text[1 + at] = (char)c;
            s = exact(rc_str_make(text, 26));
            rc = rc_json_validate(s, &w);
            drop(s);
            cr_assert_eq(rc == RC_OK, c >= 0x20 && c != '"' && c != '\\', "%u at %u", c, at);
        }
    }
}

Test(json, depth_is_limited)
{
    char text[4100];
    struct rc_json_walk w = {.max_depth = 5000};
    unsigned n;

    cr_assert_eq(validate("1", 0), RC_OK);
    cr_assert_eq(validate("[]", 0), RC_ELIMIT);
    cr_assert_eq(validate("[]", 1), RC_OK);
    cr_assert_eq(validate("[[]]", 1), RC_ELIMIT);
    cr_assert_eq(validate("[[],{}]", 2), RC_OK);
    cr_assert_eq(validate("{\"a\":{\"b\":[]}}", 3), RC_OK);
    cr_assert_eq(validate("{\"a\":{\"b\":[]}}", 2), RC_ELIMIT);
    cr_assert_eq(validate("[[[1", 2), RC_ELIMIT);
    for (n = 1000; n <= 2000; n += 1000) {
        memset(text, '[', n);
        memset(text + n, ']', n);
        cr_assert_eq(rc_json_validate(rc_str_make(text, (size_t)2 * n), &w),
                     n == 1000 ? RC_OK : RC_ELIMIT);
    }
}

Test(json, type_by_the_first_byte)
{
    cr_assert_eq(rc_json_type(RC_STR("\"a\"")), RC_JSON_STRING);
    cr_assert_eq(rc_json_type(RC_STR("{}")), RC_JSON_OBJECT);
    cr_assert_eq(rc_json_type(RC_STR("[]")), RC_JSON_ARRAY);
    cr_assert_eq(rc_json_type(RC_STR("true")), RC_JSON_TRUE);
    cr_assert_eq(rc_json_type(RC_STR("false")), RC_JSON_FALSE);
    cr_assert_eq(rc_json_type(RC_STR("null")), RC_JSON_NULL);
    cr_assert_eq(rc_json_type(RC_STR("-1")), RC_JSON_NUMBER);
    cr_assert_eq(rc_json_type(RC_STR("0")), RC_JSON_NUMBER);
    cr_assert_eq(rc_json_type(RC_STR("9")), RC_JSON_NUMBER);
    cr_assert_eq(rc_json_type(RC_STR("x")), RC_JSON_INVALID);
    cr_assert_eq(rc_json_type(RC_STR("\xff")), RC_JSON_INVALID);
    cr_assert_eq(rc_json_type(RC_STR_NONE), RC_JSON_INVALID);
}

static void check_slices(const char *text, unsigned n, const char *const *expect)
{
    struct rc_json_walk w = {.max_depth = 8};
    struct rc_str s = exact(rc_str_of(text)), elem[8];
    unsigned i;

    cr_assert_eq(rc_json_array(s, elem, 8, &w), (int)n, "%s", text);
    for (i = 0; i < n; i++)
        cr_assert(rc_str_eq(elem[i], rc_str_of(expect[i])), "%u of %s", i, text);
    drop(s);
}

/* Arrays of strings have a way of their own, which must find the same. */
Test(json, arrays_of_strings)
{
    static const char *const faulty[] = {"[\"a\",]", "[\"a\"",     "[\"a",          "[\"",
                                         "[\"a\"]x", "[\"a\",\"b", "[\"a\" \"b\"]", "[\"\\x\"]",
                                         "[,\"a\"]", "[\"a\"},"};
    struct rc_json_walk flat = {.max_depth = 0};
    struct rc_str elem[2];

    check_slices("[\"\"]", 1, (const char *const[]){"\"\""});
    check_slices("[\"a\",\"b]\",\"\\\"\"]", 3,
                 (const char *const[]){"\"a\"", "\"b]\"", "\"\\\"\""});
    check_slices("[\"a\", \"b\"]", 2, (const char *const[]){"\"a\"", "\"b\""});
    check_slices("[\"a\",\"b\"] ", 2, (const char *const[]){"\"a\"", "\"b\""});
    check_slices("[\"a\",1]", 2, (const char *const[]){"\"a\"", "1"});
    for (unsigned i = 0; i < sizeof(faulty) / sizeof(faulty[0]); i++) {
        struct rc_json_walk w = {.max_depth = 8};

        cr_assert_eq(rc_json_array(rc_str_of(faulty[i]), elem, 2, &w), RC_EPROTO);
    }
    for (unsigned max = 0; max <= 2;
         max++) { /* those that do not fit are counted all the same */
        struct rc_json_walk w = {.max_depth = 8};

        cr_assert_eq(rc_json_array(RC_STR("[\"a\",\"b\",\"c\"]"), elem, max, &w), 3);
    }
    cr_assert_eq(rc_json_array(RC_STR("[\"a\"]"), elem, 2, &flat), RC_ELIMIT);
}

Test(json, array_is_cut_into_its_elements)
{
    check_slices("[]", 0, NULL);
    check_slices(" [ ] ", 0, NULL);
    check_slices("[1]", 1, (const char *const[]){"1"});
    check_slices("[[]]", 1, (const char *const[]){"[]"});
    check_slices("[{}]", 1, (const char *const[]){"{}"});
    check_slices("[[],{},[]]", 3, (const char *const[]){"[]", "{}", "[]"});
    check_slices("[\"a\",-1.5,true,null]", 4,
                 (const char *const[]){"\"a\"", "-1.5", "true", "null"});
    check_slices(" [ \"a,]\" , [ 1 , [2] ] , {\"b\" : [3, {}] } ] ", 3,
                 (const char *const[]){"\"a,]\"", "[ 1 , [2] ]", "{\"b\" : [3, {}] }"});
    check_slices("[\"\\\"]\",\"\\\\\"]", 2, (const char *const[]){"\"\\\"]\"", "\"\\\\\""});
}

Test(json, array_counts_what_does_not_fit)
{
    struct rc_json_walk w = {.max_depth = 2};
    struct rc_str elem[3] = {RC_STR("x"), RC_STR("x"), RC_STR("untouched")};

    cr_assert_eq(rc_json_array(RC_STR("[1,2,[3],4]"), elem, 2, &w), 4);
    cr_assert(rc_str_eq(elem[0], RC_STR("1")));
    cr_assert(rc_str_eq(elem[1], RC_STR("2")));
    cr_assert(rc_str_eq(elem[2], RC_STR("untouched")));
    cr_assert_eq(rc_json_array(RC_STR("[1,2]"), NULL, 0, &w), 2);
    cr_assert_eq(rc_json_array(RC_STR("[1,2,[3],4x]"), elem, 2, &w), RC_EPROTO);
    cr_assert_eq(rc_json_array(RC_STR("[1,2,[[3]]]"), elem, 2, &w), RC_ELIMIT);
}

Test(json, array_is_nothing_but_an_array)
{
    struct rc_json_walk w = {.max_depth = 4};
    const char *const texts[] = {"{}", "1", "\"[]\"", "null",  "",
                                 " ",  "[", "[]]",    "[] []", "[1,]"};
    struct rc_str elem[2];
    size_t i;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        cr_assert_eq(rc_json_array(rc_str_of(texts[i]), elem, 2, &w), RC_EPROTO, "%s",
                     texts[i]);
}

static void check_placeholders(const char *text, uint32_t seen, bool is_bad)
{
    struct rc_json_walk w = {.max_depth = 8, .attachments = 3, .placeholders = true};
    struct rc_str s = exact(rc_str_of(text)), elem[4];

    cr_assert_geq(rc_json_array(s, elem, 4, &w), 0, "%s", text);
    cr_assert_eq(w.placeholder_seen, seen, "%s", text);
    cr_assert_eq(w.placeholder_bad, is_bad, "%s", text);
    drop(s);
}

Test(json, placeholders_are_found)
{
    check_placeholders("[\"x\",{\"_placeholder\":true,\"num\":0}]", 1, false);
    check_placeholders("[{\"num\":2,\"_placeholder\":true}]", 4, false);
    check_placeholders("[ { \"_placeholder\" : true , \"num\" : 1 } ]", 2, false);
    check_placeholders("[{\"a\":[{\"_placeholder\":true,\"num\":0}],"
                       "\"b\":{\"_placeholder\":true,\"num\":1}}]",
                       3, false);
    check_placeholders("[{\"_placeholder\":true,\"num\":1,\"more\":[{}]}]", 2, false);
    check_placeholders("[{\"_plac\\u0065holder\":true,\"n\\u0075m\":1}]", 2, false);
    /* The last of equal keys counts. */
    check_placeholders("[{\"_placeholder\":false,\"_placeholder\":true,\"num\":7,\"num\":0}]",
                       1, false);
    check_placeholders("[{\"_placeholder\":true,\"_placeholder\":[],\"num\":7}]", 0, false);
}

Test(json, what_only_looks_like_a_placeholder)
{
    check_placeholders("[\"_placeholder\",true,\"num\",0]", 0, false);
    check_placeholders("[{\"_placeholder\":false,\"num\":0}]", 0, false);
    check_placeholders("[{\"_placeholder\":\"true\",\"num\":9}]", 0, false);
    check_placeholders("[{\"_placeholder\":1,\"num\":9}]", 0, false);
    check_placeholders("[{\"_placeholder\":{\"_placeholder\":true},\"num\":9}]", 0, true);
    check_placeholders("[{\"_placeholder\":[true],\"num\":9}]", 0, false);
    check_placeholders("[{\"num\":9}]", 0, false);
    check_placeholders("[{\"a\":{\"_placeholder\":false},\"num\":9}]", 0, false);
    check_placeholders("[{\"_placeholderr\":true,\"num\":9}]", 0, false);
}

Test(json, placeholders_out_of_range)
{
    const char *const nums[] = {"3",    "99",  "100",   "-1",  "-0",        "0.0",
                                "0.5",  "1e0", "\"0\"", "[0]", "{}",        "null",
                                "true", "32",  "31",    "256", "4294967296"};
    char text[80];
    size_t i;

    for (i = 0; i < sizeof(nums) / sizeof(nums[0]); i++) {
        (void)snprintf(text, sizeof(text), "[{\"_placeholder\":true,\"num\":%s}]", nums[i]);
        check_placeholders(text, 0, true);
    }
    check_placeholders("[{\"_placeholder\":true}]", 0, true);
    check_placeholders("[{\"_placeholder\":true,\"num\":0,\"num\":[0]}]", 0, true);
    check_placeholders("[{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":3}]",
                       1, true);
}

Test(json, placeholder_numbers_up_to_the_mask)
{
    struct rc_json_walk w = {.max_depth = 4, .attachments = 32, .placeholders = true};

    cr_assert_eq(rc_json_validate(RC_STR("{\"_placeholder\":true,\"num\":31}"), &w), RC_OK);
    cr_assert_eq(w.placeholder_seen, UINT32_C(1) << 31);
    cr_assert_not(w.placeholder_bad);
    w.attachments = 40;
    cr_assert_eq(rc_json_validate(RC_STR("{\"_placeholder\":true,\"num\":32}"), &w), RC_OK);
    cr_assert(w.placeholder_bad);
}

Test(json, placeholders_are_ignored_unless_asked_for)
{
    struct rc_json_walk w = {.max_depth = 4};

    cr_assert_eq(rc_json_validate(RC_STR("{\"_placeholder\":true,\"num\":9}"), &w), RC_OK);
    cr_assert_eq(w.placeholder_seen, 0);
    cr_assert_not(w.placeholder_bad);
}

static void check_get(const char *object, const char *key, const char *expect)
{
    struct rc_str s = exact(rc_str_of(object));
    struct rc_str found = rc_json_get(s, rc_str_of(key));

    if (expect == NULL)
        cr_assert(found.p == NULL && found.len == 0, "%s in %s", key, object);
    else
        cr_assert(rc_str_eq(found, rc_str_of(expect)), "%s in %s", key, object);
    drop(s);
}

Test(json, get_finds_top_level_keys)
{
    check_get("{\"a\":1}", "a", "1");
    check_get(" { \"a\" : 1 , \"b\" : [ 2 , {} ] } ", "a", "1");
    check_get(" { \"a\" : 1 , \"b\" : [ 2 , {} ] } ", "b", "[ 2 , {} ]");
    check_get("{\"a\":\"x\\\"}\",\"b\":null}", "a", "\"x\\\"}\"");
    check_get("{\"a\":\"x\\\"}\",\"b\":null}", "b", "null");
    check_get("{\"a\":{\"b\":1},\"c\":{\"a\":2}}", "a", "{\"b\":1}");
    check_get("{\"a\":{\"b\":1},\"c\":{\"a\":2}}", "b", NULL);
    check_get("{\"a\":1,\"a\":2}", "a", "2");
    check_get("{\"\\u0061\":1}", "a", "1");
    check_get("{\"a\\nb\":1}", "a\nb", "1");
    check_get("{\"\":1}", "", "1");
    check_get("{\"ab\":1}", "a", NULL);
    check_get("{\"a\":1}", "ab", NULL);
    check_get("{}", "a", NULL);
    check_get("{}", "", NULL);
    check_get("", "a", NULL);
    check_get("[\"a\",1]", "a", NULL);
    check_get("\"a\"", "a", NULL);
    check_get("null", "a", NULL);
    check_get("{\"\\ud83d\\ude00\":true}", "\xf0\x9f\x98\x80", "true");
}

Test(json, get_survives_what_was_never_validated)
{
    struct rc_str all = RC_STR(" {\"a\":[1,{\"b\":\"c\\u0041\"}],\"d\":-1.5,\"e\":null} ");
    size_t n;

    for (n = 0; n < all.len; n++) {
        struct rc_str cut = exact(rc_str_make(all.p, n));

        (void)rc_json_get(cut, RC_STR("e"));
        cr_assert_eq(rc_json_get(cut, RC_STR("x")).len, 0);
        drop(cut);
    }
    check_get("{\"a\":}", "b", NULL);
    check_get("{]", "b", NULL);
    check_get("{\"a\"]", "a", NULL);
}

static void check_decode(const char *string, const char *expect, size_t len)
{
    struct rc_str s = exact(rc_str_of(string));
    struct rc_buf b = RC_BUF_INIT;

    cr_assert_eq(rc_json_string_decode(s, &b), RC_OK, "%s", string);
    cr_assert(rc_str_eq(rc_buf_str(&b), rc_str_make(expect, len)), "%s", string);
    cr_assert_eq(rc_json_string_len(s), len, "%s", string);
    cr_assert(rc_json_string_eq(s, rc_str_make(expect, len)), "%s", string);
    cr_assert_not(rc_json_string_eq(s, rc_str_make("another", 7)), "%s", string);
    if (len != 0)
        cr_assert_not(rc_json_string_eq(s, rc_str_make(expect, len - 1)), "%s", string);
    rc_buf_deinit(&b);
    drop(s);
}

Test(json, strings_are_decoded)
{
    check_decode("\"\"", "", 0);
    check_decode("\"abc\"", "abc", 3);
    check_decode("\"a string longer than a word\"", "a string longer than a word", 27);
    check_decode("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8);
    check_decode("\"a\\nb\"", "a\nb", 3);
    check_decode("\"\\u0000\"", "\0", 1);
    check_decode("\"\\u0041\\u00e9\\u20AC\"", "A\xc3\xa9\xe2\x82\xac", 6);
    check_decode("\"\\u07ff\\u0800\\uffff\"", "\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf", 8);
    check_decode("\"\\ud83d\\ude00!\"", "\xf0\x9f\x98\x80!", 5);
    check_decode("\"\\ud800\\udc00\\udbff\\udfff\"", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8);
    check_decode("\"\xc3\xa9\"", "\xc3\xa9", 2);
}

Test(json, lone_surrogates_become_the_replacement_character)
{
    check_decode("\"\\ud800\"", "\xef\xbf\xbd", 3);
    check_decode("\"\\udc00\"", "\xef\xbf\xbd", 3);
    check_decode("\"\\udc00\\ud800\"", "\xef\xbf\xbd\xef\xbf\xbd", 6);
    check_decode("\"\\ud800\\ud800\\udc00\"", "\xef\xbf\xbd\xf0\x90\x80\x80", 7);
    check_decode("\"\\ud800x\"", "\xef\xbf\xbdx", 4);
    check_decode("\"\\ud800\\n\"", "\xef\xbf\xbd\n", 4);
    check_decode("\"\\ud800\\u0041\"",
                 "\xef\xbf\xbd"
                 "A",
                 4);
    check_decode("\"\\ud800dc00\"",
                 "\xef\xbf\xbd"
                 "dc00",
                 7);
}

Test(json, decode_refuses_what_is_no_string)
{
    const char *const texts[] = {"",        "\"",     "a",        "1",         "null",
                                 "[]",      "\"a",    "a\"",      "\"a\"b\"",  "\"\\\"",
                                 "\"\\x\"", "\"\n\"", "\"\\u1\"", "\"\\u12\"", "\"ok\\u123\""};
    struct rc_buf b = RC_BUF_INIT;
    size_t i;

    rc_buf_putz(&b, "kept");
    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct rc_str s = exact(rc_str_of(texts[i]));

        cr_assert_eq(rc_json_string_decode(s, &b), RC_EPROTO, "%s", texts[i]);
        cr_assert(rc_str_eq(rc_buf_str(&b), RC_STR("kept")), "%s", texts[i]);
        cr_assert_not(rc_json_string_eq(s, RC_STR("")), "%s", texts[i]);
        drop(s);
    }
    cr_assert_not(rc_json_string_eq(RC_STR_NONE, RC_STR_NONE));
    cr_assert_eq(rc_json_string_len(RC_STR("12")), 0);
    rc_buf_deinit(&b);
}

Test(json, encode_escapes_only_what_it_must)
{
    struct rc_buf b = RC_BUF_INIT;

    rc_json_string_encode(RC_STR("a/<\x7f\xc3\xa9\"\\\b\f\n\r\t\v\x01\x1f plain text behind"),
                          &b);
    cr_assert(rc_str_eq(rc_buf_str(&b), RC_STR("\"a/<\x7f\xc3\xa9\\\"\\\\\\b\\f\\n\\r\\t"
                                               "\\u000b\\u0001\\u001f plain text behind\"")));
    rc_buf_reset(&b);
    rc_json_string_encode(RC_STR_NONE, &b);
    cr_assert(rc_str_eq(rc_buf_str(&b), RC_STR("\"\"")));
    rc_buf_reset(&b);
    rc_json_string_escape(RC_STR_NONE, &b);
    cr_assert_eq(b.len, 0);
    rc_json_string_escape(rc_str_make("\0x", 2), &b);
    cr_assert(rc_str_eq(rc_buf_str(&b), RC_STR("\\u0000x")));
    rc_buf_deinit(&b);
}

Test(json, encode_then_decode_gives_each_byte_back)
{
    struct rc_buf text = RC_BUF_INIT, back = RC_BUF_INIT;
    struct rc_json_walk w = {.max_depth = 1};
    char all[128];
    unsigned c;

    for (c = 0; c < sizeof(all); c++)
        all[c] = (char)c;
    rc_json_string_encode(rc_str_make(all, sizeof(all)), &text);
    cr_assert_eq(rc_json_validate(rc_buf_str(&text), &w), RC_OK);
    cr_assert_eq(rc_json_string_decode(rc_buf_str(&text), &back), RC_OK);
    cr_assert_eq(back.len, sizeof(all));
    cr_assert_arr_eq(back.data, all, sizeof(all));
    rc_buf_deinit(&text);
    rc_buf_deinit(&back);
}

Test(json, tokens)
{
    static const char text[] = " { \"a\\\"\" :[ 1,-2.5e1 ,true,false,null ] , \"b\":{}}\t";
    static const char kinds[] = "{\":[0,0,t,f,n],\":{}}";
    static const char *const tokens[] = {"{", "\"a\\\"\"", ":", "[",     "1", ",",    "-2.5e1",
                                         ",", "true",      ",", "false", ",", "null", "]",
                                         ",", "\"b\"",     ":", "{",     "}", "}"};
    char *copy = rc_malloc(sizeof(text) - 1);
    struct rc_str rest = rc_str_make(copy, sizeof(text) - 1), token;

    memcpy(copy, text, sizeof(text) - 1);
    for (unsigned i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
        cr_assert_eq(rc_json_token(&rest, &token), kinds[i], "%u", i);
        cr_assert(rc_str_eq(token, rc_str_of(tokens[i])), "%.*s", RC_STR_ARG(token));
    }
    cr_assert_eq(rc_json_token(&rest, &token), '\0');
    cr_assert_eq(rest.len, 0);
    free(copy);
    rest = RC_STR_NONE;
    cr_assert_eq(rc_json_token(&rest, &token), '\0');
    rest = RC_STR("\"open");
    cr_assert_eq(rc_json_token(&rest, &token), '\0');
    cr_assert_eq(rest.len, 5);
    rest = RC_STR("?");
    cr_assert_eq(rc_json_token(&rest, &token), '\0');
}

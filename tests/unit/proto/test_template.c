#include "rc/proto/json.h"
#include "rc/proto/template.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { ARGS_MAX = 20 };

/* An environment whose arguments are cut from the JSON array that was given. */
struct fixture {
    struct rc_template_env env;
    struct rc_str args[ARGS_MAX];
    struct rc_str key;
};

static void fixture_init(struct fixture *f, const char *array)
{
    struct rc_json_walk w = {.max_depth = 16};
    int n = rc_json_array(rc_str_of(array), f->args, ARGS_MAX, &w);

    cr_assert(n >= 0 && n <= ARGS_MAX, "%s", array);
    f->env = (struct rc_template_env){
        .args = f->args,
        .nargs = (unsigned)n,
        .room = RC_STR("lob\"by"),
        .id = RC_STR("abc"),
        .user = RC_STR("J\\\n"),
        .event = RC_STR("talk"),
        .nsp = RC_STR("/chat"),
        .auth =
            RC_STR("{\"name\":\"A\\\"nn\",\"n\":5,\"o\":{},\"z\":null,\"full name\":\"A B\"}"),
        .claims = RC_STR("{\"role\":\"r\\\"o\",\"level\":3,\"o\":[1]}"),
        .time_ms = UINT64_C(1790000000123),
    };
    f->env.key = &f->key;
    if (n > 0)
        f->env.args_raw = rc_str_make(
            f->args[0].p, (size_t)(f->args[n - 1].p + f->args[n - 1].len - f->args[0].p));
}

/* The filled template, or "!RC arg key" for an error, or "?why" when it does not compile. */
static const char *run(bool list, const char *src, const char *array)
{
    static char result[1024];
    struct rc_buf out = RC_BUF_INIT;
    struct fixture f;
    struct rc_template *t;
    unsigned arg = 99;
    char why[512] = "";
    int rc;

    fixture_init(&f, array);
    t = list ? rc_template_args(rc_str_of(src), why, sizeof(why))
             : rc_template_text(rc_str_of(src), why, sizeof(why));
    if (t == NULL) {
        (void)snprintf(result, sizeof(result), "?%s", why);
        return result;
    }
    rc_buf_putz(&out, "<");
    rc = list ? rc_template_fill_args(t, &f.env, &out, &arg)
              : rc_template_fill_text(t, &f.env, &out, &arg);
    if (rc == RC_OK)
        (void)snprintf(result, sizeof(result), "%.*s", (int)out.len - 1,
                       (const char *)out.data + 1);
    else
        (void)snprintf(result, sizeof(result), "!%s %u%s%.*s%s",
                       rc == RC_ENOENT ? "missing" : "bad", arg, f.key.len != 0 ? " " : "",
                       RC_STR_ARG(f.key), out.len == 1 ? "" : " and something was appended");
    rc_buf_deinit(&out);
    rc_template_free(t);
    return result;
}

static const char *text(const char *src, const char *array)
{
    return run(false, src, array);
}

static const char *list(const char *src, const char *array)
{
    return run(true, src, array);
}

Test(template, text_without_placeholders)
{
    cr_assert_str_eq(text("", "[]"), "");
    cr_assert_str_eq(text("KPL", "[]"), "KPL");
    cr_assert_str_eq(text("a } b \"c\" \\n", "[]"), "a } b \"c\" \\n");
    cr_assert_str_eq(text("a {{1} b {{", "[1]"), "a {1} b {");
    cr_assert_str_eq(text("{{{1}}", "[7]"), "{7}");
    cr_assert_str_eq(text("\xe2\x82\xac", "[]"), "\xe2\x82\xac");
}

Test(template, text_with_arguments)
{
    cr_assert_str_eq(text("{1}", "[\"lobby\"]"), "lobby");
    cr_assert_str_eq(text("New member joined the room: {1}", "[\"lobby\"]"),
                     "New member joined the room: lobby");
    cr_assert_str_eq(text("{2}-{1}-{2}", "[\"a\",\"b\"]"), "b-a-b");
    cr_assert_str_eq(text("{1}", "[\"a\\\"\\n\\u20ac\\ud83d\\ude00\"]"),
                     "a\"\n\xe2\x82\xac\xf0\x9f\x98\x80");
    cr_assert_str_eq(text("{1}", "[-1.50e3]"), "-1.50e3");
    cr_assert_str_eq(text("{1} {2} {3}", "[true,false,null]"), "true false null");
    cr_assert_str_eq(text("{1}", "[\"\"]"), "");
    cr_assert_str_eq(text("{16}", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,\"last\"]"), "last");
    cr_assert_str_eq(text("{01}", "[\"a\"]"), "a");
}

Test(template, text_with_the_environment)
{
    cr_assert_str_eq(text("{room}|{id}|{user}|{event}|{nsp}|{time}", "[]"),
                     "lob\"by|abc|J\\\n|talk|/chat|1790000000123");
    cr_assert_str_eq(text("{auth.name}|{auth.n}|{auth.z}|{auth.nobody}|{auth.full name}", "[]"),
                     "A\"nn|5|null||A B");
}

Test(template, text_from_a_missing_argument)
{
    cr_assert_str_eq(text("{1}", "[]"), "!missing 1");
    cr_assert_str_eq(text("a {1} {3}", "[\"a\",\"b\"]"), "!missing 3");
    cr_assert_str_eq(text("a{1?}b", "[]"), "ab");
    cr_assert_str_eq(text("a{1?}b", "[\"-\"]"), "a-b");
    cr_assert_str_eq(text("{2?}", "[1]"), "");
}

Test(template, text_from_what_has_none)
{
    cr_assert_str_eq(text("a {1}", "[{}]"), "!bad 1");
    cr_assert_str_eq(text("{1}{2}", "[1,[2]]"), "!bad 2");
    cr_assert_str_eq(text("{1?}", "[[]]"), "!bad 1");
    cr_assert_str_eq(text("{auth.o}", "[]"), "!bad 0");
    cr_assert_str_eq(text("{claim.role}|{claim.level}|{claim.name}", "[]"), "r\"o|3|");
    cr_assert_str_eq(text("{claim.o}", "[]"), "!bad 0");
}

Test(template, list_of_literals)
{
    cr_assert_str_eq(list("", "[]"), "");
    cr_assert_str_eq(list(" \t ", "[]"), "");
    cr_assert_str_eq(list("\"a\"", "[]"), "\"a\"");
    cr_assert_str_eq(list("1 2", "[]"), "1,2");
    cr_assert_str_eq(list("1,2", "[]"), "1,2");
    cr_assert_str_eq(list(" 1 , 2 ", "[]"), "1,2");
    cr_assert_str_eq(list("\"a b, c\" [ 1, 2 ] {\"x\" : [ {} ] } null", "[]"),
                     "\"a b, c\",[1,2],{\"x\":[{}]},null");
    cr_assert_str_eq(list("\"a\\\"{{1}\\\\\" true", "[]"), "\"a\\\"{1}\\\\\",true");
    cr_assert_str_eq(list("{} {\n}", "[]"), "{},{}");
    cr_assert_str_eq(list("\" } \"", "[]"), "\" } \"");
}

Test(template, list_with_raw_arguments)
{
    cr_assert_str_eq(list("{1}", "[ { \"b\" : 1 , \"a\" : 2 } ]"), "{ \"b\" : 1 , \"a\" : 2 }");
    cr_assert_str_eq(list("{1} {2}", "[\"a\\u0041\",1.0]"), "\"a\\u0041\",1.0");
    cr_assert_str_eq(list("[{1},{2}]", "[1,2]"), "[1,2]");
    cr_assert_str_eq(list("{\"ok\":true,\"room\":{1}}", "[\"r\"]"),
                     "{\"ok\":true,\"room\":\"r\"}");
    cr_assert_str_eq(list("{\"a\":{1},\"b\":[{2}]}", "[{},[]]"), "{\"a\":{},\"b\":[[]]}");
    cr_assert_str_eq(list("{ \"a\" : { \"b\" : {1} } }", "[null]"), "{\"a\":{\"b\":null}}");
    cr_assert_str_eq(list("{1} {3}", "[1,2]"), "!missing 3");
    cr_assert_str_eq(list("{1?} [{2?}]", "[]"), "null,[null]");
    cr_assert_str_eq(list("{1?}", "[\"a\"]"), "\"a\"");
}

Test(template, list_with_arguments_in_strings)
{
    cr_assert_str_eq(list("\"hi {1}\"", "[\"a\\n\\\"\\u0041\"]"), "\"hi a\\n\\\"\\u0041\"");
    cr_assert_str_eq(list("\"{1}{2}{3}{4}\"", "[\"\",-1e5,true,null]"), "\"-1e5truenull\"");
    cr_assert_str_eq(list("\"[{1}] {2}\" {\"text\":{2}}", "[\"r\",\"m\"]"),
                     "\"[r] m\",{\"text\":\"m\"}");
    cr_assert_str_eq(list("{\"{1}\":0}", "[\"key\"]"), "{\"key\":0}");
    cr_assert_str_eq(list("\"{1}\"", "[{}]"), "!bad 1");
    cr_assert_str_eq(list("\"{1}\"", "[]"), "!missing 1");
    cr_assert_str_eq(list("\"<{1?}>\"", "[]"), "\"<>\"");
    cr_assert_str_eq(list("\"{auth.o}\"", "[]"), "!bad 0");
    cr_assert_str_eq(list("{claim.role} {claim.o} {claim.x} \"{claim.role}\"", "[]"),
                     "\"r\\\"o\",[1],null,\"r\\\"o\"");
}

#define OBJECT                                                           \
    "{\"n\":5,\"s\":\"a\\\"\\u20ac\",\"o\":{\"x\":[]},\"z\":null,\"two " \
    "words\":\"w\",\"a.b\":1,\"e\":\"\"}"

Test(template, text_with_keys)
{
    cr_assert_str_eq(text("{1.n}|{1.s}|{1.z}|{1.two words}|{1.a.b}|{1.e}|", "[" OBJECT "]"),
                     "5|a\"\xe2\x82\xac|null|w|1||");
    cr_assert_str_eq(text("{2.n}{2.n?}", "[0," OBJECT "]"), "55");
    cr_assert_str_eq(text("{1.a}", "[{\"a\":1,\"\\u0061\":2}]"), "2");
    cr_assert_str_eq(text("<{1.nobody?}>", "[" OBJECT "]"), "<>");
    cr_assert_str_eq(text("<{2.n?}>", "[" OBJECT "]"), "<>");
    cr_assert_str_eq(text("<{1.n?}{2.n?}{3.n?}>", "[[],\"n\",null]"), "<>");
}

Test(template, text_from_missing_keys)
{
    cr_assert_str_eq(text("{1.n} {1.nobody}", "[" OBJECT "]"), "!missing 1 nobody");
    cr_assert_str_eq(text("{1.x}", "[" OBJECT "]"), "!missing 1 x");
    cr_assert_str_eq(text("{1.n}", "[\"n\"]"), "!missing 1 n");
    cr_assert_str_eq(text("{1.n}", "[[\"n\"]]"), "!missing 1 n");
    cr_assert_str_eq(text("{2.n}", "[" OBJECT "]"), "!missing 2");
    cr_assert_str_eq(text("{1.o}", "[" OBJECT "]"), "!bad 1 o");
    cr_assert_str_eq(text("{1.o?}", "[" OBJECT "]"), "!bad 1 o");
    cr_assert_str_eq(text("{1.n}{1}", "[" OBJECT "]"), "!bad 1");
}

Test(template, list_with_keys)
{
    cr_assert_str_eq(list("{1.n} {1.s} {1.o} {1.z}", "[" OBJECT "]"),
                     "5,\"a\\\"\\u20ac\",{\"x\":[]},null");
    cr_assert_str_eq(list("\"{1.n}{1.s}{1.two words}\" {\"{1.s}\":[{1.o}]}", "[" OBJECT "]"),
                     "\"5a\\\"\\u20acw\",{\"a\\\"\\u20ac\":[{\"x\":[]}]}");
    cr_assert_str_eq(list("{{1.n}:{1.e}}", "[{\"n\":\"k\",\"e\":{}}]"),
                     "?argument 1 is no JSON value: {{1.n}:{1.e}} (texts are in double quotes, "
                     "arguments are separated by a space or a comma)");
    cr_assert_str_eq(list("{1.x?} [{2.n?}] \"<{1.x?}>\"", "[" OBJECT "]"),
                     "null,[null],\"<>\"");
    cr_assert_str_eq(list("1 {1.x}", "[" OBJECT "]"), "!missing 1 x");
    cr_assert_str_eq(list("1 \"{1.o}\"", "[" OBJECT "]"), "!bad 1 o");
}

Test(template, list_with_the_environment)
{
    cr_assert_str_eq(list("{room} {id} {user} {event} {nsp} {time}", "[]"),
                     "\"lob\\\"by\",\"abc\",\"J\\\\\\n\",\"talk\",\"/chat\",1790000000123");
    cr_assert_str_eq(list("\"{room} {id} {user} {event} {nsp} {time}\"", "[]"),
                     "\"lob\\\"by abc J\\\\\\n talk /chat 1790000000123\"");
    cr_assert_str_eq(list("{auth.name} {auth.n} {auth.o} {auth.z} {auth.nobody}", "[]"),
                     "\"A\\\"nn\",5,{},null,null");
    cr_assert_str_eq(list("\"{auth.name}|{auth.n}|{auth.z}|{auth.nobody}\"", "[]"),
                     "\"A\\\"nn|5|null|\"");
    cr_assert_str_eq(list("{{room}:{time}}", "[]"), "{\"lob\\\"by\":1790000000123}");
}

Test(template, list_with_all_arguments)
{
    cr_assert_str_eq(list("{args}", "[]"), "");
    cr_assert_str_eq(list("{args}", "[1]"), "1");
    cr_assert_str_eq(list("{args}", "[1 , [2] ,\"c\"]"), "1 , [2] ,\"c\"");
    cr_assert_str_eq(list("{2..}", "[1 , [2] ,\"c\"]"), "[2] ,\"c\"");
    cr_assert_str_eq(list("{1..}", "[1,2]"), "1,2");
    cr_assert_str_eq(list("{3..}", "[1,2]"), "");
    cr_assert_str_eq(list("{2..}", "[1,2]"), "2");
}

Test(template, list_leaves_no_comma_behind)
{
    cr_assert_str_eq(list("\"a\" {args}", "[]"), "\"a\"");
    cr_assert_str_eq(list("\"a\" {args}", "[1,2]"), "\"a\",1,2");
    cr_assert_str_eq(list("{args} \"a\"", "[]"), "\"a\"");
    cr_assert_str_eq(list("{args},\"a\"", "[1,2]"), "1,2,\"a\"");
    cr_assert_str_eq(list("{args} \"a\" \"b\" {2..} {2..} {1}", "[7]"), "7,\"a\",\"b\",7");
    cr_assert_str_eq(list("{args} {2..}", "[]"), "");
    cr_assert_str_eq(list("{3..} {2..}", "[1,2]"), "2");
    cr_assert_str_eq(list("{2..} {3..}", "[1,2]"), "2");
    cr_assert_str_eq(list("{3..} {3..} {id}", "[1,2]"), "\"abc\"");
    cr_assert_str_eq(list("{args} {args}", "[1,2]"), "1,2,1,2");
}

/* The fault names what is wrong, and for a placeholder what would be right. */
static void wrong(bool is_list, const char *src, const char *says)
{
    const char *result = run(is_list, src, "[]");

    cr_assert_eq(result[0], '?', "%s compiled", src);
    cr_assert_not_null(strstr(result, says), "%s: %s", src, result);
}

Test(template, unknown_placeholders)
{
    int is_list;

    for (is_list = 0; is_list < 2; is_list++) {
        const char *const names[] = {"{rom}",  "{Room}",    "{1x}",   "{1??}",
                                     "{1...}", "{1..a}",    "{auth}", "{arg}",
                                     "{_}",    "{room: 1}", "{id }"};
        size_t i;

        for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            wrong(is_list != 0, names[i], names[i]);
            wrong(is_list != 0, names[i], "unknown placeholder");
            wrong(is_list != 0, names[i], "{auth.KEY}");
            wrong(is_list != 0, names[i], "a literal { is written {{");
        }
        wrong(is_list != 0, "{0}", "numbered from 1 to 16");
        wrong(is_list != 0, "{17}", "{17}: arguments are numbered from 1 to 16");
        wrong(is_list != 0, "{4294967297?}", "numbered from 1 to 16");
        wrong(is_list != 0, "{99999999999999999999999}", "numbered from 1 to 16");
        wrong(is_list != 0, "{auth.}", "the key is missing");
        wrong(is_list != 0, "{2.}", "{2.}: the key is missing, as in {2.name}");
        wrong(is_list != 0, "{1.?}", "{1.}: the key is missing");
        wrong(is_list != 0, "{17.a}", "{17.a}: arguments are numbered from 1 to 16");
        wrong(is_list != 0, "{claim.}", "the key is missing");
        wrong(is_list != 0, "{1", "{1 is not closed");
        wrong(is_list != 0, "{room{1}}", "{room is not closed");
        wrong(is_list != 0, "\xff", "UTF-8");
    }
    wrong(false, "{}", "unknown placeholder {}");
    wrong(false, "a {", "is not closed");
    wrong(true, "\"{}\"", "unknown placeholder {}");
    wrong(true, "\"a { b\"", "{ b is not closed");
    wrong(true, "\"a { b } \"", "unknown placeholder { b }");
    wrong(true, "{nope}", "{args}");
}

Test(template, all_arguments_only_as_whole_ones)
{
    wrong(false, "{args}", "{args} may only stand for whole arguments");
    wrong(false, "a {2..}", "{2..} may only stand for whole arguments");
    wrong(true, "\"{args}\"", "{args} may only stand for whole arguments");
    wrong(true, "\"{2..}\"", "{2..} may only stand for whole arguments");
    wrong(true, "[{args}]", "{args} may only stand for whole arguments");
    wrong(true, "{\"a\":{2..}}", "{2..} may only stand for whole arguments");
    wrong(true, "1{args}", "whole arguments");
    wrong(true, "{args}1", "whole arguments");
    wrong(true, "{args}{args}", "whole arguments");
    wrong(true, "{17..}", "numbered from 1 to 16");
    wrong(true, "{0..}", "numbered from 1 to 16");
}

Test(template, literals_that_are_no_json)
{
    wrong(true, "hello", "argument 1 is no JSON value: hello");
    wrong(true, "\"a\" b", "argument 2 is no JSON value: b");
    wrong(true, "\"a", "argument 1 is no JSON value: \"a");
    wrong(true, "\"a\\", "argument 1 is no JSON value");
    wrong(true, "\"a\"\"b\"", "argument 1 is no JSON value");
    wrong(true, "[1 2]", "argument 1 is no JSON value: [1 2]");
    wrong(true, "[1", "no JSON value");
    wrong(true, "1]", "no JSON value");
    wrong(true, "]", "no JSON value");
    wrong(true, "{\"a\":1}{\"b\":2}", "no JSON value");
    wrong(true, "{\"a\":}", "no JSON value");
    wrong(true, "{{1}:2}", "no JSON value");
    wrong(true, "{{time}:2}", "no JSON value");
    wrong(true, "1{1}", "no JSON value");
    wrong(true, "{1}1", "no JSON value");
    wrong(true, "{1}{2}", "no JSON value");
    wrong(true, "[{1}{2}]", "no JSON value");
    wrong(true, "[{1}0]", "no JSON value");
    wrong(true, "{room}{id}", "no JSON value");
    wrong(true, "\"a\"{1}", "no JSON value");
    wrong(true, "\"\\u00{1}\"", "no JSON value");
    wrong(true, "\"\\u004{1}1\"", "no JSON value");
    wrong(true, "\"\\{1}\"", "no JSON value");
    wrong(true, "\"\\x\"", "no JSON value");
    wrong(true, "'a'", "no JSON value");
    wrong(true, "\"a\nb\"", "no JSON value");
    wrong(true, ",", "argument 1 is missing before a comma");
    wrong(true, ",1", "argument 1 is missing before a comma");
    wrong(true, "1,,2", "argument 2 is missing before a comma");
    wrong(true, "1,", "missing after the last comma");
    wrong(true, "{args},", "missing after the last comma");
    wrong(true,
          "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
          "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
          "nested deeper than 64");
}

Test(template, a_fault_fits_its_buffer)
{
    char why[8], guard[8];

    memset(guard, 'g', sizeof(guard));
    cr_assert_null(rc_template_text(RC_STR("{nope}"), why, sizeof(why)));
    cr_assert_str_eq(why, "unknown");
    cr_assert_null(rc_template_text(RC_STR("{nope}"), NULL, 0));
    rc_template_free(NULL);
}

struct traits {
    bool uses_auth, passes_args, constant, value;
    unsigned highest, required;
};

static void check_traits(bool is_list, const char *src, struct traits expect)
{
    char why[512];
    struct rc_template *t = is_list ? rc_template_args(rc_str_of(src), why, sizeof(why))
                                    : rc_template_text(rc_str_of(src), why, sizeof(why));

    cr_assert_not_null(t, "%s", src);
    cr_assert_eq(rc_template_uses_auth(t), expect.uses_auth, "%s", src);
    cr_assert_eq(rc_template_passes_args(t), expect.passes_args, "%s", src);
    cr_assert_eq(rc_template_is_constant(t), expect.constant, "%s", src);
    cr_assert_eq(rc_template_is_value(t), expect.value, "%s", src);
    cr_assert_eq(rc_template_highest_arg(t), expect.highest, "%s", src);
    cr_assert_eq(rc_template_required_args(t), expect.required, "%s", src);
    rc_template_free(t);
}

Test(template, what_a_template_uses)
{
    check_traits(false, "", (struct traits){.constant = true});
    check_traits(false, "a {{ b", (struct traits){.constant = true});
    check_traits(false, "{2} {1}", (struct traits){.highest = 2, .required = 2});
    check_traits(false, "{3?} {1}", (struct traits){.highest = 3, .required = 1});
    check_traits(false, "{auth.a}", (struct traits){.uses_auth = true});
    check_traits(false, "{claim.a}", (struct traits){.uses_auth = false});
    check_traits(false, "{time}", (struct traits){0});
    check_traits(true, "", (struct traits){.constant = true});
    check_traits(true, "1 [2, {\"a\":3}] \"b\"", (struct traits){.constant = true});
    check_traits(true, "\"{1}\"", (struct traits){.value = true, .highest = 1, .required = 1});
    check_traits(true, "[{1}]", (struct traits){false, true, false, true, 1, 1});
    check_traits(true, " {\"a\":[1,2]} ", (struct traits){.constant = true, .value = true});
    check_traits(true, "null", (struct traits){.constant = true, .value = true});
    check_traits(false, "{2.k} {3.k?}", (struct traits){.highest = 3, .required = 2});
    check_traits(true, "{2.k}", (struct traits){false, true, false, true, 2, 2});
    check_traits(true, "{2.k?}", (struct traits){false, true, false, true, 2, 0});
    check_traits(true, "\"{2.k}\"",
                 (struct traits){.value = true, .highest = 2, .required = 2});
    check_traits(true, "{args}", (struct traits){.passes_args = true});
    check_traits(true, "{2..}", (struct traits){.passes_args = true, .highest = 2});
    check_traits(true, "{id} {auth.a}", (struct traits){.uses_auth = true});
}

/* Whatever is filled in, a list stays a list of JSON values. */
Test(template, a_stored_message)
{
    struct rc_str src = RC_STR("{message.id} \"at {message.time}\" {\"a\":{message.time}}");
    struct rc_template *t = rc_template_args(src, NULL, 0);
    struct rc_template_env env = {.nargs = 0};
    struct rc_buf out = RC_BUF_INIT, holes = RC_BUF_INIT;
    const struct rc_template_hole *hole;
    unsigned arg;

    cr_assert(rc_template_uses_message(t) && !rc_template_passes_args(t));
    cr_assert_eq(rc_template_fill_args(t, &env, &out, &arg), RC_OK);
    cr_assert(rc_str_eq(rc_buf_str(&out), RC_STR("null,\"at \",{\"a\":null}")));
    env.message_id = 9007199254740991;
    env.message_time_ms = 12;
    rc_buf_reset(&out);
    cr_assert_eq(rc_template_fill_args(t, &env, &out, &arg), RC_OK);
    cr_assert(rc_str_eq(rc_buf_str(&out), RC_STR("9007199254740991,\"at 12\",{\"a\":12}")));
    env.holes = &holes;
    rc_buf_reset(&out);
    rc_buf_putc(&out, '[');
    cr_assert_eq(rc_template_fill_args(t, &env, &out, &arg), RC_OK);
    cr_assert(rc_str_eq(rc_buf_str(&out), RC_STR("[0,\"at 0\",{\"a\":0}")));
    hole = (const void *)holes.data;
    cr_assert_eq(holes.len, 3 * sizeof(*hole));
    cr_assert(hole[0].at == 1 && hole[0].kind == RC_HOLE_ID);
    cr_assert(hole[1].at == 7 && hole[1].kind == RC_HOLE_TIME);
    cr_assert(hole[2].at == 15 && hole[2].kind == RC_HOLE_TIME);
    rc_template_free(t);
    rc_buf_deinit(&out);
    rc_buf_deinit(&holes);
}

Test(template, every_list_is_json)
{
    static const char joined[] = "\"New member joined the room: {1}\" {\"room\":{room},"
                                 "\"type\":\"join\",\"id\":{id},"
                                 "\"name\":{auth.name},\"time\":{time}}";
    static const char *const lists[] = {
        joined,
        "{args} \"{user}\" [{1?},{2?}] {2..} {\"{room}\":{auth.nobody}}",
        "\"{1?}{auth.name}\",{args}",
    };
    static const char *const arrays[] = {"[]", "[\"a\\\\\"]", "[1.5e3,{\"x\":[]}]",
                                         "[\"\\ud83d\",\"\\\"\",null,true]"};
    struct rc_json_walk w = {.max_depth = 16};
    struct rc_str elem[ARGS_MAX];
    char whole[1100];
    size_t i, j;

    for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (j = 0; j < sizeof(arrays) / sizeof(arrays[0]); j++) {
            (void)snprintf(whole, sizeof(whole), "[%s]", list(lists[i], arrays[j]));
            if (whole[1] == '!')
                cr_assert_str_eq(whole, "[!missing 1]", "%s", lists[i]);
            else
                cr_assert_geq(rc_json_array(rc_str_of(whole), elem, ARGS_MAX, &w), 1, "%s",
                              whole);
        }
    }
}

/* A cut template compiles or says why; it never reads beyond its end. */
Test(template, each_truncation)
{
    const struct rc_str src =
        RC_STR("\"hi {1} {{ \\u0041\" {2?}, {\"a\" : [{auth.name}, {room}]} {2..}");
    size_t n;

    for (n = 0; n <= src.len; n++) {
        char *copy = malloc(n != 0 ? n : 1), why[512] = "";
        struct rc_template *t, *u;

        cr_assert_not_null(copy);
        memcpy(copy, src.p, n);
        t = rc_template_args(rc_str_make(copy, n), why, sizeof(why));
        if (t == NULL)
            cr_assert_neq(why[0], '\0', "%zu bytes", n);
        why[0] = '\0';
        u = rc_template_text(rc_str_make(copy, n), why, sizeof(why));
        if (u == NULL)
            cr_assert_neq(why[0], '\0', "%zu bytes", n);
        if (n == src.len)
            cr_assert(t != NULL && u == NULL);
        free(copy);
        rc_template_free(t);
        rc_template_free(u);
    }
}

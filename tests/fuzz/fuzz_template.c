/* The first line is a template, the rest a JSON array of arguments. Whatever compiles as a list
 * fills to JSON, whatever compiles as a text to UTF-8, and an argument is missing only when the
 * template says that it needs it. */
#include "rc/base/utf8.h"
#include "rc/proto/json.h"
#include "rc/proto/template.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARGS = 20 };

#define CHECK(c)     \
    do {             \
        if (!(c))    \
            abort(); \
    } while (0)

static void check_rc(const struct rc_template *t, const struct rc_template_env *env, int rc,
                     unsigned arg)
{
    if (rc == RC_ENOENT)
        CHECK((env->key->len != 0) == (arg <= env->nargs) &&
              arg <= rc_template_required_args(t));
    else if (rc == RC_EINVAL)
        CHECK(arg <= rc_template_highest_arg(t) && (arg != 0 || rc_template_uses_auth(t)));
    else
        CHECK(rc == RC_OK && rc_template_required_args(t) <= env->nargs);
    CHECK(rc_template_required_args(t) <= rc_template_highest_arg(t));
    CHECK(rc_template_highest_arg(t) <= 16);
    if (rc_template_is_constant(t))
        CHECK(rc == RC_OK && rc_template_highest_arg(t) == 0 && !rc_template_uses_auth(t));
}

static void check_list(struct rc_str src, const struct rc_template_env *env)
{
    char why[512] = "";
    struct rc_template *t = rc_template_args(src, why, sizeof(why));
    struct rc_json_walk w = {.max_depth = 1000};
    struct rc_buf out = RC_BUF_INIT;
    unsigned arg = 99;
    int rc;

    CHECK((t == NULL) == (why[0] != '\0'));
    if (t == NULL)
        return;
    rc_buf_putc(&out, '[');
    rc = rc_template_fill_args(t, env, &out, &arg);
    check_rc(t, env, rc, arg);
    CHECK(rc == RC_OK || out.len == 1);
    rc_buf_putc(&out, ']');
    CHECK(rc_json_array(rc_buf_str(&out), NULL, 0, &w) >= 0);
    CHECK(rc_utf8_valid(rc_buf_str(&out)));
    rc_buf_deinit(&out);
    rc_template_free(t);
}

static void check_text(struct rc_str src, const struct rc_template_env *env)
{
    char why[512] = "";
    struct rc_template *t = rc_template_text(src, why, sizeof(why));
    struct rc_buf out = RC_BUF_INIT;
    unsigned arg = 99;
    int rc;

    CHECK((t == NULL) == (why[0] != '\0'));
    if (t == NULL)
        return;
    rc = rc_template_fill_text(t, env, &out, &arg);
    check_rc(t, env, rc, arg);
    CHECK(rc == RC_OK || out.len == 0);
    CHECK(rc_utf8_valid(rc_buf_str(&out)));
    CHECK(!rc_template_passes_args(t));
    rc_buf_deinit(&out);
    rc_template_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rc_json_walk w = {.max_depth = 32};
    struct rc_str all = rc_str_make(data, size), src = all, array = RC_STR_NONE, args[ARGS];
    const char *newline = size != 0 ? memchr(data, '\n', size) : NULL;
    struct rc_template_env env = {.args = args,
                                  .room = RC_STR("a room \"\\"),
                                  .id = RC_STR("1"),
                                  .user = RC_STR("\t"),
                                  .auth = RC_STR("{\"k\":\"\\ud83d\",\"o\":[1]}"),
                                  .time_ms = 1};
    struct rc_str key = RC_STR_NONE;
    int n = 0;

    env.key = &key;
    if (newline != NULL) {
        src.len = (size_t)(newline - all.p);
        array = rc_str_skip(all, src.len + 1);
        if (rc_utf8_valid(array))
            n = rc_json_array(array, args, ARGS, &w);
    }
    if (n > 0 && n <= ARGS) {
        env.nargs = (unsigned)n;
        env.args_raw =
            rc_str_make(args[0].p, (size_t)(args[n - 1].p + args[n - 1].len - args[0].p));
        if (rc_json_type(args[0]) == RC_JSON_OBJECT)
            env.auth = args[0];
    }
    if (rc_utf8_valid(src))
        env.event = env.nsp = src;
    check_list(src, &env);
    check_text(src, &env);
    return 0;
}

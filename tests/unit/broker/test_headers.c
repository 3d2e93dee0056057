#include "rc/base/log.h"
#include "rc/broker/headers.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct fixture {
    struct rc_conf conf;
    struct rc_headers h;
};

/* text: of the section [socketio] */
static void set_up(struct fixture *f, const char *text)
{
    struct rc_conf_errors e = {.n = 0};
    char ini[1000];

    atomic_store(&rc_log_threshold, (int)RC_LOG_ERROR); /* credentials with * are warned of */
    (void)snprintf(ini, sizeof(ini), "[socketio]\n%s", text);
    if (rc_conf_load_text(&f->conf, "/t.ini", rc_str_of(ini), NULL, 0, &e) != RC_OK)
        cr_assert_fail("%.*s", RC_STR_ARG(rc_buf_str(&e.text)));
    rc_headers_init(&f->h, &f->conf);
    rc_buf_deinit(&e.text);
}

static void tear_down(struct fixture *f)
{
    rc_headers_deinit(&f->h);
    rc_conf_free(&f->conf);
}

/* ---- origins ---- */

static bool listed(const char *item, const char *origin)
{
    char *items[] = {(char *)(uintptr_t)item};
    struct rc_conf_list list = {.item = items, .n = 1};

    return rc_origin_listed(&list, rc_str_of(origin));
}

Test(origin, exact)
{
    cr_assert(listed("https://a.example", "https://a.example"));
    cr_assert(listed("null", "null"));
    cr_assert_not(listed("https://a.example", "https://a.example:443"));
    cr_assert_not(listed("https://a.example", "http://a.example"));
    cr_assert_not(listed("https://a.example", "https://a.exampl"));
    cr_assert_not(listed("https://a.example", "https://a.examples"));
    cr_assert_not(listed("https://a.example", "https://A.example"));
    cr_assert_not(listed("https://a.example", ""));
    cr_assert_not(listed("https://a.example", NULL));
}

Test(origin, all)
{
    char far_too_long[2000];

    memset(far_too_long, 'a', sizeof(far_too_long) - 1);
    far_too_long[sizeof(far_too_long) - 1] = '\0';
    cr_assert(listed("*", "https://a.example"));
    cr_assert(listed("*", ""));
    cr_assert(listed("*", far_too_long));
    memcpy(far_too_long, "http://", 7);
    cr_assert_not(listed("http://*", far_too_long));
    far_too_long[500] = '\0';
    cr_assert(listed("http://*", far_too_long));
}

Test(origin, patterns)
{
    cr_assert(listed("https://*.example", "https://a.example"));
    cr_assert(listed("https://*.example", "https://a.b-c_d.example"));
    cr_assert(listed("https://*.example", "https://example.example.example"));
    cr_assert(listed("http://localhost:*", "http://localhost:8080"));
    cr_assert(listed("http://*:*", "http://10.0.0.1:80"));
    cr_assert(listed("http://a*b*c", "http://aabbbcbc"));
    cr_assert(listed("https://a-*.*.test", "https://a-1.a-2.b.test"));
    cr_assert(listed("https://*.a*:8*0", "https://x.a.ab:8080"));
    cr_assert_not(listed("https://*.example", "https://example"));
    cr_assert_not(listed("https://*.example", "https://.example"));
    cr_assert_not(listed("https://*.example", "https://a.example.evil"));
    cr_assert_not(listed("https://*.example", "https://a.example:80"));
    cr_assert_not(listed("https://*.example", "https://evil:80.example"));
    cr_assert_not(listed("https://*.example", "https://evil/.example"));
    cr_assert_not(listed("https://*.example", "https://u@a.example"));
    cr_assert_not(listed("https://*.example", "https://\xc3\xa9.example"));
    cr_assert_not(listed("https://*.example", "https://a b.example"));
    cr_assert_not(listed("http://localhost:*", "http://localhost:"));
    cr_assert_not(listed("http://localhost:*", "http://localhost"));
    cr_assert_not(listed("http://localhost:*", "http://localhost:80/"));
    cr_assert_not(listed("http://a*b*c", "http://abc"));
    cr_assert_not(listed("http://a*b*c", "http://aabbc:c"));
}

/* Against the definition, with all that fits into a few letters. */
static bool slow_match(const char *p, const char *s)
{
    size_t n = 1;

    if (*p == '\0')
        return *s == '\0';
    if (*p != '*')
        return *s == *p && slow_match(p + 1, s + 1);
    for (; s[n - 1] != '\0' && s[n - 1] != ':'; n++)
        if (slow_match(p + 1, s + n))
            return true;
    return false;
}

static void spell(char *to, unsigned i, const char *letters)
{
    for (; i != 0; i /= 4)
        *to++ = letters[i % 4];
    *to = '\0';
}

Test(origin, patterns_mean_what_they_say)
{
    unsigned matched = 0;
    char pattern[16], text[16];

    for (unsigned i = 0; i < 1024; i++)
        for (unsigned j = 0; j < 1024; j++) {
            spell(pattern, i, "a*:*");
            spell(text, j, "a:ab");
            if (strcmp(pattern, "*") == 0)
                continue;
            cr_assert_eq(listed(pattern, text), slow_match(pattern, text), "%s %s", pattern,
                         text);
            matched += slow_match(pattern, text);
        }
    cr_assert_gt(matched, 500u);
}

Test(origin, allowed)
{
    struct fixture f;

    set_up(&f, "");
    cr_assert(rc_origin_allowed(&f.h, RC_STR("https://a.example")));
    tear_down(&f);
    set_up(&f, "allow_origin = https://a.example, https://*.b.example\n");
    cr_assert(rc_origin_allowed(&f.h, RC_STR("https://a.example")));
    cr_assert(rc_origin_allowed(&f.h, RC_STR("https://x.b.example")));
    cr_assert(rc_origin_allowed(&f.h, RC_STR_NONE));
    cr_assert_not(rc_origin_allowed(&f.h, RC_STR("")));
    cr_assert_not(rc_origin_allowed(&f.h, RC_STR("null")));
    cr_assert_not(rc_origin_allowed(&f.h, RC_STR("https://b.example")));
    tear_down(&f);
}

/* ---- CORS ---- */

static void check_cors(struct fixture *f, enum rc_http_method method, const char *origin,
                       const char *asked, const char *want)
{
    struct rc_http_req req = {.method = method};
    struct rc_buf lines = RC_BUF_INIT;

    req.origin = rc_str_of(origin);
    req.acrh = rc_str_of(asked);
    rc_cors_put(&f->h, &req, &lines);
    cr_assert(rc_str_eq(rc_buf_str(&lines), rc_str_of(want)), "%.*s",
              RC_STR_ARG(rc_buf_str(&lines)));
    cr_assert_eq(rc_cors_is_preflight(&f->h, &req),
                 method == RC_HTTP_OPTIONS && want[0] != '\0');
    rc_buf_deinit(&lines);
}

#define ALLOW(origin) "Access-Control-Allow-Origin: " origin "\r\n"
#define METHODS       "Access-Control-Allow-Methods: GET,HEAD,PUT,PATCH,POST,DELETE\r\n"

Test(cors, off)
{
    struct fixture f;

    set_up(&f, "cors_credentials = yes\ncors_exposed_headers = x\n");
    check_cors(&f, RC_HTTP_GET, "https://a.example", NULL, "");
    check_cors(&f, RC_HTTP_OPTIONS, "https://a.example", "x", "");
    tear_down(&f);
}

Test(cors, any)
{
    struct fixture f;

    set_up(&f, "cors_origin = *\n");
    check_cors(&f, RC_HTTP_GET, "https://a.example", NULL, ALLOW("*"));
    check_cors(&f, RC_HTTP_POST, NULL, NULL, ALLOW("*"));
    check_cors(&f, RC_HTTP_OPTIONS, NULL, "a,b",
               ALLOW("*") "Vary: Access-Control-Request-Headers\r\n"
                          "Access-Control-Allow-Headers: a,b\r\n" METHODS
                          "Content-Length: 0\r\n");
    tear_down(&f);
}

Test(cors, list)
{
    struct fixture f;

    set_up(&f, "cors_origin = https://a.example, https://*.b.example\n");
    check_cors(&f, RC_HTTP_GET, "https://a.example", NULL,
               ALLOW("https://a.example") "Vary: Origin\r\n");
    check_cors(&f, RC_HTTP_GET, "https://x.b.example", NULL,
               ALLOW("https://x.b.example") "Vary: Origin\r\n");
    check_cors(&f, RC_HTTP_GET, "https://evil.example", NULL, "Vary: Origin\r\n");
    check_cors(&f, RC_HTTP_GET, NULL, NULL, "Vary: Origin\r\n");
    check_cors(
        &f, RC_HTTP_OPTIONS, "https://a.example", NULL,
        ALLOW("https://a.example") "Vary: Origin, Access-Control-Request-Headers\r\n" METHODS
                                   "Content-Length: 0\r\n");
    tear_down(&f);
}

Test(cors, all_keys)
{
    struct fixture f;

    set_up(&f, "cors_origin = https://a.example\ncors_credentials = yes\n"
               "cors_methods = GET, POST\ncors_allowed_headers = a, b\n"
               "cors_exposed_headers = c\ncors_max_age = 2m\n");
    check_cors(&f, RC_HTTP_GET, "https://a.example", NULL,
               ALLOW("https://a.example") "Vary: Origin\r\n"
                                          "Access-Control-Allow-Credentials: true\r\n"
                                          "Access-Control-Expose-Headers: c\r\n");
    check_cors(&f, RC_HTTP_OPTIONS, "https://a.example", "x",
               ALLOW("https://a.example") "Vary: Origin\r\n"
                                          "Access-Control-Allow-Credentials: true\r\n"
                                          "Access-Control-Expose-Headers: c\r\n"
                                          "Access-Control-Allow-Methods: GET,POST\r\n"
                                          "Access-Control-Allow-Headers: a,b\r\n"
                                          "Access-Control-Max-Age: 120\r\n"
                                          "Content-Length: 0\r\n");
    tear_down(&f);
}

/* ---- the cookie ---- */

static void check_cookie(const char *keys, const char *want)
{
    struct rc_buf lines = RC_BUF_INIT;
    struct fixture f;

    set_up(&f, keys);
    rc_cookie_put(&f.h, RC_STR("SID"), &lines);
    cr_assert(rc_str_eq(rc_buf_str(&lines), rc_str_of(want)), "%.*s",
              RC_STR_ARG(rc_buf_str(&lines)));
    rc_buf_deinit(&lines);
    tear_down(&f);
}

Test(cookie, attributes)
{
    check_cookie("", "");
    check_cookie("cookie_secure = yes\n", "");
    check_cookie("cookie = io\n", "Set-Cookie: io=SID; Path=/; HttpOnly; SameSite=Lax\r\n");
    check_cookie("cookie = my-io\ncookie_path =\ncookie_http_only = no\n"
                 "cookie_same_site = off\n",
                 "Set-Cookie: my-io=SID\r\n");
    check_cookie("cookie = io\ncookie_path = /a/b\ncookie_secure = yes\n"
                 "cookie_same_site = none\n",
                 "Set-Cookie: io=SID; Path=/a/b; HttpOnly; Secure; SameSite=None\r\n");
    check_cookie("cookie = io\ncookie_same_site = strict\n",
                 "Set-Cookie: io=SID; Path=/; HttpOnly; SameSite=Strict\r\n");
}

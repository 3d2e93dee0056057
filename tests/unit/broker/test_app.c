#include "rc/base/hash.h"
#include "rc/base/log.h"
#include "rc/broker/app.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    struct rc_conf conf;
    struct rc_conf_errors e;
    struct rc_app *app;
};

static void set_up(struct fixture *f, const char *text, const char *exe_dir)
{
    *f = (struct fixture){.e = {.n = 0}};
    cr_assert_eq(rc_hash_init(), RC_OK);
    atomic_store(&rc_log_threshold, (int)RC_LOG_ERROR); /* that there are no bundles here */
    if (rc_conf_load_text(&f->conf, "/t.ini", rc_str_of(text), NULL, 0, &f->e) != RC_OK)
        cr_assert_fail("%s%.*s", text, RC_STR_ARG(rc_buf_str(&f->e.text)));
    f->app = rc_app_new(&f->conf, exe_dir, &f->e);
}

static void tear_down(struct fixture *f)
{
    rc_app_free(f->app);
    rc_conf_free(&f->conf);
    rc_buf_deinit(&f->e.text);
}

static void load_ok(struct fixture *f, const char *text)
{
    set_up(f, text, "/nowhere");
    if (f->app == NULL)
        cr_assert_fail("%s%.*s", text, RC_STR_ARG(rc_buf_str(&f->e.text)));
    cr_assert_eq(f->e.n, 0u);
}

static void check_faults(const char *text, const char *expected)
{
    struct fixture f;

    set_up(&f, text, "/nowhere");
    cr_assert_null(f.app);
    rc_buf_putc(&f.e.text, '\0');
    cr_assert_str_eq((const char *)f.e.text.data, expected);
    tear_down(&f);
}

static void check_nsp(const struct rc_app *app, unsigned i, const char *name, bool endpoint)
{
    const struct rc_nsp *nsp = &app->nsp[i];

    cr_assert_lt(i, app->nnsps);
    cr_assert_str_eq(nsp->name.p, name);
    cr_assert_eq(nsp->name.len, strlen(name));
    cr_assert_eq(nsp->index, i);
    cr_assert_eq(nsp->endpoint != RC_ENDPOINT_NONE, endpoint);
    cr_assert_eq(rc_app_nsp(app, rc_str_of(name), endpoint), nsp);
}

/* ---- namespaces and endpoints ---- */

Test(app, default_namespace)
{
    struct fixture f;

    load_ok(&f, "");
    cr_assert_eq(f.app->nnsps, 1u);
    check_nsp(f.app, 0, "/", false);
    cr_assert_null(rc_app_nsp(f.app, RC_STR("/"), true));
    cr_assert_null(rc_app_nsp(f.app, RC_STR("/chat"), false));
    cr_assert_null(rc_app_nsp(f.app, RC_STR_NONE, false));
    cr_assert_null(rc_ruleset_find(&f.app->nsp[0].rules, RC_STR("x")));
    tear_down(&f);
}

Test(app, namespaces_in_order)
{
    struct fixture f;
    const struct rc_nsp *nsp;

    load_ok(&f, "[endpoint /b]\nprotocol = relay\n[event /b x]\njoin = B\n[namespace /a]\n"
                "[connect /c]\njoin = C\n[event y]\njoin = Y\n[event /b *]\n[connect /b]\n"
                "[endpoint /]\nprotocol = echo\n[namespace /]\n[event x]\n");
    cr_assert_eq(f.app->nnsps, 6u);
    check_nsp(f.app, 0, "/", false);
    check_nsp(f.app, 1, "/b", false);
    check_nsp(f.app, 2, "/a", false);
    check_nsp(f.app, 3, "/c", false);
    check_nsp(f.app, 4, "/b", true);
    check_nsp(f.app, 5, "/", true);
    cr_assert_null(rc_app_nsp(f.app, RC_STR("/a"), true));
    cr_assert_null(rc_app_nsp(f.app, RC_STR("/A"), false));
    cr_assert_null(rc_app_nsp(f.app, RC_STR("/bb"), false));

    nsp = &f.app->nsp[0];
    cr_assert_str_eq(rc_ruleset_find(&nsp->rules, RC_STR("y"))->event, "y");
    cr_assert_str_eq(rc_ruleset_find(&nsp->rules, RC_STR("x"))->event, "x");
    cr_assert_null(rc_ruleset_find(&nsp->rules, RC_STR("z")));
    cr_assert_null(nsp->rules.connect);
    nsp = &f.app->nsp[1];
    cr_assert_str_eq(rc_ruleset_find(&nsp->rules, RC_STR("x"))->event, "x");
    cr_assert_eq(rc_ruleset_find(&nsp->rules, RC_STR("x"))->nactions, 1u);
    cr_assert_str_eq(rc_ruleset_find(&nsp->rules, RC_STR("y"))->event, "*");
    cr_assert_not_null(nsp->rules.connect);
    cr_assert_eq(f.app->nsp[3].rules.connect->nactions, 1u);
    tear_down(&f);
}

Test(app, parsers_of_namespaces)
{
    struct fixture f;

    load_ok(&f, "[namespace /a]\nparser = json\n[namespace /b]\nparser = msgpack\n"
                "[namespace /c]\nparser = auto\n[namespace /]\n");
    cr_assert_eq(rc_app_nsp(f.app, RC_STR("/"), false)->parser, RC_PARSER_AUTO);
    cr_assert_eq(rc_app_nsp(f.app, RC_STR("/a"), false)->parser, RC_PARSER_JSON);
    cr_assert_eq(rc_app_nsp(f.app, RC_STR("/b"), false)->parser, RC_PARSER_MSGPACK);
    cr_assert_eq(rc_app_nsp(f.app, RC_STR("/c"), false)->parser, RC_PARSER_AUTO);
    tear_down(&f);
    load_ok(&f, "[socketio]\nparser = json\n[namespace /a]\nparser = json\n"
                "[namespace /c]\nparser = auto\n");
    tear_down(&f);
    check_faults("[namespace /a]\nparser = text\n",
                 "/t.ini:2: [namespace /a] parser = text: expected auto, json or msgpack\n");
    check_faults("[socketio]\nparser = json\n[namespace /a]\nparser = msgpack\n",
                 "/t.ini:4: [namespace /a] parser = msgpack: expected the same as "
                 "socketio.parser, unless that is auto\n");
}

/* The pattern that a name fits, "" for none. */
static void check_pattern(const struct rc_app *app, const char *name, size_t len,
                          const char *expected)
{
    const struct rc_nsp *nsp = rc_app_pattern(app, rc_str_make(name, len));

    cr_assert_str_eq(nsp != NULL ? nsp->name.p : "", expected, "%s", name);
}

Test(app, patterns)
{
    static const char *const cases[][2] = {
        {"/room-1", "/room-*"},
        {"/room-", ""},
        {"/room", ""},
        {"/room-*", "/room-*"},
        {"/room-a/b", "/*/*"},
        {"/room-\xc3\xa9 x", "/room-*"},
        {"/a-x-b", "/a*-b"},
        {"/a--b", "/a*-b"},
        {"/a-b", ""},
        {"/a-b-b", "/a*-b"},
        {"/a-b-bc", ""},
        {"/xya1b", "/x*a*b"},
        {"/xab", ""},
        {"/x1ab", ""},
        {"/x1a2b", "/x*a*b"},
        {"/xaaab", "/x*a*b"},
        {"/xaaabbb", "/x*a*b"},
        {"/xaaabbbc", ""},
        {"/x/a/b", ""},
        {"/u/v", "/*/*"},
        {"/u/", ""},
        {"//v", ""},
        {"/", ""},
        {"", ""},
        {"/room-?", ""},
        {"/room-a?b", ""},
        {"/room-a,b", ""},
        {"/room-\x01", ""},
        {"/room-\x7f", ""},
        {"room-1", ""},
    };
    struct fixture f;

    load_ok(&f, "[event /room-* talk]\n[namespace /room-fixed]\n[namespace /a*-b]\n"
                "[connect /x*a*b]\n[namespace /room-*]\n[namespace /*/*]\n[connect /room-*]\n");
    cr_assert_eq(f.app->nnsps, 6u);
    cr_assert_eq(f.app->npatterns, 4u);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_pattern(f.app, cases[i][0], strlen(cases[i][0]), cases[i][1]);
    check_pattern(f.app, "/room-\0x", 8, "");
    check_pattern(f.app, "/room-x\0", 8, "");
    check_pattern(f.app, "/room-fixed", 11, "/room-*"); /* whoever asks for it first */
    cr_assert_not_null(rc_app_nsp(f.app, RC_STR("/room-fixed"), false));
    cr_assert_null(rc_app_nsp(f.app, RC_STR("/room-*"), false));
    cr_assert_null(rc_app_nsp(f.app, RC_STR("/room-1"), false));
    tear_down(&f);

    load_ok(&f, "[endpoint /x*]\nprotocol = echo\n");
    cr_assert_eq(f.app->npatterns, 0u);
    cr_assert_not_null(rc_app_nsp(f.app, RC_STR("/x*"), true));
    check_pattern(f.app, "/xy", 3, "");
    tear_down(&f);
}

Test(app, many_namespaces)
{
    enum { N = 2000 };
    struct rc_buf text = RC_BUF_INIT;
    struct fixture f;
    char name[16];

    for (int i = 1; i <= N; i++)
        rc_buf_printf(&text, "[namespace /n%d]\n", i);
    rc_buf_putc(&text, '\0');
    load_ok(&f, (const char *)text.data);
    cr_assert_eq(f.app->nnsps, N + 1u);
    for (unsigned i = 1; i <= N; i++) {
        (void)snprintf(name, sizeof(name), "/n%u", i);
        check_nsp(f.app, i, name, false);
    }
    tear_down(&f);
    rc_buf_deinit(&text);
}

Test(app, too_many_namespaces)
{
    struct fixture f = {.e = {.n = 0}};
    struct rc_conf_section *s;
    char(*names)[12];

    /* conf would take long to compare 65,535 headers with each other. */
    set_up(&f, "", "/nowhere");
    rc_app_free(f.app);
    s = calloc(65535, sizeof(*s));
    names = calloc(65535, sizeof(*names));
    cr_assert(s != NULL && names != NULL);
    for (unsigned i = 0; i < 65535; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "/%u", i);
        s[i] = (struct rc_conf_section){.kind = RC_CONF_NAMESPACE, .nsp = names[i]};
    }
    f.conf.section = s;
    f.conf.nsections = 65534;
    f.app = rc_app_new(&f.conf, "/nowhere", &f.e);
    cr_assert_not_null(f.app);
    check_nsp(f.app, 65534, "/65533", false);
    rc_app_free(f.app);
    f.conf.nsections = 65535;
    f.app = rc_app_new(&f.conf, "/nowhere", &f.e);
    cr_assert_null(f.app);
    rc_buf_putc(&f.e.text, '\0');
    cr_assert_str_eq((const char *)f.e.text.data, "/t.ini: expected at most 65535 namespaces "
                                                  "and endpoints, there are 65536\n");
    f.conf.section = NULL;
    f.conf.nsections = 0;
    free(s);
    free(names);
    tear_down(&f);
}

Test(app, endpoints)
{
    const struct rc_nsp *nsp;
    struct fixture f;

    load_ok(&f, "[socketio]\nmax_payload = 2KB\n[endpoint /e]\nprefix = \"re: \"\n"
                "protocol = echo\nping_interval = 1500ms\nmax_payload = 1KiB\n"
                "[endpoint /r]\nprotocol = relay\n");
    nsp = rc_app_nsp(f.app, RC_STR("/e"), true);
    cr_assert_eq(nsp->endpoint, RC_ENDPOINT_ECHO);
    cr_assert(rc_str_eq(nsp->prefix, RC_STR("re: ")));
    cr_assert_eq(nsp->ping_ms, 1500u);
    cr_assert_eq(nsp->max_payload, 1024u);
    nsp = rc_app_nsp(f.app, RC_STR("/r"), true);
    cr_assert_eq(nsp->endpoint, RC_ENDPOINT_RELAY);
    cr_assert_eq(nsp->prefix.len, 0u);
    cr_assert_eq(nsp->ping_ms, 30000u);
    cr_assert_eq(nsp->max_payload, 2000u);
    tear_down(&f);
}

Test(app, endpoint_faults)
{
    check_faults("[endpoint /e]\n",
                 "/t.ini:1: [endpoint /e]: expected protocol = echo, relay or json\n");
    check_faults("[endpoint /e]\nprotocol = text\n",
                 "/t.ini:2: [endpoint /e] protocol = text: expected echo, relay or json\n");
    check_faults("[endpoint /e]\nprotocol = relay\nprefix = x\n",
                 "/t.ini:3: [endpoint /e] prefix = x: expected a prefix only with protocol = "
                 "echo\n");
    check_faults("[endpoint /e]\nprotocol = echo\nping_interval = 99ms\nmax_payload = 127\n",
                 "/t.ini:3: [endpoint /e] ping_interval = 99ms: expected a duration from 100ms "
                 "to 24h with its unit ms, s, m or h, such as 25s or 300ms\n"
                 "/t.ini:4: [endpoint /e] max_payload = 127: expected a size from 128 to 1GiB "
                 "in bytes, KB, MB, GB (1000) or KiB, MiB, GiB (1024), such as 16KiB\n");
    check_faults("[endpoint /healthz]\nprotocol = echo\n",
                 "/t.ini:1: [endpoint /healthz]: expected another path than "
                 "server.health_path\n");
}

Test(app, json_endpoints)
{
    const struct rc_nsp *nsp;
    struct fixture f;

    load_ok(&f, "[auth]\nsecret = 0123456789abcdef0123456789abcdef\n"
                "[namespace /b]\nauth = required\n[endpoint /b]\nprotocol = json\n"
                "namespace = /b\nuntyped = a, b c ,d\n"
                "[endpoint /root]\nprotocol = json\n"
                "[endpoint /again]\nuntyped = a,b c,d\nnamespace = /b\nprotocol = json\n"
                "auth = optional\n");
    nsp = rc_app_nsp(f.app, RC_STR("/b"), true);
    cr_assert_eq(nsp->endpoint, RC_ENDPOINT_JSON);
    cr_assert_eq(nsp->door_to, rc_app_nsp(f.app, RC_STR("/b"), false)->index);
    cr_assert_eq(nsp->auth, RC_AUTHMODE_REQUIRED);
    cr_assert(nsp->untyped);
    nsp = rc_app_nsp(f.app, RC_STR("/root"), true);
    cr_assert_eq(nsp->door_to, 0);
    cr_assert_eq(nsp->auth, RC_AUTHMODE_OFF);
    cr_assert_not(nsp->untyped);
    nsp = rc_app_nsp(f.app, RC_STR("/again"), true);
    cr_assert_eq(nsp->auth, RC_AUTHMODE_OPTIONAL);
    cr_assert(nsp->untyped);
    cr_assert_eq(f.app->nuntyped, 1u);
    cr_assert_str_eq(f.app->untyped[0].nsp.p, "/b");
    cr_assert_eq(f.app->untyped[0].n, 3u);
    cr_assert(rc_str_eq(f.app->untyped[0].event[1], RC_STR("b c")));
    cr_assert(rc_str_eq(f.app->untyped[0].event[2], RC_STR("d")));
    tear_down(&f);
}

Test(app, json_endpoint_faults)
{
    check_faults(
        "[endpoint /e]\nprotocol = echo\nnamespace = /\nuntyped = a\n",
        "/t.ini:3: [endpoint /e] namespace = /: expected this key only with protocol = "
        "json\n"
        "/t.ini:4: [endpoint /e] untyped = a: expected this key only with protocol = "
        "json\n");
    check_faults("[namespace /a*]\n[endpoint /e]\nprotocol = json\nnamespace = /ab\n"
                 "[endpoint /f]\nprotocol = json\nnamespace = /a*\n",
                 "/t.ini:4: [endpoint /e] namespace = /ab: expected a namespace that another "
                 "section names, and that is no pattern\n"
                 "/t.ini:7: [endpoint /f] namespace = /a*: expected a namespace that another "
                 "section names, and that is no pattern\n");
    check_faults(
        "[endpoint /e]\nprotocol = json\nuntyped = a,,b\n",
        "/t.ini:3: [endpoint /e] untyped = a,,b: expected names of events, by comma\n");
    check_faults("[endpoint /e]\nprotocol = json\nuntyped = a, b\n"
                 "[endpoint /f]\nprotocol = json\nuntyped = b, a\n",
                 "/t.ini:6: [endpoint /f] untyped = b, a: expected the same as the other "
                 "endpoints of the namespace\n");
}

/* Those of rules, endpoints and files are told together. */
Test(app, all_faults)
{
    struct fixture f;

    set_up(&f,
           "[server]\nstatic_root = /nowhere/at/all\n[socketio]\nclient_dir = /nowhere/too\n"
           "[endpoint /e]\n[event x]\nwatch = y\n[connect /c]\njoin = {1}\n",
           "/nowhere");
    cr_assert_null(f.app);
    cr_assert_eq(f.e.n, 5u);
    rc_buf_putc(&f.e.text, '\0');
    cr_assert_not_null(strstr((const char *)f.e.text.data, "/t.ini:5: [endpoint /e]: "));
    cr_assert_not_null(strstr((const char *)f.e.text.data, "/t.ini:7: [event x] watch = y: "));
    cr_assert_not_null(
        strstr((const char *)f.e.text.data, "/t.ini:9: [connect /c] join = {1}: "));
    cr_assert_not_null(strstr((const char *)f.e.text.data,
                              "/t.ini:2: [server] static_root = /nowhere/at/all: No such "
                              "file or directory: create it, or correct the path\n"));
    cr_assert_not_null(strstr((const char *)f.e.text.data,
                              "/t.ini:4: [socketio] client_dir = /nowhere/too: No such file "
                              "or directory: create it, or correct the path\n"));
    tear_down(&f);
}

/* ---- limits and switches ---- */

Test(app, default_limits)
{
    struct fixture f;

    load_ok(&f, "");
    cr_assert(f.app->polling && f.app->websocket);
    cr_assert_not(f.app->headers.cors);
    cr_assert_eq(f.app->http.max_head, 16384u);
    cr_assert_eq(f.app->http.max_target, 8192u);
    cr_assert_eq(f.app->http.max_headers, 64u);
    cr_assert_eq(f.app->sio.max_depth, 64u);
    cr_assert_eq(f.app->sio.max_attachments, 10u);
    cr_assert_eq(f.app->sio.max_args, 16u);
    cr_assert_eq(f.app->sio.max_nsp, 128u);
    cr_assert_eq(f.app->sio.max_event, 128u);
    tear_down(&f);
}

Test(app, other_limits)
{
    struct fixture f;

    load_ok(&f, "[socketio]\ntransports = websocket\ncors_origin = *\n"
                "[limits]\nmax_head_size = 1KiB\nmax_target_size = 100\nmax_headers = 9\n"
                "json_depth = 3\nmax_attachments = 2\nmax_args = 4\n"
                "max_namespace_length = 50\nmax_event_length = 60\n");
    cr_assert(!f.app->polling && f.app->websocket && f.app->headers.any_origin);
    cr_assert_eq(f.app->http.max_head, 1024u);
    cr_assert_eq(f.app->http.max_target, 100u);
    cr_assert_eq(f.app->http.max_headers, 9u);
    cr_assert_eq(f.app->sio.max_depth, 3u);
    cr_assert_eq(f.app->sio.max_attachments, 2u);
    cr_assert_eq(f.app->sio.max_args, 4u);
    cr_assert_eq(f.app->sio.max_nsp, 50u);
    cr_assert_eq(f.app->sio.max_event, 60u);
    tear_down(&f);

    load_ok(&f, "[socketio]\ntransports = polling\ncors_origin = https://a.example\n");
    cr_assert(f.app->polling && !f.app->websocket && !f.app->headers.any_origin);
    tear_down(&f);
}

/* ---- files ---- */

struct tree {
    char root[64];
    char path[16][128]; /* what was made, in order */
    unsigned n;
};

static void tree_new(struct tree *t)
{
    *t = (struct tree){.root = "/tmp/rc-test-app-XXXXXX"};
    cr_assert_not_null(mkdtemp(t->root));
}

/* content NULL: a folder. */
static void tree_add(struct tree *t, const char *name, const char *content)
{
    char *path = t->path[t->n++], full[sizeof(t->path[0])];
    FILE *f;

    /* By way of a buffer: gcc takes root and path, of one struct, for overlapping. */
    (void)snprintf(full, sizeof(full), "%s/%s", t->root, name);
    memcpy(path, full, sizeof(full));
    if (content == NULL) {
        cr_assert_eq(mkdir(path, 0755), 0);
        return;
    }
    f = fopen(path, "w");
    cr_assert_not_null(f);
    cr_assert_geq(fputs(content, f), 0);
    cr_assert_eq(fclose(f), 0);
}

static void tree_free(struct tree *t)
{
    while (t->n != 0)
        cr_assert_eq(remove(t->path[--t->n]), 0);
    cr_assert_eq(rmdir(t->root), 0);
}

/* Loads with $ in the text, which comes once, replaced by the tree's root. */
static void load_tree(struct fixture *f, const struct tree *t, const char *text,
                      const char *exe_dir)
{
    const char *dollar = strchr(text, '$');
    char full[512], dir[128];

    (void)snprintf(full, sizeof(full), "%.*s%s%s",
                   (int)(dollar != NULL ? (size_t)(dollar - text) : strlen(text)), text,
                   dollar != NULL ? t->root : "", dollar != NULL ? dollar + 1 : "");
    (void)snprintf(dir, sizeof(dir), "%s/%s", t->root, exe_dir);
    set_up(f, full, dir);
}

static void check_body(const struct rc_site *site, const char *path, const char *body)
{
    const struct rc_site_file *file;

    cr_assert_not_null(site);
    file = rc_site_find(site, rc_str_of(path));
    cr_assert_not_null(file);
    cr_assert(rc_str_eq(file->body, rc_str_of(body)));
}

Test(app, static_files)
{
    struct fixture f;
    struct tree t;

    tree_new(&t);
    tree_add(&t, "index.html", "<h1>{title}</h1>");
    load_tree(&f, &t, "[server]\nstatic_root = $\ntitle = A&B\n", "bin");
    cr_assert_not_null(f.app);
    check_body(f.app->site, "/", "<h1>A&amp;B</h1>");
    cr_assert_null(f.app->client);
    cr_assert_str_eq(f.app->client_etag, "");
    tear_down(&f);
    tree_free(&t);
}

static const char min_js[] = "/*!\n * Socket.IO v4.8.1\n * (c) 2014-2024 */\nvar {title};";

/* A build has them in ../client, an installation in ../share. */
Test(app, client_bundles_beside_the_executable)
{
    static const char *const share[] = {"share", "share/roomcast", "share/roomcast/client",
                                        "share/roomcast/client/socket.io.min.js"};
    struct fixture f;
    struct tree t;

    tree_new(&t);
    tree_add(&t, "bin", NULL);
    load_tree(&f, &t, "", "bin");
    cr_assert_not_null(f.app);
    cr_assert_null(f.app->client);
    tear_down(&f);

    for (unsigned i = 0; i < 4; i++)
        tree_add(&t, share[i], i < 3 ? NULL : min_js);
    load_tree(&f, &t, "", "bin");
    check_body(f.app->client, "/socket.io.min.js", min_js);
    cr_assert_str_eq(f.app->client_etag, "\"4.8.1\"");
    tear_down(&f);

    tree_add(&t, "client", NULL);
    load_tree(&f, &t, "", "bin");
    check_body(f.app->client, "/socket.io.min.js", min_js); /* that folder is empty */
    tear_down(&f);
    tree_add(&t, "client/socket.io.min.js", "Socket.IO v4.9.0-rc.1");
    load_tree(&f, &t, "", "bin");
    check_body(f.app->client, "/socket.io.min.js", "Socket.IO v4.9.0-rc.1");
    cr_assert_str_eq(f.app->client_etag, "\"4.9.0-rc.1\"");
    tear_down(&f);

    tree_add(&t, "bin/client", NULL);
    tree_add(&t, "bin/client/socket.io.min.js", "no version");
    load_tree(&f, &t, "", "bin");
    check_body(f.app->client, "/socket.io.min.js", "no version");
    cr_assert_eq(f.app->client_etag[0], '"');
    cr_assert_gt(strlen(f.app->client_etag), 10u);
    tear_down(&f);

    load_tree(&f, &t, "[socketio]\nserve_client = no\n", "bin");
    cr_assert_null(f.app->client);
    tear_down(&f);
    load_tree(&f, &t, "[socketio]\npath =\n", "bin");
    cr_assert_null(f.app->client);
    tear_down(&f);
    tree_free(&t);
}

Test(app, client_dir)
{
    struct fixture f;
    struct tree t;
    char expected[256];

    tree_new(&t);
    load_tree(&f, &t, "[socketio]\nclient_dir = $\n", "bin");
    cr_assert_null(f.app);
    (void)snprintf(expected, sizeof(expected),
                   "/t.ini:2: [socketio] client_dir = %s: expected a folder that has "
                   "socket.io.min.js\n",
                   t.root);
    rc_buf_putc(&f.e.text, '\0');
    cr_assert_str_eq((const char *)f.e.text.data, expected);
    tear_down(&f);

    tree_add(&t, "socket.io.min.js", "Socket.IO v");
    load_tree(&f, &t, "[socketio]\nclient_dir = $\n", "bin");
    cr_assert_not_null(f.app);
    check_body(f.app->client, "/socket.io.min.js", "Socket.IO v");
    cr_assert_eq(f.app->client_etag[0], '"');
    cr_assert_gt(strlen(f.app->client_etag), 10u);
    tear_down(&f);
    tree_free(&t);
}

/* ---- tokens for development ---- */

#define SECRET "secret = 0123456789abcdef0123456789abcdef\n"
#define DEV    "[auth]\ndev_tokens_path = /dev/token\n"

Test(app, dev_tokens_need_what_signs_them)
{
    struct fixture f;

    check_faults(
        DEV, "/t.ini:2: [auth] dev_tokens_path = /dev/token: nobody looks at tokens: expected "
             "auth.mode = optional or required\n");
    check_faults(DEV "mode = optional\n", "/t.ini:3: [auth]: expected a key to verify tokens "
                                          "with: secret, secret_file, public_key or "
                                          "jwks\n"
                                          "/t.ini:2: [auth] dev_tokens_path = /dev/token: "
                                          "expected secret or secret_file to sign "
                                          "with\n");
    check_faults(
        DEV "mode = optional\nalgorithms = HS512\n"
            "secret = "
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n",
        "/t.ini:2: [auth] dev_tokens_path = /dev/token: expected HS256 among algorithms\n");
    check_faults(DEV "mode = optional\n" SECRET "[server]\nhealth_path = /dev/token\n",
                 "/t.ini:2: [auth] dev_tokens_path = /dev/token: expected a path that nothing "
                 "else has\n");
    check_faults(DEV "mode = optional\n" SECRET "[endpoint /dev/token]\nprotocol = echo\n",
                 "/t.ini:2: [auth] dev_tokens_path = /dev/token: expected a path that nothing "
                 "else has\n");
    load_ok(&f, DEV "mode = optional\n" SECRET);
    tear_down(&f);
    load_ok(&f, DEV "secret = auto\n[namespace /a]\nauth = required\n");
    tear_down(&f);
}

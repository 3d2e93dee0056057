#include "rc/base/conf.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Loads a text, which must be without a fault. */
static void load_ok(struct rc_conf *conf, const char *text)
{
    struct rc_conf_errors e = {0};
    int err = rc_conf_load_text(conf, "t.ini", rc_str_of(text), NULL, 0, &e);

    if (err != RC_OK)
        fprintf(stderr, "%.*s", RC_STR_ARG(rc_buf_str(&e.text)));
    cr_assert_eq(err, RC_OK);
    cr_assert_eq(e.n, 0u);
    cr_assert_eq(e.text.len, 0u);
}

static char *print_of(const struct rc_conf *conf)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);

    cr_assert_not_null(f);
    rc_conf_print(conf, f);
    (void)fclose(f);
    return text;
}

/* ---- values ---- */

Test(conf, defaults_are_those_of_the_table)
{
    struct rc_conf conf;
    struct rc_conf_errors e = {0};

    cr_assert_eq(rc_conf_load(&conf, NULL, NULL, 0, &e), RC_OK);
    cr_assert_eq(e.n, 0u);
    cr_assert_null(conf.file);
    cr_assert_eq(conf.nsections, 0u);
    cr_assert_eq(conf.server_listen.n, 1u);
    cr_assert_str_eq(conf.server_listen.item[0], "0.0.0.0:3000");
    cr_assert_eq(conf.server_shards, 0u);
    cr_assert_str_eq(conf.server_static_root, "");
    cr_assert_str_eq(conf.server_title, "roomcast");
    cr_assert_eq(conf.server_shutdown_timeout, 10000u);
    cr_assert_eq(conf.log_level, RC_LOG_INFO);
    cr_assert_str_eq(conf.socketio_path, "/socket.io");
    cr_assert_eq(conf.socketio_ping_interval, 25000u);
    cr_assert_eq(conf.socketio_ping_timeout, 20000u);
    cr_assert_eq(conf.socketio_max_payload, 1000000u);
    cr_assert_eq(conf.socketio_transports.n, 2u);
    cr_assert_str_eq(conf.socketio_transports.item[1], "websocket");
    cr_assert(conf.socketio_allow_upgrades);
    cr_assert_eq(conf.socketio_cors_origin.n, 0u);
    cr_assert_not(conf.socketio_cors_credentials);
    cr_assert_eq(conf.socketio_ack_policy, RC_ACKPOLICY_AUTO);
    cr_assert_eq(conf.socketio_unknown_event, RC_UNKNOWNEVENT_IGNORE);
    cr_assert_eq(conf.limits_max_head_size, 16384u);
    cr_assert_eq(conf.limits_max_queue, 4194304u);
    cr_assert_eq(conf.limits_max_connections, 0u);
    rc_conf_free(&conf);
    rc_conf_free(&conf); /* an empty struct is fine, too */
}

/* Each default of the table, written out, must be a value that loads. */
#define DEFAULT_LINE(section, key, type, def, min, max, reload, help) \
    "[" #section "]\n" #key " = " def "\n",
static const char *const default_lines[] = {RC_CONF_MAP(DEFAULT_LINE)};

Test(conf, every_default_loads)
{
    struct rc_conf conf, defaults;
    char *a, *b;

    load_ok(&defaults, "");
    a = print_of(&defaults);
    for (size_t i = 0; i < sizeof(default_lines) / sizeof(default_lines[0]); i++) {
        load_ok(&conf, default_lines[i]);
        b = print_of(&conf);
        cr_assert_str_eq(a, b);
        free(b);
        rc_conf_free(&conf);
    }
    free(a);
    rc_conf_free(&defaults);
}

static uint64_t payload_of(const char *size)
{
    struct rc_conf conf;
    uint64_t bytes;
    char text[80];

    (void)snprintf(text, sizeof(text), "[socketio]\nmax_payload = %s\n", size);
    load_ok(&conf, text);
    bytes = conf.socketio_max_payload;
    rc_conf_free(&conf);
    return bytes;
}

Test(conf, sizes)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } rows[] = {
        {"128", 128},         {"4096B", 4096},           {"1KB", 1000},
        {"1KiB", 1024},       {"1MB", 1000000},          {"1mb", 1000000},
        {"1MiB", 1048576},    {"1mib", 1048576},         {"1GB", 1000000000},
        {"1GiB", 1073741824}, {"1000000KB", 1000000000}, {"0128", 128},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_assert_eq(payload_of(rows[i].text), rows[i].bytes);
}

Test(conf, durations)
{
    static const struct {
        const char *text;
        uint32_t ms;
    } rows[] = {
        {"100ms", 100},  {"300MS", 300},    {"25s", 25000},       {"2m", 120000},
        {"1h", 3600000}, {"24h", 86400000}, {"86400s", 86400000}, {"1500ms", 1500},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rc_conf conf;
        char text[80];

        (void)snprintf(text, sizeof(text), "[socketio]\nping_interval=%s\n", rows[i].text);
        load_ok(&conf, text);
        cr_assert_eq(conf.socketio_ping_interval, rows[i].ms);
        rc_conf_free(&conf);
    }
}

Test(conf, helpers_for_endpoints)
{
    struct rc_buf why = RC_BUF_INIT;
    uint64_t bytes = 7;
    uint32_t ms = 7;

    cr_assert(rc_conf_duration(RC_STR("30s"), 100, 60000, &ms, &why));
    cr_assert_eq(ms, 30000u);
    cr_assert(rc_conf_size(RC_STR("2KiB"), 1, 4096, &bytes, &why));
    cr_assert_eq(bytes, 2048u);
    cr_assert_eq(why.len, 0u);
    cr_assert_not(rc_conf_duration(RC_STR("2m"), 100, 60000, &ms, &why));
    cr_assert_not(rc_conf_size(RC_STR(""), 1, 4096, &bytes, &why));
    cr_assert(ms == 30000 && bytes == 2048);
    rc_buf_putc(&why, '\0');
    cr_assert_str_eq((char *)why.data,
                     "a duration from 100ms to 1m with its unit ms, s, m or h, such as 25s or "
                     "300msa size from 1 to 4KiB in bytes, KB, MB, GB (1000) or KiB, MiB, GiB "
                     "(1024), such as 16KiB");
    rc_buf_deinit(&why);
}

Test(conf, booleans_numbers_and_names)
{
    static const char *const yes[] = {"yes", "true", "on", "1", "YES"};
    static const char *const no[] = {"no", "false", "off", "0", "No"};
    struct rc_conf conf;
    char text[80];

    for (size_t i = 0; i < 5; i++) {
        (void)snprintf(text, sizeof(text), "[socketio]\ncors_credentials = %s", yes[i]);
        load_ok(&conf, text);
        cr_assert(conf.socketio_cors_credentials);
        rc_conf_free(&conf);
        (void)snprintf(text, sizeof(text), "[socketio]\nserve_client = %s", no[i]);
        load_ok(&conf, text);
        cr_assert_not(conf.socketio_serve_client);
        rc_conf_free(&conf);
    }
    load_ok(&conf, "[server]\nshards = 64\nring_slots = 4096\n[limits]\nmax_args = 32\n"
                   "[log]\nlevel = debug\n[socketio]\nack_policy = none\n"
                   "unknown_event = disconnect\nerror_event = oops\n");
    cr_assert_eq(conf.server_shards, 64u);
    cr_assert_eq(conf.server_ring_slots, 4096u);
    cr_assert_eq(conf.limits_max_args, 32u);
    cr_assert_eq(conf.log_level, RC_LOG_DEBUG);
    cr_assert_eq(conf.socketio_ack_policy, RC_ACKPOLICY_NONE);
    cr_assert_eq(conf.socketio_unknown_event, RC_UNKNOWNEVENT_DISCONNECT);
    cr_assert_str_eq(conf.socketio_error_event, "oops");
    rc_conf_free(&conf);
}

Test(conf, lists)
{
    struct rc_conf conf;

    load_ok(&conf, "[server]\nlisten = 127.0.0.1:0,[::1]:0 , localhost:3000, :80, 127.0.0.1:0\n"
                   "[socketio]\ntransports=websocket\n"
                   "cors_origin = https://example.org, http://localhost:8080, null\n");
    cr_assert_eq(conf.server_listen.n, 5u);
    cr_assert_str_eq(conf.server_listen.item[0], "127.0.0.1:0");
    cr_assert_str_eq(conf.server_listen.item[1], "[::1]:0");
    cr_assert_str_eq(conf.server_listen.item[2], "localhost:3000");
    cr_assert_str_eq(conf.server_listen.item[3], ":80");
    cr_assert_eq(conf.socketio_transports.n, 1u);
    cr_assert_eq(conf.socketio_cors_origin.n, 3u);
    cr_assert_str_eq(conf.socketio_cors_origin.item[1], "http://localhost:8080");
    rc_conf_free(&conf);

    load_ok(&conf, "[socketio]\nallow_origin = https://*.a.example, http://*:*\n"
                   "cors_methods = GET,X-Y\ncors_exposed_headers = a, b\n");
    cr_assert_eq(conf.socketio_allow_origin.n, 2u);
    cr_assert_str_eq(conf.socketio_allow_origin.item[0], "https://*.a.example");
    cr_assert_eq(conf.socketio_cors_methods.n, 2u);
    cr_assert_str_eq(conf.socketio_cors_methods.item[1], "X-Y");
    cr_assert_eq(conf.socketio_cors_exposed_headers.n, 2u);
    cr_assert_eq(conf.socketio_cors_allowed_headers.n, 0u);
    rc_conf_free(&conf);
}

Test(conf, cookie)
{
    struct rc_conf conf;

    load_ok(&conf, "");
    cr_assert_str_eq(conf.socketio_cookie, "");
    cr_assert_str_eq(conf.socketio_cookie_path, "/");
    cr_assert(conf.socketio_cookie_http_only && !conf.socketio_cookie_secure);
    cr_assert_eq(conf.socketio_cookie_same_site, RC_SAMESITE_LAX);
    cr_assert_eq(conf.socketio_parser, RC_PARSER_AUTO);
    rc_conf_free(&conf);

    load_ok(&conf, "[socketio]\ncookie = io\ncookie_path = /a/b\ncookie_http_only = no\n"
                   "cookie_secure = yes\ncookie_same_site = off\n");
    cr_assert_str_eq(conf.socketio_cookie, "io");
    cr_assert_str_eq(conf.socketio_cookie_path, "/a/b");
    cr_assert(!conf.socketio_cookie_http_only && conf.socketio_cookie_secure);
    cr_assert_eq(conf.socketio_cookie_same_site, RC_SAMESITE_OFF);
    rc_conf_free(&conf);

    load_ok(&conf, "[socketio]\ncookie_path =\ncookie_same_site = none\n");
    cr_assert_str_eq(conf.socketio_cookie_path, "");
    cr_assert_eq(conf.socketio_cookie_same_site, RC_SAMESITE_NONE);
    rc_conf_free(&conf);
}

/* ---- the reader ---- */

static const char *only_value(struct rc_conf *conf, const char *text)
{
    load_ok(conf, text);
    cr_assert_eq(conf->nsections, 1u);
    cr_assert_eq(conf->section[0].nentries, 1u);
    return conf->section[0].entry[0].value;
}

static void check_value(const char *text, const char *expected)
{
    struct rc_conf conf;

    cr_assert_str_eq(only_value(&conf, text), expected);
    rc_conf_free(&conf);
}

Test(conf, rule_values_arrive_as_written)
{
    check_value("[event a]\nemit = all: news \"a ; b\" {\"x\": 1}\n",
                "all: news \"a ; b\" {\"x\": 1}");
    check_value("[event a]\nemit=room {1}: x {\"a\":\"b; c # d\",\"e\":\"f=g\"}",
                "room {1}: x {\"a\":\"b; c # d\",\"e\":\"f=g\"}");
    check_value("[event a]\n\temit\t=\t all: x ;y #z \t\r\n", "all: x ;y #z");
    check_value("[event a]\njoin = \"{1}\"\n", "\"{1}\"");
    check_value("[event a]\njoin = [x]\n", "[x]");
    check_value("[event a]\njoin = a\\b\n", "a\\b");
    check_value("[event a]\njoin =\n", "");
    check_value("[event a]\njoin = \xe6\x88\xbf\xe9\x97\xb4\n", "\xe6\x88\xbf\xe9\x97\xb4");
}

Test(conf, comments_and_blanks)
{
    check_value("\xEF\xBB\xBF; a comment = 1\r\n\r\n  # [another]\r\n  [ event a ]  \r\n"
                "   ;x = y\r\n   join = z   \r\n#\r\n",
                "z");
    check_value("; bytes that are not UTF-8 in a comment: \xff\xfe\n[event a]\njoin = z", "z");
}

Test(conf, a_backslash_continues_a_line)
{
    struct rc_conf conf;

    check_value("[event a]\nemit = all: x \\\n    {\"a\":1} \\\r\n\t{\"b\":2}\n",
                "all: x {\"a\":1} {\"b\":2}");
    check_value("[event a]\njoin = a\\\n; not a comment\n", "a ; not a comment");
    check_value("[event a]\njoin = a \\\n\n", "a");
    check_value("; this is no continuation \\\n[event a]\njoin = a\n", "a");
    load_ok(&conf, "[event a]\n\njoin = a \\\n b\njoin = c\n[event b]\n");
    cr_assert_eq(conf.section[0].entry[0].line, 3u);
    cr_assert_eq(conf.section[0].entry[1].line, 5u);
    cr_assert_eq(conf.section[1].line, 6u);
    rc_conf_free(&conf);
}

static void check_title(const char *written, const char *expected)
{
    struct rc_conf conf;
    char text[200];

    (void)snprintf(text, sizeof(text), "[server]\ntitle = %s\n", written);
    load_ok(&conf, text);
    cr_assert_str_eq(conf.server_title, expected);
    rc_conf_free(&conf);
}

Test(conf, quotes_keep_blanks)
{
    check_title("plain text", "plain text");
    check_title("a \"b\" c", "a \"b\" c");
    check_title("\"  a; b \"", "  a; b ");
    check_title("\"\"", "");
    check_title("", "");
    check_title("\"a \\\"b\\\" \\\\ \\n\"", "a \"b\" \\ \\n");
    check_title("back\\slash", "back\\slash");
    check_value("[endpoint /]\nprefix = \"\xe6\x9c\x8d: \"\n", "\xe6\x9c\x8d: ");
    check_value("[endpoint /]\nprefix = a b\n", "a b");
    {
        struct rc_conf conf;

        load_ok(&conf, "[socketio]\nping_interval = \"30s\"\nerror_event = \"\"\n"
                       "cors_origin = \"\"\n[server]\nstatic_root = \"\"\n");
        cr_assert_eq(conf.socketio_ping_interval, 30000u);
        cr_assert_str_eq(conf.socketio_error_event, "");
        rc_conf_free(&conf);
    }
}

Test(conf, long_lines_are_whole)
{
    enum { N = 100000 };
    char *text = malloc(N + 64);
    struct rc_conf conf;
    size_t n;

    cr_assert_not_null(text);
    n = (size_t)sprintf(text, "[event a]\nemit = all: ");
    memset(text + n, 'x', N);
    (void)strcpy(text + n + N, "\njoin = y\n");
    load_ok(&conf, text);
    cr_assert_eq(conf.section[0].nentries, 2u);
    cr_assert_eq(strlen(conf.section[0].entry[0].value), 5u + N);
    rc_conf_free(&conf);
    free(text);
}

/* ---- sections ---- */

Test(conf, sections_keep_their_order_and_names)
{
    static const struct {
        enum rc_conf_section_kind kind;
        const char *nsp, *name;
        unsigned line;
    } expected[] = {
        {RC_CONF_EVENT, "/", "joinRoom", 1},  {RC_CONF_EVENT, "/chat", "talk to me", 4},
        {RC_CONF_EVENT, "/", "*", 5},         {RC_CONF_EVENT, "/", "/odd", 6},
        {RC_CONF_CONNECT, "/", "", 7},        {RC_CONF_CONNECT, "/chat", "", 8},
        {RC_CONF_NAMESPACE, "/empty", "", 9}, {RC_CONF_NAMESPACE, "/", "", 10},
        {RC_CONF_ENDPOINT, "/", "", 11},      {RC_CONF_ENDPOINT, "/a/b", "", 12},
        {RC_CONF_ROOM, "/", "vip *", 13},     {RC_CONF_ROOM, "/chat", "*", 14},
        {RC_CONF_ROOM, "/", "/odd", 15},      {RC_CONF_LISTENER, "/", "front", 16},
    };
    struct rc_conf conf;

    load_ok(&conf, "[event joinRoom]\njoin = {1}\nleave = b\n[event  /chat   talk to me]\n"
                   "[event *]\n[event / /odd]\n[connect]\n[connect /chat]\n"
                   "[namespace /empty]\n[namespace /]\n[endpoint /]\n[endpoint /a/b]\n"
                   "[room vip *]\n[room /chat *]\n[room / /odd]\n[listen  front]\n");
    cr_assert_eq(conf.nsections, sizeof(expected) / sizeof(expected[0]));
    for (unsigned i = 0; i < conf.nsections; i++) {
        const struct rc_conf_section *s = &conf.section[i];

        cr_assert_eq(s->kind, expected[i].kind);
        cr_assert_str_eq(s->nsp, expected[i].nsp);
        cr_assert_str_eq(s->name, expected[i].name);
        cr_assert_str_eq(s->file, "t.ini");
        cr_assert_eq(s->line, expected[i].line);
    }
    cr_assert_eq(conf.section[0].nentries, 2u);
    cr_assert_str_eq(conf.section[0].entry[0].key, "join");
    cr_assert_str_eq(conf.section[0].entry[1].key, "leave");
    cr_assert_str_eq(conf.section[0].entry[1].file, "t.ini");
    cr_assert_eq(conf.section[0].entry[1].line, 3u);
    rc_conf_free(&conf);
}

Test(conf, all_the_rule_keys_are_known)
{
    struct rc_conf conf;

    load_ok(&conf, "[event a]\nrequire=x\njoin=x\nleave=x\nemit=x\nack=x\nwatch=x\nunwatch=x\n"
                   "disconnect=x\njoin=x\nemit=x\n"
                   "[connect]\nrequire=x\njoin=x\nleave=x\nemit=x\nack=x\nwatch=x\nunwatch="
                   "x\ndisconnect=x\n"
                   "[endpoint /x]\nprotocol=echo\nprefix=x\nping_interval=1s\nmax_payload=1\n");
    cr_assert_eq(conf.section[0].nentries, 10u);
    cr_assert_eq(conf.section[1].nentries, 8u);
    cr_assert_eq(conf.section[2].nentries, 4u);
    rc_conf_free(&conf);
}

/* ---- the command line ---- */

static void load_options(struct rc_conf *conf, const char *text, const char *a, const char *b)
{
    char first[200], second[200], *options[] = {first, second};
    struct rc_conf_errors e = {0};

    (void)snprintf(first, sizeof(first), "%s", a);
    (void)snprintf(second, sizeof(second), "%s", b != NULL ? b : "");
    cr_assert_eq(rc_conf_load_text(conf, NULL, rc_str_of(text), options, b != NULL ? 2 : 1, &e),
                 RC_OK);
}

Test(conf, options_come_after_the_file)
{
    struct rc_conf conf;

    load_options(&conf, "[server]\nshards = 2\n", "server.shards=4", NULL);
    cr_assert_eq(conf.server_shards, 4u);
    rc_conf_free(&conf);
    load_options(&conf, "", "server.shards = 4", " server.shards = 5 ");
    cr_assert_eq(conf.server_shards, 5u);
    rc_conf_free(&conf);
    load_options(&conf, "[server]\ntitle = a\n", "server.title=x.y=z; \"w\"",
                 "log.level=error");
    cr_assert_str_eq(conf.server_title, "x.y=z; \"w\"");
    cr_assert_eq(conf.log_level, RC_LOG_ERROR);
    rc_conf_free(&conf);
}

Test(conf, options_can_add_rules)
{
    struct rc_conf conf;

    load_options(&conf, "[event talk]\nemit = all: x\nack = none\n",
                 "event talk.emit=all: a.b {\"c\":\"=\"}", "event talk.ack=auto");
    cr_assert_eq(conf.nsections, 1u);
    cr_assert_eq(conf.section[0].nentries, 3u);
    cr_assert_str_eq(conf.section[0].entry[1].key, "ack");
    cr_assert_str_eq(conf.section[0].entry[1].value, "auto");
    cr_assert_str_eq(conf.section[0].entry[1].file, "command line");
    cr_assert_str_eq(conf.section[0].entry[2].value, "all: a.b {\"c\":\"=\"}");
    cr_assert_eq(conf.section[0].entry[2].line, 0u);
    rc_conf_free(&conf);

    load_options(&conf, "", "event /chat a.b.join=x", "endpoint /ws.prefix=\" x \"");
    cr_assert_eq(conf.nsections, 2u);
    cr_assert_str_eq(conf.section[0].nsp, "/chat");
    cr_assert_str_eq(conf.section[0].name, "a.b");
    cr_assert_str_eq(conf.section[1].nsp, "/ws");
    cr_assert_str_eq(conf.section[1].entry[0].value, " x ");
    rc_conf_free(&conf);
}

/* ---- files and folders ---- */

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    cr_assert_not_null(f);
    cr_assert(fputs(text, f) >= 0);
    (void)fclose(f);
}

Test(conf, loads_a_file_and_resolves_its_folders)
{
    char dir[] = "/tmp/test_conf.XXXXXX", real[4096], path[4200], expected[4200];
    char option[] = "socketio.client_dir=./bundles/", *options[] = {option};
    struct rc_conf_errors e = {0};
    struct rc_conf conf;

    cr_assert_not_null(mkdtemp(dir));
    cr_assert_not_null(realpath(dir, real));
    (void)snprintf(path, sizeof(path), "%s/etc", dir);
    cr_assert_eq(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/etc/r.ini", dir);
    write_file(path, "[server]\nstatic_root = ../web/\n");
    cr_assert_eq(rc_conf_load(&conf, path, options, 1, &e), RC_OK);
    (void)snprintf(expected, sizeof(expected), "%s/web", real);
    cr_assert_str_eq(conf.server_static_root, expected);
    cr_assert_str_eq(conf.file, path);
    cr_assert_not_null(getcwd(real, sizeof(real)));
    (void)snprintf(expected, sizeof(expected), "%s/bundles", real);
    cr_assert_str_eq(conf.socketio_client_dir, expected);
    rc_conf_free(&conf);
    (void)unlink(path);
    (void)snprintf(path, sizeof(path), "%s/etc", dir);
    (void)rmdir(path);
    (void)rmdir(dir);
}

static void check_folder(const char *name, const char *written, const char *expected)
{
    struct rc_conf_errors e = {0};
    struct rc_conf conf;
    char text[200];

    (void)snprintf(text, sizeof(text), "[server]\nstatic_root = %s\n", written);
    cr_assert_eq(rc_conf_load_text(&conf, name, rc_str_of(text), NULL, 0, &e), RC_OK);
    if (strcmp(conf.server_static_root, expected) != 0)
        fprintf(stderr, "%s in %s is %s\n", written, name, conf.server_static_root);
    cr_assert_str_eq(conf.server_static_root, expected);
    rc_conf_free(&conf);
}

Test(conf, folders)
{
    check_folder("/no-such/etc/r.ini", "", "");
    check_folder("/no-such/etc/r.ini", "web", "/no-such/etc/web");
    check_folder("/no-such/etc/r.ini", ".", "/no-such/etc");
    check_folder("/no-such/etc/r.ini", "./", "/no-such/etc");
    check_folder("/no-such/etc/r.ini", "./web//", "/no-such/etc/web");
    check_folder("/no-such/etc/r.ini", "../web/a", "/no-such/web/a");
    check_folder("/no-such/etc/r.ini", "..", "/no-such");
    check_folder("/no-such/etc/r.ini", "../..", "/");
    check_folder("/no-such/etc/r.ini", "../../../../x", "/x");
    check_folder("/no-such/etc/r.ini", "..web", "/no-such/etc/..web");
    check_folder("/no-such/etc/r.ini", "a/../b", "/no-such/etc/a/../b");
    check_folder("/no-such/etc/r.ini", "/srv/web/", "/srv/web");
    check_folder("/no-such/etc/r.ini", "/", "/");
    check_folder("/r.ini", "web", "/web");
    check_folder("/r.ini", "../web", "/web");
}

Test(conf, a_file_that_cannot_be_read)
{
    char path[] = "/tmp/test_conf.XXXXXX";
    struct rc_conf_errors e = {0};
    struct rc_conf conf;
    int fd;

    cr_assert_eq(rc_conf_load(&conf, "/no-such/r.ini", NULL, 0, &e), RC_ENOENT);
    cr_assert_str_eq(conf.server_title, "roomcast"); /* the defaults are in place */
    rc_conf_free(&conf);
    cr_assert_eq(rc_conf_load(&conf, "/tmp", NULL, 0, &e), RC_ENOENT);
    rc_conf_free(&conf);
    fd = mkstemp(path);
    cr_assert(fd >= 0 && ftruncate(fd, (1 << 20) + 1) == 0);
    cr_assert_eq(rc_conf_load(&conf, path, NULL, 0, &e), RC_ENOENT);
    rc_conf_free(&conf);
    (void)close(fd);
    (void)unlink(path);
    cr_assert_eq(e.n, 3u);
    rc_buf_putc(&e.text, '\0');
    cr_assert_eq(strncmp((char *)e.text.data,
                         "/no-such/r.ini: the file cannot be read: No such file or directory\n"
                         "/tmp: the file cannot be read: Is a directory\n",
                         112),
                 0);
    cr_assert_not_null(
        strstr((char *)e.text.data, ": the file cannot be read: longer than 1 MiB\n"));
    rc_buf_deinit(&e.text);
}

Test(conf, sockets_are_files)
{
    struct rc_conf conf;
    struct rc_conf_errors e = {0};
    const char *text = "[server]\nlisten = unix:web.sock, :0, unix:/run/x.sock\n"
                       "[listen a]\naddress = \"unix:../run/y z\"\n"
                       "[listen b]\naddress = localhost:80\n";

    cr_assert_eq(rc_conf_load_text(&conf, "/no-such/etc/r.ini", rc_str_of(text), NULL, 0, &e),
                 RC_OK);
    cr_assert_eq(conf.server_listen.n, 3u);
    cr_assert_str_eq(conf.server_listen.item[0], "unix:/no-such/etc/web.sock");
    cr_assert_str_eq(conf.server_listen.item[1], ":0");
    cr_assert_str_eq(conf.server_listen.item[2], "unix:/run/x.sock");
    cr_assert_str_eq(conf.section[0].entry[0].value, "unix:/no-such/run/y z");
    cr_assert_str_eq(conf.section[1].entry[0].value, "localhost:80");
    rc_conf_free(&conf);
}

Test(conf, a_listener_takes_the_place_of_the_default)
{
    struct rc_conf conf;

    load_ok(&conf, "[listen a]\naddress = :80\n");
    cr_assert_eq(conf.server_listen.n, 0u);
    rc_conf_free(&conf);
    load_ok(&conf, "[listen a]\naddress = :80\n[server]\nlisten = 0.0.0.0:3000\n");
    cr_assert_eq(conf.server_listen.n, 1u);
    rc_conf_free(&conf);
    load_options(&conf, "[listen a]\naddress = :80\n", "server.listen=:0", NULL);
    cr_assert_eq(conf.server_listen.n, 1u);
    rc_conf_free(&conf);
}

/* ---- printing ---- */

static void check_round_trip(const char *text, const char *a, const char *b)
{
    struct rc_conf conf;
    char *first, *second;

    load_options(&conf, text, a, b);
    first = print_of(&conf);
    rc_conf_free(&conf);
    load_ok(&conf, first);
    second = print_of(&conf);
    rc_conf_free(&conf);
    cr_assert_str_eq(first, second);
    free(first);
    free(second);
}

Test(conf, print_loads_to_the_same)
{
    check_round_trip("", "server.shards=2", NULL);
    check_round_trip(
        "[server]\nlisten = :0, [::1]:0\nstatic_root = a b/c\ntitle = \" x\\\\ \"\n"
        "health_path =\nshutdown_timeout = 0s\n"
        "[socketio]\nping_interval = 90s\nping_timeout = 1234ms\nmax_payload = 1001\n"
        "cors_origin = *\ntransports = websocket, polling\nerror_event =\n"
        "cors_methods = GET\ncors_allowed_headers = a, b\ncookie = io\ncookie_path =\n"
        "cookie_same_site = strict\nparser = msgpack\nadd_trailing_slash = no\n"
        "[limits]\nmax_queue = 1GB\nmax_head_size = 3KiB\n"
        "[event a]\nemit = all: x \\\n  {\"a\":\"; #\"}\nack =\n[event /n b c]\n"
        "join = \"q\"\n[event / /odd]\n[connect /x]\n[connect]\n[namespace /y]\n"
        "[endpoint /]\nprefix = \"  \"\nprotocol = \"\\\"e\\\"\"\n",
        "server.title=\" a \\\" b\"", "event / /odd.emit=all: \"x\\\" y");
    check_round_trip("[listen a]\naddress = :80\n", "listen b.address=unix:x y", NULL);
    check_round_trip("[server]\nlisten = unix:x\n[listen a]\naddress = :80\n",
                     "server.shards=2", NULL);
    check_round_trip("[server]\ntitle = \"\\\"\"\n", "endpoint /z.prefix=\"\\\\\"", NULL);
}

Test(conf, print_shows_what_is_in_effect)
{
    struct rc_conf conf;
    char *text;

    load_ok(&conf, "[socketio]\nping_interval = 60000ms\nmax_payload = 1048576\n"
                   "cors_origin=https://a , https://b\n[limits]\nmax_event_length = 300\n"
                   "[server]\ntitle = \"  t\"\n[event /c x]\nemit=all: y\n[connect]\n");
    text = print_of(&conf);
    cr_assert_not_null(strstr(text, "\nping_interval = 1m\n"));
    cr_assert_not_null(strstr(text, "\nmax_payload = 1MiB\n"));
    cr_assert_not_null(strstr(text, "\ncors_origin = https://a, https://b\n"));
    cr_assert_not_null(strstr(text, "\nmax_event_length = 300\n"));
    cr_assert_not_null(strstr(text, "\ntitle = \"  t\"\n"));
    cr_assert_not_null(strstr(text, "\nstatic_root =\n"));
    cr_assert_not_null(strstr(text, "\nshards = auto\n"));
    cr_assert_not_null(strstr(text, "\n\n[event /c x]\nemit = all: y\n\n[connect]\n"));
    cr_assert_eq(strncmp(text, "[server]\nlisten = 0.0.0.0:3000\n", 30), 0);
    free(text);
    rc_conf_free(&conf);
}

#define KEY_NAME(section, key, type, def, min, max, reload, help) {#section, #key, def, help},
static const struct {
    const char *section, *key, *def, *help;
} keys[] = {RC_CONF_MAP(KEY_NAME)};

Test(conf, help_and_documentation_name_every_key)
{
    char *help = NULL, *docs = NULL, line[200];
    size_t n = 0;
    FILE *f = open_memstream(&help, &n);

    rc_conf_help(f);
    (void)fclose(f);
    f = open_memstream(&docs, &n);
    rc_conf_markdown(f);
    (void)fclose(f);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        (void)snprintf(line, sizeof(line), "\n  %s =%s%s\n      %s (", keys[i].key,
                       keys[i].def[0] != '\0' ? " " : "", keys[i].def, keys[i].help);
        cr_assert_not_null(strstr(help, line));
        (void)snprintf(line, sizeof(line), "\n| `%s` |", keys[i].key);
        cr_assert_not_null(strstr(docs, line));
        (void)snprintf(line, sizeof(line), "### [%s]\n", keys[i].section);
        cr_assert_not_null(strstr(docs, line));
    }
    cr_assert_not_null(strstr(docs,
                              "| `backlog` | `1024` | connections that the kernel may queue "
                              "for accept | 1 to 65535 |\n"));
    cr_assert_not_null(strstr(docs, "socket.io\\*.js"));
    free(help);
    free(docs);
}

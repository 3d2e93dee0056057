/* What an operator is told about a wrong configuration: the text of each fault. */
#include "rc/base/conf.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The faults of a text and an option (either may be NULL), to be freed. */
static char *faults_of(const char *text, const char *option)
{
    char copy[512], *options[] = {copy};
    struct rc_conf_errors e = {0};
    struct rc_conf conf;
    size_t n;
    int err;

    (void)snprintf(copy, sizeof(copy), "%s", option != NULL ? option : "");
    err = rc_conf_load_text(&conf, "t.ini", rc_str_of(text), options, option != NULL, &e);
    rc_conf_free(&conf);
    cr_assert_eq(err, e.n != 0 ? RC_EINVAL : RC_OK);
    rc_buf_putc(&e.text, '\0');
    return (char *)rc_buf_take(&e.text, &n);
}

static void check_faults(const char *text, const char *option, const char *expected)
{
    char *faults = faults_of(text, option);

    if (strcmp(faults, expected) != 0)
        fprintf(stderr, "input: %s\ngot: %sexpected: %s", text != NULL ? text : option, faults,
                expected);
    cr_assert_str_eq(faults, expected);
    free(faults);
}

#define DURATION_100MS_24H                                                               \
    "expected a duration from 100ms to 24h with its unit ms, s, m or h, such as 25s or " \
    "300ms\n"
#define PAYLOAD                                                                              \
    "expected a size from 128 to 1GiB in bytes, KB, MB, GB (1000) or KiB, MiB, GiB (1024), " \
    "such as 16KiB\n"
#define TCP_ADDRESS                                                                            \
    "expected addresses such as 0.0.0.0:3000, [::1]:3000, localhost:3000 or :3000 (port 0 to " \
    "65535)"
#define TCP    TCP_ADDRESS "\n"
#define TEN    "1234567890"
#define NAMES  "names of letters, digits and !#$%&'*+-.^_`|~\n"
#define LISTEN TCP_ADDRESS ", or unix:/run/roomcast/http.sock\n"
#define UNIX                                                             \
    "expected unix: and a path of at most 107 bytes, such as unix:/run/" \
    "roomcast/http.sock\n"
#define URL_PATH                                                                           \
    "expected a path that starts with / and does not end with it, of letters, digits and " \
    "-._~!$&'()*+,;=:@\n"
#define ORIGIN                                                                     \
    "expected * or origins such as https://example.org, http://localhost:8080 or " \
    "https://*.example.org, without a path\n"
#define TOKEN "expected names of letters, digits and !#$%&'*+-.^_`|~\n"
#define NAMESPACE                                                            \
    "expected a namespace that starts with / and has no comma, ? or blank; " \
    "in patterns only * is special\n"
#define CLOSING   "expected a closing \" at the end, and \\\" for one inside\n"
#define LINE_KIND "expected key = value, [section] or ; comment\n"
#define SECTIONS                                                                            \
    "expected [server], [log], [socketio], [auth], [store], [cluster], [admin], [limits], " \
    "[event NAME], "                                                                        \
    "[event "                                                                               \
    "/namespace "                                                                           \
    "NAME], "                                                                               \
    "[connect], [connect /namespace], [namespace /NAME], [room PATTERN], [room /namespace " \
    "PATTERN], [endpoint /PATH] or [listen NAME]\n"
#define EVENT_KEYS                                                                            \
    "expected require, refuse, join, leave, emit, ask, ack, watch, unwatch, store, message, " \
    "history, group, presence or disconnect\n"

static const struct {
    const char *text, *expected;
} bad_texts[] = {
    /* lines */
    {"foo\n", "t.ini:1: foo: " LINE_KIND},
    {"= 1\n", "t.ini:1: = 1: " LINE_KIND},
    {"[server]\nshards: 2\n", "t.ini:2: shards: 2: " LINE_KIND},
    {"shards = 2\n", "t.ini:1: shards = 2: expected a [section] before it\n"},
    {"[server\nshards = 99", "t.ini:1: [server: expected ] at the end of the section's name\n"},
    {"[log] ; logs\nlevel = x\n", "t.ini:1: [log] ; logs: expected nothing after ]: a comment "
                                  "needs a line of its own, and a "
                                  "name has no ]\n"},
    {"[server]\ntitle = a\x01\x7f"
     "b\n",
     "t.ini:2: title = a\\x01\\x7fb: expected a line without the control character 0x01\n"},
    {"[server]\ntitle = a\rb\n",
     "t.ini:2: title = a\\x0db: expected a line without the control character 0x0d\n"},
    {"[server]\ntitle = \xff\n",
     "t.ini:2: title = \xff: expected a line without bytes that are not UTF-8\n"},
    {"[server]\ntitle = a \\",
     "t.ini:2: title = a \\: expected another line after the \\ at the end of this one\n"},
    {"[server]\ntitle = a\\\\\n\n",
     "t.ini:2: title = a\\\\: expected another line after the \\ at the end of this one\n"},

    /* sections and keys */
    {"[]\n", "t.ini:1: []: unknown section; " SECTIONS},
    {"[sever]\nx = 1\ny = 2\n",
     "t.ini:1: [sever]: unknown section (did you mean server?); " SECTIONS},
    {"[evnt talk]\n", "t.ini:1: [evnt talk]: unknown section (did you mean event?); " SECTIONS},
    {"[server main]\n",
     "t.ini:1: [server main]: unknown section (did you mean server?); " SECTIONS},
    {"[plugins]\n", "t.ini:1: [plugins]: unknown section; " SECTIONS},
    {"[log]\nlevels = info\n",
     "t.ini:2: [log] levels = info: unknown key (did you mean level?); expected level\n"},
    {"[log]\nfile = /tmp/x\n", "t.ini:2: [log] file = /tmp/x: unknown key; expected level\n"},
    {"[log]\nlisten = :1\n", "t.ini:2: [log] listen = :1: unknown key here; it belongs to "
                             "[server] or [cluster] or [admin]; expected level\n"},
    {"[log]\ncookie = a\n", "t.ini:2: [log] cookie = a: unknown key here; it belongs to "
                            "[socketio] or [auth]; expected level\n"},
    {"[event a]\nEmti = x\n",
     "t.ini:2: [event a] Emti = x: unknown key (did you mean emit?); " EVENT_KEYS},
    {"[event a]\nkeep = x\n", "t.ini:2: [event a] keep = x: unknown key; " EVENT_KEYS},
    {"[connect]\nprefix = x\n",
     "t.ini:2: [connect] prefix = x: unknown key here; it belongs to [cluster]; " EVENT_KEYS},
    {"[namespace /x]\njoin = a\n",
     "t.ini:2: [namespace /x] join = a: unknown key; expected parser or auth\n"},
    {"[endpoint /x]\nproto = a\n",
     "t.ini:2: [endpoint /x] proto = a: unknown key; expected protocol, prefix, namespace, "
     "untyped, ping_interval, "
     "max_payload, per_message_deflate or auth\n"},
    {"[event]\n", "t.ini:1: [event]: expected [event NAME] or [event /namespace NAME]\n"},
    {"[event /chat]\n",
     "t.ini:1: [event /chat]: expected [event NAME] or [event /namespace NAME]\n"},
    {"[event /a,b x]\n", "t.ini:1: [event /a,b x]: " NAMESPACE},
    {"[event disconnect]\njoin=x\n",
     "t.ini:1: [event disconnect]: expected an event that may be sent: Socket.IO reserves "
     "\"disconnect\"\n"},
    {"[event /chat newListener]\n",
     "t.ini:1: [event /chat newListener]: expected an event that may be sent: Socket.IO "
     "reserves \"newListener\"\n"},
    {"[connect chat]\n", "t.ini:1: [connect chat]: " NAMESPACE},
    {"[connect /a /b]\n", "t.ini:1: [connect /a /b]: " NAMESPACE},
    {"[namespace]\n", "t.ini:1: [namespace]: " NAMESPACE},
    {"[namespace /a?b]\n", "t.ini:1: [namespace /a?b]: " NAMESPACE},
    {"[endpoint]\n", "t.ini:1: [endpoint]: " URL_PATH},
    {"[endpoint ws]\n", "t.ini:1: [endpoint ws]: " URL_PATH},
    {"[endpoint /ws/]\n", "t.ini:1: [endpoint /ws/]: " URL_PATH},
    {"[endpoint /a//b]\n", "t.ini:1: [endpoint /a//b]: " URL_PATH},
    {"[endpoint /a/../b]\n", "t.ini:1: [endpoint /a/../b]: " URL_PATH},
    {"[endpoint /.]\n", "t.ini:1: [endpoint /.]: " URL_PATH},
    {"[endpoint /a b]\n", "t.ini:1: [endpoint /a b]: " URL_PATH},
    {"[endpoint /a?b]\n", "t.ini:1: [endpoint /a?b]: " URL_PATH},

    /* twice */
    {"[server]\nshards = 1\n[log]\n[server]\nshards = 2\n",
     "t.ini:5: [server] shards = 2: expected the key once, but line 2 has it too\n"},
    {"[event a]\nack = none\nack = auto\n",
     "t.ini:3: [event a] ack = auto: expected the key once, but line 2 has it too\n"},
    {"[endpoint /]\nprotocol = echo\nprotocol = relay\n",
     "t.ini:3: [endpoint /] protocol = relay: expected the key once, but line 2 has it too\n"},
    {"[event a]\n[event b]\n[event / a]\n",
     "t.ini:3: [event / a]: expected the section once, but line 1 has it too\n"},
    {"[connect]\n\n[connect /]\n",
     "t.ini:3: [connect /]: expected the section once, but line 1 has it too\n"},

    /* values */
    {"[server]\nshards = 0\n",
     "t.ini:2: [server] shards = 0: expected auto or a number from 1 to 64\n"},
    {"[server]\nshards = Auto\n",
     "t.ini:2: [server] shards = Auto: expected auto or a number from 1 to 64\n"},
    {"[server]\nbacklog = 0\n",
     "t.ini:2: [server] backlog = 0: expected a number from 1 to 65535\n"},
    {"[server]\nbacklog = -1\n",
     "t.ini:2: [server] backlog = -1: expected a number from 1 to 65535\n"},
    {"[server]\nbacklog =\n",
     "t.ini:2: [server] backlog = : expected a number from 1 to 65535\n"},
    {"[server]\nbacklog = 99999999999999999999999\n",
     "t.ini:2: [server] backlog = 99999999999999999999999: expected a number from 1 to "
     "65535\n"},
    {"[server]\nbacklog = 18446744073709551617\n",
     "t.ini:2: [server] backlog = 18446744073709551617: expected a number from 1 to 65535\n"},
    {"[server]\nring_slots = 1000\n",
     "t.ini:2: [server] ring_slots = 1000: expected a power of two, 64 to 1048576\n"},
    {"[server]\nring_slots = 32\n",
     "t.ini:2: [server] ring_slots = 32: expected a power of two, 64 to 1048576\n"},
    {"[socketio]\nping_interval = 25 parsecs\n",
     "t.ini:2: [socketio] ping_interval = 25 parsecs: " DURATION_100MS_24H},
    {"[socketio]\nping_interval = 25\n",
     "t.ini:2: [socketio] ping_interval = 25: " DURATION_100MS_24H},
    {"[socketio]\nping_interval = 25 s\n",
     "t.ini:2: [socketio] ping_interval = 25 s: " DURATION_100MS_24H},
    {"[socketio]\nping_interval = 1.5s\n",
     "t.ini:2: [socketio] ping_interval = 1.5s: " DURATION_100MS_24H},
    {"[socketio]\nping_interval = s\n",
     "t.ini:2: [socketio] ping_interval = s: " DURATION_100MS_24H},
    {"[socketio]\nping_interval = 99ms\n",
     "t.ini:2: [socketio] ping_interval = 99ms: " DURATION_100MS_24H},
    {"[socketio]\nping_interval = 25h\n",
     "t.ini:2: [socketio] ping_interval = 25h: " DURATION_100MS_24H},
    {"[socketio]\nping_interval = 18446744073709551615h\n",
     "t.ini:2: [socketio] ping_interval = 18446744073709551615h: " DURATION_100MS_24H},
    {"[socketio]\nmax_payload = 1k\n", "t.ini:2: [socketio] max_payload = 1k: " PAYLOAD},
    {"[socketio]\nmax_payload = 1 MB\n", "t.ini:2: [socketio] max_payload = 1 MB: " PAYLOAD},
    {"[socketio]\nmax_payload = 127\n", "t.ini:2: [socketio] max_payload = 127: " PAYLOAD},
    {"[socketio]\nmax_payload = 2GiB\n", "t.ini:2: [socketio] max_payload = 2GiB: " PAYLOAD},
    {"[socketio]\nmax_payload = 17179869185GiB\n",
     "t.ini:2: [socketio] max_payload = 17179869185GiB: " PAYLOAD},
    {"[socketio]\nallow_upgrades = maybe\n",
     "t.ini:2: [socketio] allow_upgrades = maybe: expected yes or no\n"},
    {"[log]\nlevel = verbose\n",
     "t.ini:2: [log] level = verbose: expected error, warn, info or debug\n"},
    {"[socketio]\nack_policy = manual\n",
     "t.ini:2: [socketio] ack_policy = manual: expected auto or none\n"},
    {"[socketio]\nunknown_event = echo\n",
     "t.ini:2: [socketio] unknown_event = echo: expected ignore or disconnect\n"},
    {"[socketio]\nerror_event = connect_error\n",
     "t.ini:2: [socketio] error_event = connect_error: expected an event that may be sent: "
     "Socket.IO reserves \"connect_error\"\n"},
    {"[server]\ntitle = \"abc\n", "t.ini:2: [server] title = \"abc: " CLOSING},
    {"[server]\ntitle = \"a\" b\n", "t.ini:2: [server] title = \"a\" b: " CLOSING},
    {"[server]\ntitle = \"\n", "t.ini:2: [server] title = \": " CLOSING},
    {"[endpoint /]\nprefix = \"a\\\"\n", "t.ini:2: [endpoint /] prefix = \"a\\\": " CLOSING},
    {"[socketio]\npath = socket.io\n", "t.ini:2: [socketio] path = socket.io: " URL_PATH},
    {"[socketio]\npath = /socket.io/\n", "t.ini:2: [socketio] path = /socket.io/: " URL_PATH},
    {"[socketio]\npath = /\n",
     "t.ini:2: [socketio] path = /: expected a path such as /a/b, or nothing\n"},
    {"[server]\nhealth_path = /a%20b\n", "t.ini:2: [server] health_path = /a%20b: " URL_PATH},
    {"[server]\nlisten =\n",
     "t.ini:2: [server] listen = : expected an address, or a section [listen NAME]\n"},
    {"[server]\nlisten = 3000\n", "t.ini:2: [server] listen = 3000: " LISTEN},
    {"[server]\nlisten = ::1:3000\n", "t.ini:2: [server] listen = ::1:3000: " LISTEN},
    {"[server]\nlisten = [::g]:3000\n", "t.ini:2: [server] listen = [::g]:3000: " LISTEN},
    {"[server]\nlisten = []:3000\n", "t.ini:2: [server] listen = []:3000: " LISTEN},
    {"[server]\nlisten = 1.2.3:80\n", "t.ini:2: [server] listen = 1.2.3:80: " LISTEN},
    {"[server]\nlisten = 1.2.3.256:80\n", "t.ini:2: [server] listen = 1.2.3.256:80: " LISTEN},
    {"[server]\nlisten = a b:80\n", "t.ini:2: [server] listen = a b:80: " LISTEN},
    {"[server]\nlisten = -a:80\n", "t.ini:2: [server] listen = -a:80: " LISTEN},
    {"[server]\nlisten = a:65536\n", "t.ini:2: [server] listen = a:65536: " LISTEN},
    {"[server]\nlisten = a:\n", "t.ini:2: [server] listen = a:: " LISTEN},
    {"[server]\nlisten = a:http\n", "t.ini:2: [server] listen = a:http: " LISTEN},
    {"[server]\nlisten = a:1,\n", "t.ini:2: [server] listen = a:1,: " LISTEN},
    {"[server]\nlisten = a:1,,b:1\n", "t.ini:2: [server] listen = a:1,,b:1: " LISTEN},
    {"[server]\nlisten = unix:\n", "t.ini:2: [server] listen = unix:: " UNIX},
    {"[server]\nlisten = :80, unix:/" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "1234567\n",
     "t.ini:2: [server] listen = :80, unix:/" TEN TEN TEN TEN TEN TEN "123456789...: " UNIX},
    {"[server]\nlisten = unix:/a, unix:/b/../a/, unix:/a\n",
     "t.ini:2: [server] listen = unix:/a, unix:/b/../a/, unix:/a: expected each once, but "
     "unix:/a "
     "is there twice\n"},
    {"[admin]\nlisten = unix:/run/x\n", "t.ini:2: [admin] listen = unix:/run/x: " TCP},
    {"[listen]\n", "t.ini:1: [listen]: expected [listen NAME] with " NAMES},
    {"[listen a b]\n", "t.ini:1: [listen a b]: expected [listen NAME] with " NAMES},
    {"[listen a]\n[listen a]\n",
     "t.ini:2: [listen a]: expected the section once, but line 1 has it too\n"},
    {"[listen a]\naddress = :1\naddress = :2\n",
     "t.ini:3: [listen a] address = :2: expected the key once, but line 2 has it too\n"},
    {"[listen a]\nadress = :1\n",
     "t.ini:2: [listen a] adress = :1: unknown key (did you mean "
     "address?); expected address, proxy_protocol, mode, tls, certificate, key, client_ca, "
     "client_auth, tls_min or ciphers\n"},
    {"[server]\nlisten = a:1, b:1, a:1\n",
     "t.ini:2: [server] listen = a:1, b:1, a:1: expected each once, but a:1 is there twice\n"},
    {"[socketio]\ntransports =\n",
     "t.ini:2: [socketio] transports = : expected 1 to 2 of polling, websocket\n"},
    {"[socketio]\ntransports = webtransport\n",
     "t.ini:2: [socketio] transports = webtransport: expected 1 to 2 of polling, websocket\n"},
    {"[socketio]\ntransports = polling, polling\n",
     "t.ini:2: [socketio] transports = polling, polling: expected each once, but polling is "
     "there twice\n"},
    {"[socketio]\ncors_origin = example.org\n",
     "t.ini:2: [socketio] cors_origin = example.org: " ORIGIN},
    {"[socketio]\ncors_origin = https://\n",
     "t.ini:2: [socketio] cors_origin = https://: " ORIGIN},
    {"[socketio]\ncors_origin = ://a\n", "t.ini:2: [socketio] cors_origin = ://a: " ORIGIN},
    {"[socketio]\ncors_origin = https://a/\n",
     "t.ini:2: [socketio] cors_origin = https://a/: " ORIGIN},
    {"[socketio]\ncors_origin = ht*p://a\n",
     "t.ini:2: [socketio] cors_origin = ht*p://a: " ORIGIN},
    {"[socketio]\nallow_origin = *.a\n", "t.ini:2: [socketio] allow_origin = *.a: " ORIGIN},
    {"[socketio]\ncors_methods =\n",
     "t.ini:2: [socketio] cors_methods = : expected 1 to 64 names\n"},
    {"[socketio]\ncors_methods = GET POST\n",
     "t.ini:2: [socketio] cors_methods = GET POST: " TOKEN},
    {"[socketio]\ncors_exposed_headers = a,,b\n",
     "t.ini:2: [socketio] cors_exposed_headers = a,,b: " TOKEN},
    {"[socketio]\ncors_max_age = 600\n",
     "t.ini:2: [socketio] cors_max_age = 600: expected a duration from 0ms to 24h with its "
     "unit ms, s, m or h, such as 25s or 300ms\n"},
    {"[socketio]\ncookie = a=b\n", "t.ini:2: [socketio] cookie = a=b: " TOKEN},
    {"[socketio]\ncookie = \"a b\"\n", "t.ini:2: [socketio] cookie = \"a b\": " TOKEN},
    {"[socketio]\ncookie_path = x\n", "t.ini:2: [socketio] cookie_path = x: " URL_PATH},
    {"[socketio]\ncookie_path = /a;b\n",
     "t.ini:2: [socketio] cookie_path = /a;b: expected a path without ;\n"},
    {"[socketio]\nparser = JSON\n",
     "t.ini:2: [socketio] parser = JSON: expected auto, json or msgpack\n"},
    {"[socketio]\nparser = msgpack\nallow_eio3 = yes\n",
     "t.ini:2: [socketio] parser = msgpack: expected auto or json with socketio.allow_eio3, "
     "whose clients speak JSON\n"},
    {"[socketio]\ncookie_same_site = Lax\n",
     "t.ini:2: [socketio] cookie_same_site = Lax: expected lax, strict, none or off\n"},
    {"[socketio]\ncors_origin = *, https://a\n",
     "t.ini:2: [socketio] cors_origin = *, https://a: expected either * or a list of "
     "origins\n"},

    /* values that do not go together */
    {"[endpoint /socket.io]\n",
     "t.ini:1: [endpoint /socket.io]: expected a path outside of socketio.path (/socket.io)\n"},
    {"[socketio]\npath = /a\n[endpoint /a/b]\n[endpoint /ab]\n",
     "t.ini:3: [endpoint /a/b]: expected a path outside of socketio.path (/a)\n"},
    {"[socketio]\npath = /a\nadd_trailing_slash = no\n[endpoint /ab]\n[endpoint /b]\n",
     "t.ini:4: [endpoint /ab]: expected a path outside of socketio.path (/a)\n"},
    {"[server]\nhealth_path = /socket.io/health\n",
     "t.ini:2: [server] health_path = /socket.io/health: expected a path outside of "
     "socketio.path (/socket.io)\n"},
    {"[limits]\nmax_event_length = 3\n[event abc]\n[event abcd]\n",
     "t.ini:4: [event abcd]: expected an event of at most limits.max_event_length (3)\n"},
    {"[limits]\nmax_namespace_length = 3\n[event /ab x]\n[connect /abc]\n",
     "t.ini:4: [connect /abc]: expected a namespace of at most limits.max_namespace_length "
     "(3)\n"},
};

Test(conf_faults, name_line_key_value_and_what_was_expected)
{
    for (size_t i = 0; i < sizeof(bad_texts) / sizeof(bad_texts[0]); i++)
        check_faults(bad_texts[i].text, NULL, bad_texts[i].expected);
}

static const struct {
    const char *option, *expected;
} bad_options[] = {
    {"", "command line: -o : expected section.key=value\n"},
    {"shards", "command line: -o shards: expected section.key=value\n"},
    {"shards=1", "command line: -o shards=1: expected section.key=value\n"},
    {"=server.shards", "command line: -o =server.shards: expected section.key=value\n"},
    {"server.shards=99",
     "command line: [server] shards = 99: expected auto or a number from 1 to 64\n"},
    {"log.levle=info",
     "command line: [log] levle = info: unknown key (did you mean level?); expected level\n"},
    {"logs.level=info", "command line: [logs]: unknown section (did you mean log?); " SECTIONS},
    {".x=1", "command line: []: unknown section; " SECTIONS},
    {"event .x=1", "command line: [event]: expected [event NAME] or [event /namespace NAME]\n"},
    {"event a.x=1", "command line: [event a] x = 1: unknown key; " EVENT_KEYS},
    {"event a]b.join=1",
     "command line: -o event a]b.join=1: expected section.key=value without ] in a section's "
     "name\n"},
    {"server.title=a\nb",
     "command line: -o server.title=a\\x0ab: expected section.key=value without the control "
     "character 0x0a\n"},
    {"server.title=\xff",
     "command line: -o server.title=\xff: expected section.key=value without bytes that are "
     "not UTF-8\n"},
    {"event a.join=x\\",
     "command line: -o event a.join=x\\: expected section.key=value without \\ at the end\n"},
    {"socketio.path=/healthz",
     "[server] health_path = /healthz: expected a path outside of socketio.path (/healthz)\n"},
};

Test(conf_faults, of_options)
{
    for (size_t i = 0; i < sizeof(bad_options) / sizeof(bad_options[0]); i++)
        check_faults(NULL, bad_options[i].option, bad_options[i].expected);
}

Test(conf_faults, all_are_told_at_once)
{
    check_faults("[server]\nshards = x\n[sever]\nz = 1\n[log]\nlevel = y\n",
                 "socketio.ping_interval=1",
                 "t.ini:2: [server] shards = x: expected auto or a number from 1 to 64\n"
                 "t.ini:3: [sever]: unknown section (did you mean server?); " SECTIONS
                 "t.ini:6: [log] level = y: expected error, warn, info or debug\n"
                 "command line: [socketio] ping_interval = 1: " DURATION_100MS_24H);
}

Test(conf_faults, are_bounded)
{
    struct rc_conf_errors e = {0};
    struct rc_buf text = RC_BUF_INIT;
    struct rc_conf conf;
    unsigned lines = 0;

    for (unsigned i = 0; i < 5000; i++)
        rc_buf_putz(&text, "?\n");
    cr_assert_eq(rc_conf_load_text(&conf, "t.ini", rc_buf_str(&text), NULL, 0, &e), RC_EINVAL);
    for (size_t i = 0; i < e.text.len; i++)
        lines += e.text.data[i] == '\n';
    cr_assert_eq(e.n, 5000u);
    cr_assert_eq(lines, 201u);
    rc_buf_putc(&e.text, '\0');
    cr_assert_not_null(strstr((char *)e.text.data, "more faults are not shown\n"));
    rc_buf_deinit(&e.text);
    rc_buf_deinit(&text);
    rc_conf_free(&conf);
}

Test(conf_faults, a_long_value_is_shown_in_part)
{
    char text[600], *faults;

    (void)strcpy(text, "[log]\nlevel = x");
    for (unsigned i = 0; i < 100; i++)
        (void)strcat(text, "\xe4\xbd\xa0");
    faults = faults_of(text, NULL);
    cr_assert_not_null(strstr(faults, "level = x\xe4\xbd\xa0"));
    cr_assert_not_null(strstr(faults, "\xe4\xbd\xa0...: expected error, warn"));
    cr_assert_lt(strlen(faults), 180u);
    free(faults);
}

Test(conf_faults, errors_can_be_added_by_others)
{
    struct rc_conf_errors e = {0};

    rc_conf_error(&e, "x.ini", 3, "%s", "a\nb");
    rc_conf_error(&e, "command line", 0, "c %d", 4);
    rc_conf_error(&e, NULL, 0, "d");
    cr_assert_eq(e.n, 3u);
    rc_buf_putc(&e.text, '\0');
    cr_assert_str_eq((char *)e.text.data, "x.ini:3: a\\x0ab\ncommand line: c 4\nd\n");
    rc_buf_deinit(&e.text);
}

Test(conf, faults_of_ceilings_and_networks)
{
    check_faults(
        "[limits]\nmax_memory = 15MiB\n", NULL,
        "t.ini:2: [limits] max_memory = 15MiB: expected a size from 16MiB to 1048576GiB in "
        "bytes, KB, MB, GB (1000) or KiB, MiB, GiB (1024), such as 16KiB, auto or off\n");
    check_faults(
        "[limits]\nexempt_networks = 10.0.0.0/8, 10.0.0.1/8\n", NULL,
        "t.ini:2: [limits] exempt_networks = 10.0.0.0/8, 10.0.0.1/8: expected networks such "
        "as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.1, without bits behind the prefix\n");
    check_faults("[limits]\nexempt_networks =\nmax_memory = off\n", NULL, "");
    check_faults("[limits]\nexempt_networks = ::/0,192.0.2.1\nmax_memory = 1GiB\n", NULL, "");
}

/* codec.c - frames, packets, JSON and templates, without a socket or a shard. */
#include "micro.h"

#include "rc/base/hash.h"
#include "rc/base/utf8.h"
#include "rc/net/http.h"
#include "rc/net/ws.h"
#include "rc/proto/eio.h"
#include "rc/proto/json.h"
#include "rc/proto/sio.h"
#include "rc/proto/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t key[4] = {0x5a, 0x93, 0xc1, 0x6e};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench-micro: %s failed\n", what);
    exit(1);
}

/* ---- frames ---- */

static uint8_t *frame, *copy;
static size_t frame_len;

static void begin_frame(size_t payload)
{
    uint8_t head[RC_WS_HEADER_MAX];
    size_t h = rc_ws_header(head, RC_WS_TEXT, false, payload);

    frame_len = h + 4 + payload;
    frame = malloc(frame_len);
    copy = malloc(frame_len);
    must(frame != NULL && copy != NULL, "malloc");
    head[1] |= 0x80;
    memcpy(frame, head, h);
    memcpy(frame + h, key, 4);
    for (size_t i = 0; i < payload; i++)
        frame[h + 4 + i] = (uint8_t)('a' + i % 26) ^ key[i & 3];
}

static void begin_small_frame(void)
{
    begin_frame(64);
}

static void begin_large_frame(void)
{
    begin_frame(16384);
}

static void end_frame(void)
{
    free(frame);
    free(copy);
}

/* The copy counts too: decoding works in place. */
static void decode_frames(unsigned n)
{
    struct rc_ws_decoder d = {.max_message = 1 << 20};
    struct rc_ws_event ev;

    for (unsigned i = 0; i < n; i++) {
        memcpy(copy, frame, frame_len);
        must(rc_ws_decode(&d, copy, frame_len, &ev) == (int64_t)frame_len, "rc_ws_decode");
        micro_sink += ev.data.len;
    }
}

static void write_headers(unsigned n)
{
    uint8_t out[RC_WS_HEADER_MAX];

    for (unsigned i = 0; i < n; i++)
        micro_sink += rc_ws_header(out, RC_WS_TEXT, false, 64 + (i & 1) * 1000);
}

static void accept_keys(unsigned n)
{
    char out[29];

    for (unsigned i = 0; i < n; i++)
        must(rc_ws_accept(RC_STR("dGhlIHNhbXBsZSBub25jZQ=="), out) == RC_OK, "rc_ws_accept");
    micro_sink += (uint64_t)out[0];
}

/* ---- HTTP ---- */

static const char request[] =
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
    "Host: chat.example.org\r\n"
    "Connection: Upgrade\r\n"
    "Pragma: no-cache\r\n"
    "Cache-Control: no-cache\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r\n"
    "Upgrade: websocket\r\n"
    "Origin: https://chat.example.org\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: en-GB,en;q=0.9\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

static void parse_requests(unsigned n)
{
    static const struct rc_http_limits lim = {
        .max_head = 16384, .max_target = 8192, .max_headers = 100};
    static struct rc_http_req req;

    for (unsigned i = 0; i < n; i++) {
        size_t scanned = 0;
        int status = 0;

        must(rc_http_parse_head(&req, request, sizeof(request) - 1, &scanned, &lim, &status) >
                 0,
             "rc_http_parse_head");
    }
    micro_sink += req.nheaders;
}

/* ---- packets ---- */

static const char event[] =
    "42[\"sendMessageToRoom\",\"lobby\",\"hello, how are you all today?\"]";
static const char nested[] =
    "42/chat,17[\"talk\",{\"room\":\"lobby\",\"from\":{\"id\":4711,\"name\":\"Anna "
    "Smith\",\"roles\":"
    "[\"admin\",\"user\"]},\"text\":\"a somewhat longer text with \\\"quotes\\\" and a "
    "\\u00fc\","
    "\"tags\":[1,2.5,-3e4,true,false,null],\"at\":1700000000000}]";

static void parse_packet(const char *text, size_t len)
{
    static const struct rc_sio_limits lim = {.max_depth = 64,
                                             .max_attachments = 10,
                                             .max_args = 32,
                                             .max_id = (1ull << 53) - 1,
                                             .max_nsp = 256,
                                             .max_event = 256};
    struct rc_eio_packet e;
    struct rc_sio_packet s;
    const char *why;

    must(rc_eio_parse_text(rc_str_make(text, len), &e) == RC_OK, "rc_eio_parse_text");
    must(rc_sio_parse(e.data, &lim, &s, &why) == RC_OK, "rc_sio_parse");
    micro_sink += s.nargs;
}

static void parse_events(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        parse_packet(event, sizeof(event) - 1);
}

static void parse_nested(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        parse_packet(nested, sizeof(nested) - 1);
}

static void walk_payloads(unsigned n)
{
    static const char one[] = "42[\"m\",\"hello\"]\x1e";
    char text[10 * (sizeof(one) - 1)];

    for (unsigned i = 0; i < 10; i++)
        memcpy(text + i * (sizeof(one) - 1), one, sizeof(one) - 1);
    for (unsigned i = 0; i < n; i++) {
        struct rc_str rest = rc_str_make(text, sizeof(text) - 1);
        struct rc_eio_packet p;
        unsigned got = 0;

        while (rc_eio_payload_next(&rest, &p) == 1)
            got++;
        must(got == 10, "rc_eio_payload_next");
    }
}

static void put_heads(unsigned n)
{
    struct rc_buf b = RC_BUF_INIT;

    for (unsigned i = 0; i < n; i++) {
        rc_buf_reset(&b);
        rc_sio_put_head(&b, RC_SIO_ACK, 0, RC_STR("/chat"), true, 4711);
    }
    micro_sink += b.len;
    rc_buf_deinit(&b);
}

/* ---- JSON ---- */

static struct rc_buf json;

static void begin_json(void)
{
    json = RC_BUF_INIT;
    rc_buf_putz(&json, "[");
    for (unsigned i = 0; json.len < 1000; i++)
        rc_buf_printf(&json,
                      "%s{\"id\":%u,\"text\":\"hello \\\"there\\\"\",\"ok\":[true,null,%u.5]}",
                      i == 0 ? "" : ",", i, i);
    rc_buf_putz(&json, "]");
}

static void end_json(void)
{
    rc_buf_deinit(&json);
}

static void validate_json(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct rc_json_walk w = {.max_depth = 64};

        must(rc_json_validate(rc_buf_str(&json), &w) == RC_OK, "rc_json_validate");
    }
}

static void slice_json(unsigned n)
{
    struct rc_str elem[64];

    for (unsigned i = 0; i < n; i++) {
        struct rc_json_walk w = {.max_depth = 64};

        micro_sink += (uint64_t)rc_json_array(rc_buf_str(&json), elem, 64, &w);
    }
}

static void validate_utf8(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        must(rc_utf8_valid(rc_buf_str(&json)), "rc_utf8_valid");
}

/* ---- templates ---- */

static struct rc_template *plain, *args;

static void begin_templates(void)
{
    char why[512];

    plain = rc_template_text(RC_STR("{1}"), why, sizeof(why));
    args = rc_template_args(RC_STR("\"[{1}] {2}\" {\"room\":{room},\"text\":{2},\"id\":{id}}"),
                            why, sizeof(why));
    must(plain != NULL && args != NULL, "rc_template");
}

static void end_templates(void)
{
    rc_template_free(plain);
    rc_template_free(args);
}

static void fill(unsigned n, bool whole)
{
    static const struct rc_str values[] = {{"\"lobby\"", 7}, {"\"how are you?\"", 14}};
    struct rc_template_env env = {.args = values,
                                  .nargs = 2,
                                  .args_raw = values[0],
                                  .room = RC_STR("lobby"),
                                  .id = RC_STR("0123456789abcdefghij"),
                                  .event = RC_STR("say"),
                                  .nsp = RC_STR("/")};
    struct rc_buf b = RC_BUF_INIT;
    unsigned arg;

    for (unsigned i = 0; i < n; i++) {
        rc_buf_reset(&b);
        must((whole ? rc_template_fill_args(args, &env, &b, &arg)
                    : rc_template_fill_text(plain, &env, &b, &arg)) == RC_OK,
             "rc_template_fill");
    }
    micro_sink += b.len;
    rc_buf_deinit(&b);
}

static void fill_texts(unsigned n)
{
    fill(n, false);
}

static void fill_args(unsigned n)
{
    fill(n, true);
}

static void begin_hash(void)
{
    must(rc_hash_init() == RC_OK, "rc_hash_init");
}

static void hash_names(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        micro_sink += rc_hash("a room's name", 13, i & 3);
}

const struct micro_op micro_codec[] = {
    {"ws.decode.64B", "frame", 1, 2000, 1000000, begin_small_frame, decode_frames, end_frame},
    {"ws.decode.16KiB", "frame", 1, 200, 10000, begin_large_frame, decode_frames, end_frame},
    {"ws.header", "frame", 1, 2000, 1000000, NULL, write_headers, NULL},
    {"ws.accept", "handshake", 1, 500, 100000, NULL, accept_keys, NULL},
    {"http.head", "request", 1, 500, 100000, NULL, parse_requests, NULL},
    {"sio.parse.event", "packet", 1, 2000, 300000, NULL, parse_events, NULL},
    {"sio.parse.nested", "packet", 1, 1000, 100000, NULL, parse_nested, NULL},
    {"sio.head", "packet", 1, 2000, 300000, NULL, put_heads, NULL},
    {"eio.payload", "packet", 10, 500, 100000, NULL, walk_payloads, NULL},
    {"json.validate.1KiB", "text", 1, 500, 50000, begin_json, validate_json, end_json},
    {"json.slice.1KiB", "text", 1, 500, 50000, begin_json, slice_json, end_json},
    {"utf8.1KiB", "text", 1, 500, 100000, begin_json, validate_utf8, end_json},
    {"template.text", "filling", 1, 2000, 300000, begin_templates, fill_texts, end_templates},
    {"template.args", "filling", 1, 2000, 300000, begin_templates, fill_args, end_templates},
    {"hash", "name", 1, 2000, 1000000, begin_hash, hash_names, NULL},
    {NULL, NULL, 0, 0, 0, NULL, NULL, NULL},
};

#include "rc/net/ws.h"

#include "rc/base/buf.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};

/* Appends a client's frame. b0 is the first byte: FIN, reserved bits, opcode. */
static void put_frame(struct rc_buf *b, uint8_t b0, const void *payload, size_t n)
{
    const uint8_t *p = payload;
    uint8_t head[10] = {b0};
    size_t ext = n <= 125 ? 0 : n <= 0xFFFF ? 2 : 8;

    head[1] = (uint8_t)(0x80 | (ext == 0 ? n : ext == 2 ? 126 : 127));
    for (size_t i = 0; i < ext; i++)
        head[2 + i] = (uint8_t)(n >> 8 * (ext - 1 - i));
    rc_buf_put(b, head, 2 + ext);
    rc_buf_put(b, mask, 4);
    for (size_t i = 0; i < n; i++)
        rc_buf_putc(b, (char)(p[i] ^ mask[i % 4]));
}

static void put_text(struct rc_buf *b, uint8_t b0, const char *text)
{
    put_frame(b, b0, text, strlen(text));
}

/* What came out of a stream, printed: "T[hello]" a text message, "B[..]" binary, "c" before it
 * when compressed, "ping[..]", "pong[..]", "close 1000[reason]", and "error 1002" at the end.
 * Pieces of one message are joined, since they depend on how the bytes were cut; flags that do
 * not fit together fail the test. */
struct log {
    struct rc_buf text, message;
    bool open, compressed;
    uint8_t opcode;
};

static void log_data(struct log *l, const struct rc_ws_event *ev)
{
    cr_assert_eq(ev->first, !l->open);
    if (ev->first) {
        rc_buf_reset(&l->message);
        l->opcode = ev->opcode;
        l->compressed = ev->compressed;
        l->open = true;
    }
    cr_assert(ev->opcode == RC_WS_TEXT || ev->opcode == RC_WS_BINARY);
    cr_assert_eq(ev->opcode, l->opcode);
    cr_assert_eq(ev->compressed, l->compressed);
    rc_buf_puts(&l->message, ev->data);
    if (!ev->last)
        return;
    rc_buf_printf(&l->text, "%s%c[", l->compressed ? "c" : "",
                  l->opcode == RC_WS_TEXT ? 'T' : 'B');
    rc_buf_puts(&l->text, rc_buf_str(&l->message));
    rc_buf_puts(&l->text, RC_STR("] "));
    l->open = false;
}

static void log_event(struct log *l, const struct rc_ws_event *ev)
{
    switch (ev->type) {
    case RC_WS_EV_DATA: log_data(l, ev); return;
    case RC_WS_EV_PING: rc_buf_putz(&l->text, "ping["); break;
    case RC_WS_EV_PONG: rc_buf_putz(&l->text, "pong["); break;
    case RC_WS_EV_CLOSE: rc_buf_printf(&l->text, "close %u[", ev->code); break;
    }
    rc_buf_puts(&l->text, ev->data);
    rc_buf_puts(&l->text, RC_STR("] "));
}

/* Decodes what there is; each call sees a copy that ends where the bytes end. Returns false
 * after an error. */
static bool decode_some(struct log *l, struct rc_ws_decoder *d, struct rc_buf *pending)
{
    struct rc_ws_decoder before;
    struct rc_ws_event ev;
    uint8_t *copy;
    int64_t n = 0;

    while (pending->len != 0) {
        copy = malloc(pending->len);
        cr_assert_not_null(copy);
        memcpy(copy, pending->data, pending->len);
        before = *d;
        n = rc_ws_decode(d, copy, pending->len, &ev);
        if (n > 0)
            log_event(l, &ev);
        else if (n == RC_EPROTO)
            rc_buf_printf(&l->text, "error %u ", ev.code);
        else
            cr_assert(memcmp(copy, pending->data, pending->len) == 0 &&
                      memcmp(&before, d, sizeof(before)) == 0 &&
                      pending->len <= RC_WS_PENDING_MAX);
        free(copy);
        if (n <= 0)
            break;
        cr_assert_leq((size_t)n, pending->len);
        rc_buf_consume(pending, (size_t)n);
    }
    return n != RC_EPROTO;
}

/* Feeds the stream in pieces: `first` bytes, then `step` at a time. */
static void decode_cut(struct log *l, struct rc_ws_decoder d, struct rc_str s, size_t first,
                       size_t step)
{
    struct rc_buf pending = RC_BUF_INIT;
    size_t at = 0, n = first;

    rc_buf_reset(&l->text);
    l->open = false;
    while (at < s.len) {
        n = n < s.len - at ? n : s.len - at;
        rc_buf_put(&pending, s.p + at, n);
        at += n;
        n = step;
        if (!decode_some(l, &d, &pending))
            break;
    }
    if (l->open)
        rc_buf_putz(&l->text, "(open) ");
    rc_buf_putc(&l->text, '\0');
    rc_buf_deinit(&pending);
}

/* Decodes the stream whole, one byte at a time, and in two pieces at every split, and compares
 * with `want`. Where an error comes too early for a message to be handed out, the pieces before
 * it may or may not have been seen: "(open)" is not compared. */
static void check_with(struct rc_ws_decoder d, const struct rc_buf *b, const char *want)
{
    struct log l = {0};
    struct rc_str s = rc_buf_str(b);
    size_t step = s.len > 4096 ? s.len / 64 : 1;
    char *open;

    for (size_t first = 0; first <= s.len; first += step) {
        decode_cut(&l, d, s, first != 0 ? first : 1, first != 0 ? s.len : 1);
        open = strstr((char *)l.text.data, "(open) ");
        if (open != NULL && strstr((char *)l.text.data, "error") != NULL)
            *open = '\0';
        cr_assert_str_eq((char *)l.text.data, want, "cut at %zu: %s, not %s", first,
                         (char *)l.text.data, want);
    }
    rc_buf_deinit(&l.text);
    rc_buf_deinit(&l.message);
}

static void check(struct rc_buf *b, const char *want)
{
    check_with((struct rc_ws_decoder){.max_message = 1 << 20}, b, want);
    rc_buf_reset(b);
}

static void check_bytes(const char *bytes, size_t n, const char *want)
{
    struct rc_buf b = RC_BUF_INIT;

    rc_buf_put(&b, bytes, n);
    check(&b, want);
    rc_buf_deinit(&b);
}

#define BYTES(s) (s), sizeof(s) - 1

Test(ws, rfc_6455_examples)
{
    /* section 5.7; a server never gets the unmasked ones */
    check_bytes(BYTES("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "T[Hello] ");
    check_bytes(BYTES("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "pong[Hello] ");
    check_bytes(BYTES("\x81\x05\x48\x65\x6c\x6c\x6f"), "error 1002 ");
    check_bytes(BYTES("\x01\x03\x48\x65\x6c"), "error 1002 ");
    check_bytes(BYTES("\x89\x05\x48\x65\x6c\x6c\x6f"), "error 1002 ");
}

Test(ws, whole_messages)
{
    struct rc_buf b = RC_BUF_INIT;

    put_text(&b, 0x81, "");
    put_text(&b, 0x81, "h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x98\x80");
    put_text(&b, 0x82, "\xff\xfe");
    put_text(&b, 0x89, "are you there?");
    put_text(&b, 0x8a, "");
    check(&b, "T[] T[h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x98\x80] B[\xff\xfe] "
              "ping[are you there?] pong[] ");
    rc_buf_deinit(&b);
}

Test(ws, lengths_around_the_borders)
{
    static const size_t lengths[] = {1,   3,    4,     5,     7,     8,     9,
                                     31,  32,   33,    124,   125,   126,   127,
                                     128, 1000, 65534, 65535, 65536, 65537, 100000};
    struct rc_buf b = RC_BUF_INIT, want = RC_BUF_INIT;
    char *text = malloc(100000);

    cr_assert_not_null(text);
    for (size_t i = 0; i < 100000; i++)
        text[i] = (char)('a' + i % 23);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        put_frame(&b, 0x81, text, lengths[i]);
        rc_buf_reset(&want);
        rc_buf_printf(&want, "T[%.*s] ", (int)lengths[i], text);
        rc_buf_putc(&want, '\0');
        check(&b, (char *)want.data);
    }
    free(text);
    rc_buf_deinit(&want);
    rc_buf_deinit(&b);
}

Test(ws, one_whole_small_frame_is_one_piece)
{
    struct rc_ws_decoder d = {.max_message = 100};
    struct rc_buf b = RC_BUF_INIT;
    struct rc_ws_event ev;

    put_text(&b, 0x81, "hello");
    put_text(&b, 0x82, "next");
    cr_assert_eq(rc_ws_decode(&d, b.data, b.len, &ev), 11);
    cr_assert_eq(ev.type, RC_WS_EV_DATA);
    cr_assert_eq(ev.opcode, RC_WS_TEXT);
    cr_assert(ev.first && ev.last && !ev.compressed);
    cr_assert(rc_str_eq(ev.data, RC_STR("hello")));
    cr_assert(ev.data.p == (char *)b.data + 6);
    rc_buf_deinit(&b);
}

Test(ws, pieces_come_as_they_arrive)
{
    struct rc_ws_decoder d = {.max_message = 100};
    struct rc_buf b = RC_BUF_INIT;
    struct rc_ws_event ev;

    put_text(&b, 0x81, "hello");
    cr_assert_eq(rc_ws_decode(&d, b.data, 6, &ev), RC_EAGAIN);
    cr_assert_eq(rc_ws_decode(&d, b.data, 8, &ev), 8);
    cr_assert(ev.first && !ev.last && rc_str_eq(ev.data, RC_STR("he")));
    cr_assert_eq(rc_ws_decode(&d, b.data + 8, 0, &ev), RC_EAGAIN);
    cr_assert_eq(rc_ws_decode(&d, b.data + 8, 1, &ev), 1);
    cr_assert(!ev.first && !ev.last && rc_str_eq(ev.data, RC_STR("l")));
    cr_assert_eq(rc_ws_decode(&d, b.data + 9, 2, &ev), 2);
    cr_assert(!ev.first && ev.last && rc_str_eq(ev.data, RC_STR("lo")));
    cr_assert_eq(rc_ws_decode(&d, b.data, 0, &ev), RC_EAGAIN);
    rc_buf_deinit(&b);
}

Test(ws, fragments)
{
    struct rc_buf b = RC_BUF_INIT;

    put_text(&b, 0x01, "Hel");
    put_text(&b, 0x80, "lo");
    check(&b, "T[Hello] ");
    put_text(&b, 0x02, "");
    put_text(&b, 0x00, "");
    put_text(&b, 0x00, "a");
    put_text(&b, 0x80, "");
    check(&b, "B[a] ");
    /* control frames between them */
    put_text(&b, 0x01, "Hel");
    put_text(&b, 0x89, "1");
    put_text(&b, 0x00, "l");
    put_text(&b, 0x8a, "2");
    put_text(&b, 0x89, "3");
    put_text(&b, 0x80, "o");
    put_text(&b, 0x81, "again");
    check(&b, "ping[1] pong[2] ping[3] T[Hello] T[again] ");
    put_text(&b, 0x01, "Hel");
    put_text(&b, 0x88, "\x03\xe8");
    check(&b, "close 1000[] (open) ");
    rc_buf_deinit(&b);
}

Test(ws, utf8_across_fragments_and_pieces)
{
    struct rc_buf b = RC_BUF_INIT;

    put_text(&b, 0x01, "\xe2");
    put_text(&b, 0x89, "x");
    put_text(&b, 0x00, "\x82");
    put_text(&b, 0x00, "");
    put_text(&b, 0x80, "\xac \xce\xba");
    check(&b, "ping[x] T[\xe2\x82\xac \xce\xba] ");
    put_text(&b, 0x01, "\xe2\x82");
    put_text(&b, 0x80, "");
    check(&b, "error 1007 ");
    put_text(&b, 0x01, "\xe2\x82");
    put_text(&b, 0x80, "x");
    check(&b, "error 1007 ");
    put_text(&b, 0x81, "whole message\xe2\x82");
    check(&b, "error 1007 ");
    put_text(&b, 0x81, "\xed\xa0\x80");
    check(&b, "error 1007 ");
    /* the state of one message does not leak into the next */
    put_text(&b, 0x01, "\xc3");
    put_text(&b, 0x80, "\xa9");
    put_text(&b, 0x81, "ok");
    put_text(&b, 0x02, "\xc3");
    put_text(&b, 0x80, "\xc3");
    put_text(&b, 0x81, "\xc3\xa9");
    check(&b, "T[\xc3\xa9] T[ok] B[\xc3\xc3] T[\xc3\xa9] ");
    rc_buf_deinit(&b);
}

Test(ws, bad_utf8_fails_as_soon_as_it_is_certain)
{
    static const struct {
        const char *text;
        size_t certain; /* bytes of payload after which no continuation can be valid */
    } cases[] = {
        {"aaaaaaaa\x80zzzz", 9},   {"\xc0\xafzz", 1},
        {"ab\xe0\x9f\xbfzz", 4},   {"\xed\xa0\x80zz", 2},
        {"\xf0\x8f\xbf\xbfzz", 2}, {"\xf4\x90\x80\x80zz", 2},
        {"\xf5\x80\x80\x80zz", 1}, {"\xc3zz", 2},
        {"\xe2\x82zz", 3},         {"\xf0\x9f\x98zz", 4},
    };
    struct rc_buf b = RC_BUF_INIT;
    struct rc_ws_event ev;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rc_ws_decoder d = {0};
        size_t at = 0;
        int64_t n;

        rc_buf_reset(&b);
        put_text(&b, 0x81, cases[i].text);
        n = rc_ws_decode(&d, b.data, 6 + 1, &ev);
        for (at = 1; n > 0; at++)
            n = rc_ws_decode(&d, b.data + 6 + at, 1, &ev);
        cr_assert_eq(n, RC_EPROTO);
        cr_assert_eq(ev.code, RC_WS_BAD_DATA);
        cr_assert_eq(at, cases[i].certain, "case %zu: after %zu", i, at);
    }
    rc_buf_deinit(&b);
}

/* The unmasking loop also looks for bytes that are not ASCII: it must miss none. */
Test(ws, one_bad_byte_anywhere_is_found)
{
    struct rc_buf b = RC_BUF_INIT;
    char text[100];

    for (size_t n = 1; n <= sizeof(text); n++)
        for (size_t at = 0; at < n; at++) {
            struct rc_ws_decoder d = {0};
            struct rc_ws_event ev;

            memset(text, 'a', sizeof(text));
            text[at] = (char)0xff;
            rc_buf_reset(&b);
            put_frame(&b, 0x81, text, n);
            cr_assert_eq(rc_ws_decode(&d, b.data, b.len, &ev), RC_EPROTO);
            cr_assert_eq(ev.code, RC_WS_BAD_DATA);
        }
    rc_buf_deinit(&b);
}

Test(ws, protocol_errors)
{
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        /* reserved bits; each alone is enough */
        {BYTES("\xc1")},
        {BYTES("\xa1")},
        {BYTES("\x91")},
        {BYTES("\xc9")},
        {BYTES("\xb2\x80")},
        /* reserved opcodes */
        {BYTES("\x83")},
        {BYTES("\x84")},
        {BYTES("\x85")},
        {BYTES("\x86")},
        {BYTES("\x87")},
        {BYTES("\x8b")},
        {BYTES("\x8c")},
        {BYTES("\x8d")},
        {BYTES("\x8e")},
        {BYTES("\x8f")},
        /* fragmented and long control frames */
        {BYTES("\x08")},
        {BYTES("\x09\x80")},
        {BYTES("\x0a\x80")},
        {BYTES("\x88\xfe")},
        {BYTES("\x89\xfe\x00\x7e")},
        {BYTES("\x8a\xff")},
        /* unmasked */
        {BYTES("\x81\x00")},
        {BYTES("\x82\x05hello")},
        {BYTES("\x89\x00")},
        {BYTES("\x88\x00")},
        /* lengths that are not in their shortest form, or negative */
        {BYTES("\x82\xfe\x00\x7d")},
        {BYTES("\x82\xfe\x00\x00")},
        {BYTES("\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff")},
        {BYTES("\x82\xff\x00\x00\x00\x00\x00\x00\x00\x01")},
        {BYTES("\x82\xff\x80")},
        {BYTES("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff")},
        /* continuation of nothing */
        {BYTES("\x80")},
        {BYTES("\x00\x80\x00\x00\x00\x00")},
        {BYTES("\x80\x81\x00\x00\x00\x00x")},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_bytes(cases[i].bytes, cases[i].len, "error 1002 ");
}

Test(ws, fragments_out_of_place)
{
    struct rc_buf b = RC_BUF_INIT;

    put_text(&b, 0x01, "a");
    put_text(&b, 0x81, "b");
    check(&b, "error 1002 ");
    put_text(&b, 0x01, "");
    put_text(&b, 0x02, "b");
    check(&b, "error 1002 ");
    put_text(&b, 0x81, "a");
    put_text(&b, 0x80, "b");
    check(&b, "T[a] error 1002 ");
    put_text(&b, 0x01, "a");
    put_text(&b, 0x80, "b");
    put_text(&b, 0x80, "c");
    check(&b, "T[ab] error 1002 ");
    rc_buf_deinit(&b);
}

Test(ws, close_frames)
{
    struct rc_buf b = RC_BUF_INIT;
    char reason[126];

    put_text(&b, 0x88, "");
    check(&b, "close 1005[] ");
    put_text(&b, 0x88, "\x03\xe8");
    check(&b, "close 1000[] ");
    put_text(&b, 0x88, "\x03\xf3going \xc3\xa9");
    check(&b, "close 1011[going \xc3\xa9] ");
    put_text(&b, 0x88, "\x0f\xa0own");
    check(&b, "close 4000[own] ");
    put_text(&b, 0x88, "\x03");
    check(&b, "error 1002 ");
    put_text(&b, 0x88, "\x03\xec");
    check(&b, "error 1002 ");
    put_text(&b, 0x88, "\x03\xed");
    check(&b, "error 1002 ");
    put_frame(&b, 0x88, "\0\0", 2);
    check(&b, "error 1002 ");
    put_text(&b, 0x88, "\x03\xe8\xc3");
    check(&b, "error 1007 ");
    put_text(&b, 0x88, "\x03\xe8\xff");
    check(&b, "error 1007 ");
    /* a wrong code comes before a wrong reason */
    put_text(&b, 0x88, "\x03\xec\xff");
    check(&b, "error 1002 ");
    memset(reason, 'x', sizeof(reason));
    reason[0] = 0x03;
    reason[1] = (char)0xe9;
    put_frame(&b, 0x88, reason, 125);
    reason[125] = '\0';
    {
        struct rc_buf want = RC_BUF_INIT;

        rc_buf_printf(&want, "close 1001[%s] ", reason + 2);
        rc_buf_putc(&want, '\0');
        check(&b, (char *)want.data);
        rc_buf_deinit(&want);
    }
    rc_buf_deinit(&b);
}

Test(ws, close_codes)
{
    for (unsigned code = 0; code < 70000; code++) {
        bool valid =
            (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
            (code >= 3000 && code <= 4999);

        cr_assert_eq(rc_ws_close_code_valid(code), valid, "%u", code);
    }
}

Test(ws, message_limit)
{
    struct rc_ws_decoder d = {.max_message = 10};
    struct rc_buf b = RC_BUF_INIT;

    put_text(&b, 0x81, "0123456789");
    put_text(&b, 0x82, "0123456789");
    check_with(d, &b, "T[0123456789] B[0123456789] ");
    rc_buf_reset(&b);
    put_text(&b, 0x81, "0123456789a");
    check_with(d, &b, "error 1009 ");
    /* the header is enough, even without the mask */
    b.len = 2;
    check_with(d, &b, "error 1009 ");
    rc_buf_reset(&b);
    put_text(&b, 0x01, "01234");
    put_text(&b, 0x00, "56789");
    put_text(&b, 0x89, "a long ping does not count");
    put_text(&b, 0x80, "");
    check_with(d, &b, "ping[a long ping does not count] T[0123456789] ");
    rc_buf_reset(&b);
    put_text(&b, 0x01, "01234");
    put_text(&b, 0x00, "56789");
    put_text(&b, 0x80, "a");
    b.len -= 5;
    check_with(d, &b, "error 1009 ");
    rc_buf_reset(&b);
    rc_buf_put(&b, BYTES("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"));
    check_with(d, &b, "error 1009 ");
    /* the sum of the fragments does not wrap around */
    rc_buf_reset(&b);
    put_text(&b, 0x02, "0123456789");
    rc_buf_put(&b, BYTES("\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xff"));
    check_with(d, &b, "error 1009 ");
    rc_buf_deinit(&b);
}

Test(ws, no_message_limit)
{
    struct rc_ws_decoder d = {0};
    struct rc_buf b = RC_BUF_INIT;
    char text[70000];

    memset(text, 'x', sizeof(text));
    put_frame(&b, 0x02, text, sizeof(text));
    put_frame(&b, 0x80, text, 0);
    {
        struct rc_buf want = RC_BUF_INIT;

        rc_buf_printf(&want, "B[%.*s] ", (int)sizeof(text), text);
        rc_buf_putc(&want, '\0');
        check_with(d, &b, (char *)want.data);
        rc_buf_deinit(&want);
    }
    rc_buf_deinit(&b);
}

Test(ws, compressed_messages)
{
    struct rc_ws_decoder d = {.max_message = 100, .allow_rsv1 = true};
    struct rc_buf b = RC_BUF_INIT;

    /* not text yet: the UTF-8 check comes after inflation */
    put_text(&b, 0xc1, "\xff\xfe");
    put_text(&b, 0x81, "plain");
    put_text(&b, 0x41, "\xc3");
    put_text(&b, 0x89, "");
    put_text(&b, 0x80, "\xc3");
    put_text(&b, 0xc2, "b");
    check_with(d, &b, "cT[\xff\xfe] T[plain] ping[] cT[\xc3\xc3] cB[b] ");
    rc_buf_reset(&b);
    /* a plain message after a compressed one is checked again */
    put_text(&b, 0xc1, "\xff");
    put_text(&b, 0x81, "\xff");
    check_with(d, &b, "cT[\xff] error 1007 ");
    rc_buf_reset(&b);
    /* RSV1 belongs on the first frame of a message only, never on a control frame */
    put_text(&b, 0x41, "a");
    put_text(&b, 0xc0, "b");
    check_with(d, &b, "error 1002 ");
    rc_buf_reset(&b);
    put_text(&b, 0xc9, "");
    check_with(d, &b, "error 1002 ");
    rc_buf_reset(&b);
    put_text(&b, 0xe1, "");
    check_with(d, &b, "error 1002 ");
    rc_buf_deinit(&b);
}

Test(ws, server_headers)
{
    uint8_t h[RC_WS_HEADER_MAX];

    cr_assert_eq(rc_ws_header(h, RC_WS_TEXT, false, 0), 2);
    cr_assert_arr_eq(h, "\x81\x00", 2);
    cr_assert_eq(rc_ws_header(h, RC_WS_BINARY, false, 125), 2);
    cr_assert_arr_eq(h, "\x82\x7d", 2);
    cr_assert_eq(rc_ws_header(h, RC_WS_TEXT, true, 126), 4);
    cr_assert_arr_eq(h, "\xc1\x7e\x00\x7e", 4);
    cr_assert_eq(rc_ws_header(h, RC_WS_TEXT, false, 256), 4);
    cr_assert_arr_eq(h, "\x81\x7e\x01\x00", 4);
    cr_assert_eq(rc_ws_header(h, RC_WS_BINARY, false, 65535), 4);
    cr_assert_arr_eq(h, "\x82\x7e\xff\xff", 4);
    cr_assert_eq(rc_ws_header(h, RC_WS_BINARY, false, 65536), 10);
    cr_assert_arr_eq(h, "\x82\x7f\0\0\0\0\0\x01\0\0", 10);
    cr_assert_eq(rc_ws_header(h, RC_WS_BINARY, false, UINT64_C(0x123456789abcdef0)), 10);
    cr_assert_arr_eq(h, "\x82\x7f\x12\x34\x56\x78\x9a\xbc\xde\xf0", 10);
    cr_assert_eq(rc_ws_header(h, RC_WS_PONG, false, 5), 2);
    cr_assert_arr_eq(h, "\x8a\x05", 2);
}

Test(ws, server_close_frames)
{
    uint8_t f[2 + 125];
    char reason[200];

    cr_assert_eq(rc_ws_close_frame(f, 0, RC_STR("ignored")), 2);
    cr_assert_arr_eq(f, "\x88\x00", 2);
    cr_assert_eq(rc_ws_close_frame(f, RC_WS_NO_STATUS, RC_STR_NONE), 2);
    cr_assert_arr_eq(f, "\x88\x00", 2);
    cr_assert_eq(rc_ws_close_frame(f, RC_WS_NORMAL, RC_STR_NONE), 4);
    cr_assert_arr_eq(f, "\x88\x02\x03\xe8", 4);
    cr_assert_eq(rc_ws_close_frame(f, RC_WS_POLICY, RC_STR("no")), 6);
    cr_assert_arr_eq(f, "\x88\x04\x03\xf0no", 6);
    /* what lies behind the reason is not looked at */
    cr_assert_eq(rc_ws_close_frame(f, RC_WS_POLICY, rc_str_make("no\x80", 2)), 6);
    memset(reason, 'x', sizeof(reason));
    cr_assert_eq(rc_ws_close_frame(f, RC_WS_POLICY, rc_str_make(reason, 123)), 127);
    cr_assert_eq(rc_ws_close_frame(f, RC_WS_POLICY, rc_str_make(reason, 200)), 127);
    cr_assert_eq(f[1], 125);
    /* cut before the character that does not fit, kept when it does */
    memcpy(reason + 121, "\xe2\x82\xac", 3);
    cr_assert_eq(rc_ws_close_frame(f, RC_WS_POLICY, rc_str_make(reason, 200)), 2 + 2 + 121);
    memset(reason, 'x', sizeof(reason));
    memcpy(reason + 120, "\xe2\x82\xac", 3);
    cr_assert_eq(rc_ws_close_frame(f, RC_WS_POLICY, rc_str_make(reason, 200)), 127);
    cr_assert_eq(rc_ws_close_frame(f, RC_WS_POLICY, rc_str_make(reason, 123)), 127);
}

Test(ws, accept)
{
    char out[29] = "";

    cr_assert_eq(rc_ws_accept(RC_STR("dGhlIHNhbXBsZSBub25jZQ=="), out), RC_OK);
    cr_assert_str_eq(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    cr_assert_eq(rc_ws_accept(RC_STR("AQIDBAUGBwgJCgsMDQ4PEC=="), out), RC_OK);
    /* unused bits set, as random 22 characters have them */
    cr_assert_eq(rc_ws_accept(RC_STR("dGhlIHNhbXBsZSBub25jZf=="), out), RC_OK);
    cr_assert_eq(strlen(out), 28);
}

Test(ws, bad_keys)
{
    static const char *const bad[] = {
        "",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZQA=",
        "dGhlIHNhbXBsZSBub25jZQAA",
        "dGhlIHNhbXBsZSBub25j====",
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhbXBsZS=ub25jZQ==",
        "dGhlIHNhbXBsZS-ub25jZQ==",
        " GhlIHNhbXBsZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25j\xff\xff==",
    };
    char out[29];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(rc_ws_accept(rc_str_of(bad[i]), out), RC_EPROTO, "%s", bad[i]);
    cr_assert_eq(rc_ws_accept(RC_STR_NONE, out), RC_EPROTO);
}

Test(ws, own_frames_read_back)
{
    static const size_t lengths[] = {0, 1, 125, 126, 65535, 65536, 70000};
    uint8_t *frame = calloc(1, RC_WS_HEADER_MAX + 70000);
    struct rc_ws_frame f;

    cr_assert_not_null(frame);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        size_t head = rc_ws_header(frame, RC_WS_BINARY, i % 2 != 0, lengths[i]);

        f = rc_ws_own_frame(frame);
        cr_assert_eq(f.opcode, RC_WS_BINARY);
        cr_assert_eq(f.payload.len, lengths[i]);
        cr_assert(f.payload.p == (char *)frame + head);
        cr_assert_eq(f.size, head + lengths[i]);
    }
    free(frame);
}

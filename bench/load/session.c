/*
 * session.c - the client's side of WebSocket, and Socket.IO on top of it up to the joined room.
 *
 * Frames are looked at where they were received. Of each only the head is needed; the rest is
 * counted and passed by, so a long message costs no second copy.
 */
#include "load.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* Key and answer from RFC 6455, so that nothing has to be computed. */
#define WS_KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define WS_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define SENT_MAX  2048u /* bytes of a frame that is no message */

enum { OP_MORE = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9 };

static const uint8_t mask_key[4] = {0x37, 0xfa, 0x21, 0x3d};

void load_session_mask(char *dst, const char *src, size_t n, size_t at)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = (char)((uint8_t)src[i] ^ mask_key[(at + i) & 3]);
}

size_t load_session_head(uint8_t *dst, size_t len)
{
    size_t n = 2;

    dst[0] = 0x80 | OP_TEXT;
    if (len < 126) {
        dst[1] = (uint8_t)(0x80 | len);
    } else if (len < 65536) {
        dst[1] = 0x80 | 126;
        dst[2] = (uint8_t)(len >> 8);
        dst[3] = (uint8_t)len;
        n = 4;
    } else {
        dst[1] = 0x80 | 127;
        for (unsigned i = 0; i < 8; i++)
            dst[2 + i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
        n = 10;
    }
    memcpy(dst + n, mask_key, 4);
    return n + 4;
}

static void send_frame(struct load *l, struct load_conn *c, uint8_t op, const char *p,
                       size_t len)
{
    char buf[14 + SENT_MAX];
    size_t n;

    if (len > SENT_MAX)
        len = SENT_MAX;
    n = load_session_head((uint8_t *)buf, len);
    buf[0] = (char)(0x80 | op);
    load_session_mask(buf + n, p, len, 0);
    load_conn_send(l, c, buf, n + len);
}

void load_session_connected(struct load *l, struct load_conn *c)
{
    const char *path = l->o->path, *rest = "";
    char buf[600], room[16] = "";
    int n, prefix;

    if (l->o->proto == LOAD_SIO)
        path = "/socket.io/?EIO=4&transport=websocket";
    prefix = (int)strlen(path);
    if (l->o->proto == LOAD_WS && l->o->room_in_path) {
        prefix = (int)(strstr(path, "{room}") - path);
        rest = path + prefix + strlen("{room}");
        snprintf(room, sizeof(room), "%u", c->room);
    }
    n = snprintf(buf, sizeof(buf),
                 "GET %.*s%s%s HTTP/1.1\r\n"
                 "Host: 127.0.0.1:%u\r\n"
                 "Upgrade: websocket\r\n"
                 "Connection: Upgrade\r\n"
                 "Sec-WebSocket-Key: " WS_KEY "\r\n"
                 "Sec-WebSocket-Version: 13\r\n\r\n",
                 prefix, path, room, rest, ntohs(l->o->addr[c->node].sin_port));
    if (n <= 0 || (size_t)n >= sizeof(buf)) {
        load_conn_fail(l, c, "--path is too long");
        return;
    }
    c->state = LOAD_UPGRADING;
    load_conn_send(l, c, buf, (size_t)n);
}

static void upgraded(struct load *l, struct load_conn *c)
{
    char buf[32];
    int n;

    switch (l->o->proto) {
    case LOAD_SIO: c->state = LOAD_OPENING; break;
    case LOAD_FLOOR:
        n = l->o->echo ? snprintf(buf, sizeof(buf), "E")
                       : snprintf(buf, sizeof(buf), "J%u", c->room);
        c->state = LOAD_JOINING;
        send_frame(l, c, OP_TEXT, buf, (size_t)n);
        break;
    case LOAD_WS:
    case LOAD_POLL: load_conn_ready(l, c); break;
    }
}

/* The answer to the handshake; how many bytes it has, 0 while it is incomplete. */
static size_t handshake_input(struct load *l, struct load_conn *c, const char *p, size_t len)
{
    const char *end = memmem(p, len, "\r\n\r\n", 4);
    size_t head;

    if (end == NULL) {
        if (len > 4096)
            load_conn_fail(l, c, "no end of the handshake's answer");
        return 0;
    }
    head = (size_t)(end - p) + 4;
    if (head < 12 || memcmp(p, "HTTP/1.1 101", 12) != 0) {
        load_conn_fail(l, c, "the handshake was not answered by 101");
        return 0;
    }
    if (l->o->proto != LOAD_FLOOR && memmem(p, head, WS_ACCEPT, strlen(WS_ACCEPT)) == NULL) {
        load_conn_fail(l, c, "wrong Sec-WebSocket-Accept");
        return 0;
    }
    upgraded(l, c);
    return head;
}

/* Everything that is no message of a room: the steps up to READY, pings, acks, notices. */
static void control_text(struct load *l, struct load_conn *c, const char *p, size_t n)
{
    char buf[SENT_MAX];
    int len;

    if (n == 1 && p[0] == '2' && l->o->proto == LOAD_SIO) {
        send_frame(l, c, OP_TEXT, "3", 1);
    } else if (c->state == LOAD_OPENING && p[0] == '0') {
        c->state = LOAD_ENTERING;
        len = snprintf(buf, sizeof(buf), "40%s", l->o->auth);
        send_frame(l, c, OP_TEXT, buf, (size_t)len);
    } else if (c->state == LOAD_ENTERING && n >= 2 && memcmp(p, "40", 2) == 0) {
        c->state = LOAD_JOINING;
        len = snprintf(buf, sizeof(buf), "420[\"joinRoom\",\"%s%u\"]", l->o->prefix, c->room);
        send_frame(l, c, OP_TEXT, buf, (size_t)len);
    } else if (c->state == LOAD_ENTERING && n >= 2 && memcmp(p, "44", 2) == 0) {
        load_conn_fail(l, c, "CONNECT was refused");
    } else if (c->state == LOAD_JOINING && l->o->proto == LOAD_FLOOR) {
        load_conn_ready(l, c);
    } else if (c->state == LOAD_JOINING && n >= 3 && memcmp(p, "430", 3) == 0) {
        if (memmem(p, n, "\"ok\":false", 10) != NULL)
            load_conn_fail(l, c, "joinRoom was refused");
        else
            load_conn_ready(l, c);
    }
}

/* p has the first bytes of a payload of n bytes; have of them, at least its head, are there. */
static void payload_head(struct load *l, struct load_conn *c, unsigned op, const char *p,
                         size_t n, uint64_t now)
{
    if (op == OP_TEXT || op == OP_BINARY) {
        if (c->state == LOAD_READY && n >= c->body + LOAD_STAMP_LEN &&
            load_stamp_read(p + c->body, &c->pending))
            c->has_pending = true;
        else if (c->state == LOAD_READY && l->o->ack && n > 2 + LOAD_ACK_LEN && p[1] == '3')
            load_acks_received(l, c, p + 2, (n < LOAD_HEAD_MAX ? n : LOAD_HEAD_MAX) - 2, now);
        else if (n > 0)
            control_text(l, c, p, n < LOAD_HEAD_MAX ? n : LOAD_HEAD_MAX);
    } else if (op == OP_PING) {
        send_frame(l, c, OP_PING + 1, p, n);
    } else if (op == OP_CLOSE) {
        load_conn_fail(l, c, "the server sent a close frame");
    }
}

static void frame_done(struct load *l, struct load_conn *c, uint64_t now)
{
    if (c->has_pending) {
        c->has_pending = false;
        load_traffic_received(l, c, &c->pending, now);
    }
}

/* One frame, or what is left of one; how many bytes were used, 0: more are needed. */
static size_t frame_input(struct load *l, struct load_conn *c, const uint8_t *p, size_t len,
                          uint64_t now)
{
    uint64_t n;
    size_t head = 2, see;

    if (len < 2)
        return 0;
    n = p[1] & 127u;
    if (n == 126) {
        head = 4;
        if (len < head)
            return 0;
        n = (uint64_t)p[2] << 8 | p[3];
    } else if (n == 127) {
        head = 10;
        if (len < head)
            return 0;
        n = 0;
        for (unsigned i = 2; i < 10; i++)
            n = n << 8 | p[i];
    }
    see = n < LOAD_HEAD_MAX ? (size_t)n : LOAD_HEAD_MAX;
    if (len < head + see)
        return 0;
    payload_head(l, c, p[0] & 15u, (const char *)p + head, (size_t)n, now);
    if (n <= len - head) {
        frame_done(l, c, now);
        return head + (size_t)n;
    }
    c->skip = n - (len - head);
    return len;
}

size_t load_session_input(struct load *l, struct load_conn *c, const char *p, size_t len)
{
    uint64_t now = load_now_ns();
    size_t used = 0, n;

    if (c->state == LOAD_UPGRADING)
        used = handshake_input(l, c, p, len);
    while (used < len && c->fd >= 0 && c->state > LOAD_UPGRADING) {
        if (c->skip > 0) {
            n = len - used < c->skip ? len - used : (size_t)c->skip;
            c->skip -= n;
            used += n;
            if (c->skip == 0)
                frame_done(l, c, now);
            continue;
        }
        n = frame_input(l, c, (const uint8_t *)p + used, len - used, now);
        if (n == 0)
            break;
        used += n;
    }
    return used;
}

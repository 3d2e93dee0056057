/*
 * poll.c - the client's side of HTTP long-polling.
 *
 * A member has one keep-alive connection: its GETs, and in between what it has to answer
 * (CONNECT, joinRoom, pong). A sender has a second one for its POSTs, one at a time, each with
 * all the packets that have gathered meanwhile.
 */
#include "load.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEPARATOR '\x1e'
#define POST_MAX  900000u

static void get(struct load *l, struct load_conn *c)
{
    char buf[300];
    int n;

    n = snprintf(buf, sizeof(buf),
                 "GET /socket.io/?EIO=4&transport=polling%s%s HTTP/1.1\r\n"
                 "Host: 127.0.0.1:%u\r\n\r\n",
                 c->sid[0] != '\0' ? "&sid=" : "", c->sid, ntohs(l->o->addr[c->node].sin_port));
    load_conn_send(l, c, buf, (size_t)n);
}

/* Sends what has gathered, up to whole packets of POST_MAX bytes together. */
static void post(struct load *l, struct load_conn *c)
{
    size_t n = c->posts_len, rest;
    const char *cut;
    char buf[400];
    int head;

    if (n > POST_MAX) {
        cut = memrchr(c->posts, SEPARATOR, POST_MAX);
        n = cut != NULL ? (size_t)(cut - c->posts) : n;
    }
    head = snprintf(buf, sizeof(buf),
                    "POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\n"
                    "Host: 127.0.0.1:%u\r\n"
                    "Content-Type: text/plain;charset=UTF-8\r\n"
                    "Content-Length: %zu\r\n\r\n",
                    c->aux ? c->tx->conn->sid : c->sid, ntohs(l->o->addr[c->node].sin_port), n);
    c->busy = true;
    if (n + (size_t)head <= sizeof(buf)) {
        memcpy(buf + head, c->posts, n);
        load_conn_send(l, c, buf, (size_t)head + n);
    } else {
        load_conn_send(l, c, buf, (size_t)head);
        load_conn_send(l, c, c->posts, n);
    }
    rest = n < c->posts_len ? c->posts_len - n - 1 : 0;
    memmove(c->posts, c->posts + c->posts_len - rest, rest);
    c->posts_len = rest;
}

void load_poll_post(struct load *l, struct load_conn *c, const char *packet, size_t len)
{
    static const char sep = SEPARATOR;

    if (c->posts_len > 0)
        load_append(&c->posts, &c->posts_len, &c->posts_cap, &sep, 1);
    load_append(&c->posts, &c->posts_len, &c->posts_cap, packet, len);
    if (c->aux && c->state == LOAD_READY && !c->busy)
        post(l, c);
}

void load_poll_connected(struct load *l, struct load_conn *c)
{
    if (c->aux) {
        c->state = LOAD_READY;
        if (c->posts_len > 0)
            post(l, c);
        return;
    }
    c->state = LOAD_OPENING;
    c->sid[0] = '\0';
    get(l, c);
}

static void ready(struct load *l, struct load_conn *c)
{
    load_conn_ready(l, c);
    if (c->tx != NULL)
        load_conn_open(l, c->tx->via);
}

static void take_sid(struct load *l, struct load_conn *c, const char *p, size_t len)
{
    static const char key[] = "\"sid\":\"";
    const char *from = memmem(p, len, key, strlen(key)), *to;

    if (from != NULL) {
        from += strlen(key);
        to = memchr(from, '"', len - (size_t)(from - p));
        if (to != NULL && (size_t)(to - from) < sizeof(c->sid)) {
            memcpy(c->sid, from, (size_t)(to - from));
            c->sid[to - from] = '\0';
            return;
        }
    }
    load_conn_fail(l, c, "no sid in the open packet");
}

static void packet_input(struct load *l, struct load_conn *c, const char *p, size_t n,
                         uint64_t now)
{
    struct load_stamp s;
    char buf[64];
    int len;

    if (c->state == LOAD_READY && n >= c->body + LOAD_STAMP_LEN &&
        load_stamp_read(p + c->body, &s)) {
        load_traffic_received(l, c, &s, now);
    } else if (n == 1 && p[0] == '2') {
        load_poll_post(l, c, "3", 1);
    } else if (n > 0 && p[0] == '1') {
        load_conn_fail(l, c, "the server closed the session");
    } else if (c->state == LOAD_OPENING && n > 0 && p[0] == '0') {
        take_sid(l, c, p, n);
        c->state = c->fd >= 0 ? LOAD_ENTERING : LOAD_CLOSED;
        load_poll_post(l, c, "40", 2);
    } else if (c->state == LOAD_ENTERING && n >= 2 && memcmp(p, "40", 2) == 0) {
        c->state = LOAD_JOINING;
        len = snprintf(buf, sizeof(buf), "420[\"joinRoom\",\"%s%u\"]", l->o->prefix, c->room);
        load_poll_post(l, c, buf, (size_t)len);
    } else if (c->state == LOAD_ENTERING && n >= 2 && memcmp(p, "44", 2) == 0) {
        load_conn_fail(l, c, "CONNECT was refused");
    } else if (c->state == LOAD_JOINING && n >= 3 && memcmp(p, "430", 3) == 0) {
        if (memmem(p, n, "\"ok\":false", 10) != NULL)
            load_conn_fail(l, c, "joinRoom was refused");
        else
            ready(l, c);
    }
}

static void body_input(struct load *l, struct load_conn *c, const char *p, size_t n)
{
    uint64_t now = load_now_ns();
    const char *end;

    if (c->busy) {
        c->busy = false; /* a POST's "ok" */
    } else {
        while (n > 0 && c->fd >= 0) {
            end = memchr(p, SEPARATOR, n);
            end = end != NULL ? end : p + n;
            packet_input(l, c, p, (size_t)(end - p), now);
            n -= (size_t)(end - p);
            p = end;
            if (n > 0) {
                p++;
                n--;
            }
        }
    }
    if (c->fd < 0)
        return;
    if (c->posts_len > 0)
        post(l, c);
    else if (!c->aux)
        get(l, c);
}

size_t load_poll_input(struct load *l, struct load_conn *c, const char *p, size_t len)
{
    static const char name[] = "\r\ncontent-length:";
    const char *end, *value;
    size_t used = 0, head, n;

    while (used < len && c->fd >= 0) {
        end = memmem(p + used, len - used, "\r\n\r\n", 4);
        if (end == NULL)
            break;
        head = (size_t)(end - (p + used)) + 4;
        if (head < 12 || memcmp(p + used, "HTTP/1.1 200", 12) != 0) {
            load_conn_fail(l, c, "a request was not answered by 200");
            break;
        }
        value = NULL;
        for (const char *q = p + used; q + strlen(name) < end && value == NULL; q++)
            if (*q == '\r' && strncasecmp(q, name, strlen(name)) == 0)
                value = q + strlen(name);
        if (value == NULL) {
            load_conn_fail(l, c, "an answer without Content-Length");
            break;
        }
        n = strtoul(value, NULL, 10);
        if (n > LOAD_BUF_SIZE) {
            load_conn_fail(l, c, "an answer larger than the buffer");
            break;
        }
        if (len - used - head < n)
            break;
        used += head + n;
        body_input(l, c, p + used - n, n);
    }
    return used;
}

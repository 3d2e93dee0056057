/*
 * conn.c - sockets: connecting, one read for each edge, writing with a buffer for the rest.
 *
 * All events are asked for once, edge-triggered. A read that fills less than the buffer has
 * emptied the socket, so a delivery costs the client one recv and its share of an epoll_wait.
 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORTS_EACH 4000u
#define SOURCES    100u
#define SMALL      4096 /* receive buffer of a stalled member */
#define SMALL_MSS  536

void load_append(char **p, size_t *len, size_t *cap, const void *src, size_t n)
{
    if (*len + n > *cap) {
        size_t want = *cap == 0 ? 512 : *cap;

        while (want < *len + n)
            want *= 2;
        *p = realloc(*p, want);
        if (*p == NULL) {
            fputs("load: out of memory\n", stderr);
            exit(1);
        }
        *cap = want;
    }
    memcpy(*p + *len, src, n);
    *len += n;
}

static void connected(struct load *l, struct load_conn *c)
{
    if (l->o->proto == LOAD_POLL)
        load_poll_connected(l, c);
    else
        load_session_connected(l, c);
}

/*
 * Another source address for every few thousand connections: when half of an address' ports are
 * in use, the kernel's search for a free one takes longer than all the rest.
 */
static void choose_source(const struct load *l, int fd)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    int one = 1;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK + l->started / PORTS_EACH % SOURCES);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    if (bind(fd, (const struct sockaddr *)&a, sizeof(a)) != 0)
        perror("load: bind"); /* the kernel's own choice will do */
}

/*
 * Makes a stalled member felt at once. The kernels on both sides would keep megabytes for it; the
 * server's send buffer is as large as some segments, so they are made small.
 */
static void keep_little(int fd)
{
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){SMALL}, sizeof(int));
    setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &(int){SMALL_MSS}, sizeof(int));
}

bool load_conn_open(struct load *l, struct load_conn *c)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                             .data.ptr = c};
    int one = 1;

    c->part_len = c->out_len = c->posts_len = 0;
    c->skip = 0;
    c->has_pending = c->busy = false;
    c->owed = 0;
    if (!c->aux)
        l->started++;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    c->state = LOAD_CONNECTING;
    if (c->fd < 0) {
        load_conn_fail(l, c, "socket");
        return false;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    choose_source(l, c->fd);
    if (c->stalled)
        keep_little(c->fd);
    if (connect(c->fd, (const struct sockaddr *)&l->o->addr[c->node], sizeof(l->o->addr[0])) !=
            0 &&
        errno != EINPROGRESS) {
        load_conn_fail(l, c, "connect");
        return false;
    }
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0) {
        load_conn_fail(l, c, "epoll_ctl");
        return false;
    }
    return true;
}

void load_conn_close(struct load *l, struct load_conn *c)
{
    if (c->tls != NULL)
        load_tls_end(c);
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    if (c->state == LOAD_READY && !c->aux)
        l->closed++;
    c->state = LOAD_CLOSED;
}

void load_conn_fail(struct load *l, struct load_conn *c, const char *why)
{
    if (l->why == NULL) {
        l->why = why;
        l->why_errno = errno;
    }
    l->failed++;
    load_conn_close(l, c);
}

void load_conn_ready(struct load *l, struct load_conn *c)
{
    c->state = LOAD_READY;
    l->ready++;
    if (l->o->churn > 0) {
        uint64_t now = load_now_ns();

        load_hist_add(&l->all, now - c->due_ns);
        load_hist_add(&l->recent, now - c->due_ns);
        l->count.churned++;
        load_conn_close(l, c);
    }
}

static ssize_t receive(struct load_conn *c, void *to, size_t len)
{
    return c->tls != NULL ? load_tls_read(c, to, len) : recv(c->fd, to, len, 0);
}

static ssize_t transmit(struct load_conn *c, const void *p, size_t len)
{
    return c->tls != NULL ? load_tls_write(c, p, len) : send(c->fd, p, len, MSG_NOSIGNAL);
}

void load_conn_send(struct load *l, struct load_conn *c, const void *p, size_t len)
{
    ssize_t n = 0;

    if (c->fd < 0)
        return;
    if (c->out_len == 0) {
        n = transmit(c, p, len);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            load_conn_fail(l, c, "send");
            return;
        }
        n = n < 0 ? 0 : n;
    }
    if ((size_t)n < len)
        load_append(&c->out, &c->out_len, &c->out_cap, (const char *)p + n, len - (size_t)n);
}

static void flush_out(struct load *l, struct load_conn *c)
{
    ssize_t n = transmit(c, c->out, c->out_len);

    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            load_conn_fail(l, c, "send");
        return;
    }
    memmove(c->out, c->out + n, c->out_len - (size_t)n);
    c->out_len -= (size_t)n;
}

/* One recv. Returns false when nothing more can be there. */
static bool read_once(struct load *l, struct load_conn *c)
{
    size_t have = c->part_len, used, room;
    ssize_t n;

    if (have > 0)
        memcpy(l->buf, c->part, have);
    room = LOAD_BUF_SIZE - have;
    n = receive(c, l->buf + have, room);
    if (n <= 0) {
        if (n == 0)
            errno = 0;
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            load_conn_fail(l, c, n == 0 ? "closed by the server" : "recv");
        return false;
    }
    l->count.bytes += (uint64_t)n;
    l->count.reads++;
    c->part_len = 0;
    have += (size_t)n;
    used = l->o->proto == LOAD_POLL ? load_poll_input(l, c, l->buf, have)
                                    : load_session_input(l, c, l->buf, have);
    if (c->fd < 0)
        return false;
    if (have - used == LOAD_BUF_SIZE) {
        load_conn_fail(l, c, "a message larger than the buffer");
        return false;
    }
    if (used < have)
        load_append(&c->part, &c->part_len, &c->part_cap, l->buf + used, have - used);
    if (c->owed > 0) {
        uint32_t owed = c->owed;

        c->owed = 0;
        if (l->sending)
            load_traffic_send(l, c->back, owed, load_now_ns());
    }
    /* Of TLS a read gives one record. */
    return c->fd >= 0 && (c->tls != NULL || (size_t)n == room);
}

static void stalled_end(struct load *l, struct load_conn *c)
{
    l->stalled_closed++;
    load_conn_close(l, c);
}

void load_conn_discard(struct load *l, struct load_conn *c)
{
    ssize_t n;

    if (c->fd < 0)
        return;
    while ((n = receive(c, l->buf, LOAD_BUF_SIZE)) > 0)
        continue;
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        stalled_end(l, c);
}

void load_conn_event(struct load *l, struct load_conn *c, uint32_t events)
{
    int err = 0;
    socklen_t len = sizeof(err);

    if (c->fd < 0)
        return;
    if (c->stalled && c->state == LOAD_READY) {
        if (events & (EPOLLERR | EPOLLHUP))
            stalled_end(l, c);
        return;
    }
    if (c->state == LOAD_CONNECTING && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
        if (err != 0) {
            errno = err;
            load_conn_fail(l, c, "connect");
            return;
        }
        if (l->o->tls && !load_tls_handshake(l, c))
            return;
        connected(l, c);
    }
    if (c->fd >= 0 && c->out_len > 0 && (events & EPOLLOUT))
        flush_out(l, c);
    if (c->fd >= 0 && (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))) {
        while (read_once(l, c) && !l->stop)
            continue;
        /* The end may have arrived together with the last bytes: there is no second edge. */
        if (c->fd >= 0 && (events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP)))
            read_once(l, c);
    }
}

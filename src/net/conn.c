/* conn.c - the one place where client sockets are read, written and closed. */
#include "rc/net/conn.h"

#include "rc/base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

const char *rc_close_text(enum rc_close reason)
{
    static const char *const text[] = {
#define RC_CLOSE_TEXT(name, str) str,
        RC_CLOSE_MAP(RC_CLOSE_TEXT)
#undef RC_CLOSE_TEXT
    };
    return (unsigned)reason < RC_CLOSE_COUNT ? text[reason] : "unknown";
}

_Static_assert(sizeof(struct rc_conn) <= 112, "an idle connection has grown");

/* Makes the registered interest what reading and writing say. A connection without any is not
 * registered at all: epoll would report its errors again and again. */
RC_ON_SHARD static void update_interest(struct rc_conn *c, bool reading, bool writing)
{
    struct epoll_event ev = {.events = (reading ? EPOLLIN : 0u) | (writing ? EPOLLOUT : 0u),
                             .data.u64 = rc_id_make(0, c->hdr.slot, c->hdr.gen)};
    int op = ev.events == 0             ? EPOLL_CTL_DEL
             : c->reading || c->writing ? EPOLL_CTL_MOD
                                        : EPOLL_CTL_ADD;

    if (c->reading == reading && c->writing == writing)
        return;
    c->loop->nblocked += (unsigned)writing - (unsigned)c->writing;
    c->reading = reading;
    c->writing = writing;
    if (epoll_ctl(c->loop->epfd, op, c->fd, &ev) == 0)
        return;
    RC_ASSERT(errno == ENOMEM || errno == ENOSPC);
    (void)epoll_ctl(c->loop->epfd, EPOLL_CTL_DEL, c->fd, NULL); /* what there was before */
    c->loop->nblocked -= (unsigned)writing;
    c->reading = c->writing = false;
    c->broken = true;
    rc_conn_later(c);
}

struct rc_conn *rc_conn_new(struct rc_loop *l, int fd, const struct rc_addr *peer,
                            const struct rc_conn_ops *ops, void *user)
{
    struct rc_conn *c = rc_pool_get(&l->conns);

    if (c == NULL) {
        (void)close(fd);
        return NULL;
    }
    c->loop = l;
    c->ops = ops;
    c->user = user;
    c->fd = fd;
    c->peer = *peer;
    update_interest(c, true, false);
    return c;
}

static void bury_later(struct rc_loop *l, struct rc_conn *c)
{
    if (l->ndead == l->dead_cap) {
        l->dead_cap = l->dead_cap != 0 ? l->dead_cap * 2 : 64;
        l->dead = rc_realloc(l->dead, l->dead_cap * sizeof(*l->dead));
    }
    l->dead[l->ndead++] = c;
}

/* All but its descriptor, which it gives up. */
RC_ON_SHARD static int end(struct rc_conn *c, enum rc_close reason)
{
    int fd = c->fd;

    c->loop->nblocked -= (unsigned)c->writing;
    c->reading = c->writing = false;
    rc_timer_stop(&c->timer);
    c->fd = -1;
    free(c->left);
    c->left = NULL;
    c->left_len = 0;
    c->ops->on_close(c, reason);
    c->out = NULL;
    bury_later(c->loop, c);
    return fd;
}

int rc_conn_release(struct rc_conn *c, enum rc_close reason)
{
    RC_ASSERT(c->fd >= 0);
    update_interest(c, false, false);
    return end(c, reason);
}

void rc_conn_close(struct rc_conn *c, enum rc_close reason)
{
    if (c->fd >= 0)
        (void)close(end(c, reason)); /* which takes it out of epoll too */
}

void rc_conn_want_write(struct rc_conn *c)
{
    update_interest(c, c->reading, true);
}

/* Everything is written: send FIN and wait for the peer's, so that a RST for unread input does
 * not take our last bytes away. */
RC_ON_SHARD static void linger(struct rc_conn *c)
{
    if (c->eof) {
        c->broken = true;
        rc_conn_later(c);
        return;
    }
    c->lingering = true;
    (void)shutdown(c->fd, SHUT_WR);
    rc_timer_start(&c->loop->q_linger, &c->timer, c->loop->now_ms);
    update_interest(c, true, false);
}

void rc_conn_later(struct rc_conn *c)
{
    if (c->fd < 0 || c->later)
        return;
    c->later = true;
    rc_ids_add(&c->loop->ready, rc_id_make(0, c->hdr.slot, c->hdr.gen));
}

void rc_conn_ready(struct rc_conn *c)
{
    if (c->broken) {
        rc_conn_close(c, c->finishing ? (enum rc_close)c->finish_reason : RC_CLOSE_RESET);
    } else if (!c->finishing) {
        if (!c->eof)
            update_interest(c, true, c->writing);
        if (c->left_len != 0)
            rc_conn_feed(c, NULL, 0);
    }
}

void rc_conn_flush(struct rc_conn *c)
{
    bool waited = c->writing;
    size_t wrote = 0;
    int rc;

    if (c->fd < 0 || c->broken)
        return;
    rc = c->out != NULL ? rc_outq_flush(c->out, c->fd, &wrote) : RC_OK;
    if (rc == RC_EAGAIN) {
        rc_conn_want_write(c);
        if (c->finishing && wrote != 0) /* progress */
            rc_timer_start(&c->loop->q_stall, &c->timer, c->loop->now_ms);
    } else if (rc != RC_OK) {
        c->broken = true;
        rc_conn_later(c);
    } else {
        update_interest(c, c->reading, false);
        if (c->finishing && !c->lingering)
            linger(c);
        else if (waited && !c->finishing && c->ops->on_drain != NULL)
            c->ops->on_drain(c);
    }
}

void rc_conn_finish(struct rc_conn *c, enum rc_close reason)
{
    if (c->fd < 0 || c->finishing)
        return;
    c->finishing = true;
    c->finish_reason = (uint8_t)reason;
    free(c->left);
    c->left = NULL;
    c->left_len = 0;
    rc_timer_start(&c->loop->q_stall, &c->timer, c->loop->now_ms);
    update_interest(c, !c->eof, c->writing);
    rc_conn_flush(c);
}

static void on_stalled(struct rc_timer *t, void *arg)
{
    const struct rc_loop *l = arg;

    rc_assert_on_shard(l->owner);
    rc_conn_close(RC_CONTAINER(t, struct rc_conn, timer), RC_CLOSE_LINGER_TIMEOUT);
}

static void on_lingered(struct rc_timer *t, void *arg)
{
    const struct rc_loop *l = arg;
    struct rc_conn *c = RC_CONTAINER(t, struct rc_conn, timer);

    rc_assert_on_shard(l->owner);
    rc_conn_close(c, (enum rc_close)c->finish_reason);
}

void rc_conn_init_timers(struct rc_loop *l)
{
    rc_timerq_init(&l->q_stall, RC_STALL_MS, on_stalled, l);
    rc_timerq_init(&l->q_linger, RC_LINGER_MS, on_lingered, l);
    rc_loop_add_timerq(l, &l->q_stall);
    rc_loop_add_timerq(l, &l->q_linger);
}

RC_ON_SHARD static void keep(struct rc_conn *c, const uint8_t *data, size_t len)
{
    uint8_t *p;

    if (len == 0) {
        free(c->left);
        c->left = NULL;
        c->left_len = 0;
        return;
    }
    if (c->left_len == len) { /* nothing was used up and nothing was added */
        memcpy(c->left, data, len);
        return;
    }
    p = rc_try_malloc(len);
    if (p == NULL) {
        rc_conn_close(c, RC_CLOSE_MEMORY);
        return;
    }
    memcpy(p, data, len);
    free(c->left);
    c->left = p;
    c->left_len = (uint32_t)len;
}

/* A read buffer of the loop, to be given back: on_data may read another connection. */
static uint8_t *borrow(struct rc_loop *l)
{
    RC_ASSERT(l->nesting < RC_LOOP_NESTING);
    if (l->rbuf[l->nesting] == NULL)
        l->rbuf[l->nesting] = rc_malloc(RC_READ_BUFFER);
    return l->rbuf[l->nesting++];
}

/* data is a borrowed buffer whose first bytes are free for what was left over. */
RC_ON_SHARD static void hand_over(struct rc_conn *c, uint8_t *data, size_t len)
{
    size_t used;

    if (c->finishing)
        return; /* what the peer says now is of no interest */
    if (c->left_len != 0)
        memcpy(data, c->left, c->left_len);
    used = c->ops->on_data(c, data, len);
    if (c->fd >= 0 && !c->finishing)
        keep(c, data + used, len - used);
}

void rc_conn_feed(struct rc_conn *c, const uint8_t *data, size_t len)
{
    uint8_t *buf;

    if (c->left_len + len > RC_READ_BUFFER) {
        rc_conn_close(c, RC_CLOSE_LIMIT);
        return;
    }
    buf = borrow(c->loop);
    if (len != 0)
        memcpy(buf + c->left_len, data, len);
    hand_over(c, buf, c->left_len + len);
    c->loop->nesting--;
}

RC_ON_SHARD static void end_of_input(struct rc_conn *c)
{
    c->eof = true;
    if (c->lingering) {
        rc_conn_close(c, c->finish_reason);
        return;
    }
    if (!c->finishing)
        c->ops->on_eof(c);
    if (c->fd >= 0) /* mostly it is closed by now */
        update_interest(c, false, c->writing);
}

RC_ON_SHARD static void on_readable(struct rc_conn *c)
{
    uint8_t *buf;
    ssize_t n;

    if (c->ops->on_readable != NULL && !c->finishing) {
        c->ops->on_readable(c);
        return;
    }
    if (c->left_len + RC_READ_SIZE > RC_READ_BUFFER) {
        rc_conn_close(c, RC_CLOSE_LIMIT);
        return;
    }
    buf = borrow(c->loop);
    do
        n = recv(c->fd, buf + c->left_len, RC_READ_SIZE, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    rc_net_bytes.received += n > 0 ? (size_t)n : 0;
    if (n > 0)
        hand_over(c, buf, c->left_len + (size_t)n);
    else if (n == 0)
        end_of_input(c);
    else if (errno != EAGAIN)
        rc_conn_close(c, RC_CLOSE_RESET);
    c->loop->nesting--;
}

void rc_conn_event(struct rc_conn *c, uint32_t events)
{
    const uint32_t ended = EPOLLERR | EPOLLHUP; /* reading or writing tells how */

    if ((events & (EPOLLOUT | ended)) != 0 && c->writing)
        rc_conn_flush(c);
    if ((events & (EPOLLIN | ended)) != 0 && c->fd >= 0 && c->reading)
        on_readable(c);
}

void rc_conn_pause(struct rc_conn *c)
{
    if (c->fd >= 0 && !c->finishing)
        update_interest(c, false, c->writing);
}

void rc_conn_resume(struct rc_conn *c)
{
    if (c->fd < 0 || c->reading || c->eof || c->finishing)
        return;
    update_interest(c, true, c->writing);
    if (c->left_len != 0)
        rc_conn_feed(c, NULL, 0);
}

void rc_conn_poll(struct rc_conn *c)
{
    if (c->fd >= 0 && c->reading)
        on_readable(c);
}

void rc_addr_from(const struct sockaddr_storage *ss, struct rc_addr *out)
{
    *out = (struct rc_addr){.family = (uint8_t)ss->ss_family};
    if (ss->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)ss;

        memcpy(out->ip, &in->sin_addr, 4);
        out->port = ntohs(in->sin_port);
    } else if (ss->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)ss;

        memcpy(out->ip, &in6->sin6_addr, 16);
        out->port = ntohs(in6->sin6_port);
    }
}

const char *rc_addr_text(const struct rc_addr *a, char buf[RC_ADDR_TEXT])
{
    char ip[INET6_ADDRSTRLEN] = "";

    if (a->family != AF_INET && a->family != AF_INET6) {
        (void)snprintf(buf, RC_ADDR_TEXT, "unix");
        return buf;
    }
    (void)inet_ntop(a->family, a->ip, ip, sizeof(ip));
    if (a->port == 0) /* nobody has told it */
        (void)snprintf(buf, RC_ADDR_TEXT, "%s", ip);
    else
        (void)snprintf(buf, RC_ADDR_TEXT, a->family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip,
                       (unsigned)a->port);
    return buf;
}

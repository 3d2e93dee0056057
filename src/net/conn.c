/* conn.c - the one place where client sockets are read, written and closed. */
#include "rc/net/conn.h"

#include "rc/base/log.h"
#include "rc/base/mem.h"
#include "rc/net/tls.h"

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

RC_ON_SHARD static struct rc_tls *tls_of(const struct rc_conn *c)
{
    return c->loop->tls[c->hdr.slot];
}

static uint32_t interest(bool reading, bool writing)
{
    return (reading ? EPOLLIN | EPOLLRDHUP : 0u) | (writing ? EPOLLOUT : 0u);
}

static int epoll_of(const struct rc_conn *c)
{
    return c->aside ? c->loop->aside_fd : c->loop->epfd;
}

/* A connection without any interest is not registered at all: epoll would report its errors again and
 * again. */
RC_ON_SHARD static void watch(struct rc_conn *c, uint32_t before, uint32_t events)
{
    struct epoll_event ev = {.events = events,
                             .data.u64 = rc_id_make(0, c->hdr.slot, c->hdr.gen)};
    int op = events == 0 ? EPOLL_CTL_DEL : before != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

    if (epoll_ctl(epoll_of(c), op, c->fd, &ev) == 0)
        return;
    RC_ASSERT(errno == ENOMEM || errno == ENOSPC);
    (void)epoll_ctl(epoll_of(c), EPOLL_CTL_DEL, c->fd, NULL); /* what there was before */
    c->loop->nblocked -= (unsigned)c->writing;
    c->reading = c->writing = false;
    if (c->secure)
        tls_of(c)->events = 0;
    c->broken = true;
    rc_conn_later(c);
}

/* With TLS, reading may have to wait for the socket to be writable, and the reverse. */
RC_ON_SHARD static void update_secure(struct rc_conn *c)
{
    struct rc_tls *t = tls_of(c);
    uint32_t before = t->events;

    if (c->finishing || c->broken)
        t->events = interest(c->reading, c->writing && !t->write_blocked);
    else if (t->handshaking)
        t->events = interest(!t->read_blocked, t->read_blocked);
    else
        t->events =
            interest((c->reading && !t->read_blocked) || (c->writing && t->write_blocked),
                     (c->writing && !t->write_blocked) || (c->reading && t->read_blocked));
    if (t->events != before)
        watch(c, before, t->events);
}

/* Makes the registered interest what reading and writing say. */
RC_ON_SHARD static void update_interest(struct rc_conn *c, bool reading, bool writing)
{
    uint32_t before = interest(c->reading, c->writing), events = interest(reading, writing);

    c->loop->nblocked += (unsigned)writing - (unsigned)c->writing;
    c->reading = reading;
    c->writing = writing;
    if (c->secure)
        update_secure(c);
    else if (before != events)
        watch(c, before, events);
}

RC_ON_SHARD static void move(struct rc_conn *c, bool aside)
{
    uint32_t events = c->secure ? tls_of(c)->events : interest(c->reading, c->writing);

    if (events != 0)
        watch(c, events, 0);
    c->aside = aside;
    if (events != 0)
        watch(c, 0, events);
}

void rc_conn_step_aside(struct rc_conn *c)
{
    c->since_s = (uint16_t)(c->loop->now_ms / 1000);
    move(c, true);
}

void rc_conn_step_in(struct rc_conn *c)
{
    move(c, false);
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
    c->aside = true;
    c->since_s = (uint16_t)(l->now_ms / 1000);
    update_interest(c, true, false);
    return c;
}

void rc_conn_secure(struct rc_conn *c, struct rc_tls *t)
{
    struct rc_loop *l = c->loop;
    uint32_t cap = l->tls_cap;

    if (c->hdr.slot >= cap) {
        l->tls_cap = c->hdr.slot < 32 ? 64 : c->hdr.slot * 2;
        l->tls = rc_realloc(l->tls, l->tls_cap * sizeof(struct rc_tls *));
        memset(l->tls + cap, 0, (l->tls_cap - cap) * sizeof(struct rc_tls *));
        if (!rc_timer_running(&l->ticket_keys))
            rc_timer_start(&l->q_ticket_keys, &l->ticket_keys, l->now_ms);
    }
    l->tls[c->hdr.slot] = t;
    rc_tls_side_step(l->tls_side, l->now_ms);
    rc_tls_attach(t, l->tls_side, c->fd);
    t->events = interest(c->reading, c->writing);
    c->secure = true;
    update_secure(c);
}

struct rc_tls *rc_conn_take_tls(struct rc_conn *c)
{
    struct rc_tls *t = c->secure ? tls_of(c) : NULL;

    if (t == NULL)
        return NULL;
    if (t->events != 0)
        watch(c, t->events, 0);
    c->loop->nblocked -= (unsigned)c->writing;
    t->events = 0;
    c->reading = c->writing = c->secure = false;
    c->loop->tls[c->hdr.slot] = NULL;
    return t;
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
    struct rc_tls *t = c->secure ? tls_of(c) : NULL;
    int fd = c->fd;

    c->loop->nblocked -= (unsigned)c->writing;
    c->reading = c->writing = false;
    if (t != NULL) {
        (void)rc_tls_bye(t);
        rc_tls_free(t);
        c->loop->tls[c->hdr.slot] = NULL;
        c->secure = false;
    }
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
    RC_ASSERT(c->fd >= 0 && !c->secure);
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
    if (c->secure && rc_tls_bye(tls_of(c)) == RC_EAGAIN) {
        update_interest(c, c->reading, true); /* and then here again */
        return;
    }
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

/* The end came with the last bytes: it is told when these are used up. */
RC_ON_SHARD static void check_ended(struct rc_conn *c)
{
    if (c->fd >= 0 && c->secure && c->reading && !c->finishing && tls_of(c)->ended)
        end_of_input(c);
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
        check_ended(c);
    }
}

RC_ON_SHARD static void flush(struct rc_conn *c, size_t most)
{
    bool waited = c->writing;
    size_t wrote = 0;
    int rc;

    if (c->fd < 0 || c->broken)
        return;
    if (c->out == NULL)
        rc = RC_OK;
    else if (c->secure)
        rc = rc_tls_flush(tls_of(c), c->out, most, &wrote);
    else
        rc = rc_outq_flush_most(c->out, c->fd, most, &wrote);
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

void rc_conn_flush(struct rc_conn *c)
{
    flush(c, RC_OUTQ_TURN);
}

void rc_conn_flush_all(struct rc_conn *c)
{
    flush(c, SIZE_MAX);
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

static void on_ticket_keys(struct rc_timer *t, void *arg)
{
    struct rc_loop *l = arg;

    rc_assert_on_shard(l->owner);
    rc_tls_side_step(l->tls_side, l->now_ms);
    rc_timer_start(&l->q_ticket_keys, t, l->now_ms);
}

void rc_conn_init_timers(struct rc_loop *l)
{
    rc_timerq_init(&l->q_ticket_keys, RC_TLS_KEY_PERIOD_MS, on_ticket_keys, l);
    rc_loop_add_timerq(l, &l->q_ticket_keys);
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

/* ---- TLS ---- */

/* HTTP where TLS was expected: people mistype addresses, and are told so. Nothing was said yet. */
RC_ON_SHARD static void answer_plain(struct rc_conn *c)
{
    static const char body[] = "This port speaks TLS: use https:// or wss://.\n";
    char text[256];
    int n = snprintf(text, sizeof(text),
                     "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
                     "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
                     sizeof(body) - 1, body);

    rc_tls_free(rc_conn_take_tls(c));
    update_interest(c, true, false);
    if (c->out != NULL)
        rc_outq_push(c->out, rc_seg_new(text, (size_t)n));
    rc_conn_finish(c, RC_CLOSE_TLS_PLAIN);
}

RC_ON_SHARD static void read_secure(struct rc_conn *c)
{
    struct rc_tls *t = tls_of(c);
    uint8_t *buf;
    size_t n = 0;
    int rc;

    if (c->left_len + RC_READ_SIZE > RC_READ_BUFFER) {
        rc_conn_close(c, RC_CLOSE_LIMIT);
        return;
    }
    buf = borrow(c->loop);
    rc = rc_tls_read(t, buf + c->left_len, RC_READ_SIZE, &n);
    t->ended = rc == RC_ECLOSED;
    update_secure(c); /* before on_data, which may send the connection elsewhere */
    if (n != 0)
        hand_over(c, buf, c->left_len + n);
    c->loop->nesting--;
    if (c->fd < 0 || !c->secure || c->finishing || rc == RC_EAGAIN)
        return;
    if (rc != RC_ECLOSED)
        rc_conn_close(c, rc == RC_ESYS ? RC_CLOSE_RESET : RC_CLOSE_TLS_PROTOCOL);
    else
        check_ended(c);
}

RC_ON_SHARD static void shake_hands(struct rc_conn *c)
{
    struct rc_tls *t = tls_of(c);
    char text[RC_TLS_WHY], peer[RC_ADDR_TEXT];
    int rc = rc_tls_handshake(t, text);

    if (rc == RC_EAGAIN) {
        update_secure(c);
        return;
    }
    if (rc != RC_OK) {
        rc_log(RC_LOG_DEBUG, "tls: handshake failed peer=%s reason=%s: %s",
               rc_addr_text(&c->peer, peer), rc_close_text(t->why), text);
        if (t->why == RC_CLOSE_TLS_PLAIN)
            answer_plain(c);
        else if (t->why == RC_CLOSE_PEER || t->why == RC_CLOSE_RESET)
            rc_conn_close(c, t->why);
        else
            rc_conn_finish(c, t->why); /* so that the client gets to read the alert */
        return;
    }
    update_secure(c);
    if (c->ops->on_secure != NULL)
        c->ops->on_secure(c, t);
    rc_conn_flush(c);
    if (c->fd >= 0 && c->secure && c->reading && !c->finishing)
        read_secure(c); /* what came behind the handshake is in OpenSSL's buffer */
}

RC_ON_SHARD static void on_secure_event(struct rc_conn *c, uint32_t events)
{
    const uint32_t ended = EPOLLERR | EPOLLHUP;
    const struct rc_tls *t = tls_of(c);

    if (t->handshaking) {
        shake_hands(c);
        return;
    }
    if (c->writing && ((events & (EPOLLOUT | ended)) != 0 || t->write_blocked))
        rc_conn_flush(c);
    if (c->fd >= 0 && c->secure && c->reading && !c->finishing &&
        ((events & (EPOLLIN | ended)) != 0 || t->read_blocked))
        read_secure(c);
}

/* ---- events ---- */

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

    /* At the end nobody reads what comes: no need to open it. */
    if (c->secure && !c->finishing) {
        on_secure_event(c, events);
        return;
    }
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
    check_ended(c);
}

void rc_conn_poll(struct rc_conn *c)
{
    if (c->fd >= 0 && c->reading)
        rc_conn_event(c, EPOLLIN);
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

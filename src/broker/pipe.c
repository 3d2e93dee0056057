/* pipe.c - see the header. */
#include "rc/broker/pipe.h"

#include "rc/base/mem.h"
#include "rc/broker/front_int.h"
#include "rc/broker/peers.h"
#include "rc/broker/shard.h"
#include "rc/net/proxy_head.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PIPE_MARK = 65536,     /* bytes that may wait for one side before the other is not read */
    WARN_EVERY_MS = 10000, /* of nodes that cannot be reached */
    /* A node whose machine is gone says nothing: the kernel asks it. */
    ALIVE_IDLE_S = 15,
    ALIVE_INTERVAL_S = 5,
    ALIVE_COUNT = 3,
};

struct rc_pipe {
    struct rc_list link;    /* of the shard's */
    struct rc_conn *client; /* NULL: it has ended */
    struct rc_conn *node;   /* the same of the one to the other node */
    struct rc_http *http;   /* the client's: has what waits for it */
    struct rc_outq out;     /* what waits for the node */
    uint64_t bytes, seen;   /* passed on, both ways; when the timer was last due */
    uint32_t peer;
    bool upgrade;  /* the request is a WebSocket's */
    bool answered; /* bytes have come from the node */
    bool ended;    /* the client's side */
};

struct rc_pipes {
    struct rc_list all; /* of rc_pipe */
    struct rc_timerq q_connect, q_idle;
    uint64_t warned_ms;
    uint32_t drain_total, drain_told; /* of WebSockets */
};

/* ---- the end ---- */

RC_ON_SHARD static void pipe_free(struct rc_shard *sh, struct rc_pipe *p)
{
    rc_stat_add(&sh->stats.pipes, -1);
    rc_list_remove(&p->link);
    rc_outq_clear(&p->out);
    if (p->http != NULL)
        rc_http_free(p->http);
    free(p);
}

/* Told once in a while: each request would be a line. */
RC_ON_SHARD static void warn(struct rc_shard *sh, uint32_t number, const char *why)
{
    const struct rc_peer *peer = rc_peers_by_number(sh, number);
    uint64_t now = sh->loop.now_ms;

    if (sh->pipes->warned_ms != 0 && now - sh->pipes->warned_ms < WARN_EVERY_MS)
        return;
    sh->pipes->warned_ms = now;
    rc_shard_log(sh, RC_LOG_WARN, "node %s at %s does not answer for its clients: %s",
                 peer != NULL ? peer->id : "that is gone", peer != NULL ? peer->address : "-",
                 why);
}

/* The node has not answered: the client is told what it is told of sessions that are not known. */
RC_ON_SHARD static void fail(struct rc_shard *sh, struct rc_pipe *p, enum rc_close why)
{
    struct rc_conn *c = p->client;
    struct rc_http *h = p->http;
    bool upgrade = p->upgrade;

    rc_stat_add(&sh->stats.pipes_failed, 1);
    warn(sh, p->peer, rc_close_text(why));
    p->http = NULL;
    pipe_free(sh, p);
    rc_front_take_back(sh, c, h);
    rc_route_unknown(sh, c, upgrade);
}

static void on_node_close(struct rc_conn *c, enum rc_close reason)
{
    struct rc_shard *sh = rc_shard_of(c);
    struct rc_pipe *p = c->user;

    rc_assert_on_shard(sh);
    rc_stat_add(&sh->stats.conns, -1);
    c->user = NULL;
    p->node = NULL;
    rc_outq_clear(&p->out);
    if (p->client == NULL)
        pipe_free(sh, p);
    else if (!p->answered && reason != RC_CLOSE_SHUTDOWN)
        fail(sh, p, reason);
    else
        rc_conn_finish(p->client, reason == RC_CLOSE_PEER ? RC_CLOSE_PIPE : reason);
}

static void on_client_close(struct rc_conn *c, enum rc_close reason)
{
    struct rc_shard *sh = rc_shard_of(c);
    struct rc_pipe *p = c->user;
    char peer[RC_ADDR_TEXT];

    rc_assert_on_shard(sh);
    rc_stat_add(&sh->stats.closed[reason], 1);
    rc_front_gone(sh, c);
    rc_shard_log(sh, RC_LOG_DEBUG, "conn=%u.%u peer=%s pipe closed reason=%s bytes=%llu",
                 sh->index, c->hdr.slot, rc_addr_text(&c->peer, peer), rc_close_text(reason),
                 (unsigned long long)p->bytes);
    c->user = NULL;
    p->client = NULL;
    if (p->node != NULL)
        rc_conn_close(p->node, reason);
    else
        pipe_free(sh, p);
}

/* ---- bytes ---- */

/* What the client said last has gone to the node: it is told that nothing follows. */
RC_ON_SHARD static void end_node_side(const struct rc_pipe *p)
{
    if (p->ended && p->node != NULL && rc_outq_empty(&p->out))
        (void)shutdown(p->node->fd, SHUT_WR);
}

RC_ON_SHARD static void flush_node(struct rc_pipe *p)
{
    rc_conn_flush(p->node);
    if (rc_outq_empty(&p->out))
        rc_timer_stop(&p->node->timer); /* it is connected */
}

static size_t on_client_data(struct rc_conn *c, uint8_t *data, size_t len)
{
    struct rc_pipe *p = c->user;

    rc_assert_on_shard(c->loop->owner);
    rc_conn_settle(c);
    if (p->node == NULL)
        return len;
    p->bytes += len;
    rc_outq_push(&p->out, rc_seg_new(data, len));
    flush_node(p);
    if (p->out.bytes > PIPE_MARK)
        rc_conn_pause(c);
    return len;
}

static size_t on_node_data(struct rc_conn *c, uint8_t *data, size_t len)
{
    struct rc_pipe *p = c->user;

    rc_assert_on_shard(c->loop->owner);
    rc_conn_settle(c);
    p->answered = true;
    p->bytes += len;
    rc_outq_push(&p->http->out, rc_seg_new(data, len));
    rc_conn_flush(p->client);
    if (p->http->out.bytes > PIPE_MARK)
        rc_conn_pause(c);
    return len;
}

static void on_client_eof(struct rc_conn *c)
{
    struct rc_pipe *p = c->user;

    rc_assert_on_shard(c->loop->owner);
    p->ended = true;
    if (p->node == NULL)
        rc_conn_close(c, RC_CLOSE_PEER);
    else
        end_node_side(p);
}

static void on_node_eof(struct rc_conn *c)
{
    rc_assert_on_shard(c->loop->owner);
    rc_conn_close(c, RC_CLOSE_PEER);
}

static void on_client_drain(struct rc_conn *c)
{
    const struct rc_pipe *p = c->user;

    rc_assert_on_shard(c->loop->owner);
    if (p->node != NULL)
        rc_conn_resume(p->node);
}

static void on_node_drain(struct rc_conn *c)
{
    const struct rc_pipe *p = c->user;

    rc_assert_on_shard(c->loop->owner);
    rc_timer_stop(&c->timer);
    end_node_side(p);
    rc_conn_resume(p->client);
}

static const struct rc_conn_ops client_ops = {.on_data = on_client_data,
                                              .on_eof = on_client_eof,
                                              .on_drain = on_client_drain,
                                              .on_close = on_client_close};
static const struct rc_conn_ops node_ops = {.on_data = on_node_data,
                                            .on_eof = on_node_eof,
                                            .on_drain = on_node_drain,
                                            .on_close = on_node_close};

/* ---- the beginning ---- */

/* "192.0.2.1:3001", "[2001:db8::1]:3001": addresses, since nobody can wait here for a name to be looked up. */
static bool parse_address(const char *text, struct sockaddr_storage *ss, socklen_t *len)
{
    const char *colon = strrchr(text, ':');
    const char *from = text[0] == '[' ? text + 1 : text;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)ss;
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)ss;
    char host[INET6_ADDRSTRLEN];
    size_t n;
    long port;

    *ss = (struct sockaddr_storage){.ss_family = text[0] == '[' ? AF_INET6 : AF_INET};
    n = colon != NULL && colon > from ? (size_t)(colon - from) - (text[0] == '[') : 0;
    port = colon != NULL ? strtol(colon + 1, NULL, 10) : 0;
    if (n == 0 || n >= sizeof(host) || port <= 0 || port > 65535)
        return false;
    memcpy(host, from, n);
    host[n] = '\0';
    *len = text[0] == '[' ? sizeof(*in6) : sizeof(*in);
    if (text[0] == '[') {
        in6->sin6_port = htons((uint16_t)port);
        return inet_pton(AF_INET6, host, &in6->sin6_addr) == 1;
    }
    in->sin_port = htons((uint16_t)port);
    return inet_pton(AF_INET, host, &in->sin_addr) == 1;
}

static void set_int(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

/* A socket that is connecting, or -1. */
static int begin_connect(const char *address, struct rc_addr *to)
{
    struct sockaddr_storage ss;
    socklen_t len;
    int fd;

    if (!parse_address(address, &ss, &len))
        return -1;
    rc_addr_from(&ss, to);
    fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, ALIVE_IDLE_S);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, ALIVE_INTERVAL_S);
    set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, ALIVE_COUNT);
    if (connect(fd, (const struct sockaddr *)&ss, len) == 0 || errno == EINPROGRESS)
        return fd;
    (void)close(fd);
    return -1;
}

/* Each takes a descriptor beside the client's own. */
static bool is_full(const struct rc_shard *sh)
{
    uint64_t most = sh->app->conf->cluster_max_pipes, pipes = 0, conns = 0;
    unsigned n = sh->peers != NULL ? sh->nshards : 1;

    for (unsigned i = 0; i < n; i++) {
        const struct rc_shard *of = sh->peers != NULL ? sh->peers[i] : sh;

        pipes += rc_stat_get(&of->stats.pipes);
        conns += rc_stat_get(&of->stats.conns);
    }
    return conns >= sh->loop.conns.max || (most != 0 && pipes >= most);
}

RC_ON_SHARD static void begin(struct rc_shard *sh, struct rc_pipe *p,
                              const struct rc_peer *peer, struct rc_str head)
{
    uint8_t proxy[RC_PROXY_WRITTEN];
    size_t n = rc_proxy_head_put(proxy, &p->client->peer, peer->token);

    rc_outq_push(&p->out, rc_seg_new(proxy, n));
    rc_outq_push(&p->out, rc_seg_new(head.p, head.len));
    rc_timer_start(&sh->pipes->q_connect, &p->node->timer, sh->loop.now_ms);
    rc_timer_start(&sh->pipes->q_idle, &p->client->timer, sh->loop.now_ms);
    flush_node(p);
}

void rc_pipe_open(struct rc_shard *sh, struct rc_conn *c, const struct rc_peer *peer,
                  bool upgrade, struct rc_str head)
{
    char from[RC_ADDR_TEXT];
    struct rc_conn *node = NULL;
    struct rc_pipe *p;
    struct rc_addr to;
    int fd;

    if (is_full(sh)) {
        rc_stat_add(&sh->stats.pipes_failed, 1);
        rc_http_page(sh, c, 503, "the server is full", true);
        return;
    }
    fd = begin_connect(peer->address, &to);
    if (fd >= 0)
        node = rc_conn_new(&sh->loop, fd, &to, &node_ops, NULL);
    if (node == NULL) {
        rc_stat_add(&sh->stats.pipes_failed, 1);
        warn(sh, peer->number,
             peer->address[0] != '\0' ? "no connection" : "no cluster.listen");
        rc_route_unknown(sh, c, upgrade);
        return;
    }
    p = rc_calloc(1, sizeof(*p));
    *p = (struct rc_pipe){
        .client = c, .node = node, .http = c->user, .peer = peer->number, .upgrade = upgrade};
    rc_list_append(&sh->pipes->all, &p->link);
    c->ops = &client_ops;
    c->user = node->user = p;
    node->out = &p->out;
    rc_stat_add(&sh->stats.conns, 1);
    rc_stat_add(&sh->stats.pipes, 1);
    rc_stat_add(&sh->stats.pipes_made, 1);
    rc_shard_log(sh, RC_LOG_DEBUG, "conn=%u.%u peer=%s passed on to node=%s", sh->index,
                 c->hdr.slot, rc_addr_text(&c->peer, from), peer->id);
    begin(sh, p, peer, head);
}

/* ---- others' ends ---- */

void rc_pipe_peer_gone(struct rc_shard *sh, uint32_t number)
{
    struct rc_list *next;

    for (struct rc_list *l = sh->pipes->all.next; l != &sh->pipes->all; l = next) {
        struct rc_pipe *p = RC_CONTAINER(l, struct rc_pipe, link);

        next = l->next;
        if (p->peer == number && p->node != NULL && !p->answered)
            rc_conn_close(p->node, RC_CLOSE_PEER);
    }
}

void rc_pipe_stop(struct rc_shard *sh, bool hard)
{
    struct rc_list *next;

    for (struct rc_list *l = sh->pipes->all.next; l != &sh->pipes->all; l = next) {
        struct rc_pipe *p = RC_CONTAINER(l, struct rc_pipe, link);

        next = l->next;
        if (p->node != NULL && (hard || p->upgrade))
            rc_conn_close(p->node, RC_CLOSE_SHUTDOWN);
    }
}

static uint32_t count_websockets(struct rc_pipes *pipes)
{
    uint32_t n = 0;

    for (struct rc_list *l = pipes->all.next; l != &pipes->all; l = l->next)
        n += RC_CONTAINER(l, struct rc_pipe, link)->upgrade;
    return n;
}

void rc_pipe_drain(struct rc_shard *sh, unsigned per_mille)
{
    struct rc_pipes *pipes = sh->pipes;
    struct rc_list *next;
    uint64_t until;

    if (pipes->drain_total == 0)
        pipes->drain_total = count_websockets(pipes);
    until = ((uint64_t)pipes->drain_total * per_mille + 999) / 1000;
    for (struct rc_list *l = pipes->all.next; l != &pipes->all && pipes->drain_told < until;
         l = next) {
        struct rc_pipe *p = RC_CONTAINER(l, struct rc_pipe, link);

        next = l->next;
        if (p->node == NULL || !p->upgrade)
            continue;
        pipes->drain_told++;
        rc_conn_close(p->node, RC_CLOSE_SHUTDOWN);
    }
}

/* ---- timeouts ---- */

static void on_connect_overdue(struct rc_timer *t, void *arg)
{
    const struct rc_shard *sh = arg;
    struct rc_conn *c = RC_CONTAINER(t, struct rc_conn, timer);
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);

    rc_assert_on_shard(sh);
    if (getpeername(c->fd, (struct sockaddr *)&ss, &len) != 0) /* else it is only slow */
        rc_conn_close(c, RC_CLOSE_PIPE_TIMEOUT);
}

/* A session's node ends what is too quiet. This is for what it does not see: a client that does not read. */
static void on_idle(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_conn *c = RC_CONTAINER(t, struct rc_conn, timer);
    struct rc_pipe *p = c->user;

    rc_assert_on_shard(sh);
    if (p->bytes != p->seen) {
        p->seen = p->bytes;
        rc_timer_start(&sh->pipes->q_idle, t, sh->loop.now_ms);
    } else if (!p->answered) {
        rc_conn_close(p->node, RC_CLOSE_IDLE);
    } else {
        rc_conn_close(c, RC_CLOSE_IDLE);
    }
}

/* ---- life ---- */

void rc_pipe_init(struct rc_shard *sh)
{
    const struct rc_conf *conf = sh->app->conf;
    uint64_t beat = (uint64_t)conf->socketio_ping_interval + conf->socketio_ping_timeout;

    sh->pipes = rc_calloc(1, sizeof(*sh->pipes));
    rc_list_init(&sh->pipes->all);
    rc_timerq_init(&sh->pipes->q_connect, conf->cluster_pipe_timeout, on_connect_overdue, sh);
    rc_timerq_init(&sh->pipes->q_idle, beat, on_idle, sh);
    rc_loop_add_timerq(&sh->loop, &sh->pipes->q_connect);
    rc_loop_add_timerq(&sh->loop, &sh->pipes->q_idle);
}

void rc_pipe_deinit(struct rc_shard *sh)
{
    RC_ASSERT(rc_list_empty(&sh->pipes->all));
    free(sh->pipes);
}

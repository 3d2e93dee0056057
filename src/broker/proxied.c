/* proxied.c - connections of a listener with proxy_protocol = yes, before they are HTTP's: their PROXY header
 * is taken off, and not a byte more, since what follows may be read by somebody else. */
#include "rc/base/mem.h"
#include "rc/broker/front_int.h"
#include "rc/broker/shard.h"
#include "rc/net/proxy_head.h"

#include <errno.h>
#include <stdlib.h>

/* Has the header so far. */
RC_ON_SHARD static void forget(struct rc_conn *c)
{
    struct rc_buf *head = c->user;

    rc_buf_deinit(head);
    free(head);
    c->user = NULL;
}

static void on_close(struct rc_conn *c, enum rc_close reason)
{
    struct rc_shard *sh = rc_shard_of(c);
    char peer[RC_ADDR_TEXT];

    rc_assert_on_shard(sh);
    rc_stat_add(&sh->stats.closed[reason], 1);
    rc_front_gone(sh, c);
    if (rc_front_may_log(sh))
        rc_shard_log(sh, RC_LOG_INFO, "conn=%u.%u peer=%s proxy closed reason=%s", sh->index,
                     c->hdr.slot, rc_addr_text(&c->peer, peer), rc_close_text(reason));
    forget(c);
}

/* What was looked at is not wanted again. */
RC_ON_SHARD static bool take(struct rc_conn *c, size_t n)
{
    uint8_t bytes[RC_PROXY_MAX];

    if (recv(c->fd, bytes, n, MSG_DONTWAIT) == (ssize_t)n)
        return true;
    rc_conn_close(c, RC_CLOSE_RESET);
    return false;
}

RC_ON_SHARD static void refuse(struct rc_shard *sh, struct rc_conn *c, const char *why)
{
    char peer[RC_ADDR_TEXT];

    if (rc_front_may_log(sh))
        rc_shard_log(sh, RC_LOG_WARN, "conn=%u.%u peer=%s PROXY header refused: %s", sh->index,
                     c->hdr.slot, rc_addr_text(&c->peer, peer), why);
    rc_conn_close(c, RC_CLOSE_PROXY);
}

/* In constant time: how long it takes must not tell how much of a guess was right. */
static bool has_token(const struct rc_shard *sh, const struct rc_proxy_head *p)
{
    const struct rc_cluster_port *cluster = sh->app->cluster;
    unsigned diff = 0;

    if (cluster == NULL || !p->has_token)
        return false;
    for (unsigned i = 0; i < RC_PROXY_TOKEN; i++)
        diff |= (unsigned)(p->token[i] ^ cluster->token[i]);
    return diff == 0;
}

/* It is another node's, which knows who the client is, and counts it. */
RC_ON_SHARD static void accept_pipe(struct rc_shard *sh, struct rc_conn *c,
                                    const struct rc_proxy_head *p)
{
    char peer[RC_ADDR_TEXT];

    if (!has_token(sh, p)) {
        if (rc_front_may_log(sh))
            rc_shard_log(sh, RC_LOG_WARN,
                         "conn=%u.%u peer=%s refused by cluster.listen: it does not show the "
                         "token of this node",
                         sh->index, c->hdr.slot, rc_addr_text(&c->peer, peer));
        rc_conn_close(c, RC_CLOSE_PIPE_TOKEN);
        return;
    }
    rc_stat_add(&sh->stats.piped, 1);
    if (p->told)
        c->peer = p->from;
    forget(c);
    rc_front_begin(sh, c, true);
}

RC_ON_SHARD static void accept_head(struct rc_shard *sh, struct rc_conn *c,
                                    const struct rc_proxy_head *p)
{
    char peer[RC_ADDR_TEXT], client[RC_ADDR_TEXT];

    rc_shard_log(sh, RC_LOG_DEBUG, "conn=%u.%u peer=%s PROXY version=%u client=%s", sh->index,
                 c->hdr.slot, rc_addr_text(&c->peer, peer), (unsigned)p->version,
                 p->told ? rc_addr_text(&p->from, client) : "itself");
    if (rc_listener_at(sh->app->listeners, c->listener)->pipe) {
        accept_pipe(sh, c, p);
        return;
    }
    if (p->told)
        c->peer = p->from;
    if (!rc_trust_has(&sh->app->trust, &c->peer) && !rc_front_admit(sh, c))
        return;
    forget(c);
    rc_front_begin(sh, c, false);
}

static void on_readable(struct rc_conn *c)
{
    struct rc_shard *sh = rc_shard_of(c);
    struct rc_buf *head = c->user;
    uint8_t bytes[RC_PROXY_MAX];
    struct rc_proxy_head p;
    size_t before = head->len;
    const char *why;
    ssize_t n;
    int rc;

    rc_assert_on_shard(sh);
    n = recv(c->fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            rc_conn_close(c, n == 0 ? RC_CLOSE_PEER : RC_CLOSE_RESET);
        return;
    }
    rc_buf_put(head, bytes, (size_t)n);
    if (head->failed) {
        rc_conn_close(c, RC_CLOSE_MEMORY);
        return;
    }
    rc = rc_proxy_head_parse(&p, head->data, head->len, &why);
    if (rc == RC_EAGAIN)
        (void)take(c, (size_t)n);
    else if (rc < 0)
        refuse(sh, c, why);
    else if (take(c, (size_t)rc - before))
        accept_head(sh, c, &p);
}

static const struct rc_conn_ops proxied_ops = {.on_readable = on_readable,
                                               .on_close = on_close};

static void on_overdue(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;

    rc_assert_on_shard(sh);
    rc_conn_close(RC_CONTAINER(t, struct rc_conn, timer), RC_CLOSE_HEAD_TIMEOUT);
}

struct rc_conn *rc_proxied_new(struct rc_shard *sh, const struct rc_msg_conn *conn)
{
    struct rc_buf *head = rc_calloc(1, sizeof(*head));
    struct rc_conn *c = rc_conn_new(&sh->loop, conn->fd, &conn->peer, &proxied_ops, head);

    if (c == NULL)
        free(head);
    else
        rc_timer_start(&sh->q_proxied, &c->timer, sh->loop.now_ms);
    return c;
}

bool rc_proxied_is(const struct rc_conn *c)
{
    return c->ops == &proxied_ops;
}

void rc_proxied_init(struct rc_shard *sh)
{
    rc_timerq_init(&sh->q_proxied, sh->app->conf->limits_head_timeout, on_overdue, sh);
    rc_loop_add_timerq(&sh->loop, &sh->q_proxied);
}

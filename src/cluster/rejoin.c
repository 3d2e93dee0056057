/* rejoin.c - Redis is back: what waits is kept until the nodes that were there before are there again.
 *
 * Redis gives a message to those who are subscribed at that moment. Who comes back first would tell it nobody. */
#include "cluster_int.h"
#include "rc/base/log.h"
#include "rc/base/timer.h"

enum { LOOK_MS = 50 };

/* No inquiry has that number: its slot is none. */
#define NUMBER UINT64_MAX

/* The namespace that every node has. */
static void look(struct rc_cluster *c)
{
    (void)rc_cluster_count_nodes(c, RC_STR("/"), NUMBER);
}

static void let_go(struct rc_cluster *c)
{
    c->rejoin_until = 0;
    (void)event_del(c->rejoin);
}

static unsigned before(const struct rc_cluster *c)
{
    return c->were[0] > c->were[1] ? c->were[0] : c->were[1];
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct rc_cluster *c = arg;
    uint64_t waiting = atomic_load_explicit(&c->waiting_n, memory_order_relaxed);

    (void)fd;
    (void)what;
    if (rc_clock_ms() < c->rejoin_until) {
        look(c);
        return;
    }
    let_go(c);
    rc_cluster_count(&c->count.unsure, waiting);
    rc_log(
        RC_LOG_WARN,
        "cluster: %u of %u nodes are back at Redis: the others miss %llu messages of this one",
        c->are, before(c), (unsigned long long)waiting);
}

void rc_rejoin_up(struct rc_cluster *c)
{
    const struct timeval t = {.tv_usec = (suseconds_t)LOOK_MS * 1000};

    if (c->conf->cluster_rejoin_wait != 0 && before(c) >= 2) {
        c->are = 0;
        c->rejoin_until = rc_clock_ms() + c->conf->cluster_rejoin_wait;
        (void)event_add(c->rejoin, &t);
    }
    look(c);
}

void rc_rejoin_down(struct rc_cluster *c)
{
    let_go(c);
}

void rc_rejoin_hurry(struct rc_cluster *c, uint64_t until_ms)
{
    if (c->rejoin_until > until_ms)
        c->rejoin_until = until_ms;
}

bool rc_rejoin_counted(struct rc_cluster *c, uint64_t number, long long count)
{
    if (number != NUMBER)
        return false;
    if (count <= 0)
        return true;
    c->are = (unsigned)count;
    if (c->rejoin_until == 0) {
        c->were[1] = c->were[0];
        c->were[0] = c->are;
    } else if (c->are >= before(c)) {
        let_go(c);
    }
    return true;
}

void rc_rejoin_tick(struct rc_cluster *c)
{
    if (c->rejoin_until == 0)
        look(c);
}

int rc_rejoin_init(struct rc_cluster *c)
{
    c->rejoin = event_new(c->base, -1, EV_PERSIST, on_look, c);
    return c->rejoin != NULL ? RC_OK : RC_ENOMEM;
}

void rc_rejoin_deinit(struct rc_cluster *c)
{
    if (c->rejoin != NULL)
        event_free(c->rejoin);
}

/* admin.c - /metrics, /healthz and /readyz. */
#include "rc/api/admin.h"

#include "rc/api/ctl.h"
#include "rc/base/log.h"
#include "rc/base/mem.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    HEAD_MAX = 8192, /* bytes of a request's head */
    TIMEOUT_S = 10,  /* of a connection that says nothing */
};

struct rc_admin {
    const struct rc_conf *conf;
    struct rc_admin_sources from;
    struct event_base *base;
    struct evhttp *http; /* NULL: no admin.listen */
    struct rc_ctl *ctl;  /* NULL: no admin.socket */
    struct event *stop;
    int stop_fd;
    evutil_socket_t *fd; /* [conf->admin_listen.n], of the listeners */
    _Atomic bool ending;
    pthread_t thread;
    bool started;
};

static void answer(struct evhttp_request *req, int code, const char *type,
                   struct evbuffer *body)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);

    (void)evhttp_add_header(headers, "Content-Type", type);
    (void)evhttp_add_header(headers, "Cache-Control", "no-store");
    evhttp_send_reply(req, code, NULL, body);
    evbuffer_free(body);
}

static struct evbuffer *new_body(void)
{
    struct evbuffer *body = evbuffer_new();

    RC_ASSERT(body != NULL);
    return body;
}

static void on_metrics(struct evhttp_request *req, void *arg)
{
    const struct rc_admin *a = arg;
    struct evbuffer *body = new_body();
    struct rc_buf text = RC_BUF_INIT;

    rc_metrics(&a->from, &text);
    (void)evbuffer_add(body, text.data, text.len);
    rc_buf_deinit(&text);
    answer(req, HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", body);
}

/* ---- health ---- */

static void say(struct evhttp_request *req, int code, const char *text)
{
    struct evbuffer *body = new_body();

    (void)evbuffer_add_printf(body, "%s\n", text);
    answer(req, code, "text/plain; charset=utf-8", body);
}

static void on_health(struct evhttp_request *req, void *arg)
{
    (void)arg;
    say(req, HTTP_OK, "ok");
}

static bool store_is_down(const struct rc_store_port *store)
{
    struct rc_store_stats stats;

    if (store == NULL)
        return false;
    store->stats(store->store, &stats);
    return stats.up == 0;
}

static bool cluster_is_down(const struct rc_cluster_port *cluster)
{
    struct rc_cluster_stats stats;

    if (cluster == NULL)
        return false;
    cluster->stats(cluster->cluster, &stats);
    return stats.up == 0;
}

static void on_ready(struct evhttp_request *req, void *arg)
{
    const struct rc_admin *a = arg;

    if (atomic_load_explicit(&a->ending, memory_order_relaxed))
        say(req, HTTP_SERVUNAVAIL, "the server is ending");
    else if (store_is_down(a->from.store))
        say(req, HTTP_SERVUNAVAIL, "the store is down");
    else if (rc_admission_is_over(a->from.admission))
        say(req, HTTP_SERVUNAVAIL, "limits.max_memory is reached");
    else if (!cluster_is_down(a->from.cluster))
        say(req, HTTP_OK, "ready");
    else if (a->from.cluster_required)
        say(req, HTTP_SERVUNAVAIL, "the cluster's Redis is away");
    else
        say(req, HTTP_OK, "ready, but degraded: the cluster's Redis is away");
}

static void on_other(struct evhttp_request *req, void *arg)
{
    (void)arg;
    say(req, HTTP_NOTFOUND, "not here: there are /metrics, /healthz and /readyz");
}

/* ---- life ---- */

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    struct rc_admin *a = arg;

    (void)fd;
    (void)what;
    (void)event_base_loopbreak(a->base);
}

static void *run(void *arg)
{
    struct rc_admin *a = arg;

    rc_thread_enter("admin", a);
    (void)event_base_dispatch(a->base);
    return NULL;
}

static bool make_loop(struct rc_admin *a)
{
    a->base = event_base_new();
    a->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (a->base == NULL || a->stop_fd < 0)
        return false;
    a->stop = event_new(a->base, a->stop_fd, EV_READ, on_stop, a);
    return a->stop != NULL && event_add(a->stop, NULL) == 0;
}

static bool make_server(struct rc_admin *a)
{
    a->http = evhttp_new(a->base);
    if (a->http == NULL)
        return false;
    evhttp_set_allowed_methods(a->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_max_headers_size(a->http, HEAD_MAX);
    evhttp_set_max_body_size(a->http, 0);
    evhttp_set_timeout(a->http, TIMEOUT_S);
    evhttp_set_gencb(a->http, on_other, a);
    return evhttp_set_cb(a->http, "/metrics", on_metrics, a) == 0 &&
           evhttp_set_cb(a->http, "/healthz", on_health, a) == 0 &&
           evhttp_set_cb(a->http, "/readyz", on_ready, a) == 0;
}

/* item: "host:port" or "[::1]:port"; conf has checked the form. */
static void listen_on(struct rc_admin *a, unsigned i, struct rc_conf_errors *e)
{
    const char *item = a->conf->admin_listen.item[i], *colon = strrchr(item, ':');
    size_t skip = item[0] == '[', len = (size_t)(colon - item) - 2 * skip;
    char host[256], why[128];
    struct evhttp_bound_socket *bound;
    int err;

    (void)snprintf(host, sizeof(host), "%.*s", (int)len, item + skip);
    if (host[0] == '\0' || strcmp(host, "*") == 0) /* as server.listen has it */
        (void)snprintf(host, sizeof(host), "0.0.0.0");
    errno = 0;
    bound =
        evhttp_bind_socket_with_handle(a->http, host, (uint16_t)strtoul(colon + 1, NULL, 10));
    err = errno;
    if (bound != NULL)
        a->fd[i] = evhttp_bound_socket_get_fd(bound);
    else
        rc_conf_fault(e, a->conf, "admin", "listen", "[admin] listen = %s: %s%s", item,
                      err != 0 ? strerror_r(err, why, sizeof(why)) : "there is no such address",
                      err == EADDRINUSE
                          ? "; another program has it: stop that, or choose another address"
                          : "");
}

struct rc_admin *rc_admin_new(const struct rc_conf *conf, const struct rc_admin_sources *from,
                              struct rc_conf_errors *e)
{
    struct rc_admin *a = rc_calloc(1, sizeof(*a));
    unsigned faults = e->n;

    a->conf = conf;
    a->from = *from;
    a->stop_fd = -1;
    a->fd = rc_calloc(conf->admin_listen.n + 1, sizeof(*a->fd));
    if (!make_loop(a) || (conf->admin_listen.n != 0 && !make_server(a)))
        rc_conf_error(e, NULL, 0, "[admin]: out of descriptors or memory");
    for (unsigned i = 0; e->n == faults && i < conf->admin_listen.n; i++)
        listen_on(a, i, e);
    if (e->n == faults && conf->admin_socket[0] != '\0')
        a->ctl = rc_ctl_new(conf, from, a->base, e);
    if (e->n == faults)
        return a;
    rc_admin_free(a);
    return NULL;
}

static void say_listening(evutil_socket_t fd)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    char text[RC_ADDR_TEXT];
    struct rc_addr addr;

    if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
        return;
    rc_addr_from(&ss, &addr);
    (void)fprintf(stderr, "metrics on http://%s/metrics\n", rc_addr_text(&addr, text));
}

int rc_admin_start(struct rc_admin *a)
{
    a->started = pthread_create(&a->thread, NULL, run, a) == 0;
    for (unsigned i = 0; a->started && i < a->conf->admin_listen.n; i++)
        say_listening(a->fd[i]);
    if (a->started && a->ctl != NULL)
        (void)fprintf(stderr, "console on %s\n", rc_ctl_path(a->ctl));
    return a->started ? RC_OK : RC_ESYS;
}

void rc_admin_drain(struct rc_admin *a)
{
    atomic_store_explicit(&a->ending, true, memory_order_relaxed); /* a flag, of no order */
}

void rc_admin_stop(struct rc_admin *a)
{
    static const uint64_t one = 1;

    if (!a->started)
        return;
    RC_ASSERT(write(a->stop_fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
    (void)pthread_join(a->thread, NULL);
    a->started = false;
}

void rc_admin_free(struct rc_admin *a)
{
    if (a == NULL)
        return;
    rc_admin_stop(a);
    rc_ctl_free(a->ctl);
    if (a->stop != NULL)
        event_free(a->stop);
    if (a->http != NULL)
        evhttp_free(a->http);
    if (a->base != NULL)
        event_base_free(a->base);
    if (a->stop_fd >= 0)
        (void)close(a->stop_fd);
    free(a->fd);
    free(a);
}

/* ctl.c - the console: clients on a Unix socket, their commands, and lists that shards hand in slice by slice. */
#include "rc/api/ctl.h"

#include "rc/base/list.h"
#include "rc/base/log.h"
#include "rc/base/mem.h"
#include "rc/broker/listener.h"
#include "rc/proto/json.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BACKLOG = 16,
    IDLE_S = 600,        /* a console where nobody types */
    STALL_S = 30,        /* a client that does not read */
    OUTPUT_MAX = 262144, /* bytes that wait for a client before the next slice is asked for */
    OUTPUT_LOW = 65536,
    RETRY_US = 10000, /* a ring was full */
};

/* A row of a sorted list. */
struct row {
    uint64_t key;
    char *text;
};

struct client {
    struct rc_list link;
    struct rc_ctl *ctl;
    struct bufferevent *bev;
    bool ending; /* when all is written */
    bool eof;
    /* A list under way: */
    struct rc_survey *q; /* NULL: none */
    bool asked;          /* it is the shard's */
    enum rc_ctl_object object;
    uint32_t limit, shown;
    uint64_t matched;
    struct row *row; /* sorted: a heap, the least first */
    uint32_t nrows, rows_cap;
    struct row *nsp; /* [nnsps]: those of the INI by their index, summed up */
    unsigned nnsps;
};

struct rc_ctl {
    const struct rc_conf *conf;
    struct rc_admin_sources from;
    struct event_base *base;
    struct rc_listener listener;
    char *address;
    struct event *accept, *answers, *retry;
    struct rc_survey_desk desk;
    struct rc_list clients;
    unsigned nclients;
};

static void next_command(struct client *c);

/* ---- output ---- */

static void put(struct client *c, const void *p, size_t n)
{
    (void)bufferevent_write(c->bev, p, n);
}

static void putz(struct client *c, const char *text)
{
    put(c, text, strlen(text));
}

static void put_document(struct client *c, struct rc_buf *b)
{
    rc_buf_putc(b, '\n');
    put(c, b->data, b->len);
    rc_buf_deinit(b);
}

static void refuse(struct client *c, const char *code, const char *message)
{
    struct rc_buf b = RC_BUF_INIT;

    rc_buf_printf(&b, "{\"ok\":false,\"error\":\"%s\",\"message\":", code);
    rc_json_string_encode(rc_str_of(message), &b);
    rc_buf_putc(&b, '}');
    put_document(c, &b);
}

/* ---- clients ---- */

static void drop_rows(struct client *c)
{
    for (uint32_t i = 0; i < c->nrows; i++)
        free(c->row[i].text);
    free(c->row);
    c->row = NULL;
    c->nrows = c->rows_cap = 0;
    for (unsigned i = 0; i < c->nnsps; i++)
        free(c->nsp[i].text);
    free(c->nsp);
    c->nsp = NULL;
    c->nnsps = 0;
}

static void free_client(struct client *c)
{
    drop_rows(c);
    if (c->q != NULL && c->asked)
        c->q->arg = NULL; /* freed when the shard hands it back */
    else
        rc_survey_free(c->q);
    bufferevent_free(c->bev);
    rc_list_remove(&c->link);
    c->ctl->nclients--;
    free(c);
}

/* When what was written has left. */
static void end_client(struct client *c)
{
    c->ending = true;
    (void)bufferevent_disable(c->bev, EV_READ);
    if (evbuffer_get_length(bufferevent_get_output(c->bev)) == 0)
        free_client(c);
}

/* ---- lists ---- */

static void swap(struct row *a, struct row *b)
{
    struct row t = *a;

    *a = *b;
    *b = t;
}

static void sift_down(struct row *row, uint32_t n)
{
    for (uint32_t i = 0;;) {
        uint32_t least = i;

        for (uint32_t child = 2 * i + 1; child < n && child <= 2 * i + 2; child++)
            if (row[child].key < row[least].key)
                least = child;
        if (least == i)
            return;
        swap(&row[i], &row[least]);
        i = least;
    }
}

/* Keeps the greatest. Takes over text. */
static void add_row(struct client *c, uint64_t key, char *text)
{
    if (c->nrows == c->limit) {
        if (c->nrows == 0 || key <= c->row[0].key) {
            free(text);
            return;
        }
        free(c->row[0].text);
        c->row[0] = (struct row){.key = key, .text = text};
        sift_down(c->row, c->nrows);
        return;
    }
    if (c->nrows == c->rows_cap) {
        c->rows_cap = c->rows_cap != 0 ? c->rows_cap * 2 : 64;
        c->row = rc_realloc(c->row, c->rows_cap * sizeof(*c->row));
    }
    c->row[c->nrows] = (struct row){.key = key, .text = text};
    for (uint32_t i = c->nrows++; i != 0 && c->row[(i - 1) / 2].key > c->row[i].key;
         i = (i - 1) / 2)
        swap(&c->row[i], &c->row[(i - 1) / 2]);
}

static bool is_sorted(const struct client *c)
{
    return c->object == RC_CTL_NAMESPACES || c->q->filter.key != RC_SURVEY_UNSORTED;
}

static void put_entry(struct client *c, const char *text, size_t len)
{
    putz(c, c->shown++ != 0 ? ",{" : "{");
    put(c, text, len);
    putz(c, "}");
}

/* Of a namespace of the INI each shard tells its part. */
static void add_nsp(struct client *c, const struct rc_survey_entry *e, const char *text)
{
    struct row *row;

    if (c->nnsps <= (unsigned)e->nsp) {
        c->nsp = rc_realloc(c->nsp, ((unsigned)e->nsp + 1) * sizeof(*c->nsp));
        while (c->nnsps <= (unsigned)e->nsp)
            c->nsp[c->nnsps++] = (struct row){.text = NULL};
    }
    row = &c->nsp[e->nsp];
    if (row->text == NULL)
        row->text = rc_strndup(text, e->len);
    else
        c->matched--;
    row->key += e->count;
}

static void take_entry(struct client *c, const struct rc_survey_entry *e)
{
    const char *text = (const char *)c->q->text.data + e->at;

    if (e->nsp >= 0)
        add_nsp(c, e, text);
    else if (is_sorted(c))
        add_row(c, e->key, rc_strndup(text, e->len));
    else
        put_entry(c, text, e->len);
}

static void put_rows(struct client *c)
{
    uint32_t n;

    for (unsigned i = 0; i < c->nnsps; i++) {
        if (c->nsp[i].text != NULL)
            add_row(c, c->nsp[i].key, c->nsp[i].text);
        c->nsp[i].text = NULL;
    }
    /* The least goes to the end, until the first is the greatest. */
    for (n = c->nrows; n > 1; n--) {
        swap(&c->row[0], &c->row[n - 1]);
        sift_down(c->row, n - 1);
    }
    for (uint32_t i = 0; i < c->nrows; i++) {
        struct row *row = &c->row[i];
        char tail[48] = "";

        if (c->object == RC_CTL_NAMESPACES)
            (void)snprintf(tail, sizeof(tail), ",\"sockets\":%llu",
                           (unsigned long long)row->key);
        putz(c, c->shown++ != 0 ? ",{" : "{");
        putz(c, row->text);
        putz(c, tail);
        putz(c, "}");
    }
}

static void finish_list(struct client *c)
{
    bool kicked = c->q->end_them;
    struct rc_buf b = RC_BUF_INIT;

    if (kicked) {
        rc_log(RC_LOG_INFO, "console: kicked %llu", (unsigned long long)c->matched);
        rc_buf_printf(&b, "{\"ok\":true,\"kicked\":%llu}", (unsigned long long)c->matched);
    } else {
        if (is_sorted(c))
            put_rows(c);
        rc_buf_printf(&b, "],\"shown\":%u,\"matched\":%llu}", c->shown,
                      (unsigned long long)c->matched);
    }
    rc_survey_free(c->q);
    c->q = NULL;
    drop_rows(c);
    put_document(c, &b);
    (void)bufferevent_enable(c->bev, EV_READ);
    next_command(c);
}

static void send_question(struct client *c)
{
    struct rc_survey *q = c->q;
    struct timeval soon = {.tv_usec = RETRY_US};
    uint32_t left = c->limit - c->shown;

    if (q->end_them)
        q->limit = 0;
    else if (!is_sorted(c))
        q->limit = left < RC_SURVEY_GIVE ? left : RC_SURVEY_GIVE;
    else if (c->object != RC_CTL_NAMESPACES && c->limit != 0 && c->nrows == c->limit)
        q->filter.least = c->row[0].key + 1;
    c->asked = true;
    if (!rc_survey_send(c->ctl->from.mesh, q))
        (void)event_add(c->ctl->retry, &soon);
}

/* The next slice, unless the client has to read first. */
static void go_on(struct client *c)
{
    if (evbuffer_get_length(bufferevent_get_output(c->bev)) <= OUTPUT_MAX)
        send_question(c);
}

static void on_slice(struct client *c)
{
    struct rc_survey *q = c->q;

    c->asked = false;
    c->matched += q->matched;
    for (uint32_t i = 0; i < q->n; i++)
        take_entry(c, &q->entry[i]);
    if (!q->more) {
        if (q->shard + 1 == c->ctl->from.nshards) {
            finish_list(c);
            return;
        }
        rc_survey_restart(q, q->shard + 1);
    }
    go_on(c);
}

static void on_answers(evutil_socket_t fd, short what, void *arg)
{
    struct rc_ctl *ctl = arg;
    struct rc_survey *q, *next;
    uint64_t times;

    (void)what;
    (void)!read(fd, &times, sizeof(times));
    for (q = rc_survey_take(&ctl->desk); q != NULL; q = next) {
        next = q->next;
        if (q->arg == NULL)
            rc_survey_free(q);
        else
            on_slice(q->arg);
    }
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    struct rc_ctl *ctl = arg;
    struct timeval soon = {.tv_usec = RETRY_US};

    (void)fd;
    (void)what;
    if (!rc_mesh_wake(ctl->from.mesh, rc_mesh_admin(ctl->from.nshards)))
        (void)event_add(ctl->retry, &soon);
}

static void start_list(struct client *c, const struct rc_ctl_command *cmd)
{
    static const enum rc_survey_what whats[] = {
        [RC_CTL_CLIENTS] = RC_SURVEY_CLIENTS,
        [RC_CTL_ROOMS] = RC_SURVEY_ROOMS,
        [RC_CTL_NAMESPACES] = RC_SURVEY_NAMESPACES,
    };
    static const char *const begin[] = {
        [RC_CTL_CLIENTS] = "{\"ok\":true,\"clients\":[",
        [RC_CTL_ROOMS] = "{\"ok\":true,\"rooms\":[",
        [RC_CTL_NAMESPACES] = "{\"ok\":true,\"namespaces\":[",
    };

    c->object = cmd->object;
    c->limit = cmd->limit;
    if (c->object == RC_CTL_NAMESPACES && c->limit > RC_CTL_SORTED_MAX)
        c->limit = RC_CTL_SORTED_MAX;
    c->shown = 0;
    c->matched = 0;
    c->q = rc_survey_new(whats[cmd->object], 0, &cmd->filter);
    c->q->desk = &c->ctl->desk;
    c->q->arg = c;
    c->q->end_them = cmd->verb == RC_CTL_KICK;
    if (!c->q->end_them)
        putz(c, begin[cmd->object]);
    (void)bufferevent_disable(c->bev, EV_READ);
    send_question(c);
}

/* ---- commands ---- */

struct config {
    struct rc_str key;
    struct rc_buf to;
    unsigned n;
};

static void put_config(const struct rc_conf *conf, void *arg)
{
    struct config *c = arg;

    c->n = rc_ctl_show_config(conf, c->key, &c->to);
}

/* A list may be empty; a key that is not there is a mistake of whoever asks for it. */
static void show_config(struct client *c, struct rc_str key)
{
    const struct rc_admin_sources *from = &c->ctl->from;
    struct config all = {.key = key};

    if (from->with_conf != NULL)
        from->with_conf(from->server, put_config, &all);
    else
        put_config(c->ctl->conf, &all);
    if (key.len == 0 || all.n != 0) {
        put_document(c, &all.to);
        return;
    }
    rc_buf_deinit(&all.to);
    refuse(c, "no_match", "no key fits: SHOW config lists them, by SECTION.KEY");
}

static void show(struct client *c, const struct rc_ctl_command *cmd)
{
    const struct rc_admin_sources *from = &c->ctl->from;
    struct rc_buf b = RC_BUF_INIT;

    switch (cmd->object) {
    case RC_CTL_CLIENTS:
    case RC_CTL_ROOMS:
    case RC_CTL_NAMESPACES: start_list(c, cmd); return;
    case RC_CTL_SHARDS: rc_ctl_show_shards(from, &b); break;
    case RC_CTL_RINGS: rc_ctl_show_rings(from, cmd->limit, &b); break;
    case RC_CTL_NODES: rc_ctl_show_nodes(from, cmd->limit, &b); break;
    case RC_CTL_CONFIG: show_config(c, cmd->key); return;
    case RC_CTL_STATS: rc_ctl_show_stats(from, &b); break;
    }
    put_document(c, &b);
}

static void set_level(struct client *c, const struct rc_ctl_command *cmd)
{
    struct rc_buf b = RC_BUF_INIT;
    int was = atomic_load_explicit(&rc_log_threshold, memory_order_relaxed);
    enum rc_loglevel before = was < 0 ? RC_LOG_ERROR : (enum rc_loglevel)was;
    enum rc_loglevel now = cmd->has_level ? cmd->level : before;

    if (cmd->has_level) {
        atomic_store_explicit(&rc_log_threshold, (int)now, memory_order_relaxed);
        rc_log(RC_LOG_INFO, "console: log level %s", rc_ctl_level(now));
    }
    rc_buf_printf(&b, "{\"ok\":true,\"level\":\"%s\",\"was\":\"%s\"}", rc_ctl_level(now),
                  rc_ctl_level(before));
    put_document(c, &b);
}

static void reload(struct client *c)
{
    const struct rc_admin_sources *from = &c->ctl->from;
    struct rc_buf b = RC_BUF_INIT, said = RC_BUF_INIT;
    bool ok;

    if (from->reload == NULL) {
        refuse(c, "no_reload",
               "this server cannot reload: restart it to change the configuration");
        return;
    }
    ok = from->reload(from->server, &said);
    while (said.len != 0 && said.data[said.len - 1] == '\n')
        said.len--;
    rc_buf_printf(&b, "{\"ok\":%s,%s\"message\":", ok ? "true" : "false",
                  ok ? "" : "\"error\":\"bad_configuration\",");
    rc_json_string_encode(rc_buf_str(&said), &b);
    rc_buf_putc(&b, '}');
    rc_buf_deinit(&said);
    put_document(c, &b);
}

static void help(struct client *c)
{
    struct rc_buf b = RC_BUF_INIT;

    rc_buf_putz(&b, "{\"ok\":true,\"help\":");
    rc_json_string_encode(rc_str_of(rc_ctl_help()), &b);
    rc_buf_putc(&b, '}');
    put_document(c, &b);
}

static void run(struct client *c, char *line, size_t len)
{
    struct rc_ctl_command cmd;
    struct rc_buf b = RC_BUF_INIT;
    char why[RC_CTL_WHY];

    if (len > RC_CTL_LINE) {
        refuse(c, "too_long", "a command has 4096 bytes at most");
        return;
    }
    if (strspn(line, " \t\r") == len && memchr(line, '\0', len) == NULL)
        return;
    if (!rc_ctl_parse(line, len, &cmd, why)) {
        refuse(c, "bad_command", why);
        return;
    }
    switch (cmd.verb) {
    case RC_CTL_SHOW: show(c, &cmd); return;
    case RC_CTL_KICK: start_list(c, &cmd); return;
    case RC_CTL_RELOAD: reload(c); return;
    case RC_CTL_LOG: set_level(c, &cmd); return;
    case RC_CTL_HELP: help(c); return;
    case RC_CTL_VERSION:
        rc_ctl_version(&c->ctl->from, &b);
        put_document(c, &b);
        return;
    }
}

/* All commands that have come, one after the other. May free the client. */
static void next_command(struct client *c)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);
    size_t len;
    char *line;

    while (c->q == NULL && !c->ending &&
           evbuffer_get_length(bufferevent_get_output(c->bev)) <= OUTPUT_MAX &&
           (line = evbuffer_readln(in, &len, EVBUFFER_EOL_LF)) != NULL) {
        run(c, line, len);
        free(line);
    }
    if (c->q != NULL || c->ending)
        return;
    if (evbuffer_get_length(in) > RC_CTL_LINE &&
        evbuffer_search_eol(in, NULL, NULL, EVBUFFER_EOL_LF).pos < 0) {
        refuse(c, "too_long", "a command has 4096 bytes at most");
        end_client(c);
    } else if (c->eof && evbuffer_search_eol(in, NULL, NULL, EVBUFFER_EOL_LF).pos < 0) {
        end_client(c);
    }
}

/* ---- connections ---- */

static void on_readable(struct bufferevent *bev, void *arg)
{
    (void)bev;
    next_command(arg);
}

static void on_written(struct bufferevent *bev, void *arg)
{
    struct client *c = arg;
    size_t left = evbuffer_get_length(bufferevent_get_output(bev));

    if (c->q != NULL && !c->asked)
        go_on(c);
    else if (c->ending && left == 0)
        free_client(c);
    else if (c->q == NULL)
        next_command(c);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct client *c = arg;

    (void)bev;
    if ((what & BEV_EVENT_EOF) != 0 && (what & BEV_EVENT_READING) != 0) {
        c->eof = true; /* its last commands are still answered */
        if (c->q == NULL)
            next_command(c);
        return;
    }
    free_client(c);
}

static void add_client(struct rc_ctl *ctl, int fd)
{
    struct client *c = rc_calloc(1, sizeof(*c));
    struct timeval idle = {.tv_sec = IDLE_S}, stall = {.tv_sec = STALL_S};

    c->ctl = ctl;
    c->bev = bufferevent_socket_new(ctl->base, fd, BEV_OPT_CLOSE_ON_FREE);
    RC_ASSERT(c->bev != NULL);
    rc_list_append(&ctl->clients, &c->link);
    ctl->nclients++;
    bufferevent_setcb(c->bev, on_readable, on_written, on_event, c);
    bufferevent_setwatermark(c->bev, EV_READ, 0, RC_CTL_LINE + 1);
    bufferevent_setwatermark(c->bev, EV_WRITE, OUTPUT_LOW, 0);
    (void)bufferevent_set_timeouts(c->bev, &idle, &stall);
    if (ctl->nclients > RC_CTL_CONSOLES) {
        refuse(c, "too_many", "16 consoles are open already: close one of them");
        bufferevent_setwatermark(c->bev, EV_WRITE, 0, 0);
        end_client(c);
        return;
    }
    (void)bufferevent_enable(c->bev, EV_READ);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    int conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)what;
    if (conn >= 0)
        add_client(arg, conn);
}

/* ---- life ---- */

static bool open_socket(struct rc_ctl *ctl, struct rc_conf_errors *e)
{
    struct rc_buf address = RC_BUF_INIT, expected = RC_BUF_INIT;
    struct rc_str text;
    size_t len;
    bool ok;

    rc_buf_printf(&address, "unix:%s", ctl->conf->admin_socket);
    rc_buf_putc(&address, '\0');
    ctl->address = (char *)rc_buf_take(&address, &len);
    text = rc_str_of(ctl->address);
    ok = rc_conf_listen(text, true, &expected);
    if (!ok)
        rc_conf_fault(e, ctl->conf, "admin", "socket",
                      "[admin] socket = %s: expected a path of at most 107 bytes",
                      ctl->conf->admin_socket);
    rc_buf_deinit(&expected);
    ctl->listener = (struct rc_listener){
        .name = "", .address = ctl->address, .is_unix = true, .mode = 0600, .fd = -1};
    ctl->listener.key = "[admin] socket";
    ctl->listener.at = *rc_conf_where(ctl->conf, "admin", "socket");
    return ok && rc_listener_open(&ctl->listener, BACKLOG, e) == RC_OK;
}

struct rc_ctl *rc_ctl_new(const struct rc_conf *conf, const struct rc_admin_sources *from,
                          struct event_base *base, struct rc_conf_errors *e)
{
    struct rc_ctl *ctl = rc_calloc(1, sizeof(*ctl));

    ctl->conf = conf;
    ctl->from = *from;
    ctl->base = base;
    ctl->listener.fd = -1;
    rc_list_init(&ctl->clients);
    ctl->desk.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (ctl->desk.fd < 0) {
        rc_conf_error(e, NULL, 0, "admin.socket: out of descriptors");
    } else if (open_socket(ctl, e)) {
        ctl->accept = event_new(base, ctl->listener.fd, EV_READ | EV_PERSIST, on_accept, ctl);
        ctl->answers = event_new(base, ctl->desk.fd, EV_READ | EV_PERSIST, on_answers, ctl);
        ctl->retry = event_new(base, -1, 0, on_retry, ctl);
        RC_ASSERT(ctl->accept != NULL && ctl->answers != NULL && ctl->retry != NULL);
        (void)event_add(ctl->accept, NULL);
        (void)event_add(ctl->answers, NULL);
        return ctl;
    }
    rc_ctl_free(ctl);
    return NULL;
}

const char *rc_ctl_path(const struct rc_ctl *c)
{
    return c->conf->admin_socket;
}

void rc_ctl_free(struct rc_ctl *ctl)
{
    struct rc_survey *q, *next;
    struct rc_list *link, *after;

    if (ctl == NULL)
        return;
    for (link = ctl->clients.next; link != &ctl->clients; link = after) {
        after = link->next;
        free_client(RC_CONTAINER(link, struct client, link));
    }
    for (q = rc_survey_take(&ctl->desk); q != NULL; q = next) {
        next = q->next;
        rc_survey_free(q);
    }
    if (ctl->accept != NULL)
        event_free(ctl->accept);
    if (ctl->answers != NULL)
        event_free(ctl->answers);
    if (ctl->retry != NULL)
        event_free(ctl->retry);
    if (ctl->desk.fd >= 0)
        (void)close(ctl->desk.fd);
    if (ctl->address != NULL)
        rc_listener_close(&ctl->listener);
    free(ctl->address);
    free(ctl);
}

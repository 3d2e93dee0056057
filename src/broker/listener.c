/* listener.c - the listening sockets: what the configuration says of them, and their life. */
#include "rc/broker/listener.h"

#include "rc/base/mem.h"
#include "rc/net/conn.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define UNIX    "unix:"
#define IN_USE  "in use: by a server that runs, or by another program"
#define UNKNOWN "%s: expected an address of this machine, or a name that it can resolve"

/* ---- what the configuration says ---- */

static void entry_fault(const struct rc_listener *l, const struct rc_conf_entry *entry,
                        const char *expected, struct rc_conf_errors *e)
{
    rc_conf_error(e, entry->file, entry->line, "[listen %s] %s = %s: expected %s", l->name,
                  entry->key, entry->value, expected);
}

/* Three or four octal digits, none of them for execution. */
static bool parse_mode(const char *text, unsigned *mode)
{
    size_t n = strlen(text);
    char *end;

    *mode = (unsigned)strtoul(text, &end, 8);
    return n >= 3 && n <= 4 && strspn(text, "01234567") == n && (*mode & ~0666u) == 0;
}

static void read_entry(struct rc_listener *l, const struct rc_conf_entry *entry,
                       struct rc_conf_errors *e)
{
    struct rc_str value = rc_str_of(entry->value);
    struct rc_buf expected = RC_BUF_INIT;
    bool ok = true;

    if (strcmp(entry->key, "address") == 0) {
        ok = rc_conf_listen(value, true, &expected);
        l->address = entry->value;
        l->at = (struct rc_conf_place){.file = entry->file, .line = entry->line};
        l->is_unix = rc_conf_is_unix(value);
    } else if (strcmp(entry->key, "proxy_protocol") == 0) {
        ok = rc_conf_bool(value, &l->proxy_protocol, &expected);
    } else if (strcmp(entry->key, "tls") == 0) {
        ok = rc_conf_bool(value, &l->tls, &expected);
    } else if (strcmp(entry->key, "mode") == 0) {
        ok = parse_mode(entry->value, &l->mode);
        rc_buf_putz(&expected, "the mode of a socket's file, in octal: 0600, 0660 or 0666");
    }
    rc_buf_putc(&expected, '\0');
    if (!ok)
        entry_fault(l, entry, (const char *)expected.data, e);
    rc_buf_deinit(&expected);
}

static void read_section(struct rc_listener *l, const struct rc_conf *conf,
                         const struct rc_conf_section *s, struct rc_conf_errors *e)
{
    l->name = s->name;
    for (unsigned i = 0; i < s->nentries; i++)
        read_entry(l, &s->entry[i], e);
    if (l->address == NULL)
        rc_conf_error(e, s->file, s->line,
                      "[listen %s]: expected address = host:port or unix:/path", s->name);
    for (unsigned i = 0; i < s->nentries; i++)
        if (l->address != NULL && !l->is_unix && strcmp(s->entry[i].key, "mode") == 0)
            entry_fault(l, &s->entry[i], "this key only with address = unix:/path", e);
    if (l->proxy_protocol && !l->is_unix && conf->server_trusted_proxies.n == 0)
        rc_conf_error(e, s->file, s->line,
                      "[listen %s] proxy_protocol = yes: expected networks in "
                      "server.trusted_proxies, since nobody else may send PROXY headers",
                      s->name);
}

static struct rc_listener *add(struct rc_listeners *all)
{
    struct rc_listener *l = &all->at[all->n++];

    *l = (struct rc_listener){.name = "", .mode = RC_LISTENER_MODE, .fd = -1};
    return l;
}

/* Port 0 is another port each time. */
static bool is_taken(const struct rc_listeners *all, const struct rc_listener *by)
{
    const char *colon = strrchr(by->address, ':');

    if (!by->is_unix && colon != NULL && strcmp(colon, ":0") == 0)
        return false;
    for (unsigned i = 0; &all->at[i] != by; i++)
        if (all->at[i].address != NULL && strcmp(all->at[i].address, by->address) == 0)
            return true;
    return false;
}

/* Where other nodes connect. */
static void add_pipe(struct rc_listeners *all, const struct rc_conf *conf,
                     struct rc_conf_errors *e)
{
    struct rc_listener *l = add(all);

    l->key = "[cluster] listen";
    l->address = conf->cluster_listen.item[0];
    l->at = *rc_conf_where(conf, "cluster", "listen");
    l->pipe = l->proxy_protocol = true;
    if (is_taken(all, l))
        rc_conf_error(e, l->at.file, l->at.line,
                      "%s = %s: expected one that no other listener has", l->key, l->address);
}

struct rc_listeners *rc_listeners_new(const struct rc_conf *conf, struct rc_conf_errors *e)
{
    struct rc_listeners *all = rc_calloc(1, sizeof(*all));
    unsigned faults = e->n;

    all->backlog = (int)conf->server_backlog;
    all->at = rc_calloc((size_t)conf->server_listen.n + conf->nsections + 1, sizeof(*all->at));
    for (unsigned i = 0; i < conf->server_listen.n; i++) {
        struct rc_listener *l = add(all);

        l->address = conf->server_listen.item[i];
        l->at = *rc_conf_where(conf, "server", "listen");
        l->is_unix = rc_conf_is_unix(rc_str_of(l->address));
    }
    for (unsigned i = 0; i < conf->nsections; i++) {
        const struct rc_conf_section *s = &conf->section[i];
        struct rc_listener *l;

        if (s->kind != RC_CONF_LISTENER)
            continue;
        l = add(all);
        read_section(l, conf, s, e);
        if (l->address != NULL && is_taken(all, l))
            rc_conf_error(e, l->at.file, l->at.line,
                          "[listen %s] address = %s: expected one that no other listener has",
                          s->name, l->address);
    }
    if (conf->cluster_listen.n != 0)
        add_pipe(all, conf, e);
    if (all->n > RC_LISTENERS_MAX)
        rc_conf_error(e, conf->file, 0, "expected at most %d listeners, there are %u",
                      (int)RC_LISTENERS_MAX, all->n);
    if (e->n == faults)
        return all;
    rc_listeners_free(all);
    return NULL;
}

void rc_listeners_free(struct rc_listeners *all)
{
    if (all == NULL)
        return;
    for (unsigned i = 0; i < all->n; i++)
        rc_listener_close(&all->at[i]);
    free(all->at);
    free(all);
}

const struct rc_listener *rc_listener_at(const struct rc_listeners *all, unsigned index)
{
    static const struct rc_listener plain = {.name = "", .address = "", .fd = -1};

    return all != NULL ? &all->at[index] : &plain;
}

/* ---- sockets ---- */

/* "listen on 127.0.0.1:3000: ", or "[listen front] address = 127.0.0.1:3000: "; where that stands comes first. */
RC_PRINTF(3, 4)
static int fault(const struct rc_listener *l, struct rc_conf_errors *e, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (l->key != NULL)
        rc_conf_error(e, l->at.file, l->at.line, "%s = %s: %s", l->key,
                      l->address + (l->is_unix ? strlen(UNIX) : 0), text);
    else if (l->name[0] != '\0')
        rc_conf_error(e, l->at.file, l->at.line, "[listen %s] address = %s: %s", l->name,
                      l->address, text);
    else
        rc_conf_error(e, l->at.file, l->at.line, "listen on %s: %s", l->address, text);
    return RC_ESYS;
}

static int open_socket(int family)
{
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Splits "host:port" or "[::1]:port"; conf has checked the form. */
static void split(const char *item, char *host, size_t len, const char **port)
{
    const char *colon = strrchr(item, ':');
    const char *from = item[0] == '[' ? item + 1 : item;
    const char *to = item[0] == '[' ? colon - 1 : colon;
    size_t n = (size_t)(to - from) < len - 1 ? (size_t)(to - from) : len - 1;

    memcpy(host, from, n);
    host[n] = '\0';
    *port = colon + 1;
}

static bool bind_tcp(struct rc_listener *l, const struct addrinfo *ai)
{
    int one = 1;

    l->fd = open_socket(ai->ai_family);
    if (l->fd < 0)
        return false;
    (void)setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    (void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one,
                     sizeof(one)); /* for what it accepts */
    if (ai->ai_family == AF_INET6)
        (void)setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    return bind(l->fd, ai->ai_addr, ai->ai_addrlen) == 0;
}

/* 0, or what gai_strerror() knows. */
static int find_address(const struct rc_listener *l, struct addrinfo **ai)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    char host[256];
    const char *port;

    split(l->address, host, sizeof(host), &port);
    return getaddrinfo(host[0] != '\0' && strcmp(host, "*") != 0 ? host : NULL, port, &hints,
                       ai);
}

static const char *advice(const struct rc_listener *l, int err)
{
    if (l->is_unix)
        return err == ENOENT ? "; create its folder, or correct the path"
               : err == EACCES || err == EPERM || err == EROFS
                   ? "; the user that roomcast runs as must be able to write to its folder"
                   : "";
    if (err == EACCES)
        return "; ports below 1024 need the capability CAP_NET_BIND_SERVICE";
    if (err == EADDRNOTAVAIL)
        return "; this machine has no such address: choose one of its own, or * for all";
    if (err != EADDRINUSE)
        return "";
    return l->name[0] != '\0' || l->key != NULL
               ? "; another program has it: stop that, or choose another address"
               : "; another program has it: stop that, or choose another address with "
                 "server.listen";
}

static int open_tcp(struct rc_listener *l, int backlog, struct rc_conf_errors *e)
{
    struct addrinfo *ai = NULL;
    char why[128];
    int rc = find_address(l, &ai);

    if (rc != 0)
        return fault(l, e, UNKNOWN, gai_strerror(rc));
    rc = bind_tcp(l, ai) && listen(l->fd, backlog) == 0 ? 0 : errno;
    freeaddrinfo(ai);
    if (rc == 0)
        return RC_OK;
    return fault(l, e, "%s%s", strerror_r(rc, why, sizeof(why)), advice(l, rc));
}

static void try_tcp(const struct rc_listener *l, struct rc_conf_errors *e,
                    struct rc_conf_errors *maybe)
{
    struct rc_listener mine = *l;
    struct addrinfo *ai = NULL;
    char why[128];
    int rc = find_address(l, &ai);

    if (rc != 0) {
        (void)fault(l, e, UNKNOWN, gai_strerror(rc));
        return;
    }
    rc = bind_tcp(&mine, ai) ? 0 : errno;
    if (mine.fd >= 0)
        (void)close(mine.fd);
    freeaddrinfo(ai);
    if (rc == EADDRINUSE)
        (void)fault(l, maybe, IN_USE);
    else if (rc == EACCES)
        (void)fault(l, maybe, "%s for this account%s", strerror_r(rc, why, sizeof(why)),
                    advice(l, rc));
    else if (rc != 0)
        (void)fault(l, e, "%s%s", strerror_r(rc, why, sizeof(why)), advice(l, rc));
}

/* Whoever listens takes the connection, or has no room for more; a file that was left behind refuses. */
static bool somebody_listens(const struct sockaddr_un *at)
{
    int fd = open_socket(AF_UNIX);
    bool refused;

    if (fd < 0)
        return true;
    refused = connect(fd, (const struct sockaddr *)at, sizeof(*at)) != 0 &&
              (errno == ECONNREFUSED || errno == ENOENT);
    (void)close(fd);
    return !refused;
}

/* There is something at that path. Removes it if a socket has left it behind. */
static int make_way(const struct rc_listener *l, const struct sockaddr_un *at,
                    struct rc_conf_errors *e)
{
    struct stat st;
    char why[128];

    if (lstat(at->sun_path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return fault(l, e, "there is another kind of file: remove it, or choose another path");
    if (somebody_listens(at))
        return fault(l, e, "another program listens there: stop that, or choose another path");
    if (unlink(at->sun_path) != 0 && errno != ENOENT)
        return fault(l, e, "the file that a socket has left behind cannot be removed: %s",
                     strerror_r(errno, why, sizeof(why)));
    return RC_OK;
}

static bool bind_unix(struct rc_listener *l, const struct sockaddr_un *at)
{
    struct stat st;

    if (bind(l->fd, (const struct sockaddr *)at, sizeof(*at)) != 0)
        return false;
    if (stat(at->sun_path, &st) != 0)
        return false;
    l->dev = st.st_dev;
    l->ino = st.st_ino;
    return true;
}

static int open_unix(struct rc_listener *l, int backlog, struct rc_conf_errors *e)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char why[128];
    bool bound;
    int err;

    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", l->address + strlen(UNIX));
    l->fd = open_socket(AF_UNIX);
    bound = l->fd >= 0 && bind_unix(l, &at);
    if (!bound && l->fd >= 0 && errno == EADDRINUSE) {
        if (make_way(l, &at, e) != RC_OK)
            return RC_ESYS;
        bound = bind_unix(l, &at);
    }
    /* Nobody can connect until it listens, so the mode holds from the start. */
    if (bound && chmod(at.sun_path, l->mode) == 0 && listen(l->fd, backlog) == 0)
        return RC_OK;
    err = errno;
    return fault(l, e, "%s%s", strerror_r(err, why, sizeof(why)), advice(l, err));
}

int rc_listener_open(struct rc_listener *l, int backlog, struct rc_conf_errors *e)
{
    int rc = l->is_unix ? open_unix(l, backlog, e) : open_tcp(l, backlog, e);

    if (rc != RC_OK)
        rc_listener_close(l);
    return rc;
}

/* As the kernel has it: whoever connected to find out would be a client there. */
static bool is_listening(const char *path)
{
    enum { LISTENS = 0x10000 };
    FILE *all = fopen("/proc/net/unix", "re");
    bool found = false;
    char line[512];

    while (all != NULL && !found && fgets(line, sizeof(line), all) != NULL) {
        char name[256] = "";
        unsigned flags = 0;

        /* NOLINTNEXTLINE(cert-err34-c): the kernel writes numbers */
        found = sscanf(line, "%*s %*s %*s %x %*s %*s %*s %255s", &flags, name) == 2 &&
                (flags & LISTENS) != 0 && strcmp(name, path) == 0;
    }
    if (all != NULL)
        (void)fclose(all);
    return found;
}

static void try_unix(const struct rc_listener *l, struct rc_conf_errors *e,
                     struct rc_conf_errors *maybe)
{
    const char *path = l->address + strlen(UNIX);
    char why[RC_TRY_WHY];
    struct stat st;

    if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
        (void)fault(l, e, "there is another kind of file: remove it, or choose another path");
        return;
    }
    if (is_listening(path)) {
        (void)fault(l, maybe, IN_USE);
        return;
    }
    switch (rc_conf_try_folder(path, why)) {
    case RC_TRY_GOOD: break;
    case RC_TRY_MAYBE: (void)fault(l, maybe, "%s", why); break;
    case RC_TRY_NOT: (void)fault(l, e, "%s", why); break;
    }
}

void rc_listener_try(const struct rc_listener *l, struct rc_conf_errors *e,
                     struct rc_conf_errors *maybe)
{
    if (l->is_unix)
        try_unix(l, e, maybe);
    else
        try_tcp(l, e, maybe);
}

void rc_listener_close(struct rc_listener *l)
{
    const char *path = l->is_unix ? l->address + strlen(UNIX) : NULL;
    struct stat st;

    if (l->fd < 0)
        return;
    if (path != NULL && l->ino != 0 && lstat(path, &st) == 0 && st.st_dev == l->dev &&
        st.st_ino == l->ino)
        (void)unlink(path);
    (void)close(l->fd);
    l->fd = -1;
    l->ino = 0;
}

const char *rc_listener_text(const struct rc_listener *l, char buf[RC_LISTENER_TEXT])
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    char text[RC_ADDR_TEXT];
    struct rc_addr addr;

    if (l->is_unix || getsockname(l->fd, (struct sockaddr *)&ss, &len) != 0) {
        (void)snprintf(buf, RC_LISTENER_TEXT, "%s", l->address);
    } else {
        rc_addr_from(&ss, &addr);
        (void)snprintf(buf, RC_LISTENER_TEXT, "%s", rc_addr_text(&addr, text));
    }
    return buf;
}

/* ---- for other nodes ---- */

/* where: the address that it listens at. A name may have others that it does not. */
static int lookup(const struct rc_conf *conf, const char *item, const char *where,
                  char buf[RC_LISTENER_TEXT], struct rc_conf_errors *e)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *ai = NULL;
    struct sockaddr_storage ss = {0};
    char host[256], text[RC_ADDR_TEXT];
    struct rc_addr addr;
    int family = where[0] == '[' ? AF_INET6 : AF_INET, rc;
    const char *own;

    split(item, host, sizeof(host), &own);
    hints.ai_family = family;
    rc = getaddrinfo(host, own, &hints, &ai);
    if (rc != 0) { /* an address of the other kind, which leads here somehow */
        hints.ai_family = AF_UNSPEC;
        rc = getaddrinfo(host, own, &hints, &ai);
    }
    if (rc != 0) {
        rc_conf_fault(e, conf, "cluster", "advertise", "[cluster] advertise = %s: %s", item,
                      gai_strerror(rc));
        return RC_ESYS;
    }
    memcpy(&ss, ai->ai_addr, ai->ai_addrlen);
    freeaddrinfo(ai);
    rc_addr_from(&ss, &addr);
    if (addr.port == 0)
        addr.port = (uint16_t)strtoul(strrchr(where, ':') + 1, NULL, 10);
    (void)snprintf(buf, RC_LISTENER_TEXT, "%s", rc_addr_text(&addr, text));
    return RC_OK;
}

int rc_listeners_advertise(struct rc_listeners *all, const struct rc_conf *conf,
                           char buf[RC_LISTENER_TEXT], struct rc_conf_errors *e)
{
    struct rc_listener *l = all->n != 0 ? &all->at[all->n - 1] : NULL;
    char where[RC_LISTENER_TEXT];

    buf[0] = '\0';
    if (l == NULL || !l->pipe)
        return RC_OK;
    if (rc_listener_open(l, all->backlog, e) != RC_OK)
        return RC_ESYS;
    (void)rc_listener_text(l, buf);
    if (conf->cluster_advertise.n == 0)
        return RC_OK;
    (void)snprintf(where, sizeof(where), "%s", buf);
    return lookup(conf, conf->cluster_advertise.item[0], where, buf, e);
}

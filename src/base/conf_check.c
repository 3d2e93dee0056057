/*
 * conf_check.c - the forms that names, paths and addresses must have, and how they must agree.
 */
#include "conf_int.h"

#include "rc/base/cidr.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <sys/un.h>

static bool only(struct rc_str s, const char *more)
{
    for (size_t i = 0; i < s.len; i++)
        if (!isalnum((unsigned char)s.p[i]) && (s.p[i] == '\0' || strchr(more, s.p[i]) == NULL))
            return false;
    return true;
}

static bool has(struct rc_str s, const char *part)
{
    return s.len != 0 && memmem(s.p, s.len, part, strlen(part)) != NULL;
}

static bool has_dot_segment(struct rc_str s)
{
    while (s.len != 0) {
        const char *slash = memchr(s.p + 1, '/', s.len - 1);
        size_t n = slash != NULL ? (size_t)(slash - s.p) : s.len;
        struct rc_str segment = rc_str_make(s.p, n);

        if (rc_str_eq(segment, RC_STR("/.")) || rc_str_eq(segment, RC_STR("/..")))
            return true;
        s = rc_str_skip(s, n);
    }
    return false;
}

bool rc_conf_check_path(struct rc_str s, struct rc_buf *expected)
{
    if (s.len != 0 && s.p[0] == '/' && (s.len == 1 || s.p[s.len - 1] != '/') &&
        only(s, "/-._~!$&'()*+,;=:@") && !has(s, "//") && !has_dot_segment(s))
        return true;
    rc_buf_putz(expected, "a path that starts with / and does not end with it, of letters, "
                          "digits and -._~!$&'()*+,;=:@");
    return false;
}

static bool is_host(struct rc_str host)
{
    unsigned char addr[sizeof(struct in6_addr)];
    char z[256];
    bool number = true;

    if (host.len == 0)
        return true;
    if (host.len >= sizeof(z))
        return false;
    memcpy(z, host.p, host.len);
    z[host.len] = '\0';
    if (z[0] == '[' && z[host.len - 1] == ']') {
        z[host.len - 1] = '\0';
        return inet_pton(AF_INET6, z + 1, addr) == 1;
    }
    for (size_t i = 0; i < host.len; i++)
        number = number && (isdigit((unsigned char)z[i]) || z[i] == '.');
    if (number)
        return inet_pton(AF_INET, z, addr) == 1;
    return only(host, "-._") && z[0] != '-' && z[0] != '.';
}

static bool is_port(struct rc_str s)
{
    unsigned port = 0;

    if (s.len == 0 || s.len > 5)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!isdigit((unsigned char)s.p[i]))
            return false;
        port = port * 10 + (unsigned)(s.p[i] - '0');
    }
    return port <= 65535;
}

bool rc_conf_is_unix(struct rc_str value)
{
    return rc_str_starts(value, RC_STR("unix:"));
}

/* What a struct sockaddr_un holds, with its NUL. */
static bool is_socket_path(struct rc_str s)
{
    return s.len != 0 && s.len < sizeof(((struct sockaddr_un *)0)->sun_path) &&
           memchr(s.p, '\0', s.len) == NULL;
}

bool rc_conf_listen(struct rc_str s, bool with_unix, struct rc_buf *expected)
{
    const char *colon = s.len != 0 ? memrchr(s.p, ':', s.len) : NULL;
    size_t n = colon != NULL ? (size_t)(colon - s.p) : 0;

    if (with_unix && rc_conf_is_unix(s)) {
        if (is_socket_path(rc_str_skip(s, strlen("unix:"))))
            return true;
        rc_buf_putz(expected, "unix: and a path of at most 107 bytes, such as "
                              "unix:/run/roomcast/http.sock");
        return false;
    }
    if (colon != NULL && is_host(rc_str_make(s.p, n)) && is_port(rc_str_skip(s, n + 1)))
        return true;
    rc_buf_putz(expected, "addresses such as 0.0.0.0:3000, [::1]:3000, localhost:3000 or :3000 "
                          "(port 0 to 65535)");
    if (with_unix)
        rc_buf_putz(expected, ", or unix:/run/roomcast/http.sock");
    return false;
}

bool rc_conf_check_network(struct rc_str s, struct rc_buf *expected)
{
    struct rc_cidr net;

    if (rc_cidr_parse(s, &net))
        return true;
    rc_buf_putz(expected,
                "networks such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.1, without bits "
                "behind the prefix");
    return false;
}

bool rc_conf_check_origin(struct rc_str s, struct rc_buf *expected)
{
    const char *sep = s.len != 0 ? memmem(s.p, s.len, "://", 3) : NULL;
    size_t n = sep != NULL ? (size_t)(sep - s.p) : 0;
    struct rc_str scheme = rc_str_make(s.p, n), rest = rc_str_skip(s, n + 3);

    if (rc_str_eq(s, RC_STR("*")) || rc_str_eq(s, RC_STR("null")))
        return true;
    if (sep != NULL && n != 0 && only(scheme, "+-.") && rest.len != 0 && only(rest, "-._:[]*"))
        return true;
    rc_buf_putz(expected, "* or origins such as https://example.org, http://localhost:8080 or "
                          "https://*.example.org, without a path");
    return false;
}

bool rc_conf_check_token(struct rc_str s, struct rc_buf *expected)
{
    if (s.len != 0 && only(s, "!#$%&'*+-.^_`|~"))
        return true;
    rc_buf_putz(expected, "names of letters, digits and !#$%&'*+-.^_`|~");
    return false;
}

bool rc_conf_check_event(struct rc_str s, struct rc_buf *expected)
{
    static const char *const reserved[] = {
        "connect",       "connect_error", "disconnect",
        "disconnecting", "newListener",   "removeListener",
    };

    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        if (!rc_str_eq(s, rc_str_of(reserved[i])))
            continue;
        rc_buf_printf(expected, "an event that may be sent: Socket.IO reserves \"%.*s\"",
                      RC_STR_ARG(s));
        return false;
    }
    return true;
}

bool rc_conf_check_namespace(struct rc_str s, struct rc_buf *expected)
{
    bool ok = s.len != 0 && s.p[0] == '/';

    for (size_t i = 0; i < s.len; i++)
        ok = ok && strchr(",? \t", s.p[i]) == NULL;
    if (!ok)
        rc_buf_putz(expected, "a namespace that starts with / and has no comma, ? or blank; "
                              "in patterns only * is special");
    return ok;
}

/* Is path the Socket.IO path or below it, or anything that begins with it? */
static bool shadowed(const struct rc_conf *conf, const char *path)
{
    size_t n = strlen(conf->socketio_path);

    return n != 0 && strncmp(path, conf->socketio_path, n) == 0 &&
           (path[n] == '\0' || path[n] == '/' || !conf->socketio_add_trailing_slash);
}

static void check_section(const struct rc_conf *conf, const struct rc_conf_section *s,
                          struct rc_conf_errors *e)
{
    bool endpoint = s->kind == RC_CONF_ENDPOINT;
    struct rc_buf header = RC_BUF_INIT;

    rc_conf_header_put(s, &header);
    if (endpoint && shadowed(conf, s->nsp))
        rc_conf_error(e, s->file, s->line,
                      "%.*s: expected a path outside of socketio.path (%s)",
                      RC_STR_ARG(rc_buf_str(&header)), conf->socketio_path);
    if (!endpoint && strlen(s->nsp) > conf->limits_max_namespace_length)
        rc_conf_error(
            e, s->file, s->line,
            "%.*s: expected a namespace of at most limits.max_namespace_length (%llu)",
            RC_STR_ARG(rc_buf_str(&header)),
            (unsigned long long)conf->limits_max_namespace_length);
    if (s->kind == RC_CONF_ROOM && strlen(s->name) > conf->limits_max_room_length)
        rc_conf_error(e, s->file, s->line,
                      "%.*s: expected a pattern of at most limits.max_room_length (%llu)",
                      RC_STR_ARG(rc_buf_str(&header)),
                      (unsigned long long)conf->limits_max_room_length);
    if (s->kind == RC_CONF_EVENT && strlen(s->name) > conf->limits_max_event_length)
        rc_conf_error(e, s->file, s->line,
                      "%.*s: expected an event of at most limits.max_event_length (%llu)",
                      RC_STR_ARG(rc_buf_str(&header)),
                      (unsigned long long)conf->limits_max_event_length);
    rc_buf_deinit(&header);
}

void rc_conf_check_all(const struct rc_conf *conf, struct rc_conf_errors *e)
{
    const struct rc_conf_place *set_at = conf->set_at;

    for (unsigned i = 0; i < rc_conf_nkeys; i++) {
        if (rc_conf_keys[i].offset == offsetof(struct rc_conf, server_listen) &&
            conf->server_listen.n == 0 && !rc_conf_has_listener(conf))
            rc_conf_error(
                e, set_at[i].file, set_at[i].line,
                "[server] listen = : expected an address, or a section [listen NAME]");
        if (rc_conf_keys[i].offset == offsetof(struct rc_conf, server_health_path) &&
            shadowed(conf, conf->server_health_path))
            rc_conf_error(
                e, set_at[i].file, set_at[i].line,
                "[server] health_path = %s: expected a path outside of socketio.path (%s)",
                conf->server_health_path, conf->socketio_path);
        if (rc_conf_keys[i].offset == offsetof(struct rc_conf, socketio_parser) &&
            conf->socketio_parser == RC_PARSER_MSGPACK && conf->socketio_allow_eio3)
            rc_conf_error(e, set_at[i].file, set_at[i].line,
                          "[socketio] parser = msgpack: expected auto or json with "
                          "socketio.allow_eio3, whose clients speak JSON");
    }
    for (unsigned i = 0; i < conf->nsections; i++)
        check_section(conf, &conf->section[i], e);
}

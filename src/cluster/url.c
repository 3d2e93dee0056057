/* url.c - the URL of Redis, taken apart. */
#include "rc/cluster/url.h"

#include "rc/base/mem.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum { PORT = 6379, PORT_MAX = 65535, DB_MAX = 65535, NAME_MAX_LEN = 1024 };

static const char FORM[] = "redis://[user[:password]@]host[:port][/db] or unix:/path[?db=N]";

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Without its %XX; NULL: one of them is wrong, or it is too long. */
static char *decode(struct rc_str s)
{
    char *text = s.len <= NAME_MAX_LEN ? rc_malloc(s.len + 1) : NULL, *to = text;

    for (size_t i = 0; text != NULL && i < s.len; i++) {
        int high, low;

        if (s.p[i] != '%') {
            *to++ = s.p[i];
            continue;
        }
        high = i + 2 < s.len ? hex(s.p[i + 1]) : -1;
        low = high >= 0 ? hex(s.p[i + 2]) : -1;
        if (low < 0 || (high == 0 && low == 0)) {
            free(text);
            return NULL;
        }
        *to++ = (char)(high * 16 + low);
        i += 2;
    }
    if (text != NULL)
        *to = '\0';
    return text;
}

static bool read_number(struct rc_str s, uint32_t max, uint32_t *n)
{
    *n = 0;
    if (s.len == 0 || s.len > 9)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!isdigit((unsigned char)s.p[i]))
            return false;
        *n = *n * 10 + (uint32_t)(s.p[i] - '0');
    }
    return *n <= max;
}

/* Cuts *rest at the first c: what is before it; all of it, and *rest is empty, when there is none. */
static struct rc_str until(struct rc_str *rest, char c, bool *found)
{
    const char *at = rest->len != 0 ? memchr(rest->p, c, rest->len) : NULL;
    struct rc_str head = *rest;

    *found = at != NULL;
    if (at == NULL) {
        *rest = RC_STR_NONE;
        return head;
    }
    head.len = (size_t)(at - head.p);
    *rest = rc_str_skip(*rest, head.len + 1);
    return head;
}

static bool read_login(struct rc_str login, struct rc_redis_url *url)
{
    bool found;
    struct rc_str user = until(&login, ':', &found);

    url->user = decode(user);
    url->password = decode(login);
    return url->user != NULL && url->password != NULL;
}

static bool read_host(struct rc_str s, struct rc_redis_url *url)
{
    struct rc_str host, port;
    bool has_port;
    uint32_t n = PORT;

    if (s.len != 0 && s.p[0] == '[') { /* an address of IPv6 */
        s = rc_str_skip(s, 1);
        host = until(&s, ']', &has_port);
        if (!has_port || (s.len != 0 && s.p[0] != ':'))
            return false;
        has_port = s.len != 0;
        port = rc_str_skip(s, 1);
    } else {
        host = until(&s, ':', &has_port);
        port = s;
    }
    if (host.len == 0 || host.len > 255 || (has_port && !read_number(port, PORT_MAX, &n)) ||
        n == 0)
        return false;
    for (size_t i = 0; i < host.len; i++)
        if (!isalnum((unsigned char)host.p[i]) && strchr("-._:", host.p[i]) == NULL)
            return false;
    url->host = rc_strndup(host.p, host.len);
    url->port = (uint16_t)n;
    (void)snprintf(url->shown, sizeof(url->shown), "redis://%.200s:%u", url->host, n);
    return true;
}

static bool read_tcp(struct rc_str rest, struct rc_redis_url *url)
{
    bool has_db, has_login;
    struct rc_str before = until(&rest, '/', &has_db), login;
    const char *at = before.len != 0 ? memrchr(before.p, '@', before.len) : NULL;

    has_login = at != NULL;
    login = has_login ? rc_str_make(before.p, (size_t)(at - before.p)) : RC_STR_NONE;
    if (has_login)
        before = rc_str_skip(before, login.len + 1);
    if (has_db && rest.len != 0 && !read_number(rest, DB_MAX, &url->db))
        return false;
    return read_login(login, url) && read_host(before, url);
}

static bool read_unix(struct rc_str rest, struct rc_redis_url *url)
{
    bool has_db;
    struct rc_str path = until(&rest, '?', &has_db);

    if (rc_str_starts(path, RC_STR("//")))
        path = rc_str_skip(path, 2);
    if (path.len == 0 || path.p[0] != '/' ||
        path.len >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return false;
    if (has_db && (!rc_str_starts(rest, RC_STR("db=")) ||
                   !read_number(rc_str_skip(rest, 3), DB_MAX, &url->db)))
        return false;
    url->path = rc_strndup(path.p, path.len);
    url->user = rc_strndup("", 0);
    url->password = rc_strndup("", 0);
    (void)snprintf(url->shown, sizeof(url->shown), "unix:%s", url->path);
    return true;
}

int rc_redis_url_parse(struct rc_str text, struct rc_redis_url *url, const char **expected)
{
    bool ok = false;

    *url = (struct rc_redis_url){.host = NULL};
    *expected = FORM;
    if (rc_str_starts(text, RC_STR("redis://")))
        ok = read_tcp(rc_str_skip(text, sizeof("redis://") - 1), url);
    else if (rc_str_starts(text, RC_STR("unix:")))
        ok = read_unix(rc_str_skip(text, sizeof("unix:") - 1), url);
    else if (rc_str_starts(text, RC_STR("rediss://")))
        *expected =
            "redis:// or unix: (this version speaks no TLS to Redis: use a Unix socket, "
            "a private network, or a tunnel such as stunnel)";
    if (ok)
        return RC_OK;
    rc_redis_url_deinit(url);
    return RC_EINVAL;
}

void rc_redis_url_deinit(struct rc_redis_url *url)
{
    if (url->password != NULL)
        OPENSSL_cleanse(url->password, strlen(url->password));
    free(url->password);
    free(url->user);
    free(url->host);
    free(url->path);
    *url = (struct rc_redis_url){.host = NULL};
}

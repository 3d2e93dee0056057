/* Listeners (src/broker/listener.c): what the configuration says of them, what it cannot say, and the
 * files of Unix sockets. */
#include "rc/broker/listener.h"
#include "rc/net/conn.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct fixture {
    struct rc_conf conf;
    struct rc_conf_errors e;
    struct rc_listeners *all;
};

static void set_up(struct fixture *f, const char *text)
{
    *f = (struct fixture){.all = NULL};
    if (rc_conf_load_text(&f->conf, "/no-such/t.ini", rc_str_of(text), NULL, 0, &f->e) != RC_OK)
        cr_assert_fail("%s%.*s", text, RC_STR_ARG(rc_buf_str(&f->e.text)));
    f->all = rc_listeners_new(&f->conf, &f->e);
    cr_assert_eq(f->all == NULL, f->e.n != 0);
}

static void tear_down(struct fixture *f)
{
    rc_listeners_free(f->all);
    rc_conf_free(&f->conf);
    rc_buf_deinit(&f->e.text);
}

static void check_text(struct fixture *f, const char *expected)
{
    rc_buf_putc(&f->e.text, '\0');
    cr_assert_str_eq((const char *)f->e.text.data, expected);
    rc_buf_deinit(&f->e.text);
    f->e.n = 0;
}

static void check_fault(const char *text, const char *expected)
{
    struct fixture f;

    set_up(&f, text);
    check_text(&f, expected);
    tear_down(&f);
}

Test(listener, what_the_configuration_says)
{
    struct fixture f;

    set_up(&f, "[listen front]\naddress = unix:x.sock\nproxy_protocol = yes\nmode = 0600\n"
               "[server]\nlisten = unix:/run/y, 127.0.0.1:0\nbacklog = 7\n"
               "[listen b]\naddress = [::1]:80\n");
    cr_assert_eq(f.all->n, 4u);
    cr_assert_eq(f.all->backlog, 7);
    cr_assert_str_eq(f.all->at[0].address, "unix:/run/y");
    cr_assert(f.all->at[0].is_unix);
    cr_assert_eq(f.all->at[0].mode, 0660u);
    cr_assert_str_eq(f.all->at[1].address, "127.0.0.1:0");
    cr_assert_not(f.all->at[1].is_unix);
    cr_assert_str_eq(f.all->at[1].name, "");
    cr_assert_str_eq(f.all->at[2].name, "front");
    cr_assert_str_eq(f.all->at[2].address, "unix:/no-such/x.sock");
    cr_assert(f.all->at[2].proxy_protocol);
    cr_assert_eq(f.all->at[2].mode, 0600u);
    cr_assert_not(f.all->at[3].proxy_protocol);
    for (unsigned i = 0; i < f.all->n; i++) {
        cr_assert_eq(f.all->at[i].fd, -1);
        cr_assert_eq(rc_listener_at(f.all, i), &f.all->at[i]);
    }
    tear_down(&f);
    cr_assert_not(rc_listener_at(NULL, 3)->proxy_protocol);
}

#define MODE "expected the mode of a socket's file, in octal: 0600, 0660 or 0666\n"

Test(listener, faults)
{
    check_fault("[listen a]\n",
                "/no-such/t.ini:1: [listen a]: expected address = host:port or unix:/path\n");
    check_fault("[listen a]\naddress = 80\n",
                "/no-such/t.ini:2: [listen a] address = 80: expected addresses such as "
                "0.0.0.0:3000, [::1]:3000, localhost:3000 or :3000 (port 0 to 65535), or "
                "unix:/run/roomcast/http.sock\n");
    check_fault("[listen a]\naddress = unix:/x\nproxy_protocol = 2\n",
                "/no-such/t.ini:3: [listen a] proxy_protocol = 2: expected yes or no\n");
    check_fault("[listen a]\naddress = unix:/x\nmode = 8\n",
                "/no-such/t.ini:3: [listen a] mode = 8: " MODE);
    check_fault("[listen a]\naddress = unix:/x\nmode = 1666\n",
                "/no-such/t.ini:3: [listen a] mode = 1666: " MODE);
    check_fault("[listen a]\naddress = unix:/x\nmode = 777\n",
                "/no-such/t.ini:3: [listen a] mode = 777: " MODE);
    check_fault(
        "[listen a]\naddress = :80\nmode = 0600\n",
        "/no-such/t.ini:3: [listen a] mode = 0600: expected this key only with address = "
        "unix:/path\n");
    check_fault(
        "[server]\nlisten = a:1\n[listen a]\naddress = a:1\n",
        "/no-such/t.ini:4: [listen a] address = a:1: expected one that no other listener "
        "has\n");
    check_fault("[listen a]\naddress = unix:/x:0\n[listen b]\naddress = unix:/x:0\n",
                "/no-such/t.ini:4: [listen b] address = unix:/x:0: expected one that no other "
                "listener has\n");
    check_fault("[server]\nlisten = a:0\n[listen a]\naddress = a:0\n", "");
}

/* ---- sockets ---- */

struct bed {
    struct fixture f;
    char dir[32], path[64], ini[256];
};

static void lay(struct bed *b, const char *more)
{
    (void)snprintf(b->dir, sizeof(b->dir), "/tmp/test_listener.XXXXXX");
    cr_assert_not_null(mkdtemp(b->dir));
    (void)snprintf(b->path, sizeof(b->path), "%s/s", b->dir);
    (void)snprintf(b->ini, sizeof(b->ini), "[listen a]\naddress = unix:%s\n%s", b->path, more);
    set_up(&b->f, b->ini);
}

static void clear(struct bed *b)
{
    tear_down(&b->f);
    (void)unlink(b->path);
    cr_assert_eq(rmdir(b->dir), 0);
}

static int connect_to(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

Test(listener, a_unix_socket)
{
    char text[RC_LISTENER_TEXT], expected[80];
    struct rc_listener *l;
    struct stat st;
    struct bed b;
    int fd;

    lay(&b, "mode = 0640\n");
    l = &b.f.all->at[0];
    cr_assert_eq(rc_listener_open(l, 8, &b.f.e), RC_OK);
    cr_assert_eq(stat(b.path, &st), 0);
    cr_assert(S_ISSOCK(st.st_mode));
    cr_assert_eq(st.st_mode & 0777u, 0640u);
    (void)snprintf(expected, sizeof(expected), "unix:%s", b.path);
    cr_assert_str_eq(rc_listener_text(l, text), expected);
    fd = connect_to(b.path);
    cr_assert_geq(fd, 0);
    (void)close(fd);
    rc_listener_close(l);
    cr_assert_not(exists(b.path));
    cr_assert_eq(l->fd, -1);
    rc_listener_close(l);
    clear(&b);
}

Test(listener, what_a_socket_has_left_behind_is_removed)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct bed b;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    lay(&b, "");
    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", b.path);
    cr_assert_eq(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
    cr_assert_eq(listen(fd, 1), 0);
    (void)close(fd); /* as if killed */
    cr_assert(exists(b.path));
    cr_assert_eq(rc_listener_open(&b.f.all->at[0], 8, &b.f.e), RC_OK);
    fd = connect_to(b.path);
    cr_assert_geq(fd, 0);
    (void)close(fd);
    clear(&b);
}

Test(listener, a_socket_that_somebody_has_stays)
{
    struct rc_listener second;
    char expected[200];
    struct bed b;
    int fd;

    lay(&b, "");
    cr_assert_eq(rc_listener_open(&b.f.all->at[0], 8, &b.f.e), RC_OK);
    second = b.f.all->at[0];
    second.fd = -1;
    second.ino = 0;
    cr_assert_neq(rc_listener_open(&second, 8, &b.f.e), RC_OK);
    cr_assert_eq(second.fd, -1);
    (void)snprintf(expected, sizeof(expected),
                   "/no-such/t.ini:2: [listen a] address = unix:%s: another program listens "
                   "there: stop that, or "
                   "choose another path\n",
                   b.path);
    check_text(&b.f, expected);
    fd = connect_to(b.path);
    cr_assert_geq(fd, 0);
    (void)close(fd);
    clear(&b);
}

Test(listener, a_file_that_is_no_socket_stays)
{
    char expected[200];
    struct bed b;
    FILE *file;

    lay(&b, "");
    file = fopen(b.path, "we");
    cr_assert_not_null(file);
    (void)fclose(file);
    cr_assert_neq(rc_listener_open(&b.f.all->at[0], 8, &b.f.e), RC_OK);
    (void)snprintf(expected, sizeof(expected),
                   "/no-such/t.ini:2: [listen a] address = unix:%s: there is another kind of "
                   "file: remove it, or "
                   "choose another path\n",
                   b.path);
    check_text(&b.f, expected);
    cr_assert(exists(b.path));
    clear(&b);
}

Test(listener, the_file_of_a_successor_stays)
{
    struct rc_listener second;
    struct bed b;
    int fd;

    lay(&b, "");
    cr_assert_eq(rc_listener_open(&b.f.all->at[0], 8, &b.f.e), RC_OK);
    second = b.f.all->at[0];
    second.fd = -1;
    second.ino = 0;
    cr_assert_eq(unlink(b.path), 0);
    cr_assert_eq(rc_listener_open(&second, 8, &b.f.e), RC_OK);
    rc_listener_close(&b.f.all->at[0]);
    fd = connect_to(b.path);
    cr_assert_geq(fd, 0);
    (void)close(fd);
    rc_listener_close(&second);
    cr_assert_not(exists(b.path));
    clear(&b);
}

Test(listener, tcp_tells_its_port)
{
    char text[RC_LISTENER_TEXT];
    struct fixture f;

    set_up(&f, "[server]\nlisten = 127.0.0.1:0, unix:/no-such/folder/x\n");
    cr_assert_eq(rc_listener_open(&f.all->at[0], 8, &f.e), RC_OK);
    cr_assert_eq(strncmp(rc_listener_text(&f.all->at[0], text), "127.0.0.1:", 10), 0);
    cr_assert_neq(strcmp(text, "127.0.0.1:0"), 0);
    cr_assert_neq(rc_listener_open(&f.all->at[1], 8, &f.e), RC_OK);
    check_text(&f,
               "/no-such/t.ini:2: listen on unix:/no-such/folder/x: No such file or directory; "
               "create its folder, or correct the path\n");
    tear_down(&f);
}

/* ---- what --check asks ---- */

static void check_try(struct fixture *f, unsigned i, const char *faults, const char *maybe)
{
    struct rc_conf_errors other = {0};
    char text[200];

    rc_listener_try(&f->all->at[i], &f->e, &other);
    (void)snprintf(text, sizeof(text), "%.*s", RC_STR_ARG(rc_buf_str(&other.text)));
    rc_buf_deinit(&other.text);
    cr_assert_str_eq(text, maybe);
    check_text(f, faults);
    cr_assert_eq(f->all->at[i].fd, -1);
}

Test(listener, what_can_be_tried)
{
    struct fixture f, g;
    char ini[300], text[RC_LISTENER_TEXT];
    struct bed b;

    lay(&b, "");
    check_try(&b.f, 0, "", "");
    cr_assert_neq(access(b.path, F_OK), 0, "it is not made");
    cr_assert_eq(rc_listener_open(&b.f.all->at[0], 8, &b.f.e), RC_OK);
    set_up(&f, "[server]\nlisten = 127.0.0.1:0, 203.0.113.1:1\n");
    check_try(&f, 0, "", "");
    check_try(&f, 1,
              "/no-such/t.ini:2: listen on 203.0.113.1:1: Cannot assign requested address; "
              "this machine has no such address: choose one of its own, or * for all\n",
              "");
    cr_assert_eq(rc_listener_open(&f.all->at[0], 8, &f.e), RC_OK);
    (void)rc_listener_text(&f.all->at[0], text);
    (void)snprintf(ini, sizeof(ini), "[server]\nlisten = %s, unix:%s\n", text, b.path);
    set_up(&g, ini);
    (void)snprintf(
        ini, sizeof(ini),
        "/no-such/t.ini:2: listen on %s: in use: by a server that runs, or by another "
        "program\n",
        text);
    check_try(&g, 0, "", ini);
    (void)snprintf(ini, sizeof(ini),
                   "/no-such/t.ini:2: listen on unix:%s: in use: by a server that runs, or by "
                   "another program\n",
                   b.path);
    check_try(&g, 1, "", ini);
    rc_listener_close(&f.all->at[0]);
    rc_listener_close(&b.f.all->at[0]);
    check_try(&g, 0, "", "");
    check_try(&g, 1, "", "");
    tear_down(&g);
    tear_down(&f);
    clear(&b);
}

/* ---- for other nodes ---- */

Test(listener, for_nodes)
{
    struct fixture f;

    set_up(&f, "[cluster]\nlisten = 127.0.0.1:0\n[listen b]\naddress = 127.0.0.1:80\n");
    cr_assert_eq(f.all->n, 2u);
    cr_assert_not(f.all->at[0].pipe);
    cr_assert(f.all->at[1].pipe); /* the last, wherever it stands */
    cr_assert(f.all->at[1].proxy_protocol);
    cr_assert_str_eq(f.all->at[1].address, "127.0.0.1:0");
    tear_down(&f);
    set_up(&f, "");
    cr_assert_eq(f.all->n, 1u);
    cr_assert_not(f.all->at[0].pipe);
    tear_down(&f);
    check_fault("[cluster]\nlisten = 127.0.0.1:80\n[listen b]\naddress = 127.0.0.1:80\n",
                "/no-such/t.ini:2: [cluster] listen = 127.0.0.1:80: expected one that no other "
                "listener has\n");
}

/* Checks what others are told; %u stands for the port that it got. */
static void check_advertised(const char *text, const char *expected)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    char told[RC_LISTENER_TEXT], want[RC_LISTENER_TEXT];
    struct rc_addr at;
    struct fixture f;

    set_up(&f, text);
    cr_assert_eq(rc_listeners_advertise(f.all, &f.conf, told, &f.e), RC_OK);
    cr_assert_eq(getsockname(f.all->at[1].fd, (struct sockaddr *)&ss, &len), 0);
    rc_addr_from(&ss, &at);
    cr_assert_neq(at.port, 0);
    (void)snprintf(want, sizeof(want), "%s%u", expected, (unsigned)at.port);
    if (expected[strlen(expected) - 1] != ':')
        (void)snprintf(want, sizeof(want), "%s", expected);
    cr_assert_str_eq(told, want);
    tear_down(&f);
}

Test(listener, advertised)
{
    char told[RC_LISTENER_TEXT];
    struct fixture f;

    check_advertised("[cluster]\nlisten = 127.0.0.1:0\n", "127.0.0.1:");
    check_advertised("[cluster]\nlisten = [::1]:0\n", "[::1]:");
    check_advertised("[cluster]\nlisten = 0.0.0.0:0\nadvertise = 127.0.0.1:0\n", "127.0.0.1:");
    check_advertised("[cluster]\nlisten = 0.0.0.0:0\nadvertise = localhost:0\n", "127.0.0.1:");
    check_advertised("[cluster]\nlisten = 127.0.0.1:0\nadvertise = 192.0.2.7:3100\n",
                     "192.0.2.7:3100");
    check_advertised("[cluster]\nlisten = 127.0.0.1:0\nadvertise = [2001:db8::7]:3100\n",
                     "[2001:db8::7]:3100");
    set_up(&f, "");
    cr_assert_eq(rc_listeners_advertise(f.all, &f.conf, told, &f.e), RC_OK);
    cr_assert_str_eq(told, "");
    cr_assert_eq(f.all->at[0].fd, -1);
    tear_down(&f);
    set_up(&f, "[cluster]\nlisten = 127.0.0.1:0\nadvertise = no-such.invalid:0\n");
    cr_assert_eq(rc_listeners_advertise(f.all, &f.conf, told, &f.e), RC_ESYS);
    rc_buf_putc(&f.e.text, '\0');
    cr_assert_not_null(strstr((const char *)f.e.text.data, "advertise = no-such.invalid:0: "));
    tear_down(&f);
}

#include "proxy.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int unix_socket(const char *path, struct sockaddr_un *to)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_geq(fd, 0);
    *to = (struct sockaddr_un){.sun_family = AF_UNIX};
    cr_assert_lt(strlen(path), sizeof(to->sun_path));
    memcpy(to->sun_path, path, strlen(path) + 1);
    return fd;
}

/* Everything that is there. False: the peer has closed. */
static bool pass(int from, int to)
{
    char bytes[65536];
    ssize_t n = recv(from, bytes, sizeof(bytes), 0);

    return n > 0 && send(to, bytes, (size_t)n, MSG_NOSIGNAL) == n;
}

/* A COM_QUERY whose text is COMMIT. */
static bool is_commit(int client)
{
    static const char commit[] = "\007\0\0\0\003COMMIT";
    char head[sizeof(commit) - 1];

    return recv(client, head, sizeof(head), MSG_PEEK) == (ssize_t)sizeof(head) &&
           memcmp(head, commit, sizeof(head)) == 0;
}

/* False: this connection has ended. */
static bool from_client(struct proxy *p, int client, int server)
{
    char reply[65536];
    int mode;

    if (!is_commit(client))
        return pass(client, server);
    mode = atomic_exchange(&p->mode, PROXY_PASS);
    if (mode == PROXY_LOSE_COMMIT || !pass(client, server))
        return false;
    if (mode == PROXY_PASS)
        return true;
    (void)recv(server, reply, sizeof(reply), 0);
    return false;
}

/* False: the test is over. */
static bool serve(struct proxy *p, int client, int server)
{
    struct pollfd fd[] = {{.fd = p->stop[0], .events = POLLIN},
                          {.fd = client, .events = POLLIN},
                          {.fd = server, .events = POLLIN}};
    bool open = true;

    while (open && poll(fd, 3, -1) > 0 && fd[0].revents == 0) {
        if (fd[1].revents != 0)
            open = from_client(p, client, server);
        else if (fd[2].revents != 0)
            open = pass(server, client);
    }
    return fd[0].revents == 0;
}

static void *run(void *arg)
{
    struct proxy *p = arg;
    struct sockaddr_un to;
    bool going = true;

    while (going) {
        struct pollfd fd[] = {{.fd = p->stop[0], .events = POLLIN},
                              {.fd = p->listener, .events = POLLIN}};
        int client, server;

        if (poll(fd, 2, -1) < 0 || fd[0].revents != 0)
            break;
        client = accept(p->listener, NULL, NULL);
        server = unix_socket(p->server, &to);
        if (!atomic_load(&p->away) && connect(server, (struct sockaddr *)&to, sizeof(to)) == 0)
            going = serve(p, client, server);
        (void)close(server);
        (void)close(client);
    }
    return NULL;
}

void proxy_start(struct proxy *p, const char *path, const char *server)
{
    struct sockaddr_un at;

    *p = (struct proxy){0};
    (void)snprintf(p->path, sizeof(p->path), "%s", path);
    (void)snprintf(p->server, sizeof(p->server), "%s", server);
    p->listener = unix_socket(p->path, &at);
    cr_assert_eq(bind(p->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    cr_assert_eq(listen(p->listener, 8), 0);
    cr_assert_eq(pipe(p->stop), 0);
    cr_assert_eq(pthread_create(&p->thread, NULL, run, p), 0);
}

void proxy_stop(struct proxy *p)
{
    cr_assert_eq(write(p->stop[1], "x", 1), 1);
    (void)pthread_join(p->thread, NULL);
    (void)close(p->listener);
    (void)close(p->stop[0]);
    (void)close(p->stop[1]);
    (void)unlink(p->path);
}

/* redis.c - the floor of several nodes: a frame goes to Redis as it came, and from there to the members on the others.
 *
 * One channel for everything; a message is {node:4, room:4, frame}. Replies are read and not looked at, and so is
 * what a node hears of itself. */
#include "floor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PREFIX    "*3\r\n$7\r\nmessage\r\n$5\r\nfloor\r\n$"
#define SUBSCRIBE "*2\r\n$9\r\nSUBSCRIBE\r\n$5\r\nfloor\r\n"
#define CONFIRMED "*3\r\n$9\r\nsubscribe\r\n$5\r\nfloor\r\n:1\r\n"
#define READ_SIZE 65536u
#define TAG_SIZE  8u

static struct {
    int pub, sub;
    uint32_t node;
    char *out, *in; /* to be published at the end of the turn; not taken apart yet */
    size_t out_len, out_cap, in_len, in_cap;
    bool confirmed;
} bus = {.pub = -1, .sub = -1};

static int dial(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

bool floor_redis_init(struct floor *f, uint16_t port)
{
    struct epoll_event ev = {.events = EPOLLIN};

    bus.node = (uint32_t)getpid();
    bus.pub = dial(port);
    bus.sub = dial(port);
    if (bus.pub < 0 || bus.sub < 0 ||
        send(bus.sub, SUBSCRIBE, sizeof(SUBSCRIBE) - 1, MSG_NOSIGNAL) !=
            (ssize_t)sizeof(SUBSCRIBE) - 1)
        return false;
    ev.data.fd = bus.pub;
    if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, bus.pub, &ev) != 0)
        return false;
    ev.data.fd = bus.sub;
    return epoll_ctl(f->epoll, EPOLL_CTL_ADD, bus.sub, &ev) == 0;
}

bool floor_redis_is(int fd)
{
    return fd == bus.pub || fd == bus.sub;
}

void floor_redis_publish(uint32_t room, const char *frame, size_t len)
{
    char head[64];
    int n;

    if (bus.pub < 0)
        return;
    n = snprintf(head, sizeof(head), "*3\r\n$7\r\nPUBLISH\r\n$5\r\nfloor\r\n$%zu\r\n",
                 len + TAG_SIZE);
    bus.out = floor_grow(bus.out, &bus.out_cap, bus.out_len + (size_t)n + TAG_SIZE + len + 2);
    memcpy(bus.out + bus.out_len, head, (size_t)n);
    bus.out_len += (size_t)n;
    memcpy(bus.out + bus.out_len, &bus.node, 4);
    memcpy(bus.out + bus.out_len + 4, &room, 4);
    memcpy(bus.out + bus.out_len + TAG_SIZE, frame, len);
    bus.out_len += TAG_SIZE + len;
    memcpy(bus.out + bus.out_len, "\r\n", 2);
    bus.out_len += 2;
}

void floor_redis_flush(void)
{
    size_t at = 0;
    ssize_t n;

    while (at < bus.out_len) { /* it waits for Redis: a yardstick */
        n = send(bus.pub, bus.out + at, bus.out_len - at, MSG_NOSIGNAL);
        if (n <= 0)
            abort();
        at += (size_t)n;
    }
    bus.out_len = 0;
}

/* One whole message; its size, 0 while it is incomplete. */
static size_t message(struct floor *f, const char *p, size_t have)
{
    const size_t prefix = sizeof(PREFIX) - 1;
    const char *body;
    uint32_t node, room;
    size_t len, whole;
    char *end;

    if (!bus.confirmed) {
        if (have < sizeof(CONFIRMED) - 1)
            return 0;
        bus.confirmed = true;
        return sizeof(CONFIRMED) - 1;
    }
    if (have < prefix || memchr(p + prefix, '\n', have - prefix) == NULL)
        return 0;
    len = strtoul(p + prefix, &end, 10);
    body = end + 2;
    whole = (size_t)(body - p) + len + 2;
    if (have < whole)
        return 0;
    memcpy(&node, body, 4);
    memcpy(&room, body + 4, 4);
    if (node != bus.node)
        floor_to_room(f, room, body + TAG_SIZE, len - TAG_SIZE);
    return whole;
}

void floor_redis_event(struct floor *f, int fd)
{
    static char replies[READ_SIZE];
    size_t at = 0, used;
    ssize_t n;

    if (fd == bus.pub) {
        if (recv(fd, replies, sizeof(replies), MSG_DONTWAIT) == 0)
            exit(0);
        return;
    }
    bus.in = floor_grow(bus.in, &bus.in_cap, bus.in_len + READ_SIZE);
    n = recv(fd, bus.in + bus.in_len, READ_SIZE, MSG_DONTWAIT);
    if (n == 0)
        exit(0); /* Redis has ended */
    if (n < 0)
        return;
    bus.in_len += (size_t)n;
    while ((used = message(f, bus.in + at, bus.in_len - at)) != 0)
        at += used;
    memmove(bus.in, bus.in + at, bus.in_len - at);
    bus.in_len -= at;
}

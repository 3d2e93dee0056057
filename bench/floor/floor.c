/* floor.c - the loop, the frames and the rooms. See floor.h for what it is and is not. */
#include "floor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE   (256u * 1024u)
#define MAX_EVENTS  512
#define MAX_ROOMS   20000u
#define TURN_MAX    (256u * 1024u)
#define NO_ROOM     UINT32_MAX
#define HEAD_MAX    10u
#define MASKED_HEAD 14u

enum { ST_HEAD, ST_OPEN, ST_ECHO, ST_POLL };

static const char switching[] = "HTTP/1.1 101 Switching Protocols\r\n"
                                "Upgrade: websocket\r\n"
                                "Connection: Upgrade\r\n"
                                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static char *input; /* one read buffer for all */
static char *echo;  /* echo frames of one read */
static size_t echo_len, echo_cap;

void *floor_grow(void *p, size_t *cap, size_t want)
{
    size_t n = *cap == 0 ? 512 : *cap;

    if (want <= *cap)
        return p;
    while (n < want)
        n *= 2;
    p = realloc(p, n);
    if (p == NULL)
        abort();
    *cap = n;
    return p;
}

static void leave(struct floor *f, int fd)
{
    struct floor_conn *c = &f->conns[fd];
    struct floor_room *r;

    if (c->room == NO_ROOM)
        return;
    r = &f->rooms[c->room];
    r->fds[c->place] = r->fds[--r->count];
    f->conns[r->fds[c->place]].place = c->place;
    c->room = NO_ROOM;
}

static void hang_up(struct floor *f, int fd)
{
    struct floor_conn *c = &f->conns[fd];

    leave(f, fd);
    if (c->state == ST_POLL)
        floor_poll_gone(f, fd);
    if (c->extra != NULL) {
        free(c->extra->in);
        free(c->extra->out);
        free(c->extra);
        c->extra = NULL;
    }
    close(fd);
}

static void join(struct floor *f, int fd, uint32_t room)
{
    struct floor_conn *c = &f->conns[fd];
    struct floor_room *r;

    leave(f, fd);
    r = &f->rooms[room % MAX_ROOMS];
    if (r->count == r->cap) {
        r->cap = r->cap == 0 ? 8 : r->cap * 2;
        r->fds = realloc(r->fds, r->cap * sizeof(*r->fds));
        if (r->fds == NULL)
            abort();
    }
    c->room = room % MAX_ROOMS;
    c->place = r->count;
    r->fds[r->count++] = fd;
}

static size_t put_head(char *dst, size_t len)
{
    uint8_t *d = (uint8_t *)dst;

    d[0] = 0x81;
    if (len < 126) {
        d[1] = (uint8_t)len;
        return 2;
    }
    if (len < 65536) {
        d[1] = 126;
        d[2] = (uint8_t)(len >> 8);
        d[3] = (uint8_t)len;
        return 4;
    }
    d[1] = 127;
    for (unsigned i = 0; i < 8; i++)
        d[2 + i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
    return 10;
}

/* Copies and unmasks in one pass, eight bytes at a time. */
static void unmask(char *dst, const char *src, size_t len, const uint8_t key[4])
{
    uint64_t wide, x;
    uint32_t k;
    size_t i = 0;

    memcpy(&k, key, 4);
    wide = (uint64_t)k << 32 | k;
    for (; i + 8 <= len; i += 8) {
        memcpy(&x, src + i, 8);
        x ^= wide;
        memcpy(dst + i, &x, 8);
    }
    for (; i < len; i++)
        dst[i] = (char)((uint8_t)src[i] ^ key[i & 3]);
}

/* len more bytes of its turn are a frame. */
static void added(struct floor *f, uint32_t room, size_t len)
{
    struct floor_room *r = &f->rooms[room];
    size_t cap;

    r->turn_len += len;
    if (f->mode == FLOOR_WRITEV) {
        cap = r->ends_cap * sizeof(*r->ends);
        r->ends = floor_grow(r->ends, &cap, (r->frames + 1) * sizeof(*r->ends));
        r->ends_cap = (uint32_t)(cap / sizeof(*r->ends));
        r->ends[r->frames++] = (uint32_t)r->turn_len;
    }
    if (f->mode == FLOOR_SEND || r->turn_len > TURN_MAX) {
        floor_out_room(f, r);
    } else if (!r->dirty) {
        r->dirty = true;
        f->dirty[f->ndirty++] = room;
    }
}

static void broadcast(struct floor *f, int fd, const char *p, size_t len, const uint8_t key[4])
{
    uint32_t room = f->conns[fd].room;
    struct floor_room *r;
    size_t head;

    if (room == NO_ROOM)
        return;
    r = &f->rooms[room];
    r->turn = floor_grow(r->turn, &r->turn_cap, r->turn_len + HEAD_MAX + len);
    head = put_head(r->turn + r->turn_len, len);
    unmask(r->turn + r->turn_len + head, p, len, key);
    floor_redis_publish(room, r->turn + r->turn_len, head + len);
    added(f, room, head + len);
}

void floor_to_room(struct floor *f, uint32_t room, const char *frame, size_t len)
{
    struct floor_room *r = &f->rooms[room % MAX_ROOMS];

    r->turn = floor_grow(r->turn, &r->turn_cap, r->turn_len + len);
    memcpy(r->turn + r->turn_len, frame, len);
    added(f, room % MAX_ROOMS, len);
}

static void echo_frame(struct floor *f, int fd, const char *p, size_t len, const uint8_t key[4])
{
    size_t head;

    echo = floor_grow(echo, &echo_cap, echo_len + HEAD_MAX + len);
    head = put_head(echo + echo_len, len);
    unmask(echo + echo_len + head, p, len, key);
    echo_len += head + len;
    if (f->mode == FLOOR_SEND) {
        floor_out_send(f, fd, echo, echo_len);
        echo_len = 0;
    }
}

static void message(struct floor *f, int fd, const char *p, size_t len, const uint8_t key[4])
{
    struct floor_conn *c = &f->conns[fd];
    char word[16] = "", ack[3] = {(char)0x81, 1, 'J'};

    if (c->state == ST_ECHO) {
        echo_frame(f, fd, p, len, key);
        return;
    }
    if (len < sizeof(word)) {
        unmask(word, p, len, key);
        if (word[0] == 'J')
            join(f, fd, (uint32_t)strtoul(word + 1, NULL, 10));
        else if (word[0] == 'E')
            c->state = ST_ECHO;
        floor_out_send(f, fd, ack, sizeof(ack));
        return;
    }
    broadcast(f, fd, p, len, key);
}

/* One whole frame; its size, 0 while it is incomplete, -1 when the peer says goodbye. */
static long frame(struct floor *f, int fd, const uint8_t *p, size_t have)
{
    size_t head = 6;
    uint64_t len;

    if (have < head)
        return 0;
    len = p[1] & 127u;
    if (len == 126) {
        len = (uint64_t)p[2] << 8 | p[3];
        head = 8;
    } else if (len == 127) {
        if (have < MASKED_HEAD)
            return 0;
        len = 0;
        for (unsigned i = 2; i < 10; i++)
            len = len << 8 | p[i];
        head = MASKED_HEAD;
    }
    if (have < head || have - head < len)
        return 0;
    if ((p[0] & 15u) == 8)
        return -1;
    message(f, fd, (const char *)p + head, (size_t)len, p + head - 4);
    return (long)(head + len);
}

static size_t handshake(struct floor *f, int fd, const char *p, size_t len)
{
    const char *end = memmem(p, len, "\r\n\r\n", 4);

    if (end == NULL)
        return 0;
    f->conns[fd].state = ST_OPEN;
    floor_out_send(f, fd, switching, sizeof(switching) - 1);
    return (size_t)(end - p) + 4;
}

/* False when the connection has ended. */
static bool consume(struct floor *f, int fd, const char *p, size_t len, size_t *used)
{
    long n;

    if (f->conns[fd].state == ST_HEAD && floor_poll_is(p, len))
        f->conns[fd].state = ST_POLL;
    if (f->conns[fd].state == ST_POLL) {
        *used = floor_poll_input(f, fd, p, len);
        return true;
    }
    *used = f->conns[fd].state == ST_HEAD ? handshake(f, fd, p, len) : 0;
    while (f->conns[fd].state != ST_HEAD && *used < len) {
        n = frame(f, fd, (const uint8_t *)p + *used, len - *used);
        if (n < 0)
            return false;
        if (n == 0)
            break;
        *used += (size_t)n;
    }
    if (echo_len > 0)
        floor_out_send(f, fd, echo, echo_len);
    echo_len = 0;
    return true;
}

static void save(struct floor_conn *c, const char *p, size_t len)
{
    if (c->extra == NULL)
        c->extra = calloc(1, sizeof(*c->extra));
    if (c->extra == NULL)
        abort();
    c->extra->in = floor_grow(c->extra->in, &c->extra->in_cap, len);
    memcpy(c->extra->in, p, len);
    c->extra->in_len = len;
}

enum reading { DRAINED, MORE, GONE };

static enum reading read_once(struct floor *f, int fd)
{
    struct floor_conn *c = &f->conns[fd];
    size_t have = 0, used;
    ssize_t n;

    if (c->extra != NULL) {
        have = c->extra->in_len;
        memcpy(input, c->extra->in, have);
        c->extra->in_len = 0;
    }
    n = recv(fd, input + have, READ_SIZE, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
        if (have > 0)
            save(c, input, have);
        return DRAINED;
    }
    if (n <= 0 || !consume(f, fd, input, have + (size_t)n, &used)) {
        hang_up(f, fd);
        return GONE;
    }
    have += (size_t)n;
    if (used < have)
        save(c, input + used, have - used);
    return n == READ_SIZE ? MORE : DRAINED;
}

static void accept_all(struct floor *f)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    int fd, one = 1;

    while ((fd = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        memset(&f->conns[fd], 0, sizeof(f->conns[fd]));
        f->conns[fd].room = NO_ROOM;
        ev.data.fd = fd;
        epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &ev);
    }
}

static void event(struct floor *f, const struct epoll_event *ev)
{
    enum reading r = DRAINED;
    int fd = ev->data.fd;

    if (fd == f->listener) {
        accept_all(f);
        return;
    }
    if (floor_redis_is(fd)) {
        floor_redis_event(f, fd);
        return;
    }
    if (ev->events & EPOLLOUT)
        floor_out_resume(f, fd);
    if (ev->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        while ((r = read_once(f, fd)) == MORE)
            continue;
        if (r == DRAINED && (ev->events & EPOLLRDHUP))
            hang_up(f, fd);
    }
}

static void serve(struct floor *f)
{
    struct epoll_event ev[MAX_EVENTS];
    int n;

    for (;;) {
        n = epoll_wait(f->epoll, ev, MAX_EVENTS, -1);
        for (int i = 0; i < n; i++)
            event(f, &ev[i]);
        floor_redis_flush();
        for (uint32_t i = 0; i < f->ndirty; i++) {
            struct floor_room *r = &f->rooms[f->dirty[i]];

            r->dirty = false;
            floor_out_room(f, r);
        }
        f->ndirty = 0;
        floor_poll_flush(f);
    }
}

static bool start(struct floor *f, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct epoll_event ev = {.events = EPOLLIN};
    struct rlimit lim;
    socklen_t len = sizeof(a);
    int one = 1;

    if (getrlimit(RLIMIT_NOFILE, &lim) != 0)
        return false;
    lim.rlim_cur = lim.rlim_max;
    setrlimit(RLIMIT_NOFILE, &lim);
    f->conns = calloc(lim.rlim_cur, sizeof(*f->conns));
    f->rooms = calloc(MAX_ROOMS, sizeof(*f->rooms));
    f->dirty = calloc(MAX_ROOMS, sizeof(*f->dirty));
    floor_poll_init();
    input = malloc(READ_SIZE * 8u);
    f->epoll = epoll_create1(EPOLL_CLOEXEC);
    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (f->conns == NULL || f->rooms == NULL || f->dirty == NULL || input == NULL ||
        f->epoll < 0 || f->listener < 0)
        return false;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(f->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(f->listener, (struct sockaddr *)&a, sizeof(a)) != 0 ||
        listen(f->listener, 4096) != 0 ||
        getsockname(f->listener, (struct sockaddr *)&a, &len) != 0)
        return false;
    ev.data.fd = f->listener;
    if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, f->listener, &ev) != 0)
        return false;
    fprintf(stderr, "listening on 127.0.0.1:%u\n", ntohs(a.sin_port));
    return true;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"send", "coalesce", "writev", "uring"};
    struct floor f = {.mode = FLOOR_COALESCE};
    unsigned i = 0;

    if (argc > 1) {
        while (i < 4 && strcmp(argv[1], names[i]) != 0)
            i++;
        f.mode = (enum floor_mode)i;
    }
    if (argc > 4 || (argc > 1 && i == 4)) {
        fputs("usage: floor [send|coalesce|writev|uring] [PORT [PORT OF REDIS]]\n", stderr);
        return 2;
    }
    if (f.mode == FLOOR_URING && !floor_uring_init()) {
        perror("floor: io_uring");
        return 1;
    }
    if (!start(&f, argc > 2 ? (uint16_t)strtoul(argv[2], NULL, 10) : 0)) {
        perror("floor");
        return 1;
    }
    if (argc > 3 && !floor_redis_init(&f, (uint16_t)strtoul(argv[3], NULL, 10))) {
        perror("floor: Redis");
        return 1;
    }
    serve(&f);
    return 0;
}

/* sim.c - see sim.h. The functions here have the names and the types of the C library's. */
#undef _FORTIFY_SOURCE /* or some of them would be inline functions */
#include "sim.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct sim_counts sim;

/* One of the simulated sockets, and what waits to be read. */
struct waiting {
    const char *p;
    size_t len;
    int fd;
    bool eof;
};

static struct {
    struct epoll_event *ev; /* [n] as registered */
    int *epoll;             /* [n] with whom, -1: with nobody */
    uint32_t n;
    struct waiting waiting[SIM_WAITING];
    uint32_t nwaiting;
    const void *last;
} net;

void sim_open(uint32_t n)
{
    net.ev = malloc(n * sizeof(*net.ev));
    net.epoll = malloc(n * sizeof(*net.epoll));
    if (net.ev == NULL || net.epoll == NULL)
        abort();
    memset(net.ev, 0x5a, n * sizeof(*net.ev));
    memset(net.epoll, 0xff, n * sizeof(*net.epoll));
    net.n = n;
    net.nwaiting = 0;
}

void sim_close(void)
{
    free(net.ev);
    free(net.epoll);
    net.n = 0;
}

static bool is_sim(int fd)
{
    return (uint32_t)fd - SIM_FIRST < net.n;
}

void sim_input(int fd, const void *p, size_t len)
{
    if (net.nwaiting == SIM_WAITING || !is_sim(fd))
        abort();
    net.waiting[net.nwaiting++] = (struct waiting){p, len, fd, p == NULL};
}

/* The same each time: which shard owns a room is a matter of the hash key, and so is how long its messages'
 * way is. */
ssize_t getrandom(void *to, size_t len, unsigned flags)
{
    static uint64_t x = UINT64_C(88172645463325252);

    (void)flags;
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        ((uint8_t *)to)[i] = (uint8_t)(x >> 32);
    }
    return (ssize_t)len;
}

/* ---- events ---- */

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
    if (!is_sim(fd))
        return (int)syscall(SYS_epoll_ctl, epfd, op, fd, ev);
    net.epoll[fd - SIM_FIRST] = op == EPOLL_CTL_DEL ? -1 : epfd;
    if (op != EPOLL_CTL_DEL)
        net.ev[fd - SIM_FIRST] = *ev;
    return 0;
}

/* What has been read or closed leaves the list. */
static void sweep(void)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < net.nwaiting; i++)
        if (net.waiting[i].len > 0 || net.waiting[i].eof)
            net.waiting[kept++] = net.waiting[i];
    net.nwaiting = kept;
}

uint32_t sim_waiting(void)
{
    sweep();
    return net.nwaiting;
}

static int simulated_events(int epfd, struct epoll_event *out, int max)
{
    int n = 0;

    sweep();
    for (uint32_t i = 0; i < net.nwaiting && n < max; i++) {
        uint32_t at = (uint32_t)net.waiting[i].fd - SIM_FIRST;

        if (net.epoll[at] != epfd || !(net.ev[at].events & EPOLLIN))
            continue;
        out[n].events = EPOLLIN;
        out[n++].data = net.ev[at].data;
    }
    return n;
}

static int wait_for(int epfd, struct epoll_event *out, int max, int timeout)
{
    int n = simulated_events(epfd, out, max), real = 0;

    if (n < max)
        real =
            (int)syscall(SYS_epoll_pwait, epfd, out + n, max - n, n > 0 ? 0 : timeout, NULL, 8);
    return real < 0 ? (n > 0 ? n : real) : n + real;
}

int epoll_wait(int epfd, struct epoll_event *out, int max, int timeout)
{
    return wait_for(epfd, out, max, timeout);
}

int epoll_pwait2(int epfd, struct epoll_event *out, int max, const struct timespec *timeout,
                 const sigset_t *mask)
{
    (void)mask;
    return wait_for(
        epfd, out, max,
        timeout == NULL ? -1 : (int)(timeout->tv_sec * 1000 + timeout->tv_nsec / 1000000));
}

/* ---- bytes ---- */

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
    if (!is_sim(fd))
        return syscall(SYS_recvfrom, fd, buf, len, flags, NULL, NULL);
    for (uint32_t i = 0; i < net.nwaiting; i++) {
        struct waiting *w = &net.waiting[i];
        size_t n = w->len < len ? w->len : len;

        if (w->fd != fd || (n == 0 && !w->eof))
            continue;
        sim.reads++;
        if (w->eof)
            return 0;
        memcpy(buf, w->p, n);
        w->p += n;
        w->len -= n;
        return (ssize_t)n;
    }
    errno = EAGAIN;
    return -1;
}

static ssize_t swallow(const void *first, size_t len)
{
    sim.writes++;
    sim.bytes += len;
    sim.payloads += first != net.last;
    net.last = first;
    return (ssize_t)len;
}

ssize_t send(int fd, const void *p, size_t len, int flags)
{
    if (!is_sim(fd))
        return syscall(SYS_sendto, fd, p, len, flags, NULL, 0);
    return swallow(p, len);
}

ssize_t write(int fd, const void *p, size_t len)
{
    if (!is_sim(fd))
        return syscall(SYS_write, fd, p, len);
    return swallow(p, len);
}

static ssize_t swallow_vector(const struct iovec *iov, size_t n)
{
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        len += iov[i].iov_len;
    return swallow(n > 0 ? iov[0].iov_base : NULL, len);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    if (!is_sim(fd))
        return syscall(SYS_sendmsg, fd, m, flags);
    return swallow_vector(m->msg_iov, m->msg_iovlen);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
    if (!is_sim(fd))
        return syscall(SYS_writev, fd, iov, n);
    return swallow_vector(iov, (size_t)n);
}

/* ---- the rest of a socket's life ---- */

int shutdown(int fd, int how)
{
    return is_sim(fd) ? 0 : (int)syscall(SYS_shutdown, fd, how);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    return is_sim(fd) ? 0 : (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

int close(int fd)
{
    if (!is_sim(fd))
        return (int)syscall(SYS_close, fd);
    net.epoll[fd - SIM_FIRST] = -1;
    for (uint32_t i = 0; i < net.nwaiting; i++)
        if (net.waiting[i].fd == fd)
            net.waiting[i] = (struct waiting){.fd = fd};
    sim.closed++;
    return 0;
}

/* ---- memory, only counted ---- */

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

void *malloc(size_t n)
{
    sim.allocations++;
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    sim.allocations++;
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    sim.allocations++;
    return __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    sim.allocations++;
    return __libc_memalign(align, n);
}

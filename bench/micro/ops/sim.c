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
#include <time.h>
#include <unistd.h>

struct sim_counts sim;

/* One of the simulated sockets, and what waits to be read. */
struct waiting {
    const char *p;
    size_t len;
    int fd;
    bool eof;
};

/* What is in an epoll instance and not simulated: may be another instance, with what is. */
struct inner {
    int outer, fd;
    epoll_data_t data;
};

enum { SIM_INNER = 256 };

static struct {
    struct epoll_event *ev; /* [n] as registered */
    int *epoll;             /* [n] with whom, -1: with nobody */
    uint32_t n;
    struct waiting waiting[SIM_WAITING];
    uint32_t nwaiting;
    struct inner inner[SIM_INNER];
    uint32_t ninner;
    const void *last;
    uint64_t now_ns; /* stands still */
} net;

/* ---- time: only sim_pass() makes it pass, so that what is done in a turn depends on nothing else ---- */

/* Timers that the kernel keeps never come. */
#define DAY_NS (UINT64_C(86400) * 1000000000)

static uint64_t real_ns(void)
{
    struct timespec t;

    (void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int clock_gettime(clockid_t id, struct timespec *to)
{
    if (net.n == 0 || id != CLOCK_MONOTONIC)
        return (int)syscall(SYS_clock_gettime, id, to);
    to->tv_sec = (time_t)(net.now_ns / 1000000000);
    to->tv_nsec = (long)(net.now_ns % 1000000000);
    return 0;
}

void sim_pass(unsigned seconds)
{
    net.now_ns += seconds * UINT64_C(1000000000);
}

void sim_open(uint32_t n)
{
    net.ev = malloc(n * sizeof(*net.ev));
    net.epoll = malloc(n * sizeof(*net.epoll));
    if (net.ev == NULL || net.epoll == NULL)
        abort();
    memset(net.ev, 0x5a, n * sizeof(*net.ev));
    memset(net.epoll, 0xff, n * sizeof(*net.epoll));
    net.now_ns = real_ns() + DAY_NS;
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

/* Descriptors are used again: the last one counts. */
static void add_inner(int outer, int fd, epoll_data_t data)
{
    uint32_t i = 0;

    while (i < net.ninner && net.inner[i].fd != fd)
        i++;
    if (i == SIM_INNER)
        abort();
    net.inner[i] = (struct inner){outer, fd, data};
    net.ninner += i == net.ninner;
}

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
    if (!is_sim(fd)) {
        if (op == EPOLL_CTL_ADD)
            add_inner(epfd, fd, ev->data);
        return (int)syscall(SYS_epoll_ctl, epfd, op, fd, ev);
    }
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

/* What `outer` calls the instance in it, or NULL. */
static const epoll_data_t *name_of(int outer, int fd)
{
    for (uint32_t i = 0; i < net.ninner; i++)
        if (net.inner[i].outer == outer && net.inner[i].fd == fd)
            return &net.inner[i].data;
    return NULL;
}

static int simulated_events(int epfd, struct epoll_event *out, int max)
{
    const epoll_data_t *inner = NULL;
    int n = 0;

    sweep();
    for (uint32_t i = 0; i < net.nwaiting && n < max; i++) {
        uint32_t at = (uint32_t)net.waiting[i].fd - SIM_FIRST;

        if ((net.ev[at].events & EPOLLIN) == 0)
            continue;
        if (net.epoll[at] == epfd) {
            out[n].events = EPOLLIN;
            out[n++].data = net.ev[at].data;
        } else if (inner == NULL) {
            inner = name_of(epfd, net.epoll[at]);
        }
    }
    if (inner != NULL && n < max) {
        out[n].events = EPOLLIN;
        out[n++].data = *inner;
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

/* out.c - the four ways to get a turn's frames to the members of a room. */
#include "floor.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define BATCH 256u

static bool waiting(const struct floor *f, int fd)
{
    return f->conns[fd].extra != NULL && f->conns[fd].extra->out_len > 0;
}

void floor_out_keep(struct floor *f, int fd, const char *p, size_t len)
{
    struct floor_conn *c = &f->conns[fd];

    if (c->extra == NULL)
        c->extra = calloc(1, sizeof(*c->extra));
    if (c->extra == NULL)
        abort();
    c->extra->out = floor_grow(c->extra->out, &c->extra->out_cap, c->extra->out_len + len);
    memcpy(c->extra->out + c->extra->out_len, p, len);
    c->extra->out_len += len;
}

void floor_out_send(struct floor *f, int fd, const char *p, size_t len)
{
    ssize_t n = 0;

    if (!waiting(f, fd)) {
        n = send(fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n == (ssize_t)len)
            return;
        if (n < 0 && errno != EAGAIN)
            return; /* gone: its end comes as an event */
        n = n < 0 ? 0 : n;
    }
    floor_out_keep(f, fd, p + n, len - (size_t)n);
}

void floor_out_resume(struct floor *f, int fd)
{
    struct floor_extra *x = f->conns[fd].extra;
    ssize_t n;

    if (!waiting(f, fd))
        return;
    n = send(fd, x->out, x->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n <= 0)
        return;
    memmove(x->out, x->out + n, x->out_len - (size_t)n);
    x->out_len -= (size_t)n;
}

static void room_writev(struct floor *f, struct floor_room *r)
{
    struct iovec iov[IOV_MAX];
    uint32_t from = 0, first = 0, k;

    while (first < r->frames) {
        uint32_t start = from;

        for (k = 0; k < IOV_MAX && first < r->frames; k++, first++) {
            iov[k].iov_base = r->turn + from;
            iov[k].iov_len = r->ends[first] - from;
            from = r->ends[first];
        }
        for (uint32_t i = 0; i < r->count; i++) {
            struct msghdr m = {.msg_iov = iov, .msg_iovlen = k};
            ssize_t n = 0;

            if (!waiting(f, r->fds[i]))
                n = sendmsg(r->fds[i], &m, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0 && errno != EAGAIN)
                continue;
            n = n < 0 ? 0 : n;
            if ((size_t)n < from - start)
                floor_out_keep(f, r->fds[i], r->turn + start + n, from - start - (size_t)n);
        }
    }
}

static void room_uring(struct floor *f, struct floor_room *r)
{
    int fds[BATCH], res[BATCH];
    uint32_t n = 0;

    for (uint32_t i = 0; i < r->count; i++) {
        if (waiting(f, r->fds[i]))
            floor_out_keep(f, r->fds[i], r->turn, r->turn_len);
        else
            fds[n++] = r->fds[i];
        if (n < BATCH && i + 1 < r->count)
            continue;
        if (n > 0 && !floor_uring_send(fds, res, n, r->turn, r->turn_len))
            abort();
        for (uint32_t k = 0; k < n; k++) {
            if (res[k] < 0 && res[k] != -EAGAIN)
                continue;
            res[k] = res[k] < 0 ? 0 : res[k];
            if ((size_t)res[k] < r->turn_len)
                floor_out_keep(f, fds[k], r->turn + res[k], r->turn_len - (size_t)res[k]);
        }
        n = 0;
    }
}

void floor_out_room(struct floor *f, struct floor_room *r)
{
    switch (f->mode) {
    case FLOOR_URING: room_uring(f, r); break;
    case FLOOR_WRITEV: room_writev(f, r); break;
    case FLOOR_SEND:
    case FLOOR_COALESCE:
        for (uint32_t i = 0; i < r->count; i++)
            floor_out_send(f, r->fds[i], r->turn, r->turn_len);
        break;
    }
    r->turn_len = 0;
    r->frames = 0;
}

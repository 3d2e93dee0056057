/* notify.c - the service manager's protocol, which is a few lines of text in a datagram. */
#include "notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_un address;
static socklen_t address_len; /* 0: there is none */
static uint32_t watchdog_ms;

/* NOLINTBEGIN(concurrency-mt-unsafe): there are no threads yet */
static uint64_t number(const char *variable)
{
    const char *text = getenv(variable);

    return text != NULL ? strtoull(text, NULL, 10) : 0;
}

void rc_notify_init(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t len = path != NULL ? strlen(path) : 0;
    uint64_t pid = number("WATCHDOG_PID"), half = number("WATCHDOG_USEC") / 2000;

    if (len < 2 || len >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
        return;
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path, len);
    if (path[0] == '@') /* an abstract one */
        address.sun_path[0] = '\0';
    address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (pid == 0 || pid == (uint64_t)getpid())
        watchdog_ms = half < UINT32_MAX ? (uint32_t)half : UINT32_MAX;
}
/* NOLINTEND(concurrency-mt-unsafe) */

void rc_notify(const char *fmt, ...)
{
    char text[512];
    va_list ap;
    int n, fd;

    if (address_len == 0)
        return;
    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    /* A manager that does not listen is its own problem. */
    if (n > 0)
        (void)sendto(fd, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1,
                     MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&address,
                     address_len);
    (void)close(fd);
}

uint32_t rc_notify_watchdog_ms(void)
{
    return watchdog_ms;
}

uint64_t rc_notify_now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

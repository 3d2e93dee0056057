/* machine.c - see the header. */
#include "rc/base/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first bytes of a file, as text. False: there is none. */
static bool read_text(const char *file, char *text, size_t size)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return false;
    n = read(fd, text, size - 1);
    (void)close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* UINT64_MAX: there is no such limit. */
static uint64_t limit_in(const char *folder, const char *group, const char *name)
{
    char file[PATH_MAX], text[64], *end;
    unsigned long long v;

    if (snprintf(file, sizeof(file), "%s%s/%s", folder, group, name) >= (int)sizeof(file) ||
        !read_text(file, text, sizeof(text)))
        return UINT64_MAX;
    errno = 0;
    v = strtoull(text, &end, 10);
    return end == text || errno != 0 ? UINT64_MAX : v; /* "max" */
}

/* Of that group and all it is in. */
static uint64_t least_limit(const char *folder, char *group, const char *name)
{
    uint64_t least = limit_in(folder, "", name);

    while (group[0] != '\0') {
        uint64_t v = limit_in(folder, group, name);
        char *slash = strrchr(group, '/');

        least = v < least ? v : least;
        if (slash == NULL)
            break;
        *slash = '\0';
    }
    return least;
}

/* The list of controllers, such as "cpu,memory", has this one. */
static bool has_memory(const char *list, size_t len)
{
    while (len != 0) {
        const char *comma = memchr(list, ',', len);
        size_t n = comma != NULL ? (size_t)(comma - list) : len;

        if (n == strlen("memory") && memcmp(list, "memory", n) == 0)
            return true;
        n += comma != NULL;
        list += n;
        len -= n;
    }
    return false;
}

uint64_t rc_cgroup_memory(const char *proc_self, const char *cgroups)
{
    char file[PATH_MAX], v1[PATH_MAX], text[4096], *rest = text, *line;
    uint64_t least = UINT64_MAX;

    (void)snprintf(file, sizeof(file), "%s/cgroup", proc_self);
    (void)snprintf(v1, sizeof(v1), "%s/memory", cgroups);
    if (!read_text(file, text, sizeof(text)))
        return UINT64_MAX;
    while ((line = strsep(&rest, "\n")) != NULL) { /* 0::/group, or 9:memory:/group */
        char *list = strchr(line, ':'), *group = list != NULL ? strchr(list + 1, ':') : NULL;
        uint64_t v = UINT64_MAX;

        if (group == NULL)
            continue;
        list++;
        group++;
        if (group == list + 1)
            v = least_limit(cgroups, group, "memory.max");
        else if (has_memory(list, (size_t)(group - 1 - list)))
            v = least_limit(v1, group, "memory.limit_in_bytes");
        least = v < least ? v : least;
    }
    return least;
}

uint64_t rc_machine_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    uint64_t machine = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
    uint64_t group = rc_cgroup_memory("/proc/self", "/sys/fs/cgroup");

    if (group == UINT64_MAX)
        return machine;
    return machine == 0 || group < machine ? group : machine;
}

uint64_t rc_resident_bytes(void)
{
    long size = sysconf(_SC_PAGESIZE);
    char text[128], *pages;

    if (size <= 0 || !read_text("/proc/self/statm", text, sizeof(text)))
        return 0;
    pages = strchr(text, ' '); /* behind the size of all */
    return pages != NULL ? strtoull(pages, NULL, 10) * (uint64_t)size : 0;
}

unsigned rc_machine_processors(void)
{
    cpu_set_t cpus;
    long n = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? CPU_COUNT(&cpus)
                                                            : sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : (unsigned)n;
}

bool rc_machine_keep_on(unsigned nth)
{
    cpu_set_t cpus, one;
    int cpu = -1;

    if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0 || CPU_COUNT(&cpus) == 0)
        return false;
    nth %= (unsigned)CPU_COUNT(&cpus);
    do
        cpu++;
    while (!CPU_ISSET(cpu, &cpus) || nth-- != 0);
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return sched_setaffinity(0, sizeof(one), &one) == 0;
}

bool rc_machine_realtime(void)
{
    const struct sched_param first = {.sched_priority = 1};

    return sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &first) == 0;
}

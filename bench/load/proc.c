/*
 * proc.c - readings from /proc.
 *
 * CPU time comes from /proc/PID/task/TID/schedstat: nanoseconds of run time, where
 * /proc/PID/stat has 10 ms ticks. Only the split into user and system is taken from stat.
 */
#include "proc.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t load_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

bool load_pids_parse(struct load_pids *pids, const char *text)
{
    char path[64], *end;
    long pid;

    pids->count = 0;
    for (;;) {
        pid = strtol(text, &end, 10);
        if (end == text || pid <= 0 || pids->count == LOAD_MAX_PIDS)
            return false;
        snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
        if (access(path, R_OK) != 0)
            return false;
        pids->pid[pids->count++] = (pid_t)pid;
        if (*end == '\0')
            return true;
        if (*end != ',')
            return false;
        text = end + 1;
    }
}

/* Reads a small file of /proc as text; the length, 0 when it is not there. */
static size_t slurp(const char *path, char *buf, size_t size)
{
    FILE *f = fopen(path, "re");
    size_t n;

    if (f == NULL)
        return 0;
    n = fread(buf, 1, size - 1, f);
    fclose(f);
    buf[n] = '\0';
    return n;
}

static void read_task(struct load_usage *u, pid_t pid, const char *tid)
{
    char path[320], buf[2048];
    unsigned long long ns;
    const char *p;

    snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, tid);
    if (slurp(path, buf, sizeof(buf)) > 0 && sscanf(buf, "%llu", &ns) == 1)
        u->server_ns += ns;
    snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int)pid, tid);
    if (slurp(path, buf, sizeof(buf)) == 0)
        return;
    p = strstr(buf, "\nvoluntary_ctxt_switches:");
    if (p != NULL)
        u->switches += strtoull(p + strlen("\nvoluntary_ctxt_switches:"), NULL, 10);
    p = strstr(buf, "\nnonvoluntary_ctxt_switches:");
    if (p != NULL)
        u->switches += strtoull(p + strlen("\nnonvoluntary_ctxt_switches:"), NULL, 10);
}

static void read_process(struct load_usage *u, pid_t pid)
{
    char path[64], buf[1024];
    unsigned long long user, system;
    struct dirent *e;
    const char *p;
    DIR *d;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    d = opendir(path);
    if (d == NULL)
        return;
    while ((e = readdir(d)) != NULL)
        if (e->d_name[0] != '.')
            read_task(u, pid, e->d_name);
    closedir(d);

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (slurp(path, buf, sizeof(buf)) == 0)
        return;
    /* The name may hold blanks and brackets; utime and stime are fields 14 and 15. */
    p = strrchr(buf, ')');
    if (p != NULL && sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                            &user, &system) == 2) {
        u->user_ticks += user;
        u->system_ticks += system;
    }
}

static uint64_t machine_busy_ns(void)
{
    unsigned long long v[8] = {0};
    uint64_t ticks;
    char buf[512];

    if (slurp("/proc/stat", buf, sizeof(buf)) == 0 ||
        sscanf(buf, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3],
               &v[4], &v[5], &v[6], &v[7]) != 8)
        return 0;
    ticks = v[0] + v[1] + v[2] + v[5] + v[6] + v[7];
    return ticks * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}

void load_usage_read(struct load_usage *u, const struct load_pids *pids)
{
    struct timespec ts;

    memset(u, 0, sizeof(*u));
    for (unsigned i = 0; i < pids->count; i++)
        read_process(u, pids->pid[i]);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    u->client_ns = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
    u->machine_ns = machine_busy_ns();
    u->at_ns = load_now_ns();
}

/* Sums one line, "\nKey:  N kB", of a file of each process; in bytes. */
static uint64_t sum_kb(const struct load_pids *pids, const char *file, const char *key)
{
    char path[64], buf[4096];
    uint64_t sum = 0;
    const char *p;

    for (unsigned i = 0; i < pids->count; i++) {
        snprintf(path, sizeof(path), "/proc/%d/%s", (int)pids->pid[i], file);
        if (slurp(path, buf, sizeof(buf)) > 0 && (p = strstr(buf, key)) != NULL)
            sum += strtoull(p + strlen(key), NULL, 10) * 1024u;
    }
    return sum;
}

uint64_t load_rss_read(const struct load_pids *pids)
{
    return sum_kb(pids, "smaps_rollup", "\nRss:");
}

uint64_t load_rss_peak(const struct load_pids *pids)
{
    return sum_kb(pids, "status", "\nVmHWM:");
}

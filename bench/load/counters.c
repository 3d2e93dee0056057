/* counters.c - perf_event_open for each thread: one group for user space, one for the kernel. */
#include "counters.h"

#include <dirent.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A group of instructions and cycles on one side of the system call. */
static struct load_group open_group(pid_t tid, bool kernel)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_HARDWARE,
        .size = sizeof(attr),
        .config = PERF_COUNT_HW_INSTRUCTIONS,
        .read_format =
            PERF_FORMAT_GROUP | PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
        .exclude_user = kernel,
        .exclude_kernel = !kernel,
        .exclude_hv = 1,
    };
    struct load_group g = {-1, -1};

    g.leader = (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (g.leader < 0)
        return g;
    attr.config = PERF_COUNT_HW_CPU_CYCLES;
    g.member =
        (int)syscall(SYS_perf_event_open, &attr, tid, -1, g.leader, PERF_FLAG_FD_CLOEXEC);
    return g;
}

static void close_group(struct load_group *g)
{
    if (g->member >= 0)
        close(g->member);
    if (g->leader >= 0)
        close(g->leader);
}

static void open_process(struct load_counters *c, pid_t pid)
{
    char path[64];
    struct dirent *e;
    DIR *d;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    d = opendir(path);
    if (d == NULL)
        return;
    while ((e = readdir(d)) != NULL && c->count < LOAD_MAX_COUNTED) {
        pid_t tid = (pid_t)atoi(e->d_name);

        if (tid <= 0)
            continue;
        c->user[c->count] = open_group(tid, false);
        c->kernel[c->count] = open_group(tid, true);
        c->count++;
    }
    closedir(d);
}

void load_counters_open(struct load_counters *c, const struct load_pids *pids)
{
    c->count = 0;
    for (unsigned i = 0; i < pids->count; i++)
        open_process(c, pids->pid[i]);
}

void load_counters_close(struct load_counters *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        close_group(&c->user[i]);
        close_group(&c->kernel[i]);
    }
    c->count = 0;
}

/* Adds a group, scaled to the time that it had to share the counters with others. */
static void add_group(const struct load_group *g, uint64_t *instructions, uint64_t *cycles)
{
    struct {
        uint64_t members, enabled, running, value[2];
    } r;
    double scale;

    if (g->member < 0 || read(g->leader, &r, sizeof(r)) != (ssize_t)sizeof(r) || r.running == 0)
        return;
    scale = (double)r.enabled / (double)r.running;
    *instructions += (uint64_t)((double)r.value[0] * scale);
    *cycles += (uint64_t)((double)r.value[1] * scale);
}

void load_counters_read(const struct load_counters *c, struct load_counts_read *sum)
{
    memset(sum, 0, sizeof(*sum));
    for (unsigned i = 0; i < c->count; i++) {
        add_group(&c->user[i], &sum->user_instructions, &sum->user_cycles);
        add_group(&c->kernel[i], &sum->kernel_instructions, &sum->kernel_cycles);
    }
}

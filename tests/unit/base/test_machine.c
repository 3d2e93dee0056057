#include "rc/base/machine.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[] = "/tmp/roomcast-machine-XXXXXX";

static void put(const char *name, const char *text)
{
    char path[256];
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/%s", top, name);
    for (char *p = path + strlen(top) + 1; (p = strchr(p, '/')) != NULL; *p++ = '/') {
        *p = '\0';
        (void)mkdir(path, 0700);
    }
    f = fopen(path, "w");
    cr_assert_not_null(f);
    cr_assert_geq(fputs(text, f), 0);
    cr_assert_eq(fclose(f), 0);
}

static uint64_t limit(const char *cgroup)
{
    char self[256], groups[256];

    put("self/cgroup", cgroup);
    (void)snprintf(self, sizeof(self), "%s/self", top);
    (void)snprintf(groups, sizeof(groups), "%s/groups", top);
    return rc_cgroup_memory(self, groups);
}

Test(machine, control_groups)
{
    char command[64];

    cr_assert_not_null(mkdtemp(top));
    cr_assert_eq(limit("0::/a/b\n"), UINT64_MAX, "no files");
    put("groups/a/b/memory.max", "max\n");
    cr_assert_eq(limit("0::/a/b\n"), UINT64_MAX);
    put("groups/a/memory.max", "3000000\n");
    cr_assert_eq(limit("0::/a/b\n"), 3000000, "a group is inside of its parent");
    put("groups/a/b/memory.max", "2000000\n");
    cr_assert_eq(limit("0::/a/b\n"), 2000000);
    cr_assert_eq(limit("0::/other\n"), UINT64_MAX);
    /* In a container its own group is the root. */
    put("groups/memory.max", "1000000\n");
    cr_assert_eq(limit("0::/\n"), 1000000);
    put("groups/memory.max", "max\n");
    put("groups/memory/x/memory.limit_in_bytes", "500000\n");
    cr_assert_eq(limit("9:cpu,memory:/x\n0::/\n"), 500000);
    cr_assert_eq(limit("9:cpu,notmemory:/x\n3:name=systemd:/x\n"), UINT64_MAX);
    cr_assert_eq(limit("nonsense\n"), UINT64_MAX);
    (void)snprintf(command, sizeof(command), "rm -r %s", top);
    cr_assert_eq(system(command), 0);
}

Test(machine, memory_of_this_one)
{
    uint64_t all = rc_machine_memory(), own = rc_resident_bytes();

    cr_assert_gt(all, 16u << 20);
    cr_assert_gt(own, 100000);
    cr_assert_lt(own, all);
}

Test(machine, a_thread_on_one_processor)
{
    unsigned n = rc_machine_processors();
    cpu_set_t all, one;

    cr_assert_geq(n, 1u);
    cr_assert_eq(sched_getaffinity(0, sizeof(all), &all), 0);
    cr_assert_eq((unsigned)CPU_COUNT(&all), n);
    for (unsigned i = 0, cpu = 0; i < 2 * n; i++, cpu++) {
        while (!CPU_ISSET(cpu % CPU_SETSIZE, &all))
            cpu++;
        cr_assert(rc_machine_keep_on(i));
        cr_assert_eq(rc_machine_processors(), 1u);
        cr_assert_eq(sched_getaffinity(0, sizeof(one), &one), 0);
        cr_assert(CPU_ISSET(cpu % CPU_SETSIZE, &one), "%u: not on %u", i, cpu % CPU_SETSIZE);
        cr_assert(rc_machine_keep_on(i + 1), "there is but this one left");
        cr_assert_eq(sched_setaffinity(0, sizeof(all), &all), 0);
    }
}

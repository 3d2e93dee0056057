/*
 * main.c - `bench-micro list`, `run NAME` (for callgrind, see ../run.sh), `time [NAME...]` and
 * `million [CONNECTIONS]`.
 */
#include "micro.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

volatile uint64_t micro_sink;

static const struct micro_op *const tables[] = {micro_codec, micro_rings, micro_shard};

enum { TABLES = sizeof(tables) / sizeof(tables[0]), TRIES = 5 };

/* Not inlined: it is where callgrind begins to count. */
__attribute__((noinline)) void micro_measured(const struct micro_op *op, unsigned n)
{
    op->run(n);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static const struct micro_op *find(const char *name)
{
    for (unsigned t = 0; t < TABLES; t++)
        for (const struct micro_op *op = tables[t]; op->name != NULL; op++)
            if (strcmp(op->name, name) == 0)
                return op;
    fprintf(stderr, "bench-micro: there is no operation %s\n", name);
    return NULL;
}

static int list(void)
{
    for (unsigned t = 0; t < TABLES; t++)
        for (const struct micro_op *op = tables[t]; op->name != NULL; op++)
            printf("%s %u %s\n", op->name, op->counted * op->units, op->unit);
    return 0;
}

static int run(const char *name)
{
    const struct micro_op *op = find(name);

    if (op == NULL)
        return 2;
    if (op->begin != NULL)
        op->begin();
    op->run(op->counted / 10 + 1); /* what the first repetitions allocate does not count */
    micro_measured(op, op->counted);
    if (op->end != NULL)
        op->end();
    return 0;
}

/* The least of some tries: what disturbs only makes it longer. */
static void take_time(const struct micro_op *op)
{
    double least = 0;

    if (op->begin != NULL)
        op->begin();
    op->run(op->timed / 10 + 1);
    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t from = now_ns();
        double ns;

        micro_measured(op, op->timed);
        ns = (double)(now_ns() - from) / op->timed / op->units;
        least = i == 0 || ns < least ? ns : least;
    }
    if (op->end != NULL)
        op->end();
    printf("%-28s %9.1f ns each %s\n", op->name, least, op->unit);
    fflush(stdout);
}

static int take_times(char **names)
{
    const struct micro_op *op;

    if (*names != NULL) {
        for (; *names != NULL; names++) {
            if ((op = find(*names)) == NULL)
                return 2;
            take_time(op);
        }
        return 0;
    }
    for (unsigned t = 0; t < TABLES; t++)
        for (op = tables[t]; op->name != NULL; op++)
            take_time(op);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned long n = 1000000;

    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return list();
    if (argc == 3 && strcmp(argv[1], "run") == 0)
        return run(argv[2]);
    if (argc >= 2 && strcmp(argv[1], "time") == 0)
        return take_times(argv + 2);
    if (argc == 3)
        n = strtoul(argv[2], NULL, 10);
    if ((argc == 2 || argc == 3) && strcmp(argv[1], "million") == 0 && n >= 1000 &&
        n <= 4000000)
        return micro_million((uint32_t)n);
    fputs("usage: bench-micro list | run NAME | time [NAME...] | million [CONNECTIONS]\n",
          stderr);
    return 2;
}

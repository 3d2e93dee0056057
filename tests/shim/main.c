/*
 * Runs the registered tests one after the other and prints TAP, which tests/run.sh counts.
 */
#include <criterion/criterion.h>
#include <stdarg.h>

static struct shim_test *first, **last = &first;
static const struct shim_test *running;

void shim_register(struct shim_test *t)
{
    *last = t;
    last = &t->next;
}

void shim_fail(const char *file, int line, const char *what, const char *fmt, ...)
{
    va_list ap;

    printf("not ok - %s::%s\n", running->suite, running->name);
    printf("# %s:%d: expected: %s;", file, line, what);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
    /* Not abort(): a core dump would tell less than the line above. Not exit() either: after a
     * failure the leaks are no news. */
    _Exit(1);
}

int main(void)
{
    int n = 0;

    /* What a crash interrupts must be on the page already. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (struct shim_test *t = first; t != NULL; t = t->next) {
        running = t;
        if (t->disabled) {
            printf("ok - %s::%s # SKIP disabled\n", t->suite, t->name);
            continue;
        }
        if (t->init != NULL)
            t->init();
        t->fn();
        if (t->fini != NULL)
            t->fini();
        printf("ok - %s::%s\n", t->suite, t->name);
        n++;
    }
    printf("# %d tests passed\n", n);
    return n > 0 ? 0 : 1;
}

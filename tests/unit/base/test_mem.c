#include "rc/base/mem.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A size of zero is a valid object, and never NULL. */
Test(mem, zero_bytes)
{
    void *a = rc_malloc(0), *b = rc_calloc(0, 8), *c = rc_calloc(8, 0), *d = rc_try_malloc(0);
    char *e = rc_strndup(NULL, 0);

    cr_assert(a != NULL && b != NULL && c != NULL && d != NULL);
    a = rc_realloc(a, 0);
    d = rc_try_realloc(d, 0);
    cr_assert(a != NULL && d != NULL);
    cr_assert_str_eq(e, "");
    free(a);
    free(b);
    free(c);
    free(d);
    free(e);
}

Test(mem, calloc_zeroes)
{
    for (size_t n = 1; n < 5000; n += 617) {
        unsigned char *dirty = rc_malloc(n), *clean;

        memset(dirty, 0xff, n);
        free(dirty);
        clean = rc_calloc(1, n);
        for (size_t i = 0; i < n; i++)
            cr_assert_eq(clean[i], 0);
        free(clean);
    }
}

Test(mem, realloc_keeps)
{
    char *p = rc_realloc(NULL, 4);

    memcpy(p, "abc", 4);
    p = rc_realloc(p, 100000);
    cr_assert_str_eq(p, "abc");
    p = rc_try_realloc(p, 4);
    cr_assert_not_null(p);
    cr_assert_str_eq(p, "abc");
    free(p);
}

Test(mem, strndup_takes_what_is_not_terminated)
{
    const char bytes[] = {'a', '\0', 'c', 'd'};
    char *s = rc_strndup(bytes, 3);

    cr_assert_arr_eq(s, "a\0c", 4); /* all three, and a NUL */
    free(s);
}

/* What cannot be had ends the process: by SIGABRT, or by the sanitizer's own exit. */
static bool dies(void (*fn)(size_t), size_t n)
{
    pid_t pid = fork();
    int status;

    cr_assert(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        fn(n);
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) || WEXITSTATUS(status) != 0;
}

static void use(void *p)
{
    void *volatile seen = p; /* that the compiler may not leave the allocation out */

    free(seen);
}

static void take_malloc(size_t n)
{
    use(rc_malloc(n));
}

static void take_calloc(size_t n)
{
    use(rc_calloc(n, 2));
}

static void take_realloc(size_t n)
{
    use(rc_realloc(NULL, n));
}

Test(mem, dies_without_memory)
{
    volatile size_t huge = SIZE_MAX / 2 + 1;

    cr_assert_not(dies(take_malloc, 100));
    cr_assert_not(dies(take_calloc, 100));
    cr_assert_not(dies(take_realloc, 100));
    cr_assert(dies(take_malloc, huge));
    cr_assert(dies(take_calloc, huge)); /* twice that does not fit into a size */
    cr_assert(dies(take_realloc, huge));
}

/* What a thread keeps comes back, last in, first out, to who asks for as much. */
Test(mem, blocks_are_kept)
{
    enum { N = 1000 };
    static const size_t sizes[] = {1, 64, 65, 128, 500, 512, 513, 5000};
    unsigned char *all[N];

    rc_blocks_keep(true);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (unsigned k = 0; k < N; k++) {
            all[k] = rc_block_new(sizes[i]);
            memset(all[k], (int)k, sizes[i]);
        }
        for (unsigned k = 0; k < N; k++)
            cr_assert_eq(all[k][sizes[i] - 1], (unsigned char)k);
        for (unsigned k = 0; k < N; k++)
            rc_block_free(all[k], sizes[i]);
    }
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    all[0] = rc_block_new(100);
    all[1] = rc_block_new(128);
    rc_block_free(all[0], 100);
    rc_block_free(all[1], 128);
    cr_assert(rc_block_new(65) == all[1], "one of 65 to 128 bytes");
    cr_assert(rc_block_new(120) == all[0]);
    rc_block_free(all[0], 120);
    rc_block_free(all[1], 65);
#endif
    rc_blocks_keep(false); /* and nothing leaks */
    all[0] = rc_block_new(100);
    rc_block_free(all[0], 100);
}

#include "rc/base/thread.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static int one, other;

/* Does fn(arg) end in abort()? */
static bool aborts(void (*fn)(const void *), const void *arg)
{
    pid_t pid = fork();
    int status;

    cr_assert(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        fn(arg);
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void on_shard(const void *owner)
{
    rc_assert_on_shard(owner);
}

static void on_acceptor(const void *owner)
{
    rc_assert_on_acceptor(owner);
}

Test(thread, owner_is_checked)
{
    rc_thread_enter("test", &one);
    cr_assert_not(aborts(on_shard, &one));
    cr_assert_not(aborts(on_acceptor, &one));
    cr_assert(aborts(on_shard, &other));
    cr_assert(aborts(on_acceptor, &other));
    rc_thread_enter("test", &other);
    cr_assert(aborts(on_shard, &one));
    cr_assert_not(aborts(on_shard, &other));
}

static void *enter_other(void *arg)
{
    char name[16];

    (void)arg;
    cr_assert(aborts(on_shard, &one)); /* a new thread owns nothing */
    rc_thread_enter("fifteen-bytes-x", &other);
    cr_assert_eq(pthread_getname_np(pthread_self(), name, sizeof(name)), 0);
    cr_assert_str_eq(name, "fifteen-bytes-x");
    rc_assert_on_shard(&other);
    return NULL;
}

Test(thread, each_thread_has_its_own)
{
    pthread_t t;

    rc_thread_enter("test", &one);
    cr_assert_eq(pthread_create(&t, NULL, enter_other, NULL), 0);
    cr_assert_eq(pthread_join(t, NULL), 0);
    rc_assert_on_shard(&one);
}

static void keeps(const void *arg)
{
    RC_ASSERT(arg == &one);
}

Test(thread, invariants_are_checked)
{
    cr_assert_not(aborts(keeps, &one));
    cr_assert(aborts(keeps, &other));
}

Test(thread, panic_says_where)
{
    int fd[2], status;
    char text[256];
    ssize_t n;
    pid_t pid;

    cr_assert_eq(pipe(fd), 0);
    pid = fork();
    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)dup2(fd[1], STDERR_FILENO);
        rc_panic("file.c", 42, "water is wet");
    }
    (void)close(fd[1]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    n = read(fd[0], text, sizeof(text) - 1);
    cr_assert_gt(n, 0);
    text[n] = '\0';
    (void)close(fd[0]);
    cr_assert_str_eq(text, "roomcast: file.c:42: broken invariant: water is wet\n");
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

#include "rc/base/log.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What a test writes to stderr goes to a file or a pipe of its own. Assertions come after
 * release_stderr, so that a failure can be read. */
static int saved_stderr = -1;

static void capture_stderr(int fd)
{
    if (saved_stderr < 0)
        saved_stderr = dup(STDERR_FILENO);
    (void)dup2(fd, STDERR_FILENO);
}

static void release_stderr(void)
{
    (void)dup2(saved_stderr, STDERR_FILENO);
    (void)close(saved_stderr);
    saved_stderr = -1;
}

static int temp_file(void)
{
    char name[] = "/tmp/test_log.XXXXXX";
    int fd = mkstemp(name);

    cr_assert(fd >= 0);
    (void)unlink(name);
    return fd;
}

/* The whole file, terminated, to be freed; closes it. */
static char *read_back(int fd)
{
    off_t n = lseek(fd, 0, SEEK_END);
    char *text = malloc((size_t)n + 1);

    cr_assert(text != NULL && pread(fd, text, (size_t)n, 0) == n);
    text[n] = '\0';
    (void)close(fd);
    return text;
}

static double now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Sum of N in "key=N" over all lines. */
static unsigned sum_of(const char *text, const char *key)
{
    unsigned sum = 0;

    for (const char *p = text; (p = strstr(p, key)) != NULL; p += strlen(key))
        sum += (unsigned)strtoul(p + strlen(key), NULL, 10);
    return sum;
}

static unsigned count_of(const char *text, const char *part)
{
    unsigned n = 0;

    for (const char *p = text; (p = strstr(p, part)) != NULL; p += strlen(part))
        n++;
    return n;
}

/* Logs the text, formatted by nobody, outside of start and stop; returns the line. */
static char *line_of(const char *text)
{
    int fd = temp_file();

    capture_stderr(fd);
    rc_log(RC_LOG_WARN, "%s", text);
    release_stderr();
    return read_back(fd);
}

static void check_text(const char *text, const char *expected)
{
    char *line = line_of(text);
    struct tm tm = {0};
    const char *end = strptime(line, "%Y-%m-%dT%H:%M:%S", &tm);

    cr_assert_not_null(end);
    cr_assert_eq(end[0], '.');
    cr_assert_eq(strspn(end + 1, "0123456789"), 3u);
    cr_assert_eq(strncmp(end + 4, "Z warn  ", 8), 0);
    cr_assert_str_eq(end + 12, expected);
    free(line);
}

Test(log, line_has_time_level_and_text)
{
    time_t before = time(NULL), at;
    char *line = line_of("conn=0.17.3 closed");
    struct tm tm = {0};

    cr_assert_not_null(strptime(line, "%Y-%m-%dT%H:%M:%S", &tm));
    at = timegm(&tm);
    cr_assert(at >= before && at <= time(NULL) + 1); /* time() may be a tick behind */
    free(line);
    check_text("conn=0.17.3 closed", "conn=0.17.3 closed\n");
    check_text("", "\n");
}

Test(log, names_the_levels)
{
    static const char *const names[] = {"Z error x\n", "Z warn  x\n", "Z info  x\n",
                                        "Z debug x\n"};

    for (int level = RC_LOG_ERROR; level <= RC_LOG_DEBUG; level++) {
        int fd = temp_file();
        char *line;

        capture_stderr(fd);
        rc_log_write((enum rc_loglevel)level, "x");
        release_stderr();
        line = read_back(fd);
        cr_assert_not_null(strstr(line, names[level]));
        free(line);
    }
}

Test(log, a_peer_cannot_forge_lines)
{
    check_text("a\nb\r\tc", "a\\x0ab\\x0d\\x09c\n");
    check_text("\x1b[2J\x7f", "\\x1b[2J\\x7f\n");
    check_text("\xc2\x9b"
               "31m",
               "\\xc2\\x9b31m\n");
    check_text("\xc2\xa0\xe4\xbd\xa0\xf0\x9f\x98\x80",
               "\xc2\xa0\xe4\xbd\xa0\xf0\x9f\x98\x80\n");
    check_text("\xe4\xbd\xa0\xff", "\\xe4\\xbd\\xa0\\xff\n");
}

/* Whatever the length, the line ends with "...", a newline and no half character. */
Test(log, a_long_text_is_cut_between_characters)
{
    char text[3100];

    for (unsigned lead = 0; lead < 4; lead++) {
        char *line, *body;
        size_t n = 0;

        while (n < lead)
            text[n++] = 'a';
        while (n + 3 < sizeof(text)) {
            memcpy(text + n, "\xe4\xbd\xa0", 3);
            n += 3;
        }
        text[n] = '\0';
        line = line_of(text);
        body = strstr(line, "warn  ") + 6;
        n = strlen(body);
        cr_assert(n > 900 && n < 1100);
        cr_assert_str_eq(body + n - 4, "...\n");
        cr_assert_eq((n - 4 - lead) % 3, 0u);
        cr_assert_null(strstr(body, "\\x"));
        free(line);
    }
    memset(text, '\n', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    check_text("\n", "\\x0a\n");
    {
        char *line = line_of(text);

        cr_assert_eq(count_of(line, "\n"), 1u);
        cr_assert_lt(strlen(line), 1100u);
        cr_assert_not_null(strstr(line, "\\x0a...\n"));
        free(line);
    }
}

Test(log, the_threshold_decides)
{
    int fd = temp_file();
    char *text;

    capture_stderr(fd);
    cr_assert_eq(rc_log_start(RC_LOG_WARN), RC_OK);
    cr_assert_eq(rc_log_start(RC_LOG_DEBUG), RC_EINVAL);
    rc_log(RC_LOG_ERROR, "one");
    rc_log(RC_LOG_WARN, "two");
    rc_log(RC_LOG_INFO, "three");
    atomic_store(&rc_log_threshold, RC_LOG_DEBUG);
    rc_log(RC_LOG_DEBUG, "four");
    rc_log_stop();
    rc_log_stop();
    atomic_store(&rc_log_threshold, RC_LOG_INFO);
    release_stderr();
    text = read_back(fd);
    cr_assert_not_null(strstr(text, "error one\n"));
    cr_assert_not_null(strstr(text, "warn  two\n"));
    cr_assert_null(strstr(text, "three"));
    cr_assert_not_null(strstr(text, "debug four\n"));
    free(text);
}

struct writer {
    pthread_t thread;
    unsigned id, lines;
};

static void *write_many(void *arg)
{
    const struct writer *w = arg;

    for (unsigned i = 0; i < w->lines; i++)
        rc_log(RC_LOG_INFO, "writer=%u line=%u.", w->id, i);
    return NULL;
}

enum { WRITERS = 4 };

/* Returns what arrived; each writer's lines are checked to be in order and whole. */
static char *run_writers(unsigned lines, unsigned *arrived)
{
    struct writer w[WRITERS];
    unsigned next[WRITERS] = {0};
    int fd = temp_file();
    char *text, *copy, *rest = NULL;

    capture_stderr(fd);
    cr_assert_eq(rc_log_start(RC_LOG_INFO), RC_OK);
    for (unsigned i = 0; i < WRITERS; i++) {
        w[i] = (struct writer){.id = i, .lines = lines};
        cr_assert_eq(pthread_create(&w[i].thread, NULL, write_many, &w[i]), 0);
    }
    for (unsigned i = 0; i < WRITERS; i++)
        (void)pthread_join(w[i].thread, NULL);
    rc_log_stop();
    release_stderr();

    text = read_back(fd);
    copy = strdup(text);
    *arrived = 0;
    for (char *l = strtok_r(copy, "\n", &rest); l != NULL; l = strtok_r(NULL, "\n", &rest)) {
        const char *body = strstr(l, "info  writer=");
        unsigned id, line;
        char dot;

        if (body == NULL) {
            cr_assert_not_null(strstr(l, "warn  log full dropped="));
            continue;
        }
        cr_assert_eq(sscanf(body, "info  writer=%u line=%u%c", &id, &line, &dot), 3);
        cr_assert(dot == '.' && id < WRITERS && line >= next[id]);
        next[id] = line + 1;
        (*arrived)++;
    }
    free(copy);
    return text;
}

/* Few enough for one ring, which the writers may get in turn: nothing may be missing. */
Test(log, every_line_of_every_thread_arrives_in_order)
{
    unsigned arrived;
    char *text = run_writers(250, &arrived);

    cr_assert_eq(arrived, WRITERS * 250u);
    cr_assert_null(strstr(text, "dropped="));
    free(text);
}

Test(log, what_does_not_fit_is_counted)
{
    unsigned arrived;
    char *text = run_writers(20000, &arrived);

    cr_assert_eq(arrived + sum_of(text, "dropped="), WRITERS * 20000u);
    free(text);
}

/* One line at a time: each has to wake the log thread by itself. */
Test(log, no_wake_up_is_lost)
{
    int fds[2];
    unsigned missing = 0, torn = 0;

    cr_assert_eq(pipe(fds), 0);
    capture_stderr(fds[1]);
    cr_assert_eq(rc_log_start(RC_LOG_INFO), RC_OK);
    for (unsigned i = 0; i < 5000 && missing == 0; i++) {
        struct pollfd p = {.fd = fds[0], .events = POLLIN};
        char line[256];
        ssize_t n;

        rc_log(RC_LOG_INFO, "tick %u", i);
        if (poll(&p, 1, 10000) != 1) {
            missing++;
            continue;
        }
        n = read(fds[0], line, sizeof(line));
        torn += n <= 0 || line[n - 1] != '\n';
    }
    rc_log_stop();
    release_stderr();
    (void)close(fds[0]);
    (void)close(fds[1]);
    cr_assert_eq(missing, 0u);
    cr_assert_eq(torn, 0u);
}

/* Reads a pipe to its end. */
static void *collect(void *arg)
{
    const int *fd = arg;
    size_t cap = 1 << 22, len = 0;
    char *text = malloc(cap);
    ssize_t n;

    while (text != NULL && len + 1 < cap && (n = read(*fd, text + len, cap - 1 - len)) > 0)
        len += (size_t)n;
    if (text != NULL)
        text[len] = '\0';
    return text;
}

static void check_stalled_pipe(int flags)
{
    enum { LINES = 5000 };
    double longest = 0;
    pthread_t reader;
    void *text = NULL;
    int fds[2];

    cr_assert_eq(pipe(fds), 0);
    (void)fcntl(fds[1], F_SETFL, fcntl(fds[1], F_GETFL) | flags);
    capture_stderr(fds[1]);
    (void)close(fds[1]);
    cr_assert_eq(rc_log_start(RC_LOG_INFO), RC_OK);
    for (unsigned i = 0; i < LINES; i++) {
        double start = now(), took;

        rc_log(RC_LOG_INFO, "%080u", i);
        took = now() - start;
        longest = took > longest ? took : longest;
    }
    cr_assert_eq(pthread_create(&reader, NULL, collect, &fds[0]), 0);
    rc_log_stop();
    release_stderr(); /* the last writing end */
    (void)pthread_join(reader, &text);
    (void)close(fds[0]);
    cr_assert_not_null(text);
    cr_assert_gt(sum_of(text, "dropped="), 0u);
    cr_assert_eq(count_of(text, " info  00") + sum_of(text, "dropped="), (unsigned)LINES);
    cr_assert_lt(longest, 0.9); /* far below: nothing waits for the reader */
    free(text);
}

Test(log, a_stalled_stderr_stalls_nobody)
{
    check_stalled_pipe(0);
    check_stalled_pipe(O_NONBLOCK);
}

Test(log, stopping_gives_up_on_a_stalled_stderr)
{
    double start;
    int fds[2];

    cr_assert_eq(pipe(fds), 0);
    capture_stderr(fds[1]);
    cr_assert_eq(rc_log_start(RC_LOG_INFO), RC_OK);
    for (unsigned i = 0; i < 3000; i++)
        rc_log(RC_LOG_INFO, "%080u", i);
    start = now();
    rc_log_stop();
    release_stderr();
    (void)close(fds[0]);
    (void)close(fds[1]);
    cr_assert_lt(now() - start, 8.0);
}

/* /dev/full answers ENOSPC; a pipe without a reader EPIPE. */
Test(log, lines_that_cannot_be_written_are_counted)
{
    int good = temp_file(), full = open("/dev/full", O_WRONLY | O_CLOEXEC), fds[2];
    struct timespec a_bit = {.tv_nsec = 200000000};
    clock_t cpu;
    char *text;

    cr_assert(full >= 0 && pipe(fds) == 0);
    (void)close(fds[0]);
    capture_stderr(full);
    cr_assert_eq(rc_log_start(RC_LOG_INFO), RC_OK);
    for (unsigned i = 0; i < 10; i++)
        rc_log(RC_LOG_INFO, "to nowhere %u", i);
    (void)nanosleep(&a_bit, NULL);
    capture_stderr(fds[1]);
    cpu = clock();
    for (unsigned i = 0; i < 5; i++)
        rc_log(RC_LOG_INFO, "to nobody %u", i);
    (void)nanosleep(&a_bit, NULL);
    cpu = clock() - cpu;
    capture_stderr(good);
    rc_log(RC_LOG_INFO, "to the file");
    rc_log_stop();
    release_stderr();
    (void)close(full);
    (void)close(fds[1]);
    text = read_back(good);
    cr_assert_not_null(strstr(text, "warn  log unwritten lost=15\n"));
    cr_assert_not_null(strstr(text, "info  to the file\n"));
    cr_assert_null(strstr(text, "nowhere"));
    cr_assert_lt((double)cpu / CLOCKS_PER_SEC, 0.15); /* it does not spin */
    free(text);
}

/* Rings of ended threads go to new ones; lines that they left behind are not lost. */
Test(log, threads_come_and_go)
{
    unsigned missing = 0;
    int fd = temp_file();
    char *text;

    capture_stderr(fd);
    cr_assert_eq(rc_log_start(RC_LOG_INFO), RC_OK);
    for (unsigned i = 0; i < 200; i++) {
        struct writer w = {.id = i, .lines = 2};

        cr_assert_eq(pthread_create(&w.thread, NULL, write_many, &w), 0);
        (void)pthread_join(w.thread, NULL);
    }
    rc_log_stop();
    release_stderr();
    text = read_back(fd);
    for (unsigned i = 0; i < 200; i++) {
        char line[64];

        (void)snprintf(line, sizeof(line), "writer=%u line=1.\n", i);
        missing += strstr(text, line) == NULL;
    }
    cr_assert_eq(missing, 0u);
    cr_assert_eq(count_of(text, "\n"), 400u);
    free(text);
}

static pthread_barrier_t step;

static void *write_over_a_restart(void *unused)
{
    (void)unused;
    rc_log(RC_LOG_INFO, "first run");
    (void)pthread_barrier_wait(&step);
    (void)pthread_barrier_wait(&step);
    rc_log(RC_LOG_INFO, "between");
    (void)pthread_barrier_wait(&step);
    (void)pthread_barrier_wait(&step);
    rc_log(RC_LOG_INFO, "second run");
    return NULL;
}

Test(log, starts_again_with_threads_that_live_on)
{
    int fd = temp_file();
    pthread_t thread;
    char *text;

    cr_assert_eq(pthread_barrier_init(&step, NULL, 2), 0);
    capture_stderr(fd);
    cr_assert_eq(rc_log_start(RC_LOG_INFO), RC_OK);
    cr_assert_eq(pthread_create(&thread, NULL, write_over_a_restart, NULL), 0);
    rc_log(RC_LOG_INFO, "main one");
    (void)pthread_barrier_wait(&step);
    rc_log_stop();
    (void)pthread_barrier_wait(&step);
    (void)pthread_barrier_wait(&step);
    cr_assert_eq(rc_log_start(RC_LOG_INFO), RC_OK);
    (void)pthread_barrier_wait(&step);
    rc_log(RC_LOG_INFO, "main two");
    (void)pthread_join(thread, NULL);
    rc_log_stop();
    rc_log(RC_LOG_INFO, "after");
    release_stderr();
    (void)pthread_barrier_destroy(&step);
    text = read_back(fd);
    cr_assert_eq(count_of(text, "\n"), 6u);
    cr_assert_not_null(strstr(text, "first run\n"));
    cr_assert_not_null(strstr(text, "main one\n"));
    cr_assert_not_null(strstr(text, "between\n"));
    cr_assert_not_null(strstr(text, "second run\n"));
    cr_assert_not_null(strstr(text, "main two\n"));
    cr_assert_not_null(strstr(text, "after\n"));
    free(text);
}

/*
 * log.c - the log thread and the byte rings that feed it.
 *
 *   rc_log_write -> the calling thread's ring -> wake -> log thread -> stderr
 *
 * Each ring has one producer and one consumer and holds whole lines. Waking follows the
 * pending-flag rule: the producer pushes, then sets `pending` and writes the eventfd when it was
 * clear; the log thread clears `pending`, then drains.
 */
#include "rc/base/log.h"

#include "rc/base/mem.h"
#include "rc/base/utf8.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    RING_SIZE = 1 << 16, /* a power of two */
    TEXT_SIZE = 1024,    /* what is longer is cut, and shows it */
    LINE_SIZE = TEXT_SIZE + 64,
    WRITE_SIZE = 4096, /* a pipe that polls writable takes this much without blocking */
    STALL_MS = 1000,   /* what stopping grants a stderr that takes nothing */
    RETRY_MS = 10,
    RETRIES = 100,
    CACHE_LINE = 64,
};

/* head and tail count bytes since the start and never wrap in practice; at most RING_SIZE lie
 * between them. The padding keeps the two sides off each other's cache line. */
struct ring {
    struct ring *next; /* immutable once in the list */
    atomic_bool taken; /* by a thread that lives; a ring without one goes to the next thread */
    _Atomic unsigned dropped; /* lines; producer adds and clears, log thread reads at the end */
    char pad1[CACHE_LINE];
    _Atomic size_t head; /* producer */
    char pad2[CACHE_LINE];
    _Atomic size_t tail; /* log thread */
    char pad3[CACHE_LINE];
    char bytes[RING_SIZE];
};

/* The only process-wide state: stderr is one, too. */
static struct {
    pthread_mutex_t registering; /* a thread's first line, and stop; never taken per line */
    struct ring *_Atomic rings;
    atomic_bool running, stopping;
    _Atomic int pending;
    int wake_fd;
    pthread_t thread;
    unsigned lost;  /* lines that stderr did not take; log thread */
    bool torn;      /* the last thing written was not a whole line; log thread */
    bool abandoned; /* stderr stalled while stopping; log thread */
} logger = {.registering = PTHREAD_MUTEX_INITIALIZER, .wake_fd = -1};

_Atomic int rc_log_threshold = RC_LOG_INFO;

static _Thread_local struct ring *own_ring;
static pthread_key_t at_thread_end;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

/* ---- lines ---- */

static size_t put_prefix(char *line, size_t size, enum rc_loglevel level)
{
    static const char *const names[] = {"error", "warn ", "info ", "debug"};
    struct timespec now = {0};
    struct tm tm = {0};
    size_t n;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &tm);
    n = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &tm);
    return n + (size_t)snprintf(line + n, size - n, ".%03dZ %s ", (int)(now.tv_nsec / 1000000),
                                names[level]);
}

/* Bytes at p that may not stand in a line: control characters, of which U+0080 to U+009F are two
 * bytes, and everything that is not ASCII when the text is not UTF-8. */
static size_t forbidden(const char *p, bool utf8)
{
    unsigned char c = (unsigned char)p[0];

    if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8))
        return 1;
    return c == 0xc2 && (unsigned char)p[1] < 0xa0 ? 2 : 0;
}

/* Of a character in valid UTF-8, by its first byte. */
static size_t utf8_len(char c)
{
    unsigned char first = (unsigned char)c;

    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* Returns the length of the line, with the newline. */
static size_t put_text(char *line, size_t n, const char *text, bool cut)
{
    static const char hex[] = "0123456789abcdef";
    const size_t end = LINE_SIZE - strlen("...\n");
    bool utf8 = rc_utf8_valid(rc_str_of(text));

    while (*text != '\0') {
        size_t bad = forbidden(text, utf8), good = bad != 0 ? 0 : utf8_len(*text);

        if (n + 4 * bad + good > end) {
            cut = true;
            break;
        }
        memcpy(line + n, text, good);
        n += good;
        text += good;
        for (; bad != 0; bad--, text++) {
            unsigned char c = (unsigned char)*text;
            const char escaped[] = {'\\', 'x', hex[c >> 4], hex[c & 15]};

            memcpy(line + n, escaped, sizeof(escaped));
            n += sizeof(escaped);
        }
    }
    if (cut) {
        memcpy(line + n, "...", 3);
        n += 3;
    }
    line[n++] = '\n';
    return n;
}

/* vsnprintf may have cut inside a character, which would make the text look like no UTF-8. */
static void trim_partial_character(char *text, size_t n)
{
    size_t i = n;

    while (i != 0 && ((unsigned char)text[i - 1] & 0xc0) == 0x80)
        i--;
    if (i != 0 && (unsigned char)text[i - 1] >= 0xc0 && i - 1 + utf8_len(text[i - 1]) > n)
        text[i - 1] = '\0';
}

/* text is TEXT_SIZE bytes; len is what vsnprintf said of it. */
static size_t put_line(char *line, enum rc_loglevel level, char *text, int len)
{
    bool cut = len >= TEXT_SIZE;

    if (len < 0)
        text[0] = '\0';
    if (cut)
        trim_partial_character(text, TEXT_SIZE - 1);
    return put_text(line, put_prefix(line, LINE_SIZE, level), text, cut);
}

static size_t put_count(char *line, const char *what, unsigned n)
{
    char text[TEXT_SIZE];

    return put_line(line, RC_LOG_WARN, text, snprintf(text, sizeof(text), "%s%u", what, n));
}

/* ---- the producer's side ---- */

static void release_ring(void *ring)
{
    struct ring *r = ring;

    own_ring = NULL;
    /* release: the next owner continues at the head that this thread wrote last */
    atomic_store_explicit(&r->taken, false, memory_order_release);
}

static void make_key(void)
{
    if (pthread_key_create(&at_thread_end, release_ring) != 0)
        abort(); /* no key is left of 1024, before anything has run */
}

static struct ring *take_ring(void)
{
    struct ring *r;

    (void)pthread_once(&key_once, make_key);
    (void)pthread_mutex_lock(&logger.registering);
    r = atomic_load_explicit(&logger.rings, memory_order_relaxed); /* changed under the mutex */
    /* acquire: see release_ring */
    while (r != NULL && atomic_load_explicit(&r->taken, memory_order_acquire))
        r = r->next;
    if (r == NULL) {
        r = rc_calloc(1, sizeof(*r));
        r->next = atomic_load_explicit(&logger.rings, memory_order_relaxed);
        atomic_init(&r->taken, true);
        /* release: the log thread finds the ring complete */
        atomic_store_explicit(&logger.rings, r, memory_order_release);
    } else {
        atomic_store_explicit(&r->taken, true, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&logger.registering);
    (void)pthread_setspecific(at_thread_end, r);
    own_ring = r;
    return r;
}

static bool push(struct ring *r, const char *line, size_t n)
{
    /* Relaxed: only this thread writes head. Acquire: the log thread has done with the bytes
     * before tail. Release: the log thread sees the bytes before head. */
    size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    size_t used = head - atomic_load_explicit(&r->tail, memory_order_acquire);
    size_t at = head & (RING_SIZE - 1);
    size_t first = n < RING_SIZE - at ? n : RING_SIZE - at;

    if (n > RING_SIZE - used)
        return false;
    memcpy(r->bytes + at, line, first);
    memcpy(r->bytes, line + first, n - first);
    atomic_store_explicit(&r->head, head + n, memory_order_release);
    return true;
}

static void wake_log_thread(void)
{
    static const uint64_t one = 1;

    /* acq_rel: when this reads 1, the log thread's exchange to 0 comes later and sees the push. */
    if (atomic_exchange_explicit(&logger.pending, 1, memory_order_acq_rel) == 0)
        (void)!write(logger.wake_fd, &one, sizeof(one));
}

static void push_line(struct ring *r, const char *line, size_t n)
{
    unsigned dropped = atomic_load_explicit(&r->dropped, memory_order_relaxed);
    char both[2 * LINE_SIZE];
    size_t m = 0;
    bool ok;

    if (dropped == 0) {
        ok = push(r, line, n);
    } else {
        m = put_count(both, "log full dropped=", dropped);
        memcpy(both + m, line, n);
        ok = push(r, both, m + n);
    }
    /* relaxed: a count, read when nothing else writes it */
    atomic_store_explicit(&r->dropped, ok ? 0 : dropped + 1, memory_order_relaxed);
    wake_log_thread();
}

void rc_log_write(enum rc_loglevel level, const char *fmt, ...)
{
    char line[LINE_SIZE], text[TEXT_SIZE];
    va_list ap;
    size_t n;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    n = put_line(line, level, text, len);
    /* acquire: wake_fd was made before */
    if (atomic_load_explicit(&logger.running, memory_order_acquire))
        push_line(own_ring != NULL ? own_ring : take_ring(), line, n);
    else
        (void)!write(STDERR_FILENO, line, n);
}

/* ---- the log thread ---- */

/* False: stderr takes nothing, and the log is stopping. */
static bool wait_writable(void)
{
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    bool asked_to_stop;

    if (logger.abandoned)
        return false;
    do {
        asked_to_stop = atomic_load_explicit(&logger.stopping, memory_order_acquire);
        if (poll(&p, 1, STALL_MS) != 0)
            return true; /* errors, too: write will tell */
    } while (!asked_to_stop);
    logger.abandoned = true;
    return false;
}

/* Returns how much was written: less than n when stderr is gone, full or stalled. */
static size_t write_all(const char *p, size_t n)
{
    unsigned retries = 0;
    size_t done = 0;

    while (done < n && wait_writable()) {
        size_t want = n - done < WRITE_SIZE ? n - done : WRITE_SIZE;
        ssize_t got = write(STDERR_FILENO, p + done, want);

        if (got > 0) {
            done += (size_t)got;
            retries = 0;
            continue;
        }
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            break;
        if (++retries > RETRIES)
            break;
        (void)poll(NULL, 0, RETRY_MS);
    }
    return done;
}

static unsigned count_lines(const char *p, size_t n)
{
    unsigned lines = 0;

    for (size_t i = 0; i < n; i++)
        lines += p[i] == '\n';
    return lines;
}

/* A failed write loses what it did not write; the next one that works tells how many lines. */
static void write_lines(const char *p, size_t n)
{
    char note[LINE_SIZE];
    size_t done;

    if (logger.torn)
        logger.torn = write_all("\n", 1) != 1;
    if (logger.lost != 0 && !logger.torn) {
        size_t m = put_count(note, "log unwritten lost=", logger.lost);

        done = write_all(note, m);
        if (done == m)
            logger.lost = 0;
        logger.torn = done != m && done != 0;
    }
    done = logger.lost == 0 && !logger.torn ? write_all(p, n) : 0;
    if (done == n)
        return;
    logger.torn = logger.torn || (done != 0 && p[done - 1] != '\n');
    logger.lost += count_lines(p + done, n - done);
}

/* The ring's bytes up to a head are whole lines, but may wrap in the middle of one. */
static void drain_ring(struct ring *r)
{
    static char lines[RING_SIZE]; /* of the one log thread */
    size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    size_t n = atomic_load_explicit(&r->head, memory_order_acquire) - tail;
    size_t at = tail & (RING_SIZE - 1);
    size_t first = n < RING_SIZE - at ? n : RING_SIZE - at;

    if (n == 0)
        return;
    memcpy(lines, r->bytes + at, first);
    memcpy(lines + first, r->bytes, n - first);
    /* release: the producer may overwrite them; before the write, so that it drops less */
    atomic_store_explicit(&r->tail, tail + n, memory_order_release);
    write_lines(lines, n);
}

static void drain_all(void)
{
    /* acquire: see take_ring */
    struct ring *r = atomic_load_explicit(&logger.rings, memory_order_acquire);

    for (; r != NULL; r = r->next)
        drain_ring(r);
}

static void tell_dropped(void)
{
    struct ring *r = atomic_load_explicit(&logger.rings, memory_order_acquire);
    unsigned dropped = 0;
    char line[LINE_SIZE];

    for (; r != NULL; r = r->next)
        dropped += atomic_exchange_explicit(&r->dropped, 0, memory_order_relaxed);
    if (dropped != 0)
        write_lines(line, put_count(line, "log full dropped=", dropped));
}

static void *log_main(void *unused)
{
    uint64_t wakes;
    bool stop;

    (void)unused;
    do {
        if (read(logger.wake_fd, &wakes, sizeof(wakes)) < 0 && errno != EINTR)
            break;
        /* Before the flag: what was pushed before stopping was set is drained below. */
        stop = atomic_load_explicit(&logger.stopping, memory_order_acquire);
        /* acq_rel: see wake_log_thread */
        (void)atomic_exchange_explicit(&logger.pending, 0, memory_order_acq_rel);
        drain_all();
    } while (!stop);
    tell_dropped();
    return NULL;
}

/* ---- start and stop ---- */

int rc_log_start(enum rc_loglevel level)
{
    sigset_t all, before;
    int err;

    if (atomic_load_explicit(&logger.running, memory_order_relaxed))
        return RC_EINVAL;
    /* Kept over a stop: a thread that is late must not write into another file. */
    if (logger.wake_fd < 0)
        logger.wake_fd = eventfd(0, EFD_CLOEXEC);
    if (logger.wake_fd < 0)
        return RC_ESYS;
    logger.abandoned = logger.torn = false;
    logger.lost = 0;
    atomic_store_explicit(&logger.stopping, false, memory_order_relaxed);
    atomic_store_explicit(&logger.pending, 0, memory_order_relaxed);
    /* Signals are for main, and a stderr that is gone must be EPIPE, not SIGPIPE. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(&logger.thread, NULL, log_main, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err != 0) {
        errno = err;
        return RC_ESYS;
    }
    (void)pthread_setname_np(logger.thread, "rc-log");
    atomic_store_explicit(&rc_log_threshold, (int)level, memory_order_relaxed);
    /* release: see rc_log_write */
    atomic_store_explicit(&logger.running, true, memory_order_release);
    return RC_OK;
}

static void free_rings(void)
{
    struct ring *r, *next, *kept = NULL;

    (void)pthread_mutex_lock(&logger.registering);
    if (own_ring != NULL) {
        (void)pthread_setspecific(at_thread_end, NULL);
        release_ring(own_ring);
    }
    for (r = atomic_load_explicit(&logger.rings, memory_order_relaxed); r != NULL; r = next) {
        next = r->next;
        if (atomic_load_explicit(&r->taken, memory_order_acquire)) {
            r->next = kept; /* its thread lives, and goes on with it after a new start */
            kept = r;
        } else {
            free(r);
        }
    }
    atomic_store_explicit(&logger.rings, kept, memory_order_release);
    (void)pthread_mutex_unlock(&logger.registering);
}

void rc_log_stop(void)
{
    static const uint64_t one = 1;

    if (!atomic_load_explicit(&logger.running, memory_order_relaxed))
        return;
    atomic_store_explicit(&logger.running, false, memory_order_relaxed);
    /* release: see log_main */
    atomic_store_explicit(&logger.stopping, true, memory_order_release);
    (void)!write(logger.wake_fd, &one, sizeof(one));
    (void)pthread_join(logger.thread, NULL);
    free_rings();
}

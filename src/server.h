/*
 * server.h - the threads of the daemon: makes them, starts them in order, waits for a signal, ends them.
 *
 * Threads:   main's only, but for rc_server_reload().
 * Ownership: owns the configuration and all that is made of it. What the setup names is borrowed.
 */
#ifndef RC_SERVER_H
#define RC_SERVER_H

#include "rc/base/buf.h"
#include "rc/base/conf.h"
#include "rc/base/err.h"

#include <stdbool.h>

#define RC_VERSION "0.1.0"
#ifndef RC_SYSCONFDIR
#define RC_SYSCONFDIR "/etc"
#endif
#define RC_DEFAULT_FILE RC_SYSCONFDIR "/roomcast/roomcast.ini"

enum rc_exit { RC_EXIT_OK = 0, RC_EXIT_RUN = 1, RC_EXIT_CONF = 2 };

struct rc_server;

/* Where the configuration comes from. */
struct rc_server_setup {
    const char *file; /* NULL: defaults only */
    char **option;    /* of -o */
    unsigned noptions;
};

struct rc_server *rc_server_new(const struct rc_server_setup *setup);
enum rc_extent {
    RC_EXTENT_KEYS,    /* reads the keys */
    RC_EXTENT_COMPILE, /* and makes all that they ask for */
    RC_EXTENT_TRY,     /* and looks whether the server could start: --check */
};
/* Tells all faults there are, in the order of the file, on stderr. */
enum rc_exit rc_server_configure(struct rc_server *s, enum rc_extent extent) RC_MUSTCHECK;
const struct rc_conf *rc_server_conf(const struct rc_server *s);
/* Until a signal ends it. */
enum rc_exit rc_server_run(struct rc_server *s) RC_MUSTCHECK;
/* Reads the configuration again, from the same file and options, and puts into effect what needs no
 * restart. False: there were faults, and nothing has changed. It is logged, and said (NULL: not)
 * gets the same lines: the faults, or what needs a restart, and the result. Any thread but a shard's. */
bool rc_server_reload(struct rc_server *s, struct rc_buf *said);
/* s may be NULL. */
void rc_server_free(struct rc_server *s);

/* One line on stderr. Returns RC_EXIT_RUN. */
enum rc_exit rc_fail(const char *fmt, ...) RC_PRINTF(1, 2);
/* Of the last system call. Main thread only. */
const char *rc_reason(void);

#endif /* RC_SERVER_H */

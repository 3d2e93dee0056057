/*
 * proxy.h - stands between the store and its server, and breaks a connection at the worst moment.
 *
 * Threads: one test; it has a thread of its own.
 */
#ifndef RC_TESTS_STORE_PROXY_H
#define RC_TESTS_STORE_PROXY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum proxy_mode {
    PROXY_PASS,
    PROXY_LOSE_COMMIT, /* the next COMMIT does not reach the server */
    PROXY_LOSE_REPLY,  /* it does, but its answer does not come back */
};

struct proxy {
    char path[108], server[108]; /* Unix sockets: its own, the server's */
    _Atomic bool away; /* the server cannot be reached by those who connect from now on */
    _Atomic int mode;  /* back to PASS once it has happened */
    int listener, stop[2];
    pthread_t thread;
};

void proxy_start(struct proxy *p, const char *path, const char *server);
void proxy_stop(struct proxy *p);

#endif /* RC_TESTS_STORE_PROXY_H */

/*
 * options.h - what one run of the load generator is to do, read from the command line.
 *
 * Threads:   one thread.
 * Ownership: the texts point into argv.
 */
#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H

#include "proc.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

enum load_proto {
    LOAD_SIO,   /* Socket.IO over WebSocket */
    LOAD_POLL,  /* Socket.IO over HTTP long-polling */
    LOAD_WS,    /* plain WebSocket: relay, or echo with --echo */
    LOAD_FLOOR, /* bench/floor */
};

/* How the client waits for the next events. */
enum load_wait {
    LOAD_BLOCK, /* sleeps in epoll_wait: each write of the server may have to wake it */
    LOAD_SPIN,  /* never sleeps */
    LOAD_NAP,   /* sleeps a fixed time between two looks */
};

#define LOAD_MAX_NODES  8
#define LOAD_MAX_BESIDE 4

struct load_options {
    enum load_proto proto;
    struct sockaddr_in addr[LOAD_MAX_NODES];
    uint32_t nodes; /* how many of these */
    struct load_pids pids;
    struct load_pids beside[LOAD_MAX_BESIDE]; /* told apart from the servers */
    uint32_t nbeside;
    bool room_in_path;
    const char *auth;   /* the JSON text of CONNECT, or "" */
    const char *path;   /* of a plain WebSocket endpoint; {room} in it is the room's number */
    const char *prefix; /* of the rooms' names */
    const char *label;  /* copied into the JSON line */
    const char *json;   /* file for the JSON line, or NULL: standard output */
    uint32_t rooms, members, senders;
    uint32_t stalled; /* members of each room that stop reading once they are in it */
    uint32_t size;
    double rate;          /* messages/s of all senders; 0: closed loop */
    uint32_t outstanding; /* of each sender, in the closed loop */
    double warmup_s, duration_s, drain_s, setup_s, settle_s;
    double churn; /* new connections per second; 0: no churn */
    enum load_wait wait;
    uint32_t nap_us;
    bool echo, idle, except, apart, far, ack, tls, quiet;
};

/* Returns false after it has written why to standard error. --help ends the program. */
bool load_options_parse(struct load_options *o, int argc, char **argv);
const char *load_proto_name(enum load_proto p);

#endif /* LOAD_OPTIONS_H */

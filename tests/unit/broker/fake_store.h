/*
 * fake_store.h - a store in memory behind the broker's port, for tests: the test says when it answers,
 * and with what faults.
 *
 * Threads: one.
 */
#ifndef RC_TESTS_FAKE_STORE_H
#define RC_TESTS_FAKE_STORE_H

#include "rc/broker/store_port.h"
#include "rig.h"

enum { FAKE_MAX = 2000, FAKE_MEMBERS = 64 };

struct fake_member {
    struct rc_str group, user;
};

struct fake_store {
    struct rc_store_port port;
    struct rc_mesh *mesh;
    unsigned nshards;
    enum rc_store_fault refuse; /* what submit says */
    enum rc_store_fault fail;   /* what requests come back with */
    uint64_t time_ms;           /* of the first message; each next one is a ms later */
    struct rc_store_req *waiting[FAKE_MAX];
    unsigned n;
    struct rc_store_req *row[FAKE_MAX]; /* ids from 1 on */
    unsigned nrows;
    struct fake_member member[FAKE_MEMBERS];
    unsigned nmembers;
    struct {
        char user[64];
        uint64_t id;
    } cursor[FAKE_MEMBERS];
    unsigned ncursors;
    unsigned cursors; /* how often one was stored */
};

/* Behind the rig's port; what is stored stays from one rig to the next. Zero it before the first. */
void fake_open(struct fake_store *f, struct rig *r);
void fake_close(struct fake_store *f);
void fake_join_group(struct fake_store *f, const char *group, const char *user);
/* Puts a message into the store, past the broker: nobody is told. */
void fake_leave(struct fake_store *f, const struct rc_store_in *in);
/* Carries out up to n requests. Returns how many. */
unsigned fake_run(struct fake_store *f, unsigned n);
/* Turns of all, until nothing is on its way. */
void fake_settle(struct fake_store *f, struct rig *r);

#endif /* RC_TESTS_FAKE_STORE_H */

/*
 * bed.h - a store for tests: asks, waits for the answers, and keeps them in the order in which they came.
 *
 * Threads: one test; done() is called on the store's thread.
 */
#ifndef RC_TESTS_STORE_BED_H
#define RC_TESTS_STORE_BED_H

#include "rc/base/conf.h"
#include "rc/store/store.h"

#include <pthread.h>

enum { BED_OPTIONS = 16, BED_DONE = 8192, BED_PRODUCERS = 4 };

struct bed {
    struct rc_conf conf;
    struct rc_store *store;
    const struct rc_store_port *port;
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct rc_store_req *done[BED_DONE]; /* in the order of done(); the bed's */
    unsigned ndone, flushed;
    /* Of one that follows: what was told and what came back, in that order, as words. News: "7:ann>bob", and
     * of a group "7:ann>g(ann,bob)"; "skip". Stored messages: "=8", pages: "?". */
    bool follows;
    struct rc_buf log;
};

/* What makes an engine's store: options such as "store.path=/tmp/x", NULL ends them. */
struct bed_engine {
    const char *option[BED_OPTIONS];
    /* SQL past the store; NULL: none. */
    void (*sql)(const struct bed_engine *e, const char *sql);
    const void *self;
};

/* more: further options, NULL ends them; or NULL. */
void bed_make(struct bed *k, const struct bed_engine *e, const char *const *more);
/* The same of one that follows what others store. */
void bed_make_following(struct bed *k, const struct bed_engine *e, const char *const *more);
/* What it has in its log so far, which is emptied. Static memory. */
const char *bed_log(struct bed *k);
void bed_start(struct bed *k);
/* Both. */
void bed_open(struct bed *k, const struct bed_engine *e);
/* Stops the store and frees all. */
void bed_close(struct bed *k);

struct rc_store_req *bed_new(struct bed *k, enum rc_store_type type,
                             const struct rc_store_in *in);
/* Submits a request that must be taken, and does not wait. */
struct rc_store_req *bed_submit(struct bed *k, enum rc_store_type type, struct rc_store_in in);
/* Until so many have been handed back. */
void bed_await(struct bed *k, unsigned ndone);
/* Submits, and waits for it. The answer is the bed's. */
struct rc_store_req *bed_ask(struct bed *k, enum rc_store_type type, struct rc_store_in in);
/* What became of a message; its id, 0 when it was not stored. */
uint64_t bed_put(struct bed *k, enum rc_store_conversation conversation, const char *user,
                 const char *receiver, const char *content, const char *client_id);
/* "7 8 9" of the rows of an answer, " +" when there are more. Static memory. */
const char *bed_ids(const struct rc_store_req *req);
const char *bed_users(const struct rc_store_req *req);
struct rc_store_stats bed_stats(const struct bed *k);
/* Until the store is up (or down). */
void bed_await_up(const struct bed *k, bool up);

/* suite.c: what holds for each engine. Each case begins with an empty database. */
struct bed_case {
    const char *name;
    void (*run)(const struct bed_engine *e);
};
extern const struct bed_case bed_cases[];
extern const unsigned bed_ncases;
/* suite_follow.c: the same of what others store. */
extern const struct bed_case bed_follow_cases[];
extern const unsigned bed_nfollow_cases;

#endif /* RC_TESTS_STORE_BED_H */

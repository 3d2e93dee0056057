/*
 * line.h - a connection to Redis that comes back by itself, later each time until it has held, and by chance
 * earlier, so that nodes do not come all at once.
 *
 *   connect ── AUTH ── SELECT ── opened() ── rc_line_ready() ── lost ── wait ── connect …
 *
 * Threads:   the cluster's, but for init and deinit: main, while that does not run.
 * Ownership: owns its context and events; base, url and name are borrowed.
 */
#ifndef RC_CLUSTER_LINE_H
#define RC_CLUSTER_LINE_H

#include "rc/base/str.h"
#include "rc/cluster/url.h"

#include <event2/event.h>
#include <hiredis/async.h>
#include <stdbool.h>

enum rc_line_state { RC_LINE_WAITING, RC_LINE_OPENING, RC_LINE_READY };

struct rc_line_ops {
    /* Redis has let us in. rc_line_ready() is to follow soon: after five seconds it is lost. */
    void (*opened)(void *arg);
    /* It has become ready, or is so no more. What was under way is answered with no reply, now or
     * before. */
    void (*changed)(void *arg);
};

struct rc_line {
    struct event_base *base;
    const struct rc_redis_url *url;
    const char *name; /* for logs: what it is for */
    const struct rc_line_ops *ops;
    void *arg;
    bool selects;          /* the database matters */
    const char *late;      /* why it may be that it is not ready in time; NULL: nobody knows */
    redisAsyncContext *ac; /* NULL: WAITING */
    struct event *rev, *wev, *timer;
    enum rc_line_state state;
    bool rests, ending;
    bool writes; /* hiredis has something to write */
    unsigned backoff_ms, seed;
    char told[192]; /* the last reason that was logged */
};

/* The fields from base to selects are set. False: no memory. */
bool rc_line_init(struct rc_line *l);
void rc_line_deinit(struct rc_line *l);
void rc_line_open(struct rc_line *l);
void rc_line_ready(struct rc_line *l);
/* Ends it from here; it comes again. why is logged, unless it is what was logged last. */
void rc_line_drop(struct rc_line *l, const char *why);
/* It has held: the next loss is another story. */
void rc_line_held(struct rc_line *l);
/* Nothing is read for the time being, or it is again. */
void rc_line_rest(struct rc_line *l, bool rests);

/* Writes what has been sent: at the end of each turn of the loop. */
void rc_line_flush(struct rc_line *l);
/* False: it takes nothing more; fn is not called. Not while WAITING. */
bool rc_line_send(struct rc_line *l, redisCallbackFn *fn, void *arg, int argc,
                  const struct rc_str *argv);
enum { RC_LINE_ARGS_MAX = 24 };

/* Is there an answer, of a line that has not been dropped meanwhile? */
static inline bool rc_line_answers(const redisAsyncContext *ac, const void *reply)
{
    return reply != NULL && ac->data != NULL;
}
/* The text of a string or of a status, or an empty slice. */
struct rc_str rc_line_text(const redisReply *r);

#endif /* RC_CLUSTER_LINE_H */

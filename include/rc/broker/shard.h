/*
 * shard.h - one worker: a thread, its loop, and all that it owns.
 *
 * Threads:   new, start, join, free: main.  Everything inside: its own thread.
 * Ownership: owns its connections, sessions, sockets, rooms and timers.
 */
#ifndef RC_BROKER_SHARD_H
#define RC_BROKER_SHARD_H

#include "rc/base/hmap.h"
#include "rc/base/log.h"
#include "rc/base/pool.h"
#include "rc/broker/app.h"
#include "rc/broker/mesh.h"
#include "rc/broker/place.h"
#include "rc/broker/room.h"
#include "rc/broker/session.h"
#include "rc/broker/stats.h"
#include "rc/net/loop.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum { RC_BATCH_MAX = 64, RC_TOKEN_STEPS = 4, RC_METER_STEPS = 4 };

/* Publications to one room of this turn, not yet in the members' queues. */
struct rc_batch {
    struct rc_lroom *room; /* NULL: no batch */
    struct rc_socket *except;
    struct rc_pub *pub[RC_BATCH_MAX];
    unsigned n;
    size_t bytes;
};

struct rc_admission;
struct rc_meter;
struct rc_directory;
struct rc_peers;
struct rc_presences;
struct rc_pipes;

/* What a shard has of an rc_app: the rules that wait may still need it when the shard has gone on. */
struct rc_generation {
    const struct rc_app *app; /* held */
    uint32_t jobs;            /* rules that wait */
    bool left;                /* the shard has gone on */
};
struct rc_ui;
struct rc_ui_counts;

/* An endpoint's heartbeat: pings due, and pongs overdue, each with its ping_interval. */
struct rc_endpoint_timers {
    struct rc_timerq ping, pong;
};

struct rc_shard {
    struct rc_loop loop;
    unsigned index, nshards;
    const struct rc_app *app;         /* the same as generation->app */
    struct rc_generation *generation; /* see renew.c */
    struct rc_admission
        *admission; /* borrowed, set by main; NULL: no limits that shards share */
    struct rc_shard *const
        *peers;          /* [nshards], borrowed; their `stats` and place.seen alone are read */
    uint64_t look_above; /* bytes in queues here, see shed.h */
    struct rc_mesh *mesh;
    bool mail_waits; /* some was left over */
    /* Results to this shard itself wait in a ring, behind a part of a union: so others must, too. */
    bool own_mail;
    uint64_t union_number; /* as sequencer: of the last union */
    uint64_t *union_at; /* [nshards]: the union at which results of that shard rest, 0: none */
    uint32_t mark;      /* the last one given to sockets, see audience.c */

    struct rc_pool sessions, sockets, lrooms, asks;
    struct rc_hmap lroom_by_name; /* of rc_lroom */
    struct rc_hmap room_by_name;  /* of rc_room that this shard owns */
    struct rc_hmap space_by_name; /* of rc_space: the dynamic namespaces of these */
    uint32_t nspaces;             /* dynamic namespaces with sockets here */
    struct rc_hmap known;         /* of rc_identity: sessions whose handshake had a token */
    struct rc_lroom **all;        /* [nnsps]: all sockets of each namespace here */
    struct rc_session **dirty;    /* queues to be flushed at the end of the turn */
    uint32_t ndirty, dirty_cap;
    /* Writes many of them at once; NULL: it is not to, or the kernel has none. */
    struct rc_uring *uring;
    struct rc_pooled **dead; /* sessions and sockets to be put back at the end of the turn */
    uint32_t ndead, dead_cap;
    struct rc_batch batch;
    struct rc_ids ring_paused; /* sessions with RC_PAUSE_RING */
    struct rc_directory *directory;
    struct rc_peers *nodes;         /* other ones, see peers.h */
    struct rc_presences *presences; /* see presence.h */
    struct rc_pipes *pipes;         /* to other nodes, see pipe.c */
    struct rc_meter *meter;         /* [meter_cap], by slot of the session; see meter.h */
    uint32_t meter_cap;
    bool over_rate; /* the message that is being worked on is to be dropped */
    /* Messages to users, see inbox.c. */
    uint64_t inbox_asked;     /* number of the last question to the store */
    uint32_t inbox_under_way; /* questions */
    struct rc_list
        inbox_retry; /* of rc_inbox: the store could not answer, or they wait their turn */
    struct rc_ids inbox_cursors; /* local rooms of users whose cursor has moved */
    struct rc_buf inbox_pages;   /* of rc_inbox_page: are in the queues of devices */
    struct rc_timer inbox_retry_timer, inbox_cursor_timer, inbox_page_timer;
    struct {
        uint64_t stored,
            told;        /* last message to users that was stored here; that others know of */
        uint64_t wanted; /* that others have told of since the store was asked to look */
        uint16_t nsp;
        bool waits; /* it has to look when the timer says so */
        struct rc_timer tell_timer, look_timer;
    } news;                           /* see news.h */
    struct rc_buf scratch;            /* building packets; never across calls */
    struct rc_buf name[2];            /* what the rule that runs next names, see verbs.c */
    struct rc_former former;          /* its deflater is for all connections */
    struct rc_compressor *compressor; /* of answers to polls; NULL until one is compressed */
    struct rc_seg *ping;              /* the frame of an Engine.IO ping, shared */
    struct rc_seg *open[2];           /* that of an open packet; [1]: upgrades are offered */
    uint8_t open_sid[2];              /* where its sid begins */

    struct rc_timerq q_ping, q_pong, q_join, q_head, q_idle, q_proxied, q_tls, q_eof;
    struct rc_timerq q_inbox_retry, q_inbox_cursor, q_inbox_page, q_news_tell, q_news_look;
    struct rc_timerq q_client_ping;                     /* Engine.IO 3 */
    struct rc_timerq q_token[RC_TOKEN_STEPS], q_revoke; /* see identity.c */
    struct rc_timer revoke_timer;
    uint32_t revoke_cursor;                   /* of the sessions */
    struct rc_timerq q_meter[RC_METER_STEPS]; /* see meter.c */
    struct rc_timerq q_message;               /* of a WebSocket message that is arriving */
    struct rc_timerq q_upgrade, q_poll_close, q_directory, q_unwatched, q_ask, q_spill, q_stop;
    struct rc_endpoint_timers **q_endpoint; /* [nnsps], NULL for namespaces */
    struct rc_timer spill_timer;
    struct rc_timer stop_timer;

    struct rc_ui *ui;               /* the Admin UI's, see admin_ui.h; NULL: it is off */
    struct rc_ui_counts *ui_counts; /* its figures, or NULL */
    bool ui_live;                   /* an operator watches, somewhere */
    struct rc_survey *survey,
        **survey_tail;                  /* questions of operators that wait for their turn */
    struct rc_bus_job *job, **job_tail; /* the same of other nodes, see bus_order.c */
    uint64_t ends_from_ms;              /* see front.c: when the first of ends_logged was */
    uint32_t ends_logged, ends_unlogged;
    char date[48]; /* "Date: …" of the second date_at */
    time_t date_at;
    struct rc_timerq q_drain; /* see drain.c */
    struct rc_timer drain_timer;
    uint64_t drain_from_ms;
    uint32_t drain_ms, drain_total, drain_told, drain_cursor;
    bool draining, drain_due, stopping, stop_hard;
    _Atomic bool drained; /* main need not wait for it before it stops all */
    struct rc_stats stats;
    struct rc_births births;
    struct rc_place place;
    pthread_t thread;
    sem_t at_work; /* while it starts */
    bool started;
};

struct rc_shard *rc_shard_new(unsigned index, const struct rc_app *app, struct rc_mesh *mesh,
                              uint32_t max_conns);
/* Returns when its thread is at work, and has opened all that it needs. */
int rc_shard_start(struct rc_shard *sh) RC_MUSTCHECK;
/* One turn without waiting, of a shard that was not started: for tests. */
void rc_shard_turn(struct rc_shard *sh) RC_ON_SHARD;
void rc_shard_join(struct rc_shard *sh);
void rc_shard_free(struct rc_shard *sh);

/* Posts to another shard; to itself only results that must wait. */
void rc_shard_post(struct rc_shard *sh, unsigned to, const struct rc_msg *msg) RC_ON_SHARD;
/* Is a result for that shard to be carried out at once, instead of being posted? */
static inline bool rc_shard_is_here(const struct rc_shard *sh, unsigned to)
{
    return to == sh->index && !sh->own_mail;
}
/* A pooled object is put back at the end of the turn. */
void rc_shard_bury(struct rc_shard *sh, struct rc_pooled *obj) RC_ON_SHARD;
void rc_shard_more_dirty(struct rc_shard *sh);
/* Writes all of them. */
void rc_shard_flush(struct rc_shard *sh) RC_ON_SHARD;
static inline void rc_shard_add_dirty(struct rc_shard *sh, struct rc_session *s)
{
    if (s->dirty)
        return;
    if (sh->ndirty == sh->dirty_cap)
        rc_shard_more_dirty(sh);
    s->dirty = true;
    sh->dirty[sh->ndirty++] = s;
}
/* The shard that a connection lives on. */
static inline struct rc_shard *rc_shard_of(const struct rc_conn *c)
{
    return RC_CONTAINER(c->loop, struct rc_shard, loop);
}

/* Takes at least one argument for fmt. */
#define rc_shard_log(sh, level, fmt, ...) \
    rc_log(level, "shard=%u " fmt, (sh)->index, __VA_ARGS__)

/* ---- renew.c: another configuration ---- */

void rc_renew_init(struct rc_shard *sh);
/* Goes over to the latest generation, if there is one. Call it where nothing of sh->app is in use. */
void rc_renew(struct rc_shard *sh) RC_ON_SHARD;
/* A rule that waited needs its generation no longer. */
void rc_generation_drop(struct rc_generation *g);
void rc_renew_deinit(struct rc_shard *sh);

/* ---- drain.c: the sessions end one after the other ---- */

void rc_drain_init(struct rc_shard *sh);
/* Evenly over that time, and no new ones begin. */
void rc_drain_begin(struct rc_shard *sh, uint32_t over_ms) RC_ON_SHARD;
/* It is time to. */
void rc_drain_turn(struct rc_shard *sh) RC_ON_SHARD;

/* ---- front.c: HTTP of the client-facing port ---- */

/* A new connection, or one of another shard. Takes over its fd. */
void rc_front_accept(struct rc_shard *sh, const struct rc_msg_conn *conn) RC_ON_SHARD;
/* Counts a connection anew by c->peer, when a proxy has said who it is. False: it was turned away, and is
 * closed. */
bool rc_front_admit(struct rc_shard *sh, struct rc_conn *c) RC_ON_SHARD RC_MUSTCHECK;
/* A connection has ended, or has moved away: it is not counted here any more. */
void rc_front_gone(struct rc_shard *sh, struct rc_conn *c) RC_ON_SHARD;
/* May there be one more line about connections that have not become anything? So many a second. */
bool rc_front_may_log(struct rc_shard *sh) RC_ON_SHARD;
/* The server stops: ends connections that wait for a request; waiting_too: all that speak HTTP. */
void rc_front_stop(struct rc_shard *sh, bool waiting_too) RC_ON_SHARD;
void rc_front_init(struct rc_shard *sh);

#endif /* RC_BROKER_SHARD_H */

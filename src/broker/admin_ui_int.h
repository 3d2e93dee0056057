/*
 * admin_ui_int.h - what the files of the Admin UI share; see rc/broker/admin_ui.h.
 *
 * Threads:   the shard's.
 * Ownership: the shard's struct rc_ui owns all of it.
 */
#ifndef RC_BROKER_ADMIN_UI_INT_H
#define RC_BROKER_ADMIN_UI_INT_H

#include "rc/base/buf.h"
#include "rc/base/hmap.h"
#include "rc/base/list.h"
#include "rc/base/timer.h"
#include "rc/broker/admin_ui.h"

/* What is remembered of the request that opened a session. */
struct rc_ui_peer {
    rc_id session;
    char address[RC_ADDR_TEXT]; /* without a port */
    char handshake[];           /* members of a JSON object; "" with ui_mode = production */
};

/* An operator's list of sockets: all_sockets with the first page of each shard, the other pages as
 * socket_connected. What a shard tells behind its page comes behind it here, too. */
struct rc_ui_client {
    struct rc_list link; /* of rc_ui.clients */
    struct rc_session *session;
    rc_id socket;
    uint32_t epoch;      /* of the listing; pages of earlier ones are old news */
    uint32_t listed;     /* sockets */
    bool again;          /* something was left out: list anew */
    bool told;           /* all_sockets */
    uint64_t come;       /* shards whose first page is here, a bit each */
    uint64_t asked;      /* a page of theirs is on its way */
    uint64_t done;       /* all of theirs are listed */
    uint64_t since;      /* when the listing began */
    uint32_t *cursor;    /* [nshards] */
    struct rc_buf list;  /* first pages */
    struct rc_buf later; /* frames that come behind them */
};

enum rc_ui_verb { RC_UI_JOIN, RC_UI_LEAVE, RC_UI_DISCONNECT };

struct rc_ui {
    struct rc_ui_counts counts;
    uint16_t nsp; /* index of the namespace */
    struct rc_ui_desk *desk;
    bool all_events;   /* ui_mode = development */
    uint64_t watchers; /* shards with operators, a bit each */
    struct rc_list clients;
    struct rc_ids logins;     /* sessions that the desk looks at */
    struct rc_buf out;        /* frames of this turn */
    struct rc_buf text;       /* of the event that is being built */
    bool matters;             /* out has more than events of sockets */
    bool lost;                /* some of it could not be told */
    enum rc_ui_reason reason; /* of the next socket that is closed */
    struct rc_ui_peer *next_peer;
    struct rc_hmap peers; /* of rc_ui_peer */
    struct rc_list jobs;  /* of commands */
    unsigned njobs;
    struct rc_timerq q_tick;
    struct rc_timer tick;
};

/* ---- admin_ui.c ---- */

/* The first operator has come to this shard, or the last one has gone: all shards hear of it. */
void rc_ui_watch(struct rc_shard *sh) RC_ON_SHARD;

/* ---- admin_ui_tell.c ---- */

/* An event for operators in ui->text: begin, put its arguments, end: it is in ui->out. */
void rc_ui_begin(struct rc_shard *sh, const char *event);
void rc_ui_end(struct rc_ui *ui);
/* ,"2026-11-22T07:24:00.123Z" */
void rc_ui_put_now(struct rc_buf *to);
/* Appends text that may be Latin-1 as a JSON string. */
void rc_ui_put_latin1(struct rc_str text, struct rc_buf *to);

/* ---- admin_ui_list.c ---- */

void rc_ui_put_socket(struct rc_shard *sh, const struct rc_socket *k, struct rc_buf *to);
const struct rc_ui_peer *rc_ui_peer_of(const struct rc_shard *sh, const struct rc_session *s);
void rc_ui_forget_peer(struct rc_shard *sh, const struct rc_session *s);
/* Lists the sockets of all shards for the client. */
void rc_ui_list(struct rc_shard *sh, struct rc_ui_client *c) RC_ON_SHARD;
/* Another shard asks for a page, or has sent one. */
void rc_ui_on_list(struct rc_shard *sh, const struct rc_msg *msg) RC_ON_SHARD;
void rc_ui_on_page(struct rc_shard *sh, const struct rc_msg *msg) RC_ON_SHARD;
/* Hands out what a shard, or the desk, tells. */
enum { RC_UI_MATTERS = 1, RC_UI_LOST = 2 };
void rc_ui_take(struct rc_shard *sh, unsigned from, struct rc_pub *pub,
                unsigned flags) RC_ON_SHARD;
void rc_ui_client_free(struct rc_ui_client *c);
/* Goes on with lists that waited for their client. */
void rc_ui_on_tick(struct rc_timer *t, void *arg);

/* ---- admin_ui_cmd.c ---- */

void rc_ui_on_command(struct rc_shard *sh, const struct rc_msg *msg) RC_ON_SHARD;
/* A slice of each command. */
void rc_ui_work(struct rc_shard *sh) RC_ON_SHARD;
void rc_ui_jobs_free(struct rc_ui *ui);

#endif /* RC_BROKER_ADMIN_UI_INT_H */

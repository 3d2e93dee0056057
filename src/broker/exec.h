/*
 * exec.h - a rule that is being carried out: what verbs.c, which runs it, and the actions share.
 *
 * An action returns RC_OK; RC_EAGAIN when it must wait for a fence or the store and is called again; anything
 * else after rc_exec_refuse(), which names a code and a text for the sender.
 *
 * Threads:   the session's shard.
 * Ownership: lives on the stack of verbs.c, which frees the buffers; the rest is borrowed.
 */
#ifndef RC_BROKER_EXEC_H
#define RC_BROKER_EXEC_H

#include "rc/base/buf.h"
#include "rc/base/thread.h"
#include "rc/broker/app.h"
#include "rc/broker/name.h"
#include "rc/broker/rules.h"
#include "rc/broker/session.h"
#include "rc/broker/space.h"
#include "rc/broker/stored.h"
#include "rc/broker/verbs.h"
#include "rc/proto/sio.h"
#include "rc/proto/template.h"

#include <stdbool.h>
#include <stdint.h>

struct rc_audience;
struct rc_generation;
struct rc_shard;

/* [connect] goes through all of them. */
enum rc_phase { RC_PHASE_ENTER, RC_PHASE_JOINS, RC_PHASE_CONNECT, RC_PHASE_ALL };

struct rc_exec {
    struct rc_shard *sh;
    struct rc_session *session;
    struct rc_socket *socket;
    struct rc_generation *generation; /* that nsp and the rule are of */
    const struct rc_nsp *nsp;
    const struct rc_rule *rule;
    const struct rc_event *ev; /* NULL for [connect] */
    enum rc_phase phase;
    unsigned next; /* action */
    bool acked;
    bool connect;
    const struct rc_store_answer *answer; /* to the action at hand; NULL: it has not asked */
    struct rc_buf groups;                 /* what the store has said of some, see allow.c */
    uint64_t asked_group; /* the answer is about that one; 0: it is the action's */
    uint64_t ask;         /* number of the question that is being built, 0: none */
    uint32_t ask_ms;      /* how long its answers are awaited */
    struct rc_template_env env;
    struct rc_str at_fault; /* key of an argument, see env.key */
    struct rc_buf longer_id;
    struct rc_buf name[2]; /* the last room named, and the one before it */
    unsigned named;        /* which is the last */
    struct rc_str home;    /* of a dynamic namespace, see space.h; else empty */
    struct rc_str key;     /* of the room that env.room is */
    const char *code;      /* of a refusal; its message is `text` unless the rule has one: */
    struct rc_buf message, data; /* JSON; data may be empty */
    bool data_attached;          /* the event's attachments belong to data */
    /* From here on nothing is set at the start. */
    char text[160];
    char id[RC_NAME_LEN + 1]; /* the socket's, unless it is longer */
};

/* ---- exec.c ---- */

/* The sender's id; computed when it is first asked for. arg: the rc_exec, as template.h has it. */
struct rc_str rc_exec_own_id(void *arg);

/* Refuses the event: code for programs, text for people. Returns what the action returns. */
RC_PRINTF(3, 4)
int rc_exec_refuse(struct rc_exec *x, const char *code, const char *fmt, ...);
/* The same for what a template returned: rc, and the argument that it named. */
int rc_exec_refuse_arg(struct rc_exec *x, int rc, unsigned arg);
/* The same with the message and the data of the rule, where it has them, instead of text. */
int rc_exec_refuse_by_rule(struct rc_exec *x, const struct rc_action *a, const char *code,
                           const char *text);
/* Tells the sender by the ack, or by the error event when it asked for none. */
void rc_exec_tell_refusal(struct rc_exec *x) RC_ON_SHARD;
/* Appends the message of the refusal, as JSON. */
void rc_exec_put_message(const struct rc_exec *x, struct rc_buf *to);

/* Builds one packet into the shard's scratch buffer. event may be NULL (an ack). */
int rc_exec_build(struct rc_exec *x, enum rc_sio_type type, const struct rc_template *event,
                  const struct rc_template *args);

bool rc_exec_wants_ack(const struct rc_exec *x);
enum rc_ack_mode rc_exec_ack_mode(const struct rc_exec *x);
void rc_exec_send_ack_json(struct rc_exec *x, struct rc_str json) RC_ON_SHARD;

/* Fills in the room's name, or the socket's id, of an action; it becomes {room}. */
int rc_exec_fill_name(struct rc_exec *x, const struct rc_action *a);
/* Fills in all names of a list. *to is the caller's, to free. */
int rc_exec_fill_list(struct rc_exec *x, const struct rc_target_list *l,
                      struct rc_audience **to);
/* Fills in the user of an action. *key: of the room of that user's devices, good until the next name
 * is filled in; {room} stays what it was. */
int rc_exec_fill_user(struct rc_exec *x, const struct rc_template *user, struct rc_str *key);
/* That key of a user; good as long. */
struct rc_str rc_exec_user_key(struct rc_exec *x, struct rc_str user);
/* Could that, which is no socket of this node, be the id of one of another? */
bool rc_exec_is_elsewhere(const struct rc_exec *x, struct rc_str id);
/* Key of the room that watches the list of rooms; good until the next name is filled in. */
struct rc_str rc_exec_directory_key(struct rc_exec *x);
/* Of a room's key. */
static inline uint64_t rc_exec_hash(const struct rc_exec *x, struct rc_str key)
{
    return rc_space_hash(x->sh, x->nsp->index, key);
}

/* ---- allow.c ---- */

/* May the sender do that in a room, by its key? RC_OK; or refused as `denied`, with the line of the INI
 * that says so; RC_EAGAIN: the store is asked, call it again. */
int rc_access_check(struct rc_exec *x, enum rc_access access, struct rc_str key) RC_ON_SHARD;

/* The rule goes on: takes the answer, if that is what was asked for. */
void rc_access_answered(struct rc_exec *x);

/* ---- actions.c ---- */

int rc_action_require(struct rc_exec *x, const struct rc_action *a) RC_ON_SHARD;
int rc_action_join(struct rc_exec *x, const struct rc_action *a) RC_ON_SHARD;
int rc_action_leave(struct rc_exec *x, const struct rc_action *a) RC_ON_SHARD;
int rc_action_ack(struct rc_exec *x, const struct rc_action *a) RC_ON_SHARD;
int rc_action_watch(struct rc_exec *x, const struct rc_action *a) RC_ON_SHARD;
int rc_action_unwatch(struct rc_exec *x, const struct rc_action *a) RC_ON_SHARD;
int rc_action_presence(struct rc_exec *x, const struct rc_action *a) RC_ON_SHARD;
int rc_action_disconnect(struct rc_exec *x, const struct rc_action *a) RC_ON_SHARD;
/* By its key. */
int rc_action_join_room(struct rc_exec *x, struct rc_str room) RC_ON_SHARD;

/* ---- emit.c ---- */

int rc_action_emit(struct rc_exec *x, const struct rc_action *a) RC_ON_SHARD;
int rc_action_ask(struct rc_exec *x, const struct rc_action *a) RC_ON_SHARD;
/* May the sender publish to the room that the action has named? As rc_access_check(). */
int rc_action_may_publish(struct rc_exec *x, const struct rc_action *a) RC_ON_SHARD;
/* By its key and hash: the event of the action. */
int rc_action_emit_to_room(struct rc_exec *x, struct rc_str room, uint64_t hash,
                           const struct rc_action *a) RC_ON_SHARD;

/* ---- durable.c: those that ask the store; while it answers they wait, and are called again ---- */

int rc_action_store(struct rc_exec *x, const struct rc_action *a) RC_ON_SHARD;
int rc_action_message(struct rc_exec *x, const struct rc_action *a) RC_ON_SHARD;
int rc_action_history(struct rc_exec *x, const struct rc_action *a) RC_ON_SHARD;
int rc_action_group(struct rc_exec *x, const struct rc_action *a) RC_ON_SHARD;
/* Is the sender in that group? RC_EAGAIN: x->answer will tell. */
int rc_action_ask_group(struct rc_exec *x, struct rc_str group) RC_ON_SHARD;
int rc_action_require_group(struct rc_exec *x, const struct rc_action *a) RC_ON_SHARD;

#endif /* RC_BROKER_EXEC_H */

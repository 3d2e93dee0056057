/*
 * rules.h - the event rules of the INI, compiled: what an event does.
 *
 * One table of verbs (RC_VERB_MAP) names the closed set of actions; broker/verbs.c runs
 * them. Webhooks and scripts, once they exist, call the same verbs.
 *
 * Threads:   compile, free: main, before the threads start.  Lookup: any; rules are immutable.
 * Ownership: the rule set owns its rules and templates.
 */
#ifndef RC_BROKER_RULES_H
#define RC_BROKER_RULES_H

#include "rc/base/conf.h"
#include "rc/base/hmap.h"
#include "rc/proto/template.h"

#include <stdbool.h>
#include <stdint.h>

#define RC_TARGET_FORM \
    "; a TARGET is room ROOM, rooms LIST, user USER, socket ID, sender, or all alone"
/* X(NAME, ini key, what its value looks like) */
#define RC_VERB_MAP(X)                                                                        \
    X(REQUIRE, "require",                                                                     \
      "member ROOM | auth KEY | same TEXT TEXT | group GROUP [else MESSAGE [DATA]]")          \
    X(REFUSE, "refuse", "MESSAGE [DATA]")                                                     \
    X(JOIN, "join", "ROOM | rooms LIST")                                                      \
    X(LEAVE, "leave", "ROOM | rooms LIST")                                                    \
    X(EMIT, "emit", "[volatile] TARGET, ... [except TARGET, ...]: EVENT ARGS" RC_TARGET_FORM) \
    X(ASK, "ask",                                                                             \
      "[volatile] TARGET, ... [except TARGET, ...] [within TIME]: EVENT ARGS" RC_TARGET_FORM) \
    X(ACK, "ack", "none | auto | ARGS")                                                       \
    X(WATCH, "watch", "rooms")                                                                \
    X(UNWATCH, "unwatch", "rooms")                                                            \
    X(PRESENCE, "presence", "room ROOM")                                                      \
    X(DISCONNECT, "disconnect", "namespace | connection")                                     \
    X(STORE, "store", "[later] room ROOM [except sender] [once CLIENT_ID]: EVENT ARGS")       \
    X(MESSAGE, "message", "an object {conversationType, receiverId, content, clientId}")      \
    X(HISTORY, "history",                                                                     \
      "room ROOM [OPTIONS] | conversation OPTIONS | conversations [OPTIONS]")                 \
    X(GROUP, "group", "create GROUP | add GROUP USER | remove GROUP USER | list GROUP")

enum rc_verb {
#define RC_VERB_ENUM(name, key, form) RC_VERB_##name,
    RC_VERB_MAP(RC_VERB_ENUM)
#undef RC_VERB_ENUM
};

enum rc_require { RC_REQUIRE_MEMBER, RC_REQUIRE_AUTH, RC_REQUIRE_SAME, RC_REQUIRE_GROUP };
enum rc_group { RC_GROUP_CREATE, RC_GROUP_ADD, RC_GROUP_REMOVE, RC_GROUP_LIST };
enum rc_history { RC_HISTORY_ROOM, RC_HISTORY_CONVERSATION, RC_HISTORY_CONVERSATIONS };
enum rc_target {
    RC_TARGET_ROOM,
    RC_TARGET_ALL,
    RC_TARGET_SENDER,
    RC_TARGET_SOCKET,
    RC_TARGET_USER,  /* all devices of a user */
    RC_TARGET_ROOMS, /* a JSON array of names; in a list only */
};

/* One item of a list of targets. */
struct rc_target_item {
    enum rc_target target;
    struct rc_template *name; /* of a room, socket or user; ROOMS: an argument. Else NULL */
};

/* What is more than one target, with at most the sender excepted. */
struct rc_target_list {
    bool is_volatile;
    unsigned nto, nexcept; /* item[0..nto), and the nexcept behind them */
    struct rc_target_item item[];
};

struct rc_action {
    enum rc_verb verb;
    enum rc_target target;       /* EMIT, unless there is a list */
    bool except_sender;          /* EMIT to room or all */
    uint32_t within_ms;          /* ASK */
    bool whole_connection;       /* DISCONNECT */
    enum rc_require require;     /* REQUIRE */
    enum rc_group group;         /* GROUP */
    enum rc_history history;     /* HISTORY */
    bool later;                  /* STORE: sent before it is stored */
    struct rc_target_list *list; /* EMIT, JOIN and LEAVE: more than that, or NULL */
    struct rc_template *name;    /* text: the room, the user, or the socket's id */
    struct rc_template *event;   /* EMIT: the event name, as a JSON argument */
    struct rc_template *args;    /* EMIT and ACK: the arguments */
    /* REQUIRE same: what is compared; auth: [0] the key's value; group, GROUP: [0] the group, [1] the
     * user; STORE: [0] the client's id */
    struct rc_template *text[2];
    struct rc_template *message; /* REFUSE, REQUIRE: what the sender is told, a JSON string */
    struct rc_template *data;    /* the same, HISTORY: one JSON value; or NULL */
};

enum rc_ack_mode { RC_ACK_DEFAULT, RC_ACK_NONE, RC_ACK_AUTO, RC_ACK_OWN };

struct rc_rule {
    char *event; /* "*" is the fallback; "" for [connect] */
    enum rc_ack_mode ack;
    struct rc_action *action;
    unsigned nactions;
};

struct rc_ruleset {
    struct rc_rule *rule; /* of one namespace */
    unsigned nrules;
    struct rc_hmap by_event; /* of rc_rule by rc_hash_quick(event) */
    const struct rc_rule *fallback;
    struct rc_rule *connect; /* or NULL */
    bool uses_auth;          /* some template reads {auth.…} */
    bool connect_uses_auth;  /* one of [connect] does */
    bool uses_ask;           /* some rule has `ask` */
    bool uses_messages;      /* some rule has `message`: users get what they have missed */
    bool has_store;          /* set before rc_ruleset_add: rules may store */
};

/* Compiles one [event] or [connect] section into the set; faults go to e. */
void rc_ruleset_add(struct rc_ruleset *set, const struct rc_conf_section *section,
                    struct rc_conf_errors *e);
/* After the last rc_ruleset_add: builds the lookup. */
void rc_ruleset_seal(struct rc_ruleset *set);
void rc_ruleset_free(struct rc_ruleset *set);
/* The rule of an event (decoded name), the fallback, or NULL. */
const struct rc_rule *rc_ruleset_find(const struct rc_ruleset *set, struct rc_str event);

#endif /* RC_BROKER_RULES_H */

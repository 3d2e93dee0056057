/*
 * access.h - the [room PATTERN] sections of the INI, compiled: who may do what in which rooms, and
 * where it is told who is there.
 *
 * The first section of a namespace whose pattern fits a room's name decides; there a * stands for one
 * or more characters of any kind. A room that no section fits is anyone's.
 *
 * Threads:   add, deinit: main, before the threads start.  find: any; rules are immutable.
 * Ownership: the set owns its rules; names are the configuration's.
 */
#ifndef RC_BROKER_ACCESS_H
#define RC_BROKER_ACCESS_H

#include "rc/base/conf.h"
#include "rc/base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* X(NAME, ini key): what can be done in a room */
#define RC_ACCESS_MAP(X)  \
    X(JOIN, "join")       \
    X(PUBLISH, "publish") \
    X(HISTORY, "history")

enum rc_access {
#define RC_ACCESS_ENUM(name, key) RC_ACCESS_##name,
    RC_ACCESS_MAP(RC_ACCESS_ENUM)
#undef RC_ACCESS_ENUM
        RC_ACCESS_COUNT,
};

enum rc_grantee {
    RC_GRANT_ANYONE,
    RC_GRANT_AUTHENTICATED, /* has shown a token */
    RC_GRANT_MEMBER,        /* of the room; not of JOIN */
    RC_GRANT_GROUP,         /* who is in the group that the * stands for; the store knows */
    RC_GRANT_CLAIM, /* whose token names the room in a claim: a text, or an array with it */
    RC_GRANT_USER,  /* whose id is what the * stands for */
};

struct rc_grant {
    enum rc_grantee to;
    struct rc_str claim;
    char *text; /* "[room vip-*] join = claim rooms" */
};

struct rc_room_rule {
    struct rc_str pattern;
    struct rc_grant grant[RC_ACCESS_COUNT];
    bool presence;
    uint32_t hold_ms; /* presence: how long a user who has gone may take to come back */
};

struct rc_room_rules {
    struct rc_room_rule *rule; /* [n], in the order of the INI */
    unsigned n;
};

/* What a namespace has, without which some of it makes no sense. */
struct rc_room_setting {
    bool tokens; /* they are looked at */
    bool store;
};
/* Compiles a section into the set; faults go to e. */
void rc_room_rules_add(struct rc_room_rules *set, const struct rc_conf_section *section,
                       struct rc_room_setting setting, struct rc_conf_errors *e);
void rc_room_rules_deinit(struct rc_room_rules *set);
/* The section that decides about a room, by its name; or NULL. */
const struct rc_room_rule *rc_room_rules_find(const struct rc_room_rules *set,
                                              struct rc_str name);
/* What the * of its pattern stands for; the whole name when there is none. */
struct rc_str rc_room_rule_star(const struct rc_room_rule *rule, struct rc_str name);

#endif /* RC_BROKER_ACCESS_H */

/*
 * ctl.h - the console: commands of operators by a Unix socket, and roomcast ctl, which sends them.
 *
 *   SHOW clients|rooms|namespaces|shards|rings|config|stats [KEY=VALUE ...]
 *   KICK CLIENT | KEY=VALUE ...      RELOAD      LOG [LEVEL]      HELP      VERSION
 *
 * A command is one line, its answer one line of JSON: {"ok":true,…} or {"ok":false,"error":CODE,"message":TEXT}.
 * Answers with lists are written as shards hand in their slices (broker/survey.h), and the next slice is asked for
 * when the client has read: one that is slow costs nothing but its own time.
 *
 * Threads:   new, stop, free: main.  The rest of the console: the thread of rc_admin, whose event_base it
 *            lives on. rc_ctl_parse: any.  rc_ctl_cli: the main thread of another process.
 * Ownership: the console owns its clients and their questions; the sources are borrowed.
 */
#ifndef RC_API_CTL_H
#define RC_API_CTL_H

#include "rc/api/admin.h"
#include "rc/broker/survey.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    RC_CTL_LINE = 4096,   /* bytes of a command */
    RC_CTL_CONSOLES = 16, /* at once */
    RC_CTL_LIMIT = 100,   /* rows of a list, if nothing is said */
    RC_CTL_LIMIT_MAX = 1000000000,
    RC_CTL_SORTED_MAX = 10000, /* rows of a sorted list at most: they are kept until the last */
};

/* ---- commands ---- */

enum rc_ctl_verb {
    RC_CTL_SHOW,
    RC_CTL_KICK,
    RC_CTL_RELOAD,
    RC_CTL_LOG,
    RC_CTL_HELP,
    RC_CTL_VERSION,
};

/* X(id, word, what its keys are, help) */
#define RC_CTL_OBJECT_MAP(X)                                                             \
    X(CLIENTS, "clients", "client user address room namespace transport limit sort",     \
      "who is connected; sort = queue, sockets or rooms")                                \
    X(ROOMS, "rooms", "room namespace limit sort", "rooms; sort = members or published") \
    X(NAMESPACES, "namespaces", "namespace limit",                                       \
      "namespaces and endpoints, the fullest first")                                     \
    X(SHARDS, "shards", "", "what each shard has and has done")                          \
    X(RINGS, "rings", "limit", "the rings between threads that were ever used")          \
    X(NODES, "nodes", "limit", "the other roomcast nodes of the cluster")                \
    X(CONFIG, "config", "key", "what is in effect; key = SECTION.KEY, with * for any")   \
    X(STATS, "stats", "", "all shards together, and the store")

enum rc_ctl_object {
#define RC_CTL_OBJECT_ENUM(id, word, keys, help) RC_CTL_##id,
    RC_CTL_OBJECT_MAP(RC_CTL_OBJECT_ENUM)
#undef RC_CTL_OBJECT_ENUM
};

struct rc_ctl_command {
    enum rc_ctl_verb verb;
    enum rc_ctl_object object; /* SHOW */
    struct rc_survey_filter filter;
    uint32_t limit;
    struct rc_str key; /* SHOW config */
    bool has_level;
    enum rc_loglevel level;
};

enum { RC_CTL_WHY = 320 };
/* Words, by blanks; a value may be in double quotes, with \" and \\ in them. Works in place: the command's texts
 * point into line. False: why says what is wrong. */
bool rc_ctl_parse(char *line, size_t len, struct rc_ctl_command *cmd, char why[RC_CTL_WHY]);
/* What HELP says. */
const char *rc_ctl_help(void);
const char *rc_ctl_level(enum rc_loglevel level);

/* ---- answers from counters, as whole documents ---- */

void rc_ctl_show_shards(const struct rc_admin_sources *from, struct rc_buf *to);
void rc_ctl_show_rings(const struct rc_admin_sources *from, uint32_t limit, struct rc_buf *to);
void rc_ctl_show_nodes(const struct rc_admin_sources *from, uint32_t limit, struct rc_buf *to);
void rc_ctl_show_stats(const struct rc_admin_sources *from, struct rc_buf *to);
/* Returns how many keys fit. */
unsigned rc_ctl_show_config(const struct rc_conf *conf, struct rc_str key, struct rc_buf *to);
void rc_ctl_version(const struct rc_admin_sources *from, struct rc_buf *to);

/* ---- the console ---- */

struct event_base;
struct rc_ctl;

/* Binds admin.socket, with mode 0600. NULL, and a line in e. */
struct rc_ctl *rc_ctl_new(const struct rc_conf *conf, const struct rc_admin_sources *from,
                          struct event_base *base, struct rc_conf_errors *e);
/* c may be NULL. Removes the socket. */
void rc_ctl_free(struct rc_ctl *c);
const char *rc_ctl_path(const struct rc_ctl *c);

/* ---- roomcast ctl ---- */

/* argv[0] is "ctl". default_file: the configuration if there is no -c; NULL: none. Returns the exit code. */
int rc_ctl_cli(int argc, char **argv, const char *default_file);
struct json_t;
/* The text of HELP, for people. */
void rc_ctl_put_help(const char *text, struct rc_buf *to);
/* An answer for people. */
void rc_ctl_print(const struct json_t *answer, struct rc_buf *to);

#endif /* RC_API_CTL_H */

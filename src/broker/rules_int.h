/*
 * rules_int.h - what the files of the rules' compiler share: rules.c, which knows the verbs, the
 * words and templates that values are made of, and the targets of emit and ask.
 *
 * A function that returns false has told the fault.
 *
 * Threads:   main, before the others start.
 * Ownership: words point into the entry's value; templates and lists are the caller's.
 */
#ifndef RC_BROKER_RULES_INT_H
#define RC_BROKER_RULES_INT_H

#include "rc/base/conf.h"
#include "rc/base/err.h"
#include "rc/base/str.h"
#include "rc/broker/rules.h"

#include <stdbool.h>
#include <stddef.h>

struct rc_compiler {
    const struct rc_conf_section *section;
    const struct rc_conf_entry *entry;
    const struct rc_conf_entry *last; /* a disconnect or so, behind which nothing may come */
    struct rc_conf_errors *e;
    struct rc_ruleset *set;
    struct rc_rule *rule;
    enum rc_verb verb;
    const char *form; /* what the verb's value looks like */
    bool named;       /* a line before names a room: {room} is something */
    bool joined;      /* a join before does; in [connect] these come first */
};

/* ---- rules_text.c ---- */

/* Says what is wrong with the entry, and what its value looks like. Returns false. */
RC_PRINTF(2, 3)
bool rc_rules_fault(struct rc_compiler *c, const char *fmt, ...);
/* As much of a value as a fault repeats; cut between characters. */
struct rc_str rc_rules_shown(struct rc_str value);

bool rc_rules_is_blank(char ch);
struct rc_str rc_rules_skip_blanks(struct rc_str s);
/* At a ": the length with both quotes; 0 when the second is missing. */
size_t rc_rules_quoted_len(struct rc_str s);
/* Up to white space outside of placeholders. */
size_t rc_rules_word_len(struct rc_str s);
/* Cuts off the next word, or text in quotes; empty at the end. */
bool rc_rules_next_word(struct rc_compiler *c, struct rc_str *src, struct rc_str *word);

bool rc_rules_compile_args(struct rc_compiler *c, struct rc_str src, struct rc_template **to);
/* The name of a room or a user, or a socket's id: a word, or a text in quotes, in which \" is a quote. */
bool rc_rules_compile_name(struct rc_compiler *c, struct rc_str src, const char *what,
                           struct rc_template **to);
/* A room was named: it is {room} from now on. */
void rc_rules_name_room(struct rc_compiler *c);
/* The name of a room, behind which nothing may follow. */
bool rc_rules_compile_room(struct rc_compiler *c, struct rc_str src, struct rc_template **to);
/* A list of names: one argument, or what is written as a JSON array without blanks. */
bool rc_rules_compile_list(struct rc_compiler *c, struct rc_str src, struct rc_template **to);
/* The next word, or text in quotes, as a JSON string. */
bool rc_rules_compile_string(struct rc_compiler *c, struct rc_str *src, const char *what,
                             struct rc_template **to);

/* ---- rules_target.c ---- */

enum {
    RC_TARGETS_MAX = 64,                      /* in a list, except or not */
    RC_TARGET_WORDS = 2 * RC_TARGETS_MAX + 4, /* volatile … except … within 5s */
};

/* What comes before the colon. */
struct rc_target_words {
    struct rc_str word[RC_TARGET_WORDS];
    bool comma[RC_TARGET_WORDS]; /* one follows the word */
    unsigned n;
};

/* Cuts the words before the colon. *src is what comes behind it. */
bool rc_rules_read_target(struct rc_compiler *c, struct rc_str *src, struct rc_target_words *t);
/* Sets the action's target, or its list where one target cannot say it. */
bool rc_rules_compile_target(struct rc_compiler *c, const struct rc_target_words *t,
                             struct rc_action *a);
void rc_rules_free_list(struct rc_target_list *l);

/* ---- rules.c ---- */

/* EVENT ARGS, what is left. */
bool rc_rules_compile_event(struct rc_compiler *c, struct rc_str src, struct rc_action *a);

/* ---- rules_store.c ---- */

bool rc_rules_compile_store(struct rc_compiler *c, struct rc_str src, struct rc_action *a);
bool rc_rules_compile_message(struct rc_compiler *c, struct rc_str src, struct rc_action *a);
bool rc_rules_compile_history(struct rc_compiler *c, struct rc_str src, struct rc_action *a);
bool rc_rules_compile_group(struct rc_compiler *c, struct rc_str src, struct rc_action *a);
/* require group. */
bool rc_rules_compile_in_group(struct rc_compiler *c, struct rc_str group, struct rc_action *a);
/* Does an action that reads {message.…} come behind one that stores? */
bool rc_rules_check_message(struct rc_compiler *c, const struct rc_action *a);

#endif /* RC_BROKER_RULES_INT_H */

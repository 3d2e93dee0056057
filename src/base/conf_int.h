/*
 * conf_int.h - what the files of the configuration share: the INI reader, the values and the
 * headers of rule sections.
 *
 * Threads:   main.
 * Ownership: slices point into the text that is being read.
 */
#ifndef RC_BASE_CONF_INT_H
#define RC_BASE_CONF_INT_H

#include "rc/base/conf.h"

/* conf_ini.c: the lines of an INI text, one item at a time. */

enum rc_ini_kind { RC_INI_END, RC_INI_SECTION, RC_INI_ENTRY, RC_INI_FAULT };

struct rc_ini_item {
    unsigned line;
    struct rc_str section;    /* RC_INI_SECTION: what is between the brackets, trimmed */
    struct rc_str key, value; /* RC_INI_ENTRY: trimmed */
    struct rc_str text;       /* RC_INI_FAULT: the line, and what is wrong with it */
    char why[96];
};

struct rc_ini {
    struct rc_str _rest;
    unsigned _line;
    struct rc_buf _joined; /* a value that continues over several lines */
};

void rc_ini_init(struct rc_ini *ini, struct rc_str text);
void rc_ini_deinit(struct rc_ini *ini);
/* The item's slices are good until the next call. */
enum rc_ini_kind rc_ini_next(struct rc_ini *ini, struct rc_ini_item *item);
struct rc_str rc_ini_trim(struct rc_str s);
/* False and why filled when a line of an INI file could not carry this text as a value. */
bool rc_ini_check(struct rc_str s, char *why, size_t why_len);

/* conf_value.c: one value of the table. */

enum rc_conf_type {
    RC_CONF_BOOL,
    RC_CONF_INT,
    RC_CONF_AUTO,
    RC_CONF_DURATION,
    RC_CONF_SIZE,
    RC_CONF_CEILING,
    RC_CONF_POW2,
    RC_CONF_STRING,
    RC_CONF_EVENTNAME,
    RC_CONF_TOKEN,
    RC_CONF_PATH,
    RC_CONF_FILE,
    RC_CONF_DIR,
    RC_CONF_LISTEN,
    RC_CONF_TRANSPORTS,
    RC_CONF_ORIGINS,
    RC_CONF_TEXTS,
    RC_CONF_FILES,
    RC_CONF_NETWORKS,
    RC_CONF_TOKENS,
    RC_CONF_LOGLEVEL,
    RC_CONF_ACKPOLICY,
    RC_CONF_UNKNOWNEVENT,
    RC_CONF_SAMESITE,
    RC_CONF_UIMODE,
    RC_CONF_PARSER,
    RC_CONF_AUTHMODE,
    RC_CONF_STOREENGINE,
    RC_CONF_STORETLS,
    RC_CONF_CLUSTERMODE,
    RC_CONF_RATEPOLICY,
};

struct rc_conf_key {
    const char *section, *key;
    enum rc_conf_type type;
    const char *def;
    uint64_t min, max;
    bool reloadable;
    const char *help;
    size_t offset; /* of the field in struct rc_conf */
};

extern const struct rc_conf_key rc_conf_keys[];
extern const unsigned rc_conf_nkeys;

static inline void *rc_conf_field(struct rc_conf *conf, const struct rc_conf_key *k)
{
    return (char *)conf + k->offset;
}

/* Parses value into the field of k, whose old content is freed on success only. Relative
 * folders start from dir. On a fault writes what was expected. */
bool rc_conf_value_set(struct rc_conf *conf, const struct rc_conf_key *k, struct rc_str value,
                       const char *dir, struct rc_buf *expected);
void rc_conf_value_free(struct rc_conf *conf, const struct rc_conf_key *k);
void rc_conf_value_put(const struct rc_conf *conf, const struct rc_conf_key *k,
                       struct rc_buf *to);
/* What it may be, in few words: "100ms to 24h". */
void rc_conf_value_describe(const struct rc_conf_key *k, struct rc_buf *to);
/* A text in double quotes loses them; \" and \\ are undone. False: the quotes do not match. */
bool rc_conf_unquote(struct rc_str value, struct rc_buf *out);
/* Quotes only where a line of the file would not keep the text as it is. */
void rc_conf_put_text(struct rc_str s, struct rc_buf *to);
/* Stars in place of a secret, or of the password in a URL: for logs and operators. */
void rc_conf_mask(const char *key, struct rc_buf *value);

/* conf_check.c: the forms of names, paths and addresses. False: out says what was expected. */

bool rc_conf_check_path(struct rc_str s, struct rc_buf *expected);
/* 10.0.0.0/8, or an address alone. */
bool rc_conf_check_network(struct rc_str s, struct rc_buf *expected);
bool rc_conf_check_origin(struct rc_str s, struct rc_buf *expected);
bool rc_conf_check_event(struct rc_str s, struct rc_buf *expected);
/* A name as HTTP has them for methods, headers and cookies. */
bool rc_conf_check_token(struct rc_str s, struct rc_buf *expected);
bool rc_conf_check_namespace(struct rc_str s, struct rc_buf *expected);

/* The checks that need more than one value. */
void rc_conf_check_all(const struct rc_conf *conf, struct rc_conf_errors *e);

/* conf_path.c: files and folders. */

/* The absolute folder of a file (NULL: the current one), to be freed. */
char *rc_conf_folder_of(const char *file);
/* Appends s, from dir when it is relative; "" stays empty. */
void rc_conf_resolve(const char *dir, struct rc_str s, struct rc_buf *to);
/* The same for each item of a list by comma. */
void rc_conf_resolve_files(const char *dir, struct rc_str s, struct rc_buf *to);
/* The same for what listens: a path only behind unix: */
void rc_conf_resolve_listen(const char *dir, struct rc_str s, struct rc_buf *to);

/* conf_section.c: sections that hold rules, endpoints and listeners. */

struct rc_conf_header {
    enum rc_conf_section_kind kind;
    struct rc_str nsp, name;
};

/* RC_OK; RC_ENOENT: no such kind of section; RC_EINVAL: expected says what is wrong. */
int rc_conf_header_parse(struct rc_str text, struct rc_conf_header *h, struct rc_buf *expected);
struct rc_conf_section *rc_conf_section_find(const struct rc_conf *conf,
                                             const struct rc_conf_header *h);
struct rc_conf_section *rc_conf_section_add(struct rc_conf *conf,
                                            const struct rc_conf_header *h);
struct rc_conf_entry *rc_conf_entry_add(struct rc_conf_section *s, struct rc_str key,
                                        struct rc_str value);
struct rc_conf_entry *rc_conf_entry_find(const struct rc_conf_section *s, struct rc_str key);
void rc_conf_section_free(struct rc_conf_section *s);
bool rc_conf_has_listener(const struct rc_conf *conf);
/* Is the key allowed there, and may it stand there only once? */
bool rc_conf_entry_allowed(enum rc_conf_section_kind kind, struct rc_str key, bool *once);
/* The i-th key that such a section may have, or NULL. */
const char *rc_conf_entry_name(enum rc_conf_section_kind kind, unsigned i);
/* Appends the value of a key that has just been read, which may be a path from dir. */
void rc_conf_entry_put(enum rc_conf_section_kind kind, struct rc_str key, struct rc_str value,
                       const char *dir, struct rc_buf *to);
/* Are its values taken as they stand, quotes included? */
bool rc_conf_section_is_raw(enum rc_conf_section_kind kind);

/* conf_suggest.c */

/* The nearest of n names, or NULL when none is near. */
const char *rc_conf_nearest(struct rc_str word, const char *const *names, unsigned n);

#endif /* RC_BASE_CONF_INT_H */

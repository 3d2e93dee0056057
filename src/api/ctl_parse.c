/* ctl_parse.c - the console's commands: words, filters and what is wrong with them. */
#include "rc/api/ctl.h"

#include "rc/base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

struct words {
    char *at, *end;
    char *why;
};

RC_PRINTF(2, 3)
static bool wrong(char *why, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(why, RC_CTL_WHY, fmt, ap);
    va_end(ap);
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word, without its quotes; empty and true at the end. */
static bool next_word(struct words *w, struct rc_str *word, bool *any)
{
    char *to;
    bool quoted = false;

    while (w->at < w->end && is_blank(*w->at))
        w->at++;
    *any = w->at < w->end;
    *word = rc_str_make(w->at, 0);
    for (to = w->at; w->at < w->end && (quoted || !is_blank(*w->at)); w->at++) {
        if (*w->at == '"') {
            quoted = !quoted;
            continue;
        }
        if (quoted && *w->at == '\\' && w->at + 1 < w->end &&
            (w->at[1] == '"' || w->at[1] == '\\'))
            w->at++;
        *to++ = *w->at;
    }
    word->len = (size_t)(to - word->p);
    return quoted ? wrong(w->why, "the quotes do not match") : true;
}

static bool is_word(struct rc_str word, const char *text)
{
    return rc_str_ieq(word, rc_str_of(text));
}

/* Is it one of the names in list, which blanks separate? */
static bool is_listed(const char *list, struct rc_str name)
{
    while (*list != '\0') {
        size_t n = strcspn(list, " ");

        if (rc_str_ieq(rc_str_make(list, n), name))
            return true;
        list += n + (list[n] == ' ');
    }
    return false;
}

/* ---- values ---- */

static bool parse_limit(struct rc_str value, uint32_t *limit, char *why)
{
    char text[16], *end = text;
    unsigned long long n = 0;

    *limit = RC_CTL_LIMIT_MAX;
    if (is_word(value, "all"))
        return true;
    if (value.len != 0 && value.len < sizeof(text) && value.p[0] >= '0' && value.p[0] <= '9') {
        (void)snprintf(text, sizeof(text), "%.*s", RC_STR_ARG(value));
        n = strtoull(text, &end, 10);
    }
    if (end == text || *end != '\0' || n > RC_CTL_LIMIT_MAX)
        return wrong(why, "limit=%.*s: expected a number, or all", RC_STR_ARG(value));
    *limit = (uint32_t)n;
    return true;
}

static bool parse_sort(struct rc_ctl_command *cmd, struct rc_str value, char *why)
{
    static const struct {
        enum rc_ctl_object object;
        const char *word;
        enum rc_survey_key key;
    } keys[] = {
        {RC_CTL_CLIENTS, "queue", RC_SURVEY_QUEUE},
        {RC_CTL_CLIENTS, "sockets", RC_SURVEY_SOCKETS},
        {RC_CTL_CLIENTS, "rooms", RC_SURVEY_JOINED},
        {RC_CTL_ROOMS, "members", RC_SURVEY_MEMBERS},
        {RC_CTL_ROOMS, "published", RC_SURVEY_SENT},
    };

    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (keys[i].object != cmd->object || !is_word(value, keys[i].word))
            continue;
        cmd->filter.key = (uint8_t)keys[i].key;
        return true;
    }
    return wrong(why, "sort=%.*s: expected %s", RC_STR_ARG(value),
                 cmd->object == RC_CTL_CLIENTS ? "queue, sockets or rooms"
                                               : "members or published");
}

static bool parse_transport(struct rc_survey_filter *f, struct rc_str value, char *why)
{
    f->transport = is_word(value, "polling")     ? RC_SURVEY_POLLING
                   : is_word(value, "websocket") ? RC_SURVEY_WEBSOCKET
                   : is_word(value, "plain")     ? RC_SURVEY_PLAIN
                                                 : RC_SURVEY_ANY;
    return f->transport != RC_SURVEY_ANY ||
           wrong(why, "transport=%.*s: expected polling, websocket or plain",
                 RC_STR_ARG(value));
}

static bool take_value(struct rc_ctl_command *cmd, struct rc_str key, struct rc_str value,
                       char *why)
{
    struct rc_survey_filter *f = &cmd->filter;
    const struct {
        const char *key;
        struct rc_str *to;
    } texts[] = {{"client", &f->client}, {"user", &f->user},     {"address", &f->address},
                 {"room", &f->room},     {"namespace", &f->nsp}, {"key", &cmd->key}};

    if (value.len == 0)
        return wrong(why, "%.*s=: expected a value", RC_STR_ARG(key));
    if (is_word(key, "limit"))
        return parse_limit(value, &cmd->limit, why);
    if (is_word(key, "sort"))
        return parse_sort(cmd, value, why);
    if (is_word(key, "transport"))
        return parse_transport(f, value, why);
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (is_word(key, texts[i].key))
            *texts[i].to = value;
    return true;
}

/* ---- commands ---- */

/* One KEY=VALUE; keys: those that there may be. what: for what is told. */
static bool parse_value(struct words *w, struct rc_ctl_command *cmd, struct rc_str word,
                        const char *keys, const char *what)
{
    const char *eq = memchr(word.p, '=', word.len);
    struct rc_str key;

    if (eq == NULL)
        return wrong(w->why, "%s: expected KEY=VALUE instead of %.*s", what, RC_STR_ARG(word));
    key = rc_str_make(word.p, (size_t)(eq - word.p));
    if (!is_listed(keys, key))
        return wrong(w->why, "%s: there is no key %.*s%s%s", what, RC_STR_ARG(key),
                     keys[0] != '\0' ? "; there are: " : "", keys);
    return take_value(cmd, key, rc_str_skip(word, key.len + 1), w->why);
}

/* All that are left. */
static bool parse_values(struct words *w, struct rc_ctl_command *cmd, const char *keys,
                         const char *what)
{
    struct rc_str word;
    bool any;

    for (;;) {
        if (!next_word(w, &word, &any))
            return false;
        if (!any)
            return true;
        if (!parse_value(w, cmd, word, keys, what))
            return false;
    }
}

static bool parse_show(struct words *w, struct rc_ctl_command *cmd)
{
    static const struct {
        const char *word, *keys, *what;
    } objects[] = {
#define OBJECT(id, word, keys, help) [RC_CTL_##id] = {word, keys, "SHOW " word},
        RC_CTL_OBJECT_MAP(OBJECT)
#undef OBJECT
    };
    struct rc_str word;
    bool any;

    if (!next_word(w, &word, &any))
        return false;
    for (unsigned i = 0; any && i < sizeof(objects) / sizeof(objects[0]); i++) {
        if (!is_word(word, objects[i].word))
            continue;
        cmd->object = (enum rc_ctl_object)i;
        if (!parse_values(w, cmd, objects[i].keys, objects[i].what))
            return false;
        if (cmd->filter.key != RC_SURVEY_UNSORTED && cmd->limit > RC_CTL_SORTED_MAX) {
            if (cmd->limit != RC_CTL_LIMIT_MAX)
                return wrong(w->why, "limit=%u: a sorted list has %d rows at most", cmd->limit,
                             RC_CTL_SORTED_MAX);
            cmd->limit = RC_CTL_SORTED_MAX;
        }
        return true;
    }
    return wrong(w->why,
                 "SHOW%s%.*s: expected clients, rooms, namespaces, shards, rings, nodes, "
                 "config or stats",
                 any ? " " : "", RC_STR_ARG(any ? word : RC_STR_NONE));
}

static bool parse_kick(struct words *w, struct rc_ctl_command *cmd)
{
    static const char keys[] = "client user address room namespace transport";
    struct rc_str word;
    bool any;

    cmd->object = RC_CTL_CLIENTS;
    if (!next_word(w, &word, &any))
        return false;
    if (!any || word.len == 0)
        return wrong(w->why,
                     "KICK: expected the id of a client or of a socket, or whom: user=, "
                     "address=, room=, namespace=, transport=");
    if (memchr(word.p, '=', word.len) == NULL)
        cmd->filter.client = word;
    else if (!parse_value(w, cmd, word, keys, "KICK"))
        return false;
    return parse_values(w, cmd, keys, "KICK");
}

static bool parse_level(struct words *w, struct rc_ctl_command *cmd)
{
    struct rc_str word;
    bool any;

    if (!next_word(w, &word, &any))
        return false;
    cmd->has_level = any;
    if (!any)
        return true;
    for (int i = RC_LOG_ERROR; i <= (int)RC_LOG_DEBUG; i++) {
        if (!is_word(word, rc_ctl_level((enum rc_loglevel)i)))
            continue;
        cmd->level = (enum rc_loglevel)i;
        return parse_values(w, cmd, "", "LOG");
    }
    return wrong(w->why, "LOG %.*s: expected error, warn, info or debug", RC_STR_ARG(word));
}

bool rc_ctl_parse(char *line, size_t len, struct rc_ctl_command *cmd, char why[RC_CTL_WHY])
{
    static const struct {
        const char *word;
        enum rc_ctl_verb verb;
    } verbs[] = {{"SHOW", RC_CTL_SHOW},      {"KICK", RC_CTL_KICK}, {"RELOAD", RC_CTL_RELOAD},
                 {"LOG", RC_CTL_LOG},        {"HELP", RC_CTL_HELP}, {"?", RC_CTL_HELP},
                 {"VERSION", RC_CTL_VERSION}};
    struct words w = {line, line + len, why};
    struct rc_str word;
    bool any;

    *cmd = (struct rc_ctl_command){.limit = RC_CTL_LIMIT};
    if (!rc_utf8_valid(rc_str_make(line, len)) || memchr(line, '\0', len) != NULL)
        return wrong(why, "the command is not UTF-8");
    if (!next_word(&w, &word, &any))
        return false;
    for (unsigned i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (!is_word(word, verbs[i].word))
            continue;
        cmd->verb = verbs[i].verb;
        switch (cmd->verb) {
        case RC_CTL_SHOW: return parse_show(&w, cmd);
        case RC_CTL_KICK: return parse_kick(&w, cmd);
        case RC_CTL_LOG: return parse_level(&w, cmd);
        case RC_CTL_RELOAD:
        case RC_CTL_HELP:
        case RC_CTL_VERSION: return parse_values(&w, cmd, "", verbs[i].word);
        }
    }
    return wrong(why, "there is no command %.*s: HELP lists them", RC_STR_ARG(word));
}

const char *rc_ctl_level(enum rc_loglevel level)
{
    static const char *const word[] = {
        [RC_LOG_ERROR] = "error",
        [RC_LOG_WARN] = "warn",
        [RC_LOG_INFO] = "info",
        [RC_LOG_DEBUG] = "debug",
    };

    return word[level];
}

const char *rc_ctl_help(void)
{
    return
#define LINE(id, word, keys, help) "SHOW " word "\t" keys "\t" help "\n"
        RC_CTL_OBJECT_MAP(LINE)
#undef LINE
            "KICK ID\t\tends a client; ID is its id, that of one of its sockets, or its "
            "Engine.IO sid\n"
            "KICK\tclient user address room namespace transport\tends all that fit\n"
            "LOG\t[error|warn|info|debug]\tshows or sets what is logged\n"
            "RELOAD\t\treads the configuration again\n"
            "VERSION\t\tof the server\n"
            "HELP\t\tthis list\n";
}

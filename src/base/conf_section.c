/*
 * conf_section.c - the sections that hold lists: [event], [connect], [namespace], [room],
 * [endpoint], [listen].
 */
#include "conf_int.h"

#include "rc/base/mem.h"

#include <stdlib.h>

#define ON(kind) (1u << (kind))
#define RULES    (ON(RC_CONF_EVENT) | ON(RC_CONF_CONNECT))

static const struct entry_key {
    const char *name;
    unsigned kinds; /* ON() of the sections that may have it */
    bool once;
} entry_keys[] = {
    {"require", RULES, false},
    {"refuse", RULES, true},
    {"join", RULES, false},
    {"leave", RULES, false},
    {"emit", RULES, false},
    {"ask", RULES, true},
    {"ack", RULES, true},
    {"watch", RULES, false},
    {"unwatch", RULES, false},
    {"store", RULES, false},
    {"message", RULES, false},
    {"history", RULES, true},
    {"group", RULES, false},
    {"presence", RULES, false},
    {"disconnect", RULES, true},
    {"parser", ON(RC_CONF_NAMESPACE), true},
    {"protocol", ON(RC_CONF_ENDPOINT), true},
    {"prefix", ON(RC_CONF_ENDPOINT), true},
    {"namespace", ON(RC_CONF_ENDPOINT), true},
    {"untyped", ON(RC_CONF_ENDPOINT), true},
    {"ping_interval", ON(RC_CONF_ENDPOINT), true},
    {"max_payload", ON(RC_CONF_ENDPOINT), true},
    {"per_message_deflate", ON(RC_CONF_ENDPOINT), true},
    {"auth", ON(RC_CONF_NAMESPACE) | ON(RC_CONF_ENDPOINT), true},
    {"join", ON(RC_CONF_ROOM), true},
    {"publish", ON(RC_CONF_ROOM), true},
    {"history", ON(RC_CONF_ROOM), true},
    {"presence", ON(RC_CONF_ROOM), true},
    {"presence_hold", ON(RC_CONF_ROOM), true},
    {"address", ON(RC_CONF_LISTENER), true},
    {"proxy_protocol", ON(RC_CONF_LISTENER), true},
    {"mode", ON(RC_CONF_LISTENER), true},
    {"tls", ON(RC_CONF_LISTENER), true},
    {"certificate", ON(RC_CONF_LISTENER), true},
    {"key", ON(RC_CONF_LISTENER), true},
    {"client_ca", ON(RC_CONF_LISTENER), true},
    {"client_auth", ON(RC_CONF_LISTENER), true},
    {"tls_min", ON(RC_CONF_LISTENER), true},
    {"ciphers", ON(RC_CONF_LISTENER), true},
};
enum { NKEYS = sizeof(entry_keys) / sizeof(entry_keys[0]) };

bool rc_conf_entry_allowed(enum rc_conf_section_kind kind, struct rc_str key, bool *once)
{
    for (unsigned i = 0; i < NKEYS; i++) {
        if ((entry_keys[i].kinds & ON(kind)) == 0 ||
            !rc_str_eq(key, rc_str_of(entry_keys[i].name)))
            continue;
        *once = entry_keys[i].once;
        return true;
    }
    return false;
}

const char *rc_conf_entry_name(enum rc_conf_section_kind kind, unsigned i)
{
    for (unsigned j = 0; j < NKEYS; j++)
        if ((entry_keys[j].kinds & ON(kind)) != 0 && i-- == 0)
            return entry_keys[j].name;
    return NULL;
}

bool rc_conf_section_is_raw(enum rc_conf_section_kind kind)
{
    return kind != RC_CONF_ENDPOINT && kind != RC_CONF_LISTENER;
}

static bool is_files(struct rc_str key)
{
    return rc_str_eq(key, RC_STR("certificate")) || rc_str_eq(key, RC_STR("key")) ||
           rc_str_eq(key, RC_STR("client_ca"));
}

void rc_conf_entry_put(enum rc_conf_section_kind kind, struct rc_str key, struct rc_str value,
                       const char *dir, struct rc_buf *to)
{
    if (kind == RC_CONF_LISTENER && rc_str_eq(key, RC_STR("address")))
        rc_conf_resolve_listen(dir, value, to);
    else if (kind == RC_CONF_LISTENER && is_files(key))
        rc_conf_resolve_files(dir, value, to);
    else
        rc_buf_puts(to, value);
}

bool rc_conf_has_listener(const struct rc_conf *conf)
{
    for (unsigned i = 0; i < conf->nsections; i++)
        if (conf->section[i].kind == RC_CONF_LISTENER)
            return true;
    return false;
}

static struct rc_str first_word(struct rc_str s)
{
    size_t n = 0;

    while (n < s.len && s.p[n] != ' ' && s.p[n] != '\t')
        n++;
    return rc_str_make(s.p, n);
}

/* NAME, or /namespace NAME. */
static int parse_named(struct rc_str rest, struct rc_conf_header *h, struct rc_buf *expected)
{
    bool event = h->kind == RC_CONF_EVENT;

    h->name = rest;
    if (rest.len != 0 && rest.p[0] == '/') {
        h->nsp = first_word(rest);
        h->name = rc_ini_trim(rc_str_skip(rest, h->nsp.len));
        if (!rc_conf_check_namespace(h->nsp, expected))
            return RC_EINVAL;
    }
    if (h->name.len == 0) {
        rc_buf_putz(expected, event ? "[event NAME] or [event /namespace NAME]"
                                    : "[room PATTERN] or [room /namespace PATTERN]");
        return RC_EINVAL;
    }
    return !event || rc_conf_check_event(h->name, expected) ? RC_OK : RC_EINVAL;
}

static int parse_listener(struct rc_str rest, struct rc_conf_header *h, struct rc_buf *expected)
{
    struct rc_buf why = RC_BUF_INIT;
    bool ok = rc_conf_check_token(rest, &why);

    h->kind = RC_CONF_LISTENER;
    h->name = rest;
    if (!ok)
        rc_buf_printf(expected, "[listen NAME] with %.*s", RC_STR_ARG(rc_buf_str(&why)));
    rc_buf_deinit(&why);
    return ok ? RC_OK : RC_EINVAL;
}

int rc_conf_header_parse(struct rc_str text, struct rc_conf_header *h, struct rc_buf *expected)
{
    struct rc_str word = first_word(text), rest = rc_ini_trim(rc_str_skip(text, word.len));

    *h = (struct rc_conf_header){.nsp = RC_STR("/"), .name = RC_STR("")};
    h->kind = rc_str_eq(word, RC_STR("room")) ? RC_CONF_ROOM : RC_CONF_EVENT;
    if (h->kind == RC_CONF_ROOM || rc_str_eq(word, RC_STR("event")))
        return parse_named(rest, h, expected);
    if (rc_str_eq(word, RC_STR("listen")))
        return parse_listener(rest, h, expected);
    if (rc_str_eq(word, RC_STR("endpoint"))) {
        h->kind = RC_CONF_ENDPOINT;
        h->nsp = rest;
        return rc_conf_check_path(rest, expected) ? RC_OK : RC_EINVAL;
    }
    if (rc_str_eq(word, RC_STR("connect")))
        h->kind = RC_CONF_CONNECT;
    else if (rc_str_eq(word, RC_STR("namespace")))
        h->kind = RC_CONF_NAMESPACE;
    else
        return RC_ENOENT;
    if (rest.len == 0 && h->kind == RC_CONF_CONNECT)
        return RC_OK;
    h->nsp = rest;
    return rc_conf_check_namespace(rest, expected) ? RC_OK : RC_EINVAL;
}

void rc_conf_header_put(const struct rc_conf_section *s, struct rc_buf *to)
{
    static const char *const words[] = {
        [RC_CONF_EVENT] = "event",         [RC_CONF_CONNECT] = "connect",
        [RC_CONF_NAMESPACE] = "namespace", [RC_CONF_ENDPOINT] = "endpoint",
        [RC_CONF_ROOM] = "room",           [RC_CONF_LISTENER] = "listen",
    };
    bool has_name =
        s->kind == RC_CONF_EVENT || s->kind == RC_CONF_ROOM || s->kind == RC_CONF_LISTENER;
    bool has_default = has_name || s->kind == RC_CONF_CONNECT;

    rc_buf_printf(to, "[%s", words[s->kind]);
    if (!has_default || strcmp(s->nsp, "/") != 0 || s->name[0] == '/')
        rc_buf_printf(to, " %s", s->nsp);
    if (has_name)
        rc_buf_printf(to, " %s", s->name);
    rc_buf_putc(to, ']');
}

struct rc_conf_section *rc_conf_section_find(const struct rc_conf *conf,
                                             const struct rc_conf_header *h)
{
    for (unsigned i = 0; i < conf->nsections; i++) {
        struct rc_conf_section *s = &conf->section[i];

        if (s->kind == h->kind && rc_str_eq(rc_str_of(s->nsp), h->nsp) &&
            rc_str_eq(rc_str_of(s->name), h->name))
            return s;
    }
    return NULL;
}

/* Doubling, so that a long file does not copy the array for each of its lines. */
static void *grow(void *array, unsigned n, size_t size)
{
    return (n & (n - 1)) == 0 ? rc_realloc(array, (n != 0 ? 2 * (size_t)n : 1) * size) : array;
}

struct rc_conf_section *rc_conf_section_add(struct rc_conf *conf,
                                            const struct rc_conf_header *h)
{
    struct rc_conf_section *s;

    conf->section = grow(conf->section, conf->nsections, sizeof(*conf->section));
    s = &conf->section[conf->nsections++];
    *s = (struct rc_conf_section){
        .kind = h->kind,
        .nsp = rc_strndup(h->nsp.p, h->nsp.len),
        .name = rc_strndup(h->name.p, h->name.len),
    };
    return s;
}

struct rc_conf_entry *rc_conf_entry_add(struct rc_conf_section *s, struct rc_str key,
                                        struct rc_str value)
{
    struct rc_conf_entry *entry;

    s->entry = grow(s->entry, s->nentries, sizeof(*s->entry));
    entry = &s->entry[s->nentries++];
    *entry = (struct rc_conf_entry){
        .key = rc_strndup(key.p, key.len),
        .value = rc_strndup(value.p, value.len),
    };
    return entry;
}

struct rc_conf_entry *rc_conf_entry_find(const struct rc_conf_section *s, struct rc_str key)
{
    for (unsigned i = 0; i < s->nentries; i++)
        if (rc_str_eq(rc_str_of(s->entry[i].key), key))
            return &s->entry[i];
    return NULL;
}

void rc_conf_section_free(struct rc_conf_section *s)
{
    for (unsigned i = 0; i < s->nentries; i++) {
        free(s->entry[i].key);
        free(s->entry[i].value);
    }
    free(s->entry);
    free(s->nsp);
    free(s->name);
}

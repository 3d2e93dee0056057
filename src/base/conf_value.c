/*
 * conf_value.c - one value of the table: parse, print, describe.
 */
#include "conf_int.h"

#include "rc/base/mem.h"

#include <inttypes.h>
#include <stdlib.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first: the printer takes the first that divides. */
static const struct unit duration_units[] = {{"h", 3600000},
                                             {"m", 60000},
                                             {"s", 1000},
                                             {"ms", 1},
                                             {NULL, 0}};
static const struct unit size_units[] = {
    {"GiB", 1u << 30}, {"GB", 1000000000}, {"MiB", 1u << 20}, {"MB", 1000000},
    {"KiB", 1u << 10}, {"KB", 1000},       {"B", 1},          {NULL, 0}};

/* X(type, its enum, the names of its values in their order) */
#define ENUMS(X)                                                \
    X(LOGLEVEL, rc_loglevel, "error", "warn", "info", "debug")  \
    X(ACKPOLICY, rc_ackpolicy, "auto", "none")                  \
    X(UNKNOWNEVENT, rc_unknownevent, "ignore", "disconnect")    \
    X(SAMESITE, rc_samesite, "lax", "strict", "none", "off")    \
    X(UIMODE, rc_uimode, "development", "production")           \
    X(PARSER, rc_parser, "auto", "json", "msgpack")             \
    X(AUTHMODE, rc_authmode, "off", "optional", "required")     \
    X(STOREENGINE, rc_storeengine, "none", "sqlite", "mariadb") \
    X(STORETLS, rc_storetls, "off", "prefer", "required")       \
    X(RATEPOLICY, rc_ratepolicy, "delay", "drop", "close")      \
    X(CLUSTERMODE, rc_clustermode, "pubsub", "streams")

#define ENUM_CASE(type, ...) case RC_CONF_##type:

static const char *const *enum_names(enum rc_conf_type type)
{
#define ENUM_NAMES(type, tag, ...) [RC_CONF_##type] = {__VA_ARGS__, NULL},
    static const char *const names[][5] = {ENUMS(ENUM_NAMES)};

    return names[type];
}

/* Digits, then perhaps a rest that is not digits. */
static bool parse_digits(struct rc_str s, uint64_t *v, struct rc_str *rest)
{
    size_t i = 0;

    *v = 0;
    for (; i < s.len && s.p[i] >= '0' && s.p[i] <= '9'; i++) {
        unsigned digit = (unsigned)(s.p[i] - '0');

        if (*v > (UINT64_MAX - digit) / 10)
            return false;
        *v = *v * 10 + digit;
    }
    *rest = rc_str_skip(s, i);
    return i != 0;
}

/* bare is the factor of a number without a unit; 0: it needs one. */
static bool parse_units(struct rc_str s, const struct unit *units, uint64_t bare, uint64_t *v)
{
    uint64_t factor = 0;
    struct rc_str rest;

    if (!parse_digits(s, v, &rest))
        return false;
    if (rest.len == 0)
        factor = bare;
    for (; rest.len != 0 && units->name != NULL; units++)
        if (rc_str_ieq(rest, rc_str_of(units->name)))
            factor = units->factor;
    if (factor == 0 || *v > UINT64_MAX / factor)
        return false;
    *v *= factor;
    return true;
}

static void put_units(struct rc_buf *to, const struct unit *units, uint64_t v)
{
    while (units->factor != 1 && (v == 0 || v % units->factor != 0))
        units++;
    rc_buf_put_u64(to, v / units->factor);
    if (units->name[0] != 'B')
        rc_buf_putz(to, units->name);
}

static void put_range(struct rc_buf *to, const struct unit *units, uint64_t min, uint64_t max)
{
    put_units(to, units, min);
    rc_buf_putz(to, " to ");
    put_units(to, units, max);
}

static void expect_duration(struct rc_buf *to, uint64_t min, uint64_t max)
{
    rc_buf_putz(to, "a duration from ");
    put_range(to, duration_units, min, max);
    rc_buf_putz(to, " with its unit ms, s, m or h, such as 25s or 300ms");
}

static void expect_size(struct rc_buf *to, uint64_t min, uint64_t max)
{
    rc_buf_putz(to, "a size from ");
    put_range(to, size_units, min, max);
    rc_buf_putz(to, " in bytes, KB, MB, GB (1000) or KiB, MiB, GiB (1024), such as 16KiB");
}

bool rc_conf_duration(struct rc_str value, uint32_t min_ms, uint32_t max_ms, uint32_t *ms,
                      struct rc_buf *expected)
{
    uint64_t v;

    if (!parse_units(value, duration_units, 0, &v) || v < min_ms || v > max_ms) {
        expect_duration(expected, min_ms, max_ms);
        return false;
    }
    *ms = (uint32_t)v;
    return true;
}

bool rc_conf_size(struct rc_str value, uint64_t min, uint64_t max, uint64_t *bytes,
                  struct rc_buf *expected)
{
    uint64_t v;

    if (!parse_units(value, size_units, 1, &v) || v < min || v > max) {
        expect_size(expected, min, max);
        return false;
    }
    *bytes = v;
    return true;
}

/* What a list is of. */
static const char *items_of(enum rc_conf_type type)
{
    if (type == RC_CONF_LISTEN)
        return " addresses";
    if (type == RC_CONF_ORIGINS)
        return " origins";
    if (type == RC_CONF_TOKENS)
        return " names";
    if (type == RC_CONF_TEXTS)
        return " texts";
    if (type == RC_CONF_FILES)
        return " files";
    return type == RC_CONF_NETWORKS ? " networks" : " of polling, websocket";
}

void rc_conf_value_describe(const struct rc_conf_key *k, struct rc_buf *to)
{
    switch (k->type) {
    case RC_CONF_BOOL: rc_buf_putz(to, "yes or no"); break;
    case RC_CONF_AUTO: rc_buf_putz(to, "auto, or "); __attribute__((fallthrough));
    case RC_CONF_INT: rc_buf_printf(to, "%" PRIu64 " to %" PRIu64, k->min, k->max); break;
    case RC_CONF_POW2:
        rc_buf_printf(to, "a power of two, %" PRIu64 " to %" PRIu64, k->min, k->max);
        break;
    case RC_CONF_DURATION: put_range(to, duration_units, k->min, k->max); break;
    case RC_CONF_CEILING: rc_buf_putz(to, "auto, off, or "); __attribute__((fallthrough));
    case RC_CONF_SIZE: put_range(to, size_units, k->min, k->max); break;
    case RC_CONF_STRING: rc_buf_putz(to, "a text"); break;
    case RC_CONF_EVENTNAME: rc_buf_putz(to, "an event, or nothing"); break;
    case RC_CONF_TOKEN: rc_buf_putz(to, "a name, or nothing"); break;
    case RC_CONF_PATH: rc_buf_putz(to, "a path such as /a/b, or nothing"); break;
    case RC_CONF_FILE: rc_buf_putz(to, "a file, or nothing"); break;
    case RC_CONF_DIR: rc_buf_putz(to, "a folder, or nothing"); break;
    case RC_CONF_LISTEN:
    case RC_CONF_TRANSPORTS:
    case RC_CONF_ORIGINS:
    case RC_CONF_TEXTS:
    case RC_CONF_FILES:
    case RC_CONF_NETWORKS:
    case RC_CONF_TOKENS:
        rc_buf_printf(to, "%" PRIu64 " to %" PRIu64, k->min, k->max);
        rc_buf_putz(to, items_of(k->type));
        break;
        ENUMS(ENUM_CASE)
        for (const char *const *n = enum_names(k->type); *n != NULL; n++)
            rc_buf_printf(to, "%s%s", *n, n[1] == NULL ? "" : n[2] == NULL ? " or " : ", ");
        break;
    }
}

static bool parse_bool(struct rc_str s, bool *v)
{
    static const char *const yes[] = {"yes", "true", "on", "1"};
    static const char *const no[] = {"no", "false", "off", "0"};

    for (unsigned i = 0; i < 4; i++) {
        bool is_yes = rc_str_ieq(s, rc_str_of(yes[i]));

        if (is_yes || rc_str_ieq(s, rc_str_of(no[i]))) {
            *v = is_yes;
            return true;
        }
    }
    return false;
}

bool rc_conf_bool(struct rc_str value, bool *yes, struct rc_buf *expected)
{
    if (parse_bool(value, yes))
        return true;
    rc_buf_putz(expected, "yes or no");
    return false;
}

static bool parse_number(const struct rc_conf_key *k, struct rc_str s, uint32_t *to)
{
    struct rc_str rest;
    uint64_t v;

    if (k->type == RC_CONF_AUTO && rc_str_eq(s, RC_STR("auto"))) {
        *to = 0;
        return true;
    }
    if (!parse_digits(s, &v, &rest) || rest.len != 0 || v < k->min || v > k->max ||
        (k->type == RC_CONF_POW2 && (v & (v - 1)) != 0))
        return false;
    *to = (uint32_t)v;
    return true;
}

static bool parse_enum(enum rc_conf_type type, struct rc_str s, void *field)
{
    const char *const *names = enum_names(type);
    unsigned i = 0;

    while (names[i] != NULL && !rc_str_eq(s, rc_str_of(names[i])))
        i++;
    if (names[i] == NULL)
        return false;
#define ENUM_SET(t, tag, ...) \
    if (type == RC_CONF_##t)  \
        *(enum tag *)field = (enum tag)i;
    ENUMS(ENUM_SET)
    return true;
}

bool rc_conf_parser(struct rc_str value, enum rc_parser *parser, struct rc_buf *expected)
{
    if (parse_enum(RC_CONF_PARSER, value, parser))
        return true;
    rc_buf_putz(expected, "auto, json or msgpack");
    return false;
}

bool rc_conf_authmode(struct rc_str value, enum rc_authmode *mode, struct rc_buf *expected)
{
    if (parse_enum(RC_CONF_AUTHMODE, value, mode))
        return true;
    rc_buf_putz(expected, "off, optional or required");
    return false;
}

static void set_string(char **field, struct rc_str s)
{
    free(*field);
    *field = rc_strndup(s.p, s.len);
}

static void set_dir(char **field, struct rc_str s, const char *dir)
{
    struct rc_buf path = RC_BUF_INIT;

    rc_conf_resolve(dir, s, &path);
    set_string(field, rc_buf_str(&path));
    rc_buf_deinit(&path);
}

static void free_list(struct rc_conf_list *list)
{
    for (unsigned i = 0; i < list->n; i++)
        free(list->item[i]);
    free(list->item);
    *list = (struct rc_conf_list){0};
}

static bool check_item(const struct rc_conf_key *k, struct rc_str s, struct rc_buf *expected)
{
    if (k->type == RC_CONF_LISTEN)
        return rc_conf_listen(s, strcmp(k->section, "server") == 0, expected);
    if (k->type == RC_CONF_ORIGINS)
        return rc_conf_check_origin(s, expected);
    if (k->type == RC_CONF_NETWORKS)
        return rc_conf_check_network(s, expected);
    if (k->type == RC_CONF_TOKENS)
        return rc_conf_check_token(s, expected);
    if ((k->type == RC_CONF_TEXTS || k->type == RC_CONF_FILES) && s.len != 0)
        return true;
    if (rc_str_eq(s, RC_STR("polling")) || rc_str_eq(s, RC_STR("websocket")))
        return true;
    rc_conf_value_describe(k, expected);
    return false;
}

static bool check_list(const struct rc_conf_key *k, const struct rc_conf_list *list,
                       struct rc_buf *expected)
{
    if (list->n < k->min || list->n > k->max) {
        rc_conf_value_describe(k, expected);
        return false;
    }
    for (unsigned i = 0; i < list->n; i++) {
        const char *item = list->item[i];

        if (k->type == RC_CONF_ORIGINS && list->n > 1 && strcmp(item, "*") == 0) {
            rc_buf_putz(expected, "either * or a list of origins");
            return false;
        }
        /* Port 0 is another port each time. */
        for (unsigned j = 0; j < i; j++) {
            const char *colon = strrchr(item, ':');

            if (strcmp(item, list->item[j]) != 0 ||
                (k->type == RC_CONF_LISTEN && colon != NULL && strcmp(colon, ":0") == 0 &&
                 !rc_conf_is_unix(rc_str_of(item))))
                continue;
            rc_buf_printf(expected, "each once, but %s is there twice", item);
            return false;
        }
    }
    return true;
}

static void place_item(const struct rc_conf_key *k, struct rc_str item, const char *dir,
                       struct rc_buf *to)
{
    rc_buf_reset(to);
    if (k->type == RC_CONF_FILES)
        rc_conf_resolve(dir, item, to);
    else if (k->type == RC_CONF_LISTEN)
        rc_conf_resolve_listen(dir, item, to);
    else
        rc_buf_puts(to, item);
}

static bool parse_list(const struct rc_conf_key *k, struct rc_str s, const char *dir,
                       struct rc_conf_list *to, struct rc_buf *expected)
{
    struct rc_conf_list list = {0};
    struct rc_buf placed = RC_BUF_INIT;
    bool ok = true;

    while (ok && s.len != 0) {
        const char *comma = memchr(s.p, ',', s.len);
        size_t n = comma != NULL ? (size_t)(comma - s.p) : s.len;
        struct rc_str item = rc_ini_trim(rc_str_make(s.p, n));

        place_item(k, item, dir, &placed);
        ok = check_item(k, rc_buf_str(&placed), expected);
        list.item = rc_realloc(list.item, (list.n + 1) * sizeof(*list.item));
        list.item[list.n] = NULL;
        set_string(&list.item[list.n++], rc_buf_str(&placed));
        if (comma != NULL && n + 1 == s.len && ok)
            ok = check_item(k, RC_STR(""), expected);
        s = rc_str_skip(s, n + 1);
    }
    rc_buf_deinit(&placed);
    if (!ok || !check_list(k, &list, expected)) {
        free_list(&list);
        return false;
    }
    free_list(to);
    *to = list;
    return true;
}

static bool parse_ceiling(const struct rc_conf_key *k, struct rc_str s, uint64_t *to,
                          struct rc_buf *expected)
{
    bool automatic = rc_str_eq(s, RC_STR("auto"));

    if (automatic || rc_str_eq(s, RC_STR("off"))) {
        *to = automatic ? RC_CONF_CEILING_AUTO : 0;
        return true;
    }
    if (rc_conf_size(s, k->min, k->max, to, expected))
        return true;
    rc_buf_putz(expected, ", auto or off");
    return false;
}

bool rc_conf_value_set(struct rc_conf *conf, const struct rc_conf_key *k, struct rc_str value,
                       const char *dir, struct rc_buf *expected)
{
    void *field = rc_conf_field(conf, k);
    bool ok = true;

    switch (k->type) {
    case RC_CONF_BOOL: ok = parse_bool(value, field); break;
    case RC_CONF_INT:
    case RC_CONF_AUTO:
    case RC_CONF_POW2: ok = parse_number(k, value, field); break;
    case RC_CONF_DURATION:
        return rc_conf_duration(value, (uint32_t)k->min, (uint32_t)k->max, field, expected);
    case RC_CONF_CEILING: return parse_ceiling(k, value, field, expected);
    case RC_CONF_SIZE: return rc_conf_size(value, k->min, k->max, field, expected);
    case RC_CONF_EVENTNAME:
        if (!rc_conf_check_event(value, expected))
            return false;
        set_string(field, value);
        break;
    case RC_CONF_TOKEN:
        if (value.len != 0 && !rc_conf_check_token(value, expected))
            return false;
        set_string(field, value);
        break;
    case RC_CONF_PATH:
        ok = value.len != 1 || k->max == 1; /* "/" would leave nothing for the rest */
        if (ok && value.len != 0 && !rc_conf_check_path(value, expected))
            return false;
        if (k->max == 1 && value.len != 0 && memchr(value.p, ';', value.len) != NULL) {
            rc_buf_putz(expected, "a path without ;"); /* it would end a cookie's attribute */
            return false;
        }
        if (ok)
            set_string(field, value);
        break;
    case RC_CONF_STRING: set_string(field, value); break;
    case RC_CONF_FILE:
    case RC_CONF_DIR: set_dir(field, value, dir); break;
    case RC_CONF_LISTEN:
    case RC_CONF_TRANSPORTS:
    case RC_CONF_ORIGINS:
    case RC_CONF_TEXTS:
    case RC_CONF_FILES:
    case RC_CONF_NETWORKS:
    case RC_CONF_TOKENS:
        return parse_list(k, value, dir, field, expected);
        ENUMS(ENUM_CASE)
        ok = parse_enum(k->type, value, field);
        break;
    }
    if (ok)
        return true;
    if (k->type == RC_CONF_AUTO)
        rc_buf_putz(expected, "auto or ");
    if (k->type == RC_CONF_INT || k->type == RC_CONF_AUTO)
        rc_buf_printf(expected, "a number from %" PRIu64 " to %" PRIu64, k->min, k->max);
    else
        rc_conf_value_describe(k, expected);
    return false;
}

void rc_conf_value_free(struct rc_conf *conf, const struct rc_conf_key *k)
{
    void *field = rc_conf_field(conf, k);

    if (k->type >= RC_CONF_STRING && k->type <= RC_CONF_DIR)
        free(*(char **)field);
    else if (k->type >= RC_CONF_LISTEN && k->type <= RC_CONF_TOKENS)
        free_list(field);
}

bool rc_conf_unquote(struct rc_str value, struct rc_buf *out)
{
    size_t i = 1;

    rc_buf_putz(out, ""); /* never NULL */
    if (value.len == 0 || value.p[0] != '"') {
        rc_buf_puts(out, value);
        return true;
    }
    for (; i < value.len && value.p[i] != '"'; i++) {
        if (value.p[i] == '\\' && i + 1 < value.len &&
            (value.p[i + 1] == '"' || value.p[i + 1] == '\\'))
            i++;
        rc_buf_putc(out, value.p[i]);
    }
    return i + 1 == value.len;
}

void rc_conf_put_text(struct rc_str s, struct rc_buf *to)
{
    if (s.len == 0 ||
        (s.p[0] != '"' && rc_ini_trim(s).len == s.len && s.p[s.len - 1] != '\\')) {
        rc_buf_puts(to, s);
        return;
    }
    rc_buf_putc(to, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            rc_buf_putc(to, '\\');
        rc_buf_putc(to, s.p[i]);
    }
    rc_buf_putc(to, '"');
}

void rc_conf_value_put(const struct rc_conf *conf, const struct rc_conf_key *k,
                       struct rc_buf *to)
{
    const void *field = (const char *)conf + k->offset;
    const struct rc_conf_list *list = field;

    switch (k->type) {
    case RC_CONF_BOOL: rc_buf_putz(to, *(const bool *)field ? "yes" : "no"); break;
    case RC_CONF_AUTO:
        if (*(const uint32_t *)field == 0) {
            rc_buf_putz(to, "auto");
            break;
        }
        __attribute__((fallthrough));
    case RC_CONF_INT:
    case RC_CONF_POW2: rc_buf_put_u64(to, *(const uint32_t *)field); break;
    case RC_CONF_DURATION: put_units(to, duration_units, *(const uint32_t *)field); break;
    case RC_CONF_CEILING:
        if (*(const uint64_t *)field == 0 || *(const uint64_t *)field == RC_CONF_CEILING_AUTO) {
            rc_buf_putz(to, *(const uint64_t *)field == 0 ? "off" : "auto");
            break;
        }
        __attribute__((fallthrough));
    case RC_CONF_SIZE: put_units(to, size_units, *(const uint64_t *)field); break;
    case RC_CONF_STRING:
    case RC_CONF_EVENTNAME:
    case RC_CONF_TOKEN:
    case RC_CONF_PATH:
    case RC_CONF_FILE:
    case RC_CONF_DIR: rc_conf_put_text(rc_str_of(*(char *const *)field), to); break;
    case RC_CONF_LISTEN:
    case RC_CONF_TRANSPORTS:
    case RC_CONF_ORIGINS:
    case RC_CONF_TEXTS:
    case RC_CONF_FILES:
    case RC_CONF_NETWORKS:
    case RC_CONF_TOKENS:
        for (unsigned i = 0; i < list->n; i++)
            rc_buf_printf(to, "%s%s", i != 0 ? ", " : "", list->item[i]);
        break;
#define ENUM_PRINT(t, tag, ...) \
    case RC_CONF_##t: rc_buf_putz(to, enum_names(k->type)[*(const enum tag *)field]); break;
        ENUMS(ENUM_PRINT)
    }
}

/* app.c - turns the configuration into what the shards read: namespaces with their rules,
 * endpoints, files and limits. */
#include "rc/broker/app.h"

#include "rc/broker/admission.h"

#include "rc/base/hash.h"
#include "rc/base/log.h"
#include "rc/base/mem.h"
#include "rc/base/wild.h"
#include "rc/broker/admin_ui.h"
#include "rc/net/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    WHY_SIZE = 1024,
    SITE_MAX = 256 << 20,
    NSPS_MAX = UINT16_MAX, /* struct rc_nsp.index */
    PING_MS = 30000,       /* of an endpoint that says nothing */
    /* The ranges of socketio.ping_interval and socketio.max_payload. */
    PING_MS_MIN = 100,
    PING_MS_MAX = 86400000,
    PAYLOAD_MIN = 128,
    PAYLOAD_MAX = 1 << 30,
};

/* ---- namespaces ---- */

struct nsp_key {
    struct rc_str name;
    bool endpoint;
};

static uint64_t hash_of(const struct nsp_key *key)
{
    return rc_hash(key->name.p, key->name.len, key->endpoint);
}

static bool same_nsp(const void *value, const void *key)
{
    const struct rc_nsp *nsp = value;
    const struct nsp_key *k = key;

    return (nsp->endpoint != RC_ENDPOINT_NONE) == k->endpoint && rc_str_eq(nsp->name, k->name);
}

const struct rc_nsp *rc_app_nsp(const struct rc_app *app, struct rc_str name, bool endpoint)
{
    const struct nsp_key key = {.name = name, .endpoint = endpoint};
    const struct rc_nsp *nsp;

    if (!endpoint && rc_str_eq(name, app->nsp[0].name)) /* what nearly all are in */
        return &app->nsp[0];
    nsp = rc_hmap_find(&app->by_name, hash_of(&key), same_nsp, &key);

    return nsp != NULL && !nsp->is_pattern ? nsp : NULL;
}

/* Of those that a * stands for. */
static bool is_wild(char ch)
{
    return (unsigned char)ch >= 0x20 && ch != 0x7f && ch != '/' && ch != '?' && ch != ',';
}

const struct rc_nsp *rc_app_pattern(const struct rc_app *app, struct rc_str name)
{
    for (unsigned i = 0; i < app->npatterns; i++) {
        const struct rc_nsp *nsp = &app->nsp[app->pattern[i]];

        if (rc_wild_fits(nsp->name, name, is_wild))
            return nsp;
    }
    return NULL;
}

/* ---- from one generation to the next ---- */

static struct rc_str keep(struct rc_app *app, struct rc_str text)
{
    app->kept = rc_realloc(app->kept, (app->nkept + 1) * sizeof(*app->kept));
    app->kept[app->nkept] = rc_strndup(text.p != NULL ? text.p : "", text.len);
    return rc_str_make(app->kept[app->nkept++], text.len);
}

/* Indexes stay: sockets, rooms and messages have them. Until the INI turns out to have them still, all
 * namespaces are gone: who is there stays, but there are no rules. */
static void inherit(struct rc_app *app, const struct rc_app *last)
{
    for (unsigned i = 0; i < last->nnsps; i++) {
        struct rc_nsp *nsp = &app->nsp[i];

        *nsp = last->nsp[i];
        nsp->name = keep(app, nsp->name);
        nsp->prefix = keep(app, nsp->prefix);
        nsp->gone = true;
        nsp->auth = RC_AUTHMODE_OFF;
        nsp->rules = (struct rc_ruleset){.has_store = nsp->rules.has_store};
        nsp->rooms = (struct rc_room_rules){0};
    }
    app->nnsps = last->nnsps;
}

/* The place that it has had, or a new one. An endpoint that was gone is another one when it comes back. */
static struct rc_nsp *place_for(struct rc_app *app, const struct rc_app *last,
                                const struct nsp_key *key)
{
    const struct rc_nsp *had =
        last != NULL ? rc_hmap_find(&last->by_name, hash_of(key), same_nsp, key) : NULL;

    for (unsigned i = 0; had == NULL && !key->endpoint && last != NULL && i < last->nnsps; i++)
        if (last->nsp[i].gone && same_nsp(&last->nsp[i], key))
            had = &last->nsp[i];
    return &app->nsp[had != NULL ? had->index : app->nnsps++];
}

/* There is room for all sections, / and the Admin UI's; the array does not move. name lives as long as the app. */
static struct rc_nsp *add_nsp(struct rc_app *app, const struct rc_app *last, const char *name,
                              enum rc_endpoint_protocol endpoint)
{
    const struct nsp_key key = {rc_str_of(name), endpoint != RC_ENDPOINT_NONE};
    struct rc_nsp *nsp = rc_hmap_find(&app->by_name, hash_of(&key), same_nsp, &key);

    if (nsp != NULL)
        return nsp;
    nsp = place_for(app, last, &key);
    *nsp =
        (struct rc_nsp){.name = key.name,
                        .index = (uint16_t)(nsp - app->nsp),
                        .is_pattern = endpoint == RC_ENDPOINT_NONE && strchr(name, '*') != NULL,
                        .endpoint = endpoint,
                        .auth = app->conf->auth_mode,
                        .ping_ms = PING_MS,
                        .max_payload = (uint32_t)app->conf->socketio_max_payload};
    nsp->rules.has_store = app->conf->store_engine != RC_STOREENGINE_NONE;
    if (nsp->is_pattern)
        app->pattern[app->npatterns++] = nsp->index;
    rc_hmap_insert(&app->by_name, hash_of(&key), nsp);
    return nsp;
}

static void free_untyped(struct rc_app *app)
{
    for (unsigned i = 0; i < app->nuntyped; i++)
        free((void *)(uintptr_t)app->untyped[i].event);
    free(app->untyped);
}

static void entry_fault(const struct rc_conf_section *s, const struct rc_conf_entry *entry,
                        const char *expected, struct rc_conf_errors *e)
{
    rc_conf_error(e, entry->file, entry->line, "[%s %s] %s = %s: expected %s",
                  s->kind == RC_CONF_NAMESPACE ? "namespace" : "endpoint", s->nsp, entry->key,
                  entry->value, expected);
}

/* parser and auth are all that a namespace may say of itself. */
static void read_namespace(const struct rc_app *app, struct rc_nsp *nsp,
                           const struct rc_conf_section *s, struct rc_conf_errors *e)
{
    enum rc_parser of_all = app->conf->socketio_parser;

    for (unsigned i = 0; i < s->nentries; i++) {
        const struct rc_conf_entry *entry = &s->entry[i];
        struct rc_buf expected = RC_BUF_INIT;
        bool is_auth = strcmp(entry->key, "auth") == 0;
        bool ok = is_auth ? rc_conf_authmode(rc_str_of(entry->value), &nsp->auth, &expected)
                          : rc_conf_parser(rc_str_of(entry->value), &nsp->parser, &expected);

        if (ok && !is_auth && of_all != RC_PARSER_AUTO && nsp->parser != RC_PARSER_AUTO &&
            nsp->parser != of_all) {
            rc_buf_putz(&expected, "the same as socketio.parser, unless that is auto");
            ok = false;
        }
        rc_buf_putc(&expected, '\0');
        if (!ok)
            entry_fault(s, entry, (const char *)expected.data, e);
        rc_buf_deinit(&expected);
    }
}

/* Users have one cursor, and so messages in one namespace. */
static void check_messages(const struct rc_app *app, const struct rc_nsp *nsp,
                           const struct rc_conf_section *s, struct rc_conf_errors *e)
{
    for (unsigned i = 0; i < app->nnsps; i++)
        if (&app->nsp[i] != nsp && app->nsp[i].rules.uses_messages)
            rc_conf_error(e, s->file, s->line,
                          "[event %s %s]: message is used in the namespace %s: expected no "
                          "other one with it",
                          s->nsp, s->name, app->nsp[i].name.p);
}

/* The namespace of the Admin UI has no rules. */
static void add_ui(struct rc_app *app, const struct rc_app *last, struct rc_conf_errors *e)
{
    const char *name = app->conf->admin_ui_namespace;
    struct rc_nsp *nsp;

    rc_ui_check(app->conf, e);
    if (!app->conf->admin_ui)
        return;
    for (unsigned i = 0; i < app->conf->nsections; i++) {
        const struct rc_conf_section *s = &app->conf->section[i];

        if (s->kind != RC_CONF_ENDPOINT && strcmp(s->nsp, name) == 0)
            rc_conf_error(e, s->file, s->line,
                          "namespace %s: expected another name than admin.ui_namespace", name);
    }
    if (e->n != 0)
        return;
    nsp = add_nsp(app, last, name, RC_ENDPOINT_NONE);
    nsp->auth = RC_AUTHMODE_OFF; /* it has its own way of asking */
    app->ui = nsp;
}

static void add_namespaces(struct rc_app *app, const struct rc_app *last,
                           struct rc_conf_errors *e)
{
    (void)add_nsp(app, last, "/", RC_ENDPOINT_NONE);
    for (unsigned i = 0; i < app->conf->nsections; i++) {
        const struct rc_conf_section *s = &app->conf->section[i];
        struct rc_nsp *nsp;
        bool had;

        if (s->kind == RC_CONF_ENDPOINT || s->kind == RC_CONF_LISTENER)
            continue;
        nsp = add_nsp(app, last, s->nsp, RC_ENDPOINT_NONE);
        if (s->kind == RC_CONF_NAMESPACE) {
            read_namespace(app, nsp, s, e);
            continue;
        }
        if (s->kind == RC_CONF_ROOM)
            continue;
        had = nsp->rules.uses_messages;
        rc_ruleset_add(&nsp->rules, s, e);
        if (!had && nsp->rules.uses_messages)
            check_messages(app, nsp, s, e);
    }
    add_ui(app, last, e);
    for (unsigned i = 0; i < app->nnsps; i++)
        rc_ruleset_seal(&app->nsp[i].rules);
}

/* Once all of their namespaces is known. */
static void add_rooms(struct rc_app *app, struct rc_conf_errors *e)
{
    for (unsigned i = 0; i < app->conf->nsections; i++) {
        const struct rc_conf_section *s = &app->conf->section[i];
        struct rc_nsp *nsp;

        if (s->kind != RC_CONF_ROOM)
            continue;
        nsp = add_nsp(app, NULL, s->nsp, RC_ENDPOINT_NONE); /* it is there */
        rc_room_rules_add(&nsp->rooms, s,
                          (struct rc_room_setting){.tokens = nsp->auth != RC_AUTHMODE_OFF,
                                                   .store = nsp->rules.has_store},
                          e);
    }
}

/* ---- endpoints ---- */

/* Cuts the next item off a list by comma. */
static struct rc_str next_item(struct rc_str *rest)
{
    const char *comma = memchr(rest->p, ',', rest->len);
    struct rc_str item =
        rc_str_make(rest->p, comma != NULL ? (size_t)(comma - rest->p) : rest->len);

    *rest = rc_str_skip(*rest, item.len + (comma != NULL));
    while (item.len != 0 && (item.p[0] == ' ' || item.p[0] == '\t'))
        item = rc_str_skip(item, 1);
    while (item.len != 0 && (item.p[item.len - 1] == ' ' || item.p[item.len - 1] == '\t'))
        item.len--;
    return item;
}

static bool same_list(const struct rc_plain_untyped *a, const struct rc_plain_untyped *b)
{
    bool same = a->n == b->n;

    for (unsigned i = 0; same && i < a->n; i++)
        same = rc_str_eq(a->event[i], b->event[i]);
    return same;
}

/* One list for each namespace: its messages are made once for all endpoints. */
static void read_untyped(struct rc_app *app, struct rc_nsp *nsp,
                         const struct rc_conf_section *s, const struct rc_conf_entry *entry,
                         struct rc_conf_errors *e)
{
    struct rc_str rest = rc_str_of(entry->value), *event = NULL;
    struct rc_plain_untyped list = {.nsp = app->nsp[nsp->door_to].name};
    bool ok = rest.len != 0;

    while (rest.len != 0) {
        event = rc_realloc(event, (list.n + 1) * sizeof(*event));
        event[list.n] = next_item(&rest);
        ok = ok && event[list.n++].len != 0;
    }
    list.event = event;
    nsp->untyped = true;
    if (!ok)
        entry_fault(s, entry, "names of events, by comma", e);
    for (unsigned i = 0; i < app->nuntyped; i++) {
        if (!rc_str_eq(app->untyped[i].nsp, list.nsp))
            continue;
        if (!same_list(&app->untyped[i], &list))
            entry_fault(s, entry, "the same as the other endpoints of the namespace", e);
        free(event);
        return;
    }
    app->untyped = rc_realloc(app->untyped, (app->nuntyped + 1) * sizeof(*app->untyped));
    app->untyped[app->nuntyped++] = list;
}

static const struct rc_conf_entry *find_entry(const struct rc_conf_section *s, const char *key)
{
    for (unsigned i = 0; i < s->nentries; i++)
        if (strcmp(s->entry[i].key, key) == 0)
            return &s->entry[i];
    return NULL;
}

/* What only json endpoints have. */
static void read_json(struct rc_app *app, struct rc_nsp *nsp, const struct rc_conf_section *s,
                      struct rc_conf_errors *e)
{
    static const char *const keys[] = {"namespace", "untyped"};
    const struct rc_conf_entry *name = find_entry(s, "namespace"),
                               *untyped = find_entry(s, "untyped");
    const struct rc_nsp *target = &app->nsp[0];

    if (nsp->endpoint != RC_ENDPOINT_JSON) {
        for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
            if (find_entry(s, keys[i]) != NULL)
                entry_fault(s, find_entry(s, keys[i]), "this key only with protocol = json", e);
        return;
    }
    if (name != NULL && (target = rc_app_nsp(app, rc_str_of(name->value), false)) == NULL) {
        entry_fault(s, name, "a namespace that another section names, and that is no pattern",
                    e);
        return;
    }
    if (name != NULL && target == app->ui) {
        entry_fault(s, name, "another namespace than admin.ui_namespace", e);
        return;
    }
    nsp->door_to = target->index;
    if (find_entry(s, "auth") == NULL)
        nsp->auth = target->auth;
    if (untyped != NULL)
        read_untyped(app, nsp, s, untyped, e);
}

static void read_entry(struct rc_nsp *nsp, const struct rc_conf_section *s,
                       const struct rc_conf_entry *entry, struct rc_conf_errors *e)
{
    struct rc_str value = rc_str_of(entry->value);
    struct rc_buf expected = RC_BUF_INIT;
    uint64_t bytes;
    bool ok = true;

    if (strcmp(entry->key, "prefix") == 0) {
        nsp->prefix = value;
        if (nsp->endpoint != RC_ENDPOINT_ECHO)
            entry_fault(s, entry, "a prefix only with protocol = echo", e);
    } else if (strcmp(entry->key, "ping_interval") == 0) {
        ok = rc_conf_duration(value, PING_MS_MIN, PING_MS_MAX, &nsp->ping_ms, &expected);
    } else if (strcmp(entry->key, "max_payload") == 0) {
        ok = rc_conf_size(value, PAYLOAD_MIN, PAYLOAD_MAX, &bytes, &expected);
        if (ok)
            nsp->max_payload = (uint32_t)bytes;
    } else if (strcmp(entry->key, "per_message_deflate") == 0) {
        ok = rc_conf_bool(value, &nsp->deflate, &expected);
    } else if (strcmp(entry->key, "auth") == 0) {
        ok = rc_conf_authmode(value, &nsp->auth, &expected);
    }
    if (!ok) {
        rc_buf_putc(&expected, '\0');
        entry_fault(s, entry, (const char *)expected.data, e);
    }
    rc_buf_deinit(&expected);
}

/* NONE: there is a fault. */
static enum rc_endpoint_protocol protocol_of(const struct rc_conf_section *s,
                                             struct rc_conf_errors *e)
{
    static const struct {
        const char *name;
        enum rc_endpoint_protocol protocol;
    } table[] = {
        {"echo", RC_ENDPOINT_ECHO}, {"relay", RC_ENDPOINT_RELAY}, {"json", RC_ENDPOINT_JSON}};
    const struct rc_conf_entry *entry = find_entry(s, "protocol");

    if (entry == NULL) {
        rc_conf_error(e, s->file, s->line,
                      "[endpoint %s]: expected protocol = echo, relay or json", s->nsp);
        return RC_ENDPOINT_NONE;
    }
    for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(entry->value, table[i].name) == 0)
            return table[i].protocol;
    entry_fault(s, entry, "echo, relay or json", e);
    return RC_ENDPOINT_NONE;
}

static void add_endpoints(struct rc_app *app, const struct rc_app *last,
                          struct rc_conf_errors *e)
{
    for (unsigned i = 0; i < app->conf->nsections; i++) {
        const struct rc_conf_section *s = &app->conf->section[i];
        enum rc_endpoint_protocol protocol;
        struct rc_nsp *nsp;

        if (s->kind != RC_CONF_ENDPOINT)
            continue;
        if (strcmp(s->nsp, app->conf->server_health_path) == 0)
            rc_conf_error(e, s->file, s->line,
                          "[endpoint %s]: expected another path than server.health_path",
                          s->nsp);
        protocol = protocol_of(s, e);
        /* A wrong one is as good as any to find the other faults. */
        nsp = add_nsp(app, last, s->nsp,
                      protocol != RC_ENDPOINT_NONE ? protocol : RC_ENDPOINT_ECHO);
        for (unsigned j = 0; j < s->nentries; j++)
            read_entry(nsp, s, &s->entry[j], e);
        if (protocol != RC_ENDPOINT_NONE)
            read_json(app, nsp, s, e);
    }
}

/* ---- identity ---- */

/* The event that refreshes a token is not one for rules. */
static void check_refresh_event(const struct rc_app *app, struct rc_conf_errors *e)
{
    for (unsigned i = 0; i < app->conf->nsections; i++) {
        const struct rc_conf_section *s = &app->conf->section[i];
        const struct rc_nsp *nsp;

        if (s->kind != RC_CONF_EVENT || s->name[0] == '\0' ||
            strcmp(s->name, app->conf->auth_refresh_event) != 0)
            continue;
        nsp = rc_app_nsp(app, rc_str_of(s->nsp), false);
        if (nsp != NULL && nsp->auth != RC_AUTHMODE_OFF)
            rc_conf_error(e, s->file, s->line,
                          "[event %s]: expected another event than auth.refresh_event",
                          s->name);
    }
}

/* A mode that cannot be read must not hide what else is wrong with the keys. */
static bool wants_auth(const struct rc_conf *conf)
{
    return rc_conf_where(conf, "auth", "mode")->bad &&
           (conf->auth_secret[0] != '\0' || conf->auth_secret_file[0] != '\0' ||
            conf->auth_jwks[0] != '\0' || conf->auth_public_key.n != 0);
}

static void load_auth(struct rc_app *app, const struct rc_app *last, struct rc_conf_errors *e)
{
    const struct rc_conf *conf = app->conf;
    bool any = wants_auth(conf);

    for (unsigned i = 0; i < app->nnsps; i++) {
        const struct rc_nsp *nsp = &app->nsp[i];

        if (nsp->auth == RC_AUTHMODE_OFF)
            continue;
        any = true;
        if (nsp->endpoint == RC_ENDPOINT_NONE)
            app->auth_socketio = true;
    }
    if (!any)
        return;
    app->auth = rc_auth_renew(last != NULL ? last->auth : NULL, conf, e);
    check_refresh_event(app, e);
    if (conf->auth_cookie[0] != '\0' && conf->socketio_allow_origin.n == 0)
        rc_log(
            RC_LOG_WARN,
            "auth.cookie = %s: browsers send it for the pages of every site; list your own in "
            "socketio.allow_origin",
            conf->auth_cookie);
}

/* ---- files ---- */

static const char bundle[] = "/socket.io.min.js";

/* The reason begins with the path of what could not be read: mostly the folder itself. */
static void site_fault(struct rc_conf_errors *e, const struct rc_conf *conf,
                       const char *section, const char *key, const char *dir, const char *why)
{
    size_t n = strlen(dir);
    bool missing = access(dir, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR);

    if (strncmp(why, dir, n) == 0 && strncmp(why + n, ": ", 2) == 0)
        why += n + 2;
    rc_conf_fault(e, conf, section, key, "[%s] %s = %s: %s%s", section, key, dir, why,
                  missing ? ": create it, or correct the path" : "");
}

static void load_static(struct rc_app *app, struct rc_conf_errors *e)
{
    const char *root = app->conf->server_static_root;
    const struct rc_site_mark marks[] = {{"{title}", app->conf->server_title},
                                         {"{dev_tokens_path}", app->conf->auth_dev_tokens_path},
                                         {NULL, NULL}};
    char why[WHY_SIZE] = "";

    if (root[0] == '\0')
        return;
    app->site = rc_site_load(root, marks, SITE_MAX, why, sizeof(why));
    if (app->site == NULL)
        site_fault(e, app->conf, "server", "static_root", root, why);
}

/* The version that the bundle names in its first line, or else a hash of its content. */
static void set_client_etag(struct rc_app *app)
{
    const struct rc_site_file *f = rc_site_find(app->client, rc_str_of(bundle));
    struct rc_str mark = RC_STR("Socket.IO v"), head, version;
    const char *at;

    if (f == NULL)
        return;
    head = rc_str_make(f->body.p, f->body.len < 200 ? f->body.len : 200);
    at = head.len != 0 ? memmem(head.p, head.len, mark.p, mark.len) : NULL;
    version = at != NULL ? rc_str_skip(head, (size_t)(at - head.p) + mark.len) : RC_STR_NONE;
    for (size_t n = 0; n < version.len; n++)
        if (strchr("0123456789abcdefghijklmnopqrstuvwxyz.-+", version.p[n]) == NULL ||
            version.p[n] == '\0')
            version.len = n;
    if (version.len != 0 && version.len + 2 < sizeof(app->client_etag))
        (void)snprintf(app->client_etag, sizeof(app->client_etag), "\"%.*s\"",
                       RC_STR_ARG(version));
    else
        (void)snprintf(app->client_etag, sizeof(app->client_etag), "%.*s", RC_STR_ARG(f->etag));
}

/* The folder that has the bundle: of a build, or of an installation. To be freed; or NULL. */
static char *find_client(const char *exe_dir)
{
    static const char *const places[] = {"/client", "/../client", "/../share/roomcast/client"};
    struct rc_buf path = RC_BUF_INIT;
    size_t n;

    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        rc_buf_reset(&path);
        rc_buf_printf(&path, "%s%s%s", exe_dir, places[i], bundle);
        rc_buf_putc(&path, '\0');
        if (path.failed || access((const char *)path.data, R_OK) != 0)
            continue;
        n = path.len - sizeof(bundle);
        path.data[n] = '\0';
        return (char *)rc_buf_take(&path, &n);
    }
    rc_buf_deinit(&path);
    return NULL;
}

static void load_client(struct rc_app *app, const char *exe_dir, struct rc_conf_errors *e)
{
    const struct rc_conf *conf = app->conf;
    bool is_set = conf->socketio_client_dir[0] != '\0';
    char why[WHY_SIZE] = "there is none beside the executable", *dir;

    if (!conf->socketio_serve_client || conf->socketio_path[0] == '\0')
        return;
    dir = is_set ? rc_strndup(conf->socketio_client_dir, strlen(conf->socketio_client_dir))
                 : find_client(exe_dir);
    if (dir != NULL)
        app->client = rc_site_load(dir, NULL, SITE_MAX, why, sizeof(why));
    if (is_set && app->client == NULL)
        site_fault(e, conf, "socketio", "client_dir", conf->socketio_client_dir, why);
    else if (is_set && rc_site_find(app->client, rc_str_of(bundle)) == NULL)
        rc_conf_fault(e, conf, "socketio", "client_dir",
                      "[socketio] client_dir = %s: expected a folder that has %s", dir,
                      bundle + 1);
    else if (app->client == NULL)
        rc_log(RC_LOG_WARN,
               "no client bundles to serve at %s%s: %s; set socketio.client_dir to the folder "
               "of %s, or socketio.serve_client = no",
               conf->socketio_path, bundle, why, bundle + 1);
    else
        set_client_etag(app);
    free(dir);
}

/* ---- the app ---- */

static bool has_item(const struct rc_conf_list *list, const char *item)
{
    for (unsigned i = 0; i < list->n; i++)
        if (strcmp(list->item[i], item) == 0)
            return true;
    return false;
}

static void set_limits(struct rc_app *app)
{
    const struct rc_conf *conf = app->conf;

    app->polling = has_item(&conf->socketio_transports, "polling");
    app->websocket = has_item(&conf->socketio_transports, "websocket");
    app->deflate = (struct rc_deflate_policy){
        .client_bits = (uint8_t)conf->socketio_deflate_window_bits,
        .client_takeover = !conf->socketio_deflate_no_context_takeover};
    rc_headers_init(&app->headers, conf);
    for (unsigned i = 0; i < conf->server_trusted_proxies.n; i++)
        RC_ASSERT(rc_trust_add(&app->trust, rc_str_of(conf->server_trusted_proxies.item[i])));
    app->message_rate = (struct rc_rate){conf->limits_message_rate, conf->limits_message_burst};
    app->byte_rate = (struct rc_rate){conf->limits_byte_rate, conf->limits_byte_burst};
    app->metered = conf->limits_message_rate != 0 || conf->limits_byte_rate != 0;
    app->max_queued = rc_admission_queue_ceiling(conf);
    app->http = (struct rc_http_limits){.max_head = conf->limits_max_head_size,
                                        .max_target = conf->limits_max_target_size,
                                        .max_headers = conf->limits_max_headers};
    app->sio = (struct rc_sio_limits){.max_depth = conf->limits_json_depth,
                                      .max_attachments = conf->limits_max_attachments,
                                      .max_args = conf->limits_max_args,
                                      .max_id = conf->limits_max_ack_id,
                                      .max_nsp = conf->limits_max_namespace_length,
                                      .max_event = conf->limits_max_event_length,
                                      .max_text = conf->socketio_max_payload};
    app->sio_eio3 = app->sio;
    app->sio_eio3.nsp_query = true;
}

struct rc_app *rc_app_renew(const struct rc_app *last, const struct rc_conf *conf,
                            const char *exe_dir, struct rc_conf_errors *e)
{
    struct rc_app *app = rc_calloc(1, sizeof(*app));
    size_t most = (size_t)conf->nsections + 2 + (last != NULL ? last->nnsps : 0);
    unsigned before = e->n;

    app->life = rc_calloc(1, sizeof(*app->life));
    app->conf = conf;
    app->nsp = rc_calloc(most, sizeof(*app->nsp));
    app->pattern = rc_calloc(most, sizeof(*app->pattern));
    if (last != NULL) {
        app->store = last->store;
        app->listeners = last->listeners;
        app->cluster = last->cluster;
        app->ui_desk = last->ui_desk;
        inherit(app, last);
    }
    set_limits(app);
    add_namespaces(app, last, e);
    add_rooms(app, e);
    add_endpoints(app, last, e);
    if (app->nnsps > NSPS_MAX)
        rc_conf_error(e, conf->file, 0,
                      "expected at most %d namespaces and endpoints, there are %u%s",
                      (int)NSPS_MAX, app->nnsps,
                      last != NULL ? " with those that were reloaded away: restart" : "");
    load_auth(app, last, e);
    rc_devtoken_check(app, e);
    load_static(app, e);
    load_client(app, exe_dir, e);
    if (e->n == before)
        return app;
    rc_app_free(app);
    return NULL;
}

struct rc_app *rc_app_new(const struct rc_conf *conf, const char *exe_dir,
                          struct rc_conf_errors *e)
{
    return rc_app_renew(NULL, conf, exe_dir, e);
}

void rc_app_free(struct rc_app *app)
{
    if (app == NULL)
        return;
    for (unsigned i = 0; i < app->nnsps; i++) {
        rc_room_rules_deinit(&app->nsp[i].rooms);
        rc_ruleset_free(&app->nsp[i].rules);
    }
    for (unsigned i = 0; i < app->nkept; i++)
        free(app->kept[i]);
    free(app->kept);
    free(app->nsp);
    free(app->pattern);
    free(app->life);
    free_untyped(app);
    rc_hmap_deinit(&app->by_name);
    rc_headers_deinit(&app->headers);
    rc_trust_deinit(&app->trust);
    rc_auth_free(app->auth);
    rc_site_free(app->site);
    rc_site_free(app->client);
    for (unsigned i = 0; i < app->ntls; i++)
        rc_tls_set_unref(app->tls[i]);
    free(app->tls);
    free(app);
}

/* ---- generations ---- */

void rc_app_publish(const struct rc_app *last, const struct rc_app *next)
{
    atomic_store_explicit(&last->life->next, next, memory_order_release);
}

const struct rc_app *rc_app_latest(const struct rc_app *app)
{
    const struct rc_app *next;

    while ((next = atomic_load_explicit(&app->life->next, memory_order_acquire)) != NULL)
        app = next;
    return app;
}

void rc_app_hold(const struct rc_app *app)
{
    (void)atomic_fetch_add_explicit(&app->life->holders, 1, memory_order_relaxed);
}

void rc_app_let_go(const struct rc_app *app)
{
    (void)atomic_fetch_sub_explicit(&app->life->holders, 1, memory_order_release);
}

bool rc_app_is_held(const struct rc_app *app)
{
    return atomic_load_explicit(&app->life->holders, memory_order_acquire) != 0;
}

void rc_app_arrive(const struct rc_app *app)
{
    (void)atomic_fetch_add_explicit(&app->life->arrived, 1, memory_order_release);
}

uint32_t rc_app_arrived(const struct rc_app *app)
{
    return atomic_load_explicit(&app->life->arrived, memory_order_acquire);
}

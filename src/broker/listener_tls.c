/* listener_tls.c - the TLS keys of a [listen] section, and the certificates that they name. */
#include "rc/base/log.h"
#include "rc/base/mem.h"
#include "rc/broker/app.h"
#include "rc/broker/listener.h"
#include "rc/net/tls.h"

#include <stdlib.h>
#include <string.h>

struct reader {
    const struct rc_conf_section *section;
    struct rc_conf_errors *e;
    struct rc_conf_list certificate, key;
    struct rc_tls_conf tls;
};

static const struct rc_conf_entry *find(const struct rc_conf_section *s, const char *key)
{
    for (unsigned i = 0; i < s->nentries; i++)
        if (strcmp(s->entry[i].key, key) == 0)
            return &s->entry[i];
    return NULL;
}

static const char *value_of(const struct rc_conf_section *s, const char *key)
{
    const struct rc_conf_entry *entry = find(s, key);

    return entry != NULL ? entry->value : "";
}

/* One line about a key, where that stands, or at the section if it is not there. */
static void say(void *arg, bool warning, const char *key, const char *value, const char *why)
{
    const struct reader *r = arg;
    const struct rc_conf_section *s = r->section;
    const struct rc_conf_entry *entry = find(s, key);
    const char *file = entry != NULL ? entry->file : s->file;
    unsigned line = entry != NULL ? entry->line : s->line;

    if (warning)
        rc_log(RC_LOG_WARN, "%s:%u: [listen %s] %s = %s: %s", file, line, s->name, key, value,
               why);
    else
        rc_conf_error(r->e, file, line, "[listen %s] %s = %s: %s", s->name, key, value, why);
}

/* Which of the words the key is, 0 when it is not there. */
static unsigned read_word(struct reader *r, const char *key, const char *const *word,
                          unsigned nwords, const char *expected)
{
    const struct rc_conf_entry *entry = find(r->section, key);

    for (unsigned i = 0; entry != NULL && i < nwords; i++)
        if (strcmp(entry->value, word[i]) == 0)
            return i;
    if (entry != NULL)
        say(r, false, key, entry->value, expected);
    return 0;
}

/* What belongs to tls = yes only. */
static void refuse_rest(struct reader *r)
{
    static const char *const keys[] = {"certificate", "key",     "client_ca",
                                       "client_auth", "tls_min", "ciphers"};

    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (find(r->section, keys[i]) != NULL)
            say(r, false, keys[i], value_of(r->section, keys[i]),
                "expected this key only with tls = yes");
}

static struct rc_tls_set *load(const struct rc_conf_section *s, bool on,
                               struct rc_conf_errors *e)
{
    static const char *const auth[] = {"off", "optional", "required"};
    static const char *const min[] = {"1.2", "1.3"};
    struct reader r = {.section = s, .e = e};
    struct rc_tls_set *set;

    if (!on) {
        refuse_rest(&r);
        return NULL;
    }
    rc_conf_list_parse(rc_str_of(value_of(s, "certificate")), &r.certificate);
    rc_conf_list_parse(rc_str_of(value_of(s, "key")), &r.key);
    r.tls = (struct rc_tls_conf){
        .certificate = &r.certificate,
        .key = &r.key,
        .client_ca = value_of(s, "client_ca"),
        .client_auth = (enum rc_clientauth)read_word(&r, "client_auth", auth, 3,
                                                     "expected off, optional or required"),
        .min = (enum rc_tlsmin)read_word(&r, "tls_min", min, 2, "expected 1.2 or 1.3"),
        .ciphers = value_of(s, "ciphers")};
    set = rc_tls_set_new(&r.tls, say, &r); /* also behind a wrong word: its files may be, too */
    rc_conf_list_free(&r.certificate);
    rc_conf_list_free(&r.key);
    return set;
}

void rc_listeners_load(const struct rc_listeners *all, const struct rc_conf *conf,
                       struct rc_app *app, struct rc_conf_errors *e)
{
    struct rc_tls_set **tls = rc_calloc(all->n + 1, sizeof(struct rc_tls_set *));

    for (unsigned i = 0; i < conf->nsections; i++)
        for (unsigned k = 0; k < all->n; k++)
            if (conf->section[i].kind == RC_CONF_LISTENER &&
                strcmp(all->at[k].name, conf->section[i].name) == 0)
                tls[k] = load(&conf->section[i], all->at[k].tls, e);
    if (app != NULL) {
        app->tls = tls;
        app->ntls = all->n;
        return;
    }
    for (unsigned k = 0; k < all->n; k++)
        rc_tls_set_unref(tls[k]);
    free(tls);
}

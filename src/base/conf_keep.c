/*
 * conf_keep.c - a reload: which differences to the configuration in effect need a restart. These are
 * undone in the new one, so that what it says is what is in effect.
 */
#include "conf_int.h"

#include "rc/base/thread.h"

#include <stdlib.h>

struct keeper {
    struct rc_conf *conf;
    const struct rc_conf *running;
    struct rc_buf *said;
    unsigned n;
};

/* ---- keys ---- */

static void keep_key(struct keeper *k, const struct rc_conf_key *key)
{
    struct rc_buf now = RC_BUF_INIT, wanted = RC_BUF_INIT, text = RC_BUF_INIT;

    rc_conf_value_put(k->running, key, &now);
    rc_conf_value_put(k->conf, key, &wanted);
    if (!rc_str_eq(rc_buf_str(&now), rc_buf_str(&wanted))) {
        k->n++;
        (void)rc_conf_unquote(rc_buf_str(&now), &text);
        rc_buf_reset(&wanted);
        RC_ASSERT(rc_conf_value_set(k->conf, key, rc_buf_str(&text), "/", &wanted));
        rc_conf_mask(key->key, &now);
        rc_buf_printf(k->said, "[%s] %s: the change needs a restart; it stays %.*s\n",
                      key->section, key->key,
                      RC_STR_ARG(now.len != 0 ? rc_buf_str(&now) : RC_STR("empty")));
    }
    rc_buf_deinit(&now);
    rc_buf_deinit(&wanted);
    rc_buf_deinit(&text);
}

/* ---- sections ---- */

static bool same_entry(const struct rc_conf_section *a, const struct rc_conf_section *b,
                       const char *key)
{
    const struct rc_conf_entry *x = rc_conf_entry_find(a, rc_str_of(key)),
                               *y = rc_conf_entry_find(b, rc_str_of(key));

    return x == NULL || y == NULL ? x == y : strcmp(x->value, y->value) == 0;
}

static struct rc_conf_section *find(const struct rc_conf *conf, const struct rc_conf_section *s)
{
    const struct rc_conf_header h = {
        .kind = s->kind, .nsp = rc_str_of(s->nsp), .name = rc_str_of(s->name)};

    return rc_conf_section_find(conf, &h);
}

static void copy_entries(const struct rc_conf *conf, struct rc_conf_section *to,
                         const struct rc_conf_section *from)
{
    to->file = conf->file;
    to->line = from->line;
    for (unsigned i = 0; i < from->nentries; i++) {
        struct rc_conf_entry *entry = rc_conf_entry_add(to, rc_str_of(from->entry[i].key),
                                                        rc_str_of(from->entry[i].value));

        entry->file = conf->file;
        entry->line = from->entry[i].line;
    }
}

static void drop_section(struct rc_conf *conf, struct rc_conf_section *s)
{
    size_t behind = (size_t)(conf->section + conf->nsections - s) - 1;

    rc_conf_section_free(s);
    memmove(s, s + 1, behind * sizeof(*s));
    conf->nsections--;
}

static void tell(struct keeper *k, const struct rc_conf_section *s, const char *what)
{
    k->n++;
    rc_conf_header_put(s, k->said);
    rc_buf_printf(k->said, ": %s\n", what);
}

/* In the place of s, which may be NULL, comes what is in effect. */
static void restore(struct keeper *k, struct rc_conf_section *s,
                    const struct rc_conf_section *running)
{
    const struct rc_conf_header h = {.kind = running->kind,
                                     .nsp = rc_str_of(running->nsp),
                                     .name = rc_str_of(running->name)};

    tell(k, running, "the change needs a restart; it stays as it is");
    if (s != NULL)
        drop_section(k->conf, s);
    copy_entries(k->conf, rc_conf_section_add(k->conf, &h), running);
}

/* Certificates and what belongs to them may change. */
static bool same_listener(const struct rc_conf_section *a, const struct rc_conf_section *b)
{
    static const char *const fixed[] = {"address", "proxy_protocol", "mode", "tls"};
    bool same = true;

    for (unsigned i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        same = same && same_entry(a, b, fixed[i]);
    return same;
}

/* Listeners are opened at the start, and closed at the end. */
static void keep_listeners(struct keeper *k)
{
    for (unsigned i = 0; i < k->conf->nsections;) {
        struct rc_conf_section *s = &k->conf->section[i];

        if (s->kind == RC_CONF_LISTENER && find(k->running, s) == NULL) {
            tell(k, s, "a new one needs a restart");
            drop_section(k->conf, s);
        } else {
            i++;
        }
    }
    for (unsigned i = 0; i < k->running->nsections; i++) {
        const struct rc_conf_section *had = &k->running->section[i];
        struct rc_conf_section *s = find(k->conf, had);

        if (had->kind == RC_CONF_LISTENER && (s == NULL || !same_listener(s, had)))
            restore(k, s, had);
    }
}

/* The clients that are there speak what their endpoint was when they came. */
static void keep_endpoints(struct keeper *k)
{
    static const char *const fixed[] = {"protocol", "namespace", "untyped"};

    for (unsigned i = 0; i < k->running->nsections; i++) {
        const struct rc_conf_section *had = &k->running->section[i];
        struct rc_conf_section *s = had->kind == RC_CONF_ENDPOINT ? find(k->conf, had) : NULL;
        bool same = true;

        for (unsigned j = 0; s != NULL && j < sizeof(fixed) / sizeof(fixed[0]); j++)
            same = same && same_entry(s, had, fixed[j]);
        if (!same)
            restore(k, s, had);
    }
}

unsigned rc_conf_keep(struct rc_conf *conf, const struct rc_conf *running, struct rc_buf *said)
{
    struct keeper k = {.conf = conf, .running = running, .said = said};

    for (unsigned i = 0; i < rc_conf_nkeys; i++)
        if (!rc_conf_keys[i].reloadable)
            keep_key(&k, &rc_conf_keys[i]);
    keep_listeners(&k);
    keep_endpoints(&k);
    return k.n;
}

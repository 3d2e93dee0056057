/*
 * conf.c - loads the configuration: defaults, the INI file, -o options, then the checks that
 * need more than one value. A fault never stops the reading: all are told at once.
 */
#include "rc/base/conf.h"

#include "conf_int.h"
#include "rc/base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

enum {
    FILE_MAX = 1 << 20,
    FAULTS_SHOWN = 200,
    VALUE_SHOWN = 80, /* bytes of a value that a fault repeats */
};

const struct rc_conf_key rc_conf_keys[] = {
#define KEY_ROW(section, key, type, def, min, max, reload, help) \
    {#section, #key, RC_CONF_##type,                             \
     def,      min,  max,                                        \
     reload,   help, offsetof(struct rc_conf, section##_##key)},
    RC_CONF_MAP(KEY_ROW)
#undef KEY_ROW
};
enum { NKEYS = RC_CONF_NKEYS };
const unsigned rc_conf_nkeys = NKEYS;

static const char command_line[] = "command line";

/* Where the reader is. */
struct loader {
    struct rc_conf *conf;
    struct rc_conf_errors *e;
    const char *file, *dir;
    unsigned line;
    struct rc_str header;            /* between the brackets; NULL before the first */
    const char *scalar;              /* a section of the table, or NULL */
    struct rc_conf_section *section; /* a section of rules, or NULL; both NULL: unknown */
};

void rc_conf_error(struct rc_conf_errors *e, const char *file, unsigned line, const char *fmt,
                   ...)
{
    char text[2048];
    va_list ap;

    if (++e->n > FAULTS_SHOWN) {
        if (e->n == FAULTS_SHOWN + 1)
            rc_buf_putz(&e->text, "more faults are not shown\n");
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (file != NULL && line != 0)
        rc_buf_printf(&e->text, "%s:%u: ", file, line);
    else if (file != NULL)
        rc_buf_printf(&e->text, "%s: ", file);
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            rc_buf_printf(&e->text, "\\x%02x", (unsigned)*c);
        else
            rc_buf_putc(&e->text, *c);
    }
    rc_buf_putc(&e->text, '\n');
}

const struct rc_conf_place *rc_conf_where(const struct rc_conf *conf, const char *section,
                                          const char *key)
{
    static const struct rc_conf_place nowhere = {.file = NULL};

    for (unsigned i = 0; i < NKEYS; i++)
        if (strcmp(rc_conf_keys[i].section, section) == 0 &&
            strcmp(rc_conf_keys[i].key, key) == 0)
            return &conf->set_at[i];
    return &nowhere;
}

void rc_conf_fault(struct rc_conf_errors *e, const struct rc_conf *conf, const char *section,
                   const char *key, const char *fmt, ...)
{
    const struct rc_conf_place *at = rc_conf_where(conf, section, key);
    char text[2048];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (at->file != NULL)
        rc_conf_error(e, at->file, at->line, "%s", text);
    else
        rc_conf_error(e, conf->file, 0, "%s", text);
}

/* The part of a value that a message repeats, cut between characters. */
static struct rc_str shown(struct rc_str value)
{
    if (value.len <= VALUE_SHOWN)
        return value;
    value.len = VALUE_SHOWN;
    while (value.len != 0 && ((unsigned char)value.p[value.len] & 0xc0) == 0x80)
        value.len--;
    return value;
}

static void entry_fault(const struct loader *l, struct rc_str key, struct rc_str value,
                        const char *what)
{
    struct rc_str part = shown(value);

    rc_conf_error(l->e, l->file, l->line, "[%.*s] %.*s = %.*s%s: %s",
                  RC_STR_ARG(shown(l->header)), RC_STR_ARG(shown(key)), RC_STR_ARG(part),
                  part.len < value.len ? "..." : "", what);
}

/* Hands over the text of a buffer; it is good until the buffer is reset. */
static const char *text_of(struct rc_buf *b)
{
    rc_buf_putc(b, '\0');
    return b->failed ? "" : (const char *)b->data;
}

static void header_fault(const struct loader *l, const char *what)
{
    rc_conf_error(l->e, l->file, l->line, "[%.*s]: %s", RC_STR_ARG(shown(l->header)), what);
}

static unsigned section_names(const char **names)
{
    unsigned n = 0;

    for (unsigned i = 0; i < NKEYS; i++)
        if (n == 0 || strcmp(names[n - 1], rc_conf_keys[i].section) != 0)
            names[n++] = rc_conf_keys[i].section;
    return n;
}

static void unknown_section(const struct loader *l)
{
    static const char *const kinds[] = {"event", "connect",  "namespace",
                                        "room",  "endpoint", "listen"};
    enum { NKINDS = sizeof(kinds) / sizeof(kinds[0]) };
    const char *names[NKEYS + NKINDS] = {NULL}, *near;
    struct rc_str word = l->header;
    struct rc_buf why = RC_BUF_INIT;
    unsigned n = section_names(names);

    memcpy(names + n, kinds, sizeof(kinds));
    for (size_t i = 0; i < word.len; i++)
        if (word.p[i] == ' ')
            word.len = i;
    near = rc_conf_nearest(word, names, n + NKINDS);
    rc_buf_putz(&why, "unknown section");
    if (near != NULL)
        rc_buf_printf(&why, " (did you mean %s?)", near);
    rc_buf_putz(&why, "; expected ");
    for (unsigned i = 0; i < n; i++)
        rc_buf_printf(&why, "[%s], ", names[i]);
    rc_buf_putz(&why, "[event NAME], [event /namespace NAME], [connect], [connect /namespace], "
                      "[namespace /NAME], [room PATTERN], [room /namespace PATTERN], "
                      "[endpoint /PATH] or [listen NAME]");
    header_fault(l, text_of(&why));
    rc_buf_deinit(&why);
}

/* A key in the wrong section is a mistake of its own: where does it belong? */
static bool say_homes(struct rc_str key, struct rc_buf *why)
{
    unsigned n = 0;

    for (unsigned i = 0; i < NKEYS; i++)
        if (rc_str_eq(key, rc_str_of(rc_conf_keys[i].key)))
            rc_buf_printf(why, "%s[%s]", n++ == 0 ? " here; it belongs to " : " or ",
                          rc_conf_keys[i].section);
    return n != 0;
}

static void unknown_key(const struct loader *l, struct rc_str key, struct rc_str value)
{
    const char *names[NKEYS], *near, *name;
    struct rc_buf why = RC_BUF_INIT;
    unsigned n = 0;

    if (l->section != NULL)
        while ((name = rc_conf_entry_name(l->section->kind, n)) != NULL)
            names[n++] = name;
    for (unsigned i = 0; i < NKEYS && l->section == NULL; i++)
        if (strcmp(rc_conf_keys[i].section, l->scalar) == 0)
            names[n++] = rc_conf_keys[i].key;
    near = rc_conf_nearest(key, names, n);
    rc_buf_putz(&why, "unknown key");
    if (!say_homes(key, &why) && near != NULL)
        rc_buf_printf(&why, " (did you mean %s?)", near);
    rc_buf_putz(&why, n == 0 ? "; expected no keys in this section" : "; expected ");
    for (unsigned i = 0; i < n; i++)
        rc_buf_printf(&why, "%s%s", i == 0 ? "" : i + 1 < n ? ", " : " or ", names[i]);
    entry_fault(l, key, value, text_of(&why));
    rc_buf_deinit(&why);
}

static bool unquote(const struct loader *l, struct rc_str key, struct rc_str value,
                    struct rc_buf *text)
{
    if (rc_conf_unquote(value, text))
        return true;
    entry_fault(l, key, value, "expected a closing \" at the end, and \\\" for one inside");
    return false;
}

/* The command line may set again what the file has set. */
static bool set_before(const struct loader *l, struct rc_str key, struct rc_str value,
                       unsigned before)
{
    char what[80];

    if (before == 0 || l->line == 0)
        return false;
    (void)snprintf(what, sizeof(what), "expected the key once, but line %u has it too", before);
    entry_fault(l, key, value, what);
    return true;
}

static void set_scalar(struct loader *l, struct rc_str key, struct rc_str value)
{
    struct rc_buf text = RC_BUF_INIT, why = RC_BUF_INIT;
    unsigned i = 0;

    while (i < NKEYS && (strcmp(rc_conf_keys[i].section, l->scalar) != 0 ||
                         !rc_str_eq(key, rc_str_of(rc_conf_keys[i].key))))
        i++;
    if (i == NKEYS) {
        unknown_key(l, key, value);
        return;
    }
    if (set_before(l, key, value, l->conf->set_at[i].line))
        return;
    l->conf->set_at[i] = (struct rc_conf_place){.file = l->file, .line = l->line, .bad = true};
    if (unquote(l, key, value, &text)) {
        rc_buf_putz(&why, "expected ");
        if (rc_conf_value_set(l->conf, &rc_conf_keys[i], rc_buf_str(&text), l->dir, &why))
            l->conf->set_at[i].bad = false;
        else
            entry_fault(l, key, value, text_of(&why));
    }
    rc_buf_deinit(&text);
    rc_buf_deinit(&why);
}

static void add_entry(struct loader *l, struct rc_str key, struct rc_str value)
{
    struct rc_buf text = RC_BUF_INIT, placed = RC_BUF_INIT;
    struct rc_conf_entry *entry;
    bool once;

    if (!rc_conf_entry_allowed(l->section->kind, key, &once)) {
        unknown_key(l, key, value);
        return;
    }
    entry = once ? rc_conf_entry_find(l->section, key) : NULL;
    if (entry != NULL && set_before(l, key, value, entry->line))
        return;
    if (rc_conf_section_is_raw(l->section->kind))
        rc_buf_puts(&text, value);
    else if (!unquote(l, key, value, &text))
        goto out;
    rc_conf_entry_put(l->section->kind, key, rc_buf_str(&text), l->dir, &placed);
    if (entry == NULL) {
        entry = rc_conf_entry_add(l->section, key, rc_buf_str(&placed));
    } else {
        free(entry->value);
        entry->value = rc_strndup((const char *)placed.data, placed.len);
    }
    entry->file = l->file;
    entry->line = l->line;
out:
    rc_buf_deinit(&placed);
    rc_buf_deinit(&text);
}

static void read_entry(struct loader *l, struct rc_str key, struct rc_str value)
{
    if (l->header.p == NULL)
        rc_conf_error(l->e, l->file, l->line, "%.*s = %.*s: expected a [section] before it",
                      RC_STR_ARG(shown(key)), RC_STR_ARG(shown(value)));
    else if (l->scalar != NULL)
        set_scalar(l, key, value);
    else if (l->section != NULL)
        add_entry(l, key, value);
}

static const char *scalar_section(struct rc_str header)
{
    for (unsigned i = 0; i < NKEYS; i++)
        if (rc_str_eq(header, rc_str_of(rc_conf_keys[i].section)))
            return rc_conf_keys[i].section;
    return NULL;
}

static void read_header(struct loader *l, struct rc_str header)
{
    struct rc_buf why = RC_BUF_INIT;
    struct rc_conf_header h;
    char what[80];
    int err;

    l->header = header;
    l->section = NULL;
    l->scalar = scalar_section(header);
    if (l->scalar != NULL)
        return;
    rc_buf_putz(&why, "expected ");
    err = rc_conf_header_parse(header, &h, &why);
    if (err == RC_ENOENT)
        unknown_section(l);
    else if (err != RC_OK)
        header_fault(l, text_of(&why));
    rc_buf_deinit(&why);
    if (err != RC_OK)
        return;
    l->section = rc_conf_section_find(l->conf, &h);
    if (l->section != NULL && l->line != 0) {
        (void)snprintf(what, sizeof(what), "expected the section once, but line %u has it too",
                       l->section->line);
        header_fault(l, what);
    }
    if (l->section != NULL)
        return;
    l->section = rc_conf_section_add(l->conf, &h);
    l->section->file = l->file;
    l->section->line = l->line;
}

static void read_fault(struct loader *l, const struct rc_ini_item *item)
{
    rc_conf_error(l->e, l->file, l->line, "%.*s: %s", RC_STR_ARG(shown(item->text)), item->why);
    if (item->text.p[0] == '[') {
        l->header = item->text;
        l->scalar = NULL;
        l->section = NULL;
    }
}

static void read_text(struct loader *l, struct rc_str text)
{
    struct rc_ini_item item;
    enum rc_ini_kind kind;
    struct rc_ini ini;

    rc_ini_init(&ini, text);
    while ((kind = rc_ini_next(&ini, &item)) != RC_INI_END) {
        l->line = item.line;
        if (kind == RC_INI_SECTION)
            read_header(l, item.section);
        else if (kind == RC_INI_ENTRY)
            read_entry(l, item.key, item.value);
        else
            read_fault(l, &item);
    }
    rc_ini_deinit(&ini);
}

/* What a line of the file could not say must not come from the command line either, or the
 * printed configuration would load to something else. */
static bool check_option(struct loader *l, struct rc_str option, struct rc_str header)
{
    const char *why = NULL;
    char buf[96];

    if (!rc_ini_check(option, buf, sizeof(buf)))
        why = buf;
    else if (memchr(header.p, ']', header.len) != NULL)
        why = "] in a section's name";
    else if (option.p[option.len - 1] == '\\')
        why = "\\ at the end";
    if (why != NULL)
        rc_conf_error(l->e, l->file, 0, "-o %.*s: expected section.key=value without %s",
                      RC_STR_ARG(shown(option)), why);
    return why == NULL;
}

/* section.key=value; the section's name may have dots, a key has none. */
static void read_option(struct loader *l, struct rc_str option)
{
    const char *eq = option.len != 0 ? memchr(option.p, '=', option.len) : NULL;
    const char *dot = eq != NULL ? memrchr(option.p, '.', (size_t)(eq - option.p)) : NULL;
    struct rc_str header, key, value;

    if (dot == NULL) {
        rc_conf_error(l->e, l->file, 0, "-o %.*s: expected section.key=value",
                      RC_STR_ARG(shown(option)));
        return;
    }
    header = rc_ini_trim(rc_str_make(option.p, (size_t)(dot - option.p)));
    key = rc_ini_trim(rc_str_make(dot + 1, (size_t)(eq - dot) - 1));
    value = rc_ini_trim(rc_str_skip(option, (size_t)(eq - option.p) + 1));
    if (!check_option(l, option, header))
        return;
    read_header(l, header);
    read_entry(l, key, value);
}

static void set_defaults(struct rc_conf *conf)
{
    struct rc_buf why = RC_BUF_INIT;

    *conf = (struct rc_conf){0};
    for (unsigned i = 0; i < NKEYS; i++)
        (void)rc_conf_value_set(conf, &rc_conf_keys[i], rc_str_of(rc_conf_keys[i].def), "/",
                                &why);
    rc_buf_deinit(&why);
}

/* Who writes [listen] sections does not mean the default address besides. */
static void drop_default_listen(struct loader *l)
{
    struct rc_buf why = RC_BUF_INIT;

    for (unsigned i = 0; i < NKEYS; i++)
        if (rc_conf_keys[i].offset == offsetof(struct rc_conf, server_listen) &&
            l->conf->set_at[i].file == NULL && rc_conf_has_listener(l->conf))
            (void)rc_conf_value_set(l->conf, &rc_conf_keys[i], RC_STR(""), "/", &why);
    rc_buf_deinit(&why);
}

int rc_conf_load_text(struct rc_conf *conf, const char *name, struct rc_str text,
                      char *const *options, unsigned noptions, struct rc_conf_errors *e)
{
    char *file_dir = rc_conf_folder_of(name), *dir = rc_conf_folder_of(NULL);
    struct loader l = {.conf = conf, .e = e, .dir = file_dir};

    set_defaults(conf);
    if (name != NULL)
        l.file = conf->file = rc_strndup(name, strlen(name));
    read_text(&l, text);
    l.file = command_line;
    l.line = 0;
    l.dir = dir;
    for (unsigned i = 0; i < noptions; i++)
        read_option(&l, rc_str_of(options[i]));
    drop_default_listen(&l);
    rc_conf_check_all(conf, e);
    free(file_dir);
    free(dir);
    return e->n == 0 ? RC_OK : RC_EINVAL;
}

int rc_conf_load(struct rc_conf *conf, const char *file, char *const *options,
                 unsigned noptions, struct rc_conf_errors *e)
{
    struct rc_buf text = RC_BUF_INIT;
    char why[128];
    int err = file != NULL ? rc_conf_read_file(file, FILE_MAX, &text) : 0, result;

    if (err == 0) {
        result = rc_conf_load_text(conf, file, rc_buf_str(&text), options, noptions, e);
    } else {
        set_defaults(conf);
        rc_conf_error(e, file, 0, "the file cannot be read: %s",
                      err == EFBIG ? "longer than 1 MiB" : strerror_r(err, why, sizeof(why)));
        result = RC_ENOENT;
    }
    rc_buf_deinit(&text);
    return result;
}

void rc_conf_free(struct rc_conf *conf)
{
    for (unsigned i = 0; i < NKEYS; i++)
        rc_conf_value_free(conf, &rc_conf_keys[i]);
    for (unsigned i = 0; i < conf->nsections; i++)
        rc_conf_section_free(&conf->section[i]);
    free(conf->section);
    free(conf->file);
    *conf = (struct rc_conf){0};
}

/*
 * conf_print.c - the configuration for people: --print-config, --help and the documentation.
 */
#include "conf_int.h"

static bool new_section(unsigned i)
{
    return i == 0 || strcmp(rc_conf_keys[i].section, rc_conf_keys[i - 1].section) != 0;
}

static void put_entry(struct rc_buf *to, const char *key, struct rc_str value)
{
    rc_buf_printf(to, "%s =%s%.*s\n", key, value.len != 0 ? " " : "", RC_STR_ARG(value));
}

static void put_sections(const struct rc_conf *conf, struct rc_buf *to)
{
    for (unsigned i = 0; i < conf->nsections; i++) {
        const struct rc_conf_section *s = &conf->section[i];

        rc_buf_putc(to, '\n');
        rc_conf_header_put(s, to);
        rc_buf_putc(to, '\n');
        for (unsigned j = 0; j < s->nentries; j++) {
            struct rc_str value = rc_str_of(s->entry[j].value);
            struct rc_buf quoted = RC_BUF_INIT;

            if (!rc_conf_section_is_raw(s->kind)) {
                rc_conf_put_text(value, &quoted);
                value = rc_buf_str(&quoted);
            }
            put_entry(to, s->entry[j].key, value);
            rc_buf_deinit(&quoted);
        }
    }
}

void rc_conf_print(const struct rc_conf *conf, FILE *to)
{
    struct rc_buf out = RC_BUF_INIT, value = RC_BUF_INIT;

    for (unsigned i = 0; i < rc_conf_nkeys; i++) {
        if (new_section(i))
            rc_buf_printf(&out, "%s[%s]\n", i != 0 ? "\n" : "", rc_conf_keys[i].section);
        rc_buf_reset(&value);
        rc_conf_value_put(conf, &rc_conf_keys[i], &value);
        put_entry(&out, rc_conf_keys[i].key, rc_buf_str(&value));
    }
    put_sections(conf, &out);
    (void)fwrite(out.data, 1, out.len, to);
    rc_buf_deinit(&value);
    rc_buf_deinit(&out);
}

/* ---- for others' eyes ---- */

static bool is_secret(const char *key)
{
    static const char *const end[] = {"secret", "password", "passphrase", "password_hash"};
    size_t len = strlen(key);

    for (unsigned i = 0; i < sizeof(end) / sizeof(end[0]); i++)
        if (len >= strlen(end[i]) && strcmp(key + len - strlen(end[i]), end[i]) == 0)
            return true;
    return false;
}

/* The password of "scheme://user:password@host", if there is one. */
static struct rc_str find_password(struct rc_str url)
{
    const char *end = url.p + url.len, *at = memmem(url.p, url.len, "://", 3), *colon = NULL;
    const char *host = at;

    if (at == NULL)
        return RC_STR_NONE;
    for (const char *p = at + 3; p < end && *p != '/'; p++) {
        if (*p == '@')
            host = p;
        else if (*p == ':' && colon == NULL)
            colon = p;
    }
    return colon != NULL && host > colon ? rc_str_make(colon + 1, (size_t)(host - colon - 1))
                                         : RC_STR_NONE;
}

void rc_conf_mask(const char *key, struct rc_buf *value)
{
    static const struct rc_str stars = {.p = "********", .len = 8};
    struct rc_buf masked = RC_BUF_INIT;
    struct rc_str text = rc_buf_str(value), secret;

    if (text.len == 0)
        return;
    secret = is_secret(key) ? text : find_password(text);
    if (secret.len == 0)
        return;
    rc_buf_put(&masked, text.p, (size_t)(secret.p - text.p));
    rc_buf_puts(&masked, stars);
    rc_buf_puts(&masked, rc_str_skip(text, (size_t)(secret.p - text.p) + secret.len));
    rc_buf_deinit(value);
    *value = masked;
}

void rc_conf_each(const struct rc_conf *conf, rc_conf_each_fn *fn, void *arg)
{
    struct rc_buf value = RC_BUF_INIT, header = RC_BUF_INIT;

    for (unsigned i = 0; i < rc_conf_nkeys; i++) {
        const struct rc_conf_key *k = &rc_conf_keys[i];

        rc_buf_reset(&value);
        rc_conf_value_put(conf, k, &value);
        rc_conf_mask(k->key, &value);
        fn(k->section, k->key, rc_buf_str(&value), k->def, arg);
    }
    for (unsigned i = 0; i < conf->nsections; i++) {
        const struct rc_conf_section *s = &conf->section[i];

        rc_buf_reset(&header);
        rc_conf_header_put(s, &header);
        header.len--; /* the bracket */
        rc_buf_putc(&header, '\0');
        for (unsigned j = 0; j < s->nentries; j++) {
            rc_buf_reset(&value);
            rc_buf_putz(&value, s->entry[j].value);
            rc_conf_mask(s->entry[j].key, &value);
            fn((const char *)header.data + 1, s->entry[j].key, rc_buf_str(&value), NULL, arg);
        }
    }
    rc_buf_deinit(&header);
    rc_buf_deinit(&value);
}

void rc_conf_help(FILE *to)
{
    for (unsigned i = 0; i < rc_conf_nkeys; i++) {
        const struct rc_conf_key *k = &rc_conf_keys[i];
        struct rc_buf values = RC_BUF_INIT;

        if (new_section(i))
            (void)fprintf(to, "%s[%s]\n", i != 0 ? "\n" : "", k->section);
        rc_conf_value_describe(k, &values);
        (void)fprintf(to, "  %s =%s%s\n      %s (%.*s)\n", k->key, k->def[0] != '\0' ? " " : "",
                      k->def, k->help, RC_STR_ARG(rc_buf_str(&values)));
        rc_buf_deinit(&values);
    }
}

/* The bar and the angle bracket would mean something in a table's cell. */
static void put_cell(const char *text, FILE *to)
{
    for (; *text != '\0'; text++) {
        if (strchr("|<*_", *text) != NULL)
            (void)fputc('\\', to);
        (void)fputc(*text, to);
    }
}

void rc_conf_markdown(FILE *to)
{
    for (unsigned i = 0; i < rc_conf_nkeys; i++) {
        const struct rc_conf_key *k = &rc_conf_keys[i];
        struct rc_buf values = RC_BUF_INIT;

        if (new_section(i))
            (void)fprintf(to,
                          "%s### [%s]\n\n| key | default | what it is | values |\n"
                          "|---|---|---|---|\n",
                          i != 0 ? "\n" : "", k->section);
        rc_conf_value_describe(k, &values);
        rc_buf_putc(&values, '\0');
        (void)fprintf(to, k->def[0] != '\0' ? "| `%s` | `%s` | " : "| `%s` | %s | ", k->key,
                      k->def);
        put_cell(k->help, to);
        (void)fputs(" | ", to);
        put_cell((const char *)values.data, to);
        (void)fprintf(to, "%s |\n", k->reloadable ? "; reloadable" : "");
        rc_buf_deinit(&values);
    }
}

/* A backslash, a minus and a line's first dot or quote mean something to troff. */
static void put_roff(const char *text, FILE *to)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\\')
            (void)fputs("\\e", to);
        else if (*p == '-')
            (void)fputs("\\-", to);
        else if (p == text && (*p == '.' || *p == '\''))
            (void)fprintf(to, "\\&%c", *p);
        else
            (void)fputc(*p, to);
    }
}

void rc_conf_man(FILE *to)
{
    for (unsigned i = 0; i < rc_conf_nkeys; i++) {
        const struct rc_conf_key *k = &rc_conf_keys[i];
        struct rc_buf values = RC_BUF_INIT;

        if (new_section(i))
            (void)fprintf(to, ".SS [%s]\n", k->section);
        rc_conf_value_describe(k, &values);
        rc_buf_putc(&values, '\0');
        (void)fprintf(to, ".TP\n\\fB%s\\fR = ", k->key);
        put_roff(k->def, to);
        (void)fputc('\n', to);
        put_roff(k->help, to);
        (void)fputs("\n(", to);
        put_roff((const char *)values.data, to);
        (void)fprintf(to, ")%s\n", k->reloadable ? ". Reloadable" : "");
        rc_buf_deinit(&values);
    }
}

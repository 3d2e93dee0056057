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

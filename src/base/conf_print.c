/*
 * conf_print.c - the configuration for people: --print-config, --help and the documentation.
 */
#include "conf_int.h"

static bool new_section(unsigned i)
{
    return i == 0 || strcmp(rc_conf_keys[i].section, rc_conf_keys[i - 1].section) != 0;
}

void rc_conf_print(const struct rc_conf *conf, FILE *to)
{
    for (unsigned i = 0; i < rc_conf_nkeys; i++) {
        const struct rc_conf_key *k = &rc_conf_keys[i];

        if (new_section(i))
            (void)fprintf(to, "%s[%s]\n", i != 0 ? "\n" : "", k->section);
        (void)fprintf(to, "%s = ", k->key);
        rc_conf_value_print(conf, k, to);
        (void)fputc('\n', to);
    }
    for (unsigned i = 0; i < conf->nsections; i++) {
        const struct rc_conf_section *s = &conf->section[i];
        struct rc_buf header = RC_BUF_INIT;

        rc_conf_header_put(s, &header);
        (void)fprintf(to, "\n%.*s\n", RC_STR_ARG(rc_buf_str(&header)));
        rc_buf_deinit(&header);
        for (unsigned j = 0; j < s->nentries; j++) {
            (void)fprintf(to, "%s = ", s->entry[j].key);
            if (rc_conf_section_is_raw(s->kind))
                (void)fputs(s->entry[j].value, to);
            else
                rc_conf_print_text(s->entry[j].value, to);
            (void)fputc('\n', to);
        }
    }
}

void rc_conf_help(FILE *to)
{
    for (unsigned i = 0; i < rc_conf_nkeys; i++) {
        const struct rc_conf_key *k = &rc_conf_keys[i];
        struct rc_buf values = RC_BUF_INIT;

        if (new_section(i))
            (void)fprintf(to, "%s[%s]\n", i != 0 ? "\n" : "", k->section);
        rc_conf_value_describe(k, &values);
        (void)fprintf(to, "  %s = %s\n      %s\n      %.*s\n", k->key, k->def, k->help,
                      RC_STR_ARG(rc_buf_str(&values)));
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

/*
 * Loads any text as a configuration. Whatever it is: faults are counted and told in whole lines;
 * a text without faults prints to one that loads and prints to the same; and line ends, a BOM and
 * -o options mean what they should.
 */
#include "rc/base/conf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

/* What a text loads to: the printed configuration, or the faults. */
struct result {
    bool ok;
    char *text; /* free() */
    size_t len;
};

static struct result load(struct rc_str text, char *const *options, unsigned noptions)
{
    struct rc_conf_errors e = {0};
    struct result r = {0};
    struct rc_conf conf;
    size_t lines = 0;

    r.ok = rc_conf_load_text(&conf, "/etc/f.ini", text, options, noptions, &e) == RC_OK;
    check(r.ok == (e.n == 0) && !e.text.failed, "the result agrees with the count");
    for (size_t i = 0; i < e.text.len; i++) {
        lines += e.text.data[i] == '\n';
        check(e.text.data[i] >= 0x20 || e.text.data[i] == '\n', "faults are printable");
    }
    check(lines == (e.n <= 200 ? e.n : 201), "one line for each fault");
    if (r.ok) {
        FILE *f = open_memstream(&r.text, &r.len);

        check(f != NULL, "memory");
        rc_conf_print(&conf, f);
        (void)fclose(f);
        rc_buf_deinit(&e.text);
    } else {
        r.text = (char *)rc_buf_take(&e.text, &r.len);
    }
    rc_conf_free(&conf);
    return r;
}

static bool same(const struct result *a, const struct result *b)
{
    return a->ok == b->ok && a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

static void check_print(const struct result *first)
{
    struct result again = load(rc_str_make(first->text, first->len), NULL, 0);

    check(same(first, &again), "a printed configuration loads to itself");
    free(again.text);
}

/* A BOM in front, CRLF for LF and a last line end change nothing. */
static void check_line_ends(struct rc_str text, const struct result *expected)
{
    struct rc_buf other = RC_BUF_INIT;
    struct result r;

    rc_buf_putz(&other, "\xEF\xBB\xBF");
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] == '\n')
            rc_buf_putc(&other, '\r');
        rc_buf_putc(&other, text.p[i]);
    }
    r = load(rc_buf_str(&other), NULL, 0);
    check(same(expected, &r), "line ends mean nothing");
    free(r.text);
    rc_buf_deinit(&other);
}

/* The first line as an option: either a fault, or something that can be printed. */
static void check_option(struct rc_str text)
{
    const char *end = text.len != 0 ? memchr(text.p, '\n', text.len) : NULL;
    size_t n = end != NULL ? (size_t)(end - text.p) : text.len;
    struct rc_buf option = RC_BUF_INIT;
    char *options[1];
    struct result r;

    rc_buf_put(&option, text.p, n);
    rc_buf_putc(&option, '\0');
    options[0] = (char *)option.data;
    r = load(rc_str_skip(text, n), options, 1);
    if (r.ok)
        check_print(&r);
    free(r.text);
    rc_buf_deinit(&option);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rc_str text = rc_str_make(data, size);
    struct result r = load(text, NULL, 0);

    if (r.ok)
        check_print(&r);
    /* Where the text has a BOM, or a CR of its own before the line end, the other has two. */
    if (size != 0 && data[0] != 0xEF && memchr(data, '\r', size) == NULL)
        check_line_ends(text, &r);
    free(r.text);
    if (size != 0)
        check_option(text);
    return 0;
}

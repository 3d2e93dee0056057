/* conf_sort.c - the faults of a file in the order of its lines, whoever has found them. */
#include "conf_int.h"

#include "rc/base/mem.h"

#include <limits.h>
#include <stdlib.h>

struct fault {
    unsigned long line; /* ULONG_MAX: it has none in the file */
    unsigned at;        /* as they were told */
    struct rc_str text; /* with its end of line */
};

/* The number in "FILE:NUMBER: ". */
static unsigned long line_of(struct rc_str text, struct rc_str file)
{
    unsigned long line = 0;
    struct rc_str rest;

    if (!rc_str_starts(text, file))
        return ULONG_MAX;
    rest = rc_str_skip(text, file.len);
    if (rest.len == 0 || rest.p[0] != ':')
        return ULONG_MAX;
    rest = rc_str_skip(rest, 1);
    for (; rest.len != 0 && rest.p[0] >= '0' && rest.p[0] <= '9'; rest = rc_str_skip(rest, 1))
        line = line * 10 + (unsigned long)(rest.p[0] - '0');
    return line != 0 && rest.len != 0 && rest.p[0] == ':' ? line : ULONG_MAX;
}

static int compare(const void *a, const void *b)
{
    const struct fault *x = a, *y = b;

    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

void rc_conf_sort(struct rc_conf_errors *e, const char *file)
{
    struct rc_str rest = rc_buf_str(&e->text);
    struct rc_buf sorted = RC_BUF_INIT;
    struct fault *fault;
    unsigned n = 0;

    if (file == NULL || rest.len == 0)
        return;
    for (size_t i = 0; i < rest.len; i++)
        n += rest.p[i] == '\n';
    fault = rc_calloc(n + 1, sizeof(*fault));
    n = 0;
    while (rest.len != 0) {
        const char *end = memchr(rest.p, '\n', rest.len);
        size_t len = end != NULL ? (size_t)(end - rest.p) + 1 : rest.len;

        fault[n] = (struct fault){.at = n, .text = rc_str_make(rest.p, len)};
        fault[n].line = line_of(fault[n].text, rc_str_of(file));
        n++;
        rest = rc_str_skip(rest, len);
    }
    qsort(fault, n, sizeof(*fault), compare);
    for (unsigned i = 0; i < n; i++)
        rc_buf_puts(&sorted, fault[i].text);
    free(fault);
    rc_buf_deinit(&e->text);
    e->text = sorted;
}

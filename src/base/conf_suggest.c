/*
 * conf_suggest.c - "did you mean": the nearest name by edit distance.
 */
#include "conf_int.h"

#include <ctype.h>

enum { WORD_MAX = 63 };

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;

    return m < c ? m : c;
}

static bool same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static unsigned distance(struct rc_str a, struct rc_str b)
{
    unsigned row[WORD_MAX + 1];

    for (unsigned j = 0; j <= b.len; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            unsigned up = row[j];

            row[j] = min3(up + 1, row[j - 1] + 1, diagonal + !same(a.p[i - 1], b.p[j - 1]));
            diagonal = up;
        }
    }
    return row[b.len];
}

const char *rc_conf_nearest(struct rc_str word, const char *const *names, unsigned n)
{
    const char *best = NULL;
    unsigned best_distance = 0;

    if (word.len == 0 || word.len > WORD_MAX)
        return NULL;
    for (unsigned i = 0; i < n; i++) {
        struct rc_str name = rc_str_of(names[i]);
        unsigned d = name.len <= WORD_MAX ? distance(word, name) : WORD_MAX;

        if (d <= (word.len + 2) / 3 && (best == NULL || d < best_distance)) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}

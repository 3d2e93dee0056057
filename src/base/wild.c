#include "rc/base/wild.h"

#include <stdint.h>

static bool any(char ch)
{
    (void)ch;
    return true;
}

/* What one * took at least is never given back to an earlier one: the last * alone can make up for what
 * follows, as long as nothing that it cannot stand for lies between. */
bool rc_wild_fits(struct rc_str pattern, struct rc_str text, rc_wild_fn *stands_for)
{
    rc_wild_fn *wild = stands_for != NULL ? stands_for : any;
    size_t p = 0, n = 0, star = SIZE_MAX, taken = 0;

    while (n < text.len) {
        if (p < pattern.len && pattern.p[p] == '*' && wild(text.p[n])) {
            star = p++;
            taken = ++n;
        } else if (p < pattern.len && pattern.p[p] != '*' && pattern.p[p] == text.p[n]) {
            p++;
            n++;
        } else if (star != SIZE_MAX && wild(text.p[taken])) {
            p = star + 1;
            n = ++taken;
        } else {
            return false;
        }
    }
    return p == pattern.len;
}

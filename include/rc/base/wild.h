/*
 * wild.h - patterns in which a * stands for one or more characters.
 *
 * Threads:   any.
 * Ownership: none.
 */
#ifndef RC_BASE_WILD_H
#define RC_BASE_WILD_H

#include "rc/base/str.h"

#include <stdbool.h>

/* May a * stand for it? */
typedef bool rc_wild_fn(char ch);

/* Does the whole text fit? stands_for NULL: a * stands for any character. O(pattern × text) at worst. */
bool rc_wild_fits(struct rc_str pattern, struct rc_str text, rc_wild_fn *stands_for);

#endif /* RC_BASE_WILD_H */

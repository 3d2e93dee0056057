/* rules_target.c - whom an emit or ask is for: lists of targets, with others excepted. */
#include "rules_int.h"

#include "rc/base/mem.h"

#include <stdlib.h>

/* Cuts off one word. *ends: a colon follows it. */
static bool read_word(struct rc_compiler *c, struct rc_str *src, struct rc_target_words *t,
                      bool *ends)
{
    struct rc_str s = *src;
    bool quoted = s.p[0] == '"', comma = false;
    size_t n = quoted ? rc_rules_quoted_len(s) : rc_rules_word_len(s);
    char last = ' ';

    if (n == 0)
        return rc_rules_fault(c, "the second \" is missing");
    if (!quoted)
        last = s.p[n - 1];
    else if (n < s.len)
        last = s.p[n];
    *ends = last == ':';
    comma = last == ',';
    n -= !quoted && (*ends || comma);
    if (n != 0 && t->n == RC_TARGET_WORDS)
        return rc_rules_fault(c, "there are more than %d targets", (int)RC_TARGETS_MAX);
    if (n != 0) {
        t->word[t->n] = rc_str_make(s.p, n);
        t->comma[t->n++] = false;
    }
    if (comma && (t->n == 0 || t->comma[t->n - 1]))
        return rc_rules_fault(c, "there is no target before the comma");
    if (comma)
        t->comma[t->n - 1] = true;
    *src = rc_str_skip(s, n + (*ends || comma));
    if (quoted && !*ends && !comma && src->len != 0 && !rc_rules_is_blank(src->p[0]))
        return rc_rules_fault(c, "no blank follows the second \"");
    return true;
}

/* Blanks in a list cut it into words. */
static bool is_cut_list(const struct rc_target_words *t)
{
    struct rc_str last;

    if (t->n < 2 || !rc_str_eq(t->word[t->n - 2], RC_STR("rooms")))
        return false;
    last = t->word[t->n - 1];
    return last.p[0] == '[' && last.p[last.len - 1] != ']';
}

bool rc_rules_read_target(struct rc_compiler *c, struct rc_str *src, struct rc_target_words *t)
{
    static const char no_colon[] = "no : with a blank behind it ends the target";
    bool ends = false;

    while (!ends) {
        *src = rc_rules_skip_blanks(*src);
        if (src->len == 0)
            return rc_rules_fault(c, no_colon);
        if (is_cut_list(t))
            return rc_rules_fault(c, "the list of rooms has blanks; write [\"a\",\"b\"]");
        if (!read_word(c, src, t, &ends))
            return false;
        if (ends && src->len != 0 && !rc_rules_is_blank(src->p[0]))
            return rc_rules_fault(c, no_colon);
    }
    *src = rc_rules_skip_blanks(*src);
    return true;
}

static const struct {
    const char *word, *name; /* name: what the next word is */
    enum rc_target target;
} targets[] = {{"room", "room", RC_TARGET_ROOM},
               {"rooms", "list of rooms", RC_TARGET_ROOMS},
               {"all", NULL, RC_TARGET_ALL},
               {"sender", NULL, RC_TARGET_SENDER},
               {"socket", "socket's id", RC_TARGET_SOCKET},
               {"user", "user's id", RC_TARGET_USER}};
enum { NTARGETS = sizeof(targets) / sizeof(targets[0]) };

/* One item of a list; *i is its word, and is moved behind it. */
static bool compile_item(struct rc_compiler *c, const struct rc_target_words *t, unsigned *i,
                         struct rc_target_item *item)
{
    unsigned k = 0;

    while (k < NTARGETS && !rc_str_eq(t->word[*i], rc_str_of(targets[k].word)))
        k++;
    if (k == NTARGETS)
        return rc_rules_fault(c, "there is no target %.*s",
                              RC_STR_ARG(rc_rules_shown(t->word[*i])));
    item->target = targets[k].target;
    if (targets[k].name == NULL) {
        ++*i;
        return true;
    }
    if (*i + 1 == t->n || t->comma[*i])
        return rc_rules_fault(c, "the %s is missing", targets[k].name);
    *i += 2;
    if (!(item->target == RC_TARGET_ROOMS
              ? rc_rules_compile_list(c, t->word[*i - 1], &item->name)
              : rc_rules_compile_name(c, t->word[*i - 1], targets[k].name, &item->name)))
        return false;
    if (item->target != RC_TARGET_USER)
        rc_rules_name_room(c);
    return true;
}

/* Items with commas between them, into item[*n] and up. */
static bool compile_items(struct rc_compiler *c, const struct rc_target_words *t, unsigned *i,
                          struct rc_target_item *item, unsigned *n)
{
    bool more = true;

    while (more) {
        if (*i == t->n)
            return rc_rules_fault(c, "the target is missing");
        if (*n == RC_TARGETS_MAX)
            return rc_rules_fault(c, "there are more than %d targets", (int)RC_TARGETS_MAX);
        ++*n; /* with its name, should there be a fault */
        if (!compile_item(c, t, i, &item[*n - 1]))
            return false;
        more = t->comma[*i - 1];
    }
    return true;
}

static bool has_target(const struct rc_target_item *item, unsigned n, enum rc_target target)
{
    for (unsigned i = 0; i < n; i++)
        if (item[i].target == target)
            return true;
    return false;
}

/* What makes no sense. */
static bool check_list(struct rc_compiler *c, const struct rc_target_list *l)
{
    const struct rc_target_item *item = l->item;
    bool except_sender = has_target(item + l->nto, l->nexcept, RC_TARGET_SENDER);

    if (l->nto > 1 && has_target(item, l->nto, RC_TARGET_ALL))
        return rc_rules_fault(c, "all and something else is all");
    if (has_target(item + l->nto, l->nexcept, RC_TARGET_ALL))
        return rc_rules_fault(c, "nobody is left when all are excepted");
    if (except_sender && has_target(item, l->nto, RC_TARGET_SENDER))
        return rc_rules_fault(c, "the sender cannot get it and be excepted");
    if (except_sender && l->nto == 1 && item[0].target == RC_TARGET_SOCKET)
        return rc_rules_fault(c, "one socket alone cannot be without the sender");
    return true;
}

static bool compile_words(struct rc_compiler *c, const struct rc_target_words *t,
                          struct rc_target_list *l)
{
    unsigned i = 0, n = 0;

    l->is_volatile = t->n > 1 && rc_str_eq(t->word[0], RC_STR("volatile")) && !t->comma[0];
    i += l->is_volatile;
    if (!compile_items(c, t, &i, l->item, &l->nto))
        return false;
    if (i == t->n)
        return check_list(c, l);
    if (!rc_str_eq(t->word[i], RC_STR("except")))
        return rc_rules_fault(
            c,
            "%.*s behind the target is neither \"except\" nor is there a comma before it "
            "(a name needs \" around it if it has blanks)",
            RC_STR_ARG(rc_rules_shown(t->word[i])));
    i++;
    n = l->nto;
    if (!compile_items(c, t, &i, l->item, &n)) {
        l->nexcept = n - l->nto;
        return false;
    }
    l->nexcept = n - l->nto;
    if (i != t->n)
        return rc_rules_fault(c, "there is no comma before %.*s",
                              RC_STR_ARG(rc_rules_shown(t->word[i])));
    return check_list(c, l);
}

void rc_rules_free_list(struct rc_target_list *l)
{
    for (unsigned i = 0; l != NULL && i < l->nto + l->nexcept; i++)
        rc_template_free(l->item[i].name);
    free(l);
}

static bool is_simple(const struct rc_target_list *l)
{
    if (l->is_volatile || l->nto != 1 || l->item[0].target == RC_TARGET_ROOMS)
        return false;
    return l->nexcept == 0 || (l->nexcept == 1 && l->item[1].target == RC_TARGET_SENDER);
}

bool rc_rules_compile_target(struct rc_compiler *c, const struct rc_target_words *t,
                             struct rc_action *a)
{
    struct rc_target_list *l =
        rc_calloc(1, sizeof(*l) + RC_TARGETS_MAX * sizeof(struct rc_target_item));

    if (!compile_words(c, t, l)) {
        rc_rules_free_list(l);
        return false;
    }
    if (!is_simple(l)) {
        a->list = l;
        return true;
    }
    a->target = l->item[0].target;
    a->name = l->item[0].name;
    a->except_sender = l->nexcept != 0;
    free(l);
    return true;
}

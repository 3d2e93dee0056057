/*
 * conf_ini.c - the INI reader: sections, key = value, comments on lines of their own.
 *
 * Not the inih library, because a rule's value has to arrive as it was written and a fault has
 * to name its line: inih as Debian builds it cuts sections and keys at 49 bytes, ends a value at
 * " ;", takes an indented line for a continuation, splits a line of 200 bytes in two, does not
 * report a section without keys ([namespace /chat]) and gives the handler no line numbers.
 */
#include "conf_int.h"

#include "rc/base/utf8.h"

#include <stdio.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct rc_str rc_ini_trim(struct rc_str s)
{
    while (s.len != 0 && is_blank(s.p[0]))
        s = rc_str_skip(s, 1);
    while (s.len != 0 && is_blank(s.p[s.len - 1]))
        s.len--;
    return s;
}

void rc_ini_init(struct rc_ini *ini, struct rc_str text)
{
    static const struct rc_str bom = {.p = "\xEF\xBB\xBF", .len = 3};

    *ini = (struct rc_ini){._rest = rc_str_starts(text, bom) ? rc_str_skip(text, 3) : text};
}

void rc_ini_deinit(struct rc_ini *ini)
{
    rc_buf_deinit(&ini->_joined);
}

bool rc_ini_check(struct rc_str s, char *why, size_t why_len)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned c = (unsigned char)s.p[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            (void)snprintf(why, why_len, "the control character 0x%02x", c);
            return false;
        }
    }
    if (!rc_utf8_valid(s)) {
        (void)snprintf(why, why_len, "bytes that are not UTF-8");
        return false;
    }
    return true;
}

static struct rc_str next_line(struct rc_ini *ini)
{
    const char *end = memchr(ini->_rest.p, '\n', ini->_rest.len);
    size_t len = end != NULL ? (size_t)(end - ini->_rest.p) : ini->_rest.len;
    struct rc_str line = rc_str_make(ini->_rest.p, len);

    ini->_rest = rc_str_skip(ini->_rest, end != NULL ? len + 1 : len);
    ini->_line++;
    if (line.len != 0 && line.p[line.len - 1] == '\r')
        line.len--;
    return rc_ini_trim(line);
}

static bool continues(struct rc_str line)
{
    return line.len != 0 && line.p[line.len - 1] == '\\';
}

static enum rc_ini_kind fault(struct rc_ini_item *item, const char *why)
{
    (void)snprintf(item->why, sizeof(item->why), "%s", why);
    return RC_INI_FAULT;
}

/* A backslash at the end of a line and the blanks around the line break become one space. */
static bool join_lines(struct rc_ini *ini, struct rc_str *line)
{
    struct rc_str part = *line;

    rc_buf_reset(&ini->_joined);
    while (continues(part)) {
        part.len--;
        rc_buf_puts(&ini->_joined, rc_ini_trim(part));
        rc_buf_putc(&ini->_joined, ' ');
        if (ini->_rest.len == 0)
            return false;
        part = next_line(ini);
    }
    rc_buf_puts(&ini->_joined, part);
    *line = rc_ini_trim(rc_buf_str(&ini->_joined));
    return !ini->_joined.failed && !continues(*line);
}

static enum rc_ini_kind read_section(struct rc_str line, struct rc_ini_item *item)
{
    const char *end = memchr(line.p, ']', line.len);

    if (end == NULL)
        return fault(item, "expected ] at the end of the section's name");
    if (end != line.p + line.len - 1)
        return fault(item, "expected nothing after ]: a comment needs a line of its own, "
                           "and a name has no ]");
    item->section = rc_ini_trim(rc_str_make(line.p + 1, line.len - 2));
    return RC_INI_SECTION;
}

static enum rc_ini_kind read_entry(struct rc_str line, struct rc_ini_item *item)
{
    const char *eq = memchr(line.p, '=', line.len);

    if (eq == NULL || eq == line.p)
        return fault(item, "expected key = value, [section] or ; comment");
    item->key = rc_ini_trim(rc_str_make(line.p, (size_t)(eq - line.p)));
    item->value = rc_ini_trim(rc_str_skip(line, (size_t)(eq - line.p) + 1));
    return RC_INI_ENTRY;
}

enum rc_ini_kind rc_ini_next(struct rc_ini *ini, struct rc_ini_item *item)
{
    struct rc_str line;
    char why[64];

    *item = (struct rc_ini_item){0};
    do {
        if (ini->_rest.len == 0)
            return RC_INI_END;
        line = next_line(ini);
    } while (line.len == 0 || line.p[0] == ';' || line.p[0] == '#');
    item->line = ini->_line;
    item->text = line;
    if (line.p[0] != '[' && continues(line) && !join_lines(ini, &line))
        return fault(item, "expected another line after the \\ at the end of this one");
    if (!rc_ini_check(line, why, sizeof(why))) {
        (void)snprintf(item->why, sizeof(item->why), "expected a line without %s", why);
        return RC_INI_FAULT;
    }
    return line.p[0] == '[' ? read_section(line, item) : read_entry(line, item);
}

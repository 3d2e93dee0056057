/* ctl_table.c - the console's answers for people. */
#include "rc/api/ctl.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 12, CELL_MAX = 48, CELL_BYTES = CELL_MAX * 4 + 8 };

enum kind { TEXT, COUNT, BYTES, SPACES, ROOMS };

struct column {
    const char *head, *key;
    enum kind kind;
};

struct table {
    const char *list; /* member of the answer */
    const char *noun; /* of one */
    struct column column[COLUMNS_MAX];
};

static const struct table tables[] = {
    {"clients",
     "client",
     {{"CLIENT", "id", TEXT},
      {"TRANSPORT", "transport", TEXT},
      {"ADDRESS", "address", TEXT},
      {"USER", "user", TEXT},
      {"QUEUE", "queue_bytes", BYTES},
      {"NAMESPACES", "sockets", SPACES},
      {"ROOMS", "sockets", ROOMS}}},
    {"rooms",
     "room",
     {{"ROOM", "room", TEXT},
      {"NAMESPACE", "namespace", TEXT},
      {"MEMBERS", "members", COUNT},
      {"PUBLISHED", "published", COUNT},
      {"OWNER", "owner", COUNT},
      {"SHARDS", "shards", COUNT}}},
    {"namespaces",
     "namespace",
     {{"NAMESPACE", "namespace", TEXT}, {"KIND", "kind", TEXT}, {"SOCKETS", "sockets", COUNT}}},
    {"shards",
     "shard",
     {{"SHARD", "shard", COUNT},
      {"CONNECTIONS", "conns", COUNT},
      {"SESSIONS", "sessions", COUNT},
      {"SOCKETS", "sockets", COUNT},
      {"ROOMS", "rooms", COUNT},
      {"EVENTS IN", "events_in", COUNT},
      {"DELIVERIES", "deliveries", COUNT},
      {"REFUSED", "refused", COUNT},
      {"MAIL", "mail_waiting", COUNT},
      {"SPILLS", "spills", COUNT}}},
    {"rings",
     "ring",
     {{"FROM", "from", TEXT},
      {"TO", "to", TEXT},
      {"CLASS", "class", TEXT},
      {"POSTED", "posted", COUNT},
      {"WAITING", "waiting", COUNT},
      {"SPILLED", "spilled", COUNT}}},
    {"nodes",
     "other node",
     {{"NODE", "id", TEXT}, {"ADDRESS", "address", TEXT}, {"SECONDS", "seconds", COUNT}}},
};

/* ---- cells ---- */

struct cell {
    char text[CELL_BYTES];
    unsigned width; /* characters */
};

static void put_char(struct cell *c, const char *p, size_t n)
{
    size_t len = strlen(c->text);

    if (c->width >= CELL_MAX || len + n >= sizeof(c->text))
        return;
    memcpy(c->text + len, p, n);
    c->text[len + n] = '\0';
    c->width++;
}

/* What a terminal would obey is shown as a question mark; what is too long ends in an ellipsis. */
static void put_text(struct cell *c, const char *text)
{
    while (*text != '\0') {
        size_t n = 1;

        while (((unsigned char)text[n] & 0xc0) == 0x80)
            n++;
        if (c->width == CELL_MAX - 1 && text[n] != '\0') {
            put_char(c, "\xe2\x80\xa6", 3);
            return;
        }
        if ((unsigned char)text[0] < 0x20 || text[0] == 0x7f ||
            ((unsigned char)text[0] == 0xc2 && (unsigned char)text[1] < 0xa0))
            put_char(c, "?", 1);
        else
            put_char(c, text, n);
        text += n;
    }
}

/* 12,345 */
static void put_count(struct cell *c, json_int_t n)
{
    char digits[32], text[48];
    size_t len = (size_t)snprintf(digits, sizeof(digits), "%lld", (long long)n), at = 0;

    for (size_t i = 0; i < len; i++) {
        if (i != 0 && (len - i) % 3 == 0 && digits[i - 1] != '-')
            text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = '\0';
    put_text(c, text);
}

static void put_bytes(struct cell *c, json_int_t n)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)n;
    unsigned at = 0;
    char text[32];

    for (; value >= 1024 && at < 4; at++)
        value /= 1024;
    (void)snprintf(text, sizeof(text), at == 0 ? "%.0f %s" : "%.1f %s", value, unit[at]);
    put_text(c, text);
}

static void put_separated(struct cell *c, const char *text)
{
    put_text(c, c->width != 0 ? " " : "");
    put_text(c, text);
}

static void put_sockets(struct cell *c, const json_t *sockets, enum kind kind)
{
    long long named = 0, all = 0;
    const json_t *socket, *room;
    char more[32];
    size_t i, j;

    json_array_foreach(sockets, i, socket)
    {
        const json_t *rooms = json_object_get(socket, "rooms");

        if (kind == SPACES) {
            put_separated(c, json_string_value(json_object_get(socket, "namespace")));
            continue;
        }
        all += json_integer_value(json_object_get(socket, "room_count"));
        json_array_foreach(rooms, j, room)
        {
            if (named == 3)
                break;
            named++;
            put_separated(c, json_string_value(room));
        }
    }
    if (all == named)
        return;
    (void)snprintf(more, sizeof(more), "+%lld", all - named);
    put_separated(c, more);
}

static void make_cell(struct cell *c, const struct column *column, const json_t *row)
{
    const json_t *value = json_object_get(row, column->key);

    *c = (struct cell){.width = 0};
    switch (column->kind) {
    case TEXT: put_text(c, json_is_string(value) ? json_string_value(value) : ""); break;
    case COUNT: put_count(c, json_integer_value(value)); break;
    case BYTES: put_bytes(c, json_integer_value(value)); break;
    case SPACES:
    case ROOMS: put_sockets(c, value, column->kind); break;
    }
    if (c->width == 0)
        put_text(c, "-");
}

/* ---- tables ---- */

static void pad(struct rc_buf *to, unsigned n)
{
    while (n-- != 0)
        rc_buf_putc(to, ' ');
}

static void put_cell(struct rc_buf *to, const struct cell *c, unsigned width, bool right,
                     bool last)
{
    pad(to, right ? width - c->width : 0);
    rc_buf_putz(to, c->text);
    pad(to, last ? 0 : (right ? 0 : width - c->width) + 2);
}

static void put_table(const struct table *t, const json_t *rows, struct rc_buf *to)
{
    unsigned width[COLUMNS_MAX], n = 0;
    const json_t *row;
    struct cell cell;
    size_t i;

    for (; n < COLUMNS_MAX && t->column[n].head != NULL; n++) {
        width[n] = (unsigned)strlen(t->column[n].head);
        json_array_foreach(rows, i, row)
        {
            make_cell(&cell, &t->column[n], row);
            width[n] = cell.width > width[n] ? cell.width : width[n];
        }
    }
    for (unsigned k = 0; k < n; k++) {
        bool right = t->column[k].kind == COUNT || t->column[k].kind == BYTES;

        cell = (struct cell){.width = 0};
        put_text(&cell, t->column[k].head);
        put_cell(to, &cell, width[k], right, k + 1 == n);
    }
    rc_buf_putc(to, '\n');
    json_array_foreach(rows, i, row)
    {
        for (unsigned k = 0; k < n; k++) {
            bool right = t->column[k].kind == COUNT || t->column[k].kind == BYTES;

            make_cell(&cell, &t->column[k], row);
            put_cell(to, &cell, width[k], right, k + 1 == n);
        }
        rc_buf_putc(to, '\n');
    }
}

/* "1 client", "12,345 clients, 12,342 more: limit=N shows the first N, limit=all all" */
static void put_summary(const struct table *t, const json_t *answer, struct rc_buf *to)
{
    json_int_t shown = json_integer_value(json_object_get(answer, "shown"));
    json_int_t matched = json_integer_value(json_object_get(answer, "matched"));
    struct cell all = {.width = 0}, more = {.width = 0};

    if (!json_is_integer(json_object_get(answer, "matched")))
        return;
    put_count(&all, matched);
    put_count(&more, matched - shown);
    rc_buf_printf(to, "%s %s%s", all.text, t->noun, matched != 1 ? "s" : "");
    if (matched != shown)
        rc_buf_printf(to, ", %s more: limit=N shows N, limit=all all", more.text);
    rc_buf_putc(to, '\n');
}

/* ---- the rest ---- */

static void put_config(const json_t *rows, struct rc_buf *to)
{
    const char *section, *before = "";
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        section = json_string_value(json_object_get(row, "section"));
        if (strcmp(section, before) != 0)
            rc_buf_printf(to, "%s[%s]\n", i != 0 ? "\n" : "", section);
        before = section;
        rc_buf_printf(to, "%s = %s\n", json_string_value(json_object_get(row, "key")),
                      json_string_value(json_object_get(row, "value")));
    }
}

static void put_pairs(const json_t *object, const char *prefix, struct rc_buf *to)
{
    enum { NAME = 40 };
    const char *key;
    json_t *value;

    /* NOLINTNEXTLINE(bugprone-casting-through-void): jansson's macro */
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        char name[NAME + 40];
        struct cell cell = {.width = 0};

        (void)snprintf(name, sizeof(name), "%s%s", prefix, key);
        if (json_is_object(value)) {
            (void)snprintf(name, sizeof(name), "%s ", key);
            put_pairs(value, name, to);
            continue;
        }
        if (strcmp(key, "pid") == 0) /* a name, not a quantity */
            (void)snprintf(cell.text, sizeof(cell.text), "%lld",
                           (long long)json_integer_value(value));
        else if (json_is_integer(value))
            put_count(&cell, json_integer_value(value));
        else
            put_text(&cell, json_is_string(value) ? json_string_value(value) : "-");
        rc_buf_printf(to, "%-*s %s\n", NAME, name, cell.text);
    }
}

/* "key limit" as " key= limit=". What is in brackets is no key. */
static void put_keys(struct rc_str keys, struct rc_buf *to)
{
    bool named = keys.len != 0 && keys.p[0] != '[';

    rc_buf_putz(to, keys.len != 0 ? "  " : "");
    for (size_t i = 0; i < keys.len; i++) {
        if (named && keys.p[i] == ' ')
            rc_buf_putc(to, '=');
        rc_buf_putc(to, keys.p[i]);
    }
    rc_buf_putz(to, named ? "=" : "");
}

void rc_ctl_put_help(const char *text, struct rc_buf *to)
{
    while (*text != '\0') {
        size_t head = strcspn(text, "\t"), keys = strcspn(text + head + 1, "\t");
        const char *what = text + head + 1 + keys + 1;
        size_t n = strcspn(what, "\n");

        rc_buf_put(to, text, head);
        put_keys(rc_str_make(text + head + 1, keys), to);
        rc_buf_printf(to, "\n    %.*s\n", (int)n, what);
        text = what + n + (what[n] == '\n');
    }
}

void rc_ctl_print(const struct json_t *answer, struct rc_buf *to)
{
    const json_t *value;

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        value = json_object_get(answer, tables[i].list);
        if (!json_is_array(value))
            continue;
        put_table(&tables[i], value, to);
        put_summary(&tables[i], answer, to);
        return;
    }
    if ((value = json_object_get(answer, "config")) != NULL) {
        put_config(value, to);
    } else if ((value = json_object_get(answer, "stats")) != NULL) {
        put_pairs(value, "", to);
    } else if ((value = json_object_get(answer, "help")) != NULL) {
        rc_ctl_put_help(json_string_value(value), to);
    } else if ((value = json_object_get(answer, "message")) != NULL) {
        rc_buf_printf(to, "%s\n", json_string_value(value));
    } else {
        json_t *rest = json_copy((json_t *)(uintptr_t)answer);

        (void)json_object_del(rest, "ok");
        put_pairs(rest, "", to);
        json_decref(rest);
    }
}

/* Look-ups in a loaded site. */
#include "site_int.h"

#include "http_int.h"

#include <stdlib.h>

int rc_site_compare_paths(struct rc_str a, struct rc_str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n != 0 ? memcmp(a.p, b.p, n) : 0;

    return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

static int compare_key(const void *key, const void *entry)
{
    return rc_site_compare_paths(*(const struct rc_str *)key,
                                 ((const struct site_entry *)entry)->file.path);
}

const struct rc_site_file *rc_site_find(const struct rc_site *s, struct rc_str decoded_path)
{
    const struct site_entry *e;

    if (s->len == 0)
        return NULL;
    e = bsearch(&decoded_path, s->entries, s->len, sizeof(*s->entries), compare_key);
    return e != NULL ? &e->file : NULL;
}

struct rc_site_totals rc_site_totals(const struct rc_site *s)
{
    return s->totals;
}

void rc_site_free(struct rc_site *s)
{
    if (s != NULL)
        rc_site_let_go(s);
}

void *rc_site_hold(struct rc_site *s)
{
    (void)atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void rc_site_let_go(void *site)
{
    struct rc_site *s = site;

    /* acquire and release: whoever is last frees what the others have read */
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < s->len; i++) {
        free(s->entries[i].path);
        free(s->entries[i].etag);
        free(s->entries[i].body);
        free(s->entries[i].gzip);
        free(s->entries[i].gzip_etag);
    }
    free(s->entries);
    free(s);
}

/* Cuts the next entity tag, quotes included and W/ dropped, off a list. False at its end or
 * where it stops being a list of tags. */
static bool next_tag(struct rc_str *list, struct rc_str *tag)
{
    const char *end;

    while (list->len != 0 && (*list->p == ' ' || *list->p == '\t' || *list->p == ','))
        *list = rc_str_skip(*list, 1);
    if (rc_str_starts(*list, RC_STR("W/")))
        *list = rc_str_skip(*list, 2);
    if (list->len < 2 || *list->p != '"')
        return false;
    end = memchr(list->p + 1, '"', list->len - 1);
    if (end == NULL)
        return false;
    *tag = rc_str_make(list->p, (size_t)(end + 1 - list->p));
    *list = rc_str_skip(*list, tag->len);
    return true;
}

bool rc_site_not_modified(struct rc_str etag, struct rc_str if_none_match)
{
    struct rc_str list = if_none_match, tag;

    if (etag.len == 0 || list.p == NULL)
        return false;
    if (rc_str_eq(rc_http_trim(list), RC_STR("*")))
        return true;
    while (next_tag(&list, &tag))
        if (rc_str_eq(tag, etag))
            return true;
    return false;
}

struct rc_str rc_site_mime(struct rc_str name)
{
    static const struct {
        const char *extension, *type;
    } known[] = {
        {"html", "text/html; charset=utf-8"},
        {"htm", "text/html; charset=utf-8"},
        {"js", "text/javascript; charset=utf-8"},
        {"mjs", "text/javascript; charset=utf-8"},
        {"css", "text/css; charset=utf-8"},
        {"json", "application/json"},
        {"map", "application/json"},
        {"webmanifest", "application/manifest+json"},
        {"svg", "image/svg+xml"},
        {"png", "image/png"},
        {"jpg", "image/jpeg"},
        {"jpeg", "image/jpeg"},
        {"gif", "image/gif"},
        {"webp", "image/webp"},
        {"avif", "image/avif"},
        {"ico", "image/x-icon"},
        {"txt", "text/plain; charset=utf-8"},
        {"md", "text/markdown; charset=utf-8"},
        {"csv", "text/csv; charset=utf-8"},
        {"xml", "application/xml"},
        {"pdf", "application/pdf"},
        {"woff", "font/woff"},
        {"woff2", "font/woff2"},
        {"ttf", "font/ttf"},
        {"otf", "font/otf"},
        {"wasm", "application/wasm"},
        {"mp3", "audio/mpeg"},
        {"ogg", "audio/ogg"},
        {"wav", "audio/wav"},
        {"mp4", "video/mp4"},
        {"webm", "video/webm"},
    };
    struct rc_str ext = name;

    for (size_t i = 0; i < name.len; i++)
        if (name.p[i] == '.')
            ext = rc_str_skip(name, i + 1);
        else if (name.p[i] == '/')
            ext = RC_STR_NONE;
    for (size_t i = 0; ext.p != name.p && i < sizeof(known) / sizeof(known[0]); i++)
        if (rc_str_ieq(ext, rc_str_of(known[i].extension)))
            return rc_str_of(known[i].type);
    return RC_STR("application/octet-stream");
}

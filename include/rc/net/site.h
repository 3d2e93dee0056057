/*
 * site.h - static files, read into memory once and served from there.
 *
 * Only what was found in the folder has a name here, so there is nothing to traverse. Left out
 * are dot files, everything that is neither file nor folder, and symbolic links that lead out
 * of the folder (or nowhere, or to a dot file, or round in a circle).
 *
 * Threads:   load: one thread, while nobody else uses the site. Everything else: any, the site never
 *            changes.
 * Ownership: the site owns its files and their bytes. They live until rc_site_free() and as long as
 *            somebody holds them: what is still being sent when a reload brings other files.
 */
#ifndef RC_NET_SITE_H
#define RC_NET_SITE_H

#include "rc/base/err.h"
#include "rc/base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct rc_site;

struct rc_site_file {
    struct rc_str path; /* as in the URL, decoded: "/a/b.html"; "/a/" is "/a/index.html" */
    struct rc_str body;
    struct rc_str content_type; /* RC_STR_NONE for a redirect */
    struct rc_str etag;         /* with its quotes; RC_STR_NONE for a redirect */
    struct rc_str gzip;         /* the body compressed; RC_STR_NONE where that does not pay */
    struct rc_str gzip_etag;    /* other bytes have another tag */
    bool redirect;              /* a folder without its slash: answer 301 to the path and "/" */
};

/* What stands for a text in .html files: {"{title}", "My rooms"}. The mark begins with {. */
struct rc_site_mark {
    const char *mark, *text;
};

/* Reads the tree under root and compresses what is text. In .html files each of the marks becomes
 * its text, escaped for HTML; the list ends with a mark of NULL, and NULL leaves the files alone.
 * NULL, and one line that names the file in why, when something cannot be read or the files,
 * uncompressed, are larger together than max_total_bytes (0: unlimited). */
struct rc_site *rc_site_load(const char *root, const struct rc_site_mark *marks,
                             size_t max_total_bytes, char *why, size_t why_len);
void rc_site_free(struct rc_site *s); /* NULL is fine */
/* Keeps its bytes, for a queue that points to them; returns s, for rc_site_let_go(). */
void *rc_site_hold(struct rc_site *s);
void rc_site_let_go(void *site);

/* NULL when there is no such file. */
const struct rc_site_file *rc_site_find(const struct rc_site *s, struct rc_str decoded_path);

/* Does the value of an If-None-Match header have this tag? Then the answer is 304. */
bool rc_site_not_modified(struct rc_str etag, struct rc_str if_none_match);

/* The Content-Type for a file name or path, by its extension. */
struct rc_str rc_site_mime(struct rc_str name);

/* For the log. */
struct rc_site_totals {
    size_t files, bytes;
    size_t compressed; /* bytes of the compressed bodies, which come on top */
    size_t skipped;    /* see above; dot files are not counted */
};
struct rc_site_totals rc_site_totals(const struct rc_site *s);

#endif /* RC_NET_SITE_H */

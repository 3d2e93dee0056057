/* Reads a folder tree into a site. Runs once, before there are other threads. */
#include "rc/base/b64.h"
#include "rc/base/buf.h"
#include "rc/base/mem.h"
#include "rc/net/compress.h"

#include "site_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    DEPTH_MAX = 32,
    ENTRIES_MAX = 1 << 17,
    ETAG_BYTES = 16,
    GZIP_MIN = 512, /* smaller files fit into a packet or so anyway */
    GZIP_MAX = 64 << 20,
    GZIP_LEVEL = 6,
};

struct loader {
    struct rc_site *site;
    const char *root; /* without a slash at its end */
    size_t root_len, max_bytes;
    struct rc_compressor *compressor;
    const struct rc_site_mark *marks;
    char *why;
    size_t why_len;
    struct {
        dev_t dev;
        ino_t ino;
    } chain[DEPTH_MAX]; /* folders from the root to here: a link to one of them is a circle */
    unsigned depth;
};

static int load_dir(struct loader *l, const char *dir, const char *url);

static int fail(struct loader *l, const char *path, const char *what)
{
    (void)snprintf(l->why, l->why_len, "%s: %s", path, what);
    return RC_ESYS;
}

static int fail_errno(struct loader *l, const char *path)
{
    char text[128];

    return fail(l, path, strerror_r(errno, text, sizeof(text)));
}

static char *concat(const char *a, const char *b, const char *c)
{
    struct rc_buf buf = RC_BUF_INIT;
    size_t len;

    rc_buf_putz(&buf, a);
    rc_buf_putz(&buf, b);
    rc_buf_putz(&buf, c);
    rc_buf_putc(&buf, '\0');
    if (buf.failed)
        abort();
    return (char *)rc_buf_take(&buf, &len);
}

static void escape_html(struct rc_buf *out, const char *z)
{
    for (; *z != '\0'; z++) {
        switch (*z) {
        case '&': rc_buf_putz(out, "&amp;"); break;
        case '<': rc_buf_putz(out, "&lt;"); break;
        case '>': rc_buf_putz(out, "&gt;"); break;
        case '"': rc_buf_putz(out, "&quot;"); break;
        case '\'': rc_buf_putz(out, "&#39;"); break;
        default: rc_buf_putc(out, *z);
        }
    }
}

/* The mark that the text begins with, or NULL. */
static const struct rc_site_mark *mark_at(const struct rc_site_mark *marks, struct rc_str text)
{
    for (; marks->mark != NULL; marks++)
        if (rc_str_starts(text, rc_str_of(marks->mark)))
            return marks;
    return NULL;
}

/* Replaces each mark; a text that holds one itself is not looked at again. */
static void fill_marks(struct rc_buf *body, const struct rc_site_mark *marks)
{
    struct rc_buf out = {.max = body->max};
    struct rc_str rest = rc_buf_str(body);
    const struct rc_site_mark *m;
    const char *at;

    while (rest.len != 0 && (at = memchr(rest.p, '{', rest.len)) != NULL) {
        rc_buf_put(&out, rest.p, (size_t)(at - rest.p));
        rest = rc_str_skip(rest, (size_t)(at - rest.p));
        m = mark_at(marks, rest);
        if (m != NULL)
            escape_html(&out, m->text);
        else
            rc_buf_putc(&out, '{');
        rest = rc_str_skip(rest, m != NULL ? strlen(m->mark) : 1);
    }
    rc_buf_puts(&out, rest);
    rc_buf_deinit(body);
    *body = out;
}

/* RC_ELIMIT when there is more than `budget`. */
static int read_all(int fd, size_t budget, struct rc_buf *out)
{
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) != 0)
        return RC_ESYS;
    if (st.st_size < 0 || (size_t)st.st_size > budget)
        return RC_ELIMIT;
    if (rc_buf_reserve(out, (size_t)st.st_size + 1) == NULL)
        return RC_ENOMEM;
    while ((n = read(fd, out->data + out->len, out->cap - out->len)) != 0) {
        if (n < 0 && errno != EINTR)
            return RC_ESYS;
        out->len += n > 0 ? (size_t)n : 0;
        if (out->len > budget)
            return RC_ELIMIT;
        if (rc_buf_reserve(out, 1) == NULL)
            return RC_ENOMEM;
    }
    return RC_OK;
}

static int load_body(struct loader *l, const char *path, bool html, struct rc_buf *body)
{
    size_t max = l->max_bytes != 0 ? l->max_bytes : SIZE_MAX / 4;
    size_t budget = max - l->site->totals.bytes;
    char what[64];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), err;

    if (fd < 0)
        return fail_errno(l, path);
    err = read_all(fd, budget, body);
    if (err == RC_ESYS)
        (void)fail_errno(l, path);
    (void)close(fd);
    if (err == RC_OK && html && l->marks != NULL)
        fill_marks(body, l->marks);
    if (err == RC_OK && body->failed)
        err = RC_ENOMEM;
    if (err == RC_ENOMEM)
        return fail(l, path, rc_strerror(err));
    if (err == RC_ELIMIT || body->len > budget) {
        (void)snprintf(what, sizeof(what), "the files are larger than %zu bytes together", max);
        return fail(l, path, what);
    }
    return err;
}

/* The compressed body needs another tag than the plain one: it is other bytes. */
static char *make_etag(struct rc_str body, const char *suffix)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    char text[RC_B64_SIZE(ETAG_BYTES)];

    if (EVP_Digest(body.len != 0 ? body.p : "", body.len, hash, NULL, EVP_sha256(), NULL) != 1)
        return NULL;
    (void)rc_b64_encode(RC_B64_URL, hash, ETAG_BYTES, text);
    return concat("\"", text, suffix);
}

/* Takes over path. */
static struct site_entry *add_entry(struct rc_site *s, char *path)
{
    struct site_entry *e;

    if (s->len == s->cap) {
        s->cap = s->cap != 0 ? s->cap * 2 : 64;
        s->entries = rc_realloc(s->entries, s->cap * sizeof(*s->entries));
    }
    e = &s->entries[s->len++];
    *e = (struct site_entry){.path = path, .file.path = rc_str_of(path)};
    return e;
}

/* "/a/index.html" is also "/a/", and "/a" leads there. */
static void add_index(struct rc_site *s, const char *url)
{
    struct rc_site_file index = s->entries[s->len - 1].file;
    struct site_entry *e = add_entry(s, concat(url, "", ""));
    size_t len = strlen(url);

    index.path = e->file.path;
    e->file = index;
    if (len > 1)
        add_entry(s, rc_strndup(url, len - 1))->file.redirect = true;
}

static bool is_text(struct rc_str type)
{
    static const char *const texts[] = {"text/",           "application/json",
                                        "application/xml", "application/manifest+json",
                                        "image/svg+xml",   "application/wasm"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (rc_str_starts(type, rc_str_of(texts[i])))
            return true;
    return false;
}

/* Keeps a compressed body where it saves an eighth or more. */
static void add_gzip(struct loader *l, struct site_entry *e)
{
    struct rc_str body = e->file.body;
    struct rc_buf gzip = RC_BUF_INIT;

    if (body.len < GZIP_MIN || body.len > GZIP_MAX || !is_text(e->file.content_type))
        return;
    if (rc_compress(l->compressor, RC_CODING_GZIP, GZIP_LEVEL, body, &gzip) != RC_OK ||
        gzip.len > body.len - body.len / 8) {
        rc_buf_deinit(&gzip);
        return;
    }
    e->file.gzip.len = gzip.len;
    e->gzip = rc_realloc(gzip.data, gzip.len); /* it was made in room for much more */
    e->file.gzip.p = (const char *)e->gzip;
    l->site->totals.compressed += gzip.len;
}

static int load_file(struct loader *l, const char *path, const char *url, const char *name)
{
    struct rc_str type = rc_site_mime(rc_str_of(name));
    struct rc_buf body = RC_BUF_INIT;
    struct site_entry *e;
    int err;

    if (l->site->len >= ENTRIES_MAX)
        return fail(l, path, "too many files");
    err = load_body(l, path, rc_str_starts(type, RC_STR("text/html")), &body);
    if (err != RC_OK) {
        rc_buf_deinit(&body);
        return err;
    }
    e = add_entry(l->site, concat(url, name, ""));
    e->file.content_type = type;
    e->file.body = rc_buf_str(&body);
    e->body = rc_buf_take(&body, &e->file.body.len);
    e->etag = make_etag(e->file.body, "\"");
    e->gzip_etag = make_etag(e->file.body, "-gzip\"");
    if (e->etag == NULL || e->gzip_etag == NULL)
        return fail(l, path, "no SHA-256");
    e->file.etag = rc_str_of(e->etag);
    e->file.gzip_etag = rc_str_of(e->gzip_etag);
    add_gzip(l, e);
    l->site->totals.files++;
    l->site->totals.bytes += e->file.body.len;
    if (strcmp(name, "index.html") == 0)
        add_index(l->site, url);
    return RC_OK;
}

/* Within the root, and no dot file anywhere below it. */
static bool is_served(const struct loader *l, const char *real)
{
    return strncmp(real, l->root, l->root_len) == 0 &&
           (real[l->root_len] == '/' || real[l->root_len] == '\0') &&
           strstr(real + l->root_len, "/.") == NULL;
}

static int load_entry(struct loader *l, const char *dir, const char *url, const char *name)
{
    char *path = concat(dir, "/", name), *real = realpath(path, NULL), *sub;
    struct stat st = {.st_mode = 0}; /* neither file nor folder: skipped */
    int err = RC_OK;

    if (real == NULL ? errno != ENOENT && errno != ELOOP
                     : is_served(l, real) && stat(real, &st) != 0) {
        err = fail_errno(l, path);
    } else if (S_ISREG(st.st_mode)) {
        err = load_file(l, real, url, name);
    } else if (S_ISDIR(st.st_mode)) {
        sub = concat(url, name, "/");
        err = load_dir(l, real, sub);
        free(sub);
    } else {
        l->site->totals.skipped++;
    }
    free(real);
    free(path);
    return err;
}

static int not_dot(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

/* Is the folder already being loaded further up? */
static bool is_circle(const struct loader *l, const struct stat *st)
{
    for (unsigned i = 0; i < l->depth; i++)
        if (l->chain[i].dev == st->st_dev && l->chain[i].ino == st->st_ino)
            return true;
    return false;
}

static int load_dir(struct loader *l, const char *dir, const char *url)
{
    struct dirent **list;
    struct stat st;
    int n, err = RC_OK;

    if (stat(dir, &st) != 0)
        return fail_errno(l, dir);
    if (is_circle(l, &st)) {
        l->site->totals.skipped++;
        return RC_OK;
    }
    if (l->depth == DEPTH_MAX)
        return fail(l, dir, "nested too deep");
    n = scandir(dir, &list, not_dot, alphasort);
    if (n < 0)
        return fail_errno(l, dir);
    l->chain[l->depth].dev = st.st_dev;
    l->chain[l->depth++].ino = st.st_ino;
    for (int i = 0; i < n; i++) {
        if (err == RC_OK)
            err = load_entry(l, dir, url, list[i]->d_name);
        free(list[i]);
    }
    free(list);
    l->depth--;
    return err;
}

static int compare_entries(const void *a, const void *b)
{
    return rc_site_compare_paths(((const struct site_entry *)a)->file.path,
                                 ((const struct site_entry *)b)->file.path);
}

struct rc_site *rc_site_load(const char *root, const struct rc_site_mark *marks,
                             size_t max_total_bytes, char *why, size_t why_len)
{
    struct loader l = {.marks = marks, .max_bytes = max_total_bytes, .why_len = why_len};
    char *real = realpath(root, NULL);
    int err;

    l.why = why;
    if (real == NULL) {
        (void)fail_errno(&l, root);
        return NULL;
    }
    l.root = real;
    l.root_len = strcmp(real, "/") == 0 ? 0 : strlen(real);
    l.site = rc_calloc(1, sizeof(*l.site));
    atomic_init(&l.site->refs, 1);
    l.compressor = rc_compressor_new();
    err = load_dir(&l, real, "/");
    rc_compressor_free(l.compressor);
    free(real);
    if (err != RC_OK) {
        rc_site_free(l.site);
        return NULL;
    }
    if (l.site->len != 0)
        qsort(l.site->entries, l.site->len, sizeof(*l.site->entries), compare_entries);
    return l.site;
}

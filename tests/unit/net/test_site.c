#include "rc/net/site.h"

#include "rc/base/buf.h"
#include "rc/net/outq.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static char root[64];

static const char *at(const char *name)
{
    static char path[256];

    (void)snprintf(path, sizeof(path), "%s%s", root, name);
    return path;
}

static void put_bytes(const char *name, const void *p, size_t n)
{
    FILE *f = fopen(at(name), "wb");

    cr_assert_not_null(f, "%s", name);
    cr_assert_eq(fwrite(p, 1, n, f), n);
    cr_assert_eq(fclose(f), 0);
}

static void put(const char *name, const char *text)
{
    put_bytes(name, text, strlen(text));
}

static void make_dir(const char *name)
{
    cr_assert_eq(mkdir(at(name), 0755), 0);
}

static void make_link(const char *target, const char *name)
{
    cr_assert_eq(symlink(target, at(name)), 0);
}

/* A fresh folder with a parent of our own, so that "outside" is ours too. */
static void make_root(void)
{
    strcpy(root, "/tmp/roomcast-site-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    put("/outside.txt", "secret");
    make_dir("/www");
    strcat(root, "/www");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void remove_root(void)
{
    root[strlen(root) - strlen("/www")] = '\0';
    cr_assert_eq(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static const struct rc_site_mark marks_t[] = {{"{title}", "t"}, {NULL, NULL}};
static const struct rc_site_mark marks_long[] = {{"{title}", "a long title"}, {NULL, NULL}};

static struct rc_site *load(const char *title)
{
    const struct rc_site_mark marks[] = {{"{title}", title}, {"{path}", "/<p>"}, {NULL, NULL}};
    char why[256] = "";
    struct rc_site *s = rc_site_load(root, title != NULL ? marks : NULL, 0, why, sizeof(why));

    cr_assert_not_null(s, "%s", why);
    cr_assert_str_eq(why, "");
    return s;
}

static const struct rc_site_file *find(const struct rc_site *s, const char *path)
{
    return rc_site_find(s, rc_str_of(path));
}

static void check_body(const struct rc_site *s, const char *path, const char *want)
{
    const struct rc_site_file *f = find(s, path);

    cr_assert_not_null(f, "%s", path);
    cr_assert_not(f->redirect);
    cr_assert(rc_str_eq(f->path, rc_str_of(path)));
    cr_assert(rc_str_eq(f->body, rc_str_of(want)), "%s: %.*s", path, RC_STR_ARG(f->body));
}

Test(site, files_and_indexes)
{
    struct rc_site *s;

    make_root();
    put("/index.html", "home");
    put("/a.js", "let a");
    make_dir("/sub");
    put("/sub/index.html", "sub home");
    put("/sub/b c.txt", "blank");
    make_dir("/bare");
    put("/bare/x.css", "x{}");
    put_bytes("/nul.bin", "a\0b", 3);
    put("/empty.txt", "");
    s = load(NULL);
    check_body(s, "/", "home");
    check_body(s, "/index.html", "home");
    check_body(s, "/a.js", "let a");
    check_body(s, "/sub/", "sub home");
    check_body(s, "/sub/index.html", "sub home");
    check_body(s, "/sub/b c.txt", "blank");
    check_body(s, "/bare/x.css", "x{}");
    check_body(s, "/empty.txt", "");
    cr_assert_eq(find(s, "/nul.bin")->body.len, 3);
    cr_assert_arr_eq(find(s, "/nul.bin")->body.p, "a\0b", 3);
    cr_assert(find(s, "/sub")->redirect);
    cr_assert(rc_str_eq(find(s, "/sub/")->etag, find(s, "/sub/index.html")->etag));
    cr_assert(rc_str_eq(find(s, "/sub/")->content_type, RC_STR("text/html; charset=utf-8")));
    cr_assert_eq(rc_site_totals(s).files, 7);
    cr_assert_eq(rc_site_totals(s).bytes, 4 + 5 + 8 + 5 + 3 + 3);
    cr_assert_eq(rc_site_totals(s).skipped, 0);
    rc_site_free(s);
    remove_root();
}

Test(site, nothing_else_exists)
{
    static const char *const missing[] = {
        "",
        "index.html",
        "/Index.html",
        "/index.htm",
        "/index.html/",
        "//",
        "/../outside.txt",
        "/bare",
        "/bare/",
        "/sub/../index.html",
        "/./",
        "/sub//",
        "/.env",
        "/.git/config",
        "/sub/.hidden",
        "/..",
        "/sub/index",
        "/sub/index.html/x",
    };
    struct rc_site *s;

    make_root();
    put("/index.html", "home");
    put("/.env", "PASSWORD=1");
    make_dir("/.git");
    put("/.git/config", "secret");
    make_dir("/sub");
    put("/sub/index.html", "sub home");
    put("/sub/.hidden", "secret");
    make_dir("/bare");
    s = load(NULL);
    for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++)
        cr_assert_null(find(s, missing[i]), "%s", missing[i]);
    cr_assert_null(rc_site_find(s, rc_str_make("/index.html\0.txt", 16)));
    check_body(s, "/index.html", "home");
    cr_assert_eq(rc_site_totals(s).files, 2);
    rc_site_free(s);
    remove_root();
}

Test(site, many_files_are_all_found)
{
    struct rc_site *s;
    char name[32];

    make_root();
    for (int i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof(name), "/%d.txt", i * 7919);
        put(name, name);
    }
    s = load(NULL);
    for (int i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof(name), "/%d.txt", i * 7919);
        check_body(s, name, name);
    }
    rc_site_free(s);
    remove_root();
}

Test(site, symbolic_links)
{
    struct rc_site *s;

    make_root();
    put("/a.txt", "a");
    put("/.secret", "secret");
    make_dir("/sub");
    put("/sub/b.txt", "b");
    make_link("a.txt", "/link.txt");
    make_link("sub", "/linked");
    make_link("../outside.txt", "/out.txt");
    make_link("..", "/up");
    make_link("/etc", "/etc");
    make_link("nowhere", "/dangling");
    make_link("loop", "/loop");
    make_link(".", "/self");
    make_link("..", "/sub/round");
    make_link(".secret", "/secret.txt");
    s = load(NULL);
    check_body(s, "/link.txt", "a");
    check_body(s, "/linked/b.txt", "b");
    check_body(s, "/sub/b.txt", "b");
    cr_assert_null(find(s, "/out.txt"));
    cr_assert_null(find(s, "/up/outside.txt"));
    cr_assert_null(find(s, "/etc/passwd"));
    cr_assert_null(find(s, "/secret.txt"));
    cr_assert_null(find(s, "/self/a.txt"));
    cr_assert_null(find(s, "/sub/round/a.txt"));
    cr_assert_eq(rc_site_totals(s).files, 4);
    /* out, up, etc, dangling, loop, self, secret, and round on two ways */
    cr_assert_eq(rc_site_totals(s).skipped, 9);
    rc_site_free(s);
    remove_root();
}

Test(site, a_sibling_with_the_same_prefix_is_outside)
{
    struct rc_site *s;

    make_root();
    make_dir("-evil");
    put("-evil/x.txt", "secret");
    make_link("../www-evil/x.txt", "/x.txt");
    s = load(NULL);
    cr_assert_null(find(s, "/x.txt"));
    cr_assert_eq(rc_site_totals(s).skipped, 1);
    rc_site_free(s);
    remove_root();
}

Test(site, other_kinds_of_files_are_skipped)
{
    struct rc_site *s;

    make_root();
    put("/a.txt", "a");
    cr_assert_eq(mkfifo(at("/fifo"), 0644), 0);
    s = load(NULL);
    cr_assert_null(find(s, "/fifo"));
    cr_assert_eq(rc_site_totals(s).skipped, 1);
    rc_site_free(s);
    remove_root();
}

Test(site, title)
{
    struct rc_site *s;

    make_root();
    put("/index.html", "<title>{title}</title>{title}{title");
    put("/a.HTML", "{title}");
    put("/only.html", "x");
    put("/two.html", "{{path}{path{title}}");
    put("/a.js", "'{title}'");
    s = load("Tom & <\"Jerry's\">{title}");
    check_body(s, "/",
               "<title>Tom &amp; &lt;&quot;Jerry&#39;s&quot;&gt;{title}</title>"
               "Tom &amp; &lt;&quot;Jerry&#39;s&quot;&gt;{title}{title");
    check_body(s, "/a.HTML", "Tom &amp; &lt;&quot;Jerry&#39;s&quot;&gt;{title}");
    check_body(s, "/only.html", "x");
    check_body(s, "/two.html",
               "{/&lt;p&gt;{pathTom &amp; &lt;&quot;Jerry&#39;s&quot;&gt;{title}}");
    check_body(s, "/a.js", "'{title}'");
    rc_site_free(s);
    s = load("");
    check_body(s, "/", "<title></title>{title");
    check_body(s, "/a.HTML", "");
    rc_site_free(s);
    s = load(NULL);
    check_body(s, "/a.HTML", "{title}");
    rc_site_free(s);
    remove_root();
}

Test(site, etag_names_the_content)
{
    const struct rc_site_file *a, *b, *c;
    struct rc_site *s;

    make_root();
    put("/a.txt", "same");
    put("/b.txt", "same");
    put("/c.txt", "other");
    put("/empty", "");
    s = load(NULL);
    a = find(s, "/a.txt");
    b = find(s, "/b.txt");
    c = find(s, "/c.txt");
    /* half of SHA-256 of "same" in base64url, and of nothing */
    cr_assert_eq(a->etag.len, 24);
    cr_assert(rc_str_eq(a->etag, b->etag));
    cr_assert_not(rc_str_eq(a->etag, c->etag));
    cr_assert(rc_str_eq(find(s, "/empty")->etag, RC_STR("\"47DEQpj8HBSa-_TImW-5JA\"")));
    rc_site_free(s);
    remove_root();
}

static void check_gzip(const struct rc_site_file *f)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)f->gzip.p, .avail_in = (uInt)f->gzip.len};
    char plain[8192];

    z.next_out = (Bytef *)plain;
    z.avail_out = sizeof(plain);
    cr_assert_eq(inflateInit2(&z, MAX_WBITS + 16), Z_OK);
    cr_assert_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
    cr_assert_eq(z.total_out, f->body.len);
    cr_assert_arr_eq(plain, f->body.p, f->body.len);
    cr_assert_eq(z.avail_in, 0u);
    (void)inflateEnd(&z);
}

Test(site, texts_are_kept_compressed)
{
    char text[4096], noise[4096];
    const struct rc_site_file *f, *other;
    struct rc_site *s;
    uint32_t x = 1;

    memset(text, 'x', sizeof(text));
    memcpy(text, "<p>{title}", 10);
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (char)((x = x * 1664525 + 1013904223) >> 24);
    make_root();
    put_bytes("/index.html", text, sizeof(text));
    put_bytes("/a.js", text, sizeof(text));
    put_bytes("/same.js", text, sizeof(text));
    put_bytes("/a.png", text, sizeof(text));
    put_bytes("/noise.txt", noise, sizeof(noise));
    put_bytes("/short.txt", text, 511);
    put_bytes("/enough.txt", text, 512);
    s = load("T");
    f = find(s, "/a.js");
    cr_assert_lt(f->gzip.len, 200);
    check_gzip(f);
    other = find(s, "/same.js");
    cr_assert(rc_str_eq(f->gzip_etag, other->gzip_etag));
    cr_assert_not(rc_str_eq(f->gzip_etag, f->etag));
    cr_assert_eq(f->gzip_etag.p[0], '"');
    cr_assert(rc_str_eq(rc_str_skip(f->gzip_etag, f->gzip_etag.len - 6), RC_STR("-gzip\"")));
    f = find(s, "/index.html"); /* with its title */
    check_gzip(f);
    cr_assert(rc_str_starts(f->body, RC_STR("<p>Txxx")));
    other = find(s, "/");
    cr_assert_eq(other->gzip.p, f->gzip.p);
    cr_assert_eq(other->gzip.len, f->gzip.len);
    cr_assert(rc_str_eq(other->gzip_etag, f->gzip_etag));
    cr_assert_neq(find(s, "/enough.txt")->gzip.len, 0);
    cr_assert_eq(find(s, "/short.txt")->gzip.len, 0);
    cr_assert_eq(find(s, "/noise.txt")->gzip.len, 0);
    cr_assert_eq(find(s, "/a.png")->gzip.len, 0);
    cr_assert_eq(rc_site_totals(s).compressed, f->gzip.len + 2 * find(s, "/a.js")->gzip.len +
                                                   find(s, "/enough.txt")->gzip.len);
    rc_site_free(s);
    remove_root();
}

static bool matches(const char *if_none_match)
{
    return rc_site_not_modified(RC_STR("\"abc\""), rc_str_of(if_none_match));
}

Test(site, not_modified)
{
    cr_assert(matches("\"abc\""));
    cr_assert(matches("W/\"abc\""));
    cr_assert(matches("*"));
    cr_assert(matches(" * "));
    cr_assert(matches("\"x\", W/\"y\" ,\"abc\""));
    cr_assert(matches("\"a,b\",\t\"abc\",\"z\""));
    cr_assert(matches(",,\"abc\""));
    cr_assert_not(matches(NULL));
    cr_assert_not(matches(""));
    cr_assert_not(matches("abc"));
    cr_assert_not(matches("\"ABC\""));
    cr_assert_not(matches("\"ab\""));
    cr_assert_not(matches("\"abc"));
    cr_assert_not(matches("\""));
    cr_assert_not(matches("w/\"abc\""));
    cr_assert_not(matches("W/"));
    cr_assert_not(matches("\"x,\"abc\""));
    cr_assert_not(matches("\"*\""));
    cr_assert_not(rc_site_not_modified(RC_STR_NONE, RC_STR("*"))); /* of a folder */
}

static bool mime_is(const char *name, const char *type)
{
    return rc_str_eq(rc_site_mime(rc_str_of(name)), rc_str_of(type));
}

Test(site, mime)
{
    cr_assert(mime_is("index.html", "text/html; charset=utf-8"));
    cr_assert(mime_is("/a/b.min.js", "text/javascript; charset=utf-8"));
    cr_assert(mime_is("socket.io.js.map", "application/json"));
    cr_assert(mime_is("x.CSS", "text/css; charset=utf-8"));
    cr_assert(mime_is("x.mjs", "text/javascript; charset=utf-8"));
    cr_assert(mime_is("x.svg", "image/svg+xml"));
    cr_assert(mime_is("x.webmanifest", "application/manifest+json"));
    cr_assert(mime_is("x.wasm", "application/wasm"));
    cr_assert(mime_is("x.woff2", "font/woff2"));
    cr_assert(mime_is("x.unknown", "application/octet-stream"));
    cr_assert(mime_is("html", "application/octet-stream"));
    cr_assert(mime_is("x.html/y", "application/octet-stream"));
    cr_assert(mime_is("x.", "application/octet-stream"));
    cr_assert(mime_is("", "application/octet-stream"));
}

static void check_refused(const char *path, size_t max, const char *part)
{
    char why[256] = "";

    cr_assert_null(rc_site_load(path, marks_t, max, why, sizeof(why)));
    cr_assert_not_null(strstr(why, part), "%s", why);
    cr_assert_null(strchr(why, '\n'));
}

Test(site, what_cannot_be_loaded)
{
    char why[10];

    make_root();
    put("/a.txt", "12345");
    put("/b.html", "{title}{title}");
    check_refused(at("/none"), 0, "/none: No such file or directory");
    check_refused(at("/a.txt"), 0, "Not a directory");
    check_refused(root, 4, "/a.txt: the files are larger than 4 bytes together");
    check_refused(root, 18, "/b.html: the files are larger than 18 bytes together");
    rc_site_free(rc_site_load(root, marks_t, 19, why, sizeof(why)));
    cr_assert_null(rc_site_load(at("/none"), NULL, 0, why, sizeof(why)));
    cr_assert_eq(strlen(why), sizeof(why) - 1);
    if (geteuid() != 0) {
        cr_assert_eq(chmod(at("/a.txt"), 0), 0);
        check_refused(root, 0, "/a.txt: Permission denied");
    }
    remove_root();
}

Test(site, the_title_counts_into_the_limit)
{
    char why[256];
    struct rc_site *s;

    make_root();
    put("/b.html", "{title}");
    check_refused(root, 6, "larger than 6");
    s = rc_site_load(root, marks_long, 12, why, sizeof(why));
    cr_assert_not_null(s);
    rc_site_free(s);
    cr_assert_null(rc_site_load(root, marks_long, 11, why, sizeof(why)));
    remove_root();
}

Test(site, too_deep)
{
    struct rc_buf b = RC_BUF_INIT;

    make_root();
    for (int i = 0; i < 32; i++) {
        b.len -= b.len != 0;
        rc_buf_puts(&b, RC_STR("/d"));
        rc_buf_putc(&b, '\0');
        make_dir((char *)b.data);
    }
    check_refused(root, 0, "nested too deep");
    rc_buf_deinit(&b);
    remove_root();
}

Test(site, an_empty_folder)
{
    struct rc_site *s;

    make_root();
    s = load("t");
    cr_assert_null(find(s, "/"));
    cr_assert_eq(rc_site_totals(s).files, 0);
    rc_site_free(s);
    rc_site_free(NULL);
    remove_root();
}

/* What is still being sent when other files are in effect. */
Test(site, held_bytes_outlive_their_owner)
{
    static char body[10000];
    char why[256] = "";
    uint64_t live = rc_seg_live();
    struct rc_outq q = {0};
    struct rc_site *s;
    const struct rc_site_file *f;
    uint8_t *copy = malloc(sizeof(body));

    make_root();
    memset(body, 'x', sizeof(body));
    body[0] = 'a';
    put_bytes("/big.bin", body, sizeof(body));
    s = rc_site_load(root, NULL, 0, why, sizeof(why));
    cr_assert_not_null(s, "%s", why);
    f = rc_site_find(s, RC_STR("/big.bin"));
    cr_assert_not_null(f);
    for (unsigned i = 0; i < 3; i++)
        rc_outq_push(&q, rc_seg_pin(f->body.p, f->body.len, rc_site_hold(s), rc_site_let_go));
    cr_assert_eq(q.bytes, 30000u);
    cr_assert_eq(rc_seg_live() - live, 3 * sizeof(struct rc_seg), "the bytes are nobody's own");
    cr_assert_eq(rc_outq_kept(&q), 3 * sizeof(struct rc_seg) + 2 * sizeof(void *));
    rc_site_free(s);
    rc_outq_advance(&q, 20000);
    cr_assert_not_null(copy);
    rc_outq_copy(&q, copy, sizeof(body));
    cr_assert_arr_eq(copy, body, sizeof(body));
    rc_outq_clear(&q);
    cr_assert_eq(rc_seg_live(), live);
    (void)rc_outq_trim();
    free(copy);
    remove_root();
}

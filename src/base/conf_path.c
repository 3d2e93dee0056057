/*
 * conf_path.c - the configuration's files and folders.
 */
#include "conf_int.h"
#include "rc/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int rc_conf_read_file(const char *file, size_t max, struct rc_buf *text)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC), err = 0;

    if (fd < 0)
        return errno;
    for (;;) {
        uint8_t *to = rc_buf_reserve(text, 4096);
        ssize_t n = to != NULL ? read(fd, to, 4096) : -1;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            err = to != NULL ? errno : ENOMEM;
        if (n <= 0)
            break;
        text->len += (size_t)n;
        if (text->len > max) {
            err = EFBIG;
            break;
        }
    }
    close(fd);
    return err;
}

const char *rc_conf_reason(int err, char *text, size_t size)
{
    char sys[128];

    (void)snprintf(text, size, "%s%s", strerror_r(err, sys, sizeof(sys)),
                   err == ENOENT || err == ENOTDIR ? ": create it, or correct the path"
                   : err == EACCES                 ? ": let the server's account read it"
                   : err == EFBIG                  ? ": is this the right file?"
                                                   : "");
    return text;
}

char *rc_conf_folder_of(const char *file)
{
    const char *slash = file != NULL ? strrchr(file, '/') : NULL;
    size_t n = slash == NULL ? 0 : slash == file ? 1 : (size_t)(slash - file);
    char *folder = n != 0 ? rc_strndup(file, n) : rc_strndup(".", 1);
    char *real = realpath(folder, NULL);
    struct rc_buf joined = RC_BUF_INIT;

    if (real == NULL && folder[0] != '/' && (real = realpath(".", NULL)) != NULL) {
        rc_conf_resolve(real, rc_str_of(folder), &joined);
        free(real);
        real = rc_strndup((const char *)joined.data, joined.len);
        rc_buf_deinit(&joined);
    }
    if (real == NULL)
        return folder;
    free(folder);
    return real;
}

enum rc_try rc_conf_try_folder(const char *file, char why[RC_TRY_WHY])
{
    char *folder = rc_conf_folder_of(file), text[256];
    enum rc_try found = RC_TRY_NOT;
    struct stat st;
    int err = stat(folder, &st) != 0 ? errno : !S_ISDIR(st.st_mode) ? ENOTDIR : 0;

    if (err == ENOENT &&
        (strncmp(folder, "/run/", 5) == 0 || strncmp(folder, "/var/run/", 9) == 0)) {
        found = RC_TRY_MAYBE;
        (void)snprintf(why, RC_TRY_WHY,
                       "there is no folder %s yet: systemd makes it with the service "
                       "(RuntimeDirectory), or create it",
                       folder);
    } else if (err == EACCES || (err == 0 && access(folder, W_OK | X_OK) != 0)) {
        found = RC_TRY_MAYBE;
        (void)snprintf(why, RC_TRY_WHY,
                       "this account may not write to the folder %s: the server's must",
                       folder);
    } else if (err != 0) {
        (void)snprintf(why, RC_TRY_WHY, "%s: %s", folder,
                       rc_conf_reason(err, text, sizeof(text)));
    } else {
        found = RC_TRY_GOOD;
    }
    free(folder);
    return found;
}

/* Takes the leading . and .. of a relative path; .. shortens base. */
static struct rc_str climb(struct rc_str s, struct rc_str *base)
{
    while (s.len != 0) {
        const char *slash = memchr(s.p, '/', s.len);
        size_t n = slash != NULL ? (size_t)(slash - s.p) : s.len;
        struct rc_str first = rc_str_make(s.p, n);

        if (rc_str_eq(first, RC_STR(".."))) {
            while (base->len != 0 && base->p[--base->len] != '/')
                ;
        } else if (n != 0 && !rc_str_eq(first, RC_STR("."))) {
            break;
        }
        s = rc_str_skip(s, n + 1);
    }
    return s;
}

/* ../web from /etc/roomcast is /etc/web: dir has no links in it, so going up in the text is
 * going up in the file system. */
void rc_conf_resolve(const char *dir, struct rc_str s, struct rc_buf *to)
{
    struct rc_str base = rc_str_of(dir);

    while (s.len > 1 && s.p[s.len - 1] == '/')
        s.len--;
    if (s.len == 0 || s.p[0] == '/') {
        rc_buf_puts(to, s);
        return;
    }
    if (rc_str_eq(base, RC_STR("/")))
        base.len = 0;
    s = climb(s, &base);
    rc_buf_puts(to, base);
    if (s.len != 0 || base.len == 0)
        rc_buf_putc(to, '/');
    rc_buf_puts(to, s);
}

void rc_conf_resolve_listen(const char *dir, struct rc_str s, struct rc_buf *to)
{
    if (!rc_conf_is_unix(s)) {
        rc_buf_puts(to, s);
        return;
    }
    rc_buf_putz(to, "unix:");
    rc_conf_resolve(dir, rc_str_skip(s, strlen("unix:")), to);
}

/* Takes the next item of a list by comma. */
static struct rc_str next_item(struct rc_str *rest)
{
    const char *comma = rest->len != 0 ? memchr(rest->p, ',', rest->len) : NULL;
    size_t n = comma != NULL ? (size_t)(comma - rest->p) : rest->len;
    struct rc_str item = rc_ini_trim(rc_str_make(rest->p, n));

    *rest = rc_str_skip(*rest, n + (comma != NULL));
    return item;
}

void rc_conf_resolve_files(const char *dir, struct rc_str s, struct rc_buf *to)
{
    while (s.len != 0) {
        struct rc_str item = next_item(&s);

        if (item.len == 0)
            continue;
        if (to->len != 0)
            rc_buf_putz(to, ", ");
        rc_conf_resolve(dir, item, to);
    }
}

void rc_conf_list_parse(struct rc_str value, struct rc_conf_list *list)
{
    *list = (struct rc_conf_list){0};
    while (value.len != 0) {
        struct rc_str item = next_item(&value);

        if (item.len == 0)
            continue;
        list->item = rc_realloc(list->item, (list->n + 1) * sizeof(*list->item));
        list->item[list->n++] = rc_strndup(item.p, item.len);
    }
}

void rc_conf_list_free(struct rc_conf_list *list)
{
    for (unsigned i = 0; i < list->n; i++)
        free(list->item[i]);
    free(list->item);
    *list = (struct rc_conf_list){0};
}

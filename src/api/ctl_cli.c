/* ctl_cli.c - roomcast ctl: sends commands to the console of a running server, and prints its answers. */
#include "rc/api/ctl.h"

#include "rc/base/mem.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_RUN = 1, EXIT_CONF = 2 };

struct request {
    const char *file, *path;
    char **option;
    unsigned noptions;
    bool json, help;
};

static const char usage[] =
    "usage: roomcast ctl [-c FILE] [-o section.key=value ...] [-s PATH] [--json] [COMMAND]\n";

static const char help[] =
    "\n"
    "Sends a command to the running server, and prints its answer. Without a command they are\n"
    "read from standard input, one in a line.\n"
    "\n"
    "  -s, --socket PATH         the server's socket; without it admin.socket of the\n"
    "                            configuration\n"
    "      --json                print the answer as it comes: JSON, one line\n"
    "\n"
    "Exit code: 0 done, 1 refused, nobody to KICK, or no server, 2 wrong usage or "
    "configuration.\n"
    "\n";

RC_PRINTF(2, 3)
static int fail(int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)fputs("roomcast ctl: ", stderr);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
    return code;
}

static const char *reason(void)
{
    static char text[128];

    return strerror_r(errno, text, sizeof(text));
}

static bool parse_options(int argc, char **argv, struct request *r)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'}, {"option", required_argument, NULL, 'o'},
        {"socket", required_argument, NULL, 's'}, {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    int c;

    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there are no threads yet */
    while ((c = getopt_long(argc, argv, "c:o:s:jh", longs, NULL)) != -1) {
        switch (c) {
        case 'c': r->file = optarg; break;
        case 'o': r->option[r->noptions++] = optarg; break;
        case 's': r->path = optarg; break;
        case 'j': r->json = true; break;
        case 'h': r->help = true; return true;
        default: return false;
        }
    }
    return true;
}

/* ---- the command ---- */

/* An argument as one word of the command. */
static void put_word(const char *arg, struct rc_buf *line)
{
    if (arg[0] != '\0' && strpbrk(arg, " \t\"\\\r\n") == NULL) {
        rc_buf_putz(line, arg);
        return;
    }
    rc_buf_putc(line, '"');
    for (; *arg != '\0'; arg++) {
        if (*arg == '"' || *arg == '\\')
            rc_buf_putc(line, '\\');
        if (*arg == '\n')
            rc_buf_putc(line, ' ');
        else
            rc_buf_putc(line, *arg);
    }
    rc_buf_putc(line, '"');
}

/* ---- the server ---- */

/* What else may be wrong in the file is the server's to tell when it reads it. */
static int path_of_conf(const struct request *r, struct rc_conf *conf)
{
    struct rc_conf_errors e = {.n = 0};
    int rc =
        rc_conf_load(conf, r->file, r->option, r->noptions, &e) == RC_OK ? EXIT_OK : EXIT_CONF;

    if (conf->admin_socket != NULL && conf->admin_socket[0] != '\0') {
        rc = EXIT_OK;
    } else if (rc != EXIT_OK) {
        (void)fwrite(e.text.data != NULL ? (const char *)e.text.data : "", 1, e.text.len,
                     stderr);
        (void)fail(rc, "this configuration does not say where the server's socket is: -s "
                       "PATH does");
    } else {
        rc = fail(EXIT_CONF,
                  "%s: [admin] socket is not set: set it to a path and restart the server, or "
                  "say the path with -s",
                  r->file != NULL ? r->file : "there is no configuration, so");
    }
    rc_buf_deinit(&e.text);
    return rc;
}

static int find_path(const struct request *r,
                     char path[sizeof(((struct sockaddr_un *)0)->sun_path)], size_t size)
{
    struct rc_conf conf;
    int rc = r->path != NULL ? EXIT_OK : path_of_conf(r, &conf);
    const char *found = r->path != NULL ? r->path : rc == EXIT_OK ? conf.admin_socket : "";

    if (rc == EXIT_OK && snprintf(path, size, "%s", found) >= (int)size)
        rc = fail(EXIT_CONF, "%s: a socket's path has 107 bytes at most", found);
    if (r->path == NULL)
        rc_conf_free(&conf);
    return rc;
}

static int connect_to(const char *path, int *fd)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd >= 0 && connect(*fd, (const struct sockaddr *)&at, sizeof(at)) == 0)
        return EXIT_OK;
    switch (errno) {
    case ENOENT:
        return fail(
            EXIT_RUN,
            "%s: there is no such socket: is the server running, with this admin.socket?",
            path);
    case ECONNREFUSED:
        return fail(EXIT_RUN, "%s: nobody listens: the server is not running", path);
    case EACCES:
    case EPERM:
        return fail(EXIT_RUN,
                    "%s: no permission: run it as the account of the server, or as root", path);
    default: return fail(EXIT_RUN, "%s: %s", path, reason());
    }
}

static bool send_all(int fd, const void *p, size_t n)
{
    const char *at = p;

    while (n != 0) {
        ssize_t done = send(fd, at, n, MSG_NOSIGNAL);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return false;
        at += done;
        n -= (size_t)done;
    }
    return true;
}

/* Prints what has come of an answer, up to its end; keeps the beginning of it in b. True: that was all. */
static bool take(int fd, bool print, struct rc_buf *b, bool *end)
{
    enum { PIECE = 65536, HEAD = 32 };
    uint8_t *to = rc_buf_reserve(b, PIECE);
    ssize_t n;
    const char *nl;

    *end = false;
    if (to == NULL)
        return false;
    do
        n = recv(fd, to, PIECE, 0);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return false;
    nl = memchr(to, '\n', (size_t)n);
    *end = nl != NULL;
    if (print)
        (void)fwrite(to, 1, (size_t)n, stdout);
    if (!print || b->len < HEAD)
        b->len += (size_t)n;
    return true;
}

/* What a command that was refused, or had nothing to do, is told; the last of several lines says what follows. */
static int say_why(const char *message)
{
    const char *last = strrchr(message, '\n');

    if (last != NULL)
        (void)fprintf(stderr, "%.*s\n", (int)(last - message), message);
    return fail(EXIT_RUN, "%s", last != NULL ? last + 1 : message);
}

static bool kicked_nobody(const json_t *answer)
{
    const json_t *n = json_object_get(answer, "kicked");

    return json_is_integer(n) && json_integer_value(n) == 0;
}

static int print_answer(struct rc_buf *b)
{
    json_error_t why;
    struct rc_buf text = RC_BUF_INIT;
    json_t *answer = json_loadb((const char *)b->data, b->len, JSON_DISABLE_EOF_CHECK, &why);
    int rc = EXIT_OK;

    if (answer == NULL)
        return fail(EXIT_RUN, "the server's answer is no JSON: %s", why.text);
    if (!json_is_true(json_object_get(answer, "ok"))) {
        const char *message = json_string_value(json_object_get(answer, "message"));

        rc = say_why(message != NULL ? message : "refused");
    } else if (kicked_nobody(answer)) {
        rc = say_why("nobody fits: no client was kicked");
    } else {
        rc_ctl_print(answer, &text);
        (void)fwrite(text.data != NULL ? (const char *)text.data : "", 1, text.len, stdout);
        rc_buf_deinit(&text);
    }
    json_decref(answer);
    return rc;
}

/* As print_answer() does, of an answer of which only the beginning is kept. */
static int code_of(const struct rc_buf *b)
{
    static const char *const refused[] = {"{\"ok\":false", "{\"ok\":true,\"kicked\":0}"};

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (rc_str_starts(rc_buf_str(b), rc_str_of(refused[i])))
            return EXIT_RUN;
    return EXIT_OK;
}

static int ask(int fd, const struct request *r, struct rc_buf *line)
{
    struct rc_buf answer = RC_BUF_INIT;
    bool end = false;
    int rc = EXIT_OK;

    rc_buf_putc(line, '\n');
    if (!send_all(fd, line->data, line->len))
        return fail(EXIT_RUN, "the server has closed the connection");
    while (!end && take(fd, r->json, &answer, &end))
        continue;
    if (!end)
        rc = fail(EXIT_RUN, answer.failed ? "out of memory: use limit= or --json"
                                          : "the server has ended before its answer did");
    else if (r->json)
        rc = code_of(&answer);
    else
        rc = print_answer(&answer);
    rc_buf_deinit(&answer);
    return rc;
}

/* Commands from standard input. */
static int converse(int fd, const struct request *r)
{
    bool person = isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0;
    char text[RC_CTL_LINE + 2];
    int rc = EXIT_OK;

    for (;;) {
        struct rc_buf line = RC_BUF_INIT;
        int said;

        if (person)
            (void)fputs("roomcast> ", stdout);
        (void)fflush(stdout);
        if (fgets(text, sizeof(text), stdin) == NULL)
            return rc;
        text[strcspn(text, "\n")] = '\0';
        if (person && (strcmp(text, "quit") == 0 || strcmp(text, "exit") == 0))
            return rc;
        if (text[strspn(text, " \t\r")] == '\0')
            continue;
        rc_buf_putz(&line, text);
        said = ask(fd, r, &line);
        rc_buf_deinit(&line);
        rc = said != EXIT_OK ? said : rc;
    }
}

static int run(const struct request *r, int argc, char **argv)
{
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    struct rc_buf line = RC_BUF_INIT;
    int fd = -1, rc = find_path(r, path, sizeof(path));

    if (rc == EXIT_OK)
        rc = connect_to(path, &fd);
    if (rc == EXIT_OK && argc == 0)
        rc = converse(fd, r);
    for (int i = 0; i < argc; i++) {
        rc_buf_putz(&line, i != 0 ? " " : "");
        put_word(argv[i], &line);
    }
    if (rc == EXIT_OK && argc != 0)
        rc = ask(fd, r, &line);
    rc_buf_deinit(&line);
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

int rc_ctl_cli(int argc, char **argv, const char *default_file)
{
    struct request r = {.file = default_file};
    struct rc_buf commands = RC_BUF_INIT;
    int rc = EXIT_CONF;

    r.option = rc_calloc((size_t)argc + 1, sizeof(*r.option));
    if (!parse_options(argc, argv, &r)) {
        (void)fputs(usage, stderr);
    } else if (r.help) {
        rc_ctl_put_help(rc_ctl_help(), &commands);
        (void)printf("%s%s%.*s", usage, help, RC_STR_ARG(rc_buf_str(&commands)));
        rc_buf_deinit(&commands);
        rc = EXIT_OK;
    } else {
        rc = run(&r, argc - optind, argv + optind);
    }
    free(r.option);
    if (fflush(stdout) != 0 || ferror(stdout) != 0)
        return EXIT_RUN;
    return rc;
}

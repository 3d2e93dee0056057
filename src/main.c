/* main.c - the command line. */
#include "server.h"

#include "rc/api/ctl.h"
#include "rc/auth/auth.h"
#include "rc/base/conf.h"
#include "rc/base/hash.h"
#include "rc/base/mem.h"

#include <event2/event.h>
#include <getopt.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum mode {
    MODE_RUN,
    MODE_CHECK,
    MODE_PRINT_CONFIG,
    MODE_PRINT_DOCS,
    MODE_PRINT_MAN,
    MODE_HELP,
    MODE_VERSION,
};

struct options {
    enum mode mode;
    struct rc_server_setup setup;
};

/* ---- command line ---- */

static const char usage[] =
    "usage: roomcast [-c FILE] [--check] [--print-config] [--help] [--version]\n"
    "                [-o section.key=value ...]\n"
    "       roomcast token --user ID [--help]\n"
    "       roomcast ctl [COMMAND] [--help]\n";

static void help(void)
{
    (void)printf(
        "%s\n"
        "A room broker for Socket.IO and plain WebSocket clients.\n"
        "\n"
        "  -c, --config FILE         the configuration; without it " RC_DEFAULT_FILE ",\n"
        "                            or the defaults when there is no such file\n"
        "  -o, --option SECTION.KEY=VALUE\n"
        "                            sets one key; may be given several times\n"
        "      --check               check the configuration and end\n"
        "      --print-config        print what is in effect and end\n"
        "  -h, --help                this text\n"
        "  -V, --version             the version, and those of the libraries\n"
        "      token                 prints a token for tests; roomcast token --help says how\n"
        "      ctl                   talks to the running server; roomcast ctl --help says "
        "how\n"
        "\n"
        "SIGTERM and SIGINT end the server in order, a second one at once; SIGHUP reloads.\n"
        "Exit code: 0 ended in order, 2 wrong configuration or usage, 1 other faults.\n"
        "\n",
        usage);
    rc_conf_help(stdout);
}

static bool parse_options(int argc, char **argv, struct options *o)
{
    enum { LONG = 256 };
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'},
        {"option", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {"check", no_argument, NULL, LONG + MODE_CHECK},
        {"print-config", no_argument, NULL, LONG + MODE_PRINT_CONFIG},
        {"print-docs", no_argument, NULL, LONG + MODE_PRINT_DOCS},
        {"print-man", no_argument, NULL, LONG + MODE_PRINT_MAN},
        {NULL, 0, NULL, 0},
    };
    int c;

    o->setup.option = rc_calloc((size_t)argc + 1, sizeof(*o->setup.option));
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there are no threads yet */
    while ((c = getopt_long(argc, argv, "c:o:hV", longs, NULL)) != -1) {
        switch (c) {
        case 'c': o->setup.file = optarg; break;
        case 'o': o->setup.option[o->setup.noptions++] = optarg; break;
        case 'h': o->mode = MODE_HELP; break;
        case 'V': o->mode = MODE_VERSION; break;
        case '?': return false;
        default: o->mode = (enum mode)(c - LONG); break;
        }
    }
    if (optind == argc)
        return true;
    (void)rc_fail("unexpected argument %s", argv[optind]);
    return false;
}

/* ---- main ---- */

static int with_conf(struct options *o)
{
    struct rc_server *s;
    int rc;

    if (o->setup.file == NULL && access(RC_DEFAULT_FILE, F_OK) == 0)
        o->setup.file = RC_DEFAULT_FILE;
    if (rc_hash_init() != RC_OK)
        return (int)rc_fail("the kernel gives no random bytes: %s", rc_reason());
    s = rc_server_new(&o->setup);
    rc = (int)rc_server_configure(s, o->mode == MODE_PRINT_CONFIG ? RC_EXTENT_KEYS
                                     : o->mode == MODE_CHECK      ? RC_EXTENT_TRY
                                                                  : RC_EXTENT_COMPILE);
    if (rc == RC_EXIT_OK && o->mode == MODE_CHECK)
        (void)printf("%s: ok\n", o->setup.file != NULL ? o->setup.file : "defaults");
    else if (rc == RC_EXIT_OK && o->mode == MODE_PRINT_CONFIG)
        rc_conf_print(rc_server_conf(s), stdout);
    else if (rc == RC_EXIT_OK)
        rc = (int)rc_server_run(s);
    rc_server_free(s);
    libevent_global_shutdown();
    return rc;
}

int main(int argc, char **argv)
{
    struct options o = {.mode = MODE_RUN};
    int rc = RC_EXIT_OK;

    json_object_seed(0); /* not in threads */
    if (argc > 1 && strcmp(argv[1], "token") == 0)
        return rc_auth_cli(argc - 1, argv + 1,
                           access(RC_DEFAULT_FILE, F_OK) == 0 ? RC_DEFAULT_FILE : NULL);
    if (argc > 1 && strcmp(argv[1], "ctl") == 0)
        return rc_ctl_cli(argc - 1, argv + 1,
                          access(RC_DEFAULT_FILE, F_OK) == 0 ? RC_DEFAULT_FILE : NULL);
    if (!parse_options(argc, argv, &o)) {
        (void)fputs(usage, stderr);
        rc = RC_EXIT_CONF;
    } else if (o.mode == MODE_HELP) {
        help();
    } else if (o.mode == MODE_PRINT_DOCS) {
        rc_conf_markdown(stdout);
    } else if (o.mode == MODE_PRINT_MAN) {
        rc_conf_man(stdout);
    } else if (o.mode == MODE_VERSION) {
        (void)printf("roomcast " RC_VERSION "\nlibevent %s\n%s\n", event_get_version(),
                     OpenSSL_version(OPENSSL_VERSION));
    } else {
        rc = with_conf(&o);
    }
    free(o.setup.option);
    if (fflush(stdout) != 0 || ferror(stdout) != 0)
        rc = rc != RC_EXIT_OK
                 ? rc
                 : (int)rc_fail("standard output cannot be written: %s", rc_reason());
    return rc;
}

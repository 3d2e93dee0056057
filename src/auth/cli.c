/* cli.c - roomcast token: mints tokens for tests and for trying things out. */
#include "rc/auth/auth.h"
#include "rc/auth/sign.h"
#include "rc/base/mem.h"
#include "rc/base/timer.h"

#include <getopt.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_OK = 0, EXIT_RUN = 1, EXIT_CONF = 2 };
enum { EXPIRES_MIN_MS = 1, EXPIRES_MAX_MS = 2000000000, WHY_SIZE = 160 };

struct request {
    const char *file, *user, *expires, *alg, *kid;
    char **option, **claim;
    unsigned noptions, nclaims;
    bool help;
};

static const char usage[] =
    "usage: roomcast token [-c FILE] [-o section.key=value ...] --user ID [--claim KEY=VALUE "
    "...]\n"
    "                      [--expires DURATION|never] [--alg NAME] [--kid NAME]\n";

static const char help[] =
    "\n"
    "Prints a token, signed with auth.private_key, or else with auth.secret or "
    "auth.secret_file.\n"
    "\n"
    "      --user ID             the user, as the first of auth.user_claim\n"
    "      --claim KEY=VALUE     one more claim; VALUE is JSON, or else a text\n"
    "      --expires DURATION    such as 90s or 8h; 1h if it is not said\n"
    "      --alg NAME            the algorithm, if the key is for several\n"
    "      --kid NAME            the name of the key, for the token's header\n";

RC_PRINTF(1, 2)
static int fail(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)fputs("roomcast token: ", stderr);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
    return EXIT_CONF;
}

static bool parse_options(int argc, char **argv, struct request *r)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'},
        {"option", required_argument, NULL, 'o'},
        {"user", required_argument, NULL, 'u'},
        {"claim", required_argument, NULL, 'C'},
        {"expires", required_argument, NULL, 'e'},
        {"alg", required_argument, NULL, 'a'},
        {"kid", required_argument, NULL, 'k'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there are no threads yet */
    while ((c = getopt_long(argc, argv, "c:o:h", longs, NULL)) != -1) {
        switch (c) {
        case 'c': r->file = optarg; break;
        case 'o': r->option[r->noptions++] = optarg; break;
        case 'u': r->user = optarg; break;
        case 'C': r->claim[r->nclaims++] = optarg; break;
        case 'e': r->expires = optarg; break;
        case 'a': r->alg = optarg; break;
        case 'k': r->kid = optarg; break;
        case 'h': r->help = true; return true;
        default: return false;
        }
    }
    if (optind == argc && r->user != NULL && r->user[0] != '\0')
        return true;
    if (optind < argc)
        (void)fail("unexpected argument %s", argv[optind]);
    else
        (void)fail("expected --user ID");
    return false;
}

/* ---- the key ---- */

static int load_signer(const struct rc_conf *conf, struct rc_signer *s,
                       struct rc_conf_errors *e)
{
    const char *file = conf->auth_private_key;
    struct rc_buf text = RC_BUF_INIT;
    char why[RC_KEY_WHY] = "", reason[WHY_SIZE];
    int rc = RC_OK, err;

    if (file[0] != '\0') {
        err = rc_conf_read_file(file, RC_KEY_FILE_MAX, &text);
        if (err != 0)
            rc_conf_fault(e, conf, "auth", "private_key", "[auth] private_key = %s: %s", file,
                          rc_conf_reason(err, reason, sizeof(reason)));
        else if (rc_signer_pem(s, rc_buf_str(&text), why) != RC_OK)
            rc_conf_fault(e, conf, "auth", "private_key", "[auth] private_key = %s: %s", file,
                          why);
    } else {
        rc = rc_auth_read_secret(conf, &text, e);
        if (rc == RC_ENOENT)
            rc_conf_error(e, conf->file, 0,
                          "[auth]: expected a key to sign with: secret, secret_file or "
                          "private_key");
        else if (rc == RC_OK && rc_signer_secret(s, rc_buf_str(&text), why) != RC_OK)
            rc_conf_fault(e, conf, "auth", "secret", "[auth] secret: %s", why);
    }
    if (text.data != NULL)
        OPENSSL_cleanse(text.data, text.cap);
    rc_buf_deinit(&text);
    return e->n == 0 ? RC_OK : RC_EINVAL;
}

/* The algorithm that was asked for, or the first that both the key and the INI are for. -1: told. */
static int choose_alg(const struct request *r, const struct rc_signer *s, uint32_t allowed)
{
    uint32_t bits = s->algs & allowed;
    int alg = r->alg != NULL ? rc_alg_find(rc_str_of(r->alg)) : -1;

    if (r->alg != NULL && alg < 0)
        (void)fail("--alg %s: there is no such algorithm", r->alg);
    else if (bits == 0)
        (void)fail("the key is for none of auth.algorithms");
    else if (r->alg == NULL)
        return __builtin_ctz(bits);
    else if ((bits & RC_ALG_BIT(alg)) == 0)
        (void)fail("--alg %s: the key or auth.algorithms is not for it", r->alg);
    else
        return alg;
    return -1;
}

/* ---- the claims ---- */

/* KEY=VALUE */
static bool put_claim(json_t *claims, const char *text)
{
    const char *eq = strchr(text, '=');
    json_t *value;
    char *key;
    bool ok;

    if (eq == NULL || eq == text) {
        (void)fail("--claim %s: expected KEY=VALUE", text);
        return false;
    }
    value = json_loads(eq + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    if (value == NULL)
        value = json_string(eq + 1);
    key = rc_strndup(text, (size_t)(eq - text));
    ok = json_object_set_new(claims, key, value) == 0;
    free(key);
    if (!ok)
        (void)fail("--claim %s: this is not UTF-8", text);
    return ok;
}

/* 0: never. False: told. */
static bool read_expiry(const char *text, uint32_t *ttl_ms)
{
    struct rc_buf expected = RC_BUF_INIT;
    bool ok;

    *ttl_ms = 0;
    if (text != NULL && strcmp(text, "never") == 0)
        return true;
    ok = rc_conf_duration(rc_str_of(text != NULL ? text : "1h"), EXPIRES_MIN_MS, EXPIRES_MAX_MS,
                          ttl_ms, &expected);
    if (!ok)
        (void)fail("--expires %s: expected %.*s, or never", text,
                   RC_STR_ARG(rc_buf_str(&expected)));
    rc_buf_deinit(&expected);
    return ok;
}

/* Whatever the server would ask for; --claim comes last and wins. NULL: told. */
static json_t *make_claims(const struct request *r, const struct rc_conf *conf)
{
    json_t *claims;
    uint32_t ttl_ms;

    if (!read_expiry(r->expires, &ttl_ms))
        return NULL;
    claims = rc_mint_claims(conf, rc_str_of(r->user), rc_clock_wall_ms(), ttl_ms);
    if (claims == NULL)
        (void)fail("--user: this is not UTF-8");
    for (unsigned i = 0; claims != NULL && i < r->nclaims; i++) {
        if (put_claim(claims, r->claim[i]))
            continue;
        json_decref(claims);
        claims = NULL;
    }
    return claims;
}

/* ---- minting ---- */

static int print_token(const struct request *r, const struct rc_signer *s, enum rc_alg alg,
                       const json_t *claims)
{
    struct rc_buf token = RC_BUF_INIT;
    int rc = EXIT_OK;

    if (rc_mint(s, alg, r->kid, claims, &token) != RC_OK)
        rc = fail("the token cannot be signed");
    else
        (void)printf("%.*s\n", RC_STR_ARG(rc_buf_str(&token)));
    rc_buf_deinit(&token);
    return rc;
}

static int mint(const struct request *r, const struct rc_conf *conf, struct rc_conf_errors *e)
{
    struct rc_signer s = {.algs = 0};
    uint32_t allowed = rc_auth_algorithms(conf, e);
    json_t *claims = NULL;
    int rc = EXIT_CONF, alg = -1;

    if (load_signer(conf, &s, e) == RC_OK)
        alg = choose_alg(r, &s, allowed);
    if (alg >= 0)
        claims = make_claims(r, conf);
    if (claims != NULL)
        rc = print_token(r, &s, (enum rc_alg)alg, claims);
    json_decref(claims);
    rc_signer_deinit(&s);
    return rc;
}

int rc_auth_cli(int argc, char **argv, const char *default_file)
{
    struct request r = {.file = default_file};
    struct rc_conf_errors e = {.n = 0};
    struct rc_conf conf;
    int rc = EXIT_CONF;

    r.option = rc_calloc((size_t)argc + 1, sizeof(*r.option));
    r.claim = rc_calloc((size_t)argc + 1, sizeof(*r.claim));
    if (!parse_options(argc, argv, &r)) {
        (void)fputs(usage, stderr);
    } else if (r.help) {
        (void)printf("%s%s", usage, help);
        rc = EXIT_OK;
    } else {
        if (rc_conf_load(&conf, r.file, r.option, r.noptions, &e) == RC_OK)
            rc = mint(&r, &conf, &e);
        (void)fwrite(e.text.data != NULL ? (const char *)e.text.data : "", 1, e.text.len,
                     stderr);
        rc_buf_deinit(&e.text);
        rc_conf_free(&conf);
    }
    free(r.option);
    free(r.claim);
    if (fflush(stdout) != 0 || ferror(stdout) != 0)
        return EXIT_RUN;
    return rc;
}

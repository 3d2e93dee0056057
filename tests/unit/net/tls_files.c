#include "tls_files.h"

#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

/* ---- certificates, made as they are needed ---- */

static char dir[64];
static char paths[16][128];
static unsigned npaths;

const char *tls_path(const char *name, const char *ending)
{
    char *path = paths[npaths++ % 16];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s%s", dir, name, ending);
    return path;
}

FILE *tls_create(const char *name, const char *ending)
{
    FILE *f = fopen(tls_path(name, ending), "w");

    cr_assert_not_null(f);
    return f;
}

static X509 *sign_cert(EVP_PKEY *key, const char *names, long days)
{
    X509 *cert = X509_new();

    cr_assert(key != NULL && cert != NULL);
    (void)X509_set_version(cert, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(cert), 7);
    (void)X509_gmtime_adj(X509_getm_notBefore(cert), -2L * 86400);
    (void)X509_gmtime_adj(X509_getm_notAfter(cert), days * 86400);
    (void)X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                     (const unsigned char *)"cn.test", -1, -1, 0);
    (void)X509_set_issuer_name(cert, X509_get_subject_name(cert));
    (void)X509_set_pubkey(cert, key);
    if (names != NULL) {
        X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);

        cr_assert_not_null(ext);
        cr_assert_eq(X509_add_ext(cert, ext, -1), 1);
        X509_EXTENSION_free(ext);
    }
    cr_assert_neq(X509_sign(cert, key, EVP_sha256()), 0);
    return cert;
}

void tls_make_pair(const char *name, const char *names, long days, const char *passphrase)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = sign_cert(key, names, days);
    char pass[32];
    FILE *f = tls_create(name, ".pem");
    int len = snprintf(pass, sizeof(pass), "%s", passphrase != NULL ? passphrase : "");

    cr_assert_eq(PEM_write_X509(f, cert), 1);
    (void)fclose(f);
    f = tls_create(name, ".key");
    cr_assert_eq(PEM_write_PrivateKey(f, key, passphrase != NULL ? EVP_aes_128_cbc() : NULL,
                                      passphrase != NULL ? (unsigned char *)pass : NULL, len,
                                      NULL, NULL),
                 1);
    (void)fclose(f);
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* ---- sets ---- */

static void say(void *arg, bool warning, const char *key, const char *value, const char *why)
{
    struct tls_said *said = arg;
    size_t n = strlen(said->text);

    if (warning)
        said->warnings++;
    else
        said->faults++;
    (void)snprintf(said->text + n, sizeof(said->text) - n, "%s = %s: %s\n", key, value, why);
}

static struct rc_conf_list list_of(const char *text)
{
    struct rc_conf_list list;

    rc_conf_list_parse(rc_str_of(text), &list);
    return list;
}

struct rc_tls_set *tls_load(struct rc_tls_conf conf, const char *certificates, const char *keys,
                            struct tls_said *said)
{
    struct rc_conf_list names = list_of(certificates), key_names = list_of(keys);
    struct rc_conf_list cert = {0}, key = {0};
    struct rc_tls_set *set;

    *said = (struct tls_said){0};
    cert.item = calloc(names.n + 1, sizeof(char *));
    key.item = calloc(key_names.n + 1, sizeof(char *));
    for (unsigned i = 0; i < names.n; i++)
        cert.item[cert.n++] = strdup(tls_path(names.item[i], ".pem"));
    for (unsigned i = 0; i < key_names.n; i++)
        key.item[key.n++] = strdup(tls_path(key_names.item[i], ".key"));
    conf.certificate = &cert;
    conf.key = &key;
    if (conf.client_ca == NULL)
        conf.client_ca = "";
    if (conf.ciphers == NULL)
        conf.ciphers = "";
    set = rc_tls_set_new(&conf, say, said);
    rc_conf_list_free(&names);
    rc_conf_list_free(&key_names);
    rc_conf_list_free(&cert);
    rc_conf_list_free(&key);
    return set;
}

struct rc_tls_set *tls_good_set(void)
{
    struct rc_tls_conf conf = {.certificate = NULL};
    struct tls_said said;
    struct rc_tls_set *set;

    tls_make_pair("good", "DNS:good.test", 30, NULL);
    set = tls_load(conf, "good", "good", &said);
    cr_assert_not_null(set, "%s", said.text);
    cr_assert_eq(said.warnings + said.faults, 0u);
    return set;
}

/* ---- the folder ---- */

void tls_files_begin(void)
{
    (void)snprintf(dir, sizeof(dir), "/tmp/rc-tls-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
}

void tls_files_end(void)
{
    char command[128];

    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

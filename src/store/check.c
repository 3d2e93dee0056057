/* check.c - the keys of [store], and what is read from files before a database is opened. */
#include "check.h"

#include "rc/store/store.h"

#include <openssl/crypto.h>
#include <string.h>
#include <unistd.h>

enum { PASSWORD_MAX = 1024 };

static void fault(const struct rc_conf *conf, struct rc_conf_errors *e, const char *key,
                  const char *value, const char *why)
{
    rc_conf_fault(e, conf, "store", *value != '\0' ? key : "engine", "[store] %s = %s: %s", key,
                  value, why);
}

static void drop_line_end(struct rc_buf *text)
{
    if (text->len != 0 && text->data[text->len - 1] == '\n')
        text->len--;
    if (text->len != 0 && text->data[text->len - 1] == '\r')
        text->len--;
}

int rc_store_password(const struct rc_conf *conf, struct rc_buf *password)
{
    int err = 0;

    if (conf->store_password_file[0] == '\0')
        rc_buf_putz(password, conf->store_password);
    else
        err = rc_conf_read_file(conf->store_password_file, PASSWORD_MAX, password);
    drop_line_end(password);
    rc_buf_putc(password, '\0');
    return err;
}

void rc_store_password_wipe(struct rc_buf *password)
{
    if (password->data != NULL)
        OPENSSL_cleanse(password->data, password->cap);
    rc_buf_deinit(password);
}

static void check_mariadb(const struct rc_conf *conf, struct rc_conf_errors *e)
{
    const char *ca = conf->store_tls_ca;
    struct rc_buf password = RC_BUF_INIT;
    char why[128];
    int err;

    if (conf->store_host[0] == '\0' && conf->store_socket[0] == '\0')
        fault(conf, e, "host", "", "expected a host or a socket with engine = mariadb");
    if (conf->store_database[0] == '\0')
        fault(conf, e, "database", "", "expected a name with engine = mariadb");
    if (conf->store_password[0] != '\0' && conf->store_password_file[0] != '\0')
        fault(conf, e, "password_file", conf->store_password_file,
              "expected either password or password_file");
    err = rc_store_password(conf, &password);
    if (err != 0)
        fault(conf, e, "password_file", conf->store_password_file,
              rc_conf_reason(err, why, sizeof(why)));
    rc_store_password_wipe(&password);
    if (ca[0] != '\0' && access(ca, R_OK) != 0)
        fault(conf, e, "tls_ca", ca, "expected a file that can be read");
}

void rc_store_check(const struct rc_conf *conf, struct rc_conf_errors *e)
{
    if (conf->store_engine == RC_STOREENGINE_SQLITE && conf->store_path[0] == '\0')
        fault(conf, e, "path", "", "expected a file with engine = sqlite");
    if (conf->store_engine == RC_STOREENGINE_MARIADB)
        check_mariadb(conf, e);
}

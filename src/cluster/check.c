/* check.c - the keys of [cluster]. */
#include "rc/cluster/cluster.h"
#include "rc/cluster/url.h"
#include "secret.h"

#include <string.h>

enum { PASSWORD_MAX = 1024, NODE_MAX = 32, PREFIX_MAX = 128 };

static void fault(const struct rc_conf *conf, struct rc_conf_errors *e, const char *key,
                  const char *value, const char *why)
{
    rc_conf_fault(e, conf, "cluster", key, "[cluster] %s = %s: %s", key, value, why);
}

int rc_cluster_password(const struct rc_conf *conf, struct rc_buf *password)
{
    int err = rc_conf_read_file(conf->cluster_password_file, PASSWORD_MAX, password);

    if (password->len != 0 && password->data[password->len - 1] == '\n')
        password->len--;
    if (password->len != 0 && password->data[password->len - 1] == '\r')
        password->len--;
    rc_buf_putc(password, '\0');
    return err;
}

/* The URL may have a password: what is wrong is said without it. */
static void check_url(const struct rc_conf *conf, struct rc_conf_errors *e)
{
    struct rc_redis_url url;
    const char *expected;

    if (rc_redis_url_parse(rc_str_of(conf->cluster_redis), &url, &expected) != RC_OK) {
        rc_conf_fault(e, conf, "cluster", "redis", "[cluster] redis: expected %s", expected);
        return;
    }
    if (url.password[0] != '\0' && conf->cluster_password_file[0] != '\0')
        fault(conf, e, "password_file", conf->cluster_password_file,
              "expected either that or a password in cluster.redis");
    rc_redis_url_deinit(&url);
}

/* All addresses of a machine are none that others could be told. */
static bool is_everywhere(const char *address)
{
    static const char *const any[] = {"0.0.0.0:", "[::]:", ":", "*:"};

    for (unsigned i = 0; i < sizeof(any) / sizeof(any[0]); i++)
        if (strncmp(address, any[i], strlen(any[i])) == 0)
            return true;
    return false;
}

static void check_listen(const struct rc_conf *conf, struct rc_conf_errors *e)
{
    const char *listen = conf->cluster_listen.n != 0 ? conf->cluster_listen.item[0] : NULL;
    const char *advertise =
        conf->cluster_advertise.n != 0 ? conf->cluster_advertise.item[0] : NULL;

    if (listen != NULL && conf->cluster_redis[0] == '\0')
        fault(conf, e, "listen", listen, "expected cluster.redis to be set, too");
    else if (listen != NULL && advertise == NULL && is_everywhere(listen))
        fault(conf, e, "listen", listen,
              "expected one address, or that by which other nodes reach it in "
              "cluster.advertise");
    if (advertise != NULL && listen == NULL)
        fault(conf, e, "advertise", advertise, "expected cluster.listen to be set, too");
    else if (advertise != NULL && is_everywhere(advertise))
        fault(conf, e, "advertise", advertise, "expected the address of one machine");
}

void rc_cluster_check(const struct rc_conf *conf, struct rc_conf_errors *e)
{
    struct rc_buf password = RC_BUF_INIT;
    char why[128];
    int err;

    check_listen(conf, e);
    if (conf->cluster_redis[0] == '\0') {
        if (conf->cluster_required)
            fault(conf, e, "required", "yes", "expected cluster.redis to be set, too");
        return;
    }
    check_url(conf, e);
    if (conf->cluster_prefix[0] == '\0' || strlen(conf->cluster_prefix) > PREFIX_MAX ||
        strchr(conf->cluster_prefix, '#') != NULL)
        fault(conf, e, "prefix", conf->cluster_prefix,
              "expected 1 to 128 characters, and no # among them");
    if (strlen(conf->cluster_node) > NODE_MAX || strcmp(conf->cluster_node, "emitter") == 0)
        fault(conf, e, "node", conf->cluster_node,
              "expected 32 characters at most, and not emitter, which is what emitters are "
              "called");
    if (conf->cluster_password_file[0] == '\0')
        return;
    err = rc_cluster_password(conf, &password);
    if (err != 0)
        fault(conf, e, "password_file", conf->cluster_password_file,
              rc_conf_reason(err, why, sizeof(why)));
    rc_buf_deinit(&password);
}

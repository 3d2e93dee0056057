/* check.c - --check: what the configuration names outside of itself, as far as looking at it changes nothing. */
#include "server_int.h"

#include <unistd.h>

static void try_admin(const struct rc_conf *conf, struct rc_conf_errors *e,
                      struct rc_conf_errors *maybe)
{
    struct rc_buf address = RC_BUF_INIT;
    struct rc_listener l = {.name = "",
                            .key = "[admin] listen",
                            .fd = -1,
                            .at = *rc_conf_where(conf, "admin", "listen")};

    for (unsigned i = 0; i < conf->admin_listen.n; i++) {
        l.address = conf->admin_listen.item[i];
        rc_listener_try(&l, e, maybe);
    }
    if (conf->admin_socket[0] == '\0')
        return;
    rc_buf_printf(&address, "unix:%s", conf->admin_socket);
    rc_buf_putc(&address, '\0');
    l.key = "[admin] socket";
    l.at = *rc_conf_where(conf, "admin", "socket");
    l.address = (const char *)address.data;
    l.is_unix = true;
    rc_listener_try(&l, e, maybe);
    rc_buf_deinit(&address);
}

static void try_store(const struct rc_conf *conf, struct rc_conf_errors *e,
                      struct rc_conf_errors *maybe)
{
    const char *path = conf->store_path;
    char why[RC_TRY_WHY];
    enum rc_try found;

    if (conf->store_engine != RC_STOREENGINE_SQLITE || path[0] == '\0')
        return;
    found = rc_conf_try_folder(path, why);
    if (found != RC_TRY_GOOD)
        rc_conf_fault(found == RC_TRY_NOT ? e : maybe, conf, "store", "path",
                      "[store] path = %s: %s", path, why);
    else if (access(path, F_OK) == 0 && access(path, R_OK | W_OK) != 0)
        rc_conf_fault(maybe, conf, "store", "path",
                      "[store] path = %s: this account may not write to it: the server's must",
                      path);
}

void rc_server_try(const struct rc_server *s, struct rc_conf_errors *e,
                   struct rc_conf_errors *maybe)
{
    for (unsigned i = 0; s->listeners != NULL && i < s->listeners->n; i++)
        rc_listener_try(&s->listeners->at[i], e, maybe);
    try_admin(&s->conf, e, maybe);
    try_store(&s->conf, e, maybe);
}

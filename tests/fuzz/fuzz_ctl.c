/* A command that was taken, put into words again with all its values in quotes, is the same command. */
#include "rc/api/ctl.h"
#include "rc/base/mem.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(c)     \
    do {             \
        if (!(c))    \
            abort(); \
    } while (0)

static void put_value(struct rc_buf *b, const char *key, struct rc_str value)
{
    if (value.len == 0)
        return;
    rc_buf_printf(b, " %s=\"", key);
    for (size_t i = 0; i < value.len; i++) {
        if (value.p[i] == '"' || value.p[i] == '\\')
            rc_buf_putc(b, '\\');
        rc_buf_putc(b, value.p[i]);
    }
    rc_buf_putc(b, '"');
}

static bool same(const struct rc_survey_filter *a, const struct rc_survey_filter *b)
{
    return rc_str_eq(a->client, b->client) && rc_str_eq(a->user, b->user) &&
           rc_str_eq(a->address, b->address) && rc_str_eq(a->room, b->room) &&
           rc_str_eq(a->nsp, b->nsp) && a->transport == b->transport;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *line = rc_malloc(size + 1), why[RC_CTL_WHY] = "";
    struct rc_ctl_command cmd, again;
    struct rc_buf b = RC_BUF_INIT;

    if (size != 0)
        memcpy(line, data, size);
    line[size] = '\0';
    if (!rc_ctl_parse(line, size, &cmd, why)) {
        CHECK(why[0] != '\0');
    } else if (cmd.verb == RC_CTL_KICK ||
               (cmd.verb == RC_CTL_SHOW && cmd.object == RC_CTL_CLIENTS)) {
        static const char *const transport[] = {"", "polling", "websocket", "plain"};

        rc_buf_putz(&b, cmd.verb == RC_CTL_KICK ? "KICK" : "SHOW clients");
        put_value(&b, "client", cmd.filter.client);
        put_value(&b, "user", cmd.filter.user);
        put_value(&b, "address", cmd.filter.address);
        put_value(&b, "room", cmd.filter.room);
        put_value(&b, "namespace", cmd.filter.nsp);
        put_value(&b, "transport", rc_str_of(transport[cmd.filter.transport]));
        CHECK(rc_ctl_parse((char *)b.data, b.len, &again, why));
        CHECK(again.verb == cmd.verb && again.object == cmd.object);
        CHECK(same(&cmd.filter, &again.filter));
        CHECK(cmd.limit <= RC_CTL_LIMIT_MAX);
    }
    rc_buf_deinit(&b);
    free(line);
    return 0;
}

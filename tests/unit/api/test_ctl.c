#include "rc/api/ctl.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char line[RC_CTL_LINE], why[RC_CTL_WHY];
static struct rc_ctl_command cmd;

static bool parse(const char *text)
{
    (void)snprintf(line, sizeof(line), "%s", text);
    why[0] = '\0';
    return rc_ctl_parse(line, strlen(line), &cmd, why);
}

static bool is(struct rc_str s, const char *text)
{
    return rc_str_eq(s, rc_str_of(text));
}

Test(ctl, commands)
{
    cr_assert(parse("SHOW clients"));
    cr_assert_eq(cmd.verb, RC_CTL_SHOW);
    cr_assert_eq(cmd.object, RC_CTL_CLIENTS);
    cr_assert_eq(cmd.limit, (uint32_t)RC_CTL_LIMIT);
    cr_assert(parse(" \t show\tROOMS  sort=Members limit=all "));
    cr_assert_eq(cmd.object, RC_CTL_ROOMS);
    cr_assert_eq(cmd.filter.key, RC_SURVEY_MEMBERS);
    cr_assert_eq(cmd.limit, (uint32_t)RC_CTL_SORTED_MAX);
    cr_assert(parse("show rooms limit=all"));
    cr_assert_eq(cmd.limit, (uint32_t)RC_CTL_LIMIT_MAX);
    cr_assert(parse("log"));
    cr_assert(!cmd.has_level);
    cr_assert(parse("log warn"));
    cr_assert(cmd.has_level);
    cr_assert_eq(cmd.level, RC_LOG_WARN);
    cr_assert(parse("kick 0.17.3"));
    cr_assert_eq(cmd.verb, RC_CTL_KICK);
    cr_assert(is(cmd.filter.client, "0.17.3"));
    cr_assert(parse("kick 0.17.3 user=ann"));
    cr_assert(is(cmd.filter.user, "ann"));
    for (const char *const *p = (const char *const[]){"RELOAD", "help", "?", "Version", NULL};
         *p != NULL; p++)
        cr_assert(parse(*p), "%s: %s", *p, why);
}

Test(ctl, words)
{
    cr_assert(parse("show clients room=\"a \\\"b\\\" \\\\ c\" user=x\"y z\"w address=\\"));
    cr_assert(is(cmd.filter.room, "a \"b\" \\ c"));
    cr_assert(is(cmd.filter.user, "xy zw"));
    cr_assert(is(cmd.filter.address, "\\"));
    cr_assert(parse("show clients \"room=x y\" namespace=/chat client=0.1.1"));
    cr_assert(is(cmd.filter.room, "x y"));
    cr_assert(is(cmd.filter.nsp, "/chat"));
    cr_assert(is(cmd.filter.client, "0.1.1"));
    cr_assert(parse("show clients room=a=b"));
    cr_assert(is(cmd.filter.room, "a=b"));
    cr_assert(parse("show config key=auth.*"));
    cr_assert(is(cmd.key, "auth.*"));
}

Test(ctl, faults)
{
    static const char *const bad[] = {
        "",
        "SHO",
        "show",
        "show clientss",
        "show clients x",
        "show clients x=y",
        "show clients room=",
        "show clients room=\"x",
        "show clients limit=",
        "show clients limit=1x",
        "show clients limit=+1",
        "show clients limit=1000000001",
        "show clients limit=99999999999999999999",
        "show clients sort=members",
        "show rooms sort=queue",
        "show rooms user=x",
        "show rooms sort=members limit=10001",
        "show clients transport=",
        "show stats limit=3",
        "kick",
        "kick \"\"",
        "kick x y",
        "kick sort=queue",
        "log debug more",
        "log loud",
        "reload now",
        "\xff",
    };

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert(!parse(bad[i]), "%s", bad[i]);
        cr_assert_gt(strlen(why), 5u);
    }
    memcpy(line, "show\0clients", 12);
    cr_assert(!rc_ctl_parse(line, 12, &cmd, why));
}

static const char *print(const char *json)
{
    static char text[4096];
    struct rc_buf out = RC_BUF_INIT;
    json_t *answer = json_loads(json, 0, NULL);

    cr_assert_not_null(answer);
    rc_ctl_print(answer, &out);
    (void)snprintf(text, sizeof(text), "%.*s", RC_STR_ARG(rc_buf_str(&out)));
    rc_buf_deinit(&out);
    json_decref(answer);
    return text;
}

Test(ctl, tables)
{
    cr_assert_str_eq(
        print("{\"ok\":true,\"clients\":["
              "{\"id\":\"0.1.1\",\"transport\":\"polling\",\"address\":\"\",\"user\":null,"
              "\"queue_bytes\":1536,\"sockets\":[{\"namespace\":\"/\",\"room_count\":5,"
              "\"rooms\":[\"a\",\"b\",\"c\",\"d\"]}]},"
              "{\"id\":\"10.123.45\",\"transport\":\"websocket\",\"address\":\"1.2.3.4:5\","
              "\"user\":\"z\\u00fc\\u001b[2J\",\"queue_bytes\":0,\"sockets\":[]}],"
              "\"shown\":2,\"matched\":12345}"),
        "CLIENT     TRANSPORT  ADDRESS    USER      QUEUE  NAMESPACES  ROOMS\n"
        "0.1.1      polling    -          -       1.5 KiB  /           a b c +2\n"
        "10.123.45  websocket  1.2.3.4:5  z\xc3\xbc?[2J      0 B  -           -\n"
        "12,345 clients, 12,343 more: limit=N shows N, limit=all all\n");
    cr_assert_str_eq(print("{\"ok\":true,\"rooms\":[],\"shown\":0,\"matched\":0}"),
                     "ROOM  NAMESPACE  MEMBERS  PUBLISHED  OWNER  SHARDS\n0 rooms\n");
    cr_assert_str_eq(
        print("{\"ok\":true,\"namespaces\":[{\"namespace\":\"/\",\"kind\":\"static\","
              "\"sockets\":1}],\"shown\":1,\"matched\":1}"),
        "NAMESPACE  KIND    SOCKETS\n/          static        1\n1 namespace\n");
    cr_assert_str_eq(
        print(
            "{\"ok\":true,\"help\":\"SHOW x\\tkey limit\\twhat it is\\nLOG\\t[a|b]\\tlevels\\n"
            "HELP\\t\\tthis\\n\"}"),
        "SHOW x  key= limit=\n    what it is\nLOG  [a|b]\n    levels\nHELP\n    this\n");
    cr_assert_str_eq(print("{\"ok\":true,\"kicked\":1234}"),
                     "kicked                                   1,234\n");
    cr_assert_str_eq(print("{\"ok\":true,\"message\":\"done\"}"), "done\n");
}

Test(ctl, long_cells_are_cut)
{
    char json[1024], room[301];

    memset(room, 'x', 300);
    room[300] = '\0';
    (void)snprintf(json, sizeof(json),
                   "{\"ok\":true,\"rooms\":[{\"room\":\"%s\",\"namespace\":\"/\",\"members\":1,"
                   "\"published\":1,\"owner\":0,\"shards\":1}],\"shown\":1,\"matched\":1}",
                   room);
    cr_assert_not_null(strstr(print(json), "xxx\xe2\x80\xa6  /  "));
}

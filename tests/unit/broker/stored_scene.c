#include "stored_scene.h"

#include "rc/auth/sign.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char ini[] =
    "[auth]\nmode = optional\nsecret = 0123456789abcdef0123456789abcdef\n"
    "[store]\nengine = sqlite\npath = /nowhere/x.db\n"
    "[limits]\nmax_queue = 64KB\n"
    "[socketio]\nmax_payload = 8KB\n"
    "[event join]\njoin = {1}\n"
    "[event say]\nemit = room {1}: say {2}\n"
    "[event keep]\nstore = room {1}: kept {message.id} \"at {message.time}\" {2}\n"
    "[event one]\nstore = room {1}: kept {2}\n"
    "[event once]\nstore = room {1} once {3}: kept {2}\n"
    "[event others]\nstore = room {1} except sender: kept {2}\n"
    "[event later]\nstore = later room {1}: kept {2}\n"
    "[event both]\nstore = room {1}: kept {3}\nemit = room {2}: said {message.id}\n"
    "ack = {message.id} {room}\n"
    "[event message]\nmessage = {1}\n"
    "[event history]\nhistory = room {1} {2?}\n"
    "[event group]\nrequire = group {1}\nack = \"yes\"\n"
    "[event members]\ngroup = list {1}\n"
    "[event add]\ngroup = add {1} {2}\n";

struct fake_store scene_fake;

void scene_open(struct scene *s, unsigned nshards)
{
    rig_open(&s->r, nshards, ini);
    s->f = &scene_fake;
    fake_open(s->f, &s->r);
}

/* The clients have hung up, or are about to be cut off. */
void scene_close(struct scene *s)
{
    fake_settle(s->f, &s->r);
    rig_close(&s->r);
}

void scene_end(struct scene *s)
{
    scene_close(s);
    fake_close(s->f);
}

void scene_wait(struct scene *s, unsigned ms)
{
    for (unsigned i = 0; i < ms; i++) {
        fake_settle(s->f, &s->r);
        (void)usleep(1000);
    }
}

/* A handshake with a token, without a CONNECT. */
void scene_come_as(struct scene *s, struct rig_client *c, unsigned shard, const char *user)
{
    struct rc_signer signer = {0};
    struct rc_buf target = RC_BUF_INIT, claims = RC_BUF_INIT;
    char why[RC_KEY_WHY];

    cr_assert_eq(rc_signer_secret(&signer, RC_STR("0123456789abcdef0123456789abcdef"), why),
                 RC_OK);
    rc_buf_printf(&claims, "{\"sub\":\"%s\"}", user);
    rc_buf_putz(&target, "/socket.io/?EIO=4&transport=websocket&token=");
    cr_assert_eq(rc_sign(&signer, RC_ALG_HS256, RC_STR("{\"alg\":\"HS256\"}"),
                         rc_buf_str(&claims), &target),
                 RC_OK);
    rc_buf_putc(&target, '\0');
    rig_websocket(&s->r, c, shard, (const char *)target.data);
    cr_assert(rig_hear(c));
    rc_buf_deinit(&target);
    rc_buf_deinit(&claims);
    rc_signer_deinit(&signer);
}

void scene_expect_connected(struct rig_client *c)
{
    cr_assert(rig_hear(c));
    cr_assert_eq(strncmp((const char *)c->message.data, "40{", 3), 0);
}

void scene_connect_as(struct scene *s, struct rig_client *c, unsigned shard, const char *user)
{
    scene_come_as(s, c, shard, user);
    rig_say(c, "40");
    rig_settle(&s->r);
    scene_expect_connected(c);
}

void scene_join(struct scene *s, struct rig_client *c, const char *room)
{
    rig_say(c, "42[\"join\",\"%s\"]", room);
    rig_settle(&s->r);
}

unsigned scene_hear_id(struct rig_client *c)
{
    unsigned id = 0;

    if (!rig_hear(c))
        return 0;
    cr_assert_eq(sscanf((const char *)c->message.data, "42[\"message\",{\"id\":%u", &id), 1,
                 "%s", (const char *)c->message.data);
    return id;
}

void scene_expect_refusal(struct rig_client *c, unsigned ack, const char *code)
{
    char start[64];

    cr_assert(rig_hear(c));
    (void)snprintf(start, sizeof(start), "43%u[{\"ok\":false,\"error\":\"%s\",", ack, code);
    cr_assert_eq(strncmp((const char *)c->message.data, start, strlen(start)), 0, "%s",
                 (const char *)c->message.data);
}

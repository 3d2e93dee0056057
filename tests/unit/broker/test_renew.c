/* Generations of the configuration (src/broker/app.c, renew.c): what stays, and when the old one is free. */
#include "rig.h"

#include "rc/broker/name.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct next {
    struct rc_conf conf;
    struct rc_app *app;
};

/* The generation after `last`, not yet published. */
static void make_next(struct next *n, const struct rc_app *last, const char *ini)
{
    struct rc_conf_errors e = {.n = 0};

    *n = (struct next){.app = NULL};
    if (rc_conf_load_text(&n->conf, "/t.ini", rc_str_of(ini), NULL, 0, &e) == RC_OK)
        n->app = rc_app_renew(last, &n->conf, "/nowhere", &e);
    if (n->app == NULL)
        cr_assert_fail("%.*s", RC_STR_ARG(rc_buf_str(&e.text)));
}

static void free_next(struct next *n)
{
    rc_app_free(n->app);
    rc_conf_free(&n->conf);
}

static void publish(struct rig *r, const struct rc_app *last, const struct next *n)
{
    rc_app_publish(last, n->app);
    for (unsigned i = 0; i < r->n; i++)
        rc_mesh_poke(r->mesh, i);
}

static unsigned index_of(const struct rc_app *app, const char *name, bool endpoint)
{
    const struct rc_nsp *nsp = rc_app_nsp(app, rc_str_of(name), endpoint);

    return nsp != NULL ? nsp->index : UINT16_MAX;
}

Test(renew, indexes_stay)
{
    struct next a, b, c;

    make_next(&a, NULL, "[namespace /x]\n[namespace /p-*]\n[endpoint /ws]\nprotocol = echo\n");
    make_next(&b, a.app, "[namespace /new]\n[namespace /x]\n");
    make_next(&c, b.app,
              "[namespace /p-a*]\n[endpoint /ws]\nprotocol = relay\n[namespace /p-*]\n");
    cr_assert_eq(index_of(b.app, "/x", false), index_of(a.app, "/x", false));
    cr_assert_eq(index_of(b.app, "/new", false), a.app->nnsps);
    cr_assert_eq(index_of(b.app, "/ws", true), UINT16_MAX);
    cr_assert_null(rc_app_pattern(b.app, RC_STR("/p-1")));
    cr_assert_eq(b.app->nsp[index_of(a.app, "/ws", true)].endpoint, RC_ENDPOINT_ECHO);
    cr_assert(b.app->nsp[index_of(a.app, "/ws", true)].gone);
    /* A namespace that comes back is the same one, an endpoint is another. */
    cr_assert_eq(rc_app_pattern(c.app, RC_STR("/p-1"))->index,
                 rc_app_pattern(a.app, RC_STR("/p-1"))->index);
    cr_assert_str_eq(rc_app_pattern(c.app, RC_STR("/p-a1"))->name.p, "/p-a*");
    cr_assert_geq(index_of(c.app, "/ws", true), b.app->nnsps);
    cr_assert(c.app->nsp[index_of(a.app, "/x", false)].gone);
    free_next(&c);
    free_next(&b);
    free_next(&a);
}

Test(renew, nobody_holds_the_old_one)
{
    struct rig r;
    struct next b, c;

    rig_open(&r, 2, "");
    rig_settle(&r);
    cr_assert(rc_app_is_held(r.app));
    make_next(&b, r.app, "[event x]\nack = 1\n");
    make_next(&c, b.app, "[event y]\nack = 1\n");
    publish(&r, r.app, &b);
    rig_turn(&r, 0);
    cr_assert_eq(r.shard[0]->app, b.app);
    cr_assert_eq(r.shard[1]->app, r.app);
    cr_assert(rc_app_is_held(r.app));
    cr_assert_eq(rc_app_arrived(b.app), 1u);
    publish(&r, b.app, &c);
    rig_settle(&r);
    cr_assert_eq(r.shard[1]->app, c.app); /* two steps at once */
    cr_assert_not(rc_app_is_held(r.app));
    cr_assert_not(rc_app_is_held(b.app));
    cr_assert_eq(rc_app_arrived(c.app), 2u);
    rig_close(&r);
    free_next(&b);
    free_next(&c);
}

/* What a shard that is ahead says comes to one that has not had a turn since. */
Test(renew, a_message_of_one_that_is_ahead)
{
    struct rig r;
    struct rig_client ann, bob;
    struct next b;

    rig_open(&r, 2, "[event join]\njoin = {1}\n");
    rig_socketio(&r, &ann, 0);
    rig_socketio(&r, &bob, 1);
    make_next(&b, r.app,
              "[event join]\njoin = {1}\n[connect /new]\njoin = a\njoin = b\njoin = c\n");
    publish(&r, r.app, &b);
    rig_turn(&r, 0);
    rig_say(&ann, "40/new,");
    for (unsigned i = 0; i < 4 && r.shard[1]->app == r.app; i++)
        rig_turn(&r, 0);
    cr_assert_eq(r.shard[1]->app, r.app);
    rig_settle(&r);
    cr_assert_eq(r.shard[1]->app, b.app);
    cr_assert(rig_hear(&ann));
    cr_assert_eq(strncmp((const char *)ann.message.data, "40/new,{\"sid\":", 14), 0);
    rig_hang_up(&ann);
    rig_hang_up(&bob);
    rig_settle(&r);
    rig_close(&r);
    free_next(&b);
}

/* A rule that waits for a fence goes on as it began. */
Test(renew, a_rule_that_waits)
{
    struct rig r;
    struct rig_client ann;
    struct next b;
    char one[RC_NAME_LEN + 8], two[RC_NAME_LEN + 8];

    rig_open(&r, 2,
             "[event go]\njoin = {1}\njoin = {2}\nemit = room {1}: old {1}\n"
             "emit = room {2}: old {2}\nack = \"old\"\n");
    rig_socketio(&r, &ann, 0);
    (void)snprintf(one, sizeof(one), "%s", rig_room(&r, 1, 0));
    (void)snprintf(two, sizeof(two), "%s", rig_room(&r, 0, 0));
    make_next(&b, r.app, "[event go]\nack = \"new\"\n");
    rig_say(&ann, "421[\"go\",\"%s\",\"%s\"]", one, two);
    rig_turn(&r, 0); /* the second join waits: its owner is another one */
    publish(&r, r.app, &b);
    rig_turn(&r, 0);
    cr_assert_eq(r.shard[0]->app, b.app);
    cr_assert(rc_app_is_held(r.app));
    rig_settle(&r);
    cr_assert_not(rc_app_is_held(r.app));
    rig_expect(&ann, "42[\"old\",\"%s\"]", one);
    rig_expect(&ann, "42[\"old\",\"%s\"]", two);
    rig_expect(&ann, "431[\"old\"]");
    rig_say(&ann, "422[\"go\"]");
    rig_settle(&r);
    rig_expect(&ann, "432[\"new\"]");
    rig_hang_up(&ann);
    rig_settle(&r);
    rig_close(&r);
    free_next(&b);
}

/* What other nodes ask of a shard (src/broker/bus_order.c): in slices, in order, behind what came before. */
#include "rc/base/mem.h"
#include "rc/broker/bus.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INI "[event join]\njoin = {1}\n[limits]\nmax_rooms_per_socket = 1000\n"

enum { MANY = 700, SLICE = 256, DONES = 64 };

/* One that a shard has submitted. */
struct told {
    uint64_t number;
    bool more;
    char *text; /* JSON strings or objects by comma */
};

struct bed {
    struct rig rig;
    struct rig_client client[MANY];
    unsigned n;
    struct rc_cluster_port port;
    struct told told[DONES];
    unsigned ntold;
};

static bool submit(void *arg, const struct rc_cluster_item *item)
{
    struct bed *b = arg;
    struct rc_pub *pub = item->pub;

    if (item->type == RC_CLUSTER_DONE) {
        cr_assert_lt(b->ntold, (unsigned)DONES);
        b->told[b->ntold++] = (struct told){
            item->number, item->count != 0,
            pub != NULL ? rc_strndup((const char *)pub->data, pub->len) : rc_strndup("", 0)};
    }
    if (pub != NULL)
        rc_pub_unref(&pub);
    return true;
}

static uint16_t tag(const void *arg)
{
    (void)arg;
    return 7;
}

static void reset(struct bed *b)
{
    while (b->ntold != 0)
        free(b->told[--b->ntold].text);
}

static struct bed *open_bed(unsigned nshards, unsigned nclients)
{
    struct bed *b = rc_calloc(1, sizeof(*b));

    rig_open(&b->rig, nshards, INI);
    b->port = (struct rc_cluster_port){.cluster = b, .submit = submit, .tag = tag};
    b->rig.app->cluster = &b->port;
    for (; b->n < nclients; b->n++)
        rig_socketio(&b->rig, &b->client[b->n], b->n % nshards);
    reset(b);
    return b;
}

static void close_bed(struct bed *b)
{
    for (unsigned i = 0; i < b->n; i++)
        rig_hang_up(&b->client[i]);
    rig_settle(&b->rig);
    reset(b);
    b->rig.app->cluster = NULL;
    rig_close(&b->rig);
    free(b);
}

static void order(struct bed *b, enum rc_bus_order what, uint64_t number, const char *room)
{
    struct rc_bus_target to = {.nsp = RC_STR("/")};
    struct rc_bus_list rooms = {.n = 0};

    if (room != NULL)
        rc_bus_list_add(&rooms, rc_str_of(room));
    cr_assert_neq(
        rc_bus_order(b->rig.app, b->rig.mesh, what, number, &to, room != NULL ? &rooms : NULL),
        0u);
    rc_bus_list_deinit(&rooms);
    (void)rc_mesh_wake(b->rig.mesh, rc_mesh_cluster(b->rig.n));
}

/* Until nothing more is told. */
static void settle(struct bed *b)
{
    unsigned before;

    do {
        before = b->ntold;
        rig_settle(&b->rig);
    } while (b->ntold != before);
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;

    for (; (text = strstr(text, what)) != NULL; text += strlen(what))
        n++;
    return n;
}

static unsigned count_all(const struct bed *b, uint64_t number, const char *what)
{
    unsigned n = 0;

    for (unsigned i = 0; i < b->ntold; i++)
        n += b->told[i].number == number ? count(b->told[i].text, what) : 0;
    return n;
}

Test(bus_order, many_sockets_in_slices_one_in_a_turn)
{
    struct bed *b = open_bed(1, MANY);

    order(b, RC_BUS_FETCH, 1, NULL);
    order(b, RC_BUS_SOCKETS, 2, NULL);
    for (unsigned turns = 0; turns < 20; turns++) {
        unsigned before = b->ntold;

        rig_turn(&b->rig, 0);
        cr_assert_leq(b->ntold - before, 2u, "the first, and another one");
        for (unsigned i = before; i < b->ntold; i++)
            cr_assert_leq(count(b->told[i].text, b->told[i].number == 1 ? "{\"id\":" : "\""),
                          (b->told[i].number == 1 ? 1u : 2u) * SLICE);
    }
    cr_assert_eq(b->ntold, 6u, "three slices of each");
    for (unsigned i = 0; i < 6; i++) {
        cr_assert_eq(b->told[i].number, i < 3 ? 1u : 2u, "one after the other");
        cr_assert_eq(b->told[i].more, i % 3 != 2);
        cr_assert_neq(b->told[i].text[0], ',');
        cr_assert_neq(b->told[i].text[strlen(b->told[i].text) - 1], ',');
    }
    for (unsigned i = 0; i < MANY; i++) {
        cr_assert_eq(count_all(b, 2, b->client[i].id), 1u, "each once");
        cr_assert_eq(count_all(b, 1, b->client[i].id), 2u, "as its id, and as its room");
    }
    close_bed(b);
}

Test(bus_order, few_are_told_at_once)
{
    struct bed *b = open_bed(2, 10);

    order(b, RC_BUS_FETCH, 7, NULL);
    settle(b);
    cr_assert_eq(b->ntold, 2u);
    cr_assert(!b->told[0].more && !b->told[1].more);
    cr_assert_eq(count_all(b, 7, "\"handshake\""), 10u);
    close_bed(b);
}

Test(bus_order, who_has_gone_meanwhile_is_left_out)
{
    struct bed *b = open_bed(1, MANY);

    order(b, RC_BUS_SOCKETS, 3, NULL);
    rig_turn(&b->rig, 0);
    cr_assert_geq(b->ntold, 1u);
    cr_assert_leq(b->ntold, 2u);
    while (b->n > MANY - 2) /* at least one in each of the two turns that are left */
        rig_hang_up(&b->client[--b->n]);
    settle(b);
    cr_assert_not(b->told[b->ntold - 1].more);
    cr_assert_eq(count_all(b, 3, "\"") / 2, (unsigned)MANY - 2);
    close_bed(b);
}

/* A fetch does not tell of a join that was asked for after it. */
Test(bus_order, what_moves_sockets_waits_for_what_was_asked_before)
{
    struct bed *b = open_bed(1, MANY);

    order(b, RC_BUS_FETCH, 4, NULL);
    order(b, RC_BUS_JOIN, 5, "later");
    order(b, RC_BUS_FETCH, 6, NULL);
    settle(b);
    cr_assert_eq(count_all(b, 4, "\"handshake\""), (unsigned)MANY);
    cr_assert_eq(count_all(b, 4, "\"later\""), 0u);
    cr_assert_eq(count_all(b, 6, "\"later\""), (unsigned)MANY);
    for (unsigned i = 0, last = 0; i < b->ntold; i++) {
        cr_assert_geq(b->told[i].number, (uint64_t)last);
        last = (unsigned)b->told[i].number;
    }
    close_bed(b);
}

Test(bus_order, rooms_come_in_slices_too)
{
    enum { ROOMS = 900 };
    struct bed *b = open_bed(1, 3);
    char name[16];

    for (unsigned i = 0; i < ROOMS; i++) {
        rig_say(&b->client[i % 2], "42[\"join\",\"room-%u\"]", i);
        if (i % 50 == 49)
            rig_settle(&b->rig);
    }
    rig_settle(&b->rig);
    reset(b);
    order(b, RC_BUS_ROOMS, 9, NULL);
    settle(b);
    cr_assert_geq(b->ntold, 3u);
    cr_assert_not(b->told[b->ntold - 1].more);
    for (unsigned i = 0; i < ROOMS; i++) {
        (void)snprintf(name, sizeof(name), "\"room-%u\"", i);
        cr_assert_geq(count_all(b, 9, name), 1u);
    }
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(count_all(b, 9, b->client[i].id), 1u);
    close_bed(b);
}

#include "rc/broker/survey.h"

#include "rc/base/mem.h"
#include "rc/broker/room.h"
#include "rc/broker/socket.h"
#include "rc/net/ws.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define INI                      \
    "[event join]\njoin = {1}\n" \
    "[namespace /chat]\n"        \
    "[connect /tenant-*]\n"      \
    "[endpoint /ws]\nprotocol=echo\n"

enum { MANY = 700 };

struct bed {
    struct rig rig;
    struct rig_client client[MANY];
    unsigned n;
    struct rc_survey_desk desk;
};

static struct bed *open_bed(unsigned nshards)
{
    struct bed *b = rc_calloc(1, sizeof(*b));

    rig_open(&b->rig, nshards, INI);
    b->desk.fd = eventfd(0, EFD_NONBLOCK);
    return b;
}

static void close_bed(struct bed *b)
{
    for (unsigned i = 0; i < b->n; i++)
        rig_hang_up(&b->client[i]);
    rig_settle(&b->rig);
    rig_close(&b->rig);
    (void)close(b->desk.fd);
    free(b);
}

static struct rig_client *add(struct bed *b, unsigned shard)
{
    struct rig_client *c = &b->client[b->n++];

    rig_socketio(&b->rig, c, shard);
    return c;
}

static void join(struct rig_client *c, const char *room)
{
    rig_say(c, "42[\"join\",\"%s\"]", room);
}

/* The answer to the next slice, as the operators' thread gets it. */
static void slice(struct bed *b, struct rc_survey *q)
{
    uint64_t times;

    q->desk = &b->desk;
    cr_assert(rc_survey_send(b->rig.mesh, q));
    rig_settle(&b->rig);
    cr_assert_eq(read(b->desk.fd, &times, sizeof(times)), (ssize_t)sizeof(times));
    cr_assert_eq(rc_survey_take(&b->desk), q);
    cr_assert_null(rc_survey_take(&b->desk));
}

/* How many fit on all shards; entries that contain `text` in *found. */
static unsigned count(struct bed *b, enum rc_survey_what what,
                      const struct rc_survey_filter *filter, const char *text, unsigned *found)
{
    struct rc_survey *q = rc_survey_new(what, 0, filter);
    unsigned n = 0;

    *found = 0;
    for (unsigned shard = 0; shard < b->rig.n; shard++) {
        rc_survey_restart(q, shard);
        do {
            slice(b, q);
            n += q->matched;
            for (unsigned i = 0; i < q->n; i++)
                *found += memmem(q->text.data + q->entry[i].at, q->entry[i].len, text,
                                 strlen(text)) != NULL;
        } while (q->more);
    }
    rc_survey_free(q);
    return n;
}

Test(survey, clients_and_filters)
{
    struct bed *b = open_bed(2);
    struct rc_survey_filter f = {.key = RC_SURVEY_UNSORTED};
    unsigned found;

    for (unsigned i = 0; i < 6; i++)
        join(add(b, i % 2), i < 4 ? "lobby" : "attic");
    rig_settle(&b->rig);
    cr_assert_eq(count(b, RC_SURVEY_CLIENTS, &f, "\"rooms\":[\"lobby\"]", &found), 6u);
    cr_assert_eq(found, 4u);
    f.room = RC_STR("lob*");
    cr_assert_eq(count(b, RC_SURVEY_CLIENTS, &f, "\"namespace\":\"/\"", &found), 4u);
    cr_assert_eq(found, 4u);
    f.nsp = RC_STR("/chat");
    cr_assert_eq(count(b, RC_SURVEY_CLIENTS, &f, "", &found), 0u);
    f = (struct rc_survey_filter){.transport = RC_SURVEY_POLLING};
    cr_assert_eq(count(b, RC_SURVEY_CLIENTS, &f, "", &found), 0u);
    f.transport = RC_SURVEY_WEBSOCKET;
    cr_assert_eq(count(b, RC_SURVEY_CLIENTS, &f, "\"transport\":\"websocket\"", &found), 6u);
    cr_assert_eq(found, 6u);
    f = (struct rc_survey_filter){.user = RC_STR("ann")};
    cr_assert_eq(count(b, RC_SURVEY_CLIENTS, &f, "", &found), 0u);
    f = (struct rc_survey_filter){.client = rc_str_of(b->client[3].id)};
    cr_assert_eq(count(b, RC_SURVEY_CLIENTS, &f, b->client[3].id, &found), 1u);
    cr_assert_eq(found, 1u);
    f = (struct rc_survey_filter){.key = RC_SURVEY_JOINED, .least = 2};
    cr_assert_eq(count(b, RC_SURVEY_CLIENTS, &f, "", &found), 6u);
    cr_assert_eq(found, 0u);
    f.least = 1;
    cr_assert_eq(count(b, RC_SURVEY_CLIENTS, &f, "\"room_count\":1", &found), 6u);
    cr_assert_eq(found, 6u);
    close_bed(b);
}

/* All are seen although others come and go between the slices, and no slice is too long. */
Test(survey, slices_and_limits)
{
    struct bed *b = open_bed(1);
    struct rc_survey_filter f = {.key = RC_SURVEY_UNSORTED};
    struct rc_survey *q = rc_survey_new(RC_SURVEY_CLIENTS, 0, &f);
    unsigned slices = 0, given = 0, matched = 0;

    for (unsigned i = 0; i < MANY - 20; i++)
        (void)add(b, 0);
    do {
        slice(b, q);
        cr_assert_leq(q->n, (uint32_t)RC_SURVEY_GIVE);
        cr_assert_leq(q->text.len, (size_t)RC_SURVEY_TEXT + 4096);
        given += q->n;
        if (++slices == 1) { /* the first ones have been seen, the last not */
            for (unsigned i = 0; i < 10; i++)
                rig_hang_up(&b->client[i]);
            rig_settle(&b->rig);
        }
    } while (q->more);
    cr_assert_eq(given, MANY - 20u);
    cr_assert_gt(slices, 2u);

    rc_survey_restart(q, 0);
    q->limit = 7;
    slice(b, q);
    cr_assert_eq(q->n, 7u);
    cr_assert(q->more);
    q->limit = 0;
    matched = q->matched;
    for (slices = 0; q->more; slices++) {
        slice(b, q);
        cr_assert_eq(q->n, 0u);
        matched += q->matched;
    }
    cr_assert_eq(matched, MANY - 30u);
    cr_assert_leq(slices, 2u);
    rc_survey_free(q);
    close_bed(b);
}

Test(survey, rooms_and_namespaces)
{
    struct bed *b = open_bed(4);
    struct rc_survey_filter f = {.key = RC_SURVEY_UNSORTED};
    struct rig_client *c[3], ws, *tenant = &b->client[10];
    unsigned found;

    for (unsigned i = 0; i < 3; i++)
        c[i] = add(b, i);
    for (unsigned i = 0; i < 150; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "many-%u", i);
        join(c[i % 3], name);
    }
    for (unsigned i = 0; i < 3; i++)
        join(c[i], "lobby");
    rig_socketio(&b->rig, tenant, 3);
    b->n = 11;
    rig_say(tenant, "40/tenant-7,");
    rig_settle(&b->rig);
    rig_say(tenant, "40/tenant-8,");
    rig_settle(&b->rig);
    rig_websocket(&b->rig, &ws, 1, "/ws");
    cr_assert_eq(count(b, RC_SURVEY_ROOMS, &f, "\"members\":3", &found), 151u);
    cr_assert_eq(found, 1u);
    f.room = RC_STR("many-14*");
    cr_assert_eq(count(b, RC_SURVEY_ROOMS, &f, "\"namespace\":\"/\"", &found), 10u);
    cr_assert_eq(found, 10u);
    f = (struct rc_survey_filter){.key = RC_SURVEY_MEMBERS, .least = 3};
    cr_assert_eq(count(b, RC_SURVEY_ROOMS, &f, "\"room\":", &found), 151u);
    cr_assert_eq(found, 1u);

    f = (struct rc_survey_filter){.nsp = RC_STR("/tenant-*")};
    cr_assert_eq(count(b, RC_SURVEY_NAMESPACES, &f, "\"kind\":\"dynamic\"", &found), 2u);
    cr_assert_eq(found, 2u);
    f.nsp = RC_STR("/tenant-8");
    cr_assert_eq(count(b, RC_SURVEY_CLIENTS, &f, "\"namespace\":\"/tenant-7\"", &found), 1u);
    cr_assert_eq(found, 1u);
    f.nsp = RC_STR("/ws");
    cr_assert_eq(count(b, RC_SURVEY_NAMESPACES, &f, "\"kind\":\"endpoint\"", &found), 4u);
    cr_assert_eq(count(b, RC_SURVEY_CLIENTS, &f, "\"transport\":\"plain\"", &found), 1u);
    cr_assert_eq(found, 1u);
    rig_hang_up(&ws);
    for (unsigned i = 3; i < 10; i++)
        b->client[i].fd = -1;
    close_bed(b);
}

Test(survey, clients_are_ended)
{
    struct bed *b = open_bed(2);
    struct rc_survey_filter f = {.room = RC_STR("lobby")};
    struct rc_survey *q;
    struct rig_client ws;
    unsigned ended = 0, left;

    for (unsigned i = 0; i < 3 * RC_SURVEY_END; i++)
        join(add(b, 0), i % 2 != 0 ? "lobby" : "attic");
    rig_settle(&b->rig);
    q = rc_survey_new(RC_SURVEY_CLIENTS, 0, &f);
    q->end_them = true;
    q->limit = 0;
    do {
        slice(b, q);
        cr_assert_leq(q->matched, (uint32_t)RC_SURVEY_END);
        ended += q->matched;
    } while (q->more);
    rc_survey_free(q);
    cr_assert_eq(ended, 3u * RC_SURVEY_END / 2);
    for (unsigned i = 0; i < b->n; i++) {
        struct rig_client *c = &b->client[i];

        if (i % 2 == 0) {
            rig_expect_silence(c);
            continue;
        }
        rig_expect(c, "41");
        cr_assert(rig_hear(c));
        cr_assert_eq(c->opcode, RC_WS_CLOSE);
    }
    f = (struct rc_survey_filter){.key = RC_SURVEY_UNSORTED};
    cr_assert_eq(count(b, RC_SURVEY_CLIENTS, &f, "", &left), 3u * RC_SURVEY_END / 2);
    cr_assert_eq(rc_stat_get(&b->rig.shard[0]->stats.closed[RC_CLOSE_KICKED]),
                 3u * RC_SURVEY_END / 2);

    rig_websocket(&b->rig, &ws, 1, "/ws");
    q = rc_survey_new(RC_SURVEY_CLIENTS, 1, &(struct rc_survey_filter){.nsp = RC_STR("/ws")});
    q->end_them = true;
    slice(b, q);
    cr_assert_eq(q->matched, 1u);
    rc_survey_free(q);
    cr_assert(rig_hear(&ws));
    cr_assert_eq(ws.opcode, RC_WS_CLOSE);
    cr_assert_eq(memcmp(ws.message.data, "\x03\xf0kicked", 8), 0);
    rig_hang_up(&ws);
    close_bed(b);
}

static unsigned answers, seen;

static void on_answer(struct rc_shard *sh, struct rc_survey *q)
{
    rc_assert_on_shard(sh);
    answers++;
    seen += q->matched;
    if (q->more || q->shard + 1 < sh->nshards) {
        if (!q->more)
            rc_survey_restart(q, q->shard + 1);
        rc_survey_ask(sh, q);
        return;
    }
    rc_survey_free(q);
}

/* A shard asks itself and the others, and each slice is a turn of its own. */
Test(survey, shards_ask)
{
    struct bed *b = open_bed(3);
    struct rc_survey_filter f = {.key = RC_SURVEY_UNSORTED};
    struct rc_survey *q = rc_survey_new(RC_SURVEY_CLIENTS, 0, &f);
    struct rc_shard *sh;

    for (unsigned i = 0; i < 600; i++)
        (void)add(b, i % 3 == 0 ? 1 : 0);
    answers = seen = 0;
    sh = rig_enter(&b->rig, 0);
    rc_assert_on_shard(sh);
    q->on_answer = on_answer;
    rc_survey_ask(sh, q);
    rig_turn(&b->rig, 0);
    cr_assert_eq(answers, 1u);
    rig_turn(&b->rig, 0);
    cr_assert_eq(answers, 2u);
    rig_settle(&b->rig);
    cr_assert_eq(seen, 600u);

    /* Who asks and is gone: questions under way belong to nobody else. */
    q = rc_survey_new(RC_SURVEY_CLIENTS, 1, &f);
    q->on_answer = on_answer;
    sh = rig_enter(&b->rig, 0);
    rc_assert_on_shard(sh);
    rc_survey_ask(sh, q);
    (void)rc_mesh_wake(b->rig.mesh, 0);
    q = rc_survey_new(RC_SURVEY_CLIENTS, 0, &f);
    q->on_answer = on_answer;
    rc_survey_ask(sh, q);
    for (unsigned i = 0; i < b->n; i++)
        rig_hang_up(&b->client[i]);
    rig_close(&b->rig);
    (void)close(b->desk.fd);
    free(b);
}

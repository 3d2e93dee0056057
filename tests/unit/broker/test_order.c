/*
 * The guarantees of rooms under schedules that no clock would bring about: shards without
 * threads take their turns at random, while clients join, leave and send. What every client saw
 * is then checked against what must hold:
 *
 *   - all members of a room see its messages in one order;
 *   - what one client sends arrives in the order sent, across rooms, direct messages and acks;
 *   - who was told that it has joined, and has not asked to leave, gets each message once; who
 *     was told that it has left, or never asked, gets none.
 */
#include "rig.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static const char ini[] = "[server]\nring_slots = 64\n"
                          "[event join]\njoin = {1}\n"
                          "[event leave]\nleave = {1}\n"
                          "[event say]\nemit = room {1}: msg {2}\n"
                          "[event others]\nemit = room {1} except sender: msg {2}\n"
                          "[event all]\nemit = all: msg {1}\n"
                          "[event to]\nemit = socket {1}: msg {2}\n"
                          "[event me]\nemit = sender: msg {1}\n";

enum { CLIENTS = 9, ROOMS = 5, MESSAGES = 4000, SEEN = 2 * MESSAGES };
/* BAD is refused: what it should say is missing. */
enum kind { JOIN, LEAVE, SAY, OTHERS, ALL, TO, ME, BAD, KINDS };
/* Where a client stands with a room, as it can know. */
enum place { OUT, JOINING, IN, LEAVING };

struct message {
    uint8_t kind, sender, room; /* TO: room is the receiver */
    bool acked;
    uint16_t must, may; /* get it: a bit for each client */
};

struct client {
    struct rig_client c;
    enum place place[ROOMS];
    unsigned sent, acked;       /* of its messages: acks come in order */
    unsigned own[MESSAGES];     /* their numbers */
    unsigned seen[SEEN], nseen; /* what it got */
};

struct world {
    struct rig r;
    struct client client[CLIENTS];
    char room[ROOMS][16];
    struct message message[MESSAGES];
    unsigned nmessages;
    uint64_t random;
};

static uint32_t pick(struct world *w, uint32_t n)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (uint32_t)(w->random >> 32) % n;
}

static struct message *message_of(struct world *w, const struct client *c, unsigned nth)
{
    cr_assert_lt(nth, c->sent);
    return &w->message[c->own[nth]];
}

/* ---- sending ---- */

/* Who must get a message to a room, and who may, as things stand when it is sent. */
static void address(struct world *w, struct message *m, unsigned sender)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        uint16_t bit = (uint16_t)(1 << i);
        enum place place = m->room < ROOMS ? w->client[i].place[m->room] : OUT;

        switch ((enum kind)m->kind) {
        case SAY:
        case OTHERS:
            if (m->kind == OTHERS && i == sender)
                break;
            m->must |= place == IN ? bit : 0;
            m->may |= place != OUT ? bit : 0;
            break;
        case ALL: m->must |= bit; break;
        case TO: m->must |= i == m->room ? bit : 0; break;
        case ME: m->must |= i == sender ? bit : 0; break;
        case JOIN:
        case LEAVE:
        case BAD:
        case KINDS: break;
        }
    }
    m->may |= m->must;
}

/* A client has asked to join or to leave: messages that are not acknowledged yet may be
 * sequenced before or after that. */
static void place_changes(struct world *w, unsigned client, unsigned room, enum place to)
{
    uint16_t bit = (uint16_t)(1 << client);

    w->client[client].place[room] = to;
    for (unsigned i = 0; i < w->nmessages; i++) {
        struct message *m = &w->message[i];

        if ((m->kind != SAY && m->kind != OTHERS) || m->acked || m->room != room)
            continue;
        if (m->kind == OTHERS && m->sender == client)
            continue;
        m->may |= bit;
        if (to != IN)
            m->must &= (uint16_t)~bit;
    }
}

static void send_one(struct world *w, unsigned from)
{
    static const char *const name[KINDS] = {"join", "leave", "say", "others",
                                            "all",  "to",    "me"};
    static const uint8_t odds[] = {JOIN,   JOIN, JOIN, LEAVE, LEAVE, SAY, SAY,    SAY,
                                   SAY,    SAY,  SAY,  SAY,   SAY,   SAY, OTHERS, OTHERS,
                                   OTHERS, ALL,  TO,   TO,    ME,    ME,  BAD};
    struct client *c = &w->client[from];
    struct message *m = &w->message[w->nmessages];
    unsigned room = pick(w, ROOMS), n = w->nmessages;

    *m = (struct message){
        .kind = odds[pick(w, sizeof(odds))], .sender = (uint8_t)from, .room = (uint8_t)room};
    if (m->kind == TO)
        m->room = (uint8_t)pick(w, CLIENTS);
    address(w, m, from);
    c->own[c->sent] = n;
    w->nmessages++;
    if (m->kind == JOIN || m->kind == LEAVE) {
        rig_say(&c->c, "42%u[\"%s\",\"%s\"]", c->sent, name[m->kind], w->room[room]);
        c->sent++;
        place_changes(w, from, room, m->kind == JOIN ? JOINING : LEAVING);
        return;
    }
    if (m->kind == BAD)
        rig_say(&c->c, "42%u[\"say\",\"%s\"]", c->sent, w->room[room]);
    else if (m->kind == ALL || m->kind == ME)
        rig_say(&c->c, "42%u[\"%s\",%u]", c->sent, name[m->kind], n);
    else
        rig_say(&c->c, "42%u[\"%s\",\"%s\",%u]", c->sent, name[m->kind],
                m->kind == TO ? w->client[m->room].c.id : w->room[room], n);
    c->sent++;
}

/* ---- receiving ---- */

static void on_ack(struct world *w, struct client *c, const char *text)
{
    char *rest = NULL;
    unsigned long id = strtoul(text + 2, &rest, 10);
    unsigned self = (unsigned)(c - w->client);
    struct message *m;

    cr_assert_eq(id, c->acked, "acks come in the order of the events");
    m = message_of(w, c, c->acked++);
    m->acked = true;
    if (m->kind == BAD)
        cr_assert_eq(strncmp(rest, "[{\"ok\":false,", 13), 0);
    else
        cr_assert_str_eq(rest, "[{\"ok\":true}]");
    if (m->kind != JOIN && m->kind != LEAVE)
        return;
    /* Only the last change that was asked for says where the client is now. */
    for (unsigned i = c->acked; i < c->sent; i++) {
        const struct message *later = message_of(w, c, i);

        if ((later->kind == JOIN || later->kind == LEAVE) && later->room == m->room)
            return;
    }
    w->client[self].place[m->room] = m->kind == JOIN ? IN : OUT;
}

static void read_all(struct world *w, struct client *c)
{
    while (rig_hear(&c->c)) {
        const char *text = (const char *)c->c.message.data;

        if (strncmp(text, "42[\"msg\",", 9) == 0) {
            unsigned n = (unsigned)strtoul(text + 9, NULL, 10);
            const struct message *m = &w->message[n];

            cr_assert_lt(n, w->nmessages);
            /* Its own message comes before the ack of its event. */
            if (m->sender == c - w->client)
                cr_assert_not(m->acked);
            cr_assert_lt(c->nseen, (unsigned)SEEN);
            c->seen[c->nseen++] = n;
        } else {
            cr_assert_eq(strncmp(text, "43", 2), 0, "%s", text);
            on_ack(w, c, text);
        }
    }
}

/* ---- what must hold ---- */

static void check_receiver(struct world *w, unsigned self)
{
    const struct client *c = &w->client[self];
    static uint8_t count[MESSAGES];
    unsigned last[CLIENTS];

    memset(count, 0, sizeof(count));
    memset(last, 0, sizeof(last));
    for (unsigned i = 0; i < c->nseen; i++) {
        unsigned n = c->seen[i], sender = w->message[n].sender;

        count[n]++;
        cr_assert_geq(n + 1, last[sender], "client %u: %u of sender %u after %u", self, n,
                      sender, last[sender] - 1);
        last[sender] = n + 1;
    }
    for (unsigned n = 0; n < w->nmessages; n++) {
        const struct message *m = &w->message[n];

        cr_assert_leq(count[n], m->may >> self & 1, "client %u: kind %u, %u, %u times", self,
                      m->kind, n, count[n]);
        cr_assert_geq(count[n], m->must >> self & 1, "client %u: kind %u, %u is missing", self,
                      m->kind, n);
    }
}

/* Two receivers agree on the order of what both have seen of one room (ROOMS: of ALL). */
static void check_pair(const struct world *w, const struct client *a, const struct client *b)
{
    static unsigned place_in_b[MESSAGES];
    unsigned last[ROOMS + 1] = {0};

    memset(place_in_b, 0, sizeof(place_in_b));
    for (unsigned i = 0; i < b->nseen; i++)
        place_in_b[b->seen[i]] = i + 1;
    for (unsigned i = 0; i < a->nseen; i++) {
        const struct message *m = &w->message[a->seen[i]];
        unsigned at = place_in_b[a->seen[i]];
        unsigned room = m->kind == ALL ? ROOMS : m->room;

        if (at == 0 || (m->kind != SAY && m->kind != OTHERS && m->kind != ALL))
            continue;
        cr_assert_gt(at, last[room], "two members disagree about the order in a room");
        last[room] = at;
    }
}

/* ---- a run ---- */

static void run(unsigned nshards, uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));
    unsigned asleep = 0;

    cr_assert_not_null(w);
    w->random = seed * 0x9e3779b97f4a7c15u + 1;
    rig_open(&w->r, nshards, ini);
    for (unsigned i = 0; i < ROOMS; i++)
        memcpy(w->room[i], rig_room(&w->r, i % nshards, i / nshards), sizeof(w->room[i]));
    for (unsigned i = 0; i < CLIENTS; i++)
        rig_socketio(&w->r, &w->client[i].c, i % nshards);
    while (w->nmessages < MESSAGES) {
        unsigned what = pick(w, 100), burst = 1;

        if (what < 2)
            asleep = pick(w, nshards + 1); /* that shard takes no turns for a while */
        else if (what < 60 && (what = pick(w, nshards)) != asleep)
            rig_turn(&w->r, what);
        else if (what < 75)
            read_all(w, &w->client[pick(w, CLIENTS)]);
        else if (what == 99)
            burst = pick(w, 150); /* longer than a ring */
        if (what < 75)
            continue;
        for (unsigned from = pick(w, CLIENTS); burst > 0 && w->nmessages < MESSAGES; burst--)
            send_one(w, from);
    }
    rig_settle(&w->r);
    for (unsigned i = 0; i < CLIENTS; i++) {
        read_all(w, &w->client[i]);
        cr_assert_eq(w->client[i].acked, w->client[i].sent);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        check_receiver(w, i);
        for (unsigned k = 0; k < i; k++)
            check_pair(w, &w->client[i], &w->client[k]);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        rig_hang_up(&w->client[i].c);
    rig_settle(&w->r);
    for (unsigned i = 0; i < nshards; i++) {
        cr_assert_eq(w->r.shard[i]->sessions.used, 0u);
        cr_assert_eq(w->r.shard[i]->room_by_name.n, 0u);
        cr_assert_eq(w->r.shard[i]->lrooms.used, 0u);
    }
    rig_close(&w->r);
    free(w);
}

Test(order, one_shard)
{
    run(1, 1);
}

Test(order, two_shards)
{
    for (uint64_t seed = 1; seed <= 3; seed++)
        run(2, seed);
}

Test(order, three_shards)
{
    for (uint64_t seed = 1; seed <= 3; seed++)
        run(3, seed);
}

Test(order, four_shards)
{
    for (uint64_t seed = 1; seed <= 3; seed++)
        run(4, seed);
}

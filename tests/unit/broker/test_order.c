/*
 * The guarantees of rooms under schedules that no clock would bring about: shards without
 * threads take their turns at random, while clients join, leave and send. What every client saw
 * is then checked against what must hold:
 *
 *   - all members of a room see its messages in one order;
 *   - what one client sends arrives in the order sent, across rooms, direct messages and acks;
 *   - who was told that it has joined, and has not asked to leave, gets each message once; who
 *     was told that it has left, or never asked, gets none;
 *   - a message to several rooms has one place in the order of each, and comes once; who is in a
 *     room that it excepts does not get it.
 */
#include "rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static const char ini[] = "[server]\nring_slots = 64\n"
                          "[event join]\njoin = {1}\n"
                          "[event leave]\nleave = {1}\n"
                          "[event say]\nemit = room {1}: msg {2}\n"
                          "[event others]\nemit = room {1} except sender: msg {2}\n"
                          "[event all]\nemit = all: msg {1}\n"
                          "[event to]\nemit = socket {1}: msg {2}\n"
                          "[event me]\nemit = sender: msg {1}\n"
                          "[event enter]\njoin = rooms {1}\n"
                          "[event exit]\nleave = rooms {1}\n"
                          "[event union]\nemit = rooms {1}: msg {2}\n"
                          "[event fleeting]\nemit = volatile rooms {1}: msg {2}\n"
                          "[event but]\nemit = rooms {1} except rooms {2}: msg {3}\n"
                          "[event mixed]\nemit = rooms {1}, socket {2} except sender: msg {3}\n"
                          "[event allbut]\nemit = all except rooms {1}, socket {2}: msg {3}\n";

enum { CLIENTS = 9, ROOMS = 7, MESSAGES = 4000, SETTLE_EVERY = 400 };
/* BAD is refused: what it should say is missing. */
enum kind {
    JOIN,
    LEAVE,
    ENTER,
    EXIT,
    SAY,
    OTHERS,
    ALL,
    TO,
    ME,
    UNION,
    FLEETING,
    BUT,
    MIXED,
    ALLBUT,
    BAD,
    KINDS
};
/* Where a client stands with a room, as it can know. */
enum place { OUT, JOINING, IN, LEAVING };

/* Sets of rooms and of clients are bits. */
struct message {
    uint8_t kind, sender;
    bool acked;
    uint8_t rooms, except;   /* joined or left; or of a target */
    uint16_t to, never;      /* clients that it names */
    uint8_t in[CLIENTS];     /* rooms in which the client is, as it was sent */
    uint8_t unsure[CLIENTS]; /* rooms that it joins or leaves meanwhile */
};

struct client {
    struct rig_client c;
    enum place place[ROOMS];
    unsigned sent, acked;           /* of its messages: acks come in order */
    unsigned own[MESSAGES];         /* their numbers */
    unsigned seen[MESSAGES], nseen; /* what it got */
};

struct world {
    struct rig r;
    struct client client[CLIENTS];
    char room[ROOMS][16];
    struct message message[MESSAGES];
    unsigned nmessages;
    unsigned settled; /* all before this one have come */
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

static bool is_move(const struct message *m)
{
    return m->kind <= EXIT;
}

static bool must_get(const struct message *m, unsigned client)
{
    uint8_t in = m->in[client], sure = (uint8_t)~m->unsure[client];
    bool all = m->kind == ALL || m->kind == ALLBUT;

    if (m->kind == FLEETING || is_move(m) || (m->never >> client & 1) != 0 ||
        (m->except & (in | ~sure)) != 0)
        return false;
    return all || (m->to >> client & 1) != 0 || (m->rooms & in & sure) != 0;
}

static bool may_get(const struct message *m, unsigned client)
{
    uint8_t in = m->in[client], unsure = m->unsure[client];
    bool all = m->kind == ALL || m->kind == ALLBUT;

    if (is_move(m) || (m->never >> client & 1) != 0 || (m->except & in & ~unsure) != 0)
        return false;
    return all || (m->to >> client & 1) != 0 || (m->rooms & (in | unsure)) != 0;
}

/* Where everybody is when a message is sent. */
static void take_stock(struct world *w, struct message *m)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        for (unsigned r = 0; r < ROOMS; r++) {
            enum place place = w->client[i].place[r];

            m->in[i] |= (uint8_t)((place == IN) << r);
            m->unsure[i] |= (uint8_t)((place == JOINING || place == LEAVING) << r);
        }
    }
}

/* A client has asked to join or to leave: messages that are not acknowledged yet may be
 * sequenced before or after that. What a message excepts is looked up where it comes to. */
static void place_changes(struct world *w, unsigned client, uint8_t rooms, enum place to)
{
    for (unsigned r = 0; r < ROOMS; r++)
        if ((rooms >> r & 1) != 0)
            w->client[client].place[r] = to;
    for (unsigned i = w->settled; i < w->nmessages; i++) {
        struct message *m = &w->message[i];

        m->unsure[client] |= rooms & (m->except | (m->acked ? 0 : m->rooms));
    }
}

static uint8_t pick_rooms(struct world *w, unsigned max)
{
    uint8_t rooms = 0;

    for (unsigned n = 1 + pick(w, max); n > 0; n--)
        rooms |= (uint8_t)(1 << pick(w, ROOMS));
    return rooms;
}

/* As a JSON array; now and then with one of them twice. */
static const char *list_of(struct world *w, uint8_t rooms)
{
    static char lists[2][256];
    static unsigned turn;
    char *to = lists[turn++ % 2], *at = to;

    for (unsigned r = 0; r < ROOMS; r++)
        for (unsigned n = (rooms >> r & 1) * (1 + pick(w, 8) / 7); n > 0; n--)
            at += sprintf(at, "%s\"%s\"", at == to ? "[" : ",", w->room[r]);
    memcpy(at, "]", 2);
    return to;
}

static const char *first_of(struct world *w, uint8_t rooms)
{
    return w->room[__builtin_ctz(rooms)];
}

static enum kind pick_kind(struct world *w)
{
    static const uint8_t odds[] = {
        JOIN,  JOIN,  JOIN,  ENTER, LEAVE,  LEAVE,  EXIT, SAY, SAY,    SAY,      SAY,
        SAY,   SAY,   SAY,   SAY,   OTHERS, OTHERS, ALL,  TO,  TO,     ME,       ME,
        UNION, UNION, UNION, UNION, MIXED,  MIXED,  BUT,  BUT, ALLBUT, FLEETING, BAD};

    return (enum kind)odds[pick(w, sizeof(odds))];
}

/* Says it, as the nth message of that client. */
static void say(struct world *w, struct client *c, const struct message *m, unsigned n)
{
    struct rig_client *to = &c->c;
    const char *socket = w->client[m->to != 0 ? __builtin_ctz(m->to) : 0].c.id;
    const char *never = w->client[m->never != 0 ? __builtin_ctz(m->never) : 0].c.id;
    unsigned id = c->sent;

    switch ((enum kind)m->kind) {
    case JOIN: rig_say(to, "42%u[\"join\",\"%s\"]", id, first_of(w, m->rooms)); break;
    case LEAVE: rig_say(to, "42%u[\"leave\",\"%s\"]", id, first_of(w, m->rooms)); break;
    case ENTER: rig_say(to, "42%u[\"enter\",%s]", id, list_of(w, m->rooms)); break;
    case EXIT: rig_say(to, "42%u[\"exit\",%s]", id, list_of(w, m->rooms)); break;
    case SAY: rig_say(to, "42%u[\"say\",\"%s\",%u]", id, first_of(w, m->rooms), n); break;
    case OTHERS: rig_say(to, "42%u[\"others\",\"%s\",%u]", id, first_of(w, m->rooms), n); break;
    case ALL: rig_say(to, "42%u[\"all\",%u]", id, n); break;
    case TO: rig_say(to, "42%u[\"to\",\"%s\",%u]", id, socket, n); break;
    case ME: rig_say(to, "42%u[\"me\",%u]", id, n); break;
    case UNION: rig_say(to, "42%u[\"union\",%s,%u]", id, list_of(w, m->rooms), n); break;
    case FLEETING: rig_say(to, "42%u[\"fleeting\",%s,%u]", id, list_of(w, m->rooms), n); break;
    case BUT:
        rig_say(to, "42%u[\"but\",%s,%s,%u]", id, list_of(w, m->rooms), list_of(w, m->except),
                n);
        break;
    case MIXED:
        rig_say(to, "42%u[\"mixed\",%s,\"%s\",%u]", id, list_of(w, m->rooms), socket, n);
        break;
    case ALLBUT:
        rig_say(to, "42%u[\"allbut\",%s,\"%s\",%u]", id, list_of(w, m->except), never, n);
        break;
    case BAD: rig_say(to, "42%u[\"say\",\"%s\"]", id, w->room[0]); break;
    case KINDS: break;
    }
}

static void send_one(struct world *w, unsigned from)
{
    struct client *c = &w->client[from];
    unsigned n = w->nmessages;
    struct message *m = &w->message[n];
    uint16_t self = (uint16_t)(1 << from), other = (uint16_t)(1 << pick(w, CLIENTS));

    *m = (struct message){.kind = (uint8_t)pick_kind(w), .sender = (uint8_t)from};
    switch ((enum kind)m->kind) {
    case OTHERS:
        m->rooms = pick_rooms(w, 1);
        m->never = self;
        break;
    case JOIN:
    case LEAVE:
    case SAY: m->rooms = pick_rooms(w, 1); break;
    case TO: m->to = other; break;
    case ME: m->to = self; break;
    case BUT:
        m->rooms = pick_rooms(w, 4);
        m->except = pick_rooms(w, 2);
        break;
    case ENTER:
    case EXIT:
    case UNION:
    case FLEETING: m->rooms = pick_rooms(w, 4); break;
    case MIXED:
        m->rooms = pick_rooms(w, 2);
        m->to = other;
        m->never = self;
        break;
    case ALLBUT:
        m->except = pick_rooms(w, 1);
        m->never = other;
        break;
    case ALL:
    case BAD:
    case KINDS: break;
    }
    take_stock(w, m);
    c->own[c->sent] = n;
    w->nmessages++;
    say(w, c, m, n);
    c->sent++;
    if (is_move(m))
        place_changes(w, from, m->rooms,
                      m->kind == JOIN || m->kind == ENTER ? JOINING : LEAVING);
}

/* ---- receiving ---- */

static void on_ack(struct world *w, struct client *c, const char *text)
{
    char *rest = NULL;
    unsigned long id = strtoul(text + 2, &rest, 10);
    unsigned self = (unsigned)(c - w->client);
    struct message *m;
    uint8_t rooms;

    cr_assert_eq(id, c->acked, "acks come in the order of the events");
    m = message_of(w, c, c->acked++);
    m->acked = true;
    if (m->kind == BAD)
        cr_assert_eq(strncmp(rest, "[{\"ok\":false,", 13), 0);
    else
        cr_assert_str_eq(rest, "[{\"ok\":true}]");
    if (!is_move(m))
        return;
    /* Only the last change that was asked for says where the client is now. */
    rooms = m->rooms;
    for (unsigned i = c->acked; i < c->sent; i++)
        if (is_move(message_of(w, c, i)))
            rooms &= (uint8_t)~message_of(w, c, i)->rooms;
    for (unsigned r = 0; r < ROOMS; r++)
        if ((rooms >> r & 1) != 0)
            w->client[self].place[r] = m->kind == JOIN || m->kind == ENTER ? IN : OUT;
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
            cr_assert_lt(c->nseen, (unsigned)MESSAGES, "some came twice");
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

        cr_assert_leq(count[n], may_get(m, self), "client %u: kind %u, %u, %u times", self,
                      m->kind, n, count[n]);
        cr_assert_geq(count[n], must_get(m, self), "client %u: kind %u, %u is missing", self,
                      m->kind, n);
    }
}

/* Two receivers agree on the order of what both have seen of a room (ROOMS: of ALL). */
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
        bool all = m->kind == ALL || m->kind == ALLBUT;
        unsigned orders = m->rooms | (unsigned)all << ROOMS;

        for (unsigned r = 0; at != 0 && r <= ROOMS; r++) {
            if ((orders >> r & 1) == 0)
                continue;
            cr_assert_gt(at, last[r], "two members disagree about the order in room %u", r);
            last[r] = at;
        }
    }
}

/* ---- a run ---- */

/* Everything that was sent has come, and been answered. */
static void settle(struct world *w)
{
    rig_settle(&w->r);
    for (unsigned i = 0; i < CLIENTS; i++) {
        read_all(w, &w->client[i]);
        cr_assert_eq(w->client[i].acked, w->client[i].sent);
    }
}

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

        if (w->nmessages >= w->settled + SETTLE_EVERY) {
            settle(w);
            w->settled = w->nmessages;
        }

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
    settle(w);
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

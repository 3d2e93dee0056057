/*
 * A broker of four shards in this process, and WebSocket clients in one thread that drive it as
 * fast as it goes: they join and leave rooms at random, send to rooms, to everybody, to one socket
 * and to themselves, vanish and come back. Rings of 64 slots spill all the time. Checked is what
 * every client saw:
 *
 *   - one order per room: each client's messages of a room are in the order in which the
 *     observers, who are in all rooms, saw them;
 *   - first in, first out per sender, over all the ways a message can take; acks in order, each
 *     after what its event caused;
 *   - once to each member: to those that knew of their membership, and to nobody who never asked.
 *
 * ROOMCAST_STRESS sets another number of events.
 */
#include "rc/base/hash.h"
#include "rc/base/log.h"
#include "rc/base/mem.h"
#include "rc/broker/shard.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SHARDS = 4,
    OBSERVERS = 2,
    CLIENTS = 128, /* observers first; a bit each in struct message */
    ROOMS = 24,
    WINDOW = 24,  /* events of a client that are not acknowledged yet */
    LIVES = 4096, /* of clients, one after the other */
    ORPHANS = 2048,
    LIMIT_S = 100,
};

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { EVENTS = 20000 };
#else
enum { EVENTS = 100000 };
#endif

static const char ini[] = "[server]\nring_slots = 64\n"
                          "[socketio]\nping_interval = 500ms\nping_timeout = 60s\n"
                          "[limits]\nmax_queue = 256MiB\n"
                          "[event join]\njoin = {1}\n"
                          "[event leave]\nleave = {1}\n"
                          "[event say]\nemit = room {1}: msg {2}\n"
                          "[event others]\nemit = room {1} except sender: msg {2}\n"
                          "[event all]\nemit = all: msg {1}\n"
                          "[event to]\nemit = socket {1}: msg {2}\n"
                          "[event me]\nemit = sender: msg {1}\n";

enum kind { JOIN, LEAVE, SAY, OTHERS, ALL, TO, ME };
enum place { OUT, JOINING, IN, LEAVING };

struct set {
    uint64_t bits[CLIENTS / 64];
};

struct message {
    uint8_t kind, room; /* TO: room is the receiver */
    uint16_t life;      /* of the sender */
    bool acked;
    uint32_t at; /* place in the order that the first observer saw; 0: did not see it */
    struct set must, may;
};

/* One life of a client: from a connection to its end. */
struct life {
    uint32_t *seen;
    uint32_t nseen, cap;
    uint32_t born; /* messages there were before */
    uint8_t client;
    bool dead;
};

struct client {
    int fd;
    uint16_t life;
    bool connected; /* the CONNECT was answered */
    char id[24];
    struct rc_buf in, out;
    uint32_t sent, acked; /* events of this life */
    uint32_t own[WINDOW]; /* numbers of those not acknowledged */
    uint8_t place[ROOMS];
};

static struct rc_mesh *mesh;
static struct rc_shard *shard[SHARDS];
static struct client client[CLIENTS];
static struct life life[LIVES];
static struct message *message;
static uint32_t total = EVENTS, nmessages, nlives;
static uint32_t orphan[ORPHANS], norphans; /* the last messages of clients that hung up */
static uint64_t seed = 88172645463325252u, deliveries;

static void fail(const char *fmt, ...) RC_PRINTF(1, 2) RC_NORETURN;
static void fail(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vprintf(fmt, ap);
    va_end(ap);
    (void)putchar('\n');
    (void)fflush(stdout);
    _Exit(1); /* the shards are running */
}

static uint32_t pick(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32) % n;
}

static bool has(const struct set *s, unsigned c)
{
    return (s->bits[c / 64] >> (c % 64) & 1) != 0;
}

static void put(struct set *s, unsigned c, bool on)
{
    if (on)
        s->bits[c / 64] |= (uint64_t)1 << (c % 64);
    else
        s->bits[c / 64] &= ~((uint64_t)1 << (c % 64));
}

/* ---- the wire ---- */

static void flush(struct client *c)
{
    while (c->out.len != 0) {
        ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0)
            fail("client %u: closed by its shard", (unsigned)(c - client));
        rc_buf_consume(&c->out, (size_t)n);
    }
}

static void say(struct client *c, const char *fmt, ...) RC_PRINTF(2, 3);
static void say(struct client *c, const char *fmt, ...)
{
    char text[126];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    rc_buf_putc(&c->out, (char)0x81);
    rc_buf_putc(&c->out, (char)(0x80 | n));
    rc_buf_put(&c->out, "\0\0\0", 4);
    rc_buf_put(&c->out, text, (size_t)n);
}

static void be_born(unsigned index)
{
    static const char head[] =
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    struct client *c = &client[index];
    struct rc_msg msg = {.type = RC_MSG_CONN};
    int fd[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) != 0 || nlives == LIVES)
        fail("no connection: %d lives", (int)nlives);
    rc_buf_deinit(&c->in);
    rc_buf_deinit(&c->out);
    *c = (struct client){.fd = fd[1], .life = (uint16_t)nlives};
    life[nlives++] = (struct life){.client = (uint8_t)index, .born = nmessages};
    msg.u.conn.fd = fd[0];
    rc_mesh_post(mesh, rc_mesh_acceptor(SHARDS), pick(SHARDS), &msg);
    while (!rc_mesh_wake(mesh, rc_mesh_acceptor(SHARDS)))
        (void)usleep(1000);
    rc_buf_put(&c->out, head, sizeof(head) - 1);
    say(c, "40");
    flush(c);
}

/* ---- what must and may be seen ---- */

static void address(struct message *m, unsigned sender)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        const struct client *c = &client[i];
        bool must = false, may = false;

        if (m->kind == SAY || (m->kind == OTHERS && i != sender)) {
            must = c->place[m->room] == IN;
            may = c->place[m->room] != OUT;
        } else if (m->kind == ALL) {
            must = c->connected;
            may = true;
        } else if (m->kind == TO || m->kind == ME) {
            must = i == (m->kind == ME ? sender : m->room);
        }
        put(&m->must, i, must);
        put(&m->may, i, may || must);
    }
}

/* Calls for all messages that may not be sequenced yet. */
static void for_unacked(unsigned index,
                        void (*fn)(struct message *m, unsigned index, unsigned room),
                        unsigned room)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        for (uint32_t k = client[i].acked; k < client[i].sent; k++)
            fn(&message[client[i].own[k % WINDOW]], index, room);
    for (uint32_t i = 0; i < norphans && i < ORPHANS; i++)
        fn(&message[orphan[i]], index, room);
}

static void on_change(struct message *m, unsigned index, unsigned room)
{
    if ((m->kind != SAY && m->kind != OTHERS) || m->room != room ||
        (m->kind == OTHERS && life[m->life].client == index))
        return;
    put(&m->may, index, true);
    put(&m->must, index, false);
}

static void on_death(struct message *m, unsigned index, unsigned room)
{
    (void)room;
    put(&m->must, index, false);
}

static void on_birth(struct message *m, unsigned index, unsigned room)
{
    (void)room;
    if (m->kind == ALL)
        put(&m->may, index, true);
}

/* Hangs up in the midst of everything; what it sent may or may not have come through. */
static void die(unsigned index)
{
    struct client *c = &client[index];

    for_unacked(index, on_death, 0);
    life[c->life].dead = true;
    (void)close(c->fd);
    for (; c->acked < c->sent; c->acked++) /* nobody will tell when they have come through */
        orphan[norphans++ % ORPHANS] = c->own[c->acked % WINDOW];
    be_born(index);
    for_unacked(index, on_birth, 0);
}

/* ---- sending ---- */

static enum kind pick_kind(void)
{
    uint32_t n = pick(1000);

    if (n < 120)
        return JOIN;
    if (n < 200)
        return LEAVE;
    if (n < 205)
        return ALL;
    if (n < 280)
        return TO;
    if (n < 330)
        return ME;
    return n < 400 ? OTHERS : SAY;
}

static void send_event(unsigned index, enum kind kind, unsigned room)
{
    static const char *const name[] = {"join", "leave", "say", "others", "all", "to", "me"};
    struct client *c = &client[index];
    struct message *m = &message[nmessages];

    if (kind == TO && !client[room = pick(CLIENTS)].connected)
        kind = ME;
    *m = (struct message){.kind = (uint8_t)kind, .room = (uint8_t)room, .life = c->life};
    address(m, index);
    c->own[c->sent % WINDOW] = nmessages;
    if (kind == JOIN || kind == LEAVE)
        say(c, "42%u[\"%s\",\"room %u\"]", c->sent, name[kind], room);
    else if (kind == ALL || kind == ME)
        say(c, "42%u[\"%s\",%u]", c->sent, name[kind], nmessages);
    else if (kind == TO)
        say(c, "42%u[\"to\",\"%s\",%u]", c->sent, client[room].id, nmessages);
    else
        say(c, "42%u[\"%s\",\"room %u\",%u]", c->sent, name[kind], room, nmessages);
    c->sent++;
    nmessages++;
    if (kind == JOIN || kind == LEAVE) {
        c->place[room] = kind == JOIN ? JOINING : LEAVING;
        for_unacked(index, on_change, room);
    }
}

/* Fills the window, and now and then dies. Observers join all rooms, and only listen then. */
static void act(unsigned index)
{
    struct client *c = &client[index];

    if (!c->connected)
        return;
    if (index < OBSERVERS) {
        while (c->sent < ROOMS && c->sent - c->acked < WINDOW)
            send_event(index, JOIN, c->sent);
        return;
    }
    if (pick(300) == 0 && nlives < LIVES && nmessages < total) {
        die(index);
        return;
    }
    for (unsigned n = pick(WINDOW); n > 0 && c->sent - c->acked < WINDOW && nmessages < total;
         n--)
        send_event(index, pick_kind(), pick(ROOMS));
}

/* ---- receiving ---- */

static void see(struct client *c, uint32_t n)
{
    struct life *l = &life[c->life];

    if (n >= nmessages)
        fail("a message that nobody sent: %u", n);
    if (message[n].life == c->life && message[n].acked)
        fail("client %u: message %u after its ack", (unsigned)(c - client), n);
    if (l->nseen == l->cap) {
        l->cap = l->cap != 0 ? l->cap * 2 : 256;
        l->seen = rc_realloc(l->seen, l->cap * sizeof(*l->seen));
    }
    l->seen[l->nseen++] = n;
    if (c == client)
        message[n].at = l->nseen;
    deliveries++;
}

static void see_ack(struct client *c, const char *text)
{
    char *rest = NULL;
    unsigned long id = strtoul(text + 2, &rest, 10);
    struct message *m;

    if (id != c->acked || c->acked == c->sent || strcmp(rest, "[{\"ok\":true}]") != 0)
        fail("client %u: ack %u expected: %s", (unsigned)(c - client), c->acked, text);
    m = &message[c->own[c->acked % WINDOW]];
    c->acked++;
    m->acked = true;
    if (m->kind != JOIN && m->kind != LEAVE)
        return;
    for (uint32_t k = c->acked; k < c->sent; k++) { /* a later change is what counts */
        const struct message *later = &message[c->own[k % WINDOW]];

        if ((later->kind == JOIN || later->kind == LEAVE) && later->room == m->room)
            return;
    }
    c->place[m->room] = m->kind == JOIN ? IN : OUT;
}

static void hear(struct client *c, char *text, size_t len)
{
    char *end = text + len, was = *end;

    *end = '\0';
    if (strncmp(text, "42[\"msg\",", 9) == 0) {
        see(c, (uint32_t)strtoul(text + 9, NULL, 10));
    } else if (strncmp(text, "43", 2) == 0) {
        see_ack(c, text);
    } else if (strncmp(text, "40{\"sid\":\"", 10) == 0) {
        memcpy(c->id, text + 10, 20);
        c->connected = true;
    } else if (strcmp(text, "2") == 0) {
        say(c, "3");
    } else if (text[0] != '0') {
        fail("client %u: %s", (unsigned)(c - client), text);
    }
    *end = was;
}

/* The frames that are whole; behind the head of the handshake's answer. */
static void take_frames(struct client *c)
{
    size_t at = 0;

    if (c->in.len > 4 && c->in.data[0] == 'H') {
        const char *end = memmem(c->in.data, c->in.len, "\r\n\r\n", 4);

        if (end == NULL)
            return;
        at = (size_t)(end - (const char *)c->in.data) + 4;
    }
    while (c->in.len - at >= 2) {
        const uint8_t *p = c->in.data + at;
        size_t head = p[1] < 126 ? 2 : 4, len = p[1];

        if (p[0] != 0x81 || p[1] > 126)
            fail("client %u: frame %02x %02x", (unsigned)(c - client), p[0], p[1]);
        if (c->in.len - at < head)
            break;
        if (head == 4)
            len = (size_t)p[2] << 8 | p[3];
        if (c->in.len - at < head + len)
            break;
        hear(c, (char *)c->in.data + at + head, len);
        at += head + len;
    }
    rc_buf_consume(&c->in, at);
}

static void receive(struct client *c)
{
    for (;;) {
        /* One more, for the NUL that hear() puts behind a text. */
        uint8_t *to = rc_buf_reserve(&c->in, 65537);
        ssize_t n = read(c->fd, to, 65536);

        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0)
            fail("client %u: closed by its shard", (unsigned)(c - client));
        c->in.len += (size_t)n;
        take_frames(c);
    }
}

/* One round over all clients. */
static void round_of_all(bool acting)
{
    struct pollfd p[CLIENTS];

    for (unsigned i = 0; i < CLIENTS; i++)
        p[i] = (struct pollfd){.fd = client[i].fd,
                               .events =
                                   (short)(client[i].out.len != 0 ? POLLIN | POLLOUT : POLLIN)};
    if (poll(p, CLIENTS, 10) < 0)
        fail("poll: %d", errno);
    for (unsigned i = 0; i < CLIENTS; i++) {
        if ((p[i].revents & ~POLLOUT) != 0)
            receive(&client[i]);
        if (acting)
            act(i);
        flush(&client[i]);
    }
}

/* ---- what must hold ---- */

static void check_life(uint16_t l)
{
    static uint32_t last_of[LIVES];
    uint8_t *count = rc_calloc(total, 1);
    uint32_t last_in[ROOMS] = {0};
    const struct life *self = &life[l];

    memset(last_of, 0, sizeof(last_of));
    for (uint32_t i = 0; i < self->nseen; i++) {
        uint32_t n = self->seen[i];
        const struct message *m = &message[n];

        if (++count[n] > 1 || !has(&m->may, self->client))
            fail("life %u: message %u (kind %u) is not for it, or came twice (%u times; its "
                 "sender %s, "
                 "it was %s)",
                 l, n, m->kind, count[n], life[m->life].dead ? "hung up" : "lives",
                 m->acked ? "acknowledged" : "not acknowledged");
        if (n + 1 <= last_of[m->life])
            fail("life %u: message %u after a later one of the same sender", l, n);
        last_of[m->life] = n + 1;
        if (m->kind != SAY && m->kind != OTHERS)
            continue;
        if (m->at <= last_in[m->room])
            fail("life %u: message %u is out of the order of room %u", l, n, m->room);
        last_in[m->room] = m->at;
    }
    for (uint32_t n = self->born; n < nmessages && !self->dead; n++)
        /* Of what a sender left unacknowledged nobody knows whether it was received. */
        if (message[n].acked && has(&message[n].must, self->client) && count[n] == 0)
            fail("life %u: message %u (kind %u, room %u) is missing", l, n, message[n].kind,
                 message[n].room);
    free(count);
}

static uint64_t sum(size_t offset)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < SHARDS; i++)
        n += rc_stat_get(
            (const _Atomic uint64_t *)(const void *)((const char *)&shard[i]->stats + offset));
    return n;
}
#define SUM(field) sum(offsetof(struct rc_stats, field))

/* All but the observers hang up: what is theirs goes. Then the shards are stopped. */
static void wind_up(void)
{
    struct rc_msg stop = {.type = RC_MSG_STOP};
    uint64_t start = rc_clock_ms(), spilled = 0;

    for (unsigned i = OBSERVERS; i < CLIENTS; i++)
        (void)close(client[i].fd);
    while (SUM(conns) != OBSERVERS || SUM(sockets) != OBSERVERS || SUM(rooms) != ROOMS) {
        (void)usleep(1000);
        if (rc_clock_ms() > start + 20000)
            fail("left: %u connections, %u rooms", (unsigned)SUM(conns), (unsigned)SUM(rooms));
    }
    for (unsigned from = 0; from < SHARDS; from++)
        for (unsigned to = 0; to < SHARDS; to++)
            spilled += from != to ? rc_mesh_spilled(mesh, from, to) : 0;
    for (unsigned i = 0; i < SHARDS; i++)
        rc_mesh_post(mesh, rc_mesh_main(SHARDS), i, &stop);
    (void)rc_mesh_wake(mesh, rc_mesh_main(SHARDS));
    for (unsigned i = 0; i < OBSERVERS; i++) {
        static const uint8_t gone[] = {0x88, 2, 1001 >> 8, 1001 & 0xff};
        uint8_t end[4096];
        size_t had = 0;
        ssize_t n;

        while (had < sizeof(gone) ||
               memcmp(end + had - sizeof(gone), gone, sizeof(gone)) != 0) {
            n = read(client[i].fd, end + had, sizeof(end) - had); /* pings come first */
            if (n == 0 || (n < 0 && errno != EAGAIN) || had == sizeof(end))
                fail("observer %u: no close frame with 1001", i);
            had += n > 0 ? (size_t)n : 0;
            (void)usleep(1000);
        }
        (void)close(client[i].fd);
    }
    for (unsigned i = 0; i < SHARDS; i++)
        rc_shard_join(shard[i]);
    printf("%u events, %llu deliveries, %u lives, %llu spilled, %llu fences\n", nmessages,
           (unsigned long long)deliveries, nlives, (unsigned long long)spilled,
           (unsigned long long)SUM(fences));
    if (spilled == 0 || SUM(fences) == 0 || deliveries < nmessages)
        fail("tested nothing");
}

static bool all_acked(void)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        if (client[i].acked != client[i].sent || !client[i].connected)
            return false;
    return true;
}

int main(void)
{
    const char *set = getenv("ROOMCAST_STRESS");
    struct rc_conf_errors e = {.n = 0};
    struct rc_conf conf;
    struct rc_app *app = NULL;
    uint64_t before;
    unsigned calm = 0;

    (void)alarm(LIMIT_S * 3); /* a hang ends, too */
    total = set != NULL ? (uint32_t)strtoul(set, NULL, 10) : EVENTS;
    message = rc_calloc(total + OBSERVERS * ROOMS, sizeof(*message));
    total += OBSERVERS * ROOMS;
    atomic_store(&rc_log_threshold, -1);
    if (rc_hash_init() == RC_OK &&
        rc_conf_load_text(&conf, "/s.ini", rc_str_of(ini), NULL, 0, &e) == RC_OK)
        app = rc_app_new(&conf, "/nowhere", &e);
    mesh = rc_mesh_new(SHARDS, conf.server_ring_slots);
    if (app == NULL || mesh == NULL)
        fail("%.*s", RC_STR_ARG(rc_buf_str(&e.text)));
    for (unsigned i = 0; i < SHARDS; i++)
        shard[i] = rc_shard_new(i, app, mesh, CLIENTS * 4);
    for (unsigned i = 0; i < SHARDS; i++)
        if (shard[i] == NULL || rc_shard_start(shard[i]) != RC_OK)
            fail("shard %u cannot be started", i);
    for (unsigned i = 0; i < CLIENTS; i++)
        be_born(i);
    while (client[0].acked < ROOMS || client[1].acked < ROOMS) /* before anybody else speaks */
        for (unsigned i = 0; i < OBSERVERS; i++) {
            receive(&client[i]);
            act(i);
            flush(&client[i]);
        }
    while (nmessages < total)
        round_of_all(true);
    while (!all_acked() || calm < 300) { /* and no message for a while */
        before = deliveries;
        round_of_all(false);
        calm = deliveries == before ? calm + 1 : 0;
    }
    for (uint16_t l = 0; l < nlives; l++)
        check_life(l);
    wind_up();
    for (unsigned i = 0; i < SHARDS; i++)
        rc_shard_free(shard[i]);
    rc_mesh_free(mesh);
    rc_app_free(app);
    rc_conf_free(&conf);
    for (unsigned i = 0; i < CLIENTS; i++) {
        rc_buf_deinit(&client[i].in);
        rc_buf_deinit(&client[i].out);
    }
    for (unsigned l = 0; l < nlives; l++)
        free(life[l].seen);
    free(message);
    return 0;
}

/*
 * shard.c - whole shards on the simulated kernel: accept, join, fan-out, echo, the hop between
 * two shards; and a million connections in one process.
 */
#include "micro.h"
#include "sim.h"

#include "rc/base/hash.h"
#include "rc/base/log.h"
#include "rc/base/mem.h"
#include "rc/broker/app.h"
#include "rc/broker/mesh.h"
#include "rc/broker/shard.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SHARDS_MAX = 2, BATCH = 100, MEMBERS = 1000 };

static const char ini[] =
    "[socketio]\nserve_client = no\nping_interval = 12h\n"
    "connect_timeout = 12h\n"
    "[limits]\nmax_rooms = 16000000\n"
    "[event joinRoom]\njoin = {1}\n"
    "[event sendMessageToRoom]\nemit = room {1}: roomMessage \"[{1}] {2}\"\n"
    "[endpoint /echo]\nprotocol = echo\nping_interval = 12h\n";

static struct {
    struct rc_conf conf;
    struct rc_app *app;
    struct rc_mesh *mesh;
    struct rc_shard *shard[SHARDS_MAX];
    unsigned nshards;
    uint32_t opened; /* sockets, ever */
} w;

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench-micro: %s\n", what);
    exit(1);
}

static void world_open(unsigned nshards, uint32_t conns)
{
    struct rc_conf_errors e = {.n = 0};

    memset(&w, 0, sizeof(w));
    rc_blocks_keep(true); /* as a shard's thread does */
    sim_open(conns);
    must(rc_hash_init() == RC_OK, "rc_hash_init");
    atomic_store(&rc_log_threshold, -1);
    must(rc_conf_load_text(&w.conf, "micro.ini", rc_str_of(ini), NULL, 0, &e) == RC_OK,
         "the configuration");
    w.app = rc_app_new(&w.conf, "/nowhere", &e);
    w.nshards = nshards;
    w.mesh = rc_mesh_new(nshards, w.conf.server_ring_slots);
    must(w.app != NULL && w.mesh != NULL, "rc_app_new");
    for (unsigned i = 0; i < nshards; i++) {
        w.shard[i] = rc_shard_new(i, w.app, w.mesh, conns);
        must(w.shard[i] != NULL, "rc_shard_new");
    }
}

static void world_close(void)
{
    for (unsigned i = 0; i < w.nshards; i++)
        rc_shard_free(w.shard[i]);
    rc_mesh_free(w.mesh);
    rc_app_free(w.app);
    rc_conf_free(&w.conf);
    rc_blocks_keep(false);
    sim_close();
}

static void turn(unsigned shard)
{
    struct rc_shard *sh = w.shard[shard];

    rc_thread_enter("micro", sh);
    rc_assert_on_shard(sh);
    rc_shard_turn(sh);
}

/* Turns until all input has been read, then as many as the longest way needs: to the room's owner, to
 * its members, and back. */
static void settle(void)
{
    unsigned turns = 0;

    do {
        for (unsigned i = 0; i < w.nshards; i++)
            turn(i);
        must(turns++ < 1000, "a shard does not read");
    } while (sim_waiting() > 0);
    for (unsigned round = 1; w.nshards > 1 && round < 4; round++)
        for (unsigned i = 0; i < w.nshards; i++)
            turn(i);
}

/* ---- clients ---- */

/* A masked text frame at p; its length. */
static size_t put_frame(char *p, const char *text, size_t len)
{
    static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t *q = (uint8_t *)p;
    size_t n = rc_ws_header(q, RC_WS_TEXT, false, len);

    q[1] |= 0x80;
    memcpy(q + n, key, 4);
    n += 4;
    for (size_t i = 0; i < len; i++)
        q[n + i] = (uint8_t)text[i] ^ key[i & 3];
    return n + len;
}

__attribute__((format(printf, 2, 3))) static size_t put_text(char *p, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return put_frame(p, text, (size_t)n);
}

static const char *request(bool echo)
{
    return echo ? "GET /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: "
                  "Upgrade\r\n"
                  "Sec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                : "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n"
                  "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
}

/* Opens up to BATCH connections, in turn on all shards; the first one's number. */
static int open_some(unsigned n, bool echo)
{
    int first = SIM_FIRST + (int)w.opened;

    for (unsigned i = 0; i < n; i++) {
        struct rc_msg msg = {.type = RC_MSG_CONN};

        msg.u.conn.fd = first + (int)i;
        msg.u.conn.peer.family = AF_INET;
        rc_mesh_post(w.mesh, rc_mesh_acceptor(w.nshards), i % w.nshards, &msg);
        sim_input(first + (int)i, request(echo), strlen(request(echo)));
    }
    (void)rc_mesh_wake(w.mesh, rc_mesh_acceptor(w.nshards));
    w.opened += n;
    settle();
    return first;
}

/* The same, connected to "/" and in rooms of `members`. */
static void join_some(unsigned n, uint32_t members)
{
    static char hello[16], join[BATCH][64];
    uint64_t before = sim.writes;
    int first = open_some(n, false);
    size_t len = put_frame(hello, "40", 2);

    must(sim.writes - before >= n, "the handshake was not answered");
    for (unsigned i = 0; i < n; i++)
        sim_input(first + (int)i, hello, len);
    settle();
    before = sim.writes;
    for (unsigned i = 0; i < n; i++) {
        uint32_t room = ((uint32_t)first - SIM_FIRST + i) / members;

        len = put_text(join[i], "420[\"joinRoom\",\"r%u\"]", room);
        sim_input(first + (int)i, join[i], len);
    }
    settle();
    must(sim.writes - before == n, "joinRoom was not acknowledged");
}

static void join_all(uint32_t n, uint32_t members)
{
    while (n > 0) {
        unsigned some = n < BATCH ? n : BATCH;

        join_some(some, members);
        n -= some;
    }
    sim_pass(RC_SETTLED_S + 1); /* they are newcomers no more */
}

/* ---- accept and close ---- */

static void begin_accept(void)
{
    world_open(1, 4000000);
}

static void accept_some(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        join_some(BATCH, 10);
}

static void begin_leave(void)
{
    world_open(1, 100000);
    join_all(100000, 10);
    w.opened = 0; /* who leaves next */
}

static void leave_some(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t before = sim.closed;

        for (unsigned k = 0; k < BATCH; k++)
            sim_input(SIM_FIRST + (int)w.opened++, NULL, 0);
        settle();
        must(sim.closed - before == BATCH, "connections stayed open");
    }
}

static void idle_turns(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        turn(0);
}

/* ---- fan-out ---- */

static char message[20000];
static size_t message_len;

static void say(const char *room, size_t size)
{
    char text[17000];
    size_t n = (size_t)snprintf(text, sizeof(text), "42[\"sendMessageToRoom\",\"%s\",\"", room);

    memset(text + n, 'x', size);
    memcpy(text + n + size, "\"]", 2);
    message_len = put_frame(message, text, n + size + 2);
}

static void begin_room(uint32_t members, size_t size)
{
    world_open(1, members);
    join_all(members, members);
    say("r0", size);
}

static void begin_fanout(void)
{
    begin_room(MEMBERS, 64);
}

static void begin_big(void)
{
    begin_room(200, 16384);
}

/* n turns, in each of which one member sends `batch` messages at once. */
static void fanout(unsigned n, uint32_t members, unsigned batch)
{
    char *all = malloc(message_len * batch);

    must(all != NULL, "malloc");
    for (unsigned i = 0; i < batch; i++)
        memcpy(all + i * message_len, message, message_len);
    for (unsigned i = 0; i < n; i++) {
        uint64_t before = sim.writes;

        sim_input(SIM_FIRST + (int)(members / 2), all, message_len * batch);
        settle();
        must(sim.writes - before == members, "not one write for each member");
    }
    free(all);
}

static void fanout_1(unsigned n)
{
    fanout(n, MEMBERS, 1);
}

static void fanout_16(unsigned n)
{
    fanout(n, MEMBERS, 16);
}

static void fanout_big(unsigned n)
{
    fanout(n, 200, 1);
}

static void begin_rooms(void)
{
    world_open(1, MEMBERS);
    join_all(MEMBERS, 10);
}

/* One member of each of 100 rooms sends, all in one turn. */
static void fanout_rooms(unsigned n)
{
    static char text[MEMBERS / 10][160];
    static size_t len[MEMBERS / 10];

    for (unsigned r = 0; r < MEMBERS / 10; r++)
        len[r] = put_text(text[r], "42[\"sendMessageToRoom\",\"r%u\",\"%064d\"]", r, 0);
    for (unsigned i = 0; i < n; i++) {
        uint64_t before = sim.writes;

        for (unsigned r = 0; r < MEMBERS / 10; r++)
            sim_input(SIM_FIRST + (int)(r * 10 + 5), text[r], len[r]);
        settle();
        must(sim.writes - before == MEMBERS, "not one write for each member");
    }
}

static void begin_hop(void)
{
    world_open(2, MEMBERS);
    join_all(10, 10);
    say("r0", 64);
}

static void fanout_hop(unsigned n)
{
    fanout(n, 10, 1);
}

static void begin_echo(void)
{
    world_open(1, BATCH);
    (void)open_some(BATCH, true);
    message_len = put_text(message, "%064d", 0);
}

static void echo(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t before = sim.writes;

        for (unsigned k = 0; k < BATCH; k++)
            sim_input(SIM_FIRST + (int)k, message, message_len);
        settle();
        must(sim.writes - before == BATCH, "not every message came back");
    }
}

const struct micro_op micro_shard[] = {
    {"shard.idle-turn", "turn", 1, 1000, 100000, begin_fanout, idle_turns, world_close},
    {"shard.accept+join", "connection", BATCH, 20, 500, begin_accept, accept_some, world_close},
    {"shard.close", "connection", BATCH, 20, 100, begin_leave, leave_some, world_close},
    {"fanout.1x1000", "delivery", MEMBERS, 50, 2000, begin_fanout, fanout_1, world_close},
    {"fanout.1x1000.16-at-once", "delivery", MEMBERS * 16, 20, 500, begin_fanout, fanout_16,
     world_close},
    {"fanout.100x10", "delivery", MEMBERS, 50, 1000, begin_rooms, fanout_rooms, world_close},
    {"fanout.16KiBx200", "delivery", 200, 50, 2000, begin_big, fanout_big, world_close},
    {"fanout.1x10.two-shards", "delivery", 10, 300, 10000, begin_hop, fanout_hop, world_close},
    {"echo.100", "message", BATCH, 50, 1000, begin_echo, echo, world_close},
    {NULL, NULL, 0, 0, 0, NULL, NULL, NULL},
};

/* ---- a million ---- */

static uint64_t resident(void)
{
    unsigned long size = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    must(f != NULL && fscanf(f, "%lu %lu", &size, &pages) == 2, "/proc/self/statm");
    (void)fclose(f);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static double seconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* One message to each of `rooms` rooms of `members`, spread over all of them. */
static void tell_rooms(uint32_t n, uint32_t members, uint32_t rooms)
{
    struct sim_counts before = sim;
    uint32_t step = n / members / rooms;
    double from = seconds();

    for (uint32_t i = 0; i < rooms; i++) {
        uint32_t room = i * step;
        char text[160];
        size_t len = put_text(text, "42[\"sendMessageToRoom\",\"r%u\",\"%064d\"]", room, 0);

        sim_input(SIM_FIRST + (int)(room * members + members / 2), text, len);
        settle();
    }
    must(sim.writes - before.writes == (uint64_t)rooms * members, "not all was delivered");
    printf("%10u rooms of %u told once: %7.1f ns and %.4f allocations for each delivery\n",
           rooms, members, (seconds() - from) * 1e9 / rooms / members,
           (double)(sim.allocations - before.allocations) / rooms / members);
}

/* All of them in one more room, and one message to it. */
static void tell_all(uint32_t n)
{
    static char join[64];
    size_t len = put_text(join, "421[\"joinRoom\",\"everybody\"]");
    uint64_t rss = resident();
    struct sim_counts before;
    double from = seconds();

    for (uint32_t i = 0; i < n; i++) {
        sim_input(SIM_FIRST + (int)i, join, len);
        if (i % BATCH == BATCH - 1 || i == n - 1)
            settle();
    }
    printf("one more room for all: %.1f bytes and %.0f ns for each of them\n",
           (double)(resident() - rss) / n, (seconds() - from) * 1e9 / n);
    say("everybody", 64);
    for (unsigned k = 0; k < 3; k++) {
        before = sim;
        from = seconds();
        sim_input(SIM_FIRST + (int)(n / 2), message, message_len);
        settle();
        must(sim.writes - before.writes == n, "not all was delivered");
        printf("one message to all %u: %7.1f ns, %.6f allocations, %.6f copies for each "
               "delivery\n",
               n, (seconds() - from) * 1e9 / n,
               (double)(sim.allocations - before.allocations) / n,
               (double)(sim.payloads - before.payloads) / n);
    }
}

int micro_million(uint32_t n)
{
    uint64_t rss;
    double from;

    n -= n % MEMBERS;
    world_open(1, n);
    join_all(BATCH, 10); /* what is there once for all */
    rss = resident();
    from = seconds();
    join_all(n - BATCH, 10);
    printf("%u connections in rooms of 10: %.1f bytes and %.0f ns for each of them\n", n,
           (double)(resident() - rss) / (n - BATCH), (seconds() - from) * 1e9 / (n - BATCH));
    tell_rooms(n, 10, n / 100);
    tell_all(n);
    return 0;
}

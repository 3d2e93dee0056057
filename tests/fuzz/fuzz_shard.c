/*
 * Two whole shards without threads, driven by the input: it opens connections, writes what peers
 * might write (raw bytes, or well-formed requests, frames and packets with ids that were learned
 * from the answers), lets either shard take turns, lets timers run out, and hangs up. What they store
 * goes to a store that answers, or fails, when the input says so.
 *
 * Whatever happens to these peers, a well-behaved client beside them gets its answers, and when
 * all have gone nothing of them is left.
 */
#include "rc/base/hash.h"
#include "rc/base/log.h"
#include "rc/broker/shard.h"
#include "rc/net/ws.h"
#include "rc/proto/eio3.h"
#include "rc/proto/msgpack.h"
#include "shard_store.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(c) ((c) ? (void)0 : abort())

enum { SHARDS = 2, CONNS = 6, IDS = 4, ROUNDS_MAX = 3000 };

/* Tokens of HS256 with the secret below, which never expire. */
#define TOKEN(claims, signature) "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." claims "." signature
#define ANN                      TOKEN("eyJzdWIiOiJhbm4ifQ", "rElYakT50DyBJITDRWeKwnRTnj3mrkK_BVgHQzuQHu0")
#define BOB                      TOKEN("eyJzdWIiOiJib2IifQ", "mSUTDc1vHa8zXv-vX8cZbGP6XYbltvz9UKYK3SpziL8")

static const char ini[] =
    "[server]\nring_slots = 64\n"
    "[socketio]\nmax_payload = 4KiB\ncors_origin = *\nper_message_deflate = yes\nallow_eio3 = "
    "yes\n"
    "deflate_threshold = 0\ndeflate_no_context_takeover = no\nhttp_compression_threshold = 64\n"
    "[limits]\nmax_head_size = 1KiB\nmax_target_size = 512\nmax_rooms_per_socket = 3\n"
    "max_sockets = 2\nmax_queue = 64KiB\nmax_attachments = 3\nmax_asks = 2\nmax_namespaces = "
    "3\n"
    "[event join]\njoin = {1}\n"
    "[event leave]\nleave = {1}\n"
    "[event say]\nemit = room {1}: msg {2..}\n"
    "[event others]\nrequire = member {1}\nemit = room {1} except sender: msg {2}\n"
    "[event two]\nemit = room {1}: msg {3}\nemit = room {2}: msg {3}\nack = {3}\n"
    "[event all]\nemit = all: msg {args}\n"
    "[event to]\nemit = socket {1}: msg {2..}\n"
    "[event me]\nemit = sender: msg {args}\n"
    "[event ask]\nask = room {1} within 1s: question {2..}\n"
    "[event askone]\nask = socket {1} within 1s: question {2..}\n"
    "[event move]\nleave = {1}\njoin = {2}\nemit = room {2}: msg {auth.name} {id} {room}\n"
    "[event enter]\njoin = rooms {1}\n[event exit]\nleave = rooms {1}\n"
    "[event union]\nemit = rooms {1}, room r2 except rooms {2?}, sender: msg {3..}\n"
    "emit = room r1: msg {room}\n"
    "[event flash]\nemit = volatile rooms {1}, socket {2} except room r3: msg {3..}\n"
    "[event askall]\nask = rooms [\"r1\",\"r2\",\"r3\"], room {1} within 1s: question {2..}\n"
    "[event watch]\nwatch = rooms\n[event unwatch]\nunwatch = rooms\n"
    "[event bye]\ndisconnect = connection\n[event part]\ndisconnect = namespace\n"
    "[event *]\nemit = sender: {event} {args}\n"
    "[connect /b]\njoin = {auth.room}\njoin = b2\nemit = room b2: hello {id}\n"
    "[event /b say]\nemit = all except sender: msg {args}\n"
    "[connect /d-*]\nrequire = same x{auth.no} x else {nsp} {auth.no}\njoin = r1\n"
    "emit = all: hello {nsp} {id}\n"
    "[event /d-* join]\njoin = {1}\n[event /d-* leave]\nleave = {1}\n"
    "[event /d-* all]\nemit = all except sender: msg {nsp} {1}\n"
    "[event /d-* union]\nemit = rooms {1}, room r2 except room r3: msg {nsp} {2..}\n"
    "[event /d-* to]\nask = socket {1} within 1s: question {2..}\n"
    "[event /d-* watch]\nwatch = rooms\n[event /d-* part]\ndisconnect = namespace\n"
    "[auth]\nmode = optional\nsecret = 0123456789abcdef0123456789abcdef\n"
    "[store]\nengine = sqlite\npath = /nowhere/x.db\n"
    "[room h*]\njoin = group\npublish = group\npresence = yes\npresence_hold = 1s\n"
    "[event keep]\nstore = room {1}: kept {message.id} {2}\n"
    "[event once]\nrequire = group h1\nstore = room {1} once {2}: kept {2}\n"
    "emit = room r1: msg {message.id}\n"
    "[event later]\nstore = later room {1} except sender: kept {2}\n"
    "[event message]\nmessage = {1}\n"
    "[event past]\njoin = {1}\nhistory = room {1} {2?}\n"
    "[event talk]\nhistory = conversation {1}\n"
    "[event talks]\nhistory = conversations {1?}\n"
    "[event create]\ngroup = create {1}\n"
    "[event invite]\ngroup = add {1} {2}\ngroup = remove {1} x\n"
    "[event members]\ngroup = list {1}\n"
    "[event here]\npresence = room {1}\n"
    "[endpoint /echo]\nprotocol = echo\nprefix = :\n"
    "[endpoint /relay]\nprotocol = relay\nmax_payload = 1KiB\n"
    "[endpoint /json]\nprotocol = json\nuntyped = msg\nper_message_deflate = yes\n"
    "[endpoint /auth]\nprotocol = json\nnamespace = /b\n"; /* which reads {auth.room} */

/* ---- the input ---- */

struct input {
    const uint8_t *p;
    size_t n;
};

static unsigned take(struct input *in, unsigned below)
{
    if (in->n == 0)
        return 0;
    in->n--;
    return *in->p++ % below;
}

static struct rc_str take_bytes(struct input *in)
{
    size_t len = take(in, 256);
    struct rc_str s;

    if (len >= 250) /* and now and then a longer piece */
        len *= 20;
    len = len < in->n ? len : in->n;
    s = rc_str_make(in->p, len);
    in->p += len;
    in->n -= len;
    return s;
}

/* ---- the world ---- */

struct peer {
    int fd; /* -1: none */
    struct rc_buf in;
};

static struct rc_conf conf;
static struct rc_app *app;

static struct {
    struct rc_mesh *mesh;
    struct rc_shard *shard[SHARDS];
    struct peer peer[CONNS], good; /* good: behaves well */
    char sid[IDS][24], socket[IDS][24];
    unsigned nsids, nsockets;
    bool stopped;
} w;

static void turn(unsigned i)
{
    struct rc_shard *sh = w.shard[i];

    rc_thread_enter("fuzz", sh);
    rc_assert_on_shard(sh);
    rc_shard_turn(sh);
}

static bool is_busy(unsigned i)
{
    const struct rc_shard *sh = w.shard[i];
    const struct rc_conn *c;
    uint32_t cursor = 0;

    for (unsigned from = 0; from <= rc_mesh_store(SHARDS); from++)
        for (int k = RC_MESH_RESULTS; k <= RC_MESH_REQUESTS; k++)
            if (rc_mesh_posted(w.mesh, from, i, (enum rc_mesh_class)k) !=
                rc_mesh_done(w.mesh, from, i, (enum rc_mesh_class)k))
                return true;
    /* Of those that are aside a turn may have served but one. */
    while ((c = rc_pool_next(&sh->loop.conns, &cursor)) != NULL) {
        struct pollfd it = {.fd = c->fd,
                            .events = (short)((c->reading ? POLLIN | POLLRDHUP : 0) |
                                              (c->writing ? POLLOUT : 0))};

        if (it.events != 0 && poll(&it, 1, 0) > 0)
            return true;
    }
    return sh->loop.ready.n != 0;
}

static void settle(void)
{
    unsigned calm = 0;

    for (unsigned round = 0; calm < 2; round++) {
        CHECK(round < ROUNDS_MAX); /* they never come to rest */
        calm++;
        (void)rc_mesh_wake(w.mesh, rc_mesh_acceptor(SHARDS)); /* what its ring did not take */
        (void)rc_mesh_wake(w.mesh, rc_mesh_store(SHARDS));
        for (unsigned i = 0; i < SHARDS; i++) {
            turn(i);
            if (rc_mesh_spilling(w.mesh, i))
                (void)usleep(100);
        }
        for (unsigned i = 0; i < SHARDS; i++)
            calm = is_busy(i) ? 0 : calm;
    }
}

static void open_peer(struct peer *p, unsigned shard)
{
    struct rc_msg msg = {.type = RC_MSG_CONN};
    int fd[2];

    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) == 0);
    p->fd = fd[1];
    msg.u.conn.fd = fd[0];
    rc_mesh_post(w.mesh, rc_mesh_acceptor(SHARDS), shard, &msg);
    (void)rc_mesh_wake(w.mesh, rc_mesh_acceptor(SHARDS));
}

static void hang_up(struct peer *p)
{
    if (p->fd >= 0)
        (void)close(p->fd);
    p->fd = -1;
    rc_buf_deinit(&p->in);
}

static void send_bytes(const struct peer *p, const void *bytes, size_t n)
{
    if (p->fd >= 0 && n != 0)
        (void)!send(p->fd, bytes, n, MSG_NOSIGNAL);
}

static void send_frame(const struct peer *p, uint8_t opcode, struct rc_str s, bool fin)
{
    struct rc_buf b = RC_BUF_INIT;
    uint8_t head[RC_WS_HEADER_MAX];
    size_t n = rc_ws_header(head, RC_WS_TEXT, false, s.len);

    head[0] = (uint8_t)(opcode | (fin ? 0x80 : 0));
    head[1] |= 0x80;
    rc_buf_put(&b, head, n);
    rc_buf_put(&b, "\0\0\0", 4); /* a mask of zeros */
    rc_buf_puts(&b, s);
    send_bytes(p, b.data, b.len);
    rc_buf_deinit(&b);
}

/* Remembers ids that an answer names: 20 characters behind "sid":". */
static void learn(const struct rc_buf *b)
{
    const char *at = (const char *)b->data, *end = at + b->len;

    while ((at = memmem(at, (size_t)(end - at), "\"sid\":\"", 7)) != NULL && end - at >= 27) {
        bool socket = at >= (const char *)b->data + 3 && at[-3] == '4';
        char *to = socket ? w.socket[w.nsockets++ % IDS] : w.sid[w.nsids++ % IDS];

        memcpy(to, at + 7, 20);
        at += 27;
    }
}

static void read_peer(struct peer *p)
{
    ssize_t n;

    rc_buf_reset(&p->in);
    while (p->fd >= 0) {
        uint8_t *to = rc_buf_reserve(&p->in, 65536);

        n = read(p->fd, to, 65536);
        if (n <= 0)
            break;
        p->in.len += (size_t)n;
    }
    if (p->in.len != 0)
        learn(&p->in);
}

/* ---- what peers say ---- */

/* A text with %s for one of the rooms, or for an id. */
static const char *const packets[] = {
    "40",
    "40/b,{\"room\":\"%s\"}",
    "41",
    "41/b,",
    "421[\"join\",\"%s\"]",
    "422[\"leave\",\"%s\"]",
    "423[\"say\",\"%s\",1,{\"a\":[null]}]",
    "42[\"others\",\"%s\",2]",
    "424[\"two\",\"r1\",\"%s\",3]",
    "42[\"all\",\"%s\"]",
    "425[\"to\",\"%s\",4]",
    "42[\"me\",5]",
    "426[\"ask\",\"%s\",6]",
    "427[\"askone\",\"%s\",7]",
    "428[\"move\",\"r1\",\"%s\"]",
    "42[\"watch\"]",
    "42[\"unwatch\"]",
    "42[\"bye\"]",
    "42[\"part\"]",
    "42/b,[\"say\",\"%s\"]",
    "451-[\"say\",\"%s\",{\"_placeholder\":true,\"num\":0}]",
    "452-9[\"me\",{\"_placeholder\":true,\"num\":1},{\"_placeholder\":true,\"num\":0}]",
    "439[1]",
    "42[\"nothing\",\"%s\"]",
    "2probe",
    "5",
    "3",
    "1",
    "6",
    "42[\"enter\",[\"r1\",\"r2\",\"%s\"]]",
    "429[\"exit\",[\"%s\",\"r3\"]]",
    "427[\"union\",[\"r1\",\"%s\"]]",
    "426[\"union\",[\"r3\",\"r4\",\"r1\"],[\"%s\"],1]",
    "451-[\"flash\",[\"r1\",\"r4\"],\"%s\",{\"_placeholder\":true,\"num\":0}]",
    "425[\"askall\",\"%s\",6]",
    "40/d-%s,",
    "40/d-r1,{\"no\":\"%s\"}",
    "41/d-%s,",
    "42/d-r1,7[\"join\",\"%s\"]",
    "42/d-r2,[\"leave\",\"%s\"]",
    "42/d-r1,[\"all\",\"%s\"]",
    "42/d-r2,[\"union\",[\"r1\",\"%s\"],1]",
    "42/d-r1,8[\"to\",\"%s\",1]",
    "42/d-r1,[\"watch\"]",
    "42/d-%s,[\"part\"]",
    "40{\"token\":\"" ANN "\"}",
    "40{\"token\":\"" BOB "\"}",
    "40/b,{\"room\":\"h1\",\"token\":\"" BOB "\"}",
    "425[\"keep\",\"%s\",1]",
    "42[\"keep\",\"r2\",\"%s\"]",
    "426[\"once\",\"r1\",\"%s\"]",
    "42[\"later\",\"%s\",1]",
    "427[\"message\",{\"conversationType\":\"private\",\"receiverId\":\"ann\",\"content\":\"%"
    "s\"}]",
    "42[\"message\",{\"conversationType\":\"private\",\"receiverId\":\"bob\",\"content\":1}]",
    "428[\"message\",{\"conversationType\":\"group\",\"receiverId\":\"h1\",\"content\":[],"
    "\"clientId\":\"%s\"}]",
    "429[\"past\",\"%s\"]",
    "424[\"past\",\"r1\",{\"before\":3,\"limit\":2}]",
    "427[\"join\",\"hx\"]",
    "425[\"talk\",{\"type\":\"group\",\"with\":\"h1\",\"after\":1}]",
    "426[\"talks\"]",
    "427[\"create\",\"%s\"]",
    "428[\"invite\",\"h1\",\"%s\"]",
    "429[\"members\",\"%s\"]",
    "421[\"join\",\"h1\"]",
    "42[\"leave\",\"h1\"]",
    "422[\"here\",\"h1\"]",
};

/* One of the texts, filled in, or bytes of the input. Static memory. */
static struct rc_str take_packet(struct input *in)
{
    /* The id of a session is of Engine.IO 3 that of its socket. */
    const char *const rooms[] = {"r1", "r2", "r3", "r4", "b2", "\\u0001rooms", "", w.sid[0]};
    static char text[256];
    unsigned what = take(in, sizeof(packets) / sizeof(packets[0]) + 4);
    const char *fill;
    int n;

    if (what >= sizeof(packets) / sizeof(packets[0]))
        return take_bytes(in);
    fill = take(in, 3) == 0 ? w.socket[take(in, IDS)] : rooms[take(in, 8)];
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#endif
    n = snprintf(text, sizeof(text), packets[what], fill);
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
    return rc_str_make(text, (size_t)n);
}

/* A request with a learned sid, none, or a wrong one; now and then of Engine.IO 3. */
static void send_request(struct input *in, const struct peer *p, const char *method,
                         const char *transport, const char *extra, struct rc_str body)
{
    struct rc_buf b = RC_BUF_INIT;
    unsigned id = take(in, IDS + 1), how;

    rc_buf_printf(&b, "%s /socket.io/?transport=%s", method, transport);
    if (id < IDS && w.sid[id][0] != '\0')
        rc_buf_printf(&b, "&sid=%s", w.sid[id]);
    how = take(in, 8);
    rc_buf_printf(&b, "&EIO=%d%s%s HTTP/1.1\r\nHost: x\r\n%s", how < 4 ? 4 : 3,
                  how % 4 == 1 ? "&j=0" : "", how % 2 == 1 ? "&b64=1" : "", extra);
    if (body.p != NULL)
        rc_buf_printf(&b, "Content-Length: %zu\r\n", body.len);
    rc_buf_putz(&b, "\r\n");
    rc_buf_puts(&b, body);
    send_bytes(p, b.data, b.len);
    rc_buf_deinit(&b);
}

/* kind: 2 is a text payload of Engine.IO 3, 3 a binary one, others are of 4. */
static void put_packet(struct rc_buf *b, unsigned kind, struct rc_str packet, bool more)
{
    struct rc_eio_packet p = {.type = RC_EIO_MESSAGE, .binary = packet.len % 2 != 0};

    if (packet.len == 0)
        return;
    p.data = p.binary ? packet : rc_str_skip(packet, 1);
    if (kind == 2)
        rc_eio3_text_put(b, &p);
    else if (kind == 3)
        rc_eio3_binary_put(b, &p);
    else
        rc_buf_puts(b, packet);
    if (kind < 2 && more)
        rc_buf_putc(b, 0x1e);
}

static void send_post(struct input *in, const struct peer *p)
{
    struct rc_buf b = RC_BUF_INIT;
    static const char *const extra[] = {"", "Expect: 100-continue\r\n", "",
                                        "Content-Type: application/octet-stream\r\n"};
    unsigned n = take(in, 12), kind = n / 3;

    for (n = n % 3 + 1; n > 0; n--)
        put_packet(&b, kind, take_packet(in), n > 1);
    if (b.data == NULL)
        rc_buf_putc(&b, '6');
    send_request(in, p, "POST", "polling", extra[(kind & 2) | take(in, 4) % 2], rc_buf_str(&b));
    rc_buf_deinit(&b);
}

#define WS_HEADERS                                                               \
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static void send_handshake(struct input *in, const struct peer *p)
{
    static const char *const deflate[] = {"", "Sec-WebSocket-Extensions: permessage-deflate",
                                          "; server_max_window_bits=9"};
    char extra[512];
    static const char *const paths[] = {"/echo", "/relay", NULL, NULL, "/json", "/auth"};
    const char *path = paths[take(in, sizeof(paths) / sizeof(paths[0]))];
    unsigned bits = take(in, 3);

    (void)snprintf(extra, sizeof(extra), WS_HEADERS "%s%s%s", bits != 0 ? deflate[1] : "",
                   bits == 2 ? deflate[2] : "", bits != 0 ? "\r\n" : "");
    if (path == NULL) {
        send_request(in, p, "GET", "websocket", extra, RC_STR_NONE);
        return;
    }
    send_bytes(p, "GET ", 4);
    send_bytes(p, path, strlen(path));
    send_bytes(p, " HTTP/1.1\r\nHost: x\r\n", 20);
    send_bytes(p, extra, strlen(extra));
    send_bytes(p, "\r\n", 2);
}

/* ---- time ---- */

/* The time of all that is due first in a queue has come: it is brought forward, for the clock of
 * the loop is the real one, and what is started anew must be due after it. */
static void expire(unsigned shard, struct rc_timerq *q)
{
    struct rc_shard *sh = w.shard[shard];
    uint64_t due = rc_timerq_next(q), now = sh->loop.now_ms;

    rc_thread_enter("fuzz", sh);
    if (due == UINT64_MAX || q == &sh->q_stop)
        return;
    for (struct rc_list *at = q->due.next; at != &q->due; at = at->next) {
        struct rc_timer *t = RC_CONTAINER(at, struct rc_timer, link);

        if (t->due_ms > due)
            break;
        if (t->due_ms > now)
            t->due_ms = now;
    }
    while (rc_timerq_expire(q, now))
        continue;
}

/* The store is at peace again, and answers what waits for it. */
static void settle_store(void)
{
    store.refuse = store.fail = RC_STORE_OK;
    for (unsigned n = 0; n < ROUNDS_MAX; n++) {
        settle();
        if (!store_run_one(n % SHARDS))
            return;
        while (store_run_one(n % SHARDS))
            ;
    }
    CHECK(false); /* they ask for ever */
}

/* As the input says: answers some, of that shard first, or begins to refuse or to fail. */
static void run_store(unsigned arg)
{
    static const enum rc_store_fault fault[] = {RC_STORE_OK, RC_STORE_DOWN, RC_STORE_BUSY,
                                                RC_STORE_FAILED, RC_STORE_UNKNOWN};

    switch (arg % 4) {
    case 0: store.refuse = fault[arg / 4 % 3]; break;
    case 1: store.fail = fault[arg / 4 % 5]; break;
    default:
        for (unsigned n = arg / 8 % 16 + 1; n > 0 && store_run_one(arg % SHARDS); n--)
            ;
        (void)rc_mesh_wake(w.mesh, rc_mesh_store(SHARDS));
    }
}

static void stop(void)
{
    struct rc_msg msg = {.type = RC_MSG_STOP};

    if (w.stopped)
        return;
    w.stopped = true;
    for (unsigned i = 0; i < SHARDS; i++)
        rc_mesh_post(w.mesh, rc_mesh_main(SHARDS), i, &msg);
    (void)rc_mesh_wake(w.mesh, rc_mesh_main(SHARDS));
}

/* ---- one step ---- */

enum op {
    OPEN,
    RAW,
    PACKET,
    BINARY,
    FRAGMENT,
    CONTROL,
    GET,
    POST,
    HANDSHAKE,
    TURN,
    SETTLE,
    READ,
    SHUT,
    HANG_UP,
    EXPIRE,
    STOP,
    STORE,
    OPS
};

/* A packet as a client of the msgpack parser sends it. */
static void send_packed(struct input *in, const struct peer *p)
{
    static const struct rc_str attachment[RC_SIO_ATTACHMENTS_MAX] = {{"one", 3}};
    struct rc_str text = rc_str_skip(take_packet(in), 1);
    struct rc_buf b = RC_BUF_INIT;
    struct rc_sio_head packet;

    if (rc_sio_split(text, &packet) == RC_OK &&
        rc_msgpack_encode(text, attachment, packet.attachments, &b) == RC_OK)
        send_frame(p, RC_WS_BINARY, rc_buf_str(&b), true);
    rc_buf_deinit(&b);
}

/* A packet as a client of a json endpoint sends it. */
static void send_json(struct input *in, const struct peer *p)
{
    const struct rc_sio_limits any = {
        .max_depth = 64, .max_args = 16, .max_nsp = 200, .max_event = 200};
    struct rc_str text = rc_str_skip(take_packet(in), 1);
    struct rc_buf b = RC_BUF_INIT;
    struct rc_sio_packet packet;
    const char *why;

    if (rc_sio_parse(text, &any, &packet, &why) != RC_OK)
        rc_buf_puts(&b, text);
    else if (packet.type == RC_SIO_EVENT)
        rc_buf_printf(&b, "{\"type\":%.*s,\"ack\":%llu,\"args\":[%.*s]}",
                      RC_STR_ARG(packet.event), (unsigned long long)packet.id,
                      RC_STR_ARG(packet.args_raw));
    else if (packet.type == RC_SIO_ACK)
        rc_buf_printf(&b, "{\"type\":\"answer\",\"ask\":%llu,\"args\":%.*s}",
                      (unsigned long long)packet.id, RC_STR_ARG(packet.data));
    else
        rc_buf_putz(&b, "{\"type\":\"auth\",\"room\":\"r1\",\"ack\":1}");
    send_frame(p, RC_WS_TEXT, rc_buf_str(&b), true);
    rc_buf_deinit(&b);
}

static void send_some_frame(struct input *in, const struct peer *p, enum op op)
{
    unsigned how = op == BINARY ? take(in, 4) : 0;

    if (op == PACKET)
        send_frame(p, RC_WS_TEXT, take_packet(in), true);
    else if (how == 2)
        send_packed(in, p);
    else if (how == 3)
        send_json(in, p);
    else if (op == BINARY)
        send_frame(p, (uint8_t)(RC_WS_BINARY | (how == 1 ? 0x40 : 0)), take_bytes(in), true);
    else if (op == CONTROL)
        send_frame(p, (uint8_t)(8 + take(in, 3)), take_bytes(in), true);
    else
        send_frame(p, (uint8_t)take(in, 3), take_packet(in), take(in, 2) != 0);
}

/* It is never late with its pong, which may wait behind other newcomers in a turn. */
static void good_pongs(void)
{
    int unread = 1;

    send_frame(&w.good, RC_WS_TEXT, RC_STR("3"), true);
    for (unsigned i = 0; i < ROUNDS_MAX && unread > 0; i++) {
        turn(0);
        if (ioctl(w.good.fd, SIOCOUTQ, &unread) != 0)
            return;
    }
}

static void step(struct input *in)
{
    enum op op = (enum op)take(in, OPS);
    unsigned arg = take(in, 255);
    struct peer *p = &w.peer[arg % CONNS];
    struct rc_str s;

    switch (op) {
    case OPEN:
        hang_up(p);
        open_peer(p, arg / CONNS % SHARDS);
        return;
    case RAW:
        s = take_bytes(in);
        send_bytes(p, s.p, s.len);
        return;
    case PACKET:
    case BINARY:
    case FRAGMENT:
    case CONTROL: send_some_frame(in, p, op); return;
    case GET:
        send_request(in, p, "GET", "polling",
                     take(in, 4) == 1 ? "Accept-Encoding: gzip\r\n" : "", RC_STR_NONE);
        return;
    case POST: send_post(in, p); return;
    case HANDSHAKE: send_handshake(in, p); return;
    case TURN: turn(arg % SHARDS); return;
    case SETTLE: settle(); return;
    case READ: read_peer(p); return;
    case SHUT:
        if (p->fd >= 0)
            (void)shutdown(p->fd, SHUT_WR);
        return;
    case HANG_UP: hang_up(p); return;
    case EXPIRE: {
        struct rc_loop *l = &w.shard[arg % SHARDS]->loop;

        good_pongs();
        expire(arg % SHARDS, l->timerq[arg / SHARDS % l->ntimerqs]);
        return;
    }
    case STOP:
        if (arg == 1) /* or most inputs would end early */
            stop();
        return;
    case STORE: run_store(arg); return;
    case OPS: return;
    }
}

/* ---- the good client ---- */

static bool good_got(const char *text)
{
    return memmem(w.good.in.data, w.good.in.len, text, strlen(text)) != NULL;
}

static void good_begins(void)
{
    static const char head[] =
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n" WS_HEADERS "\r\n";

    open_peer(&w.good, 0);
    send_bytes(&w.good, head, sizeof(head) - 1);
    settle();
    send_frame(&w.good, RC_WS_TEXT, RC_STR("40"), true);
    send_frame(&w.good, RC_WS_TEXT, RC_STR("421[\"join\",\"good\"]"), true);
    settle();
    read_peer(&w.good);
    CHECK(good_got("431[{\"ok\":true}]"));
}

/* It is still connected, in its room, and served. */
static void good_goes_on(void)
{
    settle_store();
    read_peer(&w.good);
    send_frame(&w.good, RC_WS_TEXT, RC_STR("3"), true);
    send_frame(&w.good, RC_WS_TEXT, RC_STR("422[\"say\",\"good\",\"still here\"]"), true);
    settle();
    read_peer(&w.good);
    CHECK(good_got("42[\"msg\",\"still here\"]"));
    CHECK(good_got("432[{\"ok\":true}]"));
    send_frame(&w.good, RC_WS_TEXT, RC_STR("423[\"keep\",\"good\",\"kept\"]"), true);
    settle_store();
    read_peer(&w.good);
    CHECK(good_got(",\"kept\"]"));
    CHECK(good_got("433[{\"ok\":true,\"id\":"));
}

/* ---- life ---- */

/* What never changes is made once. */
static void begin_process(void)
{
    struct rc_conf_errors e = {.n = 0};

    CHECK(rc_hash_init() == RC_OK);
    atomic_store(&rc_log_threshold, -1);
    CHECK(rc_conf_load_text(&conf, "/f.ini", rc_str_of(ini), NULL, 0, &e) == RC_OK);
    app = rc_app_new(&conf, "/nowhere", &e);
    CHECK(app != NULL);
}

static void begin(void)
{
    memset(&w, 0, sizeof(w));
    store_open();
    app->store = &store.port;
    w.mesh = rc_mesh_new(SHARDS, conf.server_ring_slots);
    CHECK(w.mesh != NULL);
    for (unsigned i = 0; i < SHARDS; i++) {
        w.shard[i] = rc_shard_new(i, app, w.mesh, 100);
        CHECK(w.shard[i] != NULL);
    }
    for (unsigned i = 0; i < CONNS; i++)
        w.peer[i].fd = -1;
    good_begins();
}

/* Timeouts end what its peer does not: closed sessions that wait to be told, lingering. */
static void let_time_pass(void)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        struct rc_shard *sh = w.shard[i];

        expire(i, &sh->q_ping);
        expire(i, &sh->q_pong);
        expire(i, &sh->q_client_ping);
        expire(i, &sh->q_join);
        expire(i, &sh->q_poll_close);
        expire(i, &sh->q_eof);
        expire(i, &sh->q_directory);
        expire(i, &sh->q_inbox_retry);
        expire(i, &sh->q_inbox_cursor);
        expire(i, &sh->q_inbox_page);
        expire(i, &sh->loop.q_linger);
        expire(i, &sh->loop.q_stall);
    }
    settle_store();
}

static void end(void)
{
    for (unsigned i = 0; i < CONNS; i++)
        hang_up(&w.peer[i]);
    hang_up(&w.good);
    settle_store();
    for (unsigned n = 0; n < 200 && w.shard[0]->sessions.used + w.shard[1]->sessions.used != 0;
         n++)
        let_time_pass();
    let_time_pass();
    for (unsigned i = 0; i < SHARDS; i++) {
        struct rc_shard *sh = w.shard[i];

        CHECK(sh->sessions.used == 0 && sh->sockets.used == 0 && sh->loop.conns.used == 0);
        CHECK(sh->lrooms.used == 0 && sh->lroom_by_name.n == 0 && sh->nspaces == 0);
        CHECK(sh->loop.nesting == 0);
        CHECK(rc_stat_get(&sh->stats.conns) == 0 && rc_stat_get(&sh->stats.sessions) == 0);
        CHECK(rc_stat_get(&sh->stats.sockets) == 0);
    }
    for (unsigned i = 0; i < SHARDS; i++)
        CHECK(w.shard[i]->room_by_name.n == 0 && w.shard[i]->space_by_name.n == 0);
    for (unsigned i = 0; i < SHARDS; i++)
        rc_shard_free(w.shard[i]);
    rc_mesh_free(w.mesh);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {.p = data, .n = size};

    if (app == NULL)
        begin_process();
    begin();
    while (in.n > 0)
        step(&in);
    if (!w.stopped)
        good_goes_on();
    end();
    return 0;
}

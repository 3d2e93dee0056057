#include "rig.h"

#include "rc/base/hash.h"
#include "rc/base/log.h"
#include "rc/broker/room.h"
#include "rc/net/ws.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

void rig_open(struct rig *r, unsigned nshards, const char *ini)
{
    struct rc_conf_errors e = {.n = 0};

    *r = (struct rig){.n = nshards};
    cr_assert_eq(rc_hash_init(), RC_OK);
    atomic_store(&rc_log_threshold, -1);
    if (rc_conf_load_text(&r->conf, "/t.ini", rc_str_of(ini), NULL, 0, &e) == RC_OK)
        r->app = rc_app_new(&r->conf, "/nowhere", &e);
    if (r->app == NULL)
        cr_assert_fail("%.*s", RC_STR_ARG(rc_buf_str(&e.text)));
    r->mesh = rc_mesh_new(nshards, r->conf.server_ring_slots);
    cr_assert_not_null(r->mesh);
    for (unsigned i = 0; i < nshards; i++) {
        r->shard[i] = rc_shard_new(i, r->app, r->mesh, RIG_CONNS);
        cr_assert_not_null(r->shard[i]);
    }
}

void rig_close(struct rig *r)
{
    for (unsigned i = 0; i < r->n; i++)
        rc_shard_free(r->shard[i]);
    rc_mesh_free(r->mesh);
    rc_app_free(r->app);
    rc_conf_free(&r->conf);
}

struct rc_shard *rig_enter(struct rig *r, unsigned shard)
{
    rc_thread_enter("test", r->shard[shard]);
    return r->shard[shard];
}

void rig_turn(struct rig *r, unsigned shard)
{
    struct rc_shard *sh = rig_enter(r, shard);

    rc_assert_on_shard(sh);
    rc_shard_turn(sh);
}

/* Does anything wait that this shard could take up, or get rid of? */
static bool busy(const struct rig *r, unsigned i)
{
    const struct rc_shard *sh = r->shard[i];
    uint32_t cursor = 0;
    const struct rc_conn *c;

    for (unsigned from = 0; from < rc_mesh_producers(r->n); from++)
        for (int class = RC_MESH_RESULTS; class <= RC_MESH_REQUESTS; class ++)
            if (rc_mesh_posted(r->mesh, from, i, (enum rc_mesh_class) class) !=
                rc_mesh_done(r->mesh, from, i, (enum rc_mesh_class) class))
                return true;
    /* Of those that are aside a turn may have served but one. */
    while ((c = rc_pool_next(&sh->loop.conns, &cursor)) != NULL) {
        struct pollfd it = {.fd = c->fd,
                            .events = (short)((c->reading ? POLLIN | POLLRDHUP : 0) |
                                              (c->writing ? POLLOUT : 0))};

        if (it.events != 0 && poll(&it, 1, 0) > 0)
            return true;
    }
    return sh->ring_paused.n != 0 || sh->loop.ready.n != 0;
}

void rig_settle(struct rig *r)
{
    unsigned rounds = 0;

    for (unsigned calm = 0; calm < 2; rounds++) {
        bool any = false;

        cr_assert_lt(rounds, 20000u, "the shards never come to rest");
        for (unsigned i = 0; i < r->n; i++) {
            rig_turn(r, i);
            if (rc_mesh_spilling(r->mesh, i))
                (void)usleep(200); /* retried by a timer */
        }
        (void)rc_mesh_wake(r->mesh, rc_mesh_acceptor(r->n));
        for (unsigned i = 0; i < r->n; i++)
            any = any || busy(r, i);
        calm = any ? 0 : calm + 1;
    }
}

const char *rig_room(const struct rig *r, unsigned owner, unsigned n)
{
    static char names[16][16];
    static unsigned next;
    char *name = names[next++ % 16];

    for (unsigned i = 0;; i++) {
        (void)snprintf(name, sizeof(names[0]), "r%u", i);
        if (rc_room_owner(r->shard[0], rc_room_hash(0, rc_str_of(name))) == owner && n-- == 0)
            return name;
    }
}

/* ---- clients ---- */

void rig_connect(struct rig *r, struct rig_client *c, unsigned shard)
{
    struct rc_msg msg = {.type = RC_MSG_CONN};
    int fd[2];

    *c = (struct rig_client){.rig = r, .shard = shard};
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    c->fd = fd[1];
    msg.u.conn.fd = fd[0];
    rc_mesh_post(r->mesh, rc_mesh_acceptor(r->n), shard, &msg);
    (void)rc_mesh_wake(r->mesh, rc_mesh_acceptor(r->n));
}

void rig_hang_up(struct rig_client *c)
{
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
    rc_buf_deinit(&c->in);
    rc_buf_deinit(&c->message);
}

void rig_write(struct rig_client *c, const void *p, size_t n)
{
    const char *at = p;
    unsigned tries = 0;

    while (n > 0) {
        ssize_t done = send(c->fd, at, n, MSG_NOSIGNAL);

        if (done < 0 && errno == EAGAIN) { /* it reads on when it may, and others may let it */
            cr_assert_lt(tries++, 10000u, "the shard does not read");
            for (unsigned i = 0; i < c->rig->n; i++)
                rig_turn(c->rig, i);
            continue;
        }
        cr_assert_gt(done, 0, "the shard has closed the connection");
        at += done;
        n -= (size_t)done;
    }
}

void rig_writez(struct rig_client *c, const char *text)
{
    rig_write(c, text, strlen(text));
}

/* Everything that is there; false when the shard has ended its side. */
static bool fill(struct rig_client *c)
{
    for (;;) {
        uint8_t *to = rc_buf_reserve(&c->in, 65536);
        ssize_t n = read(c->fd, to, 65536);

        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        c->in.len += (size_t)n;
    }
}

const char *rig_read(struct rig_client *c)
{
    (void)fill(c);
    rc_buf_putc(&c->in, '\0');
    rc_buf_reset(&c->message);
    rc_buf_puts(&c->message, rc_buf_str(&c->in));
    rc_buf_reset(&c->in);
    return (const char *)c->message.data;
}

bool rig_gone(struct rig_client *c)
{
    return !fill(c) && c->in.len == 0;
}

/* ---- WebSocket ---- */

void rig_websocket(struct rig *r, struct rig_client *c, unsigned shard, const char *target)
{
    struct rc_buf req = RC_BUF_INIT;
    const char *end;

    rig_connect(r, c, shard);
    rc_buf_printf(&req,
                  "GET %s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                  target);
    rig_write(c, req.data, req.len);
    rc_buf_deinit(&req);
    rig_settle(r);
    (void)fill(c);
    end = c->in.len != 0 ? memmem(c->in.data, c->in.len, "\r\n\r\n", 4) : NULL;
    cr_assert_not_null(end, "no answer to the handshake");
    cr_assert_eq(memcmp(c->in.data, "HTTP/1.1 101 ", 13), 0);
    rc_buf_consume(&c->in, (size_t)(end + 4 - (const char *)c->in.data));
}

void rig_frame(struct rig_client *c, uint8_t opcode, const void *p, size_t n)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    struct rc_buf out = RC_BUF_INIT;
    uint8_t head[RC_WS_HEADER_MAX];
    size_t h = rc_ws_header(head, (enum rc_ws_opcode)opcode, false, n);

    head[1] |= 0x80;
    rc_buf_put(&out, head, h);
    rc_buf_put(&out, mask, 4);
    for (size_t i = 0; i < n; i++)
        rc_buf_putc(&out, (char)(((const uint8_t *)p)[i] ^ mask[i % 4]));
    rig_write(c, out.data, out.len);
    rc_buf_deinit(&out);
}

void rig_say(struct rig_client *c, const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    cr_assert(n >= 0 && (size_t)n < sizeof(text));
    rig_frame(c, RC_WS_TEXT, text, (size_t)n);
}

/* The bytes of the frame's header, when it is there and so is its payload; else 0. */
static size_t whole_frame(const struct rc_buf *b, size_t *len)
{
    const uint8_t *p = b->data;
    size_t head = 2;

    if (b->len < 2)
        return 0;
    *len = p[1] & 0x7f;
    if (*len >= 126)
        head = *len == 126 ? 4 : 10;
    if (b->len < head)
        return 0;
    if (head != 2)
        *len = 0;
    for (size_t i = 2; i < head; i++)
        *len = *len << 8 | p[i];
    return b->len >= head + *len ? head : 0;
}

/* Does something wait for a client of this shard to read? */
static bool is_writing(const struct rc_shard *sh)
{
    uint32_t cursor = 0;
    const struct rc_conn *c;

    while ((c = rc_pool_next(&sh->loop.conns, &cursor)) != NULL)
        if (c->writing)
            return true;
    return false;
}

bool rig_hear(struct rig_client *c)
{
    size_t head, len = 0;

    (void)fill(c);
    while ((head = whole_frame(&c->in, &len)) == 0) {
        size_t before = c->in.len;

        if (!is_writing(c->rig->shard[c->shard]))
            return false;
        rig_turn(c->rig, c->shard); /* we have made room */
        (void)fill(c);
        if (c->in.len == before)
            return false;
    }
    cr_assert_eq(c->in.data[0] & 0xf0, 0x80); /* whole messages, nothing reserved */
    cr_assert_eq(c->in.data[1] & 0x80, 0);    /* servers do not mask */
    c->opcode = c->in.data[0] & 0xf;
    rc_buf_reset(&c->message);
    rc_buf_put(&c->message, c->in.data + head, len);
    rc_buf_putc(&c->message, '\0');
    c->message.len--;
    rc_buf_consume(&c->in, head + len);
    return true;
}

void rig_expect(struct rig_client *c, const char *fmt, ...)
{
    char text[4096];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (!rig_hear(c))
        cr_assert_fail("silence instead of %s", text);
    cr_assert_eq(c->opcode, RC_WS_TEXT);
    cr_assert_str_eq((const char *)c->message.data, text);
}

void rig_expect_silence(struct rig_client *c)
{
    if (rig_hear(c))
        cr_assert_fail("opcode %u: %s instead of silence", c->opcode,
                       (const char *)c->message.data);
}

void rig_socketio(struct rig *r, struct rig_client *c, unsigned shard)
{
    const char *at, *end;

    rig_websocket(r, c, shard, "/socket.io/?EIO=4&transport=websocket");
    cr_assert(rig_hear(c));
    cr_assert_eq(c->message.data[0], '0');
    rig_say(c, "40");
    rig_settle(r);
    cr_assert(rig_hear(c), "no answer to CONNECT");
    at = strstr((const char *)c->message.data, "40{\"sid\":\"");
    cr_assert_eq(at, (const char *)c->message.data);
    end = strchr(at + 10, '"');
    cr_assert(end != NULL && end - at - 10 < (ptrdiff_t)sizeof(c->id));
    memcpy(c->id, at + 10, (size_t)(end - at - 10));
}

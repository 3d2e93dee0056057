/*
 * poll.c - the floor of HTTP long-polling: knows the few requests of bench/load and nothing else.
 *
 * A message is put into one answer at the end of the turn, and that very answer goes to all members
 * who wait; it is kept for those whose next request is still on its way.
 */
#include "floor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEPARATOR  '\x1e'
#define MAX_ROOMS  20000u
#define TEXT_BEGIN "42[\"sendMessageToRoom\",\"r"
#define JOIN_BEGIN "420[\"joinRoom\",\"r"

struct session {
    int fd; /* that waits for an answer, or -1 */
    char *kept;
    size_t len, cap;
};

struct poll_room {
    uint32_t *members; /* sessions */
    size_t count, cap;
    char *turn; /* packets of this turn */
    size_t len, turn_cap;
};

static struct session *sessions;
static size_t nsessions, sessions_cap;
static struct poll_room *rooms;
static uint32_t dirty[MAX_ROOMS], ndirty;
static char *answer;
static size_t answer_cap;

/* Head and body in one piece; its length. */
static size_t build(const char *body, size_t len)
{
    int head;

    answer = floor_grow(answer, &answer_cap, len + 200);
    head = snprintf(answer, 200,
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\n"
                    "Content-Length: %zu\r\n\r\n",
                    len);
    memcpy(answer + head, body, len);
    return (size_t)head + len;
}

static void reply(struct floor *f, int fd, const char *body, size_t len)
{
    len = build(body, len);
    floor_out_send(f, fd, answer, len);
}

static void append(char **to, size_t *len, size_t *cap, const char *p, size_t n)
{
    *to = floor_grow(*to, cap, *len + n + 1);
    if (*len > 0)
        (*to)[(*len)++] = SEPARATOR;
    memcpy(*to + *len, p, n);
    *len += n;
}

/* To one session: at once when it waits, else with its next request. */
static void tell(struct floor *f, struct session *s, const char *p, size_t n)
{
    append(&s->kept, &s->len, &s->cap, p, n);
    if (s->fd < 0)
        return;
    reply(f, s->fd, s->kept, s->len);
    s->fd = -1;
    s->len = 0;
}

static void open_session(struct floor *f, int fd)
{
    size_t bytes = sessions_cap;
    char body[128];
    int n;

    sessions = floor_grow(sessions, &bytes, (nsessions + 1) * sizeof(*sessions));
    sessions_cap = bytes;
    sessions[nsessions] = (struct session){.fd = -1};
    n = snprintf(
        body, sizeof(body),
        "0{\"sid\":\"%zu\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,"
        "\"maxPayload\":1000000}",
        nsessions++);
    reply(f, fd, body, (size_t)n);
}

static struct poll_room *room_of(const char *digits, char **end)
{
    return &rooms[strtoul(digits, end, 10) % MAX_ROOMS];
}

static void join(uint32_t session, const char *digits)
{
    char *end;
    struct poll_room *r = room_of(digits, &end);
    size_t bytes = r->cap;

    r->members = floor_grow(r->members, &bytes, (r->count + 1) * sizeof(*r->members));
    r->cap = bytes;
    r->members[r->count++] = session;
}

/* digits: the room's number, ","; the text; and what ends the packet. */
static void publish(const char *digits, const char *packet_end)
{
    static const char begin[] = "42[\"roomMessage\",\"[r";
    char *end;
    struct poll_room *r = room_of(digits, &end);
    size_t name = (size_t)(end - digits), text = (size_t)(packet_end - end) - 3;
    char *to;

    if (r->len == 0)
        dirty[ndirty++] = (uint32_t)(r - rooms);
    r->turn = floor_grow(r->turn, &r->turn_cap, r->len + sizeof(begin) + name + text + 4);
    if (r->len > 0)
        r->turn[r->len++] = SEPARATOR;
    to = r->turn + r->len;
    to = mempcpy(to, begin, sizeof(begin) - 1);
    to = mempcpy(to, digits, name);
    to = mempcpy(to, "] ", 2);
    to = mempcpy(to, end + 3, text);
    r->len = (size_t)(to - r->turn);
}

static void packet(struct floor *f, uint32_t session, const char *p, size_t n)
{
    static const char ack[] = "430[{\"ok\":true}]", hello[] = "40{\"sid\":\"x\"}";

    if (n > sizeof(TEXT_BEGIN) + 4 && memcmp(p, TEXT_BEGIN, sizeof(TEXT_BEGIN) - 1) == 0) {
        publish(p + sizeof(TEXT_BEGIN) - 1, p + n);
    } else if (n > sizeof(JOIN_BEGIN) && memcmp(p, JOIN_BEGIN, sizeof(JOIN_BEGIN) - 1) == 0) {
        join(session, p + sizeof(JOIN_BEGIN) - 1);
        tell(f, &sessions[session], ack, sizeof(ack) - 1);
    } else if (n == 2) {
        tell(f, &sessions[session], hello, sizeof(hello) - 1);
    }
}

static void post(struct floor *f, int fd, uint32_t session, const char *p, size_t n)
{
    const char *end;

    while (n > 0) {
        end = memchr(p, SEPARATOR, n);
        end = end != NULL ? end : p + n;
        packet(f, session, p, (size_t)(end - p));
        n -= (size_t)(end - p);
        p = end;
        if (n > 0) {
            p++;
            n--;
        }
    }
    reply(f, fd, "ok", 2);
}

static void get(struct floor *f, int fd, uint32_t session)
{
    struct session *s = &sessions[session];

    s->fd = fd;
    f->conns[fd].place = session;
    if (s->len > 0) {
        reply(f, fd, s->kept, s->len);
        s->fd = -1;
        s->len = 0;
    }
}

bool floor_poll_is(const char *p, size_t len)
{
    static const char begin[] = "GET /socket.io/?EIO=4&transport=polling";

    return (len > 5 && memcmp(p, "POST ", 5) == 0) ||
           (len > sizeof(begin) && memcmp(p, begin, sizeof(begin) - 1) == 0);
}

size_t floor_poll_input(struct floor *f, int fd, const char *p, size_t len)
{
    size_t used = 0, body, head;
    const char *at, *end, *sid;

    while ((at = p + used, end = memmem(at, len - used, "\r\n\r\n", 4)) != NULL) {
        const char *length = memmem(at, (size_t)(end - at), "Content-Length: ", 16);

        body = length != NULL ? strtoul(length + 16, NULL, 10) : 0;
        head = (size_t)(end - at) + 4;
        if (len - used - head < body)
            break;
        sid = memmem(at, head, "&sid=", 5);
        used += head + body;
        if (sid == NULL)
            open_session(f, fd);
        else if (strtoul(sid + 5, NULL, 10) >= nsessions)
            continue;
        else if (*at == 'P')
            post(f, fd, (uint32_t)strtoul(sid + 5, NULL, 10), end + 4, body);
        else
            get(f, fd, (uint32_t)strtoul(sid + 5, NULL, 10));
    }
    return used;
}

static void flush_room(struct floor *f, struct poll_room *r)
{
    size_t len = build(r->turn, r->len);

    for (size_t i = 0; i < r->count; i++) {
        struct session *s = &sessions[r->members[i]];

        if (s->fd < 0 || s->len > 0) {
            append(&s->kept, &s->len, &s->cap, r->turn, r->len);
            continue;
        }
        floor_out_send(f, s->fd, answer, len);
        s->fd = -1;
    }
    r->len = 0;
}

void floor_poll_flush(struct floor *f)
{
    for (uint32_t i = 0; i < ndirty; i++)
        flush_room(f, &rooms[dirty[i]]);
    ndirty = 0;
}

void floor_poll_gone(const struct floor *f, int fd)
{
    uint32_t session = f->conns[fd].place;

    if (session < nsessions && sessions[session].fd == fd)
        sessions[session].fd = -1;
}

void floor_poll_init(void)
{
    rooms = calloc(MAX_ROOMS, sizeof(*rooms));
    if (rooms == NULL)
        abort();
}

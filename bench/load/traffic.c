/*
 * traffic.c - messages going out, and the books on what comes in.
 *
 * A sender's frame is built once, masked; a message is a copy of it with a new stamp.
 */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SEEN (1u << 26)

void load_stamp_write(char *p, const struct load_stamp *s)
{
    char buf[LOAD_STAMP_LEN + 30];

    snprintf(buf, sizeof(buf), "%08u:%08u:%016llu:", s->sender % 100000000u,
             s->seq % 100000000u, (unsigned long long)s->ns % 10000000000000000u);
    memcpy(p, buf, LOAD_STAMP_LEN);
}

/* Text before and after the message, as this protocol's client sends it. */
static void packet_ends(const struct load *l, uint32_t room, char before[64], char after[8])
{
    before[0] = after[0] = '\0';
    switch (l->o->proto) {
    case LOAD_SIO:
    case LOAD_POLL:
        snprintf(before, 64, "42%s[\"sendMessageToRoom\",\"%s%u\",\"",
                 l->o->ack ? "00000000" : "", l->o->prefix, room);
        snprintf(after, 8, "\"]");
        break;
    case LOAD_FLOOR:
        /* The floor sends back what it gets: the very bytes of a Socket.IO server. */
        if (!l->o->echo) {
            snprintf(before, 64, "42[\"roomMessage\",\"[%s%u] ", l->o->prefix, room);
            snprintf(after, 8, "\"]");
        }
        break;
    case LOAD_WS: break;
    }
}

static bool build_frame(const struct load *l, struct load_sender *s)
{
    char before[64], after[8], *body;
    size_t nb, na, text;

    packet_ends(l, s->conn->room, before, after);
    nb = strlen(before);
    na = strlen(after);
    text = nb + l->o->size + na;
    s->frame = malloc(text + 16);
    if (s->frame == NULL)
        return false;
    if (l->o->proto != LOAD_POLL)
        s->head = (uint32_t)load_session_head((uint8_t *)s->frame, text);
    body = s->frame + s->head;
    memcpy(body, before, nb);
    memset(body + nb, 'x', l->o->size);
    memcpy(body + nb + l->o->size, after, na);
    s->ack = s->head + 2;
    s->stamp = s->head + (uint32_t)nb;
    s->len = s->head + (uint32_t)text;
    if (s->head > 0)
        load_session_mask(body, body, text, 0);
    return true;
}

/* The first members of each room that do not send. */
static void init_stalled(struct load *l)
{
    for (uint32_t room = 0; room < l->o->rooms; room++) {
        struct load_conn *c = &l->conns[room * l->o->members];

        for (uint32_t n = 0; n < l->o->stalled; c++) {
            if (c->tx != NULL)
                continue;
            c->stalled = true;
            n++;
        }
    }
}

/* Over all nodes, in each room beginning at another one; apart: one that sends is at the first. */
static uint8_t choose_node(const struct load *l, const struct load_conn *c)
{
    uint32_t place = (uint32_t)(c - l->conns) % l->o->members + c->room;

    if (!l->o->apart)
        return (uint8_t)(place % l->o->nodes);
    return c->tx != NULL ? 0 : (uint8_t)(1 + place % (l->o->nodes - 1));
}

/* Where a sender's messages are done: at itself, or at the room's first member on another node. */
static void init_back(struct load *l)
{
    for (uint32_t i = 0; i < l->nsenders; i++) {
        struct load_sender *s = &l->senders[i];
        struct load_conn *c = s->conn;

        if (l->o->far)
            for (c = &l->conns[s->conn->room * l->o->members]; c->node == s->conn->node;)
                c++;
        c->back = s;
    }
}

/* Senders are spread over a room's members, so that no server's order of members matters. */
static bool init_senders(struct load *l)
{
    const struct load_options *o = l->o;
    uint32_t aux = l->nconns;

    for (uint32_t i = 0; i < l->nsenders; i++) {
        struct load_sender *s = &l->senders[i];
        uint32_t room = i / o->senders, k = i % o->senders;
        uint32_t member =
            (uint32_t)(((2u * k + 1u) * (uint64_t)o->members) / (2u * o->senders));

        s->index = i;
        s->conn = s->via = &l->conns[room * o->members + member];
        s->conn->tx = s;
        s->conn->node = choose_node(l, s->conn);
        if (o->proto == LOAD_POLL) {
            s->via = &l->conns[aux++];
            s->via->aux = true;
            s->via->room = room;
            s->via->node = s->conn->node;
            s->via->tx = s;
        }
        if (!build_frame(l, s))
            return false;
    }
    init_stalled(l);
    return true;
}

bool load_traffic_init(struct load *l)
{
    const struct load_options *o = l->o;
    bool traffic = !o->idle && o->churn <= 0;
    uint64_t nseen;
    char before[64];

    l->nconns = o->rooms * o->members;
    l->nsenders = traffic ? o->rooms * o->senders : 0;
    l->nsocks = l->nconns + (o->proto == LOAD_POLL ? l->nsenders : 0);
    nseen = traffic ? (uint64_t)l->nconns * o->senders : 1;
    if (nseen > MAX_SEEN) {
        fputs("load: too many senders for so many receivers\n", stderr);
        return false;
    }
    l->conns = calloc(l->nsocks, sizeof(*l->conns));
    l->senders = calloc(l->nsenders + 1u, sizeof(*l->senders));
    l->seen = calloc(nseen, sizeof(*l->seen));
    l->buf = malloc(LOAD_BUF_SIZE);
    if (l->conns == NULL || l->senders == NULL || l->seen == NULL || l->buf == NULL)
        return false;
    for (uint32_t i = 0; i < l->nsocks; i++) {
        struct load_conn *c = &l->conns[i];

        c->fd = -1;
        c->room = i / o->members;
        c->seen = traffic && i < l->nconns ? l->seen + (size_t)i * o->senders : NULL;
        before[0] = '\0';
        if (o->proto != LOAD_WS && !(o->proto == LOAD_FLOOR && o->echo))
            snprintf(before, sizeof(before), "42[\"roomMessage\",\"[%s%u] ", o->prefix,
                     c->room);
        c->body = (uint32_t)strlen(before);
    }
    if (!init_senders(l))
        return false;
    for (uint32_t i = 0; i < l->nconns; i++)
        l->conns[i].node = choose_node(l, &l->conns[i]);
    init_back(l);
    return load_acks_init(l);
}

void load_traffic_deinit(struct load *l)
{
    for (uint32_t i = 0; l->conns != NULL && i < l->nsocks; i++) {
        load_conn_close(l, &l->conns[i]);
        free(l->conns[i].part);
        free(l->conns[i].out);
        free(l->conns[i].posts);
    }
    for (uint32_t i = 0; l->senders != NULL && i < l->nsenders; i++) {
        free(l->senders[i].frame);
        free(l->senders[i].due);
    }
    free(l->conns);
    free(l->senders);
    free(l->seen);
    free(l->buf);
}

static void put_stamp(const struct load *l, struct load_sender *s, uint64_t due_ns)
{
    struct load_stamp stamp = {s->index, ++s->seq, due_ns - l->start_ns};
    char *p = s->frame + s->stamp;

    load_stamp_write(p, &stamp);
    if (s->head > 0)
        load_session_mask(p, p, LOAD_STAMP_LEN, s->stamp - s->head);
}

static uint32_t receivers(const struct load *l)
{
    return l->o->members - l->o->stalled - (l->o->except ? 1u : 0u);
}

void load_traffic_send(struct load *l, struct load_sender *s, uint32_t count, uint64_t due_ns)
{
    static char batch[1 << 16];
    size_t used = 0;

    for (uint32_t i = 0; i < count && s->via->fd >= 0; i++) {
        put_stamp(l, s, due_ns);
        if (l->o->ack && !load_acks_ask(s, due_ns)) {
            load_conn_fail(l, s->via, "too many acks are awaited");
            return;
        }
        l->count.sent++;
        l->count.expected += receivers(l);
        if (l->o->proto == LOAD_POLL) {
            load_poll_post(l, s->via, s->frame, s->len);
            continue;
        }
        if (used + s->len > sizeof(batch)) {
            load_conn_send(l, s->via, batch, used);
            used = 0;
        }
        if (s->len > sizeof(batch)) {
            load_conn_send(l, s->via, s->frame, s->len);
        } else {
            memcpy(batch + used, s->frame, s->len);
            used += s->len;
        }
    }
    if (used > 0)
        load_conn_send(l, s->via, batch, used);
}

/* A number that is not the next one: a gap, a repetition, or one that comes too late. */
static void unexpected(struct load *l, struct load_seen *seen, uint32_t seq)
{
    uint32_t d;

    if (seq > seen->last) {
        d = seq - seen->last;
        seen->mask = d < 32 ? seen->mask << d | 1u : 1u;
        seen->last = seq;
        l->count.delivered++;
        return;
    }
    d = seen->last - seq;
    if (d < 32 && (seen->mask & (1u << d))) {
        l->count.duplicated++;
        return;
    }
    if (d < 32)
        seen->mask |= 1u << d;
    l->count.disordered++;
    l->count.delivered++;
}

void load_traffic_received(struct load *l, struct load_conn *c, const struct load_stamp *s,
                           uint64_t now_ns)
{
    uint32_t k = s->sender - c->room * l->o->senders;
    uint64_t due_ns = s->ns + l->start_ns, delivered = l->count.delivered;
    struct load_seen *seen;
    bool far;

    if (c->seen == NULL || k >= l->o->senders) {
        l->count.misrouted++;
        return;
    }
    seen = &c->seen[k];
    if (s->seq == seen->last + 1u) {
        seen->last = s->seq;
        seen->mask = seen->mask << 1 | 1u;
        l->count.delivered++;
    } else {
        unexpected(l, seen, s->seq);
    }
    far = l->o->nodes > 1 && l->senders[s->sender].conn->node != c->node;
    if (far)
        l->count.crossed += l->count.delivered - delivered;
    if (due_ns >= l->window_from_ns && due_ns < l->window_to_ns) {
        uint64_t ns = now_ns > due_ns ? now_ns - due_ns : 0;

        load_hist_add(&l->all, ns);
        if (l->o->nodes > 1)
            load_hist_add(far ? &l->far : &l->near, ns);
        if (!l->o->ack)
            load_hist_add(&l->recent, ns);
    }
    if (c->back != NULL && c->back->index == s->sender && l->o->rate <= 0 && !l->o->ack)
        c->owed++;
}

/* inquire.c - what this node's clients ask of those of other nodes: who is to answer, and what they do.
 *
 * How many nodes hear the question is what Redis counts (PUBSUB NUMSUB), this one among them: so its own
 * copy of it counts as an answer, that nobody was asked here. */
#include "cluster_int.h"
#include "rc/base/hash.h"
#include "rc/base/mem.h"
#include "rc/base/timer.h"
#include "rc/broker/ask.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    INQUIRIES = 4096, /* open ones, a power of two */
    ID_LEN = 16,
    UNKNOWN = -1,
};

struct inquiry {
    uint64_t number; /* of the asker, see ask.h */
    uint64_t id;     /* what the request has in hex: random:48, slot:16 */
    uint64_t until_ms;
    long long nodes;          /* that hear it, UNKNOWN until Redis has told */
    long long told;           /* of them, how many of their clients they have asked */
    uint64_t asked, answered; /* clients */
};

static struct inquiry *find(const struct rc_cluster *c, uint64_t id)
{
    struct inquiry *q = c->inquiry[id & (INQUIRIES - 1)];

    return q != NULL && q->id == id ? q : NULL;
}

static struct inquiry *find_named(const struct rc_cluster *c, struct rc_str id)
{
    char text[ID_LEN + 1], *end;
    uint64_t number;

    if (id.len != ID_LEN)
        return NULL;
    memcpy(text, id.p, ID_LEN);
    text[ID_LEN] = '\0';
    number = strtoull(text, &end, 16); /* what is no number names none that is open */
    return *end == '\0' ? find(c, number) : NULL;
}

static void drop(struct rc_cluster *c, struct inquiry *q)
{
    c->inquiry[q->id & (INQUIRIES - 1)] = NULL;
    c->ninquiries--;
    free(q);
}

static void end_if_complete(struct rc_cluster *c, struct inquiry *q)
{
    if (q->nodes == UNKNOWN || q->told < q->nodes || q->answered < q->asked)
        return;
    rc_ask_pass_end(c->mesh, q->number);
    drop(c, q);
}

void rc_inquire_channels(const struct rc_cluster *c, struct rc_str name,
                         struct rc_buf *channels)
{
    const struct rc_nsp *nsp = rc_bus_nsp(c->app, name);
    struct rc_bus_list list = {.n = 0};

    if (nsp == NULL || !nsp->rules.uses_ask)
        return;
    c->dialect->put_answer_channels(c, name, &list);
    rc_buf_puts(channels, rc_buf_str(&list.bytes));
    rc_bus_list_deinit(&list);
}

static struct inquiry *begin(struct rc_cluster *c, const struct rc_pub *pub)
{
    struct inquiry *q;
    uint64_t slot = 0, random;

    if (c->ninquiries == INQUIRIES)
        return NULL;
    while (c->inquiry[slot] != NULL)
        slot++;
    rc_random(&random, sizeof(random));
    q = rc_malloc(sizeof(*q));
    *q = (struct inquiry){.number = pub->ask,
                          .id = random << 16 | slot,
                          .until_ms = rc_clock_ms() + pub->ask_ms,
                          .nodes = UNKNOWN};
    c->inquiry[slot] = q;
    c->ninquiries++;
    return q;
}

void rc_inquire_skip(struct rc_cluster *c, const struct rc_pub *pub)
{
    rc_ask_pass_end(c->mesh, pub->ask);
}

void rc_inquire(struct rc_cluster *c, const struct rc_pub *pub, const struct rc_bus_message *m)
{
    struct inquiry *q = begin(c, pub);
    char id[ID_LEN + 1];

    if (q == NULL) {
        rc_cluster_count(&c->count.dropped, 1);
        rc_inquire_skip(c, pub);
        return;
    }
    (void)snprintf(id, sizeof(id), "%016" PRIx64, q->id);
    rc_buf_reset(&c->out);
    if (c->dialect->put_question(c, rc_str_of(id), m, pub->ask_ms) != RC_OK ||
        !rc_cluster_count_nodes(c, m->to.nsp, q->id)) {
        rc_cluster_count(&c->count.dropped, 1);
        rc_inquire_skip(c, pub);
        drop(c, q);
        return;
    }
    rc_buf_reset(&c->channel);
    c->dialect->put_channel(c, m->to.nsp, &c->channel);
    rc_cluster_publish(c, rc_buf_str(&c->channel), rc_buf_str(&c->out));
}

void rc_inquire_counted(struct rc_cluster *c, uint64_t id, long long count)
{
    struct inquiry *q = find(c, id);

    if (q == NULL || count < 0) /* not known: the time will tell */
        return;
    q->nodes = count;
    end_if_complete(c, q);
}

void rc_inquire_heard(struct rc_cluster *c, struct rc_str id)
{
    struct inquiry *q = find_named(c, id);

    if (q == NULL)
        return;
    q->told++;
    end_if_complete(c, q);
}

void rc_inquire_take(struct rc_cluster *c, struct rc_str payload)
{
    struct rc_wire_response *r = &c->response;
    struct inquiry *q;

    if (c->dialect->read_response(c, payload) != RC_OK) {
        rc_cluster_count(&c->count.bad, 1);
        return;
    }
    q = r->type != RC_WIRE_NO_TYPE ? find_named(c, rc_buf_str(&r->id)) : NULL;
    if (q == NULL) /* it answers another node */
        return;
    if (r->type == RC_WIRE_CLIENT_COUNT) {
        q->told++;
        q->asked += r->count;
    } else {
        q->answered++;
        rc_ask_pass_answer(c->mesh, q->number, r->args, r->attachment, r->nattachments);
    }
    end_if_complete(c, q);
}

/* A node that has not told, or a client that has not answered, in time. The asker knows by its own clock. */
void rc_inquire_tick(struct rc_cluster *c, uint64_t now_ms)
{
    for (unsigned i = 0; c->ninquiries != 0 && i < INQUIRIES; i++)
        if (c->inquiry[i] != NULL && c->inquiry[i]->until_ms <= now_ms) {
            rc_cluster_count(&c->count.timeouts, 1);
            drop(c, c->inquiry[i]);
        }
}

void rc_inquire_init(struct rc_cluster *c)
{
    c->inquiry = rc_calloc(INQUIRIES, sizeof(struct inquiry *));
}

void rc_inquire_deinit(struct rc_cluster *c)
{
    for (unsigned i = 0; c->inquiry != NULL && i < INQUIRIES; i++)
        if (c->inquiry[i] != NULL)
            drop(c, c->inquiry[i]);
    free(c->inquiry);
    rc_wire_response_deinit(&c->response);
}

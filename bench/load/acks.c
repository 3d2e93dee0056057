/*
 * acks.c - --ack: each message asks for an acknowledgement, and the books on what comes back.
 *
 * The ids have a fixed width, so that they can be put into the frame that is already there. A
 * sender's acks come in the order of its messages; each is expected once.
 */
#include "load.h"

#include <stdlib.h>
#include <string.h>

#define ID_BASE  10000000u
#define ID_LIMIT 90000000u

bool load_acks_init(struct load *l)
{
    for (uint32_t i = 0; l->o->ack && i < l->nsenders; i++) {
        l->senders[i].due = calloc(LOAD_ACKS_MAX, sizeof(*l->senders[i].due));
        if (l->senders[i].due == NULL)
            return false;
    }
    return true;
}

bool load_acks_ask(struct load_sender *s, uint64_t due_ns)
{
    char id[LOAD_ACK_LEN];
    uint32_t n = ID_BASE + s->seq % ID_LIMIT;
    uint64_t *due = &s->due[s->seq % LOAD_ACKS_MAX];

    if (*due != 0)
        return false;
    *due = due_ns;
    for (unsigned i = LOAD_ACK_LEN; i-- > 0; n /= 10)
        id[i] = (char)('0' + n % 10);
    load_session_mask(s->frame + s->ack, id, LOAD_ACK_LEN, s->ack - s->head);
    return true;
}

/* Keeps what the first refusal said, for the report. */
static void refused(struct load *l, const char *p, size_t n)
{
    l->count.refused++;
    if (l->refusal[0] != '\0')
        return;
    n = n < sizeof(l->refusal) - 1 ? n : sizeof(l->refusal) - 1;
    memcpy(l->refusal, p, n);
    l->refusal[n] = '\0';
}

void load_acks_received(struct load *l, struct load_conn *c, const char *p, size_t n,
                        uint64_t now_ns)
{
    struct load_sender *s = c->tx;
    uint64_t due_ns = 0, ns;
    uint32_t id = 0;

    for (unsigned i = 0; i < LOAD_ACK_LEN && p[i] >= '0' && p[i] <= '9'; i++)
        id = id * 10 + (uint32_t)(p[i] - '0');
    if (s != NULL && id >= ID_BASE) {
        due_ns = s->due[(id - ID_BASE) % LOAD_ACKS_MAX];
        s->due[(id - ID_BASE) % LOAD_ACKS_MAX] = 0;
    }
    if (due_ns == 0) { /* never asked for, or answered before */
        l->count.duplicated++;
        return;
    }
    if (id != ID_BASE + ++s->answered % ID_LIMIT) {
        l->count.disordered++;
        s->answered = id - ID_BASE;
    }
    if (memmem(p, n, "\"ok\":false", 10) != NULL)
        refused(l, p, n);
    else
        l->count.acked++;
    if (due_ns >= l->window_from_ns && due_ns < l->window_to_ns) {
        ns = now_ns > due_ns ? now_ns - due_ns : 0;
        load_hist_add(&l->acks, ns);
        load_hist_add(&l->recent, ns);
    }
    if (l->o->rate <= 0)
        c->owed++;
}

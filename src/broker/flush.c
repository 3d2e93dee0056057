/* flush.c - the queues that a turn has filled. */
#include "rc/net/uring.h"

#include "rc/broker/session.h"
#include "rc/broker/shard.h"

enum {
    RING_MIN = 4, /* with fewer, a system call for each costs less */
    AHEAD = 4,    /* queues; a session is a cache miss away */
};

/* Queues that are written together. Nothing is called back in between, so that none is taken twice. */
struct round {
    struct rc_uring_job job[RC_URING_MAX];
    struct rc_session *of[RC_URING_MAX];    /* whose they are */
    struct rc_session *other[RC_URING_MAX]; /* those that take more than one send(), or none */
    unsigned n, nother;
};

/* Takes the next round from the list, of which `next` is the first that was in none. */
RC_ON_SHARD static uint32_t gather(struct rc_shard *sh, uint32_t next, struct round *r)
{
    r->n = r->nother = 0;
    for (; next < sh->ndirty && r->n < RC_URING_MAX && r->nother < RC_URING_MAX; next++) {
        struct rc_session *s = sh->dirty[next];

        if (next + AHEAD < sh->ndirty)
            __builtin_prefetch(&sh->dirty[next + AHEAD]->out, 1);
        s->dirty = false;
        if (s->closed && s->polling == NULL)
            continue;
        if (s->fd >= 0 && rc_outq_single(&s->out) && s->out.bytes <= RC_OUTQ_TURN) {
            r->job[r->n] = (struct rc_uring_job){.q = &s->out, .fd = s->fd};
            r->of[r->n++] = s;
        } else {
            r->other[r->nother++] = s;
        }
    }
    return next;
}

RC_ON_SHARD static void write_round(struct rc_shard *sh, struct round *r)
{
    if (r->n >= RING_MIN) {
        rc_uring_flush(sh->uring, r->job, r->n);
    } else {
        for (unsigned i = 0; i < r->n; i++)
            r->job[i].rc = rc_outq_flush(r->job[i].q, r->job[i].fd, NULL);
    }
    for (unsigned i = 0; i < r->n; i++)
        if (r->job[i].rc != RC_OK && !r->of[i]->closed)
            rc_session_flush_rest(sh, r->of[i], r->job[i].rc);
    for (unsigned i = 0; i < r->nother; i++)
        if (!r->other[i]->closed || r->other[i]->polling != NULL)
            rc_session_flush(sh, r->other[i]);
}

RC_ON_SHARD static void flush_in_rounds(struct rc_shard *sh)
{
    struct round r;
    uint32_t next = 0;

    while (next < sh->ndirty) {
        next = gather(sh, next, &r);
        write_round(sh, &r);
    }
}

/* The list may grow while it is walked. */
void rc_shard_flush(struct rc_shard *sh)
{
    if (sh->uring != NULL && sh->ndirty >= RING_MIN) {
        flush_in_rounds(sh);
        sh->ndirty = 0;
        return;
    }
    for (uint32_t i = 0; i < sh->ndirty; i++) {
        struct rc_session *s = sh->dirty[i];

        if (i + AHEAD < sh->ndirty)
            __builtin_prefetch(&sh->dirty[i + AHEAD]->out, 1);
        s->dirty = false;
        if (!s->closed || s->polling != NULL)
            rc_session_flush(sh, s);
    }
    sh->ndirty = 0;
}

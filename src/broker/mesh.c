/* mesh.c - rings, spill lists and wake-ups: the only way from one thread to another. */
#include "rc/broker/mesh.h"

#include "rc/base/mem.h"
#include "rc/base/thread.h"
#include "rc/broker/survey.h"
#include "rc/net/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { WAKE_AFTER = 64 }; /* messages in one turn after which the consumer need not wait */

enum { CLASSES = RC_MESH_REQUESTS + 1, OTHERS = 6 }; /* producers that are no shards */

static enum rc_mesh_class class_of(enum rc_msg_type type)
{
    switch (type) {
    case RC_MSG_JOINED:
    case RC_MSG_LEFT:
    case RC_MSG_DELIVER:
    case RC_MSG_TO_SOCKET:
    case RC_MSG_TO_SOCKET_OF:
    case RC_MSG_DIRECT:
    case RC_MSG_FENCE_PASS: /* behind the DELIVERs; its answer is one per session at most */
    case RC_MSG_FENCE_ACK:
    case RC_MSG_EIO_REPLY:
    case RC_MSG_ASK_SHARDS:
    case RC_MSG_ASK_SOCKETS:
    case RC_MSG_ASK_ANSWER:
    case RC_MSG_ASK_END:
    case RC_MSG_UNION_PART:
    case RC_MSG_SURVEYED: /* one per open question at most */
    case RC_MSG_UI_LOGIN:
    case RC_MSG_UI_PAGE:    /* one per list and shard at most, as is what it causes */
    case RC_MSG_UI_TELL:    /* behind the pages, which it would not be told otherwise */
    case RC_MSG_STORE_DONE: /* one per waiting session and owner at most */
    case RC_MSG_DRAIN:
    case RC_MSG_STOP: return RC_MESH_RESULTS; /* must come through whatever is full */
    case RC_MSG_CONN:
    case RC_MSG_JOIN:
    case RC_MSG_LEAVE:
    case RC_MSG_PUBLISH:
    case RC_MSG_RELAY:
    case RC_MSG_FENCE:
    case RC_MSG_UNION:
    case RC_MSG_UNION_ORDER:
    case RC_MSG_EIO_GET:
    case RC_MSG_EIO_POST:
    case RC_MSG_EIO_BODY:
    case RC_MSG_EIO_ABORT:
    case RC_MSG_DIR_WATCH:
    case RC_MSG_DIR_ROOMS:
    case RC_MSG_STORED:
    case RC_MSG_MISSED:
    case RC_MSG_INBOX_READY:
    case RC_MSG_PRESENCE:
    case RC_MSG_ORDER_PASS: /* behind the JOINs and LEAVEs */
    case RC_MSG_PEER_HERE:
    case RC_MSG_PEER_GONE:
    case RC_MSG_PEER_AGAIN:
    case RC_MSG_PEER:
    case RC_MSG_SURVEY:
    case RC_MSG_UI_WATCH:
    case RC_MSG_UI_LIST:
    case RC_MSG_UI_COMMAND:
    case RC_MSG_TYPE_COUNT: break;
    }
    return RC_MESH_REQUESTS;
}

/* One producer to one consumer, one class. */
struct mailbox {
    struct rc_spsc q;
    /* Producer only, but for posted, which others read to find out whether a path is quiet. */
    struct rc_msg *spill; /* [first..nspill) wait for room in q, oldest first */
    uint32_t first, nspill, spill_cap;
    uint32_t unwoken; /* posted since the last wake-up */
    _Atomic uint64_t posted;
    _Atomic uint64_t spilled;
};

/* What a consumer and its producers tell each other is one word: who has posted since it last looked, and
 * whether it waits. Producers BITS apart share a bit: both are looked at. */
enum { BITS = 62 };
#define POKED  (UINT64_C(1) << BITS)
#define ASLEEP (UINT64_C(1) << 63)

struct consumer {
    _Alignas(RC_CACHELINE) _Atomic uint64_t mail;
    int efd;
    /* The consumer's own: whose mail the last drain has left, or is no longer held; and by producer, whose
     * results rest. */
    uint64_t left;
    bool held[RC_MESH_MAX_SHARDS + OTHERS];
};

struct rc_mesh {
    unsigned nshards, nproducers;
    size_t nboxes;
    struct mailbox *box; /* [(producer * nshards + consumer) * CLASSES + class] */
    /* [producer * CLASSES + class]: its mailboxes with a spill list; its own thread only */
    uint32_t *spilling;
    /* [producer]: consumers that it has posted to since the last wake-up, or has spills for; its own
     * thread only */
    uint64_t *posted_to;
    struct consumer *consumer;
};

static struct mailbox *box_of(const struct rc_mesh *m, unsigned from, unsigned to,
                              enum rc_mesh_class class)
{
    return &m->box[(from * m->nshards + to) * CLASSES + class];
}

static uint64_t bit_of(unsigned from)
{
    return UINT64_C(1) << (from < BITS ? from : from - BITS);
}

struct rc_mesh *rc_mesh_new(unsigned nshards, uint32_t ring_slots)
{
    struct rc_mesh *m = rc_calloc(1, sizeof(*m));
    bool ok = true;

    RC_ASSERT(nshards > 0 && nshards <= RC_MESH_MAX_SHARDS);
    m->nshards = nshards;
    m->nproducers = rc_mesh_producers(nshards);
    RC_ASSERT(m->nproducers == nshards + OTHERS);
    m->nboxes = (size_t)m->nproducers * nshards * CLASSES;
    m->box = aligned_alloc(RC_CACHELINE, m->nboxes * sizeof(*m->box));
    m->spilling = rc_calloc((size_t)m->nproducers * CLASSES, sizeof(*m->spilling));
    m->posted_to = rc_calloc(m->nproducers, sizeof(*m->posted_to));
    m->consumer = aligned_alloc(RC_CACHELINE, nshards * sizeof(*m->consumer));
    RC_ASSERT(m->box != NULL && m->consumer != NULL);
    for (size_t i = 0; i < m->nboxes; i++) {
        size_t pair = i / CLASSES;

        m->box[i] = (struct mailbox){0};
        /* To itself a shard has a ring for results only, see rc_shard.own_mail. */
        if (pair / nshards != pair % nshards || i % CLASSES == RC_MESH_RESULTS)
            ok = rc_spsc_init(&m->box[i].q, ring_slots, sizeof(struct rc_msg)) == RC_OK && ok;
    }
    for (unsigned i = 0; i < nshards; i++) {
        m->consumer[i] = (struct consumer){.mail = 0};
        m->consumer[i].efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        ok = m->consumer[i].efd >= 0 && ok;
    }
    if (!ok) {
        rc_mesh_free(m);
        return NULL;
    }
    return m;
}

void rc_msg_drop(struct rc_msg *msg)
{
    switch ((enum rc_msg_type)msg->type) {
    case RC_MSG_CONN:
        if (msg->u.conn.secure)
            rc_tls_free(msg->u.conn.tls);
        else
            rc_pub_unref(&msg->u.conn.bytes);
        (void)close(msg->u.conn.fd);
        return;
    case RC_MSG_JOIN:
    case RC_MSG_LEAVE:
        rc_pub_unref(&msg->u.member.room);
        rc_pub_unref(&msg->u.member.user);
        return;
    case RC_MSG_PUBLISH:
    case RC_MSG_INBOX_READY:
    case RC_MSG_DELIVER: rc_pub_unref(&msg->u.deliver.pub); return;
    case RC_MSG_UNION:
    case RC_MSG_UNION_ORDER:
    case RC_MSG_UNION_PART: rc_pub_unref(&msg->u.unite.pub); return;
    case RC_MSG_TO_SOCKET:
    case RC_MSG_TO_SOCKET_OF:
    case RC_MSG_RELAY:
    case RC_MSG_DIRECT:
    case RC_MSG_DIR_ROOMS:
    case RC_MSG_PRESENCE: rc_pub_unref(&msg->u.direct.pub); return;
    case RC_MSG_EIO_GET:
    case RC_MSG_EIO_POST:
    case RC_MSG_EIO_BODY:
    case RC_MSG_EIO_ABORT: rc_pub_unref(&msg->u.eio.body); return;
    case RC_MSG_EIO_REPLY: rc_pub_unref(&msg->u.reply.body); return;
    case RC_MSG_ASK_ANSWER: rc_pub_unref(&msg->u.ask.pub); return;
    case RC_MSG_STORED:
    case RC_MSG_STORE_DONE: rc_pub_unref(&msg->u.stored.pub); return;
    case RC_MSG_MISSED: rc_pub_unref(&msg->u.missed.pub); return;
    case RC_MSG_SURVEY:
    case RC_MSG_SURVEYED: rc_survey_free(msg->u.survey); return;
    case RC_MSG_UI_LOGIN:
    case RC_MSG_UI_LIST:
    case RC_MSG_UI_PAGE:
    case RC_MSG_UI_TELL:
    case RC_MSG_UI_COMMAND: rc_pub_unref(&msg->u.ui.pub); return;
    case RC_MSG_PEER_HERE:
    case RC_MSG_PEER_GONE:
    case RC_MSG_PEER_AGAIN:
    case RC_MSG_PEER: rc_pub_unref(&msg->u.peer.pub); return;
    case RC_MSG_ASK_SHARDS:
    case RC_MSG_ASK_SOCKETS:
    case RC_MSG_ASK_END:
    case RC_MSG_ORDER_PASS:
    case RC_MSG_STOP:
    case RC_MSG_DRAIN:
    case RC_MSG_JOINED:
    case RC_MSG_LEFT:
    case RC_MSG_FENCE:
    case RC_MSG_FENCE_PASS:
    case RC_MSG_FENCE_ACK:
    case RC_MSG_DIR_WATCH:
    case RC_MSG_UI_WATCH:
    case RC_MSG_TYPE_COUNT: return;
    }
}

void rc_mesh_free(struct rc_mesh *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->nboxes; i++) {
        struct mailbox *b = &m->box[i];
        struct rc_msg *msg;

        while (b->q.slot != NULL && (msg = rc_spsc_front(&b->q)) != NULL) {
            rc_msg_drop(msg);
            rc_spsc_release(&b->q);
        }
        for (uint32_t j = b->first; j < b->nspill; j++)
            rc_msg_drop(&b->spill[j]);
        free(b->spill);
        rc_spsc_deinit(&b->q);
    }
    for (unsigned i = 0; i < m->nshards; i++)
        if (m->consumer[i].efd >= 0)
            (void)close(m->consumer[i].efd);
    free(m->box);
    free(m->spilling);
    free(m->posted_to);
    free(m->consumer);
    free(m);
}

unsigned rc_mesh_shards(const struct rc_mesh *m)
{
    return m->nshards;
}

int rc_mesh_fd(const struct rc_mesh *m, unsigned to)
{
    return m->consumer[to].efd;
}

static void wake(struct consumer *c, uint64_t why)
{
    static const uint64_t one = 1;
    ssize_t n;

    /* release: our pushes are visible to whoever takes the bit. Until it is taken the consumer cannot
     * fall asleep; if it sleeps already, and is not written to yet, we see that here and write. */
    if (atomic_fetch_or_explicit(&c->mail, why, memory_order_release) != ASLEEP)
        return;
    do
        n = write(c->efd, &one, sizeof(one));
    while (n < 0 && errno == EINTR);
}

static bool push(struct mailbox *b, const struct rc_msg *msg)
{
    struct rc_msg *slot = rc_spsc_claim(&b->q);

    if (slot == NULL)
        return false;
    *slot = *msg;
    rc_spsc_commit(&b->q);
    return true;
}

static void spill(struct mailbox *b, uint32_t *spilling, const struct rc_msg *msg)
{
    if (b->nspill == b->first) {
        b->first = b->nspill = 0;
        (*spilling)++;
    }
    if (b->nspill == b->spill_cap) {
        b->spill_cap = b->spill_cap != 0 ? b->spill_cap * 2 : 64;
        b->spill = rc_realloc(b->spill, b->spill_cap * sizeof(*b->spill));
    }
    b->spill[b->nspill++] = *msg;
    atomic_fetch_add_explicit(&b->spilled, 1, memory_order_relaxed); /* a statistic */
}

void rc_mesh_post(struct rc_mesh *m, unsigned from, unsigned to, const struct rc_msg *msg)
{
    enum rc_mesh_class class = class_of((enum rc_msg_type)msg->type);
    struct mailbox *b = box_of(m, from, to, class);
    struct rc_msg copy = *msg;

    copy.from = (uint8_t)from;
    if (b->nspill != b->first || !push(b, &copy))
        spill(b, &m->spilling[from * CLASSES + class], &copy);
    /* relaxed: who compares it with done() has acquired a later step of ours. */
    atomic_store_explicit(&b->posted,
                          atomic_load_explicit(&b->posted, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    m->posted_to[from] |= UINT64_C(1) << to;
    if (++b->unwoken >= WAKE_AFTER) {
        b->unwoken = 0;
        wake(&m->consumer[to], bit_of(from));
    }
}

/* Moves what fits from the spill list into the ring. */
static void unspill(struct mailbox *b, uint32_t *spilling)
{
    uint32_t before = b->first;

    while (b->first < b->nspill && push(b, &b->spill[b->first]))
        b->first++;
    b->unwoken += b->first - before;
    if (b->first != b->nspill)
        return;
    (*spilling)--;
    free(b->spill); /* a burst is over: its memory goes too */
    b->spill = NULL;
    b->first = b->nspill = b->spill_cap = 0;
}

/* False: spills remain. */
static bool wake_one(struct rc_mesh *m, unsigned from, unsigned to)
{
    uint32_t unwoken = 0;
    bool clear = true;

    for (unsigned class = 0; class < CLASSES; class ++) {
        struct mailbox *b = box_of(m, from, to, (enum rc_mesh_class) class);

        if (b->nspill != b->first)
            unspill(b, &m->spilling[from * CLASSES + class]);
        clear = clear && b->nspill == b->first;
        unwoken += b->unwoken;
        b->unwoken = 0;
    }
    if (unwoken != 0)
        wake(&m->consumer[to], bit_of(from));
    return clear;
}

bool rc_mesh_wake(struct rc_mesh *m, unsigned from)
{
    uint64_t spills = 0;

    for (uint64_t to = m->posted_to[from]; to != 0; to &= to - 1)
        if (!wake_one(m, from, (unsigned)__builtin_ctzll(to)))
            spills |= to & -to;
    m->posted_to[from] = spills;
    return spills == 0;
}

bool rc_mesh_spilling(const struct rc_mesh *m, unsigned from)
{
    return m->spilling[from * CLASSES + RC_MESH_RESULTS] != 0 ||
           m->spilling[from * CLASSES + RC_MESH_REQUESTS] != 0;
}

bool rc_mesh_blocked(const struct rc_mesh *m, unsigned from)
{
    return m->spilling[from * CLASSES + RC_MESH_RESULTS] != 0;
}

/* Who takes the messages of a drain, and how many of each mailbox. */
struct taker {
    rc_mesh_fn *fn;
    void *arg;
    unsigned budget;
};

/* True: there may be more. These two are inlined, for they are called with each class once, and a turn
 * with little mail is mostly this. */
__attribute__((always_inline)) static inline bool drain_box(struct rc_mesh *m, unsigned from,
                                                            unsigned to,
                                                            enum rc_mesh_class class,
                                                            const struct taker *t)
{
    struct mailbox *b = box_of(m, from, to, class);
    const bool *held = class == RC_MESH_RESULTS ? &m->consumer[to].held[from] : NULL;
    struct rc_msg *msg;
    unsigned n = 0;

    if (held != NULL && *held)
        return false;
    while (n < t->budget && (msg = rc_spsc_front(&b->q)) != NULL) {
        /* Checked each time: the last one may have filled a ring. */
        if (class == RC_MESH_REQUESTS && rc_mesh_blocked(m, to))
            return true;
        t->fn(msg, t->arg);
        if (held != NULL && *held)
            return false;
        rc_spsc_release(&b->q);
        n++;
    }
    return n == t->budget;
}

/* Of all producers whose bits are in `look`. Returns the bits of those that may have more. */
__attribute__((always_inline)) static inline uint64_t drain_class(struct rc_mesh *m,
                                                                  unsigned to,
                                                                  enum rc_mesh_class class,
                                                                  uint64_t look,
                                                                  const struct taker *t)
{
    uint64_t left = 0;

    for (; look != 0; look &= look - 1)
        for (unsigned from = (unsigned)__builtin_ctzll(look); from < m->nproducers;
             from += BITS)
            if (from != to && drain_box(m, from, to, class, t))
                left |= look & -look;
    return left;
}

void rc_mesh_drain_own(struct rc_mesh *m, unsigned to, unsigned budget, rc_mesh_fn *fn,
                       void *arg)
{
    struct mailbox *b = box_of(m, to, to, RC_MESH_RESULTS);
    const bool *held = &m->consumer[to].held[to];
    struct rc_msg *msg;

    while (!*held && (msg = rc_spsc_front(&b->q)) != NULL) {
        if (budget-- == 0) {
            wake(&m->consumer[to], POKED);
            return;
        }
        fn(msg, arg);
        if (!*held)
            rc_spsc_release(&b->q);
    }
}

bool rc_mesh_sleep(struct rc_mesh *m, unsigned to)
{
    uint64_t was = 0;

    /* relaxed, here and below: the value decides, what was pushed is acquired by the drain. */
    return atomic_compare_exchange_strong_explicit(&m->consumer[to].mail, &was, ASLEEP,
                                                   memory_order_relaxed,
                                                   memory_order_relaxed) ||
           was == ASLEEP;
}

bool rc_mesh_rise(struct rc_mesh *m, unsigned to)
{
    uint64_t was = ASLEEP;

    (void)atomic_compare_exchange_strong_explicit(&m->consumer[to].mail, &was, 0,
                                                  memory_order_relaxed, memory_order_relaxed);
    return (was & ~ASLEEP) != 0;
}

bool rc_mesh_drain(struct rc_mesh *m, unsigned to, unsigned budget, rc_mesh_fn *fn, void *arg)
{
    const struct taker t = {.fn = fn, .arg = arg, .budget = budget};
    struct consumer *c = &m->consumer[to];
    uint64_t look, left;

    /* Before popping: a push that misses this drain sets its bit again. */
    look = atomic_exchange_explicit(&c->mail, 0, memory_order_acquire) & (POKED - 1);
    look |= c->left;
    c->left = 0;
    left = drain_class(m, to, RC_MESH_RESULTS, look, &t);
    left |= drain_class(m, to, RC_MESH_REQUESTS, look, &t);
    c->left |= left;
    if (left != 0 && !rc_mesh_blocked(m, to))
        wake(c, POKED);
    return left == 0;
}

void rc_mesh_hold(struct rc_mesh *m, unsigned to, unsigned from)
{
    m->consumer[to].held[from] = true;
}

void rc_mesh_pass(struct rc_mesh *m, unsigned to, unsigned from)
{
    struct mailbox *b = box_of(m, from, to, RC_MESH_RESULTS);

    RC_ASSERT(m->consumer[to].held[from]);
    m->consumer[to].held[from] = false;
    rc_msg_drop(rc_spsc_front(&b->q));
    rc_spsc_release(&b->q);
    m->consumer[to].left |= bit_of(from); /* what is behind it */
    wake(&m->consumer[to], POKED);
}

void rc_mesh_poke(struct rc_mesh *m, unsigned to)
{
    wake(&m->consumer[to], POKED);
}

uint64_t rc_mesh_posted(const struct rc_mesh *m, unsigned from, unsigned to,
                        enum rc_mesh_class class)
{
    return atomic_load_explicit(&box_of(m, from, to, class)->posted, memory_order_relaxed);
}

uint64_t rc_mesh_done(const struct rc_mesh *m, unsigned from, unsigned to,
                      enum rc_mesh_class class)
{
    return rc_spsc_done(&box_of(m, from, to, class)->q);
}

uint64_t rc_mesh_spilled(const struct rc_mesh *m, unsigned from, unsigned to)
{
    uint64_t n = 0;

    for (unsigned class = 0; class < CLASSES; class ++)
        n += atomic_load_explicit(&box_of(m, from, to, (enum rc_mesh_class) class)->spilled,
                                  memory_order_relaxed);
    return n;
}

/*
 * Messages through small rings: all of them, in order, and no consumer ever sleeps while mail
 * waits. First ten million from one producer to one shard, then as many from four producers
 * (two of them shards) to two shards that answer every fourth to shards. Rings of 64 slots and bursts
 * that are longer make spills; a consumer sleeps in epoll_wait() until it is woken, and five seconds
 * without a wake-up are a failure.
 *
 * ROOMCAST_STRESS sets another number of messages.
 */
#include "rc/base/timer.h"
#include "rc/broker/mesh.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { SLOTS = 64, ENDPOINTS = 6, LIMIT_MS = 5000, ANSWER_EACH = 4 };

/* ThreadSanitizer, which takes its time, has the first part in full. */
#if defined(__SANITIZE_THREAD__)
enum { SECOND_PART = 4 };
#else
enum { SECOND_PART = 1 };
#endif

static struct rc_mesh *mesh;
static unsigned nshards;

/* One endpoint: a thread that sends, receives, or both. */
struct end {
    unsigned index;
    uint64_t to_send;        /* requests, then the word that they were all */
    unsigned first_to, ntos; /* shards that it sends to */
    unsigned open;           /* producers that have more for it */
    uint64_t unanswered;
    bool said;
    uint64_t sent[ENDPOINTS], got[ENDPOINTS]; /* requests, by the other endpoint */
    uint64_t sent_answers[ENDPOINTS], got_answers[ENDPOINTS];
    uint64_t sleeps;
    uint64_t random;
};

static void fail(const char *what, unsigned end, uint64_t a, uint64_t b)
{
    printf("endpoint %u: %s: %llu, %llu\n", end, what, (unsigned long long)a,
           (unsigned long long)b);
    exit(1);
}

static uint64_t next_random(struct end *e)
{
    e->random ^= e->random << 13;
    e->random ^= e->random >> 7;
    e->random ^= e->random << 17;
    return e->random;
}

static void post(const struct end *e, unsigned to, enum rc_msg_type type, uint64_t number)
{
    struct rc_msg msg = {.type = (uint8_t)type, .count = (uint32_t)~number};

    msg.u.fence.session = number;
    rc_mesh_post(mesh, e->index, to, &msg);
}

static void receive(struct rc_msg *msg, void *arg)
{
    struct end *e = arg;
    bool request = msg->type != RC_MSG_FENCE_ACK;
    uint64_t *got = request ? &e->got[msg->from] : &e->got_answers[msg->from];

    if (msg->u.fence.session != *got || msg->count != (uint32_t) ~*got)
        fail(request ? "request expected, got" : "answer expected, got", e->index, *got,
             msg->u.fence.session);
    (*got)++;
    if (!request) {
        e->unanswered--;
        return;
    }
    e->open -= msg->type == RC_MSG_DIR_WATCH;
    if (*got % ANSWER_EACH == 0 && msg->from < nshards)
        post(e, msg->from, RC_MSG_FENCE_ACK, e->sent_answers[msg->from]++);
}

/* A burst of messages, at times longer than a ring. */
static void send_some(struct end *e)
{
    uint64_t n = next_random(e) % 16 != 0 ? next_random(e) % 20 + 1 : next_random(e) % 200 + 1;

    for (; n > 0 && e->to_send > 0; n--, e->to_send--) {
        unsigned to = e->first_to + (unsigned)(next_random(e) % e->ntos);

        post(e, to, RC_MSG_FENCE, e->sent[to]++);
        if (e->index < nshards && e->sent[to] % ANSWER_EACH == 0)
            e->unanswered++;
    }
    if (e->to_send != 0 || e->said)
        return;
    e->said = true;
    for (unsigned to = e->first_to; to < e->first_to + e->ntos; to++) {
        post(e, to, RC_MSG_DIR_WATCH, e->sent[to]++);
        if (e->index < nshards && e->sent[to] % ANSWER_EACH == 0)
            e->unanswered++;
    }
}

/* Sleeps until there is mail; not for long when there is something else to do, as a shard with
 * connections and timers does. */
static void wait_for_mail(struct end *e, int epfd, bool clear)
{
    bool idle = clear && e->said, sleeps = rc_mesh_sleep(mesh, e->index);
    struct epoll_event ev;
    int n = epoll_wait(epfd, &ev, 1, !sleeps ? 0 : idle ? LIMIT_MS : !clear);

    e->sleeps += idle && sleeps;
    if (n < 0 || (n == 0 && idle && sleeps))
        fail("not woken; open producers, missing answers", e->index, e->open, e->unanswered);
}

/* The turns of a shard, as broker/shard.c takes them. */
static void *run_shard(void *arg)
{
    struct end *e = arg;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
    bool clear = true, mail_waits = false;
    int epfd = epoll_create1(EPOLL_CLOEXEC);

    if (epoll_ctl(epfd, EPOLL_CTL_ADD, rc_mesh_fd(mesh, e->index), &ev) != 0)
        fail("no epoll", e->index, 0, 0);
    e->said = e->ntos == 0;
    while (!e->said || !clear || e->open != 0 || e->unanswered != 0) {
        wait_for_mail(e, epfd, clear);
        if (rc_mesh_rise(mesh, e->index))
            mail_waits = !rc_mesh_drain(mesh, e->index, (unsigned)(next_random(e) % SLOTS) + 1,
                                        receive, e);
        if (!e->said && !rc_mesh_spilling(mesh, e->index))
            send_some(e);
        clear = rc_mesh_wake(mesh, e->index);
        if (mail_waits && !rc_mesh_blocked(mesh, e->index))
            rc_mesh_poke(mesh, e->index);
    }
    (void)close(epfd);
    return NULL;
}

/* Nothing more comes from here until everything is done with: a wake-up that was lost would
 * stay lost. */
static void wait_until_done(const struct end *e)
{
    uint64_t start = rc_clock_ms();

    for (unsigned to = e->first_to; to < e->first_to + e->ntos; to++) {
        while (rc_mesh_done(mesh, e->index, to, RC_MESH_REQUESTS) != e->sent[to]) {
            (void)sched_yield();
            if (rc_clock_ms() > start + LIMIT_MS)
                fail("a shard sleeps; sent, done", to, e->sent[to],
                     rc_mesh_done(mesh, e->index, to, RC_MESH_REQUESTS));
        }
    }
}

/* The acceptor and main only send. */
static void *run_sender(void *arg)
{
    struct end *e = arg;

    while (!e->said) {
        send_some(e);
        while (!rc_mesh_wake(mesh, e->index))
            (void)usleep(50);
        if (next_random(e) % 2 == 0)
            wait_until_done(e);
    }
    return NULL;
}

static void check_pair(const struct end *from, const struct end *to)
{
    uint64_t n = from->sent[to->index];

    if (to->got[from->index] != n ||
        rc_mesh_posted(mesh, from->index, to->index, RC_MESH_REQUESTS) != n ||
        rc_mesh_done(mesh, from->index, to->index, RC_MESH_REQUESTS) != n)
        fail("requests sent, got", to->index, n, to->got[from->index]);
    n = from->sent_answers[to->index];
    if (to->got_answers[from->index] != n ||
        rc_mesh_done(mesh, from->index, to->index, RC_MESH_RESULTS) != n)
        fail("answers sent, got", to->index, n, to->got_answers[from->index]);
}

static void run(unsigned shards, struct end *end, unsigned nends)
{
    pthread_t thread[ENDPOINTS];
    uint64_t sent = 0, spilled = 0, sleeps = 0;

    nshards = shards;
    mesh = rc_mesh_new(shards, SLOTS);
    if (mesh == NULL)
        fail("no mesh", 0, 0, 0);
    for (unsigned i = 0; i < nends; i++) {
        end[i].random = 88172645463325252u + 77 * i;
        if (pthread_create(&thread[i], NULL, end[i].index < shards ? run_shard : run_sender,
                           &end[i]) != 0)
            fail("no thread", i, 0, 0);
    }
    for (unsigned i = 0; i < nends; i++)
        (void)pthread_join(thread[i], NULL);
    for (unsigned i = 0; i < nends; i++) {
        sleeps += end[i].sleeps;
        for (unsigned k = 0; k < nends; k++) {
            sent += end[i].sent[k];
            if (end[k].index >= shards || i == k)
                continue;
            check_pair(&end[i], &end[k]);
            spilled += rc_mesh_spilled(mesh, end[i].index, end[k].index);
        }
    }
    if (sent == 0 || spilled == 0 || sleeps == 0)
        fail("tested nothing: sent, spilled", 0, sent, spilled);
    printf("%u shards: %llu messages, %llu spilled, %llu sleeps\n", shards,
           (unsigned long long)sent, (unsigned long long)spilled, (unsigned long long)sleeps);
    rc_mesh_free(mesh);
}

static struct end ends[ENDPOINTS];

int main(void)
{
    const char *set = getenv("ROOMCAST_STRESS");
    uint64_t total = set != NULL ? strtoull(set, NULL, 10) : 10000000;

    ends[0] = (struct end){.index = 0, .open = 1};
    ends[1] = (struct end){.index = rc_mesh_acceptor(1), .to_send = total, .ntos = 1};
    run(1, ends, 2);
    total /= SECOND_PART;
    for (unsigned i = 0; i < ENDPOINTS; i++)
        ends[i] = i < 2 ? (struct end){.index = i, .open = 4}
                        : (struct end){.index = i, .to_send = total / 4, .ntos = 2};
    run(4, ends, ENDPOINTS);
    return 0;
}

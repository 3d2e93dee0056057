/* presence_peers.c - the users of this node's rooms, told to other nodes; and theirs, told by them. */
#include "presence_int.h"
#include "rc/base/mem.h"
#include "rc/broker/bus.h"
#include "rc/broker/peers.h"
#include "rc/broker/room.h"
#include "rc/broker/space.h"

#include <stdlib.h>

enum {
    SHARE_MS = 50,  /* from the first change to the message */
    SHARE_MAX = 8,  /* messages at once */
    WALK_MS = 5,    /* between the parts of an announcement */
    GATHER_MS = 50, /* those who want one at about the same time get the same */
    SWEEP_MS = 5,
    SWEEP_MAX = 2000,
    ASK_MS = 1000, /* then again, after a second, two, four... */
    ASK_MAX_MS = 30000,
    LISTEN_MS = 2000, /* for the next part */
};

/* What one shard of another node tells. */
struct stream {
    struct rc_roster_source source;
    struct rc_listener_step at;
    struct rc_list sweep; /* in the shard's sweeps, or in none */
    bool gone;            /* its node */
};

struct node {
    struct rc_list link;
    uint32_t number;
    unsigned shards;    /* that it has; 0: it has not said */
    uint64_t ask_at_ms; /* if something is missing then */
    uint32_t ask_in_ms; /* the next time */
    struct stream *stream[RC_MESH_MAX_SHARDS];
};

/* ---- what is told ---- */

/* Records, with the room where it is another one than before. */
struct writer {
    const struct rc_shard *sh;
    struct rc_buf *b;
    const struct rc_roster *room;
};

static bool put_user(struct rc_roster *r, struct rc_str user, bool here, void *arg)
{
    struct writer *w = arg;
    const struct rc_presence *p = RC_CONTAINER(r, struct rc_presence, roster);

    if (w->room != r) {
        rc_told_put(w->b, RC_TOLD_SPACE, 0, rc_presence_space(w->sh, p));
        rc_told_put(w->b, RC_TOLD_ROOM, 0, rc_presence_label(w->sh, p));
        w->room = r;
    }
    rc_told_put(w->b, here ? RC_TOLD_HERE : RC_TOLD_GONE, 0, user);
    return w->b->len < RC_TOLD_SLICE;
}

RC_ON_SHARD static void send_out(struct rc_shard *sh, uint32_t to)
{
    struct rc_presences *ps = sh->presences;

    rc_peers_tell(sh, RC_PEER_PRESENCE, to, 0, RC_STR_NONE, rc_buf_str(&ps->out));
}

/* All that others do not know yet; false: a part of it. */
RC_ON_SHARD static bool send_changes(struct rc_shard *sh)
{
    struct rc_presences *ps = sh->presences;

    for (unsigned i = 0; i < SHARE_MAX; i++) {
        struct writer w = {.sh = sh, .b = &ps->out};

        if (ps->late.len == 0 && !rc_roster_share_has_news(&ps->share))
            return true;
        rc_teller_change(&ps->teller, sh->index, sh->nshards, &ps->out);
        rc_buf_puts(&ps->out, rc_buf_str(&ps->late)); /* before the room's next users */
        rc_buf_deinit(&ps->late);
        rc_roster_tell(&ps->share, put_user, &w);
        if (ps->out.len != RC_TOLD_HEAD)
            send_out(sh, 0);
        else
            ps->teller.changes--;
    }
    return ps->late.len == 0 && !rc_roster_share_has_news(&ps->share);
}

static void on_share(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;

    rc_assert_on_shard(sh);
    if (!send_changes(sh))
        rc_timer_start(&sh->presences->q_share, t, sh->loop.now_ms);
}

void rc_presence_share(struct rc_shard *sh)
{
    struct rc_presences *ps = sh->presences;

    if ((ps->late.len != 0 || rc_roster_share_has_news(&ps->share)) &&
        !rc_timer_running(&ps->share_timer))
        rc_timer_start(&ps->q_share, &ps->share_timer, sh->loop.now_ms);
}

void rc_presence_share_last(struct rc_shard *sh, struct rc_presence *p)
{
    struct writer w = {.sh = sh, .b = &sh->presences->late};

    rc_roster_tell_of(&p->roster, put_user, &w);
    rc_presence_share(sh);
}

/* ---- announcements ---- */

static void on_walk(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_presences *ps = sh->presences;
    struct writer w = {.sh = sh, .b = &ps->out};
    bool first = !ps->walking;

    rc_assert_on_shard(sh);
    while (!send_changes(sh)) /* so that the part and what others know are of the same time */
        continue;
    if (first) {
        ps->walk_to = ps->want_to;
        ps->wanted = false;
        rc_roster_walk_begin(&ps->share, &ps->walk);
    }
    rc_teller_part(&ps->teller, sh->index, sh->nshards, first, &ps->out);
    ps->walking = rc_roster_walk_step(&ps->walk, put_user, &w);
    if (!ps->walking)
        rc_teller_last(&ps->out);
    send_out(sh, ps->walk_to);
    if (ps->walking)
        rc_timer_start(&ps->q_walk, t, sh->loop.now_ms);
    else if (ps->wanted)
        rc_timer_start_in(&ps->q_walk, t, sh->loop.now_ms, GATHER_MS);
}

/* to: 0 for all. */
RC_ON_SHARD static void announce(struct rc_shard *sh, uint32_t to)
{
    struct rc_presences *ps = sh->presences;

    ps->want_to = !ps->wanted || ps->want_to == to ? to : 0;
    ps->wanted = true;
    if (!rc_timer_running(&ps->walk_timer))
        rc_timer_start_in(&ps->q_walk, &ps->walk_timer, sh->loop.now_ms, GATHER_MS);
}

/* ---- what is out of date ---- */

RC_ON_SHARD static void sweep_later(struct rc_shard *sh, struct stream *s)
{
    struct rc_presences *ps = sh->presences;

    if (!rc_list_linked(&s->sweep))
        rc_list_append(&ps->sweeps, &s->sweep);
    if (!rc_timer_running(&ps->sweep_timer))
        rc_timer_start_in(&ps->q_sweep, &ps->sweep_timer, sh->loop.now_ms, 0);
}

/* False: there may be more. */
RC_ON_SHARD static bool sweep(struct rc_shard *sh, struct stream *s, unsigned *budget)
{
    struct rc_roster *r;

    while ((r = rc_roster_stale(&s->source)) != NULL) {
        struct rc_presence *p = RC_CONTAINER(r, struct rc_presence, roster);

        if ((*budget)-- == 0)
            return false;
        rc_roster_expel(&s->source, p->held, sh->loop.now_ms);
        rc_presence_changed(sh, p);
        rc_presence_drop_if_empty(sh, p);
    }
    rc_list_remove(&s->sweep);
    if (s->gone)
        free(s);
    return true;
}

static void on_sweep(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_list *sweeps = &sh->presences->sweeps;
    unsigned budget = SWEEP_MAX;
    struct rc_list *next;

    rc_assert_on_shard(sh);
    for (struct rc_list *l = sweeps->next; l != sweeps; l = next) {
        next = l->next;
        if (!sweep(sh, RC_CONTAINER(l, struct stream, sweep), &budget))
            break;
    }
    if (!rc_list_empty(sweeps))
        rc_timer_start(&sh->presences->q_sweep, t, sh->loop.now_ms);
}

/* ---- asking ---- */

/* A bit for each shard of the node that this one does not follow. */
static uint64_t missing(const struct node *n, uint64_t now_ms)
{
    unsigned shards = n->shards != 0 ? n->shards : RC_MESH_MAX_SHARDS;
    uint64_t bits = 0;

    for (unsigned i = 0; i < shards; i++) {
        const struct stream *s = n->stream[i];
        bool fine =
            s != NULL && (s->at.step == RC_IN_STEP ||
                          (s->at.step == RC_LISTENING && now_ms - s->at.heard_ms < LISTEN_MS));

        bits |= (uint64_t)!fine << i;
    }
    return bits;
}

/* Something may be missing still, or will be. */
static bool is_in_step(const struct node *n)
{
    for (unsigned i = 0; i < n->shards; i++)
        if (n->stream[i] == NULL || n->stream[i]->at.step != RC_IN_STEP)
            return false;
    return n->shards != 0;
}

RC_ON_SHARD static void ask(struct rc_shard *sh, struct node *n)
{
    uint64_t now = sh->loop.now_ms, bits = missing(n, now);
    struct rc_buf b = RC_BUF_INIT;

    if (now < n->ask_at_ms || bits == 0)
        return;
    n->ask_at_ms = now + n->ask_in_ms;
    n->ask_in_ms = n->ask_in_ms < ASK_MAX_MS / 2 ? n->ask_in_ms * 2 : ASK_MAX_MS;
    rc_told_put_wish(&b, RC_TOLD_ALL, bits);
    rc_peers_tell(sh, RC_PEER_PRESENCE_ASK, n->number, 0, RC_STR_NONE, rc_buf_str(&b));
    rc_buf_deinit(&b);
}

static void on_ask(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_presences *ps = sh->presences;
    bool more = false;

    rc_assert_on_shard(sh);
    for (struct rc_list *l = ps->nodes.next; ps->kept && l != &ps->nodes; l = l->next) {
        struct node *n = RC_CONTAINER(l, struct node, link);

        ask(sh, n);
        more = more || !is_in_step(n);
    }
    if (more)
        rc_timer_start(&ps->q_ask, t, sh->loop.now_ms);
}

RC_ON_SHARD static void ask_soon(struct rc_shard *sh, struct node *n)
{
    struct rc_presences *ps = sh->presences;

    n->ask_at_ms = sh->loop.now_ms;
    n->ask_in_ms = ASK_MS;
    rc_timer_start_in(&ps->q_ask, &ps->ask_timer, sh->loop.now_ms, 0);
}

/* ---- what they tell ---- */

static struct node *find(const struct rc_presences *ps, uint32_t number)
{
    for (struct rc_list *l = ps->nodes.next; l != &ps->nodes; l = l->next) {
        struct node *n = RC_CONTAINER(l, struct node, link);

        if (n->number == number)
            return n;
    }
    return NULL;
}

static struct stream *stream_of(struct node *n, unsigned shard)
{
    struct stream *s = n->stream[shard];

    if (s == NULL) {
        s = rc_calloc(1, sizeof(*s));
        rc_roster_source_init(&s->source, 0);
        n->stream[shard] = s;
    }
    return s;
}

/* The room that a message is about now. */
struct reader {
    struct stream *stream;
    const struct rc_nsp *nsp; /* NULL: it is none of ours */
    struct rc_str space;
    struct rc_buf key;
    uint64_t hash;
    bool mine; /* the shard's */
};

/* A room whose name could be a client's, of a namespace that is known here, and owned by this shard. */
RC_ON_SHARD static void begin_room(const struct rc_shard *sh, struct reader *r,
                                   struct rc_str label)
{
    r->mine = false;
    if (r->nsp == NULL || label.len == 0 || rc_space_is_hidden(label))
        return;
    rc_buf_reset(&r->key);
    rc_bus_put_key(r->nsp, r->space, label, &r->key);
    r->hash = rc_space_hash(sh, r->nsp->index, rc_buf_str(&r->key));
    r->mine = rc_room_owner(sh, r->hash) == sh->index;
}

RC_ON_SHARD static void arrive(struct rc_shard *sh, const struct reader *r, struct rc_str user)
{
    uint32_t max = sh->app->conf->limits_max_rooms;
    struct rc_str key = rc_buf_str(&r->key);
    struct rc_presence *p = rc_presence_find(sh, r->nsp->index, key, r->hash);

    if (p == NULL && sh->presences->nremote >= max) {
        rc_stat_add(&sh->stats.peers_refused, 1);
        return;
    }
    if (p == NULL)
        p = rc_presence_find_or_new(sh, r->nsp->index, key, r->hash);
    if (p == NULL)
        return; /* nobody keeps it here */
    r->stream->source.max = max;
    if (!rc_roster_arrive(&p->roster, user, &r->stream->source))
        rc_stat_add(&sh->stats.peers_refused, 1);
    rc_presence_changed(sh, p);
    rc_presence_drop_if_empty(sh, p);
}

RC_ON_SHARD static void depart(struct rc_shard *sh, const struct reader *r, struct rc_str user)
{
    struct rc_presence *p = rc_presence_find(sh, r->nsp->index, rc_buf_str(&r->key), r->hash);

    if (p == NULL)
        return;
    rc_roster_depart(&p->roster, user, &r->stream->source, p->held, sh->loop.now_ms);
    rc_presence_changed(sh, p);
    rc_presence_drop_if_empty(sh, p);
}

RC_ON_SHARD static void take_items(struct rc_shard *sh, struct stream *s, struct rc_str rest)
{
    struct reader r = {.stream = s};
    struct rc_told_item item;

    while (rc_told_next(&rest, &item)) {
        switch (item.op) {
        case RC_TOLD_SPACE:
            r.space = item.text;
            r.nsp = rc_bus_nsp(sh->app, item.text);
            r.mine = false;
            break;
        case RC_TOLD_ROOM: begin_room(sh, &r, item.text); break;
        case RC_TOLD_HERE:
            if (r.mine)
                arrive(sh, &r, item.text);
            break;
        case RC_TOLD_GONE:
            if (r.mine)
                depart(sh, &r, item.text);
            break;
        case RC_TOLD_MEMBERS: break;
        }
    }
    rc_buf_deinit(&r.key);
}

RC_ON_SHARD static void take(struct rc_shard *sh, struct node *n, struct rc_str bytes)
{
    struct rc_told told;
    struct stream *s;
    bool begins, ends;

    if (!rc_told_read(bytes, &told)) {
        rc_stat_add(&sh->stats.peers_bad, 1);
        return;
    }
    n->shards = told.shards;
    s = stream_of(n, told.shard);
    rc_told_follow(&s->at, &told, sh->loop.now_ms, &begins, &ends);
    if (begins) {
        s->source.round++;
        n->ask_in_ms = ASK_MS;
        if (rc_list_linked(&s->sweep)) /* what is stale still may be said again */
            rc_list_remove(&s->sweep);
    }
    take_items(sh, s, told.items);
    if (ends)
        sweep_later(sh, s);
    if (s->at.step != RC_IN_STEP && !rc_timer_running(&sh->presences->ask_timer))
        rc_timer_start_in(&sh->presences->q_ask, &sh->presences->ask_timer, sh->loop.now_ms, 0);
}

RC_ON_SHARD static void take_wish(struct rc_shard *sh, uint32_t number, struct rc_str bytes)
{
    enum rc_told_wish wish;
    uint64_t shards;

    if (!rc_told_read_wish(bytes, &wish, &shards))
        rc_stat_add(&sh->stats.peers_bad, 1);
    else if (wish == RC_TOLD_ALL && (shards >> sh->index & 1) != 0)
        announce(sh, number);
}

void rc_presence_peer(struct rc_shard *sh, enum rc_peer_kind kind, uint32_t number,
                      struct rc_str bytes)
{
    struct node *n = find(sh->presences, number);

    if (kind == RC_PEER_PRESENCE_ASK)
        take_wish(sh, number, bytes);
    else if (n != NULL && sh->presences->kept)
        take(sh, n, bytes);
}

/* ---- nodes ---- */

void rc_presence_peer_here(struct rc_shard *sh, uint32_t number)
{
    struct node *n = rc_calloc(1, sizeof(*n));

    n->number = number;
    rc_list_append(&sh->presences->nodes, &n->link);
    ask_soon(sh, n);
}

void rc_presence_peer_gone(struct rc_shard *sh, uint32_t number)
{
    struct node *n = find(sh->presences, number);

    if (n == NULL)
        return;
    for (unsigned i = 0; i < RC_MESH_MAX_SHARDS; i++) {
        struct stream *s = n->stream[i];

        if (s == NULL)
            continue;
        s->gone = true;
        s->source.round++;
        sweep_later(sh, s);
    }
    rc_list_remove(&n->link);
    free(n);
}

static void lose_step(struct node *n)
{
    for (unsigned i = 0; i < RC_MESH_MAX_SHARDS; i++)
        if (n->stream[i] != NULL)
            n->stream[i]->at.step = RC_OUT_OF_STEP;
}

/* What they have told meanwhile may be lost, and what was told them: the number of the next change shows it. */
void rc_presence_peers_again(struct rc_shard *sh)
{
    struct rc_presences *ps = sh->presences;

    for (struct rc_list *l = ps->nodes.next; l != &ps->nodes; l = l->next) {
        struct node *n = RC_CONTAINER(l, struct node, link);

        lose_step(n);
        ask_soon(sh, n);
    }
    rc_teller_change(&ps->teller, sh->index, sh->nshards, &ps->out);
    send_out(sh, 0);
}

static bool keeps_some(const struct rc_app *app)
{
    for (unsigned i = 0; i < app->nnsps; i++)
        for (unsigned j = 0; j < app->nsp[i].rooms.n; j++)
            if (app->nsp[i].rooms.rule[j].presence)
                return true;
    return false;
}

void rc_presence_renew(struct rc_shard *sh)
{
    struct rc_presences *ps = sh->presences;

    ps->kept = keeps_some(sh->app);
    for (struct rc_list *l = ps->nodes.next; l != &ps->nodes; l = l->next) {
        lose_step(RC_CONTAINER(l, struct node, link));
        ask_soon(sh, RC_CONTAINER(l, struct node, link));
    }
}

/* ---- life ---- */

void rc_presence_peers_init(struct rc_shard *sh)
{
    struct rc_presences *ps = sh->presences;

    ps->kept = keeps_some(sh->app);
    rc_roster_share_init(&ps->share);
    rc_list_init(&ps->nodes);
    rc_list_init(&ps->sweeps);
    rc_timerq_init(&ps->q_share, SHARE_MS, on_share, sh);
    rc_timerq_init(&ps->q_walk, WALK_MS, on_walk, sh);
    rc_timerq_init(&ps->q_sweep, SWEEP_MS, on_sweep, sh);
    rc_timerq_init(&ps->q_ask, ASK_MS, on_ask, sh);
    rc_loop_add_timerq(&sh->loop, &ps->q_share);
    rc_loop_add_timerq(&sh->loop, &ps->q_walk);
    rc_loop_add_timerq(&sh->loop, &ps->q_sweep);
    rc_loop_add_timerq(&sh->loop, &ps->q_ask);
}

static void free_stream(struct stream *s)
{
    if (s == NULL)
        return;
    if (rc_list_linked(&s->sweep))
        rc_list_remove(&s->sweep);
    free(s);
}

void rc_presence_peers_deinit(struct rc_shard *sh)
{
    struct rc_presences *ps = sh->presences;
    struct rc_list *next;

    for (struct rc_list *l = ps->nodes.next; l != &ps->nodes; l = next) {
        struct node *n = RC_CONTAINER(l, struct node, link);

        next = l->next;
        for (unsigned i = 0; i < RC_MESH_MAX_SHARDS; i++)
            free_stream(n->stream[i]);
        free(n);
    }
    for (struct rc_list *l = ps->sweeps.next; l != &ps->sweeps; l = next) {
        next = l->next; /* of nodes that are gone */
        free_stream(RC_CONTAINER(l, struct stream, sweep));
    }
    if (ps->walking)
        rc_roster_walk_stop(&ps->walk);
    rc_buf_deinit(&ps->late);
    rc_buf_deinit(&ps->out);
}

/* local.c - the members that live on this shard, and how a publication gets into their queues. */
#include "rc/base/mem.h"
#include "rc/broker/admin_ui.h"
#include "rc/broker/ask.h"
#include "rc/broker/audience.h"
#include "rc/broker/identity.h"
#include "rc/broker/inbox.h"
#include "rc/broker/presence.h"
#include "rc/broker/room.h"
#include "rc/broker/shard.h"
#include "rc/broker/space.h"

#include <stdlib.h>

enum {
    BATCH_COPY_MAX = 65536, /* bytes up to which a batch is copied into one run */
    BATCH_BYTES_MAX = 1 << 20,
    PREFETCH = 8, /* members ahead; a session is a cache miss away */
};

/* ---- requests of sockets ---- */

static bool lroom_eq(const void *room, const void *key)
{
    const struct rc_lroom *lr = room;
    const struct rc_room_key *k = key;

    return lr->name->nsp == k->nsp && rc_str_eq(rc_pub_room(lr->name), k->name);
}

static rc_id lroom_id(const struct rc_shard *sh, const struct rc_lroom *lr)
{
    return rc_id_make(sh->index, lr->hdr.slot, lr->hdr.gen);
}

static struct rc_lroom *find_room(struct rc_shard *sh, uint16_t nsp, struct rc_str name,
                                  uint64_t hash)
{
    struct rc_room_key key = {.name = name, .nsp = nsp};

    return rc_hmap_find(&sh->lroom_by_name, hash, lroom_eq, &key);
}

const struct rc_lroom *rc_local_room(struct rc_shard *sh, uint16_t nsp, struct rc_str name,
                                     uint64_t hash)
{
    return find_room(sh, nsp, name, hash);
}

static struct rc_lroom *new_room(struct rc_shard *sh, uint16_t nsp, struct rc_str name,
                                 uint64_t hash)
{
    struct rc_lroom *lr = rc_pool_get(&sh->lrooms);

    if (lr == NULL)
        return NULL;
    lr->name = rc_pub_new(nsp, name, hash, NULL, 0);
    lr->owner = rc_room_owner(sh, hash);
    lr->presence = rc_presence_is_kept(sh, nsp, name);
    rc_hmap_insert(&sh->lroom_by_name, hash, lr);
    return lr;
}

static void unref_room(struct rc_shard *sh, struct rc_lroom *lr)
{
    if (--lr->refs != 0)
        return;
    RC_ASSERT(lr->n == 0 && sh->batch.room != lr);
    if (rc_space_label(sh, lr->name->nsp, rc_pub_room(lr->name)).len == 0)
        sh->nspaces--;
    rc_hmap_remove(&sh->lroom_by_name, lr->name->hash, lr);
    rc_pub_unref(&lr->name);
    free(lr->member);
    lr->member = NULL;
    rc_pool_put(&sh->lrooms, lr);
}

static struct rc_member *record_of(const struct rc_socket *k, const struct rc_lroom *lr)
{
    for (unsigned i = 0; i < k->nrooms; i++)
        if (k->room[i].room == lr)
            return &k->room[i];
    return NULL;
}

static struct rc_member *add_record(struct rc_socket *k, struct rc_lroom *lr)
{
    if (k->nrooms == k->rooms_cap) {
        uint32_t cap = k->rooms_cap == 0 ? 1 : (uint32_t)k->rooms_cap * 2;

        if (cap > UINT16_MAX)
            cap = UINT16_MAX; /* max_rooms_per_socket goes no further */

        if (cap == 1) {
            k->room = &k->one;
        } else {
            struct rc_member *more =
                rc_realloc(k->room == &k->one ? NULL : k->room, cap * sizeof(*more));

            if (k->room == &k->one)
                more[0] = k->one;
            k->room = more;
        }
        k->rooms_cap = (uint16_t)cap;
    }
    lr->refs++;
    k->room[k->nrooms] = (struct rc_member){.room = lr, .index = RC_NOT_IN};
    return &k->room[k->nrooms++];
}

static void drop_record(struct rc_shard *sh, struct rc_socket *k, struct rc_member *m)
{
    struct rc_lroom *lr = m->room;

    *m = k->room[--k->nrooms];
    unref_room(sh, lr);
}

static rc_id socket_id(const struct rc_shard *sh, const struct rc_socket *k)
{
    return rc_id_make(sh->index, k->hdr.slot, k->hdr.gen);
}

/* What the owner has to know of whose socket it is; or NULL. */
static struct rc_pub *user_for(const struct rc_lroom *lr, const struct rc_socket *k)
{
    const struct rc_token *token = lr->presence ? rc_identity_token(k) : NULL;

    return token != NULL ? rc_pub_new(k->nsp, RC_STR_NONE, 0, token->user.p, token->user.len)
                         : NULL;
}

/* JOIN or LEAVE. answer: the socket waits for it. */
RC_ON_SHARD static void ask_owner(struct rc_shard *sh, struct rc_lroom *lr,
                                  enum rc_msg_type type, const struct rc_socket *k, bool answer)
{
    struct rc_msg msg = {.type = (uint8_t)type};

    msg.u.member = (struct rc_msg_member){
        .lroom = lroom_id(sh, lr),
        .socket = answer ? socket_id(sh, k) : 0,
        .room = rc_pub_ref(lr->name), /* the answer may free the room */
        .user = user_for(lr, k),
        .seen = lr->seen,
    };
    if (lr->owner != sh->index) {
        rc_shard_post(sh, lr->owner, &msg);
        return;
    }
    if (type == RC_MSG_JOIN)
        rc_room_join(sh, sh->index, &msg.u.member);
    else
        rc_room_leave(sh, sh->index, &msg.u.member);
    rc_msg_drop(&msg);
}

/* Rooms that it is leaving do not count, though the owner's answer may still be on its way. */
static bool has_rooms_left(const struct rc_shard *sh, const struct rc_socket *k)
{
    /* Those that no client can leave do not count: of all sockets of a dynamic namespace, and of
     * its user. */
    uint32_t own = sh->app->nsp[k->nsp].is_pattern + (rc_identity_token(k) != NULL);
    uint32_t max = sh->app->conf->limits_max_rooms_per_socket + own;
    uint32_t wanted = 0;

    if (k->nrooms < max && k->nrooms < UINT16_MAX)
        return true;
    for (unsigned i = 0; i < k->nrooms; i++)
        wanted += k->room[i].want;
    return wanted < max && k->nrooms < UINT16_MAX;
}

int rc_local_join(struct rc_shard *sh, struct rc_socket *k, struct rc_str name,
                  const char **why)
{
    uint64_t hash = rc_space_hash(sh, k->nsp, name);
    struct rc_lroom *lr = find_room(sh, k->nsp, name, hash);
    struct rc_member *m = lr != NULL ? record_of(k, lr) : NULL;

    if (m != NULL && m->want)
        return RC_OK;
    if (m == NULL) {
        if (!has_rooms_left(sh, k)) {
            *why = "max_rooms_per_socket";
            return RC_ELIMIT;
        }
        if (lr == NULL && (lr = new_room(sh, k->nsp, name, hash)) == NULL) {
            *why = "max_rooms";
            return RC_ELIMIT;
        }
        m = add_record(k, lr);
    }
    m->want = true;
    m->answers++;
    ask_owner(sh, lr, RC_MSG_JOIN, k, true);
    return RC_OK;
}

int rc_local_reserve(struct rc_shard *sh, struct rc_socket *k, struct rc_str home,
                     const char **why)
{
    uint64_t hash = rc_space_hash(sh, k->nsp, home);
    struct rc_lroom *lr = find_room(sh, k->nsp, home, hash);

    RC_ASSERT(k->nrooms == 0);
    if (lr == NULL) {
        if (sh->nspaces >= sh->app->conf->limits_max_namespaces) {
            *why = "max_namespaces";
            return RC_ELIMIT;
        }
        if ((lr = new_room(sh, k->nsp, home, hash)) == NULL) {
            *why = "max_rooms";
            return RC_ELIMIT;
        }
        sh->nspaces++;
    }
    (void)add_record(k, lr);
    return RC_OK;
}

int rc_local_reserve_user(struct rc_shard *sh, struct rc_socket *k, struct rc_str key,
                          const char **why)
{
    uint64_t hash = rc_space_hash(sh, k->nsp, key);
    struct rc_lroom *lr = find_room(sh, k->nsp, key, hash);

    if (lr == NULL && (lr = new_room(sh, k->nsp, key, hash)) == NULL) {
        *why = "max_rooms";
        return RC_ELIMIT;
    }
    (void)add_record(k, lr);
    return RC_OK;
}

void rc_local_leave(struct rc_shard *sh, struct rc_socket *k, struct rc_str name)
{
    struct rc_lroom *lr = find_room(sh, k->nsp, name, rc_space_hash(sh, k->nsp, name));
    struct rc_member *m = lr != NULL ? record_of(k, lr) : NULL;

    if (m == NULL || !m->want)
        return;
    m->want = false;
    m->answers++;
    ask_owner(sh, lr, RC_MSG_LEAVE, k, true);
}

bool rc_local_is_member(struct rc_shard *sh, const struct rc_socket *k, struct rc_str name)
{
    struct rc_lroom *lr = find_room(sh, k->nsp, name, rc_space_hash(sh, k->nsp, name));
    struct rc_member *m = lr != NULL ? record_of(k, lr) : NULL;

    return m != NULL && m->want;
}

/* ---- the member array ---- */

static uint32_t array_add(struct rc_lroom *lr, struct rc_socket *k)
{
    if (lr->n == lr->cap) {
        lr->cap = lr->cap < 4 ? lr->cap + 2 : lr->cap + lr->cap / 2;
        lr->member = rc_realloc(lr->member, lr->cap * sizeof(*lr->member));
    }
    lr->member[lr->n] = (struct rc_lmember){.session = k->session, .socket = k};
    return lr->n++;
}

/* The last member takes the place of the one that goes. */
static void array_remove(struct rc_shard *sh, struct rc_lroom *lr, uint32_t index)
{
    struct rc_socket *moved = lr->member[lr->n - 1].socket;

    lr->member[index] = lr->member[--lr->n];
    if (index != lr->n && lr == sh->all[moved->nsp]) {
        moved->all_index = index;
    } else if (index != lr->n) {
        struct rc_member *m = record_of(moved, lr);

        RC_ASSERT(m != NULL);
        m->index = index;
    }
    if (lr->cap > 8 && lr->n < lr->cap / 4) {
        lr->cap /= 2;
        lr->member = rc_realloc(lr->member, lr->cap * sizeof(*lr->member));
    }
}

/* Who gets the waiting batch was settled when it came: before the members change. */
RC_ON_SHARD static void settle(struct rc_shard *sh, const struct rc_lroom *lr)
{
    if (sh->batch.room == lr)
        rc_batch_distribute(sh);
}

void rc_local_joined(struct rc_shard *sh, rc_id lroom, rc_id socket)
{
    struct rc_lroom *lr = rc_pool_find(&sh->lrooms, rc_id_slot(lroom), rc_id_gen(lroom));
    struct rc_socket *k = rc_pool_find(&sh->sockets, rc_id_slot(socket), rc_id_gen(socket));
    struct rc_member *m;

    if (lr == NULL || k == NULL || k->closed || (m = record_of(k, lr)) == NULL)
        return;
    settle(sh, lr);
    m->answers--;
    if (m->index == RC_NOT_IN) {
        m->index = array_add(lr, k);
        if (sh->ui_live)
            rc_ui_moved(sh, k, lr, true);
    }
}

void rc_local_left(struct rc_shard *sh, rc_id lroom, rc_id socket)
{
    struct rc_lroom *lr = rc_pool_find(&sh->lrooms, rc_id_slot(lroom), rc_id_gen(lroom));
    struct rc_socket *k = rc_pool_find(&sh->sockets, rc_id_slot(socket), rc_id_gen(socket));
    struct rc_member *m;

    if (lr == NULL || k == NULL || k->closed || (m = record_of(k, lr)) == NULL)
        return;
    settle(sh, lr);
    if (m->index != RC_NOT_IN) {
        array_remove(sh, lr, m->index);
        if (sh->ui_live)
            rc_ui_moved(sh, k, lr, false);
    }
    m->index = RC_NOT_IN;
    if (--m->answers == 0 && !m->want)
        drop_record(sh, k, m);
}

void rc_local_enter_all(struct rc_shard *sh, struct rc_socket *k)
{
    settle(sh, sh->all[k->nsp]);
    k->all_index = array_add(sh->all[k->nsp], k);
}

void rc_local_leave_everything(struct rc_shard *sh, struct rc_socket *k)
{
    settle(sh, sh->all[k->nsp]);
    if (k->all_index != RC_NOT_IN)
        array_remove(sh, sh->all[k->nsp], k->all_index);
    k->all_index = RC_NOT_IN;
    while (k->nrooms != 0) {
        struct rc_member *m = &k->room[k->nrooms - 1];
        struct rc_lroom *lr = m->room;

        settle(sh, lr);
        if (m->index != RC_NOT_IN)
            array_remove(sh, lr, m->index);
        if (m->want)
            ask_owner(sh, lr, RC_MSG_LEAVE, k, false);
        k->nrooms--;
        unref_room(sh, lr);
    }
    if (k->room != &k->one)
        free(k->room);
    k->room = NULL;
    k->rooms_cap = 0;
}

/* ---- delivery ---- */

static uint32_t count_receivers(const struct rc_shard *sh, const struct rc_lroom *lr,
                                const struct rc_socket *except)
{
    const struct rc_member *m;

    if (lr == NULL)
        return 0;
    if (except == NULL || except->closed)
        return lr->n;
    if (lr == sh->all[except->nsp])
        return lr->n - 1;
    m = record_of(except, lr);
    return lr->n - (m != NULL && m->index != RC_NOT_IN);
}

void rc_local_deliver(struct rc_shard *sh, rc_id lroom, struct rc_pub *pub, rc_id except)
{
    struct rc_batch *b = &sh->batch;
    struct rc_socket *ex = NULL;
    struct rc_lroom *lr;

    if (pub->audience != NULL) {
        rc_audience_deliver(sh, pub);
        return;
    }
    lr = lroom == 0 ? sh->all[pub->nsp]
                    : rc_pool_find(&sh->lrooms, rc_id_slot(lroom), rc_id_gen(lroom));
    if (except != 0 && rc_id_shard(except) == sh->index)
        ex = rc_pool_find(&sh->sockets, rc_id_slot(except), rc_id_gen(except));
    if (pub->ask != 0)
        rc_ask_report(sh, pub->ask, RC_MSG_ASK_SOCKETS, count_receivers(sh, lr, ex));
    if (pub->message != 0)
        rc_inbox_given(sh, lroom, pub);
    if (lr == NULL || lr->n == 0)
        return;
    if (b->n != 0 && (b->room != lr || b->except != ex || b->n == RC_BATCH_MAX ||
                      b->bytes + pub->len > BATCH_BYTES_MAX))
        rc_batch_distribute(sh);
    b->room = lr;
    b->except = ex;
    b->pub[b->n++] = rc_pub_ref(pub);
    b->bytes += pub->len;
    rc_births_add(&sh->births, pub->born_us);
}

static void unpin_pub(void *pub)
{
    struct rc_pub *p = pub;

    rc_pub_unref(&p);
}

/* One segment for the whole batch: pinned when it is one publication, else copied together. */
static struct rc_seg *seal(struct rc_batch *b)
{
    struct rc_seg *seg;
    uint8_t *to;

    if (b->n == 1)
        return rc_seg_pin(b->pub[0]->data, b->pub[0]->len, b->pub[0], unpin_pub);
    seg = rc_seg_new(NULL, b->bytes);
    to = rc_seg_bytes(seg);
    for (unsigned i = 0; i < b->n; i++) {
        memcpy(to, b->pub[i]->data, b->pub[i]->len);
        to += b->pub[i]->len;
        rc_pub_unref(&b->pub[i]);
    }
    return seg;
}

/* Gives every member but one a reference: of seg, or of its other form when it wants that,
 * which is made once. Takes over seg, which holds npubs publications. */
RC_ON_SHARD static void hand_out(struct rc_shard *sh, const struct rc_batch *b,
                                 struct rc_seg *seg, unsigned npubs)
{
    const struct rc_lmember *m = b->room->member;
    struct rc_seg *form[RC_FORM_COUNT] = {[RC_FORM_FRAMES] = seg};
    uint32_t n = b->room->n, given = 0, bytes = seg->len;

    for (uint32_t i = 0; i < n; i++) {
        struct rc_session *s = m[i].session;

        if (i + PREFETCH < n)
            __builtin_prefetch(&m[i + PREFETCH].session->out, 1);
        if (m[i].socket == b->except)
            continue;
        if (form[s->form] == NULL)
            form[s->form] = rc_form_make(&sh->former, seg, s->form);
        rc_outq_push(&s->out, rc_seg_ref(form[s->form]));
        rc_shard_add_dirty(sh, s);
        given++;
    }
    for (unsigned i = 0; i < RC_FORM_COUNT; i++)
        if (form[i] != NULL)
            rc_seg_unref(form[i]);
    rc_stat_add(&sh->stats.deliveries, (int64_t)given * npubs);
    rc_ui_packets_out(sh, (uint64_t)given * npubs, (uint64_t)given * bytes);
    if (given != 0)
        rc_hist_add(&sh->stats.fanout, given, npubs);
}

void rc_batch_distribute(struct rc_shard *sh)
{
    struct rc_batch *b = &sh->batch;

    if (b->n == 0)
        return;
    for (unsigned i = 0; sh->ui_live && i < b->n; i++)
        rc_ui_sent_to_room(sh, b->room, b->except, rc_pub_data(b->pub[i]));
    if (b->n > 1 && b->bytes > BATCH_COPY_MAX) {
        for (unsigned i = 0; i < b->n; i++)
            hand_out(sh, b, rc_seg_pin(b->pub[i]->data, b->pub[i]->len, b->pub[i], unpin_pub),
                     1);
    } else {
        hand_out(sh, b, seal(b), b->n);
    }
    b->n = 0;
    b->bytes = 0;
    b->room = NULL;
    b->except = NULL;
}

void rc_batch_before(struct rc_shard *sh, const struct rc_session *s)
{
    const struct rc_lroom *lr = sh->batch.room;

    if (lr == NULL)
        return;
    for (const struct rc_socket *k = s->sockets; k != NULL; k = k->next) {
        if (lr == sh->all[k->nsp] || record_of(k, lr) != NULL) {
            rc_batch_distribute(sh);
            return;
        }
    }
}

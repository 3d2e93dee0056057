/* presence.c - who is in a room, told by its owner. */
#include "presence_int.h"

#include "rc/base/mem.h"
#include "rc/broker/lane.h"
#include "rc/broker/room.h"
#include "rc/broker/socket.h"
#include "rc/broker/space.h"
#include "rc/proto/json.h"

#include <stdlib.h>

enum { TELL_MS = 50 }; /* from the first change to the event */

static const struct rc_room_rule *rule_of(const struct rc_shard *sh, uint16_t nsp,
                                          struct rc_str key)
{
    const struct rc_room_rules *rules = &sh->app->nsp[nsp].rooms;
    const struct rc_room_rule *rule = NULL;
    struct rc_str label;

    if (rules->n == 0)
        return NULL;
    label = rc_space_label(sh, nsp, key);
    if (label.len != 0 && !rc_space_is_hidden(label))
        rule = rc_room_rules_find(rules, label);
    return rule != NULL && rule->presence ? rule : NULL;
}

bool rc_presence_is_kept(const struct rc_shard *sh, uint16_t nsp, struct rc_str key)
{
    return rule_of(sh, nsp, key) != NULL;
}

/* ---- packets ---- */

/* The name of the namespace that a room of that key is in. */
static struct rc_str space_of(const struct rc_shard *sh, uint16_t nsp, struct rc_str key)
{
    size_t label = rc_space_label(sh, nsp, key).len;

    return label != key.len ? rc_str_make(key.p, key.len - label - 1) : sh->app->nsp[nsp].name;
}

struct rc_str rc_presence_space(const struct rc_shard *sh, const struct rc_presence *p)
{
    return space_of(sh, p->nsp, rc_str_make(p->key, p->len));
}

struct rc_str rc_presence_label(const struct rc_shard *sh, const struct rc_presence *p)
{
    return rc_space_label(sh, p->nsp, rc_str_make(p->key, p->len));
}

/* ["presence",{"room":"lobby" */
static void begin_event(struct rc_shard *sh, uint16_t nsp, struct rc_str key)
{
    struct rc_buf *b = &sh->scratch;

    rc_frames_begin(b);
    rc_sio_put_head(b, RC_SIO_EVENT, 0, space_of(sh, nsp, key), false, 0);
    rc_buf_putc(b, '[');
    rc_json_string_encode(rc_str_of(sh->app->conf->socketio_presence_event), b);
    rc_buf_putz(b, ",{\"room\":");
    rc_json_string_encode(rc_space_label(sh, nsp, key), b);
}

/* ,"name":["ann","bob"] */
static void put_list(struct rc_buf *b, const char *name, const struct rc_roster_list *list)
{
    rc_buf_printf(b, ",\"%s\":[", name);
    rc_buf_puts(b, rc_buf_str(&list->json));
    rc_buf_putc(b, ']');
}

static struct rc_str end_packet(struct rc_buf *b)
{
    rc_buf_putz(b, "}]");
    rc_frames_end(b);
    return rc_frames(b);
}

/* ---- changes ---- */

RC_ON_SHARD static void publish(struct rc_shard *sh, const struct rc_presence *p,
                                const struct rc_roster_list *joined,
                                const struct rc_roster_list *left)
{
    struct rc_str key = rc_str_make(p->key, p->len), frames;
    struct rc_buf *b = &sh->scratch;

    begin_event(sh, p->nsp, key);
    put_list(b, "joined", joined);
    put_list(b, "left", left);
    rc_buf_printf(b, ",\"count\":%u", p->roster.count);
    if (joined->more || left->more)
        rc_buf_putz(b, ",\"more\":true");
    frames = end_packet(b);
    rc_room_publish(sh, rc_pub_new(p->nsp, key, p->hash, frames.p, frames.len), 0);
}

static void on_tell(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_presence *p = RC_CONTAINER(t, struct rc_presence, tell);
    struct rc_roster_list joined = {.n = 0}, left = {.n = 0};

    rc_assert_on_shard(sh);
    rc_roster_take(&p->roster, sh->app->conf->limits_users_listed, &joined, &left);
    if (p->room != NULL && joined.n + left.n != 0 &&
        sh->app->conf->socketio_presence_event[0] != '\0')
        publish(sh, p, &joined, &left);
    rc_buf_deinit(&joined.json);
    rc_buf_deinit(&left.json);
}

void rc_presence_changed(struct rc_shard *sh, struct rc_presence *p)
{
    if (rc_roster_has_changes(&p->roster) && !rc_timer_running(&p->tell))
        rc_timer_start(&sh->presences->q_tell, &p->tell, sh->loop.now_ms);
}

static void on_held(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_roster *roster = rc_roster_lapse(t);

    rc_assert_on_shard(sh);
    rc_presence_changed(sh, RC_CONTAINER(roster, struct rc_presence, roster));
}

void rc_presence_enter(struct rc_shard *sh, struct rc_presence *p, struct rc_str user)
{
    rc_roster_enter(&p->roster, user);
    rc_presence_changed(sh, p);
    rc_presence_share(sh);
}

void rc_presence_leave(struct rc_shard *sh, struct rc_presence *p, struct rc_str user)
{
    rc_roster_leave(&p->roster, user, p->held, sh->loop.now_ms);
    rc_presence_changed(sh, p);
    rc_presence_share(sh);
}

/* ---- the list ---- */

/* The packet that the asker gets. */
static struct rc_str build_answer(struct rc_shard *sh, uint16_t nsp, struct rc_str key,
                                  uint64_t hash, const struct rc_presence_form *form)
{
    const struct rc_presence *p = rc_presence_find(sh, nsp, key, hash);
    struct rc_roster_list users = {.n = 0};
    struct rc_buf *b = &sh->scratch;

    if (p != NULL)
        rc_roster_put(&p->roster, sh->app->conf->limits_users_listed, &users);
    if (form->as_ack) {
        rc_frames_begin(b);
        rc_sio_put_head(b, RC_SIO_ACK, 0, space_of(sh, nsp, key), true, form->id);
        rc_buf_putz(b, "[{\"ok\":true,\"room\":");
        rc_json_string_encode(rc_space_label(sh, nsp, key), b);
    } else {
        begin_event(sh, nsp, key);
        rc_buf_putz(b, ",\"full\":true");
    }
    rc_buf_printf(b, ",\"count\":%u", p != NULL ? p->roster.count : 0);
    put_list(b, "users", &users);
    rc_buf_deinit(&users.json);
    rc_buf_printf(b, ",\"more\":%s", users.more ? "true" : "false");
    return end_packet(b);
}

void rc_presence_ask(struct rc_shard *sh, struct rc_session *s, uint16_t nsp, struct rc_str key,
                     const struct rc_presence_form *form)
{
    uint64_t hash = rc_space_hash(sh, nsp, key);
    unsigned owner = rc_room_owner(sh, hash);
    struct rc_msg msg = {.type = RC_MSG_PRESENCE};

    if (owner == sh->index) {
        rc_lane_reply(sh, s, build_answer(sh, nsp, key, hash, form));
        return;
    }
    msg.u.direct.to = rc_session_id(sh, s);
    msg.u.direct.pub = rc_pub_new(nsp, key, hash, form, sizeof(*form));
    rc_shard_post(sh, owner, &msg);
    rc_lane_mark(sh, s);
}

void rc_presence_mail(struct rc_shard *sh, struct rc_msg *msg)
{
    const struct rc_pub *asked = msg->u.direct.pub;
    struct rc_str key = rc_pub_room(asked), frames;
    struct rc_msg answer = {.type = RC_MSG_DIRECT};
    struct rc_presence_form form;

    memcpy(&form, asked->data, sizeof(form));
    frames = build_answer(sh, asked->nsp, key, asked->hash, &form);
    answer.u.direct.to = msg->u.direct.to;
    answer.u.direct.pub = rc_pub_new(0, RC_STR_NONE, 0, frames.p, frames.len);
    rc_shard_post(sh, msg->from, &answer);
    rc_pub_unref(&msg->u.direct.pub);
}

/* ---- life ---- */

static struct rc_timerq *held_for(struct rc_shard *sh, uint32_t hold_ms)
{
    struct rc_presences *ps = sh->presences;
    struct rc_held *h = ps->held;

    while (h != NULL && h->q.duration_ms != hold_ms)
        h = h->next;
    if (h == NULL) {
        h = rc_malloc(sizeof(*h));
        rc_timerq_init(&h->q, hold_ms, on_held, sh);
        h->next = ps->held;
        ps->held = h;
        rc_loop_add_timerq(&sh->loop, &h->q);
    }
    return &h->q;
}

static bool same_key(const void *value, const void *key)
{
    const struct rc_presence *p = value;
    const struct rc_room_key *k = key;

    return p->nsp == k->nsp && rc_str_eq(rc_str_make(p->key, p->len), k->name);
}

struct rc_presence *rc_presence_find(const struct rc_shard *sh, uint16_t nsp, struct rc_str key,
                                     uint64_t hash)
{
    const struct rc_room_key k = {.name = key, .nsp = nsp};

    return rc_hmap_find(&sh->presences->by_key, hash, same_key, &k);
}

struct rc_presence *rc_presence_find_or_new(struct rc_shard *sh, uint16_t nsp,
                                            struct rc_str key, uint64_t hash)
{
    struct rc_presences *ps = sh->presences;
    struct rc_presence *p = rc_presence_find(sh, nsp, key, hash);
    const struct rc_room_rule *rule;

    if (p != NULL || (rule = rule_of(sh, nsp, key)) == NULL)
        return p;
    p = rc_malloc(sizeof(*p) + key.len);
    *p = (struct rc_presence){.hash = hash, .nsp = nsp, .len = (uint32_t)key.len};
    memcpy(p->key, key.p, key.len);
    p->held = held_for(sh, rule->hold_ms);
    rc_roster_init(&p->roster, sh->app->cluster != NULL ? &ps->share : NULL);
    rc_hmap_insert(&ps->by_key, hash, p);
    ps->nremote++;
    return p;
}

static void free_presence(struct rc_presence *p)
{
    rc_timer_stop(&p->tell);
    rc_roster_deinit(&p->roster);
    free(p);
}

void rc_presence_drop_if_empty(struct rc_shard *sh, struct rc_presence *p)
{
    if (p->room != NULL || p->roster.nstays != 0)
        return;
    rc_presence_share_last(sh, p);
    rc_hmap_remove(&sh->presences->by_key, p->hash, p);
    sh->presences->nremote--;
    free_presence(p);
}

struct rc_presence *rc_presence_begin(struct rc_shard *sh, struct rc_room *r)
{
    struct rc_str key = rc_str_make(r->name, r->name_len);
    const struct rc_room_rule *rule = rule_of(sh, r->nsp, key);
    struct rc_presence *p =
        rule != NULL ? rc_presence_find_or_new(sh, r->nsp, key, r->hash) : NULL;

    if (p == NULL)
        return NULL;
    p->room = r;
    p->held = held_for(sh, rule->hold_ms);
    sh->presences->nremote--;
    return p;
}

void rc_presence_end(struct rc_shard *sh, struct rc_presence *p)
{
    if (p == NULL)
        return;
    p->room = NULL;
    sh->presences->nremote++;
    rc_presence_drop_if_empty(sh, p);
}

void rc_presence_init(struct rc_shard *sh)
{
    struct rc_presences *ps = rc_calloc(1, sizeof(*ps));

    sh->presences = ps;
    rc_timerq_init(&ps->q_tell, TELL_MS, on_tell, sh);
    rc_loop_add_timerq(&sh->loop, &ps->q_tell);
    rc_presence_peers_init(sh);
}

void rc_presence_deinit(struct rc_shard *sh)
{
    struct rc_presences *ps = sh->presences;
    struct rc_presence *p;
    struct rc_held *next;
    uint32_t cursor = 0;

    while ((p = rc_hmap_next(&ps->by_key, &cursor)) != NULL)
        free_presence(p);
    rc_hmap_deinit(&ps->by_key);
    rc_presence_peers_deinit(sh);
    for (struct rc_held *h = ps->held; h != NULL; h = next) {
        next = h->next;
        free(h);
    }
    free(ps);
}

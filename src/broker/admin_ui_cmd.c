/* admin_ui_cmd.c - what operators do: emit, join, leave, disconnect, to all sockets of a namespace or to those of a room.
 *
 * An emit is a publication like any other. The others go to all shards, which walk their sockets, a
 * slice in each turn. */
#include "admin_ui_int.h"
#include "rc/base/mem.h"
#include "rc/broker/room.h"
#include "rc/broker/socket.h"
#include "rc/broker/space.h"
#include "rc/broker/survey.h"
#include "rc/broker/verbs.h"
#include "rc/proto/json.h"

#include <stdlib.h>

enum {
    SLICE = 256,    /* sockets that are looked at in a turn */
    JOBS_MAX = 256, /* commands under way on a shard */
    WORDS_MAX = 4,  /* of a command that is no emit */
    LOGGED = 200,   /* bytes of a command's arguments */
};

struct job {
    struct rc_list link; /* of rc_ui.jobs */
    enum rc_ui_verb verb;
    uint16_t nsp;
    bool close; /* the connection, not only the namespace */
    uint32_t cursor;
    struct rc_address one; /* the only socket; id 0: all, or */
    struct rc_str home;    /* of a dynamic namespace, else empty */
    struct rc_str in;      /* those of the room with that key; empty: all of them */
    struct rc_str room;    /* JOIN, LEAVE: the key */
    char bytes[];
};

/* ---- names ---- */

struct place {
    const struct rc_nsp *nsp;
    struct rc_str name;
    struct rc_buf home;
};

/* False: there is no such namespace. */
static bool find_place(const struct rc_shard *sh, struct rc_str name, struct place *p)
{
    *p = (struct place){.nsp = rc_app_nsp(sh->app, name, false), .name = name};
    if (p->nsp == NULL)
        p->nsp = rc_app_pattern(sh->app, name);
    if (p->nsp != NULL && p->nsp->is_pattern) {
        rc_buf_puts(&p->home, name);
        rc_buf_putc(&p->home, '\0');
    }
    return p->nsp != NULL;
}

/* Appends the key of the room of that name. */
static void put_key(const struct place *p, struct rc_str room, struct rc_buf *to)
{
    rc_buf_puts(to, rc_buf_str(&p->home));
    rc_buf_puts(to, room);
}

/* A name as JSON: null, or nothing, is none. False: it is no name. */
static bool get_name(struct rc_str json, struct rc_buf *to)
{
    rc_buf_reset(to);
    if (json.len == 0 || rc_json_type(json) == RC_JSON_NULL)
        return true;
    return rc_json_string_decode(json, to) == RC_OK;
}

static bool is_room_name(const struct rc_shard *sh, struct rc_str name)
{
    return name.len != 0 && name.len <= sh->app->conf->limits_max_room_length &&
           !rc_space_is_hidden(name);
}

/* ---- on each shard: join, leave, disconnect ---- */

static struct rc_str copy_to(char **at, struct rc_str s)
{
    struct rc_str copy = rc_str_make(*at, s.len);

    if (s.len != 0)
        memcpy(*at, s.p, s.len);
    *at += s.len;
    return copy;
}

/* last: the room, or whether to close. */
RC_ON_SHARD static void add_job(struct rc_shard *sh, enum rc_ui_verb verb,
                                const struct place *p, struct rc_str filter, struct rc_str last)
{
    struct rc_address one = rc_socket_parse(p->name, filter);
    struct rc_buf in = RC_BUF_INIT, room = RC_BUF_INIT;
    struct job *j;
    char *at;

    if (filter.len != 0 && one.id == 0)
        put_key(p, filter, &in);
    if (verb != RC_UI_DISCONNECT)
        put_key(p, last, &room);
    j = rc_malloc(sizeof(*j) + p->home.len + in.len + room.len);
    *j = (struct job){.verb = verb, .nsp = p->nsp->index, .one = one};
    j->close = verb == RC_UI_DISCONNECT && rc_str_eq(last, RC_STR("true"));
    at = j->bytes;
    j->home = copy_to(&at, rc_buf_str(&p->home));
    j->in = copy_to(&at, rc_buf_str(&in));
    j->room = copy_to(&at, rc_buf_str(&room));
    rc_list_append(&sh->ui->jobs, &j->link);
    sh->ui->njobs++;
    rc_buf_deinit(&in);
    rc_buf_deinit(&room);
}

void rc_ui_on_command(struct rc_shard *sh, const struct rc_msg *msg)
{
    struct rc_json_walk walk = {.max_depth = 1};
    struct rc_buf word[WORDS_MAX - 1] = {RC_BUF_INIT};
    struct rc_str json[WORDS_MAX];
    struct place p;
    int n = rc_json_array(rc_pub_data(msg->u.ui.pub), json, WORDS_MAX, &walk);

    RC_ASSERT(n == WORDS_MAX);
    for (unsigned i = 0; i + 1 < WORDS_MAX; i++)
        (void)get_name(json[1 + i], &word[i]);
    if (sh->ui->njobs >= JOBS_MAX)
        rc_shard_log(sh, RC_LOG_WARN,
                     "admin ui: %d commands are under way, one more is left out",
                     (int)JOBS_MAX);
    else if (find_place(sh, rc_buf_str(&word[0]), &p)) {
        bool close = rc_json_type(json[3]) == RC_JSON_TRUE;

        add_job(sh, (enum rc_ui_verb)msg->count, &p, rc_buf_str(&word[1]),
                close ? RC_STR("true") : rc_buf_str(&word[2]));
        rc_buf_deinit(&p.home);
    }
    for (unsigned i = 0; i + 1 < WORDS_MAX; i++)
        rc_buf_deinit(&word[i]);
}

RC_ON_SHARD static void disconnect(struct rc_shard *sh, struct rc_socket *k, bool whole)
{
    struct rc_session *s = k->session;

    if (whole || s->kind == RC_SESSION_ENDPOINT) {
        rc_survey_end(sh, s);
        return;
    }
    rc_frames_begin(&sh->scratch);
    rc_sio_put_head(&sh->scratch, RC_SIO_DISCONNECT, 0, rc_space_name(sh, k), false, 0);
    rc_frames_end(&sh->scratch);
    rc_session_push(sh, s, rc_seg_new(rc_frames(&sh->scratch).p, rc_frames(&sh->scratch).len));
    rc_socket_close(sh, k);
}

RC_ON_SHARD static void apply(struct rc_shard *sh, const struct job *j, struct rc_socket *k)
{
    const char *why = "";

    switch (j->verb) {
    case RC_UI_JOIN:
        if (rc_local_join(sh, k, j->room, &why) != RC_OK)
            rc_shard_log(sh, RC_LOG_WARN,
                         "admin ui: a socket was not made to join: limit limits.%s is reached",
                         why);
        return;
    case RC_UI_LEAVE: rc_local_leave(sh, k, j->room); return;
    case RC_UI_DISCONNECT: disconnect(sh, k, j->close); return;
    }
}

/* Is the command for that socket? */
RC_ON_SHARD static bool is_meant(struct rc_shard *sh, const struct job *j,
                                 const struct rc_socket *k)
{
    if (k->closed || k->nsp != j->nsp || !rc_str_eq(rc_space_home(sh, k), j->home))
        return false;
    if (j->one.id != 0)
        return rc_socket_is(sh, k, j->one);
    return j->in.len == 0 || rc_local_is_member(sh, k, j->in);
}

/* False: it is done. */
RC_ON_SHARD static bool work_on(struct rc_shard *sh, struct job *j)
{
    uint32_t slots = sh->sockets.nchunks * sh->sockets.per_chunk, end = j->cursor + SLICE;

    if (j->one.id != 0 && !j->one.is_session) {
        struct rc_socket *k = NULL;

        if (rc_id_shard(j->one.id) == sh->index)
            k = rc_pool_find(&sh->sockets, rc_id_slot(j->one.id), rc_id_gen(j->one.id));
        if (k != NULL && is_meant(sh, j, k))
            apply(sh, j, k);
        return false;
    }
    for (; j->cursor < slots && j->cursor < end; j->cursor++) {
        struct rc_socket *k = rc_pool_at(&sh->sockets, j->cursor);

        if (k != NULL && is_meant(sh, j, k))
            apply(sh, j, k);
    }
    return j->cursor < slots;
}

static void free_job(struct rc_ui *ui, struct job *j)
{
    rc_list_remove(&j->link);
    ui->njobs--;
    free(j);
}

/* One after the other: what an operator asks for first is done first. */
void rc_ui_work(struct rc_shard *sh)
{
    struct job *j = RC_CONTAINER(sh->ui->jobs.next, struct job, link);

    if (!rc_mesh_spilling(sh->mesh, sh->index) && !work_on(sh, j))
        free_job(sh->ui, j);
}

void rc_ui_jobs_free(struct rc_ui *ui)
{
    struct rc_list *l = ui->jobs.next;

    while (l != &ui->jobs) {
        struct job *j = RC_CONTAINER(l, struct job, link);

        l = l->next;
        free_job(ui, j);
    }
}

/* ---- emit ---- */

RC_ON_SHARD static void publish(struct rc_shard *sh, struct rc_pub *pub)
{
    unsigned owner = rc_room_owner(sh, pub->hash);
    struct rc_msg msg = {.type = RC_MSG_PUBLISH};

    if (owner == sh->index) {
        rc_room_publish(sh, pub, 0);
        return;
    }
    msg.u.deliver.pub = pub;
    rc_shard_post(sh, owner, &msg);
}

/* All arguments from the event's name on, with the attachments. */
static void build_event(struct rc_shard *sh, struct rc_str nsp, const struct rc_event *ev)
{
    const struct rc_sio_packet *p = ev->packet;
    const char *from = p->args[2].p, *end = p->args_raw.p + p->args_raw.len;
    bool binary = ev->nattachments != 0;

    rc_frames_begin(&sh->scratch);
    rc_sio_put_head(&sh->scratch, binary ? RC_SIO_BINARY_EVENT : RC_SIO_EVENT, ev->nattachments,
                    nsp, false, 0);
    rc_buf_putc(&sh->scratch, '[');
    rc_buf_put(&sh->scratch, from, (size_t)(end - from));
    rc_buf_putc(&sh->scratch, ']');
    rc_frames_end(&sh->scratch);
    for (unsigned i = 0; i < ev->nattachments; i++)
        rc_frames_attach(&sh->scratch, ev->attachment[i]);
}

RC_ON_SHARD static void emit_to(struct rc_shard *sh, struct rc_session *s,
                                const struct place *p, struct rc_str filter,
                                const struct rc_event *ev)
{
    struct rc_address one = rc_socket_parse(p->name, filter);
    struct rc_buf key = RC_BUF_INIT;
    struct rc_str room, frames;
    struct rc_pub *pub;

    put_key(p, one.id == 0 ? filter : RC_STR_NONE, &key);
    room = rc_buf_str(&key);
    build_event(sh, p->name, ev);
    frames = rc_frames(&sh->scratch);
    pub = rc_pub_new(p->nsp->index, room, rc_space_hash(sh, p->nsp->index, room), frames.p,
                     frames.len);
    if (one.id != 0)
        rc_send_to_socket(sh, s, &one, pub);
    else
        publish(sh, pub);
    rc_buf_deinit(&key);
}

/* emit (nsp, filter, event, ...args) */
RC_ON_SHARD static bool emit(struct rc_shard *sh, struct rc_socket *k,
                             const struct rc_event *ev)
{
    const struct rc_sio_packet *p = ev->packet;
    struct rc_buf nsp = RC_BUF_INIT, filter = RC_BUF_INIT;
    struct place place = {.nsp = NULL};
    bool ok = p->nargs >= 3 && get_name(p->args[0], &nsp) && get_name(p->args[1], &filter) &&
              rc_json_type(p->args[2]) == RC_JSON_STRING &&
              !rc_sio_event_reserved(p->args[2]) &&
              (filter.len == 0 || is_room_name(sh, rc_buf_str(&filter))) &&
              find_place(sh, rc_buf_str(&nsp), &place);

    if (ok)
        emit_to(sh, k->session, &place, rc_buf_str(&filter), ev);
    rc_buf_deinit(&place.home);
    rc_buf_deinit(&nsp);
    rc_buf_deinit(&filter);
    return ok;
}

/* ---- commands ---- */

/* To every shard: [verb, namespace, filter, room or close]. */
RC_ON_SHARD static void spread(struct rc_shard *sh, enum rc_ui_verb verb, struct rc_str nsp,
                               struct rc_str filter, struct rc_str last)
{
    struct rc_buf json = RC_BUF_INIT;
    struct rc_pub *pub;

    rc_buf_putz(&json, "[0,");
    rc_buf_puts(&json, nsp);
    rc_buf_putc(&json, ',');
    rc_buf_puts(&json, filter.len != 0 ? filter : RC_STR("null"));
    rc_buf_putc(&json, ',');
    rc_buf_puts(&json, last.len != 0 ? last : RC_STR("null"));
    rc_buf_putc(&json, ']');
    pub = rc_pub_new(sh->ui->nsp, RC_STR_NONE, 0, json.data, json.len);
    for (unsigned to = 0; to < sh->nshards; to++) {
        struct rc_msg msg = {.type = RC_MSG_UI_COMMAND, .count = verb};

        msg.u.ui.pub = pub;
        if (to == sh->index) {
            rc_ui_on_command(sh, &msg);
            continue;
        }
        (void)rc_pub_ref(pub);
        rc_shard_post(sh, to, &msg);
    }
    rc_pub_unref(&pub);
    rc_buf_deinit(&json);
}

/* Are those a namespace that there is, and a filter? */
static bool is_aim(const struct rc_shard *sh, struct rc_str nsp, struct rc_str filter)
{
    struct rc_buf name = RC_BUF_INIT, room = RC_BUF_INIT;
    struct place place = {.nsp = NULL};
    bool ok = get_name(nsp, &name) && get_name(filter, &room) &&
              (room.len == 0 || is_room_name(sh, rc_buf_str(&room))) &&
              find_place(sh, rc_buf_str(&name), &place);

    rc_buf_deinit(&place.home);
    rc_buf_deinit(&name);
    rc_buf_deinit(&room);
    return ok;
}

static bool is_room(const struct rc_shard *sh, struct rc_str json)
{
    struct rc_buf room = RC_BUF_INIT;
    bool ok = get_name(json, &room) && is_room_name(sh, rc_buf_str(&room));

    rc_buf_deinit(&room);
    return ok;
}

/* join, leave (nsp, room, filter); _disconnect (nsp, close, filter) */
RC_ON_SHARD static bool command(struct rc_shard *sh, enum rc_ui_verb verb,
                                const struct rc_sio_packet *p)
{
    struct rc_str filter = p->nargs > 2 ? p->args[2] : RC_STR_NONE;
    bool close;

    if (p->nargs < 1 || !is_aim(sh, p->args[0], filter))
        return false;
    if (verb != RC_UI_DISCONNECT && (p->nargs < 2 || !is_room(sh, p->args[1])))
        return false;
    close = p->nargs > 1 && rc_json_type(p->args[1]) == RC_JSON_TRUE;
    spread(sh, verb, p->args[0], filter,
           verb != RC_UI_DISCONNECT ? p->args[1]
           : close                  ? RC_STR("true")
                                    : RC_STR_NONE);
    return true;
}

static bool carry_out(struct rc_shard *sh, struct rc_socket *k, const struct rc_event *ev)
{
    const struct rc_sio_packet *p = ev->packet;

    rc_assert_on_shard(sh);
    if (sh->app->conf->admin_ui_read_only)
        return false;
    if (rc_json_string_eq(p->event, RC_STR("emit")))
        return emit(sh, k, ev);
    if (ev->nattachments != 0)
        return false;
    if (rc_json_string_eq(p->event, RC_STR("join")))
        return command(sh, RC_UI_JOIN, p);
    if (rc_json_string_eq(p->event, RC_STR("leave")))
        return command(sh, RC_UI_LEAVE, p);
    if (rc_json_string_eq(p->event, RC_STR("_disconnect")))
        return command(sh, RC_UI_DISCONNECT, p);
    return false;
}

void rc_ui_event(struct rc_shard *sh, struct rc_socket *k, const struct rc_event *ev)
{
    const struct rc_sio_packet *p = ev->packet;
    const struct rc_ui_peer *peer = rc_ui_peer_of(sh, k->session);
    const char *address = peer != NULL ? peer->address : "?";
    struct rc_str args = p->args_raw;

    rc_stat_add(&sh->stats.events_in, 1);
    if (p->nargs > 3) /* not what an emit says */
        args.len = (size_t)(p->args[2].p - args.p) + p->args[2].len;
    args.len = args.len < LOGGED ? args.len : LOGGED;
    if (carry_out(sh, k, ev)) {
        rc_shard_log(sh, RC_LOG_INFO, "admin ui: %.*s %.*s by peer=%s", RC_STR_ARG(p->event),
                     RC_STR_ARG(args), address);
        return;
    }
    rc_stat_add(&sh->stats.refused, 1);
    rc_shard_log(sh, RC_LOG_WARN, "admin ui: refused%s: %.*s %.*s by peer=%s",
                 sh->app->conf->admin_ui_read_only ? ", admin.ui_read_only = yes" : "",
                 RC_STR_ARG(p->event), RC_STR_ARG(args), address);
}

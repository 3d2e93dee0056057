/* verbs.c - runs the rule of an event, or of a connect: action by action, and on from where it had
 * to wait. */
#include "rc/broker/verbs.h"

#include "exec.h"
#include "rc/base/mem.h"
#include "rc/broker/admin_ui.h"
#include "rc/broker/identity.h"
#include "rc/broker/json_client.h"
#include "rc/broker/lane.h"
#include "rc/broker/meter.h"
#include "rc/broker/room.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"
#include "rc/broker/space.h"
#include "rc/proto/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct rc_job {
    rc_id socket;
    const struct rc_rule *rule;
    struct rc_generation *generation; /* that the rule is of */
    enum rc_phase phase;
    unsigned next;
    bool acked, connect;
    struct rc_str text;
    struct rc_str attachment[RC_SIO_ATTACHMENTS_MAX];
    unsigned nattachments;
    uint64_t message_id, message_time_ms; /* of what was stored last */
    uint64_t owners;                      /* that have handed it out, a bit each */
    unsigned answers;                     /* of owners or the store, so far */
    bool answered;                        /* all have come: */
    struct rc_store_answer answer;
    struct rc_buf groups; /* see rc_exec */
    uint64_t asked_group;
    char bytes[];
};

RC_ON_SHARD static int call(struct rc_exec *x, const struct rc_action *a)
{
    switch (a->verb) {
    case RC_VERB_REQUIRE: return rc_action_require(x, a);
    case RC_VERB_REFUSE: return rc_exec_refuse_by_rule(x, a, "refused", "");
    case RC_VERB_JOIN: return rc_action_join(x, a);
    case RC_VERB_LEAVE: return rc_action_leave(x, a);
    case RC_VERB_EMIT: return rc_action_emit(x, a);
    case RC_VERB_ASK: return rc_action_ask(x, a);
    case RC_VERB_ACK: return rc_action_ack(x, a);
    case RC_VERB_WATCH: return rc_action_watch(x, a);
    case RC_VERB_UNWATCH: return rc_action_unwatch(x, a);
    case RC_VERB_PRESENCE: return rc_action_presence(x, a);
    case RC_VERB_DISCONNECT: return rc_action_disconnect(x, a);
    case RC_VERB_STORE: return rc_action_store(x, a);
    case RC_VERB_MESSAGE: return rc_action_message(x, a);
    case RC_VERB_HISTORY: return rc_action_history(x, a);
    case RC_VERB_GROUP: return rc_action_group(x, a);
    }
    return RC_OK;
}

static struct rc_str copy_to(char **at, struct rc_str s)
{
    struct rc_str copy = rc_str_make(*at, s.len);

    if (s.len != 0)
        memcpy(*at, s.p, s.len);
    *at += s.len;
    return copy;
}

/* Keeps what is needed to go on with the action x->next later. */
static void suspend(struct rc_exec *x)
{
    size_t bytes = 0;
    struct rc_job *j;
    char *at;

    if (x->ev != NULL) {
        bytes = x->ev->text.len;
        for (unsigned i = 0; i < x->ev->nattachments; i++)
            bytes += x->ev->attachment[i].len;
    }
    j = rc_malloc(sizeof(*j) + bytes);
    *j = (struct rc_job){.socket = rc_socket_id(x->sh, x->socket),
                         .rule = x->rule,
                         .generation = x->generation,
                         .phase = x->phase,
                         .next = x->next,
                         .acked = x->acked,
                         .connect = x->connect,
                         .message_id = x->env.message_id,
                         .message_time_ms = x->env.message_time_ms,
                         .groups = x->groups,
                         .asked_group = x->asked_group};
    x->generation->jobs++;
    x->groups = (struct rc_buf){0};
    at = j->bytes;
    if (x->ev != NULL) {
        j->text = copy_to(&at, x->ev->text);
        for (unsigned i = 0; i < x->ev->nattachments; i++)
            j->attachment[i] = copy_to(&at, x->ev->attachment[i]);
        j->nattachments = x->ev->nattachments;
    }
    RC_ASSERT(x->session->job == NULL);
    x->session->job = j;
}

void rc_verbs_job_free(struct rc_job *job)
{
    if (job == NULL)
        return;
    rc_pub_unref(&job->answer.pub);
    rc_buf_deinit(&job->groups);
    rc_generation_drop(job->generation);
    free(job);
}

/* Queues the CONNECT packet, but holds the session's queue until the joins are done: what the
 * rooms send meanwhile comes after it, and once it is there the socket is in its rooms. */
RC_ON_SHARD static void queue_connect(struct rc_exec *x)
{
    struct rc_buf *b = &x->sh->scratch;

    rc_frames_begin(b);
    rc_sio_put_head(b, RC_SIO_CONNECT, 0, x->env.nsp, false, 0);
    if (x->session->kind == RC_SESSION_ENDPOINT)
        rc_json_client_put_welcome(x->socket, rc_exec_own_id(x), b);
    else if (!x->session->eio3) /* of Engine.IO 3 the client knows its ids */
    {
        rc_buf_putz(b, "{\"sid\":\"");
        rc_buf_puts(b, rc_exec_own_id(x));
        rc_buf_putz(b, "\"}");
    }
    rc_frames_end(b);
    rc_session_push(x->sh, x->session, rc_seg_new(rc_frames(b).p, rc_frames(b).len));
    rc_session_hold(x->session);
}

static bool may_refuse(const struct rc_action *a)
{
    return a->verb == RC_VERB_REQUIRE || a->verb == RC_VERB_REFUSE;
}

/* Runs the actions of one phase. False: it has to wait. */
RC_ON_SHARD static bool run_actions(struct rc_exec *x)
{
    for (; x->rule != NULL && x->next < x->rule->nactions; x->next++) {
        const struct rc_action *a = &x->rule->action[x->next];
        int rc;

        if (x->connect &&
            ((a->verb == RC_VERB_JOIN) != (x->phase == RC_PHASE_JOINS) || may_refuse(a)))
            continue; /* those that may refuse were before all others: rc_verbs_admit */
        rc = call(x, a);
        x->answer = NULL; /* it was for this one */
        if (rc == RC_EAGAIN) {
            suspend(x);
            return false;
        }
        if (rc != RC_OK) {
            rc_exec_tell_refusal(x);
            if (!x->connect)
                x->next = x->rule->nactions; /* the rest of an event's rule is off */
        }
        if (x->socket->closed)
            return true;
        if (x->session->fences != 0) { /* a union: the rest when everybody has it */
            x->next++;
            suspend(x);
            return false;
        }
    }
    return true;
}

/* The room of all sockets of a dynamic namespace comes first, then that of the user; there are
 * places for the socket. */
RC_ON_SHARD static bool enter(struct rc_exec *x)
{
    int rc = x->home.len != 0 ? rc_action_join_room(x, x->home) : RC_OK;

    if (rc == RC_OK && x->env.user.len != 0)
        rc = rc_action_join_room(x, rc_exec_user_key(x, x->env.user));
    if (rc == RC_EAGAIN) {
        suspend(x);
        return false;
    }
    x->phase = RC_PHASE_JOINS;
    return true;
}

/* The automatic one. */
RC_ON_SHARD static void send_ack(struct rc_exec *x)
{
    char json[80];

    if (x->env.message_id == 0)
        (void)snprintf(json, sizeof(json), "{\"ok\":true}");
    else
        (void)snprintf(json, sizeof(json),
                       "{\"ok\":true,\"id\":%" PRIu64 ",\"time\":%" PRIu64 "}",
                       x->env.message_id, x->env.message_time_ms);
    rc_exec_send_ack_json(x, rc_str_of(json));
}

RC_ON_SHARD static void run(struct rc_exec *x)
{
    if (x->phase == RC_PHASE_ENTER && !enter(x))
        return;
    if (x->phase == RC_PHASE_JOINS) {
        if (!run_actions(x))
            return;
        x->phase = RC_PHASE_CONNECT;
    }
    if (x->phase == RC_PHASE_CONNECT) {
        rc_lane_reply(x->sh, x->session, RC_STR_NONE); /* lets the queue go */
        x->phase = RC_PHASE_ALL;
        x->next = 0;
    }
    x->code = NULL;
    if (!run_actions(x) || x->socket->closed)
        return;
    if (rc_exec_wants_ack(x) && x->code == NULL && rc_exec_ack_mode(x) == RC_ACK_AUTO)
        send_ack(x);
}

/* What the INI of that generation says of the socket's namespace. */
RC_ON_SHARD static void begin_of(struct rc_exec *x, struct rc_shard *sh,
                                 struct rc_generation *g, struct rc_socket *k,
                                 const struct rc_event *ev)
{
    const struct rc_token *token = rc_identity_token(k);

    memset(x, 0, offsetof(struct rc_exec, text));
    x->sh = sh;
    x->session = k->session;
    x->socket = k;
    x->generation = g;
    x->nsp = &g->app->nsp[k->nsp];
    x->phase = RC_PHASE_ALL;
    x->ev = ev;
    for (unsigned i = 0; i < 2; i++) {
        x->name[i] = sh->name[i];
        sh->name[i] = RC_BUF_INIT;
    }
    x->env.id_of = rc_exec_own_id;
    x->env.id_arg = x;
    x->env.key = &x->at_fault;
    x->env.nsp = rc_space_name(sh, k);
    x->home = rc_space_home(sh, k);
    if (k->caller != NULL)
        x->env.auth = rc_str_of(k->caller->auth);
    if (token != NULL) {
        x->env.user = token->user;
        x->env.claims = token->claims;
    }
    x->env.time_ms = rc_clock_wall_ms();
    if (ev != NULL) {
        x->env.args = ev->packet->args;
        x->env.nargs = ev->packet->nargs;
        x->env.args_raw = ev->packet->args_raw;
    }
}

RC_ON_SHARD static void begin(struct rc_exec *x, struct rc_shard *sh, struct rc_socket *k,
                              const struct rc_event *ev)
{
    begin_of(x, sh, sh->generation, k, ev);
}

enum { NAME_KEPT = 1024 }; /* bytes */

static void end(struct rc_exec *x)
{
    /* The next rule need not allocate; one that ran meanwhile may have given its own back. */
    for (unsigned i = 0; i < 2; i++) {
        struct rc_buf *kept = &x->sh->name[i];

        if (kept->data == NULL && x->name[i].cap <= NAME_KEPT)
            *kept = x->name[i];
        else
            rc_buf_deinit(&x->name[i]);
    }
    rc_buf_deinit(&x->longer_id);
    rc_buf_deinit(&x->message);
    rc_buf_deinit(&x->data);
    rc_buf_deinit(&x->groups);
}

/* The event's name without its JSON: decoded into buf when it has escapes. */
static struct rc_str event_name(const struct rc_sio_packet *p, struct rc_buf *buf)
{
    if (rc_json_type(p->event) != RC_JSON_STRING)
        return p->event;
    if (memchr(p->event.p, '\\', p->event.len) == NULL)
        return rc_str_make(p->event.p + 1, p->event.len - 2);
    return rc_json_string_decode(p->event, buf) == RC_OK ? rc_buf_str(buf) : RC_STR_NONE;
}

RC_ON_SHARD static void unknown_event(struct rc_exec *x)
{
    if (x->sh->app->conf->socketio_unknown_event == RC_UNKNOWNEVENT_DISCONNECT) {
        rc_session_close(x->sh, x->session, RC_CLOSE_RULE);
        return;
    }
    (void)rc_exec_refuse(x, "unknown_event",
                         "no rule for this event: add [event %s%s%.*s] to the INI",
                         x->nsp->index != 0 ? x->nsp->name.p : "",
                         x->nsp->index != 0 ? " " : "", RC_STR_ARG(x->env.event));
    if (rc_exec_wants_ack(x) || x->session->kind == RC_SESSION_ENDPOINT)
        rc_exec_tell_refusal(x);
}

/* The client sends more than limits.message_rate. */
RC_ON_SHARD static void drop_event(struct rc_exec *x)
{
    rc_stat_add(&x->sh->stats.rate_dropped, 1);
    (void)rc_exec_refuse(x, RC_RATE_CODE, RC_RATE_TEXT);
    rc_exec_tell_refusal(x);
}

/* The first argument is a new token. */
RC_ON_SHARD static void refresh_token(struct rc_exec *x)
{
    const struct rc_token *token;
    struct rc_buf text = RC_BUF_INIT;
    enum rc_token_fault fault = RC_TOKEN_MISSING;

    if (x->env.nargs != 0 && rc_json_string_decode(x->env.args[0], &text) == RC_OK)
        fault = rc_identity_refresh(x->sh, x->socket, rc_buf_str(&text));
    rc_buf_reset(&text);
    token = rc_identity_token(x->socket);
    if (fault != RC_TOKEN_NONE) {
        (void)rc_exec_refuse(x, rc_token_fault_code(fault), "%s", rc_token_fault_text(fault));
        rc_exec_tell_refusal(x);
    } else if (rc_exec_wants_ack(x) && token != NULL) {
        rc_buf_putz(&text, "{\"ok\":true,\"user\":");
        rc_json_string_encode(token->user, &text);
        rc_buf_putz(&text, ",\"expires\":");
        if (token->expires_ms != 0)
            rc_buf_put_u64(&text, token->expires_ms);
        else
            rc_buf_putz(&text, "null");
        rc_buf_putc(&text, '}');
        rc_exec_send_ack_json(x, rc_buf_str(&text));
    }
    rc_buf_deinit(&text);
}

void rc_verbs_event(struct rc_shard *sh, struct rc_socket *k, const struct rc_event *ev)
{
    struct rc_exec x;
    struct rc_buf name = RC_BUF_INIT;

    rc_stat_add(&sh->stats.events_in, 1);
    begin(&x, sh, k, ev);
    x.env.event = event_name(ev->packet, &name);
    if (sh->ui_live && !rc_identity_is_refresh(sh, x.nsp, x.env.event)) /* that is a token */
        rc_ui_received(sh, k, ev->packet);
    x.rule = rc_ruleset_find(&x.nsp->rules, x.env.event);
    if (sh->over_rate)
        drop_event(&x);
    else if (rc_identity_is_refresh(sh, x.nsp, x.env.event))
        refresh_token(&x);
    else if (x.rule == NULL)
        unknown_event(&x);
    else
        run(&x);
    end(&x);
    rc_buf_deinit(&name);
}

/* Actions that may refuse are the first of their rule; they wait for nothing. */
bool rc_verbs_admit(struct rc_shard *sh, struct rc_socket *k)
{
    struct rc_buf message = RC_BUF_INIT;
    struct rc_exec x;
    int rc = RC_OK;

    if (sh->app->nsp[k->nsp].rules.connect == NULL)
        return true;
    begin(&x, sh, k, NULL);
    x.connect = true;
    x.rule = x.nsp->rules.connect;
    for (; rc == RC_OK && x.rule != NULL && x.next < x.rule->nactions; x.next++) {
        const struct rc_action *a = &x.rule->action[x.next];

        if (!may_refuse(a))
            break;
        rc = call(&x, a);
    }
    if (rc != RC_OK) {
        rc_stat_add(&sh->stats.refused, 1);
        rc_exec_put_message(&x, &message);
        rc_socket_refuse(sh, x.session, x.env.nsp, rc_buf_str(&message), rc_buf_str(&x.data));
        rc_shard_log(sh, RC_LOG_DEBUG, "connect to %.*s refused: %s", RC_STR_ARG(x.env.nsp),
                     x.code);
    }
    rc_buf_deinit(&message);
    end(&x);
    return rc == RC_OK;
}

void rc_verbs_connect(struct rc_shard *sh, struct rc_socket *k)
{
    struct rc_exec x;

    begin(&x, sh, k, NULL);
    x.connect = true;
    x.phase = RC_PHASE_ENTER;
    x.rule = x.nsp->rules.connect;
    queue_connect(&x);
    if (x.home.len == 0)
        rc_local_enter_all(sh, k);
    run(&x);
    end(&x);
}

/* {room} is the last room that was named before the action that waited. */
static void restore_room(struct rc_exec *x)
{
    for (unsigned i = 0; x->rule != NULL && i < x->next; i++) {
        const struct rc_action *a = &x->rule->action[i];
        struct rc_audience *list = NULL;

        if (a->name != NULL && a->target != RC_TARGET_USER)
            (void)rc_exec_fill_name(x, a);
        if (a->list != NULL && rc_exec_fill_list(x, a->list, &list) == RC_OK)
            free(list);
    }
}

/* Those that it was parsed with the first time. */
static const struct rc_sio_limits *limits_of(const struct rc_job *j, const struct rc_session *s)
{
    return s->eio3 ? &j->generation->app->sio_eio3 : &j->generation->app->sio;
}

void rc_verbs_continue(struct rc_shard *sh, struct rc_session *s)
{
    struct rc_job *j = s->job;
    struct rc_sio_packet packet;
    struct rc_event ev;
    struct rc_buf name = RC_BUF_INIT;
    struct rc_socket *k;
    const char *why;
    struct rc_exec x;

    if (j == NULL)
        return;
    s->job = NULL;
    k = rc_pool_find(&sh->sockets, rc_id_slot(j->socket), rc_id_gen(j->socket));
    ev = (struct rc_event){.text = j->text,
                           .packet = &packet,
                           .attachment = j->attachment,
                           .nattachments = j->nattachments};
    if (k != NULL && !k->closed &&
        (j->connect || rc_sio_parse(j->text, limits_of(j, s), &packet, &why) == RC_OK)) {
        begin_of(&x, sh, j->generation, k, j->connect ? NULL : &ev);
        if (!j->connect)
            x.env.event = event_name(&packet, &name);
        x.rule = j->rule;
        x.phase = j->phase;
        x.next = j->next;
        x.acked = j->acked;
        x.connect = j->connect;
        x.env.message_id = j->message_id;
        x.env.message_time_ms = j->message_time_ms;
        x.answer = j->answered ? &j->answer : NULL;
        x.groups = j->groups;
        x.asked_group = j->asked_group;
        j->groups = (struct rc_buf){0};
        rc_access_answered(&x);
        restore_room(&x);
        run(&x);
        end(&x);
        rc_buf_deinit(&name);
    } else if (j->connect && j->phase < RC_PHASE_CONNECT) {
        rc_lane_reply(sh, s, RC_STR_NONE); /* the server has ended it: lets the queue go */
    }
    rc_verbs_job_free(j);
}

void rc_verbs_answer(struct rc_shard *sh, struct rc_session *s, struct rc_msg *msg)
{
    struct rc_job *j = s->job;

    RC_ASSERT(j != NULL && !j->answered); /* nothing else has let the session go on */
    if (msg->from < sh->nshards)
        j->owners |= (uint64_t)1 << msg->from;
    if (++j->answers < msg->count)
        return;
    j->answered = true;
    j->answer =
        (struct rc_store_answer){.type = (enum rc_store_type)msg->u.stored.u.answer.type,
                                 .fault = (enum rc_store_fault)msg->u.stored.u.answer.fault,
                                 .id = msg->u.stored.id,
                                 .time_ms = msg->u.stored.time_ms,
                                 .yes = msg->u.stored.u.answer.yes,
                                 .pub = msg->u.stored.pub};
    s->paused &= (uint8_t)~RC_PAUSE_STORE;
    if (j->owners != 0 && !rc_lane_stored(sh, s, j->owners))
        return; /* the fence goes on */
    rc_verbs_continue(sh, s);
    rc_session_resume(sh, s, 0);
}

/* identity.c - who clients are: finds and verifies their tokens, and ends those whose expire. */
#include "rc/broker/identity.h"

#include "rc/base/hash.h"
#include "rc/base/mem.h"
#include "rc/broker/admission.h"
#include "rc/broker/lane.h"
#include "rc/broker/shard.h"
#include "rc/broker/socket.h"
#include "rc/broker/space.h"
#include "rc/proto/json.h"

#include <stdlib.h>

enum {
    REVOKE_STEP = 1024, /* sessions looked at in one turn */
    REVOKE_MS = 1,      /* to the next */
};

/* Tokens expire at any time, but a queue of timers has one duration. So an identity waits in the
 * queue with the longest duration that is not too long, and when that is over in the next: it
 * costs a few steps in its life, whatever the number of identities. */
static const uint32_t steps_ms[RC_TOKEN_STEPS] = {250, 4000, 64000, 1024000};

static bool is_of(const void *identity, const void *session)
{
    return ((const struct rc_identity *)identity)->session == session;
}

static uint64_t hash_of(const struct rc_session *s)
{
    return rc_hash(&s->hdr.slot, sizeof(s->hdr.slot), 0);
}

/* That of the session's handshake, or NULL. */
static struct rc_identity *of_session(const struct rc_shard *sh, const struct rc_session *s)
{
    return s->known ? rc_hmap_find(&sh->known, hash_of(s), is_of, s) : NULL;
}

static struct rc_identity *of_socket(const struct rc_socket *k)
{
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): each socket has a reference of its own */
    return k->caller != NULL ? k->caller->who : NULL;
}

const struct rc_token *rc_identity_token(const struct rc_socket *k)
{
    const struct rc_identity *i = of_socket(k);

    return i != NULL ? i->token : NULL;
}

const struct rc_token *rc_identity_session_token(const struct rc_shard *sh,
                                                 const struct rc_session *s)
{
    const struct rc_identity *i = of_session(sh, s);

    return i != NULL ? i->token : NULL;
}

/* ---- tokens ---- */

static struct rc_str bearer(struct rc_str header)
{
    struct rc_str scheme = RC_STR("Bearer ");

    if (header.len <= scheme.len || !rc_str_ieq(rc_str_make(header.p, scheme.len), scheme))
        return RC_STR_NONE;
    while (header.len > scheme.len && header.p[scheme.len] == ' ')
        scheme.len++;
    return rc_str_skip(header, scheme.len);
}

struct rc_str rc_identity_find(const struct rc_shard *sh, const struct rc_http_req *req,
                               struct rc_buf *buf)
{
    const struct rc_conf *conf = sh->app->conf;
    struct rc_str token = RC_STR_NONE;

    if (conf->auth_bearer)
        token = bearer(req->authorization);
    if (token.len == 0 && conf->auth_query[0] != '\0' &&
        rc_http_query_get(req->query, conf->auth_query, buf) != 0)
        token = rc_buf_str(buf);
    if (token.len == 0 && conf->auth_cookie[0] != '\0')
        token = rc_http_cookie_get(req->cookie, conf->auth_cookie);
    return token;
}

enum rc_token_fault rc_identity_verify(struct rc_shard *sh, const struct rc_addr *peer,
                                       struct rc_str text, struct rc_token **token)
{
    struct rc_admission *ad = peer != NULL ? sh->admission : NULL;
    enum rc_token_fault fault = RC_TOKEN_RATE;

    if (rc_admission_token_wait(ad, peer, sh->loop.now_ms) == 0) {
        fault = rc_auth_verify(sh->app->auth, text, rc_clock_wall_ms(), token);
        if (fault != RC_TOKEN_NONE)
            rc_admission_token_bad(ad, peer, sh->loop.now_ms);
    }
    if (fault != RC_TOKEN_NONE) {
        rc_stat_add(&sh->stats.refused, 1);
        rc_shard_log(sh, RC_LOG_DEBUG, "token refused error=%s", rc_token_fault_code(fault));
    }
    return fault;
}

/* ---- expiry ---- */

static uint64_t expired_at(const struct rc_shard *sh, const struct rc_token *t)
{
    return t->expires_ms + sh->app->conf->auth_leeway;
}

static bool is_expired(const struct rc_shard *sh, const struct rc_token *t)
{
    return t->expires_ms != 0 && rc_clock_wall_ms() >= expired_at(sh, t);
}

/* False: the time is over. */
static bool wait_for_end(struct rc_shard *sh, struct rc_identity *i)
{
    uint64_t now = rc_clock_wall_ms(), end;
    unsigned step = RC_TOKEN_STEPS - 1;

    rc_timer_stop(&i->timer);
    if (i->token->expires_ms == 0)
        return true;
    end = expired_at(sh, i->token) + sh->app->conf->auth_grace;
    if (now >= end)
        return false;
    while (step != 0 && steps_ms[step] > end - now)
        step--;
    rc_timer_start(&sh->q_token[step], &i->timer, sh->loop.now_ms);
    return true;
}

/* Leaves the namespace. A client that has no other is given connect_timeout for a next one, unless it
 * is revoked: that is told at once, and then the connection ends. */
RC_ON_SHARD static void disconnect(struct rc_shard *sh, struct rc_socket *k,
                                   enum rc_token_fault why)
{
    struct rc_session *s = k->session;
    struct rc_str frames;

    rc_frames_begin(&sh->scratch);
    rc_sio_put_head(&sh->scratch, RC_SIO_DISCONNECT, 0, rc_space_name(sh, k), false, 0);
    rc_frames_end(&sh->scratch);
    frames = rc_frames(&sh->scratch);
    if (why == RC_TOKEN_REVOKED)
        rc_session_push(sh, s, rc_seg_new(frames.p, frames.len));
    else
        rc_lane_reply(sh, s, frames);
    rc_socket_close(sh, k);
    if (why != RC_TOKEN_REVOKED && s->sockets == NULL && !s->closed && s->joining == NULL)
        rc_session_await(sh, s);
}

RC_ON_SHARD static void end_all(struct rc_shard *sh, struct rc_identity *i,
                                enum rc_token_fault why)
{
    struct rc_session *s = i->session;
    struct rc_socket *k = s->sockets, *next;

    rc_shard_log(sh, RC_LOG_DEBUG, "session=%u ends: %s", s->hdr.slot,
                 rc_token_fault_text(why));
    if (s->kind == RC_SESSION_ENDPOINT) {
        rc_endpoint_refuse(sh, s, why);
        return;
    }
    if (of_session(sh, s) == i)
        rc_identity_forget(sh, s);
    for (; k != NULL; k = next) {
        next = k->next;
        if (of_socket(k) == i)
            disconnect(sh, k, why);
    }
    if (why == RC_TOKEN_REVOKED && s->sockets == NULL)
        rc_session_close(sh, s, RC_CLOSE_TOKEN);
}

static void on_step(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_identity *i = RC_CONTAINER(t, struct rc_identity, timer);

    rc_assert_on_shard(sh);
    if (wait_for_end(sh, i))
        return;
    i->refs++; /* until all are told */
    end_all(sh, i, RC_TOKEN_EXPIRED);
    rc_identity_drop(&i);
}

/* ---- whose they are ---- */

/* Takes over token. */
static struct rc_identity *new_identity(struct rc_shard *sh, struct rc_session *s,
                                        struct rc_token *token)
{
    struct rc_identity *i = rc_calloc(1, sizeof(*i));

    i->refs = 1;
    i->session = s;
    i->token = token;
    if (!wait_for_end(sh, i)) /* it expires at this very moment */
        rc_timer_start(&sh->q_token[0], &i->timer, sh->loop.now_ms);
    return i;
}

void rc_identity_drop(struct rc_identity **who)
{
    struct rc_identity *i = *who;

    *who = NULL;
    if (i == NULL || --i->refs != 0)
        return;
    rc_timer_stop(&i->timer);
    free(i->token);
    free(i);
}

void rc_identity_session(struct rc_shard *sh, struct rc_session *s, struct rc_token *token)
{
    if (token == NULL)
        return;
    rc_hmap_insert(&sh->known, hash_of(s), new_identity(sh, s, token));
    s->known = true;
}

void rc_identity_forget(struct rc_shard *sh, struct rc_session *s)
{
    struct rc_identity *i = of_session(sh, s);

    if (i == NULL)
        return;
    rc_hmap_remove(&sh->known, hash_of(s), i);
    s->known = false;
    rc_identity_drop(&i);
}

/* A token in the auth object. False: there is something that cannot be one. */
static bool token_of(const struct rc_shard *sh, struct rc_str auth, struct rc_buf *token)
{
    const char *key = sh->app->conf->auth_token_key;
    struct rc_str value = RC_STR_NONE;

    if (key[0] != '\0' && auth.len != 0)
        value = rc_json_get(auth, rc_str_of(key));
    if (value.len == 0 || rc_json_type(value) == RC_JSON_NULL)
        return true;
    return rc_json_string_decode(value, token) == RC_OK;
}

/* The session's own identity, for one more socket. */
static enum rc_token_fault share(const struct rc_shard *sh, const struct rc_session *s,
                                 const struct rc_nsp *nsp, struct rc_identity **who)
{
    struct rc_identity *i = of_session(sh, s);

    if (i == NULL)
        return nsp->auth == RC_AUTHMODE_REQUIRED ? RC_TOKEN_MISSING : RC_TOKEN_NONE;
    if (is_expired(sh, i->token))
        return RC_TOKEN_EXPIRED;
    i->refs++;
    *who = i;
    return RC_TOKEN_NONE;
}

enum rc_token_fault rc_identity_connect(struct rc_shard *sh, struct rc_session *s,
                                        const struct rc_nsp *nsp, struct rc_str auth,
                                        struct rc_identity **who)
{
    struct rc_buf text = RC_BUF_INIT;
    struct rc_token *token = NULL;
    enum rc_token_fault fault;

    if (nsp->auth == RC_AUTHMODE_OFF)
        return RC_TOKEN_NONE;
    if (!token_of(sh, auth, &text)) {
        fault = RC_TOKEN_MALFORMED;
    } else if (text.len == 0) {
        fault = share(sh, s, nsp, who);
    } else {
        fault = rc_identity_verify(sh, rc_session_peer(s), rc_buf_str(&text), &token);
        if (token != NULL)
            *who = new_identity(sh, s, token);
    }
    rc_buf_deinit(&text);
    return fault;
}

/* ---- refreshing ---- */

bool rc_identity_is_refresh(const struct rc_shard *sh, const struct rc_nsp *nsp,
                            struct rc_str event)
{
    const char *name = sh->app->conf->auth_refresh_event;

    return nsp->auth != RC_AUTHMODE_OFF && name[0] != '\0' && rc_str_eq(event, rc_str_of(name));
}

enum rc_token_fault rc_identity_refresh(struct rc_shard *sh, struct rc_socket *k,
                                        struct rc_str text)
{
    struct rc_identity *i = of_socket(k);
    struct rc_token *token = NULL;
    enum rc_token_fault fault =
        rc_identity_verify(sh, rc_session_peer(k->session), text, &token);

    if (fault != RC_TOKEN_NONE)
        return fault;
    if (i == NULL || !rc_str_eq(i->token->user, token->user)) {
        free(token);
        return RC_TOKEN_OTHER_USER;
    }
    free(i->token);
    i->token = token;
    if (!wait_for_end(sh, i))
        rc_timer_start(&sh->q_token[0], &i->timer, sh->loop.now_ms);
    return RC_TOKEN_NONE;
}

/* ---- revocation ---- */

/* One of those that the session's client is, and that is revoked; or NULL. */
static struct rc_identity *revoked_of(const struct rc_shard *sh, const struct rc_session *s)
{
    struct rc_identity *i = of_session(sh, s);

    if (i != NULL && rc_auth_is_revoked(sh->app->auth, i->token))
        return i;
    for (const struct rc_socket *k = s->sockets; k != NULL; k = k->next) {
        i = of_socket(k);
        if (i != NULL && rc_auth_is_revoked(sh->app->auth, i->token))
            return i;
    }
    return NULL;
}

/* Some sessions at a time: the others' clients are not to wait for all of them. */
static void on_revoke(struct rc_timer *t, void *arg)
{
    struct rc_shard *sh = arg;
    struct rc_session *s;
    struct rc_identity *i;

    rc_assert_on_shard(sh);
    for (unsigned n = 0; n < REVOKE_STEP; n++) {
        s = rc_pool_next(&sh->sessions, &sh->revoke_cursor);
        if (s == NULL)
            return;
        while (!s->closed && (i = revoked_of(sh, s)) != NULL) {
            i->refs++; /* until all are told */
            end_all(sh, i, RC_TOKEN_REVOKED);
            rc_identity_drop(&i);
        }
    }
    rc_timer_start(&sh->q_revoke, t, sh->loop.now_ms);
}

void rc_identity_renew(struct rc_shard *sh)
{
    rc_timer_stop(&sh->revoke_timer);
    if (sh->app->auth == NULL || !rc_auth_has_revoked(sh->app->auth))
        return;
    sh->revoke_cursor = 0;
    on_revoke(&sh->revoke_timer, sh);
}

/* ---- life ---- */

void rc_identity_init(struct rc_shard *sh)
{
    for (unsigned i = 0; i < RC_TOKEN_STEPS; i++) {
        rc_timerq_init(&sh->q_token[i], steps_ms[i], on_step, sh);
        rc_loop_add_timerq(&sh->loop, &sh->q_token[i]);
    }
    rc_timerq_init(&sh->q_revoke, REVOKE_MS, on_revoke, sh);
    rc_loop_add_timerq(&sh->loop, &sh->q_revoke);
}

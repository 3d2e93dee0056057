/* The public ids of sessions (src/broker/session.c) and sockets (src/broker/socket.c); test_name.c
 * has what they are made of. */
#include "rc/base/hash.h"
#include "rc/broker/engine.h"
#include "rc/broker/name.h"
#include "rc/broker/peers.h"
#include "rc/broker/socket.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/= \"{,";

/* ---- sessions ---- */

Test(socket_id, session_ids)
{
    struct rig r;
    struct rc_shard *sh;
    struct rc_session *s[3];
    char sid[3][RC_SID_LEN + 1], guess[RC_SID_LEN + 1];

    rig_open(&r, 2, "");
    sh = rig_enter(&r, 1);
    rc_assert_on_shard(sh);
    for (unsigned i = 0; i < 3; i++) {
        s[i] = rc_session_new(sh, i < 2 ? RC_SESSION_WEBSOCKET : RC_SESSION_ENDPOINT);
        cr_assert_not_null(s[i]);
        rc_session_sid(sh, s[i], sid[i]);
        cr_assert_eq(strlen(sid[i]), (size_t)RC_SID_LEN);
        cr_assert_eq(rc_engine_sid_shard(sh, rc_str_of(sid[i])), 1);
    }
    cr_assert_eq(rc_engine_find(sh, rc_str_of(sid[0])), s[0]);
    cr_assert_eq(rc_engine_find(sh, rc_str_of(sid[1])), s[1]);
    cr_assert_null(rc_engine_find(sh, rc_str_of(sid[2]))); /* endpoints have no sid */
    cr_assert_eq(rc_session_find(sh, rc_session_id(sh, s[0])), s[0]);
    for (unsigned at = 0; at < RC_SID_LEN; at++) {
        for (const char *c = alphabet; *c != '\0'; c++) {
            memcpy(guess, sid[0], sizeof(guess));
            if (guess[at] == *c)
                continue;
            guess[at] = *c;
            cr_assert_null(rc_engine_find(sh, rc_str_of(guess)));
            cr_assert_leq(rc_engine_sid_shard(sh, rc_str_of(guess)), 1);
        }
    }
    /* The other shard can tell whose it is, and has none of that name. */
    sh = rig_enter(&r, 0);
    rc_assert_on_shard(sh);
    cr_assert_eq(rc_engine_sid_shard(sh, rc_str_of(sid[0])), 1);
    cr_assert_null(rc_engine_find(sh, rc_str_of(sid[0])));
    cr_assert_eq(rc_engine_sid_shard(sh, RC_STR("")), -1);
    cr_assert_eq(rc_engine_sid_shard(sh, RC_STR("__proto__")), -1);
    rig_close(&r);
}

/* The name of a session that has ended is no name of the next one in its slot. */
Test(socket_id, stale_session_id)
{
    struct rig r;
    struct rc_shard *sh;
    struct rc_session *s, *next;
    char sid[RC_SID_LEN + 1];
    rc_id id;

    rig_open(&r, 1, "");
    sh = rig_enter(&r, 0);
    rc_assert_on_shard(sh);
    s = rc_session_new(sh, RC_SESSION_WEBSOCKET);
    rc_session_sid(sh, s, sid);
    id = rc_session_id(sh, s);
    rc_session_close(sh, s, RC_CLOSE_DONE);
    rc_session_close(sh, s, RC_CLOSE_DONE);
    cr_assert_eq(rc_session_find(sh, id), s); /* readable until the turn ends */
    cr_assert(s->closed);
    rig_turn(&r, 0);
    cr_assert_null(rc_session_find(sh, id));
    next = rc_session_new(sh, RC_SESSION_WEBSOCKET);
    cr_assert_eq(next, s);
    cr_assert_null(rc_session_find(sh, id));
    cr_assert_null(rc_engine_find(sh, rc_str_of(sid)));
    rig_close(&r);
}

/* ---- Engine.IO 3: a session's id is its sockets' as well ---- */

RC_ON_SHARD static struct rc_session *old_session(struct rc_shard *sh, char sid[RC_SID_LEN + 1])
{
    struct rc_session *s = rc_session_new(sh, RC_SESSION_WEBSOCKET);

    cr_assert_not_null(s);
    rc_session_set_eio3(sh, s);
    rc_session_sid(sh, s, sid);
    cr_assert_eq(strlen(sid), (size_t)RC_SID_LEN);
    return s;
}

Test(socket_id, session_ids_of_engine_io_3)
{
    struct rig r;
    struct rc_shard *sh;
    struct rc_session *old, *s;
    char sid[2][RC_SID_LEN + 1];

    rig_open(&r, 2, "");
    sh = rig_enter(&r, 1);
    rc_assert_on_shard(sh);
    old = old_session(sh, sid[0]);
    s = rc_session_new(sh, RC_SESSION_WEBSOCKET);
    rc_session_sid(sh, s, sid[1]);
    cr_assert(rc_engine_sid_is_eio3(rc_str_of(sid[0])));
    cr_assert_not(rc_engine_sid_is_eio3(rc_str_of(sid[1])));
    cr_assert_not(rc_engine_sid_is_eio3(RC_STR("")));
    cr_assert_eq(rc_engine_sid_shard(sh, rc_str_of(sid[0])), 1);
    cr_assert_eq(rc_engine_find(sh, rc_str_of(sid[0])), old);
    cr_assert_eq(rc_engine_find(sh, rc_str_of(sid[1])), s);
    for (unsigned at = 0; at < RC_SID_LEN; at++) {
        char was = sid[0][at];

        for (const char *c = alphabet; *c != '\0'; c++) {
            sid[0][at] = *c;
            cr_assert_eq(rc_engine_find(sh, rc_str_of(sid[0])) != NULL, *c == was);
        }
        sid[0][at] = was;
    }
    sh = rig_enter(&r, 0);
    rc_assert_on_shard(sh);
    cr_assert_eq(rc_engine_sid_shard(sh, rc_str_of(sid[0])), 1);
    cr_assert_null(rc_engine_find(sh, rc_str_of(sid[0])));
    rig_close(&r);
}

Test(socket_id, stale_session_id_of_engine_io_3)
{
    struct rig r;
    struct rc_shard *sh;
    struct rc_session *s;
    char sid[2][RC_SID_LEN + 1];

    rig_open(&r, 1, "");
    sh = rig_enter(&r, 0);
    rc_assert_on_shard(sh);
    s = old_session(sh, sid[0]);
    rc_session_close(sh, s, RC_CLOSE_DONE);
    rig_turn(&r, 0);
    cr_assert_eq(old_session(sh, sid[1]), s); /* the same slot */
    cr_assert_null(rc_engine_find(sh, rc_str_of(sid[0])));
    cr_assert_eq(rc_engine_find(sh, rc_str_of(sid[1])), s);
    rig_close(&r);
}

/* ---- whose they are ---- */

static uint16_t own_tag;

static uint16_t read_tag(const void *cluster)
{
    (void)cluster;
    return own_tag;
}

static void add_peer(struct rc_shard *sh, uint32_t number, uint16_t tag)
{
    const struct rc_peer peer = {.number = number, .tag = tag};
    struct rc_msg msg = {.type = RC_MSG_PEER_HERE};

    rc_assert_on_shard(sh);
    msg.u.peer.number = number;
    msg.u.peer.pub = rc_pub_new(0, RC_STR_NONE, 0, &peer, sizeof(peer));
    rc_peers_mail(sh, &msg);
}

static void check_owner(struct rc_shard *sh, const char *sid, uint32_t number)
{
    const struct rc_peer *p = rc_engine_sid_peer(sh, rc_str_of(sid));

    cr_assert_eq(p != NULL ? p->number : 0, number);
}

/* A sid names its node, by Engine.IO 3 or 4; what bears the tag of nobody may be ours: ours may have changed. */
Test(socket_id, session_ids_of_nodes)
{
    static const struct rc_cluster_port port = {.tag = read_tag};
    char sid[4][RC_SID_LEN + 1], name[RC_SID_LEN + 1];
    struct rc_session *s[4];
    struct rc_shard *sh;
    struct rig r;

    rig_open(&r, 2, "");
    sh = rig_enter(&r, 1);
    rc_assert_on_shard(sh);
    own_tag = 500;
    r.app->cluster = &port;
    for (unsigned i = 0; i < 4; i++) {
        if (i == 2)
            own_tag = 600; /* others are told of it */
        if (i % 2 == 0) {
            s[i] = rc_session_new(sh, RC_SESSION_WEBSOCKET);
            rc_session_sid(sh, s[i], sid[i]);
        } else {
            s[i] = old_session(sh, sid[i]);
        }
        cr_assert_eq(rc_name_tag(rc_str_of(sid[i])), (int)own_tag);
    }
    rc_session_put_name(sh, s[1], name);
    cr_assert_str_eq(name, sid[1]); /* a name is for life */
    for (unsigned i = 0; i < 4; i++) {
        check_owner(sh, sid[i], 0);
        cr_assert_eq(rc_engine_find(sh, rc_str_of(sid[i])), s[i]);
        cr_assert_eq(rc_engine_sid_shard(sh, rc_str_of(sid[i])), 1);
    }
    add_peer(sh, 7, 501);
    check_owner(sh, sid[0], 0);
    add_peer(sh, 8, 500);
    add_peer(sh, 9, 600); /* has to take another */
    check_owner(sh, sid[0], 8);
    check_owner(sh, sid[1], 8);
    check_owner(sh, sid[2], 0);
    check_owner(sh, sid[3], 0);
    check_owner(sh, "", 0);
    check_owner(sh, "__proto__", 0);
    r.app->cluster = NULL;
    check_owner(sh, sid[0], 0);
    rig_close(&r);
}

/* A socket of that session in that namespace, without connecting. */
static struct rc_socket *socket_of(struct rc_shard *sh, struct rc_session *s,
                                   const struct rc_nsp *nsp)
{
    struct rc_socket *k = rc_pool_get(&sh->sockets);

    cr_assert_not_null(k);
    k->session = s;
    k->nsp = nsp->index;
    return k;
}

static struct rc_address address(const struct rc_nsp *nsp, const char *before, const char *name)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "%s%s", before, name);
    return rc_socket_parse(nsp->name, rc_str_of(text));
}

static void check_name(struct rc_shard *sh, const struct rc_socket *k, const char *before,
                       const char *sid)
{
    struct rc_buf b = RC_BUF_INIT;
    struct rc_address a;

    rc_socket_put_name(sh, k, &b);
    a = rc_socket_parse(sh->app->nsp[k->nsp].name, rc_buf_str(&b));
    cr_assert_neq(a.id, 0u);
    cr_assert(rc_socket_is(sh, k, a));
    cr_assert_eq(a.is_session, k->session->eio3);
    if (sid != NULL) {
        rc_buf_putc(&b, '\0');
        cr_assert_eq(strncmp((const char *)b.data, before, strlen(before)), 0);
        cr_assert_str_eq((const char *)b.data + strlen(before), sid);
    }
    rc_buf_deinit(&b);
}

Test(socket_id, addresses)
{
    struct rig r;
    struct rc_shard *sh;
    struct rc_session *old, *s;
    struct rc_socket *k[4];
    const struct rc_nsp *root, *chat;
    char sid[RC_SID_LEN + 1];

    rig_open(&r, 1, "[namespace /chat]\n");
    sh = rig_enter(&r, 0);
    rc_assert_on_shard(sh);
    root = rc_app_nsp(r.app, RC_STR("/"), false);
    chat = rc_app_nsp(r.app, RC_STR("/chat"), false);
    old = old_session(sh, sid);
    s = rc_session_new(sh, RC_SESSION_WEBSOCKET);
    k[0] = socket_of(sh, old, root);
    k[1] = socket_of(sh, old, chat);
    k[2] = socket_of(sh, s, root);
    k[3] = socket_of(sh, s, chat);
    check_name(sh, k[0], "", sid);
    check_name(sh, k[1], "/chat#", sid);
    check_name(sh, k[2], "", NULL);
    check_name(sh, k[3], "", NULL);
    /* Each is an id in its own namespace only, and an ordinary name elsewhere. */
    cr_assert_eq(address(root, "", sid).id, rc_session_id(sh, old));
    cr_assert_eq(address(chat, "/chat#", sid).id, rc_session_id(sh, old));
    cr_assert_eq(address(chat, "", sid).id, 0u);
    cr_assert_eq(address(root, "/chat#", sid).id, 0u);
    cr_assert_eq(address(root, "#", sid).id, 0u);
    cr_assert_eq(address(root, "/#", sid).id, 0u);
    cr_assert_eq(address(chat, "/chat", sid).id, 0u);
    cr_assert_eq(address(chat, "/chat##", sid).id, 0u);
    cr_assert_eq(address(chat, "/cha#", sid).id, 0u);
    cr_assert_eq(address(chat, "/chat#", "").id, 0u);
    cr_assert_eq(address(chat, "/chat", "").id, 0u);
    /* The first session of the first shard is no exception. */
    cr_assert_eq(rc_session_id(sh, old), 1u);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(rc_socket_is(sh, k[i], address(root, "", sid)), i < 2);
        cr_assert_not(rc_socket_is(sh, k[i], (struct rc_address){0}));
        rc_pool_put(&sh->sockets, k[i]);
    }
    rig_close(&r);
}

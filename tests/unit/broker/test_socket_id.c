/* The public ids: of sockets (src/broker/socket.c) and of sessions (src/broker/session.c). */
#include "rc/base/hash.h"
#include "rc/broker/engine.h"
#include "rc/broker/socket.h"
#include "rig.h"

#include <criterion/criterion.h>

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/= \"{,";

Test(socket_id, round_trip)
{
    static const rc_id ids[] = {1,
                                0x0000000000000003,
                                0x3fffffff00000001,
                                0x0100000100000001,
                                0xffffffffffffffff,
                                0x123456789abcdef1};
    char name[RC_SOCKET_ID_LEN + 1];

    cr_assert_eq(rc_hash_init(), RC_OK);
    for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        memset(name, 'x', sizeof(name));
        rc_socket_name(ids[i], name);
        cr_assert_eq(strlen(name), (size_t)RC_SOCKET_ID_LEN);
        cr_assert_eq(strspn(name, alphabet), (size_t)RC_SOCKET_ID_LEN);
        cr_assert_eq(rc_socket_parse(rc_str_of(name)), ids[i]);
    }
}

/* Not one other text of the same length that differs in one character is an id. */
Test(socket_id, forgery)
{
    char name[RC_SOCKET_ID_LEN + 1];

    cr_assert_eq(rc_hash_init(), RC_OK);
    for (unsigned round = 0; round < 20; round++) {
        rc_socket_name(rc_id_make(round % 4, round * 77, round * 2 + 1), name);
        for (unsigned at = 0; at < RC_SOCKET_ID_LEN; at++) {
            char was = name[at];

            for (const char *c = alphabet; *c != '\0'; c++) {
                name[at] = *c;
                cr_assert_eq(rc_socket_parse(rc_str_of(name)) != 0, *c == was);
            }
            name[at] = was;
        }
    }
}

Test(socket_id, other_texts)
{
    char name[RC_SOCKET_ID_LEN + 1];

    cr_assert_eq(rc_hash_init(), RC_OK);
    rc_socket_name(12345, name);
    for (size_t len = 0; len < RC_SOCKET_ID_LEN; len++)
        cr_assert_eq(rc_socket_parse(rc_str_make(name, len)), 0u);
    cr_assert_eq(rc_socket_parse(RC_STR_NONE), 0u);
    cr_assert_eq(rc_socket_parse(RC_STR("aaaaaaaaaaaaaaaaaaaa")), 0u);
    cr_assert_eq(rc_socket_parse(RC_STR("AAAAAAAAAAAAAAAAAAAA")), 0u);
    cr_assert_eq(rc_socket_parse(RC_STR("AAAAAAAAAAAAAAAAAAAAA")), 0u);
    cr_assert_eq(rc_hash_init(), RC_OK); /* another process, another key */
    cr_assert_eq(rc_socket_parse(rc_str_of(name)), 0u);
}

/* Neighbouring ids have nothing in common that one could see. */
Test(socket_id, looks_random)
{
    enum { N = 200 };
    static char name[N][RC_SOCKET_ID_LEN + 1];
    unsigned same = 0;

    cr_assert_eq(rc_hash_init(), RC_OK);
    for (unsigned i = 0; i < N; i++)
        rc_socket_name(rc_id_make(0, i, 1), name[i]);
    for (unsigned i = 0; i < N; i++)
        for (unsigned k = 0; k < i; k++)
            for (unsigned at = 0; at < RC_SOCKET_ID_LEN; at++)
                same += name[i][at] == name[k][at];
    /* Of 398,000 characters compared one in 64 is the same by chance: 6219 +- 78. */
    cr_assert_lt(same, 7000u);
    cr_assert_gt(same, 5400u);
}

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

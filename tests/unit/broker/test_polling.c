/* Long-polling and the upgrade to WebSocket (src/broker/polling.c, upgrade.c), as far as it takes
 * certain shards to be slow, or peers to be worse than clients are. */
#include "rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static const char ini[] = "[event join]\njoin = {1}\n"
                          "[event say]\nemit = room {1}: msg {2}\n"
                          "[event me]\nemit = sender: msg {1}\n"
                          "[event bye]\nemit = sender: msg {1}\ndisconnect = connection\n";

static void get(struct rig_client *c, const char *sid)
{
    char req[256];

    (void)snprintf(
        req, sizeof(req),
        "GET /socket.io/?EIO=4&transport=polling&sid=%.20s HTTP/1.1\r\nHost: x\r\n\r\n", sid);
    rig_writez(c, req);
}

static void post(struct rig_client *c, const char *sid, const char *body)
{
    char req[1024];

    (void)snprintf(req, sizeof(req),
                   "POST /socket.io/?EIO=4&transport=polling&sid=%.20s HTTP/1.1\r\nHost: x\r\n"
                   "Content-Length: %zu\r\n\r\n%s",
                   sid, strlen(body), body);
    rig_writez(c, req);
}

/* The answer that has come must be this status and body (NULL: any). Static memory. */
static const char *answer(struct rig_client *c, int status, const char *body)
{
    const char *text = rig_read(c), *at = strstr(text, "\r\n\r\n");
    char line[32];

    (void)snprintf(line, sizeof(line), "HTTP/1.1 %d ", status);
    cr_assert_eq(strncmp(text, line, strlen(line)), 0, "%d expected: %s", status, text);
    cr_assert_not_null(at);
    if (body != NULL)
        cr_assert_str_eq(at + 4, body);
    return at + 4;
}

/* A polling session of that shard, connected to "/". */
static void open_session(struct rig *r, struct rig_client *c, unsigned shard, char sid[21])
{
    const char *body, *at;

    rig_connect(r, c, shard);
    rig_writez(c, "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n");
    rig_settle(r);
    body = answer(c, 200, NULL);
    at = strstr(body, "\"sid\":\"");
    cr_assert_not_null(at);
    memcpy(sid, at + 7, 20);
    sid[20] = '\0';
    post(c, sid, "40");
    rig_settle(r);
    (void)answer(c, 200, "ok");
    get(c, sid);
    rig_settle(r);
    cr_assert_eq(strncmp(answer(c, 200, NULL), "40{\"sid\":\"", 10), 0);
}

static void ask_upgrade(struct rig *r, struct rig_client *c, unsigned shard, const char *sid)
{
    char target[128];

    (void)snprintf(target, sizeof(target), "/socket.io/?EIO=4&transport=websocket&sid=%s", sid);
    rig_websocket(r, c, shard, target);
}

static void check_nothing_left(const struct rig *r)
{
    for (unsigned i = 0; i < r->n; i++) {
        cr_assert_eq(r->shard[i]->sessions.used, 0u);
        cr_assert_eq(r->shard[i]->sockets.used, 0u);
        cr_assert_eq(r->shard[i]->loop.conns.used, 0u);
        cr_assert_eq(rc_stat_get(&r->shard[i]->stats.conns), 0u);
        cr_assert_eq(rc_stat_get(&r->shard[i]->stats.sessions), 0u);
        cr_assert_eq(rc_stat_get(&r->shard[i]->stats.sockets), 0u);
    }
}

/* The session lives on shard 0; its requests come by any of three. */
Test(polling, requests_on_any_shard)
{
    struct rig r;
    struct rig_client c[3], post_by[3];
    char sid[21];

    rig_open(&r, 3, ini);
    open_session(&r, &c[0], 0, sid);
    rig_connect(&r, &c[1], 1);
    rig_connect(&r, &c[2], 2);
    for (unsigned i = 0; i < 3; i++) {
        rig_connect(&r, &post_by[i], (i + 1) % 3);
        get(&c[i], sid);
        rig_settle(&r);
        cr_assert_str_eq(rig_read(&c[i]), ""); /* pending */
        post(&post_by[i], sid, "421[\"me\",7]");
        rig_settle(&r);
        (void)answer(&post_by[i], 200, "ok");
        (void)answer(&c[i], 200,
                     "42[\"msg\",7]\x1e"
                     "431[{\"ok\":true}]");
    }
    post(&post_by[0], sid, "1");
    rig_settle(&r);
    get(&c[2], sid);
    rig_settle(&r);
    (void)answer(&c[2], 400, "{\"code\":1,\"message\":\"Session ID unknown\"}");
    for (unsigned i = 0; i < 3; i++) {
        rig_hang_up(&c[i]);
        rig_hang_up(&post_by[i]);
    }
    rig_settle(&r);
    check_nothing_left(&r);
    rig_close(&r);
}

/* A session that a POST ends answers its pending poll, whose connection has another POST in the
 * pipe that ends the next session, and so on: none of it within the other. */
Test(polling, chain_of_pipelined_closes)
{
    enum { N = 12 };
    struct rig r;
    struct rig_client c[N], k;
    char sid[N][21];

    for (unsigned nshards = 1; nshards <= 2; nshards++) {
        rig_open(&r, nshards, ini);
        for (unsigned i = 0; i < N; i++)
            open_session(&r, &c[i], i % nshards, sid[i]);
        for (unsigned i = 0; i < N; i++) {
            get(&c[i], sid[i]);
            if (i + 1 < N)
                post(&c[i], sid[i + 1], "1");
        }
        rig_settle(&r);
        rig_connect(&r, &k, 0);
        post(&k, sid[0], "1");
        rig_settle(&r);
        (void)answer(&k, 200, "ok");
        for (unsigned i = 0; i < N; i++) {
            const char *text = rig_read(&c[i]);

            cr_assert_not_null(strstr(text, "\r\n\r\n6")); /* the poll, and then the POST */
            cr_assert_eq(strstr(text, "\r\n\r\nok") != NULL, i + 1 < N);
            rig_hang_up(&c[i]);
        }
        rig_hang_up(&k);
        rig_settle(&r);
        check_nothing_left(&r);
        rig_close(&r);
    }
}

/* A rule ends the session while a poll is pending that has another poll behind it. */
Test(polling, ended_by_a_rule_with_polls_in_the_pipe)
{
    struct rig r;
    struct rig_client c, k;
    char sid[21];
    const char *text;

    rig_open(&r, 1, ini);
    open_session(&r, &c, 0, sid);
    get(&c, sid);
    get(&c, sid);
    get(&c, sid);
    rig_settle(&r);
    rig_connect(&r, &k, 0);
    post(&k, sid, "42[\"bye\",1]");
    rig_settle(&r);
    (void)answer(&k, 200, "ok");
    text = rig_read(&c);
    text = strstr(text, "\r\n\r\n42[\"msg\",1]\x1e"
                        "41");
    cr_assert_not_null(text); /* what was still to be told; then that it is over */
    text = strstr(text, "\r\n\r\n6\x1e"
                        "1");
    cr_assert_not_null(text);
    cr_assert_not_null(strstr(text, "HTTP/1.1 400 ")); /* and then it is forgotten */
    rig_hang_up(&c);
    rig_hang_up(&k);
    rig_settle(&r);
    check_nothing_left(&r);
    rig_close(&r);
}

Test(polling, two_polls_at_once)
{
    struct rig r;
    struct rig_client c, k;
    char sid[21];

    rig_open(&r, 2, ini);
    open_session(&r, &c, 0, sid);
    get(&c, sid);
    rig_settle(&r);
    rig_connect(&r, &k, 1);
    get(&k, sid);
    rig_settle(&r);
    (void)answer(&k, 400, "");
    (void)answer(&c, 200, "1");
    rig_hang_up(&c);
    rig_hang_up(&k);
    rig_settle(&r);
    check_nothing_left(&r);
    rig_close(&r);
}

/* The connection of a pending poll is gone: that ends the session, wherever it lives. */
Test(polling, aborted_poll)
{
    for (unsigned by = 0; by < 2; by++) {
        struct rig r;
        struct rig_client c, k;
        char sid[21];

        rig_open(&r, 2, ini);
        open_session(&r, &c, 0, sid);
        rig_connect(&r, &k, by);
        get(&k, sid);
        rig_settle(&r);
        rig_hang_up(&k);
        rig_settle(&r);
        cr_assert_eq(r.shard[0]->sessions.used, 0u);
        cr_assert_eq(rc_stat_get(&r.shard[0]->stats.closed[RC_CLOSE_POLL_ABORTED]), 1u);
        rig_hang_up(&c);
        rig_settle(&r);
        if (by == 1) { /* an answer might have been on its way */
            cr_assert_eq(r.shard[1]->loop.conns.used, 1u);
            (void)usleep(150000);
            rig_settle(&r);
        }
        check_nothing_left(&r);
        rig_close(&r);
    }
}

/* The answer was on its way when the connection went: nobody else gets it. */
Test(polling, answer_to_a_connection_that_is_gone)
{
    struct rig r;
    struct rig_client c, k, next;
    char sid[21];

    rig_open(&r, 2, ini);
    open_session(&r, &c, 0, sid);
    rig_connect(&r, &k, 1);
    get(&k, sid);
    rig_settle(&r);
    post(&c, sid, "42[\"me\",\"secret\"]");
    rig_turn(&r, 0); /* the answer to k is in shard 1's ring */
    rig_hang_up(&k);
    rig_connect(&r, &next, 1); /* in the slot of the one that is gone, if it is quick */
    rig_writez(&next, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    rig_settle(&r);
    (void)answer(&next, 200, "ok\n");
    (void)answer(&c, 200, "ok");
    rig_hang_up(&c);
    rig_hang_up(&next);
    rig_settle(&r);
    rig_close(&r);
}

/* A POST whose rule waits for a fence is answered when its events are done with. */
Test(polling, post_waits_for_its_events)
{
    struct rig r;
    struct rig_client c, k;
    char sid[21], body[256], got[1024] = "";
    int used = 0;

    rig_open(&r, 3, ini);
    open_session(&r, &c, 0, sid);
    get(&c, sid);
    rig_settle(&r);
    rig_connect(&r, &k, 0);
    (void)snprintf(body, sizeof(body),
                   "421[\"join\",\"%s\"]\x1e"
                   "422[\"say\",\"%s\",5]\x1e"
                   "423[\"join\",\"%s\"]\x1e"
                   "424[\"say\",\"%s\",6]",
                   rig_room(&r, 1, 0), rig_room(&r, 1, 0), rig_room(&r, 2, 0),
                   rig_room(&r, 2, 0));
    post(&k, sid, body);
    rig_turn(&r, 0);
    rig_turn(&r, 0);
    cr_assert_str_eq(rig_read(&k), "");
    cr_assert_str_eq(rig_read(&c), "");
    rig_settle(&r);
    (void)answer(&k, 200, "ok");
    do { /* one payload or several */
        used += snprintf(got + used, sizeof(got) - (size_t)used, "%s%s",
                         used != 0 ? "\x1e" : "", answer(&c, 200, NULL));
        get(&c, sid);
        rig_settle(&r);
    } while (strstr(got, "434") == NULL);
    cr_assert_str_eq(got, "431[{\"ok\":true}]\x1e"
                          "42[\"msg\",5]\x1e"
                          "432[{\"ok\":true}]\x1e"
                          "433[{\"ok\":true}]\x1e"
                          "42[\"msg\",6]\x1e"
                          "434[{\"ok\":true}]");
    post(&k, sid, "1");
    rig_settle(&r);
    rig_hang_up(&c);
    rig_hang_up(&k);
    rig_settle(&r);
    check_nothing_left(&r);
    rig_close(&r);
}

/* ---- upgrade ---- */

/* The whole way, the WebSocket on another shard than the session: it moves. */
Test(polling, upgrade)
{
    for (unsigned by = 0; by < 2; by++) {
        struct rig r;
        struct rig_client c, w;
        char sid[21];

        rig_open(&r, 2, ini);
        open_session(&r, &c, 0, sid);
        get(&c, sid);
        rig_settle(&r);
        ask_upgrade(&r, &w, by, sid);
        w.shard = 0;
        rig_say(&w, "2probe");
        rig_settle(&r);
        rig_expect(&w, "3probe");
        (void)answer(&c, 200, "6");
        post(&c, sid, "421[\"me\",1]"); /* polling still works, and its messages wait */
        rig_settle(&r);
        (void)answer(&c, 200, "ok");
        rig_expect_silence(&w);
        rig_say(&w, "5");
        rig_say(&w, "422[\"me\",2]");
        rig_settle(&r);
        rig_expect(&w, "42[\"msg\",1]");
        rig_expect(&w, "431[{\"ok\":true}]");
        rig_expect(&w, "42[\"msg\",2]");
        rig_expect(&w, "432[{\"ok\":true}]");
        get(&c, sid);
        rig_settle(&r);
        (void)answer(&c, 400, "{\"code\":3,\"message\":\"Bad request\"}");
        rig_hang_up(&w);
        rig_hang_up(&c);
        rig_settle(&r);
        check_nothing_left(&r);
        rig_close(&r);
    }
}

/* An upgrade is asked for while a poll is pending that has a POST behind it, which ends the
 * session. */
static void open_behind_a_close(struct rig *r, struct rig_client *c, struct rig_client *w)
{
    char sid[21];

    rig_open(r, 1, ini);
    open_session(r, c, 0, sid);
    get(c, sid);
    post(c, sid, "1");
    rig_settle(r);
    ask_upgrade(r, w, 0, sid);
}

/* The upgrade answers the poll. */
Test(polling, upgrade_with_a_close_in_the_pipe)
{
    struct rig r;
    struct rig_client c, w;

    open_behind_a_close(&r, &c, &w);
    rig_say(&w, "5"); /* without a probe */
    rig_settle(&r);
    (void)answer(&c, 200, NULL);
    rig_say(&w, "421[\"me\",1]"); /* the POST came too late to matter: it is WebSocket now */
    rig_settle(&r);
    rig_expect(&w, "42[\"msg\",1]");
    rig_hang_up(&w);
    rig_hang_up(&c);
    rig_settle(&r);
    check_nothing_left(&r);
    rig_close(&r);
}

/* The probe answers it, too. */
Test(polling, probe_with_a_close_in_the_pipe)
{
    struct rig r;
    struct rig_client c, w;

    open_behind_a_close(&r, &c, &w);
    rig_say(&w, "2probe");
    rig_settle(&r);
    rig_expect(&w, "3probe");
    cr_assert(rig_hear(&w)); /* the session is gone: a close frame */
    cr_assert_eq(w.opcode, 8);
    rig_hang_up(&w);
    rig_hang_up(&c);
    rig_settle(&r);
    check_nothing_left(&r);
    rig_close(&r);
}

/* The prober is gone before it can be answered: the session goes on polling. */
Test(polling, probe_of_a_peer_that_is_gone)
{
    struct rig r;
    struct rig_client c, w;
    char sid[21];

    for (unsigned pending = 0; pending < 2; pending++) {
        rig_open(&r, 1, ini);
        open_session(&r, &c, 0, sid);
        if (pending)
            get(&c, sid);
        rig_settle(&r);
        ask_upgrade(&r, &w, 0, sid);
        rig_say(&w, "2probe");
        rig_hang_up(&w);
        rig_settle(&r);
        if (pending)
            (void)answer(&c, 200, "6");
        get(&c, sid);
        rig_settle(&r);
        cr_assert_str_eq(rig_read(&c), ""); /* not answered at once any more */
        rig_hang_up(&c);
        rig_settle(&r);
        check_nothing_left(&r);
        rig_close(&r);
    }
}

Test(polling, probe_that_says_nonsense)
{
    static const char *const said[] = {"42[\"me\",1]", "3probe", "2", "2probe2probe", "x"};

    for (unsigned i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        struct rig r;
        struct rig_client c, w;
        char sid[21];

        rig_open(&r, 1, ini);
        open_session(&r, &c, 0, sid);
        ask_upgrade(&r, &w, 0, sid);
        rig_say(&w, "%s", said[i]);
        rig_settle(&r);
        cr_assert(rig_hear(&w));
        cr_assert_eq(w.opcode, 8);
        rig_hang_up(&w);
        post(&c, sid, "42[\"me\",3]"); /* the session is as it was */
        rig_settle(&r);
        (void)answer(&c, 200, "ok");
        get(&c, sid);
        rig_settle(&r);
        (void)answer(&c, 200, "42[\"msg\",3]");
        rig_hang_up(&c);
        rig_settle(&r);
        rig_close(&r);
    }
}

/* ---- the end of the server ---- */

/* STOP comes with something queued for a poll that is pending. */
Test(polling, stop_with_a_pending_poll)
{
    struct rig r;
    struct rig_client c, k;
    struct rc_msg stop = {.type = RC_MSG_STOP};
    char sid[21];
    const char *text;

    rig_open(&r, 1, ini);
    open_session(&r, &c, 0, sid);
    get(&c, sid);
    get(&c, sid);
    rig_settle(&r);
    rig_connect(&r, &k, 0);
    rig_settle(&r);
    post(&k, sid, "42[\"me\",1]");
    rc_mesh_post(r.mesh, rc_mesh_main(1), 0, &stop);
    (void)rc_mesh_wake(r.mesh, rc_mesh_main(1));
    rig_turn(&r, 0);
    rig_turn(&r, 0);
    text = rig_read(&c);
    cr_assert(strstr(text, "\r\n\r\n1") != NULL || strstr(text, "42[\"msg\",1]") != NULL);
    rig_hang_up(&c);
    rig_hang_up(&k);
    rig_turn(&r, 0);
    rig_turn(&r, 0);
    cr_assert_eq(r.shard[0]->loop.conns.used, 0u);
    cr_assert(r.shard[0]->loop.stop);
    rig_close(&r);
}

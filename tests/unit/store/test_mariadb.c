#include "bed.h"
#include "proxy.h"

#include <criterion/criterion.h>
#include <mysql.h>
#include <stdio.h>
#include <unistd.h>

#define STARTER "tests/unit/store/mariadbd.sh"

/* A server in a folder of its own, and one database in it. */
struct server {
    char dir[64], socket[96], database[16];
    char at[128], name[64]; /* options */
    struct bed_engine engine;
};

static void run(const struct server *s, const char *what, const char *options)
{
    char command[256];

    (void)snprintf(command, sizeof(command), STARTER " %s %s %s", what, s->dir, options);
    cr_assert_eq(system(command), 0, "%s", command);
}

/* As root. What it says in its first column of its first row, or -1. */
static long long query(const struct server *s, const char *sql)
{
    MYSQL *db = mysql_init(NULL);
    long long n = -1;
    int more;

    cr_assert_not_null(mysql_real_connect(db, "localhost", "root", "", NULL, 0, s->socket,
                                          CLIENT_MULTI_STATEMENTS));
    if (s->database[0] != '\0')
        cr_assert_eq(mysql_select_db(db, s->database), 0);
    if (mysql_query(db, sql) != 0)
        cr_assert_fail("%s: %s", sql, mysql_error(db));
    do { /* all of them: the server drops those whose results nobody awaits */
        MYSQL_RES *res = mysql_store_result(db);
        MYSQL_ROW row = res != NULL ? mysql_fetch_row(res) : NULL;

        if (row != NULL && row[0] != NULL)
            n = strtoll(row[0], NULL, 10);
        mysql_free_result(res);
        more = mysql_next_result(db);
        cr_assert_leq(more, 0, "%s: %s", sql, mysql_error(db));
    } while (more == 0);
    mysql_close(db);
    return n;
}

static void sql(const struct bed_engine *e, const char *text)
{
    (void)query(e->self, text);
}

static void server_start(struct server *s, const char *options)
{
    *s = (struct server){0};
    (void)snprintf(s->dir, sizeof(s->dir), "/tmp/roomcast-mariadb-XXXXXX");
    cr_assert_not_null(mkdtemp(s->dir));
    (void)snprintf(s->socket, sizeof(s->socket), "%s/socket", s->dir);
    run(s, "start", options);
}

/* The n-th database, an empty one, by that socket. */
static void use(struct server *s, unsigned n, const char *socket)
{
    char text[64];

    s->database[0] = '\0';
    (void)snprintf(text, sizeof(text), "CREATE DATABASE rc_%u", n);
    (void)query(s, text);
    (void)snprintf(s->database, sizeof(s->database), "rc_%u", n);
    (void)snprintf(s->name, sizeof(s->name), "store.database=%s", s->database);
    (void)snprintf(s->at, sizeof(s->at), "store.socket=%s", socket);
    s->engine = (struct bed_engine){.option = {"store.engine=mariadb", s->at, s->name,
                                               "store.password=secret", "store.timeout=5s"},
                                    .sql = sql,
                                    .self = s};
}

static void server_remove(struct server *s)
{
    char command[128];

    run(s, "kill", "");
    (void)snprintf(command, sizeof(command), "rm -rf %s", s->dir);
    cr_assert_eq(system(command), 0);
}

static uint64_t say(struct bed *k, const char *content)
{
    return bed_put(k, RC_STORE_ROOM, "ann", "lobby", content, "");
}

/* A connection of root's that carries out these statements, which are not awaited. */
static MYSQL *hold(const struct server *s, const char *sql)
{
    MYSQL *db = mysql_init(NULL);

    cr_assert_not_null(mysql_real_connect(db, "localhost", "root", "", s->database, 0,
                                          s->socket, CLIENT_MULTI_STATEMENTS));
    cr_assert_eq(mysql_send_query(db, sql, strlen(sql)), 0);
    while (query(s, "SELECT COUNT(*) FROM information_schema.processlist "
                    "WHERE state = 'User sleep'") == 0)
        (void)usleep(10000);
    return db;
}

Test(mariadb, suite, .timeout = 300)
{
    struct server s;

    server_start(&s, "");
    for (unsigned i = 0; i < bed_ncases; i++) {
        (void)fprintf(stderr, "# mariadb: %s\n", bed_cases[i].name);
        use(&s, i, s.socket);
        bed_cases[i].run(&s.engine);
    }
    server_remove(&s);
}

Test(mariadb, follow, .timeout = 300)
{
    struct server s;

    server_start(&s, "");
    for (unsigned i = 0; i < bed_nfollow_cases; i++) {
        (void)fprintf(stderr, "# mariadb: %s\n", bed_follow_cases[i].name);
        use(&s, i, s.socket);
        bed_follow_cases[i].run(&s.engine);
    }
    server_remove(&s);
}

/* Refused at once while the server is not there; taken again when it is. */
Test(mariadb, down_and_up, .timeout = 120)
{
    struct rc_store_in in = {.conversation = RC_STORE_ROOM, .receiver = RC_STR("lobby")};
    struct rc_store_req *req;
    struct server s;
    struct bed k;
    uint64_t first;

    server_start(&s, "");
    use(&s, 1, s.socket);
    run(&s, "stop", "");
    bed_open(&k, &s.engine); /* it may come later */
    cr_assert_eq(bed_stats(&k).up, 0u);
    run(&s, "start", "");
    bed_await_up(&k, true);
    first = say(&k, "a");
    cr_assert_gt(first, 0u);
    run(&s, "kill", "");
    req = bed_ask(&k, RC_STORE_PUT, in);
    cr_assert_eq(req->fault, RC_STORE_DOWN); /* the BEGIN was not answered */
    req = bed_new(&k, RC_STORE_PUT, &in);
    cr_assert_eq(rc_store_submit(k.port, 0, req), RC_ECLOSED);
    cr_assert_eq(req->fault, RC_STORE_DOWN);
    cr_assert_str_eq(rc_store_fault_code(req->fault), "store_down");
    rc_store_req_free(req);
    cr_assert_eq(bed_stats(&k).up, 0u);
    cr_assert_eq(bed_stats(&k).down, 2u);
    run(&s, "start", "");
    bed_await_up(&k, true);
    cr_assert_gt(say(&k, "b"), first);
    cr_assert_eq(bed_stats(&k).connects, 2u);
    cr_assert_eq(query(&s, "SELECT COUNT(*) FROM message"), 2);
    bed_close(&k);
    server_remove(&s);
}

/* The database n, by way of a proxy. */
static void use_proxy(struct server *s, unsigned n, struct proxy *p)
{
    char path[96];

    (void)snprintf(path, sizeof(path), "%s/proxy", s->dir);
    proxy_start(p, path, s->socket);
    use(s, n, path);
}

/* The connection breaks while a batch is committed: it is answered after all, and stored once. */
static void lose(struct server *s, unsigned n, enum proxy_mode mode)
{
    struct rc_store_in in = {.conversation = RC_STORE_ROOM,
                             .user = RC_STR("ann"),
                             .receiver = RC_STR("lobby"),
                             .content = RC_STR("x")};
    struct proxy p;
    struct bed k;

    use_proxy(s, n, &p);
    bed_make(&k, &s->engine, NULL);
    for (unsigned i = 0; i < 10; i++) {
        in.client_id = i % 2 != 0 ? RC_STR("same") : RC_STR_NONE;
        (void)bed_submit(&k, RC_STORE_PUT, in);
    }
    atomic_store(&p.mode, mode);
    bed_start(&k);
    bed_await(&k, 10);
    cr_assert_eq(atomic_load(&p.mode), PROXY_PASS); /* it did happen */
    for (unsigned i = 0; i < 10; i++) {
        cr_assert_eq(k.done[i]->fault, RC_STORE_OK);
        cr_assert_eq(k.done[i]->repeated, i % 2 != 0 && i != 1);
        if (i % 2 == 0 && i != 0)
            cr_assert_gt(k.done[i]->id, k.done[i - 2]->id);
    }
    cr_assert_eq(query(s, "SELECT COUNT(*) FROM message"), 6);
    cr_assert_eq(query(s, "SELECT COUNT(DISTINCT id) FROM message"), 6);
    cr_assert_eq((uint64_t)query(s, "SELECT MAX(id) FROM message"), k.done[8]->id);
    cr_assert_eq(bed_stats(&k).stored, 6u);
    cr_assert_eq(bed_stats(&k).connects, 2u);
    cr_assert_gt(say(&k, "after it"), k.done[8]->id);
    bed_close(&k);
    proxy_stop(&p);
}

/* And when the server does not come back in time, nobody knows. */
static void lose_for_good(struct server *s, unsigned n)
{
    struct proxy p;
    struct bed k;
    struct rc_store_in in = {.conversation = RC_STORE_ROOM, .receiver = RC_STR("lobby")};

    use_proxy(s, n, &p);
    s->engine.option[4] = "store.timeout=1s";
    bed_open(&k, &s->engine);
    (void)say(&k, "a");
    atomic_store(&p.away, true);
    atomic_store(&p.mode, PROXY_LOSE_REPLY);
    cr_assert_eq(bed_ask(&k, RC_STORE_PUT, in)->fault, RC_STORE_UNKNOWN);
    cr_assert_eq(query(s, "SELECT COUNT(*) FROM message"), 2);
    bed_close(&k);
    proxy_stop(&p);
}

Test(mariadb, broken_commit, .timeout = 120)
{
    struct server s;

    server_start(&s, "");
    lose(&s, 1, PROXY_LOSE_COMMIT);
    lose(&s, 2, PROXY_LOSE_REPLY);
    lose_for_good(&s, 3);
    server_remove(&s);
}

static struct rc_store_in to_bob(const char *from)
{
    return (struct rc_store_in){.conversation = RC_STORE_PRIVATE,
                                .user = rc_str_of(from),
                                .receiver = RC_STR("bob"),
                                .content = RC_STR("x")};
}

/* What another node stores before, while, and after a commit of this one is broken: each is told once, and in
 * the order of the ids. */
static void lose_and_follow(struct server *s, unsigned n, enum proxy_mode mode)
{
    struct rc_store_in look = {.id = 0};
    struct bed k, other;
    struct proxy p;

    use_proxy(s, n, &p);
    bed_make_following(&k, &s->engine, NULL);
    (void)snprintf(s->at, sizeof(s->at), "store.socket=%s", s->socket);
    bed_open(&other, &s->engine);
    cr_assert_eq(bed_put(&other, RC_STORE_PRIVATE, "ann", "bob", "x", ""), 1u);
    (void)bed_submit(&k, RC_STORE_PUT, to_bob("carl"));
    (void)bed_submit(&k, RC_STORE_PUT, to_bob("carl"));
    atomic_store(&p.mode, mode);
    bed_start(&k);
    bed_await(&k, 2);
    cr_assert_eq(atomic_load(&p.mode), PROXY_PASS); /* it did happen */
    cr_assert_eq(bed_stats(&k).connects, 2u);
    cr_assert_str_eq(bed_log(&k), "1:ann>bob =2 =3 ");
    cr_assert_eq(bed_put(&other, RC_STORE_PRIVATE, "ann", "bob", "x", ""), 4u);
    (void)bed_ask(&k, RC_STORE_FOLLOW, look);
    cr_assert_str_eq(bed_log(&k), "4:ann>bob ");
    bed_close(&k);
    bed_close(&other);
    proxy_stop(&p);
}

/* Nobody knows; once the server is back it shows, and then it is told. */
static void doubt_and_follow(struct server *s, unsigned n)
{
    struct rc_store_in look = {.id = 0};
    struct proxy p;
    struct bed k;

    use_proxy(s, n, &p);
    s->engine.option[4] = "store.timeout=1s";
    bed_make_following(&k, &s->engine, NULL);
    bed_start(&k);
    atomic_store(&p.away, true);
    atomic_store(&p.mode, PROXY_LOSE_REPLY);
    cr_assert_eq(bed_ask(&k, RC_STORE_PUT, to_bob("carl"))->fault, RC_STORE_UNKNOWN);
    atomic_store(&p.away, false);
    bed_await_up(&k, true);
    cr_assert_eq(bed_put(&k, RC_STORE_PRIVATE, "ann", "bob", "x", ""), 2u);
    (void)bed_ask(&k, RC_STORE_FOLLOW, look);
    cr_assert_str_eq(bed_log(&k), "1:carl>bob? =2 ");
    bed_close(&k);
    proxy_stop(&p);
}

Test(mariadb, broken_commit_of_one_that_follows, .timeout = 120)
{
    struct server s;

    server_start(&s, "");
    lose_and_follow(&s, 1, PROXY_LOSE_COMMIT);
    lose_and_follow(&s, 2, PROXY_LOSE_REPLY);
    doubt_and_follow(&s, 3);
    server_remove(&s);
}

/* A query that takes too long fails by itself, and what is asked with it does not. */
Test(mariadb, slow_query, .timeout = 120)
{
    struct rc_store_in of_ann = {.user = RC_STR("ann")}, of_bob = {.user = RC_STR("bob")};
    const struct rc_store_req *slow, *other, *put;
    struct server s;
    struct bed k;

    server_start(&s, "");
    use(&s, 1, s.socket);
    bed_open(&k, &s.engine);
    bed_close(&k);
    (void)query(&s,
                "INSERT INTO message (id, conversation_type, sender_id, receiver_id, content, "
                "created_at) SELECT seq, 'private', 'ann', CONCAT('u', seq), 'hi', "
                "'2023-11-14 22:13:20.123' FROM seq_1_to_40000");
    bed_make(&k, &s.engine, (const char *const[]){"store.query_timeout=2ms", NULL});
    slow = bed_submit(&k, RC_STORE_CONVERSATIONS, of_ann);
    other = bed_submit(&k, RC_STORE_CONVERSATIONS, of_bob);
    put = bed_submit(&k, RC_STORE_PUT, to_bob("carl"));
    bed_start(&k);
    bed_await(&k, 3);
    cr_assert_eq(slow->fault, RC_STORE_SLOW);
    cr_assert_eq(other->fault, RC_STORE_OK);
    cr_assert_eq(put->fault, RC_STORE_OK);
    cr_assert_eq(bed_stats(&k).slow, 1u);
    cr_assert_eq(bed_stats(&k).failed, 1u);
    cr_assert_eq(bed_stats(&k).up, 1u);
    cr_assert_eq(bed_stats(&k).connects, 1u);
    bed_close(&k);

    /* There was nothing wrong with it but the time. */
    bed_make(&k, &s.engine, (const char *const[]){"store.query_timeout=10m", NULL});
    bed_start(&k);
    slow = bed_ask(&k, RC_STORE_CONVERSATIONS, of_ann);
    cr_assert_eq(slow->fault, RC_STORE_OK);
    cr_assert(slow->more);
    bed_close(&k);

    /* What writes waits for others' locks as long as store.timeout says. */
    bed_make(&k, &s.engine, (const char *const[]){"store.query_timeout=1ms", NULL});
    bed_start(&k);
    {
        MYSQL *held =
            hold(&s, "START TRANSACTION; UPDATE message_counter SET last_id = last_id + 1; "
                     "DO SLEEP(0.5); COMMIT");

        cr_assert_gt(say(&k, "after it"), 0u);
        mysql_close(held);
    }
    bed_close(&k);
    server_remove(&s);
}

static bool refuses(const struct server *s, const char *why)
{
    char engine[] = "store.engine=mariadb", password[] = "store.password=secret", at[128],
         name[64];
    char *option[] = {engine, password, at, name};
    struct rc_conf_errors e = {0};
    struct rc_store *store;
    struct rc_conf conf;
    bool ok;

    (void)snprintf(at, sizeof(at), "%s", s->at);
    (void)snprintf(name, sizeof(name), "%s", s->name);
    cr_assert_eq(rc_conf_load(&conf, NULL, option, 4, &e), RC_OK);
    store = rc_store_new(&conf, 1, NULL, NULL);
    cr_assert_not_null(store);
    cr_assert_eq(rc_store_open(store, &e), RC_EINVAL);
    ok = memmem(e.text.data, e.text.len, why, strlen(why)) != NULL;
    rc_buf_deinit(&e.text);
    rc_store_free(store);
    rc_conf_free(&conf);
    return ok;
}

Test(mariadb, schema, .timeout = 120)
{
    struct rc_store_in in = {.user = RC_STR("bob")};
    struct server s;
    struct bed k;

    server_start(&s, "--max-allowed-packet=1M");
    use(&s, 1, s.socket);
    (void)query(&s, "CREATE TABLE message (id INT PRIMARY KEY)");
    cr_assert(refuses(&s, "not a database of roomcast"));

    /* What version 1 left, and a step to version 2 that was broken off. */
    use(&s, 2, s.socket);
    (void)query(&s, "CREATE TABLE schema_version (version INT PRIMARY KEY, applied_at DATETIME "
                    "NOT NULL "
                    "DEFAULT CURRENT_TIMESTAMP);"
                    "INSERT INTO schema_version (version) VALUES (1);"
                    "CREATE TABLE message (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, "
                    "conversation_type ENUM('private', 'group', 'room') NOT NULL, "
                    "sender_id VARCHAR(255) NOT NULL, receiver_id VARCHAR(255) NOT NULL, "
                    "content LONGTEXT NOT NULL, created_at DATETIME(3) NOT NULL, "
                    "client_id VARCHAR(128), UNIQUE KEY message_client (sender_id, client_id), "
                    "KEY message_receiver (conversation_type, receiver_id, id)) "
                    "DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;"
                    "CREATE TABLE group_membership (group_id VARCHAR(255) NOT NULL, "
                    "user_id VARCHAR(255) NOT NULL, PRIMARY KEY (group_id, user_id)) "
                    "DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;"
                    "INSERT INTO message VALUES (41, 'private', 'ann', 'bob', 'old', "
                    "'2023-11-14 22:13:20.123', 'c');"
                    "ALTER TABLE message ADD COLUMN event VARCHAR(255)");
    bed_open(&k, &s.engine);
    cr_assert_str_eq(bed_ids(bed_ask(&k, RC_STORE_MISSED, in)), "41");
    cr_assert_eq(bed_put(&k, RC_STORE_PRIVATE, "ann", "bob", "new", "c"), 41u); /* repeated */
    cr_assert_eq(bed_put(&k, RC_STORE_PRIVATE, "ann", "bob", "new", "d"), 43u);
    cr_assert_eq(query(&s, "SELECT MAX(version) FROM schema_version"), 3);

    /* What the server would not take does not cost the connection. */
    {
        static char big[2000000];
        struct rc_store_in put = {.conversation = RC_STORE_ROOM,
                                  .receiver = RC_STR("lobby"),
                                  .content = {.p = big, .len = sizeof(big)}};

        memset(big, 'x', sizeof(big));
        cr_assert_eq(bed_ask(&k, RC_STORE_PUT, put)->fault, RC_STORE_TOO_LONG);
        put.content.len = 1000000;
        cr_assert_eq(bed_ask(&k, RC_STORE_PUT, put)->fault, RC_STORE_OK);
        cr_assert_eq(bed_stats(&k).connects, 1u);
    }
    bed_close(&k);
    (void)query(&s, "INSERT INTO schema_version (version) VALUES (99)");
    cr_assert(refuses(&s, "its schema has version 99"));
    server_remove(&s);
}

/* One node at a time, and for as long as it takes. */
Test(mariadb, migration, .timeout = 120)
{
    struct server s;
    struct bed k;
    MYSQL *other;

    server_start(&s, "");
    use(&s, 1, s.socket);
    s.engine.option[4] = "store.timeout=2s";
    bed_open(&k, &s.engine);
    bed_close(&k);

    (void)query(&s, "DELETE FROM schema_version WHERE version = 3;"
                    "ALTER TABLE message DROP KEY message_sent");
    other = hold(&s, "DO GET_LOCK('roomcast.schema', 0); DO SLEEP(1000)");
    bed_open(&k, &s.engine);
    cr_assert_eq(bed_stats(&k).up, 0u);
    cr_assert_eq(query(&s, "SELECT MAX(version) FROM schema_version"), 2);
    mysql_close(other);
    (void)query(&s, "SELECT id INTO @id FROM information_schema.processlist "
                    "WHERE state = 'User sleep'; KILL @id");
    bed_await_up(&k, true);
    cr_assert_eq(query(&s, "SELECT MAX(version) FROM schema_version"), 3);
    bed_close(&k);

    /* Longer than store.timeout. */
    (void)query(&s, "DELETE FROM schema_version WHERE version = 3;"
                    "ALTER TABLE message DROP KEY message_sent");
    other = hold(&s, "BEGIN; SELECT COUNT(*) FROM message; DO SLEEP(5); COMMIT");
    bed_open(&k, &s.engine);
    cr_assert_eq(bed_stats(&k).up, 1u);
    cr_assert_eq(query(&s, "SELECT MAX(version) FROM schema_version"), 3);
    bed_close(&k);
    mysql_close(other);
    server_remove(&s);
}

#include "../../../src/store/schema.h"
#include "bed.h"
#include "rc/base/timer.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file in a folder of its own. */
struct file {
    char dir[64], path[96], option[128];
    struct bed_engine engine;
};

static void sql(const struct bed_engine *e, const char *text)
{
    const struct file *f = e->self;
    sqlite3 *db;

    cr_assert_eq(sqlite3_open(f->path, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        cr_assert_fail("%s: %s", text, sqlite3_errmsg(db));
    (void)sqlite3_close(db);
}

static int64_t number(const struct file *f, const char *text)
{
    sqlite3 *db;
    sqlite3_stmt *st;
    int64_t n;

    cr_assert_eq(sqlite3_open(f->path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_prepare_v2(db, text, -1, &st, NULL), SQLITE_OK);
    cr_assert_eq(sqlite3_step(st), SQLITE_ROW);
    n = sqlite3_column_int64(st, 0);
    (void)sqlite3_finalize(st);
    (void)sqlite3_close(db);
    return n;
}

static void file_make(struct file *f)
{
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/roomcast-sqlite-XXXXXX");
    cr_assert_not_null(mkdtemp(f->dir));
    (void)snprintf(f->path, sizeof(f->path), "%s/store.db", f->dir);
    (void)snprintf(f->option, sizeof(f->option), "store.path=%s", f->path);
    f->engine = (struct bed_engine){
        .option = {"store.engine=sqlite", f->option}, .sql = sql, .self = f};
}

static void file_remove(struct file *f)
{
    char command[128];

    (void)snprintf(command, sizeof(command), "rm -rf %s", f->dir);
    cr_assert_eq(system(command), 0);
}

Test(sqlite, suite, .timeout = 300)
{
    for (unsigned i = 0; i < bed_ncases; i++) {
        struct file f;

        (void)fprintf(stderr, "# sqlite: %s\n", bed_cases[i].name);
        file_make(&f);
        bed_cases[i].run(&f.engine);
        file_remove(&f);
    }
}

Test(sqlite, follow, .timeout = 300)
{
    for (unsigned i = 0; i < bed_nfollow_cases; i++) {
        struct file f;

        (void)fprintf(stderr, "# sqlite: %s\n", bed_follow_cases[i].name);
        file_make(&f);
        bed_follow_cases[i].run(&f.engine);
        file_remove(&f);
    }
}

/* The reason why a store cannot be opened. Static memory. */
static const char *refusal(const struct file *f)
{
    static char text[1024];
    struct rc_conf_errors e = {0};
    struct rc_store *store;
    struct rc_conf conf;
    char engine[] = "store.engine=sqlite", path[128];
    char *option[] = {engine, path};

    (void)snprintf(path, sizeof(path), "%s", f->option);
    cr_assert_eq(rc_conf_load(&conf, NULL, option, 2, &e), RC_OK);
    store = rc_store_new(&conf, 1, NULL, NULL);
    cr_assert_not_null(store);
    cr_assert_eq(rc_store_open(store, &e), RC_EINVAL);
    (void)snprintf(text, sizeof(text), "%.*s", RC_STR_ARG(rc_buf_str(&e.text)));
    rc_buf_deinit(&e.text);
    rc_store_free(store);
    rc_conf_free(&conf);
    return text;
}

static bool refuses(const struct file *f, const char *why)
{
    const char *text = refusal(f);

    if (strstr(text, why) != NULL)
        return true;
    (void)fprintf(stderr, "%s\nexpected: %s\n", text, why);
    return false;
}

Test(sqlite, cannot_be_opened)
{
    struct file f;
    FILE *other;

    file_make(&f);
    (void)snprintf(f.option, sizeof(f.option), "store.path=%s/no/store.db", f.dir);
    cr_assert(refuses(&f, "No such file or directory: make its folder"));
    (void)snprintf(f.option, sizeof(f.option), "store.path=%s", f.dir);
    cr_assert(refuses(&f, "Is a directory"));
    (void)snprintf(f.option, sizeof(f.option), "store.path=%s", f.path);
    other = fopen(f.path, "w");
    cr_assert_not_null(other);
    for (unsigned i = 0; i < 2000; i++)
        (void)fputs("this is no database\n", other);
    (void)fclose(other);
    cr_assert(refuses(&f, "file is not a database"));
    file_remove(&f);
}

Test(sqlite, newer_database)
{
    struct file f;
    struct bed k;

    file_make(&f);
    bed_open(&k, &f.engine);
    bed_close(&k);
    sql(&f.engine, "INSERT INTO schema_version (version) VALUES (99)");
    cr_assert(refuses(&f, "its schema has version 99, and this program knows"));
    sql(&f.engine, "DELETE FROM schema_version WHERE version = 99");
    bed_open(&k, &f.engine);
    bed_close(&k);
    file_remove(&f);
}

Test(sqlite, database_of_another_program)
{
    struct file f;

    file_make(&f);
    sql(&f.engine, "CREATE TABLE message (id INTEGER PRIMARY KEY, text TEXT)");
    cr_assert(refuses(&f, "not a database of roomcast"));
    cr_assert_eq(number(&f, "SELECT COUNT(*) FROM sqlite_master"), 1);
    file_remove(&f);
}

/* What version 1 left. */
Test(sqlite, migrates_version_1)
{
    struct file f;
    struct bed k;
    struct rc_store_in in = {.user = RC_STR("bob")};

    file_make(&f);
    sql(&f.engine,
        "CREATE TABLE schema_version (version INTEGER PRIMARY KEY, "
        "applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);"
        "INSERT INTO schema_version (version) VALUES (1);"
        "CREATE TABLE message (id INTEGER PRIMARY KEY, conversation_type TEXT NOT NULL, "
        "sender_id TEXT NOT NULL, receiver_id TEXT NOT NULL, content TEXT NOT NULL, "
        "created_at TEXT NOT NULL, client_id TEXT);"
        "CREATE TABLE group_membership (group_id TEXT NOT NULL, user_id TEXT NOT NULL, "
        "PRIMARY KEY (group_id, user_id)) WITHOUT ROWID;"
        "CREATE UNIQUE INDEX message_client ON message (sender_id, client_id) "
        "WHERE client_id IS NOT NULL;"
        "CREATE INDEX message_receiver ON message (conversation_type, receiver_id, id);"
        "INSERT INTO message VALUES (41, 'private', 'ann', 'bob', 'old', "
        "'2023-11-14T22:13:20.123Z', 'c');"
        "INSERT INTO message VALUES (42, 'group', 'ann', 'g', 'old', "
        "'2023-11-14T22:13:20.123Z', NULL);"
        "INSERT INTO group_membership VALUES ('g', 'bob')");
    bed_open(&k, &f.engine);
    cr_assert_str_eq(bed_ids(bed_ask(&k, RC_STORE_MISSED, in)), "41 42");
    cr_assert_eq(bed_put(&k, RC_STORE_PRIVATE, "ann", "bob", "new", "c"), 41u); /* repeated */
    cr_assert_eq(bed_put(&k, RC_STORE_PRIVATE, "ann", "bob", "new", "d"), 44u);
    bed_close(&k);
    cr_assert_eq(number(&f, "SELECT MAX(version) FROM schema_version"), 3);
    file_remove(&f);
}

/* Whatever the size of the tables: nothing walks through all messages. */
Test(sqlite, statements_seek)
{
    struct file f;
    struct bed k;
    sqlite3 *db;

    file_make(&f);
    bed_open(&k, &f.engine);
    bed_close(&k);
    cr_assert_eq(sqlite3_open(f.path, &db), SQLITE_OK);
    for (unsigned i = 0; i < RC_STMT_COUNT; i++) {
        char text[2048];
        sqlite3_stmt *st;

        if (rc_dialect_sqlite.statement[i] == NULL)
            continue;
        (void)snprintf(text, sizeof(text), "EXPLAIN QUERY PLAN %s",
                       rc_dialect_sqlite.statement[i]);
        cr_assert_eq(sqlite3_prepare_v2(db, text, -1, &st, NULL), SQLITE_OK, "%s", text);
        while (sqlite3_step(st) == SQLITE_ROW) {
            const char *step = (const char *)sqlite3_column_text(st, 3);

            if (strncmp(step, "SCAN message", 12) == 0 &&
                strcmp(step, "SCAN message_counter") != 0)
                cr_assert_fail("%s: %s", rc_dialect_sqlite.statement[i], step);
        }
        (void)sqlite3_finalize(st);
    }
    (void)sqlite3_close(db);
    file_remove(&f);
}

/* The messages are for whom the server's user lets read them. */
Test(sqlite, file_is_private)
{
    static const char *const suffix[] = {"", "-wal", "-shm"};
    struct file f;
    struct bed k;

    file_make(&f);
    bed_open(&k, &f.engine);
    cr_assert_gt(bed_put(&k, RC_STORE_ROOM, "ann", "lobby", "x", ""), 0u);
    for (unsigned i = 0; i < 3; i++) {
        char path[128];
        struct stat st;

        (void)snprintf(path, sizeof(path), "%s%s", f.path, suffix[i]);
        cr_assert_eq(stat(path, &st), 0);
        cr_assert_eq(st.st_mode & 0777, 0600u);
    }
    bed_close(&k);
    file_remove(&f);
}

/* What is answered can be read by others at once: it was committed, not just written. */
Test(sqlite, answered_is_committed)
{
    struct file f;
    struct bed k;

    file_make(&f);
    bed_open(&k, &f.engine);
    for (int i = 1; i <= 5; i++) {
        cr_assert_gt(bed_put(&k, RC_STORE_ROOM, "ann", "lobby", "x", ""), 0u);
        cr_assert_eq(number(&f, "SELECT COUNT(*) FROM message"), i);
    }
    bed_close(&k);
    file_remove(&f);
}

/* Its id, or 0 and what it was refused as. */
static uint64_t try_to_put(struct bed *k, const char *content, enum rc_store_fault *fault)
{
    struct rc_store_in in = {.conversation = RC_STORE_ROOM,
                             .receiver = RC_STR("lobby"),
                             .content = rc_str_of(content)};
    struct rc_store_req *req = bed_new(k, RC_STORE_PUT, &in);
    bool taken = rc_store_submit(k->port, 0, req) == RC_OK;
    uint64_t id;

    if (taken)
        bed_await(k, k->ndone + 1);
    *fault = req->fault;
    id = req->fault == RC_STORE_OK ? req->id : 0;
    if (!taken)
        rc_store_req_free(req);
    return id;
}

/* A file that may not grow, as on a full disk: requests fail, and work again when it may. */
Test(sqlite, no_space, .timeout = 60)
{
    static const char *const more[] = {"store.timeout=1s", NULL};
    struct rlimit before, small;
    enum rc_store_fault fault;
    struct file f;
    struct bed k;
    uint64_t id = 0, last;

    file_make(&f);
    bed_make(&k, &f.engine, more);
    bed_start(&k);
    last = bed_put(&k, RC_STORE_ROOM, "ann", "lobby", "x", "");
    (void)signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 1024;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (unsigned i = 0; i < 5; i++) {
        cr_assert_eq(try_to_put(&k, "does not fit", &fault), 0u);
        cr_assert(fault == RC_STORE_FAILED || fault == RC_STORE_DOWN ||
                  fault == RC_STORE_UNKNOWN);
    }
    cr_assert_eq(bed_stats(&k).up, 0u);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    for (unsigned i = 0; id == 0; i++) {
        cr_assert_lt(i, 1000u);
        id = try_to_put(&k, "fits", &fault);
        (void)usleep(10000);
    }
    cr_assert_gt(id, last);
    cr_assert_eq(bed_stats(&k).up, 1u);
    bed_close(&k);
    cr_assert_eq(number(&f, "SELECT COUNT(*) FROM message WHERE content = 'does not fit'"), 0);
    file_remove(&f);
}

/* ---- a file system that becomes read-only ---- */

static sqlite3_vfs read_only_vfs;
static sqlite3_vfs *real_vfs;
static sqlite3_io_methods read_only_methods[2]; /* of the database, and of its log */
static int (*real_write)(sqlite3_file *, const void *, int, sqlite3_int64);
static atomic_bool is_read_only;

/* What SQLite makes of EROFS. */
static int write_if_allowed(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 at)
{
    return atomic_load(&is_read_only) ? SQLITE_IOERR_WRITE : real_write(file, bytes, n, at);
}

static int open_if_allowed(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                           int *out)
{
    sqlite3_io_methods *methods = &read_only_methods[(flags & SQLITE_OPEN_WAL) != 0];
    int rc;

    (void)vfs;
    if (atomic_load(&is_read_only))
        return SQLITE_CANTOPEN;
    rc = real_vfs->xOpen(real_vfs, name, file, flags, out);
    if (rc != SQLITE_OK || (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) == 0)
        return rc;
    if (methods->xWrite == NULL) {
        real_write = file->pMethods->xWrite;
        *methods = *file->pMethods;
        methods->xWrite = write_if_allowed;
    }
    file->pMethods = methods;
    return rc;
}

/* As after an error of the disk: requests fail, and the file is opened again once that is possible. */
Test(sqlite, becomes_read_only, .timeout = 120)
{
    static const char *const more[] = {"store.timeout=1s", NULL}; /* requests wait that long */
    struct file f;
    struct bed k;
    enum rc_store_fault fault;
    int64_t rows;

    real_vfs = sqlite3_vfs_find(NULL);
    cr_assert_not_null(real_vfs);
    read_only_vfs = *real_vfs;
    read_only_vfs.zName = "read-only";
    read_only_vfs.pNext = NULL;
    read_only_vfs.xOpen = open_if_allowed;
    cr_assert_eq(sqlite3_vfs_register(&read_only_vfs, 1), SQLITE_OK);
    file_make(&f);
    bed_make(&k, &f.engine, more);
    bed_start(&k);
    cr_assert_gt(try_to_put(&k, "before", &fault), 0u);
    for (int i = 0; i < 2; i++) {
        struct rc_store_in in = {.conversation = RC_STORE_ROOM, .receiver = RC_STR("lobby")};

        atomic_store(&is_read_only, true);
        cr_assert_eq(try_to_put(&k, "meanwhile", &fault), 0u);
        cr_assert_neq(fault, RC_STORE_OK);
        bed_await_up(&k, false);
        cr_assert_eq(try_to_put(&k, "nor then", &fault), 0u);
        cr_assert_eq(fault, RC_STORE_DOWN);
        atomic_store(&is_read_only, false);
        bed_await_up(&k, true);
        cr_assert_gt(try_to_put(&k, "afterwards", &fault), 0u);
        cr_assert_eq(fault, RC_STORE_OK);
        cr_assert_geq(bed_ask(&k, RC_STORE_HISTORY, in)->nrows, (unsigned)i + 2);
    }
    bed_close(&k);
    rows = number(&f, "SELECT COUNT(*) FROM message WHERE content IN ('before', 'afterwards')");
    cr_assert_eq(rows, 3);
    cr_assert_eq(sqlite3_vfs_register(real_vfs, 1), SQLITE_OK);
    cr_assert_eq(sqlite3_vfs_unregister(&read_only_vfs), SQLITE_OK);
    file_remove(&f);
}

/* A query that takes too long fails by itself, and what is asked with it does not. */
Test(sqlite, slow_query, .timeout = 120)
{
    static const char *const quick[] = {"store.query_timeout=1ms", NULL};
    struct rc_store_in of_ann = {.user = RC_STR("ann")}, of_bob = {.user = RC_STR("bob")};
    const struct rc_store_req *slow, *other, *put;
    struct file f;
    struct bed k;

    file_make(&f);
    bed_open(&k, &f.engine);
    bed_close(&k);
    sql(&f.engine, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "
                   "40000) INSERT INTO message (id, conversation_type, sender_id, receiver_id, "
                   "content, created_at) SELECT i, 'private', 'ann', 'u' || i, 'hi', "
                   "'2023-11-14T22:13:20.123Z' FROM n");
    bed_make(&k, &f.engine, quick);
    slow = bed_submit(&k, RC_STORE_CONVERSATIONS, of_ann);
    other = bed_submit(&k, RC_STORE_CONVERSATIONS, of_bob);
    put = bed_submit(&k, RC_STORE_PUT,
                     (struct rc_store_in){.conversation = RC_STORE_PRIVATE,
                                          .user = RC_STR("bob"),
                                          .receiver = RC_STR("ann"),
                                          .content = RC_STR("hi")});
    bed_start(&k);
    bed_await(&k, 3);
    cr_assert_eq(slow->fault, RC_STORE_SLOW);
    cr_assert_str_eq(rc_store_fault_code(slow->fault), "store_failed");
    cr_assert_str_eq(rc_store_fault_text(slow->fault), "the query took too long");
    cr_assert_eq(other->fault, RC_STORE_OK);
    cr_assert_eq(put->fault, RC_STORE_OK);
    cr_assert_eq(put->id, 40001u);
    cr_assert_eq(bed_stats(&k).slow, 1u);
    cr_assert_eq(bed_stats(&k).failed, 1u);
    cr_assert_eq(bed_stats(&k).up, 1u);
    bed_close(&k);

    /* There was nothing wrong with it but the time. */
    bed_make(&k, &f.engine, (const char *const[]){"store.query_timeout=10m", NULL});
    bed_start(&k);
    slow = bed_ask(&k, RC_STORE_CONVERSATIONS, of_ann);
    cr_assert_eq(slow->fault, RC_STORE_OK);
    cr_assert(slow->more);
    bed_close(&k);
    file_remove(&f);
}

/*
 * floor.c - the least conceivable work for the same rows: one thread that inserts them into an SQLite
 * file in transactions of a fixed size, each of which is on the disk before the next begins.
 *
 *   store-floor FILE SECONDS SIZE BATCH...
 *
 * FILE is a copy of one that roomcast has made, so that table and indexes are the same ones. For each
 * BATCH a line of JSON: how many rows a second, and how long a transaction took.
 */
#include "../load/hist.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_SIZE  100000u
#define MAX_BATCH 1000000u
#define ROOMS     1000u
#define BUSY_MS   1000
/* Those of src/store/sqlite.c. */
#define PRAGMAS                                                                         \
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384;" \
    "PRAGMA wal_autocheckpoint = 4096; PRAGMA journal_size_limit = 67108864"
#define PUT                                                                                    \
    "INSERT INTO message (id, conversation_type, sender_id, receiver_id, content, created_at," \
    " event, format) VALUES (?, 'room', '', ?, ?, ?, 'roomMessage', 0)"

struct floor {
    sqlite3 *db;
    sqlite3_stmt *put;
    sqlite3_int64 id;
    char *content;
    size_t size;
};

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static bool run(struct floor *f, const char *sql)
{
    return sqlite3_exec(f->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static bool last_id(struct floor *f)
{
    sqlite3_stmt *s;
    bool ok = sqlite3_prepare_v2(f->db, "SELECT COALESCE(MAX(id), 0) FROM message", -1, &s,
                                 NULL) == SQLITE_OK &&
              sqlite3_step(s) == SQLITE_ROW;

    if (ok)
        f->id = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return ok;
}

static bool open_file(struct floor *f, const char *path)
{
    if (sqlite3_open_v2(path, &f->db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        return false;
    sqlite3_busy_timeout(f->db, BUSY_MS);
    return run(f, PRAGMAS) && last_id(f) &&
           sqlite3_prepare_v2(f->db, PUT, -1, &f->put, NULL) == SQLITE_OK;
}

static bool put(struct floor *f)
{
    char room[24], when[40];
    struct timespec ts;
    struct tm tm;
    size_t n;

    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    n = strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(when + n, sizeof(when) - n, ".%03ldZ", ts.tv_nsec / 1000000);
    f->id++;
    snprintf(room, sizeof(room), "r%lld", f->id % ROOMS);
    sqlite3_bind_int64(f->put, 1, f->id);
    sqlite3_bind_text(f->put, 2, room, -1, SQLITE_STATIC);
    sqlite3_bind_text(f->put, 3, f->content, (int)f->size, SQLITE_STATIC);
    sqlite3_bind_text(f->put, 4, when, -1, SQLITE_STATIC);
    return sqlite3_step(f->put) == SQLITE_DONE && sqlite3_reset(f->put) == SQLITE_OK;
}

static bool transaction(struct floor *f, unsigned batch)
{
    if (!run(f, "BEGIN IMMEDIATE"))
        return false;
    for (unsigned i = 0; i < batch; i++)
        if (!put(f))
            return false;
    return run(f, "COMMIT");
}

static bool measure(struct floor *f, unsigned batch, double seconds)
{
    static struct load_hist hist;
    uint64_t from = now_ns(), now = from, before, rows = 0;

    load_hist_reset(&hist);
    while ((double)(now - from) < seconds * 1e9) {
        before = now;
        if (!transaction(f, batch))
            return false;
        now = now_ns();
        load_hist_add(&hist, now - before);
        rows += batch;
    }
    printf("{\"label\":\"floor %u\",\"batch\":%u,\"rows\":%llu,\"per_s\":%.1f,"
           "\"p50_us\":%.1f,\"p99_us\":%.1f}\n",
           batch, batch, (unsigned long long)rows, (double)rows * 1e9 / (double)(now - from),
           (double)load_hist_quantile(&hist, 0.5) / 1e3,
           (double)load_hist_quantile(&hist, 0.99) / 1e3);
    return true;
}

int main(int argc, char **argv)
{
    struct floor f = {0};
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 0;
    unsigned long batch;
    bool ok;

    f.size = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    if (argc < 5 || seconds <= 0 || f.size == 0 || f.size > MAX_SIZE) {
        fputs("usage: store-floor FILE SECONDS SIZE BATCH...\n", stderr);
        return 2;
    }
    f.content = malloc(f.size);
    ok = f.content != NULL && open_file(&f, argv[1]);
    if (ok)
        memset(f.content, 'x', f.size);
    for (int i = 4; ok && i < argc; i++) {
        batch = strtoul(argv[i], NULL, 10);
        ok = batch > 0 && batch <= MAX_BATCH && measure(&f, (unsigned)batch, seconds);
    }
    if (!ok)
        fprintf(stderr, "store-floor: %s\n", f.db != NULL ? sqlite3_errmsg(f.db) : "no memory");
    sqlite3_finalize(f.put);
    sqlite3_close(f.db);
    free(f.content);
    return ok ? 0 : 1;
}

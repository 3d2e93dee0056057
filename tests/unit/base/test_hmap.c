#include "rc/base/hmap.h"

#include <criterion/criterion.h>
#include <stdlib.h>

struct entry {
    uint64_t hash;
    uint32_t key;
    bool in;
    unsigned seen;
};

static bool same_key(const void *value, const void *key)
{
    return ((const struct entry *)value)->key == *(const uint32_t *)key;
}

static bool never(const void *value, const void *key)
{
    (void)value;
    (void)key;
    return false;
}

Test(hmap, empty)
{
    struct rc_hmap m = {0};
    uint32_t key = 1, cursor = 0;

    cr_assert_null(rc_hmap_find(&m, 1, same_key, &key));
    cr_assert_null(rc_hmap_next(&m, &cursor));
    rc_hmap_deinit(&m);
}

Test(hmap, equal_hashes_are_told_apart)
{
    struct rc_hmap m = {0};
    struct entry e[10];
    uint32_t key;

    for (key = 0; key < 10; key++) {
        e[key] = (struct entry){.key = key};
        rc_hmap_insert(&m, 77, &e[key]);
    }
    cr_assert_eq(m.n, 10u);
    for (key = 0; key < 10; key++)
        cr_assert_eq(rc_hmap_find(&m, 77, same_key, &key), &e[key]);
    cr_assert_null(rc_hmap_find(&m, 77, same_key, &key));
    key = 3;
    cr_assert_null(rc_hmap_find(&m, 77 + 16, same_key, &key)); /* same slot, another hash */
    cr_assert_null(rc_hmap_find(&m, 77, never, &key));
    rc_hmap_remove(&m, 77, &e[3]);
    cr_assert_null(rc_hmap_find(&m, 77, same_key, &key));
    for (key = 4; key < 10; key++)
        cr_assert_eq(rc_hmap_find(&m, 77, same_key, &key), &e[key]);
    rc_hmap_deinit(&m);
    cr_assert_eq(m.cap, 0u);
}

/* The high bits of a hash are compared too: the callback sees only full matches. */
Test(hmap, compares_the_whole_hash)
{
    struct rc_hmap m = {0};
    struct entry a = {.key = 1}, b = {.key = 1};
    uint32_t key = 1;

    rc_hmap_insert(&m, 5, &a);
    rc_hmap_insert(&m, (1ULL << 63) + 5, &b);
    cr_assert_eq(rc_hmap_find(&m, 5, same_key, &key), &a);
    cr_assert_eq(rc_hmap_find(&m, (1ULL << 63) + 5, same_key, &key), &b);
    rc_hmap_deinit(&m);
}

static void check_walk(const struct rc_hmap *m, struct entry *e, unsigned n)
{
    uint32_t cursor = 0;
    struct entry *found;

    for (unsigned i = 0; i < n; i++)
        e[i].seen = 0;
    while ((found = rc_hmap_next(m, &cursor)) != NULL)
        found->seen++;
    for (unsigned i = 0; i < n; i++)
        cr_assert_eq(e[i].seen, e[i].in);
}

static void check_all(const struct rc_hmap *m, struct entry *e, unsigned n)
{
    unsigned in = 0;

    for (unsigned i = 0; i < n; i++) {
        cr_assert_eq(rc_hmap_find(m, e[i].hash, same_key, &e[i].key), e[i].in ? &e[i] : NULL);
        in += e[i].in;
    }
    cr_assert_eq(m->n, in);
    check_walk(m, e, n);
}

/* Random insertions and removals against a plain array. hash_of makes the collisions. */
static void against_model(uint64_t (*hash_of)(uint32_t key), unsigned n, unsigned steps)
{
    struct entry *e = calloc(n, sizeof(*e));
    struct rc_hmap m = {0};
    uint64_t r = 88172645463325252;

    cr_assert_not_null(e);
    for (uint32_t i = 0; i < n; i++)
        e[i] = (struct entry){.key = i, .hash = hash_of(i)};
    for (unsigned step = 0; step < steps; step++) {
        struct entry *x;
        /* In phases it grows, and shrinks again. */
        bool growing = step / 500 % 2 == 0;

        r ^= r << 13;
        r ^= r >> 7;
        r ^= r << 17;
        x = &e[r % n];
        if (!x->in && (growing || r >> 60 == 0)) {
            rc_hmap_insert(&m, x->hash, x);
            x->in = true;
        } else if (x->in && (!growing || r >> 60 == 0)) {
            rc_hmap_remove(&m, x->hash, x);
            x->in = false;
        }
        if (step % 97 == 0)
            check_all(&m, e, n);
        cr_assert(m.n <= m.cap / 4 * 3);
        cr_assert(m.cap == 0 || (m.cap & (m.cap - 1)) == 0);
    }
    for (unsigned i = 0; i < n; i++) {
        if (e[i].in)
            rc_hmap_remove(&m, e[i].hash, &e[i]);
        e[i].in = false;
    }
    check_all(&m, e, n);
    cr_assert_leq(m.cap, 16u);
    rc_hmap_deinit(&m);
    free(e);
}

static uint64_t spread(uint32_t key)
{
    return key * 0x9e3779b97f4a7c15u;
}

static uint64_t few(uint32_t key)
{
    return key % 5 * 3;
}

static uint64_t at_the_end(uint32_t key) /* runs of slots that wrap around */
{
    return UINT64_MAX - key % 3;
}

static uint64_t in_a_row(uint32_t key) /* runs that touch and merge */
{
    return key / 2;
}

Test(hmap, model_spread)
{
    against_model(spread, 400, 20000);
}

Test(hmap, model_few_hashes)
{
    against_model(few, 60, 10000);
}

Test(hmap, model_wrapping_runs)
{
    against_model(at_the_end, 60, 10000);
}

Test(hmap, model_merging_runs)
{
    against_model(in_a_row, 300, 20000);
}

Test(hmap, shrinks)
{
    enum { N = 10000 };
    static struct entry e[N];
    struct rc_hmap m = {0};
    uint32_t full;

    for (uint32_t i = 0; i < N; i++) {
        e[i] = (struct entry){.key = i, .hash = spread(i)};
        rc_hmap_insert(&m, e[i].hash, &e[i]);
    }
    full = m.cap;
    cr_assert_geq(full, 16384u);
    for (uint32_t i = 0; i < N - 10; i++)
        rc_hmap_remove(&m, e[i].hash, &e[i]);
    cr_assert_leq(m.cap, 128u);
    for (uint32_t i = N - 10; i < N; i++)
        cr_assert_eq(rc_hmap_find(&m, e[i].hash, same_key, &i), &e[i]);
    rc_hmap_deinit(&m);
}

static void on_scan(void *value, void *arg)
{
    unsigned *n = arg;

    ((struct entry *)value)->seen++;
    (*n)++;
}

Test(hmap, scan_of_a_table_that_rests)
{
    enum { N = 500 };
    struct rc_hmap m = {0};
    static struct entry e[N];
    unsigned n = 0;
    uint32_t at = 0, steps = 0;

    cr_assert_eq(rc_hmap_scan(&m, 0, on_scan, &n), 0u);
    for (uint32_t i = 0; i < N; i++) {
        /* Many share a place, at the table's end too. */
        e[i] = (struct entry){.key = i, .hash = i % 3 == 0 ? i : i % 3 == 1 ? UINT64_MAX : 40};
        rc_hmap_insert(&m, e[i].hash, &e[i]);
    }
    do
        at = rc_hmap_scan(&m, at, on_scan, &n);
    while (steps++ < m.cap && at != 0);
    cr_assert_eq(at, 0u);
    cr_assert_eq(steps, m.cap);
    cr_assert_eq(n, (unsigned)N);
    for (uint32_t i = 0; i < N; i++)
        cr_assert_eq(e[i].seen, 1u);
    rc_hmap_deinit(&m);
}

/* Others come and go, and the table grows and shrinks: who stays is seen. */
Test(hmap, scan_of_a_table_that_changes)
{
    enum { N = 4000, STAY = 40 };
    static struct entry e[N];
    uint32_t seed = 7;

    for (unsigned run = 0; run < 40; run++) {
        struct rc_hmap m = {0};
        unsigned n = 0, in = STAY, grow = run % 2;
        uint32_t at = 0;

        for (uint32_t i = 0; i < N; i++) {
            seed = seed * 1103515245 + 12345;
            e[i] = (struct entry){.key = i, .hash = (uint64_t)seed >> 7};
        }
        for (uint32_t i = 0; i < STAY; i++)
            rc_hmap_insert(&m, e[i].hash, &e[i]);
        for (; !grow && in < N; in++)
            rc_hmap_insert(&m, e[in].hash, &e[in]);
        do {
            at = rc_hmap_scan(&m, at, on_scan, &n);
            for (unsigned i = 0; i < 1 + run; i++) {
                if (grow && in < N) {
                    rc_hmap_insert(&m, e[in].hash, &e[in]);
                    in++;
                } else if (!grow && in > STAY) {
                    in--;
                    rc_hmap_remove(&m, e[in].hash, &e[in]);
                }
            }
            grow = run % 4 >= 2 && (in == STAY || in == N) ? !grow : grow;
        } while (at != 0);
        for (uint32_t i = 0; i < STAY; i++)
            cr_assert_geq(e[i].seen, 1u, "run %u: %u was not seen", run, i);
        rc_hmap_deinit(&m);
    }
}

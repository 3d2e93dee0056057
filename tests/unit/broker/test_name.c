/* The text of ids (src/broker/name.c). */
#include "rc/base/hash.h"
#include "rc/broker/name.h"

#include <criterion/criterion.h>

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/= \"{,";

Test(name, round_trip)
{
    static const rc_id ids[] = {1,
                                0x0000000000000003,
                                0x3fffffff00000001,
                                0x0100000100000001,
                                0xffffffffffffffff,
                                0x123456789abcdef1};
    char name[RC_NAME_LEN + 1];

    cr_assert_eq(rc_hash_init(), RC_OK);
    for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        memset(name, 'x', sizeof(name));
        rc_name_put(RC_NAME_SOCKET, 0, ids[i], name);
        cr_assert_eq(strlen(name), (size_t)RC_NAME_LEN);
        cr_assert_eq(strspn(name, alphabet), (size_t)RC_NAME_LEN);
        cr_assert_eq(rc_name_parse(RC_NAME_SOCKET, rc_str_of(name)), ids[i]);
    }
}

/* Not one other text of the same length that differs in one character is an id. */
static void check_neighbours(enum rc_name_kind kind, char name[RC_NAME_LEN + 1])
{
    for (unsigned at = 0; at < RC_NAME_LEN; at++) {
        char was = name[at];

        for (const char *c = alphabet; *c != '\0'; c++) {
            name[at] = *c;
            cr_assert_eq(rc_name_parse(kind, rc_str_of(name)) != 0, *c == was);
        }
        name[at] = was;
    }
}

Test(name, forgery)
{
    char name[RC_NAME_LEN + 1];

    cr_assert_eq(rc_hash_init(), RC_OK);
    for (unsigned round = 0; round < 20; round++) {
        rc_name_put(RC_NAME_SOCKET, 0, rc_id_make(round % 4, round * 77, round * 2 + 1), name);
        check_neighbours(RC_NAME_SOCKET, name);
    }
}

Test(name, other_texts)
{
    char name[RC_NAME_LEN + 1];

    cr_assert_eq(rc_hash_init(), RC_OK);
    rc_name_put(RC_NAME_SOCKET, 0, 12345, name);
    for (size_t len = 0; len < RC_NAME_LEN; len++)
        cr_assert_eq(rc_name_parse(RC_NAME_SOCKET, rc_str_make(name, len)), 0u);
    cr_assert_eq(rc_name_parse(RC_NAME_SOCKET, RC_STR_NONE), 0u);
    cr_assert_eq(rc_name_parse(RC_NAME_SOCKET, RC_STR("aaaaaaaaaaaaaaaaaaaa")), 0u);
    cr_assert_eq(rc_name_parse(RC_NAME_SOCKET, RC_STR("AAAAAAAAAAAAAAAAAAAA")), 0u);
    cr_assert_eq(rc_name_parse(RC_NAME_SOCKET, RC_STR("AAAAAAAAAAAAAAAAAAAAA")), 0u);
    cr_assert_eq(rc_hash_init(), RC_OK); /* another process, another key */
    cr_assert_eq(rc_name_parse(RC_NAME_SOCKET, rc_str_of(name)), 0u);
}

enum { MANY = 200 };

/* Names have no more in common than by chance. */
static void check_random(char name[MANY][RC_NAME_LEN + 1])
{
    unsigned same = 0;

    for (unsigned i = 0; i < MANY; i++)
        for (unsigned k = 0; k < i; k++)
            for (unsigned at = 0; at < RC_NAME_LEN; at++)
                same += name[i][at] == name[k][at];
    /* Of 398,000 characters compared one in 64 is the same by chance: 6219 +- 78. */
    cr_assert_lt(same, 7000u);
    cr_assert_gt(same, 5400u);
}

/* Neighbouring ids have nothing in common that one could see. */
Test(name, looks_random)
{
    static char name[MANY][RC_NAME_LEN + 1];

    cr_assert_eq(rc_hash_init(), RC_OK);
    for (unsigned i = 0; i < MANY; i++)
        rc_name_put(RC_NAME_SOCKET, 0, rc_id_make(0, i, 1), name[i]);
    check_random(name);
}

Test(name, kinds_do_not_pass_for_each_other)
{
    char socket[RC_NAME_LEN + 1], session[RC_NAME_LEN + 1];

    cr_assert_eq(rc_hash_init(), RC_OK);
    for (rc_id id = 1; id < 100; id += 2) {
        rc_name_put(RC_NAME_SOCKET, 0, id, socket);
        rc_name_put(RC_NAME_SESSION, (uint16_t)(id * 7), id, session);
        cr_assert_neq(strcmp(socket, session), 0);
        cr_assert_eq(rc_name_parse(RC_NAME_SESSION, rc_str_of(session)), id);
        cr_assert_eq(rc_name_parse(RC_NAME_SESSION, rc_str_of(socket)), 0u);
        cr_assert_eq(rc_name_parse(RC_NAME_SOCKET, rc_str_of(session)), 0u);
    }
}

/* ---- of sessions: with the tag of their node ---- */

static const uint16_t tags[] = {0, 1, 255, 256, 0x1234, 0x8000, 0xffff};
enum { TAGS = sizeof(tags) / sizeof(tags[0]) };

/* Every process can tell whose they are, and only its own what they name. */
Test(name, tags)
{
    char name[TAGS][RC_NAME_LEN + 1];

    cr_assert_eq(rc_hash_init(), RC_OK);
    for (unsigned i = 0; i < TAGS; i++) {
        rc_name_put(RC_NAME_SESSION, tags[i], 0x0123456789abcdef, name[i]);
        cr_assert_eq(strlen(name[i]), (size_t)RC_NAME_LEN);
        cr_assert_eq(rc_name_tag(rc_str_of(name[i])), (int)tags[i]);
        cr_assert_eq(rc_name_parse(RC_NAME_SESSION, rc_str_of(name[i])), 0x0123456789abcdefu);
    }
    cr_assert_eq(rc_hash_init(), RC_OK);
    for (unsigned i = 0; i < TAGS; i++) {
        cr_assert_eq(rc_name_tag(rc_str_of(name[i])), (int)tags[i]);
        cr_assert_eq(rc_name_parse(RC_NAME_SESSION, rc_str_of(name[i])), 0u);
    }
    cr_assert_eq(rc_name_tag(RC_STR("")), -1);
    cr_assert_eq(rc_name_tag(RC_STR("AAAAAAAAAAAAAAAAAAA")), -1);
    cr_assert_eq(rc_name_tag(RC_STR("AAAAAAAAAAAAAAAAAAA ")), -1);
    cr_assert_eq(rc_name_tag(RC_STR("AAAAAAAAAAAAAAAAAAAAA")), -1);
}

/* The tag is part of what is checked, and so are all other bits. */
Test(name, forgery_of_sessions)
{
    char name[RC_NAME_LEN + 1];

    cr_assert_eq(rc_hash_init(), RC_OK);
    for (unsigned round = 0; round < 20; round++) {
        rc_name_put(RC_NAME_SESSION, (uint16_t)(round * 999), rc_id_make(1, round, 1), name);
        check_neighbours(RC_NAME_SESSION, name);
    }
}

/* Neighbours with one tag have no more in common than by chance, not even in the tag. */
Test(name, sessions_look_random)
{
    static char name[MANY][RC_NAME_LEN + 1];

    cr_assert_eq(rc_hash_init(), RC_OK);
    for (unsigned i = 0; i < MANY; i++)
        rc_name_put(RC_NAME_SESSION, 77, rc_id_make(0, i, 1), name[i]);
    check_random(name);
}

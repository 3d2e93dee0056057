#include "rc/cluster/wire.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

struct vector {
    const char *channel, *payload, *text, *attachments, *rooms, *except;
    bool is_volatile, exact;
};
static const struct vector vectors[] = {
#include "wire_vectors.inc"
};
enum { VECTORS = sizeof(vectors) / sizeof(vectors[0]) };

static int digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void put_hex(const char *hex, struct rc_buf *to)
{
    for (; hex[0] != '\0' && hex[1] != '\0'; hex += 2)
        rc_buf_putc(to, (char)(digit(hex[0]) * 16 + digit(hex[1])));
}

static void check_list(const struct rc_bus_list *l, const char *expected)
{
    struct rc_str rest = rc_buf_str(&l->bytes), name;
    struct rc_buf got = RC_BUF_INIT;

    while (rc_bus_list_next(&rest, &name)) {
        rc_buf_puts(&got, name);
        rc_buf_putc(&got, '\n');
    }
    rc_buf_putc(&got, '\0');
    cr_assert_str_eq((const char *)got.data, expected);
    rc_buf_deinit(&got);
}

static void check_attachments(const struct rc_bus_message *m, const char *expected)
{
    struct rc_buf got = RC_BUF_INIT;

    for (unsigned i = 0; i < m->nattachments; i++) {
        for (size_t j = 0; j < m->attachment[i].len; j++)
            rc_buf_printf(&got, "%02x", (unsigned char)m->attachment[i].p[j]);
        rc_buf_putc(&got, ',');
    }
    rc_buf_putc(&got, '\0');
    cr_assert_str_eq((const char *)got.data, expected);
    rc_buf_deinit(&got);
}

static void check_vector(struct rc_wire_reader *r, const struct vector *v)
{
    struct rc_buf bytes = RC_BUF_INIT, back = RC_BUF_INIT;
    struct rc_bus_message m = {.nattachments = 0};
    struct rc_str uid, only;

    put_hex(v->payload, &bytes);
    cr_assert_eq(rc_wire_read_uid(rc_buf_str(&bytes), &only), RC_OK);
    cr_assert_eq(rc_wire_read_broadcast(r, rc_buf_str(&bytes), &uid, &m), RC_OK);
    cr_assert(rc_str_eq(uid, only));
    cr_assert(rc_str_eq(m.text, rc_str_of(v->text)), "%.*s", RC_STR_ARG(m.text));
    check_attachments(&m, v->attachments);
    check_list(&m.to.rooms, v->rooms);
    check_list(&m.to.except, v->except);
    cr_assert_eq(m.is_volatile, v->is_volatile);
    if (v->exact) {
        cr_assert_eq(rc_wire_put_broadcast(&back, uid, &m), RC_OK);
        cr_assert(rc_str_eq(rc_buf_str(&back), rc_buf_str(&bytes)));
    }
    /* Whatever is cut off is none. */
    for (size_t n = 0; n < bytes.len && bytes.len < 2000; n++)
        cr_assert_neq(rc_wire_read_broadcast(r, rc_str_make(bytes.data, n), &uid, &m), RC_OK);
    rc_bus_message_deinit(&m);
    rc_buf_deinit(&bytes);
    rc_buf_deinit(&back);
}

Test(wire, reads_and_writes_what_the_adapter_does)
{
    struct rc_wire_reader r;

    rc_wire_reader_init(&r);
    for (unsigned i = 0; i < VECTORS; i++)
        check_vector(&r, &vectors[i]);
    rc_wire_reader_deinit(&r);
}

static int read_hex(const char *hex)
{
    struct rc_wire_reader r;
    struct rc_buf bytes = RC_BUF_INIT;
    struct rc_bus_message m = {.nattachments = 0};
    struct rc_str uid;
    int rc;

    rc_wire_reader_init(&r);
    put_hex(hex, &bytes);
    rc = rc_wire_read_broadcast(&r, rc_buf_str(&bytes), &uid, &m);
    rc_bus_message_deinit(&m);
    rc_wire_reader_deinit(&r);
    rc_buf_deinit(&bytes);
    return rc;
}

#define UID   "93a161"                         /* ["a", */
#define OPTS  "81a5726f6f6d7390"               /* {"rooms":[]}] */
#define EVENT "82a47479706502a46461746191a165" /* {"type":2,"data":["e"]}, */

Test(wire, reads_only_what_clients_can_be_sent)
{
    cr_assert_eq(read_hex(UID EVENT OPTS), RC_OK);
    cr_assert_eq(read_hex(UID EVENT "80"), RC_OK);                            /* {} */
    cr_assert_eq(read_hex(UID EVENT "81a5726f6f6d73c0"), RC_OK);              /* rooms: null */
    cr_assert_eq(read_hex(UID EVENT "81a5726f6f6d7301"), RC_EPROTO);          /* rooms: 1 */
    cr_assert_eq(read_hex(UID EVENT "81a5726f6f6d7391c3"), RC_EPROTO);        /* [true] */
    cr_assert_eq(read_hex(UID EVENT "90"), RC_EPROTO);                        /* [] */
    cr_assert_eq(read_hex("9301" EVENT OPTS), RC_EPROTO);                     /* uid 1 */
    cr_assert_eq(read_hex("92a161" EVENT), RC_EPROTO);                        /* no opts */
    cr_assert_eq(read_hex(UID "82a47479706502a46461746190" OPTS), RC_EPROTO); /* [] */
    cr_assert_eq(read_hex(UID "82a47479706502a464617461a165" OPTS), RC_EPROTO);   /* "e" */
    cr_assert_eq(read_hex(UID "82a47479706502a46461746191c0" OPTS), RC_EPROTO);   /* [null] */
    cr_assert_eq(read_hex(UID "82a47479706503a46461746191a165" OPTS), RC_EPROTO); /* an ack */
    cr_assert_eq(read_hex(UID "82a47479706505a46461746191a165" OPTS), RC_OK);     /* type 5 */
    cr_assert_eq(read_hex(UID "82a47479706500a46461746180" OPTS), RC_EPROTO);     /* connect */
    cr_assert_eq(read_hex(UID "83a47479706502a46461746191a165a2696407" OPTS), RC_EPROTO);
    cr_assert_eq(read_hex(UID "82a47479706502a46461746191aa646973636f6e6e656374" OPTS),
                 RC_EPROTO); /* disconnect */
    cr_assert_eq(read_hex(UID "82a47479706502a46461746191a1ff" OPTS), RC_EPROTO); /* no UTF-8 */
    cr_assert_eq(read_hex(""), RC_EPROTO);
    cr_assert_eq(read_hex("c1"), RC_EPROTO);
}

/* Counts that are not believed. */
Test(wire, huge_counts_are_cut_off)
{
    cr_assert_eq(read_hex(UID EVENT "81a5726f6f6d73ddffffffff"), RC_EPROTO);
    cr_assert_eq(read_hex(UID EVENT "dfffffffff"), RC_EPROTO);
    cr_assert_eq(read_hex(UID "dfffffffff"), RC_EPROTO);
    cr_assert_eq(read_hex(UID EVENT "81a5726f6f6d7391dbffffffff"), RC_EPROTO);
    cr_assert_eq(read_hex(UID EVENT "81a5726f6f6d7391c9ffffffff00"), RC_EPROTO);
}

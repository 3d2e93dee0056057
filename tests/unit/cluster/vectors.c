#include "vectors.h"

#include <criterion/criterion.h>

static int digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

void vectors_put_hex(const char *hex, struct rc_buf *to)
{
    for (; hex[0] != '\0' && hex[1] != '\0'; hex += 2)
        rc_buf_putc(to, (char)(digit(hex[0]) * 16 + digit(hex[1])));
}

void vectors_check_list(const struct rc_bus_list *l, const char *expected)
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

void vectors_check_attachments(const struct rc_bus_message *m, const char *expected)
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

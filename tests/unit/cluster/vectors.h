/*
 * vectors.h - what the files of vectors say in text, of messages between nodes.
 *
 * Threads: any.
 */
#ifndef RC_TESTS_CLUSTER_VECTORS_H
#define RC_TESTS_CLUSTER_VECTORS_H

#include "rc/broker/bus.h"

/* The bytes of these hex digits. */
void vectors_put_hex(const char *hex, struct rc_buf *to);
/* expected: a line for each name. */
void vectors_check_list(const struct rc_bus_list *l, const char *expected);
/* expected: of each its bytes in hex, and a comma. */
void vectors_check_attachments(const struct rc_bus_message *m, const char *expected);

#endif /* RC_TESTS_CLUSTER_VECTORS_H */

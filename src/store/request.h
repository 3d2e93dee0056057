/*
 * request.h - what each request means, in statements.
 *
 * Threads:   the store's.
 * Ownership: the answer is the request's.
 */
#ifndef RC_STORE_REQUEST_H
#define RC_STORE_REQUEST_H

#include "db.h"
#include "rc/broker/store_port.h"

#include <stdbool.h>

enum { RC_TIME_TEXT = 32 };

bool rc_request_writes(const struct rc_store_req *req);
/* Carries it out in a transaction that was begun, one that writes if it does. With OK, REFUSED and SLOW the
 * request has its answer or its fault; anything else ends the transaction. */
enum rc_sql_result rc_request_run(struct rc_db *g, struct rc_store_req *req);
/* Bytes of rows that it asks for at most, give or take the last one. */
size_t rc_request_rows_size(const struct rc_store_req *req);
/* Forgets the answer, so that it can be carried out again. */
void rc_request_reset(struct rc_store_req *req);

/* A row of messages as JSON. shown_as: see rc_store_in. */
void rc_request_put_row(struct rc_str shown_as, const struct rc_sql_value *column,
                        struct rc_buf *to);
/* What that column of a row says. False: nothing that we know. */
bool rc_request_conversation(const struct rc_sql_value *column,
                             enum rc_store_conversation *conversation);

/* A time as the database's text: "2026-11-22T04:05:06.789", and the dialect's time zone. */
struct rc_str rc_request_time(const struct rc_db *g, int64_t ms, char text[RC_TIME_TEXT]);

#endif /* RC_STORE_REQUEST_H */

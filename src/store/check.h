/*
 * check.h - the password of the database, from the configuration or its file.
 *
 * Threads:   main.
 * Ownership: the buffer is the caller's.
 */
#ifndef RC_STORE_CHECK_H
#define RC_STORE_CHECK_H

#include "rc/base/buf.h"
#include "rc/base/conf.h"

/* With a zero behind it. 0, or the errno of its file. */
int rc_store_password(const struct rc_conf *conf, struct rc_buf *password);
void rc_store_password_wipe(struct rc_buf *password);

#endif /* RC_STORE_CHECK_H */

/*
 * notify.h - tells the service manager how the server is (sd_notify): a datagram to $NOTIFY_SOCKET. Without that
 * variable nobody is told, and nothing costs anything.
 *
 * Threads:   init: main, before there are others.  All else: any.
 */
#ifndef RC_NOTIFY_H
#define RC_NOTIFY_H

#include "rc/base/err.h"

#include <stdint.h>

/* Takes $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID. */
void rc_notify_init(void);
/* Lines of the protocol: "READY=1\nSTATUS=…". */
void rc_notify(const char *fmt, ...) RC_PRINTF(1, 2);
/* How often WATCHDOG=1 is to be said, in ms: half of what was asked for. 0: it is not wanted. */
uint32_t rc_notify_watchdog_ms(void);
/* For MONOTONIC_USEC= */
uint64_t rc_notify_now_us(void);

#endif /* RC_NOTIFY_H */

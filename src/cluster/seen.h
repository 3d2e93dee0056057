/*
 * seen.h - what has come already: the highest number of each sender that numbers what it puts into the stream.
 *
 * Threads:   one at a time.
 * Ownership: owns its entries; those longest not heard of are forgotten.
 */
#ifndef RC_CLUSTER_SEEN_H
#define RC_CLUSTER_SEEN_H

#include "rc/base/hmap.h"
#include "rc/base/list.h"
#include "rc/base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    RC_SEEN_MAX = 1024,
    RC_SEEN_UID_MAX = 256
}; /* senders; bytes of what one calls itself */

/* Of an entry. A process that starts again under its name has another run. */
struct rc_seq {
    uint64_t run, number;
};
enum { RC_SEQ_SIZE = 40 }; /* "RUN-NUMBER": hexadecimal and decimal */
void rc_seq_put(struct rc_seq seq, char to[RC_SEQ_SIZE]);
/* False: it is none. */
bool rc_seq_read(struct rc_str text, struct rc_seq *seq);

struct rc_seen {
    struct rc_hmap senders;
    struct rc_list order; /* the one longest not heard of is first */
};

void rc_seen_init(struct rc_seen *s);
void rc_seen_deinit(struct rc_seen *s);
/* False: that, or a later one of the same run, has come before. Of a sender with a longer name nothing is kept. */
bool rc_seen_new(struct rc_seen *s, struct rc_str uid, struct rc_seq seq);

#endif /* RC_CLUSTER_SEEN_H */

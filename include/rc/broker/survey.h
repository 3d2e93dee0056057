/*
 * survey.h - what operators ask of shards: lists of clients, rooms and namespaces, and ending clients.
 *
 * A question is carried out in slices. The asker sends it, the shard looks at RC_SURVEY_LOOK clients,
 * or places of its table of rooms, at most, and hands it back with what fits the filter; the
 * asker takes that, and sends the same question again, which goes on at its cursor:
 *
 *     asker ──rc_survey_ask──> shard: one slice, at the end of a turn ──> asker takes the entries
 *       ^────────────────── q->more: rc_survey_ask again ──────────────────────┘
 *
 * So a shard is never held up for more than a slice in a turn, whoever asks, and nothing gathers when the
 * asker is slow or gone: what was not asked for is not there. Between slices clients come and go: who is
 * there all the time is seen (a room perhaps twice), who comes or goes may be.
 *
 * Askers are the operators' thread (struct rc_survey_desk) and shards (q->on_answer). A shard may also walk
 * its own clients and rooms: rc_survey_clients, rc_survey_rooms, with the same bounds.
 *
 * Threads:   new, free, restart, send, take: the asker's.  The rest: the shard's.
 * Ownership: a question is the asker's, from ask until its answer the shard's or a message's. The names
 *            in filters are the question's own copies.
 */
#ifndef RC_BROKER_SURVEY_H
#define RC_BROKER_SURVEY_H

#include "rc/base/buf.h"
#include "rc/broker/mesh.h"
#include "rc/broker/session.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct rc_room;
struct rc_shard;

enum {
    RC_SURVEY_LOOK = 1024,  /* clients, or places of a table, in one slice */
    RC_SURVEY_GIVE = 256,   /* entries in one slice */
    RC_SURVEY_END = 64,     /* clients that one slice ends */
    RC_SURVEY_NAMED = 16,   /* rooms of a socket that an entry names */
    RC_SURVEY_TEXT = 65536, /* bytes of entries after which a slice ends */
};

enum rc_survey_what { RC_SURVEY_CLIENTS, RC_SURVEY_ROOMS, RC_SURVEY_NAMESPACES };

/* What entries are chosen and sorted by. */
enum rc_survey_key {
    RC_SURVEY_UNSORTED,
    RC_SURVEY_QUEUE,   /* clients: bytes that wait for them */
    RC_SURVEY_SOCKETS, /* clients: namespaces they are in; namespaces */
    RC_SURVEY_JOINED,  /* clients: rooms that their sockets are in */
    RC_SURVEY_MEMBERS, /* rooms */
    RC_SURVEY_SENT,    /* rooms: publications so far */
};

enum rc_survey_transport {
    RC_SURVEY_ANY,
    RC_SURVEY_POLLING,
    RC_SURVEY_WEBSOCKET,
    RC_SURVEY_PLAIN, /* a client of an endpoint */
};

/* Empty names fit all. A * in one stands for one or more characters. */
struct rc_survey_filter {
    struct rc_str
        client;         /* clients: that one; "0.17.3", the id of a socket of its, or its sid */
    struct rc_str user; /* clients */
    struct rc_str address; /* clients: "1.2.3.4", or with the port */
    struct rc_str room;    /* clients: a socket of its is in it; rooms: its name */
    struct rc_str nsp;     /* the namespace's name */
    uint8_t transport;     /* clients: enum rc_survey_transport */
    uint8_t key;           /* enum rc_survey_key */
    uint64_t least;        /* entries whose key is less are counted, and not given */
};

/* One client, room or namespace. */
struct rc_survey_entry {
    uint64_t key;     /* what the filter's key asks for */
    uint64_t count;   /* namespaces: sockets, of one of the INI on this shard; rooms: members */
    uint32_t at, len; /* in q->text: members of a JSON object, without braces */
    int32_t nsp; /* namespaces: its index in rc_app; -1: a dynamic one, of which this is all */
};

struct rc_survey_desk;

struct rc_survey {
    /* The question. What the answer leaves alone may be changed before the next slice. */
    uint8_t what;  /* enum rc_survey_what */
    bool end_them; /* CLIENTS: end those that fit, as kicked */
    unsigned shard;
    struct rc_survey_filter filter;
    uint32_t limit; /* entries in the next slice; 0: count only */
    /* The answer to this slice. */
    bool more;        /* there is a next one */
    uint32_t matched; /* how many fit, given or only counted */
    uint32_t n;
    struct rc_survey_entry entry[RC_SURVEY_GIVE]; /* [n] */
    struct rc_buf text;
    /* The asker's. */
    struct rc_survey_desk *desk; /* where the answer is put; NULL: a shard asks */
    void (*on_answer)(struct rc_shard *sh,
                      struct rc_survey *q); /* of that shard, on its thread */
    void *arg;
    /* survey.c's */
    struct rc_survey *next;
    uint64_t cursor;
    uint8_t from;
    char *names; /* what the filter's point to */
};

/* A question to one shard, from its beginning; the filter is copied. */
struct rc_survey *rc_survey_new(enum rc_survey_what what, unsigned shard,
                                const struct rc_survey_filter *filter);
/* q may be NULL. */
void rc_survey_free(struct rc_survey *q);
/* The same question to another shard, from its beginning. */
void rc_survey_restart(struct rc_survey *q, unsigned shard);

/* ---- the operators' thread ---- */

/* Where answers wait for it. */
struct rc_survey_desk {
    _Atomic(struct rc_survey *) answered;
    int fd; /* an eventfd: written when the first answer is put down. The asker reads it, then takes */
};

/* Sends the question, which is the shard's until its answer is taken. False while the ring is full: call
 * rc_mesh_wake(mesh, rc_mesh_admin()) again soon. */
bool rc_survey_send(struct rc_mesh *mesh, struct rc_survey *q);
/* All answers that have come, a list by ->next; NULL: none. */
struct rc_survey *rc_survey_take(struct rc_survey_desk *desk);

/* ---- shards ---- */

/* Asks a shard, itself too; q->on_answer comes in a later turn. It may ask again, or frees the question. */
void rc_survey_ask(struct rc_shard *sh, struct rc_survey *q) RC_ON_SHARD;

/* A walk over what this shard has: from cursor, 0 at first, through `look` clients or places of the table. True: there
 * is more. fn may end the client. */
typedef void rc_survey_client_fn(struct rc_shard *sh, struct rc_session *s, void *arg);
bool rc_survey_clients(struct rc_shard *sh, uint64_t *cursor, uint32_t look,
                       rc_survey_client_fn *fn, void *arg) RC_ON_SHARD;
/* Those that this shard owns and clients have named; fn must leave the tables alone. */
typedef void rc_survey_room_fn(struct rc_shard *sh, const struct rc_room *r,
                               struct rc_str label, void *arg);
bool rc_survey_rooms(struct rc_shard *sh, uint64_t *cursor, uint32_t look,
                     rc_survey_room_fn *fn, void *arg) RC_ON_SHARD;
/* The name of the namespace that the room of that key is in. */
struct rc_str rc_survey_nsp_of(const struct rc_shard *sh, uint16_t nsp, struct rc_str key);
/* Ends a client: it is told to leave its namespaces, so that it does not come back by itself. */
void rc_survey_end(struct rc_shard *sh, struct rc_session *s) RC_ON_SHARD;

/* The open session that a text names, as rc_survey_filter.client; NULL: none of this shard. */
struct rc_session *rc_survey_find(struct rc_shard *sh, struct rc_str client) RC_ON_SHARD;
/* The address that a client comes from; family 0: not known. */
struct rc_addr rc_survey_peer(const struct rc_session *s);

/* Mail of either type. */
void rc_survey_mail(struct rc_shard *sh, struct rc_msg *msg) RC_ON_SHARD;
/* In each turn while there are questions: one slice of one of them. */
void rc_survey_turn(struct rc_shard *sh) RC_ON_SHARD;
void rc_survey_init(struct rc_shard *sh);
void rc_survey_deinit(struct rc_shard *sh);

#endif /* RC_BROKER_SURVEY_H */

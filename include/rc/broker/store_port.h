/*
 * store_port.h - what the broker asks of a store, and how: the requests and their answers. The layer
 * `store` answers them; the broker knows this port only.
 *
 * A shard makes a request, fills in what it must know again in `context`, and submits it. The store's
 * thread carries out what waits, of all shards, in one transaction, and hands each request back by its
 * `done`, filled: those of one batch after its commit, in the order in which they were carried out, so
 * that the ids of PUTs only ever rise from one done() to the next. When the transaction is lost, the
 * requests come back with a fault. Every request that was taken comes back exactly once, also when the
 * server stops: the store stops after the shards, and finishes what it has taken.
 *
 * Who comes first: requests of one shard are carried out in the order in which they were submitted; a
 * later one sees what earlier ones wrote, of the same batch too.
 *
 * Texts are valid UTF-8, of any characters; the store takes none of them for SQL. It limits their
 * lengths (RC_STORE_*_MAX below): what is longer comes back as RC_STORE_TOO_LONG, and touches nothing.
 *
 * Threads:   new: any.  submit: the producer, a shard.  done, flush: the store's thread.  stats: any.
 *            A request belongs to one thread at a time: the shard until it is submitted, the store
 *            until done(), then whoever done() gives it to.
 * Ownership: submit takes over the request only when it returns RC_OK; done() gives it back, to be
 *            freed by rc_store_req_free. Slices in `in` and the answers are the request's.
 */
#ifndef RC_BROKER_STORE_PORT_H
#define RC_BROKER_STORE_PORT_H

#include "rc/base/buf.h"
#include "rc/base/err.h"
#include "rc/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RC_STORE_NAME_MAX = 255,        /* bytes of sender, receiver and event, each */
    RC_STORE_CLIENT_ID_MAX = 128,   /* bytes */
    RC_STORE_CONTENT_MAX = 8388608, /* bytes */
    RC_STORE_ROWS_MAX = 1000,       /* of one answer; store.history_limit may say less */
    RC_STORE_ROWS_SIZE = 8388608,   /* bytes of them */
};

enum rc_store_type {
    RC_STORE_PUT,     /* stores a message */
    RC_STORE_HISTORY, /* the messages of a room or a conversation, in pages */
    /* With whom a user has written, and the groups that they are in, if anything was said there: the
     * last message of each, the newest first, in pages. */
    RC_STORE_CONVERSATIONS,
    /* The messages for a user above their cursor: private ones to them, and those of the groups they
     * are in since they were added; not their own. */
    RC_STORE_MISSED,
    RC_STORE_CURSOR,       /* moves a user's cursor forward */
    RC_STORE_GROUP_CREATE, /* a user into a group that nobody has ever been in, or written to */
    RC_STORE_GROUP_ADD,    /* a user into a group */
    RC_STORE_GROUP_REMOVE, /* a user out of it */
    RC_STORE_GROUP_IS,     /* is the user in the group? */
    RC_STORE_GROUP_LIST,   /* the users of a group */
    RC_STORE_FOLLOW,       /* looks for news, unless they are known up to that id */
};

/* Written into the table as its word. */
enum rc_store_conversation {
    RC_STORE_PRIVATE, /* 'private': receiver is a user */
    RC_STORE_GROUP,   /* 'group': receiver is a group */
    RC_STORE_ROOM,    /* 'room': receiver is what the broker calls the room */
};

enum rc_store_format {
    RC_STORE_TEXT, /* content is plain text; rows have it as a JSON string */
    RC_STORE_JSON, /* content is one valid JSON value; rows have it byte for byte */
};

/* X(name, the code that clients are told, text for them) */
#define RC_STORE_FAULT_MAP(X)                                                                \
    X(RC_STORE_OK, "", "")                                                                   \
    X(RC_STORE_BUSY, "store_busy", "the store has too much to do, try again later")          \
    X(RC_STORE_DOWN, "store_down", "the store cannot be reached, try again later")           \
    X(RC_STORE_FAILED, "store_failed", "the store could not do it, nothing was stored")      \
    X(RC_STORE_SLOW, "store_failed", "the query took too long")                              \
    X(RC_STORE_UNKNOWN, "store_unknown", "the store was lost: it may be stored, or may not") \
    X(RC_STORE_TOO_LONG, "too_long", "a name or the content is too long to be stored")       \
    X(RC_STORE_NOT_A_MEMBER, "not_a_member", "the sender is not a member of the group")      \
    X(RC_STORE_GROUP_FULL, "group_full", "the group has as many members as it may have")     \
    X(RC_STORE_GROUP_EXISTS, "group_exists",                                                 \
      "there is such a group already, choose another name")

enum rc_store_fault {
#define RC_STORE_FAULT_ENUM(name, code, text) name,
    RC_STORE_FAULT_MAP(RC_STORE_FAULT_ENUM)
#undef RC_STORE_FAULT_ENUM
        RC_STORE_FAULT_COUNT,
};

/* "" of RC_STORE_OK. */
const char *rc_store_fault_code(enum rc_store_fault fault);
const char *rc_store_fault_text(enum rc_store_fault fault);

/* What is asked for. Fields that a type does not name are left alone. */
struct rc_store_in {
    enum rc_store_conversation conversation; /* PUT, HISTORY */
    enum rc_store_format format;             /* PUT */
    /* PUT, CURSOR, MISSED, CONVERSATIONS, GROUP_*: the user. Of a PUT it may be empty: a nameless sender, into a
     * room. HISTORY of a private conversation: one of the two users. */
    struct rc_str user;
    /* PUT: where to. HISTORY: the room or the group; of a private conversation the other user.
     * GROUP_*: the group. */
    struct rc_str receiver;
    struct rc_str content; /* PUT */
    struct rc_str event;   /* PUT: of a room's message the event's name, else empty */
    /* PUT: the sender's own name for the message, or empty. What the same sender stored by the same
     * name is stored once. That of a nameless sender is not kept. */
    struct rc_str client_id;
    /* HISTORY, MISSED: what rows show as their receiver_id; empty: what is stored. For rooms whose
     * receiver is more than the room's name. */
    struct rc_str shown_as;
    bool of_member; /* PUT to a group: RC_STORE_NOT_A_MEMBER unless the sender is in it */
    bool forward;   /* HISTORY: the oldest rows above `after`; else the newest below `before` */
    bool whole;     /* MISSED: all above `after`, also what is below the user's cursor */
    uint64_t after; /* HISTORY, MISSED: only ids above it; 0: no bound */
    uint64_t before; /* HISTORY, CONVERSATIONS: only ids below it; 0: no bound */
    /* HISTORY, MISSED, CONVERSATIONS: rows at most; 0: store.history_limit, as is more than it */
    uint32_t limit;
    /* HISTORY, MISSED, CONVERSATIONS: bytes of rows; an answer with as many takes no further row. 0:
     * RC_STORE_ROWS_SIZE, as is more than it. */
    size_t rows_size;
    int64_t time_ms; /* PUT: since 1970, when the message came */
    /* CURSOR: all up to this message has reached the user. FOLLOW: as said there; 0: in any case */
    uint64_t id;
};

/* One row: rows.data + at, len bytes, a JSON object. */
struct rc_store_row {
    uint64_t id;
    size_t at, len;
};

struct rc_store_req;
typedef void rc_store_done_fn(struct rc_store_req *req);

struct rc_store_req {
    enum rc_store_type type;
    struct rc_store_in in; /* slices are copies, in the block of the request */
    size_t size;           /* bytes of that block: what counts as pending */

    /* The asker's: set before submit, not touched by the store. */
    rc_store_done_fn *done;
    void *arg;
    void *context; /* of the size that new was told, zeroed, aligned for anything */

    /* The answer. Anything but `fault` means something only when that is RC_STORE_OK. */
    enum rc_store_fault fault;
    /* PUT: the message's, or the stored one's when it is repeated; 1 .. 2^53 - 1. MISSED, CURSOR: the
     * user's cursor as it is stored now, 0: there is none. */
    uint64_t id;
    int64_t time_ms; /* PUT: as `id` */
    bool repeated;   /* PUT: it was stored before: deliver nothing */
    bool changed;    /* GROUP_CREATE, _ADD, _REMOVE: the user was not in it, was in it */
    bool member;     /* GROUP_IS */
    bool
        more; /* HISTORY, MISSED, CONVERSATIONS: there are further rows, in the direction asked */
    /* HISTORY, MISSED: the rows, oldest first, with a comma between them and no brackets:
     *   {"id":7,"conversation_type":"room","sender_id":"ann","receiver_id":"lobby","content":"hi",
     *    "created_at":"2026-11-22T04:05:06.789Z","client_id":null,"event":"roomMessage"}
     * without the blanks. sender_id and client_id are null where they are empty; `event` is there only
     * in rows that have one. CONVERSATIONS: the newest first, each as
     *   {"type":"private","with":"bob","message":{"id":7,...}}, or "group" and its name. */
    struct rc_buf rows;
    struct rc_store_row *row; /* [nrows] */
    uint32_t nrows;
    /* PUT to a group that is not repeated, GROUP_LIST: the members' user ids, see
     * rc_store_next_user. At most store.group_limit of them. Of a PUT that is RC_STORE_UNKNOWN, too. */
    struct rc_buf users;
    uint32_t nusers;

    unsigned producer; /* the store's own: who submitted it */
};

/* Copies what `in` points to. context: bytes that the asker wants to keep with the request. NULL: out of
 * memory. in.limit and times are taken as they are. */
struct rc_store_req *rc_store_req_new(enum rc_store_type type, const struct rc_store_in *in,
                                      size_t context);
void rc_store_req_free(struct rc_store_req *req);

/* Walks through the users of an answer: rest begins as rc_buf_str(&req->users). False at the end. */
bool rc_store_next_user(struct rc_str *rest, struct rc_str *user);
/* How the store writes that list. */
void rc_store_put_user(struct rc_store_req *req, struct rc_str user);

/* X(name, kind of a metric, help) */
#define RC_STORE_STATS_MAP(X)                                                              \
    X(taken, counter, "requests taken")                                                    \
    X(finished, counter, "requests handed back")                                           \
    X(stored, counter, "messages stored")                                                  \
    X(repeated, counter, "messages that had been stored before")                           \
    X(busy, counter, "requests refused because too many waited")                           \
    X(down, counter, "requests refused because the engine could not be reached")           \
    X(failed, counter, "requests handed back as failed, or with their outcome unknown")    \
    X(slow, counter, "queries that took longer than store.query_timeout")                  \
    X(followed, counter, "messages to users found that other nodes have stored")           \
    X(skipped, counter, "times that so many were found that users were asked for instead") \
    X(batches, counter, "transactions committed")                                          \
    X(lost, counter, "transactions lost: disk full, connection broken")                    \
    X(connects, counter, "times that the engine was opened or reached")                    \
    X(up, gauge, "1 while the engine can be reached and writes, else 0")                   \
    X(busy_us, counter, "time in transactions, microseconds")

struct rc_store_stats {
#define RC_STORE_STATS_FIELD(name, kind, help) uint64_t name;
    RC_STORE_STATS_MAP(RC_STORE_STATS_FIELD)
#undef RC_STORE_STATS_FIELD
};

struct rc_store_port {
    void *store;
    /* Never blocks. producer: the number of the calling shard. RC_OK: taken over. RC_EFULL: too many
     * of this shard's wait (store.max_pending, store.max_pending_size). RC_ECLOSED: the engine cannot
     * be reached. When it was not taken, req->fault says why. */
    int (*submit)(void *store, unsigned producer, struct rc_store_req *req);
    /* A recent figure of each. */
    void (*stats)(const void *store, struct rc_store_stats *to);
};

static inline int rc_store_submit(const struct rc_store_port *port, unsigned producer,
                                  struct rc_store_req *req)
{
    return port->submit(port->store, producer, req);
}

/* A message to users that was stored by another node that shares the database, or by another program.
 * They are told in the order of the ids, in one order with done(): before the done() of any PUT with a
 * higher id, and of a MISSED that knows of them. So what a MISSED leaves out since it is too new is told, or
 * comes back as a PUT, behind it. */
struct rc_store_news {
    uint64_t id; /* 0: some were left out, all until now: those whom they are for have to ask */
    enum rc_store_conversation conversation; /* not RC_STORE_ROOM */
    struct rc_str sender, receiver;
    struct rc_str row; /* as MISSED has it */
    struct rc_str
        users;    /* of a group's message: its members, as rc_store_next_user() wants it */
    bool doubted; /* it was put here, and came back as RC_STORE_UNKNOWN */
};
/* On the store's thread. NULL: there are none, once a second. */
typedef void rc_store_news_fn(void *arg, const struct rc_store_news *news);

/* After the done() of each batch, on the store's thread: wakes those that were posted to. False: call
 * again soon, something waits for room in a ring. Given to the store by main. */
typedef bool rc_store_flush_fn(void *arg);

#endif /* RC_BROKER_STORE_PORT_H */

/*
 * msg.h - the closed set of messages between threads, one cache line each, held by value.
 *
 * Ids, counts, immutable publications and questions only: no pointer into a shard ever crosses. A message
 * with an fd, a publication or a question owns it; whoever drops the message closes or unrefs it.
 *
 * Threads: written by the producer, read by the one consumer.
 */
#ifndef RC_BROKER_MSG_H
#define RC_BROKER_MSG_H

#include "rc/base/pool.h"
#include "rc/broker/pub.h"
#include "rc/net/conn.h"

#include <stdbool.h>
#include <stdint.h>

struct rc_survey;

enum rc_msg_type {
    /* acceptor -> shard, shard -> shard */
    RC_MSG_CONN, /* conn: a connection to take over, with the bytes that were read already */
    /* main -> shard */
    RC_MSG_STOP,  /* end all connections, then the loop */
    RC_MSG_DRAIN, /* end the sessions one after the other; count: over so many ms */
    /* shard of the socket -> owner shard of the room */
    RC_MSG_JOIN,    /* member: pub names the room; answered by JOINED */
    RC_MSG_LEAVE,   /* member: answered by LEFT when socket is not 0 */
    RC_MSG_PUBLISH, /* deliver: pub to its room */
    /* owner shard -> shards with members */
    RC_MSG_JOINED,  /* member */
    RC_MSG_LEFT,    /* member */
    RC_MSG_DELIVER, /* deliver: pub to the members of lroom on this shard */
    /* unions of rooms with different owners: see broker/union.h */
    RC_MSG_UNION,       /* unite: session's shard -> the sequencer */
    RC_MSG_UNION_ORDER, /* unite: the sequencer -> each owner */
    RC_MSG_UNION_PART,  /* unite: each owner -> every shard; count: how many owners */
    /* any shard -> shard of the session or socket */
    RC_MSG_TO_SOCKET,    /* direct: pub to one socket */
    RC_MSG_TO_SOCKET_OF, /* direct: pub to a session's socket in its namespace */
    RC_MSG_RELAY,        /* direct: send it back to the session as DIRECT, in order */
    RC_MSG_DIRECT,       /* direct: pub to one session */
    /* fence: see broker/lane.h */
    RC_MSG_FENCE,
    RC_MSG_FENCE_PASS,
    RC_MSG_FENCE_ACK,
    /* Engine.IO requests that landed on another shard than their session's */
    RC_MSG_EIO_GET,
    RC_MSG_EIO_POST,  /* the head has come: may a body follow? */
    RC_MSG_EIO_BODY,  /* pub: the body */
    RC_MSG_EIO_ABORT, /* the connection of a pending request is gone */
    RC_MSG_EIO_REPLY, /* reply: answer to the connection that holds the request */
    /* room list */
    RC_MSG_DIR_WATCH, /* nsp: from now on tell this shard your rooms; count: epoch, 0: stop */
    RC_MSG_DIR_ROOMS, /* pub: changed rooms, hash is the epoch, see directory.c */
    /* questions: see broker/ask.h */
    RC_MSG_ASK_SHARDS,  /* count: shards that were reached, and if other nodes were */
    RC_MSG_ASK_SOCKETS, /* count: sockets that were asked on one of them */
    RC_MSG_ASK_ANSWER,  /* socket, pub: its answer; 0: it is another node's */
    RC_MSG_ASK_END,     /* of what other nodes answer */
    /* stored messages: see broker/stored.h */
    /* count: how many owners answer with STORE_DONE */
    RC_MSG_STORED,     /* stored: the store -> owner of the room, or of rooms of users */
    RC_MSG_STORE_DONE, /* stored, nsp: what was asked: the store or an owner -> session's shard */
    RC_MSG_MISSED,     /* missed: the store -> owner of a user's room */
    /* deliver: a page has left the queues of the user's devices -> owner; or the store -> owner: look
     * for what was missed */
    RC_MSG_INBOX_READY,
    /* presence: see broker/presence.h */
    RC_MSG_PRESENCE, /* direct: to the room's owner: tell that session who is in pub's room */
    /* what operators ask: see broker/survey.h */
    RC_MSG_SURVEY,   /* survey: any thread -> shard */
    RC_MSG_SURVEYED, /* survey: answered: back to the shard that asked */
    /* the Admin UI: see broker/admin_ui.h */
    RC_MSG_UI_LOGIN, /* ui: the desk -> shard of the session; count: enum rc_ui_verdict */
    RC_MSG_UI_WATCH, /* count: the sender has operators */
    RC_MSG_UI_LIST, /* ui: page of sockets wanted from cursor on, for the operator `to`; count: epoch */
    RC_MSG_UI_PAGE,    /* ui: the page, and where the next one begins, 0: there is none */
    RC_MSG_UI_TELL,    /* ui: frames for all operators; count: flags */
    RC_MSG_UI_COMMAND, /* ui: JSON; count: enum rc_ui_verb */
    /* orders of other nodes: see broker/bus.h */
    RC_MSG_ORDER_PASS, /* ask: its requests to this shard have been taken */
    /* other nodes: see broker/peers.h; the cluster -> shard */
    RC_MSG_PEER_HERE,  /* peer: pub is a struct rc_peer */
    RC_MSG_PEER_GONE,  /* peer */
    RC_MSG_PEER_AGAIN, /* the bus was away, and is back */
    RC_MSG_PEER,       /* peer: what one of its shards tells; count: enum rc_peer_kind */
    RC_MSG_TYPE_COUNT,
};

/* A connection to take over, or all that is known of a new one. */
struct rc_msg_conn {
    struct rc_addr peer;
    int fd;
    union {
        struct rc_pub *bytes; /* that were read already, or NULL */
        struct rc_tls *tls;   /* of a secure one; it keeps those bytes itself */
    };
    uint32_t ticket;  /* what counts it, see admission.h */
    uint8_t listener; /* index of the one that it came by */
    bool admitted;    /* another shard had it: it is counted, and its PROXY header taken off */
    bool secure;
};

/* A socket and a room. */
struct rc_msg_member {
    rc_id lroom;         /* of the member shard */
    rc_id socket;        /* 0: nobody waits for the answer */
    struct rc_pub *room; /* JOIN, LEAVE: names nsp and room; not in answers */
    struct rc_pub *user; /* JOIN, LEAVE: the user's id, where presence is kept; or NULL */
    uint64_t seen;       /* LEAVE: id of the last stored message that members here got */
};

struct rc_msg {
    uint8_t type; /* enum rc_msg_type */
    uint8_t from; /* endpoint that sent it */
    uint16_t nsp;
    uint32_t count;
    union {
        struct rc_msg_conn conn;
        struct rc_msg_member member;
        struct {
            rc_id lroom;  /* DELIVER */
            rc_id except; /* socket that is left out, 0: none */
            struct rc_pub *pub;
        } deliver;
        struct {
            rc_id session;   /* that published, and waits */
            uint64_t number; /* in the sequencer's order */
            struct rc_pub *pub;
        } unite;
        struct {
            rc_id to; /* session or socket */
            struct rc_pub *pub;
        } direct;
        struct {
            rc_id session;
        } fence;
        struct {
            rc_id conn; /* that holds the request */
            uint8_t sid[16];
            struct rc_pub *body;
            uint8_t flags;
        } eio;
        struct {
            uint64_t number;
            rc_id socket;
            struct rc_pub *pub;
        } ask;
        struct {
            rc_id session; /* that waits for it; 0: nobody does */
            uint64_t id;   /* of the message */
            uint64_t time_ms;
            struct rc_pub *pub; /* STORE_DONE: rows or users as JSON, or NULL */
            union {
                rc_id except; /* STORED: socket that is left out */
                struct {
                    uint8_t type;  /* enum rc_store_type: what was asked */
                    uint8_t fault; /* enum rc_store_fault */
                    bool yes;      /* the answer to a question; there is more */
                } answer;          /* STORE_DONE */
            } u;
        } stored;
        struct {
            uint64_t asked;     /* number of the question */
            uint64_t first;     /* id of the first message in pub */
            uint64_t cursor;    /* the user's, as it is stored */
            struct rc_pub *pub; /* to the user's room; empty: nothing was missed */
            uint8_t fault;
            bool more;
        } missed;
        struct rc_survey *survey; /* owned */
        struct {
            rc_id to; /* session, or socket */
            struct rc_pub *pub;
            uint32_t cursor;
        } ui;
        struct {
            uint32_t number; /* of a node */
            struct rc_pub *pub;
        } peer;
        struct {
            rc_id conn;
            uint16_t status;
            uint8_t kind; /* enum rc_eio_reply_kind */
            struct rc_pub *body;
        } reply;
    } u;
};
_Static_assert(sizeof(struct rc_msg) <= 48, "rings have many of them");

#endif /* RC_BROKER_MSG_H */

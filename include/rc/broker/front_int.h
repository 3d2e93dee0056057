/*
 * front_int.h - what front.c (HTTP machinery), routes.c (what requests mean), files.c and
 * devtoken.c share.
 *
 * Threads:   the connection's shard.
 * Ownership: struct rc_http belongs to its connection while that speaks HTTP.
 */
#ifndef RC_BROKER_FRONT_INT_H
#define RC_BROKER_FRONT_INT_H

#include "rc/base/buf.h"
#include "rc/base/thread.h"
#include "rc/broker/msg.h"
#include "rc/broker/session.h"
#include "rc/net/conn.h"
#include "rc/net/http.h"

struct rc_shard;

enum rc_http_state {
    RC_HTTP_AT_HEAD, /* a request is awaited */
    RC_HTTP_AT_BODY, /* its body is arriving */
    RC_HTTP_AT_WAIT, /* its answer is awaited */
};

struct rc_http {
    struct rc_outq out;
    struct rc_addr from; /* whose connection it is; c->peer is whose request was the last */
    struct rc_http_body body;
    struct rc_buf content; /* of the body */
    struct rc_buf extra;   /* header lines of every answer to this request: CORS */
    size_t scanned;
    uint32_t head_len;   /* of the request under way */
    uint32_t idle_bytes; /* of out when the idle timer was last due */
    enum rc_http_state state;
    bool keep_alive, head_only, http10;
    bool head_timer; /* the timer runs for the head of this request */
    bool in_data;
    bool asked;     /* an answer by rc_front_reply is awaited */
    bool too_big;   /* the announced body is: it is not read */
    bool old_ie;    /* Internet Explorer warns of some answers unless told not to */
    uint8_t coding; /* enum rc_coding that the client accepts */
    uint8_t tag;    /* of the request under way: tells a late answer from the right one */
    bool dev_token; /* the body asks for a token */
    bool admitted;  /* counted by the address that a proxy told */
    bool piped;     /* another node has passed it on: it ends behind the answer, see pipe.h */
    bool bad;       /* the last answer was to a request that breaks HTTP */
    bool overdue;   /* it did not come in time */
    char sid[RC_SID_LEN + 1]; /* of the Engine.IO request under way, "" for none */
};

struct rc_http_answer {
    int status;
    struct rc_str content_type;
    struct rc_str extra; /* header lines */
    struct rc_str body;
    const char *coding;   /* of the body, or NULL */
    bool close;           /* end the connection even if the client would go on */
    struct rc_site *site; /* has body, borrowed; or NULL */
    struct rc_pub *pub;   /* holds body, borrowed; or NULL */
};
void rc_http_answer(struct rc_shard *sh, struct rc_conn *c,
                    const struct rc_http_answer *a) RC_ON_SHARD;
/* A line of plain text. */
void rc_http_page(struct rc_shard *sh, struct rc_conn *c, int status, const char *text,
                  bool close) RC_ON_SHARD;
void rc_http_free(struct rc_http *h);
/* Names the request under way for rc_front_reply: {shard:8, slot:24, generation:24, tag:8}. */
rc_id rc_http_request_id(const struct rc_shard *sh, const struct rc_conn *c);
/* The answer to the handshake that the connection waits for sets the cookie, if there is one. */
void rc_http_set_cookie(struct rc_shard *sh, rc_id conn, struct rc_str sid) RC_ON_SHARD;

/* The connection c, of whom else it was, waits for its first request. */
void rc_front_begin(struct rc_shard *sh, struct rc_conn *c, bool admitted) RC_ON_SHARD;

/* It is HTTP's again, with what that had of it: for one answer. */
void rc_front_take_back(struct rc_shard *sh, struct rc_conn *c, struct rc_http *h) RC_ON_SHARD;

/* ---- proxied.c ---- */

/* A connection that must begin with a PROXY header. NULL: there is no room, and its fd is closed. */
struct rc_conn *rc_proxied_new(struct rc_shard *sh, const struct rc_msg_conn *conn) RC_ON_SHARD;
bool rc_proxied_is(const struct rc_conn *c);
void rc_proxied_init(struct rc_shard *sh);

/* ---- routes.c ---- */

/* A head has come (`head` begins with its bytes and holds all that was read after it). Answers,
 * or waits for the body or for a session, or turns the connection into something else. */
void rc_route(struct rc_shard *sh, struct rc_conn *c, const struct rc_http_req *req,
              struct rc_str head) RC_ON_SHARD;
/* The answer to a request of a session that is not known. */
void rc_route_unknown(struct rc_shard *sh, struct rc_conn *c, bool upgrade) RC_ON_SHARD;
/* The body is complete in content. */
void rc_route_body(struct rc_shard *sh, struct rc_conn *c) RC_ON_SHARD;
/* What a request for a session asks, on the session's shard. Takes over body. */
void rc_route_eio(struct rc_shard *sh, struct rc_str sid, rc_id conn, enum rc_msg_type type,
                  unsigned flags, struct rc_pub *body) RC_ON_SHARD;
/* The request under way comes to nothing; gone: so does the connection. True: its session is on another shard,
 * whose answer may be on its way. */
bool rc_route_cancel(struct rc_shard *sh, struct rc_conn *c, bool gone) RC_ON_SHARD;

/* ---- files.c ---- */

/* Answer from static_root, or with a client bundle; false: there is none for this request. */
bool rc_files_site(struct rc_shard *sh, struct rc_conn *c,
                   const struct rc_http_req *req) RC_ON_SHARD;
bool rc_files_bundle(struct rc_shard *sh, struct rc_conn *c,
                     const struct rc_http_req *req) RC_ON_SHARD;
/* A method that files do not take. */
void rc_files_not_allowed(struct rc_shard *sh, struct rc_conn *c,
                          const struct rc_http_req *req) RC_ON_SHARD;

/* ---- devtoken.c ---- */

/* A request for auth.dev_tokens_path; false: it is none. Answers, or waits for the body. */
bool rc_devtoken_route(struct rc_shard *sh, struct rc_conn *c,
                       const struct rc_http_req *req) RC_ON_SHARD;
/* Its body is complete in content. */
void rc_devtoken_body(struct rc_shard *sh, struct rc_conn *c) RC_ON_SHARD;

#endif /* RC_BROKER_FRONT_INT_H */

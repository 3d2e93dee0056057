/*
 * rig.h - shards without threads, for tests: the test decides which one takes its next turn, and
 * talks to them as clients do, over socket pairs.
 *
 * Threads: one.
 */
#ifndef RC_TESTS_RIG_H
#define RC_TESTS_RIG_H

#include "rc/base/buf.h"
#include "rc/base/conf.h"
#include "rc/broker/app.h"
#include "rc/broker/mesh.h"
#include "rc/broker/shard.h"

enum { RIG_SHARDS = 4, RIG_CONNS = 1000 };

struct rig {
    struct rc_conf conf;
    struct rc_app *app;
    struct rc_mesh *mesh;
    struct rc_shard *shard[RIG_SHARDS];
    unsigned n;
};

void rig_open(struct rig *r, unsigned nshards, const char *ini);
/* Frees everything, and checks that the shards were left without anything but what is `open`. */
void rig_close(struct rig *r);
/* One turn of one shard, as its owner. */
void rig_turn(struct rig *r, unsigned shard);
/* Makes the calling thread the owner, to call the shard's functions. */
struct rc_shard *rig_enter(struct rig *r, unsigned shard);
/* Turns of all shards until nothing is on its way. */
void rig_settle(struct rig *r);
/* The n-th room name of "/" that this shard owns. Static memory, for a few names. */
const char *rig_room(const struct rig *r, unsigned owner, unsigned n);

struct rig_client {
    struct rig *rig;
    unsigned shard;
    int fd;
    struct rc_buf in; /* bytes that have not been looked at */
    struct rc_buf message;
    uint8_t opcode; /* of message */
    char id[32];    /* of the socket in "/" */
};

/* A connection to that shard; the shard sees it in its next turn. */
void rig_connect(struct rig *r, struct rig_client *c, unsigned shard);
void rig_hang_up(struct rig_client *c);
/* Writes bytes as they are. */
void rig_write(struct rig_client *c, const void *p, size_t n);
void rig_writez(struct rig_client *c, const char *text);
/* What has come since the last call, terminated; "" for nothing. Static memory. */
const char *rig_read(struct rig_client *c);
/* True when the shard has closed the connection and everything was read. */
bool rig_gone(struct rig_client *c);

/* ---- WebSocket ---- */

/* A handshake for that target, answered with 101. Settles. */
void rig_websocket(struct rig *r, struct rig_client *c, unsigned shard, const char *target);
/* Sends a masked text frame. */
void rig_say(struct rig_client *c, const char *fmt, ...) RC_PRINTF(2, 3);
void rig_frame(struct rig_client *c, uint8_t opcode, const void *p, size_t n);
/* The next message into c->message (terminated), its type into c->opcode; false: none is here. */
bool rig_hear(struct rig_client *c);
/* The next message must be this text. */
void rig_expect(struct rig_client *c, const char *fmt, ...) RC_PRINTF(2, 3);
/* There must be none. */
void rig_expect_silence(struct rig_client *c);

/* A Socket.IO client over WebSocket, connected to "/". Settles. */
void rig_socketio(struct rig *r, struct rig_client *c, unsigned shard);

#endif /* RC_TESTS_RIG_H */

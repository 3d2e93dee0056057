/*
 * stored_scene.h - shards with rules that store, and a store that answers when the test says so.
 *
 * Threads: one test.
 */
#ifndef RC_TESTS_STORED_SCENE_H
#define RC_TESTS_STORED_SCENE_H

#include "fake_store.h"

struct scene {
    struct rig r;
    struct fake_store *f; /* scene_fake */
};

/* It outlives a scene, so that the next one finds what is stored; fake_close() ends it. */
extern struct fake_store scene_fake;

void scene_open(struct scene *s, unsigned nshards);
/* The clients have hung up, or are about to be cut off. */
void scene_close(struct scene *s);
/* And what is stored goes, too. */
void scene_end(struct scene *s);
/* Turns for so long: what timers do. */
void scene_wait(struct scene *s, unsigned ms);
/* A handshake with a token, without a CONNECT. */
void scene_come_as(struct scene *s, struct rig_client *c, unsigned shard, const char *user);
void scene_expect_connected(struct rig_client *c);
void scene_connect_as(struct scene *s, struct rig_client *c, unsigned shard, const char *user);
void scene_join(struct scene *s, struct rig_client *c, const char *room);
/* The next message's id, 0: silence. */
unsigned scene_hear_id(struct rig_client *c);
void scene_expect_refusal(struct rig_client *c, unsigned ack, const char *code);

#endif /* RC_TESTS_STORED_SCENE_H */

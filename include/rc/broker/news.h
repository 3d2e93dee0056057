/*
 * news.h - messages to users that other nodes have stored: from the store to the owners of the users' rooms,
 * as those that were stored here (stored.h), and behind them in one order.
 *
 *   store ──STORED──> owners of the receiver's and the sender's rooms, if they have devices here
 *
 * Who has stored tells the other nodes so (RC_PEER_INBOX: the id, a few ms at most after the last time), and
 * their first shard has its store look (RC_STORE_FOLLOW). It looks once a second in any case: what nobody could
 * tell comes then.
 *
 * Threads:   new, free: main.  take: the store's.  Others: the shard's.
 * Ownership: holds a generation of the app (app.h); the mesh is borrowed.
 */
#ifndef RC_BROKER_NEWS_H
#define RC_BROKER_NEWS_H

#include "rc/base/thread.h"
#include "rc/broker/app.h"
#include "rc/broker/mesh.h"

struct rc_news;
struct rc_shard;

struct rc_news *rc_news_new(const struct rc_app *app, struct rc_mesh *mesh);
/* A rc_store_news_fn; arg is the rc_news. */
void rc_news_take(void *arg, const struct rc_store_news *news);
/* After the store has stopped. */
void rc_news_free(struct rc_news *n);

/* ---- shards ---- */

/* An owner: a message to users was stored here. */
void rc_news_stored(struct rc_shard *sh, const struct rc_pub *pub) RC_ON_SHARD;
/* Another node has told (pub), or it may have: NULL. */
void rc_news_told(struct rc_shard *sh, const struct rc_pub *pub) RC_ON_SHARD;
void rc_news_init(struct rc_shard *sh);

#endif /* RC_BROKER_NEWS_H */

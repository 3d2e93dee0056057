/*
 * floor.h - the least conceivable work for a room broker: what the kernel alone costs.
 *
 * A connection makes a WebSocket handshake that is answered without looking at it, sends
 * "J<number>" to join a room or "E" to be echoed, and from then on each of its frames goes to
 * all members of its room unchanged. Nothing is checked, nothing is limited: it is a yardstick
 * and no server. Several may be joined by a Redis: then each frame goes to the members on the others, too.
 *
 * Threads:   one thread.
 * Ownership: connections and rooms live in tables of struct floor until the end.
 */
#ifndef FLOOR_FLOOR_H
#define FLOOR_FLOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum floor_mode {
    FLOOR_SEND,     /* one send for each message and member, at once */
    FLOOR_COALESCE, /* at the end of the turn one send for each member: frames side by side */
    FLOOR_WRITEV,   /* at the end of the turn one writev for each member: a vector of frames */
    FLOOR_URING,    /* like coalesce, the sends of a room submitted together */
};

/* What only a few connections have at a time. */
struct floor_extra {
    char *in, *out;
    size_t in_len, in_cap, out_len, out_cap;
};

struct floor_conn {
    uint32_t room;
    uint32_t place; /* in the room's list */
    uint8_t state;
    struct floor_extra *extra;
};

struct floor_room {
    int *fds;
    uint32_t count, cap;
    bool dirty;
    char *turn; /* frames of this turn, side by side */
    size_t turn_len, turn_cap;
    uint32_t *ends; /* writev: where each of them ends */
    uint32_t frames, ends_cap;
};

struct floor {
    enum floor_mode mode;
    int epoll, listener;
    struct floor_conn *conns; /* by descriptor */
    struct floor_room *rooms;
    uint32_t nrooms;
    uint32_t *dirty; /* rooms with something to send at the end of the turn */
    uint32_t ndirty;
};

/* out.c: getting bytes to members. */
void floor_out_send(struct floor *f, int fd, const char *p, size_t len);
/* The rest that the kernel did not take: kept, and sent when there is space. */
void floor_out_keep(struct floor *f, int fd, const char *p, size_t len);
void floor_out_resume(struct floor *f, int fd);
void floor_out_room(struct floor *f, struct floor_room *r);

/* poll.c: HTTP long-polling. */
void floor_poll_init(void);
bool floor_poll_is(const char *p, size_t len);
/* Answers what is there whole; how many bytes that was. */
size_t floor_poll_input(struct floor *f, int fd, const char *p, size_t len);
/* The end of a turn. */
void floor_poll_flush(struct floor *f);
void floor_poll_gone(const struct floor *f, int fd);

/* redis.c: other nodes, by a Redis on loopback. */
bool floor_redis_init(struct floor *f, uint16_t port);
bool floor_redis_is(int fd);
void floor_redis_event(struct floor *f, int fd);
/* A frame of one of this node's: to be published at the end of the turn. */
void floor_redis_publish(uint32_t room, const char *frame, size_t len);
void floor_redis_flush(void);

/* floor.c: a frame of another node, for the members of the room. */
void floor_to_room(struct floor *f, uint32_t room, const char *frame, size_t len);

/* uring.c */
bool floor_uring_init(void);
/* One send for each of count descriptors; res[i] is its result, bytes or -errno. */
bool floor_uring_send(const int *fds, int *res, uint32_t count, const char *p, size_t len);

/* Makes *p at least want bytes; ends the program when there is no memory. */
void *floor_grow(void *p, size_t *cap, size_t want);

#endif /* FLOOR_FLOOR_H */

/* rings.c - the way from one thread to another, both ends driven by one: what each side costs. */
#include "micro.h"

#include "rc/broker/mesh.h"

#include <stdio.h>
#include <stdlib.h>

enum { SLOTS = 1024, BURST = 64 };

static struct rc_spsc ring;
static struct rc_mesh *mesh;

static void begin_ring(void)
{
    if (rc_spsc_init(&ring, SLOTS, sizeof(struct rc_msg)) != RC_OK)
        exit(1);
}

static void end_ring(void)
{
    rc_spsc_deinit(&ring);
}

static void pass(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        for (unsigned k = 0; k < BURST; k++) {
            struct rc_msg *m = rc_spsc_claim(&ring);

            if (m == NULL)
                exit(1);
            m->count = k;
            rc_spsc_commit(&ring);
        }
        for (unsigned k = 0; k < BURST; k++) {
            const struct rc_msg *m = rc_spsc_front(&ring);

            if (m == NULL || m->count != k)
                exit(1);
            rc_spsc_release(&ring);
        }
    }
}

static void begin_mesh(void)
{
    mesh = rc_mesh_new(2, SLOTS);
    if (mesh == NULL)
        exit(1);
}

static void end_mesh(void)
{
    rc_mesh_free(mesh);
}

static void take(struct rc_msg *msg, void *arg)
{
    unsigned *got = arg;

    micro_sink += msg->count;
    (*got)++;
}

/* Posts, wakes a consumer that is asleep, and drains, as shards do in their turns. */
static void post(unsigned n, unsigned burst)
{
    const struct rc_msg msg = {.type = RC_MSG_LEAVE};
    unsigned got = 0;

    for (unsigned i = 0; i < n; i++) {
        (void)rc_mesh_sleep(mesh, 1);
        for (unsigned k = 0; k < burst; k++)
            rc_mesh_post(mesh, 0, 1, &msg);
        (void)rc_mesh_wake(mesh, 0);
        if (rc_mesh_rise(mesh, 1))
            (void)rc_mesh_drain(mesh, 1, 2 * burst, take, &got);
    }
    if (got != n * burst)
        exit(1);
}

static void post_many(unsigned n)
{
    post(n, BURST);
}

static void post_one(unsigned n)
{
    post(n, 1);
}

const struct micro_op micro_rings[] = {
    {"spsc.pass", "message", BURST, 200, 100000, begin_ring, pass, end_ring},
    {"mesh.pass.64", "message", BURST, 200, 20000, begin_mesh, post_many, end_mesh},
    {"mesh.pass.1", "message", 1, 1000, 100000, begin_mesh, post_one, end_mesh},
    {NULL, NULL, 0, 0, 0, NULL, NULL, NULL},
};

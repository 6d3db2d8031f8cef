/* The orders of one world of the pool (launch_pool.h): which of them wait for their
 * turn, which one runs, which have ended, which came back.
 *
 * They are begun in the order in which they were given, one at a time. What the world
 * has not begun can be taken back at any time (jobs/turn.h), also from a world that has
 * died, and never runs then. An order that waits holds its job's lock from here too, so
 * that the lock can be let go of when it is taken back.
 */
#ifndef PPT_SCHEDULER_WORLD_ORDERS_H
#define PPT_SCHEDULER_WORLD_ORDERS_H

#include <stdbool.h>
#include <stdint.h>

#include "jobs/pool.h"
#include "jobs/turn.h"
#include "scheduler/launcher.h"
#include "scheduler/spool.h"

#define WORLD_ORDERS_MAX 64

struct world_order {
    int64_t job_id, attempt, number;
    int64_t memory_bytes;
    int lock;                        /* -1: the world alone holds it */
    char directory[SPOOL_PATH_SIZE]; /* of the job */
};

/* Zero-initialise; world_orders_reset before the first order. */
struct world_orders {
    struct turn *turn;                         /* of the world's last call */
    int64_t last;                              /* number of the last order */
    struct world_order open[WORLD_ORDERS_MAX]; /* not ended; the first one runs, or is
                                                  the next to do so */
    int n_open;
    char ended[WORLD_ORDERS_MAX][SPOOL_PATH_SIZE]; /* those that ended last, "": none */
    int n_ended;                                   /* ever */
    int64_t n_sent;                                /* ever */
    int64_t lasted_us; /* the one that ended last; 0: none has */
};

/* Directories of jobs that came back, to be started anew. Zero-initialise. */
#define WORLD_RETURNED_MAX 1024
struct world_returned {
    char (*directories)[SPOOL_PATH_SIZE];
    int n;
};

/* The world has called and is idle: all that was open has ended. Takes turn over. */
void world_orders_reset(struct world_orders *orders, struct turn *turn);

/* Sends an order to the world at the other end of fd, and keeps a copy of the lock.
 * False: it was not sent, for there is no room or nobody there. */
bool world_orders_send(struct world_orders *orders, int fd,
                       const struct launcher_request *request, int lock);

/* May one more order be sent ahead, beside n_promised that will be: are all of them
 * expected to end within ahead_ms, if each lasts as long as the last one did? Nothing
 * is expected of a world whose jobs were not seen to end. */
bool world_orders_have_room(const struct world_orders *orders, int n_promised,
                            int64_t ahead_ms);

/* For how long the world has enough to do: half of what waits behind the first one, at
 * most WORLD_ORDERS_REST_MS. */
#define WORLD_ORDERS_REST_MS 30
int64_t world_orders_rest_ms(const struct world_orders *orders);

/* The world says that it has begun the first open order. False: it is not that. */
bool world_orders_begin(struct world_orders *orders, const struct pool_message *word);

/* The world says that an order has ended, and how long it took. False: it is not the
 * first open one. */
bool world_orders_end(struct world_orders *orders, const struct pool_message *word);

/* Takes back all that the world has not begun, and lets go of the locks. `returned`
 * NULL: the caller goes on with the job under the lock that it has. */
void world_orders_take_back(struct world_orders *orders,
                            struct world_returned *returned);

/* Place of the job among the open orders, or -1. Only 0 may have begun. */
int world_orders_find(const struct world_orders *orders, const char *directory);

/* Has the world said that it ended, the last time that it ran there? */
bool world_orders_has_ended(const struct world_orders *orders, const char *directory);

/* Another attempt begins: that an earlier one has ended says nothing now. */
void world_orders_forget(struct world_orders *orders, const char *directory);

/* Drops all; what has not ended is its lock's to tell. */
void world_orders_free(struct world_orders *orders);

/* Too many: the oldest is forgotten, and found by its lock and meter later. */
void world_returned_add(struct world_returned *returned, const char *directory);
bool world_returned_has(const struct world_returned *returned, const char *directory);
void world_returned_forget(struct world_returned *returned, const char *directory);
void world_returned_free(struct world_returned *returned);

#endif

/* The order for one attempt: which pilot is to run it, with how many ranks on which of
 * its nodes.
 *
 * A line of text, in the job's directory as order-ATTEMPT and in the pilot's folder
 * `orders` as JOB-ATTEMPT, where the pilot takes it from:
 *
 *     PILOT RANKS CORES MEMORY_MIB PLACES DIRECTORY
 *
 * Cores are a rank's, memory a core's, PLACES name each rank's node by its number in
 * the pilot, from 0, and DIRECTORY is the job's. Whether the attempt has run is no
 * matter of orders but of its ticket.
 */
#ifndef PPT_SCHEDULER_ORDER_H
#define PPT_SCHEDULER_ORDER_H

#include "base/error.h"
#include "scheduler/launcher.h"
#include "scheduler/places.h"

#define ORDER_FOLDER "orders"

struct order {
    int64_t pilot, n_ranks, cores_per_rank, mib_per_core;
    int64_t ranks[PLACES_MAX]; /* on each node */
};

/* What one rank of it takes of its node. */
struct places_room order_rank(const struct order *order);

/* An order of the request's ranks, without a pilot and places. */
struct order order_of(const struct launcher_request *request);

/* Writes the job's copy, to be read back with order_read. Errors: PPT_EIO, PPT_ENOMEM,
 * PPT_ELAUNCH (a directory that a shell would not read as it is). */
int order_keep(const struct order *order, const char *directory, int64_t attempt,
               struct error *err);

/* Hands it to the pilot in `pilot_directory`. Errors: the same. */
int order_send(const struct order *order, const char *pilot_directory,
               const char *directory, int64_t job_id, int64_t attempt,
               struct error *err);

/* Errors: PPT_ENOTFOUND (that attempt was not ordered), PPT_EIO, PPT_ETRUST (damaged),
 * PPT_ENOMEM. */
int order_read(const char *directory, int64_t attempt, struct order *ret_order,
               struct error *err);

#endif

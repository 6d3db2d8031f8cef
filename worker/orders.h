/* How a world inside a pilot (slurm/ppt-pilot.sbatch.in) gets its orders: by files of
 * its directory, on a file system that it shares with the pilot's script and the
 * scheduler.
 *
 *     busy-JOB-ATTEMPT   the world has an order: file `order` holds the job's directory
 *     idle               it has none
 *     closed-...         the scheduler will signal that job: no more orders after it
 *     none of them       the world is to end
 *
 * These are names of one file, and whoever renames it decides: the script `idle` to
 * `busy-`, the world `busy-` to `idle`, the scheduler `busy-` to `closed-`. A signal
 * that is meant for one job can therefore not meet the next one. An order is carried
 * out only by who takes the attempt's ticket; one without it leaves the world idle.
 */
#ifndef PPT_WORKER_ORDERS_H
#define PPT_WORKER_ORDERS_H

#include <stdbool.h>

#include "base/error.h"
#include "jobs/pool.h"

/* Looks once. *ret_order: a POOL_RUN with job_id, attempt and directory, not taken yet.
 * Errors: PPT_ENOTFOUND (none yet), PPT_ESTATE (the world is to end), PPT_ETRUST (no
 * such order), PPT_EIO. */
int orders_next(const char *world, struct pool_message *ret_order, struct error *err);

/* From now on the attempt has begun. False: it may not, somebody gave it up. */
bool orders_take_ticket(const struct pool_message *order);

/* No rank does anything for it any more: leaves word of that, which is the file's being
 * there. Errors: PPT_EIO. */
int orders_tell_end(const struct pool_message *order, struct error *err);

/* The next order may come. False: the world is to end. */
bool orders_be_idle(const char *world, const struct pool_message *order);

#endif

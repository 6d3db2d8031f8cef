/* The launcher for one machine that keeps ranks alive: worlds started by mpirun, each
 * of which runs plan after plan (worker/pool.h), and mpirun for what they are too
 * small for.
 *
 * A world has as many ranks as the job that it was started for, and serves one login
 * only; a spare one serves the login of its first job. Its directory is
 * spool/pool/ID-RANKS-CORES, with a lock that its mpirun holds; a new scheduler finds
 * the worlds of the last one by these and waits for their call. Job liveness is asked
 * as launch_mpirun does it: all ranks of a world hold the lock of the job that they
 * run, and carry its directory's name in their environment.
 *
 * A world that is busy is given the next jobs of its shape and login ahead, as many as
 * are expected to end within pool.ahead_ms (world_orders.h), in the queue's order: they
 * take the room of the one that runs, one after the other. Once that one has lasted
 * longer, its world has gone, or a signal is meant for one of them, those that have not
 * begun are taken back; `look` then says that they never ran, to be started anew.
 *
 * To mpirun go: jobs with more ranks than the pool may have, with GPUs, more memory or
 * time than pool.max_memory and pool.max_time_limit, of accounts in pool.except; all
 * jobs for a minute after worlds could not be started; and those that would have to
 * wait for another's world although the machine has room.
 */
#ifndef PPT_SCHEDULER_LAUNCH_POOL_H
#define PPT_SCHEDULER_LAUNCH_POOL_H

#include "base/error.h"
#include "scheduler/conf.h"
#include "scheduler/launch_mpirun.h"
#include "scheduler/launcher.h"
#include "scheduler/spool.h"

struct launch_pool;

/* Opens spool/pool, finds worlds that are there, starts none yet (tend does). No
 * ownership of mpirun and conf; caller frees. `n_cores` are the node's.
 * Errors: PPT_EIO, PPT_ETRUST, PPT_ENOMEM. */
int launch_pool_open(struct launch_mpirun *mpirun, const struct conf_pool *conf,
                     const struct spool *spool, int64_t n_cores,
                     struct launch_pool **ret_pool, struct error *err);

/* Lets go of the worlds: they wait a minute for the next scheduler, then end. NULL is
 * allowed. */
void launch_pool_free(struct launch_pool *pool);

/* No ownership: `pool` outlives the launcher. */
struct launcher launch_pool(struct launch_pool *pool);

#endif

/* The launcher that keeps allocations of Slurm's between jobs: a job runs in a pilot
 * (pilots.h) and waits neither for Slurm's queue nor for an allocation. Where its ranks
 * are on one node it is given to ranks that stay alive between jobs of its shape, as in
 * a pool of this machine (worker/pool.h); otherwise it is a step with processes of its
 * own, and so is every job where pool.max_jobs is 1.
 *
 * A pilot serves one login. Jobs are placed on its nodes by their cores and memory; a
 * job that does not fit now waits for another pilot to come, for jobs of its login to
 * end, or for pilots without jobs to make room, and goes to sbatch where all of them
 * are other logins' and busy. The step is srun's, which ends all ranks when one has
 * died; no other job notices. When the pilot ends before its jobs do (scancel, its
 * time, a node), each of them is an attempt that was interrupted, if its ranks could
 * still write their report, or else a loss.
 *
 * To sbatch go at once: jobs with wishes to Slurm or GPUs, larger than a whole pilot,
 * with more memory or time than pool.max_memory and pool.max_time_limit, of accounts in
 * pool.except; and all jobs for a minute after pilots could not be had.
 */
#ifndef PPT_SCHEDULER_LAUNCH_PILOT_H
#define PPT_SCHEDULER_LAUNCH_PILOT_H

#include "base/error.h"
#include "scheduler/conf.h"
#include "scheduler/launch_sbatch.h"
#include "scheduler/launcher.h"
#include "scheduler/spool.h"

struct launch_pilot;

/* Finds the pilots that are there, starts none yet. `template`: of a pilot's script. No
 * ownership of what it is given; caller frees. Errors: PPT_EIO, PPT_ENOMEM. */
int launch_pilot_open(struct launch_sbatch *sbatch, const struct conf *conf,
                      const struct spool *spool, const char *template,
                      struct launch_pilot **ret_pilot, struct error *err);

/* Leaves the pilots and their jobs alone. NULL is allowed. */
void launch_pilot_free(struct launch_pilot *pilot);

/* No ownership: `pilot` outlives the launcher. */
struct launcher launch_pilot(struct launch_pilot *pilot);

#endif

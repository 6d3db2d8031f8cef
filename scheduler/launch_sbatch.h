/* The launcher for a Slurm cluster: one batch job an attempt, named ppt-JOB-ATTEMPT,
 * whose script starts the ranks by srun --mpi=pmix.
 *
 * Guarantees: an attempt runs at most once, whatever sbatch answers and however often
 * Slurm starts the script. The script renames the file ticket-ATTEMPT of the job's
 * directory and does nothing where there is none; look and start give an attempt up
 * only after removing the ticket themselves. The directory must be the same on all
 * nodes. When sbatch's answer is lost the job is looked for by its name; it is never
 * submitted twice.
 *
 * Every job carries an admission token (jobs/token.h) as its comment, for the sites
 * that let nothing else into a partition.
 *
 * Slurm is asked with squeue, once a second for all jobs. A script that has left the
 * status 0 in ended-ATTEMPT is believed before that; of any other end Slurm is heard
 * first, because it knows whether somebody has cancelled the job. Every command has a
 * time limit, short enough that no call lasts so long that the scheduler could lose its
 * lease. Jobs that squeue has forgotten (MinJobAge) are judged by their directory and
 * by what Slurm's accounting or file of completed jobs says.
 */
#ifndef PPT_SCHEDULER_LAUNCH_SBATCH_H
#define PPT_SCHEDULER_LAUNCH_SBATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "scheduler/command.h"
#include "scheduler/conf.h"
#include "scheduler/launcher.h"
#include "scheduler/slurm_witness.h"
#include "scheduler/squeue.h"

/* Strings are the caller's and outlive the launcher. */
struct launch_sbatch {
    const char *script;     /* slurm/ppt-job.sbatch.in */
    const char *worker;     /* ppt-worker; the same path on all nodes */
    const char *public_key; /* the same; the worker verifies the plan by it */
    const char *scratch; /* the nodes' prolog makes a job's directory in there; NULL or
                            "": it makes none */
    const unsigned char *secret_key; /* 32 bytes; signs the admission token */
    int64_t grace_s;                 /* added to a job's time limit for Slurm */
    int64_t lease_s; /* the scheduler's; time limits of commands come from it */
    int n_arguments; /* more for sbatch; they win over the script's and the job's */
    const char (*arguments)[CONF_ARGUMENT_SIZE];

    /* The implementation's: zero-initialise. */
    struct squeue squeue;
    struct slurm_witness witness;
};

/* No ownership: `sbatch` outlives the launcher. */
struct launcher launch_sbatch(struct launch_sbatch *sbatch);

/* One script for sbatch. */
struct sbatch_job {
    int64_t id, attempt; /* in its admission token; positive */
    const char *name;    /* in Slurm, and in the token */
    const char *script;
    const struct spec_slurm *wishes; /* NULL: none */
    int64_t gpus_per_rank;
};

/* Hands it in, with the site's arguments and a token. Success says only that sbatch was
 * run; caller frees the result. Errors: those of command_run. */
int launch_sbatch_submit(const struct launch_sbatch *sbatch,
                         const struct sbatch_job *job,
                         struct command_result *ret_result, struct error *err);

/* A script's value SCRATCH: the folder, or "none". */
const char *launch_sbatch_scratch(const struct launch_sbatch *sbatch);

/* sbatch's answer, "123" or "123;cluster"; false if it is none. */
bool launch_sbatch_job_id(const char *text, int64_t *ret_id);

/* What has become of an attempt whose job in Slurm has ended (is_known), or is not
 * known any more: GONE, FORGOTTEN, or NEVER, which it is from now on. Errors: PPT_EIO.
 */
int launch_sbatch_look_at_dead(const char *directory, int64_t attempt, bool is_known,
                               enum launcher_life *ret_life, struct error *err);

/* Frees what squeue said. */
void launch_sbatch_free(struct launch_sbatch *sbatch);

#endif

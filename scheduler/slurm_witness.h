/* Who else remembers a job that squeue has forgotten (MinJobAge): Slurm's accounting
 * (sacct, where there is a slurmdbd) and its file of completed jobs (jobcomp/filetxt,
 * where this machine can read it).
 *
 * Both only ever say that a job has ended. That a person has cancelled it, which makes
 * it cheaper, is believed of the accounting alone: slurmdbd knows who wrote a record,
 * while the file has one line a job into which users write names of their own.
 *
 * Asked for all jobs at once, every few seconds at most; one that does not answer is
 * left alone for half a minute.
 */
#ifndef PPT_SCHEDULER_SLURM_WITNESS_H
#define PPT_SCHEDULER_SLURM_WITNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "scheduler/slurm_job.h"

/* Zero-initialise, but for the time limit. */
struct slurm_witness {
    int64_t timeout_ms; /* of each of two commands */
    /* The implementation's. */
    char *accounts;    /* what sacct said last; NULL: nothing */
    char *completions; /* the file's path; NULL: there is none */
    int64_t
        accounts_next_ms; /* when sacct, and scontrol for the path, are next asked */
    int64_t path_next_ms;
};

struct slurm_testimony {
    struct slurm_job slurm; /* without a reason */
    bool is_cancelled;
    bool is_hearsay; /* that it is must not make it cheaper */
};

/* True if one of them says that the job of this name and directory, of this user, has
 * ended. */
bool slurm_witness_ask(struct slurm_witness *witness, const char *directory,
                       const char *name, struct slurm_testimony *ret_testimony);

/* Frees what they said, not the struct itself. */
void slurm_witness_free(struct slurm_witness *witness);

#endif

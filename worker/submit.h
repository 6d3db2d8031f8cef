/* ppt-worker --submit: the ranks of a step are there already, and rank 0 has their job
 * priced, admitted and settled by a ppt-submit of its own (jobs/step.h). No line of the
 * scheduler is linked: ppt-submit is another program, beside this one.
 */
#ifndef PPT_WORKER_SUBMIT_H
#define PPT_WORKER_SUBMIT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "jobs/step.h"

/* Of rank 0. */
struct submission {
    pid_t pid; /* of ppt-submit; 0: not there */
    int end;   /* of the socket */
};

/* Rank 0: starts ppt-submit for `spec` and n_ranks ranks. From success on submit_next
 * must be called until no plan comes. Errors: PPT_ELAUNCH, PPT_EIO, PPT_ENOMEM. */
int submit_begin(const char *spec, int n_ranks, struct submission *ret_submission,
                 struct error *err);

/* Rank 0: waits, sleeping, until a job is admitted or all are settled. A request to
 * stop (worker/stop.h) is passed on. *ret_is_there: there is a plan, its job is
 * charged, and submit_tell_end must be called. False: ppt-submit has ended. Errors:
 * those of ppt-submit, which has told why, with an empty text; among them PPT_EJOB: a
 * job was not done. */
int submit_next(struct submission *submission, struct step_packet *ret_plan,
                bool *ret_is_there, struct error *err);

/* Rank 0: the ranks have ended so. is_last: they can run no other plan. */
void submit_tell_end(const struct submission *submission, int status, bool is_last);

/* Every other rank, once the job is admitted: should this process be killed, the step's
 * other ranks are ended too. Slurm leaves them alone, and they would wait for ever;
 * mpirun ends them itself, so nothing is done there. Returns what the others take. */
int submit_guard(int rank);

/* From now on the log in the job's directory is told too which rank has gone. */
void submit_guard_tell(int guard, const char *directory);
void submit_unguard(int guard);

#endif

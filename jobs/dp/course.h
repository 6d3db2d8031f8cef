/* The course of a job that trains in steps, each paid for before it runs: leases,
 * checkpoints, looks at the test split, progress, the model, the report. What a step
 * does is its kind's: a dp job's adds up gradients, a round of a federation updates.
 * For jobs/dp and jobs/fl.
 */
#ifndef PPT_JOBS_DP_COURSE_H
#define PPT_JOBS_DP_COURSE_H

#include "jobs/dp/trainer.h"
#include "jobs/report.h"

struct course_work {
    const char *noun; /* "step", for people */
    /* One step that is paid for; trainer->step grows by one. Every rank calls it. */
    int (*step)(struct trainer *trainer, void *state, struct error *err);
    /* May be NULL: after a public look at the test split, on every rank. */
    int (*looked)(struct trainer *trainer, void *state, double accuracy,
                  struct error *err);
    /* May be NULL: on rank 0, what else is to be told of the last step. */
    void (*describe)(const struct trainer *trainer, const void *state,
                     struct progress *progress);
    void *state;
};

/* Rank 0: epsilon at the price's delta of what the meter has been charged, 0 where the
 * job is not private. Takes about a millisecond. */
double course_epsilon(const struct trainer *trainer);

/* From the checkpoint if io has one to the last step, a stop, or the meter's refusal
 * (which is no error). Fills the report also where it returns -PPT_EINTERRUPTED.
 * Charges releases[PRICE_TRAINING_STEP] once a step, before it. Every rank calls it.
 * Errors: those of the steps, PPT_EIO, PPT_ECOMM, PPT_ENOMEM, PPT_ETRUST (checkpoint of
 * another job), PPT_ERANGE (training diverged), PPT_EINTERRUPTED. */
int course_run(struct trainer *trainer, const struct course_work *work,
               struct report *ret_report, struct error *err);

#endif

/* Runs one plan: verifies it and its data, makes a struct env, lets the kind run,
 * writes the report. */
#ifndef PPT_WORKER_RUN_H
#define PPT_WORKER_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/error.h"
#include "worker/world.h"

/* How long a failed rank waits for the others to hear of it. */
#define RUN_PATIENCE_S 15

/* What a run is asked to do. */
struct run_order {
    const char *directory; /* where the plan lies */
    int64_t attempt;       /* a plan of another one is refused; 0: any will do */
    /* Of CRYPTO_KEY_SIZE bytes, what rank 0 was handed for plans that want that
     * (PLAN_KEY_HANDED), the caller's to wipe; NULL: nothing, and on other ranks. */
    const unsigned char *checkpoint_key;
    bool is_noted; /* that it has begun need not be on disk (jobs/pool.h) */
};

/* Every rank calls it with the same arguments and gets the same answer, 0 or the error
 * of the lowest rank that failed. Where the world is known to be of one node rank 0
 * verifies the plan and tells it to the others, else each does; then the world is
 * sealed. Where some rank cannot be reached within half a minute after an error, the
 * process ends with the error's status.
 *
 * A plan is run once a reservation: rank 0 opens the job's meter first, and that is
 * refused where another run has it, and for good once the scheduler has ended it to
 * settle the job (jobs/privacy/meter.h), whatever plan lies or is put back beside it.
 * Jobs that are not private have no meter and cost nothing to run again.
 *
 * Rank 0 writes report.json in every case where the plan could be verified and its
 * meter opened; before that it would speak for another run. Errors: those of plan_load
 * and meter_open; PPT_ETRUST too where the plan is another user's or for other hosts;
 * or its key was not handed over; PPT_ESTATE too (another attempt's, the number of
 * ranks is not the spec's, or the kind cannot run here); PPT_EDATA (the data file is
 * not the manifest's, or damaged); those of world_seal and dp_run. */
int run_plan(const struct run_order *order,
             const unsigned char public_key[CRYPTO_KEY_SIZE], struct world *world,
             struct error *err);

#endif

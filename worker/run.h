/* Runs one plan: verifies it and its data, makes a struct env, lets the kind run,
 * writes the report. */
#ifndef PPT_WORKER_RUN_H
#define PPT_WORKER_RUN_H

#include "base/crypto.h"
#include "base/error.h"
#include "worker/world.h"

/* How long a failed rank waits for the others to hear of it. */
#define RUN_PATIENCE_S 15

/* Every rank calls it with the same arguments and gets the same answer, 0 or the error
 * of the lowest rank that failed. Seals the world once the plan is verified. Where some
 * rank cannot be reached within half a minute after an error, the process ends with the
 * error's status.
 *
 * Rank 0 writes report.json in every case where the plan could be verified; before that
 * there is no job to speak of.
 * Errors: those of plan_load; PPT_ETRUST too where the plan is another user's or for
 * other hosts; PPT_ESTATE (the number of ranks is not the spec's, or the
 * kind cannot run here); PPT_EDATA (the data file is not the manifest's, or damaged);
 * those of world_seal and dp_run. */
int run_plan(const char *directory, const unsigned char public_key[CRYPTO_KEY_SIZE],
             struct world *world, struct error *err);

#endif

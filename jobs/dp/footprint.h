/* What a rank of a dp job will take of its memory, from public figures alone: before it
 * runs, and where it cannot run.
 *
 * A trainer is opened for a world of that size as a real rank opens it, on no records,
 * and asked (trainer_memory_bytes); so the two cannot differ. What it allocates is
 * mostly never touched. The frozen numbers of a base are counted and not read.
 */
#ifndef PPT_JOBS_DP_FOOTPRINT_H
#define PPT_JOBS_DP_FOOTPRINT_H

#include <stdint.h>

#include "base/error.h"
#include "jobs/manifest.h"
#include "jobs/spec/spec.h"

struct footprint_engine {
    int64_t bytes;       /* of a rank, without what reading takes */
    int64_t micro_batch; /* records that a thread works on at once: as many as fit into
                            half of the rank's memory, at least one, no more than help
                          */
};

/* With n_threads, on the CPU; dealt records' deck (feed.h) by the nominal count.
 * Errors: PPT_ESPEC, PPT_ERANGE (price_job), PPT_ENOMEM. */
int footprint_trainer(const struct spec *spec, const struct manifest *manifest,
                      int n_threads, struct footprint_engine *ret_engine,
                      struct error *err);

#endif

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

/* Bytes of a rank with n_threads, on the CPU, without what reading takes; dealt
 * records' deck (feed.h) by the nominal count. Errors: PPT_ESPEC, PPT_ERANGE
 * (price_job), PPT_ENOMEM. */
int footprint_trainer(const struct spec *spec, const struct manifest *manifest,
                      int n_threads, int64_t *ret_bytes, struct error *err);

#endif

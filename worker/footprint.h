/* ppt-worker --memory DIR: what each rank of the job in DIR would take, by public
 * figures alone. ppt-submit asks it before it submits, as the formulas are the engine's
 * and the readers', which the cluster side does not link.
 */
#ifndef PPT_WORKER_FOOTPRINT_H
#define PPT_WORKER_FOOTPRINT_H

#include <stdint.h>

#include "base/error.h"
#include "jobs/manifest.h"
#include "jobs/spec/spec.h"

/* Of one rank, in bytes. */
struct footprint {
    int64_t engine;  /* nets, parameters, noise (jobs/dp/footprint.h) */
    int64_t records; /* shards in memory or what reads ahead (shard.h), by the nominal
                        counts, in files that are not chunked */
    int64_t process; /* the program, MPI and the other libraries, threads: measured */
    int64_t micro_batch; /* no bytes: of the engine, records at once */
};

/* Errors: PPT_ESPEC (a federation, or a job on GPUs: there is no formula), those of
 * footprint_trainer. */
int footprint_rank(const struct spec *spec, const struct manifest *manifest,
                   struct footprint *ret_footprint, struct error *err);

/* All of it: what the rank takes. */
int64_t footprint_sum(const struct footprint *footprint);

/* The least memory of all ranks, in whole MiB a rank, that such a job would have to ask
 * for: what it takes grows with what it has, for it works on more records at once then.
 * Errors: as footprint_rank. */
int footprint_least(const struct spec *spec, const struct manifest *manifest,
                    int64_t *ret_job_bytes, struct error *err);

/* Reads spec.json and manifest.yaml of the directory (jobs/plan.h), signed or not, and
 * prints one line of JSON: engine_bytes, records_bytes, process_bytes, rank_bytes,
 * job_bytes, micro_batch, least_job_bytes. Errors: PPT_EIO, PPT_ENOTFOUND, PPT_ESPEC,
 * and those above. */
int footprint_tell(const char *directory, struct error *err);

#endif

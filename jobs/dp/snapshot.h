/* A dp job's checkpoint: parameters, optimizer state and the step, never a key.
 *
 * Whole arrays, so any number of ranks may resume. Everything in it is released already
 * (parameters) or computed from released values (optimizer state). Layout,
 * little-endian: magic "PPTDPCK1", job id, step, n_params, n_states (int64 each), the
 * spec's SHA-256 in hexadecimal (64 bytes), then n_params floats 1 + n_states times.
 */
#ifndef PPT_JOBS_DP_SNAPSHOT_H
#define PPT_JOBS_DP_SNAPSHOT_H

#include "jobs/dp/trainer.h"

/* Every rank calls it; rank 0 writes, array by array (the store's last): memory is one
 * whole array on each rank, whatever the optimizer. Errors: PPT_EIO, PPT_ECOMM,
 * PPT_ENOMEM, the same on all ranks. */
int snapshot_save(struct trainer *trainer, struct error *err);

/* Every rank calls it; rank 0 reads. Without a checkpoint nothing changes.
 * Errors: PPT_ETRUST (damaged, of another job or spec; its key), PPT_EIO, PPT_ECOMM,
 * PPT_ENOMEM, the same on all ranks. */
int snapshot_load(struct trainer *trainer, struct error *err);

#endif

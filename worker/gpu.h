/* Which kernels a job computes by: the CPU's, or a device's where its spec asks for
 * GPUs. Those are in a module of their own (gpu_module.h).
 */
#ifndef PPT_WORKER_GPU_H
#define PPT_WORKER_GPU_H

#include "base/error.h"
#include "kernels/kernels.h"

/* kernels_cpu for gpus_per_rank 0, else the module's on the device of this rank, which
 * is current on the calling thread from then on: of the devices that the launcher lets
 * this process see one that no other rank holds (claim.h), or where Slurm hands out
 * GPUs the one of its number on the node, local_rank (wireup.h). One device a rank;
 * ranks share devices only where there are fewer of them. *ret_device is -1 with the
 * CPU. Errors: PPT_ESTATE (no module, no device, more than one a rank, the
 * device fails).
 */
int gpu_choose(int64_t gpus_per_rank, int local_rank,
               const struct kernels **ret_kernels, int *ret_device, struct error *err);

#endif

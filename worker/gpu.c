#include "worker/gpu.h"

#ifndef PPT_HAVE_CUDA

int gpu_choose(int64_t gpus_per_rank, int local_rank,
               const struct kernels **ret_kernels, int *ret_device, struct error *err)
{
    (void)local_rank;
    if (gpus_per_rank == 0) {
        *ret_kernels = &kernels_cpu;
        *ret_device = -1;
        return 0;
    }
    error_set(err, PPT_ESTATE, "the job asks for a GPU and this program has no CUDA");
    return error_hint(err, "build it where cmake finds a CUDA toolkit");
}

#else

#include <stdbool.h>
#include <stdlib.h>

#include "kernels/device.h"
#include "worker/claim.h"

#define LOCK_FOLDER "/dev/shm" /* of this node, and empty after its next start */

int gpu_choose(int64_t gpus_per_rank, int local_rank,
               const struct kernels **ret_kernels, int *ret_device, struct error *err)
{
    if (gpus_per_rank == 0) {
        *ret_kernels = &kernels_cpu;
        *ret_device = -1;
        return 0;
    }
    if (gpus_per_rank > 1) {
        error_set(err, PPT_ESTATE, "a rank computes on one GPU, not on %lld",
                  (long long)gpus_per_rank);
        return error_hint(err, "use more ranks with gpus_per_rank: 1");
    }
    int n_devices = device_count();
    if (n_devices == 0) {
        error_set(err, PPT_ESTATE, "the job asks for a GPU and there is none here");
        return error_hint(err, "does nvidia-smi see one? is CUDA_VISIBLE_DEVICES set?");
    }
    bool is_bound = getenv("SLURM_JOB_ID") != NULL; /* what we see is ours */
    int device = is_bound ? local_rank % n_devices
                          : claim_device(LOCK_FOLDER, n_devices, local_rank);
    if (!device_use(device)) {
        const char *text = device_error();
        return error_set(err, PPT_ESTATE, "the GPU cannot be used: %s",
                         text == NULL ? "no reason given" : text);
    }
    *ret_kernels = &kernels_cuda;
    *ret_device = device;
    return 0;
}

#endif

#include "worker/gpu.h"

#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "worker/claim.h"
#include "worker/gpu_module.h"

/* Both of this node, and empty after its next start. */
#define SHARED_CLAIMS "/run/ppt/gpus" /* the administrator's, if there is one */
#define OWN_CLAIMS "/dev/shm/ppt-gpu-%ld"

static int claim(int n_devices, int local_rank)
{
    char own[64];
    bool is_alone;
    snprintf(own, sizeof own, OWN_CLAIMS, (long)geteuid());
    int device = claim_device(SHARED_CLAIMS, own, n_devices, local_rank, &is_alone);
    if (!is_alone)
        log_warning("GPU %d may be another rank's too: none of %d could be claimed",
                    device, n_devices);
    return device;
}

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
    const struct device_module *module = NULL;
    char path[GPU_MODULE_PATH_SIZE];
    int rc = gpu_module_path(GPU_MODULE, path, err);
    if (rc == 0)
        rc = gpu_module_open(path, &module, err);
    if (rc != 0)
        return rc;
    int n_devices = module->count();
    if (n_devices == 0) {
        error_set(err, PPT_ESTATE, "the job asks for a GPU and there is none here");
        return error_hint(err, "does nvidia-smi see one? is CUDA_VISIBLE_DEVICES set?");
    }
    /* What Slurm lets a rank see is its own. */
    int device =
        claim_is_slurms() ? local_rank % n_devices : claim(n_devices, local_rank);
    if (!module->use(device)) {
        const char *text = module->error();
        return error_set(err, PPT_ESTATE, "the GPU cannot be used: %s",
                         text == NULL ? "no reason given" : text);
    }
    *ret_kernels = module->kernels;
    *ret_device = device;
    return 0;
}

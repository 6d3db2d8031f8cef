#include "worker/gpu.h"

#ifndef PPT_HAVE_CUDA

int gpu_choose(int64_t gpus_per_rank, const struct kernels **ret_kernels,
               struct error *err)
{
    if (gpus_per_rank == 0) {
        *ret_kernels = &kernels_cpu;
        return 0;
    }
    error_set(err, PPT_ESTATE, "the job asks for a GPU and this program has no CUDA");
    return error_hint(err, "build it where cmake finds a CUDA toolkit");
}

#else

#include <stdlib.h>

#include "kernels/device.h"

/* This rank's number on its node as the launcher tells it; 0 if it does not. */
static int rank_on_node(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        if (text != NULL && text[0] >= '0' && text[0] <= '9') {
            return (int)(strtoul(text, NULL, 10) % 65536);
        }
    }
    return 0;
}

int gpu_choose(int64_t gpus_per_rank, const struct kernels **ret_kernels,
               struct error *err)
{
    if (gpus_per_rank == 0) {
        *ret_kernels = &kernels_cpu;
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
    if (!device_use(rank_on_node() % n_devices)) {
        const char *text = device_error();
        return error_set(err, PPT_ESTATE, "the GPU cannot be used: %s",
                         text == NULL ? "no reason given" : text);
    }
    *ret_kernels = &kernels_cuda;
    return 0;
}

#endif

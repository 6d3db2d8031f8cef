/* The kernels of a CUDA device: a module that is opened for jobs that ask for GPUs, and
 * for no others, because CUDA's libraries keep 155 MiB resident in every process that
 * has them.
 *
 * It is looked for beside this program and nowhere else: no environment variable names
 * it, for its code runs with the records in reach.
 */
#ifndef PPT_WORKER_GPU_MODULE_H
#define PPT_WORKER_GPU_MODULE_H

#include <limits.h>

#include "base/error.h"
#include "kernels/device.h"

#define GPU_MODULE "ppt-kernels-cuda.so"
#define GPU_MODULE_PATH_SIZE (PATH_MAX + 48)

/* GPU_MODULE or another module of at most 32 letters, in the folder of this program or
 * where a build tree has it; whether it is there or not. Errors: PPT_EIO. */
int gpu_module_path(const char *name, char ret_path[GPU_MODULE_PATH_SIZE],
                    struct error *err);

/* Opens it for good; again gives the same. Errors: PPT_ESTATE (it is not there, cannot
 * be loaded, or is another build's). */
int gpu_module_open(const char *path, const struct device_module **ret_module,
                    struct error *err);

#endif

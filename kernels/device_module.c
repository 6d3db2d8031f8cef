/* The one name that ppt-kernels-cuda.so hands out. */
#include "kernels/device.h"

const struct device_module ppt_device_module = {.version = PPT_VERSION,
                                                .n_bytes = sizeof(struct kernels),
                                                .kernels = &kernels_cuda,
                                                .count = device_count,
                                                .use = device_use,
                                                .error = device_error};

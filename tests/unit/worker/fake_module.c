/* A module of device kernels that has none: of this build, or as OTHER says of another
 * version or with another table. */
#include "kernels/device.h"

static int no_devices(void)
{
    return 0;
}

const struct device_module ppt_device_module = {
#ifdef OTHER_VERSION
    .version = PPT_VERSION "-other",
#else
    .version = PPT_VERSION,
#endif
#ifdef OTHER_TABLE
    .n_bytes = sizeof(struct kernels) + sizeof(void *),
#else
    .n_bytes = sizeof(struct kernels),
#endif
    .count = no_devices};

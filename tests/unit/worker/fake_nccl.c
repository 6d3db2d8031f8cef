/* A module of NCCL's table that is not used: of this build, or of another version. */
#include "worker/comm_nccl.h"

extern const struct nccl_module ppt_nccl_module;
const struct nccl_module ppt_nccl_module = {
#ifdef OTHER_VERSION
    .version = PPT_VERSION "-other",
#else
    .version = PPT_VERSION,
#endif
};

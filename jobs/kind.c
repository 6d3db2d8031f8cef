#include "jobs/kind.h"

#include <string.h>

const struct kind job_kinds[JOB_N_KINDS] = {
    [JOB_DP] = {"dp", "differential_privacy", true},
    [JOB_FL] = {"fl", "federated_learning", true},
    [JOB_SMPC] = {"smpc", "secure_mpc", false},
    [JOB_HE] = {"he", "homomorphic_encryption", false},
};

int kind_from_name(const char *name)
{
    for (int k = 0; k < JOB_N_KINDS; k++)
        if (strcmp(name, job_kinds[k].name) == 0 ||
            strcmp(name, job_kinds[k].long_name) == 0)
            return k;
    return -1;
}

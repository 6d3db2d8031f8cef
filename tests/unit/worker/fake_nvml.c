/* A driver's library for check_demands: its state is $FAKE_NVML, "ENVIRONMENT FEATURE
 * TOOLS", or `silent` or `ignorant`. The three functions are NVML's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlSystemGetConfComputeState(unsigned state[3]);

int nvmlInit_v2(void)
{
    const char *say = getenv("FAKE_NVML");
    return say == NULL || strcmp(say, "silent") == 0;
}

int nvmlShutdown(void)
{
    return 0;
}

int nvmlSystemGetConfComputeState(unsigned state[3])
{
    const char *say = getenv("FAKE_NVML");
    return say == NULL || sscanf(say, "%u %u %u", &state[0], &state[1], &state[2]) != 3;
}

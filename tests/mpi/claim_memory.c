/* Loaded before a program's libraries (LD_PRELOAD): its machine has $CLAIM_MIB of
 * memory. */
#include <stdlib.h>

#include "tests/unit/worker/cached.h"

__attribute__((constructor)) static void claim(void)
{
    const char *mib = getenv("CLAIM_MIB");
    if (mib != NULL)
        cached_claim_mib = atol(mib);
}

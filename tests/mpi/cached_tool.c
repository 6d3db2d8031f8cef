/* cached_tool FILE: how many MiB of it are in the page cache.
 * cached_tool drop FILE: takes it out of there; status 77 where that cannot be done. */
#include <stdio.h>
#include <string.h>

#include "tests/unit/worker/cached.h"

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "drop") == 0)
        return cached_can_drop(argv[2]) ? 0 : 77;
    double mib = argc == 2 ? cached_mib(argv[1]) : -1;
    printf("%.0f\n", mib);
    return mib < 0;
}

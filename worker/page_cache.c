#include "worker/page_cache.h"

#include <fcntl.h>

#include "base/machine.h"

#define WINDOW_BYTES ((int64_t)32 << 20)

bool page_cache_may_hold(int64_t part_bytes, int n_beside, int64_t whole_bytes)
{
    int64_t bytes = part_bytes < whole_bytes / (n_beside + 1)
                        ? part_bytes * (n_beside + 1)
                        : whole_bytes;
    return bytes <= machine_memory_bytes() / 4 * 3;
}

/* Several pages that the system keeps as one do not lie over the beginning of a window;
 * those over the end of an advice are in the next. */
void page_cache_drop_behind(int fd, int64_t offset, size_t len)
{
    int64_t end = offset + (int64_t)len;
    int64_t from = offset / WINDOW_BYTES * WINDOW_BYTES;
    if (end - from >= WINDOW_BYTES)
        posix_fadvise(fd, from, end - from, POSIX_FADV_DONTNEED);
}
